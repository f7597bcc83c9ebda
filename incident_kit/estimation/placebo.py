"""Placebo: how much too sure the model is of what it does not see, by hiding what was seen in the user's own log.

A hidden cell is predicted from the others, and compared. The factor of a label blows up the model's uncertainty until the
misses are as large as it says; few placebos leave it near the factor measured on simulated incidents.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from incident_kit.estimation.cells import FEWEST, NONE, SAME_CELL, SAME_INTENT, SAME_TIME, Cells
from incident_kit.estimation.covariance import Places
from incident_kit.stats.laplace import Mode, Shares, without_block

Floats = NDArray[np.float64]
HEALTHY = {SAME_CELL: 1.1, SAME_TIME: 1.15, SAME_INTENT: 1.25, NONE: 1.25}
DEGRADED = {SAME_CELL: 1.3, SAME_TIME: 1.35, SAME_INTENT: 1.75, NONE: 1.75}
LATENCY = 1.2  # how much wider those of a latency start: its tails are heavier than its variance says
_PRIOR_SD = 0.25  # of the log of a factor around the starting one
_REACH = (0.9, 1.6)  # a factor stays within these multiples of it
_FAR = 12.0  # one placebo's squared miss counts at most so many variances
_MOST_BLOCKS = 150


def factors(cells: Cells, found: Mode, shares: Shares, places: Places, noise: Floats) -> dict[bool, dict[int, float]]:
    """Return by state (degraded?) and label how much wider deviations are than the model says.

    ``noise`` is the variance of each observed cell's share around its p.
    """
    degraded = cells.is_degraded[places.target, places.bin]
    stretch = LATENCY if shares.squared else 1.0
    starts = {
        state: {label: stretch * one for label, one in start.items()}
        for state, start in ((False, HEALTHY), (True, DEGRADED))
    }
    factor = {state: dict(start) for state, start in starts.items()}
    for label in (SAME_TIME, SAME_INTENT):
        hidden = list(_blocks(cells, places, label))
        if not hidden:
            continue
        step = -(-len(hidden) // _MOST_BLOCKS)
        misses = [_miss(found, shares, rows, told, noise) for rows, told in hidden[::step]]
        states = np.array([bool(degraded[rows[told][0]]) for rows, told in hidden[::step]])
        for state in (False, True):
            of = np.flatnonzero(states == state)
            if len(of):
                factor[state][label] = _factor(factor[state][label], [misses[i] for i in of])
    for state, start in starts.items():
        moved = np.sqrt(factor[state][SAME_TIME] / start[SAME_TIME])
        factor[state][SAME_CELL] = start[SAME_CELL] * float(moved)
        factor[state][NONE] = max(factor[state].values())
    return factor


def table(cells: Cells, factor: dict[bool, dict[int, float]], *, outcome: str | None = None) -> Floats:
    """Return the factor of every ``[target, intent, bin]`` by its label and state."""
    labels = cells.labels(outcome=outcome)
    found = np.empty(labels.shape)
    for state in (False, True):
        lookup = np.array([1.0, *(factor[state][label] for label in (SAME_CELL, SAME_TIME, SAME_INTENT, NONE))])
        found = np.where(cells.is_degraded[:, None, :] == state, lookup[labels], found)
    return found


def _blocks(cells: Cells, places: Places, label: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Yield observed cells to hide together, and which of them to predict, so that what is left tells of these with ``label``.

    The bins before and after are hidden too: what a log does not show, it does not show for a while.
    """
    n = np.zeros((cells.observations.targets, cells.groups, cells.shape[2]))
    n[places.target, places.group, places.bin] = 1
    counts = cells.n()
    by_bin = counts.sum(axis=1)
    if label == SAME_TIME:
        own = np.zeros_like(n)
        for intent, group in enumerate(cells.group):
            own[:, group] += counts[:, intent]
        others = by_bin[places.target, places.bin] - own[places.target, places.group, places.bin]
        for i in np.flatnonzero(others >= FEWEST):
            alike = (places.target == places.target[i]) & (places.group == places.group[i])
            rows = np.flatnonzero(alike & (np.abs(places.bin - places.bin[i]) <= 1))
            yield rows, rows == i
        return
    for target, bin_ in np.argwhere(n.any(axis=1)):
        rows = np.flatnonzero((places.target == target) & (np.abs(places.bin - bin_) <= 1))
        if by_bin[target].sum() - by_bin[target, max(bin_ - 1, 0) : bin_ + 2].sum() >= FEWEST:
            yield rows, places.bin[rows] == bin_


def _miss(
    found: Mode, shares: Shares, rows: NDArray[np.int64], told: NDArray[np.bool_], noise: Floats
) -> tuple[float, float, float]:
    """Return the squared miss of predicted cells taken together, its variance by the model, and that of their noise."""
    mean, covariance = without_block(found, rows)
    rows, mean, covariance = rows[told], mean[told], covariance[np.ix_(told, told)]
    p = 1 / (1 + np.exp(-np.clip(shares.m[rows] + mean, -30, 30)))
    weight = shares.n[rows] / shares.n[rows].sum()
    slope = weight * p * (1 - p)
    variance = float(slope @ covariance @ slope)
    own = float((weight**2 * noise[rows]).sum())
    return float((weight * (shares.y[rows] - p)).sum()) ** 2, max(variance, 0.0), own


def _factor(start: float, misses: list[tuple[float, float, float]]) -> float:
    """Return the factor that makes misses as large as said, drawn towards ``start`` the more, the fewer they are."""
    miss, variance, noise = np.array(misses).T
    total = start**2 * variance + noise
    usable = total > 0
    miss, variance, noise, total = (one[usable] for one in (miss, variance, noise, total))
    information = float((variance**2 / total**2).sum() / 2)
    if information <= 0:
        return start
    miss = np.minimum(miss, _FAR * total)
    seen = float(((miss - noise) * variance / total**2).sum() / (variance**2 / total**2).sum())
    prior = 1 / (2 * _PRIOR_SD * start**2) ** 2
    square = (prior * start**2 + information * max(seen, 0.0)) / (prior + information)
    low, high = _REACH
    return float(np.clip(np.sqrt(square), low * start, high * start))
