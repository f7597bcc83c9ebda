"""Logs loaded into a store of their own: a sample of a format, or records written for one test."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from incident_kit.sources import LoadReport, load
from incident_kit.store import Store

SAMPLES = Path(__file__).parent / "data" / "formats"


@dataclass(frozen=True)
class Loaded:
    """A store with what was loaded, and the report of it."""

    store: Store
    report: LoadReport

    def rows(self, table: str, key: str) -> dict[str, dict[str, Any]]:
        """Return the rows of a table by one of its columns."""
        found = self.store.frame(f"select * from {table} order by all").to_dicts()  # noqa: S608 - the kit's own tables
        by_key = {row[key]: row for row in found}
        assert len(by_key) == len(found), f"{key} is no key of {table}"
        return by_key

    @property
    def attempts(self) -> dict[str, dict[str, Any]]:
        return self.rows("attempts", "attempt_id")

    @property
    def requests(self) -> dict[str, dict[str, Any]]:
        return self.rows("requests", "request_id")

    @property
    def feedback(self) -> dict[str, dict[str, Any]]:
        return self.rows("feedback", "feedback_id")

    @property
    def rejects(self) -> dict[int, str]:
        return dict(self.report.rejects.select("line", "reason").iter_rows())


def of_sample(name: str, **options: Any) -> Loaded:
    """Load a format's sample; its format must be recognised, not named."""
    (file,) = SAMPLES.glob(f"{name}.*")
    store = Store()
    report = load(store, file, **options)
    assert report.loads[0].source == name
    return Loaded(store, report)


def records(name: str) -> list[dict[str, Any]]:
    """Return the records of a format's NDJSON sample."""
    text = (SAMPLES / f"{name}.ndjson").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def of_records(folder: Path, rows: Iterable[Mapping[str, Any]], **options: Any) -> Loaded:
    """Load records as NDJSON."""
    file = folder / "log.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    store = Store()
    return Loaded(store, load(store, file, **options))


def shuffled(rows: Iterable[Mapping[str, Any]], *, seed: int) -> list[Mapping[str, Any]]:
    """Return the records in another order, the same one for a seed."""
    mixed = list(rows)
    random.Random(seed).shuffle(mixed)  # noqa: S311 - nobody guards a secret with it
    return mixed


def picked(row: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    """Return some of a row's values."""
    return tuple(row[name] for name in names)
