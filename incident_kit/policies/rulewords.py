"""Conditions and rules in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incident_kit.durations import UNITS
from incident_kit.policies.vocabulary import LEAST_DOLLARS

if TYPE_CHECKING:
    from incident_kit.policies.conditions import Condition, Rule

NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
PARTS = {
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    10: "ten",
    20: "twenty",
    50: "fifty",
    100: "a hundred",
    1000: "a thousand",
}
PERIODS = {"hour": UNITS["h"], "minute": UNITS["m"], "second": UNITS["s"], "millisecond": 1}
HOW = {(True, False): "more than", (False, False): "at least", (True, True): "at most", (False, True): "fewer than"}
SHARES = {  # of what, and what of one and of many of them
    "latency": ("answer", "takes", "take"),
    "ttft": ("answer", "shows its first word", "show their first word"),
    "error": ("call", "fails", "fail"),
    "timeout": ("call", "times out", "time out"),
    "429": ("call", "is refused for its rate", "are refused for their rate"),
    "tools": ("tool call", "works", "work"),
    "override": ("suggestion", "is overridden", "are overridden"),
    "escalation": ("ticket", "is escalated", "are escalated"),
    "reopen": ("ticket", "is reopened", "are reopened"),
    "sla": ("ticket", "breaks its SLA", "break their SLA"),
    "fallback": ("request", "goes elsewhere than to a primary", "go elsewhere than to a primary"),
}
PLAIN_NAMES = {
    "latency": "slow",
    "ttft": "slow to begin",
    "mean": "slow on average",
    "error": "failing",
    "timeout": "timing out",
    "429": "refused for its rate",
    "consecutive": "failing in a row",
    "tools": "tools",
    "override": "overrides",
    "escalation": "escalations",
    "reopen": "reopened tickets",
    "sla": "broken SLAs",
    "fallback": "sent elsewhere",
    "requests": "traffic",
    "cost": "cost",
}


def rule_words(rule: Rule, *, call: str = "call") -> str:
    """Return a rule in words: ``"more than one answer in twenty takes over 3.5 s"``; `call` is what may fail."""
    return _rule_words(rule, call=call, inner=False)


def _rule_words(rule: Rule, *, call: str, inner: bool) -> str:
    parts = [
        _rule_words(part, call=call, inner=True) if hasattr(part, "of") else condition_words(part, call=call)  # type: ignore[arg-type]
        for part in rule.of
    ]
    if len(parts) == 1:
        return parts[0]
    if rule.at_least == len(parts):
        text = " and ".join(parts)
        return (
            f"both {text}"
            if inner and len(parts) == 2
            else f"all of these hold ({'; '.join(parts)})"
            if inner
            else text
        )
    if rule.at_least == 1:
        text = " or ".join(parts)
        return f"either {text}" if inner else text
    return f"at least {number(rule.at_least)} of these hold ({'; '.join(parts)})"


def condition_words(condition: Condition, *, call: str = "call") -> str:
    """Return one condition in words; `call` is what may fail: a call, or in an alert a request."""
    how = HOW[condition.strict, condition.negated]
    if condition.kind == "alert":
        return f"the alert {condition.name} fires"
    if condition.kind == "consecutive":
        return f"{how} {number(condition.numerator)} {call}s fail in a row"
    if condition.kind == "requests":
        return f"{how} {number(condition.numerator)} requests arrive"
    if condition.kind in {"mean", "cost", "signal"}:
        less = "less than" if how == "fewer than" else how
        return f"{_measure(condition)} {less} {_amount(condition)}"
    noun, one_does, many_do = SHARES[condition.kind]
    noun = call if noun == "call" else noun
    single = condition.numerator == 1 and condition.denominator in PARTS
    share = (
        f"one {noun} in {PARTS[condition.denominator]}" if single else f"{100 * condition.share:.4g} % of the {noun}s"
    )
    does = one_does if single else many_do
    if condition.limit_ms is None:
        return f"{how} {share} {does}"
    limit = time_words(condition.limit_ms)
    if condition.kind == "ttft":
        return f"{how} {share} {does} after {f'{limit} or later' if condition.count_at_limit else limit}"
    return f"{how} {share} {does} {f'{limit} or more' if condition.count_at_limit else f'over {limit}'}"


def signal_words(condition: Condition) -> str:
    """Return one condition as a label: ``"slow: one in twenty over 3.5 s"``, ``"tools: fewer than 90 % work"``."""
    how = HOW[condition.strict, condition.negated]
    if condition.kind == "alert":
        return f"alert {condition.name}"
    if condition.kind == "signal":
        return f"{condition.name}: {'less than' if how == 'fewer than' else how} {_amount(condition)}"
    name = PLAIN_NAMES[condition.kind]
    if condition.kind in {"mean", "cost"}:
        return f"{name}: {'less than' if how == 'fewer than' else how} {_amount(condition)}"
    if condition.kind in {"consecutive", "requests"}:
        return f"{name}: {how} {number(condition.numerator)}"
    single = condition.numerator == 1 and condition.denominator in PARTS
    share = f"one in {PARTS[condition.denominator]}" if single else f"{100 * condition.share:.4g} %"
    if condition.limit_ms is None:
        return f"{name}: {how} {share}"
    limit = (
        f"{time_words(condition.limit_ms)} or more"
        if condition.count_at_limit
        else f"over {time_words(condition.limit_ms)}"
    )
    plain = condition.strict and not condition.negated
    return f"{name}: {share} {limit}" if plain else f"{name}: {how} {share} {limit}"


def period(milliseconds: int) -> str:
    """Return a duration in words: ``"a minute"``, ``"90 seconds"``, ``"five minutes"``."""
    name, unit = next((name, unit) for name, unit in PERIODS.items() if not milliseconds % unit)
    count = milliseconds // unit if milliseconds else 0
    if count == 1:
        return f"an {name}" if name == "hour" else f"a {name}"
    return f"{number(count)} {name}s"


def _measure(condition: Condition) -> str:
    return {"mean": "an answer takes on average", "cost": "a request costs on average"}.get(
        condition.kind, f"{condition.name} is"
    )


def _amount(condition: Condition) -> str:
    if condition.kind == "mean":
        return time_words(condition.numerator)
    if condition.kind == "cost":
        return f"{condition.numerator / LEAST_DOLLARS:.10g} USD"
    return f"{condition.share:.10g}"


def time_words(milliseconds: int) -> str:
    """Return a short time in seconds or milliseconds: ``"3.5 s"``, ``"800 ms"``."""
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds} ms"


def number(count: int) -> str:
    """Return a count in words up to twelve: ``"five"``, ``"1,024"``."""
    return NUMBERS[count] if count < len(NUMBERS) else f"{count:,}"
