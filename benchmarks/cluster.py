"""Cluster: a replay on a standalone Spark cluster of one and of two workers, against DuckDB's on the same rows."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import polars as pl
import pyarrow.compute as pc

from benchmarks import traffic
from benchmarks.measure import environment
from benchmarks.standalone import standalone
from incident_kit import Incident, replay
from incident_kit.clusters import cluster, lakerows, partitions
from incident_kit.clusters.resulttables import plain
from incident_kit.clusters.sessions import session
from incident_kit.estimation.evidence import nearest

FILES = 8  # of the lake, its rows shuffled
WORKERS = (1, 2)
_MEMORY = "1g"
_READING = lakerows.Reading("canonical", "requests")
_MIB, _GIB = 2**20, 2**30


def main(*, requests: int) -> int:
    """Print the table; 1 where a decision or a transition differs, else 0."""
    with TemporaryDirectory(prefix="incident-kit-") as name:
        folder = Path(name)
        print(f"{requests:,} requests, {len(traffic.INTENTS)} intents; {environment()}")
        size = _lake(folder / "lake", folder, requests)
        print(f"lake: {FILES} Parquet files, {size / _MIB:,.0f} MiB, {size / requests:.0f} bytes a request")
        _phases(folder / "lake" / "requests-0.parquet")
        for workers in WORKERS:
            _on_cluster(folder, workers, requests)
        return _judged(folder, requests)


def _lake(lake: Path, folder: Path, requests: int) -> int:
    """Write made-up requests as the kit's own format, in no order, and return the bytes."""
    lake.mkdir()
    incident = Incident.create(folder / "made.duckdb")
    traffic.fill(incident, requests)
    columns = "request_id, intent, arrived_at, wait_ms, requested, served, status, error_class, tools_offered"
    for number in range(FILES):
        incident.store.run(
            f"copy (select {columns} from requests where hash(request_id) % {FILES} = {number} order by hash(request_id, 1))"
            f" to '{lake / f'requests-{number}.parquet'}' (format parquet, compression zstd)"
        )
    incident.store.close()
    (folder / "made.duckdb").unlink()
    return sum(file.stat().st_size for file in lake.iterdir())


def _phases(file: Path) -> None:
    """Print what each kind of task costs a core, without Spark: time on the processor, whatever else the machine does."""
    policy = traffic.policy()
    loaded = lakerows.loaded(None, reading=_READING)
    lakerows.loaded(file, reading=_READING)  # warms up
    for warm in (True, False):
        began = time.process_time()
        rows = lakerows.loaded(file, reading=_READING).cast(loaded.schema)
        read_s, began = time.process_time() - began, time.process_time()
        rolled = partitions.rolled(rows.to_batches(), schema=rows.schema)
        rolled_s, began = time.process_time() - began, time.process_time()
        kept = rolled.filter(pc.is_valid(rolled["request_id"])).drop_columns("tally")
        mine = kept.filter(pc.equal(kept["intent"], traffic.INTENTS[0])) if warm else kept
        result = partitions.decided(mine.to_batches(), schema=mine.schema, policy=policy, desk={}, reviewed=True)
        decided_s = time.process_time() - began
    requests = kept.num_rows
    for what, seconds, table in (
        ("reads", read_s, rows),
        ("puts together", rolled_s, rolled),
        ("replays", decided_s, result),
    ):
        rate = f"{requests / seconds:>9,.0f} requests a second"
        print(f"a core {what:<14}{rate}; hands on {table.nbytes / requests:,.0f} bytes each")


def _on_cluster(folder: Path, workers: int, requests: int) -> None:
    settings = {
        "spark.ui.enabled": "true", "spark.ui.port": "0", "spark.executor.memory": _MEMORY,
        "spark.executor.processTreeMetrics.enabled": "true", "spark.executor.metrics.pollingInterval": "500ms",
    }  # fmt: skip
    with (
        standalone(workers=workers) as address,
        session(address, name="benchmark", settings=settings, wait_s=300) as spark,
    ):
        began = time.perf_counter()
        found = cluster.replay(str(folder / "lake"), traffic.policy(), out=str(folder / f"out-{workers}"), master=spark)
        took_s = time.perf_counter() - began
        context: Any = spark.sparkContext
        api = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}"
        stages, executors = _asked(f"{api}/stages"), _asked(f"{api}/allexecutors")
    run_s = sum(one["executorRunTime"] for one in stages) / 1000
    cpu_s = sum(one["executorCpuTime"] for one in stages) / 1e9
    shuffled = sum(one["shuffleWriteBytes"] for one in stages)
    rss = max((one.get("peakMemoryMetrics", {}).get("ProcessTreePythonRSSMemory", 0) for one in executors), default=0)
    written = sum(file.stat().st_size for file in (folder / f"out-{workers}" / "decisions").glob("*.parquet"))
    print(
        f"{workers} worker{'s' * (workers > 1)} of one core: {took_s:,.1f} s, {requests / took_s:,.0f} requests a second;"
        f" tasks {run_s:,.0f} s in all ({requests / run_s:,.0f} requests a second of a core; JVM alone {cpu_s:,.0f} s)"
    )
    print(
        f"  shuffled {shuffled / requests:,.0f} bytes a request ({shuffled / _MIB:,.0f} MiB), written {written / requests:,.0f};"
        f" Python of a worker at most {rss / _GIB:.2f} GiB; largest group {found.largest:,} requests of {found.cohorts} groups"
    )
    for one in sorted(stages, key=lambda one: -one["executorRunTime"])[:4]:
        print(
            f"    stage {one['stageId']}: {one['numTasks']} tasks, {one['executorRunTime'] / 1000:,.1f} s, {_name(one)}"
        )


def _name(stage: dict[str, Any]) -> str:
    moved = f"read {stage['shuffleReadBytes'] / _MIB:,.0f} MiB, wrote {stage['shuffleWriteBytes'] / _MIB:,.0f} MiB of shuffle"
    return f"{stage['name'].split(' at ')[0]}: {moved}"


def _asked(url: str) -> list[dict[str, Any]]:
    with urlopen(url, timeout=30) as answer:  # noqa: S310 - the session's own address on loopback
        found: list[dict[str, Any]] = json.load(answer)
    return found


def _judged(folder: Path, requests: int) -> int:
    incident = Incident.create(folder / "here.duckdb")
    began = time.perf_counter()
    incident.load(str(folder / "lake" / "*.parquet"))
    loaded_s = time.perf_counter() - began
    began = time.perf_counter()
    here = replay(incident, traffic.policy(), estimator=nearest)
    decisions: Any = pl.from_arrow(plain(here.decisions.drop("agreement")))
    print(
        f"DuckDB alone, {os.cpu_count()} cores: loaded in {loaded_s:,.1f} s, decided in {time.perf_counter() - began:,.1f} s"
    )
    decisions = decisions.sort("at", "request_id")
    transitions: Any = pl.from_arrow(plain(here.transitions))
    transitions = transitions.sort("at", "route", "breaker")
    wrong = 0
    for workers in WORKERS:
        out = folder / f"out-{workers}"
        theirs = pl.read_parquet(out / "decisions" / "*.parquet").sort("at", "request_id")
        moved = pl.read_parquet(out / "transitions" / "*.parquet").sort("at", "route", "breaker")
        same = theirs.equals(decisions), moved.equals(transitions) and moved.height > 0
        wrong += not all(same)
        print(
            f"{workers} worker{'s' * (workers > 1)}: {theirs.height:,} decisions"
            f" {'equal' if same[0] else 'NOT equal'} to DuckDB's,"
            f" {moved.height:,} transitions {'equal' if same[1] else 'NOT equal'}"
        )
        shutil.rmtree(out)
    assert decisions.height == requests
    return 1 if wrong else 0
