"""The verbs on a cluster: a replay over a lake, and checks, sweeps and tuning whose work the workers do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from incident_kit.commandline import verbs

MASTER = Annotated[str, typer.Option(help="Spark's master, such as spark://HOST:7077.", envvar="SPARK_MASTER")]
SHIP = Annotated[bool, typer.Option("--ship", help="Send this kit's code to workers that have its libraries only.")]
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
SHARED = {  # verbs whose work can be shared out, and what the help says
    "check": "Check a policy against the incidents of a folder, each by a worker: the options of `incident-kit check`.",
    "sweep": "Score a policy at many settings, shared out to workers: the options of `incident-kit sweep`.",
    "tune": "Tune a policy over a folder of incidents, shared out to workers: the options of `incident-kit tune`.",
}


def add_to(app: typer.Typer) -> None:
    """Add the group of verbs to a command line."""
    group = typer.Typer(
        no_args_is_help=True, help="Replay where the logs outgrow one machine: on Spark (extra `spark`)."
    )
    group.command()(replay)
    for verb, told in SHARED.items():
        group.command(verb, help=told, context_settings=PASSED_ON)(_shared(verb))
    app.add_typer(group, name="cluster")


def replay(
    lake: Annotated[
        str, typer.Argument(help="A folder of logs, Parquet or NDJSON, on any file system that Spark reads.")
    ],
    *,
    policy: Annotated[Path, typer.Option("--policy", "-p", help="A policy file.")],
    into: Annotated[str, typer.Option("--out", "-o", help="The folder to make: decisions, transitions, totals.")],
    master: MASTER = "local[*]",
    zone: Annotated[str | None, typer.Option(help="The zone of times without one.")] = None,
    ship: SHIP = False,
) -> None:
    """Replay a policy over a lake, each group of routes by one task; write every decision as Parquet."""
    from incident_kit.clusters import cluster
    from incident_kit.commandline import terminal
    from incident_kit.policies.policy import Policy

    chosen = Policy.load(policy)
    with verbs.working() as step:
        found = cluster.replay(lake, chosen, out=into, master=master, zone=zone, ship=ship, progress=step)
    terminal.said(verbs.out, str(found))
    shown = found.totals.select("route", "intent", "requests", "on_backup", "logged_p95_ms", "p95_ms").rows()
    for route, intent, requests, backup, logged, replayed in shown:
        p95 = (
            f", p95 {logged:,} ms as logged, {replayed:,} ms replayed"
            if logged is not None and replayed is not None
            else ""
        )
        terminal.said(
            verbs.out,
            f"  {route or 'no route'}, {intent or 'no intent'}: {requests:,} requests, {backup / requests:.1%} on backup{p95}",
        )


def _shared(verb: str) -> Callable[..., None]:
    def run(context: typer.Context, *, master: MASTER, ship: SHIP = False) -> None:
        from incident_kit.clusters.fleet import enlisted
        from incident_kit.commandline.cli import app

        with enlisted(master, ship=ship) as jobs:
            code = app([verb, *context.args, "--jobs", str(jobs)], standalone_mode=False)
        raise typer.Exit(code or 0)

    return run
