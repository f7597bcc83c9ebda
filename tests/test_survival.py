from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_kit.stats.survival import Curve, curves

LATENCIES = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def test_the_textbook_example() -> None:
    """Six latencies, two of them cut: 1 - 1/6, then times 1 - 1/4, times 1 - 1/2."""
    curve = Curve.of([1, 2, 3, 4, 5, 6], [False, True, False, True, False, True])
    assert curve.at_ms.tolist() == [1, 3, 5]
    assert curve.above == pytest.approx([5 / 6, 5 / 6 * 3 / 4, 5 / 6 * 3 / 4 / 2])
    assert curve.last_ms == 6


def test_a_cut_latency_outlasts_an_equal_one() -> None:
    assert Curve.of([5, 5], [False, True]).above.tolist() == [0.5]


@given(LATENCIES)
def test_without_timeouts_it_is_the_plain_share(latencies: list[int]) -> None:
    curve = Curve.of(latencies, [False] * len(latencies))
    for ms in (0, 10, 25, 60):
        assert curve.share_above(ms) == pytest.approx(np.mean(np.array(latencies) > ms))
    assert curve.mean_up_to(20) == pytest.approx(np.minimum(latencies, 20).mean())


@given(LATENCIES, st.sampled_from([0.5, 0.9, 0.95]))
def test_without_timeouts_quantiles_are_nearest_rank(latencies: list[int], share: float) -> None:
    n = len(latencies)
    rank = int(np.ceil(share * n - 1e-9))
    assert Curve.of(latencies, [False] * n).quantile(share) == sorted(latencies)[rank - 1]


def test_a_quantile_behind_the_timeout_is_not_told() -> None:
    curve = Curve.of([100, 200, 300, 1000, 1000, 1000], [False, False, False, True, True, True])
    assert curve.quantile(0.5) == 300
    assert curve.quantile(0.51) is None
    assert curve.share_above(5000) == pytest.approx(0.5)


def test_all_cut_tells_nothing() -> None:
    curve = Curve.of([10, 10], [True, True])
    assert curve.quantile(0.01) is None
    assert curve.mean_up_to(10) == 10
    assert curve.mean_up_to(5, beyond_ms=7) == 5


def test_dropping_timeouts_shortens_the_tail_and_the_curve_does_not() -> None:
    """EVIDENCE.md section 5: client timeouts of all lengths; the 95th percentile must be the true one."""
    rng = np.random.default_rng(3)
    latency = np.exp(rng.normal(8, 0.9, 20_000))
    cut = rng.uniform(1_000, 25_000, len(latency))
    seen, is_cut = np.minimum(latency, cut), latency > cut
    true = float(np.quantile(latency, 0.95))
    dropped = float(np.quantile(seen[~is_cut], 0.95))
    told = Curve.of(seen, is_cut).quantile(0.95)
    assert dropped < 0.8 * true
    assert told == pytest.approx(true, rel=0.05)


def test_one_curve_a_group() -> None:
    found = curves([1, 2, 3], [False, False, False], [7, 7, 9])
    assert sorted(found) == [7, 9]
    assert found[7].calls == 2
