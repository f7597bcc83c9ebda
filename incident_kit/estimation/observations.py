"""Observations: what every logged call of a target says about it, as arrays in [0, 1], the input of the evidence model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.errors import NoSuchItem, did_you_mean
from incident_kit.estimation.fates import hidden
from incident_kit.log import UNKNOWN, Log
from incident_kit.stats.delays import due_shares
from incident_kit.stats.survival import Curve, curves

OUTCOMES = ("error", "tool_failure", "override", "latency")
SLOW_MS = (250, 500, 1000, 2000, 4000, 8000, 16000, 32000)
SLOW = tuple(f"slow_{ms}" for ms in SLOW_MS)
DEFAULT_CAP_MS = 60_000  # T where nothing timed out
_CUT = ("timeout", "cut")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Observations:
    """One element per logged call that tells something of its target; cache hits are none.

    And one per call that must have been made, and have failed, though it is not in the log (:func:`fates.hidden`): before the
    others, with the ``call`` that it followed.

    Parameters
    ----------
    call, request
        Positions in ``log.calls`` and in the log.
    target, intent, ticket
        Codes; -1: no intent, no ticket.
    sent_us, latency_ms, is_censored
        When it was sent (microseconds since the epoch), how long it took, and whether a timeout cut it: at least so long.
    without_tools
        The request offered tools and the gateway took them away.
    values
        By outcome: a number in [0, 1] a call, NaN where it is not known; what is only 0 or 1 may be of a shorter type.
    weights
        By outcome, where it is not one a call: the share of the feedback on an answer that is in by the log's end.
    cap_ms
        T of the latency: ``values["latency"]`` is min(L, T) / T.
    targets, intents
        How many codes there are.
    deployment
        Codes of the deployments behind targets that have several, -1 where there is one, or none is known; None: nowhere.
    """

    call: NDArray[np.int32]
    request: NDArray[np.int32]
    target: NDArray[np.int16]
    intent: NDArray[np.int16]
    ticket: NDArray[np.int32]
    sent_us: NDArray[np.int64]
    latency_ms: NDArray[np.int32]
    is_censored: NDArray[np.bool_]
    without_tools: NDArray[np.bool_]
    values: dict[str, NDArray[Any]]
    weights: dict[str, Floats]
    cap_ms: float
    targets: int
    intents: int
    deployment: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self.call)

    def value(self, outcome: str) -> Floats:
        """Return an outcome of every call, in [0, 1], NaN where it is not known.

        ``slow_MS`` of a call that a timeout cut earlier is the Kaplan-Meier share of its target's longer calls.

        Raises
        ------
        NoSuchItem
            There is no such outcome.
        """
        if outcome in self.values:
            return self.values[outcome].astype(np.float64, copy=False)
        if outcome not in SLOW:
            known = (*self.values, *SLOW)
            raise NoSuchItem(
                f"there is no outcome {outcome!r}{did_you_mean(outcome, known)}; there are {', '.join(known)}"
            )
        limit = float(outcome.removeprefix("slow_"))
        values = (self.latency_ms > limit).astype(np.float64)
        hidden = self.is_censored & (self.latency_ms <= limit)
        for target in np.unique(self.target[hidden]):
            of = self.target == target
            curve = Curve.of(self.latency_ms[of], self.is_censored[of])
            rows = hidden & of
            values[rows] = curve.share_above(limit) / np.maximum(curve.share_above(self.latency_ms[rows]), 1e-12)
        return values


def observe(log: Log, *, cap_ms: float | None = None) -> Observations:
    """Return the observations of a log; ``cap_ms`` is T of the latency, by default the timeout seen in it, else 60 s."""
    calls, facts = log.calls, log.call_facts
    unseen = hidden(log)
    logged = np.flatnonzero(calls.is_call & (calls.error >= 0) & (calls.latency_ms >= 0) & (calls.target >= 0))
    kept = np.concatenate([unseen.call, logged]).astype(np.int32)
    is_all = len(logged) == len(kept) == len(calls.request)  # then columns stand as they are, without a copy
    at = slice(None) if is_all else kept
    request, error, target = calls.request[at], calls.error[at], calls.target[at]
    sent_us = calls.sent_us if is_all else np.concatenate([unseen.sent_us, calls.sent_us[logged]])
    latency = calls.latency_ms if is_all else np.concatenate([unseen.latency_ms, calls.latency_ms[logged]])
    cut = [code for code, name in enumerate(log.errors) if name in _CUT]
    is_censored = np.isin(error, cut)
    cap = float(cap_ms if cap_ms is not None else _cap_ms(latency, is_censored))
    is_each = is_all and len(request) == len(log) and bool((request[:-1] < request[1:]).all())
    facts = facts.select("tools_offered", "tool_calls", "tool_errors", "overridden", "reviewed_us")
    facts = facts if is_all else facts[pl.Series(kept).cast(pl.UInt32)]
    of = slice(None) if is_each else request
    given = facts["tools_offered"].fill_null(UNKNOWN).to_numpy()
    values = {
        "error": error > 0,
        "tool_failure": _tool_failure(facts["tool_calls"], facts["tool_errors"], error),
        "latency": _latency(latency, is_censored, target, cap),
    }
    done_us = sent_us + latency.astype(np.int64) * 1000
    said, due = _override(facts["overridden"], facts["reviewed_us"], error, done_us)
    values["override"] = said.astype(np.float32)
    return Observations(
        call=kept,
        request=request,
        target=target,
        intent=log.intent[of],
        ticket=log.ticket[of],
        sent_us=sent_us,
        latency_ms=latency,
        is_censored=is_censored,
        without_tools=(log.tools_offered[of] > 0) & (given == 0),
        values=values,
        weights={} if due is None else {"override": due},
        cap_ms=cap,
        targets=len(log.targets),
        intents=len(log.intents),
        deployment=_deployments(log, kept),
    )


def _deployments(log: Log, kept: NDArray[Any]) -> NDArray[np.int32] | None:
    """Return to which deployment calls went, where targets have several."""
    rows = log.store.query("replay_deployments")
    if not rows.height:
        return None
    names = rows["deployment"].unique().sort()
    ids = pl.DataFrame({"request_id": log.request_id}).with_row_index("request")
    targets = pl.DataFrame({"target": log.targets}).with_row_index("code")
    coded = (
        rows.join(ids, on="request_id")
        .join(targets, on="target")
        .select(
            pl.col("request").cast(pl.Int32),
            pl.col("code").cast(pl.Int16).alias("target"),
            pl.col("number").cast(pl.Int16),
            pl.col("deployment").replace_strict(names, range(len(names)), return_dtype=pl.Int32),
        )
    )
    calls = log.calls
    keys = pl.DataFrame({"request": calls.request[kept], "target": calls.target[kept], "number": calls.number[kept]})
    found = keys.join(coded, on=["request", "target", "number"], how="left", maintain_order="left")
    return found["deployment"].fill_null(UNKNOWN).to_numpy()


def _cap_ms(latency: NDArray[Any], is_censored: NDArray[np.bool_]) -> float:
    if not is_censored.any():
        return DEFAULT_CAP_MS
    answered = latency[~is_censored]
    usual = float(np.quantile(answered, 0.999)) if len(answered) else 0.0
    return max(float(latency[is_censored].max()), usual, 1.0)


def _latency(latency: NDArray[Any], is_censored: NDArray[np.bool_], target: NDArray[Any], cap_ms: float) -> Floats:
    """Return min(L, T) / T; of a call cut before T, what calls of its target that lasted as long took at most on average."""
    values = np.minimum(latency, cap_ms).astype(np.float64)
    early = is_censored & (latency < cap_ms)
    if early.any():
        by_target = curves(latency, is_censored, target)
        for code, cut_ms in {(int(a), float(ms)) for a, ms in zip(target[early], latency[early], strict=True)}:
            rows = early & (target == code) & (latency == cut_ms)
            values[rows] = by_target[code].mean_up_to(cap_ms, beyond_ms=cut_ms)
    return np.asarray(values / cap_ms)


def _tool_failure(calls: pl.Series, errors: pl.Series, error: NDArray[Any]) -> Floats:
    """Return the share of an answer's tool calls that failed; NaN without any, or where their results are not known."""
    made = calls.cast(pl.Float64).fill_null(0).to_numpy()
    failed = errors.cast(pl.Float64).fill_null(np.nan).to_numpy()
    values = np.full(len(made), np.nan)
    known = (made > 0) & np.isfinite(failed) & (error == 0)
    values[known] = np.clip(failed[known] / made[known], 0, 1)
    return values


def _override(
    overridden: pl.Series, reviewed_us: pl.Series, error: NDArray[Any], done_us: NDArray[np.int64]
) -> tuple[Floats, Floats | None]:
    """Return whether an agent overrode each reviewed answer; where only overrides are logged, of every answer, and what is in."""
    said = overridden.cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
    said[error != 0] = np.nan
    if not (said == 1).any() or (said == 0).any():
        return said, None
    delay = (reviewed_us - pl.Series(done_us)).cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
    delay[said != 1] = np.nan
    answered = error == 0
    last = max(done_us.max(), reviewed_us.max() or 0)
    shares = np.ones(len(said))
    shares[answered] = due_shares(last - done_us[answered], np.maximum(delay[answered], 0))
    return np.where(answered, np.nan_to_num(said, nan=0.0), np.nan), shares
