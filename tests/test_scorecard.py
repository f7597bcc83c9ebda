"""Policies side by side: what is shown is the log's where it was seen, and says so where it was not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from written import START, TINY, Call, Request, write

from incident_kit.errors import InvalidCase, InvalidPolicy, NoSuchItem
from incident_kit.estimation.evidence import LABELS, nearest
from incident_kit.incident import Incident
from incident_kit.policies.baselines import always_fallback, always_primary, blind
from incident_kit.policies.policy import Policy
from incident_kit.policies.vocabulary import Kind, metric_of
from incident_kit.scoring.scorecard import DEFAULT_METRICS, TABLE, Board, compare
from incident_kit.scoring.scores import AS_LOGGED
from incident_kit.scoring.tallies import TALLIES
from incident_kit.scoring.windows import ALL

CHAT = Policy.parse(
    "{name: chat, routes: [{intent: chat, primary: big, fallback: small, on_fallback: {tools: disabled}}]}"
)
SHARES = [f"share_{label}" for label in LABELS]
METRICS = [*DEFAULT_METRICS, "mean_ms", "slow_rate(2000ms)", "p99.9_ms"]


def row(board: Board, policy: str, metric: str, **where: Any) -> dict[str, Any]:
    by = "intent" if where else None
    return board.table(by=by).filter(policy=policy, metric=metric, **where).row(0, named=True)


@pytest.fixture(scope="module")
def board(tiny: Incident) -> Board:
    policies = [CHAT, always_primary(CHAT), always_fallback(CHAT)]
    return compare(tiny, policies, metrics=METRICS, draws=0, estimator=nearest)


@pytest.fixture(scope="module")
def capture(sample: Incident) -> Board:
    first = sample.policies[0]
    assert sample.in_force is not None
    return compare(
        sample,
        [*sample.policies, always_primary(first), always_fallback(first), sample.in_force],
        metrics=METRICS,
        draws=8,
    )


def test_by_hand(board: Board) -> None:
    """The numbers of tests/test_outcomes.py."""
    logged, moved = row(board, AS_LOGGED, "mean_ms"), row(board, "always_primary", "mean_ms")
    assert (logged["estimate"], logged["bound_low"], logged["bound_high"], logged["observed"]) == (775, 775, 775, 775)
    assert (moved["estimate"], moved["bound_low"], moved["bound_high"], moved["observed"]) == (837.5, 750, 8250, 775)
    assert [moved[share] for share in SHARES] == [7 / 8, 0, 0, 1 / 8, 0]
    assert row(board, "always_fallback", "mean_ms")["estimate"] == 250
    assert logged["n"] == moved["n"] == 8


def test_by_intent_by_hand(board: Board) -> None:
    without = row(board, "always_fallback", "mean_ms", intent="(no intent)")
    assert (without["n"], without["estimate"], without["share_observed"]) == (1, 600, 1)
    chat = row(board, "always_fallback", "mean_ms", intent="chat")
    assert (chat["n"], chat["estimate"], chat["observed"]) == (7, 200, (6200 - 600) / 7)


def test_taken_tools_are_flagged(board: Board) -> None:
    flags = row(board, "always_fallback", "tool_success_rate")["flags"]
    differ = "tools differ: 88% answered without tools, judged by answers of other requests"
    assert flags == [differ, "beyond observed load: small"]
    assert row(board, "always_primary", "tool_success_rate")["flags"] == []


@pytest.mark.parametrize("by", [None, "intent"])
@pytest.mark.parametrize("name", ["board", "capture"])
def test_every_number_says_what_it_rests_on(request: pytest.FixtureRequest, name: str, by: str | None) -> None:
    table = request.getfixturevalue(name).table(by=by)
    assert table.schema == pl.Schema(TABLE)
    assert table.select(total=pl.sum_horizontal(SHARES))["total"].to_list() == pytest.approx([1] * table.height)
    bounded = table.drop_nulls(["estimate", "bound_low"])
    assert bounded.height
    assert (bounded["bound_low"] <= bounded["estimate"] + 1e-9).all()
    assert (bounded["estimate"] <= bounded["bound_high"] + 1e-9).all()


@pytest.mark.parametrize("by", [None, "intent"])
def test_as_logged_is_exact(capture: Board, by: str | None) -> None:
    logged = capture.table(by=by).filter(policy=AS_LOGGED)
    assert (logged["share_observed"] == 1).all()
    for one in logged.iter_rows(named=True):
        assert one["observed"] == one["estimate"]
        assert one["bound_low"] in {None, one["estimate"]}
        assert one["bound_high"] in {None, one["estimate"]}


def test_the_same_requests_are_scored_for_each_policy(capture: Board) -> None:
    counts = capture.table(by="intent").group_by("policy", "metric").agg(pl.col("n").sum())
    assert set(counts["n"]) == {3065}


def test_where_the_log_has_no_answer_there_is_no_number(capture: Board) -> None:
    overrides = capture.table().filter(metric="override_rate")
    assert overrides["estimate"].null_count() == overrides.height
    assert overrides["flags"].list.first().str.starts_with("not in this log: load what agents did").all()


def test_rows_that_the_log_cannot_tell_of_are_counted(sample: Incident, capture: Board) -> None:
    """blind sends drafts to a model that never drafted: nothing but its answers to others at that time can tell."""
    assert 0 < row(capture, "blind", "p95_ms", intent="internal-agent-draft")["share_none"] < 1
    blind_one = next(policy for policy in sample.policies if policy.name == "blind")
    untold = compare(sample, [blind_one], metrics=["p95_ms"], draws=0, estimator=nearest)
    drafts = row(untold, "blind", "p95_ms", intent="internal-agent-draft")
    assert drafts["estimate"] is None
    assert (drafts["share_none"], drafts["bound_low"], drafts["bound_high"]) == (1, 0, 60_000)
    assert any("cannot tell for 100% of the requests" in flag for flag in drafts["flags"])


def test_during_cuts_the_scoring_not_the_replay(tiny: Incident) -> None:
    """From r5 on; r6 to r8 are the policy's as in the whole log, although r3 tripped before."""
    policy = Policy.parse(
        "{name: p, routes: [{intent: chat, primary: big, fallback: small, breaker: {when: p95_ms > 1000, "
        "window: 10s, min_requests: 2, cooldown: 5s, half_open: {requests: 1}}}]}"
    )
    span = (START + timedelta(seconds=6), START + timedelta(seconds=10))
    board = compare(tiny, [policy], during=span, metrics=["mean_ms"], draws=0, estimator=nearest)
    assert row(board, "p", "mean_ms")["n"] == 2  # r5 and r6: the end is not in it
    assert row(board, "p", "mean_ms")["estimate"] == 200
    assert row(board, AS_LOGGED, "mean_ms")["estimate"] == (700 + 200) / 2


def test_during_a_phase(sample: Incident) -> None:
    board = compare(sample, {}, during="impact")
    assert board.during == sample.span("impact")
    inside = sample.requests().filter(pl.col("arrived_at").is_between(*sample.span("impact"), closed="left"))
    assert board.table()["n"].unique().to_list() == [inside.height] == [1466]


def assert_nothing(board: Board) -> None:
    table = board.table()
    assert table.schema == pl.Schema(TABLE)
    assert set(table["n"]) == {0}
    assert table.select("observed", "estimate", "bound_low", "bound_high").null_count().row(0) == (table.height,) * 4
    assert board.table(by="intent").is_empty()


def test_a_span_without_requests_has_no_numbers(tiny: Incident) -> None:
    later = START + timedelta(days=1)
    assert_nothing(compare(tiny, [CHAT], during=(later, later + timedelta(hours=1))))


def test_an_empty_incident_has_no_numbers() -> None:
    incident = Incident.create()
    incident.answers = {}
    assert_nothing(compare(incident, [blind("a", "b", max_p95_ms=9)]))


@pytest.mark.parametrize(
    ("span", "says"),
    [
        ((datetime(2026, 1, 5), START), "has no zone"),  # noqa: DTZ001 - that is the fault
        ((START, START - timedelta(1)), "before it begins"),
    ],
)
def test_a_span_that_is_none(tiny: Incident, span: tuple[datetime, datetime], says: str) -> None:
    with pytest.raises(InvalidCase, match=says):
        compare(tiny, [CHAT], during=span)


def test_names_that_would_hide_another(tiny: Incident) -> None:
    other = replace(always_primary(CHAT), name="chat")
    with pytest.raises(InvalidPolicy, match="two different policies are named 'chat'"):
        compare(tiny, [CHAT, other])
    with pytest.raises(InvalidPolicy, match="cannot be named 'as logged'"):
        compare(tiny, [replace(CHAT, name=AS_LOGGED)])
    assert list(compare(tiny, [CHAT, CHAT]).replays) == [AS_LOGGED, "chat"]
    assert list(compare(tiny, {"a": CHAT, "b": other}).replays) == [AS_LOGGED, "a", "b"]


def test_unknown_metrics_groups_and_phases(tiny: Incident) -> None:
    with pytest.raises(NoSuchItem, match="there is no metric 'p95'"):
        compare(tiny, [CHAT], metrics=["p95"])
    with pytest.raises(NoSuchItem, match="not by 'target'"):
        compare(tiny, [CHAT]).table(by="target")
    with pytest.raises(NoSuchItem, match="no phase 'mitigated'"):
        compare(tiny, [CHAT], during="mitigated")


def test_a_metric_asked_for_twice_is_there_once(tiny: Incident) -> None:
    assert compare(tiny, [], metrics=["p95_ms", "p95_ms"]).table().height == 1


WORDS = [
    "p50_ms", "p95_ms", "p99.9_ms", "mean_ms", "slow_rate(3500ms)", "p95_ttft_ms", "error_rate", "timeout_rate", "rate_429",
    "consecutive_errors", "tool_success_rate", "override_rate", "escalation_rate", "reopen_rate", "sla_breach_rate",
    "fallback_rate", "requests", "cost_per_request", "signal:csat", "served_share(small)", "share_no_model", *TALLIES,
]  # fmt: skip


def test_every_word_of_a_condition_can_be_scored(tmp_path: Path) -> None:
    """The vocabulary of POLICY.md, and what only a scorecard counts."""
    incident = Incident.create()
    incident.load(write(tmp_path, TINY))
    incident.store.run("insert into signals (name, known_at, value) values ('csat', '2026-01-05T09:00:03Z', 0.5)")
    incident.answers = {}
    assert {metric_of(name)[0] for name in WORDS[: WORDS.index("served_share(small)")]} | {"alert"} == set(
        get_args(Kind)
    )
    board = compare(incident, [CHAT], metrics=WORDS, draws=0, estimator=nearest)
    for by in (None, "intent"):
        table = board.table(by=by)
        assert set(table["metric"]) == set(WORDS)
        assert (table.group_by("policy", "intent").len()["len"] == len(WORDS)).all()
    with pytest.raises(NoSuchItem, match=r"no signal 'cast' .did you mean 'csat'.*loaded are csat"):
        compare(incident, [CHAT], metrics=["signal:cast"])


def test_what_no_log_holds_has_no_number_and_says_so(board: Board) -> None:
    found = compare(
        board.incident, [CHAT], metrics=["p95_ttft_ms", "escalation_rate"], draws=0, estimator=nearest
    ).table()
    assert found["estimate"].null_count() == found["observed"].null_count() == found.height
    flags = [one[0] for one in found["flags"].to_list()]
    assert flags[:2] == [
        "not in this log: it holds no times of first tokens", "not in this log: it holds no escalations of tickets",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    """99 requests of an intent that both targets answer and one of an intent that only the primary does; each a second apart."""
    requests = [
        Request(f"r{i:03}", 1000 * i, [Call("big" if i % 3 else "small", 500 + i, tool_calls=1, tool_errors=0)])
        for i in range(99)
    ]
    requests.append(Request("r099", 99_000, [Call("lone", 400, tool_calls=1, tool_errors=0)], intent="rare"))
    incident = Incident.create()
    incident.load(write(tmp_path_factory.mktemp("hundred"), requests))
    return incident


AWAY = Policy.parse(
    "{name: away, routes: [{intent: chat, primary: small}, {intent: rare, primary: gone, retry: {timeout_ms: 20000}}]}"
)


def test_a_few_requests_that_no_log_can_tell_of_widen_the_interval(hundred: Incident) -> None:
    """One in a hundred goes to a model that was never seen: it may have waited nothing, or its timeout, or failed."""
    names = ["mean_ms", "error_rate", "p50_ms", "tool_success_rate"]
    board = compare(hundred, [AWAY], metrics=names, draws=9)
    found = {one["metric"]: one for one in board.table().filter(policy="away").iter_rows(named=True)}
    assert found["mean_ms"]["share_none"] == 0.01
    drawn = board.values["away"][ALL, "mean_ms"]
    assert drawn[1] == pytest.approx(drawn[0] * 0.99)
    assert drawn[2] == pytest.approx(drawn[0] * 0.99 + 0.01 * 20_000)
    mean = found["mean_ms"]
    assert mean["low"] <= 0.99 * mean["estimate"]
    assert mean["high"] >= 0.99 * mean["estimate"] + 200
    assert mean["diff_high"] - mean["diff_low"] == pytest.approx(mean["high"] - mean["low"])
    assert (found["error_rate"]["low"], found["error_rate"]["estimate"]) == (0, pytest.approx(0, abs=0.05))
    assert found["error_rate"]["high"] >= 0.01
    for one in found.values():
        assert one["bound_low"] <= one["low"] <= one["estimate"] <= one["high"] <= one["bound_high"]
    assert any("cannot tell for 1% of the requests" in flag for flag in mean["flags"])


def test_many_of_them_leave_bounds_only(hundred: Incident) -> None:
    board = compare(hundred, [AWAY], metrics=["error_rate"], draws=9)
    rare = row(board, "away", "error_rate", intent="rare")
    assert (rare["estimate"], rare["low"], rare["bound_low"], rare["bound_high"]) == (None, None, 0, 1)
    by_intent = board.difference("away", AS_LOGGED, by="intent").filter(intent="rare")
    assert by_intent.select("estimate", "low", "high").row(0) == (None,) * 3


def test_healthy_is_all_time_outside_impacts(sample: Incident) -> None:
    both = [compare(sample, {}, during=one).table()["n"][0] for one in ("impact", "healthy", "all")]
    assert both[0] + both[1] == both[2] == 3065
