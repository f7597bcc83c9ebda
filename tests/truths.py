"""A condition's truth by its text, from the observations themselves: no counters, nothing shared with the kernel."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from incident_kit.policies.conditions import Condition, Rule
from incident_kit.policies.routes import Window

MS = 1000  # microseconds
Number = int | float | Fraction


class Seen(NamedTuple):
    """One observation, when it is known.

    ``what``: done (an attempt; for an alert a request), bare (a request that ended without a model), crossed (an attempt
    in flight whose age reached ``ms``), token (its first one, after ``ms``), tools, override, touch (of a ticket), escalation,
    reopen, sla, end and cost (of a request), decision, signal. Where it is a share, ``part`` of ``whole``.
    """

    at: int
    what: str
    ms: Number = 0
    error: str | None = None
    failed: bool = False
    part: Number = 0
    whole: Number = 0
    name: str = ""
    overdue: bool = False
    crossed: frozenset[int] = frozenset()  # ages that were observed before `done`


DESK = ("escalation", "reopen", "sla")


def parts(condition: Condition) -> tuple[str, str, Fraction]:
    """Return metric, sign and number of the text."""
    metric, sign, number = condition.text.rsplit(" ", 2)
    return metric, sign, Fraction(number)


def first_counted_ms(condition: Condition) -> int:
    """Return the age at which an attempt in flight is known to count (S18)."""
    metric, sign, number = parts(condition)
    if metric.startswith("slow_rate"):
        return int(metric.removeprefix("slow_rate(").removesuffix("ms)")) + 1
    return int(number) + (sign in {">", "<="})


OF = {  # what the conditions of a kind look at
    "mean": {"done"},
    "error": {"done", "bare"},
    "timeout": {"done", "bare"},
    "429": {"done", "bare"},
    "consecutive": {"done", "bare"},
    "ttft": {"token"},
    "tools": {"tools"},
    "override": {"override"},
    "escalation": {"touch", "escalation"},
    "reopen": {"touch", "reopen"},
    "sla": {"touch", "sla"},
    "fallback": {"end"},
    "cost": {"cost"},
    "requests": {"decision"},
}


def uses(condition: Condition, seen: Seen) -> bool:
    """Return whether this is an observation of this condition."""
    if condition.kind == "latency":
        age = first_counted_ms(condition)
        return (seen.what == "done" and age not in seen.crossed) or (seen.what == "crossed" and seen.ms == age)
    if condition.kind == "signal":
        return seen.what == "signal" and seen.name == condition.name
    return seen.what in OF.get(condition.kind, ())


def within(seen: Sequence[Seen], window: Window | None, at: int) -> Sequence[Seen]:
    """Return what a window at this instant holds of one condition's observations (S9); None: all."""
    if window is None:
        return seen
    if window.kind == "count":
        return seen[-window.length :]
    length = window.length * MS
    if window.kind == "sliding":  # (at - length, at]
        return seen[bisect_right(seen, at - length, key=lambda one: one.at) :]
    return seen[bisect_left(seen, at // length * length, key=lambda one: one.at) :]  # since a multiple of its length


def size(condition: Condition, seen: Sequence[Seen]) -> Number:
    """Return the metric's own denominator (S12)."""
    if condition.kind in {"tools", "override", "signal"}:
        return sum(one.whole for one in seen)
    if condition.kind in DESK:
        return len({one.name for one in seen if one.what == "touch"})
    return len(seen)


def latency(one: Seen) -> Number:
    """Return milliseconds; an overdue probe is slower than anything (S16)."""
    return math.inf if one.overdue else one.ms


def count(condition: Condition, seen: Sequence[Seen]) -> Number:
    """Return the numerator that people are told: how many were slow, failed, successful."""
    if condition.kind == "consecutive":
        run = 0
        for one in seen:
            run = run + 1 if one.failed else 0
        return run
    amount: dict[str, Callable[[Seen], Number]] = {
        "latency": lambda one: is_counted(condition, latency(one)),
        "ttft": lambda one: is_counted(condition, latency(one)),
        "mean": lambda one: one.ms,
        "error": lambda one: one.failed,
        "timeout": lambda one: one.error == "timeout",
        "429": lambda one: one.error == "429",
        "requests": lambda _: 1,
    }
    if condition.kind in DESK:
        return sum(one.what == condition.kind for one in seen)
    of = amount.get(condition.kind)
    return sum(of(one) if of else one.part for one in seen)


def is_counted(condition: Condition, ms: Number) -> bool:
    metric, sign, limit = parts(condition)
    return ms > (
        int(metric.removeprefix("slow_rate(").removesuffix("ms)")) if metric.startswith("slow") else limit
    ) or (not metric.startswith("slow") and sign in {">=", "<"} and ms == limit)


def value(condition: Condition, seen: Sequence[Seen]) -> Number:
    """Return the metric in the unit of its text."""
    metric, _, _ = parts(condition)
    if metric.startswith("p") and metric.endswith("_ms"):  # S11: nearest rank
        percent = Fraction(metric[1:].removesuffix("_ms").removesuffix("_ttft"))
        ordered = sorted(latency(one) for one in seen)
        return ordered[math.ceil(percent * len(ordered) / 100) - 1]
    if condition.kind in {"requests", "consecutive"}:
        return count(condition, seen)
    share = Fraction(count(condition, seen)) / Fraction(size(condition, seen))
    return share / 10**9 if condition.kind == "cost" else share


def truth(condition: Condition, seen: Sequence[Seen], *, min_requests: int, no_data: str) -> bool | None:
    """Return whether it holds among its observations in a window, None where there are too few (S12)."""
    always_known = condition.kind in {"requests", "consecutive"}
    if not always_known and size(condition, seen) < max(min_requests, 1):
        return {"hold": None, "ok": False, "breach": True}[no_data]
    _, sign, limit = parts(condition)
    found = value(condition, seen)
    return {">": found > limit, ">=": found >= limit, "<": found < limit, "<=": found <= limit}[sign]


def kleene(rule: Rule, held: Callable[[Condition], bool | None]) -> bool | None:
    """Return what at least so many of these are, where some are unknown (S12)."""
    values = [kleene(one, held) if isinstance(one, Rule) else held(one) for one in rule.of]
    true, unknown = values.count(True), values.count(None)
    if true >= rule.at_least:
        return True
    return False if true + unknown < rule.at_least else None


def in_each(windows: Sequence[Window], held: Callable[[Window], bool | None]) -> bool | None:
    """Return what several windows say together: true in each, or not (S9)."""
    values = [held(window) for window in windows]
    return False if False in values else None if None in values else True


def without_alerts(rule: Rule) -> Rule | None:
    """Return what of a rule is judged in HALF_OPEN (S20)."""
    kept = [without_alerts(one) if isinstance(one, Rule) else one if one.kind != "alert" else None for one in rule.of]
    left = tuple(one for one in kept if one is not None)
    return Rule(min(rule.at_least, len(left)), left) if left else None
