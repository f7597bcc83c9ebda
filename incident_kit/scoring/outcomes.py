"""Outcomes: what customers and agents got under a replayed policy, one row a request; the input of every metric."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.engine.books import Outcome
from incident_kit.engine.routing import routes_of
from incident_kit.estimation.evidence import LABELS, NONE, OBSERVED
from incident_kit.policies.policyversions import Versions
from incident_kit.scoring.decisions import instants, known, words

if TYPE_CHECKING:
    from incident_kit.scoring.replays import Replay

WORST_MS = 60_000  # a wait that was not observed lies between 0 and this, where the policy has no timeout
TOOLS_FAILED, TOOLS_WORKED, OVERRIDDEN, ACCEPTED = 2, 4, 8, 16  # flags of borrowing, which compiles when it is imported
NO_MODEL = ("template", "queue", "human", "reject")  # machine.TEMPLATE ...; a queue ends nothing
FACTS = ("tool_calls", "tool_errors", "prompt_tokens", "completion_tokens", "cost_usd", "overridden")
MOVED = (*FACTS, "ttft_ms")


@dataclass(frozen=True)
class Part:
    """Some requests under a policy: positions in the log (None: all of them, in order), and what became of each.

    A request may be there more than once: under each of several draws.
    """

    replay: Replay
    rows: NDArray[np.intp] | None
    route: NDArray[Any]
    outcome: Outcome
    same_as_log: NDArray[np.bool_]
    attempts: NDArray[Any]

    @classmethod
    def whole(cls, replay: Replay) -> Part:
        """Return every request of a replay."""
        return cls(replay, None, replay.route, replay.outcome, replay.same_as_log, replay.records["attempts"])

    @classmethod
    def of_rows(cls, replay: Replay, rows: NDArray[np.intp]) -> Part:
        """Return some requests of a replay."""
        outcome = Outcome(**{each.name: getattr(replay.outcome, each.name)[rows] for each in fields(Outcome)})
        return cls(
            replay, rows, replay.route[rows], outcome, replay.same_as_log[rows], replay.records["attempts"][rows]
        )

    def of(self, values: Any) -> Any:
        """Return what is known of each request of the log, of those that are here: an array, a column or a frame."""
        return values if self.rows is None else values[self.rows]


def outcomes(replay: Replay) -> pl.DataFrame:
    """Return one row a request in order of arrival.

    Columns: at, intent, served, is_fallback, wait_ms, ttft_ms (from arrival to the answer's first token, of streamed ones),
    stream, failed, error_class, tool_calls, tool_errors, prompt_tokens, completion_tokens, cost_usd, overridden, evidence,
    tools_disabled, no_model, worst_ms (what a wait that was not seen may be: the policy's timeout, else a minute).

    Where the policy serves a request as logged, all are as logged; elsewhere they are those of the borrowed call, changed where
    the draw of the outcomes says so, and NULL without one. A request that ended without a model (``no_model`` says how: a
    template, a person, a refusal) has no wait for an answer, no tools and no override. A cost that the log does not give is
    tokens times the case's price.
    """
    return outcomes_of(Part.whole(replay))


def outcomes_of(part: Part) -> pl.DataFrame:
    """Return the same for some requests, one row each, in the order given."""
    replay, outcome = part.replay, part.outcome
    log = replay.log
    logged = part.of(log.request_facts)
    timeouts = np.array([*(route.retry.timeout_ms or WORST_MS for route in replay.policy.routes), WORST_MS], np.int32)
    frame = pl.DataFrame(
        {
            "at": instants(part.of(log.arrived_us)),
            "intent": words(part.of(log.intent), log.intents),
            "served": words(outcome.target, replay.targets),
            "is_fallback": _is_fallback(part, logged["is_fallback"]),
            "wait_ms": known(np.where(outcome.no_model > 0, -1, outcome.wait_ms)).cast(pl.Int64),
            "ttft_ms": part.of(log.first_token_ms),
            "stream": logged["stream"],
            "failed": pl.select(pl.when(pl.Series(outcome.error >= 0)).then(pl.Series(outcome.error > 0))).to_series(),
            "error_class": words(outcome.error, log.errors),
            **{name: logged[name] for name in FACTS},
            "evidence": words(outcome.evidence, LABELS),
            "tools_disabled": outcome.tools_disabled,
            "no_model": words(outcome.no_model - 1, NO_MODEL),
            "worst_ms": timeouts[part.route],
        }
    )
    rows = np.flatnonzero(~part.same_as_log)
    if not len(rows):
        return _priced(frame, replay)
    moved = frame[rows].with_columns(_borrowed(part, rows))
    whole = frame.select(
        name if name not in MOVED else _scattered(frame[name], rows, moved[name]) for name in frame.columns
    )
    return _priced(whole, replay)


def _borrowed(part: Part, rows: NDArray[Any]) -> list[pl.Expr]:
    """Return the facts of requests that the policy does not serve as logged: their donors', as the draw has them."""
    log, outcome = part.replay.log, part.outcome
    evidence = outcome.evidence[rows]
    is_told = (evidence > OBSERVED) & (evidence < NONE)
    call = known(np.where(is_told, outcome.call[rows], -1)).cast(pl.UInt32)
    facts = {name: log.call_facts[name].gather(call) for name in FACTS}
    changed = np.where(is_told, outcome.changed[rows], 0)
    has = {flag: pl.lit(pl.Series((changed & flag) > 0)) for flag in (TOOLS_FAILED, TOOLS_WORKED, OVERRIDDEN, ACCEPTED)}
    said = {name: pl.lit(column) for name, column in facts.items()}
    results = said["tool_errors"].is_not_null()
    said["tool_errors"] = (
        pl.when(results & has[TOOLS_FAILED]).then(said["tool_calls"]).when(results & has[TOOLS_WORKED]).then(0)
        .otherwise(said["tool_errors"])
    )  # fmt: skip
    reviewed = said["overridden"].is_not_null()
    said["overridden"] = (
        pl.when(reviewed & has[OVERRIDDEN]).then(pl.lit(value=True)).when(reviewed & has[ACCEPTED])
        .then(pl.lit(value=False)).otherwise(said["overridden"])
    )  # fmt: skip
    # an answer given without tools makes no tool call whatever its donor did; one that failed makes none, and nobody edits it
    nobody = pl.col("no_model").is_not_null()
    without_tools = pl.lit(pl.Series(outcome.tools_disabled[rows] | (part.of(log.tools_offered)[rows] == 0)))
    said["tool_calls"] = pl.when(without_tools | pl.col("failed") | nobody).then(None).otherwise(said["tool_calls"])
    said["tool_errors"] = pl.when(without_tools | pl.col("failed") | nobody).then(None).otherwise(said["tool_errors"])
    said["overridden"] = pl.when(pl.col("failed") | nobody).then(None).otherwise(said["overridden"])
    said["ttft_ms"] = pl.when(pl.col("failed") | nobody).then(None).otherwise(pl.lit(_first_token_ms(part, rows, call)))
    said["cost_usd"] = pl.when(nobody & said["cost_usd"].is_null()).then(0.0).otherwise(said["cost_usd"])
    return [column.alias(name) for name, column in said.items()]


def _first_token_ms(part: Part, rows: NDArray[Any], call: pl.Series) -> pl.Series:
    """Return from arrival to the first token: the donor's share of its own call, of a last call as long as it is drawn.

    Of several attempts only their sum is known: the last one is taken to be as long as its donor.
    """
    log = part.replay.log
    if log.first_token_ms.null_count() == len(log):
        return pl.Series([None] * len(rows), dtype=pl.Int64)
    took = pl.Series(log.calls.latency_ms).gather(call).cast(pl.Float64)
    rest = 1 - log.call_facts["ttft_ms"].gather(call) / took.clip(1)
    wait = pl.Series(part.outcome.wait_ms[rows]).cast(pl.Float64)
    last = pl.Series(np.where(part.attempts[rows] <= 1, wait.to_numpy(), np.minimum(took.fill_null(0), wait)))
    return (wait - last * rest).round().cast(pl.Int64)


def _scattered(column: pl.Series, rows: NDArray[Any], values: pl.Series) -> pl.Series:
    """Return a column with some of its rows replaced, NULLs included."""
    found = column.clone()
    return found.scatter(rows, values.cast(column.dtype))


def _is_fallback(part: Part, logged: pl.Series) -> pl.Series:
    """Return whether something else than the primary answered: the primary of the policy's own route.

    A request without a route is judged by the policy in force, where one is known; else the log's own word stands, which
    knows a gateway's fallbacks but not those of a router in front of it.
    """
    replay, route, target = part.replay, part.route, part.outcome.target
    log, routes = replay.log, replay.policy.routes
    code = {target: i for i, target in enumerate(replay.targets)}
    is_primary = np.zeros((len(routes) + 1, len(replay.targets) + 1), np.bool_)  # -1, no target at all, takes the last
    for r, one in enumerate(routes):
        is_primary[r, [code[model] for model in (() if one.degraded_start else one.primaries)]] = True
    found = pl.Series(~is_primary[route, target])
    if (route >= 0).all():
        return found
    in_force = replay.incident.in_force if replay.incident else None
    if in_force is not None:
        if isinstance(in_force, Versions):  # its routes hang on the time, too; -1, none, takes the last
            taken, usual = part.of(routes_of(in_force, log)[0]), [*(one.primaries for one in in_force.routes), ()]
        else:
            by_intent = [in_force.route_of(intent) for intent in (*log.intents, None)]
            taken, usual = part.of(log.intent), [one.primaries if one else () for one in by_intent]
        known = np.array([bool(one) for one in usual])[taken]
        elsewhere = np.array([[*(target not in one for target in replay.targets), False] for one in usual])
        by_force = known & elsewhere[taken, target]
        logged = logged | pl.Series(by_force)
    return pl.select(pl.when(pl.Series(route >= 0)).then(found).otherwise(logged)).to_series()


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
