"""The first rise of overrides: against the binomial worked out term by term, and on reviews written by hand."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from written import START, Call, Request, frames, write

from incident_kit.incident import Incident
from incident_kit.overrides import _critical, first_rise


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 40, 300])
@pytest.mark.parametrize("p", [0.001, 0.05, 0.1, 0.5, 0.93])
def test_the_critical_count(n: int, p: float) -> None:
    terms = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    least = next(k for k in range(n + 2) if math.fsum(terms[k:]) < 0.01)
    assert _critical(n, p, 0.01) == least


def reviewed(folder: Path, *, intent: str = "chat", only_overrides: bool = False, impact: bool = True) -> Incident:
    """Two hours, a review a minute after each request, one a minute; one in ten overridden, from minute 60 on every second."""
    requests = []
    for minute in range(120):
        over = minute % 2 == 0 if minute >= 60 else minute % 10 == 0
        requests.append(Request(f"r{minute:03}", 60_000 * minute, [Call("big", 500)], intent=intent, overridden=over))
    requests += [Request(f"x{i:03}", 60_000 * i + 1, [Call("big", 500)], intent="other") for i in range(120)]
    tables = frames(requests)
    if only_overrides:
        tables["feedback"] = tables["feedback"].filter(tables["feedback"]["overridden"])
    incident = Incident.create()
    incident.load(write(folder, tables))
    if impact:
        incident.annotate("impact", at(60), at(120))
    return incident


def test_by_hand(tmp_path: Path) -> None:
    """Healthy: sixty reviews, at minutes 1 to 59 and, once it is over, at 120; six of them, at 1, 11, ... 51, are overridden.

    Of the thirty reviews in a window nine must be: that of minute 51, and one every second minute from 61 on; the eighth of
    these is at minute 75.
    """
    found = first_rise(reviewed(tmp_path))
    assert found.baseline == pytest.approx(6.5 / 61)
    assert _critical(30, 6.5 / 61, 0.01) == 9
    assert (found.at, found.overridden, found.reviewed) == (at(75), 9, 30)


def test_of_the_intents_that_are_asked_for(tmp_path: Path) -> None:
    incident = reviewed(tmp_path)
    assert first_rise(incident, matches=lambda intent: intent == "chat").at == at(75)
    other = first_rise(incident, matches=lambda intent: intent == "other")
    assert (other.at, other.baseline, other.why) == (None, None, "no override of these requests is logged")


def test_a_shorter_window_and_another_chance(tmp_path: Path) -> None:
    incident = reviewed(tmp_path)
    late = first_rise(incident, chance=1e-4).at
    early = first_rise(incident, chance=0.2).at
    assert early is not None
    assert late is not None
    assert early < at(75) < late
    assert first_rise(incident, window=timedelta(minutes=2), chance=1e-9).at is None


def test_where_only_overrides_are_logged(tmp_path: Path) -> None:
    """The requests stand for the reviews: one a minute, as many as before."""
    found = first_rise(reviewed(tmp_path, only_overrides=True), matches=lambda intent: intent == "chat")
    assert found.baseline == pytest.approx(6.5 / 61)
    assert (found.at, found.reviewed) == (at(75), 30)


def test_without_an_impact_the_baseline_is_the_whole(tmp_path: Path) -> None:
    found = first_rise(reviewed(tmp_path, impact=False))
    assert found.baseline == pytest.approx(36.5 / 121)
    assert (found.at, found.why) == (None, "it never rose over its baseline"), (
        "15 of 30 are not rare where 36 of 120 are"
    )


def test_without_a_baseline(tmp_path: Path) -> None:
    incident = reviewed(tmp_path)
    incident.annotate("impact", at(5), at(120))
    found = first_rise(incident)
    assert (found.at, found.baseline) == (None, None)
    assert "only 5 reviews outside the impact" in found.why


def test_no_feedback() -> None:
    assert first_rise(Incident.create()).why == "no override of these requests is logged"
