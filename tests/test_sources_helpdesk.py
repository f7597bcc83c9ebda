from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from incident_kit.errors import InvalidRows, UnknownFormat
from incident_kit.sources import load
from incident_kit.store import Store

DATA = Path(__file__).parent / "data"


@pytest.fixture
def store() -> Store:
    return Store()


def clock(store: Store, ticket: str, metric: str) -> dict[str, Any]:
    sql = "select * from sla where ticket_id = $ticket and metric = $metric"
    (row,) = store.frame(sql, {"ticket": ticket, "metric": metric}).to_dicts()
    return row


def test_overrides_become_feedback(store: Store) -> None:
    report = load(store, DATA / "overrides.csv")
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (6, 4, 2)
    rows = {row["suggestion_id"]: row for row in store.frame("select * from feedback").to_dicts()}
    assert {name: row["decision"] for name, row in rows.items()} == {
        "s-1": "edited", "s-2": "accepted", "s-3": "rejected", "s-4": "ignored",
    }  # fmt: skip
    assert {name: row["overridden"] for name, row in rows.items()} == {
        "s-1": True, "s-2": False, "s-3": True, "s-4": None,
    }  # fmt: skip
    assert rows["s-1"]["edit_ratio"] == pytest.approx(0.42)
    assert rows["s-3"]["at"] == datetime(2026, 3, 2, 14, 25, tzinfo=UTC)
    assert rows["s-4"]["request_id"] is None
    assert rows["s-1"]["decision_rule"] == "status=Edited"


def test_rejected_overrides_say_line_and_value(store: Store) -> None:
    report = load(store, DATA / "overrides.csv")
    rejects = dict(report.rejects.select("line", "reason").iter_rows())
    assert rejects[6] == "decision: 'approved' is not one of accepted, edited, rejected, ignored, unknown"
    assert rejects[7] == "decided_at is before shown_at"
    assert json.loads(report.rejects["record"][0]) == {"feedback_id": "s-5"}


def test_a_trace_id_stands_in_for_a_request_id(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    file.write_text("suggestion_id;trace_id;decided_at;decision\ns-1;tr-9;2026-03-02T14:22:41Z;edited\n")
    load(store, file)
    assert store.rows("select request_id, suggestion_id from feedback") == [("tr-9", "s-1")]


def test_columns_map_a_report_onto_the_format(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "explore.csv"
    file.write_text("Auto assist ID,Ticket ID,Auto assist status,Stamp\naa-1,541,Edited,2026-03-02 14:22\n")
    columns = {
        "suggestion_id": "Auto assist ID", "ticket_id": "Ticket ID", "decision": "Auto assist status", "decided_at": "Stamp",
    }  # fmt: skip
    with pytest.raises(InvalidRows, match=r"decided_at: '2026-03-02 14:22' has no time zone.*zone="):
        load(store, file, columns=columns)
    load(store, file, columns=columns, zone="America/New_York")
    frame = store.frame('select ticket_id, decision, "at" from feedback')
    assert frame.row(0) == ("541", "edited", datetime(2026, 3, 2, 19, 22, tzinfo=UTC))


def test_a_wrong_zone_is_said(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    file.write_text("suggestion_id,decided_at,decision\ns-1,2026-03-02 14:22,edited\n")
    with pytest.raises(UnknownFormat, match="no time zone; use a name such as"):
        load(store, file, zone="Mars/Olympus")


def test_zendesk_page_is_read_from_its_member(store: Store) -> None:
    report = load(store, DATA / "zendesk_events.json")
    assert report.loads[0].source == "zendesk_events"
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (14, 13, 1)
    assert report.rejects["reason"].to_list() == ["withdrawn by Zendesk (deleted)"]


def test_zendesk_types_depend_on_the_events_before(store: Store) -> None:
    load(store, DATA / "zendesk_events.json")
    types = store.rows("select seq, type from sla_events where ticket_id = '542' order by seq")
    assert types == [(9006, "start"), (9007, "apply"), (9008, "pause"), (9010, "resume"), (9011, "stop")]


def test_a_breached_reply(store: Store) -> None:
    load(store, DATA / "zendesk_events.json")
    row = clock(store, "541", "first_reply")
    assert row["target_s"] == 3600
    assert row["clock"] == "business"
    assert row["policy"] == "Premium"
    assert row["started_at"] == datetime(2026, 3, 2, 14, tzinfo=UTC)
    assert row["due_at"] == datetime(2026, 3, 2, 15, tzinfo=UTC)
    assert row["stopped_at"] == datetime(2026, 3, 2, 15, 31, 10, tzinfo=UTC)
    assert row["elapsed_s"] == 81 * 60
    assert (row["breached"], row["outcome"], row["evidence_level"]) == (True, "breached", "event")


def test_a_paused_clock_that_was_met(store: Store) -> None:
    load(store, DATA / "zendesk_events.json")
    row = clock(store, "542", "requester_wait")
    assert row["paused_s"] == 30 * 60
    assert row["elapsed_s"] == 30 * 60
    assert row["policy"] == "7"
    assert row["due_at"] is None, "with a pause the due time takes a clock, not a sum"
    assert (row["breached"], row["outcome"]) == (False, "met")


def test_a_running_calendar_clock_is_due_at_start_plus_target(store: Store) -> None:
    load(store, DATA / "zendesk_events.json")
    row = clock(store, "543", "next_reply")
    assert row["due_at"] == datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
    assert (row["stopped_at"], row["breached"], row["outcome"]) == (None, None, "active")
    assert store.rows("select count(*) from sla") == [(3,)], "measure events make no clock"


def test_a_breach_foretold_after_the_stop_did_not_happen(store: Store, tmp_path: Path) -> None:
    base = {"ticket_id": 1, "metric": "reply_time", "instance_id": 1, "deleted": False}
    events = [
        {"id": 1, "type": "activate", "time": "2026-03-02T10:00:00Z"},
        {"id": 2, "type": "apply_sla", "time": "2026-03-02T10:00:00Z", "sla": {"target": 60, "business_hours": False}},
        {"id": 3, "type": "breach", "time": "2026-03-02T11:00:00Z"},
        {"id": 4, "type": "fulfill", "time": "2026-03-02T10:20:00Z"},
    ]
    file = tmp_path / "events.json"
    file.write_text(json.dumps([base | event for event in events]))
    load(store, file)
    assert clock(store, "1", "first_reply")["outcome"] == "met"


@pytest.mark.parametrize("reverse", [False, True])
def test_events_in_two_files_give_the_same_clocks(tmp_path: Path, *, reverse: bool) -> None:
    events = json.loads((DATA / "zendesk_events.json").read_text())["ticket_metric_events"]
    whole, halves = Store(), Store()
    load(whole, DATA / "zendesk_events.json")
    parts = []
    for number, part in enumerate((events[::2], events[1::2])):
        parts.append(tmp_path / f"part{number}.ndjson")
        parts[-1].write_text("\n".join(map(json.dumps, part)))
    for part in reversed(parts) if reverse else parts:
        load(halves, part)
    for table in ("sla", "sla_events"):
        sql = f"select * exclude (load_id) from {table} order by all"  # noqa: S608 - two names
        assert whole.frame(sql).equals(halves.frame(sql))
    again = load(halves, [DATA / "zendesk_events.json"])
    assert (again.rows_loaded, again.rows_duplicate, again.rows_rejected) == (0, 13, 1)
