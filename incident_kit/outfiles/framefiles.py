"""Frame files: a frame as CSV, JSON or Parquet, by the name's ending, for other programs and for sheets."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from incident_kit.outfiles.outputs import whole


def write_frame(frame: pl.DataFrame, path: Path) -> Path:
    """Return the path after writing a frame to it, whole or not at all; what an ending is not of is written as Parquet.

    Words of a fixed set are written as text. In a CSV, lists are joined by semicolons, and a text that a sheet would run as a
    formula begins with an apostrophe.
    """
    plain = frame.lazy().with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))
    with whole(path) as beside:
        if path.suffix == ".json":
            plain.collect().write_json(beside)
        elif path.suffix == ".csv":
            lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
            text = pl.col(pl.String)
            joined = plain.with_columns(pl.col(lists).list.join("; "))
            is_formula = text.str.contains(r"^[=+\-@\t\r]")
            joined.with_columns(pl.when(is_formula).then("'" + text).otherwise(text).name.keep()).sink_csv(beside)
        else:
            plain.sink_parquet(beside)
    return path
