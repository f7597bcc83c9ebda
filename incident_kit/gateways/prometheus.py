"""Alerts of a policy as a Prometheus rules file: groups by how often they are judged, one rule an alert."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from incident_kit.durations import show_duration
from incident_kit.errors import InvalidConfiguration, did_you_mean
from incident_kit.gateways.promql import METRICS, Writer, selector, window_text
from incident_kit.words import label

if TYPE_CHECKING:
    from incident_kit.gateways.export import Books
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.routes import Alert

ROUTING = "routing, not alerting: export to litellm"
OURS = (
    "# Rules of the policy {name}, written by incident-kit export. Metrics named litellm_* are LiteLLM's own; the label\n"
    "# {label} needs `custom_prometheus_metadata_labels: [metadata.intent]` there. Those named support_* are yours to\n"
    "# provide, or to rename with metrics=.\n"
)


def text(policy: Policy, books: Books, *, metrics: Mapping[str, str]) -> str:
    """Return the rules file as YAML; every key of the policy is booked.

    Raises
    ------
    InvalidConfiguration
        `metrics` names something that no rule reads.
    """
    for name, value in metrics.items():
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise InvalidConfiguration(f"metrics: {name!r} is not read{did_you_mean(name, METRICS)}; there are {known}")
        if not isinstance(value, str) or not value.isprintable() or not value:
            raise InvalidConfiguration(f"metrics: {name} must be a name, not {value!r}")
    names = METRICS | dict(metrics)
    groups: dict[int, list[dict[str, str]]] = {}
    for i, alert in enumerate(policy.alerts):
        rule = _rule(alert, f"alerts[{i}]", books, names)
        if rule is not None:
            groups.setdefault(alert.every_ms, []).append(rule)
    books.rest("routes", ROUTING)
    for key in ("version", "name", "owner", "reason", "decided", "review_by", "rehearsed", "note"):
        if key == "name":
            books.book(key, "exact", "groups[].name")
        else:
            books.rest(key, "says why, without effect on an alert")
    head = OURS.format(name=label(policy.name), label=names["intent_label"])
    listed = [line for every, rules in groups.items() for line in _group(label(policy.name), every, rules)]
    return head + "\n".join(["groups:" if listed else "groups: []", *listed]) + "\n"


def _group(name: str, every_ms: int, rules: list[dict[str, str]]) -> Iterator[str]:
    """Yield the lines of one group; JSON's quotes are YAML's, and an expression stands as it is, over several lines."""
    every = show_duration(every_ms)
    yield from (f"- name: {json.dumps(f'{name}, every {every}')}", f"  interval: {every}", "  rules:")
    for rule in rules:
        yield from (f"  - alert: {json.dumps(rule['alert'])}", "    expr: |-")
        yield from (f"      {line}" for line in rule["expr"].splitlines())
        yield from (f"    for: {rule['for']}", f"    keep_firing_for: {rule['keep_firing_for']}")
        yield f"    labels: {{severity: {json.dumps(rule['severity'])}}}"
        yield f"    annotations: {{summary: {json.dumps(rule['summary'])}}}"


def _rule(alert: Alert, path: str, books: Books, names: Mapping[str, str]) -> dict[str, str] | None:
    """Return one rule, or None if it cannot be said."""
    whole, notes, lost = [], [], []
    for window in alert.windows:
        if window.kind == "count":
            books.book(f"{path}.window", "dropped", "", "Prometheus has no window of a number of requests")
            books.rest(path, f"the alert was left out: its window is {window}")
            return None
        if window.kind == "tumbling":
            books.book(f"{path}.window", "approximated", "expr", "windows slide there")
        writer = Writer(
            names=names,
            selector=selector(alert.intent, names["intent_label"]),
            window=window_text(window.length),
            min_requests=alert.min_requests,
            errors=alert.errors,
            no_data=alert.no_data,
        )
        part = writer.rule(alert.when)
        notes += writer.notes
        lost += writer.lost
        if part is None:
            cannot = ", ".join(dict.fromkeys(lost))
            books.book(f"{path}.when", "dropped", "", f"PromQL over these metrics cannot say {cannot}")
            books.rest(path, "the alert was left out: its condition cannot be said")
            return None
        whole.append(part)
    expr = whole[0] if len(whole) == 1 else "\nand ".join(f"({part})" for part in whole)
    _book(alert, path, books, notes, lost)
    return {
        "alert": alert.name,
        "expr": expr,
        "for": show_duration(alert.for_ms),
        "keep_firing_for": show_duration(alert.keep_firing_ms),
        "severity": _plain(alert.severity),
        "summary": _plain(f"{alert.name}: {alert.when} over {' and '.join(map(str, alert.windows))}"),
    }


def _book(alert: Alert, path: str, books: Books, notes: list[str], lost: list[str]) -> None:
    """Book the keys of an alert that was written."""
    how = list(dict.fromkeys(notes))
    if lost:
        how.append(f"left out, because PromQL cannot say it: {', '.join(dict.fromkeys(lost))}")
    books.book(f"{path}.name", "exact", "alert")
    books.book(f"{path}.intent", "exact", "expr")
    books.book(f"{path}.when", "approximated" if how else "exact", "expr", "; ".join(how))
    if not any(window.kind == "tumbling" for window in alert.windows):
        books.book(
            f"{path}.window", "approximated", "expr", "increase and rate extrapolate to the ends of a window there"
        )
    guard = "the number of samples is extrapolated by increase there"
    books.book(f"{path}.min_requests", "approximated" if alert.min_requests > 1 else "exact", "expr", guard)
    if any(leaf.kind in {"error", "consecutive"} for leaf in alert.when.leaves):
        books.book(
            f"{path}.errors", "approximated", "expr", "by the status of the answer; a timeout is a 408 in LiteLLM"
        )
    else:
        books.book(f"{path}.errors", "exact", "", "no condition of the alert counts failures")
    held = (
        "without samples a rule has no result there: like unknown here, it restarts `for` and ends with keep_firing_for"
    )
    if alert.no_data == "breach":
        books.book(f"{path}.no_data", "exact", "expr")
    else:
        books.book(f"{path}.no_data", "exact" if alert.no_data == "hold" else "approximated", "expr", held)
    books.book(f"{path}.for", "exact", "for")
    books.book(f"{path}.keep_firing_for", "exact", "keep_firing_for")
    books.book(f"{path}.every", "exact", "interval", "up to its phase")
    books.book(f"{path}.severity", "exact", "labels.severity")


def _plain(text: str) -> str:
    """Return a text without what Prometheus would run as a template."""
    return label(text, longest=300).replace("{{", "{ {").replace("}}", "} }")
