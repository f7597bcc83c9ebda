"""Rehearsed: when each route of a policy was last rehearsed on a log, kept in ``rehearsals.json`` beside a case's incident.yaml.

A route counts as rehearsed as it was: one whose rules changed since has not been. Notes are no rules.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from incident_kit.errors import InvalidCase
from incident_kit.outfiles.outputs import write_whole
from incident_kit.policies.policywriter import alert_form, route_form
from incident_kit.policies.routes import Notes

if TYPE_CHECKING:
    from incident_kit.gamedays.exercise import GameDay
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.routes import Route

FILE = "rehearsals.json"
_NO_NOTES: dict[str, Any] = dict.fromkeys(one.name for one in fields(Notes))


def record(days: Iterable[GameDay], folder: str | Path, *, on: date) -> Path:
    """Return the record of a case, with some game days entered under the day ``on`` which they were rehearsed.

    Entered are the name of the degradation, the policy's, its first page and switch in seconds, gaps, and of each route that a
    degradation hits what identifies its rules. No id, no text of the log's requests. The same one twice is one entry.

    Raises
    ------
    InvalidCase
        The record that is there cannot be read.
    """
    path = Path(folder) / FILE
    entries = _read(path)
    for day in days:
        found = {row["policy"]: row for row in day.detection.iter_rows(named=True)}
        for policy in day.policies:
            routes = _hit(day, policy)
            row = found[policy.name]
            entry = {
                "on": on.isoformat(), "degradation": day.name, "log": f"{day.span[0]:%Y-%m-%d}", "policy": policy.name,
                "page_s": _seconds(row["page_after"]), "switch_s": _seconds(row["switch_after"]), "gaps": row["gaps"],
                "routes": sorted(fingerprint(route, policy) for route in routes),
            }  # fmt: skip
            if entry not in entries:
                entries.append(entry)
    return write_whole(path, json.dumps(entries, indent=1, ensure_ascii=True) + "\n")


def _hit(day: GameDay, policy: Policy) -> list[Route]:
    """Return the routes of a policy that a degradation concerns: some intent of theirs, and a target of their chain."""
    taken = [
        (part.target, route)
        for part in day.parts
        for intent in (*day.healthy.log.intents, None)
        if part.share_of(intent) > 0 and (route := policy.route_of(intent)) is not None
    ]
    hit = [route for target, route in taken if target in {entry.model for entry in route.chain}]
    return [route for route in policy.routes if any(route is one for one in hit)]


def last_rehearsed(policy: Policy, folder: str | Path) -> Policy:
    """Return the policy with ``rehearsed`` of each route as the record of a folder has it, where that is the later day.

    Without a record it is the policy itself.

    Raises
    ------
    InvalidCase
        The record cannot be read.
    """
    entries = _read(Path(folder) / FILE)
    latest: dict[str, date] = {}
    for entry in entries:
        for route in entry["routes"]:
            day = date.fromisoformat(entry["on"])
            latest[route] = max(day, latest.get(route, day))
    routes = []
    for route in policy.routes:
        said = [day for day in (route.rehearsed, latest.get(fingerprint(route, policy))) if day is not None]
        routes.append(replace(route, rehearsed=max(said)) if said else route)
    return replace(policy, routes=tuple(routes))


def beside(policy: str | Path) -> Path | None:
    """Return the folder whose record a policy file belongs to: its own, or the one above (``CASE/policies``); None: no record."""
    folder = Path(policy).resolve().parent
    return next((one for one in (folder, folder.parent) if (one / FILE).is_file()), None)


def fingerprint(route: Route, policy: Policy) -> str:
    """Return what identifies a route's rules, and the alerts that its intents have."""
    asked = [alert for alert in policy.alerts if any(alert.matches(intent) for intent in route.intent)]
    said = [route_form(replace(route, **_NO_NOTES)), *map(alert_form, asked)]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _seconds(span: Any) -> int | None:
    return None if span is None else round(span.total_seconds())


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        usable = all(date.fromisoformat(entry["on"]) and isinstance(entry["routes"], list) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError):
        usable = False
    if not usable:
        raise InvalidCase(f"{path} is no record of rehearsals (a list, each with `on` and `routes`): remove it")
    return entries
