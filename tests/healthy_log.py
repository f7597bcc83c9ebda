"""A healthy log for rehearsals: two days of ninety minutes, two kinds of question, tools, reviews, tickets; nothing is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from written import Call, Request, write

from incident_kit.gamedays.exercise import GameDay
from incident_kit.gamedays.rehearsals import gameday
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy

MINUTES, EACH_MS = 90, 5000  # a request every five seconds
DAY_MS = 86_400_000

WATCHED = Policy.parse(
    """
name: watched
owner: platform
routes:
- intent: refund
  owner: support
  primary: big
  fallback: small
  max_p95_ms: 1500
  breaker: {window: 3m, min_requests: 10, cooldown: 1m}
- {intent: "*", primary: big, fallback: small}
alerts:
- {name: slow-refunds, intent: refund, window: 3m, min_requests: 10, when: p95_ms > 1200}
- {name: redone, intent: refund, window: 5m, min_requests: 20, when: override_rate > 0.3, severity: ticket}
"""
)
BARE = Policy.parse("routes: [{intent: '*', primary: big, fallback: small}]", name="bare")


def requests(days: int = 2) -> list[Request]:
    """Return requests every five seconds from noon on; each tenth is answered by the small model."""
    made = []
    for day in range(days):
        for i in range(MINUTES * 60_000 // EACH_MS):
            target = "small" if i % 10 == 9 else "big"
            calls = [
                Call(target, 300 + 37 * (i % 11), tool_calls=1, tool_errors=int(i % 50 == 7), completion_tokens=90)
            ]
            made.append(
                Request(
                    f"d{day}-{i:04}", day * DAY_MS + i * EACH_MS, calls, "refund" if i % 2 else "chat",
                    overridden=i % 12 == 5, tools_offered=1, complete=True,
                )
            )  # fmt: skip
    return made


def healthy(folder: Path, *, days: int = 2) -> Incident:
    """Return the log as an incident, loaded; its zone is two hours from UTC in summer, one in winter."""
    incident = Incident.create()
    incident.load(write(folder, requests(days)))
    incident.title, incident.zone = "Two days", "Europe/Berlin"
    incident.contacts = {"page": "the on-call phone", "support": "support lead"}
    incident.policies = (WATCHED, BARE)
    return incident


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    return healthy(tmp_path_factory.mktemp("healthy"))


def played(incident: Incident, degradations: Any, **how: Any) -> GameDay:
    """Return a game day on the second day's thirteenth hour."""
    chosen: dict[str, Any] = {"day": "2026-01-06", "at": "13:40", "lasting": "20m", "draws": 0} | how
    return gameday(incident, degradations, **chosen)


@pytest.fixture(scope="module")
def slow(incident: Incident) -> GameDay:
    return played(incident, "slow-ramp")


@pytest.fixture(scope="module")
def redone(incident: Incident) -> GameDay:
    return played(incident, "quality-drop")
