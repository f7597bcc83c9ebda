"""Attempts: what a request meets on an entry, how long that takes, what follows its end, compiled (POLICY.md S7, S8, S10)."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.engine.agenda import push
from incident_kit.engine.breakers import end_probe, evaluate_all
from incident_kit.engine.kernel import CUT
from incident_kit.engine.machinery import DONE, HOP, LATE, MODEL, NEVER, OVERDUE, QUEUE, REJECT, RETRY
from incident_kit.engine.queues import hold
from incident_kit.engine.sightings import (
    announce_everywhere,
    doubt,
    doubt_alerts,
    finish,
    observe_everywhere,
    plan_feedback,
)
from incident_kit.engine.ways import goes_on
from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME

_jit = nb.njit(cache=True, nogil=True)


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
        is_own = w.outcomes[own].kind != NO_OUTCOME and estimated == 0 and w.donors[own] >= 0
        if is_own:  # sent at that very time, or nearer to it than the other came
            gap_us = abs(w.facts[w.donors[own]].sent_us - at)
            is_own = gap_us == 0 or gap_us < abs(w.requests[other].arrived - at)
        if not is_own:
            d.cut = CUT
            cell = row + w.requests[other].column
            return cell, np.int64(w.outcomes[cell].estimated) if w.by_time == 1 else np.int64(1)
    return own, estimated


@_jit
def _cut(w: Any, request: int, cell: int, at: int) -> tuple[int, int]:
    """Return how long an attempt takes and how it ends, once this policy's timeouts and deadline have their say (S8, S10)."""
    d = w.requests[request]
    r = w.routes[d.route]
    outcome = w.outcomes[cell]
    latency_us, error = np.int64(outcome.latency_ms) * 1000, np.int64(outcome.error)
    d.final = d.ended_early = 0
    if outcome.kind != CALL:
        return latency_us, error
    cut_ms = r.timeout_ms if 0 < r.timeout_ms < outcome.latency_ms else 0
    if (
        0 < r.ttft_timeout_ms < d.ttft_ms
        and r.ttft_timeout_ms * 1000 < latency_us
        and (cut_ms == 0 or r.ttft_timeout_ms < cut_ms)
    ):
        cut_ms = r.ttft_timeout_ms
    if cut_ms > 0:
        if outcome.error != w.timeout_class or outcome.latency_ms * 20 > cut_ms * 21:
            d.cut = CUT
        latency_us, error, d.ended_early = cut_ms * 1000, np.int64(w.timeout_class), 1
    if r.deadline_us > 0 and at + latency_us > d.arrived + r.deadline_us:
        latency_us, error, d.final = max(d.arrived + r.deadline_us - at, 0), np.int64(w.timeout_class), 1
        d.ended_early = 1
        if outcome.error != w.timeout_class or np.int64(outcome.latency_ms) * 20000 > latency_us * 21:
            d.cut = CUT
    return latency_us, error


@_jit
def send(w: Any, request: int, at: int, tick: int) -> None:
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
        finish(w, request, at, w.rejected_class if kind == REJECT else 0)
        return
    d.attempts += 1
    cell, estimated = _outcome(w, request, at)
    d.cell, d.tick, d.sent = cell, tick, at
    outcome = w.outcomes[cell]
    target = w.entries[d.route, d.entry].target
    _remember(w, request, d.entry if w.entries[d.route, d.entry].conditional == 0 else -1, d.exact & (1 - estimated))
    if estimated == 1:
        d.estimated = 1
        doubt(w, request, target, tick)
    if outcome.kind == NO_OUTCOME:
        d.error = d.wait_us = -1
        evaluate_all(w, at, tick)
        end_probe(w, request, at, tick)
        return
    fact = w.donors[cell]
    d.ttft_ms = w.facts[fact].ttft_ms if fact >= 0 else -1
    latency_us, error = _cut(w, request, cell, at)
    d.latency_ms, d.failure, d.done, d.crossed = latency_us // 1000, error, at + latency_us, -1
    d.begun = 0
    if d.cost >= 0:
        cost = w.facts[fact].cost_nano if fact >= 0 else -1
        d.cost = d.cost + cost if cost >= 0 else -1
    if outcome.kind == CALL:
        announce_everywhere(w, request, target, tick)
    if d.probing == 1 and r.timeout_ms == 0 and latency_us > w.judges[d.judge].max_wait_us:
        push(w, at + w.judges[d.judge].max_wait_us, OVERDUE, request, d.attempts, tick, d.judge, 0, target, 1, 0, 0)
    push(w, d.done, DONE, request, d.attempts, tick, d.judge, 0, target, d.probing, 0, 0)


@_jit
def _remember(w: Any, request: int, entry: int, exact: int) -> None:
    """Let a conversation keep a target, or none, where its route wants that (S22)."""
    d = w.requests[request]
    if w.routes[d.route].sticky == 1 and d.conversation >= 0:
        w.stuck[d.conversation, 0] = entry
        w.stuck[d.conversation, 1] &= exact


@_jit
def end_attempt(w: Any, request: int, at: int, tick: int) -> None:
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
            elif goes_on(w, request, error):
                follows = HOP
    if is_call:
        observe_everywhere(w, request, DONE, at, 0)
        plan_feedback(w, request, at, follows == 0 and error == 0)
        if error > 0 and d.fact == 0:
            _remember(w, request, -1, 1 - d.estimated)
    if follows == 0:
        finish(w, request, at, error)
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
