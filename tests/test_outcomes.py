"""What customers and agents would have got: factual as logged, borrowed as one call, never more than the policy allows."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl
import pytest
from written import TINY, Call, Request, fill

from incident_kit.estimation.evidence import nearest
from incident_kit.incident import Incident
from incident_kit.log import read
from incident_kit.policies.baselines import always_fallback, always_primary, blind
from incident_kit.policies.policy import Policy
from incident_kit.scoring import replays
from incident_kit.scoring.metrics import metric
from incident_kit.scoring.replays import replay_log
from incident_kit.store import Store

replay = partial(replays.replay, estimator=nearest)  # what it borrows can be told by hand

CHAT = Policy.parse("routes: [{intent: chat, primary: big, fallback: small}]")


def value(frame: pl.DataFrame, name: str) -> Any:
    return frame.select(metric(name).value).item()


def test_as_logged_is_the_log(tiny: Incident) -> None:
    frame = tiny.as_logged.outcomes
    assert frame["wait_ms"].to_list() == [400, 600, 3000, 500, 700, 200, 450, 350]
    assert frame["evidence"].unique().to_list() == ["observed"]
    assert frame["failed"].to_list() == [False] * 7 + [True]
    assert frame["is_fallback"].to_list() == [False] * 5 + [True, False, None]
    assert value(frame, "mean_ms") == 6200 / 8
    assert value(frame, "p50_ms") == 450
    assert value(frame, "error_rate") == 1 / 8
    assert value(frame, "tool_success_rate") == pytest.approx(4 / 6)
    assert value(frame, "override_rate") == 2 / 4
    assert value(frame, "fallback_rate") == 1 / 7
    assert value(frame, "cost_per_request") == pytest.approx(0.062 / 7)


def test_always_primary_by_hand(tiny: Incident) -> None:
    """R6 takes what r5 had, two seconds before it, not what r7 had, two seconds after."""
    found = replay(tiny, always_primary(CHAT))
    frame = found.outcomes
    assert found.decisions["donor_request_id"].to_list() == [None] * 5 + ["r5", None, None]
    assert frame["wait_ms"].to_list() == [400, 600, 3000, 500, 700, 700, 450, 350]
    assert frame["evidence"].to_list() == ["observed"] * 5 + ["same_intent"] + ["observed"] * 2
    assert frame["is_fallback"].to_list() == [False] * 8
    assert value(frame, "mean_ms") == 6700 / 8
    assert frame.select(metric("mean_ms").low, high=metric("mean_ms").high).row(0) == (6000 / 8, 66_000 / 8)
    assert value(frame, "tool_success_rate") == 4 / 5
    assert value(frame, "override_rate") == 1 / 4
    assert found.overlap == 7 / 8


def test_always_fallback_by_hand(tiny: Incident) -> None:
    """There is one call to the backup in the whole log; r2 has no intent, so no route, and stays as logged."""
    found = replay(tiny, always_fallback(CHAT))
    frame = found.outcomes
    assert frame["wait_ms"].to_list() == [200, 600, 200, 200, 200, 200, 200, 200]
    assert frame["is_fallback"].to_list() == [True, False, True, True, True, True, True, True]
    assert (
        frame["evidence"].to_list()
        == ["same_intent", "observed"] + ["same_intent"] * 3 + ["observed"] + ["same_intent"] * 2
    )
    assert value(frame, "mean_ms") == 2000 / 8
    assert value(frame, "error_rate") == 0
    assert value(frame, "tool_success_rate") == 1 / 2
    assert value(frame, "cost_per_request") == pytest.approx((7 * 0.002 + 0.01) / 8)


def test_blind_by_hand(tiny: Incident) -> None:
    """With 20 calls to act on it never switches, but a failed request still goes on to the backup: r8, 350 + 200 ms."""
    found = replay(tiny, blind("big", "small", max_p95_ms=1000))
    assert found.transitions.is_empty()
    assert found.outcomes["wait_ms"].to_list() == [400, 600, 3000, 500, 700, 700, 450, 550]
    assert found.decisions["donor_request_id"].to_list() == [None] * 5 + ["r5", None, "r6"]
    assert (found.route == 0).all()


def test_borrowed_facts_are_one_call_s(tiny: Incident) -> None:
    frame = replay(tiny, always_fallback(CHAT)).outcomes
    first = frame.row(0, named=True)
    assert {name: first[name] for name in ("served", "tool_calls", "tool_errors", "cost_usd", "overridden")} == {
        "served": "small", "tool_calls": 2, "tool_errors": 1, "cost_usd": 0.002, "overridden": True,
    }  # fmt: skip


def outcomes_of(store: Store, requests: list[Request], text: str) -> list[dict[str, Any]]:
    fill(store, requests)
    return replay_log(read(store), Policy.parse(text)).outcomes.to_dicts()


def test_a_request_that_offers_no_tools_borrows_no_tool_call(store: Store) -> None:
    donor = Request("donor", 0, [Call("small", 100, tool_calls=3, tool_errors=1)], tools_offered=2)
    without = Request("without", 10, [Call("big", 100, tool_calls=0, tool_errors=0)], tools_offered=0)
    unsaid = Request("unsaid", 20, [Call("big", 100)])
    rows = outcomes_of(store, [donor, without, unsaid], "routes: [{intent: chat, primary: small}]")
    assert [(row["tool_calls"], row["tool_errors"]) for row in rows] == [(3, 1), (None, None), (3, 1)]


def test_tools_taken_away_make_no_tool_calls(store: Store) -> None:
    requests = [
        Request("a", 0, [Call("small", 100, tool_calls=3, tool_errors=1)], requested="big", tools_offered=1),
        Request("b", 10, [Call("big", 100, tool_calls=1, tool_errors=0)], tools_offered=1),
    ]
    fill(store, requests)
    policy = Policy.parse("routes: [{intent: chat, primary: big, fallback: small, disable_tools_on_fallback: true}]")
    frame = replay_log(read(store), always_fallback(policy)).outcomes
    assert frame["tools_disabled"].to_list() == [True, True]
    assert frame["tool_calls"].to_list() == [None, None]
    # the log has no answer of the backup without tools, not even where the backup did answer
    assert frame["evidence"].to_list() == ["same_cell", "same_intent"]


def test_a_borrowed_failure_was_not_rewritten_by_anybody(store: Store) -> None:
    failed_first = [Call("small", 100, "500"), Call("small", 80)]
    requests = [
        Request("donor", 0, failed_first, overridden=True),
        Request("a", 10, [Call("big", 100)], overridden=False),
    ]
    rows = outcomes_of(store, requests, "routes: [{intent: chat, primary: small}]")
    assert (rows[1]["failed"], rows[1]["overridden"]) == (True, None)


def test_without_any_call_of_that_target_and_intent_there_is_no_outcome(store: Store) -> None:
    requests = [Request("a", 0, [Call("big", 100)]), Request("b", 10, [Call("other", 50)], intent="mail")]
    rows = outcomes_of(store, requests, "routes: [{intent: chat, primary: other}]")
    assert {name: rows[0][name] for name in ("evidence", "wait_ms", "failed", "tool_calls", "cost_usd", "overridden")} == {
        "evidence": "none", "wait_ms": None, "failed": None, "tool_calls": None, "cost_usd": None, "overridden": None,
    }  # fmt: skip
    assert (rows[0]["served"], rows[0]["is_fallback"]) == ("other", False)
    assert rows[1]["evidence"] == "observed"


def test_costs_come_from_the_prices_where_the_log_has_none(store: Store) -> None:
    changed = {"prompt_tokens": 1000, "completion_tokens": 100}
    fill(store, [Request("a", 0, [Call("big", 100)], changes=changed), Request("b", 1, [Call("big", 9, cost_usd=7.0)])])
    incident = Incident(store)
    incident.prices = {"big": (2.0, 10.0)}
    assert incident.as_logged.outcomes["cost_usd"].to_list() == [pytest.approx(0.003), 7.0]


def test_rows_are_in_order_of_arrival_whatever_the_tables_hold(store: Store) -> None:
    fill(store, list(reversed(TINY)))
    assert replay_log(read(store), CHAT).outcomes["wait_ms"][:3].to_list() == [400, 600, 3000]
