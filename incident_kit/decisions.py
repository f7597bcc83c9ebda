"""The frames of a replay: decisions, transitions, the spans between them, and samples a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.evidence import LABELS
from incident_kit.kernel import BY_CONDITION, BY_COOLDOWN, CLOSED, HALF_OPEN, OPEN

if TYPE_CHECKING:
    from incident_kit.conditions import Condition
    from incident_kit.replays import Replay

STATES = ("on primary", "on backup", "testing primary")  # CLOSED, OPEN, HALF_OPEN, in the words of people
REASONS = (
    "no route matches: as logged",
    "the primary is not watched",
    "the primary is within its limit",
    "the primary was over its limit",
    "the primary was over its limit, and nothing else is left",
    "one of the requests that test the primary",
    "enough others test the primary",
)
UNROUTED, UNWATCHED, WITHIN, SWITCHED, LAST_RESORT, PROBE, OTHERS_PROBE = range(len(REASONS))
ACTIONS = ("as logged", "primary", "fallback", "test")
_INSTANT = pl.Datetime("us", "UTC")
_NO_START = np.iinfo(np.int64).min
_SHOWN = {"why": pl.String, "metric": pl.String, "value": pl.Float64, "n": pl.Int32, "threshold": pl.Float64}
_TRANSITIONS = {
    "policy": pl.String, "route": pl.String, "breaker": pl.String, "from": pl.String, "to": pl.String, **_SHOWN,
}  # fmt: skip
_STATES = {
    "policy": pl.String, "route": pl.String, "target": pl.String, "state": pl.String, "start": _INSTANT, "end": _INSTANT,
    **_SHOWN,
}  # fmt: skip


def instants(microseconds: NDArray[Any]) -> pl.Series:
    """Return microseconds since the epoch as UTC instants."""
    return pl.Series(microseconds.astype(np.int64)).cast(_INSTANT)


def words(codes: NDArray[Any], vocabulary: tuple[str, ...]) -> pl.Series:
    """Return codes as their words (an Enum); -1 is NULL."""
    return known(codes).cat.to(pl.Enum(list(vocabulary)))


def guard(replay: Replay, route: int, entry: int = 0) -> Any:
    """Return the breaker of an entry of a route's chain."""
    return replay.policy.routes[route].chain[entry].breaker


def judged(replay: Replay, row: NDArray[np.float64]) -> Condition:
    """Return the condition that a change of state shows."""
    breaker = guard(replay, int(row[0]), int(row[1]))
    own = breaker.half_open.when if row[5] > BY_COOLDOWN and breaker.half_open.when else breaker.when
    condition: Condition = own.of[int(row[6])]
    return condition


def decisions(replay: Replay) -> pl.DataFrame:
    """Return one row a request, in order of arrival."""
    log, records, outcome = replay.log, replay.records, replay.outcome
    reason = _reasons(replay)
    metric, value, n, threshold, start = _signals(replay)
    route_names = tuple(route.name for route in replay.policy.routes)
    action = np.where(
        replay.route < 0, 0, np.where(records["probe"] == 1, 3, np.where(records["first"] > 0, 2, 1))
    )
    degraded_routes = np.array([route.degraded_start for route in replay.policy.routes] + [False])
    action[(action == 1) & degraded_routes[replay.route]] = 2
    donor = outcome.call
    borrowed = np.where(outcome.evidence == 1, donor, -1)
    donor_request = np.where(borrowed >= 0, log.calls.request[borrowed], -1) if len(log.calls.request) else borrowed
    return pl.DataFrame(
        {
            "request_id": log.request_id,
            "at": instants(log.arrived_us),
            "policy": pl.repeat(replay.name, len(log), dtype=pl.Enum([replay.name]), eager=True),
            "route": words(replay.route, route_names),
            "target": words(replay.first_target, replay.targets),
            "action": words(action, ACTIONS),
            "tools": words(outcome.tools_disabled.astype(np.int8), ("as offered", "disabled")),
            "breaker_state": words(np.where(_watched(replay), records["state"], -1), STATES),
            "reason": words(reason, REASONS),
            "metric": metric,
            "value": value,
            "n": n,
            "threshold": threshold,
            "window_start": start,
            "logged_target": words(log.first_target, log.targets),
            "same_as_log": replay.same_as_log,
            "state_exact": records["exact"] == 1,
            "evidence": words(outcome.evidence, LABELS),
            "served": words(outcome.target, replay.targets),
            "wait_ms": known(outcome.wait_ms),
            "error_class": words(outcome.error, log.errors),
            "attempts": pl.Series(records["attempts"]),
            "donor_request_id": log.request_id.gather(known(donor_request)),
        },
    )


def known(values: NDArray[Any]) -> pl.Series:
    """Return codes or counts with -1 as NULL."""
    series = pl.Series(values)
    return pl.select(pl.when(series >= 0).then(series)).to_series() if (values < 0).any() else series


def _watched(replay: Replay) -> NDArray[np.bool_]:
    """Return which requests took a route whose primary has a breaker."""
    table = np.array([route.breaker is not None for route in replay.policy.routes] + [False])
    watched: NDArray[np.bool_] = table[replay.route]
    return watched


def _reasons(replay: Replay) -> NDArray[np.int8]:
    records = replay.records
    reason = np.full(len(records), UNWATCHED, np.int8)
    watched = _watched(replay)
    on_primary = records["first"] == 0
    reason[watched & (records["state"] == CLOSED)] = WITHIN
    reason[watched & (records["state"] == OPEN)] = SWITCHED
    reason[watched & (records["state"] == HALF_OPEN)] = OTHERS_PROBE
    reason[watched & on_primary & (records["state"] != CLOSED)] = LAST_RESORT
    reason[records["probe"] == 1] = PROBE
    reason[replay.route < 0] = UNROUTED
    return reason


def _signals(replay: Replay) -> tuple[pl.Series, pl.Series, pl.Series, pl.Series, pl.Series]:
    """Return metric, value, n, threshold and window start of each decision.

    With the primary in service: the share that its breaker's first condition counts, at the decision. Otherwise: what
    took it out of service last.
    """
    records, arrived = replay.records, replay.log.arrived_us
    size = len(records)
    names: list[str] = []
    metric, n = np.full(size, -1, np.int32), np.full(size, -1, np.int32)
    value, threshold = np.full(size, np.nan), np.full(size, np.nan)
    start = np.full(size, _NO_START)
    for r, route in enumerate(replay.policy.routes):
        if route.breaker is None:
            continue
        here = np.flatnonzero(replay.route == r)
        state = records["state"][here]
        window_us = route.breaker.window.length * 1000 if route.breaker.window.kind == "sliding" else None
        first = route.breaker.when.of[0]
        near = here[state == CLOSED]
        metric[near] = _name(names, "error_rate" if first.kind == "error" else f"slow_rate({first.limit_ms}ms)")
        n[near] = records["n"][near]
        with np.errstate(invalid="ignore"):
            value[near] = records["k"][near] / records["n"][near]
        threshold[near] = first.share
        if window_us:
            start[near] = arrived[near] - window_us
        rows = out_of_service(replay, r)
        away = here[state != CLOSED]
        if not len(away):
            continue
        led = np.searchsorted(rows[:, 2], arrived[away], side="right") - 1
        conditions = [judged(replay, row) for row in rows]
        metric[away] = np.array([_name(names, condition.metric) for condition in conditions])[led]
        threshold[away] = np.array([condition.threshold for condition in conditions])[led]
        value[away], n[away] = rows[led, 7], rows[led, 8].astype(np.int32)
        if window_us:
            start[away] = rows[led, 2].astype(np.int64) - window_us
    return (
        words(metric, tuple(names)),
        pl.Series(value).fill_nan(None),
        known(n),
        pl.Series(threshold).fill_nan(None),
        pl.select(pl.when(pl.Series(start != _NO_START)).then(instants(start))).to_series(),
    )


def _name(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)


def out_of_service(replay: Replay, route: int, entry: int = 0) -> NDArray[np.float64]:
    """Return the changes that took an entry of a route's chain out of service, in order of time."""
    c = replay.changes
    return c[(c[:, 0] == route) & (c[:, 1] == entry) & (c[:, 4] == OPEN)]


def transitions(replay: Replay) -> pl.DataFrame:
    """Return one row a change of a breaker's state, in order of time."""
    rows = replay.changes
    conditions = [judged(replay, row) for row in rows]
    routes = [replay.policy.routes[int(row[0])] for row in rows]
    shown = rows[:, 5] != BY_COOLDOWN if len(rows) else np.array([], bool)
    return pl.DataFrame(
        {
            "at": instants(rows[:, 2]),
            "policy": [replay.name] * len(rows),
            "route": [route.name for route in routes],
            "breaker": [route.chain[int(row[1])].model for route, row in zip(routes, rows, strict=True)],
            "from": [STATES[int(row[3])] for row in rows],
            "to": [STATES[int(row[4])] for row in rows],
            "why": [_why(row) for row in rows],
            "metric": [c.metric if show else None for c, show in zip(conditions, shown, strict=True)],
            "value": pl.Series(rows[:, 7]).fill_nan(None),
            "n": rows[:, 8].astype(np.int32),
            "threshold": [c.threshold if show else None for c, show in zip(conditions, shown, strict=True)],
            "state_exact": rows[:, 9] == 1,
        },
        schema_overrides=_TRANSITIONS,
    )


def _why(row: NDArray[np.float64]) -> str:
    if int(row[5]) == BY_CONDITION:
        return "over the limit"
    if int(row[5]) == BY_COOLDOWN:
        return "cooldown over"
    return "tests passed" if int(row[4]) == CLOSED else "tests failed"


def states(replay: Replay) -> pl.DataFrame:
    """Return one row a span in which a breaker kept its state, from the log's first to its last arrival."""
    if not len(replay.log):
        return pl.DataFrame(schema=_STATES)
    begin, finish = replay.log.arrived_us[0], replay.log.arrived_us[-1]
    changed = replay.transitions
    spans = []
    for r, route in enumerate(replay.policy.routes):
        for e, entry in enumerate(route.chain):
            if entry.breaker is None:
                continue
            mine = (replay.changes[:, 0] == r) & (replay.changes[:, 1] == e)
            rows = changed.filter(pl.Series(mine)).rows(named=True)
            at = [begin, *replay.changes[mine, 2].astype(np.int64)]
            first = {"to": STATES[CLOSED], "why": "", "metric": None, "value": None, "n": None, "threshold": None}
            for row, start, end in zip([first, *rows], at, [*at[1:], finish], strict=True):
                if start <= finish:
                    spans.append(
                        (replay.name, route.name, entry.model, row["to"], start, min(end, finish))
                        + tuple(row[column] for column in ("why", "metric", "value", "n", "threshold")),
                    )
    frame = pl.DataFrame(spans, schema=_STATES | {"start": pl.Int64, "end": pl.Int64}, orient="row")
    return frame.with_columns(pl.col("start", "end").cast(_INSTANT))


def samples(replay: Replay) -> pl.DataFrame:
    """Return one row a guarded route: samples in its window at decisions with the primary in service.

    ``enough_share`` is the share of those decisions at which the window held what the breaker needs to act.
    """
    rows = []
    for r, route in enumerate(replay.policy.routes):
        if route.breaker is None:
            continue
        n = replay.records["n"][(replay.route == r) & (replay.records["state"] == CLOSED)]
        needed = route.breaker.min_requests
        if route.breaker.window.kind == "count":
            needed = min(needed, route.breaker.window.length)
        median = float(np.median(n)) if len(n) else None
        enough = float((n >= needed).mean()) if len(n) else None
        rows.append((route.name, str(route.breaker.window), needed, len(n), median, enough))
    schema = {
        "route": pl.String, "window": pl.String, "needed": pl.Int64, "decisions": pl.Int64, "median_samples": pl.Float64,
        "enough_share": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")
