"""Potential outcomes: fixed whatever the policy and the other targets, with the rates of the script; and a policy's trail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from incident_kit.errors import InvalidScenario
from incident_kit.estimation.evidence import nearest
from incident_kit.policies.policy import Policy
from incident_kit.scenarios.played import play, true_outcomes
from incident_kit.scenarios.potential import intensity
from incident_kit.scenarios.scenario import Degradation, Scenario
from incident_kit.scenarios.truth import Truth, draw_truth
from incident_kit.scoring.replays import replay_log

START = datetime(2026, 10, 5, 12, tzinfo=UTC)
BIG: dict[str, Any] = {
    "latency_ms": {"median": 900, "p95": 2000}, "errors": {"503": 0.03, "429": 0.01}, "malformed": 0.05, "failing": 0.1,
    "override": 0.1,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "latency_ms": {"median": 500, "p95": 1100},
    "errors": {"500": 0.02},
    "malformed": 0.2,
    "override": 0.3,
}
REFUND: dict[str, Any] = {
    "requested": "big", "per_minute": 60, "tools": ["lookup", "issue"], "reviewed": 1, "stream": 0.5, "ticketed": 0.5,
}  # fmt: skip
CHAT: dict[str, Any] = {"requested": "big", "per_minute": 30, "turns": 1}


def script(**changes: Any) -> Scenario:
    tree: dict[str, Any] = {
        "start": "2026-10-05T12:00:00Z", "duration": "1h", "seed": 3, "targets": {"big": BIG, "small": SMALL},
        "intents": {"refund": REFUND, "chat": CHAT},
        "degradations": [
            {"target": "big", "from": "20m", "until": "40m", "slow": 4, "errors": {"503": 0.2}, "intents": ["refund"]}
        ],
    }  # fmt: skip
    return Scenario.of(tree | changes)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return draw_truth(script())


def of_intent(truth: Truth, target: str, intent: str, attempt: int = 0) -> Any:
    rows = (truth.requests["intent"] == intent).to_numpy()
    return truth.calls[truth.targets.index(target), attempt, rows]


def policy(text: str) -> Policy:
    return Policy.parse(text)


def test_arrivals_are_as_scripted(truth: Truth) -> None:
    requests = truth.requests
    assert requests["at_us"].is_sorted()
    assert requests["at_us"].min() >= 0
    assert requests["at_us"].max() < 3_600_000_000
    assert requests["request_id"].n_unique() == requests.height
    counts = dict(requests.group_by("intent").len().rows())
    assert counts["chat"] == pytest.approx(1800, abs=5 * 1800**0.5)
    assert counts["refund"] == pytest.approx(3600, abs=6 * (2 * 3600) ** 0.5)
    refund = requests.filter(intent="refund")
    # the mean of a geometric number of turns, but for conversations that the end cuts
    assert refund.height / refund["conversation_id"].n_unique() == pytest.approx(2, rel=0.08)
    assert requests.filter(intent="chat")["turn"].max() == 0
    assert refund.filter("is_last").height == refund["conversation_id"].n_unique()
    each = refund.group_by("conversation_id").agg(pl.col("ticket_id").n_unique())
    assert each["ticket_id"].max() == 1
    assert refund["ticket_id"].is_not_null().mean() == pytest.approx(0.5, abs=0.06)
    assert requests.filter(intent="chat")["ticket_id"].null_count() == counts["chat"]


def test_the_rate_of_an_hour_and_of_a_burst() -> None:
    chat = CHAT | {"per_minute": [10, 60]}
    requests = draw_truth(script(duration="2h", intents={"chat": chat}, degradations=[])).requests
    minutes = (requests["at_us"] // 60_000_000).value_counts().sort("at_us")["count"].to_numpy()
    assert minutes[:60].mean() == pytest.approx(10, rel=0.15)
    assert minutes[60:].mean() == pytest.approx(60, rel=0.1)
    assert minutes[60:].var() < 110
    bursts = draw_truth(script(duration="2h", intents={"chat": chat | {"burstiness": 0.6}}, degradations=[])).requests
    minutes = (bursts["at_us"] // 60_000_000).value_counts().sort("at_us")["count"].to_numpy()
    assert minutes[60:].var() > 400


def test_rates_are_those_of_the_script(truth: Truth) -> None:
    at = truth.requests.filter(intent="refund")["at_us"].to_numpy() / 60e6
    calls = of_intent(truth, "big", "refund")
    inside, error = (at >= 20) & (at < 40), np.array(truth.errors)[calls["error"]]
    assert (error[~inside] == "503").mean() == pytest.approx(0.03, abs=0.02)
    assert (error[inside] == "503").mean() == pytest.approx(0.23, abs=0.06)
    assert set(error) == {"ok", "503", "429"}
    ok = calls["error"] == 0
    assert np.median(calls["latency_ms"][ok & ~inside]) == pytest.approx(900, rel=0.06)
    assert np.median(calls["latency_ms"][ok & inside]) == pytest.approx(3600, rel=0.08)
    made = calls["tool_calls"].sum()
    assert calls["malformed"].sum() / made == pytest.approx(0.05, abs=0.02)
    assert calls["failing"].sum() / made == pytest.approx(0.1, abs=0.025)
    broken = calls["malformed"] + calls["failing"] > 0
    assert calls["overridden"][ok & ~broken].mean() == pytest.approx(0.1, abs=0.03)
    assert calls["overridden"][broken].mean() == pytest.approx(0.6, abs=0.12)
    used = ok & (calls["tool_calls"] > 0)
    assert calls["overridden_without_tools"][used].mean() == pytest.approx(0.2, abs=0.04)
    # nothing is made of an answer that never came, nor tools of the last one of a conversation
    for name in ("tool_calls", "completion_tokens", "overridden", "overridden_without_tools", "first_token_ms"):
        assert not calls[name][~ok].any()
    assert not calls["tool_calls"][truth.requests.filter(intent="refund")["is_last"].to_numpy()].any()
    streamed = truth.requests.filter(intent="refund")["stream"].to_numpy() & ok
    assert ((calls["first_token_ms"] > 0) == streamed).all()
    assert (calls["first_token_ms"][streamed] <= calls["latency_ms"][streamed]).all()
    chat = of_intent(truth, "big", "chat")
    assert np.median(chat["latency_ms"][inside[: len(chat)] & (chat["error"][: len(chat)] == 0)]) < 1100  # not affected


def test_a_hang_is_a_timeout_of_the_gateways_patience() -> None:
    hanging = [{"target": "big", "from": "0s", "until": "1h", "hang": 1}]
    calls = of_intent(
        draw_truth(script(degradations=hanging, hangs="20s", targets={"big": BIG | {"errors": {}}})), "big", "chat"
    )
    assert (calls["latency_ms"] == 20_000).all()
    assert (calls["error"] > 0).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": {"big": BIG, "small": SMALL, "other": SMALL}},
        {"targets": {"big": BIG, "small": SMALL | {"errors": {"500": 0.5}, "override": 0.9}}},
        {"intents": {"refund": REFUND, "chat": CHAT, "more": CHAT | {"per_minute": 100}}},
        {"intents": {"refund": REFUND, "chat": CHAT | {"per_minute": 3}}},
        {"attempts": 5},
        {"agents": {"review_s": {"median": 5}}},
    ],
)
def test_what_one_target_does_depends_on_nothing_else(truth: Truth, changes: dict[str, Any]) -> None:
    other = draw_truth(script(**changes))
    names = [name for name in truth.calls.dtype.names or () if name != "error"]
    for attempt in range(2):
        ours, theirs = of_intent(truth, "big", "refund", attempt), of_intent(other, "big", "refund", attempt)
        assert (ours[names] == theirs[names]).all()
        assert (np.array(truth.errors)[ours["error"]] == np.array(other.errors)[theirs["error"]]).all()


def test_another_seed_is_another_incident(truth: Truth) -> None:
    assert len(draw_truth(script(seed=4))) != len(truth)


def test_two_targets_and_two_attempts_are_drawn_apart(truth: Truth) -> None:
    first, second = (of_intent(truth, "small", "refund", attempt)["latency_ms"] for attempt in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert abs(np.corrcoef(first, of_intent(truth, "big", "refund")["latency_ms"])[0, 1]) < 0.1


def test_a_degradation_rises_stays_and_fades() -> None:
    part = Degradation.model_validate(
        {"target": "big", "from": "10m", "until": "20m", "ramp": "4m", "recovery": "2m", "slow": 2}
    )
    minutes = np.array([9, 10, 12, 14, 19, 20, 21, 22, 30]) * 60_000_000
    assert intensity(part, minutes, START).tolist() == pytest.approx([0, 0, 0.5, 1, 1, 1, 0.5, 0, 0], abs=1e-6)
    sharp = part.model_copy(update={"ramp": 0, "recovery": 0})
    assert intensity(sharp, minutes, START).tolist() == [0, 1, 1, 1, 1, 0, 0, 0, 0]
    shares = part.model_copy(update={"intents": {"refund": 0.5}})
    assert [shares.share_of(name) for name in ("refund", "chat", None)] == [0.5, 0.0, 0.0]


def test_in_the_truths_log_nothing_is_borrowed(truth: Truth) -> None:
    log = truth.log
    outcomes = nearest(log, np.arange(len(log)), ["big", "small"], attempts=2)
    assert not outcomes.records["estimated"].any()
    assert (log.calls.request[outcomes.donor] == np.arange(len(log))).all()
    assert (outcomes.records["latency_ms"] == truth.calls["latency_ms"]).all()
    names = np.array(log.errors)[outcomes.records["error"]]
    assert (names == np.array(truth.errors)[truth.calls["error"]]).all()
    assert (log.first_target == log.targets.index("big")).all()


POLICIES = {
    "plain": "routes:\n- {intent: '*', primary: big, fallback: small, max_p95_ms: 2500}\n",
    "retries": (
        "defaults: {retry: {attempts: 1, retry_on: [5xx, 429, timeout], timeout_ms: 3000, backoff_ms: 250}}\n"
        "routes:\n- {intent: '*', primary: big, fallback: small, max_p95_ms: 2500}\n"
    ),
    "guarded": (
        "routes:\n- intent: refund\n  primary: big\n"
        "  fallback: [{model: other, breaker: {when: error_rate > 0.4, min_requests: 2}}, small]\n"
        "  fallback_on: [5xx, 429]\n"
        "  breaker: {when: {any: [p95_ms > 2600, error_rate > 0.1]}, half_open: {requests: 3, share: 0.3}}\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POLICIES)
def test_the_trail_is_what_the_kernel_did(name: str) -> None:
    truth = draw_truth(script(targets={"big": BIG, "small": SMALL, "other": SMALL | {"errors": {"500": 0.5}}}))
    played = play(truth, policy(POLICIES[name]))
    replay, trail = played.replay, played.trail
    routed = replay.route >= 0
    each = trail.group_by("request", maintain_order=True).agg(
        pl.len(), pl.col("target").last(), pl.col("error").last(),
        (pl.col("sent_us") + 1000 * pl.col("latency_ms")).max().alias("end"),
    )  # fmt: skip
    assert (each["len"].to_numpy()[routed] == replay.records["attempts"][routed]).all()
    waits = (each["end"].to_numpy() - truth.arrived_us) // 1000
    assert (waits[routed] == replay.outcome.wait_ms[routed]).all()
    named = np.array(truth.targets)[each["target"].to_numpy()]
    assert (named[routed] == np.array(replay.targets)[replay.outcome.target[routed]]).all()
    failed = each["error"].to_numpy() > 0
    assert (failed[routed] == (replay.outcome.error[routed] > 0)).all()
    assert each["len"].max() >= {"plain": 2, "retries": 3, "guarded": 3}[name]
    # unrouted requests go where they asked to
    assert (named[~routed] == "big").all()
    assert (each["len"].to_numpy()[~routed] == 1).all()


def test_more_attempts_than_outcomes_are_refused(truth: Truth) -> None:
    with pytest.raises(
        InvalidScenario, match=r"tries one target 3 times, the scenario holds 2 .* give it `attempts: 3`"
    ):
        play(
            truth,
            policy("routes:\n- {intent: '*', primary: big, fallback: small, retry: {attempts: 2, retry_on: [5xx]}}\n"),
        )
    with pytest.raises(InvalidScenario, match="names huge, which is no target"):
        play(truth, policy("routes:\n- {intent: '*', primary: huge, fallback: small, max_p95_ms: 9}\n"))


def test_true_outcomes_are_those_of_the_target_that_answered(truth: Truth) -> None:
    small = policy("routes:\n- {intent: '*', primary: small, fallback: big, on_fallback: {tools: disabled}}\n")
    frame = true_outcomes(truth, small)
    calls = truth.calls[truth.targets.index("small"), 0]
    direct = calls["error"] == 0
    assert [name == "small" for name in frame["served"]] == direct.tolist()
    for name, values in (
        ("tool_calls", calls["tool_calls"]),
        ("overridden", calls["overridden"]),
        ("wait_ms", calls["latency_ms"]),
    ):
        assert (frame[name].to_numpy()[direct] == values[direct]).all()
    # what failed went on to the big one, without tools
    moved = ~direct & np.array([name == "big" for name in frame["served"]])
    assert moved.sum() > 20
    assert not frame["tool_calls"].to_numpy()[moved].any()
    expected = truth.calls[truth.targets.index("big"), 0]["overridden_without_tools"]
    assert (frame["overridden"].to_numpy()[moved] == expected[moved]).all()


def test_replaying_the_truth_is_exact(truth: Truth) -> None:
    assert replay_log(truth.log, policy(POLICIES["plain"])).state_exact_share == 1
