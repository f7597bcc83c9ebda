"""Pages: who is called when an alert fires, and what changes for customers and agents without anybody being called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.policies.rulewords import rule_words
from incident_kit.scoring.metrics import metric
from incident_kit.words import label
from incident_kit.words import metric as worded

if TYPE_CHECKING:
    from incident_kit.gamedays.exercise import GameDay
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.routes import Alert
    from incident_kit.scenarios.scenario import Degradation

WATCHED = {  # what a condition's kind looks at
    **dict.fromkeys(("latency", "ttft", "mean"), "p95_ms"),
    **dict.fromkeys(("error", "timeout", "429", "consecutive"), "error_rate"),
    "tools": "tool_success_rate",
    "override": "override_rate",
}
SIGNALS = tuple(dict.fromkeys(WATCHED.values()))
VISIBLE = {"error_rate": 0.02, "tool_success_rate": -0.03, "override_rate": 0.05}  # a change of a share that is one
SLOWER = 1.5  # times as long
FEWEST = 20  # requests of an intent, to speak of a change at all
MOVED: dict[str, Any] = {
    "intent": pl.String, "metric": pl.String, "n": pl.Int64, "usual": pl.Float64, "during": pl.Float64, "changed": pl.Boolean,
}  # fmt: skip
GAPS: dict[str, Any] = {
    "policy": pl.String, "intent": pl.String, "metric": pl.String, "usual": pl.Float64, "during": pl.Float64,
    "watched_by": pl.List(pl.String), "switched": pl.Boolean, "sentence": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Pager:
    """Whom an alert calls: ``contacts`` by the name of an alert, of an owner, or of a severity."""

    contacts: Mapping[str, str]

    def who(self, policy: Policy, alert: str) -> str | None:
        """Return whom an alert of a policy calls; None where nobody is named.

        The alert's own contact, else that of the owner of the routes that it is about (or of the file), else that of its
        severity, else the owner's name.
        """
        one = policy.alert(alert)
        owner = _owner(policy, one)
        for key in (alert, owner, one.severity):
            if key and key in self.contacts:
                return self.contacts[key]
        return owner


def _owner(policy: Policy, alert: Alert) -> str | None:
    owners = {
        route.owner for route in policy.routes if route.owner and any(alert.matches(intent) for intent in route.intent)
    }
    return owners.pop() if len(owners) == 1 else policy.owner


def by_intent(incident: Incident, *, within: tuple[datetime, datetime] | None = None) -> pl.DataFrame:
    """Return the signals of a log as it is: intent, n, and a column a signal, the intent with the most requests first."""
    frame = incident.as_logged.outcomes.with_columns(pl.col("intent").cast(pl.String))
    if within is not None:
        frame = frame.filter((pl.col("at") >= within[0]) & (pl.col("at") < within[1]))
    values = [metric(name).value.cast(pl.Float64).alias(name) for name in SIGNALS]
    found = frame.group_by("intent").agg(pl.len().cast(pl.Int64).alias("n"), *values)
    return found.sort(["n", "intent"], descending=[True, False])


def moved(
    healthy: Incident, rehearsed: Incident, parts: Sequence[Degradation], span: tuple[datetime, datetime]
) -> pl.DataFrame:
    """Return what a degradation changes by intent and metric if nobody acts: intent, metric, n, usual, during, changed."""
    usual, during = (by_intent(one, within=span) for one in (healthy, rehearsed))
    both = during.join(usual, on="intent", how="left", suffix="/usual", nulls_equal=True, maintain_order="left")
    rows = []
    for row in both.iter_rows(named=True):
        hit = any(part.share_of(row["intent"]) > 0 for part in parts)
        for name in SIGNALS:
            usual, during = row[f"{name}/usual"], row[name]
            changed = hit and row["n"] >= FEWEST and _is_visible(name, usual, during)
            rows.append((row["intent"], name, row["n"], usual, during, changed))
    return pl.DataFrame(rows, schema=MOVED, orient="row")


def _is_visible(name: str, usual: float | None, during: float | None) -> bool:
    if usual is None or during is None:
        return False
    if name == "p95_ms":
        return during >= SLOWER * usual
    least = VISIBLE[name]
    return during - usual >= least if least > 0 else during - usual <= least


def gaps(day: GameDay) -> pl.DataFrame:
    """Return what changes visibly without anybody being called for the intent: one row a policy, intent and metric."""
    begin, end = day.span
    rows = []
    for policy in day.policies:
        mine = pl.col("policy") == policy.name
        fired = set(day.pages.filter(mine & ~pl.col("needless") & (pl.col("fired_at") <= end))["alert"])
        away = set(day.switches.filter(mine & (pl.col("at") >= begin) & (pl.col("to") == "on backup"))["route"])
        for row in day.moved.filter("changed").iter_rows(named=True):
            about = [alert for alert in policy.alerts if alert.matches(row["intent"])]
            if any(alert.name in fired for alert in about):
                continue
            looking = [one for one in about if row["metric"] in {WATCHED.get(leaf.kind) for leaf in one.when.leaves}]
            route = policy.route_of(row["intent"])
            switched = route is not None and route.name in away
            rows.append(
                {
                    "policy": policy.name,
                    **{name: row[name] for name in ("intent", "metric", "usual", "during")},
                    "watched_by": [alert.name for alert in looking],
                    "switched": switched,
                    "sentence": _said(row, policy, about, looking, switched=switched),
                }
            )
    return pl.DataFrame(rows, schema=GAPS)


def _said(
    row: dict[str, Any], policy: Policy, about: Sequence[Alert], looking: Sequence[Alert], *, switched: bool
) -> str:
    of = worded(row["metric"])
    title = of.title if of.title[1:2].isdigit() else of.title[:1].lower() + of.title[1:]
    what = f"{label(row['intent'])}: {title} goes from {of.shown(row['usual'])} to {of.shown(row['during'])}"
    if looking:
        one = looking[0]
        why = f"the alert {label(one.name)} looks at it, but does not fire ({rule_words(one.when, call='request')})"
    elif about:
        why = f"no alert looks at it (other signals: {', '.join(label(one.name) for one in about)})"
    else:
        why = "no alert is about this intent" if policy.alerts else "this policy has no alerts"
    moves = "; its requests go to the backup, and nobody is told" if switched else ""
    return f"{what}, and nobody is called: {why}{moves}."
