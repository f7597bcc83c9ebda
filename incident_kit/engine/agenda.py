"""Agenda: what is still to come, as a heap in the order of POLICY.md S3."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.engine.judges import TOOLS
from incident_kit.engine.kernel import HALF_OPEN, OPEN
from incident_kit.engine.machinery import COOLED, DONE, FEEDBACK, HELD, LATE, OVERDUE, TESTED

# what completes an attempt is told apart only after whose attempt it is
_CLASS = np.array([DONE if OVERDUE <= what <= DONE else what for what in range(20)])

_jit = nb.njit(cache=True, nogil=True)
_inlined = nb.njit(inline="always")


@_inlined
def _before(a: Any, b: Any) -> bool:
    return a.at < b.at or (a.at == b.at and a.order < b.order)


@_jit
def push(
    w: Any, at: int, what: int, request: int, attempt: int, tick: int, judge: int, leaf: int, target: int, probing: int,
    k: int, n: int,
) -> None:  # fmt: skip
    """Enter an event; at one instant they go by kind, then request, then attempt."""
    heap = w.heap
    i = w.size[0]
    w.size[0] += 1
    minor = 0 if what != FEEDBACK or leaf == TOOLS else 1 if n > 0 else 2
    order = np.int64(_CLASS[what]) << 58 | np.int64(request) << 25 | np.int64(attempt) << 7 | what << 2 | minor
    while i > 0:
        up = (i - 1) >> 1
        if heap[up].at < at or (heap[up].at == at and heap[up].order <= order):
            break
        heap[i] = heap[up]
        i = up
    e = heap[i]
    e.at, e.order, e.what, e.request, e.tick, e.judge = at, order, what, request, tick, judge
    e.leaf, e.target, e.probing, e.k, e.n = leaf, target, probing, k, n


@_jit
def pop(w: Any) -> None:
    """Remove the first event."""
    heap = w.heap
    w.size[0] -= 1
    size = w.size[0]
    last = heap[size]
    i = 0
    while 2 * i + 1 < size:
        down = 2 * i + 1
        if down + 1 < size and _before(heap[down + 1], heap[down]):
            down += 1
        if not _before(heap[down], last):
            break
        heap[i] = heap[down]
        i = down
    heap[i] = last


@_inlined
def _is_stale(w: Any, e: Any) -> bool:
    """Return whether an event no longer means anything: a timer of what is over."""
    if e.what in (COOLED, TESTED):
        b = w.judges[e.judge]
        return b.epoch != e.tick or b.state != (OPEN if e.what == COOLED else HALF_OPEN)
    if e.what == HELD:
        return w.requests[e.request].held & 1 == 0
    return e.what == LATE and w.requests[e.request].held & 5 == 0


@_jit
def drop_stale(w: Any) -> None:
    """Remove first events that no longer mean anything."""
    while w.size[0] > 0 and _is_stale(w, w.heap[0]):
        pop(w)


@_jit
def is_timer_only(w: Any) -> bool:
    """Return whether nothing is still to come but breakers' own timers: two that are swept would go on for ever."""
    for i in range(w.size[0]):
        e = w.heap[i]
        if e.what not in (COOLED, TESTED) and not _is_stale(w, e):
            return False
    return True
