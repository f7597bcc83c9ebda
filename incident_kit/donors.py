"""Donors: the observed calls that stand in, or are borrowed, for each cell of the matrix of outcomes, found at speed."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.kernel import CALL, NO_OUTCOME, NOT_A_CALL


@nb.njit(cache=True, nogil=True)
def stand(calls: Any, entry_of: Any, place: Any, records: Any, donor: Any) -> None:
    """Put every logged call into its own cell.

    ``calls`` is (request, target, number, latency_ms, error, is_call); ``entry_of`` gives a target's entry in the chain
    and ``place`` a request's column, both -1 where there is none.
    """
    request, target, number, latency_ms, error, is_call = calls
    for i in range(len(request)):
        column, entry = place[request[i]], entry_of[target[i]]
        if column >= 0 and entry >= 0 and number[i] < records.shape[1]:
            cell = records[entry, number[i], column]
            cell.latency_ms, cell.error, cell.estimated = latency_ms[i], error[i], 0
            cell.kind = CALL if is_call[i] else NOT_A_CALL
            donor[entry, number[i], column] = i


@nb.njit(cache=True, nogil=True)
def borrow(
    calls: Any, sent_us: Any, pool: Any, starts: Any, requests: Any, arrived_us: Any, intent: Any, records: Any, donor: Any
) -> None:
    """Fill the empty cells of one entry with the nearest calls in time, the j-th attempt with the j-th nearest.

    ``pool`` holds the calls of the target sorted by (intent, send time); those of intent ``x`` are
    ``pool[starts[x + 1]:starts[x + 2]]``. ``requests`` are in order of arrival. ``records`` and ``donor`` are
    ``[attempt number, column]``.
    """
    request, _, _, latency_ms, error, _ = calls
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


@nb.njit(cache=True, nogil=True)
def starts_of(intents: Any, count: int) -> Any:
    """Return where each intent's run begins in an array sorted by intent; NULL (-1) comes first, the end is last."""
    starts = np.zeros(count + 2, np.int64)
    for intent in intents:
        starts[intent + 2] += 1
    return np.cumsum(starts)
