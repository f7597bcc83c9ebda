"""The phases of an incident on a time axis: a strip of labels, and the bands and rules behind each panel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from incident_kit.phases import Phase

KIND_WORDS = {
    "impact": "Impact",
    "felt": "First complaint",
    "detected": "Detected",
    "mitigated": "Mitigated",
    "recovered": "Recovered",
    "deploy": "Deploy",
    "provider": "Provider",
    "note": "Note",
}
_ROW = 17
_STEPS = (  # seconds between labels, how a label is written, pixels it needs
    *((step, "%H:%M:%S", 66) for step in (1, 2, 5, 10, 15, 30)),
    *((60 * step, "%H:%M", 46) for step in (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360)),
    *((3600 * step, "%-d %b %H:%M", 96) for step in (6, 12)),
    *((86_400 * step, "%-d %b", 56) for step in (1, 2, 7, 14, 28, 91, 182, 364)),
)
_UTC = pl.Datetime("us", "UTC")
DETECTED = "detected from the data"


def title(phase: Phase) -> str:
    """Return a phase in words."""
    kind = KIND_WORDS.get(phase.kind, words.label(phase.kind))
    text = words.label(phase.text) if phase.text else ""
    return f"{kind}: {text}" if text and text.lower() != kind.lower() else kind


class TimeAxis:
    """The time axis that aligned panels share: its domain, its width in pixels and how it is written (always UTC)."""

    def __init__(self, start: datetime, end: datetime, *, width: int) -> None:
        self.start = start.astimezone(UTC)
        self.end = max(end.astimezone(UTC), self.start + timedelta(seconds=1))
        self.width = width

    def pixel(self, at: datetime) -> float:
        """Return where an instant lies, in pixels from the left."""
        return self.width * ((at - self.start) / (self.end - self.start))

    def _ticks(self) -> tuple[list[alt.DateTime], str]:
        """Return the finest round instants whose labels fit, and how they are written."""
        start, end = int(self.start.timestamp()), int(self.end.timestamp())
        for step, form, size in _STEPS:
            if (end - start) / step <= self.width / size and not (form == "%H:%M" and end - start > 86_400):
                break
        return [_moment(second) for second in range(-(-start // step) * step, end + 1, step)], form

    def x(self, field: str) -> alt.X:
        """Return the encoding of an instant; its axis is that of the layer of :meth:`ends`."""
        return alt.X(f"{field}:T", scale=alt.Scale(type="utc", nice=False))

    def ends(self, *, labels: bool) -> alt.Chart:
        """Return an unseen layer that spans the axis and carries it; only the lowest panel writes its labels.

        The ends are data, for a domain of its own conflicts with ``x2`` in Vega-Lite.
        """
        instants, form = self._ticks()
        day = f"{self.end.day} {self.end:%B %Y}"
        if self.start.date() != self.end.date():
            day = f"{self.start.day} {self.start:%B} to {day}"
        title = f"{day}, time in UTC" if labels else None
        axis = alt.Axis(format=form, title=title, labels=labels, ticks=labels, values=instants, labelOverlap=True)
        both = pl.DataFrame({"at": [self.start, self.end]}, schema={"at": _UTC})
        unseen: alt.Chart = alt.Chart(both).mark_rule(strokeWidth=0, aria=False).encode(x=self.x("at").axis(axis))
        return unseen


def _moment(second: int) -> alt.DateTime:
    """Return an instant in parts: a bare number is lost where Vega runs without ``eval``."""
    at = datetime.fromtimestamp(second, UTC)
    hour = {"hours": at.hour, "minutes": at.minute, "seconds": at.second}
    return alt.DateTime(year=at.year, month=at.month, date=at.day, utc=True, **hour)


def within(phases: Iterable[Phase], axis: TimeAxis) -> list[Phase]:
    """Return the phases that touch the axis, in order of time, bands cut to it."""
    kept = [p for p in phases if p.at <= axis.end and (p.until or p.at) >= axis.start]
    return sorted(kept, key=lambda p: (p.at, p.until or p.at, p.kind))


def frame(phases: Sequence[Phase], axis: TimeAxis) -> pl.DataFrame:
    """Return one row a phase: its span cut to the axis, its words, and the row of the strip that has room for them.

    Spans come first, from the top. Below them each instant has a label that its rule hangs from; laid out from the
    right, and higher than every label it would run into, so that a rule crosses no words. The words are the kind alone:
    ``full`` is what a tooltip tells.
    """
    rows = []
    ends: list[float] = []
    for phase in (p for p in phases if p.until):
        left, size, text = _place(phase, axis)
        row = next((i for i, end in enumerate(ends) if end <= left), len(ends))
        until = min(phase.until, axis.end)  # type: ignore[type-var]
        ends[row : row + 1] = [max(left + size, axis.pixel(until)) + 4]  # type: ignore[arg-type]
        rows.append(_row(phase, axis, text=text, row=row, pixel=left))
    hung: list[tuple[float, float, int]] = []
    for phase in reversed([p for p in phases if not p.until]):
        left, size, text = _place(phase, axis)
        row = 1 + max((level for begin, end, level in hung if begin < left + size + 4 and left < end), default=-1)
        hung.append((left, left + size, row))
        rows.append(_row(phase, axis, text=text, row=-row, pixel=left))
    lowest = len(ends) + max((row for *_, row in hung), default=-1)
    schema: dict[str, Any] = {
        "at": _UTC,
        "until": _UTC,
        "band": pl.Boolean,
        "impact": pl.Boolean,
        "text": pl.String,
        "full": pl.String,
    }
    table = pl.DataFrame(
        rows,
        schema={
            **schema,
            "said": pl.String,
            "row": pl.Int64,
            "label": pl.Float64,
            "left": pl.Float64,
            "right": pl.Float64,
        },
    )
    return table.with_columns(row=pl.when("band").then("row").otherwise(pl.col("row") + lowest)).sort("at", "row")


def _place(phase: Phase, axis: TimeAxis) -> tuple[float, float, str]:
    """Return where a label begins, its width in pixels and its words: the kind alone, for a strip has no room for sentences.

    It stands right of its instant, or left of it where the axis ends.
    """
    text = KIND_WORDS.get(phase.kind, words.label(phase.kind)) + (" *" if phase.detected else "")
    size = 5.8 * len(text) + 8
    begin = axis.pixel(max(phase.at, axis.start))
    end = begin if phase.until is None else axis.pixel(min(phase.until, axis.end))
    if phase.until is None or size > end - begin:  # a span too narrow for its label has it at its side
        begin = end if end + size <= axis.width else begin - size
    return max(0.0, min(begin, axis.width - size)), size, text


def _row(phase: Phase, axis: TimeAxis, *, text: str, row: int, pixel: float) -> dict[str, Any]:
    said = words.period(phase.at, phase.until) if phase.until else words.clock(phase.at)
    return {
        "at": max(phase.at, axis.start),
        "until": min(phase.until, axis.end) if phase.until else None,
        "band": phase.until is not None,
        "impact": phase.kind == "impact",
        "text": text,
        "full": title(phase) + (f" ({DETECTED})" if phase.detected else ""),
        "said": said,
        "row": row,
        "label": pixel + 4,
        "left": axis.pixel(max(phase.at, axis.start)),
        "right": axis.pixel(min(phase.until, axis.end)) if phase.until else None,
    }


def _pixels(channel: Any, field: str) -> Any:
    """Return an encoding whose values are pixels: the strip is laid out here, not by a scale."""
    return channel(f"{field}:Q", scale=None, axis=None)


def strip(table: pl.DataFrame, axis: TimeAxis) -> Any:
    """Return the panel with the names of the phases, each beside its instant or over its span."""
    starred = bool(table["text"].str.ends_with(" *").any())
    rows = int(table["row"].max()) + 1  # type: ignore[arg-type]
    height = _ROW * rows
    top = pl.col("row") * _ROW
    laid = table.with_columns(
        top=top + 1.0, middle=top + _ROW / 2, bottom=pl.when("band").then(top + _ROW - 1.0).otherwise(height)
    )
    tooltip = [alt.Tooltip("full:N", title="Phase"), alt.Tooltip("said:N", title="When")]
    spans, instants = laid.filter("band"), laid.filter(~pl.col("band"))
    x, top_y, middle = _pixels(alt.X, "left"), _pixels(alt.Y, "top"), _pixels(alt.Y, "middle")
    marks: list[Any] = []
    if spans.height:
        bars = alt.Chart(spans).mark_rect(color=theme.BAND)
        marks.append(bars.encode(x=x, x2="right:Q", y=top_y, y2="bottom:Q", tooltip=tooltip))
    if instants.height:
        rule = alt.Chart(instants).mark_rule(color=theme.MUTED, strokeDash=[3, 2])
        marks.append(rule.encode(x=x, y=top_y, y2="bottom:Q", tooltip=tooltip))
    halo: dict[str, Any] = {"stroke": theme.PAPER, "strokeWidth": 4, "strokeJoin": "round", "aria": False}
    for data, style in ((instants, halo), (laid, {})):
        if data.height:
            names = alt.Chart(data).mark_text(align="left", baseline="middle", color=theme.INK, **style)
            marks.append(names.encode(x=_pixels(alt.X, "label"), y=middle, text="text:N", tooltip=tooltip))
    title = alt.TitleParams(
        text=f"* {DETECTED}",
        fontSize=10,
        fontWeight="normal",
        color=theme.MUTED,
        frame="group",
        orient="bottom",
        offset=2,
    )
    shown: Any = alt.layer(*marks).properties(width=axis.width, height=height)
    return shown.properties(title=title) if starred else shown


def backdrop(table: pl.DataFrame, axis: TimeAxis, *, labels: bool) -> list[Any]:
    """Return the layers behind a panel's own marks: bands, the impact filled, and a rule at each instant."""
    layers: list[Any] = [axis.ends(labels=labels)]
    impact, others = table.filter("band", "impact"), table.filter("band", ~pl.col("impact"))
    if impact.height:
        mark = alt.Chart(impact.select("at", "until")).mark_rect(color=theme.BAND, clip=True, aria=False)
        layers.append(mark.encode(x=axis.x("at"), x2="until:T"))
    if others.height:
        mark = alt.Chart(others.select("at", "until")).mark_rect(color=theme.MUTED, opacity=0.1, clip=True, aria=False)
        layers.append(mark.encode(x=axis.x("at"), x2="until:T"))
    points = table.filter(~pl.col("band"))
    if points.height:
        rule = alt.Chart(points.select("at")).mark_rule(color=theme.MUTED, strokeDash=[3, 2], clip=True, aria=False)
        layers.append(rule.encode(x=axis.x("at")))
    return layers
