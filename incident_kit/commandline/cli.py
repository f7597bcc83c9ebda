"""The command line: the verbs of the kit over a case folder. Errors are one sentence and exit code 2."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from incident_kit.commandline import (
    cli_brief,
    cli_cluster,
    cli_desk,
    cli_evidence,
    cli_findings,
    cli_gate,
    cli_policies,
    cli_scenarios,
    cli_sources,
    cli_tuning,
    cli_versions,
)
from incident_kit.commandline.options import in_options, options_of
from incident_kit.commandline.streams import spell_out
from incident_kit.commandline.verbs import (
    CASE,
    DURING,
    POLICIES,
    Verbs,
    chosen,
    compared,
    err,
    opened,
    out,
    working,
    writable,
)
from incident_kit.errors import IncidentKitError, InvalidCase
from incident_kit.outfiles.outputs import write_whole

if TYPE_CHECKING:
    from typer.models import CommandInfo

    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy
    from incident_kit.scoring.scorecard import Board

# as a person meets them: a case, what happened, what if, policies, many settings and incidents, what others are given
ORDER = (
    "demo", "new", "load", "sources", "timeline", "findings", "sla", "reconcile", "replay", "explain", "alerts", "compatibility",
    "draft", "describe", "budget", "policies", "convert", "export", "sweep", "frontier", "sensitivity", "tune", "pack", "check",
    "simulate", "rehearse", "evaluate", "brief", "verify",
)  # fmt: skip
NOT_ALL = 1
DRAWS_OF_BREACHES = 10  # each is replayed once more, for a count of a few
app = typer.Typer(
    cls=Verbs, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)
cli_policies.add_to(app)
cli_brief.add_to(app)
cli_cluster.add_to(app)
cli_evidence.add_to(app)
cli_desk.add_to(app)
cli_findings.add_to(app)
cli_gate.add_to(app)
cli_scenarios.add_to(app)
cli_sources.add_to(app)
cli_tuning.add_to(app)
cli_versions.add_to(app)


@app.command()
def new(folder: Annotated[Path, typer.Argument(help="The folder to make.")]) -> None:
    """Make a case: a folder with incident.yaml, a policy and the notebooks; then say how to get the data."""
    from incident_kit.case import HOW_TO_GET_THE_DATA, new_case
    from incident_kit.commandline import terminal

    made = new_case(folder)
    terminal.said(out, f"Made {made}. Next:\n")
    terminal.said(out, HOW_TO_GET_THE_DATA.format(case=made))


@app.command()
def load(
    paths: Annotated[list[Path], typer.Argument(help="A case, or files to try: nothing is kept without --into.")],
    source: Annotated[str | None, typer.Option(help="The format, where detection is not wanted.")] = None,
    zone: Annotated[str | None, typer.Option(help="The zone of times without one.")] = None,
    into: Annotated[Path | None, typer.Option(help="Keep the tables in this DuckDB file.")] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Show what would become of files; keep nothing.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Load a case, or files; say what became of every row and what the logs can answer. Exit code 1: not all was loaded."""
    from incident_kit.case import FILE
    from incident_kit.commandline import terminal
    from incident_kit.incident import Incident

    if dry:
        cli_sources.dry_run(list(paths), source=source, zone=zone)
        return
    if len(paths) == 1 and (paths[0] / FILE).is_file():
        with working() as step:
            incident = opened(paths[0], step, read_only=False)
        reports, left = list(incident.reports), list[str]()
    else:
        if cases := [path for path in paths if (path / FILE).is_file()]:
            raise InvalidCase(
                f"{cases[0]} is a case: list the other files under sources: in {cases[0] / FILE}, and load it alone"
            )
        incident = Incident.open(into) if into is not None and into.exists() else Incident.create(into)
        with working() as step:
            reports, left = cli_sources.loaded(incident, paths, source=source, zone=zone, step=step)
    for report in reports:
        terminal.said(out, str(report))
    out.print(terminal.overview(incident))
    if incident.about()["requests"]:
        from incident_kit.helpdesk.joining import join_tickets

        terminal.said(out, f"\n{join_tickets(incident)}")
    for why in left:
        terminal.said(err, f"incident-kit: NOT LOADED: {in_options(why, options_of(app, ['load']))}")
    if left:
        raise typer.Exit(NOT_ALL)


@app.command()
def timeline(
    case: CASE = Path(),
    chart: Annotated[Path | None, typer.Option("--out", help="Write the chart: .svg or .png.")] = None,
) -> None:
    """Show what happened over time, and write the chart."""
    from incident_kit import charts
    from incident_kit.commandline import terminal

    writable(chart, ".svg", ".png")
    with working() as step:
        incident = opened(case, step)
        series = incident.series()
    out.print(terminal.overview(incident))
    out.print(terminal.timeline(series, incident.answers))
    if chart is not None:
        picture = charts.timeline(series, phases=incident.phases, answers=incident.answers)
        write_whole(chart, charts.png(picture) if chart.suffix == ".png" else charts.svg(picture))
        terminal.said(out, f"wrote {chart}")


@app.command()
def replay(
    case: CASE = Path(),
    policy: POLICIES = None,
    during: DURING = None,
    by: Annotated[str | None, typer.Option(help="intent: one table an intent.")] = None,
    decisions: Annotated[Path | None, typer.Option(help="Write every decision: .parquet or .csv.")] = None,
) -> None:
    """Replay policies over a case: the scorecard, every switch, and how far to believe it."""
    from incident_kit.commandline import terminal

    writable(decisions, ".parquet", ".csv")
    with working() as step:
        incident = opened(case, step)
        policies = chosen(incident, policy)
        board = compared(incident, policies, during, step)
    out.print(terminal.scorecard(board, by=by))
    for one in policies:
        out.print(terminal.switches(board.replays[one.name]))
    if incident.clock.instances.height:
        from incident_kit.helpdesk.consequences import consequences

        terminal.said(out, f"\n{consequences(board, draws=DRAWS_OF_BREACHES)}\n")
    _believe(incident, board)
    if decisions is not None:
        _write_decisions(board, policies, decisions)


def _believe(incident: Incident, board: Board) -> None:
    from incident_kit.commandline import terminal

    for name, one in board.replays.items():
        if name != "as logged":
            terminal.said(out, terminal.standing(one))
    if incident.gateways:
        from incident_kit.gatewayversions import emulations

        for version, emulation in emulations(incident):
            head = f"{version}: " if len(incident.gateways) > 1 else ""
            terminal.said(out, f"{head}{emulation}")
    if incident.in_force is not None:
        terminal.said(out, terminal.fidelity(board.replays[incident.in_force.name]))
    elif incident.gateway is None:
        terminal.said(out, "No policy in force is named (in_force: in incident.yaml), so fidelity is not known.")
    out.print("\nBefore you believe it (of the whole log, not of a phase):")
    for caveat in board.caveats:
        terminal.said(out, f"- {caveat}")


def _write_decisions(board: Board, policies: list[Policy], path: Path) -> None:
    import polars as pl

    from incident_kit.commandline import terminal
    from incident_kit.outfiles.framefiles import write_frame

    frames = [board.replays[one.name].decisions.with_columns(pl.col(pl.Enum).cast(pl.String)) for one in policies]
    every = pl.concat(frames)
    write_frame(every, path)
    terminal.said(out, f"wrote {every.height:,} decisions to {path}")


@app.command()
def explain(
    request_id: Annotated[str | None, typer.Argument(help="The request's id.")] = None,
    case: CASE = Path(),
    policy: POLICIES = None,
    switch: Annotated[
        str | None, typer.Option(help="A switch instead: its number, or about when (2026-10-05T14:03Z).")
    ] = None,
    route: Annotated[str | None, typer.Option(help="Number only the switches of this route.")] = None,
) -> None:
    """Say why one request went where, or why one switch happened, under each policy."""
    from incident_kit.commandline import terminal
    from incident_kit.scoring.replays import replay as replay_policy
    from incident_kit.scoring.switches import explain_switch

    if switch is not None:  # `explain --switch 3 CASE`: the case is the first argument
        case = Path(request_id) if request_id is not None else case
    elif request_id is None:
        raise InvalidCase("name a request, or a switch: incident-kit explain REQUEST CASE, or explain --switch 3 CASE")
    with working() as step:
        incident = opened(case, step)
        replays = [replay_policy(incident, one) for one in chosen(incident, policy)]
        said = [
            one.explain(str(request_id)) if switch is None else explain_switch(one, _number(switch), route=route)
            for one in replays
        ]
    for sentence in said:
        terminal.said(out, sentence + "\n")


def _number(switch: str) -> int | str:
    return int(switch) if switch.isdigit() else switch


@app.command()
def demo(page: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("brief.html")) -> None:
    """Tell the bundled story: blind failover in a simulated outage, and what other policies would have done; write brief.html."""
    import polars as pl

    from incident_kit.briefs.briefpage import brief as write_brief
    from incident_kit.case import open_case
    from incident_kit.commandline import terminal
    from incident_kit.samples import OUTAGE, sample

    writable(page)
    with working() as step:
        step("loading the bundled incident")
        incident = open_case(sample(OUTAGE), in_memory=True, progress=step)
        policies = list(incident.policies)
        board = compared(incident, policies, "impact", step)
        step("drawing the brief")
        written = write_brief(incident, board, page, sweep="likely")
    terminal.said(out, f"{incident.title} (simulated)", "bold")
    out.print(terminal.overview(incident))
    terminal.said(out, "\nDuring the impact, as logged and under other policies:\n", "bold")
    out.print(terminal.scorecard(board))
    _believe(incident, board)
    first = board.replays[policies[0].name]
    moved = first.decisions.filter(~first.decisions["same_as_log"], pl.col("target") != pl.col("logged_target"))
    if moved.height:
        terminal.said(out, "\nOne request, explained:", "bold")
        terminal.said(out, first.explain(moved["request_id"][0]))
    terminal.said(out, f"\nThe page for leadership: {written.resolve()}", "bold")


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version, and end.", is_eager=True)] = False,  # noqa: FBT002 - a flag
) -> None:
    if version:
        from importlib.metadata import version as installed

        out.print(f"incident-kit {installed('incident-kit')}", highlight=False)
        raise typer.Exit


def _place(command: CommandInfo) -> int:
    return ORDER.index(command.name or getattr(command.callback, "__name__", ""))


app.registered_commands.sort(key=_place)


def main() -> None:
    """Run the command line; every error of the kit is one sentence on the error stream and exit code 2."""
    spell_out()
    try:
        app()
    except (IncidentKitError, OSError) as error:
        # an OSError is the machine's: no space left, no permission
        from incident_kit.commandline.terminal import said

        said(err, f"incident-kit: {in_options(str(error), options_of(app, sys.argv[1:]))}")
        sys.exit(2)
