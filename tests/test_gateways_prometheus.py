import re
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import incident_kit as ik
from incident_kit.gateways.export import Export
from incident_kit.gateways.promql import METRICS, quoted, selector
from incident_kit.policies.policy import Policy
from incident_kit.policies.policywriter import yaml_text
from incident_kit.policies.routes import takes

ROUTE = {"intent": "*", "primary": "big"}


def exported(*alerts: dict[str, Any], metrics: dict[str, str] | None = None) -> tuple[list[dict[str, Any]], Export]:
    named = [{"name": f"alert-{i}"} | alert for i, alert in enumerate(alerts)]
    made = ik.export(Policy.parse(yaml_text({"routes": [ROUTE], "alerts": named})), "prometheus", metrics=metrics)
    return YAML(typ="safe").load(made.text)["groups"], made


def expr(**alert: Any) -> str:
    (group,), _ = exported({"min_requests": 1} | alert)
    (rule,) = group["rules"]
    return str(rule["expr"])


def row(made: Export, key: str) -> Any:
    (found,) = made.losses.of(f"alerts[0].{key}")
    return found


def balanced(text: str) -> bool:
    bare = re.sub(r'"(?:\\.|[^"\\])*"', "", text)
    return all(bare.count(one) == bare.count(other) for one, other in ("()", "{}", "[]"))


def test_a_quantile_is_of_the_waits_in_seconds() -> None:
    found = expr(when="p95_ms > 3500", window="10m", intent="refund")
    bucket = f'rate({METRICS["latency"]}_bucket{{metadata_intent="refund"}}[10m])'
    assert found == f"histogram_quantile(0.95, sum by (le) ({bucket})) > 3.5"
    assert expr(when="p99.9_ttft_ms >= 250").startswith(
        f"histogram_quantile(0.999, sum by (le) (rate({METRICS['ttft']}_bucket"
    )


def test_a_slow_share_is_read_at_a_buckets_bound_and_interpolated_elsewhere() -> None:
    at_bound = expr(when="slow_rate(5s) > 0.05")
    assert at_bound.startswith(f'1 - sum(rate({METRICS["latency"]}_bucket{{le=~"5(\\\\.0+)?"}}[5m]))')
    assert at_bound.endswith("> 0.05")
    fraction = expr(when="slow_rate(250ms) > 0.05")
    assert 'le=~"0\\\\.25(\\\\.0+)?"' in fraction
    between = expr(when="slow_rate(3500ms) > 0.05")
    assert between == expr(when="p95_ms > 3500")
    _, made = exported({"when": "slow_rate(3500ms) > 0.05"})
    assert "interpolated between 2 and 5 s" in row(made, "when").how
    assert expr(when="slow_rate(3s) > 0.1", window="1m") != expr(when="slow_rate(3s) > 0.2", window="1m")


def test_buckets_can_be_named() -> None:
    (group,), _ = exported(
        {"when": "slow_rate(3500ms) > 0.05"}, metrics={"buckets_s": "1 3.5 7", "latency": "wait_seconds"}
    )
    assert 'wait_seconds_bucket{le=~"3\\\\.5(\\\\.0+)?"}' in group["rules"][0]["expr"]


def test_failures_by_status() -> None:
    failures, requests = METRICS["failures"], METRICS["requests"]
    assert expr(when="error_rate > 0.1", errors=["5xx", 429, "timeout"]) == (
        f'(sum(rate({failures}{{exception_status=~"5..|429|408"}}[5m])) or vector(0)) / sum(rate({requests}[5m])) > 0.1'
    )
    assert 'exception_status="429"' in expr(when="rate_429 > 0.1")
    assert 'exception_status="408"' in expr(when="timeout_rate > 0.1")
    _, made = exported({"when": "error_rate > 0.1", "errors": ["5xx", "tool_error"]})
    assert "tool_error has no status of its own there" in row(made, "when").how


@pytest.mark.parametrize(
    ("when", "part"),
    [
        ("tool_success_rate < 0.9", "support_tool_calls_successful_total"),
        ("override_rate > 0.2", "support_suggestions_overridden_total"),
        ("escalation_rate > 0.2", "support_tickets_escalated_total"),
        ("reopen_rate > 0.2", "support_tickets_reopened_total"),
        ("sla_breach_rate > 0.2", "support_sla_breaches_total"),
        ("fallback_rate > 0.2", "litellm_deployment_successful_fallbacks_total"),
        ("cost_per_request > 0.02", "litellm_spend_metric_total"),
        ("mean_ms > 2000", "litellm_request_total_latency_metric_sum"),
        ("requests > 100", "sum(increase(litellm_proxy_total_requests_metric_total[5m])) > 100"),
        ("signal:quality < 0.5", 'support_signal_numerator_total{signal="quality"}'),
    ],
)
def test_the_vocabulary(when: str, part: str) -> None:
    found = expr(when=when)
    assert part in found
    assert balanced(found)


def test_at_least_two_of_three_is_spelled_out() -> None:
    of = ["p95_ms > 3500", "tool_success_rate < 0.92", "override_rate > 0.15"]
    alone = [expr(when=one) for one in of]
    found = expr(when={"at_least": 2, "of": of})
    assert found == "\nor ".join(f"(({one}) and ({other}))" for one, other in combinations(alone, 2))
    assert expr(when={"all": of}) == " and ".join(f"({one})" for one in alone)
    assert expr(when={"any": of}) == "\nor ".join(f"({one})" for one in alone)


def test_many_ways_are_counted() -> None:
    of = [f"p95_ms > {limit}" for limit in range(1000, 9000, 1000)]
    found = expr(when={"at_least": 4, "of": of})
    assert found.count("or vector(0)") == 8
    assert found.endswith(">= 4")
    assert balanced(found)


def test_groups_within_groups() -> None:
    found = expr(when={"any": ["requests > 9", {"all": ["requests > 5", "fallback_rate > 0.5"]}]})
    assert balanced(found)
    assert " and " in found
    assert "\nor " in found


def test_every_window_must_hold() -> None:
    found = expr(when="error_rate > 0.0144", window=["1h", "5m"])
    first, second = found.split("\nand ")
    assert "[1h]" in first
    assert second == first.replace("[1h]", "[5m]")


def test_the_guard_of_samples() -> None:
    found = expr(when="override_rate > 0.2", min_requests=30)
    assert found.endswith(" and sum(increase(support_suggestions_reviewed_total[5m])) >= 30")
    breach = expr(when="override_rate > 0.2", min_requests=30, no_data="breach")
    assert breach.endswith("or (sum(increase(support_suggestions_reviewed_total[5m])) or vector(0)) < 30")


def test_a_rule_holds_what_the_alert_says() -> None:
    groups, made = exported(
        {"when": "error_rate > 0.1", "for": "5m", "keep_firing_for": "10m", "severity": "ticket", "every": "30s"},
        {"when": "error_rate > 0.2"},
    )
    assert [group["interval"] for group in groups] == ["30s", "60s"]
    (rule,) = groups[0]["rules"]
    assert (rule["alert"], rule["for"], rule["keep_firing_for"]) == ("alert-0", "5m", "10m")
    assert rule["labels"] == {"severity": "ticket"}
    for key in ("name", "intent", "for", "keep_firing_for", "every", "severity", "no_data"):
        assert row(made, key).fidelity == "exact"
    assert row(made, "errors").fidelity == row(made, "min_requests").fidelity == "approximated"


def test_what_prometheus_cannot_say_is_left_out_aloud() -> None:
    groups, made = exported({"when": "error_rate > 0.1", "window": "100 requests"})
    assert groups == []
    assert {one.fidelity for one in made.losses.of("alerts[0]")} == {"dropped"}
    groups, made = exported({"when": "consecutive_errors > 5"})
    assert groups == []
    assert "cannot say consecutive_errors > 5" in row(made, "when").how
    groups, made = exported({"when": {"any": ["consecutive_errors > 5", "requests > 7"]}, "min_requests": 1})
    assert groups[0]["rules"][0]["expr"].endswith("> 7")
    assert "left out, because PromQL cannot say it: consecutive_errors > 5" in row(made, "when").how
    groups, made = exported({"when": {"all": ["consecutive_errors > 5", "requests > 7"]}})
    assert groups == []
    _, made = exported({"when": "error_rate > 0.1", "window": "1m tumbling"})
    assert row(made, "window").fidelity == "approximated"


def test_names_cannot_leave_their_quotes() -> None:
    name = 'a"} or vector(1) #{{ $value }}'
    (group,), _ = exported({"name": name, "when": "requests > 7", "intent": name, "severity": "{{x}}"})
    (rule,) = group["rules"]
    assert rule["alert"] == name
    assert 'metadata_intent="a\\"} or vector(1) #{{ $value }}"' in rule["expr"]
    assert "{{" not in rule["labels"]["severity"] + rule["annotations"]["summary"]
    assert quoted('\\"\n') == '"\\\\\\"\\n"'


@given(st.text("ab*?.|\\", min_size=1, max_size=4).filter(lambda text: text != "*"), st.text("ab.|\\", max_size=4))
def test_globs_match_as_they_do_here(glob: str, intent: str) -> None:
    """Prometheus anchors its expressions; its quotes are taken off first."""
    text = selector((glob,), "intent")
    sign, value = (
        ("=~", text.removeprefix("intent=~")) if text.startswith("intent=~") else ("=", text.removeprefix("intent="))
    )
    bare = re.sub(r"\\(.)", r"\1", value[1:-1])
    if sign == "=":
        assert (bare == intent) == takes(glob, intent)
    else:
        assert bool(re.fullmatch(bare, intent)) == takes(glob, intent)
