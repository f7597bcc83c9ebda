from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from incident_kit.policies.baselines import blind
from incident_kit.policies.policy import Entry, OnFallback, Policy, Window

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
ROUTE = "routes:\n- intent: a\n  primary: p\n  fallback: f\n"


@pytest.fixture
def founding() -> Policy:
    return Policy.parse(FOUNDING)


def test_the_founding_file_is_the_one_of_the_specification() -> None:
    assert the_specification("routes:") == FOUNDING


def the_specification(begin: str) -> str:
    """Return the block of POLICY.md that begins so; skip where it is not beside this repository."""
    specification = Path(__file__).parents[2] / "shared" / "POLICY.md"
    if not specification.exists():
        pytest.skip("the specification is not beside this repository")
    text = specification.read_text(encoding="utf-8")
    at = text.index(f"```yaml\n{begin}") + len("```yaml\n")
    return text[at : text.index("```", at)]


def test_the_long_example_of_the_specification_is_read_whole() -> None:
    policy = Policy.parse(the_specification("version: 1"))
    refund, draft, rest = policy.routes
    assert [entry.label for entry in refund.chain] == [
        "primary_chat_model",
        "fast_backup_model",
        "long_context_model",
        "human",
    ]
    assert refund.match == (("channel", ("chat", "email")),)
    assert (refund.deadline_ms, refund.sticky, refund.switches[0].to) == (15_000, "conversation", "fast_backup_model")
    assert (draft.fallback[0].kind, draft.fallback[0].queue_ms) == ("queue", 900_000)
    assert rest.weights == (("primary_chat_model", 90.0), ("candidate_model", 10.0))
    assert rest.breaker is not None
    assert rest.breaker.scope == "intent"
    assert str(rest.breaker.when) == "at least 2 of [p95_ms > 3500, error_rate > 0.2, tool_success_rate < 0.9]"
    assert [rest.breaker.rest_ms(i) for i in (0, 1, 4)] == [60_000, 120_000, 600_000]
    half_open = rest.breaker.half_open
    assert (half_open.requests, half_open.share, str(half_open.when), half_open.max_duration_ms) == (
        5,
        0.2,
        "p95_ms < 3000",
        600_000,
    )
    quality, burn = policy.alerts
    assert (quality.for_ms, quality.keep_firing_ms, quality.every_ms, quality.min_requests) == (
        300_000,
        600_000,
        60_000,
        30,
    )
    assert ([str(window) for window in burn.windows], burn.intent, burn.every_ms) == (["1h", "5m"], ("*",), 60_000)
    assert Policy.parse(policy.expand()) == policy
    # S8: a class that fallback_on does not name never walks on, so the example's own `only_for` waits in vain
    assert policy.warnings == (
        "routes[0].fallback[1] is never taken: fallback_on names none of its classes (context_window)",
    )


def test_the_founding_file_is_loaded_byte_for_byte(tmp_path: Path) -> None:
    for path in (
        Path(__file__).parents[1] / "data" / "samples" / "policies" / "founding.yaml",
        tmp_path / "founding.yaml",
    ):
        if path.parent == tmp_path:
            path.write_text(FOUNDING, encoding="utf-8")
        elif not path.exists():
            continue
        policy = Policy.load(path)
        assert policy == Policy.parse(FOUNDING)
        assert path.read_bytes() == FOUNDING.encode()
        policy.save(tmp_path / "saved.yaml")
        assert (tmp_path / "saved.yaml").read_bytes() == FOUNDING.encode()
        assert [one.path for one in policy.implied] == [one.path for one in Policy.parse(FOUNDING).implied]


def test_the_founding_file_says_what_it_means(founding: Policy) -> None:
    refund, draft = founding.routes
    assert (refund.name, refund.intent, refund.primary) == ("refund-policy", ("refund-policy",), "primary_chat_model")
    assert refund.fallback == (Entry("fast_backup_model"),)
    assert refund.on_fallback == OnFallback(tools="disabled", max_tokens=None)
    assert draft.on_fallback.tools == "enabled"
    assert refund.fallback_on == ("timeout", "5xx", "429")
    assert (refund.retry.attempts, refund.retry.retry_on, refund.retry.timeout_ms, refund.retry.backoff_ms) == (
        0,
        (),
        None,
        0,
    )
    breaker = refund.breaker
    assert breaker is not None
    assert (str(breaker.when), breaker.window, breaker.min_requests) == (
        "p95_ms > 3500",
        Window("sliding", 300_000),
        20,
    )
    assert (breaker.for_ms, breaker.cooldown_ms, breaker.errors) == (0, 60_000, ("5xx", "429", "timeout"))
    half_open = breaker.half_open
    assert (half_open.requests, half_open.share, half_open.max_wait_ms, half_open.when) == (5, 1.0, 60_000, None)
    assert (breaker.scope, breaker.every_ms, breaker.no_data, breaker.observe) == (
        "route",
        None,
        "hold",
        "completed",
    )
    assert draft.breaker is not None
    assert draft.breaker.when.of[0].limit_ms == 4500
    assert founding.targets == ("primary_chat_model", "fast_backup_model", "reasoning_model")
    assert founding.warnings == ()


def test_property_6_the_founding_file_equals_its_expanded_form(founding: Policy) -> None:
    long = Policy.parse(founding.expand())
    assert long == founding
    assert long.implied == ()
    assert long.expand() == founding.expand()


def test_what_the_founding_file_leaves_unsaid_is_listed(founding: Policy) -> None:
    lines = [str(implied) for implied in founding.implied]
    assert [line.removeprefix("routes[0].") for line in lines if line.startswith("routes[0].")] == [
        "fallback_on: [timeout, 5xx, 429]",
        "retry.attempts: 0",
        "retry.retry_on: []",
        "retry.backoff_ms: 0",
        "sticky: none",
        "breaker.scope: route",
        "breaker.window: 5m",
        "breaker.min_requests: 20",
        "breaker.for: 0s",
        "breaker.every: completion",
        "breaker.errors: [5xx, 429, timeout]",
        "breaker.cooldown: 60s",
        "breaker.half_open.requests: 5",
        "breaker.half_open.share: 1",
        "breaker.half_open.max_wait: 60s",
        "breaker.no_data: hold",
        "breaker.observe: completed",
    ]
    second = [line for line in lines if line.startswith("routes[1].")]
    assert len(second) == 18
    assert "routes[1].on_fallback.tools: enabled" in second
    assert lines[:2] == ["version: 1", "name: policy"]
    assert len(lines) == 2 + 17 + 18


def test_defaults_merge_breaker_and_retry_key_by_key_and_a_route_wins() -> None:
    policy = Policy.parse("""
defaults:
  fallback: spare
  max_p95_ms: 3000
  disable_tools_on_fallback: true
  retry: {attempts: 2, retry_on: [429], timeout_ms: 8000}
  breaker: {window: 100 requests, cooldown: 90s, half_open: {requests: 3, share: 0.5}}
routes:
- intent: plain
  primary: big
- intent: own
  primary: big
  fallback: [other]
  max_p99_ms: 7000
  on_fallback: {max_tokens: 512}
  retry: {attempts: 1}
  breaker: {cooldown: 2m, half_open: {share: 0.25}}
""")
    plain, own = policy.routes
    assert plain.breaker is not None
    assert own.breaker is not None
    assert (plain.fallback, own.fallback) == ((Entry("spare"),), (Entry("other"),))
    assert (str(plain.breaker.when), str(own.breaker.when)) == ("p95_ms > 3000", "p99_ms > 7000")
    assert plain.breaker.window == own.breaker.window == Window("count", 100)
    assert (plain.breaker.cooldown_ms, own.breaker.cooldown_ms) == (90_000, 120_000)
    assert (own.breaker.half_open.requests, own.breaker.half_open.share) == (3, 0.25)
    assert (own.retry.attempts, own.retry.retry_on, own.retry.timeout_ms) == (1, ("429",), 8000)
    assert (plain.on_fallback, own.on_fallback) == (OnFallback(tools="disabled"), OnFallback(max_tokens=512))
    unsaid = {implied.path for implied in policy.implied}
    assert "routes[0].breaker.cooldown" not in unsaid
    assert "routes[0].breaker.min_requests" in unsaid


def test_a_breaker_in_the_defaults_alone_switches_nothing() -> None:
    policy = Policy.parse("defaults: {breaker: {window: 1m}}\n" + ROUTE)
    assert policy.routes[0].breaker is None


def test_every_core_key_at_once() -> None:
    policy = Policy.parse("""
version: 1
name: per-intent-v2
owner: support
decided: 2026-10-05
routes:
- intent: [refund, billing-*]
  reason: |
    two lines
    of why
  rehearsed: "2026-09-01"
  primary: big
  fallback:
  - {model: small, max_p95_ms: 5000}
  - {model: tiny}
  fallback_on: [503, 4xx, context_window]
  on_fallback: {tools: disabled, max_tokens: 512}
  retry: {attempts: 1, retry_on: [429, 5xx], timeout_ms: 9000, backoff_ms: 200}
  breaker:
    scope: route
    window: 1 request
    min_requests: 1
    when: {at_least: 2, of: [p95_ms > 3500, error_rate > 20%, slow_rate(2s) >= 0.5]}
    for: 30s
    every: completion
    errors: [timeout]
    cooldown: {base: 60s}
    half_open: {requests: 4, share: 0.2, when: p95_ms < 3000, max_wait: 10s}
    no_data: hold
    observe: completed
""")
    (route,) = policy.routes
    assert (policy.name, policy.owner, policy.decided) == ("per-intent-v2", "support", date(2026, 10, 5))
    assert (route.name, route.reason, route.rehearsed) == ("refund+billing-*", "two lines\nof why\n", date(2026, 9, 1))
    assert route.fallback_on == ("503", "4xx", "context_window")
    assert (route.retry.retry_on, route.retry.timeout_ms, route.retry.backoff_ms) == (("429", "5xx"), 9000, 200)
    assert route.breaker is not None
    assert (route.breaker.when.at_least, [str(one) for one in route.breaker.when.of]) == (
        2,
        ["p95_ms > 3500", "error_rate > 0.2", "slow_rate(2000ms) >= 0.5"],
    )
    assert (route.breaker.for_ms, str(route.breaker.half_open.when)) == (30_000, "p95_ms < 3000")
    assert route.fallback[0].breaker is not None
    assert str(route.fallback[0].breaker.when) == "p95_ms > 5000"
    assert [entry.model for entry in route.chain] == ["big", "small", "tiny"]
    assert Policy.parse(policy.expand()) == policy
    assert "routes[0].fallback[0].breaker.window" in {implied.path for implied in policy.implied}
    assert "routes[0].breaker.cooldown" not in {implied.path for implied in policy.implied}


@pytest.mark.parametrize(
    ("pattern", "intent", "fits"),
    [
        ("refund", "refund", True),
        ("refund", "Refund", False),
        ("refund-*", "refund-us", True),
        ("refund-*", "refund-", True),
        ("refund-*", "refund", False),
        ("refund-?", "refund-1", True),
        ("refund-?", "refund-12", False),
        ("[a]", "[a]", True),
        ("[a]", "a", False),
        ("a.c", "abc", False),
        ("*", "any\nthing", True),
        ("*", None, True),
        ("**", None, False),
        ("refund", None, False),
    ],
)
def test_only_star_and_question_mark_are_special_in_an_intent(pattern: str, intent: str | None, fits: bool) -> None:  # noqa: FBT001
    route = blind("p", "f", max_p95_ms=1).routes[0]
    assert replace(route, intent=(pattern,)).matches(intent) is fits


def test_a_glob_of_many_stars_does_not_hang() -> None:
    route = replace(blind("p", "f", max_p95_ms=1).routes[0], intent=("*a" * 30 + "b",))
    assert not route.matches("a" * 5_000)


def test_the_first_route_that_matches_takes_the_request(founding: Policy) -> None:
    policy = Policy.parse(FOUNDING + '- intent: "*"\n  primary: x\n')
    assert policy.route_of("refund-policy") is policy.routes[0]
    assert policy.route_of("else") is policy.route_of(None) is policy.routes[2]
    assert founding.route_of("else") is None


def test_names_are_unique_and_a_route_that_never_matches_is_told() -> None:
    policy = Policy.parse("""
routes:
- {intent: [a, "b-*"], primary: p}
- {intent: a, primary: q}
- {intent: "b-?", primary: q}
- {intent: [a, c], primary: q}
- {intent: "*", primary: q}
- {intent: d, primary: q}
""")
    assert [route.name for route in policy.routes] == ["a+b-*", "a", "b-?", "a+c", "*", "d"]
    assert policy.warnings == (
        "routes[1]: intent 'a' never matches here: route 'a+b-*' takes it",
        "routes[2]: intent 'b-?' never matches here: route 'a+b-*' takes it",
        "routes[3]: intent 'a' never matches here: route 'a+b-*' takes it",
        "routes[5]: intent 'd' never matches here: route '*' takes it",
    )
    assert [route.name for route in Policy.parse(ROUTE + ROUTE.removeprefix("routes:\n")).routes] == ["a", "a#2"]


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        ("  retry: {attempts: 2}\n", "nothing is retried"),
        ("  breaker: {when: error_rate > 0.1, half_open: {requests: 0, when: error_rate < 0.1}}\n", "is never asked"),
    ],
)
def test_what_has_no_effect_is_warned_of(more: str, warning: str) -> None:
    (found,) = Policy.parse(ROUTE + more).warnings
    assert warning in found


def test_a_breaker_with_nowhere_to_go_is_warned_of() -> None:
    (found,) = Policy.parse("routes: [{intent: a, primary: p, max_p95_ms: 10}]").warnings
    assert "the last entry of a chain is never skipped" in found
