"""Terminal, the help desk: SLA clocks counted anew, beside what was recorded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from incident_kit.servicelevels.schedules import EARLIEST
from incident_kit.servicelevels.slarules import VERDICTS
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.servicelevels.slaclock import SlaClock

MOST = 15


def sla(clock: SlaClock, *, zone: ZoneInfo, most: int = MOST) -> Group:
    """Return verdicts by metric, what differs from the records and why, and the first breaches at their due times."""
    frame = clock.instances
    if not frame.height:
        return Group(
            Text("No SLA clock is in these records: load the help desk's SLA events, or tickets with their history.")
        )
    last = f"{number(frame.height)} SLA clocks of {number(frame['ticket_id'].n_unique())} tickets, {_asof(clock.asof, zone)}"
    parts: list[RenderableType] = [Text(last), Text(""), _verdicts(frame)]
    report = clock.report().filter(pl.col("why").is_not_null())
    if report.height:
        parts += [Text(""), _differences(report)]
    elif recorded := int(frame["recorded_outcome"].is_not_null().sum()):
        parts += [Text(""), Text(f"All {number(recorded)} recorded verdicts are those that their own records give.")]
    parts += [Text(""), *_breaches(frame, zone=zone, most=most)]
    return Group(*parts)


def _verdicts(frame: pl.DataFrame) -> Table:
    found = set(frame["verdict"])
    shown = [verdict for verdict in VERDICTS if verdict in found]
    table = _table("What the clocks say", ["metric", *shown], numbers=len(shown))
    counts = frame.group_by("metric", "verdict").agg(pl.len())
    of = {(metric, verdict): count for metric, verdict, count in counts.rows()}
    for metric in sorted(set(frame["metric"])):
        table.add_row(label(metric), *(number(of.get((metric, verdict), 0)) for verdict in shown))
    return table


def _differences(report: pl.DataFrame) -> Table:
    columns = ["metric", "recorded", "recomputed", "clocks", "for example", "why"]
    table = Table(*columns, title="Where the records and the clock differ", title_justify="left", box=None)
    for row in report.iter_rows(named=True):
        table.add_row(
            label(row["metric"]), row["recorded"], row["recomputed"], number(row["instances"]), label(row["example"]),
            Text(label(row["why"], longest=120)),
        )  # fmt: skip
    return table


def _breaches(frame: pl.DataFrame, *, zone: ZoneInfo, most: int) -> Iterable[RenderableType]:
    late = frame.filter(pl.col("verdict") == "breached").sort("breached_at", "ticket_id", "metric", nulls_last=True)
    if not late.height:
        return [Text("No clock is breached.")]
    if not most:
        return [Text(f"{number(late.height)} breaches; none is listed.")]
    some = f": the first {most} of {number(late.height)}" if late.height > most else ""
    columns = ["due (UTC)", "local", "ticket", "metric", "policy", "over by"]
    table = Table(title=f"Breaches, where they fall due{some}", title_justify="left", box=None)
    shown = list(late.head(most).iter_rows(named=True))
    overs = [_over(row["margin_s"], row["target_s"]) for row in shown]
    # ids, names of policies and words give way first, and not wholly; figures are never cut
    least = {"policy": 6, "ticket": 6, "over by": max(len(over.removesuffix(" target")) for over in overs)}
    for column in columns:
        table.add_column(column, no_wrap=column not in least, min_width=least.get(column))
    for row, over in zip(shown, overs, strict=True):
        at = row["breached_at"]
        due = (f"{at:%Y-%m-%d %H:%M:%S}", f"{at.astimezone(zone):%a %H:%M}")
        table.add_row(*due, label(row["ticket_id"]), label(row["metric"]), label(row["policy"]), over)
    return [table]


def _table(title: str, columns: list[str], *, numbers: int) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place >= len(columns) - numbers else "left")
    return table


def _at(at: datetime, zone: ZoneInfo) -> str:
    """Return an instant in UTC, and in the reader's zone where that is another one."""
    own = at.astimezone(zone)
    here = f" ({own:%a %H:%M} {own.tzname()})" if own.utcoffset() else ""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC{here}"


def _asof(at: datetime, zone: ZoneInfo) -> str:
    return f"as of {_at(at, zone)}" if at > EARLIEST else "with no export time known"


def _over(margin_s: float, target_s: float | None) -> str:
    """Return by how much a target was missed; the last target says nothing of one that it replaced."""
    if margin_s > (target_s or 0) / 1000:
        return "replaced target"
    return _lasting(max(-margin_s, 0))


def _lasting(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24} d {hours % 24} h"  # nobody asks for its minutes, and there is no room for them
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s" if minutes else f"{left} s"
