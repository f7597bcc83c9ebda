"""BLAS threads: small matrices are factored faster by one thread than by several that wait for one another.

And by one thread they come out the same on every machine. NumPy's and SciPy's wheels bring an OpenBLAS each, which is asked
directly; where there is none (another BLAS, another system), nothing is changed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

_NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")
_lock = Lock()
_inside = {"fits": 0}
_before: list[int] = []


@contextmanager
def one_thread() -> Iterator[None]:
    """Have BLAS work on one thread; the last of several at once to leave restores what was."""
    with _lock:
        if not _inside["fits"]:
            _before[:] = [get() for get, _ in _libraries()]
            for _, put in _libraries():
                put(1)
        _inside["fits"] += 1
    try:
        yield
    finally:
        with _lock:
            _inside["fits"] -= 1
            if not _inside["fits"]:
                for (_, put), threads in zip(_libraries(), _before, strict=True):
                    put(threads)


@cache
def _libraries() -> tuple[tuple[Callable[[], int], Callable[[int], None]], ...]:
    """Return how each OpenBLAS says, and is told, on how many threads it works."""
    site = Path(np.__file__).parents[1]
    found = []
    for file in sorted(one for package in ("numpy", "scipy") for one in site.glob(f"{package}.libs/*openblas*")):
        try:
            library = ctypes.CDLL(str(file))
        except OSError:
            continue
        for name in _NAMES:
            get = getattr(library, name.format("get_num_threads"), None)
            put = getattr(library, name.format("set_num_threads"), None)
            if get and put:
                found.append((get, put))
                break
    return tuple(found)
