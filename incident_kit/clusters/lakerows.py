# ruff: noqa: S608 - identifiers are the kit's own
"""Lake rows: a part of a lake's records as rows that can be sent to whoever has the rest of their request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from incident_kit.errors import InvalidRows
from incident_kit.sources.loading import load
from incident_kit.store import Store

ATTEMPTS, REQUESTS, FEEDBACK = TABLES = ("attempts", "requests", "feedback")  # what belongs to one request
NOT_READ = ("provider", "model", "worker", "deployment", "retry_after_ms", "load_id")  # no decision depends on these
_FACTS_OF_BOTH = ("request_id", "attempt_id", "seq", "load_id")
_REVIEW = ("feedback_id", "suggestion_id", "at", "decision", "overridden")
_ANSWER = "struct(conversation_id varchar, call_id varchar, asked_by varchar, known_at timestamptz, ok boolean)"


@dataclass(frozen=True)
class Reading:
    """How some files of a lake are read: the arguments of :func:`incident_kit.sources.load`, and the table that they fill."""

    source: str
    table: str
    zone: str | None = None
    labels: Mapping[str, Sequence[str]] | None = None
    tags: Mapping[str, str] | None = None
    columns: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Tally:
    """What became of the records that one task had, and what they can answer (`seen`: counts of what is there)."""

    source: str = ""
    read: int = 0
    duplicate: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    seen: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def workplace() -> Store:
    """Return empty tables of an incident, for one task: it has one core."""
    store = Store()
    store.run("set threads = 1")
    return store


def loaded(file: Path | None, *, reading: Reading) -> pa.Table:
    """Return a file's rows, one a row: request_id, one of attempt, request and review, no answer; and one row with a tally.

    ``None`` gives no rows, in the same columns.
    """
    with workplace() as store:
        tally = Tally(reading.source)
        if file is not None:
            try:
                report = load(
                    store, file, source=reading.source, labels=reading.labels, tags=reading.tags,
                    columns=reading.columns, zone=reading.zone,
                )  # fmt: skip
                tally = _tally(reading, report.loads)
            except InvalidRows as error:  # a part of a sound file may hold nothing that can be used
                rows = file.read_bytes().count(b"\n") if file.suffix == ".ndjson" else pq.read_metadata(file).num_rows
                tally = Tally(reading.source, rows, 0, rows, {str(error).replace(str(file), "a part"): rows})
        return arrow(store, _sql(store), {"tally": str(tally) if file is not None else None})


def _tally(reading: Reading, loads: Iterable[Any]) -> Tally:
    done = [one for one in loads if one.source == reading.source]
    reasons: dict[str, int] = {}
    for one in done:
        for reason, count in one.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    read, twice, rejected = (
        sum(getattr(one, f"rows_{name}") for one in done) for name in ("read", "duplicate", "rejected")
    )
    return Tally(reading.source, read, twice, rejected, reasons)


def _sql(store: Store) -> str:
    """Return SQL for every loaded row of the tables that belong to requests, and a row for ``$tally``."""
    return f"""
        select request_id, a as attempt, null as request, null as review, null::{_ANSWER} as answer, null::varchar as tally
        from (select {_attempt(store)} from attempts as a join request_facts as f
              on f.request_id = a.request_id and f.attempt_id = a.attempt_id) as a
        union all by name
        select request_id, r as request from (select {_own(store, REQUESTS)} from requests where load_id is not null) as r
        union all by name
        select request_id, v as review from (select request_id, {listed(_REVIEW)} from feedback) as v
        union all by name
        select $tally::varchar as tally where $tally is not null
    """


def _attempt(store: Store) -> str:
    """Return the columns of an attempt and of its facts; what a roll-up overwrites is as it was logged."""
    own = [name for name in columns_of(store, ATTEMPTS) if name not in {*NOT_READ, "sent_at", "seq"}]
    facts = [name for name in columns_of(store, "request_facts") if name not in {*_FACTS_OF_BOTH, "labels"}]
    return f"{listed(own, of='a.')}, {listed(facts, of='f.')}, f.seq, f.labels::varchar as labels"


def _own(store: Store, table: str) -> str:
    names = [name for name in columns_of(store, table) if name not in {*NOT_READ, "labels"}]
    return f"{listed(names)}, labels::varchar as labels"


def columns_of(store: Store, table: str) -> list[str]:
    """Return the names of a table's columns."""
    return [row[0] for row in store.rows(f"describe {table}")]


def listed(names: Iterable[str], *, of: str = "") -> str:
    """Return names for a select, all `of` one relation."""
    return ", ".join(f'{of}"{name}"' for name in names)


def arrow(store: Store, sql: str, values: Mapping[str, Any]) -> pa.Table:
    """Return what a statement gives as an Arrow table."""
    return store.connection.sql(sql, params=dict(values)).to_arrow_table()


def chunks(batches: Iterator[pa.RecordBatch], *, folder: Path, rows: int, size: int) -> Iterator[Path]:
    """Yield files of at most about so many records or bytes, written from lines of text (a column ``value``) or from rows."""
    number, held, bytes_held, kept = 0, 0, 0, []
    for batch in batches:
        kept.append(batch)
        held, bytes_held = held + batch.num_rows, bytes_held + batch.nbytes
        if held >= rows or bytes_held >= size:
            yield _written(kept, folder, number)
            number, held, bytes_held, kept = number + 1, 0, 0, []
    if held:
        yield _written(kept, folder, number)


def _written(batches: list[pa.RecordBatch], folder: Path, number: int) -> Path:
    if batches[0].schema.names != ["value"]:
        file = folder / f"{number}.parquet"
        pq.write_table(pa.Table.from_batches(batches), file, compression="none")
        return file
    file = folder / f"{number}.ndjson"
    with file.open("wb") as stream:
        for batch in batches:
            stream.writelines(line.encode() + b"\n" for line in batch.column(0).to_pylist() if line)
    return file
