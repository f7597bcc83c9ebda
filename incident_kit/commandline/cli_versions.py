"""The verb that lists the versions of a policy, from the history of its file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from incident_kit.commandline import verbs


def add_to(app: typer.Typer) -> None:
    """Add the verb to a command line."""
    app.command()(policies)


def policies(
    file: Annotated[Path, typer.Option("--from-git", help="A policy file in a git repository.", show_default=False)],
    case: Annotated[Path, typer.Option("--into", help="The case whose folder the versions are written to.")] = Path(),
) -> None:
    """Write the versions of a policy file that its repository knows, and the list of them for incident.yaml."""
    from incident_kit.commandline import terminal
    from incident_kit.policies.policyhistory import keep_history

    kept = keep_history(file, case)
    terminal.said(verbs.out, f"Wrote {len(kept.entries)} version(s) below {case / 'policies'}. In incident.yaml:\n")
    terminal.said(verbs.out, kept.yaml)
    for one in kept.skipped:
        terminal.said(verbs.out, f"- left out: {one}")
    terminal.said(
        verbs.out,
        "A commit says when a file was changed, not when it was deployed: put in the times of the roll-outs, then see with "
        f"incident-kit replay {case} whether each version explains its part of the log.",
    )
