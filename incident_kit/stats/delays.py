"""Delays: how much of the feedback on answers is in by the log's end, by the delays of a time that is closed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST = 20  # delays in the closed window, for a distribution of its own


def due_shares(age_us: Any, delay_us: Any) -> Floats:
    """Return for each answer the share of its feedback that is expected to be in, in [0, 1], by its age at the log's end.

    ``delay_us`` is how long after the answer its feedback came, NaN where none has. Delays are taken from the closed window,
    the answers older than the longest delay of all: in younger ones the long delays are missing. Where that window holds
    fewer than 20, it is moved to the younger half of what there is, and the shares are too high rather than too low.
    """
    age = np.asarray(age_us, np.float64)
    delay = np.asarray(delay_us, np.float64)
    has = np.isfinite(delay)
    if not has.any():
        return np.ones(len(age))
    closed = has & (age >= delay[has].max())
    if closed.sum() < FEWEST:
        closed = has & (age >= np.median(age[has]))
    known = np.sort(delay[closed])
    shares: Floats = np.searchsorted(known, age, side="right") / len(known)
    return shares


def weighted_rate(happened: Any, age_us: Any, delay_us: Any) -> tuple[float, float]:
    """Return the rate of what feedback reports, and how many answers' worth of feedback is still out.

    Both count each answer by the share of its feedback that is in: sum of events / sum of shares.
    """
    shares = due_shares(age_us, delay_us)
    total = float(shares.sum())
    rate = float(np.asarray(happened, np.float64).sum()) / total if total > 0 else float("nan")
    return rate, float(len(shares) - total)
