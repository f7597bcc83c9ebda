"""A drafted policy: what it takes from the log, that it keeps quiet in healthy time, and what it says it could not draft."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from written import START, Call, Request, frames, write

from incident_kit.drafts.drafting import draft, quoted
from incident_kit.drafts.groups import Grouping, grouping
from incident_kit.drafts.healthywindows import Calls, Windows, least_limit, trips
from incident_kit.errors import UnansweredQuestion
from incident_kit.healthy import healthy_hours, is_healthy
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import replay

HOURS = 3
IMPACT = (60, 100)  # minutes after START


def chat(*, intent: str | None = "chat", name: str = "a", every_s: int = 10, seed: int = 0) -> list[Request]:
    """Three hours of calls around 500 ms; from minute 60 to 100 the primary fails half the time and the backup answers."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(HOURS * 3600 // every_s):
        minute = i * every_s / 60
        took = int(random.lognormal(6.2, 0.4))
        in_impact = IMPACT[0] <= minute < IMPACT[1]
        calls = [Call("big", 4 * took if in_impact else took, tool_calls=1, tool_errors=int(i % 20 == 0))]
        if in_impact and i % 2:
            calls = [Call("big", took, "500"), Call("small", 200, tool_calls=1, tool_errors=int(i % 4 == 1))]
        found.append(Request(f"{name}{i:05}", 1000 * every_s * i, calls, intent=intent, complete=True))
    return found


def loaded(folder: Path, requests: Iterable[Request], *, impact: bool = True) -> Incident:
    incident = Incident.create()
    incident.load(write(folder, requests))
    if impact:
        begin, end = (START + timedelta(minutes=minute) for minute in IMPACT)
        incident.annotate("impact", begin, end)
    return incident


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    rare = [Request(f"c{i}", 60_000 * i + 7, [Call("big", 400)], intent="rare") for i in range(30)]
    alone = [Request(f"d{i:04}", 20_000 * i + 9, [Call("think", 900)], intent="think: why?") for i in range(540)]
    return loaded(tmp_path_factory.mktemp("outage"), [*chat(), *rare, *alone])


def test_it_is_a_policy_that_replays_and_keeps_quiet(outage: Incident) -> None:
    text = draft(outage)
    policy = Policy.parse(text)
    assert [(route.intent, route.primary) for route in policy.routes] == [(("chat",), "big"), (("*",), "think")]
    first = policy.routes[0]
    assert [entry.model for entry in first.fallback] == ["small"]
    assert first.breaker is not None
    assert [leaf.kind for leaf in first.breaker.when.leaves] == ["latency", "error"]
    left = replay(outage, policy).transitions.filter(pl.col("to") == "on backup")
    healthy = is_healthy(outage, left["at"].cast(pl.Int64).to_numpy())
    assert not healthy.any()
    assert len(healthy)
    assert f"leaves a primary {left.filter(pl.col('from') == 'on primary').height} times in the impact, 0 times" in text


def test_its_limit_is_over_every_healthy_window(outage: Incident) -> None:
    """Read plainly: the nearest rank of each five minutes of healthy calls, at each completion with twenty in it."""
    policy = Policy.parse(draft(outage))
    breaker = policy.routes[0].breaker
    assert breaker is not None
    calls = sorted(
        (one.at_ms + one.calls[0].latency_ms, one.calls[0].latency_ms)  # type: ignore[operator]
        for one in chat()
        if not IMPACT[0] <= one.at_ms / 60_000 < IMPACT[1]
    )
    done, took = (np.array(column) for column in zip(*calls, strict=True))
    worst = 0
    for at in done:
        window = np.sort(took[(done > at - breaker.window.length) & (done <= at)])
        if len(window) >= breaker.min_requests:
            worst = max(worst, int(window[-(-95 * len(window) // 100) - 1]))
    limit = breaker.when.leaves[0].limit_ms
    assert limit is not None
    assert worst * 1.2 <= limit <= worst * 1.3 + 100
    assert f"the worst {worst:,} ms" in draft(outage)


def test_every_line_has_its_evidence(outage: Incident) -> None:
    text = draft(outage)
    for part in (
        "primary: big  # 100 % of 840 healthy requests went there first",
        "fallback: small  # answered 120 of the 120 requests that big did not",
        "disable_tools_on_fallback: true  # there 50 % of 120 tool calls worked, on the primary 94 % of 960",
        "holds 20 requests 100 % of the time",
        "Limits are from the 2.3 hours outside the impact (declared).",
        "Less than a week of healthy time was measured",
    ):
        assert part in text
    bare = [line for line in text.splitlines() if "#" not in line]
    kept = ("version:", "name:", "routes:", "  breaker:", "    when:", "      any:")
    assert all(line.startswith(kept) for line in bare)


def test_what_could_not_be_drafted_is_said(outage: Incident) -> None:
    said = draft(outage).partition("# Not drafted:")[2]
    assert "rare has only 30 requests: it joins the rest" in said
    assert "think: why? cannot stand in a policy as a name: it joins the rest" in said
    assert "The rest: no fallback, for nothing else ever answered in place of its primary" in said
    assert "retries, time limits, cooldown" in said


def test_the_same_log_the_same_draft(outage: Incident) -> None:
    assert draft(outage) == draft(Incident(outage.store))


def test_no_impact_no_error_condition_where_there_are_none_logged(tmp_path: Path) -> None:
    requests = [Request(f"a{i:05}", 10_000 * i, [Call("big", 500)]) for i in range(900)]
    calm = [
        replace(one, calls=[Call("small", 300)], requested="big") if i % 90 == 5 else one
        for i, one in enumerate(requests)
    ]
    incident = loaded(tmp_path, calm, impact=False)
    text = draft(incident)
    assert "no impact is declared, and the data show none" in text
    assert "- p95_ms > 600  # healthy p95 500 ms" in text
    assert "fallback: small  # answered 10 of the 10 requests" in text


def test_without_intents_by_what_was_asked_for(tmp_path: Path) -> None:
    one = chat(intent=None)
    two = [
        replace(r, name=f"b{r.name}", calls=[Call("think", 300)], requested="think", at_ms=r.at_ms + 1) for r in chat()
    ]
    three = [replace(r, intent=None) for r in two]
    text = draft(loaded(tmp_path, [*one, *three]))
    assert "match: {requested: big}" in text
    assert "match: {requested: think}" in text
    assert text.count('- intent: "*"') == 2
    assert "told apart by requested" in text


def test_without_anything_one_route(tmp_path: Path) -> None:
    text = draft(loaded(tmp_path, chat(intent=None)))
    assert [(route.intent, route.match) for route in Policy.parse(text).routes] == [(("*",), ())]
    assert "told apart by nothing" in text


def labelled(folder: Path, labels: list[str]) -> Grouping:
    tables = frames(chat(intent=None)[: len(labels)])
    tables["requests"] = tables["requests"].with_columns(pl.Series("labels", labels))
    incident = Incident.create()
    incident.load(write(folder, tables))
    return grouping(incident)


def test_labels_tell_requests_apart(tmp_path: Path) -> None:
    team = ['{"team": "emea", "n": 3}', '{"team": "apac", "n": 4}']
    found = labelled(tmp_path, team * 150)
    assert (found.by, [(group.name, len(group.requests)) for group in found.groups]) == (
        "labels.team",
        [("apac", 150), ("emea", 150)],
    )


def test_labels_that_tell_nothing_apart(tmp_path: Path) -> None:
    """One value, a value a request, or too few requests with it: no key."""
    (tmp_path / "x").mkdir()
    assert labelled(tmp_path, ['{"team": "emea"}'] * 300).by == "*"
    assert labelled(tmp_path / "x", [f'{{"team": "t{i}"}}' for i in range(300)]).by == "*"


@pytest.mark.parametrize(
    "hostile", ["null", "yes", "a: b", "# x", "'", '"\\', "*", "\u202exyz", "x\ny", "3500", "é", "{a}"]
)
def test_hostile_intents(tmp_path: Path, hostile: str) -> None:
    text = draft(loaded(tmp_path, chat(intent=hostile)))
    routes = Policy.parse(text).routes
    assert len(routes) == 1
    assert routes[0].intent in {(hostile,), ("*",)}


@pytest.mark.parametrize("name", ["null", "Yes", "a-b/c", "a b", "1", '"', "\\", "é", "~", "true"])
def test_names_are_read_back(name: str) -> None:
    text = f"routes: [{{intent: {quoted(name)}, primary: {quoted(name)}}}]"
    assert Policy.parse(text).routes[0].primary == name


def test_a_target_that_is_no_name(tmp_path: Path) -> None:
    requests = [Request(f"a{i:05}", 10_000 * i, [Call("big\n", 500)]) for i in range(300)]
    with pytest.raises(UnansweredQuestion, match="no request of the log"):
        draft(loaded(tmp_path, requests, impact=False))


def test_nothing_to_draft_from() -> None:
    with pytest.raises(UnansweredQuestion, match="the log holds no call"):
        draft(Incident.create())


def test_few_calls_no_breaker(tmp_path: Path) -> None:
    text = draft(loaded(tmp_path, chat(every_s=80)))
    assert Policy.parse(text).routes[0].breaker is None
    assert "no breaker: 105 healthy calls of its primary are too few for a limit" in text


def test_healthy_time_leaves_impacts_out(outage: Incident) -> None:
    assert healthy_hours(outage) == pytest.approx(HOURS - 40 / 60, abs=0.01)


def test_a_week_of_healthy_time_allows_one_trip() -> None:
    """Two bad windows a day apart: one of two weeks' worth may trip, so the limit lies between them."""
    at = np.arange(2000, dtype=np.int64) * 60_000_000
    took = np.full(2000, 100)
    took[500:505], took[1500:1505] = 900, 700
    windows = Windows(Calls(at, took, np.zeros(2000, np.bool_)), 600_000, 5)
    limits, apart = range(50, 1050, 50), windows.apart_us
    assert least_limit(limits, windows.slower, apart_us=apart, hours=100) == 900
    assert least_limit(limits, windows.slower, apart_us=apart, hours=168) == 700
    assert least_limit(limits, windows.slower, apart_us=apart, hours=336) == 100
    assert least_limit(range(50, 100, 10), windows.slower, apart_us=apart, hours=100) is None
    assert [trips(windows.slower(limit), apart_us=apart) for limit in (899, 900, 699)] == [1, 0, 2]
