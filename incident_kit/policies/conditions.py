"""The condition language: every condition is a count, so a window is two counters and no sketch (S11)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from incident_kit.durations import LONGEST_MS, parse_duration
from incident_kit.errors import InvalidPolicy
from incident_kit.policies.vocabulary import (
    LEAST_DOLLARS,
    QUANTILE,
    SIGNAL,
    SLOW,
    Kind,
    decimal_text,
    metric_of,
    threshold,
)

__all__ = ["Condition", "Kind", "Rule", "not_in_version_1"]

NOT_IN_VERSION_1 = {
    "relative thresholds": re.compile(r"\bbaseline\b|\d\s*x\b", re.IGNORECASE),
    "rate and budget limits": re.compile(r"\b(budget|rpm|tpm|rps|spend|rate_limit\w*)\b", re.IGNORECASE),
    "header triggers": re.compile(r"\bheaders?\b", re.IGNORECASE),
    "peer-outlier rules": re.compile(r"\b(outliers?|peers?|stdev)\b", re.IGNORECASE),
}
MOST_CONDITIONS = 64
DEEPEST_RULE = 8
LONGEST_TEXT = 240

_CONDITION = re.compile(r"\s*(?P<metric>[^<>=!]+?)\s*(?P<sign>>=|<=|==|!=|>|<|=)\s*(?P<value>.+?)\s*")
_ALERT = re.compile(r"\s*alert\s*:\s*(.*?)\s*", re.DOTALL)
_NAMES = re.compile(r"\s*signal\s*:\s*[^<>=!\s]*")


def not_in_version_1(what: str) -> InvalidPolicy:
    """Return the error for what the first version of the language leaves out on purpose."""
    return InvalidPolicy(f"{what}: not in version 1 of the policy language")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison, held as an exact test on two counters: ``k`` counted observations among ``n``.

    Parameters
    ----------
    kind
        What is counted; k is the sum of the numerators, n that of the denominators, in the window:
        ``latency``: attempts over `limit_ms` / attempts (``pNN_ms``, ``slow_rate``); ``ttft``: the same of first tokens;
        ``mean``: milliseconds / attempts; ``error``: attempts whose class is in ``errors`` / attempts; ``timeout``, ``429``;
        ``consecutive``: attempts since the last that did not fail / 1; ``tools``: successful / attempted tool calls;
        ``override``: overridden / reviewed suggestions; ``escalation``, ``reopen``, ``sla``: events / tickets touched;
        ``fallback``: requests that did not end on a primary / requests; ``requests``: requests / 1; ``cost``: billionths of
        a dollar / requests; ``signal``: millionths of the rows' numerators / millionths of their denominators (a value: of
        1); ``alert``: no counters, true while the alert `name` fires (k 1 of n 1).
    name
        Of the signal or alert.
    numerator, denominator
        The share that k / n is compared with, in lowest terms: ``p95_ms > T`` counts answers over T against 1 / 20.
        Whole milliseconds, requests and billionths of a dollar are over 1.
    strict, negated
        The test is ``k * denominator > numerator * n`` (strict) or ``>=``; negated flips the outcome.
    count_at_limit
        A latency equal to `limit_ms` is counted too.
    """

    text: str
    metric: str
    kind: Kind
    limit_ms: int | None
    numerator: int
    denominator: int
    strict: bool
    negated: bool
    count_at_limit: bool
    name: str = ""

    @classmethod
    def parse(cls, text: Any) -> Condition:
        """Return the condition that a text such as ``p95_ms > 3500`` or ``error_rate >= 5%`` states.

        Examples
        --------
        >>> Condition.parse("p95_ms > 3500").test(6, 100), Condition.parse("slow_rate(3500ms) > 5%").test(5, 100)
        (True, False)
        """
        if isinstance(text, str) and len(text) <= LONGEST_TEXT and (alert := _ALERT.fullmatch(text)):
            return cls.of_alert(alert[1])
        metric, sign, value = _split(text)
        kind, unit = metric_of(metric)
        if quantile := QUANTILE.fullmatch(metric):
            return _quantile(kind, Decimal(quantile[1]), sign, value)
        number = threshold(value, unit, sign=sign, metric=metric)
        limit_ms, name, shown = None, "", metric
        if slow := SLOW.fullmatch(metric):
            limit_ms = parse_duration(int(slow[1]) if slow[1].isdecimal() else slow[1])
            shown, metric = f"slow_rate({limit_ms}ms)", "slow_rate"
        elif signal := SIGNAL.fullmatch(metric):
            name = signal[1]
            shown = metric = f"signal:{name}"
        against = number * LEAST_DOLLARS if unit == "dollars" else number
        return cls(
            text=f"{shown} {sign} {decimal_text(number)}",
            metric=metric,
            kind=kind,
            limit_ms=limit_ms,
            numerator=against.numerator,
            denominator=against.denominator,
            strict=sign in {">", "<="},
            negated=sign in {"<", "<="},
            count_at_limit=False,
            name=name,
        )

    @classmethod
    def of_alert(cls, name: Any) -> Condition:
        """Return the condition that holds while an alert fires (S20)."""
        if not isinstance(name, str) or not name.isprintable() or not name or name != name.strip() or len(name) > 200:
            raise InvalidPolicy("`alert:` in a condition is followed by the name of an alert of this file")
        return cls(f"alert: {name}", "alert", "alert", None, 1, 1, False, False, False, name)  # noqa: FBT003 - one shape

    def __str__(self) -> str:
        return self.text

    @property
    def share(self) -> float:
        """What k / n is compared with: 0.05 for ``p95_ms > 3500``, 3500.0 for ``mean_ms > 3500``."""
        return self.numerator / self.denominator

    @property
    def threshold(self) -> float:
        """The number in the text: milliseconds, a share, dollars, a count; 1.0 for an alert."""
        return 1.0 if self.kind == "alert" else float(self.text.rsplit(" ", 1)[1])

    @property
    def sign(self) -> str:
        """The comparison in the text: ``>``, ``>=``, ``<`` or ``<=``; ``>=`` for an alert."""
        return ">=" if self.kind == "alert" else self.text.rsplit(" ", 2)[1]

    def counts(self, latency_ms: int) -> bool:
        """Return whether one attempt of this latency, or time to first token, is counted."""
        limit_ms = self.limit_ms or 0
        return latency_ms >= limit_ms if self.count_at_limit else latency_ms > limit_ms

    def test(self, k: int, n: int) -> bool:
        """Return whether the condition holds for `k` counted among `n` observations, in exact integers."""
        left, right = k * self.denominator, self.numerator * n
        return (left > right if self.strict else left >= right) != self.negated


@dataclass(frozen=True, slots=True)
class Rule:
    """At least so many of these conditions hold; unknown conditions follow Kleene's logic (S12).

    A condition in it may be another rule; `leaves` are all conditions, depth first, in the order of the text.
    """

    at_least: int
    of: tuple[Condition | Rule, ...]

    @property
    def leaves(self) -> tuple[Condition, ...]:
        """Every condition in the rule and in the rules inside it."""
        return tuple(leaf for part in self.of for leaf in (part.leaves if isinstance(part, Rule) else (part,)))

    @classmethod
    def parse(cls, value: Any) -> Rule:
        """Return the rule of a text, a list (any of), or a mapping ``any``, ``all`` or ``at_least`` with ``of``.

        Examples
        --------
        >>> str(Rule.parse({"all": ["p95_ms > 3500", ["error_rate > 0.2", {"alert": "refunds"}]]}))
        'all of [p95_ms > 3500, any of [error_rate > 0.2, alert: refunds]]'
        """
        rule = _rule(value, 0)
        if len(rule.leaves) > MOST_CONDITIONS:
            raise InvalidPolicy(f"one rule has {len(rule.leaves)} conditions; {MOST_CONDITIONS} are the most")
        return rule

    def without_alerts(self) -> Rule | None:
        """Return what is left to be judged while testing (S20): a group that must hold more than are left must hold all."""
        parts = (part.without_alerts() if isinstance(part, Rule) else part for part in self.of)
        left = tuple(
            part for part in parts if part is not None and not (isinstance(part, Condition) and part.kind == "alert")
        )
        return Rule(min(self.at_least, len(left)), left) if left else None

    def __str__(self) -> str:
        if len(self.of) == 1:
            return str(self.of[0])
        word = {1: "any", len(self.of): "all"}.get(self.at_least, f"at least {self.at_least}")
        return f"{word} of [{', '.join(map(str, self.of))}]"

    def tree(self) -> Any:
        """Return the shortest form that `parse` reads back."""
        parts = [part.tree() if isinstance(part, Rule) else _leaf_tree(part) for part in self.of]
        if len(parts) == 1:
            return parts[0]
        if self.at_least in {1, len(parts)}:
            return {"any" if self.at_least == 1 else "all": parts}
        return {"at_least": self.at_least, "of": parts}

    def evaluate(self, values: Sequence[bool | None]) -> bool | None:
        """Return true, false, or None where the known parts do not decide; a value for each of `of`."""
        true = sum(value is True for value in values)
        unknown = sum(value is None for value in values)
        if true >= self.at_least:
            return True
        return False if true + unknown < self.at_least else None


def _leaf_tree(leaf: Condition) -> Any:
    return {"alert": leaf.name} if leaf.kind == "alert" else leaf.text


def _rule(value: Any, depth: int) -> Rule:
    if depth > DEEPEST_RULE:
        raise InvalidPolicy(f"groups of conditions stand more than {DEEPEST_RULE} deep in one another")
    if not isinstance(value, dict):
        at_least, items = 1, value if isinstance(value, list) else [value]
    elif set(value) == {"at_least", "of"}:
        at_least, items = value["at_least"], value["of"]
    elif set(value) in ({"all"}, {"any"}):
        (how, items), *_ = value.items()
        at_least = len(items) if how == "all" and isinstance(items, list) else 1
    elif set(value) == {"alert"}:
        return Rule(1, (Condition.of_alert(value["alert"]),))
    else:
        raise InvalidPolicy(_shape(value))
    if not isinstance(items, list) or not items:
        raise InvalidPolicy("a group of conditions is a list with at least one condition in it")
    if not isinstance(at_least, int) or isinstance(at_least, bool) or not 1 <= at_least <= len(items):
        raise InvalidPolicy(f"at_least is a whole number from 1 to {len(items)}, not {at_least!r}")
    parts = [_rule(item, depth + 1) if isinstance(item, dict | list) else Condition.parse(item) for item in items]
    of = tuple(part.of[0] if isinstance(part, Rule) and len(part.of) == 1 else part for part in parts)
    if len(set(of)) < len(of):
        twice = next(one for i, one in enumerate(of) if one in of[:i])
        raise InvalidPolicy(f"the condition {str(twice)!r} stands twice in one group")
    return of[0] if len(of) == 1 and isinstance(of[0], Rule) else Rule(at_least, of)


def _shape(value: dict[Any, Any]) -> str:
    if set(value) == {"signal"}:
        return f"write the signal as one word, without a blank: 'signal:{value['signal']}'"
    return (
        "a condition is a text (p95_ms > 3500), a list of them (any), or {any: [...]}, {all: [...]}, "
        f"{{at_least: 2, of: [...]}}, {{alert: NAME}}; this one has {', '.join(map(repr, value)) or 'nothing'}"
    )


def _split(text: Any) -> tuple[str, str, str]:
    """Return metric, sign and value of a condition, or say why it is none."""
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        shown = repr(text) if not isinstance(text, str) else f"{len(text)} characters"
        raise InvalidPolicy(f"a condition is a text such as 'p95_ms > 3500', not {shown}")
    for what, pattern in NOT_IN_VERSION_1.items():
        if pattern.search(_NAMES.sub("", text, count=1)):
            raise not_in_version_1(f"{what} ({text!r})")
    if re.search(r"\s(and|or|&&|\|\|)\s", text):
        raise InvalidPolicy(f"{text!r}: one comparison a condition; combine them with {{all: [...]}} or {{any: [...]}}")
    parts = _CONDITION.fullmatch(text)
    if parts is None:
        raise InvalidPolicy(f"{text!r} is not a condition: write metric, sign, number, as in 'p95_ms > 3500'")
    metric, sign, value = parts["metric"], parts["sign"], parts["value"]
    metric_of(metric)
    if sign in {"=", "==", "!="}:
        raise InvalidPolicy(f"{text!r}: conditions compare with >, >=, < or <=, not {sign}")
    return metric, sign, value


def _quantile(kind: Kind, percent: Decimal, sign: str, value: str) -> Condition:
    name = f"p{percent.normalize():f}_{'ttft_' * (kind == 'ttft')}ms"
    if not percent:
        raise InvalidPolicy(f"{name} is not a quantile: NN in pNN_ms lies between 0 and 100")
    if not re.fullmatch(r"\d{1,12}", value, re.ASCII) or int(value) > LONGEST_MS:
        raise InvalidPolicy(f"{name} is compared with whole milliseconds, as in '{name} > 3500', not {value!r}")
    over = Fraction(100 - percent) / 100
    return Condition(
        text=f"{name} {sign} {int(value)}",
        metric=name,
        kind=kind,
        limit_ms=int(value),
        numerator=over.numerator,
        denominator=over.denominator,
        strict=True,
        negated=sign in {"<", "<="},
        count_at_limit=sign in {">=", "<"},
    )
