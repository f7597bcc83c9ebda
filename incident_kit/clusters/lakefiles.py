"""Lake files: a folder that appears whole or not at all, on any file system that Spark writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from incident_kit.errors import UnwritableFile

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def file_system(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Return Hadoop's file system of a path, and the path as it takes it."""
    context: Any = spark.sparkContext
    at = context._jvm.org.apache.hadoop.fs.Path(path)  # noqa: SLF001 - PySpark has no other way to list or rename
    return at.getFileSystem(context._jsc.hadoopConfiguration()), at  # noqa: SLF001 - the same


def cause(error: Any) -> str:
    """Return what a Java error says, in one line."""
    said = error.java_exception.getMessage() or error.java_exception.getClass().getSimpleName()
    return str(said).splitlines()[0]


@contextmanager
def outlet(spark: SparkSession, out: str) -> Iterator[str]:
    """Yield a hidden folder beside ``out`` that becomes ``out`` at the end, or goes away after any error.

    Raises
    ------
    UnwritableFile
        ``out`` is there already, or its folder cannot be written to.
    """
    from py4j.protocol import Py4JJavaError

    name = out.rstrip("/").rpartition("/")[2]
    beside = out.rstrip("/").removesuffix(name) + f".{name}.partial-{uuid4().hex[:8]}"
    try:
        system, at = file_system(spark, out)
        _, partial = file_system(spark, beside)
        if system.exists(at):
            raise UnwritableFile(f"{out} is there already; name a folder that is not")
        if not system.mkdirs(partial):
            raise UnwritableFile(f"{out} cannot be made: its folder cannot be written to")
    except Py4JJavaError as error:
        raise UnwritableFile(f"{out} cannot be made: {cause(error)}") from error
    try:
        yield beside
        if system.exists(at) or not system.rename(partial, at):
            raise UnwritableFile(f"{out} could not be put in its place; another job may have made it meanwhile")
    finally:
        if system.exists(partial):
            system.delete(partial, True)  # noqa: FBT003 - with what is in it


def write_text(spark: SparkSession, path: str, text: str) -> None:
    """Write a small file."""
    system, at = file_system(spark, path)
    stream = system.create(at)
    stream.write(bytearray(text.encode()))
    stream.close()
