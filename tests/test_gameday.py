"""A rehearsal as a game day: who is called when, what nobody sees, on one day of a log; and the sheets to print."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from healthy_log import BARE, WATCHED, incident, played, redone, slow
from written import START, Call, Request, write

import incident_kit as ik
from incident_kit.errors import InvalidPolicy, InvalidScenario
from incident_kit.excerpts import day_of, days, excerpt
from incident_kit.gamedays.drills import DRILLS, drill
from incident_kit.gamedays.exercise import GameDay
from incident_kit.gamedays.pages import Pager
from incident_kit.gamedays.rehearsals import gameday, gamedays
from incident_kit.gamedays.runbook import master
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy

__all__ = ["incident", "redone", "slow"]  # fixtures
SECOND_DAY = START + timedelta(days=1)


# --- a day of a log ---


def test_a_day_is_the_readers_day(incident: Incident) -> None:
    assert days(incident) == [date(2026, 1, 5), date(2026, 1, 6)]
    midnight = datetime(2026, 1, 5, 23, tzinfo=UTC)
    for said in ("2026-01-06", date(2026, 1, 6), "tuesday", "Tuesday"):
        assert day_of(incident, said) == (midnight, midnight + timedelta(days=1))
    part = excerpt(incident, *day_of(incident, "tuesday"))
    assert part.about()["first"] == SECOND_DAY
    assert part.about()["requests"] == incident.about()["requests"] // 2
    assert (part.zone, part.contacts, part.policies) == (incident.zone, incident.contacts, incident.policies)
    assert {name: one.answer for name, one in part.answers.items()} == {
        name: one.answer for name, one in incident.answers.items()
    }


def test_what_belongs_to_a_day_comes_with_it(incident: Incident, tmp_path: Path) -> None:
    whole, part = incident, excerpt(incident, *day_of(incident, "monday"))
    ids = part.requests().select("request_id")
    for name in ("attempts", "feedback"):
        expected = getattr(whole, name)().join(ids, on="request_id", how="semi")
        assert expected.height
        assert getattr(part, name)().equals(expected)
    desk = Incident.create()
    hours = [0, 5, 26]
    desk.load(
        write(
            tmp_path,
            [
                Request(f"r{hour}", hour * 3_600_000, [Call("big", 300)], changes={"ticket_id": f"t{hour}"})
                for hour in hours
            ],
        )
    )
    desk.store.run(
        "insert into tickets (ticket_id, created_at) values ('t0', $old), ('t26', $at), ('lone', $at), ('far', $far)",
        {"old": START - timedelta(days=9), "at": START + timedelta(hours=1), "far": START + timedelta(days=3)},
    )
    desk.annotate("deploy", START + timedelta(hours=2), text="mine")
    desk.annotate("deploy", START + timedelta(hours=30), text="another day's")
    found = excerpt(desk, *day_of(desk, "monday"))
    assert sorted(found.tickets()["ticket_id"]) == ["lone", "t0", "t26"]
    assert [phase.text for phase in found.phases if phase.kind == "deploy"] == ["mine"]


@pytest.mark.parametrize(
    ("day", "told"),
    [
        (
            "friday",
            r"no request on friday in Europe/Berlin; its days are 2026-01-05 \(Monday\), 2026-01-06 \(Tuesday\)",
        ),
        ("2026-01-09", "no request on 2026-01-09"),
        ("tusday", "'tusday' is no day .did you mean 'tuesday'"),
    ],
)
def test_a_day_that_is_not_there(incident: Incident, day: str, told: str) -> None:
    with pytest.raises(InvalidScenario, match=told):
        day_of(incident, day)


# --- standard degradations ---


@pytest.mark.parametrize("name", list(DRILLS))
def test_each_standard_degradation_does_what_it_says(incident: Incident, name: str) -> None:
    begin = SECOND_DAY + timedelta(minutes=30)
    parts = drill(name).on("big", begin, timedelta(minutes=20))
    other = ik.rehearse(incident, parts)
    assert min(part.start for part in parts) == begin
    assert max(part.until for part in parts) == begin + timedelta(minutes=20)
    inside = (pl.col("at") >= begin) & (pl.col("at") < begin + timedelta(minutes=20))
    was, now = (
        one.as_logged.outcomes.filter(inside).select(
            pl.col("wait_ms").mean(), pl.col("failed").mean(), pl.col("tool_errors").sum(), pl.col("overridden").mean(),
            pl.col("error_class").cast(pl.String).drop_nulls().unique().alias("classes").implode(),
        ).row(0, named=True)
        for one in (incident, other)
    )  # fmt: skip
    moved = {
        "wait": now["wait_ms"] > 1.3 * was["wait_ms"],
        "errors": now["failed"] > was["failed"] + 0.1,
        "tools": now["tool_errors"] > 5 * was["tool_errors"],
        "overrides": now["overridden"] > was["overridden"] + 0.1,
    }
    expected = {
        "slow-ramp": {"wait"},
        "silent-tools": {"tools", "overrides"},
        "rate-limit-storm": {"errors"},
        "hang": {"wait", "errors"},
        "flapping": {"errors", "wait"},
        "half-region": {"errors"},
        "quality-drop": {"overrides"},
    }
    assert {key for key, is_so in moved.items() if is_so} == expected[name]


def test_an_unknown_one_lists_what_there_is() -> None:
    with pytest.raises(InvalidScenario, match=r"'slow-rump' .did you mean 'slow-ramp'.*quality-drop"):
        drill("slow-rump")


# --- who is called when ---


def test_who_is_called_when(slow: GameDay) -> None:
    begin = SECOND_DAY + timedelta(minutes=40)
    assert slow.span == (begin, begin + timedelta(minutes=20))
    page = slow.pages.row(0, named=True)
    assert (page["alert"], page["who"], page["needless"]) == ("slow-refunds", "support lead", False)
    assert page["after"] == page["fired_at"] - begin
    found = ik.alerts(slow.board.replays["watched"]).firings.row(0, named=True)
    assert page["fired_at"] == found["fired_at"]
    first = slow.detection.row(0, named=True)
    assert (first["policy"], first["page_after"], first["alert"]) == ("watched", page["after"], "slow-refunds")
    assert first["route"] == "refund"
    assert slow.board.replays["watched"].transitions["at"][0] == first["switch_at"]
    bare = slow.detection.row(1, named=True)
    assert (bare["page_at"], bare["switch_at"], bare["pages"]) == (None, None, 0)


def test_where_nobody_is_called(slow: GameDay, redone: GameDay) -> None:
    rows = slow.gaps.select("policy", "intent", "metric", "switched").rows()
    assert rows == [
        ("watched", "chat", "p95_ms", False),
        ("bare", "chat", "p95_ms", False),
        ("bare", "refund", "p95_ms", False),
    ]
    assert "no alert is about this intent" in slow.gaps["sentence"][0]
    assert "this policy has no alerts" in slow.gaps["sentence"][1]
    # quality alone: the alert on overrides sees it, late; nobody is called for the chat
    assert set(redone.gaps.filter(policy="watched")["intent"]) == {"chat"}
    page = redone.detection.row(0, named=True)
    assert (page["alert"], page["who"]) == ("redone", "support lead")
    assert page["switch_at"] is None


def test_an_alert_that_stays_silent_is_named(incident: Incident) -> None:
    lax = WATCHED.with_value("routes[0].owner", None)
    lax = replace(lax, name="lax", alerts=tuple(replace(one, for_ms=3_600_000) for one in lax.alerts))
    day = played(incident, "slow-ramp", policies=[lax])
    row = day.gaps.filter(intent="refund").row(0, named=True)
    assert row["watched_by"] == ["slow-refunds"]
    assert row["switched"]
    assert "looks at it, but does not fire" in row["sentence"]
    assert "nobody is told" in row["sentence"]


def test_what_is_called_without_any_fault_is_needless(incident: Incident) -> None:
    jumpy = Policy.parse(
        "{name: jumpy, routes: [{intent: '*', primary: big, fallback: small, max_p95_ms: 500}],"
        " alerts: [{name: always, when: p95_ms > 500}]}"
    )
    day = played(incident, "quality-drop", policies=[jumpy])
    assert day.pages.height > 0
    assert day.pages["needless"].all()
    row = day.detection.row(0, named=True)
    assert (row["page_at"], row["switch_at"], row["pages"]) == (None, None, 0)
    assert row["needless_pages"] == day.pages.height
    assert row["needless_switches"] > 0
    assert "that nobody needed" in str(day)
    assert "NO SWITCH: no switch because of the fault" in str(day)
    undo = master(day).markdown.partition("## Undo")[2].partition("##")[0]
    assert "Take the fault out on big" in undo
    assert "back on its primary" not in undo  # its switches are the day's own


def test_whom_an_alert_calls() -> None:
    alert = WATCHED.alert("redone")
    assert Pager({"redone": "a", "support": "b", "ticket": "c"}).who(WATCHED, alert.name) == "a"
    assert Pager({"support": "b", "ticket": "c"}).who(WATCHED, alert.name) == "b"
    assert Pager({"ticket": "c"}).who(WATCHED, alert.name) == "c"
    assert Pager({}).who(WATCHED, alert.name) == "support"
    unowned = replace(WATCHED, owner=None, routes=tuple(replace(one, owner=None) for one in WATCHED.routes))
    assert Pager({}).who(unowned, alert.name) is None


def test_what_people_feel(slow: GameDay) -> None:
    told = {(row["policy"], row["metric"]): row for row in slow.felt.iter_rows(named=True)}
    logged = told["as logged", "p95_ms"]
    assert logged["usual"] == 670
    assert logged["estimate"] > 2000
    by_hand = slow.rehearsed.as_logged.outcomes.filter(pl.col("at").is_between(*slow.span, closed="left"))["wait_ms"]
    assert logged["estimate"] == sorted(by_hand)[-(-95 * len(by_hand) // 100) - 1]


# --- where it lies, and what is wrong with it ---


def test_when_it_begins(incident: Incident) -> None:
    whole = gameday(incident, "hang", draws=0, target="big", policies=[BARE])
    assert whole.span[0].minute == 0
    assert whole.span[0] == START + timedelta(hours=1)  # of hours as full as others, the first with calm before it
    part = {"target": "big", "from": "5m", "until": "15m", "slow": 4, "text": "a slow patch"}
    plain = gameday(incident, [part], draws=0, policies=[BARE])
    assert plain.span == (START + timedelta(minutes=5), START + timedelta(minutes=15))
    assert plain.name == "a slow patch"
    later = gameday(incident, [part], day="tuesday", at="13:30", draws=0, policies=[BARE])
    assert later.span[0] == SECOND_DAY + timedelta(minutes=35)
    instant = gameday(incident, [part], at="2026-01-06T12:10:00Z", draws=0, policies=[BARE])
    assert instant.span[0] == SECOND_DAY + timedelta(minutes=15)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"at": "noon"}, "'noon' is no time; write 14:00"),
        ({"at": "2026-01-06T12:00"}, "has no zone"),
        ({"at": "23:30"}, "lies outside the log"),
        ({"target": "biggg"}, "no 'biggg' .did you mean 'big'"),
        ({"at": None, "lasting": "5h"}, "too little for 5 h of a degradation"),
    ],
)
def test_what_cannot_be_rehearsed(incident: Incident, how: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidScenario, match=told):
        played(incident, "slow-ramp", policies=[BARE], **how)


def test_no_policy_and_no_log() -> None:
    with pytest.raises(InvalidScenario, match="no requests; load a log first"):
        gameday(Incident.create(), "hang", policies=[BARE])
    bare = Incident.create()
    with pytest.raises(InvalidPolicy, match="no policy to rehearse"):
        gameday(bare, "hang")


def test_the_policy_that_is_in_force_now_is_rehearsed(incident: Incident) -> None:
    versions = ik.versions([(BARE, None, START), (WATCHED, START, None)])
    other = excerpt(incident, *day_of(incident, "tuesday"))
    other.in_force, other.policies = versions, ()
    assert [one.name for one in gameday(other, "hang", draws=0, lasting="10m").policies] == ["watched"]


def test_standard_ones_side_by_side(incident: Incident) -> None:
    found = list(gamedays(incident, ["hang", "half-region"], policies=[BARE], day="tuesday", draws=0, lasting="10m"))
    assert [one.name for one in found] == ["hang", "half-region"]
    assert found[0].calm is found[1].calm
