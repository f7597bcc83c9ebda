# ruff: noqa: S608 - every identifier is the kit's own
"""Laws: what must hold of every format on every file, tried on a sample: for a user's format and for the kit's own."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from incident_kit.errors import IncidentKitError
from incident_kit.sources.files import inspect
from incident_kit.sources.hostile import hostile
from incident_kit.sources.loading import load, recognise, stage_all
from incident_kit.sources.records import Records
from incident_kit.sources.staging import Staged, clear, prepare
from incident_kit.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from incident_kit.sources.report import Answer, LoadReport

CUTS = 4


@dataclass(frozen=True)
class Law:
    """A law, whether the sample kept it, and what was seen."""

    name: str
    held: bool
    detail: str


@dataclass(frozen=True)
class Trial:
    """A format tried on a sample: its laws, and what the sample's log can answer."""

    source: str
    laws: tuple[Law, ...]
    answers: Mapping[str, Answer] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether every law was kept."""
        return all(law.held for law in self.laws)


def trial(
    path: str | Path,
    *,
    source: str | None = None,
    zone: str | None = None,
    seed: int = 0,
    rounds: int = 1,
    cuts: int = CUTS,
) -> Trial:
    """Return what became of the laws on a sample: conservation, twice, shuffled, cut short, hostile text.

    Parameters
    ----------
    path
        A small file that loads.
    source
        The format's name or ``.sql`` file; detected when not given.
    zone
        The zone of times without one.
    seed, rounds, cuts
        Of what is drawn; how often each hostile change is made; how often the file is cut short.

    Raises
    ------
    IncidentKitError
        The sample itself cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="incident-kit-") as name:
        bench = _Bench(Path(path), Path(name), source, zone)
        try:
            return bench.tried(seed=seed, rounds=rounds, cuts=cuts)
        finally:
            bench.close()


class _Bench:
    def __init__(self, sample: Path, folder: Path, source: str | None, zone: str | None) -> None:
        self.sample, self.folder, self.zone = sample, folder, zone
        self.store, self.scratch = Store(), Store()
        staged = self._staged(sample, source, zone=zone)
        self.source = source or staged.format.name
        self.conserved = _conserved("conservation", self.scratch, staged)
        rows = self.scratch.rows(f"select record::varchar from ({staged.records.objects})", staged.records.params)
        self.records = [text for (text,) in rows if text is not None]

    def tried(self, *, seed: int, rounds: int, cuts: int) -> Trial:
        first = load(self.store, self.sample, source=self.source, zone=self.zone)
        found = [
            self.conserved,
            *self._order(seed=seed),
            self._cut_short(seed=seed, cuts=cuts),
            self._hostile(seed=seed, rounds=rounds),
        ]
        return Trial(first.loads[0].source, tuple(found), first.answers)

    def close(self) -> None:
        self.store.close()
        self.scratch.close()

    def _staged(self, path: Path, source: str | None, *, zone: str | None) -> Staged:
        prepare(self.scratch)
        clear(self.scratch)
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        file, chosen = recognise(self.scratch, inspect(path).linked(folder), source=source, columns={})
        item = Staged("staged_0", file, chosen, Records(file), "")
        return stage_all(self.scratch, item, folder=folder, zone=zone, columns={})[0]

    def _written(self, lines: Iterable[bytes]) -> Path:
        file = Path(tempfile.mkdtemp(dir=self.folder)) / "log.ndjson"
        file.write_bytes(b"".join(line + b"\n" for line in lines))
        return file

    def _order(self, *, seed: int) -> list[Law]:
        shuffled = [text.encode("utf-8", "surrogateescape") for text in self.records]
        random.Random(seed).shuffle(shuffled)  # noqa: S311 - the same order again for the same seed
        other = self._written(shuffled)
        before = tables(self.store)
        again = load(self.store, other, source=self.source, zone=self.zone)
        twice = _difference(before, tables(self.store))
        if again.rows_loaded:
            twice = f"{again.rows_loaded:,} rows were loaded a second time"
        _empty(self.scratch)
        load(self.scratch, other, source=self.source, zone=self.zone)
        apart = _difference(before, tables(self.scratch))
        return [
            Law("twice", held=not twice, detail=twice or f"{again.rows_duplicate:,} duplicates, nothing changed"),
            Law("shuffled", held=not apart, detail=apart or "the same tables"),
        ]

    def _cut_short(self, *, seed: int, cuts: int) -> Law:
        whole = self.sample.read_bytes()
        chance = random.Random(seed)  # noqa: S311 - the same cuts again for the same seed
        plain = inspect(self.sample).kind == "lines"
        read = refused = 0
        for cut in sorted(chance.randrange(1, len(whole)) for _ in range(cuts)):
            file = Path(tempfile.mkdtemp(dir=self.folder)) / self.sample.name
            file.write_bytes(whole[:cut])
            wanted = sum(bool(line.strip()) for line in whole[:cut].split(b"\n")[:-1]) if plain else 0
            outcome = self._attempted(file)
            if isinstance(outcome, IncidentKitError):
                refused += 1
            elif isinstance(outcome, Exception):
                return _fell("cut short", outcome, f"cut after {cut:,} bytes")
            elif outcome.rows_read < wanted:
                lost = f"cut after {cut:,} bytes: {wanted:,} whole lines, {outcome.rows_read:,} rows read"
                return Law("cut short", held=False, detail=lost)
            else:
                read += 1
        return Law("cut short", held=True, detail=f"{cuts} cuts: {read} loaded, {refused} refused in a sentence")

    def _hostile(self, *, seed: int, rounds: int) -> Law:
        made = list(hostile(self.records, seed=seed, rounds=rounds))
        if not made:
            return Law("hostile", held=True, detail="the sample has no records to change")
        file = self._written([*(text.encode() for text in self.records), *(line for _, line in made)])
        outcome = self._attempted(file, read=True)
        if isinstance(outcome, IncidentKitError):
            return self._hostile_apart(made)
        if isinstance(outcome, Exception):
            return _fell("hostile", outcome, self._guilty(made))
        if outcome.rows_read < len(self.records) + len(made):
            lost = f"{len(self.records) + len(made):,} lines, {outcome.rows_read:,} rows read"
            return Law("hostile", held=False, detail=lost)
        kept = _conserved("hostile", self.scratch, self._staged(file, self.source, zone=self.zone or "UTC"))
        counted = (
            f"{len(made):,} hostile lines: {outcome.rows_loaded:,} rows loaded, {outcome.rows_rejected:,} rejected"
        )
        return Law("hostile", held=kept.held, detail=kept.detail if not kept.held else counted)

    def _hostile_apart(self, made: Sequence[tuple[str, bytes]]) -> Law:
        """Find the lines that have a whole file refused, as a mixture of zones or units does; try the others without."""
        left, refusing = [list(made)], []
        while left:
            part = left.pop()
            outcome = self._attempted(
                self._written([*(text.encode() for text in self.records), *(line for _, line in part)])
            )
            if isinstance(outcome, IncidentKitError) and len(part) > 1:
                left += [part[: len(part) // 2], part[len(part) // 2 :]]
            elif isinstance(outcome, IncidentKitError):
                refusing.append(part[0][0])
            elif isinstance(outcome, Exception):
                return _fell("hostile", outcome, self._guilty(part))
            elif outcome.rows_read < len(self.records) + len(part):
                return Law("hostile", held=False, detail=f"of {len(part):,} hostile lines some were lost")
        said = f"{len(made):,} hostile lines, {len(refusing):,} of which have the file refused: {', '.join(refusing)}"
        return Law("hostile", held=True, detail=said)

    def _guilty(self, made: Sequence[tuple[str, bytes]]) -> str:
        for name, line in made:
            outcome = self._attempted(self._written([line]))
            if isinstance(outcome, Exception) and not isinstance(outcome, IncidentKitError):
                return name
        return "all of them together"

    def _attempted(self, file: Path, *, read: bool = False) -> LoadReport | Exception:
        _empty(self.scratch)
        try:
            report = load(self.scratch, file, source=self.source, zone=self.zone or "UTC")
            if read:
                tables(self.scratch)
            str(report).encode("utf-8")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            return error
        return report


def _conserved(name: str, store: Store, staged: Staged) -> Law:
    """Every record gives a row at least, which is loaded, a duplicate or rejected."""
    ((records,),) = store.rows(f"select count(*) from ({staged.records.objects})", staged.records.params)
    ((rows, lines),) = store.rows(f"select count(*), count(distinct line) from {staged.table}")
    seen = rows if staged.format.one_to_one or not lines else lines
    lost = records - seen
    if lost > 0:
        return Law(name, held=False, detail=f"{lost:,} of {records:,} records give no row, not even a reject")
    if staged.format.one_to_one and rows != records:
        return Law(name, held=False, detail=f"{records:,} records give {rows:,} rows: leave one_to_one out")
    bad = f", {len(staged.records.bad):,} lines are no records" if staged.records.bad else ""
    return Law(name, held=True, detail=f"{records:,} records, {rows:,} rows{bad}")


def _empty(store: Store) -> None:
    for name in (*_with_load(store), "loads", "rejects", "answers"):
        store.run(f"delete from {name}")


def _fell(name: str, error: Exception, what: str) -> Law:
    return Law(
        name, held=False, detail=f"{what}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    )


def tables(store: Store) -> dict[str, pl.DataFrame]:
    """Return every table of an incident without what differs from load to load."""
    found = {name: store.frame(f"select * exclude (load_id) from {name} order by all") for name in _with_load(store)}
    found["rejects"] = store.frame("select distinct reason, record from rejects order by all")
    return found


def _with_load(store: Store) -> list[str]:
    listed = "select table_name from duckdb_columns() where column_name = 'load_id' and not internal order by 1"
    return [name for (name,) in store.rows(listed) if name not in {"loads", "rejects", "answers"}]


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    names = [name for name in one if not one[name].equals(other[name])]
    parts = [f"{name} ({one[name].height:,} rows, then {other[name].height:,})" for name in names]
    return f"other rows in {', '.join(parts)}" if parts else ""
