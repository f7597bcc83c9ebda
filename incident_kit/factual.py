"""Factual: what an alert sees of requests that stay as logged, as rows of its leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit import judges
from incident_kit.details import REVIEWED, Details
from incident_kit.log import UNKNOWN, Log
from incident_kit.plan import is_in

Rows = Iterable[tuple[int, int, int, int, int]]  # at, rank at one instant, request, k, n
_ARRIVAL, _END, _LATER = 3, 4, 5


def rows_of_alert(
    log: Log, details: Details, requests: NDArray[Any], leaf: Mapping[str, Any], errors: Sequence[str]
) -> Rows:
    """Return the rows of one leaf: what it counts of some requests, and when that was known (POLICY.md, vocabulary)."""
    kind = leaf["kind"]
    if kind == judges.REQUESTS:
        ones = np.ones(len(requests), np.int64)
        return _rows(log.arrived_us[requests], _ARRIVAL, requests, ones, ones)
    requests = requests[(log.wait_ms[requests] >= 0) & (log.error[requests] >= 0)]
    wait_ms, error = log.wait_ms[requests].astype(np.int64), log.error[requests]
    end_us = log.arrived_us[requests] + wait_ms * 1000
    ones = np.ones(len(requests), np.int64)
    if kind == judges.LATENCY:
        return _rows(end_us, _END, requests, wait_ms >= leaf["limit"], ones)
    if kind == judges.MEAN:
        return _rows(end_us, _END, requests, wait_ms, ones)
    if kind in {judges.ERROR, judges.CONSECUTIVE}:
        fails = np.array([one != "ok" and is_in(one, errors) for one in log.errors])
        return _rows(end_us, _END, requests, fails[error], ones)
    if kind in {judges.TIMEOUT, judges.TOO_MANY}:
        name = "timeout" if kind == judges.TIMEOUT else "429"
        return _rows(end_us, _END, requests, np.array([one == name for one in log.errors])[error], ones)
    if kind == judges.FALLBACK:
        known = details.is_fallback[requests] >= 0
        return _rows(end_us[known], _END, requests[known], details.is_fallback[requests][known], ones[known])
    if kind == judges.COST:
        cost = details.cost_nano[requests]
        known = cost >= 0
        return _rows(end_us[known], _END, requests[known], cost[known], ones[known])
    return _of_answers(log, details, requests, end_us, leaf)


def _of_answers(
    log: Log, details: Details, requests: NDArray[Any], end_us: NDArray[np.int64], leaf: Mapping[str, Any]
) -> Rows:
    """Return the rows of what the answering call says: first token, tools, reviews."""
    last = log.calls.starts[requests + 1] - 1
    has_call = last >= log.calls.starts[requests]
    answer = _answering(log, requests)
    chosen = has_call & (answer >= 0) & (log.error[requests] == 0)
    requests, end_us, answer = requests[chosen], end_us[chosen], answer[chosen]
    facts = details.facts[answer]
    kind = leaf["kind"]
    ones = np.ones(len(requests), np.int64)
    if kind == judges.TTFT:
        ttft_ms = (facts["sent_us"] - log.arrived_us[requests]) // 1000 + facts["ttft_ms"]
        known = facts["ttft_ms"] >= 0
        return _rows(end_us[known], _END, requests[known], ttft_ms[known] >= leaf["limit"], ones[known])
    if kind == judges.TOOLS:
        known = facts["tool_calls"] > 0
        after = np.maximum(facts["tools_after_us"], 0)
        return _rows(
            (end_us + after)[known], _LATER, requests[known], facts["tools_ok"][known], facts["tool_calls"][known]
        )
    if kind == judges.OVERRIDE:
        overridden, at = facts["overridden"], end_us + facts["review_after_us"]
        if details.feedback_lag_us == REVIEWED:
            known = overridden >= 0
            return _rows(at[known], _LATER, requests[known], overridden[known], ones[known])
        due = _rows(end_us + details.feedback_lag_us, _LATER, requests, 0 * ones, ones)
        known = overridden == 1
        return [*due, *_rows(at[known], _LATER, requests[known], ones[known], 0 * ones[known])]
    return []


def _answering(log: Log, requests: NDArray[Any]) -> NDArray[np.int64]:
    """Return the last call without an error on the target that answered, -1 without one."""
    found = np.full(len(log), UNKNOWN, np.int64)
    calls = log.calls
    fits = np.flatnonzero((calls.error == 0) & (calls.target == log.served[calls.request]) & calls.is_call)
    found[calls.request[fits]] = fits
    return found[requests]


def _rows(at: NDArray[Any], rank: int, requests: NDArray[Any], k: NDArray[Any], n: NDArray[Any]) -> Rows:
    values = (column.astype(np.int64).tolist() for column in (at, requests, k, n))
    return [(when, rank, request, of, all_) for when, request, of, all_ in zip(*values, strict=True)]
