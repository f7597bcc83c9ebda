"""The replay against DuckDB's window query over the same rows (the bars are ratios in one run)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl

from benchmarks import traffic
from incident_kit import Incident, kernel
from incident_kit.evidence import nearest
from incident_kit.log import Log, read
from incident_kit.plan import plan
from incident_kit.replays import replay_log

KERNEL_BAR, TABLES_BAR, GROWTH_BAR, BARS_FOR = 40, 6, 12, 10_000_000
WINDOW = """
create or replace temp table windowed as
select request_id, intent, done_at,
  quantile_disc(wait_ms, 0.95) over (
    partition by intent order by done_at range between interval 5 minutes preceding and current row
  ) as p95_ms,
  count(*) over (partition by intent order by done_at range between interval 5 minutes preceding and current row) as n
from (select request_id, intent, wait_ms, arrived_at + to_milliseconds(wait_ms) as done_at from requests)
"""


def measure(requests: int) -> Iterator[str]:
    """Yield one line a measurement."""
    incident = Incident.create()
    traffic.fill(incident, requests)
    yield f"{requests:,} requests, {len(traffic.INTENTS)} intents, p95_ms > {traffic.LIMIT_MS} per intent"
    if requests < BARS_FOR:
        yield f"(the bars are for {BARS_FOR:,} requests; fewer only show that it runs)"
    # the count serves the check below; it is left out of the timed query
    window_s = _seconds(lambda: incident.store.run(WINDOW.replace(_count(), "")), best_of=1)
    yield f"DuckDB's window query                {window_s:8.2f} s"
    kernel_s = _kernel_s(incident.log)
    yield _line("kernel alone (arrays ready, warm)", kernel_s, window_s / kernel_s, KERNEL_BAR)
    tables_s = _seconds(lambda: replay_log(read(incident.store), traffic.policy()).decisions, best_of=3)
    yield _line("tables to decisions", tables_s, window_s / tables_s, TABLES_BAR)
    yield _agrees(min(requests, 1_000_000))
    if requests >= BARS_FOR:
        small = Incident.create()
        traffic.fill(small, requests // 10)
        small_s = _seconds(lambda: replay_log(read(small.store), traffic.policy()).decisions, best_of=3)
        growth = tables_s / small_s
        told = f"{growth:5.1f} x   bar <= {GROWTH_BAR} x   {_met(growth <= GROWTH_BAR)}"
        yield f"{'ten times the requests cost':<36} {small_s:8.2f} s   {told}"


def _count() -> str:
    start = WINDOW.index(",\n  count(*)")
    return WINDOW[start : WINDOW.index("as n\n") + 4]


def _seconds(work: Callable[[], object], *, best_of: int) -> float:
    times = []
    for _ in range(best_of):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def _line(what: str, seconds: float, ratio: float, bar: float) -> str:
    return f"{what:<36} {seconds:8.2f} s   {ratio:5.1f} x   bar >= {bar} x   {_met(ratio >= bar)}"


def _met(is_met: bool) -> str:  # noqa: FBT001 - a word for it
    return "met" if is_met else "MISSED"


def _kernel_s(log: Log) -> float:
    jobs = _jobs(log)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_run, _fresh(jobs)))
        return _seconds(lambda: list(pool.map(_run, _fresh(jobs))), best_of=5)


def _jobs(log: Log) -> list[tuple[Any, ...]]:
    """Return the kernel's arguments, one tuple a route."""
    jobs = []
    for route in traffic.policy().routes:
        requests = np.flatnonzero(log.intent == log.intents.index(route.intent[0]))
        p = plan(route, log.errors)
        records = nearest(log, requests, p.targets, attempts=p.attempts).records
        arrived = log.arrived_us[requests]
        ends = kernel.ends(arrived, records[0, 0], int(p.retry["timeout_ms"][0]))
        jobs.append(
            (arrived, np.empty(0), *ends, records, p.breakers, p.rules, p.trip, p.recover, p.retry, p.failures, p.flags)
        )
    return jobs


def _fresh(jobs: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the jobs with breakers that have not run yet."""
    return [(*job[:5], job[5].copy(), *job[6:]) for job in jobs]


def _run(job: tuple[Any, ...]) -> Any:
    return kernel.run(*job)


def _agrees(requests: int) -> str:
    """Return whether each route's first switch is where the window query's p95 first passes the limit.

    On a log that the backup never answered: up to the first switch the policy then does what the log did, and the log's
    own windows are the breaker's.
    """
    incident = Incident.create()
    traffic.fill(incident, requests, backup=False)
    incident.store.run(WINDOW)
    firsts = incident.store.frame(
        "select intent, min(done_at) as at from windowed where p95_ms > $limit and n >= 20 group by intent",
        {"limit": traffic.LIMIT_MS},
    )
    replay = replay_log(incident.log, traffic.policy())
    mine = replay.transitions.group_by("route").agg(pl.col("at").min())
    both = firsts.join(mine, left_on="intent", right_on="route", how="full", suffix="_mine")
    same = int((both["at"] == both["at_mine"]).sum())
    return f"first switches where the window query's p95 first passes the limit: {same} of {both.height} routes"
