"""Spreadsheets: tables for people who open them in Excel, as CSV or XLSX, with nothing in a cell that a sheet would run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from incident_kit.errors import UnwritableFile
from incident_kit.outfiles.outputs import write_whole
from incident_kit.words import undirected

LONGEST = 32_000  # characters of a cell: Excel takes 32,767
LINK = 2000  # characters of a link: Excel takes 2,079
FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
# controls, private marks and halves of surrogates, which XML cannot hold
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff\ufeff]+")
_SAFE_LINK = re.compile(r"https?://[^\s\"<>\\^`{|}\x00-\x20\x7f-\x9f]+", re.IGNORECASE)


def safe_text(text: str) -> str:
    r"""Return text for a cell: one line, and an apostrophe before what a sheet would take for a formula.

    Examples
    --------
    >>> safe_text("=1+1"), safe_text("\t@x"), safe_text("a-b"), safe_text(" -2")
    ("'=1+1", "'@x", 'a-b', "'-2")
    """
    one = undirected(_CONTROL.sub(" ", text)).strip()[:LONGEST]
    return f"'{one}" if one.startswith(tuple(FORMULA)) else one


def safe_link(text: str | None) -> str | None:
    """Return a web address that a sheet may open, or None."""
    return text if text and len(text) <= LINK and _SAFE_LINK.fullmatch(text) else None


def write_table(
    frame: pl.DataFrame,
    path: str | Path,
    *,
    titles: Mapping[str, str],
    about: Sequence[str] = (),
    link: str | None = None,
) -> Path:
    """Return the file that a frame was written to: ``.csv`` (UTF-8 with a mark that Excel knows it by) or ``.xlsx``.

    Parameters
    ----------
    titles
        The head of each column, by its name; columns without one are left out.
    about
        Lines for a second sheet; a CSV has none.
    link
        The column of web addresses; the sheet's first column opens them. Addresses that are none are left out.

    Raises
    ------
    UnwritableFile
        The file's name ends otherwise, or it cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in {".csv", ".xlsx"}:
        raise UnwritableFile(f"{target.name!r} cannot be written: its name ends in .csv or .xlsx")
    shown = frame.select(list(titles))
    rows = [[_cell(value, is_link=name == link) for name, value in row.items()] for row in shown.iter_rows(named=True)]
    content = _csv(titles, rows) if target.suffix.lower() == ".csv" else _xlsx(titles, rows, about, link)
    return write_whole(target, content)


def _cell(value: Any, *, is_link: bool = False) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return safe_link(value) if is_link else safe_text(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None, microsecond=0)
    if isinstance(value, float):
        return round(value, 3) if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - not a number
    return value


def _csv(titles: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([safe_text(title) for title in titles.values()])
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8")


def _xlsx(titles: Mapping[str, str], rows: Sequence[Sequence[Any]], about: Sequence[str], link: str | None) -> bytes:
    import xlsxwriter

    buffer = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(buffer, options) as book:
        book.set_properties({"created": datetime(2000, 1, 1, tzinfo=UTC)})  # the same table gives the same bytes
        head = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
        instant = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        opens = book.add_format({"font_color": "#0b5394", "underline": 1})
        sheet = book.add_worksheet("Tickets")
        names = [name for name in titles if name != link]
        where = [i for i, name in enumerate(titles) if name != link]
        at = list(titles).index(link) if link is not None and link in titles else None
        for column, name in enumerate(names):
            sheet.write_string(0, column, safe_text(titles[name]), head)
        for number, row in enumerate(rows, start=1):
            for column, value in enumerate(row[i] for i in where):
                address = row[at] if at is not None and column == 0 else None
                _write(sheet, (number, column), value, instant, (address, opens))
        for column, width in enumerate(_widths(names, titles, rows, where)):
            sheet.set_column(column, column, width)
        sheet.freeze_panes(1, 1)
        sheet.autofilter(0, 0, max(len(rows), 1), max(len(names) - 1, 0))
        if about:
            notes = book.add_worksheet("About")
            notes.set_column(0, 0, 120)
            for number, line in enumerate(about):
                notes.write_string(number, 0, safe_text(line), book.add_format({"text_wrap": True}))
    return buffer.getvalue()


def _write(sheet: Any, at: tuple[int, int], value: Any, instant: Any, link: tuple[str | None, Any]) -> None:
    address, opens = link
    if address is not None:
        sheet.write_url(*at, address, opens, string=str(value))
    elif isinstance(value, datetime):
        sheet.write_datetime(*at, value, instant)
    elif isinstance(value, int | float):
        sheet.write_number(*at, value)
    elif value is not None:
        sheet.write_string(*at, str(value))


def _widths(
    names: Sequence[str], titles: Mapping[str, str], rows: Sequence[Sequence[Any]], where: Sequence[int]
) -> Iterator[float]:
    for name, i in zip(names, where, strict=True):
        longest = max((len(str(row[i])) for row in rows[:500] if row[i] is not None), default=0)
        yield min(max(longest, min(len(titles[name]), 14), 6) + 2, 60)
