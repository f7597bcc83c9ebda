"""Clocks: the time that many clocks count in their runs, and when they reach their targets; arrays in, arrays out.

A run is a span in which a clock may run, on a schedule (a position in the openings) or on the calendar (-1). Instants and
durations are whole microseconds. A clock's runs are neighbours in the arrays and in order of time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.servicelevels.schedules import Openings

CALENDAR = -1
NEVER = int(np.iinfo(np.int64).max)

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """The runs of ``clocks`` clocks: whose each is, from when until when, and on which schedule."""

    clocks: int
    clock: Whole
    starts: Whole
    ends: Whole
    schedule: Whole
    openings: tuple[Openings, ...] = ()

    @cached_property
    def first(self) -> Whole:
        """The position of each clock's first run, and of the end of the last one's."""
        return np.searchsorted(self.clock, np.arange(self.clocks + 1)).astype(np.int64)

    @cached_property
    def counted(self) -> Whole:
        """What each run counts."""
        return np.asarray(self._ticks(self.schedule, self.ends) - self._ticks(self.schedule, self.starts))

    @cached_property
    def _before(self) -> Whole:
        """What all runs before each one count."""
        return np.concatenate([[0], np.cumsum(self.counted)]).astype(np.int64)

    def elapsed(self) -> Whole:
        """Return what each clock counts."""
        return self._before[self.first[1:]] - self._before[self.first[:-1]]

    def reaches(self, target: Whole) -> Whole:
        """Return the earliest instant at which each clock has counted so much, were its last run to go on; else NEVER."""
        if not len(self.clock):
            return np.full(self.clocks, NEVER)
        low, high = self.first[:-1], self.first[1:]
        wanted = self._before[low] + target
        run = np.maximum(np.searchsorted(self._before[1:], wanted, "left"), low)
        run = np.minimum(run, np.maximum(high - 1, 0))
        schedule = self.schedule[run]
        ticks = self._ticks(schedule, self.starts[run]) + wanted - self._before[run]
        at = np.maximum(self._instants(schedule, ticks), self.starts[run])
        return np.where(low < high, at, NEVER)

    def within(self, low: Whole, high: Whole) -> Runs:
        """Return the runs cut to a span of each clock's own."""
        starts, ends = np.maximum(self.starts, low[self.clock]), np.minimum(self.ends, high[self.clock])
        kept = starts < ends
        return replace(self, clock=self.clock[kept], starts=starts[kept], ends=ends[kept], schedule=self.schedule[kept])

    def taken(self, clocks: Whole) -> Runs:
        """Return the runs of some clocks, in that order; a clock may come more than once."""
        lengths = self.first[clocks + 1] - self.first[clocks]
        offsets = np.cumsum(lengths) - lengths
        number = np.repeat(np.arange(len(clocks)), lengths)
        run = np.arange(lengths.sum()) - offsets[number] + self.first[clocks][number]
        return Runs(len(clocks), number, self.starts[run], self.ends[run], self.schedule[run], openings=self.openings)

    def on(self, schedule: Whole) -> Runs:
        """Return the runs on other schedules."""
        return replace(self, schedule=schedule)

    def stopped(self, before: Whole, after: Whole) -> Runs:
        """Return the runs of clocks whose end moves: what is later is cut, a last run up to ``before`` goes on to ``after``."""
        last = np.zeros(len(self.clock), bool)
        ends = self.first[1:][self.first[1:] > self.first[:-1]] - 1
        last[ends] = True
        goes_on = last & (self.ends == before[self.clock])
        moved = np.where(goes_on, np.maximum(self.ends, after[self.clock]), self.ends)
        return replace(self, ends=moved).within(np.full(self.clocks, np.iinfo(np.int64).min), after)

    def _ticks(self, schedule: Whole, at: Whole) -> Whole:
        """Return what a schedule has counted by an instant; the calendar counts the instant itself."""
        found = at.copy()
        for number, spans in enumerate(self.openings):
            mine = schedule == number
            if mine.any():
                found[mine] = spans.elapsed(at[mine])
        return found

    def _instants(self, schedule: Whole, ticks: Whole) -> Whole:
        found = ticks.copy()
        for number, spans in enumerate(self.openings):
            mine = schedule == number
            if mine.any():
                found[mine] = spans.reached(ticks[mine])
        return found
