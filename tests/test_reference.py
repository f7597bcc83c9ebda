"""The interpreter says what POLICY.md says, on examples worked out on paper."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from examples import Example, answer, ask, check, guarded, policy, route, world
from examples_breakers import BREAKERS
from examples_requests import REQUESTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policies import policies
from reference import Interpreter, primary_rank, share_draw
from worlds import World, shifted, worlds

from incident_kit.policies.policy import Policy

EXAMPLES = [*REQUESTS, *BREAKERS]


def interpreter(policy: Policy, world: World) -> Interpreter:
    return Interpreter(policy, world).run()


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_examples(example: Example) -> None:
    check(interpreter, example)


def test_every_rule_of_the_policy_language_has_an_example() -> None:
    said = " ".join(example.name for example in EXAMPLES)
    assert [rule for rule in range(1, 23) if f"S{rule}:" not in said and f"S{rule}," not in said] == []
    assert [name for name, times in Counter(example.name for example in EXAMPLES).items() if times > 1] == []


def test_an_engine_that_is_wrong_is_found() -> None:
    def late(policy: Policy, world: World) -> Any:
        found = interpreter(policy, world)
        found.changes = [change._replace(at=change.at + 1) for change in found.changes]
        return found

    with pytest.raises(AssertionError):
        check(late, next(example for example in EXAMPLES if example.changes))


def test_weights_are_shares_of_requests_and_repeat() -> None:
    """S22: 90 to 10 among 4,000 names, and adding a target moves requests to it only."""
    names = [f"request {i}" for i in range(4000)]
    weights = {"big": 90, "third": 10}
    first = {
        name: max(weights, key=lambda target, name=name: primary_rank(name, target, weights[target])) for name in names
    }
    share = Counter(first.values())["third"] / len(names)
    assert abs(share - 0.1) < 0.02
    weights["new"] = 50
    moved = {
        max(weights, key=lambda target, name=name: primary_rank(name, target, weights[target]))
        for name in names
        if first[name] == "third"
    }
    assert moved == {"third", "new"}
    drawn = sum(share_draw(name) < 0.2 for name in names) / len(names)
    assert abs(drawn - 0.2) < 0.03


def test_cost_of_a_request_is_that_of_all_its_attempts() -> None:
    rules = policy(route(breaker={"when": "cost_per_request > 0.002", "min_requests": 1, "window": "10s"}))
    both = world(ask("a", 0, big=answer(100, "500", cost_nano=1_000_000), small=answer(50, cost_nano=2_000_000)))
    (change,) = interpreter(Policy.parse(rules), both).changes
    assert (change.k, change.n) == (3_000_000, 1)


def test_counters_of_a_decision_are_those_of_the_window_then() -> None:
    asks = [
        ask("a", 0, big=300),
        ask("b", 10, big=50),
        ask("c", 200, big=50),
        ask("d", 1000, big=50),
        ask("e", 1300, big=50),
    ]
    found = interpreter(Policy.parse(guarded(min_requests=9, window="1s")), world(*asks)).requests
    assert [(one.k, one.n) for one in found] == [(0, 0), (0, 0), (0, 1), (1, 3), (0, 1)]


# --- random policies and worlds ---

few = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


def told(found: Interpreter, *, by_us: int = 0) -> Any:
    requests = [
        (
            one.first,
            one.entry,
            one.number,
            one.attempts,
            one.wait,
            one.error,
            one.state,
            one.exact,
            one.probe,
            one.k,
            one.n,
        )
        for one in found.requests
    ]
    changes = [change._replace(at=change.at - by_us) for change in found.changes]
    return requests, changes, [change._replace(at=change.at - by_us) for change in found.alert_changes]


@few
@given(policies(), worlds())
def test_every_request_ends_and_every_breaker_moves_as_it_may(rules: Policy, world: World) -> None:
    found = interpreter(rules, world)
    for request in found.requests:
        assert request.error != "unfinished"
        assert (request.wait is None) == (not request.has_outcome)
        if request.route is not None:
            route = rules.routes[request.route]
            assert request.first in range(len(route.chain))
            if request.wait is not None and route.deadline_ms:
                assert request.wait <= route.deadline_ms * 1000
            assert request.is_no_model == (route.chain[request.entry].kind in {"human", "template", "reject"})
    states: dict[Any, str] = {}
    for change in found.changes:
        place = (change.route, change.entry, change.intent)
        assert change.was == states.get(place, "CLOSED")
        assert (change.was, change.now) in {
            ("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("OPEN", "CLOSED"), ("HALF_OPEN", "OPEN"), ("HALF_OPEN", "CLOSED"),
        }  # fmt: skip
        states[place] = change.now
    assert [change.at for change in found.changes] == sorted(change.at for change in found.changes)


@few
@given(policies(), worlds(), st.data())
def test_nothing_later_changes_what_was_decided(rules: Policy, world: World, data: st.DataObject) -> None:
    """Property 1: what comes after an arrival may be dropped."""
    count = data.draw(st.integers(1, len(world.requests)))
    until = world.requests[count - 1].arrived_us
    earlier = replace(
        world,
        requests=[one for one in world.requests if one.arrived_us <= until],
        desk=[row for row in world.desk if row.at_us <= until],
        signals=[row for row in world.signals if row.at_us <= until],
    )
    whole, part = interpreter(rules, world), interpreter(rules, earlier)
    for one, other in zip(whole.requests, part.requests, strict=False):
        assert (one.first, one.state, one.exact, one.probe, one.k, one.n) == (
            other.first, other.state, other.exact, other.probe, other.k, other.n,
        )  # fmt: skip
    known = {None, *(one.intent for one in earlier.requests)}  # an intent's own breaker is there once the intent is
    changes = [[row for row in one.changes if row.at <= until and row.intent in known] for one in (whole, part)]
    assert changes[0] == changes[1]
    fired = [[change for change in one.alert_changes if change.at <= until] for one in (whole, part)]
    assert fired[0] == fired[1]


@few
@given(policies(starts_ms=[10**12]), worlds())
def test_a_shift_by_whole_periods_changes_nothing_else(rules: Policy, world: World) -> None:
    """Property 7 (switches are far away, both times)."""
    by_us = 86_400_000_000
    later = shifted(world, by_us)
    assert told(interpreter(rules, later), by_us=by_us) == told(interpreter(rules, world))


def test_random_policies_over_random_worlds_do_all_of_it() -> None:
    seen: Counter[Any] = Counter()

    @settings(max_examples=120, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(policies(), worlds())
    def collect(rules: Policy, world: World) -> None:
        found = interpreter(rules, world)
        seen.update((change.was, change.now) for change in found.changes)
        seen.update(change.firing for change in found.alert_changes)
        for one in found.requests:
            seen["held"] += one.was_held
            seen["probe"] += one.probe
            seen["inexact"] += not one.exact
            seen["no model"] += one.is_no_model

    collect()
    states = [
        ("CLOSED", "OPEN"),
        ("OPEN", "HALF_OPEN"),
        ("OPEN", "CLOSED"),
        ("HALF_OPEN", "OPEN"),
        ("HALF_OPEN", "CLOSED"),
    ]
    kinds = ["no model", "held", "probe", "inexact"]
    assert [what for what in [*states, True, False, *kinds] if seen[what] == 0] == []
