"""Sweeps: settings, their scores, and how they stop."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from written import Call, Request, fill

import incident_kit as ik
from incident_kit.errors import InvalidPolicy, InvalidSweep, NoSuchItem
from incident_kit.incident import Incident
from incident_kit.optimization import tuning
from incident_kit.optimization.tuning import sweep
from incident_kit.store import Store

POLICY = ik.Policy.parse(
    "routes: [{intent: chat, primary: big, fallback: small, max_p95_ms: 2000, "
    "breaker: {window: 10s, min_requests: 1, cooldown: 5s, half_open: {requests: 1}}}]"
)
LIMIT = "chat.max_p95_ms"


def test_a_sweep_is_the_comparison_of_each_setting(tiny: Incident) -> None:
    grid = sweep(tiny, POLICY, {LIMIT: [1000, 2000, 4000]}, metrics=["p95_ms", "fallback_rate"], draws=0)
    assert grid.columns[:5] == ["setting", "is_current", LIMIT, "intent", "metric"]
    assert grid.filter(metric="p95_ms").select("setting", "is_current", LIMIT).rows() == [
        (0, True, 2000), (1, False, 1000), (2, False, 4000),
    ]  # fmt: skip
    alone = ik.compare(tiny, [POLICY.with_value(LIMIT, 4000)], metrics=["p95_ms", "fallback_rate"], draws=0).table()
    alone = alone.filter(pl.col("policy") != "as logged")
    assert grid.filter(setting=2)["estimate"].to_list() == alone["estimate"].to_list()
    assert grid.filter(setting=2)["observed"].to_list() == alone["observed"].to_list()


def test_intervals_are_those_of_the_comparison(store: Store) -> None:
    """Common draws: a setting scored in another lot, or alone, has the same interval."""
    requests = [
        Request(f"r{i:02}", 1000 * i, [Call("big" if i % 3 else "small", 400 + 37 * i % 500)]) for i in range(60)
    ]
    log = Incident(fill(store, requests))
    log.answers = {}
    grid = sweep(log, POLICY, {LIMIT: [500, 600, 700, 800, 4000]}, metrics=["mean_ms"], draws=8, seed=3)
    alone = ik.compare(log, [POLICY.with_value(LIMIT, 500)], metrics=["mean_ms"], draws=8, seed=3).table()
    row = (
        alone.filter(pl.col("policy") != "as logged").select("estimate", "low", "high", "diff_low", "diff_high").row(0)
    )
    assert grid.filter(setting=1).select("estimate", "low", "high", "diff_low", "diff_high").row(0) == row
    assert grid.filter(pl.col("low") < pl.col("high")).height


def test_settings_that_are_more_than_one_lot(tiny: Incident) -> None:
    grid = sweep(tiny, POLICY, {LIMIT: range(500, 1100, 100)}, metrics=["fallback_rate"], draws=0)
    assert grid["setting"].to_list() == list(range(7))
    assert grid.schema[LIMIT] == pl.Int64


def test_every_combination_and_words(tiny: Incident) -> None:
    grid = sweep(
        tiny, POLICY, {LIMIT: [1000, 2000], "chat.breaker.cooldown": ["5s", "20s"]}, metrics=["p50_ms"], draws=0
    )
    assert grid.select(LIMIT, "chat.breaker.cooldown").rows() == [
        (2000, "5s"),
        (1000, "5s"),
        (1000, "20s"),
        (2000, "20s"),
    ]


def test_by_intent_and_during(tiny: Incident) -> None:
    grid = sweep(tiny, POLICY, {LIMIT: [1000]}, metrics=["p50_ms"], draws=0, by="intent")
    assert set(grid["intent"]) == {"chat", "(no intent)"}


def test_progress_stops_it(tiny: Incident) -> None:
    seen = []

    def progress(done: int, total: int) -> bool:
        seen.append((done, total))
        return done < 8

    grid = sweep(tiny, POLICY, {LIMIT: range(500, 1900, 100)}, metrics=["p50_ms"], draws=0, progress=progress)
    assert seen == [(4, 15), (8, 15)]
    assert grid["setting"].to_list() == list(range(8))


def test_all_is_checked_before_anything_is_replayed(tiny: Incident, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "compare", None)
    with pytest.raises(InvalidPolicy):
        sweep(tiny, POLICY, {"chat.breaker.cooldown": ["5s", "soon"]})
    with pytest.raises(NoSuchItem, match="leads nowhere"):
        sweep(tiny, POLICY, {"chart.max_p95_ms": [1]})
    with pytest.raises(NoSuchItem, match="a sweep needs a path"):
        sweep(tiny, POLICY, {LIMIT: []})
    with pytest.raises(InvalidPolicy, match="too many to replay"):
        sweep(tiny, POLICY, {LIMIT: range(1, 9000)})


def many_calls(store: Store) -> Incident:
    requests = [
        Request(f"r{i:02}", 1000 * i, [Call("big" if i % 3 else "small", 400 + 37 * i % 500)]) for i in range(60)
    ]
    found = Incident(fill(store, requests))
    found.answers = {}
    return found


GRID = {LIMIT: range(500, 1100, 50)}


@pytest.mark.parametrize("by", [None, "intent"])
def test_a_stopped_sweep_goes_on_to_the_same_table(store: Store, tmp_path: Path, by: str | None) -> None:
    incident, options = many_calls(store), {"metrics": ["mean_ms", "error_rate"], "draws": 4, "by": by}
    whole = sweep(incident, POLICY, GRID, **options)
    file = tmp_path / "grid.parquet"
    part = sweep(incident, POLICY, GRID, **options, resume=file, progress=lambda done, _: done < 8)
    assert part["setting"].unique(maintain_order=True).to_list() == list(range(8))
    assert pl.read_parquet(file).equals(part)
    seen: list[int] = []
    again = sweep(incident, POLICY, GRID, **options, resume=file, progress=lambda done, _: seen.append(done))
    assert seen == [12, 13]
    assert again.equals(whole)
    assert again.schema == whole.schema
    assert pl.read_parquet(file).equals(whole)
    assert [one.name for one in tmp_path.iterdir()] == ["grid.parquet"]


def test_interrupted_from_the_keyboard_what_is_done_is_kept(tiny: Incident) -> None:
    def interrupt(done: int, _: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    assert set(sweep(tiny, POLICY, GRID, metrics=["p50_ms"], draws=0, progress=interrupt)["setting"]) == set(range(8))


@pytest.mark.slow
def test_processes_give_the_same_table(store: Store) -> None:
    incident, options = many_calls(store), {"metrics": ["mean_ms", "error_rate"], "draws": 4}
    assert sweep(incident, POLICY, GRID, **options, jobs=2).equals(sweep(incident, POLICY, GRID, **options))


def test_another_sweep_does_not_go_on_in_the_file(tiny: Incident, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "grid.parquet"
    options = {"metrics": ["p50_ms"], "draws": 0, "resume": file}
    sweep(tiny, POLICY, {LIMIT: [1000]}, **options)
    other = POLICY.with_value("chat.breaker.min_requests", 2)
    for incident, policy, grid, changed, said in [
        (tiny, other, {LIMIT: [1000]}, {}, "its policy and grid differ|its policy differs"),
        (tiny, POLICY, {LIMIT: [1100]}, {}, "its grid differs"),
        (tiny, POLICY, {LIMIT: [1000]}, {"seed": 2}, "its options differs"),
        (many_calls(store), POLICY, {LIMIT: [1000]}, {}, "its incident differs"),
    ]:
        with pytest.raises(InvalidSweep, match=said):
            sweep(incident, policy, grid, **(options | changed))
    file.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidSweep, match="cannot be gone on with"):
        sweep(tiny, POLICY, {LIMIT: [1000]}, **options)
    sweep(tiny, POLICY, {LIMIT: [1000]}, metrics=["p50_ms"], draws=0).write_parquet(file)
    with pytest.raises(InvalidSweep, match="not written to be gone on with"):
        sweep(tiny, POLICY, {LIMIT: [1000]}, **options)
