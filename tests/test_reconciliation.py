"""Reconciliation: a lead's figure against every way of counting, on clocks written by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from test_consequences import Ask, Clock, at, world

from incident_kit.errors import NoSuchItem
from incident_kit.helpdesk.reconciliation import CHOICES, EVERY, Reconciliation, _whole, reconcile
from incident_kit.incident import Incident

ALL = {"period": "all"}


def desk() -> Incident:
    """T1 missed two targets, T2 one that the help desk has as kept, T3 none; the impact is the first 15 minutes."""
    clocks = [
        Clock(620, 600, ticket="T1"),
        Clock(2000, 1800, ticket="T1", more={"metric": "resolution"}),
        Clock(700, 600, ticket="T2", more={"breached": False, "outcome": "met"}),
        Clock(500, 600, ticket="T3"),
    ]
    incident = world(clocks, [Ask(1, 1, 1), Ask(40_000, 1, 1)])[0]
    incident.store.run("delete from tickets where rowid not in (select min(rowid) from tickets group by ticket_id)")
    incident.annotate("impact", at(0), at(900))
    return incident


def figures(found: Reconciliation, *names: str) -> dict[Any, int]:
    return {tuple(row[name] for name in names): row["figure"] for row in found.rows.iter_rows(named=True)}


def test_every_way_of_counting() -> None:
    found = reconcile(desk(), 0, period="all")
    assert figures(found.__class__(0, found.rows.filter(metric=EVERY), "UTC"), "count", "verdicts") == {
        ("targets", "recomputed"): 3,
        ("targets", "recorded"): 2,
        ("tickets", "recomputed"): 2,
        ("tickets", "recorded"): 1,
    }
    assert figures(found, "metric", "count", "verdicts")["first_reply", "targets", "recomputed"] == 2
    assert figures(found, "metric", "count", "verdicts")["resolution", "tickets", "recorded"] == 1


def test_dates_decide() -> None:
    """Due at 600 and 1800 s, ended at 620, 2000 and 700, solved 10,000 s later; the impact ends at 900 s."""
    found = reconcile(desk(), 0, period="impact", count="targets", verdicts="recomputed", metric=EVERY)
    assert figures(found, "by", "running") == {
        (by, running): figure
        for by, figure in (("due", 2), ("created", 3), ("ended", 2), ("solved", 0))
        for running in CHOICES["running"]
    }


def test_a_figure_that_is_found() -> None:
    found = reconcile(desk(), 1)
    best = found.matches.row(0, named=True)
    assert (best["count"], best["verdicts"], best["period"], best["steps"]) == ("targets", "recorded", "impact", 1)
    assert found.own["figure"] == 2
    assert [figure for _, figure in found.path] == [2, 1]
    told = str(found)
    assert told.startswith("The kit counts 2 missed targets: each missed target by itself, all metrics, counted anew")
    assert "\n  as the help desk flagged them\n" in told
    assert "as the help desk flagged them: 1 (-1)" in told


def test_the_kits_own_figure_needs_no_step() -> None:
    found = reconcile(desk(), 2)
    assert found.matches["steps"][0] == 0
    assert found.path == (("the kit's own way", 2),)
    assert "\n  the kit's own way\n" in str(found) + "\n"


def test_ways_that_count_the_same_clocks_are_one() -> None:
    found = reconcile(desk(), 3)
    assert found.matches["alike"].n_unique() == found.matches.height
    assert found.rows.filter(difference=0).height > found.matches.height
    assert "more come to the very same clocks" in str(found)


def test_a_figure_that_nothing_gives() -> None:
    found = reconcile(desk(), 41)
    assert found.matches.is_empty()
    assert found.rows["difference"][0] == -38
    assert "No way of counting gives it; the nearest is 3 (-38):" in str(found)


def test_part_of_the_tickets_is_tried_last() -> None:
    """Two of priority high, one of low: nobody asked for the low ones only, until nothing else gave one."""
    incident = desk()
    incident.store.run("update tickets set priority = case ticket_id when 'T2' then 'low' else 'high' end")
    options: dict[str, Any] = {"period": "all", "count": "targets", "verdicts": "recomputed", "metric": EVERY}
    assert set(reconcile(incident, 3, **options).rows["only"]) == {""}
    found = reconcile(incident, 1, **options)
    assert found.matches["only"].to_list() == ["priority low"]
    assert "only priority low" in str(found)


def test_open_clocks() -> None:
    incident = desk()
    incident.store.run("update sla set stopped_at = null, outcome = 'active' where ticket_id = 'T2'")
    found = reconcile(incident, 0, period="all", count="targets", verdicts="recomputed", metric=EVERY)
    assert figures(found, "running") == {("with running clocks",): 3, ("ended clocks only",): 2}


def test_days_of_a_zone() -> None:
    """An impact of 23:30 to 00:30 UTC on the last day of a month, in a week that a change of the clocks falls into."""
    begin, end = datetime(2026, 10, 31, 23, 30, tzinfo=UTC), datetime(2026, 11, 1, 0, 30, tzinfo=UTC)
    utc, york = ZoneInfo("UTC"), ZoneInfo("America/New_York")
    assert _whole("day", begin, end, utc) == (_day(10, 31, utc), _day(11, 2, utc))
    assert _whole("day", begin, end, york) == (_day(10, 31, york), _day(11, 1, york))
    assert _whole("week", begin, end, york) == (_day(10, 26, york), _day(11, 2, york))
    assert _whole("month", begin, end, york) == (_day(10, 1, york), _day(11, 1, york))
    assert _whole("month", begin, end, utc) == (_day(10, 1, utc), _day(12, 1, utc))
    assert _whole("day", begin, datetime(2026, 11, 1, tzinfo=UTC), utc) == (_day(10, 31, utc), _day(11, 1, utc))
    first, last = _whole("week", begin, end, york)
    assert (last.astimezone(UTC) - first.astimezone(UTC)).total_seconds() == 7 * 86_400 + 3600


def _day(month: int, day: int, zone: ZoneInfo) -> datetime:
    return datetime(2026, month, day, tzinfo=zone)


def test_zones_are_tried() -> None:
    incident = desk()
    incident.zone = "Asia/Tokyo"
    found = reconcile(incident, 3, period="day")
    assert set(found.rows["zone"]) == {"Asia/Tokyo", "UTC"}
    assert set(reconcile(incident, 3, period="day", zone="Asia/Kolkata").rows["zone"]) == {"Asia/Kolkata"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "duee"}, "there is no by 'duee' .did you mean 'due'"),
        ({"count": "people"}, "there is no count 'people'; there are targets, tickets"),
        ({"metric": "x"}, "there is no metric 'x'; there are all metrics, first_reply, resolution"),
        ({"zone": "Berlin"}, "there is no time zone 'Berlin'"),
        ({"period": "year"}, "there is no period 'year'"),
    ],
)
def test_what_there_is_not(options: dict[str, Any], said: str) -> None:
    with pytest.raises(NoSuchItem, match=said):
        reconcile(desk(), 1, **options)


def test_instances_are_targets() -> None:
    assert set(reconcile(desk(), 3, count="instances").rows["count"]) == {"targets"}


def test_nothing_loaded() -> None:
    found = reconcile(Incident.create(), 3)
    assert (found.rows.height, found.path) == (0, ())
    assert str(found) == "No SLA target is loaded: there is nothing to count."
