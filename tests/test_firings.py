"""Alerts: firings, flaps and lead times, on changes written by hand; and once through the replay."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from test_signs import at, reviewed
from written import Call, Request, fill, write

from incident_kit.alerting.firings import Alerts, alerts
from incident_kit.errors import InvalidPolicy, UnansweredQuestion
from incident_kit.incident import Incident
from incident_kit.log import read
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import replay, replay_log
from incident_kit.store import Store

POLICY = Policy.parse("""
routes: [{intent: chat, primary: big}]
alerts:
- {name: slow, intent: chat, window: 5m, when: p95_ms > 1000, severity: page}
- {name: quiet, window: 5m, when: error_rate > 0.9, severity: ticket}
""")


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    """The impact is from minute 60 to 120; overrides rise at minute 80 (test_signs)."""
    found = reviewed(tmp_path_factory.mktemp("alerts"))
    found.annotate("felt", at(78))
    found.annotate("detected", at(80))
    return found


def told(incident: Incident, *changes: tuple[float, bool], policy: Policy = POLICY) -> Alerts:
    rows = [
        {
            "at": at(minute), "policy": "as logged", "alert": "slow", "firing": firing, "metric": "p95_ms", "value": 1500.0,
            "n": 40, "threshold": 1000.0, "state_exact": True,
        }
        for minute, firing in changes
    ]  # fmt: skip
    schema = {"at": pl.Datetime("us", "UTC"), "alert": pl.String, "firing": pl.Boolean}
    frame = pl.DataFrame(rows) if rows else pl.DataFrame(schema=schema)
    stub: Any = SimpleNamespace(name="as logged", alert_changes=frame)
    return Alerts(incident, policy, stub)


def test_firings_flaps_and_false_alarms(incident: Incident) -> None:
    """Minutes 10 to 12 in healthy time; 65 to 70, again 4 minutes later (a flap), again 20 minutes later and to the end."""
    found = told(incident, (10, True), (12, False), (65, True), (70, False), (74, True), (80, False), (100, True))
    rows = found.firings.select("fired_at", "cleared_at", "lasted", "flap", "in_impact").rows()
    assert rows == [
        (at(10), at(12), timedelta(minutes=2), False, False),
        (at(65), at(70), timedelta(minutes=5), False, True),
        (at(74), at(80), timedelta(minutes=6), True, True),
        (at(100), None, None, False, True),
    ]
    slow, quiet = found.summary.rows(named=True)
    assert (slow["firings"], slow["flaps"], slow["false_alarms"]) == (4, 1, 1)
    assert (quiet["firings"], quiet["first_fired_at"]) == (0, None)


def test_lead_times(incident: Incident) -> None:
    row = told(incident, (10, True), (12, False), (65, True)).summary.row(0, named=True)
    minutes = {name: value / timedelta(minutes=1) for name, value in row.items() if isinstance(value, timedelta)}
    assert row["first_fired_at"] == at(65)
    assert minutes == {"after_impact": 5, "before_felt": 13, "before_detected": 15, "before_first_sign": 13}
    assert row["before_mitigated"] is None, "no such phase"
    assert (row["first_sign"], row["first_sign_at"]) == ("felt", at(78)), "overrides rise at minute 80"


def test_in_a_sentence(incident: Incident) -> None:
    slow, quiet = str(told(incident, (10, True), (12, False), (90, True), (91, False), (92, True))).splitlines()
    assert slow == (
        "Alert slow (page), as logged: it fires at 13:30 UTC (of 40 requests, the slowest one in twenty took at least 1,500 ms, "
        "the limit is 1,000 ms), 30 min into the impact, 12 min after the help desk first felt it (the first complaint "
        "came), 10 min after it was detected; it flaps once; "
        "1 of its 3 firings began outside the impact."
    )
    assert quiet == "Alert quiet (ticket), as logged: it does not fire."


def test_already_firing_when_it_began(incident: Incident) -> None:
    row = told(incident, (55, True), (65, False), (70, True)).summary.row(0, named=True)
    assert (row["first_fired_at"], row["already_firing"]) == (at(55), True)
    assert row["after_impact"] == timedelta(minutes=-5)
    assert row["false_alarms"] == 1
    assert "before the impact began" in row["sentence"]


def test_never_in_the_impact(incident: Incident) -> None:
    row = told(incident, (10, True), (12, False)).summary.row(0, named=True)
    assert row["first_fired_at"] is None
    assert row["sentence"].endswith("it does not fire in the impact; 1 of its 1 firings began outside the impact.")


def test_nothing_fires(incident: Incident) -> None:
    found = told(incident)
    assert found.firings.is_empty()
    assert {"alert", "fired_at", "cleared_at", "flap", "in_impact"} <= set(found.firings.columns)
    assert found.summary["firings"].to_list() == [0, 0]
    assert str(told(incident, policy=Policy.parse("routes: [{intent: a, primary: b}]"))) == "policy has no alerts."


def test_what_is_meant_must_be_said(incident: Incident, store: Store) -> None:
    with pytest.raises(InvalidPolicy, match="name the policy"):
        alerts(incident)
    one = replay(incident, Policy.parse("routes: [{intent: chat, primary: big}]"))
    with pytest.raises(InvalidPolicy, match="has its own policy's alerts"):
        alerts(one, POLICY)
    fill(store, [Request("a", 0, [Call("big", 100)])])
    with pytest.raises(InvalidPolicy, match="of a bare log"):
        alerts(replay_log(read(store), one.policy))


def test_what_the_log_does_not_hold_is_refused(incident: Incident) -> None:
    tools = Policy.parse(
        "routes: [{intent: chat, primary: big}]\nalerts: [{name: a, window: 5m, when: tool_success_rate < 0.9}]"
    )
    with pytest.raises(UnansweredQuestion, match="alert a"):
        alerts(incident, tools)


@pytest.mark.slow
def test_through_the_replay(tmp_path: Path) -> None:
    """Ten calls a minute of 500 ms, from minute 20 to 30 of 3 s: a sweep a minute, five minutes of window, 20 needed."""
    requests = [
        Request(f"r{i:04}", 6_000 * i, [Call("big", 3000 if 200 <= i < 300 else 500)], complete=True)
        for i in range(600)
    ]
    found = Incident.create()
    found.load(write(tmp_path, requests))
    found.annotate("impact", at(20), at(30))
    watched = alerts(found, POLICY)
    row = watched.firings.row(0, named=True)
    # three of fifty are slow once those of 20:00, 20:06 and 20:12 are done: at the sweep of 21:00 ten are
    assert (row["alert"], row["fired_at"]) == ("slow", at(21))
    # the window of 35:00 holds what was done after 30:00: of those sent until 29:54 only the last, at 30:00 at the latest
    assert row["cleared_at"] == at(35)
    assert watched.firings.height == 1
    under = alerts(replay(found, POLICY))
    assert under.firings.drop("policy").equals(watched.firings.drop("policy")), (
        "nothing goes elsewhere under this policy"
    )
    assert (row["value"], row["n"]) == (3000, 50)
