"""Queues: requests that wait for a primary to be tried again, compiled (POLICY.md S7)."""

from __future__ import annotations

from typing import Any

import numba as nb

from incident_kit.engine.agenda import push
from incident_kit.engine.kernel import OPEN
from incident_kit.engine.machinery import COOLED, HELD, LATE, RELEASE

_jit = nb.njit(cache=True, nogil=True)


@_jit
def hold(w: Any, request: int, at: int, tick: int) -> None:
    """Put a request into its route's queue, in order of arrival."""
    d = w.requests[request]
    r = w.routes[d.route]
    d.held |= 3
    after = -1
    before = r.waiting_last
    while before > request:
        after = before
        before = w.requests[before].before
    d.before, d.after = before, after
    if before >= 0:
        w.requests[before].after = request
    else:
        r.waiting_first = request
    if after >= 0:
        w.requests[after].before = request
    else:
        r.waiting_last = request
    w.size[4] += 1
    until = at + w.entries[d.route, d.entry].hold_us
    if r.deadline_us > 0 and d.arrived + r.deadline_us < until:
        push(w, max(d.arrived + r.deadline_us, at), LATE, request, d.attempts, tick, -1, 0, 0, 0, 0, 0)
    else:
        push(w, until, HELD, request, d.attempts, tick, -1, 0, 0, 0, 0, 0)
    for entry in range(r.primaries):
        j = w.judge_of[d.route, entry, d.intent + 1]
        if j >= 0 and w.judges[j].state == OPEN:
            b = w.judges[j]
            push(w, max(at, b.open_until), COOLED, j, 0, b.epoch, j, 0, 0, 0, 0, 0)


@_jit
def let_go(w: Any, request: int) -> None:
    """Take a request out of its route's queue."""
    d = w.requests[request]
    r = w.routes[d.route]
    d.held &= ~1
    if d.before >= 0:
        w.requests[d.before].after = d.after
    else:
        r.waiting_first = d.after
    if d.after >= 0:
        w.requests[d.after].before = d.before
    else:
        r.waiting_last = d.before
    w.size[4] -= 1


@_jit
def waits_for(w: Any, j: int) -> bool:
    """Return whether some waiting request would go where a breaker stands."""
    b = w.judges[j]
    r = w.routes[b.route]
    if b.entry >= r.primaries:
        return False
    request = r.waiting_first
    while request >= 0:
        if w.judge_of[b.route, b.entry, w.requests[request].intent + 1] == j:
            return True
        request = w.requests[request].after
    return False


@_jit
def plan_releases(w: Any, j: int, at: int, tick: int) -> None:
    """Let every request that waits for a breaker try it, first in, first out."""
    b = w.judges[j]
    r = w.routes[b.route]
    if b.entry >= r.primaries:
        return
    request = r.waiting_first
    while request >= 0:
        d = w.requests[request]
        if w.judge_of[b.route, b.entry, d.intent + 1] == j:
            push(w, at, RELEASE, request, d.attempts, tick, j, 0, 0, 0, 0, 0)
        request = d.after
