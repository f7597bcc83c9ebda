"""Timetables: what happens on a game day under one policy, minute by minute."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.scenarios.scenario import since
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.gamedays.exercise import GameDay
    from incident_kit.policies.policy import Policy

MOST = 40  # rows
BEFORE = timedelta(minutes=5)  # what happens so long before the beginning is shown, too
NOBODY = "nobody is named"


def timetable(day: GameDay, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """Yield what happens under one policy, minute by minute: T+, on the log's clock, what, who is called."""
    begin, _ = day.span
    first = day.healthy.about()["first"]
    events: list[tuple[datetime, int, str, str]] = []
    for part in day.parts:
        of = label(part.target)
        start, until = (first + timedelta(microseconds=since(one, first)) for one in (part.start, part.until))
        ramp, recovery = timedelta(milliseconds=part.ramp), timedelta(milliseconds=part.recovery)
        events.append((start, 0, f"PUT IN: {of}, {label(part.text or 'as scripted', longest=160)}", ""))
        if ramp:
            events.append((start + ramp, 1, f"the fault on {of} is at its full strength", ""))
        events.append((until, 2, f"TAKE OUT: the fault on {of}" + (", which fades" if recovery else ""), ""))
    mine = pl.col("policy") == policy.name
    for row in day.pages.filter(mine).iter_rows(named=True):
        name, note = label(row["alert"]), " (without the exercise, too)" if row["needless"] else ""
        events.append((row["fired_at"], 4, f"page ({label(row['severity'])}): {name}{note}", row["who"] or NOBODY))
        if row["cleared_at"] is not None:
            events.append((row["cleared_at"], 5, f"the page {name} ends", ""))
    events += [(row["at"], 3, _switch(row), "") for row in day.switches.filter(mine).iter_rows(named=True)]
    near = sorted(one for one in events if one[0] >= begin - BEFORE)
    for at, _, what, who in near[:MOST]:
        yield offset(at - begin), f"{at.astimezone(day.zone):%H:%M:%S}", what, label(who, longest=120) if who else ""
    if len(near) > MOST:
        yield "", "", f"and {number(len(near) - MOST)} more", ""


def offset(span: timedelta) -> str:
    """Return a time since the beginning as minutes and seconds: ``6:29``."""
    minutes, seconds = divmod(abs(math.floor(span.total_seconds())), 60)
    return f"{'-' if span < timedelta(0) else ''}{minutes}:{seconds:02}"


def _switch(row: dict[str, Any]) -> str:
    route, note = label(row["route"]), " (without the exercise, too)" if row["needless"] else ""
    if row["to"] == "on backup":
        what = "goes to its backup" if row["from"] == "on primary" else "fails its test and stays on its backup"
    else:
        what = "tests its primary" if row["to"] == "testing primary" else "is back on its primary"
    return f"route {route} {what}{note}"
