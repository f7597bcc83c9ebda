"""The outage sample: made by its scenario, believed by its own truth."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from incident_kit.case import open_case, read_case
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.samples import sample
from incident_kit.scenarios.played import true_outcomes
from incident_kit.scenarios.scenario import Scenario
from incident_kit.scenarios.truth import Truth, draw_truth
from incident_kit.scoring.replays import replay, replay_log
from incident_kit.simulation import simulate

HERE = sample("outage")
POLICIES = HERE / "policies"
NAMES = ("blind", "founding", "extended")
LEFT_ALONE = ("order-status", "billing-dispute", "small-talk")  # of which the founding file says nothing


@pytest.fixture(scope="module")
def truth() -> Truth:
    return draw_truth(Scenario.load(HERE / "scenario.yaml"))


@pytest.fixture(scope="module")
def outage() -> Incident:
    return open_case(HERE, in_memory=True)


@pytest.fixture(scope="module")
def lived(truth: Truth) -> dict[str, pl.DataFrame]:
    """What customers and agents would really have got; what the founding file does not route stays as it was in force."""
    frames = {name: true_outcomes(truth, policy(name)) for name in NAMES}
    alone = pl.col("intent").is_in(LEFT_ALONE)
    frames["founding"] = pl.concat([frames["founding"].filter(~alone), frames["blind"].filter(alone)])
    return frames


def policy(name: str) -> Policy:
    return Policy.load(POLICIES / f"{name}.yaml")


@pytest.mark.slow
def test_every_file_is_reproduced_byte_for_byte(tmp_path: Path) -> None:
    shutil.copytree(POLICIES, tmp_path / "outage" / "policies")
    shutil.copyfile(HERE / "scenario.yaml", tmp_path / "outage" / "scenario.yaml")
    made = simulate(tmp_path / "outage" / "scenario.yaml", tmp_path / "outage")
    files = {
        file.relative_to(HERE) for file in HERE.rglob("*") if file.is_file() and file.suffix not in {".duckdb", ".wal"}
    }
    assert files == {file.relative_to(made) for file in made.rglob("*") if file.is_file()}
    assert len(files) == 11
    for name in sorted(files):
        ours, again = (HERE / name).read_bytes(), (made / name).read_bytes()
        if name.suffix == ".gz":  # what is inside: another zlib may pack the same text otherwise
            ours, again = gzip.decompress(ours), gzip.decompress(again)
        assert ours == again, name


def test_it_is_a_case_by_itself() -> None:
    case = read_case(HERE)
    named = [str(case.in_force), *case.policies, *(source.path for source in case.sources)]
    assert [path for path in named if not (HERE / path).resolve().is_relative_to(HERE.resolve())] == []
    beside = {file.name: file.read_bytes() for file in (HERE.parent / "policies").iterdir()}
    assert beside == {file.name: file.read_bytes() for file in POLICIES.iterdir()}
    script = Scenario.load(HERE / "scenario.yaml")
    assert (script.in_force, script.policies) == (case.in_force, case.policies)
    assert case.decision is not None
    assert case.owners
    of_script = [one and vars(one) for one in (script.decision, *script.owners)]
    assert of_script == [one.model_dump() for one in (case.decision, *case.owners)], (
        "the brief says what the script says"
    )


def test_it_is_small_and_says_that_it_is_simulated() -> None:
    files = [file for file in HERE.rglob("*") if file.suffix in {".gz", ".yaml"}]
    assert sum(file.stat().st_size for file in files) < 4_000_000
    case = read_case(HERE)
    assert case.simulated
    assert (HERE / "incident.yaml").read_text(encoding="utf-8").startswith("# Simulated, every row of it")
    assert "simulated" in (HERE / "scenario.yaml").read_text(encoding="utf-8").splitlines()[0]


def test_it_is_the_founding_story(outage: Incident, truth: Truth) -> None:
    assert 15_000 <= len(truth) <= 40_000
    log = outage.log
    assert len(log) == len(truth)
    assert {"refund-policy", "internal-agent-draft"} < set(log.intents)
    assert set(log.targets) == {"primary_chat_model", "fast_backup_model", "reasoning_model"}
    assert outage.in_force == policy("blind")
    assert outage.is_simulated
    assert [one.name for one in outage.policies] == ["founding", "extended"]
    answers = {name: answer.answer for name, answer in outage.answers.items()}
    assert "no" not in answers.values()
    assert outage.rejects().is_empty()
    assert outage.tickets().height > 1000
    breached = outage.sla()["breached"]
    assert breached.any()
    start, end = outage.span("impact")
    requests = outage.requests()
    inside = requests.filter(pl.col("arrived_at").is_between(start, end))
    before = requests.filter(pl.col("arrived_at") < start)
    # requests kept flowing, and nothing looked broken
    assert (inside["status"] == "ok").mean() > 0.995
    assert (inside["served"] == "fast_backup_model").mean() > 0.3
    assert (before["served"] == "fast_backup_model").mean() < 0.02
    for frame, low, high in ((before, 0.95, 1.0), (inside, 0.75, 0.92)):
        judged = frame.filter(pl.col("tool_errors").is_not_null())
        assert low < 1 - judged["tool_errors"].sum() / judged["tool_calls"].sum() < high
    overridden = requests.select("request_id", "arrived_at").join(outage.feedback(), on="request_id")
    rates = [
        overridden.filter(pl.col("arrived_at").is_between(start, end) == during)["overridden"].mean()
        for during in (True, False)
    ]
    assert rates[0] > 1.7 * rates[1]


@pytest.mark.slow
def test_the_policy_in_force_replays_to_its_log(outage: Incident) -> None:
    again = replay(outage, policy("blind"))
    assert again.fidelity == 1
    assert again.overlap == 1
    assert again.state_exact_share == 1


@pytest.mark.parametrize("name", NAMES)
def test_where_states_are_exact_decisions_are_the_truths(name: str, outage: Incident, truth: Truth) -> None:
    kit, real = replay(outage, policy(name)), replay_log(truth.log, policy(name), potential=True)
    routed = kit.route >= 0
    exact = (kit.records["exact"] == 1) & routed
    assert exact.sum() > 0.2 * routed.sum()
    for field in ("state", "n", "k", "probe"):
        assert (kit.records[field][exact] == real.records[field][exact]).all(), field
    chosen = [np.array(one.targets)[one.first_target][exact] for one in (kit, real)]
    assert (chosen[0] == chosen[1]).all()
    assert real.state_exact_share == 1


@pytest.mark.parametrize("name", ["founding", "extended"])
def test_per_intent_beats_blind_and_loses_nothing_on_waits(name: str, lived: dict[str, pl.DataFrame]) -> None:
    blind, ours = lived["blind"], lived[name]
    assert tool_success(ours) > tool_success(blind) + 0.01
    assert ours["overridden"].mean() < blind["overridden"].mean() - 0.005  # type: ignore[operator]
    assert ours["wait_ms"].mean() <= blind["wait_ms"].mean()  # type: ignore[operator]
    assert ours["wait_ms"].quantile(0.95) <= blind["wait_ms"].quantile(0.95)  # type: ignore[operator]
    assert (ours["wait_ms"] > 3500).mean() <= (blind["wait_ms"] > 3500).mean()
    assert ours["failed"].mean() <= blind["failed"].mean()  # type: ignore[operator]


def test_for_the_intents_of_the_founding_file_too(lived: dict[str, pl.DataFrame]) -> None:
    for name in ("founding", "extended"):
        for intent in ("refund-policy", "internal-agent-draft"):
            blind, ours = (lived[one].filter(intent=intent) for one in ("blind", name))
            assert tool_success(ours) > tool_success(blind) + 0.01
            assert ours["overridden"].mean() < blind["overridden"].mean()  # type: ignore[operator]


def test_the_founding_file_is_the_policy_languages_own() -> None:
    text = (POLICIES / "founding.yaml").read_text(encoding="utf-8")
    assert text.splitlines()[0] == "routes:"
    assert len(text.splitlines()) == 10
    page = Path(__file__).parents[2] / "shared" / "POLICY.md"
    if not page.is_file():
        pytest.skip("the page of the policy language is not here")
    assert f"```yaml\n{text}```" in page.read_text(encoding="utf-8")


def tool_success(frame: pl.DataFrame) -> float:
    return 1 - float(frame["tool_errors"].sum() / frame["tool_calls"].sum())
