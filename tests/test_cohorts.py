"""Which intents are replayed together: those that share a breaker, or what it looks at, and no others."""

from __future__ import annotations

import lakes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_kit.engine.cohorts import UNROUTED, cohorts, reason_together
from incident_kit.policies.policy import Policy

ONE = "{{intent: {}, primary: {}, fallback: small, max_p95_ms: 900{}}}"


def policy(*routes: str) -> Policy:
    return Policy.parse(f"routes: [{', '.join(routes)}]")


def test_routes_apart_stay_apart() -> None:
    found = cohorts(policy(ONE.format("a", "big", ""), ONE.format("[b, c]", "big", "")), ["a", "b", "c", "d", None])
    assert found == {"a": 0, "b": 1, "c": 1, "d": UNROUTED, None: UNROUTED}


def test_what_a_route_before_takes_whole_does_not_join() -> None:
    assert cohorts(policy(ONE.format("a", "big", ""), ONE.format("'*'", "big", "")), ["a", "b", None]) == {
        None: 0,
        "a": 1,
        "b": 0,
    }


def test_what_a_route_before_takes_in_part_joins() -> None:
    part = ONE.format("a", "big", ", match: {channel: chat}")
    assert cohorts(policy(part, ONE.format("'*'", "big", "")), ["a", "b", None]) == {None: 0, "a": 0, "b": 0}


def test_a_breaker_of_a_target_hears_all_that_call_it_and_the_unrouted() -> None:
    found = cohorts(Policy.parse(lakes.TARGET), ["refund", "order", "mail", "chat", None])
    assert len({found["refund"], found["order"], found["chat"], found[None]}) == 1
    assert found["mail"] != found["refund"]


@pytest.mark.parametrize(
    ("text", "why"), [(lakes.SWEPT, "every:"), (lakes.ALERTED, "alert"), (lakes.DESK, "signal"), (lakes.KERNEL, "")]
)
def test_some_policies_cannot_be_cut(text: str, why: str) -> None:
    reason = reason_together(Policy.parse(text))
    assert why in reason
    assert bool(why) is bool(reason)
    found = cohorts(Policy.parse(text), ["refund", "order", "spam"])
    assert (len(set(found.values())) == 1) is bool(why)


@given(st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3), max_size=4))
def test_a_route_is_never_cut(routes: list[list[str]]) -> None:
    parsed = (
        policy(*(ONE.format(f"[{', '.join(dict.fromkeys(one))}]", "big", "") for one in routes))
        if routes
        else Policy(routes=())
    )
    found = cohorts(parsed, "abcdef")
    taken: dict[str, set[int]] = {}
    for intent in "abcdef":
        route = parsed.route_of(intent)
        assert (route is None) is (found[intent] == UNROUTED)
        if route is not None:
            taken.setdefault(route.name, set()).add(found[intent])
    assert all(len(one) == 1 for one in taken.values())
