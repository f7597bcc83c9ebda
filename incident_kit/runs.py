"""Runs: a policy over a log, by whichever loop knows all that the policy asks for, in one shape.

:mod:`incident_kit.kernel` is the fast one: routes whose breakers see nothing but their own attempts' latencies and errors.
:mod:`incident_kit.machine` knows the whole language.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.conditions import Condition
from incident_kit.evidence import Estimator, Outcomes
from incident_kit.log import UNKNOWN, Log
from incident_kit.policy import Policy
from incident_kit.routes import Breaker, Route

if TYPE_CHECKING:
    from incident_kit.replays import Replay

CHANGE_COLUMNS = ("entry", "at", "was", "now", "why", "condition", "value", "n", "exact", "intent")
IN_QUEUE = 3  # besides machine.BY_CHAIN, BY_HAND, BY_CONVERSATION: it was held before it went anywhere
ANY_INTENT = -2  # of a change whose breaker is not one intent's alone


@dataclass(frozen=True)
class Run:
    """One route's requests and what came of them.

    ``own`` are records with the fields of kernel.DECISION, ``call`` the position in ``log.calls`` of the call behind each
    outcome (-1: none), ``no_model`` the kind of the end (0: a model's answer), ``reason`` why the first entry was taken
    (machine.BY_CHAIN ..., IN_QUEUE), ``changes`` one row a change of state: :data:`CHANGE_COLUMNS`.
    """

    route: int
    requests: NDArray[Any]
    own: NDArray[Any]
    call: NDArray[np.int32]
    changes: NDArray[np.float64]
    no_model: NDArray[np.int8] | None = None
    reason: NDArray[np.int8] | None = None


def is_plain(policy: Policy) -> bool:
    """Return whether the fast kernel knows all that a policy's routes ask for (alerts that no breaker asks left out)."""
    return all(_is_plain(route) for route in policy.routes)


def _is_plain(route: Route) -> bool:
    if route.weights or route.switches or route.sticky != "none" or route.deadline_ms or route.retry.ttft_timeout_ms:
        return False
    return all(
        entry.kind == "model" and not entry.only_for and (entry.breaker is None or _is_plain_breaker(entry.breaker))
        for entry in route.chain
    )


def _is_plain_breaker(b: Breaker) -> bool:
    rules = [b.when, *([b.half_open.when] if b.half_open.when else [])]
    flat = all(isinstance(part, Condition) and part.kind in {"latency", "error"} for rule in rules for part in rule.of)
    constant = b.cooldown_factor == 1 and (b.cooldown_max_ms or b.cooldown_ms) >= b.cooldown_ms
    return (
        flat
        and constant
        and len(b.windows) == 1
        and b.window.kind != "tumbling"
        and b.half_open.max_duration_ms is None
        and (b.scope, b.every_ms, b.no_data, b.observe) == ("route", None, "hold", "completed")
    )


def by_kernel(
    log: Log, policy: Policy, route: NDArray[Any], sizes: NDArray[Any], estimator: Estimator
) -> Iterator[Run]:
    """Yield every route's run; routes do not see each other, so they run side by side, the largest first."""

    def one(position: int) -> Run:
        requests = np.flatnonzero(route == position)
        own, table, outcomes = _run_kernel(log, policy.routes[position], requests, estimator)
        from incident_kit.settlement import behind

        changes = np.column_stack([table, np.full(len(table), ANY_INTENT)])
        return Run(position, requests, own, behind(own, outcomes.donor), changes)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, np.argsort(-sizes, kind="stable").tolist())


def _run_kernel(
    log: Log, route: Route, requests: NDArray[Any], estimator: Estimator
) -> tuple[NDArray[Any], NDArray[np.float64], Outcomes]:
    from incident_kit import kernel
    from incident_kit.plan import plan

    p = plan(route, log.errors)
    outcomes = estimator(log, requests, p.targets, attempts=p.attempts)
    arrived = log.arrived_us[requests]
    done_us, done_request = kernel.ends(arrived, outcomes.records[0, 0], int(p.retry["timeout_ms"][0]))
    draws = np.empty(0)
    if (p.breakers["share"][p.breakers["guarded"] == 1] < 1).any():
        from incident_kit.wiring import draw

        draws = np.fromiter((draw(one) for one in log.request_id.gather(requests)), np.float64, len(requests))
    own, table = kernel.run(
        arrived, draws, done_us, done_request, outcomes.records, p.breakers, p.rules, p.trip, p.recover, p.retry, p.failures,
        p.flags,
    )  # fmt: skip
    return own, table, outcomes


def by_machine(
    log: Log, policy: Policy, route: NDArray[Any], estimator: Estimator, *, potential: bool = False
) -> tuple[list[Run], NDArray[Any]]:
    """Return every route's run, and the changes of alerts as machine.ALERT_CHANGE records."""
    from incident_kit import machine, wiring

    members = [np.flatnonzero(route == position) for position in range(len(policy.routes))]
    outcomes = [
        estimator(log, requests, [entry.model for entry in one.chain], attempts=1 + one.retry.attempts)
        for one, requests in zip(policy.routes, members, strict=True)
    ]
    room, is_done = 1, False
    while not is_done:
        world = wiring.build(log, policy, route, outcomes, log.details, potential=potential, room=room)
        is_done = machine.run(world)
        room *= 4
    own = world.requests[: world.routed]
    changed = world.changes[: world.size[1]]
    runs = []
    for position, requests in enumerate(members):
        mine = own[own["route"] == position]
        call = np.full(len(mine), UNKNOWN, np.int32)
        has_cell = mine["cell"] >= 0
        call[has_cell] = world.donors[mine["cell"][has_cell]]
        rows = changed[changed["route"] == position]
        table = np.column_stack([rows[name] for name in CHANGE_COLUMNS]).astype(np.float64)
        kinds = world.entries["kind"][position][mine["entry"]]
        no_model = np.where(mine["no_model"] == 1, kinds, 0).astype(np.int8)
        mine["first"] = mine["called"]
        reason = np.where(mine["held"] & 2, IN_QUEUE, mine["reason"]).astype(np.int8)
        runs.append(Run(position, requests, mine, call, table, no_model, reason))
    return runs, world.alert_changes[: world.size[2]]


def alerted(replay: Replay) -> NDArray[Any]:
    """Return the changes of a replay's alerts; the machine runs for them where the decisions did not need it."""
    if replay.alerted is not None:
        return replay.alerted
    return by_machine(replay.log, replay.policy, replay.route, replay.estimator, potential=replay.potential)[1]


def labels(policy: Policy) -> Sequence[str]:
    """Return how every entry of a policy's chains is called in tables."""
    return [entry.label for route in policy.routes for entry in route.chain]
