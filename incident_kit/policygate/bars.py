"""Bars: what a policy must reach, or not be worse than, to pass a check; from a file or by default.

A file of limits is YAML, one list::

    limits:
    - {metric: p95_ms, phase: impact, no_worse_by: 5%}       # than the policy in force
    - {metric: error_rate, intent: refund-policy, max: 0.05} # of one intent, in the impact
    - {metric: tool_success_rate, intent: each, no_worse_by: 0.01}
    - {metric: p95_ms, phase: healthy, no_worse_by: 5%}
    - {metric: switches, phase: healthy, max: 0}             # false trips

``metric`` is one of the scorecard's, such as ``share_no_model`` (handed to a person, answered by a template, refused) or
``switches`` (how often a primary is left). ``phase`` is ``impact`` (the default),
``healthy`` (all time outside every impact), ``all``, or any other phase that the incident has. ``intent`` is a name, ``each``
(a bar for every intent), or left out (all requests together). One of ``max``, ``min`` and ``no_worse_by`` is given:
``no_worse_by`` is in the metric's own unit (milliseconds, a share, dollars, a count), or a percentage of the value in force. Give
it some room: of two policies that differ, none is shown to be no worse by 0 unless it is clearly better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from incident_kit.errors import InvalidLimits, InvalidPolicy, NoSuchItem, did_you_mean
from incident_kit.policies.policytree import Item, read_tree
from incident_kit.scoring.metrics import metric
from incident_kit.words import metric as named
from incident_kit.words import number

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy

SWITCHES = "switches"
NO_MODEL = "share_no_model"
EACH = "each"
HIGHER_IS_BETTER = ("tool_success_rate",)
DEFAULTS: dict[str, float | str] = {  # how much worse than in force is no difference worth a word
    "p95_ms": "5%", "error_rate": 0.01, "tool_success_rate": 0.01, "override_rate": 0.01, NO_MODEL: 0.01,
}  # fmt: skip
_LARGEST_FILE = 1_000_000
_EMPTY = "has no limits: write `limits:` and a list such as [{metric: p95_ms, no_worse_by: 0}]"


class Bar(BaseModel):
    """One limit on one metric: of an intent (or all requests), in a phase."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    metric: str
    intent: str | None = None
    phase: str = "impact"
    max: float | None = None
    min: float | None = None
    no_worse_by: float | str | None = None
    is_default: bool = False

    @field_validator("metric")
    @classmethod
    def _is_a_metric(cls, name: str) -> str:
        try:
            return metric(name).name
        except NoSuchItem as error:
            raise ValueError(str(error)) from None

    @field_validator("no_worse_by")
    @classmethod
    def _is_an_amount(cls, value: float | str | None) -> float | str | None:
        if isinstance(value, str) and not re.fullmatch(r"\d{1,4}(\.\d{1,3})?\s*%", value, re.ASCII):
            raise ValueError(f"{value!r} is neither a number nor a percentage such as 5%")
        return value

    @model_validator(mode="after")
    def _says_one_thing(self) -> Bar:
        given = [name for name in ("max", "min", "no_worse_by") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of max, min and no_worse_by, not {' and '.join(given) or 'none'}")
        value = getattr(self, given[0])
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{given[0]}: {value} is not a limit")
        if self.metric == SWITCHES and self.intent is not None:
            raise ValueError("switches are those of routes: they have no intent")
        if self.metric.startswith("signal:") and self.no_worse_by is not None:
            raise ValueError(f"{self.metric} may be better high or low: give max or min")
        return self

    @property
    def unit(self) -> str:
        """The unit that values of the metric are shown in."""
        return "" if self.metric == SWITCHES else named(self.metric).unit

    def bound(self, in_force: Any) -> Any:
        """Return the value that the policy may just have, given the one in force (or an array of them)."""
        if self.max is not None or self.min is not None:
            return self.max if self.max is not None else self.min
        slack = self.no_worse_by
        amount = abs(in_force) * float(slack.rstrip("% ")) / 100 if isinstance(slack, str) else float(slack or 0)
        return in_force - amount if self.wants_more else in_force + amount

    @property
    def wants_more(self) -> bool:
        """Whether a value under the bound breaks it (else one over it does)."""
        return self.min is not None or (self.no_worse_by is not None and self.metric in HIGHER_IS_BETTER)

    @property
    def is_of_force(self) -> bool:
        """Whether it compares with the policy in force."""
        return self.no_worse_by is not None

    def excess(self, value: Any, *, in_force: Any = None) -> Any:
        """Return by how much a value (or an array of them) is beyond the bar; at 0 or less it keeps to it."""
        bound = self.bound(in_force)
        slack = 1e-9 * np.maximum(1.0, np.abs(bound))  # a share computed twice
        return (bound - value if self.wants_more else value - bound) - slack

    def __str__(self) -> str:
        """Return the bar in words: ``"at most 5 %"``, ``"no worse than in force"``."""
        if self.max is not None:
            return f"at most {number(self.max, self.unit)}"
        if self.min is not None:
            return f"at least {number(self.min, self.unit)}"
        if not self.no_worse_by:
            return "no worse than in force"
        return f"worse than in force by {self._room(self.no_worse_by)} at most"

    def _room(self, by: float | str) -> str:
        """Return how much worse it may be: ``"5 % of its value"``, ``"1 point"``, ``"200 ms"``."""
        if isinstance(by, str):
            return f"{by.rstrip('% ')} % of its value"
        return points(by) if self.unit == "%" else number(by, self.unit)


def points(share: float, *others: float) -> str:
    """Return a difference of shares as points, and in brackets between what it lies.

    Examples
    --------
    >>> points(0.01), points(0.051, -0.027, 0.14)
    ('1 point', '5.1 points (-2.7 to 14)')
    """
    first, *rest = (f"{round(100 * one, 1) + 0.0:g}" for one in (share, *others))
    unit = "point" if abs(float(first)) == 1 else "points"
    return f"{first} {unit}" + (f" ({' to '.join(rest)})" if rest and len(set(rest)) > 1 else "")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    limits: tuple[Bar, ...]


def read_bars(path: str | Path) -> tuple[Bar, ...]:
    """Return the limits in a YAML file.

    Raises
    ------
    InvalidLimits
        The file cannot be read, or a limit in it cannot be used; every fault is named.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise InvalidLimits(f"{file} is too large for a file of limits")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidLimits(f"{file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InvalidLimits(f"{file} is not text (UTF-8)") from None
    return parse_bars(text, source=str(file))


def parse_bars(text: str, *, source: str = "the limits") -> tuple[Bar, ...]:
    """Return the limits in a YAML text.

    Examples
    --------
    >>> print(*parse_bars("limits: [{metric: error_rate, max: 0.05}]"))
    at most 5 %

    Raises
    ------
    InvalidLimits
        The text is not YAML, or a limit in it cannot be used.
    """
    if not text.strip():
        raise InvalidLimits(f"{source} {_EMPTY}")
    try:
        root = read_tree(text, source=source)
    except InvalidPolicy as error:  # the same careful reader as of policies, whose word for its file it uses
        raise InvalidLimits(
            str(error).replace("a policy", "a file of limits").replace("`routes:`", "`limits:`")
        ) from None
    tree = root.plain()
    if not isinstance(tree.get("limits"), list) or not tree["limits"]:
        raise InvalidLimits(f"{source} {_EMPTY}")
    for place, one in enumerate(tree["limits"]):
        if isinstance(one, dict) and "is_default" in one:
            raise InvalidLimits(
                f"{source}, {_line(root, ('limits', place))}limits.{place}: there is no key 'is_default'"
            )
    try:
        return _File.model_validate(tree).limits
    except ValidationError as error:
        said = "; ".join(_line(root, one["loc"]) + _fault(one) for one in error.errors()[:10])
        raise InvalidLimits(f"{source}: {said}") from None


def _line(root: Item, path: Sequence[str | int]) -> str:
    """Return ``"line 3: "``: where the innermost value on a path stands."""
    item = root
    for part in path:
        inner = item.value
        there = range(len(inner)) if isinstance(inner, list) else inner if isinstance(inner, dict) else ()
        if part not in there:
            break
        item = inner[part]
    return f"line {item.line}: " if item.line else ""


def _fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if part not in {"float", "str"}) or "the file"
    if error["type"] == "extra_forbidden":
        known = [name for name in Bar.model_fields if name != "is_default"] if len(error["loc"]) > 1 else ["limits"]
        key = str(error["loc"][-1])[:80]
        return f"{where[:120]}: there is no key {key!r}{did_you_mean(key, known)}; there are {', '.join(known)}"
    return f"{where[:120]}: {error['msg'].removeprefix('Value error, ')}"


def default_bars(incident: Incident, policy: Policy, *, has_in_force: bool) -> tuple[Bar, ...]:
    """Return the bars where none are given: hardly worse in the impact, and no more false trips outside it.

    Compared is with the policy in force. Where none is known it is with the log itself, in which no trip is seen: then no
    false trip at all. Without an impact, the whole log is compared. Waits, tools and overrides leave out what no model
    answers: a policy that has such ends is held to what is in force there, too.
    """
    phase = "impact" if any(one.kind == "impact" for one in incident.phases) else "all"
    ends = any(entry.kind in {"template", "human", "reject"} for route in policy.routes for entry in route.chain)
    bars = [
        Bar(metric=name, phase=phase, no_worse_by=room, is_default=True)
        for name, room in DEFAULTS.items()
        if ends or name != NO_MODEL
    ]
    trips: dict[str, Any] = {"no_worse_by": 0} if has_in_force else {"max": 0}
    return (*bars, Bar(metric=SWITCHES, phase="healthy", is_default=True, **trips))
