"""resilience4j's retries and time limiters, and what its exceptions mean."""

from __future__ import annotations

from typing import Any

from incident_kit.gateways.foreign import Node
from incident_kit.gateways.resilience4j_settings import Layers, find

EVERY: list[str | int] = ["timeout", "5xx", "4xx", 429, "context_window", "content_policy"]
EXCEPTIONS: dict[str, list[str | int]] = {
    "timeoutexception": ["timeout"], "sockettimeoutexception": ["timeout"], "ioexception": ["timeout", "5xx"],
    "httpservererrorexception": ["5xx"], "httpclienterrorexception": ["4xx", 429], "toomanyrequests": [429],
    "resourceaccessexception": ["timeout"], "exception": EVERY, "throwable": EVERY, "runtimeexception": EVERY,
}  # fmt: skip


def retry(base: Node, name: str) -> dict[str, Any]:
    """Return the retries and the time limit of the instance of the same name."""
    found: dict[str, Any] = {"attempts": 0, "retry_on": []}
    limiter = _beside(base, name, "timelimiter")
    if limiter is not None:
        node = Layers((limiter,)).get("timeoutduration")
        limit = node.milliseconds() if node is not None else 1000
        if node is not None:
            node.exact("retry.timeout_ms")
        else:
            base.ledger.default(f"timelimiter.{name}.timeoutDuration", "1s", "retry.timeout_ms")
        found["timeout_ms"] = min(max(1, limit or 1000), 86_400_000)
        limiter.dropped("whether the call's thread is stopped: no part in routing")
    again = _beside(base, name, "retry")
    if again is None:
        return found
    layers = Layers((again,))
    most, pause, on = (layers.get(key) for key in ("maxattempts", "waitduration", "retryexceptions"))
    count = most.count() if most is not None else 3
    wait = pause.milliseconds() if pause is not None else 500
    for node, key, default in ((most, "attempts", "3"), (pause, "backoff_ms", "500ms")):
        if node is not None:
            node.exact(f"retry.{key}", "the first call is one of them" if key == "attempts" else "")
        else:
            base.ledger.default(f"retry.{name}.{key}", default, f"retry.{key}")
    kinds = [kind for exception in on.words() for kind in kinds_of(exception)] if on is not None else list(EVERY)
    if on is not None:
        on.approximated("retry.retry_on", "exceptions are classes of the application; matched by name")
    again.dropped("growing or random pauses and predicates: the pause is always the same here")
    return found | {
        "attempts": min(100, max(0, (count or 1) - 1)),
        "retry_on": list(dict.fromkeys(kinds)) or ["5xx", "timeout"],
        "backoff_ms": min(wait or 0, 86_400_000),
    }


def _beside(base: Node, name: str, module: str) -> Node | None:
    part = find(base, module)
    found = find(part, "instances") if part is not None else None
    node = found.get(name) if found is not None else None
    return node.mapping() if node is not None else None


def kinds_of(exception: str) -> list[str | int]:
    """Return the kinds of failure that an exception's name speaks of, or none."""
    return EXCEPTIONS.get(exception.rsplit(".", 1)[-1].rsplit("$", 1)[-1].lower(), [])
