"""Healthy windows: how often a condition would have been true over calls that nothing was wrong with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

A_WEEK_H = 168


@dataclass(frozen=True)
class Calls:
    """Calls in order of completion: when each was done, what it took, whether it failed."""

    done_us: NDArray[np.int64]
    latency_ms: NDArray[np.int64]
    failed: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self.done_us)

    def p95_ms(self) -> int:
        """Return the nearest rank of all calls (S11)."""
        ordered = np.sort(self.latency_ms)
        return int(ordered[-(-95 * len(ordered) // 100) - 1])


@dataclass(frozen=True)
class Windows:
    """The sliding windows of some calls, one at each completion that finds at least ``few`` in it."""

    calls: Calls
    window_ms: int
    few: int

    def over(self, counted: NDArray[np.bool_], *, share: tuple[int, int]) -> NDArray[np.int64]:
        """Return when the counted calls are more than a share (numerator, denominator) of a window."""
        at = self.calls.done_us
        first = np.searchsorted(at, at - 1000 * self.window_ms, side="right")
        n = np.arange(1, len(at) + 1) - first
        so_far = np.concatenate([[0], np.cumsum(counted)])
        k = so_far[1:] - so_far[first]
        found: NDArray[np.int64] = at[(n >= self.few) & (k * share[1] > share[0] * n)]
        return found

    @property
    def apart_us(self) -> int:
        """How far apart two trips are two: a bad moment stays in its window, and two windows share calls."""
        return 2000 * self.window_ms

    def judged(self) -> int:
        """Return how many windows there are."""
        at = self.calls.done_us
        first = np.searchsorted(at, at - 1000 * self.window_ms, side="right")
        return int((np.arange(1, len(at) + 1) - first >= self.few).sum())

    def slower(self, limit_ms: int) -> NDArray[np.int64]:
        """Return when ``p95_ms > limit_ms`` is true."""
        return self.over(self.calls.latency_ms > limit_ms, share=(1, 20))

    def failing(self, percent: int) -> NDArray[np.int64]:
        """Return when ``error_rate`` is over so many percent."""
        return self.over(self.calls.failed, share=(percent, 100))

    def p95_of(self, share: float) -> int:
        """Return the p95 that at most this share of the windows is over, in milliseconds; 0: of the worst of them all."""
        allowed = share * self.judged()
        return _least(range(int(self.calls.latency_ms.max()) + 1), lambda limit: len(self.slower(limit)) <= allowed)


def trips(over_us: NDArray[np.int64], *, apart_us: int) -> int:
    """Return how often something went over a limit, given every instant at which it was; what is less apart is one."""
    count, after = 0, 0
    while (place := int(np.searchsorted(over_us, after))) < len(over_us):
        count, after = count + 1, int(over_us[place]) + apart_us
    return count


def allowed_trips(hours: float) -> int:
    """Return how many trips in so many healthy hours are one a week at most."""
    return int(hours // A_WEEK_H)


def least_limit(
    limits: Sequence[int], over: Callable[[int], NDArray[np.int64]], *, apart_us: int, hours: float
) -> int | None:
    """Return the lowest limit that so many hours would go over once a week at most; None: not even the highest."""

    def is_quiet(limit: int) -> bool:
        return trips(over(limit), apart_us=apart_us) <= allowed_trips(hours)

    return _least(limits, is_quiet) if is_quiet(limits[-1]) else None


def _least(values: Sequence[int], holds: Callable[[int], bool]) -> int:
    """Return the first value that a test holds for, which then holds for all later ones; the last one at worst."""
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if holds(values[middle]):
            high = middle
        else:
            low = middle + 1
    return values[low]
