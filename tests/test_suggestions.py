"""Override rates: counted by hand, over both denominators."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from written import START, Call, Request, write

import incident_kit as ik
from incident_kit.errors import NoSuchItem
from incident_kit.helpdesk.suggestions import join_suggestions, override_rates

HEADER = "suggestion_id,request_id,shown_at,decided_at,decision,source\n"


def decided(folder: Path, *rows: tuple[str, str, str, str]) -> ik.Incident:
    """Suggestions (id, request, decision, source), shown one a minute."""
    incident = ik.Incident.create()
    calls = [Request(name, 1000 * n, [Call("big", 500)]) for n, name in enumerate(("r1", "r2"))]
    calls.append(Request("r3", 9000, [Call("big", 500, "503"), Call("small", 100)], intent=None))
    incident.load(write(folder, calls))
    lines = [
        f"{suggestion},{request},{(START + timedelta(minutes=n)).isoformat()},,{decision},{source}\n"
        for n, (suggestion, request, decision, source) in enumerate(rows)
    ]
    file = folder / "decisions.csv"
    file.write_text(HEADER + "".join(lines), encoding="utf-8")
    incident.load(file)
    return incident


ROWS = (
    ("s1", "r1", "accepted", "a"),
    ("s2", "r2", "edited", "a"),
    ("s3", "r3", "rejected", "a"),
    ("s4", "", "ignored", "a"),
    ("s5", "", "ignored", "a"),
    ("s6", "r1", "accepted", "b"),
    ("s7", "elsewhere", "rejected", "b"),
    ("s8", "", "", "b"),
)


def test_both_denominators_by_hand(tmp_path: Path) -> None:
    (row,) = override_rates(decided(tmp_path, *ROWS)).to_dicts()
    assert [row[name] for name in ("suggestions", "accepted", "edited", "rejected", "ignored", "unknown")] == [
        8, 2, 1, 2, 2, 1,
    ]  # fmt: skip
    assert row["override_rate"] == pytest.approx(3 / 5)
    assert row["override_rate_ignored_rejected"] == pytest.approx(5 / 7)
    assert row["linked"] == pytest.approx(4 / 8), "a request that is not in the log is no link"


def test_by_the_product_that_recorded_it(tmp_path: Path) -> None:
    rates = override_rates(decided(tmp_path, *ROWS), by="source")
    found = {row["source"]: row for row in rates.to_dicts()}
    assert found["a"]["override_rate"] == pytest.approx(2 / 3)
    assert found["a"]["override_rate_ignored_rejected"] == pytest.approx(4 / 5)
    assert not found["a"]["is_lower_bound"]
    assert found["b"]["override_rate"] == found["b"]["override_rate_ignored_rejected"] == pytest.approx(1 / 2)
    assert found["b"]["is_lower_bound"], "no edit is marked by b: its accepted ones may be edited"


@pytest.mark.parametrize(("by", "groups"), [("intent", ["(none)", "chat"]), ("target", ["(none)", "big", "small"])])
def test_by_what_the_request_was(tmp_path: Path, by: str, groups: list[str]) -> None:
    rates = override_rates(decided(tmp_path, *ROWS), by=by)
    assert rates[by].to_list() == groups
    assert rates["suggestions"].sum() == len(ROWS)


def test_nothing_decided_has_no_rate(tmp_path: Path) -> None:
    (row,) = override_rates(decided(tmp_path, ("s1", "r1", "ignored", "a"), ("s2", "r2", "unknown", "a"))).to_dicts()
    assert row["override_rate"] is None
    assert row["override_rate_ignored_rejected"] == pytest.approx(1.0)
    assert not row["is_lower_bound"], "there is no accepted suggestion that might be an edited one"


def test_only_what_was_shown_in_the_span(tmp_path: Path) -> None:
    incident = decided(tmp_path, *ROWS)
    (row,) = override_rates(incident, during=(START + timedelta(minutes=1), START + timedelta(minutes=3))).to_dicts()
    assert (row["suggestions"], row["edited"], row["rejected"], row["override_rate"]) == (2, 1, 1, 1.0)


def test_two_records_of_one_decision_count_once(tmp_path: Path) -> None:
    incident = ik.Incident.create()
    rows = [
        {"feedback_id": "f1", "suggestion_id": "s1", "decision": "rejected", "source": "a"},
        {"feedback_id": "f2", "suggestion_id": "s1", "decision": "edited", "source": "a"},
        {"feedback_id": "f3", "suggestion_id": "s1", "decision": "unknown", "source": "a"},
        {"feedback_id": "f4", "suggestion_id": "s1", "decision": "accepted", "source": "b"},
    ]
    pl.DataFrame(rows).write_ndjson(tmp_path / "feedback.ndjson")
    incident.load(tmp_path / "feedback.ndjson")
    rates = override_rates(incident, by="source")
    assert rates.select("source", "suggestions", "edited", "accepted").rows() == [("a", 1, 1, 0), ("b", 1, 0, 1)]


def test_another_grouping_is_refused() -> None:
    with pytest.raises(NoSuchItem, match=r"by source, intent, target, or by nothing, not by 'sourcs'.*'source'"):
        override_rates(ik.Incident.create(), by="sourcs")


# ---- which request made a suggestion


def shown(folder: Path, *rows: tuple[str, str, float, str]) -> ik.Incident:
    """Four requests, of tickets HD-1, HD-1, HD-2 and HD-3 (failed); suggestions (id, ticket, shown after seconds, request)."""
    incident = ik.Incident.create()
    calls = [Call("big", 2000)]
    tickets = (("r1", 0, "HD-1"), ("r2", 60, "HD-1"), ("r3", 60, "HD-2"))
    requests = [Request(name, 1000 * second, calls, changes={"ticket_id": ticket}) for name, second, ticket in tickets]
    requests.append(Request("r4", 60_000, [Call("big", 100, "503")], changes={"ticket_id": "HD-3"}))
    incident.load(write(folder, requests))
    lines = [
        f"{name},{ticket},{request},{(START + timedelta(seconds=second)).isoformat()},,edited,desk\n"
        for name, ticket, second, request in rows
    ]
    file = folder / "decisions.csv"
    text = "suggestion_id,ticket_id,request_id,shown_at,decided_at,decision,source\n" + "".join(lines)
    file.write_text(text, encoding="utf-8")
    incident.load(file)
    return incident


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("HD-1", 5, ""), ("ticket", "r1", 1)),
        (("#hd-1", 5, ""), ("ticket", "r1", 1)),
        (("HD-1", 65, ""), ("ambiguous", None, 2)),
        (("HD-1", 150, ""), ("ticket", "r2", 1)),  # the first answer is more than two minutes old
        (("HD-1", 1, ""), ("ticket", "r1", 1)),  # answered at 2 s: clocks differ by a little
        (("HD-2", 50, ""), ("none", None, 0)),  # shown before it was asked for
        (("HD-3", 62, ""), ("none", None, 0)),  # nothing was answered
        (("HD-9", 62, ""), ("none", None, 0)),
        (("", 62, ""), ("none", None, 0)),
        (("HD-1", 65, "r1"), ("id", "r1", 1)),
        (("HD-2", 65, "gone"), ("none", None, 0)),  # it names another request, which is not in the log
    ],
)
def test_a_suggestion_finds_its_request(
    tmp_path: Path, row: tuple[str, float, str], expected: tuple[str, str | None, int]
) -> None:
    join = join_suggestions(shown(tmp_path, ("s1", *row)))
    assert join.rows.select("how", "request_id", "candidates").row(0) == expected


def test_what_the_join_reports(tmp_path: Path) -> None:
    rows = (("s1", "HD-1", 5, ""), ("s2", "HD-1", 65, ""), ("s3", "HD-2", 65, "r3"), ("s4", "", 70, ""))
    incident = shown(tmp_path, *rows)
    join = join_suggestions(incident)
    assert (join.match_rate, join.ambiguity) == (0.5, 0.25)
    assert str(join) == "Suggestions with their request: 50 % (1 by id, 1 by ticket and time); 1 ambiguous, 1 without."
    assert override_rates(incident)["linked"].item() == 0.5
    assert override_rates(incident, by="target").select("target", "suggestions").rows() == [("(none)", 2), ("big", 2)]


def test_a_wider_window_finds_more_and_doubts_more(tmp_path: Path) -> None:
    incident = shown(tmp_path, ("s1", "HD-1", 150, ""))
    assert join_suggestions(incident, within=timedelta(minutes=10)).rows["how"].item() == "ambiguous"
    assert join_suggestions(incident, within=timedelta(seconds=10)).rows["how"].item() == "none"


def test_no_suggestions() -> None:
    join = join_suggestions(ik.Incident.create())
    assert (join.rows.height, join.match_rate, join.ambiguity, str(join)) == (0, 0.0, 0.0, "No suggestion is logged.")
