"""Portkey's retries, time limits and circuit breakers, which a target has or inherits, as those of a route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from incident_kit.durations import show_duration

if TYPE_CHECKING:
    from incident_kit.gateways.foreign import Node

FAILURES: list[str | int] = ["timeout", "5xx", "4xx", 429, "context_window", "content_policy"]
RETRIED: list[str | int] = [429, 500, 502, 503, 504, 529]
BACKOFF_MS, MOST_RETRIES, LEAST_REST_MS, WINDOW = 1000, 5, 30_000, "60s"


@dataclass(slots=True)
class Target:
    """One target of the flattened tree: its name, its part of the traffic, and the settings that reach it."""

    name: str
    node: Node
    retry: Node | None
    timeout: Node | None
    breaker: Node | None
    weight: float = 1.0
    on: list[str | int] | None = None


def retry(targets: Sequence[Target]) -> dict[str, Any]:
    """Return the retries of the first target; those of others are approximated by it."""
    first = targets[0]
    for one in targets[1:]:
        for node, key in ((one.retry, "retry.attempts"), (one.timeout, "retry.timeout_ms")):
            same = node is not None and node.steps in {part.steps for part in (first.retry, first.timeout) if part}
            if node is not None and not same:
                node.approximated(key, f"retries and timeouts are of the whole route: those of {first.name} count")
    found: dict[str, Any] = {"attempts": 0, "retry_on": []}
    if first.retry is not None:
        found = _attempts(first.retry)
    else:
        first.node.ledger.default("retry.attempts", 0, "retry.attempts")
    timeout_ms = first.timeout.milliseconds() if first.timeout is not None else None
    if first.timeout is not None and timeout_ms:
        first.timeout.exact("retry.timeout_ms", "a streamed answer meets it with its first chunk there")
        found["timeout_ms"] = min(timeout_ms, 86_400_000)
    return found


def _attempts(node: Node) -> dict[str, Any]:
    attempts, listed = node.get("attempts"), node.get("on_status_codes")
    count = attempts.count() if attempts else 0
    most = min(count or 0, MOST_RETRIES)
    summed = "retries are not logged one by one there: latency in such logs is a sum"
    if attempts is not None:
        cut = f"; at most {MOST_RETRIES} there too" * ((count or 0) > MOST_RETRIES)
        attempts.approximated("retry.attempts", summed + cut)
    if listed is not None:
        listed.exact("retry.retry_on")
    else:
        node.ledger.default("retry.on_status_codes", RETRIED, "retry.retry_on")
    header = node.get("use_retry_after_header")
    if header is not None:
        header.dropped("the pause that a provider asks for is not in the log")
    how = "1, 2, 4, 8, 16 s there; here 1 s each time"
    node.ledger.default("retry pauses", "1 s, doubled", "retry.backoff_ms", how=how, fidelity="approximated")
    return {"attempts": most, "retry_on": codes(listed) if listed else list(RETRIED), "backoff_ms": BACKOFF_MS}


def breaker(node: Node | None) -> dict[str, Any] | None:
    """Return the circuit breaker of a target, or None without `cb_config`."""
    if node is None:
        return None
    share, count = node.get("failure_threshold_percentage"), node.get("failure_threshold")
    when: list[str] = []
    percent = share.number() if share else None
    if share is not None and percent is not None and 0 < percent < 100:
        share.exact("breaker.when")
        when.append(f"error_rate > {plain(percent)}%")
    elif share is not None and percent is not None:
        share.dropped("a share of failures that can never, or always, be exceeded")
    if count is not None and (limit := count.count()) is not None:
        count.approximated("breaker.when", "failures since the first one there, failures in a row here")
        when.append(f"consecutive_errors > {min(limit, 1_000_000)}")
    if not when:
        node.dropped("without a threshold the breaker never opens")
        return None
    ledger = node.ledger
    ledger.default("cb_config window", WINDOW, "breaker.window", fidelity="approximated",
                   how="Portkey does not document one; a minute is assumed: sweep it")  # fmt: skip
    return {
        "when": when if len(when) > 1 else when[0],
        "window": WINDOW,
        "min_requests": _least(node),
        "errors": _errors(node),
        "cooldown": _rest_time(node),
        "half_open": {"requests": 0},
        "scope": "route",
        "every": "completion",
        "no_data": "hold",
        "observe": "completed",
        "for": "0s",
    }


def _least(node: Node) -> int:
    given = node.get("minimum_requests")
    count = given.count() if given else None
    if given is not None and count:
        given.exact("breaker.min_requests")
        return min(count, 1_000_000)
    how = "Portkey does not document one; 1 is assumed"
    node.ledger.default("cb_config.minimum_requests", 1, "breaker.min_requests", how=how, fidelity="approximated")
    return 1


def _errors(node: Node) -> list[str | int]:
    given = node.get("failure_status_codes")
    if given is not None:
        given.exact("breaker.errors")
        return codes(given)
    how = "documented as over 500; 500 itself counts here"
    node.ledger.default("cb_config.failure_status_codes", "> 500", "breaker.errors", how=how, fidelity="approximated")
    return ["5xx"]


def _rest_time(node: Node) -> str:
    given = node.get("cooldown_interval")
    found = given.milliseconds() if given else None
    if given is not None and found is not None:
        if found < LEAST_REST_MS:
            given.approximated("breaker.cooldown", "30 s is the least that Portkey accepts")
        else:
            given.exact("breaker.cooldown")
        return show_duration(min(max(found, LEAST_REST_MS), 366 * 86_400_000))
    node.ledger.default("cb_config.cooldown_interval", "30 s", "breaker.cooldown")
    return show_duration(LEAST_REST_MS)


def codes(node: Node) -> list[str | int]:
    """Return status codes as failure classes; 408 is a timeout."""
    found: list[str | int] = []
    for child in node.each():
        code = child.count()
        if code is not None and 400 <= code <= 599:
            found += ["timeout"] if code == 408 else [code]
    return list(dict.fromkeys(found))


def plain(number: float) -> int | float:
    """Return a number as people write it."""
    return int(number) if number == int(number) else round(number, 6)
