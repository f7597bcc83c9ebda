"""Firings: when each alert of a policy would have fired and cleared, how often it flapped, and how early it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit.alerting.signs import Signs, signs
from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidPolicy
from incident_kit.healthy import is_healthy
from incident_kit.policies.policy import Policy
from incident_kit.policies.signalwords import cause
from incident_kit.scoring.replays import Replay, replay
from incident_kit.words import clock, label, lasting, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.routes import Alert

MARKS = ("impact", "felt", "detected", "mitigated")
_INSTANT = pl.Datetime("us", "UTC")
_LENGTH = pl.Duration("us")
_FIRINGS: dict[str, Any] = {
    "policy": pl.String, "alert": pl.String, "severity": pl.String, "fired_at": _INSTANT, "cleared_at": _INSTANT,
    "lasted": _LENGTH, "flap": pl.Boolean, "in_impact": pl.Boolean, "metric": pl.String, "value": pl.Float64,
    "n": pl.Int64, "threshold": pl.Float64, "state_exact": pl.Boolean,
}  # fmt: skip
_SUMMARY: dict[str, Any] = {
    "policy": pl.String, "alert": pl.String, "severity": pl.String, "firings": pl.Int64, "flaps": pl.Int64,
    "false_alarms": pl.Int64, "first_fired_at": _INSTANT, "already_firing": pl.Boolean, "after_impact": _LENGTH,
    "before_felt": _LENGTH, "before_detected": _LENGTH, "before_mitigated": _LENGTH, "first_sign": pl.String,
    "first_sign_at": _INSTANT, "before_first_sign": _LENGTH, "sentence": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Alerts:
    """What a policy's alerts would have done: on the history as logged, or under a replay.

    ``firings`` has a row each time an alert fired; ``summary`` one an alert.
    """

    incident: Incident
    policy: Policy
    replay: Replay

    @cached_property
    def firings(self) -> pl.DataFrame:
        """One row a firing, in order of time.

        Columns: policy (``as logged`` or what was replayed), alert, severity, fired_at, cleared_at and lasted (NULL: it fired
        to the log's end), flap (it fired again within its own window after it had cleared), in_impact (it fired in an
        impact), metric, value, n and threshold of what fired it, state_exact.
        """
        severity = {one.name: one.severity for one in self.policy.alerts}
        width = {one.name: _widest(one) for one in self.policy.alerts}
        rows: list[dict[str, Any]] = []
        open_: dict[str, dict[str, Any]] = {}
        for change in self.replay.alert_changes.sort("at", maintain_order=True).iter_rows(named=True):
            name = change["alert"]
            if not change["firing"]:
                last = open_.get(name)
                if last and last["cleared_at"] is None:
                    last |= {"cleared_at": change["at"], "lasted": change["at"] - last["fired_at"]}
                continue
            last = open_.get(name)
            flap = bool(last and last["cleared_at"] and change["at"] - last["cleared_at"] <= width[name])
            open_[name] = {key: change.get(key) for key in _FIRINGS} | {
                "severity": severity[name], "fired_at": change["at"], "flap": flap
            }  # fmt: skip
            rows.append(open_[name])
        frame = pl.DataFrame([row | {"policy": self.replay.name} for row in rows], schema=_FIRINGS)
        healthy = is_healthy(self.incident, frame["fired_at"].cast(pl.Int64).to_numpy())
        return frame.with_columns(pl.Series("in_impact", ~healthy, dtype=pl.Boolean))

    @cached_property
    def signs(self) -> Signs:
        """When the help desk felt it, as logged."""
        return signs(self.incident)

    @cached_property
    def summary(self) -> pl.DataFrame:
        """One row an alert, in the order of the policy; lengths of time are positive where the alert was the earlier one.

        Columns: policy, alert, severity, firings, flaps, false_alarms (firings that began outside every impact),
        first_fired_at (its first firing in the impact, or the one that was already on when it began: already_firing),
        after_impact (how long the impact had lasted), before_felt, before_detected and before_mitigated (how long before the
        phases of these names), first_sign, first_sign_at and before_first_sign (of :attr:`signs`, the earliest), and the same
        as a sentence.
        """
        rows = [self._row(one) for one in self.policy.alerts]
        return pl.DataFrame(rows, schema=_SUMMARY)

    def _row(self, alert: Alert) -> dict[str, Any]:
        mine = self.firings.filter(pl.col("alert") == alert.name).rows(named=True)
        marks = _marks(self.incident)
        first, already = _first(mine, marks.get("impact"))
        at = first["fired_at"] if first else None
        row: dict[str, Any] = {
            "policy": self.replay.name, "alert": alert.name, "severity": alert.severity, "firings": len(mine),
            "flaps": sum(one["flap"] for one in mine), "false_alarms": sum(not one["in_impact"] for one in mine),
            "first_fired_at": at, "already_firing": already,
        }  # fmt: skip
        row["after_impact"] = at - marks["impact"] if at and "impact" in marks else None
        for mark in MARKS[1:]:
            row[f"before_{mark}"] = marks[mark] - at if at and mark in marks else None
        sign = self.signs.earliest
        if sign is not None:
            row |= {"first_sign": sign["sign"], "first_sign_at": sign["at"]}
            row["before_first_sign"] = sign["at"] - at if at else None
        felt = self.signs.called(sign) if sign is not None else ""
        return row | {"sentence": _sentence(row, first, felt, ZoneInfo(self.incident.zone))}

    def __str__(self) -> str:
        return "\n".join(self.summary["sentence"]) or f"{label(self.policy.name)} has no alerts."


def alerts(source: Incident | Replay, policy: Policy | None = None) -> Alerts:
    """Return what alerts would have done: a policy's on an incident as it was logged, or those of a replay under its policy.

    Raises
    ------
    InvalidPolicy
        An incident is given without a policy, or a replay of another policy.
    UnansweredQuestion
        An alert's condition needs what the loaded logs do not hold: it must never read as healthy.
    """
    if isinstance(source, Replay):
        if policy is not None and policy != source.policy:
            raise InvalidPolicy("a replay has its own policy's alerts: replay the other policy, or pass the incident")
        if source.incident is None:
            raise InvalidPolicy("this replay is of a bare log: replay(incident, policy) knows the phases, too")
        return Alerts(source.incident, source.policy, source)
    if policy is None:
        raise InvalidPolicy("name the policy whose alerts are meant: alerts(incident, policy)")
    watching = replace(policy, name="as logged", routes=(), implied=(), warnings=(), text=None)
    return Alerts(source, policy, replay(source, watching))


def _widest(alert: Alert) -> timedelta:
    """Return the longest window of an alert; of one that counts requests, how often it is evaluated."""
    lengths = [window.length for window in alert.windows if window.kind != "count"]
    return timedelta(milliseconds=max([*lengths, alert.every_ms]))


def _marks(incident: Incident) -> dict[str, datetime]:
    """Return when the first impact began, and the first of the other phases from then on."""
    phases = incident.phases
    begin = next((phase.at for phase in phases if phase.kind == "impact"), None)
    found = {"impact": begin} if begin else {}
    for mark in MARKS[1:]:
        at = next((phase.at for phase in phases if phase.kind == mark and (begin is None or phase.at >= begin)), None)
        if at is not None:
            found[mark] = at
    return found


def _first(firings: list[dict[str, Any]], impact: datetime | None) -> tuple[dict[str, Any] | None, bool]:
    """Return the firing that an impact is known by, and whether it was on before the impact began."""
    if impact is None:
        return (firings[0] if firings else None), False
    on = next(
        (f for f in firings if f["fired_at"] < impact and (not f["cleared_at"] or f["cleared_at"] > impact)), None
    )
    if on is not None:
        return on, True
    return next((one for one in firings if one["in_impact"]), None), False


def _sentence(row: dict[str, Any], first: dict[str, Any] | None, felt: str, zone: ZoneInfo) -> str:
    who = f"Alert {label(row['alert'])} ({label(row['severity'])}), {label(row['policy'])}"
    quiet = f"; {number(row['false_alarms'])} of its {number(row['firings'])} firings began outside the impact"
    quiet = quiet if row["false_alarms"] else ""
    if first is None:
        return f"{who}: it does not fire{' in the impact' if row['firings'] else ''}{quiet}."
    seen = (first[key] for key in ("metric", "value", "n", "threshold"))
    why = cause(*seen, things="requests") if first["metric"] else "its rule held"
    said = [f"{who}: it fires at {clock(first['fired_at'], zone=zone)} ({why})"]
    if row["already_firing"]:
        said.append("before the impact began")
    elif row["after_impact"] is not None:
        said.append(f"{lasting(row['after_impact'])} into the impact")
    if felt and row["before_first_sign"] is not None:
        said.append(f"{ahead(row['before_first_sign'], f'the help desk first felt it ({felt})')}")
    names = {"felt": "the first complaint", "detected": "it was detected", "mitigated": "it was mitigated"}
    said += [
        ahead(row[f"before_{mark}"], name)
        for mark, name in names.items()
        if row[f"before_{mark}"] is not None and mark != row.get("first_sign")
    ]
    flaps = {0: "", 1: "; it flaps once"}.get(row["flaps"], f"; it flaps {number(row['flaps'])} times")
    return f"{', '.join(said)}{flaps}{quiet}."


def ahead(span: timedelta, what: str) -> str:
    """Return how long before or after something it was."""
    return f"{lasting(abs(span))} {'before' if span >= timedelta(0) else 'after'} {what}"
