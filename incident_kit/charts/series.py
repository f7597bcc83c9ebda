"""The time series behind the timeline: in order, with its holes, and told in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from incident_kit import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from incident_kit.phases import Phase

MEASURES = (
    "p95_wait_ms",
    "p50_wait_ms",
    "error_rate",
    "tool_success_rate",
    "tool_failure_rate",
    "override_rate",
    "fallback_share",
    "missed_targets",
)


def tidy(series: pl.DataFrame) -> pl.DataFrame:
    """Return the series with every column the timeline reads, observed lines first, each line in order of time.

    ``tool_failure_rate`` is what ``tool_success_rate`` leaves: for people it rises from nothing, as every other trouble does.
    """
    absent = {"n": pl.lit(None, pl.Int64), "policy": pl.lit("as logged"), "evidence": pl.lit("observed")}
    absent |= {name: pl.lit(None, pl.Float64) for name in MEASURES}
    frame = series.with_columns(value.alias(name) for name, value in absent.items() if name not in series.columns)
    estimated = pl.col("evidence") != "observed"
    said = pl.when(estimated).then(pl.lit(" (estimated)")).otherwise(pl.lit(" (observed)"))
    return (
        frame.with_columns(pl.col(MEASURES).cast(pl.Float64).fill_nan(None))
        .with_columns(
            tool_failure_rate=1 - pl.col("tool_success_rate"),
            estimated=estimated,
            line=pl.col("policy").map_elements(words.label, return_dtype=pl.String, skip_nulls=False) + said,
            middle=pl.col("at") + (pl.col("until") - pl.col("at")) / 2,
        )
        .sort("estimated", "line", "at")
    )


def lines(bins: pl.DataFrame) -> list[str]:
    """Return the names of the lines, observed first."""
    return list(dict.fromkeys(bins["line"]))


def drawn(bins: pl.DataFrame, *, plain: bool) -> pl.DataFrame:
    """Return what the lines are drawn from: ``middle``, ``line`` and the measures; waits in seconds when ``plain``.

    Where bins are missing there is a row of nulls, so that no line crosses a hole.
    """
    scale = {name: 1000 if plain and words.metric(name).unit == "ms" else 1 for name in MEASURES}
    values = [(pl.col(name) / scale[name]).round(6) for name in MEASURES]
    rows = bins.select("middle", "line", *values)
    gap = pl.col("at").shift(-1).over("line") > pl.col("until")
    holes = bins.filter(gap).select(pl.col("until").alias("middle"), "line")
    place = {line: i for i, line in enumerate(lines(bins))}
    order = pl.col("line").replace_strict(place, return_dtype=pl.Int64)
    return pl.concat([rows, holes], how="diagonal").sort(order, "middle")


def alone(rows: pl.DataFrame, measure: str) -> pl.DataFrame:
    """Return the points of a measure that have no neighbour, which a line would not show."""
    bare = [pl.col(measure).shift(step).over("line").is_null() for step in (1, -1)]
    return rows.filter(pl.col(measure).is_not_null() & bare[0] & bare[1])


def told(bins: pl.DataFrame, *, plain: bool) -> pl.DataFrame:
    """Return one row a bin with what is read on hover: when, how many, and ``<measure>_<line's number>`` in words."""
    keys = ["at", "until"]
    frame = bins.group_by(keys, maintain_order=True).agg(pl.col("n").cast(pl.Int64).max())
    when = [words.period(at, until) for at, until in frame.select(keys).iter_rows()]
    frame = frame.with_columns(pl.Series("when", when, dtype=pl.String))
    for i, line in enumerate(lines(bins)):
        rows = bins.filter(pl.col("line") == line)
        known = [name for name in MEASURES if rows[name].count()]
        said = [[words.metric(name).shown(value, plain=plain) for value in rows[name]] for name in known]
        named = [pl.Series(f"{name}_{i}", said[j], dtype=pl.String) for j, name in enumerate(known)]
        frame = frame.join(rows.select(keys).with_columns(named), on=keys, how="left")
    return frame


def describe(bins: pl.DataFrame, phases: Iterable[Phase], measures: Iterable[str], *, plain: bool) -> str:
    """Return the series in words: for each line the level before the impact, the worst bin in it and when that was."""
    shown = list(measures)
    impact = next((phase for phase in phases if phase.kind == "impact"), None)
    names = lines(bins)
    parts = [f"{words.period(bins['at'].min(), bins['until'].max(), date=True)}."]  # type: ignore[arg-type]
    for line in names:
        rows = bins.filter(pl.col("line") == line)
        busy = rows.filter((pl.col("n") >= 0.2 * pl.col("n").median()).fill_null(value=True))
        said = "; ".join(filter(None, (_change(name, busy, impact, plain=plain) for name in shown)))
        said = said or "only one interval, so nothing to compare it with"
        parts.append(f"{line}: {said}." if len(names) > 1 else f"{words.sentence(said) if plain else said}.")
    return " ".join(parts)


def _change(name: str, rows: pl.DataFrame, impact: Phase | None, *, plain: bool) -> str:
    """Return how one measure moved: from its median before the impact (or over all) to its worst bin in it.

    Other counts say "usually" of all time outside of the impact; here it is "before" and "mostly", as that is another number.
    """
    known = words.metric(name)
    rows = rows.filter(pl.col(name).is_not_null())
    if rows.height < 2:
        return ""
    before = rows.filter(pl.col("until") <= impact.at) if impact else rows
    usual = float((before if before.height else rows)[name].median())  # type: ignore[arg-type]
    is_before = bool(before.height) and impact is not None
    during = rows.filter(pl.col("until") > impact.at) if impact else rows
    if impact and impact.until:
        during = during.filter(pl.col("at") < impact.until)
    falls = name == "tool_success_rate"
    worst = (during if during.height else rows).sort(name, "at", descending=[not falls, False]).row(0, named=True)
    start, end = known.shown(usual, plain=plain), known.shown(worst[name], plain=plain)
    moved = (worst[name] < usual if falls else worst[name] > usual) and start != end
    at = words.clock(worst["at"])
    if plain:
        what = known.plain + (" " if known.unit == "ms" else ": ")
        return (
            f"{what}{end} at {at} ({'before, ' if is_before else ''}mostly about {start})"
            if moved
            else f"{what}{start} throughout"
        )
    verb = "fell" if falls else "rose"
    return (
        f"{known.title} {verb} from a median of {start} to {end} at {at}"
        if moved
        else f"{known.title} stayed at {start}"
    )
