"""The script of a simulated incident: what can be said, and what is refused, with its key."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_kit.errors import InvalidScenario
from incident_kit.samples import sample
from incident_kit.scenarios import scenario as module
from incident_kit.scenarios.scenario import Scenario, Spread, since
from incident_kit.stats.draws import log_normals, normals, poissons, sigma_of, uniforms

SMALL = """
start: 2026-10-05T12:00:00Z
duration: 1h
seed: 7
targets:
  big_model:
    latency_ms: {median: 900, p95: 2000}
    errors: {"503": 0.02}
  small_model: {latency_ms: {median: 500, p95: 1100}, malformed: 0.2, override: 0.2}
intents:
  refund-policy: {requested: big_model, per_minute: 12, tools: [lookup_order]}
degradations:
- {target: big_model, from: 20m, until: 2026-10-05T12:40:00Z, ramp: 5m, slow: 3, errors: {"503": 0.1}}
"""


def test_the_example_of_the_docstring_is_a_scenario() -> None:
    text = textwrap.dedent((module.__doc__ or "").split("the least is::")[1].split("What a target would do")[0])
    example = Scenario.parse(text)
    assert list(example.targets) == ["big_model", "small_model"]
    assert example.intents["refund-policy"].tools == ("lookup_order",)
    assert example.degradations[0].ramp == 300_000


def test_the_sample_is_one() -> None:
    script = Scenario.load(sample("outage") / "scenario.yaml")
    assert script.duration == 6 * 3_600_000
    assert script.file is not None
    assert set(script.intents) == {
        "refund-policy", "internal-agent-draft", "order-status", "billing-dispute", "small-talk",
    }  # fmt: skip


def test_moments_are_since_the_start_or_instants() -> None:
    one = Scenario.parse(SMALL).degradations[0]
    start = datetime(2026, 10, 5, 12, tzinfo=UTC)
    assert since(one.start, start) == 20 * 60 * 1_000_000
    assert since(one.until, start) == 40 * 60 * 1_000_000
    moved = Scenario.parse(SMALL.replace("2026-10-05T12:40:00Z", "2026-10-05T14:40:00+02:00"))
    assert moved == Scenario.parse(SMALL)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("per_minute: 12", "per_minut: 12", "intents.refund-policy.per_minut: there is no such key (did you mean 'per_minute'?)"),
        ("per_minute: 12", "per_minute: -1", "intents.refund-policy.per_minute"),
        ("requested: big_model", "requested: bigmodel", "there is no 'bigmodel' (did you mean 'big_model'?)"),
        ("target: big_model", "target: big", "degradations.0.target: there is no 'big'"),
        ("median: 900, p95: 2000", "median: 900, p95: 20", "targets.big_model.latency_ms: give p95"),
        ("median: 900, p95: 2000", "median: 900, p95: 2000, sigma: 1", "targets.big_model.latency_ms: give p95"),
        ("median: 900, p95: 2000", "p95: 2000", "targets.big_model.latency_ms.median: Field required"),
        ("from: 20m", "from: 20", "degradations.0.from: a duration needs a unit"),
        ("from: 20m", "from: 50m", "degradations.0: it ends before it begins"),
        ("from: 20m", "from: 2026-10-05T12:20:00", "has no zone"),
        ("duration: 1h", "duration: 0s", "duration: more than nothing"),
        ("duration: 1h", "duration: 300d", "at most 31 days"),
        ("start: 2026-10-05T12:00:00Z", "start: 2026-10-05", "start: write an instant with its zone"),
        ("start: 2026-10-05T12:00:00Z", "start: 2026-10-05T12:00:00", "start: write an instant with its zone"),
        ("start: 2026-10-05T12:00:00Z", "start: noon", "start:"),
        ("slow: 3", "slow: 0", "degradations.0.slow"),
        ('errors: {"503": 0.02}', 'errors: {"503": 2}', "targets.big_model.errors.503"),
        ('errors: {"503": 0.02}', "errors: {broken: 0.1}", "'broken' is no error class"),
        ('errors: {"503": 0.02}', "errors: {503: 0.1}", "line 8: a key is a plain word"),
        ("seed: 7", "zone: Europe/Berln", "there is no time zone 'Europe/Berln'"),
        ("seed: 7", "phases: [{kind: impct, at: 5m}]", "there is no phase 'impct' (did you mean 'impact'?)"),
        ("seed: 7", "seed: -7", "seed:"),
        ("targets:", "target:", "targets: Field required"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_key(old: str, new: str, said: str) -> None:
    assert old in SMALL
    with pytest.raises(InvalidScenario) as raised:
        Scenario.parse(SMALL.replace(old, new, 1), source="outage.yaml")
    assert said in str(raised.value)
    assert str(raised.value).startswith("outage.yaml")


def test_every_fault_is_named_at_once() -> None:
    text = SMALL.replace("per_minute: 12", "per_minute: -1").replace("slow: 3", "slow: -3")
    with pytest.raises(InvalidScenario, match=r"per_minute.*; degradations\.0\.slow"):
        Scenario.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "- a", "a: [", "x: &a 1\ny: *a", "start: 1\nstart: 2", "[" * 200, "yes: 1", "targets: {}", "\x00", "{}"],
)
def test_what_is_no_scenario_is_refused(text: str) -> None:
    with pytest.raises(InvalidScenario, match="the scenario"):
        Scenario.parse(text)


@given(st.text(alphabet="ab:{}[]-&*!|> \n\"'0.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(InvalidScenario):
        Scenario.parse(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match="cannot be read"):
        Scenario.load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidScenario, match="not UTF-8"):
        Scenario.load(tmp_path / "bytes.yaml")


def test_draws_depend_on_seed_name_and_position_only() -> None:
    u = uniforms(1, "latency", 0, size=1000)
    assert ((u > 0) & (u < 1)).all()
    assert (uniforms(1, "latency", 0, size=10) == u[:10]).all()
    others = [
        uniforms(2, "latency", 0, size=1000),
        uniforms(1, "latency", 1, size=1000),
        uniforms(1, "latenc", "y0", size=1000),
    ]
    for other in others:
        assert not (other == u).any()
        assert abs(np.corrcoef(u, other)[0, 1]) < 0.15
    # these are the numbers, on any machine
    assert uniforms(20261005, "a", size=2).tolist() == [0.8799773137303899, 0.8105070687002658]
    assert np.histogram(u, bins=4, range=(0, 1))[0].min() > 190


def test_draws_have_their_distributions() -> None:
    assert normals(np.array([0.5, 0.975])).tolist() == pytest.approx([0.0, 1.959964], abs=1e-6)
    spread = Spread(median=800, p95=1700)
    values = log_normals(uniforms(3, "x", size=40_000), spread.median, spread.width)
    assert np.quantile(values, 0.5) == pytest.approx(800, rel=0.02)
    assert np.quantile(values, 0.95) == pytest.approx(1700, rel=0.02)
    assert sigma_of(800, 800) == 0
    assert (log_normals(uniforms(3, "x", size=3), 5, 0.0) == 5).all()
    rate = np.repeat([0.0, 0.3, 40.0], 10_000)
    counts = poissons(uniforms(4, "x", size=30_000), rate).reshape(3, -1)
    assert counts.mean(axis=1).tolist() == pytest.approx([0, 0.3, 40], rel=0.03)
    assert counts.var(axis=1).tolist() == pytest.approx([0, 0.3, 40], rel=0.06)
    with pytest.raises(ValueError, match="smaller bins"):
        poissons(np.array([0.5]), np.array([501.0]))
