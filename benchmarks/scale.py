"""Scale: what loading, preparing, replaying and charting cost against the number of requests, and how much memory they take."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import traffic
from benchmarks.measure import environment, peak_gib
from incident_kit import Incident, charts, replay
from incident_kit.estimation.evidence import nearest
from incident_kit.outfiles.framefiles import write_frame

SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
BAR_GIB, BAR_FOR = 4.0, 10_000_000
BAR_GROWTH = 12.0
STEPS = ("load", "prepare", "replay", "decisions", "charts")
_COPY = """
copy (
  select request_id, conversation_id, intent, channel, arrived_at, wait_ms, requested, served, is_fallback, status, error_class,
    stream, tools_offered, tool_calls, tool_errors, prompt_tokens, completion_tokens, cost_usd
  from requests
) to '{}' (format parquet, compression zstd)
"""


def main(*, most: int) -> int:
    """Print the table; 1 where a bar is missed, else 0."""
    print(f"canonical Parquet, {len(traffic.INTENTS)} intents, a policy with a breaker an intent; {environment()}")
    print(f"{'requests':>11}" + "".join(f"{step + ' s':>13}" for step in STEPS) + f"{'in all s':>11}{'peak GiB':>10}")
    found: dict[int, dict[str, float]] = {}
    with TemporaryDirectory() as folder:
        for size in (size for size in SIZES if size <= most):
            file = Path(folder) / "requests.parquet"
            _write(file, size)
            code = "import sys; from benchmarks.scale import child; child(*sys.argv[1:])"
            done = subprocess.run(  # noqa: S603 - itself
                [sys.executable, "-c", code, str(file), folder], capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"{size:>11,}  {done.stderr.strip().splitlines()[-1]}")
                return 1
            told = found[size] = json.loads(done.stdout)
            seconds = "".join(f"{told[step]:>13.2f}" for step in STEPS)
            print(f"{size:>11,}{seconds}{_whole(told):>11.1f}{told['peak']:>10.2f}", flush=True)
    missed = [f"{found[BAR_FOR]['peak']:.1f} GiB"] if BAR_FOR in found and found[BAR_FOR]["peak"] > BAR_GIB else []
    if BAR_FOR in found:
        growth = _whole(found[BAR_FOR]) / _whole(found[BAR_FOR // 10])
        print(f"ten times one million: {growth:.1f} x the time (bar {BAR_GROWTH:g} x); peak bar {BAR_GIB:g} GiB")
        missed += [f"{growth:.1f} x"] if growth > BAR_GROWTH else []
    print(f"missed: {', '.join(missed)}" if missed else "no bar is missed")
    return int(bool(missed))


def child(path: str, folder: str) -> None:
    """Do one size, and print seconds a step and the peak of memory as JSON; in a process of its own."""
    told: dict[str, float] = {}

    def timed(step: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        told[step] = time.perf_counter() - began
        return result

    incident = Incident.create(Path(folder) / "incident.duckdb")
    report = timed("load", lambda: incident.load(path))
    assert report.rows_loaded == report.rows_read, report
    timed("prepare", lambda: incident.log)
    done = timed("replay", lambda: replay(incident, traffic.policy(), estimator=nearest))
    timed("decisions", lambda: write_frame(done.decisions, Path(folder) / "decisions.parquet"))
    timed("charts", lambda: [charts.svg(charts.timeline(incident)), charts.svg(charts.states(done))])
    incident.store.close()
    (Path(folder) / "incident.duckdb").unlink()
    print(json.dumps(told | {"peak": peak_gib()}))


def _whole(told: dict[str, float]) -> float:
    return sum(told[step] for step in STEPS)


def _write(file: Path, requests: int) -> None:
    incident = Incident.create()
    traffic.fill(incident, requests)
    incident.store.run(_COPY.format(file))
    incident.store.close()
