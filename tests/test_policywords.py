from dataclasses import replace
from datetime import date

import pytest

from incident_kit.errors import InvalidPolicy
from incident_kit.policies.baselines import always_fallback, always_primary, blind
from incident_kit.policies.conditions import Condition
from incident_kit.policies.policy import Entry, Policy, describe, describe_table, diff
from incident_kit.policies.rulewords import signal_words

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


WHOLE = """
name: whole
owner: support
alerts:
- {name: quality, intent: refund, when: {all: [tool_success_rate < 0.9, override_rate > 15%]}, for: 5m, keep_firing_for: 10m}
- {name: burn, window: [1h, 5m], when: error_rate > 0.0144, severity: ticket}
routes:
- intent: refund
  match: {channel: [chat, email], stream: true}
  primary: {big: 90, new: 30}
  fallback: [{model: small, only_for: [4xx]}, spare, {template: busy}]
  on_fallback: {tools: disabled}
  deadline_ms: 15000
  sticky: conversation
  rehearsed: 2026-09-01
  switch: [{from: 2026-10-05T14:03:00Z, until: 2026-10-05T15:30:00Z, to: spare}]
  breaker:
    scope: target
    window: [100 requests, 1m tumbling]
    when: {any: [alert: quality, {all: [consecutive_errors >= 5, requests > 20]}]}
    cooldown: {base: 60s, factor: 2, max: 10m}
    half_open: {requests: 3, when: p95_ttft_ms < 800}
- intent: draft
  owner: writers
  primary: big
  fallback: {queue: 15m}
  breaker: {scope: intent, when: [mean_ms > 2500, cost_per_request > 0.02, "signal:csat < 3.5"], half_open: {requests: 0}}
- {intent: hop, primary: big, fallback: [human], switch: {from: 2026-10-05T14:03:00Z, to: human}}
- {intent: stay, primary: big}
- intent: "*"
  primary: big
  fallback: reject
  on_fallback: {max_tokens: 64}
  breaker:
    scope: intent
    when: {at_least: 2, of: [rate_429 > 10%, timeout_rate >= 1%, fallback_rate <= 0.5]}
    every: 60s
    no_data: breach
"""


def test_the_whole_language_is_said_in_words() -> None:
    assert describe(Policy.parse(WHOLE)).splitlines() == [
        (
            "refund requests with channel chat or email and stream true go to their primaries (75 % to big, 25 % to new); "
            "if the alert quality fires or both at least five calls fail in a row and more than 20 requests arrive in "
            "the last 100 calls and also in a minute by the clock, they go to small (for 4xx alone), then spare "
            "without tools, then the prepared answer busy, and the primary is tried again after a minute (2 times as long "
            "after each failed test, up to ten minutes) with three requests, and kept if at most one answer in twenty "
            "shows its first word after 800 ms or later; by hand from 2026-10-05 14:03:00 until 2026-10-05 15:30:00 UTC "
            "all start at spare; a conversation stays where it is unless it fails; all ends after 15 s."
        ),
        (
            "draft requests go to big; if an answer takes on average more than 2.5 s or a request costs on average more "
            "than 0.02 USD or csat is less than 3.5 in five minutes, they go to a queue of up to 15 minutes, and "
            "everything returns to the primary after a minute."
        ),
        (
            "hop requests go to big; one that fails (timeout, 5xx, 429) is sent on to a person; the others stay; by hand "
            "from 2026-10-05 14:03:00 UTC all start at human."
        ),
        "stay requests go to big, and nowhere else.",
        (
            "All other requests go to big; if at least two of these hold (more than one call in ten is refused for its "
            "rate; at least one call in a hundred times out; at most one request in two goes elsewhere than to a "
            "primary) in five minutes of one intent, looked at every minute, or if there are too few to tell, its "
            "requests go to a refusal, and the primary is tried again after a minute with five requests."
        ),
        (
            "The alert quality (page) fires if fewer than 90 % of the tool calls work and more than 15 % of the "
            "suggestions are overridden in five minutes for refund requests, for five minutes without a break; it ends "
            "when that has not been so for ten minutes."
        ),
        ("The alert burn (ticket) fires if more than 1.44 % of the requests fail in an hour and also in five minutes."),
    ]


def test_the_table_says_who_may_degrade_on_what_signal() -> None:
    policy = Policy.parse(WHOLE)
    table = describe_table(policy)
    assert table.columns == ["intent", "may_degrade", "switched_off", "signal", "owner", "last_rehearsed"]
    assert table.rows() == [
        (
            "refund",
            "yes: small, then spare, then prepared answer busy",
            "tools",
            "the alert quality fires or both at least five calls fail in a row and more than 20 requests arrive; by hand",
            "support",
            date(2026, 9, 1),
        ),
        (
            "draft",
            "yes: wait up to 15 minutes",
            "nothing",
            "slow on average: more than 2.5 s or cost: more than 0.02 USD or csat: less than 3.5",
            "writers",
            None,
        ),
        ("hop", "yes: a person", "nothing", "by hand", "support", None),
        ("stay", "no", "nothing", "none", "support", None),
        (
            "*",
            "yes: refused",
            "answers over 64 tokens",
            (
                "two of: refused for its rate: more than one in ten, timing out: at least one in a hundred, "
                "sent elsewhere: at most one in two"
            ),
            "support",
            None,
        ),
    ]
    assert describe_table(always_fallback(policy))["may_degrade"].to_list()[0] == "always: spare"
    assert describe_table(always_primary(policy))["may_degrade"].to_list() == ["no"] * 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p95_ms > 3500", "slow: one in twenty over 3.5 s"),
        ("p50_ms >= 800", "slow: one in two 800 ms or more"),
        ("p95_ms < 3000", "slow: at most one in twenty 3 s or more"),
        ("slow_rate(2s) > 30%", "slow: 30 % over 2 s"),
        ("p99_ttft_ms > 900", "slow to begin: one in a hundred over 900 ms"),
        ("error_rate > 0.2", "failing: more than one in five"),
        ("tool_success_rate < 0.9", "tools: fewer than 90 %"),
        ("consecutive_errors >= 5", "failing in a row: at least five"),
        ("alert: refunds", "alert refunds"),
    ],
)
def test_a_signal_has_a_label(text: str, words: str) -> None:
    assert signal_words(Condition.parse(text)) == words


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
    assert [route.primary for route in always_fallback(Policy.parse(WHOLE)).routes] == [
        "spare",
        "big",
        "big",
        "big",
        "big",
    ]
    for baseline in (always_primary(Policy.parse(WHOLE)), always_fallback(Policy.parse(WHOLE))):
        assert all(not route.switches and route.breaker is None for route in baseline.routes)
        assert len(Policy.parse(baseline.expand()).routes) == 5
    assert leave.with_value("refund-policy.on_fallback.max_tokens", 9).routes[0].degraded_start


def test_the_blind_failover_is_one_route_for_everything() -> None:
    policy = blind("p", "f", max_p95_ms=3500)
    same = Policy.parse('routes: [{intent: "*", primary: p, fallback: f, max_p95_ms: 3500}]')
    assert policy == same
    assert policy.route_of(None) is policy.routes[0]
    with pytest.raises(InvalidPolicy, match=r"blind: .*stands twice"):
        blind("p", "p", max_p95_ms=3500)
