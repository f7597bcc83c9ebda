"""What would have happened: a logged call in its own cell, else the nearest one of the same target and intent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import Call, Request, fill

from incident_kit.estimation.evidence import nearest
from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME
from incident_kit.log import Log, read
from incident_kit.store import Store

TARGETS = ("big", "small")


def log_of(store: Store, *requests: Request) -> Log:
    return read(fill(store, requests))


def cells(
    log: Log, *names: str, targets: Sequence[str] = TARGETS, attempts: int = 1
) -> dict[tuple[str, str, int], Any]:
    """Return (latency, error, kind, whether estimated, whose) by (request, target, attempt); None where there is no outcome."""
    ids = log.request_id.to_list()
    chosen = np.array([i for i, name in enumerate(ids) if name in names or not names], np.int64)
    found = nearest(log, chosen, targets, attempts=attempts)
    assert found.records.shape == found.donor.shape == (len(targets), attempts, len(chosen))
    result = {}
    for (entry, number, column), record in np.ndenumerate(found.records):
        key = (ids[chosen[column]], targets[entry], number)
        donor = int(found.donor[entry, number, column])
        if record["kind"] == NO_OUTCOME:
            assert donor == -1
            assert record["estimated"] == 1
            result[key] = None
        else:
            own = ids[log.calls.request[donor]]
            kind = "call" if record["kind"] == CALL else "hit"
            error = log.errors[record["error"]]
            result[key] = (int(record["latency_ms"]), error, kind, bool(record["estimated"]), own)
    return result


def latencies(log: Log, name: str, target: str, *, attempts: int) -> list[int | None]:
    found = cells(log, name, attempts=attempts)
    return [found[name, target, number][0] if found[name, target, number] else None for number in range(attempts)]


def test_a_logged_call_is_observed_in_its_own_cell(store: Store) -> None:
    log = log_of(
        store,
        Request("a", 0, [Call("big", 300, "500"), Call("big", 200), Call("small", 90)]),
        Request("b", 10, [Call("small", 40)]),
    )
    found = cells(log, attempts=2)
    assert found["a", "big", 0] == (300, "500", "call", False, "a")
    assert found["a", "big", 1] == (200, "ok", "call", False, "a")
    assert found["a", "small", 0] == (90, "ok", "call", False, "a")
    assert found["b", "small", 0] == (40, "ok", "call", False, "b")
    assert found["b", "big", 0] == (300, "500", "call", True, "a")


def test_an_attempt_beyond_the_policy_s_is_left_out(store: Store) -> None:
    log = log_of(store, Request("a", 0, [Call("big", 300, "500"), Call("big", 200)]))
    assert cells(log, targets=["big"]) == {("a", "big", 0): (300, "500", "call", False, "a")}


def test_the_nearest_call_is_borrowed_before_or_after(store: Store) -> None:
    log = log_of(
        store,
        Request("early", 0, [Call("small", 1)]),
        Request("x", 100, [Call("big", 50)]),
        Request("late", 150, [Call("small", 2)]),
        Request("y", 1000, [Call("big", 50)]),
    )
    found = cells(log)
    assert found["x", "small", 0] == (2, "ok", "call", True, "late")
    assert found["y", "small", 0] == (2, "ok", "call", True, "late")
    assert found["early", "big", 0] == (50, "ok", "call", True, "x")


def test_of_two_equally_near_the_earlier_is_borrowed(store: Store) -> None:
    log = log_of(
        store,
        Request("late", 200, [Call("small", 2)]),
        Request("x", 100, [Call("big", 50)]),
        Request("early", 0, [Call("small", 1)]),
    )
    assert cells(log)["x", "small", 0] == (1, "ok", "call", True, "early")


def test_nearness_is_to_when_the_call_was_sent_not_to_when_its_request_came(store: Store) -> None:
    log = log_of(
        store,
        Request("retried", 90, [Call("big", 500, "500"), Call("small", 1)]),  # small at 590 ms
        Request("x", 100, [Call("big", 50)]),
        Request("later", 400, [Call("small", 2)]),
    )
    assert cells(log)["x", "small", 0] == (2, "ok", "call", True, "later")


def test_the_next_attempt_borrows_the_next_nearest(store: Store) -> None:
    calls = [Request(f"s{i}", at, [Call("small", at)]) for i, at in enumerate((10, 60, 90, 115, 300))]
    log = log_of(store, *calls, Request("x", 100, [Call("big", 50)]))
    assert latencies(log, "x", "small", attempts=5) == [90, 115, 60, 10, 300]
    assert latencies(log, "x", "small", attempts=7) == [90, 115, 60, 10, 300, None, None]


def test_only_empty_cells_are_filled(store: Store) -> None:
    """The second attempt of x on small was not made: it borrows the nearest, not the second nearest."""
    log = log_of(store, Request("x", 100, [Call("small", 70, "500")]), Request("s", 120, [Call("small", 80)]))
    assert latencies(log, "x", "small", attempts=2) == [70, 80]


def test_a_request_does_not_borrow_from_itself(store: Store) -> None:
    log = log_of(
        store,
        Request("x", 100, [Call("small", 70, "500"), Call("small", 75, "500")]),
        Request("far", 9000, [Call("small", 80)]),
    )
    assert latencies(log, "x", "small", attempts=4) == [70, 75, 80, None]


def test_nor_from_a_call_of_its_own_that_another_clock_put_before_it(store: Store) -> None:
    log = log_of(
        store,
        Request("far", 0, [Call("small", 80)]),
        Request("x", 9000, [Call("small", 70, "500", after_ms=-40)]),
    )
    assert latencies(log, "x", "small", attempts=2) == [70, 80]


def test_a_cache_hit_stands_in_its_own_cell_and_is_never_borrowed(store: Store) -> None:
    log = log_of(
        store,
        Request("hit", 0, [Call("big", 3, kind="cache_hit")]),
        Request("x", 10, [Call("small", 50)]),
        Request("far", 9000, [Call("big", 80)]),
    )
    found = cells(log)
    assert found["hit", "big", 0] == (3, "ok", "hit", False, "hit")
    assert found["x", "big", 0] == (80, "ok", "call", True, "far")


def test_another_intent_lends_nothing(store: Store) -> None:
    log = log_of(
        store,
        Request("x", 0, [Call("big", 50)]),
        Request("other", 1, [Call("small", 1)], intent="mail"),
        Request("none", 2, [Call("small", 2)], intent=None),
        Request("same", 9000, [Call("small", 3)]),
    )
    found = cells(log)
    assert found["x", "small", 0] == (3, "ok", "call", True, "same")
    assert found["other", "big", 0] is None
    # requests without an intent are alike
    assert found["none", "big", 0] is None


def test_requests_without_an_intent_lend_to_each_other(store: Store) -> None:
    log = log_of(
        store, Request("x", 0, [Call("big", 50)], intent=None), Request("y", 5, [Call("small", 1)], intent=None)
    )
    assert cells(log)["x", "small", 0] == (1, "ok", "call", True, "y")


def test_without_any_call_there_is_no_outcome(store: Store) -> None:
    log = log_of(store, Request("x", 0, [Call("big", 50)]))
    found = cells(log, targets=["big", "small", "never heard of"])
    assert found["x", "big", 0] == (50, "ok", "call", False, "x")
    assert found["x", "small", 0] is None
    assert found["x", "never heard of", 0] is None


def test_requests_of_other_routes_lend_too(store: Store) -> None:
    """Only some requests are asked for; the others of their intent still have calls to lend."""
    log = log_of(store, Request("x", 0, [Call("big", 50)]), Request("y", 5, [Call("small", 1)]))
    assert cells(log, "x")["x", "small", 0] == (1, "ok", "call", True, "y")


def test_no_requests_no_outcomes(store: Store) -> None:
    log = log_of(store, Request("x", 0, [Call("big", 50)]))
    found = nearest(log, np.empty(0, np.int64), TARGETS, attempts=2)
    assert found.records.shape == (2, 2, 0)


# --- the same by a plain search ---

calls_drawn = st.tuples(st.sampled_from(TARGETS), st.integers(0, 4), st.sampled_from(["call", "call", "cache_hit"]))
requests_drawn = st.lists(
    st.tuples(
        st.integers(0, 12),  # arrival
        st.sampled_from(["chat", "mail", None]),
        st.lists(calls_drawn, max_size=3),
    ),
    min_size=1,
    max_size=14,
)  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> Store:
    return Store()


@settings(max_examples=80, deadline=None)
@given(requests_drawn)
def test_nearest_equals_a_plain_search(
    shared: Store, drawn: list[tuple[int, str | None, list[tuple[str, int, str]]]]
) -> None:
    log = log_of(
        shared,
        *(
            Request(
                f"r{i:02}", 100 * at, [Call(target, 100 * ms, kind=kind) for target, ms, kind in calls], intent=intent
            )
            for i, (at, intent, calls) in enumerate(drawn)
        ),
    )
    of = log.calls
    everyone = np.arange(len(log))
    found = nearest(log, everyone, TARGETS, attempts=3)
    for request in everyone:
        for entry, target in enumerate(TARGETS):
            code = log.targets.index(target) if target in log.targets else None
            mine = {int(of.number[i]): i for i in np.flatnonzero((of.request == request) & (of.target == code))}
            others = [
                i
                for i in range(len(of.request))
                if of.target[i] == code and of.is_call[i] and of.request[i] != request
                and log.intent[of.request[i]] == log.intent[request]
            ]  # fmt: skip
            expected = sorted(abs(int(of.sent_us[i] - log.arrived_us[request])) for i in others)
            donors = [int(donor) for donor in found.donor[entry, :, request] if donor >= 0]
            assert len(set(donors)) == len(donors)
            for number in range(3):
                donor = int(found.donor[entry, number, request])
                if number in mine:
                    assert donor == mine[number]
                    assert not found.records["estimated"][entry, number, request]
                elif expected:
                    assert donor in others
                    assert abs(int(of.sent_us[donor] - log.arrived_us[request])) == expected.pop(0)
                    assert found.records["latency_ms"][entry, number, request] == of.latency_ms[donor]
                else:
                    assert donor == -1
