"""The frames of a replay: their columns and types, and that the spans between changes leave no gap."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import TINY, Call, Request, fill

from incident_kit.estimation.evidence import LABELS
from incident_kit.log import read
from incident_kit.policies.baselines import always_fallback
from incident_kit.policies.policy import Policy
from incident_kit.scoring.decisions import ACTIONS, REASONS, STATES, known, words
from incident_kit.scoring.replays import Replay, replay_log
from incident_kit.store import Store

INSTANT = pl.Datetime("us", "UTC")
# POLICY.md section 4, and after it what came of the decision
DECISIONS = {
    "request_id": pl.String, "at": INSTANT, "policy": pl.Enum, "route": pl.Enum, "target": pl.Enum, "action": pl.Enum,
    "tools": pl.Enum, "breaker_state": pl.Enum, "reason": pl.Enum, "metric": pl.Enum, "value": pl.Float64, "n": pl.Int32,
    "threshold": pl.Float64, "window_start": INSTANT, "logged_target": pl.Enum, "same_as_log": pl.Boolean,
    "state_exact": pl.Boolean, "evidence": pl.Enum, "served": pl.Enum, "wait_ms": pl.Int32, "error_class": pl.Enum,
    "attempts": pl.Int16, "donor_request_id": pl.String, "adjusted": pl.Boolean, "agreement": pl.Float32,
}  # fmt: skip
TRANSITIONS = {
    "at": INSTANT, "policy": pl.String, "route": pl.String, "breaker": pl.String, "intent": pl.String, "from": pl.String,
    "to": pl.String,
    "why": pl.String, "metric": pl.String, "value": pl.Float64, "n": pl.Int32, "threshold": pl.Float64,
    "state_exact": pl.Boolean,
}  # fmt: skip
SPANS = {
    "policy": pl.String, "route": pl.String, "target": pl.String, "state": pl.String, "start": INSTANT, "end": INSTANT,
    "why": pl.String, "metric": pl.String, "value": pl.Float64, "n": pl.Int32, "threshold": pl.Float64,
}  # fmt: skip
SAMPLES = {
    "route": pl.String, "window": pl.String, "needed": pl.Int64, "decisions": pl.Int64, "median_samples": pl.Float64,
    "enough_share": pl.Float64,
}  # fmt: skip
QUICK = {"window": "10s", "min_requests": 1, "cooldown": "5s", "half_open": {"requests": 1}}


def policy(*routes: dict[str, Any], name: str = "p") -> Policy:
    return Policy.parse(json.dumps({"name": name, "routes": [{"primary": "big", **route} for route in routes]}))


def replayed(store: Store, requests: Any, *routes: dict[str, Any]) -> Replay:
    return replay_log(read(fill(store, requests)), policy(*routes) if routes else Policy(name="p", routes=()))


def slow(name: str, seconds: float, *, intent: str | None = "chat", target: str = "big") -> Request:
    return Request(name, 1000 * seconds, [Call(target, 2000)], intent=intent)


def kinds(frame: pl.DataFrame) -> dict[str, Any]:
    return {name: pl.Enum if isinstance(kind, pl.Enum) else kind for name, kind in frame.schema.items()}


@pytest.mark.parametrize("requests", [TINY, TINY[:1], ()], ids=["eight", "one", "none"])
def test_columns_and_types(store: Store, requests: Any) -> None:
    breaker = {"when": "p95_ms > 1000", **QUICK}
    for routes in ([{"intent": "chat", "fallback": "small", "breaker": breaker}], []):
        found = replayed(store, requests, *routes)
        assert kinds(found.decisions) == DECISIONS
        assert list(found.decisions.schema) == list(DECISIONS)
        assert dict(found.transitions.schema) == TRANSITIONS
        assert dict(found.states().schema) == SPANS
        assert dict(found.samples.schema) == SAMPLES
        assert found.decisions.height == len(requests)


def test_enums_hold_the_words_of_people(store: Store) -> None:
    schema = replayed(store, TINY, {"intent": "chat", "fallback": "small", "max_p95_ms": 1000}).decisions.schema
    expected = {"action": ACTIONS, "reason": REASONS, "breaker_state": STATES, "tools": ("as offered", "disabled")}
    expected |= {"route": ("chat",), "policy": ("p",), "evidence": LABELS}
    assert {name: tuple(schema[name].categories) for name in expected} == expected


REASONED = (
    slow("a", 0, intent="free"),
    slow("b", 1, intent="plain"),
    slow("c", 2),
    slow("d", 5),  # c was done at 4 s: over the limit
    slow("e", 9),  # at the end of the cooldown: one may test
    slow("f", 9.5),
    slow("g", 2, intent="alone"),
    slow("h", 5, intent="alone"),
)


def test_a_target_the_log_does_not_know_can_be_compared_with_the_log_s(store: Store) -> None:
    frame = replayed(store, TINY, {"intent": "*", "primary": "never seen"}).decisions
    assert frame.filter(pl.col("target") != pl.col("logged_target")).height == len(TINY)
    assert (frame["target"] == "never seen").all()


def test_every_reason(store: Store) -> None:
    breaker = {"when": "p95_ms > 1000", **QUICK}
    found = replayed(
        store,
        REASONED,
        {"intent": "chat", "fallback": "small", "breaker": breaker},
        {"intent": "plain", "fallback": "small"},
        {"intent": "alone", "breaker": breaker | {"half_open": {"requests": 0}}},
    ).decisions.sort("request_id")
    assert dict(found.select("request_id", "reason").iter_rows()) == {
        "a": "no route matches: as logged",
        "b": "the primary is not watched",
        "c": "nothing has taken the primary out of service",
        "d": "the primary is out of service",
        "e": "one of the requests that test the primary",
        "f": "enough others test the primary",
        "g": "nothing has taken the primary out of service",
        "h": "the primary is out of service, and nothing else is left",
    }
    assert found["action"].to_list() == [
        "as logged",
        *["primary"] * 2,
        "fallback",
        "test",
        "fallback",
        "primary",
        "primary",
    ]
    assert found["breaker_state"].is_null().to_list() == [True, True, *[False] * 6]
    assert found["route"].to_list() == [None, "plain", *["chat"] * 4, "alone", "alone"]
    # nothing is known of the backup: no outcome, no time, nobody's call
    for name in ("wait_ms", "error_class", "donor_request_id"):
        assert found[name].is_null().to_list()[3], name
    assert found["evidence"].to_list() == [*["observed"] * 3, "none", "observed", "none", "observed", "observed"]


def test_the_signal_out_of_service_is_the_last_one_s_that_took_it_out(store: Store) -> None:
    """Two conditions: the first change shows latency, the second one errors."""
    requests = [
        slow("a", 0),  # done at 2 s: trips on latency
        slow("b", 3),
        Request("c", 7100, [Call("big", 400, "500")]),  # a test that fails, at 7.5 s
        slow("d", 8),
    ]
    when = {"any": ["p95_ms > 1000", "error_rate > 0.1"]}
    found = replayed(
        store, requests, {"intent": "chat", "fallback": "small", "breaker": {"when": when, **QUICK}}
    ).decisions
    shown = found.select("request_id", "metric", "value", "n", "threshold").rows()
    assert shown == [
        ("a", "slow_rate(1000ms)", None, 0, 0.05),
        ("b", "p95_ms", 2000.0, 1, 1000.0),
        ("c", "p95_ms", 2000.0, 1, 1000.0),
        ("d", "error_rate", 1.0, 1, 0.1),
    ]
    since = (found["at"] - found["window_start"]).dt.total_milliseconds().to_list()
    assert since == [10_000, 3000 - 2000 + 10_000, 7100 - 2000 + 10_000, 8000 - 7500 + 10_000]


def test_each_route_shows_its_own_signal(store: Store) -> None:
    requests = [slow("a", 0), slow("b", 1, intent="mail"), slow("c", 4), slow("d", 4, intent="mail")]
    found = replayed(
        store,
        requests,
        {
            "intent": "mail",
            "fallback": "small",
            "breaker": {"when": "error_rate > 0.5", **QUICK, "window": "3 requests"},
        },
        {"intent": "chat", "fallback": "small", "breaker": {"when": "slow_rate(1500ms) > 0.2", **QUICK}},
    ).decisions
    shown = found.select("request_id", "metric", "value", "n", "threshold").rows()
    assert shown == [
        ("a", "slow_rate(1500ms)", None, 0, 0.2),
        ("b", "error_rate", None, 0, 0.5),
        ("c", "slow_rate", 1.0, 1, 0.2),
        ("d", "error_rate", 0.0, 1, 0.5),
    ]
    # a window of so many requests has no start in time
    assert found["window_start"].is_null().to_list() == [False, True, False, True]


def test_a_route_that_starts_on_its_backup(store: Store) -> None:
    with_backup = policy({"intent": "chat", "fallback": "small"})
    found = replay_log(read(fill(store, TINY)), always_fallback(with_backup)).decisions
    assert found["action"].to_list() == ["fallback", "as logged", *["fallback"] * 6]
    assert set(found["reason"]) == {"the primary is not watched", "no route matches: as logged"}


def test_samples_by_hand(store: Store) -> None:
    """Windows of 10 s hold what was done before each arrival: 0, 1, 2 and then 1 call."""
    requests = [Request(f"r{i}", 1000 * at, [Call("big", 500)]) for i, at in enumerate((0, 2, 4, 13))]
    breaker = QUICK | {"when": "p95_ms > 1000", "min_requests": 2}
    counted = breaker | {"window": "3 requests", "min_requests": 20}
    found = replayed(
        store,
        [*requests, Request("m", 1, [Call("big", 1)], intent="mail"), Request("n", 2, [Call("big", 1)], intent="none")],
        {"intent": "chat", "breaker": breaker},
        {"intent": "mail", "breaker": counted},
        {"intent": "none"},
        {"intent": "nobody", "breaker": breaker},
    ).samples
    assert found.rows() == [
        ("chat", "10s", 2, 4, 1.0, 0.25),
        ("mail", "3 requests", 3, 1, 0.0, 0.0),
        ("nobody", "10s", 2, 0, None, None),
    ]


def test_a_frame_can_be_sent_and_received(store: Store) -> None:
    """A code without a word under a NULL would be found out here."""
    found = replayed(store, TINY, {"intent": "chat", "fallback": "small", "max_p95_ms": 1000}).decisions
    assert found["route"].null_count() == 1
    assert pl.DataFrame.deserialize(io.BytesIO(found.serialize())).equals(found)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 300])
def test_words(size: int) -> None:
    vocabulary = tuple(f"w{i}" for i in range(size))
    codes = np.array([-1, *range(size), -1], np.int16)
    expected = [None, *vocabulary, None]
    found = words(codes, vocabulary)
    assert found.to_list() == expected
    assert tuple(found.dtype.categories) == vocabulary  # type: ignore[attr-defined]
    assert words(codes[1:-1], vocabulary).to_list() == list(vocabulary)


def test_known() -> None:
    assert known(np.array([3, -1, 0], np.int32)).to_list() == [3, None, 0]
    assert known(np.array([3, 0], np.int32)).to_list() == [3, 0]


# --- spans ---

events = st.tuples(st.integers(0, 20), st.sampled_from([100, 1500]), st.sampled_from([None, "500"]))
moves = {
    ("on primary", "on backup"), ("on backup", "testing primary"), ("testing primary", "on primary"),
    ("testing primary", "on backup"), ("on backup", "on primary"),
}  # fmt: skip


def jumpy(store: Store, drawn: Any, *, probes: int) -> Replay:
    requests = [Request(f"r{i:02}", 500 * at, [Call("big", ms, error)]) for i, (at, ms, error) in enumerate(drawn)]
    when = {"any": ["p95_ms > 1000", "error_rate > 0.5"]}
    breaker = {"when": when, **QUICK, "cooldown": "2s", "half_open": {"requests": probes}}
    return replayed(store, requests, {"intent": "chat", "fallback": ["small", "third"], "breaker": breaker})


@pytest.fixture(scope="module")
def shared() -> Store:
    return Store()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(events, min_size=1, max_size=25), st.integers(0, 2))
def test_states_cover_the_span_without_gaps(shared: Store, drawn: Any, probes: int) -> None:
    found = jumpy(shared, drawn, probes=probes)
    spans, changes = found.states(), found.transitions
    log = found.log
    first, last = pl.Series([log.arrived_us[0], log.arrived_us[-1]]).cast(INSTANT)
    assert (spans["start"][0], spans["end"][-1]) == (first, last)
    assert spans["end"][:-1].to_list() == spans["start"][1:].to_list()
    assert (spans["start"] <= spans["end"]).all()
    assert spans["state"][0] == "on primary"
    assert set(changes.select("from", "to").rows()) <= moves
    assert changes["at"].is_sorted()
    # each change begins where the one before it ended, and each span before the log's end is one of them
    assert changes["from"].to_list() == ["on primary", *changes["to"].to_list()][: changes.height]
    within = changes.filter(pl.col("at") <= last)
    assert spans["state"][1:].to_list() == within["to"].to_list()
    assert spans["start"][1:].to_list() == within["at"].to_list()
    # a decision's state is that of the span in which it falls
    by_time = found.decisions.join_asof(
        spans.select("start", "state").group_by("start", maintain_order=True).last().sort("start"),
        left_on="at", right_on="start",
    )  # fmt: skip
    assert by_time["breaker_state"].cast(pl.String).to_list() == by_time["state"].to_list()


def test_breakers_do_move_in_such_logs(shared: Store) -> None:
    """The property above means nothing if they never change."""
    seen = set()
    for seed in range(12):
        random = np.random.default_rng(seed)
        drawn = zip(
            random.integers(0, 20, 25).tolist(), random.choice([100, 1500], 25).tolist(), [None] * 25, strict=True
        )
        seen |= set(jumpy(shared, list(drawn), probes=seed % 3).transitions.select("from", "to").rows())
    assert seen == moves


def test_each_guarded_entry_has_its_own_spans(store: Store) -> None:
    guarded = {"model": "small", "max_p95_ms": 900}
    found = replayed(
        store, TINY, {"intent": "chat", "fallback": [guarded, "third"], "max_p95_ms": 1000}, {"intent": "mail"}
    )
    spans = found.states()
    assert spans.select("route", "target").unique(maintain_order=True).rows() == [("chat", "big"), ("chat", "small")]
    assert spans["policy"].unique().to_list() == ["p"]
