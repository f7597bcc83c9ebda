"""Trail: every attempt that a policy makes in a scenario's truth, rebuilt from its decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from incident_kit.engine.plan import is_in
from incident_kit.engine.runs import IN_QUEUE
from incident_kit.errors import InvalidScenario
from incident_kit.lots import order

if TYPE_CHECKING:
    from incident_kit.policies.routes import Route
    from incident_kit.scenarios.truth import Truth
    from incident_kit.scoring.replays import Replay

SCHEMA = {
    "request": pl.Int64, "seq": pl.Int32, "target": pl.Int64, "source": pl.Int64, "number": pl.Int64, "sent_us": pl.Int64,
    "latency_ms": pl.Int64, "error": pl.Int64, "without_tools": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True)
class _Try:
    target: int
    source: int  # the request whose outcome it met: its own, but for what waited in a queue
    number: int
    wait_ms: int  # before it was sent: back-off, and time in a queue
    latency_ms: int
    error: int
    degraded: bool


def trail(truth: Truth, replay: Replay) -> pl.DataFrame:
    """Return one row an attempt: request (its position), seq (from 1), target and error (codes of the truth), and times.

    ``truth.calls[target, number, source]`` is the outcome that it met.

    ``replay`` is a policy replayed over ``truth.log``. A request that ends without a model may have no attempt.

    Raises
    ------
    InvalidScenario
        The policy tries one target more often than the truth has outcomes for, or its way cannot be told.
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
        self.first_token_ms = truth.calls["first_token_ms"].tolist()
        self.arrived_us = truth.arrived_us.tolist()
        self.requested = [self.code[name] for name in truth.requests["requested"]]
        self.offers_tools = (truth.requests["tools_offered"] > 0).to_list()
        records, outcome = replay.records, replay.outcome
        self.route, self.first = replay.route.tolist(), records["first"].tolist()
        self.entry, self.attempts = records["entry"].tolist(), records["attempts"].tolist()
        self.wait_ms, self.no_model = outcome.wait_ms.tolist(), outcome.no_model.tolist()
        self.in_queue = (replay.reason == IN_QUEUE).tolist()
        # what waited in a queue meets the outcome of the latest arrival
        self.donor = np.where(outcome.call >= 0, replay.log.calls.request[outcome.call], np.arange(len(truth))).tolist()
        for route in replay.policy.routes:
            self._check(route)
        self.again = [_classes(truth.errors, route.retry.retry_on) for route in replay.policy.routes]

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
        position, takes_away = self.route[request], False
        if position < 0:
            target = self.requested[request]
            latency_ms, error = self.latency_ms[target][0][request], self.error[target][0][request]
            tries = [_Try(target, request, 0, 0, latency_ms, error, degraded=False)]
        else:
            route = self.replay.policy.routes[position]
            tries = self._tries(request, position, route)
            takes_away = route.on_fallback.tools == "disabled" and self.offers_tools[request]
        at = self.arrived_us[request]
        for seq, one in enumerate(tries, 1):
            at += one.wait_ms * 1000
            bare = takes_away and one.degraded
            yield request, seq, one.target, one.source, one.number, at, one.latency_ms, one.error, bare
            at += one.latency_ms * 1000

    def _tries(self, request: int, position: int, route: Route) -> list[_Try]:
        """Return the attempts from the first entry to the last: the way between them that took so many and so long.

        Raises
        ------
        InvalidScenario
            There is none: the scenario cannot follow this policy.
        """
        waited = self.wait_ms[request]
        for way in self._ways(request, position, route):
            tries, spent = way, sum(one.wait_ms + one.latency_ms for one in way)
            if route.deadline_ms and spent > waited:
                tries, spent = self._cut(way, waited), waited
            in_time = spent == waited or (self.in_queue[request] and self.no_model[request] > 0)
            if len(tries) == self.attempts[request] and in_time:
                return tries
        raise InvalidScenario(
            f"the attempts of request {self.truth.requests['request_id'][request]} under {self.replay.name} cannot be told: "
            f"{self.attempts[request]} in {waited} ms"
        )

    def _ways(self, request: int, position: int, route: Route) -> Iterator[list[_Try]]:
        """Yield the ways that a request may have gone."""
        chain, first, last = route.chain, self.first[request], self.entry[request]
        names = [e for e in self._order(request, route) if chain[e].model and e not in {first, last}]
        ends = () if first == last else (last,)
        if not self.in_queue[request]:
            for size in range(len(names) + 1):
                for some in combinations(names, size):
                    yield [one for e in (first, *some, *ends) for one in self._on(request, position, e)]
            return
        before = [[], *([one] for one in (first, *names) if chain[one].model)]
        after = [[], *([one] for one in (last, *names) if chain[one].model), *([one, last] for one in (first, *names))]
        for entries in before:
            early = [one for e in entries for one in self._on(request, position, e)]
            for later in after:
                late = [one for e in later for one in self._on(self.donor[request], position, e)]
                spent = sum(one.wait_ms + one.latency_ms for one in (*early, *late))
                held_ms = self.wait_ms[request] - spent
                if late and held_ms >= 0:
                    late[0] = replace(late[0], wait_ms=late[0].wait_ms + held_ms)
                    yield [*early, *late]
                elif not late and held_ms >= 0 and self.no_model[request]:  # it ended in the queue
                    yield early

    def _order(self, request: int, route: Route) -> list[int]:
        """Return the entries in the order in which the request goes through them."""
        if not route.weights:
            return list(range(len(route.chain)))
        own = order(self.truth.requests["request_id"][request], route.weights)
        return [*own, *range(len(route.primaries), len(route.chain))]

    def _on(self, source: int, position: int, e: int) -> list[_Try]:
        """Return the attempts on one entry: until one is answered, fails for good, or there are no more."""
        route = self.replay.policy.routes[position]
        entry = route.chain[e]
        if not entry.model:
            return []
        target, found = self.code[entry.model], []
        retry = route.retry
        for number in range(1 + retry.attempts):
            latency, error = self.latency_ms[target][number][source], self.error[target][number][source]
            token = self.first_token_ms[target][number][source]
            for limit, reached in ((retry.timeout_ms, latency), (retry.ttft_timeout_ms, token)):
                if limit and reached > limit and latency > limit:
                    latency, error = limit, self.timeout
            degraded = route.degraded_start or e >= len(route.primaries)
            found.append(_Try(target, source, number, retry.backoff_ms if number else 0, latency, error, degraded))
            if error not in self.again[position]:
                break
        return found

    def _cut(self, tries: list[_Try], deadline_ms: int) -> list[_Try]:
        """Return the attempts as a deadline ends them: the one in flight is a timeout."""
        kept, left = [], deadline_ms
        for one in tries:
            if left <= one.wait_ms:
                break
            took = one.wait_ms + one.latency_ms
            kept.append(one if took <= left else replace(one, latency_ms=left - one.wait_ms, error=self.timeout))
            left -= took
        return kept


def _classes(errors: Sequence[str], patterns: Sequence[str]) -> frozenset[int]:
    """Return the codes of the classes that patterns take; a cut stream was answered."""
    return frozenset(code for code, name in enumerate(errors) if name not in {"ok", "cut"} and is_in(name, patterns))
