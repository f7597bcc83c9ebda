"""The evidence benchmark measures what it says: on incidents whose truth is known, by sums that can be checked."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import capture, estimators, evidence, realdata, stress
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


def test_direct_is_the_mean_of_the_state(made: Made) -> None:
    cells = made.cells
    wanted = np.zeros(cells.shape)
    wanted[BACKUP, 0, cells.is_incident] = 1.0
    it = made.observations
    of = (it.target == BACKUP) & (it.intent == 0) & cells.is_incident[cells.bins]
    estimate, low, high = estimators.direct(cells, "error", wanted)
    assert of.sum() >= estimators.FEWEST
    assert estimate == pytest.approx(wanted.sum() * it.values["error"][of].mean(), rel=1e-6)
    assert low <= estimate <= high


def test_the_oracle_knows_what_dice_are_thrown(made: Made) -> None:
    """Its means are those of what happened, in thousands of requests."""
    for outcome in evidence.OUTCOMES:
        expected, happened = made.expected(outcome), made.truth(outcome)
        known = np.isfinite(happened)
        assert expected[known].mean() == pytest.approx(happened[known].mean(), abs=0.01)


def test_seeds_are_numbers_and_say_whence_they_are(tmp_path: Path) -> None:
    file = tmp_path / "seeds.txt"
    file.write_text("# chosen by dice\n3 1\n4\n")
    assert evidence.read_seeds(file) == [3, 1, 4]
    chosen = evidence.read_seeds(evidence.SEEDS)
    assert len(set(chosen)) == len(chosen) == 300


def test_identity_and_refusals() -> None:
    assert stress.identity() <= 1e-12
    assert stress.refused()


def test_real_answers_are_those_of_their_subject(made: Made) -> None:
    """Outside the incident the primary is wrong exactly as often as the real model on the intent's prompts."""
    answers = pl.DataFrame(
        {
            "subject": [s for s in "abcdefgh" for _ in range(200)],
            "gpt4_correct": [True] * 1600,
            "mixtral_correct": [False] * 1600,
        }
    )
    real = realdata.answered(made, answers, np.random.default_rng(1))
    inside = (made.at_us >= made.spans[0][0]) & (made.at_us < made.spans[0][1])
    wrong = real.outcomes["override"]
    assert np.nanmax(wrong[0, ~inside]) == 0
    assert np.nanmean(wrong[0, inside]) > 0.02
    assert np.nanmin(wrong[BACKUP]) == 1
    assert (np.isnan(wrong) == np.isnan(made.outcomes["override"])).all()


@pytest.mark.skipif(
    not capture.TRUTH.exists(), reason="the capture's truth is in the shared material, which is not here"
)
def test_the_captures_truth_agrees_with_its_log() -> None:
    """What was logged as the only call of a request ended as the truth says, and took a few milliseconds longer."""
    incident = capture.open_case(capture.CASE, in_memory=True)
    known = capture.Known.of(incident, capture.TRUTH)
    assert (known.overhead_ms > 5).all()
    assert (known.overhead_ms < 60).all()
    assert (known.tool_error < 0.1).all()
    in_force = incident.in_force
    assert in_force is not None
    first, second = (next(capture.truths(known, in_force)) for _ in range(2))
    assert first.equals(second)
    assert first["n"].sum() == len(incident.log)


def test_without_the_truth_the_capture_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert capture.main(truth=tmp_path / "nothing.gz") == 0
    assert "skipped" in capsys.readouterr().out
