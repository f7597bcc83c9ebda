"""Truth: what every target would have done to every request of a scenario, whatever the policy: its potential outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.draws import log_normals, uniforms
from incident_kit.log import Log, read
from incident_kit.scenario import Agents, Degradation, Nuance, Scenario, Target, since
from incident_kit.store import Store
from incident_kit.traffic import traffic

CALL = np.dtype(
    [
        ("latency_ms", "i4"),
        ("first_token_ms", "i4"),  # after the call was sent; 0: not streamed, or failed
        ("error", "i2"),  # position in Truth.errors; 0: ok
        ("tool_calls", "i1"),
        ("malformed", "i1"),  # of them; the others' results are errors for `failing`
        ("failing", "i1"),
        ("completion_tokens", "i4"),
        ("overridden", "?"),  # if an agent reviews it
        ("overridden_without_tools", "?"),  # the same where the gateway took the tools away
    ]
)
_EPOCH = datetime.fromtimestamp(0, tz=UTC)
_INSTANT = pl.Datetime("us", "UTC")
_AT_ONCE = 0.4  # a rate limit is told in this part of the time of other errors


@dataclass(frozen=True)
class Truth:
    """The potential outcomes of a scenario.

    ``requests`` is :func:`traffic.traffic`'s frame, ``calls`` holds CALL records ``[target, attempt, request]``, and
    ``targets`` and ``errors`` are the names of its codes.
    """

    scenario: Scenario
    requests: pl.DataFrame
    targets: tuple[str, ...]
    errors: tuple[str, ...]
    calls: NDArray[Any]

    def __len__(self) -> int:
        """Return the number of requests."""
        return self.requests.height

    @property
    def arrived_us(self) -> NDArray[np.int64]:
        """The arrivals, in microseconds since the epoch."""
        start = since(self.scenario.start, _EPOCH)
        return np.asarray(self.requests["at_us"].to_numpy() + start)

    @cached_property
    def log(self) -> Log:
        """A log in which every potential call is an observed one: a policy replayed over it is the exact closed loop."""
        return read(self.store())

    def store(self) -> Store:
        """Return the potential calls as an incident's tables, in memory: every one is an attempt of its request."""
        store = Store()
        put(store, "requests", _request_rows(self))
        put(store, "attempts", _attempt_rows(self))
        return store


def draw_truth(scenario: Scenario) -> Truth:
    """Return the potential outcomes of a scenario."""
    requests = traffic(scenario)
    targets = tuple(sorted(scenario.targets))
    errors = ("ok", *sorted(_classes(scenario)))
    calls = np.zeros((len(targets), scenario.attempts, requests.height), CALL)
    for name in scenario.intents:
        rows = np.flatnonzero((requests["intent"] == name).to_numpy())
        own = requests[rows]
        for t, target in enumerate(targets):
            for attempt in range(scenario.attempts):
                calls[t, attempt, rows] = _outcomes(scenario, own, name, target, attempt, errors)
    return Truth(scenario, requests, targets, errors, calls)


def put(store: Store, table: str, rows: pl.DataFrame) -> None:
    """Add rows to one of the kit's own tables."""
    store.connection.register("rows_to_put", rows.to_arrow())
    store.run(f"insert into {table} by name select * from rows_to_put")  # noqa: S608 - a table of the kit's own
    store.connection.unregister("rows_to_put")


def intensity(degradation: Degradation, at_us: NDArray[np.int64], start: Any) -> NDArray[np.float64]:
    """Return how much of a degradation is felt at each instant, from 0 to 1; ``start`` is where ``at_us`` counts from."""
    begin, end = since(degradation.start, start), since(degradation.until, start)
    rise, fall = degradation.ramp * 1000, degradation.recovery * 1000
    xs = [begin - 1, begin, begin + rise, max(end, begin + rise), max(end, begin + rise) + fall + 1]
    within = np.interp(at_us, xs, [0.0, 0.0 if rise else 1.0, 1.0, 1.0, 0.0])
    return np.asarray(np.where((at_us < begin) | ((at_us >= end) & (fall == 0)), 0.0, within))


def _classes(scenario: Scenario) -> set[str]:
    classes = {"timeout", "429"}
    classes |= {name for target in scenario.targets.values() for name in target.errors}
    classes |= {name for degradation in scenario.degradations for name in degradation.errors}
    return classes


def _outcomes(
    scenario: Scenario, own: pl.DataFrame, intent: str, target: str, attempt: int, errors: Sequence[str]
) -> NDArray[Any]:
    """Return the CALL records of one intent's requests on one target, for one attempt."""
    size = own.height
    spec = scenario.targets[target]
    nuance = spec.intents.get(intent, Nuance())
    numbers = own["number"].to_numpy()
    room = int(numbers.max()) + 1 if size else 0

    def draw(what: str) -> NDArray[np.float64]:
        name = ("intent", intent, "target", target, "attempt", attempt, what)
        drawn: NDArray[np.float64] = uniforms(scenario.seed, *name, size=room)[numbers]
        return drawn

    felt = [
        (one, intensity(one, own["at_us"].to_numpy(), scenario.start) * one.share_of(intent))
        for one in scenario.degradations
        if one.target == target
    ]
    slow = np.full(size, float(nuance.slow))
    for one, x in felt:
        slow *= 1 + (one.slow - 1) * x
    records = np.zeros(size, CALL)
    error = _errors(spec, felt, draw("error"), errors)
    failed = error > 0
    answer_ms = log_normals(draw("latency"), spec.latency_ms.median, spec.latency_ms.width) * slow
    error_ms = log_normals(draw("error latency"), spec.error_ms.median, spec.error_ms.width)
    error_ms = np.where(error == errors.index("429"), error_ms * _AT_ONCE, error_ms)
    error_ms = np.where(error == errors.index("timeout"), scenario.hangs_ms, error_ms)
    records["latency_ms"] = np.rint(np.where(failed, error_ms, answer_ms)).clip(1, 2**31 - 1)
    records["error"] = error
    streamed = own["stream"].to_numpy() & ~failed
    records["first_token_ms"] = np.where(streamed, np.rint(answer_ms * spec.ttft).clip(1, None), 0)
    tokens = log_normals(draw("tokens"), spec.completion_tokens.median, spec.completion_tokens.width)
    records["completion_tokens"] = np.where(failed, 0, np.rint(tokens).clip(1, None))
    _tools(records, own, spec, nuance, felt, draw)
    usual = (spec.override if nuance.override is None else nuance.override) + scenario.intents[intent].override
    _override(records, scenario.agents, usual, felt, draw("override"))
    return records


def _errors(spec: Target, felt: Any, u: NDArray[np.float64], errors: Sequence[str]) -> NDArray[np.int16]:
    """Return each call's error class: one number in (0, 1) against the classes' rates, one upon the other."""
    error = np.zeros(len(u), np.int16)
    below = np.zeros(len(u))
    for code, name in enumerate(errors[1:], 1):
        rate = np.full(len(u), spec.errors.get(name, 0.0))
        for one, x in felt:
            more = one.errors.get(name, 0.0) + one.rate_limit * (name == "429") + one.hang * (name == "timeout")
            rate += more * x
        error[(u >= below) & (u < below + rate)] = code
        below = below + rate
    return error


def _tools(records: NDArray[Any], own: pl.DataFrame, spec: Target, nuance: Nuance, felt: Any, draw: Any) -> None:
    """Enter tool calls: none in the last answer of a conversation, whose results no later request would bring."""
    may = (own["tools_offered"].to_numpy() > 0) & ~own["is_last"].to_numpy() & (records["error"] == 0)
    share = spec.calls if nuance.calls is None else nuance.calls
    count = (may & (draw("calls") < share)) * (1 + (draw("more calls") < spec.more_calls))
    malformed = np.zeros(len(records)) + (spec.malformed if nuance.malformed is None else nuance.malformed)
    failing = np.zeros(len(records)) + (spec.failing if nuance.failing is None else nuance.failing)
    for one, x in felt:
        malformed += one.malformed * x
        failing += one.failing * x
    records["tool_calls"] = count
    for number in range(2):
        u = draw(f"tool {number}")
        is_made = count > number
        records["malformed"] += is_made & (u < malformed)
        records["failing"] += is_made & (u >= malformed) & (u < malformed + failing)


def _override(records: NDArray[Any], agents: Agents, usual: float, felt: Any, u: NDArray[np.float64]) -> None:
    rate = np.zeros(len(records)) + usual
    for one, x in felt:
        rate += one.override * x
    rate += agents.slow * (records["latency_ms"] > agents.slow_ms)
    is_answer = records["error"] == 0
    has_failed = (records["malformed"] > 0) | (records["failing"] > 0)
    records["overridden"] = is_answer & (u < rate + agents.tool_failed * has_failed)
    records["overridden_without_tools"] = is_answer & (u < rate + agents.without_tools * (records["tool_calls"] > 0))


def _request_rows(it: Truth) -> pl.DataFrame:
    return it.requests.select(
        "request_id",
        "conversation_id",
        "ticket_id",
        "intent",
        "channel",
        pl.Series("arrived_at", it.arrived_us).cast(_INSTANT),
        "requested",
        "stream",
        "tools_offered",
        "prompt_tokens",
        pl.lit(value=True).alias("attempts_complete"),
    )


def _attempt_rows(it: Truth) -> pl.DataFrame:
    """Return every potential call as an attempt: those of the requested target first, so that it is the first decision."""
    targets, attempts, size = it.calls.shape
    calls = it.calls.ravel()
    target = np.repeat(np.arange(targets), attempts * size)
    number = np.tile(np.repeat(np.arange(attempts), size), targets)
    request = np.tile(np.arange(size), targets * attempts)
    names = pl.Series(it.targets)
    requested = it.requests["requested"].gather(request)
    named = names.gather(target)
    ids = it.requests["request_id"].gather(request)
    error = pl.Series(it.errors).gather(calls["error"].astype(np.int64))
    is_ok = pl.Series(calls["error"] == 0)
    sent = pl.Series(it.arrived_us[request])
    return pl.DataFrame(
        {"request_id": ids, "target": named, "number": number, "error": error, "ok": is_ok, "sent": sent}
        | {name: calls[name] for name in ("latency_ms", "completion_tokens", "tool_calls", "malformed", "failing")}
        | {"other": named != requested, "rank": target}
    ).select(
        (pl.col("request_id") + "/" + pl.col("target") + "/" + pl.col("number").cast(pl.String)).alias("attempt_id"),
        "request_id",
        (1 + pl.col("other") * targets * attempts + pl.col("rank") * attempts + pl.col("number"))
        .cast(pl.Int32)
        .alias("seq"),
        pl.lit("call").alias("kind"),
        "target",
        pl.col("sent").cast(_INSTANT).alias("sent_at"),
        (pl.col("sent") + 1000 * pl.col("latency_ms").cast(pl.Int64)).cast(_INSTANT).alias("done_at"),
        "latency_ms",
        _status().alias("status"),
        pl.when(~pl.col("ok")).then("error").alias("error_class"),
        "completion_tokens",
        "tool_calls",
        (pl.col("malformed") + pl.col("failing")).alias("tool_errors"),
    )


def _status() -> pl.Expr:
    failed = pl.when(pl.col("error") == "timeout").then(pl.lit("timeout")).otherwise(pl.lit("error"))
    return pl.when("ok").then(pl.lit("ok")).otherwise(failed)
