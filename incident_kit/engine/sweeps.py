"""Sweeps: alerts, and breakers that look now and then, compiled (POLICY.md S13, S19)."""

from __future__ import annotations

from typing import Any

import numba as nb

from incident_kit.engine.breakers import evaluate
from incident_kit.engine.judges import ALERT, TRUE, shown, value, verdict
from incident_kit.engine.kernel import CLOSED, OPEN
from incident_kit.engine.machinery import NEVER

_jit = nb.njit(cache=True, nogil=True)


@_jit
def sweep(w: Any, at: int, tick: int) -> None:
    """Evaluate what is due at ``at``: alerts, and the breakers that ask them; then breakers that look now and then (S13, S19)."""
    for j in range(w.breakers, len(w.judges)):
        a = w.judges[j]
        if a.unborn == 0 and at < a.until and at % a.every_us == 0 and _alert_changes(w, j, at):
            for other in range(w.breakers):
                if w.judges[other].every_us == 0 and w.judges[other].uses & (1 << ALERT):
                    for leaf in range(w.judges[other].trip, w.judges[other].trip + w.judges[other].trips):
                        if w.leaves[leaf].kind == ALERT and w.leaves[leaf].alert == j:
                            evaluate(w, other, at, tick)
                            break
    for j in range(w.breakers):
        b = w.judges[j]
        if b.unborn == 0 and at < b.until and b.every_us > 0 and at % b.every_us == 0:
            evaluate(w, j, at, tick)


@_jit
def _alert_changes(w: Any, j: int, at: int) -> bool:
    """Evaluate an alert (S19), and return whether it began or ceased to fire."""
    a = w.judges[j]
    if verdict(w, j, at, False) == TRUE:
        if a.true_since < 0:
            a.true_since = at
        a.last_true = at
        if a.state == OPEN or at - a.true_since < a.for_us:
            return False
        a.state = OPEN
    else:
        a.true_since = -1
        if a.state == CLOSED or at - a.last_true < a.keep_us:
            return False
        a.state = CLOSED
    row = w.alert_changes[w.size[2]]
    w.size[2] += 1
    leaf = shown(w, j, False, TRUE if a.state == OPEN else 1 - TRUE)
    row.at, row.alert, row.firing, row.leaf, row.exact = at, j - w.breakers, a.state == OPEN, leaf - a.trip, a.exact
    row.value, row.n = value(w, leaf)
    return True


@_jit
def bear(w: Any, at: int, tick: int) -> int:
    """Let the rules begin that are in force from ``at`` on, in an epoch of their own (S14); return when the next one will."""
    then = NEVER
    for j in range(len(w.judges)):
        b = w.judges[j]
        if b.unborn == 1 and b.since <= at:
            b.unborn, b.epoch = 0, tick
        elif b.unborn == 1:
            then = min(then, b.since)
    return then


@_jit
def next_sweep(w: Any, at: int) -> int:
    """Return the first instant at or after ``at`` at which something is swept."""
    then = NEVER
    for j in range(len(w.judges)):
        every = w.judges[j].every_us
        if every > 0:
            then = min(then, (at + every - 1) // every * every)
    return then
