"""The verbs about evidence: backups beside primaries, a policy at many settings, what verdicts rest on, how right we are."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from incident_kit import verbs
from incident_kit.errors import InvalidCase, InvalidPolicy, InvalidSweep

if TYPE_CHECKING:
    import polars as pl

POLICY = Annotated[Path, typer.Argument(help="A policy file.", show_default=False)]
SETTINGS = Annotated[
    list[str],
    typer.Argument(metavar="PATH=VALUES...", help="What to vary: refund.max_p95_ms=1500:6000:250, or =30s,60s,5m."),
]
METRICS = Annotated[
    list[str] | None, typer.Option("--metric", "-m", help="What to score, such as p95_ms; may be repeated.")
]
DRAWS = Annotated[int, typer.Option(help="How often outcomes that the log does not hold are drawn.", min=0)]
TABLE = Annotated[Path | None, typer.Option("--table", "-o", help="Write all rows: .csv, .json or .parquet.")]
CHART = Annotated[Path | None, typer.Option(help="Write the chart: .svg or .png.")]
FORMS = (".csv", ".json", ".parquet")
PICTURES = (".svg", ".png")
FRONTIER = ("p95_ms", "tool_success_rate", "override_rate")
MOST_VALUES = 2_000


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    for verb in (compatibility, sweep, frontier, sensitivity, evaluate):
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
    from incident_kit import charts, terminal_evidence
    from incident_kit.compatibilities import compatibility as compatibility_of
    from incident_kit.policy import Policy

    verbs.writable(table, *FORMS)
    verbs.writable(chart, *PICTURES)
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("comparing like traffic")
        found = compatibility_of(incident, policy=Policy.load(policy) if policy else None, during=during)
    verbs.out.print(terminal_evidence.compatibility(found))
    if table is not None:
        _write(found.table.join(found.verdicts.select("intent", "verdict", "why", "share_impact"), on="intent"), table)
    if chart is not None:
        _draw(charts.compatibility(found), chart)


def sweep(
    case: Annotated[Path, typer.Argument(help="A case: a folder with incident.yaml.", show_default=False)],
    policy: POLICY,
    settings: SETTINGS,
    *,
    metrics: METRICS = None,
    during: verbs.DURING = None,
    by: Annotated[str | None, typer.Option(help="intent: rows for every intent too.")] = None,
    most: Annotated[int | None, typer.Option(help="At most so many settings, drawn at random.", min=1)] = None,
    draws: DRAWS = 20,
    table: TABLE = None,
    chart: CHART = None,
) -> None:
    """Score a policy at many settings on the same draws, and name the settings that no other beats."""
    from incident_kit import charts, terminal, terminal_evidence
    from incident_kit.frontiers import frontier as frontier_of
    from incident_kit.policy import Policy
    from incident_kit.scorecard import DEFAULT_METRICS
    from incident_kit.tuning import sweep as sweep_over

    verbs.writable(table, *FORMS)
    verbs.writable(chart, *PICTURES)
    grid = dict(map(setting, settings))
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("replaying (the first replay compiles the kernel: about a minute, once)")
        found = sweep_over(
            incident,
            Policy.load(policy),
            grid,
            metrics=metrics or DEFAULT_METRICS,
            during=during,
            by=by,
            random=most,
            draws=draws,
            progress=lambda done, of: step(f"replayed {done} of {of} settings"),
        )
    if table is not None:
        _write(found, table)
    chosen = _told(found, metrics)
    if by is not None or len(chosen) < 2:
        terminal.said(verbs.out, f"{found['setting'].n_unique()} settings scored. {_why_no_frontier(by)}")
        return
    best = frontier_of(found, metrics=chosen)
    verbs.out.print(terminal_evidence.frontier(best))
    if chart is not None:
        _draw(charts.frontier(best), chart)


def frontier(
    table: Annotated[Path, typer.Argument(help="What sweep --table wrote.", show_default=False)],
    metrics: METRICS = None,
    intent: Annotated[str | None, typer.Option(help="Of a sweep by intent, the one to look at.")] = None,
    path: Annotated[Path | None, typer.Option("--table", "-o", help="Write all rows: .csv, .json or .parquet.")] = None,
    chart: CHART = None,
) -> None:
    """Name the settings of a written sweep that no other beats in some metrics; nothing is replayed again."""
    from incident_kit import charts, terminal_evidence
    from incident_kit.frontiers import frontier as frontier_of

    verbs.writable(path, *FORMS)
    verbs.writable(chart, *PICTURES)
    found = _read(table)
    best = frontier_of(found, metrics=metrics or _told(found, None), intent=intent)
    verbs.out.print(terminal_evidence.frontier(best))
    if path is not None:
        _write(best, path)
    if chart is not None:
        _draw(charts.frontier(best), chart)


def sensitivity(
    case: Annotated[Path, typer.Argument(help="A case: a folder with incident.yaml.", show_default=False)],
    policy: POLICY,
    *,
    metrics: METRICS = None,
    during: verbs.DURING = None,
    draws: DRAWS = 20,
    table: TABLE = None,
    chart: CHART = None,
) -> None:
    """Say whether the verdict on a policy rests on values that it leaves unsaid; the chart is of the first metric."""
    from incident_kit import charts, terminal_evidence
    from incident_kit.policy import Policy
    from incident_kit.scorecard import DEFAULT_METRICS
    from incident_kit.sensitivities import sensitivity as sensitivity_of

    verbs.writable(table, *FORMS)
    verbs.writable(chart, *PICTURES)
    chosen = tuple(metrics or DEFAULT_METRICS)
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("replaying (the first replay compiles the kernel: about a minute, once)")
        found = sensitivity_of(incident, Policy.load(policy), metrics=chosen, during=during, draws=draws)
    verbs.out.print(terminal_evidence.sensitivity(found))
    if table is not None:
        _write(found, table)
    if chart is not None:
        _draw(charts.sensitivity(found, metric=chosen[0]), chart)


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
    draws: DRAWS = 50,
    table: TABLE = None,
) -> None:
    """Hold an estimator against incidents whose every outcome is known: coverage, error, width, sign."""
    from incident_kit import evaluations, terminal
    from incident_kit.policy import Policy

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
        _write(found.rows, table)


def setting(text: str) -> tuple[str, list[Any]]:
    """Return a path and its values: ``refund.max_p95_ms=1500:6000:250`` (the end included) or ``=30s,60s``."""
    path, equals, said = text.partition("=")
    if not equals or not path.strip() or not said.strip():
        raise InvalidPolicy(f"{text!r} varies nothing: write refund.max_p95_ms=1500:6000:250, or =1500,3000")
    parts = said.split(":")
    if len(parts) == 3:
        return path.strip(), _range(*parts, text=text)
    return path.strip(), [_value(one.strip()) for one in said.split(",")]


def _range(first: str, last: str, step: str, *, text: str) -> list[Any]:
    """Return the values from first to last, numbers or durations."""
    from incident_kit.durations import parse_duration, show_duration

    try:
        numbers = [Decimal(one) for one in (first, last, step)]
        shown: Any = _number
    except InvalidOperation:
        numbers = [Decimal(parse_duration(one.strip())) for one in (first, last, step)]
        shown = _duration(show_duration)
    begin, end, by = numbers
    if not all(one.is_finite() for one in numbers) or by <= 0 or end < begin or (end - begin) / by > MOST_VALUES:
        raise InvalidPolicy(
            f"{text!r} is no range: write from:to:step with step over 0 and at most {MOST_VALUES:,} values"
        )
    return [shown(begin + i * by) for i in range(int((end - begin) / by) + 1)]


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _duration(show: Any) -> Any:
    return lambda value: show(int(value))


def _value(text: str) -> Any:
    try:
        return _number(Decimal(text))
    except (InvalidOperation, OverflowError, ValueError):
        return text


def _told(found: pl.DataFrame, metrics: Sequence[str] | None) -> list[str]:
    """Return the metrics of a sweep to compare settings by: those asked for, else the usual ones that the logs tell."""
    import polars as pl

    if metrics:
        return list(metrics)
    known = set(found.filter(pl.col("estimate").is_not_null())["metric"].unique())
    return [name for name in FRONTIER if name in known]


def _why_no_frontier(by: str | None) -> str:
    if by is not None:
        return "By intent no setting beats another in all: write --table FILE, then incident-kit frontier FILE --intent NAME."
    return "To name those that no other beats takes two metrics: -m p95_ms -m error_rate."


def _write(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame; lists of flags as one text, enumerations as text."""
    import polars as pl

    from incident_kit import terminal

    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    plain = frame.with_columns(pl.col(lists).list.join("; "))
    if path.suffix == ".parquet":
        plain.write_parquet(path)
    elif path.suffix == ".json":
        plain.write_json(path)
    else:
        plain.write_csv(path)
    terminal.said(verbs.out, f"wrote {plain.height:,} rows to {path}")


def _read(path: Path) -> pl.DataFrame:
    """Return the frame in a file that a sweep wrote."""
    import polars as pl

    if path.suffix not in FORMS:
        raise InvalidSweep(f"{path.name!r} is no table: its name ends in {' or '.join(FORMS)}")
    try:
        if path.suffix == ".parquet":
            found = pl.read_parquet(path)
        else:
            found = pl.read_json(path) if path.suffix == ".json" else pl.read_csv(path, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InvalidSweep(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    wanted = {"setting", "is_current", "intent", "metric", "estimate", "low", "high"}
    if missing := sorted(wanted - set(found.columns)):
        raise InvalidSweep(
            f"{path} is no sweep: it has no column {missing[0]!r}. Write one with incident-kit sweep --table"
        )
    return found


def _draw(picture: Any, path: Path) -> None:
    from incident_kit import charts, terminal

    path.write_bytes(charts.png(picture) if path.suffix == ".png" else charts.svg(picture).encode())
    terminal.said(verbs.out, f"wrote {path}")
