"""Routing: which route of a policy each request of a log takes, by intent, what is known at arrival, and time (POLICY.md S4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.log import Log
from incident_kit.policies.policy import Policy

if TYPE_CHECKING:
    from incident_kit.policies.routes import Route

UNROUTED = -1
_EPOCH = datetime.fromtimestamp(0, tz=UTC)


def routes_of(policy: Policy, log: Log) -> tuple[NDArray[np.int8], NDArray[Any]]:
    """Return the route of each request, and how many requests each route has."""
    if any(route.match or route.since or route.until for route in policy.routes):
        found = np.full(len(log), UNROUTED, np.int8)
        for i, route in reversed(list(enumerate(policy.routes))):  # the first match has the last word
            takes = np.array([route.matches(intent) for intent in (*log.intents, None)])
            found[takes[log.intent] & _may_take(route, log)] = i
        return found, np.bincount(found[found >= 0], minlength=len(policy.routes))
    position = {id(route): i for i, route in enumerate(policy.routes)}
    table = np.full(len(log.intents) + 1, UNROUTED, np.int8)
    for code, intent in enumerate((*log.intents, None)):
        route_of = policy.route_of(intent)
        if route_of is not None:
            table[code] = position[id(route_of)]
    _, runs = log.by_intent
    sizes = np.bincount(np.roll(table, 1) + 1, np.diff(runs), minlength=len(policy.routes) + 1)
    return table[log.intent], sizes[1:]  # -1, an unlabelled request, takes the last of the table


def _may_take(route: Route, log: Log) -> NDArray[np.bool_]:
    """Return which requests arrive while a route is in force, and have what it asks for besides the intent."""
    may = np.ones(len(log), np.bool_)
    if route.since is not None:
        may &= log.arrived_us >= microseconds(route.since)
    if route.until is not None:
        may &= log.arrived_us < microseconds(route.until)
    if route.match:
        from incident_kit.engine.details import passes

        may &= passes(log.details, dict(route.match))
    return may


def in_force_us(route: Route, log: Log) -> tuple[int, int]:
    """Return the part of a log's time, first to last arrival, in which a route is in force; the end is before the start: none."""
    begin, finish = int(log.arrived_us[0]), int(log.arrived_us[-1])
    begin = begin if route.since is None else max(begin, microseconds(route.since))
    return begin, finish if route.until is None else min(finish, microseconds(route.until))


def microseconds(at: datetime) -> int:
    """Return an instant as microseconds since the epoch, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)
