from __future__ import annotations

import numpy as np
import pytest

from incident_kit.stats.delays import due_shares, weighted_rate


def late_feedback(rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return who was overridden as far as the log knows, ages, and delays: an hour of answers, overrides within half of it."""
    rng = np.random.default_rng(1)
    age = rng.uniform(0, 60, 40_000)
    delay = np.minimum(rng.exponential(10, len(age)), 30)
    known = (rng.random(len(age)) < rate) & (delay <= age)
    return known, age, np.where(known, delay, np.nan)


def test_weighting_undoes_what_is_still_out() -> None:
    """EVIDENCE.md section 5: naive is points too low, weighted is not."""
    happened, age, delay = late_feedback(0.2)
    rate, out = weighted_rate(happened, age, delay)
    assert happened.mean() < 0.175
    assert rate == pytest.approx(0.2, abs=0.005)
    assert out == pytest.approx(40_000 * (1 - happened.mean() / 0.2), rel=0.1)


def test_old_answers_are_in_and_new_ones_out() -> None:
    age = np.concatenate([np.full(100, 50.0), [0.0, 5.0]])
    delay = np.concatenate([np.arange(100) % 10 + 1.0, [np.nan, np.nan]])
    shares = due_shares(age, delay)
    assert shares[:100] == pytest.approx(1)
    assert shares[100] == 0
    assert shares[101] == pytest.approx(0.5)


def test_without_feedback_all_is_in() -> None:
    assert due_shares([1.0, 2.0], [np.nan, np.nan]).tolist() == [1, 1]
    rate, out = weighted_rate([0, 0], [1.0, 2.0], [np.nan, np.nan])
    assert (rate, out) == (0, 0)


def test_a_short_closed_window_takes_the_older_half() -> None:
    age, delay = np.array([1.0, 2.0, 3.0, 10.0]), np.array([1.0, 1.0, 1.0, 9.0])
    assert due_shares(age, delay).tolist() == [0.5, 0.5, 0.5, 1.0]
