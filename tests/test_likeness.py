"""Likeness: weights, quantiles and intervals, against sums on paper and against chance."""

from __future__ import annotations

import numpy as np
import pytest

from incident_kit.backups.likeness import Likeness, Share, clopper_pearson


def alike(is_backup: list[int], stratum: list[int], *, resamples: int = 400) -> Likeness:
    cluster = np.arange(len(stratum))
    return Likeness(np.array(is_backup, np.bool_), np.array(stratum), cluster, resamples=resamples)


def test_the_primary_takes_the_backups_mix() -> None:
    """Stratum 0: one of the backup's beside three; stratum 1: two beside one; stratum 2 has no primary."""
    one = alike([1, 0, 0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 1, 1, 1, 2])
    assert one.weights.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 1, 1, 2, 0])
    assert one.n == (4, 3)


def test_a_confounded_rate_is_set_right() -> None:
    """Both fail 10 % by day and 50 % by night; the backup answers at night. Pooled they are 32 points apart."""
    rng = np.random.default_rng(1)
    night = rng.random(8000) < 0.5
    backup = rng.random(8000) < np.where(night, 0.9, 0.1)
    failed = (rng.random(8000) < np.where(night, 0.5, 0.1)).astype(float)
    one = Likeness(backup, night.astype(np.int64), np.arange(8000), resamples=100)
    found = one.measured({"error_rate": Share(failed, np.ones(8000))}, {})["error_rate"]
    assert failed[backup].mean() - failed[~backup].mean() > 0.25
    assert abs(found.difference[0]) < 0.04
    assert found.difference[1] < 0 < found.difference[2]
    assert found.interval == "bootstrap of tickets"


def test_intervals_hold_the_truth_nine_times_in_ten() -> None:
    """True difference 0.1, 60 tickets of four alike calls a side: calls taken as independent would cover two thirds."""
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        ticket = np.repeat(np.arange(120), 4)
        backup = ticket < 60
        failed = np.repeat(rng.random(120) < np.where(np.arange(120) < 60, 0.4, 0.3), 4).astype(float)
        one = Likeness(backup, np.zeros(480, np.int64), ticket, resamples=100)
        _, low, high = one.measured({"x": Share(failed, np.ones(480))}, {})["x"].difference
        hits += low <= 0.1 <= high
    assert 82 <= hits <= 98


def test_small_counts_are_exact() -> None:
    one = alike([0] * 40 + [1] * 40, [0] * 80)
    part = np.zeros(80)
    part[:2] = 1
    found = one.measured({"x": Share(part, np.ones(80))}, {})["x"]
    assert found.interval == "exact binomial"
    assert found.primary == pytest.approx((2 / 40, *clopper_pearson(2, 40)))
    assert found.backup == pytest.approx((0, 0, 1 - 0.05 ** (1 / 40)))
    assert found.difference[1] < -2 / 40 < found.difference[2]


def test_a_timeout_hides_the_end_of_a_quantile() -> None:
    """One in five of the primary's calls was cut at 3 s: its p95 is at least that, and nobody knows how much more."""
    rng = np.random.default_rng(1)
    backup = np.arange(400) % 2 == 1
    latency = rng.lognormal(6, 0.3, 400)
    cut = ~backup & (rng.random(400) < 0.2)
    latency[cut] = 3000
    one = Likeness(backup, np.zeros(400, np.int64), np.arange(400), resamples=100)
    found = one.measured({}, {"p50": (latency, 0.5), "p95": (latency, 0.95)}, is_cut=cut)
    assert found["p95"].primary[0] == 3000
    assert np.isnan(found["p95"].primary[2])
    assert np.isnan(found["p95"].difference[1])
    assert found["p95"].difference[2] < 0
    assert np.isfinite(found["p95"].backup).all()
    assert np.isfinite(found["p50"].difference).all()
    seen = one.measured({}, {"p95": (latency, 0.95)})["p95"]
    assert np.isfinite(seen.difference).all()
    mirrored = Likeness(~backup, np.zeros(400, np.int64), np.arange(400), resamples=100)
    assert np.isnan(mirrored.measured({}, {"p95": (latency, 0.95)}, is_cut=cut)["p95"].difference[2])


def test_clopper_and_pearson() -> None:
    """k of n fails the tail test exactly at each end."""
    from scipy.stats import binom

    low, high = clopper_pearson(3, 20)
    assert binom.sf(2, 20, low) == pytest.approx(0.05)
    assert binom.cdf(3, 20, high) == pytest.approx(0.05)
    assert clopper_pearson(20, 20)[1] == 1


def test_quantiles_are_nearest_rank() -> None:
    one = alike([0] * 20 + [1] * 20, [0] * 40, resamples=50)
    values = np.array([*range(1, 21), *range(101, 121)], float)
    found = one.measured({}, {"p50": (values, 0.5), "p95": (values, 0.95)})
    assert (found["p50"].primary[0], found["p50"].backup[0], found["p95"].backup[0]) == (10, 110, 119)
    assert found["p95"].difference[0] == 100


def test_the_same_seed_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(2)
    share = Share((rng.random(300) < 0.4).astype(float), np.ones(300))
    backup = rng.random(300) < 0.5
    runs = [
        Likeness(backup, np.zeros(300, np.int64), np.arange(300), seed=seed, resamples=60).measured({"x": share}, {})[
            "x"
        ]
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1]
    assert runs[0].difference != runs[2].difference


def test_a_metric_that_one_side_lacks_is_left_out() -> None:
    one = alike([0, 0, 1, 1], [0, 0, 0, 0])
    assert one.measured({"x": Share(np.ones(4), np.array([1.0, 1, 0, 0]))}, {}) == {}
