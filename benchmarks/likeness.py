"""Likeness: intervals of what a backup differs by, against what both targets would have done with the very same requests.

These are the matched requests of either side, weighted to the backup's mix. Not the backup's alone: where a gateway falls back on
failures, those are requests that the primary had just failed, which says what they met there and not what the two are like.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import capture
from incident_kit import Incident
from incident_kit.backups.compatibilities import compatibility, like_traffic
from incident_kit.case import open_case
from incident_kit.estimation.observations import observe
from incident_kit.samples import OUTAGE, sample
from incident_kit.scenarios.scenario import Scenario
from incident_kit.scenarios.truth import Truth, draw_truth
from incident_kit.simulation import simulate

BAR = 0.85
ROWS = {"incident": pl.String, "intent": pl.String, "metric": pl.String, "truth": pl.Float64, "difference": pl.Float64,
        "low": pl.Float64, "high": pl.Float64, "n_backup": pl.Int64}  # fmt: skip
Floats = NDArray[np.float64]
Outcomes = Callable[
    [NDArray[np.int64], str], dict[str, tuple[Floats, Floats]]
]  # of requests on a target: (part, whole)


def main(*, incidents: int) -> int:
    """Print how often the intervals hold the truth, by metric; 1 where they do too rarely, else 0."""
    frames = [_of_outage(seed) for seed in range(1, incidents + 1)]
    missed = _told(pl.concat(frames), f"the bundled outage, made {incidents} times")
    if capture.TRUTH.exists():
        missed |= _told(_of_capture(), "the LiteLLM capture")
    else:
        print("the LiteLLM capture's truth is not there: left out")
    return int(missed)


def _told(rows: pl.DataFrame, what: str) -> bool:
    inside = (pl.col("low").fill_null(-np.inf) - 1e-9 <= pl.col("truth")) & (
        pl.col("truth") <= pl.col("high").fill_null(np.inf) + 1e-9
    )
    error = pl.col("difference") - pl.col("truth")
    by = rows.group_by("metric", maintain_order=True).agg(
        pl.len().alias("n"), inside.mean().alias("coverage"), error.mean().alias("bias"), (error**2).mean().sqrt().alias("rmse"),
        (pl.col("high") - pl.col("low")).median().alias("width"),
    )  # fmt: skip
    share = rows.select(inside.mean()).item()
    print(f"{what}: {share:.0%} of {rows.height} intervals (90 %) of a difference hold the truth")
    print(f"  {'metric':<24}{'n':>5}{'coverage':>10}{'bias':>10}{'rmse':>10}{'width':>10}")
    for row in by.iter_rows(named=True):
        numbers = "".join(
            "         ?" if row[name] is None else f"{row[name]:>10.3g}" for name in ("bias", "rmse", "width")
        )
        print(f"  {row['metric']:<24}{row['n']:>5}{row['coverage']:>10.0%}{numbers}")
    return share < BAR


def _judged(incident: Incident, name: str, of: Outcomes) -> pl.DataFrame:
    """Return every difference with its truth: the mean over the matched requests of what either would have done."""
    found = compatibility(incident)
    one_end = pl.any_horizontal(pl.col("low", "high").is_not_null())  # a timeout may hide the other
    said = {(row["intent"], row["metric"]): row for row in found.table.filter(one_end).iter_rows(named=True)}
    it = observe(incident.log)
    rows = []
    for pair in like_traffic(incident, it):
        matched = pair.alike.weights > 0
        requests, weights = it.request[pair.rows[matched]].astype(np.int64), pair.alike.weights[matched]
        sides = [of(requests, target) for target in (pair.primary, pair.backup)]
        for metric in sides[0]:
            row = said.get((pair.intent, metric))
            if row is None or row["n_backup"] < found.margins.least:
                continue
            primary, backup = (_value(metric, *side[metric], weights) for side in sides)
            rows.append(
                (
                    name,
                    pair.intent,
                    metric,
                    backup - primary,
                    row["difference"],
                    row["low"],
                    row["high"],
                    row["n_backup"],
                )
            )
    return pl.DataFrame(rows, schema=ROWS, orient="row").drop_nans("truth")


def _value(metric: str, part: Floats, whole: Floats, weights: Floats) -> float:
    """Return a ratio of sums, or the quantile of the values ``part`` of weight ``whole``, over weighted requests."""
    whole = whole * np.tile(weights, len(whole) // len(weights))
    total = float(whole.sum())
    if not metric.startswith("p"):
        return float((part * whole).sum()) / total if total else float("nan")
    order = np.argsort(part, kind="stable")
    upto = np.cumsum(whole[order])
    return float(part[order][min(int(np.searchsorted(upto, float(metric[1:3]) / 100 * total)), len(part) - 1)])


def _of_outage(seed: int) -> pl.DataFrame:
    script = Scenario.load(sample(OUTAGE) / "scenario.yaml").model_copy(update={"seed": seed})
    truth = draw_truth(script)
    with tempfile.TemporaryDirectory() as folder:
        incident = open_case(simulate(script, Path(folder) / "case", truth=False), in_memory=True)
    place = pl.DataFrame({"id": truth.requests["request_id"]}).with_row_index("row")
    ids = pl.DataFrame({"id": incident.log.request_id}).join(place, on="id", how="left", maintain_order="left")
    row_of = ids["row"].cast(pl.Int64).to_numpy()
    return _judged(incident, f"outage {seed}", lambda requests, target: _simulated(truth, row_of[requests], target))


def _simulated(truth: Truth, rows: NDArray[np.int64], target: str) -> dict[str, tuple[Floats, Floats]]:
    call: Any = truth.calls[truth.targets.index(target), 0, rows]
    ok = (call["error"] == 0).astype(float)
    made = call["tool_calls"].astype(float)
    failed = (call["malformed"] + call["failing"]) / np.maximum(made, 1)
    every, latency = np.ones(len(rows)), call["latency_ms"].astype(float)
    over = call["overridden"].astype(float)
    return {
        "error_rate": (1 - ok, every), "tool_success_rate": (1 - failed, ok * made),
        "override_rate": (over, ok), "override_without_tools": (over, ok * (made == 0)),
        "p50_ms": (latency, every), "p95_ms": (latency, every),
    }  # fmt: skip


def _of_capture() -> pl.DataFrame:
    incident = open_case(capture.CASE, in_memory=True)
    known = capture.Known.of(incident, capture.TRUTH)
    ids = pl.DataFrame({"request_id": incident.log.request_id}).with_row_index("row")
    calls = incident.attempts().filter(pl.col("kind") == "call").join(ids, on="request_id")
    return _judged(incident, "capture", lambda requests, target: dict(_captured(known, calls, requests, target)))


def _captured(
    known: capture.Known, calls: pl.DataFrame, requests: NDArray[np.int64], target: str
) -> Iterator[tuple[str, tuple[Floats, Floats]]]:
    """Yield the outcomes of requests on a target, over its deployments by what each served: a gateway leaves a bad one."""
    of, _ = known.serves[target]
    mine = calls.filter(pl.col("target") == target, pl.col("row").is_in(requests))["deployment"]
    weight = np.array([max(int((mine == known.deployments[d]).sum()), 1e-9) for d in of])
    weight = weight / weight.sum()
    weights = np.repeat(weight, len(requests))
    error = known.error[of, 0][:, requests].ravel()
    latency = (known.latency_ms[of, 0][:, requests] + known.overhead_ms[known.incident.log.intent[requests]]).ravel()
    tool = known.tool[of, 0][:, requests].ravel().astype(float)
    works = tool * (1 - np.tile(known.tool_error[known.incident.log.intent[requests]], len(of)))
    yield "error_rate", ((error > 0).astype(float), weights)
    yield "tool_success_rate", (works, weights * (tool >= 0) * (error == 0))
    yield "p50_ms", (latency, weights)
    yield "p95_ms", (latency, weights)
