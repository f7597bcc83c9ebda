from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import incident_kit as ik
from incident_kit.errors import InvalidConfiguration, UnwritableFile
from incident_kit.gateways.export import Export
from incident_kit.gateways.litellm_hops import shortest, walk
from incident_kit.gateways.loss import UNKNOWN
from incident_kit.policies.policy import Policy
from incident_kit.policies.policywriter import leaves, long_form

RICH = """\
version: 1
name: rich
owner: someone
defaults:
  retry: {attempts: 1, retry_on: [429, 5xx], timeout_ms: 8000, backoff_ms: 2000}
routes:
- intent: refund-policy
  match: {channel: [chat, email]}
  reason: because
  primary: big
  fallback: [small, {model: long, only_for: [context_window]}, {model: odd, only_for: [tool_error]}, human]
  max_p95_ms: 3500
  disable_tools_on_fallback: true
  fallback_on: [timeout, 5xx, 429, tool_error]
  deadline_ms: 15000
  sticky: conversation
  switch: [{from: 2026-10-05T14:03:00Z, until: 2026-10-05T15:30:00Z, to: small}]
- intent: draft
  primary: slow
  fallback: {queue: 15m}
  retry: {attempts: 3, ttft_timeout_ms: 900}
  breaker: {when: {any: [consecutive_errors > 4, p95_ms > 3000]}, cooldown: {base: 10s, factor: 2, max: 1m}, for: 30s}
- intent: [a, b]
  primary: big
  fallback: [{model: slow, breaker: {when: error_rate > 0.3, min_requests: 10}}, reject]
  fallback_on: [timeout, 5xx, 4xx, 429, context_window, content_policy]
  retry: {retry_on: [timeout, 409, 429, 5xx]}
- intent: "*"
  primary: {big: 90, candidate: 10}
  fallback: [small, {template: busy}]
  on_fallback: {tools: disabled, max_tokens: 512}
  breaker:
    scope: intent
    when: {at_least: 2, of: [p95_ms > 3500, error_rate > 0.2]}
    half_open: {share: 0.2, max_duration: 10m}
alerts:
- {name: quality, intent: refund-policy, when: p95_ms > 3500, for: 5m}
"""


def litellm(text: str) -> tuple[dict[str, Any], Export]:
    made = ik.export(Policy.parse(text), "litellm")
    return YAML(typ="safe").load(made.text), made


def route(**keys: Any) -> str:
    from incident_kit.policies.policywriter import yaml_text

    return yaml_text({"routes": [{"intent": "*", "primary": "big", "fallback": ["small", "reject"]} | keys]})


def row(made: Export, key: str) -> Any:
    (found,) = made.losses.of(key)
    return found


@pytest.mark.parametrize("to", ["litellm", "prometheus"])
def test_every_key_of_the_policy_has_its_row(to: str) -> None:
    policy = Policy.parse(RICH)
    made = ik.export(policy, to)
    assert [one.key for one in made.losses][: len(list(leaves(long_form(policy))))] == [
        path for path, _ in leaves(long_form(policy))
    ]
    for one in made.losses:
        assert one.how != UNKNOWN, one
        assert one.how or one.fidelity == "exact", one
    implied = {one.path for one in policy.implied}
    assert {one.key for one in made.losses if one.default} >= implied


def test_chains_become_lists_of_fallbacks() -> None:
    tree, made = litellm(RICH)
    router = tree["router_settings"]
    assert router["fallbacks"] == [{"big": ["small"]}, {"big--a-b": ["slow"]}, {"big+candidate": ["small"]}]
    assert router["context_window_fallbacks"] == [{"big": ["long"]}]
    assert [one["model_name"] for one in tree["model_list"]] == [
        "big", "slow", "big--a-b", "big+candidate", "big+candidate", "small", "long",
    ]  # fmt: skip
    weights = [one["litellm_params"]["weight"] for one in tree["model_list"] if one["model_name"] == "big+candidate"]
    assert weights == [90, 10]
    assert row(made, "routes[0].fallback[1].only_for").fidelity == "exact"
    assert row(made, "routes[0].fallback[2].only_for").fidelity == "dropped"
    assert "'big--a-b'" in row(made, "routes[2].intent").how


def test_retries_and_time_limits() -> None:
    tree, made = litellm(RICH)
    models = {one["model_name"]: one["litellm_params"] for one in tree["model_list"]}
    assert tree["router_settings"]["num_retries"] == 1
    assert tree["router_settings"]["retry_after"] == 2
    assert models["slow"]["num_retries"] == 3
    assert "num_retries" not in models["big"]
    assert {one["timeout"] for one in models.values()} == {8}
    policies = tree["router_settings"]["model_group_retry_policy"]
    assert "big--a-b" not in policies, "LiteLLM tries these again by itself"
    assert (policies["big"]["RateLimitErrorRetries"], policies["big"]["TimeoutErrorRetries"]) == (1, 0)
    assert row(made, "routes[2].retry.retry_on").fidelity == "exact"
    assert row(made, "routes[1].retry.ttft_timeout_ms").fidelity == "dropped"


def test_breakers_become_cooldowns_where_failures_trip_them() -> None:
    tree, made = litellm(RICH)
    models = {one["model_name"]: one for one in tree["model_list"]}
    slow = models["slow"]
    assert set(slow["model_info"]["allowed_fails_policy"].values()) == {4}
    assert tree["router_settings"]["cooldown_time"] == 10
    assert models["big"]["litellm_params"]["cooldown_time"] == 0, (
        "p95 trips nothing there: no cooldown of its own either"
    )
    assert row(made, "routes[0].breaker.when").fidelity == "dropped"
    assert "left out: p95_ms > 3000" in row(made, "routes[1].breaker.when").how
    assert row(made, "routes[1].breaker.cooldown.factor").fidelity == "dropped"
    assert row(made, "routes[1].breaker.for").fidelity == "dropped"
    assert row(made, "routes[3].breaker.when").fidelity == "dropped", "both are needed, and one cannot be said"


def test_a_share_of_failures_becomes_a_number_of_them() -> None:
    breaker = {"when": "error_rate > 0.3", "min_requests": 10, "cooldown": "20s"}
    tree, made = litellm(route(breaker=breaker))
    assert tree["model_list"][0]["model_info"] == {
        "allowed_fails_policy": {
            f"{kind}AllowedFails": 3
            for kind in (
                "BadGatewayError",
                "InternalServerError",
                "RateLimitError",
                "ServiceUnavailableError",
                "TimeoutError",
            )
        }
    }
    assert "50 %" in row(made, "routes[0].breaker.when").how
    at_least, _ = litellm(route(breaker=breaker | {"when": "error_rate >= 0.3"}))
    assert set(at_least["model_list"][0]["model_info"]["allowed_fails_policy"].values()) == {2}


def test_without_a_breaker_nothing_rests() -> None:
    tree, made = litellm(route())
    assert tree["router_settings"]["disable_cooldowns"] is True
    (found,) = made.losses.of("LiteLLM's own cooldown")
    assert found.becomes == "router_settings.disable_cooldowns"


def test_the_default_rule_needs_no_key() -> None:
    breaker = {
        "when": "error_rate > 0.5",
        "min_requests": 5,
        "window": "60s",
        "cooldown": "7s",
        "half_open": {"requests": 0},
    }
    tree, made = litellm(route(breaker=breaker | {"scope": "target"}))
    assert "model_info" not in tree["model_list"][0]
    assert tree["router_settings"]["cooldown_time"] == 7
    for key in ("window", "min_requests", "cooldown", "half_open.requests", "scope"):
        assert row(made, f"routes[0].breaker.{key}").fidelity == "exact", key
    probes = ik.export(Policy.parse(route(breaker=breaker | {"half_open": {"requests": 5}})), "litellm")
    assert row(probes, "routes[0].breaker.half_open.requests").fidelity == "dropped"


def test_chains_that_litellm_would_not_walk_are_said() -> None:
    text = """
routes:
- {intent: a, primary: a, fallback: [b, c, reject]}
- {intent: b, primary: b, fallback: [d, reject]}
"""
    _, made = litellm(text)
    assert row(made, "routes[0].fallback[0].model").fidelity == "approximated"
    assert "before the next one: b, d, c" in row(made, "routes[0].fallback[0].model").how
    assert row(made, "routes[1].fallback[0].model").fidelity == "exact"


def test_short_lists_lead_the_same_way() -> None:
    chains = {"a": ["b", "c"], "b": ["c"], "d": ["a", "b", "c"]}
    short = shortest(chains)
    assert short == {"a": ["b"], "b": ["c"], "d": ["a"]}
    assert {name: walk(name, short) for name in chains} == chains
    odd = {"a": ["b", "c"], "b": ["d"]}
    assert shortest(odd) == odd


def test_the_comment_cannot_be_left() -> None:
    tree, made = litellm('name: "x"\nnote: "a\\nmodel_list: []\\u2028b"\n' + route())
    assert [one["model_name"] for one in tree["model_list"]] == ["big", "small"]
    assert "# note: a model_list: [] b" in made.text


def test_an_export_is_saved(tmp_path: Path) -> None:
    _, made = litellm(route())
    made.save(tmp_path / "config.yaml")
    assert (tmp_path / "config.yaml").read_text() == made.text == str(made)
    with pytest.raises(UnwritableFile, match="cannot be written"):
        made.save(tmp_path / "none" / "config.yaml")


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("litelm", {}, "did you mean 'litellm'?"),
        ("envoy", {}, "there is no export to 'envoy'"),
        ("litellm", {"metrics": {}}, "metrics= names metrics of Prometheus"),
        ("prometheus", {"metrics": {"latncy": "x"}}, "did you mean 'latency'?"),
        ("prometheus", {"metrics": {"latency": ""}}, "must be a name"),
    ],
)
def test_what_cannot_be_exported_is_said(to: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        ik.export(Policy.parse(route()), to, **options)
    assert message in str(caught.value)
