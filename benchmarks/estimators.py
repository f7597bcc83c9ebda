"""Estimators: the plain ones that analysts use, and ours, of the same sum: what a policy's calls would have come to.

Each gives ``(estimate, low, high)`` of the sum of an outcome over calls that were not made, by their cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from incident_kit.estimation.cells import Cells
from incident_kit.estimation.posterior import Posterior

Floats = NDArray[np.float64]
Guess = tuple[float, float, float]
Z = 1.6449  # of a 90 % interval
FEWEST = 5
DRAWS = 200


@dataclass(frozen=True)
class Tallies:
    """Calls by ``[target, intent, bin]``: how many, the sum of an outcome, and of its square."""

    n: Floats
    k: Floats
    squares: Floats

    @classmethod
    def of(cls, cells: Cells, outcome: str) -> Tallies:
        it = cells.observations
        value = it.value(outcome)
        known = np.isfinite(value)
        intent = np.where(it.intent < 0, it.intents, it.intent).astype(np.int64)
        place = np.ravel_multi_index((it.target.astype(np.int64), intent, cells.bins), cells.shape)[known]
        size = int(np.prod(cells.shape))
        y = value[known]
        sums = [np.bincount(place, weights, size).reshape(cells.shape) for weights in (np.ones(len(y)), y, y * y)]
        return cls(*sums)

    def summed(self, over: tuple[int, ...], where: NDArray[np.bool_] | None = None) -> Tallies:
        """Return tallies summed over axes, in bins that ``where`` names."""
        picked = 1.0 if where is None else where.astype(np.float64)
        return Tallies(
            *(
                np.broadcast_to((one * picked).sum(axis=over, keepdims=True), one.shape)
                for one in (self.n, self.k, self.squares)
            )
        )

    @property
    def mean(self) -> Floats:
        return (self.k + 1e-9) / (self.n + 2e-9)

    @property
    def spread(self) -> Floats:
        """The variance of a call."""
        return np.maximum(self.squares / np.maximum(self.n, 1e-9) - self.mean**2, 0)


def _first(*tallies: Tallies, fewest: float = FEWEST) -> Tallies:
    """Return, cell by cell, the first tallies with enough calls."""
    n, k, squares = (one.copy() for one in (tallies[-1].n, tallies[-1].k, tallies[-1].squares))
    for one in tallies[-2::-1]:
        enough = one.n >= fewest
        n, k, squares = (
            np.where(enough, a, b) for a, b in zip((one.n, one.k, one.squares), (n, k, squares), strict=True)
        )
    return Tallies(n, k, squares)


def _by_mean(wanted: Floats, of: Tallies) -> Guess:
    """Return the sum by means, with a normal interval of their sampling and of the calls' own noise."""
    estimate = float((wanted * of.mean).sum())
    # cells that share a mean share its error: their weights add before squaring
    keys = np.stack([of.n.ravel(), of.k.ravel()])
    _, group = np.unique(keys.round(9), axis=1, return_inverse=True)
    weight = np.bincount(group.ravel(), wanted.ravel())
    variance = np.bincount(group.ravel(), (of.spread / np.maximum(of.n, 1)).ravel()) / np.bincount(group.ravel())
    error = float(np.sqrt((weight**2 * variance).sum() + (wanted * of.spread).sum()))
    return estimate, estimate - Z * error, estimate + Z * error


def pooled(cells: Cells, outcome: str, wanted: Floats) -> Guess:
    """The target's logged mean."""
    return _by_mean(wanted, Tallies.of(cells, outcome).summed((1, 2)))


def before_after(cells: Cells, outcome: str, wanted: Floats) -> Guess:
    """The target's logged mean before the incident; where there is none, after it."""
    tallies = Tallies.of(cells, outcome)
    first = int(np.flatnonzero(cells.is_incident)[0])
    bins = np.arange(cells.shape[2])
    before, after = tallies.summed((1, 2), bins < first), tallies.summed((1, 2), (bins > first) & ~cells.is_incident)
    return _by_mean(wanted, _first(before, after, tallies.summed((1, 2))))


def backoff_means(tallies: Tallies) -> Tallies:
    return _first(tallies, tallies.summed((1,)), tallies.summed((2,)), tallies.summed((1, 2)))


def backoff(cells: Cells, outcome: str, wanted: Floats) -> Guess:
    """The mean of the first label with five calls."""
    return _by_mean(wanted, backoff_means(Tallies.of(cells, outcome)))


def direct(cells: Cells, outcome: str, wanted: Floats) -> Guess:
    """Means by target, intent and state, else by target and state, target and intent, target; blocks of time resampled."""
    tallies = Tallies.of(cells, outcome)
    rng = np.random.default_rng(1)
    bins = cells.shape[2]
    weights = np.vstack([np.ones(bins), rng.multinomial(bins, np.full(bins, 1 / bins), size=50)])
    whole = [one @ weights.T for one in (tallies.n, tallies.k)]  # [target, intent, draw]
    sums = np.zeros(len(weights))
    for state in (cells.is_incident, ~cells.is_incident):
        own = [one[..., state] @ weights[:, state].T for one in (tallies.n, tallies.k)]
        levels = (
            own,
            [one.sum(axis=1, keepdims=True) for one in own],
            whole,
            [one.sum(axis=1, keepdims=True) for one in whole],
        )
        n, k = (np.broadcast_to(one, whole[0].shape) for one in levels[-1])
        for level in levels[-2::-1]:
            enough = level[0] >= FEWEST
            n, k = np.where(enough, level[0], n), np.where(enough, level[1], k)
        sums += np.einsum("ax,axd->d", wanted[..., state].sum(axis=2), (k + 1e-9) / (n + 2e-9))
    low, high = np.quantile(sums[1:], [0.05, 0.95], method="weibull")
    return float(sums[0]), float(low), float(high)


def realised(posterior: Posterior, drawn: Floats, wanted: Floats) -> Floats:
    """Return draws of the sum over calls that were not made, their own noise included."""
    rng = np.random.default_rng(9)
    rows = np.nonzero(wanted)
    p, n = drawn[:, *rows], wanted[rows]
    if posterior.shares.squared:
        state = posterior.cells.is_degraded[rows[0], rows[2]].astype(int)
        phi = posterior.dispersion[rows[0], state]
        return np.minimum(rng.gamma(n / phi, p * phi), n).sum(axis=1)
    return rng.binomial(n.astype(np.int64), p).sum(axis=1).astype(np.float64)


def ours(posterior: Posterior, drawn: Floats, wanted: Floats) -> Guess:
    """The evidence model, on some of its draws."""
    sums = realised(posterior, drawn, wanted)
    low, high = np.quantile(sums, [0.05, 0.95], method="weibull")
    return float(sums.mean()), float(low), float(high)
