"""Panels: what the four panels of the Tuner show, as frames: waits over time, breakers' states, scores, the frontier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit import words
from incident_kit.engine.kernel import CLOSED
from incident_kit.engine.routing import in_force_us
from incident_kit.scoring.decisions import STATES
from incident_kit.scoring.metrics import metric
from incident_kit.scoring.series import step

if TYPE_CHECKING:
    from incident_kit.scoring.replays import Replay
    from incident_kit.widgets.workbench import Workbench

LOGGED, LOADED, TUNED = "as it was", "as loaded", "as tuned"
HERE = "you are here"
MOST = 0.5  # change from the log that is drawn
MARKS = {"better": "better", "worse": "worse", "no different": "same", "cannot be told": "cannot tell"}
_INSTANT = pl.Datetime("us", "UTC")
_LINES: dict[str, Any] = {"line": pl.String, "middle": _INSTANT, "wait_s": pl.Float64, "quality": pl.Float64}
_STATES: dict[str, Any] = {"row": pl.String, "state": pl.String, "start": _INSTANT, "end": _INSTANT, "said": pl.String}
_POINTS: dict[str, Any] = {
    "kind": pl.String, "wait_s": pl.Float64, "quality": pl.Float64, "cost": pl.Float64, "value": pl.Float64, "said": pl.String,
}  # fmt: skip


class Quality(NamedTuple):
    """What stands for the quality of answers: a metric, how it is called, and whether it is good: then its opposite is shown."""

    metric: str
    title: str
    is_good: bool = False

    def of(self, value: Any) -> Any:
        """Return the share of bad answers, of the metric's value."""
        return value if value is None or not self.is_good else 1 - value


QUALITIES = (
    Quality("override_rate", "drafts that agents rewrote"),
    Quality("tool_success_rate", "tool calls that failed", is_good=True),
    Quality("error_rate", "requests that failed"),
)


def quality_of(bench: Workbench) -> Quality:
    """Return the first of the qualities that the log tells of."""
    logged = bench.named(bench.observed)
    return next((one for one in QUALITIES if logged.get(one.metric) is not None), QUALITIES[-1])


def over_time(replays: Mapping[str, Replay], quality: Quality) -> pl.DataFrame:
    """Return the slow end of waits, and the share of bad answers, one row a line and interval."""
    parts = [pl.DataFrame(schema=_LINES)]
    wait, bad = metric("p95_ms").value, quality.of(metric(quality.metric).value)
    for line, one in replays.items():
        every = step(one.outcomes["at"])
        binned = one.outcomes.with_columns(pl.col("at").dt.truncate(every))
        if binned.is_empty():
            continue
        found = binned.group_by("at").agg(
            (wait / 1000).cast(pl.Float64).round(3).alias("wait_s"),
            bad.cast(pl.Float64).round(4).alias("quality"),
        )
        grid = pl.DataFrame({"at": pl.datetime_range(found["at"].min(), found["at"].max(), every, eager=True)})  # type: ignore[arg-type]
        bins = grid.join(found, on="at", how="left", maintain_order="left")  # empty intervals are gaps of the line
        middle = (pl.col("at") + every / 2).cast(_INSTANT).alias("middle")
        parts.append(bins.select(pl.lit(line).alias("line"), middle, "wait_s", "quality"))
    return pl.concat(parts)


def states(replays: Mapping[str, Replay]) -> pl.DataFrame:
    """Return the spans of every breaker on its primary, on its backup, or testing, one row a span."""
    parts = [pl.DataFrame(schema=_STATES)]
    for line, one in replays.items():
        if not len(one.log):
            continue
        for r, name, mine in _breakers(one):
            begin, finish = in_force_us(one.policy.routes[r], one.log)
            changes = one.changes[mine]
            at = np.concatenate([[begin], changes[:, 2].astype(np.int64)])
            end = np.minimum(np.concatenate([at[1:], [finish]]), finish)
            state = np.concatenate([[CLOSED], changes[:, 4].astype(np.int64)])
            shown = at <= finish
            parts.append(
                pl.DataFrame(
                    {
                        "row": pl.repeat(f"{name}, {line}", int(shown.sum()), dtype=pl.String, eager=True),
                        "state": pl.Series(STATES).gather(pl.Series(state[shown])),
                        "start": pl.Series(at[shown]).cast(_INSTANT),
                        "end": pl.Series(end[shown]).cast(_INSTANT),
                    }
                )
            )
    clock = [pl.col(end).dt.strftime("%H:%M:%S") for end in ("start", "end")]
    said = pl.format("{}, {}, {} to {} UTC", "row", "state", *clock).alias("said")
    return pl.concat(parts, how="diagonal").with_columns(said)


def rows_of(replay: Replay, lines: Sequence[str]) -> list[str]:
    """Return the rows of the panel of states: every breaker, route by route."""
    return [f"{name}, {line}" for _, name, _ in _breakers(replay) for line in lines]


def _breakers(replay: Replay) -> Iterator[tuple[int, str, NDArray[np.bool_]]]:
    """Yield the route of every breaker, how it is called, and which of the replay's changes are its own."""
    changes, intents = replay.changes, replay.log.intents
    for r, route in enumerate(replay.policy.routes):
        for e, entry in enumerate(route.chain):
            if entry.breaker is None:
                continue
            named = owner(route.name) + (f", {words.label(entry.label)}" if e else "")
            mine = (changes[:, 0] == r) & (changes[:, 1] == e)
            if entry.breaker.scope != "intent":
                yield r, named, mine
                continue
            for intent in np.unique(replay.log.intent[replay.route == r]).tolist():
                of = words.label(intents[intent]) if intent >= 0 else "no intent"
                yield r, f"{named}: {of}", mine & (changes[:, 10] == intent)


def owner(route: str) -> str:
    """Return how a route is called for people."""
    return "all others" if route == "*" else words.label(route)


def scorecard(bench: Workbench, tuned: pl.DataFrame, *, draws: int, wanted: int) -> pl.DataFrame:
    """Return one row a metric in words, with the change from the log as a share of it, and the ends of its range.

    Ranges are of so many ``draws`` of those ``wanted``: without any there is none yet, and until all are there each says how
    far it is and settles nothing.
    """
    is_fresh, beside = draws > 0, bench.loaded_beside(draws)
    rows = []
    for place, row in enumerate(tuned.iter_rows(named=True)):
        named = words.metric(row["metric"])
        observed = row["observed"]

        def change(value: float | None, base: float | None = observed) -> float | None:
            return None if value is None or not base else max(-MOST, min(MOST, value / base - 1))

        low, high = (row["low"], row["high"]) if is_fresh else (None, None)
        loaded = beside[place]
        span = "" if low is None else f"{named.shown(low)} to {named.shown(high)}"
        rows.append(
            {
                "metric": named.title,
                "place": place,
                "was": named.shown(observed),
                "loaded": named.shown(loaded) if observed is None or loaded is not None else "cannot tell",
                "tuned": "cannot tell" if row["estimate"] is None else named.shown(row["estimate"]),
                "range": f"{span} ..." if 0 < draws < wanted and span else span if is_fresh else "working out ...",
                "verdict": MARKS.get(row["verdict"], row["verdict"]) if draws >= wanted else "",
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
    kind: str,
    values: Mapping[str, float | None],
    quality: Quality,
    *,
    value: float | None = None,
    said: str = "",
) -> dict[str, Any]:
    """Return one point of the frontier: the slow end of waits, bad answers, cost of a thousand answers."""
    wait, cost = values.get("p95_ms"), values.get("cost_per_request")
    return {
        "kind": kind,
        "wait_s": None if wait is None else round(wait / 1000, 3),
        "quality": quality.of(values.get(quality.metric)),
        "cost": None if cost is None else 1000 * cost,
        "value": value,
        "said": said or kind,
    }


def points(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return points of the frontier as a frame."""
    return pl.DataFrame(list(rows), schema=_POINTS)
