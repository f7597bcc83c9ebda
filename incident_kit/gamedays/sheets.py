"""Sheets: pages to print and to write on, from one list of parts, as Markdown and as HTML."""

from __future__ import annotations

import importlib.resources
import re
from dataclasses import dataclass, field

from incident_kit.words import label, undirected

BOX = "☐"
LONGEST = 600
_MARKUP = re.compile(r"([\\`*_\[\]<>#|&~$])")
_START = re.compile(r"^(\s*)([-+]|\d+[.)])(?=\s)")


@dataclass(frozen=True)
class Items:
    """A list; ``boxes``: each with a box to tick."""

    lines: tuple[str, ...]
    boxes: bool = False
    kind: str = field(default="items", init=False)


@dataclass(frozen=True)
class Say:
    """A paragraph."""

    text: str
    kind: str = field(default="say", init=False)


@dataclass(frozen=True)
class Grid:
    """A table; ``blanks`` empty rows to write in follow its own. ``boxes``: its last columns are for what was seen, and when."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    blanks: int = 0
    boxes: bool = False
    kind: str = field(default="grid", init=False)

    @property
    def heads(self) -> tuple[str, ...]:
        """The columns' names, those to write in included."""
        return (*self.columns, "seen", "at") if self.boxes else self.columns

    @property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Every row as long as the head, the empty ones included."""
        own = tuple((*row, BOX, "") if self.boxes else row for row in self.rows)
        return (*own, *[("",) * len(self.heads)] * self.blanks)


@dataclass(frozen=True)
class Section:
    """A heading and what is under it; ``apart``: it begins a new page in print."""

    title: str
    parts: tuple[Items | Say | Grid, ...]
    apart: bool = False


@dataclass(frozen=True)
class Sheet:
    """A whole sheet: title, a line under it, a warning that stands in a frame, and its sections."""

    title: str
    about: str
    warning: str
    sections: tuple[Section, ...]

    @property
    def markdown(self) -> str:
        """The sheet as Markdown; text of a log is escaped."""
        lines = [f"# {_plain(self.title)}", "", _plain(self.about), "", f"**{_plain(self.warning)}**"]
        for section in self.sections:
            lines += ["", f"## {_plain(section.title)}"]
            for part in section.parts:
                lines += ["", *_lines(part)]
        return "\n".join(lines) + "\n"

    @property
    def html(self) -> str:
        """The sheet as one HTML file to print: no script, and nothing fetched from anywhere."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        made = Environment(
            loader=PackageLoader("incident_kit"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
            finalize=lambda value: undirected(value) if type(value) is str else value,
        )  # fmt: skip
        style = (importlib.resources.files("incident_kit") / "templates" / "sheet.css").read_text(encoding="utf-8")
        return made.get_template("sheet.html.j2").render(sheet=self, style=style, box=BOX)


def _lines(part: Items | Say | Grid) -> list[str]:
    if isinstance(part, Say):
        return [_plain(part.text)]
    if isinstance(part, Items):
        return [f"- {'[ ] ' if part.boxes else ''}{_plain(line)}" for line in part.lines]
    head = [f"| {' | '.join(_plain(one) for one in part.heads)} |", "|" + "---|" * len(part.heads)]
    return head + [f"| {' | '.join(_plain(one) for one in row)} |" for row in part.cells]


def _plain(text: str) -> str:
    """Return text that Markdown shows as it stands, on one line."""
    clean = label(text, longest=LONGEST) if text else ""
    return _START.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", clean))
