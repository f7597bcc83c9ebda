"""Laplace: the mode of a Gaussian process under quasi-likelihoods of shares, how well it explains them, and its slope.

Undamped Newton steps were measured to give silent nonsense on rates near zero under wide priors: steps are halved until
the objective rises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STEPS, _ENOUGH = 40, 1e-7
_FAR = 30.0  # logits beyond which a share is 0 or 1


@dataclass(frozen=True, eq=False)
class Shares:
    """Quasi-likelihood of shares ``y`` of ``n`` calls each, at logits ``m + f``.

    The variance of a share is ``p (1 - p) / n`` (binomial), or ``p^2 (1 - p)^2 / n`` (``squared``, Wedderburn 1974): then a
    call tells as much of the logit whatever p is, which is how latencies behave. ``n`` is already divided by the dispersion.
    """

    n: Floats
    y: Floats
    m: Floats
    squared: bool = False

    def value(self, f: Floats) -> float:
        """Return the log quasi-likelihood."""
        z = self.m + f
        if self.squared:
            z = np.clip(z, -_FAR, _FAR)
            return float((self.n * ((2 * self.y - 1) * z - self.y * np.exp(-z) - (1 - self.y) * np.exp(z))).sum())
        return float((self.n * (self.y * z - np.logaddexp(0, z))).sum())

    def slopes(self, f: Floats) -> tuple[Floats, Floats, Floats]:
        """Return its derivative, minus its second, and the derivative of the latter, cell by cell."""
        z = np.clip(self.m + f, -_FAR, _FAR)
        if self.squared:
            up, down = self.y * np.exp(-z), (1 - self.y) * np.exp(z)
            first, second, third = self.n * (2 * self.y - 1 + up - down), self.n * (up + down), self.n * (down - up)
        else:
            p = 1 / (1 + np.exp(-z))
            first, second = self.n * (self.y - p), self.n * p * (1 - p)
            third = second * (1 - 2 * p)
        return first, np.maximum(second, 1e-6), third


@dataclass(frozen=True, eq=False)
class Mode:
    """The posterior's mode: ``f = K weights``; ``root`` is W^(1/2), ``chol`` the lower factor of I + W^(1/2) K W^(1/2).

    ``evidence`` is the log marginal likelihood of the shares.
    """

    f: Floats
    weights: Floats
    root: Floats
    chol: Floats
    third: Floats
    evidence: float


def mode(matrix: Floats, shares: Shares, *, start: Floats | None = None) -> Mode:
    """Return the mode for a covariance ``matrix``; ``start`` are the weights of one nearby.

    Raises
    ------
    numpy.linalg.LinAlgError
        The matrix is not positive enough.
    """
    from scipy.linalg import cho_solve, cholesky

    weights = np.zeros(len(shares.n)) if start is None else start
    f = matrix @ weights
    best = shares.value(f) - 0.5 * float(weights @ f)
    nothing = shares.value(np.zeros_like(f))
    if not best >= nothing:
        weights, f, best = np.zeros_like(f), np.zeros_like(f), nothing
    diagonal = np.diag_indices(len(f))
    for _ in range(_STEPS):
        first, second, third = shares.slopes(f)
        root = np.sqrt(second)
        inner = matrix * np.outer(root, root)
        inner[diagonal] += 1
        chol = cholesky(inner.T, lower=True, check_finite=False, overwrite_a=True)  # transposed, it need not be copied
        aim = second * f + first
        step = aim - root * cho_solve((chol, True), root * (matrix @ aim), check_finite=False) - weights
        gain, weights, f = _damped(matrix, shares, weights, f, step, best)
        best += gain
        if gain < _ENOUGH:
            break
    evidence = best - float(np.log(np.diag(chol)).sum())
    return Mode(f, weights, root, chol, third, evidence)


def _damped(
    matrix: Floats, shares: Shares, weights: Floats, f: Floats, step: Floats, best: float
) -> tuple[float, Floats, Floats]:
    """Return the gain, weights and f after the longest of the halved steps that does not lose."""
    move, length = matrix @ step, 1.0
    while length > 1e-4:
        tried, there = weights + length * step, f + length * move
        value = shares.value(there) - 0.5 * float(tried @ there)
        if value >= best - 1e-10:
            return max(value - best, 0.0), tried, there
        length /= 2
    return 0.0, weights, f


def slope_weights(matrix: Floats, found: Mode) -> Floats:
    """Return G with d evidence / d theta = sum(G * d matrix / d theta) (Rasmussen and Williams 2006, section 5.5.1)."""
    from scipy.linalg.lapack import dpotri

    inverse, _ = dpotri(found.chol, lower=1)
    own = np.diag(inverse).copy()
    inverse += inverse.T  # the factor's upper part is zero, and so is that of what comes back
    np.fill_diagonal(inverse, own)
    r = inverse * np.outer(found.root, found.root)
    spread = (1 - own) / found.root**2  # the posterior variance, diag(K - K R K), without a product of matrices
    pull = -0.5 * spread * found.third
    v = pull - r @ (matrix @ pull)
    return np.asarray(0.5 * np.outer(found.weights, found.weights) - 0.5 * r + np.outer(v, found.weights))


def without_block(found: Mode, rows: Any) -> tuple[Floats, Floats]:
    """Return the mean and covariance of f at some cells had these cells not been seen, their curvature held."""
    from scipy.linalg import cho_solve, inv

    select = np.zeros((len(found.f), len(rows)))
    select[rows, np.arange(len(rows))] = found.root[rows]
    solved = cho_solve((found.chol, True), select, check_finite=False)
    precision = found.root[rows][:, None] * solved[rows]  # of (K + 1/W)^-1 at the block
    second = found.root[rows] ** 2
    covariance = inv(precision)
    pseudo = found.f[rows] + found.weights[rows] / second  # the observation that the curvature stands for
    mean = pseudo - covariance @ found.weights[rows]
    return mean, covariance - np.diag(1 / second)
