"""Replays whose every number was worked out on paper first."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest
from reference import Attempt, Interpreter
from worlds import Arrival, World
from written import START, TINY, Call, Request, fill

from incident_kit.errors import NoSuchItem, UnansweredQuestion
from incident_kit.estimation.evidence import nearest
from incident_kit.incident import Incident
from incident_kit.log import read
from incident_kit.policies.policy import Policy
from incident_kit.samples import sample as bundled
from incident_kit.scoring import replays
from incident_kit.scoring.replays import Replay, replay_log
from incident_kit.store import Store

replay = partial(replays.replay, estimator=nearest)  # what it borrows can be told by hand

# one slow answer among fewer than twenty is enough to trip
TRIPS = """
routes:
- intent: chat
  primary: big
  fallback: small
  breaker: {when: p95_ms > 1000, window: 10s, min_requests: 2, cooldown: 5s, half_open: {requests: 1}}
"""


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def route(**keys: Any) -> Policy:
    return Policy.parse(json.dumps({"routes": [{"intent": "chat", "primary": "big", **keys}]}))


@pytest.fixture(scope="module")
def tripped(tiny: Incident) -> Replay:
    return replay(tiny, Policy.parse(TRIPS))


def test_decisions_by_hand(tripped: Replay) -> None:
    """r3 is done at 5 s and trips; r5 and r6 go to the backup; r7 arrives when the cooldown ends, and tests."""
    found = tripped.decisions
    assert found["request_id"].to_list() == [f"r{i}" for i in range(1, 9)]
    assert found["target"].to_list() == ["big", "big", "big", "big", "small", "small", "big", "big"]
    assert found["action"].to_list() == [
        "primary", "as logged", "primary", "primary", "fallback", "fallback", "test", "primary",
    ]  # fmt: skip
    assert found["breaker_state"].to_list() == [
        "on primary", None, "on primary", "on primary", "on backup", "on backup", "testing primary", "on primary",
    ]  # fmt: skip
    assert found["same_as_log"].to_list() == [True] * 4 + [False, True, True, False]
    assert found["evidence"].to_list() == ["observed"] * 4 + ["same_intent", "observed", "observed", "same_intent"]
    assert found["wait_ms"].to_list() == [400, 600, 3000, 500, 200, 200, 450, 350 + 200]
    assert found["served"].to_list() == ["big", "big", "big", "big", "small", "small", "big", "small"]
    assert found["attempts"].to_list() == [1, 0, 1, 1, 1, 1, 1, 2]
    assert found["donor_request_id"].to_list() == [None] * 4 + ["r6", None, None, "r6"]
    assert found["logged_target"].to_list() == ["big"] * 5 + ["small", "big", "big"]
    assert found["state_exact"].all()


def test_the_signal_of_each_decision_by_hand(tripped: Replay) -> None:
    """Done before each arrival: nothing, r1, r1; r2 matches no route and is in no window."""
    found = tripped.decisions
    assert found["n"].to_list() == [0, None, 1, 1, 3, 3, 3, 0]
    assert found["value"].to_list() == [None, None, 0.0, 0.0, 3000.0, 3000.0, 3000.0, None]
    assert found["metric"].to_list() == [
        "slow_rate(1000ms)", None, "slow_rate(1000ms)", "slow_rate(1000ms)", "p95_ms", "p95_ms", "p95_ms", "slow_rate(1000ms)",
    ]  # fmt: skip
    assert found["threshold"].to_list() == [0.05, None, 0.05, 0.05, 1000.0, 1000.0, 1000.0, 0.05]
    starts = [at(-10), None, at(-8), at(-6), at(-5), at(-5), at(-5), at(1)]
    assert found["window_start"].to_list() == starts


def test_transitions_by_hand(tripped: Replay) -> None:
    shown = tripped.transitions.select(
        "at", "breaker", "from", "to", "why", "metric", "value", "n", "threshold", "state_exact"
    )
    assert shown.rows() == [
        (at(5), "big", "on primary", "on backup", "over the limit", "p95_ms", 3000.0, 3, 1000.0, True),
        (at(10), "big", "on backup", "testing primary", "cooldown over", None, None, 0, None, True),
        (at(10.45), "big", "testing primary", "on primary", "tests passed", "p95_ms", 450.0, 1, 1000.0, True),
    ]


def test_states_fill_the_time_between_transitions(tripped: Replay) -> None:
    shown = tripped.states().select("target", "state", "start", "end", "value")
    assert shown.rows() == [
        ("big", "on primary", at(0), at(5), None),
        ("big", "on backup", at(5), at(10), 3000.0),
        ("big", "testing primary", at(10), at(10.45), None),
        ("big", "on primary", at(10.45), at(11), 450.0),
    ]


def test_what_is_always_shown(tripped: Replay) -> None:
    assert tripped.overlap == 6 / 8
    assert tripped.state_exact_share == 1
    assert tripped.evidence == {"observed": 6 / 8, "same_cell": 0, "same_time": 0, "same_intent": 2 / 8, "none": 0}
    # r5's answer comes from elsewhere than in the log; r8 had none there, so it does not count
    assert tripped.fidelity == 6 / 7
    assert tripped.samples.row(0) == ("chat", "10s", 2, 4, 0.5, 0.0)


def test_the_log_s_own_decisions_give_the_log(tiny: Incident) -> None:
    found = replay(tiny, Policy(name="as logged", routes=()))
    assert found.overlap == found.state_exact_share == found.fidelity == 1
    assert found.evidence == {"observed": 1, "same_cell": 0, "same_time": 0, "same_intent": 0, "none": 0}
    assert found.transitions.is_empty()
    assert found.caveats == ()
    assert (found.decisions["action"] == "as logged").all()
    assert found.decisions["wait_ms"].to_list() == tiny.requests().sort("arrived_at")["wait_ms"].to_list()


def test_an_unrouted_request_stays_as_logged(store: Store) -> None:
    fill(
        store,
        [Request("mail", 0, [Call("other", 70, "500"), Call("small", 30)], intent="mail", complete=True), TINY[0]],
    )
    one = replay_log(read(store), route(fallback="small", retry={"attempts": 2, "retry_on": ["5xx"]})).decisions.row(
        0, named=True
    )
    assert (one["action"], one["target"], one["served"], one["wait_ms"]) == ("as logged", "other", "small", 100)
    assert (one["route"], one["evidence"], one["same_as_log"]) == (None, "observed", True)


# 100 ms, 50 ms, 150 ms, 10 ms, 300 ms: the client waited 610 ms
TRIED = Request(
    "a",
    0,
    [Call("big", 100, "500"), Call("big", 150, "503", after_ms=50), Call("small", 300, after_ms=10)],
    complete=True,
)


@pytest.mark.parametrize(
    ("policy", "wait_ms", "error", "attempts", "served"),
    [
        # one retry after 200 ms, then nowhere else
        (route(retry={"attempts": 1, "retry_on": ["5xx"], "backoff_ms": 200}), 100 + 200 + 150, "503", 2, "big"),
        # no retry: on to the backup at once
        (route(fallback="small"), 100 + 300, "ok", 2, "small"),
        # neither: the first failure is the client's
        (route(), 100, "500", 1, "big"),
        # a failure that is not in fallback_on stays
        (route(fallback="small", fallback_on=["429"]), 100, "500", 1, "big"),
        # the policy's own timeout cuts the backup's answer, and nothing is left
        (route(fallback="small", retry={"timeout_ms": 200}), 100 + 200, "timeout", 2, "small"),
        # it cuts both of the primary's attempts too
        (
            route(fallback="small", retry={"attempts": 1, "retry_on": ["timeout"], "timeout_ms": 90, "backoff_ms": 5}),
            90 + 5 + 90 + 90 + 5, "timeout", 4, "small",
        ),
    ],
)  # fmt: skip
def test_retries_and_fallbacks_of_one_request(
    store: Store, policy: Policy, wait_ms: int, error: str, attempts: int, served: str
) -> None:
    fill(store, [TRIED])
    if attempts == 4:
        # its last retry is of the backup, whose second call the log does not have: it borrows this one
        fill(store, [TRIED, Request("b", 60_000, [Call("small", 1000)], complete=True)])
        wait_ms += 90
    one = replay_log(read(store), policy).decisions.row(0, named=True)
    assert (one["wait_ms"], one["error_class"], one["attempts"], one["served"]) == (wait_ms, error, attempts, served)
    assert not one["same_as_log"]
    assert one["evidence"] == "same_cell"  # its own calls


def test_the_same_attempts_as_logged_are_a_fact(store: Store) -> None:
    """The sum under this policy is 750 ms; the log, whose pauses were others, says 610: a fact is as logged."""
    fill(store, [TRIED])
    found = replay_log(
        read(store), route(fallback="small", retry={"attempts": 1, "retry_on": ["5xx"], "backoff_ms": 200})
    )
    one = found.decisions.row(0, named=True)
    assert (one["wait_ms"], one["evidence"], one["same_as_log"]) == (610, "observed", True)


def test_where_attempts_may_be_missing_equal_ends_are_enough(store: Store) -> None:
    """The policy's retry of a is borrowed from b and fails as well; the log may have had such a retry, and not told."""
    a = Request("a", 0, [Call("big", 100, "500"), Call("small", 300)], complete=False)
    fill(store, [a, Request("b", 60_000, [Call("big", 50, "500")])])
    policy = route(fallback="small", retry={"attempts": 1, "retry_on": ["5xx"]})
    one = replay_log(read(store), policy).decisions.row(0, named=True)
    assert (one["wait_ms"], one["evidence"], one["attempts"]) == (400, "observed", 3)
    fill(store, [replace(a, complete=True), Request("b", 60_000, [Call("big", 50, "500")])])
    one = replay_log(read(store), policy).decisions.row(0, named=True)
    assert (one["wait_ms"], one["evidence"], one["attempts"]) == (100 + 50 + 300, "same_cell", 3)


def test_a_shorter_timeout_is_not_as_logged(store: Store) -> None:
    fill(store, [Request("a", 0, [Call("big", 5000, "timeout"), Call("small", 300)], complete=True)])
    one = replay_log(read(store), route(fallback="small", retry={"timeout_ms": 2000})).decisions.row(0, named=True)
    assert (one["wait_ms"], one["evidence"]) == (2300, "same_cell")


def test_what_no_log_tells_is_said(store: Store) -> None:
    fill(store, [Request("a", 0, [Call("big", 100, "500")])])
    found = replay_log(read(store), route(fallback="nowhere"))
    one = found.decisions.row(0, named=True)
    assert (one["evidence"], one["wait_ms"], one["error_class"], one["served"]) == ("none", None, None, "nowhere")
    assert found.evidence["none"] == 1
    assert any("cannot tell" in caveat for caveat in found.caveats)


def test_state_is_exact_until_a_breaker_sees_what_was_worked_out(store: Store) -> None:
    """b was served elsewhere in the log; under the policy the breaker sees the call that b borrows."""
    fill(
        store,
        [
            Request("a", 0, [Call("big", 100)]),
            Request("b", 1000, [Call("small", 5)], requested="big"),
            Request("c", 2000, [Call("big", 90)]),
        ],
    )
    found = replay_log(read(store), route(fallback="small", max_p95_ms=1000))
    assert found.decisions["state_exact"].to_list() == [True, True, False]
    assert found.state_exact_share == 2 / 3


def test_an_empty_log_replays_to_nothing(store: Store) -> None:
    found = replay_log(read(store), Policy.parse(TRIPS))
    assert found.decisions.is_empty()
    assert found.transitions.is_empty()
    assert found.outcomes.is_empty()
    assert found.states().is_empty()
    assert found.series().is_empty()
    assert (found.overlap, found.fidelity, found.state_exact_share) == (1, 1, 1)
    assert found.samples.height == 1
    with pytest.raises(NoSuchItem, match="none at all"):
        found.explain("r1")


def test_a_route_without_requests_is_no_trouble(tiny: Incident) -> None:
    two = Policy.parse(TRIPS + "- {intent: mail, primary: huge, fallback: tiny, max_p95_ms: 5}")
    assert replay(tiny, two).decisions["target"].to_list()[4] == "small"


def test_many_routes(tiny: Incident) -> None:
    routes = [{"intent": f"i{i}", "primary": "big", "fallback": "small", "max_p95_ms": 9} for i in range(120)]
    policy = Policy.parse(json.dumps({"routes": [*routes, {"intent": "chat", "primary": "small"}]}))
    assert (replay(tiny, policy).decisions["wait_ms"] == pl.Series([200, 600, 200, 200, 200, 200, 200, 200])).all()


@pytest.fixture(scope="module")
def spend_logs() -> Incident:
    incident = Incident.create()
    incident.load(bundled() / "other" / "spend_logs.ndjson.gz")
    return incident


@pytest.mark.parametrize(
    "breaker",
    [
        {"when": "error_rate > 0.2"},
        {"when": {"any": ["p95_ms > 900", "error_rate > 0.2"]}},
        {"when": "p95_ms > 900", "half_open": {"when": "error_rate < 0.1"}},
    ],
)
def test_a_condition_that_the_log_cannot_feed_is_refused(spend_logs: Incident, breaker: dict[str, Any]) -> None:
    with pytest.raises(UnansweredQuestion, match=r"route chat, big: the condition 'error_rate [<>] 0.[12]'.*Errors:"):
        replay(spend_logs, route(fallback="small", breaker=breaker))


def test_also_where_a_fallback_has_it(spend_logs: Incident) -> None:
    entry = {"model": "small", "breaker": {"when": "error_rate > 0.2"}}
    with pytest.raises(UnansweredQuestion, match="chat, small"):
        replay(spend_logs, route(fallback=[entry, "third"]))


def test_what_it_can_feed_is_replayed(spend_logs: Incident) -> None:
    found = replay(
        spend_logs,
        Policy.parse(
            'routes: [{intent: "*", primary: primary_chat_model, fallback: fast_backup_model, max_p95_ms: 900}]'
        ),
    )
    assert len(found.decisions) == 3065


def test_on_the_capture_every_outcome_has_its_label(sample: Incident) -> None:
    for policy in sample.policies:
        found = replay(sample, policy)
        assert sum(found.evidence.values()) == pytest.approx(1)
        evidence = found.decisions["evidence"]
        assert (found.decisions["same_as_log"] == (evidence == "observed")).all()
        told = found.decisions.filter(evidence == "same_intent")
        assert told["wait_ms"].null_count() == told["error_class"].null_count() == 0
        assert (
            found.decisions.filter(evidence == "none").select("wait_ms", "error_class").null_count().row(0)
            == ((evidence == "none").sum(),) * 2
        )
        facts = found.decisions.filter(evidence == "observed").select("request_id", "wait_ms", "served")
        logged = sample.requests().select("request_id", pl.col("wait_ms").cast(pl.Int32), "served")
        both = facts.with_columns(pl.col("served").cast(pl.String)).join(logged, on="request_id", suffix="_log")
        assert both.height == facts.height
        assert (both["wait_ms"] == both["wait_ms_log"]).all()
        assert (both["served"] == both["served_log"]).fill_null(value=True).all()
        assert np.isfinite(found.state_exact_share)


def second_opinion(sample: Incident, policy: Policy) -> dict[str, tuple[Any, ...]]:
    """Replay the capture in plain Python: nearest calls by a look at each, decisions by the interpreter of the specification."""
    requests = list(sample.requests().sort("arrived_at", "request_id").iter_rows(named=True))
    us = {name: sample.log.arrived_us[i].item() for i, name in enumerate(sample.log.request_id)}
    own: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    pools: dict[tuple[str, str | None], list[tuple[int, str, Attempt]]] = defaultdict(list)
    intents = {request["request_id"]: request["intent"] for request in requests}
    for call in sample.attempts().sort("request_id", "seq").iter_rows(named=True):
        name, target = call["request_id"], call["target"]
        error = None if call["status"] == "ok" else call["error_class"] or "unknown"
        sent = round(call["sent_at"].timestamp() * 1e6) if call["sent_at"] else None
        if call["kind"] == "cache_hit":
            took = (call["done_at"] - call["sent_at"]) // timedelta(milliseconds=1)
            own[name, target].append(Attempt(took, error, "hit"))
        elif call["kind"] == "call":
            one = Attempt(call["latency_ms"], error, "call") if call["latency_ms"] is not None else None
            own[name, target].append(one)  # type: ignore[arg-type]
            if one is not None:
                pools[target, intents[name]].append((sent, name, one))  # type: ignore[arg-type]
    for pool in pools.values():
        pool.sort(key=lambda lent: (lent[0], lent[1]))

    def outcomes(name: str, target: str, attempts: int) -> list[Attempt]:
        known = dict(enumerate(own[name, target]))
        others = [lent for lent in pools[target, intents[name]] if lent[1] != name]
        # the earlier where two are equally near
        near = iter(sorted(others, key=lambda lent: (abs(lent[0] - us[name]), lent[0] >= us[name])))
        found = []
        for number in range(attempts):
            if known.get(number) is not None:
                found.append(known[number])
            else:
                lent = next(near, None)
                found.append(lent[2]._replace(is_observed=False) if lent else Attempt(0, None, None, is_observed=False))
        return found

    names = [
        request["request_id"]
        for request in sorted(requests, key=lambda one: (us[one["request_id"]], one["request_id"]))
    ]
    routes = {name: policy.route_of(intents[name]) for name in names}
    matrix = {
        (i, entry.model): outcomes(name, entry.model, 1 + one.retry.attempts)
        for i, name in enumerate(names)
        if (one := routes[name])
        for entry in one.chain
    }
    world = World(
        [Arrival(name, us[name], intents[name]) for name in names],
        lambda i, target, number: matrix[i, target][number],
    )
    said = {}
    for name, request in zip(names, Interpreter(policy, world).run().requests, strict=True):
        one = routes[name]
        if one is not None:
            wait = request.wait // 1000 if request.has_outcome and request.wait is not None else None
            error = (request.error or "ok") if request.has_outcome else None
            first, last = one.chain[request.first].model, one.chain[request.entry].model
            said[name] = (first, last, request.attempts, wait, error, request.exact)
    return said


@pytest.mark.parametrize("name", ["per-intent", "blind", "in-force-approx"])
def test_the_capture_replayed_twice(sample: Incident, name: str) -> None:
    policy = next(one for one in (*sample.policies, sample.in_force) if one is not None and one.name == name)
    said = second_opinion(sample, policy)
    found = replay(sample, policy).decisions.filter(pl.col("route").is_not_null())
    assert found.height == len(said)
    for row in found.iter_rows(named=True):
        first, last, attempts, wait, error, exact = said[row["request_id"]]
        assert (row["target"], row["attempts"], row["state_exact"]) == (first, attempts, exact)
        if row["evidence"] != "observed":
            assert (row["served"], row["wait_ms"], row["error_class"]) == (last, wait, error)
