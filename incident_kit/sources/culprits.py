# ruff: noqa: S608 - the names of this package's own temporary tables
"""Culprits: the records on which a format's statement fails, found by halves, so that one never costs its file."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb

from incident_kit.errors import UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from incident_kit.sources.records import Records
    from incident_kit.store import Store

MOST = 100
# not the value itself: it may be part of a message
_SAID = {
    duckdb.ConversionException: "holds a value that the format cannot convert",
    duckdb.OutOfRangeException: "holds a value out of range",
}
_OTHERWISE = "holds a value that the format cannot read"


def without_culprits(store: Store, records: Records, *, table: str, attempt: Callable[[Records], None]) -> Records:
    """Return the records without those on which ``attempt`` fails, which are listed in ``bad`` with the reason.

    Raises
    ------
    UnreadableFile
        There are more than `MOST` of them.
    duckdb.Error
        The records cannot even be read.
    """
    whole, part = f"{table}_whole", f"{table}_part"
    store.run(
        f"create or replace temp table {whole} as"
        f" select row_number() over () as place, record from ({records.objects})",
        records.params,
    )
    store.run(f"create or replace temp table {table}_out (place bigint)")
    ((total,),) = store.rows(f"select count(*) from {whole}")
    found: dict[int, str] = {}
    left = [(1, total)]
    while left:
        low, high = left.pop()
        store.run(
            f"create or replace temp view {part} as select record from {whole} where place between {low:d} and {high:d}"
        )
        error = _failure(attempt, replace(records, held=part))
        if error is None:
            continue
        if low < high:
            middle = (low + high) // 2
            left += [(low, middle), (middle + 1, high)]
            continue
        found[low] = next((said for kind, said in _SAID.items() if isinstance(error, kind)), _OTHERWISE)
        store.run(f"insert into {table}_out values ({low:d})")
        if len(found) > MOST:
            raise UnreadableFile(f"{records.file.shown} cannot be read: more than {MOST} records {_OTHERWISE}")
    store.run(
        f"create or replace temp view {part} as"
        f" select record from {whole} where place not in (select place from {table}_out)"
    )
    bad = [(records.line(place), reason) for place, reason in found.items()]
    lines = array("q", (records.line(place) for place in range(1, total + 1) if place not in found))
    return replace(records, held=part, lines=lines, bad=(*records.bad, *bad))


def _failure(attempt: Callable[[Records], None], records: Records) -> duckdb.Error | None:
    try:
        attempt(records)
    except duckdb.Error as error:
        return error
    return None
