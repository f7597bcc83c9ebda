"""The verbs about the brief: write it, and see whether it can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from incident_kit.commandline import verbs


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    for verb in (brief, verify):
        app.command()(verb)


def brief(  # noqa: PLR0917 - its options
    case: verbs.CASE = Path(),
    policy: verbs.POLICIES = None,
    during: Annotated[
        str | None,
        typer.Option(help="Score a phase only, or all. Default: the impact, where there is one.", show_default=False),
    ] = None,
    page: Annotated[Path, typer.Option("--out", help="The file to write: .html, .pdf, .md or .eml.")] = Path(
        "brief.html"
    ),
    pictures: Annotated[Path | None, typer.Option("--charts", help="A folder for every chart, as SVG and PNG.")] = None,
    sweep: Annotated[bool, typer.Option(help="Try the most important limit at several settings, for a slider.")] = True,  # noqa: FBT002
    with_ids: Annotated[bool, typer.Option("--with-ids", help="List tickets by their ids.")] = False,  # noqa: FBT002
) -> None:
    """Write the page for leadership: one HTML file that opens anywhere and asks nobody for anything; or PDF, Markdown, a mail."""
    from incident_kit.briefs.briefpage import brief as write_brief
    from incident_kit.briefs.briefpage import refuse_other_names
    from incident_kit.commandline import terminal

    verbs.writable(page)
    refuse_other_names(page)
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        if during is None and any(phase.kind == "impact" for phase in incident.phases):
            during = "impact"  # of which the counts are, too
        board = verbs.compared(incident, verbs.chosen(incident, policy), during, step)
        step("working out the brief")
        # only a page has a slider, and only a folder of charts what comes of it
        has_room = page.suffix.lower() == ".html" or pictures is not None
        tried: Literal["likely"] | None = "likely" if sweep and has_room else None
        written = write_brief(incident, board, page, pictures=pictures, sweep=tried, with_ids=with_ids)
    terminal.said(verbs.out, f"wrote {written.resolve()} ({written.stat().st_size / 1e6:.1f} MB)")
    if pictures is not None:
        terminal.said(verbs.out, f"wrote {len(list(pictures.iterdir()))} pictures to {pictures}")


def verify(
    page: Annotated[Path, typer.Argument(help="A brief, as HTML.", show_default=False)],
    case: Annotated[Path, typer.Option(help="The case that it was made from.")] = Path(),
) -> None:
    """Make a brief again from its case and say what differs: exit code 0 nothing, 1 something, 2 that cannot be told."""
    from incident_kit.briefs.verification import read_record
    from incident_kit.briefs.verification import verify as made_again
    from incident_kit.commandline import terminal

    read_record(page)  # before a case is loaded
    with verbs.working() as step:
        found = made_again(page, verbs.opened(case, step), progress=step)
    terminal.said(verbs.out, str(found))
    if found.exit_code:
        raise typer.Exit(found.exit_code)
