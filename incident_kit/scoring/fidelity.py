"""Fidelity: where a replayed policy is answered by another target than the log was, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from incident_kit.engine.routing import microseconds
from incident_kit.policies.policyversions import Version, Versions
from incident_kit.scoring.decisions import words

if TYPE_CHECKING:
    from incident_kit.scoring.replays import Replay

REASONS = (
    "the gateway refused its first target (a cooldown that this policy does not have)",
    "the policy was on the backup, the gateway was not",
    "the policy was testing the primary, the gateway was not",
    "an attempt whose outcome the log does not show",
    "the policy goes on where the gateway stopped, or stops where it went on",
)
_VERSIONS: dict[str, Any] = {
    "version": pl.String, "since": pl.Datetime("us", "UTC"), "until": pl.Datetime("us", "UTC"), "requests": pl.Int64,
    "answered": pl.Int64, "fidelity": pl.Float64,
}  # fmt: skip
REFUSED, ON_BACKUP, TESTING, UNSEEN, OTHERWISE = range(len(REASONS))


def differences(replay: Replay) -> pl.DataFrame:
    """Return one row a request that another target answers than in the log, in order of arrival.

    Columns: request_id, at, route, target (where the policy sends it), served (who answers), logged_target,
    logged_served, difference (in words), evidence. Requests without an answer in the log are left out.
    """
    log = replay.log
    columns = ("request_id", "at", "route", "target", "served", "logged_target", "breaker_state", "evidence")
    frame = replay.decisions.select(columns).with_columns(
        words(log.served, replay.targets).alias("logged_served"),
        pl.Series("unseen", replay.records["estimated"] == 1),
        pl.Series("differs", (log.served >= 0) & (replay.outcome.target != log.served)),
    )
    refused = log.store.query("refused_requests").with_columns(refused=pl.lit(value=True))
    state = pl.col("breaker_state").cast(pl.String)
    reason = (
        pl.when(pl.col("refused").fill_null(value=False))
        .then(REFUSED)
        .when(state == "on backup")
        .then(ON_BACKUP)
        .when(state == "testing primary")
        .then(TESTING)
        .when("unseen")
        .then(UNSEEN)
        .otherwise(OTHERWISE)
    )
    found = frame.filter("differs").join(refused, on="request_id", how="left", maintain_order="left")
    codes = found.select(reason.alias("code"))["code"]
    return found.with_columns(words(codes.to_numpy(), REASONS).alias("difference")).select(
        "request_id", "at", "route", "target", "served", "logged_target", "logged_served", "difference", "evidence"
    )


def by_version(replay: Replay) -> pl.DataFrame:
    """Return one row a version of the replayed policy, in order of time; a plain policy is one version.

    Columns: version (the policy's name), since and until (NULL: open), requests (that arrived while it was in force),
    answered (those of them whose server the log knows), fidelity (the share of these that the same target answers; NULL: none).
    A version that explains its part of the log less well than the others was in force at other times than these.
    """
    policy, log = replay.policy, replay.log
    listed = policy.versions if isinstance(policy, Versions) else (Version(policy),)
    known, same = log.served >= 0, replay.outcome.target == log.served
    rows = []
    for one in listed:
        mine = np.ones(len(log), np.bool_)
        if one.since is not None:
            mine &= log.arrived_us >= microseconds(one.since)
        if one.until is not None:
            mine &= log.arrived_us < microseconds(one.until)
        answered = int((mine & known).sum())
        share = float(same[mine & known].mean()) if answered else None
        rows.append((one.policy.name, one.since, one.until, int(mine.sum()), answered, share))
    return pl.DataFrame(rows, schema=_VERSIONS, orient="row")
