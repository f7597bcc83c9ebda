"""Flags, on small simulated logs: what should be flagged is, what should not be is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from written import START, Call, Request, fill

import incident_kit as ik
from incident_kit.estimation.cells import Cells
from incident_kit.estimation.observations import observe
from incident_kit.incident import Incident
from incident_kit.scoring import flags
from incident_kit.store import Store

RUNS = 40
N = 1200
FIRST_US = int(START.timestamp() * 1e6)
TARGETS, INTENTS = ("big", "small"), ("chat", "refund")


def world(seed: int, *, served: Any = None, selecting: bool = False, slowing: bool = False) -> Any:
    """Return a log of 20 minutes, and the cells of its time; ``served`` of each request, or drawn: hard ones to big."""
    rng = np.random.default_rng(seed)
    at = FIRST_US + np.sort(rng.integers(0, 1_200_000_000, N))
    hard = rng.standard_normal(N)
    tokens = np.exp(6 + 0.6 * (0.5 * hard + np.sqrt(0.75) * rng.standard_normal(N))).astype(int)
    chance = 1 / (1 + np.exp(2.5 * hard)) if selecting else np.full(N, 0.3)
    served = (rng.random(N) < chance).astype(np.int16) if served is None else served(at, rng).astype(np.int16)
    minute = (at - FIRST_US) // 10_000_000
    crowd = np.bincount(minute[served == 1], minlength=120)[minute] / 10
    latency = np.exp(6 + 0.3 * rng.standard_normal(N)) * (np.maximum(crowd, 0.3) if slowing else 1)
    calls = SimpleNamespace(
        request=np.arange(N), target=served, is_call=np.ones(N, np.bool_), error=np.zeros(N), sent_us=at,
        latency_ms=latency.astype(np.int32) + 1,
    )  # fmt: skip
    log = Sized(
        arrived_us=at, intent=rng.integers(0, 2, N).astype(np.int16), first_target=served, served=served, calls=calls,
        tools_offered=np.full(N, 2), targets=TARGETS, intents=INTENTS, request_facts=pl.DataFrame({"prompt_tokens": tokens}),
    )  # fmt: skip
    cells = SimpleNamespace(
        bin_of=lambda us: (us - FIRST_US) // 300_000_000,
        observations=SimpleNamespace(ticket=np.arange(N) // 2, request=np.arange(N)),
    )
    return log, cells


class Sized(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.arrived_us)


def would(log: Any, target: Any) -> Any:
    """Return a replay in which each request is answered by ``target``."""
    target = np.broadcast_to(np.asarray(target, np.int16), len(log))
    outcome = SimpleNamespace(
        target=target, evidence=(target != log.served).astype(np.int8), no_model=np.zeros(len(log), np.int8)
    )
    return SimpleNamespace(log=log, targets=TARGETS, first_target=target, outcome=outcome)


def test_routing_on_difficulty_is_flagged_in_nine_runs_of_ten() -> None:
    """EVIDENCE.md section 7, bar 6: a difficulty that correlates 0.5 with prompt tokens."""
    found = {}
    for selecting in (True, False):
        runs = (world(seed, selecting=selecting) for seed in range(RUNS))
        found[selecting] = sum(bool(flags.selection(would(log, 1), cells)["flagged"].any()) for log, cells in runs)
    assert found[True] >= 0.9 * RUNS
    assert found[False] <= 0.1 * RUNS


def test_load_beyond_the_logs_is_flagged_in_nine_runs_of_ten() -> None:
    """Bar 6: a backup that the log gave a tenth of the traffic, and all of it; where it had it all before, no flag."""
    few = [world(seed, served=lambda at, rng: rng.random(len(at)) < 0.1)[0] for seed in range(RUNS)]
    half = [world(seed, served=lambda at, _rng: at > FIRST_US + 600_000_000)[0] for seed in range(RUNS)]
    assert sum(bool(flags.load(would(log, 1))["flagged"].any()) for log in few) >= 0.9 * RUNS
    assert sum(bool(flags.load(would(log, 1))["flagged"].any()) for log in half) <= 0.1 * RUNS


def test_the_logs_own_decisions_are_never_flagged() -> None:
    log, cells = world(1, selecting=True)
    own = would(log, log.served)
    assert flags.flags(own, cells) == ()
    assert flags.load(own)["ratio"].to_list() == [1, 1]
    assert flags.selection(own, cells).is_empty()


def test_a_target_that_slows_under_load_shows_it() -> None:
    def rising(at: Any, rng: Any) -> Any:
        return rng.random(len(at)) < 0.1 + 0.8 * (at - FIRST_US) / 1_200_000_000

    slow, steady = (
        flags.load(would(world(3, served=rising, slowing=one)[0], 1)).row(0, named=True) for one in (True, False)
    )
    assert slow["target"] == "small"
    assert slow["slower_low"] > 0.3
    assert steady["slower_low"] < 0 < steady["slower_high"]


def test_said_in_words() -> None:
    log, cells = world(2, served=lambda at, rng: rng.random(len(at)) < 0.05)
    (said,) = flags.flags(would(log, 1), cells)
    assert said.startswith("Beyond observed load: small would get up to ")
    assert "these logs cannot tell" in said
    log, cells = world(2, selecting=True)
    said = next(one for one in flags.flags(would(log, 1), cells) if one.startswith("Selection"))
    assert "have more prompt tokens" in said


def test_an_intent_that_a_target_never_answered() -> None:
    log, cells = world(4)
    log.intent[:] = np.where(log.served == 1, 0, log.intent)
    row = flags.selection(would(log, 1), cells).row(by_predicate=(pl.col("trait") == "intent"), named=True)
    assert row["difference"] == pytest.approx((log.intent[log.served == 0] == 1).mean())
    assert row["flagged"]


def test_tickets_count_once() -> None:
    """Ten requests alike of one ticket are no ten requests: the same difference is less sure."""
    log, cells = world(5, selecting=True)
    of = np.arange(N) // 10 * 10
    log.served, log.request_facts = log.served[of], log.request_facts[of]
    z = []
    for ticket in (np.arange(N), of):
        cells.observations.ticket = ticket
        found = flags.selection(would(log, 1), cells)
        z.append(found.row(by_predicate=pl.col("trait") == "prompt tokens", named=True)["z"])
    assert z[0] > 2 * z[1] > 2


def test_a_real_replay(store: Store) -> None:
    """Ten minutes of one request a second; the first two seconds' on the backup."""
    requests = [
        Request(f"r{i}", 1000 * i, [Call("small" if i < 2 else "big", 100)], requested="big") for i in range(600)
    ]
    incident = Incident(fill(store, requests))
    incident.answers = {}
    policy = ik.always_fallback(
        ik.Policy.parse("routes: [{intent: '*', primary: big, fallback: small, max_p95_ms: 900}]")
    )
    cells = Cells.of(observe(incident.log))
    replay = ik.replay(incident, policy)
    row = flags.load(replay).row(0, named=True)
    assert (row["target"], row["busiest"], row["seen"], row["share"], row["flagged"]) == ("small", 60, 4, 1, True)
    assert flags.selection(replay, cells)["trait"].to_list() == ["prompt tokens", "tools offered", "intent"]
    assert flags.flags(incident.as_logged, cells) == ()


def test_nothing_loaded() -> None:
    incident = Incident.create()
    assert flags.load(incident.as_logged).is_empty()
    assert flags.selection(incident.as_logged, Cells.of(observe(incident.log))).is_empty()
