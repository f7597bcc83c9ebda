"""One limit at several settings: what a slider says, one setting at a time, and what it says where nothing is known."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import polars as pl
import pytest

from incident_kit import charts
from incident_kit.briefs import whatif as module
from incident_kit.briefs.whatif import likely, swept, whatif
from incident_kit.charts import offline
from incident_kit.errors import NoSuchItem
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.scoring.scorecard import compare

PATH = "refund.max_p95_ms"
TWO = """
routes:
- {intent: refund, primary: big, fallback: small, max_p95_ms: 3500}
- {intent: "*", primary: big, fallback: small, max_p95_ms: 8000}
"""


def grid(values: tuple[Any, ...] = (2000, 3500, 5000), *, current: Any = 3500, path: str = PATH) -> pl.DataFrame:
    """Return a sweep whose override rate grows with the limit; a limit of 2 s cannot be told."""
    rows = []
    for number, value in enumerate(values):
        for metric, scale in (("error_rate", 0.0), ("override_rate", 0.00002), ("p95_ms", 0.5)):
            estimate = None if value == 2000 else 100.0 * scale if isinstance(value, str) else value * scale
            ends = (None, None) if estimate is None else (0.9 * estimate, 1.1 * estimate)
            rows.append(
                {
                    "setting": number, "is_current": value == current, path: value, "intent": "all", "metric": metric, "n": 9,
                    "observed": 4000 * scale, "estimate": estimate, "low": ends[0], "high": ends[1],
                }
            )  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64})


def test_every_setting_is_a_sentence_beside_how_it_was() -> None:
    found = whatif(grid(), policy="mine")
    assert found is not None
    assert [step.name for step in found.steps] == ["2 s", "3.5 s", "5 s"]
    assert (found.current, found.steps[1].is_current) == (1, True)
    assert found.metrics == ("drafts that agents rewrote", "the slowest one in twenty waited over"), "what nobody met"
    assert found.steps[1].said == (
        "3.5 s, as it stands.\nDrafts that agents rewrote 7 % (6.3 to 7.7 %); as it was 8 %.\n"
        "The slowest one in twenty waited over 1.8 s (1.6 to 1.9 s); as it was 2 s."
    )
    assert found.steps[0].cells == ("these logs cannot tell", "these logs cannot tell")
    assert found.observed == ("8 %", "2 s")
    assert found.record == {}


def test_of_several_paths_the_first_is_turned_where_the_others_stand() -> None:
    parts = [
        grid().with_columns(pl.lit(other).alias("z.max_p95_ms"), is_current=pl.col("is_current") & (other == 7))
        for other in (6, 7)
    ]
    found = whatif(pl.concat(parts))
    assert found is not None
    assert [step.value for step in found.steps] == [2000, 3500, 5000]
    assert found.frame.height == 6


def test_a_policy_without_the_limit_has_no_current_setting() -> None:
    found = whatif(grid(current=None))
    assert found is not None
    assert found.current == 1
    assert not any(step.is_current for step in found.steps)


@pytest.mark.parametrize(
    "frame", [grid((3500,)), grid(("60s", "120s"), current="60s"), grid((2000,)), grid().head(0)], ids=str
)
def test_where_nothing_can_be_turned_there_is_no_slider(frame: pl.DataFrame) -> None:
    assert whatif(frame) is None


def test_a_frame_that_is_no_sweep_is_refused() -> None:
    with pytest.raises(NoSuchItem, match="no sweep"):
        whatif(pl.DataFrame({"a": [1]}))


def test_the_likely_limit_is_that_of_the_route_that_moved_the_most() -> None:
    policy = Policy.parse(TWO)
    (path,) = likely(policy, {"refund": 10, "*": 3})
    assert path.startswith("routes[0].")
    (values,) = likely(policy, {"*": 3}).values()
    assert 8000 in values
    assert values == sorted(values)
    assert (values[0], values[-1]) == (4000, 16000)
    assert all(isinstance(value, int) for value in values)
    timed = TWO.replace("max_p95_ms: 3500", "max_p95_ms: 3500, retry: {timeout_ms: 5000}")
    (values,) = likely(Policy.parse(timed), {"refund": 1}).values()
    assert max(values) < 5000, "what the policy refuses is not tried"
    no_waits = "routes: [{intent: a, primary: big, fallback: small, breaker: {when: error_rate > 0.5}}]"
    assert likely(Policy.parse(no_waits), {}) == {}


def test_a_policy_on_a_board_is_swept_as_the_board_is_scored(sample: Incident, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = sample.policies[0]
    board = compare(sample, [policy], during="impact", draws=3, seed=7)
    asked: dict[str, Any] = {}

    def swept_over(incident: Incident, of: Policy, paths: dict[str, list[float]], **options: Any) -> pl.DataFrame:
        asked.update(options, incident=incident, policy=of, paths=paths)
        (path,) = paths
        return grid(path=path).with_columns(intent=pl.lit("refund-policy"))

    monkeypatch.setattr(module, "sweep", swept_over)
    found = swept(sample, board, policy.name)
    assert found is not None
    assert (asked["incident"], asked["policy"], asked["during"]) == (sample, policy, board.during)
    assert (asked["by"], asked["draws"], asked["seed"]) == ("intent", 3, 7)
    assert asked["paths"] == likely(policy, {"refund-policy": 1})
    assert (found.policy, found.intent) == (policy.name, "refund-policy")
    assert found.record["grid"] == asked["paths"]
    assert (found.record["by"], found.record["draws"], found.record["seed"]) == ("intent", 3, 7)
    assert len(found.record["scores"]) == 9
    assert found.settings.columns[2].startswith("refund-policy.")
    assert json.loads(json.dumps(found.record)) == found.record


def test_the_setting_as_it_stands_has_the_scorecards_numbers(sample: Incident) -> None:
    policy = sample.policies[0]
    board = compare(sample, [policy], draws=3, seed=7)
    ((path, (value, *_)),) = likely(policy, {"order-status": 1}).items()
    found = swept(sample, board, policy.name, {path: [value]})
    assert found is not None
    drawn = found.frame.filter("is_current")
    scored = board.table(by=None if found.intent == "all" else "intent")
    both = drawn.join(scored.filter(policy=policy.name, intent=found.intent), on="metric")
    assert both["estimate"].count() >= 2
    assert (
        both.select("estimate", "low", "high").rows() == both.select("estimate_right", "low_right", "high_right").rows()
    )


@pytest.mark.parametrize("width", [700, 350])
def test_the_chart_has_a_panel_a_metric_and_says_what_is_estimated(width: int) -> None:
    found = whatif(grid())
    assert found is not None
    spec = charts.whatif(found.frame, path=PATH, width=width).to_dict()
    assert len(spec["vconcat"]) == 2
    assert spec["datasets"]["marker"] == [{"at": 3500.0}]
    said = "Switch refund when the slowest one in twenty waited over, seconds"
    assert f"{said}: from 2 s to 5 s (estimated)" in spec["description"]
    assert "at 2 s these logs cannot tell" in spec["description"]
    assert "grey: at 2 s these logs cannot tell" in str(spec)
    ticks = spec["vconcat"][-1]["layer"][0]["encoding"]["x"]["axis"]["values"]
    assert 3500 in ticks
    assert "as it was 8 %" in spec["description"]
    assert "(estimated)" in str(spec)
    assert "WARN" not in offline.svg(spec)


def test_the_chart_of_nothing_and_of_one_setting() -> None:
    found = whatif(grid())
    assert found is not None
    assert "no setting" in charts.whatif(found.frame.head(0), path=PATH).to_dict()["description"]
    one = charts.whatif(found.frame.filter(pl.col("value") == 3500), path=PATH)
    assert isinstance(one, alt.VConcatChart)
    assert offline.svg(one)
