from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from incident_kit.stats.propensity import Weighted, doubly_robust, effective_samples, ips, snips


def split(share: float, size: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return outcomes, agreement with always-backup, chances, and the truth of the backup, under split traffic."""
    rng = np.random.default_rng(5)
    hard = rng.random(size)
    backup = (rng.random(size) < 0.2 + 0.3 * hard).astype(float)
    primary = (rng.random(size) < 0.1).astype(float)
    agrees = rng.random(size) < share
    return np.where(agrees, backup, primary), agrees, np.where(agrees, share, 1 - share), backup


@pytest.mark.parametrize("estimate", [ips, snips])
def test_chances_give_the_truth(estimate: Callable[..., Weighted | None]) -> None:
    value, agrees, chance, backup = split(0.1)
    found = estimate(value, agrees, chance)
    assert found is not None
    assert found.low < backup.mean() < found.high
    assert found.high - found.low < 0.1
    assert found.samples == pytest.approx(2000, rel=0.1)


def test_effective_samples() -> None:
    assert effective_samples([1, 1, 1, 1]) == 4
    assert effective_samples([0, 0]) == 0
    assert effective_samples([1, 1e6]) == pytest.approx(1, abs=1e-5)


def test_two_effective_samples_of_ten_thousand_rows_are_refused() -> None:
    """Bar 5."""
    agrees = np.zeros(10_000, bool)
    agrees[:2] = True
    chance = np.full(10_000, 0.5)
    assert effective_samples(agrees / chance) == 2
    for estimate in (ips, snips):
        assert estimate(np.ones(10_000), agrees, chance) is None
    assert (
        doubly_robust(np.ones(10_000), agrees, chance, modelled_logged=np.ones(10_000), modelled=np.ones(10_000))
        is None
    )


def test_one_request_that_carries_too_much_is_refused() -> None:
    chance = np.full(1000, 0.5)
    chance[0] = 0.004
    agrees = np.ones(1000, bool)
    assert effective_samples(agrees / chance) > 50
    assert snips(np.ones(1000), agrees, chance) is None
    chance[0] = 0.5
    assert snips(np.ones(1000), agrees, chance) is not None


@pytest.mark.parametrize("chance", [0.0, 1.5, -0.1, np.nan])
def test_no_chance_is_refused(chance: float) -> None:
    chances = np.full(1000, 0.5)
    chances[3] = chance
    assert snips(np.ones(1000), np.ones(1000, bool), chances) is None


def test_doubly_robust_finds_a_model_that_is_wrong() -> None:
    value, agrees, chance, backup = split(0.1)
    wrong = np.full(len(value), 0.1)
    found = doubly_robust(value, agrees, chance, modelled_logged=wrong, modelled=wrong)
    assert found is not None
    assert found.low < backup.mean() < found.high
    assert found.low > 0.1  # its interval does not hold the model's own mean
    right = np.full(len(value), backup.mean())
    found = doubly_robust(value, agrees, chance, modelled_logged=np.where(agrees, right, 0.1), modelled=right)
    assert found is not None
    assert found.low < backup.mean() < found.high
