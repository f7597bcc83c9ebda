"""Donors: the observed calls that stand in, or are borrowed, for each cell of the matrix of outcomes, found at speed."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME, NOT_A_CALL

_jit = nb.njit(cache=True, nogil=True)


@_jit
def by_code(code: Any, codes: int) -> tuple[Any, Any]:
    """Return positions sorted by (code, position), and where the run of each code begins, NULL's (-1) first, and the end."""
    runs = np.zeros(codes + 2, np.int64)
    for x in code:
        runs[x + 2] += 1
    for x in range(codes + 1):
        runs[x + 1] += runs[x]
    rows, filled = np.empty(len(code), np.int32), runs.copy()
    for i in range(len(code)):
        rows[filled[code[i] + 1]] = i
        filled[code[i] + 1] += 1
    return rows, runs


@_jit
def stand(calls: Any, entry_of: Any, requests: Any, records: Any, donor: Any) -> None:
    """Put every logged call of ``requests`` into its own cell.

    ``calls`` is :class:`log.Calls` as a tuple; ``entry_of`` gives a target's entry in the chain, -1 where there is none.
    """
    _, target, number, _, latency_ms, error, is_call, starts = calls
    for column in range(len(requests)):
        for i in range(starts[requests[column]], starts[requests[column] + 1]):
            entry = entry_of[target[i]]
            if entry >= 0 and number[i] < records.shape[1]:
                cell = records[entry, number[i], column]
                cell.latency_ms, cell.error, cell.estimated = latency_ms[i], error[i], 0
                cell.kind = CALL if is_call[i] else NOT_A_CALL
                donor[entry, number[i], column] = i


@_jit
def lend(calls: Any, code: int, rows: Any, runs: Any, is_wanted: Any) -> tuple[Any, Any, bool]:
    """Return the calls of one target that may be borrowed, by (intent, request), and where each intent's begin.

    ``rows`` and ``runs`` are :attr:`log.Log.by_intent`; ``is_wanted`` says of which intents, NULL first. Third: whether they
    are in order of their sending too.
    """
    _, target, _, sent_us, _, _, is_call, begins = calls
    room = 0
    for x in range(len(is_wanted)):
        if is_wanted[x]:
            for j in range(runs[x], runs[x + 1]):
                room += begins[rows[j] + 1] - begins[rows[j]]
    pool, starts = np.empty(room, np.int32), np.zeros(len(runs), np.int64)
    filled, in_order = 0, True
    for x in range(len(is_wanted)):
        starts[x] = filled
        if is_wanted[x]:
            for j in range(runs[x], runs[x + 1]):
                for i in range(begins[rows[j]], begins[rows[j] + 1]):
                    if target[i] == code and is_call[i]:
                        in_order &= filled == starts[x] or sent_us[pool[filled - 1]] <= sent_us[i]
                        pool[filled] = i
                        filled += 1
    starts[len(is_wanted)] = filled
    return pool[:filled], starts, in_order


@_jit
def borrow(
    calls: Any, pool: Any, starts: Any, requests: Any, arrived_us: Any, intent: Any, records: Any, donor: Any
) -> None:
    """Fill the empty cells of one entry with the nearest calls in time, the j-th attempt with the j-th nearest.

    ``pool`` holds the calls of the target sorted by (intent, send time); those of intent ``x`` are
    ``pool[starts[x + 1]:starts[x + 2]]``. ``requests`` are in order of arrival. ``records`` and ``donor`` are
    ``[attempt number, column]``.
    """
    request, _, _, sent_us, latency_ms, error, _, _ = calls
    after = starts[:-1].copy()  # per intent, the first call sent at or after the arrival
    for column in range(len(requests)):
        own = requests[column]
        at = arrived_us[own]
        x = intent[own] + 1
        first, end = starts[x], starts[x + 1]
        while after[x] < end and sent_us[pool[after[x]]] < at:
            after[x] += 1
        left, right = after[x] - 1, after[x]
        for number in range(records.shape[0]):
            cell = records[number, column]
            if cell.kind != NO_OUTCOME:
                continue
            while left >= first and request[pool[left]] == own:
                left -= 1
            while right < end and request[pool[right]] == own:
                right += 1
            if left < first and right >= end:
                break
            if right >= end or (left >= first and at - sent_us[pool[left]] <= sent_us[pool[right]] - at):
                chosen = pool[left]
                left -= 1
            else:
                chosen = pool[right]
                right += 1
            cell.latency_ms, cell.error, cell.kind = latency_ms[chosen], error[chosen], CALL
            donor[number, column] = chosen
