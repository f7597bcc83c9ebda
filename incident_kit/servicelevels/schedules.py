"""Schedules: when a clock of business hours runs, as spans of UTC, and the time between two instants on it.

The opening windows are local wall time, repeated every week, less local holidays. A zone's offset is constant between two of
its changes, so within such a stretch the windows are only shifted: an opening from 9 to 17 has 8 hours on the day of a change
too, one over that night has an hour more or less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidClock
from incident_kit.servicelevels.zones import zone as named_zone

MINUTES_A_WEEK = 10_080
EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_MINUTE, _DAY = 60_000_000, 86_400_000_000
_WEEK = 7 * _DAY
_A_SUNDAY = 3 * _DAY  # 1970-01-04, as local wall time
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Times = NDArray[np.int64]


@dataclass(frozen=True)
class Schedule:
    """Opening hours: windows in minutes from Sunday 00:00 local, holidays as inclusive local dates, an IANA zone.

    A window may go over midnight, also that of Saturday; windows may touch or overlap.
    """

    id: str
    zone: ZoneInfo
    windows: tuple[tuple[int, int], ...]
    holidays: tuple[tuple[date, date], ...] = ()

    @classmethod
    def of(
        cls,
        zone: str,
        windows: Sequence[tuple[int, int]],
        *,
        holidays: Sequence[tuple[date, date]] = (),
        id: str = "",  # noqa: A002 - what it is
    ) -> Self:
        """Return a schedule whose parts were looked at.

        Raises
        ------
        InvalidClock
            There is no such zone or no window; a window ends before it starts, starts outside the week or is longer.
        """
        if not windows:
            raise InvalidClock(
                f"schedule {id!r} has no opening window; 24 x 7 is the window from 0 to {MINUTES_A_WEEK}"
            )
        for start, end in windows:
            if not (0 <= start < MINUTES_A_WEEK and start < end <= start + MINUTES_A_WEEK):
                raise InvalidClock(
                    f"schedule {id!r} has a window from minute {start} to {end}; give minutes from Sunday 00:00 local, a start"
                    f" below {MINUTES_A_WEEK} and an end after it, at most a week later"
                )
        for first, last in holidays:
            if last < first:
                raise InvalidClock(f"schedule {id!r} has a holiday from {first} to {last}, which ends before it starts")
        return cls(id, named_zone(zone), tuple(sorted(windows)), tuple(sorted(holidays)))

    def openings(self, first: datetime, last: datetime) -> Openings:
        """Return the spans of UTC that are open between two instants (whole weeks around them), in order.

        Raises
        ------
        InvalidClock
            The span is not within the years 1990 to 2099.
        """
        if not EARLIEST <= first <= last <= LATEST:
            raise InvalidClock(f"opening hours are worked out for the years 1990 to 2099, not from {first} to {last}")
        start, end = _us(first) - 2 * _WEEK, _us(last) + 2 * _WEEK
        local = _without(self._weeks(start, end), self._holidays())
        parts = [_within(local, low, high, shift=offset) for low, high, offset in _offsets(self.zone, start, end)]
        return Openings(*_merged(*(np.concatenate(side) for side in zip(*parts, strict=True))))

    def _weeks(self, start: int, end: int) -> tuple[Times, Times]:
        weeks = np.arange((start - _A_SUNDAY) // _WEEK - 1, (end - _A_SUNDAY) // _WEEK + 2) * _WEEK + _A_SUNDAY
        opens, closes = (np.array(side, np.int64) * _MINUTE for side in zip(*self.windows, strict=True))
        return _merged((weeks[:, None] + opens).ravel(), (weeks[:, None] + closes).ravel())

    def _holidays(self) -> tuple[Times, Times]:
        days = [[(day - date(1970, 1, 1)).days * _DAY for day in one] for one in self.holidays]
        both = np.array(days, np.int64).reshape(-1, 2)
        return _merged(both[:, 0], both[:, 1] + _DAY)


@dataclass(frozen=True)
class Openings:
    """Disjoint spans ``[starts, ends)`` in microseconds UTC, in order; the clock runs inside them."""

    starts: Times
    ends: Times

    @cached_property
    def _before(self) -> Times:
        """What was open before each span, and in all of them."""
        return np.concatenate([[0], np.cumsum(self.ends - self.starts)]).astype(np.int64)

    def elapsed(self, at: Times) -> Times:
        """Return the open microseconds before each instant, counted from the first span."""
        if not len(self.starts):
            return np.zeros(len(at), np.int64)
        span = np.maximum(np.searchsorted(self.starts, at, "right") - 1, 0)
        inside = np.clip(at, self.starts[span], self.ends[span]) - self.starts[span]
        return self._before[span] + inside

    def reached(self, elapsed: Times) -> Times:
        """Return the earliest instant before which so much was open; the largest integer where that is never."""
        never = np.iinfo(np.int64).max
        if not len(self.starts):
            return np.full(len(elapsed), never)
        span = np.searchsorted(self._before[1:], elapsed, "left")
        kept = np.minimum(span, len(self.starts) - 1)
        return np.where(span < len(self.starts), self.starts[kept] + elapsed - self._before[kept], never)


def day_windows(days: Mapping[str, str | Sequence[str]]) -> tuple[tuple[int, int], ...]:
    """Return windows of opening hours as people write them.

    Raises
    ------
    InvalidClock
        A day or an hour is not written so.

    Examples
    --------
    >>> day_windows({"sat": ["09:00-12:00", "13:00-15:00"], "sun": "22:00-02:00"})
    ((1320, 1560), (9180, 9360), (9420, 9540))
    """
    found = []
    for said, hours in days.items():
        for text in [hours] if isinstance(hours, str) else hours:
            start, end = _hours(text, said)
            length = end - start if end > start else end - start + 1440
            found += [(day * 1440 + start, day * 1440 + start + length) for day in _days(said)]
    return tuple(sorted(found))


_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def _days(text: str) -> list[int]:
    ends = [part.strip().casefold()[:3] for part in text.split("-")]
    if not 1 <= len(ends) <= 2 or any(end not in _NAMES for end in ends):
        raise InvalidClock(f"{text[:40]!r} names no days; write 'mon' or 'mon-fri'")
    first, last = _NAMES.index(ends[0]), _NAMES.index(ends[-1])
    return [day % 7 for day in range(first, last + 1 + 7 * (last < first))]


def _hours(text: str, where: str) -> tuple[int, int]:
    try:
        (opens, closes) = (
            int(hour) * 60 + int(minute) for hour, minute in (part.split(":") for part in str(text).split("-"))
        )
    except ValueError:
        opens = closes = -1
    if not (0 <= opens < 1440 and 0 <= closes <= 1440):
        raise InvalidClock(f"{where}: {str(text)[:40]!r} are no opening hours; write '09:00-17:00', or '00:00-24:00'")
    return opens, closes


def _offsets(zone: ZoneInfo, start: int, end: int) -> list[tuple[int, int, int]]:
    """Return the stretches of UTC with a constant offset, as (from, until, offset), all in microseconds."""

    def offset(us: int) -> int:
        shift = (_EPOCH + timedelta(microseconds=us)).astimezone(zone).utcoffset()
        return 0 if shift is None else shift // timedelta(microseconds=1)

    found, since, now = [], start, offset(start)
    for day in range(start, end, _DAY):
        low, high = day // _MINUTE, min(day + _DAY, end) // _MINUTE
        if offset(high * _MINUTE) == now:
            continue
        while high - low > 1:  # zones change on the minute
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle * _MINUTE) == now else (low, middle)
        found.append((since, high * _MINUTE, now))
        since, now = high * _MINUTE, offset(high * _MINUTE)
    return [*found, (since, end, now)]


def _within(spans: tuple[Times, Times], low: int, high: int, *, shift: int) -> tuple[Times, Times]:
    """Return the spans of local time as UTC, cut to a stretch of UTC."""
    starts, ends = np.maximum(spans[0] - shift, low), np.minimum(spans[1] - shift, high)
    kept = starts < ends
    return starts[kept], ends[kept]


def _without(spans: tuple[Times, Times], closed: tuple[Times, Times]) -> tuple[Times, Times]:
    starts, ends = spans
    for low, high in zip(*closed, strict=True):
        starts, ends = np.concatenate([starts, np.maximum(starts, high)]), np.concatenate([np.minimum(ends, low), ends])
        kept = starts < ends
        starts, ends = starts[kept], ends[kept]
    return _merged(starts, ends)


def _merged(starts: Times, ends: Times) -> tuple[Times, Times]:
    """Return spans in order, those that touch or overlap as one."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order]) if len(ends) else ends
    first = np.concatenate([[True], starts[1:] > ends[:-1]])[: len(starts)]
    last = np.concatenate([first[1:], [True]])[: len(starts)]
    return starts[first], ends[last]


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
