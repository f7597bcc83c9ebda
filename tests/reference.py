"""A plain interpreter of POLICY.md: one event after the other, nothing clever. The judge of the compiled kernel.

The S-numbers are POLICY.md's. It shares no code with the kernel and knows a policy only through its own conditions.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from incident_kit.conditions import Condition, Rule
from incident_kit.routes import Breaker, Route

MS = 1000  # microseconds
END = 2**62
OBSERVATION, COOLDOWN, RETRY, HOP, ARRIVAL = range(5)  # S3: the order of events at one instant


class Attempt(NamedTuple):
    """A potential outcome: error None is ok; kind is "call", "hit" (a cache hit), or None (the log cannot tell)."""

    latency_ms: int
    error: str | None
    kind: str | None
    is_observed: bool = True


class Seen(NamedTuple):
    done: int
    latency_ms: float  # infinity: overdue
    failed: bool


class Change(NamedTuple):
    at: int
    entry: int
    was: str
    now: str
    n: int
    exact: bool


@dataclass(eq=False)
class Guard:
    """The breaker of one entry of the chain."""

    rules: Breaker
    state: str = "CLOSED"
    epoch: int = 0
    seen: list[Seen] = field(default_factory=list)
    true_since: int | None = None
    open_until: int = 0
    permits: int = 0
    probing: set[int] = field(default_factory=set)
    exact: bool = True


@dataclass
class Request:
    arrived: int
    entry: int = -1
    number: int = 0
    attempts: int = 0
    epoch: int | None = None  # the epoch of the entry's breaker that observes the attempt in flight
    first: int = -1
    state: str = ""
    exact: bool = True
    probe: bool = False
    wait: int | None = None
    error: str | None = "unfinished"
    has_outcome: bool = True


def truth(condition: Condition, seen: Sequence[Seen]) -> bool | None:
    """The condition by its text, from the observations themselves (S11, S12)."""
    if not seen:
        return None
    metric, sign, limit_text = condition.text.split()
    if metric.startswith("p"):
        percent = Fraction(metric[1:].removesuffix("_ms"))
        ordered = sorted(one.latency_ms for one in seen)
        value = ordered[math.ceil(percent * len(ordered) / 100) - 1]
    elif metric.startswith("slow_rate"):
        limit_ms = int(metric.removeprefix("slow_rate(").removesuffix("ms)"))
        value = Fraction(sum(one.latency_ms > limit_ms for one in seen), len(seen))
    else:
        value = Fraction(sum(one.failed for one in seen), len(seen))
    limit = Fraction(limit_text)
    return {">": value > limit, ">=": value >= limit, "<": value < limit, "<=": value <= limit}[sign]


def kleene(rule: Rule, seen: Sequence[Seen], *, min_requests: int) -> bool | None:
    values = [truth(c, seen) if len(seen) >= max(min_requests, 1) else None for c in rule.of]
    true, unknown = values.count(True), values.count(None)
    if true >= rule.at_least:
        return True
    return False if true + unknown < rule.at_least else None


class Interpreter:
    """One route over its requests; ``outcome(request, target, number)`` gives what would happen to an attempt."""

    def __init__(
        self,
        route: Route,
        arrivals: Sequence[int],
        outcome: Callable[[int, str, int], Attempt],
        *,
        belongs: Callable[[str, Sequence[str]], bool],
        draw: Callable[[int], float] = lambda _: 0.0,
    ) -> None:
        self.route, self.outcome, self.belongs, self.draw = route, outcome, belongs, draw
        self.requests = [Request(arrived) for arrived in arrivals]
        self.guards = [Guard(entry.breaker) if entry.breaker else None for entry in route.chain]
        self.changes: list[Change] = []
        self.queue: list[tuple[int, int, int, int, str]] = []

    def run(self) -> Interpreter:
        for number, request in enumerate(self.requests):
            self.queue.append((request.arrived, ARRIVAL, number, 0, "arrive"))
        heapq.heapify(self.queue)
        while self.queue:
            at, order, number, _, what = heapq.heappop(self.queue)
            self.close_rested(at, order)
            getattr(self, what)(self.requests[number], number, at)
        self.close_rested(END, ARRIVAL)
        self.changes.sort(key=lambda change: change.at)
        return self

    # --- events ---

    def arrive(self, request: Request, number: int, at: int) -> None:
        self.choose(request, number, at, start=0)
        guard = self.guards[0]
        request.first = request.entry
        request.state = guard.state if guard else "CLOSED"
        request.exact = all(g.exact for g in self.guards[: request.entry + 1] if g)
        request.probe = guard_probes(self.guards[request.entry], number)
        self.send(request, number, at)

    def retry(self, request: Request, number: int, at: int) -> None:
        request.number += 1
        guard = self.guards[request.entry]
        if guard and not guard_probes(guard, number):
            request.epoch = guard.epoch if guard.state == "CLOSED" else None
        self.send(request, number, at)

    def hop(self, request: Request, number: int, at: int) -> None:
        self.choose(request, number, at, start=request.entry + 1)
        self.send(request, number, at)

    def overdue(self, request: Request, number: int, at: int) -> None:
        """S16: a probe not done in time is a failed, slow observation, and the last word on this probe."""
        guard = self.guards[request.entry]
        if guard and guard_probes(guard, number):
            guard.seen.append(Seen(at, math.inf, failed=True))
            request.epoch = None
            self.probe_is_in(guard, number, at)

    def done(self, request: Request, number: int, at: int) -> None:
        attempt = self.attempt(request, number)
        guard = self.guards[request.entry]
        is_call = attempt.kind == "call"
        if guard and is_call and request.epoch == guard.epoch:
            failed = attempt.error is not None and self.belongs(attempt.error, guard.rules.errors)
            guard.seen.append(Seen(at, attempt.latency_ms, failed))
            if guard.state == "CLOSED":
                self.evaluate(guard, at)
        # S8: retry on the same target, then the next entry, if the class allows; a stream that broke is with the client
        again = is_call and attempt.error is not None and attempt.error != "cut"
        if (
            again
            and request.number < self.route.retry.attempts
            and self.belongs(attempt.error, self.route.retry.retry_on)
        ):
            self.put(at + self.route.retry.backoff_ms * MS, RETRY, number, "retry")
            return
        if guard and guard_probes(guard, number):
            self.probe_is_in(guard, number, at)
        if again and request.entry + 1 < len(self.guards) and self.belongs(attempt.error, self.route.fallback_on):
            self.put(at, HOP, number, "hop")
            return
        request.error = attempt.error
        request.wait = at - request.arrived

    # --- steps ---

    def put(self, at: int, order: int, number: int, what: str) -> None:
        heapq.heappush(self.queue, (at, order, number, self.requests[number].attempts, what))

    def attempt(self, request: Request, number: int) -> Attempt:
        """S10: the policy's own timeout cuts a call that takes longer."""
        attempt = self.outcome(number, self.route.chain[request.entry].model, request.number)
        timeout = self.route.retry.timeout_ms
        if attempt.kind == "call" and timeout and attempt.latency_ms > timeout:
            return attempt._replace(latency_ms=timeout, error="timeout")
        return attempt

    def choose(self, request: Request, number: int, at: int, *, start: int) -> None:
        """S4: the first available entry; the last is always available."""
        request.number = 0
        for entry in range(start, len(self.guards)):
            guard = self.guards[entry]
            request.entry, request.epoch = entry, None
            if guard is None:
                return
            half_open = guard.rules.half_open
            if guard.state == "OPEN" and at >= guard.open_until:
                self.change(entry, at, "HALF_OPEN")  # S15
            if guard.state == "CLOSED":
                request.epoch = guard.epoch
                return
            if (
                guard.state == "HALF_OPEN"
                and guard.permits < half_open.requests
                and (half_open.share == 1 or self.draw(number) < half_open.share)
            ):
                guard.permits += 1
                guard.probing.add(number)
                request.epoch = guard.epoch
                return

    def send(self, request: Request, number: int, at: int) -> None:
        attempt = self.attempt(request, number)
        guard = self.guards[request.entry]
        request.attempts += 1
        if guard and request.epoch is not None and not attempt.is_observed:
            guard.exact = False
        if attempt.kind is None:
            request.has_outcome = False
            if guard and guard_probes(guard, number):
                self.probe_is_in(guard, number, at)
            return
        self.put(at + attempt.latency_ms * MS, OBSERVATION, number, "done")
        if guard and guard_probes(guard, number) and not self.route.retry.timeout_ms:
            max_wait = guard.rules.half_open.max_wait_ms
            if attempt.latency_ms > max_wait:
                self.put(at + max_wait * MS, OBSERVATION, number, "overdue")

    def evaluate(self, guard: Guard, at: int) -> None:
        """S9, S12, S13: at each observation, over the window by `done`."""
        rules = guard.rules
        if rules.window.kind == "count":
            guard.seen = guard.seen[-rules.window.length :]
            min_requests = min(rules.min_requests, rules.window.length)
        else:
            guard.seen = [one for one in guard.seen if one.done > at - rules.window.length * MS]
            min_requests = rules.min_requests
        if not kleene(rules.when, guard.seen, min_requests=min_requests):
            guard.true_since = None
            return
        if guard.true_since is None:
            guard.true_since = at
        if at - guard.true_since >= rules.for_ms * MS:
            self.change(self.guards.index(guard), at, "OPEN")

    def probe_is_in(self, guard: Guard, number: int, at: int) -> None:
        """S16: when all probes are in, judge them; unknown reads as not passed."""
        guard.probing.discard(number)
        half_open = guard.rules.half_open
        if guard.permits < half_open.requests or guard.probing:
            return
        if half_open.when:
            passed = kleene(half_open.when, guard.seen, min_requests=1)
        else:
            tripped = kleene(guard.rules.when, guard.seen, min_requests=1)
            passed = None if tripped is None else not tripped
        self.change(self.guards.index(guard), at, "CLOSED" if passed else "OPEN")

    def change(self, entry: int, at: int, state: str) -> None:
        """S14: every change clears the window and begins a new epoch."""
        guard = self.guards[entry]
        assert guard is not None
        self.changes.append(Change(at, entry, guard.state, state, len(guard.seen), guard.exact))
        guard.state = state
        guard.epoch += 1
        guard.seen, guard.true_since = [], None
        guard.permits, guard.probing = 0, set()
        if state == "OPEN":
            guard.open_until = at + guard.rules.cooldown_ms * MS

    def close_rested(self, at: int, order: int) -> None:
        """S17: a breaker without probes closes when its cooldown ends, before anything later (S3)."""
        resting = [
            (guard.open_until, entry)
            for entry, guard in enumerate(self.guards)
            if guard and guard.state == "OPEN" and guard.rules.half_open.requests == 0
        ]
        for until, entry in sorted(resting):
            if (until, COOLDOWN) < (at, order):
                self.change(entry, until, "CLOSED")


def guard_probes(guard: Guard | None, number: int) -> bool:
    return guard is not None and number in guard.probing
