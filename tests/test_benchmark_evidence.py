"""The evidence benchmark measures what it says: on incidents whose truth is known, by sums that can be checked."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import estimators, evidence
from benchmarks.incidents import BACKUP, VARIANTS, Made, make


@pytest.fixture(scope="module")
def made() -> Made:
    return make(1, variant="additive")


@pytest.fixture(scope="module")
def rows(made: Made) -> pl.DataFrame:
    return pl.DataFrame([{"incident": 0, "seed": 1, "variant": "additive", **case} for case in evidence.cases(made)])


def test_the_same_seed_is_the_same_incident(made: Made) -> None:
    again = make(1, variant="additive")
    assert (again.first == made.first).all()
    assert (again.latency_ms == made.latency_ms).all()
    assert (make(2).at_us[:10] != made.at_us[:10]).any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_log_is_what_the_truth_holds_of_it(variant: str) -> None:
    one = make(3, variant=variant)
    it = one.observations
    for name, values in one.outcomes.items():
        told = values[it.target, it.request]
        assert np.array_equal(it.values[name], told, equal_nan=True)
    assert (it.target[len(one.at_us) :] == BACKUP).all()  # hops
    assert len(one.spans) == 1 + (variant == "overlapping")


def test_the_primary_is_worse_in_its_incident(made: Made) -> None:
    inside = (made.at_us >= made.spans[0][0]) & (made.at_us < made.spans[0][1])
    latency = made.latency_ms[0]
    assert np.median(latency[inside]) > 1.3 * np.median(latency[~inside])


def test_cases_hold_the_candidates_true_means(made: Made, rows: pl.DataFrame) -> None:
    inside = (made.at_us >= made.spans[0][0]) & (made.at_us < made.spans[0][1])
    true = np.nanmean(made.outcomes["latency"][BACKUP][inside])
    told = rows.filter(candidate="always_backup", outcome="latency", label="all")
    if told.height:
        assert told["truth"].to_list() == pytest.approx([true] * told.height)
    assert (rows["low"] <= rows["high"]).all()
    whole = rows.filter(label="all")
    assert (whole["high"] - whole["low"] <= whole["manski"] + 1e-9).all()


def test_ours_is_nearer_than_what_was_seen_on_average(rows: pl.DataFrame) -> None:
    whole = rows.filter(
        pl.col("label") == "all", pl.col("outcome") == "latency", pl.col("candidate") == "always_primary"
    )
    off = {row["estimator"]: abs(row["estimate"] - row["truth"]) for row in whole.iter_rows(named=True)}
    assert off[evidence.OURS] < off["pooled naive"]
    assert off[evidence.OURS] < off["before/after"]


def test_plain_estimators_on_paper(made: Made) -> None:
    cells = made.cells
    tallies = estimators.Tallies.of(cells, "error")
    wanted = np.zeros(cells.shape)
    wanted[BACKUP, 0, cells.is_incident] = 1.0
    of = made.observations.target == BACKUP
    mean = made.observations.values["error"][of].mean()
    estimate, low, high = estimators.pooled(cells, "error", wanted)
    assert estimate == pytest.approx(wanted.sum() * mean, rel=1e-6)
    assert low < estimate < high
    means = estimators.backoff_means(tallies)
    often = tallies.n >= 5
    assert means.mean[often] == pytest.approx((tallies.k / np.maximum(tallies.n, 1))[often], abs=1e-6)
    assert means.n[BACKUP].min() >= 5


def test_the_bars_are_read_off_the_cases(rows: pl.DataFrame) -> None:
    def bar(name: str, offset: float) -> tuple[float, bool]:
        """Return a bar's value, and whether it is met, if ours were off by so much, always and surely."""
        off = pl.when(pl.col("estimator") == evidence.OURS).then(pl.col("truth") + offset)
        told = rows.with_columns(off.otherwise(name).alias(name) for name in ("estimate", "low", "high"))
        return next((value, met) for found, value, _, met in evidence.bars(told) if found == name)

    assert bar("1 coverage, pooled", 0.0) == (1.0, False)  # always right is too wide: over 95 %
    assert bar("1 coverage, pooled", 0.5) == (0.0, False)
    assert bar("2 error against pooled naive, latency", 0.0) == (0.0, True)
    assert not bar("2 error against pooled naive, latency", 0.5)[1]
    assert bar("3 median width against the bounds", 0.0) == (0.0, True)


def test_seeds_are_one_an_incident() -> None:
    seeds = evidence.SEEDS.read_text().split()
    assert len(seeds) == len(set(seeds)) >= 300
