"""The brief: one HTML file that opens anywhere, with the network and scripts off, and asks nobody for anything."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from incident_kit import brieftable, words
from incident_kit.briefcontent import QUESTIONS, BriefContent, Count, Lapse, Picture, gather
from incident_kit.charts import offline, theme

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BriefContent", "Count", "Lapse", "Picture", "brief", "page", "write"]

_ANSWERS = {"yes": "yes", "lower bound": "in part", "no": "no"}


def brief(incident: Any, board: Any, path: str | Path, *, title: str | None = None) -> Path:
    """Write an incident's brief and return its path; see ``briefcontent.gather`` for what it reads."""
    return write(gather(incident, board, title=title), path)


def write(content: BriefContent, path: str | Path) -> Path:
    """Write the page and return its path."""
    file = Path(path)
    file.write_text(page(content), encoding="utf-8")
    return file


def page(content: BriefContent) -> str:
    """Return the brief as one self-contained HTML page.

    The pictures are static first: they show without scripts; Vega draws over them where scripts run. A security policy
    in the page allows the two scripts it carries, by hash, and nothing else: no request can leave it.
    """
    figures = [_Figure.of(picture) for picture in content.pictures]
    script, code = _text("brief.js"), offline.bundle().replace("</script", "<\\/script")
    tables = brieftable.tables(content.table)
    return (
        _environment()
        .get_template("brief.html.j2")
        .render(
            content=content,
            figures=figures,
            tables=tables,
            phrases=(brieftable.SAW, brieftable.WORKED_OUT, brieftable.CANNOT_TELL),
            column=brieftable.column,
            zone=ZoneInfo(content.zone),
            words=words,
            questions=QUESTIONS,
            answer_words=_ANSWERS,
            loads=list(content.loads.iter_rows(named=True)),
            style=Markup(_text("brief.css")),  # noqa: S704 - the kit's own file
            light=_variables(dark=False),
            dark=_variables(dark=True),
            specs=_json(_pooled(figures)),
            script=Markup(script),  # noqa: S704 - the kit's own file
            bundle=Markup(code),  # noqa: S704 - Vega's own code, with every end of a script in it escaped
            hashes=" ".join(f"'sha256-{_digest(text)}'" for text in (code, script)),
        )
    )


@dataclass(frozen=True)
class _Figure:
    """A picture as the page needs it: four drawings, its alternative text, and its specification for two widths."""

    picture: Picture
    alt: str
    drawings: dict[str, str]
    specs: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, picture: Picture) -> _Figure:
        widths = {"wide": theme.WIDTH, "narrow": theme.NARROW}
        specs = {size: picture.draw(width=width).to_dict(validate=False) for size, width in widths.items()}
        drawings: dict[str, str] = {}
        for size, spec in specs.items():
            drawing = offline.svg(spec)
            drawings |= {f"{size}-light": _data_uri(drawing), f"{size}-dark": _data_uri(offline.darkened(drawing))}
        return cls(picture, specs["wide"].get("description", picture.heading), drawings, specs)


def _pooled(figures: Iterable[_Figure]) -> dict[str, Any]:
    """Return the specifications of all figures over one pool of data sets, so that none is in the page twice."""
    pool: dict[str, Any] = {}
    specs: dict[str, dict[str, Any]] = {}
    for figure in figures:
        for size, spec in figure.specs.items():
            pool |= spec.get("datasets", {})
            bare = {key: value for key, value in spec.items() if key not in {"datasets", "config"}}
            bare["names"] = list(spec.get("datasets", {}))
            specs.setdefault(figure.picture.id, {})[size] = bare
    return {"datasets": pool, "specs": specs, "config": theme.config(), "dark": theme.DARK}


def _json(value: Any) -> Markup:
    """Return JSON that no text in it can end or leave: ``<``, ``>`` and ``&`` are escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe)  # noqa: S704 - escaped in the line above


def _data_uri(picture: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _variables(*, dark: bool) -> dict[str, str]:
    """Return the page's colours, the same as the charts'."""
    names = {"paper": theme.PAPER, "ink": theme.INK, "muted": theme.MUTED, "grid": theme.GRID, "band": theme.BAND}
    names |= {"link": theme.BLUE, "accent": theme.VERMILLION}
    return {name: theme.DARK[colour] if dark else colour for name, colour in names.items()}


@functools.cache
def _text(name: str) -> str:
    return (importlib.resources.files("incident_kit") / "templates" / name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("incident_kit"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: words.undirected(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
