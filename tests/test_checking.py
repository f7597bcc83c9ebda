"""A policy held against limits: what it is worth, what the log cannot tell, and the page for a pull request."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from written import START, Call, Request, write

from incident_kit.errors import InvalidLimits
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.policygate.bars import Bar
from incident_kit.policygate.checking import Check, check
from incident_kit.policygate.checkpage import plain
from incident_kit.policygate.verdicts import CANNOT_TELL, FAILS, NOT_IN_LOG, PASSES

STAYS = Policy.parse("{name: stays, routes: [{intent: chat, primary: big, fallback: small, max_p95_ms: 60000}]}")
LEAVES = Policy.parse(
    "{name: leaves, routes: [{intent: chat, primary: big, fallback: small, "
    "breaker: {when: p95_ms > 1000, window: 5m, min_requests: 5, cooldown: 10m}}]}"
)
JUMPY = Policy.parse(
    "{name: jumpy, routes: [{intent: chat, primary: big, fallback: small, "
    "breaker: {when: p95_ms > 450, window: 5m, min_requests: 5, cooldown: 10m}}]}"
)
AWAY = Policy.parse(
    "{name: away, routes: [{intent: chat, primary: big, fallback: never_seen, "
    "breaker: {when: p95_ms > 1000, window: 5m, min_requests: 5, cooldown: 10m}}]}"
)


def requests(intent: str = "chat") -> list[Request]:
    """Two hours: calls of 400 ms, some of 500 in the first; from 60 to 80 minutes 4 s; a quick backup now and then."""
    found = []
    for i in range(720):
        minute = i / 6
        took = 4000 if 60 <= minute < 80 else 500 if 20 <= minute < 22 else 400
        calls = [Call("big", took, tool_calls=1, tool_errors=0)]
        if i % 8 == 3:
            calls = [Call("small", 200, tool_calls=1, tool_errors=i % 2)]
        found.append(Request(f"r{i:04}", 10_000 * i, calls, intent=intent, requested="big", complete=True))
    return found


def loaded(folder: Path, *, intent: str = "chat") -> Incident:
    incident = Incident.create()
    incident.load(write(folder, requests(intent)))
    incident.annotate("impact", START + timedelta(minutes=60), START + timedelta(minutes=80))
    return incident


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    return loaded(tmp_path_factory.mktemp("slow"))


def verdicts(found: Check) -> dict[str, str]:
    return dict(found.rows.select("metric", "verdict").iter_rows())


def test_the_policy_in_force_is_no_worse_than_itself(slow: Incident) -> None:
    found = check(slow, STAYS, in_force=STAYS)
    assert found.exit_code == 0
    assert found.verdict == "PASS: stays against stays: all 4 limits hold."
    assert verdicts(found)["override_rate"] == NOT_IN_LOG, "there is no feedback in this log, and nobody asked for it"


def test_better_waits_pass_and_worse_tools_fail(slow: Incident) -> None:
    """In the impact the backup answers in 200 ms, but half of its tool calls fail."""
    found = check(slow, LEAVES, in_force=STAYS)
    assert verdicts(found) == {
        "p95_ms": PASSES, "error_rate": PASSES, "tool_success_rate": FAILS, "override_rate": NOT_IN_LOG, "switches": PASSES,
    }  # fmt: skip
    assert found.exit_code == 1
    rows = {row["metric"]: row for row in found.rows.iter_rows(named=True)}
    p95 = rows["p95_ms"]
    assert p95["policy"] <= p95["in_force"] == pytest.approx(4000, rel=0.05)
    assert p95["difference_low"] <= p95["difference"] <= p95["difference_high"] <= 0
    assert p95["difference"] == pytest.approx(p95["policy"] - p95["in_force"])
    assert p95["bound"] == pytest.approx(1.05 * p95["in_force"])
    assert (rows["switches"]["policy"], rows["switches"]["in_force"], rows["switches"]["phase"]) == (0, 0, "healthy")
    assert 0 < rows["p95_ms"]["seen_share"] < 1
    mean = [Bar(metric="mean_ms", no_worse_by=0)]  # clearly better
    assert check(slow, LEAVES, in_force=STAYS, limits=mean).exit_code == 0
    assert check(slow, STAYS, in_force=LEAVES, limits=mean).exit_code == 1
    back = check(slow, STAYS, in_force=LEAVES)
    assert verdicts(back)["tool_success_rate"] == PASSES


def test_a_false_trip_is_one_too_many(slow: Incident) -> None:
    found = check(slow, JUMPY, in_force=LEAVES)
    row = found.rows.row(-1, named=True)
    assert (row["metric"], row["verdict"], row["in_force"]) == ("switches", FAILS, 0)
    assert row["policy"] >= 1
    assert check(slow, LEAVES, in_force=JUMPY).rows["verdict"].to_list()[-1] == PASSES


@pytest.mark.slow
def test_handing_everything_to_people_is_no_way_to_pass(slow: Incident) -> None:
    """Waits, tools and overrides are of models' answers, which such a policy has fewer of."""
    person = {"fallback": "human", "breaker": {"when": "p95_ms > 1000", "window": "5m", "min_requests": 5}}
    policy = Policy.parse(json.dumps({"name": "people", "routes": [{"intent": "chat", "primary": "big", **person}]}))
    found = check(slow, policy, in_force=STAYS)
    row = found.rows.row(-2, named=True)
    assert (row["metric"], row["in_force"], row["verdict"]) == ("share_no_model", 0, FAILS)
    assert 0.5 < row["policy"] < 1
    assert found.exit_code == 1
    limits = [
        Bar(metric="share_no_model", max=0.99),
        Bar(metric="share_no_model", phase="healthy", max=0.05),
    ]  # until the tests after it
    assert check(slow, policy, limits=limits).exit_code == 0


def test_what_the_log_cannot_tell_does_not_pass(slow: Incident) -> None:
    found = check(slow, AWAY, in_force=STAYS)
    assert verdicts(found)["p95_ms"] == CANNOT_TELL
    assert found.exit_code == 2
    assert found.verdict == "CANNOT TELL: away against stays: for 3 of 4 limits these logs cannot tell."
    assert "under away these logs cannot tell for" in found.rows["why"][0]
    other = check(slow, STAYS, in_force=AWAY)
    assert other.exit_code == 2, "the policy in force is not known either"


def test_a_limit_inside_the_interval_cannot_be_told(slow: Incident) -> None:
    """Jumpy's p95 lies between 2.3 and 4 s: over 2 s for sure, under 5 s for sure, and about 3.5 s nobody can say."""
    limits = [Bar(metric="p95_ms", max=at) for at in (2000, 3500, 5000)]
    found = check(slow, JUMPY, limits=limits)
    assert found.rows["verdict"].to_list() == [FAILS, CANNOT_TELL, PASSES]
    first, why, last = found.rows["why"]
    assert (first, last) == ("", "")
    assert re.match(
        r"the range of p95_ms, [\d,]+ ms to [\d,]+ ms, holds the limit of 3,500 ms; it is that wide because ", why
    )
    low, high = found.rows.select("low", "high").row(0)
    assert 2000 < low < 3500 < high < 5000
    assert check(slow, JUMPY, limits=limits[1:]).exit_code == 2
    assert check(slow, JUMPY, limits=limits[2:]).exit_code == 0
    assert check(slow, JUMPY, limits=limits, seed=0).rows.equals(found.rows), "the same seed, the same verdicts"
    both = f"cannot tell: p95_ms, impact: at most 3,500 ms; {found.rows['policy'][1]:,.0f} ms ("
    assert both in str(found)
    assert "--unsure pass or --unsure fail" in str(found)


def test_bounds_may_decide_where_no_estimate_is_made(slow: Incident) -> None:
    """Of a model that was never seen nothing is known but that it takes at most a minute a call, and that rates are rates."""
    limits = [Bar(metric="p95_ms", max=59_000), Bar(metric="p95_ms", max=60_000), Bar(metric="error_rate", max=1)]
    found = check(slow, AWAY, limits=limits).rows
    assert found["verdict"].to_list() == [CANNOT_TELL, PASSES, PASSES]
    assert found["policy"].to_list() == [None] * 3


def test_signals_and_tickets_can_be_limits(slow: Incident) -> None:
    with pytest.raises(InvalidLimits, match="no signal 'csat'; no signal is loaded"):
        check(slow, STAYS, limits=[Bar(metric="signal:csat", min=4)])
    untold = check(slow, STAYS, limits=[Bar(metric="escalation_rate", max=0.1)])
    assert untold.rows.select("verdict", "why").row(0) == (CANNOT_TELL, "it holds no escalations of tickets")


def test_a_broken_limit_weighs_more_than_one_that_cannot_be_told(slow: Incident) -> None:
    bars = [Bar(metric="override_rate", max=0.1), Bar(metric="p95_ms", max=100)]
    found = check(slow, STAYS, limits=bars)
    assert found.rows["verdict"].to_list() == [CANNOT_TELL, FAILS], "asked for by name it is not left out"
    assert found.exit_code == 1


def test_without_a_policy_in_force_the_log_is(slow: Incident) -> None:
    found = check(slow, STAYS)
    assert found.name == "the log"
    rows = {row["metric"]: row for row in found.rows.iter_rows(named=True)}
    assert rows["p95_ms"]["in_force"] == 4000
    assert rows["p95_ms"]["policy"] == pytest.approx(4000, rel=0.05)
    assert (rows["switches"]["in_force"], rows["switches"]["limit"]) == (None, "at most 0")
    slow_with = Incident(slow.store)
    slow_with.in_force = LEAVES
    assert check(slow_with, STAYS).name == "leaves"


def test_limits_from_a_file_by_intent_and_phase(slow: Incident, tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(
        "limits:\n- {metric: p95_ms, intent: each, phase: healthy, max: 450}\n- {metric: p50_ms, intent: chat, max: 4000}\n"
        "- {metric: p95_ms, phase: all, max: 4000}\n- {metric: p95_ms, phase: felt, max: 1}\n"
    )
    slow_too = Incident(slow.store)
    slow_too.annotate("felt", START + timedelta(minutes=70), START + timedelta(minutes=71))
    try:
        found = check(slow_too, STAYS, limits=file)
    finally:
        slow_too.store.run("delete from annotations where kind = 'felt'")
    assert found.rows.select("intent", "phase", "policy", "verdict").rows() == [
        ("chat", "healthy", pytest.approx(400, rel=0.01), PASSES),  # some of it is worked out
        ("chat", "impact", 4000, PASSES),
        (None, "all", 4000, PASSES),
        (None, "felt", 4000, FAILS),
    ]


@pytest.mark.parametrize(
    ("bar", "said"),
    [
        ({"metric": "p95_ms", "intent": "chatt", "max": 1}, "'chatt' is not in the log .did you mean 'chat'"),
        (
            {"metric": "p95_ms", "phase": "recovered", "max": 1},
            "phase: the incident has no phase 'recovered'.*healthy or all",
        ),
    ],
)
def test_limits_that_name_what_is_not_there(slow: Incident, bar: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidLimits, match=said):
        check(slow, STAYS, limits=[Bar(**bar)])  # type: ignore[arg-type]
    with pytest.raises(InvalidLimits, match="no limit to check"):
        check(slow, STAYS, limits=[])


def test_nothing_loaded_is_no_pass() -> None:
    plainly = Policy.parse("routes: [{intent: chat, primary: big}]")
    found = check(Incident.create(), plainly, in_force=plainly)
    assert found.exit_code == 2
    assert found.markdown().startswith("## CANNOT TELL")


@pytest.mark.slow
def test_the_page(slow: Incident) -> None:
    page = check(slow, LEAVES, in_force=STAYS).markdown()
    lines = page.splitlines()
    assert lines[0] == "## FAIL: leaves against stays: 1 of 4 limits broken."
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 5
    assert {line.count("|") for line in table} == {8}
    assert any(
        line.startswith("| tool_success_rate: worse than in force by 1 point at most | impact |") for line in table
    )
    assert "720 requests, 1.7 hours of them outside the impact." in page
    assert "  - was: All requests" not in page
    assert "  - was: chat requests go to big; if more than one answer in twenty takes over 60 s" in page
    assert "  - now: chat requests go to big; if more than one answer in twenty takes over 1 s" in page
    assert re.search(r"\d+ of 720 requests \(\d+ %\) are answered by another model than under stays", page)
    assert re.search(r"- Route chat: \d+ from big to small. One of them: Request r0\d+ .chat. came at", page)
    assert (
        page.index("### What changes")
        < page.index("### Decisions that change")
        < page.index("### Before you believe it")
    )
    same = check(slow, STAYS, in_force=STAYS).markdown()
    assert "Nothing: the two policies say the same." in same
    assert "None: every request is answered by the same model as before." in same
    assert "### What the policy does" in check(slow, STAYS).markdown()


@pytest.mark.parametrize(
    "hostile", ["<img src=x onerror=alert(1)>", "a|b|c", "@everyone", "[x](http://evil)", "`x`", "#1"]
)
def test_nothing_from_a_log_is_markup(tmp_path: Path, hostile: str) -> None:
    incident = loaded(tmp_path, intent=hostile)
    incident.title = hostile
    away = [replace(one, name=hostile) for one in (LEAVES, STAYS)]
    routes = replace(LEAVES.routes[0], intent=(hostile,), name=hostile)
    found = check(incident, replace(away[0], routes=(routes,)), in_force=away[1])
    page = found.markdown()
    assert "\x00" not in page
    for line in page.splitlines():
        if line.startswith("|"):
            assert line.count("|") == 8
    for bad in ("<img", "](", "@every", "`", "](http", " #1"):
        assert bad not in page


def test_plain_text_stays_readable() -> None:
    assert plain("primary_chat_model, p95_ms: 5 %") == "primary_chat_model, p95_ms: 5 %"
    assert plain("_x_ __y__") == "&#95;x&#95; &#95;&#95;y&#95;&#95;"
    assert plain("a\nb") == "a b"
