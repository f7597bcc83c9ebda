"""What agents did with suggestions: Zendesk auto assist as a report of Explore, and the plain table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from loaded import of_sample, picked

from incident_kit.errors import InvalidRows
from incident_kit.sources import load
from incident_kit.store import Store


def test_auto_assist_by_its_usual_headings() -> None:
    loaded = of_sample("zendesk_auto_assist")
    assert {name: picked(row, "decision", "overridden", "ticket_id") for name, row in loaded.feedback.items()} == {
        "aa-1": ("accepted", False, "541"),
        "aa-2": ("edited", True, "542"),
        "aa-3": ("rejected", True, "543"),
        "aa-4": ("ignored", None, "544"),
    }
    assert loaded.feedback["aa-3"]["at"] == datetime(2026, 3, 2, 9, 5, 30, tzinfo=UTC)
    assert picked(loaded.feedback["aa-4"], "at", "decision_rule") == (None, "status=(none)")
    assert loaded.rejects == {6: "status: 'Applied' is not one of Accepted, Edited, Dismissed"}


def test_auto_assist_by_headings_that_a_report_chose(tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    file.write_text("Nr,What happened,Case,Decided\nx1,Edited,9,2026-03-02 10:00:00\n", encoding="utf-8")
    columns = {
        "auto_assist_id": "Nr",
        "auto_assist_status": "What happened",
        "ticket_id": "Case",
        "decided_at": "Decided",
    }
    store = Store()
    with pytest.raises(InvalidRows, match="decided_at: '2026-03-02 10:00:00' has no time zone; say which with zone="):
        load(store, file, columns=columns)
    report = load(store, file, columns=columns, zone="Europe/Berlin")
    assert report.loads[0].source == "zendesk_auto_assist"
    found = store.frame('select suggestion_id, ticket_id, decision, "at" from feedback').rows()
    assert found == [("x1", "9", "edited", datetime(2026, 3, 2, 9, 0, tzinfo=UTC))]


def test_copilot_suggestions_say_accepted_and_no_more() -> None:
    loaded = of_sample("zendesk_copilot")
    assert {name: picked(row, "decision", "overridden", "ticket_id") for name, row in loaded.feedback.items()} == {
        "cs-1": ("accepted", False, "541"),
        "cs-2": ("ignored", None, "542"),
    }
    assert loaded.rejects == {
        4: "not for us: a similar ticket counts as accepted when the pointer rests on it",
        5: "accepted: 'perhaps' is neither yes nor no",
    }


def test_the_plain_table_needs_no_decision_times(tmp_path: Path) -> None:
    file = tmp_path / "shown.csv"
    rows = (
        "s1,t-1,2026-03-02T14:20:05Z,ignored,desk,none in 30 min",
        "s2,t-2,2026-03-02T14:21:05Z,edited,desk,status=Edited",
    )
    file.write_text(
        "suggestion_id,trace_id,shown_at,decision,source,decision_rule\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    store = Store()
    assert load(store, file).loads[0].source == "overrides"
    names = "suggestion_id, request_id, decision, overridden, decision_rule"
    assert store.rows(f"select {names} from feedback order by 1") == [  # noqa: S608 - our columns
        ("s1", "t-1", "ignored", None, "none in 30 min"), ("s2", "t-2", "edited", True, "status=Edited"),
    ]  # fmt: skip


def test_the_kits_own_feedback_is_not_taken_for_the_plain_table(tmp_path: Path) -> None:
    file = tmp_path / "feedback.csv"
    text = "feedback_id,suggestion_id,shown_at,at,decision\nf1,s1,2026-03-02T14:20:05Z,2026-03-02T14:21:05Z,edited\n"
    file.write_text(text, encoding="utf-8")
    store = Store()
    assert load(store, file).loads[0].source == "canonical"
    assert store.rows('select feedback_id, "at" is not null from feedback') == [("f1", True)]
