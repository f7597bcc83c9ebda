"""Limits that a healthy log supports: windows that hold enough, and conditions that would have kept quiet in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from incident_kit.drafts.healthywindows import A_WEEK_H, Calls, Windows, least_limit
from incident_kit.durations import UNITS
from incident_kit.engine.plan import is_in
from incident_kit.healthy import is_healthy
from incident_kit.policies.routes import Window
from incident_kit.scoring.budget import ENOUGH, Stream, steps
from incident_kit.words import number

if TYPE_CHECKING:
    from incident_kit.drafts.groups import Group
    from incident_kit.incident import Incident

FEW = (20, 10)  # samples that a window must hold, in the order of preference
WINDOWS_MS = tuple(size * UNITS[unit] for size, unit in ((5, "m"), (10, "m"), (15, "m"), (30, "m"), (1, "h")))
SHORT_MS = (30_000, 60_000, 120_000)  # for logs of less than an hour
MARGIN = 1.2  # over the worst healthy window, where the healthy hours are less than a week
ERRORS_PERCENT = tuple(range(10, 95, 5))
DEFAULT_ERRORS = ("5xx", "429", "timeout")


def healthy_calls(incident: Incident, group: Group, target: int) -> Calls:
    """Return the group's calls to a target that were sent outside every impact, in order of completion."""
    log, of = incident.log, incident.log.calls
    is_mine = np.zeros(len(log), np.bool_)
    is_mine[group.requests] = True
    chosen = np.flatnonzero(is_mine[of.request] & (of.target == target) & of.is_call & is_healthy(incident, of.sent_us))
    done = of.sent_us[chosen] + of.latency_ms[chosen].astype(np.int64) * 1000
    order = np.lexsort((chosen, done))
    breaks = np.array([is_in(name, DEFAULT_ERRORS) for name in log.errors])
    rows = chosen[order]
    return Calls(done[order], of.latency_ms[rows].astype(np.int64), breaks[of.error[rows]])


def window_of(incident: Incident, group: Group) -> tuple[int, int, float] | None:
    """Return the shortest window that holds enough of a group's requests, how many, and for which share of the time."""
    log = incident.log
    span = {"from_us": int(log.arrived_us[0]), "until_us": int(log.arrived_us[-1])}
    lasts_ms = (span["until_us"] - span["from_us"]) // 1000
    waits = np.maximum(log.wait_ms[group.requests], 0).astype(np.int64)
    done = np.sort(log.arrived_us[group.requests] + 1000 * waits)
    stream = Stream(done, np.ones(len(done)))
    lengths = [length for length in (*SHORT_MS, *WINDOWS_MS) if length <= lasts_ms / 4]
    if lasts_ms >= UNITS["h"]:
        lengths = [length for length in lengths if length not in SHORT_MS]
    for few in FEW:
        for length in lengths:
            share = steps(stream, Window("sliding", length), **span).share(few)
            if share >= ENOUGH:
                return length, few, share
    return None


def conditions(incident: Incident, windows: Windows, *, hours: float) -> list[tuple[str, str]]:
    """Return the conditions on waits and errors that so many healthy hours support, each with its evidence."""
    return [*_slow(incident, windows, hours=hours), *_failing(incident, windows, hours=hours)]


def lasting_hours(hours: float) -> str:
    """Return hours as people say them."""
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"


def _slow(incident: Incident, windows: Windows, *, hours: float) -> Iterator[tuple[str, str]]:
    if incident.answers["waits"].answer == "no":
        return
    calls = windows.calls
    worst = windows.p95_of(0.0)
    highest = _round_up(int(MARGIN * max(worst, 1)))
    limit = least_limit(_round_numbers(calls.p95_ms(), highest), windows.slower, apart_us=windows.apart_us, hours=hours)
    if limit is None:
        return
    if hours < A_WEEK_H:
        limit = max(limit, highest)
    usual = windows.p95_of(0.01)
    limit = max(limit, _round_up(usual))
    why = (
        f"healthy p95 {number(calls.p95_ms(), 'ms')} of {len(calls):,} calls in {lasting_hours(hours)}; "
        f"99 % of windows up to {number(usual, 'ms')}, the worst {number(worst, 'ms')}"
    )
    yield f"p95_ms > {limit}", why


def _failing(incident: Incident, windows: Windows, *, hours: float) -> Iterator[tuple[str, str]]:
    if incident.answers["errors"].answer == "no":
        return
    percent = least_limit(ERRORS_PERCENT, windows.failing, apart_us=windows.apart_us, hours=hours)
    if percent is None:
        return
    kept = "healthy windows go over it once a week at most"
    if hours < A_WEEK_H:
        kept = f"no healthy window over {percent} %"
        percent = min(percent + 5, ERRORS_PERCENT[-1])
    calls = windows.calls
    bound = " (a lower bound in this log)" if incident.answers["errors"].answer == "lower bound" else ""
    failed = f"{number(float(calls.failed.mean()), '%')} of {len(calls):,} healthy calls failed{bound}"
    yield f"error_rate > {percent / 100:g}", f"{failed}; {kept}"


def _step(milliseconds: int) -> int:
    return 50 if milliseconds < 2000 else 100 if milliseconds < 10_000 else 500


def _round_up(milliseconds: int) -> int:
    step = _step(milliseconds)
    return -(-milliseconds // step) * step


def _round_numbers(low: int, high: int) -> list[int]:
    """Return the round numbers from above ``low`` to ``high``, at least one."""
    found, at = [], _round_up(max(low, 1))
    while at <= high:
        found.append(at)
        at = _round_up(at + 1)
    return found or [_round_up(max(low, 1))]
