"""Load: a gateway's log into an incident's tables, against DuckDB's own reading and extraction of the same file."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from benchmarks.measure import best, environment
from incident_kit import Incident
from incident_kit.samples import sample
from incident_kit.sources import formats

BAR = 4.0
BAR_GIB = 2.0
MB = 10**6
CAPTURE = "litellm_capture"
SOURCE = "litellm_standard"


def main(*, megabytes: int, memory_megabytes: int) -> int:
    """Print the table; 1 where a bar is missed, else 0."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "log.ndjson"
        rows = write(file, megabytes=megabytes)
        size = file.stat().st_size
        print(f"{rows:,} LiteLLM records, {size / MB:,.0f} MB of NDJSON; {environment()}")
        theirs, _ = best(lambda: extracted(file), times=3)
        ours, report = best(lambda: Incident.create().load(file), times=3)
        kept, _ = best(lambda: into_a_file(folder, file), times=1)
        assert report.rows_loaded == rows, report
        print(f"DuckDB, one json_extract_string of {len(paths())} paths into a table: {theirs:6.2f} s")
        print(
            f"load, hashing included, in memory:                          {ours:6.2f} s = {ours / theirs:.2f} x (bar {BAR:g})"
        )
        print(f"load, kept in a file:                                       {kept:6.2f} s = {kept / theirs:.2f} x")
        missed = ours > BAR * theirs
        file.unlink()
        if memory_megabytes:
            missed |= measure_memory(folder, megabytes=memory_megabytes) > BAR_GIB
    print("a bar is missed" if missed else "the bars are held")
    return int(missed)


def measure_memory(folder: Path, *, megabytes: int) -> float:
    """Print and return the peak of a process that loads a large log, in GiB."""
    file = folder / "large.ndjson"
    rows = write(file, megabytes=megabytes)
    code = (
        "import sys, time; from incident_kit import Incident; began = time.perf_counter();"
        " report = Incident.create(sys.argv[1]).load(sys.argv[2]); assert report.rows_loaded == int(sys.argv[3]);"
        " from benchmarks.measure import peak_gib; print(peak_gib(), time.perf_counter() - began)"
    )
    said = subprocess.run(  # noqa: S603 - this program itself
        [sys.executable, "-c", code, str(folder / "large.duckdb"), str(file), str(rows)],
        check=True, capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    ).stdout.split()  # fmt: skip
    peak, seconds = map(float, said)
    size = file.stat().st_size / MB
    print(f"{rows:,} records, {size:,.0f} MB, kept in a file: {seconds:.1f} s, peak {peak:.2f} GiB (bar {BAR_GIB:g})")
    file.unlink()
    return peak


def write(file: Path, *, megabytes: int) -> int:
    """Write a log in the capture's shape and return its rows: its records again and again, each time as other requests."""
    folder = sample(CAPTURE) / "logs"
    with gzip.open(next(folder.glob("*.ndjson.gz")), "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    last = max(record["endTime"] for record in records) - min(record["startTime"] for record in records) + 60
    rows = copy = 0
    with file.open("w", encoding="utf-8") as out:
        while True:
            for record in records:
                out.write(json.dumps(again(record, copy=copy, later_s=copy * last)) + "\n")
                rows += 1
                if out.tell() >= megabytes * MB:
                    return rows
            copy += 1


def again(record: dict[str, Any], *, copy: int, later_s: float) -> dict[str, Any]:
    """Return a record as that of another request of another conversation, so many seconds later."""
    changed = dict(record)
    for name in ("id", "litellm_call_id", "trace_id", "session_id"):
        changed[name] = f"{record[name]}-{copy}" if record[name] else record[name]
    for name in ("startTime", "endTime", "completionStartTime"):
        changed[name] = record[name] + later_s
    metadata = dict(record["metadata"])
    asked = dict(metadata["requester_metadata"] or {})
    for name in ("session_id", "trace_id", "ticket_id"):
        if asked.get(name):
            asked[name] = f"{asked[name]}-{copy}"
    metadata["requester_metadata"] = asked
    changed["metadata"] = metadata
    return changed


def paths() -> list[str]:
    """Return every path that the format reads."""
    (chosen,) = (one for one in formats() if one.name == SOURCE)
    listed = chosen.sql[: chosen.sql.index("as v")]
    return [*re.findall(r"'(\$\.[^']+)'", listed), *(path for found in chosen.labels.values() for path in found)]


def extracted(file: Path) -> None:
    """Have DuckDB read the file and take every path out of every record, into a table."""
    with duckdb.connect() as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute(
            "create table extracted as select json_extract_string(json, $paths) as v from read_ndjson_objects($file)",
            {"paths": paths(), "file": str(file)},
        )


def into_a_file(folder: Path, file: Path) -> None:
    """Load the file into an incident that is kept."""
    kept = folder / "kept.duckdb"
    kept.unlink(missing_ok=True)
    Incident.create(kept).load(file)
