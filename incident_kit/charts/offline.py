"""Charts without a network: pictures, the one script that draws them, and a notebook renderer that asks nobody."""

from __future__ import annotations

import functools
import html
import re
from typing import Any

import altair as alt
import vl_convert

from incident_kit.charts import theme
from incident_kit.errors import UndrawnChart

VEGA_LITE = "6.4"
_PAINT = re.compile(r'((?:fill|stroke)=)"(#[0-9a-f]{6})"')
_TAG = re.compile(r"<[a-z][^>]*>")
_SPARE = re.compile(r' (?:class|role|aria-[a-z]+|pointer-events|font-family)="[^"]*"| opacity="1"')
_PLACE = re.compile(r' (?:d|transform)="[^"]*"')
_LONG = re.compile(r"-?\d+\.\d{2,}")  # of a pixel, one decimal can be seen
_LAB = "application/vnd.vegalite.v5+json"
_LAB_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


def svg(chart: alt.TopLevelMixin | dict[str, Any], *, dark: bool = False) -> str:
    """Return the chart as SVG, in the light or the dark colours; what only a pointer would find is left out.

    Raises
    ------
    UndrawnChart
        The specification is not one that Vega-Lite can draw; some faults show only as an empty picture.
    """
    spec = _still(theme.spec(chart))
    marks = {"config": {**spec.get("config", {}), "mark": {"aria": False}}}
    try:
        picture: str = vl_convert.vegalite_to_svg({**spec, **marks}, vl_version=VEGA_LITE)
    except ValueError as error:
        reason = " ".join(str(error).split("\n")[:2])
        raise UndrawnChart(f"the chart cannot be drawn: {reason}") from error
    if "role-mark" not in picture:
        raise UndrawnChart("the chart cannot be drawn: it came out as an empty picture")
    name = html.escape(str(spec.get("description", "Chart")))
    slim = _TAG.sub(lambda tag: _short(tag[0]), picture)
    picture = slim.replace("<svg ", f'<svg role="img" aria-label="{name}" font-family="{theme.FONT}" ', 1)
    return darkened(picture) if dark else picture


def _short(tag: str) -> str:
    """Return a tag of a picture without what only a live chart needs, and with tenths of a pixel at most."""
    kept = _SPARE.sub("", tag)
    return _PLACE.sub(lambda place: _LONG.sub(lambda number: f"{float(number[0]):.1f}", place[0]), kept)


def darkened(picture: str) -> str:
    """Return an SVG in the dark colours: those of the theme, where they fill or stroke."""
    return _PAINT.sub(lambda paint: f'{paint[1]}"{theme.DARK.get(paint[2], paint[2])}"', picture)


def _still(node: Any) -> Any:
    """Return a specification without its tooltips, without what only answers a pointer, and with its controls at rest."""
    if isinstance(node, list):
        return [_still(item) for item in node if not (isinstance(item, dict) and "opacity" in item.get("encoding", {}))]
    if isinstance(node, dict):
        kept = {key: value if key == "datasets" else _still(value) for key, value in node.items() if key != "tooltip"}
        if isinstance(node.get("params"), list):
            kept["params"] = [
                {name: value for name, value in one.items() if name != "bind"}
                for one in node["params"]
                if "select" not in one
            ]
        return kept
    return node


def png(chart: alt.TopLevelMixin | dict[str, Any], *, dark: bool = False, scale: float = 2.0) -> bytes:
    """Return the chart as PNG, ``scale`` pixels of the picture for each of the chart's."""
    picture: bytes = vl_convert.svg_to_png(svg(chart, dark=dark), scale=scale)
    return picture


@functools.cache
def bundle() -> str:
    """Return the script that sets ``vegaEmbed`` in a page: Vega, Vega-Lite and their interpreter, 0.9 MB."""
    make: Any = vl_convert.javascript_bundle  # its snippet may be left out, whatever its stub says
    code: str = make(vl_version=VEGA_LITE)
    return code


def enable_offline(*, dark: bool = False) -> None:
    """Show charts in notebooks without a network: JupyterLab's own Vega live, SVG where no script runs.

    Parameters
    ----------
    dark
        Draw in the dark colours; the paper is part of the chart, so either reads well under any theme of JupyterLab.
    """

    def mimebundle(spec: dict[str, Any], **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        drawn = theme.spec(spec, dark=dark)
        bundle = {
            _LAB: {**drawn, "$schema": _LAB_SCHEMA},  # JupyterLab 4.6 carries Vega-Lite 5.6
            "image/svg+xml": svg(drawn),
            "text/plain": str(spec.get("description", "Chart")),
        }
        return bundle, {_LAB: {"embed_options": {"renderer": "svg", "actions": False}}}

    alt.renderers.register("incident_kit", mimebundle)
    alt.renderers.enable("incident_kit")
