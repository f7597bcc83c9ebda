from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from incident_kit.errors import InvalidClock
from incident_kit.servicelevels.schedules import MINUTES_A_WEEK, Openings, Schedule, day_windows
from incident_kit.servicelevels.zones import zone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WEEKDAYS = day_windows({"mon-fri": "09:00-17:00"})
NEW_YORK = Schedule.of("America/New_York", WEEKDAYS)


def us(text: str) -> int:
    return (datetime.fromisoformat(text).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def openings(schedule: Schedule, first: str = "2026-01-01T00:00Z", last: str = "2026-12-31T00:00Z") -> Openings:
    return schedule.openings(datetime.fromisoformat(first), datetime.fromisoformat(last))


def minutes(schedule: Schedule, start: str, end: str) -> float:
    before, after = openings(schedule).elapsed(np.array([us(start), us(end)]))
    return float(after - before) / 60e6


def due(schedule: Schedule, start: str, after_minutes: float) -> str:
    spans = openings(schedule)
    wanted = spans.elapsed(np.array([us(start)])) + int(after_minutes * 60e6)
    return (EPOCH + timedelta(microseconds=int(spans.reached(wanted)[0]))).isoformat()


@pytest.mark.parametrize(
    ("start", "end", "want"),
    [
        ("2026-02-27T21:30Z", "2026-03-02T14:20Z", 50),  # Friday 16:30 to Monday 09:20
        ("2026-02-28T15:00Z", "2026-02-28T18:00Z", 0),  # a Saturday
        ("2026-03-06T21:00Z", "2026-03-09T13:30Z", 90),  # over the change to summer time
        ("2026-10-30T20:00Z", "2026-11-02T14:30Z", 90),  # and back
        ("2026-03-09T13:00Z", "2026-03-09T21:00Z", 480),  # a day in summer time
        ("2026-03-03T00:00Z", "2026-03-03T14:00Z", 0),
    ],
)
def test_minutes_between(start: str, end: str, want: float) -> None:
    assert minutes(NEW_YORK, start, end) == want


def test_a_day_with_a_change_has_its_hours_and_a_night_has_one_less_or_more() -> None:
    weekend = Schedule.of("America/New_York", day_windows({"sun": "09:00-17:00"}))
    assert minutes(weekend, "2026-03-08T05:00Z", "2026-03-09T04:00Z") == 480
    night = Schedule.of("America/New_York", day_windows({"sat": "22:00-06:00"}))
    assert minutes(night, "2026-03-07T00:00Z", "2026-03-09T00:00Z") == 420
    assert minutes(night, "2026-10-31T00:00Z", "2026-11-02T00:00Z") == 540
    assert minutes(night, "2026-03-14T00:00Z", "2026-03-16T00:00Z") == 480


def test_an_hour_that_is_not_there_is_not_open() -> None:
    hour = Schedule.of("America/New_York", day_windows({"sun": "02:00-03:00"}))
    assert minutes(hour, "2026-03-08T00:00Z", "2026-03-09T00:00Z") == 0
    # the hour from one to two comes twice in autumn
    twice = Schedule.of("America/New_York", day_windows({"sun": "01:00-02:00"}))
    assert minutes(twice, "2026-11-01T00:00Z", "2026-11-02T00:00Z") == 120


def test_holidays_take_away_local_dates() -> None:
    closed = Schedule.of("America/New_York", WEEKDAYS, holidays=[(date(2026, 3, 17), date(2026, 3, 17))])
    assert minutes(closed, "2026-03-16T20:30Z", "2026-03-18T13:30Z") == 60
    night = Schedule.of("Europe/Berlin", day_windows({"fri": "22:00-06:00"}), holidays=[(date(2026, 5, 2),) * 2])
    assert minutes(night, "2026-05-01T00:00Z", "2026-05-03T00:00Z") == 120, "what is left lies on Friday"
    long = Schedule.of("UTC", day_windows({"mon-fri": "09:00-17:00"}), holidays=[(date(2026, 3, 2), date(2026, 3, 6))])
    assert minutes(long, "2026-03-01T00:00Z", "2026-03-09T10:00Z") == 60


def test_split_windows_and_those_that_touch() -> None:
    split = Schedule.of("UTC", day_windows({"mon": ["09:00-12:00", "13:00-17:00", "17:00-18:00"]}))
    assert minutes(split, "2026-03-02T11:30Z", "2026-03-02T17:30Z") == 300
    assert due(split, "2026-03-02T11:30Z", 30) == "2026-03-02T12:00:00+00:00", "on the closing edge, not at the opening"
    assert due(split, "2026-03-02T11:30Z", 31) == "2026-03-02T13:01:00+00:00"


def test_always_open_is_one_span_through_the_changes() -> None:
    always = Schedule.of("America/New_York", [(0, MINUTES_A_WEEK)])
    spans = openings(always)
    assert len(spans.starts) == 1
    assert minutes(always, "2026-03-08T00:00Z", "2026-03-09T00:00Z") == 1440


def test_a_vendors_worked_example() -> None:
    """Friday 21:00 to Monday 09:30, weekdays 8 to 17: 90 minutes of 3,630."""
    schedule = Schedule.of("UTC", day_windows({"mon-fri": "08:00-17:00"}))
    assert minutes(schedule, "2026-03-06T21:00Z", "2026-03-09T09:30Z") == 90


def test_never_reached_is_the_largest_integer() -> None:
    spans = openings(NEW_YORK)
    assert spans.reached(np.array([10**18])).tolist() == [np.iinfo(np.int64).max]
    nothing = Openings(np.array([], np.int64), np.array([], np.int64))
    assert nothing.elapsed(np.array([5])).tolist() == [0]
    assert nothing.reached(np.array([5])).tolist() == [np.iinfo(np.int64).max]


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ([], "has no opening window"),
        ([(10, 10)], "from minute 10 to 10"),
        ([(10_080, 10_090)], "from minute 10080"),
        ([(-1, 5)], "from minute -1"),
        ([(0, 10_081)], "to 10081"),
    ],
)
def test_windows_are_looked_at(windows: list[tuple[int, int]], said: str) -> None:
    with pytest.raises(InvalidClock, match=said):
        Schedule.of("UTC", windows, id="s")


def test_what_is_no_schedule_is_said() -> None:
    with pytest.raises(InvalidClock, match="ends before it starts"):
        Schedule.of("UTC", [(0, 60)], holidays=[(date(2026, 3, 2), date(2026, 3, 1))])
    with pytest.raises(InvalidClock, match=r"no time zone 'Erope/Berlin' .did you mean 'Europe/Berlin'"):
        Schedule.of("Erope/Berlin", [(0, 60)])
    with pytest.raises(InvalidClock, match="names no days; write 'mon'"):
        day_windows({"someday": "09:00-17:00"})
    for hours in ("nine to five", "25:00-26:00", "-1:00-05:00"):
        with pytest.raises(InvalidClock, match="no opening hours"):
            day_windows({"mon": hours})
    with pytest.raises(InvalidClock, match="1990 to 2099"):
        openings(NEW_YORK, "1970-01-01T00:00Z")


def test_a_helpdesks_names_of_zones() -> None:
    names = {
        "Eastern Time (US & Canada)": "America/New_York", "London": "Europe/London", "Mumbai": "Asia/Kolkata",
        "Hong Kong": "Asia/Hong_Kong", "UTC": "UTC", "Europe/Paris": "Europe/Paris",
        "Buenos Aires": "America/Argentina/Buenos_Aires",
    }  # fmt: skip
    assert {name: zone(name).key for name in names} == names


ZONES = st.sampled_from(
    ["America/New_York", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca"]
)
WINDOWS = st.lists(
    st.tuples(st.integers(0, 10_079), st.integers(1, 3000)).map(lambda one: (one[0], one[0] + one[1])),
    min_size=1,
    max_size=5,
)
FROM = datetime(2026, 2, 20, tzinfo=UTC)


@settings(max_examples=40, deadline=None)
@given(ZONES, WINDOWS, st.lists(st.integers(0, 60), max_size=3))
def test_every_minute_is_open_as_its_wall_clock_says(name: str, windows: list[tuple[int, int]], off: list[int]) -> None:
    """Against the plainest reading: look at the wall clock of each minute."""
    days = [(FROM + timedelta(days=day)).date() for day in off]
    schedule = Schedule.of(name, windows, holidays=[(day, day) for day in days])
    spans = schedule.openings(FROM, FROM + timedelta(days=60))
    here = ZoneInfo(name)
    for number in range(0, 60 * 1440, 137):
        at = FROM + timedelta(minutes=number)
        wall = at.astimezone(here)
        minute = (wall.isoweekday() % 7) * 1440 + wall.hour * 60 + wall.minute
        is_open = any(start <= now < end for start, end in windows for now in (minute, minute + MINUTES_A_WEEK))
        start = (at - EPOCH) // timedelta(microseconds=1)
        seen = int(np.diff(spans.elapsed(np.array([start, start + 60_000_000])))[0])
        assert seen == (60_000_000 if is_open and wall.date() not in days else 0), at


@settings(max_examples=60, deadline=None)
@given(ZONES, WINDOWS, st.integers(0, 40 * 86_400), st.integers(1, 10 * 86_400))
def test_reached_is_the_first_instant_with_so_much_elapsed(
    name: str, windows: list[tuple[int, int]], start_s: int, more_s: int
) -> None:
    spans = Schedule.of(name, windows).openings(FROM, FROM + timedelta(days=3000))
    start = np.array([(FROM - EPOCH) // timedelta(microseconds=1) + start_s * 1_000_000])
    wanted = spans.elapsed(start) + more_s * 1_000_000
    assume(wanted[0] <= spans.elapsed(np.array([spans.ends[-1]]))[0])  # of a minute a week even years may not hold it
    reached = spans.reached(wanted)
    assert (spans.elapsed(reached) == wanted).all()
    assert (spans.elapsed(reached - 1) < wanted).all()
    assert (reached >= start + more_s * 1_000_000).all(), "business time is never more than the calendar's"
