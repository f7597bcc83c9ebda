"""What one draw borrows: the cell of an attempt's own sending, ends that the log knows, tails of the state it was cut in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from incident_kit.estimation import borrowing
from incident_kit.estimation.outcomerecords import CALL, OUTCOME

MINUTE = 60_000_000
FAILS, TIMEOUT = 1, 2
NOTHING = np.zeros((0, 0), np.int16)
CAP_MS = 60_000.0


def calls(*rows: tuple[int, int]) -> tuple[Any, ...]:
    """Return calls as (latency, error); each in its own cell's level of 1."""
    latency = np.array([row[0] for row in rows], np.int32)
    error = np.array([row[1] for row in rows], np.int16)
    return latency, error, error == TIMEOUT, CAP_MS


def table(*cells: list[int], chances: np.ndarray | None = None) -> tuple[Any, ...]:
    """Return donors by cell, equally likely, with nothing turned over."""
    members = np.array([call for cell in cells for call in cell], np.int32)
    starts = np.cumsum([0, *map(len, cells)])
    cumulative = np.concatenate([[*np.arange(1, len(cell)) / len(cell), 2.0][: len(cell)] for cell in cells])
    return (
        members,
        starts,
        cumulative,
        np.zeros((3, 2, len(cells))) if chances is None else chances,
        np.ones(len(cells)),
    )


def tails(healthy: list[int], degraded: list[int], which: list[bool]) -> tuple[Any, ...]:
    """Return survival curves of latencies that are equally likely, none cut."""
    parts: list[Any] = []
    for latencies in (healthy, degraded):
        parts += [np.array(latencies, float), 1 - np.arange(1, len(latencies) + 1) / len(latencies)]
    return (*parts, np.array(which))


def borrowed(
    of: tuple[Any, ...], donors: tuple[Any, ...], *, attempts: int = 1, sent_us: int = 20_000_000, timeout_ms: int = 0,
    ended: np.ndarray = NOTHING, tail: tuple[Any, ...] | None = None, cell: int = 0, key: int = 7,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    records = np.zeros((attempts, 1), OUTCOME)
    donor, changed = np.full((attempts, 1), -1, np.int32), np.zeros((attempts, 1), np.int8)
    who = (
        borrowing.key(0, 0, "big"), np.array([key], np.uint64), np.array([cell]), np.array([True]), np.array([sent_us]),
        np.array([0, MINUTE, 2 * MINUTE]), ended,
    )  # fmt: skip
    timeout = np.array([timeout_ms, TIMEOUT, FAILS])
    table = donors[0], of[0][donors[0]] / CAP_MS, *donors[1:]
    borrowing.borrow(who, table, of, tail or tails([], [], [False, False]), timeout, (records, donor, changed))
    return records[:, 0], donor[:, 0], changed[:, 0]


def test_a_retry_is_of_the_time_when_it_is_sent() -> None:
    """The first attempt, at 20 s, fails after 50 s: the second is sent in the next minute, where calls take a second."""
    found, donor, _ = borrowed(calls((50_000, FAILS), (1_000, 0)), table([0], [1]), attempts=2)
    assert (donor.tolist(), found["latency_ms"].tolist()) == ([0, 1], [50_000, 1_000])
    cut, donor, _ = borrowed(calls((50_000, FAILS), (1_000, 0)), table([0], [1]), attempts=2, timeout_ms=5_000)
    assert donor.tolist() == [0, 0], "a policy that cuts it at 5 s sends the second within the same minute"
    assert (cut["kind"] == CALL).all()


def test_where_nothing_can_be_borrowed_later_the_last_cell_stays() -> None:
    assert borrowed(calls((50_000, FAILS)), table([0], []), attempts=2)[1].tolist() == [0, 0]
    assert borrowed(calls((50_000, FAILS)), table([0], [0]), attempts=3, cell=1, sent_us=70_000_000)[1].tolist() == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("known", [0, FAILS])
@pytest.mark.parametrize("key", range(20))
def test_how_a_call_ended_is_not_turned_over_where_the_log_knows(known: int, key: int) -> None:
    always = np.ones((3, 2, 1))
    of, donors = calls((900, 0), (100, FAILS)), table([0, 1], chances=always)
    ended = np.full((1, 1), known, np.int16)
    found, donor, changed = borrowed(of, donors, ended=ended, key=key)
    assert found["error"][0] == known
    assert not changed[0] & borrowing.ERROR or of[1][donor[0]] != known
    assert borrowed(of, donors, key=key)[0]["error"][0] != of[1][borrowed(of, donors, key=key)[1][0]], "else it is"


def test_a_donor_that_ended_alike_is_preferred() -> None:
    of, donors = calls((900, 0), (100, FAILS)), table([0, 1])
    chosen = [borrowed(of, donors, ended=np.zeros((1, 1), np.int16), key=key)[1][0] for key in range(40)]
    assert chosen.count(0) >= 38
    assert 10 < [borrowed(of, donors, key=key)[1][0] for key in range(40)].count(0) < 30


@pytest.mark.parametrize(("cell", "expected"), [(0, 12_000), (1, 18_000)])
def test_a_longer_timeout_sees_the_tail_of_its_own_state(cell: int, expected: int) -> None:
    """A donor was cut at 10 s; healthy calls that last longer take 12 s, degraded ones 18 s."""
    tail = tails([1_000, 12_000], [1_000, 18_000], [False, True])
    found, _, changed = borrowed(
        calls((10_000, TIMEOUT)), table([0], [0]), timeout_ms=30_000, tail=tail, cell=cell, sent_us=cell * MINUTE
    )
    assert (found["latency_ms"][0], found["error"][0], changed[0]) == (expected, 0, borrowing.LATENCY)


@pytest.mark.parametrize(("cell", "expected"), [(0, 12_000), (1, 18_000)])
def test_so_does_a_logged_attempt(cell: int, expected: int) -> None:
    records, changed = np.zeros((1, 1), OUTCOME), np.zeros((1, 1), np.int8)
    records["kind"], records["error"], records["latency_ms"] = CALL, TIMEOUT, 10_000
    tail = tails([1_000, 12_000], [1_000, 18_000], [False, True])
    who = borrowing.key(0, 0, "big"), np.array([7], np.uint64), np.array([cell])
    borrowing.outlast(who, tail, np.array([30_000, TIMEOUT, FAILS]), records, changed)
    assert (records["latency_ms"][0, 0], records["error"][0, 0], records["estimated"][0, 0]) == (expected, 0, 1)
