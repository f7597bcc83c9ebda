"""Handovers: an incident that went to another process and back replays the same, whatever it was opened from."""

from __future__ import annotations

from pathlib import Path

import pytest
from written import START, Call, Request, fill

import incident_kit as ik
from incident_kit.handover import Handover, fingerprint
from incident_kit.incident import Incident
from incident_kit.store import Store

POLICY = ik.Policy.parse("routes: [{intent: chat, primary: {big: 70, small: 30}, fallback: human, max_p95_ms: 600}]")


def made(latency_ms: int = 500) -> Incident:
    requests = [Request(f"r{i:02}", 1000 * i, [Call("small" if i % 3 else "big", latency_ms + i)]) for i in range(40)]
    found = Incident(fill(Store(), requests))
    found.prices, found.slow_ms, found.zone, found.in_force = {"big": (1.0, 2.0)}, 1234, "Europe/Berlin", POLICY
    found.annotate("impact", START)
    found.answers = {}
    return found


@pytest.mark.parametrize("from_pack", [False, True])
def test_it_is_the_same_incident(tmp_path: Path, *, from_pack: bool) -> None:
    """Of a pack too, whose requests' ids are not those that its draws are made by."""
    incident = made()
    if from_pack:
        incident = ik.Incident.open(ik.pack(incident, tmp_path / "pack"))
        incident.answers = {}
    again = Handover.of(incident).incident()
    assert (again.prices, again.slow_ms, again.zone, again.phases) == (
        incident.prices, incident.slow_ms, incident.zone, incident.phases
    )  # fmt: skip
    assert again.in_force == incident.in_force
    assert fingerprint(again) == fingerprint(incident)
    assert ik.replay(again, POLICY).decisions.equals(ik.replay(incident, POLICY).decisions)


def test_a_fingerprint_is_of_all_that_scores_rest_on() -> None:
    first = fingerprint(made())
    assert fingerprint(made()) == first
    assert fingerprint(made(501)) != first
    slower, dearer, later = made(), made(), made()
    slower.slow_ms, dearer.prices = 1000, {}
    later.annotate("impact", START.replace(minute=1))
    later.answers = {}
    assert len({first, *map(fingerprint, (slower, dearer, later))}) == 4
