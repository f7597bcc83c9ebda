"""Played: a scenario's requests as one policy served them, in the kit's own columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.engine.runs import is_plain
from incident_kit.errors import InvalidScenario
from incident_kit.policies.policy import Policy
from incident_kit.scenarios.trail import trail
from incident_kit.scenarios.truth import Truth, results, tool_errors
from incident_kit.scoring.replays import Replay, replay_log

_INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Played:
    """A truth under a policy in force; ``replay`` is the exact closed loop, ``trail`` every attempt that it made."""

    truth: Truth
    replay: Replay
    trail: pl.DataFrame

    @cached_property
    def attempts(self) -> pl.DataFrame:
        """One row an attempt: the columns of the kit's table, and what only the scenario knows.

        That is ``row`` (the request's position), ``malformed``, ``failing``, ``overridden`` (if it were reviewed) and
        ``is_final``; ``tool_errors`` leaves out results that no later request of the conversation brings.
        """
        return _attempts(self.truth, self.trail)

    @cached_property
    def requests(self) -> pl.DataFrame:
        """One row a request, in order of arrival: the columns of the kit's table that the gateway would know."""
        return _requests(self)


def play(truth: Truth, policy: Policy) -> Played:
    """Return the requests as served under a policy.

    Raises
    ------
    InvalidScenario
        The policy names a target that the scenario does not have, retries more often than it has outcomes for, or listens to
        the help desk or to signals.
    """
    _refuse(truth, policy)
    replay = replay_log(truth.log, policy, potential=True)
    if not is_plain(policy) or policy.alerts:
        # what is seen of tools and reviews, and of requests that no route takes, depends on the routes
        log = truth.log_where(_without_tools(truth, replay), replay.route >= 0)
        replay = replay_log(log, policy, potential=True)
    return Played(truth, replay, trail(truth, replay))


def _refuse(truth: Truth, policy: Policy) -> None:
    """Refuse a policy in force that listens to what follows from its own decisions outside the gateway."""
    guards = [entry.breaker for route in policy.routes for entry in route.chain if entry.breaker]
    listened = [one for breaker in guards for one in breaker.conditions]
    named = {one.name for one in listened if one.kind == "alert"}
    listened += [one for alert in policy.alerts if alert.name in named for one in alert.when.leaves]
    for condition in listened:
        if condition.kind in {"escalation", "reopen", "sla", "signal"}:
            raise InvalidScenario(
                f"{policy.name} switches on {condition.text!r}, which follows from what it serves: a scenario can play policies "
                f"that switch on what the gateway sees, on tools and on overrides ({truth.scenario.title})"
            )


def _without_tools(truth: Truth, replay: Replay) -> NDArray[np.bool_]:
    """Return from which calls ``[target, request]`` the policy takes the tools away."""
    taken = np.zeros(truth.calls.shape[::2], np.bool_)
    for position, route in enumerate(replay.policy.routes):
        if route.on_fallback.tools == "disabled":
            primaries = () if route.degraded_start else route.primaries
            for entry in route.fallback if primaries else route.chain:
                if entry.model and entry.model not in primaries:
                    taken[truth.targets.index(entry.model)] |= replay.route == position
    return taken


def true_outcomes(truth: Truth, policy: Policy) -> pl.DataFrame:
    """Return what customers and agents would really have got under a policy, one row a request in order of arrival.

    Columns: request_id, intent, served (NULL without an answer), wait_ms, failed, tool_calls, tool_errors and overridden (had
    an agent reviewed it).
    """
    played = play(truth, policy)
    final = played.attempts.filter("is_final", pl.col("status") == "ok").select(
        "row", "tool_calls", (pl.col("malformed") + pl.col("failing")).alias("tool_errors"), "overridden"
    )
    base = played.requests.select(
        "request_id", "intent", "served", "wait_ms", (pl.col("status") != "ok").alias("failed")
    ).with_row_index("row")
    joined = base.with_columns(pl.col("row").cast(pl.Int64)).join(final, on="row", how="left", maintain_order="left")
    return joined.drop("row")


def _attempts(truth: Truth, made: pl.DataFrame) -> pl.DataFrame:
    request, target = made["request"].to_numpy(), made["target"].to_numpy()
    call = truth.calls[target, made["number"].to_numpy(), made["source"].to_numpy()]
    is_ok = (made["error"] == 0).to_numpy()
    bare = made["without_tools"].to_numpy()
    has_tools = is_ok & ~bare
    overridden = np.where(bare, call["overridden_without_tools"], call["overridden"])
    tokens = np.where(is_ok, call["completion_tokens"], 0)
    token_ms = np.where(is_ok, call["first_token_ms"], 0)
    asked = truth.requests.select("request_id", "conversation_id", "prompt_tokens", "tools_offered")[request]
    cost = truth.cost_usd(target, request, tokens)
    failed = pl.Series(~is_ok)
    done_us = made["sent_us"] + made["latency_ms"] * 1000
    frame = pl.DataFrame(
        {
            "row": made["request"],
            "attempt_id": asked["request_id"] + "/" + made["seq"].cast(pl.String),
            "request_id": asked["request_id"],
            "conversation_id": asked["conversation_id"],
            "seq": made["seq"],
            "kind": pl.repeat("call", made.height, eager=True),
            "target": pl.Series(truth.targets, dtype=pl.String).gather(made["target"]),
            "number": made["number"],
            "sent_at": made["sent_us"].cast(_INSTANT),
            "first_token_at": pl.Series(np.where(token_ms > 0, made["sent_us"].to_numpy() + token_ms * 1000, 0)),
            "done_at": done_us.cast(_INSTANT),
            "latency_ms": made["latency_ms"],
            "error_class": pl.Series(truth.errors, dtype=pl.String).gather(made["error"]),
            "prompt_tokens": asked["prompt_tokens"],
            "completion_tokens": tokens.astype(np.int64),
            "cost_usd": cost,
            "tools_offered": np.where(bare, 0, asked["tools_offered"].to_numpy()),
            "tool_calls": np.where(has_tools, call["tool_calls"], 0).astype(np.int64),
            "malformed": np.where(has_tools, call["malformed"], 0).astype(np.int64),
            "failing": np.where(has_tools, call["failing"], 0).astype(np.int64),
            "overridden": overridden,
            "failed": failed,
        }
    )
    named = frame.with_columns(
        pl.when("failed").then("error_class").alias("error_class"),
        pl.when(~pl.col("failed")).then(pl.lit("ok")).when(pl.col("error_class") == "timeout").then(pl.lit("timeout"))
        .otherwise(pl.lit("error")).alias("status"),
        pl.when(pl.col("first_token_at") > 0).then("first_token_at").cast(_INSTANT).alias("first_token_at"),
        *(pl.when(~pl.col("failed")).then(name).alias(name) for name in _OF_ANSWERS),
        (pl.col("seq") == pl.col("seq").max().over("row")).alias("is_final"),
    )  # fmt: skip
    return _with_results(named.drop("failed"), truth)


_OF_ANSWERS = ("prompt_tokens", "completion_tokens", "cost_usd", "tool_calls", "malformed", "failing", "overridden")


def _with_results(attempts: pl.DataFrame, truth: Truth) -> pl.DataFrame:
    """Add tool_result_at, tool_errors as they are known, and results_in (the request that brings the results)."""
    numbered = attempts.with_row_index("call")
    asked = numbered.filter(pl.col("tool_calls") > 0).with_columns(pl.col("done_at").dt.epoch("us").alias("done_us"))
    joined = numbered.join(results(asked, truth), on="call", how="left", maintain_order="left")
    return joined.with_columns(
        tool_errors().alias("tool_errors"), pl.col("tools_known_us").cast(_INSTANT).alias("tool_result_at")
    ).drop("call", "tools_known_us")


def _requests(played: Played) -> pl.DataFrame:
    truth, replay = played.truth, played.replay
    asked = truth.requests.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    ends = played.attempts.group_by("row").agg(
        pl.col("done_at").max().alias("done_at"),
        pl.col("target").sort_by("seq").last().alias("last_target"),
        *(pl.col(name).sort_by("seq").last() for name in ("status", "error_class", "tool_calls", "tool_errors")),
        *(pl.col(name).sum() for name in ("completion_tokens", "cost_usd")),
        pl.len().cast(pl.Int32).alias("attempts_logged"),
    )
    arrived = pl.Series("arrived_at", truth.arrived_us).cast(_INSTANT)
    joined = asked.with_columns(arrived).join(ends, on="row", how="left", maintain_order="left")
    outcome = replay.outcome
    no_model = pl.Series(outcome.no_model > 0)
    label = pl.Series(replay.targets, dtype=pl.String).gather(pl.Series(outcome.target).cast(pl.UInt32))
    routed = pl.Series(replay.route >= 0)
    waited = (joined["done_at"] - joined["arrived_at"]).dt.total_milliseconds()
    rejected = pl.Series(outcome.error > 0)
    status = pl.when(~no_model).then("status").when(rejected).then(pl.lit("error")).otherwise(pl.lit("ok"))
    is_ok = (pl.col("status") == "ok") & ~no_model
    answer = ("tool_calls", "tool_errors")
    return (
        joined.with_columns(
            status.alias("status"),
            pl.when(routed).then(pl.Series(outcome.wait_ms).cast(pl.Int64)).otherwise(waited).alias("wait_ms"),
            pl.when(~no_model).then("error_class").when(rejected).then(pl.lit("rejected")).alias("error_class"),
        )
        .with_columns(
            pl.when(no_model).then(label).when(is_ok).then("last_target").alias("served"),
            (pl.col("arrived_at") + pl.col("wait_ms") * timedelta(milliseconds=1)).alias("done_at"),
            is_ok.alias("answered"),
        )
        .select(
            "request_id", "conversation_id", "ticket_id", "intent", "channel", "arrived_at", "wait_ms", "requested", "served",
            (pl.col("served") != pl.col("requested")).alias("is_fallback"), "status", "error_class", "stream", "tools_offered",
            *(pl.when("answered").then(name).alias(name) for name in answer),
            "prompt_tokens", "completion_tokens", "cost_usd", pl.col("attempts_logged").fill_null(0),
            pl.lit(value=True).alias("attempts_complete"), "done_at", "answered",
        )
    )  # fmt: skip
