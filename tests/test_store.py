from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import pytest

from incident_kit.errors import InvalidStore, NoSuchItem
from incident_kit.store import Store, statement

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_new_store_has_the_tables_and_is_empty(store: Store) -> None:
    tables = {name for (name,) in store.rows("select table_name from information_schema.tables")}
    assert {"loads", "rejects", "answers", "attempts", "requests", "feedback", "tickets", "sla", "signals"} <= tables
    assert store.rows("select count(*) from requests") == [(0,)]


def test_a_file_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "case.duckdb"
    with Store(path) as store:
        store.run("insert into tickets (ticket_id) values ($id)", {"id": "T-1"})
    with Store(str(path)) as store:
        assert store.rows("select ticket_id from tickets") == [("T-1",)]


def test_instants_come_back_in_utc(store: Store) -> None:
    frame = store.frame("select timestamptz '2026-03-02 14:20:05+02' as moment, $n as n", {"n": 3})
    assert frame.row(0) == (datetime(2026, 3, 2, 12, 20, 5, tzinfo=UTC), 3)
    assert str(frame.schema["moment"]) == "Datetime(time_unit='us', time_zone='UTC')"


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    insert = "insert into tickets (ticket_id) values ('T-1')"

    def fail() -> None:
        with store.transaction():
            store.run(insert)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert store.rows("select count(*) from tickets") == [(0,)]
    with store.transaction():
        store.run(insert)
    assert store.rows("select count(*) from tickets") == [(1,)]


def test_a_failed_statement_leaves_the_store_usable(store: Store) -> None:
    with pytest.raises(duckdb.CatalogException), store.transaction():
        store.run("insert into no_such_table values (1)")
    assert store.rows("select 1") == [(1,)]


def test_a_query_is_called_by_the_name_of_its_file(store: Store) -> None:
    frame = store.query("load_coverage", load_ids=[1])
    assert frame.height == 1
    assert frame["requests"][0] == 0


def test_a_missing_query_is_said(store: Store) -> None:
    with pytest.raises(NoSuchItem, match="no query 'no_such'"):
        store.query("no_such")
    assert statement("load_coverage").startswith("-- one row")


def test_a_file_open_in_another_process_says_which(tmp_path: Path) -> None:
    path = tmp_path / "case.duckdb"
    program = f"from incident_kit.store import Store; Store({str(path)!r})"
    with Store(path):
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert other.returncode != 0
    assert "InvalidStore" in other.stderr
    assert "is open in another process" in other.stderr
    assert "PID" in other.stderr
    Store(path).close()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"hello", "not an incident file"), (b"", "not an incident file"), (b'{"a": 1}\n', "not an incident file")],
)
def test_another_kind_of_file_is_refused_and_left_alone(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(content)
    with pytest.raises(InvalidStore, match=said):
        Store(path)
    assert path.read_bytes() == content


def test_a_duckdb_file_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table customers (id int)")
    with pytest.raises(InvalidStore, match="not an incident: it has customers"):
        Store(path)
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("select table_name from information_schema.tables").fetchall() == [("customers",)]


def test_a_directory_and_a_missing_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidStore, match="is a directory"):
        Store(tmp_path)
    with pytest.raises(InvalidStore, match="there is no folder"):
        Store(tmp_path / "none" / "case.duckdb")


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.duckdb"
    with Store(path) as store:
        store.run("update meta set value = '0' where key = 'schema_version'")
    for read_only in (False, True):
        with pytest.raises(InvalidStore, match="schema 0"):
            Store(path, read_only=read_only)
    with pytest.raises(InvalidStore, match="cannot be opened as an incident file"):
        Store(tmp_path / "none.duckdb", read_only=True)


def test_the_counts_of_a_load_must_add_up(store: Store) -> None:
    with pytest.raises(duckdb.ConstraintException):
        store.run("insert into loads values (1, 'x', 'x', 'x', 10, 5, 2, 2, now())")


@pytest.mark.slow
def test_an_interrupt_ends_a_query(store: Store) -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        store.rows("select count(*) from range(1000000000) as a(i), range(1000) as b(j) where i % 7 = j")
    assert store.rows("select 1") == [(1,)]
