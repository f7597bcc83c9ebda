"""What breakers did over a span, counted by hand: a primary left at 10 and 20 minutes, back at 15, for good at 40."""

from __future__ import annotations

import numpy as np
import pytest

from incident_kit.scoring.tallies import TALLIES

MINUTE = 60_000_000
CLOSED, OPEN, HALF = 0, 1, 2


def changes(*rows: tuple[int, int, int, int]) -> np.ndarray:
    """Return rows of changes: route, minute, from, to."""
    return np.array([(route, 0, at * MINUTE, was, now, 0, 0, 0, 0, 1, -2) for route, at, was, now in rows], float)


STORY = changes(
    (0, 10, CLOSED, OPEN), (0, 15, OPEN, CLOSED), (0, 20, CLOSED, OPEN), (0, 30, OPEN, HALF), (0, 40, HALF, CLOSED)
)


@pytest.mark.parametrize(
    ("name", "value"),
    [("switches", 2), ("flapping", 1), ("minutes_on_fallback", 25), ("detection_s", 300), ("failback_s", 600)],
)
def test_by_hand(name: str, value: float) -> None:
    assert TALLIES[name](STORY, (0, 60 * MINUTE), (5 * MINUTE, 30 * MINUTE)) == value


def test_only_what_lies_in_the_span_counts() -> None:
    span = (12 * MINUTE, 18 * MINUTE)
    assert TALLIES["switches"](STORY, span, None) == 0
    assert TALLIES["minutes_on_fallback"](STORY, span, None) == 3


def test_without_an_impact_there_is_no_delay() -> None:
    assert TALLIES["detection_s"](STORY, (0, MINUTE), None) is None
    assert TALLIES["failback_s"](STORY, (0, MINUTE), None) is None


def test_a_primary_that_stays_away_never_fails_back() -> None:
    assert TALLIES["failback_s"](STORY[:3], (0, 60 * MINUTE), (5 * MINUTE, 30 * MINUTE)) is None


def test_two_routes_out_at_once_are_one_time() -> None:
    both = changes((0, 10, CLOSED, OPEN), (1, 12, CLOSED, OPEN), (0, 15, OPEN, CLOSED), (1, 18, OPEN, CLOSED))
    assert TALLIES["minutes_on_fallback"](both, (0, 60 * MINUTE), None) == 8
