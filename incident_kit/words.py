"""Numbers, instants and metrics in words that a person who was not there understands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta, timezone
    from zoneinfo import ZoneInfo

UNKNOWN = "unknown"
NOT_IN_LOG = "not in this log"
# what would let a label from a log reorder, hide or break the text around it: controls and bidirectional overrides
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


_DIRECTION = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def undirected(text: str) -> str:
    """Return the text without marks that change the direction of what stands around it."""
    return _DIRECTION.sub("", text)


def label(text: str | None, *, longest: int = 48) -> str:
    """Return text from a log as a label: one line, no control or direction marks, cut at ``longest`` characters."""
    if not text:
        return "unlabelled"
    clean = " ".join(_UNSAFE.sub(" ", text).split()) or "unlabelled"
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def sentence(text: str) -> str:
    """Return the text with a capital at its start."""
    return text[:1].upper() + text[1:]


def _rounded(value: float, places: int) -> str:
    """Return the number rounded half up, as people round, with a comma between thousands."""
    step = Decimal(1).scaleb(-places)
    return f"{Decimal(repr(value)).quantize(step, ROUND_HALF_UP):,}"


def number(value: float | None, unit: str = "") -> str:
    """Return a number as people write it: ``"4.2 s"``, ``"31 %"``, ``"1,024"``; ``"unknown"`` for None.

    Parameters
    ----------
    value
        Durations in milliseconds for ``"s"`` and ``"ms"``, a share from 0 to 1 for ``"%"``, else a count.
    unit
        ``"s"``, ``"ms"``, ``"%"``, or a noun that follows the count (``"tokens"``).

    Examples
    --------
    >>> number(4180, "s"), number(0.3109, "%"), number(1024), number(0.0004, "%"), number(None)
    ('4.2 s', '31 %', '1,024', 'under 0.1 %', 'unknown')
    """
    if value is None or value != value:  # noqa: PLR0124 - not a number is the one value that differs from itself
        return UNKNOWN
    write = {"%": _share, "s": _seconds, "USD": _price}.get(unit)
    if write:
        return write(value)
    places = 0 if unit == "ms" or abs(value) >= 100 or float(value).is_integer() else 1
    return f"{_rounded(value, places).removesuffix('.0')} {unit}".rstrip()


def _share(value: float) -> str:
    share = 100 * value
    if 0 < share < 0.05:
        return "under 0.1 %"
    if 99.95 < share < 100:
        return "over 99.9 %"
    return f"{_rounded(share, 1 if share < 10 or share > 99 else 0).removesuffix('.0')} %"


def _price(value: float) -> str:
    """Return a price to the cent; below one, to three digits that mean something."""
    return f"{_rounded(value, 2) if abs(value) >= 1 or value == 0 else format(value, '.3g')} USD"


def _seconds(value: float) -> str:
    if 0 < value < 50:
        return "under 0.1 s"
    return f"{_rounded(value / 1000, 1 if value < 99_950 else 0).removesuffix('.0')} s"


def lasting(span: timedelta | None) -> str:
    """Return a length of time in its two largest units: ``"3 min 20 s"``, ``"1 h 5 min"``, ``"0.4 s"``."""
    if span is None:
        return UNKNOWN
    seconds = span.total_seconds()
    if seconds < 0:
        return f"minus {lasting(-span)}"
    if seconds < 10:
        return number(1000 * seconds, "s")
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if left >= size or (parts and len(parts) < 2):
            parts.append((left // size, name))
            left %= size
    return " ".join(f"{count} {name}" for count, name in parts[:2] if count)


def clock(at: datetime | None, *, zone: ZoneInfo | None = None, date: bool = False) -> str:
    """Return an instant to the second, in the reader's zone with UTC in brackets when they differ."""
    if at is None:
        return UNKNOWN
    said = _said(at.astimezone(zone or UTC), date=date)
    return f"{said} UTC" if _is_utc(zone) else f"{said} ({_said(at.astimezone(UTC), date=False)} UTC)"


def period(start: datetime, end: datetime, *, zone: ZoneInfo | None = None, date: bool = False) -> str:
    """Return a span: ``"22 November 2026, 13:25 to 13:29:10 (12:25 to 12:29:10 UTC)"``."""

    def both(where: ZoneInfo | timezone, *, date: bool) -> str:
        first, last = start.astimezone(where), end.astimezone(where)
        return f"{_said(first, date=date)} to {_said(last, date=first.date() != last.date())}"

    utc = both(UTC, date=date and _is_utc(zone))
    return f"{utc} UTC" if _is_utc(zone) else f"{both(zone or UTC, date=date)} ({utc} UTC)"


def _is_utc(zone: ZoneInfo | None) -> bool:
    return zone is None or zone.key in {"UTC", "Etc/UTC"}


def _said(at: datetime, *, date: bool) -> str:
    return (f"{at.day} {at:%B %Y}, " if date else "") + f"{at:%H:%M:%S}".removesuffix(":00")


@dataclass(frozen=True)
class Metric:
    """A metric's names: for engineers, for anyone, and its unit (``"ms"``, ``"%"`` or a noun)."""

    name: str
    title: str
    plain: str
    unit: str
    question: str = ""

    def shown(self, value: float | None, *, plain: bool = False) -> str:
        """Return a value of this metric with its unit; when ``plain``, times in seconds and prices for a thousand."""
        if plain and self.name == "cost_per_request" and value is not None:
            value *= 1000
        return number(value, "s" if plain and self.unit == "ms" else self.unit)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("p50_wait_ms", "p50 wait", "half waited over", "ms", "waits"),
        Metric("p95_wait_ms", "p95 wait", "the slowest one in twenty waited over", "ms", "waits"),
        Metric("error_rate", "Error rate", "requests that got no answer", "%", "errors"),
        Metric("tool_success_rate", "Tool success", "look-ups and actions that worked", "%", "tools"),
        Metric("tool_failure_rate", "Tool failures", "look-ups and actions that failed", "%", "tools"),
        Metric("override_rate", "Override rate", "drafts that agents rewrote", "%", "overrides"),
        Metric("fallback_share", "Share on fallback", "answered by the backup model", "%"),
        Metric("fallback_rate", "Share on fallback", "answered by the backup model", "%"),
        Metric("missed_targets", "SLA targets missed", "promised times missed", "targets"),
        Metric("completion_tokens", "Answer length", "length of an answer", "tokens"),
        Metric("mean_ms", "Mean wait", "average wait", "ms", "waits"),
        Metric("cost_per_request", "Cost per request", "cost of 1,000 answers", "USD"),
        Metric("cost_usd", "Cost", "cost", "USD"),
        Metric("timeout_rate", "Timeout rate", "requests cut off by a timeout", "%", "errors"),
        Metric("rate_429", "Rate-limited", "requests refused for their rate", "%", "errors"),
        Metric(
            "consecutive_errors", "Failures in a row", "most requests in a row without an answer", "requests", "errors"
        ),
        Metric("requests", "Requests", "requests", "requests"),
        Metric("switches", "Switches", "times a primary was left", "times"),
        Metric("flapping", "Flapping", "times a primary was left soon after its return", "times"),
        Metric("minutes_on_fallback", "Time on fallback", "time with a primary out of service", "min"),
        Metric("detection_s", "Time to first switch", "seconds until a primary was first left", "seconds"),
        Metric("failback_s", "Time to fail back", "seconds until all primaries were back", "seconds"),
        Metric("escalation_rate", "Escalated tickets", "tickets that were escalated", "%", "tickets"),
        Metric("reopen_rate", "Re-opened tickets", "tickets that came back", "%", "tickets"),
        Metric("sla_breach_rate", "Broken SLA", "tickets whose promised time was missed", "%", "sla"),
        Metric("share_no_model", "Sent to no model", "sent to no model", "%"),
    )
}
_QUANTILE = re.compile(r"p(\d+(?:\.\d+)?)(?:_wait)?_ms")
_FIRST = re.compile(r"p(\d+(?:\.\d+)?)_ttft_ms")
_SLOW = re.compile(r"slow_rate\((\d+(?:\.\d+)?)(ms|s)\)")


def metric(name: str) -> Metric:
    """Return the names and unit of a metric; quantiles (``p99_ms``) and ``slow_rate(3500ms)`` are read from the name.

    Examples
    --------
    >>> metric("slow_rate(3500ms)").plain, metric("p99_ms").plain
    ('slow answers (over 3.5 s)', 'the slowest one in 100 waited over')
    """
    if name in METRICS:
        return METRICS[name]
    if match := _QUANTILE.fullmatch(name):
        level = match[1]
        above = {"50": "half", "90": "one in ten", "95": "one in twenty", "99": "one in 100"}.get(level)
        above = above or f"{100 - float(level):g} in 100"
        above = above if level == "50" else f"the slowest {above}"
        return Metric(name, f"p{level} wait", f"{above} waited over", "ms", "waits")
    if match := _FIRST.fullmatch(name):
        return Metric(
            name,
            f"p{match[1]} to the first word",
            metric(f"p{match[1]}_ms").plain + " for the first word",
            "ms",
            "waits",
        )
    if name.startswith("signal:"):
        signal = label(name.removeprefix("signal:"))
        return Metric(name, signal, signal.replace("_", " "), "")
    if match := _SLOW.fullmatch(name):
        limit = number(float(match[1]) * (1 if match[2] == "ms" else 1000), "s")
        return Metric(name, f"Slower than {limit}", f"slow answers (over {limit})", "%", "waits")
    words = label(name).replace("_", " ")
    return Metric(name, words.capitalize(), words, "%" if name.endswith(("_rate", "_share")) else "")
