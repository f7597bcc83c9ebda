"""Small worlds whose every decision was worked out on paper from POLICY.md: what any engine of the language must say.

An example is data: a policy's text, a world, what becomes of its requests, how breakers and alerts change. ``check(engine,
example)`` runs ``engine(policy, world)``, whose result has ``requests``, ``changes`` and ``alert_changes`` as the
interpreter's have. What is said of a request, in milliseconds: ``big>small x2 150 500 probe`` is chosen > answered by,
attempts (where not one), wait, error; of a change: when, which breaker, the new state, k/n of its first condition (left out
for an engine whose changes have no ``k``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from worlds import MS, UNKNOWN, Arrival, Attempt, DeskRow, Logged, LoggedCall, SignalRow, World

from incident_kit.policies.policy import Policy

START_MS = 1_767_614_400_000  # 2026-01-05T12:00Z, a whole multiple of every period used here


@dataclass(frozen=True)
class Example:
    name: str
    policy: str
    world: World
    requests: dict[str, str] = field(default_factory=dict)
    changes: Sequence[str] = ()
    alerts: Sequence[str] = ()

    def __str__(self) -> str:
        return self.name


def check(engine: Callable[[Policy, World], Any], example: Example) -> None:
    """Run an engine on an example and compare what it says; every change must be named, of the requests those that are."""
    policy = Policy.parse(example.policy)
    found = engine(policy, example.world)
    names = [one.id for one in example.world.requests]
    told = {name: said(policy, request) for name, request in zip(names, found.requests, strict=True)}
    assert {name: told[name] for name in example.requests} == example.requests
    changes = [said_of(policy, change) for change in found.changes]
    counted = all(hasattr(change, "k") for change in found.changes)
    assert changes == [one if counted else one.rpartition(" ")[0] for one in example.changes]
    fired = [
        f"{_ms(one.at)} {policy.alerts[one.alert].name} {'firing' if one.firing else 'cleared'}"
        for one in found.alert_changes
    ]
    assert fired == list(example.alerts)


def said(policy: Policy, request: Any) -> str:
    wait = str(_whole(request.wait / MS)) if request.has_outcome else "?"
    if request.route is None:
        return f"as logged {wait}"
    chain = policy.routes[request.route].chain
    words = [chain[request.first].label]
    if request.entry != request.first:
        words[0] += f">{chain[request.entry].label}"
    words += [f"x{request.attempts}"] * (request.attempts != 1) + [wait]
    words += [request.error] * bool(request.has_outcome and request.error)
    words += ["probe"] * bool(request.probe) + ["inexact"] * (not request.exact)
    return " ".join(words)


def said_of(policy: Policy, change: Any) -> str:
    label = policy.routes[change.route].chain[change.entry].label
    of = f" {change.intent}" if change.intent else ""
    counters = f" {change.k}/{change.n}" if hasattr(change, "k") else ""
    return f"{_ms(change.at)} {label}{of} {change.now}{counters}"


def _ms(at_us: int) -> float:
    return _whole(at_us / MS - START_MS)


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


# --- writing one down ---


def policy(*routes: dict[str, Any], alerts: Sequence[dict[str, Any]] = ()) -> str:
    """Return the text of a policy."""
    return json.dumps({"routes": routes} | ({"alerts": alerts} if alerts else {}))


def route(**keys: Any) -> dict[str, Any]:
    """Return a route from chat to big, then small, without the keys that are None."""
    found = {"intent": "chat", "primary": "big", "fallback": ["small"]} | keys
    return {key: value for key, value in found.items() if value is not None}


def breaker(**keys: Any) -> dict[str, Any]:
    """Return a breaker that two slow answers among at most four trip for a second; one good probe closes it."""
    found = {"when": "slow_rate(200ms) >= 0.5", "window": "10s", "min_requests": 2, "cooldown": "1s"}
    return found | {"half_open": {"requests": 1}} | keys


def guarded(**keys: Any) -> str:
    """Return a policy of one route with such a breaker."""
    return policy(route(breaker=breaker(**keys)))


class Ask(NamedTuple):
    arrival: Arrival
    cells: dict[str, list[Attempt]]
    logged: tuple[LoggedCall, ...]


def answer(latency_ms: int, error: str | None = None, **more: Any) -> Attempt:
    return Attempt(latency_ms, error, **more)


def ask(name: str, at_ms: int, intent: str | None = "chat", **more: Any) -> Ask:
    """Return a request; other keywords are targets with what they would say, one outcome or one a number.

    A number is a latency, a pair a latency and an error. ``logged``: the calls of a request that no route takes.
    """
    known = {key: more.pop(key) for key in ("conversation", "ticket", "facts") if key in more}
    calls = tuple(
        LoggedCall(target, at(sent_ms), _attempt(outcome)) for target, sent_ms, outcome in more.pop("logged", ())
    )
    cells = {
        target: [_attempt(one) for one in (said if isinstance(said, list) else [said])] for target, said in more.items()
    }
    return Ask(Arrival(name, at(at_ms), intent, **known), cells, calls)


def _attempt(outcome: Any) -> Attempt:
    if isinstance(outcome, Attempt):
        return outcome
    return answer(*outcome) if isinstance(outcome, tuple) else answer(outcome)


def at(ms: int) -> int:
    """Return the instant so long after the start, in microseconds."""
    return (START_MS + ms) * MS


def instant(ms: int) -> str:
    """Return the same as a policy writes it, for whole seconds."""
    return f"2026-01-05T12:{ms // 60_000:02}:{ms % 60_000 // 1000:02}.{ms % 1000:03}Z"


def desk(at_ms: int, ticket: str, what: Any) -> DeskRow:
    return DeskRow(at(at_ms), ticket, what)


def signal(at_ms: int, name: str, numerator: Any, denominator: Any = 1, **more: Any) -> SignalRow:
    return SignalRow(at(at_ms), name, numerator, denominator, **more)


def world(*asks: Ask, **more: Any) -> World:
    """Return the world of these requests; what is not told of a target, the log cannot tell."""
    ordered = sorted(asks, key=lambda one: (one.arrival.arrived_us, one.arrival.id))

    def outcome(request: int, target: str, number: int) -> Attempt:
        cells = ordered[request].cells.get(target, [])
        return cells[number] if number < len(cells) else UNKNOWN

    logged = {i: Logged(one.logged) for i, one in enumerate(ordered) if one.logged}
    return World([one.arrival for one in ordered], outcome, logged=logged, **more)


# two slow answers: big trips at 400 ms and may be tried again from 1400 ms on
SLOW = (ask("t1", 0, big=300), ask("t2", 100, big=300))
TRIPPED = "400 big OPEN 2/2"
