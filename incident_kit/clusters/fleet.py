"""Fleet: work on incidents shared out to a cluster: the same tasks as :mod:`incident_kit.crew` gives to processes.

Inside `enlisted`, whatever shares work out (a check over a folder, a sweep, tuning over a library) has it done by Spark, one
task an incident or lot of settings.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from incident_kit.clusters.sessions import failures, session
from incident_kit.crew import ELSEWHERE, Source, Task, Work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_KEPT: dict[str, Any] = {}  # of a worker: the incident that it has open, and whose it is


@contextmanager
def enlisted(master: str | SparkSession, *, ship: bool = False) -> Iterator[int]:
    """Let a cluster do what is shared out inside; yields how many tasks it does at once, for ``jobs=`` of what is called.

    Incidents that are named by a path are opened by the workers: it must lead them to the same files. An incident that is open
    here is sent to them.

    Raises
    ------
    UnavailableCluster
        There is no cluster to work with; inside, one of its tasks failed.

    Examples
    --------
    >>> from incident_kit.clusters.fleet import enlisted
    >>> with enlisted("spark://lake:7077") as jobs:  # doctest: +SKIP
    ...     print(ik.gate(policy, "incidents/", jobs=jobs))
    """
    if isinstance(master, str):
        with session(master, name="incident-kit", ship=ship) as spark, enlisted(spark) as jobs:
            yield jobs
        return
    jobs = max(int(master.sparkContext.defaultParallelism), 2)
    token = ELSEWHERE.set(partial(_shared_out, master, jobs))
    try:
        yield jobs
    finally:
        ELSEWHERE.reset(token)


def _shared_out(
    spark: SparkSession, jobs: int, sources: Sequence[Source], works: Iterable[Work], task: Task
) -> Generator[tuple[Work, Any]]:
    """Yield each work with what came of it, as soon as it is done; a job of one task each, so that none waits for another."""
    context = spark.sparkContext
    sent, lot = context.broadcast(tuple(sources)), uuid4().hex

    def done(work: Work) -> Any:
        def here(one: Work) -> Any:
            number, what = one
            if _KEPT.get("of") != (lot, number):
                _KEPT.update(incident=sent.value[number].incident(), of=(lot, number))
            return task(_KEPT["incident"], what)

        return context.parallelize([work], 1).map(here).collect()[0]

    with failures(), ThreadPoolExecutor(jobs) as pool:
        waiting: dict[Future[Any], Work] = {pool.submit(done, work): work for work in works}
        try:
            for one in as_completed(waiting):
                yield waiting[one], one.result()
        finally:
            for one in waiting:
                one.cancel()
            context.cancelAllJobs()
            sent.unpersist()
