"""Series: outcomes over time, one row an interval."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from incident_kit.scoring.decisions import instants
from incident_kit.scoring.metrics import metric
from incident_kit.scoring.outcomes import Part, outcomes_of

if TYPE_CHECKING:
    from incident_kit.scoring.replays import Replay

STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
PART = 1_000_000  # requests whose outcomes are in memory at a time
INTERVALS = 60  # about as many as a chart can show
COLUMNS = {
    "p50_wait_ms": "p50_ms",
    "p95_wait_ms": "p95_ms",
    "error_rate": "error_rate",
    "tool_success_rate": "tool_success_rate",
    "override_rate": "override_rate",
    "fallback_share": "fallback_rate",
}


def step(at: pl.Series) -> timedelta:
    """Return the round interval that cuts the instants of a log into about sixty."""
    if len(at) < 2:
        return timedelta(seconds=STEPS_S[0])
    span = (at.max() - at.min()).total_seconds()  # type: ignore[operator, union-attr]
    return timedelta(seconds=next((s for s in STEPS_S if span / s <= INTERVALS), STEPS_S[-1]))


def series(outcomes: pl.DataFrame, *, every: timedelta | None = None) -> pl.DataFrame:
    """Return one row an interval of ``every``, from the first request to the last, empty intervals included.

    Columns: at, until, n, p50_wait_ms, p95_wait_ms, error_rate, tool_success_rate, override_rate, fallback_share. Intervals
    begin at multiples of ``every`` from the Unix epoch (UTC).
    """
    every = every or step(outcomes["at"])
    return _whole(_binned(outcomes, every), every)


def series_of(replay: Replay, *, every: timedelta | None = None) -> pl.DataFrame:
    """Return the same of a replay; of a long one part by part, so that never all of its outcomes are in memory."""
    arrived_us = replay.log.arrived_us
    if len(arrived_us) <= PART or "outcomes" in vars(replay):
        return series(replay.outcomes, every=every)
    every = every or step(instants(arrived_us))
    interval = arrived_us // (every // timedelta(microseconds=1))
    edges = [*np.unique(np.searchsorted(interval, interval[::PART])), len(interval)]
    parts = (outcomes_of(Part.of_rows(replay, np.arange(*edge))) for edge in pairwise(edges))
    return _whole(pl.concat([_binned(part, every) for part in parts]), every)


def _binned(outcomes: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Return one row an interval that has requests."""
    values = [metric(name).value.alias(column) for column, name in COLUMNS.items()]
    begin = outcomes.with_columns(pl.col("at").dt.truncate(every))
    return begin.group_by("at").agg(pl.len().cast(pl.Int64).alias("n"), *values)


def _whole(found: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Return the intervals in order, with the empty ones between them."""
    if found.is_empty():
        return found.with_columns((pl.col("at") + every).alias("until")).select("at", "until", "n", *COLUMNS)
    first, last = found["at"].min(), found["at"].max()
    grid = pl.DataFrame({"at": pl.datetime_range(first, last, every, eager=True)})  # type: ignore[arg-type]
    return grid.join(found, on="at", how="left", maintain_order="left").select(
        "at", (pl.col("at") + every).alias("until"), pl.col("n").fill_null(0), *COLUMNS
    )


def missed_at() -> pl.Expr:
    """Return when an SLA clock's target was missed: where it was due by the clock; where that cannot tell, as recorded."""
    recorded = pl.when("recorded_breached").then("recorded_due_at")
    told = pl.col("verdict") != "cannot be recomputed"
    return pl.when(told).then("breached_at").otherwise(recorded)


def with_missed(bins: pl.DataFrame, at: pl.Series) -> pl.DataFrame:
    """Return the intervals with how many of some instants lie in each, as ``missed_targets``."""
    ordered = at.drop_nulls().sort()
    begin, end = (ordered.search_sorted(bins[name]) for name in ("at", "until"))
    return bins.with_columns((end.cast(pl.Int64) - begin.cast(pl.Int64)).alias("missed_targets"))
