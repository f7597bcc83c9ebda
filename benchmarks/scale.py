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

import altair as alt
import polars as pl

from benchmarks import traffic
from benchmarks.measure import environment, forget_peak, peak_gib
from incident_kit import Incident, charts, replay
from incident_kit.charts import theme
from incident_kit.estimation.evidence import nearest

SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
BAR_GIB, BAR_FOR = 4.0, 10_000_000
BAR_GROWTH = 12.0
STEPS = ("load", "prepare", "replay", "decisions", "charts")
_BAR_STEPS = STEPS[:3]
MODEL, MODEL_UP_TO = "with the model", 10_000_000  # a replay whose outcomes the model gives, not the nearest call
_COPY = """
copy (
  select request_id, conversation_id, intent, channel, arrived_at, wait_ms, requested, served, is_fallback, status, error_class,
    stream, tools_offered, tool_calls, tool_errors, prompt_tokens, completion_tokens, cost_usd
  from requests
) to '{}' (format parquet, compression zstd)
"""


def main(*, most: int, figure: Path | None = None) -> int:
    """Print the tables; 1 where a bar is missed, else 0. ``figure``: an SVG file to draw them in."""
    print(f"canonical Parquet, {len(traffic.INTENTS)} intents, a policy with a breaker an intent; {environment()}")
    print("seconds, and in brackets the peak of resident memory in GiB while at it")
    print(f"{'requests':>11}" + "".join(f"{step:>16}" for step in STEPS) + f"{'in all':>16}{MODEL:>18}")
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
                print(f"{size:>11,}  {done.stderr.strip()}")
                return 1
            told = found[size] = json.loads(done.stdout)
            cells = [(told[step], told[f"{step} GiB"]) for step in STEPS] + [(_seconds(told, STEPS), _peak(told))]
            model = f"{told[MODEL]:.2f} ({told[f'{MODEL} GiB']:.1f})" if MODEL in told else "not tried"
            print(
                f"{size:>11,}" + "".join(f"{f'{s:.2f} ({gib:.1f})':>16}" for s, gib in cells) + f"{model:>18}",
                flush=True,
            )
    if figure is not None and len(found) > 1:
        figure.write_text(charts.svg(_drawn(found)), encoding="utf-8")
        print(f"drawn in {figure}")
    return _judged(found)


def _judged(found: dict[int, dict[str, float]]) -> int:
    missed = []
    if BAR_FOR in found:
        peak, small = max(_peak(found[BAR_FOR]), found[BAR_FOR][f"{MODEL} GiB"]), found[BAR_FOR // 10]
        growth = _seconds(found[BAR_FOR], _BAR_STEPS) / _seconds(small, _BAR_STEPS)
        print(f"{BAR_FOR:,} requests: peak {peak:.2f} GiB, bar {BAR_GIB:g} GiB")
        print(f"ten times one million, {', '.join(_BAR_STEPS)}: {growth:.1f} x the time, bar {BAR_GROWTH:g} x")
        missed += [f"{peak:.2f} GiB"] if peak > BAR_GIB else []
        missed += [f"{growth:.1f} x"] if growth > BAR_GROWTH else []
        print(f"missed: {', '.join(missed)}" if missed else "met")
    return int(bool(missed))


def child(path: str, folder: str) -> None:
    """Do one size, and print seconds and the peak of memory a step as JSON; in a process of its own."""
    told: dict[str, float] = {}

    def timed(step: str, work: Callable[[], Any]) -> Any:
        forget_peak()
        began = time.perf_counter()
        result = work()
        told[step] = time.perf_counter() - began
        told[f"{step} GiB"] = peak_gib()
        return result

    incident = Incident.create(Path(folder) / "incident.duckdb")
    report = timed("load", lambda: incident.load(path))
    assert report.rows_loaded == report.rows_read, report
    timed("prepare", lambda: incident.log)
    done = timed("replay", lambda: replay(incident, traffic.policy(), estimator=nearest))
    timed("decisions", lambda: done.write_decisions(Path(folder) / "decisions.parquet"))
    timed("charts", lambda: [charts.svg(charts.timeline(incident)), charts.svg(charts.states(done))])
    if report.rows_loaded <= MODEL_UP_TO:
        done = None  # one replay at a time
        timed(MODEL, lambda: replay(incident, traffic.policy()))
    incident.store.close()
    (Path(folder) / "incident.duckdb").unlink()
    print(json.dumps(told))


def _seconds(told: dict[str, float], steps: tuple[str, ...]) -> float:
    return sum(told[step] for step in steps)


def _peak(told: dict[str, float]) -> float:
    return max(told[f"{step} GiB"] for step in STEPS)


def _drawn(found: dict[int, dict[str, float]]) -> Any:
    """Return seconds a step and the peak of memory against the size, both on logarithmic axes."""
    time_s = [(size, step, told[step]) for size, told in found.items() for step in STEPS]
    memory = [(size, "peak", _peak(told)) for size, told in found.items()]
    panels = []
    for title, rows in (("Seconds, by step", time_s), ("Peak of memory, GiB", memory)):
        frame = pl.DataFrame(rows, schema=["requests", "step", "value"], orient="row")
        names = list(dict.fromkeys(frame["step"]))
        x = alt.X(
            "requests:Q", scale=alt.Scale(type="log"), axis=alt.Axis(format="~s", values=list(found)), title="Requests"
        )
        y = alt.Y("value:Q", scale=alt.Scale(type="log"), title=None)
        legend = alt.Legend(orient="bottom") if len(names) > 1 else None
        scale = alt.Scale(domain=names, range=list(theme.SERIES[: len(names)]))
        colour = alt.Color("step:N", scale=scale, title=None, legend=legend)
        line: Any = alt.Chart(frame).mark_line(point=True).encode(x=x, y=y, color=colour)
        panels.append(line.properties(width=320, height=240, title=title))
    sizes = ", ".join(f"{size:,}: {_seconds(told, STEPS):.0f} s, {_peak(told):.1f} GiB" for size, told in found.items())
    return theme.finished(
        alt.hconcat(*panels).resolve_scale(color="independent"),
        f"Time and memory against the number of requests. {sizes}.",
    )


def _write(file: Path, requests: int) -> None:
    incident = Incident.create()
    traffic.fill(incident, requests)
    incident.store.run(_COPY.format(file))
    incident.store.close()
