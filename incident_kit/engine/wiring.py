"""Wiring: a policy, a log and its potential outcomes, laid out as the arrays that the machine runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.engine import judges, machinery
from incident_kit.engine.bench import ANY_INTENT, LONGEST, Bench
from incident_kit.engine.details import Details
from incident_kit.engine.exogenous import Watched, exogenous, span
from incident_kit.engine.judges import COST, FALLBACK
from incident_kit.engine.plan import flags_of, is_in
from incident_kit.estimation.evidence import Outcomes
from incident_kit.estimation.outcomerecords import CALL, NOT_A_CALL, OUTCOME
from incident_kit.log import UNKNOWN, Log
from incident_kit.policies.policy import Policy
from incident_kit.policies.routes import Breaker, Entry

_ENTRIES = ("model", "template", "queue", "human", "reject")  # machinery.MODEL ...
_EPOCH = datetime.fromtimestamp(0, tz=UTC)


def build(
    log: Log,
    policy: Policy,
    route: NDArray[Any],
    outcomes: Sequence[Outcomes],
    details: Details,
    *,
    potential: bool = False,
    room: int = 1,
) -> machinery.World:
    """Return the arrays of one run of the machine.

    Parameters
    ----------
    route
        The position of each request's route, -1 where it has none.
    outcomes
        Per route, the potential outcomes of its requests on the targets of its chain (of ``""`` where an entry has none).
    potential
        The log holds every potential outcome (a scenario's own world).
    room
        How much larger than at first the room for events and observations is.
    """
    errors, routed = log.errors, int((route >= 0).sum())
    laid = Bench()
    chains = [one.chain for one in policy.routes]
    breakers = _breakers(policy, log, route)
    laid.alerts = {alert.name: len(breakers) + i for i, alert in enumerate(policy.alerts)}
    for r, e, intent in breakers:
        laid.breaker(
            _breaker(chains[r][e].breaker), r, e, intent, span=(policy.routes[r].since, policy.routes[r].until)
        )
    for alert in policy.alerts:
        laid.alert(alert)
    failing = [*(chains[r][e].breaker for r, e, _ in breakers), *policy.alerts]
    failures = np.array(
        [[is_in(error, one.errors) and error != "ok" for error in errors] for one in failing if one], np.int8
    )

    targets = tuple(dict.fromkeys((*log.targets, *policy.targets)))
    code = {target: i for i, target in enumerate(targets)}
    listeners = _listeners(
        [(code[chains[r][e].model], j) for j, (r, e, _) in enumerate(breakers) if _listens(chains[r][e])], len(targets)
    )
    requests, cells = _requests(log, policy, route, details, listens=bool((listeners >= 0).any()))
    judge_of = np.full((len(chains) + 1, max(map(len, chains), default=1), len(log.intents) + 1), UNKNOWN, np.int32)
    for j, (r, e, intent) in enumerate(breakers):
        judge_of[r, e, slice(None) if intent == ANY_INTENT else intent + 1] = j
    facts_requests = cells[len(chains)]
    routes, entries, switches = _routes(policy, cells, code, errors)
    flat = [np.ascontiguousarray(one.records).reshape(-1) for one in outcomes]
    donors = [np.ascontiguousarray(one.donor).reshape(-1) for one in outcomes]
    for calls in facts_requests:
        flat.append(_records(log, calls))
        donors.append(calls.astype(np.int32))
    alerts_of = _alerts_of(policy, log, len(breakers))
    rows, arriving = exogenous(log, details, list(_watched(log, policy, route, laid, breakers)), route)
    leaves = _array(judges.LEAF, laid.leaves)
    all_judges = _array(judges.JUDGE, laid.judges)
    all_judges["exact"] = 1
    all_judges["epoch"] = np.maximum(all_judges["epoch"], 1)
    all_judges["true_since"] = UNKNOWN
    all_judges["open_until"] = all_judges["half_until"] = LONGEST
    nodes, events = 4096 * room, 4096 * room
    pool = np.zeros(nodes, judges.NODE)
    pool["next"] = np.append(np.arange(1, nodes), UNKNOWN)
    return machinery.World(
        judges=all_judges,
        leaves=leaves,
        judge_of_leaf=np.array(laid.owners, np.int64),
        slots_of_leaf=np.array(laid.widths, np.int64),
        steps=_array(judges.STEP, laid.steps),
        slots=_array(judges.SLOT, laid.slots),
        rests=np.array(laid.rests, np.int64),
        touched=np.zeros((laid.counting, int(details.ticket.max(initial=-1)) + 1), np.int32),
        failures=failures.reshape(len(all_judges), len(errors)),
        breakers=len(breakers),
        routes=routes,
        entries=entries,
        judge_of=judge_of,
        listeners=listeners,
        only_for=_only_for(policy, errors, entries.shape[1]),
        flags=np.array([*(flags_of(one, errors) for one in policy.routes), np.zeros(len(errors), np.int8)], np.int8),
        switches=switches,
        alerts_of=alerts_of,
        requests=requests,
        routed=routed,
        orders=_orders(log, policy, route),
        outcomes=np.concatenate([np.zeros(0, OUTCOME), *flat]),
        donors=np.concatenate([np.zeros(0, np.int32), *donors]),
        facts=details.facts,
        rows=rows,
        arriving=arriving,
        span=np.array(span(log, details, route, sweeps=bool(all_judges["every_us"].any())), np.int64),
        permits=np.zeros((routed if _judges_ends(laid) else 0, entries.shape[1]), np.int64),
        stuck=np.tile(np.array([UNKNOWN, 1], np.int8), (int(requests["conversation"].max(initial=-1)) + 1, 1)),
        latest=np.zeros((len(chains) + 1, len(log.intents) + 1), np.int64),
        timeout_class=errors.index("timeout"),
        too_many_class=errors.index("429") if "429" in errors else -2,
        rejected_class=errors.index("rejected"),
        hears=sum({1 << leaf["kind"] for leaf in laid.leaves}),
        feedback_lag_us=details.feedback_lag_us,
        by_time=int(potential),
        pool=pool,
        free=np.array([0, nodes], np.int64),
        heap=np.zeros(events, machinery.EVENT),
        size=np.zeros(6, np.int64),
        todo=np.zeros(len(all_judges) + 1, np.int64),
        changes=np.zeros(1024 * room, machinery.CHANGE),
        alert_changes=np.zeros(1024 * room, machinery.ALERT_CHANGE),
    )


def _judges_ends(bench: Bench) -> bool:
    """Return whether some breaker's test judges the ends of requests."""
    tested = (range(one["recover"], one["recover"] + one["recovers"]) for one in bench.judges if "own" in one)
    return any(bench.leaves[leaf]["kind"] in {FALLBACK, COST} for leaves in tested for leaf in leaves)


def _breaker(breaker: Breaker | None) -> Breaker:
    assert breaker is not None  # noqa: S101 - only guarded entries are listed
    return breaker


def _listens(entry: Entry) -> bool:
    return entry.breaker is not None and entry.breaker.scope == "target"


def _breakers(policy: Policy, log: Log, route: NDArray[Any]) -> list[tuple[int, int, int]]:
    """Return every breaker as (route, entry, intent): of scope intent one for each intent that the route has."""
    found = []
    for r, one in enumerate(policy.routes):
        for e, entry in enumerate(one.chain):
            if entry.breaker is None:
                continue
            if entry.breaker.scope == "intent":
                found += [(r, e, intent) for intent in np.unique(log.intent[route == r]).tolist()]
            else:
                found.append((r, e, ANY_INTENT))
    return found


def _listeners(pairs: Iterable[tuple[int, int]], targets: int) -> NDArray[np.int32]:
    by_target: list[list[int]] = [[] for _ in range(targets)]
    for target, j in pairs:
        by_target[target].append(j)
    table = np.full((targets, max(map(len, by_target), default=0) + 1), UNKNOWN, np.int32)
    for target, found in enumerate(by_target):
        table[target, : len(found)] = found
    return table


def _requests(
    log: Log, policy: Policy, route: NDArray[Any], details: Details, *, listens: bool
) -> tuple[NDArray[Any], list[list[NDArray[Any]]]]:
    """Return REQUEST records of routed requests, then of the calls of unrouted ones, and per route its requests."""
    routed = np.flatnonzero(route >= 0)
    calls = log.calls
    free = np.flatnonzero(route[calls.request] < 0) if listens else np.zeros(0, np.int64)
    free = free[np.lexsort((calls.number[free], calls.request[free], calls.sent_us[free]))]
    records = np.zeros(len(routed) + len(free), machinery.REQUEST)
    mine = records[: len(routed)]
    mine["arrived"], mine["route"], mine["intent"] = log.arrived_us[routed], route[routed], log.intent[routed]
    ends = np.array([*(_is_end(target) for target in log.targets), False])  # the last is that of nothing served
    mine["logged_calls"] = np.where(ends[log.served[routed]], 0, np.diff(calls.starts)[routed])
    members: list[list[NDArray[Any]]] = []
    for r in range(len(policy.routes)):
        where = np.flatnonzero(mine["route"] == r)
        mine["column"][where] = np.arange(len(where))
        members.append([routed[where]])
    pairs = mine["route"].astype(np.int64) << 32 | details.conversation[routed].clip(0)
    mine["conversation"] = np.where(details.conversation[routed] < 0, UNKNOWN, np.unique(pairs, return_inverse=True)[1])
    if any(entry.breaker and entry.breaker.half_open.share < 1 for one in policy.routes for entry in one.chain):
        mine["draw"] = log.lots.probe[routed]
    theirs = records[len(routed) :]
    theirs["arrived"], theirs["route"] = calls.sent_us[free], len(policy.routes)
    theirs["intent"], theirs["entry"] = log.intent[calls.request[free]], calls.target[free]
    theirs["column"], theirs["fact"], theirs["conversation"] = np.arange(len(free)), 1, UNKNOWN
    records["error"], records["wait_us"], records["cell"], records["called"] = UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN
    records["judge"], records["before"], records["after"] = UNKNOWN, UNKNOWN, UNKNOWN
    members.append([free])
    return records, members


def _is_end(target: str) -> bool:
    """Return whether a target's name is the label of an entry without a model."""
    return target in {"human", "reject"} or target.startswith("template:")


def _orders(log: Log, policy: Policy, route: NDArray[Any]) -> NDArray[np.int8]:
    most = max((len(one.weights) for one in policy.routes), default=0)
    routed = np.flatnonzero(route >= 0)
    orders = np.zeros((len(routed) if most else 1, most), np.int8)
    for r, one in enumerate(policy.routes):
        if one.weights:
            where = np.flatnonzero(route[routed] == r)
            orders[where, : len(one.weights)] = log.lots.order(one.weights)[routed[where]]
        elif most:
            orders[route[routed] == r] = np.arange(most)
    return orders


def _routes(
    policy: Policy, members: Sequence[Sequence[NDArray[Any]]], code: dict[str, int], errors: Sequence[str]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return ROUTE, ENTRY and SWITCH records; after the policy's routes one whose entries are the targets themselves."""
    del errors
    widest = max([len(code), *(len(one.chain) for one in policy.routes)])
    routes = np.zeros(len(policy.routes) + 1, machinery.ROUTE)
    entries = np.zeros((len(policy.routes) + 1, max(widest, 1)), machinery.ENTRY)
    switches: list[tuple[int, int, int]] = []
    cell = 0
    for r, one in enumerate(policy.routes):
        chain = one.chain
        columns, numbers = len(members[r][0]), 1 + one.retry.attempts
        labels = [entry.label for entry in chain]
        mine = [(_us(s.start), _us(s.end) if s.end else LONGEST, labels.index(s.to)) for s in one.switches]
        if one.degraded_start:
            mine = [(-LONGEST, LONGEST, 0)]
        routes[r] = (
            cell, columns, numbers, len(chain), 0 if one.degraded_start else len(one.primaries), one.retry.attempts,
            one.retry.timeout_ms or 0, one.retry.ttft_timeout_ms or 0, one.retry.backoff_ms * 1000,
            (one.deadline_ms or 0) * 1000, one.sticky == "conversation", one.on_fallback.tools == "disabled",
            any(entry.kind == "queue" for entry in chain), len(switches), len(mine), UNKNOWN, UNKNOWN,
        )  # fmt: skip
        switches += mine
        cell += len(chain) * numbers * columns
        for e, entry in enumerate(chain):
            target = code[entry.model] if entry.kind == "model" else UNKNOWN
            entries[r, e] = (_ENTRIES.index(entry.kind), target, (entry.queue_ms or 0) * 1000, bool(entry.only_for))
    routes[-1]["cell"], routes[-1]["columns"], routes[-1]["numbers"] = cell, len(members[-1][0]), 1
    routes[-1]["waiting_first"] = routes[-1]["waiting_last"] = UNKNOWN
    entries[-1]["target"] = np.arange(entries.shape[1])
    return routes, entries, np.array(switches, machinery.SWITCH)


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _only_for(policy: Policy, errors: Sequence[str], widest: int) -> NDArray[np.int8]:
    table = np.zeros((len(policy.routes) + 1, widest, len(errors)), np.int8)
    for r, one in enumerate(policy.routes):
        for e, entry in enumerate(one.chain):
            table[r, e] = [error != "ok" and is_in(error, entry.only_for) for error in errors]
    return table


def _records(log: Log, calls: NDArray[Any]) -> NDArray[Any]:
    records = np.zeros(len(calls), OUTCOME)
    records["latency_ms"], records["error"] = log.calls.latency_ms[calls], log.calls.error[calls]
    records["kind"] = np.where(log.calls.is_call[calls], CALL, NOT_A_CALL)
    return records


def _alerts_of(policy: Policy, log: Log, breakers: int) -> NDArray[np.int32]:
    table = np.full((len(log.intents) + 1, len(policy.alerts) + 1), UNKNOWN, np.int32)
    for x, intent in enumerate((None, *log.intents)):
        found = [breakers + i for i, alert in enumerate(policy.alerts) if alert.matches(intent)]
        table[x, : len(found)] = found
    return table


def _watched(
    log: Log, policy: Policy, route: NDArray[Any], bench: Bench, breakers: Sequence[tuple[int, int, int]]
) -> Iterator[Watched]:
    """Yield what each judge looks at."""
    for j, judge in enumerate(bench.judges):
        if j < len(breakers):
            r, e, intent = breakers[j]
            one, target, alert = policy.routes[r], policy.routes[r].chain[e].model, None
            when = _breaker(one.chain[e].breaker).when
            takes: Callable[[str | None], bool] = one.matches
            members = route == r
            if intent != ANY_INTENT:
                members &= log.intent == intent
                takes = {log.intents[intent] if intent >= 0 else None}.__contains__
        else:
            alert, target = policy.alerts[j - len(breakers)], None
            when, takes = alert.when, alert.matches
            members = np.array([takes(name) for name in (None, *log.intents)])[log.intent + 1]
        leaves = range(judge["trip"], judge["trip"] + judge["trips"])
        laid = [(leaf, bench.leaves[leaf], c) for leaf, c in zip(leaves, when.leaves, strict=True)]
        yield Watched(laid, members, takes, target, alert)


def _array(kind: np.dtype[Any], rows: Sequence[dict[str, Any]]) -> NDArray[Any]:
    table = np.zeros(len(rows), kind)
    for i, row in enumerate(rows):
        for name, value in row.items():
            table[name][i] = value
    return table


def uses(policy: Policy) -> set[str]:
    """Return the kinds of condition that a policy's breakers and alerts name."""
    of_breakers = (
        c.kind for one in policy.routes for entry in one.chain if entry.breaker for c in entry.breaker.conditions
    )
    return {*of_breakers, *(c.kind for alert in policy.alerts for c in alert.when.leaves)}
