"""Leads: alerts and switches against the signs of the help desk, on changes written by hand and once through the replay."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from test_firings import told
from test_signs import at, reviewed
from written import Call, Request, fill, write

from incident_kit.alerting.leads import Leads, lead_times
from incident_kit.errors import InvalidPolicy
from incident_kit.incident import Incident
from incident_kit.log import read
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import replay, replay_log
from incident_kit.store import Store

GUARDED = Policy.parse("""
routes:
- {intent: chat, primary: big, fallback: small, max_p95_ms: 1000}
- {intent: mail, primary: big, fallback: small, max_p95_ms: 1000}
- {intent: "*", primary: big}
""")


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    """The impact is from minute 60 to 120, overrides rise at minute 80 (since 61), the first complaint comes at 90."""
    found = reviewed(tmp_path_factory.mktemp("leads"))
    found.annotate("felt", at(90))
    return found


def switched(incident: Incident, *changes: tuple[float, str, str]) -> Leads:
    """Return the leads of a replay whose routes changed like this: (minute, route, new state)."""
    schema = {
        "at": pl.Datetime("us", "UTC"),
        "route": pl.String,
        "breaker": pl.String,
        "intent": pl.String,
        "to": pl.String,
    }
    rows = [{"at": at(m), "route": route, "breaker": "big", "intent": None, "to": to} for m, route, to in changes]
    stub: Any = SimpleNamespace(
        name="guarded", policy=GUARDED, incident=incident, transitions=pl.DataFrame(rows, schema=schema)
    )
    return lead_times(stub)


def first(found: Leads) -> dict[str, tuple[datetime | None, timedelta | None]]:
    return {row["name"]: (row["at"], row["lead"]) for row in found.summary.iter_rows(named=True)}


def test_switches(incident: Incident) -> None:
    """A switch of healthy time does not count, nor tests of the primary, nor one after the impact."""
    found = switched(
        incident, (10, "chat", "on backup"), (12, "chat", "testing primary"), (13, "chat", "on primary"),
        (70, "chat", "on backup"), (72, "chat", "testing primary"), (73, "chat", "on primary"), (75, "chat", "on backup"),
        (121, "mail", "on backup"),
    )  # fmt: skip
    assert first(found) == {"chat": (at(70), timedelta(minutes=10)), "mail": (None, None)}
    best = found.rows.filter(name="chat", sign="overrides").row(0, named=True)
    assert (best["headline"], best["lead_of_onset"]) == (True, timedelta(minutes=-9))
    felt = found.rows.filter(name="chat", sign="felt").row(0, named=True)
    assert (felt["headline"], felt["lead"]) == (False, timedelta(minutes=20)), (
        "to be earlier than a later sign is no feat"
    )
    chat, mail = str(found).splitlines()
    assert chat == (
        "Route chat, guarded: leaves its primary at 13:10 UTC, 10 min before the help desk first felt it "
        "(overrides rose)."
    )
    assert mail == "Route mail, guarded: never in the impact."


def test_a_route_that_was_away_already(incident: Incident) -> None:
    found = switched(incident, (50, "chat", "on backup"), (58, "chat", "testing primary"), (85, "mail", "on backup"))
    assert first(found) == {"chat": (at(50), timedelta(minutes=30)), "mail": (at(85), timedelta(minutes=-5))}
    assert "5 min after the help desk first felt it" in str(found)


def test_without_an_impact_the_first_switch_counts(tmp_path: Path) -> None:
    found = switched(
        reviewed(tmp_path, impact=False),
        (10, "chat", "on backup"),
        (13, "chat", "on primary"),
        (70, "chat", "on backup"),
    )
    assert first(found)["chat"] == (at(10), None)
    assert "the help desk shows no sign of it" in str(found)


def test_alerts(incident: Incident) -> None:
    watched = told(incident, (10, True), (12, False), (65, True))
    found = lead_times(replace(watched, incident=incident, replay=_of(watched, incident)))
    assert first(found) == {"slow": (at(65), timedelta(minutes=15)), "quiet": (None, None)}
    assert set(found.rows["kind"]) == {"alert"}
    assert str(found).startswith("Alert slow, as logged: fires at 13:05 UTC, 15 min before the help desk first felt it")


def _of(watched: Any, incident: Incident) -> Any:
    return SimpleNamespace(**vars(watched.replay), incident=incident, policy=watched.policy)


def test_nothing_to_time(incident: Incident) -> None:
    found = lead_times(replay(incident, Policy.parse("routes: [{intent: chat, primary: big}]")))
    assert (found.rows.height, found.summary.height) == (0, 0)
    assert str(found) == "policy has neither alerts nor breakers."


def test_a_bare_log_has_no_help_desk(store: Store) -> None:
    fill(store, [Request("a", 0, [Call("big", 100)])])
    with pytest.raises(InvalidPolicy, match="of a bare log"):
        lead_times(replay_log(read(store), GUARDED))


def test_through_the_replay(tmp_path: Path) -> None:
    """Ten calls a minute of 500 ms, from minute 20 to 30 of 3 s: over the limit once the window holds enough of them."""
    requests = [
        Request(f"r{i:04}", 6_000 * i, [Call("big", 3000 if 200 <= i < 300 else 500)], complete=True)
        for i in range(600)
    ]
    found = Incident.create()
    found.load(write(tmp_path, requests))
    found.annotate("impact", at(20), at(30))
    found.annotate("felt", at(25))
    one = replay(found, GUARDED)
    told_ = first(lead_times(one))
    left = one.transitions.filter(pl.col("to") == "on backup")["at"].min()
    assert told_["chat"] == (left, at(25) - left)
    assert at(20) < left < at(22)
