"""Leads: how long before the help desk felt an incident each alert fired, and each route left its primary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit.alerting.firings import Alerts, ahead, alerts
from incident_kit.alerting.signs import Signs, signs
from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidPolicy
from incident_kit.healthy import impacts_us
from incident_kit.words import clock, label

if TYPE_CHECKING:
    from incident_kit.scoring.replays import Replay

_INSTANT = pl.Datetime("us", "UTC")
_ROWS: dict[str, Any] = {
    "policy": pl.String, "kind": pl.String, "name": pl.String, "at": _INSTANT, "sign": pl.String, "sign_at": _INSTANT,
    "lead": pl.Duration("us"), "lead_of_onset": pl.Duration("us"), "headline": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True)
class Leads:
    """Alerts and switches against every sign of the help desk: ``rows``, one an event and sign.

    Columns: policy, kind (alert or switch), name (the alert's, or the route's), at (its first in the impact; NULL: never),
    sign and sign_at (NULL: none), lead (positive where the policy was the earlier one), lead_of_onset (the same against where
    the rise is likely to have begun, which nobody could see then), headline (against the earliest sign that counts: to beat
    a later one is no feat).
    """

    policy: str
    signs: Signs
    rows: pl.DataFrame

    @cached_property
    def summary(self) -> pl.DataFrame:
        """The headline of each alert and route: policy, kind, name, at, sign, sign_at, lead."""
        first = self.rows.unique(["kind", "name"], keep="first", maintain_order=True).select(
            "kind", "name", "policy", "at"
        )
        best = self.rows.filter("headline").select("kind", "name", "sign", "sign_at", "lead")
        found = first.join(best, on=["kind", "name"], how="left", maintain_order="left")
        return found.select("policy", "kind", "name", "at", "sign", "sign_at", "lead")

    def __str__(self) -> str:
        zone, sign = ZoneInfo(self.signs.incident.zone), self.signs.earliest
        felt = f"the help desk first felt it ({self.signs.called(sign)})" if sign else ""
        lines = []
        for row in self.summary.iter_rows(named=True):
            alert = row["kind"] == "alert"
            who = f"Alert {label(row['name'])}" if alert else f"Route {label(row['name'])}"
            if row["at"] is None:
                said = "never in the impact"
            else:
                said = f"{'fires' if alert else 'leaves its primary'} at {clock(row['at'], zone=zone)}"
                said += f", {ahead(row['lead'], felt)}" if sign else "; the help desk shows no sign of it"
            lines.append(f"{who}, {label(row['policy'])}: {said}.")
        return "\n".join(lines) or f"{label(self.policy)} has neither alerts nor breakers."


def lead_times(source: Replay | Alerts) -> Leads:
    """Return how early a policy's alerts and switches were: those of a replay, or the alerts of :func:`incident_kit.alerts`.

    An event is the first in the first impact, or the one that was on already when it began; without an impact, the first.

    Raises
    ------
    InvalidPolicy
        The replay is of a bare log, which has no help desk.
    """
    watched = source if isinstance(source, Alerts) else None
    one = source.replay if isinstance(source, Alerts) else source
    incident = one.incident
    if incident is None:
        raise InvalidPolicy("this replay is of a bare log: replay(incident, policy) knows the help desk, too")
    events: list[tuple[str, str, Any]] = []
    if watched is None and one.policy.alerts:
        watched = alerts(one)
    if watched is not None:
        events += [("alert", *row) for row in watched.summary.select("alert", "first_fired_at").iter_rows()]
    if not isinstance(source, Alerts):
        events += [("switch", *row) for row in _switches(one)]
    seen = watched.signs if watched is not None else signs(incident)
    best = seen.earliest
    rows = [
        {
            "policy": one.name, "kind": kind, "name": name, "at": at, "sign": sign["sign"], "sign_at": sign["at"],
            "lead": sign["at"] - at if at and sign["at"] else None,
            "lead_of_onset": sign["since"] - at if at and sign["since"] else None,
            "headline": best is not None and best["sign"] == sign["sign"],
        }
        for kind, name, at in events
        for sign in seen.rows.iter_rows(named=True)
    ]  # fmt: skip
    return Leads(one.name, seen, pl.DataFrame(rows, schema=_ROWS))


def _switches(one: Replay) -> list[tuple[str, datetime | None]]:
    """Return each guarded route with when it first left a primary in the impact, or was away as it began."""
    impacts = impacts_us(one.incident) if one.incident else ()
    begin, end = impacts[0] if impacts else (-math.inf, math.inf)
    changes = one.transitions.with_columns(pl.col("at").dt.epoch("us").alias("at_us")).filter(pl.col("at_us") < end)
    found = []
    for route in one.policy.routes:
        if route.breaker is None:
            continue
        away: dict[tuple[str, str | None], datetime] = {}
        own = changes.filter(pl.col("route") == route.name, pl.col("breaker").is_in(list(route.primaries)))
        for change in own.iter_rows(named=True):
            key = (change["breaker"], change["intent"])
            if change["to"] != "on primary":
                away.setdefault(key, change["at"])
            elif change["at_us"] < begin:
                away.pop(key, None)
        found.append((route.name, min(away.values(), default=None)))
    return found
