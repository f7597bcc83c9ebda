"""Tuner: a policy's thresholds as sliders, and four panels that follow the hand."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets  # type: ignore[import-untyped]
import polars as pl

from incident_kit import panels, words
from incident_kit.charts import tuner as chart
from incident_kit.dials import Dial, Settings, dials, rules
from incident_kit.errors import IncidentKitError, InvalidPolicy, UnansweredQuestion
from incident_kit.live import View
from incident_kit.panels import LOADED, LOGGED, TUNED
from incident_kit.policydiff import diff
from incident_kit.workbench import DRAWS, METRICS, Workbench

if TYPE_CHECKING:
    import altair as alt

    from incident_kit.incident import Incident
    from incident_kit.policy import Policy
    from incident_kit.replays import Replay

REST = 0.15  # seconds without a turn before the ranges are worked out
OTHERS = 24  # settings along the dial in hand
HERE = "you are here"
SEEN, BORROWED = "we saw this", "worked out from similar requests"


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
        self.settings = Settings(policy)
        self.dials = {one.path: one for one in known}
        self.in_hand = known[0]
        self._replay: Replay = self.bench.as_loaded
        self._drawn: list[Any] = []
        self._others: dict[str, list[dict[str, Any]]] = {}
        self._work: asyncio.Task[None] | None = None
        self._is_setting = False
        about = incident.about()
        scored = "the whole log" if during is None else during if isinstance(during, str) else "the chosen span"
        self._options: dict[str, Any] = {
            "start": about["first"],
            "end": about["last"],
            "phases": incident.phases,
            "rows": panels.rows_of(self.bench.as_loaded, (TUNED, LOADED)),
            "metrics": len(self.bench.metrics),
            "scored": f"{scored} scored",
        }
        self.view = View(self._chart(), self._rows())
        self._boxes = {path: _Knob(one, self._turned) for path, one in self.dials.items()}
        self._switches = {path: self._switch(path, owner) for path, owner in rules(policy).items()}
        self._verdict = widgets.HTML()
        self._changes = widgets.HTML()
        self._undo = _button("Undo", "the last change", self.undo)
        self._reset = _button("Reset", "everything back to the policy as loaded", self.reset)
        self._file = widgets.Text(
            f"{policy.name}-tuned.yaml", description="Save as", layout={"width": "280px"}, continuous_update=False
        )
        self._save = _button("Save", "the tuned policy as YAML", lambda: self.save(self._file.value))
        self._said = widgets.HTML()
        super().__init__([widgets.VBox(list(self._controls())), self._verdict, self.view, self._changes])
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
        from incident_kit.dials import dial

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
        self.policy.save(path)
        self._said.value = f"Saved as {html.escape(str(path))}"

    def settle(self) -> None:
        """Work the ranges and the other settings out now, and return when they are shown."""
        self._stop()
        for _ in self._steps():
            pass

    def snapshot(self) -> alt.VConcatChart:
        """Return the four panels as they are now, as a chart that needs no kernel."""
        import altair as alt

        from incident_kit.live import plain

        self.settle()
        shown = self._chart()
        rows = {name: plain(frame) for name, frame in self._rows().items()}
        made: alt.VConcatChart = alt.VConcatChart.from_dict(
            {**shown.to_dict(), "datasets": {**shown.to_dict().get("datasets", {}), **rows}}
        )
        return made

    def _controls(self) -> Iterator[widgets.Widget]:
        for rule, owner in rules(self.bench.loaded).items():
            knobs = [self._boxes[path].row for path, one in self.dials.items() if one.rule == rule]
            name = "all others" if owner == "*" else words.label(owner)
            yield widgets.HBox(
                [self._switches[rule], widgets.VBox(knobs)],
                layout={"align_items": "flex-start", "border_top": "1px solid var(--jp-border-color2, #ddd)"},
            )
            self._switches[rule].description = name
        yield widgets.HBox([self._undo, self._reset, self._file, self._save, self._said])

    def _switch(self, path: str, owner: str) -> widgets.Checkbox:
        box = widgets.Checkbox(
            value=True, indent=False, layout={"width": "210px"}, tooltip=f"whether {owner} ever leaves its primary"
        )
        box.observe(lambda change: None if self._is_setting else self.switch(path, on=change["new"]), "value")
        return box

    def _turned(self, one: Dial, value: float) -> None:
        if not self._is_setting:
            self._apply(self.settings.turned(one.path, value), one)

    def _apply(self, settings: Settings, one: Dial) -> None:
        try:
            policy = settings.policy
        except IncidentKitError as error:
            self._said.value = html.escape(str(error))
            self._show_controls()
            return
        self._stop()
        self._said.value = ""
        self.settings, self._drawn = settings, []
        self.in_hand = one
        self._replay = self.bench.replay(policy)
        self._show()
        self._rest()

    def _show(self) -> None:
        """Show the setting: the point estimate, and the ranges where they are worked out."""
        self.view.update(**self._rows())
        self._show_controls()
        self._verdict.value = self._sentence()
        changes = diff(self.bench.loaded, self.policy)
        self._changes.value = f"<pre>{html.escape(str(changes))}</pre>" if changes else ""

    def _show_controls(self) -> None:
        self._is_setting = True
        try:
            for path, box in self._boxes.items():
                box.show(self.settings.values.get(path, self.dials[path].value))
                box.enable(on=self.dials[path].rule not in self.settings.off)
            for path, box in self._switches.items():
                box.value = path not in self.settings.off
            self._undo.disabled = self.settings.before is None
        finally:
            self._is_setting = False

    def _rows(self) -> dict[str, pl.DataFrame]:
        """Return the four datasets of the setting that is shown."""
        bench = self.bench
        others = self._others.get(self._key(), [])
        here = bench.values(self._replay)[0]
        named = ((LOGGED, bench.observed), (LOADED, bench.loaded_values), (HERE, here))
        points = [*others, *(panels.point(kind, bench.named(values)) for kind, values in named)]
        return {
            "lines": pl.concat([self._still["lines"], panels.over_time({TUNED: self._replay})]),
            "states": pl.concat([self._still["states"], panels.states({TUNED: self._replay})]),
            "scores": panels.scorecard(bench, self.scores, is_fresh=bool(self._drawn)),
            "points": panels.points(points),
        }

    @cached_property
    def _still(self) -> dict[str, pl.DataFrame]:
        """What stays where it is, whatever is turned."""
        logged, loaded = self.bench.as_logged, self.bench.as_loaded
        return {
            "lines": panels.over_time({LOGGED: logged, LOADED: loaded}),
            "states": panels.states({LOADED: loaded}),
        }

    def _chart(self) -> alt.VConcatChart:
        return chart.tuner(**self._options)

    def _sentence(self) -> str:
        """Return what the verdict rests on."""
        share = self._replay.evidence["observed"]
        rests = f"{SEEN} for {share:.0%} of the requests, the rest {BORROWED}" if share < 1 else f"{SEEN}, all of it"
        unsaid = len(self.policy.implied)
        implied = (
            f" The policy leaves {unsaid} values unsaid that a replay fills in: ik.sensitivity() says which of them matter."
            if unsaid
            else ""
        )
        return f"<p>{html.escape(rests[:1].upper() + rests[1:])}.{html.escape(implied)}</p>"

    def _key(self) -> str:
        """Return what the other settings along the dial in hand depend on."""
        rest = {path: value for path, value in self.settings.values.items() if path != self.in_hand.path}
        return repr((self.in_hand.path, sorted(rest.items()), sorted(self.settings.off)))

    def _steps(self) -> Iterator[None]:
        """Work the ranges out, then the other settings; a step is short, and between two the hand may move again."""
        drawn = []
        for values in self.bench.drawn(self._replay):
            drawn.append(values)
            yield
        self._drawn = drawn
        rows = self._rows()
        self.view.update(scores=rows["scores"])
        yield
        key = self._key()
        if key in self._others or self.in_hand.rule in self.settings.off:
            return
        found = []
        one = self.in_hand
        for i in range(OTHERS + 1):
            value = one.low + round(i * (one.high - one.low) / OTHERS / one.step) * one.step
            value = round(value) if one.is_whole else round(value, 6)
            try:
                other = self.bench.replay(self.settings.turned(one.path, value).policy)
            except InvalidPolicy:
                continue
            scores = self.bench.named(self.bench.values(other)[0])
            found.append(panels.point("other settings", scores, value=value, said=f"{one.label} {value:g}"))
            yield
        self._others[key] = found
        self.view.update(points=self._rows()["points"])

    def _rest(self) -> None:
        """Have the ranges follow once the hand rests; without a running loop, as in a script, they wait for `settle`."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return

        async def follow() -> None:
            await asyncio.sleep(REST)
            for _ in self._steps():
                await asyncio.sleep(0)

        self._work = loop.create_task(follow())

    def _stop(self) -> None:
        if self._work is not None and not self._work.done():
            self._work.cancel()
        self._work = None


class _Knob:
    """A slider and a number box on one value."""

    def __init__(self, one: Dial, turned: Callable[[Dial, float], None]) -> None:
        self.dial = one
        sort = (
            (widgets.IntSlider, widgets.BoundedIntText)
            if one.is_whole
            else (widgets.FloatSlider, widgets.BoundedFloatText)
        )
        as_number: Callable[[float], float] = int if one.is_whole else float
        span = {"min": as_number(one.low), "max": as_number(one.high), "step": as_number(one.step)}
        name = f"{one.metric} {one.sign}" + (" (tests)" if one.is_test else "")
        self._as_number = as_number
        self.slider = sort[0](
            value=as_number(one.value), **span, description=name, readout=False, tooltip=one.label,
            style={"description_width": "170px"}, layout={"width": "480px"},
        )  # fmt: skip
        self.box = sort[1](value=as_number(one.value), **span, layout={"width": "100px"}, tooltip=one.label)
        for each in (self.slider, self.box):
            each.observe(lambda change: turned(self.dial, change["new"]), "value")
        self.row = widgets.HBox([self.slider, self.box])

    def show(self, value: float) -> None:
        """Show a value on both."""
        for each in (self.slider, self.box):
            each.value = self._as_number(min(max(value, each.min), each.max))

    def enable(self, *, on: bool) -> None:
        """Let it be turned, or not."""
        self.slider.disabled = self.box.disabled = not on


def _button(text: str, tip: str, does: Callable[[], None]) -> widgets.Button:
    made = widgets.Button(description=text, tooltip=tip, layout={"width": "80px"})
    made.on_click(lambda _: does())
    return made
