"""The metrics that a condition may name, and the numbers that each is compared with."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from incident_kit.durations import LONGEST_MS
from incident_kit.errors import InvalidPolicy, did_you_mean

Kind = Literal[
    "latency", "ttft", "mean", "error", "timeout", "429", "consecutive", "tools", "override", "escalation", "reopen", "sla",
    "fallback", "requests", "cost", "signal", "alert",
]  # fmt: skip
Unit = Literal["share", "milliseconds", "count", "dollars", "number"]

NAMED: dict[str, tuple[Kind, Unit]] = {
    "mean_ms": ("mean", "milliseconds"),
    "error_rate": ("error", "share"),
    "timeout_rate": ("timeout", "share"),
    "rate_429": ("429", "share"),
    "consecutive_errors": ("consecutive", "count"),
    "tool_success_rate": ("tools", "share"),
    "override_rate": ("override", "share"),
    "escalation_rate": ("escalation", "share"),
    "reopen_rate": ("reopen", "share"),
    "sla_breach_rate": ("sla", "share"),
    "fallback_rate": ("fallback", "share"),
    "requests": ("requests", "count"),
    "cost_per_request": ("cost", "dollars"),
}
FAMILIES = ("pNN_ms", "pNN_ttft_ms", "slow_rate(3500ms)", "signal:NAME")
FEEDBACK: frozenset[Kind] = frozenset({"tools", "override", "escalation", "reopen", "sla", "signal"})
LEAST_DOLLARS = 1_000_000_000  # one dollar in billionths, the unit that costs are counted in
QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,4})?)_(ttft_)?ms", re.ASCII)
SLOW = re.compile(r"slow_rate\s*\(\s*(.*?)\s*\)")
SIGNAL = re.compile(r"signal\s*:\s*(\w[\w./:-]{0,99})")

_GUESSES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99.9_ms", "p95_ttft_ms", "slow_rate(3500ms)", "alert: NAME")
_NUMBERS = {
    "share": re.compile(r"(\d{0,4}(?:\.\d{1,8})?)", re.ASCII),
    "milliseconds": re.compile(r"(\d{1,12})", re.ASCII),
    "count": re.compile(r"(\d{1,9})", re.ASCII),
    "dollars": re.compile(r"\$?(\d{1,4}(?:\.\d{1,9})?)", re.ASCII),
    "number": re.compile(r"(-?\d{1,9}(?:\.\d{1,6})?)", re.ASCII),
}
_PERCENT = {
    "share": re.compile(r"(\d{0,4}(?:\.\d{1,6})?)\s*%", re.ASCII),
    "number": re.compile(r"(-?\d{1,9}(?:\.\d{1,4})?)\s*%", re.ASCII),
}
_WRITE = {
    "share": "a share such as 0.05 or 5%",
    "milliseconds": "whole milliseconds",
    "count": "a whole number",
    "dollars": "US dollars a request, such as 0.02",
    "number": "a number with up to 6 decimals",
}


def metric_of(name: str) -> tuple[Kind, Unit]:
    """Return what a metric counts and the unit of its threshold.

    Raises
    ------
    InvalidPolicy
        There is no such metric; the nearest known one is suggested.
    """
    if quantile := QUANTILE.fullmatch(name):
        return ("ttft" if quantile[2] else "latency"), "milliseconds"
    if SLOW.fullmatch(name):
        return "latency", "share"
    if SIGNAL.fullmatch(name):
        return "signal", "number"
    if name in NAMED:
        return NAMED[name]
    if name.startswith("signal"):
        raise InvalidPolicy(f"{name!r} names no signal: write signal:NAME, the name as in the signals table")
    hint = did_you_mean(name, (*_GUESSES, *NAMED))
    raise InvalidPolicy(f"{name!r} is not a metric{hint}; the metrics are {', '.join((*FAMILIES, *NAMED))}")


def threshold(text: str, unit: Unit, *, sign: str, metric: str) -> Fraction:
    """Return the number that a metric is compared with; one that decides nothing is refused.

    Raises
    ------
    InvalidPolicy
        It is no number in the metric's unit, or the comparison is always true or never.
    """
    parts = _NUMBERS[unit].fullmatch(text)
    percent = _PERCENT[unit].fullmatch(text) if unit in _PERCENT and not (parts and parts[1]) else None
    found = (parts and parts[1]) or (percent and percent[1])
    if not found:
        raise InvalidPolicy(f"{metric} is compared with {_WRITE[unit]}, not {text!r}")
    value = Fraction(found) / (100 if percent else 1)
    if unit == "share" and value > 1:
        raise InvalidPolicy(f"{metric} is a share between 0 and 1: {text!r} is more (for percent write {text}%)")
    if unit == "milliseconds" and value > LONGEST_MS:
        raise InvalidPolicy(f"{metric} is compared with whole milliseconds, at most 366 days of them, not {text!r}")
    if unit == "dollars" and value > 1000:
        raise InvalidPolicy(f"{metric} is compared with at most 1000 US dollars a request, not {text!r}")
    top, bottom = (1 if unit == "share" else None), (None if unit == "number" else 0)
    if (sign == ">" and value == top) or (sign == "<" and value == bottom):
        raise InvalidPolicy(f"'{metric} {sign} {text}' can never be true")
    if (sign == ">=" and value == bottom) or (sign == "<=" and value == top):
        raise InvalidPolicy(f"'{metric} {sign} {text}' is always true")
    return value


def decimal_text(value: Fraction) -> str:
    """Return a number as a condition writes it: no exponent, no zeros at its end."""
    text = f"{Decimal(value.numerator) / Decimal(value.denominator):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
