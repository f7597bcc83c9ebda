"""What stands when a run begins: every request on its route, every breaker closed; and how things are looked up."""

from __future__ import annotations

import heapq
from typing import Any

from actors import MS, AlertChange, Change, Event, Guard, Request, Sent, Watch, matches, primary_rank
from worlds import Attempt, World

from incident_kit.policies.routes import Entry, Route


class Setting:
    """A policy (its ``routes`` and ``alerts``) and a world."""

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
        for r, route in enumerate(
            self.routes
        ):  # S6: per route, whether it has requests or not; of an intent: if it has
            for e, entry in enumerate(route.chain):
                if entry.breaker and entry.breaker.scope != "intent":
                    self.guards[r, e, None] = Guard(r, e, None, entry.model, entry.breaker)
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
            if entry.breaker and entry.breaker.scope == "intent":
                key = (request.route, e, request.intent)
                self.guards.setdefault(key, Guard(*key, entry.model, entry.breaker))

    def put(self, at: int, order: int, by: Request | Sent | int, what: str, *args: Any, then: int = 0) -> None:
        """Enter an event; ties go by (arrival, request id, attempt), what is unrouted last."""
        ties: tuple[int, ...]
        if isinstance(by, Request):
            ties = (0, 0, by.position, by.attempts)
        elif isinstance(by, Sent):
            is_unrouted = by.request.route is None
            ties = (is_unrouted, by.at if is_unrouted else 0, by.request.position, by.serial, then)
        else:
            ties = (by,)
        self.pushed += 1
        heapq.heappush(self.heap, (at, order, ties, self.pushed, what, args))

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

    def spend(self, request: Request, cost_nano: int | None) -> None:
        """What one attempt costs; unknown for good where one is."""
        unknown = request.cost_nano is None or cost_nano is None
        request.cost_nano = None if unknown else (request.cost_nano or 0) + (cost_nano or 0)

    def guards_of(self, request: Request) -> list[Guard]:
        found = [self.guard(request, e) for e in sorted(request.order)]
        return [guard for guard in found if guard]

    def primary_guards(self, request: Request) -> list[Guard]:
        return [guard for guard in self.guards_of(request) if guard.entry < len(self.primaries(request))]

    def watches_of(self, request: Request) -> list[Watch]:
        return [watch for watch in self.watches if watch.rules.matches(request.intent)]

    def held_of(self, guard: Guard) -> list[Request]:
        """Return the held requests that wait for this breaker, first in, first out."""
        return [one for one in self.requests if one.is_held and guard in self.primary_guards(one)]

    def talk(self, request: Request) -> tuple[int, str] | None:
        """Return the conversation that the route remembers."""
        if request.route is None or request.facts is None or self.routes[request.route].sticky == "none":
            return None
        return None if request.facts.conversation is None else (request.route, request.facts.conversation)

    def deadline(self, request: Request) -> int | None:
        limit_ms = self.routes[request.route or 0].deadline_ms
        return None if limit_ms is None else request.arrived + limit_ms * MS

    def outcome(self, request: Request, target: str, at: int) -> Attempt:
        """S7: after a queue, the outcome is that of the time of release: the request's own call or the last arrival's."""
        own = self.world.outcome(request.position, target, request.number)
        if not request.was_held:
            return own
        mine = (request.route, request.intent)
        last = [one for one in self.requests if one.has_arrived and (one.route, one.intent) == mine][-1]
        if own.is_observed and own.sent_us is not None:
            gap_us = abs(own.sent_us - at)
            if gap_us == 0 or gap_us < abs(last.arrived - at):
                return own
        then = self.world.outcome(last.position, target, request.number)
        return then if self.world.by_time else then._replace(is_observed=False)
