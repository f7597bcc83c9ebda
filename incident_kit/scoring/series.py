"""Series: outcomes over time, one row an interval."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from incident_kit.scoring.metrics import metric

STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
INTERVALS = 60  # about as many as a chart can show
COLUMNS = {
    "p50_wait_ms": "p50_ms",
    "p95_wait_ms": "p95_ms",
    "error_rate": "error_rate",
    "tool_success_rate": "tool_success_rate",
    "override_rate": "override_rate",
    "fallback_share": "fallback_rate",
}


def step(outcomes: pl.DataFrame) -> timedelta:
    """Return the round interval that cuts a log into about sixty."""
    if outcomes.height < 2:
        return timedelta(seconds=STEPS_S[0])
    span = (outcomes["at"].max() - outcomes["at"].min()).total_seconds()  # type: ignore[operator, union-attr]
    return timedelta(seconds=next((s for s in STEPS_S if span / s <= INTERVALS), STEPS_S[-1]))


def series(outcomes: pl.DataFrame, *, every: timedelta | None = None) -> pl.DataFrame:
    """Return one row an interval of ``every``, from the first request to the last, empty intervals included.

    Columns: at, until, n, p50_wait_ms, p95_wait_ms, error_rate, tool_success_rate, override_rate, fallback_share. Intervals
    begin at multiples of ``every`` from the Unix epoch (UTC).
    """
    every = every or step(outcomes)
    binned = outcomes.with_columns(pl.col("at").dt.truncate(every))
    found = binned.group_by("at").agg(
        pl.len().cast(pl.Int64).alias("n"), *(metric(name).value.alias(column) for column, name in COLUMNS.items())
    )
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
