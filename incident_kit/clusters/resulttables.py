"""Result tables: a replay as one Arrow table, as a task of a cluster hands it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from incident_kit.scoring.replays import Replay

_KINDS = {  # how Arrow says what Spark takes
    pa.large_string(): pa.string(), pa.string_view(): pa.string(), pa.uint8(): pa.int16(), pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(), pa.uint64(): pa.int64(),
}  # fmt: skip


def results(replay: Replay) -> pa.Table:
    """Return a replay's decisions, transitions and totals in one table: each row has one of the three."""
    parts = {
        "decision": replay.decisions.drop("agreement"), "transition": replay.transitions, "total": totals(replay)
    }  # fmt: skip
    columns = {name: plain(frame).to_struct_array() for name, frame in parts.items()}
    return pa.concat_tables(
        pa.table(
            {other: column if other == name else pa.nulls(len(column), kind.type) for other, kind in columns.items()}
        )
        for name, column in columns.items()
    )


def totals(replay: Replay) -> pl.DataFrame:
    """Return one row a route and intent: requests, what became of them, and how far that is from the log.

    Waits are in milliseconds: their sum, how many are known, and the 95th percentile (nearest rank), replayed and as logged.
    """
    log = replay.log
    known = log.served >= 0
    frame = replay.decisions.select(
        pl.col("route", "action", "evidence", "error_class").cast(pl.String),
        pl.col("wait_ms", "same_as_log"),
        pl.Series("intent", [*log.intents, None], dtype=pl.String).gather(log.intent % (len(log.intents) + 1)),
        pl.Series("logged", known),
        pl.Series("alike", known & (replay.outcome.target == log.served)),
        pl.Series("logged_ms", np.where(log.wait_ms >= 0, log.wait_ms, np.nan)).fill_nan(None),
    )
    action, evidence = pl.col("action"), pl.col("evidence")
    counts = {
        "on_backup": action == "fallback", "as_logged": pl.col("same_as_log"), "answered_in_log": pl.col("logged"),
        "answered_alike": pl.col("alike"), "observed": evidence == "observed", "untold": evidence == "none",
        "failed": pl.col("error_class") != "ok", "wait_ms": pl.col("wait_ms"),
    }  # fmt: skip
    p95 = {
        name: pl.col(of).quantile(0.95, interpolation="equiprobable")
        for name, of in (("p95_ms", "wait_ms"), ("logged_p95_ms", "logged_ms"))
    }
    found = {"requests": pl.len()} | {name: of.sum() for name, of in counts.items()}
    found |= {"waits": pl.col("wait_ms").count()} | p95
    whole = [of.cast(pl.Int64).alias(name) for name, of in found.items()]
    return frame.group_by("route", "intent").agg(whole).sort("route", "intent")


def plain(frame: pl.DataFrame) -> pa.Table:
    """Return a frame in the types that every reader of Arrow takes: no categories, no unsigned numbers, no views."""
    table = frame.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String)).to_arrow()
    return table.cast(pa.schema([pa.field(one.name, _KINDS.get(one.type, one.type)) for one in table.schema]))
