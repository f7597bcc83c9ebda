"""One look for every chart: Okabe-Ito colours with a second set for dark pages, and the settings that carry them."""

from __future__ import annotations

import textwrap
from typing import Any

import altair as alt
import polars as pl

WIDTH = 700  # of a whole chart, in pixels
NARROW = 350  # fits a phone
FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"

PAPER, INK, MUTED, GRID, BAND = "#ffffff", "#1b1f24", "#57606a", "#e4e7eb", "#f7e5d9"
BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE = "#0072b2", "#d55e00", "#009e73", "#b3589a", "#56b4e9", "#e69f00"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, INK)
# the first is what was observed; every estimate has a dash of its own, so that colour is never alone
DASHES = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3], [4, 2, 1, 2], [12, 4])

DARK = {
    PAPER: "#15181c",
    INK: "#e9ecef",
    MUTED: "#a9b1ba",
    GRID: "#343a41",
    BAND: "#40301f",
    BLUE: "#62b8ee",
    VERMILLION: "#ff8f45",
    GREEN: "#2fd3a0",
    PURPLE: "#e79bcf",
    SKY: "#2f7fb3",
    ORANGE: "#f4bf47",
}


def config() -> dict[str, Any]:
    """Return the Vega-Lite configuration of every chart; all colours are named, so no host theme shows through."""
    text = {"font": FONT, "fontSize": 12}
    return {
        "background": PAPER,
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "domainColor": MUTED,
            "gridColor": GRID,
            "tickColor": MUTED,
            "labelColor": MUTED,
            "titleColor": INK,
            "labelFontSize": 11,
            "titleFontSize": 11,
            "titleFontWeight": "normal",
            "labelFont": FONT,
            "titleFont": FONT,
        },
        "legend": {
            "labelColor": INK,
            "titleColor": INK,
            "labelFontSize": 11,
            "labelLimit": 300,
            "padding": 0,
            "rowPadding": 1,
            "orient": "top",
            "direction": "horizontal",
            "title": None,
            "symbolStrokeWidth": 2,
            "symbolSize": 220,
            "offset": 2,
        },
        "title": {
            "color": INK,
            "subtitleColor": MUTED,
            "fontSize": 13,
            "fontWeight": 600,
            "subtitleFontSize": 11,
            "anchor": "start",
            "font": FONT,
            "subtitleFont": FONT,
        },
        "style": {
            "guide-label": {"fill": MUTED, **text},
            "guide-title": {"fill": INK, **text},
            "group-title": {"fill": INK},
            "group-subtitle": {"fill": MUTED},
            "cell": {"stroke": None},
        },
        "text": {"color": INK, "font": FONT, "fontSize": 11},
        "concat": {"spacing": 10},
    }


def finished(chart: alt.VConcatChart, description: str) -> alt.VConcatChart:
    """Return the chart with the kit's look and its description for people who do not see it."""
    shown: alt.VConcatChart = chart.properties(description=description).configure(**config())
    return shown


def spec(chart: alt.TopLevelMixin | dict[str, Any], *, dark: bool = False) -> dict[str, Any]:
    """Return the chart as a Vega-Lite specification in the light or the dark colours; the data stay as they are."""
    plain = chart if isinstance(chart, dict) else chart.to_dict()
    return {key: value if key == "datasets" else _recoloured(value) for key, value in plain.items()} if dark else plain


def _recoloured(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: value if key in {"domain", "values"} else _recoloured(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_recoloured(item) for item in node]
    return DARK.get(node, node) if isinstance(node, str) else node


def wrapped(text: str, *, width: int, size: int = 11) -> list[str]:
    """Return the text in lines that fit ``width`` pixels at a font of ``size`` pixels."""
    return textwrap.wrap(text, max(16, int(width / (0.53 * size)))) or [""]


def heading(text: str, *, subtitle: str = "", width: int = WIDTH) -> alt.TitleParams:
    """Return a panel's title, aligned with its plot and wrapped to its width."""
    lines = wrapped(text, width=width, size=13)
    extra: dict[str, Any] = {"subtitle": wrapped(subtitle, width=width)} if subtitle else {}
    return alt.TitleParams(text=lines, frame="group", offset=5, **extra)


def names(size: int) -> alt.Axis:
    """Return the axis of names left of bars, ``size`` pixels wide."""
    look: dict[str, Any] = {"ticks": False, "domain": False, "labelColor": INK, "labelLimit": size - 8}
    return alt.Axis(minExtent=size - 4, maxExtent=size - 4, title=None, **look)


def sentence(text: str, *, width: int = WIDTH) -> alt.Chart:
    """Return words in the place of a panel: what is not known is said, never drawn as an empty, healthy line."""
    lines = wrapped(text, width=width - 8, size=12)
    frame = pl.DataFrame({"text": ["\n".join(lines)]})
    shown: alt.Chart = (
        alt.Chart(frame)
        .mark_text(
            align="left", baseline="top", fontSize=12, fontStyle="italic", color=MUTED, lineBreak="\n", lineHeight=16
        )
        .encode(text="text:N", x=alt.value(0), y=alt.value(2))
        .properties(width=width, height=16 * len(lines) + 4)
    )
    return shown


def nothing(text: str, *, width: int = WIDTH) -> alt.VConcatChart:
    """Return a whole chart that says in words why there is nothing to draw."""
    return finished(alt.vconcat(sentence(text, width=width)), text)
