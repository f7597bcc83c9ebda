"""What the notebooks show: sentences in lines that fit, and tables that read well in Jupyter, on a page and as text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from incident_kit import words
from incident_kit.briefs import brieftable

if TYPE_CHECKING:
    import polars as pl

    from incident_kit.scoring.scorecard import Board

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
WIDE = 100  # characters of a line
_NONE = "–"  # noqa: RUF001 - where a value would be


def say(*sentences: object) -> None:
    """Print each sentence in lines that fit a page; what it holds from a log cannot move the cursor."""
    for sentence in sentences:
        for line in str(sentence).splitlines() or [""]:
            indent = " " * (len(line) - len(line.lstrip(" -")))
            print(textwrap.fill(words.undirected(line), WIDE, subsequent_indent=indent or "  "))  # noqa: T201 - a cell's output


class Shown:
    """A table of words: as HTML where there is any, as aligned text elsewhere. Numbers stand to the right."""

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[bool]) -> None:
        self.head, self.rows, self.right = list(head), [list(row) for row in rows], list(right)

    def __repr__(self) -> str:
        if not self.rows:
            return "Nothing."
        lines = [
            self.head,
            *(line for row in self.rows for line in zip_longest(*(cell.split("\n") for cell in row), fillvalue="")),
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, self.right, strict=True)
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        if not self.rows:
            return "<p>Nothing.</p>"
        head = "".join(
            f'<th scope="col"{_side(right)}>{escape(name)}</th>'
            for name, right in zip(self.head, self.right, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f"<td{_side(right, cell)}>{_lines(cell)}</td>" for cell, right in zip(row, self.right, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _side(right: bool, text: str | None = None) -> str:  # noqa: FBT001 - of a cell; without its text, of a column's head
    whole = "; white-space: nowrap" if text is not None and (right or _INSTANT.fullmatch(text)) else ""
    return f' style="text-align: {"right" if right else "left"}{whole}"'


def _lines(cell: str) -> str:
    """Return a cell's first line, and the others smaller below it."""
    first, *others = cell.split("\n")
    return str(escape(first)) + "".join(f"<br><small>{escape(line)}</small>" for line in others)


def table(frame: pl.DataFrame) -> Shown:
    """Return a frame as a table for people: instants in UTC to the second, thousands with a comma, a dash for what is not known.

    Examples
    --------
    >>> import polars as pl
    >>> table(pl.DataFrame({"intent": ["refund"], "requests": [1024]}))
    intent  requests
    refund     1,024
    """
    right = [kind.is_numeric() for kind in frame.dtypes]
    return Shown(
        [words.label(name) for name in frame.columns],
        [[_cell(value) for value in row] for row in frame.iter_rows()],
        right=right,
    )


def _cell(value: Any) -> str:
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.10g}"
    return words.label(str(value), longest=160) if value != "" else ""


def scorecard(board: Board, *, intent: str = "all") -> Shown:
    """Return policies side by side, a row a measure: the value, and below it the range in which nine draws in ten lie.

    The last row says what a column rests on, in the kit's three phrases.
    """
    found = brieftable.tables(board.table() if intent == "all" else board.table(by="intent"))
    for one in found:
        if one.intent == intent:
            rows = [[name, *map(_said, cells, one.rests)] for name, cells in one.rows]
            rests = ["rests on", *("\n".join(cell.evidence) for cell in one.rests)]
            return Shown(["", *one.columns], [*rows, rests], right=[False] * (1 + len(one.columns)))
    return Shown([], [], right=[])


def _said(cell: brieftable.Cell, rests: brieftable.Cell) -> str:
    """Return a number, its range and what was noticed; and what it rests on, where that is not what its column does."""
    evidence = () if cell.evidence == rests.evidence else cell.evidence
    return "\n".join(filter(None, (f"{cell.bound} {cell.value}".strip(), cell.limits, *evidence, *cell.flags)))
