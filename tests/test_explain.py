"""One request in sentences: why it goes where, on what signal, and what came of it."""

from __future__ import annotations

from functools import partial

import polars as pl
import pytest
from test_replays import TRIPS, route
from written import Call, Request, fill, frames

from incident_kit.errors import NoSuchItem
from incident_kit.estimation.evidence import nearest
from incident_kit.incident import Incident
from incident_kit.log import read
from incident_kit.policies.baselines import always_fallback
from incident_kit.policies.policy import Policy
from incident_kit.scoring import replays
from incident_kit.scoring.explain import explain
from incident_kit.scoring.replays import Replay, replay_log
from incident_kit.store import Store

replay = partial(replays.replay, estimator=nearest)  # what it borrows can be told by hand

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
        ("r5", ["(request r6, where that model answered the same intent at other times): an answer from small after 0.2 s."]),
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


FAILS = [Request(f"a{i}", 1000 * i, [Call("big", 90, "500")]) for i in range(5)]
RULE = {"when": "error_rate > 0.5", "window": "10 requests", "min_requests": 2, "cooldown": "1h"}


def said_of(store: Store, requests: list[Request] | dict[str, pl.DataFrame], request_id: str, **keys: object) -> str:
    return replay_log(read(fill(store, requests)), route(**keys)).explain(request_id)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fallback", "said"),
    [
        (
            "human",
            "route chat, it is handed to a person: the primary was taken out of service at 12:00:01 UTC: 100 %",
        ),
        ("reject", "route chat, it is refused: the primary was taken out of service"),
        (
            {"template": "busy-later"},
            "route chat, it is answered with the template busy-later: the primary was taken out",
        ),
    ],
)
def test_ends_without_a_model(store: Store, fallback: object, said: str) -> None:
    """The first two fail before the breaker knows; what comes later is not sent anywhere."""
    told = said_of(store, FAILS, "a4", fallback=[fallback], breaker=RULE)
    assert said in told
    assert "No model answers it." in told
    first = said_of(store, FAILS, "a0", fallback=[fallback], breaker=RULE)
    assert "it goes to big and, that having failed, is " in first
    assert "No model answers it; it has waited" in first


@pytest.mark.slow
def test_held_in_a_queue(store: Store) -> None:
    requests = [Request(f"a{i}", 1000 * i, [Call("big", 90, "500" if i < 3 else None)]) for i in range(9)]
    rule = RULE | {"cooldown": "4s"}
    told = said_of(store, requests, "a4", fallback=[{"queue": "1m"}], breaker=rule)
    assert "it is held until its primary is tried again, or for as long as the queue holds, and goes to big" in told


@pytest.mark.slow
def test_by_hand_and_by_conversation(store: Store) -> None:
    requests = [Request(f"a{i}", 1000 * i, [Call("big", 90)]) for i in range(9)]
    tables = frames([*requests, Request("b", 20_000, [Call("small", 90)])])
    tables["requests"] = tables["requests"].with_columns(conversation_id=pl.lit("c"))
    switch = [{"from": "2026-01-05T12:00:03Z", "until": "2026-01-05T12:00:05Z", "to": "small"}]
    told = said_of(store, tables, "a4", fallback="small", switch=switch)
    assert "it goes to small: somebody switched the route there by hand, from 12:00:03 UTC until 12:00:05 UTC." in told
    stays = said_of(store, tables, "a7", fallback="small", switch=switch, sticky="conversation")
    assert "it goes to small: its conversation was being answered there." in stays


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("tool_success_rate < 0.5", "in the window before it, 100 % of 16 tool calls worked, the limit is 50 %, but it takes 20"),
        ("consecutive_errors >= 3", "in the window before it, 0 calls in a row failed, the limit is 3."),
        ("mean_ms > 3000", "in the window before it, 8 calls took 90 ms on average, the limit is 3,000 ms, but it takes 20"),
        ({"all": ["error_rate > 0.5", "p95_ms > 900"]}, "the limit is 50 %, but it takes 20 calls to act (the first of its 2"),
    ],
)  # fmt: skip
def test_other_signals(store: Store, when: object, said: str) -> None:
    requests = [Request(f"a{i}", 1000 * i, [Call("big", 90, tool_calls=2, tool_errors=0)]) for i in range(9)]
    rule = {"when": when, "window": "1m", "half_open": {"requests": 0}}
    assert said in said_of(store, requests, "a8", fallback="small", breaker=rule)
