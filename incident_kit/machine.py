"""The machine: a whole policy over a whole log, one event after the other, compiled (POLICY.md sections 2 and 3).

It knows every part of the language; :mod:`incident_kit.kernel` is faster on plain routes, whose breakers see nothing but
their own attempts. Its judge is the plain interpreter in ``tests/reference.py``. :mod:`incident_kit.world` fills the arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from incident_kit import judges
from incident_kit.judges import (
    ALERT, CONSECUTIVE, COST, ERROR, FALLBACK, LATENCY, MEAN, OVERRIDE, REQUESTS, TIMEOUT, TOO_MANY, TOOLS, TRUE, TTFT,
    enter, expire, leaves_in_use, observes, shown, value, verdict,
)  # fmt: skip
from incident_kit.kernel import BY_CONDITION, BY_COOLDOWN, BY_PROBES, CALL, CLOSED, HALF_OPEN, NO_OUTCOME, OPEN

BY_TIME = np.int64(3)  # the test took too long
BY_CHAIN, BY_HAND, BY_CONVERSATION = range(3)  # why the first entry was taken
MODEL, TEMPLATE, QUEUE, HUMAN, REJECT = range(5)  # kinds of a chain's entries

# the order of events at one instant (S3)
(_ROW, _FEEDBACK, _OVERDUE, _CROSSING, _TOKEN, _DONE, _COOLED, _TESTED, _SWEEP, _RELEASE, _RETRY, _HOP, _HELD, _LATE,
 _FACT, _ARRIVAL) = range(16)  # fmt: skip
_CLASS = np.array([0, 1, 2, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
_NEVER = np.iinfo(np.int64).max

ROUTE = np.dtype(
    [
        ("cell", "i8"),  # of its first outcome
        ("columns", "i8"),  # requests
        ("numbers", "i8"),  # attempts on one entry
        ("entries", "i8"),
        ("primaries", "i8"),
        ("retries", "i8"),
        ("timeout_ms", "i8"),
        ("ttft_timeout_ms", "i8"),
        ("backoff_us", "i8"),
        ("deadline_us", "i8"),
        ("sticky", "i8"),
        ("toolless", "i8"),  # fallbacks answer without tools
        ("queues", "i8"),  # some entry holds requests
        ("first_switch", "i8"),
        ("switches", "i8"),
        # from here on, what changes while the machine runs
        ("waiting_first", "i8"),
        ("waiting_last", "i8"),
    ],
    align=True,
)
ENTRY = np.dtype([("kind", "i8"), ("target", "i8"), ("hold_us", "i8"), ("conditional", "i8")], align=True)
SWITCH = np.dtype([("start", "i8"), ("end", "i8"), ("entry", "i8")], align=True)
ROW = np.dtype(  # rows of one instant and item are one event
    [("at", "i8"), ("leaf", "i8"), ("k", "i8"), ("n", "i8"), ("key", "i8"), ("item", "i8"), ("value", "i8")], align=True
)
FACT = np.dtype(  # of a logged call, beside its latency and error
    [
        ("sent_us", "i8"),
        ("ttft_ms", "i8"),  # -1: not streamed, or not known
        ("tool_calls", "i8"),  # 0: none, or not known how they ended
        ("tools_ok", "i8"),
        ("tools_after_us", "i8"),  # after the end; -1: known at the end
        ("overridden", "i8"),  # -1: never reviewed
        ("review_after_us", "i8"),
        ("cost_nano", "i8"),  # -1: not known
    ],
    align=True,
)
REQUEST = np.dtype(
    [
        ("arrived", "i8"),
        ("route", "i8"),
        ("intent", "i8"),
        ("column", "i8"),  # among its route's requests
        ("conversation", "i8"),  # its number on its route; -1: none
        ("offers_tools", "i8"),
        ("logged_calls", "i8"),
        ("fact", "i8"),  # 1: a logged call of an unrouted request, which only breakers of scope target see
        ("draw", "f8"),
        # what comes of it
        ("wait_us", "i8"),  # until it ended; -1 without an outcome
        ("error", "i8"),  # -1: no outcome
        ("first", "i8"),
        ("called", "i8"),  # the first entry that called a model or ended it; -1: it waited, and its deadline passed
        ("entry", "i8"),
        ("number", "i8"),
        ("attempts", "i8"),
        ("cell", "i8"),  # of the outcome of the last attempt; -1: it ended without one
        ("k", "i8"),
        ("n", "i8"),
        ("state", "i8"),
        ("exact", "i8"),
        ("probe", "i8"),
        ("estimated", "i8"),
        ("cut", "i8"),
        ("reason", "i8"),  # of the first entry: BY_CHAIN, BY_HAND, BY_CONVERSATION
        ("no_model", "i8"),  # it ended without one
        # while it is under way
        ("place", "i8"),  # of the entry in this request's own order
        ("tick", "i8"),  # the number of the event that sent its attempt
        ("judge", "i8"),
        ("probing", "i8"),  # 1: holds a permit, 2: it is overdue
        ("sent", "i8"),
        ("done", "i8"),
        ("latency_ms", "i8"),
        ("failure", "i8"),
        ("ttft_ms", "i8"),
        ("begun", "i8"),  # its first token has been seen
        ("final", "i8"),  # the deadline cut it
        ("held", "i8"),  # bits: 1 waits in a queue, 2 has waited there, 4 waits for its deadline
        ("decided", "i8"),  # the number of the event of its arrival
        ("crossed", "i8"),  # the longest limit that the attempt in flight has passed, in milliseconds
        ("cost", "i8"),  # -1: some attempt's is not known
        ("before", "i8"),
        ("after", "i8"),  # neighbours in the queue
    ],
    align=True,
)
EVENT = np.dtype(
    [
        ("at", "i8"),
        ("order", "i8"),
        ("what", "i4"),
        ("request", "i4"),
        ("tick", "i8"),
        ("judge", "i4"),
        ("leaf", "i4"),
        ("target", "i4"),
        ("probing", "i4"),
        ("k", "i8"),
        ("n", "i8"),
    ],
    align=True,
)
ALERT_CHANGE = np.dtype(
    [("at", "i8"), ("alert", "i8"), ("firing", "i8"), ("leaf", "i8"), ("value", "f8"), ("n", "f8"), ("exact", "i8")],
    align=True,
)
CHANGE = np.dtype(
    [
        ("route", "i8"), ("entry", "i8"), ("intent", "i8"), ("at", "i8"), ("was", "i8"), ("now", "i8"), ("why", "i8"),
        ("condition", "i8"), ("value", "f8"), ("n", "f8"), ("exact", "i8"),
    ],
    align=True,
)  # fmt: skip


class World(NamedTuple):
    """Everything that the machine reads and writes; :func:`incident_kit.world.build` makes it.

    Positions are of the arrays named here. ``outcomes`` and ``donors`` are flat: the cell of an outcome is
    ``route.cell + (entry * route.numbers + number) * route.columns + column``.
    """

    judges: NDArray[Any]  # breakers first, by (route, entry, intent); then alerts
    leaves: NDArray[Any]
    judge_of_leaf: NDArray[np.int64]
    slots_of_leaf: NDArray[np.int64]
    steps: NDArray[Any]
    slots: NDArray[Any]
    rests: NDArray[np.int64]  # cooldowns in microseconds
    touched: NDArray[np.int32]  # [slot that counts distinct keys, key]
    failures: NDArray[np.int8]  # [judge, error class]: counts as failed
    breakers: int
    routes: NDArray[Any]
    entries: NDArray[Any]  # [route, entry]
    judge_of: NDArray[np.int32]  # [route, entry, intent + 1], -1: not guarded
    listeners: NDArray[np.int32]  # [target, i]: breakers of scope target, -1 ends
    only_for: NDArray[np.int8]  # [route, entry, error class]
    flags: NDArray[np.int8]  # [route, error class]: bit 1 retried, bit 2 falls back
    switches: NDArray[Any]
    alerts_of: NDArray[np.int32]  # [intent + 1, i]: judges, -1 ends
    requests: NDArray[Any]
    orders: NDArray[np.int8]  # [request, place of a primary]: its entry
    outcomes: NDArray[Any]
    donors: NDArray[np.int32]
    facts: NDArray[Any]  # [call]
    rows: NDArray[Any]  # exogenous, in order
    routed: int  # requests; those after them are calls of unrouted ones
    stuck: NDArray[np.int8]  # [conversation of a route, (entry or -1, 1 if exact)]
    latest: NDArray[np.int64]  # [route, intent + 1]: the request that arrived last
    timeout_class: int
    too_many_class: int
    rejected_class: int
    feedback_lag_us: int  # -1: reviews are logged; else only overrides are
    by_time: int  # 1: the outcomes of other requests are facts too (a scenario's own world)
    # room, given anew and larger when it runs out
    pool: NDArray[Any]
    free: NDArray[np.int64]  # the first free node, and how many
    heap: NDArray[Any]
    size: NDArray[np.int64]  # events in the heap, changes, alert changes, todo, waiting requests
    todo: NDArray[np.int64]  # breakers to be evaluated
    changes: NDArray[Any]
    alert_changes: NDArray[Any]


_jit = nb.njit(cache=True, nogil=True)
_inlined = nb.njit(inline="always")


@_inlined
def _before(a: Any, b: Any) -> bool:
    return a.at < b.at or (a.at == b.at and a.order < b.order)


@_jit
def _push(
    w: Any, at: int, what: int, request: int, attempt: int, tick: int, judge: int, leaf: int, target: int, probing: int,
    k: int, n: int,
) -> None:  # fmt: skip
    heap = w.heap
    i = w.size[0]
    w.size[0] += 1
    minor = 0 if what != _FEEDBACK or leaf == TOOLS else 1 if n > 0 else 2
    order = np.int64(_CLASS[what]) << 58 | np.int64(request) << 24 | np.int64(attempt) << 6 | what << 2 | minor
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
def _pop(w: Any) -> None:
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


@_jit
def _change(w: Any, j: int, at: int, tick: int, state: int, why: int) -> None:
    """Move a breaker to another state: record it, clear its windows, begin a new epoch (S14, S15)."""
    b = w.judges[j]
    testing = why == BY_PROBES or why == BY_TIME
    first = b.recover if testing else b.trip
    leaf = first
    if state == OPEN:
        leaf = shown(w, j, testing, TRUE if why == BY_CONDITION or b.own == 0 else 1 - TRUE)
    row = w.changes[w.size[1]]
    w.size[1] += 1
    row.route, row.entry, row.intent, row.at = b.route, b.entry, b.intent, at
    row.was, row.now, row.why, row.condition, row.exact = b.state, state, why, leaf - first, _is_exact(w, j)
    row.value, row.n = np.nan, 0.0
    if why != BY_COOLDOWN:
        row.value, row.n = value(w, leaf)
    b.reopened = 0 if state == CLOSED or b.state == CLOSED else b.reopened + (state == OPEN)
    b.state = state
    b.epoch = tick
    judges.clear(w, j)
    b.granted = b.pending = b.seen = 0
    b.true_since = -1
    b.half_until = _NEVER
    if state == OPEN:
        b.open_until = at + w.rests[b.rest + min(b.reopened, b.rests - 1)]
        if b.probes == 0 or w.routes[b.route].queues == 1:
            _push(w, b.open_until, _COOLED, j, 0, tick, j, 0, 0, 0, 0, 0)
    elif state == HALF_OPEN:
        if b.max_duration_us > 0:
            b.half_until = at + b.max_duration_us
            _push(w, b.half_until, _TESTED, j, 0, tick, j, 0, 0, 0, 0, 0)
    elif w.routes[b.route].waiting_first >= 0 and b.entry < w.routes[b.route].primaries:
        _push(w, at, _RELEASE, w.routes[b.route].waiting_first, 0, tick, j, 0, 0, 0, 0, 0)


@_inlined
def _is_exact(w: Any, j: int) -> int:
    """Return whether all that a breaker has seen was observed, through its alerts too."""
    b = w.judges[j]
    exact = b.exact
    if b.uses & (1 << ALERT):
        for leaf in range(b.trip, b.trip + b.trips):
            if w.leaves[leaf].kind == ALERT:
                exact &= w.judges[w.leaves[leaf].alert].exact
    return exact


@_jit
def _evaluate(w: Any, j: int, at: int, tick: int) -> None:
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
        _change(w, j, at, tick, OPEN, BY_CONDITION)


@_jit
def _evaluate_all(w: Any, at: int, tick: int) -> None:
    """Evaluate, in order, the breakers that look at each observation and have seen one in this event."""
    count = w.size[3]
    if count > 1:
        w.todo[:count].sort()
    for i in range(count):
        j = w.todo[i]
        w.judges[j].fresh = 0
        if w.judges[j].every_us == 0:
            _evaluate(w, j, at, tick)
    w.size[3] = 0


@_jit
def _judge_test(w: Any, j: int, at: int, tick: int, why: int) -> None:
    b = w.judges[j]
    met = verdict(w, j, at, True)
    passed = b.seen > 0 and met == (TRUE if b.own == 1 else 1 - TRUE)
    _change(w, j, at, tick, CLOSED if passed else OPEN, why)


@_jit
def _end_probe(w: Any, j: int, at: int, tick: int) -> None:
    """Count one probing request as in; when all are, judge them (S16)."""
    b = w.judges[j]
    b.pending -= 1
    if b.granted >= b.probes and b.pending == 0:
        _judge_test(w, j, at, tick, BY_PROBES)


@_jit
def _may_enter(w: Any, j: int, d: Any, at: int, tick: int) -> int:
    """Return 0 where a breaker lets a request not pass, 1 where it is closed, 2 with a permit, which is then taken."""
    b = w.judges[j]
    if b.state == OPEN and at >= b.open_until and b.probes > 0:
        _change(w, j, at, tick, HALF_OPEN, BY_COOLDOWN)
    if b.state == CLOSED:
        return 1
    if b.state == HALF_OPEN and b.granted < b.probes and (b.share >= 1 or d.draw < b.share):
        b.granted += 1
        b.pending += 1
        return 2
    return 0


@_inlined
def _entry_at(w: Any, request: int, place: int) -> int:
    """Return the entry at a place of a request's own order (S22)."""
    if place < w.orders.shape[1] and place < w.routes[w.requests[request].route].primaries:
        return np.int64(w.orders[request, place])
    return place


@_jit
def _take(w: Any, request: int, place: int, entry: int, permit: int) -> None:
    d = w.requests[request]
    d.place, d.entry, d.number = place, entry, 0
    d.judge = w.judge_of[d.route, entry, d.intent + 1]
    d.probing = 1 if permit == 2 else 0


@_jit
def _choose(w: Any, request: int, start: int, failure: int, at: int, tick: int) -> bool:
    """Take the first available entry from a place on (S4); false where nothing is left."""
    d = w.requests[request]
    r = w.routes[d.route]
    for place in range(start, r.entries):
        entry = _entry_at(w, request, place)
        kind = w.entries[d.route, entry].kind
        if w.entries[d.route, entry].conditional == 1 and (failure < 0 or w.only_for[d.route, entry, failure] == 0):
            continue
        if kind == QUEUE and d.held & 2:
            continue
        j = w.judge_of[d.route, entry, d.intent + 1]
        permit = 1 if j < 0 else _may_enter(w, j, d, at, tick)
        if permit > 0 or place == r.entries - 1:
            _take(w, request, place, entry, permit)
            return True
    return False


@_jit
def _outcome(w: Any, request: int, at: int) -> tuple[int, int]:
    """Return the cell of an attempt's outcome, and whether it is estimated; after a hold that of its time (S7)."""
    d = w.requests[request]
    r = w.routes[d.route]
    if d.fact == 1:
        return r.cell + d.column, np.int64(0)
    row = r.cell + (d.entry * r.numbers + d.number) * r.columns
    own = row + d.column
    estimated = np.int64(w.outcomes[own].estimated)
    if d.held & 2:
        other = w.latest[d.route, d.intent + 1]
        is_own = (
            w.outcomes[own].kind != NO_OUTCOME
            and estimated == 0
            and w.donors[own] >= 0
            and abs(w.facts[w.donors[own]].sent_us - at) <= abs(w.requests[other].arrived - at)
        )
        if not is_own and other != request:
            return row + w.requests[other].column, 0 if w.by_time == 1 else 1
    return own, estimated


@_jit
def _send(w: Any, request: int, at: int, tick: int) -> None:
    """Begin an attempt on the entry taken, or end the request there without one."""
    d = w.requests[request]
    r = w.routes[d.route]
    kind = w.entries[d.route, d.entry].kind
    if kind == QUEUE:
        _hold(w, request, at, tick)
        return
    if d.called < 0:
        d.called = d.entry
    if kind != MODEL:
        d.cell, d.no_model = -1, 1
        if d.logged_calls > 0:
            _doubt_alerts(w, d.intent)
        _finish(w, request, at, w.rejected_class if kind == REJECT else 0, tick)
        return
    d.attempts += 1
    cell, estimated = _outcome(w, request, at)
    d.cell, d.tick, d.sent = cell, tick, at
    outcome = w.outcomes[cell]
    target = w.entries[d.route, d.entry].target
    if r.sticky == 1 and d.conversation >= 0 and w.entries[d.route, d.entry].conditional == 0:
        w.stuck[d.conversation, 0] = d.entry
        w.stuck[d.conversation, 1] &= d.exact & (1 - estimated)
    if estimated == 1:
        d.estimated = 1
        if d.judge >= 0 and observes(w, d.judge, tick, d.judge if d.probing == 1 else -1):
            w.judges[d.judge].exact = 0
        for i in range(w.listeners.shape[1]):
            j = w.listeners[target, i]
            if j < 0:
                break
            if j != d.judge and observes(w, j, tick, -1):
                w.judges[j].exact = 0
        _doubt_alerts(w, d.intent)
    if outcome.kind == NO_OUTCOME:
        d.error = d.wait_us = -1
        if d.probing == 1:
            _end_probe(w, d.judge, at, tick)
        return
    latency_us, error, fact = np.int64(outcome.latency_ms) * 1000, np.int64(outcome.error), w.donors[cell]
    d.ttft_ms = w.facts[fact].ttft_ms if fact >= 0 else -1
    d.final = 0
    if outcome.kind == CALL:
        cut_ms = r.timeout_ms if 0 < r.timeout_ms < outcome.latency_ms else 0
        if (
            0 < r.ttft_timeout_ms < d.ttft_ms
            and r.ttft_timeout_ms * 1000 < latency_us
            and (cut_ms == 0 or r.ttft_timeout_ms < cut_ms)
        ):
            cut_ms = r.ttft_timeout_ms
        if cut_ms > 0:
            if outcome.error != w.timeout_class or outcome.latency_ms * 20 > cut_ms * 21:
                d.cut = 1
            latency_us, error = cut_ms * 1000, np.int64(w.timeout_class)
        if r.deadline_us > 0 and at + latency_us > d.arrived + r.deadline_us:
            latency_us, error, d.final = max(d.arrived + r.deadline_us - at, 0), np.int64(w.timeout_class), 1
            if outcome.error != w.timeout_class or np.int64(outcome.latency_ms) * 20000 > latency_us * 21:
                d.cut = 1
    d.latency_ms, d.failure, d.done, d.crossed = latency_us // 1000, error, at + latency_us, -1
    d.begun = 0
    if d.cost >= 0:
        cost = w.facts[fact].cost_nano if fact >= 0 else -1
        d.cost = d.cost + cost if cost >= 0 else -1
    if outcome.kind == CALL:
        _announce(w, request, d.judge, target, tick)
        for i in range(w.listeners.shape[1]):
            j = w.listeners[target, i]
            if j < 0:
                break
            if j != d.judge:
                _announce(w, request, j, target, tick)
    if d.probing == 1 and r.timeout_ms == 0 and latency_us > w.judges[d.judge].max_wait_us:
        _push(w, at + w.judges[d.judge].max_wait_us, _OVERDUE, request, d.attempts, tick, d.judge, 0, target, 1, 0, 0)
    _push(w, d.done, _DONE, request, d.attempts, tick, d.judge, 0, target, d.probing, 0, 0)


@_jit
def _announce(w: Any, request: int, j: int, target: int, tick: int) -> None:
    """Plan what a judge will see of an attempt before its end: its first token, and its age passing a limit (S18)."""
    d = w.requests[request]
    if j < 0 or not observes(w, j, tick, d.judge if d.probing == 1 else -1):
        return
    first, end = leaves_in_use(w, j)
    for leaf in range(first, end):
        c = w.leaves[leaf]
        if c.kind == LATENCY and c.elapsed == 1 and d.latency_ms >= c.limit:
            _push(w, d.sent + c.limit * 1000, _CROSSING, request, d.attempts, tick, j, 0, target, 0, c.limit, 0)
        elif c.kind == TTFT and d.ttft_ms >= 0:
            at = min(d.sent + d.ttft_ms * 1000, d.done)
            _push(w, at, _TOKEN, request, d.attempts, tick, j, 0, target, 0, 0, 0)


@_jit
def _doubt_alerts(w: Any, intent: int) -> None:
    """Note that an alert will see what was not observed."""
    for i in range(w.alerts_of.shape[1]):
        j = w.alerts_of[intent + 1, i]
        if j < 0:
            break
        w.judges[j].exact = 0


@_jit
def _observe(w: Any, request: int, j: int, what: int, at: int, limit: int) -> None:
    """Enter into one breaker what an event says of an attempt."""
    d = w.requests[request]
    if j < 0 or not observes(w, j, d.tick, d.judge if d.probing == 1 else -1):
        return
    first, end = leaves_in_use(w, j)
    failed = np.int64(w.failures[j, d.failure])
    fact = w.donors[d.cell]
    for leaf in range(first, end):
        c = w.leaves[leaf]
        if what == _CROSSING:
            if c.kind == LATENCY and c.elapsed == 1 and c.limit == limit:
                enter(w, leaf, at, 1, 1, -1, limit)
        elif what == _TOKEN:
            if c.kind == TTFT:
                ttft_ms = (at - d.sent) // 1000
                enter(w, leaf, at, 1 if ttft_ms >= c.limit else 0, 1, -1, ttft_ms)
        elif what == _OVERDUE:
            waited = (at - d.sent) // 1000
            if c.kind == LATENCY:
                if c.elapsed == 0 or waited < c.limit:
                    enter(w, leaf, at, 1, 1, -1, waited)
            elif c.kind == MEAN:
                enter(w, leaf, at, waited, 1, -1, waited)
            elif c.kind in (ERROR, TIMEOUT, TOO_MANY, CONSECUTIVE):
                enter(w, leaf, at, 0 if c.kind == TOO_MANY else 1, 1, -1, 0)
        elif c.kind == LATENCY:
            if c.elapsed == 0 or d.latency_ms < c.limit:
                enter(w, leaf, at, 1 if d.latency_ms >= c.limit else 0, 1, -1, d.latency_ms)
        elif c.kind == MEAN:
            enter(w, leaf, at, d.latency_ms, 1, -1, d.latency_ms)
        elif c.kind in (ERROR, CONSECUTIVE):
            enter(w, leaf, at, failed, 1, -1, 0)
        elif c.kind == TIMEOUT:
            enter(w, leaf, at, 1 if d.failure == w.timeout_class else 0, 1, -1, 0)
        elif c.kind == TOO_MANY:
            enter(w, leaf, at, 1 if d.failure == w.too_many_class else 0, 1, -1, 0)
        elif c.kind == TOOLS and fact >= 0 and w.facts[fact].tools_after_us < 0 and _has_tools(w, request):
            enter(w, leaf, at, w.facts[fact].tools_ok, w.facts[fact].tool_calls, -1, 0)


@_inlined
def _has_tools(w: Any, request: int) -> bool:
    """Return whether the attempt called tools that this policy leaves it, and how that went is known."""
    d = w.requests[request]
    r = w.routes[d.route]
    return w.facts[w.donors[d.cell]].tool_calls > 0 and (r.toolless == 0 or d.entry < r.primaries)


@_jit
def _observe_everywhere(w: Any, request: int, what: int, at: int, limit: int) -> None:
    """Enter what an event says of an attempt into its own breaker and into those that listen to its target."""
    d = w.requests[request]
    _observe(w, request, d.judge, what, at, limit)
    target = w.entries[d.route, d.entry].target
    for i in range(w.listeners.shape[1]):
        j = w.listeners[target, i]
        if j < 0:
            break
        if j != d.judge:
            _observe(w, request, j, what, at, limit)


@_jit
def _feed(w: Any, e: Any, request: int, j: int, probing: int) -> None:
    """Enter late feedback on an attempt into one judge."""
    if j < 0 or not observes(w, j, e.tick, probing):
        return
    first, end = leaves_in_use(w, j)
    for leaf in range(first, end):
        if w.leaves[leaf].kind == e.leaf:
            enter(w, leaf, e.at, e.k, e.n, -1, 0)


@_jit
def _feed_everywhere(w: Any, e: Any, request: int) -> None:
    """Enter late feedback into the attempt's own breaker, those that listen to its target, and the alerts on its intent."""
    d = w.requests[request]
    probing = np.int64(e.judge) if e.probing & 1 else -1
    _feed(w, e, request, e.judge, probing)
    for i in range(w.listeners.shape[1]):
        j = w.listeners[e.target, i]
        if j < 0:
            break
        if j != e.judge:
            _feed(w, e, request, j, -1)
    if e.probing & 2:
        for i in range(w.alerts_of.shape[1]):
            j = w.alerts_of[d.intent + 1, i]
            if j < 0:
                break
            _feed(w, e, request, j, -1)


@_jit
def _plan_feedback(w: Any, request: int, at: int, ended_well: bool) -> None:
    """Plan when tool results and reviews of an attempt become known."""
    d = w.requests[request]
    fact = w.donors[d.cell]
    if fact < 0:
        return
    f = w.facts[fact]
    target = w.entries[d.route, d.entry].target
    judge = d.judge
    flags = (1 if d.probing == 1 else 0) | (2 if ended_well and d.fact == 0 else 0)
    if f.tools_after_us >= 0 and _has_tools(w, request):
        _push(
            w, at + f.tools_after_us, _FEEDBACK, request, d.attempts, d.tick, judge, TOOLS, target, flags, f.tools_ok,
            f.tool_calls,
        )  # fmt: skip
    if not ended_well:
        return
    if w.feedback_lag_us < 0:
        if f.overridden >= 0:
            _push(
                w, at + f.review_after_us, _FEEDBACK, request, d.attempts, d.tick, judge, OVERRIDE, target, flags,
                f.overridden, 1,
            )  # fmt: skip
        return
    _push(w, at + w.feedback_lag_us, _FEEDBACK, request, d.attempts, d.tick, judge, OVERRIDE, target, flags, 0, 1)
    if f.overridden == 1:
        _push(w, at + f.review_after_us, _FEEDBACK, request, d.attempts, d.tick, judge, OVERRIDE, target, flags, 1, 0)


@_jit
def _finish(w: Any, request: int, at: int, error: int, tick: int) -> None:
    """End a request, and enter it into what counts requests: breakers of its route, alerts on its intent."""
    d = w.requests[request]
    d.error, d.wait_us = error, at - d.arrived
    if d.fact == 1:
        return
    r = w.routes[d.route]
    fell_back = 1 if d.no_model == 1 or d.entry >= r.primaries else 0
    probing = d.judge if d.probing == 1 else -1
    for entry in range(r.entries):
        j = w.judge_of[d.route, entry, d.intent + 1]
        if j >= 0 and w.judges[j].uses & (1 << FALLBACK | 1 << COST) and observes(w, j, d.decided, probing):
            first, end = leaves_in_use(w, j)
            for leaf in range(first, end):
                if w.leaves[leaf].kind == FALLBACK:
                    enter(w, leaf, at, fell_back, 1, -1, 0)
                elif w.leaves[leaf].kind == COST and d.cost >= 0:
                    enter(w, leaf, at, d.cost, 1, -1, 0)
    wait_ms = d.wait_us // 1000
    for i in range(w.alerts_of.shape[1]):
        j = w.alerts_of[d.intent + 1, i]
        if j < 0:
            break
        _finish_in_alert(w, request, j, at, wait_ms, fell_back)


@_jit
def _finish_in_alert(w: Any, request: int, j: int, at: int, wait_ms: int, fell_back: int) -> None:
    d = w.requests[request]
    failed = 1 if d.no_model == 1 and d.error > 0 else np.int64(w.failures[j, d.error])
    first, end = leaves_in_use(w, j)
    for leaf in range(first, end):
        c = w.leaves[leaf]
        if c.kind in (ERROR, CONSECUTIVE):
            enter(w, leaf, at, failed, 1, -1, 0)
        elif c.kind == TIMEOUT:
            enter(w, leaf, at, 1 if d.error == w.timeout_class else 0, 1, -1, 0)
        elif c.kind == TOO_MANY:
            enter(w, leaf, at, 1 if d.error == w.too_many_class else 0, 1, -1, 0)
        elif c.kind == FALLBACK:
            enter(w, leaf, at, fell_back, 1, -1, 0)
        elif c.kind == COST:
            if d.cost >= 0:
                enter(w, leaf, at, d.cost, 1, -1, 0)
        elif d.no_model == 1:
            continue
        elif c.kind == LATENCY:
            enter(w, leaf, at, 1 if wait_ms >= c.limit else 0, 1, -1, wait_ms)
        elif c.kind == MEAN:
            enter(w, leaf, at, wait_ms, 1, -1, wait_ms)
        elif c.kind == TTFT and d.error == 0 and d.ttft_ms >= 0:
            ttft_ms = (d.sent - d.arrived) // 1000 + d.ttft_ms
            enter(w, leaf, at, 1 if ttft_ms >= c.limit else 0, 1, -1, ttft_ms)
        elif c.kind == TOOLS and d.error == 0 and w.outcomes[d.cell].kind == CALL:
            fact = w.donors[d.cell]
            if fact >= 0 and w.facts[fact].tools_after_us < 0 and _has_tools(w, request):
                enter(w, leaf, at, w.facts[fact].tools_ok, w.facts[fact].tool_calls, -1, 0)


@_jit
def _arrive(w: Any, request: int, at: int, tick: int) -> None:
    """Decide where a request goes first, and send it there (S4, S21, S22)."""
    d = w.requests[request]
    r = w.routes[d.route]
    d.decided = tick
    if d.fact == 1:
        d.place = d.entry = d.first
        d.judge = -1
        _send(w, request, at, tick)
        return
    w.latest[d.route, d.intent + 1] = request
    taken = False
    exact = np.int64(1)
    for s in range(r.first_switch, r.first_switch + r.switches):
        if not taken and w.switches[s].start <= at < w.switches[s].end:
            _take(w, request, _place_of(w, request, w.switches[s].entry), w.switches[s].entry, 1)
            d.reason, taken = BY_HAND, True
    if not taken and r.sticky == 1 and d.conversation >= 0:
        exact = np.int64(w.stuck[d.conversation, 1])
        entry = np.int64(w.stuck[d.conversation, 0])
        if entry >= 0:
            j = w.judge_of[d.route, entry, d.intent + 1]
            permit = 1 if j < 0 else _may_enter(w, j, d, at, tick)
            if j >= 0:
                exact &= _is_exact(w, j)
            if permit > 0:
                _take(w, request, _place_of(w, request, entry), entry, permit)
                d.reason, taken = BY_CONVERSATION, True
    if not taken:
        _choose(w, request, 0, -1, at, tick)
        for place in range(d.place + 1):
            j = w.judge_of[d.route, _entry_at(w, request, place), d.intent + 1]
            if j >= 0:
                exact &= _is_exact(w, j)
    d.first, d.exact, d.probe = d.entry, exact, d.probing
    j = w.judge_of[d.route, _entry_at(w, request, 0), d.intent + 1]
    if j >= 0:
        d.state = w.judges[j].state
        leaf, _ = leaves_in_use(w, j)
        if w.leaves[leaf].kind != ALERT:
            slot = w.leaves[leaf].slot
            expire(w, slot, at)
            d.k, d.n = judges.counts(w, leaf, slot)
            d.n = w.slots[slot].n
    for entry in range(r.entries):
        j = w.judge_of[d.route, entry, d.intent + 1]
        if j >= 0 and w.judges[j].uses & (1 << REQUESTS) and observes(w, j, tick, d.judge if d.probing == 1 else -1):
            first, end = leaves_in_use(w, j)
            for leaf in range(first, end):
                if w.leaves[leaf].kind == REQUESTS:
                    enter(w, leaf, at, 1, 1, -1, 0)
    for i in range(w.alerts_of.shape[1]):
        j = w.alerts_of[d.intent + 1, i]
        if j < 0:
            break
        for leaf in range(w.judges[j].trip, w.judges[j].trip + w.judges[j].trips):
            if w.leaves[leaf].kind == REQUESTS:
                enter(w, leaf, at, 1, 1, -1, 0)
    _send(w, request, at, tick)


@_jit
def _place_of(w: Any, request: int, entry: int) -> int:
    r = w.routes[w.requests[request].route]
    for place in range(min(r.primaries, w.orders.shape[1])):
        if w.orders[request, place] == entry:
            return place
    return entry


@_jit
def _hold(w: Any, request: int, at: int, tick: int) -> None:
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
        _push(w, max(d.arrived + r.deadline_us, at), _LATE, request, d.attempts, tick, -1, 0, 0, 0, 0, 0)
    else:
        _push(w, until, _HELD, request, d.attempts, tick, -1, 0, 0, 0, 0, 0)


@_jit
def _let_go(w: Any, request: int) -> None:
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
def _release(w: Any, route: int, at: int, tick: int) -> None:
    """Send on every waiting request that a primary lets in, first in, first out; the others wait on (S7)."""
    r = w.routes[route]
    request = r.waiting_first
    while request >= 0:
        d = w.requests[request]
        following = d.after
        for place in range(r.primaries):
            entry = _entry_at(w, request, place)
            j = w.judge_of[route, entry, d.intent + 1]
            permit = 1 if j < 0 else _may_enter(w, j, d, at, tick)
            if permit > 0:
                _let_go(w, request)
                _take(w, request, place, entry, permit)
                _send(w, request, at, tick)
                break
        request = following


@_jit
def _waits_for(w: Any, j: int) -> bool:
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
def _end_hold(w: Any, request: int, at: int, tick: int) -> None:
    """Send a request that has waited long enough down its chain, or to its primary where nothing is left."""
    d = w.requests[request]
    _let_go(w, request)
    if not _choose(w, request, d.place + 1, -1, at, tick):
        _take(w, request, 0, _entry_at(w, request, 0), 1)
    _send(w, request, at, tick)


@_jit
def _end_attempt(w: Any, request: int, at: int, tick: int) -> None:
    """End an attempt: what breakers see, and what follows for the request (S8, S10)."""
    d = w.requests[request]
    r = w.routes[d.route]
    is_call = w.outcomes[d.cell].kind == CALL
    error = d.failure
    follows = 0
    if is_call and error > 0 and d.final == 0 and d.fact == 0:
        deadline = d.arrived + r.deadline_us if r.deadline_us > 0 else _NEVER
        if at < deadline:
            if w.flags[d.route, error] & 1 and d.number < r.retries:
                follows = _RETRY if at + r.backoff_us < deadline else _LATE
            elif w.flags[d.route, error] & 2 and d.place + 1 < r.entries:
                follows = _HOP
    if is_call:
        _observe_everywhere(w, request, _DONE, at, 0)
        _plan_feedback(w, request, at, follows == 0 and error == 0)
        if error > 0 and d.fact == 0 and r.sticky == 1 and d.conversation >= 0:
            w.stuck[d.conversation, 0] = -1
            w.stuck[d.conversation, 1] &= 1 - d.estimated
    probe_is_in = d.probing == 1 and follows != _RETRY
    judge = d.judge
    if follows == 0:
        _finish(w, request, at, error, tick)
    elif follows == _LATE:
        d.held |= 4
        _push(w, d.arrived + r.deadline_us, _LATE, request, d.attempts, tick, -1, 0, 0, 0, 0, 0)
    else:
        then = at + r.backoff_us if follows == _RETRY else at
        _push(w, then, follows, request, d.attempts, tick, -1, 0, 0, 0, 0, 0)
    _evaluate_all(w, at, tick)
    if probe_is_in:
        d.probing = 0
        _end_probe(w, judge, at, tick)


@_jit
def _step(w: Any, e: Any, tick: int) -> None:  # noqa: C901, PLR0912 - one branch a kind of event
    """Do what one event of the heap says."""
    request, at, what = np.int64(e.request), e.at, e.what
    if what == _DONE:
        _end_attempt(w, request, at, tick)
        return
    if what == _COOLED:
        b = w.judges[e.judge]
        if b.state == OPEN and b.epoch == e.tick:
            if b.probes == 0:
                _change(w, np.int64(e.judge), at, tick, CLOSED, BY_COOLDOWN)
            elif _waits_for(w, np.int64(e.judge)):
                _change(w, np.int64(e.judge), at, tick, HALF_OPEN, BY_COOLDOWN)
                _push(w, at, _RELEASE, w.routes[b.route].waiting_first, 0, tick, e.judge, 0, 0, 0, 0, 0)
        return
    if what == _TESTED:
        b = w.judges[e.judge]
        if b.state == HALF_OPEN and b.epoch == e.tick:
            _judge_test(w, np.int64(e.judge), at, tick, BY_TIME)
        return
    if what == _RELEASE:
        _release(w, w.judges[e.judge].route, at, tick)
        _evaluate_all(w, at, tick)
        return
    d = w.requests[request]
    if what == _FEEDBACK:
        _feed_everywhere(w, e, request)
    elif what == _CROSSING:
        if d.tick == e.tick and d.crossed < e.k:
            d.crossed = e.k
            _observe_everywhere(w, request, _CROSSING, at, e.k)
    elif what == _TOKEN:
        if d.tick == e.tick and d.begun == 0:
            d.begun = 1  # once, however many leaves asked for it
            _observe_everywhere(w, request, _TOKEN, at, 0)
    elif what == _OVERDUE:
        if d.tick == e.tick and d.probing == 1:
            _observe(w, request, np.int64(e.judge), _OVERDUE, at, 0)
            d.probing = 2
            _end_probe(w, np.int64(e.judge), at, tick)
    elif what == _RETRY:
        d.number += 1
        if d.probing != 1:
            d.probing = 0
        _send(w, request, at, tick)
    elif what == _HOP:
        if _choose(w, request, d.place + 1, d.failure, at, tick):
            _send(w, request, at, tick)
        else:
            _finish(w, request, at, d.failure, tick)
    elif what == _HELD:
        if d.held & 1:
            _end_hold(w, request, at, tick)
    elif what == _LATE and d.held & 5:
        if d.held & 1:
            _let_go(w, request)
        d.held &= ~4
        _finish(w, request, at, w.timeout_class, tick)
    _evaluate_all(w, at, tick)


@_jit
def _sweep(w: Any, at: int, tick: int) -> None:
    """Evaluate what is due at ``at``: alerts, and the breakers that ask them; then breakers that look now and then (S13, S19)."""
    for j in range(w.breakers, len(w.judges)):
        a = w.judges[j]
        if at % a.every_us == 0 and _alert_changes(w, j, at):
            for other in range(w.breakers):
                if w.judges[other].every_us == 0 and w.judges[other].uses & (1 << ALERT):
                    for leaf in range(w.judges[other].trip, w.judges[other].trip + w.judges[other].trips):
                        if w.leaves[leaf].kind == ALERT and w.leaves[leaf].alert == j:
                            _evaluate(w, other, at, tick)
                            break
    for j in range(w.breakers):
        if w.judges[j].every_us > 0 and at % w.judges[j].every_us == 0:
            _evaluate(w, j, at, tick)


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
def _next_sweep(w: Any, at: int) -> int:
    """Return the first instant at or after ``at`` at which something is swept."""
    then = _NEVER
    for j in range(len(w.judges)):
        every = w.judges[j].every_us
        if every > 0:
            then = min(then, (at + every - 1) // every * every)
    return then


@_jit
def run(w: Any) -> bool:
    """Run a world to its end; false where it ran out of room, and must be built anew with more.

    Filled in: the second part of ``requests``, ``changes`` (``size[1]`` of them) and ``alert_changes`` (``size[2]``).
    """
    leaves = len(w.leaves)
    tick = np.int64(1)
    row, fact, arrival = 0, w.routed, 0
    sweep = _NEVER
    is_begun = False
    here = np.empty(1, EVENT)
    while True:
        at = w.requests[arrival].arrived if arrival < w.routed else _NEVER
        what = _ARRIVAL
        if fact < len(w.requests) and w.requests[fact].arrived <= at:
            at, what = w.requests[fact].arrived, _FACT
        if w.size[0] > 0 and w.heap[0].at <= at:
            at, what = w.heap[0].at, np.int64(w.heap[0].what)
        if row < len(w.rows) and w.rows[row].at <= at:
            at, what = w.rows[row].at, _ROW
        if at == _NEVER:
            return True
        room = (4 + w.size[4]) * (leaves + 8)
        if (
            w.size[0] + room > len(w.heap)
            or w.free[1] < 4 * room
            or w.size[1] + len(w.judges) + 4 > len(w.changes)
            or w.size[2] + len(w.judges) + 4 > len(w.alert_changes)
        ):
            return False
        if not is_begun:
            is_begun, sweep = True, _next_sweep(w, at)
        tick += 1
        if sweep < at or (sweep == at and what > _SWEEP):
            _sweep(w, sweep, tick)
            sweep = _next_sweep(w, sweep + 1)
        elif what == _ROW:
            item = w.rows[row].item
            while row < len(w.rows) and w.rows[row].at == at and w.rows[row].item == item:
                r = w.rows[row]
                row += 1
                j = w.judge_of_leaf[r.leaf]
                if w.judges[j].is_alert == 1 or w.judges[j].state == CLOSED:
                    enter(w, r.leaf, r.at, r.k, r.n, r.key, r.value)
            _evaluate_all(w, at, tick)
        elif what == _FACT:
            _arrive(w, np.int64(fact), at, tick)
            fact += 1
        elif what == _ARRIVAL:
            _arrive(w, np.int64(arrival), at, tick)
            arrival += 1
            _evaluate_all(w, at, tick)
        else:
            here[0] = w.heap[0]
            _pop(w)
            _step(w, here[0], tick)
