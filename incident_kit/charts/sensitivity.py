"""What each value that a policy leaves unsaid does to one metric: bars from the policy as it stands, widest first."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme
from incident_kit.errors import NoSuchItem, did_you_mean

CHANGES, STANDS = "the verdict would change", "the verdict stands"
_NAMES, _ROW = 300, 20
_NARROW = 172, 34  # names in two lines
_SEEN = 0.02  # of the widest bar: a shorter one is none


def sensitivity(table: pl.DataFrame, *, metric: str, most: int = 20, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return a tornado: for each changed value, how far the metric's difference to the log moves.

    Parameters
    ----------
    table
        What :func:`incident_kit.sensitivity` gives.
    metric
        The one to draw.
    most
        So many bars at most, the widest; what moves next to nothing has none, and is counted.
    width
        Of the whole chart, in pixels.

    Raises
    ------
    NoSuchItem
        The table has no such metric.
    """
    tried = table.filter(pl.col("metric").is_not_null())
    if tried.is_empty():
        return theme.nothing("Nothing to draw: the policy leaves nothing unsaid that a replay heeds.", width=width)
    known = tried["metric"].unique(maintain_order=True).to_list()
    if metric not in known:
        raise NoSuchItem(f"the table has no metric {metric!r}{did_you_mean(metric, known)}; it has {', '.join(known)}")
    of = words.metric(metric)
    scale = 100.0 if of.unit == "%" else 1.0
    rows = tried.filter(pl.col("metric") == metric).drop_nulls("change").sort(pl.col("change").abs(), descending=True)
    if rows.is_empty():
        return theme.nothing(f"These logs cannot tell: {of.title} has no estimate under this policy.", width=width)
    size = pl.col("change").abs()
    moving = rows.filter(pl.col("would_change") | ((size > 0) & (size >= _SEEN * size.max()))).head(most)
    if moving.is_empty():
        said = f"{of.title} stays as it is, whatever stood in place of what the policy leaves unsaid."
        return theme.nothing(said, width=width)
    narrow = width < 500
    gutter, row = _NARROW if narrow else (_NAMES, _ROW)
    drawn = moving.select(
        name=pl.Series([_name(one, narrow=narrow) for one in moving.iter_rows(named=True)], dtype=pl.String),
        was=pl.col("difference") * scale, now=pl.col("other_difference") * scale,
        kind=pl.when("would_change").then(pl.lit(CHANGES)).otherwise(pl.lit(STANDS)),
        verdict="verdict", other_verdict="other_verdict",
    )  # fmt: skip
    look = alt.Scale(domain=[CHANGES, STANDS], range=[theme.VERMILLION, theme.BLUE])
    unit = "points" if of.unit == "%" else of.unit
    said = f"{of.title}: policy less log{f', {unit}' if unit else ''} (0: as the log; dashed: the policy as it stands)"
    x_title = theme.wrapped(said, width=width - gutter)
    x = alt.X("was:Q", axis=alt.Axis(title=x_title, tickCount=3 if narrow else 6))
    tooltip = [
        alt.Tooltip("name:N", title="Value"), alt.Tooltip("was:Q", title="As it stands", format="+,.4~g"),
        alt.Tooltip("now:Q", title="Changed", format="+,.4~g"), alt.Tooltip("verdict:N", title="Verdict"),
        alt.Tooltip("other_verdict:N", title="Verdict, changed"),
    ]  # fmt: skip
    key = alt.Legend(symbolType="square", columns=1 if narrow else 2)
    names = theme.names(gutter)
    names.labelExpr, names.labelLineHeight = "split(datum.label, '\\n')", 13
    bar = alt.Chart(drawn).mark_bar(height=14).encode(
        x=x, x2="now:Q", y=alt.Y("name:N", sort=None, axis=names), tooltip=tooltip,
        color=alt.Color("kind:N", scale=look, title=None, legend=key),
    )  # fmt: skip
    rules = [
        alt.Chart(pl.DataFrame({"at": [at]})).mark_rule(color=theme.INK, strokeDash=dash).encode(x="at:Q")
        for at, dash in ((0.0, [1, 0]), (float(drawn["was"][0]), [4, 2]))
    ]
    still = rows.height - drawn.height
    title = theme.heading(
        f"{of.title}: what it would be if other values stood in place of the unsaid ones",
        subtitle=f"{words.number(still)} more move it less, or not at all" if still else "", width=width - gutter,
    )  # fmt: skip
    chart = alt.layer(bar, *rules).properties(width=width - gutter, height=row * drawn.height, title=title)
    return theme.finished(alt.vconcat(chart), describe(rows, metric))


def _name(row: dict[str, Any], *, narrow: bool) -> str:
    """Return a changed value in words; in two lines where there is little room."""
    path, changed = words.label(row["path"], longest=80), words.label(f"{row['other']}, not {row['value']}", longest=80)
    return f"{path}\n{changed}" if narrow else words.label(f"{path}: {changed}", longest=60)


def describe(rows: pl.DataFrame, metric: str) -> str:
    """Return the chart in words, from its data."""
    widest = rows.row(0, named=True)
    of = words.metric(metric)
    moved = int(rows["would_change"].sum())
    scale, unit = (100.0, " points") if of.unit == "%" else (1.0, f" {of.unit}".rstrip())
    return (
        f"{of.title}, policy less log: {widest['difference'] * scale:+z,.4g}{unit} as the policy stands; "
        f"{words.label(widest['path'], longest=80)} {widest['other']} in place of {widest['value']} moves it most, to "
        f"{widest['other_difference'] * scale:+z,.4g}{unit}. {moved} of {rows.height} changes would change the verdict."
    )
