"""Evaluations: how right an estimator is, on made-up incidents where what every target would have done is known.

An estimator is anything that :func:`incident_kit.replay` takes as one (:class:`evidence.Estimator`): called with a log, some of
its requests and the targets of a chain, it returns their complete outcomes. One that has ``at(draw, draws=, seed=)`` gives
intervals too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from incident_kit.case import open_case
from incident_kit.estimation.evidence import Estimator, nearest
from incident_kit.estimation.model import Model
from incident_kit.incident import Incident
from incident_kit.policies.baselines import always_fallback, always_primary
from incident_kit.policies.policy import Policy
from incident_kit.scenarios.played import true_outcomes
from incident_kit.scenarios.scenario import Scenario
from incident_kit.scenarios.truth import draw_truth
from incident_kit.scoring.metrics import metric
from incident_kit.scoring.scorecard import compare
from incident_kit.simulation import simulate

METRICS = ("mean_ms", "p95_ms", "error_rate", "tool_success_rate", "override_rate")
FEWEST = 30  # requests of an intent that are judged
ROWS: dict[str, Any] = {
    "seed": pl.Int64, "policy": pl.String, "intent": pl.String, "metric": pl.String, "truth": pl.Float64,
    "observed": pl.Float64, "estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64, "bounds": pl.Float64,
    "share_observed": pl.Float64,
}  # fmt: skip
Maker = Callable[[Incident], Estimator]


def model(incident: Incident) -> Estimator:
    """Return the kit's own estimator for an incident."""
    return incident.model


def backoff(incident: Incident) -> Estimator:
    """Return plain back-off: real calls of the first evidence label that has enough, as they are."""
    return Model(incident.log, incident.model.spans, is_fitted=False)


def closest(_incident: Incident) -> Estimator:
    """Return the nearest call in time of the same target and intent, without intervals."""
    return nearest


@dataclass(frozen=True)
class Evaluation:
    """What an estimator said and what was true: one row a seed, policy, intent and metric with outcomes to estimate."""

    rows: pl.DataFrame

    @property
    def bars(self) -> pl.DataFrame:
        """One row a metric: n, coverage at nominal 90 %, error (RMSE), that of taking what was logged, width by bounds' width.

        Also sign: where the interval of the difference to the log leaves 0 out, how often it is on the right side.
        """
        error, naive = pl.col("estimate") - pl.col("truth"), pl.col("observed") - pl.col("truth")
        inside = (pl.col("low") - 1e-9 <= pl.col("truth")) & (pl.col("truth") <= pl.col("high") + 1e-9)
        sure = (pl.col("low") > pl.col("observed")) | (pl.col("high") < pl.col("observed"))
        right = (pl.col("estimate") > pl.col("observed")) == (pl.col("truth") > pl.col("observed"))
        width = (pl.col("high") - pl.col("low")) / pl.col("bounds")
        return self.rows.group_by("metric", maintain_order=True).agg(
            pl.len().alias("n"),
            inside.mean().alias("coverage"),
            (error**2).mean().sqrt().alias("rmse"),
            (naive**2).mean().sqrt().alias("rmse_as_logged"),
            width.median().alias("width_by_bounds"),
            right.filter(sure).mean().alias("sign_right"),
        )

    def __str__(self) -> str:
        """Return the bars as a table."""
        lines = [f"{'metric':<20}{'n':>6}{'coverage':>10}{'rmse':>11}{'as logged':>11}{'width':>8}{'sign':>8}"]
        for row in self.bars.iter_rows(named=True):
            share = {name: "-" if row[name] is None else f"{row[name]:.0%}" for name in ("coverage", "sign_right")}
            width = "-" if row["width_by_bounds"] is None else f"{row['width_by_bounds']:.2f}"
            lines.append(
                f"{row['metric']:<20}{row['n']:>6}{share['coverage']:>10}{row['rmse']:>11.4g}"
                f"{row['rmse_as_logged']:>11.4g}{width:>8}{share['sign_right']:>8}"
            )
        return "\n".join(lines)


def evaluate(
    estimator: Maker = model,
    *,
    scenario: Scenario | str | Path,
    policy: Policy | None = None,
    seeds: Sequence[int] = (1, 2, 3),
    draws: int = 50,
    metrics: Sequence[str] = METRICS,
) -> Evaluation:
    """Return how an estimator does on incidents made from a scenario, one a seed; print it for the bars.

    Each is played under the policy in force, which makes the log, and replayed under the one that never switches and the one
    that always does; scored by intent, in the impact, against what the scenario says would have happened.

    Parameters
    ----------
    estimator
        What makes the estimator for an incident: :func:`model`, :func:`backoff`, :func:`closest`, or your own.
    policy
        The policy in force, in place of the scenario's own.
    """
    script = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
    frames = [_evaluated(estimator, script.model_copy(update={"seed": seed}), policy, draws, metrics) for seed in seeds]
    return Evaluation(pl.concat([pl.DataFrame(schema=ROWS), *frames]))


def _evaluated(
    estimator: Maker, script: Scenario, policy: Policy | None, draws: int, metrics: Sequence[str]
) -> pl.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        made = simulate(script, Path(folder) / "case", policy=policy, truth=False)
        incident = open_case(made, in_memory=True)
    in_force = incident.in_force or policy
    assert in_force is not None  # noqa: S101 - a simulated case names it
    candidates = {one.name: one for one in (always_primary(in_force), always_fallback(in_force))}
    board = compare(incident, candidates, during="impact", metrics=metrics, draws=draws, estimator=estimator(incident))
    table = board.table(by="intent")
    truth = draw_truth(script)
    begin, end = incident.span("impact")
    rows = []
    for name, one in candidates.items():
        happened = true_outcomes(truth, one).with_columns(
            pl.Series("at", truth.arrived_us).cast(pl.Datetime("us", "UTC")),
            pl.lit("observed").alias("evidence"),
            pl.lit(60_000).alias("worst_ms"),
        )
        inside = happened.filter(pl.col("at") >= begin, pl.col("at") < end)
        said = table.filter(pl.col("policy") == name, pl.col("n") >= FEWEST, pl.col("estimate").is_not_null())
        for row in said.filter(pl.col("share_observed") < 1).iter_rows(named=True):
            mine = inside.filter(pl.col("intent") == row["intent"])
            true = mine.select(metric(row["metric"]).value).item()
            if true is None:
                continue
            limits = row["bound_low"], row["bound_high"]
            bounds = np.nan if None in limits else limits[1] - limits[0]
            rows.append(
                (script.seed, name, row["intent"], row["metric"], true, row["observed"], row["estimate"], row["low"], row["high"],
                 bounds, row["share_observed"])
            )  # fmt: skip
    return pl.DataFrame(rows, schema=ROWS, orient="row")
