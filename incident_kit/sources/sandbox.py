# ruff: noqa: S608 - a user's statement inside one of this package, in a database that holds nothing else
"""Sandbox: a user's own SQL, run over the records handed to it in a database without files, network or settings."""

from __future__ import annotations

import importlib.resources
import json
from typing import TYPE_CHECKING, Any

import duckdb

from incident_kit.errors import UnknownFormat
from incident_kit.store import interruptible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from incident_kit.sources.formats import Format

MEMORY = "2GiB"
BATCH = 10_000
# what makes rows out of values; every other table function reads something from outside
_ROWS_FROM_VALUES = {"unnest", "range", "generate_series", "json_each", "json_tree", "repeat", "repeat_row"}
# what is wrong with the statement, not with a record
_ITS_OWN = (
    duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.SyntaxException,
    duckdb.PermissionException, duckdb.OutOfMemoryException, duckdb.IOException,
)  # fmt: skip
_ONLY_RAW = "a format of yours sees raw(line, record) and nothing else: no files, no network, no settings"


def run(chosen: Format, *, handed: Path, into: Path, arguments: Mapping[str, Any], shown: str) -> list[str]:
    """Return the columns of a user's statement over the handed records; its rows are in ``into``, as Parquet.

    Raises
    ------
    UnknownFormat
        The statement is none, asks for what it does not get, or cannot be run.
    duckdb.Error
        It fails on a record.
    """
    import pyarrow.dataset as ds  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    with duckdb.connect(":memory:", config={"enable_external_access": "false"}) as box:
        # numbers and times as in the incident's own database; one thread keeps the rows in order
        box.execute("set TimeZone = 'UTC'")
        box.execute("set enable_progress_bar = false")
        box.execute("set python_enable_replacements = false")
        box.execute("set threads = 1")
        box.execute(f"set memory_limit = '{MEMORY}'")
        box.execute((importlib.resources.files("incident_kit") / "sources" / "macros.sql").read_text(encoding="utf-8"))
        box.register("handed", ds.dataset(str(handed)))
        box.execute("create temp view raw as select line, record::json as record from handed")
        box.execute("set lock_configuration = true")
        refuse_more_than_raw(box, chosen)
        try:
            with interruptible():
                rows = box.sql(f"select * from (\n{chosen.sql}\n)", params=dict(arguments) or None)
                reader = rows.to_arrow_reader(BATCH)
                with pq.ParquetWriter(into, reader.schema, compression="zstd") as writer:
                    for batch in reader:
                        writer.write_batch(batch)
                return list(rows.columns)
        except (*_ITS_OWN, OSError) as error:
            reason = str(error).splitlines()[0]
            raise UnknownFormat(f"the format {chosen.name} cannot be run on {shown}: {reason}") from error


def refuse_more_than_raw(box: duckdb.DuckDBPyConnection, chosen: Format) -> None:
    """Refuse a text that is not one select, or that calls a function which reads from outside.

    Raises
    ------
    UnknownFormat
        It is, or does.
    """
    try:
        statements = duckdb.extract_statements(chosen.sql)
        kinds = [str(one.type).rsplit(".", 1)[-1].lower() for one in statements]
        if kinds != ["select"]:
            held = ", ".join(kinds) or "nothing"
            raise UnknownFormat(f"the format {chosen.name} must be one select statement, and holds {held}: {_ONLY_RAW}")
        ((tree,),) = box.execute("select json_serialize_sql($1::varchar)", [chosen.sql]).fetchall()
    except duckdb.Error as error:
        raise UnknownFormat(f"the format {chosen.name} cannot be run: {str(error).splitlines()[0]}") from error
    parsed = json.loads(tree)
    if parsed.get("error"):
        raise UnknownFormat(f"the format {chosen.name} cannot be run: {parsed.get('error_message', 'not a select')}")
    for name in _table_functions(parsed):
        if name.lower() not in _ROWS_FROM_VALUES:
            raise UnknownFormat(f"the format {chosen.name} calls {name}: {_ONLY_RAW}")


def _table_functions(tree: Any) -> Iterator[str]:
    left = [tree]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if one.get("type") == "TABLE_FUNCTION":
                yield str(one.get("function", {}).get("function_name", "a table function"))
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
