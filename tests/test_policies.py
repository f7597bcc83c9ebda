"""The strategy itself: nothing in the language is left out of it."""

import pytest
from hypothesis import HealthCheck, given, settings
from policies import policies

from incident_kit.policies.policy import Policy
from incident_kit.policies.routes import Breaker

KINDS = {"model", "template", "queue", "human", "reject"}
COUNTED = {
    "latency", "ttft", "mean", "error", "timeout", "429", "consecutive", "tools", "override", "escalation", "reopen", "sla",
    "fallback", "requests", "cost", "signal", "alert",
}  # fmt: skip
PARTS = {
    "route", "intent", "target", "sliding", "count", "tumbling", "several windows", "sweep", "hold", "ok", "breach",
    "elapsed", "group in group", "growing cooldown", "share", "max_duration", "probes judged", "weights", "switch", "match",
    "only_for", "deadline", "sticky", "ttft timeout", "alert on count", "keep firing", "guarded backup",
}  # fmt: skip


def parts_of(breaker: Breaker) -> set[str]:
    half_open = breaker.half_open
    found = {breaker.scope, breaker.no_data, breaker.observe, *(window.kind for window in breaker.windows)}
    found |= {condition.kind for condition in breaker.conditions}
    marks = {
        "several windows": len(breaker.windows) > 1,
        "sweep": breaker.every_ms is not None,
        "group in group": any(hasattr(part, "of") for part in breaker.when.of),
        "growing cooldown": breaker.cooldown_factor > 1,
        "share": half_open.share < 1,
        "max_duration": half_open.max_duration_ms is not None,
        "probes judged": half_open.when is not None,
    }
    return found | {name for name, there in marks.items() if there}


@pytest.mark.slow
def test_all_of_the_language_comes() -> None:
    seen: set[str] = set()

    @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(policies())
    def gather(policy: Policy) -> None:
        for route in policy.routes:
            seen.update(entry.kind for entry in route.chain)
            for entry in route.chain:
                seen.update(parts_of(entry.breaker) if entry.breaker else ())
            marks = {
                "weights": route.weights,
                "switch": route.switches,
                "match": route.match,
                "deadline": route.deadline_ms,
                "sticky": route.sticky == "conversation",
                "ttft timeout": route.retry.ttft_timeout_ms,
                "only_for": any(entry.only_for for entry in route.fallback),
                "guarded backup": any(entry.breaker for entry in route.fallback),
            }
            seen.update(name for name, there in marks.items() if there)
        for alert in policy.alerts:
            seen.update({"alert on count"} if alert.windows[0].kind == "count" else ())
            seen.update({"keep firing"} if alert.keep_firing_ms else ())

    gather()
    assert sorted((KINDS | COUNTED | PARTS) - seen) == []
