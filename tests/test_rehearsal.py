"""A degradation imposed on a real log: hits what it names and nothing else, the same each time, and policies replay on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from written import START, Call, Request, fill, write

from incident_kit.errors import InvalidScenario, InvalidStore
from incident_kit.gamedays.rehearsal import read_degradations, rehearse
from incident_kit.incident import Incident
from incident_kit.policies.baselines import always_primary, blind
from incident_kit.policies.policy import Policy
from incident_kit.samples import sample
from incident_kit.scenarios.scenario import Degradation
from incident_kit.scoring.replays import replay


def healthy() -> list[Request]:
    """Two hundred requests, one a second; every tenth fails on the big model and is answered by the small one."""
    requests = []
    for i in range(200):
        calls = [Call("big", 400, tool_calls=2, tool_errors=0, completion_tokens=90, cost_usd=0.01)]
        if i % 10 == 9:
            calls = [Call("big", 100, "503"), Call("small", 200, tool_calls=1, tool_errors=0, after_ms=50)]
        if i % 10 == 8:
            calls = [Call("small", 200, tool_calls=1, tool_errors=0)]
        requests.append(
            Request(
                f"r{i:03}",
                1000 * i,
                calls,
                "refund" if i % 2 else "chat",
                overridden=False,
                tools_offered=2,
                complete=True,
            )
        )
    return requests


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    made = Incident.create()
    made.load(write(tmp_path_factory.mktemp("healthy"), healthy()))
    made.title = "Tuesday"
    return made


def imposed(incident: Incident, **changes: Any) -> Incident:
    return rehearse(incident, [{"target": "big", "from": "50s", "until": "100s"} | changes])


def both(incident: Incident, other: Incident) -> pl.DataFrame:
    """One row a request as it was and (``_now``) as it is."""
    return incident.requests().join(other.requests(), on="request_id", suffix="_now").sort("arrived_at")


SHOWN = ("wait_ms", "status", "served", "error_class", "tool_calls", "tool_errors", "cost_usd")


def changed(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.filter(pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_now")) for name in SHOWN))


def second(name: str = "arrived_at") -> pl.Expr:
    return (pl.col(name) - START).dt.total_milliseconds() // 1000


def test_slower_calls_make_longer_waits(incident: Incident) -> None:
    pairs = both(incident, imposed(incident, slow=3))
    hit = changed(pairs)
    assert hit.select(second())["arrived_at"].to_list() == [s for s in range(50, 100) if s % 10 < 8]
    assert (hit["wait_ms_now"] == 1200).all()
    assert (hit["status_now"] == "ok").all()


def test_it_rises_and_fades(incident: Incident) -> None:
    pairs = both(incident, imposed(incident, slow=3, ramp="20s", recovery="20s"))
    waits = dict(pairs.select(second(), "wait_ms_now").rows())
    assert [waits[s] for s in (50, 55, 60, 75, 101, 110, 125)] == [400, 600, 800, 1200, 1160, 800, 400]


def test_all_fail(incident: Incident) -> None:
    other = imposed(incident, errors={"503": 1})
    hit = changed(both(incident, other))
    assert hit.height == 40
    assert set(hit["status_now"]) == {"error"}
    assert set(hit["error_class_now"]) == {"503"}
    assert set(hit["wait_ms_now"]) == {100}
    for name in ("served", "tool_calls", "tool_errors", "cost_usd"):
        assert hit[f"{name}_now"].null_count() == 40
    attempts = other.attempts().filter(pl.col("request_id").is_in(hit["request_id"].to_list()))
    assert attempts["completion_tokens"].null_count() == 40
    assert not set(hit["request_id"]) & set(other.feedback()["request_id"])
    assert other.feedback().height == 160


def test_rate_limits_and_hangs(incident: Incident) -> None:
    limited = changed(both(incident, imposed(incident, rate_limit=1)))
    assert set(limited["error_class_now"]) == {"429"}
    assert set(limited["wait_ms_now"]) == {80}
    hanging = changed(
        both(incident, rehearse(incident, [{"target": "big", "from": "50s", "until": "1m", "hang": 1}], hangs="9s"))
    )
    assert set(hanging["status_now"]) == {"timeout"}
    assert set(hanging["wait_ms_now"]) == {9000}


def test_a_call_that_follows_begins_later(incident: Incident) -> None:
    other = rehearse(incident, [{"target": "small", "from": "50s", "until": "100s", "slow": 2}])
    was, now = (one.attempts().filter(request_id="r059").sort("seq") for one in (incident, other))
    assert now["latency_ms"].to_list() == [100, 400]
    assert now["sent_at"].to_list() == was["sent_at"].to_list()
    assert now["done_at"][1] == was["done_at"][1] + timedelta(milliseconds=200)
    slow = [Request("a", 0, [Call("big", 100, "503"), Call("big", 300), Call("small", 50)])]
    chained = Incident.create()
    fill(chained.store, slow)
    later = rehearse(chained, [{"target": "big", "from": "0s", "until": "10s", "slow": 3}]).attempts().sort("seq")
    assert later["latency_ms"].to_list() == [100, 900, 50]
    assert later["sent_at"].to_list()[2] == START + timedelta(milliseconds=1000)


def test_tools_break_in_silence(incident: Incident) -> None:
    hit = changed(both(incident, imposed(incident, failing=1)))
    assert hit.height == 40
    assert (hit["tool_errors_now"] == 2).all()
    assert (hit["status_now"] == "ok").all()
    assert (hit["wait_ms_now"] == hit["wait_ms"]).all()
    half = changed(both(incident, imposed(incident, failing=0.3, malformed=0.2)))
    assert 0.3 < half["tool_errors_now"].sum() / 80 < 0.7


def test_agents_override_more(incident: Incident) -> None:
    other = imposed(incident, override=1)
    joined = incident.feedback().join(other.feedback(), on="feedback_id", suffix="_now")
    now = joined.filter(pl.col("overridden_now"))
    assert now.height == 40
    assert set(now["decision_now"]) == {"edited"}
    assert set(now["decision_rule_now"]) == {"rehearsal"}
    assert joined.filter(~pl.col("overridden_now")).height == 160


def test_only_the_intents_that_are_named(incident: Incident) -> None:
    hit = changed(both(incident, imposed(incident, slow=3, intents=["chat"])))
    assert set(hit["intent"]) == {"chat"}
    shares = changed(both(incident, imposed(incident, slow=3, intents={"chat": 0.5, "refund": 1})))
    assert dict(shares.group_by("intent").agg(pl.col("wait_ms_now").first()).rows()) == {"chat": 800, "refund": 1200}


def test_rates_are_met_and_the_same_each_time(incident: Incident) -> None:
    everywhere = {"from": "0s", "until": "200s", "errors": {"500": 0.4, "503": 0.1}}
    one, two = (imposed(incident, **everywhere) for _ in range(2))
    assert one.requests().equals(two.requests())
    assert one.attempts().equals(two.attempts())
    hit = changed(both(incident, one))
    assert hit.height / 160 == pytest.approx(0.5, abs=0.13)
    assert (hit["error_class_now"] == "500").sum() > (hit["error_class_now"] == "503").sum() > 4
    other = rehearse(incident, [{"target": "big"} | everywhere], seed=1)
    assert not other.requests().equals(one.requests())
    # a higher rate hits what the lower one did, and more
    more = changed(both(incident, imposed(incident, **(everywhere | {"errors": {"500": 0.7}}))))
    assert set(hit.filter(error_class_now="500")["request_id"]) <= set(more["request_id"])


def test_two_at_once(incident: Incident) -> None:
    parts = [
        {"target": "big", "from": "50s", "until": "100s", "slow": 2},
        {"target": "big", "from": "80s", "until": "120s", "slow": 3, "text": "again"},
    ]
    other = rehearse(incident, parts)
    waits = dict(both(incident, other).select(second(), "wait_ms_now").rows())
    assert [waits[s] for s in (60, 90, 110)] == [800, 2400, 1200]
    assert [phase.text for phase in other.phases] == ["Rehearsal: big, 2 times as slow", "Rehearsal: again"]


def test_it_says_that_it_is_a_rehearsal(incident: Incident) -> None:
    other = imposed(incident, slow=3, errors={"503": 0.25})
    assert other.title == "Rehearsal: Tuesday"
    assert other.is_simulated
    assert other.in_force is None
    (phase,) = other.phases
    assert phase.kind == "impact"
    assert phase.at == START + timedelta(seconds=50)
    assert phase.text == "Rehearsal: big, 3 times as slow, 503 25%"
    assert {name: one.answer for name, one in other.answers.items()} == {
        name: one.answer for name, one in incident.answers.items()
    }
    assert other.loads().equals(incident.loads())


def test_the_real_log_stays_as_it_was(incident: Incident) -> None:
    before = incident.requests(), incident.attempts(), incident.feedback()
    imposed(incident, errors={"503": 1}, override=1)
    for was, now in zip(before, (incident.requests(), incident.attempts(), incident.feedback()), strict=True):
        assert was.equals(now)


def test_instants_are_moments_too(incident: Incident) -> None:
    at = START.astimezone(UTC)
    part = Degradation.model_validate(
        {"target": "big", "from": at + timedelta(seconds=50), "until": at + timedelta(seconds=100), "slow": 3}
    )
    assert rehearse(incident, [part]).requests().equals(imposed(incident, slow=3).requests())


def test_policies_replay_on_it(incident: Incident) -> None:
    policy = blind("big", "small", max_p95_ms=1000)
    calm, bad = replay(incident, policy), replay(imposed(incident, slow=4), policy)
    assert calm.transitions.is_empty()
    first = bad.transitions.row(0, named=True)
    assert (first["to"], first["metric"]) == ("on backup", "p95_ms")
    assert START + timedelta(seconds=50) < first["at"] < START + timedelta(seconds=60)
    during = bad.decisions.filter(pl.col("at").is_between(first["at"], first["at"] + timedelta(seconds=30)))
    assert (during["target"] == "small").all()
    stay = replay(imposed(incident, slow=4), always_primary(policy))
    assert stay.outcomes["wait_ms"].mean() > bad.outcomes["wait_ms"].mean()


def test_a_log_of_requests_alone(tmp_path: Path) -> None:
    alone = Incident.create()
    lines = [
        f'{{"request_id": "r{i}", "arrived_at": "2026-01-05T12:00:{i:02}Z", "wait_ms": 300, "served": "big", "status": "ok"}}'
        for i in range(40)
    ]
    (tmp_path / "requests.ndjson").write_text("\n".join(lines))
    alone.load(tmp_path / "requests.ndjson")
    other = rehearse(alone, [{"target": "big", "from": "10s", "until": "20s", "slow": 2, "errors": {"503": 0.4}}])
    assert other.attempts().is_empty()
    now = other.requests().sort("arrived_at")
    assert now["wait_ms"].to_list()[:10] == [300] * 10
    assert set(now["wait_ms"].to_list()[10:20]) == {600, 150}
    assert set(now["status"].to_list()[20:]) == {"ok"}
    assert len(other.log) == 40


def test_on_the_real_capture(sample: Incident) -> None:
    other = rehearse(sample, [{"target": "primary_chat_model", "from": "30s", "until": "90s", "slow": 5}])
    assert [phase.kind for phase in other.phases] == ["impact", "provider"]  # its own impact is another story
    pairs = both(sample, other)
    assert pairs.height == 3065
    hit = changed(pairs)
    assert (hit["wait_ms_now"] > hit["wait_ms"]).all()
    assert 50 < hit.height < 400
    for policy in other.policies:
        assert replay(other, policy).evidence["observed"] > 0.3


def test_in_a_file(incident: Incident, tmp_path: Path) -> None:
    path = tmp_path / "rehearsal.duckdb"
    other = rehearse(incident, [{"target": "big", "from": "50s", "until": "100s", "slow": 3}], path=path)
    wanted = other.requests()
    other.store.close()
    again = Incident.open(path)
    assert again.requests().equals(wanted)
    again.store.close()
    with pytest.raises(InvalidStore, match="is there already"):
        rehearse(incident, [{"target": "big", "from": "50s", "until": "100s", "slow": 3}], path=path)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"target": "bgi"}, r"degradations\.0: the log has no 'bgi' \(did you mean 'big'\?\); it has big, small"),
        ({"intents": ["refunds"]}, "the log has no 'refunds'"),
        (
            {"from": "10m", "until": "20m"},
            "it lies outside the log, which runs from 2026-01-05 12:00:00 to 2026-01-05 12:03:19",
        ),
        ({"from": datetime(2025, 1, 1, tzinfo=UTC), "until": datetime(2025, 1, 2, tzinfo=UTC)}, "outside the log"),
        ({"until": "40s"}, "it ends before it begins"),
        ({"slow": -1}, r"degradations\.0\.slow"),
        ({"slowly": 2}, r"degradations\.0\.slowly: there is no such key \(did you mean 'slow'\?\)"),
        ({"from": "58s", "until": "59s"}, "it hits no call of big"),
        ({"intents": {"chat": 0.0}}, "it hits no call of big"),
    ],
)
def test_what_cannot_be_imposed(incident: Incident, part: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidScenario, match=said):
        rehearse(incident, [{"target": "big", "from": "50s", "until": "100s", "slow": 2} | part])


def test_nothing_to_impose_or_to_impose_on(incident: Incident) -> None:
    with pytest.raises(InvalidScenario, match="at least one degradation"):
        rehearse(incident, [])
    with pytest.raises(InvalidScenario, match="has no requests"):
        rehearse(Incident.create(), [{"target": "big", "from": "0s", "until": "1s"}])


def test_degradations_are_read_from_a_file(tmp_path: Path) -> None:
    parts = read_degradations(sample_file := sample("outage") / "scenario.yaml")
    assert [part.target for part in parts] == ["primary_chat_model", "reasoning_model"]
    assert sample_file.is_file()
    file = tmp_path / "rehearsal.yaml"
    file.write_text("degradations:\n- {target: big, from: 5m, until: 9m, slow: 2}\n")
    assert read_degradations(file)[0].slow == 2
    for text, said in (
        ("slow: 2\n", "lists no degradations"),
        ("degradations: 5\n", "lists no degradations"),
        (
            "degradations:\n- {target: big, from: 5, until: 9m}\n",
            r"rehearsal\.yaml: degradations\.0\.from: a duration needs a unit",
        ),
        ("degradations: [", "not YAML"),
    ):
        file.write_text(text)
        with pytest.raises(InvalidScenario, match=said):
            read_degradations(file)
    with pytest.raises(InvalidScenario, match="cannot be read"):
        read_degradations(tmp_path / "none.yaml")


def test_a_policy_of_a_file(incident: Incident) -> None:
    policy = Policy.parse("routes:\n- {intent: chat, primary: big, fallback: small, max_p95_ms: 900}\n")
    bad = replay(imposed(incident, slow=4, intents=["chat"]), policy)
    assert bad.transitions["to"].to_list()[0] == "on backup"
