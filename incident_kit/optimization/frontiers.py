"""Frontiers: of many settings those that no other beats, and for each of the rest one that does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.errors import NoSuchItem, did_you_mean

Better = Literal["lower", "higher"]
HIGHER = ("tool_success_rate",)
USUAL = (
    "p95_ms",
    "tool_success_rate",
    "override_rate",
    "cost_per_request",
    "sla_breach_rate",
)  # wait, quality, cost, breaches
BESIDE = (
    "setting", "is_current", "intent", "metric", "n", "observed", "estimate", "low", "high", "diff", "diff_low", "diff_high",
    "bound_low", "bound_high", "share_observed", "share_none", "flags",
)  # fmt: skip


def frontier(
    grid: pl.DataFrame,
    *,
    metrics: Sequence[str] | None = None,
    better: Mapping[str, Better] | None = None,
    intent: str | None = None,
) -> pl.DataFrame:
    """Return one row a setting of a sweep: what it scores, and whether another is at least as good in all and better in one.

    Columns: setting, is_current ("you are here"), the sweep's own paths, for each metric NAME, NAME/low and NAME/high,
    on_frontier, dominated_by (the setting that beats it by most; NULL on the frontier), reason (in words). A setting that has no
    estimate in one of the metrics is on no frontier, and its reason says so.

    Parameters
    ----------
    grid
        A frame of :func:`sweep`.
    metrics
        Two or more, on which to compare; by default wait, quality, cost and breaches (:data:`USUAL`), as far as the sweep has
        them and the logs tell them of half of the settings.
    better
        Which way is better, by metric; lower but for ``tool_success_rate`` where it is not said.
    intent
        Of a sweep by intent, the one to look at.

    Raises
    ------
    NoSuchItem
        The sweep has no such metric or intent, or has several intents and none is chosen.
    """
    rows = _of_intent(grid, intent)
    known = rows["metric"].unique(maintain_order=True).to_list()
    metrics = usual(rows) if metrics is None else metrics
    if not metrics:
        raise NoSuchItem(
            f"the sweep tells none of the usual metrics of half of its settings: name some of {', '.join(known)}"
        )
    for name in metrics:
        if name not in known:
            raise NoSuchItem(f"the sweep has no metric {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}")
    paths = [name for name in grid.columns if name not in BESIDE]
    table = rows.select("setting", "is_current", *paths).unique(maintain_order=True)
    for name in dict.fromkeys(metrics):
        said = rows.filter(pl.col("metric") == name).select(
            "setting",
            pl.col("estimate").alias(name),
            pl.col("low").alias(f"{name}/low"),
            pl.col("high").alias(f"{name}/high"),
        )
        table = table.join(said, on="setting", how="left", maintain_order="left")
    signs = np.array([-1.0 if (better or {}).get(name, _usual(name)) == "higher" else 1.0 for name in metrics])
    scores = table.select(metrics).cast(pl.Float64).fill_null(float("nan")).to_numpy() * signs
    by = _dominated_by(scores)
    numbers = table["setting"].to_list()
    untold = ~np.isfinite(scores).all(axis=1)
    return table.with_columns(
        pl.Series("on_frontier", (by < 0) & ~untold),
        pl.Series("dominated_by", [numbers[i] if i >= 0 else None for i in by.tolist()], dtype=pl.Int64),
        pl.Series(
            "reason",
            [_reason(table, int(by[i]), paths, untold=bool(untold[i])) for i in range(table.height)],
            dtype=pl.String,
        ),
    )


def usual(grid: pl.DataFrame) -> list[str]:
    """Return those of the usual metrics that a sweep has, and that the logs tell of half of the settings at least."""
    told = grid.group_by("metric").agg(pl.col("estimate").is_not_null().mean())
    known = set(told.filter(pl.col("estimate") >= 0.5)["metric"])
    return [name for name in USUAL if name in known]


def _usual(metric: str) -> Better:
    return "higher" if metric in HIGHER else "lower"


def _of_intent(grid: pl.DataFrame, intent: str | None) -> pl.DataFrame:
    there = grid["intent"].unique(maintain_order=True).to_list()
    if intent is None and len(there) > 1:
        raise NoSuchItem(f"the sweep is by intent: choose one with intent=, of {', '.join(there)}")
    if intent is not None and intent not in there:
        raise NoSuchItem(f"the sweep has no intent {intent!r}{did_you_mean(intent, there)}; it has {', '.join(there)}")
    return grid if intent is None else grid.filter(pl.col("intent") == intent)


def _dominated_by(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each row (lower is better) the one that beats it by most in all, of those on the frontier; -1: none.

    "By most" is the greatest sum of gains, each in units of the metric's own range.
    """
    spread = np.nanmax(scores, axis=0, initial=-np.inf) - np.nanmin(scores, axis=0, initial=np.inf)
    unit = scores / np.where(np.isfinite(spread) & (spread > 0), spread, 1.0)
    found = np.full(len(scores), -1, np.int64)
    for i, row in enumerate(unit):
        gain = row - unit
        beats = (gain >= 0).all(axis=1) & (gain > 0).any(axis=1)
        if beats.any():
            total = np.where(beats, gain.sum(axis=1), -np.inf)
            found[i] = int(total.argmax())
    return found


def _reason(table: pl.DataFrame, by: int, paths: Sequence[str], *, untold: bool) -> str:
    if untold:
        return "these logs cannot tell one of the metrics"
    if by < 0:
        return "no other setting is as good in all and better in one"
    return f"setting {table['setting'][by]} ({_named(table, by, paths)}) is as good in all and better in one"


def _named(table: pl.DataFrame, i: int, paths: Sequence[str]) -> str:
    values: list[Any] = [table[path][i] for path in paths]
    return ", ".join(f"{path} {value}" for path, value in zip(paths, values, strict=True))
