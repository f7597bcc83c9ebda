"""What a brief says, as values: gathered from an incident and its scorecard, or made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit import words
from incident_kit.alerting.signs import signs
from incident_kit.asked import Decision, Owner, decision_of, owners_of
from incident_kit.backups.compatibilities import compatibility
from incident_kit.backups.likenesswords import Pair, pairs
from incident_kit.briefs.brieffront import QUESTIONS, Count, Front, Sign, front
from incident_kit.briefs.briefpictures import Picture, of_backups, of_limit, of_policies, of_unsaid, pictures
from incident_kit.briefs.briefrecord import record, versions
from incident_kit.briefs.proposal import Proposal, candidates, listed, measures, proposals
from incident_kit.briefs.whatif import WhatIf, swept, whatif
from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidCase
from incident_kit.helpdesk.promises import kept, missed
from incident_kit.inspection.battery import findings
from incident_kit.optimization.sensitivities import sensitivity
from incident_kit.scoring.quality import measured
from incident_kit.scoring.scorecard import Board

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from incident_kit.incident import Incident
    from incident_kit.phases import Phase


@dataclass(frozen=True)
class Lapse:
    """How long something took: from one instant to another, None where that is not known."""

    label: str
    since: datetime | None
    at: datetime | None


@dataclass(frozen=True)
class BriefContent:
    """Everything a brief says; ``incident_kit.briefs.briefpage.page`` turns it into one page.

    ``table`` has the scorecard's columns: ``policy``, ``intent`` (``all`` or a name), ``metric``, ``observed``,
    ``estimate``, ``share_observed``, ``share_same_cell``, ``share_same_time``, ``share_same_intent``,
    ``share_none``, ``share_no_model``, ``flags``.
    ``scope`` says which requests the table counts.

    ``in_force`` says what the rules in force did.
    ``decision`` is what is asked of whom, by when; where it is None, the ``proposal`` says what the numbers suggest.
    ``lede``, ``caveats``, ``notes``, ``findings`` (title and sentence of what stands out, ``ordinary`` of what does not),
    ``backups`` (beside their primaries, on like traffic), ``limit`` (one limit at several settings) and ``tickets`` (by their
    ids, only where somebody asked for these) are for engineers. ``record`` is what a
    machine needs to make the brief again.
    """

    title: str
    start: datetime
    end: datetime
    zone: str = "UTC"
    is_simulated: bool = False
    decision: Decision | None = None
    owners: Sequence[Owner] = ()
    phases: Sequence[Phase] = ()
    sign: Sign | None = None
    proposal: Proposal | None = None
    in_force: str = ""
    lede: Sequence[str] = ()
    impact: Sequence[Count] = ()
    lapses: Sequence[Lapse] = ()
    pictures: Sequence[Picture] = ()
    table: pl.DataFrame = field(default_factory=pl.DataFrame)
    scope: str = "All requests"
    policies: Sequence[tuple[str, str]] = ()
    caveats: Sequence[str] = ()
    notes: Sequence[str] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)
    loads: pl.DataFrame = field(default_factory=pl.DataFrame)
    versions: Mapping[str, str] = field(default_factory=dict)
    policy_texts: Mapping[str, str] = field(default_factory=dict)
    backups: Sequence[Pair] = ()
    findings: Sequence[tuple[str, str]] = ()
    ordinary: Sequence[str] = ()
    limit: WhatIf | None = None
    tickets: pl.DataFrame | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def when(self) -> str:
        """The span of the logs, in the reader's zone with UTC in brackets."""
        zone = ZoneInfo(self.zone)
        where = "" if zone.key == "UTC" else f", {zone.key} time"
        return f"{words.period(self.start, self.end, zone=zone, date=True)}{where}"

    @cached_property
    def front(self) -> Front:
        """What is read first."""
        return front(
            decision=self.decision, owners=self.owners, phases=self.phases, impact=self.impact, proposal=self.proposal,
            answers=self.answers, end=self.end, zone=self.zone, sign=self.sign, in_force=self.in_force,
        )  # fmt: skip


Sweep = pl.DataFrame | dict[str, "Iterable[Any]"] | Literal["likely"] | None
TICKETS = 50  # listed, those that suffered most
MOST_TRIED = 200_000  # requests; beyond, `incident-kit sensitivity` is asked for what a policy leaves unsaid


def gather(
    incident: Any,
    board: Any,
    *,
    title: str | None = None,
    decision: Decision | str | None = None,
    owners: Sequence[Owner | str] = (),
    sweep: Sweep = None,
    with_ids: bool = False,
) -> BriefContent:
    """Return the content of an incident's brief.

    Parameters
    ----------
    incident
        Has ``series()``, ``quality()``, ``impact()`` (rows of label, value, out of, normal), ``loads()``, ``phases``,
        ``answers``; optionally ``zone``, ``title``, ``is_simulated`` and ``in_force``, whose replay is a check of the
        method and not an alternative: it stays out of the tables.
    board
        Has ``replays`` (name to a replay with ``states()`` and ``policy``) and ``table(by=None | "intent")``;
        optionally ``caveats``. Only of a real :class:`~incident_kit.scoring.scorecard.Board` is there a proposal and a record.
    decision, owners
        What is asked, and who owns what comes of it; else what the incident says.
    sweep
        One limit at several settings: what :func:`incident_kit.sweep` gave, or a mapping of a path to its values, or
        ``"likely"``: the limit on waits that matters most in the proposed rules.
    with_ids
        Whether to list tickets by their ids.
    """
    is_real = isinstance(board, Board)
    series, phases = incident.series(), tuple(incident.phases)
    answers = dict(incident.answers)
    names = candidates(incident, board) if is_real else []
    desk = kept(board, names) if is_real else None
    found = proposals(incident, board, desk=desk) if is_real else []
    limit = _limit(incident, board, found[0].policy if found else None, sweep) if is_real else None
    drawn = pictures(incident, board, series, phases=phases, answers=answers)
    alike = compatibility(incident) if getattr(incident, "log", None) is not None else None
    if is_real:
        drawn += [*(of_limit(limit) if limit else []), *(_unsaid(incident, board, found) if limit else [])]
        drawn += [*of_policies(board, names, desk), *([of_backups(alike)] if alike else [])]
    stands_out, ordinary = _findings(incident)
    zone = str(getattr(incident, "zone", None) or "UTC")
    check = getattr(getattr(incident, "in_force", None), "name", None)
    shown = {name: replay for name, replay in board.replays.items() if name != check}
    notes = [str(caveat) for caveat in getattr(board, "caveats", ())]
    if check in board.replays:
        share = words.number(board.replays[check].fidelity, "%")
        notes.insert(
            0, f"The rules in force ({check}), replayed, name the model that answered for {share} of the requests."
        )
    table = board.table(by=None)
    by_intent = board.table(by="intent")
    if not by_intent.is_empty():
        table = pl.concat([table, by_intent.filter(pl.col("intent") != "all")], how="diagonal_relaxed")
    table = table.filter(pl.col("policy").is_in(list(shown)))
    return BriefContent(
        title=title or getattr(incident, "title", None) or "What happened, and what other rules would have done",
        start=series["at"].min(),
        end=series["until"].max(),
        zone=zone,
        is_simulated=bool(getattr(incident, "is_simulated", False)),
        decision=decision_of(decision) or getattr(incident, "decision", None),
        owners=owners_of(owners) or tuple(getattr(incident, "owners", ())),
        phases=phases,
        sign=_sign(incident),
        proposal=found[0] if found else None,
        in_force=_in_force(incident),
        lede=lede(series, phases, zone=zone),
        impact=[*_counts(incident), *_missed(incident)],
        lapses=lapses(phases),
        pictures=drawn,
        table=table,
        scope=_scope(board, table),
        policies=[(name, _said(replay.policy)) for name, replay in shown.items()],
        caveats=caveats(answers),
        notes=notes,
        answers=answers,
        loads=incident.loads(),
        versions=versions(),
        backups=pairs(alike) if alike else (),
        findings=stands_out,
        ordinary=ordinary,
        limit=limit,
        tickets=_tickets(incident, board) if is_real and with_ids else None,
        record=record(incident, board, sweep=limit.record if limit else None) if is_real else {},
        policy_texts={name: one.policy.expand() for name, one in board.replays.items() if _has_routes(one.policy)},
    )


def _limit(incident: Any, board: Board, policy: str | None, sweep: Sweep) -> WhatIf | None:
    if isinstance(sweep, pl.DataFrame):
        return whatif(sweep)
    if sweep is None or policy is None:
        return None
    return swept(incident, board, policy, None if sweep == "likely" else sweep)


def _tickets(incident: Incident, board: Board) -> pl.DataFrame:
    """Return the tickets of the time that is scored that missed a target or had a draft rewritten, the worst first."""
    from incident_kit.helpdesk.ticketlist import ticket_list

    listed = ticket_list(incident, during=board.during)
    worst = listed.filter((pl.col("targets_missed") > 0) | (pl.col("overridden") > 0) | (pl.col("unanswered") > 0))
    order = ["targets_missed", "overridden", "longest_wait_s", "ticket_id"]
    return worst.sort(order, descending=[True, True, True, False], nulls_last=True).head(TICKETS)


_SIGNS = {
    "contacts": "more people wrote in",
    "escalations": "more tickets were escalated",
    "overrides": "agents rewrote more drafts",
    "breaches": "more promised times were missed",
    "first breach": "a first promised time was missed",
}


def _sign(incident: Any) -> Sign | None:
    """Return what the help desk felt first; None where nothing of it stands out, and where that is the first complaint."""
    if getattr(incident, "log", None) is None:
        return None
    first = signs(incident).earliest
    return None if first is None or first["sign"] not in _SIGNS else Sign(first["at"], _SIGNS[first["sign"]])


def _in_force(incident: Any) -> str:
    """Return what the rules in force did, in a few words of the kit's own; nothing where no rules are named."""
    policy = getattr(incident, "in_force", None)
    if policy is None or not _has_routes(policy):
        return ""
    whole = len({route.breaker for route in policy.routes}) == 1
    backups = {entry.model for route in policy.routes for entry in route.fallback if entry.kind == "model"}
    limit = "the same limit for every kind of question" if whole else "another limit for each kind of question"
    return f"{limit}, then the backup model" if len(backups) == 1 else limit


def _counts(incident: Any) -> list[Count]:
    """Return the counts of the impact; of those that the log answers with a lower bound, it may miss some."""
    asked = {label: question for label, (question, *_) in measured(getattr(incident, "slow_ms", 0)).items()}
    least = {name for name, one in incident.answers.items() if one.answer == "lower bound"}
    return [replace(one, at_least=asked.get(one.label) in least) for one in (Count(*row) for row in incident.impact())]


def _missed(incident: Any) -> list[Count]:
    found = missed(incident) if getattr(incident, "log", None) is not None else None
    return [Count(*found)] if found else []


def _unsaid(incident: Incident, board: Board, found: Sequence[Proposal]) -> list[Picture]:
    """Return the chart of what the proposed rules leave unsaid, for the measure that they surely make better."""
    if not found or len(incident.log) > MOST_TRIED:
        return []
    sure = {gain.measure for gain in found[0].gains if gain.verdict == "better"}
    known = [one.metric for one in measures(incident.slow_ms)]
    metric = next((one.metric for one in measures(incident.slow_ms) if one.name in sure), known[0])
    options: dict[str, Any] = {"during": board.during, "metrics": [metric], "seed": board.seed, "draws": 0}
    return [of_unsaid(sensitivity(incident, board.replays[found[0].policy].policy, **options), metric)]


def _findings(incident: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Return what stands out in the impact, ranked, and what was looked at too."""
    if getattr(incident, "log", None) is None:
        return [], []
    try:
        ranked = tuple(findings(incident))
    except InvalidCase:  # all of the log is the impact: there is no usual time to hold it against
        return [], []
    told = [(one.title, one.sentence) for one in ranked if one.interesting]
    return told, [one.title for one in ranked if not one.interesting]


def _scope(board: Any, table: pl.DataFrame) -> str:
    """Return which requests the table counts, and how many."""
    n = table.filter(pl.col("intent") == "all")["n"].max() if "n" in table.columns else None
    said = "All requests during the incident" if getattr(board, "during", None) else "All requests"
    return f"{said} ({words.number(n)})" if isinstance(n, int) else said


def lede(series: pl.DataFrame, phases: Sequence[Phase], *, zone: str = "UTC") -> list[str]:
    """Return what happened in two or three plain sentences, from the numbers."""
    if series.is_empty():
        return ["There are no requests in this period."]
    where = ZoneInfo(zone)
    impact = next((phase for phase in phases if phase.kind == "impact"), None)
    during, before = series, series.clear()
    said = f"{words.number(int(series['n'].sum()))} requests came in"
    start: Any = series["at"].min()
    end: Any = series["until"].max()
    if impact and start < (impact.until or end) and impact.at < end:
        end = min(impact.until or end, end)
        during = series.filter(pl.col("until") > impact.at, pl.col("at") < end)
        before = series.filter(pl.col("until") <= impact.at)
        start, cause = impact.at, f" ({words.label(impact.text, longest=300)})" if impact.text else ""
        said = f"For {words.lasting(end - start)}{cause}, answers were slow or went wrong"
    sentences = [f"{said}: {words.period(start, end, zone=where, date=True)}."]
    if (slow := _worst(during, "p95_wait_ms")) is not None:
        usual = before["p95_wait_ms"].median() if before.height else None
        beside = f"; before, that was mostly about {words.number(usual, 's')}" if isinstance(usual, float) else ""
        sentences.append(f"At its worst, one answer in twenty took over {words.number(slow, 's')}{beside}.")
    if share := _worst(during, "fallback_share"):
        sentences.append(f"At the height, the backup model gave {words.number(share, '%')} of the answers.")
    return sentences


def _worst(series: pl.DataFrame, name: str) -> float | None:
    """Return the highest value of a measure over intervals with enough requests to mean something."""
    if name not in series.columns or series.is_empty():
        return None
    busy = series.filter(pl.col("n") >= 0.2 * pl.col("n").median())
    value = busy[name].cast(pl.Float64).fill_nan(None).max()
    return float(value) if isinstance(value, float) else None


def lapses(phases: Sequence[Phase]) -> list[Lapse]:
    """Return the time to detect, to mitigate and to recover, each with its two instants; what nobody noted is left out."""
    first = {phase.kind: phase.at for phase in reversed(phases)}
    start = first.get("impact")
    names = {"felt": "First complaint", "detected": "Noticed", "mitigated": "Eased", "recovered": "Over"}
    return [Lapse(name, start, first[kind]) for kind, name in names.items() if kind in first]


def caveats(answers: Mapping[str, Any]) -> list[str]:
    """Return what the log cannot tell, or only in part, in plain sentences."""
    said = {
        kind: [QUESTIONS.get(name, words.label(name)) for name, a in answers.items() if a.answer == kind]
        for kind in ("no", "lower bound")
    }
    sentences = []
    if said["lower bound"]:
        sentences.append(f"The true numbers may be higher for {listed(said['lower bound'])}.")
    if said["no"]:
        sentences.append(f"These logs cannot tell {listed(said['no'])}.")
    return sentences


def _said(policy: Any) -> str:
    """Return what a policy does, in words."""
    if not _has_routes(policy):
        return "What was done at the time."
    from incident_kit.policies.policywords import describe

    return describe(policy)


def _has_routes(policy: Any) -> bool:
    return bool(getattr(policy, "routes", ()))
