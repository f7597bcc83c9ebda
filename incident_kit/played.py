"""Played: a scenario's requests as one policy served them, in the kit's own columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from incident_kit.policy import Policy
from incident_kit.replays import Replay, replay_log
from incident_kit.trail import trail
from incident_kit.truth import Truth

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
        The policy names a target that the scenario does not have, or retries more often than it has outcomes for.
    """
    replay = replay_log(truth.log, policy)
    return Played(truth, replay, trail(truth, replay))


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
    call = truth.calls[target, made["number"].to_numpy(), request]
    is_ok = (made["error"] == 0).to_numpy()
    bare = made["without_tools"].to_numpy()
    has_tools = is_ok & ~bare
    overridden = np.where(bare, call["overridden_without_tools"], call["overridden"])
    tokens = np.where(is_ok, call["completion_tokens"], 0)
    token_ms = np.where(is_ok, call["first_token_ms"], 0)
    prices = np.array([truth.scenario.targets[name].price for name in truth.targets])
    asked = truth.requests.select("request_id", "conversation_id", "prompt_tokens", "tools_offered")[request]
    cost = np.round((asked["prompt_tokens"].to_numpy() * prices[target, 0] + tokens * prices[target, 1]) / 1e6, 8)
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
    """Add tool_result_at and results_in (the request that brings them): the conversation's next arrival after the answer."""
    arrivals = truth.requests.select(
        "conversation_id",
        pl.Series("arrived_at", truth.arrived_us).cast(_INSTANT),
        pl.int_range(pl.len(), dtype=pl.Int64).alias("results_in"),
    ).sort("arrived_at")
    asked = attempts.filter(pl.col("tool_calls") > 0).select("attempt_id", "conversation_id", "done_at").sort("done_at")
    found = asked.join_asof(
        arrivals,
        left_on="done_at",
        right_on="arrived_at",
        by="conversation_id",
        strategy="forward",
        check_sortedness=False,
    ).select("attempt_id", pl.col("arrived_at").alias("tool_result_at"), "results_in")
    joined = attempts.join(found, on="attempt_id", how="left", maintain_order="left")
    errors = pl.when(pl.col("tool_result_at").is_not_null()).then(pl.col("malformed") + pl.col("failing"))
    known = errors.when(pl.col("malformed") > 0).then("malformed").when(pl.col("tool_calls") == 0).then(0)
    return joined.with_columns(known.alias("tool_errors"))


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
    without = joined["done_at"].is_null()
    wait_ms = (joined["done_at"] - joined["arrived_at"]).dt.total_milliseconds()
    error = pl.Series(replay.outcome.error > 0)
    status = pl.when(~without).then("status").when(error).then(pl.lit("error")).otherwise(pl.lit("ok"))
    is_ok = pl.col("status") == "ok"
    return (
        joined.with_columns(status.alias("status"), pl.Series("wait_ms", wait_ms.fill_null(0)))
        .with_columns(pl.when(is_ok).then("last_target").alias("served"))
        .select(
            "request_id", "conversation_id", "ticket_id", "intent", "channel", "arrived_at", "wait_ms", "requested", "served",
            (pl.col("served") != pl.col("requested")).alias("is_fallback"), "status", "error_class", "stream", "tools_offered",
            *(pl.when(is_ok).then(name).alias(name) for name in ("tool_calls", "tool_errors")),
            "prompt_tokens", "completion_tokens", "cost_usd", pl.col("attempts_logged").fill_null(0),
            pl.lit(value=True).alias("attempts_complete"), "done_at",
        )
    )  # fmt: skip
