from pathlib import Path
from typing import Any

import pytest
from foreign import LITELLM
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import incident_kit as ik
from incident_kit.gateways.conversion import Conversion
from incident_kit.policies.policywriter import yaml_text
from incident_kit.policies.routes import Route

CAPTURE = Path(__file__).parents[2] / "shared" / "data" / "litellm_capture" / "config.yaml"


def config(*groups: str, router: dict[str, Any] | None = None, library: dict[str, Any] | None = None) -> str:
    models = [{"model_name": name, "litellm_params": {"model": f"openai/{name}", "timeout": 5}} for name in groups]
    return yaml_text({"model_list": models, "router_settings": router or {}, "litellm_settings": library or {}})


def converted(*groups: str, router: dict[str, Any] | None = None, library: dict[str, Any] | None = None) -> Conversion:
    return ik.convert(config(*groups, router=router, library=library), source="litellm")


def labels(route: Route) -> list[str]:
    return [entry.label for entry in route.chain]


def fidelity(made: Conversion, key: str) -> str:
    (row,) = made.losses.of(key)
    return row.fidelity


def test_every_group_has_a_route() -> None:
    made = converted("big", "small", router={"fallbacks": [{"big": ["small"]}], "model_group_alias": {"gpt": "big"}})
    big, small = made.policy.routes
    assert (labels(big), labels(small)) == (["big", "small", "reject"], ["small", "reject"])
    assert dict(big.match) == {"requested": ("big", "gpt")}
    assert (big.retry.timeout_ms, big.retry.attempts) == (5000, 2)
    assert [row.value for row in made.losses.of("router_settings.num_retries")] == ["2"]


def test_a_wildcard_is_said() -> None:
    made = converted("openai/*", "big")
    assert [fidelity(made, f"model_list[{i}].model_name") for i in (0, 1)] == ["approximated", "exact"]


def test_a_fallback_that_fails_has_fallbacks_of_its_own() -> None:
    tables = [{"a": ["b", "e"]}, {"b": ["c"]}, {"c": ["a", "d"]}]
    made = converted(*"abcde", router={"fallbacks": tables})
    assert labels(made.policy.routes[0]) == ["a", "b", "c", "d", "e", "reject"]
    assert labels(made.policy.routes[2]) == ["c", "a", "b", "e", "d", "reject"]


def test_only_so_many_hops_deep() -> None:
    tables = [{one: [other]} for one, other in zip("abcdefg", "bcdefgh", strict=True)]
    made = converted(*"abcdefgh", router={"fallbacks": tables})
    assert labels(made.policy.routes[0]) == [*"abcdef", "reject"]
    fewer = converted(*"abcdefgh", router={"fallbacks": tables, "max_fallbacks": 2})
    assert labels(fewer.policy.routes[0]) == [*"abc", "reject"]


def test_star_and_default_fallbacks_are_for_all_the_others() -> None:
    for router in (
        {"fallbacks": [{"a": ["b"]}, {"*": ["c"]}]},
        {"fallbacks": [{"a": ["b"]}], "default_fallbacks": ["c"]},
    ):
        made = converted(*"abc", router=router)
        assert [labels(route) for route in made.policy.routes] == [
            ["a", "b", "reject"], ["b", "c", "reject"], ["c", "reject"],
        ]  # fmt: skip


def test_a_fallback_without_a_list_goes_on_with_that_of_the_group_asked_for() -> None:
    made = converted(*"abcd", router={"fallbacks": [{"a": ["b", "c"]}, {"*": ["d"]}]})
    assert labels(made.policy.routes[0]) == ["a", "b", "c", "reject"], (
        "b has no list: a's goes on, not that of the star"
    )


def test_failures_with_a_table_of_their_own_go_nowhere_else() -> None:
    router = {"fallbacks": [{"a": ["b"]}], "context_window_fallbacks": [{"a": ["long"]}]}
    made = converted("a", "b", "long", router=router)
    first, second, _ = made.policy.routes
    assert [(entry.label, entry.only_for) for entry in first.fallback] == [
        ("long", ("context_window",)), ("b", ()), ("reject", ()),
    ]  # fmt: skip
    assert "context_window" in first.fallback_on
    assert "content_policy" in first.fallback_on, "it has no table: it goes the regular way"
    assert "context_window" not in second.fallback_on, "there is a table, and the group is not in it"
    assert fidelity(made, "router_settings.context_window_fallbacks") == "exact"


def test_allowed_fails_of_three_is_the_default_and_counts_as_not_set() -> None:
    said = converted("a", router={"allowed_fails": 3})
    unsaid = converted("a")
    more = converted("a", router={"allowed_fails": 10})
    other = converted("a", router={"allowed_fails": 3}, library={"allowed_fails": 7})
    assert said.policy.routes[0].breaker == unsaid.policy.routes[0].breaker
    assert fidelity(said, "router_settings.allowed_fails") == "dropped"
    assert [str(made.policy.routes[0].breaker.when) for made in (unsaid, more, other)] == [  # type: ignore[union-attr]
        "error_rate >= 1", "consecutive_errors >= 11", "consecutive_errors >= 4",
    ]  # fmt: skip
    assert fidelity(more, "router_settings.allowed_fails") == "approximated"


def test_the_default_rule_depends_on_the_number_of_deployments() -> None:
    alone, both = converted("a").policy.routes[0].breaker, converted("a", "a").policy.routes[0].breaker
    assert alone is not None
    assert both is not None
    assert (str(alone.when), alone.min_requests, str(alone.window)) == ("error_rate >= 1", 1000, "60s")
    assert (str(both.when), both.min_requests, str(both.window)) == ("error_rate > 0.5", 5, "60s")
    assert (both.cooldown_ms, both.half_open.requests, both.scope) == (5000, 0, "target")


def test_what_cools_down_and_for_how_long() -> None:
    made = ik.convert(LITELLM)
    rests = {route.primary: route.breaker and route.breaker.cooldown_ms for route in made.policy.routes}
    assert rests == {"big": 30_000, "small": 15_000, "long": 15_000, "safe": None}
    assert converted("a", router={"disable_cooldowns": True}).policy.routes[0].breaker is None
    zero = converted("a", router={"cooldown_time": 0})
    assert zero.policy.routes[0].breaker.cooldown_ms == 5000  # type: ignore[union-attr]
    assert fidelity(zero, "router_settings.cooldown_time") == "approximated"


def test_the_timeout_of_an_attempt() -> None:
    library = converted("a", library={"request_timeout": 9}, router={"timeout": 30})
    assert fidelity(library, "router_settings.timeout") == "dropped"
    text = "model_list: [{model_name: a}, {model_name: b, litellm_params: {timeout: os.environ/T}}]\n"
    shared = ik.convert(
        text + "router_settings: {timeout: 30, fallbacks: [{a: [b]}]}\nlitellm_settings: {request_timeout: 9}\n"
    )
    assert [route.retry.timeout_ms for route in shared.policy.routes] == [9000, 9000]
    assert fidelity(shared, "litellm_settings.request_timeout") == "exact"
    assert "environment" in shared.losses.of("model_list[1].litellm_params.timeout")[0].how
    assert ik.convert(text).policy.routes[0].retry.timeout_ms == 6_000_000
    router = ik.convert(text + "router_settings: {timeout: 30, fallbacks: [{c: [a]}]}\n")
    assert router.policy.routes[0].retry.timeout_ms == 30_000


def test_a_fallback_has_the_time_limit_of_the_route() -> None:
    text = (
        "model_list: [{model_name: a, litellm_params: {timeout: 2}}, {model_name: b, litellm_params: {timeout: 4}}]\n"
        "router_settings: {fallbacks: [{a: [b]}]}\n"
    )
    made = ik.convert(text)
    assert fidelity(made, "model_list[0].litellm_params.timeout") == "exact"
    (row,) = made.losses.of("model_list[1].litellm_params.timeout")
    assert (row.fidelity, "b as a fallback of a gets that group's 2000 ms" in row.how) == ("approximated", True)


def test_retries_by_kind_of_failure() -> None:
    made = converted("a", router={"retry_policy": {"TimeoutErrorRetries": 0, "RateLimitErrorRetries": 2}})
    assert made.policy.routes[0].retry.retry_on == ("409", "429", "5xx")
    same = converted(
        "a", router={"num_retries": 2, "retry_policy": {"TimeoutErrorRetries": 0, "RateLimitErrorRetries": 2}}
    )
    assert fidelity(same, "router_settings.retry_policy.RateLimitErrorRetries") == "exact"
    group = converted("a", "b", router={"model_group_retry_policy": {"b": {"DefaultRetries": 5}}})
    assert [route.retry.attempts for route in group.policy.routes] == [2, 5]


@pytest.mark.skipif(not CAPTURE.exists(), reason="the shared capture is not beside the repository")
def test_the_captures_own_configuration() -> None:
    made = ik.convert(CAPTURE)
    assert {route.primary: labels(route)[1:-1] for route in made.policy.routes} == {
        "primary_chat_model": ["fast_backup_model"],
        "reasoning_model": ["fast_backup_model"],
        "fast_backup_model": [],
        "small_classifier_model": ["primary_chat_model", "fast_backup_model"],
    }
    assert made.losses.counts["exact"] >= 15
    for key in ("fallbacks[0]", "fallbacks[1]", "fallbacks[2]", "cooldown_time"):
        assert fidelity(made, f"router_settings.{key}") == "exact"


def table(lists: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: targets for one in lists for name, targets in one.items()}


@pytest.mark.skipif(not CAPTURE.exists(), reason="the shared capture is not beside the repository")
def test_there_and_back_the_captures_configuration_keeps_what_is_exact() -> None:
    made = ik.convert(CAPTURE)
    back = YAML(typ="safe").load(ik.export(made.policy, "litellm").text)
    first = YAML(typ="safe").load(CAPTURE.read_text())
    exact = {row.key for row in made.losses if row.fidelity == "exact"}
    assert table(back["router_settings"]["fallbacks"]) == table(first["router_settings"]["fallbacks"])
    for key in ("cooldown_time", "num_retries", "retry_after"):
        assert back["router_settings"][key] == first["router_settings"][key]
    written = {one["model_name"]: one["litellm_params"] for one in back["model_list"]}
    compared = 0
    for i, deployment in enumerate(first["model_list"]):
        for key in ("timeout", "stream_timeout"):
            if f"model_list[{i}].litellm_params.{key}" in exact:
                assert written[deployment["model_name"]][key] == deployment["litellm_params"][key]
                compared += 1
    assert compared >= 7


names = st.sampled_from(["a", "b", "c", "d", "gpt-3.5-turbo", "x/y"])
lists = st.lists(names, min_size=1, max_size=3, unique=True)
routers = st.fixed_dictionaries(
    {},
    optional={
        "num_retries": st.integers(0, 5),
        "cooldown_time": st.integers(1, 600),
        "fallbacks": st.dictionaries(names, lists, max_size=4).map(lambda found: [{key: found[key]} for key in found]),
        "context_window_fallbacks": st.dictionaries(names, lists, min_size=1, max_size=2).map(lambda found: [found]),
        "disable_cooldowns": st.booleans(),
        "max_fallbacks": st.integers(5, 9),
    },
)


@given(st.lists(names, min_size=1, max_size=6, unique=True), routers)
@settings(deadline=None, max_examples=25)
def test_there_and_back_is_the_same_policy(groups: list[str], router: dict[str, Any]) -> None:
    """Groups of one deployment: the policy of what was exported is the policy, wherever the export calls itself exact."""
    policy = converted(*groups, router=router).policy
    made = ik.export(policy, "litellm")
    again = {route.primary: route for route in ik.convert(made.text).policy.routes}
    for i, route in enumerate(policy.routes):
        other = again[route.primary]
        assert route.match == other.match
        assert (route.retry.attempts, route.retry.timeout_ms) == (other.retry.attempts, other.retry.timeout_ms)
        if all(row.fidelity == "exact" for row in made.losses.of(f"routes[{i}].fallback") if ".breaker" not in row.key):
            assert [(one.label, one.only_for) for one in route.fallback] == [
                (one.label, one.only_for) for one in other.fallback
            ]
        if route.breaker is None:
            assert other.breaker is None
        else:
            assert other.breaker is not None
            assert other.breaker.cooldown_ms == route.breaker.cooldown_ms
