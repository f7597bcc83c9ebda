"""Dials: every threshold that a hand can turn, and what a setting makes of a policy."""

from __future__ import annotations

import pytest

from incident_kit.errors import NoSuchItem
from incident_kit.policies.dials import Settings, dial, dials, rules
from incident_kit.policies.policy import Policy, diff
from incident_kit.samples import sample

EXTENDED = Policy.load(sample("outage") / "policies" / "extended.yaml")


def test_every_threshold_of_every_route_has_a_dial() -> None:
    found = [(one.owner, one.metric, one.sign, one.value, one.is_test) for one in dials(EXTENDED)]
    assert found == [
        ("refund-policy", "p95_ms", ">", 3500, False),
        ("refund-policy", "error_rate", ">", 0.2, False),
        ("refund-policy", "p95_ms", "<", 3200, True),
        ("billing-dispute", "p95_ms", ">", 3500, False),
        ("billing-dispute", "error_rate", ">", 0.1, False),
        ("billing-dispute", "tool_success_rate", "<", 0.9, False),
        ("internal-agent-draft", "p95_ms", ">", 4500, False),
        ("*", "p95_ms", ">", 5000, False),
    ]


@pytest.mark.parametrize("one", dials(EXTENDED), ids=lambda one: one.path)
def test_a_dial_reaches_both_ends_in_steps_that_the_policy_takes(one: object) -> None:
    from incident_kit.policies.dials import Dial

    assert isinstance(one, Dial)
    assert one.low <= one.value <= one.high
    assert one.step > 0
    for value in (one.low, one.high):
        turned = Settings(EXTENDED).turned(one.path, round(value) if one.is_whole else value).policy
        changed = [change.path for change in diff(EXTENDED, turned)]
        assert len(changed) == (value != one.value)


def test_a_rule_off_never_leaves_its_primary_and_an_older_number_comes_back_with_it() -> None:
    rule = "routes[0].breaker"
    assert rules(EXTENDED)[rule] == "refund-policy"
    start = Settings(EXTENDED).turned(f"{rule}.when.p95_ms", 2000)
    off = start.switched(rule, on=False)
    assert off.policy.routes[0].breaker is None
    assert off.switched(rule, on=True).policy == start.policy
    assert off.before == start
    assert [one.values for one in (off.before, off.before.before) if one] == [start.values, {}]


def test_rules_of_one_chain_go_together_without_moving_one_another() -> None:
    policy = Policy.parse(
        "routes: [{intent: a, primary: big, fallback: [{model: mid, breaker: {when: p95_ms > 10}},"
        " {model: small, breaker: {when: p95_ms > 20}}, tiny], max_p95_ms: 5}]"
    )
    assert list(rules(policy).values()) == ["a", "a, mid", "a, small"]
    settings = Settings(policy)
    for rule in rules(policy):
        settings = settings.switched(rule, on=False)
    assert [entry.breaker for entry in settings.policy.routes[0].chain] == [None] * 4


def test_a_metric_that_a_rule_names_twice_has_no_dial_and_others_keep_theirs() -> None:
    text = "{any: [p95_ms > 3000, {all: [p95_ms > 2000, error_rate > 0.1]}]}"
    policy = Policy.parse(f"routes: [{{intent: a, primary: big, fallback: small, breaker: {{when: {text}}}}}]")
    assert [one.metric for one in dials(policy)] == ["error_rate"]


def test_a_dial_is_found_by_its_short_form_or_said_not_to_be_there() -> None:
    assert dial(EXTENDED, "internal-agent-draft.max_p95_ms").value == 4500
    with pytest.raises(NoSuchItem, match="there is no dial"):
        dial(EXTENDED, "internal-agent-draft.max_p50_ms")
