"""Choices: of many settings the simplest that is within noise of the best, and what the best is told apart by.

Two settings are compared incident by incident, on common draws. The noise of their difference, summed over the incidents, has
two sources: these incidents are some of those that might have come (n times the variance between incidents), and what was not
observed is drawn (the variance between draws, of each).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from incident_kit.optimization.bills import NOTHING

if TYPE_CHECKING:
    from incident_kit.optimization.bills import Bill
    from incident_kit.optimization.objective import Objective

Floats = NDArray[np.float64]
WORTH = 0.02  # of what there is to gain: less than that nobody would give up a simpler policy for
NINE_IN_TEN = 0.95  # of a spread that leaves one in twenty out at either end


@dataclass(frozen=True)
class Choice:
    """Of settings ``[setting]``: their cost over some incidents, what they lose to the best, and the noise of that loss.

    ``best`` costs least; ``flat`` are those that lose no more than the noise (one standard error), and less than 2 % of what
    the best gains on never switching; ``chosen`` is, of these, the one that changes the fewest values of the policy as it
    stands, then the one whose neighbourhood costs least: the middle of the flat part rather than its edge.
    """

    cost: Floats
    loss: Floats
    noise: Floats
    best: int
    flat: NDArray[np.bool_]
    chosen: int


def choose(
    bills: Sequence[Bill],
    names: Sequence[str],
    changes: Sequence[int],
    near: Sequence[Sequence[int]],
    objective: Objective,
) -> Choice:
    """Return the choice among settings, given their policies' names, how many values each changes, and who is next to whom."""
    costs = [bill.costs(objective)[[bill.of(name) for name in names]] for bill in bills]
    cost = np.sum([one.mean(axis=1) for one in costs], axis=0)
    nothing = sum(float(bill.costs(objective)[bill.of(NOTHING)].mean()) for bill in bills)
    best = int(cost.argmin())
    lost = [summed([one[i] - one[best] for one in costs]) for i in range(len(names))]
    loss, noise = (np.array([one[k] for one in lost]) for k in (0, 1))
    flat = (loss <= noise) & (loss <= WORTH * max(nothing - cost[best], 0.0))
    flat[best] = True
    around = [float(np.mean(cost[[i, *near[i]]])) for i in range(len(names))]
    chosen = min(np.flatnonzero(flat).tolist(), key=lambda i: (changes[i], around[i], i))
    return Choice(cost, loss, noise, best, flat, chosen)


def summed(differences: Sequence[Floats]) -> tuple[float, float]:
    """Return the sum of differences, one an incident (each over its draws), and its standard error."""
    means = np.array([one.mean() for one in differences])
    within = sum(float(one.var()) for one in differences)
    between = len(means) * float(means.var(ddof=1)) if len(means) > 1 else 0.0
    return float(means.sum()), float(np.sqrt(within + between))


def between(differences: Sequence[Floats]) -> tuple[float, float, float]:
    """Return the sum of differences, one an incident, and between which ends nine in ten lie (Student's t)."""
    from scipy.special import stdtrit

    total, error = summed(differences)
    freedom = len(differences) - 1
    width = float(stdtrit(freedom, NINE_IN_TEN)) if freedom else 1.645
    return total, total - width * error, total + width * error
