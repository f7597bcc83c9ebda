"""Propensity: what a policy would have got, by weighting what was logged by chance, where enough was.

Only where the log has true chances 0 < e < 1 of what it did (split traffic, probes at random). An interval from two
requests is no interval: too few effective samples, or one request that carries too much, are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST_SAMPLES = 50.0
LARGEST_SHARE = 0.10
_Z90 = 1.6448536269514722


@dataclass(frozen=True)
class Weighted:
    """A weighted estimate of a mean, its 90 % interval, and what it rests on: effective samples, largest weight's share."""

    value: float
    low: float
    high: float
    samples: float
    largest: float


def effective_samples(weights: Any) -> float:
    """Return how many equally weighted requests these weights are worth: (sum w)^2 / sum w^2."""
    w = np.asarray(weights, np.float64)
    return float(w.sum() ** 2 / (w @ w)) if w.any() else 0.0


def _weights(agrees: Any, chance: Any) -> Floats | None:
    """Return the weights of requests on which policy and log agree; None where the gate is shut."""
    chance = np.asarray(chance, np.float64)
    if not ((chance > 0) & (chance <= 1)).all():
        return None
    weights: Floats = np.asarray(agrees, np.float64) / chance
    if effective_samples(weights) < LEAST_SAMPLES or weights.max() > LARGEST_SHARE * weights.sum():
        return None
    return weights


def ips(value: Any, agrees: Any, chance: Any) -> Weighted | None:
    """Return the inverse-propensity estimate of a policy's mean outcome; None where the sample-size gate refuses it.

    Parameters
    ----------
    value
        The logged outcome of each request.
    agrees
        Whether the policy would have done what was logged.
    chance
        With what probability the log did what it did.
    """
    weights = _weights(agrees, chance)
    if weights is None:
        return None
    each = weights * np.asarray(value, np.float64)
    return _result(float(each.mean()), float(each.std() / np.sqrt(len(each))), weights)


def snips(value: Any, agrees: Any, chance: Any) -> Weighted | None:
    """Return the self-normalised estimate: like :func:`ips`, less noisy, slightly biased."""
    weights = _weights(agrees, chance)
    if weights is None:
        return None
    y = np.asarray(value, np.float64)
    mean = float((weights * y).sum() / weights.sum())
    error = float(np.sqrt((weights**2 * (y - mean) ** 2).sum()) / weights.sum())
    return _result(mean, error, weights)


def doubly_robust(value: Any, agrees: Any, chance: Any, *, modelled_logged: Any, modelled: Any) -> Weighted | None:
    """Return a model's estimate, corrected by its own errors where policy and log agree: a check of the model's bias.

    ``modelled_logged`` and ``modelled`` are the model's means for what was logged and for what the policy does. If the
    interval does not hold the model's own mean, the model is biased on this log; it is no better estimate than that one.
    """
    weights = _weights(agrees, chance)
    if weights is None:
        return None
    each = np.asarray(modelled, np.float64) + weights * (np.asarray(value) - np.asarray(modelled_logged))
    return _result(float(each.mean()), float(each.std() / np.sqrt(len(each))), weights)


def _result(value: float, error: float, weights: Floats) -> Weighted:
    largest = float(weights.max() / weights.sum())
    return Weighted(value, value - _Z90 * error, value + _Z90 * error, effective_samples(weights), largest)
