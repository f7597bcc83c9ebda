"""What every page of the kit is made of: templates that escape, colours, and data and scripts that nothing can break out of."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from incident_kit import words
from incident_kit.charts import theme


def rendered(template: str, **values: Any) -> str:
    """Return a template of the kit with values in it, every text of them escaped."""
    return _environment().get_template(template).render(**values)


def json_in_page(value: Any) -> Markup:
    """Return JSON that no text in it can end or leave: ``<``, ``>`` and ``&`` are escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe)  # noqa: S704 - escaped in the line above


def digest(script: str) -> str:
    """Return a script's SHA-256 as a page's security policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def colours(*, dark: bool) -> dict[str, str]:
    """Return the page's colours by name, the same as the charts'."""
    names = {"paper": theme.PAPER, "ink": theme.INK, "muted": theme.MUTED, "grid": theme.GRID, "band": theme.BAND}
    names |= {"link": theme.BLUE, "accent": theme.VERMILLION}
    return {name: theme.DARK[colour] if dark else colour for name, colour in names.items()}


@functools.cache
def text(name: str) -> str:
    """Return the text of a file among the templates."""
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
