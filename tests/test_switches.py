"""A switch explained: signal, value, samples, window, what it did to how many requests, when it came back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from test_replays import TRIPS, route
from written import START, Call, Request, fill

from incident_kit.errors import NoSuchItem
from incident_kit.incident import Incident
from incident_kit.log import read
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import Replay, replay, replay_log
from incident_kit.scoring.switches import explain_switch
from incident_kit.store import Store


@pytest.fixture(scope="module")
def tripped(tiny: Incident) -> Replay:
    return replay(tiny, Policy.parse(TRIPS))


def test_by_hand(tripped: Replay) -> None:
    """Out at 5 s, r5 and r6 on the backup, tested by r7 at 10 s, back at 10.45 s (TINY)."""
    left = explain_switch(tripped, 1)
    assert left.startswith("Change 1 of 3 under ")
    assert "5 January 2026, 12:00:05 UTC: route chat left big for small: " in left
    assert "of 3 calls, the slowest one in twenty took at least 3,000 ms, the limit is 1,000 ms." in left
    assert "To act it takes at least 2 samples." in left
    assert "It came back 5.5 s later, at 12:00:10 UTC." in left
    assert "In that time 3 requests of the route came: 2 went to small, 1 went to big (1 as tests)" in left
    assert "for 1 of them the log has something else" in left
    assert left.endswith("Everything that led to it was seen in the log.")
    tested = explain_switch(tripped, 2)
    assert "route chat tried big again with 1 request, its cooldown of 5s being over." in tested
    assert "They passed at 12:00:10 UTC" in tested
    back = explain_switch(tripped, 3)
    assert "route chat came back to big, whose tests passed" in back
    assert "It stayed there to the end of the log." in back


def test_by_the_clock(tripped: Replay) -> None:
    """The minute that somebody remembers; leaving the primary comes before its return."""
    first = explain_switch(tripped, 1)
    assert explain_switch(tripped, START + timedelta(seconds=50)) == first
    assert explain_switch(tripped, "2026-01-05T12:00:00Z") == first
    assert explain_switch(tripped, "2026-01-05T13:00:00+01:00") == first
    assert explain_switch(tripped, "12:00") == first
    assert explain_switch(tripped, "2") == explain_switch(tripped, 2)


def test_the_same_words_from_the_replay(tripped: Replay) -> None:
    assert tripped.explain_switch(2, route="chat") == explain_switch(tripped, 2, route="chat")


def test_one_route_s_own_numbers(tripped: Replay) -> None:
    assert explain_switch(tripped, 1, route="chat").startswith("Change 1 of 3 of route chat under ")


@pytest.mark.parametrize(
    ("which", "route", "said"),
    [
        (4, None, "no change 4 .* numbered 1 to 3"),
        (0, None, "no change 0"),
        ("soon", None, r"'soon' is not a time; write 3 \(a change's number\), 14:03 for UTC"),
        (datetime(2026, 1, 5, 12), None, "has no zone"),  # noqa: DTZ001 - that is the test
        ("2026-01-05T14:00:00Z", None, r"nothing changed within a minute of 14:00 UTC.*the nearest is change 3"),
        (1, "chatt", "no route 'chatt' .did you mean 'chat'"),
    ],
)
def test_what_is_not_there(tripped: Replay, which: int | str | datetime, route: str | None, said: str) -> None:
    with pytest.raises(NoSuchItem, match=said):
        explain_switch(tripped, which, route=route)


def test_nothing_ever_switched(tiny: Incident) -> None:
    calm = Policy.parse("routes: [{intent: chat, primary: big, fallback: small, max_p95_ms: 60000}]")
    with pytest.raises(NoSuchItem, match="nothing ever left its primary"):
        explain_switch(replay(tiny, calm), 1)


def test_it_never_came_back(store: Store) -> None:
    fill(store, [Request(f"a{i}", 100 * i, [Call("big", 90, "500")]) for i in range(8)])
    rule = {"when": "error_rate > 0.5", "window": "10 requests", "min_requests": 2, "cooldown": "1h"}
    said = explain_switch(replay_log(read(store), route(breaker=rule)), 1)
    assert "route chat left big, and had nowhere else to go: in the last 10 calls, 100 % of 2 calls failed" in said
    assert "It did not come back before the log ends." in said
    assert "for 0 of them the log has something else" in said


def test_failed_tests_are_counted(store: Store) -> None:
    requests = [Request(f"a{i:02}", 1000 * i, [Call("big", 90, "500"), Call("small", 10)]) for i in range(30)]
    fill(store, requests)
    rule = {"when": "error_rate > 0.5", "min_requests": 2, "cooldown": "5s", "half_open": {"requests": 1}}
    found = replay_log(read(store), route(fallback="small", breaker=rule))
    said = explain_switch(found, 1)
    rounds = found.transitions.filter(found.transitions["from"] == "testing primary").height
    assert rounds > 1
    assert f"It did not come back before the log ends after {rounds} rounds of failed tests." in said
    assert "stayed away from big, whose tests failed: 100 % of 1 calls failed" in explain_switch(found, 3)


def test_without_tests_the_cooldown_is_all(store: Store) -> None:
    requests = [Request(f"a{i:02}", 1000 * i, [Call("big", 90, "500" if i < 5 else None)]) for i in range(30)]
    fill(store, requests)
    rule = {"when": "error_rate > 0.5", "min_requests": 2, "cooldown": "5s", "half_open": {"requests": 0}}
    found = replay_log(read(store), route(fallback="small", breaker=rule))
    assert "its cooldown of 5s was over, and nothing tests it first." in explain_switch(found, 2)


@pytest.mark.slow
def test_one_breaker_an_intent(store: Store) -> None:
    """Two intents on one route, each with its own breaker: only one of them fails, and only its requests count."""
    requests = [Request(f"a{i:02}", 1000 * i, [Call("big", 90, "500" if i < 5 else None)]) for i in range(20)]
    requests += [Request(f"b{i:02}", 1000 * i + 500, [Call("big", 90)], intent="calm") for i in range(20)]
    fill(store, requests)
    rule = {
        "when": "error_rate > 0.5",
        "min_requests": 2,
        "cooldown": "5s",
        "scope": "intent",
        "half_open": {"requests": 1},
    }
    policy = Policy.parse(
        json.dumps({"routes": [{"intent": "*", "primary": "big", "fallback": "small", "breaker": rule}]})
    )
    said = explain_switch(replay_log(read(store), policy), 1)
    assert "route * (chat) left big for small: in the 5m since 11:55:01 UTC, 100 % of 2 calls failed" in said
    # out at 1.09 s; a02 to a06 are away, a07 is the first from 6.09 s on and tests, which passes at 7.09 s
    assert "In that time 6 requests of the route came: 5 went to small, 1 went to big (1 as tests)" in said


@pytest.mark.slow
def test_an_alert_that_switches_a_route(store: Store) -> None:
    fill(store, [Request(f"a{i:03}", 2000 * i, [Call("big", 90, "500" if i > 60 else None)]) for i in range(200)])
    policy = Policy.parse("""
routes:
- intent: chat
  primary: big
  fallback: small
  fallback_on: []
  breaker: {when: {alert: broken}, cooldown: 1m, half_open: {requests: 0}}
alerts: [{name: broken, window: 1m, min_requests: 10, when: error_rate > 0.5, every: 10s}]
""")
    said = explain_switch(replay_log(read(store), policy), 1)
    assert "route chat left big for small: the alert broken was firing." in said
