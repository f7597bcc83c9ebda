"""The Tuner and its workbench: what a hand sees while it moves, and when it rests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from incident_kit import compare
from incident_kit.case import open_case
from incident_kit.charts import offline
from incident_kit.errors import InvalidPolicy, NoSuchItem, UnansweredQuestion
from incident_kit.incident import Incident
from incident_kit.live import View, plain
from incident_kit.panels import LOADED, LOGGED, TUNED
from incident_kit.policy import Policy, diff
from incident_kit.samples import sample
from incident_kit.tuner import Tuner
from incident_kit.workbench import Workbench

DRAWS = 6
FIRST = "routes[0].breaker.when.p95_ms"


@pytest.fixture(scope="module")
def incident() -> Incident:
    return open_case(sample(), in_memory=True)


@pytest.fixture(scope="module")
def policy(incident: Incident) -> Policy:
    return next(one for one in incident.policies if one.name == "per-intent")


@pytest.fixture
def tuner(incident: Incident, policy: Policy) -> Tuner:
    return Tuner(incident, policy, draws=DRAWS)


def test_its_scores_are_those_of_compare(incident: Incident, policy: Policy) -> None:
    bench = Workbench(incident, policy, during="impact", draws=DRAWS)
    found = bench.scored(bench.as_loaded, list(bench.drawn(bench.as_loaded)))
    names = [of.name for of in bench.metrics]
    board = compare(incident, {"it": policy}, during="impact", metrics=names, draws=DRAWS)
    wanted = board.table().filter(pl.col("policy") == "it")
    for column in ("observed", "estimate", "low", "high"):
        told, said = (frame[column].fill_null(np.nan).to_numpy() for frame in (found, wanted))
        np.testing.assert_allclose(told, said, rtol=1e-12)


def test_a_move_shows_the_point_and_no_range_until_the_hand_rests(tuner: Tuner) -> None:
    tuner.settle()
    assert tuner.scores["low"].null_count() < tuner.scores.height
    assert "working out" not in str(tuner.view.patch["rows"]["scores"])
    tuner.turn(FIRST, 900)
    assert tuner.scores["low"].null_count() == tuner.scores.height
    assert {row["range"] for row in tuner.view.patch["rows"]["scores"]} == {"working out ..."}
    assert {row["verdict"] for row in tuner.view.patch["rows"]["scores"]} == {""}
    tuner.settle()
    assert "working out" not in str(tuner.view.patch["rows"]["scores"])


def test_all_four_panels_follow(tuner: Tuner) -> None:
    before = {name: list(rows) for name, rows in tuner.view.patch["rows"].items()}
    tuner.turn(FIRST, 700)
    after = tuner.view.patch["rows"]
    assert {name for name in before if before[name] != after[name]} == {"lines", "states", "scores", "points"}
    for name, of in (("lines", "line"), ("states", "row"), ("points", "kind")):
        still = [row for row in before[name] if LOADED in str(row[of]) or row[of] == LOGGED]
        assert [row for row in after[name] if LOADED in str(row[of]) or row[of] == LOGGED] == still, (
            "only the tuned moves"
        )
    assert {row["line"] for row in after["lines"]} == {LOGGED, LOADED, TUNED}


def test_slider_and_box_show_one_number_and_either_turns(tuner: Tuner, policy: Policy) -> None:
    knob = tuner._boxes[FIRST]
    knob.slider.value = 800
    assert (knob.box.value, tuner.policy.routes[0].breaker.when.leaves[0].threshold) == (800, 800)  # type: ignore[union-attr]
    knob.box.value = 900
    assert knob.slider.value == 900
    assert [change.after for change in diff(policy, tuner.policy)] == ["p95_ms > 900"]


def test_undo_reset_and_switches(tuner: Tuner, policy: Policy) -> None:
    assert tuner._undo.disabled
    tuner.turn(FIRST, 900)
    tuner.turn(FIRST, 1100)
    tuner.undo()
    assert tuner.policy.routes[0].breaker.when.leaves[0].threshold == 900  # type: ignore[union-attr]
    tuner.switch("routes[0].breaker", on=False)
    assert tuner.policy.routes[0].breaker is None
    assert tuner._boxes[FIRST].slider.disabled
    tuner.reset()
    assert tuner.policy == policy
    tuner.undo()
    assert tuner.policy.routes[0].breaker is None
    tuner._switches["routes[0].breaker"].value = True
    assert tuner.policy.routes[0].breaker.when.leaves[0].threshold == 900  # type: ignore[union-attr]


def test_a_number_that_cannot_stand_is_said_and_nothing_moves(tuner: Tuner) -> None:
    before = tuner.policy
    tuner.turn(FIRST, -5)
    assert "p95_ms" in tuner._said.value
    assert tuner.policy == before


def test_saving_keeps_the_files_comments(tuner: Tuner, tmp_path: Path) -> None:
    tuner.turn(FIRST, 900)
    tuner.save(tmp_path / "tuned.yaml")
    assert Policy.load(tmp_path / "tuned.yaml") == tuner.policy
    original = (sample() / "policies" / "per-intent.yaml").read_text()
    assert [line for line in original.splitlines() if line.startswith("#")] == [
        line for line in (tmp_path / "tuned.yaml").read_text().splitlines() if line.startswith("#")
    ]


def test_it_says_what_the_verdict_rests_on(tuner: Tuner) -> None:
    assert "worked out from similar requests" in tuner._verdict.value
    assert "unsaid" in tuner._verdict.value


def test_a_snapshot_needs_no_kernel(tuner: Tuner) -> None:
    tuner.turn(FIRST, 900)
    picture = offline.svg(tuner.snapshot())
    assert picture.startswith("<svg ")
    assert "you are here" in picture
    assert "working out" not in picture
    assert "other settings" in picture


def test_in_a_kernel_the_ranges_follow_by_themselves_and_a_move_stops_them(incident: Incident, policy: Policy) -> None:
    async def hand() -> tuple[bool, bool]:
        tuner = Tuner(incident, policy, draws=DRAWS)
        tuner.turn(FIRST, 900)
        first = tuner._work
        tuner.turn(FIRST, 1000)
        assert first is not None
        assert tuner._work is not None
        await asyncio.wait_for(asyncio.shield(tuner._work), timeout=60)
        return first.cancelled(), "working out" in str(tuner.view.patch["rows"]["scores"])

    assert asyncio.run(hand()) == (True, False)


def test_what_cannot_be_tuned_says_why(incident: Incident) -> None:
    bare = Policy.parse("routes: [{intent: '*', primary: primary_chat_model}]")
    with pytest.raises(InvalidPolicy, match="no threshold to turn"):
        Tuner(incident, bare)
    guarded = Policy.parse("routes: [{intent: '*', primary: a, fallback: b, max_p95_ms: 5}]")
    with pytest.raises(UnansweredQuestion, match="no requests"):
        Tuner(Incident.create(), guarded)
    with pytest.raises(NoSuchItem, match="compare"):
        Workbench(incident, bare, metrics=["switches"])


def test_a_view_refuses_a_dataset_that_its_chart_has_not() -> None:
    import altair as alt

    view = View(alt.Chart(alt.NamedData("waits")).mark_point().encode(x="x:Q"), {"waits": pl.DataFrame({"x": [1.0]})})
    view.update(waits=pl.DataFrame({"x": [2.0, float("nan")]}))
    assert view.patch == {"number": 1, "rows": {"waits": [{"x": 2.0}, {"x": None}]}}
    with pytest.raises(NoSuchItem, match="no dataset 'wait'"):
        view.update(wait=pl.DataFrame({"x": [2.0]}))


def test_rows_are_what_json_can_hold() -> None:
    at = pl.Series(["2026-01-05T12:00:00.5Z"]).str.to_datetime(time_zone="UTC")
    frame = pl.DataFrame({"at": at, "kind": pl.Series(["a"], dtype=pl.Enum(["a"]))})
    assert plain(frame) == [{"at": 1767614400500, "kind": "a"}]
