"""Store: the only door to DuckDB. Queries are files in ``sql/``, one statement each, called by name."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from incident_kit.errors import InvalidStore, NoSuchItem

SCHEMA_VERSION = "1"


@functools.cache
def statement(name: str) -> str:
    """Return the text of ``sql/<name>.sql``."""
    file = importlib.resources.files("incident_kit") / "sql" / f"{name}.sql"
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = f"there is no query {name!r} in incident_kit/sql"
        raise NoSuchItem(message) from error


class Store:
    """One incident's DuckDB file (or an in-memory one), opened in UTC with the kit's tables in it.

    Raises
    ------
    InvalidStore
        The file is not a DuckDB file, is open in another process, or was written by another version of the kit.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else None
        try:
            self.connection = duckdb.connect(str(self.path) if self.path else ":memory:")
            self.connection.execute("set TimeZone = 'UTC'")
        except duckdb.Error as error:
            message = f"{self.path} cannot be opened as an incident file: {str(error).splitlines()[0]}"
            raise InvalidStore(message) from error
        self._prepare()

    def _prepare(self) -> None:
        schema = (importlib.resources.files("incident_kit") / "schema.sql").read_text(encoding="utf-8")
        tables = {name for (name,) in self.rows("select table_name from information_schema.tables")}
        if tables and "meta" not in tables:
            self.close()
            message = f"{self.path} is a DuckDB file but not an incident: it has {', '.join(sorted(tables)[:5])}"
            raise InvalidStore(message)
        with self.transaction():
            self.connection.execute(schema)
            self.connection.execute("insert or ignore into meta values ('schema_version', $1)", [SCHEMA_VERSION])
        ((version,),) = self.rows("select value from meta where key = 'schema_version'")
        if version != SCHEMA_VERSION:
            self.close()
            message = f"{self.path} was written with schema {version}; this kit reads {SCHEMA_VERSION}: load the logs anew"
            raise InvalidStore(message)

    def rows(self, sql: str, params: dict[str, Any] | list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows as tuples."""
        cursor = self.connection.execute(sql, params) if params is not None else self.connection.execute(sql)
        return cursor.fetchall()

    def run(self, sql: str, params: dict[str, Any] | None = None) -> None:
        """Run one statement for its effect."""
        self.rows(sql, params)

    def frame(self, sql: str, params: dict[str, Any] | None = None) -> pl.DataFrame:
        """Run one statement and return a polars frame; instants are tz-aware UTC microseconds."""
        relation = self.connection.sql(sql, params=params) if params else self.connection.sql(sql)
        return relation.pl()

    def query(self, name: str, **params: Any) -> pl.DataFrame:
        """Run ``sql/<name>.sql`` and return a polars frame with the columns the file declares."""
        return self.frame(statement(name), params)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the statements inside happen, or none."""
        self.connection.execute("begin transaction")
        try:
            yield
        except BaseException:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()
