"""The values a policy is made of: routes, chains, retries, breakers. Frozen; durations are whole milliseconds."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from incident_kit.conditions import Condition, Rule
from incident_kit.durations import show_duration


@dataclass(frozen=True, slots=True)
class Window:
    """What a breaker looks at: the last `length` milliseconds (sliding) or the last `length` requests (count)."""

    kind: Literal["sliding", "count"]
    length: int

    def __str__(self) -> str:
        return f"{self.length} requests" if self.kind == "count" else show_duration(self.length)


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """How the primary is tried again; without `when`, the breaker's own condition must not hold (S16)."""

    requests: int = 5
    share: float = 1.0
    max_wait_ms: int = 60_000
    when: Rule | None = None


@dataclass(frozen=True, slots=True)
class Breaker:
    """What takes a target out of service, and when it comes back (S9 to S17)."""

    when: Rule
    window: Window = Window("sliding", 300_000)
    min_requests: int = 20
    for_ms: int = 0
    errors: tuple[str, ...] = ("5xx", "429", "timeout")
    cooldown_ms: int = 60_000
    half_open: HalfOpen = HalfOpen()
    scope: Literal["route"] = "route"
    every: Literal["completion"] = "completion"
    no_data: Literal["hold"] = "hold"
    observe: Literal["completed"] = "completed"

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every condition, those of ``half_open`` included."""
        return self.when.of + (self.half_open.when.of if self.half_open.when else ())


@dataclass(frozen=True, slots=True)
class Retry:
    """Further attempts at the same target, for one request (S8)."""

    attempts: int = 0
    retry_on: tuple[str, ...] = ()
    timeout_ms: int | None = None
    backoff_ms: int = 0


@dataclass(frozen=True, slots=True)
class OnFallback:
    """What changes when another entry than the primary answers (S7)."""

    tools: Literal["enabled", "disabled"] = "enabled"
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One fallback of a chain."""

    model: str
    breaker: Breaker | None = None


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

    `degraded_start` marks the baseline in which the sole entry is the backup: it is served as a fallback,
    `on_fallback` included (a file says the same with ``switch``).
    """

    name: str
    intent: tuple[str, ...]
    primary: str
    fallback: tuple[Entry, ...] = ()
    fallback_on: tuple[str, ...] = ("timeout", "5xx", "429")
    retry: Retry = Retry()
    on_fallback: OnFallback = OnFallback()
    breaker: Breaker | None = None
    degraded_start: bool = False

    def matches(self, intent: str | None) -> bool:
        """Return whether a request of this intent takes this route; an unlabelled one matches only ``"*"``."""
        if intent is None:
            return "*" in self.intent
        return any(takes(pattern, intent) for pattern in self.intent)

    @property
    def chain(self) -> tuple[Entry, ...]:
        """The primary with its breaker, then the fallbacks."""
        return (Entry(self.primary, self.breaker), *self.fallback)


def takes(pattern: str, intent: str) -> bool:
    """Return whether a name or glob matches an intent; only ``*`` and ``?`` are special, and case counts."""
    return _glob(pattern)(intent) is not None


@functools.lru_cache(maxsize=4096)
def _glob(pattern: str) -> Callable[[str], object]:
    """Only ``*`` and ``?`` are special. The expression is fnmatch's own, which does not backtrack."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match
