"""Signals in words: what a metric's value said to a breaker, for people; one clause a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incident_kit.words import label, metric, number

if TYPE_CHECKING:
    from incident_kit.policies.routes import Breaker

_ENDS = {  # of so many things, this share did that
    "error_rate": ("calls", "failed"),
    "timeout_rate": ("calls", "timed out"),
    "rate_429": ("calls", "were turned away for their rate"),
    "tool_success_rate": ("tool calls", "worked"),
    "override_rate": ("reviewed drafts", "were overridden"),
    "escalation_rate": ("tickets", "were escalated"),
    "reopen_rate": ("tickets", "were reopened"),
    "sla_breach_rate": ("tickets", "broke their SLA"),
    "fallback_rate": ("requests", "ended on a backup"),
}

_EACH = {
    "mean_ms": ("{n} {things} took {value} on average", "ms"),
    "cost_per_request": ("{n} answers cost {value} each", "USD"),
    "consecutive_errors": ("{value} {things} in a row failed", ""),
    "requests": ("{value} requests came", ""),
}


def counted(name: str) -> str:
    """Return what the share of a metric counts: ``"failures"``, ``"slower than 3.5 s"``.

    Examples
    --------
    >>> counted("slow_rate(3500ms)"), counted("error_rate")
    ('slower than 3.5 s', 'failures')
    """
    if name.startswith(("slow_rate", "slow_ttft_rate")):
        first = " to the first word" if "_ttft_" in name else ""
        return f"slower than {number(float(name.partition('(')[2].removesuffix('ms)')), 's')}{first}"
    return "failures" if name == "error_rate" else label(name).replace("_", " ")


def cause(
    name: str | None, value: float | None, n: int | None, threshold: float | None, *, things: str = "calls"
) -> str:
    """Return a signal's value beside its limit, as a clause.

    ``value`` is in the metric's own unit (milliseconds, a share, US dollars), ``n`` what it was taken from; ``things`` are what
    waits and failures are of: a breaker judges calls, an alert requests.

    Examples
    --------
    >>> cause("p95_ms", 4180, 180, 3500)
    'of 180 calls, the slowest one in twenty took at least 4,180 ms, the limit is 3,500 ms'
    >>> cause("tool_success_rate", 0.82, 50, 0.92)
    '82 % of 50 tool calls worked, the limit is 92 %'
    """
    if name is None:
        return "no signal was named"
    if name.startswith("alert"):
        return f"the alert {label(name.partition(':')[2].strip())} was firing"
    count = f"{n:,}" if n is not None else "an unknown number of"
    if name in _ENDS:
        what, did = _ENDS[name]
        what = things if what == "calls" else what
        return f"{_beside(value, threshold)} of {count} {what} {did}, the limit is {number(threshold, '%')}"
    if name.startswith(("slow_rate", "slow_ttft_rate")):
        return f"{_beside(value, threshold)} of {count} {things} were {counted(name)}, the limit is {number(threshold, '%')}"
    if name in _EACH:
        said, unit = _EACH[name]
        return (
            f"{said.format(n=count, value=number(value, unit), things=things)}, the limit is {number(threshold, unit)}"
        )
    if name.endswith("_ms"):  # a quantile; the nearest rank is one of the calls
        first = name.endswith("_ttft_ms")
        above = metric(name.replace("_ttft", "")).plain.replace("waited over", "took at least")
        until = " to the first word" if first else ""
        return f"of {count} {things}, {above} {number(value, 'ms')}{until}, the limit is {number(threshold, 'ms')}"
    seen = "unknown" if value is None else f"{value:.4g}"
    what = f"the signal {label(name.removeprefix('signal:'))}" if name.startswith("signal:") else label(name)
    return f"{what} was {seen}, the limit is {threshold or 0:.4g}"


def _beside(value: float | None, threshold: float | None) -> str:
    """Return a share, to as many digits as tell it from its limit."""
    said = number(value, "%")
    if value is None or threshold is None or value == threshold or said != number(threshold, "%"):
        return said
    return next(
        (more for places in (1, 2, 3) if (more := f"{100 * value:.{places}f} %") != f"{100 * threshold:.{places}f} %"),
        said,
    )


def alert_named(name: str | None, breaker: Breaker) -> str | None:
    """Return a metric's name, with the names of the breaker's alerts where it is one."""
    if name != "alert":
        return name
    return f"alert: {' or '.join(dict.fromkeys(leaf.name for leaf in breaker.conditions if leaf.kind == 'alert'))}"
