"""Evidence: what would have happened to a request on a target it did not go to, and on what grounds.

An estimator fills a matrix of potential outcomes, one record for every (entry of the chain, attempt number, request).
What the log observed stands in its own cell; the rest is for the estimator, which marks it. :func:`nearest` is the
plain one: a real call of the same target and intent, the nearest in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from incident_kit.log import UNKNOWN, Log

LABELS = ("observed", "nearest", "none")  # of an outcome: as logged, borrowed, or the log cannot tell


@dataclass(frozen=True)
class Outcomes:
    """Potential outcomes ``[entry, attempt number, request]``: kernel.OUTCOME records, and whose they are.

    ``donor`` is the position in ``log.calls`` of the call that an outcome was taken from, -1 where there is none.
    """

    records: NDArray[Any]
    donor: NDArray[np.int32]


class Estimator(Protocol):
    """Anything that fills a matrix of potential outcomes for some requests of a log."""

    def __call__(self, log: Log, requests: NDArray[Any], targets: Sequence[str], *, attempts: int) -> Outcomes:
        """Return the outcomes of ``requests`` (positions in the log, in order) on each of ``targets``."""
        ...


def nearest(log: Log, requests: NDArray[Any], targets: Sequence[str], *, attempts: int) -> Outcomes:
    """Return the nearest observed outcome of each target and intent in time; without any, no outcome.

    A logged call stands in its own cell. Elsewhere the j-th attempt borrows the j-th nearest call of the same target and
    intent by other requests (the earlier one where two are equally near). Cache hits are never borrowed.
    """
    from incident_kit import donors, kernel

    codes = {target: code for code, target in enumerate(log.targets)}
    shape = (len(targets), attempts, len(requests))
    records = np.zeros(shape, kernel.OUTCOME)
    records["estimated"] = 1
    donor = np.full(shape, UNKNOWN, np.int32)
    entry_of = np.full(max(len(log.targets), 1), UNKNOWN, np.int64)
    for entry, target in enumerate(targets):
        if target in codes:
            entry_of[codes[target]] = entry
    of = log.calls
    calls = (of.request, of.target, of.number, of.sent_us, of.latency_ms, of.error, of.is_call, of.starts)
    donors.stand(calls, entry_of, requests, records, donor)
    is_wanted = np.zeros(len(log.intents) + 1, np.bool_)
    is_wanted[log.intent[requests] + 1] = True
    for entry, target in enumerate(targets):
        if target in codes and (records["kind"][entry] == kernel.NO_OUTCOME).any():
            pool, starts, in_order = donors.lend(calls, codes[target], *log.by_intent, is_wanted)
            if not in_order:
                pool = pool[np.lexsort((of.sent_us[pool], log.intent[of.request[pool]]))]
            donors.borrow(calls, pool, starts, requests, log.arrived_us, log.intent, records[entry], donor[entry])
    return Outcomes(records, donor)
