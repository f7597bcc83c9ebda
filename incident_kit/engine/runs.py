"""Runs: a policy over a log, by whichever loop knows all that the policy asks for, in one shape.

:mod:`incident_kit.engine.kernel` is the fast one: routes whose breakers see nothing but their own attempts' latencies and errors.
:mod:`incident_kit.engine.machine` knows the whole language.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.engine.routing import microseconds
from incident_kit.estimation.evidence import SAME_INTENT, Estimator, Outcomes
from incident_kit.estimation.outcomerecords import NOT_A_CALL
from incident_kit.log import UNKNOWN, Log
from incident_kit.policies.conditions import Condition
from incident_kit.policies.policy import Policy
from incident_kit.policies.routes import Breaker, Route

if TYPE_CHECKING:
    from incident_kit.engine.details import Details
    from incident_kit.scoring.replays import Replay

CHANGE_COLUMNS = ("entry", "at", "was", "now", "why", "condition", "value", "n", "exact", "intent")
_ENDS = {"template": 1, "human": 3, "reject": 4}  # machinery.TEMPLATE ...: ends of a chain that ask nobody
IN_QUEUE = 3  # besides machine.BY_CHAIN, BY_HAND, BY_CONVERSATION: it was held before it went anywhere
ANY_INTENT = -2  # of a change whose breaker is not one intent's alone


@dataclass(frozen=True)
class Run:
    """One route's requests and what came of them.

    ``own`` are records with the fields of kernel.DECISION, ``call`` the position in ``log.calls`` of the call behind each
    outcome (-1: none), ``changed`` what it no longer has of that call, ``label`` its evidence label, ``no_model`` the kind of
    the end (0: a model's answer), ``reason`` why the first entry was taken (machine.BY_CHAIN ..., IN_QUEUE), ``changes`` one
    row a change of state: :data:`CHANGE_COLUMNS`.
    """

    route: int
    requests: NDArray[Any]
    own: NDArray[Any]
    call: NDArray[np.int32]
    changed: NDArray[np.int8]
    label: NDArray[np.int8]
    changes: NDArray[np.float64]
    no_model: NDArray[np.int8] | None = None
    reason: NDArray[np.int8] | None = None


def is_plain(policy: Policy) -> bool:
    """Return whether the fast kernel knows all that a policy's routes ask for (alerts that no breaker asks left out)."""
    return all(_is_plain(route) for route in policy.routes)


def _is_plain(route: Route, *, quick: bool = False) -> bool:
    """Return whether the kernel knows a route; ``quick``: also one that ends without a model, or rests ever longer."""
    if route.weights or route.switches or route.sticky != "none" or route.deadline_ms or route.retry.ttft_timeout_ms:
        return False
    return all(
        (entry.kind == "model" or (quick and entry.kind in _ENDS and place > 0))
        and not entry.only_for
        and (entry.breaker is None or _is_plain_breaker(entry.breaker, quick=quick))
        for place, entry in enumerate(route.chain)
    )


def _is_plain_breaker(b: Breaker, *, quick: bool) -> bool:
    rules = [b.when, *([b.half_open.when] if b.half_open.when else [])]
    flat = all(isinstance(part, Condition) and part.kind in {"latency", "error"} for rule in rules for part in rule.of)
    constant = b.cooldown_factor == 1 and (b.cooldown_max_ms or b.cooldown_ms) >= b.cooldown_ms
    grows = quick and b.cooldown_factor > 1 and b.cooldown_max_ms is not None and b.cooldown_max_ms >= b.cooldown_ms
    return (
        flat
        and (constant or grows)
        and len(b.windows) == 1
        and b.window.kind != "tumbling"
        and b.half_open.max_duration_ms is None
        and (b.scope, b.every_ms, b.no_data, b.observe) == ("route", None, "hold", "completed")
    )


def is_apart(policy: Policy) -> bool:
    """Return whether no route's breakers see anything of another route, so that each can run by itself.

    They do not where no breaker watches a target whoever sends to it, or an alert; one that looks now and then goes on doing
    so while any route is under way.
    """
    breakers = [entry.breaker for route in policy.routes for entry in route.chain if entry.breaker]
    return all(
        b.scope != "target" and b.every_ms is None and all(one.kind != "alert" for one in b.conditions)
        for b in breakers
    )


def apart(
    log: Log, policy: Policy, route: NDArray[Any], positions: Sequence[int], estimator: Estimator
) -> Iterator[Run]:
    """Yield the runs of some routes of a policy whose routes do not see each other, side by side, in the order given."""

    def one(position: int) -> Run:
        return _by_kernel(log, policy, position, route, estimator) if plain[position] else alone(position)

    def alone(position: int) -> Run:
        only = replace(policy, routes=(policy.routes[position],), alerts=())
        (run,), _ = by_machine(
            log, only, np.where(route == position, 0, UNKNOWN).astype(np.int8), estimator, alone=True
        )
        return replace(run, route=position)

    plain = [_is_plain(each, quick=True) for each in policy.routes]
    if len(positions) == 1:
        yield one(positions[0])
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, positions)


def _by_kernel(log: Log, policy: Policy, position: int, route: NDArray[Any], estimator: Estimator) -> Run:
    from incident_kit.engine.settlement import behind, weakest

    requests, one = np.flatnonzero(route == position), policy.routes[position]
    outcomes = asked(estimator, log, one, requests)
    kinds = np.array([_ENDS.get(entry.kind, 0) for entry in one.chain], np.int8)
    own, table = _run_kernel(log, one, requests, _with_ends(log, outcomes, one) if kinds.any() else outcomes)
    changes = np.column_stack([table, np.full(len(table), ANY_INTENT)])
    call, changed = behind(own, outcomes.donor, _changed(outcomes))
    no_model = kinds[own["entry"]]
    own["attempts"] -= no_model > 0
    return Run(position, requests, own, call, changed, weakest(own, _labels(outcomes, one)), changes, no_model)


def _with_ends(log: Log, outcomes: Outcomes, route: Route) -> Outcomes:
    """Return outcomes in which what ends without a model does so at once, for sure, and is no call of anybody."""
    records = outcomes.records.copy()
    for place, entry in enumerate(route.chain):
        if entry.kind in _ENDS:
            error = log.errors.index("rejected") if entry.kind == "reject" else 0
            records[place] = np.array((0, error, NOT_A_CALL, 0), records.dtype)
    return replace(outcomes, records=records)


def _run_kernel(
    log: Log, route: Route, requests: NDArray[Any], outcomes: Outcomes
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    from incident_kit.engine import kernel
    from incident_kit.engine.plan import plan

    p = plan(route, log.errors)
    arrived = log.arrived_us[requests]
    done_us, done_request = kernel.ends(arrived, outcomes.records[0, 0], int(p.retry["timeout_ms"][0]))
    draws = np.empty(0)
    if (p.breakers["share"][p.breakers["guarded"] == 1] < 1).any():
        draws = log.lots.probe[requests]
    return kernel.run(
        arrived, draws, done_us, done_request, outcomes.records, p.breakers, p.rules, p.trip, p.recover, p.retry, p.failures,
        p.flags,
    )  # fmt: skip


def by_machine(
    log: Log,
    policy: Policy,
    route: NDArray[Any],
    estimator: Estimator,
    *,
    potential: bool = False,
    alone: bool = False,
) -> tuple[list[Run], NDArray[Any]]:
    """Return every route's run, and the changes of alerts as machine.ALERT_CHANGE records.

    ``alone``: nothing in the policy looks at calls of requests that it does not route.
    """
    from incident_kit.engine.settlement import weakest

    members = [np.flatnonzero(route == position) for position in range(len(policy.routes))]
    world, outcomes, origin = _ran(log, policy, route, members, estimator, potential=potential, alone=alone)
    later = getattr(estimator, "sent", None)
    if later is not None and (sent_us := _released_us(log, world, members)) is not None:
        # what was held is sent into another time than it came in; what that changes of later holds is let be
        world, outcomes, origin = _ran(log, policy, route, members, later(sent_us), potential=potential, alone=alone)
    own = world.requests[: world.routed]
    changed = world.changes[: world.size[1]]
    runs = []
    of_route = own["route"].copy()  # the records are wide: each look at all of them is a walk through memory
    for position, requests in enumerate(members):
        mine = own[of_route == position] if len(members) > 1 else own
        call, flags = np.full(len(mine), UNKNOWN, np.int32), np.zeros(len(mine), np.int8)
        fact = np.full(len(mine), UNKNOWN, np.int32)
        has_cell = mine["cell"] >= 0
        fact[has_cell] = world.donors[mine["cell"][has_cell]]
        call[fact >= 0], flags[fact >= 0] = origin[0][fact[fact >= 0]], origin[1][fact[fact >= 0]]
        rows = changed[changed["route"] == position]
        table = np.column_stack([rows[name] for name in CHANGE_COLUMNS]).astype(np.float64)
        kinds = world.entries["kind"][position][mine["entry"]]
        no_model = np.where(mine["no_model"] == 1, kinds, 0).astype(np.int8)
        mine["first"] = np.where(mine["called"] >= 0, mine["called"], mine["entry"])  # it may have gone nowhere
        reason = np.where(mine["held"] & 2, IN_QUEUE, mine["reason"]).astype(np.int8)
        label = weakest(mine, _labels(outcomes[position], policy.routes[position]))
        runs.append(Run(position, requests, mine, call, flags, label, table, no_model, reason))
    return runs, _ended(world.alert_changes[: world.size[2]], policy)


def _ended(changes: NDArray[Any], policy: Policy) -> NDArray[Any]:
    """Return the changes of alerts, each alert gone where it is in force no longer: what fires then ceases to."""
    for position, alert in enumerate(policy.alerts):
        if alert.until is None:
            continue
        until = microseconds(alert.until)
        mine = changes["alert"] == position
        changes = changes[~mine | (changes["at"] < until)]
        last = changes[changes["alert"] == position][-1:]
        if last["firing"].any():
            last = last.copy()
            last["at"], last["firing"], last["value"], last["n"] = until, 0, np.nan, 0
            changes = np.concatenate([changes, last])
    return changes[np.argsort(changes["at"], kind="stable")]


def _ran(
    log: Log,
    policy: Policy,
    route: NDArray[Any],
    members: Sequence[NDArray[Any]],
    estimator: Estimator,
    *,
    potential: bool,
    alone: bool,
) -> tuple[Any, list[Outcomes], tuple[NDArray[Any], ...]]:
    """Return the machine after its run, the outcomes that it ran on, and the calls and changes behind its facts."""
    from incident_kit.engine import machine, wiring

    outcomes = [asked(estimator, log, one, requests) for one, requests in zip(policy.routes, members, strict=True)]
    details, told, origin = _as_changed(log, outcomes, alone=alone)
    room, is_done = max(sum(map(len, members)) // 20_000, 1), False
    while not is_done:
        world = wiring.build(log, policy, route, told, details, potential=potential, room=room)
        is_done = machine.run(world)
        room *= 4
    return world, outcomes, origin


def _released_us(log: Log, world: Any, members: Sequence[NDArray[Any]]) -> NDArray[np.int64] | None:
    """Return when each request was sent where some were held before they went anywhere; None where none was."""
    own = world.requests[: world.routed]
    if not ((own["held"] & 2) != 0).any():
        return None
    found = log.arrived_us.copy()
    for position, requests in enumerate(members):
        mine = own[own["route"] == position]
        was_held = ((mine["held"] & 2) != 0) & (mine["attempts"] > 0)
        found[requests[was_held]] = mine["sent"][was_held]
    return found


def asked(estimator: Estimator, log: Log, route: Route, requests: NDArray[Any]) -> Outcomes:
    """Return what an estimator says of a route's requests on each entry of its chain."""
    usual = 0 if route.degraded_start else len(route.primaries)
    takes_tools = route.on_fallback.tools == "disabled"
    return estimator(
        log,
        requests,
        [entry.model for entry in route.chain],
        attempts=1 + route.retry.attempts,
        without_tools=[takes_tools and entry >= usual for entry in range(len(route.chain))],
        timeout_ms=route.retry.timeout_ms,
    )


def _labels(outcomes: Outcomes, route: Route) -> NDArray[np.int8]:
    """Return the evidence label of each outcome ``[entry, request]``: `observed` of facts, and of what asks no model."""
    records, label = outcomes.records, outcomes.label
    is_fact = (records["estimated"][:, 0] == 0) & (records["kind"][:, 0] != 0)
    is_fact |= np.array([entry.kind != "model" for entry in route.chain])[:, None]
    return np.where(is_fact, np.int8(0), np.int8(SAME_INTENT) if label is None else label).astype(np.int8)


def _changed(outcomes: Outcomes) -> NDArray[np.int8]:
    return np.zeros((0, 0, 0), np.int8) if outcomes.changed is None else outcomes.changed


def _as_changed(
    log: Log, outcomes: Sequence[Outcomes], *, alone: bool
) -> tuple[Details, list[Outcomes], tuple[NDArray[Any], ...]]:
    """Return details with a fact of its own for each changed call, outcomes that point to them, and their (call, changes).

    ``alone``: facts of no other calls are asked, so that there are none: a log has many more of them than one route.
    """
    from incident_kit.estimation.borrowing import ACCEPTED, OVERRIDDEN, TOOLS_FAILED, TOOLS_WORKED

    details, size = log.details, 0 if alone else len(log.calls.request)
    kept = [np.arange(size, dtype=np.int32)], [np.zeros(size, np.int8)]
    told = []
    for one in outcomes:
        own = one.donor >= 0
        if not alone:
            own &= _changed(one) != 0 if one.changed is not None else False
        donor = one.donor.copy()
        calls = donor[own]
        donor[own] = size + np.arange(len(calls), dtype=np.int32)
        size += len(calls)
        kept[0].append(calls)
        kept[1].append(np.zeros(len(calls), np.int8) if one.changed is None else one.changed[own])
        told.append(replace(one, donor=donor))
    call, flags = np.concatenate(kept[0]), np.concatenate(kept[1])
    facts = details.facts[call]
    facts["tools_ok"] = np.where(
        flags & TOOLS_FAILED, 0, np.where(flags & TOOLS_WORKED, facts["tool_calls"], facts["tools_ok"])
    )
    said = np.where(flags & OVERRIDDEN, 1, np.where(flags & ACCEPTED, 0, facts["overridden"]))
    facts["overridden"] = np.where(facts["overridden"] >= 0, said, facts["overridden"])
    return replace(details, facts=facts), told, (call, flags)


def alerted(replay: Replay) -> NDArray[Any]:
    """Return the changes of a replay's alerts; the machine runs for them where the decisions did not need it."""
    if replay.alerted is not None:
        return replay.alerted
    return by_machine(replay.log, replay.policy, replay.route, replay.estimator, potential=replay.potential)[1]


def labels(policy: Policy) -> Sequence[str]:
    """Return how every entry of a policy's chains is called in tables."""
    return [entry.label for route in policy.routes for entry in route.chain]
