"""Spreadsheets: nothing that a sheet would run, whatever a log holds; files read back as they were written."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_kit.errors import UnwritableFile
from incident_kit.helpdesk.spreadsheets import FORMULA, safe_link, safe_text, write_table

HOSTILE = (
    '=cmd|"/C calc"!A0', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u200e=1", "\uff1d1+1", "\x00=1", "\ufeff=1",
    '=HYPERLINK("http://evil")', "'=1",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_formulas_are_text(text: str) -> None:
    said = safe_text(text)
    assert said.startswith("'")
    assert not re.search(r"[\x00-\x1f]", said)


def test_the_rest_stays() -> None:
    for text in ("refund-policy", "a=b", "x\u00e9\u6f22", "3.5", "https://x", "o'clock"):
        assert safe_text(text) == text
    assert safe_text("two\nlines\x1b[31m") == "two lines [31m"
    assert len(safe_text("=" * 100_000)) < 32_767


@given(st.text())
def test_no_text_begins_as_a_formula(text: str) -> None:
    said = safe_text(text)
    assert not said.startswith((*FORMULA, "\t", "\r"))
    assert safe_text(said) == said


def test_links() -> None:
    assert safe_link("https://desk.example/tickets/41") == "https://desk.example/tickets/41"
    for bad in ("javascript:alert(1)", "file:///etc/passwd", "https://a b", 'https://a"onclick=', "", None, "x" * 9000):
        assert safe_link(bad) is None
    assert safe_link("https://a/" + "x" * 3000) is None


FRAME = pl.DataFrame(
    {
        "ticket": ["=1+1", "41", None],
        "url": ["https://desk.example/41", "javascript:alert(1)", None],
        "at": [datetime(2026, 1, 5, 12, 0, 3, 500, tzinfo=UTC), None, datetime(2026, 1, 6, tzinfo=UTC)],
        "wait": [1.23456, float("nan"), None],
        "n": [-3, 0, None],
        "over": [True, False, None],
        "hidden": ["secret"] * 3,
    }
)
TITLES = {"ticket": "Ticket", "url": "Link", "at": "Due", "wait": "Wait, s", "n": "+Count", "over": "Overridden"}


def test_csv(tmp_path: Path) -> None:
    content = write_table(FRAME, tmp_path / "t.csv", titles=TITLES, link="url").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf"), "Excel would read it as Latin letters"
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows == [
        ["Ticket", "Link", "Due", "Wait, s", "'+Count", "Overridden"],
        ["'=1+1", "https://desk.example/41", "2026-01-05 12:00:03", "1.235", "-3", "yes"],
        ["41", "", "", "", "0", "no"],
        ["", "", "2026-01-06 00:00:00", "", "", ""],
    ]


def sheets(path: Path) -> tuple[list[list[Any]], str, list[str]]:
    """Return the first sheet's cells, all of the file's text, and where its links go."""
    name = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(path) as book:
        parts = {one: book.read(one).decode() for one in book.namelist() if one.endswith((".xml", ".rels"))}
    shared = ["".join(item.itertext()) for item in ET.fromstring(parts["xl/sharedStrings.xml"])]  # noqa: S314 - our own
    rows = []
    for row in ET.fromstring(parts["xl/worksheets/sheet1.xml"]).iter(f"{name}row"):  # noqa: S314 - the same
        values = {}
        for cell in row.iter(f"{name}c"):
            value = cell.findtext(f"{name}v")
            column = re.sub(r"\d", "", cell.attrib["r"])
            values[column] = shared[int(value or 0)] if cell.attrib.get("t") == "s" else float(value or 0)
        rows.append([values.get(column) for column in "ABCDE"])
    links = re.findall(r'Target="(http[^"]*)"', parts.get("xl/worksheets/_rels/sheet1.xml.rels", ""))
    return rows, "".join(parts.values()), links


def test_xlsx(tmp_path: Path) -> None:
    path = write_table(FRAME, tmp_path / "t.xlsx", titles=TITLES, about=["=evil", "Times are UTC."], link="url")
    rows, whole, links = sheets(path)
    assert rows[0] == ["Ticket", "Due", "Wait, s", "'+Count", "Overridden"]
    assert rows[1][0] == "'=1+1"
    assert rows[1][1] == pytest.approx(46027.5 + 3 / 86_400), "days since the year 1900"
    assert (rows[1][2], rows[1][3], rows[1][4]) == (1.235, -3, "yes")
    assert rows[2] == ["41", None, None, 0, "no"]
    assert "<f>" not in whole, "no cell is a formula"
    assert links == ["https://desk.example/41"]
    assert "javascript" not in whole
    assert "secret" not in whole
    again = write_table(FRAME, tmp_path / "u.xlsx", titles=TITLES, about=["=evil", "Times are UTC."], link="url")
    assert again.read_bytes() == path.read_bytes()


def test_nothing_to_write(tmp_path: Path) -> None:
    rows, _, _ = sheets(write_table(FRAME.head(0), tmp_path / "t.xlsx", titles=TITLES))
    assert len(rows) == 1
    assert write_table(FRAME.head(0), tmp_path / "t.csv", titles=TITLES).read_bytes().count(b"\r\n") == 1


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UnwritableFile, match=r"ends in \.csv or \.xlsx"):
        write_table(FRAME, tmp_path / "t.xls", titles=TITLES)
    with pytest.raises(UnwritableFile, match="cannot be written"):
        write_table(FRAME, tmp_path / "no" / "t.csv", titles=TITLES)


@settings(max_examples=30, deadline=None)
@given(text=st.text(alphabet=st.characters(codec=None), max_size=30))
def test_any_text_makes_a_readable_file(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Halves of surrogates, controls and whatever else; what is read back is what was meant."""
    folder = tmp_path_factory.mktemp("any")
    frame = pl.DataFrame({"a": ["x"]}).with_columns(a=pl.lit(text.encode("utf-8", "replace").decode()))
    rows, whole, _ = sheets(write_table(frame, folder / "t.xlsx", titles={"a": "A"}))
    assert rows[1:] in ([[safe_text(frame["a"][0]), None, None, None, None]], [["", None, None, None, None]], [])
    assert "<f>" not in whole
