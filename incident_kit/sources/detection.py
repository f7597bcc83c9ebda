"""Detection: which format a file is in, told by the keys of its first records."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb

from incident_kit.errors import UnknownFormat, UnreadableFile
from incident_kit.sources.files import LONGEST_RECORD, SAMPLES, LogFile
from incident_kit.sources.keys import Seen
from incident_kit.sources.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from incident_kit.sources.formats import Format

SHOWN_KEYS = 12
NEAR = 0.7


def sampled(file: LogFile, connection: duckdb.DuckDBPyConnection) -> LogFile:
    """Return the file with its first records, read through DuckDB where they are not lines.

    Raises
    ------
    UnreadableFile
        DuckDB cannot read the file.
    """
    if file.kind in {"lines", "csv"}:
        return file
    try:
        rows = _first(Records(file), connection)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].split(": ", 1)[-1]
        raise UnreadableFile(f"{file.shown} cannot be read as {_KINDS[file.kind]}: {reason}") from error
    values = [_value(text) for (text,) in rows if text]
    samples = tuple(value for value in values if isinstance(value, dict))
    if file.kind == "parquet":
        names = connection.execute(f"describe {Records(file).rows}", Records(file).params).fetchall()
        return replace(file, columns=tuple(row[0] for row in names), samples=samples)
    if not samples:
        raise UnreadableFile(f"{file.shown} holds no records")
    return replace(file, samples=samples)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _first(records: Records, connection: duckdb.DuckDBPyConnection) -> list[tuple[str]]:
    try:
        return connection.execute(f"{records.objects} limit {SAMPLES}", records.params).fetchall()
    except duckdb.InvalidInputException as error:
        if "maximum_object_size" not in str(error) or records.longest == LONGEST_RECORD:
            raise
        return _first(replace(records, longest=LONGEST_RECORD), connection)


_KINDS = {"array": "a JSON array", "page": "JSON", "parquet": "Parquet", "csv": "CSV", "lines": "NDJSON"}


def recognised(file: LogFile, formats: Sequence[Format]) -> tuple[LogFile, Format]:
    """Return the format whose keys the first records have, the most specific first, and where in a page they are.

    Raises
    ------
    UnknownFormat
        No format matches, or two match equally well.
    """
    # a table without rows still has its columns
    samples = file.samples or (dict.fromkeys(file.columns),)
    for member, records in ((file.member, samples), *members(file)):
        found = _best(records, formats)
        if len(found) == 1:
            return replace(file, member=member, samples=tuple(records)), found[0]
        if found:
            names = " or ".join(f"{item.name} ({item.table})" for item in found)
            raise UnknownFormat(f"{file.shown} could be {names}: say which with source=, or leave columns out")
    raise UnknownFormat(_not_recognised(file, formats))


def placed(file: LogFile, chosen: Format) -> LogFile:
    """Return the file with the place of its records set, for a format that the user named."""
    for member, records in ((file.member, file.samples), *members(file)):
        if any(chosen.matches(record) for record in records):
            return replace(file, member=member, samples=tuple(records))
    return file


def members(file: LogFile) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """Yield the lists of records inside a file's first records, and where each is."""
    for key in dict.fromkeys(key for record in file.samples for key in record):
        lists = [record[key] for record in file.samples if isinstance(record.get(key), list)]
        inner = [row for rows in lists for row in rows if isinstance(row, dict)]
        if inner and '"' not in key:
            yield f'$."{key}"[*]', inner[:SAMPLES]


def _best(records: Sequence[Mapping[str, Any]], formats: Sequence[Format]) -> list[Format]:
    votes: Counter[int] = Counter()
    seen = [Seen(record) for record in records]
    keyed = [{number for number, item in enumerate(formats) if item.keyed(record)} for record in seen]
    # keys are each record's own; what a file is about, such as LLM calls among other spans, some of its records say
    worded = {number for number in set().union(*keyed) if formats[number].worded(seen)}
    for found in keyed:
        matching = {number: formats[number].specificity for number in found & worded}
        votes.update(number for number, keys in matching.items() if keys == max(matching.values()))
    most = max(votes.values(), default=0)
    if most * 2 < len(records):
        return []
    return [formats[number] for number, count in sorted(votes.items()) if count == most]


def _not_recognised(file: LogFile, formats: Sequence[Format]) -> str:
    keys = list(dict.fromkeys(key for record in file.samples for key in record)) or list(file.columns)
    shown = ", ".join(repr(key[:40]) for key in keys[:SHOWN_KEYS]) + (", ..." if len(keys) > SHOWN_KEYS else "")
    wanted = {word for item in formats for want in item.detect for word in want.split("|")}
    hint = _nearest([key for key in keys[:SHOWN_KEYS] if key not in wanted], sorted(wanted))
    return (
        f"{file.shown} is in no known format: its first records have the keys {shown or '(none)'}{hint}. "
        "`incident-kit sources` lists the formats: say one with source=..., map your columns with "
        "columns={'latency_ms': 'duration'}, or write a .sql file (`incident-kit source new` drafts one from a sample)"
        " and pass its path as source"
    )


def _nearest(keys: Sequence[str], wanted: Sequence[str]) -> str:
    likeness = {
        (key, word): difflib.SequenceMatcher(None, key, word).ratio() for key in keys for word in wanted if len(key) > 2
    }
    if not likeness or max(likeness.values()) < NEAR:
        return ""
    key, word = max(likeness, key=lambda pair: likeness[pair])
    return f"; {key!r} (did you mean {word!r}?)"
