"""Factual: what an alert sees of requests that stay as logged, as rows of its leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from incident_kit.engine import judges
from incident_kit.engine.details import REVIEWED, Details
from incident_kit.engine.machinery import BEGUN, ENDED, HEARD
from incident_kit.engine.plan import is_in
from incident_kit.log import Log

_TOOLS, _DUE, _OVERRIDDEN = range(3)  # the order of what is heard of one answer at one instant


class Rows(NamedTuple):
    """Rows of one leaf: what kind of event brings them, when, of which request; what they count of how many, and milliseconds."""

    what: int
    at: NDArray[Any]
    request: NDArray[Any]
    minor: int
    k: NDArray[Any]
    n: NDArray[Any]
    value: NDArray[Any]


def rows_of_alert(
    log: Log, details: Details, requests: NDArray[Any], leaf: Mapping[str, Any], errors: Sequence[str]
) -> Iterator[Rows]:
    """Yield the rows of one leaf: what it counts of some requests, and when that was known (POLICY.md, vocabulary)."""
    kind = leaf["kind"]
    if kind == judges.REQUESTS:
        ones = np.ones(len(requests), np.int64)
        yield Rows(BEGUN, log.arrived_us[requests], requests, 0, ones, ones, ones)
        return
    requests = requests[(log.wait_ms[requests] >= 0) & (log.error[requests] >= 0)]
    end_us = log.arrived_us[requests] + log.wait_ms[requests].astype(np.int64) * 1000
    if kind in {judges.TTFT, judges.TOOLS, judges.OVERRIDE}:
        yield from _of_answers(log, details, requests, end_us, leaf)
        return
    values, known = _at_the_end(log, details, requests, leaf, errors)
    requests, end_us, values = requests[known], end_us[known], values[known]
    yield Rows(ENDED, end_us, requests, 0, values, np.ones(len(requests), np.int64), log.wait_ms[requests])


def _at_the_end(
    log: Log, details: Details, requests: NDArray[Any], leaf: Mapping[str, Any], errors: Sequence[str]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return what each request's end says, and where that is known."""
    kind, wait_ms, error = leaf["kind"], log.wait_ms[requests].astype(np.int64), log.error[requests]
    known = np.ones(len(requests), np.bool_)
    if kind == judges.LATENCY:
        return wait_ms >= leaf["limit"], known
    if kind == judges.MEAN:
        return wait_ms, known
    if kind in {judges.ERROR, judges.CONSECUTIVE}:
        return np.array([one != "ok" and is_in(one, errors) for one in log.errors], np.bool_)[error], known
    if kind in {judges.TIMEOUT, judges.TOO_MANY}:
        name = "timeout" if kind == judges.TIMEOUT else "429"
        return np.array([one == name for one in log.errors], np.bool_)[error], known
    if kind in {judges.FALLBACK, judges.COST}:
        values = (details.is_fallback if kind == judges.FALLBACK else details.cost_nano)[requests]
        return values, values >= 0
    return wait_ms, ~known


def _of_answers(
    log: Log, details: Details, requests: NDArray[Any], end_us: NDArray[np.int64], leaf: Mapping[str, Any]
) -> Iterator[Rows]:
    """Yield the rows of what the answering call says: first token, tools, reviews."""
    answer = _answering(log, requests)
    chosen = (answer >= 0) & (log.error[requests] == 0)
    requests, end_us, answer = requests[chosen], end_us[chosen], answer[chosen]
    facts, kind = details.facts[answer], leaf["kind"]
    ones = np.ones(len(requests), np.int64)
    if kind == judges.TTFT:
        ttft_ms = (facts["sent_us"] - log.arrived_us[requests]) // 1000 + facts["ttft_ms"]
        known = facts["ttft_ms"] >= 0
        requests, end_us, ttft_ms = requests[known], end_us[known], ttft_ms[known]
        yield Rows(ENDED, end_us, requests, 0, ttft_ms >= leaf["limit"], ones[known], ttft_ms)
    elif kind == judges.TOOLS:
        for what, known in ((ENDED, facts["tools_after_us"] < 0), (HEARD, facts["tools_after_us"] >= 0)):
            some = facts[known & (facts["tool_calls"] > 0)]
            of, at = requests[known & (facts["tool_calls"] > 0)], end_us[known & (facts["tool_calls"] > 0)]
            at = at + np.maximum(some["tools_after_us"], 0)
            yield Rows(what, at, of, _TOOLS, some["tools_ok"], some["tool_calls"], 0 * at)
    else:
        reviewed, overridden = facts["overridden"] >= 0, facts["overridden"]
        at = end_us + facts["review_after_us"]
        if details.feedback_lag_us == REVIEWED:
            yield Rows(
                HEARD, at[reviewed], requests[reviewed], _OVERRIDDEN, overridden[reviewed], ones[reviewed], at[reviewed]
            )
            return
        yield Rows(HEARD, end_us + details.feedback_lag_us, requests, _DUE, 0 * ones, ones, ones)
        late = overridden == 1
        yield Rows(HEARD, at[late], requests[late], _OVERRIDDEN, ones[late], 0 * ones[late], ones[late])


def _answering(log: Log, requests: NDArray[Any]) -> NDArray[np.int64]:
    """Return the last call without an error on the target that answered, -1 without one."""
    found = np.full(len(log), -1, np.int64)
    calls = log.calls
    fits = np.flatnonzero((calls.error == 0) & (calls.target == log.served[calls.request]) & calls.is_call)
    found[calls.request[fits]] = fits
    answers: NDArray[np.int64] = found[requests]
    return answers
