"""A notebook's cells as a page needs them: prose and results that no script, request or person's name can leave."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from incident_kit.errors import UnfitNotebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from incident_kit.notebookpages.fingerprints import Fingerprints

_CHART = re.compile(r"application/vnd\.vegalite\.v\d+\+json")
_WIDGET = "application/vnd.jupyter.widget-view+json"
_PICTURES = ("image/png", "image/jpeg", "image/gif")
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")
_UNSEEN = re.compile(r"<(script|style|template|noscript)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TEXT = "a|abbr|b|blockquote|br|cite|code|dd|del|details|div|dl|dt|em|h1|h2|h3|h4|h5|h6|hr|i|ins|kbd|li|mark|ol|p|pre|q|s|samp"
_TEXT += "|small|span|strong|sub|summary|sup|u|ul|var"
_TAGS = [*_TEXT.split("|"), "caption", "col", "colgroup", "table", "tbody", "td", "tfoot", "th", "thead", "tr"]
_ATTRIBUTES = {"*": ["style", "title", "lang", "dir"], "a": ["href"], "th": ["scope", "colspan", "rowspan"]}
_ATTRIBUTES |= {"td": ["colspan", "rowspan"], "ol": ["start"], "details": ["open"]}
_STYLES = ["text-align", "white-space", "font-weight", "font-style", "vertical-align"]
_COLUMNS = re.compile(r"^\||\S {2,}\S")
_WRAPPED = 70  # characters of a line that was perhaps wrapped
WIDGET = "A control stood here that needs a running notebook."


@dataclass(frozen=True)
class Shown:
    """One thing that a page shows: ``prose``, ``code``, ``text``, ``columns``, ``html``, ``picture``, ``chart`` or ``note``.

    ``body`` is markup for prose and html, the address of a picture, else plain text; ``alt`` says in words what a picture shows.
    """

    kind: str
    body: str = ""
    alt: str = ""
    spec: dict[str, Any] | None = None


@dataclass
class Leavings:
    """What was left out of a page, as sentences, each once."""

    said: dict[str, None] = field(default_factory=dict)

    def note(self, sentence: str) -> None:
        """Remember a sentence."""
        self.said.setdefault(sentence)


def texts(notebook: Any) -> Iterator[str]:
    """Yield every text of the notebook that a page may show."""
    for cell in notebook.cells:
        yield cell.source
        for output in cell.get("outputs", ()):
            yield from _strings(dict(output))


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            if key not in _PICTURES:
                yield from _strings(value)
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _strings(item)


def shown(notebook: Any, *, prints: Fingerprints, left: Leavings) -> list[Shown]:
    """Return what the page shows, cell by cell.

    Raises
    ------
    UnfitNotebook
        A cell ended in an error, or shows a secret of the environment.
    """
    found: list[Shown] = []
    for place, cell in enumerate(notebook.cells, 1):
        clean = functools.partial(prints.clean, where=f"cell {place}")
        if cell.cell_type == "markdown" and cell.source.strip():
            found.append(Shown("prose", _prose(clean(cell.source))))
            if "![" in cell.source or "<img" in cell.source:
                left.note(f"cell {place}: pictures in prose are left out")
        elif cell.cell_type == "code" and cell.source.strip():
            found.append(Shown("code", clean(cell.source)))
            for output in _joined(cell.outputs):
                found.extend(_output(output, clean=clean, left=left, place=place))
    return found


def _joined(outputs: list[Any]) -> Iterator[Any]:
    """Yield the outputs, streams that follow one another as one."""
    text = ""
    for output in outputs:
        if output.output_type == "stream" and output.name == "stdout":
            text += output.text
            continue
        if text:
            yield {"output_type": "stream", "name": "stdout", "text": text}
            text = ""
        yield output
    if text:
        yield {"output_type": "stream", "name": "stdout", "text": text}


def _output(output: Any, *, clean: Callable[[str], str], left: Leavings, place: int) -> Iterator[Shown]:
    kind = output["output_type"]
    if kind == "error":
        raise UnfitNotebook(
            f"cell {place} ended in {output['ename']}: a page shows a notebook that ran to its end; mend the cell, run all "
            "cells, save, and export again"
        )
    if kind == "stream" and output["name"] != "stdout":
        left.note(f"cell {place}: warnings on the error stream are left out")
    elif kind == "stream":
        yield from _printed(clean(output["text"]))
    else:
        yield from _best(output["data"], clean=clean, left=left, place=place)


def _best(data: dict[str, Any], *, clean: Callable[[str], str], left: Leavings, place: int) -> Iterator[Shown]:
    """Yield the best form of a result that works without a network: chart, picture, table, text."""
    chart = next((name for name in data if _CHART.fullmatch(name)), None)
    plain = _plain(clean(data.get("text/plain", "")))
    if chart is not None:
        spec = _cleaned(data[chart], clean)
        alt = str(spec.get("description") or plain or "Chart")
        if _asks(spec):
            left.note(f"cell {place}: a chart whose data lie elsewhere is a picture only")
            picture = _picture(data, clean)
            yield Shown("picture", picture, alt) if picture else Shown("note", alt)
        else:
            yield Shown("chart", _picture(data, clean), alt, spec)
    elif _WIDGET in data:
        left.note(f"cell {place}: a control cannot work in a page; a cell with its .snapshot() shows how it stood")
        yield Shown("note", WIDGET)
    elif picture := _picture(data, clean):
        yield Shown("picture", picture, "" if plain.startswith("<") else plain)
    elif markup := _cleaned_html(clean(data.get("text/html", ""))):
        yield Shown("html", markup)
    elif "text/markdown" in data:
        yield Shown("html", _prose(clean(data["text/markdown"])))
    elif "text/html" in data:
        left.note(
            f"cell {place}: a result that needs a script from elsewhere is left out; for charts, call enable_offline() first"
        )
        yield Shown("note", "A result stood here that needs a script from elsewhere.")
    elif plain:
        yield from _printed(plain)


def _asks(node: Any) -> bool:
    """Return whether a chart's form names data that would have to be fetched."""
    if isinstance(node, dict):
        return isinstance(node.get("url"), str) or any(map(_asks, node.values()))
    return isinstance(node, list) and any(map(_asks, node))


def _cleaned(node: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(node, str):
        return clean(node)
    if isinstance(node, dict):
        return {clean(key): _cleaned(value, clean) for key, value in node.items()}
    return [_cleaned(item, clean) for item in node] if isinstance(node, list) else node


def _picture(data: dict[str, Any], clean: Callable[[str], str]) -> str:
    """Return the address of the result's picture, as data: as an image, nothing in it can run or load."""
    if "image/svg+xml" in data:
        drawn = clean(data["image/svg+xml"]).encode()
        return "data:image/svg+xml;base64," + base64.b64encode(drawn).decode()
    for kind in _PICTURES:
        if kind in data:
            packed = "".join(str(data[kind]).split())
            return f"data:{kind};base64,{packed}" if re.fullmatch(r"[A-Za-z0-9+/=]+", packed) else ""
    return ""


def _plain(text: str) -> str:
    return _ANSI.sub("", text).strip("\n")


def _printed(text: str) -> Iterator[Shown]:
    """Yield what was printed, block by block: columns where it is a table, else sentences."""
    flowing: list[str] = []
    width = max(map(len, _plain(text).split("\n")))
    for block in re.split(r"\n(?: *\n)+", _plain(text)):
        if sum(bool(_COLUMNS.search(line)) for line in block.split("\n")) < 2:
            flowing.append(_flowing(block, width))
            continue
        if flowing:
            yield Shown("text", "\n\n".join(flowing))
            flowing = []
        yield Shown("columns", block)
    if flowing:
        yield Shown("text", "\n\n".join(flowing))


def _flowing(block: str, width: int) -> str:
    """Return sentences whose lines were wrapped where they were printed, with these lines joined again.

    A line goes on in the next only where that one's first word would have been too wide for it.
    """
    found: list[str] = []
    last = ""
    for line in block.split("\n"):
        word = line.split()[0] if line.strip() else ""
        had_room = len(f"{last} {word}") <= width
        if len(last) > _WRAPPED and not had_room and line.startswith("  ") and word != "-":
            found[-1] += " " + line.strip()
        else:
            found.append(line)
        last = line
    return "\n".join(found)


def _prose(source: str) -> str:
    """Return markdown as markup that holds nothing but text, lists, tables and links."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True)
    return _cleaned_html(MarkdownWithMath(renderer=renderer).render(source))


def _cleaned_html(markup: str) -> str:
    """Return markup without scripts, styles, pictures, frames and forms; empty where no text is left."""
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    if not markup:
        return ""
    cleaner = SanitizeHTML(tags=_TAGS, attributes=_ATTRIBUTES, styles=_STYLES, strip=True)  # type: ignore[no-untyped-call]
    clean: str = cleaner.sanitize_html_tags(_UNSEEN.sub("", markup))  # type: ignore[no-untyped-call]
    return Markup(clean) if Markup(clean).striptags().strip() else ""  # noqa: S704 - cleaned in the line above
