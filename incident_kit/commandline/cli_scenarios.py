"""The verbs that make incidents: simulate a whole day from a script, rehearse a degradation on a healthy log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from incident_kit.commandline import verbs
from incident_kit.errors import InvalidScenario

if TYPE_CHECKING:
    from incident_kit.gamedays.exercise import GameDay


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
    replace: Annotated[bool, typer.Option("--replace", help="Make a case that is there anew.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Simulate an incident: a gateway's log, a help desk's export, overrides and the truth, from a script."""
    from incident_kit.commandline import terminal
    from incident_kit.simulation import simulate as simulate_scenario

    with verbs.working() as step:
        made = simulate_scenario(
            scenario, folder, policy=policy, formats=formats or ("litellm_standard",), replace=replace, progress=step
        )
    terminal.said(verbs.out, f"Made {made}, a simulated case. Next: incident-kit replay {made}")


def rehearse(  # noqa: PLR0913, PLR0917 - one a flag
    case: Annotated[Path, typer.Argument(help="A case whose log is healthy.", show_default=False)],
    degradations: Annotated[
        Path | None, typer.Argument(help="A YAML file with `degradations:`, as in a scenario.", show_default=False)
    ] = None,
    policy: verbs.POLICIES = None,
    standard: Annotated[
        list[str] | None, typer.Option(help="A standard degradation instead, or `all`; may be repeated.")
    ] = None,
    day: Annotated[str | None, typer.Option(help="On this day of the log, in the reader's zone: 2026-11-17.")] = None,
    last: Annotated[str | None, typer.Option(help="On the last such day of the log: tuesday.")] = None,
    at: Annotated[str | None, typer.Option(help="When it begins: 14:00, in the reader's zone.")] = None,
    lasting: Annotated[str | None, typer.Option(help="How long a standard degradation lasts.")] = None,
    target: Annotated[str | None, typer.Option(help="What a standard degradation is of.")] = None,
    gameday: Annotated[
        Path | None, typer.Option(help="Write the game master's and the team's sheet into this folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    keep: Annotated[Path | None, typer.Option("--into", help="Keep the tables in this DuckDB file.")] = None,
    note: Annotated[bool, typer.Option("--record/--no-record", help="Enter it in CASE/rehearsals.json.")] = True,  # noqa: FBT002 - a flag
) -> None:
    """Impose degradations on a real healthy log: what policies do, who is called, what nobody sees; sheets for a game day."""
    if degradations is None and not standard:
        from incident_kit.gamedays.drills import DRILLS

        names = "; ".join(f"{name}: {one.what}" for name, one in DRILLS.items())
        raise InvalidScenario(f"name a YAML file with `degradations:`, or --standard NAME (or all). There are {names}")
    if day is not None and last is not None:
        raise InvalidScenario("--day and --last both say which day: give one of them")
    if degradations is not None and not (standard or day or last or at or gameday):
        _scored(case, degradations, policy, seed, keep)
        return
    if keep is not None:
        raise InvalidScenario(
            "--into keeps the tables of one rehearsal: leave out --standard, --day, --at and --gameday"
        )
    asked = _Asked(policy, day or last, at, lasting, target, seed)
    days = _played(case, degradations, standard, asked, gameday)
    if note and (case / "incident.yaml").is_file():
        from incident_kit.commandline import terminal
        from incident_kit.gamedays.rehearsed import record

        made = record(days, case, on=datetime.now(tz=UTC).date())
        verbs.out.print()
        terminal.said(verbs.out, f"Entered in {made}: incident-kit describe says when a route was last rehearsed.")


class _Asked(NamedTuple):
    policy: list[Path] | None
    day: str | None
    at: str | None
    lasting: str | None
    target: str | None
    seed: int


def _played(
    case: Path, degradations: Path | None, standard: list[str] | None, asked: _Asked, folder: Path | None
) -> list[GameDay]:
    """Rehearse each degradation by itself, print what comes of it, and write the sheets."""
    from incident_kit.commandline import terminal, terminal_gameday
    from incident_kit.gamedays.drills import DRILLS
    from incident_kit.gamedays.rehearsal import read_degradations
    from incident_kit.gamedays.rehearsals import gameday, gamedays
    from incident_kit.outfiles.filenames import distinct, filename

    names = list(DRILLS) if "all" in (standard or ()) else standard or []
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        policies = verbs.chosen(incident, asked.policy) if asked.policy else ()
        how: dict[str, Any] = {"policies": policies, "day": asked.day, "at": asked.at, "seed": asked.seed}
        step("rehearsing (the first replay compiles the kernel: about a minute, once)")
        days = [] if degradations is None else [gameday(incident, read_degradations(degradations), **how)]
        for one in gamedays(incident, names, **how, lasting=asked.lasting, target=asked.target) if names else ():
            step(f"rehearsed {one.name}")
            days.append(one)
        places = [folder] if folder else []
        if folder and len(days) > 1:
            places = [folder / name for name in distinct(filename(one.name, otherwise="gameday") for one in days)]
        files = [file for one, place in zip(days, places, strict=False) for file in one.save(place)]
    for one in days:
        verbs.out.print(terminal_gameday.shown(one))
    if len(days) > 1:
        verbs.out.print(terminal_gameday.overview(days))
    for file in files:
        terminal.said(verbs.out, f"wrote {file}")
    return days


def _scored(case: Path, degradations: Path, policy: list[Path] | None, seed: int, keep: Path | None) -> None:
    from incident_kit.commandline import terminal
    from incident_kit.gamedays.rehearsal import read_degradations
    from incident_kit.gamedays.rehearsal import rehearse as rehearse_on

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
