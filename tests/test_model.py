"""The model of what the log does not hold: facts stand, the rest is drawn from real calls, the same way every time."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from written import Call, Request, fill

from incident_kit.engine.runs import IN_QUEUE
from incident_kit.estimation.evidence import LABELS, NONE, Estimator, Outcomes
from incident_kit.estimation.model import CENTRAL, Draw, Model
from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME
from incident_kit.incident import Incident
from incident_kit.log import Log, read
from incident_kit.policies.baselines import always_fallback, always_primary
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import on_draw, replay, replay_log
from incident_kit.scoring.scorecard import compare
from incident_kit.scoring.scores import AS_LOGGED
from incident_kit.store import Store

TARGETS = ("big", "small")
CHAT = Policy.parse(
    "{name: chat, routes: [{intent: '*', primary: big, fallback: small, on_fallback: {tools: disabled}}]}"
)


def requests(count: int = 120) -> list[Request]:
    """Return a log of two intents; big serves the first and last third, small the rest, slower and less well."""
    random = np.random.default_rng(7)
    found = []
    for i in range(count):
        on_small = count // 3 <= i < 2 * count // 3
        target = "small" if on_small else "big"
        error = "503" if random.random() < 0.1 else None
        call = Call(
            target, int(random.lognormal(6.5 if on_small else 6, 0.4)), error,
            tool_calls=None if error else 2, tool_errors=None if error else int(random.random() < 0.3),
        )  # fmt: skip
        found.append(
            Request(
                f"r{i}", 15_000 * i, [call], intent=("chat", "mail")[int(random.integers(2))],
                overridden=None if error else bool(random.random() < 0.2), tools_offered=1, complete=True, requested="big",
            )
        )  # fmt: skip
    return found


@cache
def model() -> Model:
    log = read(fill(Store(), requests()))
    begin, end = (int(log.arrived_us[i]) for i in (40, 80))
    return Model(log, ((begin, end),))


def with_posteriors(log: Log) -> Model:
    """Return a model of the same log, read anew, without a second fit."""
    found = Model(log, model().spans)
    found.__dict__["posteriors"] = model().posteriors
    return found


def outcomes(of: Model, draw: int = CENTRAL, *, seed: int = 0, **asked: Any) -> Outcomes:
    everyone = np.arange(len(of.log))
    return of.at(draw, draws=5, seed=seed)(of.log, everyone, TARGETS, **{"attempts": 2} | asked)


def test_facts_stand_in_their_own_cells() -> None:
    found, log = outcomes(model()), model().log
    records = found.records
    for i in range(len(log)):
        entry = TARGETS.index(log.targets[log.first_target[i]])
        own = records[entry, 0, i]
        assert (own["latency_ms"], own["error"], own["estimated"]) == (log.wait_ms[i], log.error[i], 0)
        assert found.donor[entry, 0, i] == log.calls.starts[i]
    assert (records["estimated"] == 1).sum() == records.size - len(log)


def test_what_is_borrowed_is_a_real_call_of_the_same_target() -> None:
    found, calls, log = outcomes(model(), 2), model().log.calls, model().log
    told = found.records["kind"] == CALL
    assert told.all()
    for entry, target in enumerate(TARGETS):
        assert (calls.target[found.donor[entry]] == log.targets.index(target)).all()
    assert set(np.unique(found.label)) <= set(range(1, len(LABELS)))


def test_the_same_seed_gives_the_same_worlds_in_any_order_of_rows() -> None:
    mixed = requests()
    np.random.default_rng(1).shuffle(mixed)  # type: ignore[arg-type]
    again = with_posteriors(read(fill(Store(), mixed)))
    for name in ("call", "target", "sent_us", "latency_ms"):
        assert (getattr(again.observations, name) == getattr(model().observations, name)).all()
    for draw in (CENTRAL, 0, 3):
        one, other = outcomes(model(), draw), outcomes(again, draw)
        assert (one.records == other.records).all()
        assert (one.donor == other.donor).all()


def test_another_seed_or_draw_gives_another_world() -> None:
    worlds = [outcomes(model(), draw, seed=seed) for draw, seed in ((0, 0), (1, 0), (0, 1))]
    for i, one in enumerate(worlds):
        for other in worlds[i + 1 :]:
            assert (one.donor != other.donor).any()


def test_what_is_sent_later_borrows_from_then() -> None:
    """Small answered in the middle third only: what comes in before, and is sent then, has its own cell there."""
    of, log = model(), model().log
    everyone = np.arange(len(log))
    middle = int(log.arrived_us[60])
    later = of.at(2, draws=5).sent(np.full(len(log), middle))(log, everyone, TARGETS, attempts=1)
    usual = of.at(2, draws=5)(log, everyone, TARGETS, attempts=1)
    small = TARGETS.index("small")
    assert LABELS[usual.label[small, 0]] != "same_cell"  # type: ignore[index]
    assert LABELS[later.label[small, 0]] == "same_cell"  # type: ignore[index]
    assert (later.records["kind"] == CALL).all()
    arrived = of.at(2, draws=5).sent(log.arrived_us)(log, everyone, TARGETS, attempts=1)
    assert (arrived.records == usual.records).all()


def test_requests_that_were_held_are_judged_by_when_they_were_let_go() -> None:
    """All that comes while big is out waits up to ten minutes: what it then meets is of that time, every time."""
    policy = Policy.parse(
        "{name: waits, routes: [{intent: '*', primary: big, fallback: [{queue: 10m}, small], "
        "breaker: {when: error_rate > 0.01, window: 5m, min_requests: 5, cooldown: 8m}}]}"
    )
    runs = [replay_log(model().log, policy, estimator=model().at(1, draws=5)) for _ in range(2)]
    held = runs[0].reason == IN_QUEUE
    assert held.any()
    calls, log = model().log.calls, model().log
    told = held & (runs[0].outcome.call >= 0) & (runs[0].outcome.evidence > 0)
    assert told.any()
    assert (runs[0].outcome.call == runs[1].outcome.call).all()
    early = replay_log(model().log, policy, estimator=_never_later(model().at(1, draws=5)))
    assert (early.outcome.call != runs[0].outcome.call)[told].any()
    assert (early.outcome.call == runs[0].outcome.call)[~held & (log.arrived_us < log.arrived_us[held].min())].all()
    assert (calls.target[runs[0].outcome.call[told]] >= 0).all()


def _never_later(draw: Draw) -> Estimator:
    """Return a draw that does not know of holding."""

    def estimator(*args: Any, **options: Any) -> Outcomes:
        return draw(*args, **options)

    return estimator


def test_what_a_policy_does_not_ask_changes_nothing() -> None:
    """A request's outcome on a target is the same in any route, beside any other targets and requests."""
    of = model()
    chosen = np.arange(0, len(of.log), 7)
    part = of.at(1, draws=5)(of.log, chosen, ["small"], attempts=1)
    whole = outcomes(of, 1)
    assert (part.records[0, 0] == whole.records[1, 0, chosen]).all()


def test_draws_follow_what_the_model_expects() -> None:
    """Over many draws the borrowed outcomes have the posterior's means: nothing is lost between model and donors."""
    of = model()
    asked = np.flatnonzero(of.log.first_target == of.log.targets.index("small"))
    code = of.log.targets.index("big")
    errors, waits, wanted = [], [], []
    for draw in range(40):
        found = of.at(draw, draws=40)(of.log, asked, ["big"], attempts=1)
        errors.append((found.records["error"] > 0).mean())
        waits.append(np.minimum(found.records["latency_ms"], of.observations.cap_ms).mean())
        expected = of.expected(draw, draws=40, seed=0)[:, code].reshape(4, -1)[:, of.cell[asked]].mean(axis=1)
        wanted.append(expected)
    error, _, _, latency = np.mean(wanted, axis=0)
    assert np.mean(errors) == pytest.approx(error, abs=0.02)
    assert np.mean(waits) == pytest.approx(latency * of.observations.cap_ms, rel=0.08)


def test_tools_taken_away_are_never_a_fact_of_answers_with_tools() -> None:
    found = outcomes(model(), without_tools=(False, True))
    assert (found.records["estimated"][1] == 1).all()
    fact = outcomes(model())
    weaker = found.label[1] >= fact.label[1]
    assert weaker.all()
    assert (found.label[1] > fact.label[1]).any()


def test_a_target_that_the_log_does_not_know_has_no_outcome() -> None:
    found = model()(model().log, np.arange(3), ["big", "nowhere"], attempts=1)
    assert (found.records["kind"][1] == NO_OUTCOME).all()
    assert (found.label[1] == NONE).all()


def test_a_longer_timeout_sees_more_of_what_was_cut(store: Store) -> None:
    """Half of big's calls were cut at 1 s, others ran to 3 s: a longer timeout may not find them cut at 1 s again."""
    written = [
        Request(f"r{i}", 10_000 * i, [Call("big", 1000, "timeout") if i % 2 else Call("big", 500 + 100 * (i % 26))])
        for i in range(200)
    ]
    log = read(fill(store, written))
    of = Model(log, is_fitted=False)
    everyone = np.arange(len(log))
    cut, longer = (of(log, everyone, ["big"], attempts=1, timeout_ms=ms) for ms in (1000, 10_000))
    is_cut = cut.records["error"][0, 0] == log.errors.index("timeout")
    assert is_cut.sum() == 100
    assert (cut.records["estimated"] == 0).all()
    redrawn = longer.records[0, 0, is_cut]
    assert (redrawn["estimated"] == 1).all()
    assert (redrawn["latency_ms"] > 1000).all()
    assert (redrawn["error"] == 0).any()


def test_without_a_fit_donors_are_as_they_are() -> None:
    of = Model(model().log, is_fitted=False)
    found = outcomes(of)
    borrowed = found.records["estimated"] == 1
    calls = of.log.calls
    assert (found.records["latency_ms"][borrowed] == calls.latency_ms[found.donor[borrowed]]).all()
    assert (found.records["error"][borrowed] == calls.error[found.donor[borrowed]]).all()
    assert not found.changed.any()


# --- replays and scorecards on it ---


@pytest.fixture(scope="module")
def incident() -> Incident:
    incident = Incident.create()
    fill(incident.store, requests())
    incident.answers = {}
    incident.model = with_posteriors(incident.log)
    return incident


def test_the_logs_own_decisions_are_the_log(incident: Incident) -> None:
    """Identity (EVIDENCE.md section 7, bar 4): a policy that decides as the log did has its means, with width zero."""
    by_time = {True: "small", False: "big"}
    begin, end = (incident.requests()["arrived_at"].sort()[i] for i in (40, 80))
    switch = [{"from": begin.isoformat(), "until": end.isoformat(), "to": by_time[True]}]
    same = Policy.parse(
        f"{{name: same, routes: [{{intent: '*', primary: big, fallback: small, fallback_on: [], switch: {switch}}}]}}"
    )
    board = compare(incident, [same], metrics=["mean_ms", "error_rate", "tool_success_rate", "override_rate"])
    table = board.table().filter(policy="same")
    assert (table["share_observed"] == 1).all()
    for row in table.iter_rows(named=True):
        assert row["estimate"] == pytest.approx(row["observed"], abs=1e-12)
        assert row["high"] - row["low"] == pytest.approx(0, abs=1e-12)
        assert row["diff"] == pytest.approx(0, abs=1e-12)
    assert (board.difference("same", AS_LOGGED)["estimate"].abs() <= 1e-12).all()


def test_intervals_hold_their_estimates_and_lie_within_the_bounds(incident: Incident) -> None:
    board = compare(incident, {"primary": always_primary(CHAT), "backup": always_fallback(CHAT)}, draws=20)
    table = board.table(by="intent").filter(pl.col("policy") != AS_LOGGED, pl.col("estimate").is_not_null())
    assert (table["low"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["high"]).all()
    bounded = table.drop_nulls("bound_low")
    assert (bounded["bound_low"] <= bounded["low"]).all()
    assert (bounded["high"] <= bounded["bound_high"]).all()
    waits = table.filter(metric="p95_ms")
    assert (waits["low"] < waits["high"]).all()


def test_differences_are_on_common_draws(incident: Incident) -> None:
    """A policy against itself under another name: no noise is left."""
    board = compare(incident, {"a": always_fallback(CHAT), "b": always_fallback(CHAT)}, draws=10)
    table = board.difference("a", "b").drop_nulls()
    assert table.height
    assert (table["estimate"] == 0).all()
    assert (table["low"] == table["high"]).all()


def test_the_share_of_draws_that_decide_alike(incident: Incident) -> None:
    rule = "{when: error_rate > 0.05, min_requests: 3, window: 10m, cooldown: 2m}"
    policy = Policy.parse(f"routes: [{{intent: '*', primary: big, fallback: small, fallback_on: [], breaker: {rule}}}]")
    found = replay(incident, policy, draws=8)
    drawn = [on_draw(found, draw, draws=8).first_target for draw in range(8)]
    share = np.mean([one == found.first_target for one in drawn], axis=0)
    assert (found.agreement <= share + 1e-6).all()
    assert found.agreement.min() + 1e-9 > 0
    assert replay(incident, policy).agreement is None
    assert found.decisions["agreement"].to_list() == pytest.approx(found.agreement.tolist())


def test_changed_calls_are_counted_as_changed(store: Store) -> None:
    """The machine, too, hears of tools and reviews as the draw has them."""
    log: Log = read(fill(store, requests()))
    of = Model(log, is_fitted=False)

    def all_overridden(*args: Any, **asked: Any) -> Outcomes:
        found = of(*args, **asked)
        return Outcomes(
            found.records, found.donor, found.label, np.where(found.records["estimated"] == 1, np.int8(8), np.int8(0))
        )

    rule = "{when: override_rate > 0.9, min_requests: 10, window: 10m}"
    policy = Policy.parse(f"routes: [{{intent: '*', primary: small, fallback: big, breaker: {rule}}}]")
    assert replay_log(log, policy, estimator=of).transitions.is_empty()
    found = replay_log(log, policy, estimator=all_overridden)
    assert found.transitions.height
    said = found.outcomes.filter(found.decisions["adjusted"])["overridden"].drop_nulls()
    assert len(said)
    assert said.all()
