from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from incident_kit.errors import InvalidPolicy
from incident_kit.policy import Policy, describe, diff
from incident_kit.policytree import item_of
from incident_kit.policywriter import yaml_text

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

names = st.sampled_from(
    ["a", "b-*", "no", "on", "429", "1:30", "2026-10-05", "x: y", "#z", "é", "null", "~", "true", "0x1"]
)
texts = names | st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=5).filter(
    lambda word: word not in ("human", "reject")
)
durations = st.integers(1, 10_000_000).map(lambda ms: f"{ms}ms") | st.sampled_from(["30s", "5m", "1h30m"])
conditions = st.builds(
    "p{}_ms {} {}".format, st.integers(1, 99), st.sampled_from([">", ">=", "<", "<="]), st.integers(0, 9_000)
) | st.builds(
    "{} {} {}%".format,
    st.sampled_from(["error_rate", "slow_rate(2s)"]),
    st.sampled_from([">", "<"]),
    st.integers(1, 99),
)
groups = st.lists(conditions, min_size=1, max_size=3, unique=True)
rules = (
    conditions | groups | groups.map(lambda of: {"all": of}) | groups.map(lambda of: {"at_least": len(of), "of": of})
)
classes = st.lists(st.sampled_from(["5xx", "4xx", 429, "timeout", "tool_error"]), min_size=1, max_size=3)
half_opens = st.fixed_dictionaries(
    {},
    optional={
        "requests": st.integers(0, 9),
        "share": st.floats(0.01, 1).map(lambda x: round(x, 6)),
        "max_wait": durations,
        "when": rules,
    },
)
windows = durations | st.integers(1, 500).map(lambda n: f"{n} requests")
breakers = st.fixed_dictionaries(
    {"when": rules},
    optional={
        "window": windows,
        "min_requests": st.integers(1, 99),
        "for": durations,
        "errors": classes,
        "cooldown": durations,
        "half_open": half_opens,
    },
)
notes: dict[str, st.SearchStrategy[Any]] = {"owner": texts, "note": st.text(max_size=8), "decided": st.dates()}
routes = st.fixed_dictionaries(
    {"intent": texts | st.lists(texts, min_size=1, max_size=3), "primary": texts},
    optional={
        "fallback_on": classes,
        "retry": st.fixed_dictionaries(
            {}, optional={"attempts": st.integers(0, 3), "retry_on": classes, "timeout_ms": st.integers(10_000, 20_000)}
        ),
        "on_fallback": st.fixed_dictionaries(
            {}, optional={"tools": st.sampled_from(["enabled", "disabled"]), "max_tokens": st.integers(1, 999)}
        ),
        "breaker": breakers,
        **notes,
    },
)
fallbacks = st.lists(st.fixed_dictionaries({"model": texts}, optional={"breaker": breakers}), max_size=2)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    trees = draw(st.lists(routes, min_size=1, max_size=3))
    for tree in trees:
        entries = draw(fallbacks)
        models = [tree["primary"], *(entry["model"] for entry in entries)]
        if len(set(models)) == len(models):
            tree["fallback"] = entries
    top = draw(st.fixed_dictionaries({}, optional={"name": texts, "version": st.just(1), **notes}))
    return Policy.of_tree(item_of(top | {"routes": trees}))


@settings(deadline=None)
@given(policies())
def test_any_policy_equals_its_long_form_and_its_file(policy: Policy) -> None:
    long = Policy.parse(policy.expand())
    assert long == policy
    assert long.name == policy.name
    assert long.implied == ()
    assert not diff(policy, long)
    assert len(describe(policy).splitlines()) == len(policy.routes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(policies(), policies())
def test_a_policy_saved_over_another_file_is_read_back(tmp_path: Path, policy: Policy, other: Policy) -> None:
    edited = replace(other, text=policy.expand())
    edited.save(tmp_path / "saved.yaml")
    assert Policy.load(tmp_path / "saved.yaml") == other


def refused_or_read(make: Callable[[], Policy]) -> None:
    try:
        policy = make()
    except InvalidPolicy as error:
        assert all(line.isprintable() for line in str(error).split("\n"))  # noqa: PT017
    else:
        assert Policy.parse(policy.expand()) == policy


@example("? a")
@example("&a [*a]")
@example("routes: !!set {a}")
@example("{" * 300)
@example("a: !!timestamp x")
@example("!!int x: 1")
@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60) | st.text(alphabet="routes:-intap \n\t[]{}&*!|>'\"%@`#,?1.~<=", max_size=80))
def test_random_text_is_refused_not_crashed_on(text: str) -> None:
    refused_or_read(lambda: Policy.parse(text))


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(FOUNDING) - 1), st.integers(0, 30), st.text(alphabet=" \n-:#{}[]'\"&*!a1%", max_size=3))
def test_a_damaged_file_is_refused_not_crashed_on(at: int, length: int, put: str) -> None:
    refused_or_read(lambda: Policy.parse(FOUNDING[:at] + put + FOUNDING[at + length :]))


words = st.sampled_from(
    [
        "routes",
        "defaults",
        "intent",
        "primary",
        "fallback",
        "max_p95_ms",
        "retry",
        "breaker",
        "when",
        "window",
        "half_open",
        "any",
        "of",
        "at_least",
        "cooldown",
        "disable_tools_on_fallback",
        "on_fallback",
        "model",
        "name",
        "errors",
        "version",
        "fallback_on",
        "queue",
    ]
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.dates() | texts | conditions | durations
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4), max_leaves=14
)


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(words, trees, max_size=4)
    | st.fixed_dictionaries({"routes": st.lists(st.dictionaries(words, trees, max_size=6), max_size=2)})
)
def test_random_trees_are_refused_not_crashed_on(tree: dict[str, Any]) -> None:
    refused_or_read(lambda: Policy.parse(yaml_text(tree)))
    refused_or_read(lambda: Policy.of_tree(item_of(tree)))
