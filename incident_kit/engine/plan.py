"""Plan: one route of a policy as the records that the kernel runs on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.engine import kernel
from incident_kit.errors import InvalidPolicy
from incident_kit.policies.conditions import Rule
from incident_kit.policies.routes import Breaker, Route

_ALSO = {  # error classes without a code of their own, and the patterns that take them
    "connection": ("5xx",),
    "unknown": ("5xx",),
    "cut": ("5xx",),
    "content_policy": ("4xx",),
    "context_window": ("4xx",),
}


def is_in(error: str, patterns: Sequence[str]) -> bool:
    """Return whether an error class of a log belongs to a policy's classes.

    A code belongs to its own name and to ``5xx`` or ``4xx`` (a 429 too, listed by itself or not: S8).
    A broken connection, a cut stream and an unknown failure are the provider's: ``5xx``. A content filter's refusal and
    an overlong prompt are the client's: ``4xx``.
    """
    if error in patterns:
        return True
    if re.fullmatch(r"\d{3}", error, re.ASCII):
        return f"{error[0]}xx" in patterns
    return any(pattern in patterns for pattern in _ALSO.get(error, ()))


@dataclass(frozen=True)
class Plan:
    """The arguments of :func:`kernel.run` that come from a route; ``conditions`` names each for people."""

    targets: tuple[str, ...]
    attempts: int
    breakers: NDArray[Any]
    rules: NDArray[Any]
    trip: NDArray[Any]
    recover: NDArray[Any]
    retry: NDArray[Any]
    failures: NDArray[np.int8]
    flags: NDArray[np.int8]


def plan(route: Route, errors: Sequence[str]) -> Plan:
    """Return a route as records; ``errors`` are the log's error classes, position 0 is "ok"."""
    chain = route.chain
    entries = len(chain)
    breakers = np.zeros(entries, kernel.BREAKER)
    breakers["epoch"] = breakers["exact"] = 1
    breakers["true_since"] = -1
    rules = np.zeros((entries, 2), kernel.RULE)
    longest = max((len(entry.breaker.conditions) for entry in chain if entry.breaker), default=1)
    if longest > kernel.MAX_CONDITIONS:
        raise InvalidPolicy(
            f"route {route.name}: a breaker has {longest} conditions, at most {kernel.MAX_CONDITIONS} fit"
        )
    trip = np.zeros((entries, longest), kernel.CONDITION)
    recover = np.zeros((entries, longest), kernel.CONDITION)
    failures = np.zeros((entries, len(errors)), np.int8)
    for e, entry in enumerate(chain):
        if entry.breaker is None:
            continue
        _guard(breakers[e : e + 1], entry.breaker)
        own = entry.breaker.half_open.when
        _fill(rules[e, 0:1], trip[e], entry.breaker.when, own=True)
        _fill(rules[e, 1:2], recover[e], own or entry.breaker.when, own=own is not None)
        failures[e] = [error != "ok" and is_in(error, entry.breaker.errors) for error in errors]
    retry = np.zeros(1, kernel.RETRY)
    retry["attempts"] = route.retry.attempts
    retry["timeout_ms"] = route.retry.timeout_ms or 0
    retry["timeout_class"] = errors.index("timeout")
    retry["backoff_us"] = route.retry.backoff_ms * 1000
    targets = tuple(entry.model for entry in chain)
    return Plan(
        targets, 1 + route.retry.attempts, breakers, rules, trip, recover, retry, failures, flags_of(route, errors)
    )


def flags_of(route: Route, errors: Sequence[str]) -> NDArray[np.int8]:
    """Return, for each error class, kernel.RETRIED and kernel.FALLS_BACK."""
    flags = np.zeros(len(errors), np.int8)
    for code, error in enumerate(errors):
        # a stream that broke had begun to answer: the client has it, so it is neither retried nor sent elsewhere
        if error not in {"ok", "cut"}:
            flags[code] |= kernel.RETRIED * is_in(error, route.retry.retry_on)
            flags[code] |= kernel.FALLS_BACK * is_in(error, route.fallback_on)
    return flags


def _guard(record: NDArray[Any], breaker: Breaker) -> None:
    is_count = breaker.window.kind == "count"
    record["guarded"] = 1
    record["count_window"] = is_count
    record["window"] = breaker.window.length * (1 if is_count else 1000)
    record["min_requests"] = min(breaker.min_requests, breaker.window.length) if is_count else breaker.min_requests
    record["for_us"] = breaker.for_ms * 1000
    record["cooldown_us"] = breaker.cooldown_ms * 1000
    record["growth"], record["shrink"] = breaker.cooldown_factor.as_integer_ratio()
    record["longest_ms"] = breaker.cooldown_max_ms or breaker.cooldown_ms
    record["probes"] = breaker.half_open.requests
    record["share"] = breaker.half_open.share
    record["max_wait_us"] = breaker.half_open.max_wait_ms * 1000


def _fill(rule: NDArray[Any], conditions: NDArray[Any], when: Rule, *, own: bool) -> None:
    rule["count"], rule["at_least"], rule["own"] = len(when.leaves), when.at_least, own
    for i, condition in enumerate(when.leaves):
        limit_ms = condition.limit_ms or 0
        conditions[i] = (
            condition.kind == "latency",
            limit_ms if condition.count_at_limit else limit_ms + 1,
            condition.numerator,
            condition.denominator,
            condition.strict,
            condition.negated,
            condition.metric.startswith("p"),
        )
