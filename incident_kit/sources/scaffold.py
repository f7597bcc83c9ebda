"""Scaffold: the first draft of a format's ``.sql`` file, from a sample of what it reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from incident_kit.errors import UnknownFormat, UnreadableFile, did_you_mean
from incident_kit.sources import leaves
from incident_kit.sources.canonical import ALLOWED, REQUIRED, WITHOUT_ZONE
from incident_kit.sources.detection import members, sampled
from incident_kit.sources.files import inspect
from incident_kit.sources.formats import LABELS
from incident_kit.sources.guesses import Guess, guesses
from incident_kit.sources.loading import formats
from incident_kit.sources.staging import shape
from incident_kit.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
# what the kit makes itself, or what no single value of a record says
_NOT_GUESSED = {
    "line", "reject", "seq", "kind", "first_token_at", "tools_offered", "tool_errors", "tool_result_at", "worker",
    "retry_after_ms", "spans_request", "rows_stated", "fallbacks", "is_fallback", "labels", "calls_made", "tool_results",
    "request_began_at", "request_done_at", "complete", "overridden", "wait_is_lower_bound", "attempts_logged",
    "attempts_complete", "recomputed_breached", "evidence_level", "decision_rule", "outcome", "clock", "source",
}  # fmt: skip
_ANSWERS = {
    "attempts": {
        "waits": ("latency_ms", "lower bound: the rows miss what a gateway did before its first call"),
        "errors": ("status", "lower bound: whether every failed call has a row is not known; if so, say yes"),
        "fidelity": ("target", "lower bound: whether every refused and failed call has a row is not known"),
    },
    "requests": {
        "waits": ("wait_ms", "yes: each request's own wait"),
        "errors": ("status", "lower bound: requests say how they ended, not which of their calls failed"),
    },
    "feedback": {"overrides": ("decision", "yes: what agents did with each suggestion")},
    "sla": {"sla": ("due_at", "yes: each clock's start, due time and stop")},
}


@dataclass(frozen=True)
class Scaffold:
    """The draft's text, what was guessed of each column, and which columns a row needs but the sample does not show."""

    text: str
    guessed: Mapping[str, str]
    missing: tuple[str, ...]


def scaffold(name: str, sample: str | Path, *, table: str = "attempts") -> Scaffold:
    """Return the draft of a format of that name for a table of the kit, as the sample's keys and values suggest.

    Raises
    ------
    UnknownFormat
        The name is no plain word or taken, or there is no such table.
    UnreadableFile
        The sample cannot be read, or holds no records.
    """
    if not _NAME.fullmatch(name):
        raise UnknownFormat(f"{name!r} cannot be a format's name: small letters, digits and _, such as our_proxy")
    if name in {one.name for one in formats()}:
        raise UnknownFormat(f"there is a format {name!r} already; choose another name")
    if table not in REQUIRED:
        raise UnknownFormat(
            f"there is no table {table!r}{did_you_mean(table, REQUIRED)}; tables are {', '.join(REQUIRED)}"
        )
    with Store() as store:
        file = sampled(inspect(Path(sample)), store.connection)
        types = {
            column: kind
            for column, kind in shape(store, table).items()
            if column not in _NOT_GUESSED and "STRUCT" not in kind
        }
    records: Sequence[Mapping[str, Any]] = file.samples
    if file.kind == "page" or (file.kind == "lines" and not file.member):
        # a page holds its records in one of its lists
        inner = next((rows for _, rows in members(file)), [])
        flat = sum(
            1
            for record in records[:1]
            for _ in leaves.leaves({k: v for k, v in record.items() if not isinstance(v, list)})
        )
        records = inner if inner and (file.kind == "page" or flat < 3) else records
    if not records:
        raise UnreadableFile(f"{sample} holds no records to make a format from")
    found = guesses(records, list(types))
    missing = tuple(column for column in _needed(table) if column not in found)
    guessed = {column: f"{guess.path}{f' ({guess.note})' if guess.note else ''}" for column, guess in found.items()}
    return Scaffold(_text(name, sample, table, records=records, found=found, types=types), guessed, missing)


def _needed(table: str) -> list[str]:
    # a row that is one call may have no id of its own besides its request's
    return [column for column in REQUIRED[table] if column not in {"attempt_id", "instance_no", "seq", "feedback_id"}]


def _text(
    name: str, sample: str | Path, table: str, *,
    records: Sequence[Mapping[str, Any]], found: Mapping[str, Guess], types: Mapping[str, str],
) -> str:  # fmt: skip
    labels = {column: found[column] for column in LABELS if column in found and table in {"attempts", "requests"}}
    plain = {column: guess for column, guess in found.items() if column not in labels}
    missing = [column for column in _needed(table) if column not in found]
    places = {column: number for number, column in enumerate([*plain, *missing], start=1)}
    paths = [guess.path for guess in plain.values()] + ["$.SAY_WHERE"] * len(missing)
    steps = [f"    {_cast(column, places[column], plain.get(column), types[column], table)}" for column in places]
    steps += [
        f"    list_filter(json_extract_string(record, ${column}_paths), lambda x: x <> '')[1] as {column}"
        for column in labels
    ]
    steps += [f"    v[{places[column]}] as {column}_text" for column in places if types[column].startswith("TIMESTAMP")]
    given = [*places, *labels]
    extra = _extra(table, given)
    parameters = ["$zone VARCHAR", *(f"${column}_paths VARCHAR[]" for column in labels)]
    columns = [
        "line BIGINT",
        "reject VARCHAR",
        *(f"{column} {types[column]}" for column in given),
        *(f"{column} {kind}" for column, kind, _ in extra),
    ]
    lines = [
        "-- one row per record",
        f"-- parameters: {', '.join(parameters)}",
        f"-- columns: {', '.join(columns)}",
        "-- ---",
        f"-- name: {name}",
        f"-- title: {name.replace('_', ' ')}",
        f"-- table: {table}",
        "-- one_to_one: true",
        f"-- detect: [{', '.join(_yaml(key) for key in _detected(records))}]",
        *(["-- labels:"] if labels else []),
        *(f"--   {column}: [{_yaml(guess.path)}]" for column, guess in labels.items()),
        *(["-- answers:"] if _answers(table, found) else []),
        *(f'--   {question}: "{text}"' for question, text in _answers(table, found).items()),
        "-- ---",
        f"-- Drafted from {_shown(Path(sample).name)}: look through what was guessed, then run",
        f"-- incident-kit source test {name}.sql SAMPLE",
        *(
            f"--   {column} <- {_shown(guess.path)}{f': {_shown(guess.note)}' if guess.note else ''}"
            for column, guess in found.items()
        ),
        *(f"--   {column} was NOT FOUND: put its path in place of $.SAY_WHERE" for column in missing),
        "-- A row that cannot be used says why in `reject`; every record must give a row. Unknown is NULL, never 0.",
        "with extracted as (",
        "  -- one call for all paths: each call reads the record anew",
        f"  select line, record, json_extract_string(record, [{', '.join(_literal(path) for path in paths)}]) as v",
        "  from raw",
        "),",
        "named as (",
        "  select",
        "    line,",
        ",\n".join(steps),
        "  from extracted",
        ")",
        "select",
        "  line,",
        "  case",
        *_reasons(table, given, types),
        "  end as reject,",
        ",\n".join(
            [*(_given(column, given) for column in given), *(f"  {sql} as {column}" for column, _, sql in extra)]
        ),
        "from named",
    ]
    return "\n".join(lines) + "\n"


def _given(column: str, given: Sequence[str]) -> str:
    if column == "error_class" and "status" in given:
        # many logs give every call a code
        return "  case when status <> 'ok' then error_class end as error_class"
    return f'  "{column}"'


def _cast(column: str, place: int, guess: Guess | None, kind: str, table: str) -> str:
    value, name = f"nullif(trim(v[{place}]), '')", f'"{column}"'
    if kind.startswith("TIMESTAMP"):
        return f"instant({value}, $zone) as {name}"
    if guess is not None and guess.kind == "duration":
        scale = "" if guess.scale == 1 else f" * {guess.scale:g}"
        return f"round(try_cast({value} as double){scale})::bigint as {name}"
    if column == "status" and (table, column) in ALLOWED:
        return (
            "case\n"
            f"      when lower({value}) in ('ok', 'success', 'succeeded', 'completed', 'complete', 'true', 'done') then 'ok'\n"
            f"      when {value} similar to '[23][0-9][0-9]' then 'ok'\n"
            f"      when lower({value}) like '%timeout%' or lower({value}) like '%timed%out%' then 'timeout'\n"
            f"      when {value} in ('408', '504') then 'timeout'\n"
            f"      when lower({value}) in ('cut', 'cancelled', 'canceled', 'aborted', 'incomplete') then 'cut'\n"
            f"      when {value} is not null then 'error'\n"
            f"    end as {name}"
        )
    if kind == "BOOLEAN":
        return f"lower({value}) in ('true', '1', 'yes') as {name}"
    if kind in {"BIGINT", "INTEGER"}:
        return f"try_cast(try_cast({value} as double) as {kind.lower()}) as {name}"
    if kind == "DOUBLE":
        return f"try_cast({value} as double) as {name}"
    if column == "decision":
        return f"lower({value}) as {name}"
    return f"{value} as {name}"


def _extra(table: str, given: Sequence[str]) -> list[tuple[str, str, str]]:
    found = []
    if table == "attempts":
        found.append(("kind", "VARCHAR", "'call'"))
        if "attempt_id" not in given:
            found.append(("attempt_id", "VARCHAR", "request_id"))
        if "done_at" not in given and "latency_ms" in given:
            found.append(("done_at", "TIMESTAMP WITH TIME ZONE", "sent_at + to_milliseconds(latency_ms)"))
        if "latency_ms" not in given and "done_at" in given:
            found.append(("latency_ms", "BIGINT", "round((epoch_us(done_at) - epoch_us(sent_at)) / 1000)::bigint"))
    if table == "feedback" and "feedback_id" not in given and "suggestion_id" in given:
        found.append(("feedback_id", "VARCHAR", "suggestion_id"))
    if table in {"sla", "sla_events"} and "instance_no" not in given:
        found.append(("instance_no", "INTEGER", "1"))
    if table == "sla_events" and "seq" not in given:
        found.append(("seq", "BIGINT", "line"))
    return found


def _reasons(table: str, given: Sequence[str], types: Mapping[str, str]) -> list[str]:
    found = []
    for column in given:
        if types[column].startswith("TIMESTAMP"):
            found.append(
                f"    when \"{column}\" is null and {column}_text <> ''\n"
                f"      then '{column}: ''' || left({column}_text, 40)\n"
                f"        || case when zoneless({column}_text) then ''' {WITHOUT_ZONE}' else ''' is not a time' end"
            )
        if column in REQUIRED[table]:
            found.append(f"    when \"{column}\" is null then 'no {column}'")
        if column != "status" and (table, column) in ALLOWED:
            words = ", ".join(f"'{word}'" for word in ALLOWED[table, column])
            found.append(
                f'    when "{column}" not in ({words})\n'
                f"      then '{column}: ''' || left(\"{column}\", 40) || ''' is none the kit knows'"
            )
        if types[column] in {"BIGINT", "INTEGER"}:
            found.append(f"    when \"{column}\" < 0 then '{column} is negative'")
    if {"sent_at", "done_at"} <= set(given):
        found.append("    when done_at < sent_at then 'done_at is before sent_at'")
    return found or ["    when record is null then 'no record'"]


def _detected(records: Sequence[Mapping[str, Any]]) -> list[str]:
    common = [
        key for key in records[0] if all(key in record for record in records) and re.fullmatch(r"[\w .:@/+-]+", key)
    ]
    return common[:8] or [key for key in records[0] if re.fullmatch(r"[\w .:@/+-]+", key)][:1]


def _answers(table: str, found: Mapping[str, Guess]) -> dict[str, str]:
    return {question: text for question, (column, text) in _ANSWERS.get(table, {}).items() if column in found}


def _literal(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"


def _yaml(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
