"""Tuner: a policy's thresholds as sliders, and four panels that follow the hand."""

from __future__ import annotations

import asyncio
import html
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets  # type: ignore[import-untyped]
import polars as pl

from incident_kit import words
from incident_kit.cachedproperty import cached_property
from incident_kit.charts import tuner as chart
from incident_kit.errors import IncidentKitError, InvalidPolicy, UnansweredQuestion
from incident_kit.policies.dials import Dial, Settings, dials, rules
from incident_kit.policies.policydiff import diff
from incident_kit.widgets import panels
from incident_kit.widgets.knobs import Knobs, button, named
from incident_kit.widgets.live import View
from incident_kit.widgets.panels import HERE, LOADED, LOGGED, TUNED
from incident_kit.widgets.workbench import DRAWS, METRICS, Workbench

if TYPE_CHECKING:
    import altair as alt

    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy
    from incident_kit.scoring.replays import Replay

REST = 0.1  # seconds without a turn before the ranges are worked out
FIRST = 12  # draws, before the others: ranges that are nearly there
COLD = 2  # draws at a time that have not run before
OTHERS = 24  # settings along the dial in hand, about
KEPT = 12  # of them, in a snapshot: a notebook is kept with its charts
ONE_MOVE = 1.0  # seconds within which turns of one dial are undone together
SEEN, BORROWED, UNTOLD = "we saw this", "worked out from similar requests", "these logs cannot tell"
PARAGRAPH = "<p style='line-height: 1.4; margin: 4px 0; max-width: 700px'>"
ACTING = (
    "window",
    "min_requests",
    "for",
    "cooldown",
    "half_open.requests",
)  # what a breaker goes by besides its limits


class Tuner(widgets.VBox):  # type: ignore[misc]
    """A policy in the hand: a slider, a number box and a switch for each of its thresholds, and four panels that follow.

    While a hand moves, the panels show the most likely outcome; the ranges follow when it rests, and until then the scorecard
    says that they are being worked out. ``.policy`` is the policy as tuned.

    Parameters
    ----------
    incident, policy
        The incident, and the policy to begin with.
    during
        What is scored: a phase, two instants, or None for the whole log; by default the impact where there is one.
    metrics, draws, seed
        As in :func:`compare`; metrics of outcomes only.

    Raises
    ------
    InvalidPolicy
        The policy has no threshold to turn.
    UnansweredQuestion
        The policy asks what the loaded logs do not hold, or they hold no request.
    """

    def __init__(
        self,
        incident: Incident,
        policy: Policy,
        *,
        during: str | tuple[datetime, datetime] | None = "",
        metrics: Sequence[str] = METRICS,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> None:
        known = dials(policy)
        if not len(incident.log):
            raise UnansweredQuestion("there are no requests to replay: load a gateway's log first")
        if not known:
            raise InvalidPolicy(f"policy {policy.name} has no threshold to turn: give a route max_p95_ms, for example")
        if during == "":
            during = "impact" if any(phase.kind == "impact" for phase in incident.phases) else None
        self.bench = Workbench(incident, policy, during=during, metrics=metrics, draws=draws, seed=seed)
        self.quality = panels.quality_of(self.bench)
        self.settings = Settings(policy)
        self.dials = {one.path: one for one in known}
        self.in_hand = known[0]
        self._replay: Replay = self.bench.as_loaded
        self._drawn: list[Any] = []
        self._moved = 0.0  # when a hand turned something last
        self._others: dict[str, list[dict[str, Any]]] = {}
        self._work: asyncio.Task[None] | None = None
        self._going = Event()  # set: what is being worked out is no longer wanted
        about = incident.about()
        scored = "the whole log" if during is None else during if isinstance(during, str) else "the chosen span"
        self._options: dict[str, Any] = {
            "start": about["first"],
            "end": about["last"],
            "phases": incident.phases,
            "rows": panels.rows_of(self.bench.as_loaded, (TUNED, LOADED)),
            "metrics": len(self.bench.metrics),
            "scored": f"{scored} scored",
            "quality": self.quality.title,
        }
        self.view = View(self._chart(), self._still | self._rows())
        self.knobs = Knobs(
            self.dials, rules(policy), turned=self._turned, switched=lambda rule, on: self.switch(rule, on=on)
        )
        self._verdict = widgets.HTML()
        self._changes = widgets.HTML()
        self._undo = button("Undo", "the last change", self.undo)
        self._reset = button("Reset", "everything back to the policy as loaded", self.reset)
        self._file = widgets.Text(
            f"{policy.name}-tuned.yaml", description="Save as", layout={"width": "280px"}, continuous_update=False
        )
        self._save = button("Save", "the tuned policy as YAML", lambda: self.save(self._file.value))
        self._said = widgets.HTML()
        bar = widgets.HBox([self._undo, self._reset, self._file, self._save, self._said])
        super().__init__([self.knobs, bar, self._verdict, self.view, self._changes])
        self.add_class("incident-kit-tuner")
        self._show()
        self._rest()

    @property
    def policy(self) -> Policy:
        """The policy as tuned."""
        return self.settings.policy

    @property
    def scores(self) -> pl.DataFrame:
        """The scorecard as it is shown: metric, observed, estimate, low, high (NULL until the ranges are there), verdict."""
        return self.bench.scored(self._replay, self._drawn)

    def turn(self, path: str, value: float) -> None:
        """Turn one dial, as its slider does.

        Raises
        ------
        NoSuchItem
            There is no dial at the path.
        InvalidPolicy
            The number contradicts the rest of the policy.
        """
        from incident_kit.policies.dials import dial

        one = dial(self.bench.loaded, path)
        self._apply(self.settings.turned(one.path, value), one)

    def switch(self, rule: str, *, on: bool) -> None:
        """Switch a rule on or off, by its path in `dials.rules`."""
        self._apply(self.settings.switched(rule, on=on), self.in_hand)

    def undo(self) -> None:
        """Take the last change back."""
        if self.settings.before is not None:
            self._apply(self.settings.before, self.in_hand)

    def reset(self) -> None:
        """Go back to the policy as loaded; that can be undone."""
        fresh = Settings(self.bench.loaded, before=self.settings)
        self._apply(fresh, self.in_hand)

    def save(self, path: str | Path) -> None:
        """Write the tuned policy as YAML: the file's own comments and order, and only what changed changed."""
        try:
            self.policy.save(path)
        except OSError as error:
            self._said.value = html.escape(f"{path} cannot be written: {error.strerror or error}")
        else:
            self._said.value = f"Saved as {html.escape(str(path))}"

    def settle(self) -> None:
        """Work the ranges and the other settings out now, and return when they are shown."""
        self._stop()
        for show in self._steps():
            show()

    def snapshot(self) -> alt.VConcatChart:
        """Return the four panels as a chart that needs no kernel; its slider is the dial in hand, every setting worked out."""
        from incident_kit.widgets.tunersnapshot import snapshot

        self._stop()
        one = self.in_hand
        values = grid(one, self.settings.values.get(one.path, one.value), most=KEPT)
        made = snapshot(
            self.bench,
            self.settings,
            one,
            values=values,
            still=self._still,
            quality=self.quality,
            options=self._options,
        )
        self._rest()
        return made

    def _turned(self, one: Dial, value: float) -> None:
        """Do what a hand does: turns of one dial within a second are one move."""
        value = round(value, 6)  # a browser's slider adds up steps: 0.09999999999999999
        if value == self.settings.values.get(one.path, one.value):
            self._show_controls()
            return
        now = time.monotonic()
        goes_on = one is self.in_hand and now - self._moved < ONE_MOVE and self.settings.before is not None
        settings = self.settings.turned(one.path, value)
        self._apply(replace(settings, before=self.settings.before) if goes_on else settings, one)
        self._moved = now

    def _apply(self, settings: Settings, one: Dial) -> None:
        """Take a setting on as a whole or, where its numbers cannot stand or somebody breaks in, not at all."""
        self._stop()
        try:
            replay = self.bench.replay(settings.policy)
        except IncidentKitError as error:
            self._said.value = html.escape(str(error))
            self._show_controls()
            self._rest()
            return
        except KeyboardInterrupt:
            self._said.value = "Interrupted: nothing has changed."
            self._show_controls()
            self._rest()
            raise
        self._said.value = ""
        self.settings, self.in_hand, self._replay, self._drawn, self._moved = settings, one, replay, [], 0.0
        self._show()
        self._rest()

    def _show(self) -> None:
        """Show the setting: the point estimate, and the ranges where they are worked out."""
        self.view.update(**self._rows())
        self._show_controls()
        self._verdict.value = self._sentence()
        changes = diff(self.bench.loaded, self.policy)
        listed = f"{PARAGRAPH}Changed from the policy as loaded:</p><pre>{html.escape(str(changes))}</pre>"
        self._changes.value = listed if changes else ""

    def _show_controls(self) -> None:
        self.knobs.show(self.settings.values, self.settings.off)
        self._undo.disabled = self.settings.before is None

    def _rows(self) -> dict[str, pl.DataFrame]:
        """Return what belongs to the setting that is shown."""
        return {
            "lines": panels.over_time({TUNED: self._replay}, self.quality),
            "states": panels.states({TUNED: self._replay}),
            "scores": panels.scorecard(self.bench, self.scores, draws=len(self._drawn), wanted=self._wanted()),
            "points": self._points(),
        }

    def _wanted(self) -> int:
        """Return how many draws there will be when the ranges are there."""
        return self.bench.draws if self.bench.is_drawn(self._replay) else 1

    def _points(self) -> pl.DataFrame:
        """Return the settings along the dial in hand, where they are worked out, and those that have names."""
        bench = self.bench
        named = ((LOGGED, bench.observed), (LOADED, bench.loaded_told), (HERE, bench.shown(self._replay)))
        others = self._others.get(self._key(), [])
        return panels.points(
            [*others, *(panels.point(kind, bench.named(values), self.quality) for kind, values in named)]
        )

    @cached_property
    def _still(self) -> dict[str, pl.DataFrame]:
        """What stays where it is, whatever is turned."""
        logged, loaded = self.bench.as_logged, self.bench.as_loaded
        return {
            "lines_still": panels.over_time({LOGGED: logged, LOADED: loaded}, self.quality),
            "states_still": panels.states({LOADED: loaded}),
        }

    def _chart(self) -> alt.VConcatChart:
        return chart.tuner(**self._options)

    def _sentence(self) -> str:
        """Return what the verdict rests on: evidence, and what the policy leaves unsaid."""
        shares = self.bench.shares(self._replay)
        seen, none = shares["observed"], shares["none"]
        parts = [(seen, SEEN), (1 - seen - none, BORROWED), (none, UNTOLD)]
        rests = ", ".join(f"{said} for <b>{words.number(share, '%')}</b>" for share, said in parts if share > 1e-9)
        path = self.in_hand.rule.removesuffix(".breaker")
        told = {one.path: one.value for one in self.policy.implied if one.value != "0s"}
        unsaid = [f"{name} {told[where]}" for name in ACTING if (where := f"{path}.breaker.{name}") in told]
        implied = (
            f" The file leaves unsaid, of {html.escape(named(self.in_hand.owner))}: "
            f"{html.escape(', '.join(unsaid))}; <code>ik.sensitivity()</code> says whether that decides the verdict."
            if unsaid
            else ""
        )
        withheld = "" if self.bench.is_told(self._replay) else " That is too many of them for an estimate."
        return f"{PARAGRAPH}Of the requests that are scored: {rests}.{withheld}{implied}</p>"

    def _key(self) -> str:
        """Return what the other settings along the dial in hand depend on."""
        rest = {path: value for path, value in self.settings.values.items() if path != self.in_hand.path}
        return repr((self.in_hand.path, sorted(rest.items()), sorted(self.settings.off)))

    def _steps(self, is_wanted: Callable[[], bool] = lambda: True) -> Iterator[Callable[[], None]]:
        """Work the ranges out, then the other settings; yield what is to be shown of each step.

        Steps are short: between two, and between the draws of one, the hand may move again.
        """
        central, one, settings, key = self._replay, self.in_hand, self.settings, self._key()
        drawn = list(self._drawn)  # what is shown is not taken back: a snapshot changes no setting
        wanted = self._wanted()
        while not self.bench.is_loaded_drawn and is_wanted():
            self.bench.draw_loaded(at_once=COLD)
        while len(drawn) < wanted and is_wanted():
            size = len(drawn)
            until = size + COLD if not self.bench.is_warm(size + COLD) else FIRST if size < FIRST else self.bench.draws
            drawn += self.bench.drawn(central, first=size, until=until, is_wanted=is_wanted)
            if self.bench.is_warm(self.bench.draws) or len(drawn) >= FIRST:
                yield partial(self._show_ranges, list(drawn))
        if key in self._others or one.rule in settings.off or not is_wanted():
            return
        found = []
        for value in grid(one, settings.values.get(one.path, one.value)):
            if not is_wanted():
                return
            try:
                other = self.bench.other(settings.turned(one.path, value).policy)
            except InvalidPolicy:
                continue
            scores = self.bench.named(self.bench.shown(other))
            said = f"{one.label} {value:g}"
            found.append(panels.point("other settings", scores, self.quality, value=value, said=said))
        yield partial(self._show_others, key, found)

    def _show_ranges(self, drawn: list[Any]) -> None:
        self._drawn = drawn
        self.view.update(scores=panels.scorecard(self.bench, self.scores, draws=len(drawn), wanted=self._wanted()))

    def _show_others(self, key: str, found: list[dict[str, Any]]) -> None:
        self._others[key] = found
        self.view.update(points=self._points())

    def _rest(self) -> None:
        """Have the ranges follow once the hand rests; without a running loop, as in a script, they wait for `settle`.

        They are worked out beside the loop, which goes on hearing the page; what a later turn has overtaken is not shown.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        going = Event()

        async def follow() -> None:
            await asyncio.sleep(REST)
            steps = self._steps(lambda: not going.is_set())
            while (show := await asyncio.to_thread(next, steps, None)) is not None:
                if not going.is_set():
                    show()

        self._going, self._work = going, loop.create_task(follow())

    def _stop(self) -> None:
        self._going.set()
        if self._work is not None and not self._work.done():
            self._work.cancel()
        self._work = None


def grid(one: Dial, here: float, *, most: int = OTHERS) -> list[float]:
    """Return numbers along a dial in even steps, ``most`` or so, the present one among them.

    Examples
    --------
    >>> grid(Dial("a", "a", "p95_ms", ">", 3500, 700, 8800, 100, "a"), 3500)[:3]
    [700, 1100, 1500]
    """
    step = one.step * max(math.ceil((one.high - one.low) / one.step / most), 1)
    least = here - math.floor((here - one.low) / step + 1e-9) * step
    size = math.floor((one.high - least) / step + 1e-9) + 1
    return [round(least + i * step) if one.is_whole else round(least + i * step, 6) for i in range(size)]
