"""Freshdesk: the ticket export, the API's tickets, and reports that set expected times beside labels."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from incident_kit.errors import InvalidRows
from incident_kit.sources import load
from incident_kit.store import Store

FORMATS = Path(__file__).parent / "data" / "formats"


def at(hour: int, minute: int = 0, second: int = 0, *, day: int = 2) -> datetime:
    return datetime(2026, 3, day, hour, minute, second, tzinfo=UTC)


def clocks(store: Store) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["ticket_id"], row["metric"]): row for row in store.frame("select * from sla").to_dicts()}


def tickets(store: Store) -> dict[str, dict[str, Any]]:
    return {row["ticket_id"]: row for row in store.frame("select * from tickets").to_dicts()}


@pytest.fixture(scope="module")
def export() -> Store:
    store = Store()
    load(store, FORMATS / "freshdesk_csv.csv", zone="UTC")
    return store


@pytest.fixture(scope="module")
def api() -> Store:
    store = Store()
    load(store, FORMATS / "freshdesk_api.json")
    return store


@pytest.fixture(scope="module")
def report() -> Store:
    store = Store()
    load(store, FORMATS / "freshdesk_expected.csv", zone="UTC")
    return store


def test_the_export_has_no_zone() -> None:
    with pytest.raises(InvalidRows, match=r"Created time: '2026-03-02 09:00:12' has no time zone.*zone="):
        load(Store(), FORMATS / "freshdesk_csv.csv")
    store = Store()
    load(store, FORMATS / "freshdesk_csv.csv", zone="Europe/Berlin")
    assert tickets(store)["7001"]["created_at"] == at(8, 0, 12)


def test_initial_response_time_is_a_time_and_the_hours_are_a_duration(export: Store) -> None:
    row = clocks(export)["7001", "first_reply"]
    assert row["stopped_at"] == at(10, 31)
    assert row["elapsed_s"] == 5448
    assert (row["breached"], row["outcome"], row["evidence_level"], row["due_at"]) == (True, "breached", "label", None)
    assert tickets(export)["7001"]["first_reply_at"] == at(10, 31)
    assert clocks(export)["7004", "resolution"]["elapsed_s"] == 105 * 3600 + 30, "more hours than a day has"
    assert clocks(export)["7003", "first_reply"]["elapsed_s"] is None, "often left empty though both times are there"


def test_due_by_time_is_of_the_resolution_only(export: Store) -> None:
    row = clocks(export)["7001", "resolution"]
    assert (row["due_at"], row["stopped_at"], row["evidence_level"]) == (at(17, 0, 12), at(16, 10), "instance")
    assert (row["breached"], row["recomputed_breached"], row["outcome"]) == (False, False, "met")
    assert all(row["due_at"] is None for (_, metric), row in clocks(export).items() if metric != "resolution")


def test_a_label_against_the_times_is_kept_and_told(export: Store) -> None:
    row = clocks(export)["7004", "resolution"]
    assert (row["breached"], row["recomputed_breached"]) == (False, True)


def test_labels_of_unanswered_and_unresolved_tickets_are_not_taken(export: Store) -> None:
    found = clocks(export)
    for key in (("7002", "first_reply"), ("7002", "resolution"), ("7003", "resolution")):
        assert (found[key]["breached"], found[key]["outcome"]) == (None, "active"), key
    # closed without any answer: the label is all there is
    assert (found["7006", "first_reply"]["breached"], found["7006", "first_reply"]["stopped_at"]) == (True, None)
    assert tickets(export)["7006"]["solved_at"] == at(18)


def test_every_response_has_one_label(export: Store) -> None:
    row = clocks(export)["7004", "next_reply"]
    assert (row["breached"], row["evidence_level"], row["started_at"], row["stopped_at"]) == (True, "label", None, None)
    assert ("7002", "next_reply") not in clocks(export), "empty says nothing"


def test_a_ticket_that_ends_before_it_begins_is_in_no_table(export: Store) -> None:
    assert "7005" not in tickets(export)
    for table in ("sla", "ticket_events"):
        assert export.rows(f"select count(*) from {table} where ticket_id = '7005'") == [(0,)]  # noqa: S608 - two names


def test_statuses_become_the_kits_words(export: Store) -> None:
    assert {name: row["status"] for name, row in tickets(export).items()} == {
        "7001": "closed", "7002": "open", "7003": "pending", "7004": "solved", "7006": "closed",
    }  # fmt: skip


def test_no_text_of_a_ticket_is_loaded(export: Store) -> None:
    for (table,) in export.rows("select table_name from duckdb_tables() where not temporary"):
        if table != "rejects":
            rows = export.frame(f'select * from "{table}"').rows()  # noqa: S608 - the kit's own tables
            assert not [row for row in rows if "Answers are slow" in row or "ai,latency" in row], table


def test_freshservice_spells_its_columns_otherwise() -> None:
    store = Store()
    loaded = load(store, FORMATS / "freshdesk_csv-freshservice.csv", zone="UTC")
    assert loaded.loads[0].source == "freshdesk_csv"
    assert (loaded.rows_read, loaded.rows_rejected) == (loaded.rows_loaded, 0)
    # a column that is there twice is read once
    assert clocks(store)["INC-81", "resolution"]["elapsed_s"] == 3.5 * 3600
    assert clocks(store)["INC-82", "resolution"]["outcome"] == "active"


def test_the_apis_due_times_and_flags(api: Store) -> None:
    found = clocks(api)
    first = found["7101", "first_reply"]
    assert (first["due_at"], first["stopped_at"], first["breached"], first["recomputed_breached"]) == (
        at(10, 0, 12), at(10, 31), True, True,
    )  # fmt: skip
    assert {row["evidence_level"] for row in found.values()} == {"instance"}
    # the flag says in time, the times say late
    late = found["7104", "first_reply"]
    assert (late["breached"], late["recomputed_breached"]) == (False, True)


def test_a_reopened_ticket_is_not_solved(api: Store) -> None:
    assert tickets(api)["7102"]["solved_at"] is None
    assert clocks(api)["7102", "resolution"]["outcome"] == "active"
    events = api.frame('select type, "at" from ticket_events where ticket_id = \'7102\' order by "at", seq').rows()
    assert events == [("created", at(9, 30)), ("comment", at(9, 40)), ("status", at(10, 30)), ("reopen", at(11))]


def test_an_open_reply_past_its_time_is_breached(api: Store) -> None:
    row = clocks(api)["7102", "next_reply"]
    assert (row["started_at"], row["due_at"], row["stopped_at"], row["outcome"]) == (
        at(11),
        at(11, 30),
        None,
        "breached",
    )


def test_without_statistics_nothing_is_known_of_the_reply(api: Store) -> None:
    assert ("7103", "first_reply") not in clocks(api), "it may have been answered long ago"
    assert clocks(api)["7103", "resolution"]["outcome"] == "active", "the status says that it is not resolved"
    assert tickets(api)["7103"]["status"] == "unknown", "a status of the account's own"


def test_labels_against_the_expected_times(report: Store) -> None:
    found = clocks(report)
    wrong = {key for key, row in found.items() if row["recomputed_breached"] not in {None, row["breached"]}}
    assert wrong == {("8002", "first_reply")}, "violated, though the answer came before it was expected"
    assert found["8001", "first_reply"]["stopped_at"] == datetime(2026, 3, 2, 9, 1, 10, 250_000, tzinfo=UTC)
    assert (found["8001", "first_reply"]["target_s"], found["8001", "resolution"]["target_s"]) == (120, 86400)
    assert found["8002", "resolution"]["recomputed_breached"] is True


def test_labels_of_a_reports_open_tickets_are_not_taken(report: Store) -> None:
    found = clocks(report)
    for key in (("8003", "resolution"), ("8004", "first_reply"), ("8004", "resolution")):
        assert (found[key]["breached"], found[key]["outcome"]) == (None, "active"), key
        assert found[key]["due_at"] is not None


def test_a_resolution_before_the_first_response_is_turned_down() -> None:
    loaded = load(Store(), FORMATS / "freshdesk_expected.csv", zone="UTC")
    assert loaded.rejects.select("line", "reason").rows() == [(6, "Resolution time is before First response time")]


def test_a_report_with_squeezed_headers(tmp_path: Path) -> None:
    text = (FORMATS / "freshdesk_expected.csv").read_text(encoding="utf-8")
    header, _, rows = text.partition("\n")
    squeezed = ",".join(word.title().replace(" ", "").replace("TicketId", "Ticket ID") for word in header.split(","))
    # title-cased words without their spaces, and the two labels as they are
    squeezed = squeezed.replace("SlaForFirstResponse", "SLA For first response").replace(
        "SlaForResolution", "SLA For Resolution"
    )
    squeezed = squeezed.replace("ExpectedSlaTo", "ExpectedSLATo")
    file = tmp_path / "report.csv"
    file.write_text(f"\ufeff{squeezed}\n{rows}", encoding="utf-8")
    one, other = Store(), Store()
    load(one, FORMATS / "freshdesk_expected.csv", zone="UTC")
    load(other, file, zone="UTC")
    for table in ("tickets", "sla"):
        sql = f"select * exclude (load_id) from {table} order by all"  # noqa: S608 - two names
        assert one.frame(sql).equals(other.frame(sql)), table


def test_an_end_without_its_time_leaves_the_label(tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    header = (FORMATS / "freshdesk_expected.csv").read_text(encoding="utf-8").partition("\n")[0]
    report.write_text(
        f"{header}\nClosed,8009,Low,Chat,Tier 1,2026-03-02 09:00:00,2026-03-03 09:00:00,2026-03-02 09:02:00"
        ",,SLA Violated,,Within SLA,\n"
    )
    tickets_file = tmp_path / "tickets.json"
    ended = {
        "id": 7109,
        "status": 5,
        "created_at": "2026-03-02T09:00:00Z",
        "fr_due_by": None,
        "due_by": "2026-03-02T17:00:00Z",
        "is_escalated": False,
    }
    tickets_file.write_text(json.dumps([ended]))
    store = Store()
    load(store, [report, tickets_file], zone="UTC")
    found = {
        key: (row["breached"], row["outcome"], row["due_at"], row["evidence_level"])
        for key, row in clocks(store).items()
    }
    assert found == {
        ("8009", "first_reply"): (True, "breached", None, "label"), ("8009", "resolution"): (False, "met", None, "label"),
        ("7109", "resolution"): (False, "met", None, "label"),
    }  # fmt: skip


def test_a_list_of_the_api_may_come_in_lines(tmp_path: Path) -> None:
    records = json.loads((FORMATS / "freshdesk_api.json").read_text())
    file = tmp_path / "tickets.ndjson"
    file.write_text("\n".join(map(json.dumps, reversed(records))))
    one, other = Store(), Store()
    load(one, FORMATS / "freshdesk_api.json")
    load(other, file)
    for table in ("tickets", "sla", "ticket_events"):
        sql = f"select * exclude (load_id) from {table} order by all"  # noqa: S608 - three names
        assert one.frame(sql).equals(other.frame(sql)), table


def test_the_export_and_the_api_describe_one_ticket_together(tmp_path: Path) -> None:
    ticket = {
        "id": 7003, "status": 4, "created_at": "2026-03-02T11:00:00Z", "fr_due_by": None, "due_by": None,
        "stats": {"resolved_at": "2026-03-02T18:00:00Z"},
    }  # fmt: skip
    file = tmp_path / "tickets.json"
    file.write_text(json.dumps([ticket]))
    store = Store()
    load(store, [FORMATS / "freshdesk_csv.csv", file], zone="UTC")
    row = tickets(store)["7003"]
    assert (row["solved_at"], row["first_reply_at"], row["priority"]) == (at(18), at(11, 5), "low")
