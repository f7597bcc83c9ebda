"""Likeness: calls of two targets weighted to the same mix, and intervals for what then still differs.

A rate is a ratio of two sums over calls. The primary's calls of each stratum (time bin, tools offered) weigh as many as the
backup's, so that both sides have the backup's mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.stats.draws import uniforms

SMALL = 10  # events, or their absence, on a side: below this the exact binomial is used
_TAIL = 0.05
_LONGEST = " at most"  # of a quantile, with what a timeout cut taken to last for ever
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """A metric as a ratio of sums over calls: ``part`` of ``whole``, both one number a call; ``is_rate``: a share of 0 to 1."""

    part: Floats
    whole: Floats
    is_rate: bool = True


@dataclass(frozen=True)
class Measured:
    """A metric of the primary, of the backup, and their difference: value, low, high; with counts and the kind of interval."""

    primary: tuple[float, float, float]
    backup: tuple[float, float, float]
    difference: tuple[float, float, float]
    n_primary: int
    n_backup: int
    interval: str


@dataclass(frozen=True, eq=False)
class Likeness:
    """Calls of a primary and a backup in strata where both are.

    Parameters
    ----------
    is_backup
        Of each call.
    stratum, cluster
        A number for each call: what it is like, and the ticket whose calls are drawn together.
    """

    is_backup: NDArray[np.bool_]
    stratum: NDArray[np.int64]
    cluster: NDArray[np.int64]
    seed: int = 0
    name: str = ""
    resamples: int = 400

    @cached_property
    def weights(self) -> Floats:
        """The weight of each call: 1 for the backup's, the primary's bring it to the backup's mix; 0 without a match."""
        return self._weights(np.ones(len(self.stratum)))

    def _weights(self, times: Floats) -> Floats:
        strata = int(self.stratum.max(initial=0)) + 1
        backup = np.bincount(self.stratum, times * self.is_backup, minlength=strata)
        primary = np.bincount(self.stratum, times * ~self.is_backup, minlength=strata)
        both = (backup > 0) & (primary > 0)
        factor = np.where(both, backup / np.maximum(primary, 1e-12), 0.0)
        weights: Floats = times * np.where(self.is_backup, both[self.stratum], factor[self.stratum])
        return weights

    @property
    def n(self) -> tuple[int, int]:
        """How many calls of the primary and of the backup have a match."""
        matched = self.weights > 0
        return int((matched & ~self.is_backup).sum()), int((matched & self.is_backup).sum())

    def measured(
        self,
        shares: Mapping[str, Share],
        quantiles: Mapping[str, tuple[Floats, float]],
        *,
        is_cut: NDArray[np.bool_] | None = None,
    ) -> dict[str, Measured]:
        """Return every metric that both sides have: ratios, and quantiles (values, level) over calls, nearest rank.

        A quantile that falls on a call whose value ``is_cut`` (by a timeout: at least so long) is a lower bound: its upper end is
        not known (NaN), nor is that end of the difference which it would move.

        Intervals are of 90 %: a bootstrap of tickets, both sides at once; for rates with few events on a side the exact
        binomial (Clopper and Pearson, of as many calls as the weights are worth), and for the difference of two such Newcombe's
        combination of the two.
        """
        ranked = {
            name: (np.argsort(values, kind="stable"), values, level) for name, (values, level) in quantiles.items()
        }
        cut = np.zeros(len(self.stratum), np.bool_) if is_cut is None else is_cut
        for name, (_, values, level) in list(ranked.items()) if cut.any() else ():
            longest = np.where(cut, np.inf, values)
            ranked[name + _LONGEST] = (np.argsort(longest, kind="stable"), longest, level)
        at = self._values(self.weights, shares, ranked)
        clusters, of = np.unique(self.cluster, return_inverse=True)
        runs = []
        for b in range(self.resamples):
            drawn = (uniforms(self.seed, "likeness", self.name, b, size=len(clusters)) * len(clusters)).astype(np.int64)
            times = np.bincount(drawn, minlength=len(clusters)).astype(np.float64)[of]
            runs.append(self._values(self._weights(times), shares, ranked))
        found = {}
        for name, value in at.items():
            if name.endswith(_LONGEST) or not np.isfinite(value).all():
                continue
            known = self.weights > 0
            if name in shares:
                known &= shares[name].whole > 0
            n = (int((known & ~self.is_backup).sum()), int((known & self.is_backup).sum()))
            share = shares.get(name)
            if share is not None and share.is_rate and self._is_small(share):
                found[name] = self._exact(share, value, n)
                continue
            least = np.array([run[name] for run in runs])
            most = np.array([run[name + _LONGEST] for run in runs]) if name + _LONGEST in at else least
            kept = ~np.isnan(least).any(axis=1) & ~np.isnan(most).any(axis=1)
            least, most = least[kept], most[kept]
            sides = [_interval(float(value[i]), least[:, i], most[:, i]) for i in (0, 1)]
            apart = _interval(float(value[1] - value[0]), least[:, 1] - most[:, 0], most[:, 1] - least[:, 0])
            found[name] = Measured(sides[0], sides[1], apart, *n, "bootstrap of tickets")
        return found

    def _values(self, weights: Floats, shares: Mapping[str, Share], ranked: Mapping[str, Any]) -> dict[str, Floats]:
        sides = (weights * ~self.is_backup, weights * self.is_backup)
        found = {
            name: np.array([_ratio(float(side @ one.part), float(side @ one.whole)) for side in sides])
            for name, one in shares.items()
        }
        for name, (order, values, level) in ranked.items():
            found[name] = np.array([_quantile(values[order], side[order], level) for side in sides])
        return found

    def _is_small(self, share: Share) -> bool:
        known = (self.weights > 0) & (share.whole > 0)
        for side in (self.is_backup, ~self.is_backup):
            events, total = float(share.part[known & side].sum()), float(share.whole[known & side].sum())
            if min(events, total - events) < SMALL:
                return True
        return False

    def _exact(self, share: Share, value: Floats, n: tuple[int, int]) -> Measured:
        sides = []
        for i, side in enumerate((~self.is_backup, self.is_backup)):
            weight = (self.weights * side) * share.whole
            worth = float(weight.sum() ** 2 / max(float((self.weights * weight * side).sum()), 1e-12))
            sides.append((float(value[i]), *clopper_pearson(float(value[i]) * worth, worth)))
        primary, backup = sides
        apart = backup[0] - primary[0]
        low = apart - float(np.hypot(backup[0] - backup[1], primary[2] - primary[0]))
        high = apart + float(np.hypot(backup[2] - backup[0], primary[0] - primary[1]))
        return Measured(primary, backup, (apart, low, high), *n, "exact binomial")


def clopper_pearson(k: float, n: float) -> tuple[float, float]:
    """Return the exact 90 % interval of a share, k of n; both may be fractions, of weighted counts."""
    from scipy.special import betaincinv

    low = 0.0 if k <= 0 else float(betaincinv(k, n - k + 1, _TAIL))
    high = 1.0 if k >= n else float(betaincinv(k + 1, n - k, 1 - _TAIL))
    return low, high


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def _quantile(ordered: Floats, weights: Floats, level: float) -> float:
    """Return the smallest value with at least ``level`` of the weight at or below it."""
    total = np.cumsum(weights)
    if not len(total) or total[-1] <= 0:
        return float("nan")
    return float(ordered[min(int(np.searchsorted(total, level * total[-1] * (1 - 1e-12))), len(ordered) - 1)])


def _interval(value: float, least: Floats, most: Floats) -> tuple[float, float, float]:
    """Return the value with the 5 to 95 % Weibull (type 6) quantiles of what was drawn; NaN for an end that is nowhere."""
    if len(least) < 20:
        return value, float("nan"), float("nan")
    # ranks, not numpy's quantile, which makes NaN of two infinities
    ends = []
    for drawn, share in ((least, _TAIL), (most, 1 - _TAIL)):
        ordered, place = np.sort(drawn), share * (len(drawn) + 1) - 1
        below, above = (
            float(ordered[min(max(int(one), 0), len(drawn) - 1)]) for one in (np.floor(place), np.ceil(place))
        )
        end = below if below == above else below + (place - np.floor(place)) * (above - below)
        ends.append(end if np.isfinite(end) else float("nan"))
    return value, ends[0], ends[1]
