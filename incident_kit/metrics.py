"""Metrics: the vocabulary of POLICY.md over outcomes, one value a group of requests, with what it rests on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import polars as pl

from incident_kit.errors import NoSuchItem, did_you_mean

WORST_MS = 60_000  # a wait that was not observed lies between 0 and this (EVIDENCE.md section 4)
PLAIN = (
    "p50_ms", "p95_ms", "mean_ms", "error_rate", "tool_success_rate", "override_rate", "fallback_rate", "cost_per_request",
)  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """One metric: the question a log must answer for it, and its value over a group of outcomes.

    ``value``, ``low`` and ``high`` are aggregations; the bounds put every outcome that was not observed at its best and at
    its worst. They are None where there is no such bound.
    """

    name: str
    question: str | None
    value: pl.Expr
    low: pl.Expr | None = None
    high: pl.Expr | None = None


def metric(name: str) -> Metric:
    """Return the metric of a name such as ``p95_ms``, ``slow_rate(8000ms)`` or ``tool_success_rate``.

    Raises
    ------
    NoSuchItem
        There is no such metric.
    """
    name = name.replace(" ", "")
    found = re.fullmatch(r"p(\d{1,2}(?:\.\d{1,4})?)_ms", name, re.ASCII)
    if found and Fraction(found[1]):
        quantile = partial(_nearest_rank, share=Fraction(found[1]) / 100)
        return _bounded(name, "waits", quantile, _WAIT, 0, WORST_MS)
    if found := re.fullmatch(r"slow_rate\((\d+)ms\)", name, re.ASCII):
        slow = (pl.col("wait_ms") > int(found[1])).cast(pl.Float64)
        return _bounded(name, "waits", pl.Expr.mean, slow, 0.0, 1.0)
    if name == "mean_ms":
        return _bounded(name, "waits", pl.Expr.mean, _WAIT, 0, WORST_MS)
    if name == "error_rate":
        return _bounded(name, "errors", pl.Expr.mean, pl.col("failed").cast(pl.Float64), 0.0, 1.0)
    if name == "override_rate":
        return Metric(name, "overrides", pl.col("overridden").cast(pl.Float64).mean())
    if name == "tool_success_rate":
        calls = pl.col("tool_calls").filter(JUDGED).sum()
        return Metric(name, "tools", pl.when(calls > 0).then(1 - pl.col("tool_errors").filter(JUDGED).sum() / calls))
    if name == "fallback_rate":
        return Metric(name, None, pl.col("is_fallback").cast(pl.Float64).mean())
    if name == "cost_per_request":
        return Metric(name, None, pl.col("cost_usd").mean())
    known = (*PLAIN, "slow_rate(8000ms)")
    raise NoSuchItem(f"there is no metric {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")


_WAIT = pl.col("wait_ms").cast(pl.Float64)
JUDGED = (pl.col("tool_calls") > 0) & pl.col(
    "tool_errors"
).is_not_null()  # a call whose result is unknown did not succeed


def _nearest_rank(values: pl.Expr, *, share: Fraction) -> pl.Expr:
    """Return the ceil(share * n)-th smallest value, in integers (S11): 0.999 * 1000 is over 999 in floating point."""
    ordered = values.drop_nulls().sort()
    n = values.count().cast(pl.Int64)
    rank = (n * share.numerator + share.denominator - 1) // share.denominator
    return ordered.get(rank.clip(1) - 1, null_on_oob=True)


def _bounded(
    name: str, question: str, aggregate: Callable[[pl.Expr], pl.Expr], value: pl.Expr, best: float, worst: float
) -> Metric:
    """Return a metric whose unobserved outcomes lie between ``best`` and ``worst``, or the worst that is known if worse."""
    is_fact = pl.col("evidence") == "observed"
    low = pl.when(is_fact).then(value).otherwise(best)
    high = pl.when(is_fact).then(value).otherwise(pl.max_horizontal(value.max(), pl.lit(float(worst))))
    return Metric(name, question, aggregate(value), aggregate(low), aggregate(high))


def shares(labels: Sequence[str]) -> list[pl.Expr]:
    """Return the aggregations that give the share of each evidence label in a group."""
    return [(pl.col("evidence") == label).mean().alias(f"share_{label}") for label in labels]
