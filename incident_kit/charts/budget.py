"""For how much of the time each window of a policy's breakers would hold enough samples to act."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme

ENOUGH = 0.8  # of the time: what a suggestion reaches
LOOKS = {"acts most of the time": theme.BLUE, "often holds too few": theme.VERMILLION}
_NAMES, _ROW, _END = 220, 30, 190


def budget(frame: pl.DataFrame, *, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return a bar a window: the share of the time in which it holds enough; with ``hour``, a square an hour of the day.

    Parameters
    ----------
    frame
        What :func:`incident_kit.sample_budget` gives, with or without ``by="hour"``.
    width
        Of the whole chart, in pixels.
    """
    if frame.is_empty():
        return theme.nothing(
            "Nothing to count: the policy has no window over a primary that sees requests.", width=width
        )
    narrow = width < 500
    gutter = 168 if narrow else _NAMES
    told = _told(frame)
    panel = (
        _hours(told, width - gutter, gutter)
        if "hour" in frame.columns
        else _bars(told, width - gutter, gutter, short=narrow)
    )
    return theme.finished(alt.vconcat(panel), describe(frame))


def _told(frame: pl.DataFrame) -> pl.DataFrame:
    def name(row: dict[str, object]) -> str:
        intent = f" ({words.label(str(row['intent']))})" if row["intent"] else ""
        route = "all others" if row["route"] == "*" else words.label(str(row["route"]))
        return words.label(f"{route}{intent}, {row['counts']} in {row['window']}", longest=60)

    rows = list(frame.iter_rows(named=True))
    ways = [
        " or ".join(
            [f"window {row['window_enough']}"] * (row["window_enough"] not in {None, row["window"]})
            + [f"min_requests {row['min_requests_enough']}"] * (row["min_requests_enough"] is not None)
        ) or "none" for row in rows
    ]  # fmt: skip
    enough = [row["enough_share"] >= ENOUGH for row in rows]
    said = [f"{words.number(row['enough_share'], '%')} of the time" for row in rows]
    long = [
        text if ok or way == "none" else f"{text}; try {way}" for text, ok, way in zip(said, enough, ways, strict=True)
    ]
    return frame.with_columns(
        name=pl.Series([name(row) for row in rows], dtype=pl.String), ways=pl.Series(ways, dtype=pl.String),
        said=pl.Series(said, dtype=pl.String), long=pl.Series(long, dtype=pl.String),
        kind=pl.Series([list(LOOKS)[0 if ok else 1] for ok in enough], dtype=pl.String),
    )  # fmt: skip


def _tooltip() -> list[alt.Tooltip]:
    names = {
        "name": "Window",
        "target": "Primary",
        "said": "Holds enough",
        "needed": "Needed",
        "ways": "Would reach 80 %",
    }
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in names.items()]


def _scale(told: pl.DataFrame) -> alt.Scale:
    """Return the colours of what is drawn: the key names nothing else."""
    drawn = [kind for kind in LOOKS if (told["kind"] == kind).any()]
    return alt.Scale(domain=drawn, range=[LOOKS[kind] for kind in drawn])


def _key(width: int) -> alt.Legend:
    return alt.Legend(
        symbolType="square", symbolSize=110, symbolStrokeWidth=0, offset=8, columns=1 if width < 300 else 2
    )


def _bars(told: pl.DataFrame, width: int, gutter: int, *, short: bool) -> Any:
    y = alt.Y("name:N", sort=None, axis=theme.names(gutter))
    room = 1.0 if short else width / max(width - _END, 80)
    ticks = alt.Axis(
        values=[0, 0.5, 1] if short else [0, 0.2, 0.4, 0.6, 0.8, 1],
        format="~%",
        title="share of the time",
        labelExpr="replace(datum.label, '%', ' %')",
    )
    x = alt.X("enough_share:Q", scale=alt.Scale(domain=[0, room], nice=False), axis=ticks)
    colour = alt.Color(
        "kind:N",
        scale=_scale(told),
        legend=_key(width),
    )
    bars = alt.Chart(told).mark_bar(height=_ROW - 14).encode(x=x, y=y, color=colour, tooltip=_tooltip())
    mark = (
        alt.Chart(pl.DataFrame({"at": [ENOUGH]}))
        .mark_rule(color=theme.INK, strokeDash=[4, 2], aria=False)
        .encode(x="at:Q")
    )
    layers: list[alt.Chart] = [bars, mark]
    if not short:
        beside: dict[str, Any] = {"align": "left", "baseline": "middle", "dx": 5}
        texts = alt.Chart(told).encode(x=x, y=y, text="long:N")
        # the rule of 80 % would run through the words
        layers.append(texts.mark_text(**beside, stroke=theme.PAPER, strokeWidth=5, strokeJoin="round", aria=False))
        layers.append(texts.mark_text(**beside, color=theme.INK))
    title = theme.heading("How often each window would hold enough to act, were its primary healthy", width=width)
    return alt.layer(*layers).properties(width=width, height=_ROW * told["name"].n_unique(), title=title)


def _hours(told: pl.DataFrame, width: int, gutter: int) -> Any:
    data = told.with_columns(percent=pl.format("{}", (100 * pl.col("enough_share")).floor().cast(pl.Int64)))
    y = alt.Y("name:N", sort=None, axis=theme.names(gutter))
    x = alt.X(
        "hour:O", axis=alt.Axis(title="hour of the day, in the reader's zone", labelAngle=0, ticks=False, domain=False)
    )
    base = alt.Chart(data).encode(x=x, y=y, tooltip=[*_tooltip(), alt.Tooltip("hour:O", title="Hour")])
    colour = alt.Color(
        "kind:N",
        scale=_scale(told),
        legend=_key(width),
    )
    cells = base.mark_rect(stroke=theme.PAPER, fillOpacity=0.3).encode(color=colour)
    text = base.mark_text(color=theme.INK, fontSize=10).encode(text="percent:N")
    title = theme.heading("Percent of each hour in which a window would hold enough to act", width=width)
    return alt.layer(cells, text).properties(width=width, height=_ROW * data["name"].n_unique(), title=title)


def describe(frame: pl.DataFrame) -> str:
    """Return the chart in words, from its data: the budget's own sentences."""
    return " ".join(dict.fromkeys(frame["sentence"]))
