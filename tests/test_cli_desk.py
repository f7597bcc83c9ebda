from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

import incident_kit as ik
from incident_kit.commandline import terminal_desk
from incident_kit.commandline.cli import app
from incident_kit.servicelevels.slaclock import clocked

DATA = Path(__file__).parent / "data"
CASE = "sources:\n  - path: logs/*\nzone: America/New_York\nsla:\n  asof: 2026-04-01T00:00:00Z\n"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    (folder / "logs").mkdir()
    names = ("comment", "field_history", "schedule", "schedule_holiday", "ticket", "ticket_schedule", "user")
    files = [*(DATA / "formats" / f"zendesk_{name}.csv" for name in names), DATA / "zendesk_events.json"]
    for file in files:
        (folder / "logs" / file.name).write_bytes(file.read_bytes())
    (folder / "incident.yaml").write_text(CASE)
    return folder


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "160"})
    return done.exit_code, done.output


def shown(incident: ik.Incident, **options: int) -> str:
    console = Console(width=140, record=True)
    console.print(terminal_desk.sla(clocked(incident.store), zone=ZoneInfo("UTC"), **options))
    return console.export_text()


def test_verdicts_differences_and_breaches_where_they_fall_due(case: Path, tmp_path: Path) -> None:
    code, text = run("sla", case, "--most", "2", "--table", tmp_path / "clocks.csv")
    assert code == 0, text
    assert "72 SLA clocks of 25 tickets, as of 2026-04-01 00:00:00 UTC (Tue 20:00 EDT)" in text
    first_reply = next(line for line in text.splitlines() if line.strip().startswith("first_reply"))
    assert first_reply.split() == ["first_reply", "14", "9"]
    assert "not yet marked" in text
    assert "the first 2 of 16" in text
    rows = [line.split() for line in text.splitlines() if line.strip().startswith("2026-02-24")]
    assert [row[:5] for row in rows] == [
        ["2026-02-24", "15:00:00", "Tue", "10:00", "12"],
        ["2026-02-24", "15:00:00", "Tue", "10:00", "13"],
    ]
    assert pl.read_csv(tmp_path / "clocks.csv").height == 72


def test_what_a_breach_is_over_by_is_never_cut(case: Path) -> None:
    done = CliRunner().invoke(app, ["sla", str(case)], env={"COLUMNS": "80"})
    said = [line.strip() for line in done.output.splitlines() if line.strip().startswith("2026-")]
    assert len(said) == 15
    assert all(
        re.search(r"  (\d+ d \d+ h|\d+ h \d+ min|\d+ min \d+ s|\d+ s|replaced( target)?)$", line) for line in said
    ), said
    assert sum("replaced" in line for line in said) == 1, "ticket 12"
    assert "breaches; none is listed" in run("sla", case, "--most", "0")[1]


def test_a_table_of_another_kind_is_refused_before_any_work(case: Path) -> None:
    code, text = run("sla", case, "--table", "clocks.txt")
    assert code != 0
    assert "SLA clocks of" not in text


def test_no_clock_at_all_says_what_to_load() -> None:
    assert "load the help desk's SLA events" in shown(ik.Incident.create())


def test_records_that_agree_say_so(tmp_path: Path) -> None:
    incident = ik.Incident.create()
    file = tmp_path / "sla.csv"
    file.write_text(
        "ticket_id,metric,instance_no,target_s,clock,started_at,stopped_at,breached,outcome\n"
        "T\x1b[2J1,first_reply,1,3600,calendar,2026-03-02T14:00:07Z,2026-03-02T14:31:07Z,false,met\n"
    )
    incident.load(file)
    text = shown(incident)
    assert "All 1 recorded verdicts are those that their own records give." in text
    assert "No clock is breached." in text
    assert "\x1b" not in text


def test_text_that_a_sheet_would_run_is_kept_as_text(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "sla.csv").write_text(
        "ticket_id,metric,instance_no,target_s,clock,started_at\n=1+1,first_reply,1,60,calendar,2026-03-02T14:00:07Z\n"
    )
    (tmp_path / "incident.yaml").write_text(CASE)
    code, text = run("sla", tmp_path, "--table", tmp_path / "clocks.csv")
    assert code == 0, text
    assert "\n'=1+1," in (tmp_path / "clocks.csv").read_text()


def test_both_other_forms_are_written(case: Path, tmp_path: Path) -> None:
    for name in ("clocks.parquet", "clocks.json"):
        assert run("sla", case, "--table", tmp_path / name)[0] == 0
    assert pl.read_parquet(tmp_path / "clocks.parquet").height == pl.read_json(tmp_path / "clocks.json").height == 72
