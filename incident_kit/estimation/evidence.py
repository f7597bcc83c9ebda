"""Evidence: what would have happened to a request on a target it did not go to, and on what grounds.

An estimator fills a matrix of potential outcomes, one record for every (entry of the chain, attempt number, request).
What the log observed stands in its own cell; the rest is for the estimator, which marks it. :func:`nearest` is the
plain one: a real call of the same target and intent, the nearest in time. :mod:`estimation.model` is the one that knows
how sure it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from incident_kit.estimation.cells import LABELS, NONE, SAME_CELL, SAME_INTENT, SAME_TIME
from incident_kit.estimation.outcomerecords import NO_OUTCOME, OUTCOME
from incident_kit.log import UNKNOWN, Log

OBSERVED = 0  # positions in LABELS (EVIDENCE.md section 2)

__all__ = ["LABELS", "NONE", "OBSERVED", "SAME_CELL", "SAME_INTENT", "SAME_TIME", "Estimator", "Outcomes", "nearest"]


@dataclass(frozen=True)
class Outcomes:
    """Potential outcomes ``[entry, attempt number, request]``: OUTCOME records, and whose they are.

    ``donor`` is the position in ``log.calls`` of the call that an outcome was taken from, -1 where there is none.
    ``label``, ``[entry, request]``, is the evidence label of an estimated outcome (without it: same_intent), ``changed`` what
    is no longer as the donor had it: flags of :mod:`incident_kit.estimation.borrowing` (without it: nothing).
    """

    records: NDArray[Any]
    donor: NDArray[np.int32]
    label: NDArray[np.int8] | None = None
    changed: NDArray[np.int8] | None = None


class Estimator(Protocol):
    """Anything that fills a matrix of potential outcomes for some requests of a log.

    One that also knows how sure it is has ``at(draw, draws=, seed=)``, which gives an estimator for each draw, and ``cells``.
    """

    def __call__(
        self,
        log: Log,
        requests: NDArray[Any],
        targets: Sequence[str],
        *,
        attempts: int,
        without_tools: Sequence[bool] = (),
        timeout_ms: int | None = None,
    ) -> Outcomes:
        """Return the outcomes of ``requests`` (positions in the log, in order) on each of ``targets``.

        ``without_tools`` says on which of them the policy takes tools away, ``timeout_ms`` when it cuts an attempt.
        """
        ...


def standing(
    log: Log, requests: NDArray[Any], targets: Sequence[str], *, attempts: int
) -> tuple[tuple[Any, ...], dict[str, int], NDArray[Any], NDArray[np.int32]]:
    """Return the log's calls as compiled code takes them, its targets' codes, and a matrix in which only logged calls stand."""
    from incident_kit.estimation import donors

    codes = {target: code for code, target in enumerate(log.targets)}
    shape = (len(targets), attempts, len(requests))
    records = np.zeros(shape, OUTCOME)
    records["estimated"] = 1
    donor = np.full(shape, UNKNOWN, np.int32)
    entry_of = np.full(max(len(log.targets), 1), UNKNOWN, np.int64)
    for entry, target in enumerate(targets):
        if target in codes:
            entry_of[codes[target]] = entry
    of = log.calls
    calls = (of.request, of.target, of.number, of.sent_us, of.latency_ms, of.error, of.is_call, of.starts)
    donors.stand(calls, entry_of, requests, records, donor)
    return calls, codes, records, donor


def nearest(
    log: Log,
    requests: NDArray[Any],
    targets: Sequence[str],
    *,
    attempts: int,
    without_tools: Sequence[bool] = (),
    timeout_ms: int | None = None,
) -> Outcomes:
    """Return the nearest observed outcome of each target and intent in time; without any, no outcome.

    A logged call stands in its own cell. Elsewhere the j-th attempt borrows the j-th nearest call of the same target and
    intent by other requests (the earlier one where two are equally near). Cache hits are never borrowed. Tools and timeouts
    make no difference to it, and all that it borrows is labelled ``same_intent``.
    """
    del without_tools, timeout_ms
    from incident_kit.estimation import donors

    of = log.calls
    calls, codes, records, donor = standing(log, requests, targets, attempts=attempts)
    is_wanted = np.zeros(len(log.intents) + 1, np.bool_)
    is_wanted[log.intent[requests] + 1] = True
    for entry, target in enumerate(targets):
        if target in codes and (records["kind"][entry] == NO_OUTCOME).any():
            pool, starts, in_order = donors.lend(calls, codes[target], *log.by_intent, is_wanted)
            if not in_order:
                pool = pool[np.lexsort((of.sent_us[pool], log.intent[of.request[pool]]))]
            donors.borrow(calls, pool, starts, requests, log.arrived_us, log.intent, records[entry], donor[entry])
    return Outcomes(records, donor)
