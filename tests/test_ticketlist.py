"""The support lead's list: a row a ticket, on tickets written by hand; once through the command line on the bundled outage."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_consequences import Ask, Clock, at, world
from typer.testing import CliRunner

from incident_kit.case import open_case
from incident_kit.commandline.cli import app
from incident_kit.errors import InvalidCase, NoSuchItem, UnwritableFile
from incident_kit.helpdesk.ticketlist import COLUMNS, save_tickets, ticket_list
from incident_kit.incident import Incident
from incident_kit.samples import OUTAGE
from incident_kit.samples import sample as bundled

DATA = Path(__file__).parent / "data" / "formats"


def desk() -> Incident:
    """T1 missed its target by 20 s after two requests, one of them redone; T2 kept it; T3 has no request."""
    clocks = [Clock(620, 600, ticket="T1", intent="chat"), Clock(100, 600, ticket="T2"), Clock(700, 600, ticket="T3")]
    asks = [
        Ask(100, 30, 30, over=True, ticket="T1"),
        Ask(200, 2.5, 2.5, over=False, ticket="T1"),
        Ask(50, 1, 1, ticket="T2"),
        Ask(60, 1, 1, ticket="T4"),
    ]
    return world(clocks, asks)[0]


def rows(incident: Incident, **options: Any) -> dict[str, dict[str, Any]]:
    return {row["ticket_id"]: row for row in ticket_list(incident, **options).iter_rows(named=True)}


def test_one_row_a_ticket() -> None:
    found = rows(desk())
    assert list(found) == ["T1", "T3", "T2", "T4"], "missed targets first, by when they were due"
    one = found["T1"]
    assert list(one) == list(COLUMNS)
    shown = {
        name: one[name] for name in ("intent", "requests", "joined", "longest_wait_s", "total_wait_s", "unanswered")
    }
    assert shown == {
        "intent": "chat", "requests": 2, "joined": "id", "longest_wait_s": 30, "total_wait_s": 32.5, "unanswered": 0,
    }  # fmt: skip
    assert (one["suggestions"], one["overridden"], one["sla"], one["target_min"]) == (2, 1, "first reply", 10)
    assert (one["due_at"], one["ended_at"], one["breach"]) == (at(600), at(620), "yes")
    assert one["late_min"] == pytest.approx(1 / 3)
    assert one["why"] == (
        "First reply 20 s late. Suggestions that had to be redone: 1 of 2. Waits for the model: 32.5 s in all"
    )
    assert (found["T2"]["breach"], found["T2"]["why"], found["T2"]["targets_missed"]) == ("no", "", 0)
    assert found["T3"]["why"] == "First reply 1 min 40 s late. No request of a model is known to be this ticket's"
    assert (found["T4"]["breach"], found["T4"]["targets"]) == (None, 0), "the help desk does not know it"


def test_a_target_that_was_missed_and_then_replaced_by_a_longer_one() -> None:
    incident = Incident.create()
    names = ("field_history", "ticket", "comment", "user", "schedule", "ticket_schedule")
    incident.load([DATA / f"zendesk_{name}.csv" for name in names])
    found = rows(incident)
    one = found["12"]
    assert (one["breach"], one["sla"]) == ("yes", "first reply")
    assert (one["late_min"], one["target_min"]) == (None, None), "the target of a day came after the miss of an hour"
    assert one["why"].startswith("First reply missed a target that was replaced later. ")
    late = [row["late_min"] for row in found.values() if row["late_min"] is not None]
    assert late
    assert min(late) >= 0


def test_who_answered_and_who_did_not() -> None:
    incident = desk()
    incident.store.run("update requests set is_fallback = true where request_id = 'r000'")
    incident.store.run("update requests set status = 'error', served = null where request_id = 'r001'")
    one = rows(incident)["T1"]
    assert (one["by_backup"], one["unanswered"]) == (1, 1)
    assert "Requests without an answer: 1 of 2. Answered by the backup: 1 of 2" in one["why"]


def test_escalations_are_none_only_where_some_are_told() -> None:
    incident = desk()
    assert {one["escalated"] for one in rows(incident).values()} == {None}
    incident.store.run("insert into ticket_events (ticket_id, \"at\", type) values ('T1', now(), 'escalation')")
    found = rows(incident)
    assert (found["T1"]["escalated"], found["T2"]["escalated"], found["T2"]["reopened"]) == (True, False, None)


def test_a_part_of_the_time() -> None:
    incident = desk()
    assert set(rows(incident, during=(at(55), at(120)))) == {"T1", "T4"}, "by their requests"
    assert set(rows(incident, during=(at(590), at(610)))) == {"T1", "T2", "T3"}, "by their due times"
    with pytest.raises(NoSuchItem, match="no phase 'lunch'"):
        ticket_list(incident, during="lunch")


def test_what_the_help_desk_says_otherwise() -> None:
    incident = desk()
    incident.store.run("update sla set breached = false, outcome = 'met' where ticket_id = 'T1'")
    assert "The help desk has it as kept" in rows(incident)["T1"]["why"]


def test_links() -> None:
    incident = desk()
    incident.ticket_link = "https://desk.example/tickets/{ticket_id}"
    incident.store.run("update tickets set ticket_id = '../a b' where ticket_id = 'T3'")
    incident.store.run("update tickets set url = 'https://other.example/2' where ticket_id = 'T2'")
    found = rows(incident)
    assert found["T1"]["link"] == "https://desk.example/tickets/T1"
    assert found["../a b"]["link"] == "https://desk.example/tickets/..%2Fa%20b"
    incident.ticket_link = ""
    assert (rows(incident)["T2"]["link"], rows(incident)["T1"]["link"]) == ("https://other.example/2", None)
    incident.store.run("update tickets set url = 'javascript:alert(1)' where ticket_id = 'T2'")
    assert rows(incident)["T2"]["link"] is None


def test_hostile_names_reach_no_cell(tmp_path: Path) -> None:
    incident = desk()
    for table in ("tickets", "sla", "requests"):
        incident.store.run(f"update {table} set ticket_id = '=cmd|x' where ticket_id = 'T1'")  # noqa: S608 - a table of ours
    incident.store.run("update sla set policy = '@SUM(1)'")
    incident.zone = "Europe/Berlin"
    path = save_tickets(incident, ticket_list(incident), tmp_path / "t.csv")
    first = next(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    assert (first["Ticket"], first["SLA policy"]) == ("'=cmd|x", "'@SUM(1)")
    assert first["Due (Europe/Berlin)"] == "2026-01-05 13:10:00"
    with pytest.raises(UnwritableFile):
        save_tickets(incident, ticket_list(incident), tmp_path / "t.pdf")


def test_nothing_loaded(tmp_path: Path) -> None:
    incident = Incident.create()
    found = ticket_list(incident)
    assert (found.height, found.columns) == (0, list(COLUMNS))
    assert save_tickets(incident, found, tmp_path / "t.xlsx").stat().st_size > 0


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case") / "outage"
    shutil.copytree(bundled(OUTAGE), folder, ignore=shutil.ignore_patterns("*.duckdb*", "truth"))
    return folder


@pytest.mark.slow
def test_on_the_command_line(case: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    out = tmp_path / "t.xlsx"
    done = runner.invoke(app, ["export", "tickets", str(case), "--out", str(out), "--during", "impact"])
    assert done.exit_code == 0, done.output
    assert "of them with a missed target" in done.output.replace("\n", " ")
    assert out.read_bytes().startswith(b"PK")
    wrong = runner.invoke(app, ["export", "tickets", str(case), "--out", str(tmp_path / "t.doc")])
    assert isinstance(wrong.exception, UnwritableFile)
    assert runner.invoke(app, ["export", "policy.yaml"]).exit_code != 0


@pytest.mark.slow
def test_the_figure_of_the_command_line(case: Path) -> None:
    runner = CliRunner()
    incident = open_case(case, in_memory=True)
    figure = str(int(incident.clock.instances["breached"].sum()))
    done = runner.invoke(app, ["reconcile", str(case), "--breaches", figure, "--zone", "UTC"])
    assert done.exit_code == 0, done.output
    assert "on the day of the impact" in done.output
    assert isinstance(
        runner.invoke(app, ["reconcile", str(case), "--breaches", "1", "--by", "today"]).exception, NoSuchItem
    )


def test_the_link_of_a_case(case: Path) -> None:
    file = case / "incident.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "\nticket_link: https://desk.example/{ticket_id}\n", encoding="utf-8")
    assert open_case(case, in_memory=True).ticket_link == "https://desk.example/{ticket_id}"
    for bad in ("javascript:{ticket_id}", "https://desk.example/"):
        file.write_text(text + f"\nticket_link: {bad!r}\n", encoding="utf-8")
        with pytest.raises(InvalidCase, match="is no link"):
            open_case(case, in_memory=True)
    file.write_text(text, encoding="utf-8")
