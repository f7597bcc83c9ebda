"""Trail: every attempt that a policy makes in a scenario's truth, rebuilt from its decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import polars as pl

from incident_kit.errors import InvalidScenario
from incident_kit.plan import is_in

if TYPE_CHECKING:
    from incident_kit.replays import Replay
    from incident_kit.routes import Entry, Route
    from incident_kit.truth import Truth

SCHEMA = {
    "request": pl.Int64, "seq": pl.Int32, "target": pl.Int64, "number": pl.Int64, "sent_us": pl.Int64,
    "latency_ms": pl.Int64, "error": pl.Int64, "without_tools": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True)
class _Try:
    target: int
    number: int
    wait_ms: int  # before it was sent: back-off
    latency_ms: int
    error: int
    degraded: bool


def trail(truth: Truth, replay: Replay) -> pl.DataFrame:
    """Return one row an attempt: request (its position), seq (from 1), target and error (codes of the truth), and times.

    ``replay`` is a policy replayed over ``truth.log``. A request that ends without a model may have no attempt.

    Raises
    ------
    InvalidScenario
        The policy tries one target more often than the truth has outcomes for.
    """
    walk = _Walk(truth, replay)
    rows = [row for request in range(len(truth)) for row in walk.rows(request)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


class _Walk:
    """The requests of one replay, one at a time."""

    def __init__(self, truth: Truth, replay: Replay) -> None:
        self.truth, self.replay = truth, replay
        self.code = {name: position for position, name in enumerate(truth.targets)}
        self.timeout = truth.errors.index("timeout")
        self.latency_ms, self.error = truth.calls["latency_ms"].tolist(), truth.calls["error"].tolist()
        self.arrived_us = truth.arrived_us.tolist()
        self.requested = [self.code[name] for name in truth.requests["requested"]]
        self.offers_tools = (truth.requests["tools_offered"] > 0).to_list()
        records = replay.records
        self.route, self.first = replay.route.tolist(), records["first"].tolist()
        self.entry, self.attempts = records["entry"].tolist(), records["attempts"].tolist()
        self.wait_ms = replay.outcome.wait_ms.tolist()
        for route in replay.policy.routes:
            self._check(route)
        self.again = [_classes(truth.errors, route.retry.retry_on) for route in replay.policy.routes]
        self.onward = [_classes(truth.errors, route.fallback_on) for route in replay.policy.routes]

    def _check(self, route: Route) -> None:
        there = self.truth.scenario.attempts
        if 1 + route.retry.attempts > there:
            raise InvalidScenario(
                f"route {route.name} of {self.replay.name} tries one target {1 + route.retry.attempts} times, the scenario "
                f"holds {there} outcomes a target: give it `attempts: {1 + route.retry.attempts}`"
            )
        for entry in route.chain:
            if entry.model and entry.model not in self.code:
                raise InvalidScenario(
                    f"route {route.name} of {self.replay.name} names {entry.model}, which is no target of the scenario; "
                    f"there are {', '.join(self.truth.targets)}"
                )

    def rows(self, request: int) -> Iterator[tuple[int | bool, ...]]:
        """Yield the attempts of one request."""
        position = self.route[request]
        if position < 0:
            target = self.requested[request]
            tries: Sequence[_Try] = (
                _Try(target, 0, 0, self.latency_ms[target][0][request], self.error[target][0][request], degraded=False),
            )
            held_ms, takes_away = 0, False
        else:
            route = self.replay.policy.routes[position]
            tries = self._tries(request, route)
            held_ms, tries = self._held(request, route, tries)
            takes_away = route.on_fallback.tools == "disabled" and self.offers_tools[request]
        at = self.arrived_us[request] + held_ms * 1000
        for seq, one in enumerate(tries, 1):
            at += one.wait_ms * 1000
            yield request, seq, one.target, one.number, at, one.latency_ms, one.error, takes_away and one.degraded
            at += one.latency_ms * 1000

    def _tries(self, request: int, route: Route) -> list[_Try]:
        """Return the attempts from the first entry to the last; what was passed over between them shows in their number."""
        chain, first, last = route.chain, self.first[request], self.entry[request]
        if first == last:
            return self._on(request, route, first)
        between = [
            e for e in range(len(chain)) if e not in {first, last} and (e > first or first >= len(route.primaries))
        ]
        longest: list[_Try] = []
        for size in range(len(between) + 1):
            for some in combinations(between, size):
                tries = [one for e in (first, *some, last) for one in self._on(request, route, e)]
                if len(tries) == self.attempts[request]:
                    return tries
                longest = max(longest, tries, key=len)
        return longest

    def _on(self, request: int, route: Route, e: int) -> list[_Try]:
        """Return the attempts on one entry: until one is answered, fails for good, or there are no more."""
        entry: Entry = route.chain[e]
        if not entry.model:
            return []
        target, found = self.code[entry.model], []
        again = self.again[self.replay.policy.routes.index(route)] if route.retry.attempts else frozenset()
        for number in range(1 + route.retry.attempts):
            latency, error = self.latency_ms[target][number][request], self.error[target][number][request]
            timeout = route.retry.timeout_ms or 0
            if 0 < timeout < latency:
                latency, error = timeout, self.timeout
            wait = route.retry.backoff_ms if number else 0
            degraded = route.degraded_start or e >= len(route.primaries)
            found.append(_Try(target, number, wait, latency, error, degraded))
            if error not in again:
                break
        return found

    def _held(self, request: int, route: Route, tries: list[_Try]) -> tuple[int, list[_Try]]:
        """Return how long the request was queued before its first attempt, and the attempts as a deadline cuts them."""
        spent = sum(one.wait_ms + one.latency_ms for one in tries)
        waited = self.wait_ms[request]
        if route.deadline_ms and spent > waited >= 0 and tries:
            kept, left = [], waited
            for one in tries:
                if left <= one.wait_ms:
                    break
                cut = one.wait_ms + one.latency_ms > left
                latency = min(one.latency_ms, left - one.wait_ms)
                error = self.timeout if cut else one.error
                kept.append(_Try(one.target, one.number, one.wait_ms, latency, error, one.degraded))
                left -= one.wait_ms + latency
            return 0, kept
        queues = any(entry.kind == "queue" for entry in route.fallback)
        return (waited - spent if queues and waited > spent and tries else 0), tries


def _classes(errors: Sequence[str], patterns: Sequence[str]) -> frozenset[int]:
    """Return the codes of the classes that patterns take; a cut stream was answered."""
    return frozenset(code for code, name in enumerate(errors) if name not in {"ok", "cut"} and is_in(name, patterns))
