"""The verbs about evidence: backups beside primaries, how right we are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from incident_kit.commandline import verbs
from incident_kit.errors import InvalidCase
from incident_kit.outfiles.outputs import write_whole

if TYPE_CHECKING:
    import polars as pl

METRICS = Annotated[
    list[str] | None, typer.Option("--metric", "-m", help="What to score, such as p95_ms; may be repeated.")
]
TABLE = Annotated[Path | None, typer.Option("--table", "-o", help="Write all rows: .csv, .json or .parquet.")]
CHART = Annotated[Path | None, typer.Option(help="Write the chart: .svg or .png.")]
FORMS = (".csv", ".json", ".parquet")
PICTURES = (".svg", ".png")


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    for verb in (compatibility, evaluate):
        app.command()(verb)


def compatibility(
    case: verbs.CASE = Path(),
    policy: Annotated[
        Path | None, typer.Option("--policy", "-p", help="Says who backs up whom. Default: what is in force.")
    ] = None,
    during: verbs.DURING = None,
    table: TABLE = None,
    chart: CHART = None,
) -> None:
    """Say for each intent whether its backup may stand in for its primary, judged on like traffic."""
    from incident_kit import charts
    from incident_kit.backups.compatibilities import compatibility as compatibility_of
    from incident_kit.commandline import terminal_evidence
    from incident_kit.policies.policy import Policy

    verbs.writable(table, *FORMS)
    verbs.writable(chart, *PICTURES)
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("comparing like traffic")
        found = compatibility_of(incident, policy=Policy.load(policy) if policy else None, during=during)
    verbs.out.print(terminal_evidence.compatibility(found))
    if table is not None:
        write(found.table.join(found.verdicts.select("intent", "verdict", "why", "share_impact"), on="intent"), table)
    if chart is not None:
        draw(charts.compatibility(found), chart)


def evaluate(
    scenario: Annotated[
        Path, typer.Argument(help="A scenario's YAML script, or a simulated case that holds one.", show_default=False)
    ],
    estimator: Annotated[
        Literal["model", "backoff", "closest"],
        typer.Option(help="The kit's model, plain back-off, or the nearest call in time."),
    ] = "model",
    policy: Annotated[
        Path | None, typer.Option("--policy", "-p", help="In force instead of the scenario's own.")
    ] = None,
    *,
    seeds: Annotated[list[int] | None, typer.Option("--seed", help="Incidents to make of it; may be repeated.")] = None,
    metrics: METRICS = None,
    draws: Annotated[int, typer.Option(help="How often outcomes that the log does not hold are drawn.", min=0)] = 50,
    table: TABLE = None,
) -> None:
    """Hold an estimator against incidents whose every outcome is known: coverage, error, width, sign."""
    from incident_kit import evaluations
    from incident_kit.commandline import terminal
    from incident_kit.policies.policy import Policy

    verbs.writable(table, *FORMS)
    script = scenario / "scenario.yaml" if scenario.is_dir() else scenario
    if not script.is_file():
        raise InvalidCase(
            f"{scenario} holds no scenario: to judge an estimator it must be known what would have happened. "
            "Name a scenario's YAML script, or a case that `incident-kit simulate` made"
        )
    with verbs.working() as step:
        step(f"making incidents of {script} and replaying them (a while)")
        found = evaluations.evaluate(
            getattr(evaluations, estimator),
            scenario=script,
            policy=Policy.load(policy) if policy else None,
            seeds=seeds or (1, 2, 3),
            draws=draws,
            metrics=metrics or evaluations.METRICS,
        )
    terminal.said(verbs.out, str(found))
    if table is not None:
        write(found.rows, table)


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame, and say so."""
    from incident_kit.commandline import terminal
    from incident_kit.outfiles.framefiles import write_frame

    write_frame(frame, path)
    terminal.said(verbs.out, f"wrote {frame.height:,} rows to {path}")


def draw(picture: Any, path: Path) -> None:
    """Write a chart."""
    from incident_kit import charts
    from incident_kit.commandline import terminal

    write_whole(path, charts.png(picture) if path.suffix == ".png" else charts.svg(picture))
    terminal.said(verbs.out, f"wrote {path}")
