"""Fates: what a log says of attempts that it does not hold: retries that failed unseen, and errors that are the request's own.

Gateways log fewer attempts than they make: a failure, then what rescued the request. That they went on says that what they
tried in between failed as well; left out, retries would only ever be seen to succeed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME
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
    if log.is_complete.all():
        return Hidden(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))
    order = np.lexsort((calls.sent_us, request))
    failed, then = order[:-1], order[1:]
    done_us = calls.sent_us[failed] + calls.latency_ms[failed].astype(np.int64) * 1000
    gap_ms = (calls.sent_us[then] - done_us) // 1000
    is_hidden = (request[failed] == request[then]) & (calls.target[failed] != calls.target[then])
    is_hidden &= calls.is_call[failed] & (calls.error[failed] > 0) & ~log.is_complete[request[failed]]
    is_hidden &= (gap_ms >= LEAST_MS) & (calls.sent_us[failed] >= 0)
    kept = np.flatnonzero(is_hidden)
    return Hidden(failed[kept].astype(np.int64), done_us[kept], gap_ms[kept].astype(np.int32))


@dataclass(frozen=True)
class Fates:
    """What is sure of attempts that a log does not hold, in the order in which it is entered; a target of -1 is every one."""

    request: NDArray[np.int64]
    target: NDArray[np.int64]
    call: NDArray[np.int64]
    latency_ms: NDArray[np.int64]
    error: NDArray[np.int64]

    @classmethod
    def of(cls, log: Log) -> Fates:
        """Return the fates of a log's requests.

        Hidden attempts failed. A request that one target refused for what it asks is refused by every other one. And one that
        failed in the end though attempts may be missing from the log failed on its intent's fallbacks too, which were tried.
        """
        calls, unseen = log.calls, hidden(log)
        refused = [code for code, name in enumerate(log.errors) if name in OF_REQUESTS]
        own = np.flatnonzero(np.isin(calls.error, refused) & calls.is_call)
        rows = [
            (
                calls.request[unseen.call],
                calls.target[unseen.call],
                unseen.call,
                unseen.latency_ms,
                calls.error[unseen.call],
            ),
            (calls.request[own], np.full(len(own), -1), own, calls.latency_ms[own], calls.error[own]),
            tuple(np.array(list(_lost(log)), np.int64).reshape(-1, 5).T),
        ]
        return cls(
            *(np.concatenate([np.asarray(one, np.int64) for one in column]) for column in zip(*rows, strict=True))
        )


def settle_fates(
    log: Log,
    requests: NDArray[Any],
    targets: Sequence[str],
    codes: Mapping[str, int],
    records: NDArray[Any],
    donor: NDArray[np.int32],
) -> None:
    """Enter into empty cells of ``[entry, attempt number, request]`` what is sure of them; ``requests`` are in order."""
    fates = log.fates
    if not len(fates.request) or not len(requests):
        return
    entries = {codes[target]: entry for entry, target in enumerate(targets) if target in codes}
    column = np.minimum(np.searchsorted(requests, fates.request), len(requests) - 1)
    for i in np.flatnonzero(requests[column] == fates.request).tolist():
        at, target = int(column[i]), int(fates.target[i])
        for entry in entries.values() if target < 0 else [entries[target]] if target in entries else []:
            what = int(fates.call[i]), int(fates.latency_ms[i]), int(fates.error[i])
            _enter(records[entry, :, at], donor[entry, :, at], *what)


def _lost(log: Log) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield the attempts of requests that failed in the end, with attempts missing, on the targets that were tried."""
    lost = np.flatnonzero((log.error > 0) & ~log.is_complete)
    if not len(lost):
        return
    calls = log.calls
    rescued = (log.served >= 0) & (log.error == 0) & log.request_facts["is_fallback"].fill_null(value=False).to_numpy()
    fallbacks = {int(one): np.unique(log.served[rescued & (log.intent == one)]) for one in np.unique(log.intent[lost])}
    for row in lost.tolist():
        mine = slice(calls.starts[row], calls.starts[row + 1])
        tried = {int(one) for one in calls.target[mine]} | {int(one) for one in fallbacks[int(log.intent[row])]}
        call = int(calls.starts[row]) if calls.starts[row] < calls.starts[row + 1] else -1
        for target in sorted(tried):
            yield row, target, call, max(int(log.wait_ms[row]), 1), int(log.error[row])


def _enter(records: NDArray[Any], donor: NDArray[np.int32], call: int, latency_ms: int, error: int) -> None:
    """Enter a failure into the empty ones of a request's attempts on one target."""
    empty = records["kind"] == NO_OUTCOME
    records["latency_ms"][empty], records["error"][empty], records["kind"][empty] = latency_ms, error, CALL
    donor[empty] = call
