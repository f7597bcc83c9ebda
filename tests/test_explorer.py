"""The Explorer without a browser: what a window holds, what it is beside, and what its controls do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from made_up import HOSTILE
from polars.testing import assert_frame_equal
from written import START, Call, Request, write

from incident_kit import Explorer, contrast, ticket_list
from incident_kit.case import open_case
from incident_kit.charts import offline
from incident_kit.errors import InvalidCase, NoSuchItem
from incident_kit.incident import Incident
from incident_kit.samples import sample
from incident_kit.widgets.exploration import WERE, Exploration, panels
from incident_kit.widgets.listing import requests as listed_requests
from incident_kit.widgets.listing import tickets as listed_tickets

NOON = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def outage() -> Incident:
    return open_case(sample("outage"), in_memory=True)


@pytest.fixture
def explorer(outage: Incident) -> Explorer:
    return Explorer(outage)


def clock(hour: int, minute: int = 0) -> datetime:
    return NOON.replace(hour=hour, minute=minute)


def test_it_begins_with_the_impact_beside_healthy_time(explorer: Explorer, outage: Incident) -> None:
    begin, end = outage.span("impact")
    assert explorer.selection == (begin, end)
    assert explorer.baseline == "healthy"
    assert_frame_equal(explorer.contrast, contrast(outage).rows)
    arrived = outage.requests().filter(pl.col("arrived_at").is_between(begin, end, closed="left"))
    assert set(explorer.requests["request_id"]) == set(arrived["request_id"])
    assert explorer.requests["arrived_at"].is_sorted()
    assert explorer.requests["arrived_at"].min() >= begin


@pytest.mark.parametrize("span", [(13, 16), (12, 13), (17, 18)])
def test_its_tickets_are_those_of_the_ticket_list(explorer: Explorer, outage: Incident, span: tuple[int, int]) -> None:
    explorer.look((clock(span[0]), clock(span[1])))
    assert_frame_equal(explorer.tickets, ticket_list(outage, during=explorer.selection))


def test_a_window_beside_the_rest_a_phase_and_another_window(explorer: Explorer, outage: Incident) -> None:
    explorer.look((clock(14), clock(15)), baseline="all")
    assert_frame_equal(explorer.contrast, contrast(outage, (clock(14), clock(15)), "all").rows)
    explorer.look((clock(12), clock(13)), baseline="impact")
    assert_frame_equal(explorer.contrast, contrast(outage, (clock(12), clock(13)), outage.span("impact")).rows)
    explorer.look((clock(13), clock(14)), baseline=(clock(12), clock(13)))
    assert set(explorer.view.windows) == {"window", "baseline"}
    explorer.look((clock(15), clock(16)))
    assert explorer.baseline == (clock(12), clock(13)), "it stays what it was"


def test_what_cannot_be_looked_at_says_why(explorer: Explorer) -> None:
    with pytest.raises(NoSuchItem, match="no phase 'inpact'"):
        explorer.look("inpact")
    with pytest.raises(InvalidCase, match="has no zone"):
        explorer.look((datetime(2026, 10, 5, 13), clock(14)))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(InvalidCase, match="before it begins"):
        explorer.look((clock(14), clock(13)))
    explorer.look((clock(3), clock(4)))
    assert explorer.selection == (clock(12), clock(12, 1)), "a window lies within the log"


def test_a_hand_on_the_chart_moves_everything(explorer: Explorer) -> None:
    explorer.view.spans = {"window": [1e3 * clock(15).timestamp(), 1e3 * clock(16).timestamp()]}
    assert explorer.selection == (clock(15), clock(16))
    assert [box.value for box in explorer._ends] == ["2026-10-05 15:00:00", "2026-10-05 16:00:00"]
    shown = explorer.view.patch["rows"]
    assert "(15:00 to 16:00 UTC), beside healthy time" in shown["head"][0]["title"]
    row = explorer.contrast.filter(dimension="draft overridden").row(0, named=True)
    assert f"{row['count']} of {row['of']:,}" in [line["count"] for line in shown["became"]]
    assert "(15:00 to 16:00 UTC)" in explorer._tickets.value
    assert "(15:00 to 16:00 UTC)" in explorer._requests.value


def test_boxes_and_buttons(explorer: Explorer) -> None:
    from_box, until_box = explorer._ends
    from_box.value = "14:30"
    assert explorer.selection == (clock(14, 30), clock(16, 20))
    until_box.value = "2026-10-05T17:00:00+02:00"
    assert explorer.selection == (clock(14, 30), clock(15))
    explorer.look((clock(16), clock(17)))
    presses = {button.description: button for row in explorer.children for button in getattr(row, "children", ())}
    for name, expected in (
        ("Later", (clock(16, 10), clock(17, 10))), ("Longer", (clock(16, 10), clock(17, 20))),
        ("Shorter", (clock(16, 10), clock(17, 10))), ("Earlier", (clock(16), clock(17))),
        ("Impact", (clock(13, 40), clock(16, 20))), ("Around first complaint", (clock(14, 10), clock(14, 50))),
    ):  # fmt: skip
        presses[name].click()
        assert explorer.selection == expected, name
    explorer.look((clock(17, 5), clock(18)))
    presses["Later"].click()
    assert explorer.selection == (clock(17, 5), clock(18)), "at the log's end it keeps its length"
    assert all(button.tooltip for button in presses.values() if hasattr(button, "click"))


@pytest.mark.parametrize("typed", ["soon", "", "25:00", "14:30:99", "2026-13-01 10:00", "<b>x</b>"])
def test_what_is_no_time_is_said_and_nothing_moves(explorer: Explorer, typed: str) -> None:
    before = explorer.selection
    explorer._ends[0].value = typed
    assert explorer.selection == before
    assert "is no time: write 2026-10-05 13:40:00" in explorer._said.value
    assert "<b>" not in explorer._said.value


def test_the_other_side_is_turned_by_its_list_and_its_boxes(explorer: Explorer) -> None:
    explorer._beside.value = "a second window"
    assert explorer.baseline == (clock(12), clock(13, 40)), "it begins as what came before, as far as the log goes"
    assert explorer._other_ends[0].layout.display == ""
    explorer._other_ends[1].value = "13:00"
    assert explorer.baseline == (clock(12), clock(13))
    explorer._beside.value = "the rest of the log"
    assert explorer.baseline == "all"
    assert explorer._other_ends[0].layout.display == "none"
    explorer._beside.value = "Impact"
    assert explorer.baseline == (clock(13, 40), clock(16, 20))
    with pytest.raises(InvalidCase, match="nothing to compare"):
        explorer.contrast  # noqa: B018 - the window is the impact, too
    assert "nothing to compare" in explorer.view.patch["rows"]["head"][0]["said"]


def test_in_a_kernel_the_lists_follow_when_the_hand_rests(outage: Incident) -> None:
    async def hand() -> tuple[bool, str, str]:
        explorer = Explorer(outage)
        explorer.look((clock(14), clock(15)))
        first = explorer._work
        explorer.look((clock(15), clock(16)))
        at_once = explorer.view.patch["rows"]["head"][0]["title"]
        assert first is not None
        assert explorer._work is not None
        assert "stale" in explorer._tickets._dom_classes
        await asyncio.wait_for(explorer._work, timeout=60)
        assert "stale" not in explorer._tickets._dom_classes
        return first.cancelled(), at_once, explorer._tickets.value

    cancelled, title, listed = asyncio.run(hand())
    assert cancelled
    assert "(15:00 to 16:00 UTC)" in title
    assert "(15:00 to 16:00 UTC)" in listed


@pytest.mark.slow
def test_a_snapshot_needs_no_kernel_and_holds_the_windows(explorer: Explorer) -> None:
    explorer.look((clock(14), clock(15)), baseline=(clock(12), clock(13)))
    made = explorer.snapshot()
    picture = offline.svg(made)
    for words in (
        "(14:00 to 15:00 UTC), beside 14:00 to 15:00 (12:00 to 13:00 UTC)",
        "Draft overridden",
        "points more",
    ):
        assert words in picture
    assert "Drag across" not in picture
    assert made.to_dict()["description"].startswith("5 October 2026, 12:00 to 18:00 UTC.")


def test_an_empty_incident_says_so() -> None:
    explorer = Explorer(Incident.create())
    assert "there are no requests" in offline.svg(explorer.snapshot())
    with pytest.raises(InvalidCase, match="load a gateway's log"):
        explorer.selection  # noqa: B018


@pytest.mark.slow
def test_one_request_is_drawn_and_has_nothing_beside_it(tmp_path: Path) -> None:
    incident = Incident.create()
    incident.load(write(tmp_path, [Request("r1", 0, [Call("a", 900)])]))
    explorer = Explorer(incident)
    assert explorer.requests["request_id"].to_list() == ["r1"]
    assert explorer.selection[0] <= START < explorer.selection[1]
    assert "nothing to compare" in offline.svg(explorer.snapshot())
    explorer._beside.value = "the rest of the log"
    assert "nothing to compare" in explorer._said.value


def test_a_quiet_log_begins_with_its_longest_waits(tmp_path: Path) -> None:
    calls = [Request(f"r{i}", 60_000 * i, [Call("a", 9000 if i == 30 else 900)]) for i in range(60)]
    incident = Incident.create()
    incident.load(write(tmp_path, calls))
    begin, end = Explorer(incident).selection
    assert begin <= START + timedelta(minutes=30) < end


def test_every_impact_has_a_button_and_an_open_one_lasts_to_the_end(tmp_path: Path) -> None:
    incident = Incident.create()
    incident.load(write(tmp_path, [Request(f"r{i}", 60_000 * i, [Call("a", 900)]) for i in range(60)]))
    minutes = [START + timedelta(minutes=at) for at in (10, 20, 40)]
    incident.annotate("impact", START - timedelta(days=2), START - timedelta(days=1))
    incident.annotate("impact", minutes[0], minutes[1])
    incident.annotate("impact", minutes[2])
    explorer = Explorer(incident)
    assert explorer.selection == (minutes[0], minutes[1]), "the first within the log"
    assert explorer.phases == {
        "Impact 12:10": (minutes[0], minutes[1]), "Impact 12:40": (minutes[2], START + timedelta(minutes=60)),
    }  # fmt: skip


def test_what_is_shown_of_a_contrast(outage: Incident) -> None:
    ready = Exploration(outage)
    found = ready.look(ready.first).found
    assert found is not None
    became, were = panels(found, slow_ms=outage.slow_ms)
    assert became.height <= ready.outcomes
    assert were.height == WERE
    row = found.rows.filter(dimension="draft overridden").row(0, named=True)
    shown = became.filter(what="Draft overridden").row(0, named=True)
    assert shown["count"] == f"{row['count']:,} of {row['of']:,}"
    assert shown["verdict"] == "more"
    assert (shown["low"], shown["high"]) == (row["low"], row["high"])
    assert became.filter(verdict="chance")["range"].unique().to_list() == ["as usual, or by chance"]
    same = were.filter(pl.col("also").str.contains("deployment backup-1")).row(0, named=True)
    assert "model breeze/fast_backup_model" in same["also"], "the same requests are told once"
    assert [frame.height for frame in panels(None, slow_ms=1)] == [0, 0]


def test_lists_are_cut_counted_and_hold_no_markup(outage: Incident) -> None:
    ready = Exploration(outage)
    frame = ready.requests(ready.first).with_columns(intent=pl.lit(HOSTILE), request_id=pl.lit('"><b>'))
    shown = listed_requests(frame, when="13:40", most=5)
    assert shown.count("<tr>") == 6
    assert "5 of 12,233" in shown
    assert "<img" not in shown
    assert "<b>" not in shown
    tickets = ready.tickets(ready.first).head(3)
    links = pl.Series(
        "link", ["javascript:alert(1)", 'https://desk.example/"onclick=', "https://desk.example/1?a=1&b=2"]
    )
    shown = listed_tickets(tickets.with_columns(links), when=HOSTILE)
    assert shown.count("<a ") == 1
    assert 'href="https://desk.example/1?a=1&amp;b=2" target="_blank" rel="noopener noreferrer"' in shown
    assert "<img" not in shown
    assert "none" in listed_tickets(tickets.clear(), when="13:40")


def test_the_worst_requests_come_first(tmp_path: Path) -> None:
    made = [
        Request("fast", 0, [Call("a", 100)]), Request("slow", 1000, [Call("a", 9000)]),
        Request("failed", 2000, [Call("a", 50, "500")]), Request("redone", 3000, [Call("a", 200)], overridden=True),
    ]  # fmt: skip
    incident = Incident.create()
    incident.load(write(tmp_path, made))
    ready = Exploration(incident)
    shown = listed_requests(ready.requests(ready.limits), when="now")
    places = [shown.index(f"<td>{name}</td>") for name in ("failed", "redone", "slow", "fast")]
    assert places == sorted(places)
