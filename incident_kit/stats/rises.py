"""Rises: the first moment at which something came more often than in healthy time, and how surely it did.

Windows are looked at every few minutes. All looks together, over every width and group, find a rise in steady healthy time
with a probability of at most ``chance``: it is shared out among them (Bonferroni, which overlapping windows make too
careful). Where healthy time follows a day's curve that the log shows only once, about one in twenty is a rise by chance
(tests/test_rises.py simulates days).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTHS = (timedelta(minutes=10), timedelta(minutes=20), timedelta(minutes=40))
STEP = timedelta(minutes=5)
CHANCE = 0.05  # that healthy time shows such a rise anywhere, at most
FEWEST = 30  # reviews in healthy time, for a share
WINDOWS = 8  # in healthy time, for a rate of one width: fewer say too little of how counts vary
WINDOWS_OF_SHARE = 4
SAME_HOUR = 8  # windows of other days at this time of day, before only they are compared with
LIFT = 1.25  # times the usual, less of which is no rise of a rate
LIFT_OF_DAY = 1.75  # the same where no other day shows the shape that days have
NEAR_US = 3_600_000_000
_DAY_US = 86_400_000_000
Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Rise:
    """A rise in the window of ``width_us`` up to ``at_us``: ``count`` of ``of``; None: never, and ``why``.

    ``usual`` is the healthy share, or, where ``of`` is None, how many such a window of healthy time holds. ``since_us`` is
    where the counts change the most, within the hour before.
    """

    at_us: int | None
    since_us: int | None = None
    count: int = 0
    of: int | None = None
    usual: float | None = None
    width_us: int = 0
    why: str = ""


NEVER = "it never rose over its baseline"


def rate_rise(
    at_us: NDArray[np.int64],
    *,
    look: tuple[int, int],
    healthy: Spans,
    widths: Sequence[timedelta] = WIDTHS,
    chance: float = CHANCE,
) -> Rise:
    """Return the first rise of how often something happens.

    A window's count is held against those of healthy windows as wide: at the same time of day on other days where the log
    has them, else all. Counts vary more than by chance; by how much is taken from the healthy windows (with a margin for
    their small number), and the count is divided by it before it meets its predictive distribution, a negative binomial.

    Parameters
    ----------
    at_us
        When it happened, sorted, in microseconds since the epoch.
    look
        The span that is looked at.
    healthy
        Spans of healthy time in which everything that happened is known.
    """
    from scipy.stats import nbinom

    grid = _grid(look)
    first: tuple[int, Rise] | None = None
    compared = 0
    for width in map(_us, widths):
        begins = np.array([t for a, b in healthy for t in range(a, b - width + 1, width)], np.int64)
        if len(begins) < WINDOWS:
            continue
        compared += 1
        usual = _within(at_us, begins, begins + width)
        seen = _within(at_us, grid - width + 1, grid + 1)
        for now, count in zip(grid.tolist(), seen.tolist(), strict=True):
            if first is not None and now >= first[0]:
                break
            near = _same_hour(begins, now - width)
            mine = usual[near] if near.sum() >= SAME_HOUR else usual
            mean, spread = float(mine.mean()), _dispersion(mine)
            if count <= (LIFT if len(mine) < len(usual) else LIFT_OF_DAY) * mean:
                continue
            shape, n = mine.sum() / spread + 0.5, len(mine)
            if nbinom.sf(int(count / spread) - 1, shape, n / (n + 1)) < chance / (len(grid) * len(widths)):
                since = _since(at_us, None, now, look[0], mean / width)
                first = (now, Rise(now, since, count, None, mean, width))
                break
    if first is not None:
        return first[1]
    return Rise(None, why=NEVER if compared else "too little healthy time for a baseline")


def share_rise(
    at_us: NDArray[np.int64],
    hit: NDArray[np.bool_],
    *,
    look: tuple[int, int],
    healthy: Spans,
    of_us: NDArray[np.int64] | None = None,
    widths: Sequence[timedelta] = WIDTHS,
    chance: float = CHANCE,
) -> Rise:
    """Return the first rise of a share, such as that of reviews which are overrides.

    A window's hits are held against the healthy share by the beta-binomial distribution that its estimate implies; where
    healthy windows differ more than by chance, both counts are divided by how much more.

    Parameters
    ----------
    at_us, hit
        When each was judged, sorted, and how.
    of_us
        What the hits are a share of, where that is not ``at_us`` itself: sorted instants.
    """
    from scipy.stats import betabinom

    hits, every = at_us[hit], at_us if of_us is None else of_us
    begins, ends = (np.array([span[i] for span in healthy], np.int64) for i in (0, 1))
    total = int(_within(every, begins, ends).sum())
    if total < FEWEST:
        return Rise(None, why=f"only {total} in healthy time: no baseline")
    found = min(int(_within(hits, begins, ends).sum()), total)
    share = (found + 0.5) / (total + 1)
    grid = _grid(look)
    first: tuple[int, Rise] | None = None
    for width in map(_us, widths):
        spread = _share_dispersion(hits, every, healthy, width, share)
        k = _within(hits, grid - width + 1, grid + 1)
        n = np.maximum(_within(every, grid - width + 1, grid + 1), k)
        tail = betabinom.sf(
            np.floor(k / spread) - 1, np.maximum(np.rint(n / spread), np.floor(k / spread)),
            found / spread + 0.5, (total - found) / spread + 0.5,
        )  # fmt: skip
        rare = np.flatnonzero((tail < chance / (len(grid) * len(widths))) & (k > share * n))
        if len(rare) and (first is None or grid[rare[0]] < first[0]):
            i, now = int(rare[0]), int(grid[rare[0]])
            since = _since(hits, every, now, look[0], share)
            first = (now, Rise(now, since, int(k[i]), int(n[i]), share, width))
    return first[1] if first is not None else Rise(None, usual=share, why=NEVER)


def _us(width: timedelta) -> int:
    return width // timedelta(microseconds=1)


def _grid(look: tuple[int, int]) -> NDArray[np.int64]:
    step = _us(STEP)
    return np.arange(look[0] + step, max(look[1], look[0] + step) + 1, step, dtype=np.int64)


def _within(at_us: NDArray[np.int64], begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many lie in each [begin, end)."""
    return np.asarray(np.searchsorted(at_us, end) - np.searchsorted(at_us, begin))


def _same_hour(begins: NDArray[np.int64], at: int) -> NDArray[np.bool_]:
    """Return which windows of other days begin within an hour of this one's time of day."""
    apart = (begins - at) % _DAY_US
    return (np.minimum(apart, _DAY_US - apart) <= NEAR_US) & (np.abs(begins - at) > _DAY_US // 2)


def _dispersion(counts: NDArray[np.int64]) -> float:
    """Return how many times more counts vary than Poisson's, two standard errors to the safe side, and at least once."""
    n, mean = len(counts), float(counts.mean())
    return max(1.0, float(counts.var(ddof=1)) / mean * (1 + 2 * (2 / (n - 1)) ** 0.5)) if n > 1 and mean > 0 else 1.0


def _share_dispersion(
    hits: NDArray[np.int64], every: NDArray[np.int64], healthy: Spans, width: int, share: float
) -> float:
    begins = np.array([t for a, b in healthy for t in range(a, b - width + 1, width)], np.int64)
    n, k = _within(every, begins, begins + width), _within(hits, begins, begins + width)
    n, k = n[n >= 5], k[n >= 5]
    if len(n) < WINDOWS_OF_SHARE:
        return 1.0
    ratio = float(((k - n * share) ** 2 / (n * share * (1 - share))).mean())
    return max(1.0, ratio * float(1 + 2 * np.sqrt(2 / (len(n) - 1))))


def _since(hits: NDArray[np.int64], every: NDArray[Any] | None, now: int, begin: int, usual: float) -> int:
    """Return from which event on, in the hour before, what is seen is the least likely to be usual."""
    starts = hits[np.searchsorted(hits, max(begin, now - NEAR_US)) : np.searchsorted(hits, now, side="right")]
    if not len(starts):
        return now
    k = np.arange(len(starts), 0, -1).astype(np.float64)
    if every is None:
        expected = np.maximum(usual * np.maximum(now - starts, _us(STEP)), 1e-9)
        gain = np.where(k > expected, k * np.log(k / expected) - (k - expected), 0)
    else:
        n = np.maximum(_within(every, starts, np.full(len(starts), now + 1)), k)
        rest, share = n - k, k / n
        missed = np.where(rest > 0, rest * np.log(np.maximum(1 - share, 1e-12) / (1 - usual)), 0)
        gain = np.where(share > usual, k * np.log(share / usual) + missed, 0)
    return int(starts[int(gain.argmax())])
