"""Intervals of few draws are not too narrow."""

from __future__ import annotations

import numpy as np
import pytest

from incident_kit.stats.intervals import interval


def test_of_nineteen_draws_the_ends_are_the_least_and_the_largest() -> None:
    """Weibull: rank p (n + 1) is 1 and 19."""
    assert interval(range(1, 20)) == (10, 1, 19)


def test_equal_draws_have_no_width_at_all() -> None:
    assert interval([0.1] * 50) == (0.1, 0.1, 0.1)


@pytest.mark.parametrize(("known", "told"), [(2, True), (1, False)])
def test_what_most_draws_do_not_know_is_not_told(known: int, told: bool) -> None:  # noqa: FBT001
    draws = [1.0] * known + [np.nan] * (3 - known)
    assert (interval(draws)[0] is not None) == told


def test_nine_draws_in_ten_lie_inside() -> None:
    random = np.random.default_rng(5)
    hits = []
    for _ in range(2000):
        _, low, high = interval(random.normal(size=50))
        assert low is not None
        assert high is not None
        hits.append(low <= random.normal() <= high)
    assert np.mean(hits) == pytest.approx(0.9, abs=0.02)
