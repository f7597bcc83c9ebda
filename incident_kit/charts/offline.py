"""Charts without a network: pictures, the one script that draws them, and a notebook renderer that asks nobody."""

from __future__ import annotations

import functools
from typing import Any

import altair as alt
import vl_convert

from incident_kit.charts import theme
from incident_kit.errors import IncidentKitError

VEGA_LITE = "6.4"
_LAB = "application/vnd.vegalite.v5+json"
_LAB_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


class UndrawnChart(IncidentKitError):
    """A chart could not be turned into a picture."""


def svg(chart: alt.TopLevelMixin | dict[str, Any], *, dark: bool = False) -> str:
    """Return the chart as SVG, in the light or the dark colours.

    Raises
    ------
    UndrawnChart
        The renderer drew nothing: it reports some faults of a specification only as an empty picture.
    """
    picture: str = vl_convert.vegalite_to_svg(theme.spec(chart, dark=dark), vl_version=VEGA_LITE)
    if "role-mark" not in picture:
        raise UndrawnChart(
            "the chart came out as an empty picture: its specification is not one that Vega-Lite can draw"
        )
    return picture


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
