"""The sheets of a game day, its record, and the verb."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from healthy_log import BARE, WATCHED, incident, played, redone, requests, slow
from typer.testing import CliRunner
from written import Call, Request, write

from incident_kit.commandline.cli import app
from incident_kit.errors import InvalidCase, UnwritableFile
from incident_kit.gamedays import runbook
from incident_kit.gamedays.exercise import GameDay
from incident_kit.gamedays.rehearsals import gameday
from incident_kit.gamedays.rehearsed import beside, last_rehearsed, record
from incident_kit.gamedays.timetables import timetable
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy, describe_table
from incident_kit.words import lasting

__all__ = ["incident", "redone", "slow"]  # fixtures


# --- the sheets ---


def test_the_timetable(slow: GameDay) -> None:
    rows = list(timetable(slow, WATCHED))
    assert rows[0][:2] == ("0:00", "13:40:00")
    assert rows[0][2].startswith("PUT IN: big")
    what = [row[2] for row in rows]
    assert "the fault on big is at its full strength" in what
    assert "TAKE OUT: the fault on big" in what
    (page,) = [row for row in rows if row[2] == "page (page): slow-refunds"]
    assert page[3] == "support lead"
    seconds = [int(one[0].split(":")[0]) * 60 + int(one[0].split(":")[1]) for one in rows]
    assert seconds == sorted(seconds)
    assert any(row[2] == "route refund goes to its backup" for row in rows)


def test_the_teams_sheet_gives_nothing_away(slow: GameDay, redone: GameDay) -> None:
    sheet = runbook.team(slow)
    assert sheet == runbook.team(redone)  # whatever is going to happen
    for text in (sheet.markdown, sheet.html):
        for word in (*slow.whats, slow.name, "PUT IN", "T+", "13:40", "backup at"):
            assert word not in text
        for word in ("refund", "support lead", "slow-refunds", "EXERCISE", "670 ms"):
            assert word in text


@pytest.mark.slow
def test_the_game_masters_sheet_says_it_all(slow: GameDay) -> None:
    text = runbook.master(slow).markdown
    for heading in ("Timetable", "Abort if", "Undo", "What to check in the dashboards", "Where nobody is called"):
        assert f"## {heading}\n" in text
    page = slow.detection.row(0, named=True)["page_after"]
    assert f"First page: slow-refunds to support lead, {lasting(page)} after the beginning" in text
    assert "| refund | p95 wait | 670 ms |" in text
    assert "☐" in text
    assert "- [ ] " in text
    unwatched = played(slow.healthy, "slow-ramp", policies=[BARE], day=None)
    assert "NO PAGE: the policy has no alerts." in runbook.master(unwatched).markdown


def test_a_page_asks_nobody_for_anything(slow: GameDay, tmp_path: Path) -> None:
    files = slow.save(tmp_path / "sheets")
    assert sorted(one.name for one in files) == ["game-master.html", "game-master.md", "team.html", "team.md"]
    page = (tmp_path / "sheets/game-master.html").read_text()
    assert "default-src 'none'" in page
    for word in ("<script", "http://", "https://", "url(", "<link", "<img"):
        assert word not in page
    assert [one.read_bytes() for one in files] == [one.read_bytes() for one in slow.save(tmp_path / "again")]
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableFile, match="name a folder"):
        slow.save(tmp_path / "file")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>|`[a](javascript:1)`\u202e\x1b[31m"
    asked = [
        Request(
            f"r{i:04}",
            i * 3000,
            [Call("big", 300, tool_calls=1, tool_errors=0)],
            evil,
            overridden=False,
            tools_offered=1,
        )
        for i in range(1200)
    ]
    incident = Incident.create()
    incident.load(write(tmp_path, asked))
    incident.contacts = {"page": evil}
    policy = Policy.parse(
        "{routes: [{intent: '*', primary: big, fallback: small}], alerts: [{name: a, when: p95_ms > 99999}]}"
    )
    day = gameday(incident, "slow-ramp", policies=[policy], draws=0)
    for sheet in (runbook.master(day), runbook.team(day)):
        assert "<img" not in sheet.html
        assert "<img" not in sheet.markdown.replace("\\<img", "")
        assert "&lt;img" in sheet.html
        for text in (sheet.html, sheet.markdown):
            assert not {"\u202e", "\x1b"} & set(text)
        assert all(line.count(" | ") < 12 for line in sheet.markdown.splitlines())


# --- the record ---


def test_the_record_says_when_each_route_was_last_rehearsed(slow: GameDay, tmp_path: Path) -> None:
    record([slow], tmp_path, on=date(2026, 2, 1))
    file = record([slow], tmp_path, on=date(2026, 2, 1))
    entries = json.loads(file.read_text())
    assert [(one["policy"], one["degradation"]) for one in entries] == [("watched", "slow-ramp"), ("bare", "slow-ramp")]
    table = describe_table(last_rehearsed(WATCHED, tmp_path))
    assert table["last_rehearsed"].to_list() == [date(2026, 2, 1)] * 2
    changed = WATCHED.with_value("refund.max_p95_ms", 1400)
    assert describe_table(last_rehearsed(changed, tmp_path))["last_rehearsed"].to_list() == [None, date(2026, 2, 1)]
    noted = WATCHED.with_value("refund.note", "seen by the team").with_value("refund.rehearsed", "2026-03-01")
    assert describe_table(last_rehearsed(noted, tmp_path))["last_rehearsed"][0] == date(2026, 3, 1)
    record([slow], tmp_path, on=date(2026, 4, 1))
    assert describe_table(last_rehearsed(noted, tmp_path))["last_rehearsed"][0] == date(2026, 4, 1)
    assert last_rehearsed(WATCHED, tmp_path / "nowhere") == WATCHED


def test_a_route_that_nothing_hit_was_not_rehearsed(incident: Incident, tmp_path: Path) -> None:
    part = {"target": "big", "intents": ["chat"], "from": "5m", "until": "15m", "slow": 4}
    record([gameday(incident, [part], draws=0)], tmp_path, on=date(2026, 2, 1))
    table = describe_table(last_rehearsed(WATCHED, tmp_path))
    assert table["last_rehearsed"].to_list() == [None, date(2026, 2, 1)]


def test_a_record_that_is_none(tmp_path: Path) -> None:
    for text in ("{", "[1]", '[{"on": "x", "routes": []}]', '[{"on": "2026-01-01", "routes": 3}]', "7"):
        (tmp_path / "rehearsals.json").write_text(text)
        with pytest.raises(InvalidCase, match="is no record of rehearsals"):
            last_rehearsed(WATCHED, tmp_path)
    (tmp_path / "policies").mkdir()
    assert beside(tmp_path / "policies" / "p.yaml") == tmp_path
    assert beside(tmp_path / "policies" / "deep" / "er" / "p.yaml") is None


# --- the verb ---


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    (folder / "logs").mkdir()
    files = write(folder / "logs", requests())
    names = [f"logs/{Path(one).name}" for one in files]
    (folder / "policies").mkdir()
    WATCHED.save(folder / "policies/watched.yaml")
    listed = "\n".join(f"- {{path: {name}}}" for name in names)
    (folder / "incident.yaml").write_text(
        f"zone: Europe/Berlin\nsources:\n{listed}\npolicies: [policies/watched.yaml]\ncontacts: {{page: the on-call phone}}\n"
    )
    return folder


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["rehearse", *words])


@pytest.mark.slow
def test_the_verb(case: Path, tmp_path: Path) -> None:
    done = run(
        str(case), "--standard", "slow-ramp", "--standard", "quality-drop", "--last", "tuesday", "--at", "13:40", "--lasting",
        "20m", "--gameday", str(tmp_path / "sheets"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    for words in ("slow-ramp: answers take longer", "First page: slow-refunds", "Timetable: watched", "All of them"):
        assert words in said
    assert (tmp_path / "sheets/quality-drop/team.html").is_file()
    told = CliRunner().invoke(app, ["describe", str(case / "policies/watched.yaml")])
    assert datetime.now(tz=UTC).date().isoformat()[:8] in told.stdout


@pytest.mark.slow
def test_a_file_on_a_day(case: Path, tmp_path: Path) -> None:
    script = tmp_path / "d.yaml"
    script.write_text("degradations:\n- {target: big, from: 10m, until: 30m, slow: 5, text: my own}\n")
    done = run(
        str(case), str(script), "--day", "2026-01-06", "--at", "13:30", "--no-record", "--gameday", str(tmp_path / "s")
    )
    assert done.exit_code == 0, done.output
    assert "my own" in done.stdout
    assert (tmp_path / "s/game-master.md").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "or --standard NAME"),
        (["--standard", "all", "--day", "2026-01-06", "--last", "tuesday"], "give one of them"),
        (["--standard", "hang", "--into", "x.duckdb"], "--into keeps the tables of one rehearsal"),
    ],
)
def test_what_the_verb_refuses(case: Path, words: list[str], told: str) -> None:
    done = run(str(case), *words)
    assert done.exit_code != 0
    assert told in str(done.exception)
