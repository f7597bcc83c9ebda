"""The machine: a whole policy over a whole log, one event after the other, compiled (POLICY.md sections 2 and 3).

It knows every part of the language; :mod:`incident_kit.kernel` is faster on plain routes, whose breakers see nothing but
their own attempts. Its judge is the plain interpreter in ``tests/reference.py``. :mod:`incident_kit.wiring` fills the arrays.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit import judges
from incident_kit.agenda import drop_stale, pop, push
from incident_kit.breakers import change, end_probe, evaluate, evaluate_all, is_exact, is_probing, judge_test, may_enter
from incident_kit.judges import ALERT, REQUESTS, TRUE, enter, expire, leaves_in_use, observes, shown, value, verdict
from incident_kit.kernel import BY_COOLDOWN, CALL, CLOSED, HALF_OPEN, NO_OUTCOME, OPEN
from incident_kit.machinery import (
    ALERT_CHANGE, ARRIVAL, BEGUN, BY_CHAIN, BY_CONVERSATION, BY_HAND, BY_TIME, CHANGE, COOLED, CROSSING, DONE, EVENT, UNROUTED,
    ENDED, FEEDBACK, HEARD, HELD, HOP, HUMAN, LATE, MODEL, NEVER, OUTSIDE, OVERDUE, QUEUE, REJECT, RELEASE, REQUEST, RETRY, ROW, SWEEP,
    TEMPLATE, TESTED, TOKEN, World,
)  # fmt: skip
from incident_kit.queues import hold, let_go, waits_for
from incident_kit.sightings import (
    announce, doubt, doubt_alerts, feed_everywhere, finish, observe, observe_everywhere, plan_feedback,
)  # fmt: skip

__all__ = [
    "ALERT_CHANGE", "BY_CHAIN", "BY_CONVERSATION", "BY_HAND", "BY_TIME", "CHANGE", "HUMAN", "MODEL", "QUEUE", "REJECT",
    "REQUEST", "TEMPLATE", "World", "run",
]  # fmt: skip

_jit = nb.njit(cache=True, nogil=True)
_inlined = nb.njit(inline="always")


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
def _is_open_to(w: Any, request: int, entry: int, failure: int) -> bool:
    """Return whether a request may take an entry at all: only_for a failure of its kind, and no queue twice (S4)."""
    d = w.requests[request]
    if w.entries[d.route, entry].conditional == 1 and (failure < 0 or w.only_for[d.route, entry, failure] == 0):
        return False
    return w.entries[d.route, entry].kind != QUEUE or d.held & 2 == 0


@_jit
def _goes_on(w: Any, request: int, failure: int) -> bool:
    """Return whether anything is left for a request whose attempt failed (S8)."""
    d = w.requests[request]
    if w.flags[d.route, failure] & 2 == 0:
        return False
    for place in range(d.place + 1, w.routes[d.route].entries):
        if _is_open_to(w, request, _entry_at(w, request, place), failure):
            return True
    return False


@_jit
def _choose(w: Any, request: int, start: int, failure: int, at: int, tick: int) -> bool:
    """Take the first available entry from a place on (S4); false where nothing is left."""
    d = w.requests[request]
    r = w.routes[d.route]
    for place in range(start, r.entries):
        entry = _entry_at(w, request, place)
        if not _is_open_to(w, request, entry, failure):
            continue
        j = w.judge_of[d.route, entry, d.intent + 1]
        permit = 1 if j < 0 else may_enter(w, j, request, at, tick)
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
        if not is_own:
            cell = row + w.requests[other].column
            return cell, np.int64(w.outcomes[cell].estimated) if w.by_time == 1 else np.int64(1)
    return own, estimated


@_jit
def _send(w: Any, request: int, at: int, tick: int) -> None:
    """Begin an attempt on the entry taken, or end the request there without one."""
    d = w.requests[request]
    r = w.routes[d.route]
    kind = w.entries[d.route, d.entry].kind
    if kind == QUEUE:
        hold(w, request, at, tick)
        return
    if d.called < 0:
        d.called = d.entry
    if kind != MODEL:
        d.cell, d.no_model = -1, 1
        if d.logged_calls > 0:
            doubt_alerts(w, d.intent)
        finish(w, request, at, w.rejected_class if kind == REJECT else 0, tick)
        return
    d.attempts += 1
    cell, estimated = _outcome(w, request, at)
    d.cell, d.tick, d.sent = cell, tick, at
    outcome = w.outcomes[cell]
    target = w.entries[d.route, d.entry].target
    if r.sticky == 1 and d.conversation >= 0:
        w.stuck[d.conversation, 0] = d.entry if w.entries[d.route, d.entry].conditional == 0 else -1
        w.stuck[d.conversation, 1] &= d.exact & (1 - estimated)
    if estimated == 1:
        d.estimated = 1
        doubt(w, request, target, tick)
    if outcome.kind == NO_OUTCOME:
        d.error = d.wait_us = -1
        evaluate_all(w, at, tick)
        end_probe(w, request, at, tick)
        return
    latency_us, error, fact = np.int64(outcome.latency_ms) * 1000, np.int64(outcome.error), w.donors[cell]
    d.ttft_ms = w.facts[fact].ttft_ms if fact >= 0 else -1
    d.final = d.ended_early = 0
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
            latency_us, error, d.ended_early = cut_ms * 1000, np.int64(w.timeout_class), 1
        if r.deadline_us > 0 and at + latency_us > d.arrived + r.deadline_us:
            latency_us, error, d.final = max(d.arrived + r.deadline_us - at, 0), np.int64(w.timeout_class), 1
            d.ended_early = 1
            if outcome.error != w.timeout_class or np.int64(outcome.latency_ms) * 20000 > latency_us * 21:
                d.cut = 1
    d.latency_ms, d.failure, d.done, d.crossed = latency_us // 1000, error, at + latency_us, -1
    d.begun = 0
    if d.cost >= 0:
        cost = w.facts[fact].cost_nano if fact >= 0 else -1
        d.cost = d.cost + cost if cost >= 0 else -1
    if outcome.kind == CALL:
        announce(w, request, d.judge, target, tick)
        for i in range(w.listeners.shape[1]):
            j = w.listeners[target, i]
            if j < 0:
                break
            if j != d.judge:
                announce(w, request, j, target, tick)
    if d.probing == 1 and r.timeout_ms == 0 and latency_us > w.judges[d.judge].max_wait_us:
        push(w, at + w.judges[d.judge].max_wait_us, OVERDUE, request, d.attempts, tick, d.judge, 0, target, 1, 0, 0)
    push(w, d.done, DONE, request, d.attempts, tick, d.judge, 0, target, d.probing, 0, 0)


@_jit
def _arrive(w: Any, request: int, at: int, tick: int) -> None:
    """Decide where a request goes first, and send it there (S4, S21, S22)."""
    d = w.requests[request]
    r = w.routes[d.route]
    d.decided = tick
    if d.fact == 1:
        d.place = d.entry
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
            permit = 1 if j < 0 else may_enter(w, j, request, at, tick)
            if j >= 0:
                exact &= is_exact(w, j)
            if permit > 0:
                _take(w, request, _place_of(w, request, entry), entry, permit)
                d.reason, taken = BY_CONVERSATION, True
    if not taken:
        _choose(w, request, 0, -1, at, tick)
        for place in range(d.place + 1):
            entry = np.int64(_entry_at(w, request, place))
            j = w.judge_of[d.route, entry, d.intent + 1]
            if j >= 0 and w.entries[d.route, entry].conditional == 0:
                exact &= is_exact(w, j)
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
    _note_decision(w, request, at, tick)
    _send(w, request, at, tick)


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
def _place_of(w: Any, request: int, entry: int) -> int:
    r = w.routes[w.requests[request].route]
    for place in range(min(r.primaries, w.orders.shape[1])):
        if w.orders[request, place] == entry:
            return place
    return entry


@_jit
def _release(w: Any, request: int, at: int, tick: int) -> None:
    """Send a waiting request to the first primary that lets it in; else it waits on (S7)."""
    d = w.requests[request]
    if d.held & 1 == 0:
        return
    for place in range(w.routes[d.route].primaries):
        entry = np.int64(_entry_at(w, request, place))
        j = w.judge_of[d.route, entry, d.intent + 1]
        permit = 1 if j < 0 else may_enter(w, j, request, at, tick)
        if permit > 0:
            let_go(w, request)
            _take(w, request, place, entry, permit)
            _send(w, request, at, tick)
            return


@_jit
def _end_hold(w: Any, request: int, at: int, tick: int) -> None:
    """Send a request that has waited long enough down its chain, or to its primary where nothing is left."""
    d = w.requests[request]
    let_go(w, request)
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
        deadline = d.arrived + r.deadline_us if r.deadline_us > 0 else NEVER
        if at < deadline:
            if w.flags[d.route, error] & 1 and d.number < r.retries:
                follows = RETRY if at + r.backoff_us < deadline else LATE
            elif _goes_on(w, request, error):
                follows = HOP
    if is_call:
        observe_everywhere(w, request, DONE, at, 0)
        plan_feedback(w, request, at, follows == 0 and error == 0)
        if error > 0 and d.fact == 0 and r.sticky == 1 and d.conversation >= 0:
            w.stuck[d.conversation, 0] = -1
            w.stuck[d.conversation, 1] &= 1 - d.estimated
    if follows == 0:
        finish(w, request, at, error, tick)
    elif follows == LATE:
        d.held |= 4
        push(w, d.arrived + r.deadline_us, LATE, request, d.attempts, tick, -1, 0, 0, 0, 0, 0)
    else:
        then = at + r.backoff_us if follows == RETRY else at
        push(w, then, follows, request, d.attempts, tick, -1, 0, 0, 0, 0, 0)
    evaluate_all(w, at, tick)
    if follows != RETRY:
        end_probe(w, request, at, tick)
        d.probing = 0


@_jit
def _step(w: Any, e: Any, tick: int) -> None:  # noqa: C901, PLR0912 - one branch a kind of event
    """Do what one event of the heap says."""
    request, at, what = np.int64(e.request), e.at, e.what
    if what == DONE:
        _end_attempt(w, request, at, tick)
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
        _send(w, request, at, tick)
    elif what == HOP:
        if _choose(w, request, d.place + 1, d.failure, at, tick):
            _send(w, request, at, tick)
        else:
            finish(w, request, at, d.failure, tick)
    elif what == HELD:
        _end_hold(w, request, at, tick)
    elif what == LATE:
        if d.held & 1:
            let_go(w, request)
        d.held &= ~4
        finish(w, request, at, w.timeout_class, tick)
    evaluate_all(w, at, tick)


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
                            evaluate(w, other, at, tick)
                            break
    for j in range(w.breakers):
        if w.judges[j].every_us > 0 and at % w.judges[j].every_us == 0:
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
def _next_sweep(w: Any, at: int) -> int:
    """Return the first instant at or after ``at`` at which something is swept."""
    then = NEVER
    for j in range(len(w.judges)):
        every = w.judges[j].every_us
        if every > 0:
            then = min(then, (at + every - 1) // every * every)
    return then


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
def run(w: Any) -> bool:
    """Run a world to its end; false where it ran out of room, and must be built anew with more.

    Filled in: the second part of ``requests``, ``changes`` (``size[1]`` of them) and ``alert_changes`` (``size[2]``).
    """
    leaves = len(w.leaves)
    tick = np.int64(1)
    row, fact, arrival = 0, w.routed, 0
    sweep = _next_sweep(w, w.span[0])
    here = np.empty(1, EVENT)
    while True:
        drop_stale(w)
        at, what = _next(w, row, fact, arrival)
        if at == NEVER and (sweep > w.span[1] or (sweep == w.span[1] and w.span[2] == 0)):
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
        if sweep < at or (sweep == at and what > SWEEP):
            _sweep(w, sweep, tick)
            sweep = _next_sweep(w, sweep + 1)
        elif what == OUTSIDE or what == HEARD or what == ENDED:
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
