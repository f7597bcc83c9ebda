"""Caveats of a replay: what a reader must know before believing it, computed from the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from incident_kit.errors import did_you_mean
from incident_kit.estimation.evidence import NONE, OBSERVED, nearest
from incident_kit.scoring.flags import flags
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.scoring.replays import Replay


_LIKE = {
    "same_cell": "from the same intent at that time",
    "same_time": "from other intents at that time",
    "same_intent": "from the same intent at other times",
}
ENOUGH = 0.9  # a window that can act less of the time than this is worth a word


def caveats(replay: Replay) -> tuple[str, ...]:
    """Return the caveats in the order of how much they can change what is read; none for the log itself."""
    said = []
    unrouted = float((replay.route < 0).mean()) if len(replay.log) else 0.0
    if not replay.policy.routes:
        return ()
    for target in replay.policy.targets:
        if target not in replay.log.targets:
            hint = did_you_mean(target, replay.log.targets)
            said.append(f"{label(target)} answers nothing in this log{hint}: what it would have done cannot be told.")
    for position, route in enumerate(replay.policy.routes):
        if not (replay.route == position).any():
            hint = did_you_mean(route.intent[0], replay.log.intents)
            said.append(f"Route {label(route.name)} matches no request of this log{hint}.")
    shares = replay.evidence
    if shares["none"]:
        said.append(
            f"For {number(shares['none'], '%')} of the requests these logs cannot tell what would have happened: no call of "
            "that model for that intent was seen."
        )
    said += _worked_out(replay)
    untold = replay.outcome.tools_disabled & (replay.outcome.evidence > 0)
    if untold.any():
        share = float(untold.mean())
        said.append(
            f"{number(share, '%')} of the answers would come without tools, which the log never shows: they are judged by "
            "answers with tools."
        )
    if replay.state_exact_share < 1:
        touched = number(1 - replay.state_exact_share, "%")
        said.append(f"{touched} of the decisions rest on a state that worked-out outcomes have touched.")
    acting = set(replay.transitions["route"])
    said += [
        f"Route {label(row['route'])}: while its primary is in service, its window of {row['window']} "
        f"{_holds(row, acts=row['route'] in acting)} (half the time under {number(row['median_samples'])})."
        for row in replay.samples.iter_rows(named=True)
        if row["enough_share"] is not None and row["enough_share"] < ENOUGH
    ]
    if any(route.on_fallback.max_tokens for route in replay.policy.routes):
        said.append("max_tokens on the backup is not replayed: its answers are judged as long as they were.")
    if unrouted:
        said.append(f"{number(unrouted, '%')} of the requests match no route and stay as logged.")
    return tuple(said)


def _holds(row: dict[str, Any], *, acts: bool) -> str:
    """Return how often a window holds what it takes; that of a route that acts did so, just before it acted."""
    share, calls = row["enough_share"], f"the {row['needed']} calls that it takes to act"
    if not share and not acts:
        return f"never holds {calls}"
    return f"holds {calls} {'under 1 %' if share < 0.01 else number(share, '%')} of the time"


def _worked_out(replay: Replay) -> list[str]:
    """Return what is to be known of outcomes that the log does not hold."""
    said: list[str] = []
    shares = replay.evidence
    told = {label: shares[label] for label in _LIKE if shares[label]}
    if told and replay.estimator is nearest:
        gap = _median_gap_s(replay)
        said.append(
            f"{number(sum(told.values()), '%')} of the outcomes are worked out from the nearest similar request "
            f"(half of them over {number(gap, '')} s away), with no interval around them."
        )
    elif told:
        kinds = "; ".join(f"{number(share, '%')} {_LIKE[label]}" for label, share in told.items())
        said.append(f"{number(sum(told.values()), '%')} of the outcomes are worked out from similar requests: {kinds}.")
    far = getattr(replay.estimator, "is_extrapolated", None) if told else None
    if far is not None and (share := float((far(replay.outcome.target) & (replay.outcome.evidence > OBSERVED)).mean())):
        said.append(
            f"{number(share, '%')} of the outcomes are extrapolated: those of a degraded model at times when these logs do "
            "not show it. Look at the bounds too."
        )
    said += flags(replay, getattr(replay.estimator, "cells", None)) if told else ()
    return said


def _median_gap_s(replay: Replay) -> float:
    of_another = replay.log.calls.request[replay.outcome.call] != np.arange(len(replay.log))
    evidence = replay.outcome.evidence
    borrowed = (evidence > OBSERVED) & (evidence < NONE) & (replay.outcome.call >= 0) & of_another
    sent = replay.log.calls.sent_us[replay.outcome.call[borrowed]]
    return float(np.median(np.abs(sent - replay.log.arrived_us[borrowed]))) / 1e6 if borrowed.any() else 0.0
