"""A plain interpreter of POLICY.md: one event after the other, nothing clever. The judge of the compiled kernel.

The S-numbers are POLICY.md's. It shares no code with the kernel; what a condition says is read from its text (truths.py),
what would happen from a world (worlds.py). All routes and alerts of a policy run together over one log.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from hashlib import blake2b
from typing import Any, NamedTuple

from truths import (
    Number,
    Seen,
    count,
    first_counted_ms,
    in_each,
    kleene,
    size,
    truth,
    uses,
    within,
    without_alerts,
)
from worlds import Arrival, Attempt, Logged, World

from incident_kit.conditions import Condition, Rule
from incident_kit.plan import is_in
from incident_kit.routes import Alert, Breaker, Entry, Route

__all__ = ["Attempt", "Interpreter", "share_draw"]

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


class Interpreter:
    """A policy (its ``routes`` and ``alerts``) over a world; after `run`: ``requests``, ``changes``, ``alert_changes``."""

    def __init__(self, policy: Any, world: World) -> None:
        self.world = world
        self.routes: tuple[Route, ...] = policy.routes
        self.requests = [Request(one.arrived_us, i, one) for i, one in enumerate(world.requests)]
        self.guards: dict[tuple[int, int, str | None], Guard] = {}
        self.watches = [Watch(alert, i) for i, alert in enumerate(getattr(policy, "alerts", ()))]
        self.sticky: dict[tuple[int, str], int] = {}
        self.inexact: set[tuple[int, str]] = set()  # conversations whose memory rests on what was not observed
        self.changes: list[Change] = []
        self.alert_changes: list[AlertChange] = []
        self.heap: list[Event] = []
        self.pushed = self.ticks = 0
        self.touched: list[Guard] = []
        for request in self.requests:
            self.set_out(request)
        ordered = sorted(self.guards.values(), key=lambda g: (g.route, g.entry, g.intent is not None, g.intent or ""))
        for position, guard in enumerate(ordered):
            guard.position = position
        self.in_order = ordered

    def set_out(self, request: Request) -> None:
        """S4: the first matching route; S22: its primaries in this request's order; S6: its breakers."""
        request.route = next((i for i, one in enumerate(self.routes) if matches(one, request.facts)), None)
        if request.route is None:
            return
        route = self.routes[request.route]
        assert request.facts is not None
        name, weights = request.facts.id, dict(route.weights)
        primaries = list(range(len(route.primaries)))
        if weights:
            primaries.sort(key=lambda e: -primary_rank(name, route.primaries[e], weights[route.primaries[e]]))
        request.order = primaries + list(range(len(primaries), len(route.chain)))
        for e, entry in enumerate(route.chain):
            if entry.breaker:
                intent = request.intent if entry.breaker.scope == "intent" else None
                key = (request.route, e, intent)
                self.guards.setdefault(key, Guard(*key, entry.model, entry.breaker))

    def run(self) -> Interpreter:
        for request in self.requests:
            self.put(request.arrived, ARRIVAL, request, "arrive", request)
            if request.route is None:
                self.leave_as_logged(request)
        for i, row in enumerate(self.world.desk):
            self.put(row.at_us, DESK_ROW, i, "help_desk", row)
        for i, signal in enumerate(self.world.signals):
            self.put(signal.at_us, SIGNAL, i, "signal", signal)
        start = min((event[0] for event in self.heap), default=0)
        for watch in self.watches:
            self.put(next_multiple(start, watch.rules.every_ms), ALERT_SWEEP, watch.position, "alert_sweep", watch)
        for guard in self.in_order:
            if guard.rules.every_ms:
                self.put(next_multiple(start, guard.rules.every_ms), SWEEP, guard.position, "sweep", guard)
        while any(map(is_to_come, self.heap)):  # S13: nothing to come, nothing swept
            at, _, _, _, what, args = heapq.heappop(self.heap)
            getattr(self, what)(*args, at)
            self.evaluate_touched(at)
        return self

    def put(self, at: int, order: int, by: Request | Sent | int, what: str, *args: Any, then: int = 0) -> None:
        """Enter an event; ties go by (arrival, request id, attempt), what is unrouted last."""
        if isinstance(by, Request):
            ties = (0, 0, by.position, by.attempts)
        elif isinstance(by, Sent):
            is_unrouted = by.request.route is None
            ties = (is_unrouted, by.at if is_unrouted else 0, by.request.position, by.serial, then)
        else:
            ties = (by,)
        self.pushed += 1
        heapq.heappush(self.heap, (at, order, ties, self.pushed, what, args))

    # --- a request's events ---

    def arrive(self, request: Request, at: int) -> None:
        if request.route is not None:
            by_hand = place = self.by_hand(request, at)
            if place is None:
                place = self.by_conversation(request, at)
            if place is None:
                place = self.choose(request, at, start=0)
            assert place is not None
            first, entry = self.guard(request, request.order[0]), request.order[place]
            guard = self.guard(request, entry)
            request.first = entry
            request.state = first.state if first else "CLOSED"
            request.k, request.n = counters(first, at) if first else (0, 0)
            request.exact = by_hand is not None or (
                all(one.exact for one in request.asked) and self.talk(request) not in self.inexact
            )
            request.probe = guard is not None and request in guard.probing
            request.epochs |= {one: one.epoch for one in self.guards_of(request) if one.state == "CLOSED"}
            decided_in = dict(request.epochs)
            self.take(request, place, at)
            for one, epoch in decided_in.items():
                if one.epoch == epoch:
                    self.observe(one, Seen(at, "decision"))
        self.touch(request, at)
        for watch in self.watches_of(request):
            self.observe(watch, Seen(at, "decision"))

    def by_hand(self, request: Request, at: int) -> int | None:
        """S21: whatever the breaker says; never a probe."""
        route = self.routes[request.route or 0]
        for switch in route.switches:
            if microseconds(switch.start) <= at and (switch.end is None or at < microseconds(switch.end)):
                return next(i for i, e in enumerate(request.order) if route.chain[e].label == switch.to)
        return None

    def by_conversation(self, request: Request, at: int) -> int | None:
        """S22, sticky: the target of the conversation's last attempt, if it is available."""
        talk = self.talk(request)
        e = self.sticky.get(talk) if talk else None
        if e is None or self.entry(request, e).only_for:
            return None
        return request.order.index(e) if self.is_available(request, e, at) else None

    def talk(self, request: Request) -> tuple[int, str] | None:
        """Return the conversation that the route remembers."""
        if request.route is None or request.facts is None or self.routes[request.route].sticky == "none":
            return None
        return None if request.facts.conversation is None else (request.route, request.facts.conversation)

    def choose(self, request: Request, at: int, *, start: int, error: str | None = None) -> int | None:
        """S4: the first available entry; the last is always available."""
        for place in range(start, len(request.order)):
            e = request.order[place]
            if self.is_open_to(request, e, error=error) and (
                self.is_available(request, e, at) or place == len(request.order) - 1
            ):
                return place
        return None

    def is_open_to(self, request: Request, e: int, *, error: str | None) -> bool:
        """S4: only_for on a matching failure; a queue is not taken twice."""
        entry = self.entry(request, e)
        if entry.only_for and (error is None or not is_in(error, entry.only_for)):
            return False
        return e not in request.queued

    def is_available(self, request: Request, e: int, at: int) -> bool:
        """S4, S15, S16: CLOSED, or HALF_OPEN with a permit left, which is taken."""
        guard = self.guard(request, e)
        if guard is None:
            return True
        request.asked.append(guard)
        half_open = guard.rules.half_open
        if guard.state == "OPEN" and at >= guard.open_until:
            self.change(guard, at, "HALF_OPEN")
        if guard.state == "CLOSED":
            return True
        assert request.facts is not None
        if (
            guard.state == "HALF_OPEN"
            and guard.permits < half_open.requests
            and share_draw(request.facts.id) < half_open.share
        ):
            guard.permits += 1
            guard.probing.add(request)
            request.epochs[guard] = guard.epoch
            return True
        return False

    def take(self, request: Request, place: int, at: int) -> None:
        """S7: a model is called, a queue holds, any other entry ends the request."""
        request.place, request.entry, request.number = place, request.order[place], 0
        kind = self.entry(request).kind
        if kind == "model":
            self.send(request, at)
        elif kind == "queue":
            self.hold(request, at)
        else:
            request.is_no_model = True
            self.end(request, at, "rejected" if kind == "reject" else None)

    def send(self, request: Request, at: int) -> None:
        request.turn += 1
        request.attempts += 1
        route, entry, guard = self.routes[request.route or 0], self.entry(request), self.guard(request, request.entry)
        outcome, is_last_word = self.cut(request, self.outcome(request, entry.model, at), at)
        is_observed = guard is not None and (guard.state == "CLOSED" or request in guard.probing)  # S14
        sent = Sent(
            request,
            entry.model,
            request.attempts,
            at,
            at + int(outcome.latency_ms * MS),
            outcome,
            guard,
            guard.epoch if guard and is_observed else None,
            self.tick(),
            has_tools=not (self.is_degraded(request) and route.on_fallback.tools == "disabled"),
            is_last_word=is_last_word,
        )
        if not outcome.is_observed:
            self.lose_exactness(sent)
        if talk := self.talk(request):
            self.sticky[talk] = request.entry
            if not (request.exact and outcome.is_observed):
                self.inexact.add(talk)
        if outcome.kind is None:
            request.has_outcome, request.error = False, "unknown"
            self.probe_is_in(sent, at)
            return
        no_cost = outcome.cost_nano is None or request.cost_nano is None
        request.cost_nano = None if no_cost else request.cost_nano + outcome.cost_nano
        self.fly(sent)
        max_wait_us = guard.rules.half_open.max_wait_ms * MS if guard else 0
        is_probe = guard is not None and request in guard.probing
        if is_probe and not route.retry.timeout_ms and sent.done > at + max_wait_us:
            self.put(at + max_wait_us, COMPLETION, sent, "overdue", sent, then=OVERDUE)

    def fly(self, sent: Sent) -> None:
        """Enter what is known of an attempt on its way, and its end."""
        outcome = sent.outcome
        self.put(sent.done, COMPLETION, sent, "done", sent, then=DONE)
        if outcome.kind != "call":
            return
        if outcome.ttft_ms is not None and outcome.ttft_ms <= outcome.latency_ms:
            self.put(sent.at + outcome.ttft_ms * MS, COMPLETION, sent, "token", sent, then=TOKEN)
        elapsed = [one for one in self.in_order if one.rules.observe == "elapsed" and one.target == sent.target]
        ages = {first_counted_ms(c) for one in elapsed for c in one.rules.conditions if c.kind == "latency"}
        for age in ages:
            if age < outcome.latency_ms:
                self.put(sent.at + age * MS, COMPLETION, sent, "crossing", sent, age, then=CROSSING)

    def done(self, sent: Sent, at: int) -> None:
        request, outcome = sent.request, sent.outcome
        follows = self.follows(sent)
        for guard in self.observers(sent):
            failed = outcome.error is not None and is_in(outcome.error, guard.rules.errors)
            crossed = frozenset(sent.crossed) if guard.rules.observe == "elapsed" else frozenset()
            self.observe(guard, Seen(at, "done", outcome.latency_ms, outcome.error, failed, crossed=crossed))
            if outcome.ttft_ms is not None and outcome.ttft_ms > outcome.latency_ms:  # cut before it
                self.observe(guard, Seen(at, "token", outcome.latency_ms))
        if outcome.error is not None and (talk := self.talk(request)):
            self.sticky.pop(talk, None)
        if follows == "nothing":
            self.end(request, at, outcome.error, last=sent)
        if follows == "nothing" and outcome.error is None and outcome.kind == "call":
            self.hear(sent, at)
        self.evaluate_touched(at)
        if follows == "retry":
            self.put(at + self.routes[request.route or 0].retry.backoff_ms * MS, RETRY, request, "retry", request)
            return
        self.probe_is_in(sent, at)
        if follows == "hop":
            self.put(at, HOP, request, "hop", request, outcome.error)
        elif follows == "deadline":
            self.put(self.deadline(request) or at, DEADLINE, request, "expire", request, request.turn)

    def follows(self, sent: Sent) -> str:
        """S8: retry on the same target, then the next entry, if the class allows; a broken stream is with the client."""
        request, error = sent.request, sent.outcome.error
        if sent.is_last_word or request.route is None or sent.outcome.kind != "call" or error in {None, "cut"}:
            return "another" if request.route is None and not sent.is_last_word else "nothing"
        route, deadline = self.routes[request.route], self.deadline(request) or math.inf
        assert error is not None
        if sent.done >= deadline:
            return "nothing"
        if request.number < route.retry.attempts and is_in(error, route.retry.retry_on):
            return "retry" if sent.done + route.retry.backoff_ms * MS < deadline else "deadline"
        rest = request.order[request.place + 1 :]
        goes_on = is_in(error, route.fallback_on) and any(self.is_open_to(request, e, error=error) for e in rest)
        return "hop" if goes_on else "nothing"

    def retry(self, request: Request, at: int) -> None:
        request.number += 1
        self.send(request, at)

    def hop(self, request: Request, error: str, at: int) -> None:
        place = self.choose(request, at, start=request.place + 1, error=error)
        if place is None:
            self.end(request, at, error)
        else:
            self.take(request, place, at)

    def token(self, sent: Sent, at: int) -> None:
        for guard in self.observers(sent):
            self.observe(guard, Seen(at, "token", sent.outcome.ttft_ms or 0))

    def crossing(self, sent: Sent, age: int, at: int) -> None:
        """S18: in flight, and known to be slow."""
        sent.crossed.add(age)
        for guard in self.observers(sent):
            if guard.rules.observe == "elapsed":
                self.observe(guard, Seen(at, "crossed", age))

    def overdue(self, sent: Sent, at: int) -> None:
        """S16: a probe not done in time is a failed, slow observation, and the last word on this probe."""
        guard = sent.guard
        if guard is None or sent.request not in guard.probing:
            return
        waited = guard.rules.half_open.max_wait_ms
        crossed = frozenset(sent.crossed) if guard.rules.observe == "elapsed" else frozenset()
        self.observe(guard, Seen(at, "done", waited, "timeout", failed=True, overdue=True, crossed=crossed))
        self.probe_is_in(sent, at)
        sent.epoch = None

    # --- queues and deadlines ---

    def hold(self, request: Request, at: int) -> None:
        """S7: held until the primary is tried again, or for so long."""
        request.turn += 1
        request.is_held = request.was_held = True
        request.queued.add(request.entry)
        until = at + (self.entry(request).queue_ms or 0) * MS
        self.put(until, QUEUE_END, request, "queue_end", request, request.turn)
        deadline = self.deadline(request)
        if deadline is not None and deadline < until:
            self.put(deadline, DEADLINE, request, "expire", request, request.turn)
        for guard in self.primary_guards(request):
            if guard.state == "OPEN":
                self.put(max(at, guard.open_until), COOLDOWN, guard.position, "rested", guard, guard.epoch)

    def release(self, request: Request, at: int) -> None:
        """S7: each takes a permit or waits on."""
        if not request.is_held:
            return
        for place, e in enumerate(request.order[: len(self.primaries(request))]):
            if self.is_available(request, e, at):
                request.is_held = False
                self.take(request, place, at)
                return

    def queue_end(self, request: Request, turn: int, at: int) -> None:
        """S7: down the chain, or, if nothing is left, to the primary."""
        if not request.is_held or request.turn != turn:
            return
        request.is_held = False
        place = self.choose(request, at, start=request.place + 1)
        self.take(request, 0 if place is None else place, at)

    def expire(self, request: Request, turn: int, at: int) -> None:
        """S8: `deadline_ms` ends everything."""
        if request.turn == turn:
            request.turn += 1
            request.is_held = False
            self.end(request, at, "timeout")

    def deadline(self, request: Request) -> int | None:
        limit_ms = self.routes[request.route or 0].deadline_ms
        return None if limit_ms is None else request.arrived + limit_ms * MS

    def held_of(self, guard: Guard) -> list[Request]:
        """Return the held requests that wait for this breaker, first in, first out."""
        return [one for one in self.requests if one.is_held and guard in self.primary_guards(one)]

    # --- what comes from outside ---

    def leave_as_logged(self, request: Request) -> None:
        """S4: what is unrouted stays as logged."""
        calls = self.world.logged.get(request.position, Logged(())).calls
        request.has_outcome = bool(calls)
        request.error = "unfinished" if calls else "unknown"
        for serial, call in enumerate(calls, 1):
            args = (request, serial, call.target, call.attempt, serial == len(calls))
            self.put(call.sent_us, UNROUTED, request, "send_logged", *args)

    def send_logged(self, request: Request, serial: int, target: str, outcome: Attempt, is_last: bool, at: int) -> None:  # noqa: FBT001
        request.attempts += 1
        done = at + int(outcome.latency_ms * MS)
        no_cost = outcome.cost_nano is None or request.cost_nano is None
        request.cost_nano = None if no_cost else request.cost_nano + outcome.cost_nano
        self.fly(Sent(request, target, serial, at, done, outcome, None, None, self.tick(), is_last_word=is_last))

    def help_desk(self, row: Any, at: int) -> None:
        for one in (*self.in_order, *self.watches):
            if row.ticket in one.tickets and not is_testing(one):
                self.observe(one, Seen(at, row.what, name=row.ticket))

    def signal(self, row: Any, at: int) -> None:
        seen = Seen(at, "signal", part=row.numerator, whole=row.denominator, name=row.name)
        for guard in self.in_order:
            route = self.routes[guard.route]
            of_intent = row.intent == guard.intent if guard.rules.scope == "intent" else route.matches(row.intent)
            if (row.intent is None or of_intent) and row.target in {None, guard.target} and not is_testing(guard):
                self.observe(guard, seen)
        for watch in self.watches:
            if row.intent is None or watch.rules.matches(row.intent):
                self.observe(watch, seen)

    def touch(self, request: Request, at: int) -> None:
        ticket = request.facts.ticket if request.facts else None
        if ticket is None:
            return
        for one in (*self.guards_of(request), *self.watches_of(request)):
            one.tickets.add(ticket)
            if not is_testing(one):
                self.observe(one, Seen(at, "touch", name=ticket))

    def hear(self, sent: Sent, at: int) -> None:
        """What is said of an answer later: tool results, and what an agent did with it."""
        outcome, world = sent.outcome, self.world
        review_at = at + (outcome.review_after_us or 0)
        if outcome.tool_calls and outcome.tool_ok is not None and sent.has_tools:
            seen = Seen(at, "tools", part=outcome.tool_ok, whole=outcome.tool_calls)
            if outcome.tool_after_us is None:
                self.heard(sent, seen, at)
            else:
                self.put(at + outcome.tool_after_us, FEEDBACK, sent, "heard", sent, seen)
        if world.feedback == "reviewed" and outcome.overridden is not None:
            seen = Seen(at, "override", part=outcome.overridden, whole=1)
            self.put(review_at, FEEDBACK, sent, "heard", sent, seen)
        if world.feedback == "overrides":
            self.put(at + world.feedback_lag_us, FEEDBACK, sent, "heard", sent, Seen(at, "override", whole=1))
            if outcome.overridden:
                self.put(review_at, FEEDBACK, sent, "heard", sent, Seen(at, "override", part=1))

    def heard(self, sent: Sent, seen: Seen, at: int) -> None:
        for one in (*self.observers(sent), *self.watches_of(sent.request)):
            self.observe(one, seen._replace(at=at))

    # --- breakers ---

    def observes(self, guard: Guard, sent: Sent) -> bool:
        """S6, S10, S14: calls on the target, by the epoch in which they were sent."""
        if sent.outcome.kind != "call":
            return False
        if guard.rules.scope == "target" and guard.state == "CLOSED":
            return guard.target == sent.target and sent.tick > guard.changed
        return guard is sent.guard and guard.epoch == sent.epoch

    def observers(self, sent: Sent) -> Iterator[Guard]:
        return (guard for guard in self.in_order if self.observes(guard, sent))

    def observe(self, one: Guard | Watch, seen: Seen) -> None:
        when = one.rules.when.leaves
        used = [condition for condition in dict.fromkeys((*when, *one.more)) if uses(condition, seen)]
        for condition in used:
            one.seen[condition].append(seen)
        if isinstance(one, Guard) and one.state == "CLOSED" and one.rules.every_ms is None and {*used} & {*when}:
            self.touched.append(one)

    def evaluate_touched(self, at: int) -> None:
        """S13, every: completion: evaluated at each observation that any of its conditions uses."""
        touched, self.touched = self.touched, []
        for guard in self.in_order:
            if guard in touched and guard.state == "CLOSED":
                self.evaluate(guard, at)

    def evaluate(self, guard: Guard, at: int) -> None:
        """S9, S12, S13."""
        if not self.holds(guard, at):
            guard.true_since = None
            return
        if guard.true_since is None:
            guard.true_since = at
        if at - guard.true_since >= guard.rules.for_ms * MS:
            self.change(guard, at, "OPEN")

    def holds(self, one: Guard | Watch, at: int) -> bool | None:
        return in_each(
            one.rules.windows,
            lambda window: kleene(one.rules.when, lambda c: self.condition(c, one, window=window, at=at)),
        )

    def condition(self, condition: Condition, one: Guard | Watch, *, window: Any, at: int) -> bool | None:
        if condition.kind == "alert":  # S20
            return next(watch.firing for watch in self.watches if watch.rules.name == condition.name)
        seen = within(one.seen[condition], window, at)
        min_requests = one.rules.min_requests
        if window.kind == "count":
            min_requests = min(min_requests, window.length)
        return truth(condition, seen, min_requests=min_requests, no_data=one.rules.no_data)

    def sweep(self, guard: Guard, at: int) -> None:
        """S13, every: D."""
        if guard.state == "CLOSED":
            self.evaluate(guard, at)
        self.put(at + (guard.rules.every_ms or 0) * MS, SWEEP, guard.position, "sweep", guard)

    def probe_is_in(self, sent: Sent, at: int) -> None:
        """S16: when all probes are in, judge them."""
        guard = sent.guard
        if guard is None or sent.request not in guard.probing:
            return
        guard.probing.discard(sent.request)
        if guard.permits >= guard.rules.half_open.requests and not guard.probing:
            self.judge(guard, at)

    def judge(self, guard: Guard, at: int) -> None:
        """S16: over all that was observed in HALF_OPEN; unknown reads as not passed, and so does nothing at all."""
        rule = guard.judged

        def held(condition: Condition) -> bool | None:
            return truth(condition, guard.seen[condition], min_requests=1, no_data=guard.rules.no_data)

        nothing_seen = rule is None or not any(guard.seen[condition] for condition in rule.leaves)
        met = None if rule is None or nothing_seen else kleene(rule, held)
        passed = met if guard.rules.half_open.when else None if met is None else not met
        self.change(guard, at, "CLOSED" if passed else "OPEN")

    def max_duration(self, guard: Guard, epoch: int, at: int) -> None:
        """S16: too long in HALF_OPEN; nothing in: OPEN."""
        if guard.epoch == epoch:
            self.judge(guard, at)

    def rested(self, guard: Guard, epoch: int, at: int) -> None:
        """S7, S17: a cooldown's end matters to a breaker without probes, and to a queue."""
        if guard.epoch != epoch:
            return
        if guard.rules.half_open.requests == 0:
            self.change(guard, at, "CLOSED")
        elif self.held_of(guard):
            self.change(guard, at, "HALF_OPEN")

    def change(self, guard: Guard, at: int, state: str) -> None:
        """S14: every change clears the window and begins a new epoch."""
        k, n = counters(guard, at)
        change = Change(at, guard.route, guard.entry, guard.intent, guard.state, state, k, n, guard.exact)
        self.changes.append(change)
        guard.reopened = guard.reopened + 1 if (guard.state, state) == ("HALF_OPEN", "OPEN") else guard.reopened
        if state == "CLOSED":
            guard.reopened = 0
        guard.state = state
        guard.epoch += 1
        guard.changed = self.tick()
        guard.seen.clear()
        guard.true_since = None
        guard.permits, guard.probing = 0, set()
        half_open, held = guard.rules.half_open, self.held_of(guard)
        if state == "OPEN":
            guard.open_until = at + guard.rules.rest_ms(guard.reopened) * MS  # S15
            if half_open.requests == 0 or held:
                self.put(guard.open_until, COOLDOWN, guard.position, "rested", guard, guard.epoch)
        else:
            for request in held:
                self.put(at, RELEASE, request, "release", request)
        if state == "HALF_OPEN" and half_open.max_duration_ms is not None:
            until = at + half_open.max_duration_ms * MS
            self.put(until, MAX_DURATION, guard.position, "max_duration", guard, guard.epoch)

    # --- alerts ---

    def alert_sweep(self, watch: Watch, at: int) -> None:
        """S19."""
        rules, is_true = watch.rules, self.holds(watch, at) is True
        if is_true:
            watch.true_since = at if watch.true_since is None else watch.true_since
            watch.last_true = at
        else:
            watch.true_since = None
        if is_true and not watch.firing and at - (watch.true_since or 0) >= rules.for_ms * MS:
            self.turn(watch, at, firing=True)
        elif watch.firing and not is_true and at - watch.last_true >= rules.keep_firing_ms * MS:
            self.turn(watch, at, firing=False)
        self.put(at + rules.every_ms * MS, ALERT_SWEEP, watch.position, "alert_sweep", watch)

    def turn(self, watch: Watch, at: int, *, firing: bool) -> None:
        watch.firing = firing
        self.alert_changes.append(AlertChange(at, watch.position, firing))
        for guard in self.in_order:
            if guard.rules.every_ms is None and watch.rules.name in alert_names(guard):
                self.touched.append(guard)

    def end(self, request: Request, at: int, error: str | None, *, last: Sent | None = None) -> None:
        """The request's final status: what alerts observe, and the route's own share of fallbacks and cost."""
        request.error, request.wait = error, at - request.arrived
        for one in (*self.guards_of(request), *self.watches_of(request)):
            if isinstance(one, Watch):
                self.observe_request(one, request, at, last)
            elif one.epoch != request.epochs.get(one):
                continue
            is_fallback = self.is_fallback(request)
            if is_fallback is not None:
                self.observe(one, Seen(at, "end", part=is_fallback, whole=1))
            if request.cost_nano is not None:
                self.observe(one, Seen(at, "cost", part=request.cost_nano))

    def observe_request(self, watch: Watch, request: Request, at: int, last: Sent | None) -> None:
        """Whose latency: the request's wait and its final status, one per request."""
        error = request.error
        failed = error is not None and (error == "rejected" or is_in(error, watch.rules.errors))
        what = "bare" if request.is_no_model else "done"
        self.observe(watch, Seen(at, what, Fraction(request.wait or 0, MS), error, failed))
        if last and error is None and last.outcome.ttft_ms is not None:
            first = last.at + last.outcome.ttft_ms * MS - request.arrived
            self.observe(watch, Seen(at, "token", Fraction(first, MS)))

    # --- looking things up ---

    def tick(self) -> int:
        self.ticks += 1
        return self.ticks

    def entry(self, request: Request, e: int | None = None) -> Entry:
        return self.routes[request.route or 0].chain[request.entry if e is None else e]

    def primaries(self, request: Request) -> tuple[str, ...]:
        return self.routes[request.route or 0].primaries

    def is_fallback(self, request: Request) -> bool | None:
        return self.world.logged[request.position].is_fallback if request.route is None else self.is_degraded(request)

    def is_degraded(self, request: Request) -> bool:
        """S7: served by whatever entry other than a primary."""
        return request.entry >= len(self.primaries(request)) or self.routes[request.route or 0].degraded_start

    def guard(self, request: Request, e: int) -> Guard | None:
        breaker = self.entry(request, e).breaker
        if breaker is None:
            return None
        return self.guards[request.route or 0, e, request.intent if breaker.scope == "intent" else None]

    def guards_of(self, request: Request) -> list[Guard]:
        found = [self.guard(request, e) for e in sorted(request.order)]
        return [guard for guard in found if guard]

    def primary_guards(self, request: Request) -> list[Guard]:
        return [guard for guard in self.guards_of(request) if guard.entry < len(self.primaries(request))]

    def watches_of(self, request: Request) -> list[Watch]:
        return [watch for watch in self.watches if watch.rules.matches(request.intent)]

    def outcome(self, request: Request, target: str, at: int) -> Attempt:
        """S7: after a queue, the outcome is that of the time of release: the request's own call or the last arrival's."""
        own = self.world.outcome(request.position, target, request.number)
        if not request.was_held:
            return own
        mine = (request.route, request.intent)
        last = [one for one in self.requests if one.arrived <= at and (one.route, one.intent) == mine][-1]
        if own.is_observed and own.sent_us is not None and abs(own.sent_us - at) <= abs(last.arrived - at):
            return own
        then = self.world.outcome(last.position, target, request.number)
        return then if self.world.by_time else then._replace(is_observed=False)

    def cut(self, request: Request, outcome: Attempt, at: int) -> tuple[Attempt, bool]:
        """S8, S10: timeouts end an attempt, the deadline everything; return whether it did."""
        if outcome.kind is None:
            return outcome, False
        retry, deadline = self.routes[request.route or 0].retry, self.deadline(request)
        limits_ms: list[int | Fraction] = []
        if outcome.kind == "call":
            if retry.timeout_ms:
                limits_ms.append(retry.timeout_ms)
            if retry.ttft_timeout_ms and (outcome.ttft_ms or 0) > retry.ttft_timeout_ms:
                limits_ms.append(retry.ttft_timeout_ms)
        shortest = min(limits_ms, default=outcome.latency_ms)
        if outcome.latency_ms > shortest:
            outcome = outcome._replace(latency_ms=shortest, error="timeout")
        if deadline is not None and at + outcome.latency_ms * MS > deadline:
            return outcome._replace(latency_ms=(deadline - at) // MS, error="timeout"), True
        return outcome, False

    def lose_exactness(self, sent: Sent) -> None:
        """`state_exact` ends where a breaker is fed with what was not observed."""
        names = {watch.rules.name for watch in self.watches_of(sent.request)}
        for guard in self.in_order:
            fed = guard is sent.guard and sent.epoch is not None
            fed |= guard.rules.scope == "target" and guard.state == "CLOSED" and guard.target == sent.target
            fed |= bool(names & alert_names(guard))
            counts_ends = any(leaf.kind in {"fallback", "cost"} for leaf in guard.rules.conditions)
            fed |= counts_ends and sent.request.epochs.get(guard) == guard.epoch
            guard.exact &= not fed


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


def alert_names(guard: Guard) -> set[str]:
    return {leaf.name for leaf in guard.rules.when.leaves if leaf.kind == "alert"}


def next_multiple(at: int, every_ms: int) -> int:
    """Return the first multiple of a period from an instant on."""
    return -(-at // (every_ms * MS)) * every_ms * MS


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)
