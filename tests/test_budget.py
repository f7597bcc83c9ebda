"""How long windows hold enough: against counting by hand at every instant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from written import Call, Request, fill

from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.policies.routes import Window
from incident_kit.scoring.budget import Steps, Stream, sample_budget, steps
from incident_kit.store import Store

MS = 1000


def counted(stream: Stream, window: Window, at: int) -> float:
    """Return what S9's window at an instant holds, read one row at a time."""
    if window.kind == "count":
        begin = -(2**60)
    elif window.kind == "tumbling":
        begin = at // (window.length * MS) * window.length * MS - 1
    else:
        begin = at - window.length * MS
    inside = [i for i in range(len(stream.at_us)) if begin < stream.at_us[i] <= at]
    if stream.key is not None:
        return len({int(stream.key[i]) for i in inside})
    return float(sum(stream.n[i] for i in inside))


@pytest.mark.parametrize("window", [Window("sliding", 7), Window("tumbling", 10), Window("count", 5)], ids=str)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["calls", "tool calls", "tickets"])
def test_steps_are_what_counting_gives(window: Window, seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    at = np.sort(random.integers(0, 60, 25)) * MS
    n = random.integers(0, 4, 25).astype(float) if kind == "tool calls" else np.ones(25)
    stream = Stream(at, n, random.integers(0, 5, 25) if kind == "tickets" else None)
    found = steps(stream, window, from_us=0, until_us=60 * MS)
    begin = 0 if window.kind == "count" else window.length * MS
    assert (found.edge_us[0], found.edge_us[-1]) == (begin, 60 * MS)
    instants = np.arange(begin, 60 * MS, MS // 2)
    by_hand = np.array([counted(stream, window, int(one)) for one in instants])
    place = np.searchsorted(found.edge_us, instants, side="right") - 1
    assert (found.count[place] == by_hand).all()
    for needed in (1, 2, 3):
        assert found.share(needed) == pytest.approx((by_hand >= needed).mean())
    assert found.share(found.most(0.8)) >= 0.8
    assert found.share(found.most(0.8) + 1) < 0.8


def test_nothing_seen_is_never_enough() -> None:
    empty = Stream(np.zeros(0, np.int64), np.zeros(0))
    found = steps(empty, Window("sliding", 5), from_us=0, until_us=100 * MS)
    assert (found.share(1), found.most(0.8)) == (0, 0)


def test_hours_of_the_reader_s_day() -> None:
    """Enough from 23:30 to 00:30 UTC: half of each hour; in Kolkata these are the hours from 05:00 to 06:00."""
    begin = round(datetime(2026, 1, 5, 23, 0, tzinfo=UTC).timestamp() * 1e6)
    quarter = 15 * 60 * 1_000_000
    found = Steps(begin + quarter * np.array([0, 2, 6, 8]), np.array([0.0, 9.0, 0.0]))
    assert found.shares_by_hour(5, ZoneInfo("UTC")) == {0: pytest.approx(0.5), 23: pytest.approx(0.5)}
    assert found.shares_by_hour(5, ZoneInfo("Asia/Kolkata")) == {4: 0, 5: pytest.approx(1), 6: 0}


@pytest.fixture
def quiet(store: Store) -> Incident:
    """A call every ten seconds for an hour, then one every two minutes for an hour; a second intent now and then."""
    busy = [Request(f"a{i}", 10_000 * i, [Call("big", 400)]) for i in range(360)]
    calm = [Request(f"b{i}", 3_600_000 + 120_000 * i, [Call("big", 400)]) for i in range(31)]
    rare = [Request(f"c{i}", 600_000 * i + 1, [Call("big", 400, tool_calls=2)], intent="rare") for i in range(12)]
    return Incident(fill(store, [*busy, *calm, *rare]))


POLICY = """
routes:
- {intent: chat, primary: big, fallback: small, max_p95_ms: 3500}
- {intent: rare, primary: big, fallback: small, max_p95_ms: 3500}
"""


def test_a_busy_hour_and_a_calm_one(quiet: Incident) -> None:
    chat, rare = sample_budget(quiet, Policy.parse(POLICY)).rows(named=True)
    # 30 in five minutes of the first hour; of the second 110.4 s, while 19 of the first and one of its own are in the window
    assert chat["enough_share"] == pytest.approx((55 * 60 + 110.4) / (115 * 60), abs=1e-4)
    assert (chat["window"], chat["needed"], chat["seen"], chat["counts"]) == ("5m", 20, 391, "calls")
    assert (chat["window_enough"], chat["min_requests_enough"]) == ("1h", None)
    assert "holds the 20 calls that it takes to act 49 % of the time" in chat["sentence"]
    assert "least from 13:00 to 14:00" in chat["sentence"]
    assert chat["sentence"].endswith("a window of 1h would reach 80 %.")
    assert (rare["enough_share"], rare["window_enough"]) == (0, None)
    assert rare["sentence"].endswith("no window up to 6h would do.")


def test_by_hour(quiet: Incident) -> None:
    hours = sample_budget(quiet, Policy.parse(POLICY), by="hour").filter(pl.col("route") == "chat")
    assert hours["hour"].to_list() == [12, 13]
    assert hours["enough_share"].to_list() == pytest.approx([1, 110.4 / 3600], abs=1e-4)
    quiet.zone = "America/Los_Angeles"
    assert sample_budget(quiet, Policy.parse(POLICY), by="hour")["hour"].unique().sort().to_list() == [4, 5]


def test_scopes(quiet: Incident) -> None:
    one = Policy.parse('routes: [{intent: "*", primary: big, fallback: small, max_p95_ms: 3500}]')
    whole = sample_budget(quiet, one)
    assert whole["seen"].to_list() == [403]
    assert one.routes[0].breaker is not None
    breaker = replace(one.routes[0].breaker, scope="intent")
    each = sample_budget(quiet, replace(one, routes=(replace(one.routes[0], breaker=breaker),)))
    assert sorted(each.select("intent", "seen").rows()) == [("chat", 391), ("rare", 12)]
    two = Policy.parse(POLICY)
    first = two.routes[0]
    assert first.breaker is not None
    shared = replace(two, routes=(replace(first, breaker=replace(first.breaker, scope="target")), two.routes[1]))
    assert sample_budget(quiet, shared)["seen"].to_list() == [403, 12]


def test_routes_that_match_on_more_than_the_intent(quiet: Incident) -> None:
    """Half of the requests came on one channel: the first route has these, the second the rest of the intent."""
    quiet.store.run("update requests set channel = 'chat' where arrived_at < '2026-01-05T12:30:00Z'::timestamptz")
    policy = Policy.parse(
        "routes: [{intent: chat, match: {channel: chat}, primary: big, fallback: small, max_p95_ms: 3500},"
        ' {intent: "*", primary: big, fallback: human, breaker: {when: tool_success_rate < 0.5, window: 1h}}]'
    )
    found = sample_budget(quiet, policy)
    assert found.select("counts", "seen").rows() == [("calls", 180), ("tool calls", 24)]


@pytest.mark.slow
def test_weighted_primaries_share_the_traffic(quiet: Incident) -> None:
    policy = Policy.parse(
        "routes: [{intent: chat, primary: {big: 3, small: 1}, fallback: [human], max_p95_ms: 3500, sticky: conversation}]"
    )
    found = sample_budget(quiet, policy)
    assert found["target"].to_list() == ["big", "small"]
    assert found["seen"].sum() == 391
    assert 260 < found["seen"][0] < 320


def test_windows_of_every_kind(quiet: Incident) -> None:
    policy = Policy.parse(
        "routes: [{intent: chat, primary: big, fallback: small, breaker: {when: p95_ms > 900, min_requests: 20, "
        "window: [1h, 5m]}}, {intent: rare, primary: big, fallback: small, "
        "breaker: {when: {any: [p95_ms > 900, consecutive_errors >= 3]}, window: 10 requests}}]"
    )
    found = sample_budget(quiet, policy)
    assert found.select("route", "window", "needed").rows() == [
        ("chat", "1h", 20),
        ("chat", "5m", 20),
        ("rare", "10 requests", 10),
    ]
    assert found["enough_share"][0] == 1
    # the tenth call of twelve, one every ten minutes, is done 5,400.4 s into 7,200 s
    assert found["enough_share"][2] == pytest.approx(1 - 5400.4 / 7200, abs=1e-3)
    only = Policy.parse(
        "routes: [{intent: chat, primary: big, fallback: small, breaker: {when: consecutive_errors >= 3}}]"
    )
    assert sample_budget(quiet, only).is_empty(), "nothing has to be counted up to"


def test_the_log_s_switches_do_not_count(store: Store) -> None:
    """A request that the log sent to the backup is a call that a healthy primary would have had."""
    requests = [Request(f"a{i}", 10_000 * i, [Call("big" if i % 2 else "small", 400)]) for i in range(100)]
    assert sample_budget(Incident(fill(store, requests)), Policy.parse(POLICY))["seen"].to_list() == [100, 0]


def test_an_empty_log_has_no_budget(store: Store) -> None:
    found = sample_budget(Incident(store), Policy.parse(POLICY))
    assert found.is_empty()
    assert {"route", "enough_share", "sentence"} <= set(found.columns)
