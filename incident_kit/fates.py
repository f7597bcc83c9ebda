"""Fates: what a log says of attempts that it does not hold: retries that failed unseen, and errors that are the request's own.

Gateways log fewer attempts than they make: a failure, then what rescued the request. That they went on says that what they
tried in between failed as well; left out, retries would only ever be seen to succeed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.log import Log

OF_REQUESTS = ("content_policy",)  # classes of errors that a request meets on every target
LEAST_MS = 30  # between two logged calls, for an attempt to fit in


@dataclass(frozen=True)
class Hidden:
    """Attempts that a log does not hold: each followed the logged failure ``call`` on its target, and failed in so many ms."""

    call: NDArray[np.int64]
    sent_us: NDArray[np.int64]
    latency_ms: NDArray[np.int32]


def hidden(log: Log) -> Hidden:
    """Return the attempts that must have been made between a logged failure and a logged call of another target.

    Only of requests whose attempts may be missing from the log, where there was time for one: at least 30 ms.
    """
    calls = log.calls
    request = calls.request
    order = np.lexsort((calls.sent_us, request))
    failed, then = order[:-1], order[1:]
    done_us = calls.sent_us[failed] + calls.latency_ms[failed].astype(np.int64) * 1000
    gap_ms = (calls.sent_us[then] - done_us) // 1000
    is_hidden = (request[failed] == request[then]) & (calls.target[failed] != calls.target[then])
    is_hidden &= calls.is_call[failed] & (calls.error[failed] > 0) & ~log.is_complete[request[failed]]
    is_hidden &= (gap_ms >= LEAST_MS) & (calls.sent_us[failed] >= 0)
    kept = np.flatnonzero(is_hidden)
    return Hidden(failed[kept].astype(np.int64), done_us[kept], gap_ms[kept].astype(np.int32))


def settle_fates(
    log: Log,
    requests: NDArray[Any],
    targets: Sequence[str],
    codes: Mapping[str, int],
    records: NDArray[Any],
    donor: NDArray[np.int32],
) -> None:
    """Enter into empty cells of ``[entry, attempt number, request]`` what is sure of them.

    Hidden attempts failed. A request that one target refused for what it asks is refused by every other one. And one that
    failed in the end though attempts may be missing from the log failed on its intent's fallbacks too, which were tried.
    """
    calls = log.calls
    column = np.full(len(log), -1, np.int64)
    column[requests] = np.arange(len(requests))
    unseen = hidden(log)
    entries = {codes[target]: entry for entry, target in enumerate(targets) if target in codes}
    for call, took_ms in zip(unseen.call.tolist(), unseen.latency_ms.tolist(), strict=True):
        at, entry = column[calls.request[call]], entries.get(int(calls.target[call]))
        if at >= 0 and entry is not None:
            _enter(records[entry, :, at], donor[entry, :, at], call, took_ms, int(calls.error[call]))
    refused = [code for code, name in enumerate(log.errors) if name in OF_REQUESTS]
    own = np.isin(calls.error, refused) & calls.is_call & (column[calls.request] >= 0)
    for call in np.flatnonzero(own).tolist():
        at = column[calls.request[call]]
        for entry in entries.values():
            _enter(
                records[entry, :, at], donor[entry, :, at], call, int(calls.latency_ms[call]), int(calls.error[call])
            )
    _lose(log, column, entries, records, donor)


def _lose(
    log: Log, column: NDArray[np.int64], entries: Mapping[int, int], records: NDArray[Any], donor: NDArray[np.int32]
) -> None:
    """Enter the attempts of requests that failed in the end, with attempts missing, on the targets that were tried."""
    lost = np.flatnonzero((log.error > 0) & ~log.is_complete & (column >= 0))
    if not len(lost):
        return
    calls = log.calls
    rescued = (log.served >= 0) & (log.error == 0) & log.request_facts["is_fallback"].fill_null(value=False).to_numpy()
    for row in lost.tolist():
        mine = slice(calls.starts[row], calls.starts[row + 1])
        tried = {int(one) for one in calls.target[mine]}
        tried |= {int(one) for one in np.unique(log.served[rescued & (log.intent == log.intent[row])])}
        for target in tried & entries.keys():
            at, entry = column[row], entries[target]
            call = int(calls.starts[row]) if calls.starts[row] < calls.starts[row + 1] else -1
            _enter(records[entry, :, at], donor[entry, :, at], call, max(int(log.wait_ms[row]), 1), int(log.error[row]))


def _enter(records: NDArray[Any], donor: NDArray[np.int32], call: int, latency_ms: int, error: int) -> None:
    """Enter a failure into the empty ones of a request's attempts on one target."""
    from incident_kit import kernel

    empty = records["kind"] == kernel.NO_OUTCOME
    records["latency_ms"][empty], records["error"][empty], records["kind"][empty] = latency_ms, error, kernel.CALL
    donor[empty] = call
