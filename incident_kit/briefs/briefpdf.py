"""The brief on paper: a tagged PDF with the front, its chart, and the engineers' tables and charts; no browser is needed."""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from incident_kit import words
from incident_kit.briefs import brieftable
from incident_kit.briefs.brieftable import TICKET_COLUMNS, TICKETS, ticket_rows
from incident_kit.charts import offline, theme

if TYPE_CHECKING:
    import polars as pl

    from incident_kit.briefs.briefcontent import BriefContent
    from incident_kit.briefs.briefpictures import Picture

BANNER = "Simulated data: nobody was affected."
NUMBERS = "This machine has no font for some letters: they stand as their Unicode numbers, such as [U+4E2D]."
FONTS = (
    '("Helvetica", "Arial", "Liberation Sans", "DejaVu Sans", "Libertinus Serif")'  # any other that is there follows
)
MOST_FONTS = "\u024f"  # up to here, Latin, all of these have everything, and the kit's own marks
MARKS = set("\u2013\u2018\u2019\u201c\u201d\u2022\u2026\u2212")
_REFUSED = re.compile(r'the text `"(.+?)"` could not be displayed')
_LONGEST = 2_000
_START = 946_684_800  # the year 2000: the same brief gives the same bytes


def pdf(content: BriefContent) -> bytes:
    """Return a brief as a tagged PDF (PDF/UA).

    Its text is data of the page's template, so none of it is markup. Letters that no font of this machine has stand as their
    Unicode numbers, and the page says so: no text is silently a row of boxes.
    """
    import typst

    template = (importlib.resources.files("incident_kit") / "templates" / "brief.typ").read_bytes()
    data = _data(content)
    if missing := without_font(json.dumps(data, ensure_ascii=False)):
        data = {**_spelt(data, missing), "note": NUMBERS}
    # nothing in the template reads a file or a package; the data come in as one JSON text
    inputs = {"content": json.dumps(data, ensure_ascii=False)}
    make: Any = functools.partial(typst.compile, template, format="pdf", sys_inputs=inputs, timestamp=_START)
    try:
        made: bytes = make(pdf_standards="ua-1")
    except typst.TypstError:  # the standard refuses what it cannot vouch for
        made = make()
    return made


def without_font(text: str) -> set[str]:
    """Return the characters of a text that no font of this machine has: a page of them alone is tried, and what is refused."""
    import typst

    rare = sorted({one for one in set(text) - MARKS if one > MOST_FONTS and not unicodedata.combining(one)})
    if not rare:
        return set()
    probe = f'#set document(title: "x")\n#set text(font: {FONTS})\n#json(bytes(sys.inputs.rare)).join([ ])'
    try:
        typst.compile(probe.encode(), format="pdf", sys_inputs={"rare": json.dumps(rare)}, pdf_standards="ua-1")
    except typst.TypstError as error:
        said = "".join(_REFUSED.findall(str(error.diagnostic)))
        plain = re.sub(
            r"\\u\{([0-9a-f]+)\}", lambda code: chr(int(code[1], 16)), said
        )  # what does not print is told so
        return set(plain) & set(rare)
    return set()


def _spelt(node: Any, missing: set[str]) -> Any:
    """Return data with the numbers of such characters in place of them, in drawings too."""
    if isinstance(node, dict):
        return {key: _spelt(value, missing) for key, value in node.items()}
    if isinstance(node, list):
        return [_spelt(one, missing) for one in node]
    if not isinstance(node, str) or missing.isdisjoint(node):
        return node
    runs = re.compile(f"[{re.escape(''.join(sorted(missing)))}]+")
    return runs.sub(lambda run: f"[U+{' '.join(f'{ord(one):04X}' for one in run[0])}]", node)


def _data(content: BriefContent) -> dict[str, Any]:
    front = content.front
    felt = _part("What people felt", lines=front.felt)
    felt["counts"] = [
        {
            "label": one.label,
            "count": one.shown,
            "of": "" if one.out_of is None else f"of {words.number(one.out_of)}",
            "usual": one.usual,
        }
        for one in front.counts
    ]
    change = [f"{fate}: {kinds}" for fate, kinds in front.changes]
    parts = [
        felt,
        *([_part("What would change", lines=[front.rules], strong=front.gains, points=change)] if front.rules else []),
        _part("How sure this is", phrases=[(words.sentence(phrase), of) for phrase, of in front.sure]),
        _part("Who owns what", points=front.owners),
    ]
    data: dict[str, Any] = _clean(
        {
            "title": content.title,
            "when": content.when,
            "foot": content.title,
            "simulated": content.is_simulated,
            "note": "",
            "banner": BANNER,
            "asked": {"heading": "What is asked", "decision": front.decision, "whom": front.whom},
            "parts": parts,
            "engineers": "For engineers",
            "front_pictures": [_picture(one, level=2) for one in content.pictures if not one.for_engineers],
            "tables": [
                *(_table(one, content.scope) for one in brieftable.tables(content.table)[:1]),
                *([_tickets(content.tickets)] if content.tickets is not None else []),
            ],
            "pictures": [_picture(one, level=2) for one in content.pictures if one.for_engineers],
        }
    )
    return data


def _part(heading: str, *, lines: Any = (), strong: Any = (), points: Any = (), phrases: Any = ()) -> dict[str, Any]:
    said = [{"strong": line, "said": ""} for line in strong]
    said += [{"strong": "", "said": line} for line in points]
    said += [{"strong": phrase, "said": of} for phrase, of in phrases]
    return {
        "heading": heading, "lines": list(lines), "points": said, "counts": [],
        "counts_head": ["What", "Count", "Beside"],
    }  # fmt: skip


def _table(table: brieftable.Table, scope: str) -> dict[str, Any]:
    rows = [[[name], *map(_cell, cells)] for name, cells in table.rows]
    if table.rests:
        rows.append([["What these numbers rest on"], *map(_cell, table.rests)])
    return {
        "caption": scope if table.intent == "all" else f"Questions about {table.intent}",
        "head": ["Measure", *table.columns],
        "widths": [1.4, *(1 for _ in table.columns)],
        "rows": rows,
    }


def _tickets(tickets: pl.DataFrame) -> dict[str, Any]:
    return {
        "caption": TICKETS,
        "head": list(TICKET_COLUMNS),
        "widths": [1] * len(TICKET_COLUMNS),
        "rows": [[[cell] for cell in row] for row in ticket_rows(tickets)],
    }


def _cell(cell: brieftable.Cell) -> list[str]:
    return [line for line in (f"{cell.bound} {cell.value}".strip(), cell.limits, *cell.evidence, *cell.flags) if line]


def _picture(picture: Picture, *, level: int) -> dict[str, Any]:
    spec = picture.draw(width=theme.WIDTH).to_dict(validate=False)
    return {
        "heading": picture.heading, "sentence": picture.sentence, "level": level, "svg": offline.svg(spec),
        "alt": spec.get("description", picture.heading),
    }  # fmt: skip


def _clean(node: Any) -> Any:
    """Return data without marks of control and direction in any text of them; drawings have none."""
    if isinstance(node, dict):
        return {key: value if key == "svg" else _clean(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_clean(one) for one in node]
    if isinstance(node, str):
        return words.label(node, longest=_LONGEST).replace(" %", "\u00a0%") if node else ""
    return node
