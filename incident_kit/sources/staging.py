# ruff: noqa: S608 - identifiers are the kit's own, or quoted
"""Staged: a file's rows as the kit's columns in a temporary table; a row that cannot be used says why."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import duckdb

from incident_kit.errors import InvalidRows, UnknownFormat, UnreadableFile, did_you_mean
from incident_kit.sources import canonical, sandbox
from incident_kit.sources.culprits import without_culprits
from incident_kit.sources.files import LONGEST_RECORD
from incident_kit.sources.formats import NOT_FOR_US
from incident_kit.sources.handing import handed, numbered
from incident_kit.sources.records import Records, quoted
from incident_kit.store import statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from incident_kit.sources.files import LogFile
    from incident_kit.sources.formats import Format
    from incident_kit.store import Store

ONLY_VENDOR = ("line", "reject", "spans_request", "rows_stated", "fallbacks", "complete")
SMALL = 256 * 1024  # bytes of a file that is read line by line at once, as it would be after its first reject
_PREPARED: WeakSet[Store] = WeakSet()  # a macro lasts as long as its connection
_MISTAKES = (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException, duckdb.SyntaxException)


@dataclass(frozen=True)
class Staged:
    """A temporary table of staged rows, with the file and format they came from."""

    table: str
    file: LogFile
    format: Format
    records: Records
    sha256: str
    companion: bool = False  # of the item before it, whose file it reads into another table


def prepare(store: Store) -> None:
    """Make the macros that format files may call."""
    if store not in _PREPARED:
        text = (importlib.resources.files("incident_kit") / "sources" / "macros.sql").read_text(encoding="utf-8")
        store.connection.execute(text)
        _PREPARED.add(store)


def hold(store: Store, records: Records, *, table: str) -> Records:
    """Return the records out of a temporary table, so that the file is not read anew for each format."""
    store.run(f"create or replace temp table {table} as {records.objects}", records.params)
    return replace(records, held=table)


def check_labels(store: Store, labels: Mapping[str, Sequence[str]], tags: Mapping[str, str]) -> None:
    """Refuse paths and patterns of the user's that DuckDB cannot run, before any file is read.

    Raises
    ------
    UnknownFormat
        A path or pattern is wrong.
    """
    asked: list[tuple[str, str, Any]] = [
        (f"labels[{name!r}]", "select json_extract_string('{}', $1)", list(paths)) for name, paths in labels.items()
    ]
    asked += [(f"tags[{name!r}]", "select regexp_extract('x', $1, 1)", pattern) for name, pattern in tags.items()]
    for where, sql, value in asked:
        try:
            store.rows(sql, [value])
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].split(": ", 1)[-1]
            raise UnknownFormat(f"{where} = {value!r} cannot be used: {reason}") from error


def clear(store: Store) -> None:
    """Drop everything temporary that a load made."""
    made = store.rows("select view_name from duckdb_views() where temporary and starts_with(view_name, 'staged_')")
    for view in ("candidates", "stored", "staged", *(name for (name,) in made)):
        store.run(f"drop view if exists {view}")
    made = store.rows("select table_name from duckdb_tables() where temporary and starts_with(table_name, 'staged_')")
    for table in ("judged", "contested", "otherwise", "touched", "rolled", *(name for (name,) in made)):
        store.run(f"drop table if exists {table}")


def stage(store: Store, staged: Staged, *, folder: Path, zone: str | None, columns: Mapping[str, str]) -> Staged:
    """Return the file's rows staged in a temporary table; nothing of the incident is touched.

    Raises
    ------
    UnreadableFile
        DuckDB cannot read the file, not even without its bad lines.
    UnknownFormat
        The format's SQL is wrong.
    InvalidRows
        Times have no zone and none was given, or epoch numbers of several units are mixed.
    """
    is_small = staged.file.kind == "lines" and staged.file.path.stat().st_size <= SMALL
    if (staged.file.marked or staged.file.escaped or is_small) and staged.records.lines is None:
        staged = replace(staged, records=staged.records.cleaned(folder))
    staged = _fill(store, staged, folder=folder, zone=zone, columns=columns)
    if staged.records.lines is None and staged.file.kind == "lines" and _has_rejects(store, staged):
        # the bad lines, and where each row was, show only when the file is read line by line
        staged = replace(staged, records=staged.records.cleaned(folder))
        staged = _fill(store, staged, folder=folder, zone=zone, columns=columns)
    _refuse_zoneless(store, staged)
    if staged.companion:
        # what is no record is counted once, by the format whose companion this is
        return replace(staged, records=replace(staged.records, bad=()))
    return staged


def _fill(store: Store, staged: Staged, *, folder: Path, zone: str | None, columns: Mapping[str, str]) -> Staged:
    try:
        _insert(store, staged, folder=folder, zone=zone, columns=columns)
    except _MISTAKES as error:
        first = str(error).splitlines()[0]
        raise UnknownFormat(f"the format {staged.format.name} cannot be run on {staged.file.shown}: {first}") from error
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].split(": ", 1)[-1]
        if "Unknown TimeZone" in reason:
            raise UnknownFormat(
                f"zone={zone!r} is no time zone; use a name such as 'Europe/Berlin' or 'UTC'"
            ) from error
        if "maximum_object_size" in reason and staged.records.longest < LONGEST_RECORD:
            return _fill(store, _longer(staged), folder=folder, zone=zone, columns=columns)
        if staged.records.lines is None and staged.file.kind in {"lines", "csv"} and not staged.records.held:
            cleaned = replace(staged, records=staged.records.cleaned(folder))
            return _fill(store, cleaned, folder=folder, zone=zone, columns=columns)
        return _fill_without_culprits(store, staged, folder=folder, zone=zone, columns=columns, reason=reason)
    return staged


def _fill_without_culprits(
    store: Store, staged: Staged, *, folder: Path, zone: str | None, columns: Mapping[str, str], reason: str
) -> Staged:
    def attempt(records: Records) -> None:
        _insert(store, replace(staged, records=records), folder=folder, zone=zone, columns=columns)

    if staged.format.name == canonical.NAME:
        raise UnreadableFile(f"{staged.file.shown} cannot be read: {reason}")
    try:
        found = without_culprits(store, staged.records, table=staged.table, attempt=attempt)
        attempt(found)
    except duckdb.Error as error:
        what = (
            "is damaged or cut short: DuckDB cannot read it as" if staged.records.lines is None else "cannot be read as"
        )
        raise UnreadableFile(f"{staged.file.shown} {what} {staged.file.kind}: {reason}") from error
    return replace(staged, records=found)


def _longer(staged: Staged) -> Staged:
    return replace(staged, records=replace(staged.records, longest=LONGEST_RECORD))


def _insert(store: Store, staged: Staged, *, folder: Path, zone: str | None, columns: Mapping[str, str]) -> None:
    wanted = shape(store, staged.format.table)
    if staged.format.name == canonical.NAME:
        sql, params = _own(store, staged, shape=wanted, zone=zone, columns=columns)
    elif staged.format.trusted:
        sql, params = _vendor(store, staged, folder=folder, zone=zone)
    else:
        sql, params = _foreign(store, staged, folder=folder, zone=zone)
    given = {row[0] for row in store.rows(f"describe {sql}", params)}
    unknown = sorted(given - wanted.keys())
    if unknown:
        raise UnknownFormat(
            f"the format {staged.format.name} gives a column {unknown[0]!r}{did_you_mean(unknown[0], wanted)};"
            f" {staged.format.table} takes {', '.join(name for name in wanted if name != 'row_no')}"
        )
    missing = {"complete": "true"} if staged.format.complete else {}
    cast = [
        f"{quoted(name) if name in given else missing.get(name, 'null')}::{kind} as {quoted(name)}"
        for name, kind in wanted.items()
    ]
    store.run(f"create or replace temp table {staged.table} as select {', '.join(cast)} from ({sql})", params)


def _own(
    store: Store, staged: Staged, *, shape: Mapping[str, str], zone: str | None, columns: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    # not the columns that only a vendor format can fill
    wanted = {name: kind for name, kind in shape.items() if name not in ONLY_VENDOR and "STRUCT" not in kind}
    sql = canonical.typed(staged.records, staged.format.table, wanted=wanted, connection=store.connection)
    own = {"own_paths": canonical.json_paths(wanted, columns=columns)}
    _refuse_mixed_units(store, staged, wanted=wanted, params=staged.records.params | own)
    used = {name: value for name, value in {**own, "zone": zone}.items() if f"${name}" in sql}
    return sql, staged.records.params | used


def _vendor(store: Store, staged: Staged, *, folder: Path, zone: str | None) -> tuple[str, dict[str, Any]]:
    chosen = staged.format
    raw, params = numbered(staged.records, one_to_one=chosen.one_to_one), staged.records.params
    if chosen.decode:
        file = handed(store, staged.records, folder=folder, decode=chosen.decode)
        raw, params = "select line, record::json as record from read_parquet($handed)", {"handed": str(file)}
    return f"with raw as ({raw}) select * from (\n{chosen.sql}\n)", params | chosen.arguments(zone=zone)


def _foreign(store: Store, staged: Staged, *, folder: Path, zone: str | None) -> tuple[str, dict[str, Any]]:
    chosen = staged.format
    file = handed(store, staged.records, folder=folder, decode=chosen.decode)
    back = folder / "handed-back.parquet"
    sandbox.run(chosen, handed=file, into=back, arguments=chosen.arguments(zone=zone), shown=staged.file.shown)
    return "select * from read_parquet($handed_back)", {"handed_back": str(back)}


def _refuse_mixed_units(store: Store, staged: Staged, *, wanted: Mapping[str, str], params: Mapping[str, Any]) -> None:
    texts = [value for record in staged.file.samples for name, value in record.items() if isinstance(value, str)]
    # epoch numbers show in the first records; a second pass over every file of ISO times is not worth it
    numbers = any(isinstance(value, int | float) for record in staged.file.samples for value in record.values())
    if not numbers and not any(text.strip().replace(".", "", 1).isdigit() and len(text) >= 9 for text in texts):
        return
    sql = canonical.epoch_units(staged.records, wanted=wanted, connection=store.connection)
    if sql is None:
        return
    used = {name: value for name, value in params.items() if f"${name}" in sql}
    units = [unit for (unit,) in store.rows(sql, used)]
    if len(units) > 1:
        raise InvalidRows(
            f"{staged.file.shown} mixes epoch times in {' and '.join(units)}; write them in one unit, or as ISO 8601"
        )


def shape(store: Store, table: str) -> dict[str, str]:
    """Return the columns that a format may give for a table, with their types."""
    if table == "attempts":
        sql = statement("load_stage_attempts")
    else:
        sql = f"select null::bigint as line, null::varchar as reject, * exclude (load_id) from {table} limit 0"
    return {row[0]: row[1] for row in store.rows(f"describe {sql}")}


def _has_rejects(store: Store, staged: Staged) -> bool:
    bad = f"select 1 from {staged.table} where not starts_with(reject, $1) limit 1"
    if store.rows(bad, [NOT_FOR_US]):
        return True
    if not staged.format.skips or not store.rows(f"select 1 from {staged.table} where reject is not null limit 1"):
        return False
    # a line that is no record may hide among the rows that are another's
    return bool(
        store.rows(f"select 1 from ({staged.records.objects}) where record is null limit 1", staged.records.params)
    )


def _refuse_zoneless(store: Store, staged: Staged) -> None:
    found = store.rows(
        f"select reject from {staged.table} where reject like '%' || $1 order by line limit 1", [canonical.WITHOUT_ZONE]
    )
    if found:
        raise InvalidRows(f"{staged.file.shown}: {found[0][0]}; say which with zone='UTC' or zone='Europe/Berlin'")
