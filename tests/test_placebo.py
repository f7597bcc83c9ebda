from __future__ import annotations

import numpy as np
import pytest
from worlds_of_calls import MINUTE, observed

from incident_kit.estimation.cells import NONE, SAME_CELL, SAME_INTENT, SAME_TIME, Cells
from incident_kit.estimation.covariance import Covariance, Places
from incident_kit.estimation.placebo import DEGRADED, HEALTHY, _factor, factors, table
from incident_kit.stats.laplace import Shares, mode

SPAN = [(100 * MINUTE, 140 * MINUTE)]


def test_misses_as_large_as_said_leave_the_factor_near_one() -> None:
    rng = np.random.default_rng(0)
    misses = [(float(z) ** 2, 1.0, 0.5) for z in rng.normal(0, np.sqrt(1.5), 400)]
    assert _factor(1.1, misses) == pytest.approx(1.0, abs=0.1)


def test_misses_twice_as_large_widen_it() -> None:
    rng = np.random.default_rng(0)
    misses = [(float(z) ** 2, 1.0, 0.5) for z in rng.normal(0, np.sqrt(0.5 + 2.0), 400)]
    assert _factor(1.1, misses) == pytest.approx(np.sqrt(2.0), abs=0.12)


def test_few_placebos_leave_it_where_it_was() -> None:
    assert _factor(1.35, [(4.0, 1.0, 0.5)]) == pytest.approx(1.35, abs=0.1)
    assert _factor(1.35, [(0.0, 0.0, 1.0)]) == 1.35


def test_noise_alone_is_not_taken_for_a_miss() -> None:
    """Cells of few calls miss by their own noise: it does not widen what is said of their mean."""
    rng = np.random.default_rng(0)
    misses = [(float(z) ** 2, 0.01, 4.0) for z in rng.normal(0, 2.0, 300)]
    assert _factor(1.2, misses) == pytest.approx(1.2, abs=0.02)


def test_one_wild_miss_does_not_decide() -> None:
    assert _factor(1.1, [(1e6, 1.0, 0.1)] + [(1.1, 1.0, 0.1)] * 60) < 1.3


def test_the_table_gives_each_cell_that_of_its_label_and_state() -> None:
    rng = np.random.default_rng(1)
    minute = np.sort(rng.uniform(0, 240, 3000))
    target = np.where((minute > 110) & (minute < 140), 1, 0)
    cells = Cells.of(observed(target, minute), incident=SPAN, suspects=[0])
    factors = table(cells, {False: dict(HEALTHY), True: dict(DEGRADED)})
    before, late = cells.bin_of(20 * MINUTE), cells.bin_of(135 * MINUTE)
    assert factors[0, 0, before] == HEALTHY[SAME_CELL]
    assert factors[1, 0, before] == HEALTHY[SAME_INTENT]
    assert factors[0, 0, late] == DEGRADED[SAME_INTENT]
    assert factors[0, 1, late] == DEGRADED[NONE]
    assert SAME_TIME in HEALTHY


def test_a_log_full_of_surprises_is_trusted_less() -> None:
    """The same model on calm cells, and on cells that jump from bin to bin and intent to intent in the same hours."""

    def factor(jump: float) -> float:
        """Of a model that was told that cells hardly move."""
        rng = np.random.default_rng(3)
        minute, intent = np.sort(rng.uniform(0, 240, 12_000)), rng.integers(0, 5, 12_000)
        where = (minute // 3).astype(int)
        bumps = jump * rng.standard_t(2, (5, 80))
        logit = -1.5 + np.clip(bumps[intent, where], -3, 3)
        p = 1 / (1 + np.exp(-logit))
        it = observed([0] * 12_000, minute, intent=intent, error=(rng.random(12_000) < p).astype(float))
        cells = Cells.of(it)
        counts, prior = cells.counts("error"), Covariance.of(cells, "error")
        places = Places.where(counts.n > 0)
        at = places.target, places.group, places.bin
        shares = Shares(counts.n[at], counts.k[at] / counts.n[at], np.full(len(places), -1.5))
        theta = prior.start.copy()
        theta[: 2 * prior.targets] = np.log(0.1)
        found = mode(prior.seen(theta, places), shares)
        p = 1 / (1 + np.exp(1.5 - found.f))
        noise = p * (1 - p) / shares.n
        return factors(cells, found, shares, places, noise)[False][SAME_TIME]

    assert factor(0.0) == pytest.approx(HEALTHY[SAME_TIME], rel=0.15)
    assert factor(0.8) > 1.3 * factor(0.0)
