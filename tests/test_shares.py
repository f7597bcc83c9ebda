"""Shares: by hand, against another library's scores, and on usual days that drift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from incident_kit.stats.shares import UNTESTED, Share, Usual, holm

MINUTE = 60_000_000


def test_a_share_by_hand() -> None:
    one = Share(30, 100, 10, 200)
    assert (one.share, one.usual, one.difference, one.excess) == (0.3, 0.05, 0.25, 25.0)
    assert Share(0, 0, 1, 2).difference is None
    assert Share(0, 0, 1, 2).interval() == (None, None)
    assert Share(0, 0, 1, 2).by_chance() == 1.0


def test_the_interval_is_newcombes() -> None:
    """From another library's scores of Wilson."""
    low, high = Share(56, 70, 48, 80).interval()
    one, other = (binomtest(k, n).proportion_ci(0.9, method="wilson") for k, n in ((56, 70), (48, 80)))
    assert low == pytest.approx(0.2 - ((0.8 - one.low) ** 2 + (other.high - 0.6) ** 2) ** 0.5)
    assert high == pytest.approx(0.2 + ((one.high - 0.8) ** 2 + (0.6 - other.low) ** 2) ** 0.5)


def test_a_count_that_varies_more_says_less() -> None:
    sure, unsure = Share(30, 100, 50, 1000), Share(30, 100, 50, 1000, 4.0, 4.0)
    assert sure.by_chance() < unsure.by_chance() < 0.05
    assert np.diff(sure.interval()) < np.diff(unsure.interval())  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["more", "less", "both"])
def test_the_exact_distribution_and_its_stand_in_agree(side: str) -> None:
    """24,000 rows take the normal distribution, 19,998 the exact one."""
    exact, normal = Share(1050, 19_998, 5000, 100_000), Share(1260, 24_000, 6000, 120_000)
    assert exact.by_chance(side=side) == pytest.approx(normal.by_chance(side=side), rel=0.5, abs=0.03)


def test_nothing_usual_still_tells() -> None:
    assert Share(5, 100, 0, 10_000).by_chance() < 1e-6
    assert Share(0, 100, 0, 10_000).by_chance() == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_itself_and_bonferroni(chances: list[float]) -> None:
    found = holm(chances)
    for before, after in zip(chances, found, strict=True):
        assert before <= after <= min(1.0, before * len(chances)) + 1e-12
    order = np.argsort(chances, kind="stable")
    assert list(np.array(found)[order]) == sorted(found)


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([]) == []


def usual(per_window: list[int], n: int = 100) -> tuple[Usual, np.ndarray]:
    """Return windows of ten minutes with n rows each, of which so many are hit."""
    at = np.concatenate([np.linspace(i * 10, i * 10 + 9.9, n) for i in range(len(per_window))]) * MINUTE
    hit = np.concatenate([np.arange(n) < k for k in per_window])
    return Usual.of(at.astype(np.int64), ((0, 10 * len(per_window) * MINUTE),)), hit


def test_how_much_usual_time_varies_is_taken_from_its_windows() -> None:
    everybody = np.ones(1200, np.bool_)
    calm, hit = usual([10] * 12)
    assert calm.beside(10, 100, hit, everybody).spread == 1.0
    wild, hit = usual([0, 20] * 6)
    found = wild.beside(10, 100, hit, everybody)
    assert found.spread > 10, "a hundred over nine for each window"
    assert (found.usual_count, found.usual_of) == (120, 1200)


def test_a_share_that_drifts_spreads_more_over_a_longer_time() -> None:
    drifting, hit = usual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24])
    everybody = np.ones(1200, np.bool_)
    assert drifting.beside(10, 2000, hit, everybody).spread > 2 * drifting.beside(10, 400, hit, everybody).spread


def test_too_little_usual_time_to_show_it_is_not_taken_as_calm() -> None:
    short, hit = usual([10, 10])
    assert short.windows == ()
    assert short.beside(1, 10, hit, np.ones(200, np.bool_)).spread == UNTESTED


def test_rows_outside_whole_windows_are_in_no_window() -> None:
    found = Usual.of(np.array([0, 39, 41, 59]) * MINUTE, ((0, 45 * MINUTE), (50 * MINUTE, 60 * MINUTE)))
    assert [list(ids) for ids in found.windows] == [[0, 3, -1, 4]]
