"""Scenario: a simulated incident as a YAML script, read and checked.

A script says who asks what, what each model would do, what breaks when, and how agents and the help desk react. Times are
durations since the start (``95m``) or instants with a zone; spreads are log-normal, given by a median and a 95th percentile
(or a sigma); rates are shares from 0 to 1. A commented one lies in ``data/samples/outage/scenario.yaml``; the least is::

    start: 2026-10-05T12:00:00Z
    duration: 1h
    in_force: policies/blind.yaml          # the policy that the gateway obeys, relative to this file
    targets:
      big_model:
        latency_ms: {median: 900, p95: 2000}
        errors: {"503": 0.002}             # class: rate
        malformed: 0.01                    # of tool calls; failing: their results are errors
        override: 0.1                      # share of suggestions that agents override anyway
      small_model: {latency_ms: {median: 500, p95: 1100}, malformed: 0.2, override: 0.2}
    intents:
      refund-policy: {requested: big_model, per_minute: 12, tools: [lookup_order]}
    degradations:
    - {target: big_model, from: 20m, until: 40m, ramp: 5m, slow: 3, errors: {"503": 0.1}}

What a target would do to a request is drawn once, from the seed and the request's number within its intent: it depends on
no policy and on no other target. A degradation takes effect by the request's arrival.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from incident_kit.asked import Decision, Owner
from incident_kit.durations import parse_duration
from incident_kit.errors import IncidentKitError, InvalidPolicy, InvalidScenario, did_you_mean
from incident_kit.phases import KINDS
from incident_kit.policies.policytree import read_tree
from incident_kit.stats.draws import sigma_of

CLASSES = ("timeout", "connection", "context_window", "content_policy", "unknown")
LONGEST_MS = 31 * 86_400_000


def _duration(value: Any) -> Any:
    try:
        return value if isinstance(value, int) and value == 0 else parse_duration(value)
    except InvalidPolicy as error:
        raise ValueError(str(error)) from None


def _moment(value: Any) -> Any:
    """Return milliseconds since the start, or an instant with its zone."""
    if isinstance(value, str) and "T" in value:
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no zone; write 2026-10-05T12:00:00Z")
        return value.astimezone(UTC)
    return _duration(value)


def _rates(rates: dict[str, float]) -> dict[str, float]:
    """Return rates whose keys are error classes as logs have them."""
    for name in rates:
        if name not in CLASSES and not re.fullmatch(r"[45]\d\d", name, re.ASCII):
            raise ValueError(f'{name!r} is no error class; write a code such as "503", or one of {", ".join(CLASSES)}')
    return rates


Milliseconds = Annotated[int, BeforeValidator(_duration)]
Moment = Annotated[int | datetime, BeforeValidator(_moment)]
Share = Annotated[float, Field(ge=0, le=1)]
Rates = Annotated[dict[str, Share], AfterValidator(_rates)]  # by error class
NAME = Annotated[str, Field(min_length=1, max_length=200)]


def since(moment: int | datetime, start: datetime) -> int:
    """Return a moment as microseconds since ``start``."""
    if isinstance(moment, datetime):
        return (moment - start) // timedelta(microseconds=1)
    return moment * 1000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Spread(_Part):
    """A log-normal spread: its median, and its 95th percentile or its sigma; the median alone is a constant."""

    median: float = Field(gt=0, le=1e9)
    p95: float | None = Field(default=None, gt=0, le=1e9)
    sigma: float | None = Field(default=None, ge=0, le=4)

    @model_validator(mode="after")
    def _is_one(self) -> Spread:
        if self.p95 is not None and (self.sigma is not None or self.p95 < self.median):
            raise ValueError("give p95 (not below the median) or sigma, not both")
        return self

    @property
    def width(self) -> float:
        """The sigma of the spread."""
        return self.sigma or (sigma_of(self.median, self.p95) if self.p95 else 0.0)


class Nuance(_Part):
    """How one intent's answers from a target differ from the target's others."""

    slow: float = Field(default=1, gt=0, le=1000)
    calls: Share | None = None
    malformed: Share | None = None
    failing: Share | None = None
    override: Share | None = None


class Target(_Part):
    """What a target does: latency, failures, tool calls, how often its answers are overridden, tokens and price."""

    latency_ms: Spread
    ttft: Share = 0.3  # first token after this share of the latency, where the answer is streamed
    errors: Rates = {}
    error_ms: Spread = Spread(median=250, p95=800)
    calls: Share = 0.8  # answers with tools offered that call one, the last of a conversation aside
    more_calls: Share = 0.15  # of these, with a second call
    malformed: Share = 0.01
    failing: Share = 0.02
    override: Share = 0.1
    completion_tokens: Spread = Spread(median=180, p95=450)
    price: tuple[float, float] = (0, 0)  # US dollars for a million tokens, in and out
    deployments: tuple[NAME, ...] = ()
    provider: NAME = "simulated"
    intents: dict[str, Nuance] = {}


class Intent(_Part):
    """Who asks: how often, of which target, with which tools, in how long conversations."""

    requested: NAME
    per_minute: Annotated[float, Field(ge=0, le=5_000)] | tuple[Annotated[float, Field(ge=0, le=5_000)], ...]
    burstiness: float = Field(default=0, ge=0, le=2)  # sigma of the rate from minute to minute
    turns: float = Field(default=2, ge=1, le=50)
    gap_s: Spread = Spread(median=45, p95=240)
    stream: Share = 0.0
    tools: tuple[NAME, ...] = ()
    channel: NAME = "chat"
    prompt_tokens: Spread = Spread(median=500, p95=1500)
    reviewed: Share = 0.0  # answers that an agent decides on
    override: Share = 0.0  # added to the target's
    ticketed: Share = 0.0  # conversations that have a ticket


class Degradation(_Part):
    """Something that goes wrong with a target: in full from ``from + ramp`` to ``until``, gone after ``recovery``."""

    target: NAME
    intents: tuple[NAME, ...] | dict[NAME, Share] | None = None  # how much each is affected; default: all, fully
    start: Moment = Field(alias="from")
    until: Moment
    ramp: Milliseconds = 0
    recovery: Milliseconds = 0
    slow: float = Field(default=1, gt=0, le=1000)
    errors: Rates = {}
    rate_limit: Share = 0.0
    hang: Share = 0.0
    malformed: Share = 0.0
    failing: Share = 0.0
    override: Share = 0.0
    text: str = ""

    def share_of(self, intent: str | None) -> float:
        """Return how much an intent is affected, from 0 to 1."""
        if self.intents is None:
            return 1.0
        if isinstance(self.intents, Mapping):
            return self.intents.get(intent or "", 0.0)
        return float(intent in self.intents)


class Agents(_Part):
    """How agents review suggestions; ``tool_failed``, ``without_tools`` and ``slow`` add to the share overridden."""

    review_s: Spread = Spread(median=40, p95=300)
    ignored: Share = 0.05
    tool_failed: Share = 0.5
    without_tools: Share = 0.1
    slow: Share = 0.05
    slow_ms: int = Field(default=8000, gt=0)
    rejected: Share = 0.4  # of the overridden; the others are edited


class Priority(_Part):
    """One priority of tickets: its share, and the first-reply target."""

    share: float = Field(gt=0)
    first_reply: Milliseconds


class Desk(_Part):
    """The help desk: SLA targets by priority, how long agents take, what bad answers lead to."""

    policy: str = "Support first reply"
    priorities: dict[str, Priority] = {
        "urgent": Priority(share=0.1, first_reply="15m"),
        "high": Priority(share=0.2, first_reply="30m"),
        "normal": Priority(share=0.5, first_reply="1h"),
        "low": Priority(share=0.2, first_reply="4h"),
    }
    reply_s: Spread = Spread(median=420, p95=1800)
    by_hand_s: Spread = Spread(median=300, p95=1200)  # more, where no suggestion could be used
    solve_s: Spread = Spread(median=1800, p95=7200)
    escalated: Share = 0.02
    escalated_if_bad: Share = 0.12
    reopened: Share = 0.03
    reopened_if_bad: Share = 0.1


class PhaseAt(_Part):
    """A phase or event of the timeline."""

    kind: str
    at: Moment
    until: Moment | None = None
    text: str = ""

    @field_validator("kind")
    @classmethod
    def _is_a_kind(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"there is no phase {kind!r}{did_you_mean(kind, KINDS)}; there are {', '.join(KINDS)}")
        return kind


class Scenario(_Part):
    """A whole script; ``file`` is where it was read from, which its policies' paths are relative to."""

    title: str = "Simulated incident"
    start: datetime
    duration: Milliseconds
    seed: int = Field(default=0, ge=0, lt=2**63)
    zone: str = "UTC"
    slow_ms: int = Field(default=3500, gt=0)
    in_force: str = ""
    policies: tuple[str, ...] = ()
    attempts: int = Field(default=2, ge=1, le=8)  # at most this many on one target for one request
    hangs_ms: Milliseconds = Field(default=60_000, alias="hangs")  # a call that hangs is cut off after this
    failure_rows: Literal["all", "first"] = "all"  # LiteLLM versions log every failed call, or the first of a request
    targets: dict[NAME, Target] = Field(min_length=1)
    intents: dict[NAME, Intent] = Field(min_length=1)
    degradations: tuple[Degradation, ...] = ()
    agents: Agents = Agents()
    desk: Desk = Desk()
    phases: tuple[PhaseAt, ...] = ()
    decision: Decision | None = None  # what the brief asks, and of whom
    owners: tuple[Owner, ...] = ()
    file: Path | None = Field(default=None, exclude=True)

    @field_validator("start", mode="before")
    @classmethod
    def _has_a_zone(cls, start: Any) -> Any:
        start = datetime.fromisoformat(start) if isinstance(start, str) else start
        if not isinstance(start, datetime) or start.tzinfo is None:
            raise ValueError("write an instant with its zone, such as 2026-10-05T12:00:00Z")
        return start.astimezone(UTC)

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"there is no time zone {zone!r}{did_you_mean(zone, available_timezones())}")
        return zone

    @model_validator(mode="after")
    def _names_what_is_there(self) -> Scenario:
        if not 0 < self.duration <= LONGEST_MS:
            raise ValueError("duration: more than nothing, and at most 31 days")
        named: list[tuple[str, str, Collection[str]]] = [
            (f"intents.{name}.requested", one.requested, self.targets) for name, one in self.intents.items()
        ]
        for i, one in enumerate(self.degradations):
            named.append((f"degradations.{i}.target", one.target, self.targets))
            named += [(f"degradations.{i}.intents", intent, self.intents) for intent in one.intents or ()]
            if since(one.until, self.start) < since(one.start, self.start):
                raise ValueError(f"degradations.{i}: it ends before it begins")
        for target, behaviour in self.targets.items():
            named += [(f"targets.{target}.intents", intent, self.intents) for intent in behaviour.intents]
        for where, name, known in named:
            if name not in known:
                raise ValueError(
                    f"{where}: there is no {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}"
                )
        return self

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """Return the scenario of a file.

        Raises
        ------
        InvalidScenario
            The file cannot be read or used; the message names every fault and its key.
        """
        file = Path(path)
        return cls.parse(text_of(file), source=str(file)).model_copy(update={"file": file})

    @classmethod
    def parse(cls, text: str, *, source: str = "the scenario") -> Scenario:
        """Return the scenario of a text.

        Raises
        ------
        InvalidScenario
            It cannot be used; the message names every fault and its key.
        """
        tree = tree_of(text, source=source, wanted="`targets:`")
        if not isinstance(tree, dict):
            raise InvalidScenario(f"{source} is not a scenario: it has start:, duration:, targets: and intents:")
        return cls.of(tree, source=source)

    @classmethod
    def of(cls, tree: Mapping[str, Any], *, source: str = "the scenario") -> Scenario:
        """Return the scenario of a mapping, as a file would hold it.

        Raises
        ------
        InvalidScenario
            It cannot be used.
        """
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise InvalidScenario(f"{source}: {'; '.join(faults(error))}") from None


def text_of(file: Path) -> str:
    """Return a file's text, or say why it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidScenario(f"{file} is not UTF-8 text") from None
    except OSError as error:
        raise InvalidScenario(f"{file} cannot be read: {error.strerror}") from None


def tree_of(text: str, *, source: str, wanted: str) -> dict[str, Any]:
    """Return what a YAML text holds; a text that holds nothing of the kind is told the key that it should begin with."""
    try:
        tree: dict[str, Any] = read_tree(text, source=source).plain()
    except IncidentKitError as error:
        told = str(error).replace("a policy", "a scenario").replace("`routes:` with one route", wanted)
        raise InvalidScenario(told.replace("`routes:`", wanted)) from None
    return tree


def faults(error: ValidationError) -> list[str]:
    """Return every fault of a validation, with the path of its key."""
    return [_fault(one) for one in error.errors()]


def _fault(one: Any) -> str:
    where = ".".join(str(part) for part in one["loc"] if not str(part).startswith(("constrained", "function-")))
    message = str(one["msg"]).removeprefix("Value error, ")
    if one["type"] == "extra_forbidden":
        message = f"there is no such key{did_you_mean(str(one['loc'][-1]), _KEYS)}"
    return f"{where}: {message}" if where else message


_KEYS = sorted(
    {
        field.alias or name
        for part in (Scenario, Target, Nuance, Intent, Degradation, Agents, Priority, Desk, PhaseAt, Spread)
        for name, field in part.model_fields.items()
    }
)
