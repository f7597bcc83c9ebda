"""``python -m benchmarks replay``, ``... compare`` and ``... evidence``: how fast the kit is, and how right its estimates are."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # many small matrices: threads only wait for one another

from benchmarks import compare, evidence, replay


def main() -> int:
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
    two.add_argument("--out", type=Path, help="write every case to this Parquet file")
    three = commands.add_parser("compare", help="scorecards with intervals, sweeps and sensitivities: time and memory")
    three.add_argument(
        "--requests", type=int, default=compare.LARGE, help="how many in the largest incident (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.command == "compare":
        return compare.main(requests=arguments.requests)
    if arguments.command == "evidence":
        return evidence.main(incidents=arguments.incidents, seeds_file=arguments.seeds, out=arguments.out)
    return replay.main(requests=arguments.requests)


if __name__ == "__main__":
    sys.exit(main())
