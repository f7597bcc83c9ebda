"""Costs: what each policy's answers cost, by the model that gave them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from incident_kit.scoring.scorecard import Board

NOBODY = "no model"
METRIC = "cost_per_request"
COSTS: dict[str, Any] = {
    "policy": pl.String, "target": pl.String, "requests": pl.Int64, "priced": pl.Int64, "cost_usd": pl.Float64,
    "total_usd": pl.Float64, "total_low": pl.Float64, "total_high": pl.Float64, "all_requests": pl.Int64,
}  # fmt: skip


def costs(board: Board) -> pl.DataFrame:
    """Return one row a policy and answering model, ``as logged`` first, of the requests that the board scores.

    Columns: policy, target (``no model``: a template, a person, no answer), requests, priced (those whose cost is known),
    cost_usd (their sum, NULL where none is known; of an estimated policy in the central draw), and of the whole policy
    total_usd, total_low and total_high (mean and middle nine tenths over draws of the cost of a priced request, times the
    priced requests; NULL where the board does not score ``cost_per_request``) and all_requests.
    """
    scored = board.table()
    totals = {row["policy"]: row for row in scored.filter(pl.col("metric") == METRIC).iter_rows(named=True)}
    rows = []
    for name, one in board.replays.items():
        frame = board.window.cut(one).with_columns(pl.col("served").cast(pl.String).fill_null(NOBODY))
        groups = frame.group_by("served").agg(
            pl.len().cast(pl.Int64).alias("requests"), pl.col("cost_usd").count().cast(pl.Int64).alias("priced"),
            pl.when(pl.col("cost_usd").count() > 0).then(pl.col("cost_usd").sum()).alias("cost_usd"),
        ).sort("served")  # fmt: skip
        total, priced = totals.get(name), int(groups["priced"].sum())
        ends = {"total_usd": "estimate", "total_low": "low", "total_high": "high"}
        whole = {end: total[of] * priced if total and total[of] is not None else None for end, of in ends.items()}
        rows += [
            {"policy": name, "target": row.pop("served"), **row, **whole, "all_requests": frame.height}
            for row in groups.iter_rows(named=True)
        ]
    return pl.DataFrame(rows, schema=COSTS)
