"""The verb about what stands out: findings of an incident, and the contrast of a part of it with its usual time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from incident_kit.commandline import verbs
from incident_kit.errors import InvalidCase
from incident_kit.outfiles.framefiles import write_frame

if TYPE_CHECKING:
    from incident_kit.inspection.battery import Findings

FORMS = (".csv", ".json", ".parquet")


def add_to(app: typer.Typer) -> None:
    """Add the verb to a command line."""
    app.command()(findings)


def findings(
    case: verbs.CASE = Path(),
    during: Annotated[
        str | None,
        typer.Option(help="A phase, or two instants: 2026-10-05T13:40Z..2026-10-05T14:10Z. Default: the impact."),
    ] = None,
    *,
    contrast: Annotated[
        bool, typer.Option("--contrast", help="Also what that time has more or less of, over every dimension.")
    ] = False,
    with_ids: Annotated[int, typer.Option(help="How many request ids to show behind each finding.", min=0)] = 0,
    table: Annotated[
        Path | None, typer.Option("--table", "-o", help="Write the findings: .csv, .json or .parquet.")
    ] = None,
) -> None:
    """Say what small checks find in an incident beside its usual time, ranked; how long it took to detect, mitigate, recover."""
    from incident_kit.commandline import terminal
    from incident_kit.inspection.battery import findings as look
    from incident_kit.inspection.contrasts import contrast as beside

    verbs.writable(table, *FORMS)
    span = _span(during)
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("looking (the first time compiles the kernel: about a minute, once)")
        found = look(incident, span)
        other = beside(incident, span) if contrast and found.ranked else None
    terminal.said(verbs.out, str(incident.times))
    terminal.said(verbs.out, "")
    terminal.said(verbs.out, str(found))
    if with_ids:
        _ids(found, with_ids)
    if other is not None:
        terminal.said(verbs.out, "")
        terminal.said(verbs.out, str(other))
    if table is not None:
        write_frame(found.rows, table)
        terminal.said(verbs.out, f"wrote {table}")


def _ids(found: Findings, most: int) -> None:
    from incident_kit.commandline import terminal

    for one in found.interesting:
        ids = found.evidence(one.check)["request_id"].to_list()
        if ids:
            more = f" and {len(ids) - most:,} more" if len(ids) > most else ""
            terminal.said(verbs.out, f"{one.title}: {', '.join(ids[:most])}{more}")


def _span(text: str | None) -> str | tuple[datetime, datetime] | None:
    """Return a phase's name, or the two instants of ``FROM..UNTIL``."""
    if text is None or ".." not in text:
        return text
    begin, end = text.split("..", 1)
    try:
        return datetime.fromisoformat(begin.strip()), datetime.fromisoformat(end.strip())
    except ValueError as error:
        wanted = "write 2026-10-05T13:40Z..2026-10-05T14:10Z"
        raise InvalidCase(f"--during {text!r} is no span of time; {wanted}, or a phase such as impact") from error
