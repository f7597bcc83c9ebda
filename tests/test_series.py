"""What happened over time, against the capture read a second time in plain Python."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import plainly
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from written import START, Call, Request, fill

from incident_kit.estimation.evidence import nearest
from incident_kit.incident import Incident
from incident_kit.log import read
from incident_kit.policies.baselines import always_fallback
from incident_kit.policies.policy import Policy
from incident_kit.scoring.outcomes import outcomes
from incident_kit.scoring.replays import replay, replay_log
from incident_kit.scoring.series import COLUMNS, INTERVALS, series, series_of, step, with_missed
from incident_kit.store import Store


@pytest.mark.parametrize("seconds", [10, 60, 3600])
def test_the_capture_counted_twice(sample: Incident, seconds: int) -> None:
    bins: dict[int, list[plainly.Wait]] = defaultdict(list)
    for one in plainly.requests().values():
        bins[math.floor(one.at / seconds) * seconds].append(one)
    frame = sample.series(every=timedelta(seconds=seconds))
    assert frame["n"].sum() == 3065
    assert frame.height == (max(bins) - min(bins)) // seconds + 1
    for row in frame.iter_rows(named=True):
        inside = bins[round(row["at"].timestamp())]
        waits = [one.wait_ms for one in inside]
        known = [one for one in inside if one.is_fallback is not None]
        judged = [one for one in inside if one.tool_calls and one.tool_errors is not None]
        calls, errors = sum(one.tool_calls for one in judged), sum(one.tool_errors or 0 for one in judged)
        assert row["until"] - row["at"] == timedelta(seconds=seconds)
        assert row["n"] == len(inside)
        assert row["p50_wait_ms"] == plainly.nearest_rank(waits, "50")
        assert row["p95_wait_ms"] == plainly.nearest_rank(waits, "95")
        assert row["error_rate"] == pytest.approx(sum(not one.answered for one in inside) / len(inside))
        assert row["fallback_share"] == pytest.approx(sum(bool(one.is_fallback) for one in known) / len(known))
        assert row["tool_success_rate"] == (pytest.approx(1 - errors / calls) if calls else None)
        assert row["override_rate"] is None


def test_intervals_begin_at_round_times_and_leave_none_out(store: Store) -> None:
    fill(store, [Request("a", 7_000, [Call("big", 1)]), Request("b", 31_000, [Call("big", 3)])])
    frame = series(replay_log(read(store), Policy(routes=())).outcomes, every=timedelta(seconds=10))
    assert frame["at"].to_list() == [START + timedelta(seconds=s) for s in (0, 10, 20, 30)]
    assert frame["n"].to_list() == [1, 0, 0, 1]
    assert frame["p95_wait_ms"].to_list() == [1, None, None, 3]
    assert frame["fallback_share"].to_list() == [0, None, None, 0]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (timedelta(0), 1),
        (timedelta(minutes=1), 1),
        (timedelta(minutes=9), 10),
        (timedelta(hours=6), 600),
        (timedelta(days=9), 21600),
    ],
)
def test_about_sixty_round_intervals(span: timedelta, expected: int) -> None:
    outcomes = pl.DataFrame({"at": [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + span]})
    assert step(outcomes["at"]) == timedelta(seconds=expected)
    assert span / step(outcomes["at"]) <= INTERVALS


def test_nothing_and_one_request(store: Store) -> None:
    empty = replay_log(read(store), Policy(routes=())).outcomes
    assert series(empty).is_empty()
    assert series(empty).columns == ["at", "until", "n", *COLUMNS]
    fill(store, [Request("a", 0, [Call("big", 5)])])
    assert series(replay_log(read(store), Policy(routes=())).outcomes).height == 1


def test_of_a_replay_it_says_what_it_is(tiny: Incident) -> None:
    policy = Policy.parse("{name: p, routes: [{intent: chat, primary: big, fallback: small}]}")
    moved = replay(tiny, always_fallback(policy), estimator=nearest).series(every=timedelta(seconds=60))
    logged = tiny.as_logged.series(every=timedelta(seconds=60))
    shown: list[dict[str, Any]] = [frame.row(0, named=True) for frame in (moved, logged)]
    assert [row["evidence"] for row in shown] == ["estimated", "observed"]
    assert [row["policy"] for row in shown] == ["always_fallback", "as logged"]
    assert [row["p50_wait_ms"] for row in shown] == [200, 450]
    assert [row["fallback_share"] for row in shown] == [7 / 8, 1 / 7]


def test_part_by_part_it_is_the_same(sample: Incident, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy.parse("routes: [{intent: refund-policy, primary: primary_chat_model, fallback: fast_backup_model}]")
    moved = replay(sample, always_fallback(policy), estimator=nearest)
    logged = replay(sample, Policy(routes=()), estimator=nearest)
    for one in (moved, logged):
        expected = series(outcomes(one))
        with monkeypatch.context() as patched:
            patched.setattr("incident_kit.scoring.series.PART", 1000)
            assert_frame_equal(series_of(one), expected)
        assert "outcomes" not in vars(one)
        assert_frame_equal(series_of(one), expected)


def test_decisions_are_written_without_being_kept(tiny: Incident, tmp_path: Path) -> None:
    done = replay(tiny, Policy(routes=()), estimator=nearest)
    written = pl.read_parquet(done.write_decisions(tmp_path / "decisions.parquet"))
    assert "decisions" not in vars(done)
    assert_frame_equal(written, done.decisions.with_columns(pl.col(pl.Enum).cast(pl.String)))


def test_missed_targets_lie_in_the_interval_in_which_they_fell_due() -> None:
    """Ends belong to the next interval, what lies outside all of them to none."""
    bins = pl.DataFrame({"at": [START, START + timedelta(minutes=1)]}).with_columns(
        until=pl.col("at") + timedelta(minutes=1)
    )
    at = pl.Series([START + timedelta(seconds=s) for s in (-1, 0, 59, 60, 61, 120)] + [None])
    assert with_missed(bins, at)["missed_targets"].to_list() == [2, 2]
    assert with_missed(bins, at.clear())["missed_targets"].to_list() == [0, 0]
