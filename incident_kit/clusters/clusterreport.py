"""Cluster reports: what comes home of a replay on a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import polars as pl

from incident_kit.policies.policy import Policy
from incident_kit.sources import Answer


@dataclass(frozen=True)
class ClusterReplay:
    """What came home of a replay on a cluster.

    ``out`` holds ``decisions`` and ``transitions`` (one row each as in :class:`incident_kit.Replay`) and ``totals``, folders of
    Parquet files, and ``replay.json``. ``transitions`` and ``totals`` are here too; ``totals`` has one row a route and intent:
    requests, on_backup, as_logged, answered_in_log, answered_alike, observed, untold, failed, wait_ms (a sum), waits, p95_ms,
    logged_p95_ms (None where several tasks shared an intent without a route). ``loads`` has one row a format: rows read,
    loaded, duplicate, rejected, and why. ``cohorts`` is how many groups of routes were replayed apart, ``largest`` the requests
    of the largest, ``together`` why there is but one, where that is so.
    """

    policy: Policy
    out: str
    transitions: pl.DataFrame
    totals: pl.DataFrame
    loads: pl.DataFrame
    answers: Mapping[str, Answer]
    cohorts: int
    largest: int
    together: str
    elapsed_s: float

    @property
    def requests(self) -> int:
        """How many requests were decided."""
        return int(self.totals["requests"].sum())

    @property
    def overlap(self) -> float:
        """The share of decisions equal to the log."""
        return self._share("as_logged", "requests")

    @property
    def fidelity(self) -> float:
        """The share of requests answered by the target that answered them in the log."""
        return self._share("answered_alike", "answered_in_log")

    def _share(self, part: str, whole: str) -> float:
        of = int(self.totals[whole].sum())
        return int(self.totals[part].sum()) / of if of else 1.0

    def __str__(self) -> str:
        largest = f"{self.cohorts:,} groups of routes, the largest of {self.largest:,} requests"
        lines = [
            f"{self.policy.name}: {self.requests:,} requests decided in {self.elapsed_s:.0f} s ({largest})",
            f"  written to {self.out}",
            f"  {self.transitions.height:,} switches; {self.overlap:.1%} of decisions as logged; fidelity {self.fidelity:.1%}",
        ]
        lines += [
            f"  {row['source']}: {row['read']:,} rows read = {row['loaded']:,} loaded + {row['duplicate']:,} duplicate"
            f" + {row['rejected']:,} rejected" + (f" ({row['reasons']})" if row["reasons"] else "")
            for row in self.loads.iter_rows(named=True)
        ]
        if self.together:
            lines.append(f"  all in one task: {self.together}")
        return "\n".join(lines)


def loads_of(tallies: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return what became of the records of each format; what contradicted another part's row counts with the first."""
    rows: dict[str, dict[str, Any]] = {}
    for one in sorted(tallies, key=lambda tally: tally["source"] == ""):
        name = one["source"] or next(iter(rows), "")
        row = rows.setdefault(name, {"source": name, "read": 0, "duplicate": 0, "rejected": 0, "reasons": {}})
        for key in ("read", "duplicate", "rejected"):
            row[key] += one[key]
        for reason, count in one["reasons"].items():
            row["reasons"][reason] = row["reasons"].get(reason, 0) + count
    schema = dict.fromkeys(("read", "loaded", "duplicate", "rejected"), pl.Int64)
    made = [
        row | {"loaded": row["read"] - row["duplicate"] - row["rejected"],
               "reasons": "; ".join(f"{count:,} x {reason}" for reason, count in row["reasons"].items() if count)}
        for row in rows.values()
    ]  # fmt: skip
    return pl.DataFrame(made, schema={"source": pl.String, **schema, "reasons": pl.String})


def added(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the totals of all tasks, one row a route and intent, of theirs."""
    exact = pl.len() == 1  # quantiles of several tasks do not add up
    sums = pl.exclude("route", "intent", "p95_ms", "logged_p95_ms").sum()
    alone = [pl.when(exact).then(pl.col(name).first()).alias(name) for name in ("p95_ms", "logged_p95_ms")]
    return frame.group_by("route", "intent").agg(sums, *alone).sort("route", "intent")


def manifest(result: ClusterReplay, *, lake: str) -> str:
    """Return what lies beside the tables: which policy, which lake, which kit."""
    return json.dumps(
        {
            "kit": version("incident-kit"), "policy": result.policy.text or result.policy.expand(), "lake": lake,
            "requests": result.requests, "transitions": result.transitions.height, "cohorts": result.cohorts,
            "estimator": "nearest", "loads": result.loads.to_dicts(),
        },
        indent=2,
    )  # fmt: skip
