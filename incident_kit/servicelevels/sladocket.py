"""SLA docket: clocks with their targets, judged; also with other stops.

One row of the docket is one target on one clock, from when it was applied until the next one was. Rows of one verdict are
neighbours; the last one is the one that is reported, the others can only add a breach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.servicelevels.clocks import NEVER, Runs, Whole

LOW = int(np.iinfo(np.int64).min)
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Verdicts:
    """One a verdict: microseconds, NEVER where there is none; margins in seconds."""

    elapsed: Whole
    due: Whole
    breached: Flags
    breached_at: Whole
    margin: Whole
    is_close: Flags


@dataclass(frozen=True)
class Docket:
    """Rows of targets on clocks. ``runs`` are those of the rows; ``stop`` is NEVER where a clock has not ended."""

    runs: Runs
    last: NDArray[Any]  # of each verdict, the position of its last row
    target: Whole
    paused: Whole  # what is taken off what the runs count
    since: Whole
    until: Whole
    stop: Whole
    is_open: Flags  # the last run goes on
    share: NDArray[np.float64]
    on_equal: Flags
    precision: Whole

    def judged(self, stop: Whole | None = None) -> Verdicts:
        """Return the verdicts, as recorded or with other stops (one a verdict)."""
        runs, stops = self.runs, self.stop
        if stop is not None:
            lengths = np.diff(self.last, prepend=-1)
            stops = np.where(self.stop == NEVER, NEVER, np.repeat(stop, lengths))
            runs = runs.stopped(self.stop, stops)
        elapsed = runs.within(np.full(runs.clocks, LOW), self.until).elapsed() - self.paused
        limit = np.ceil(self.target * self.share).astype(np.int64)
        over = (elapsed > limit) | (self.on_equal & (elapsed == limit))
        margin = self.target - elapsed
        close = np.abs(margin) < self.precision
        due = self._due(runs, stops)
        at = np.where(over, np.maximum(due, self.since), NEVER)
        first = np.concatenate([[0], self.last[:-1] + 1]).astype(np.int64)
        if not len(self.last):
            return Verdicts(elapsed, due, over, at, margin, close)
        return Verdicts(
            elapsed=elapsed[self.last],
            due=due[self.last],
            breached=np.logical_or.reduceat(over, first),
            breached_at=np.minimum.reduceat(at, first),
            margin=margin[self.last],
            is_close=np.logical_or.reduceat(close, first) & ~np.logical_or.reduceat(over & ~close, first),
        )

    def _due(self, runs: Runs, stop: Whole) -> Whole:
        due = runs.reaches(self.target + self.paused)
        ends = np.full(runs.clocks, NEVER)
        has = runs.first[1:] > runs.first[:-1]
        ends[has] = runs.ends[runs.first[1:][has] - 1]
        # a clock that is paused, and has not ended: nobody knows when it goes on
        unknown = (due > ends) & (stop == NEVER) & ~self.is_open
        return np.where(unknown, NEVER, due)
