"""Posterior: what every cell's outcome is, and how sure that is, from the cells that were seen (EVIDENCE.md section 3).

A cell with calls is itself; without any it leans on other intents at the same time, then on the same intent at other
times, then on the target. The cost grows with the cube of the observed cells, not with rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import UnansweredQuestion
from incident_kit.estimation.blasthreads import one_thread
from incident_kit.estimation.cells import Cells, Counts
from incident_kit.estimation.covariance import Covariance, Places
from incident_kit.estimation.placebo import factors, table
from incident_kit.stats.laplace import Mode, Shares, mode, slope_weights

Floats = NDArray[np.float64]
_CLIMBS = (25, 12)  # steps of the search for hyper-parameters, before and after the incident's size is known
_WALK, _KEPT, _STRIDE = 30, 5, 0.22  # the walk around them: steps, how many are kept, and how long steps are
_CALM = 10.0  # calls' worth of the common dispersion in that of a target and state


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of one outcome over ``[target, intent, bin]``; the last intent is none.

    Parameters
    ----------
    cells, outcome
        What it was fitted on.
    prior, places, shares
        The model: covariance, the observed cells, and what was seen there.
    thetas
        Hyper-parameters: some of their posterior, by a short random walk from the mode.
    factors
        How much wider deviations of the logit are than the model says, by label and placebo.
    usual
        The logit of the outcome's mean over all calls.
    dispersion
        ``[target, state]``: how much more (or less) one call varies around p than its variance function says.
    """

    cells: Cells
    outcome: str
    prior: Covariance
    places: Places
    shares: Shares
    thetas: tuple[Floats, ...]
    factors: Floats
    dispersion: Floats
    usual: float
    _modes: dict[int, Mode] = field(default_factory=dict, repr=False)

    @cached_property
    def mean(self) -> Floats:
        """The expected outcome of every cell, in [0, 1] (a latency: the share of ``cells.observations.cap_ms``)."""
        centre, spread = self._logits
        return np.asarray(1 / (1 + np.exp(-centre / np.sqrt(1 + np.pi * spread / 8))))

    @cached_property
    def noise(self) -> Floats:
        """The variance of one call's outcome around p, for every cell at its mean."""
        p = self.mean
        state = self.cells.is_degraded.astype(np.int64)[:, None, :]
        phi = np.take_along_axis(self.dispersion[:, None, :], state, axis=2)
        return np.asarray(phi * (p * (1 - p)) ** (2 if self.shares.squared else 1))

    @one_thread()
    def draws(self, size: int, *, seed: int = 0, calibrated: bool = True) -> Floats:
        """Return draws of every cell's expected outcome over ``[draw, target, intent, bin]``, in [0, 1].

        The same seed and size give the same numbers, on any order of rows.
        """
        rng = np.random.default_rng([seed, len(self.outcome), *self.outcome.encode()])
        centre, _ = self._logits
        parts = np.array_split(np.arange(size), len(self.thetas))
        drawn = [self._draws(i, len(part), rng) for i, part in enumerate(parts) if len(part)]
        logits = np.concatenate(drawn)[:, :, self.cells.group]
        if calibrated:
            logits = _widened(logits, centre, self.factors)
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))

    @cached_property
    def _everywhere(self) -> Places:
        it = self.cells
        return Places.where(np.ones((it.observations.targets, it.groups, it.shape[2]), np.bool_))

    @cached_property
    def _usual(self) -> Floats:
        """The prior mean of every cell's logit."""
        at = self._everywhere
        return np.asarray(self.usual + self.prior.lift[at.target, at.bin])

    def _mode(self, i: int) -> Mode:
        if i not in self._modes:
            matrix = self.prior.seen(self.thetas[i], self.places)
            self._modes[i] = mode(matrix, self.shares)
        return self._modes[i]

    @cached_property
    @one_thread()
    def _logits(self) -> tuple[Floats, Floats]:
        """The mean and the variance of every cell's logit, over all kept hyper-parameters."""
        from scipy.linalg import solve_triangular

        means, squares = [], []
        for i, theta in enumerate(self.thetas):
            found = self._mode(i)
            across = self.prior.matrix(theta, self._everywhere, self.places)
            means.append(self._usual + across @ found.weights)
            solved = solve_triangular(found.chol, found.root[:, None] * across.T, lower=True, check_finite=False)
            left = self.prior.variance(theta, self._everywhere) - np.einsum("ij,ij->j", solved, solved)
            squares.append(np.maximum(left, 0) + means[-1] ** 2)
        mean = np.mean(means, axis=0)
        spread = np.maximum(np.mean(squares, axis=0) - mean**2, 0)
        return self._wide(mean), self._wide(spread)

    def _wide(self, flat: Floats) -> Floats:
        """Return values of groups as values of intents."""
        it = self.cells
        return np.asarray(flat.reshape(it.observations.targets, it.groups, it.shape[2])[:, it.group])

    def _draws(self, i: int, size: int, rng: np.random.Generator) -> Floats:
        """Return draws of the logits over ``[draw, target, group, bin]``: prior draws, corrected by what was seen."""
        from scipy.linalg import cho_solve

        theta, found, at = self.thetas[i], self._mode(i), self.places
        drawn = self.prior.sample(theta, size, rng)
        seen = drawn[:, at.target, at.group, at.bin]
        seen = seen + np.sqrt(self.prior.aside(theta, at)) * rng.standard_normal(seen.shape)
        off = found.root * seen + rng.standard_normal(seen.shape)
        pull = found.root[:, None] * cho_solve((found.chol, True), off.T, check_finite=False)
        across = self.prior.matrix(theta, self._everywhere, at)
        moved = (across @ (found.weights[:, None] - pull)).T
        return np.asarray(self._usual.reshape(drawn.shape[1:]) + drawn + moved.reshape(drawn.shape))


@one_thread()
def fit(cells: Cells, outcome: str, *, seed: int = 0, calibrated: bool = True) -> Posterior:
    """Return the posterior of an outcome, such as ``error``, ``tool_failure``, ``override``, ``latency`` or ``slow_8000``.

    Raises
    ------
    UnansweredQuestion
        No call tells anything of this outcome.
    """
    counts = cells.counts(outcome)
    places = Places.where(counts.n > 0)
    if not len(places):
        raise UnansweredQuestion(f"no logged call says anything of {outcome}: load what does, or leave it out")
    squared = outcome == "latency"
    dispersion = _dispersion(cells, counts, squared=squared)
    at = places.target, places.group, places.bin
    n, y = counts.n[at], counts.k[at] / counts.n[at]
    blown = np.maximum(dispersion[places.target, cells.is_degraded[places.target, places.bin].astype(int)], 1e-6)
    blown = blown * counts.deff[at]
    level = (counts.k.sum() + 0.5) / (counts.n.sum() + 1)
    if squared:
        y = np.clip(y, 1e-6, 1 - 1e-6)
    prior = Covariance.of(cells, outcome)
    usual = float(np.log(level / (1 - level)))
    shares = Shares(n / blown, y, usual + prior.lift[places.target, places.bin], squared=squared)
    theta, found = _climb(prior, places, shares, prior.start, steps=_CLIMBS[0])
    prior = prior.with_size(prior.incident_size(theta, places, found.weights))
    theta, found = _climb(prior, places, shares, theta, steps=_CLIMBS[1], start=found)
    wide = np.ones(cells.shape)
    if calibrated:
        power = 2 if squared else 1
        around = blown / n * (y_of(found, shares) * (1 - y_of(found, shares))) ** power
        wide = table(cells, factors(cells, found, shares, places, around), outcome=outcome)
    thetas = _walk(prior, places, shares, theta, found, np.random.default_rng([seed, 5]))
    return Posterior(cells, outcome, prior, places, shares, tuple(thetas), wide, dispersion, usual)


def _widened(logits: Floats, centre: Floats, factor: Floats) -> Floats:
    """Return logits with wider deviations and the same mean share: wider ones alone would move a rare outcome's mean up."""
    aim = (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).mean(axis=0)
    wide = centre + factor * (logits - centre)
    for _ in range(4):
        p = 1 / (1 + np.exp(-np.clip(wide, -30, 30)))
        wide = wide + np.clip((aim - p.mean(axis=0)) / np.maximum((p * (1 - p)).mean(axis=0), 1e-9), -1, 1)
    return wide


def y_of(found: Mode, shares: Shares) -> Floats:
    """Return the shares at the mode."""
    return np.asarray(1 / (1 + np.exp(-np.clip(shares.m + found.f, -30, 30))))


def _dispersion(cells: Cells, counts: Counts, *, squared: bool) -> Floats:
    """Return over ``[target, state]`` how calls vary inside cells, by the variance function; the common one where few."""
    n, mean = counts.n, counts.k / np.maximum(counts.n, 1e-12)
    usable = n >= 2
    spread = np.where(usable, (counts.squares - n * mean**2) / np.maximum(n - 1, 1), 0).clip(0)
    said = np.clip(mean * (1 - mean) + np.where(usable, spread / np.maximum(n, 1), 0), 0, None)
    said = said**2 if squared else said
    freedom = np.where(usable, n - 1, 0)
    common = float((freedom * spread).sum() / max((freedom * said).sum(), 1e-12)) if usable.any() else 1.0
    common = min(max(common, 1e-3), 100.0)
    found = np.full((len(n), 2), common)
    for target in range(len(n)):
        for state in (0, 1):
            of = cells.is_degraded[target] == bool(state)
            weight = freedom[target][:, of]
            if (total := weight.sum()) > 0 and (base := (weight * said[target][:, of]).sum() / total) > 0:
                own = float((weight * spread[target][:, of]).sum() / total / base)
                found[target, state] = (total * own + _CALM * common) / (total + _CALM)
    return found


def _climb(
    prior: Covariance, places: Places, shares: Shares, theta: Floats, *, steps: int, start: Mode | None = None
) -> tuple[Floats, Mode]:
    """Return the likeliest hyper-parameters under their priors, and the mode there."""
    from scipy.optimize import minimize

    middle, width = prior.start, prior.width
    last = [start.weights if start else None]

    def loss(there: Floats) -> tuple[float, Floats]:
        off = (there - middle) / width
        try:
            matrix = prior.seen(there, places)
            found = mode(matrix, shares, start=last[0])
            slopes = prior.slopes(there, places, slope_weights(matrix, found))
        except np.linalg.LinAlgError:
            return 1e9, off
        last[0] = found.weights
        return 0.5 * float(off @ off) - found.evidence, off / width - slopes

    bounds = list(zip(middle - 3 * width, middle + 3 * width, strict=True))
    theta = minimize(loss, theta, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps}).x
    return theta, mode(prior.seen(theta, places), shares, start=last[0])


def _walk(
    prior: Covariance, places: Places, shares: Shares, theta: Floats, found: Mode, rng: np.random.Generator
) -> Sequence[Floats]:
    """Return some hyper-parameters of a random walk from the likeliest ones: how unsure they are."""
    middle, width = prior.start, prior.width

    def log_density(there: Floats) -> float:
        off = (there - middle) / width
        try:
            near = mode(prior.seen(there, places), shares, start=found.weights)
        except np.linalg.LinAlgError:
            return -np.inf
        return near.evidence - 0.5 * float(off @ off)

    now, kept = log_density(theta), []
    for step in range(1, _WALK + 1):
        there = theta + rng.standard_normal(len(theta)) * _STRIDE * width
        log_u = float(np.log(rng.random()))
        if log_u < (then := log_density(there)) - now:
            theta, now = there, then
        if step % (_WALK // _KEPT) == 0:
            kept.append(theta)
    return kept
