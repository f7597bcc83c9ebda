"""Ticket list: one row a ticket for the support lead: what it waited for, who answered, what was due, what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit.helpdesk.joining import join_tickets
from incident_kit.helpdesk.spreadsheets import safe_link, write_table
from incident_kit.scoring.windows import window_of
from incident_kit.words import lasting, number

if TYPE_CHECKING:
    from datetime import datetime

    from incident_kit.incident import Incident

_INSTANT = pl.Datetime("us", "UTC")
COLUMNS: dict[str, Any] = {
    "ticket_id": pl.String, "link": pl.String, "intent": pl.String, "channel": pl.String, "priority": pl.String,
    "created_at": _INSTANT, "requests": pl.Int64, "joined": pl.String, "longest_wait_s": pl.Float64,
    "total_wait_s": pl.Float64, "unanswered": pl.Int64, "by_backup": pl.Int64, "suggestions": pl.Int64,
    "overridden": pl.Int64, "escalated": pl.Boolean, "reopened": pl.Boolean, "sla": pl.String, "sla_policy": pl.String,
    "target_min": pl.Float64, "due_at": _INSTANT, "ended_at": _INSTANT, "breach": pl.String, "late_min": pl.Float64,
    "targets": pl.Int64, "targets_missed": pl.Int64, "why": pl.String,
}  # fmt: skip
_TITLES = {
    "ticket_id": "Ticket", "link": "Link", "intent": "About", "channel": "Channel", "priority": "Priority",
    "created_at": "Created ({zone})", "requests": "Model requests", "joined": "Joined by", "longest_wait_s": "Longest wait, s",
    "total_wait_s": "Waits in all, s", "unanswered": "Without an answer", "by_backup": "Answered by the backup",
    "suggestions": "Suggestions judged", "overridden": "Overridden", "escalated": "Escalated", "reopened": "Re-opened",
    "sla": "SLA", "sla_policy": "SLA policy", "target_min": "Target, min", "due_at": "Due ({zone})",
    "ended_at": "Ended ({zone})", "breach": "Target missed", "late_min": "Late by, min", "targets": "Targets",
    "targets_missed": "Targets missed", "why": "Why",
}  # fmt: skip


def ticket_list(incident: Incident, *, during: str | tuple[datetime, datetime] | None = None) -> pl.DataFrame:
    """Return one row a ticket, those that missed a target first, by when it was due.

    Columns: ticket_id, link (the case's ``ticket_link``, else the help desk's own), intent, channel, priority, created_at,
    requests, joined (how the least sure of them is known to be the ticket's), longest_wait_s and total_wait_s, unanswered and
    by_backup (requests), suggestions (judged) and overridden, escalated, reopened, and of its first missed target, else the
    first that was due: sla, sla_policy, target_min, due_at (computed), ended_at, breach (yes, no, running, too close to call,
    cannot be told), late_min; targets and targets_missed (all of the ticket's), and why.

    Parameters
    ----------
    during
        Only tickets with a request in it, or with a target due in it: a phase, ``healthy``, two instants; default: all.

    Raises
    ------
    NoSuchItem
        There is no such phase.
    """
    window = window_of(incident, during)
    join = join_tickets(incident)
    own = _requests(incident)
    every = join.rows.filter(pl.col("ticket_id").is_not_null()).join(own, on="request_id", maintain_order="left")
    clocks = _clocks(incident)
    scored = pl.DataFrame({"request_id": incident.log.request_id, "scored": window.rows})
    inside = every.join(scored, on="request_id").filter("scored")["ticket_id"]
    if window.spans is not None:
        due = pl.col("due_at").dt.epoch("us")
        within = pl.any_horizontal(due.is_between(a, b, closed="left") for a, b in window.spans)
        inside = pl.concat([inside, clocks.filter(within)["ticket_id"]])
    else:
        inside = pl.concat([inside, clocks["ticket_id"], incident.tickets()["ticket_id"]])
    tickets = incident.tickets().unique("ticket_id", keep="first", maintain_order=True)
    happened = incident.store.frame(
        "select ticket_id, bool_or(type = 'escalation') as escalated, bool_or(type = 'reopen') as reopened "
        "from ticket_events group by ticket_id"
    )
    # a help desk that tells of some escalations had none on the other tickets
    told = {name: happened[name].any() for name in ("escalated", "reopened")}
    rows = (
        pl.DataFrame({"ticket_id": inside.unique().sort()}, schema={"ticket_id": pl.String})
        .join(_per_ticket(every), on="ticket_id", how="left", maintain_order="left")
        .join(_first_clock(clocks), on="ticket_id", how="left", maintain_order="left")
        .join(
            tickets.select("ticket_id", "created_at", "priority", "reopens", "url", *_said), on="ticket_id", how="left"
        )
        .join(happened, on="ticket_id", how="left")
    )
    rows = rows.with_columns(
        pl.coalesce("desk_intent", "intent").alias("intent"),
        pl.coalesce("desk_channel", "channel").alias("channel"),
        *(pl.col(name).fill_null(value=False) if known else pl.lit(None).alias(name) for name, known in told.items()),
        pl.col("requests", "targets", "targets_missed").fill_null(0),
    )
    rows = rows.with_columns(pl.coalesce("reopened", pl.col("reopens") > 0).alias("reopened"))
    links = [_link(incident.ticket_link, row["ticket_id"], row["url"]) for row in rows.iter_rows(named=True)]
    why = [". ".join(_why(row)) for row in rows.iter_rows(named=True)]
    listed = rows.with_columns(pl.Series("link", links, dtype=pl.String), pl.Series("why", why, dtype=pl.String))
    missed = pl.col("targets_missed") > 0
    return listed.sort(~missed, "due_at", "ticket_id", nulls_last=True).select(
        pl.col(name).cast(kind) for name, kind in COLUMNS.items()
    )


_said = (pl.col("intent").alias("desk_intent"), pl.col("channel").alias("desk_channel"))


def save_tickets(incident: Incident, tickets: pl.DataFrame, path: str | Path) -> Path:
    """Return the ``.csv`` or ``.xlsx`` file that a ticket list was written to, times in the reader's zone.

    No cell holds anything that a spreadsheet would run; links are web addresses only.

    Raises
    ------
    UnwritableFile
        The file's name ends otherwise, or it cannot be written.
    """
    zone = ZoneInfo(incident.zone)
    local = tickets.with_columns(pl.col("created_at", "due_at", "ended_at").dt.convert_time_zone(str(zone)))
    titles = {name: title.format(zone=zone) for name, title in _TITLES.items()}
    missed = int((tickets["targets_missed"] > 0).sum())
    about = [
        incident.title or "Tickets of an incident",
        *(["Simulated, every row of it."] if incident.is_simulated else []),
        f"{number(tickets.height)} tickets, of which {number(missed)} missed a target. Times are of {zone}.",
        *str(join_tickets(incident)).splitlines(),
        "Due times are computed from the help desk's own records and opening hours, not from its late flags.",
        "A wait is what the gateway's client waited; who answers a ticket may have waited less.",
    ]
    return write_table(local, path, titles=titles, about=about, link="link")


def _requests(incident: Incident) -> pl.DataFrame:
    """Return what each request came to."""
    outcomes = incident.as_logged.outcomes
    return outcomes.select(
        pl.col("intent").cast(pl.String), "wait_ms", "failed", "is_fallback", "overridden"
    ).with_columns(incident.log.request_id.alias("request_id"), _channel(incident).alias("channel"))


def _channel(incident: Incident) -> pl.Series:
    rows = incident.store.frame("select request_id, channel from requests")
    ordered = pl.DataFrame({"request_id": incident.log.request_id}).join(
        rows, on="request_id", how="left", maintain_order="left"
    )
    return ordered["channel"]


def _per_ticket(rows: pl.DataFrame) -> pl.DataFrame:
    wait = pl.col("wait_ms") / 1000
    return rows.group_by("ticket_id").agg(
        pl.col("intent").drop_nulls().first(),
        pl.col("channel").drop_nulls().first(),
        pl.len().cast(pl.Int64).alias("requests"),
        pl.col("how").max().cast(pl.String).alias("joined"),
        wait.max().alias("longest_wait_s"),
        pl.when(wait.count() > 0).then(wait.sum()).alias("total_wait_s"),
        pl.col("failed").sum().cast(pl.Int64).alias("unanswered"),
        (pl.col("is_fallback") & ~pl.col("failed")).sum().cast(pl.Int64).alias("by_backup"),
        pl.col("overridden").count().cast(pl.Int64).alias("suggestions"),
        pl.col("overridden").sum().cast(pl.Int64).alias("overridden"),
    )


def _clocks(incident: Incident) -> pl.DataFrame:
    """Return every clock with its verdict in the list's words and how late it was."""
    words = {"met": "no", "breached": "yes", "active": "running", "cannot be recomputed": "cannot be told"}
    at = pl.coalesce("breached_at", "due_at", "recorded_due_at")
    told = pl.col("verdict").replace(words)
    recorded = pl.when(pl.col("recorded_breached")).then(pl.lit("yes")).otherwise(pl.lit("no"))
    is_told = pl.col("verdict") != "cannot be recomputed"
    # a target that was missed and then replaced by a longer one: neither the last target nor its margin says how late
    # (a thousandth is left to desks that round what share of a target is used up)
    is_last = ~pl.col("breached").fill_null(value=False) | (
        pl.col("margin_s") <= pl.col("target_s").fill_null(0) / 1000
    )
    return incident.clock.instances.filter(pl.col("verdict") != "cancelled").select(
        "ticket_id", "metric", "instance_no",
        pl.col("metric").str.replace_all("_", " ").alias("sla"),
        pl.col("policy").alias("sla_policy"),
        pl.when(is_last).then(pl.col("target_s") / 60).alias("target_min"),
        at.alias("due_at"),
        pl.col("stopped_at").alias("ended_at"),
        pl.when(is_told | pl.col("recorded_breached").is_null()).then(told).otherwise(recorded).alias("breach"),
        "verdict", "reason", "recorded_breached",
        pl.when(pl.col("breached") & is_last).then((-pl.col("margin_s")).clip(0) / 60).alias("late_min"),
    )  # fmt: skip


def _first_clock(clocks: pl.DataFrame) -> pl.DataFrame:
    """Return of each ticket the first target that was missed, else the first that was due, and how many there are."""
    missed = pl.col("breach") == "yes"
    ordered = clocks.sort(~missed, "due_at", "metric", "instance_no", nulls_last=True)
    return ordered.group_by("ticket_id", maintain_order=True).agg(
        pl.all().exclude("ticket_id").first(),
        pl.len().cast(pl.Int64).alias("targets"),
        missed.sum().cast(pl.Int64).alias("targets_missed"),
    )


def _why(row: dict[str, Any]) -> Iterator[str]:
    """Yield what is known of how a target came to be missed; nothing of one that was not."""
    if row["breach"] in {None, "no", "running"}:
        return
    if row["verdict"] == "cannot be recomputed":
        yield f"As the help desk recorded it: {row['reason'] or 'no times to count from'}"
    elif row["breach"] != "yes":
        yield f"{row['breach'].capitalize()}: the records are not exact enough"
    else:
        late = row["late_min"]
        said = "missed a target that was replaced later" if late is None else f"{lasting(timedelta(minutes=late))} late"
        yield f"{row['sla'].capitalize()} {said}" + ("" if row["ended_at"] else ", and still to come")
        if row["recorded_breached"] is False:
            yield "The help desk has it as kept"
    if not row["requests"]:
        yield "No request of a model is known to be this ticket's"
        return
    if row["joined"] == "time":
        yield "Which requests are its own is a guess by time"
    for count, total, said in (
        ("unanswered", "requests", "Requests without an answer"),
        ("by_backup", "requests", "Answered by the backup"),
        ("overridden", "suggestions", "Suggestions that had to be redone"),
    ):
        if row[count]:
            yield f"{said}: {number(row[count])} of {number(row[total])}"
    if row["total_wait_s"] is not None:
        yield f"Waits for the model: {number(1000 * row['total_wait_s'], 's')} in all"


def _link(template: str, ticket_id: str, url: str | None) -> str | None:
    return safe_link(template.replace("{ticket_id}", quote(ticket_id, safe=""))) if template else safe_link(url)
