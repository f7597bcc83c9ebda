"""Metrics: the vocabulary of POLICY.md over outcomes, one value a group of requests, with what it rests on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Literal

import polars as pl

from incident_kit.durations import parse_duration
from incident_kit.errors import InvalidPolicy, NoSuchItem, did_you_mean
from incident_kit.policies.vocabulary import QUANTILE, SIGNAL, SLOW
from incident_kit.scoring.tallies import TALLIES

OF_DESK = {"escalation_rate": "tickets", "reopen_rate": "tickets", "sla_breach_rate": "sla"}
PLAIN = (
    "p50_ms", "p95_ms", "mean_ms", "p95_ttft_ms", "error_rate", "timeout_rate", "rate_429", "consecutive_errors",
    "tool_success_rate", "override_rate", *OF_DESK, "fallback_rate", "requests", "cost_per_request", "share_no_model", *TALLIES,
)  # fmt: skip
FAMILIES = ("slow_rate(8000ms)", "served_share(TARGET)", "signal:NAME")
Source = Literal["outcomes", "changes", "desk", "signals"]


@dataclass(frozen=True)
class Metric:
    """One metric: the question a log must answer for it, and its value over a group of outcomes.

    ``value`` and the others are aggregations. ``low`` and ``high`` put every outcome that was not observed at its best and at
    its worst, ``least`` and ``most`` only those without any evidence; they are None where there is no such bound.
    ``is_decided``: known from the decision, whatever came of it. ``source``: what it is taken from where that is not outcomes:
    breakers' changes (:data:`tallies.TALLIES`), the help desk or signals (:mod:`scoring.carried`); its aggregations then
    are nothing.
    """

    name: str
    question: str | None
    value: pl.Expr
    low: pl.Expr | None = None
    high: pl.Expr | None = None
    least: pl.Expr | None = None
    most: pl.Expr | None = None
    is_decided: bool = False
    source: Source = "outcomes"


def metric(name: str) -> Metric:
    """Return the metric of a name such as ``p95_ms``, ``slow_rate(8000ms)``, ``tool_success_rate`` or ``signal:csat``.

    Every word that a policy's conditions know is one, and those of :data:`tallies.TALLIES`.

    Raises
    ------
    NoSuchItem
        There is no such metric.
    """
    name = name.replace(" ", "")
    found = QUANTILE.fullmatch(name)
    if found and Fraction(found[1]):
        quantile = partial(_nearest_rank, share=Fraction(found[1]) / 100)
        if found[2]:
            return _bounded(name, "waits", quantile, _FIRST, 0, _WORST, of=pl.col("stream").fill_null(value=False))
        return _bounded(name, "waits", quantile, _WAIT, 0, _WORST)
    if (found := SLOW.fullmatch(name)) and (limit_ms := _milliseconds(found[1])) is not None:
        slow = (pl.col("wait_ms") > limit_ms).cast(pl.Float64)
        return _bounded(f"slow_rate({limit_ms}ms)", "waits", pl.Expr.mean, slow, 0.0, pl.lit(1.0))
    if found := re.fullmatch(r"served_share\((.+)\)", name):
        return Metric(name, None, (pl.col("served").cast(pl.String) == found[1]).mean(), is_decided=True)
    if name in _NAMED:
        return _NAMED[name]
    if name in TALLIES:
        return Metric(name, None, pl.lit(None), is_decided=True, source="changes")
    if name in OF_DESK:
        return Metric(name, OF_DESK[name], pl.lit(None), source="desk")
    if SIGNAL.fullmatch(name):
        return Metric(name, None, pl.lit(None), source="signals")
    known = (*PLAIN, *FAMILIES)
    raise NoSuchItem(f"there is no metric {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")


def _milliseconds(text: str) -> int | None:
    """Return the limit of a slow rate, as conditions write it; None where it is none."""
    try:
        return parse_duration(text)
    except InvalidPolicy:
        return None


_WAIT = pl.col("wait_ms").cast(pl.Float64)
_FIRST = pl.col("ttft_ms").cast(pl.Float64)
_WORST = pl.col("worst_ms").cast(pl.Float64)
IS_FACT = pl.col("evidence") == "observed"
IS_TOLD = pl.col("evidence") != "none"
JUDGED = (pl.col("tool_calls") > 0) & pl.col(
    "tool_errors"
).is_not_null()  # a call whose result is unknown did not succeed


def _nearest_rank(values: pl.Expr, *, share: Fraction) -> pl.Expr:
    """Return the ceil(share * n)-th smallest value, in integers (S11): 0.999 * 1000 is over 999 in floating point."""
    ordered = values.drop_nulls().sort()
    n = values.count().cast(pl.Int64)
    rank = (n * share.numerator + share.denominator - 1) // share.denominator
    return ordered.get(rank.clip(1) - 1, null_on_oob=True)


def _longest_run(failed: pl.Expr) -> pl.Expr:
    """Return the length of the longest run of failures, in order of arrival."""
    runs = failed.fill_null(value=False).rle()
    return runs.struct.field("len").filter(runs.struct.field("value")).max().fill_null(0).cast(pl.Float64)


def _bounded(
    name: str, question: str, aggregate: Callable[[pl.Expr], pl.Expr], value: pl.Expr, best: float, worst: pl.Expr,
    *, of: pl.Expr | None = None,
) -> Metric:  # fmt: skip
    """Return a metric whose unobserved outcomes lie between ``best`` and ``worst``, or the worst that is known if worse.

    ``of``: which requests it is of at all, where not of all.
    """
    ends = best, pl.max_horizontal(value.max(), worst)
    found = []
    for known in (IS_FACT, IS_TOLD):
        for end in ends:
            instead = end if of is None else pl.when(of).then(end)
            found.append(aggregate(pl.when(known).then(value).otherwise(instead)))
    low, high, least, most = found
    return Metric(name, question, aggregate(value), low, high, least, most)


def _tool_success() -> Metric:
    """Return the share of tool calls that worked; at worst every call of an estimated answer failed."""
    calls, errors = pl.col("tool_calls").filter(JUDGED), pl.col("tool_errors").filter(JUDGED)
    fact = IS_FACT.filter(JUDGED)
    untold = IS_TOLD.not_().sum()  # each may have made one call

    def share(failed: pl.Expr, made: pl.Expr) -> pl.Expr:
        return pl.when(made > 0).then(1 - failed / made)

    return Metric(
        "tool_success_rate",
        "tools",
        share(errors.sum(), calls.sum()),
        share(pl.when(fact).then(errors).otherwise(calls).sum() + untold, calls.sum() + untold),
        share(pl.when(fact).then(errors).otherwise(0).sum(), calls.sum() + untold),
        share(errors.sum() + untold, calls.sum() + untold),
        share(errors.sum(), calls.sum() + untold),
    )


def _override() -> Metric:
    value = pl.col("overridden").cast(pl.Float64)
    is_open = IS_TOLD.not_() | (IS_FACT.not_() & value.is_not_null())
    low, high = (pl.when(is_open).then(end).otherwise(value).mean() for end in (0.0, 1.0))
    least, most = (pl.when(IS_TOLD).then(value).otherwise(end).mean() for end in (0.0, 1.0))
    return Metric("override_rate", "overrides", value.mean(), low, high, least, most)


def _of_class(name: str, error: str) -> Metric:
    value = (pl.col("error_class").cast(pl.String) == error).cast(pl.Float64)
    return _bounded(name, "errors", pl.Expr.mean, value, 0.0, pl.lit(1.0))


_NAMED = {
    one.name: one
    for one in (
        _bounded("mean_ms", "waits", pl.Expr.mean, _WAIT, 0, _WORST),
        _bounded("error_rate", "errors", pl.Expr.mean, pl.col("failed").cast(pl.Float64), 0.0, pl.lit(1.0)),
        _of_class("timeout_rate", "timeout"),
        _of_class("rate_429", "429"),
        _tool_success(),
        _override(),
        Metric("consecutive_errors", "errors", _longest_run(pl.col("failed"))),
        Metric("fallback_rate", None, pl.col("is_fallback").cast(pl.Float64).mean(), is_decided=True),
        Metric("requests", None, pl.len().cast(pl.Float64), is_decided=True),
        Metric("cost_per_request", None, pl.col("cost_usd").mean()),
        Metric("share_no_model", None, pl.col("no_model").is_not_null().mean(), is_decided=True),
    )
}


def shares(labels: Sequence[str]) -> list[pl.Expr]:
    """Return the aggregations that give the share of each evidence label in a group."""
    return [(pl.col("evidence") == label).mean().alias(f"share_{label}") for label in labels]
