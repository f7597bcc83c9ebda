"""A user's own SQL sees the records and nothing else: no files, no network, no settings, no other table."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from incident_kit.errors import IncidentKitError, UnknownFormat
from incident_kit.sources import load, sandbox
from incident_kit.sources.formats import parse_format, vendor_formats
from incident_kit.store import Store

HEAD = """-- one row per thing
-- parameters: none
-- columns: name VARCHAR, known_at TIMESTAMP WITH TIME ZONE, value DOUBLE
-- ---
-- name: mine
-- table: signals
-- ---
"""
ROW = "'n' as name, timestamptz '2026-01-05 12:00:00+00' as known_at, {value} as value"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "log.ndjson"
    file.write_text("".join(json.dumps({"n": number}) + "\n" for number in range(3)))
    return file


def run(sql: str, log: Path) -> Store:
    mine = log.parent / "mine.sql"
    mine.write_text(HEAD + sql)
    store = Store()
    load(store, log, source=str(mine))
    return store


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select * from read_csv('/etc/passwd')", "calls read_csv"),
        ("select * from read_text('/etc/passwd')", "calls read_text"),
        ("select * from read_parquet('https://example.org/x.parquet')", "calls read_parquet"),
        ("select (select content from read_blob('/etc/passwd')) from raw", "calls read_blob"),
        ("with x as (select * from glob('/tmp/*')) select * from x", "calls glob"),
        ("select * from query('select 1')", "calls query"),
        ("select * from json_execute_serialized_sql('{}')", "calls json_execute_serialized_sql"),
        ("select * from duckdb_settings()", "calls duckdb_settings"),
        ("select * from arrow_scan(1, 2, 3)", "calls arrow_scan"),
        ("select * from '/etc/passwd'", "/etc/passwd does not exist"),
        ("select * from '/etc/passwd.csv'", "cannot be run"),
        ('select * from "log"', "log does not exist"),
        ("select * from handed_back", "handed_back does not exist"),
        ("copy (select 1) to '/tmp/never.csv'", "holds copy"),
        ("attach '/tmp/never.db'", "holds attach"),
        ("install httpfs", "holds load"),
        ("load httpfs", "holds load"),
        ("set memory_limit = '1TB'", "holds set"),
        ("pragma threads = 8", "holds"),
        ("call pragma_version()", "holds"),
        ("create table t as select 1", "holds create"),
        ("select 1; drop view raw", "holds select, drop"),
        ("select 1\n) ; attach '/tmp/never.db' ; select * from (select 1", "cannot be run"),
        ("select getenv('HOME') as name from raw", "getenv does not exist"),
        ("", "holds nothing"),
        ("select from where", "cannot be run"),
    ],
)  # fmt: skip
def test_what_is_not_a_select_over_the_records_is_refused_in_one_sentence(sql: str, said: str, log: Path) -> None:
    with pytest.raises(UnknownFormat, match=said) as caught:
        run(sql, log)
    assert str(caught.value).startswith("the format mine ")
    assert "\n" not in str(caught.value)
    assert not Path("/tmp/never.csv").exists()  # noqa: S108 - it must not be there
    assert not Path("/tmp/never.db").exists()  # noqa: S108 - the same


def test_the_database_itself_refuses_what_the_reader_of_the_statement_would_miss(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "refuse_more_than_raw", lambda *_: None)
    for sql, said in (
        ("select * from read_text('/etc/passwd')", "disabled by configuration"),
        ("select * from glob('/tmp/*')", "disabled by configuration"),
        ("select 1) ; set memory_limit = '1TB' ; select * from (select 2", "configuration has been locked"),
    ):
        with pytest.raises(IncidentKitError, match=said):
            run(sql, log)


def test_every_row_is_seen_at_once_in_its_order(log: Path) -> None:
    log.write_text("".join(json.dumps({"n": number}) + "\n" for number in range(30_000)))
    store = run(
        "select line, case when (record ->> '$.n')::bigint <> line - 1 then 'out of order' end as reject,"
        " 'n' as name, to_timestamp((record ->> '$.n')::double) as known_at,"
        " (select count(*) from raw)::double as value from raw",
        log,
    )
    assert store.rows("select count(*), min(value), max(value) from signals") == [(30_000, 30_000.0, 30_000.0)]
    assert store.rows("select count(*) from rejects") == [(0,)]


def test_rows_may_be_made_from_values_and_the_kits_macros_called(log: Path) -> None:
    store = run(
        "select 'n' as name, instant('2026-01-05 12:00:00', 'UTC') + to_seconds(r.range + (record ->> '$.n')::bigint * 10)"
        " as known_at, 1.0 as value from raw, range(2) as r",
        log,
    )
    assert store.rows("select count(distinct known_at) from signals") == [(6,)]


def test_too_much_memory_is_a_sentence(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MEMORY", "50MB")
    gathered = "(select array_agg(i) as all_of_them from range(20000000) as t(i))"
    with pytest.raises(UnknownFormat, match=r"the format mine cannot be run on .*Out of Memory"):
        run(f"select {ROW.format(value='len(all_of_them)::double')} from {gathered}", log)  # noqa: S608 - a user's own


@pytest.mark.parametrize("chosen", vendor_formats(), ids=lambda chosen: chosen.name)
def test_the_kits_own_formats_would_pass(chosen: object) -> None:
    """So a copy of one is a good start for a user's own."""
    with duckdb.connect() as box:
        sandbox.refuse_more_than_raw(box, chosen)  # type: ignore[arg-type]


def test_a_copy_of_a_format_of_the_kit_gives_the_same_rows(tmp_path: Path) -> None:
    data = Path(__file__).parent / "data" / "litellm.ndjson"
    (ours,) = (one for one in vendor_formats() if one.name == "litellm_standard")
    copy = tmp_path / "copy.sql"
    copy.write_text(ours.sql)
    assert not parse_format(ours.sql, where="copy.sql").trusted
    stores = [Store(), Store()]
    load(stores[0], data)
    load(stores[1], data, source=str(copy))
    for table in ("attempts", "requests", "request_facts", "rejects"):
        frames = [store.frame(f"select * from {table} order by all") for store in stores]  # noqa: S608 - our tables
        assert frames[0].equals(frames[1])
        assert frames[0].height or table == "rejects"
