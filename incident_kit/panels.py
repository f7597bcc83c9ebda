"""Panels: what the four panels of the Tuner show, as frames: waits over time, breakers' states, scores, the frontier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit import words

if TYPE_CHECKING:
    from incident_kit.replays import Replay
    from incident_kit.workbench import Workbench

LOGGED, LOADED, TUNED = "as it was", "as loaded", "as tuned"
MEASURES = ("p95_wait_ms", "override_rate")
MOST = 0.5  # change from the log that is drawn
MARKS = {"better": "better", "worse": "worse", "no different": "same", "cannot be told": "cannot tell"}
_INSTANT = pl.Datetime("us", "UTC")
_LINES: dict[str, Any] = {"line": pl.String, "middle": _INSTANT, "wait_s": pl.Float64, "override_rate": pl.Float64}
_STATES: dict[str, Any] = {"row": pl.String, "state": pl.String, "start": _INSTANT, "end": _INSTANT, "said": pl.String}
_POINTS: dict[str, Any] = {
    "kind": pl.String, "wait_s": pl.Float64, "quality": pl.Float64, "cost": pl.Float64, "value": pl.Float64, "said": pl.String,
}  # fmt: skip


def over_time(replays: Mapping[str, Replay]) -> pl.DataFrame:
    """Return the slow end of waits, and overrides, one row a line and interval."""
    parts = []
    for line, one in replays.items():
        bins = one.series()
        middle = pl.col("at") + (pl.col("until") - pl.col("at")) / 2
        parts.append(
            bins.select(
                pl.lit(line).alias("line"),
                middle.cast(_INSTANT).alias("middle"),
                (pl.col("p95_wait_ms") / 1000).cast(pl.Float64).round(3).alias("wait_s"),
                pl.col("override_rate").cast(pl.Float64).round(4),
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=_LINES)


def states(replays: Mapping[str, Replay]) -> pl.DataFrame:
    """Return the spans of every guarded route on its primary, on its backup, or testing, one row a span."""
    parts = [pl.DataFrame(schema=_STATES)]
    for line, one in replays.items():
        route = pl.when(pl.col("route") == "*").then(pl.lit("all others")).otherwise("route")
        named = route.map_elements(words.label, return_dtype=pl.String)
        clock = [pl.col(end).dt.strftime("%H:%M:%S") for end in ("start", "end")]
        parts.append(
            one.states().select(
                pl.format("{}, {}", named, pl.lit(line)).alias("row"),
                "state",
                pl.col("start").cast(_INSTANT),
                pl.col("end").cast(_INSTANT),
                pl.format("{}, {}, {} to {} UTC", named, "state", *clock).alias("said"),
            )
        )
    return pl.concat(parts)


def rows_of(replay: Replay, lines: Sequence[str]) -> list[str]:
    """Return the rows of the panel of states, route by route: every route that has a breaker."""
    guarded = [route for route in replay.policy.routes if any(entry.breaker for entry in route.chain)]
    names = ["all others" if route.name == "*" else words.label(route.name) for route in guarded]
    return [f"{name}, {line}" for name in names for line in lines]


def scorecard(bench: Workbench, tuned: pl.DataFrame, *, is_fresh: bool) -> pl.DataFrame:
    """Return one row a metric in words, with the change from the log as a share of it, and the ends of its range.

    ``is_fresh`` False: the ranges are those of a setting before this one, and are left out.
    """
    rows = []
    for place, row in enumerate(tuned.iter_rows(named=True)):
        named = words.metric(row["metric"])
        observed = row["observed"]

        def change(value: float | None, base: float | None = observed) -> float | None:
            return None if value is None or not base else max(-MOST, min(MOST, value / base - 1))

        low, high = (row["low"], row["high"]) if is_fresh else (None, None)
        loaded = float(bench.loaded_values[place])
        span = "" if low is None else f"{named.shown(low)} to {named.shown(high)}"
        rows.append(
            {
                "metric": named.title,
                "place": place,
                "was": named.shown(observed),
                "loaded": named.shown(None if loaded != loaded else loaded),  # noqa: PLR0124 - not a number
                "tuned": "these logs cannot tell" if row["estimate"] is None else named.shown(row["estimate"]),
                "range": span if is_fresh else "working out ...",
                "verdict": MARKS.get(row["verdict"], row["verdict"]) if is_fresh else "",
                "change": change(row["estimate"]),
                "change_low": change(low),
                "change_high": change(high),
            }
        )
    return pl.DataFrame(
        rows,
        schema={
            "metric": pl.String, "place": pl.Int64, "was": pl.String, "loaded": pl.String, "tuned": pl.String,
            "range": pl.String, "verdict": pl.String, "change": pl.Float64, "change_low": pl.Float64, "change_high": pl.Float64,
        },
    )  # fmt: skip


def point(
    kind: str, values: Mapping[str, float | None], *, value: float | None = None, said: str = ""
) -> dict[str, Any]:
    """Return one point of the frontier: the slow end of waits, drafts rewritten, cost of a thousand answers."""
    wait, cost = values.get("p95_ms"), values.get("cost_per_request")
    return {
        "kind": kind,
        "wait_s": None if wait is None else round(wait / 1000, 3),
        "quality": values.get("override_rate"),
        "cost": None if cost is None else 1000 * cost,
        "value": value,
        "said": said or kind,
    }


def points(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return points of the frontier as a frame."""
    return pl.DataFrame(list(rows), schema=_POINTS)
