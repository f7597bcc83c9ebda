"""Draws: random numbers that depend on a seed, a name and a position only, never on what else was drawn.

The generator is counter-based (Philox), its key a hash of seed and name: what one target would have done to a request
stays the same whatever the policy, the other targets or the other intents. Raw words are used, which numpy keeps stable.
"""

from __future__ import annotations

from hashlib import blake2b
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_MOST = 500.0  # expected arrivals a bin, beyond which exp(-rate) is no longer a number to add up from
_Z95 = NormalDist().inv_cdf(0.95)


def uniforms(seed: int, *name: str | int, size: int) -> Floats:
    """Return numbers in (0, 1), the same for the same seed and name; a longer array begins with the shorter one.

    Examples
    --------
    >>> uniforms(1, "latency", size=3)[:2].tolist() == uniforms(1, "latency", size=2).tolist()
    True
    """
    text = "\x1f".join([str(seed), *map(str, name)])
    key = int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")
    words = np.asarray(np.random.Philox(key=key).random_raw(size), np.uint64)
    return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(u: Floats) -> Floats:
    """Return the standard normal quantiles of numbers in (0, 1)."""
    return np.fromiter(map(NormalDist().inv_cdf, u.tolist()), np.float64, len(u))


def log_normals(u: Floats, median: Any, sigma: float) -> Floats:
    """Return log-normal quantiles; ``median`` is a number or one a draw."""
    return np.asarray(median * np.exp(sigma * normals(u))) if sigma else np.full(len(u), 1.0) * median


def sigma_of(median: float, p95: float) -> float:
    """Return the sigma of a log-normal that has this median and 95th percentile."""
    return float(np.log(p95 / median) / _Z95)


def poissons(u: Floats, rate: Floats) -> NDArray[np.int64]:
    """Return Poisson counts, one a bin, by inversion.

    Raises
    ------
    ValueError
        A bin expects over 500.
    """
    if (rate > _MOST).any():
        raise ValueError(f"a bin expects {rate.max():g} arrivals, at most {_MOST:g} can be drawn: use smaller bins")
    count = np.zeros(len(u), np.int64)
    term = np.exp(-rate)
    total, k = term.copy(), 0
    while (more := (u > total) & (term > 0)).any():
        k += 1
        count[more] = k
        term = term * rate / k
        total += term
    return count
