"""Measure: the time and the memory that something takes, and where it was measured."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

_GIB = 2**30
_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def best(run: Callable[[], Any], *, times: int) -> tuple[float, Any]:
    """Return the shortest of several times in seconds (what else runs on a machine only adds), and the last result."""
    shortest, result = float("inf"), None
    for _ in range(times):
        result = None  # the next run must not need room for two
        began = time.perf_counter()
        result = run()
        shortest = min(shortest, time.perf_counter() - began)
    return shortest, result


def forget_peak() -> float | None:
    """Begin anew with the peak of resident memory and return what is resident now, in GiB; None where no system tells."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def peak_gib() -> float:
    """Return the peak of resident memory since it was last forgotten, or since the process began."""
    if _STATUS.exists():
        return _status("VmHWM")
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / _GIB


def _status(field: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / _GIB


def environment() -> str:
    """Return what a reader must know to compare two runs."""
    names = ("duckdb", "polars", "numpy", "numba")
    load = f", load before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores ({platform.machine()}){load}; Python {platform.python_version()}, " + ", ".join(
        f"{name} {version(name)}" for name in names
    )
