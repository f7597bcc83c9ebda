"""Every SQL file says its grain, parameters and columns, and gives what it says on sample data."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from incident_kit.sources import load
from incident_kit.sources.formats import FOLDERS, parse_format
from incident_kit.sources.staging import prepare
from incident_kit.store import Store, statement

PACKAGE = Path(__file__).parents[1] / "incident_kit"
DATA = Path(__file__).parent / "data"
QUERIES = sorted(path.stem for path in (PACKAGE / "sql").glob("*.sql"))
FORMATS = sorted(path for folder in FOLDERS for path in (PACKAGE / "sources" / folder).glob("*.sql"))
# the shape of a table, which has no rows
EMPTY = {"load_stage_attempts"}
# values for parameters; those not named here get one by their type
VALUES: dict[str, Any] = {"zone": "UTC", "load_ids": [1, 2, 3, 4, 5], "source": "litellm_spend", "desk": "zendesk"}
VALUES["words"] = ["req-1", "541", "none"]
BY_TYPE: dict[str, Any] = {
    "VARCHAR": "primary_chat_model", "BIGINT": 1, "INTEGER": 1, "DOUBLE": 0.5, "BOOLEAN": True, "VARCHAR[]": ["$.intent"],
    "BIGINT[]": [1], "TIMESTAMP WITH TIME ZONE": datetime(2026, 11, 22, 12, 25, tzinfo=UTC),
}  # fmt: skip
# what the queries read besides the incident's tables, as the code that runs them makes it
RELATIONS = {
    "touched": "select request_id, null as ticket_id, null as metric, null as instance_no from requests"
    " union all select null, ticket_id, metric, instance_no from sla"
    " union all select null, ticket_id, null, null from ticket_facts",
    "told": statement("history_told").replace("$desk", "'zendesk'"),
    "alive": statement("history_tickets"),
    "staged": "select rowid as row_no, null::varchar as reject, request_id from requests",
    "candidates": "select 1::bigint as row_no, 'k' as key, 1::ubigint as content union all select 2, 'k', 2",
    "stored": "select 'k' as key, 2::ubigint as content",
    "contested": "select 'k' as key",
}


def header(text: str, what: str) -> str:
    found = [line for line in text.splitlines() if line.startswith(f"-- {what}")]
    assert len(found) == 1, f"one line '-- {what}' is wanted, there are {len(found)}"
    return found[0].removeprefix(f"-- {what}").strip()


def columns(text: str) -> list[tuple[str, str]]:
    # commas inside STRUCT(...) separate no columns
    parts = re.split(r", (?![^(]*\))", header(text, "columns:"))
    return [(name, kind) for name, kind in (part.split(" ", 1) for part in parts)]


def parameters(text: str) -> dict[str, str]:
    declared = header(text, "parameters:")
    found = (
        {} if declared == "none" else dict(part.strip().removeprefix("$").split(" ", 1) for part in declared.split(","))
    )
    body = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert set(re.findall(r"\$([a-z_]\w*)", body)) == set(found), "declared and used parameters differ"
    return found


def arguments(text: str) -> dict[str, Any]:
    return {name: VALUES.get(name, BY_TYPE[kind]) for name, kind in parameters(text).items()}


@pytest.fixture(scope="module")
def sample() -> Store:
    store = Store()
    names = (
        "litellm.ndjson", "overrides.csv", "zendesk_events.json", "requests.csv", "signals.csv",
        *(f"formats/zendesk_{name}.csv" for name in ("ticket", "field_history", "comment", "user", "ticket_schedule")),
    )  # fmt: skip
    load(store, [DATA / name for name in names])
    prepare(store)
    store.run("insert into tickets (ticket_id, created_at) select distinct ticket_id, now() from sla")
    # targets of several deployments
    store.run("update attempts set deployment = attempt_id where kind = 'call'")
    # what packs take along, of which these files have none
    for row in (
        "annotations values (now(), null, 'impact', null, null)", "lots values ('r1', 'borrow', 1)",
        "schedules values ('s', null, 'UTC', true, 1)", "schedule_windows values ('s', 0, 60, 1)",
        "schedule_holidays values ('s', null, current_date, null, 1)",
        "sla_targets values ('p', 'first_reply', null, 60, 'calendar', null, 1)",
    ):  # fmt: skip
        store.run(f"insert into {row}")
    # one load for the queries that want the rows of a load
    store.run("update sla_events set load_id = 1")
    for name, sql in RELATIONS.items():
        store.run(f"create temp table {name} as {sql}")
    return store


@pytest.mark.parametrize("name", QUERIES)
def test_query_gives_what_it_declares(sample: Store, name: str) -> None:
    text = statement(name)
    assert text.startswith("-- one row"), "the first line says the grain"
    relation = sample.connection.sql(text, params=arguments(text) or None)
    assert list(zip(relation.columns, map(str, relation.types), strict=True)) == columns(text)
    assert (relation.pl().height > 0) is (name not in EMPTY), "the sample should reach every query"


@pytest.mark.parametrize("path", FORMATS, ids=lambda path: path.stem)
def test_format_gives_what_it_declares(sample: Store, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("-- one row per")
    assert parse_format(text, where=path.name).name == path.stem
    record = json.dumps({"id": "x"})
    raw = f"select 1::bigint as line, {record!r}::json as record"
    sql = f"with raw as ({raw}) select * from (\n{text}\n)"  # noqa: S608 - a file of the kit's own
    relation = sample.connection.sql(
        sql, params=arguments(text) | {name: None for name in parameters(text) if name.endswith("tag")} or None
    )
    assert list(zip(relation.columns, map(str, relation.types), strict=True)) == columns(text)
    # a companion may have nothing to say of a record
    assert relation.pl().height == 1 or not parse_format(text, where=path.name).detect


def test_statements_are_one_each_and_in_lower_case() -> None:
    for path in [*(PACKAGE / "sql").glob("*.sql"), *FORMATS]:
        body = re.sub(r"--.*|'[^']*'", "", path.read_text(encoding="utf-8"))
        assert ";" not in body, path.name
        assert not re.findall(r"\b(?:SELECT|FROM|WHERE|GROUP BY|WITH|JOIN|CASE|WHEN|AND|OR)\b", body), path.name
