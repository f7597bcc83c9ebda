"""Replay: what a policy would have decided for every request of an incident, in closed loop (POLICY.md section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.engine.books import Book, Outcome
from incident_kit.engine.details import refuse_unkept
from incident_kit.engine.routing import microseconds, routes_of
from incident_kit.errors import UnansweredQuestion
from incident_kit.estimation.evidence import Estimator, nearest
from incident_kit.log import Log
from incident_kit.policies.conditions import Condition
from incident_kit.policies.policy import Policy
from incident_kit.signals import refuse_unloaded, signal_names

if TYPE_CHECKING:
    from incident_kit.engine.runs import Run
    from incident_kit.incident import Incident

QUESTION_OF = {
    **dict.fromkeys(("latency", "mean", "ttft"), "waits"),
    **dict.fromkeys(("error", "timeout", "429", "consecutive"), "errors"),
    **dict.fromkeys(("escalation", "reopen"), "tickets"),
    "tools": "tools",
    "override": "overrides",
    "sla": "sla",
}
_OF_TICKETS = "select exists (from ticket_events where type = '{}')"
NEEDED = {  # what the verdict has no question for: does the log hold any, and how it is called
    "ttft": ("select exists (from attempts where first_token_at is not null)", "times of first tokens"),
    "cost": ("select exists (from attempts where cost_usd is not null)", "costs of calls"),
    "escalation": (_OF_TICKETS.format("escalation"), "escalations of tickets"),
    "reopen": (_OF_TICKETS.format("reopen"), "re-openings of tickets"),
}


@dataclass(frozen=True)
class Replay:
    """A policy replayed over a log.

    ``route`` gives each request's position in ``policy.routes`` (-1: unrouted, left as logged), ``records`` those fields of
    the kernel's DECISION records that outlive it, by name, ``changes`` the changes of breakers' states as rows (route,
    entry, at_us, from, to, why, condition, value, n, exact, intent), sorted by time. ``targets`` is the vocabulary of
    ``outcome.target`` and of ``first_target``; an end without a model stands there under its label. ``reason`` is why the
    first entry was taken (machine.BY_CHAIN, BY_HAND, BY_CONVERSATION), ``alerted`` what the machine says of alerts; None
    where the policy needed no machine. ``agreement`` is the share of draws that decide each request alike; None without draws.
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
    reason: NDArray[np.int8]
    alerted: NDArray[Any] | None = None
    estimator: Estimator = nearest
    potential: bool = False
    agreement: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.name

    @cached_property
    def decisions(self) -> pl.DataFrame:
        """One row a request, in order of arrival: what was decided, why, on what state, and what came of it."""
        from incident_kit.scoring.decisions import decisions

        return decisions(self)

    def write_decisions(self, path: str | Path) -> Path:
        """Write the decisions to a file without keeping them: ``.parquet``, ``.csv`` or ``.json``; return its path."""
        from incident_kit.outfiles.framefiles import write_frame
        from incident_kit.scoring.decisions import decisions

        return write_frame(self.decisions if "decisions" in vars(self) else decisions(self), Path(path))

    @cached_property
    def transitions(self) -> pl.DataFrame:
        """One row a change of a breaker's state: at, route, breaker, from, to, why, metric, value, n, threshold, state_exact."""
        from incident_kit.scoring.decisions import transitions

        return transitions(self)

    @cached_property
    def alert_changes(self) -> pl.DataFrame:
        """One row each time an alert of the policy began or ceased to fire, over what the policy itself would have done."""
        from incident_kit.scoring.decisions import alert_changes

        return alert_changes(self)

    @cached_property
    def outcomes(self) -> pl.DataFrame:
        """One row a request, in order of arrival: what customers and agents got; the input of every metric."""
        from incident_kit.scoring.outcomes import outcomes

        return outcomes(self)

    def series(self, *, every: timedelta | None = None) -> pl.DataFrame:
        """Return the outcomes over time, one row an interval (about sixty where ``every`` is not given)."""
        from incident_kit.scoring.series import series_of

        return series_of(self, every=every).with_columns(
            pl.lit(self.name).alias("policy"),
            pl.lit("observed" if self.same_as_log.all() else "estimated").alias("evidence"),
        )

    def states(self) -> pl.DataFrame:
        """Return the spans between changes, from the log's first to its last arrival, for a chart."""
        from incident_kit.scoring.decisions import states

        return states(self)

    def explain(self, request_id: str) -> str:
        """Return why this request went where, in sentences.

        Raises
        ------
        NoSuchItem
            The log has no such request.
        """
        from incident_kit.scoring.explain import explain

        return explain(self, request_id)

    def explain_switch(self, which: int | str | datetime, *, route: str | None = None) -> str:
        """Return why a breaker changed its state (its number from 1, or when), what that did, and when it came back.

        Raises
        ------
        NoSuchItem
            There is no such change, or no such route.
        """
        from incident_kit.scoring.switches import explain_switch

        return explain_switch(self, which, route=route)

    @property
    def overlap(self) -> float:
        """The share of decisions equal to the log: same first target, same server, same tools."""
        return float(self.same_as_log.mean()) if len(self.log) else 1.0

    @property
    def is_certain(self) -> bool:
        """Whether nothing that the replay used was estimated: then every draw is this one."""
        return not self.outcome.evidence.any() and not self.records["estimated"].any() and self.state_exact_share == 1.0

    @property
    def state_exact_share(self) -> float:
        """The share of decisions whose breakers had seen observed outcomes only."""
        routed = self.route >= 0
        return float(self.records["exact"][routed].mean()) if routed.any() else 1.0

    @property
    def evidence(self) -> Mapping[str, float]:
        """The share of outcomes by label: observed, worked out from ever less similar calls, none (the log cannot tell)."""
        from incident_kit.estimation.evidence import LABELS

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
        from incident_kit.scoring.fidelity import differences

        return differences(self)

    @cached_property
    def samples(self) -> pl.DataFrame:
        """One row a guarded route: how many calls its window held at a decision, and how often that was enough to act."""
        from incident_kit.scoring.decisions import samples

        return samples(self)

    @cached_property
    def caveats(self) -> tuple[str, ...]:
        """What a reader must know before believing this replay, computed from the data."""
        from incident_kit.scoring.caveats import caveats

        return caveats(self)


def replay(
    incident: Incident, policy: Policy, *, draws: int = 0, seed: int = 0, estimator: Estimator | None = None
) -> Replay:
    """Return ``policy`` replayed over an incident, in closed loop: breakers see only what the policy itself would have made.

    Outcomes of requests that would have gone elsewhere come from ``estimator`` (the incident's own model where none is given)
    and are labelled. With ``draws``, ``replay.agreement`` says of each decision how many of so many draws of the outcomes come
    to the same.

    Raises
    ------
    UnansweredQuestion
        A breaker's condition needs what the loaded logs do not hold: it must never read as healthy.
    """
    _refuse_unanswered(policy, incident)
    if estimator is None:
        estimator = incident.model if policy.routes else nearest
    central = replay_log(incident.log, policy, estimator=estimator, incident=incident)
    if not draws:
        return central
    alike = np.zeros(len(incident.log), np.int64)
    for one in drawn(central, draws=draws, seed=seed):
        alike += (one.first_target == central.first_target) & (one.outcome.target == central.outcome.target)
    return replaced(central, agreement=(alike / draws).astype(np.float32))


def drawn(central: Replay, *, draws: int, seed: int = 0) -> Iterator[Replay]:
    """Yield a replay on each draw of the outcomes; where no outcome was estimated, or nothing is drawn, always the same one."""
    at = getattr(central.estimator, "at", None)
    for draw in range(draws):
        yield central if at is None else on_draw(central, draw, draws=draws, seed=seed)


def on_draw(central: Replay, draw: int, *, draws: int, seed: int = 0) -> Replay:
    """Return a replay on one of ``draws`` draws; the central one itself where all that it used is in the log."""
    at = getattr(central.estimator, "at", None)
    if at is None or central.is_certain:
        return central
    return replay_log(
        central.log, central.policy, estimator=at(draw, draws=draws, seed=seed), incident=central.incident
    )


def replay_log(
    log: Log,
    policy: Policy,
    *,
    estimator: Estimator = nearest,
    incident: Incident | None = None,
    potential: bool = False,
) -> Replay:
    """Return ``policy`` replayed over a log; :func:`replay` is the same for an incident.

    ``potential``: the log holds what every target would have done to every request (a scenario's truth), so that nothing is
    estimated, also of what is sent later than it arrived.
    """
    from incident_kit.engine import runs

    targets, code = vocabulary(policy, log)
    route, sizes = routes_of(policy, log)
    book, alerted = Book.as_logged(log), None
    if runs.is_plain(policy) or (runs.is_apart(policy) and not potential):
        largest_first = np.argsort(-sizes, kind="stable").tolist()
        found = runs.apart(log, policy, route, largest_first, estimator)
    else:
        of_machine, alerted = runs.by_machine(log, policy, route, estimator, potential=potential)
        found = iter(of_machine)
    changes = []
    for run in found:
        book.enter(run, policy.routes[run.route], code)
        changes.append(changes_of(run, policy))
    of_book = (book.records, merged(changes), book.first_target, book.outcome, book.same_as_log, book.reason)
    return Replay(policy, log, incident, targets, route, *of_book, alerted, estimator, potential)


def vocabulary(policy: Policy, log: Log) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the targets of a replay, ends without a model under their labels, and the code of each."""
    from incident_kit.engine import runs

    targets = tuple(dict.fromkeys((*log.targets, *runs.labels(policy))))
    return targets, {target: position for position, target in enumerate(targets)}


def changes_of(run: Run, policy: Policy) -> NDArray[np.float64]:
    """Return a run's changes of states as rows of a replay's."""
    changed, until = run.changes, policy.routes[run.route].until
    if until is not None:  # what is under way ends by the version that it came under; it moves nobody else
        changed = changed[changed[:, 1] < microseconds(until)]
    return np.column_stack([np.full(len(changed), run.route), changed])


def merged(changes: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the changes of several routes as a replay has them: by time, route and entry."""
    rows = np.concatenate([np.empty((0, 11)), *changes])
    return rows[np.lexsort((rows[:, 1], rows[:, 0], rows[:, 2]))]


def _asked(policy: Policy) -> Iterator[tuple[str, Condition]]:
    """Yield the conditions that a policy asks without saying what the absence of data means, and where."""
    for route in policy.routes:
        for entry in route.chain:
            if entry.breaker and entry.breaker.no_data == "hold":
                yield from ((f"route {route.name}, {entry.label}", leaf) for leaf in entry.breaker.conditions)
    for alert in policy.alerts:
        if alert.no_data == "hold":
            yield from ((f"alert {alert.name}", leaf) for leaf in alert.when.leaves)


def _refuse_unanswered(policy: Policy, incident: Incident) -> None:
    """Refuse a policy that asks what the loaded logs cannot feed, unless its ``no_data`` says what that means."""
    refuse_unloaded(policy, signal_names(incident.store))
    refuse_unkept(policy, incident.store)
    answers = incident.answers
    for where, condition in _asked(policy):
        question = QUESTION_OF.get(condition.kind)
        answer = answers.get(question) if question else None
        if answer is not None and answer.answer == "no":
            raise UnansweredQuestion(
                f"policy {policy.name}, {where}: the condition {condition.text!r} cannot be judged on this log. "
                f"{answer.question.capitalize()}: {answer.why}"
            )
        if condition.kind in NEEDED and not incident.store.rows(NEEDED[condition.kind][0])[0][0]:
            raise UnansweredQuestion(
                f"policy {policy.name}, {where}: the condition {condition.text!r} cannot be judged on this log, which holds no "
                f"{NEEDED[condition.kind][1]}. Load them, or say with no_data: what their absence means"
            )
