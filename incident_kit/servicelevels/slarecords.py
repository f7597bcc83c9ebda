"""SLA records: the clocks that a help desk recorded, and those that follow from its tickets' own histories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from incident_kit.servicelevels.slarules import STATUSES, SlaRules, rules_of
from incident_kit.store import statement

if TYPE_CHECKING:
    from incident_kit.store import Store

KEY = ("ticket_id", "metric", "instance_no")
REPLIES = ("first_reply", "next_reply")
_ENDS = ("solved", "closed")
_SECOND = 1_000_000


@dataclass(frozen=True)
class Records:
    """Clocks as far as records say them: instances, their runs, and the targets applied to them; all by `KEY`."""

    instances: pl.DataFrame
    runs: pl.DataFrame
    targets: pl.DataFrame


def records(store: Store, *, said: Mapping[str, SlaRules] | SlaRules | None = None) -> Records:
    """Return every clock of an incident: recorded ones, and where there is none, what the ticket's history gives."""
    recorded = Records(*(store.query(f"clock_{name}") for name in ("instances", "runs", "targets")))
    desks = store.query("history_desks")["source"].to_list()
    parts = [recorded, *(_history(store, source, rules_of(source or None, said=said)) for source in desks)]
    taken = recorded.instances.select("ticket_id", "metric").unique()
    kept = [parts[0], *(_without(part, taken) for part in parts[1:])]
    return Records(
        pl.concat([part.instances for part in kept], how="diagonal").sort(KEY),
        pl.concat([part.runs for part in kept]).sort(*KEY, "starts_us"),
        pl.concat([part.targets for part in kept]),
    )


def _without(part: Records, taken: pl.DataFrame) -> Records:
    return Records(
        *(
            frame.join(taken, on=["ticket_id", "metric"], how="anti")
            for frame in (part.instances, part.runs, part.targets)
        )
    )


def _history(store: Store, source: str, rules: SlaRules) -> Records:
    """Return the clocks of the tickets whose history names targets: what their comments and statuses make of them."""
    store.run(f"create or replace temp table told as {statement('history_told')}", {"desk": source})
    store.run(f"create or replace temp table alive as {statement('history_tickets')}")
    try:
        told = store.frame("select ticket_id, epoch_us(created_at) as created_us, is_gone from alive")
        targets = store.query("history_targets")
        replies = store.query("history_replies", bots_reply=rules.bots_reply, solve_stops_reply=rules.solve_stops_reply)
        stretches = store.query("history_work")
    finally:
        store.run("drop table if exists told")
        store.run("drop table if exists alive")
    work = [
        _work(stretches, told, metric=metric, statuses=getattr(rules, metric), rules=rules)
        for metric in ("requester_wait", "agent_work", "resolution")
        if targets["metric"].eq(metric).any()
    ]
    instances = pl.concat([_replies(replies), *(one for one, _ in work)], how="diagonal")
    waits = replies.select(*KEY, starts_us="started_us", ends_us="stopped_us")
    runs = pl.concat([waits, *(one for _, one in work)])
    applied = _applied(targets, instances)
    listed = applied.select(KEY).unique()
    latest = applied.group_by(KEY, maintain_order=True).last().drop("from_us")
    described = (
        instances.join(latest, on=KEY, how="inner")
        .join(told, on="ticket_id")
        .with_columns(
            source=pl.lit(source or None, pl.String), evidence_level=pl.lit("event"), basis=pl.lit("history"),
            is_cancelled=pl.col("is_gone"), paused_s=pl.lit(None, pl.Int64),
        )
        .drop("is_gone", "created_us")
    )  # fmt: skip
    return Records(described, runs.join(listed, on=KEY, how="semi"), applied)


def _replies(replies: pl.DataFrame) -> pl.DataFrame:
    unknown = pl.col("unknown_authors") > 0
    said = pl.when(unknown).then(
        pl.lit("it is not known whether all of its comments' authors are agents: load the users")
    )
    return replies.with_columns(reason=said).drop("unknown_authors")


def _work(
    stretches: pl.DataFrame, told: pl.DataFrame, *, metric: str, statuses: tuple[str, ...], rules: SlaRules
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return instances and runs of a clock that runs in some statuses and ends when the ticket is solved."""
    ended = pl.col("status").is_in(_ENDS)
    reopened = ended.shift(1, fill_value=False) & ~ended
    cycle = reopened.cum_sum().over("ticket_id") if rules.reopen == "new instance" else pl.lit(0)
    each = stretches.with_columns(ended=ended, instance_no=cycle.cast(pl.Int32) + 1)
    key = ["ticket_id", "instance_no"]
    instances = (
        each.group_by(key, maintain_order=True)
        .agg(
            pl.col("starts_us").first(),
            pl.when(pl.col("ended").last()).then(pl.col("ends_us").filter(~pl.col("ended")).max()).alias("stopped_us"),
            pl.col("status").filter(~pl.col("status").is_in(STATUSES)).first().alias("unknown"),
        )
        .join(told.select("ticket_id", "created_us"), on="ticket_id")
        .select(
            "ticket_id",
            pl.lit(metric).alias("metric"),
            "instance_no",
            pl.when(pl.col("instance_no") == 1).then("created_us").otherwise("starts_us").alias("started_us"),
            "stopped_us",
            pl.when(pl.col("unknown").is_not_null())
            .then(pl.format("status '{}' is not one of those that the clock knows", pl.col("unknown").str.head(40)))
            .alias("reason"),
        )
    )
    runs = each.filter(pl.col("status").is_in(statuses)).select(
        "ticket_id", pl.lit(metric).alias("metric"), "instance_no", "starts_us", "ends_us"
    )
    return instances, runs


def _applied(targets: pl.DataFrame, instances: pl.DataFrame) -> pl.DataFrame:
    """Return the targets of each instance: those applied from its start on, before it ended or the next one started."""
    # windows over a hundred thousand groups are slow: the rows are in order, a neighbour says the same
    ordered = instances.sort(*KEY)
    goes_on = (pl.col("ticket_id") == pl.col("ticket_id").shift(-1)) & (pl.col("metric") == pl.col("metric").shift(-1))
    spans = ordered.with_columns(next_us=pl.when(goes_on).then(pl.col("started_us").shift(-1)))
    at = pl.col("from_us") + _SECOND
    meets = (
        ((at >= pl.col("started_us")) | (pl.col("instance_no") == 1))
        & (pl.col("next_us").is_null() | (at < pl.col("next_us")))
        & (pl.col("stopped_us").is_null() | (pl.col("from_us") <= pl.col("stopped_us")))
    )
    both = targets.join(spans, on=["ticket_id", "metric"], how="inner", maintain_order="left")
    # what a policy promises holds from before: the last such target is in force when a clock starts
    earlier = both.filter(pl.col("is_derived") & (at < pl.col("started_us"))).group_by(KEY, maintain_order=True).last()
    begun = earlier.with_columns(from_us="started_us").select(both.columns)
    joined = pl.concat([begun, both.filter(meets)]).sort(*KEY, "from_us", maintain_order=True)
    again = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in (*KEY, "target_s", "clock"))
    return joined.filter(~again).select(*KEY, "from_us", "target_s", "clock", "policy")
