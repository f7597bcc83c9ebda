# ruff: noqa: S608 - statements of this package inside one another
"""Handed over: a file's raw records as Parquet, in batches, for a decoder or for a database of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incident_kit.sources.decoding import decoded, decoder

if TYPE_CHECKING:
    from pathlib import Path

    from incident_kit.sources.records import Records
    from incident_kit.store import Store

BATCH = 500  # records: they may be long


def numbered(records: Records, *, one_to_one: bool) -> str:
    """Return SQL for ``raw(line, record)``: the records, numbered where their rows' own numbers would not do."""
    # numbering takes a single thread
    line = "null::bigint" if one_to_one else "row_number() over ()"
    return f"select {line} as line, record from ({records.objects})"


def handed(store: Store, records: Records, *, folder: Path, decode: str = "") -> Path:
    """Return a Parquet file of the records (line, record), after the decoder of that name.

    Raises
    ------
    UnknownFormat
        There is no such decoder.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    step = decoder(decode) if decode else None
    schema = pa.schema({"line": pa.int64(), "record": pa.large_string()})
    path = folder / f"handed{'-' * bool(decode)}{decode}.parquet"
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in store.batches(numbered(records, one_to_one=False), records.params, size=BATCH):
            texts = batch.column(1).cast(pa.large_string())
            if step is not None:
                texts = pa.array([decoded(text, step) for text in texts.to_pylist()], pa.large_string())
            writer.write_batch(pa.record_batch([batch.column(0), texts], schema=schema))
    return path
