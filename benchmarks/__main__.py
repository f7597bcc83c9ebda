"""Benchmarks, side by side in one run: ``python -m benchmarks replay [--requests N]``."""

from __future__ import annotations

import argparse
import os
import platform
import resource

import duckdb
import numba
import polars as pl

from benchmarks.replay import measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=["replay"])
    parser.add_argument("--requests", type=lambda text: int(text.replace("_", "")), default=10_000_000)
    chosen = parser.parse_args()
    print(
        f"Python {platform.python_version()}, DuckDB {duckdb.__version__}, Polars {pl.__version__}, Numba {numba.__version__}, "
        f"{os.cpu_count()} cores"
    )
    for line in measure(chosen.requests):
        print(line, flush=True)
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
