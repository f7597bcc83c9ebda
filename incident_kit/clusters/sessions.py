"""Sessions: a way into a Spark cluster that either works or says in one sentence why not."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from incident_kit import errors
from incident_kit.errors import UnavailableCluster

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA = 17  # the oldest that Spark 4 runs on
PATIENCE_S = 60.0
_HOW = "uv sync --extra spark, or pip install 'incident-kit[spark]'"
_OWN_THREADS = ("OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "OMP_NUM_THREADS")  # a task has one core


@contextmanager
def session(
    master: str, *, name: str, ship: bool = False, settings: dict[str, str] | None = None, wait_s: float = PATIENCE_S
) -> Iterator[SparkSession]:
    """Yield a session on a cluster that has workers for it, and end it.

    Parameters
    ----------
    master
        ``spark://HOST:PORT``, ``local[2]``, ``yarn`` ...: what Spark takes.
    ship
        Send this kit's own files to the workers, which then need only the libraries that it uses.
    settings
        Further settings of Spark's; they win over the kit's own.
    wait_s
        How long to wait for the master, and then for a first worker.

    Raises
    ------
    UnavailableCluster
        There is no PySpark, no Java or an older one, nobody answers at the master's address, it has no free worker, or a
        worker cannot import this kit.
    """
    _refuse_without_pyspark()
    _refuse_without_java()
    _refuse_unreachable(master, wait_s=min(wait_s, 10.0))
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    if SparkSession.getActiveSession() is not None:
        raise UnavailableCluster("a Spark session is open in this process already: give it as the master")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with TemporaryDirectory(prefix="incident-kit-") as folder:
        chosen = _settings(master) | _hushed(Path(folder)) | (_shipped(Path(folder)) if ship else {}) | (settings or {})
        builder = SparkSession.builder.master(master).appName(name)
        for key, value in chosen.items():
            builder = builder.config(key, value)
        try:
            made = builder.getOrCreate()
        except (PySparkException, RuntimeError, OSError) as error:
            raise UnavailableCluster(f"no session could be had of {master}: {_first_line(error)}") from error
        except Exception as error:
            if type(error).__module__.split(".")[0] != "py4j":
                raise
            raise UnavailableCluster(f"no session could be had of {master}: {_first_line(error)}") from error
        try:
            made.sparkContext.setLogLevel("ERROR")
            refuse_idle(made, wait_s=wait_s)
            refuse_strangers(made)
            yield made
        finally:
            made.stop()


@contextmanager
def failures() -> Iterator[None]:
    """Say in one sentence what a job on a cluster failed of; the kit's own errors keep theirs.

    Raises
    ------
    UnavailableCluster
        A task failed, or the cluster was lost.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        said = str(error)
        own = re.findall(r"^incident_kit\.errors\.(\w+): (.+)$", said, re.MULTILINE)
        if own:
            raise getattr(errors, own[-1][0], UnavailableCluster)(own[-1][1]) from error
        lost = re.search(r"ExecutorLostFailure.*?Reason: ([^\n]+)", said)
        raised = re.findall(
            r"^ {2,}\S.*\n([A-Za-z_][\w.]*: .+)$", said, re.MULTILINE
        )  # below the frames of a traceback
        what = (
            f"a worker was lost ({lost[1]})"
            if lost
            else f"a task failed: {raised[-1] if raised else _first_line(error)}"
        )
        raise UnavailableCluster(f"{what[:400]}; nothing was written") from error


def _settings(master: str) -> dict[str, str]:
    found = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
        # Spark 4.3 measures a batch after every row, each time in time of its rows: without a limit of bytes it does not
        "spark.sql.execution.arrow.maxBytesPerBatch": "2147483647",
        "spark.sql.autoBroadcastJoinThreshold": "-1",  # hints say what is small
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    } | {f"spark.executorEnv.{one}": "1" for one in _OWN_THREADS}
    if re.fullmatch(r"local(\[.*\])?|spark://(127\.0\.0\.1|localhost):\d+", master):
        found |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return found


def _hushed(folder: Path) -> dict[str, str]:
    """Return settings with which Spark says on the terminal what went wrong only."""
    lines = (
        "rootLogger.level = error", "rootLogger.appenderRef.stderr.ref = console", "appender.console.type = Console",
        "appender.console.name = console", "appender.console.target = SYSTEM_ERR", "appender.console.layout.type = PatternLayout",
        "appender.console.layout.pattern = %p %c{1}: %m%n",
    )  # fmt: skip
    file = folder / "log4j2.properties"
    file.write_text("\n".join(lines), encoding="utf-8", newline="\n")
    return {"spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={file.as_uri()}"}


def _shipped(folder: Path) -> dict[str, str]:
    """Return settings that lay this kit's files into every worker's own folder, before what is installed there."""
    import incident_kit

    package = Path(incident_kit.__file__).parent
    with zipfile.ZipFile(folder / "kit.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(package.rglob("*")):
            inside = file.relative_to(package.parent)
            if file.is_file() and not {"__pycache__", "samples", "notebooks"} & set(inside.parts):
                packed.write(file, str(inside))
    return {"spark.archives": f"{folder / 'kit.zip'}#kit", "spark.executorEnv.PYTHONPATH": "kit"}


def _refuse_without_pyspark() -> None:
    try:
        import pandas as pd  # noqa: F401 - Spark asks for it when tables go to and fro
        import pyspark  # noqa: F401
    except ImportError as error:
        raise UnavailableCluster(f"{error.name} is not installed, which the cluster needs: {_HOW}") from None


def _refuse_without_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    need = f"Spark needs Java {JAVA} or newer (Debian: apt-get install openjdk-17-jre-headless; or set JAVA_HOME)"
    if java is None or (home and not Path(java).exists()):
        where = f"JAVA_HOME is {home}, where there is none" if home else "there is none on the PATH"
        raise UnavailableCluster(f"no Java: {where}; {need}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603 - found on the PATH
    found = re.search(r'version "(\d+)(?:\.(\d+))?', said.stderr + said.stdout)
    major = int(found[2] if found and found[1] == "1" and found[2] else found[1]) if found else 0
    if major < JAVA:
        what = f"Java {major}" if major else "a Java that does not say its version"
        raise UnavailableCluster(f"{java} is {what}: {need}")


def _refuse_unreachable(master: str, *, wait_s: float) -> None:
    found = re.fullmatch(r"spark://(.+)", master)
    for host, port in re.findall(r"(\[[^\]]+\]|[^:,]+):(\d+)", found[1]) if found else ():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=wait_s).close()
        except (OSError, OverflowError):
            continue
        return
    if found:
        raise UnavailableCluster(
            f"nobody answers at {master}: is the master running there, and may this machine reach its port?"
        )


def refuse_idle(spark: SparkSession, *, wait_s: float) -> None:
    """Wait for a first worker.

    Raises
    ------
    UnavailableCluster
        None came in time.
    """
    context: Any = spark.sparkContext
    if context.master.startswith("local"):
        return
    until = time.monotonic() + wait_s
    while context._jsc.sc().getExecutorMemoryStatus().size() < 2:  # noqa: SLF001 - the driver counts as one; PySpark has no other way
        if time.monotonic() > until:
            raise UnavailableCluster(
                f"{context.master} answers, but gave no worker within {wait_s:.0f} s: are workers running, with cores and"
                " memory to spare?"
            )
        time.sleep(0.2)


def refuse_strangers(spark: SparkSession) -> None:
    """Refuse workers that have not this very kit.

    Raises
    ------
    UnavailableCluster
        A worker cannot import the kit or one of its libraries, or has another version of it.
    """
    from pyspark.errors import PySparkException

    count = max(2 * spark.sparkContext.defaultParallelism, 2)
    try:
        answers = set(spark.sparkContext.parallelize(range(count), count).map(_who).collect())
    except PySparkException as error:
        raise UnavailableCluster(_first_line(error)) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] != "py4j":
            raise
        missing = re.search(r"No module named '([\w.]+)'", str(error))
        what = f"a worker has no Python module {missing[1]}" if missing else f"a worker failed: {_first_line(error)}"
        raise UnavailableCluster(
            f"{what}; install the kit's wheel there, or --ship it and install its libraries"
        ) from error
    if answers - {_who(0)}:
        raise UnavailableCluster("the workers have another version of the kit: install this one there, or --ship it")


def _who(_number: int) -> str:
    """Return a digest of the kit's own code."""
    import incident_kit

    package = Path(incident_kit.__file__).parent
    digest = hashlib.sha256()
    for file in sorted([*package.glob("*.py"), *package.glob("sql/*.sql"), *package.glob("sources/**/*.*")]):
        if "__pycache__" not in file.parts:
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = next((line for line in lines if line.startswith(("Caused by:", ": "))), None)
    return (cause or lines[0] if lines else type(error).__name__).removeprefix(": ")[:300]
