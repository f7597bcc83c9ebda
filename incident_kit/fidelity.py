"""Fidelity: where a replayed policy is answered by another target than the log was, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from incident_kit.decisions import words

if TYPE_CHECKING:
    from incident_kit.replays import Replay

REASONS = (
    "the gateway refused its first target (a cooldown that this policy does not have)",
    "the policy was on the backup, the gateway was not",
    "the policy was testing the primary, the gateway was not",
    "an attempt whose outcome the log does not show",
    "the policy goes on where the gateway stopped, or stops where it went on",
)
REFUSED, ON_BACKUP, TESTING, UNSEEN, OTHERWISE = range(len(REASONS))


def differences(replay: Replay) -> pl.DataFrame:
    """Return one row a request that another target answers than in the log, in order of arrival.

    Columns: request_id, at, route, target (where the policy sends it), served (who answers), logged_target,
    logged_served, difference (in words), evidence. Requests without an answer in the log are left out.
    """
    log = replay.log
    columns = ("request_id", "at", "route", "target", "served", "logged_target", "breaker_state", "evidence")
    frame = replay.decisions.select(columns).with_columns(
        words(log.served, log.targets).alias("logged_served"),
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
