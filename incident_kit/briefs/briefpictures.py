"""The charts of a brief: one for everybody, and what engineers want to see; each drawn in the width that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit import charts, words
from incident_kit.charts.phasing import title
from incident_kit.charts.quality import FEW
from incident_kit.scoring.budget import sample_budget
from incident_kit.scoring.costs import METRIC, costs
from incident_kit.scoring.coverage import coverage

if TYPE_CHECKING:
    from incident_kit.backups.compatibilities import Compatibility
    from incident_kit.briefs.whatif import WhatIf
    from incident_kit.helpdesk.consequences import Consequences
    from incident_kit.phases import Phase
    from incident_kit.scoring.scorecard import Board

WHATIF = "what-if"
MOST = 12  # phases told below a heading


@dataclass(frozen=True)
class Picture:
    """A chart of the page; ``draw(width=...)`` returns it in the width of a desk or of a phone."""

    id: str
    heading: str
    sentence: str
    draw: Callable[..., Any]
    for_engineers: bool = False


def pictures(
    incident: Any, board: Any, series: pl.DataFrame, *, phases: Sequence[Phase], answers: Mapping[str, Any]
) -> list[Picture]:
    """Return the charts that every brief has."""
    spans = [replay.states() for replay in board.replays.values()]
    states = coarse(pl.concat(spans, how="diagonal_relaxed")) if spans else pl.DataFrame()
    over_time = partial(charts.timeline, series, phases=phases, answers=answers)
    compared = partial(charts.quality, incident.quality())
    return [
        Picture(
            "over-time",
            "How it went",
            _legend(phases, str(getattr(incident, "zone", None) or "UTC"), most=0),
            partial(over_time, plain=True),
        ),
        Picture(
            "models",
            "The backup model beside the usual one",
            f"By model, whoever was tried first. n: how many it is of; pale: fewer than {FEW}.",
            partial(compared, plain=True),
            for_engineers=True,
        ),
        Picture(
            "signals",
            "The signals, in their own units",
            _legend(phases, str(getattr(incident, "zone", None) or "UTC")),
            over_time,
            for_engineers=True,
        ),
        Picture(
            "states",
            "Where each rule would have sent the requests",
            "A thick bar: the backup model answered. Tests too short to be seen are left out.",
            partial(charts.states, states, phases=phases),
            for_engineers=True,
        ),
    ]


def _legend(phases: Sequence[Phase], zone: str, *, most: int = MOST) -> str:
    """Return what the strip above the panels has no room for: whose time it is, and what each instant was, at most so many."""
    said = ["The shaded part is the incident."]
    first = next((one for one in phases if one.kind == "impact"), phases[0] if phases else None)
    if first is not None and zone != "UTC":
        here = first.at.astimezone(ZoneInfo(zone))
        said.append(f"{words.clock(first.at)} is {here:%H:%M} in {zone.rsplit('/', 1)[-1].replace('_', ' ')}.")
    told = [f"{words.clock(one.at)} {title(one)}" for one in sorted(phases, key=lambda one: one.at)[:most]]
    return " ".join([*said, *([f"{'; '.join(told)}."] if told else [])])


def of_policies(board: Board, names: Sequence[str], desk: Consequences | None) -> list[Picture]:
    """Return the charts of what other rules would have done: promised times, cost, evidence, samples."""
    incident = board.incident
    found = []
    if desk is not None:
        draw = partial(
            charts.sla, incident.clock.instances, changes=desk.changes, totals=desk.table, phases=incident.phases
        )
        found.append(
            Picture(
                "promises",
                "Promised times missed, and what other rules would have changed",
                "",
                draw,
                for_engineers=True,
            )
        )
    if any(one.name == METRIC for one in board.metrics):
        draw = partial(charts.cost, costs(board))
        found.append(Picture("cost", "What the answers cost", "", draw, for_engineers=True))
    if names:
        rests = coverage({name: board.replays[name] for name in names})
        draw = partial(charts.coverage, rests, phases=incident.phases)
        found.append(Picture("evidence", "What these estimates rest on", "", draw, for_engineers=True))
        budgets = partial(charts.budget, sample_budget(incident, board.replays[names[0]].policy))
        found.append(
            Picture("samples", "Would each window hold enough requests to act?", "", budgets, for_engineers=True)
        )
    return found


def of_limit(found: WhatIf) -> list[Picture]:
    """Return the charts of one limit at several settings: each measure by itself, and two beside one another."""
    drawn = [
        Picture(
            WHATIF, "What if this limit had been another?", "",
            partial(charts.whatif, found.frame, path=found.path, intent=found.intent), for_engineers=True,
        )
    ]  # fmt: skip
    if not found.settings.is_empty():
        heading = "Which settings of this limit no other beats"
        whose = "" if found.intent == "all" else f"Questions about {words.label(found.intent)}, estimated."
        draw = partial(charts.frontier, found.settings)
        drawn.append(Picture("frontier", heading, whose, draw, for_engineers=True))
    return drawn


def of_unsaid(table: pl.DataFrame, metric: str) -> Picture:
    """Return the chart of what the proposed rules leave unsaid."""
    return Picture(
        "unsaid", "Does it hang on what the rules leave unsaid?",
        "Each value that the rules do not name, halved, doubled or swapped, one at a time; estimates without their ranges.",
        partial(charts.sensitivity, table, metric=metric), for_engineers=True,
    )  # fmt: skip


def of_backups(found: Compatibility) -> Picture:
    """Return the chart of every intent's backup beside its primary, on like traffic."""
    heading = "The backup on the traffic of the first choice"
    return Picture("backups", heading, "", partial(charts.compatibility, found), for_engineers=True)


def coarse(states: pl.DataFrame) -> pl.DataFrame:
    """Return the spans without tests of the primary too short to be seen that led back to the backup: one span on it instead.

    A page for leadership has room for hundreds of bars, not for thousands that are a fraction of a pixel wide.
    """
    if states.is_empty():
        return states
    unseen = (states["end"].max() - states["start"].min()) / 500  # type: ignore[operator]
    kept: list[dict[str, Any]] = []
    for row in states.iter_rows(named=True):
        same = [one for one in kept[-2:] if all(one[key] == row[key] for key in ("policy", "route", "target"))]
        is_test = [one["state"] for one in (*same, row)] == ["on backup", "testing primary", "on backup"]
        if is_test and same[1]["end"] - same[1]["start"] < unseen:
            kept.pop()
            kept[-1] |= {"end": row["end"]}
        else:
            kept.append(row)
    return pl.DataFrame(kept, schema=states.schema)
