"""The Explorer's chart: an incident over time in low panels to brush across, and the contrast of what was brushed below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import phasing, series, theme
from incident_kit.charts.phasing import TimeAxis

if TYPE_CHECKING:
    from incident_kit.phases import Phase

ACROSS = ("brushed_first", "brushed_last")  # names of the panels that a window reaches from and to
PANELS = {  # measure -> its words left of the panel, and the question that it answers
    "n": ("Requests", ""),
    "p95_wait_ms": ("The slowest one in twenty\nwaited over, seconds", "waits"),
    "error_rate": ("Requests that got\nno answer", "errors"),
    "tool_failure_rate": ("Look-ups and actions\nthat failed", "tools"),
    "override_rate": ("Drafts that agents rewrote", "overrides"),
    "fallback_share": ("Answered by the backup", ""),
    "missed_targets": ("Promised times missed,\nwhen due", ""),
}
VERDICTS = {"more": theme.VERMILLION, "less": theme.BLUE, "chance": theme.MUTED}
_GUTTER = 190
_HEIGHT = 40
_TRACK = 18
_ROW = 18
_BARS = ("n", "missed_targets")
# pixels from the left edge of the plots above, as concatenated charts are aligned by their plots
_COLUMNS = {"what": -_GUTTER, "count": 36, "share": 142, "usual": 188}
_HEADS = {"what": "", "count": "in the window", "share": "share", "usual": "usually"}
_PLOT, _RANGE = 248, 376


def explorer(
    bins: pl.DataFrame,
    *,
    phases: Sequence[Phase],
    answers: Mapping[str, Any],
    became: int,
    were: int,
    windows: Mapping[str, tuple[datetime, datetime]] | None = None,
    width: int = theme.WIDTH,
) -> alt.VConcatChart:
    """Return the chart; its data are named ``head``, ``became`` and ``were``.

    Parameters
    ----------
    bins
        One row an interval, as of ``incident.series()``.
    phases, answers
        As of :func:`timeline`.
    became, were
        Rows of the two parts of the contrast.
    windows
        Drawn into the chart where it stands alone; a live view draws its own.
    width
        Of the whole chart, in pixels.
    """
    tidy = series.tidy(bins)
    if tidy.is_empty():
        return theme.nothing("Nothing to show: there are no requests in this period.", width=width)
    axis = TimeAxis(tidy["at"].min(), tidy["until"].max(), width=width - _GUTTER)  # type: ignore[arg-type]
    marks = phasing.frame(phasing.within(phases, axis), axis)
    shown = [name for name in PANELS if name != "missed_targets" or tidy[name].count()]
    parts: list[Any] = [phasing.strip(marks, axis)] if marks.height else []
    parts.append(_track(axis, windows))
    rows, told = series.drawn(tidy, plain=True), _told(tidy, shown)
    for name in shown:
        is_last = name == shown[-1]
        layers = phasing.backdrop(marks, axis, labels=is_last)
        layers += _panel(name, rows, tidy, axis, answers)
        layers += [*_bands(windows, axis), _hover(told, shown, axis)]
        panel = alt.layer(*layers).properties(width=axis.width, height=_HEIGHT)
        parts.append(panel.properties(name=ACROSS[1]) if is_last else panel)
    over_time = alt.vconcat(*parts, spacing=6)
    whole = alt.vconcat(over_time, _head(width), _rows("became", became, "What became of them"),
                        _rows("were", were, "What they were"), spacing=22)  # fmt: skip
    said = series.describe(tidy, phases, [name for name in shown if name != "n"], plain=True)
    return theme.finished(whole, f"{said} Below: what stands out in the chosen window beside its baseline.")


def _track(axis: TimeAxis, windows: Mapping[str, Any] | None) -> Any:
    """Return the strip that the bar on top of a window runs in."""
    layers = [axis.ends(labels=False), *_bands(windows, axis, strength=1.0)]
    if not windows:
        layers.append(_words("Drag across a panel, or use keys", -_GUTTER, _TRACK / 2, theme.MUTED))
    track = alt.layer(*layers, view=alt.ViewBackground(fill=theme.GRID))
    return track.properties(width=axis.width, height=_TRACK, name=ACROSS[0])


def _bands(windows: Mapping[str, Any] | None, axis: TimeAxis, *, strength: float = 0.16) -> list[Any]:
    inks = {"window": theme.BLUE, "baseline": theme.MUTED}
    frames = {
        name: pl.DataFrame(
            {"at": [span[0]], "until": [span[1]]}, schema=dict.fromkeys(("at", "until"), pl.Datetime("us", "UTC"))
        )
        for name, span in (windows or {}).items()
    }
    return [
        alt.Chart(frame).mark_rect(color=inks[name], opacity=strength, aria=False, clip=True).encode(
            x=axis.x("at"), x2="until:T"
        )
        for name, frame in frames.items()
    ]  # fmt: skip


def _panel(name: str, rows: pl.DataFrame, bins: pl.DataFrame, axis: TimeAxis, answers: Mapping[str, Any]) -> list[Any]:
    """Return the layers of one measure: its words, and its line or bars, or why there are none."""
    said, asked = PANELS[name]
    answer = answers[asked].answer if asked in answers else "yes"
    why = words.NOT_IN_LOG if answer == "no" else "" if bins[name].count() else "no value in this period"
    said += " (at least)" if answer == "lower bound" and not why else ""
    if name == "p95_wait_ms" and answer == "lower bound":
        said = said.replace(", seconds", ", s")
    lines = said.split("\n")
    layers: list[Any] = [_words(said, -_GUTTER, _HEIGHT / 2 - 6 * (len(lines) - 1), theme.INK)]
    if why:
        return [*layers, _words(why, 6, _HEIGHT / 2, theme.MUTED)]
    form = ",.2~s" if name in _BARS else "~r" if name == "p95_wait_ms" else ".0~%"
    values = alt.Axis(title=None, format=form, tickCount=2, domain=False, ticks=False, labelOverlap=True)
    top = float((bins if name in _BARS else rows)[name].max())  # type: ignore[arg-type]
    y = alt.Y(f"{name}:Q", axis=values, scale=alt.Scale(nice=True, domain=[0, max(top, 0.05)]))
    if name in _BARS:
        bars = alt.Chart(bins.select("at", "until", name)).mark_rect(color=theme.MUTED, opacity=0.75, aria=False)
        return [*layers, bars.encode(x=axis.x("at"), x2="until:T", y=y, y2=alt.datum(0))]
    line = alt.Chart(rows.select("middle", name)).mark_line(color=theme.INK, strokeWidth=1.6, aria=False)
    layers.append(line.encode(x=axis.x("middle"), y=y))
    alone = series.alone(rows, name).select("middle", name)
    if alone.height:
        dots = alt.Chart(alone).mark_point(filled=True, size=24, opacity=1, color=theme.INK, aria=False)
        layers.append(dots.encode(x=axis.x("middle"), y=y))
    return layers


def _words(text: str, left: float, top: float, ink: str, **look: Any) -> Any:
    mark = alt.Chart(pl.DataFrame({"text": [text]})).mark_text(
        align="left", baseline="middle", lineBreak="\n", lineHeight=12, color=ink, aria=False, **look
    )
    return mark.encode(x=alt.value(left), y=alt.value(top), text="text:N")


def _told(bins: pl.DataFrame, shown: Sequence[str]) -> pl.DataFrame:
    told = series.told(bins, plain=True)
    return told.select("at", "until", "when", "n", *(f"{name}_0" for name in shown if f"{name}_0" in told.columns))


def _hover(told: pl.DataFrame, shown: Sequence[str], axis: TimeAxis) -> Any:
    tips = [alt.Tooltip("when:N", title="Time"), alt.Tooltip("n:Q", title="Requests", format=",")]
    known = [name for name in shown if f"{name}_0" in told.columns]
    tips += [alt.Tooltip(f"{name}_0:N", title=words.sentence(words.metric(name).plain)) for name in known]
    columns = alt.Chart(told).mark_rect(opacity=0, aria=False)
    return columns.encode(x=axis.x("at"), x2="until:T", tooltip=tips)


def _head(width: int) -> Any:
    """Return the line that says what is beside what."""
    text = alt.Chart(alt.NamedData("head")).mark_text(align="left", baseline="top", fontSize=13, fontWeight=600)
    second = alt.Chart(alt.NamedData("head")).mark_text(align="left", baseline="top", color=theme.MUTED)
    layers = [
        text.encode(x=alt.value(-_GUTTER), y=alt.value(0), text="title:N"),
        second.encode(x=alt.value(-_GUTTER), y=alt.value(18), text="said:N"),
    ]
    return alt.layer(*layers).properties(width=width - _GUTTER, height=30)


def _rows(name: str, count: int, title: str) -> Any:
    """Return one part of the contrast: text, the difference in points with its interval, and text."""
    height = _ROW * count
    data = alt.NamedData(name)
    y = alt.Y("place:O", axis=None, scale=alt.Scale(domain=list(range(count))))
    tips = [alt.Tooltip("said:N", title="Share"), alt.Tooltip("also:N", title="The same requests")]
    texts = [
        alt.Chart(data).mark_text(align="left").encode(y=y, x=alt.value(left), text=f"{column}:N", tooltip=tips)
        for column, left in _COLUMNS.items()
    ]  # fmt: skip
    heads = [_words(_HEADS[column], left, -7, theme.MUTED) for column, left in _COLUMNS.items() if _HEADS[column]]
    heads.append(_words(title, -_GUTTER, -7, theme.INK, fontSize=12, fontWeight=600))
    left = alt.layer(*texts, *heads).properties(width=_PLOT, height=height)
    scale = alt.Scale(zero=True, nice=True)
    axis = alt.Axis(
        format="+.0~%",
        tickCount=3,
        title=None,
        grid=False,
        labelExpr="datum.value ? replace(datum.label, '%', '') : '0'",
    )
    base = alt.Chart(data).encode(
        y=y, tooltip=tips,
        color=alt.Color("verdict:N", legend=None, scale=alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values()))),
    )  # fmt: skip
    zero = alt.Chart(alt.InlineData([{"x": 0}])).mark_rule(color=theme.MUTED).encode(x=alt.X("x:Q", title=None))
    x = alt.X("low:Q", scale=scale, axis=axis)
    span = base.mark_rule(strokeWidth=3).encode(x=x, x2="high:Q")
    dot = base.mark_point(filled=True, size=45, opacity=1).encode(x=alt.X("difference:Q", scale=scale, axis=axis))
    ranges = base.mark_text(align="left").encode(x=alt.value(_RANGE - _PLOT), text="range:N")
    note = _words("points of difference, nine in ten sure", 0, -7, theme.MUTED)
    plot = alt.layer(zero, span, dot, ranges, note).properties(width=_RANGE - _PLOT - 14, height=height)
    return alt.hconcat(left, plot, spacing=0)
