"""Settings: which they are, what a policy says at a path, and which lie next to one another."""

from __future__ import annotations

import incident_kit as ik
from incident_kit.policies.settings import is_at_edge, neighbours, settings_of, value_at

POLICY = ik.Policy.parse(
    "routes: [{intent: chat, primary: big, fallback: small, max_p95_ms: 2000, "
    "breaker: {window: 10s, min_requests: 1, cooldown: 5s, half_open: {requests: 1}}}]"
)
LIMIT, COOLDOWN = "chat.max_p95_ms", "chat.breaker.cooldown"


def test_some_drawn_at_random() -> None:
    grid = {LIMIT: list(range(1000, 9000)), "chat.breaker.min_requests": list(range(1, 9))}
    drawn = [settings_of(POLICY, grid, random=20, seed=seed)[0] for seed in (1, 1, 2)]
    values = [[one.values for one in some] for some in drawn]
    assert len(set(values[0])) == 21
    assert values[0] == values[1] != values[2]
    for one in drawn[0][1:]:
        assert value_at(one.policy, LIMIT) == one.values[0]
        assert value_at(one.policy, "chat.breaker.min_requests") == one.values[1]


def test_values_as_a_file_writes_them() -> None:
    policy = ik.Policy.parse(
        "routes: [{intent: a, primary: big, fallback: small, breaker: {when: [p95_ms > 10, error_rate > 0.2]}}]"
    )
    assert value_at(policy, "a.breaker.when.error_rate") == 0.2
    assert value_at(policy, "a.max_p95_ms") == 10
    assert value_at(policy, "a.breaker.half_open.requests") == 5
    assert value_at(policy, "a.breaker.when.mean_ms") is None
    assert value_at(policy, "a.breaker.nothing.there") is None


def test_neighbours_are_one_step_away() -> None:
    """Number 0 is (2000, 5s), which is not among the limits: it lies between 1500 and 2500, next to neither."""
    settings, grid = settings_of(POLICY, {LIMIT: [1000, 1500, 2500], COOLDOWN: ["5s", "20s"]})
    said = [one.values for one in settings]
    assert said[1:] == [(1000, "5s"), (1000, "20s"), (1500, "5s"), (1500, "20s"), (2500, "5s"), (2500, "20s")]
    near = neighbours(settings, grid)
    assert near == [[3, 5], [2, 3], [1, 4], [0, 1, 4, 5], [2, 3, 6], [0, 3, 6], [4, 5]]
    assert [is_at_edge(one, grid) for one in settings[1:5]] == [[LIMIT], [LIMIT], [], []]


def test_random_draws_have_the_nearest_for_neighbours() -> None:
    settings, grid = settings_of(
        POLICY, {LIMIT: range(1000, 9000), "chat.breaker.min_requests": range(1, 99)}, random=5
    )
    assert all(len(near) >= 4 and i not in near for i, near in enumerate(neighbours(settings, grid)))
