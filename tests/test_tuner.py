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
from incident_kit.policies.dials import dials, rules
from incident_kit.policies.policy import Policy, diff
from incident_kit.samples import sample
from incident_kit.scoring.scorecard import WITHHELD
from incident_kit.widgets.knobs import Knobs
from incident_kit.widgets.live import View, plain
from incident_kit.widgets.panels import LOADED, LOGGED, TUNED
from incident_kit.widgets.tuner import Tuner
from incident_kit.widgets.workbench import Workbench

DRAWS = 6
FIRST_DRAWS = 12  # that are shown before the others
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


@pytest.mark.slow
def test_its_scores_are_those_of_compare(incident: Incident, policy: Policy) -> None:
    bench = Workbench(incident, policy, during="impact", draws=DRAWS)
    found = bench.scored(bench.as_loaded, bench.drawn(bench.as_loaded))
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


def test_until_all_draws_are_there_a_range_says_so_and_settles_nothing(incident: Incident, policy: Policy) -> None:
    tuner = Tuner(incident, policy, draws=FIRST_DRAWS + 2)
    tuner.settle()
    tuner.turn(FIRST, 900)
    seen = []
    for show in tuner._steps():
        show()
        rows = tuner.view.patch["rows"]["scores"]
        seen.append(({row["range"][-4:] == " ..." for row in rows if row["range"]}, {row["verdict"] for row in rows}))
    assert seen[0] == ({True}, {""})
    assert seen[1][0] == {False}
    assert "" not in seen[1][1]


def test_what_a_turn_has_overtaken_is_not_shown(tuner: Tuner) -> None:
    tuner.settle()
    tuner.turn(FIRST, 900)
    assert list(tuner._steps(lambda: False)) == []
    assert tuner.scores["low"].null_count() == tuner.scores.height


def test_all_four_panels_follow(incident: Incident, policy: Policy) -> None:
    tuner = Tuner(incident, policy, draws=DRAWS, during=None)  # over the whole log there is enough to tell
    before = {name: list(rows) for name, rows in tuner.view.patch["rows"].items()}
    tuner.turn(FIRST, 700)
    after = tuner.view.patch["rows"]
    assert {name for name in before if before[name] != after[name]} == {"lines", "states", "scores", "points"}
    named = [[row for row in rows["points"] if row["kind"] in (LOADED, LOGGED)] for rows in (before, after)]
    assert named[0] == named[1], "only the tuned moves"
    assert {row["line"] for row in after["lines"]} == {TUNED}
    assert {row["line"] for row in tuner.view.rows["lines_still"]} == {LOGGED, LOADED}


def test_slider_and_box_show_one_number_and_either_turns(tuner: Tuner, policy: Policy) -> None:
    knob = tuner.knobs.knobs[FIRST]
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
    assert tuner.knobs.knobs[FIRST].slider.disabled
    tuner.reset()
    assert tuner.policy == policy
    tuner.undo()
    assert tuner.policy.routes[0].breaker is None
    tuner.knobs.switches["routes[0].breaker"].value = True
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


def test_it_says_what_the_verdict_rests_on(incident: Incident, tuner: Tuner) -> None:
    assert "worked out from similar requests" in tuner._verdict.value
    assert "unsaid" not in tuner._verdict.value
    route = "{intent: refund-policy, primary: primary_chat_model, fallback: fast_backup_model, max_p95_ms: 2000}"
    short = Tuner(incident, Policy.parse(f"routes: [{route}]"), draws=1)
    assert "unsaid, of refund-policy: window 5m, min_requests 20, cooldown 60s" in short._verdict.value


@pytest.mark.slow
def test_a_snapshot_has_a_slider_of_its_own_over_every_setting(tuner: Tuner) -> None:
    tuner.turn(FIRST, 900)
    chart = tuner.snapshot().to_dict()
    (bound,) = [one for one in chart["params"] if "bind" in one]
    assert (bound["value"], bound["bind"]["input"]) == (900, "range")
    settings = {row["setting"] for row in chart["datasets"]["scores"]}
    assert 900 in settings
    assert 6 <= len(settings) <= 14
    assert "working out" not in str(chart["datasets"])
    for value in settings:
        assert (value - bound["bind"]["min"]) % bound["bind"]["step"] == 0
        assert len([row for row in chart["datasets"]["scores"] if row["setting"] == value]) == tuner.scores.height
    picture = offline.svg(tuner.snapshot())
    assert picture.startswith("<svg ")
    assert "you are here" in picture
    assert "other settings" in picture


@pytest.mark.slow
def test_a_snapshot_s_scores_are_those_of_the_tuner_at_each_setting(tuner: Tuner) -> None:
    rows = tuner.snapshot().to_dict()["datasets"]["scores"]
    tuner.turn(FIRST, min(row["setting"] for row in rows))
    tuner.settle()
    here = [{name: value for name, value in row.items() if name != "setting"} for row in rows
            if row["setting"] == tuner.settings.values[FIRST]]  # fmt: skip
    assert here == tuner.view.patch["rows"]["scores"]


def test_an_interrupt_during_a_turn_changes_nothing_and_the_next_turn_is_right(
    tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from incident_kit.engine.books import Book

    tuner.turn(FIRST, 900)
    shown, entered = dict(tuner.view.patch), Book.enter

    def broken_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Book, "enter", broken_off)
    with pytest.raises(KeyboardInterrupt):
        tuner.turn(FIRST, 700)
    monkeypatch.setattr(Book, "enter", entered)
    assert (tuner.settings.values, tuner.view.patch) == ({FIRST: 900}, shown)
    assert tuner.knobs.knobs[FIRST].slider.value == 900
    assert "Interrupted" in tuner._said.value
    tuner.turn(FIRST, 700)
    fresh = Tuner(tuner.bench.incident, tuner.bench.loaded, draws=DRAWS)
    fresh.turn(FIRST, 700)
    assert tuner._replay.decisions.equals(fresh._replay.decisions)


def test_an_interrupt_while_ranges_are_worked_out_leaves_them_to_be_worked_out(
    tuner: Tuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from incident_kit.widgets.turns import Turns

    tuner.settle()
    wanted = tuner.scores
    tuner.turn(FIRST, 900)
    turn, seen = Turns.turn, []

    def broken_off(one: Turns, policy: Policy) -> None:
        seen.append(one)
        if len(seen) == DRAWS // 2:
            raise KeyboardInterrupt
        turn(one, policy)

    monkeypatch.setattr(Turns, "turn", broken_off)
    with pytest.raises(KeyboardInterrupt):
        tuner.settle()
    monkeypatch.setattr(Turns, "turn", turn)
    assert tuner.scores["low"].null_count() == tuner.scores.height
    tuner.undo()
    tuner.settle()
    assert tuner.scores.equals(wanted)


def test_a_page_that_goes_away_and_comes_back_finds_the_setting(tuner: Tuner) -> None:
    tuner.view.close()
    tuner.turn(FIRST, 900)
    tuner.settle()
    assert {"lines", "states", "scores", "points"} <= tuner.view.get_state()["patch"]["rows"].keys()
    assert tuner.knobs.knobs[FIRST].slider.get_state()["value"] == 900


def test_a_number_that_a_browser_adds_up_from_steps_is_no_turn(incident: Incident) -> None:
    share = "breaker: {when: error_rate > 0.1}"
    policy = Policy.parse(
        f"routes: [{{intent: '*', primary: primary_chat_model, fallback: fast_backup_model, {share}}}]"
    )
    tuner = Tuner(incident, policy, draws=1)
    knob = tuner.knobs.knobs["routes[0].breaker.when.error_rate"]
    knob.slider.value = 0.09999999999999999
    assert (knob.slider.value, knob.box.value, tuner.settings.before) == (0.1, 0.1, None)
    knob.slider.value = 0.12000000000000001
    assert (knob.box.value, tuner.settings.values) == (0.12, {knob.dial.path: 0.12})


def test_what_the_log_does_not_hold_is_not_what_quality_is_judged_by(tuner: Tuner) -> None:
    """The capture has no reviews of answers: an empty panel would read as nothing to see."""
    assert tuner.bench.named(tuner.bench.observed)["override_rate"] is None
    assert tuner.quality.metric == "tool_success_rate"
    assert "Tool calls that failed" in str(tuner.view.light)
    assert "rewrote" not in str(tuner.view.light)
    logged = [row["quality"] for row in tuner.view.rows["lines_still"] if row["line"] == LOGGED]
    assert any(value for value in logged if value)


def test_where_too_many_requests_cannot_be_told_no_number_is_shown(tuner: Tuner) -> None:
    tuner.turn(FIRST, 400)
    assert tuner.bench.shares(tuner._replay)["none"] > WITHHELD
    rows = {row["metric"]: row["tuned"] for row in tuner.view.patch["rows"]["scores"]}
    assert rows.pop("Share on fallback") != "cannot tell"
    assert set(rows.values()) == {"cannot tell"}
    (here,) = [row for row in tuner.view.patch["rows"]["points"] if row["kind"] == "you are here"]
    assert (here["wait_s"], here["quality"]) == (None, None)
    assert "too many" in tuner._verdict.value


def test_a_drag_is_undone_at_once_and_two_moves_one_by_one(tuner: Tuner) -> None:
    slider = tuner.knobs.knobs[FIRST].slider
    for value in (1000, 900, 800):
        slider.value = value
    tuner._moved = 0.0  # a while later
    slider.value = 700
    tuner.undo()
    assert tuner.settings.values == {FIRST: 800}
    tuner.undo()
    assert tuner.settings.values == {}


MANY = "".join(
    f"- {{intent: intent-{i}, primary: big, fallback: small,"
    " breaker: {when: {any: [p95_ms > 500, error_rate > 0.2]}, half_open: {when: p95_ms < 400}}}\n"
    for i in range(12)
)


def test_of_many_routes_those_looked_for_are_listed() -> None:
    policy = Policy.parse(f"routes:\n{MANY}")
    known = {one.path: one for one in dials(policy)}
    turned: list[float] = []
    knobs = Knobs(known, rules(policy), turned=lambda _, value: turned.append(value), switched=lambda *_: None)

    def listed() -> list[str]:
        return [said.split()[0] for said, _, group in knobs._groups if group.layout.display != "none"]

    assert len(knobs.knobs) == 36
    assert len(listed()) == 12
    knobs.sought.value = "Intent-1"
    assert listed() == ["intent-1", "intent-10", "intent-11"]
    knobs.sought.value = ""
    knobs.changed_only.value = True
    assert listed() == []
    assert knobs.none.value == "nothing fits"
    knobs.show({"routes[3].breaker.when.p95_ms": 600}, frozenset({"routes[7].breaker"}))
    assert listed() == ["intent-3", "intent-7"]
    assert turned == []


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


def test_a_snapshot_takes_no_range_back_that_was_there(
    incident: Incident, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incident_kit.widgets.tuner.FIRST", 2)

    async def cells() -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        tuner = Tuner(incident, policy, draws=DRAWS)
        tuner.turn(FIRST, 900)
        tuner.settle()
        before, seen = tuner.scores, []
        tuner.snapshot()
        tuner.view.observe(lambda _: seen.append(tuner.scores), "patch")
        assert tuner._work is not None
        await asyncio.wait_for(tuner._work, timeout=60)
        return before, [*seen, tuner.scores]

    before, later = asyncio.run(cells())
    assert [scores.equals(before) for scores in later] == [True] * len(later)
