"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from incident_kit.errors import UnwritableFile
from incident_kit.outfiles.outputs import whole, write_whole


def test_a_text_keeps_its_line_ends_and_its_letters(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a.md", "ü\r\nb\n")
    assert path.read_bytes() == "ü\r\nb\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a.bin", b"before")

    def fail() -> None:
        with whole(path) as beside:
            beside.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_path_to_write_to_ends_like_the_other(tmp_path: Path) -> None:
    with whole(tmp_path / "t.csv") as beside:
        assert (beside.suffix, beside.parent) == (".csv", tmp_path)
        beside.write_bytes(b"")


@pytest.mark.parametrize("place", ["missing/a.txt", "file/a.txt"])
def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UnwritableFile, match=r"a\.txt cannot be written: "):
        write_whole(tmp_path / place, "x")
