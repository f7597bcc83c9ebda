"""Lake: a folder of log files that only a cluster reads; which formats lie in it, and its records as the kit's rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped]

from incident_kit.clusters import lakerows
from incident_kit.clusters.lakefiles import cause, file_system
from incident_kit.clusters.lakerows import TABLES, Reading
from incident_kit.errors import UnknownFormat, UnreadableFile
from incident_kit.sources import canonical
from incident_kit.sources.files import inspect
from incident_kit.sources.formats import Format
from incident_kit.sources.loading import recognise
from incident_kit.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SAMPLES = 50
CHUNK_ROWS, CHUNK_BYTES = 400_000, 128 * 1024 * 1024  # of a part that one load of a task takes
_KINDS = {"parquet": "parquet", "ndjson": "lines", "jsonl": "lines", "json": "lines", "log": "lines", "csv": "home"}
_PART = {"parquet": 8 * 2**20, "lines": 128 * 2**20}  # bytes of which one task has room for the rows
_PACKED = {"gz", "bz2", "snappy", "zst"}


@dataclass(frozen=True)
class Files:
    """Files of one form in a lake, their bytes, and how they are read."""

    paths: tuple[str, ...]
    size: int
    kind: str
    chosen: Format
    reading: Reading


@dataclass(frozen=True)
class Lake:
    """What lies at a path: files by form."""

    path: str
    files: tuple[Files, ...]

    @property
    def parts(self) -> int:
        """How many tasks should put its requests together."""
        return sum(one.size // _PART.get(one.kind, one.size + 1) for one in self.of_requests) + 1

    @property
    def of_requests(self) -> tuple[Files, ...]:
        """The files that tell of requests: the workers read these."""
        return tuple(one for one in self.files if one.reading.table in TABLES)

    @property
    def of_the_desk(self) -> tuple[Files, ...]:
        """The files of what requests share, such as a help desk's events: read at home."""
        return tuple(one for one in self.files if one.reading.table not in TABLES)


def survey(spark: SparkSession, path: str, **reading: Any) -> Lake:
    """Return what lies at a path of any file system that Spark reads.

    Raises
    ------
    UnreadableFile
        There is nothing at the path, or nothing that a cluster reads.
    UnknownFormat
        Files are in no known format, or two gateways' logs tell of the same requests.
    """
    found = _listed(spark, path)
    if not found:
        raise UnreadableFile(
            f"there is no file at {path}; a lake is a folder with .parquet, .ndjson or .json files (or .gz)"
        )
    groups: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    for name, size in found:
        folder, _, last = name.rpartition("/")
        groups.setdefault((folder, re.match(r"[^\W\d]*", last)[0], _kind(last, path)), []).append((name, size))  # type: ignore[index]
    files = []
    for (_, _, kind), members in sorted(groups.items()):
        chosen = _recognised(spark, members[0][0], kind, reading)
        names, sizes = zip(*members, strict=True)
        files.append(Files(names, sum(sizes), kind, chosen, Reading(chosen.name, chosen.table, **reading)))
    gateways = sorted({one.chosen.name for one in files if one.reading.table in {"attempts", "requests"}})
    if not gateways:
        raise UnknownFormat(
            f"no file at {path} tells of requests: there are {', '.join(one.chosen.title for one in files)}"
        )
    if len(gateways) > 1:
        raise UnknownFormat(
            f"the files at {path} are of several gateways' formats ({', '.join(gateways)}), which may tell of the same"
            " requests twice: name a folder with one"
        )
    return Lake(path, tuple(files))


def _listed(spark: SparkSession, path: str) -> list[tuple[str, int]]:
    """Return every data file at a path with its size, by name."""
    from py4j.protocol import Py4JJavaError

    try:
        system, at = file_system(spark, path)
        root = system.makeQualified(at).toString()
        there = system.listFiles(at, True)  # noqa: FBT003 - recursive
    except Py4JJavaError as error:
        raise UnreadableFile(f"{path} cannot be read: {cause(error)}") from error
    found = []
    while there.hasNext():
        status = there.next()
        name = status.getPath().toString()
        below = name.removeprefix(root).split("/")
        if status.getLen() and not any(part.startswith(("_", ".")) for part in below):
            found.append((name, status.getLen()))
    return sorted(found)


def _kind(name: str, path: str) -> str:
    parts = name.lower().split(".")[1:]
    while parts and parts[-1] in _PACKED:
        parts.pop()
    if not parts or parts[-1] not in _KINDS:
        raise UnreadableFile(
            f"{name} at {path} cannot be told: a cluster reads {', '.join(f'.{one}' for one in _KINDS)} (and .gz of text)"
        )
    return _KINDS[parts[-1]]


def _recognised(spark: SparkSession, name: str, kind: str, reading: Mapping[str, Any]) -> Format:
    """Return the format of a file, told by its first records."""
    with TemporaryDirectory(prefix="incident-kit-") as folder, Store() as store:
        if kind == "home":
            local = fetched(spark, name, Path(folder))
        else:
            head = _raw(spark, (name,), kind).limit(SAMPLES).toArrow()
            first = next(lakerows.chunks(iter(head.to_batches()), folder=Path(folder), rows=SAMPLES, size=2**62), None)
            if first is None:
                raise UnreadableFile(f"{name} holds no record")
            local = first
        told = inspect(local)
        if kind == "lines" and told.kind != "lines":
            raise UnreadableFile(f"{name} is not one JSON record a line, which is how workers share a file")
        columns = reading.get("columns") or {}
        _, chosen = recognise(store, told, source=None, columns=columns)
        return (
            chosen if chosen.name == canonical.NAME else chosen.relabelled(reading.get("labels"), reading.get("tags"))
        )


def fetched(spark: SparkSession, name: str, folder: Path) -> Path:
    """Return a copy of a file on this machine."""
    system, at = file_system(spark, name)
    local = folder / name.rpartition("/")[2]
    _, there = file_system(spark, f"file://{local}")
    system.copyToLocalFile(False, at, there, True)  # noqa: FBT003 - keep the source; without a checksum file
    return local


def _raw(spark: SparkSession, paths: Sequence[str], kind: str) -> DataFrame:
    if kind == "parquet":
        return spark.read.parquet(*paths)
    return spark.read.text(list(paths))


def rows(spark: SparkSession, lake: Lake) -> DataFrame:
    """Return the lake's records as rows of :func:`lakerows.loaded`, read by the workers."""
    schema, kind = schema_of(lakerows.loaded(None, reading=Reading("", "")))
    frames = []
    for files in lake.of_requests:
        if files.kind == "home":
            with TemporaryDirectory(prefix="incident-kit-") as folder:
                tables = [
                    lakerows.loaded(fetched(spark, one, Path(folder)), reading=files.reading) for one in files.paths
                ]
            frames.append(spark.createDataFrame(pa.concat_tables(tables).cast(kind), schema=schema))
            continue
        work = _loading(files.reading, kind)
        frames.append(_raw(spark, files.paths, files.kind).mapInArrow(work, schema))
    whole = frames[0]
    for one in frames[1:]:
        whole = whole.unionByName(one)
    return whole


def _loading(reading: Reading, kind: pa.Schema) -> Any:
    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with TemporaryDirectory(prefix="incident-kit-") as folder:
            for file in lakerows.chunks(iter(batches), folder=Path(folder), rows=CHUNK_ROWS, size=CHUNK_BYTES):
                yield from lakerows.loaded(file, reading=reading).cast(kind).to_batches()
                file.unlink()

    return work


def schema_of(table: pa.Table) -> tuple[Any, pa.Schema]:
    """Return a table's schema as Spark says it, and as Spark then wants it in Arrow."""
    from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

    schema = from_arrow_schema(table.schema)
    return schema, to_arrow_schema(schema, timezone="UTC")


def answered(rows: DataFrame) -> DataFrame:
    """Return rows in which the results of tool calls stand with the request that made the calls.

    A result comes in with a later request of the conversation; it belongs to the nearest earlier answer of that
    conversation with a call of that id, as in ``roll_attempts.sql``.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    attempts = rows.where("attempt is not null")
    conversation = f.coalesce("attempt.conversation_id", f.lit("")).alias("conversation_id")
    calls = attempts.select(
        conversation, f.explode("attempt.calls_made.id").alias("call_id"), f.col("attempt.done_at").alias("known_at"),
        f.lit(0).alias("side"), "request_id",
    )  # fmt: skip
    results = (
        attempts.select(conversation, f.explode("attempt.tool_results").alias("one"), "attempt.began_at", "request_id")
        .groupBy("conversation_id", f.col("one.id").alias("call_id"), "request_id")
        .agg(f.min("began_at").alias("known_at"), f.min("one.ok").alias("ok"))
        .withColumn("side", f.lit(1))
    )
    until = Window.partitionBy("conversation_id", "call_id").orderBy("known_at", "side")
    caller = f.last(f.when(f.col("side") == 0, f.col("request_id")), ignorenulls=True).over(
        until.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    found = (
        calls.unionByName(results, allowMissingColumns=True)
        .withColumn("caller", caller)
        .where("side = 1 and caller is not null")
        .select(
            f.col("caller").alias("request_id"),
            f.struct("conversation_id", "call_id", f.col("request_id").alias("asked_by"), "known_at", "ok").alias(
                "answer"
            ),
        )
    )
    kept = rows.drop("answer").withColumn(
        "attempt",
        f.when(
            f.col("attempt").isNotNull(),
            f.col("attempt").withField("tool_results", f.lit(None).cast("array<struct<id:string,ok:boolean>>")),
        ),
    )
    return kept.unionByName(found, allowMissingColumns=True).select(*rows.columns)
