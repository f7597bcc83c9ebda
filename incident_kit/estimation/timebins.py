"""Time bins: coarse outside the incident, fine inside, with the log's own switches as edges.

A bin that mixes calls from before and after a switch mixes two states of the world with two choices of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.log import Log

Instants = NDArray[np.int64]
MOST = 40
SHORTEST_SWITCH_US = 120_000_000
SHORTEST_BIN_US = 30_000_000
_PARTS = 20  # of the longest incident: switches and bins of a short one are shorter
_FINER = 4  # how many times finer bins are inside the incident


def shortest_us(incident: Sequence[tuple[int, int]]) -> int:
    """Return how long a switch lasts at least that bins must not mix: two minutes, in an incident under 40 minutes less."""
    longest = max((end - begin for begin, end in incident), default=0)
    return min(SHORTEST_SWITCH_US, longest // _PARTS) if longest > 0 else SHORTEST_SWITCH_US


def switches_us(log: Log, *, shortest_us: int = SHORTEST_SWITCH_US) -> Instants:
    """Return when the log's first choice of target changed for good, in microseconds since the epoch, in order.

    Of each intent's requests, runs of one first target that are shorter than ``shortest_us`` join the run before them,
    shortest first: probes and hops are no switches, nor is a split by weights.
    """
    found = [np.empty(0, np.int64)]
    for intent in np.unique(log.intent):
        rows = np.flatnonzero((log.intent == intent) & (log.first_target >= 0))
        if len(rows) > 1:
            found.append(_changes(log.arrived_us[rows], log.first_target[rows], shortest_us))
    return np.unique(np.concatenate(found))


def _changes(at_us: Instants, target: NDArray[Any], shortest_us: int) -> Instants:
    """Return where runs of a target begin, the first one left out."""
    begins = np.flatnonzero(np.concatenate([[True], target[1:] != target[:-1]]))
    starts, of = at_us[begins].tolist(), target[begins].tolist()
    ends = [*starts[1:], int(at_us[-1])]
    if len(starts) > 400:  # a split by weights, not switches: look at what most requests of each period got
        return _majority_changes(at_us, target, shortest_us)
    while len(starts) > 1:
        lengths = [end - start for start, end in zip(starts, ends, strict=True)]
        i = min(range(len(lengths)), key=lengths.__getitem__)
        if lengths[i] >= shortest_us:
            break
        del of[i]
        if i:
            ends[i - 1] = ends[i]
        else:
            starts[1] = starts[0]
        del starts[i], ends[i]
        for j in range(len(of) - 1, 0, -1):
            if of[j] == of[j - 1]:
                ends[j - 1] = ends[j]
                del starts[j], ends[j], of[j]
    return np.array(starts[1:], np.int64)


def _majority_changes(at_us: Instants, target: NDArray[Any], shortest_us: int) -> Instants:
    """Return the beginnings of the periods in which most requests got another target than in the period before."""
    period = (at_us - at_us[0]) // shortest_us
    counts = np.zeros((int(period[-1]) + 1, int(target.max()) + 1), np.int64)
    np.add.at(counts, (period, target), 1)
    seen = np.flatnonzero(counts.any(axis=1))
    most = counts[seen].argmax(axis=1)
    share = counts[seen].max(axis=1) / counts[seen].sum(axis=1)
    sure = share > 0.7
    seen, most = seen[sure], most[sure]
    begins = seen[1:][most[1:] != most[:-1]]
    where = np.searchsorted(period, begins)
    return np.asarray(at_us[where])


def bin_edges(
    first_us: int, last_us: int, *, incident: Sequence[tuple[int, int]], switches: Instants, most: int = MOST
) -> Instants:
    """Return the edges of at most ``most`` bins over ``[first_us, last_us]``: incident spans and switches, then finer ones.

    Where there are more switches than bins, those next to the shortest bins go first. What is left is dealt out to the
    longest pieces, those inside the incident counting four times.
    """
    shortest = SHORTEST_BIN_US * shortest_us(incident) / SHORTEST_SWITCH_US
    spans = [(max(begin, first_us), min(end, last_us + 1)) for begin, end in incident]
    fixed = {edge for begin, end in spans if begin < end for edge in (begin, end)}
    outer = {first_us, last_us + 1}
    inner = {int(at) for at in switches if first_us < at <= last_us}
    edges = np.array(sorted(outer | fixed | inner), np.int64)
    must = np.array([edge in outer or edge in fixed for edge in edges.tolist()])
    while len(edges) > 2:
        lengths = np.diff(edges)
        gap = np.minimum(lengths[:-1], lengths[1:]).astype(np.float64)
        gap[must[1:-1]] = np.inf
        if len(edges) - 1 <= max(most * 3 // 4, 1) and gap.min() >= shortest:
            break
        if np.isinf(gap.min()):
            break
        drop = int(gap.argmin()) + 1
        edges, must = np.delete(edges, drop), np.delete(must, drop)
    pieces = np.ones(len(edges) - 1, np.int64)
    lengths = np.diff(edges).astype(np.float64)
    middle = edges[:-1] + lengths / 2
    inside = np.zeros(len(lengths), np.bool_)
    for begin, end in spans:
        inside |= (middle >= begin) & (middle < end)
    for _ in range(max(most - len(pieces), 0)):
        gain = lengths * np.where(inside, _FINER, 1) / pieces
        gain[lengths / (pieces + 1) < shortest] = 0
        if gain.max() <= 0:
            break
        pieces[gain.argmax()] += 1
    parts = [np.linspace(edges[i], edges[i + 1], pieces[i] + 1)[:-1].round() for i in range(len(pieces))]
    return np.concatenate([*parts, [edges[-1]]]).astype(np.int64)
