"""The condition language: every condition is a count, so a window is two counters and no sketch (S11)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from incident_kit.durations import LONGEST_MS, parse_duration
from incident_kit.errors import InvalidPolicy, did_you_mean

METRICS = ("p95_ms", "slow_rate(3500ms)", "error_rate")
LATER_METRICS = (
    "mean_ms",
    "timeout_rate",
    "rate_429",
    "consecutive_errors",
    "tool_success_rate",
    "override_rate",
    "escalation_rate",
    "reopen_rate",
    "sla_breach_rate",
    "fallback_rate",
    "requests",
    "cost_per_request",
)
NOT_IN_VERSION_1 = {
    "relative thresholds": re.compile(r"\bbaseline\b|\d\s*x\b", re.IGNORECASE),
    "rate and budget limits": re.compile(r"\b(budget|rpm|tpm|rps|spend|rate_limit\w*)\b", re.IGNORECASE),
    "header triggers": re.compile(r"\bheaders?\b", re.IGNORECASE),
    "peer-outlier rules": re.compile(r"\b(outliers?|peers?|stdev)\b", re.IGNORECASE),
}

_CONDITION = re.compile(r"\s*(?P<metric>[^<>=!]+?)\s*(?P<sign>>=|<=|==|!=|>|<|=)\s*(?P<value>.+?)\s*")
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,4})?)_ms", re.ASCII)
_SLOW = re.compile(r"slow_rate\s*\(\s*(.*?)\s*\)")
_SHARE = re.compile(r"(\d{0,4}(?:\.\d{1,6})?)\s*(%)|(\d{0,4}(?:\.\d{1,8})?)", re.ASCII)


def later(what: str) -> InvalidPolicy:
    """Return the error for a part of the language that is specified but not replayed yet."""
    return InvalidPolicy(f"{what} is part of the policy language, but this release does not replay it yet")


def not_in_version_1(what: str) -> InvalidPolicy:
    """Return the error for what the first version of the language leaves out on purpose."""
    return InvalidPolicy(f"{what}: not in version 1 of the policy language")

Kind = Literal[
    "latency", "ttft", "mean", "error", "timeout", "429", "consecutive", "tools", "override", "escalation", "reopen", "sla",
    "fallback", "requests", "cost", "signal", "alert",
]  # fmt: skip


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
        1); ``alert``: no counters, true while the alert `name` fires.
    name
        Of the signal or alert.
    numerator, denominator
        The share that k / n is compared with, in lowest terms: ``p95_ms > T`` counts answers over T against 1 / 20.
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
        metric, sign, value = _split(text)
        if quantile := _QUANTILE.fullmatch(metric):
            return _quantile(Decimal(quantile[1]), sign, value)
        strict = sign in {">", "<="}
        negated = sign in {"<", "<="}
        share = _share(value, sign, metric)
        limit_ms = None
        if slow := _SLOW.fullmatch(metric):
            limit_ms = parse_duration(int(slow[1]) if slow[1].isdigit() else slow[1])
            metric = f"slow_rate({limit_ms}ms)"
        name = "error_rate" if limit_ms is None else "slow_rate"
        number = f"{Decimal(share.numerator) / Decimal(share.denominator):f}"
        kind: Kind = "error" if limit_ms is None else "latency"
        text = f"{metric} {sign} {number}"
        return cls(
            text, name, kind, limit_ms, share.numerator, share.denominator, strict, negated, count_at_limit=False
        )

    def __str__(self) -> str:
        return self.text

    @property
    def share(self) -> float:
        """The share of the window that the counter is compared with: 0.05 for ``p95_ms > 3500``."""
        return self.numerator / self.denominator

    @property
    def threshold(self) -> float:
        """The number in the text: milliseconds for a quantile, a share for a rate."""
        return float(self.text.rsplit(" ", 1)[1])

    @property
    def sign(self) -> str:
        """The comparison in the text: ``>``, ``>=``, ``<`` or ``<=``."""
        return self.text.rsplit(" ", 2)[1]

    def counts(self, latency_ms: int) -> bool:
        """Return whether one attempt of this latency is counted (for conditions on latency)."""
        limit_ms = self.limit_ms or 0
        return latency_ms >= limit_ms if self.count_at_limit else latency_ms > limit_ms

    def test(self, k: int, n: int) -> bool:
        """Return whether the condition holds for `k` counted among `n` observations, in exact integers."""
        left, right = k * self.denominator, self.numerator * n
        return (left > right if self.strict else left >= right) != self.negated

    def value_text(self, k: int, n: int) -> str:
        """Return what the counters say, for people: ``"32 of 180 over 3500 ms (17.8 %, limit 5 %)"``."""
        what = "failed" if self.kind == "error" else f"{'at or ' * self.count_at_limit}over {self.limit_ms} ms"
        seen = f"{100 * k / n:.3g} %, " if n else ""
        return f"{k} of {n} {what} ({seen}limit {100 * self.share:.4g} %)"


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
        """Return the rule of a text, a list (any of), or a mapping ``any``, ``all`` or ``at_least`` with ``of``."""
        if isinstance(value, dict):
            if set(value) == {"at_least", "of"}:
                of = _conditions(value["of"])
                at_least = value["at_least"]
                if not isinstance(at_least, int) or isinstance(at_least, bool) or not 1 <= at_least <= len(of):
                    raise InvalidPolicy(f"at_least is a whole number from 1 to {len(of)}, not {at_least!r}")
                return cls(at_least, of)
            if set(value) == {"all"}:
                of = _conditions(value["all"])
                return cls(len(of), of)
            if set(value) == {"any"}:
                return cls(1, _conditions(value["any"]))
            if set(value) == {"alert"}:
                raise later("`alert:` in a condition")
            raise InvalidPolicy(
                "a condition is a text (p95_ms > 3500), a list of them (any), or {any: [...]}, {all: [...]}, "
                f"{{at_least: 2, of: [...]}}; this one has {', '.join(map(repr, value)) or 'nothing'}"
            )
        return cls(1, _conditions(value if isinstance(value, list) else [value]))

    def __str__(self) -> str:
        if len(self.of) == 1:
            return self.of[0].text
        word = {1: "any", len(self.of): "all"}.get(self.at_least, f"at least {self.at_least}")
        return f"{word} of [{', '.join(condition.text for condition in self.of)}]"

    def tree(self) -> Any:
        """Return the shortest form that `parse` reads back."""
        texts = [condition.text for condition in self.of]
        if len(texts) == 1:
            return texts[0]
        if self.at_least in {1, len(texts)}:
            return {"any" if self.at_least == 1 else "all": texts}
        return {"at_least": self.at_least, "of": texts}

    def evaluate(self, values: Sequence[bool | None]) -> bool | None:
        """Return true, false, or None where the known conditions do not decide."""
        true = sum(value is True for value in values)
        unknown = sum(value is None for value in values)
        if true >= self.at_least:
            return True
        return False if true + unknown < self.at_least else None


def _conditions(items: Any) -> tuple[Condition, ...]:
    if not isinstance(items, list) or not items:
        raise InvalidPolicy("a group of conditions is a list with at least one condition in it")
    for item in items:
        if isinstance(item, dict) and set(item) == {"alert"}:
            raise later("`alert:` in a condition")
        if isinstance(item, dict | list):
            raise later("a group of conditions inside another group")
    conditions = tuple(Condition.parse(item) for item in items)
    if twice := next((one.text for i, one in enumerate(conditions) if one in conditions[:i]), None):
        raise InvalidPolicy(f"the condition {twice!r} stands twice in one group")
    return conditions


def _split(text: Any) -> tuple[str, str, str]:
    """Return metric, sign and value of a condition, or say why it is none."""
    if not isinstance(text, str):
        raise InvalidPolicy(f"a condition is a text such as 'p95_ms > 3500', not {text!r}")
    for what, pattern in NOT_IN_VERSION_1.items():
        if pattern.search(text):
            raise not_in_version_1(f"{what} ({text!r})")
    if re.match(r"\s*alert\s*:", text):
        raise later("`alert:` in a condition")
    if re.search(r"\s(and|or|&&|\|\|)\s", text):
        raise InvalidPolicy(f"{text!r}: one comparison a condition; combine them with {{all: [...]}} or {{any: [...]}}")
    parts = _CONDITION.fullmatch(text)
    if parts is None:
        raise InvalidPolicy(f"{text!r} is not a condition: write metric, sign, number, as in 'p95_ms > 3500'")
    metric, sign, value = parts["metric"], parts["sign"], parts["value"]
    if metric in LATER_METRICS or metric.startswith("signal:") or re.fullmatch(r"p[\d.]+_ttft_ms", metric):
        raise later(f"the metric {metric!r}")
    if not (_QUANTILE.fullmatch(metric) or _SLOW.fullmatch(metric) or metric == "error_rate"):
        hint = did_you_mean(metric, (*METRICS, "p50_ms", "p90_ms", "p99_ms", "p99.9_ms", *LATER_METRICS))
        raise InvalidPolicy(
            f"{metric!r} is not a metric{hint}; this release replays pNN_ms, slow_rate(...), error_rate"
        )
    if sign in {"=", "==", "!="}:
        raise InvalidPolicy(f"{text!r}: conditions compare with >, >=, < or <=, not {sign}")
    return metric, sign, value


def _quantile(percent: Decimal, sign: str, value: str) -> Condition:
    name = f"p{percent.normalize():f}_ms"
    if not percent:
        raise InvalidPolicy(f"{name} is not a quantile: NN in pNN_ms lies between 0 and 100")
    if not re.fullmatch(r"\d{1,12}", value, re.ASCII) or int(value) > LONGEST_MS:
        raise InvalidPolicy(f"{name} is compared with whole milliseconds, as in '{name} > 3500', not {value!r}")
    over = Fraction(100 - percent) / 100
    negated = sign in {"<", "<="}
    return Condition(
        text=f"{name} {sign} {int(value)}",
        metric=name,
        kind="latency",
        limit_ms=int(value),
        numerator=over.numerator,
        denominator=over.denominator,
        strict=True,
        negated=negated,
        count_at_limit=sign in {">=", "<"},
    )


def _share(value: str, sign: str, metric: str) -> Fraction:
    parts = _SHARE.fullmatch(value)
    number = (parts[1] or parts[3]) if parts else None
    if parts is None or not number:
        raise InvalidPolicy(f"{metric} is compared with a share such as 0.05 or 5%, not {value!r}")
    share = Fraction(number) / (100 if parts[2] else 1)
    if share > 1:
        raise InvalidPolicy(f"{metric} is a share between 0 and 1: {value!r} is more (for percent write {value}%)")
    if (sign == ">" and share == 1) or (sign == "<" and share == 0):
        raise InvalidPolicy(f"'{metric} {sign} {value}' can never be true")
    if (sign == ">=" and share == 0) or (sign == "<=" and share == 1):
        raise InvalidPolicy(f"'{metric} {sign} {value}' is always true")
    return share
