"""What each value that a policy leaves unsaid does to one metric: bars from the policy as it stands, widest first."""

from __future__ import annotations

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme
from incident_kit.errors import NoSuchItem, did_you_mean

CHANGES, STANDS = "the verdict would change", "the verdict stands"
_NAMES, _ROW = 300, 20


def sensitivity(table: pl.DataFrame, *, metric: str, most: int = 20, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return a tornado: for each changed value, how far the metric's difference to the log moves.

    Parameters
    ----------
    table
        What :func:`incident_kit.sensitivity` gives.
    metric
        The one to draw.
    most
        So many bars at most, the widest.
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
    drawn = rows.head(most).select(
        name=pl.format("{}: {}, not {}", "path", "other", "value").map_elements(
            lambda text: words.label(text, longest=60), return_dtype=pl.String
        ),
        was=pl.col("difference") * scale, now=pl.col("other_difference") * scale,
        kind=pl.when("would_change").then(pl.lit(CHANGES)).otherwise(pl.lit(STANDS)),
        verdict="verdict", other_verdict="other_verdict",
    )  # fmt: skip
    look = alt.Scale(domain=[CHANGES, STANDS], range=[theme.VERMILLION, theme.BLUE])
    unit = "points" if of.unit == "%" else of.unit
    x = alt.X("was:Q", axis=alt.Axis(title=f"{of.title}: policy less log{f', {unit}' if unit else ''}"))
    tooltip = [
        alt.Tooltip("name:N", title="Value"), alt.Tooltip("was:Q", title="As it stands", format="+,.4~g"),
        alt.Tooltip("now:Q", title="Changed", format="+,.4~g"), alt.Tooltip("verdict:N", title="Verdict"),
        alt.Tooltip("other_verdict:N", title="Verdict, changed"),
    ]  # fmt: skip
    bar = alt.Chart(drawn).mark_bar(height=_ROW - 6).encode(
        x=x, x2="now:Q", y=alt.Y("name:N", sort=None, axis=theme.names(_NAMES)), tooltip=tooltip,
        color=alt.Color("kind:N", scale=look, title=None),
    )  # fmt: skip
    marks = {"the log": [1, 0], "the policy as it stands": [4, 2]}
    rules = pl.DataFrame({"at": [0.0, float(drawn["was"][0])], "what": list(marks)})
    dash = alt.StrokeDash("what:N", title=None, scale=alt.Scale(domain=list(marks), range=list(marks.values())))
    rule = alt.Chart(rules).mark_rule(color=theme.INK).encode(x="at:Q", strokeDash=dash)
    title = theme.heading(
        f"{of.title}: what it would be if other values stood in place of the unsaid ones", width=width - _NAMES
    )
    chart = alt.layer(bar, rule).properties(width=width - _NAMES, height=_ROW * drawn.height, title=title)
    return theme.finished(alt.vconcat(chart), describe(rows, metric))


def describe(rows: pl.DataFrame, metric: str) -> str:
    """Return the chart in words, from its data."""
    widest = rows.row(0, named=True)
    of = words.metric(metric)
    moved = int(rows["would_change"].sum())
    scale, unit = (100.0, " points") if of.unit == "%" else (1.0, f" {of.unit}".rstrip())
    return (
        f"{of.title}, policy less log: {widest['difference'] * scale:+,.4g}{unit} as the policy stands; "
        f"{words.label(widest['path'], longest=80)} {widest['other']} in place of {widest['value']} moves it most, to "
        f"{widest['other_difference'] * scale:+,.4g}{unit}. {moved} of {rows.height} changes would change the verdict."
    )
