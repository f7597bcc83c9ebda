# ruff: noqa: S608 - statements of this package inside one another
"""Rolled up: the rows that follow from other rows, made anew after each load so that their order does not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incident_kit.store import statement

if TYPE_CHECKING:
    from incident_kit.store import Store


def roll_up(store: Store, table: str, load_id: int) -> None:
    """Make the rows anew that depend on what the load brought: of `requests`, `sla` or `tickets`."""
    if table == "attempts":
        _roll_up_requests(store, load_id)
    elif table == "sla_events":
        _roll_up_sla(store, load_id)
    elif table in {"ticket_facts", "ticket_events", "actors"}:
        _roll_up_tickets(store, table, load_id)


def _roll_up_requests(store: Store, load_id: int) -> None:
    run = store.run
    run(f"create or replace temp table touched as {statement('load_touched_requests')}", {"load_id": load_id})
    run(f"create or replace temp table rolled as {statement('roll_attempts')}")
    run(
        "update attempts set seq = r.seq, sent_at = r.sent_at, latency_ms = r.latency_ms, tool_errors = r.tool_errors,"
        " tool_result_at = r.tool_result_at from rolled as r"
        " where r.request_id = attempts.request_id and r.attempt_id = attempts.attempt_id"
    )
    run("delete from requests where load_id is null and request_id in (select request_id from touched)")
    # a row of a requests file wins over what its attempts say
    run(
        f"insert into requests by name select * from ({statement('roll_requests')})"
        " where request_id not in (select request_id from requests where load_id is not null)"
    )


def _roll_up_sla(store: Store, load_id: int) -> None:
    instance = "(ticket_id, metric, instance_no)"
    store.run(f"create or replace temp table touched as {statement('load_touched_sla')}", {"load_id": load_id})
    # what was the first start of an instance may, with an older file loaded later, be its second
    store.run(
        f"update sla_events set type = r.type from ({statement('roll_sla_events')}) as r"
        " where r.ticket_id = sla_events.ticket_id and r.metric = sla_events.metric"
        " and r.instance_no = sla_events.instance_no and r.seq = sla_events.seq"
    )
    store.run(f"delete from sla where load_id is null and {instance} in (select {instance} from touched)")
    store.run(
        f"insert into sla by name select * from ({statement('roll_sla')})"
        f" where {instance} not in (select {instance} from sla where load_id is not null)"
    )


def _roll_up_tickets(store: Store, table: str, load_id: int) -> None:
    # who wrote a comment may be any of those that a file of users tells
    touched = "ticket_facts" if table == "actors" else f"{table} where load_id = $load_id"
    values = {} if table == "actors" else {"load_id": load_id}
    store.run(f"create or replace temp table touched as select distinct ticket_id from {touched}", values)
    store.run(
        "delete from ticket_events where load_id is null and type = 'reopen' and ticket_id in (select ticket_id from touched)"
    )
    store.run(f"insert into ticket_events by name {statement('roll_reopens')}")
    store.run("delete from tickets where load_id is null and ticket_id in (select ticket_id from touched)")
    # a row of a tickets file wins over what several files say together
    store.run(
        f"insert into tickets by name select * from ({statement('roll_tickets')})"
        " where ticket_id not in (select ticket_id from tickets where load_id is not null)"
    )
