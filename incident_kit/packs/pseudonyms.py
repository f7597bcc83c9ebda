"""Pseudonyms: numbers in place of ids, in their order; with a key also a mark by which its holder finds one again."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import polars as pl

MARK_BYTES = 6
SHORTEST_KEY = 16


def mark(key: bytes, kind: str, name: str) -> str:
    """Return the mark of an id: the first 48 bits of HMAC-SHA256 of its kind and itself, in hexadecimal.

    Examples
    --------
    >>> mark(b"a key of 16 bytes", "ticket", "HD-1") == mark(b"a key of 16 bytes", "ticket", "HD-1")
    True
    """
    return hmac.digest(key, f"{kind}\0{name}".encode(), "sha256")[:MARK_BYTES].hex()


def numbered(*names: pl.Series) -> pl.DataFrame:
    """Return one row a distinct id, in order: ``name``, and ``number`` from 0."""
    every = pl.concat([one.rename("name").cast(pl.String) for one in names])
    return (
        every.drop_nulls()
        .unique()
        .sort()
        .to_frame()
        .with_row_index("number")
        .select("name", pl.col("number").cast(pl.Int32))
    )


def marks(kind: str, names: Iterable[str], key: bytes) -> pl.DataFrame:
    """Return ``kind, number, mark`` of ids in the order of their numbers."""
    found = [mark(key, kind, name) for name in names]
    return pl.DataFrame(
        {"kind": [kind] * len(found), "number": pl.Series(range(len(found)), dtype=pl.Int32), "mark": found},
        schema={"kind": pl.String, "number": pl.Int32, "mark": pl.String},
    )


def spelt(kind: str, numbers: pl.Expr, *, count: int) -> pl.Expr:
    """Return numbers as ids that sort as they do: ``r00017``."""
    return pl.lit(kind[0]) + numbers.cast(pl.String).str.zfill(len(str(count)))
