"""Tuning over a library: bills of hand-written incidents, what a tuning says of them, what it recommends, how it stops."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from written import START, Call, Request, fill

import incident_kit as ik
from incident_kit.case import open_case
from incident_kit.errors import InvalidCase, InvalidSweep, NoSuchItem
from incident_kit.helpdesk.consequences import HANDLING, consequences
from incident_kit.incident import Incident
from incident_kit.optimization import tunings
from incident_kit.optimization.bills import EVERYTHING, LOGGED, NOTHING, Bill, billed
from incident_kit.optimization.library import Library
from incident_kit.optimization.objective import COUNTED, PARTS, Objective
from incident_kit.samples import OUTAGE
from incident_kit.samples import sample as bundled
from incident_kit.store import Store

POLICY = ik.Policy.parse(
    "routes: [{intent: chat, primary: big, fallback: small, max_p95_ms: 2000, "
    "breaker: {window: 10s, min_requests: 1, cooldown: 5s, half_open: {requests: 1}}}]"
)
LIMIT = "chat.max_p95_ms"
GRID = {LIMIT: [1000, 4000, 9000]}
OPTIONS = {"draws": 3}


def incident(shift: int = 0, *, slow_ms: int = 6000, overridden: bool = True) -> Incident:
    """Return a request a second for a minute: from 20 s to 40 s the primary is slow; every fourth request goes to small."""
    requests = []
    for i in range(60):
        is_small, is_bad = i % 4 == 3, 20 <= i < 40
        call = Call("small", 900 + shift) if is_small else Call("big", slow_ms if is_bad else 500 + shift)
        answered = Call(
            call.target, call.latency_ms, tool_calls=1, tool_errors=int(is_small and i % 8 == 3), cost_usd=0.01
        )
        requests.append(
            Request(
                f"r{i:02}",
                1000 * i,
                [answered],
                requested="big",
                overridden=overridden if is_small else False,
                tools_offered=1,
            )
        )
    found = Incident(fill(Store(), requests))
    found.slow_ms = 2000
    found.annotate("impact", START + timedelta(seconds=20), START + timedelta(seconds=46))
    found.answers = {}
    return found


@pytest.fixture(scope="module")
def library() -> Library:
    return Library({"a": incident(), "b": incident(100), "c": incident(50, slow_ms=9000)})


@pytest.fixture(scope="module")
def tuned(library: Library) -> tunings.Tuning:
    return ik.tune(library, POLICY, GRID, **OPTIONS)


def test_a_bill_of_what_was_logged() -> None:
    """On paper: 15 calls of big at 6 s are each 4 s over what is slow; 15 edited answers of small; 60 cents; 8 tools failed."""
    rows = billed(incident(), {"setting 0": POLICY}, ends=POLICY, draws=2, seed=0)
    bill = Bill.read("a", rows)
    assert bill.policies == (LOGGED, "setting 0", NOTHING, EVERYTHING)
    assert bill.intents == ("chat",)
    own = dict(zip(PARTS, bill.values[bill.of(LOGGED)].sum(axis=0)[:, 0].tolist(), strict=True))
    assert own == pytest.approx(
        {"slow_s": 60, "failed": 0, "handed_over": 0, "tool_failures": 8, "without_tools": 0, "overrides": 15, "usd": 0.6,
         "breaches": 0, "false_trips": 0}
    )  # fmt: skip
    assert bill.costs(Objective.of({}))[bill.of(LOGGED), 0] == pytest.approx(60 * 0.02 + 8 * 0.5 + 15 + 0.6)
    assert bill.facts["healthy_h"] * 3600 == pytest.approx(33)
    assert bill.seen(LOGGED) == 1
    assert bill.seen(NOTHING) == 0.75
    assert bill.untold([NOTHING]) == 0


def test_breaches_are_those_of_every_draw() -> None:
    outage = open_case(bundled(OUTAGE), in_memory=True)
    policy = outage.policies[0]
    bill = Bill.read("outage", billed(outage, {"setting 0": policy}, ends=policy, draws=3, seed=0))
    breaches = bill.values[:, -1, PARTS.index("breaches")]
    assert len(set(breaches[bill.of("setting 0")])) == 3
    found = consequences(ik.compare(outage, [policy], draws=3)).table.row(
        by_predicate=pl.col("assuming") == HANDLING, named=True
    )
    assert breaches[bill.of(LOGGED)].tolist() == [found["logged"]] * 3
    expected = found["logged"] - found["avoided"] + found["caused"]
    assert breaches[bill.of("setting 0")].mean() == pytest.approx(expected)


def test_never_switching_waits_and_the_backup_is_edited(tuned: tunings.Tuning) -> None:
    for bill in tuned.bills:
        parts = {name: bill.values[bill.of(name)].mean(axis=-1).sum(axis=0) for name in (NOTHING, EVERYTHING)}
        slow, edited = PARTS.index("slow_s"), PARTS.index("overrides")
        assert parts[NOTHING][slow] > parts[EVERYTHING][slow]
        assert parts[NOTHING][edited] < parts[EVERYTHING][edited]


def test_the_table_adds_up(tuned: tunings.Tuning) -> None:
    table = tuned.table()
    assert table["setting"].to_list() == [0, 1, 2, 3]
    assert table[LIMIT].to_list() == [2000, 1000, 4000, 9000]
    for row in table.iter_rows(named=True):
        assert row["cost"] == pytest.approx(sum(tuned.objective.weights[part] * row[part] for part in PARTS))
    assert table["loss"].min() == 0
    assert table.filter("is_chosen")["is_flat"].to_list() == [True]
    one = tuned.table(on=["b"])
    assert one["cost"].sum() < table["cost"].sum()
    nothing = sum(float(bill.costs(tuned.objective)[bill.of(NOTHING)].mean()) for bill in tuned.bills)
    assert (table["cost"] + table["gain"] - nothing).abs().max() == pytest.approx(0)


def test_a_limit_that_nothing_reaches_is_never_switching(tuned: tunings.Tuning) -> None:
    """In b, no call takes longer than 6 s: at 9 s the policy stays, and gains nothing."""
    assert tuned.table(on=["b"])["gain"][3] == 0


def test_other_weights_change_the_verdict(tuned: tunings.Tuning) -> None:
    waits = tuned.costing({"slow_s": 5, "overrides": 0, "tool_failures": 0}).recommend()
    edits = tuned.costing({"slow_s": 0, "overrides": 5}).recommend()
    assert waits.setting.values[0] < edits.setting.values[0]
    assert waits.is_worth_it
    assert not edits.is_worth_it
    assert "Beyond noise it costs no less than never switching at all." in edits.warnings
    assert waits.policy == POLICY.with_value(LIMIT, waits.setting.values[0])


def test_a_recommendation_says_what_it_rests_on(tuned: tunings.Tuning) -> None:
    found = tuned.recommend(on=["a", "b"])
    said = str(found)
    assert found.others == ("c",)
    assert found.incidents["tuned_on"].to_list() == [True, True, False]
    assert (found.incidents["hindsight"] <= found.incidents["best"] + 1e-9).all()
    assert (found.incidents["best"] <= found.incidents["recommended"] + 1e-9).all()
    assert found.left_out["incident"].to_list() == ["a", "b"]
    assert set(found.other_weights["part"]) == set(PARTS)
    assert "On the one incident it was not chosen on it costs" in said
    assert "It rests on 2 incidents: a threshold tuned on so few is an anecdote." in said
    assert "What would change the verdict:" in said
    table = next(line for line in said.splitlines() if line.startswith("counts"))
    assert table.split() == [
        "counts",
        "never",
        "as",
        "logged",
        "as",
        "it",
        "stands",
        "recommended" if found.is_worth_it else "cheapest",
    ]
    table = said.split("\n\n")[1].splitlines()
    assert table[-1].startswith("with hindsight, US dollars")
    assert max(map(len, table)) < 80
    assert not [one for one in COUNTED.values() if len(one) > 27]


def test_one_incident_that_carries_all_is_named(library: Library) -> None:
    """Tools and edits cost nothing; only in c, where calls take 9 s, does a limit of 8 s change anything."""
    policy = POLICY.with_value(LIMIT, 20_000)
    found = ik.recommend(
        library, policy, {LIMIT: [8000]}, objective={"overrides": 0, "tool_failures": 0, "false_trips": 0}, **OPTIONS
    )
    assert found.setting.values == (8000,)
    assert "It is better than the policy as it stands on one incident only, c." in found.warnings


def test_a_stopped_tuning_goes_on(library: Library, tuned: tunings.Tuning, tmp_path: Path) -> None:
    file = tmp_path / "tuned.parquet"
    part = ik.tune(library, POLICY, GRID, **OPTIONS, resume=file, progress=lambda done, _: done < 2)
    assert part.incidents == ("a", "b")
    assert part.recommend().warnings[0] == "The tuning was stopped before its end: some incidents are not in it."
    seen: list[int] = []
    again = ik.tune(library, POLICY, GRID, **OPTIONS, resume=file, progress=lambda done, _: seen.append(done))
    assert seen == [3]
    assert again.table().equals(tuned.table())
    changed = Library({**{name: library[name] for name in "ab"}, "c": incident(51, slow_ms=9000)})
    ik.tune(changed, POLICY, GRID, **OPTIONS, resume=file, progress=lambda done, _: seen.append(done))
    assert seen == [3, 3]  # an incident that changed is replayed anew, and no other
    with pytest.raises(InvalidSweep, match="its grid differs"):
        ik.tune(library, POLICY, {LIMIT: [1000]}, **OPTIONS, resume=file)


def test_what_cannot_be_told_is_left_out_and_named(library: Library) -> None:
    """A log in which nobody ever went to small cannot say what small would have done."""
    lone = Incident(
        fill(Store(), [Request(f"r{i}", 1000 * i, [Call("big", 5000)], requested="big") for i in range(30)])
    )
    lone.answers = {}
    found = ik.tune(Library({"lone": lone, "a": library["a"]}), POLICY, GRID, **OPTIONS)
    assert found.incidents == ("a",)
    assert "cannot tell what" in found.untold["lone"]
    assert "lone is left out: its logs cannot tell" in str(found.recommend())
    with pytest.raises(NoSuchItem, match="cannot tell"):
        found.on(["lone"])
    with pytest.raises(InvalidSweep, match=r"could be judged\. lone: "):
        ik.tune(Library({"lone": lone}), POLICY, GRID, **OPTIONS)


def test_what_a_log_does_not_answer_is_said(library: Library) -> None:
    bare = Incident(
        fill(Store(), [Request("r", 0, [Call("big", 500)])])
    )  # nothing was loaded, so nothing can be answered
    found = ik.tune(Library({"bare": bare, "a": library["a"]}), POLICY, GRID, **OPTIONS)
    assert found.incidents == ("a",)
    assert "cannot be judged on this log" in found.untold["bare"]


def test_the_parts_have_a_frontier(tuned: tunings.Tuning) -> None:
    found = ik.frontier(tuned.scores, metrics=["slow_s", "overrides", "usd", "breaches"])
    assert found.height == 4
    assert found["on_frontier"].any()


def test_a_library_is_a_folder_or_paths_or_incidents(tmp_path: Path, library: Library) -> None:
    for name in ("b", "a"):
        ik.pack(incident(), tmp_path / name)
    folder = Library(tmp_path)
    assert folder.names == ("a", "b")
    assert Library([tmp_path / "b"]).names == ("b",)
    assert folder["a"].about()["requests"] == 60
    assert folder.table.select("incident", "requests", "impacts").rows() == [("a", 60, 1), ("b", 60, 1)]
    assert folder.members["a"].mark() == Library([tmp_path / "a"]).members["a"].mark()
    with pytest.raises(NoSuchItem, match="it has a, b"):
        folder["c"]
    with pytest.raises(InvalidCase, match="needs an incident"):
        Library([])
    train, test = library.split(0.6, seed=1)
    assert (len(train), len(test), {*train, *test}) == (2, 1, {"a", "b", "c"})
    with pytest.raises(InvalidCase, match="without any"):
        library.split(0.1)


@pytest.mark.slow
def test_processes_give_the_same_bills(tuned: tunings.Tuning, library: Library) -> None:
    found = ik.tune(library, POLICY, GRID, **OPTIONS, jobs=2)
    assert found.table().equals(tuned.table())


def test_variants_of_a_scenario_are_a_library(tmp_path: Path) -> None:
    from incident_kit.samples import OUTAGE, sample

    found = Library.simulated(sample(OUTAGE) / "scenario.yaml", tmp_path, seeds=range(1, 5), busy=0.02)
    assert found.names == ("incident-1", "incident-2", "incident-3", "healthy-4")
    assert found.table.select("impacts", "simulated").rows() == [(1, True)] * 3 + [(0, True)]
    assert pl.Series(found.table["requests"]).is_between(300, 700).all()
