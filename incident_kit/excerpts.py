"""Excerpts: one day of a log as an incident of its own, with what belongs to its requests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit.errors import InvalidScenario, did_you_mean
from incident_kit.incident import Incident
from incident_kit.scenarios.truth import put

if TYPE_CHECKING:
    from incident_kit.store import Store

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
OF_REQUESTS = ("attempts", "request_facts", "feedback")
SETTINGS = (
    "title", "zone", "slow_ms", "prices", "is_simulated", "reports", "policies", "in_force", "sla_settings", "ticket_link",
    "owners", "decision", "contacts",
)  # fmt: skip
OF_TICKETS = ("tickets", "ticket_facts", "sla", "sla_verdicts", "sla_events", "ticket_events")


def day_of(incident: Incident, day: str | date) -> tuple[datetime, datetime]:
    """Return a day of the log, from midnight to midnight in the reader's zone.

    A date, or a weekday's name: the last one that the log holds.

    Raises
    ------
    InvalidScenario
        It is no day, or the log has no request on it; the days that it has are listed.
    """
    zone = ZoneInfo(incident.zone)
    there = days(incident)
    if isinstance(day, str) and day.lower() in WEEKDAYS:
        on = [one for one in there if WEEKDAYS[one.weekday()] == day.lower()]
        wanted = on[-1] if on else None
    else:
        wanted = _date(day)
    if wanted not in there:
        said = day if isinstance(day, str) else day.isoformat()
        listed = ", ".join(f"{one} ({WEEKDAYS[one.weekday()].capitalize()})" for one in there[-8:]) or "none"
        raise InvalidScenario(f"the log has no request on {said} in {incident.zone}; its days are {listed}")
    begin = datetime.combine(wanted, time(), tzinfo=zone)
    return begin.astimezone(UTC), datetime.combine(wanted + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)


def days(incident: Incident) -> list[date]:
    """Return the days in the reader's zone on which the log has requests, in order."""
    at = incident.requests()["arrived_at"].dt.convert_time_zone(incident.zone).dt.date()
    return at.unique().sort().to_list()


def _date(day: str | date) -> date:
    if isinstance(day, datetime):
        return day.date()
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise InvalidScenario(
            f"{day!r} is no day{did_you_mean(day, WEEKDAYS)}; write 2026-11-17, or a weekday for the last one in the log"
        ) from None


def excerpt(incident: Incident, begin: datetime, end: datetime) -> Incident:
    """Return the requests that arrived in [begin, end) as an incident in memory, with their calls, feedback and tickets.

    Other tickets are there where they were created in that time, signals and annotations where they fell into it. What the
    log can answer is what the whole one could; the settings of the case are the same.
    """
    tables = tables_of(incident.store)
    requests = tables["requests"].filter(_within("arrived_at", begin, end))
    tables["requests"] = requests
    ids = requests.select("request_id").unique()
    for name in OF_REQUESTS:
        if name in tables:
            tables[name] = tables[name].join(ids, on="request_id", how="semi")
    kept = requests.select("ticket_id").drop_nulls()
    if "tickets" in tables:
        kept = pl.concat([kept, tables["tickets"].filter(_within("created_at", begin, end)).select("ticket_id")])
    for name in OF_TICKETS:
        if name in tables:
            tables[name] = tables[name].join(kept.unique(), on="ticket_id", how="semi")
    for name, column in (("signals", "known_at"), ("annotations", "at")):
        if name in tables:
            tables[name] = tables[name].filter(_within(column, begin, end))
    return copied(incident, tables)


def tables_of(store: Store) -> dict[str, pl.DataFrame]:
    """Return every table of an incident that has rows; attempts, feedback and annotations in any case."""
    names = [name for (name,) in store.rows("select table_name from duckdb_tables() where not temporary order by 1")]
    always = {"requests", "attempts", "feedback", "annotations"}
    frames = {
        name: store.frame(f"select * from {name}")  # noqa: S608 - the kit's own tables
        for name in names
        if name != "meta"
    }
    return {name: frame for name, frame in frames.items() if frame.height or name in always}


def copied(incident: Incident, tables: Mapping[str, pl.DataFrame], *, path: str | Path | None = None) -> Incident:
    """Return another incident with these tables and the settings of the first."""
    other = Incident.create(path)
    try:
        with other.store.transaction():
            for name, rows in tables.items():
                put(other.store, name, rows)
    except BaseException:
        other.store.close()
        raise
    for name in SETTINGS:
        setattr(other, name, getattr(incident, name))
    return other


def _within(column: str, begin: datetime, end: datetime) -> pl.Expr:
    return (pl.col(column) >= begin) & (pl.col(column) < end)
