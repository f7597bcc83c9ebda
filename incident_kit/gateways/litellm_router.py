"""LiteLLM's memory of its deployments: what counts as a failure, when that takes one out of service, and for how long.

Facts were read in the package, versions 1.106.2 and 1.109.1 (POLICY.md section 6). Each counter lives for a time to live
from its own first event and then begins anew, so a deployment's failures and successes are counted over different
minutes. A cooldown has an end and no probe; a second one that begins within it may end it earlier, never later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from incident_kit.errors import InvalidConfiguration
from incident_kit.gateways.litellm_settings import Deployment, Policy, Settings

SECOND = 1_000_000  # microseconds
READ = ("1.106.2", "1.109.1")
COOLED_4XX = frozenset({401, 402, 404, 408, 429})
RETRIED_4XX = frozenset({408, 409, 429})
RATE_LIMITED, ALL_FAILED, MOST_FAILED, NOT_RETRYABLE, TOO_MANY = (
    "rate limited", "all failed", "most failed", "not retryable", "more than allowed",
)  # fmt: skip
FROM_DEPLOYMENT, FROM_HEADER, FROM_ROUTER = (
    "the deployment's cooldown_time",
    "Retry-After",
    "the router's cooldown_time",
)
# an error class of the log: the names that policies know its exception by, the narrowest first, and its status
_KINDS: Mapping[str, tuple[tuple[str, ...], int | None]] = {
    "timeout": (("TimeoutError",), 408),
    "408": (("TimeoutError",), 408),
    "429": (("RateLimitError",), 429),
    "500": (("InternalServerError",), 500),
    "502": (("BadGatewayError",), 502),
    "503": (("ServiceUnavailableError",), 503),
    "400": (("BadRequestError",), 400),
    "401": (("AuthenticationError",), 401),
    "404": (("NotFoundError",), 404),
    "content_policy": (("ContentPolicyViolationError", "BadRequestError"), 400),
    "context_window": (("ContextWindowExceededError", "BadRequestError"), 400),
    "connection": (("InternalServerError",), 500),
    "cut": ((), None),  # the answer had begun: counted, but never a reason by itself
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The default rule's limits: in LiteLLM's environment, DEFAULT_FAILURE_THRESHOLD_PERCENT and _MINIMUM_REQUESTS.

    ``lone_requests`` is SINGLE_DEPLOYMENT_TRAFFIC_FAILURE_THRESHOLD: where all of them failed. ``window_s``, the life of the
    default rule's counters, is no setting there.
    """

    failed_share: float = 0.5
    least_requests: int = 5
    lone_requests: int = 1000
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt: its error class in the log's words, whose it was (None: refused without a call), what it asked."""

    error: str
    deployment: Deployment | None
    retry_after_us: int | None = None
    is_implied: bool = False  # not in the log: it follows from what came after
    ends: bool = False  # the client already has its answer, or must not get one: nothing else is tried

    @property
    def names(self) -> tuple[str, ...]:
        """What policies call its exception, the narrowest first."""
        return _KINDS.get(self.error, ((), None))[0]

    @property
    def status(self) -> int | None:
        """Its status; None where LiteLLM sees none. A class that the log does not know counts as 500."""
        if self.error in _KINDS:
            return _KINDS[self.error][1]
        return int(self.error) if self.error.isdigit() else 500

    @property
    def is_retryable(self) -> bool:
        """Whether LiteLLM repeats a call that ended like this."""
        return self.status is None or self.status in RETRIED_4XX or self.status >= 500

    def among(self, policy: Policy | None) -> int | None:
        """Return the number that a policy gives this kind of failure."""
        return next((policy[name] for name in self.names if name in policy), None) if policy else None


@dataclass(slots=True)
class Cooldown:
    """One stay out of service, and the counters at the failure that began it; instants are microseconds."""

    worker: str | None
    deployment: Deployment
    start_us: int
    until_us: int
    why: str
    length_from: str
    error: str
    request: int
    fails: int
    successes: int
    fails_since_us: int
    successes_since_us: int | None
    allowed: int | None


@dataclass(slots=True)
class _Counter:
    count: int = 0
    since_us: int = 0
    until_us: int = -1


@dataclass(slots=True)
class _Memory:
    """What one worker knows; cooldowns and allowed-fails counters may be another's too."""

    fails: dict[str, _Counter] = field(default_factory=dict)
    successes: dict[str, _Counter] = field(default_factory=dict)
    allowed: dict[tuple[str, str], _Counter] = field(default_factory=dict)
    resting: dict[str, Cooldown] = field(default_factory=dict)


class Router:
    """The state machine. Times must not go back; every worker that appears has its own memory."""

    def __init__(self, settings: Settings, *, version: str, thresholds: Thresholds) -> None:
        self.settings = settings
        self.thresholds = thresholds
        # from 1.109 on a group's only deployment is spared by allowed_fails too, unless its group has fallbacks
        self.spares_lone = _numbers(version) >= (1, 109)
        self.groups: dict[str, tuple[Deployment, ...]] = {}
        for one in settings.deployments:
            self.groups.setdefault(one.group, settings.members(one.group))
        self.cooldowns: list[Cooldown] = []
        self._memories: dict[str | None, _Memory] = {}

    def available(self, group: str, *, worker: str | None, at_us: int) -> tuple[Deployment, ...]:
        """Return the deployments of a group that are in service; of those with an ``order``, the lowest only."""
        resting = self._memory(worker).resting
        up = [one for one in self.groups[group] if one.id not in resting or resting[one.id].until_us < at_us]
        orders = [one.order for one in up if one.order is not None]
        return tuple(one for one in up if one.order == min(orders)) if orders else tuple(up)

    def succeeded(self, deployment: Deployment, *, worker: str | None, at_us: int) -> None:
        """Count an answer."""
        self._bump(self._memory(worker).successes.setdefault(deployment.id, _Counter()), at_us, self._window_us)

    def counted(self, deployment: Deployment, *, worker: str | None, at_us: int) -> None:
        """Count a failure without asking whether it takes the deployment out of service."""
        self._bump(self._memory(worker).fails.setdefault(deployment.id, _Counter()), at_us, self._window_us)

    def failed(self, failure: Failure, *, worker: str | None, at_us: int, request: int, requested: str | None) -> None:
        """Count a failed attempt, and take its deployment out of service where the rule says so."""
        deployment = failure.deployment
        if deployment is None:
            return
        self.counted(deployment, worker=worker, at_us=at_us)
        length_us, length_from = self._length(failure, deployment)
        if length_us == 0 or self.settings.disable_cooldowns or not _may_cool(failure, deployment):
            return
        found = self._judged(failure, deployment, worker=worker, at_us=at_us, requested=requested)
        if found is None:
            return
        memory = self._memory(worker)
        before = memory.resting.get(deployment.id)
        if before is not None and before.until_us >= at_us:
            before.until_us = min(before.until_us, at_us + length_us)
            return
        fails, successes = memory.fails[deployment.id], memory.successes.get(deployment.id, _Counter())
        is_counted = successes.until_us >= at_us
        why, allowed = found
        cooldown = Cooldown(
            worker, deployment, at_us, at_us + length_us, why, length_from, failure.error, request,
            fails.count, successes.count if is_counted else 0,
            fails.since_us, successes.since_us if is_counted else None, allowed,
        )  # fmt: skip
        memory.resting[deployment.id] = cooldown
        self.cooldowns.append(cooldown)

    @property
    def _window_us(self) -> int:
        return round(self.thresholds.window_s * SECOND)

    def _memory(self, worker: str | None) -> _Memory:
        if worker not in self._memories:
            first = next(iter(self._memories.values()), None)
            shared = first if self.settings.is_shared and first else _Memory()
            self._memories[worker] = _Memory(allowed=shared.allowed, resting=shared.resting)
        return self._memories[worker]

    @staticmethod
    def _bump(counter: _Counter, at_us: int, life_us: int) -> int:
        if at_us > counter.until_us:
            counter.count, counter.since_us, counter.until_us = 0, at_us, at_us + life_us
        counter.count += 1
        return counter.count

    def _length(self, failure: Failure, deployment: Deployment) -> tuple[int, str]:
        if deployment.cooldown_s is not None:
            return round(deployment.cooldown_s * SECOND), FROM_DEPLOYMENT
        if failure.retry_after_us is not None and failure.retry_after_us >= 0:
            return failure.retry_after_us, FROM_HEADER
        return round(self.settings.cooldown_s * SECOND), FROM_ROUTER

    def _judged(
        self, failure: Failure, deployment: Deployment, *, worker: str | None, at_us: int, requested: str | None
    ) -> tuple[str, int | None] | None:
        """Return why the failure takes its deployment out of service and what was allowed, or None."""
        settings = self.settings
        alone = len(self.groups[deployment.group]) == 1
        spared = alone and not (self.spares_lone and requested and settings.chain("", (requested,)))
        own, shared = failure.among(deployment.allowed_fails_policy), failure.among(settings.allowed_fails_policy)
        if alone and failure.status == 402 and own is None and shared is None:
            return None
        if deployment.allowed_fails_policy is not None or deployment.allowed_fails is not None:
            if (
                own is None
                and spared
                and (deployment.allowed_fails is not None or (self.spares_lone and shared is None))
            ):
                return None
            allowed = next(x for x in (own, deployment.allowed_fails, shared, self._allowed) if x is not None)
            key = failure.names[0] if own is not None else "generic" if deployment.allowed_fails is not None else ""
            life_s = settings.cooldown_s if deployment.cooldown_s is None else deployment.cooldown_s
        elif settings.counts_fails:
            if self.spares_lone and spared and shared is None:
                return None
            allowed, key, life_s = self._allowed if shared is None else shared, "", settings.cooldown_s
        else:
            why = self._by_default(failure, deployment, alone=alone, worker=worker, at_us=at_us)
            return (why, None) if why else None
        counter = self._memory(worker).allowed.setdefault((deployment.id, key), _Counter())
        return (TOO_MANY, allowed) if self._bump(counter, at_us, round(life_s * SECOND)) > allowed else None

    @property
    def _allowed(self) -> int:
        own = self.settings.allowed_fails
        return self.settings.usual_allowed_fails if own is None else own

    def _by_default(
        self, failure: Failure, deployment: Deployment, *, alone: bool, worker: str | None, at_us: int
    ) -> str | None:
        """Return why LiteLLM's default rule takes a deployment out of service, or None."""
        memory, limits = self._memory(worker), self.thresholds
        fails = memory.fails[deployment.id].count
        successes = memory.successes.get(deployment.id, _Counter())
        total = fails + (successes.count if successes.until_us >= at_us else 0)
        if failure.status == 429 and not alone:
            return RATE_LIMITED
        if fails == total and total >= limits.lone_requests:
            return ALL_FAILED
        if fails > limits.failed_share * total and total >= limits.least_requests and not alone:
            return MOST_FAILED
        return None if failure.is_retryable else NOT_RETRYABLE


def _may_cool(failure: Failure, deployment: Deployment) -> bool:
    """Return whether a failure may take a deployment out of service at all: of 4xx, five; others if its own policy names them."""
    if failure.status is None:
        return False
    is_clients_fault = 400 <= failure.status < 500 and failure.status not in COOLED_4XX
    return not is_clients_fault or failure.among(deployment.allowed_fails_policy) is not None


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    if len(parts) < 2 or not all(part.isdigit() and len(part) < 6 for part in parts[:2]):
        raise InvalidConfiguration(f"version={version!r} is no LiteLLM version; give one such as {READ[0]!r}")
    return tuple(int(part) for part in parts[:2])
