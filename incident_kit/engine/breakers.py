"""Breakers: their rules evaluated, their changes of state, their tests, compiled (POLICY.md S13 to S17)."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.engine import judges
from incident_kit.engine.agenda import push
from incident_kit.engine.judges import ALERT, TRUE, shown, value, verdict
from incident_kit.engine.kernel import BY_CONDITION, BY_COOLDOWN, BY_PROBES, CLOSED, HALF_OPEN, OPEN
from incident_kit.engine.machinery import BY_TIME, COOLED, NEVER, TESTED
from incident_kit.engine.queues import plan_releases, waits_for

_jit = nb.njit(cache=True, nogil=True)
_inlined = nb.njit(inline="always")


@_jit
def change(w: Any, j: int, at: int, tick: int, state: int, why: int) -> None:
    """Move a breaker to another state: record it, clear its windows, begin a new epoch (S14, S15)."""
    b = w.judges[j]
    testing = why in (BY_PROBES, BY_TIME)
    first = b.recover if testing else b.trip
    leaf = first
    if state == OPEN:
        leaf = shown(w, j, testing, TRUE if why == BY_CONDITION or b.own == 0 else 1 - TRUE)
    row = w.changes[w.size[1]]
    w.size[1] += 1
    row.route, row.entry, row.intent, row.at = b.route, b.entry, b.intent, at
    row.was, row.now, row.why, row.condition, row.exact = b.state, state, why, leaf - first, is_exact(w, j)
    row.value, row.n = np.nan, 0.0
    if why != BY_COOLDOWN:
        row.value, row.n = value(w, leaf)
    b.reopened = 0 if CLOSED in (state, b.state) else b.reopened + (state == OPEN)
    b.state = state
    b.epoch = tick
    judges.clear(w, j)
    b.granted = b.pending = b.seen = 0
    b.true_since = -1
    b.half_until = NEVER
    if state == OPEN:
        b.open_until = at + w.rests[b.rest + min(b.reopened, b.rests - 1)]
        if b.probes == 0 or waits_for(w, j):
            push(w, b.open_until, COOLED, j, 0, tick, j, 0, 0, 0, 0, 0)
        return
    if state == HALF_OPEN and b.max_duration_us > 0:
        b.half_until = at + b.max_duration_us
        push(w, b.half_until, TESTED, j, 0, tick, j, 0, 0, 0, 0, 0)
    plan_releases(w, j, at, tick)


@_inlined
def is_exact(w: Any, j: int) -> int:
    """Return whether all that a breaker has seen was observed, through its alerts too."""
    b = w.judges[j]
    exact = b.exact
    if b.uses & (1 << ALERT):
        for leaf in range(b.trip, b.trip + b.trips):
            if w.leaves[leaf].kind == ALERT:
                exact &= w.judges[w.leaves[leaf].alert].exact
    return exact


@_jit
def evaluate(w: Any, j: int, at: int, tick: int) -> None:
    """Evaluate a closed breaker's rule (S13)."""
    b = w.judges[j]
    if b.state != CLOSED or b.is_alert == 1:
        return
    if verdict(w, j, at, False) != TRUE:
        b.true_since = -1
        return
    if b.true_since < 0:
        b.true_since = at
    if at - b.true_since >= b.for_us:
        change(w, j, at, tick, OPEN, BY_CONDITION)


@_jit
def evaluate_all(w: Any, at: int, tick: int) -> None:
    """Evaluate, in order, the breakers that look at each observation and have seen one in this event."""
    count = w.size[3]
    if count > 1:
        w.todo[:count].sort()
    for i in range(count):
        j = w.todo[i]
        w.judges[j].fresh = 0
        evaluate(w, j, at, tick)
    w.size[3] = 0


@_jit
def judge_test(w: Any, j: int, at: int, tick: int, why: int) -> None:
    """Judge a test over all that it has seen: closed again, or open again (S16)."""
    b = w.judges[j]
    met = verdict(w, j, at, True)
    passed = b.seen > 0 and met == (TRUE if b.own == 1 else 1 - TRUE)
    change(w, j, at, tick, CLOSED if passed else OPEN, why)


@_jit
def end_probe(w: Any, request: int, at: int, tick: int) -> None:
    """Count a probing request as in, if it is one; when all are, judge them (S16)."""
    d = w.requests[request]
    if not is_probing(w, request):
        return
    j = d.judge
    b = w.judges[j]
    b.pending -= 1
    if b.granted >= b.probes and b.pending == 0:
        judge_test(w, j, at, tick, BY_PROBES)


@_inlined
def is_probing(w: Any, request: int) -> bool:
    """Return whether a request holds a permit of the test that its breaker is in."""
    d = w.requests[request]
    return d.probing == 1 and d.permitted >= w.judges[d.judge].epoch


@_jit
def may_enter(w: Any, j: int, request: int, at: int, tick: int) -> int:
    """Return 0 where a breaker lets a request not pass, 1 where it is closed, 2 with a permit, which is then taken."""
    d = w.requests[request]
    b = w.judges[j]
    if b.state == OPEN and at >= b.open_until and b.probes > 0:
        change(w, j, at, tick, HALF_OPEN, BY_COOLDOWN)
    if b.state == CLOSED:
        return 1
    if b.state == HALF_OPEN and b.granted < b.probes and (b.share >= 1 or d.draw < b.share):
        b.granted += 1
        b.pending += 1
        d.permitted = tick
        if len(w.permits) > 0:
            w.permits[request, b.entry] = tick
        return 2
    return 0
