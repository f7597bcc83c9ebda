"""Pack layout: how a pack's tables are made small without losing a bit, and made whole again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

NANO = 1_000_000_000
# what an attempt says that its request mostly says too
SHARED = {
    "sent_at": "arrived_at", "latency_ms": "wait_ms", "target": "served", "status": "status", "error_class": "error_class",
    "prompt_tokens": "prompt_tokens", "completion_tokens": "completion_tokens", "cost_nano": "cost_nano", "cost_usd": "cost_usd",
    "tools_offered": "tools_offered", "tool_calls": "tool_calls", "tool_errors": "tool_errors",
}  # fmt: skip
# an instant, and the one that it mostly follows soon
AFTER = {"due_at": "started_at", "stopped_at": "started_at", "first_reply_at": "created_at", "solved_at": "created_at"}
ALIKE = "as_request"  # a bit for each of them, in this order
_FIRST = ("request", "ticket", "metric", "instance_no", "at", "seq")
_SECOND = 1_000_000
_HOW: dict[str, Any] = {"compression": "zstd", "compression_level": 19, "write_statistics": False}
_US = pl.Duration("us")


def costed(frame: pl.DataFrame) -> pl.DataFrame:
    """Return costs as whole billionths of a dollar, which are small, wherever that loses nothing."""
    nano = (pl.col("cost_usd") * NANO).round()
    is_whole = (nano.is_between(0, 2**31 - 1) & (nano / NANO == pl.col("cost_usd"))).fill_null(value=False)
    return frame.with_columns(
        pl.when(is_whole).then(nano).cast(pl.Int32).alias("cost_nano"),
        pl.when(~is_whole).then("cost_usd").alias("cost_usd"),
    )


def priced(frame: pl.DataFrame) -> pl.DataFrame:
    """Return costs in dollars again."""
    return frame.with_columns(pl.coalesce("cost_usd", pl.col("cost_nano") / NANO).alias("cost_usd")).drop("cost_nano")


def shortened(attempts: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """Return attempts without what their request says too, their end as microseconds after what their latency gives."""
    ended = (pl.col("done_at") - pl.col("sent_at")).dt.total_microseconds() - pl.col("latency_ms").fill_null(0) * 1000
    frame = attempts.with_columns(ended.alias("done_after_us")).drop("done_at")
    said = requests.select("request", *(pl.col(theirs).alias(f"of_{mine}") for mine, theirs in SHARED.items()))
    both = frame.join(said, on="request", how="left", maintain_order="left")
    alike = [pl.col(mine).eq_missing(pl.col(f"of_{mine}")) for mine in SHARED]
    bits = pl.sum_horizontal(one.cast(pl.Int32) * 2**i for i, one in enumerate(alike)).cast(pl.UInt16)
    kept = [pl.when(~one).then(mine).alias(mine) for mine, one in zip(SHARED, alike, strict=True)]
    return both.with_columns(bits.alias(ALIKE), *kept).select(*frame.columns, ALIKE)


def lengthened(attempts: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """Return attempts with all that they say."""
    said = requests.select("request", *(pl.col(theirs).alias(f"of_{mine}") for mine, theirs in SHARED.items()))
    both = attempts.join(said, on="request", how="left", maintain_order="left")
    whole = [
        pl.when((pl.col(ALIKE).cast(pl.Int32) & 2**i) > 0).then(f"of_{mine}").otherwise(mine).alias(mine)
        for i, mine in enumerate(SHARED)
    ]
    latency = pl.col("latency_ms").fill_null(0) * 1000
    done = pl.col("sent_at") + (pl.col("done_after_us") + latency).cast(_US)
    return both.with_columns(whole).with_columns(done.alias("done_at")).select(
        *(one for one in attempts.columns if one not in {ALIKE, "done_after_us"}), "done_at"
    )  # fmt: skip


def apart(requests: pl.DataFrame) -> pl.DataFrame:
    """Return requests with the time since the one before in place of their arrival."""
    return requests.with_columns(
        pl.col("arrived_at").cast(pl.Int64).diff().fill_null(pl.col("arrived_at").cast(pl.Int64)).alias("after_us")
    ).drop("arrived_at")


def arrived(requests: pl.DataFrame) -> pl.DataFrame:
    """Return requests with their arrival again."""
    at = pl.col("after_us").cum_sum().cast(pl.Datetime("us", "UTC")).alias("arrived_at")
    return requests.with_columns(at).drop("after_us")


def ordered(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows in one order, whatever order they were stored in; those of a request or ticket together."""
    names = sorted(frame.columns)
    by = [name for name in _FIRST if name in names]
    return frame.select(names).sort(*by, *(one for one in names if one not in by), nulls_last=True)


def write(frame: pl.DataFrame, file: Path) -> None:
    """Write a table, each column in the encoding that makes it smallest; the same rows give the same bytes."""
    table = _counted(frame).to_arrow(compat_level=pl.CompatLevel.oldest())
    chosen = {name: _smallest(table.select([name])) for name in table.column_names}
    dictionaries = [name for name, encoding in chosen.items() if encoding is None]
    encodings = {name: encoding for name, encoding in chosen.items() if encoding is not None}
    pq.write_table(table, file, use_dictionary=dictionaries, column_encoding=encodings, **_HOW)


def _smallest(column: pa.Table) -> str | None:
    """Return the encoding that makes a column smallest; None: by dictionary."""
    if not pa.types.is_integer(column.schema.types[0]):
        return None
    sizes = {}
    for encoding in (None, "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"):
        stream = io.BytesIO()
        own = {} if encoding is None else {column.column_names[0]: encoding}
        pq.write_table(column, stream, use_dictionary=encoding is None, column_encoding=own or None, **_HOW)
        sizes[encoding] = len(stream.getvalue())
    return min(sizes, key=sizes.__getitem__)


def _counted(frame: pl.DataFrame) -> pl.DataFrame:
    """Return instants as microseconds since 1970, or as seconds where all are whole; :func:`instants` makes them again."""
    counted = {name: frame[name].dt.epoch("us") for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)}
    for name, at in counted.items():
        us = at - counted[AFTER[name]].fill_null(0) if AFTER.get(name) in counted else at
        is_whole = bool((us % _SECOND == 0).all())
        said = (us // _SECOND).rename(f"{name}:s") if is_whole else us.rename(f"{name}:us")
        frame = frame.with_columns(said).drop(name)
    return frame


def instants(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table with its instants again."""
    found = {}
    for name in frame.columns:
        whole, _, unit = name.rpartition(":")
        if unit in {"s", "us"}:
            found[whole] = frame[name].rename(whole) * (_SECOND if unit == "s" else 1)
    for name, base in AFTER.items():
        if name in found and base in found:
            found[name] += found[base].fill_null(0)
    at = [values.cast(pl.Datetime("us", "UTC")) for values in found.values()]
    return frame.drop(name for name in frame.columns if name.endswith((":s", ":us"))).with_columns(at)
