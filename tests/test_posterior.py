from __future__ import annotations

import time
from statistics import NormalDist

import numpy as np
import pytest
from worlds_of_calls import MINUTE, observed

from incident_kit.errors import UnansweredQuestion
from incident_kit.estimation.cells import SAME_CELL, SAME_INTENT, SAME_TIME, Cells
from incident_kit.estimation.observations import Observations
from incident_kit.estimation.posterior import Posterior, fit

SPAN = [(100 * MINUTE, 140 * MINUTE)]
DAY = (0, 240 * MINUTE)


def coin(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    return (rng.random(len(p)) < p).astype(float)


def outage(seed: int = 0, size: int = 4000) -> Observations:
    """Return calls of a usual day: target 0 fails ten times as often from 100 to 140 minutes, and is left at 115; 1 is well."""
    rng = np.random.default_rng(seed)
    minute = np.sort(rng.uniform(0, 240, size))
    bad = (minute >= 100) & (minute < 140)
    target = np.where((minute >= 115) & (minute < 140), 1, 0)
    intent = rng.integers(0, 3, size)
    p = np.where(bad & (target == 0), 0.4, 0.04) + 0.02 * intent
    latency = np.exp(rng.normal(np.log(np.where(bad & (target == 0), 6000, 1200)), 0.6))
    return observed(target, minute, intent=intent, error=coin(rng, p), latency_ms=latency)


def covers(posterior: Posterior, where: tuple[object, ...], truth: float) -> bool:
    low, high = np.quantile(posterior.draws(400)[(slice(None), *where)], [0.05, 0.95])
    return bool(low <= truth <= high)


def test_a_cell_with_data_is_itself_and_one_without_leans_on_others() -> None:
    cells = Cells.of(outage(), incident=SPAN, window=DAY)
    posterior = fit(cells, "error")
    counts = cells.counts("error")
    often = (counts.n > 30)[:, :3]
    seen = counts.k / np.maximum(counts.n, 1)
    assert np.abs(posterior.mean[:, :3] - seen[:, :3])[often].max() < 0.1
    assert posterior.mean.shape == cells.shape == (2, 4, len(cells.edges_us) - 1)
    before, early, late = (int(cells.bin_of(m * MINUTE)) for m in (50, 105, 130))
    assert posterior.mean[0, 0, before] < 0.1
    assert posterior.mean[0, 0, early] > 0.25
    assert posterior.mean[1, 0, before] == pytest.approx(0.04, abs=0.05)  # never seen then, healthy all the same
    sd = posterior.draws(400).std(axis=0)
    labels = cells.labels()
    assert labels[0, 0, late] == SAME_INTENT
    assert sd[0, 0, late] > 2 * sd[0, 0, early]
    assert covers(posterior, (0, 0, late), 0.4)


def test_without_a_declared_incident_the_degraded_target_shrinks_to_normal() -> None:
    """A failure to keep: with it declared, what is not seen of the incident looks like what was seen of it."""
    it = outage()
    late = 130 * MINUTE
    declared = Cells.of(it, incident=SPAN, window=DAY)
    unsaid = Cells.of(it, window=DAY)
    told = fit(declared, "error").mean[0, 1, declared.bin_of(late)]
    shrunk = fit(unsaid, "error").mean[0, 1, unsaid.bin_of(late)]
    assert told > 0.27
    assert shrunk < 0.8 * told


def test_cells_without_failures_do_not_outweigh_the_others() -> None:
    """A failure to keep: weights by a cell's own p (1 - p) make cells that happen to have no failure all but certain."""
    rng = np.random.default_rng(3)
    size, p = 800, 0.08
    it = observed([0] * size, np.linspace(0, 239, size), error=coin(rng, np.full(size, p)))
    cells = Cells.of(it, window=DAY)
    counts = cells.counts("error")
    n, k = counts.n[counts.n > 0], counts.k[counts.n > 0]
    share = (k + 1e-3) / (n + 2e-3)
    weight = n / (share * (1 - share))
    own = float((weight * share).sum() / weight.sum())
    posterior = fit(cells, "error")
    assert own < 0.5 * p  # this is the failure
    assert posterior.mean[0, 0].mean() == pytest.approx(it.values["error"].mean(), rel=0.15)


def test_a_mean_latency_is_a_mean_and_not_a_smeared_median() -> None:
    """A failure to keep: exp of the mean log, times the pooled mean of exp(residual), where tails differ by state."""
    rng = np.random.default_rng(5)
    minute = np.sort(rng.uniform(0, 240, 6000))
    bad = (minute >= 100) & (minute < 140)
    sigma = np.where(bad, 1.1, 0.3)
    latency = np.minimum(np.exp(rng.normal(np.log(np.where(bad, 3000, 1000)), sigma)), 60_000)
    cells = Cells.of(observed([0] * 6000, minute, latency_ms=latency), incident=SPAN, window=DAY)
    posterior = fit(cells, "latency")
    inside = cells.is_incident
    width = np.diff(cells.edges_us)
    told = float((posterior.mean[0, 0] * width)[inside].sum() / width[inside].sum()) * 60_000
    logs = np.log(latency)
    centre = np.where(bad, logs[bad].mean(), logs[~bad].mean())
    smeared = float(np.exp(logs[bad].mean()) * np.exp(logs - centre).mean())
    true = float(latency[bad].mean())
    assert abs(smeared / true - 1) > 0.2
    assert told == pytest.approx(true, rel=0.08)


@pytest.mark.parametrize("outcome", ["latency", "slow_4000"])
def test_intervals_of_hidden_cells_hold_the_truth(outcome: str) -> None:
    """Eight worlds; the healthy backup at a time when only other intents used it. Nominal 90 %."""
    hits = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        size = 1500
        minute, intent = np.sort(rng.uniform(0, 240, size)), rng.integers(0, 4, size)
        target = np.where((minute > 100) & (minute < 140), 1, 0)
        target[(minute < 100) & (rng.random(size) < 0.2)] = 1
        target[(intent == 3) & (minute > 100)] = 0
        logit = -2 + 0.4 * rng.standard_normal(4)[intent] + 0.3 * target
        latency = np.exp(7 + 0.5 * (logit + 2) + 0.5 * rng.standard_normal(size))
        it = observed(target, minute, intent=intent, error=coin(rng, 1 / (1 + np.exp(-logit))), latency_ms=latency)
        cells = Cells.of(it, incident=SPAN, window=DAY)
        hidden = int(cells.bin_of(120 * MINUTE))
        if cells.labels()[1, 3, hidden] != SAME_TIME:
            continue
        base = logit[intent == 3][0] - 0.3 * target[intent == 3][0] + 0.3
        mean = 7 + 0.5 * (base + 2)
        above = 1 - NormalDist(mean, 0.5).cdf(float(np.log(4000)))
        truth = {"latency": float(np.exp(mean + 0.125)) / 60_000, "slow_4000": above}[outcome]
        hits.append(covers(fit(cells, outcome), (1, 3, hidden), truth))
    assert len(hits) >= 6
    assert sum(hits) >= len(hits) - 2


def test_same_seed_same_numbers_in_any_order_of_rows() -> None:
    it = outage(size=1200)
    order = np.random.default_rng(1).permutation(len(it))
    mixed = observed(
        it.target[order], it.sent_us[order] / MINUTE, intent=it.intent[order], error=it.values["error"][order],
        latency_ms=it.latency_ms[order],
    )  # fmt: skip
    first, second = (fit(Cells.of(one, incident=SPAN, window=DAY), "latency") for one in (it, mixed))
    assert first.mean == pytest.approx(second.mean, abs=1e-9)
    assert first.draws(20) == pytest.approx(second.draws(20), abs=1e-9)
    assert (first.draws(20, seed=3) == first.draws(20, seed=3)).all()
    assert (first.draws(20, seed=3) != first.draws(20, seed=4)).any()


def test_calibrated_draws_are_wider_around_the_same_mean() -> None:
    posterior = fit(Cells.of(outage(size=1500), incident=SPAN, window=DAY), "error")
    plain, wide = posterior.draws(300, calibrated=False), posterior.draws(300)
    assert wide.mean(axis=0) == pytest.approx(plain.mean(axis=0), abs=5e-3)
    late = posterior.cells.bin_of(130 * MINUTE)
    factor = posterior.factors[0, 0, late]
    assert factor > 1.3
    assert wide[:, 0, 0, late].std() > 1.05 * plain[:, 0, 0, late].std()
    assert posterior.mean == pytest.approx(plain.mean(axis=0), abs=0.05)
    assert ((wide > 0) & (wide < 1)).all()


def test_draws_of_seen_cells_have_the_posteriors_spread() -> None:
    """Of one cell with n calls and a flat prior, the spread is the binomial one."""
    rng = np.random.default_rng(7)
    it = observed([0] * 3000, rng.uniform(0, 240, 3000), error=coin(rng, np.full(3000, 0.3)))
    cells = Cells.of(it, window=DAY)
    posterior = fit(cells, "error", calibrated=False)
    total = posterior.draws(500)[:, 0, 0].mean(axis=1)
    assert total.mean() == pytest.approx(it.values["error"].mean(), abs=0.01)
    assert total.std() == pytest.approx(np.sqrt(0.3 * 0.7 / 3000), rel=0.35)


def test_noise_is_that_of_one_call() -> None:
    it = outage()
    cells = Cells.of(it, incident=SPAN, window=DAY)
    noise = fit(cells, "error").noise
    early = cells.bin_of(105 * MINUTE)
    assert noise[0, 1, early] == pytest.approx(0.42 * 0.58, rel=0.15)
    own = (it.target == 0) & (it.sent_us < 100 * MINUTE)
    before = fit(cells, "latency").noise[0, 1, cells.bin_of(50 * MINUTE)]
    assert before == pytest.approx(it.values["latency"][own].var(), rel=0.35)


def test_nothing_seen_is_an_error_that_says_so() -> None:
    with pytest.raises(UnansweredQuestion, match="override"):
        fit(Cells.of(observed([0] * 9, range(9), override=[np.nan] * 9)), "override")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_alike_is_no_trouble(value: float) -> None:
    it = observed([0] * 200 + [1], np.arange(201), error=value)
    posterior = fit(Cells.of(it, incident=SPAN), "error")
    assert np.isfinite(posterior.draws(20)).all()
    assert posterior.mean[0, 0].mean() == pytest.approx(value, abs=0.03)


def test_one_call_is_enough_to_run() -> None:
    posterior = fit(Cells.of(observed([0], [5], error=1.0)), "error")
    assert posterior.draws(5).shape == (5, 1, 2, posterior.cells.shape[2])


def test_rows_cost_nothing_but_counting() -> None:
    """A million calls: the cost of the model depends on cells."""
    rng = np.random.default_rng(0)
    size = 1_000_000
    minute = rng.uniform(0, 240, size)
    it = observed(
        rng.integers(0, 2, size), minute, intent=rng.integers(0, 6, size), error=coin(rng, np.full(size, 0.1))
    )
    began = time.process_time()
    cells = Cells.of(it, incident=SPAN)
    assert (cells.labels() == SAME_CELL)[:, :6].all()
    fit(cells, "error")
    assert time.process_time() - began < 30
