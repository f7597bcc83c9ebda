"""Healthy: the time of a log outside every impact, which is what thresholds and false trips are measured on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from incident_kit.incident import Incident

_HOUR_US = 3_600_000_000


def impacts_us(incident: Incident) -> tuple[tuple[int, int], ...]:
    """Return the spans [begin, end) of every impact, in microseconds since the epoch, in order.

    An impact without an end lasts to the recovery after it, or to the log's end.
    """
    phases = incident.phases
    last = incident.about()["last"]
    found = []
    for phase in phases:
        if phase.kind != "impact":
            continue
        after = next((one.at for one in phases if one.kind == "recovered" and one.at > phase.at), None)
        end = phase.until or after or max(last or phase.at, phase.at) + timedelta(microseconds=1)
        found.append((_us(phase.at), _us(end)))
    return tuple(sorted(found))


def is_healthy(incident: Incident, at_us: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which instants lie outside every impact."""
    healthy = np.ones(len(at_us), np.bool_)
    for begin, end in impacts_us(incident):
        healthy &= (at_us < begin) | (at_us >= end)
    return healthy


def healthy_spans(incident: Incident) -> tuple[tuple[int, int], ...]:
    """Return the spans [begin, end) outside every impact, from the first arrival to after the last, in microseconds."""
    arrived = incident.log.arrived_us
    if not len(arrived):
        return ()
    left, end = int(arrived[0]), int(arrived[-1]) + 1
    found = []
    for begin, until in impacts_us(incident):
        if min(begin, end) > left:
            found.append((left, min(begin, end)))
        left = max(left, until)
    return (*found, (left, end)) if left < end else tuple(found)


def healthy_hours(incident: Incident) -> float:
    """Return how many hours of the log, from its first to its last arrival, lie outside every impact."""
    arrived = incident.log.arrived_us
    if len(arrived) < 2:
        return 0.0
    left, total = int(arrived[0]), 0
    for begin, end in impacts_us(incident):
        total += max(0, min(begin, int(arrived[-1])) - left)
        left = max(left, end)
    return (total + max(0, int(arrived[-1]) - left)) / _HOUR_US


def _us(instant: datetime) -> int:
    return round(instant.timestamp() * 1_000_000)
