"""Placing: what else the store knows of a log's requests and calls, beside them, in their order.

Rows come a batch at a time and are put where they belong, so that no second copy of a long log stands beside the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from incident_kit.store import statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from incident_kit.log import Log

NOWHERE = -1
_BATCH = 250_000
_KEY = ("target", "number")  # of a call, besides its request
_PLACED = ("row", "id_hash", *_KEY)  # what rows of the store are placed by


def placer(log: Log) -> Callable[[pl.DataFrame], NDArray[np.int64]]:
    """Return what tells, of rows with ``row`` and ``id_hash``, the positions of their requests in the log; NOWHERE: in none.

    By the row, unless the store was loaded into since the log was read: then by the hash of the request's id.
    """
    at_row = np.full(int(log.row.max(initial=-1)) + 2, NOWHERE, np.int32)  # the last is for rows beyond
    at_row[log.row] = np.arange(len(log), dtype=np.int32)
    order: list[NDArray[np.int64]] = []

    def places(rows: pl.DataFrame) -> NDArray[np.int64]:
        hashes = rows["id_hash"].to_numpy()
        if not len(log):
            return np.full(len(hashes), NOWHERE, np.int64)
        found: NDArray[np.int64] = at_row[np.minimum(rows["row"].to_numpy(), len(at_row) - 1)].astype(np.int64)
        if (log.id_hash[found] != hashes).any():
            order[:] = order or [np.argsort(log.id_hash)]
            at = np.searchsorted(log.id_hash, hashes, sorter=order[0])
            found = order[0][at.clip(max=len(log) - 1)]
            found[log.id_hash[found] != hashes] = NOWHERE
        return found

    return places


def beside_requests(log: Log, query: str) -> pl.DataFrame:
    """Return what a query says of each request, one row a request; NULLs where it says nothing."""
    return _beside(log, query, {}, len(log), placer(log))


def beside_calls(log: Log, query: str, **params: Any) -> pl.DataFrame:
    """Return what a query, whose rows have ``target`` and ``number`` too, says of each of the log's calls."""
    of, place = log.calls, placer(log)
    keys = _key(of.request, of.target, of.number)

    def places(rows: pl.DataFrame) -> NDArray[np.int64]:
        key = _key(place(rows), *(rows[name].to_numpy() for name in _KEY))
        if not len(keys):
            return np.full(len(key), NOWHERE, np.int64)
        found = np.searchsorted(keys, key).clip(max=len(keys) - 1)
        return np.where(keys[found] == key, found, NOWHERE)

    return _beside(log, query, params, len(keys), places)


def of_requests(log: Log, facts: pl.DataFrame) -> pl.DataFrame:
    """Return what ``facts``, one row a request, say of each of the log's calls where it has no attempts: each is a request."""
    of = log.calls.request
    offered, served = pl.Series(log.tools_offered), pl.Series(log.served >= 0)
    unknown = pl.lit(None, pl.Int64)
    found = facts.select(
        pl.when(offered >= 0).then(offered).alias("tools_offered"),
        *("tool_calls", "tool_errors", "prompt_tokens", "completion_tokens", "cost_usd"),
        unknown.alias("ttft_ms"),
        unknown.alias("tools_known_us"),
        *(pl.when(served).then(name).alias(name) for name in ("overridden", "reviewed_us")),
    )
    return found if len(of) == len(log) else found[pl.Series(of).cast(pl.UInt32)]


def _key(request: NDArray[Any], target: NDArray[Any], number: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number for each call, by which they are sorted as in :class:`log.Calls`."""
    return np.asarray(request.astype(np.int64) << 32 | target.astype(np.int64) << 16 | number)


def _beside(
    log: Log, query: str, params: dict[str, Any], size: int, places: Callable[[pl.DataFrame], NDArray[np.int64]]
) -> pl.DataFrame:
    columns: dict[str, _Column] = {}
    for batch in log.store.batches(statement(query), params, size=_BATCH):
        rows = pl.DataFrame(batch)
        at = places(rows)
        for column in rows.drop(_PLACED, strict=False):
            columns.setdefault(column.name, _Column(column.dtype, size)).put(column, at)
    if not columns:
        return log.store.query(query, **params).drop(_PLACED, strict=False).clear(size)
    return pl.DataFrame({name: column.series() for name, column in columns.items()})


class _Column:
    """A column of numbers or truth values that is filled from its parts; nothing is known of the rest."""

    def __init__(self, dtype: pl.DataType, size: int) -> None:
        self.values = np.zeros(size, pl.Series(dtype=dtype).to_numpy().dtype)
        self.is_known = np.zeros(size, np.bool_)

    def put(self, part: pl.Series, at: NDArray[np.int64]) -> None:
        told = part.is_not_null().to_numpy() & (at != NOWHERE)
        self.values[at[told]] = part.filter(pl.Series(told)).to_numpy()
        self.is_known[at[told]] = True

    def series(self) -> pl.Series:
        """Return the column without copying its numbers, which must not change any more."""
        kind, values = pa.from_numpy_dtype(self.values.dtype), _bits(self.values)
        parts = [None if self.is_known.all() else pa.py_buffer(_bits(self.is_known)), pa.py_buffer(values)]
        made: pl.Series = pl.Series(pa.Array.from_buffers(kind, len(self.values), parts))
        return made


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    return np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values
