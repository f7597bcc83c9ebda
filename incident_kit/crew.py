"""Crew: work on incidents shared out to processes, each of which opens an incident once and keeps it.

Replays hold the interpreter's lock for a good part of their time, and a DuckDB connection belongs to one thread: so work is
shared by processes, started anew (a fork of a process with threads may hang). A worker ends when its parent is gone, whatever
ended it, and leaves an interruption from the keyboard to the parent.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from incident_kit.errors import IncidentKitError

if TYPE_CHECKING:
    from incident_kit.incident import Incident

Work = tuple[int, Any]  # which source, and what to do with it


class Source(Protocol):
    """What an incident comes from; it must be one that can be sent to another process."""

    def incident(self) -> Incident:
        """Return the incident."""
        ...


Task = Callable[["Incident", Any], Any]
Sharer = Callable[[Sequence[Source], Iterable[Work], Task], Generator[tuple[Work, Any]]]
# who has the work done instead of processes
ELSEWHERE: ContextVar[Sharer | None] = ContextVar("elsewhere", default=None)


def shared_out(
    sources: Sequence[Source], works: Iterable[Work], task: Task, *, jobs: int = 1
) -> Generator[tuple[Work, Any]]:
    """Yield each work with what ``task(incident, work)`` returns for it, as soon as it is done.

    With one job all is done here, in order. With more, ``task`` must be a function of a module, and who does the work may be
    somebody else: see :mod:`incident_kit.clusters.fleet`.

    Raises
    ------
    IncidentKitError
        A worker did not start, or was ended from outside.
    """
    if jobs < 2:
        kept: dict[int, Incident] = {}
        for number, work in works:
            if number not in kept:
                kept = {number: sources[number].incident()}
            yield (number, work), task(kept[number], work)
        return
    other = ELSEWHERE.get()
    if other is not None:
        yield from other(sources, works, task)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(tuple(sources), task))
    try:
        with _one_thread_each():
            waiting: dict[Future[Any], Work] = {pool.submit(_done, *work): work for work in works}
        for one in as_completed(waiting):
            yield waiting[one], one.result()
    except BrokenProcessPool:
        raise IncidentKitError(
            "a worker process ended before its work was done: the machine is short of memory, or it could not start. In a "
            "script, call from under `if __name__ == '__main__':`, or use one job"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Have processes that start meanwhile work on one thread: they share the cores already. Libraries read it when imported."""
    missing = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(missing, "1"))
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


_THREADS = ("OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "OMP_NUM_THREADS")
_KEPT: dict[str, Any] = {}  # of a worker: its sources, its task, the incident that it has open


def _begin(sources: Sequence[Source], task: Task) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _KEPT.update(sources=sources, task=task, number=None)
    atexit.register(os._exit, 0)  # a worker has nothing to put away, and the connection it holds would complain
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _done(number: int, work: Any) -> Any:
    if _KEPT["number"] != number:
        _KEPT.update(incident=_KEPT["sources"][number].incident(), number=number)
    return _KEPT["task"](_KEPT["incident"], work)
