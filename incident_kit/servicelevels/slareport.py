"""SLA report: what a help desk recorded beside what its own records give, and why they may differ."""

from __future__ import annotations

import polars as pl

MINUTE_S = 60.0


def compared(instances: pl.DataFrame) -> pl.DataFrame:
    """Return one row a metric, recorded verdict, recomputed verdict and reason, those that differ first.

    Columns: metric, recorded, recomputed, why (NULL where they agree), instances, example (a ticket).
    """
    recorded = (
        pl.when(pl.col("recorded_outcome") == "cancelled").then(pl.lit("cancelled"))
        .when("recorded_breached").then(pl.lit("breached"))
        .when(pl.col("recorded_outcome") == "active").then(pl.lit("active"))
        .when(~pl.col("recorded_breached")).then(pl.lit("met"))
        .otherwise(pl.lit("not recorded"))
    )  # fmt: skip
    return (
        instances.with_columns(recorded=recorded)
        .with_columns(why=_why())
        .group_by("metric", "recorded", pl.col("verdict").alias("recomputed"), "why")
        .agg(pl.len().alias("instances"), pl.col("ticket_id").min().alias("example"))
        .sort(
            pl.col("why").is_null(), -pl.col("instances").cast(pl.Int64), "metric", "recorded", "recomputed", "why",
        )
    )  # fmt: skip


def _why() -> pl.Expr:
    recorded, found = pl.col("recorded"), pl.col("verdict")
    equal = (recorded == found) | ((recorded == "active") & (found == "met")) | (recorded == "not recorded")
    elapsed_differs = (pl.col("recorded_elapsed_s") - pl.col("elapsed_s")).abs() > MINUTE_S
    late = pl.col("elapsed_s") > pl.col("target_s")
    return (
        pl.when(found == "cannot be recomputed").then("reason")
        .when(equal).then(None)
        .when(found == "too close to call").then(pl.lit("the margin is smaller than the times are exact"))
        .when(found == "cancelled").then(pl.lit("the ticket was merged or deleted, or another target took its place"))
        .when((found == "breached") & pl.col("stopped_at").is_null() & (pl.col("basis") != "elapsed"))
        .then(pl.lit("it was past its due time at the export, and not yet marked: a desk may mark a breach late"))
        .when((pl.col("basis") == "due") & (found == "breached"))
        .then(pl.lit("it ended after its recorded due time: unless pauses moved that, the recorded verdict is wrong"))
        .when(pl.col("basis") == "due").then(pl.lit("it ended before its recorded due time"))
        .when((found == "breached") & (pl.col("breached_at") > pl.col("due_at")))
        .then(pl.lit("a target that was applied later had been passed already"))
        .when((found == "breached") & ~late.fill_null(value=False))
        .then(pl.lit("an earlier target of the same clock was breached before it was replaced"))
        .when(elapsed_differs)
        .then(pl.lit("the time counted is not the recorded one: another schedule, pauses or holidays"))
        .when(pl.col("recorded_elapsed_s").is_not_null())
        .then(pl.lit("the recorded verdict does not follow from its own elapsed time and target"))
        .otherwise(pl.lit("the recorded verdict does not follow from its own times"))
    )  # fmt: skip
