"""Judges: the conditions of breakers and alerts over their windows, compiled (POLICY.md S9 to S13).

A judge is a breaker of one entry (of one intent, where its scope says so) or an alert. Its rule is a little program over
leaves; each leaf has a slot a window, which holds rows (at, k, n, key) in order of time and their sums. What is judged while
testing (HALF_OPEN) has leaves of its own, in slots without a window.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.engine.kernel import CLOSED, HALF_OPEN, OPEN

# what a leaf counts; the positions of conditions.Kind
KINDS = (
    "latency", "ttft", "mean", "error", "timeout", "429", "consecutive", "tools", "override", "escalation", "reopen", "sla",
    "fallback", "requests", "cost", "signal", "alert",
)  # fmt: skip
(LATENCY, TTFT, MEAN, ERROR, TIMEOUT, TOO_MANY, CONSECUTIVE, TOOLS, OVERRIDE, ESCALATION, REOPEN, SLA, FALLBACK, REQUESTS,
 COST, SIGNAL, ALERT) = range(len(KINDS))  # fmt: skip
FALSE, TRUE, UNKNOWN = 0, 1, 2
SLIDING, COUNT, TUMBLING, ENDLESS = range(4)

LEAF = np.dtype(
    [
        ("kind", "i8"),
        ("limit", "i8"),  # milliseconds from which a latency is counted
        ("num", "i8"),  # the test is k * den > num * n, or >= where not strict; negated turns it round
        ("den", "i8"),
        ("strict", "i8"),
        ("negated", "i8"),
        ("quantile", "i8"),  # 1: a transition reports the quantile, 0: the rate k / n
        ("elapsed", "i8"),  # counted as soon as its age passes the limit (S18)
        ("alert", "i8"),  # the judge that an alert leaf asks
        ("no_data", "i8"),  # what replaces unknown
        ("slot", "i8"),  # the slot of the first window
    ],
    align=True,
)
STEP = np.dtype(
    [("leaf", "i8"), ("count", "i8"), ("at_least", "i8")], align=True
)  # leaf -1: a group of the last `count`
SLOT = np.dtype(
    [
        ("kind", "i8"),
        ("length", "i8"),  # microseconds, or rows
        ("needed", "i8"),  # with a smaller n the leaf is unknown
        ("touched", "i8"),  # the row of `touched` that counts distinct keys, -1: keys are not counted
        ("first", "i8"),
        ("last", "i8"),
        ("rows", "i8"),
        ("k", "i8"),
        ("n", "i8"),
        ("run", "i8"),  # how many rows in a row, up to the last, had k > 0
    ],
    align=True,
)
NODE = np.dtype([("at", "i8"), ("k", "i8"), ("n", "i8"), ("value", "i8"), ("key", "i4"), ("next", "i4")], align=True)
JUDGE = np.dtype(
    [
        ("is_alert", "i8"),
        ("route", "i8"),
        ("entry", "i8"),
        ("intent", "i8"),  # of scope intent: the intent's code; else -2
        ("trip", "i8"), ("trips", "i8"),  # leaves: the first, and how many
        ("recover", "i8"), ("recovers", "i8"),
        ("program", "i8"), ("steps", "i8"),
        ("again", "i8"), ("agains", "i8"),  # the program of the test; own 0: passed when *not* met
        ("own", "i8"),
        ("windows", "i8"),
        ("for_us", "i8"),
        ("every_us", "i8"),  # 0: at each observation
        ("keep_us", "i8"),
        ("rest", "i8"), ("rests", "i8"),  # cooldowns: the first in the table, and how many
        ("probes", "i8"),
        ("share", "f8"),
        ("max_wait_us", "i8"),
        ("max_duration_us", "i8"),
        ("uses", "i8"),  # bits: the kinds of its leaves
        ("since", "i8"),  # of a rule that came into force later: when
        ("until", "i8"),  # from then on it is swept no more
        # from here on, what changes while the machine runs
        ("state", "i8"),
        ("epoch", "i8"),  # the number of the event that brought this state
        ("open_until", "i8"),
        ("half_until", "i8"),
        ("reopened", "i8"),
        ("true_since", "i8"),
        ("last_true", "i8"),
        ("granted", "i8"),
        ("pending", "i8"),
        ("seen", "i8"),  # rows entered since the last change
        ("fresh", "i8"),  # 1: rows were entered in this event
        ("exact", "i8"),
        ("unborn", "i8"),  # 1: not in force yet: nothing is entered, nothing swept
    ],
    align=True,
)  # fmt: skip

_jit = nb.njit(cache=True, nogil=True)


@_jit
def enter(w: Any, leaf: int, at: int, k: int, n: int, key: int, value: int) -> None:
    """Put a row into every window of a leaf."""
    judge = w.judges[w.judge_of_leaf[leaf]]
    if judge.unborn == 1:
        return
    judge.seen += 1
    if judge.fresh == 0 and judge.is_alert == 0 and judge.state == CLOSED and judge.every_us == 0:
        judge.fresh = 1
        w.todo[w.size[3]] = w.judge_of_leaf[leaf]
        w.size[3] += 1
    first = w.leaves[leaf].slot
    for s in range(first, first + w.slots_of_leaf[leaf]):
        slot = w.slots[s]
        node = w.free[0]
        w.free[0] = w.pool[node].next
        w.free[1] -= 1
        row = w.pool[node]
        row.at, row.k, row.n, row.value, row.key, row.next = at, k, n, value, key, -1
        if slot.last >= 0:
            w.pool[slot.last].next = node
        else:
            slot.first = node
        slot.last = node
        slot.rows += 1
        slot.k += k
        slot.n += n
        slot.run = slot.run + 1 if k > 0 else 0
        if key >= 0 and slot.touched >= 0:
            w.touched[slot.touched, key] += 1
            if w.touched[slot.touched, key] == 1:
                slot.n += 1
        if slot.kind == COUNT and slot.rows > slot.length:
            _drop(w, s)


@_jit
def _drop(w: Any, s: int) -> None:
    """Remove the oldest row of a slot."""
    slot = w.slots[s]
    node = slot.first
    row = w.pool[node]
    slot.first = row.next
    if slot.first < 0:
        slot.last = -1
    slot.rows -= 1
    slot.k -= row.k
    slot.n -= row.n
    slot.run = min(slot.run, slot.rows)
    if row.key >= 0 and slot.touched >= 0:
        w.touched[slot.touched, row.key] -= 1
        if w.touched[slot.touched, row.key] == 0:
            slot.n -= 1
    row.next = w.free[0]
    w.free[0] = node
    w.free[1] += 1


@_jit
def expire(w: Any, s: int, at: int) -> None:
    """Drop what a window no longer holds at ``at``."""
    slot = w.slots[s]
    if slot.kind == SLIDING:
        oldest = at - slot.length  # the window is open at its old end
    elif slot.kind == TUMBLING:
        oldest = at // slot.length * slot.length - 1
    else:
        return
    while slot.first >= 0 and w.pool[slot.first].at <= oldest:
        _drop(w, s)


@_jit
def clear(w: Any, j: int) -> None:
    """Empty every slot of a judge."""
    b = w.judges[j]
    for leaf in range(b.trip, b.trip + b.trips):
        for s in range(w.leaves[leaf].slot, w.leaves[leaf].slot + w.slots_of_leaf[leaf]):
            while w.slots[s].first >= 0:
                _drop(w, s)
    for leaf in range(b.recover, b.recover + b.recovers):
        while w.slots[w.leaves[leaf].slot].first >= 0:
            _drop(w, w.leaves[leaf].slot)


@_jit
def counts(w: Any, leaf: int, s: int) -> tuple[int, int]:
    """Return the k and n that a leaf compares; a number of requests, or of failures in a row, is compared with 1."""
    kind = w.leaves[leaf].kind
    if kind == CONSECUTIVE:
        return w.slots[s].run, 1
    if kind == REQUESTS:
        return w.slots[s].k, 1
    return w.slots[s].k, w.slots[s].n


@_jit
def truth(w: Any, leaf: int, window: int) -> int:
    """Return whether a leaf holds in one window; the window must be up to date."""
    c = w.leaves[leaf]
    if c.kind == ALERT:
        return TRUE if w.judges[c.alert].state == OPEN else FALSE
    s = c.slot + window
    k, n = counts(w, leaf, s)
    if c.kind not in (CONSECUTIVE, REQUESTS) and n < w.slots[s].needed:
        return c.no_data
    left, right = k * c.den, c.num * n
    held = left > right or (c.strict == 0 and left == right)
    return TRUE if held != (c.negated == 1) else FALSE


@_jit
def verdict(w: Any, j: int, at: int, testing: bool) -> int:
    """Return whether a judge's rule holds at ``at``: TRUE, FALSE or UNKNOWN (S12); in every window, where there are several."""
    b = w.judges[j]
    program, steps = (b.again, b.agains) if testing else (b.program, b.steps)
    stack = np.empty(steps + 1, np.int64)
    result = TRUE
    for window in range(1 if testing else b.windows):
        top = 0
        for step in range(program, program + steps):
            what = w.steps[step]
            if what.leaf >= 0:
                if not testing and w.leaves[what.leaf].kind != ALERT:
                    expire(w, w.leaves[what.leaf].slot + window, at)
                stack[top] = truth(w, what.leaf, window)
                top += 1
                continue
            true, unknown = 0, 0
            for i in range(top - what.count, top):
                true += stack[i] == TRUE
                unknown += stack[i] == UNKNOWN
            top -= what.count
            stack[top] = TRUE if true >= what.at_least else UNKNOWN if true + unknown >= what.at_least else FALSE
            top += 1
        if stack[0] == FALSE:
            return FALSE
        if stack[0] == UNKNOWN:
            result = UNKNOWN
    return result


@_jit
def shown(w: Any, j: int, testing: bool, deciding: int) -> int:
    """Return the first leaf that decided, else the first."""
    b = w.judges[j]
    first, count = (b.recover, b.recovers) if testing else (b.trip, b.trips)
    for leaf in range(first, first + count):
        if truth(w, leaf, 0) == deciding:
            return leaf
    return first


@_jit
def value(w: Any, leaf: int) -> tuple[float, float]:
    """Return what a leaf's first window says, and of how many: a quantile in ms, a rate, a count."""
    c = w.leaves[leaf]
    if c.kind == ALERT:
        return (1.0 if w.judges[c.alert].state == OPEN else 0.0), 0.0
    slot = w.slots[c.slot]
    if c.kind in (CONSECUTIVE, REQUESTS):
        k, _ = counts(w, leaf, c.slot)
        return float(k), float(slot.rows)
    if slot.n == 0:
        return np.nan, 0.0
    if c.kind == SIGNAL:
        return slot.k / slot.n, slot.n / 1e6
    if c.kind == COST:
        return slot.k / slot.n / 1e9, float(slot.n)
    if c.quantile == 0:
        return slot.k / slot.n, float(slot.n)
    values = np.empty(slot.rows, np.int64)
    node = slot.first
    for i in range(slot.rows):
        values[i] = w.pool[node].value
        node = w.pool[node].next
    values.sort()
    return float(values[((c.den - c.num) * slot.rows + c.den - 1) // c.den - 1]), float(slot.n)


@_jit
def observes(w: Any, j: int, tick: int, judge_of_probe: int) -> bool:
    """Return whether a judge observes what was sent at ``tick`` (S14, S16)."""
    b = w.judges[j]
    if b.is_alert == 1:
        return True
    if tick < b.epoch:
        return False
    return b.state == CLOSED or (b.state == HALF_OPEN and judge_of_probe == j)


@_jit
def leaves_in_use(w: Any, j: int) -> tuple[int, int]:
    """Return the first leaf that observations enter now, and the one after the last."""
    b = w.judges[j]
    if b.is_alert == 0 and b.state == HALF_OPEN:
        return b.recover, b.recover + b.recovers
    return b.trip, b.trip + b.trips
