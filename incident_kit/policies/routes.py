"""The values a policy is made of: routes, chains, retries, breakers, alerts. Frozen; durations are whole milliseconds."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Literal

from incident_kit.durations import show_duration
from incident_kit.policies.conditions import Condition, Rule


@dataclass(frozen=True, slots=True)
class Window:
    """What a condition looks at.

    The last `length` milliseconds (sliding), the last `length` requests (count), or the current span of `length`
    milliseconds since a whole multiple of it (tumbling).
    """

    kind: Literal["sliding", "count", "tumbling"]
    length: int

    def __str__(self) -> str:
        if self.kind == "count":
            return f"{self.length} requests"
        return show_duration(self.length) + " tumbling" * (self.kind == "tumbling")


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """How the primary is tried again; without `when`, the breaker's own condition must not hold (S16)."""

    requests: int = 5
    share: float = 1.0
    max_wait_ms: int = 60_000
    max_duration_ms: int | None = None
    when: Rule | None = None


@dataclass(frozen=True, slots=True)
class Breaker:
    """What takes a target out of service, and when it comes back (S9 to S17).

    `every_ms` None evaluates at every observation (``every: completion``). The condition must hold in each of `windows`.
    """

    when: Rule
    windows: tuple[Window, ...] = (Window("sliding", 300_000),)
    min_requests: int = 20
    for_ms: int = 0
    errors: tuple[str, ...] = ("5xx", "429", "timeout")
    cooldown_ms: int = 60_000
    cooldown_factor: Fraction = Fraction(1)
    cooldown_max_ms: int | None = None
    half_open: HalfOpen = HalfOpen()
    scope: Literal["route", "intent", "target"] = "route"
    every_ms: int | None = None
    no_data: Literal["hold", "ok", "breach"] = "hold"
    observe: Literal["completed", "elapsed"] = "completed"

    @property
    def window(self) -> Window:
        """The first window, which decisions report."""
        return self.windows[0]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every condition, those of ``half_open`` included."""
        return self.when.leaves + (self.half_open.when.leaves if self.half_open.when else ())

    def rest_ms(self, reopened: int) -> int:
        """Return how long the breaker stays open after so many re-openings in a row (S15)."""
        rest = self.cooldown_ms
        longest = self.cooldown_max_ms
        if self.cooldown_factor > 1:
            for _ in range(reopened):
                rest = int(rest * self.cooldown_factor)
                if longest is not None and rest >= longest:
                    break
        return rest if longest is None else min(rest, longest)


@dataclass(frozen=True, slots=True)
class Retry:
    """Further attempts at the same target, for one request (S8)."""

    attempts: int = 0
    retry_on: tuple[str, ...] = ()
    timeout_ms: int | None = None
    ttft_timeout_ms: int | None = None
    backoff_ms: int = 0


@dataclass(frozen=True, slots=True)
class OnFallback:
    """What changes when another entry than the primary answers (S7)."""

    tools: Literal["enabled", "disabled"] = "enabled"
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a chain: a model, or an end without one (`model` is then empty; S7).

    `only_for` names the failure classes after which alone the entry is taken; empty: any.
    """

    model: str
    breaker: Breaker | None = None
    only_for: tuple[str, ...] = ()
    kind: Literal["model", "template", "queue", "human", "reject"] = "model"
    template: str | None = None
    queue_ms: int | None = None

    @property
    def label(self) -> str:
        """What stands for the entry in tables: the model, or ``human``, ``reject``, ``template:ID``, ``queue:15m``."""
        if self.kind == "template":
            return f"template:{self.template}"
        if self.kind == "queue":
            return f"queue:{show_duration(self.queue_ms or 0)}"
        return self.model or self.kind


@dataclass(frozen=True, slots=True)
class Switch:
    """A person's hand: for arrivals in [`start`, `end`) the chain starts at `to`, an entry's label (S21)."""

    start: datetime
    end: datetime | None
    to: str


@dataclass(frozen=True, slots=True)
class Alert:
    """What calls people: a condition over the requests of some intents (S19).

    `since` and `until` are of an alert that was in force for a time only; a file cannot say them
    (:mod:`incident_kit.policies.policyversions`).
    """

    name: str
    when: Rule
    intent: tuple[str, ...] = ("*",)
    windows: tuple[Window, ...] = (Window("sliding", 300_000),)
    min_requests: int = 20
    for_ms: int = 0
    keep_firing_ms: int = 0
    every_ms: int = 60_000
    errors: tuple[str, ...] = ("5xx", "429", "timeout")
    no_data: Literal["hold", "ok", "breach"] = "hold"
    severity: str = "page"
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, intent: str | None) -> bool:
        """Return whether a request of this intent counts; an unlabelled one only for ``"*"``."""
        return _matches(self.intent, intent)


@dataclass(frozen=True, slots=True)
class Notes:
    """Why a file or a route is as it is: no effect on replay."""

    owner: str | None = None
    reason: str | None = None
    decided: date | None = None
    review_by: date | None = None
    rehearsed: date | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Notes):
    """Where the requests of some intents go.

    `weights` holds every primary with its weight where there are several (`primary` is then the first of them); `match` what
    else must be true at arrival, each key with the values it may have.

    `degraded_start` marks the baseline in which the sole entry is the backup: it is served as a fallback,
    `on_fallback` included (a file says the same with ``switch``). `since` and `until` are of a route that was in force for
    a time only, [since, until): it takes what arrives then. A file cannot say them (:mod:`incident_kit.policies.policyversions`).
    """

    name: str
    intent: tuple[str, ...]
    primary: str
    weights: tuple[tuple[str, float], ...] = ()
    match: tuple[tuple[str, tuple[str | int | bool, ...]], ...] = ()
    fallback: tuple[Entry, ...] = ()
    fallback_on: tuple[str, ...] = ("timeout", "5xx", "429")
    retry: Retry = Retry()
    deadline_ms: int | None = None
    sticky: Literal["none", "conversation"] = "none"
    switches: tuple[Switch, ...] = ()
    on_fallback: OnFallback = OnFallback()
    breaker: Breaker | None = None
    degraded_start: bool = False
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, intent: str | None) -> bool:
        """Return whether a request of this intent may take this route (`fits` asks the rest).

        An unlabelled one matches only ``"*"``.
        """
        return _matches(self.intent, intent)

    def fits(self, known: Mapping[str, object]) -> bool:
        """Return whether what is known of a request at arrival is what `match` asks for; unknown is not.

        Numbers, texts and truth values equal only their own kind.
        """
        return all(
            any(type(one) is type(known.get(key)) and one == known[key] for one in values) for key, values in self.match
        )

    @property
    def primaries(self) -> tuple[str, ...]:
        """The targets that count as primary: one, or every one that has a weight."""
        return tuple(model for model, _ in self.weights) or (self.primary,)

    @property
    def chain(self) -> tuple[Entry, ...]:
        """The primaries, each with the route's breaker, then the fallbacks."""
        return (*(Entry(model, self.breaker) for model in self.primaries), *self.fallback)


def _matches(patterns: tuple[str, ...], intent: str | None) -> bool:
    if intent is None:
        return "*" in patterns
    return any(takes(pattern, intent) for pattern in patterns)


def takes(pattern: str, intent: str) -> bool:
    """Return whether a name or glob matches an intent; only ``*`` and ``?`` are special, and case counts."""
    return _glob(pattern)(intent) is not None


@functools.lru_cache(maxsize=4096)
def _glob(pattern: str) -> Callable[[str], object]:
    """Only ``*`` and ``?`` are special. The expression is fnmatch's own, which does not backtrack."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match
