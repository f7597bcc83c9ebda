"""One request in sentences: why it goes where, on what signal, and what came of it."""

from __future__ import annotations

import pytest
from test_replays import TRIPS, route
from written import Call, Request, fill

from incident_kit.baselines import always_fallback
from incident_kit.errors import NoSuchItem
from incident_kit.explain import explain
from incident_kit.incident import Incident
from incident_kit.log import read
from incident_kit.policy import Policy
from incident_kit.replays import Replay, replay, replay_log
from incident_kit.store import Store

CAUSE = "of 3 calls, the slowest one in twenty took at least 3,000 ms, the limit is 1,000 ms"


@pytest.fixture(scope="module")
def tripped(tiny: Incident) -> Replay:
    return replay(tiny, Policy.parse(TRIPS))


@pytest.mark.parametrize(
    ("request_id", "parts"),
    [
        ("r1", ["(chat) came at 5 January 2026, 12:00 UTC", "goes to big: nothing was known of the primary yet"]),
        ("r2", ["(no intent)", "No route of policy matches it, so it stays as logged: big"]),
        ("r3", ["0 of 1 calls (0 %) were slower than 1 s; the limit is 5 %, but it takes 2 calls to act"]),
        ("r3", ["What came of it was seen: an answer from big after 3 s. The log has the same."]),
        ("r5", [f"goes to small: the primary was taken out of service at 12:00:05 UTC: {CAUSE}."]),
        ("r5", ["request r6): an answer from small after 0.2 s. In the log it went to big first."]),
        ("r6", [CAUSE, "What came of it was seen: an answer from small after 0.2 s. The log has the same."]),
        ("r7", ["goes to big as one of the requests that test the primary; it had been taken out of service at 12:00:05 UTC"]),
        ("r8", ["goes to big: nothing was known", "an answer from small after 0.6 s, big having failed"]),
    ],
)  # fmt: skip
def test_by_hand(tripped: Replay, request_id: str, parts: list[str]) -> None:
    said = tripped.explain(request_id)
    assert said.startswith(f"Request {request_id} ")
    for part in parts:
        assert part in said


def test_in_the_reader_s_zone(tiny: Incident) -> None:
    elsewhere = Incident(tiny.store)
    elsewhere.zone = "America/Los_Angeles"
    said = replay(elsewhere, Policy.parse(TRIPS)).explain("r5")
    assert "came at 5 January 2026, 04:00:06 (12:00:06 UTC)" in said
    assert "taken out of service at 04:00:05 (12:00:05 UTC)" in said


def test_the_same_words_as_a_function(tripped: Replay) -> None:
    assert explain(tripped, "r4") == tripped.explain("r4")


def test_a_baseline_watches_nothing(tiny: Incident) -> None:
    said = replay(tiny, always_fallback(Policy.parse(TRIPS))).explain("r1")
    assert "Under always_fallback, route chat, it goes to small: nothing on this route watches the primary." in said


def test_its_own_calls_are_no_similar_request(store: Store) -> None:
    fill(store, [Request("a", 0, [Call("big", 100, "500"), Call("small", 300)], complete=True)])
    said = replay_log(read(store), route()).explain("a")
    assert "Worked out from its own calls in the log: no answer (500) after 0.1 s." in said


def test_what_no_log_tells(store: Store) -> None:
    fill(store, [Request("a", 0, [Call("big", 100)])])
    said = replay_log(read(store), Policy.parse("routes: [{intent: chat, primary: other}]")).explain("a")
    assert "These logs cannot tell what would have come of it" in said
    fill(store, [Request("a", 0, [Call("big", 100)], changes={"status": None})])
    assert "an end that the log does not tell after 0.1 s" in replay_log(read(store), Policy(routes=())).explain("a")


def test_nothing_else_left(store: Store) -> None:
    fill(store, [Request(f"a{i}", 100 * i, [Call("big", 90, "500")]) for i in range(5)])
    rule = {"when": "error_rate > 0.5", "window": "10 requests", "min_requests": 2, "cooldown": "1h"}
    said = replay_log(read(store), route(breaker=rule)).explain("a4")
    assert (
        "goes to big: the primary was taken out of service at 12:00 UTC: 100 % of 2 calls failed, the limit is 50 %."
        in said
    )
    assert "Nothing else is left in this route." in said


def test_a_state_that_estimates_touched_says_so(store: Store) -> None:
    requests = [
        Request("a", 0, [Call("big", 100)]),
        Request("b", 1000, [Call("small", 5)]),
        Request("c", 2000, [Call("big", 90)]),
    ]
    found = replay_log(read(fill(store, requests)), route(fallback="small", max_p95_ms=1000))
    assert "The state rests partly on worked-out outcomes." in found.explain("c")
    assert "The state rests" not in found.explain("b")


@pytest.mark.parametrize("hostile", ["\x1b[2J\x1b[31mx", "[red]x[/red]", "\u202exyz", "a\nb", "</script>", "x" * 400])
def test_a_hostile_log_is_quoted_in_one_line(store: Store, hostile: str) -> None:
    fill(store, [Request(hostile, 0, [Call(hostile, 100, hostile)], intent=hostile)])
    policy = Policy.parse('{name: p, routes: [{intent: "*", primary: big}]}')
    said = replay_log(read(store), policy).explain(hostile)
    assert all(c.isprintable() for c in said)
    assert "x" * 60 not in said


def test_an_unknown_request_is_named_with_its_like(tripped: Replay) -> None:
    with pytest.raises(NoSuchItem, match=r"no request 'r11'.*did you mean 'r1'.*it has 8, the first is 'r1'"):
        tripped.explain("r11")
    with pytest.raises(NoSuchItem, match=r"no request '\\x1b\[2J'"):
        tripped.explain("\x1b[2J")
