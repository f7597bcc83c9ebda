"""Consequences: clocks moved by hand, bounds, guesses; the clock's own verdicts; and against a scenario's truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import START, Call, Request, fill, frames

import incident_kit as ik
from incident_kit.case import open_case
from incident_kit.estimation.evidence import LABELS, NONE
from incident_kit.helpdesk.agentwaits import AgentWaits, _union, agent_waits
from incident_kit.helpdesk.consequences import HANDLING, WAITS, Consequences, consequences, missed_by
from incident_kit.helpdesk.handling import ACCEPTED, REDONE, UNKNOWN, fates, handling
from incident_kit.helpdesk.joining import join_tickets
from incident_kit.incident import Incident
from incident_kit.policies.baselines import always_fallback, always_primary
from incident_kit.samples import OUTAGE
from incident_kit.samples import sample as bundled
from incident_kit.scenarios.desk import Desk
from incident_kit.scenarios.played import play
from incident_kit.scenarios.scenario import Scenario
from incident_kit.scenarios.truth import draw_truth
from incident_kit.scoring.replays import on_draw

_INSTANT = pl.Datetime("us", "UTC")
WAREHOUSE = Path(__file__).parents[2] / "shared" / "data" / "helpdesk" / "zendesk_warehouse"


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


@dataclass(frozen=True)
class Ask:
    """One request: when (seconds), its logged wait and the one of the replay (None: no evidence), and its suggestion's fate."""

    second: float
    wait_s: float
    replayed_s: float | None
    over: bool | None = None
    then: bool | None = None
    ticket: str | None = "T1"
    conversation: str | None = None


@dataclass(frozen=True)
class Clock:
    """One first-reply clock from second 0 on: when it stopped, its target, when the ticket got its agent."""

    stopped: float
    target: int
    assigned: float | None = None
    ticket: str = "T1"
    intent: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


def world(clocks: list[Clock], asks: list[Ask]) -> tuple[Incident, Any]:
    """Return an incident and a stub of a board with one replay of it, ``other``."""
    incident = Incident.create()
    requests = [
        Request(
            f"r{i:03}", 1000 * ask.second, [Call("big", round(1000 * ask.wait_s))], overridden=ask.over,
            changes={"ticket_id": ask.ticket},
        )
        for i, ask in enumerate(asks)
    ]  # fmt: skip
    tables = frames(requests)
    tables["requests"] = tables["requests"].with_columns(
        pl.Series("conversation_id", [ask.conversation for ask in asks], dtype=pl.String)
    )
    tables["tickets"] = pl.DataFrame(
        [
            {
                "ticket_id": c.ticket, "created_at": at(0), "solved_at": at(c.stopped + 10_000), "intent": c.intent,
                "assigned_at": None if c.assigned is None else at(c.assigned),
            }
            for c in clocks
        ],
        schema={
            "ticket_id": pl.String, "created_at": _INSTANT, "solved_at": _INSTANT, "intent": pl.String,
            "assigned_at": _INSTANT,
        },
    )  # fmt: skip
    tables["sla"] = pl.DataFrame(
        [
            {
                "ticket_id": c.ticket, "metric": "first_reply", "instance_no": 1, "target_s": c.target, "clock": "calendar",
                "started_at": at(0), "due_at": at(c.target), "stopped_at": at(c.stopped), "elapsed_s": round(c.stopped),
                "breached": c.stopped > c.target, "outcome": "breached" if c.stopped > c.target else "met",
                "evidence_level": "instance", "source": None,
            }
            | c.more
            for c in clocks
        ],
        schema={
            "ticket_id": pl.String, "metric": pl.String, "instance_no": pl.Int64, "target_s": pl.Int64, "clock": pl.String,
            "started_at": _INSTANT, "due_at": _INSTANT, "stopped_at": _INSTANT, "elapsed_s": pl.Int64,
            "breached": pl.Boolean, "outcome": pl.String, "evidence_level": pl.String, "source": pl.String,
        },
    )  # fmt: skip
    fill(incident.store, tables)
    known = [ask.replayed_s is not None for ask in asks]
    outcomes = pl.DataFrame(
        {
            "intent": ["chat"] * len(asks),
            "served": ["small"] * len(asks),
            "failed": [False] * len(asks),
            "no_model": pl.Series([None] * len(asks), dtype=pl.String),
            "overridden": pl.Series([ask.then for ask in asks], dtype=pl.Boolean),
        }
    )
    other = SimpleNamespace(
        policy=SimpleNamespace(routes=(1,)), estimator=None, outcomes=outcomes,
        outcome=SimpleNamespace(
            evidence=np.where(known, 1, NONE), wait_ms=np.array([round(1000 * (ask.replayed_s or 0)) for ask in asks])
        ),
    )  # fmt: skip
    log = SimpleNamespace(policy=SimpleNamespace(routes=()))
    board: Any = SimpleNamespace(
        incident=incident, draws=0, seed=0, replays={"as logged": log, "other": other},
        window=SimpleNamespace(rows=np.ones(len(asks), np.bool_)),
    )  # fmt: skip
    return incident, board


def row(found: Consequences, assuming: str = WAITS) -> dict[str, Any]:
    return found.table.row(by_predicate=pl.col("assuming") == assuming, named=True)


def counts(clocks: list[Clock], asks: list[Ask]) -> tuple[list[float], list[float], float]:
    """Return avoided and caused as [estimate, low, high], and undetermined, were only waits to move."""
    one = row(consequences(world(clocks, asks)[1]))
    kinds = ([one[f"{kind}{end}"] for end in ("", "_low", "_high")] for kind in ("avoided", "caused"))
    return (*kinds, one["undetermined"])  # type: ignore[return-value]


NOTHING = [0.0, 0.0, 0.0]


def test_a_shorter_wait_avoids_a_breach() -> None:
    """620 s of 600: a wait of 30 s that would have been 5 s; with an agent from the start it is sure, without it may be."""
    asks = [Ask(100, 30, 5)]
    assert counts([Clock(620, 600, assigned=0)], asks) == ([1, 1, 1], NOTHING, 0)
    assert counts([Clock(620, 600)], asks) == ([1, 0, 1], NOTHING, 0), "nobody knows whether an agent waited"
    assert counts([Clock(620, 600, assigned=200)], asks) == ([1, 0, 1], NOTHING, 0), "nobody was there to wait"
    assert counts([Clock(620, 600, assigned=105)], asks) == ([1, 1, 1], NOTHING, 0), "25 s with an agent, 20 s late"
    assert counts([Clock(626, 600, assigned=0)], asks) == (NOTHING, NOTHING, 0), "still one second late"
    assert counts([Clock(625, 600, assigned=0)], asks) == ([1, 1, 1], NOTHING, 0), "the target itself is kept"


def test_a_longer_wait_causes_one() -> None:
    asks = [Ask(100, 5, 30)]
    assert counts([Clock(590, 600, assigned=0)], asks) == (NOTHING, [1, 1, 1], 0)
    assert counts([Clock(590, 600)], asks) == (NOTHING, [1, 0, 1], 0)
    assert counts([Clock(575, 600, assigned=0)], asks) == (NOTHING, NOTHING, 0)


def test_overlapping_waits_count_once() -> None:
    """Two waits of 30 s, ten seconds apart: 40 s, of which 10 s would be left; 30 s earlier, not 50."""
    asks = [Ask(100, 30, 5), Ask(110, 30, 5)]
    assert counts([Clock(630, 600, assigned=0)], asks)[0] == [1, 1, 1]
    assert counts([Clock(631, 600, assigned=0)], asks)[0] == NOTHING


def test_an_answer_after_the_reply_held_nobody_up() -> None:
    """It was asked 5 s before the reply and took 30 s: of these 5 s count, and a slower one could not have counted more."""
    assert counts([Clock(605, 600, assigned=0)], [Ask(600, 30, 0)])[0] == [1, 1, 1]
    assert counts([Clock(606, 600, assigned=0)], [Ask(601, 30, 0)])[0] == NOTHING
    assert counts([Clock(599, 600, assigned=0)], [Ask(590, 30, 300)])[1] == NOTHING
    assert counts([Clock(605, 600, assigned=0)], [Ask(700, 30, 0)])[0] == NOTHING, "it came after the reply"


def test_without_evidence_it_is_undetermined() -> None:
    """A wait of anything between 0 and 60 s in place of 10 s: 5 s late may have been in time, 20 s before it may be late."""
    asks = [Ask(100, 10, None)]
    assert counts([Clock(605, 600, assigned=0)], asks) == ([0, 0, 1], NOTHING, 1)
    assert counts([Clock(580, 600, assigned=0)], asks) == (NOTHING, [0, 0, 1], 1)
    assert counts([Clock(400, 600, assigned=0)], asks) == (NOTHING, NOTHING, 0), "whatever it was"


def test_a_guessed_join_settles_nothing() -> None:
    """No request names the ticket; it is the only one open at the time."""
    found = consequences(world([Clock(620, 600, assigned=0, intent="chat")], [Ask(100, 30, 5, ticket=None)])[1])
    assert found.join.rows["how"].to_list() == ["time"]
    one = row(found)
    assert [one[f"avoided{end}"] for end in ("", "_low", "_high")] == [1, 0, 1]
    assert one["undetermined"] == 1


def test_too_close_to_call() -> None:
    """Zendesk's minutes: of a clock that is known to the minute only, 5 s past the target after all is undetermined."""
    incident, board = world([Clock(620, 600, assigned=0)], [Ask(100, 30, 5)])
    object.__setattr__(incident.clock, "instances", incident.clock.instances.with_columns(precision_s=pl.lit(60.0)))
    assert row(consequences(board))["undetermined"] == 1


def test_redone_work() -> None:
    """Thirty clocks with an accepted suggestion took 300 s, thirty with a redone one 600 s: 300 s more.

    T1 was redone, took 700 s of 600 and would have been accepted; T2 was accepted, took 400 s of 600 and would be redone.
    """
    clocks = [Clock(300 + i % 3, 600, ticket=f"A{i}") for i in range(30)]
    clocks += [Clock(600 - i % 3, 600, ticket=f"B{i}") for i in range(30)]
    asks = [Ask(10 + i / 10, 0, 0, over=False, then=False, ticket=c.ticket) for i, c in enumerate(clocks[:30])]
    asks += [Ask(20 + i / 10, 0, 0, over=True, then=True, ticket=c.ticket) for i, c in enumerate(clocks[30:])]
    clocks += [Clock(700, 600, ticket="T1"), Clock(400, 600, ticket="T2"), Clock(400, 600, ticket="T3")]
    asks += [
        Ask(30, 0, 0, over=True, then=False, ticket="T1"),
        Ask(31, 0, 0, over=False, then=True, ticket="T2"),
        Ask(32, 0, 0, over=None, then=True, ticket="T3"),
    ]
    found = consequences(world(clocks, asks)[1])
    (told,) = found.handling.rows.rows(named=True)
    assert (told["metric"], told["redone"], told["accepted"]) == ("first_reply", 31, 31)
    assert told["difference_s"] == pytest.approx(300, abs=5)
    assert row(found)["avoided_high"] == 0, "no wait changes"
    one = row(found, HANDLING)
    assert (one["avoided"], one["caused"]) == (1, 1)
    assert (one["avoided_low"], one["caused_low"]) == (0, 0), "it is an assumption: nothing of it can be claimed"
    changed = found.changes.filter(assuming=HANDLING).select("ticket_id", "change", "share", "due_at").rows()
    assert set(changed) == {("T1", "avoided", 1, at(600)), ("T2", "caused", 1, at(600))}
    assert "Assumed, not seen: a suggestion that had to be redone costs" in str(found)
    assert "1 (0 to 1) avoided, 1 (0 to 1) caused" in str(found)


def test_the_first_suggestion_of_a_clock_counts() -> None:
    """Else a long clock, which has many, would be redone more often for being long."""
    asks = [Ask(5, 1, 1), Ask(10, 1, 1, over=False), Ask(20, 1, 1, over=True), Ask(700, 1, 1, over=True)]
    incident, _ = world([Clock(300, 600), Clock(300, 600, ticket="T2")], asks)
    waits = agent_waits(incident, join_tickets(incident))
    found = handling(incident.log, waits)
    assert found.redone.tolist() == [ACCEPTED, UNKNOWN]
    assert waits.request[found.pair[0]] == 1
    assert found.rows.is_empty()
    assert fates(pl.Series([None, False, True, None]), np.array([0, 0, 0, 1]) > 0).tolist() == [
        UNKNOWN, ACCEPTED, REDONE, REDONE,
    ]  # fmt: skip


def test_nothing_to_judge() -> None:
    found = consequences(world([], [Ask(1, 1, 1, ticket=None)])[1])
    assert str(found) == "SLA: no clock that ended is loaded."
    assert (row(found)["clocks"], found.changes.height) == (0, 0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50), st.integers(0, 20)), max_size=12).map(
        lambda rows: sorted(rows, key=lambda one: one[:2])
    )
)
def test_the_union_of_waits(rows: list[tuple[int, int, int]]) -> None:
    """Against counting second by second."""
    group, begin, length = (np.array([one[i] for one in rows], np.int64) for i in range(3))
    found = _union(group, begin * 1_000_000, (begin + length) * 1_000_000, 3)
    for g in range(3):
        assert found[g] == len({s for of, a, n in rows if of == g for s in range(a, a + n)})


@pytest.fixture(scope="module")
def outage() -> Incident:
    return open_case(bundled(OUTAGE), in_memory=True)


def test_the_clock_agrees(outage: Incident) -> None:
    """What is compared here with the last instant in time is what the clock itself says of a moved stop."""
    waits = agent_waits(outage, join_tickets(outage))
    by_s = np.random.default_rng(1).normal(0, 600, len(waits))
    told = outage.clock.moved(by_s)["breached"].to_numpy()
    assert (told == (waits.stopped_us + np.rint(by_s * 1e6) > waits.critical_us)).all()
    assert 0 < told.sum() < len(told)


@pytest.mark.skipif(not WAREHOUSE.is_dir(), reason="the shared Zendesk warehouse is not here")
def test_the_clock_agrees_on_business_hours_pauses_and_changed_targets() -> None:
    """All but what would end in the night after a target was reached at closing time."""
    incident = Incident.create()
    incident.load([one for one in sorted(WAREHOUSE.glob("*_data.csv")) if one.name != "case_notes_data.csv"])
    waits = agent_waits(incident, join_tickets(incident))
    is_own = pl.col("stopped_at").is_not_null() & pl.col("started_at").is_not_null() & ~pl.col("is_cancelled")
    rows = incident.clock.instances.with_row_index("row").filter(is_own)["row"].to_numpy()
    assert len(rows) == len(waits) > 400
    for spread in (0, 1, 60, 600, 3600):
        by_s = np.maximum(np.random.default_rng(spread).normal(0, spread, len(rows)), _room_s(waits))
        every = np.zeros(incident.clock.instances.height)
        every[rows] = by_s
        told = incident.clock.moved(every)[rows]["breached"].to_numpy()
        mine = waits.stopped_us + np.rint(by_s * 1e6) > waits.critical_us
        assert (told != mine).sum() <= 1


def _room_s(waits: AgentWaits) -> Any:
    """Return how far each stop may move: not before the start."""
    return (waits.started_us - waits.stopped_us) / 1e6 + 1


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 700), st.integers(0, 60), st.integers(0, 60), st.booleans()), min_size=1, max_size=6
    ),
    st.integers(500, 700),
    st.sampled_from(["shorter", "as logged", "longer"]),
)
def test_shorter_waits_never_cause_and_longer_ones_never_avoid(rows: list[Any], stopped: int, how: str) -> None:
    asks = []
    for second, wait, other, known in rows:
        low, high = sorted((wait, other))
        logged, replayed = {"shorter": (high, low), "as logged": (wait, wait), "longer": (low, high)}[how]
        asks.append(Ask(second, logged, replayed if known or how != "as logged" else wait))
    asks.sort(key=lambda one: one.second)
    avoided, caused, undetermined = counts([Clock(stopped, 600, assigned=300)], asks)
    assert how != "longer" or avoided == NOTHING
    assert how != "shorter" or caused == NOTHING
    assert how != "as logged" or (avoided, caused, undetermined) == (NOTHING, NOTHING, 0)
    assert avoided[1] <= avoided[0] <= avoided[2]
    assert caused[1] <= caused[0] <= caused[2]


@pytest.mark.slow
def test_against_the_truth(outage: Incident) -> None:
    """The scenario's own desk under each policy: the truth lies between the bounds, and the sums are near."""
    script = Scenario.load(bundled(OUTAGE) / "scenario.yaml")
    truth = draw_truth(script)
    in_force = outage.in_force
    assert in_force is not None
    policies = [outage.policies[0], always_primary(in_force), always_fallback(in_force)]
    found = consequences(ik.compare(outage, policies, draws=6))
    late = {one.name: _late(Desk(play(truth, one))) for one in (in_force, *policies)}
    logged = late[in_force.name]
    assert set(found.table["logged"]) == {len(logged)}
    estimated = true = 0.0
    for one in policies:
        said = found.table.row(
            by_predicate=(pl.col("policy") == one.name) & (pl.col("assuming") == HANDLING), named=True
        )
        for kind, tickets in (("avoided", logged - late[one.name]), ("caused", late[one.name] - logged)):
            assert said[f"{kind}_low"] <= len(tickets) <= said[f"{kind}_high"] + 1
            estimated, true = estimated + said[kind], true + len(tickets)
    assert estimated == pytest.approx(true, rel=0.35)


def _late(desk: Desk) -> set[str]:
    late = pl.col("first_reply_at").is_null() | (pl.col("first_reply_at") > pl.col("due_at"))
    return set(desk.tickets.filter(late)["ticket_id"])


def test_over_time() -> None:
    """One bin holds the due times of both: one was missed, and would not have been; the other one would."""
    clocks = [Clock(620, 600, assigned=0), Clock(590, 600, assigned=0, ticket="T2")]
    found = consequences(world(clocks, [Ask(100, 30, 5), Ask(110, 5, 5, ticket="T2"), Ask(120, 5, 40, ticket="T2")])[1])
    bins = pl.DataFrame({"at": [at(0), at(600)], "until": [at(600), at(1200)]})
    rows = found.series(bins).select("policy", "evidence", "missed_targets").rows()
    assert rows == [
        ("as logged", "observed", 0), ("as logged", "observed", 1), ("other", "estimated", 0), ("other", "estimated", 1),
    ]  # fmt: skip
    one = row(found)
    assert (one["avoided"], one["caused"]) == (1, 1)


def test_the_policy_in_force_changes_nothing(outage: Incident) -> None:
    assert outage.in_force is not None
    found = consequences(ik.compare(outage, [outage.in_force], draws=3))
    assert found.table.select("avoided", "avoided_high", "caused", "caused_high").to_numpy().max() <= 2
    assert set(LABELS) >= {"observed", "none"}


def test_what_one_replay_misses(outage: Incident) -> None:
    """Counted one replay at a time, the missed targets are those of the table, on every draw and on none."""
    board = ik.compare(outage, [outage.policies[0]], draws=3)
    for draws in (0, 3):
        found = consequences(board, draws=draws)
        [(name, counts)] = [(name, kept) for (name, assuming), kept in found.counts.items() if assuming == HANDLING]
        logged, missed = row(found, HANDLING)["logged"], missed_by(outage, draws=draws, seed=board.seed)
        mine = [
            missed(on_draw(board.replays[name], draw, draws=3) if draws else board.replays[name], draw)
            for draw in range(max(draws, 1))
        ]
        assert mine == pytest.approx(logged - counts["avoided"] + counts["caused"])
        assert missed(board.replays["as logged"], 0) == logged
        assert len(set(mine)) == max(draws, 1)


def test_a_clock_without_a_due_time_is_not_missed() -> None:
    asks = [Ask(100, 30, 5)]
    clocks = [Clock(620, 600, assigned=0), Clock(620, 600, ticket="T2", more={"target_s": None, "due_at": None})]
    incident, board = world(clocks, [*asks, Ask(100, 30, 5, ticket="T2")])
    found = consequences(board)
    assert (row(found)["clocks"], row(found)["logged"]) == (2, 1)
    assert missed_by(incident, draws=0, seed=0)(board.replays["other"], 0) == 0
