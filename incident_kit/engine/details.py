"""Details: what only parts of the policy language ask of a log: attributes at arrival, tool results, reviews, the help desk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.engine.machinery import FACT
from incident_kit.errors import UnansweredQuestion
from incident_kit.log import UNKNOWN, Log, coded

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy
    from incident_kit.store import Store

REVIEWED = -1  # in place of a feedback lag: accepted suggestions are logged too


@dataclass(frozen=True)
class Details:
    """What the machine asks of a log beside calls.

    Parameters
    ----------
    facts
        FACT records, one per element of ``log.calls``.
    is_fallback, cost_nano
        Of each request as logged, -1 where that is not known.
    conversation, ticket
        A number per request, -1 without one.
    attributes
        One row a request: what ``match`` may ask for, known at arrival.
    desk
        ticket (its number), at_us, what (escalation, reopen, sla), in order of time.
    signals
        name, known_us, numerator, denominator, intent, target, in order of time.
    feedback_lag_us
        How long after an answer its review is counted as due where only overrides are logged; -1 where all reviews are.
    """

    facts: NDArray[Any]
    is_fallback: NDArray[np.int8]
    cost_nano: NDArray[np.int64]
    conversation: NDArray[np.int32]
    ticket: NDArray[np.int32]
    attributes: pl.DataFrame
    desk: pl.DataFrame
    signals: pl.DataFrame
    feedback_lag_us: int

    @cached_property
    def labels(self) -> list[Any]:
        """What the product put on each request, as Python values; None where it put nothing."""
        return [json.loads(labels) if labels else None for labels in self.attributes["labels"].to_list()]


def read(log: Log) -> Details:
    """Return the details of a log, from its store."""
    attributes = log.attributes
    touching = attributes.select("ticket_id", ticket=pl.Series(log.ticket)).drop_nulls("ticket_id").unique("ticket_id")
    facts = facts_of(log)
    logged = log.request_facts
    return Details(
        facts=facts,
        is_fallback=_filled(logged["is_fallback"].cast(pl.Int64)).astype(np.int8),
        cost_nano=_filled((logged["cost_usd"] * 1e9).round().cast(pl.Int64)),
        conversation=coded(attributes["conversation_id"]),
        ticket=log.ticket,
        attributes=attributes,
        desk=log.store.query("replay_desk").join(touching, on="ticket_id", maintain_order="left"),
        signals=log.store.query("replay_signals"),
        feedback_lag_us=feedback_lag_us(facts),
    )


def facts_of(log: Log) -> NDArray[Any]:
    """Return the FACT records of a log's calls."""
    rows = log.call_facts
    done_us = log.calls.sent_us + log.calls.latency_ms.astype(np.int64) * 1000
    facts = np.zeros(rows.height, FACT)
    facts["sent_us"] = log.calls.sent_us
    facts["ttft_ms"] = _filled(rows["ttft_ms"])
    known = (rows["tool_calls"].fill_null(0) > 0) & rows["tool_errors"].is_not_null()
    calls, errors = rows["tool_calls"].fill_null(0).to_numpy(), rows["tool_errors"].fill_null(0).to_numpy()
    facts["tool_calls"] = np.where(known.to_numpy(), calls, 0)
    facts["tools_ok"] = np.where(known.to_numpy(), np.maximum(calls - errors, 0), 0)
    result_us, review_us = _filled(rows["tools_known_us"]), _filled(rows["reviewed_us"])
    facts["tools_after_us"] = np.where(result_us >= 0, np.maximum(result_us - done_us, 0), UNKNOWN)
    facts["overridden"] = np.where(review_us >= 0, _filled(rows["overridden"].cast(pl.Int64)), UNKNOWN)
    facts["review_after_us"] = np.maximum(review_us - done_us, 0)
    facts["cost_nano"] = _filled((rows["cost_usd"] * 1e9).round().cast(pl.Int64))
    return facts


def feedback_lag_us(facts: NDArray[Any]) -> int:
    """Return the 90th percentile of the lags of overrides where only overrides are logged; else REVIEWED."""
    reviewed = facts[facts["overridden"] >= 0]
    if not len(reviewed) or (reviewed["overridden"] == 0).any():
        return REVIEWED
    lags = np.sort(reviewed["review_after_us"])
    return int(lags[(9 * len(lags) + 9) // 10 - 1])


def refuse_unkept(policy: Policy, store: Store) -> None:
    """Refuse a policy that matches on what a pack left out: it would never match, and nobody would see that.

    Raises
    ------
    UnansweredQuestion
        A route matches on ids, or on a label that the pack does not hold.
    """
    for (said,) in store.rows("select value from meta where key = 'pack'"):
        kept = json.loads(said)
        for route in policy.routes:
            for key, _ in route.match:
                if key in {"ticket_id", "conversation_id"} or (key.startswith("labels.") and key[7:] not in kept):
                    raise UnansweredQuestion(
                        f"policy {policy.name}, route {route.name} matches on {key}, which this pack does not hold; it holds "
                        f"{', '.join(kept) or 'no labels'}. Pack the incident anew with --label NAME; ids are never kept"
                    )


def passes(details: Details, match: Mapping[str, tuple[Any, ...]]) -> NDArray[np.bool_]:
    """Return which requests have, at arrival, one of the values that ``match`` names for each key."""
    fits = np.ones(details.attributes.height, np.bool_)
    for key, values in match.items():
        fits &= _fits(details, key, values)
    return fits


def _fits(details: Details, key: str, values: tuple[Any, ...]) -> NDArray[np.bool_]:
    if key.startswith("labels."):
        name = key.removeprefix("labels.")
        found = (labels.get(name) if isinstance(labels, dict) else None for labels in details.labels)
        return np.array([_is_one_of(value, values) for value in found], np.bool_)
    column = details.attributes[key]
    wanted = [
        value for value in column.unique().to_list() if _is_one_of(value, values)
    ]  # one Python value each, not one a request
    return column.is_in(pl.Series(wanted, dtype=column.dtype).implode(), nulls_equal=True).to_numpy()


def _is_one_of(value: Any, values: tuple[Any, ...]) -> bool:
    """Return whether a value is among those of a policy: true is not 1, and 3 is not "3"."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values)


def _filled(values: pl.Series) -> NDArray[np.int64]:
    return values.cast(pl.Int64).fill_null(UNKNOWN).to_numpy()
