"""Ways: which entries of its route's chain a request may take, and in what order, compiled (POLICY.md S4, S22)."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.engine.breakers import may_enter
from incident_kit.engine.machinery import QUEUE

_jit = nb.njit(cache=True, nogil=True)
_inlined = nb.njit(inline="always")


@_inlined
def entry_at(w: Any, request: int, place: int) -> int:
    """Return the entry at a place of a request's own order (S22)."""
    if place < w.orders.shape[1] and place < w.routes[w.requests[request].route].primaries:
        return np.int64(w.orders[request, place])
    return place


@_jit
def place_of(w: Any, request: int, entry: int) -> int:
    """Return where an entry stands in a request's own order."""
    r = w.routes[w.requests[request].route]
    for place in range(min(r.primaries, w.orders.shape[1])):
        if w.orders[request, place] == entry:
            return place
    return entry


@_jit
def take(w: Any, request: int, place: int, entry: int, permit: int) -> None:
    """Put a request on an entry; with permit 2 it is a probe there."""
    d = w.requests[request]
    d.place, d.entry, d.number = place, entry, 0
    d.judge = w.judge_of[d.route, entry, d.intent + 1]
    d.probing = 1 if permit == 2 else 0


@_jit
def is_open_to(w: Any, request: int, entry: int, failure: int) -> bool:
    """Return whether a request may take an entry at all: only_for a failure of its kind, and no queue twice (S4)."""
    d = w.requests[request]
    if w.entries[d.route, entry].conditional == 1 and (failure < 0 or w.only_for[d.route, entry, failure] == 0):
        return False
    return w.entries[d.route, entry].kind != QUEUE or d.held & 2 == 0


@_jit
def goes_on(w: Any, request: int, failure: int) -> bool:
    """Return whether anything is left for a request whose attempt failed (S8)."""
    d = w.requests[request]
    if w.flags[d.route, failure] & 2 == 0:
        return False
    for place in range(d.place + 1, w.routes[d.route].entries):
        if is_open_to(w, request, entry_at(w, request, place), failure):
            return True
    return False


@_jit
def choose(w: Any, request: int, start: int, failure: int, at: int, tick: int) -> bool:
    """Take the first available entry from a place on (S4); false where nothing is left."""
    d = w.requests[request]
    r = w.routes[d.route]
    for place in range(start, r.entries):
        entry = entry_at(w, request, place)
        if not is_open_to(w, request, entry, failure):
            continue
        j = w.judge_of[d.route, entry, d.intent + 1]
        permit = 1 if j < 0 else may_enter(w, j, request, at, tick)
        if permit > 0 or place == r.entries - 1:
            take(w, request, place, entry, permit)
            return True
    return False
