"""Survival: Kaplan-Meier curves of latencies that a timeout may have cut (known only to be at least that long)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A Kaplan-Meier curve: the share of latencies above each of ``at_ms``, up to the largest one that was not cut.

    ``at_ms`` holds the distinct latencies that were not cut, in order; ``above[i]`` is P(L > at_ms[i]). Beyond ``last_ms``
    (the largest of all, cut ones included) nothing is known but that the share does not rise.
    """

    at_ms: Floats
    above: Floats
    last_ms: float
    calls: int

    @classmethod
    def of(cls, latency_ms: Any, is_censored: Any) -> Curve:
        """Return the curve of latencies; a censored one is at least its value, and counts as larger than an equal one."""
        latency, cut = np.asarray(latency_ms, np.float64), np.asarray(is_censored, np.bool_)
        at, deaths = np.unique(latency[~cut], return_counts=True)
        before = np.cumsum(deaths) - deaths + np.searchsorted(np.sort(latency[cut]), at, side="left")
        at_risk = len(latency) - before
        above = np.cumprod(1 - deaths / np.maximum(at_risk, 1)) if len(at) else np.empty(0)
        return cls(at, np.asarray(above, np.float64), float(latency.max(initial=0.0)), len(latency))

    def share_above(self, ms: Any) -> Floats:
        """Return P(L > ms), in [0, 1]; beyond the largest uncensored latency the last value, an upper bound."""
        steps = np.concatenate([[1.0], self.above])
        shares: Floats = steps[np.searchsorted(self.at_ms, np.asarray(ms, np.float64), side="right")]
        return shares

    def quantile(self, share: float) -> float | None:
        """Return the smallest latency in ms that at least ``share`` do not exceed; None where a timeout hides it."""
        found = np.flatnonzero(self.above <= 1 - share + 1e-12)
        return float(self.at_ms[found[0]]) if len(found) else None

    def mean_up_to(self, cap_ms: float, *, beyond_ms: float = 0.0) -> float:
        """Return E[min(L, cap) | L > beyond], in ms: the area under the curve from ``beyond_ms`` on."""
        if cap_ms <= beyond_ms:
            return float(cap_ms)
        inside = self.at_ms[(self.at_ms > beyond_ms) & (self.at_ms < cap_ms)]
        edges = np.concatenate([[beyond_ms], inside, [cap_ms]])
        shares = self.share_above(edges[:-1])
        start = float(shares[0])
        return float(beyond_ms + (shares * np.diff(edges)).sum() / start) if start > 0 else float(beyond_ms)


def curves(latency_ms: Any, is_censored: Any, group: Any) -> dict[int, Curve]:
    """Return one curve for each value of ``group`` (such as target and state)."""
    latency, cut, of = np.asarray(latency_ms), np.asarray(is_censored), np.asarray(group)
    return {int(one): Curve.of(latency[of == one], cut[of == one]) for one in np.unique(of)}
