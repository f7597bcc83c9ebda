"""The closed loop, compiled: one route's requests, in time order, through chain, retry and breaker (POLICY.md section 3).

The kernel knows arrays of records only; :mod:`incident_kit.scoring.replays` fills them. Its judge is the plain interpreter in
``tests/reference.py``. Ends of first attempts on the primary are sorted before it starts (they do not depend on any
decision); retries, hops and guarded fallbacks, which do, go through a small heap. A window is a pair of pointers and
its conditions are counters (S11).
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME

# numpy's integers, because numba compiles a function anew for every Python integer that it is called with
CLOSED, OPEN, HALF_OPEN = np.int64(0), np.int64(1), np.int64(2)
BY_CONDITION, BY_COOLDOWN, BY_PROBES = np.int64(0), np.int64(1), np.int64(2)  # why a breaker changed
RETRIED, FALLS_BACK = 1, 2  # flags of an error class
# of a request's cut: an attempt is not the log's (shorter, or of another time, S7); the deadline passed between two
CUT, LAPSED = 1, 2
MAX_CONDITIONS = 30  # bits of an observation

# the order of events at one instant (S3); an overdue probe completes; a cooldown's end (2) is checked before later ones
_SORTED, _COMPLETION, _RETRY, _HOP, _ARRIVAL = 0, 1, 3, 4, 5
_NEVER = np.iinfo(np.int64).max
_ROOM = 4096  # observations kept per entry before the window is moved back to the start, or given more room

CONDITION = np.dtype(
    [
        ("latency", "i8"),  # 1: slow attempts are counted, 0: failed ones
        ("limit_ms", "i8"),  # slow is a latency of at least this
        ("num", "i8"),  # the test is k * den > num * n, or >= where not strict; negated turns it round
        ("den", "i8"),
        ("strict", "i8"),
        ("negated", "i8"),
        ("quantile", "i8"),  # 1: a transition reports the (1 - num / den) quantile, 0: the rate k / n
    ],
    align=True,
)
RULE = np.dtype([("count", "i8"), ("at_least", "i8"), ("own", "i8")], align=True)  # own 0: passed when *not* met
RETRY = np.dtype([("attempts", "i8"), ("timeout_ms", "i8"), ("timeout_class", "i8"), ("backoff_us", "i8")], align=True)
BREAKER = np.dtype(
    [
        ("guarded", "i8"),
        ("count_window", "i8"),
        ("window", "i8"),  # microseconds, or observations
        ("min_requests", "i8"),
        ("for_us", "i8"),
        ("cooldown_us", "i8"),
        (
            "growth",
            "i8",
        ),  # of the cooldown at each re-opening in a row: growth / shrink times, at most the longest (S15)
        ("shrink", "i8"),
        ("longest_ms", "i8"),
        ("probes", "i8"),
        ("share", "f8"),
        ("max_wait_us", "i8"),
        # from here on, what changes while the loop runs
        ("state", "i8"),
        ("epoch", "i8"),
        ("open_until", "i8"),
        ("head", "i8"),  # the window is [head, tail) of the entry's observations
        ("tail", "i8"),
        ("true_since", "i8"),
        ("granted", "i8"),
        ("pending", "i8"),
        ("reopened", "i8"),
        ("exact", "i8"),
    ],
    align=True,
)
DECISION = np.dtype(
    [
        ("wait_us", "i8"),  # until the last attempt ended; -1 without an outcome
        ("k", "i4"),  # counters of the first condition of the primary's breaker at the decision
        ("n", "i4"),
        ("mark", "i4"),  # the epoch that observes the attempt in flight; -1: none does; 0: not sent yet
        ("error", "i2"),  # class of the final error; 0: ok; -1: no outcome
        ("first", "i1"),  # the entry chosen at arrival
        ("entry", "i1"),  # the entry of the last attempt
        ("number", "i2"),  # of the last attempt, on its entry, from 0
        ("attempts", "i2"),
        ("state", "i1"),  # of the primary's breaker
        ("exact", "i1"),  # 1: every breaker that the choice asked had observed inputs only
        ("probe", "i1"),
        ("probing", "i1"),  # 1: the attempt in flight is judged as a probe, 2: it was, and is overdue
        ("estimated", "i1"),  # some attempt's outcome was not observed
        ("cut", "i1"),  # CUT: the policy's timeout cut some attempt that took longer
    ],
    align=True,
)
_SEEN = np.dtype([("at", "i8"), ("latency_ms", "i4"), ("bits", "i4")], align=True)
_EVENT = np.dtype([("at", "i8"), ("order", "i8")], align=True)

_jit = nb.njit(cache=True, nogil=True)
_inlined = nb.njit(inline="always")


@_inlined
def _holds(c: Any, k: int, n: int) -> bool:
    left, right = k * c.den, c.num * n
    return ((left > right) or (c.strict == 0 and left == right)) != (c.negated == 1)


@_inlined
def _is_met(rule: Any, conditions: Any, k: Any, e: int, n: int) -> bool:
    held = 0
    for i in range(rule.count):
        held += _holds(conditions[e, i], k[e, i], n)
    return held >= rule.at_least


@_inlined
def _before(a: Any, at: int, order: int) -> bool:
    return a.at < at or (a.at == at and a.order < order)


@_jit
def _push(heap: Any, size: int, at: int, order: int) -> None:
    i = size
    while i > 0 and not _before(heap[(i - 1) >> 1], at, order):
        heap[i] = heap[(i - 1) >> 1]
        i = (i - 1) >> 1
    heap[i].at, heap[i].order = at, order


@_jit
def _pop(heap: Any, size: int) -> None:
    """Remove the top of a heap of ``size`` events."""
    at, order = heap[size - 1].at, heap[size - 1].order
    size -= 1
    i = 0
    while 2 * i + 1 < size:
        down = 2 * i + 1
        if down + 1 < size and _before(heap[down + 1], heap[down].at, heap[down].order):
            down += 1
        if not _before(heap[down], at, order):
            break
        heap[i] = heap[down]
        i = down
    heap[i].at, heap[i].order = at, order


@_inlined
def _remember(b: Any, seen: Any, k: Any, e: int, at: int, latency_ms: int, bits: int) -> None:
    newest = seen[e, b.tail]
    newest.at, newest.latency_ms, newest.bits = at, latency_ms, bits
    b.tail += 1
    i = 0
    while bits:
        k[e, i] += bits & 1
        bits >>= 1
        i += 1


@_inlined
def _forget(b: Any, seen: Any, k: Any, e: int) -> None:
    bits = seen[e, b.head].bits
    b.head += 1
    i = 0
    while bits:
        k[e, i] -= bits & 1
        bits >>= 1
        i += 1


@_inlined
def _expire(b: Any, seen: Any, k: Any, e: int, at: int) -> None:
    """Drop what a sliding window no longer holds (S9: it is open at its old end)."""
    if b.count_window == 0:
        while b.head < b.tail and seen[e, b.head].at <= at - b.window:
            _forget(b, seen, k, e)


@_jit
def _make_room(breakers: Any, seen: Any, e: int) -> Any:
    """Return ``seen`` with space after the window of entry ``e``: moved to the front, or in a larger array."""
    b = breakers[e]
    size = b.tail - b.head
    if 2 * size > seen.shape[1]:
        larger = np.empty((seen.shape[0], 4 * size), _SEEN)
        for entry in range(seen.shape[0]):
            for i in range(seen.shape[1]):
                larger[entry, i] = seen[entry, i]
        seen = larger
    for i in range(size):
        seen[e, i] = seen[e, b.head + i]
    b.head, b.tail = 0, size
    return seen


@_jit
def _change(
    b: Any, rule: Any, conditions: Any, seen: Any, k: Any, e: int, at: int, state: int, why: int, changes: Any
) -> None:
    """Move a breaker to another state: record it, clear its window, begin a new epoch (S14).

    ``rule`` and ``conditions`` are what was judged. The first condition that decided is shown: one that holds, but for
    probes that failed their own condition one that does not.
    """
    n = b.tail - b.head
    deciding = why == BY_CONDITION or rule.own == 0
    shown = 0
    if state == OPEN and n > 0:  # of none nothing decided
        while shown + 1 < rule.count and _holds(conditions[e, shown], k[e, shown], n) != deciding:
            shown += 1
    value = np.nan
    if n > 0 and why != BY_COOLDOWN:
        c = conditions[e, shown]
        if c.quantile == 1:
            slowest_last = np.empty(n, _EVENT)
            for i in range(n):
                _push(slowest_last, i, np.int64(seen[e, b.head + i].latency_ms), i)
            for i in range(((c.den - c.num) * n + c.den - 1) // c.den - 1):
                _pop(slowest_last, n - i)
            value = float(slowest_last[0].at)
        else:
            value = k[e, shown] / n
    row = (float(e), float(at), float(b.state), float(state), float(why), float(shown), value, float(n))
    changes.append((row, b.exact))
    b.reopened = 0 if CLOSED in (state, b.state) else b.reopened + (state == OPEN)
    b.state = state
    b.epoch += 1
    b.head = b.tail = b.granted = b.pending = 0
    b.true_since = -1
    k[e] = 0
    b.open_until = at + _rest_us(b) if state == OPEN else _NEVER


@_jit
def _rest_us(b: Any) -> int:
    """Return how long a breaker stays open (S15), in whole milliseconds as the language has it."""
    if b.growth == b.shrink:
        return np.int64(b.cooldown_us)
    rest_ms = b.cooldown_us // 1000
    for _ in range(b.reopened):
        rest_ms = rest_ms * b.growth // b.shrink
        if rest_ms >= b.longest_ms:
            break
    return min(rest_ms, b.longest_ms) * 1000


@_jit
def _end_probe(b: Any, rule: Any, conditions: Any, seen: Any, k: Any, e: int, at: int, changes: Any) -> None:
    """Count one probing request as in; when all are, judge them (S16)."""
    b.pending -= 1
    if b.granted < b.probes or b.pending > 0:
        return
    met = _is_met(rule, conditions, k, e, b.tail - b.head)
    passed = b.tail > b.head and met == (rule.own == 1)
    _change(b, rule, conditions, seen, k, e, at, CLOSED if passed else OPEN, BY_PROBES, changes)


@_inlined
def _bits(rule: Any, conditions: Any, e: int, latency_ms: int, failed: int) -> int:
    """Return, as bits, the conditions that count an observation."""
    bits = 0
    for i in range(rule.count):
        c = conditions[e, i]
        if (c.latency == 1 and latency_ms >= c.limit_ms) or (c.latency == 0 and failed):
            bits |= 1 << i
    return bits


@_inlined
def _choose(
    breakers: Any, rules: Any, recover: Any, seen: Any, k: Any, d: Any, at: int, start: int, draw: float, changes: Any
) -> None:
    """Take the first available entry of the chain from ``start`` on (S4, S15, S16)."""
    d.probing = 0
    d.number = 0
    for e in range(start, len(breakers)):
        b = breakers[e]
        d.entry = e
        d.mark = -1
        if b.guarded == 0:
            break
        if b.state == OPEN and at >= b.open_until and b.probes > 0:
            _change(b, rules[e, 1], recover, seen, k, e, at, HALF_OPEN, BY_COOLDOWN, changes)
        if b.state == CLOSED:
            d.mark = b.epoch
            break
        if b.state == HALF_OPEN and b.granted < b.probes and draw < b.share:
            b.granted += 1
            b.pending += 1
            d.mark = b.epoch
            d.probing = 1
            break


@_inlined
def _observe(
    b: Any, rule: Any, trip: Any, seen: Any, k: Any, e: int, at: int, latency_ms: int, failed: int, changes: Any
) -> None:
    """Add an observation to a closed breaker's window and evaluate its rule (S9, S12, S13)."""
    _remember(b, seen, k, e, at, latency_ms, _bits(rule, trip, e, latency_ms, failed))
    if b.count_window == 1 and b.tail - b.head > b.window:
        _forget(b, seen, k, e)
    _expire(b, seen, k, e, at)
    n = b.tail - b.head
    if n >= b.min_requests and _is_met(rule, trip, k, e, n):
        if b.true_since < 0:
            b.true_since = at
        if at - b.true_since >= b.for_us:
            _change(b, rule, trip, seen, k, e, at, OPEN, BY_CONDITION, changes)
    else:
        b.true_since = -1


@_jit
def ends(arrived_us: NDArray[np.int64], outcomes: Any, timeout_ms: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the ends of attempts sent at arrival, and whose they are, sorted by (end, request).

    ``outcomes`` are the OUTCOME records of first attempts on one target; those that take no time, or have none, are
    left out. Arrivals are in order, so what is still in flight fits a small heap.
    """
    n = len(arrived_us)
    done_us, done_request = np.empty(n, np.int64), np.empty(n, np.int32)
    heap = np.empty(n + 1, _EVENT)
    in_heap, filled = np.int64(0), np.int64(0)
    for i in range(n + 1):
        arrival = arrived_us[i] if i < n else _NEVER
        while in_heap > 0 and heap[0].at <= arrival:
            done_us[filled], done_request[filled] = heap[0].at, heap[0].order
            filled += 1
            _pop(heap, in_heap)
            in_heap -= 1
        if i < n and outcomes[i].kind != NO_OUTCOME and outcomes[i].latency_ms > 0:
            latency_ms = np.int64(outcomes[i].latency_ms)
            if 0 < timeout_ms < latency_ms and outcomes[i].kind == CALL:
                latency_ms = timeout_ms
            _push(heap, in_heap, arrival + latency_ms * 1000, i)
            in_heap += 1
    return done_us[:filled], done_request[:filled]


@_inlined
def _is_cut(outcome: Any, again: Any) -> bool:
    """Return whether this policy's timeout cuts the attempt (S10)."""
    return again.timeout_ms > 0 and outcome.latency_ms > again.timeout_ms and outcome.kind == CALL


@_jit
def _loop(  # noqa: C901, PLR0912, PLR0915 - the loop itself; its steps are the functions above
    arrived_us: Any, draw: Any, done_us: Any, done_request: Any, outcomes: Any, breakers: Any, rules: Any, trip: Any,
    recover: Any, retry: Any, failures: Any, flags: Any, decisions: Any,
) -> Any:  # fmt: skip
    """Fill in DECISION records and return the changes."""
    n, entries = len(arrived_us), len(breakers)
    seen = np.empty((entries, _ROOM), _SEEN)
    k = np.zeros((entries, trip.shape[1]), np.int64)
    heap = np.empty(2 * n + 2, _EVENT)
    in_heap = np.int64(0)
    changes = [((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), np.int64(1))]
    changes.clear()
    again = retry[0]
    timer_only = False
    for e in range(entries):
        timer_only = timer_only or (breakers[e].guarded == 1 and breakers[e].probes == 0)
    ahead, i = 0, 0
    while True:
        # the next event: the end of a first attempt, the heap's top, or an arrival
        at = arrived_us[i] if i < n else _NEVER
        order = _NEVER
        what = _ARRIVAL
        if ahead < len(done_us) and done_us[ahead] <= at:
            at = done_us[ahead]
            order = np.int64(_COMPLETION) << 56 | np.int64(done_request[ahead]) << 16 | 1
            what = _SORTED
        if in_heap > 0 and _before(heap[0], at, order):
            at, order = heap[0].at, heap[0].order
            what = order >> 56
        over = what == _ARRIVAL and i == n
        if timer_only:
            # a breaker without probes closes when its cooldown ends (S17), before whatever comes later
            closing, until = np.int64(-1), at if what > _COMPLETION else at - 1
            for e in range(entries):
                b = breakers[e]
                if b.guarded == 1 and b.probes == 0 and b.state == OPEN and b.open_until <= until:
                    closing, until = e, b.open_until - 1
            if closing >= 0:
                b = breakers[closing]
                _change(b, rules[closing, 1], recover, seen, k, closing, b.open_until, CLOSED, BY_COOLDOWN, changes)
                continue
        if over:
            break
        if what == _ARRIVAL:
            request = np.int64(i)
            i += 1
        elif what == _SORTED:
            request = np.int64(done_request[ahead])
            ahead += 1
            if decisions[request].mark == 0 or decisions[request].first != 0:
                continue  # it was not sent to the primary when it arrived
        else:
            request = order >> 16 & ((1 << 40) - 1)
            _pop(heap, in_heap)
            in_heap -= 1
        d = decisions[request]
        e = np.int64(d.entry)
        if what <= _COMPLETION:
            outcome, b = outcomes[e, d.number, request], breakers[e]
            if b.tail == seen.shape[1]:
                seen = _make_room(breakers, seen, e)
            cut = _is_cut(outcome, again)
            latency_ms = again.timeout_ms if cut else np.int64(outcome.latency_ms)
            error = again.timeout_class if cut else np.int64(outcome.error)
            is_call = outcome.kind == CALL
            if d.probing == 1 and again.timeout_ms == 0 and latency_ms * 1000 > b.max_wait_us:
                # overdue: a failed, slow observation, and the last of this probe; the answer may still come (S16)
                d.probing = 2
                _remember(b, seen, k, e, at, b.max_wait_us // 1000, (1 << rules[e, 1].count) - 1)
                _end_probe(b, rules[e, 1], recover, seen, k, e, at, changes)
                continue
            if is_call and d.mark == b.epoch and d.probing != 2:
                failed = failures[e, error]
                if d.probing == 1:
                    _remember(b, seen, k, e, at, latency_ms, _bits(rules[e, 1], recover, e, latency_ms, failed))
                elif b.state == CLOSED:
                    _observe(b, rules[e, 0], trip, seen, k, e, at, latency_ms, failed, changes)
            follows = 0
            if is_call and error > 0:
                if flags[error] & RETRIED and d.number < again.attempts:
                    follows = _RETRY
                elif flags[error] & FALLS_BACK and e + 1 < entries:
                    follows = _HOP
            if d.probing == 1 and follows != _RETRY:
                _end_probe(b, rules[e, 1], recover, seen, k, e, at, changes)
            if follows == 0:
                d.error = error
                d.wait_us = at - arrived_us[request]
            else:
                then = at + again.backoff_us if follows == _RETRY else at
                _push(heap, in_heap, then, np.int64(follows) << 56 | request << 16 | d.attempts)
                in_heap += 1
            continue

        share_draw = draw[request] if len(draw) else 0.0
        if what == _ARRIVAL:
            b = breakers[0]
            if b.guarded == 1 and b.state == CLOSED:
                _expire(b, seen, k, 0, at)
                d.mark = b.epoch
                e = np.int64(0)
            else:
                _choose(breakers, rules, recover, seen, k, d, at, 0, share_draw, changes)
                e = np.int64(d.entry)
            d.first = e
            exact = breakers[0].exact
            for other in range(1, e + 1):
                exact &= breakers[other].exact
            d.exact = exact
            d.probe = d.probing
            d.state = b.state
            d.k, d.n = k[0, 0], b.tail - b.head
        elif what == _HOP:
            _choose(breakers, rules, recover, seen, k, d, at, e + 1, share_draw, changes)
            e = np.int64(d.entry)
        else:
            d.number += 1
            if d.probing != 1:
                d.probing = 0
                d.mark = breakers[e].epoch if breakers[e].guarded == 1 and breakers[e].state == CLOSED else -1
        outcome, b = outcomes[e, d.number, request], breakers[e]
        d.attempts += 1
        if outcome.estimated == 1:
            d.estimated = 1
            if d.mark > 0:
                b.exact = 0
        if outcome.kind == NO_OUTCOME:
            d.error = -1
            d.wait_us = -1
            if d.probing == 1:
                _end_probe(b, rules[e, 1], recover, seen, k, e, at, changes)
            continue
        cut = _is_cut(outcome, again)
        latency_ms = again.timeout_ms if cut else np.int64(outcome.latency_ms)
        error = again.timeout_class if cut else np.int64(outcome.error)
        if cut and (outcome.error != error or outcome.latency_ms * 20 > latency_ms * 21):
            d.cut = CUT  # a logged timeout of this length, within a gateway's own delay, is the same timeout
        if d.probing == 1 and again.timeout_ms == 0 and latency_ms * 1000 > b.max_wait_us:
            _push(heap, in_heap, at + b.max_wait_us, np.int64(_COMPLETION) << 56 | request << 16 | d.attempts)
            in_heap += 1
        if what == _ARRIVAL and e == 0 and latency_ms > 0:
            continue  # its end is among `done_us`
        if d.mark > 0 or (outcome.kind == CALL and flags[error] != 0):
            done = at + latency_ms * 1000
            _push(heap, in_heap, done, np.int64(_COMPLETION) << 56 | request << 16 | d.attempts)
            in_heap += 1
        else:
            d.error = error
            d.wait_us = at + latency_ms * 1000 - arrived_us[request]
    table = np.empty((len(changes), 9), np.float64)
    for row in range(len(changes)):
        values, exact = changes[row]
        for column in range(8):
            table[row, column] = values[column]
        table[row, 8] = exact
    return table


def run(
    arrived_us: NDArray[np.int64],
    draw: NDArray[np.float64],
    done_us: NDArray[np.int64],
    done_request: NDArray[np.int32],
    outcomes: NDArray[Any],
    breakers: NDArray[Any],
    rules: NDArray[Any],
    trip: NDArray[Any],
    recover: NDArray[Any],
    retry: NDArray[Any],
    failures: NDArray[np.int8],
    flags: NDArray[np.int8],
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return what the policy would have done with one route's requests, and how its breakers changed.

    Parameters
    ----------
    arrived_us
        Arrivals, sorted by (arrival, request id).
    draw
        A number in [0, 1) per request, for half-open shares; empty where every share is 1.
    done_us, done_request
        The ends of every first attempt on the primary that takes time, this policy's timeout applied, sorted by (end,
        request).
    outcomes
        OUTCOME records ``[entry, attempt number, request]``: what would happen to each attempt.
    breakers
        BREAKER records ``[entry]``; changed while running.
    rules, trip, recover
        RULE records ``[entry, (trip, recover)]`` and the CONDITION records ``[entry, condition]`` of each.
    retry
        One RETRY record.
    failures, flags
        ``[entry, error class]``: counts as failed for the breaker; ``[error class]``: RETRIED and FALLS_BACK.

    Returns
    -------
    DECISION records ``[request]``, and one row a change: (entry, at_us, from, to, why, condition, value, n, exact).
    """
    decisions = np.zeros(len(arrived_us), DECISION)  # numpy asks for huge pages, numba does not
    table = _loop(
        arrived_us, draw, done_us, done_request, outcomes, breakers, rules, trip, recover, retry, failures, flags,
        decisions,
    )  # fmt: skip
    return decisions, table
