"""LiteLLM emulated over the capture that it made: fidelity, refusals, cooldowns; and the ways in which it could fail."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from incident_kit.commandline import terminal
from incident_kit.errors import NoSuchItem
from incident_kit.gateways.emulation import emulate
from incident_kit.gateways.litellm_emulated import Emulation
from incident_kit.gateways.litellm_router import Thresholds
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.samples import sample as bundled
from incident_kit.scoring.replays import replay

SHARED = Path(__file__).parents[2] / "shared" / "data" / "litellm_capture"
CONFIG = bundled() / "config.yaml"
EAST, WEST = "alpha-east", "alpha-west"


@pytest.fixture(scope="module")
def emulation(sample: Incident) -> Emulation:
    return emulate(sample, CONFIG)


def configured(**router: Any) -> dict[str, Any]:
    config: dict[str, Any] = YAML(typ="safe").load(CONFIG.read_text(encoding="utf-8"))
    config["router_settings"] |= router
    return config


def test_the_capture_is_explained(emulation: Emulation) -> None:
    assert emulation.judged == 3057
    assert emulation.fidelity >= 0.98
    refusals = emulation.refusals
    assert refusals.observed == 229
    assert refusals.met_share is not None
    assert refusals.met_share >= 0.90
    assert refusals.false_share is not None
    assert refusals.false_share <= 0.10


def test_what_it_reaches_today(emulation: Emulation) -> None:
    """Better than asked for; whoever makes it worse is told."""
    assert emulation.fidelity == 1.0
    assert (emulation.refusals.emulated, emulation.refusals.both) == (229, 229)
    assert emulation.differences.is_empty()
    assert emulation.evidence == {"observed": 1.0, "same_cell": 0.0, "same_time": 0.0, "same_intent": 0.0, "none": 0.0}
    assert dict(emulation.cooldowns["deployment"].value_counts().iter_rows()) == {EAST: 6, WEST: 31}


@pytest.mark.parametrize(
    ("router", "at_most"),
    [
        ({"disable_cooldowns": True}, 0.98),
        ({"cooldown_time": 5}, 0.99),
        ({"num_retries": 0}, 0.98),
        ({"allowed_fails": 10}, 0.98),
        ({"fallbacks": [{"primary_chat_model": ["reasoning_model"]}]}, 0.95),
    ],
)
def test_another_configuration_explains_it_worse(sample: Incident, router: dict[str, Any], at_most: float) -> None:
    other = emulate(sample, configured(**router))
    assert other.fidelity < at_most
    assert other.differences.height > 20
    assert not other.differences["difference"].has_nulls()


@pytest.mark.parametrize("window_s", [50, 59, 61, 70])
def test_the_counters_live_for_a_minute(sample: Incident, window_s: float) -> None:
    """One second more or less, and the log is no longer explained: the rule is LiteLLM's, not one that was fitted."""
    other = emulate(sample, CONFIG, thresholds=Thresholds(window_s=window_s))
    assert other.refusals.met_share is not None
    assert other.refusals.met_share < 0.9
    assert other.fidelity < 0.995


def test_without_retry_after_the_second_region_rests_too_long(sample: Incident) -> None:
    sample.store.run("begin transaction")
    try:
        sample.store.run("update attempts set retry_after_ms = null")
        blind = emulate(sample, CONFIG)
        told = emulate(sample, CONFIG, retry_after_s=2)
    finally:
        sample.store.run("rollback")
    assert blind.fidelity < 0.98
    assert blind.refusals.false_share is not None
    assert blind.refusals.false_share > 0.3
    assert set(blind.cooldowns["length_from"]) == {"the router's cooldown_time"}
    assert told.fidelity == 1.0


def test_the_one_deployment_that_is_guessed_matters(sample: Incident) -> None:
    """The caveat is no form of words: with the other deployment likelier, one uncounted failure shifts a window."""
    config = configured()
    config["model_list"][0]["litellm_params"]["weight"] = 1
    other = emulate(sample, config)
    assert "for 1 that count, the likeliest of several deployments was taken" in other.caveats[0]
    assert 0.98 < other.fidelity < 1.0


def test_the_newer_version_does_the_same_here(sample: Incident, emulation: Emulation) -> None:
    newer = emulate(sample, CONFIG, version="1.109.1")
    assert newer.cooldowns.equals(emulation.cooldowns)
    assert newer.decisions.equals(emulation.decisions)
    assert "may differ" in emulate(sample, CONFIG, version="1.107.0").caveats[0]


def test_decisions_are_the_logs_requests_in_order(sample: Incident, emulation: Emulation) -> None:
    found = emulation.decisions
    assert found["request_id"].equals(sample.log.request_id.alias("request_id"))
    assert found["same_as_log"].sum() == found.height
    assert found.filter("refused")["target"].unique().to_list() == ["fast_backup_model"]
    assert found.filter("refused")["calls"].min() == 1


def test_the_order_of_rows_changes_nothing(sample: Incident, emulation: Emulation) -> None:
    sample.store.run("begin transaction")
    try:
        for table in ("attempts", "requests"):
            sample.store.run(f"create temp table kept as select * from {table} order by hash(request_id)")  # noqa: S608
            sample.store.run(f"delete from {table}")  # noqa: S608
            sample.store.run(f"insert into {table} select * from kept")  # noqa: S608
            sample.store.run("drop table kept")
        again = emulate(sample, CONFIG)
    finally:
        sample.store.run("rollback")
    assert again.decisions.equals(emulation.decisions)
    assert again.cooldowns.equals(emulation.cooldowns)


def test_a_cooldown_is_explained(emulation: Emulation) -> None:
    first = emulation.cooldowns.filter(deployment=EAST).row(0, named=True)
    said = emulation.explain_cooldown(EAST, first["start"] + timedelta(seconds=1))
    assert said.startswith(
        "LiteLLM took alpha-east out of service from 12:26:35 to 12:26:50 UTC (15 s, by the router's"
    )
    assert "62 of the 64 calls counted by then had failed, more than half" in said
    assert "Failures are counted since 12:26:05, successes since 12:26:34" in said
    west = emulation.cooldowns.filter(deployment=WEST).row(0, named=True)
    said = emulation.explain_cooldown(WEST, west["start"])
    assert "(2 s, as the failed call's Retry-After asked): a call was answered with 429" in said
    with pytest.raises(NoSuchItem, match=r"'alpha-east' was in service at 12:00:00.*alpha-east, alpha-west"):
        emulation.explain_cooldown(EAST, datetime(2026, 11, 22, 12, tzinfo=UTC))


def test_a_cooldown_is_found_by_the_clock(emulation: Emulation) -> None:
    """12:26:35 to 12:26:50: a time of that day in UTC, as text or not; the nearest one within a minute."""
    said = emulation.explain_cooldown(EAST, "12:26:40")
    assert said.startswith("LiteLLM took alpha-east out of service from 12:26:35 to 12:26:50 UTC")
    assert emulation.explain_cooldown(EAST, "2026-11-22T12:26:40Z") == said
    at = datetime(2026, 11, 22, 12, 26, 40, tzinfo=UTC)
    assert emulation.explain_cooldown(EAST, at) == said
    assert emulation.explain_cooldown(EAST, "12:27")
    with pytest.raises(NoSuchItem, match=r"'half past' is not a time; write 14:03"):
        emulation.explain_cooldown(EAST, "half past")
    with pytest.raises(NoSuchItem, match=r"the log has 03:00 UTC at no time"):
        emulation.explain_cooldown(EAST, "03:00")


def test_a_request_is_explained(emulation: Emulation) -> None:
    refused = emulation.decisions.filter("refused")["request_id"][0]
    said = emulation.explain(refused)
    assert "had no deployment of primary_chat_model left and refused it without a call" in said
    assert "alpha-east was out of service until" in said
    assert "alpha-west was out of service until" in said
    assert "answered by its fallback fast_backup_model, after 1 call" in said
    with pytest.raises(NoSuchItem, match="the log has no request 'nobody'"):
        emulation.explain("nobody")


def test_it_stands_where_a_replay_does(emulation: Emulation, sample: Incident) -> None:
    said = terminal.fidelity(emulation)
    assert said == "Fidelity of the policy in force (LiteLLM 1.106.2): 100 %."
    worse = emulate(sample, configured(disable_cooldowns=True))
    said = terminal.fidelity(worse)
    assert "229 requests: LiteLLM refused the group; here it had a deployment in service" in said
    assert "the first: request" in said


def test_it_says_itself_in_sentences(emulation: Emulation) -> None:
    assert str(emulation) == (
        "LiteLLM 1.106.2, emulated: 3,057 of 3,057 requests are answered by the group that answered them. Of 229 refusals"
        " in the log 229 are met; 0 of the emulation's 229 are not in the log."
    )


def test_as_a_policy_it_explains_the_log_worse(sample: Incident) -> None:
    assert replay(sample, Policy.load(bundled() / "policies" / "in-force.yaml")).fidelity < 0.98


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared LiteLLM capture is not on this machine")
def test_the_providers_own_records_agree(emulation: Emulation) -> None:
    """What really reached each provider: no call to a deployment that rests here, and as many calls a request."""
    called = lines("upstream_truth.ndjson.gz")
    resting = emulation.cooldowns.rows(named=True)
    on_its_way = timedelta(milliseconds=60)  # from the router's choice to the provider
    at = [(call["deployment"], datetime.fromtimestamp(call["recv_unix_s"], UTC)) for call in called]
    inside = [
        row
        for row in resting
        for who, when in at
        if who == row["deployment"] and row["start"] + on_its_way < when < row["end"]
    ]
    assert len(inside) <= 1
    assert (
        sum(who == WEST and any(row["start"] < when for row in resting) for who, when in at) > 300
    )  # it could have failed
    ids = {one["request_ref"]: one["headers"]["x-litellm-call-id"] for one in lines("client_observed.ndjson.gz")}
    true: dict[str, int] = dict.fromkeys(ids.values(), 0)
    for call in called:
        true[ids[call["request_ref"]]] += 1
    hits = {walk.logged.id: sum(row.kind == "cache_hit" for row in walk.logged.rows) for walk in emulation.walks}
    equal = [walk.calls - hits[walk.logged.id] == true[walk.logged.id] for walk in emulation.walks]
    assert sum(equal) / len(equal) > 0.99


def lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(SHARED / name, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]
