"""The Tuner's four panels in one chart, on named datasets that are swapped while a hand moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import altair as alt

from incident_kit.charts import phasing, theme
from incident_kit.charts.phasing import TimeAxis

if TYPE_CHECKING:
    from incident_kit.phases import Phase

LINES = {  # line -> colour, dash, width
    "as it was": (theme.INK, [1, 0], 1.5), "as loaded": (theme.GREEN, [2, 2], 2.0), "as tuned": (theme.VERMILLION, [6, 3], 2.5),
}  # fmt: skip
STATES = {
    "on primary": (theme.SKY, 0.28),
    "on backup": (theme.VERMILLION, 0.84),
    "testing primary": (theme.ORANGE, 0.56),
}
KINDS = {  # of points: colour, shape, size
    "other settings": (theme.MUTED, "circle"), "as it was": (theme.INK, "cross"), "as loaded": (theme.GREEN, "square"),
    "you are here": (theme.VERMILLION, "diamond"),
}  # fmt: skip
VERDICTS = {
    "better": theme.BLUE, "worse": theme.VERMILLION, "same": theme.INK, "less": theme.INK, "more": theme.INK,
    "cannot tell": theme.MUTED, "": theme.MUTED,
}  # fmt: skip
_GUTTER = 190
_ROW = 22
MOST = 0.5  # change that the scorecard can show; a larger one stands at its edge
_COLUMNS = {"metric": -180, "was": -62, "loaded": 18, "tuned": 98, "range": 178}  # from the plots' left edge
_HEADS = {"metric": "", "was": "as it was", "loaded": "as loaded", "tuned": "as tuned", "range": "nine in ten between"}


def tuner(
    *,
    start: datetime,
    end: datetime,
    phases: Sequence[Phase],
    rows: Sequence[str],
    metrics: int,
    scored: str,
    quality: str = "drafts that agents rewrote",
    width: int = theme.WIDTH,
) -> alt.VConcatChart:
    """Return the chart; its data are named ``lines``, ``states``, ``scores`` and ``points``.

    What no turn changes is in ``lines_still`` and ``states_still``.

    Parameters
    ----------
    start, end
        Of the log, and so of the time axis.
    rows
        Of the panel of states, from the top.
    metrics
        How many the scorecard has.
    scored
        What is scored, in words.
    quality
        What stands for the quality of answers, in words.
    width
        Of the whole chart, in pixels.
    """
    axis = TimeAxis(start, end, width=width - _GUTTER)
    marks = phasing.frame(phasing.within(phases, axis), axis)
    parts: list[Any] = [phasing.strip(marks, axis)] if marks.height else []
    for field, title, form in (
        ("wait_s", "The slowest one in twenty waited over, seconds", "~g"),
        ("quality", quality[:1].upper() + quality[1:], "%"),
    ):
        parts.append(_over_time(field, title, form, axis, marks))
    parts += [_states(rows, axis, marks), _scores(metrics, scored, width), _points(quality, width)]
    return theme.finished(
        alt.vconcat(*parts).resolve_scale(color="independent", shape="independent", strokeDash="independent"),
        f"Four panels of one setting: waits and {quality} over time, where each route was sent, its scores beside what "
        "was logged, and how it compares with other settings of the same threshold.",
    )


def _over_time(field: str, title: str, form: str, axis: TimeAxis, marks: Any) -> Any:
    names = list(LINES)
    colour = alt.Color(
        "line:N",
        scale=alt.Scale(domain=names, range=[look[0] for look in LINES.values()]),
        legend=alt.Legend() if field == "wait_s" else None,
    )
    dash = alt.StrokeDash(
        "line:N",
        scale=alt.Scale(domain=names, range=[look[1] for look in LINES.values()]),
        legend=alt.Legend() if field == "wait_s" else None,
    )
    y = alt.Y(
        f"{field}:Q", title=None, axis=alt.Axis(format=form, tickCount=4, minExtent=_GUTTER - 8, maxExtent=_GUTTER - 8)
    )
    lines = [
        alt.Chart(alt.NamedData(name)).mark_line(strokeWidth=2, clip=True).encode(
            x=axis.x("middle"), y=y, color=colour, strokeDash=dash,
            tooltip=[alt.Tooltip("line:N", title="Policy"), alt.Tooltip(f"{field}:Q", title=title, format=form)],
        )
        for name in ("lines_still", "lines")
    ]  # fmt: skip
    panel = alt.layer(*phasing.backdrop(marks, axis, labels=False), *lines)
    return panel.properties(width=axis.width, height=84, title=theme.heading(title, width=axis.width))


def _states(rows: Sequence[str], axis: TimeAxis, marks: Any) -> Any:
    scale = alt.Scale(domain=list(STATES), range=[ink for ink, _ in STATES.values()])
    colour = alt.Color("state:N", scale=scale, legend=alt.Legend(symbolType="square"))
    y = alt.Y("row:N", title=None, scale=alt.Scale(domain=list(rows)), axis=theme.names(_GUTTER))
    bars = [
        alt.Chart(alt.NamedData(name)).transform_filter(alt.datum.state == state).mark_bar(
            height={"band": share}, clip=True
        ).encode(x=axis.x("start"), x2="end:T", y=y, color=colour, tooltip=alt.Tooltip("said:N", title="State"))
        for name in ("states_still", "states")
        for state, (_, share) in STATES.items()
    ]  # fmt: skip
    panel = alt.layer(*phasing.backdrop(marks, axis, labels=True), *bars)
    return panel.properties(
        width=axis.width,
        height=_ROW * max(len(rows), 1),
        title=theme.heading("Where each route was sent", width=axis.width),
    )


def _scores(metrics: int, scored: str, width: int) -> Any:
    height = _ROW * metrics
    y = alt.Y("place:O", axis=None, scale=alt.Scale(domain=list(range(metrics))))
    data = alt.NamedData("scores")
    table = [
        alt.Chart(data).mark_text(align="left", dx=0).encode(y=y, x=alt.value(left), text=f"{name}:N")
        for name, left in _COLUMNS.items()
    ]  # fmt: skip
    heads = [
        alt.Chart(alt.InlineData([{"text": _HEADS[name]}])).mark_text(align="left", fontSize=10, color=theme.MUTED).encode(
            x=alt.value(left), y=alt.value(-8), text="text:N"
        )
        for name, left in _COLUMNS.items()
    ]  # fmt: skip
    left = 322
    right = width - _GUTTER - left - 82
    x = alt.X(
        "change:Q", title="change from what was logged",
        scale=alt.Scale(domain=[-MOST, MOST]), axis=alt.Axis(format="+%", values=[-MOST, 0, MOST], orient="bottom"),
    )  # fmt: skip
    zero = alt.Chart(alt.InlineData([{"x": 0}])).mark_rule(color=theme.INK).encode(x=alt.X("x:Q", title=None))
    colour = alt.Color(
        "verdict:N", legend=None,
        scale=alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values())),
    )  # fmt: skip
    base = alt.Chart(data).encode(y=y, color=colour)
    span = base.mark_rule(strokeWidth=3).encode(x=x, x2="change_high:Q").transform_calculate(change="datum.change_low")
    dot = base.mark_point(filled=True, size=55, opacity=1).encode(x=x)
    verdict = alt.Chart(data).mark_text(align="left", dx=6).encode(y=y, x=alt.value(right), text="verdict:N")
    beside = alt.layer(zero, span.transform_filter("isValid(datum.change_low)"), dot, verdict)
    words_of = alt.layer(*table, *heads).properties(width=left, height=height)
    both = alt.hconcat(words_of, beside.properties(width=right, height=height), spacing=0)
    return both.properties(title=theme.heading(f"Scorecard, {scored}", width=width))


def _points(quality: str, width: int) -> Any:
    domain = alt.Scale(domain=list(KINDS), range=[look[0] for look in KINDS.values()])
    shapes = alt.Scale(domain=list(KINDS), range=[look[1] for look in KINDS.values()])
    is_other = alt.datum.kind == "other settings"
    x = alt.X("wait_s:Q", title="the slowest one in twenty waited over, seconds", scale=alt.Scale(zero=False))
    y = alt.Y("quality:Q", title=quality, axis=alt.Axis(format="%"), scale=alt.Scale(zero=False))
    size = alt.Size("cost:Q", scale=alt.Scale(range=[25, 140], zero=False), legend=None)
    data = alt.NamedData("points")
    along = alt.Chart(data).mark_line(color=theme.MUTED, strokeWidth=1).encode(x=x, y=y, order=alt.Order("value:Q"))
    base = alt.Chart(data).encode(
        x=x,
        y=y,
        color=alt.Color("kind:N", scale=domain),
        shape=alt.Shape("kind:N", scale=shapes),
        tooltip=[
            alt.Tooltip("said:N", title="Setting"),
            alt.Tooltip("wait_s:Q", title="Wait, s", format=".2f"),
            alt.Tooltip("quality:Q", title=quality, format=".1%"),
            alt.Tooltip("cost:Q", title="USD for 1,000", format=".2f"),
        ],
    )
    others = base.mark_point(filled=True, opacity=0.8).encode(size=size).transform_filter(is_other)
    named = base.mark_point(filled=True, opacity=1, size=170, stroke=theme.PAPER).transform_filter(~is_other)
    plot = width - _GUTTER
    title = theme.heading("Other settings of the threshold in hand (size: cost)", width=plot)
    layers = alt.layer(along.transform_filter(is_other), others, named)
    return layers.properties(width=plot, height=210, title=title)
