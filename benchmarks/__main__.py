"""``python -m benchmarks replay``, ``compare``, ``load``, ``evidence`` ...: how fast the kit is, and how right."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # many small matrices: threads only wait for one another

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _run(module: str, /, function: str = "main", **options: Any) -> None:
    """End with what a benchmark returns: 1 where a bar is missed, else 0."""
    raise typer.Exit(getattr(importlib.import_module(f"benchmarks.{module}"), function)(**options))


@app.command()
def replay(requests: Annotated[int, typer.Option(help="A million take seconds.")] = 10_000_000) -> None:
    """A replay against DuckDB's window query over the same rows."""
    _run("replay", requests=requests)


@app.command()
def evidence(
    incidents: Annotated[int, typer.Option(help="30 take a minute or two.")] = 300,
    seeds: Annotated[
        Path | None, typer.Option(help="A file of numbers, one an incident. Default: benchmarks/seeds.txt")
    ] = None,
    capture: Annotated[bool, typer.Option("--capture", help="On the real gateway's log instead.")] = False,  # noqa: FBT002 - a flag
    real: Annotated[bool, typer.Option("--real", help="With real answers and latencies instead; 30 at most.")] = False,  # noqa: FBT002
    out: Annotated[Path | None, typer.Option(help="Write every case to this Parquet file.")] = None,
) -> None:
    """Estimates and intervals against the truth of made-up incidents."""
    if capture:
        _run("capture")
    elif real:
        _run("realdata", incidents=min(incidents, 30))
    else:
        _run("evidence", incidents=incidents, seeds_file=seeds, out=out)


@app.command()
def compare(requests: Annotated[int, typer.Option(help="In the largest incident.")] = 1_000_000) -> None:
    """Scorecards with intervals, sweeps and sensitivities: time and memory."""
    _run("compare", requests=requests)


@app.command()
def slider(requests: int = 100_000) -> None:
    """A key on the Tuner's slider to four redrawn panels, in a real JupyterLab."""
    _run("slider", requests=requests)


@app.command()
def brush(requests: int = 100_000) -> None:
    """The end of a drag on the Explorer to its contrast, in a real JupyterLab."""
    _run("brush", requests=requests)


@app.command()
def load(
    megabytes: Annotated[int, typer.Option(help="Of NDJSON to time.")] = 200,
    memory_megabytes: Annotated[int, typer.Option(help="Of NDJSON to load in a process of its own, for its peak.")] = 0,
) -> None:
    """A gateway's log into tables against DuckDB's own reading and extraction of it."""
    _run("load", megabytes=megabytes, memory_megabytes=memory_megabytes)


@app.command()
def compatibility(incidents: Annotated[int, typer.Option(help="To make of the outage.")] = 8) -> None:
    """Backup against primary, against what both would really have done."""
    _run("likeness", incidents=incidents)


@app.command()
def tuning(
    incidents: int = 40,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 2,
    smoke: Annotated[bool, typer.Option("--smoke", help="A small run.")] = False,  # noqa: FBT002
) -> None:
    """What is recommended from half of some incidents, held against the others."""
    if smoke:
        _run("tuning", "smoke", jobs=jobs)
    _run("tuning", incidents=incidents, jobs=jobs)


@app.command()
def check(
    incidents: int = 20,
    requests: Annotated[int, typer.Option(help="Of each.")] = 50_000,
    jobs: Annotated[int | None, typer.Option(help="At a time. Default: one a core.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Keep the packs here, or take those that lie there.")] = None,
) -> None:
    """A policy against a folder of packed incidents."""
    _run("check", incidents=incidents, requests=requests, jobs=jobs, folder=folder)


@app.command()
def cluster(requests: int = 5_000_000) -> None:
    """A replay on a standalone Spark cluster against DuckDB's, row for row."""
    _run("cluster", requests=requests)


@app.command()
def kills(trials: int = 500, seed: Annotated[int, typer.Option(help="Of the moments.")] = 0) -> None:
    """Kill -9 at random moments of whatever writes: what is left, does it go on."""
    _run("kills", trials=trials, seed=seed)


@app.command()
def scale(
    most: Annotated[int, typer.Option(help="The largest number of requests.")] = 10_000_000,
    figure: Annotated[Path | None, typer.Option(help="Draw it, too, in this SVG file.")] = None,
) -> None:
    """Load, replay and chart from 100,000 to 30 million requests: time and memory."""
    _run("scale", most=most, figure=figure)


if __name__ == "__main__":
    app()
