"""Frontiers, on grids written by hand."""

from __future__ import annotations

import io
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import incident_kit as ik
from incident_kit import charts
from incident_kit.commandline import terminal_evidence
from incident_kit.errors import NoSuchItem
from incident_kit.optimization.frontiers import BESIDE, frontier

PATH = "chat.max_p95_ms"


def grid(
    points: list[tuple[float | None, float | None]], *, metrics: tuple[str, str] = ("p95_ms", "override_rate")
) -> pl.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "setting": i, "is_current": i == 0, PATH: 1000 + i, "intent": "all", "metric": name, "n": 9, "observed": 1.0,
            "estimate": value, "low": None if value is None else value * 0.9, "high": None if value is None else value * 1.1,
            "bound_low": None, "bound_high": None, "share_observed": 0.5, "share_none": 0.0, "flags": [],
        }
        for i, point in enumerate(points)
        for name, value in zip(metrics, point, strict=True)
    ]  # fmt: skip
    return pl.DataFrame(
        rows,
        schema_overrides={"estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64, "flags": pl.List(pl.String)},
    )


def test_on_paper() -> None:
    """3 is beaten by 1 and 2; 1 gains more over it; 0 and 4 are the same point, which nothing beats."""
    found = frontier(grid([(100, 0.5), (200, 0.1), (250, 0.3), (300, 0.4), (100, 0.5)]))
    assert found["on_frontier"].to_list() == [True, True, False, False, True]
    assert found["dominated_by"].to_list() == [None, None, 1, 1, None]
    assert found["reason"][3] == "setting 1 (chat.max_p95_ms 1001) is as good in all and better in one"
    assert found.columns[:3] == ["setting", "is_current", PATH]


def test_more_is_better_for_tools_and_where_it_is_said() -> None:
    points: list[tuple[float | None, float | None]] = [(100, 0.9), (100, 0.8)]
    assert frontier(grid(points, metrics=("p95_ms", "tool_success_rate")), metrics=["p95_ms", "tool_success_rate"])[
        "dominated_by"
    ].to_list() == [None, 0]
    chosen = frontier(grid(points), better={"override_rate": "higher"})
    assert chosen["dominated_by"].to_list() == [None, 0]
    assert frontier(grid(points))["dominated_by"].to_list() == [1, None]


def test_what_cannot_be_told_is_on_no_frontier_and_beats_nothing() -> None:
    found = frontier(grid([(None, 0.1), (200, 0.2)]))
    assert found["on_frontier"].to_list() == [False, True]
    assert found["reason"][0] == "these logs cannot tell one of the metrics"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_no_frontier_setting_is_beaten_and_every_other_by_one_of_it(points: list[tuple[int, int]]) -> None:
    found = frontier(grid([(float(a), float(b)) for a, b in points]))
    for i, row in enumerate(found.iter_rows(named=True)):
        beats = [
            j for j, (a, b) in enumerate(points) if a <= points[i][0] and b <= points[i][1] and (a, b) != points[i]
        ]
        assert row["on_frontier"] == (not beats)
        if beats:
            assert row["dominated_by"] in beats
            assert found["on_frontier"][row["dominated_by"]]


def test_what_is_not_there() -> None:
    some = grid([(1, 1)])
    with pytest.raises(NoSuchItem, match="did you mean 'p95_ms'"):
        frontier(some, metrics=["p59_ms"])
    with pytest.raises(NoSuchItem, match="has no intent 'chat'"):
        frontier(some, intent="chat")
    both = pl.concat([some, some.with_columns(intent=pl.lit("chat"))])
    with pytest.raises(NoSuchItem, match="choose one"):
        frontier(both)
    assert frontier(both, intent="chat").height == 1


def test_the_columns_beside_the_paths_are_the_sweeps(tiny: ik.Incident) -> None:
    policy = ik.Policy.parse("routes: [{intent: chat, primary: big, fallback: small, max_p95_ms: 2000}]")
    swept = ik.sweep(tiny, policy, {PATH: [1000]}, metrics=["p50_ms", "fallback_rate"], draws=0)
    assert [name for name in swept.columns if name not in BESIDE] == [PATH]
    assert frontier(swept, metrics=["p50_ms", "fallback_rate"]).height == 2


def test_drawn() -> None:
    found = frontier(grid([(300, 0.4), (200, 0.1), (100, 0.5)]))
    chart = charts.frontier(found).to_dict()
    assert chart["description"] == (
        "3 settings by p95 wait and Override rate; 2 of them no other beats. The policy as it stands (300 ms, 40 %) is not: "
        "setting 1 (chat.max_p95_ms 1001) is as good in all and better in one."
    )
    assert "you are here" in json.dumps(chart["datasets"])
    one = charts.frontier(frontier(grid([(1, 1)]))).to_dict()
    assert one["description"].endswith("is one of them.")
    assert "Nothing to draw" in charts.frontier(found.clear()).to_dict()["description"]


def test_told_in_the_terminal() -> None:
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(terminal_evidence.frontier(frontier(grid([(300, 0.4), (200, 0.1), (100, 0.5)]))))
    said = console.export_text()
    assert "you are here, but setting 1" in said
    assert "1 of 3 settings are beaten by another." in said
