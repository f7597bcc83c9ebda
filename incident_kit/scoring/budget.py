"""Sample budget: for how much of the time a breaker's window would hold enough to act, were its primary healthy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.durations import UNITS
from incident_kit.policies.routes import Retry, Window
from incident_kit.scoring.replays import Replay, replay_log
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.routes import Breaker

ENOUGH = 0.8  # of the time; what a suggestion reaches
FEWEST = 5  # no suggestion acts on fewer samples
WINDOWS_MS = tuple(
    size * UNITS[unit] for unit, sizes in (("m", (1, 2, 5, 10, 15, 30)), ("h", (1, 2, 6))) for size in sizes
)
COUNTS = {  # what a metric's own denominator counts; those not named are calls
    "tools": "tool calls", "override": "reviewed drafts", "escalation": "tickets", "reopen": "tickets", "sla": "tickets",
    "fallback": "requests",
}  # fmt: skip
ALWAYS_KNOWN = ("requests", "consecutive", "alert")
_US = 1000  # microseconds in a millisecond
_COLUMNS: dict[str, Any] = {
    "route": pl.String, "intent": pl.String, "target": pl.String, "window": pl.String, "counts": pl.String,
    "needed": pl.Int64, "seen": pl.Int64, "enough_share": pl.Float64, "window_enough": pl.String,
    "min_requests_enough": pl.Int64, "sentence": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Stream:
    """What a window would count: instants in order, how many each is, and, for tickets, whose."""

    at_us: NDArray[np.int64]
    n: NDArray[np.float64]
    key: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Steps:
    """How many samples a window holds over time: ``count[i]`` from ``edge_us[i]`` to ``edge_us[i + 1]``."""

    edge_us: NDArray[np.int64]
    count: NDArray[np.float64]

    def share(self, needed: float) -> float:
        """Return the share of the time with at least so many."""
        lasts = np.diff(self.edge_us)
        return float(lasts[self.count >= needed].sum() / lasts.sum()) if lasts.sum() else 0.0

    def most(self, share: float) -> int:
        """Return the largest number that is held for at least this share of the time."""
        lasts = np.diff(self.edge_us)
        order = np.argsort(-self.count, kind="stable")
        held = np.cumsum(lasts[order])
        place = int(np.searchsorted(held, share * lasts.sum()))
        return int(self.count[order[min(place, len(order) - 1)]]) if len(order) else 0

    def shares_by_hour(self, needed: float, zone: ZoneInfo) -> dict[int, float]:
        """Return the share of the time with at least so many, by hour of the day in a zone."""
        lasts = np.diff(self.edge_us)
        so_far = np.concatenate([[0.0], np.cumsum(np.where(self.count >= needed, lasts, 0))])
        bounds = _hours(int(self.edge_us[0]), int(self.edge_us[-1]), zone)
        marks = np.array([at for at, _ in bounds], np.int64)
        spent = np.diff(np.interp(marks, self.edge_us, so_far))
        total: dict[int, list[float]] = {}
        for (_, hour), enough, whole in zip(bounds[:-1], spent, np.diff(marks), strict=True):
            found = total.setdefault(hour, [0.0, 0.0])
            found[0] += float(enough)
            found[1] += float(whole)
        return {hour: enough / whole for hour, (enough, whole) in sorted(total.items()) if whole}


def _hours(start_us: int, end_us: int, zone: ZoneInfo) -> list[tuple[int, int]]:
    """Return where each hour of the wall clock begins, and which hour of the day it is."""
    at = datetime.fromtimestamp(start_us / 1e6, UTC)
    found = [(start_us, at.astimezone(zone).hour)]
    offset = timedelta(minutes=at.astimezone(zone).minute, seconds=at.second, microseconds=at.microsecond)
    at = at - offset + timedelta(hours=1)
    while (mark := round(at.timestamp() * 1e6)) < end_us:
        found.append((mark, at.astimezone(zone).hour))
        at += timedelta(hours=1)
    return [*found, (end_us, -1)]


def sample_budget(incident: Incident, policy: Policy, *, by: Literal["hour"] | None = None) -> pl.DataFrame:
    """Return for how much of the log's time each window of a policy's breakers would hold enough samples to act.

    Every request of a route counts as one call to its primary, at its arrival plus the wait that the log gives (or the
    nearest like it): what the policy would see were the primary never left. Time runs from one window after the first
    arrival to the last arrival. Nothing is replayed with breakers, and breakers of fallbacks, which see no traffic then, are
    left out.

    Columns: route, intent (with ``scope: intent``), target, window, counts (what the metric's own denominator counts),
    needed (``min_requests``), seen (in the whole log), enough_share, window_enough (the next window that would hold
    ``needed`` for 80 % of the time, itself where it does; NULL: none up to six hours), min_requests_enough (the most that
    this window holds for 80 % of the time; NULL: under five), and the same as a sentence. ``by="hour"``: a row an hour of
    the day in the reader's zone, with ``hour``.
    """
    healthy = _undisturbed(incident, policy)
    zone = ZoneInfo(incident.zone)
    rows: list[dict[str, Any]] = []
    for one in _watched(incident, policy, healthy):
        rows += _rows(one, healthy, zone=zone, by=by)
    columns = _COLUMNS | ({"hour": pl.Int64} if by == "hour" else {})
    return pl.DataFrame(rows, schema=columns)


def steps(stream: Stream, window: Window, *, until_us: int, from_us: int) -> Steps:
    """Return how many samples of a stream a window holds, from one window after ``from_us`` to ``until_us``.

    A row counts from its instant on (S9: the window is open at its far end); a ticket once, by its last row.
    """
    at, n = stream.at_us, stream.n
    if window.kind == "count":
        end = np.full(len(at), np.iinfo(np.int64).max)
    elif window.kind == "tumbling":
        end = (at // (window.length * _US) + 1) * window.length * _US
    else:
        end = at + window.length * _US
    if stream.key is not None:
        end = np.minimum(end, _next_of_key(at, stream.key))
    begin = from_us if window.kind == "count" else from_us + window.length * _US
    begin = min(begin, (from_us + until_us) // 2)  # a log shorter than two windows still has a second half
    moments = np.concatenate([at, end])
    change = np.concatenate([n, -n])
    order = np.argsort(moments, kind="stable")
    moments, count = moments[order], np.cumsum(change[order])
    edge = np.unique(np.clip(np.concatenate([[begin], moments, [until_us]]), begin, until_us))
    place = np.searchsorted(moments, edge[:-1], side="right") - 1
    held = np.where(place >= 0, count[place], 0.0) if len(count) else np.zeros(len(edge) - 1)
    return Steps(edge, np.round(held, 6))


def _next_of_key(at: NDArray[np.int64], key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when the same key comes next."""
    order = np.lexsort((at, key))
    following = np.full(len(at), np.iinfo(np.int64).max)
    same = key[order[1:]] == key[order[:-1]]
    following[order[:-1][same]] = at[order[1:][same]]
    return following


@dataclass(frozen=True)
class _Watch:
    """One breaker of a primary: whose it is, and the streams that its conditions count."""

    route: str
    intent: str | None
    target: str
    breaker: Breaker
    streams: dict[str, Stream]


def _undisturbed(incident: Incident, policy: Policy) -> Replay:
    """Return the policy without anything that leaves a primary, over the log."""
    plain: dict[str, Any] = {"fallback": (), "breaker": None, "switches": (), "sticky": "none", "deadline_ms": None}
    routes = tuple(replace(route, **plain, retry=Retry()) for route in policy.routes)
    return replay_log(incident.log, replace(policy, routes=routes, alerts=(), text=None), incident=incident)


def _watched(incident: Incident, policy: Policy, healthy: Replay) -> Iterator[_Watch]:
    log = incident.log
    reviews = incident.store.query("budget_reviews")
    touches = incident.store.query("budget_touches")
    tool_calls = incident.as_logged.outcomes["tool_calls"].fill_null(0).to_numpy()
    codes = {target: code for code, target in enumerate(healthy.targets)}
    ids = pl.DataFrame({"request_id": log.request_id}).with_row_index("request")

    def streams(mine: NDArray[np.intp]) -> dict[str, Stream]:
        calls = _calls(healthy, mine)
        tools = _sorted(calls.at_us, tool_calls[mine].astype(float))
        chosen = ids[mine]
        found = {"calls": _sorted(calls.at_us, calls.n), "requests": _sorted(calls.at_us, calls.n), "tool calls": tools}
        reviewed = reviews.join(chosen, on="request_id").sort("at_us", "request_id")
        found["reviewed drafts"] = Stream(reviewed["at_us"].to_numpy(), np.ones(reviewed.height))
        touched = touches.join(chosen, on="request_id").sort("at_us", "request_id")
        key = touched["ticket"].to_numpy().astype(np.int64)
        found["tickets"] = Stream(touched["at_us"].to_numpy(), np.ones(touched.height), key)
        return found

    for position, route in enumerate(policy.routes):
        if route.breaker is None:
            continue
        of_route = healthy.route == position
        for target in route.primaries:
            on_target = healthy.first_target == codes[target]
            if route.breaker.scope == "intent":
                for code in np.unique(log.intent[of_route]):
                    mine = np.flatnonzero(of_route & on_target & (log.intent == code))
                    intent = log.intents[code] if code >= 0 else "(no intent)"
                    yield _Watch(route.name, intent, target, route.breaker, streams(mine))
            else:
                chosen = on_target if route.breaker.scope == "target" else of_route & on_target
                yield _Watch(route.name, None, target, route.breaker, streams(np.flatnonzero(chosen)))


def _calls(healthy: Replay, mine: NDArray[np.intp]) -> Stream:
    waits = np.maximum(healthy.outcome.wait_ms[mine], 0).astype(np.int64)
    return _sorted(healthy.log.arrived_us[mine] + waits * _US, np.ones(len(mine)))


def _sorted(at_us: NDArray[np.int64], n: NDArray[np.float64]) -> Stream:
    order = np.argsort(at_us, kind="stable")
    return Stream(at_us[order], n[order])


def _rows(one: _Watch, healthy: Replay, *, zone: ZoneInfo, by: str | None) -> Iterator[dict[str, Any]]:
    arrived = healthy.log.arrived_us
    if len(arrived) < 2:
        return
    span = {"from_us": int(arrived[0]), "until_us": int(arrived[-1])}
    breaker = one.breaker
    kinds = [leaf.kind for leaf in breaker.when.leaves if leaf.kind not in (*ALWAYS_KNOWN, "signal")]
    for counts in dict.fromkeys(COUNTS.get(kind, "calls") for kind in kinds):
        stream = one.streams[counts]
        for window in breaker.windows:
            needed = min(breaker.min_requests, window.length) if window.kind == "count" else breaker.min_requests
            held = steps(stream, window, **span)
            share = held.share(needed)
            row = {
                "route": one.route, "intent": one.intent, "target": one.target, "window": str(window), "counts": counts,
                "needed": needed, "seen": int(stream.n.sum()), "enough_share": share,
                "window_enough": _wide_enough(stream, window, needed, span) if share < ENOUGH else str(window),
                "min_requests_enough": most if (most := held.most(ENOUGH)) >= FEWEST else None,
            }  # fmt: skip
            hours = held.shares_by_hour(needed, zone)
            row["sentence"] = _sentence(row, hours)
            if by == "hour":
                yield from (row | {"hour": hour, "enough_share": enough} for hour, enough in hours.items())
            else:
                yield row


def _wide_enough(stream: Stream, window: Window, needed: int, span: dict[str, int]) -> str | None:
    """Return the shortest window of the same kind that holds enough for most of the time."""
    if window.kind == "count":
        return None
    for length in WINDOWS_MS:
        wider = replace(window, length=length)
        if length > window.length and steps(stream, wider, **span).share(needed) >= ENOUGH:
            return str(wider)
    return None


def _sentence(row: dict[str, Any], hours: dict[int, float]) -> str:
    who = label(row["route"]) + (f" ({label(row['intent'])})" if row["intent"] else "")
    share = number(row["enough_share"], "%")
    holds = f"holds the {row['needed']:,} {row['counts']} that it takes to act {share} of the time"
    said = f"Route {who}: its window of {row['window']} {holds}"
    if row["enough_share"] >= ENOUGH:
        return f"{said}."
    if len(hours) > 1:
        worst = min(hours, key=lambda hour: (hours[hour], hour))
        said += f" (least from {worst:02}:00 to {(worst + 1) % 24:02}:00, {number(hours[worst], '%')})"
    ways = []
    if row["window_enough"]:
        ways.append(f"a window of {row['window_enough']}")
    if row["min_requests_enough"]:
        ways.append(f"min_requests: {row['min_requests_enough']}")
    better = f"{' or '.join(ways)} would reach {number(ENOUGH, '%')}" if ways else "no window up to 6h would do"
    return f"{said}; {better}."
