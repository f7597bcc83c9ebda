"""Settlement: what the kernel decided on one route, entered into the arrays of the whole log, compiled.

A request that the policy serves as the log did keeps what was logged: the arrays hold it already. For any other, what came
of it is the outcome of the call that the policy would have made.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from incident_kit.engine.kernel import LAPSED
from incident_kit.estimation.cells import NONE

_NONE = NONE


@nb.njit(cache=True, nogil=True)
def settle(
    requests: Any,
    own: Any,
    behind: Any,
    label: Any,
    no_model: Any,
    chain: Any,
    degraded_start: bool,
    primaries: int,
    without_tools: bool,
    logged: Any,
    kept: Any,
    results: Any,
) -> None:
    """Enter one route's DECISION records.

    Parameters
    ----------
    requests, own, behind, label, no_model
        The positions of the route's requests, their records, the call behind each outcome, its evidence label, and the kind
        of an end without a model (0: with one).
    chain
        The code of each entry's target.
    degraded_start, primaries, without_tools
        Whether the route begins on its backup, how many entries count as primary, and whether the others take tools away.
    logged
        first_target, served, error, tools_offered, without_tools, is_complete of the log, and the starts of its calls.
    kept
        The fields of the records that outlive them, in the order of books.KEPT.
    results
        first_target, same_as_log, tools_disabled, call, target, wait_ms, error, evidence.
    """
    first_logged, served, error_logged, tools_offered, took_tools, is_complete, starts = logged
    k, n, first, entry, attempts, state, exact, probe, estimated = kept
    first_target, same_as_log, tools_disabled, call, target, wait_ms, error, evidence = results
    for column in range(len(requests)):
        r, d = requests[column], own[column]
        k[r], n[r], first[r], entry[r], attempts[r] = d.k, d.n, d.first, d.entry, d.attempts
        state[r], exact[r], probe[r], estimated[r] = d.state, d.exact, d.probe, d.estimated
        first_target[r] = chain[d.first]
        call[r] = behind[column]
        degraded = degraded_start or d.entry >= primaries
        tools_disabled[r] = degraded and without_tools and tools_offered[r] != 0  # it offers some, or may
        # as logged (EVIDENCE.md sections 1 and 4): same first target, same server, and the attempts that the log knows, all
        # and no others, none cut shorter; where attempts may be missing from the log, equal ends are enough
        answered_alike = d.error > 0 if error_logged[r] > 0 else d.error == 0 and chain[d.entry] == served[r]
        # a log without attempts of a request (one that ended without a model, say) counts it as one
        attempts_made = max(np.int64(d.attempts), 1)
        called_alike = (d.estimated == 0 and attempts_made == starts[r + 1] - starts[r]) or not is_complete[r]
        # wait_ms and error are the logged ones yet; a deadline of this length, within a gateway's own delay, is the same
        ended_alike = d.cut == 0 or (
            d.cut == LAPSED and d.error == error[r] and abs(wait_ms[r] * 1000 - d.wait_us) * 20 <= d.wait_us
        )
        if (
            chain[d.first] == first_logged[r]
            and answered_alike
            and called_alike
            and ended_alike
            and tools_disabled[r] == took_tools[r]
        ):
            continue
        same_as_log[r] = False
        target[r] = chain[d.entry]
        wait_ms[r] = d.wait_us // 1000 if d.wait_us >= 0 else -1
        error[r] = d.error
        # what ends without a model, or without any attempt, does so for sure
        is_known = d.estimated == 0 and (no_model[column] > 0 or d.attempts == 0)
        evidence[r] = 0 if is_known else max(label[column], 1) if d.error >= 0 else _NONE


@nb.njit(cache=True, nogil=True)
def behind(own: Any, donor: Any, changed: Any) -> Any:
    """Return the call behind each outcome, and its changes: of ``[entry, attempt, request]``, what the last attempt met."""
    found, flags = np.empty(len(own), np.int32), np.zeros(len(own), np.int8)
    for column in range(len(own)):
        d = own[column]
        found[column] = donor[d.entry, d.number, column]
        if changed.size:
            flags[column] = changed[d.entry, d.number, column]
    return found, flags


@nb.njit(cache=True, nogil=True)
def weakest(own: Any, label: Any) -> Any:
    """Return the evidence label of each outcome, of those ``[entry, request]``: the weaker of its first and last entry."""
    found = np.empty(len(own), np.int8)
    for column in range(len(own)):
        d = own[column]
        found[column] = max(label[max(d.first, 0), column], label[max(d.entry, 0), column])
    return found
