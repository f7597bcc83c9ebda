"""Rehearsal: a degradation imposed on a real, healthy log, to try policies on one's own traffic before it happens.

The calls that the log holds are made slower, fail, hang, or break their tools, as the script says; nobody switches: the log
becomes what a gateway without any failover would have written, and policies are replayed over it. Which call is hit is a
hash of the seed and the call, so the same rehearsal gives the same incident.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError

from incident_kit.durations import parse_duration
from incident_kit.errors import InvalidScenario, did_you_mean
from incident_kit.excerpts import copied, tables_of
from incident_kit.incident import Incident
from incident_kit.scenarios.potential import intensity
from incident_kit.scenarios.scenario import Degradation, faults, since, text_of, tree_of

LABEL = "Rehearsal"
_OF_ANOTHER = ("impact", "detected", "mitigated", "recovered", "felt")  # phases of whatever the log went through itself
_RULE = "rehearsal"
_LIMIT_MS = 80  # a rate limit is told at once
_QUARTER = 4  # other errors after this part of the call's own time
_OF_ANSWERS = (
    "first_token_at",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "tool_calls",
    "tool_errors",
    "tool_result_at",
)


def rehearse(
    incident: Incident,
    degradations: Sequence[Degradation | Mapping[str, Any]],
    *,
    seed: int = 0,
    hangs: str = "60s",
    path: str | Path | None = None,
) -> Incident:
    """Return another incident: the same log with degradations imposed, in memory or in a new file; labelled a rehearsal.

    Parameters
    ----------
    degradations
        What a scenario lists under ``degradations``; times count from the log's first request, or are instants. A call is
        hit by when it was sent.
    hangs
        How long a call that hangs takes until it is cut off.

    Raises
    ------
    InvalidScenario
        A degradation names what the log does not have, lies outside its time, or hits no call.
    """
    about = incident.about()
    if about["first"] is None:
        raise InvalidScenario("there is nothing to rehearse on: the incident has no requests; load a log first")
    parts = [_checked(one, number, incident) for number, one in enumerate(degradations)]
    if not parts:
        raise InvalidScenario(
            "nothing to rehearse: give at least one degradation, such as target, from, until and slow"
        )
    tables = tables_of(incident.store)
    tables["annotations"] = tables["annotations"].filter(~pl.col("kind").is_in(_OF_ANOTHER))
    _impose(tables, parts, start=about["first"], seed=seed, hangs_ms=parse_duration(hangs))
    other = copied(incident, tables, path=path)
    try:
        for part in parts:
            begin = about["first"] + timedelta(microseconds=since(part.start, about["first"]))
            end = about["first"] + timedelta(microseconds=since(part.until, about["first"]), milliseconds=part.recovery)
            other.annotate("impact", begin, max(begin, end), text=f"{LABEL}: {part.text or _said(part)}")
    except BaseException:
        other.store.close()
        raise
    other.title = f"{LABEL}: {incident.title or 'a degradation imposed on a healthy log'}"
    other.is_simulated, other.in_force = True, None
    in_force = (incident.in_force,) if incident.in_force is not None else ()
    other.policies = (*in_force, *incident.policies)
    return other


def read_degradations(path: str | Path) -> tuple[Degradation, ...]:
    """Return what a YAML file lists under ``degradations``; the file may be a whole scenario.

    Raises
    ------
    InvalidScenario
        The file cannot be read or used; the message names every fault and its key.
    """
    file = Path(path)
    tree = tree_of(text_of(file), source=str(file), wanted="`degradations:`")
    listed = tree.get("degradations")
    if not isinstance(listed, list):
        raise InvalidScenario(f"{file} lists no degradations: write `degradations:` and a list below it")
    return tuple(degradation_of(one, number, f"{file}: ") for number, one in enumerate(listed))


def degradation_of(one: Degradation | Mapping[str, Any], number: int, source: str = "") -> Degradation:
    """Return a degradation from itself or from what a file says of it; ``number`` is its place in the list, for errors."""
    if isinstance(one, Degradation):
        return one
    try:
        return Degradation.model_validate(one)
    except ValidationError as error:
        said = "; ".join(f"degradations.{number}.{fault}" for fault in faults(error))
        raise InvalidScenario(f"{source}{said}") from None


def _checked(one: Degradation | Mapping[str, Any], number: int, incident: Incident) -> Degradation:
    part = degradation_of(one, number)
    about, log = incident.about(), incident.log
    for name, known in ((part.target, log.targets), *((intent, log.intents) for intent in part.intents or ())):
        if name not in known:
            there = ", ".join(known) or "none"
            raise InvalidScenario(
                f"degradations.{number}: the log has no {name!r}{did_you_mean(name, known)}; it has {there}"
            )
    begin, end = since(part.start, about["first"]), since(part.until, about["first"])
    last = (about["last"] - about["first"]) // timedelta(microseconds=1)
    if end < begin:
        raise InvalidScenario(f"degradations.{number}: it ends before it begins")
    if end + part.recovery * 1000 < 0 or begin > last:
        raise InvalidScenario(
            f"degradations.{number}: it lies outside the log, which runs from {about['first']:%Y-%m-%d %H:%M:%S} to "
            f"{about['last']:%Y-%m-%d %H:%M:%S} UTC"
        )
    return part


def _said(part: Degradation) -> str:
    rates = {**part.errors, "429": part.rate_limit, "hangs": part.hang, "tools": part.malformed + part.failing}
    said = [f"{name} {share:.0%}" for name, share in rates.items() if share]
    return ", ".join([part.target, *([f"{part.slow:g} times as slow"] if part.slow != 1 else []), *said])


def _impose(
    tables: dict[str, pl.DataFrame], parts: Sequence[Degradation], *, start: Any, seed: int, hangs_ms: int
) -> None:
    """Change attempts, requests and feedback in place of what was logged."""
    requests = tables["requests"].sort("request_id")
    attempts = _with_lone(tables["attempts"], requests).sort("request_id", "seq", "attempt_id")
    asked = attempts.join(requests.select("request_id", "intent"), on="request_id", how="left", maintain_order="left")
    at_us = (asked["sent_at"] - start).dt.total_microseconds().to_numpy()
    may = ((asked["kind"] == "call") & (asked["status"] == "ok") & asked["latency_ms"].is_not_null()).to_numpy()
    ids = (asked["request_id"] + "/" + asked["attempt_id"]).to_list()
    hit = _Hit.none(asked.height)
    for number, part in enumerate(parts):
        share = asked["intent"].map_elements(part.share_of, return_dtype=pl.Float64, skip_nulls=False).to_numpy()
        x = np.where(may & (asked["target"] == part.target).to_numpy(), intensity(part, at_us, start) * share, 0.0)
        if not (x > 0).any():
            raise InvalidScenario(
                f"degradations.{number}: it hits no call of {part.target} in the log: check from and until"
            )
        hit.add(part, x, lambda what, rows, number=number: _uniforms((seed, number, what), ids, rows), attempts)
    changed = _changed(attempts, hit, hangs_ms)
    tables["requests"] = _requests_changed(requests, attempts, changed)
    tables["feedback"] = _feedback_changed(tables["feedback"], changed, hit)
    kept = changed.drop("delta_ms", "was_ok", "lone")
    tables["attempts"] = kept.filter(~changed["lone"])


def _with_lone(attempts: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """Return the attempts, and each request without any as its only call (POLICY.md S1), marked ``lone``."""
    alone = requests.join(attempts, on="request_id", how="anti").filter(pl.col("wait_ms").is_not_null())
    as_calls = alone.select(
        "request_id",
        pl.col("request_id").alias("attempt_id"),
        pl.lit(1, pl.Int32).alias("seq"),
        pl.lit("call").alias("kind"),
        pl.coalesce("served", "requested").alias("target"),
        pl.col("arrived_at").alias("sent_at"),
        (pl.col("arrived_at") + pl.col("wait_ms") * timedelta(milliseconds=1)).alias("done_at"),
        pl.col("wait_ms").alias("latency_ms"),
        "status", "error_class", "prompt_tokens", "completion_tokens", "cost_usd", "tools_offered", "tool_calls", "tool_errors",
        pl.lit(value=True).alias("lone"),
    )  # fmt: skip
    both = pl.concat([attempts.with_columns(pl.lit(value=False).alias("lone")), as_calls], how="diagonal_relaxed")
    return both.select(*attempts.columns, "lone")


class _Hit:
    """What is imposed on each attempt."""

    def __init__(self, factor: NDArray[np.float64], error: list[str | None], broken: Any, overridden: Any) -> None:
        self.factor, self.error, self.broken, self.overridden = factor, error, broken, overridden

    @classmethod
    def none(cls, size: int) -> _Hit:
        return cls(np.ones(size), [None] * size, np.zeros(size, np.int64), np.zeros(size, np.bool_))

    def add(self, part: Degradation, x: NDArray[np.float64], draw: Callable[..., Any], attempts: pl.DataFrame) -> None:
        """Impose one degradation where ``x`` says how much of it is felt."""
        rows = np.flatnonzero(x > 0)
        felt = x[rows]
        self.factor[rows] *= 1 + (part.slow - 1) * felt
        rates = {**part.errors}
        for name, more in (("429", part.rate_limit), ("timeout", part.hang)):
            rates[name] = rates.get(name, 0.0) + more
        u, below = draw("error", rows), np.zeros(len(rows))
        for name in sorted(rates):
            for i in np.flatnonzero((u >= below) & (u < below + rates[name] * felt)).tolist():
                self.error[rows[i]] = self.error[rows[i]] or name
            below += rates[name] * felt
        calls = attempts["tool_calls"].fill_null(0).to_numpy()[rows]
        for number in range(int(calls.max()) if (part.malformed or part.failing) and len(calls) else 0):
            self.broken[rows] += (number < calls) & (
                draw(f"tool {number}", rows) < (part.malformed + part.failing) * felt
            )
        self.overridden[rows] |= draw("override", rows) < part.override * felt


def _uniforms(name: tuple[Any, ...], ids: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each of some calls: a hash of seed, degradation and call."""
    key = blake2b("\x1f".join(map(str, name)).encode(), digest_size=32).digest()
    words = (
        int.from_bytes(blake2b(ids[row].encode(), digest_size=8, key=key).digest(), "big") for row in rows.tolist()
    )
    return np.fromiter((word / 2**64 for word in words), np.float64, len(rows))


def _changed(attempts: pl.DataFrame, hit: _Hit, hangs_ms: int) -> pl.DataFrame:
    """Return the attempts as imposed; what follows a call that takes longer begins later (``delta_ms``)."""
    error = pl.Series("error", hit.error, dtype=pl.String)
    slowed = (attempts["latency_ms"].fill_null(0).to_numpy() * hit.factor).round().astype(np.int64)
    frame = attempts.with_columns(
        error, pl.Series("slowed", slowed), pl.Series("factor", hit.factor), pl.Series("broken", hit.broken),
        pl.col("first_token_at").alias("token_was"), (pl.col("status") == "ok").fill_null(value=False).alias("was_ok"),
    )  # fmt: skip
    is_hit = pl.col("error").is_not_null()
    latency = (
        pl.when(pl.col("error") == "timeout").then(hangs_ms)
        .when(pl.col("error") == "429").then(pl.min_horizontal("slowed", pl.lit(_LIMIT_MS)))
        .when(is_hit).then(pl.col("slowed") // _QUARTER)
        .when(pl.col("factor") != 1).then("slowed").otherwise("latency_ms")
    )  # fmt: skip
    added = (latency - pl.col("latency_ms")).fill_null(0)
    token_us = ((pl.col("token_was") - pl.col("sent_at")).dt.total_microseconds() * pl.col("factor")).round()
    later = pl.col("delta_ms") * timedelta(milliseconds=1)
    errors = (pl.col("tool_errors").fill_null(0) + pl.col("broken")).clip(upper_bound=pl.col("tool_calls"))
    return (
        frame.with_columns(
            (added.cum_sum().over("request_id") - added).alias("delta_ms"),
            latency.alias("new_ms"),
            pl.when(pl.col("broken") > 0).then(errors).otherwise("tool_errors").alias("tool_errors"),
        )
        .with_columns(
            pl.col("sent_at") + later,
            (pl.col("done_at") + later + (pl.col("new_ms") - pl.col("latency_ms")).fill_null(0) * timedelta(milliseconds=1)),
            pl.col("new_ms").alias("latency_ms"),
            pl.when(pl.col("error") == "timeout").then(pl.lit("timeout")).when(is_hit).then(pl.lit("error"))
            .otherwise("status").alias("status"),
            pl.coalesce("error", "error_class").alias("error_class"),
        )
        .with_columns((pl.col("sent_at") + token_us.cast(pl.Int64).cast(pl.Duration("us"))).alias("first_token_at"))
        .with_columns(pl.when(~is_hit).then(name).alias(name) for name in _OF_ANSWERS)
        .select(*attempts.columns, "delta_ms", "was_ok")
    )  # fmt: skip


def _requests_changed(requests: pl.DataFrame, attempts: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """Return the requests as their changed attempts leave them; without a change as they were."""
    now = changed.select("seq", "status", "error_class", "was_ok", "tool_errors", pl.col("latency_ms").alias("is_ms"))
    before = attempts.select("request_id", pl.col("latency_ms").alias("was_ms"))
    took = pl.concat([before, now], how="horizontal")
    lost = pl.col("was_ok") & (pl.col("status") != "ok")
    per = took.group_by("request_id").agg(
        (pl.col("is_ms") - pl.col("was_ms")).sum().alias("more_ms"),
        lost.any().alias("lost"),
        pl.col("error_class").filter(lost).last().alias("new_error"),
        pl.col("status").filter(lost).last().alias("new_status"),
        pl.col("tool_errors").filter(pl.col("was_ok") & ~lost).last().alias("new_tool_errors"),
    )
    joined = requests.join(per, on="request_id", how="left", maintain_order="left").with_columns(
        pl.col("lost").fill_null(value=False) & pl.col("served").is_not_null()
    )
    answer = ("served", "is_fallback", "tool_calls", "tool_errors", "completion_tokens", "cost_usd")
    errors = (
        pl.when(pl.col("tool_calls") > 0).then(pl.coalesce("new_tool_errors", "tool_errors")).otherwise("tool_errors")
    )
    return joined.with_columns(
        pl.col("wait_ms") + pl.col("more_ms").fill_null(0),
        pl.when("lost").then("new_status").otherwise("status").alias("status"),
        pl.when("lost").then("new_error").otherwise("error_class").alias("error_class"),
        errors.alias("tool_errors"),
    ).with_columns(pl.when(~pl.col("lost")).then(name).alias(name) for name in answer).select(requests.columns)  # fmt: skip


def _feedback_changed(feedback: pl.DataFrame, changed: pl.DataFrame, hit: _Hit) -> pl.DataFrame:
    """Return the decisions of agents: some accepted answers are edited; an answer that never came has none."""
    marked = changed.select("request_id", "was_ok", "status", pl.Series("edited", hit.overridden))
    per = marked.group_by("request_id").agg(
        (pl.col("was_ok") & (pl.col("status") != "ok")).any().alias("lost"),
        (pl.col("edited") & (pl.col("status") == "ok")).any().alias("edited"),
    )
    joined = feedback.join(per, on="request_id", how="left", maintain_order="left").filter(
        ~pl.col("lost").fill_null(value=False)
    )
    now = pl.col("edited").fill_null(value=False) & (pl.col("decision") == "accepted")
    return joined.with_columns(
        pl.when(now).then(pl.lit("edited")).otherwise("decision").alias("decision"),
        pl.when(now).then(pl.lit(value=True)).otherwise("overridden").alias("overridden"),
        pl.when(now).then(pl.lit(_RULE)).otherwise("decision_rule").alias("decision_rule"),
    ).select(feedback.columns)
