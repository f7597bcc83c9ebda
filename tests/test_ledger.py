"""Ledgers: whole at every instant, whatever ends the process that writes, and never gone on with by other work."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from incident_kit.errors import InvalidSweep, UnwritableFile
from incident_kit.outfiles.ledger import Ledger

FIRST, SECOND = pl.DataFrame({"setting": [0, 1]}), pl.DataFrame({"setting": [2]})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    ledger = Ledger.of(tmp_path / "a.parquet", policy="p", grid=[1, 2])
    assert ledger.read() is None
    ledger.write([FIRST])
    ledger.write([FIRST, SECOND])
    read = Ledger.of(tmp_path / "a.parquet", policy="p", grid=[1, 2]).read()
    assert read is not None
    assert read["setting"].to_list() == [0, 1, 2]
    assert [one.name for one in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"policy": "q", "grid": [1]}, "its policy differs from that now"),
        ({"policy": "q", "grid": [2]}, "its policy and grid differ from those now"),
        ({"policy": "p", "grid": [1], "seed": 1}, "its seed differs from that now"),
    ],
)
def test_other_work_does_not_go_on_in_it(tmp_path: Path, asked: dict[str, object], said: str) -> None:
    Ledger.of(tmp_path / "a.parquet", policy="p", grid=[1]).write([FIRST])
    with pytest.raises(InvalidSweep, match=said):
        Ledger.of(tmp_path / "a.parquet", **asked).read()


def test_what_is_no_ledger_is_said(tmp_path: Path) -> None:
    FIRST.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(InvalidSweep, match="not written to be gone on with"):
        Ledger.of(tmp_path / "a.parquet", policy="p").read()
    with pytest.raises(InvalidSweep, match=r"b\.parquet cannot be gone on with"):
        Ledger.of(tmp_path / "b.parquet", policy="p").read()
    with pytest.raises(UnwritableFile, match=r"nowhere/c\.parquet cannot be written"):
        Ledger.of(tmp_path / "nowhere" / "c.parquet", policy="p").write([FIRST])


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.of(tmp_path / "a.parquet", policy="p")
    ledger.write([FIRST])

    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.write([FIRST, SECOND])
    read = ledger.read()
    assert read is not None
    assert read.equals(FIRST)
    assert [one.name for one in tmp_path.iterdir()] == ["a.parquet"]
