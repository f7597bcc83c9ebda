"""One limit of a policy at several settings: what each would have given, beside what was logged."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme

MARKER = "marker"  # the dataset that says where the slider stands
_GUTTER, _HEIGHT = 52, 84


def whatif(frame: pl.DataFrame, *, path: str, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return a panel a metric: its estimate at each setting with its range, the log as a solid line, the setting as it stands.

    Parameters
    ----------
    frame
        :attr:`incident_kit.briefs.whatif.WhatIf.frame`.
    path
        Of the limit, for the axis.
    width
        Of the whole chart, in pixels.
    """
    if frame.is_empty():
        return theme.nothing("Nothing to draw: no setting of this limit was tried.", width=width)
    here = frame.filter("is_current")
    start = float(here["value"][0]) if here.height else float(frame["value"].median())  # type: ignore[arg-type]
    marker = alt.NamedData(name=MARKER)
    metrics = frame["metric"].unique(maintain_order=True).to_list()
    panels = [
        _panel(frame.filter(metric=metric), marker, path=path, width=width - _GUTTER, last=metric == metrics[-1])
        for metric in metrics
    ]
    shown = alt.vconcat(*panels).resolve_scale(color="independent", strokeDash="independent")
    return theme.finished(shown.properties(datasets={MARKER: [{"at": start}]}), describe(frame, path))


def _panel(rows: pl.DataFrame, marker: Any, *, path: str, width: int, last: bool) -> Any:
    of = words.metric(rows["metric"][0])
    scale = 100.0 if of.unit == "%" else 0.001 if of.unit == "ms" else 1000.0 if of.name == "cost_per_request" else 1.0
    shown = ["estimate", "low", "high", "observed"]
    said = [
        f"{of.shown(row['estimate'], plain=True)}, {of.shown(row['low'], plain=True)} to {of.shown(row['high'], plain=True)}"
        for row in rows.iter_rows(named=True)
    ]
    drawn = rows.select("value", "name", *(pl.col(name) * scale for name in shown)).with_columns(
        pl.Series("said", said, dtype=pl.String), what=pl.lit("with this limit (estimated)")
    )
    limit = alt.Axis(
        values=rows["value"].to_list(), title=f"{words.label(path, longest=60)}", grid=False, labelOverlap=True,
        labelFlush=True,
    )  # fmt: skip
    hidden = alt.Axis(values=rows["value"].to_list(), labels=False, ticks=False, title=None, grid=False)
    x = alt.X("value:Q", axis=limit if last else hidden, scale=alt.Scale(zero=False, nice=False))
    tick: dict[str, Any] = {"title": None, "tickCount": 3, "domain": False, "ticks": False}
    y_axis = alt.Axis(minExtent=_GUTTER - 6, maxExtent=_GUTTER - 6, **tick)
    y = alt.Y("estimate:Q", axis=y_axis, scale=alt.Scale(zero=False, nice=True))
    tooltip = [alt.Tooltip("name:N", title="Limit"), alt.Tooltip("said:N", title=of.title)]
    kinds = {"as it was": (theme.INK, [1, 0]), "with this limit (estimated)": (theme.VERMILLION, [6, 3])}
    key = None if not last else alt.Legend(orient="bottom", columns=2 if width > 400 else 1)
    colour = alt.Color(
        "what:N", scale=alt.Scale(domain=list(kinds), range=[one[0] for one in kinds.values()]), legend=key
    )
    dash = alt.StrokeDash(
        "what:N", scale=alt.Scale(domain=list(kinds), range=[one[1] for one in kinds.values()]), legend=key
    )
    base = alt.Chart(drawn).encode(x=x, y=y)
    layers: list[Any] = []
    if drawn["low"].count():
        layers.append(base.mark_area(color=theme.VERMILLION, fillOpacity=0.18).encode(y="low:Q", y2="high:Q"))
    log = drawn.head(1).with_columns(what=pl.lit("as it was"))
    if log["observed"].count():
        layers.append(alt.Chart(log).mark_rule(strokeWidth=1.5).encode(y="observed:Q", color=colour, strokeDash=dash))
    layers.append(base.mark_line(strokeWidth=2).encode(color=colour, strokeDash=dash))
    layers.append(base.mark_point(filled=True, size=36, opacity=1, color=theme.VERMILLION).encode(tooltip=tooltip))
    layers.append(alt.Chart(marker).mark_rule(color=theme.BLUE, strokeWidth=3, strokeOpacity=0.55).encode(x="at:Q"))
    unit = {"%": ", %", "ms": ", seconds", "USD": ", USD"}.get(of.unit, "")
    title = theme.heading(f"{words.sentence(of.plain)}{unit}", width=width)
    return alt.layer(*layers).properties(width=width, height=_HEIGHT, title=title)


def describe(frame: pl.DataFrame, path: str) -> str:
    """Return the chart in words, from its data."""
    ends = frame["value"].min(), frame["value"].max()
    told = []
    for metric in frame["metric"].unique(maintain_order=True):
        rows = frame.filter(pl.col("metric") == metric).sort("value")
        of = words.metric(metric)
        first, last = (of.shown(rows["estimate"][i], plain=True) for i in (0, -1))
        told.append(f"{of.plain}: {first} to {last}, as it was {of.shown(rows['observed'][0], plain=True)}")
    lowest, highest = (frame.filter(pl.col("value") == end)["name"][0] for end in ends)
    return f"{words.label(path, longest=80)} from {lowest} to {highest} (estimated). {words.sentence('; '.join(told))}."
