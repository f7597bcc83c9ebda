"""The compiled machine over a small world: the same question as the interpreter's, with the answer in its terms."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from truths import without_alerts
from worlds import Arrival, Attempt, Logged, World

from incident_kit import lots
from incident_kit.engine import details, machine, machinery, wiring
from incident_kit.engine.details import Details
from incident_kit.estimation.evidence import Outcomes
from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME, NOT_A_CALL, OUTCOME
from incident_kit.log import Calls, Log
from incident_kit.policies.policy import Breaker, Policy

STATES = ("CLOSED", "OPEN", "HALF_OPEN")
MS = 1000
_KINDS = {"call": CALL, "hit": NOT_A_CALL, None: NO_OUTCOME}
_FAR_US = -(2**60)  # when the log did not send it


class Ended(NamedTuple):
    """What became of a request, under the interpreter's names; of an unrouted one only the wait says something."""

    route: int | None
    first: int
    called: int
    entry: int
    number: int
    attempts: int
    wait: int | None
    error: str | None
    state: str
    k: Fraction
    n: Fraction
    exact: bool
    probe: bool
    is_no_model: bool

    @property
    def has_outcome(self) -> bool:
        return self.wait is not None


class Moved(NamedTuple):
    """A breaker's change of state, and the condition shown with it."""

    at: int
    route: int
    entry: int
    intent: str | None
    was: str
    now: str
    shown: int
    n: Fraction
    exact: bool


class Told(NamedTuple):
    at: int
    alert: int
    firing: bool


class Result(NamedTuple):
    """In the interpreter's order."""

    requests: list[Ended]
    changes: list[Moved]
    alert_changes: list[Told]


def run(policy: Policy, world: World) -> Result:
    """Return what the machine makes of a policy over a world."""
    free = [i for i in range(len(world.requests)) if _route_of(policy, world.requests[i]) is None]
    ends = [world.logged.get(i, Logged(())) if i in free else Logged(()) for i in range(len(world.requests))]
    log, facts = _log(policy, world, ends)
    route = np.array([_route_of(policy, one) for one in world.requests], np.float64)
    route = np.nan_to_num(route, nan=-1).astype(np.int64)
    outcomes, facts = _cells(policy, world, route, log.errors, facts)
    known = _details(world, ends, facts)
    room = 1
    laid = wiring.build(log, policy, route, outcomes, known, potential=world.by_time, room=room)
    while not machine.run(laid):
        room *= 4
        laid = wiring.build(log, policy, route, outcomes, known, potential=world.by_time, room=room)
    routed = np.flatnonzero(route >= 0).tolist()
    mine = laid.requests[: laid.routed]
    unrouted = {i: _as_logged(int(wait_ms)) for i, wait_ms in enumerate(log.wait_ms)}
    ended = unrouted | {position: _ended(policy, log, position, mine[i]) for i, position in enumerate(routed)}
    return Result(
        [ended[i] for i in range(len(log))],
        [_moved(log, row) for row in laid.changes[: laid.size[1]]],
        [Told(int(row["at"]), int(row["alert"]), bool(row["firing"])) for row in laid.alert_changes[: laid.size[2]]],
    )


# --- in ---


def _log(policy: Policy, world: World, ends: Sequence[Logged]) -> tuple[Log, Any]:
    """Return the log as if nothing but unrouted requests had called anybody, and the FACT records of its calls."""
    requests = world.requests
    size = len(requests)
    intents = tuple(sorted({one.intent for one in requests if one.intent is not None}))
    targets = tuple(dict.fromkeys((*policy.targets, *(call.target for one in ends for call in one.calls))))
    errors = ("ok", "rejected", "timeout", *_errors(policy, world, ends))
    calls = sorted(
        (i, targets.index(call.target), serial, call)
        for i, one in enumerate(ends)
        for serial, call in enumerate(one.calls)
    )
    numbers = [sum(calls[b][:2] == one[:2] for b in range(a)) for a, one in enumerate(calls)]
    last = [one.calls[-1] if one.calls else None for one in ends]
    waits = [
        (call.sent_us - request.arrived_us) // MS + call.attempt.latency_ms if call else -1
        for request, call in zip(requests, last, strict=True)
    ]
    log = Log(
        row=np.arange(size),
        id_hash=np.arange(size, dtype=np.uint64),
        request_id=pl.Series([one.id for one in requests]),
        arrived_us=np.array([one.arrived_us for one in requests], np.int64),
        intent=_codes([one.intent for one in requests], intents, np.int16),
        first_target=_codes([one.calls[0].target if one.calls else None for one in ends], targets, np.int16),
        served=_codes([call.target if call else None for call in last], targets, np.int16),
        wait_ms=np.array(waits, np.int32),
        error=np.array([errors.index(call.attempt.error or "ok") if call else -1 for call in last], np.int16),
        tools_offered=np.zeros(size, np.int32),
        without_tools=np.zeros(size, np.bool_),
        is_complete=np.ones(size, np.bool_),
        calls=Calls.of(
            requests=size,
            request=np.array([i for i, *_ in calls], np.int32),
            target=np.array([target for _, target, *_ in calls], np.int16),
            number=np.array(numbers, np.int16),
            sent_us=np.array([one.sent_us for *_, one in calls], np.int64),
            latency_ms=np.array([one.attempt.latency_ms for *_, one in calls], np.int32),
            error=np.array([errors.index(one.attempt.error or "ok") for *_, one in calls], np.int16),
            is_call=np.array([one.attempt.kind == "call" for *_, one in calls], np.bool_),
        ),
        intents=intents,
        targets=targets,
        errors=errors,
        store=None,  # type: ignore[arg-type] - nothing is read from it
    )
    log.__dict__["lots"] = lots.Lots(log, {})
    facts = np.concatenate(
        [np.zeros(0, machinery.FACT), *(_fact(one.attempt._replace(sent_us=one.sent_us)) for *_, one in calls)]
    )
    return log, facts


def _errors(policy: Policy, world: World, ends: Sequence[Logged]) -> list[str]:
    cells = (
        world.outcome(i, entry.model, number).error
        for route in policy.routes
        for entry in route.chain
        if entry.kind == "model"
        for number in range(1 + route.retry.attempts)
        for i in range(len(world.requests))
    )
    found = {*cells, *(call.attempt.error for one in ends for call in one.calls)}
    return sorted(one for one in found if one not in {None, "ok", "rejected", "timeout"})  # type: ignore[type-var]


def _details(world: World, ends: Sequence[Logged], facts: Any) -> Details:
    requests = world.requests
    tickets = sorted({one.ticket for one in (*requests, *world.desk) if one.ticket})
    talks = sorted({one.conversation for one in requests if one.conversation})
    keys = sorted({key for one in requests for key in one.facts})
    costs = [[call.attempt.cost_nano for call in one.calls] for one in ends]
    desk = world.desk
    return Details(
        facts=facts,
        is_fallback=np.array([-1 if one.is_fallback is None else int(one.is_fallback) for one in ends], np.int8),
        cost_nano=np.array([-1 if None in one else sum(one) for one in costs], np.int64),  # type: ignore[arg-type]
        conversation=_codes([one.conversation for one in requests], talks, np.int32),
        ticket=_codes([one.ticket for one in requests], tickets, np.int32),
        attributes=pl.DataFrame(
            {
                "conversation_id": [one.conversation for one in requests],
                "ticket_id": [one.ticket for one in requests],
                **{key: [one.facts.get(key) for one in requests] for key in keys},
            }
        ),
        desk=pl.DataFrame(
            {
                "ticket": [tickets.index(row.ticket) for row in desk],
                "at_us": [row.at_us for row in desk],
                "what": [row.what for row in desk],
            },
            schema={"ticket": pl.Int32, "at_us": pl.Int64, "what": pl.String},
        ),
        signals=pl.DataFrame(
            {
                "name": [row.name for row in world.signals],
                "known_us": [row.at_us for row in world.signals],
                "numerator": [float(row.numerator) for row in world.signals],
                "denominator": [float(row.denominator) for row in world.signals],
                "intent": [row.intent for row in world.signals],
                "target": [row.target for row in world.signals],
            },
            schema={
                "name": pl.String,
                "known_us": pl.Int64,
                "numerator": pl.Float64,
                "denominator": pl.Float64,
                "intent": pl.String,
                "target": pl.String,
            },
        ),
        feedback_lag_us=details.REVIEWED if world.feedback == "reviewed" else world.feedback_lag_us,
    )


def _route_of(policy: Policy, one: Arrival) -> int | None:
    known = {**one.facts, "conversation_id": one.conversation, "ticket_id": one.ticket}
    found = (i for i, route in enumerate(policy.routes) if route.matches(one.intent) and route.fits(known))
    return next(found, None)


def _cells(policy: Policy, world: World, route: Any, errors: Sequence[str], facts: Any) -> tuple[list[Outcomes], Any]:
    """Return each route's outcomes; what else is known of an attempt has a place of its own behind ``facts``."""
    found, more = [], [facts]
    filled = len(facts)
    for r, one in enumerate(policy.routes):
        members = np.flatnonzero(route == r).tolist()
        shape = (len(one.chain), 1 + one.retry.attempts, len(members))
        records, donor = np.zeros(shape, OUTCOME), np.full(shape, -1, np.int32)
        records["estimated"] = 1
        for e, number, column in np.ndindex(*shape):
            if one.chain[e].kind == "model":
                attempt = world.outcome(members[column], one.chain[e].model, number)
                records[e, number, column] = _record(attempt, errors)
                donor[e, number, column] = filled
                more.append(_fact(attempt))
                filled += 1
        found.append(Outcomes(records, donor))
    return found, np.concatenate(more)


def _record(attempt: Attempt, errors: Sequence[str]) -> tuple[int, int, int, bool]:
    return attempt.latency_ms, errors.index(attempt.error or "ok"), _KINDS[attempt.kind], not attempt.is_observed  # type: ignore[return-value]


def _fact(attempt: Attempt) -> Any:
    fact = np.zeros(1, machinery.FACT)
    fact["sent_us"] = _FAR_US if attempt.sent_us is None else attempt.sent_us
    fact["ttft_ms"] = -1 if attempt.ttft_ms is None else attempt.ttft_ms
    if attempt.tool_ok is not None:
        fact["tool_calls"], fact["tools_ok"] = attempt.tool_calls, attempt.tool_ok
    fact["tools_after_us"] = -1 if attempt.tool_after_us is None else attempt.tool_after_us
    fact["overridden"] = -1 if attempt.overridden is None else attempt.overridden
    fact["review_after_us"] = attempt.review_after_us or 0
    fact["cost_nano"] = -1 if attempt.cost_nano is None else attempt.cost_nano
    return fact


def _codes(values: Sequence[str | None], words: Sequence[str], kind: Any) -> Any:
    return np.array([-1 if one is None else words.index(one) for one in values], kind)


# --- out ---


def _as_logged(wait_ms: int) -> Ended:
    wait = wait_ms * MS if wait_ms >= 0 else None
    nothing = Fraction(0)
    return Ended(None, -1, -1, -1, 0, 0, wait, None, "", nothing, nothing, exact=True, probe=False, is_no_model=False)


def _ended(policy: Policy, log: Log, position: int, d: Any) -> Ended:
    has_outcome = d["wait_us"] >= 0
    error = log.errors[d["error"]] if has_outcome else "unknown"
    route = policy.routes[d["route"]]
    primary = int(lots.order(log.request_id[position], route.weights)[0]) if route.weights else 0
    unit = _unit(route.chain[primary].breaker, testing=d["state"] == 2)
    return Ended(
        int(d["route"]),
        int(d["first"]),
        int(d["called"]),
        int(d["entry"]),
        int(d["number"]),
        int(d["attempts"]),
        int(d["wait_us"]) if has_outcome else None,
        None if error == "ok" else error,
        STATES[d["state"]],
        Fraction(int(d["k"]), unit),
        Fraction(int(d["n"]), unit),
        bool(d["exact"]),
        bool(d["probe"]),
        bool(d["no_model"]),
    )


def _unit(breaker: Breaker | None, *, testing: bool) -> int:
    """Return what the machine counts one of its first condition's rows as."""
    if breaker is None:
        return 1
    rule = breaker.half_open.when or without_alerts(breaker.when) if testing else breaker.when
    return 10**6 if rule and rule.leaves[0].kind == "signal" else 1


def _moved(log: Log, row: Any) -> Moved:
    intent = int(row["intent"])
    return Moved(
        int(row["at"]),
        int(row["route"]),
        int(row["entry"]),
        log.intents[intent] if intent >= 0 else None,
        STATES[row["was"]],
        STATES[row["now"]],
        int(row["condition"]),
        Fraction(float(row["n"])).limit_denominator(10**6),
        bool(row["exact"]),
    )
