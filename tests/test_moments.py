"""Instants as somebody says them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from incident_kit.errors import NoSuchItem
from incident_kit.moments import moment

FIRST = datetime(2026, 11, 22, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("which", "hours", "found"),
    [
        ("23:30", 4, "2026-11-22T23:30:00+00:00"),
        (" 00:30 ", 4, "2026-11-23T00:30:00+00:00"),
        ("00:30:15", 4, "2026-11-23T00:30:15+00:00"),
        ("21:59", 4, "2026-11-22T21:59:00+00:00"),  # said from memory
        ("2026-11-22T23:30:00+02:00", 4, "2026-11-22T21:30:00+00:00"),
        ("2026-01-01T00:00Z", 4, "2026-01-01T00:00:00+00:00"),
    ],
)
def test_moments(which: str, hours: int, found: str) -> None:
    assert moment(which, first=FIRST, last=FIRST + timedelta(hours=hours)).isoformat() == found


def test_a_datetime_in_another_zone() -> None:
    at = datetime(2026, 11, 22, 23, tzinfo=timezone(timedelta(hours=1)))
    assert moment(at, first=FIRST, last=FIRST).isoformat() == "2026-11-22T22:00:00+00:00"


@pytest.mark.parametrize(
    ("which", "hours", "said"),
    [
        ("12:00", 4, "the log has 12:00 UTC at no time: it is from 2026-11-22T22:00Z to 2026-11-23T02:00Z"),
        ("23:30", 40, "the log has 23:30 UTC on 2 days: .* write 2026-11-22T23:30Z"),
        ("noon", 4, "'noon' is not a time"),
        ("14", 4, "'14' is not a time"),
        ("2026-11-22T23:30", 4, "has no zone; write 2026-11-22T23:30:00Z for UTC"),
    ],
)
def test_what_is_no_moment(which: str, hours: int, said: str) -> None:
    with pytest.raises(NoSuchItem, match=said):
        moment(which, first=FIRST, last=FIRST + timedelta(hours=hours))
