"""The frames of a replay: decisions, transitions, the spans between them, and samples a window."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.engine import machine
from incident_kit.engine.kernel import BY_CONDITION, BY_COOLDOWN, CLOSED, OPEN
from incident_kit.engine.routing import in_force_us
from incident_kit.engine.runs import IN_QUEUE
from incident_kit.estimation.evidence import LABELS, NONE, OBSERVED

if TYPE_CHECKING:
    from incident_kit.policies.conditions import Condition
    from incident_kit.policies.routes import Breaker
    from incident_kit.scoring.replays import Replay

STATES = ("on primary", "on backup", "testing primary")  # CLOSED, OPEN, HALF_OPEN, in the words of people
REASONS = (
    "no route matches: as logged",
    "the primary is not watched",
    "nothing has taken the primary out of service",
    "the primary is out of service",
    "the primary is out of service, and nothing else is left",
    "one of the requests that test the primary",
    "enough others test the primary",
    "sent there by hand",
    "its conversation is answered there",
    "held until the primary was tried again, or for as long as the queue holds",
)
UNROUTED, UNWATCHED, WITHIN, SWITCHED, LAST_RESORT, PROBE, OTHERS_PROBE, BY_HAND, BY_CONVERSATION, HELD = range(
    len(REASONS)
)
ACTIONS = ("as logged", "primary", "fallback", "test", "template", "queued", "to a person", "refused")
_ENDS = np.array([0, 4, 5, 6, 7], np.int8)  # the action of an end without a model, by machine.MODEL, TEMPLATE ...
_INSTANT = pl.Datetime("us", "UTC")
_NO_START = np.iinfo(np.int64).min
_SHOWN: dict[str, Any] = {
    "why": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "n": pl.Int32,
    "threshold": pl.Float64,
}
_TRANSITIONS = {
    "policy": pl.String, "route": pl.String, "breaker": pl.String, "intent": pl.String, "from": pl.String,
    "to": pl.String, **_SHOWN,
}  # fmt: skip
_STATES = {
    "policy": pl.String, "route": pl.String, "target": pl.String, "state": pl.String, "start": _INSTANT, "end": _INSTANT,
    **_SHOWN,
}  # fmt: skip


def instants(microseconds: NDArray[Any]) -> pl.Series:
    """Return microseconds since the epoch as UTC instants."""
    return pl.Series(microseconds.astype(np.int64, copy=False)).cast(_INSTANT)


def words(codes: NDArray[Any], vocabulary: tuple[str, ...]) -> pl.Series:
    """Return codes as their words (an Enum); -1 is NULL."""
    # polars takes its own kind of codes as they are; under a NULL, too, it wants a word
    kind = np.uint8 if len(vocabulary) < 256 else np.uint32
    is_known = codes >= 0
    small = codes if is_known.all() else np.where(is_known, codes, 0)
    return _masked(pl.Series(small.astype(kind, copy=False)), is_known).cat.to(pl.Enum(list(vocabulary)))


def known(values: NDArray[Any]) -> pl.Series:
    """Return codes or counts with -1 as NULL."""
    return _masked(pl.Series(values), values >= 0)


def _masked(series: pl.Series, mask: NDArray[np.bool_]) -> pl.Series:
    """Return the series with NULL where the mask is false."""
    return series if mask.all() else pl.select(pl.when(pl.Series(mask)).then(series)).to_series()


def guard(replay: Replay, route: int, entry: int = 0) -> Any:
    """Return the breaker of an entry of a route's chain."""
    return replay.policy.routes[route].chain[entry].breaker


def judged(replay: Replay, row: NDArray[np.float64]) -> Condition:
    """Return the condition that a change of state shows."""
    breaker = guard(replay, int(row[0]), int(row[1]))
    tested = breaker.half_open.when or breaker.when.without_alerts() or breaker.when
    condition: Condition = (tested if row[5] > BY_COOLDOWN else breaker.when).leaves[int(row[6])]
    return condition


def decisions(replay: Replay) -> pl.DataFrame:
    """Return one row a request, in order of arrival."""
    log, records, outcome = replay.log, replay.records, replay.outcome
    routes = replay.policy.routes
    route = replay.route.astype(np.intp)  # -1 takes the last of each table
    watched = np.array([*(one.breaker is not None for one in routes), False])[route]
    away = np.flatnonzero(watched & (records["state"] != CLOSED))
    columns: dict[str, Callable[[], Any]] = {
        "request_id": lambda: log.request_id,
        "at": lambda: instants(log.arrived_us),
        "policy": lambda: pl.repeat(replay.name, len(log), dtype=pl.Enum([replay.name]), eager=True),
        "route": lambda: words(replay.route, tuple(one.name for one in routes)),
        "target": lambda: words(replay.first_target, replay.targets),
        "action": lambda: words(_actions(replay, route), ACTIONS),
        "tools": lambda: words(outcome.tools_disabled.view(np.int8), ("as offered", "disabled")),
        "breaker_state": lambda: words(np.where(watched, records["state"], np.int8(-1)), STATES),
        "reason": lambda: words(_reasons(replay, route, away), REASONS),
        "signals": lambda: _signals(replay, route, away),
        "logged_target": lambda: words(log.first_target, replay.targets),  # as in target: they can be compared
        "same_as_log": lambda: replay.same_as_log,
        "state_exact": lambda: records["exact"] == 1,
        "evidence": lambda: words(outcome.evidence, LABELS),
        "served": lambda: words(outcome.target, replay.targets),
        "wait_ms": lambda: known(outcome.wait_ms),
        "error_class": lambda: words(outcome.error, log.errors),
        "attempts": lambda: records["attempts"],
        "donor_request_id": lambda: _donor_ids(replay),
        "adjusted": lambda: outcome.changed != 0,
        "agreement": lambda: _agreement(replay),
    }
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the work is numpy's and polars', which let go of the lock
        made = zip(columns, pool.map(lambda make: make(), columns.values()), strict=True)
        frame: dict[str, Any] = {}
        for name, column in made:
            frame |= column if isinstance(column, dict) else {name: column}
    return pl.DataFrame(frame)


def _agreement(replay: Replay) -> pl.Series:
    """Return the share of draws that decide each request alike; NULL without draws."""
    return (
        pl.repeat(None, len(replay.log), dtype=pl.Float32, eager=True)
        if replay.agreement is None
        else pl.Series(replay.agreement)
    )


def _donor_ids(replay: Replay) -> pl.Series:
    """Return whose call each outcome was borrowed from; NULL where none was."""
    log, outcome = replay.log, replay.outcome
    is_told = (outcome.evidence > OBSERVED) & (outcome.evidence < NONE)
    borrowed = np.flatnonzero(is_told & (outcome.call >= 0))
    donors = np.full(len(log), -1, np.int32)
    donors[borrowed] = log.calls.request[outcome.call[borrowed]]
    return log.request_id.gather(known(donors))


def _actions(replay: Replay, route: NDArray[np.intp]) -> NDArray[np.int8]:
    usual = [2 if one.degraded_start else 1 for one in replay.policy.routes]
    action = np.array([*usual, 0], np.int8)[route]
    action[replay.records["first"] >= _primaries(replay)[route]] = 2
    action[replay.records["probe"] == 1] = 3
    action[replay.reason == IN_QUEUE] = _ENDS[machine.QUEUE]
    ended = replay.outcome.no_model > 0
    action[ended] = _ENDS[replay.outcome.no_model[ended]]
    return action


def _primaries(replay: Replay) -> NDArray[np.int8]:
    """Return how many entries of each route's chain count as primary; the last is for requests without a route."""
    return np.array([*(len(one.primaries) for one in replay.policy.routes), 1], np.int8)


def _reasons(replay: Replay, route: NDArray[np.intp], away: NDArray[np.intp]) -> NDArray[np.int8]:
    records = replay.records
    usual = [UNWATCHED if one.breaker is None else WITHIN for one in replay.policy.routes]
    reason = np.array([*usual, UNROUTED], np.int8)[route]
    reason[away] = np.where(records["state"][away] == OPEN, SWITCHED, OTHERS_PROBE)
    reason[away[records["first"][away] < _primaries(replay)[route[away]]]] = LAST_RESORT
    reason[records["probe"] == 1] = PROBE
    reason[replay.reason == machine.BY_HAND] = BY_HAND
    reason[replay.reason == machine.BY_CONVERSATION] = BY_CONVERSATION
    reason[replay.reason == IN_QUEUE] = HELD
    return reason


def _signals(replay: Replay, route: NDArray[np.intp], away: NDArray[np.intp]) -> dict[str, pl.Series]:
    """Return metric, value, n, threshold and window start of each decision.

    With the primary in service: the share that its breaker's first condition counts, at the decision. Otherwise (``away``):
    what took it out of service last.
    """
    records, arrived = replay.records, replay.log.arrived_us
    breakers = [one.breaker for one in replay.policy.routes]
    firsts = [breaker.when.leaves[0] if breaker else None for breaker in breakers]
    names: list[str] = []
    usual = [_name(names, _share_name(first)) if first else -1 for first in firsts]
    metric = np.array([*usual, -1], np.int16)[route]
    threshold = np.array([*(_limit(first) if first else np.nan for first in firsts), np.nan])[route]
    n = np.where(metric >= 0, records["n"], np.int32(-1))
    value = np.full(len(n), np.nan)
    np.divide(records["k"], n, out=value, where=n > 0)
    for r, first in enumerate(firsts):
        if first and first.kind in _SCALES:
            per_k, per_n, is_count = _SCALES[first.kind]
            mine = route == r
            value[mine] = records["k"][mine] if is_count else value[mine] / per_k
            n[mine] //= per_n
    windows = np.array([*map(_window_us, breakers), _NO_START])
    width = windows[route]
    start = arrived - width
    for r in np.unique(route[away]):
        of_route = away[route[away] == r]
        for mine, rows in _taken_out(replay, r, of_route):
            led = np.searchsorted(rows[:, 2], arrived[mine], side="right") - 1
            conditions = [judged(replay, row) for row in rows]
            metric[mine] = np.array([_name(names, condition.metric) for condition in conditions])[led]
            threshold[mine] = np.array([condition.threshold for condition in conditions])[led]
            value[mine], n[mine] = rows[led, 7], rows[led, 8].astype(np.int32)
            start[mine] = rows[led, 2].astype(np.int64) - windows[r]
    return {
        "metric": words(metric, tuple(names)),
        "value": pl.Series(value).fill_nan(None),
        "n": known(n),
        "threshold": pl.Series(threshold).fill_nan(None),
        "window_start": _masked(instants(start), width != _NO_START),
    }


def _taken_out(
    replay: Replay, r: np.intp, requests: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Yield requests of a route, and the changes that took their primary out of service; a breaker may be one intent's."""
    rows = replay.changes
    rows = rows[(rows[:, 0] == r) & (rows[:, 1] < len(replay.policy.routes[r].primaries)) & (rows[:, 4] == OPEN)]
    breaker = replay.policy.routes[r].breaker
    if breaker is None or breaker.scope != "intent":
        yield requests, rows
        return
    intents = replay.log.intent[requests]
    for intent in np.unique(intents):
        yield requests[intents == intent], rows[rows[:, 10] == intent]


_SCALES = {  # units of k and of n, and whether k alone is the value (see conditions.Condition.kind)
    "cost": (1e9, 1, False), "signal": (1, 1_000_000, False), "consecutive": (1, 1, True), "requests": (1, 1, True),
}  # fmt: skip
_LIMITED = {"latency": "slow_rate", "ttft": "slow_ttft_rate"}


def _share_name(condition: Condition) -> str:
    """Return what the counters of a condition are called: of a quantile, the share over its limit."""
    name = _LIMITED.get(condition.kind)
    return f"{name}({condition.limit_ms}ms)" if name else condition.metric


def _limit(condition: Condition) -> float:
    return condition.share if condition.kind in _LIMITED else condition.threshold


def _window_us(breaker: Breaker | None) -> int:
    return breaker.window.length * 1000 if breaker and breaker.window.kind == "sliding" else _NO_START


def _name(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)


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
            "intent": [replay.log.intents[int(row[10])] if row[10] >= 0 else None for row in rows],
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


def alert_changes(replay: Replay) -> pl.DataFrame:
    """Return one row each time an alert began or ceased to fire: at, alert, firing, metric, value, n, threshold, state_exact."""
    from incident_kit.engine.runs import alerted

    alerts = replay.policy.alerts
    rows = alerted(replay) if alerts else np.zeros(0, machine.ALERT_CHANGE)
    leaves = [alerts[row["alert"]].when.leaves[row["leaf"]] for row in rows]
    return pl.DataFrame(
        {
            "at": instants(rows["at"]),
            "policy": [replay.name] * len(rows),
            "alert": [alerts[row["alert"]].name for row in rows],
            "firing": rows["firing"] == 1,
            "metric": [leaf.metric for leaf in leaves],
            "value": pl.Series(rows["value"]).fill_nan(None),
            "n": rows["n"].astype(np.int32),
            "threshold": [leaf.threshold for leaf in leaves],
            "state_exact": rows["exact"] == 1,
        },
        schema_overrides={"policy": pl.String, "alert": pl.String, "metric": pl.String, "threshold": pl.Float64},
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
    changed = replay.transitions
    spans = []
    for r, route in enumerate(replay.policy.routes):
        begin, finish = in_force_us(route, replay.log)
        for e, entry in enumerate(route.chain):
            if entry.breaker is None:
                continue
            for name, mine in _instances(replay, r, e):
                rows = changed.filter(pl.Series(mine)).rows(named=True)
                at = [begin, *replay.changes[mine, 2].astype(np.int64)]
                first = {"to": STATES[CLOSED], "why": "", "metric": None, "value": None, "n": None, "threshold": None}
                for row, start, end in zip([first, *rows], at, [*at[1:], finish], strict=True):
                    if start <= finish:
                        shown = map(row.get, _SHOWN)
                        spans.append((replay.name, name, entry.model, row["to"], start, min(end, finish), *shown))
    frame = pl.DataFrame(spans, schema=_STATES | {"start": pl.Int64, "end": pl.Int64}, orient="row")
    return frame.with_columns(pl.col("start", "end").cast(_INSTANT))


def _instances(replay: Replay, r: int, e: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield every breaker of an entry, by name, with its changes: one, or one an intent where its scope is the intent."""
    rows, name = replay.changes, replay.policy.routes[r].name
    mine = (rows[:, 0] == r) & (rows[:, 1] == e)
    if guard(replay, r, e).scope != "intent":
        yield name, mine
        return
    for intent in np.unique(replay.log.intent[replay.route == r]):
        yield f"{name}: {replay.log.intents[intent] if intent >= 0 else 'no intent'}", mine & (rows[:, 10] == intent)


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
