"""Overrides: the first moment at which agents overrode more than in healthy time, which is when a harm can be known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from incident_kit.healthy import impacts_us, is_healthy

if TYPE_CHECKING:
    from incident_kit.incident import Incident

WINDOW = timedelta(minutes=30)
CHANCE = 0.01  # that healthy agents override as often
FEWEST = 30  # reviews in healthy time, for a baseline


@dataclass(frozen=True)
class Rise:
    """When overrides rose over their baseline: ``overridden`` of ``reviewed`` in the window up to ``at``; None: never.

    ``baseline`` is the healthy share; None, and ``why``, where there is none to compare with.
    """

    at: datetime | None
    overridden: int
    reviewed: int
    baseline: float | None
    why: str = ""


def first_rise(
    incident: Incident,
    *,
    matches: Callable[[str | None], bool] = lambda _intent: True,
    window: timedelta = WINDOW,
    chance: float = CHANCE,
) -> Rise:
    """Return the first moment at which overrides rose over their own baseline, of requests whose intent ``matches``.

    At each review from the first impact on (without an impact: from the log's start), the reviews of the last ``window`` are
    held against the share of overrides outside every impact: the moment is the first at which healthy agents would override
    as many or more with a probability under ``chance`` (exact binomial tail). Looking again at every review makes a false
    moment likelier than ``chance``: it is a mark on the timeline, no test of a hypothesis. Where only overrides are logged
    (no accepted suggestion), the requests that arrived in the window stand for the reviews.
    """
    reviews = incident.store.query("override_reviews")
    asked = [intent for intent in reviews["intent"].unique().to_list() if matches(intent)]
    mine = reviews.filter(pl.col("intent").is_in(asked, nulls_equal=True)).sort("at_us", "request_id")
    if not mine["overridden"].any():
        return Rise(None, 0, mine.height, None, "no override of these requests is logged")
    at, over = mine["at_us"].to_numpy(), mine["overridden"].to_numpy()
    units, unit_is_healthy = at, is_healthy(incident, at)
    if over.all():
        log = incident.log
        codes = np.array([matches(intent) for intent in (*log.intents, None)])
        units = log.arrived_us[codes[log.intent]]
        unit_is_healthy = is_healthy(incident, units)
    healthy = int(unit_is_healthy.sum())
    if healthy < FEWEST:
        return Rise(None, 0, 0, None, f"only {healthy} reviews outside the impact: no baseline")
    baseline = (int((over & is_healthy(incident, at)).sum()) + 0.5) / (healthy + 1)  # never quite 0 nor 1
    spans = impacts_us(incident)
    begin = spans[0][0] if spans else int(at[0])
    width = round(window.total_seconds() * 1e6)
    so_far = np.concatenate([[0], np.cumsum(over)])
    for i in np.flatnonzero(over & (at >= begin)):
        now = int(at[i])
        last, first = np.searchsorted(at, now, side="right"), np.searchsorted(at, now - width, side="right")
        k = int(so_far[last] - so_far[first])
        n = int(np.searchsorted(units, now, side="right") - np.searchsorted(units, now - width, side="right"))
        if k >= _critical(max(n, k), baseline, chance):
            return Rise(datetime.fromtimestamp(now / 1e6, UTC), k, max(n, k), baseline)
    return Rise(None, 0, 0, baseline, "it never rose over its baseline")


@cache
def _critical(n: int, p: float, chance: float) -> int:
    """Return the least count of n that has a probability under ``chance`` to be reached: P(X >= k) for binomial X."""
    log_p, log_q = math.log(p), math.log1p(-p)
    tail, k = 0.0, n + 1
    while k > 0:
        ways = math.lgamma(n + 1) - math.lgamma(k) - math.lgamma(n - k + 2)
        tail += math.exp(ways + (k - 1) * log_p + (n - k + 1) * log_q)
        if tail >= chance:
            return k
        k -= 1
    return 0
