"""The verbs about files: which formats there are, what a load would do, and a format of one's own from a sample."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from incident_kit.commandline import verbs
from incident_kit.errors import InvalidRows, UnknownFormat, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text

    from incident_kit.incident import Incident
    from incident_kit.sources.formats import Format
    from incident_kit.sources.preview import Preview
    from incident_kit.sources.report import LoadReport

FAMILIES = {
    "gateway": "Gateways",
    "helpdesk": "Help desks",
    "feedback": "What agents and users thought of answers",
    "": "The kit's own columns, in CSV, NDJSON, JSON or Parquet",
}
NOT_LOADED = (UnreadableFile, UnknownFormat, InvalidRows)
SHOWN = 28  # characters of a value
REASONS = 8

one_source = typer.Typer(no_args_is_help=True, help="Write a format of your own from a sample, and test it.")


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    app.command()(sources)
    one_source.command("new")(write_format)
    one_source.command("test")(try_format)
    app.add_typer(one_source, name="source")


def sources() -> None:
    """List the formats that can be loaded, and what each can answer."""
    from incident_kit.commandline.terminal import said
    from incident_kit.sources import formats

    for family, title in FAMILIES.items():
        # a companion is listed with the format whose file it reads too
        chosen = [one for one in formats() if one.family == family and one.specificity]
        if chosen:
            said(verbs.out, f"\n{title}", "bold")
            verbs.out.print(_listed(chosen))
    said(verbs.out, "\n~ marks a lower bound. A format of your own: incident-kit source new NAME --from SAMPLE")


def _listed(chosen: list[Format]) -> Table:
    from rich.table import Table

    table = Table("format", "feeds", "answers", "what it is", box=None, pad_edge=False)
    for one in chosen:
        marks = {"yes": "", "lower bound": "~"}
        answers = [f"{marks[answer]}{question}" for question, (answer, _) in one.answers.items() if answer in marks]
        also = f" (with {', '.join(one.companions)})" if one.companions else ""
        table.add_row(_text(one.name), one.table, ", ".join(answers), _text(one.title + also))
    return table


def _text(text: str) -> Text:
    from rich.text import Text

    from incident_kit.commandline.terminal import shown

    return Text(shown(text))


def dry_run(paths: list[Path], *, source: str | None, zone: str | None) -> None:
    """Print what a load would make of files, without keeping any of it; raise what the load would raise."""
    from incident_kit.commandline.terminal import said
    from incident_kit.sources import load
    from incident_kit.sources.preview import previews
    from incident_kit.store import Store

    with verbs.working() as step:
        step("reading")
        found = previews(list(paths), source=source, zone=zone)
    for one in found:
        _print(one)
    with verbs.working() as step, Store() as store:
        report = load(store, list(paths), source=source, zone=zone, progress=step)
    said(verbs.out, "\nA load would say:", "bold")
    said(verbs.out, str(report))
    said(verbs.out, "Nothing was kept: this was a dry run.")


def loaded(
    incident: Incident, paths: Sequence[Path], *, source: str | None, zone: str | None, step: Any
) -> tuple[list[LoadReport], list[str]]:
    """Return the reports of the files that could be loaded, and why each other one could not.

    All of them are one load; where one cannot be loaded, each of the others is one of its own.

    Raises
    ------
    UnreadableFile, UnknownFormat, InvalidRows
        No file could be loaded.
    """
    from incident_kit.sources.files import expand

    options: dict[str, Any] = {"source": source, "zone": zone, "progress": step}
    try:
        return [incident.load(list(paths), **options)], []
    except NOT_LOADED as error:
        first = error
    files: list[Path] = []
    reports, left = [], []
    for path in paths:
        try:
            files += expand(path)
        except UnreadableFile as error:
            left.append(str(error))
    for file in dict.fromkeys(files):
        try:
            reports.append(incident.load(file, **options))
        except NOT_LOADED as error:
            left.append(str(error))
    if len(left) == 1 and not reports:
        raise first
    if not reports:
        raise UnreadableFile(f"none of these files can be loaded: {'; '.join(left)}")
    return reports, left


def _print(one: Preview) -> None:
    from rich.table import Table

    from incident_kit.commandline.terminal import said

    said(verbs.out, f"\n{one.path}: {one.source}, {one.title}", "bold")
    said(verbs.out, f"{one.rows:,} rows for the table {one.table}")
    table = Table("column", "from", "in the first rows", box=None, pad_edge=False)
    for column in one.columns:
        values = " | ".join(_value(value) for value in column.values)
        table.add_row(column.column, _text(column.path or "(worked out)"), _text(values))
    if one.columns:
        verbs.out.print(table)
    for reason, rows, line in one.rejects[:REASONS]:
        said(verbs.out, f"{rows:,} rejected: {reason} (first in line {line:,})")
    if len(one.rejects) > REASONS:
        said(verbs.out, f"and {len(one.rejects) - REASONS} other reasons")


def _value(value: object) -> str:
    """Return a value in a few characters; an instant whole, in UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat(sep=" ").replace("+00:00", "Z")
    text = str(value)
    return "-" if value is None else text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def write_format(
    name: Annotated[str, typer.Argument(help="Of the format, such as our_proxy.", show_default=False)],
    sample: Annotated[Path, typer.Option("--from", help="A small file of what it reads.", show_default=False)],
    table: Annotated[str, typer.Option(help="The table it fills.")] = "attempts",
    folder: Annotated[Path, typer.Option("--in", help="Where to write NAME.sql.")] = Path(),
) -> None:
    """Write a format's .sql file from a sample, with what its keys and values suggest."""
    from incident_kit.commandline.terminal import said
    from incident_kit.sources.scaffold import scaffold

    file = folder / f"{name}.sql"
    verbs.writable(file, ".sql")
    made = scaffold(name, sample, table=table)
    with file.open("x", encoding="utf-8", newline="\n") as out:
        out.write(made.text)
    said(verbs.out, f"Wrote {file}. What was guessed, to be looked through:")
    for column, where in made.guessed.items():
        said(verbs.out, f"  {column} <- {where}")
    for column in made.missing:
        said(verbs.out, f"  {column}: NOT FOUND in the sample; every row is rejected until {file} says where it is")
    said(verbs.out, f"Next: incident-kit source test {file} {sample}")


def try_format(
    file: Annotated[Path, typer.Argument(help="The format: a .sql file, or a format's name.", show_default=False)],
    sample: Annotated[Path, typer.Argument(help="A small file that it reads.", show_default=False)],
    zone: Annotated[str | None, typer.Option(help="The zone of times without one.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
) -> None:
    """Run the loader's laws on a format with a sample, and say what it can answer. Exit code 1 where a law is broken."""
    from rich.table import Table

    from incident_kit.commandline.terminal import said
    from incident_kit.sources.laws import trial

    with verbs.working() as step:
        step("loading, twice, shuffled, cut short, and with hostile text")
        tried = trial(sample, source=str(file), zone=zone, seed=seed)
    table = Table("law", "", "what was seen", box=None, pad_edge=False)
    for law in tried.laws:
        table.add_row(law.name, "held" if law.held else "BROKEN", _text(law.detail))
    verbs.out.print(table)
    said(verbs.out, "\nWhat this log can answer:" if tried.answers else "\nThis log answers no question of the kit's.")
    for answer in tried.answers.values():
        said(verbs.out, f"  {answer.question + ':':10} {answer.answer:12} {answer.why}")
    if not tried.held:
        raise typer.Exit(1)
