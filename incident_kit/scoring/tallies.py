"""Tallies: what a policy's breakers did over a span of time: how often they left the primary, for how long, how soon."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from incident_kit.scoring.replays import Replay

_CLOSED, _OPEN = 0, 1  # kernel.CLOSED ..., which compiles when it is imported
FLAP_US = 600_000_000  # a primary that is left again so soon after it came back flaps
Span = tuple[int, int]


def switches(changes: NDArray[Any], span: Span, impact: Span | None) -> float:
    """Return how often a primary was left in the span."""
    del impact
    return float(((changes[:, 3] == _CLOSED) & (changes[:, 4] == _OPEN) & _within(changes, span)).sum())


def flapping(changes: NDArray[Any], span: Span, impact: Span | None) -> float:
    """Return how often a primary was left within ten minutes of its return."""
    del impact
    count, back = 0, {}
    for row in changes:
        breaker = (row[0], row[1], row[-1])
        if row[4] == _CLOSED:
            back[breaker] = row[2]
        elif row[3] == _CLOSED and row[2] - back.get(breaker, -np.inf) <= FLAP_US and span[0] <= row[2] < span[1]:
            count += 1
    return float(count)


def minutes_on_fallback(changes: NDArray[Any], span: Span, impact: Span | None) -> float:
    """Return for how many minutes of the span some primary was out of service."""
    del impact
    out: set[Any] = set()
    since, total = span[0], 0.0
    for row in [*changes, None]:
        at = span[1] if row is None else min(max(row[2], span[0]), span[1])
        total += (at - since) * bool(out)
        since = at
        if row is not None:
            breaker = (row[0], row[1], row[-1])
            (out.discard if row[4] == _CLOSED else out.add)(breaker)
    return float(total / 60e6)


def detection_s(changes: NDArray[Any], span: Span, impact: Span | None) -> float | None:
    """Return how many seconds after the impact's beginning a primary was first left; None where none was."""
    del span
    if impact is None:
        return None
    left = changes[(changes[:, 3] == _CLOSED) & (changes[:, 4] == _OPEN) & _within(changes, impact), 2]
    return float((left.min() - impact[0]) / 1e6) if len(left) else None


def failback_s(changes: NDArray[Any], span: Span, impact: Span | None) -> float | None:
    """Return how many seconds after the impact's end all primaries were back; None where one stayed away."""
    del span
    if impact is None:
        return None
    state: dict[Any, float] = {}
    latest = float(impact[1])
    for row in changes:
        breaker = (row[0], row[1], row[-1])
        if row[2] < impact[1]:
            state[breaker] = row[4]
        elif state.get(breaker, _CLOSED) != _CLOSED and row[4] == _CLOSED:
            state[breaker] = _CLOSED
            latest = max(latest, row[2])
    return None if any(one != _CLOSED for one in state.values()) else float((latest - impact[1]) / 1e6)


TALLIES: dict[str, Callable[[NDArray[Any], Span, Span | None], float | None]] = {
    "switches": switches,
    "flapping": flapping,
    "minutes_on_fallback": minutes_on_fallback,
    "detection_s": detection_s,
    "failback_s": failback_s,
}


def of_primaries(replay: Replay, intent: str | None = None) -> NDArray[Any]:
    """Return the changes of primaries' breakers, of all routes or of those that an intent takes (``all``: every one)."""
    primaries = np.array([len(route.primaries) for route in replay.policy.routes] or [0])
    changes = replay.changes
    mine = changes[:, 1] < primaries[changes[:, 0].astype(np.int64)] if len(changes) else np.zeros(0, np.bool_)
    if intent is not None and len(changes):
        code = replay.log.intents.index(intent) if intent in replay.log.intents else -1
        taken = np.unique(replay.route[replay.log.intent == code])
        mine &= np.isin(changes[:, 0], taken) & ((changes[:, -1] == code) | (changes[:, -1] == _ANY))
    return np.asarray(changes[mine])


_ANY = -2  # runs.ANY_INTENT


def _within(changes: NDArray[Any], span: Span) -> NDArray[np.bool_]:
    return np.asarray((changes[:, 2] >= span[0]) & (changes[:, 2] < span[1]))
