"""Sightings: what an attempt or a request says to breakers and alerts, and when, compiled (POLICY.md S10, S18, vocabulary)."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.engine.agenda import push
from incident_kit.engine.judges import (
    CONSECUTIVE,
    COST,
    ERROR,
    FALLBACK,
    LATENCY,
    MEAN,
    OVERRIDE,
    TIMEOUT,
    TOO_MANY,
    TOOLS,
    TTFT,
    enter,
    leaves_in_use,
    observes,
)  # fmt: skip
from incident_kit.engine.kernel import CLOSED, HALF_OPEN
from incident_kit.engine.machinery import CROSSING, FEEDBACK, OVERDUE, TOKEN
from incident_kit.estimation.outcomerecords import CALL

_jit = nb.njit(cache=True, nogil=True)


@_jit
def announce_everywhere(w: Any, request: int, target: int, tick: int) -> None:
    """Plan what an attempt's own breaker and those that listen to its target will see of it before its end."""
    d = w.requests[request]
    _announce(w, request, d.judge, tick)
    for i in range(w.listeners.shape[1]):
        j = w.listeners[target, i]
        if j < 0:
            break
        if j != d.judge:
            _announce(w, request, j, tick)


@_jit
def _announce(w: Any, request: int, j: int, tick: int) -> None:
    """Plan what a judge will see of an attempt before its end: its first token, and its age passing a limit (S18)."""
    d = w.requests[request]
    if j < 0 or not observes(w, j, tick, d.judge if d.probing == 1 else -1):
        return
    first, end = leaves_in_use(w, j)
    for leaf in range(first, end):
        c = w.leaves[leaf]
        if c.kind == LATENCY and c.elapsed == 1 and d.latency_ms > c.limit:
            push(w, d.sent + c.limit * 1000, CROSSING, request, d.attempts, tick, j, 0, 0, 0, c.limit, 0)
        elif c.kind == TTFT and 0 <= d.ttft_ms <= d.latency_ms:
            push(w, d.sent + d.ttft_ms * 1000, TOKEN, request, d.attempts, tick, j, 0, 0, 0, 0, 0)


@_jit
def observe(w: Any, request: int, j: int, what: int, at: int, limit: int) -> None:
    """Enter into one breaker what an event says of an attempt."""
    d = w.requests[request]
    if j < 0 or not observes(w, j, d.tick, d.judge if d.probing == 1 else -1):
        return
    first, end = leaves_in_use(w, j)
    failed = np.int64(w.failures[j, d.failure])
    fact = w.donors[d.cell]
    for leaf in range(first, end):
        c = w.leaves[leaf]
        if what == CROSSING:
            if c.kind == LATENCY and c.elapsed == 1 and c.limit == limit:
                enter(w, leaf, at, 1, 1, -1, limit)
        elif what == TOKEN:
            if c.kind == TTFT:
                ttft_ms = (at - d.sent) // 1000
                enter(w, leaf, at, 1 if ttft_ms >= c.limit else 0, 1, -1, ttft_ms)
        elif what == OVERDUE:
            waited = (at - d.sent) // 1000
            if c.kind == LATENCY:
                if c.elapsed == 0 or waited <= c.limit:
                    enter(w, leaf, at, 1, 1, -1, waited)
            elif c.kind == MEAN:
                enter(w, leaf, at, waited, 1, -1, waited)
            elif c.kind in (ERROR, TIMEOUT, TOO_MANY, CONSECUTIVE):
                enter(w, leaf, at, 0 if c.kind == TOO_MANY else 1, 1, -1, 0)
        elif c.kind == LATENCY:
            if c.elapsed == 0 or d.latency_ms <= c.limit:
                enter(w, leaf, at, 1 if d.latency_ms >= c.limit else 0, 1, -1, d.latency_ms)
        elif c.kind == TTFT:
            if d.ttft_ms > d.latency_ms:  # cut before its first token
                enter(w, leaf, at, 1 if d.latency_ms >= c.limit else 0, 1, -1, d.latency_ms)
        elif c.kind == MEAN:
            enter(w, leaf, at, d.latency_ms, 1, -1, d.latency_ms)
        elif c.kind in (ERROR, CONSECUTIVE):
            enter(w, leaf, at, failed, 1, -1, 0)
        elif c.kind == TIMEOUT:
            enter(w, leaf, at, 1 if d.failure == w.timeout_class else 0, 1, -1, 0)
        elif c.kind == TOO_MANY:
            enter(w, leaf, at, 1 if d.failure == w.too_many_class else 0, 1, -1, 0)
        elif c.kind == TOOLS and _has_tools(w, request) and w.facts[fact].tools_after_us < 0:
            enter(w, leaf, at, w.facts[fact].tools_ok, w.facts[fact].tool_calls, -1, 0)


@_jit
def _has_tools(w: Any, request: int) -> bool:
    """Return whether the attempt called tools that this policy leaves it, and how that went is known."""
    d = w.requests[request]
    r = w.routes[d.route]
    fact = w.donors[d.cell]
    if fact < 0 or w.facts[fact].tool_calls == 0 or d.ended_early == 1:
        return False
    return r.toolless == 0 or d.entry < r.primaries


@_jit
def observe_everywhere(w: Any, request: int, what: int, at: int, limit: int) -> None:
    """Enter what an event says of an attempt into its own breaker and into those that listen to its target."""
    d = w.requests[request]
    observe(w, request, d.judge, what, at, limit)
    target = w.entries[d.route, d.entry].target
    for i in range(w.listeners.shape[1]):
        j = w.listeners[target, i]
        if j < 0:
            break
        if j != d.judge:
            observe(w, request, j, what, at, limit)


@_jit
def _feed(w: Any, e: Any, j: int, probing: int) -> None:
    """Enter late feedback on an attempt into one judge."""
    if j < 0 or not observes(w, j, e.tick, probing):
        return
    first, end = leaves_in_use(w, j)
    for leaf in range(first, end):
        if w.leaves[leaf].kind == e.leaf:
            enter(w, leaf, e.at, e.k, e.n, -1, 0)


@_jit
def feed_everywhere(w: Any, e: Any, request: int) -> None:
    """Enter late feedback into the attempt's own breaker, those that listen to its target, and the alerts on its intent."""
    d = w.requests[request]
    probing = np.int64(e.judge) if e.probing & 1 else -1
    _feed(w, e, e.judge, probing)
    for i in range(w.listeners.shape[1]):
        j = w.listeners[e.target, i]
        if j < 0:
            break
        if j != e.judge:
            _feed(w, e, j, -1)
    if e.probing & 2:
        for i in range(w.alerts_of.shape[1]):
            j = w.alerts_of[d.intent + 1, i]
            if j < 0:
                break
            _feed(w, e, j, -1)


@_jit
def plan_feedback(w: Any, request: int, at: int, ended_well: bool) -> None:
    """Plan when tool results and reviews of an attempt become known."""
    d = w.requests[request]
    fact = w.donors[d.cell]
    if fact < 0:
        return
    f = w.facts[fact]
    flags = (1 if d.probing == 1 else 0) | (2 if ended_well and d.fact == 0 else 0)
    if f.tools_after_us >= 0 and _has_tools(w, request):
        _plan(w, request, at + f.tools_after_us, TOOLS, flags, f.tools_ok, f.tool_calls)
    if not ended_well:
        return
    if w.feedback_lag_us >= 0:
        _plan(w, request, at + w.feedback_lag_us, OVERRIDE, flags, 0, 1)
        if f.overridden == 1:
            _plan(w, request, at + f.review_after_us, OVERRIDE, flags, 1, 0)
    elif f.overridden >= 0:
        _plan(w, request, at + f.review_after_us, OVERRIDE, flags, f.overridden, 1)


@_jit
def _plan(w: Any, request: int, at: int, kind: int, flags: int, k: int, n: int) -> None:
    """Plan feedback; where no leaf listens, only sweeps go on until then."""
    d = w.requests[request]
    if w.hears & (1 << kind):
        target = w.entries[d.route, d.entry].target
        push(w, at, FEEDBACK, request, d.attempts, d.tick, d.judge, kind, target, flags, k, n)
    elif at > w.span[1]:
        w.span[1], w.span[2] = at, 0


@_jit
def finish(w: Any, request: int, at: int, error: int) -> None:
    """End a request, and enter it into what counts requests: breakers of its route, alerts on its intent."""
    d = w.requests[request]
    d.error, d.wait_us = error, at - d.arrived
    if d.fact == 1:
        return
    r = w.routes[d.route]
    fell_back = 1 if d.no_model == 1 or d.entry >= r.primaries else 0
    for entry in range(r.entries):
        j = w.judge_of[d.route, entry, d.intent + 1]
        if j >= 0 and w.judges[j].uses & (1 << FALLBACK | 1 << COST) and counts_request(w, request, j):
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
            f = w.facts[w.donors[d.cell]]
            if _has_tools(w, request) and f.tools_after_us < 0:
                enter(w, leaf, at, f.tools_ok, f.tool_calls, -1, 0)


@_jit
def counts_request(w: Any, request: int, j: int) -> bool:
    """Return whether a breaker counts a request of its route: decided in this epoch, or in this test by its permit."""
    b, d = w.judges[j], w.requests[request]
    if b.state == HALF_OPEN:
        return len(w.permits) > 0 and w.permits[request, b.entry] >= b.epoch
    return b.state == CLOSED and d.decided >= b.epoch


@_jit
def doubt(w: Any, request: int, target: int, tick: int) -> None:
    """Note who is about to see what was not observed: an attempt that is being sent."""
    d = w.requests[request]
    if d.judge >= 0 and observes(w, d.judge, tick, d.judge if d.probing == 1 else -1):
        w.judges[d.judge].exact = 0
    for i in range(w.listeners.shape[1]):
        j = w.listeners[target, i]
        if j < 0:
            break
        if j != d.judge and observes(w, j, tick, -1):
            w.judges[j].exact = 0
    for entry in range(w.routes[d.route].entries):
        j = w.judge_of[d.route, entry, d.intent + 1]
        if j >= 0 and w.judges[j].uses & (1 << FALLBACK | 1 << COST) and counts_request(w, request, j):
            w.judges[j].exact = 0
    doubt_alerts(w, d.intent)


@_jit
def doubt_alerts(w: Any, intent: int) -> None:
    """Note that an alert will see what was not observed."""
    for i in range(w.alerts_of.shape[1]):
        j = w.alerts_of[intent + 1, i]
        if j < 0:
            break
        w.judges[j].exact = 0
