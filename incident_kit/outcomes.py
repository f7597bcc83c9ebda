"""Outcomes: what customers and agents got under a replayed policy, one row a request; the input of every metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from incident_kit.decisions import instants, known, words
from incident_kit.evidence import LABELS

if TYPE_CHECKING:
    from incident_kit.replays import Replay

NO_MODEL = ("template", "queue", "human", "reject")  # machine.TEMPLATE ...; a queue ends nothing
FACTS = ("tool_calls", "tool_errors", "prompt_tokens", "completion_tokens", "cost_usd", "overridden")


def outcomes(replay: Replay) -> pl.DataFrame:
    """Return one row a request in order of arrival.

    Columns: at, intent, served, is_fallback, wait_ms, failed, tool_calls, tool_errors, prompt_tokens, completion_tokens,
    cost_usd, overridden, evidence, tools_disabled, no_model. Where the policy serves a request as logged, all are as logged;
    elsewhere they are those of the borrowed call, and NULL without one. A request that ended without a model (``no_model``
    says how: a template, a person, a refusal) has no wait for an answer, no tools and no override. A cost that the log does
    not give is tokens times the case's price.
    """
    log, outcome = replay.log, replay.outcome
    logged = pl.DataFrame({"request_id": log.request_id}).join(
        log.store.query("replay_request_facts"), on="request_id", how="left", maintain_order="left"
    )
    apart = ~replay.same_as_log
    frame = pl.DataFrame(
        {
            "at": instants(log.arrived_us),
            "intent": words(log.intent, log.intents),
            "served": words(outcome.target, replay.targets),
            "is_fallback": _is_fallback(replay, logged["is_fallback"]),
            "wait_ms": known(np.where(outcome.no_model > 0, -1, outcome.wait_ms)).cast(pl.Int64),
            "failed": pl.select(pl.when(pl.Series(outcome.error >= 0)).then(pl.Series(outcome.error > 0))).to_series(),
            **{name: logged[name] for name in FACTS},
            "evidence": words(outcome.evidence, LABELS),
            "tools_disabled": outcome.tools_disabled,
            "no_model": words(outcome.no_model - 1, NO_MODEL),
        }
    )
    if not apart.any():
        return _priced(frame, replay)
    moved = pl.DataFrame(
        {
            "apart": apart,
            "without_tools": outcome.tools_disabled | (log.tools_offered == 0),
            "call": known(np.where(outcome.evidence == 1, outcome.call, -1)).cast(pl.UInt32),
        }
    )
    borrowed = moved.join(
        log.call_facts.select(FACTS).with_row_index("call"), on="call", how="left", maintain_order="left"
    )
    # an answer given without tools makes no tool call whatever its donor did; one that failed makes none, and nobody edits it
    nobody = pl.col("no_model").is_not_null()
    gone = {"tool_calls": pl.col("without_tools") | pl.col("failed") | nobody, "overridden": pl.col("failed") | nobody}
    gone["tool_errors"] = gone["tool_calls"]
    whole = (
        frame.with_columns(moved["apart", "without_tools"])
        .with_columns(
            *(pl.when("apart").then(borrowed[name]).otherwise(pl.col(name)).alias(name) for name in FACTS),
        )
        .with_columns(
            pl.when(pl.col("apart") & test).then(None).otherwise(name).alias(name) for name, test in gone.items()
        )
        .with_columns(pl.when(nobody & pl.col("cost_usd").is_null()).then(0.0).otherwise("cost_usd").alias("cost_usd"))
        .drop("apart", "without_tools")
    )
    return _priced(whole, replay)


def _is_fallback(replay: Replay, logged: pl.Series) -> pl.Series:
    """Return whether something else than the primary answered: the primary of the policy's own route.

    A request without a route is judged by the policy in force, where one is known; else the log's own word stands, which
    knows a gateway's fallbacks but not those of a router in front of it.
    """
    log, routes = replay.log, replay.policy.routes
    code = {target: i for i, target in enumerate(replay.targets)}
    is_primary = np.zeros((len(routes) + 1, len(replay.targets) + 1), np.bool_)  # -1, no target at all, takes the last
    for r, route in enumerate(routes):
        is_primary[r, [code[model] for model in (() if route.degraded_start else route.primaries)]] = True
    found = pl.Series(~is_primary[replay.route, replay.outcome.target])
    if (replay.route >= 0).all():
        return found
    in_force = replay.incident.in_force if replay.incident else None
    if in_force is not None:
        routes_of = [in_force.route_of(intent) for intent in (*log.intents, None)]
        usual = [one.primaries if one else () for one in routes_of]
        known = np.array([bool(one) for one in usual])[log.intent]
        elsewhere = np.array([[*(target not in one for target in replay.targets), False] for one in usual])
        by_force = known & elsewhere[log.intent, replay.outcome.target]
        logged = logged | pl.Series(by_force)
    return pl.select(pl.when(pl.Series(replay.route >= 0)).then(found).otherwise(logged)).to_series()


def _priced(frame: pl.DataFrame, replay: Replay) -> pl.DataFrame:
    """Return the frame with the costs that the log does not give, where the case names the target's price."""
    prices = replay.incident.prices if replay.incident else {}
    target = pl.col("served").cast(pl.String)
    for name, (price_in, price_out) in prices.items():
        cost = (pl.col("prompt_tokens") * price_in + pl.col("completion_tokens") * price_out) / 1e6
        frame = frame.with_columns(
            pl.when(pl.col("cost_usd").is_null() & (target == name)).then(cost).otherwise("cost_usd").alias("cost_usd")
        )
    return frame
