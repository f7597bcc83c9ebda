"""Intercom, Jira Service Management and Salesforce: what each export says of its clocks, and how well."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import incident_kit as ik
from incident_kit.errors import InvalidRows
from incident_kit.sources import load
from incident_kit.store import Store

FORMATS = Path(__file__).parent / "data" / "formats"
START = datetime(2026, 3, 2, 14, tzinfo=UTC)


def loaded(name: str, **options: Any) -> Store:
    store = Store()
    load(store, FORMATS / name, **options)
    return store


def clocks(store: Store) -> dict[tuple[str, str, int], dict[str, Any]]:
    rows = store.frame("select * from sla").to_dicts()
    return {(row["ticket_id"], row["metric"], row["instance_no"]): row for row in rows}


def after(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def intercom() -> Store:
    return loaded("intercom.json")


@pytest.fixture(scope="module")
def jsm() -> Store:
    return loaded("jsm_sla.json")


@pytest.fixture(scope="module")
def issues() -> Store:
    return loaded("jsm_issues.json")


@pytest.fixture(scope="module")
def salesforce() -> Store:
    return loaded("salesforce_milestones.csv")


def test_intercom_writes_epoch_seconds(intercom: Store) -> None:
    rows = {row["ticket_id"]: row for row in intercom.frame("select * from tickets").to_dicts()}
    assert (rows["1295"]["created_at"], rows["1295"]["first_reply_at"]) == (START, after(5460))
    assert (rows["1295"]["solved_at"], rows["1295"]["csat"], rows["1295"]["status"]) == (after(10000), 2.0, "closed")
    assert (rows["1296"]["solved_at"], rows["1296"]["first_reply_at"]) == (None, None)
    assert rows["1298"]["reopens"] == 1


def test_one_status_a_conversation_is_a_label(intercom: Store) -> None:
    found = clocks(intercom)
    row = found["1295", "any_target", 1]
    assert (row["breached"], row["outcome"], row["evidence_level"], row["policy"]) == (
        True,
        "breached",
        "label",
        "Premium",
    )
    assert (row["target_s"], row["started_at"], row["due_at"]) == (None, None, None), "nothing to compute anew"
    assert (found["1296", "any_target", 1]["breached"], found["1296", "any_target", 1]["outcome"]) == (None, "active")
    assert not [key for key in found if key[0] == "1297"], "taken off by hand: no status, no verdict"


def test_where_the_parts_say_more_the_label_is_left(intercom: Store) -> None:
    levels = {key: row["evidence_level"] for key, row in clocks(intercom).items() if key[0] == "1298"}
    assert levels == {
        ("1298", "first_reply", 1): "event", ("1298", "next_reply", 1): "event",
        ("1298", "next_reply", 2): "event", ("1298", "time_to_close", 1): "event",
    }  # fmt: skip


def test_a_miss_is_dated_when_the_time_was_over(intercom: Store) -> None:
    row = clocks(intercom)["1298", "first_reply", 1]
    assert row["due_at"] == after(3600), "not when the teammate replied, and it was written"
    assert (row["started_at"], row["stopped_at"], row["target_s"]) == (START, after(5460), 3600)
    assert (row["breached"], row["outcome"]) == (True, "breached")


def test_a_bots_answer_and_a_note_stop_nothing(intercom: Store) -> None:
    found = clocks(intercom)
    assert found["1298", "first_reply", 1]["stopped_at"] == after(5460), "the bot answered after 30 s"
    row = found["1298", "next_reply", 1]
    assert (row["started_at"], row["stopped_at"]) == (after(6000), after(7200)), "from the first of two questions"
    assert (row["breached"], row["target_s"]) == (False, 1800)


def test_a_pause_while_snoozed(intercom: Store) -> None:
    row = clocks(intercom)["1298", "time_to_close", 1]
    assert (row["paused_s"], row["stopped_at"]) == (1800, after(14400))
    assert clocks(intercom)["1298", "next_reply", 2]["paused_s"] == 0, "it began when the pause ended"


def test_who_wrote_and_what_happened(intercom: Store) -> None:
    roles = dict(intercom.rows("select actor_id, role from actors"))
    assert roles == {"admin:a1": "agent", "user:u1": "end_user", "bot:b1": "bot"}
    found = intercom.rows(
        "select type, value, public, actor from ticket_events where ticket_id = '1298' and type <> 'created'"
        " and seq < 9 order by seq"
    )
    assert found == [
        ("comment", None, True, "bot:b1"), ("priority", "high", None, "admin:a1"), ("assigned", None, None, "admin:a1"),
        ("comment", None, True, "admin:a1"), ("comment", None, True, "user:u1"), ("comment", None, False, "admin:a1"),
    ]  # fmt: skip


def test_an_sla_that_is_removed_is_cancelled(tmp_path: Path) -> None:
    (conversation,) = [
        one for one in json.loads((FORMATS / "intercom.json").read_text())["conversations"] if one["id"] == "1298"
    ]
    removed = {
        "part_type": "conversation_sla_removed",
        "created_at": int(after(600).timestamp()),
        "author": {"type": "admin", "id": "a1"},
    }
    parts = conversation["conversation_parts"]["conversation_parts"]
    conversation["conversation_parts"]["conversation_parts"] = [*parts[:4], removed]
    file = tmp_path / "one.json"
    file.write_text(json.dumps(conversation))
    store = Store()
    load(store, file)
    assert {key[1]: row["outcome"] for key, row in clocks(store).items()} == {
        "first_reply": "cancelled", "time_to_close": "cancelled",
    }  # fmt: skip


def test_an_absurd_number_of_seconds_moves_a_miss_no_further_than_the_start(tmp_path: Path) -> None:
    text = (FORMATS / "intercom.json").read_text().replace("-1860", "-1e300")
    file = tmp_path / "absurd.json"
    file.write_text(text)
    store = Store()
    load(store, file)
    assert clocks(store)["1298", "first_reply", 1]["due_at"] == START


def test_each_cycle_is_a_clock(jsm: Store) -> None:
    found = clocks(jsm)
    replies = [found["SUP-41", "first_reply", number] for number in (1, 2, 3)]
    assert [row["outcome"] for row in replies] == ["breached", "met", "active"]
    first = replies[0]
    assert (first["target_s"], first["elapsed_s"], first["policy"]) == (3600, 5460, "Time to first response")
    assert (first["started_at"], first["due_at"], first["stopped_at"]) == (START, after(3600), after(5460))
    # only a local time with its offset is there
    assert replies[2]["started_at"] == datetime(2026, 3, 4, 9, tzinfo=UTC)


def test_working_time_is_not_the_time_between(jsm: Store) -> None:
    row = clocks(jsm)["SUP-41", "resolution", 1]
    assert row["elapsed_s"] == 3.5 * 3600
    assert row["stopped_at"] - row["started_at"] == timedelta(hours=19.5)
    assert row["target_s"] == 8 * 3600, "milliseconds; as a text it is '1d'"


def test_a_cycle_that_stands_out_of_hours_counts_business_time(jsm: Store) -> None:
    row = clocks(jsm)["SUP-42", "first_reply", 1]
    assert (row["clock"], row["breached"], row["stopped_at"], row["elapsed_s"]) == ("business", True, None, None)
    assert clocks(jsm)["SUP-41", "first_reply", 1]["clock"] is None, "the export does not say"


def test_what_of_an_sla_is_no_clock_says_why() -> None:
    report = load(Store(), FORMATS / "jsm_sla.json")
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (7, 5, 2)
    assert sorted(report.rejects["reason"]) == [
        "no issue: neither a key nor a link of the request", "not for us: no cycle was started",
    ]  # fmt: skip


def test_issues_carry_their_slas_in_numbered_fields(issues: Store) -> None:
    found = clocks(issues)
    assert found.keys() == {("SUP-51", "first_reply", 1), ("SUP-51", "resolution", 1)}
    paused = found["SUP-51", "resolution", 1]
    assert (paused["due_at"], paused["outcome"], paused["target_s"]) == (None, "active", 8 * 3600)


def test_an_issues_changelog(issues: Store) -> None:
    found = issues.frame(
        "select type, value, \"at\" from ticket_events where ticket_id = 'SUP-51' and type in ('status', 'reopen')"
        ' order by "at", type'
    ).rows()
    assert [row[:2] for row in found] == [
        ("status", "open"), ("status", "pending"), ("status", "solved"), ("reopen", None), ("status", "open"),
        ("status", "solved"),
    ]  # fmt: skip
    assert found[0][2] == after(600), "local times carry their offset"
    rows = {row["ticket_id"]: row for row in issues.frame("select * from tickets").to_dicts()}
    assert (rows["SUP-52"]["status"], rows["SUP-52"]["priority"]) == ("pending", None)
    assert "SUP-53" not in rows, "a time without its offset"


def test_a_milestone_in_minutes(salesforce: Store) -> None:
    row = clocks(salesforce)["500A1", "first_reply", 1]
    assert (row["target_s"], row["elapsed_s"], row["clock"], row["schedule_id"]) == (3600, 5460, "business", "01mA1")
    assert (row["due_at"], row["stopped_at"]) == (after(3600), after(5460))
    assert (row["breached"], row["evidence_level"], row["source"]) == (True, "instance", "salesforce")


def test_the_time_a_case_stood_still_is_taken_off(salesforce: Store) -> None:
    row = clocks(salesforce)["500A1", "resolution", 1]
    assert (row["elapsed_s"], row["paused_s"], row["clock"]) == (420 * 60, 3600, "calendar")


def test_recurring_milestones_are_numbered(salesforce: Store) -> None:
    found = clocks(salesforce)
    assert found["500A2", "customer_update", 1]["outcome"] == "met"
    running = found["500A2", "customer_update", 2]
    assert (running["outcome"], running["breached"], running["stopped_at"], running["elapsed_s"]) == (
        "breached",
        True,
        None,
        None,
    )
    waiting = found["500A3", "first_reply", 1]
    assert (waiting["outcome"], waiting["breached"]) == ("active", None)


def test_milestones_that_contradict_themselves() -> None:
    report = load(Store(), FORMATS / "salesforce_milestones.csv")
    assert report.rejects.select("line", "reason").rows() == [
        (7, "CompletionDate is before StartDate"), (8, "IsViolated is neither true nor false"),
    ]  # fmt: skip


def test_a_milestone_of_a_query_and_without_a_zone(tmp_path: Path) -> None:
    record = {
        "attributes": {"type": "CaseMilestone"}, "Id": "555B1", "CaseId": "500B1", "MilestoneType": {"Name": "First Response"},
        "BusinessHoursId": None, "StartDate": "2026-03-02T14:00:00.000+0000", "TargetDate": "2026-03-02T15:00:00.000+0000",
        "CompletionDate": None, "IsCompleted": False, "IsViolated": False, "TargetResponseInMins": 60,
    }  # fmt: skip
    file = tmp_path / "query.json"
    file.write_text(json.dumps({"totalSize": 1, "done": True, "records": [record]}))
    store = Store()
    load(store, file)
    assert clocks(store)["500B1", "first_reply", 1]["clock"] == "calendar"
    file.write_text(json.dumps({"records": [record | {"StartDate": "2026-03-02 14:00:00"}]}))
    with pytest.raises(InvalidRows, match="StartDate: '2026-03-02 14:00:00' has no time zone"):
        load(Store(), file)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Time to first response", "first_reply"), ("First Response Time", "first_reply"), ("initial response", "first_reply"),
        ("Time to resolution", "resolution"), ("Resolution Time", "resolution"), ("Next response", "next_reply"),
        # a name with more in it is another promise
        ("Time to close after resolution", "time_to_close_after_resolution"), ("First response: VIP!", "first_response_vip"),
        ("Čas do odpovědi", "čas_do_odpovědi"), ("--", None),
    ],
)  # fmt: skip
def test_a_promise_is_told_by_its_whole_name(jsm: Store, name: str, words: str | None) -> None:
    assert jsm.rows("select sla_metric($1)", [name]) == [(words,)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("01:30:48", 5448),
        ("107:09", 385740),
        ("00:00:00", 0),
        ("1:60", None),
        ("90", None),
        ("", None),
        ("-1:00", None),
    ],
)
def test_a_duration_in_hours_and_minutes(jsm: Store, text: str, seconds: int | None) -> None:
    assert jsm.rows("select clock_seconds($1)", [text]) == [(seconds,)]


def test_every_format_of_a_help_desk_is_in_its_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "helpdesks.md").read_text(encoding="utf-8")
    folder = Path(__file__).parents[1] / "incident_kit" / "sources" / "helpdesk"
    assert {file.stem for file in folder.glob("*.sql") if f"`{file.stem}`" not in page} == set()


def test_cases_of_salesforce() -> None:
    store = Store()
    report = load(store, FORMATS / "salesforce_cases.csv")
    assert report.rejects.select("line", "reason").rows() == [
        (5, "CreatedDate: 'yesterday' is not a time"), (6, "ClosedDate is before CreatedDate"),
    ]  # fmt: skip
    rows = {row["ticket_id"]: row for row in store.frame("select * from tickets").to_dicts()}
    assert {name: (row["status"], row["solved_at"]) for name, row in rows.items()} == {
        "500A1": ("closed", after(8 * 3600)), "500A2": ("pending", None), "500A3": ("open", None),
    }  # fmt: skip
    assert "Answers are slow" not in str(rows)


def test_the_history_of_a_case() -> None:
    store = Store()
    report = load(store, FORMATS / "salesforce_history.csv")
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (11, 9, 2)
    assert set(report.rejects["reason"]) == {"not for us: isclosed", "not for us: subject"}
    found = store.frame('select type, value, "at" from ticket_events order by "at", type').rows()
    assert [row[:2] for row in found] == [
        ("created", None), ("assigned", "Agent 1"), ("priority", "high"), ("status", "pending"), ("escalation", None),
        ("status", "closed"), ("reopen", None), ("status", "open"), ("status", "closed"),
    ]  # fmt: skip
    assert found[6][2] == after(5 * 3600)


@pytest.mark.parametrize(
    ("name", "ticket"),
    [
        ("servicenow_task_sla.csv", "INC0020001"), ("salesforce_milestones.csv", "500A1"), ("jsm_sla.json", "SUP-41"),
        ("jsm_issues.json", "SUP-51"), ("freshdesk_api.json", "7101"),
    ],
)  # fmt: skip
def test_the_clock_agrees_that_an_answer_after_91_minutes_of_60_was_late(name: str, ticket: str) -> None:
    incident = ik.Incident.create()
    incident.load(FORMATS / name, zone="UTC")
    rows = ik.sla(incident).instances.filter(
        (pl.col("ticket_id") == ticket) & (pl.col("metric") == "first_reply") & (pl.col("instance_no") == 1)
    )
    (row,) = rows.to_dicts()
    assert (row["verdict"], row["recorded_outcome"]) == ("breached", "breached")
    assert row["breached_at"] == row["recorded_due_at"], "on the timeline when the time was over"


def test_the_clock_tells_the_label_that_is_wrong() -> None:
    incident = ik.Incident.create()
    incident.load(FORMATS / "freshdesk_expected.csv", zone="UTC")
    rows = ik.sla(incident).instances.filter(pl.col("recorded_breached") != pl.col("breached"))
    assert rows.select("ticket_id", "metric", "recorded_breached", "verdict").rows() == [
        ("8002", "first_reply", True, "met")
    ]


SAMPLES = [
    "freshdesk_csv.csv", "freshdesk_csv-freshservice.csv", "freshdesk_api.json", "freshdesk_expected.csv", "intercom.json",
    "jsm_sla.json", "jsm_issues.json", "servicenow_task_sla.csv", "servicenow_log.csv", "salesforce_milestones.csv",
    "salesforce_cases.csv", "salesforce_history.csv",
]  # fmt: skip
TOLD = {
    "tickets": ("created_at", "first_reply_at", "solved_at", "assigned_at"), "sla": ("started_at", "stopped_at"),
    "ticket_events": ('"at"',), "sla_events": ('"at"',),
}  # fmt: skip


def instants(text: str) -> set[datetime]:
    found = {
        datetime.fromisoformat(one)
        for one in re.findall(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.]*(?:Z|[+-]\d{4})?", text)
    }
    found |= {datetime.fromtimestamp(int(one), UTC) for one in re.findall(r"\b177\d{7}(?=(?:\d{3})?\b)", text)}
    found |= {
        datetime.strptime(one.replace("/", "-"), "%d-%m-%Y %H:%M").replace(tzinfo=UTC)
        for one in re.findall(r"\b\d{1,2}[-/](?:0?[1-9]|1[0-2])[-/]\d{4} \d+:\d\d", text)
    }
    return {one.astimezone(UTC) if one.tzinfo else one.replace(tzinfo=UTC) for one in found}


@pytest.mark.parametrize("name", SAMPLES)
def test_no_time_is_told_that_the_file_does_not_hold(name: str) -> None:
    there = instants((FORMATS / name).read_text(encoding="utf-8"))
    store = loaded(name, zone="UTC")
    seen = 0
    for table, columns in TOLD.items():
        # a breach may be dated by what was left of its time
        where = "where type <> 'breach'" if table == "sla_events" else ""
        for column in columns:
            rows = store.frame(f"select distinct {column} as t from {table} {where}")  # noqa: S608 - named above
            told = {one.astimezone(UTC) for one in rows["t"] if one is not None}
            assert told <= there, (table, column)
            seen += len(told)
    assert seen > 3
