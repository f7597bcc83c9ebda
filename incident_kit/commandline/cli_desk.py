"""The verbs about the help desk: its SLA clocks, counted anew, and a support lead's own figure beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from incident_kit.commandline import verbs
from incident_kit.outfiles.framefiles import write_frame

FORMS = (".csv", ".json", ".parquet")


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    for verb in (sla, reconcile):
        app.command()(verb)


def sla(
    case: verbs.CASE = Path(),
    most: Annotated[int, typer.Option(help="How many breaches to list.", min=0)] = 15,
    table: Annotated[
        Path | None, typer.Option("--table", "-o", help="Write every clock: .csv, .json or .parquet.")
    ] = None,
) -> None:
    """Count every SLA clock anew: verdicts by metric, what differs from the records and why, breaches where they fall due."""
    from incident_kit.commandline import terminal, terminal_desk

    verbs.writable(table, *FORMS)
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("counting SLA clocks")
        clock = incident.clock
    verbs.out.print(terminal_desk.sla(clock, zone=ZoneInfo(incident.zone), most=most))
    if table is not None:
        write_frame(clock.instances, table)
        terminal.said(verbs.out, f"wrote {table}")


def reconcile(
    case: verbs.CASE = Path(),
    *,
    breaches: Annotated[int, typer.Option(help="The support lead's own figure.", min=0)],
    zone: Annotated[
        str | None, typer.Option(help="Whose days it is of. Default: the case's zone and UTC are tried.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Which date decides: due, created, ended or solved.")] = None,
    count: Annotated[str | None, typer.Option(help="targets (or instances), or tickets.")] = None,
    metric: Annotated[str | None, typer.Option(help="One metric only, such as first_reply.")] = None,
    verdicts: Annotated[str | None, typer.Option(help="recomputed or recorded.")] = None,
    period: Annotated[str | None, typer.Option(help="impact, day, week, month or all.")] = None,
) -> None:
    """Find the ways of counting missed targets that give somebody's figure, or say by how much each misses it."""
    from incident_kit.commandline import terminal
    from incident_kit.helpdesk.reconciliation import reconcile as explain

    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("counting")
        found = explain(
            incident, breaches, zone=zone, by=by, count=count, metric=metric, verdicts=verdicts, period=period
        )
    terminal.said(verbs.out, str(found))
