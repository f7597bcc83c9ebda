"""Shares: one share beside its usual, with an interval and the chance that usual time alone would show it.

Counts of real traffic vary more than by chance: requests of a ticket share its fate, and shares drift over a day. By how much
more is taken from windows of the usual time, and both counts are divided by it (tests/test_shares.py simulates days).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from incident_kit.stats.intervals import HIGH

WIDTHS = (timedelta(minutes=10), timedelta(minutes=20), timedelta(minutes=40))
WINDOWS = 4  # of one width, before they say how much a share varies
FEWEST = 5  # rows in a window that counts, on average
UNTESTED = 2.0  # the spread where the usual time is too short to show one
LARGE = 20_000  # rows from which on the normal distribution stands in for the exact one
Spans = Sequence[tuple[int, int]]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Share:
    """A count of a whole beside the usual count of the usual whole.

    ``spread`` and ``usual_spread`` are how many times more than by chance the two counts vary.

    Examples
    --------
    >>> one = Share(30, 100, 50, 1000)
    >>> one.difference, [round(end, 3) for end in one.interval()], one.by_chance() < 1e-9
    (0.25, [0.18, 0.33], True)
    """

    count: int
    of: int
    usual_count: int
    usual_of: int
    spread: float = 1.0
    usual_spread: float = 1.0

    @property
    def share(self) -> float | None:
        """The share; None of nothing."""
        return self.count / self.of if self.of else None

    @property
    def usual(self) -> float | None:
        """The usual share; None of nothing."""
        return self.usual_count / self.usual_of if self.usual_of else None

    @property
    def difference(self) -> float | None:
        """The share less the usual one."""
        return None if self.share is None or self.usual is None else self.share - self.usual

    @property
    def excess(self) -> float:
        """How many more there are than the usual share of as many would be."""
        return (self.difference or 0.0) * self.of

    @property
    def lift(self) -> float:
        """How many times the usual share it is, one half added to each count, so that nothing is divided by nothing."""
        return ((self.count + 0.5) / (self.of + 1)) / ((self.usual_count + 0.5) / (self.usual_of + 1))

    def interval(self) -> tuple[float | None, float | None]:
        """Return between which bounds the difference lies with 90 % confidence: Newcombe's, from Wilson's scores."""
        if self.share is None or self.usual is None:
            return None, None
        low, high = _wilson(self.share, self.of / self.spread)
        usual_low, usual_high = _wilson(self.usual, self.usual_of / self.usual_spread)
        d = self.share - self.usual
        down = ((self.share - low) ** 2 + (usual_high - self.usual) ** 2) ** 0.5
        up = ((high - self.share) ** 2 + (self.usual - usual_low) ** 2) ** 0.5
        return max(-1.0, d - down), min(1.0, d + up)

    def by_chance(self, *, side: str = "more") -> float:
        """Return how probable the usual share makes such a count or one further away.

        Parameters
        ----------
        side
            ``more``, ``less``, or ``both``: twice the smaller of the two.
        """
        if not self.of or not self.usual_of:
            return 1.0
        if side == "both":
            return min(1.0, 2 * min(self.by_chance(side="more"), self.by_chance(side="less")))
        if side == "less":
            rest = Share(self.of - self.count, self.of, self.usual_of - self.usual_count, self.usual_of,
                         self.spread, self.usual_spread)  # fmt: skip
            return rest.by_chance(side="more")
        k, n = np.floor(self.count / self.spread), np.rint(self.of / self.spread)
        known = self.usual_count / self.usual_spread + 0.5, (self.usual_of - self.usual_count) / self.usual_spread + 0.5
        if n > LARGE:
            p = known[0] / sum(known)
            wide = (n * p * (1 - p) * (1 + n / (sum(known) + 1))) ** 0.5
            return 1 - NormalDist().cdf((k - 0.5 - n * p) / wide)
        from scipy.stats import betabinom

        return float(betabinom.sf(k - 1, max(n, k), *known))


@dataclass(frozen=True)
class Usual:
    """Usual rows, cut into windows of each width: ``windows[width][row]``, -1 where none holds the row whole."""

    windows: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, at_us: NDArray[np.int64], spans: Spans) -> Usual:
        """Return the windows of rows at these instants, in microseconds, over spans [begin, end)."""
        found = []
        for width in (one // timedelta(microseconds=1) for one in WIDTHS):
            ids, first = np.full(len(at_us), -1, np.int64), 0
            for begin, end in spans:
                place = (at_us - begin) // width
                whole = (end - begin) // width
                ids = np.where((at_us >= begin) & (place < whole), first + place, ids)
                first += whole
            if first >= WINDOWS:
                found.append(ids)
        return cls(tuple(found))

    def beside(self, count: int, of: int, hit: Flags, counted: Flags) -> Share:
        """Return a count of a whole beside the usual rows that are ``counted``, of which some are ``hit``."""
        usual_count, usual_of = int((hit & counted).sum()), int(counted.sum())
        spread, usual_spread = self._spreads(hit & counted, counted, of, usual_of)
        return Share(count, of, usual_count, usual_of, spread, usual_spread)

    def _spreads(self, hit: Flags, counted: Flags, of: int, usual_of: int) -> tuple[float, float]:
        """Return how many times more than by chance a count of ``of`` rows varies, and that of all usual rows.

        At the width of a window it is what the windows show, two standard errors to the safe side. What a longer time adds
        to it (a share that drifts takes its rows along) grows with the rows, from what the widest windows show.
        """
        share = (hit.sum() + 0.5) / (usual_of + 1)
        safe, drift, known = 1.0, 0.0, False
        for ids in self.windows:
            kept = counted & (ids >= 0)
            if not kept.any():
                continue
            n, k = np.bincount(ids[kept]), np.bincount(ids[hit & kept], minlength=int(ids[kept].max()) + 1)
            n, k = n[n >= FEWEST], k[n >= FEWEST]
            if len(n) < WINDOWS:
                continue
            ratio = float(((k - n * share) ** 2 / (n * share * (1 - share))).sum() / (len(n) - 1))
            safe = max(safe, ratio * (1 + 2 * (2 / (len(n) - 1)) ** 0.5))
            drift, known = max(0.0, ratio - 1) / float(n.mean()), True
        if not known:
            return UNTESTED, UNTESTED
        return max(safe, 1 + drift * of), safe


def holm(chances: Sequence[float]) -> list[float]:
    """Return chances for a whole family of tests: one below a level is by chance in the family with at most that level.

    Holm's step-down procedure, which holds however the tests depend on one another.

    Examples
    --------
    >>> holm([0.01, 0.5, 0.03])
    [0.03, 0.5, 0.06]
    """
    order = sorted(range(len(chances)), key=chances.__getitem__)
    found, most = [0.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(chances) - rank) * chances[place]))
        found[place] = most
    return found


def _wilson(share: float, n: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf(HIGH)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
