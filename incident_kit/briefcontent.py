"""What a brief says, as values: gathered from an incident and its scorecard, or made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit import charts, words
from incident_kit.asked import Decision, Owner, decision_of, owners_of
from incident_kit.brieffront import QUESTIONS, Count, Front, Sign, front
from incident_kit.briefrecord import record, versions
from incident_kit.likenesswords import Pair, pairs
from incident_kit.promises import kept, missed
from incident_kit.proposal import Proposal, candidates, listed, proposals
from incident_kit.scorecard import Board
from incident_kit.signs import signs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from incident_kit.phases import Phase


@dataclass(frozen=True)
class Lapse:
    """How long something took: from one instant to another, None where that is not known."""

    label: str
    since: datetime | None
    at: datetime | None


@dataclass(frozen=True)
class Picture:
    """A chart of the page; ``draw(width=...)`` returns it in the width of a desk or of a phone."""

    id: str
    heading: str
    sentence: str
    draw: Callable[..., Any]
    for_engineers: bool = False


@dataclass(frozen=True)
class BriefContent:
    """Everything a brief says; ``incident_kit.briefpage.page`` turns it into one page.

    ``table`` has the scorecard's columns: ``policy``, ``intent`` (``all`` or a name), ``metric``, ``observed``,
    ``estimate``, ``share_observed``, ``share_same_cell``, ``share_same_time``, ``share_same_intent``,
    ``share_none``, ``share_no_model``, ``flags``.
    ``scope`` says which requests the table counts.

    ``decision`` is what is asked of whom, by when; where it is None, the ``proposal`` says what the numbers suggest.
    ``lede``, ``caveats``, ``notes`` and ``backups`` (beside their primaries, on like traffic) are for engineers. ``record`` is
    what a machine needs to make the brief again.
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
    record: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def front(self) -> Front:
        """What is read first."""
        return front(
            decision=self.decision, owners=self.owners, phases=self.phases, impact=self.impact, proposal=self.proposal,
            answers=self.answers, end=self.end, zone=self.zone, sign=self.sign,
        )  # fmt: skip


def gather(
    incident: Any,
    board: Any,
    *,
    title: str | None = None,
    decision: Decision | str | None = None,
    owners: Sequence[Owner | str] = (),
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
        optionally ``caveats``. Only of a real :class:`~incident_kit.scorecard.Board` is there a proposal and a record.
    decision, owners
        What is asked, and who owns what comes of it; else what the incident says.
    """
    is_real = isinstance(board, Board)
    desk = kept(board, candidates(incident, board)) if is_real else None
    found = proposals(incident, board, desk=desk) if is_real else []
    series, phases = incident.series(), tuple(incident.phases)
    answers = dict(incident.answers)
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
        lede=lede(series, phases, zone=zone),
        impact=[Count(*row) for row in (*incident.impact(), *_missed(incident))],
        lapses=lapses(phases),
        pictures=_pictures(incident, board, series, phases, answers),
        table=table,
        scope=_scope(board, table),
        policies=[(name, _said(replay.policy)) for name, replay in shown.items()],
        caveats=caveats(answers),
        notes=notes,
        answers=answers,
        loads=incident.loads(),
        versions=versions(),
        backups=_backups(incident),
        record=record(incident, board) if isinstance(board, Board) else {},
        policy_texts={name: one.policy.expand() for name, one in board.replays.items() if _has_routes(one.policy)},
    )


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


def _missed(incident: Any) -> list[tuple[str, int, int, float | None]]:
    found = missed(incident) if getattr(incident, "log", None) is not None else None
    return [found] if found else []


def _backups(incident: Any) -> tuple[Pair, ...]:
    """Return every intent's backup beside its primary, where there is a log to compare them in."""
    if getattr(incident, "log", None) is None:
        return ()
    from incident_kit.compatibilities import compatibility

    return pairs(compatibility(incident))


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
        beside = f"; usually that is {words.number(usual, 's')}" if isinstance(usual, float) else ""
        sentences.append(f"At its worst, one person in twenty waited over {words.number(slow, 's')}{beside}.")
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
    """Return the time to detect, to mitigate and to recover, each with its two instants."""
    first = {phase.kind: phase.at for phase in reversed(phases)}
    start = first.get("impact")
    names = {"felt": "First complaint", "detected": "Noticed", "mitigated": "Eased", "recovered": "Over"}
    kinds = [kind for kind in names if kind != "felt" or kind in first]
    return [Lapse(names[kind], start, first.get(kind)) for kind in kinds]


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


def _pictures(
    incident: Any, board: Any, series: pl.DataFrame, phases: Sequence[Phase], answers: Mapping[str, Any]
) -> list[Picture]:
    spans = [replay.states() for replay in board.replays.values()]
    states = _coarse(pl.concat(spans, how="diagonal_relaxed")) if spans else pl.DataFrame()
    over_time = partial(charts.timeline, series, phases=phases, answers=answers)
    compared = partial(charts.quality, incident.quality())
    return [
        Picture("over-time", "How it went", "The shaded part is the incident.", partial(over_time, plain=True)),
        Picture("models", "The backup beside the first choice", "", partial(compared, plain=True), for_engineers=True),
        Picture("signals", "The signals, in their own units", "", over_time, for_engineers=True),
        Picture(
            "states",
            "Where each rule would have sent the requests",
            "A thick bar: the backup model answered. Tests too short to be seen are left out.",
            partial(charts.states, states, phases=phases),
            for_engineers=True,
        ),
    ]


def _said(policy: Any) -> str:
    """Return what a policy does, in words."""
    if not _has_routes(policy):
        return "What was done at the time."
    from incident_kit.policywords import describe

    return describe(policy)


def _has_routes(policy: Any) -> bool:
    return bool(getattr(policy, "routes", ()))


def _coarse(states: pl.DataFrame) -> pl.DataFrame:
    """Return the spans without tests of the primary too short to be seen that led back to the backup: one span on it instead.

    A page for leadership has room for hundreds of bars, not for thousands that are a fraction of a pixel wide.
    """
    if states.is_empty():
        return states
    unseen = (states["end"].max() - states["start"].min()) / 500  # type: ignore[operator]
    kept: list[dict[str, Any]] = []
    for row in states.iter_rows(named=True):
        same = [one for one in kept[-2:] if all(one[key] == row[key] for key in ("policy", "route", "target"))]
        is_test = [one["state"] for one in (*same, row)] == ["on backup", "testing primary", "on backup"]
        if is_test and same[1]["end"] - same[1]["start"] < unseen:
            kept.pop()
            kept[-1] |= {"end": row["end"]}
        else:
            kept.append(row)
    return pl.DataFrame(kept, schema=states.schema)
