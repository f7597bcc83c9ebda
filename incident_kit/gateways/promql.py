"""Conditions of the policy language as PromQL: one expression a condition, a guard for its samples, groups spelled out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import comb

from incident_kit.durations import show_duration
from incident_kit.policies.conditions import Condition, Rule

METRICS: dict[str, str] = {
    "latency": "litellm_request_total_latency_metric",
    "ttft": "litellm_llm_api_time_to_first_token_metric",
    "requests": "litellm_proxy_total_requests_metric_total",
    "failures": "litellm_proxy_failed_requests_metric_total",
    "fallbacks": "litellm_deployment_successful_fallbacks_total",
    "cost": "litellm_spend_metric_total",
    "tool_calls": "support_tool_calls_total",
    "tool_successes": "support_tool_calls_successful_total",
    "reviews": "support_suggestions_reviewed_total",
    "overrides": "support_suggestions_overridden_total",
    "tickets": "support_tickets_touched_total",
    "escalations": "support_tickets_escalated_total",
    "reopens": "support_tickets_reopened_total",
    "sla_breaches": "support_sla_breaches_total",
    "signal_numerator": "support_signal_numerator_total",
    "signal_denominator": "support_signal_denominator_total",
    "intent_label": "metadata_intent",
    "status_label": "exception_status",
    "signal_label": "signal",
    "timeout_status": "408",
    "buckets_s": "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2 5 10 30 60 120 300 420 600",
}
SPELLED_OUT = 20  # more ways than these are counted instead
FAILURES = "LiteLLM's histograms hold the requests that were answered; here a request that failed has a wait too"
PARTS = {
    "tools": ("tool_successes", "tool_calls"),
    "override": ("overrides", "reviews"),
    "escalation": ("escalations", "tickets"),
    "reopen": ("reopens", "tickets"),
    "sla": ("sla_breaches", "tickets"),
    "fallback": ("fallbacks", "requests"),
    "cost": ("cost", "requests"),
}


@dataclass(slots=True)
class Writer:
    """Writes the conditions of one alert over one window; `notes` says in what they differ, `lost` what cannot be said."""

    names: Mapping[str, str]
    selector: str
    window: str
    min_requests: int
    errors: tuple[str, ...]
    no_data: str
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def rule(self, rule: Rule) -> str | None:
        """Return a group of conditions, or None if too few of them can be said."""
        parts = [self.rule(part) if isinstance(part, Rule) else self.condition(part) for part in rule.of]
        said = [part for part in parts if part is not None]
        if rule.at_least > len(said):
            return None
        ways = comb(len(said), rule.at_least)
        if len(said) == 1:
            return said[0]
        if ways > SPELLED_OUT:
            counted = " + ".join(f"(count({part}) or vector(0))" for part in said)
            return f"({counted}) >= {rule.at_least}"
        joined = [" and ".join(f"({part})" for part in some) for some in itertools.combinations(said, rule.at_least)]
        if len(joined) == 1:
            return joined[0]
        return "\nor ".join(f"({way})" if rule.at_least > 1 else way for way in joined)

    def condition(self, condition: Condition) -> str | None:
        """Return one condition with the guard of its samples, or None if PromQL has no way to say it."""
        found = self._compared(condition)
        if found is None:
            self.lost.append(condition.text)
            return None
        comparison, samples = found
        if samples is None or (self.min_requests <= 1 and self.no_data != "breach"):
            return comparison
        guarded = f"{comparison} and {samples} >= {self.min_requests}"
        if self.no_data == "breach":
            return f"({guarded}) or {samples} < {self.min_requests}"
        return guarded

    def _compared(self, condition: Condition) -> tuple[str, str | None] | None:
        """Return the comparison, and the number of samples that it rests on."""
        kind, sign = condition.kind, condition.sign
        limit = _number(condition.threshold)
        if kind in {"latency", "ttft"}:
            return self._latency(condition)
        if kind == "mean":
            name = self.names["latency"]
            self.notes.append(FAILURES)
            mean = f"{self._rate(f'{name}_sum')} / {self._rate(f'{name}_count')}"
            seconds = _number(Fraction(condition.numerator, condition.denominator * 1000))
            return f"{mean} {sign} {seconds}", self._count(f"{name}_count")
        if kind in {"error", "timeout", "429"}:
            failed = f"({self._rate(self.names['failures'], self._statuses(kind))} or vector(0))"
            return f"{failed} / {self._rate(self.names['requests'])} {sign} {limit}", self._count(
                self.names["requests"]
            )
        if kind == "requests":
            return f"{self._count(self.names['requests'])} {sign} {limit}", None
        if kind == "signal":
            where = f"{self.names['signal_label']}={quoted(condition.name)}"
            top, bottom = (self._rate(self.names[f"signal_{part}"], where) for part in ("numerator", "denominator"))
            return f"{top} / {bottom} {sign} {limit}", self._count(self.names["signal_denominator"], where)
        if kind == "alert":
            which = f'ALERTS{{alertname={quoted(condition.name)},alertstate="firing"}}'
            return f"count({which}) > 0", None
        if kind in PARTS:
            top, bottom = (self.names[part] for part in PARTS[kind])
            share = f"({self._rate(top)} or vector(0)) / {self._rate(bottom)}"
            if kind == "fallback":
                self.notes.append(
                    "fallback_rate counts successful fallbacks there, requests not ended on a primary here"
                )
            return f"{share} {sign} {limit}", self._count(bottom)
        return None

    def _latency(self, condition: Condition) -> tuple[str, str | None]:
        """Return a quantile, or the share over a bucket's bound; a share over another number is its quantile."""
        name = self.names["latency" if condition.kind == "latency" else "ttft"]
        seconds = Fraction(condition.limit_ms or 0, 1000)
        self.notes.append(FAILURES)
        bounds = {Fraction(one) for one in self.names["buckets_s"].split()}
        if condition.metric == "slow_rate" and seconds in bounds:
            le = f'le=~"{re.escape(_number(seconds)).replace(chr(92), chr(92) * 2)}(\\\\.0+)?"'
            within = f"{self._rate(f'{name}_bucket', le)} / {self._rate(f'{name}_count')}"
            return f"1 - {within} {condition.sign} {_number(condition.threshold)}", self._count(f"{name}_count")
        if seconds not in bounds:
            known = sorted(bounds)
            low = max((one for one in known if one < seconds), default=Fraction(0))
            high = min((one for one in known if one > seconds), default=None)
            top = f"{_number(high)} s" if high is not None else "infinity"
            self.notes.append(
                f"{_number(seconds)} s is no bound of a bucket: interpolated between {_number(low)} and {top}"
            )
        else:
            self.notes.append(
                "quantiles are interpolated there, one of the waits here; at a bucket's bound they decide alike"
            )
        level = 1 - Fraction(condition.numerator, condition.denominator)
        rate = f"sum by (le) (rate({name}_bucket{self._braces('')}[{self.window}]))"
        quantile = f"histogram_quantile({_number(level)}, {rate})"
        return f"{quantile} {condition.sign} {_number(seconds)}", self._count(f"{name}_count")

    def _statuses(self, kind: str) -> str:
        """Return the matcher of the statuses that count as failures."""
        label, timeout = self.names["status_label"], self.names["timeout_status"]
        if kind == "timeout":
            return f'{label}="{timeout}"'
        if kind == "429":
            return f'{label}="429"'
        listed = {"5xx": "5..", "4xx": "4..", "timeout": timeout}
        found = [listed.get(one, one) for one in self.errors if one in listed or one.isdigit()]
        if other := [one for one in self.errors if one not in listed and not one.isdigit()]:
            self.notes.append(f"{', '.join(other)} has no status of its own there")
        return f"{label}=~{quoted('|'.join(dict.fromkeys(found)) or 'none')}"

    def _rate(self, name: str, where: str = "") -> str:
        return f"sum(rate({name}{self._braces(where)}[{self.window}]))"

    def _count(self, name: str, where: str = "") -> str:
        counted = f"sum(increase({name}{self._braces(where)}[{self.window}]))"
        return f"({counted} or vector(0))" if self.no_data == "breach" else counted

    def _braces(self, where: str) -> str:
        inside = ",".join(part for part in (self.selector, where) if part)
        return f"{{{inside}}}" if inside else ""


def selector(intents: tuple[str, ...], label: str) -> str:
    """Return the matcher of some intents: a name, several, or globs; empty for all.

    Examples
    --------
    >>> selector(("refund-*", "billing"), "intent")
    'intent=~"refund-.*|billing"'
    """
    if "*" in intents:
        return ""
    if len(intents) == 1 and not set(intents[0]) & set("*?"):
        return f"{label}={quoted(intents[0])}"
    return f"{label}=~{quoted('|'.join(_pattern(one) for one in intents))}"


def _pattern(glob: str) -> str:
    special = {"*": ".*", "?": "."}
    return "".join(special.get(char) or (f"\\{char}" if char in "\\.+()[]{}^$|" else char) for char in glob)


def quoted(text: str) -> str:
    """Return a text as PromQL writes it, whatever is in it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def window_text(milliseconds: int) -> str:
    """Return a length of time as Prometheus writes it: ``5m``, ``1h30m``, ``500ms``."""
    return show_duration(milliseconds)


def _number(value: float | Fraction) -> str:
    exact = value if isinstance(value, Fraction) else Fraction(str(value))
    return f"{(Decimal(exact.numerator) / Decimal(exact.denominator)).normalize():f}"
