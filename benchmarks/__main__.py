"""``python -m benchmarks replay``, ``compare``, ``load``, ``evidence`` ...: how fast the kit is, and how right."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # many small matrices: threads only wait for one another

from benchmarks import check, compare, evidence, likeness, load, replay, slider, tuning


def main() -> int:  # noqa: PLR0911, PLR0915 - one return a command
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the kit on made-up traffic.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("replay", help="a replay against DuckDB's window query over the same rows")
    one.add_argument(
        "--requests", type=int, default=10_000_000, help="how many; 1_000_000 takes seconds (default: %(default)s)"
    )
    two = commands.add_parser("evidence", help="estimates and intervals against the truth of made-up incidents")
    two.add_argument(
        "--incidents", type=int, default=300, help="how many; 30 take a minute or two (default: %(default)s)"
    )
    two.add_argument("--seeds", type=Path, help="a file of numbers, one an incident (default: benchmarks/seeds.txt)")
    two.add_argument(
        "--capture",
        action="store_true",
        help="on the real gateway's log instead, against what is known of its deployments",
    )
    two.add_argument(
        "--real", action="store_true", help="with real answers and real latencies instead (default: 30 incidents)"
    )
    two.add_argument("--out", type=Path, help="write every case to this Parquet file")
    three = commands.add_parser("compare", help="scorecards with intervals, sweeps and sensitivities: time and memory")
    three.add_argument(
        "--requests", type=int, default=compare.LARGE, help="how many in the largest incident (default: %(default)s)"
    )
    four = commands.add_parser(
        "slider", help="a key on the Tuner's slider to four redrawn panels, in a real JupyterLab"
    )
    four.add_argument("--requests", type=int, default=slider.REQUESTS, help="how many (default: %(default)s)")
    kill = commands.add_parser(
        "kills", help="kill -9 at random moments of whatever writes: what is left, does it go on"
    )
    kill.add_argument("--trials", type=int, default=500, help="how many (default: %(default)s)")
    kill.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    drag = commands.add_parser("brush", help="the end of a drag on the Explorer to its contrast, in a real JupyterLab")
    drag.add_argument("--requests", type=int, default=100_000, help="how many (default: %(default)s)")
    four = commands.add_parser(
        "load", help="a gateway's log into tables against DuckDB's own reading and extraction of it"
    )
    four.add_argument("--megabytes", type=int, default=200, help="of NDJSON to time (default: %(default)s)")
    four.add_argument(
        "--memory-megabytes",
        type=int,
        default=0,
        help="of NDJSON to load in a process of its own for its peak of memory",
    )
    five = commands.add_parser("compatibility", help="backup against primary, against what both would really have done")
    five.add_argument("--incidents", type=int, default=8, help="how many to make of the outage (default: %(default)s)")
    six = commands.add_parser("tuning", help="what is recommended from half of some incidents, held against the others")
    six.add_argument("--incidents", type=int, default=40, help="how many (default: %(default)s)")
    six.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    six.add_argument("--smoke", action="store_true", help="a small run, of under a minute")
    six = commands.add_parser("cluster", help="a replay on a standalone Spark cluster against DuckDB's, row for row")
    six.add_argument("--requests", type=int, default=5_000_000, help="how many (default: %(default)s)")
    gate = commands.add_parser("check", help="a policy against a folder of packed incidents")
    gate.add_argument("--incidents", type=int, default=check.INCIDENTS, help="how many (default: %(default)s)")
    gate.add_argument("--requests", type=int, default=check.REQUESTS, help="of each (default: %(default)s)")
    gate.add_argument("--jobs", type=int, help="at a time (default: one a core)")
    gate.add_argument("--folder", type=Path, help="keep the packs here, or take those that lie there")
    arguments = parser.parse_args()
    if arguments.command == "check":
        return check.main(
            incidents=arguments.incidents, requests=arguments.requests, jobs=arguments.jobs, folder=arguments.folder
        )
    if arguments.command == "kills":
        from benchmarks import kills

        return kills.main(trials=arguments.trials, seed=arguments.seed)
    if arguments.command == "brush":
        from benchmarks import brush

        return brush.main(requests=arguments.requests)
    if arguments.command == "cluster":
        from benchmarks import cluster

        return cluster.main(requests=arguments.requests)
    if arguments.command == "tuning":
        jobs = arguments.jobs
        return tuning.smoke(jobs=jobs) if arguments.smoke else tuning.main(incidents=arguments.incidents, jobs=jobs)
    if arguments.command == "compatibility":
        return likeness.main(incidents=arguments.incidents)
    if arguments.command == "load":
        return load.main(megabytes=arguments.megabytes, memory_megabytes=arguments.memory_megabytes)
    if arguments.command == "slider":
        return slider.main(requests=arguments.requests)
    if arguments.command == "compare":
        return compare.main(requests=arguments.requests)
    if arguments.command == "evidence" and (arguments.capture or arguments.real):
        from benchmarks import capture, realdata

        missed = capture.main() if arguments.capture else 0
        return missed + (realdata.main(incidents=min(arguments.incidents, 30)) if arguments.real else 0)
    if arguments.command == "evidence":
        return evidence.main(incidents=arguments.incidents, seeds_file=arguments.seeds, out=arguments.out)
    return replay.main(requests=arguments.requests)


if __name__ == "__main__":
    sys.exit(main())
