"""``python -m benchmarks replay``: what DESIGN.md section 4 says is timed, as ratios within one run."""

from __future__ import annotations

import argparse
import sys

from benchmarks import replay


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the kit on made-up traffic.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("replay", help="a replay against DuckDB's window query over the same rows")
    one.add_argument(
        "--requests", type=int, default=10_000_000, help="how many; 1_000_000 takes seconds (default: %(default)s)"
    )
    arguments = parser.parse_args()
    return replay.main(requests=arguments.requests)


if __name__ == "__main__":
    sys.exit(main())
