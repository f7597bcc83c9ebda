"""A request's way through LiteLLM: attempts, retries, fallbacks, refusals, told by its log wherever the log tells it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from incident_kit.estimation.evidence import LABELS
from incident_kit.gateways.litellm_router import SECOND, Failure, Router
from incident_kit.gateways.litellm_settings import Deployment

OBSERVED, NEAREST, NONE = 0, LABELS.index("same_intent"), LABELS.index("none")
FIRST_DELAY_S, LONGEST_DELAY_S, LONGEST_ASKED_S = 0.5, 8.0, 60.0  # LiteLLM's back-off; its random addition is left out
DONE, SEND = 0, 1  # at the same instant, what is done comes before what is sent
# how an emulated way leaves the logged one
SAME, MISSED, TOO_EARLY, OTHER_DEPLOYMENT, MORE_TRIES, NOT_SHOWN = range(6)
REFUSED = "refused"

Steps: TypeAlias = Generator[tuple[int, int], None, Failure | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One logged attempt; ``error`` is None where it answered. A stream's clock may begin with its request."""

    kind: str
    group: str | None
    deployment: str | None
    sent_us: int
    done_us: int
    error: str | None = None
    retry_after_us: int | None = None


@dataclass(frozen=True, slots=True)
class Logged:
    """What the log says of one request. ``served`` is None where no answer came; ``error`` where it was answered."""

    position: int
    id: str
    arrived_us: int
    done_us: int
    group: str
    served: str | None
    error: str | None
    worker: str | None
    rows: tuple[Row, ...]


class Lender(Protocol):
    """Where outcomes come from that the log does not hold."""

    def __call__(self, position: int, deployment: Deployment, number: int) -> tuple[Row, int]:
        """Return an outcome of a request's ``number``-th call on a deployment, and its label's position."""
        ...


@dataclass(slots=True)
class Walk:
    """One request on its way; afterwards ``served`` and what is said below hold what came of it.

    ``calls`` is a lower bound where a group grants several retries: those that failed between two logged calls are unseen.
    ``refused_group`` is the group that had no deployment left before any call had failed: the refusal that LiteLLM logs.
    ``unlogged`` counts failed attempts that the log leaves out (LiteLLM logs the first failure only), ``guessed`` those of
    them that count against the likeliest deployment of several, as the log does not say which was called.
    """

    router: Router
    logged: Logged
    lend: Lender
    now_us: int = 0
    served: str | None = None
    error: str | None = None
    first: str | None = None
    refused_group: str | None = None
    calls: int = 0
    unlogged: int = 0
    guessed: int = 0
    parted: int = SAME
    evidence: int = OBSERVED
    _next: int = 0
    _failure_is_logged: bool = False
    _owes_a_failure: bool = False
    _numbers: dict[str, int] = field(default_factory=dict)

    def steps(self) -> Generator[tuple[int, int], None, None]:
        """Walk; every yield names an instant, in microseconds, and wants to be resumed then."""
        self.now_us = self.logged.arrived_us
        failure = yield from self._serve(self.logged.group, depth=0, tried=set())
        self.error = failure.error if failure else None

    def _serve(self, group: str, *, depth: int, tried: set[str]) -> Steps:
        failure = yield from self._with_retries(group)
        if failure is None or failure.ends or depth >= self.router.settings.max_fallbacks:
            return failure
        tried.add(group)
        for other in self.router.settings.chain(failure.error, (group, self.logged.group)):
            if other in tried or other not in self.router.groups:
                continue
            tried.add(other)
            depth += 1
            if (row := self._row()) and row.group == group and row.kind in {"call", "cache_hit"}:
                self._part(MORE_TRIES)
            found = yield from self._serve(other, depth=depth, tried=tried)
            if found is None or found.ends:
                return found
            # LiteLLM's callbacks see a request's first failure only: those of fallbacks it counts here
            self._fail(found, requested=None)
        return failure

    def _with_retries(self, group: str) -> Steps:
        failure = yield from self._attempt(group, skipped=frozenset())
        if failure is None or failure.ends or failure.deployment is None:
            return failure
        retries, is_by_policy = self._retries(failure, group)
        skipped: frozenset[str] = frozenset()
        for number in range(retries):
            if failure.deployment is None or not (is_by_policy or self._may_repeat(failure, group)):
                break
            if not failure.is_retryable:
                skipped |= {failure.deployment.id}
            if self.parted != SAME:  # otherwise the log has the times
                self.now_us += self._delay_us(failure, group, number)
            failure = yield from self._attempt(group, skipped=skipped)
            if failure is None or failure.ends:
                break
        return failure

    def _attempt(self, group: str, *, skipped: frozenset[str]) -> Steps:
        row = self._row()
        if row and row.group == group and row.kind != "refusal":
            self.now_us = max(self.now_us, row.sent_us)
        yield self.now_us, SEND
        up = self.router.available(group, worker=self.logged.worker, at_us=self.now_us)
        if not up:
            return self._refused(group)
        deployment, outcome, is_implied = self._outcome(group, up, skipped=skipped)
        if self._owes_a_failure:  # LiteLLM books a refusal on the deployment that is called next
            self.router.counted(deployment, worker=self.logged.worker, at_us=self.now_us)
            self._owes_a_failure = False
        self.calls += 1
        self._numbers[deployment.id] = self._numbers.get(deployment.id, 0) + 1
        self.first = self.first or group
        self.now_us = max(self.now_us, outcome.done_us)
        yield self.now_us, DONE
        if outcome.kind == "guardrail":
            return Failure(outcome.error or "guardrail", None, ends=True)
        if outcome.error is None:
            self.router.succeeded(deployment, worker=self.logged.worker, at_us=self.now_us)
            self.served = group
            return None
        is_cut = outcome.error == "cut"
        failure = Failure(outcome.error, deployment, outcome.retry_after_us, ends=is_cut, is_implied=is_implied)
        if failure.ends:
            self.served = group
        if not self._failure_is_logged:
            self._failure_is_logged = True
            self._fail(failure, requested=group)
        return failure

    def _outcome(
        self, group: str, up: Sequence[Deployment], *, skipped: frozenset[str]
    ) -> tuple[Deployment, Row, bool]:
        """Return who is called, how it ends, and whether that only follows from what the log shows later."""
        # the first of those with the greatest weight; those that repeating cannot mend are left out of retries
        likeliest = max([one for one in up if one.id not in skipped] or up, key=lambda one: one.weight)
        row = self._row()
        if self.parted == SAME and row is not None and row.group == group:
            known = {one.id: one for one in self.router.groups[group]}
            if row.kind == "refusal":
                self._part(MISSED)
            elif row.deployment in known and known[row.deployment] not in up:
                self._part(OTHER_DEPLOYMENT)
            else:
                self._next += 1
                return known.get(row.deployment or "", likeliest), row, False
        elif self.parted == SAME and (row is not None or self.logged.error is not None):
            # the log went on to another group, or the request failed: so this attempt failed, unlogged
            self.unlogged += 1
            until = self.logged.done_us if row is None else row.sent_us
            error = self.logged.error or self.logged.rows[self._next - 1].error or "unknown"
            return likeliest, Row("call", group, likeliest.id, self.now_us, until, error), True
        elif self.parted == SAME:
            self._part(NOT_SHOWN)
        outcome, evidence = self.lend(self.logged.position, likeliest, self._numbers.get(likeliest.id, 0))
        self.evidence = max(self.evidence, evidence)
        took_us = outcome.done_us - outcome.sent_us
        return (
            likeliest,
            Row(
                outcome.kind,
                group,
                likeliest.id,
                self.now_us,
                self.now_us + took_us,
                outcome.error,
                outcome.retry_after_us,
            ),
            False,
        )

    def _refused(self, group: str) -> Failure:
        row = self._row()
        is_first = not self._failure_is_logged
        if is_first:
            self._failure_is_logged = self._owes_a_failure = True
            self.refused_group = group
        if row is not None and row.group == group:
            if row.kind == "refusal":
                self._next += 1
            else:
                self._part(TOO_EARLY)
        elif is_first and row is None and self.parted == SAME and self.logged.served is not None:
            self._part(TOO_EARLY)
        return Failure(REFUSED, None)

    def _row(self) -> Row | None:
        """Return the next logged attempt, while the way is the logged one."""
        rows = self.logged.rows
        return rows[self._next] if self.parted == SAME and self._next < len(rows) else None

    def _part(self, why: int) -> None:
        self.parted = self.parted or why

    def _fail(self, failure: Failure, *, requested: str | None) -> None:
        members = self.router.groups[failure.deployment.group] if failure.deployment else ()
        self.guessed += failure.is_implied and len(members) > 1
        self.router.failed(
            failure, worker=self.logged.worker, at_us=self.now_us, request=self.logged.position, requested=requested
        )

    def _retries(self, failure: Failure, group: str) -> tuple[int, bool]:
        """Return how many retries a first failure is granted, and whether a retry policy says so."""
        settings = self.router.settings
        policy = settings.group_retry_policies.get(group, settings.retry_policy)
        if policy is not None:
            by_status = policy.get("NotFoundError") if failure.status == 404 else None
            granted = next(
                (x for x in (by_status, failure.among(policy), policy.get("Default")) if x is not None), None
            )
            if granted is not None:
                return granted, True
        own = failure.deployment.num_retries if failure.deployment else None
        return settings.num_retries if own is None else own, False

    def _may_repeat(self, failure: Failure, group: str) -> bool:
        """Return whether LiteLLM repeats a failed call in its group: some failures never, none without a deployment left."""
        settings = self.router.settings
        special = {
            "context_window": settings.context_window_fallbacks,
            "content_policy": settings.content_policy_fallbacks,
        }
        if special.get(failure.error) is not None:
            return False
        if not failure.is_retryable and not (failure.status in {401, 403} and len(self.router.groups[group]) > 1):
            return False
        return bool(self.router.available(group, worker=self.logged.worker, at_us=self.now_us))

    def _delay_us(self, failure: Failure, group: str, number: int) -> int:
        """Return the wait before a retry: none where the group has other deployments in service."""
        if len(self.router.groups[group]) > 1:
            return 0
        asked_us = failure.retry_after_us or 0
        if 0 < asked_us <= LONGEST_ASKED_S * SECOND:
            return asked_us
        delay_s = max(FIRST_DELAY_S * 2.0 ** min(number, 10), self.router.settings.retry_after_s)
        return round(min(delay_s, LONGEST_DELAY_S) * SECOND)
