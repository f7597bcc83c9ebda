"""Phases of an incident: declared by a person, or detected from the data and marked so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from incident_kit.errors import InvalidCase, did_you_mean

KINDS = ("impact", "detected", "mitigated", "recovered", "felt", "deploy", "provider", "note")
GAP = 2  # calm intervals inside an impact that do not end it
FEWEST = 3  # degraded intervals that make an impact


@dataclass(frozen=True)
class Phase:
    """One annotation on the timeline: a span when it has an ``until``, else an instant."""

    kind: str
    at: datetime
    until: datetime | None = None
    text: str = ""
    link: str = ""
    detected: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            hint = did_you_mean(self.kind, KINDS)
            raise InvalidCase(f"there is no phase {self.kind!r}{hint}; there are {', '.join(KINDS)}")
        for name, instant in (("at", self.at), ("until", self.until)):
            if instant is not None and getattr(instant, "tzinfo", None) is None:  # text has none either
                wanted = "write 2026-11-22T12:25:00Z, in Python datetime(2026, 11, 22, 12, 25, tzinfo=UTC)"
                raise InvalidCase(f"phase {self.kind}: {name} {instant} has no zone; {wanted}")
        if self.until is not None and self.until < self.at:
            raise InvalidCase(f"phase {self.kind} ends ({self.until}) before it begins ({self.at})")


def detect(series: pl.DataFrame) -> tuple[Phase, ...]:
    """Return the impact that the data show: the longest run of intervals far from the calm ones, or nothing.

    An interval is degraded when its 95th-percentile wait is over 1.6 times the calm median, or its error rate or fallback
    share is 10 points over it. Calm is the better half of the intervals with enough requests.
    """
    busy = series.filter(pl.col("n") >= 0.2 * pl.col("n").median())
    if busy.height < 2 * FEWEST:
        return ()
    calm = busy.sort("p95_wait_ms", nulls_last=True).head(busy.height // 2)
    usual = calm.select(pl.col("p95_wait_ms", "error_rate", "fallback_share").median()).row(0, named=True)
    degraded = pl.any_horizontal(
        (pl.col("p95_wait_ms") > 1.6 * (usual["p95_wait_ms"] or float("inf"))).fill_null(value=False),
        *(
            (pl.col(name) > (usual[name] or 0) + 0.1).fill_null(value=False)
            for name in ("error_rate", "fallback_share")
        ),
    )
    flags = busy.select(degraded).to_series().to_list()
    begin, end = _longest_run(flags)
    if sum(flags[begin:end]) < FEWEST:
        return ()
    text = "waits, errors or fallbacks far from usual"
    return (Phase("impact", busy["at"][begin], busy["until"][end - 1], text, detected=True),)


def _longest_run(flags: list[bool]) -> tuple[int, int]:
    """Return the half-open span of the longest run of true values, short gaps bridged."""
    best, begin, last = (0, 0), None, 0
    for i, flag in enumerate(flags):
        if not flag:
            continue
        if begin is None or i - last > GAP + 1:
            begin = i
        last = i
        if i + 1 - begin > best[1] - best[0]:
            best = (begin, i + 1)
    return best
