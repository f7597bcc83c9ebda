"""A scenario as a case: the log of the policy in force replays to its own decisions, and every file says the same."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from incident_kit.case import open_case
from incident_kit.errors import InvalidScenario, UnwritableFile
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.scenarios.desk import Desk
from incident_kit.scenarios.litellmlog import litellm_records
from incident_kit.scenarios.played import Played, play
from incident_kit.scenarios.scenario import Scenario
from incident_kit.scenarios.truth import draw_truth
from incident_kit.scoring.replays import replay
from incident_kit.simulation import FORMATS, simulate

BLIND = (
    "name: blind\nroutes:\n- {intent: '*', primary: big, fallback: small, max_p95_ms: 2000, breaker: {cooldown: 30s}}\n"
)
POLICIES = {
    "blind": BLIND,
    "retries": (
        "defaults: {retry: {attempts: 1, retry_on: [5xx, 429, timeout], timeout_ms: 4000}, fallback_on: [5xx, 429, timeout]}\n"
        "routes:\n- {intent: '*', primary: big, fallback: small, breaker: {when: {any: [p95_ms > 2500, error_rate > 0.2]}}}\n"
    ),
    "without tools": (
        "routes:\n- {intent: refund, primary: big, fallback: small, max_p95_ms: 2500, disable_tools_on_fallback: true}\n"
    ),
    "probing": (
        "routes:\n- intent: '*'\n  primary: big\n  fallback: small\n  breaker: {when: {at_least: 2, of: [p95_ms > 2000, "
        "error_rate > 0.05, slow_rate(3000ms) > 0.1]}, window: 40 requests, for: 5s, half_open: {requests: 4, share: 0.5, "
        "when: p95_ms < 1500}}\n"
    ),
}  # fmt: skip


def tree(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "start": "2026-10-05T12:00:00Z", "duration": "20m", "seed": 11, "zone": "Europe/Berlin",
        "targets": {
            "big": {
                "latency_ms": {"median": 800, "p95": 1600}, "errors": {"503": 0.01}, "deployments": ["a", "b"], "price": [2, 8],
            },
            "small": {"latency_ms": {"median": 500, "p95": 1100}, "malformed": 0.2, "failing": 0.1, "override": 0.2},
        },
        "intents": {
            "refund": {
                "requested": "big", "per_minute": 30, "tools": ["lookup", "issue"], "reviewed": 0.8, "ticketed": 0.9,
                "turns": 2.5,
            },
            "chat": {"requested": "big", "per_minute": 20, "stream": 0.6, "reviewed": 0.1, "channel": "email"},
        },
        "degradations": [
            {"target": "big", "from": "6m", "until": "14m", "ramp": "2m", "slow": 3, "errors": {"503": 0.1}, "hang": 0.005},
            {"target": "small", "from": "7m", "until": "15m", "failing": 0.3, "text": "tools break in silence"},
        ],
        "hangs": "20s",
    }  # fmt: skip
    return whole | changes


def script(**changes: Any) -> Scenario:
    return Scenario.of(tree(**changes))


@pytest.fixture(scope="module")
def played() -> Played:
    return play(draw_truth(script()), Policy.parse(BLIND))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    return open_case(simulate(script(), tmp_path_factory.mktemp("case"), policy=Policy.parse(BLIND)), in_memory=True)


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(gzip.decompress(file.read_bytes()).decode())))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "log_format"),
    [*((name, "litellm_standard") for name in POLICIES), ("retries", "canonical"), ("probing", "canonical_parquet")],
)
def test_a_log_replays_to_the_decisions_that_made_it(name: str, log_format: str, tmp_path: Path) -> None:
    policy = Policy.parse(POLICIES[name])
    folder = simulate(script(), tmp_path / "case", policy=policy, formats=[log_format], truth=False)
    incident = open_case(folder, in_memory=True)
    again = replay(incident, policy)
    made = play(draw_truth(script()), policy).replay
    assert again.fidelity == 1
    # LiteLLM's log does not say how long a fallback took: its outcome is worked out, and may be another one
    assert again.overlap == 1 if log_format != "litellm_standard" else again.overlap > 0.998
    assert again.state_exact_share == 1
    assert (again.first_target == made.first_target).all()
    assert (again.changes[:, 2] == made.changes[:, 2]).all()
    assert len(again.changes) >= 4
    assert set(again.first_target.tolist()) == {0, 1}


def test_the_log_says_what_was_played(case: Incident, played: Played) -> None:
    logged = case.requests().sort("request_id")
    made = played.requests.sort("request_id")
    for name in (
        "arrived_at",
        "wait_ms",
        "served",
        "status",
        "error_class",
        "intent",
        "ticket_id",
        "conversation_id",
        "channel",
    ):
        assert logged[name].to_list() == made[name].to_list(), name
    for name in ("tool_calls", "tool_errors", "prompt_tokens", "completion_tokens", "stream"):
        ours = (
            made.with_columns(pl.when(pl.col("status") == "ok").then(name).alias(name))
            if name == "prompt_tokens"
            else made
        )
        served = (made["status"] == "ok").to_numpy()
        assert logged[name].filter(served).to_list() == ours[name].filter(served).to_list(), name
    assert made.filter(pl.col("tool_errors") > 0).height > 30
    cost = logged["cost_usd"].fill_null(0).to_numpy() - made["cost_usd"].fill_null(0).to_numpy()
    assert np.abs(cost).max() < 1e-9
    attempts = case.attempts()
    assert set(attempts["deployment"].unique()) == {"a", "b", "small-1"}
    assert attempts.filter(pl.col("first_token_at").is_not_null()).height > 100


def test_the_record_of_a_streamed_answer_begins_with_the_request(played: Played) -> None:
    arrived = dict(zip(played.requests["request_id"], played.requests["arrived_at"], strict=True))
    seen = set()
    for record in litellm_records(played):
        begins = datetime.fromtimestamp(record["startTime"], UTC)
        asked = arrived[record["litellm_call_id"]]
        streamed, later = record["stream"] is True, record["id"].endswith("-2")
        if record["status"] == "success" and later:
            assert (begins == asked) == streamed
            seen.add(streamed)
    assert seen == {True, False}


def test_both_formats_tell_the_same(case: Incident, tmp_path: Path) -> None:
    folder = simulate(script(), tmp_path, policy=Policy.parse(BLIND), formats=["canonical"], truth=False)
    own = open_case(folder, in_memory=True)
    for name in ("arrived_at", "wait_ms", "served", "status", "tool_calls", "tool_errors", "intent", "ticket_id"):
        both = [incident.requests().sort("request_id")[name].to_list() for incident in (case, own)]
        assert both[0] == both[1], name
    assert case.feedback().drop("load_id").equals(own.feedback().drop("load_id"))


def test_what_the_log_can_answer(case: Incident) -> None:
    answers = {name: answer.answer for name, answer in case.answers.items()}
    assert answers["tools"] == answers["overrides"] == answers["sla"] == answers["intents"] == "yes"
    assert case.is_simulated
    assert case.zone == "Europe/Berlin"
    assert case.in_force == Policy.parse(BLIND)
    impact = next(phase for phase in case.phases if phase.kind == "impact")
    assert impact.at == datetime(2026, 10, 5, 12, 6, tzinfo=UTC)
    assert impact.until == datetime(2026, 10, 5, 12, 15, tzinfo=UTC)
    assert impact.text == "tools break in silence"
    assert case.prices == {"big": (2, 8), "small": (0, 0)}


def test_agents_decide_on_answers_only(case: Incident, played: Played) -> None:
    feedback, requests = case.feedback(), played.requests
    answered = set(requests.filter(pl.col("status") == "ok")["request_id"])
    assert set(feedback["request_id"]) <= answered
    refund = requests.filter(pl.col("status") == "ok", intent="refund")
    assert feedback.filter(
        pl.col("request_id").is_in(refund["request_id"].to_list())
    ).height / refund.height == pytest.approx(0.8, abs=0.05)
    final = played.attempts.filter("is_final").select("request_id", "overridden")
    joined = feedback.join(final, on="request_id", suffix="_truth").filter(pl.col("overridden").is_not_null())
    assert (joined["overridden"] == joined["overridden_truth"]).all()
    assert {"accepted", "edited", "rejected", "ignored"} == set(feedback["decision"])
    assert (feedback["at"] >= feedback["shown_at"]).drop_nulls().all()
    assert feedback.filter(decision="edited")["edit_ratio"].is_not_null().all()


def test_breaches_are_late_first_replies(case: Incident, played: Played) -> None:
    tickets, sla = case.tickets(), case.sla()
    assert tickets.height == played.truth.requests["ticket_id"].drop_nulls().n_unique()
    joined = sla.join(tickets, on="ticket_id")
    assert joined.height == tickets.height
    replied = joined.filter(pl.col("first_reply_at").is_not_null())
    late = replied["first_reply_at"] - replied["created_at"] > replied["target_s"] * timedelta(seconds=1)
    assert (replied["breached"] == late).all()
    assert 0 < late.sum() < tickets.height / 2
    target = dict(zip(joined["priority"], joined["target_s"], strict=True))
    assert target == {"urgent": 900, "high": 1800, "normal": 3600, "low": 14_400}
    assert (replied["stopped_at"] == replied["first_reply_at"]).all()
    events = case.store.frame("select * from ticket_events")
    assert set(events["type"]) == {"escalation", "reopen"}
    reopened = set(events.filter(type="reopen")["ticket_id"])
    assert reopened == set(tickets.filter(pl.col("reopens") > 0)["ticket_id"])
    end = datetime(2026, 10, 5, 14, 20, tzinfo=UTC)
    for name in ("first_reply_at", "solved_at"):
        assert tickets[name].drop_nulls().max() <= end
    assert events["at"].max() <= end


def test_bad_answers_come_back() -> None:
    sure = {"escalated": 0, "escalated_if_bad": 1, "reopened": 0, "reopened_if_bad": 1, "solve_s": {"median": 60}}
    made = Desk(play(draw_truth(script(desk=sure)), Policy.parse(BLIND)))
    tickets = made.tickets
    assert (tickets["escalated"] == tickets["bad"]).all()
    assert 0.05 < tickets["bad"].mean() < 0.9
    assert (tickets.filter("by_hand")["bad"]).all()


def test_the_truth_holds_what_the_log_shows(tmp_path: Path, played: Played) -> None:
    folder = simulate(script(), tmp_path, policy=Policy.parse(BLIND))
    truth = {
        (row["request_id"], row["target"], row["attempt"]): row for row in rows_of(folder / "truth" / "calls.csv.gz")
    }
    assert len(truth) == len(played.truth) * 2 * 2
    for row in played.attempts.to_dicts():
        cell = truth[row["request_id"], row["target"], str(row["number"] + 1)]
        assert cell["latency_ms"] == str(row["latency_ms"])
        assert cell["error_class"] == (row["error_class"] or "")
        if row["status"] == "ok":
            assert cell["tool_calls"] == str(row["tool_calls"])
            assert cell["overridden"] == str(int(row["overridden"]))
        else:
            assert cell["tool_calls"] == cell["overridden"] == ""


def test_the_same_scenario_is_the_same_bytes(tmp_path: Path) -> None:
    every = [simulate(script(), tmp_path / name, policy=Policy.parse(BLIND), formats=FORMATS) for name in ("a", "b")]
    files = [sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file()) for folder in every]
    assert files[0] == files[1]
    assert len(files[0]) == 12
    for name in files[0]:
        assert (every[0] / name).read_bytes() == (every[1] / name).read_bytes(), name
    other = simulate(script(seed=12), tmp_path / "c", policy=Policy.parse(BLIND))
    log = Path("logs/standard_logging.ndjson.gz")
    assert (other / log).read_bytes() != (every[0] / log).read_bytes()


@pytest.mark.slow
def test_a_scenario_file_goes_along_with_its_policies(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "policies").mkdir(parents=True)
    (source / "policies" / "blind.yaml").write_text(BLIND)
    text = json.dumps(tree(in_force="policies/blind.yaml", policies=["policies/blind.yaml"]))
    (source / "script.yaml").write_text(text)
    (source / "below").mkdir()
    (source / "below" / "script.yaml").write_text(text.replace("policies/blind.yaml", "../policies/blind.yaml"))
    moved = simulate(source / "below" / "script.yaml", tmp_path / "moved", truth=False)
    assert (moved / "scenario.yaml").read_text() == text
    again = simulate(moved / "scenario.yaml", moved, truth=False)
    assert open_case(again, in_memory=True).in_force == Policy.parse(BLIND)
    away = simulate(source / "script.yaml", tmp_path / "away", truth=False)
    assert (away / "policies" / "blind.yaml").read_text() == BLIND
    assert (away / "scenario.yaml").read_bytes() == (source / "script.yaml").read_bytes()
    here = simulate(source / "script.yaml", source, truth=False)
    for folder in (away, here):
        incident = open_case(folder, in_memory=True)
        assert incident.in_force == Policy.parse(BLIND)
        assert [policy.name for policy in incident.policies] == ["blind"]
    log = Path("logs/standard_logging.ndjson.gz")
    assert (away / log).read_bytes() == (here / log).read_bytes()


def test_a_policys_path_may_be_part_of_anothers(tmp_path: Path) -> None:
    for name in ("a.yaml", "ba.yaml"):
        (tmp_path / name).write_text(BLIND)
    (tmp_path / "script.yaml").write_text(json.dumps(tree(in_force="a.yaml", policies=["ba.yaml", "a.yaml"])))
    moved = Scenario.load(simulate(tmp_path / "script.yaml", tmp_path / "moved", truth=False) / "scenario.yaml")
    assert (moved.in_force, moved.policies) == ("policies/a.yaml", ("policies/ba.yaml", "policies/a.yaml"))


def test_policies_of_one_name_are_copied_beside_each_other(tmp_path: Path) -> None:
    """Of two folders, and where capitals do not count."""
    paths = ["ours/blind.yaml", "theirs/Blind.yaml", "in-force.yaml"]
    for name, path in zip(("p0", "p1", "p2"), paths, strict=True):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(BLIND.replace("name: blind", f"name: {name}"), encoding="utf-8")
    (tmp_path / "script.yaml").write_text(json.dumps(tree(in_force=paths[0], policies=paths[1:])), encoding="utf-8")
    other = Policy.parse(BLIND.replace("2000", "3000"))
    made = simulate(tmp_path / "script.yaml", tmp_path / "made", policy=other, truth=False)
    assert len({file.name.casefold() for file in (made / "policies").iterdir()}) == 4, "the policy given, too"
    incident = open_case(made, in_memory=True)
    assert incident.in_force == other
    assert [policy.name for policy in incident.policies] == ["p1", "p2"]
    assert Policy.load(made / Scenario.load(made / "scenario.yaml").in_force).name == "p0"


def test_only_the_first_failure_of_a_request_may_be_logged(tmp_path: Path) -> None:
    failing = {name: {"latency_ms": {"median": 100}, "errors": {"500": 0.5}} for name in ("big", "small")}
    counts = {}
    for rows in ("all", "first"):
        many = script(failure_rows=rows, targets=failing, degradations=[])
        folder = simulate(many, tmp_path / rows, policy=Policy.parse(BLIND), truth=False)
        lines = gzip.decompress((folder / "logs" / "standard_logging.ndjson.gz").read_bytes()).decode().splitlines()
        counts[rows] = [json.loads(line)["status"] for line in lines]
        requests = len({json.loads(line)["litellm_call_id"] for line in lines})
    assert counts["first"].count("success") == counts["all"].count("success")
    assert counts["first"].count("failure") < counts["all"].count("failure")
    assert len(counts["first"]) == counts["first"].count("success") + counts["first"].count("failure")
    assert len(counts["first"]) >= requests


def test_what_cannot_be_simulated(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match="names no policy in force"):
        simulate(script(), tmp_path / "a")
    with pytest.raises(InvalidScenario, match=r"there is no log format 'litellm' .*there are litellm_standard"):
        simulate(script(), tmp_path / "a", policy=Policy.parse(BLIND), formats=["litellm"])
    with pytest.raises(InvalidScenario, match="no log format ''"):
        simulate(script(), tmp_path / "a", policy=Policy.parse(BLIND), formats=[])
    with pytest.raises(InvalidScenario, match=r"a policy of the scenario cannot be used: .*none\.yaml"):
        simulate(script(in_force="none.yaml"), tmp_path / "a")
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        (folder / "blind.yaml").write_text(BLIND)
    with pytest.raises(InvalidScenario, match="two policy files have the same name"):
        simulate(
            script(in_force=str(tmp_path / "one/blind.yaml"), policies=[str(tmp_path / "two/blind.yaml")]),
            tmp_path / "a",
        )
    assert not (tmp_path / "a").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UnwritableFile, match="is no simulated case"):
        simulate(script(), tmp_path / "mine", policy=Policy.parse(BLIND))
    (tmp_path / "mine" / "incident.yaml").write_text("title: a real one\n")
    with pytest.raises(UnwritableFile, match="is no simulated case"):
        simulate(script(), tmp_path / "mine", policy=Policy.parse(BLIND))
    with pytest.raises(UnwritableFile, match="is a file"):
        simulate(script(), tmp_path / "mine" / "notes.txt", policy=Policy.parse(BLIND))
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_a_simulated_case_is_made_anew_only_where_that_is_said(tmp_path: Path) -> None:
    first, second = (script(seed=seed, duration="2m", degradations=[]) for seed in (1, 2))
    folder = simulate(first, tmp_path / "a", policy=Policy.parse(BLIND))
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(UnwritableFile, match="holds a simulated case already; give a new name, or make it anew"):
        simulate(second, tmp_path / "a", policy=Policy.parse(BLIND))
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    simulate(second, tmp_path / "a", policy=Policy.parse(BLIND), replace=True)
    assert open_case(folder, in_memory=True).requests().height > 50


def test_hardly_anything_happens(tmp_path: Path) -> None:
    quiet = {"chat": {"requested": "big", "per_minute": 1}}
    folder = simulate(script(intents=quiet, duration="5m", degradations=[]), tmp_path, policy=Policy.parse(BLIND))
    incident = open_case(folder, in_memory=True)
    assert 0 < incident.requests().height < 15
    assert incident.tickets().is_empty()
    nobody = script(intents={"chat": {"requested": "big", "per_minute": 0}}, degradations=[])
    with pytest.raises(InvalidScenario, match="nobody asks anything"):
        simulate(nobody, tmp_path / "b", policy=Policy.parse(BLIND))
