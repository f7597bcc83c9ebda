"""The verbs about tuning: a policy at many settings, in one incident or a library, and what a verdict rests on."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from incident_kit.commandline import verbs
from incident_kit.commandline.cli_evidence import CHART, FORMS, METRICS, PICTURES, TABLE, draw, write
from incident_kit.errors import InvalidObjective, InvalidPolicy, InvalidSweep

if TYPE_CHECKING:
    import polars as pl

POLICY = Annotated[Path, typer.Argument(help="A policy file.", show_default=False)]
SETTINGS = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH=VALUES...", help="What to vary: refund-policy.max_p95_ms=1500:6000:250, or =30s,60s,5m."
    ),
]
DRAWS = Annotated[int, typer.Option(help="How often outcomes that the log does not hold are drawn.", min=0)]
RANDOM = Annotated[int | None, typer.Option(help="At most so many settings, drawn at random.", min=1)]
SEED = Annotated[int, typer.Option(help="Of all that is drawn.", min=0)]
JOBS = Annotated[int, typer.Option("--jobs", "-j", help="Processes to share the work out to.", min=1, max=64)]
RESUME = Annotated[
    Path | None, typer.Option(help="A .parquet file that keeps what is done; where it is there, only the rest is done.")
]
MOST_VALUES = 10_000
INTERRUPTED = 130
NOT_WORTH_IT = 1


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    for verb in (sweep, frontier, sensitivity, tune):
        app.command()(verb)


def sweep(  # noqa: PLR0913 - its options
    case: Annotated[Path, typer.Argument(help="A case: a folder with incident.yaml.", show_default=False)],
    policy: POLICY,
    settings: SETTINGS,
    *,
    metrics: METRICS = None,
    during: verbs.DURING = None,
    by: Annotated[str | None, typer.Option(help="intent: rows for every intent too.")] = None,
    random: RANDOM = None,
    seed: SEED = 0,
    draws: DRAWS = 20,
    jobs: JOBS = 1,
    resume: RESUME = None,
    table: TABLE = None,
    chart: CHART = None,
) -> None:
    """Score a policy at many settings on the same draws, and name the settings that no other beats."""
    from incident_kit import charts
    from incident_kit.commandline import terminal, terminal_evidence
    from incident_kit.optimization.frontiers import frontier as frontier_of
    from incident_kit.optimization.frontiers import usual
    from incident_kit.optimization.tuning import sweep as sweep_over
    from incident_kit.policies.policy import Policy
    from incident_kit.scoring.scorecard import DEFAULT_METRICS

    verbs.writable(table, *FORMS)
    verbs.writable(chart, *PICTURES)
    verbs.writable(resume, ".parquet")
    grid, counted = dict(map(setting, settings)), _Counted("settings")
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("replaying (the first replay compiles the kernel: about a minute, once)")
        found = sweep_over(
            incident,
            Policy.load(policy),
            grid,
            metrics=metrics or (*DEFAULT_METRICS, *(["sla_breach_rate"] if incident.clock.instances.height else [])),
            during=during,
            by=by,
            random=random,
            seed=seed,
            draws=draws,
            jobs=jobs,
            resume=resume,
            progress=lambda done, of: step(counted.seen(done, of)),
        )
    if resume is not None:
        terminal.said(verbs.out, f"{resume} holds {found['setting'].n_unique()} settings")
    counted.end_if_interrupted(resume)
    if table is not None:
        write(found, table)
    chosen = metrics or usual(found)
    if by is not None or len(chosen) < 2:
        terminal.said(verbs.out, f"{found['setting'].n_unique()} settings scored. {_why_no_frontier(by)}")
        return
    best = frontier_of(found, metrics=chosen)
    verbs.out.print(terminal_evidence.frontier(best))
    if chart is not None:
        draw(charts.frontier(best), chart)


def frontier(
    table: Annotated[Path, typer.Argument(help="What sweep --table wrote.", show_default=False)],
    metrics: METRICS = None,
    intent: Annotated[str | None, typer.Option(help="Of a sweep by intent, the one to look at.")] = None,
    path: Annotated[Path | None, typer.Option("--table", "-o", help="Write all rows: .csv, .json or .parquet.")] = None,
    chart: CHART = None,
) -> None:
    """Name the settings of a written sweep that no other beats in some metrics; nothing is replayed again."""
    from incident_kit import charts
    from incident_kit.commandline import terminal_evidence
    from incident_kit.optimization.frontiers import frontier as frontier_of

    verbs.writable(path, *FORMS)
    verbs.writable(chart, *PICTURES)
    found = _read(table)
    best = frontier_of(found, metrics=metrics, intent=intent)
    verbs.out.print(terminal_evidence.frontier(best))
    if path is not None:
        write(best, path)
    if chart is not None:
        draw(charts.frontier(best), chart)


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
    from incident_kit import charts
    from incident_kit.commandline import terminal_evidence
    from incident_kit.optimization.sensitivities import sensitivity as sensitivity_of
    from incident_kit.policies.policy import Policy
    from incident_kit.scoring.scorecard import DEFAULT_METRICS

    verbs.writable(table, *FORMS)
    verbs.writable(chart, *PICTURES)
    chosen = tuple(metrics or DEFAULT_METRICS)
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("replaying (the first replay compiles the kernel: about a minute, once)")
        found = sensitivity_of(incident, Policy.load(policy), metrics=chosen, during=during, draws=draws)
    verbs.out.print(terminal_evidence.sensitivity(found))
    if table is not None:
        write(found, table)
    if chart is not None:
        draw(charts.sensitivity(found, metric=chosen[0]), chart)


def tune(  # noqa: PLR0913 - its options
    library: Annotated[
        Path, typer.Argument(help="A folder of incidents: cases, packs, incident files.", show_default=False)
    ],
    policy: POLICY,
    settings: SETTINGS,
    *,
    report_on: Annotated[Path | None, typer.Option(help="A folder of incidents to report on, not to tune on.")] = None,
    hold_out: Annotated[
        float, typer.Option(help="Or: this share of the incidents, drawn by --seed, to report on only.", min=0, max=1)
    ] = 0,
    weights: Annotated[
        list[str] | None,
        typer.Option("--weight", "-w", help="What one of a part costs, such as overrides=2; may be repeated."),
    ] = None,
    random: RANDOM = None,
    seed: SEED = 0,
    draws: DRAWS = 10,
    jobs: JOBS = 1,
    resume: RESUME = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Write the recommended policy: .yaml. Nothing, and exit code 1, where none is worth it."),
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="With --save: write the cheapest even so.")] = False,
    table: Annotated[
        Path | None, typer.Option("--table", "-o", help="Write every setting: .csv, .json or .parquet.")
    ] = None,
    incidents: Annotated[Path | None, typer.Option(help="Write every incident: .csv, .json or .parquet.")] = None,
) -> None:
    """Recommend the simplest setting of a policy that is within noise of the best over a library of incidents."""
    from incident_kit.commandline import terminal
    from incident_kit.incidents import incident_paths
    from incident_kit.optimization.library import Library
    from incident_kit.optimization.objective import Objective
    from incident_kit.optimization.tunings import tune as tune_over
    from incident_kit.policies.policy import Policy

    for path in (table, incidents):
        verbs.writable(path, *FORMS)
    verbs.writable(save, ".yaml", ".yml")
    verbs.writable(resume, ".parquet")
    objective = Objective.of(dict(map(_weight, weights or ())))
    mine = incident_paths(library)
    held = Library([*mine, *(incident_paths(report_on) if report_on is not None else ())])
    on = held.names[: len(mine)]
    if hold_out:
        chosen = Library(mine).split(1 - hold_out, seed=seed)[0]
        on = tuple(name for name in on if name in chosen)
    grid, counted = dict(map(setting, settings)), _Counted("incidents")
    with verbs.working() as step:
        step(f"replaying {len(held)} incidents (the first replay compiles the kernel: about a minute, once)")
        found = tune_over(
            held,
            Policy.load(policy),
            grid,
            objective=objective,
            random=random,
            seed=seed,
            draws=draws,
            jobs=jobs,
            resume=resume,
            progress=lambda done, of: step(counted.seen(done, of)),
        )
    counted.end_if_interrupted(resume)
    recommended = found.recommend(on=[name for name in on if name in found.incidents])
    terminal.said(verbs.out, str(recommended))
    if table is not None:
        write(recommended.table, table)
    if incidents is not None:
        write(recommended.incidents, incidents)
    if save is None:
        return
    if not (recommended.is_worth_it or anyway):
        terminal.said(
            verbs.out, f"{save} is not written: nothing that was tried is worth it. --anyway writes the cheapest"
        )
        raise typer.Exit(NOT_WORTH_IT)
    recommended.policy.save(save)
    terminal.said(verbs.out, f"wrote {save}")


class _Counted:
    """How much is done of how much."""

    def __init__(self, what: str) -> None:
        self.what, self.done, self.of = what, 0, 0

    def seen(self, done: int, of: int) -> str:
        self.done, self.of = done, of
        return f"replayed {done} of {of} {self.what}"

    def end_if_interrupted(self, resume: Path | None) -> None:
        if self.done < self.of:
            kept = (
                f"the same command goes on from {resume}" if resume else "with --resume FILE it could go on from there"
            )
            verbs.err.print(
                f"incident-kit: interrupted after {self.done} of {self.of} {self.what}; {kept}", markup=False
            )
            raise typer.Exit(INTERRUPTED)


def _weight(text: str) -> tuple[str, float]:
    """Return a part and its weight: ``overrides=2``."""
    part, _, said = text.partition("=")
    try:
        return part.strip(), float(said)
    except ValueError:
        raise InvalidObjective(f"{text!r} weighs nothing: write overrides=2") from None


def setting(text: str) -> tuple[str, list[Any]]:
    """Return a path and its values: ``refund-policy.max_p95_ms=1500:6000:250``, ``1500:6000`` or ``=30s,60s``."""
    path, equals, said = text.partition("=")
    if not equals or not path.strip() or not said.strip():
        raise InvalidPolicy(f"{text!r} varies nothing: write refund-policy.max_p95_ms=1500:6000:250, or =1500,3000")
    parts = said.split(":")
    if len(parts) == 3 or (len(parts) == 2 and parts[0].strip().isdigit()):
        return path.strip(), _range(*parts, *(["1"] if len(parts) == 2 else []), text=text)
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


def _why_no_frontier(by: str | None) -> str:
    if by is not None:
        return "By intent no setting beats another in all: write --table FILE, then incident-kit frontier FILE --intent NAME."
    return "To name those that no other beats takes two metrics: -m p95_ms -m error_rate."


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
