# ruff: noqa: S608 - every identifier is a column of the kit's own tables
"""`load`: files into the incident's tables, in one transaction; every row is loaded, rejected or a duplicate."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from incident_kit.errors import UnknownFormat, UnreadableFile
from incident_kit.sources import canonical, verdict
from incident_kit.sources.detection import placed, recognised, sampled
from incident_kit.sources.files import LogFile, expand, inspect
from incident_kit.sources.formats import Format, named_format, vendor_formats
from incident_kit.sources.judging import FACTS, counted, judge, refuse_useless
from incident_kit.sources.records import Records, quoted
from incident_kit.sources.report import FileLoad, LoadReport
from incident_kit.sources.rollup import roll_up
from incident_kit.sources.staging import Staged, check_labels, clear, hold, prepare, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from incident_kit.store import Store


HELD = 64 * 1024 * 1024  # bytes of a file whose records several companions are given at once


def formats() -> tuple[Format, ...]:
    """Return every format that `load` knows: the kit's own columns, and the vendors'."""
    return (*canonical.canonical_formats(), *vendor_formats())


def load(
    store: Store,
    path: str | Path | Sequence[str | Path],
    *,
    source: str | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    tags: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    zone: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> LoadReport:
    """Return what became of the files' rows; the incident holds all of them afterwards, or, after an error, none.

    Parameters
    ----------
    store
        The incident.
    path
        A file, a glob, or a list of them: NDJSON, JSON, CSV or Parquet, plain, gzip or zstd; told by content.
    source
        A format's name, or a ``.sql`` file of yours; detected when not given.
    labels, tags
        Where a label is: ``{"intent": ["$.metadata.topic"]}`` and ``{"intent": "^topic:(.+)$"}`` replace the
        format's own list and pattern for that label.
    columns
        The kit's name of a column mapped to the file's: ``{"latency_ms": "duration"}``.
    zone
        The zone of times that carry none.
    progress
        Called with a line of text as the work proceeds.

    Raises
    ------
    UnreadableFile
        A file is missing, empty, damaged or binary.
    UnknownFormat
        A file's format is not known, or ``source`` names none.
    InvalidRows
        No row of a file can be used, or its times lack a zone.
    """
    tell = progress or (lambda _text: None)
    paths = list(dict.fromkeys(expand(path)))
    prepare(store)
    check_labels(store, labels or {}, tags or {})
    with tempfile.TemporaryDirectory(prefix="incident-kit-") as folder:
        work: list[Sequence[Staged | FileLoad]] = []
        try:
            for number, one in enumerate(paths):
                tell(f"reading {one} ({number + 1} of {len(paths)})")
                before = _state(one)
                file = inspect(one)
                sha256 = file.sha256()
                known = _known(store, file, sha256=sha256, source=source)
                if known:
                    work.append(known)
                    continue
                sub = Path(folder) / str(number)
                sub.mkdir()
                file, chosen = recognise(store, file.linked(sub), source=source, columns=columns or {})
                if chosen.name == canonical.NAME and (labels or tags):
                    raise UnknownFormat(
                        f"{file.shown} has the kit's own columns: map them with columns=, not labels= or tags="
                    )
                chosen = chosen.relabelled(labels, tags)
                item = Staged(f"staged_{number}", file, chosen, Records(file), sha256)
                work.append(stage_all(store, item, folder=sub, zone=zone, columns=columns or {}))
                if _state(one) != before and file.sha256() != sha256:
                    raise UnreadableFile(
                        f"{one} changed while it was read, and nothing is loaded: load it again once it is whole, or a copy of it"
                    )
            with store.transaction():
                return _insert_all(store, work, tell=tell)
        finally:
            clear(store)


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes whenever a file is written to or replaced."""
    try:
        state = path.stat()
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}") from error
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _known(store: Store, file: LogFile, *, sha256: str, source: str | None) -> list[FileLoad]:
    # the same bytes again: every row is a duplicate, and nobody needs to read them
    asked = [source, *named_format(source, formats()).companions] if source is not None else None
    found = store.rows(
        "select min(load_id), source, arg_min(rows_read, load_id), max(rows_loaded) from loads"
        " where sha256 = $1 and ($2 is null or list_contains($2, source)) group by source order by 1",
        [sha256, asked],
    )
    if not any(loaded for *_, loaded in found):
        return []
    return [
        FileLoad(0, name, file.shown, rows, 0, rows, 0, sha256=sha256,
                 reasons={f"the same file was already loaded (load {first})": rows})
        for first, name, rows, _ in found
    ]  # fmt: skip


def recognise(store: Store, file: LogFile, *, source: str | None, columns: Mapping[str, str]) -> tuple[LogFile, Format]:
    """Return the format of a file, and the file with its first records and their place.

    Raises
    ------
    UnreadableFile, UnknownFormat, InvalidRows
        It cannot be read, is in no known format or in several, or its format refuses it.
    """
    file = sampled(file, store.connection).renamed(columns)
    known = formats()
    if source == canonical.NAME:
        return recognised(file, canonical.canonical_formats())
    if source is not None:
        chosen = named_format(source, known)
        file = placed(file, chosen)
    else:
        file, chosen = recognised(file, known)
    if columns and chosen.name != canonical.NAME and file.kind not in {"csv", "parquet"}:
        raise UnknownFormat(f"{file.shown} is {chosen.name} in JSON, which has no columns to map; use labels= or tags=")
    chosen.check(file.samples, shown=file.shown)
    return file, chosen


def stage_all(
    store: Store, item: Staged, *, folder: Path, zone: str | None, columns: Mapping[str, str]
) -> list[Staged]:
    """Return a file's rows staged, and, of each companion of its format, what that reads in the same file."""
    first = stage(store, item, folder=folder, zone=zone, columns=columns)
    staged = [first]
    records = replace(first.records, bad=())  # what is no record is counted once
    if len(first.format.companions) > 1 and first.file.path.stat().st_size <= HELD:
        records = hold(store, records, table=f"{first.table}_records")
    for number, name in enumerate(first.format.companions):
        other = named_format(name, formats())
        labels = {label: paths for label, paths in first.format.labels.items() if label in other.labels}
        also = replace(
            first, table=f"{first.table}_{number}", format=other.relabelled(labels), records=records, companion=True
        )
        staged.append(stage(store, also, folder=folder, zone=zone, columns=columns))
    return staged


def _insert_all(
    store: Store, work: Sequence[Sequence[Staged | FileLoad]], *, tell: Callable[[str], None]
) -> LoadReport:
    loads: list[FileLoad] = []
    covered = []
    for file in work:
        of_file = []
        for item in file:
            ((load_id,),) = store.rows("select coalesce(max(load_id), 0) + 1 from loads")
            if isinstance(item, FileLoad):
                of_file.append(_record(store, replace(item, load_id=load_id)))
                continue
            tell(f"loading {item.file.shown} as {item.format.name}")
            done = _insert(store, item, load_id)
            if done is None:
                continue
            of_file.append(done)
            if done.rows_loaded:
                roll_up(store, item.format.table, load_id)
                covered.append(verdict.record(store, item.format, load_id))
        refuse_useless(of_file)
        loads += of_file
    ids = [item.load_id for item in loads]
    seen = covered[0] if len(loads) == len(covered) == 1 else verdict.coverage(store, ids)
    return LoadReport(
        loads=tuple(loads),
        rejects=store.frame("select * from rejects where list_contains($ids, load_id) order by all", {"ids": ids}),
        answers=verdict.of_loads(store, ids, seen),
        unlabelled=verdict.unlabelled(seen),
    )


def _insert(store: Store, item: Staged, load_id: int) -> FileLoad | None:
    table = item.format.table
    judge(store, item)
    counts = counted(store, item, load_id)
    if item.companion and not counts.rows_read:
        return None  # the file has nothing for it
    done = _record(store, counts)
    _record_rejects(store, item, load_id)
    names = [row[0] for row in store.rows("describe staged") if row[0] not in {"row_no", "line", "reject"}]
    kept = "from staged where row_no not in (select row_no from judged)"
    values = {"load_id": load_id, "source": item.format.name}
    if table == "attempts":
        own = ", ".join(quoted(name) for name in names if name not in FACTS)
        store.run(f"insert into attempts by name select {own}, $load_id as load_id {kept}", {"load_id": load_id})
        facts = f"request_id, attempt_id, seq, sent_at as began_at, {', '.join(FACTS)}, $source as source"
        store.run(f"insert into request_facts by name select {facts}, $load_id as load_id {kept}", values)
    else:
        if table == "requests":
            # a row of a requests file wins over what attempts said of it
            store.run(f"delete from requests where load_id is null and request_id in (select request_id {kept})")
        own = ", ".join(quoted(name) for name in names)
        store.run(f"insert into {table} by name select {own}, $load_id as load_id {kept}", {"load_id": load_id})
    return done


def _record(store: Store, done: FileLoad) -> FileLoad:
    store.run(
        "insert into loads values"
        " ($load_id, $source, $path, $sha256, $rows_read, $rows_loaded, $rows_duplicate, $rows_rejected, $loaded_at)",
        {
            "load_id": done.load_id, "source": done.source, "path": done.path, "sha256": done.sha256,
            "rows_read": done.rows_read, "rows_loaded": done.rows_loaded, "rows_duplicate": done.rows_duplicate,
            "rows_rejected": done.rows_rejected, "loaded_at": datetime.now(UTC),
        },
    )  # fmt: skip
    return done


def _record_rejects(store: Store, item: Staged, load_id: int) -> None:
    import polars as pl

    keys = ", ".join(f"{quoted(name)} := s.{quoted(name)}" for name in canonical.KEYS[item.format.table])
    found = store.rows(
        f"select coalesce(s.line, s.row_no + 1), j.reason, left(to_json(struct_pack({keys}))::varchar, 200)"
        " from judged as j join staged as s on s.row_no = j.row_no where j.outcome = 'rejected' order by j.row_no"
    )
    rows = [(load_id, item.records.line(line), reason, record) for line, reason, record in found]
    rows += [(load_id, line, reason, None) for line, reason in item.records.bad]
    if rows:
        frame = pl.DataFrame(
            sorted(rows, key=lambda row: row[1]), schema=["load_id", "line", "reason", "record"], orient="row"
        )
        frame = frame.with_columns(pl.col("record").cast(pl.String))
        store.connection.register("reject_rows", frame.to_arrow())
        try:
            store.run("insert into rejects by name select * from reject_rows")
        finally:
            store.connection.unregister("reject_rows")
