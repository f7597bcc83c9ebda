from __future__ import annotations

import numpy as np
import pytest
from worlds_of_calls import MINUTE, observed

from incident_kit.estimation.cells import Cells
from incident_kit.estimation.covariance import Covariance, Places
from incident_kit.stats.laplace import Shares, mode, slope_weights, without_block


def setting(*, squared: bool = False, seed: int = 0) -> tuple[Covariance, Places, Shares, np.ndarray]:
    """Return a prior, some seen cells, their shares, and hyper-parameters off the prior's middle."""
    rng = np.random.default_rng(seed)
    minute = np.sort(rng.uniform(0, 240, 600))
    target = np.where((minute > 110) & (minute < 130), 1, 0)
    target[rng.random(600) < 0.1] = 1
    cells = Cells.of(
        observed(target, minute, intent=rng.integers(0, 3, 600), error=(rng.random(600) < 0.2).astype(float)),
        incident=[(100 * MINUTE, 140 * MINUTE)],
        suspects=[0],
    )
    counts = cells.counts("error")
    places = Places.where(counts.n > 0)
    at = places.target, places.group, places.bin
    y = counts.k[at] / counts.n[at]
    shares = Shares(counts.n[at], np.clip(y, 0.01, 0.99) if squared else y, np.full(len(places), -1.5), squared=squared)
    prior = Covariance.of(cells, "error").with_size(rng.standard_normal((2, cells.shape[2])))
    return prior, places, shares, prior.start + 0.3 * rng.standard_normal(len(prior.start))


@pytest.mark.parametrize("squared", [False, True])
def test_the_slope_of_the_evidence_is_its_slope(squared: bool) -> None:  # noqa: FBT001
    prior, places, shares, theta = setting(squared=squared)
    matrix = prior.seen(theta, places)
    told = prior.slopes(theta, places, slope_weights(matrix, mode(matrix, shares)))
    step = 1e-4
    for j, slope in enumerate(told):
        move = np.zeros(len(theta))
        move[j] = step
        up, down = (mode(prior.seen(theta + sign * move, places), shares).evidence for sign in (1, -1))
        assert slope == pytest.approx((up - down) / (2 * step), abs=2e-3, rel=1e-3)


@pytest.mark.parametrize("squared", [False, True])
def test_the_mode_is_one(squared: bool) -> None:  # noqa: FBT001
    prior, places, shares, theta = setting(squared=squared)
    matrix = prior.seen(theta, places)
    found = mode(matrix, shares)
    assert found.f == pytest.approx(matrix @ found.weights)
    assert found.weights == pytest.approx(
        shares.slopes(found.f)[0], abs=1e-3
    )  # at a mode, K^-1 f is the likelihood's slope


def test_rates_near_zero_under_a_wide_prior_do_not_run_away() -> None:
    """Undamped Newton gave silent nonsense here: one failure in ten thousand calls, next to cells that never fail."""
    n, y = np.full(30, 10_000.0), np.zeros(30)
    y[3] = 1e-4
    matrix = 100.0 * (np.eye(30) + 0.5)
    shares = Shares(n, y, np.full(len(n), -2.0))
    found = mode(matrix, shares)
    p = 1 / (1 + np.exp(-(found.f - 2.0)))
    assert np.isfinite(found.evidence)
    assert p[3] == pytest.approx(1e-4, rel=0.3)
    assert (np.delete(p, 3) < 1e-4).all()
    assert shares.value(found.f) - 0.5 * found.weights @ found.f >= shares.value(np.zeros(30))


def test_a_bad_start_is_not_believed() -> None:
    prior, places, shares, theta = setting()
    matrix = prior.seen(theta, places)
    there = mode(matrix, shares, start=np.full(len(places), 1e3))
    assert there.evidence == pytest.approx(mode(matrix, shares).evidence, abs=1e-5)


def test_hiding_cells_is_not_having_them() -> None:
    """Prediction without some cells, by the short way, is a regression on the others (their curvature held)."""
    prior, places, shares, theta = setting()
    matrix = prior.seen(theta, places)
    found = mode(matrix, shares)
    rows = np.array([2, 5, 11])
    mean, covariance = without_block(found, rows)
    kept = np.setdiff1d(np.arange(len(places)), rows)
    noise = 1 / found.root**2
    aim = found.f + found.weights * noise
    inner = matrix[np.ix_(kept, kept)] + np.diag(noise[kept])
    across = matrix[np.ix_(rows, kept)]
    assert mean == pytest.approx(across @ np.linalg.solve(inner, aim[kept]), abs=1e-6)
    left = matrix[np.ix_(rows, rows)] - across @ np.linalg.solve(inner, across.T)
    assert covariance == pytest.approx(left, abs=1e-6)


def test_more_calls_are_surer_and_pull_harder() -> None:
    few, many = (
        mode(np.array([[1.0]]), Shares(np.array([n]), np.array([0.5]), np.array([-2.0]))) for n in (2.0, 200.0)
    )
    assert 0 < few.f[0] < many.f[0] < 2.0
    assert few.root[0] < many.root[0]


def test_wedderburn_calls_tell_as_much_at_any_share() -> None:
    """The information on the logit is n whatever p is; binomial calls tell less of rare outcomes."""
    for p in (0.01, 0.2, 0.6):
        f = np.array([np.log(p / (1 - p))])
        assert Shares(np.array([7.0]), np.array([p]), np.zeros(1), squared=True).slopes(f)[1] == pytest.approx(7)
        assert Shares(np.array([7.0]), np.array([p]), np.zeros(1)).slopes(f)[1] == pytest.approx(7 * p * (1 - p))
