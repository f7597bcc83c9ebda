# ruff: noqa: S608 - identifiers are the kit's own, or quoted
"""The kit's own format: the columns of its tables, in CSV, NDJSON, JSON or Parquet, typed column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from incident_kit.sources.formats import Format
from incident_kit.sources.records import Records, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

NAME = "canonical"
WITHOUT_ZONE = "has no time zone"

# the columns by which a file of a table is recognised: the most of them that are all there win
REQUIRED = {
    "requests": ("request_id", "arrived_at"),
    "attempts": ("attempt_id", "request_id", "sent_at"),
    "feedback": ("feedback_id", "decision"),
    "tickets": ("ticket_id", "created_at"),
    "sla": ("ticket_id", "metric", "instance_no"),
    "sla_events": ("ticket_id", "metric", "instance_no", "at", "type", "seq"),
    "ticket_events": ("ticket_id", "at", "type"),
    "actors": ("actor_id", "role"),
    "sla_targets": ("policy_id", "metric", "target_s"),
    "schedules": ("schedule_id", "zone"),
    "schedule_windows": ("schedule_id", "starts_minute", "ends_minute"),
    "schedule_holidays": ("schedule_id", "starts_on"),
    "signals": ("name", "known_at"),
}
KEYS = {
    "requests": ("request_id",),
    "attempts": ("request_id", "attempt_id"),
    "feedback": ("feedback_id",),
    "tickets": ("ticket_id",),
    "ticket_facts": ("ticket_id", "source"),
    "sla": ("ticket_id", "metric", "instance_no"),
    "sla_events": ("ticket_id", "metric", "instance_no", "seq"),
    "ticket_events": ("ticket_id", "at", "type", "value", "seq"),
    "actors": ("actor_id",),
    "sla_targets": ("policy_id", "metric", "priority", "from_at"),
    "schedules": ("schedule_id",),
    "schedule_windows": ("schedule_id", "starts_minute", "ends_minute"),
    "schedule_holidays": ("schedule_id", "starts_on", "name"),
    "signals": ("name", "known_at", "request_id", "ticket_id", "intent", "target"),
}
ALLOWED = {
    ("attempts", "kind"): ("call", "refusal", "cache_hit", "guardrail"),
    ("attempts", "status"): ("ok", "error", "timeout", "cut"),
    ("requests", "status"): ("ok", "error", "timeout", "cut"),
    ("feedback", "decision"): ("accepted", "edited", "rejected", "ignored", "unknown"),
    ("sla", "clock"): ("business", "calendar"),
    ("sla", "outcome"): ("met", "breached", "active", "cancelled"),
    ("sla", "evidence_level"): ("event", "instance", "label"),
    ("sla_events", "clock"): ("business", "calendar"),
    ("sla_targets", "clock"): ("business", "calendar"),
    ("actors", "role"): ("agent", "end_user", "bot"),
}
# what a column is where the file does not have it or leaves it empty
DEFAULTS = {
    ("attempts", "kind"): "'call'",
    ("attempts", "done_at"): "sent_at + to_milliseconds(latency_ms)",
    ("attempts", "latency_ms"): "round((epoch_us(done_at) - epoch_us(sent_at)) / 1000)::bigint",
    ("requests", "is_fallback"): "served <> requested",
    (
        "feedback",
        "overridden",
    ): "case when decision in ('edited', 'rejected') then true when decision = 'accepted' then false end",
    ("sla", "evidence_level"): "'instance'",
    ("schedule_holidays", "ends_on"): "starts_on",
}
# what a row of a table must hold beside its own columns, and the reason where it does not
_LARGEST = 1e12  # a signal is counted in millionths, in whole numbers
CHECKS = {
    "signals": (
        (
            "value is null and (numerator is null or denominator is null)",
            "neither a value nor numerator and denominator",
        ),
        (
            "value is not null and (numerator is not null or denominator is not null)",
            "a value and also a share: give one",
        ),
        ("denominator < 0", "denominator is negative"),
        *(
            (f"{name} is not null and not abs({name}) <= {_LARGEST:.0f}", f"{name} is no number up to {_LARGEST:,.0f}")
            for name in ("value", "numerator", "denominator")
        ),
    ),
    "schedule_windows": (
        ("ends_minute <= starts_minute", "ends_minute is not after starts_minute"),
        (
            "starts_minute >= 10080",
            "starts_minute is not within the week: minutes from Sunday 00:00 local, below 10,080",
        ),
        ("ends_minute - starts_minute > 10080", "the window is longer than a week"),
    ),
    "schedule_holidays": (("ends_on < starts_on", "ends_on is before starts_on"),),
}
SIGNED = ("value", "numerator", "denominator", "csat")
_SAID = {"TIMESTAMP WITH TIME ZONE": "a time", "DATE": "a date", "JSON": "JSON", "BOOLEAN": "true or false"}


@dataclass(frozen=True)
class Column:
    """A column of a table, and where the file has it."""

    name: str
    type: str
    source: str = ""
    source_type: str = ""


def canonical_formats() -> tuple[Format, ...]:
    """Return one format per table of the kit that can be loaded as it is."""
    answers = {
        "requests": {
            "waits": ("yes", "each request's own wait_ms"),
            "errors": (
                "lower bound",
                "requests say how they ended, not which of their calls failed; load attempts too",
            ),
            "tools": ("yes", "each request's tool_calls and tool_errors"),
            "fidelity": ("yes", "the rows say what was asked for and what answered"),
        },
        "attempts": {
            "waits": ("yes", "each attempt's own times"),
            "errors": ("yes", "each attempt's own status"),
            "tools": ("yes", "each attempt's tool_calls and tool_errors"),
            "fidelity": ("yes", "the rows say what was tried first and what answered"),
        },
        "feedback": {"overrides": ("yes", "what agents did with each suggestion")},
        "sla": {"sla": ("yes", "each clock's start, due time and stop")},
        "sla_events": {"sla": ("yes", "every start, pause, breach and stop of each clock")},
    }
    return tuple(
        Format(
            name=NAME,
            title=f"the kit's own columns of {table}",
            table=table,
            detect=required,
            answers=answers.get(table, {}),
        )
        for table, required in REQUIRED.items()
    )


def typed(records: Records, table: str, *, wanted: Mapping[str, str], connection: duckdb.DuckDBPyConnection) -> str:
    """Return SQL that reads the records as rows of a table: reject, and the wanted columns that the file has.

    Its parameters are those of the records, ``$zone`` and, for JSON, ``$own_paths``. A value that does not cast
    gives a reason in ``reject`` that names the column and the value.
    """
    raw, present = _located(records, wanted, connection)
    here = {column.name: column for column in present}
    cast = [
        f"{_cast(here[name]) if name in here else f'null::{kind}'} as {quoted(name)}" for name, kind in wanted.items()
    ]
    cast += [f"{column.source}::varchar as {quoted('given ' + column.name)}" for column in present if _may_fail(column)]
    chosen = [_with_default(name, table) for name in wanted]
    found = [reason for column in present for reason in _reasons(column, table)]
    found += [f"when {test} then '{reason}'" for test, reason in CHECKS.get(table, ())]
    reasons = " ".join(found)
    return (
        f"with raw as ({raw}), cast_rows as (select {', '.join(cast)} from raw) "
        f"select case {reasons} end as reject, {', '.join(chosen)} from cast_rows"
    )


def epoch_units(records: Records, *, wanted: Mapping[str, str], connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return SQL that lists the units of the file's epoch numbers, or None where no time column can hold any."""
    raw, present = _located(records, wanted, connection)
    times = [
        column for column in present
        if column.type == "TIMESTAMP WITH TIME ZONE" and not column.source_type.startswith(("TIMESTAMP", "DATE"))
    ]  # fmt: skip
    if not times:
        return None
    units = ", ".join(f"epoch_unit({column.source}::varchar)" for column in times)
    listed = f"select unnest([{units}]) as unit from ({raw})"
    return f"select distinct unit from ({listed}) where unit is not null order by unit"


def _located(
    records: Records, wanted: Mapping[str, str], connection: duckdb.DuckDBPyConnection
) -> tuple[str, list[Column]]:
    if records.file.kind in {"csv", "parquet"}:
        described = connection.execute(f"describe {records.rows}", records.params).fetchall()
        types = {row[0]: row[1] for row in described}
        present = [Column(name, kind, quoted(name), types[name]) for name, kind in wanted.items() if name in types]
        return f"select * from ({records.rows})", present
    numbered = enumerate(wanted.items(), start=1)
    present = [Column(name, kind, f"v[{number}]", "VARCHAR") for number, (name, kind) in numbered]
    return (
        f"select json_extract_string(record, $own_paths) as v from ({records.objects})",
        present,
    )


def json_paths(wanted: Mapping[str, str], *, columns: Mapping[str, str]) -> list[str]:
    """Return where a JSON record has each wanted column, in order."""
    return [f'$."{columns.get(name, name)}"' for name in wanted]


def _may_fail(column: Column) -> bool:
    return column.type not in {column.source_type, "VARCHAR"}


def _cast(column: Column) -> str:
    source = f"nullif({column.source}, '')" if column.source_type == "VARCHAR" else column.source
    if column.type == column.source_type:
        return source
    if column.type == "TIMESTAMP WITH TIME ZONE":
        if column.source_type.startswith(("TIMESTAMP", "DATE")):
            return f"timezone($zone, {source}::timestamp)"
        return f"instant({source}::varchar, $zone)"
    if column.type == "JSON" and column.source_type != "VARCHAR":
        return f"to_json({source})"
    return f"try_cast({source} as {column.type})"


def _with_default(name: str, table: str) -> str:
    default = DEFAULTS.get((table, name))
    return f"coalesce({quoted(name)}, {default}) as {quoted(name)}" if default else quoted(name)


def _reasons(column: Column, table: str) -> list[str]:
    name, given = quoted(column.name), quoted("given " + column.name)
    shown = f"'{column.name}: ''' || left({given}, 40)"
    found = []
    if _may_fail(column):
        if column.type == "TIMESTAMP WITH TIME ZONE":
            test = "true" if column.source_type.startswith(("TIMESTAMP", "DATE")) else f"zoneless({given})"
            found.append(f"when {name} is null and {given} <> '' and {test} then {shown} || ''' {WITHOUT_ZONE}'")
        said = _SAID.get(column.type, "a number")
        found.append(f"when {name} is null and {given} <> '' then {shown} || ''' is not {said}'")
    if column.name in REQUIRED[table]:
        found.append(f"when {name} is null then 'no {column.name}'")
    if (table, column.name) in ALLOWED:
        words = ALLOWED[table, column.name]
        listed = ", ".join(f"'{word}'" for word in words)
        wrong = f"'{column.name}: ''' || left({name}, 40) || ''' is not one of {', '.join(words)}'"
        found.append(f"when {name} not in ({listed}) then {wrong}")
    if column.type in {"BIGINT", "INTEGER", "DOUBLE"} and column.name not in SIGNED:
        found.append(f"when {name} < 0 then '{column.name}: ' || {name} || ' is negative'")
    return found
