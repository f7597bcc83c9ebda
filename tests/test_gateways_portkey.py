import json
from typing import Any

import pytest
from foreign import PORTKEY

import incident_kit as ik
from incident_kit.errors import InvalidConfiguration
from incident_kit.gateways.conversion import Conversion
from incident_kit.policies.routes import Route


def target(model: str, **more: Any) -> dict[str, Any]:
    return {"provider": "p", "override_params": {"model": model}, **more}


def converted(**config: Any) -> Conversion:
    return ik.convert(json.dumps(config), source="portkey")


def only(made: Conversion) -> Route:
    (route,) = made.policy.routes
    return route


def labels(route: Route) -> list[str]:
    return [entry.label for entry in route.chain]


def fidelity(made: Conversion, key: str) -> str:
    (row,) = (row for row in made.losses.of(key) if not row.default)
    return row.fidelity


def test_a_chain_inside_a_chain_is_one_chain() -> None:
    inner = {"strategy": {"mode": "fallback"}, "targets": [target("b"), target("c")]}
    made = converted(
        strategy={"mode": "fallback", "on_status_codes": [429, 408]}, targets=[target("a"), inner, target("d")]
    )
    assert labels(only(made)) == ["a", "b", "c", "d"]
    assert only(made).fallback_on == ("429", "timeout")
    assert fidelity(made, "strategy.mode") == fidelity(made, "targets[1].strategy.mode") == "exact"
    assert fidelity(made, "strategy.on_status_codes") == "exact"


def test_without_codes_every_failure_goes_on() -> None:
    made = converted(strategy={"mode": "fallback"}, targets=[target("a"), target("b")])
    assert only(made).fallback_on == ("timeout", "5xx", "4xx", "429", "context_window", "content_policy")
    assert made.losses.of("strategy.on_status_codes")[0].default


def test_a_split_has_weights() -> None:
    made = converted(
        strategy={"mode": "loadbalance"}, targets=[target("a", weight=3), target("b"), target("c", weight=0)]
    )
    assert only(made).weights == (("a", 3.0), ("b", 1.0))
    assert only(made).fallback_on == (), "a target of a split that fails is not replaced"
    assert fidelity(made, "targets[0].weight") == "approximated"


def test_a_split_of_chains_and_a_chain_of_splits_are_approximated() -> None:
    chain = {"strategy": {"mode": "fallback"}, "targets": [target("a"), target("b")], "weight": 2}
    split = converted(strategy={"mode": "loadbalance"}, targets=[chain, target("c", weight=1)])
    assert (only(split).weights, labels(only(split))) == ((("a", 2.0), ("c", 1.0)), ["a", "c", "b"])
    assert fidelity(split, "strategy.mode") == "approximated"
    halves = {"strategy": {"mode": "loadbalance"}, "targets": [target("b", weight=1), target("c", weight=2)]}
    tail = converted(strategy={"mode": "fallback"}, targets=[target("a"), halves])
    assert labels(only(tail)) == ["a", "c", "b"]
    assert fidelity(tail, "strategy.mode") == "approximated"


def test_conditions_become_routes() -> None:
    made = ik.convert(PORTKEY)
    found = [(route.intent, dict(route.match)) for route in made.policy.routes]
    assert found == [
        (("refund", "billing"), {}),
        (("*",), {"labels.plan": ("paid",), "requested": ("gpt",)}),
        (("*",), {"channel": ("chat",)}),
        (("*",), {"channel": ("email",)}),
        (("*",), {}),
    ]
    assert fidelity(made, "strategy.conditions[3].query.metadata.user.$regex") == "dropped"
    assert fidelity(made, "strategy.conditions[0].query.metadata.intent.$in") == "exact"


@pytest.mark.parametrize(
    "query",
    [
        {"metadata.a": {"$ne": "x"}},
        {"metadata.a": {"$gt": 5}},
        {"metadata.a": {"$eq": "x", "$ne": "y"}},
        {"params.temperature": 1},
        {"metadata.intent": "refund-*"},
        {"$and": [{"metadata.a": "x"}, {"metadata.a": "y"}]},
        {"$and": [{"metadata.a": "x"}, {"metadata.b": {"$nin": ["y"]}}]},
        {"metadata.a": 1.5},
        {"metadata.a": []},
    ],
)
def test_a_condition_that_cannot_be_said_is_dropped_whole(query: dict[str, Any]) -> None:
    strategy = {"mode": "conditional", "default": "y", "conditions": [{"query": query, "then": "x"}]}
    made = converted(strategy=strategy, targets=[target("a", name="x"), target("b", name="y")])
    assert labels(only(made)) == ["b"]
    rows = made.losses.of("strategy.conditions[0].query")
    assert {row.fidelity for row in rows} == {"dropped"}


def test_the_breaker_is_inherited_and_its_window_assumed_aloud() -> None:
    route = ik.convert(PORTKEY).policy.routes[0]
    assert route.breaker is not None
    assert str(route.breaker.when) == "any of [error_rate > 0.2, consecutive_errors > 7]"
    assert (route.breaker.min_requests, route.breaker.cooldown_ms) == (10, 60_000)
    assert route.breaker.errors == ("401", "429", "500")
    assert route.breaker.half_open.requests == 0
    assert route.fallback[0].breaker == route.breaker
    (row,) = ik.convert(PORTKEY).losses.of("cb_config window")
    assert (row.fidelity, "does not document" in row.how) == ("approximated", True)


def test_a_breaker_without_a_threshold_never_opens() -> None:
    made = converted(
        strategy={"mode": "fallback", "cb_config": {"cooldown_interval": 5}}, targets=[target("a"), target("b")]
    )
    assert only(made).breaker is None
    assert fidelity(made, "strategy.cb_config.cooldown_interval") == "dropped"
    cb_config = {"failure_threshold": 3, "cooldown_interval": 5}
    short = converted(strategy={"mode": "fallback", "cb_config": cb_config}, targets=[target("a"), target("b")])
    assert only(short).breaker.cooldown_ms == 30_000  # type: ignore[union-attr]
    assert fidelity(short, "strategy.cb_config.cooldown_interval") == "approximated"


def test_retries_and_time_limits() -> None:
    made = converted(retry={"attempts": 9}, request_timeout=2500, **target("a"))
    assert (only(made).retry.attempts, only(made).retry.timeout_ms, only(made).retry.backoff_ms) == (5, 2500, 1000)
    assert only(made).retry.retry_on == ("429", "500", "502", "503", "504", "529")
    other = converted(
        strategy={"mode": "fallback"}, targets=[target("a"), target("b", retry={"attempts": 2}, request_timeout=9)]
    )
    assert only(other).retry.attempts == 0
    assert fidelity(other, "targets[1].retry.attempts") == "approximated"
    assert fidelity(other, "targets[1].request_timeout") == "approximated"


def test_targets_of_one_model_stay_apart() -> None:
    made = converted(
        strategy={"mode": "fallback"},
        targets=[
            {"provider": "openai", "override_params": {"model": "m"}},
            {"provider": "azure", "override_params": {"model": "m"}},
            {"provider": "azure", "override_params": {"model": "m"}},
            {"virtual_key": "v"},
        ],
    )
    assert labels(only(made)) == ["m", "m (azure)", "m (azure) #2", "v"]


def test_conditions_upon_conditions_have_an_end() -> None:
    node: dict[str, Any] = target("a", name="x")
    for _ in range(12):
        conditions = [{"query": {f"metadata.k{i}": "v"}, "then": "x"} for i in range(10)]
        node = {
            "name": "x",
            "strategy": {"mode": "conditional", "default": "x", "conditions": conditions},
            "targets": [node],
        }
    with pytest.raises(InvalidConfiguration, match="at most 500 routes"):
        converted(**node)
