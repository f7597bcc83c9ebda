from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_kit.servicelevels.clocks import CALENDAR, NEVER, Runs
from incident_kit.servicelevels.schedules import Schedule, day_windows

FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
WEEKDAYS = Schedule.of("UTC", day_windows({"mon-fri": "09:00-17:00"})).openings(FIRST, LAST)
MINUTE = 60_000_000


def us(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp() * 1e6)


def runs(*spans: tuple[int, str, str, int]) -> Runs:
    clock, starts, ends, schedule = zip(*spans, strict=True)
    return Runs(
        max(clock) + 1,
        np.array(clock, np.int64),
        np.array([us(one) for one in starts]),
        np.array([us(one) for one in ends]),
        np.array(schedule, np.int64),
        openings=(WEEKDAYS,),
    )


def test_time_is_counted_on_each_runs_own_schedule() -> None:
    clocks = runs(
        (0, "2026-03-02T08:30", "2026-03-02T09:30", 0),
        (0, "2026-03-02T16:30", "2026-03-02T18:30", 0),
        (1, "2026-03-02T16:30", "2026-03-02T18:30", CALENDAR),
    )
    assert (clocks.elapsed() / MINUTE).tolist() == [60, 120]


def test_a_clock_without_runs_counts_nothing_and_reaches_nothing() -> None:
    clocks = runs((1, "2026-03-02T10:00", "2026-03-02T11:00", CALENDAR))
    assert (clocks.elapsed() / MINUTE).tolist() == [0, 60]
    assert clocks.reaches(np.array([1, MINUTE])).tolist() == [NEVER, us("2026-03-02T10:01")]


@pytest.mark.parametrize(
    ("minutes", "due"),
    [
        (0, "2026-03-02T16:00"),
        (30, "2026-03-02T16:30"),
        (60, "2026-03-02T17:00"),  # the closing edge
        (61, "2026-03-04T10:01"),  # in the second run
        (120, "2026-03-04T11:00"),
        (121, "2026-03-04T11:01"),  # were it to go on
        (120 + 360 + 1, "2026-03-05T09:01"),
    ],
)
def test_due(minutes: int, due: str) -> None:
    clocks = runs((0, "2026-03-02T16:00", "2026-03-03T08:00", 0), (0, "2026-03-04T10:00", "2026-03-04T11:00", 0))
    assert clocks.reaches(np.array([minutes * MINUTE])).tolist() == [us(due)]


def test_a_clock_that_starts_when_closed_is_not_due_before() -> None:
    clocks = runs((0, "2026-02-28T15:00", "2026-03-02T10:00", 0))
    assert clocks.reaches(np.array([0])).tolist() == [us("2026-02-28T15:00")]
    assert clocks.reaches(np.array([MINUTE])).tolist() == [us("2026-03-02T09:01")]


def test_a_stop_moves_earlier_or_later() -> None:
    clocks = runs(
        (0, "2026-03-02T16:00", "2026-03-02T16:30", CALENDAR), (0, "2026-03-02T17:00", "2026-03-02T18:00", CALENDAR)
    )
    stop = np.array([us("2026-03-02T18:00")])
    for by, want in ((0, 90), (-30, 60), (-60, 30), (-75, 30), (-100, 20), (45, 135)):
        assert (clocks.stopped(stop, stop + by * MINUTE).elapsed() / MINUTE).tolist() == [want], by
    # a pause before the stop: there is nothing that could go on
    paused = clocks.stopped(stop + 10 * MINUTE, stop + 30 * MINUTE)
    assert (paused.elapsed() / MINUTE).tolist() == [90]


def test_clocks_are_taken_in_any_order() -> None:
    clocks = runs(
        (0, "2026-03-02T10:00", "2026-03-02T11:00", CALENDAR),
        (2, "2026-03-02T10:00", "2026-03-02T10:10", CALENDAR),
        (2, "2026-03-02T11:00", "2026-03-02T11:05", CALENDAR),
    )
    again = clocks.taken(np.array([2, 0, 1, 2]))
    assert (again.elapsed() / MINUTE).tolist() == [15, 60, 0, 15]


SPANS = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(1, 3_000)), min_size=1, max_size=5
).map(lambda pairs: np.cumsum(np.array(pairs).ravel()).reshape(-1, 2))  # fmt: skip


def one_clock(spans: np.ndarray, schedule: int) -> Runs:
    base = us("2026-03-01T00:00")
    zeros = np.zeros(len(spans), np.int64)
    starts, ends = (base + spans[:, side] * MINUTE for side in (0, 1))
    return Runs(1, zeros, starts, ends, zeros + schedule, openings=(WEEKDAYS,))


@settings(max_examples=80, deadline=None)
@given(SPANS, st.sampled_from([0, CALENDAR]), st.integers(0, 4000), st.integers(0, 4000))
def test_the_laws_of_a_clock(spans: np.ndarray, schedule: int, target: int, cut: int) -> None:
    clock = one_clock(spans, schedule)
    whole = clock.elapsed()
    # business time is never more than the calendar's
    assert one_clock(spans, 0).elapsed() <= one_clock(spans, CALENDAR).elapsed()
    # splitting a run changes nothing, also not the due time
    at = clock.starts[:1] + cut * MINUTE
    if at[0] < clock.ends[0]:
        order = np.concatenate([clock.starts[:1], at, clock.starts[1:]])
        split = Runs(
            1,
            np.zeros(len(order), np.int64),
            order,
            np.concatenate([at, clock.ends]),
            np.full(len(order), schedule),
            openings=clock.openings,
        )
        assert split.elapsed() == whole
        assert split.reaches(np.array([target * MINUTE])) == clock.reaches(np.array([target * MINUTE]))
    # elapsed grows with the stop, and is at the due time exactly the target
    stop = clock.ends[-1:]
    earlier = clock.stopped(stop, stop - cut * MINUTE).elapsed()
    assert earlier <= whole <= clock.stopped(stop, stop + cut * MINUTE).elapsed()
    due = clock.reaches(np.array([target * MINUTE]))
    moved = clock.stopped(stop, due)
    if target * MINUTE >= 0 and due[0] > clock.starts[0]:
        assert moved.elapsed() == target * MINUTE
