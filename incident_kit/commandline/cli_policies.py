"""The verbs about policies: draft one, describe it, see whether its windows fill, when its alerts fire, exchange it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from incident_kit.commandline import cli_notebooks, verbs
from incident_kit.errors import InvalidConfiguration
from incident_kit.outfiles.outputs import write_whole

POLICY = Annotated[Path, typer.Argument(help="A policy file.", show_default=False)]
OUT = Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the terminal.")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    for verb in (draft, describe, budget, alerts, convert, export):
        app.command()(verb)


def draft(case: verbs.CASE = Path(), path: OUT = None) -> None:
    """Draft a first policy from a case's log; each line is commented with its evidence."""
    from incident_kit.commandline import terminal
    from incident_kit.drafts.drafting import draft as draft_policy

    verbs.writable(path)
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("drafting a policy")
        text = draft_policy(incident)
    if path is None:
        sys.stdout.write(terminal.shown(text))
    else:
        write_whole(path, text)
        terminal.said(verbs.out, f"wrote {path}")


def describe(policy: POLICY) -> None:
    """Say a policy in plain sentences, one a route, and as a table."""
    from incident_kit.commandline import terminal
    from incident_kit.gamedays.rehearsed import beside, last_rehearsed
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.policywords import describe as describe_policy
    from incident_kit.policies.policywords import describe_table

    one, folder = Policy.load(policy), beside(policy)
    if folder is not None:
        one = last_rehearsed(one, folder)
    terminal.said(verbs.out, describe_policy(one) + "\n")
    verbs.out.print(terminal.frame(describe_table(one)))
    for warning in one.warnings:
        terminal.said(verbs.out, f"warning: {warning}")


def budget(case: verbs.CASE = Path(), policy: verbs.POLICIES = None) -> None:
    """Say for how much of the time each window of a policy would hold enough samples to act."""
    from incident_kit.commandline import terminal
    from incident_kit.scoring.budget import sample_budget

    with verbs.working() as step:
        incident = verbs.opened(case, step)
        found = [(one, sample_budget(incident, one)) for one in verbs.chosen(incident, policy)]
    for one, frame in found:
        terminal.said(verbs.out, one.name, "bold")
        for sentence in frame["sentence"]:
            terminal.said(verbs.out, f"- {sentence}")


def alerts(case: verbs.CASE = Path(), policy: verbs.POLICIES = None) -> None:
    """Say when each alert would have fired, and each route switched, and how long before the help desk felt it."""
    from incident_kit.alerting.firings import alerts as alerts_of
    from incident_kit.alerting.leads import lead_times
    from incident_kit.commandline import terminal
    from incident_kit.scoring.replays import replay

    with verbs.working() as step:
        incident = verbs.opened(case, step)
        policies = verbs.chosen(incident, policy)
        found = [(one, alerts_of(incident, one)) for one in policies]
        step("replaying (the first replay compiles the kernel: about a minute, once)")
        early = [lead_times(replay(incident, one)) for one in policies]
    terminal.said(verbs.out, str(found[0][1].signs))
    for (one, told), switched in zip(found, early, strict=True):
        terminal.said(verbs.out, f"\n{one.name}", "bold")
        terminal.said(verbs.out, f"{told}\n{switched}")


def convert(
    configuration: Annotated[Path, typer.Argument(help="LiteLLM, Portkey, Envoy or resilience4j configuration.")],
    source: Annotated[str | None, typer.Option("--from", help="Whose it is, where detection is not wanted.")] = None,
    fallback: Annotated[
        list[str] | None, typer.Option(help="What to fall back to, where the configuration has none.")
    ] = None,
    path: OUT = None,
) -> None:
    """Read another product's configuration as a policy, and say what is exact, what differs and what is lost."""
    from incident_kit.gateways.command import convert_command

    _told(*convert_command(configuration, source=source, fallback=fallback or (), out=path))


def export(
    what: Annotated[
        str,
        typer.Argument(help="A policy file; or tickets, or notebook, and what to write after it.", show_default=False),
    ],
    case: Annotated[
        Path, typer.Argument(help="Of tickets: a case. Of notebook: a notebook.", show_default=False)
    ] = Path(),
    *,
    to: Annotated[str | None, typer.Option(help="Of a policy: litellm or prometheus.")] = None,
    path: OUT = None,
    during: Annotated[str | None, typer.Option(help="Of tickets: those of a phase only, such as impact.")] = None,
    run: Annotated[bool, typer.Option("--run", help="Of notebook: run a copy of it first.")] = False,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="Of notebook, run: NAME=VALUE for a parameter.")
    ] = None,
    with_ids: Annotated[bool, typer.Option("--with-ids", help="Of notebook: keep ids.")] = False,
) -> None:
    """Write a policy for LiteLLM or Prometheus; or a case's tickets as CSV or XLSX; or a notebook as one offline HTML page."""
    if what == "notebook" and not Path(what).is_file():
        cli_notebooks.export_notebook(case, path, run=run, values=values or [], with_ids=with_ids)
        return
    if what == "tickets" and not Path(what).is_file():
        _export_tickets(case, path or Path("tickets.csv"), during)
        return
    if to is None:
        raise InvalidConfiguration(f"{what}: say what to write it as: --to litellm or --to prometheus")
    from incident_kit.gateways.command import export_command

    _told(*export_command(Path(what), to=to, out=path))


def _export_tickets(case: Path, path: Path, during: str | None) -> None:
    from incident_kit.commandline import terminal
    from incident_kit.helpdesk.ticketlist import save_tickets, ticket_list

    verbs.writable(path, ".csv", ".xlsx")
    with verbs.working() as step:
        incident = verbs.opened(case, step)
        step("listing tickets")
        tickets = ticket_list(incident, during=during)
        written = save_tickets(incident, tickets, path)
    missed = int((tickets["targets_missed"] > 0).sum())
    terminal.said(verbs.out, f"wrote {tickets.height:,} tickets, {missed:,} of them with a missed target, to {written}")


def _told(text: str, report: str) -> None:
    from incident_kit.commandline import terminal

    sys.stdout.write(terminal.shown(text).rstrip("\n") + "\n")
    terminal.said(verbs.err, report)
