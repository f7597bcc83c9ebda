"""Real data: made-up incidents in which what two models answered, or how long they took, is what real ones did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.evidence import OURS, cases, table
from benchmarks.incidents import BACKUP, PRIMARY, VARIANTS, Made, make

SHARED = Path(__file__).parents[2] / "shared/data"
ANSWERS = SHARED / "two_model_outcomes/routellm_outcomes.csv"
PROBES = SHARED / "provider_probes/probes.csv"
OTHERS = {"before/after": 0.45, "pooled naive": 0.35, "plain back-off": 1.10}
FIRST_SEED = 7_000_000
_PAIRS = 90  # probes of a model, at least
_NEAREST = 5  # probes, by time, of which a request gets one
_SUBJECTS = 120  # prompts of a subject, at least


def answered(made: Made, answers: pl.DataFrame, rng: np.random.Generator) -> Made:
    """Return an incident whose overrides are real wrong answers: an intent is a subject, and each request one of its prompts.

    In the incident some of the primary's right answers are spoilt, by as much as the made-up ones were.
    """
    sizes = answers.group_by("subject", maintain_order=True).len().filter(pl.col("len") >= _SUBJECTS)
    subjects = rng.choice(sizes["subject"].sort().to_numpy(), int(made.intent.max()) + 1, replace=False)
    wrong = np.zeros(made.latency_ms.shape)
    for intent, subject in enumerate(subjects):
        rows = np.flatnonzero(made.intent == intent)
        prompts = answers.filter(subject=subject).select("gpt4_correct", "mixtral_correct")
        picked = prompts[rng.integers(0, prompts.height, len(rows))]
        wrong[PRIMARY, rows] = ~picked["gpt4_correct"].to_numpy()
        wrong[PRIMARY + 1 :, rows] = ~picked["mixtral_correct"].to_numpy()
    rate = made.rates["override"]
    spoilt = np.zeros(len(made.at_us), np.bool_)
    for begin, end in made.spans:
        inside = (made.at_us >= begin) & (made.at_us < end)
        usual = float(np.median(rate[PRIMARY][~inside]))
        spoilt |= inside & (rng.random(len(inside)) < np.clip((rate[PRIMARY] - usual) / (1 - usual), 0, 1))
    wrong[PRIMARY, spoilt] = 1.0
    wrong[np.isnan(made.outcomes["override"])] = np.nan
    return replace(made, outcomes=made.outcomes | {"override": wrong}, rates={})


def timed(made: Made, probes: pl.DataFrame, rng: np.random.Generator) -> Made:
    """Return an incident whose latencies are real: the log's hours are mapped to the probes' days, each request gets one nearby.

    What the made-up incident multiplied latencies by, it does to the real ones.
    """
    models = (
        probes.group_by("model", maintain_order=True).len().filter(pl.col("len") >= _PAIRS)["model"].sort().to_numpy()
    )
    share = (made.at_us - made.at_us[0]) / max(int(made.at_us[-1] - made.at_us[0]), 1)
    latency = np.zeros(made.latency_ms.shape)
    for target, model in enumerate(rng.choice(models, len(latency), replace=False)):
        own = probes.filter(model=model).sort("time")
        at = own["time"].dt.epoch("us").to_numpy().astype(np.float64)
        at = (at - at[0]) / (at[-1] - at[0])
        near = np.clip(np.searchsorted(at, share) + rng.integers(-_NEAREST, _NEAREST, len(share)), 0, len(at) - 1)
        latency[target] = own["total_time_s"].to_numpy()[near] * 1000
        level = made.medians[target]
        usual = float(np.median(level[~_inside(made)]))
        latency[target] *= np.where(_inside(made), np.exp(np.maximum(level - usual, 0)), 1.0)
    latency = np.minimum(latency, made.timeout_ms)
    return replace(made, latency_ms=latency, outcomes=made.outcomes | {"latency": latency / made.timeout_ms}, rates={})


def _inside(made: Made) -> NDArray[np.bool_]:
    found = np.zeros(len(made.at_us), np.bool_)
    for begin, end in made.spans:
        found |= (made.at_us >= begin) & (made.at_us < end)
    return found


def main(*, incidents: int = 30) -> int:
    """Print errors and coverage on both data sets; the exit code says whether ours beats the plain ones as it should."""
    failed = 0
    for name, file, outcome in (
        ("real answers of two models", ANSWERS, "override"),
        ("real latencies", PROBES, "latency"),
    ):
        if not file.exists():
            print(f"skipped: {file} is not here, and with it the {name}")
            continue
        read = pl.read_csv(file, try_parse_dates=True)
        rows: list[dict[str, Any]] = []
        for i in range(incidents):
            seed = FIRST_SEED + i
            rng = np.random.default_rng([seed, BACKUP])
            made = make(seed, variant=VARIANTS[i % len(VARIANTS)])
            made = answered(made, read, rng) if outcome == "override" else timed(made, read, rng)
            rows += [{"incident": i, **case} for case in cases(made, outcomes=(outcome,))]
        told = table(pl.DataFrame(rows, infer_schema_length=None).filter(label="all"))
        print(f"{name}, {incidents} incidents")
        with pl.Config(tbl_rows=20, tbl_cols=12, float_precision=3, tbl_width_chars=140, tbl_hide_dataframe_shape=True):
            print(told.drop("label"))
        of = {row["estimator"]: row for row in told.iter_rows(named=True)}
        for other, most in OTHERS.items():
            ratio = of[OURS]["rmse"] / of[other]["rmse"]
            failed += ratio > most
            print(f"{'met   ' if ratio <= most else 'MISSED'} error against {other}: {ratio:.3f} (bar {most:g})")
    return int(failed > 0)
