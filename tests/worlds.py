"""Worlds for the interpreter and the kernel: what arrives, what would happen to each attempt, what is heard later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from hypothesis import strategies as st

MS = 1000  # microseconds
SECOND = 1000 * MS


class Attempt(NamedTuple):
    """A potential outcome: error None is ok; kind is "call", "hit" (a cache hit), or None (the log cannot tell).

    ``ttft_ms`` is None where nothing is streamed. ``tool_after_us`` and ``review_after_us`` count from `done`; without the
    first, tool results are known at `done`. ``sent_us``: when the log sent it, where it did (for what waits in a queue).
    """

    latency_ms: int | Fraction
    error: str | None = None
    kind: str | None = "call"
    is_observed: bool = True
    ttft_ms: int | None = None
    tool_calls: int = 0
    tool_ok: int | None = None
    tool_after_us: int | None = None
    overridden: bool | None = None
    review_after_us: int | None = None
    cost_nano: int | None = None
    sent_us: int | None = None


UNKNOWN = Attempt(0, None, None, is_observed=False)


@dataclass(frozen=True)
class Arrival:
    """A request as it is known when it arrives; ``facts`` are what ``match`` may ask for, under its names."""

    id: str
    arrived_us: int
    intent: str | None = "chat"
    conversation: str | None = None
    ticket: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class LoggedCall(NamedTuple):
    target: str
    sent_us: int
    attempt: Attempt


@dataclass(frozen=True)
class Logged:
    """What happened to a request that the policy leaves alone; the last call is its end."""

    calls: tuple[LoggedCall, ...]
    is_fallback: bool | None = None


class DeskRow(NamedTuple):
    at_us: int
    ticket: str
    what: Literal["escalation", "reopen", "sla"]


class SignalRow(NamedTuple):
    """A row of the signals table: numerator and denominator, or a value (then the denominator is 1)."""

    at_us: int
    name: str
    numerator: Fraction
    denominator: Fraction = Fraction(1)
    intent: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class World:
    """A log and all that would have happened: ``outcome(request, target, number)``; requests sorted by (arrival, id).

    ``by_time``: a scenario's own world, where an attempt sent late meets what the target does then.
    """

    requests: Sequence[Arrival]
    outcome: Callable[[int, str, int], Attempt]
    logged: Mapping[int, Logged] = field(default_factory=dict)
    desk: Sequence[DeskRow] = ()
    signals: Sequence[SignalRow] = ()
    feedback: Literal["reviewed", "overrides"] = "reviewed"
    feedback_lag_us: int = 0
    by_time: bool = False

    def __post_init__(self) -> None:
        order = [(one.arrived_us, one.id) for one in self.requests]
        assert order == sorted(set(order))


# --- random small worlds ---

TARGETS = ("big", "small", "third")
INTENTS = ("chat", "mail", None)
ERRORS = ("429", "500", "400", "timeout", "cut", "connection", "context_window", "content_policy", "tool_error")
_LATENCIES = (0, 50, 100, 100, 100, 150, 200, 300, 350, 400, 900)
NUMBERS = 4  # attempts at one target that have cells of their own; later ones meet the last


@st.composite
def worlds(
    draw: Any,
    *,
    targets: Sequence[str] = TARGETS,
    intents: Sequence[str | None] = INTENTS,
    signals: Sequence[str] = ("churn",),
    most: int = 60,
) -> World:
    """Return at most 60 requests at instants that often collide, with a full matrix of outcomes and all that follows."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, most))
    start_ms = draw(st.sampled_from([0, 10**6, 1_767_614_400_000]))
    at_ms = start_ms + np.cumsum(random.choice([0, 50, 100, 400, 3000], size, p=[0.3, 0.38, 0.2, 0.1, 0.02]))
    names = sorted(f"r{i:02}" for i in range(size))
    random.shuffle(names)
    requests = sorted(
        (_arrival(random, name, int(at) * MS, intents) for name, at in zip(names, at_ms, strict=True)),
        key=lambda one: (one.arrived_us, one.id),
    )
    troubled = draw(st.sampled_from([0.0, 0.1, 0.4]))
    cells = [
        [[_sent(random, _attempt(random, troubled), one.arrived_us) for _ in range(NUMBERS)] for _ in targets]
        for one in requests
    ]

    def outcome(request: int, target: str, number: int) -> Attempt:
        return cells[request][targets.index(target)][min(number, NUMBERS - 1)]

    span_ms = int(at_ms[-1]) - start_ms + 1000
    return World(
        requests,
        outcome,
        logged={i: _logged(random, one, targets, troubled) for i, one in enumerate(requests)},
        desk=_desk_rows(random, start_ms, span_ms),
        signals=_signal_rows(random, start_ms, span_ms, signals, intents, targets),
        feedback=draw(st.sampled_from(["reviewed", "reviewed", "overrides"])),
        feedback_lag_us=draw(st.sampled_from([0, 200, 1000])) * MS,
        by_time=draw(st.booleans()),
    )


def _one(random: np.random.Generator, several: Sequence[Any], *, p: Sequence[float] | None = None) -> Any:
    return several[int(random.choice(len(several), p=p))]


def _arrival(random: np.random.Generator, name: str, at_us: int, intents: Sequence[str | None]) -> Arrival:
    return Arrival(
        name,
        at_us,
        intent=_one(random, intents),
        conversation=_one(random, [None, "c1", "c2", "c3"]),
        ticket=_one(random, [None, "t1", "t2", "t3"]),
        facts={"channel": _one(random, ["chat", "email"]), "stream": bool(random.random() < 0.5)},
    )


def _attempt(random: np.random.Generator, troubled: float) -> Attempt:
    kind = _one(random, ["call", "hit", None], p=[0.92, 0.04, 0.04])
    if kind is None:
        return UNKNOWN
    if kind == "hit":
        return Attempt(_one(random, [0, 50]), None, "hit", is_observed=bool(random.random() < 0.9))
    latency_ms = int(_one(random, _LATENCIES))
    calls = int(random.choice([0, 1, 2]))
    overridden = _one(random, [None, True, False])
    return Attempt(
        latency_ms,
        error=_one(random, ERRORS) if random.random() < troubled else None,
        is_observed=bool(random.random() < 0.9),
        ttft_ms=min(latency_ms, int(random.choice([0, 50, 100, 200]))) if random.random() < 0.5 else None,
        tool_calls=calls,
        tool_ok=_one(random, [None, *range(calls + 1)]) if calls else None,
        tool_after_us=_one(random, [None, 0, 100 * MS, 500 * MS]),
        overridden=overridden,
        review_after_us=None if overridden is None else int(_one(random, [0, 100, 1000])) * MS,
        cost_nano=_one(random, [None, 0, 1_000_000, 5_000_000]),
    )


def _sent(random: np.random.Generator, attempt: Attempt, arrived_us: int) -> Attempt:
    later_us = int(random.choice([0, 0, 100, 3000])) * MS
    return attempt._replace(sent_us=arrived_us + later_us) if attempt.is_observed else attempt


def _logged(random: np.random.Generator, request: Arrival, targets: Sequence[str], troubled: float) -> Logged:
    at, calls = request.arrived_us, []
    size = int(random.integers(0, 3))
    for last in range(size):
        one = _attempt(random, troubled)
        one = (Attempt(100) if one.kind is None else one)._replace(is_observed=True)
        if last < size - 1:
            one = one._replace(kind="call", error=_one(random, ERRORS))
        calls.append(LoggedCall(_one(random, targets), at, one))
        at += int(one.latency_ms) * MS + int(random.choice([50, 100])) * MS
    return Logged(tuple(calls), is_fallback=_one(random, [None, True, False]))


def _desk_rows(random: np.random.Generator, start_ms: int, span_ms: int) -> list[DeskRow]:
    rows = {
        DeskRow(
            (start_ms + 50 * int(random.integers(0, span_ms // 50 + 1))) * MS,
            _one(random, ["t1", "t2", "t3"]),
            _one(random, ["escalation", "reopen", "sla"]),
        )
        for _ in range(int(random.integers(0, 8)))
    }
    return sorted(rows)


def _signal_rows(
    random: np.random.Generator,
    start_ms: int,
    span_ms: int,
    names: Sequence[str],
    intents: Sequence[str | None],
    targets: Sequence[str],
) -> list[SignalRow]:
    rows = {
        SignalRow(
            (start_ms + 50 * int(random.integers(0, span_ms // 50 + 1))) * MS,
            _one(random, names),
            Fraction(int(random.integers(0, 5)), 4),
            Fraction(int(random.choice([1, 1, 2, 5]))),
            intent=_one(random, [None, *intents]),
            target=_one(random, [None, None, *targets]),
        )
        for _ in range(int(random.integers(0, 8)) if names else 0)
    }
    return sorted(rows, key=repr)


def shifted(world: World, by_us: int) -> World:
    """Return the same world later."""

    def outcome(request: int, target: str, number: int) -> Attempt:
        one = world.outcome(request, target, number)
        return one if one.sent_us is None else one._replace(sent_us=one.sent_us + by_us)

    return replace(
        world,
        outcome=outcome,
        requests=[replace(one, arrived_us=one.arrived_us + by_us) for one in world.requests],
        logged={
            i: replace(one, calls=tuple(call._replace(sent_us=call.sent_us + by_us) for call in one.calls))
            for i, one in world.logged.items()
        },
        desk=[row._replace(at_us=row.at_us + by_us) for row in world.desk],
        signals=[row._replace(at_us=row.at_us + by_us) for row in world.signals],
    )
