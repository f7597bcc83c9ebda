"""A simulated log replays to the decisions that made it, whatever part of the policy language made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from incident_kit.case import open_case
from incident_kit.errors import InvalidScenario
from incident_kit.policies.policy import Policy
from incident_kit.scenarios.played import play
from incident_kit.scenarios.scenario import Scenario
from incident_kit.scenarios.truth import Truth, draw_truth
from incident_kit.scoring.replays import replay
from incident_kit.simulation import simulate

ROUTE = "routes:\n- intent: '*'\n  primary: big\n  fallback: small\n"
POLICIES = {
    "weights": "routes:\n- {intent: '*', primary: {big: 70, other: 30}, fallback: small, max_p95_ms: 1800}\n",
    "sticky": "routes:\n- {intent: '*', primary: {big: 70, other: 30}, fallback: small, max_p95_ms: 1800, sticky: "
        "conversation}\n",
    "switch": ROUTE + "  max_p95_ms: 1800\n  switch:\n  - {from: 2026-10-05T12:03:00Z, until: 2026-10-05T12:05:00Z, "
        "to: small}\n",
    "match": "routes:\n- {intent: '*', match: {channel: email}, primary: big, fallback: small, max_p95_ms: 1800}\n",
    "match labels": (
        "routes:\n- {intent: refund, match: {stream: false, requested: big}, primary: other, fallback: small, "
        "max_p95_ms: 1500}\n"
        "- {intent: '*', primary: big, fallback: [other, small], max_p95_ms: 1500}\n"
    ),
    "chains": (
        "routes:\n- intent: '*'\n  primary: big\n  fallback: [{model: other, breaker: {when: p95_ms > 1200, "
        "min_requests: 5}}, small]\n"
        "  fallback_on: [5xx, timeout]\n  retry: {attempts: 1, retry_on: [5xx], timeout_ms: 5000, backoff_ms: 100}\n"
        "  max_p95_ms: 1800\n  breaker: {scope: intent}\n"
    ),
    "deadline": ROUTE + "  deadline_ms: 2500\n  retry: {attempts: 1, retry_on: [5xx], backoff_ms: 300}\n  max_p95_ms: 1800\n",
    "first token": ROUTE + "  breaker: {when: p95_ttft_ms > 350, min_requests: 5}\n",
    "first token in time": ROUTE + "  retry: {ttft_timeout_ms: 400}\n  breaker: {when: error_rate > 0.04, min_requests: 5}\n",
    "human": (
        "routes:\n- {intent: refund, primary: big, fallback: human, max_p95_ms: 1800}\n"
        "- {intent: '*', primary: big, fallback: [{model: small, breaker: {when: error_rate > 0.01, min_requests: 4}}, "
        "{template: busy}], max_p95_ms: 1800}\n"
    ),
    "reject": "routes:\n- {intent: '*', primary: big, fallback: reject, max_p95_ms: 1800}\n",
    "queue": "routes:\n- {intent: refund, primary: big, fallback: {queue: 3m}, fallback_on: [context_window], "
        "max_p95_ms: 1800, breaker: {cooldown: 20s}}\n",
    "queue then human": (
        "routes:\n- {intent: '*', primary: big, fallback: [{queue: 20s}, human], max_p95_ms: 1800, fallback_on: "
        "[context_window]}\n"
    ),
    "windows": ROUTE + (
        "  breaker: {window: [4m, 30s], when: mean_ms > 1200, every: 5s, for: 10s, cooldown: {base: 10s, factor: 2, max: 1m}}\n"
    ),
    "tumbling": ROUTE + "  breaker: {window: 1m tumbling, when: error_rate > 0.03, no_data: ok, half_open: {requests: 0}}\n",
    "target": (
        "routes:\n- {intent: refund, primary: big, fallback: small, breaker: {scope: target, when: p95_ms > 1800}}\n"
        "- {intent: mail, primary: big, fallback: other, breaker: {scope: target, when: p95_ms > 1500, half_open: "
        "{share: 0.5}}}\n"
    ),
    "elapsed": ROUTE + "  breaker: {when: slow_rate(2500ms) > 0.1, observe: elapsed, half_open: {max_wait: 2s, "
        "max_duration: 5s}}\n",
    "consecutive": ROUTE + "  breaker: {when: {any: [consecutive_errors >= 2, timeout_rate > 0.02]}, cooldown: 10s}\n",
    "tools": ROUTE + "  breaker: {when: tool_success_rate < 0.8, min_requests: 8}\n  fallback_on: [5xx]\n",
    "overrides": ROUTE + "  breaker: {when: override_rate > 0.14, min_requests: 15, half_open: {requests: 0}}\n",
    "together": ROUTE + (
        "  breaker:\n    when: {at_least: 2, of: [p95_ms > 1500, error_rate > 0.02, tool_success_rate < 0.9, "
        "override_rate > 0.12]}\n"
        "    min_requests: 10\n"
    ),
    "alert": (
        "routes:\n- {intent: refund, primary: big, fallback: small, disable_tools_on_fallback: true, "
        "breaker: {when: 'alert: quality', cooldown: 1m, half_open: {requests: 0}}}\n"
        "- {intent: mail, primary: big, fallback: small, max_p95_ms: 1500}\n"
        "alerts:\n- {name: quality, intent: [refund, chat], window: 2m, min_requests: 20, every: 10s, for: 20s, "
        "keep_firing_for: 30s, "
        "when: {at_least: 2, of: [p95_ms > 1500, tool_success_rate < 0.93, override_rate > 0.12, fallback_rate > 0.2]}}\n"
    ),
    "count": ROUTE + "  breaker: {window: 40 requests, when: p90_ms > 1500, cooldown: 20s}\n",
    "breach": ROUTE + "  breaker: {when: p95_ms > 1800, no_data: breach, every: 10s, for: 20s, cooldown: 20s}\n",
    "a route's own requests": ROUTE + "  breaker: {scope: intent, when: {all: [requests > 25, rate_429 > 0.005]}, window: 1m, "
        "half_open: {requests: 0}}\n",
    "fallbacks": (
        "routes:\n- {intent: '*', primary: big, fallback: [{model: other, only_for: [429]}, small], fallback_on: [429, 5xx], "
        "breaker: {when: fallback_rate > 0.05, min_requests: 20, half_open: {requests: 0}}}\n"
    ),
    "cost": ROUTE + "  breaker: {when: cost_per_request > 0.0021, min_requests: 10, half_open: {requests: 0}}\n",
}  # fmt: skip


def script() -> Scenario:
    return Scenario.of(
        {
            "start": "2026-10-05T12:00:00Z", "duration": "9m", "seed": 5, "hangs": "10s",
            "targets": {
                "big": {
                    "latency_ms": {"median": 700, "p95": 1300}, "errors": {"503": 0.01, "429": 0.01}, "price": [2, 8],
                    "malformed": 0.03, "failing": 0.05,
                },
                "small": {"latency_ms": {"median": 500, "p95": 1000}, "errors": {"500": 0.02}, "failing": 0.2, "override": 0.2},
                "other": {"latency_ms": {"median": 600, "p95": 1500}, "errors": {"503": 0.03}},
            },
            "intents": {
                "refund": {
                    "requested": "big", "per_minute": 40, "tools": ["lookup"], "reviewed": 0.9, "turns": 3,
                    "gap_s": {"median": 8},
                },
                "mail": {"requested": "big", "per_minute": 30, "stream": 0.7, "channel": "email", "reviewed": 0.5},
                "chat": {"requested": "big", "per_minute": 20, "reviewed": 0.5},
            },
            "agents": {"review_s": {"median": 15, "p95": 60}},
            "degradations": [
                {
                    "target": "big", "from": "2m", "until": "5m", "ramp": "30s", "slow": 2.6, "errors": {"503": 0.06},
                    "hang": 0.02, "failing": 0.3, "override": 0.1,
                },
            ],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def truth() -> Truth:
    return draw_truth(script())


@pytest.mark.parametrize("name", POLICIES)
def test_all_decisions_are_those_that_made_the_log(name: str, truth: Truth, tmp_path: Path) -> None:
    policy = Policy.parse(POLICIES[name])
    made = play(truth, policy)
    folder = simulate(script(), tmp_path / "case", policy=policy, formats=["canonical_parquet"], truth=False)
    again = replay(open_case(folder, in_memory=True), policy)
    routed = again.route >= 0
    assert routed.sum() > 200
    first = [np.array(one.targets)[one.first_target][routed] for one in (made.replay, again)]
    assert (first[0] == first[1]).all()
    answered = routed & (made.replay.outcome.error == 0)
    last = [np.array(one.targets)[one.outcome.target][answered] for one in (made.replay, again)]
    assert (last[0] == last[1]).all()
    for field in ("state", "n", "k", "probe", "attempts", "entry"):
        assert (made.replay.records[field][routed] == again.records[field][routed]).all(), field
    assert (made.replay.outcome.wait_ms[routed] == again.outcome.wait_ms[routed]).all()
    assert ((made.replay.outcome.error > 0) == (again.outcome.error > 0))[routed].all()
    assert again.fidelity == 1
    assert again.state_exact_share == 1
    assert again.transitions.select("at", "from", "to", "why").equals(
        made.replay.transitions.select("at", "from", "to", "why")
    )
    assert again.transitions.height > 1  # the policy did something


def test_requests_may_end_without_a_model(truth: Truth) -> None:
    made = play(truth, Policy.parse(POLICIES["human"]))
    ended = made.requests.filter(pl.col("served").is_in(["human", "template:busy"]))
    assert ended["served"].n_unique() == 2
    assert (ended["status"] == "ok").all()
    assert not ended["answered"].any()
    rejected = play(truth, Policy.parse(POLICIES["reject"])).requests.filter(served="reject")
    assert rejected.height > 10
    assert set(rejected["error_class"]) == {"rejected"}
    assert set(rejected["status"]) == {"error"}


def test_what_waited_meets_the_outcome_of_the_time_of_its_release(truth: Truth) -> None:
    made = play(truth, Policy.parse(POLICIES["queue"]))
    held = made.trail.filter(pl.col("source") != pl.col("request"))
    assert held.height > 5
    arrived = truth.arrived_us
    for row in held.iter_rows(named=True):
        # the latest of its intent to arrive by then
        assert arrived[row["request"]] < arrived[row["source"]] <= row["sent_us"]
        call = truth.calls[row["target"], row["number"], row["source"]]
        (attempt,) = made.attempts.filter(row=row["request"], seq=row["seq"]).to_dicts()
        assert attempt["latency_ms"] == row["latency_ms"] == call["latency_ms"]
        if attempt["status"] == "ok":
            assert attempt["completion_tokens"] == call["completion_tokens"]
            assert attempt["tool_calls"] == call["tool_calls"]


def test_what_litellm_has_no_record_of(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match=r"litellm_standard has no record .* pass formats=\['canonical'\]"):
        simulate(script(), tmp_path, policy=Policy.parse(POLICIES["human"]))


@pytest.mark.parametrize(
    "condition", ["escalation_rate > 0.1", "sla_breach_rate > 0.1", "reopen_rate > 0.1", "signal:x > 1"]
)
def test_what_follows_outside_the_gateway_cannot_be_played(condition: str, truth: Truth) -> None:
    text = ROUTE + f"  breaker: {{when: '{condition}', half_open: {{requests: 0}}}}\n"
    with pytest.raises(InvalidScenario, match="follows from what it serves"):
        play(truth, Policy.parse(text))
