"""What every verb of the command line shares: its consoles, how a case is opened, how policies are chosen and compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from typer.core import TyperGroup

from incident_kit.errors import InvalidCase, UnwritableFile

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy
    from incident_kit.scoring.scorecard import Board

out, err = Console(), Console(stderr=True)
_open: list[Incident] = []

CASE = Annotated[Path, typer.Argument(help="A case: a folder with incident.yaml.", show_default=False)]
POLICIES = Annotated[
    list[Path] | None,
    typer.Option(
        "--policy", "-p", help="A policy file, or FILE@FROM..UNTIL; may be repeated. Default: those of incident.yaml."
    ),
]
DURING = Annotated[str | None, typer.Option(help="Score a phase only, such as impact.")]


@contextmanager
def working() -> Iterator[Any]:
    """Show what is being done, on the terminal's error stream, and end it cleanly when interrupted."""
    from incident_kit.commandline.terminal import shown

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    try:
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task("starting", total=None)
            yield lambda text: progress.update(task, description=shown(text))
    except KeyboardInterrupt:
        err.print("incident-kit: interrupted; nothing half-done was kept")
        raise


def opened(case: Path, step: Any, *, read_only: bool = True) -> Incident:
    """Return a case, loaded, and say that it is being loaded; its file is closed when the verb ends."""
    from incident_kit.case import open_case

    step(f"loading {case}")
    incident = open_case(case, read_only=read_only, progress=step)
    _open.append(incident)
    return incident


class Verbs(TyperGroup):
    """The verbs of a command line, after each of which its incidents' files are closed."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb that the command line names."""
        try:
            return super().invoke(ctx)
        finally:
            while _open:
                _open.pop().store.close()


def chosen(incident: Incident, files: list[Path] | None) -> list[Policy]:
    """Return the policies in files, or those of the case; ``FILE@FROM..UNTIL`` are versions of one policy, put first."""
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.policyversions import load_version, versions
    from incident_kit.policies.versionspans import is_version

    parts = [load_version(file) for file in files or () if is_version(file)]
    plain = [Policy.load(file) for file in files or () if not is_version(file)]
    chosen = [*([versions(parts)] if parts else []), *plain] if files else list(incident.policies)
    if not chosen:
        raise InvalidCase(
            "no policy to replay: name one with --policy FILE, or list it under policies: in incident.yaml"
        )
    return chosen


def compared(incident: Incident, policies: list[Policy], during: str | None, step: Any) -> Board:
    """Replay the given policies beside the log and the two ends of the scale: nobody switches, everybody has."""
    from incident_kit.policies.baselines import always_fallback, always_primary
    from incident_kit.scoring.scorecard import compare

    whole = incident.in_force or policies[0]  # the ends of the scale are those of what serves all traffic
    every = [*policies, always_primary(whole), always_fallback(whole)]
    if incident.in_force is not None:
        every.append(incident.in_force)
    names = ", ".join(dict.fromkeys(policy.name for policy in every))
    step(f"replaying {names} (the first replay compiles the kernel: about a minute, once)")
    return compare(incident, every, during=during)


def writable(path: Path | None, *suffixes: str) -> None:
    """Refuse a file that cannot be written before any work is done."""
    if path is None:
        return
    if suffixes and path.suffix not in suffixes:
        raise UnwritableFile(f"{path.name!r} cannot be written: its name ends in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise UnwritableFile(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise UnwritableFile(f"{path} is a directory; name a file in it")
