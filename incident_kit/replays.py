"""Replay: what a policy would have decided for every request of an incident, in closed loop (POLICY.md section 4)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.errors import UnansweredQuestion
from incident_kit.evidence import Estimator, nearest
from incident_kit.log import UNKNOWN, Log
from incident_kit.policy import Policy
from incident_kit.routes import Route

if TYPE_CHECKING:
    from incident_kit.incident import Incident

UNROUTED = -1
OBSERVED, NEAREST, NONE = range(3)  # positions in evidence.LABELS
_KEPT = ("k", "n", "first", "entry", "attempts", "state", "exact", "probe", "estimated")
QUESTION_OF = {"latency": "waits", "error": "errors"}


@dataclass(frozen=True)
class Outcome:
    """What the policy's decisions led to, arrays ``[request]``; as logged where the request was served as logged.

    ``target`` answered (or was tried last), ``call`` is the position in ``log.calls`` of the call behind the outcome,
    ``error`` 0 is ok and -1 unknown, ``evidence`` a position in ``evidence.LABELS``.
    """

    target: NDArray[np.int16]
    wait_ms: NDArray[np.int32]
    error: NDArray[np.int16]
    call: NDArray[np.int32]
    evidence: NDArray[np.int8]
    tools_disabled: NDArray[np.bool_]


@dataclass(frozen=True)
class Replay:
    """A policy replayed over a log.

    ``route`` gives each request's position in ``policy.routes`` (-1: unrouted, left as logged), ``records`` those fields of
    the kernel's DECISION records that outlive it, by name, ``changes`` the changes of breakers' states as rows (route,
    entry, at_us, from, to, why, condition, value, n, exact), sorted by time. ``targets`` is the vocabulary of
    ``outcome.target`` and of ``first_target``.
    """

    policy: Policy
    log: Log
    incident: Incident | None
    targets: tuple[str, ...]
    route: NDArray[np.int8]
    records: Mapping[str, NDArray[Any]]
    changes: NDArray[np.float64]
    first_target: NDArray[np.int16]
    outcome: Outcome
    same_as_log: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.name

    @cached_property
    def decisions(self) -> pl.DataFrame:
        """One row a request, in order of arrival: what was decided, why, on what state, and what came of it."""
        from incident_kit.decisions import decisions

        return decisions(self)

    @cached_property
    def transitions(self) -> pl.DataFrame:
        """One row a change of a breaker's state: at, route, breaker, from, to, why, metric, value, n, threshold, state_exact."""
        from incident_kit.decisions import transitions

        return transitions(self)

    @cached_property
    def outcomes(self) -> pl.DataFrame:
        """One row a request, in order of arrival: what customers and agents got; the input of every metric."""
        from incident_kit.outcomes import outcomes

        return outcomes(self)

    def series(self, *, every: timedelta | None = None) -> pl.DataFrame:
        """Return the outcomes over time, one row an interval (about sixty where ``every`` is not given)."""
        from incident_kit.series import series

        return series(self.outcomes, every=every).with_columns(
            pl.lit(self.name).alias("policy"),
            pl.lit("observed" if self.same_as_log.all() else "estimated").alias("evidence"),
        )

    def states(self) -> pl.DataFrame:
        """Return the spans between changes, from the log's first to its last arrival, for a chart."""
        from incident_kit.decisions import states

        return states(self)

    def explain(self, request_id: str) -> str:
        """Return why this request went where, in sentences.

        Raises
        ------
        NoSuchItem
            The log has no such request.
        """
        from incident_kit.explain import explain

        return explain(self, request_id)

    @property
    def overlap(self) -> float:
        """The share of decisions equal to the log: same first target, same server, same tools."""
        return float(self.same_as_log.mean()) if len(self.log) else 1.0

    @property
    def state_exact_share(self) -> float:
        """The share of decisions whose breakers had seen observed outcomes only."""
        routed = self.route >= 0
        return float(self.records["exact"][routed].mean()) if routed.any() else 1.0

    @property
    def evidence(self) -> Mapping[str, float]:
        """The share of outcomes by label: observed, nearest (borrowed), none (the log cannot tell)."""
        from incident_kit.evidence import LABELS

        counts = np.bincount(self.outcome.evidence, minlength=len(LABELS)) / max(len(self.log), 1)
        return dict(zip(LABELS, counts.tolist(), strict=True))

    @property
    def fidelity(self) -> float:
        """The share of requests answered by the target that answered them in the log.

        It judges the kit where the policy was in force; ``differences`` says where and why it is not 1.
        """
        logged = self.log.served
        known = logged >= 0
        return float((self.outcome.target[known] == logged[known]).mean()) if known.any() else 1.0

    @cached_property
    def differences(self) -> pl.DataFrame:
        """One row a request that another target answers than in the log, in order of arrival, with the reason."""
        from incident_kit.fidelity import differences

        return differences(self)

    @cached_property
    def samples(self) -> pl.DataFrame:
        """One row a guarded route: how many calls its window held at a decision, and how often that was enough to act."""
        from incident_kit.decisions import samples

        return samples(self)

    @cached_property
    def caveats(self) -> tuple[str, ...]:
        """What a reader must know before believing this replay, computed from the data."""
        from incident_kit.caveats import caveats

        return caveats(self)


def replay(incident: Incident, policy: Policy, *, estimator: Estimator = nearest) -> Replay:
    """Return ``policy`` replayed over an incident, in closed loop: breakers see only what the policy itself would have made.

    Outcomes of requests that would have gone elsewhere come from ``estimator`` and are labelled.

    Raises
    ------
    UnansweredQuestion
        A breaker's condition needs what the loaded logs do not hold: it must never read as healthy.
    """
    _refuse_unanswered(policy, incident)
    return replay_log(incident.log, policy, estimator=estimator, incident=incident)


def replay_log(log: Log, policy: Policy, *, estimator: Estimator = nearest, incident: Incident | None = None) -> Replay:
    """Return ``policy`` replayed over a log; :func:`replay` is the same for an incident."""
    from incident_kit import kernel
    from incident_kit.settlement import settle

    targets = tuple(dict.fromkeys((*log.targets, *policy.targets)))
    code = {target: position for position, target in enumerate(targets)}
    route, sizes = _routes_of(policy, log)
    records = {name: np.zeros(len(log), kernel.DECISION[name]) for name in _KEPT}
    records["exact"][:] = 1
    first_target = log.first_target.copy()
    target = np.where(log.served >= 0, log.served, log.first_target).astype(np.int16)
    result = Outcome(
        target=target,
        wait_ms=log.wait_ms.copy(),
        error=log.error.copy(),
        call=np.full(len(log), UNKNOWN, np.int32),
        evidence=np.zeros(len(log), np.int8),
        tools_disabled=np.zeros(len(log), np.bool_),
    )
    same = np.ones(len(log), np.bool_)
    changes = []

    of_tools = (log.tools_offered, log.without_tools)
    logged = (log.first_target, log.served, log.error, *of_tools, log.is_complete, log.calls.starts)
    entered = (
        first_target, same, result.tools_disabled, result.call, result.target, result.wait_ms, result.error, result.evidence
    )  # fmt: skip

    def one(position: int) -> None:
        chosen = policy.routes[position]
        requests = np.flatnonzero(route == position)
        own, table, donor = _run(log, chosen, requests, estimator)
        chain = np.array([code[entry.model] for entry in chosen.chain], np.int16)
        without_tools = chosen.on_fallback.tools == "disabled"
        settle(
            requests, own, donor, chain, chosen.degraded_start, without_tools, logged, tuple(records.values()), entered
        )
        changes.append(np.column_stack([np.full(len(table), position), table]))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, np.argsort(-sizes, kind="stable").tolist()))  # the largest first
    merged = np.concatenate([np.empty((0, 10)), *changes])
    merged = merged[np.lexsort((merged[:, 1], merged[:, 0], merged[:, 2]))]
    return Replay(policy, log, incident, targets, route, records, merged, first_target, result, same)


def _run(
    log: Log, route: Route, requests: NDArray[Any], estimator: Estimator
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.int32]]:
    """Return one route's decisions, changes and donors."""
    from incident_kit import kernel
    from incident_kit.plan import plan

    p = plan(route, log.errors)
    outcomes = estimator(log, requests, p.targets, attempts=p.attempts)
    arrived = log.arrived_us[requests]
    done_us, done_request = kernel.ends(arrived, outcomes.records[0, 0], int(p.retry["timeout_ms"][0]))
    draw = _draws(log, requests) if (p.breakers["share"][p.breakers["guarded"] == 1] < 1).any() else np.empty(0)
    own, table = kernel.run(
        arrived, draw, done_us, done_request, outcomes.records, p.breakers, p.rules, p.trip, p.recover, p.retry,
        p.failures, p.flags,
    )  # fmt: skip
    return own, table, outcomes.donor


def _draws(log: Log, requests: NDArray[Any]) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each request, a hash of its id: the same in any order, on any machine."""
    from hashlib import blake2b

    ids = log.request_id.gather(requests)
    words = (int.from_bytes(blake2b(one.encode(), digest_size=8).digest(), "big") for one in ids)
    return np.fromiter((word / 2**64 for word in words), np.float64, len(requests))


def _routes_of(policy: Policy, log: Log) -> tuple[NDArray[np.int8], NDArray[Any]]:
    """Return the route of each request, and how many requests each route has."""
    position = {id(route): i for i, route in enumerate(policy.routes)}
    table = np.full(len(log.intents) + 1, UNROUTED, np.int8)
    for code, intent in enumerate((*log.intents, None)):
        route = policy.route_of(intent)
        if route is not None:
            table[code] = position[id(route)]
    _, runs = log.by_intent
    sizes = np.bincount(np.roll(table, 1) + 1, np.diff(runs), minlength=len(policy.routes) + 1)
    return table[log.intent], sizes[1:]  # -1, an unlabelled request, takes the last of the table


def _refuse_unanswered(policy: Policy, incident: Incident) -> None:
    answers = incident.answers
    for route in policy.routes:
        for entry in route.chain:
            for condition in entry.breaker.conditions if entry.breaker else ():
                answer = answers.get(QUESTION_OF[condition.kind])
                if answer is not None and answer.answer == "no":
                    raise UnansweredQuestion(
                        f"policy {policy.name}, route {route.name}: the condition {condition.text!r} on {entry.model} "
                        f"cannot be judged on this log. {answer.question.capitalize()}: {answer.why}"
                    )
