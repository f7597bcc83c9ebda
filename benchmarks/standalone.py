"""Standalone: a real Spark cluster on this machine alone: a master and workers on loopback, started from PySpark's own files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PATIENCE_S = 180.0
_NAMES = "org.apache.spark.deploy.{}"


@contextmanager
def standalone(*, workers: int, cores: int = 1, memory: str = "2g") -> Iterator[str]:
    """Yield the address of a cluster's master; everything is on 127.0.0.1, and ends with the context, each process by its id."""
    with ExitStack() as running, TemporaryDirectory(prefix="incident-kit-spark-") as folder:
        place = Path(folder)
        master = running.enter_context(
            _process("master.Master", ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"], place / "master")
        )
        port = _said(master, r"Successfully started service .sparkMaster. on port (\d+)")
        address = f"spark://127.0.0.1:{port}"
        logs = [
            running.enter_context(
                _process(
                    "worker.Worker",
                    ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0", "--cores", str(cores), "--memory", memory,
                     "--work-dir", str(place / f"work-{number}"), address],
                    place / f"worker-{number}",
                )
            )
            for number in range(workers)
        ]  # fmt: skip
        for log in logs:
            _said(log, r"Successfully registered with master (\S+)")
        yield address


@contextmanager
def _process(name: str, arguments: list[str], log: Path) -> Iterator[Path]:
    import pyspark

    home = Path(pyspark.__file__).parent
    environment = os.environ | {
        "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "384m",
        "PYSPARK_PYTHON": sys.executable, "SPARK_NO_DAEMONIZE": "1",
    }  # fmt: skip
    with log.open("wb") as output:
        started = subprocess.Popen(  # noqa: S603 - PySpark's own script
            [str(home / "bin" / "spark-class"), _NAMES.format(name), *arguments],
            stdout=output, stderr=output, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            yield log
        finally:
            _end(started)


def _end(started: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: its own group."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(started.pid, sign)
            started.wait(15)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def _said(log: Path, pattern: str) -> str:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = re.search(pattern, log.read_text(errors="replace")) if log.exists() else None
        if found:
            return found[1]
        time.sleep(0.2)
    raise TimeoutError(f"{log.name} did not come up: {log.read_text(errors='replace')[-400:]}")
