from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from worlds_of_calls import MINUTE
from written import Call, Request, fill

from incident_kit.estimation.timebins import MOST, SHORTEST_BIN_US, bin_edges, shortest_us, switches_us
from incident_kit.incident import Incident

SWITCHES = st.lists(st.integers(1, 299), max_size=80)
SPANS = st.lists(st.tuples(st.integers(0, 290), st.integers(1, 60)), max_size=3)


def log_of(targets: Sequence[tuple[float, str]]) -> Incident:
    incident = Incident.create()
    fill(incident.store, [Request(f"r{i}", at * 60_000, [Call(target, 500)]) for i, (at, target) in enumerate(targets)])
    return incident


def changes(targets: Sequence[tuple[float, str]]) -> list[float]:
    log = log_of(targets).log
    return [(us - int(log.arrived_us[0])) / MINUTE for us in switches_us(log)]


def test_a_switch_that_lasts_is_one_and_a_probe_is_none() -> None:
    """Two requests a minute: main until minute 10, then backup, with a probe of half a minute at 15, then main from 20."""
    times = [i / 2 for i in range(60)]
    targets = [(t, "backup" if 10 <= t < 20 and t != 15 else "main") for t in times]
    assert changes(targets) == [10, 20]


def test_two_minutes_are_enough_and_less_is_not() -> None:
    times = [i / 2 for i in range(60)]
    assert changes([(t, "backup" if 10 <= t < 12 else "main") for t in times]) == [10, 12]
    assert changes([(t, "backup" if 10 <= t < 11.5 else "main") for t in times]) == []


def test_split_traffic_is_no_switch() -> None:
    rng = np.random.default_rng(1)
    targets = [(i / 60, "candidate" if rng.random() < 0.1 else "main") for i in range(1500)]
    assert changes(targets) == []


def test_a_switch_under_split_traffic_is_seen() -> None:
    rng = np.random.default_rng(1)
    targets = [(i / 60, "backup" if rng.random() < (0.1 if i < 1500 else 0.9) else "main") for i in range(3000)]
    assert [round(at) for at in changes(targets)] == [26]  # the first whole period of two minutes that is another


@given(SWITCHES, SPANS, st.integers(6, MOST))
def test_bins_cover_the_window_without_more_than_asked(
    switches: list[int], spans: list[tuple[int, int]], most: int
) -> None:
    incident = [(a * MINUTE, (a + n) * MINUTE) for a, n in spans]
    edges = bin_edges(0, 300 * MINUTE - 1, incident=incident, switches=np.array(switches, np.int64) * MINUTE, most=most)
    assert edges[0] == 0
    assert edges[-1] == 300 * MINUTE
    assert (np.diff(edges) > 0).all()
    assert len(edges) - 1 <= max(most, 2 * len(spans) + 1)
    for begin, end in incident:
        assert begin in edges
        assert min(end, 300 * MINUTE) in edges


def test_few_switches_are_all_edges_and_bins_are_finer_inside() -> None:
    hour = 60 * MINUTE
    switches = np.array([2.2 * hour, 2.9 * hour], np.int64)
    edges = bin_edges(0, 6 * hour, incident=[(2 * hour, 3 * hour)], switches=switches, most=30)
    assert set(switches.tolist()) <= set(edges.tolist())
    inside = np.diff(edges)[(edges[:-1] >= 2 * hour) & (edges[1:] <= 3 * hour)]
    outside = np.diff(edges)[edges[1:] <= 2 * hour]
    assert inside.max() * 2 < outside.min()


def test_no_bin_is_made_too_short() -> None:
    none = np.empty(0, np.int64)
    edges = bin_edges(0, 10 * MINUTE, incident=[], switches=none, most=40)
    assert np.diff(edges).min() >= SHORTEST_BIN_US - 1
    short = bin_edges(0, 10 * MINUTE, incident=[(4 * MINUTE, 8 * MINUTE)], switches=none, most=400)
    assert SHORTEST_BIN_US / 10 - 1 <= np.diff(short).min() < SHORTEST_BIN_US / 5  # all of it is six times as fast


def test_switches_of_a_short_incident_are_short() -> None:
    assert shortest_us([(0, 5 * MINUTE), (0, MINUTE)]) == MINUTE // 4
    assert shortest_us([(0, 60 * MINUTE)]) == shortest_us([]) == 2 * MINUTE
