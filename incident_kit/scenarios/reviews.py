"""Reviews: which answers of a scenario an agent decides on, and how long after; whoever gave the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.scenarios.scenario import Scenario
from incident_kit.stats.draws import log_normals, uniforms


@dataclass(frozen=True)
class Reviews:
    """Arrays ``[request]``: whether an answer is shown to an agent, whether they ignore it, after how long they decide.

    ``choice`` in (0, 1) settles what becomes of an overridden one.
    """

    shown: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    after_us: NDArray[np.int64]
    choice: NDArray[np.float64]


def reviews(scenario: Scenario, requests: pl.DataFrame) -> Reviews:
    """Return the reviews of a scenario's requests (:func:`incident_kit.scenarios.traffic.traffic`)."""
    agents = scenario.agents
    shares = {name: float(intent.reviewed) for name, intent in scenario.intents.items()}
    shown = requests["intent"].replace_strict(shares, return_dtype=pl.Float64).to_numpy()
    after_s = log_normals(
        of_each(scenario, requests, "review", "number"), agents.review_s.median, agents.review_s.width
    )
    return Reviews(
        shown=of_each(scenario, requests, "reviewed", "number") < shown,
        ignored=of_each(scenario, requests, "ignored", "number") < agents.ignored,
        after_us=np.rint(after_s * 1000).astype(np.int64) * 1000,
        choice=of_each(scenario, requests, "decision", "number"),
    )


def of_each(scenario: Scenario, rows: pl.DataFrame, what: str, key: str) -> NDArray[Any]:
    """Return a number in (0, 1) for each row: that of its ``key`` (a number) within its intent."""
    u = np.empty(rows.height)
    for name in scenario.intents:
        mine = np.flatnonzero((rows["intent"] == name).to_numpy())
        numbers = rows[key].to_numpy()[mine]
        size = int(numbers.max()) + 1 if len(numbers) else 0
        u[mine] = uniforms(scenario.seed, "desk", name, what, size=size)[numbers]
    return u
