"""Settings of a sweep by two metrics: those that no other beats joined by a line, the policy as it stands marked."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme

HERE, BEST, BEATEN = "you are here", "no other beats it", "another beats it"
_HEIGHT = 320
_BESIDE: dict[str, tuple[Any, int, int]] = {HERE: ("right", -8, 13), BEST: ("left", 7, 13), BEATEN: ("left", 7, -9)}
_NAMED = 12  # settings of one limit: each has its value beside it


def frontier(frame: pl.DataFrame, *, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return the settings as points, the first two metrics of the frontier as axes, intervals as lines where there are any.

    Parameters
    ----------
    frame
        What :func:`incident_kit.frontier` gives.
    width
        Of the whole chart, in pixels.
    """
    metrics = [name.removesuffix("/low") for name in frame.columns if name.endswith("/low")]
    known = frame.drop_nulls(metrics)
    if len(metrics) < 2 or known.is_empty():
        return theme.nothing("Nothing to draw: no setting has an estimate of two metrics.", width=width)
    paths = frame.columns[2 : frame.columns.index(metrics[0])]
    told = _told(known, metrics, paths)
    first, second = metrics[:2]
    x, y = (_axis(name, kind) for name, kind in ((first, alt.X), (second, alt.Y)))
    kinds = {HERE: (theme.VERMILLION, "diamond"), BEST: (theme.BLUE, "circle"), BEATEN: (theme.MUTED, "cross")}
    key = alt.Legend(symbolOpacity=1, columns=3 if width >= 500 else 2)
    colour = alt.Color(
        "kind:N",
        title=None,
        legend=key,
        scale=alt.Scale(domain=list(kinds), range=[look[0] for look in kinds.values()]),
    )
    shape = alt.Shape(
        "kind:N",
        title=None,
        legend=key,
        scale=alt.Scale(domain=list(kinds), range=[look[1] for look in kinds.values()]),
    )
    tooltip = [alt.Tooltip("settings:N", title="Setting"), alt.Tooltip("first_said:N", title=words.metric(first).title)]
    tooltip += [alt.Tooltip("second_said:N", title=words.metric(second).title), alt.Tooltip("reason:N", title="Why")]
    best = told.filter("on_frontier").sort("first")
    line = alt.Chart(best).mark_line(color=theme.BLUE, strokeWidth=1, interpolate="step-after").encode(x=x, y=y)
    base = alt.Chart(told).encode(color=colour, tooltip=tooltip)
    point = base.mark_point(filled=True, size=80, opacity=1).encode(x=x, y=y, shape=shape)
    layers: list[Any] = [line, point]
    if told["first_low"].count():
        layers.insert(0, base.mark_rule(opacity=0.35).encode(x="first_low:Q", x2="first_high:Q", y=y))
    if told["second_low"].count():
        layers.insert(0, base.mark_rule(opacity=0.35).encode(x=x, y="second_low:Q", y2="second_high:Q"))
    named = told.filter(pl.col("name") != "")
    for kind, (align, right, below) in _BESIDE.items():  # each kind on a side of its own
        rows = named.filter(kind=kind)
        if rows.height:
            text = alt.Chart(rows).mark_text(align=align, dx=right, dy=below, color=theme.INK, fontSize=10)
            layers.append(text.encode(x=x, y=y, text="name:N"))
    unknown = [_value(paths, row) for row in frame.iter_rows(named=True) if None in [row[name] for name in metrics]]
    left_out = f"not drawn: {', '.join(filter(None, unknown)) or len(unknown)}, of which these logs cannot tell"
    title = theme.heading(
        f"{', '.join(map(words.label, paths)) or 'Settings'}: what each setting would give",
        subtitle=left_out if unknown else "", width=width - 70,
    )  # fmt: skip
    chart = alt.layer(*layers).properties(width=width - 70, height=_HEIGHT, title=title)
    return theme.finished(alt.vconcat(chart), describe(told, first, second))


def _axis(name: str, kind: Any) -> Any:
    metric = words.metric(name)
    share = metric.unit == "%"
    title = f"{metric.title}{f', {metric.unit}' if metric.unit and not share else ''}"
    field = "first" if kind is alt.X else "second"
    look: dict[str, Any] = {"format": "~%"} if share else {}
    axis = alt.Axis(title=title, tickCount=5, **look)
    return kind(f"{field}:Q", axis=axis, scale=alt.Scale(zero=False))


def _told(frame: pl.DataFrame, metrics: list[str], paths: list[str]) -> pl.DataFrame:
    first, second = metrics[:2]
    rows = list(frame.iter_rows(named=True))
    few = len(rows) <= _NAMED
    return pl.DataFrame(
        {
            "first": frame[first], "second": frame[second], "first_low": frame[f"{first}/low"],
            "first_high": frame[f"{first}/high"], "second_low": frame[f"{second}/low"], "second_high": frame[f"{second}/high"],
            "on_frontier": frame["on_frontier"], "reason": frame["reason"],
            "kind": [HERE if row["is_current"] else BEST if row["on_frontier"] else BEATEN for row in rows],
            "name": [
                (_value(paths, row) if few else "") or (HERE if row["is_current"] else "") for row in rows
            ],
            "settings": [", ".join(f"{words.label(path)} {row[path]}" for path in paths) for row in rows],
            "first_said": [words.metric(first).shown(row[first]) for row in rows],
            "second_said": [words.metric(second).shown(row[second]) for row in rows],
        }
    )  # fmt: skip


def _value(paths: list[str], row: dict[str, Any]) -> str:
    """Return the value of the one limit that is turned, in words; nothing where it is one of several."""
    if len(paths) != 1 or row[paths[0]] is None:
        return ""
    of = words.metric(paths[0].rsplit(".", 1)[-1].removeprefix("max_").removeprefix("min_"))
    value = row[paths[0]]
    return of.shown(value, plain=True) if isinstance(value, int | float) else words.label(str(value), longest=16)


def describe(told: pl.DataFrame, first: str, second: str) -> str:
    """Return the chart in words, from its data."""
    names = f"{words.metric(first).title} and {words.metric(second).title}"
    here = told.filter(pl.col("kind") == HERE)
    where = ""
    if here.height:
        row = here.row(0, named=True)
        stands = "is one of them" if row["on_frontier"] else f"is not: {row['reason']}"
        where = f" The policy as it stands ({row['first_said']}, {row['second_said']}) {stands}."
    best = int(told["on_frontier"].sum())
    return f"{told.height} settings by {names}; {best} of them no other beats.{where}"
