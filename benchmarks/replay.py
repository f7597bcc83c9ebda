"""Replay: one exact closed-loop replay of a policy against DuckDB's window query over the same rows."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from benchmarks import traffic
from benchmarks.measure import best, environment, forget_peak, peak_gib
from incident_kit import Incident, Policy
from incident_kit.engine import kernel, thresholds
from incident_kit.engine.plan import plan
from incident_kit.estimation.evidence import nearest
from incident_kit.log import Log, read
from incident_kit.scoring.decisions import instants
from incident_kit.scoring.replays import Replay, replay_log

BARS_FOR = 10_000_000
SWEPT = 1_000_000  # requests of the sweep, of whose intents one is swept
LIMITS_MS = range(1500, 5500, 4)  # a thousand
# what a breaker watches, asked of DuckDB for every row
WINDOW = """
create or replace temp table windowed as
select intent, done_at, quantile_disc(wait_ms, 0.95) over (
  partition by intent order by done_at range between interval 5 minutes preceding and current row
) as p95_ms
from (select intent, wait_ms, arrived_at + to_milliseconds(wait_ms) as done_at from requests)
"""
# the same, as the breaker has it: the window is open at its old end, and it takes 20 calls to act
FIRST_TRIPS = """
with watched as (
  select intent, done_at, quantile_disc(latency_ms, 0.95) over recent as p95_ms, count(*) over recent as n
  from calls
  window recent as (
    partition by intent order by done_at range between interval 299999999 microseconds preceding and current row
  )
)
select min(done_at) as done_at, arg_min(p95_ms, done_at) as p95_ms
from watched
where n >= 20 and p95_ms > $limit_ms
group by intent
order by intent
"""


def main(*, requests: int) -> int:
    """Print the table; 1 where a replay and the window query disagree, else 0."""
    with TemporaryDirectory() as folder:
        return _measured(Path(folder), requests=requests)


def _measured(folder: Path, *, requests: int) -> int:
    print(f"{requests:,} requests, {len(traffic.INTENTS)} intents; {environment()}")
    policy = traffic.policy()
    first, _ = best(lambda: _decided(_incident(folder, 1_000), policy), times=1)
    small_s, _ = best(_timed(_incident(folder, requests // 10), policy), times=3)
    incident = _incident(folder, requests)
    before_gib = forget_peak()
    decided_s, replay = best(_timed(incident, policy), times=5)
    own_gib = peak_gib() - before_gib if before_gib is not None else None
    routes = _prepared(replay.log, policy)
    kernel_s, _ = best(lambda: _run(routes), times=10)
    agree, said = _judge(incident, replay, routes)
    routes = None
    three = _prepared(replay.log, traffic.policy(traffic.THREE_CONDITIONS))
    three_s, _ = best(lambda: _run(three), times=5)
    replay = three = None  # the window query has the memory for itself
    window_s, _ = best(lambda: incident.store.run(WINDOW), times=2)
    of = min(SWEPT, requests)
    sweep_s, swept_window_s, swept = _swept(folder, of, policy)
    faster, decided, grows = window_s / kernel_s, window_s / decided_s, decided_s / small_s
    thrice, sweeps = window_s / three_s, sweep_s / swept_window_s
    rows = [
        ("window query of DuckDB, one quantile", window_s, "", ""),
        ("kernel alone, arrays prepared", kernel_s, f"{faster:.0f} x faster", _bar(">= 40 x", met=faster >= 40)),
        ("the same, three conditions, at_least 2", three_s, f"{thrice:.0f} x faster", _bar(">= 20 x", met=thrice >= 20)),
        (f"{len(LIMITS_MS):,} limits of an intent of {swept:,}", sweep_s,
         f"{sweeps:.2f} x the window query of {of:,}", _bar("<= 1 x", met=sweeps <= 1)),
        ("tables to decisions", decided_s, f"{decided:.1f} x faster", _bar(">= 6 x", met=decided >= 6)),
        (f"the same of {requests // 10:,}", small_s, f"{grows:.1f} x the time for ten times", _bar("<= 12 x", met=grows <= 12)),
        ("first call in this process", first, "compiles, or reads what was compiled", ""),
    ]  # fmt: skip
    for what, seconds, ratio, bar in rows:
        print(f"{what:<42}{seconds:>9.3f} s  {ratio:<42}{bar if requests >= BARS_FOR else ''}".rstrip())
    if own_gib is not None:
        print(f"peak memory from tables to decisions: {own_gib:.1f} GiB, on top of {before_gib:.1f} GiB before")
    print(f"peak memory of the window query and all: {peak_gib():.1f} GiB")
    if requests < BARS_FOR:
        print(f"(the bars are for {BARS_FOR:,} requests; fewer only show that it runs)")
    print(said)
    return 0 if agree else 1


def _swept(folder: Path, requests: int, policy: Policy) -> tuple[float, float, int]:
    """Return the time of many limits of the intent of median size, that of the window query of all, and the intent's size."""
    incident = _incident(folder, requests)
    log = read(incident.store)
    routes = sorted(_prepared(log, policy), key=lambda route: len(route[1][0]))
    name, (arrived, draw, done_us, done_request, outcomes, *_) = routes[len(routes) // 2]
    p = plan(next(route for route in policy.routes if route.name == name), log.errors)

    def every() -> Any:
        return thresholds.changes(thresholds.path(p, arrived, done_us, done_request, outcomes, draw), LIMITS_MS)

    every()  # compiles
    sweep_s, found = best(every, times=3)
    p.trip["limit_ms"] = p.recover["limit_ms"] = LIMITS_MS[-1] + 1
    *_, table = kernel.run(
        arrived,
        draw,
        done_us,
        done_request,
        outcomes,
        p.breakers,
        p.rules,
        p.trip,
        p.recover,
        p.retry,
        p.failures,
        p.flags,
    )
    assert (table[:, 1].astype(np.int64) == found[-1]["at"]).all()
    window_s, _ = best(lambda: incident.store.run(WINDOW), times=2)
    return sweep_s, window_s, len(arrived)


def _incident(folder: Path, requests: int) -> Incident:
    """Return an incident as people have it: one DuckDB file."""
    path = folder / f"{requests}.duckdb"
    if path.exists():
        return Incident.open(path)
    incident = Incident.create(path)
    traffic.fill(incident, requests)
    return incident


def _decided(incident: Incident, policy: Policy) -> Replay:
    """Return a replay, from the tables to the decisions."""
    replay = replay_log(read(incident.store), policy)
    _ = replay.decisions
    return replay


def _timed(incident: Incident, policy: Policy) -> Callable[[], Replay]:
    return lambda: _decided(incident, policy)


def _prepared(log: Log, policy: Policy) -> list[tuple[str, tuple[Any, ...]]]:
    """Return what the kernel runs on, for each intent: everything that no decision depends on, or that it leaves as it is."""
    found = []
    for route in policy.routes:
        requests = np.flatnonzero(log.intent == log.intents.index(route.name))
        p = plan(route, log.errors)
        outcomes = nearest(log, requests, p.targets, attempts=p.attempts).records
        arrived = log.arrived_us[requests]
        rest = (p.breakers, p.rules, p.trip, p.recover, p.retry, p.failures, p.flags)
        found.append((route.name, (arrived, np.empty(0), *kernel.ends(arrived, outcomes[0, 0], 0), outcomes, *rest)))
    return found


def _run(routes: list[tuple[str, tuple[Any, ...]]]) -> None:
    def one(route: tuple[str, tuple[Any, ...]]) -> None:
        arrays = list(route[1])
        arrays[5] = arrays[5].copy()  # the breakers, the only ones that change
        kernel.run(*arrays)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, routes))


def _judge(incident: Incident, replay: Replay, routes: list[tuple[str, tuple[Any, ...]]]) -> tuple[bool, str]:
    """Return whether each intent's first trip is where the window query has it, over the calls that the kernel saw by then."""
    store = incident.store
    switched = (
        replay.transitions.filter(pl.col("to") == "on backup")
        .sort("at")
        .unique("route", keep="first", maintain_order=True)
    )
    trips = {row["route"]: row for row in switched.iter_rows(named=True)}
    store.run("create or replace temp table calls (intent varchar, done_at timestamptz, latency_ms bigint)")
    for intent, (arrived, _, _, _, outcomes, *_) in routes:
        latency_ms = outcomes["latency_ms"][0, 0].astype(np.int64)
        calls = pl.DataFrame({"done_at": instants(arrived + latency_ms * 1000), "latency_ms": latency_ms})
        store.connection.register(
            "made", calls.filter(pl.col("done_at") <= trips[intent]["at"]) if intent in trips else calls
        )
        store.run("insert into calls select $intent, done_at, latency_ms from made", {"intent": intent})
        store.connection.unregister("made")
    theirs = store.frame(FIRST_TRIPS, {"limit_ms": traffic.LIMIT_MS}).rows()
    agree = (
        theirs == [(trips[intent]["at"], int(trips[intent]["value"])) for intent in sorted(trips)] and len(trips) > 0
    )
    where = "where" if agree else "NOT where"
    return (
        agree,
        f"first trips: {len(trips)} of {len(routes)} intents, at the instant and p95 {where} the window query has them",
    )


def _bar(text: str, *, met: bool) -> str:
    return f"bar {text}: {'met' if met else 'MISSED'}"


if __name__ == "__main__":
    sys.exit(main(requests=1_000_000))
