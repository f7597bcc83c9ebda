"""The verbs that make incidents: simulate a whole day from a script, rehearse a degradation on a healthy log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from incident_kit import verbs


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    for verb in (simulate, rehearse):
        app.command()(verb)


def simulate(
    scenario: Annotated[Path, typer.Argument(help="A scenario: a YAML script.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="The folder to make: a case, ready to be opened.", show_default=False)],
    policy: Annotated[
        Path | None, typer.Option("--policy", "-p", help="In force instead of the scenario's own.")
    ] = None,
    formats: Annotated[list[str] | None, typer.Option("--format", help="Of the log; may be repeated.")] = None,
) -> None:
    """Simulate an incident: a gateway's log, a help desk's export, overrides and the truth, from a script."""
    from incident_kit import terminal
    from incident_kit.simulation import simulate as simulate_scenario

    with verbs.working() as step:
        made = simulate_scenario(
            scenario, folder, policy=policy, formats=formats or ("litellm_standard",), progress=step
        )
    terminal.said(verbs.out, f"Made {made}, a simulated case. Next: incident-kit replay {made}")


def rehearse(
    case: Annotated[Path, typer.Argument(help="A case whose log is healthy.", show_default=False)],
    degradations: Annotated[
        Path, typer.Argument(help="A YAML file with `degradations:`, as in a scenario.", show_default=False)
    ],
    policy: verbs.POLICIES = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    keep: Annotated[Path | None, typer.Option("--into", help="Keep the tables in this DuckDB file.")] = None,
) -> None:
    """Impose degradations on a real healthy log, and replay policies on the result."""
    from incident_kit import terminal
    from incident_kit.rehearsal import read_degradations
    from incident_kit.rehearsal import rehearse as rehearse_on

    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("imposing the degradations")
        other = rehearse_on(incident, read_degradations(degradations), seed=seed, path=keep)
        policies = verbs.chosen(other, policy)
        board = verbs.compared(other, policies, "impact", step)
    terminal.said(verbs.out, other.title, "bold")
    verbs.out.print(terminal.scorecard(board))
    for one in policies:
        verbs.out.print(terminal.switches(board.replays[one.name]))
