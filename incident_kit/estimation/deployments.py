"""Deployments: a target whose calls went to other deployments in the incident than before, each told by itself.

A gateway leaves a failing deployment of a target and goes on with the others: what is logged of the target is then what its
better half did. What a policy's calls would have met is the mix of healthy times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.estimation.cells import Cells
from incident_kit.estimation.posterior import Posterior, fit

Floats = NDArray[np.float64]
FEWEST = 20  # calls of a deployment that is told by itself
MOST = 4  # deployments of a target that are
_SURE = 5.0  # standard deviations of chi-square by which the mix must change
_HEALTHY = 30  # calls of a target outside incidents that make a healthy mix


@dataclass(frozen=True, eq=False)
class Parts:
    """Targets taken apart: ``cells`` of the parts, and ``mix``, ``[target, part]``: what share of a target each part serves."""

    cells: Cells
    mix: Floats

    @classmethod
    def of(cls, cells: Cells, *, incident: Sequence[tuple[int, int]] = ()) -> Parts | None:
        """Return targets taken apart where their mix of deployments changed; None where none did."""
        it = cells.observations
        if it.deployment is None:
            return None
        part, owner = it.target.astype(np.int64), list(range(it.targets))
        for target in range(it.targets):
            of = np.flatnonzero(it.target == target)
            named = _named(it.deployment[of])
            if named.max(initial=0) > 0 and _changes(named, cells.bins[of]):
                codes = np.array([target, *range(len(owner), len(owner) + int(named.max()))])
                part[of] = codes[named]
                owner += [target] * int(named.max())
        if len(owner) == it.targets:
            return None
        told = replace(it, target=part.astype(np.int16), targets=len(owner))
        mix = np.zeros((it.targets, len(owner)))
        mix[owner, np.arange(len(owner))] = 1.0
        healthy = ~cells.is_incident[cells.bins]
        for target in np.flatnonzero(mix.sum(axis=1) > 1).tolist():
            of = it.target == target
            counted = of & healthy if (of & healthy).sum() >= _HEALTHY else of
            calls = np.bincount(part[counted], minlength=len(owner))
            mix[target] *= calls / calls.sum()
        return cls(cells.told_of(told, incident=incident), mix)

    def fit(self, outcome: str) -> Mixed:
        """Return the posterior of an outcome, of every part and mixed."""
        return Mixed(fit(self.cells, outcome), self.mix)


@dataclass(frozen=True, eq=False)
class Mixed:
    """A posterior of parts, seen as one of their targets."""

    parts: Posterior
    mix: Floats

    @cached_property
    def mean(self) -> Floats:
        """The expected outcome of every ``[target, intent, bin]``, in [0, 1]."""
        return self._mixed(self.parts.mean)

    def draws(self, size: int, *, seed: int = 0) -> Floats:
        """Return draws of it over ``[draw, target, intent, bin]``."""
        return self._mixed(self.parts.draws(size, seed=seed))

    def _mixed(self, values: Floats) -> Floats:
        return np.asarray(np.einsum("tp,...pxb->...txb", self.mix, values))


def _named(deployment: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return a code of each call's deployment, the commonest first; rare ones, and unknown ones, count as the commonest."""
    known, where, calls = np.unique(deployment, return_inverse=True, return_counts=True)
    order = [i for i in np.argsort(-calls, kind="stable") if known[i] >= 0 and calls[i] >= FEWEST][:MOST]
    codes = np.zeros(len(known), np.int64)
    codes[order] = np.arange(len(order))
    return np.asarray(codes[where], np.int64)


def _changes(named: NDArray[np.int64], bins: NDArray[np.int32]) -> bool:
    """Return whether the mix of deployments is another one in some bins, by Pearson's chi-square."""
    table = np.zeros((int(named.max()) + 1, int(bins.max()) + 1))
    np.add.at(table, (named, bins), 1)
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    apart = float(((table - expected) ** 2 / expected).sum())
    return bool(apart > freedom + _SURE * np.sqrt(2 * max(freedom, 1)))
