"""Rises: by hand, on simulated healthy days (how often one is seen that is none), and on days with a real one."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from incident_kit.stats.rises import CHANCE, Rise, _dispersion, rate_rise, share_rise

MINUTE = 60_000_000
DAY = 1440
LOOK = (100 * MINUTE, 290 * MINUTE)
HEALTHY = ((0, 100 * MINUTE), (260 * MINUTE, 360 * MINUTE))
FLAT = (1.0, 1.0)
CURVE = (0.8, 1.0, 1.1, 1.1, 1.0, 0.85)


def minutes(*values: float) -> NDArray[np.int64]:
    return np.array([round(value * MINUTE) for value in values], np.int64)


def every(step: float, begin: float, end: float) -> NDArray[np.int64]:
    return (np.arange(begin, end, step) * MINUTE).astype(np.int64)


def merged(*parts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.sort(np.concatenate(parts))


def day(
    rng: np.random.Generator, rate: float, *, length: int = 360, burst: float = 0, curve: tuple[float, ...] = FLAT
) -> NDArray[np.int64]:
    """Return arrivals a minute at a rate with the day's curve, in bursts of five minutes."""
    usual = rate * np.interp(np.arange(length), np.linspace(0, length, len(curve)), curve)
    if burst:
        usual *= np.repeat(rng.gamma(burst**-2, burst**2, -(-length // 5)), 5)[:length]
    counts = rng.poisson(usual)
    return np.sort(np.repeat(np.arange(length), counts) * MINUTE + rng.integers(0, MINUTE, counts.sum()))


def test_a_rate_by_hand() -> None:
    """One every two minutes, from minute 150 on one every fifteen seconds: 20 of the ten minutes to 155 are far from 5."""
    found = rate_rise(merged(every(2, 0, 360), every(0.25, 150.1, 200)), look=LOOK, healthy=HEALTHY)
    assert found.at_us == 155 * MINUTE
    assert (found.count, found.of, found.usual, found.width_us) == (4 + 20 + 1, None, 5, 10 * MINUTE)
    assert found.since_us == 150 * MINUTE, "one of the usual ones came just before the first of the others"


def test_less_than_three_quarters_more_is_no_rise_where_there_is_one_day() -> None:
    """However sure: 100 a minute, later 160; 200 are one."""
    at = merged(every(0.01, 0, 360), every(1 / 60, 150, 200))
    assert rate_rise(at, look=LOOK, healthy=HEALTHY).at_us is None
    at = merged(every(0.01, 0, 360), every(0.01, 150, 200))
    assert rate_rise(at, look=LOOK, healthy=HEALTHY).at_us is not None


def test_the_same_hours_of_other_days_are_the_baseline() -> None:
    """Ten a minute from 10:00 to 14:00 every day, else one: the fourth noon is as usual, though far from all other hours."""
    noon = merged(*(every(0.1, d * DAY + 600, d * DAY + 840) for d in range(4)), every(1, 0, 4 * DAY))
    look = ((3 * DAY + 660) * MINUTE, (3 * DAY + 780) * MINUTE)
    healthy = ((0, look[0]), (look[1], 4 * DAY * MINUTE))
    assert rate_rise(noon, look=look, healthy=healthy).at_us is None
    first = merged(every(0.1, 3 * DAY + 600, 3 * DAY + 840), every(1, 0, 4 * DAY))
    assert rate_rise(first, look=look, healthy=healthy).at_us is not None, "on the other days nothing happened at noon"


def test_too_little_healthy_time() -> None:
    found = rate_rise(every(1, 0, 200), look=LOOK, healthy=((0, 70 * MINUTE),))
    assert (found.at_us, found.why) == (None, "too little healthy time for a baseline")
    assert rate_rise(minutes(), look=LOOK, healthy=HEALTHY) == Rise(None, why="it never rose over its baseline")


def test_a_share_by_hand() -> None:
    """A review a minute, every tenth overridden; from minute 150 on all of them."""
    at = every(1, 0, 360)
    hit = (np.arange(360) % 10 == 0) | (np.arange(360) >= 150)
    found = share_rise(at, hit, look=LOOK, healthy=((0, 100 * MINUTE),))
    assert found.usual == pytest.approx(10.5 / 101)
    assert found.at_us == 160 * MINUTE, "six of ten by minute 155: 0.0003 alone, but there are 114 looks"
    assert (found.count, found.of, found.width_us) == (10, 10, 10 * MINUTE)
    assert found.since_us == 150 * MINUTE


def test_a_share_of_something_else() -> None:
    """Only overrides are logged: what they are a share of is given."""
    of = every(1, 0, 360)
    at = of[(np.arange(360) % 10 == 0) | (np.arange(360) >= 150)]
    found = share_rise(at, np.ones(len(at), np.bool_), look=LOOK, healthy=((0, 100 * MINUTE),), of_us=of)
    assert (found.at_us, found.count, found.of) == (160 * MINUTE, 10, 10)
    assert share_rise(at, at > 0, look=LOOK, healthy=((0, 20 * MINUTE),)).why == "only 2 in healthy time: no baseline"


def test_counts_that_differ_more_than_by_chance_need_more() -> None:
    assert _dispersion(np.array([5, 5, 5, 5])) == 1
    assert _dispersion(np.array([0, 10, 0, 10, 0, 10])) > 6
    steady, wild = every(1, 0, 360), merged(*(every(0.25, 20 * i, 20 * i + 5) for i in range(18)))
    more = every(0.4, 150, 170)
    tens = [timedelta(minutes=10)]
    assert rate_rise(merged(steady, more), look=LOOK, healthy=HEALTHY, widths=tens).at_us is not None
    assert rate_rise(merged(wild, more), look=LOOK, healthy=HEALTHY, widths=tens).at_us is None


@pytest.mark.parametrize(
    ("rate", "burst", "curve", "most"),
    [
        (25, 0, FLAT, CHANCE),
        (1, 0, FLAT, CHANCE),
        (0.05, 0, FLAT, CHANCE),
        (25, 0.3, FLAT, CHANCE),
        (25, 0.2, CURVE, 0.1),
    ],
)
def test_healthy_days_rarely_show_a_rise(rate: float, burst: float, curve: tuple[float, ...], most: float) -> None:
    """Of 200 days; a chance of ``most`` gives more than allowed here once in a thousand times."""
    rng = np.random.default_rng(20261005)
    found = sum(
        rate_rise(day(rng, rate, burst=burst, curve=curve), look=LOOK, healthy=HEALTHY).at_us is not None
        for _ in range(200)
    )
    assert found <= 200 * most + 3 * (200 * most) ** 0.5


@pytest.mark.parametrize(("rate", "share", "drift"), [(10, 0.1, 0), (1, 0.1, 0), (10, 0.02, 0), (10, 0.1, 0.2)])
def test_healthy_reviews_rarely_show_a_rise(rate: float, share: float, drift: float) -> None:
    """Shares that drift by a fifth from quarter to quarter of an hour too."""
    rng = np.random.default_rng(7)
    found = 0
    for _ in range(200):
        at = day(rng, rate)
        quarters = rng.gamma(drift**-2, drift**2, 24) if drift else np.ones(24)
        hit = rng.random(len(at)) < share * np.repeat(quarters, 15)[at // MINUTE]
        found += share_rise(at, hit, look=LOOK, healthy=HEALTHY).at_us is not None
    assert found <= 200 * CHANCE + 3 * (200 * CHANCE) ** 0.5


def test_a_real_rise_is_found_and_dated() -> None:
    """Three times as many contacts from minute 100 on: found within half an hour nearly always, begun within five minutes."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(60):
        more = day(rng, 2, length=160) + 100 * MINUTE
        found.append(rate_rise(merged(day(rng, 1, burst=0.2), more), look=LOOK, healthy=HEALTHY))
    at = [(one.at_us or 10**12) / MINUTE for one in found]
    assert np.mean(np.array(at) <= 130) >= 0.8
    since = [abs(one.since_us / MINUTE - 100) for one in found if one.since_us is not None]
    assert np.median(since) <= 5


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.integers(-(10**9), 10**9))
def test_when_it_is_does_not_matter(seed: int, shift: int) -> None:
    """Moving everything by whole days moves the rise."""
    rng = np.random.default_rng(seed)
    at = merged(day(rng, 1), day(rng, 2, length=60) + 150 * MINUTE)
    by = (shift % 1000) * DAY * MINUTE
    here = rate_rise(at, look=LOOK, healthy=HEALTHY)
    there = rate_rise(at + by, look=(LOOK[0] + by, LOOK[1] + by), healthy=[(a + by, b + by) for a, b in HEALTHY])
    assert (there.at_us or 0) - (here.at_us or 0) in {0, by}
    assert (here.count, here.width_us) == (there.count, there.width_us)


def test_a_smaller_chance_is_later() -> None:
    at = merged(every(1, 0, 360), every(1 / 3, 150, 260))
    found = [rate_rise(at, look=LOOK, healthy=HEALTHY, chance=chance) for chance in (0.2, 1e-3, 1e-6, 1e-60)]
    seen = [one.at_us for one in found[:3]]
    assert all(a is not None and b is not None and a <= b for a, b in pairwise(seen))
    assert found[3].at_us is None
    wide = rate_rise(at, look=LOOK, healthy=HEALTHY, widths=[timedelta(minutes=20)])
    assert wide.width_us == 20 * MINUTE
