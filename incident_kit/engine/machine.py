"""The machine: a whole policy over a whole log, one event after the other, compiled (POLICY.md sections 2 and 3).

It knows every part of the language; :mod:`engine.kernel` is faster on plain routes, whose breakers see nothing but
their own attempts. Its judge is the plain interpreter in ``tests/reference.py``. :mod:`engine.wiring` fills the arrays.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.engine import judges
from incident_kit.engine.agenda import drop_stale, is_timer_only, pop
from incident_kit.engine.attempts import end_attempt, send
from incident_kit.engine.breakers import change, end_probe, evaluate_all, is_exact, is_probing, judge_test, may_enter
from incident_kit.engine.judges import ALERT, REQUESTS, enter, expire, leaves_in_use, observes
from incident_kit.engine.kernel import BY_COOLDOWN, CLOSED, HALF_OPEN, LAPSED
from incident_kit.engine.machinery import (
    ALERT_CHANGE,
    ARRIVAL,
    AT_ONCE,
    BEGUN,
    BY_CHAIN,
    BY_CONVERSATION,
    BY_HAND,
    BY_TIME,
    CHANGE,
    COOLED,
    CROSSING,
    DONE,
    ENDED,
    EVENT,
    FEEDBACK,
    HEARD,
    HELD,
    HOP,
    HUMAN,
    LATE,
    MODEL,
    NEVER,
    OUTSIDE,
    OVERDUE,
    QUEUE,
    REJECT,
    RELEASE,
    REQUEST,
    RETRY,
    SWEEP,
    TEMPLATE,
    TESTED,
    TOKEN,
    UNROUTED,
    Bundle,
    World,
)  # fmt: skip
from incident_kit.engine.queues import let_go, waits_for
from incident_kit.engine.sightings import (
    feed_everywhere,
    finish,
    observe,
    observe_everywhere,
)  # fmt: skip
from incident_kit.engine.sweeps import bear, next_sweep, sweep
from incident_kit.engine.ways import choose, entry_at, place_of, take

__all__ = [
    "ALERT_CHANGE", "BY_CHAIN", "BY_CONVERSATION", "BY_HAND", "BY_TIME", "CHANGE", "HUMAN", "MODEL", "QUEUE", "REJECT",
    "REQUEST", "TEMPLATE", "World", "run",
]  # fmt: skip

_jit = nb.njit(cache=True, nogil=True)
_inlined = nb.njit(inline="always")


@_jit
def _by_hand(w: Any, request: int, at: int) -> bool:
    """Send a request where a person said, if one did (S21)."""
    d = w.requests[request]
    r = w.routes[d.route]
    for s in range(r.first_switch, r.first_switch + r.switches):
        if w.switches[s].start <= at < w.switches[s].end:
            take(w, request, place_of(w, request, w.switches[s].entry), w.switches[s].entry, 1)
            d.reason = BY_HAND
            return True
    return False


@_jit
def _by_itself(w: Any, request: int, at: int, tick: int) -> int:
    """Take the conversation's target or the first available entry (S4, S22); return whether the choice saw facts only."""
    d = w.requests[request]
    r = w.routes[d.route]
    exact = np.int64(1)
    if r.sticky == 1 and d.conversation >= 0:
        exact = np.int64(w.stuck[d.conversation, 1])
        entry = np.int64(w.stuck[d.conversation, 0])
        if entry >= 0:
            j = w.judge_of[d.route, entry, d.intent + 1]
            permit = 1 if j < 0 else may_enter(w, j, request, at, tick)
            if j >= 0:
                exact &= is_exact(w, j)
            if permit > 0:
                take(w, request, place_of(w, request, entry), entry, permit)
                d.reason = BY_CONVERSATION
                return exact
    choose(w, request, 0, -1, at, tick)
    for place in range(d.place + 1):
        entry = np.int64(entry_at(w, request, place))
        j = w.judge_of[d.route, entry, d.intent + 1]
        if j >= 0 and w.entries[d.route, entry].conditional == 0:
            exact &= is_exact(w, j)
    return exact


@_jit
def _arrive(w: Any, request: int, at: int, tick: int) -> None:
    """Decide where a request goes first, and send it there (S4, S21, S22)."""
    d = w.requests[request]
    d.decided = tick
    if d.fact == 1:
        d.place = d.entry
        d.judge = -1
        send(w, request, at, tick)
        return
    w.latest[d.route, d.intent + 1] = request
    exact = np.int64(1)
    if not _by_hand(w, request, at):
        exact = _by_itself(w, request, at, tick)
    d.first, d.exact, d.probe = d.entry, exact, d.probing
    j = w.judge_of[d.route, entry_at(w, request, 0), d.intent + 1]
    if j >= 0:
        d.state = w.judges[j].state
        leaf, _ = leaves_in_use(w, j)
        if w.leaves[leaf].kind != ALERT:
            slot = w.leaves[leaf].slot
            expire(w, slot, at)
            d.k, d.n = judges.counts(w, leaf, slot)
            d.n = w.slots[slot].n
    _note_decision(w, request, at, tick)
    send(w, request, at, tick)


@_jit
def _note_decision(w: Any, request: int, at: int, tick: int) -> None:
    """Enter what a decision itself says: one request more, its ticket touched."""
    d = w.requests[request]
    for entry in range(w.routes[d.route].entries):
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
    while w.size[5] < len(w.arriving) and w.arriving[w.size[5]].item == 2 * request + 1:
        _enter_row(w, w.arriving[w.size[5]])
        w.size[5] += 1


@_jit
def _enter_row(w: Any, row: Any) -> None:
    """Enter a row that no decision makes, where somebody looks: a breaker does only while closed."""
    j = w.judge_of_leaf[row.leaf]
    if w.judges[j].is_alert == 1 or w.judges[j].state == CLOSED:
        enter(w, row.leaf, row.at, row.k, row.n, row.key, row.value)


@_jit
def _release(w: Any, request: int, at: int, tick: int) -> None:
    """Send a waiting request to the first primary that lets it in; else it waits on (S7)."""
    d = w.requests[request]
    if d.held & 1 == 0:
        return
    for place in range(w.routes[d.route].primaries):
        entry = np.int64(entry_at(w, request, place))
        j = w.judge_of[d.route, entry, d.intent + 1]
        permit = 1 if j < 0 else may_enter(w, j, request, at, tick)
        if permit > 0:
            let_go(w, request)
            take(w, request, place, entry, permit)
            send(w, request, at, tick)
            return


@_jit
def _end_hold(w: Any, request: int, at: int, tick: int) -> None:
    """Send a request that has waited long enough down its chain, or to its primary where nothing is left."""
    d = w.requests[request]
    let_go(w, request)
    if not choose(w, request, d.place + 1, -1, at, tick):
        take(w, request, 0, entry_at(w, request, 0), 1)
    send(w, request, at, tick)


@_jit
def _step(w: Any, e: Any, tick: int) -> None:  # noqa: C901, PLR0912 - one branch a kind of event
    """Do what one event of the heap says."""
    request, at, what = np.int64(e.request), e.at, e.what
    if what == DONE:
        end_attempt(w, request, at, tick)
        return
    if what == COOLED:
        b = w.judges[e.judge]
        if b.probes == 0:
            change(w, np.int64(e.judge), at, tick, CLOSED, BY_COOLDOWN)
        elif waits_for(w, np.int64(e.judge)):
            change(w, np.int64(e.judge), at, tick, HALF_OPEN, BY_COOLDOWN)
        return
    if what == TESTED:
        judge_test(w, np.int64(e.judge), at, tick, BY_TIME)
        return
    d = w.requests[request]
    if what == RELEASE:
        _release(w, request, at, tick)
    elif what == FEEDBACK:
        feed_everywhere(w, e, request)
    elif what == CROSSING:
        if d.tick == e.tick and d.crossed < e.k:
            d.crossed = e.k
            observe_everywhere(w, request, CROSSING, at, e.k)
    elif what == TOKEN:
        if d.tick == e.tick and d.begun == 0:
            d.begun = 1  # once, however many leaves asked for it
            observe_everywhere(w, request, TOKEN, at, 0)
    elif what == OVERDUE:
        if d.tick == e.tick and is_probing(w, request):
            observe(w, request, np.int64(e.judge), OVERDUE, at, 0)
            end_probe(w, request, at, tick)
            d.probing = 2
    elif what == RETRY:
        d.number += 1
        d.probing = 1 if is_probing(w, request) else 0
        send(w, request, at, tick)
    elif what == HOP:
        if choose(w, request, d.place + 1, d.failure, at, tick):
            send(w, request, at, tick)
        else:
            finish(w, request, at, d.failure)
    elif what == HELD:
        _end_hold(w, request, at, tick)
    elif what == LATE:
        if d.held & 1:
            let_go(w, request)
        d.held &= ~4
        d.cut |= LAPSED
        finish(w, request, at, w.timeout_class)
    evaluate_all(w, at, tick)


@_inlined
def _next(w: Any, row: int, fact: int, arrival: int) -> tuple[int, int]:
    """Return when something happens next, and what (S3); sweeps are not looked at."""
    at, what = NEVER, np.int64(ARRIVAL)
    if arrival < w.routed:
        at = w.requests[arrival].arrived
    if w.size[5] < len(w.arriving) and w.arriving[w.size[5]].item <= 2 * arrival:
        at, what = w.arriving[w.size[5]].at, np.int64(BEGUN)
    if fact < len(w.requests) and w.requests[fact].arrived <= at:
        at, what = w.requests[fact].arrived, np.int64(UNROUTED)
    if w.size[0] > 0 and (w.heap[0].at < at or (w.heap[0].at == at and w.heap[0].what < what)):
        at, what = w.heap[0].at, np.int64(w.heap[0].what)
    if row < len(w.rows) and (w.rows[row].at < at or (w.rows[row].at == at and w.rows[row].what < what)):
        at, what = w.rows[row].at, np.int64(w.rows[row].what)
    return at, what


@_jit
def _still_due(w: Any, due: int, row: int, fact: int, arrival: int) -> int:
    """Return when the next sweep is, never where nothing is to come (S13); a breaker's own timer is none."""
    if due < w.span[1] or (due == w.span[1] and w.span[2] == 1) or due == NEVER:
        return due
    is_over = arrival == w.routed and fact == len(w.requests) and row == len(w.rows)
    return NEVER if is_over and w.size[5] == len(w.arriving) and is_timer_only(w) else due


@_jit
def run(world: Any) -> bool:
    """Run a world to its end; false where it ran out of room, and must be built anew with more.

    Filled in: the second part of ``requests``, ``changes`` (``size[1]`` of them) and ``alert_changes`` (``size[2]``).
    """
    w: Any = Bundle(*world)
    leaves = len(w.leaves)
    tick = np.int64(1)
    row, fact, arrival = 0, w.routed, 0
    due = next_sweep(w, w.span[0])
    birth = bear(w, w.span[0], tick)
    here = np.empty(1, EVENT)
    while True:
        drop_stale(w)
        at, what = _next(w, row, fact, arrival)
        due = _still_due(w, due, row, fact, arrival)
        if at == due == NEVER:
            return True
        room = (4 + w.size[4]) * (leaves + 8)
        if (
            w.size[0] + room > len(w.heap)
            or w.free[1] < 4 * room
            or w.size[1] + len(w.judges) + 4 > len(w.changes)
            or w.size[2] + len(w.judges) + 4 > len(w.alert_changes)
        ):
            return False
        tick += 1
        if birth <= min(at, due):
            birth = bear(w, min(at, due), tick)
        if due < at or (due == at and what > SWEEP):
            sweep(w, due, tick)
            due = next_sweep(w, due + 1)
        elif what in (OUTSIDE, HEARD, ENDED, AT_ONCE):
            item = w.rows[row].item
            while row < len(w.rows) and w.rows[row].item == item:
                _enter_row(w, w.rows[row])
                row += 1
            evaluate_all(w, at, tick)
        elif what == BEGUN:
            _enter_row(w, w.arriving[w.size[5]])
            w.size[5] += 1
        elif what == UNROUTED:
            _arrive(w, np.int64(fact), at, tick)
            fact += 1
        elif what == ARRIVAL:
            _arrive(w, np.int64(arrival), at, tick)
            arrival += 1
            evaluate_all(w, at, tick)
        else:
            here[0] = w.heap[0]
            pop(w)
            _step(w, here[0], tick)
