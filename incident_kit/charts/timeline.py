"""What happened over time: waits, errors, tools, overrides and the backup's share, in aligned panels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import altair as alt

from incident_kit import words
from incident_kit.charts import phasing, series, theme
from incident_kit.charts.phasing import TimeAxis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from incident_kit.phases import Phase

_GUTTER = 46  # left of the plots, for the numbers of their axes


@dataclass(frozen=True)
class Panel:
    """One panel: the measures drawn in it, its title for engineers and for anyone, and the question it answers."""

    measures: tuple[str, ...]
    title: str
    plain: str
    question: str = ""
    height: int = 78
    top: float | None = None  # where the axis ends, for a share that is good when high

    @property
    def is_share(self) -> bool:
        """Whether the measures are shares from 0 to 1."""
        return words.metric(self.measures[0]).unit == "%"


_WAIT = Panel(("p95_wait_ms", "p50_wait_ms"), "Wait, ms", "How long people waited, seconds", "waits", 130)
_SLOW = Panel(("p95_wait_ms",), "p95 wait, ms", "The slowest one in twenty waited over, seconds", "waits", 100)
_HALF = Panel(("p50_wait_ms",), "p50 wait, ms", "Half waited over, seconds", "waits", 100)
_WORKED = Panel(("tool_success_rate",), "Tool success, % of tool calls", "", "tools", top=1.0)
_FAILED = Panel(("tool_failure_rate",), "", "Look-ups and actions that failed, %", "tools")
_SHARES = (
    Panel(("error_rate",), "Error rate, % of requests", "Requests that got no answer, %", "errors"),
    _WORKED,
    Panel(("override_rate",), "Override rate, % of reviewed drafts", "Drafts that agents rewrote, %", "overrides"),
    Panel(("fallback_share",), "Share on fallback, % of requests", "Answered by the backup model, %"),
)
_MISSED = Panel(("missed_targets",), "SLA targets missed, at their due time", "Promised times missed, when due")


def timeline(
    frame: Any,
    *,
    phases: Sequence[Phase] | None = None,
    answers: Mapping[str, Any] | None = None,
    plain: bool = False,
    width: int = theme.WIDTH,
) -> alt.VConcatChart:
    """Return aligned panels of an incident over time, with its phases as bands and rules.

    Parameters
    ----------
    frame
        One row a bin and policy: ``at``, ``until``, ``n``, ``p50_wait_ms``, ``p95_wait_ms``, ``error_rate``,
        ``tool_success_rate``, ``override_rate``, ``fallback_share``; optionally ``missed_targets`` (SLA targets, at their due
        times), ``policy`` and ``evidence`` (``observed`` or ``estimated``). Or anything that has such a ``.series()``: an
        incident.
    phases
        Annotations; taken from the incident where not given.
    answers
        What the log can answer, by question; a panel that it cannot answer says so instead of drawing a line.
    plain
        Words for people who are no engineers: "the slowest one in twenty waited over this", seconds.
    width
        Of the whole chart, in pixels.
    """
    if hasattr(frame, "series"):
        phases = getattr(frame, "phases", ()) if phases is None else phases
        answers = getattr(frame, "answers", {}) if answers is None else answers
        frame = frame.series()
    bins = series.tidy(frame)
    if bins.is_empty():
        return theme.nothing("Nothing to show: there are no requests in this period.", width=width)
    drawing = _Drawing(bins, phases or (), answers or {}, plain=plain, width=width - _GUTTER)
    return theme.finished(drawing.chart(), drawing.description())


class _Drawing:
    """The panels of one timeline, on one axis."""

    def __init__(
        self,
        bins: pl.DataFrame,
        phases: Sequence[Phase],
        answers: Mapping[str, Any],
        *,
        plain: bool,
        width: int,
    ) -> None:
        self.bins, self.phases, self.answers, self.plain = bins, phases, answers, plain
        self.axis = TimeAxis(bins["at"].min(), bins["until"].max(), width=width)  # type: ignore[arg-type]
        self.marks = phasing.frame(phasing.within(phases, self.axis), self.axis)
        # with several policies each panel holds one line a policy: p95 and p50 take a panel each
        panels = [_SLOW, _HALF, *_SHARES] if len(series.lines(bins)) > 1 else [_WAIT, *_SHARES]
        panels = [_FAILED if plain and panel is _WORKED else panel for panel in panels]
        panels += [_MISSED] if bins["missed_targets"].count() else []
        self.silent = {panel: self.unknown(panel) for panel in panels}
        self.rows, self.told = series.drawn(bins, plain=plain), series.told(bins, plain=plain)
        self.guesses: dict[str, bool] = dict(bins.select("line", "estimated").unique(maintain_order=True).iter_rows())
        self.drawn = [panel for panel, why in self.silent.items() if not why]

    def chart(self) -> alt.VConcatChart:
        """Return the panels, one under the other; one that cannot be drawn is a line of words."""
        parts: list[Any] = [phasing.strip(self.marks, self.axis)] if self.marks.height and self.drawn else []
        for panel, why in self.silent.items():
            parts.append(theme.sentence(why, width=self.axis.width) if why else self.panel(panel))
        if self.bins["middle"].n_unique() == 1:
            parts.append(
                theme.sentence("There is only one interval: nothing to compare it with.", width=self.axis.width)
            )
        chart: alt.VConcatChart = alt.vconcat(*parts).resolve_scale(color="independent", strokeDash="independent")
        return chart

    def description(self) -> str:
        """Return the chart in words, from its data."""
        shown = dict.fromkeys(panel.measures[0] for panel in self.drawn if panel is not _HALF)
        told = series.describe(self.bins, self.phases, shown, plain=self.plain)
        return " ".join([told, *(why for why in self.silent.values() if why)])

    def unknown(self, panel: Panel) -> str:
        """Return why a panel is words instead of a drawing, or an empty string."""
        what = (panel.plain if self.plain else panel.title).rsplit(",", 1)[0]
        answer = self.answers.get(panel.question)
        if answer is not None and answer.answer == "no":
            why = "" if self.plain else f" {words.sentence(answer.why)}".rstrip()
            return f"{what}: {words.NOT_IN_LOG}.{why}"
        if all(self.bins[name].null_count() == self.bins.height for name in panel.measures):
            return f"{what}: no value in this period."
        if panel.is_share and panel.top is None and all((self.bins[name].max() or 0) == 0 for name in panel.measures):
            seen = " seen in this log" if answer is not None and answer.answer == "lower bound" else ""
            return f"{what}: none{seen}."  # a flat line at nothing is a panel less
        return ""

    def title(self, panel: Panel) -> alt.TitleParams:
        """Return a panel's title, which says where the log gives only a lower bound, and why."""
        title, answer = panel.plain if self.plain else panel.title, self.answers.get(panel.question)
        if panel.top is not None:
            title += f" (axis from {words.number(_floor(panel, self.rows), '%')})"
        if answer is None or answer.answer != "lower bound":
            return theme.heading(title, width=self.axis.width)
        if self.plain:
            return theme.heading(f"{title} (at least)", width=self.axis.width)
        return theme.heading(f"{title} (lower bound)", subtitle=words.sentence(answer.why), width=self.axis.width)

    def panel(self, panel: Panel) -> Any:
        """Return one panel: the phases behind, a line a policy or measure, and what is told on hover."""
        labels = panel is self.drawn[-1]
        x = self.axis.x("middle")
        layers = phasing.backdrop(self.marks, self.axis, labels=labels)
        colour, dash = self.looks(panel)
        names = list(self.names(panel))
        for i, measure in enumerate(panel.measures):
            y = alt.Y(f"{measure}:Q", scale=_scale(panel, self.rows), axis=_axis(panel, plain=self.plain))
            points = series.alone(self.rows, measure).select("middle", "line", measure)
            base = [
                alt.Chart(self.rows).mark_line(strokeWidth=1.8, strokeJoin="round", aria=False).encode(strokeDash=dash)
            ]
            if points.height:
                base.append(alt.Chart(points).mark_point(filled=True, size=28, opacity=1, aria=False))
            for chart in base:
                named = chart.transform_calculate(name=f"'{names[i]}'" if len(panel.measures) > 1 else "datum.line")
                layers.append(named.encode(x=x, y=y, color=colour))
        layers.append(self.hover(panel))
        return alt.layer(*layers).properties(width=self.axis.width, height=panel.height, title=self.title(panel))

    def looks(self, panel: Panel) -> tuple[alt.Color, alt.StrokeDash]:
        """Return colour and dash of a panel's lines: solid is observed, a dash is estimated; the first has the key."""
        names = self.names(panel)
        inks = [theme.SERIES[i % len(theme.SERIES)] for i in range(len(names))]
        dashes = [theme.DASHES[1 + i % 5] if guess else theme.DASHES[0] for i, guess in enumerate(names.values())]
        needed = (panel is self.drawn[0] or len(panel.measures) > 1) and (len(names) > 1 or any(names.values()))
        columns = 1 if self.axis.width < 450 else 3
        key = alt.Legend(columns=columns, symbolType="stroke", symbolSize=500) if needed else None
        return (
            alt.Color("name:N", scale=alt.Scale(domain=list(names), range=inks), legend=key),
            alt.StrokeDash("name:N", scale=alt.Scale(domain=list(names), range=dashes), legend=key),
        )

    def names(self, panel: Panel) -> dict[str, bool]:
        """Return the names of a panel's lines, and whether they are estimated.

        Lines are policies; where one panel shows several measures of the only policy, they are the measures.
        """
        if len(panel.measures) == 1:
            return self.guesses
        guess = any(self.guesses.values())
        known = [words.metric(measure) for measure in panel.measures]
        names = [f"{words.sentence(one.plain)} this" if self.plain else one.title for one in known]
        return {f"{name} (estimated)" if guess else name: guess for name in names}

    def hover(self, panel: Panel) -> alt.Chart:
        """Return a transparent column a bin that tells the numbers of all lines, and shows where the pointer is."""
        lines = series.lines(self.bins)
        tips = [alt.Tooltip("when:N", title="Time"), alt.Tooltip("n:Q", title="Requests", format=",")]
        for name in panel.measures:
            known = words.metric(name)
            title = words.sentence(known.plain) if self.plain else known.title
            tips += [
                alt.Tooltip(f"{name}_{i}:N", title=line if len(lines) > 1 else title) for i, line in enumerate(lines)
            ]
        here = alt.selection_point(on="mouseover", clear="mouseout", empty=False, name=f"here_{panel.measures[0]}")
        shade = alt.condition(here, alt.value(0.12), alt.value(0))
        columns = alt.Chart(self.told).mark_rect(color=theme.INK, aria=False).add_params(here)
        x = self.axis.x("at")
        shown: alt.Chart = columns.encode(x=x, x2="until:T", opacity=shade, tooltip=tips)
        return shown


def _floor(panel: Panel, frame: pl.DataFrame) -> float:
    """Return where the axis of a share that is good when high begins: not at nought, and its title says so."""
    low = float(frame.select(panel.measures).min().min_horizontal().item())
    return math.floor(20 * min(0.9, low)) / 20


def _scale(panel: Panel, frame: pl.DataFrame) -> alt.Scale:
    if panel.top is not None:
        return alt.Scale(domain=[_floor(panel, frame), panel.top], nice=False, clamp=True)
    high = float(frame.select(panel.measures).max().max_horizontal().item())
    return alt.Scale(domain=[0, max(high * 1.04, 0.05 if panel.is_share else 1e-9)], nice=True)


def _axis(panel: Panel, *, plain: bool) -> alt.Axis:
    look: dict[str, Any] = {"title": None, "domain": False, "ticks": False, "tickCount": 3 if panel.height < 100 else 4}
    look |= {"minExtent": _GUTTER - 4, "maxExtent": _GUTTER - 4}
    if panel.is_share:
        return alt.Axis(format="~%", labelExpr="replace(datum.label, '%', ' %')", **look)
    return alt.Axis(format=",~r" if plain else ",d", **look)
