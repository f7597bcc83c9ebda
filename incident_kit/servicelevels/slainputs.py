"""SLA inputs: records, rules and opening hours as a docket that can be judged, and why a clock cannot be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from incident_kit.errors import InvalidClock
from incident_kit.servicelevels.clocks import CALENDAR, NEVER, Runs
from incident_kit.servicelevels.schedules import EARLIEST, LATEST, Openings, Schedule
from incident_kit.servicelevels.sladocket import LOW, Docket
from incident_kit.servicelevels.slarecords import KEY, REPLIES, Records
from incident_kit.servicelevels.slarules import SlaRules, rules_of

if TYPE_CHECKING:
    from incident_kit.store import Store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_S = 10 * 366 * 86_400
_MICRO = 1_000_000


def microseconds(at: datetime) -> int:
    """Return an instant as microseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Hours:
    """Schedules by id, the id of the default one, and why a loaded one cannot be used."""

    schedules: Mapping[str, Schedule]
    default: str | None
    faults: Mapping[str, str]


def opening_hours(store: Store, declared: Sequence[Schedule]) -> Hours:
    """Return the schedules that are declared or loaded."""
    rows = store.frame("select * from schedules order by is_default desc nulls last, schedule_id")
    windows = store.frame("select schedule_id, starts_minute, ends_minute from schedule_windows order by all")
    days = store.frame(
        "select schedule_id, starts_on, coalesce(ends_on, starts_on) as ends_on from schedule_holidays order by all"
    )
    opens = {name: part.rows() for (name,), part in windows.group_by("schedule_id", maintain_order=True)}
    off = {name: part.rows() for (name,), part in days.group_by("schedule_id", maintain_order=True)}
    loaded, faults = [], {}
    for name, zone in rows.select("schedule_id", "zone").rows():
        holidays = [row[1:] for row in off.get(name, ())]
        try:
            loaded.append(Schedule.of(zone or "", [row[1:] for row in opens.get(name, ())], holidays=holidays, id=name))
        except InvalidClock as error:
            faults[name] = str(error)
    marked = [name for name, is_default in rows.select("schedule_id", "is_default").rows() if is_default]
    first = [*marked, *(one.id for one in declared), *(one.id for one in loaded if len(loaded) == 1)]
    known = {one.id: one for one in reversed([*declared, *loaded])}
    return Hours(known, next(iter(first), None), faults)


def ruled(instances: pl.DataFrame, said: Mapping[str, SlaRules] | SlaRules | None) -> pl.DataFrame:
    """Return the instances with what the rules of their desk say of each."""
    us = pl.concat_list("started_us", "stopped_us").alias("us")
    times = instances.select("source", us).explode("us").drop_nulls("us")
    whole = {name: bool((part["us"] % (60 * _MICRO) == 0).all()) for (name,), part in times.group_by("source")}
    rows = []
    for source, metric in instances.select("source", "metric").unique().rows():
        rules = rules_of(source, said=said)
        precision = rules.precision_s if rules.precision_s is not None else 60 * whole.get(source, False)
        last, grace_us = rules.schedule_change == "last", round(rules.schedule_grace_s * _MICRO)
        judged = (rules.breach_on_equal, rules.breach_share, precision)
        rows.append((source, metric, rules.target_change(metric), *judged, last, grace_us))
    schema = {
        "source": pl.String, "metric": pl.String, "change": pl.String, "on_equal": pl.Boolean, "share": pl.Float64,
        "precision_s": pl.Float64, "is_last_schedule": pl.Boolean, "grace_us": pl.Int64,
    }  # fmt: skip
    found = pl.DataFrame(rows, schema=schema, orient="row")
    return instances.join(found, on=["source", "metric"], how="left", nulls_equal=True, maintain_order="left")


def targets_of(instances: pl.DataFrame, found: Records) -> pl.DataFrame:
    """Return one row a target and clock that it is held against, in order: the rows of a docket.

    ``row`` is the instance's, ``verdict`` numbers what is reported; ``low`` is from when it counts, ``since`` when it was
    applied, ``until`` when the next one was.
    """
    own = instances.select("row", *KEY, "change", "basis", "target_s", "clock", "policy")
    applied = (
        found.targets.join(own.select("row", *KEY, "change"), on=KEY, how="inner")
        .select("row", "change", "from_us", "target_s", "clock", "policy")
        .sort("row", "from_us", maintain_order=True)
    )
    without = own.join(applied.select("row").unique(), on="row", how="anti").select(
        "row", "change", pl.lit(LOW).alias("from_us"), "target_s", "clock", "policy"
    )
    is_first = pl.col("row").ne_missing(pl.col("row").shift(1))
    rows = (
        pl.concat([applied, without])
        .sort("row", "from_us", maintain_order=True)
        .filter(is_first | (pl.col("change") != "first"))
    )
    anew = pl.col("change").is_in(["restart", "parallel"])
    nexts = pl.when(pl.col("row") == pl.col("row").shift(-1)).then(pl.col("from_us").shift(-1))
    replaced = nexts.is_not_null() & (pl.col("change") != "parallel")
    return rows.with_columns(
        verdict=(is_first | anew).cum_sum() - 1,
        low=pl.when(anew & ~is_first).then("from_us").otherwise(LOW),
        since="from_us",
        until=pl.when(replaced).then(nexts).otherwise(NEVER),
        is_replaced=replaced & (pl.col("change") == "restart"),
        applied_us=pl.when(pl.col("from_us") > LOW).then("from_us"),
    ).with_columns(is_reported=pl.col("verdict") != pl.col("verdict").shift(-1).fill_null(-1))


def runs_of(
    instances: pl.DataFrame, found: Records, spells: pl.DataFrame, *, default: str | None, asof_us: int
) -> pl.DataFrame:
    """Return one row a run and schedule: row, starts_us, ends_us (the export, where it goes on), is_open, schedule_id."""
    own = instances.select("row", *KEY, "schedule_id", "is_last_schedule", "basis", "started_us", "stopped_us")
    followed = found.runs.join(own, on=KEY, how="inner")
    straight = own.filter(pl.col("basis") == "times", pl.col("started_us").is_not_null()).with_columns(
        starts_us="started_us", ends_us="stopped_us"
    )
    runs = pl.concat([followed, straight], how="diagonal")
    given = spells.filter(pl.col("schedule_id").is_not_null())
    last = (
        given.group_by("ticket_id", maintain_order=True).last().with_columns(from_us=pl.lit(LOW), until=pl.lit(NEVER))
    )
    at_first = last.with_columns(schedule_id=pl.lit(default, pl.String)).drop("until")
    # a schedule that a trigger gave when the ticket was made is its first one
    soon = instances.group_by("ticket_id").agg((pl.col("started_us") + pl.col("grace_us")).min().alias("soon_us"))
    early = pl.when(pl.col("from_us") <= pl.col("soon_us")).then(LOW).otherwise("from_us")
    dated = (
        given.join(soon, on="ticket_id", how="left", maintain_order="left").with_columns(from_us=early).drop("soon_us")
    )
    each = pl.concat([at_first, dated]).sort("ticket_id", "from_us", maintain_order=True)
    each = each.with_columns(until=pl.col("from_us").shift(-1).over("ticket_id").fill_null(NEVER))
    parts = [
        _on(runs.filter(pl.col("schedule_id").is_null(), pl.col("is_last_schedule") == is_last), frame)
        for is_last, frame in ((False, each), (True, last))
    ]
    plain = runs.filter(pl.col("schedule_id").is_not_null()).select("row", "starts_us", "ends_us", "schedule_id")
    joined = pl.concat([plain, *parts]).with_columns(pl.col("schedule_id").fill_null(pl.lit(default, pl.String)))
    return (
        joined.with_columns(is_open=pl.col("ends_us").is_null(), ends_us=pl.col("ends_us").fill_null(asof_us))
        .filter(pl.col("starts_us") < pl.col("ends_us"))
        .sort("row", "starts_us")
    )


def _on(runs: pl.DataFrame, spells: pl.DataFrame) -> pl.DataFrame:
    """Return runs cut where their ticket's schedule changes."""
    cut = runs.drop("schedule_id").join(spells, on="ticket_id", how="left", maintain_order="left")
    ends = pl.min_horizontal(pl.col("ends_us").fill_null(NEVER), pl.col("until").fill_null(NEVER))
    return (
        cut.with_columns(
            starts_us=pl.max_horizontal(pl.col("starts_us"), pl.col("from_us").fill_null(LOW)),
            ends_us=pl.when(ends < NEVER).then(ends),
        )
        .filter(pl.col("ends_us").is_null() | (pl.col("starts_us") < pl.col("ends_us")))
        .select("row", "starts_us", "ends_us", "schedule_id")
    )


def impossible(verdicts: pl.DataFrame, runs: pl.DataFrame, *, hours: Hours) -> pl.DataFrame:
    """Return the verdicts with the ``reason`` why one cannot be counted, NULL where it can."""
    low, high = microseconds(EARLIEST), microseconds(LATEST)
    outside = (pl.col("starts_us") < low) | (pl.col("ends_us") > high)
    unknown = pl.col("schedule_id").is_not_null() & ~pl.col("schedule_id").is_in(list(hours.schedules))
    each = runs.group_by("row").agg(
        outside.any().alias("outside"),
        pl.col("schedule_id").filter(unknown).first().alias("unknown"),
        pl.col("schedule_id").is_null().any().alias("unscheduled"),
    )
    business = pl.col("clock") == "business"
    given = pl.col("reason") if "reason" in verdicts.columns else pl.lit(None, pl.String)
    began = pl.col("started_us")
    return verdicts.join(each, on="row", how="left", maintain_order="left").with_columns(
        reason=pl.coalesce(
            given,
            pl.when((pl.col("evidence_level") == "label") & pl.col("target_s").is_null())
            .then(pl.lit("only a label is recorded: it can be counted, not recomputed")),
            pl.when(pl.col("target_s").is_null()).then(pl.lit("its target is not known")),
            pl.when(~pl.col("target_s").is_between(0, LONGEST_S)).then(pl.lit("its target is no time below ten years")),
            pl.when(began.is_null()).then(pl.lit("its start is not known")),
            pl.when(pl.col("outside") | ~began.is_between(low, high)).then(pl.lit("its times are not within 1990 to 2099")),
            pl.when(pl.col("clock").is_null()).then(pl.lit("it is not known whether it counts business hours")),
            pl.when((pl.col("basis") == "times") & pl.col("paused_s").is_null() & ~pl.col("metric").is_in(REPLIES))
            .then(pl.lit("its pauses are not known")),
            pl.when(business & pl.col("unscheduled")).then(pl.lit("it counts business hours, and no schedule is loaded")),
            pl.when(business & pl.col("unknown").is_in(list(hours.faults)))
            .then(pl.col("unknown").replace_strict(hours.faults, default=None, return_dtype=pl.String)),
            pl.when(business & pl.col("unknown").is_not_null())
            .then(pl.format("its schedule {} is not loaded", pl.col("unknown").str.head(40))),
        )
    ).drop("outside", "unknown", "unscheduled")  # fmt: skip


def docketed(
    rows: pl.DataFrame, verdicts: pl.DataFrame, runs: pl.DataFrame, *, known: Mapping[str, Schedule], asof_us: int
) -> Docket:
    """Return the docket of rows of targets; of a verdict that cannot be counted it holds no runs."""
    counted = verdicts.filter(pl.col("reason").is_null())
    mine = runs.join(counted.select("row").unique(), on="row", how="semi")
    base = Runs(
        rows["row"].n_unique(),
        mine["row"].to_numpy().astype(np.int64),
        mine["starts_us"].to_numpy(),
        mine["ends_us"].to_numpy(),
        _codes(mine["schedule_id"], known),
        openings=_openings(mine, counted, known=known, asof_us=asof_us),
    )
    own = rows.join(
        verdicts.select("verdict", "reason", "stopped_us", "paused_s", "basis", "share", "on_equal", "precision_s"),
        on="verdict", how="left", maintain_order="left",
    )  # fmt: skip
    possible = own["reason"].is_null()
    each = base.taken(own["row"].to_numpy().astype(np.int64))
    business = ((own["clock"] == "business") & possible).fill_null(value=False).to_numpy()
    each = each.on(np.where(business[each.clock], each.schedule, CALENDAR))
    paused = pl.when(pl.col("basis") == "times").then(pl.col("paused_s").fill_null(0)).otherwise(0) * _MICRO
    opened = mine.group_by("row").agg(pl.col("is_open").last())
    goes_on = own.join(opened, on="row", how="left", maintain_order="left")["is_open"].fill_null(value=False)
    return Docket(
        runs=each.within(own["low"].to_numpy(), np.full(own.height, NEVER)),
        last=np.flatnonzero(own["is_reported"].to_numpy()),
        target=own.select(pl.when(pl.col("reason").is_null()).then("target_s").fill_null(0) * _MICRO)
        .to_series()
        .to_numpy(),
        paused=own.select(pl.when(pl.col("reason").is_null()).then(paused).otherwise(0)).to_series().to_numpy(),
        since=own["since"].to_numpy(),
        until=own["until"].to_numpy(),
        stop=own["stopped_us"].fill_null(NEVER).to_numpy(),
        is_open=goes_on.to_numpy(),
        share=own["share"].to_numpy(),
        on_equal=own["on_equal"].to_numpy(),
        precision=(own["precision_s"] * _MICRO).cast(pl.Int64).to_numpy(),
    )


def _codes(names: pl.Series, known: Mapping[str, Schedule]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(known)}
    return names.replace_strict(numbers, default=CALENDAR, return_dtype=pl.Int64).to_numpy()


def _openings(
    runs: pl.DataFrame, verdicts: pl.DataFrame, *, known: Mapping[str, Schedule], asof_us: int
) -> tuple[Openings, ...]:
    if not runs.height:
        nothing = np.zeros(0, np.int64)
        return tuple(Openings(nothing, nothing) for _ in known)
    first = EPOCH + timedelta(microseconds=int(runs["starts_us"].to_numpy().min()))
    last = EPOCH + timedelta(microseconds=max(asof_us, int(runs["ends_us"].to_numpy().max())))
    # opening hours are seldom less than a sixth of the week
    longest = timedelta(seconds=6 * int(verdicts["target_s"].to_numpy().max())) + timedelta(days=366)
    horizon = min(last + longest, LATEST)
    return tuple(one.openings(first, max(horizon, last)) for one in known.values())
