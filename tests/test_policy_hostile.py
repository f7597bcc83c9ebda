"""Files that want to break the reader: each is a policy, or a clear error with its line, and soon."""

import functools
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from policies import policy_trees

from incident_kit.errors import IncidentKitError, InvalidPolicy
from incident_kit.policies.grammar import KEYS, OTHER_KEYS
from incident_kit.policies.policy import Policy, describe
from incident_kit.policies.policytree import item_of
from incident_kit.policies.policywriter import yaml_text

FULL = """\
version: 1
defaults: {retry: {attempts: 1, retry_on: [429, 5xx], timeout_ms: 8000}}
routes:
- intent: refund-policy
  match: {channel: [chat, email], labels.team: x}
  primary: {big: 90, "candidate": 10}
  fallback: [small, {model: long, only_for: [4xx]}, {queue: 15m}, human]
  max_p95_ms: 3500   # short
  disable_tools_on_fallback: true
  fallback_on: [timeout, 5xx, 429, tool_error]
  deadline_ms: 15000
  sticky: conversation
  switch:
  - {from: 2026-10-05T14:03:00Z, until: 2026-10-05T18:30:00+02:00, to: small}
- intent: "*"
  primary: big
  fallback:
  - {model: small, max_p95_ms: 900}
  - {template: busy}
  breaker:
    scope: target
    window: [1h, 5m tumbling, 100 requests]
    when: {at_least: 2, of: [p95_ms > 3500, {any: [error_rate > 20%, signal:csat < 3.5]}, {alert: refunds}]}
    every: 30s
    cooldown: {base: 60s, factor: 1.5, max: 10m}
    half_open: {requests: 5, share: 0.2, when: p95_ms < 3000, max_duration: 10m}
    no_data: breach
alerts:
- name: refunds
  intent: [refund-policy]
  window: 10m
  when: {all: [cost_per_request > 0.02, override_rate > 0.15]}
  keep_firing_for: 10m
  severity: page
"""


@functools.cache
def full() -> Policy:
    return Policy.parse(FULL)


def refused_or_read(make: Callable[[], Policy], *, from_file: bool = True) -> Policy | None:
    """Return the policy, or None after checking that its refusal is printable and names a line."""
    try:
        policy = make()
    except InvalidPolicy as error:
        text = str(error)
        assert all(line.isprintable() for line in text.split("\n"))
        assert len(text) < 20_000
        assert not from_file or re.search(r"\bline \d+: ", text)
        return None
    assert Policy.parse(policy.expand()) == policy
    describe(policy)
    return policy


def test_the_file_that_is_damaged_below_is_one() -> None:
    assert refused_or_read(lambda: Policy.parse(FULL)) is not None


@example("? a")
@example("&a [*a]")
@example("routes: !!set {a}")
@example("{" * 300)
@example("a: !!timestamp x")
@example("!!int x: 1")
@example("a\0b")
@example("\ud800")
@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60) | st.text(alphabet="routes:-intap \n\t[]{}&*!|>'\"%@`#,?1.~<=", max_size=80))
def test_random_text(text: str) -> None:
    refused_or_read(lambda: Policy.parse(text))


@settings(deadline=None, max_examples=120)
@given(st.integers(0, len(FULL) - 1), st.integers(0, 30), st.text(alphabet=" \n-:#{}[]'\"&*!a1%>.", max_size=3))
def test_a_damaged_file(at: int, length: int, put: str) -> None:
    refused_or_read(lambda: Policy.parse(FULL[:at] + put + FULL[at + length :]))


names = sorted(
    {key for section in KEYS.values() for key in section} | {key for keys in OTHER_KEYS.values() for key in keys}
)
keys = st.sampled_from(
    [*names, "any", "all", "at_least", "of", "alert", "base", "factor", "max", "labels", "human", "on", "4"]
)
texts = [
    *("p95_ms > 9", "error_rate > 5%", "signal:x > -1", "alert: a", "5m", "1m tumbling", "9 requests", "completion"),
    *("human", "reject", "x", "conversation", "timeout", "4xx", "breach", "target", "*", "1e9", "null", "~", "", " "),
    *(
        "2026-10-05T14:03:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "٣",
        "²",
        "\ud800",
        "\u202e",
        "a" * 300,
    ),
]
odd = st.sampled_from(texts)
numbers = st.integers() | st.floats() | st.sampled_from([2**63, 10**40, -(10**4000), 1e308, 5e-324, 0.1, True])
scalars = st.none() | st.booleans() | numbers | st.dates() | st.datetimes() | odd
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=14
)


def replaced(tree: Any, path: list[int], value: Any) -> Any:
    """Return a tree with the value at some place, chosen by numbers, replaced."""
    if not path or not tree or not isinstance(tree, dict | list):
        return value
    items = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree))
    at, inner = items[path[0] % len(items)]
    changed = [(key, replaced(inner, path[1:], value) if key == at else old) for key, old in items]
    return dict(changed) if isinstance(tree, dict) else [one for _, one in changed]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(policy_trees(), st.lists(st.integers(0, 20), min_size=1, max_size=6), trees)
def test_a_value_that_does_not_belong_there(tree: dict[str, Any], path: list[int], value: Any) -> None:
    changed = replaced(tree, path, value)
    if isinstance(changed, dict):
        refused_or_read(lambda: Policy.of_tree(item_of(changed)), from_file=False)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(policy_trees(), st.lists(st.integers(0, 20), min_size=1, max_size=6), trees)
def test_a_file_with_a_value_that_does_not_belong_there(tree: dict[str, Any], path: list[int], value: Any) -> None:
    try:
        text = yaml_text(replaced(tree, path, value))
    except ValueError:  # what YAML itself cannot write
        return
    refused_or_read(lambda: Policy.parse(text))


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(
        ["*.primary", "refund-policy.match.channel", "*.breaker.when", "*.breaker.when.p95_ms", "refunds.for"]
    )
    | st.sampled_from(
        ["refund-policy.switch", "refund-policy.fallback", "*.breaker.cooldown", "*.breaker.cooldown.max"]
    )
    | st.sampled_from(
        ["routes", "alerts", "routes[0]", "alerts[0].when.override_rate", "*.breaker.window", "*.fallback[1]"]
    )
    | st.lists(keys, max_size=4).map(".".join)
    | st.text(max_size=12),
    trees,
)
def test_a_value_set_by_its_path(path: str, value: Any) -> None:
    try:
        changed = full().with_value(path, value)
    except IncidentKitError:
        return
    assert Policy.parse(changed.expand()) == changed


ROUTE = "routes:\n- intent: a\n  primary: p\n  fallback: f\n"
BOMBS = {
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\nroutes: [*d]\n",
    "an alias of itself": ROUTE + "  note: &n [*n]\n",
    "merge keys": "x: &x {primary: p}\nroutes:\n- <<: *x\n  intent: a\n",
    "a tag": ROUTE + "  note: !!python/object/apply:os.system [ls]\n",
    "a binary": ROUTE + "  note: !!binary aGVsbG8=\n",
    "brackets": ROUTE + "  note: " + "[" * 5_000,
    "brackets with words": ROUTE + "  note: " + "[a, " * 3_000,
    "braces": ROUTE + "  note: " + "{a: " * 3_000,
    "dashes": ROUTE + "  note:\n    " + "- " * 7_000,
    "indentation": "".join(" " * depth + "a:\n" for depth in range(500)),
    "questions": "?\n" * 5_000,
    "many keys": ROUTE + "".join(f"  k{i}: 1\n" for i in range(2_000)),
    "a key many times": ROUTE + "  owner: x\n" * 2_000,
    "many conditions": ROUTE + f"  breaker: {{when: [{','.join(f'p95_ms > {i}' for i in range(2_000))}]}}\n",
    "deep conditions": ROUTE + "  breaker: {when: " + "{any: [" * 11 + "p95_ms > 1" + "]}" * 11 + "}\n",
    "many switches": ROUTE + "  switch:\n" + "  - {from: 2026-10-05T14:03:00Z, to: f}\n" * 400,
    "a long chain": f"routes:\n- intent: a\n  primary: p\n  fallback: [{','.join(f'm{i}' for i in range(2_000))}]\n",
    "many weights": f"routes:\n- intent: a\n  primary: {{{','.join(f'm{i}: 1' for i in range(1_500))}}}\n",
    "one alert twice": ROUTE + "alerts:\n" + "- {name: a, when: p95_ms > 3}\n" * 400,
    "a huge number": ROUTE + "  max_p95_ms: " + "9" * 100_000,
    "a huge number in quotes": ROUTE + f"  breaker: {{when: error_rate > 0.1, cooldown: '{'9' * 100_000}s'}}\n",
    "a huge limit": ROUTE + f"  breaker: {{when: p95_ms > {'9' * 100_000}}}\n",
    "not a number": ROUTE + "  breaker: {when: p95_ms > 9, half_open: {share: .nan}}\n",
    "infinity": ROUTE + "  breaker: {when: p95_ms > 9, cooldown: {base: 1s, factor: .inf}}\n",
    "a boolean key": ROUTE + "  off: 1\n",
    "a boolean among the weights": "routes:\n- intent: a\n  primary: {yes: 1, b: 2}\n",
    "blanks in a condition": ROUTE + "  breaker: {when: 'p95_ms" + " " * 100_000 + "> x'}\n",
    "two documents": ROUTE + "---\n" + ROUTE,
    "a directive": "%TAG ! tag:x,2000:\n---\n" + ROUTE,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_with_their_line_and_soon(text: str) -> None:
    begin = time.process_time()
    with pytest.raises(InvalidPolicy) as error:
        Policy.parse(text, source="my.yaml")
    assert time.process_time() - begin < 1
    assert re.search(r"\bline \d+: ", str(error.value))
    assert len(str(error.value)) < 20_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#" * 400_001, "the limit is 400,000"),
        (ROUTE + "  note: [" + "x," * 16_000 + "]", "more values than the 16,000"),
    ],
)
def test_what_is_too_large_is_not_even_read(text: str, message: str) -> None:
    begin = time.process_time()
    with pytest.raises(InvalidPolicy, match=message):
        Policy.parse(text)
    assert time.process_time() - begin < 0.2


def test_the_largest_files_are_read_soon() -> None:
    long = "routes:\n" + "".join(
        f"- {{intent: i{i}*, primary: p, fallback: [f, g], max_p95_ms: 9}}\n" for i in range(800)
    )
    prose = ROUTE + "  note: '" + "word " * 70_000 + "'\n"
    for text in (long, prose):
        begin = time.process_time()
        assert Policy.parse(text).routes
        assert time.process_time() - begin < 2


def test_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"

    @settings(deadline=None, max_examples=60)
    @given(st.binary(max_size=60))
    def load(content: bytes) -> None:
        path.write_bytes(content)
        with suppress(IncidentKitError):
            Policy.load(path)

    load()
