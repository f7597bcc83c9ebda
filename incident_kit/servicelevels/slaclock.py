"""SLA clock: every clock counted anew from its own records, beside what the help desk itself recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.servicelevels.clocks import NEVER, Runs, Whole
from incident_kit.servicelevels.schedules import EARLIEST, LATEST, Schedule
from incident_kit.servicelevels.sladocket import Docket, Verdicts
from incident_kit.servicelevels.slainputs import (
    docketed,
    impossible,
    microseconds,
    opening_hours,
    ruled,
    runs_of,
    targets_of,
)
from incident_kit.servicelevels.slarecords import records
from incident_kit.servicelevels.slareport import compared
from incident_kit.servicelevels.slarules import SlaRules

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.store import Store

INSTANT = pl.Datetime("us", "UTC")
_SAID = (
    "ticket_id", "metric", "instance_no", "source", "evidence_level", "policy", "clock", "target_s", "started_at", "stopped_at",
    "applied_at", "paused_s",
)  # fmt: skip


@dataclass(frozen=True)
class SlaClock:
    """The SLA instances of an incident, counted anew.

    ``instances`` has one row an instance (where another target ends one and starts a new one, a row each): what was
    recorded, and ``elapsed_s, due_at, breached_at, breached, margin_s, verdict, reason, basis``. ``asof`` is when the export
    was made.
    """

    instances: pl.DataFrame
    asof: datetime
    docket: Docket

    @property
    def runs(self) -> pl.DataFrame:
        """One row a run of an instance that was counted: its row, starts_at, ends_at (at most the export), seconds."""
        found = self._clocks
        frame = pl.DataFrame(
            {"row": found.clock, "starts_at": found.starts, "ends_at": found.ends, "us": found.counted}
        )
        return frame.select("row", pl.col("starts_at", "ends_at").cast(INSTANT), (pl.col("us") / 1e6).alias("seconds"))

    @property
    def _clocks(self) -> Runs:
        return self.docket.runs.taken(self.docket.last)

    def seconds_between(
        self, rows: NDArray[Any] | Sequence[int], starts_us: Whole, ends_us: Whole
    ) -> NDArray[np.float64]:
        """Return the seconds that the clocks of some ``instances`` count between two instants: in their runs, when open.

        Nothing for an instance that rests on its due time, its recorded elapsed time or a label: look at ``basis``.
        """
        counted = self._clocks.taken(np.asarray(rows, np.int64)).within(starts_us, ends_us).elapsed()
        return np.asarray(counted / 1e6)

    def moved(self, by_s: NDArray[np.float64] | Sequence[float]) -> pl.DataFrame:
        """Return ``instances`` judged again with each stop moved by so many seconds; a negative number is earlier.

        An instance that has not ended, or cannot be counted, stays; one known by its due time alone is held against that.
        """
        stop = self.docket.stop[self.docket.last]
        moved = np.where(stop == NEVER, NEVER, stop + np.rint(np.asarray(by_s, np.float64) * 1e6).astype(np.int64))
        shifted = self.instances.with_columns(stopped_at=_instants(moved))
        return _judged(shifted, self.docket.judged(moved), asof=self.asof)

    def by_ticket(self, *, judged_by: Literal["any", "first", "last"]) -> pl.DataFrame:
        """Return one verdict a ticket and metric, and by which of its clocks: any breach, the first clock, or the last.

        Columns: ticket_id, metric, clocks, breached (NULL where no clock tells), judged_by. Cancelled clocks do not count.
        """
        counted = self.instances.filter(pl.col("verdict") != "cancelled").sort("instance_no", "applied_at")
        breached = pl.col("breached")
        verdict = {"any": breached.any(ignore_nulls=False), "first": breached.first(), "last": breached.last()}[
            judged_by
        ]
        return (
            counted.group_by("ticket_id", "metric", maintain_order=True)
            .agg(pl.len().alias("clocks"), verdict.alias("breached"))
            .with_columns(judged_by=pl.lit(judged_by))
            .sort("ticket_id", "metric")
        )

    def report(self) -> pl.DataFrame:
        """Return recorded beside recomputed verdicts: metric, recorded, recomputed, why, instances, example."""
        return compared(self.instances)


def clocked(
    store: Store,
    *,
    rules: Mapping[str, SlaRules] | SlaRules | None = None,
    schedules: Sequence[Schedule] = (),
    asof: datetime | None = None,
) -> SlaClock:
    """Return the SLA clock of what a store holds.

    Parameters
    ----------
    rules
        For every desk, or by desk; a desk's own defaults where it has none.
    schedules
        Opening hours beside those that were loaded; the first of them is the default where no loaded one is marked so.
    asof
        When the export was made; the last instant in it where not given.
    """
    found = records(store, said=rules)
    hours = opening_hours(store, schedules)
    asof = asof or _last(store)
    instances = ruled(found.instances, rules).with_row_index("row")
    rows = targets_of(instances, found)
    runs = runs_of(instances, found, store.query("clock_schedules"), default=hours.default, asof_us=microseconds(asof))
    reported = rows.filter("is_reported").drop("change")
    verdicts = reported.join(
        instances.drop("target_s", "clock", "policy", "change"), on="row", how="left", maintain_order="left"
    ).with_columns(
        is_cancelled=pl.col("is_cancelled") | pl.col("is_replaced"),
        stopped_us=pl.when("is_replaced").then("until").otherwise("stopped_us"),
    )
    verdicts = _based(impossible(verdicts, runs, hours=hours))
    docket = docketed(rows, verdicts, runs, known=hours.schedules, asof_us=microseconds(asof))
    return SlaClock(_judged(_described(verdicts), docket.judged(), asof=asof), asof, docket)


def sla(
    incident: Incident, rules: Mapping[str, SlaRules] | SlaRules | None = None, *, asof: datetime | None = None
) -> SlaClock:
    """Return the SLA clocks of an incident, counted anew: ``.instances``, ``.runs``, ``.report()``.

    ``rules`` are for every desk, or by desk; else what the case's ``incident.yaml`` says, else each desk's own.
    """
    if rules is None and asof is None:
        return incident.clock
    said = incident.sla_settings
    return clocked(
        incident.store,
        rules=rules if rules is not None else said.rules,
        schedules=said.schedules,
        asof=asof or said.asof,
    )


def sla_report(incident: Incident, rules: Mapping[str, SlaRules] | SlaRules | None = None) -> pl.DataFrame:
    """Return what the help desk recorded beside what was counted: metric, recorded, recomputed, why, instances, example."""
    return sla(incident, rules).report()


def keep(store: Store, clock: SlaClock) -> None:
    """Write the verdicts into the store, in place of those that were there."""
    names = ("ticket_id", "metric", "instance_no", "due_at", "breached_at", "breached", "verdict")
    with store.transaction():
        store.run("delete from sla_verdicts")
        if clock.instances.height:
            store.connection.register("verdict_rows", clock.instances.select(names).to_arrow())
            try:
                store.run("insert into sla_verdicts by name select * from verdict_rows")
            finally:
                store.connection.unregister("verdict_rows")


def _last(store: Store) -> datetime:
    (last,) = store.query("clock_last")["last"].to_list()
    return min(max(last or EARLIEST, EARLIEST), LATEST - timedelta(days=1))


def _based(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return what each verdict rests on: its runs, or where these cannot be counted, its due time or recorded elapsed."""
    counts = pl.col("reason").is_null()
    # a breach that was recorded is no due time of its own
    by_due = (pl.col("basis") == "times") & pl.col("recorded_due_us").is_not_null()
    by_elapsed = pl.col("recorded_elapsed_s").is_not_null() & pl.col("target_s").is_not_null()
    return verdicts.with_columns(
        basis=pl.when(counts).then("basis").when(by_due).then(pl.lit("due")).when(by_elapsed)
        .then(pl.lit("elapsed")).otherwise(pl.lit("none"))
    )  # fmt: skip


def _described(verdicts: pl.DataFrame) -> pl.DataFrame:
    at = ("started", "stopped", "applied")
    return verdicts.select(
        "ticket_id", "metric", "instance_no", "source", "evidence_level", "policy", "clock", "target_s",
        *(pl.col(f"{name}_us").cast(INSTANT).alias(f"{name}_at") for name in at),
        "paused_s", "is_cancelled", "precision_s", "recorded_elapsed_s",
        pl.col("recorded_due_us").cast(INSTANT).alias("recorded_due_at"),
        "recorded_breached", "recorded_outcome", "reason", "basis",
    )  # fmt: skip


def _instants(us: Whole) -> pl.Series:
    return pl.Series(us).replace({NEVER: None}).cast(INSTANT)


def _judged(instances: pl.DataFrame, found: Verdicts, *, asof: datetime) -> pl.DataFrame:
    """Return the instances with the verdicts on them."""
    counted = pl.col("basis").is_in(["events", "history", "times"])
    by_due, by_elapsed = pl.col("basis") == "due", pl.col("basis") == "elapsed"
    own: dict[str, Any] = {
        "own_elapsed_s": pl.Series(found.elapsed / 1e6), "own_due": _instants(found.due), "own_breached": found.breached,
        "own_breached_at": _instants(found.breached_at), "own_margin_s": pl.Series(found.margin / 1e6),
        "is_close": found.is_close,
    }  # fmt: skip
    late = (pl.col("recorded_due_at") - pl.col("stopped_at").fill_null(asof)).dt.total_microseconds() / 1e6
    left = pl.col("target_s") - pl.col("recorded_elapsed_s")
    margin = pl.when(counted).then("own_margin_s").when(by_due).then(late).when(by_elapsed).then(left.cast(pl.Float64))
    frame = instances.with_columns(**own).with_columns(
        elapsed_s=pl.when(counted).then("own_elapsed_s").when(by_elapsed | by_due).then("recorded_elapsed_s"),
        due_at=pl.when(counted).then("own_due").when(by_due).then("recorded_due_at"),
        breached=pl.when(counted).then("own_breached").when(by_due | by_elapsed).then(margin < 0),
        margin_s=margin,
    )
    # a desk's own elapsed times are whole minutes more often than not
    whole = pl.when(pl.col("recorded_elapsed_s") % 60 == 0).then(60.0).otherwise("precision_s")
    exact = pl.when(by_elapsed).then(whole).otherwise("precision_s")
    close = pl.when(counted).then("is_close").when(by_due | by_elapsed).then(margin.abs() < exact)
    ended = pl.col("stopped_at").is_not_null() | (by_elapsed & pl.col("recorded_outcome").is_in(["met", "breached"]))
    verdict = (
        pl.when("is_cancelled").then(pl.lit("cancelled"))
        .when(pl.col("breached").is_null()).then(pl.lit("cannot be recomputed"))
        .when(close).then(pl.lit("too close to call"))
        .when("breached").then(pl.lit("breached"))
        .when(ended).then(pl.lit("met"))
        .otherwise(pl.lit("active"))
    )  # fmt: skip
    return frame.with_columns(
        breached_at=pl.when("breached").then(pl.when(counted).then("own_breached_at").otherwise("due_at")), verdict=verdict
    ).select(
        *_SAID, "recorded_elapsed_s", "recorded_due_at", "recorded_breached", "recorded_outcome", "elapsed_s",
        "due_at", "breached_at", "breached", "margin_s", "verdict", "reason", "basis", "is_cancelled", "precision_s",
    )  # fmt: skip
