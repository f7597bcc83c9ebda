"""Many limits at once are what the kernel does with each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_kit.engine import kernel, thresholds
from incident_kit.engine.plan import plan
from incident_kit.estimation.outcomerecords import CALL, OUTCOME
from incident_kit.policies.policy import Policy

BREAKERS = (
    "{when: LIMIT}",
    "{when: LIMIT, window: 2s, min_requests: 3, cooldown: 1s}",
    "{when: LIMIT, window: 1s, min_requests: 2, cooldown: 500ms, half_open: {requests: 1}}",
    "{when: LIMIT, window: 3s, min_requests: 5, cooldown: 2s, half_open: {requests: 3, share: 0.5, max_wait: 300ms}}",
    "{when: LIMIT, window: 2s, min_requests: 4, cooldown: 1s, half_open: {requests: 0}}",
    "{when: LIMIT, window: 2s, min_requests: 4, cooldown: 1s, half_open: {requests: 4, when: p50_ms < 250}}",
)
CONDITIONS = ("p95_ms > {}", "p50_ms >= {}", "slow_rate({}ms) > 0.2", "slow_rate({}ms) >= 0.5")
LIMITS = (1, 120, 200, 300, 450, 900, 5000)


def world(seed: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals that often collide, and latencies that are slow in the middle."""
    random = np.random.default_rng(seed)
    arrived = np.cumsum(random.choice([0, 50, 100, 900], size, p=[0.2, 0.5, 0.25, 0.05])) * 1000
    slow = (np.arange(size) > size // 4) & (np.arange(size) < size // 2)
    outcomes = np.zeros((2, 1, size), OUTCOME)
    outcomes["kind"] = CALL
    outcomes["latency_ms"] = random.choice([50, 100, 150, 200, 400], (2, 1, size)) * np.where(slow, 3, 1)
    return arrived.astype(np.int64), outcomes, random.random(size)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(BREAKERS), st.sampled_from(CONDITIONS), st.sampled_from(["", "600"]))
def test_each_limit_is_what_the_kernel_does(seed: int, breaker: str, condition: str, timeout: str) -> None:
    arrived, outcomes, draw = world(seed, 300)
    retry = f", retry: {{timeout_ms: {timeout}}}" if timeout else ""
    limits = [limit for limit in LIMITS if not timeout or limit < int(timeout)]
    made = None
    for limit in limits:
        text = breaker.replace("LIMIT", condition.format(limit))
        route = Policy.parse(
            f"routes: [{{intent: '*', primary: big, fallback: small, breaker: {text}{retry}}}]"
        ).routes[0]
        p = plan(route, ("ok", "timeout"))
        assert thresholds.can_skim(p, outcomes)
        ends = kernel.ends(arrived, outcomes[0, 0], int(p.retry["timeout_ms"][0]))
        made = made or thresholds.path(p, arrived, *ends, outcomes, draw)
        _, table = kernel.run(
            arrived, draw, *ends, outcomes, p.breakers, p.rules, p.trip, p.recover, p.retry, p.failures, p.flags
        )
        counted = int(p.trip[0, 0]["limit_ms"])
        (found,) = thresholds.changes(made, [counted - 1])
        assert [tuple(row) for row in table[:, [1, 2, 3, 4]].astype(int)] == [tuple(row)[:4] for row in found.tolist()]
        assert (found["first"] == np.searchsorted(arrived, found["at"])).all()


@pytest.mark.parametrize(
    "breaker",
    [
        "{when: error_rate > 0.5}",
        "{when: [p95_ms > 100, p50_ms > 50]}",
        "{when: p95_ms < 100}",
        "{when: p95_ms > 100, for: 1s}",
        "{when: p95_ms > 100, window: 10 requests}",
    ],
)
def test_other_rules_are_left_to_the_kernel(breaker: str) -> None:
    _, outcomes, _ = world(0, 10)
    route = Policy.parse(f"routes: [{{intent: '*', primary: big, fallback: small, breaker: {breaker}}}]").routes[0]
    assert not thresholds.can_skim(plan(route, ("ok", "timeout")), outcomes)
