"""Handling: how much longer agents take where a suggestion had to be redone, from the incident's own tickets.

It is an assumption, not an effect: suggestions that are overridden may be those of harder tickets. Tickets are compared
within metric, target and intent, by the first suggestion of each clock, so that long tickets do not count more often.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.words import lasting, number

if TYPE_CHECKING:
    from incident_kit.helpdesk.agentwaits import AgentWaits
    from incident_kit.log import Log

FEWEST = 20  # clocks of each kind, for a difference
Z90 = 1.645
ACCEPTED, REDONE, UNKNOWN = 0, 1, -1


@dataclass(frozen=True)
class Handling:
    """The difference, one row a metric: metric, redone and accepted (clocks), difference_s, error_s (one standard error).

    Redone clocks also vary more: ``slope`` is which share of their variance accepted ones do not have, ``mean_s`` how long
    they took. ``took_s`` is how long each clock took, waits left out. ``pair`` is the position of each clock's first judged
    request among the pairs of the waits (-1: none), ``redone`` what became of its suggestion (ACCEPTED, REDONE, UNKNOWN).
    """

    rows: pl.DataFrame
    pair: NDArray[np.int64]
    redone: NDArray[np.int8]
    took_s: NDArray[np.float64]

    def seconds(self, metrics: pl.Series, *, z: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what redone work would add to each clock, and what of a redone one it took; ``z`` standard errors off.

        What it adds is the difference. What it took is more where the clock took longer than redone ones do: its
        conditional mean, as far as the extra variance of redone clocks is that of the redoing. 0 where nothing is known.
        """
        names = ("difference_s", "error_s", "slope", "mean_s")
        found = pl.DataFrame({"metric": metrics}, schema={"metric": pl.String}).join(
            self.rows, on="metric", how="left", maintain_order="left"
        )
        difference, error, slope, mean = (found[name].fill_null(0.0).to_numpy() for name in names)
        added = np.maximum(difference + z * error, 0)
        return added, np.clip(
            added + np.where(added > 0, slope * (self.took_s - mean), 0), 0, np.maximum(self.took_s, 0)
        )

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """The assumption in words, one sentence a metric."""
        return tuple(
            f"Assumed, not seen: a suggestion that had to be redone costs {_span(row['difference_s'])} of "
            f"{row['metric'].replace('_', ' ')} ({_span(row['difference_s'] - Z90 * row['error_s'])} to "
            f"{_span(row['difference_s'] + Z90 * row['error_s'])}): so much later were {number(row['redone'])} such clocks "
            f"than {number(row['accepted'])} like them with an accepted one."
            for row in self.rows.iter_rows(named=True)
        )


def handling(log: Log, waits: AgentWaits) -> Handling:
    """Return how much longer clocks ran whose first suggestion was redone (overridden, or never came), waits left out."""
    redone = fates(log.request_facts["overridden"], log.error > 0)
    judged = np.flatnonzero((redone[waits.request] != UNKNOWN) & (waits.arrived_us >= waits.started_us[waits.clock]))
    pair = np.full(len(waits), -1, np.int64)
    pair[waits.clock[judged][::-1]] = judged[::-1]  # the first one has the last word
    known = pair >= 0
    state, intent = np.full(len(waits), UNKNOWN, np.int8), np.full(len(waits), -1, np.int16)
    state[known] = redone[waits.request[pair[known]]]
    intent[known] = log.intent[waits.request[pair[known]]]
    took = (waits.stopped_us - waits.started_us) / 1e6 - waits.held_s(log.wait_ms)
    frame = waits.clocks.select("metric", "target_s").with_columns(
        pl.Series("intent", intent), pl.Series("redone", state), pl.Series("took", took)
    )
    return Handling(_difference(frame.filter(pl.Series(known))), pair, state, took)


def fates(overridden: pl.Series, failed: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return what became of each request's suggestion: ACCEPTED, REDONE (overridden, or it never came), UNKNOWN."""
    judged = overridden.cast(pl.Int8).fill_null(UNKNOWN).to_numpy()
    return np.where(failed, REDONE, judged).astype(np.int8)


def _difference(clocks: pl.DataFrame) -> pl.DataFrame:
    """Return the mean difference within strata, weighted by how well each can tell; one row a metric that can be told."""
    is_redone = pl.col("redone") == REDONE
    strata = clocks.group_by("metric", "target_s", "intent").agg(
        is_redone.sum().cast(pl.Int64).alias("n1"),
        (~is_redone).sum().cast(pl.Int64).alias("n0"),
        (pl.col("took").filter(is_redone).mean() - pl.col("took").filter(~is_redone).mean()).alias("difference"),
        pl.col("took").filter(is_redone).mean().alias("m1"),
        pl.col("took").filter(is_redone).var().alias("v1"),
        pl.col("took").filter(~is_redone).var().alias("v0"),
    )
    told = strata.filter(pl.col("n1") >= 2, pl.col("n0") >= 2).with_columns(
        (pl.col("n1") * pl.col("n0") / (pl.col("n1") + pl.col("n0"))).alias("w"),
        (pl.col("v1") / pl.col("n1") + pl.col("v0") / pl.col("n0")).alias("v"),
    )
    return (
        told.group_by("metric")
        .agg(
            pl.col("n1").sum().alias("redone"),
            pl.col("n0").sum().alias("accepted"),
            ((pl.col("w") * pl.col("difference")).sum() / pl.col("w").sum()).alias("difference_s"),
            ((pl.col("w") ** 2 * pl.col("v")).sum().sqrt() / pl.col("w").sum()).alias("error_s"),
            (1 - _pooled("v0", "n0") / _pooled("v1", "n1")).clip(0, 1).fill_nan(0).alias("slope"),
            ((pl.col("n1") * pl.col("m1")).sum() / pl.col("n1").sum()).alias("mean_s"),
        )
        .filter(pl.col("redone") >= FEWEST, pl.col("accepted") >= FEWEST)
        .sort("metric")
    )


def _pooled(variance: str, n: str) -> pl.Expr:
    return (pl.col(variance) * (pl.col(n) - 1)).sum() / (pl.col(n) - 1).sum()


def _span(seconds: float) -> str:
    return lasting(timedelta(seconds=round(seconds)))
