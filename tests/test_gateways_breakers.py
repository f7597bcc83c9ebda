"""Envoy's outlier detection and resilience4j's circuit breakers."""

import json
from typing import Any

import pytest
from foreign import ENVOY, RESILIENCE4J

import incident_kit as ik
from incident_kit.errors import InvalidConfiguration
from incident_kit.gateways.conversion import Conversion
from incident_kit.policies.policywriter import route_form
from incident_kit.policies.routes import Breaker


def breaker(made: Conversion) -> Breaker:
    found = made.policy.routes[0].breaker
    assert found is not None
    return found


def fidelity(made: Conversion, key: str) -> str:
    (row,) = made.losses.of(key)
    return row.fidelity


def envoy(**block: Any) -> Conversion:
    return ik.convert(json.dumps({"name": "alpha", "outlier_detection": block}), fallback="beta")


def r4j(**settings: Any) -> Conversion:
    text = json.dumps({"resilience4j": {"circuitbreaker": {"instances": {"llm": settings}}}})
    return ik.convert(text, fallback=["small", "human"])


def test_envoys_defaults_are_written_out() -> None:
    made = envoy()
    found = breaker(made)
    assert (str(found.when), found.scope, found.errors) == ("consecutive_errors >= 5", "target", ("5xx", "timeout"))
    assert (found.cooldown_ms, found.cooldown_factor, found.cooldown_max_ms) == (30_000, 2, 300_000)
    assert found.half_open.requests == 0
    assert [entry.label for entry in made.policy.routes[0].chain] == ["alpha", "beta"]
    assert made.policy.routes[0].fallback_on == ()
    assert {row.value for row in made.losses if row.default} >= {"5", "100", "30s", "300s"}


def test_envoys_share_of_failures_is_judged_at_the_end_of_an_interval() -> None:
    made = envoy(
        enforcing_consecutive_5xx=0, enforcing_failure_percentage=100, failure_percentage_threshold=40, interval="5s"
    )
    found = breaker(made)
    assert (str(found.when), str(found.window), found.every_ms) == ("error_rate >= 0.4", "5s", 5000)
    assert found.min_requests == 50
    assert fidelity(made, "outlier_detection.failure_percentage_threshold") == "exact"
    assert fidelity(made, "outlier_detection.interval") == "exact"


def test_envoys_both_ways_out_are_judged_at_every_answer() -> None:
    made = envoy(enforcing_failure_percentage=50, interval="5s")
    found = breaker(made)
    assert str(found.when) == "any of [consecutive_errors >= 5, error_rate >= 0.85]"
    assert found.every_ms is None
    assert fidelity(made, "outlier_detection.interval") == "approximated"
    assert fidelity(made, "outlier_detection.enforcing_failure_percentage") == "approximated"


def test_what_envoy_only_counts_is_no_breaker() -> None:
    made = envoy(
        enforcing_consecutive_5xx=0, consecutive_5xx=3, failure_percentage_threshold=10, base_ejection_time="1s"
    )
    assert made.policy.routes[0].breaker is None
    for key in ("consecutive_5xx", "failure_percentage_threshold", "base_ejection_time"):
        assert fidelity(made, f"outlier_detection.{key}") == "dropped"
    assert "product default" in made.losses.of("outlier_detection.failure_percentage_threshold")[0].how


def test_envoys_json_spelling_and_a_block_alone() -> None:
    made = ik.convert('{"consecutive5xx": 9, "baseEjectionTime": "0.5s", "maxEjectionTime": "2s"}', fallback="x")
    assert str(breaker(made).when) == "consecutive_errors >= 9"
    assert (breaker(made).cooldown_ms, breaker(made).cooldown_max_ms) == (500, 2000)
    assert made.policy.routes[0].primary == "primary"


def test_envoys_longest_ejection_is_at_least_the_first() -> None:
    found = breaker(envoy(base_ejection_time="400s"))
    assert (found.cooldown_ms, found.cooldown_max_ms) == (400_000, 400_000)


def test_a_route_a_cluster() -> None:
    made = ik.convert(ENVOY, fallback=["beta", "reject"])
    assert [(route.primary, dict(route.match)) for route in made.policy.routes] == [
        ("alpha", {"requested": ("alpha",)}),
        ("beta", {"requested": ("beta",)}),
    ]
    assert [[entry.label for entry in route.fallback] for route in made.policy.routes] == [
        ["beta", "reject"],
        ["reject"],
    ]
    assert ik.convert(ENVOY).policy.routes[0].fallback == ()


def test_resilience4js_defaults_are_written_out() -> None:
    made = r4j(slidingWindowSize=100)
    found = breaker(made)
    assert (str(found.window), found.min_requests) == ("100 requests", 100)
    assert str(found.when) == "any of [error_rate >= 0.5, slow_rate(60000ms) >= 1]"
    assert (found.cooldown_ms, found.half_open.requests, found.half_open.max_duration_ms) == (60_000, 10, None)
    assert found.errors == ("timeout", "5xx", "4xx", "429", "context_window", "content_policy")
    assert [entry.label for entry in made.policy.routes[0].chain] == ["llm", "small", "human"]
    assert sum(row.default for row in made.losses) >= 8


def test_resilience4j_layers_of_settings() -> None:
    made = ik.convert(RESILIENCE4J)
    llm, other = made.policy.routes
    assert llm.breaker is not None
    assert other.breaker is not None
    assert (str(llm.breaker.window), llm.breaker.min_requests) == ("10s", 5), "its base is time, whose default is not"
    assert str(llm.breaker.when) == "any of [error_rate >= 0.5, slow_rate(2000ms) >= 0.4]"
    assert llm.breaker.half_open.max_duration_ms == 30_000
    assert (llm.retry.timeout_ms, llm.retry.attempts, llm.retry.backoff_ms) == (4000, 2, 100)
    assert llm.breaker.errors == ("timeout",)
    assert (str(other.breaker.window), other.breaker.min_requests) == ("10 requests", 10), "20 are more than the window"
    assert other.breaker.cooldown_ms == 5000
    assert set(other.breaker.errors) == {"timeout", "5xx", "context_window", "content_policy"}
    assert [entry.label for entry in llm.fallback] == ["reject"]


def test_resilience4j_growing_waits() -> None:
    grows = r4j(
        enableExponentialBackoff=True,
        waitDurationInOpenState="10s",
        exponentialBackoffMultiplier=3,
        exponentialMaxWaitDurationInOpenState="1m",
    )
    found = breaker(grows)
    assert (found.cooldown_ms, found.cooldown_factor, found.cooldown_max_ms) == (10_000, 3, 60_000)
    off = r4j(exponentialBackoffMultiplier=3)
    assert fidelity(off, "resilience4j.circuitbreaker.instances.llm.exponentialBackoffMultiplier") == "dropped"


def test_a_slow_call_that_the_time_limiter_ends_first() -> None:
    text = json.dumps(
        {
            "resilience4j.circuitbreaker.instances.llm": {
                "slowCallDurationThreshold": "5s",
                "slowCallRateThreshold": 50,
            },
            "resilience4j.timelimiter.instances.llm": {"timeoutDuration": "2s"},
        }
    )
    made = ik.convert(text)
    assert str(breaker(made).when) == "error_rate >= 0.5"
    key = "resilience4j.circuitbreaker.instances.llm.slowCallDurationThreshold"
    assert fidelity(made, key) == "approximated"
    assert "no call lasts so long" in made.losses.of(key)[0].how


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [("5s", 5000), ("2 m", 120_000), ("PT1M30S", 90_000), (1500, 1500), ("250ms", 250), ("1h", 3_600_000)],
)
def test_durations_of_spring(value: Any, milliseconds: int) -> None:
    assert breaker(r4j(waitDurationInOpenState=value)).cooldown_ms == milliseconds


@pytest.mark.parametrize(
    "text", ["slidingWindowSize: 20\nfailureRateThreshold: 30\n", "configs: {a: {slidingWindowSize: 20}}\n"]
)
def test_plain_settings(text: str) -> None:
    made = ik.convert(text, fallback="x")
    assert made.source == "resilience4j"
    assert str(breaker(made).window) == "20 requests"


def test_a_base_that_leads_back_to_itself_has_an_end() -> None:
    text = "circuitbreaker: {configs: {a: {baseConfig: b}, b: {baseConfig: a}}, instances: {x: {baseConfig: a}}}\n"
    assert breaker(ik.convert(text)).min_requests == 100


def test_a_value_of_the_environment_is_said() -> None:
    made = r4j(slidingWindowSize="${SIZE}")
    assert str(breaker(made).window) == "100 requests"
    with pytest.raises(InvalidConfiguration, match="must be a number"):
        r4j(slidingWindowSize="many")


def test_routes_can_be_written_out() -> None:
    for route in ik.convert(RESILIENCE4J).policy.routes:
        assert set(route_form(route)) >= {"intent", "note", "primary", "fallback", "retry", "breaker", "sticky"}
