"""Milestones: the time to detect, to mitigate and to recover from each impact, each between two instants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit.phases import Phase
from incident_kit.words import clock, label, lasting

Basis = Literal["annotated", "from the data", "unknown"]
WORDS = {"detected": "to detect", "mitigated": "to mitigate", "recovered": "to recover"}
_INSTANT = pl.Datetime("us", "UTC")
_ROWS: dict[str, Any] = {
    "impact": pl.Int64, "milestone": pl.String, "start": _INSTANT, "end": _INSTANT, "took": pl.Duration("us"),
    "basis": pl.String, "why": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Milestone:
    """From when on an impact was, and when it was detected, mitigated or recovered from; ``end`` None: nobody says.

    ``basis`` says where the end comes from; ``why`` what it is, or why it is not known. ``impact`` counts from 1.
    """

    impact: int
    kind: str
    start: datetime
    end: datetime | None
    basis: Basis
    why: str = ""

    @property
    def took(self) -> timedelta | None:
        """The time between the two instants; negative where it was there before the impact; None where nobody says."""
        return None if self.end is None else self.end - self.start

    def said(self, *, zone: ZoneInfo | None = None) -> str:
        """Return the time with its two instants, in the reader's zone with UTC in brackets."""
        name = f"Time {WORDS[self.kind]}"
        if self.end is None or self.took is None:
            return f"{name}: not known; {self.why}."
        at_once = not self.took
        before = self.took < timedelta(0)
        length = "none" if at_once else f"{lasting(abs(self.took))}{' before it began' if before else ''}"
        far = self.start.astimezone(zone).date() != self.end.astimezone(zone).date()
        told = f"{name}: {length}, from {clock(self.start, zone=zone)} to {clock(self.end, zone=zone, date=far)}"
        aside = [
            *([self.basis] if self.basis != "annotated" else []),
            *([label(self.why, longest=120)] if self.why else []),
        ]
        return f"{told} ({'; '.join(aside)})." if aside else f"{told}."


@dataclass(frozen=True)
class Times:
    """The milestones of every impact, in order of time; ``zone`` is the reader's."""

    milestones: tuple[Milestone, ...]
    zone: str = "UTC"

    def __iter__(self) -> Iterator[Milestone]:
        """Yield the milestones."""
        return iter(self.milestones)

    def __len__(self) -> int:
        """Return the number of milestones, known or not."""
        return len(self.milestones)

    @property
    def rows(self) -> pl.DataFrame:
        """One row a milestone.

        Columns: impact (1 is the first), milestone (detected, mitigated, recovered), start (of the impact), end (NULL: not
        known), took, basis (annotated, from the data, unknown), why.
        """
        rows = [(m.impact, m.kind, m.start, m.end, m.took, m.basis, m.why) for m in self]
        return pl.DataFrame(rows, schema=_ROWS, orient="row")

    def __str__(self) -> str:
        if not self.milestones:
            return "There is no impact: no time to detect, to mitigate or to recover."
        zone, several = ZoneInfo(self.zone), self.milestones[-1].impact > 1
        return "\n".join(f"{f'Impact {m.impact}. ' if several else ''}{m.said(zone=zone)}" for m in self)


def times(phases: Sequence[Phase], *, zone: str = "UTC") -> Times:
    """Return the time to detect, to mitigate and to recover from each impact among the phases.

    A milestone is of the impact that was last begun when it came, or, between impacts, of the one before; before the first
    impact it is the first's. Without an annotated recovery the impact's own end stands for it.

    Examples
    --------
    >>> from datetime import UTC
    >>> start = datetime(2026, 10, 5, 13, 20, tzinfo=UTC)
    >>> print(times([Phase("impact", start), Phase("detected", start + timedelta(minutes=12))]).milestones[0].said())
    Time to detect: 12 min, from 13:20 UTC to 13:32 UTC.
    """
    ordered = sorted(phases, key=lambda phase: phase.at)
    impacts = [phase for phase in ordered if phase.kind == "impact"]
    found = []
    for place, impact in enumerate(impacts):
        until = impacts[place + 1].at if place + 1 < len(impacts) else None
        mine = [
            phase for phase in ordered
            if (place == 0 or phase.at >= impact.at) and (until is None or phase.at < until)
        ]  # fmt: skip
        found += [_milestone(kind, place + 1, impact, mine) for kind in WORDS]
    return Times(tuple(found), zone)


def _milestone(kind: str, number: int, impact: Phase, phases: Sequence[Phase]) -> Milestone:
    own = next((phase for phase in phases if phase.kind == kind), None)
    if own is not None:
        return Milestone(number, kind, impact.at, own.at, "from the data" if own.detected else "annotated", own.text)
    if kind == "recovered" and impact.until is not None:
        basis: Basis = "from the data" if impact.detected else "annotated"
        return Milestone(number, kind, impact.at, impact.until, basis, "the end of the impact")
    why = f"annotate({kind!r}, at) says when"
    felt = next((phase for phase in phases if phase.kind == "felt" and phase.at >= impact.at), None)
    if kind == "detected" and felt is not None:
        why += f" (the first complaint came after {lasting(felt.at - impact.at)})"
    return Milestone(number, kind, impact.at, None, "unknown", why)
