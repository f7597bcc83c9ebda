"""Exogenous: what judges see that no decision of a policy changes, in the order of POLICY.md S3.

The help desk, signals, touches of tickets, and, for alerts, requests that stay as logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.engine.details import REVIEWED, Details
from incident_kit.engine.factual import rows_of_alert
from incident_kit.engine.judges import ESCALATION, REOPEN, SIGNAL, SLA
from incident_kit.engine.machinery import AT_ONCE, BEGUN, ENDED, HEARD, OUTSIDE, ROW
from incident_kit.log import UNKNOWN, Log
from incident_kit.policies.conditions import Condition
from incident_kit.policies.routes import Alert

_DESK = {ESCALATION: "escalation", REOPEN: "reopen", SLA: "sla"}
_HELP_DESK, _SIGNALS = range(2)  # their order at one instant


class Watched(NamedTuple):
    """What one judge looks at: its leaves, its requests, its intents and its target; an alert's rules."""

    leaves: Sequence[tuple[int, Mapping[str, Any], Condition]]
    members: NDArray[np.bool_]
    takes: Callable[[str | None], bool]
    target: str | None
    alert: Alert | None


class _Part(NamedTuple):
    """Some rows of one leaf; ``tie`` and then ``request`` order what happens at one instant."""

    leaf: int
    what: int
    at: NDArray[Any]
    tie: NDArray[Any]
    request: NDArray[Any]
    minor: NDArray[Any]
    k: NDArray[Any]
    n: NDArray[Any]
    key: NDArray[Any]
    value: NDArray[Any]


def exogenous(log: Log, details: Details, watched: Sequence[Watched], route: NDArray[Any]) -> tuple[Any, Any]:
    """Return ROW records of what comes by itself, and those of what comes with a request's arrival, each in order.

    Rows of one event have one ``item``; with an arrival it is twice the number of routed requests before, one more where
    the request itself is routed.
    """
    kinds = {laid["kind"] for one in watched for _, laid, _ in one.leaves}
    if not kinds & {*_DESK, SIGNAL} and not any(one.alert for one in watched):
        return np.zeros(0, ROW), np.zeros(0, ROW)
    free = route < 0
    sent_us = log.arrived_us.copy()
    np.maximum.at(sent_us, log.calls.request, log.calls.sent_us)
    parts = [part for one in watched for part in _parts(log, details, one, free, sent_us)]
    leaves = np.repeat(np.array([one.leaf for one in parts], np.int64), [len(one.at) for one in parts])
    what = np.repeat(np.array([one.what for one in parts], np.int64), [len(one.at) for one in parts])
    names = ("at", "tie", "request", "minor", "k", "n", "key", "value")
    of = {name: np.concatenate([np.zeros(0, np.int64), *(getattr(one, name) for one in parts)]) for name in names}
    what[((what == ENDED) | (what == HEARD)) & (of["at"] <= of["tie"])] = AT_ONCE
    order = np.lexsort((leaves, of["minor"], of["request"], of["tie"], what, of["at"]))
    rows = np.zeros(len(order), ROW)
    rows["leaf"], rows["what"] = leaves[order], what[order]
    for name in ("at", "k", "n", "key", "value"):
        rows[name] = of[name][order]
    request = of["request"][order].astype(np.int64)
    begun = rows["what"] == BEGUN
    before: NDArray[Any] = np.cumsum(~free) - ~free
    arriving, coming = rows[begun], rows[~begun]
    arriving["item"] = 2 * before[request[begun]] + ~free[request[begun]]
    signs = np.stack([one[order][~begun] for one in (of["at"], what, of["tie"], of["request"], of["minor"])])
    coming["item"] = np.cumsum(np.any(np.diff(signs, axis=1, prepend=-1) != 0, axis=0))
    return coming, arriving


def _parts(log: Log, details: Details, one: Watched, free: NDArray[np.bool_], sent_us: NDArray[Any]) -> Iterator[_Part]:
    """Yield the rows of one judge."""
    unrouted = np.flatnonzero(one.members & free)
    for leaf, laid, condition in one.leaves:
        kind = laid["kind"]
        if one.alert:
            for rows in rows_of_alert(log, details, unrouted, laid, one.alert.errors):
                tie = log.arrived_us[rows.request] if rows.what == BEGUN else sent_us[rows.request]
                minor, none = np.full(len(tie), rows.minor), np.full(len(tie), UNKNOWN)
                yield _Part(leaf, rows.what, rows.at, tie, rows.request, minor, *rows[4:6], none, rows.value)
        if kind in _DESK:
            yield from _of_desk(log, details, one.members, leaf, _DESK[kind])
        elif kind == SIGNAL:
            yield _of_signal(details, leaf, condition.name, one)


def _of_desk(log: Log, details: Details, members: NDArray[np.bool_], leaf: int, what: str) -> Iterator[_Part]:
    """Yield touches of tickets by some requests, and what happened to the tickets once they were touched."""
    touching = np.flatnonzero(members & (details.ticket >= 0))
    at, ticket = log.arrived_us[touching], details.ticket[touching]
    zeros = np.zeros(len(touching), np.int64)
    yield _Part(leaf, BEGUN, at, at, touching, zeros, zeros, zeros, ticket, zeros)
    first = np.full(int(details.ticket.max(initial=0)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, ticket, at)
    desk = details.desk
    tickets, at = desk["ticket"].to_numpy().astype(np.int64), desk["at_us"].to_numpy().astype(np.int64)
    known = tickets < len(first)
    known[known] = first[tickets[known]] < at[known]  # S3: at one instant the event comes before the touch
    where = np.flatnonzero(known & (desk["what"] == what).to_numpy())
    zeros, ones = np.zeros(len(where), np.int64), np.ones(len(where), np.int64)
    yield _Part(leaf, OUTSIDE, at[where], zeros + _HELP_DESK, where, zeros, ones, zeros, zeros + UNKNOWN, zeros)


def _of_signal(details: Details, leaf: int, name: str, one: Watched) -> _Part:
    rows = details.signals.with_row_index().filter(name=name)
    intents = [intent for intent in rows["intent"].unique().to_list() if intent is None or one.takes(intent)]
    rows = rows.filter(
        pl.col("intent").is_in(intents, nulls_equal=True)
        & (pl.col("target").is_null() | (pl.lit(one.target is None) | (pl.col("target") == pl.lit(one.target))))
    )
    k, n = ((rows[half] * 1e6).round().cast(pl.Int64).to_numpy() for half in ("numerator", "denominator"))
    zeros = np.zeros(rows.height, np.int64)
    at, position = rows["known_us"].to_numpy(), rows["index"].to_numpy().astype(np.int64)
    return _Part(leaf, OUTSIDE, at, zeros + _SIGNALS, position, zeros, k, n, zeros + UNKNOWN, zeros)


def span(log: Log, details: Details, route: NDArray[Any], *, sweeps: bool) -> tuple[int, int, int]:
    """Return when the first and the last event come that no policy changes, and 1 if the last is an arrival.

    Sweeps begin with the first and go on while anything is still to come, whether some judge looks at it or not (S13);
    without any, nobody asks for the last.
    """
    outside = [details.desk["at_us"].to_numpy(), details.signals["known_us"].to_numpy()]
    first = min((int(part.min()) for part in (log.arrived_us, *outside) if len(part)), default=0)
    if not sweeps:
        return first, first, 0
    calls = log.calls
    free = route[calls.request] < 0
    done_us = calls.sent_us[free] + calls.latency_ms[free].astype(np.int64) * 1000
    ended = [*outside, done_us, *_said(details, np.flatnonzero(free), done_us, log)]
    last = max((int(part.max()) for part in ended if len(part)), default=-1)
    arrived = max(int(log.arrived_us.max(initial=-1)), int(calls.sent_us[free].max(initial=-1)))
    return first, max(last, arrived), int(arrived >= last)


def _said(details: Details, free: NDArray[Any], done_us: NDArray[Any], log: Log) -> Iterator[NDArray[Any]]:
    """Yield when something was said about answers that stay as logged."""
    late = (details.facts["tools_after_us"][free] >= 0) & (details.facts["tool_calls"][free] > 0)
    late &= log.calls.is_call[free]
    yield done_us[late] + details.facts["tools_after_us"][free[late]]
    well = (log.calls.error[free] == 0) & log.calls.is_call[free]
    facts, done_us = details.facts[free[well]], done_us[well]
    if details.feedback_lag_us == REVIEWED:
        reviewed = facts["overridden"] >= 0
    else:
        yield done_us + details.feedback_lag_us
        reviewed = facts["overridden"] == 1
    yield done_us[reviewed] + facts["review_after_us"][reviewed]
