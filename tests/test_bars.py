"""Limits for a check: what a file may say, what it must not, and when a value keeps to one."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_kit.errors import InvalidLimits
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.policygate.bars import Bar, default_bars, parse_bars, read_bars


@pytest.mark.parametrize(
    ("bar", "value", "in_force", "holds"),
    [
        ({"metric": "p95_ms", "max": 3500}, 3500.0, None, True),
        ({"metric": "p95_ms", "max": 3500}, 3501.0, None, False),
        ({"metric": "tool_success_rate", "min": 0.9}, 0.9, None, True),
        ({"metric": "tool_success_rate", "min": 0.9}, 0.89, None, False),
        ({"metric": "p95_ms", "no_worse_by": 0}, 3500.0, 3500.0, True),
        ({"metric": "p95_ms", "no_worse_by": 0}, 3501.0, 3500.0, False),
        ({"metric": "p95_ms", "no_worse_by": 100}, 3600.0, 3500.0, True),
        ({"metric": "p95_ms", "no_worse_by": 100}, 3601.0, 3500.0, False),
        ({"metric": "p95_ms", "no_worse_by": "10%"}, 3850.0, 3500.0, True),
        ({"metric": "p95_ms", "no_worse_by": "10 %"}, 3851.0, 3500.0, False),
        ({"metric": "tool_success_rate", "no_worse_by": 0.02}, 0.88, 0.9, True),
        ({"metric": "tool_success_rate", "no_worse_by": 0.02}, 0.87, 0.9, False),
        ({"metric": "tool_success_rate", "no_worse_by": 0}, 0.95, 0.9, True),
        ({"metric": "switches", "max": 0}, 1.0, None, False),
        ({"metric": "error_rate", "no_worse_by": 0}, 0.1 + 0.2, 0.3, True),
    ],
)
def test_when_a_value_keeps_to_it(bar: dict[str, Any], value: float, in_force: float | None, holds: object) -> None:
    excess = Bar(**bar).excess(value, in_force=in_force)
    assert bool(excess <= 0) is holds


@pytest.mark.parametrize(
    ("bar", "said"),
    [
        ({"metric": "p95_ms", "max": 3500}, "at most 3,500 ms"),
        ({"metric": "tool_success_rate", "min": 0.9}, "at least 90 %"),
        ({"metric": "p95_ms", "no_worse_by": 0}, "no worse than in force"),
        ({"metric": "p95_ms", "no_worse_by": "5%"}, "worse than in force by 5 % of its value at most"),
        ({"metric": "error_rate", "no_worse_by": 0.01}, "worse than in force by 1 point at most"),
        ({"metric": "switches", "max": 0}, "at most 0"),
        ({"metric": "signal:csat", "min": 4}, "at least 4"),
    ],
)
def test_in_words(bar: dict[str, Any], said: str) -> None:
    assert str(Bar(**bar)) == said


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(
        "limits:  # of our own\n- {metric: 'slow_rate(3500ms)', intent: refund, max: 0.1}\n"
        "- {metric: switches, phase: healthy, max: 0}\n- {metric: p99_ms, intent: each, no_worse_by: 5%}\n"
    )
    first, second, third = read_bars(file)
    assert (first.metric, first.intent, first.phase, first.max) == ("slow_rate(3500ms)", "refund", "impact", 0.1)
    assert (second.phase, third.intent, third.no_worse_by) == ("healthy", "each", "5%")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits: [{metric: p59ms, max: 1}]", r"limits\.0\.metric: there is no metric 'p59ms'"),
        ("limits: [{metric: p95_ms}]", "give one of max, min and no_worse_by, not none"),
        ("limits: [{metric: p95_ms, max: 1, min: 0}]", "not max and min"),
        ("limits: [{metric: p95_ms, maximum: 1}]", r"no key 'maximum'.*there are metric, intent, phase, max"),
        ("limits: [{metric: p95_ms, max: .nan}]", "no number that every YAML reader"),
        ("limits: [{metric: p95_ms, max: true}]", r"limits\.0\.max"),
        ("limits: [{metric: p95_ms, max: '5'}]", r"limits\.0\.max"),
        ("limits: [{metric: p95_ms, no_worse_by: much}]", "neither a number nor a percentage"),
        ("limits: [{metric: switches, intent: a, max: 1}]", "they have no intent"),
        ("limits: [{metric: 'signal:csat', no_worse_by: 1}]", "give max or min"),
        ("limits: [{metric: p95_ms, max: 1, is_default: true}]", "no key 'is_default'"),
        ("limits: []", "has no limits"),
        ("limit: [{metric: p95_ms, max: 1}]", "has no limits"),
        ("- p95_ms", "not a file of limits: it holds no `limits:`"),
        ("", "has no limits"),
        ("limits: [{metric: p95_ms, max: 1}]\nlimits: []", "line 2: .*limits"),
        ("limits: [{metric: p95_ms", "not YAML"),
        ("limits: [{metric: p95_ms, max: 1}]\nnote: x", "no key 'note'"),
        ("limits: [!!python/object/apply:os.system [ls]]", "tags are not used"),
    ],
)
def test_what_cannot_be_used_is_said(text: str, said: str) -> None:
    with pytest.raises(InvalidLimits, match=said):
        parse_bars(text)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidLimits, match="cannot be read"):
        read_bars(tmp_path / "none.yaml")
    with pytest.raises(InvalidLimits, match="cannot be read"):
        read_bars(tmp_path)
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidLimits, match="not text"):
        read_bars(tmp_path / "x.yaml")
    (tmp_path / "big.yaml").write_text("#" * 1_000_001)
    with pytest.raises(InvalidLimits, match="too large"):
        read_bars(tmp_path / "big.yaml")


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("p95_ms"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["metric", "max", "phase", "x"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(_ANY, st.text(max_size=40))
def test_whatever_it_holds_it_is_limits_or_a_clear_error(tree: Any, text: str) -> None:
    for one in (json.dumps({"limits": tree}), json.dumps({"limits": [tree]}), text, f"limits: {text}"):
        with contextlib.suppress(InvalidLimits):
            assert parse_bars(one)


def test_deep_nesting_is_no_work() -> None:
    with pytest.raises(InvalidLimits, match="nested too deeply to be a file of limits"):
        parse_bars("limits: " + "[" * 3000)


def test_defaults() -> None:
    policy = Policy.parse("routes: [{intent: chat, primary: big, fallback: small}]")
    bars = default_bars(Incident.create(), policy, has_in_force=True)
    assert [bar.metric for bar in bars] == ["p95_ms", "error_rate", "tool_success_rate", "override_rate", "switches"]
    assert {bar.phase for bar in bars} == {"all", "healthy"}, "without an impact, the whole log is compared"
    assert default_bars(Incident.create(), policy, has_in_force=False)[-1].max == 0
    person = Policy.parse("routes: [{intent: chat, primary: big, fallback: human}]")
    assert default_bars(Incident.create(), person, has_in_force=True)[-2].metric == "share_no_model"
