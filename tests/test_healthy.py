"""Healthy time: what lies outside every impact, whether these end, overlap or reach beyond the log."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from written import START, Call, Request, fill

from incident_kit.healthy import healthy_hours, impacts_us, is_healthy
from incident_kit.incident import Incident
from incident_kit.store import Store

HOUR_US = 3_600_000_000
BEGIN_US = round(START.timestamp() * 1e6)


@pytest.fixture
def day(store: Store) -> Incident:
    """A request an hour, from 12:00 to 12:00 of the next day: 24 hours."""
    return Incident(fill(store, [Request(f"r{i:02}", 3_600_000 * i, [Call("big", 100)]) for i in range(25)]))


def impact(incident: Incident, begin: float, end: float | None = None) -> None:
    until = None if end is None else START + timedelta(hours=end)
    incident.annotate("impact", START + timedelta(hours=begin), until, text=f"{begin}")


def hours_us(*hours: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([BEGIN_US + round(hour * HOUR_US) for hour in hours], np.int64)


def test_all_of_it_without_an_impact(day: Incident) -> None:
    assert (impacts_us(day), healthy_hours(day)) == ((), 24)
    assert is_healthy(day, hours_us(-1, 3)).all()


@pytest.mark.parametrize(
    ("spans", "hours"),
    [
        ([(6, 8)], 22),
        ([(6, 8), (7, 10)], 20),
        ([(6, 10), (7, 8)], 20),
        ([(-3, 2), (20, 40)], 18),
        ([(-3, 50)], 0),
        ([(30, 31)], 24),
        ([(6, None)], 6),
    ],
)
def test_hours_outside(day: Incident, spans: list[tuple[float, float | None]], hours: float) -> None:
    for begin, end in spans:
        impact(day, begin, end)
    assert healthy_hours(day) == pytest.approx(hours, abs=1e-6)


def test_an_impact_ends_with_its_recovery(day: Incident) -> None:
    impact(day, 6)
    day.annotate("recovered", START + timedelta(hours=9))
    assert healthy_hours(day) == 21


def test_its_first_instant_is_in_it_and_its_last_is_not(day: Incident) -> None:
    impact(day, 6, 8)
    assert is_healthy(day, hours_us(5.999, 6, 7.999, 8)).tolist() == [True, False, False, True]


def test_nothing_loaded_is_no_time() -> None:
    assert healthy_hours(Incident.create()) == 0
