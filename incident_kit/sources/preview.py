# ruff: noqa: S608 - every identifier is the kit's own
"""Preview: what a load would make of a file, without doing it: the format, what maps to what, the first rows."""

from __future__ import annotations

import difflib
import json
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from incident_kit.sources import leaves
from incident_kit.sources.files import expand, inspect
from incident_kit.sources.loading import recognise, stage_all
from incident_kit.sources.records import Records
from incident_kit.sources.staging import Staged, prepare
from incident_kit.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROWS = 5
_LOOKED_AT = 40
_ENOUGH = 0.8
_NEAR = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Mapped:
    """A column of the kit, where its values stand in the records (empty: worked out), and its first values."""

    column: str
    path: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Preview:
    """What one format makes of one file; ``rejects`` are reason, rows and first line."""

    path: str
    kind: str
    source: str
    title: str
    table: str
    rows: int
    columns: tuple[Mapped, ...]
    rejects: tuple[tuple[str, int, int], ...]


def previews(
    path: str | Path | Sequence[str | Path],
    *,
    source: str | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    tags: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    zone: str | None = None,
) -> list[Preview]:
    """Return what a load would make of each file, one preview a format that reads it; nothing is kept.

    Parameters are those of `load`.

    Raises
    ------
    IncidentKitError
        A file cannot be read, or is in no known format.
    """
    found = []
    with Store() as store, tempfile.TemporaryDirectory(prefix="incident-kit-") as name:
        prepare(store)
        for number, one in enumerate(expand(path)):
            folder = Path(name) / str(number)
            folder.mkdir()
            file, chosen = recognise(store, inspect(one).linked(folder), source=source, columns=columns or {})
            chosen = chosen.relabelled(labels, tags)
            item = Staged("staged_0", file, chosen, Records(file), "")
            staged = stage_all(store, item, folder=folder, zone=zone, columns=columns or {})
            found += [_preview(store, of_format) for of_format in staged]
    return [one for number, one in enumerate(found) if one.rows or one.rejects or not number]


def _preview(store: Store, staged: Staged) -> Preview:
    table = staged.table
    ((rows,),) = store.rows(f"select count(*) from {table}")
    reasons = store.rows(
        f"select reject, count(*), min(coalesce(line, rowid + 1)) from {table} where reject is not null"
        " group by reject order by 2 desc, 1"
    )
    bad: dict[str, list[int]] = {}
    for line, reason in staged.records.bad:
        bad.setdefault(reason, []).append(line)
    rejects = [(reason, count, staged.records.line(line)) for reason, count, line in reasons]
    rejects += [(reason, len(lines), lines[0]) for reason, lines in bad.items()]
    return Preview(
        path=staged.file.shown,
        kind=staged.file.kind,
        source=staged.format.name,
        title=staged.format.title,
        table=staged.format.table,
        rows=rows + len(staged.records.bad),
        columns=_mapped(store, staged),
        rejects=tuple(rejects),
    )


def _mapped(store: Store, staged: Staged) -> tuple[Mapped, ...]:
    frame = store.frame(
        f'select coalesce(line, rowid + 1) as " line", * exclude (line, reject) from {staged.table}'
        f" where reject is null order by 1 limit {_LOOKED_AT}"
    )
    if not frame.height:
        return ()
    lines = frame[" line"].to_list()
    records = store.rows(
        f"select record::varchar from (select row_number() over () as line, record from ({staged.records.objects})"
        f" limit {max(lines)}) where list_contains($preview_lines, line) order by line",
        staged.records.params | {"preview_lines": lines},
    )
    by_line = dict(zip(sorted(set(lines)), (_leaves(text) for (text,) in records), strict=False))
    mapped = []
    for name in frame.columns[1:]:
        values = frame[name].to_list()
        if any(value is not None for value in values):
            pairs = [(value, by_line.get(line, {})) for value, line in zip(values, lines, strict=True)]
            mapped.append(Mapped(name, _path(name, pairs), tuple(values[:ROWS])))
    return tuple(mapped)


def _leaves(text: str | None) -> dict[str, Any]:
    try:
        record = json.loads(text or "null")
    except (ValueError, RecursionError):
        return {}
    found = dict(leaves.leaves(record))
    for path, value in list(found.items()):
        if (inner := leaves.opened(value)) is not None:
            found |= {f"{path} (a text), {step}": leaf for step, leaf in leaves.leaves(inner)}
    return found


def _path(name: str, pairs: Sequence[tuple[Any, Mapping[str, Any]]]) -> str:
    """Return the path whose values are the column's, in nearly every row that has one; of several, the best named."""
    known = [(value, record) for value, record in pairs if value is not None and record]
    counts: dict[str, int] = {}
    for value, record in known:
        for path, leaf in record.items():
            if _same(value, leaf):
                counts[path] = counts.get(path, 0) + 1
    likely = [path for path, count in counts.items() if count >= _ENOUGH * len(known)]
    named = {path: difflib.SequenceMatcher(None, name, _last(path)).ratio() for path in likely}
    best = max(likely, key=lambda path: (counts[path], named[path], -len(path)), default="")
    # true, false and small numbers stand everywhere: they say something only where the name does too
    return best if best and (named[best] > 0.6 or any(_is_telling(value) for value, _ in known)) else ""


def _last(path: str) -> str:
    return path.rsplit(".", 1)[-1].strip('"').lower()


def _is_telling(value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int | float):
        return value != int(value) or abs(value) > 20
    return True


def _same(value: Any, leaf: Any) -> bool:
    if leaf is None:
        return False
    if isinstance(value, datetime):
        at = leaves.instant(leaf)
        return at is not None and abs(at - value) <= _NEAR
    if isinstance(value, bool) or isinstance(leaf, bool):
        return str(value).lower() == str(leaf).lower()
    if isinstance(value, int | float):
        return leaves.number(leaf) == value
    return str(value) == str(leaf)
