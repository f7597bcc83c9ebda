from dataclasses import replace

import pytest

from incident_kit.baselines import always_fallback, always_primary, blind
from incident_kit.errors import InvalidPolicy
from incident_kit.policy import Entry, Policy, describe, diff

FOUNDING = """\
routes:
- intent: refund-policy
  primary: primary_chat_model
  fallback: fast_backup_model
  max_p95_ms: 3500                 # breaker.when: p95_ms > 3500
  disable_tools_on_fallback: true  # on_fallback: {tools: disabled}
- intent: internal-agent-draft
  primary: reasoning_model
  fallback: fast_backup_model
  max_p95_ms: 4500
"""


@pytest.fixture
def founding() -> Policy:
    return Policy.parse(FOUNDING)


def test_a_diff_is_told_route_by_route(founding: Policy) -> None:
    after = founding.with_value("refund-policy.max_p95_ms", 3000).with_value("refund-policy.retry.timeout_ms", 9000)
    after = replace(after, routes=(*after.routes, *blind("x", "y", max_p95_ms=9).routes), owner="support")
    assert str(diff(founding, after)) == (
        "the file\n"
        "  owner: (none) -> support\n"
        "refund-policy\n"
        "  breaker.when: p95_ms > 3500 -> p95_ms > 3000\n"
        "  retry.timeout_ms: (none) -> 9000\n"
        "*\n"
        "  route: (none) -> x then y, switching when p95_ms > 9"
    )
    assert [change.path for change in diff(founding, after)][1] == "refund-policy.breaker.when"
    assert len(diff(after, founding)) == 4


def test_no_difference_is_false_and_a_new_order_is_one(founding: Policy) -> None:
    assert not diff(founding, Policy.parse(founding.expand()))
    assert str(diff(founding, founding)) == "no difference"
    (change,) = diff(founding, replace(founding, routes=founding.routes[::-1]))
    assert str(change) == "order of routes: refund-policy, internal-agent-draft -> internal-agent-draft, refund-policy"


def test_a_policy_is_said_in_words(founding: Policy) -> None:
    refund, draft = describe(founding).splitlines()
    assert refund == (
        "refund-policy requests go to primary_chat_model; if more than one answer in twenty takes over 3.5 s in "
        "five minutes, they go to fast_backup_model without tools, and the primary is tried again after a minute "
        "with five requests."
    )
    assert draft == (
        "internal-agent-draft requests go to reasoning_model; if more than one answer in twenty takes over 4.5 s in "
        "five minutes, they go to fast_backup_model, and the primary is tried again after a minute "
        "with five requests."
    )
    policy = Policy.parse("""
routes:
- {intent: alone, primary: p}
- {intent: quiet, primary: p, fallback: f, fallback_on: []}
- {intent: hops, primary: p, fallback: [f, g], fallback_on: [timeout, 429]}
- intent: "*"
  primary: p
  fallback: [{model: f, max_p50_ms: 800}, g]
  on_fallback: {max_tokens: 512}
  breaker:
    window: 100 requests
    when: {at_least: 2, of: [p99.9_ms >= 90000, error_rate <= 15%, slow_rate(2s) < 0.5]}
    for: 1h
    cooldown: 90s
    half_open: {requests: 1, share: 0.2, when: p95_ms < 3000}
- intent: [b, c]
  primary: p
  fallback: f
  breaker: {when: {all: [p95_ms > 3, error_rate >= 0.2]}, half_open: {requests: 0}}
""")
    assert describe(policy).splitlines() == [
        "alone requests go to p, and nowhere else.",
        "quiet requests go to p, and nowhere else: no failure and no breaker sends them on.",
        "hops requests go to p; one that fails (timeout, 429) is sent on to f, then g; the others stay.",
        (
            "All other requests go to p; if at least two of these hold (more than one answer in a thousand takes "
            "90 s or more; at most 15 % of the calls fail; fewer than one answer in two takes over 2 s) in the "
            "last 100 calls, for an hour without a break, they go to f (passed over while more than one answer in "
            "two takes over 800 ms there), then g with answers of at most 512 tokens, and the primary is tried "
            "again after 90 seconds with one request drawn from 20 % of the traffic, and kept if at most one "
            "answer in twenty takes 3 s or more."
        ),
        (
            "b and c requests go to p; if more than one answer in twenty takes over 3 ms and at least one call in five "
            "fails in five minutes, they go to f, and everything returns to the primary after a minute."
        ),
    ]


def test_the_baselines(founding: Policy) -> None:
    stay, leave = always_primary(founding), always_fallback(founding)
    assert [(route.chain, route.breaker) for route in stay.routes] == [
        ((Entry("primary_chat_model"),), None),
        ((Entry("reasoning_model"),), None),
    ]
    assert [(route.chain, route.degraded_start) for route in leave.routes] == [
        ((Entry("fast_backup_model"),), True)
    ] * 2
    assert leave.routes[0].on_fallback.tools == "disabled"
    assert [route.name for route in leave.routes] == [route.name for route in founding.routes]
    assert (stay.name, leave.name) == ("always_primary", "always_fallback")
    assert "from the start" in describe(leave)
    assert leave.expand().startswith("# as a fallback from the start: refund-policy, internal-agent-draft\n")
    assert always_fallback(stay).routes == tuple(replace(route, breaker=None) for route in stay.routes)
    assert leave.with_value("refund-policy.on_fallback.max_tokens", 9).routes[0].degraded_start


def test_the_blind_failover_is_one_route_for_everything() -> None:
    policy = blind("p", "f", max_p95_ms=3500)
    same = Policy.parse('routes: [{intent: "*", primary: p, fallback: f, max_p95_ms: 3500}]')
    assert policy == same
    assert policy.route_of(None) is policy.routes[0]
    with pytest.raises(InvalidPolicy, match=r"blind: .*stands twice"):
        blind("p", "p", max_p95_ms=3500)
