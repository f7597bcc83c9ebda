"""Thresholds: one latency condition at many limits, each an exact closed-loop replay, without walking the log for each.

As long as a breaker is closed every request goes to the primary, whatever the limit. So what its window would hold at each
completion is the same for all limits, and is found once: the least latency limit that would *not* have tripped. A limit's
first trip is a search in that; after a breaker has closed again the window holds the log's own calls as soon as all that
were sent before have left it. In between, and while the primary is tested, the few calls concerned are counted one by one.

The judge is :mod:`incident_kit.engine.kernel`; both give the same changes for every limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from incident_kit.engine.kernel import BY_CONDITION, BY_COOLDOWN, BY_PROBES, CLOSED, HALF_OPEN, OPEN
from incident_kit.estimation.outcomerecords import CALL

if TYPE_CHECKING:
    from incident_kit.engine.plan import Plan

CHANGE = np.dtype([("at", "i8"), ("was", "i1"), ("now", "i1"), ("why", "i1"), ("first", "i4")], align=True)
_BLOCK = 256
_jit = nb.njit(cache=True, nogil=True)


@dataclass(frozen=True)
class Path:
    """What a route's primary would do to every request, in order of arrival and of completion.

    ``critical`` is, at each completion, the longest limit in milliseconds that the window's quantile or share still passes
    (a breaker counting latencies of at least that much trips there), 0 where the window holds too few calls; ``peaks`` the
    largest of each block of it.
    """

    arrived_us: NDArray[np.int64]
    done_us: NDArray[np.int64]
    done_request: NDArray[np.int32]
    latency_ms: NDArray[np.int64]
    draw: NDArray[np.float64]
    critical: NDArray[np.int64]
    peaks: NDArray[np.int64]
    longest_us: int
    window: tuple[int, int, int, int, int]  # microseconds, min_requests, num, den, strict
    recovery: tuple[int, int, int, float, int, int, int, int, int, int]


def can_skim(p: Plan, outcomes: NDArray[Any]) -> bool:
    """Return whether a route is one that can be replayed so: one condition on latency, one unguarded fallback or more.

    ``outcomes`` are the kernel's OUTCOME records ``[entry, attempt number, request]``.
    """
    b, first, c = p.breakers[0], outcomes[0, 0], p.trip[0, 0]
    return bool(
        len(p.breakers) > 1
        and b["guarded"] == 1
        and not p.breakers["guarded"][1:].any()
        and b["count_window"] == 0
        and b["for_us"] == 0
        and b["growth"] == b["shrink"]
        and p.attempts == 1
        and (p.rules["count"][0] == 1).all()
        and c["latency"] == 1
        and c["negated"] == 0
        and p.recover[0, 0]["latency"] == 1
        and ((first["kind"] == CALL) & (first["latency_ms"] > 0)).all()
    )


def path(
    p: Plan,
    arrived_us: NDArray[np.int64],
    done_us: NDArray[np.int64],
    done_request: NDArray[np.int32],
    outcomes: NDArray[Any],
    draw: NDArray[np.float64],
) -> Path:
    """Return the path of one route's requests; the arguments are those of :func:`kernel.run`."""
    timeout_ms = int(p.retry["timeout_ms"][0])
    latency_ms = outcomes[0, 0]["latency_ms"].astype(np.int64)
    if timeout_ms:
        latency_ms = np.minimum(latency_ms, timeout_ms)
    b, c, again = p.breakers[0], p.trip[0, 0], p.recover[0, 0]
    window = (int(b["window"]), int(b["min_requests"]), int(c["num"]), int(c["den"]), int(c["strict"]))
    ranks, rank = np.unique(latency_ms, return_inverse=True)
    critical = _critical(done_us, rank[done_request].astype(np.int64), ranks, *window)
    padded = np.zeros(-(-len(critical) // _BLOCK) * _BLOCK, np.int64)
    padded[: len(critical)] = critical
    recovery = (
        int(b["cooldown_us"]), int(b["probes"]), -1 if timeout_ms else int(b["max_wait_us"]), float(b["share"]),
        int(p.rules["own"][0, 1]), int(again["limit_ms"]), int(again["num"]), int(again["den"]), int(again["strict"]),
        int(again["negated"]),
    )  # fmt: skip
    return Path(
        arrived_us, done_us, done_request, latency_ms, draw, critical, padded.reshape(-1, _BLOCK).max(axis=1),
        int(latency_ms.max(initial=0)) * 1000, window, recovery,
    )  # fmt: skip


def changes(one: Path, limits_ms: Iterable[int]) -> list[NDArray[Any]]:
    """Return, for each limit, the changes of the breaker's state as CHANGE records.

    A limit counts latencies over it. ``first`` is the position of the first request that arrives after the change.
    """
    return [
        _skim(
            one.arrived_us, one.done_us, one.done_request, one.latency_ms, one.draw, one.critical, one.peaks, one.longest_us,
            one.window, one.recovery, limit_ms + 1,
        )
        for limit_ms in limits_ms
    ]  # fmt: skip


@_jit
def _critical(
    done_us: Any, rank: Any, ranks: Any, window_us: int, min_requests: int, num: int, den: int, strict: int
) -> Any:
    """Return the m-th largest latency of each window, where m is the least count that trips (a Fenwick tree over ranks)."""
    size = len(ranks)
    tree = np.zeros(size + 1, np.int64)
    top = 1
    while 2 * top <= size:
        top *= 2
    found = np.zeros(len(done_us), np.int64)
    head = 0
    for j in range(len(done_us)):
        i = rank[j] + 1
        while i <= size:
            tree[i] += 1
            i += i & -i
        while done_us[head] <= done_us[j] - window_us:
            i = rank[head] + 1
            while i <= size:
                tree[i] -= 1
                i += i & -i
            head += 1
        n = j - head + 1
        m = num * n // den + 1 if strict == 1 else max((num * n + den - 1) // den, 1)
        if n < min_requests or m > n:
            continue
        before, left = 0, n - m  # the m-th largest is the (n - m + 1)-th smallest
        step = top
        while step > 0:
            if before + step <= size and tree[before + step] <= left:
                before += step
                left -= tree[before]
            step //= 2
        found[j] = ranks[before]
    return found


@_jit
def _next(critical: Any, peaks: Any, start: int, limit: int) -> int:
    """Return the first position from ``start`` on at which a limit would trip."""
    j, n = start, len(critical)
    while j < n:
        if j % _BLOCK == 0 and peaks[j // _BLOCK] < limit:
            j += _BLOCK
        elif critical[j] >= limit:
            return j
        else:
            j += 1
    return n


@_jit
def _holds(k: int, n: int, num: int, den: int, strict: int) -> bool:
    return k * den > num * n or (strict == 0 and k * den == num * n)


@_jit
def _trip(
    arrived_us: Any, done_us: Any, done_request: Any, latency_ms: Any, critical: Any, peaks: Any, longest_us: int,
    window: Any, closed_us: int, limit: int,
) -> int:  # fmt: skip
    """Return the completion that trips a breaker which closed at ``closed_us``, or their number."""
    window_us, min_requests, num, den, strict = window
    j = np.searchsorted(done_us, closed_us, side="right")
    clean = closed_us + window_us + longest_us
    head, k, n = j, 0, 0
    while j < len(done_us) and done_us[j] < clean:
        if arrived_us[done_request[j]] >= closed_us:
            n += 1
            k += latency_ms[done_request[j]] >= limit
        while done_us[head] <= done_us[j] - window_us:
            if arrived_us[done_request[head]] >= closed_us:
                n -= 1
                k -= latency_ms[done_request[head]] >= limit
            head += 1
        if arrived_us[done_request[j]] >= closed_us and n >= min_requests and _holds(k, n, num, den, strict):
            return j
        j += 1
    return _next(critical, peaks, j, limit)


@_jit
def _skim(
    arrived_us: Any, done_us: Any, done_request: Any, latency_ms: Any, draw: Any, critical: Any, peaks: Any,
    longest_us: int, window: Any, recovery: Any, limit: int,
) -> Any:  # fmt: skip
    cooldown_us, probes, max_wait_us, share, own, again_limit, again_num, again_den, again_strict, negated = recovery
    _, _, num, den, strict = window
    rows = [(np.int64(0), CLOSED, CLOSED, BY_CONDITION)]
    rows.clear()
    j = _next(critical, peaks, 0, limit)
    while j < len(done_us):
        at = done_us[j]
        rows.append((at, CLOSED, OPEN, BY_CONDITION))
        is_open = True
        while is_open:
            at += cooldown_us
            if probes == 0:
                rows.append((at, OPEN, CLOSED, BY_COOLDOWN))
                break
            i = np.searchsorted(arrived_us, at)
            if i == len(arrived_us):
                return _table(rows, arrived_us)
            rows.append((arrived_us[i], OPEN, HALF_OPEN, BY_COOLDOWN))
            granted, k, all_in_us = 0, 0, np.int64(0)
            counted = limit if own == 0 else again_limit
            while i < len(arrived_us) and granted < probes:
                if share >= 1 or draw[i] < share:
                    granted += 1
                    in_us, slow = arrived_us[i] + latency_ms[i] * 1000, latency_ms[i] >= counted
                    if 0 <= max_wait_us < latency_ms[i] * 1000:
                        in_us, slow = arrived_us[i] + max_wait_us, True
                    k += slow
                    all_in_us = max(all_in_us, in_us)
                i += 1
            if granted < probes:
                return _table(rows, arrived_us)
            if own == 0:
                passed = not _holds(k, granted, num, den, strict)
            else:
                passed = _holds(k, granted, again_num, again_den, again_strict) != (negated == 1)
            at = all_in_us
            rows.append((at, HALF_OPEN, CLOSED if passed else OPEN, BY_PROBES))
            is_open = not passed
        j = _trip(arrived_us, done_us, done_request, latency_ms, critical, peaks, longest_us, window, at, limit)
    return _table(rows, arrived_us)


@_jit
def _table(rows: Any, arrived_us: Any) -> Any:
    table = np.empty(len(rows), CHANGE)
    for r in range(len(rows)):
        at, was, now, why = rows[r]
        table[r].at, table[r].was, table[r].now, table[r].why = at, was, now, why
        table[r].first = np.searchsorted(arrived_us, at)
    return table
