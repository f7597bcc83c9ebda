"""Files that mean harm or nothing: a clear error or a report with every row, never a stack trace, never an age."""

import json
import random
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from foreign import ALL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import incident_kit as ik
from incident_kit.errors import IncidentKitError, InvalidConfiguration
from incident_kit.gateways.command import convert_command, export_command
from incident_kit.gateways.foreign import leaves_of
from incident_kit.gateways.reading import read_text

MARKS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # a line break is ours
SOURCES = ["litellm", "portkey", "envoy", "resilience4j"]
words = st.sampled_from(
    [
        "model_list", "model_name", "litellm_params", "model_info", "router_settings", "litellm_settings", "fallbacks",
        "timeout", "num_retries", "cooldown_time", "allowed_fails", "retry_policy", "strategy", "mode", "fallback",
        "loadbalance", "conditional", "targets", "conditions", "query", "then", "default", "name", "retry", "attempts",
        "cb_config", "failure_threshold", "weight", "outlier_detection", "interval", "consecutive_5xx", "clusters",
        "resilience4j", "circuitbreaker", "instances", "configs", "slidingWindowSize", "baseConfig", "a", "b",
    ]
)  # fmt: skip
scalars = st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats(width=16) | words | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def attempted(text: str, **options: Any) -> None:
    """Convert a text, or be refused by an error of the kit; any other error is the test's failure."""
    try:
        said = str(ik.convert(text, **options))
    except IncidentKitError as error:
        said = str(error)
    assert said
    assert not MARKS.search(said)


@given(st.dictionaries(words, values, max_size=4), st.sampled_from([None, *SOURCES]))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_any_mapping_is_converted_or_refused_in_a_sentence(tree: dict[str, Any], source: str | None) -> None:
    attempted(json.dumps(tree), source=source)


@given(st.text(max_size=60), st.sampled_from([None, *SOURCES]))
@settings(deadline=None, max_examples=60)
def test_any_text_is_converted_or_refused_in_a_sentence(text: str, source: str | None) -> None:
    attempted(text + "\n", source=source)


@pytest.mark.parametrize("name", ALL)
def test_a_good_file_with_any_value_changed(name: str) -> None:
    """Every leaf in turn is replaced by what does not belong there."""
    tree = read_text(ALL[name], source="x").plain()
    paths = [steps for steps, _ in leaves_of(read_text(ALL[name], source="x"))]
    odd: list[Any] = [None, -1, 10**30, "x", [], {}, [{"a": 1}], {"b": [2]}, True, 0.5, "\u202e\x07"]
    draw = random.Random(7)  # noqa: S311 - which value stands where, alike in every run
    for steps in paths:
        changed = json.loads(json.dumps(tree))
        place = changed
        for step in steps[:-1]:
            place = place[step]
        place[steps[-1]] = draw.choice(odd)
        attempted(json.dumps(changed), source=name)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 5000,
        "{" * 5000,
        '{"a":' * 5000,
        "a: " + "{a: " * 60 + "1" + "}" * 60,
        "".join(f"{'  ' * i}a:\n" for i in range(60)) + "  " * 60 + "b: 1\n",
        "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\n"
        + "".join(
            f"{chr(101 + i)}: &{chr(101 + i)} [{', '.join([f'*{chr(100 + i)}'] * 9)}]\n" for i in range(-1, 9) if i >= 0
        ).replace("*d", "*c"),
        "a: &a {b: *a}\n",
        "<<: [1, 2]\n",
        "? [a, b]\n: c\n",
        "a: 0x" + "f" * 400 + "\n",
        "a: " + "9" * 400 + "\n",
        "a: 1e999999\n",
        "%YAML 9.9\n---\na: 1\n",
        "a: *nothing\n",
        "\x00\n",
        "a\tb: [\t\n",
        "x" * 1_100_000 + "\n",
    ],
)
def test_hostile_text_is_refused_soon(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InvalidConfiguration):
        ik.convert(text)
    assert time.perf_counter() - start < 5


def test_a_large_configuration_is_read_in_seconds() -> None:
    models = [{"model_name": f"m{i}", "litellm_params": {"model": "x", "timeout": i + 1}} for i in range(60)]
    fallbacks = [{f"m{i}": [f"m{(i + 1) % 300}"]} for i in range(60)]
    start = time.perf_counter()
    made = ik.convert(json.dumps({"model_list": models, "router_settings": {"fallbacks": fallbacks}}))
    assert len(made.policy.routes) == 60
    assert time.perf_counter() - start < 30
    with pytest.raises(InvalidConfiguration, match="at most 500 groups"):
        ik.convert(json.dumps({"model_list": [{"model_name": f"m{i}"} for i in range(501)]}))
    everywhere = {
        "model_list": [{"model_name": "a"}],
        "router_settings": {"default_fallbacks": [f"b{i}" for i in range(200)]},
    }
    with pytest.raises(InvalidConfiguration, match="less than 100"):
        ik.convert(json.dumps(everywhere))


def test_commands_write_what_is_asked_and_say_what_was_lost(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(ALL["litellm"])
    policy, report = convert_command(tmp_path / "config.yaml")
    assert policy.startswith("version: 1\nname: config\n")
    assert report.startswith("LiteLLM, config.yaml: ")
    said, _ = convert_command(tmp_path / "config.yaml", source="litellm", out=tmp_path / "policy.yaml")
    assert said == f"wrote {tmp_path / 'policy.yaml'}"
    assert (tmp_path / "policy.yaml").read_text() == policy
    text, report = export_command(tmp_path / "policy.yaml", to="litellm", out=None)
    assert "model_list:" in text
    assert report.startswith("config as LiteLLM config.yaml: ")
    with pytest.raises(IncidentKitError, match="cannot be written"):
        export_command(tmp_path / "policy.yaml", to="prometheus", out=tmp_path / "none" / "rules.yml")
    (tmp_path / "envoy.yaml").write_text(ALL["envoy"])
    assert "reject" in convert_command(tmp_path / "envoy.yaml", fallback=["reject"])[0]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on this machine")
def test_prometheus_itself_accepts_the_rules(tmp_path: Path) -> None:
    from test_gateways_prometheus import exported

    when = {"at_least": 2, "of": ["p95_ms > 3500", "error_rate > 0.1", "slow_rate(5s) > 0.1", "override_rate > 0.2"]}
    _, made = exported({"name": 'a"} {{ $value }}', "when": when, "intent": ['x"y', "b.*"], "severity": "{{x}}"})
    made.save(tmp_path / "rules.yml")
    done = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
