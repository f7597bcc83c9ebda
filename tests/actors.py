"""Who takes part in a run of the interpreter: requests, attempts in flight, breakers, alerts; and the order of events."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

from truths import Number, Seen, count, size, within, without_alerts
from worlds import Arrival, Attempt

from incident_kit.policies.conditions import Condition, Rule
from incident_kit.policies.routes import Alert, Breaker, Route

MS = 1000  # microseconds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# S3: the order of events at one instant
(
    DESK_ROW, SIGNAL, FEEDBACK,
    COMPLETION,
    COOLDOWN, MAX_DURATION, ALERT_SWEEP, SWEEP, RELEASE, RETRY, HOP, QUEUE_END, DEADLINE,
    UNROUTED, ARRIVAL,
) = range(15)  # fmt: skip
OVERDUE, CROSSING, TOKEN, DONE = range(4)  # the completions of one attempt
Event = tuple[int, int, tuple[int, ...], int, str, tuple[Any, ...]]  # at, order, ties, serial, what, of what


def share_draw(request_id: str) -> float:
    """S16: the hash draw of half-open shares."""
    return _word(request_id) / 2**64


def primary_rank(request_id: str, target: str, weight: float) -> float:
    """S22: the greatest is the primary."""
    return -weight / math.log((_word(request_id + "\0" + target) + 0.5) / 2**64)


def _word(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


class Change(NamedTuple):
    """A breaker's change of state; ``intent`` where the scope is intent; counters of the first condition judged."""

    at: int
    route: int
    entry: int
    intent: str | None
    was: str
    now: str
    k: Number
    n: Number
    exact: bool


class AlertChange(NamedTuple):
    at: int
    alert: int
    firing: bool


@dataclass(eq=False)
class Guard:
    """The breaker of one entry of a chain; with scope intent, of one intent's."""

    route: int
    entry: int
    intent: str | None
    target: str
    rules: Breaker
    position: int = 0
    state: str = "CLOSED"
    epoch: int = 0
    changed: int = -1  # tick of the last change
    seen: dict[Condition, list[Seen]] = field(default_factory=lambda: defaultdict(list))
    true_since: int | None = None
    open_until: int = 0
    reopened: int = 0
    permits: int = 0
    probing: set[Request] = field(default_factory=set)
    tickets: set[str] = field(default_factory=set)
    exact: bool = True

    @property
    def more(self) -> tuple[Condition, ...]:
        """The conditions of HALF_OPEN alone."""
        return self.rules.half_open.when.leaves if self.rules.half_open.when else ()

    @property
    def judged(self) -> Rule | None:
        """The rule that the observations of this state are for."""
        if self.state == "HALF_OPEN":
            return without_alerts(self.rules.half_open.when or self.rules.when)
        return self.rules.when


@dataclass(eq=False)
class Watch:
    """An alert."""

    rules: Alert
    position: int
    seen: dict[Condition, list[Seen]] = field(default_factory=lambda: defaultdict(list))
    more: tuple[Condition, ...] = ()
    true_since: int | None = None
    last_true: int = 0
    firing: bool = False
    tickets: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Sent:
    """An attempt in flight: what becomes of it, and which breaker of its own route observes it."""

    request: Request
    target: str
    serial: int  # of the request's attempts, from 1
    at: int
    done: int
    outcome: Attempt  # as this policy's timeouts leave it
    guard: Guard | None
    epoch: int | None
    tick: int
    has_tools: bool = True
    is_last_word: bool = False  # cut by the deadline, or the log's own last
    crossed: set[int] = field(default_factory=set)


@dataclass(eq=False)
class Request:
    """One request and what became of it; waits in microseconds."""

    arrived: int
    position: int = 0
    facts: Arrival | None = None
    route: int | None = None
    order: list[int] = field(default_factory=list)  # the chain's entries, as this request walks them
    place: int = -1  # where in the order it is
    entry: int = -1
    number: int = 0
    attempts: int = 0
    first: int = -1
    state: str = ""
    exact: bool = True
    probe: bool = False
    k: Number = 0
    n: Number = 0
    wait: int | None = None
    error: str | None = "unfinished"
    has_outcome: bool = True
    is_no_model: bool = False
    turn: int = 0
    has_arrived: bool = False
    is_held: bool = False
    was_held: bool = False
    queued: set[int] = field(default_factory=set)
    cost_nano: int | None = 0
    epochs: dict[Guard, int] = field(default_factory=dict)
    asked: list[Guard] = field(default_factory=list)

    @property
    def intent(self) -> str | None:
        assert self.facts is not None
        return self.facts.intent


def matches(route: Route, arrival: Arrival | None) -> bool:
    """S4: the intent, and what else is known at arrival."""
    assert arrival is not None
    if not route.matches(arrival.intent):
        return False
    known = {**arrival.facts, "conversation_id": arrival.conversation, "ticket_id": arrival.ticket}
    return all(
        any(known.get(key) == value and isinstance(known.get(key), bool) == isinstance(value, bool) for value in values)
        for key, values in route.match
    )


def is_testing(one: Guard | Watch) -> bool:
    """S16: in HALF_OPEN a breaker observes its probes and nothing else."""
    return isinstance(one, Guard) and one.state == "HALF_OPEN"


def counters(guard: Guard, at: int) -> tuple[Number, Number]:
    """Return k and n of the first condition of the rule that this state's observations are for."""
    rule = guard.judged
    if rule is None or guard.state == "OPEN" or rule.leaves[0].kind == "alert":
        return 0, 0
    first = rule.leaves[0]
    window = guard.rules.windows[0] if guard.state == "CLOSED" else None
    seen = within(guard.seen[first], window, at)
    return count(first, seen), size(first, seen)


def is_to_come(event: Event) -> bool:
    """Return whether an event still means something: no sweep, no timer of what is over."""
    _, _, _, _, what, args = event
    if what in {"alert_sweep", "sweep"}:
        return False
    if what in {"rested", "max_duration"}:
        guard, epoch = args
        return bool(guard.epoch == epoch)
    if what in {"queue_end", "expire"}:
        request, turn = args
        return bool(request.turn == turn)
    return True


def keeps_sweeping(event: Event) -> bool:
    """Return whether sweeps go on until an event: not until a breaker's own timer, or two breakers would go on for ever."""
    return event[4] not in {"rested", "max_duration"} and is_to_come(event)


def alert_names(guard: Guard) -> set[str]:
    return {leaf.name for leaf in guard.rules.when.leaves if leaf.kind == "alert"}


def next_multiple(at: int, every_ms: int) -> int:
    """Return the first multiple of a period from an instant on."""
    return -(-at // (every_ms * MS)) * every_ms * MS


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)
