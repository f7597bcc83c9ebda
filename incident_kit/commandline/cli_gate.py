"""The verbs of a policy gate: pack an incident for it, and check a policy on one incident or on a folder of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from incident_kit.commandline import verbs
from incident_kit.errors import InvalidPack, UnwritableFile
from incident_kit.outfiles.outputs import write_whole
from incident_kit.words import number

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy
    from incident_kit.policygate.checking import Check
    from incident_kit.policygate.gates import Gate

POLICY = Annotated[Path, typer.Argument(help="A policy file.", show_default=False)]
WIDE = 100  # columns of a terminal that a table needs
LARGEST_KEY = 4096


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    for verb in (check, pack):
        app.command()(verb)


def check(
    policy: POLICY,
    *,
    against: Annotated[
        Path, typer.Option(help="An incident (case, pack, incident file), or a folder of them.")
    ] = Path(),
    limits: Annotated[
        Path | None, typer.Option(help="A file of limits. Default: hardly worse than the policy in force.")
    ] = None,
    in_force: Annotated[Path | None, typer.Option(help="What to compare with, instead of each incident's own.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the report for a pull request here.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all of it as JSON here; - for the terminal.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit's XML here, for a CI's own page of tests.")] = None,
    unsure: Annotated[
        Literal["pass", "fail"] | None,
        typer.Option(help="What it counts as that a limit cannot be told. Default: neither, exit code 2."),
    ] = None,
    draws: Annotated[int | None, typer.Option(help="Draws of outcomes: by default 50, of a folder 20.", min=1)] = None,
    jobs: Annotated[int, typer.Option(help="Incidents at a time. 0: one a core.", min=0)] = 0,
) -> None:
    """Check a policy against incidents: exit code 0 it passes, 1 it fails, 2 that cannot be told, or one cannot be read."""
    from incident_kit.incidents import incident_paths
    from incident_kit.policies.policy import Policy

    for path in (markdown, junit, *((json,) if json != Path("-") else ())):
        verbs.writable(path)
    one = Policy.load(policy)
    force = Policy.load(in_force) if in_force else None
    if incident_paths(against) == (against,) and json is None and junit is None:
        found = _checked(one, against, limits=limits, in_force=force, draws=draws)
        _told(found)
        _written(markdown, found.markdown)
        raise typer.Exit(_code(found.exit_code, unsure))
    from incident_kit.policygate.checking import DRAWS as FOR_ONE
    from incident_kit.policygate.gates import DRAWS, gate

    few = FOR_ONE if len(incident_paths(against)) == 1 else DRAWS
    with verbs.working() as step:
        step("replaying (the first replay compiles the kernel: about a minute, once)")
        every = gate(one, against, limits=limits, in_force=force, draws=draws or few, jobs=jobs or None, progress=step)
    if json == Path("-"):
        sys.stdout.write(every.json())
    else:
        _told(every)
        _written(json, every.json)
    _written(markdown, every.markdown)
    _written(junit, every.junit)
    is_error = any(held.error for held in every.held)  # whatever that counts as, nobody looked
    raise typer.Exit(every.exit_code if is_error else _code(every.exit_code, unsure))


def _checked(
    policy: Policy, against: Path, *, limits: Path | None, in_force: Policy | None, draws: int | None
) -> Check:
    """Check one incident, which is kept open on the disk as by every other verb."""
    from incident_kit.incidents import open_any
    from incident_kit.policygate.checking import DRAWS
    from incident_kit.policygate.checking import check as check_policy

    with verbs.working() as step:
        incident = verbs.opened(against, step) if against.is_dir() else open_any(against, progress=step)
        step("replaying")
        return check_policy(incident, policy, limits=limits, in_force=in_force, draws=draws or DRAWS)


def _code(code: int, unsure: str | None) -> int:
    return code if code != 2 or unsure is None else int(unsure == "fail")


def _written(path: Path | None, text: Callable[[], str]) -> None:
    if path is not None:
        write_whole(path, text())


def _told(found: Check | Gate) -> None:
    """Print what was found: of several incidents a table where the terminal is wide enough."""
    from incident_kit.commandline import terminal
    from incident_kit.policygate.gatefiles import table_rows, what_helps
    from incident_kit.policygate.gates import Gate

    if not isinstance(found, Gate) or verbs.out.width < WIDE:
        terminal.said(verbs.out, str(found))
        return
    table = Table("incident", "limit", "policy", "in force", "verdict", box=None)
    for incident, limit, policy, force, verdict, why in table_rows(found):
        said = f"{verdict}: {why}" if why else verdict
        table.add_row(*(Text(terminal.shown(one)) for one in (incident, limit, policy, force, said)))
    verbs.out.print(table)
    terminal.said(verbs.out, f"\n{found.verdict}", "bold")
    for one in what_helps(found):
        terminal.said(verbs.out, one)


def pack(
    case: verbs.CASE = Path(),
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.", show_default=False)],
    key_file: Annotated[
        Path | None, typer.Option(help="A file with a key of yours: ids get marks by which you can find them again.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Keep this label of requests; may be repeated. Those of policies are kept.")
    ] = None,
    policy: Annotated[
        list[Path] | None, typer.Option("--policy", "-p", help="A policy whose draws to keep; may be repeated.")
    ] = None,
    new_draws: Annotated[
        bool, typer.Option("--new-draws", help="Keep no hash of ids: estimated outcomes are drawn anew.")
    ] = False,
) -> None:
    """Pack an incident: a small Parquet folder without ids or text that replays to the same, for git and CI."""
    from incident_kit.commandline import terminal
    from incident_kit.incidents import open_any
    from incident_kit.packs.packed import read_manifest
    from incident_kit.packs.packing import pack as pack_incident
    from incident_kit.policies.policy import Policy

    if not out.absolute().parent.is_dir():
        raise UnwritableFile(f"{out} cannot be made: there is no folder {out.absolute().parent}")
    key = _key(key_file) if key_file else None
    policies = [Policy.load(one) for one in policy or ()]
    with verbs.working() as step:
        step(f"loading {case}")
        incident = open_any(case, progress=step)
        step("packing")
        written = pack_incident(incident, out, key=key, labels=label or (), policies=policies, same_draws=not new_draws)
    said = read_manifest(written)
    size = sum(file.stat().st_size for file in written.iterdir())
    requests = len(incident.log)
    each = f", {size / requests:.0f} bytes a request" if requests else ""
    ids = "numbers, with marks made with your key" if key else "numbers"
    names = ", ".join(map(terminal.shown, said["labels"])) or "none"
    terminal.said(
        verbs.out,
        f"wrote {written}: {number(requests)} requests, {size / 1e6:.2f} MB{each}\n"
        f"ids are {ids}; labels kept: {names}; instants and the names of intents, targets and channels are kept",
    )


def _key(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_KEY:
            raise InvalidPack(f"{path} is no key: a file of 16 bytes or more, at most {LARGEST_KEY:,}")
        return path.read_bytes().strip()
    except OSError as error:
        raise InvalidPack(f"{path} cannot be read: {error.strerror or error}") from None
