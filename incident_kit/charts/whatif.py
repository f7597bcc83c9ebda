"""One limit of a policy at several settings: what each would have given, beside what was logged."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme

MARKER = "marker"  # the dataset that says where the slider stands
_GUTTER, _HEIGHT = 52, 84
_APART = 42  # pixels between two labels of the axis


def whatif(frame: pl.DataFrame, *, path: str, intent: str = "all", width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return a panel a metric: its estimate at each setting with its range, the log as a solid line, the setting as it stands.

    Parameters
    ----------
    frame
        :attr:`incident_kit.briefs.whatif.WhatIf.frame`.
    path
        Of the limit, for the axis, which says it in words.
    intent
        Whose limit it is.
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
        _panel(
            frame.filter(metric=metric),
            marker,
            title=limit(path, intent),
            start=start,
            width=width - _GUTTER,
            last=metric == metrics[-1],
        )
        for metric in metrics
    ]
    shown = alt.vconcat(*panels).resolve_scale(color="independent", strokeDash="independent")
    return theme.finished(shown.properties(datasets={MARKER: [{"at": start}]}), describe(frame, limit(path, intent)))


def _panel(rows: pl.DataFrame, marker: Any, *, title: str, start: float, width: int, last: bool) -> Any:
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
    in_seconds = {"labelExpr": "format(datum.value / 1000, '~r')"} if title.endswith(", seconds") else {}
    look: dict[str, Any] = {"grid": False, "labelFlush": True, **in_seconds}
    labelled = _labelled(rows["value"].to_list(), start, width)
    ticks = alt.Axis(values=labelled, title=theme.wrapped(title, width=width), **look)
    hidden = alt.Axis(values=rows["value"].to_list(), labels=False, ticks=False, title=None, grid=False)
    x = alt.X("value:Q", axis=ticks if last else hidden, scale=alt.Scale(zero=False, nice=False))
    tick: dict[str, Any] = {"title": None, "tickCount": 3, "domain": False, "ticks": False}
    y_axis = alt.Axis(minExtent=_GUTTER - 6, maxExtent=_GUTTER - 6, **tick)
    y = alt.Y("estimate:Q", axis=y_axis, scale=alt.Scale(zero=True, nice=True))
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
    blank = _blank(rows)
    if blank.height:
        unseen = alt.Chart(blank).mark_rect(color=theme.GRID, fillOpacity=0.6, aria=False)
        layers.append(unseen.encode(x=x.copy(), x2="until:Q"))
    if drawn["low"].count():
        layers.append(base.mark_area(color=theme.VERMILLION, fillOpacity=0.18).encode(y="low:Q", y2="high:Q"))
    log = drawn.head(1).with_columns(what=pl.lit("as it was"))
    if log["observed"].count():
        layers.append(alt.Chart(log).mark_rule(strokeWidth=1.5).encode(y="observed:Q", color=colour, strokeDash=dash))
    layers.append(base.mark_line(strokeWidth=2).encode(color=colour, strokeDash=dash))
    layers.append(base.mark_point(filled=True, size=36, opacity=1, color=theme.VERMILLION).encode(tooltip=tooltip))
    layers.append(alt.Chart(marker).mark_rule(color=theme.BLUE, strokeWidth=3, strokeOpacity=0.55).encode(x="at:Q"))
    unit = {"%": ", %", "ms": ", seconds", "USD": ", USD"}.get(of.unit, "")
    note = f"grey: {_untold(rows)}" if blank.height else ""
    heading = theme.heading(f"{words.sentence(of.plain)}{unit}", subtitle=note, width=width)
    return alt.layer(*layers).properties(width=width, height=_HEIGHT, title=heading)


def limit(path: str, intent: str = "all") -> str:
    """Return a limit in words, with its unit: when which requests are switched to the backup.

    Examples
    --------
    >>> limit("routes[0].breaker.when.p95_ms", "refund-policy")
    'Switch refund-policy when the slowest one in twenty waited over, seconds'
    """
    of = words.metric(path.rsplit(".", 1)[-1].removeprefix("max_").removeprefix("min_"))
    owner = "" if path.startswith("routes[") else path.split(".", maxsplit=1)[0].removesuffix("*")
    whose = intent if intent != "all" else owner
    unit = {"ms": "seconds"}.get(of.unit, of.unit)
    said = f"Switch{f' {words.label(whose)}' if whose else ''} when {of.plain}"
    return f"{said}, {unit}" if unit else said


def _labelled(values: list[float], start: float, width: int) -> list[float]:
    """Return the settings with room for a label: the one in force first, then the ends, then what fits between."""
    low, span = min(values), max(max(values) - min(values), 1e-9)
    kept: list[float] = []
    for value in dict.fromkeys([start, max(values), low, *values]):
        if value in values and all(abs(value - other) / span * width >= _APART for other in kept):
            kept.append(value)
    return sorted(kept)


def _blank(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the spans of the axis on which nothing is known: from a setting to the next, where one of both is untold."""
    ordered = rows.sort("value").select("value", until=pl.col("value").shift(-1), untold=pl.col("estimate").is_null())
    either = pl.col("untold") | pl.col("untold").shift(-1)
    return ordered.filter(either.fill_null(value=False), pl.col("until").is_not_null()).select("value", "until")


def _untold(rows: pl.DataFrame) -> str:
    names = rows.filter(pl.col("estimate").is_null()).sort("value")["name"].to_list()
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"at {listed} these logs cannot tell"


def describe(frame: pl.DataFrame, title: str) -> str:
    """Return the chart in words, from its data: its ends among what is known, and where nothing is."""
    ends = frame["value"].min(), frame["value"].max()
    told = []
    for metric in frame["metric"].unique(maintain_order=True):
        rows = frame.filter(pl.col("metric") == metric).sort("value")
        of, known = words.metric(metric), rows.filter(pl.col("estimate").is_not_null())
        said = []
        if known.height:
            first, last = (f"{of.shown(known['estimate'][i], plain=True)} at {known['name'][i]}" for i in (0, -1))
            said.append(f"{first} to {last}" if known.height > 1 else first)
        said += [_untold(rows)] if known.height < rows.height else []
        told.append(f"{of.plain}: {', '.join(said)}, as it was {of.shown(rows['observed'][0], plain=True)}")
    lowest, highest = (frame.filter(pl.col("value") == end)["name"][0] for end in ends)
    return f"{title}: from {lowest} to {highest} (estimated). {words.sentence('; '.join(told))}."
