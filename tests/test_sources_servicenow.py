"""ServiceNow: the incident audit log, which tells the end on every row, and task_sla."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from incident_kit.errors import InvalidRows
from incident_kit.sources import load
from incident_kit.store import Store

FORMATS = Path(__file__).parent / "data" / "formats"
LOG = FORMATS / "servicenow_log.csv"
REAL = (
    Path(__file__).parents[2] / "shared" / "data" / "helpdesk" / "servicenow_incident_log" / "incident_event_log.csv.gz"
)


def at(day: int, hour: int, minute: int = 0, *, month: int = 3) -> datetime:
    return datetime(2016, month, day, hour, minute, tzinfo=UTC)


def rows(store: Store, sql: str, params: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    return store.frame(sql, params).rows()


@pytest.fixture(scope="module")
def log() -> Store:
    store = Store()
    load(store, LOG, zone="UTC")
    return store


@pytest.fixture(scope="module")
def clocks() -> dict[tuple[str, str, int], dict[str, Any]]:
    store = Store()
    load(store, FORMATS / "servicenow_task_sla.csv", zone="UTC")
    found = store.frame("select * from sla").to_dicts()
    return {(row["ticket_id"], row["metric"], row["instance_no"]): row for row in found}


def test_every_entry_is_loaded_rejected_or_a_duplicate() -> None:
    report = load(Store(), LOG, zone="UTC")
    first = report.loads[0]
    assert [one.source for one in report.loads] == [
        "servicenow_log", "servicenow_log_changes", "servicenow_log_tickets", "servicenow_log_sla",
    ]  # fmt: skip
    assert (first.rows_read, first.rows_loaded, first.rows_duplicate, first.rows_rejected) == (12, 10, 1, 1)
    for one in report.loads:
        assert one.rows_read == one.rows_loaded + one.rows_duplicate + one.rows_rejected


def test_a_month_first_date_is_turned_down_with_its_line() -> None:
    report = load(Store(), LOG, zone="UTC")
    reason = "sys_updated_at: '3/15/2016 10:00' is not a time with the day first"
    assert report.rejects.select("line", "reason").rows() == [(12, reason)]


def test_times_are_read_day_first_in_the_zone_given() -> None:
    with pytest.raises(InvalidRows, match=r"sys_updated_at: '1/3/2016 9:07' has no time zone.*zone="):
        load(Store(), LOG)
    store = Store()
    load(store, LOG, zone="America/New_York")
    found = rows(store, "select created_at from tickets where ticket_id = 'INC9001'")
    assert found == [(at(1, 14, 5),)], "the first of March, not the third of January"


def test_states_become_the_kits_words_in_order(log: Store) -> None:
    found = rows(
        log, "select value from ticket_events where ticket_id = 'INC9001' and type = 'status' order by \"at\", seq"
    )
    assert [value for (value,) in found] == ["new", "open", "pending", "solved", "open", "solved", "closed"]
    assert rows(log, "select value from ticket_events where ticket_id = 'INC9002' and seq = 1 and type = 'status'") == [
        ("unknown",)
    ], "the state -100 is none of them"


def test_only_what_changed_is_an_event(log: Store) -> None:
    found = rows(
        log,
        "select type, value, \"at\" from ticket_events where ticket_id = 'INC9001'"
        " and type in ('created', 'priority', 'assigned', 'reopen') order by \"at\", type, value",
    )
    assert found == [
        ("created", None, at(1, 9, 5)),
        ("assigned", "Agent 1", at(1, 9, 7)), ("assigned", "Group 1", at(1, 9, 7)), ("priority", "3 - Moderate", at(1, 9, 7)),
        ("assigned", "Agent 2", at(4, 12, 42)), ("priority", "1 - Critical", at(4, 12, 42)), ("reopen", "1", at(4, 12, 42)),
    ]  # fmt: skip


def test_a_question_mark_is_nothing(log: Store) -> None:
    for table in ("tickets", "ticket_events", "sla"):
        found = rows(log, f"select * from {table}")  # noqa: S608 - three names
        assert found
        assert not [row for row in found if "?" in row], table


def test_what_the_end_was_is_told_at_the_end_only(log: Store) -> None:
    told = {row["ticket_id"]: row for row in log.frame("select * from tickets").to_dicts()}
    assert told["INC9001"]["solved_at"] == at(10, 15, 36)
    assert (told["INC9001"]["reopens"], told["INC9001"]["status"]) == (1, "closed")
    # its rows carry resolved_at and closed_at of days that the log does not reach
    assert (told["INC9002"]["solved_at"], told["INC9002"]["status"]) == (None, "unknown")
    # without resolved_at, the entry that says so
    assert told["INC9003"]["solved_at"] == at(29, 7, month=2)


def test_made_sla_counts_once_the_incident_is_closed(log: Store) -> None:
    told = {row["ticket_id"]: row for row in log.frame("select * from sla").to_dicts()}
    assert {name: (row["breached"], row["outcome"]) for name, row in told.items()} == {
        "INC9001": (True, "breached"), "INC9002": (None, "active"), "INC9003": (False, "met"),
    }  # fmt: skip
    assert {row["evidence_level"] for row in told.values()} == {"label"}
    assert {(row["target_s"], row["due_at"]) for row in told.values()} == {(None, None)}


def test_the_verdict_says_a_label_cannot_be_computed() -> None:
    report = load(Store(), LOG, zone="UTC")
    assert report.answers["sla"].answer == "lower bound"
    assert report.answers["sla"].why.startswith("made_sla says whether")


def entries() -> tuple[list[str], list[dict[str, str]]]:
    with LOG.open(encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        kept = [row for row in reader if not row["sys_updated_at"].startswith("3/15")]
        return list(reader.fieldnames or ()), kept


def moment(row: dict[str, str]) -> datetime:
    return datetime.strptime(row["sys_updated_at"].replace("-", "/"), "%d/%m/%Y %H:%M").replace(tzinfo=UTC)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.sampled_from(sorted({moment(row) for row in entries()[1]})), seed=st.randoms(use_true_random=False))
def test_an_export_of_any_day_holds_nothing_later(tmp_path: Path, log: Store, cut: datetime, seed: Any) -> None:
    names, given_rows = entries()
    until = [row for row in given_rows if moment(row) <= cut]
    seed.shuffle(until)
    file = tmp_path / "until.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(until)
    part = Store()
    load(part, file, zone="UTC")
    times = {
        "ticket_events": ['"at"'],
        "tickets": ["created_at", "solved_at", "assigned_at"],
        "sla": ["started_at", "stopped_at"],
    }
    for table, columns in times.items():
        for column in columns:
            ((latest,),) = rows(part, f"select max({column}) from {table}")  # noqa: S608 - named above
            assert latest is None or latest <= cut, (table, column)
    # and what it holds stays true
    sql = 'select * exclude (load_id) from ticket_events where "at" <= $cut order by all'
    assert set(rows(part, sql, {"cut": cut})) <= set(rows(log, sql, {"cut": cut}))


def test_the_order_of_the_entries_does_not_matter(tmp_path: Path) -> None:
    lines = LOG.read_text(encoding="utf-8").splitlines(keepends=True)
    file = tmp_path / "reversed.csv"
    file.write_text(lines[0] + "".join(reversed(lines[1:])), encoding="utf-8")
    one, other = Store(), Store()
    load(one, LOG, zone="UTC")
    load(other, file, zone="UTC")
    for table in ("ticket_events", "tickets", "sla"):
        sql = f"select * exclude (load_id) from {table} order by all"  # noqa: S608 - three names
        assert one.frame(sql).equals(other.frame(sql)), table


@pytest.mark.skipif(not REAL.exists(), reason="the real log lies beside the project, not in it")
def test_the_real_log_loads_whole() -> None:
    store = Store()
    report = load(store, REAL, zone="UTC")
    assert [(one.rows_read, one.rows_loaded) for one in report.loads if one.source == "servicenow_log"] == [
        (119_998, 119_998)
    ]
    assert report.rows_rejected == report.rows_duplicate == 0
    assert rows(store, "select count(*) from tickets") == [(20_769,)]
    assert rows(store, 'select min("at"), max("at") from ticket_events where type <> \'created\'') == [
        (datetime(2016, 2, 29, 1, 23, tzinfo=UTC), datetime(2017, 2, 15, 15, 0, tzinfo=UTC))
    ]
    # read with the month first, thousands of entries would lie before the one they follow
    back = rows(
        store,
        'select count(*) from (select "at" < lag("at") over (partition by ticket_id order by seq) as back'
        " from ticket_events where type in ('status', 'update')) where back",
    )
    assert back == [(5,)]
    # the two higher priorities nearly always miss
    found = rows(
        store,
        "select t.priority, count(*), count(*) filter (where s.breached) from sla as s join tickets as t using (ticket_id)"
        " group by t.priority order by t.priority limit 2",
    )
    assert found == [("1 - Critical", 220, 215), ("2 - High", 337, 336)]
    # nothing of an incident lies after its last entry
    late = rows(
        store,
        "select count(*) from tickets as t join"
        " (select ticket_id, max(\"at\") as last from ticket_events where type <> 'created' group by ticket_id) as e"
        " using (ticket_id) where t.solved_at > e.last or t.created_at > e.last",
    )
    assert late == [(0,)]
    assert rows(store, "select count(*) from sla where outcome = 'active'") == [(1,)]


def test_a_breached_response(clocks: dict[tuple[str, str, int], dict[str, Any]]) -> None:
    row = clocks["INC0020001", "first_reply", 1]
    assert (row["target_s"], row["elapsed_s"], row["clock"], row["schedule_id"]) == (
        3600,
        5460,
        "business",
        "8-17 weekdays",
    )
    assert row["due_at"] == datetime(2026, 3, 2, 15, tzinfo=UTC)
    assert (row["breached"], row["outcome"], row["evidence_level"], row["source"]) == (
        True,
        "breached",
        "instance",
        "servicenow",
    )


def test_a_cancelled_clock_is_neither_met_nor_breached(clocks: dict[tuple[str, str, int], dict[str, Any]]) -> None:
    row = clocks["INC0020001", "resolution", 1]
    assert (row["breached"], row["outcome"], row["elapsed_s"]) == (None, "cancelled", None)
    # the priority rose: another was attached, and counts from then
    other = clocks["INC0020001", "resolution", 2]
    assert (other["started_at"], other["outcome"]) == (datetime(2026, 3, 2, 16, tzinfo=UTC), "breached")


def test_without_a_schedule_the_calendar_counts(clocks: dict[tuple[str, str, int], dict[str, Any]]) -> None:
    row = clocks["INC0020001", "resolution", 2]
    assert (row["clock"], row["target_s"]) == ("calendar", 4 * 3600)
    assert row["elapsed_s"] == 50 * 3600, "a duration beyond a day is the third of January 1970"


def test_business_and_actual_time_are_two_columns(clocks: dict[tuple[str, str, int], dict[str, Any]]) -> None:
    row = clocks["INC0020004", "first_reply", 1]
    assert row["elapsed_s"] == 90 * 60
    assert row["stopped_at"] - row["started_at"] == datetime(2026, 3, 9, 9, 30) - datetime(2026, 3, 6, 21)  # noqa: DTZ001 - a difference


def test_what_is_counted_of_an_open_row_is_stale(clocks: dict[tuple[str, str, int], dict[str, Any]]) -> None:
    row = clocks["INC0020002", "resolution", 1]
    assert (row["elapsed_s"], row["stopped_at"], row["outcome"], row["breached"]) == (None, None, "active", None)
    assert row["paused_s"] == 3600
    assert row["due_at"] == datetime(2026, 3, 9, 10, tzinfo=UTC), "pushed out by the pause"
    assert clocks["INC0020003", "first_reply", 1]["outcome"] == "breached", "open, and already too late"


def test_the_same_row_twice_is_one_clock() -> None:
    report = load(Store(), FORMATS / "servicenow_task_sla.csv", zone="UTC")
    assert (report.rows_read, report.rows_loaded, report.rows_duplicate, report.rows_rejected) == (9, 6, 1, 2)
    assert report.rejects["reason"].to_list() == [
        "end_time is before start_time", "stage: 'sleeping' is not a stage this format knows",
    ]  # fmt: skip


def test_the_table_apis_pairs_of_value_and_display_value(tmp_path: Path) -> None:
    def pair(value: str, shown: str) -> dict[str, str]:
        return {"value": value, "display_value": shown}

    record = {
        "task": pair("9c57", "INC0020009"), "sla": pair("11ab", "Priority 2 response (1 hour)"),
        "stage": pair("completed", "Completed"), "start_time": pair("2026-03-02 14:00:00", "2026-03-02 06:00:00"),
        "end_time": pair("2026-03-02 15:31:00", "2026-03-02 07:31:00"),
        "planned_end_time": pair("2026-03-02 15:00:00", "2026-03-02 07:00:00"), "has_breached": pair("true", "true"),
        "business_duration": pair("", "1 Hour 31 Minutes"), "schedule": {"link": "https://desk.example/x", "value": "s1"},
    }  # fmt: skip
    file = tmp_path / "task_sla.json"
    file.write_text(json.dumps({"result": [record]}))
    store = Store()
    load(store, file, zone="UTC")
    (row,) = store.frame("select * from sla").to_dicts()
    assert (row["ticket_id"], row["policy"], row["elapsed_s"]) == ("INC0020009", "Priority 2 response (1 hour)", 5460)
    assert row["started_at"] == datetime(2026, 3, 2, 14, tzinfo=UTC), (
        "the value, which is UTC, not what the user is shown"
    )
