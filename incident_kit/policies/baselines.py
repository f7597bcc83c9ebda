"""The policies that every candidate is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from incident_kit.policies.policy import Policy
from incident_kit.policies.policytree import item_of
from incident_kit.policies.routes import Route


def always_primary(policy: Policy) -> Policy:
    """Return the policy that never leaves its primaries: same routes, no fallback, no breaker."""
    return _derived(policy, "always_primary", lambda route: replace(route, fallback=(), breaker=None, switches=()))


def always_fallback(policy: Policy) -> Policy:
    """Return the policy that starts each route on its first fallback model, in degraded mode.

    A route without one stays. A model that is there for some failures only is none; nor is a person or a queue.
    """
    return _derived(policy, "always_fallback", _degraded)


def blind(primary: str, fallback: str, *, max_p95_ms: int) -> Policy:
    """Return the failover of the founding story: one route for everything, one latency threshold.

    Examples
    --------
    >>> blind("big", "small", max_p95_ms=3500).routes[0].breaker.when.of[0].text
    'p95_ms > 3500'
    """
    route = {"intent": "*", "primary": primary, "fallback": fallback, "max_p95_ms": max_p95_ms}
    return Policy.of_tree(item_of({"name": "blind", "routes": [route]}), source="blind")


def _degraded(route: Route) -> Route:
    backup = next((entry.model for entry in route.fallback if entry.kind == "model" and not entry.only_for), None)
    if backup is None:
        return replace(route, breaker=None, switches=())
    bare = replace(route, fallback=(), breaker=None, switches=(), weights=())
    return replace(bare, primary=backup, degraded_start=True)


def _derived(policy: Policy, name: str, change: Callable[[Route], Route]) -> Policy:
    routes = tuple(change(route) for route in policy.routes)
    return replace(policy, name=name, routes=routes, implied=(), warnings=(), text=None)
