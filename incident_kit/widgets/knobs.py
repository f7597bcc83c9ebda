"""Knobs: the controls of a policy's thresholds, route by route: a slider, a number box, and a switch for each rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]

from incident_kit import words
from incident_kit.policies.dials import Dial
from incident_kit.widgets.panels import owner

FEW = 4  # rules that need no way to find one
_TALLEST = "330px"
_LINE = "1px solid var(--jp-border-color2, #ddd)"


class Knob:
    """A slider and a number box on one value."""

    def __init__(self, one: Dial, turned: Callable[[Dial, float], None]) -> None:
        self.dial = one
        sort = (
            (widgets.IntSlider, widgets.BoundedIntText)
            if one.is_whole
            else (widgets.FloatSlider, widgets.BoundedFloatText)
        )
        self._as_number: Callable[[float], float] = int if one.is_whole else float
        span = {
            name: self._as_number(getattr(one, end))
            for name, end in (("min", "low"), ("max", "high"), ("step", "step"))
        }
        name = f"{one.metric} {one.sign}" + (" (tests)" if one.is_test else "")
        self.slider = sort[0](
            value=self._as_number(one.value), **span, description=name, readout=False, tooltip=one.label,
            style={"description_width": "170px"}, layout={"width": "480px"},
        )  # fmt: skip
        self.box = sort[1](
            value=self._as_number(one.value), **span, layout={"width": "100px"}, tooltip=f"{one.label}, as a number"
        )
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


class Knobs(widgets.VBox):  # type: ignore[misc]
    """All controls of a policy, in the order of its routes; of many, those whose route or measure is looked for.

    Parameters
    ----------
    dials
        By path.
    rules
        Whose each rule is, by path.
    turned, switched
        What to do when a hand turns a dial, or switches a rule.
    """

    def __init__(
        self,
        dials: Mapping[str, Dial],
        rules: Mapping[str, str],
        *,
        turned: Callable[[Dial, float], None],
        switched: Callable[[str, bool], None],
    ) -> None:
        self._is_setting = False
        self._switched = switched
        self.knobs = {path: Knob(one, self._guarded(turned)) for path, one in dials.items()}
        self.switches = {path: self._switch(path, of) for path, of in rules.items()}
        self._groups: list[tuple[str, set[str], Any]] = []
        for rule, of in rules.items():
            own = {path for path, one in dials.items() if one.rule == rule}
            knobs = widgets.VBox([self.knobs[path].row for path in dials if path in own])
            group = widgets.HBox(
                [self.switches[rule], knobs],
                layout={"align_items": "flex-start", "border_top": _LINE, "flex": "0 0 auto"},
            )
            self._groups.append(
                (" ".join([of, named(of), *(dials[path].metric for path in own)]).lower(), own | {rule}, group)
            )
        self.sought = widgets.Text(
            placeholder="a route or a measure", description="Find", layout={"width": "300px"}, continuous_update=True
        )
        self.changed_only = widgets.Checkbox(value=False, indent=False, description="only what I changed")
        self._touched: set[str] = set()
        for each in (self.sought, self.changed_only):
            each.observe(lambda _: self._find(), "value")
        self.none = widgets.HTML()
        finding = [widgets.HBox([self.sought, self.changed_only, self.none])] if len(rules) > FEW else []
        groups = [group for _, _, group in self._groups]
        listed = widgets.VBox(
            groups, layout={"max_height": _TALLEST, "overflow": "hidden auto", "border_bottom": _LINE}
        )
        super().__init__([*finding, listed])

    def show(self, values: Mapping[str, float], off: frozenset[str]) -> None:
        """Show a setting: numbers by path (of the others their own), and the rules that are off."""
        self._is_setting = True
        try:
            for path, knob in self.knobs.items():
                knob.show(values.get(path, knob.dial.value))
                knob.enable(on=knob.dial.rule not in off)
            for path, box in self.switches.items():
                box.value = path not in off
        finally:
            self._is_setting = False
        touched = {path for path, value in values.items() if value != self.knobs[path].dial.value} | off
        if touched != self._touched:
            self._touched = touched
            self._find()

    def _find(self) -> None:
        wanted = self.sought.value.strip().lower()
        shown = 0
        for said, paths, group in self._groups:
            is_shown = wanted in said and (not self.changed_only.value or bool(paths & self._touched))
            group.layout.display = None if is_shown else "none"
            shown += is_shown
        self.none.value = "" if shown else "nothing fits"

    def _switch(self, path: str, of: str) -> widgets.Checkbox:
        box = widgets.Checkbox(
            value=True, indent=False, layout={"width": "210px"}, description=named(of),
            tooltip=f"whether {named(of)} ever leaves its primary",
        )  # fmt: skip
        box.observe(lambda change: None if self._is_setting else self._switched(path, change["new"]), "value")
        return box

    def _guarded(self, turned: Callable[[Dial, float], None]) -> Callable[[Dial, float], None]:
        return lambda one, value: None if self._is_setting else turned(one, value)


def named(of: str) -> str:
    """Return how the owner of a rule is called for people: a route, or one of its fallbacks."""
    route, comma, entry = of.partition(", ")
    return owner(route) + (f", {words.label(entry)}" if comma else "")


def button(text: str, tip: str, does: Callable[[], None]) -> widgets.Button:
    """Return a button that does something."""
    made = widgets.Button(description=text, tooltip=tip, layout={"width": "80px"})
    made.on_click(lambda _: does())
    return made
