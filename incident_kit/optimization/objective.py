"""Objective: what a policy's consequences cost, part by part, in one money: what a sum of so different things rests on.

The default weights are US dollars and no more than a beginning: an agent's minute at 0.60, what waiting takes from agents and
customers alike at twice that, and a glance at every switch that was for nothing. Whoever tunes says their own; every
recommendation prints them, and what it would be with each halved and doubled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.errors import InvalidObjective, did_you_mean

Floats = NDArray[np.float64]
WEIGHTS = {
    "slow_s": 0.02, "failed": 1.0, "handed_over": 3.0, "tool_failures": 0.5, "without_tools": 0.25, "overrides": 1.0,
    "usd": 1.0, "breaches": 5.0, "false_trips": 2.0,
}  # fmt: skip
PARTS = tuple(WEIGHTS)
WHOLE = ("breaches", "false_trips")  # of an incident as a whole, not of an intent
WORDS = {  # one of each, without its article
    "slow_s": "second waited beyond what counts as slow",
    "failed": "request without an answer",
    "handed_over": "request left to a person or a template",
    "tool_failures": "tool call gone wrong",
    "without_tools": "answer without the tools that were offered",
    "overrides": "suggestion edited or rejected",
    "usd": "dollar paid for models",
    "breaches": "SLA target missed",
    "false_trips": "primary left while nothing was wrong",
}
COUNTED = {  # many of each, for a narrow table
    "slow_s": "seconds over what is slow",
    "failed": "requests unanswered",
    "handed_over": "left to people or templates",
    "tool_failures": "tool calls gone wrong",
    "without_tools": "answers without tools",
    "overrides": "suggestions redone",
    "usd": "dollars paid for models",
    "breaches": "SLA targets missed",
    "false_trips": "needless switches",
}
_PEOPLE = ("human", "template")


@dataclass(frozen=True)
class Objective:
    """What one of each part costs; parts that are not named cost what is the default, 0 leaves one out.

    Examples
    --------
    >>> Objective.of({"overrides": 2}).weights["overrides"]
    2.0
    """

    weights: Mapping[str, float]

    @classmethod
    def of(cls, said: Objective | Mapping[str, float] | None) -> Objective:
        """Return the objective that somebody means: the default with these weights in place of its own.

        Raises
        ------
        InvalidObjective
            There is no such part, or a weight is no number from 0 on.
        """
        if isinstance(said, Objective):
            return said
        for name, weight in (said or {}).items():
            if name not in WEIGHTS:
                raise InvalidObjective(
                    f"an objective has no part {name!r}{did_you_mean(name, PARTS)}; it has {', '.join(PARTS)}"
                )
            if (
                isinstance(weight, bool)
                or not isinstance(weight, int | float)
                or not (isfinite(weight) and weight >= 0)
            ):
                raise InvalidObjective(f"the weight of {name} is a number from 0 on, not {weight!r}")
        return cls({name: float((said or {}).get(name, weight)) for name, weight in WEIGHTS.items()})

    @property
    def array(self) -> Floats:
        """The weights in the order of :data:`PARTS`."""
        return np.array([self.weights[name] for name in PARTS])

    def scaled(self, part: str, factor: float) -> Objective:
        """Return the objective with one part that costs so many times as much."""
        return Objective({**self.weights, part: self.weights[part] * factor})

    def __str__(self) -> str:
        """Return what each part costs, in words."""
        return "; ".join(f"{one(name)} {weight:g}" for name, weight in self.weights.items() if weight)


def one(part: str) -> str:
    """Return one of a part in words.

    Examples
    --------
    >>> one("breaches")
    'an SLA target missed'
    """
    words = WORDS[part]
    return f"{'an' if words.startswith(('answer', 'SLA')) else 'a'} {words}"


def sums(slow_ms: int) -> list[pl.Expr]:
    """Return the sums of the parts that outcomes have; ``offered`` stands beside these: how many tools were."""
    told = pl.col("evidence") != "none"
    apart = pl.col("no_model").is_not_null()
    failed = pl.col("failed").fill_null(value=False)
    beyond = (pl.col("wait_ms") - slow_ms).clip(lower_bound=0) / 1000
    bare = pl.col("tools_disabled") & (pl.col("offered") > 0) & ~apart & ~failed
    parts: dict[str, Any] = {
        "slow_s": beyond,
        "failed": failed,
        "handed_over": pl.col("no_model").cast(pl.String).is_in(_PEOPLE).fill_null(value=False),
        "tool_failures": pl.col("tool_errors"),
        "without_tools": bare,
        "overrides": pl.col("overridden"),
        "usd": pl.col("cost_usd"),
    }
    # what no evidence tells is taken to be as the rest of its intent; more than a few, and there is no estimate at all
    weight = pl.len() / pl.max_horizontal(told.sum(), pl.lit(1))
    return [(value.filter(told).cast(pl.Float64).sum() * weight).alias(name) for name, value in parts.items()]
