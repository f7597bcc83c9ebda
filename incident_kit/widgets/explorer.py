"""Explorer: an incident over time with a window on it, what stands out in the window, and whose requests and tickets it was."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import ipywidgets as widgets  # type: ignore[import-untyped]
import polars as pl

from incident_kit.charts import explorer as chart
from incident_kit.charts.phasing import KIND_WORDS
from incident_kit.errors import IncidentKitError, InvalidCase
from incident_kit.widgets import listing
from incident_kit.widgets.brush import BrushedView
from incident_kit.widgets.exploration import Exploration, Look, Span, panels
from incident_kit.widgets.live import View, plain
from incident_kit.words import label, lasting, number, period

if TYPE_CHECKING:
    import altair as alt

    from incident_kit.incident import Incident

USUAL = {"healthy time": "healthy", "the rest of the log": "all"}
HEALTHY, REST = USUAL
OTHER = "a second window"
NOTHING = "there are no requests to explore: load a gateway's log first"
WAIT = 0.1  # seconds without a move before the lists follow


class Explorer(widgets.VBox):  # type: ignore[misc]
    """An incident over time: drag a window across it, and what stands out there follows, beside usual time, ranked.

    ``.selection`` is the window, and what the next cell may use: ``ik.compare(..., during=explorer.selection)``. The frames
    ``.contrast``, ``.requests`` and ``.tickets`` are what the window holds.

    Parameters
    ----------
    incident
        What is explored.
    selection
        The window to begin with: a phase or two instants; default: the first impact, else the interval with the longest waits.
    baseline
        What it is held against: ``healthy`` (all time outside impacts), ``all`` (the rest of the log), a phase, or two
        instants, which are a second window.

    Raises
    ------
    NoSuchItem
        There is no such phase.
    InvalidCase
        An instant has no zone, or a span ends before it begins.
    """

    def __init__(
        self, incident: Incident, *, selection: str | Span | None = None, baseline: str | Span = "healthy"
    ) -> None:
        self.exploration = Exploration(incident)
        self._look: Look | None = None
        self._work: asyncio.Task[None] | None = None
        self._is_setting = False
        if not len(self.exploration):
            super().__init__([View(self._chart(), {})])
            return
        self.phases = dict(self._named())
        self._look = self._at(self.exploration.first if selection is None else selection, baseline)
        self.view = BrushedView(
            self._chart(), self._rows(), across=chart.ACROSS, limits=self.exploration.limits,
            step=self.exploration.step, windows=self._windows(),
        )  # fmt: skip
        self.view.observe(lambda _: self._moved(), "spans")
        self._ends = self._box("From (UTC)", "window"), self._box("until", "window")
        self._other_ends = self._box("from (UTC)", "baseline"), self._box("until", "baseline")
        self._beside = widgets.Dropdown(
            options=[HEALTHY, REST, *self.phases, OTHER], description="Beside", layout={"width": "330px"},
            style={"description_width": "initial"},
        )  # fmt: skip
        self._beside.observe(lambda _: self._turned(), "value")
        self._said, self._requests, self._tickets = widgets.HTML(), widgets.HTML(), widgets.HTML()
        super().__init__([*self._controls(), self._said, self.view, self._tickets, self._requests])
        self.add_class("incident-kit-explorer")
        self._show()

    @property
    def selection(self) -> Span:
        """The window: its first instant, and the one after its last; UTC.

        Raises
        ------
        InvalidCase
            There are no requests.
        """
        return self._now.selection

    @property
    def baseline(self) -> str | Span:
        """What the window is held against: ``healthy``, ``all``, or two instants."""
        return self._now.baseline

    @property
    def contrast(self) -> pl.DataFrame:
        """What the window has more or less of than its baseline, ranked: the rows of :func:`contrast`.

        Raises
        ------
        InvalidCase
            There is nothing to compare: no request on one of the sides.
        """
        if self._now.found is None:
            raise InvalidCase(self._now.why)
        return self._now.found.rows

    @property
    def requests(self) -> pl.DataFrame:
        """The requests that arrived in the window, in order of arrival, with what became of them."""
        return self._now.requests

    @property
    def tickets(self) -> pl.DataFrame:
        """The tickets with a request or a due target in the window: rows of :func:`ticket_list`."""
        return self._now.tickets

    def look(self, selection: str | Span, baseline: str | Span | None = None) -> None:
        """Move the window to a phase or to two instants, as a hand does; None keeps the baseline.

        Raises
        ------
        NoSuchItem
            There is no such phase.
        InvalidCase
            An instant has no zone, a span ends before it begins, or there are no requests.
        """
        self._apply(self._at(selection, self._now.baseline if baseline is None else baseline))

    def snapshot(self) -> alt.VConcatChart:
        """Return the Explorer as it stands, as a chart that needs no kernel."""
        import altair as alt

        if self._look is None:
            return self._chart()
        shown = self._chart(self._windows()).to_dict()
        rows = {name: plain(frame) for name, frame in self._rows().items()}
        made: alt.VConcatChart = alt.VConcatChart.from_dict({**shown, "datasets": {**shown["datasets"], **rows}})
        return made

    @property
    def _now(self) -> Look:
        if self._look is None:
            raise InvalidCase(NOTHING)
        return self._look

    def _named(self) -> Iterator[tuple[str, Span]]:
        """Yield the phases that a press makes the window: spans, and some time around instants."""
        incident, (begin, end) = self.exploration.incident, self.exploration.limits
        around, kinds = 2 * self.exploration.bin, [phase.kind for phase in incident.phases]
        for phase in incident.phases:
            if not (phase.at < end and (phase.until or phase.at) >= begin):
                continue
            lasts = phase.until is not None or phase.kind == "impact"
            kind = KIND_WORDS[phase.kind]
            name = kind if lasts else f"Around {kind[0].lower()}{kind[1:]}"
            name += f" {phase.at:%H:%M}" if kinds.count(phase.kind) > 1 else ""
            yield name, self.exploration.lasting(phase) if lasts else (phase.at - around, phase.at + around)

    def _at(self, selection: str | Span, baseline: str | Span) -> Look:
        span, beside = self._span(selection), baseline
        if baseline not in USUAL.values():
            beside = self._span(baseline)
        return self.exploration.look(span, beside)

    def _span(self, what: str | Span) -> Span:
        span = self.phases.get(what) or self.exploration.incident.span(what) if isinstance(what, str) else what
        return self.exploration.within(*span)

    def _windows(self) -> dict[str, Span]:
        """Return the windows that are drawn: a usual time is none."""
        beside = self._now.baseline
        return {"window": self.selection, **({"baseline": beside} if isinstance(beside, tuple) else {})}

    def _controls(self) -> Iterator[widgets.Widget]:
        row = {"flex_flow": "row wrap", "align_items": "center"}
        by = lasting(self.exploration.bin)
        presses = [_button(name, period(*span), partial(self.look, span)) for name, span in self.phases.items()]
        moves = [
            _button(name, f"{what} by {by}", partial(self._step, *ends))
            for name, what, ends in (
                ("Earlier", "move the window", (-1, -1)), ("Later", "move the window", (1, 1)),
                ("Shorter", "end the window sooner", (0, -1)), ("Longer", "end the window later", (0, 1)),
            )
        ]  # fmt: skip
        yield widgets.HBox(presses, layout=row)
        yield widgets.HBox([*self._ends, *moves], layout=row)
        yield widgets.HBox([self._beside, *self._other_ends], layout=row)

    def _box(self, name: str, window: str) -> widgets.Text:
        """Return the box of one end of a window, which is read once a person leaves it."""
        box = widgets.Text(
            description=name, continuous_update=False, layout={"width": "230px"}, style={"description_width": "initial"}
        )
        box.observe(lambda _: self._typed(window), "value")
        return box

    def _typed(self, window: str) -> None:
        if self._is_setting:
            return
        boxes = self._ends if window == "window" else self._other_ends
        try:
            day = self._windows()[window][0]
            span = self.exploration.within(*(_instant(box.value, day) for box in boxes))
        except IncidentKitError as error:
            self._say(str(error), is_wrong=True)
            return
        self.view.windows = {**self.view.windows, window: span}

    def _step(self, first: int, last: int) -> None:
        begin, end = self.selection
        by, (least, most) = self.exploration.bin, self.exploration.limits
        if first:  # moved as a whole: at an end of the log it keeps its length
            by = max(by * first, least - begin) if first < 0 else min(by, most - end)
            self.look((begin + by, end + by))
        else:
            self.look((begin, max(end + last * by, begin + self.exploration.step)))

    def _turned(self) -> None:
        """Hold the window against what was chosen; a second window begins as what came just before."""
        if self._is_setting:
            return
        begin, end = self.selection
        before: Span = (max(begin - (end - begin), self.exploration.limits[0]), begin)
        name = self._beside.value
        self._apply(self._at(self.selection, USUAL.get(name) or self.phases.get(name) or before))

    def _moved(self) -> None:
        """Follow a hand on the chart."""
        if self._is_setting:
            return
        windows = {name: self.exploration.within(*span) for name, span in self.view.windows.items()}
        self._apply(self.exploration.look(windows["window"], windows.get("baseline", self.baseline)))

    def _apply(self, look: Look) -> None:
        self._look = look
        self._show()

    def _show(self) -> None:
        """Show what stands out now, first of all; the lists follow when the hand rests."""
        rows = self._rows()
        self.view.update(**rows)
        self._is_setting = True
        try:
            windows = self._windows()
            self.view.windows = windows
            for boxes, name in ((self._ends, "window"), (self._other_ends, "baseline")):
                for box, at in zip(boxes, windows.get(name, ("", "")), strict=True):
                    box.value = f"{at:%Y-%m-%d %H:%M:%S}" if at else ""
                    box.layout.display = "" if at else "none"
            self._beside.value = self._named_baseline()
        finally:
            self._is_setting = False
        for box in (self._tickets, self._requests):
            box.add_class("stale")
        self._say(" ".join(rows["head"].row(0)))
        self._rest()

    def _named_baseline(self) -> str:
        for name, usual in USUAL.items():
            if usual == self.baseline:
                return name
        return next((name for name, span in self.phases.items() if self._span(span) == self.baseline), OTHER)

    def _rows(self) -> dict[str, pl.DataFrame]:
        """Return the datasets of the chart."""
        now = self._now
        incident = self.exploration.incident
        became, were = panels(now.found, slow_ms=incident.slow_ms)
        zone = ZoneInfo(incident.zone)
        beside = self._named_baseline()
        if isinstance(now.baseline, tuple):
            beside = period(*now.baseline, zone=zone) if beside == OTHER else beside
        told = now.why
        if now.found is not None:
            marked = int(now.found.rows["stands_out"].sum())
            told = (
                f"{number(now.found.chosen)} requests beside {number(now.found.others)} others; {number(marked)} of "
                f"{number(now.found.rows.height)} shares differ by more than chance shows."
            )
        head = f"{period(*now.selection, zone=zone)}, beside {beside}"
        return {"head": pl.DataFrame({"title": [head], "said": [told]}), "became": became, "were": were}

    def _chart(self, windows: dict[str, Span] | None = None) -> alt.VConcatChart:
        ready, incident = self.exploration, self.exploration.incident
        became, were = (ready.outcomes, ready.kinds) if len(ready) else (0, 0)
        return chart.explorer(
            ready.series, phases=incident.phases, answers=incident.answers, became=became, were=were, windows=windows
        )

    def _say(self, text: str, *, is_wrong: bool = False) -> None:
        """Say a line; what the chart shows already is for ears only."""
        kind = "wrong" if is_wrong else "ik-unseen"
        self._said.value = f'<p role="status" class="{kind}">{html.escape(text)}</p>'

    def _list(self) -> None:
        now, incident = self._now, self.exploration.incident
        when = period(*now.selection, zone=ZoneInfo(incident.zone))
        self._tickets.value = listing.tickets(now.tickets, when=when)
        self._requests.value = listing.requests(now.requests, when=when)
        for box in (self._tickets, self._requests):
            box.remove_class("stale")

    def _rest(self) -> None:
        """Have the lists follow once the hand rests; at once where there is no running loop, as in a script."""
        if self._work is not None:
            self._work.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._list()
            return

        async def follow() -> None:
            await asyncio.sleep(WAIT)
            self._list()

        self._work = loop.create_task(follow())


def _instant(text: str, day: datetime) -> datetime:
    """Return what was typed as an instant; a time alone is of the day, and without a zone it is UTC.

    Raises
    ------
    InvalidCase
        It is neither.

    Examples
    --------
    >>> _instant("13:40", datetime(2026, 10, 5, tzinfo=UTC)).isoformat()
    '2026-10-05T13:40:00+00:00'
    """
    text = text.strip()
    try:
        at = datetime.fromisoformat(f"{day:%Y-%m-%d} {text}" if "-" not in text[:8] else text)
    except ValueError:
        raise InvalidCase(f"{label(text)!r} is no time: write 2026-10-05 13:40:00 or 13:40, UTC") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _button(text: str, tip: str, does: Callable[[], None]) -> widgets.Button:
    made = widgets.Button(description=text, tooltip=tip, layout={"width": "auto"})
    made.on_click(lambda _: does())
    return made
