from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from incident_kit.errors import InvalidPolicy, NoSuchItem
from incident_kit.policies.conditions import Rule
from incident_kit.policies.policy import Alert, Breaker, Entry, HalfOpen, Policy, Route, Switch, Window

ROUTE = "routes:\n- intent: a\n  primary: p\n  fallback: f\n"
ALERT = "alerts:\n- name: refunds\n  intent: a\n  when: override_rate > 0.15\n" + ROUTE


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (ROUTE + "  max_p59_ms: 1\n", 5, "'max_p59_ms' is not a key of a route (did you mean 'max_p95_ms'?)"),
        (ROUTE + "  breaker: {when: p95_ms > 9, windw: 5m}\n", 5, "did you mean 'window'?"),
        ("verison: 1\n" + ROUTE, 1, "did you mean 'version'?"),
        (ROUTE + "  cooldown: 5m\n", 5, "'cooldown' is not a key of a route: it belongs under `breaker:`"),
        (ROUTE + "  zebra: 1\n", 5, "its keys are"),
        (ROUTE + "  primary: q\n", 5, "the key 'primary' stands twice (first on line 3)"),
        (ROUTE + "  on: 1\n", 5, "the key 'on' is read as true or false"),
        (ROUTE + "  true: 1\n", 5, "the key 'true' is read as true or false"),
        (ROUTE + "  5: 1\n", 5, "a key is a plain word"),
        (ROUTE + "  [a]: 1\n", 5, "a key is a plain word"),
        (ROUTE + "  disable_tools_on_fallback: yes\n", 5, "write true or false, or quote it"),
        (ROUTE + "  disable_tools_on_fallback: 1\n", 5, "must be true or false"),
        ("routes:\n- intent: NO\n  primary: p\n", 2, "or quote it"),
        ("routes:\n- intent: a\nprimary: p\nfallback: f\n", 3, "Put 2 spaces before it"),
        ("routes:\n- intent: a\nprimary: p\n- intent: b\nprimary: q\n", 3, "the indentation was lost"),
        ("routes:\n  - intent: a\n  primary: p\n", 3, "Put 4 spaces before it"),
        (
            ROUTE + "alerts:\n- name: a\nwhen: p95_ms > 9\n",
            7,
            "outside its alert: the indentation was lost. Put 2 spaces",
        ),
        ("alerts:\n- name: a\n  when: p95_ms > 9\nroutes:\nintent: a\nprimary: p\n", 5, "without its dash"),
        ("routes:\nintent: a\nprimary: p\n", 2, "without its dash"),
        (ROUTE + "  owner:\n", 5, "'owner' has no value"),
        (ROUTE + "  fallback_on: [timeout, ]\n  retry: {retry_on: [~]}\n", 6, "an entry without a value"),
        (ROUTE + "  owner: &me x\n", 5, "anchors and aliases are not used"),
        (ROUTE + "  owner: !!python/object:os.system x\n", 5, "tags are not used"),
        (ROUTE + "  <<: {owner: x}\n", 5, "the merge key <<"),
        (ROUTE + "  max_p95_ms: 0x10\n", 5, "write plain digits"),
        (ROUTE + "  max_p95_ms: 99999999999999999999\n", 5, "write plain digits"),
        (ROUTE + "  max_p95_ms: 1e3\n", 5, "write plain digits"),
        (ROUTE + "  max_p95_ms: .inf\n", 5, "write plain digits"),
        (ROUTE + "  max_p95_ms: 0\n", 5, "must be between 1 and"),
        (ROUTE + "  max_p95_ms: 3500.5\n", 5, "must be a whole number, not 3500.5"),
        (ROUTE + "  max_p95_ms: true\n", 5, "must be a whole number, not true"),
        (ROUTE + "  owner: 5\n", 5, "must be text, not 5 (put quotes around it)"),
        (ROUTE + "  decided: soon\n", 5, "must be a date such as 2026-10-05, not 'soon'"),
        (ROUTE + "  retry: 3\n", 5, "must be a mapping with attempts"),
        (ROUTE + "  retry: {attempts: '3'}\n", 5, "retry.attempts must be a whole number, not '3'"),
        (ROUTE + "  retry: {timeout_ms: 0}\n", 5, "must be between 1 and"),
        (ROUTE + "  fallback_on: timeout\n", 5, "must be a list"),
        (ROUTE + "  fallback_on: [time_out]\n", 5, "'time_out' is not a failure class (did you mean 'timeout'?)"),
        (ROUTE + "  fallback_on: [399]\n", 5, "'399' is not a failure class"),
        (ROUTE + "  on_fallback: {tools: none}\n", 5, "must be enabled or disabled, not 'none'"),
        (
            ROUTE + "  on_fallback: {tools: disabled}\n  disable_tools_on_fallback: true\n",
            6,
            "on_fallback is there too",
        ),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    cooldown: 60\n", 7, "write 60s or 60ms, not 60"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    window: 300\n", 7, "'300s' or '300 requests', not 300"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    window: 0s\n", 7, "must be longer than nothing"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    window: 0 requests\n", 7, "must be between 1"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    cooldown: {bse: 60s}\n", 7, "did you mean 'base'?"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    cooldown: {}\n", 7, "needs `base`"),
        (
            ROUTE + "  breaker: {when: p95_ms > 9, half_open: {share: 2}}\n",
            5,
            "must be a share above 0 and up to 1, not 2",
        ),
        (ROUTE + "  breaker: {window: 5m}\n", 5, "has no `when`, such as `when: p95_ms > 3500`"),
        (
            ROUTE + "  breaker:\n    when:\n      any:\n      - p95_ms > 9\n      - p95 > 9\n",
            9,
            "did you mean 'p95_ms'?",
        ),
        (ROUTE + "  max_p95_ms: 9\n  breaker: {when: error_rate > 0.1}\n", 5, "keep one"),
        (ROUTE + "  breaker: {when: error_rate > 0.1, errors: []}\n", 5, "errors is empty"),
        (ROUTE + "  retry: {timeout_ms: 8000}\n  max_p95_ms: 8000\n", 6, "not below retry.timeout_ms (8000)"),
        (ROUTE.replace("f\n", "[f, p]\n"), 4, "'p' stands twice in the chain"),
        (ROUTE + "  match: {chanel: chat}\n", 5, "'chanel' is not known at arrival (did you mean 'channel'?)"),
        (ROUTE + "  match: {intent: a}\n", 5, "match on channel, conversation_id"),
        (ROUTE + "  match: {labels.: a}\n", 5, "is not known at arrival"),
        (ROUTE + "  match: {stream: x}\n", 5, "must compare stream with true or false, not 'x'"),
        (ROUTE + "  match: {conversation_id: 5}\n", 5, "text, in quotes if it looks like a number, not 5"),
        (ROUTE + "  match: {prompt_tokens: [1, 1]}\n", 5, "a list of different ones"),
        (ROUTE + "  match: {labels: {a: b}, labels.a: c}\n", 5, "must name a label once"),
        (ROUTE + "  match: []\n", 5, "must be a mapping such as"),
        (ROUTE + "  sticky: ticket\n", 5, "must be none or conversation, not 'ticket'"),
        (ROUTE + "  deadline_ms: 15s\n", 5, "must be a whole number, not '15s'"),
        (ROUTE + "  switch: [{from: 2026-10-05T14:03:00, to: f}]\n", 5, "needs a zone: write 2026-10-05T14:03:00Z"),
        (ROUTE + "  switch: [{from: 14:03, to: f}]\n", 5, "must be a time such as 2026-10-05T14:03:00Z, not '14:03'"),
        (ROUTE + "  switch: [{from: 1960-10-05T14:03:00Z, to: f}]\n", 5, "between 1970 and 2200"),
        (ROUTE + "  switch: [{from: 2026-10-05T14:03:00Z}]\n", 5, "switch[0]: has no `to`"),
        (
            ROUTE + "  switch: [{from: 2026-10-05T14:03:00Z, to: zz}]\n",
            5,
            "'zz' is not in the chain; its entries are p, f",
        ),
        (ROUTE + "  switch: [{form: 2026-10-05T14:03:00Z, to: f}]\n", 5, "did you mean 'from'?"),
        (ROUTE + "  switch: soon\n", 5, "switch must be a list such as"),
        (
            ROUTE + "  switch:\n  - {from: 2026-10-05T14:03:00Z, to: f}\n  - {from: 2026-10-05T15:00:00Z, to: p}\n",
            7,
            "switch[1] overlaps switch[0]",
        ),
        (
            ROUTE + "  switch:\n  - from: 2026-10-05T14:03:00Z\n    until: 2026-10-05T14:03:00+00:00\n    to: f\n",
            7,
            "until is not after `from`",
        ),
        (
            ROUTE.replace("primary: p", "primary: {p: 0, q: 1}"),
            3,
            "needs a weight from 0.001 to 1,000,000 for 'p', not 0",
        ),
        (ROUTE.replace("primary: p", "primary: {p: 1, f: 1}"), 4, "'f' stands twice in the chain"),
        (ROUTE.replace("primary: p", "primary: {}"), 3, "models with their weights"),
        (ROUTE.replace("primary: p", "primary: {queue: 5m}"), 3, "'queue' ends a chain; the primary is a model"),
        (ROUTE.replace("primary: p", "primary: human"), 3, "'human' ends a chain; the primary is a model"),
        (ROUTE.replace("primary: p", "primary: {p: 1, reject: 1}"), 3, "'reject' ends a chain"),
        (ROUTE.replace("f\n", "{model: human}\n"), 4, "is not a model: it ends a chain, written alone"),
        (ROUTE.replace("f\n", "{human: true}\n"), 4, "write just `human`"),
        (ROUTE.replace("f\n", "{queue: 15}\n"), 4, "write 15s or 15ms"),
        (ROUTE.replace("f\n", "{queue: 5m, only_for: [timeout]}\n"), 4, "a fallback entry that is a queue"),
        (ROUTE.replace("f\n", "{template: a, model: b}\n"), 4, "a fallback entry that is a template"),
        (ROUTE.replace("f\n", "[{template: a}, {template: a}]\n"), 4, "'template:a' stands twice"),
        (
            ROUTE.replace("f\n", "[g, {model: f, only_for: [timeout]}]\n"),
            4,
            "`only_for` may not stand on the last entry",
        ),
        (ROUTE.replace("f\n", "[{model: f, only_for: []}, g]\n"), 4, "must name a failure class"),
        (ROUTE + "  breaker: {when: p95_ms > 9, window: []}\n", 5, "this list is empty"),
        (ROUTE + "  breaker: {when: p95_ms > 9, window: [5m, 300s]}\n", 5, "a list of different windows"),
        (ROUTE + "  breaker: {when: p95_ms > 9, window: tumbling}\n", 5, "'tumbling' is not a duration"),
        (ROUTE + "  breaker: {when: p95_ms > 9, scope: intents}\n", 5, "did you mean 'intent'?"),
        (ROUTE + "  breaker: {when: p95_ms > 9, every: complete}\n", 5, "did you mean 'completion'?"),
        (ROUTE + "  breaker: {when: p95_ms > 9, every: 0s}\n", 5, "must be longer than nothing"),
        (ROUTE + "  breaker: {when: p95_ms > 9, no_data: breach}\n", 5, "`breach` needs `every: D`"),
        (
            ROUTE + "  breaker: {when: p95_ms > 9, cooldown: {base: 1s, factor: 0.5}}\n",
            5,
            "needs a `factor` from 1 to 1000",
        ),
        (ROUTE + "  breaker: {when: p95_ms > 9, cooldown: {base: 9s, max: 8s}}\n", 5, "not below its base, 9s"),
        (ROUTE + "  breaker: {when: {all: [p95_ms > 9, {any: [p95 > 9]}]}}\n", 5, "did you mean 'p95_ms'?"),
        (
            ROUTE + "  breaker:\n    when:\n    - p95_ms > 9\n    - alert: x\n",
            8,
            "no alert 'x': the file has no `alerts:`",
        ),
        (
            ALERT + "  breaker: {when: {any: [p95_ms > 9, alert: refund]}}\n",
            9,
            "did you mean 'refunds'?); there are refunds",
        ),
        (
            ALERT + "  breaker: {when: {alert: refunds}}\n",
            9,
            "add `half_open: {when: ...}`, or `half_open: {requests: 0}`",
        ),
        (
            ALERT + "  breaker: {when: p95_ms > 9, half_open: {when: {alert: refunds}}}\n",
            9,
            "an alert is not judged when the primary is tried again",
        ),
        (ROUTE + "  breaker: {when: consecutive_errors > 3, errors: []}\n", 5, "errors is empty"),
        (
            ROUTE + "  retry: {timeout_ms: 800}\n  breaker: {when: mean_ms > 800}\n",
            6,
            "not below retry.timeout_ms (800)",
        ),
        (ROUTE + "  retry: {timeout_ms: 800}\n  breaker: {when: p95_ttft_ms > 800}\n", 6, "not below retry.timeout_ms"),
        (
            ROUTE + "  retry: {ttft_timeout_ms: 500}\n  breaker: {when: p95_ttft_ms > 500}\n",
            6,
            "not below retry.ttft_timeout_ms (500)",
        ),
        (
            ROUTE.replace("f\n", "[{model: f, max_p95_ms: 800}, g]\n") + "  retry: {timeout_ms: 800}\n",
            4,
            "fallback[0].breaker: 'p95_ms > 800' is not below retry.timeout_ms",
        ),
        ("alerts: {name: a}\n" + ROUTE, 1, "alerts: must be a list"),
        ("alerts: [{when: p95_ms > 9}]\n" + ROUTE, 1, "alerts[0]: has no `name`"),
        ("alerts: [{name: a}]\n" + ROUTE, 1, "alerts[0]: has no `when`"),
        (
            "alerts:\n- {name: a, when: p95_ms > 9}\n- {name: a, when: p95_ms > 9}\n" + ROUTE,
            3,
            "the name of another alert",
        ),
        ("alerts: [{name: a, when: p95_ms > 9, every: completion}]\n" + ROUTE, 1, "an alert is judged by sweeps"),
        ("alerts: [{name: a, when: {alert: a}}]\n" + ROUTE, 1, "an alert does not wait for another alert"),
        ("alerts: [{name: a, when: error_rate > 0.1, errors: []}]\n" + ROUTE, 1, "errors is empty"),
        ("alerts: [{name: a, when: p95_ms > 9, cooldown: 5m}]\n" + ROUTE, 1, "belongs under `breaker:`"),
        ("alerts: [{name: a, when: p95_ms > 9, keep_fireing_for: 5m}]\n" + ROUTE, 1, "did you mean 'keep_firing_for'?"),
        ("alerts: [{name: a, when: p95_ms > 9, intent: []}]\n" + ROUTE, 1, "alerts[0].intent must be a name"),
        ("alerts: [5]\n" + ROUTE, 1, "alerts[0]: must be a mapping with name"),
        (ROUTE + "  severity: page\n", 5, "it belongs to an alert, under `alerts:`"),
        (ROUTE.replace("f\n", "[{mdel: f}]\n"), 4, "did you mean 'model'?"),
        ("routes:\n- intent: a\n", 2, "has no `primary`"),
        ("routes:\n- primary: a\n", 2, "has no `intent`"),
        ("routes:\n- intent: []\n  primary: a\n", 2, "must be a name"),
        ("routes:\n- intent: ' a'\n  primary: a\n", 2, "no blanks around it"),
        ('routes:\n- intent: "a\\e[1m"\n  primary: a\n', 2, "printable"),
        ("routes:\n- intent: 5\n  primary: a\n", 2, "put quotes around it"),
        ("routes:\n- intent: *\n  primary: a\n", 2, 'put quotes around it: "*"'),
        ("routes:\n- a\n", 2, "must be a mapping that begins with"),
        ("routes: a\n", 1, "must be a list"),
        ("routes: []\n", 1, "at least one route"),
        ("defaults: 3\n" + ROUTE, 1, "must be a mapping of route keys"),
        ("defaults: {intent: a}\n" + ROUTE, 1, "belongs to each route"),
        ("version: 2\n" + ROUTE, 1, "must be 1"),
        ("%YAML 1.1\n---\n" + ROUTE, 1, "directive"),
        (ROUTE + "---\n" + ROUTE, 5, "a single document"),
        ("routes:\n\t- intent: a\n", 2, "indent with spaces"),
        ("a: " + "[" * 40 + "]" * 40, 1, "nested too deeply"),
    ],
)
def test_every_error_names_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(InvalidPolicy) as error:
        Policy.parse(text, source="my.yaml")
    assert str(error.value).startswith(f"my.yaml, line {line}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- a\n", "holds no `routes:`"),
        ("hello", "holds no `routes:`"),
        ("version: 1\n", "has no `routes:`"),
        ("[" * 9_000, "nested too deeply"),
        ("- " * 9_000, "nested too deeply"),
        ("a\0b", "line 1: not YAML"),
        ("x" * 1_000_001, "the limit is 400,000"),
    ],
)
def test_what_is_no_policy_at_all_is_told_so(text: str, message: str) -> None:
    with pytest.raises(InvalidPolicy, match=message):
        Policy.parse(text)


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(InvalidPolicy) as error:
        Policy.parse(ROUTE + "  max_p59_ms: 1\n- intent: b\n  fallbak: x\n", source="my.yaml")
    first, *rest = str(error.value).splitlines()
    assert first == "my.yaml has 3 problems:"
    assert [line.strip()[:7] for line in rest] == ["line 5:", "line 6:", "line 7:"]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ("  ranking: latency\n", "ranking"),
        ("  rate_limit: 5\n", "rate and budget limits"),
        ("  max_budget: 5\n", "rate and budget limits"),
        ("  headers: {x: z}\n", "header triggers"),
        ("  outlier_detection: {}\n", "peer-outlier rules"),
        ("  breaker: {when: p95_ms > 2x baseline(7d)}\n", "relative thresholds"),
    ],
)
def test_what_version_1_leaves_out_is_refused_by_name(more: str, name: str) -> None:
    with pytest.raises(InvalidPolicy, match=f"{name} .*: not in version 1 of the policy language"):
        Policy.parse(ROUTE + more)


def the_route(more: str, *, fallback: str = "f", primary: str = "p") -> Route:
    return Policy.parse(f"routes:\n- intent: a\n  primary: {primary}\n  fallback: {fallback}\n{more}").routes[0]


def the_breaker(more: str) -> Breaker:
    breaker = the_route(f"  breaker: {{when: p95_ms > 9, {more}}}\n").breaker
    assert breaker is not None
    return breaker


def test_a_chain_ends_in_many_ways() -> None:
    route = the_route("", fallback="[{queue: 15m}, {model: f, only_for: [5xx, 408]}, {template: busy}, human]")
    assert route.fallback == (
        Entry("", kind="queue", queue_ms=900_000),
        Entry("f", only_for=("5xx", "408")),
        Entry("", kind="template", template="busy"),
        Entry("", kind="human"),
    )
    assert [entry.label for entry in route.chain] == ["p", "queue:15m", "f", "template:busy", "human"]
    assert the_route("", fallback="reject").fallback == (Entry("", kind="reject"),)
    assert the_route("", fallback="{queue: 90s}").fallback[0].label == "queue:90s"
    assert Policy(routes=(route,)).targets == ("p", "f")


def test_weights_are_kept_in_their_order_and_one_is_none() -> None:
    route = the_route("  max_p95_ms: 9\n", primary="{big: 90, new: 0.5}")
    assert (route.primary, route.weights, route.primaries) == ("big", (("big", 90.0), ("new", 0.5)), ("big", "new"))
    assert [entry.breaker for entry in route.chain] == [route.breaker, route.breaker, None]
    alone = the_route("", primary="{big: 3}")
    assert (alone.primary, alone.weights) == ("big", ())


def test_match_asks_for_what_is_known_at_arrival() -> None:
    route = the_route("  match: {channel: [chat, email], stream: true, tools_offered: 0, labels: {team: x, b.c: z}}\n")
    assert route.match == (
        ("channel", ("chat", "email")),
        ("stream", (True,)),
        ("tools_offered", (0,)),
        ("labels.team", ("x",)),
        ("labels.b.c", ("z",)),
    )
    known = {"channel": "chat", "stream": True, "tools_offered": 0, "labels.team": "x", "labels.b.c": "z"}
    assert route.fits(known)
    assert not any(
        route.fits(known | {key: value}) for key, value in (("stream", 1), ("tools_offered", False), ("channel", None))
    )
    assert not route.fits({})
    policy = Policy.parse("routes: [{intent: a, primary: p, match: {channel: chat}}, {intent: a, primary: q}]")
    assert policy.route_of("a", {"channel": "chat"}) is policy.routes[0]
    assert policy.route_of("a") is policy.route_of("a", {"channel": "x"}) is policy.routes[1]
    assert policy.warnings == ()


def test_s21_a_switch_by_hand_names_an_entry_and_has_a_zone() -> None:
    route = the_route(
        """  switch:
  - {from: 2026-10-05T16:03:00+02:00, until: "2026-10-05 14:30:00Z", to: f}
  - {from: 2026-10-05T14:30:00Z, to: {template: busy}}
""",
        fallback="[f, {template: busy}]",
    )
    first, second = datetime(2026, 10, 5, 14, 3, tzinfo=UTC), datetime(2026, 10, 5, 14, 30, tzinfo=UTC)
    assert route.switches == (Switch(first, second, "f"), Switch(second, None, "template:busy"))
    alone = the_route("  switch: {from: 2026-10-05T14:30:00Z, to: {queue: 900s}}\n", fallback="[f, {queue: 15m}]")
    assert alone.switches == (Switch(second, None, "queue:15m"),)


@pytest.mark.parametrize(
    ("more", "attributes"),
    [
        ("window: 1m tumbling", {"windows": (Window("tumbling", 60_000),)}),
        ("window: [1h, 5m]", {"windows": (Window("sliding", 3_600_000), Window("sliding", 300_000))}),
        ("window: [100 requests]", {"windows": (Window("count", 100),)}),
        ("scope: target", {"scope": "target"}),
        ("every: completion", {"every_ms": None}),
        ("every: 30s, no_data: breach", {"every_ms": 30_000, "no_data": "breach"}),
        ("observe: elapsed", {"observe": "elapsed"}),
        ("cooldown: {base: 90s}", {"cooldown_ms": 90_000, "cooldown_factor": 1, "cooldown_max_ms": None}),
        (
            "cooldown: {base: 60s, factor: 1.1, max: 10m}",
            {"cooldown_ms": 60_000, "cooldown_factor": Fraction(11, 10), "cooldown_max_ms": 600_000},
        ),
        ("half_open: {max_duration: 10m}", {"half_open": HalfOpen(max_duration_ms=600_000)}),
    ],
)
def test_what_a_breaker_may_say(more: str, attributes: dict[str, Any]) -> None:
    breaker = the_breaker(more)
    assert {name: getattr(breaker, name) for name in attributes} == attributes


def test_s15_a_cooldown_grows_up_to_its_end() -> None:
    growing = the_breaker("cooldown: {base: 60s, factor: 2, max: 3m}")
    assert [growing.rest_ms(reopened) for reopened in range(4)] == [60_000, 120_000, 180_000, 180_000]


def test_an_alert_and_what_it_leaves_unsaid() -> None:
    policy = Policy.parse(ALERT + "  breaker: {when: [p95_ms > 9, alert: refunds], half_open: {requests: 0}}\n")
    (alert,) = policy.alerts
    assert alert == Alert("refunds", Rule.parse("override_rate > 0.15"), intent=("a",))
    assert policy.alert("refunds") is alert
    assert (alert.matches("a"), alert.matches("b")) == (True, False)
    assert [str(one) for one in policy.implied if one.path.startswith("alerts")] == [
        "alerts[0].window: 5m",
        "alerts[0].min_requests: 20",
        "alerts[0].for: 0s",
        "alerts[0].keep_firing_for: 0s",
        "alerts[0].every: 60s",
        "alerts[0].errors: [5xx, 429, timeout]",
        "alerts[0].no_data: hold",
        "alerts[0].severity: page",
    ]
    everyone = Policy.parse("alerts: [{name: x, when: p95_ms > 9, every: 30s, severity: ticket}]\n" + ROUTE).alerts[0]
    assert (everyone.intent, everyone.every_ms, everyone.severity) == (("*",), 30_000, "ticket")
    with pytest.raises(NoSuchItem, match=r"no alert 'refund' \(did you mean 'refunds'\?\): there are refunds"):
        policy.alert("refund")


@pytest.mark.parametrize(
    ("chain", "more", "warning"),
    [
        ("[{model: f, only_for: [context_window]}, g]", "", "never taken: fallback_on names none of its classes"),
        ("[human, g, h]", "", "g, h is never reached: human ends every request"),
        ("{queue: 15m}", "  deadline_ms: 15000\n", "a hold of 15m outlasts deadline_ms (15000)"),
        ("f", "  deadline_ms: 900\n  max_p95_ms: 900\n", "deadline_ms (900) cuts calls before"),
        (
            "f",
            "  breaker: {when: tool_success_rate < 0.9}\n",
            "tool_success_rate is rarely known when the probes are in",
        ),
        ("f", "  breaker: {when: 'signal:x < 0.9'}\n", "signal:x is rarely known"),
    ],
)
def test_what_is_odd_is_warned_of(chain: str, more: str, warning: str) -> None:
    (found,) = Policy.parse(f"routes:\n- intent: a\n  primary: p\n  fallback: {chain}\n{more}").warnings
    assert warning in found


@pytest.mark.parametrize(
    ("chain", "more"),
    [
        ("[{model: f, only_for: [context_window]}, g]", "  fallback_on: [4xx]\n"),
        ("[{model: f, only_for: [4xx]}, g]", "  fallback_on: [429]\n"),
        ("[{template: t, only_for: [timeout]}, g]", ""),
        ("[human, g]", "  switch: [{from: 2026-10-05T14:30:00Z, to: g}]\n"),
        ("f", "  breaker: {when: tool_success_rate < 0.9, half_open: {when: p95_ms < 9}}\n"),
        ("f", "  breaker: {when: tool_success_rate < 0.9, half_open: {requests: 0}}\n"),
    ],
)
def test_what_makes_sense_is_not_warned_of(chain: str, more: str) -> None:
    assert Policy.parse(f"routes:\n- intent: a\n  primary: p\n  fallback: {chain}\n{more}").warnings == ()
