from __future__ import annotations

import numpy as np
import pytest
from test_laplace import setting
from worlds_of_calls import MINUTE, observed

from incident_kit.estimation.cells import Cells
from incident_kit.estimation.covariance import OTHER_SD, RANGES, UNCLEAR, UNSURE_SD, Covariance, Places


def everywhere(prior: Covariance) -> Places:
    return Places.where(np.ones((prior.targets, prior.groups, len(prior.at)), bool))


def test_it_is_a_covariance() -> None:
    prior, _, _, theta = setting()
    at = everywhere(prior)
    matrix = prior.matrix(theta, at, at)
    assert matrix == pytest.approx(matrix.T)
    assert np.diag(matrix) == pytest.approx(prior.variance(theta, at))
    assert np.linalg.eigvalsh(matrix).min() > -1e-8


def test_draws_from_the_prior_have_it() -> None:
    prior, _, _, theta = setting()
    at = everywhere(prior)
    drawn = prior.sample(theta, 20_000, np.random.default_rng(1)).reshape(20_000, -1)
    matrix = prior.matrix(theta, at, at)
    some = np.arange(0, len(at), 7)
    seen = np.cov(drawn[:, some].T)
    scale = np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))[np.ix_(some, some)]
    assert np.abs(seen - matrix[np.ix_(some, some)]).max() < 0.06 * scale.max()


def test_rows_and_columns_may_differ() -> None:
    prior, places, _, theta = setting()
    whole = prior.matrix(theta, everywhere(prior), everywhere(prior))
    flat = np.ravel_multi_index((places.target, places.group, places.bin), (prior.targets, prior.groups, len(prior.at)))
    assert prior.matrix(theta, everywhere(prior), places) == pytest.approx(whole[:, flat])


def test_who_is_alike() -> None:
    """A cell is liker to its own intent and target; incidents tie a suspect's bins together, and apart from its others."""
    prior, _, _, theta = setting()
    prior = prior.with_size(np.zeros_like(prior.size))
    b = int(np.flatnonzero(prior.swings[0])[0])
    at = Places(*(np.array(one) for one in ([0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [b, b + 1, 0, b, b])))
    near, outside, other_intent, other_target = prior.matrix(theta, at, at)[0, 1:]
    assert near > other_intent > other_target
    assert near > outside


def test_the_declared_shift_is_wide_for_the_suspect_only() -> None:
    minute = np.concatenate([np.arange(0, 240, 0.5), np.arange(0, 240, 0.5)])
    it = observed(np.repeat([0, 1], 480), minute)
    spans = [(100 * MINUTE, 140 * MINUTE)]
    prior = Covariance.of(Cells.of(it, incident=spans, suspects=[0]), "error")
    assert prior.shift.max(axis=2).tolist() == [[RANGES["error"].shift, OTHER_SD]]
    gone = observed(np.repeat([0, 1], [480, 480])[minute < 100], minute[minute < 100])
    hidden = Cells.of(gone, incident=spans, suspects=[0], window=(0, 240 * MINUTE))
    assert Covariance.of(hidden, "error").shift.max(axis=2).tolist() == [[UNSURE_SD, OTHER_SD]]


def test_the_clock_is_the_incidents() -> None:
    """An outage of five minutes moves as one of five hours does, only faster."""
    minute = np.arange(0, 240, 0.5)
    slow = Cells.of(observed([0] * 480, minute), incident=[(100 * MINUTE, 140 * MINUTE)])
    fast = Cells.of(observed([0] * 480, minute / 10), incident=[(10 * MINUTE, 14 * MINUTE)])
    span = [Covariance.of(one, "error").at[-1] - Covariance.of(one, "error").at[0] for one in (slow, fast)]
    assert span[0] == pytest.approx(span[1], rel=0.1)


def test_an_incident_is_expected_to_make_a_suspect_worse() -> None:
    """As far as it is one: fully where its own calls show it, outside the incident not at all, people's verdicts within less."""
    minute = np.tile(np.arange(0, 240, 0.25), 2)
    inside = (minute >= 100) & (minute < 140)
    target = np.repeat([0, 1], len(minute) // 2)
    slow = np.where(inside & (target == 0), 9000, 1000)
    cells = Cells.of(observed(target, minute, latency_ms=slow), incident=[(100 * MINUTE, 140 * MINUTE)])
    assert cells.shown.tolist() == [[1], [0]]
    prior = Covariance.of(cells, "latency")
    assert prior.lift[0].max() == RANGES["latency"].worse
    assert not prior.lift[0, ~cells.is_incident].any()
    assert not prior.lift[1].any()
    assert RANGES["override"].shift < RANGES["error"].shift


def test_a_target_that_was_hardly_seen_before_may_swing_in_the_incident() -> None:
    minute = np.concatenate([np.arange(0, 240, 0.25), np.arange(105, 135, 0.25)])
    target = np.concatenate([np.zeros(960), np.ones(120)]).astype(int)
    spans = [(100 * MINUTE, 140 * MINUTE)]
    prior = Covariance.of(Cells.of(observed(target, minute), incident=spans), "latency")
    known = Covariance.of(Cells.of(observed(target[::-1], minute), incident=spans), "latency")
    assert prior.swings[1].max() == UNCLEAR
    assert not prior.swings[0].any()
    assert not known.swings[0].any()
