"""Store: the only door to DuckDB. Queries are files in ``sql/``, one statement each, called by name."""

from __future__ import annotations

import functools
import importlib.resources
import re
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb

from incident_kit.errors import InvalidStore, NoSuchItem, UnwritableFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

SCHEMA_VERSION = "3"
MEMORY = "2GB"  # that DuckDB works in; what needs more is spilled to a folder beside the file

WORKED_OUT = ("annotations", "sla_verdicts")  # tables that opening a case and counting its clocks write anew


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

    ``read_only``: the file stays as it is, and several processes may have it so at once; what is worked out
    (:data:`WORKED_OUT`) is written beside it, and gone with the connection.

    Raises
    ------
    InvalidStore
        The file is not a DuckDB file, is open in another process, or was written by another version of the kit.
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        self.path = Path(path) if path is not None else None
        self.read_only = read_only
        self._lock = threading.RLock()  # a connection answers one question at a time
        if self.path is not None and self.path.is_file() and not _is_duckdb(self.path):
            # DuckDB itself would open a CSV or JSON file as a database of one table
            raise InvalidStore(f"{self.path} is not an incident file; give another name, or load it as a log")
        try:
            self.connection = duckdb.connect(str(self.path) if self.path else ":memory:", read_only=read_only)
            self.connection.execute("set TimeZone = 'UTC'")
            # progress is ours to show: DuckDB's own bar would be printed into whatever reads our output
            self.connection.execute("set enable_progress_bar = false")
            if self.path is not None:
                self.connection.execute(f"set memory_limit = '{MEMORY}'")
        except duckdb.Error as error:
            raise InvalidStore(_why_not_opened(self.path, str(error))) from error
        self._prepare()

    def _prepare(self) -> None:
        schema = (importlib.resources.files("incident_kit") / "schema.sql").read_text(encoding="utf-8")
        tables = {name for (name,) in self.rows("select table_name from information_schema.tables")}
        if tables and "meta" not in tables:
            self.close()
            message = f"{self.path} is a DuckDB file but not an incident: it has {', '.join(sorted(tables)[:5])}"
            raise InvalidStore(message)
        if not self.read_only:
            with self.transaction():
                self.connection.execute(schema)
                self.connection.execute("insert or ignore into meta values ('schema_version', $1)", [SCHEMA_VERSION])
        said = self.rows("select value from meta where key = 'schema_version'") if tables or not self.read_only else []
        version = said[0][0] if said else "none"
        if version != SCHEMA_VERSION:
            self.close()
            message = (
                f"{self.path} was written with schema {version}; this kit reads {SCHEMA_VERSION}: "
                "remove the file and load the logs anew"
            )
            raise InvalidStore(message)
        for table in WORKED_OUT if self.read_only else ():  # a temporary table hides the one of its name
            self.connection.execute(f"create temp table {table} as from main.{table}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def rows(self, sql: str, params: dict[str, Any] | list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows as tuples; for instants use `frame`, which keeps their zone."""
        with self._lock, interruptible():
            cursor = self.connection.execute(sql, params) if params is not None else self.connection.execute(sql)
            return cursor.fetchall()

    def run(self, sql: str, params: dict[str, Any] | None = None) -> None:
        """Run one statement for its effect."""
        self.rows(sql, params)

    def frame(self, sql: str, params: dict[str, Any] | None = None) -> pl.DataFrame:
        """Run one statement and return a polars frame; instants are tz-aware UTC microseconds."""
        with self._lock, interruptible():
            relation = self.connection.sql(sql, params=params) if params else self.connection.sql(sql)
            frame: pl.DataFrame = relation.pl()
            return frame

    def batches(self, sql: str, params: dict[str, Any], *, size: int) -> Iterator[Any]:
        """Yield a statement's rows as Arrow record batches of about ``size`` rows; the next one is made when asked for."""
        with self._lock, interruptible():
            relation = self.connection.sql(sql, params=params) if params else self.connection.sql(sql)
            yield from relation.to_arrow_reader(size)

    def query(self, name: str, **params: Any) -> pl.DataFrame:
        """Run ``sql/<name>.sql`` and return a polars frame with the columns the file declares."""
        return self.frame(statement(name), params)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the statements inside happen, or, after any error or interrupt, none."""
        self.connection.execute("begin transaction")
        try:
            yield
        except BaseException as error:
            with suppress(duckdb.Error):  # a database that could not be written to has no transaction any more
                self.connection.execute("rollback")
            if isinstance(error, duckdb.IOException):
                raise _unwritten(error) from error
            raise
        try:
            with interruptible():
                self.connection.execute("commit")
        except duckdb.Error as error:
            raise _unwritten(error) from error

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C in a query, which DuckDB shows as a RuntimeError, is a KeyboardInterrupt again; a file without room says so."""
    try:
        yield
    except duckdb.FatalException as error:
        raise _unwritten(error) from error
    except RuntimeError as error:
        if "interrupted" in str(error).lower():
            raise KeyboardInterrupt from error
        raise


def _unwritten(error: Exception) -> UnwritableFile:
    said = str(error)
    if held := re.search(r'Original error: "(.*)"', said, re.DOTALL):
        said = held[1]
    reason = said.splitlines()[0].split("Error: ", 1)[-1]
    return UnwritableFile(
        f"the incident file cannot be written, and nothing half-done is in it: {reason}; make room, then open it again"
    )


def _is_duckdb(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(12)[8:] == b"DUCK"


def _why_not_opened(path: Path | None, error: str) -> str:
    if path is not None and path.is_dir():
        return f"{path} is a directory; name a file in it, for example {path / 'incident.duckdb'}"
    if path is not None and not path.parent.is_dir():
        return f"{path} cannot be made: there is no folder {path.parent}"
    holder = re.search(r"held in (.+?) \(PID (\d+)\)", error)
    if holder:
        program = Path(holder[1]).name
        return (
            f"{path} is open in another process ({program}, PID {holder[2]}); one process at a time can have it:"
            " close it there, or shut down that notebook's kernel"
        )
    return f"{path} cannot be opened as an incident file: {error.splitlines()[0]}"
