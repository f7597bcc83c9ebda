"""Coverage: what each policy's outcomes rest on over time: seen in the log, borrowed from requests like it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.estimation.evidence import LABELS
from incident_kit.scoring.series import step

if TYPE_CHECKING:
    from incident_kit.scoring.replays import Replay
    from incident_kit.scoring.scorecard import Board

COVERAGE: dict[str, Any] = {
    "policy": pl.String, "at": pl.Datetime("us", "UTC"), "until": pl.Datetime("us", "UTC"), "evidence": pl.String,
    "n": pl.Int64, "of": pl.Int64, "share": pl.Float64,
}  # fmt: skip


_KINDS: Any = COVERAGE


def coverage(source: Board | Replay | Mapping[str, Replay], *, every: timedelta | None = None) -> pl.DataFrame:
    """Return one row a policy, interval and evidence label: how many of the interval's outcomes have it.

    Columns: policy, at, until, evidence (one of ``evidence.LABELS``), n, of, share. Intervals are those of
    :func:`series.series`, about sixty where ``every`` is not given; one without requests has no row. Of a board
    every policy but the log itself, which rests on nothing else.
    """
    from incident_kit.scoring.replays import Replay as One

    if isinstance(source, One):
        replays: Mapping[str, Replay] = {source.name: source}
    else:
        held = source if isinstance(source, Mapping) else source.replays
        replays = {name: one for name, one in held.items() if one.policy.routes}
    parts = []
    for name, one in replays.items():
        outcomes = one.outcomes
        width = every or step(outcomes["at"])
        binned = outcomes.select(pl.col("at").dt.truncate(width), pl.col("evidence").cast(pl.String))
        counted = binned.group_by("at", "evidence").agg(pl.len().cast(pl.Int64).alias("n"))
        whole = counted.group_by("at").agg(pl.col("n").sum().alias("of"))
        labels = pl.DataFrame({"evidence": list(LABELS)}).with_row_index("place")
        grid = whole.join(labels, how="cross").join(counted, on=["at", "evidence"], how="left").sort("at", "place")
        parts.append(
            grid.select(
                pl.lit(name).alias("policy"), "at", (pl.col("at") + width).alias("until"), "evidence",
                pl.col("n").fill_null(0), "of", (pl.col("n").fill_null(0) / pl.col("of")).alias("share"),
            )
        )  # fmt: skip
    whole = pl.concat([pl.DataFrame(schema=COVERAGE), *(part.cast(_KINDS) for part in parts)])
    return pl.DataFrame(whole)
