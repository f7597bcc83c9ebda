"""Check: one policy against one incident and its own healthy hours, for a pull request or a CI job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.bars import EACH, NO_MODEL, SWITCHES, Bar, default_bars, read_bars
from incident_kit.errors import InvalidLimits, NoSuchItem, did_you_mean
from incident_kit.healthy import healthy_hours, impacts_us, is_healthy
from incident_kit.metrics import metric
from incident_kit.replays import Replay, replay
from incident_kit.scorecard import WITHHELD
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policy import Policy

HOLDS, BROKEN, CANNOT_TELL, NOT_IN_LOG = "holds", "broken", "cannot tell", "not in this log"
AS_LOGGED = "the log"
_COLUMNS: dict[str, Any] = {
    "metric": pl.String, "phase": pl.String, "intent": pl.String, "limit": pl.String, "policy": pl.Float64,
    "in_force": pl.Float64, "bound": pl.Float64, "verdict": pl.String, "seen_share": pl.Float64, "why": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """A policy held against its bars: ``rows``, one a bar, and what it rests on.

    Columns of ``rows``: metric, phase, intent, limit (in words), policy and in_force (the values), bound (the value that
    the policy may just have), verdict (holds, broken, cannot tell, not in this log), seen_share (the share of the outcomes
    behind the value that the log shows; the rest is worked out), why.
    """

    incident: Incident
    policy: Policy
    in_force: Policy | None
    replay: Replay
    beside: Replay
    rows: pl.DataFrame

    @property
    def name(self) -> str:
        """What the policy is compared with: the name of the policy in force, or the log itself."""
        return self.in_force.name if self.in_force else AS_LOGGED

    @property
    def exit_code(self) -> int:
        """0: every bar holds; 1: one is broken; 2: for one the log cannot tell, or nothing could be judged."""
        verdicts = set(self.rows["verdict"])
        if BROKEN in verdicts:
            return 1
        return 0 if HOLDS in verdicts and CANNOT_TELL not in verdicts else 2

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        who = f"{label(self.policy.name)} against {label(self.name)}"
        count = {one: int((self.rows["verdict"] == one).sum()) for one in (HOLDS, BROKEN, CANNOT_TELL)}
        judged = sum(count.values())
        if self.exit_code == 1:
            return f"FAIL: {who}: {count[BROKEN]} of {judged} limits broken."
        if self.exit_code == 2:
            untold = (
                f"for {count[CANNOT_TELL]} of {judged} limits the log cannot tell" if judged else "nothing to judge"
            )
            return f"CANNOT TELL: {who}: {untold}."
        return f"PASS: {who}: all {judged} limits hold."

    def markdown(self) -> str:
        """Return the check as Markdown for a pull request: verdict, table, what differs, examples of changed decisions."""
        from incident_kit.checkpage import markdown

        return markdown(self)

    def __str__(self) -> str:
        lines = [self.verdict]
        for row in self.rows.iter_rows(named=True):
            why = f" ({row['why']})" if row["why"] else ""
            lines.append(f"  {row['verdict']}: {what(row)}: {row['limit']}; {values(row)}{why}")
        return "\n".join(lines)


def check(
    incident: Incident,
    policy: Policy,
    *,
    limits: str | Path | Sequence[Bar] | None = None,
    in_force: Policy | None = None,
) -> Check:
    """Return whether a policy keeps to its limits on an incident and on the healthy time around it.

    Parameters
    ----------
    limits
        A YAML file (see :mod:`incident_kit.bars`), or bars. Default: in the impact no worse than the policy in force (p95,
        errors, tool success, overrides; what the log does not hold is left out, and said so), and no more switches than it
        in the healthy time.
    in_force
        What to compare with. Default: the case's own; without one, the log itself.

    Raises
    ------
    InvalidLimits
        The file of limits cannot be used, or names an intent that the log has not.
    UnansweredQuestion
        A policy cannot be replayed on this log.
    """
    in_force = in_force or incident.in_force
    beside = replay(incident, in_force) if in_force else incident.as_logged
    if limits is None:
        bars: Sequence[Bar] = default_bars(incident, policy, has_in_force=in_force is not None)
    else:
        bars = read_bars(limits) if isinstance(limits, str | Path) else tuple(limits)
    if not bars:
        raise InvalidLimits("there is no limit to check; leave limits out for the default ones")
    candidate = replay(incident, policy)
    spans = {phase: _phase(incident, phase) for phase in dict.fromkeys(bar.phase for bar in bars)}
    rows = [
        _judged(incident, bar, intent, spans[bar.phase], (candidate, beside), in_force=in_force)
        for bar in bars
        for intent in _intents(incident, bar)
    ]
    return Check(incident, policy, in_force, candidate, beside, pl.DataFrame(rows, schema=_COLUMNS))


def _intents(incident: Incident, bar: Bar) -> Iterator[str | None]:
    known = incident.log.intents
    if bar.intent == EACH:
        if not known:
            raise InvalidLimits(f"intent: {EACH}: the log has no intents; leave `intent` out")
        yield from known
        return
    if bar.intent is not None and bar.intent not in known:
        there = ", ".join(map(label, known[:20])) or "none"
        raise InvalidLimits(
            f"intent: {bar.intent!r} is not in the log{did_you_mean(bar.intent, known)}; it has {there}"
        )
    yield bar.intent


def _phase(incident: Incident, phase: str) -> NDArray[np.bool_]:
    """Return which requests of the log arrived in a phase."""
    return _within(incident, phase, incident.log.arrived_us)


def _within(incident: Incident, phase: str, at_us: NDArray[np.int64]) -> NDArray[np.bool_]:
    if phase == "all":
        return np.ones(len(at_us), np.bool_)
    if phase == "healthy":
        return is_healthy(incident, at_us)
    if phase == "impact" and impacts_us(incident):
        return ~is_healthy(incident, at_us)
    try:
        begin, end = (round(at.timestamp() * 1e6) for at in incident.span(phase))
    except NoSuchItem as error:
        raise InvalidLimits(f"phase: {error}, or use healthy or all") from None
    return (at_us >= begin) & (at_us < end)


def _judged(
    incident: Incident,
    bar: Bar,
    intent: str | None,
    chosen: NDArray[np.bool_],
    pair: tuple[Replay, Replay],
    *,
    in_force: Policy | None,
) -> dict[str, Any]:
    """Return one row: the value of both, and what it says."""
    row: dict[str, Any] = {"metric": bar.metric, "phase": bar.phase, "intent": intent, "limit": str(bar), "why": ""}
    if bar.metric == SWITCHES:
        mine, other = (_switches(incident, one, bar.phase) for one in pair)
        value: float | None = mine
        beside: float | None = other if in_force else None
        why, why_not, seen = "", "", None
        if bar.phase == "healthy" and not healthy_hours(incident):
            value, why = None, "the log has no time outside the impact"
    else:
        mask = chosen if intent is None else chosen & (incident.log.intent == incident.log.intents.index(intent))
        (value, why, seen), (beside, why_not, _) = (_value(incident, bar.metric, one, mask) for one in pair)
    row |= {"policy": value, "in_force": beside, "bound": bar.bound(beside), "seen_share": seen}
    holds = bar.holds(value, in_force=beside) if value is not None else None
    if holds is None:
        answer = incident.answers.get(_question(bar.metric))
        is_absent = bar.is_default and answer is not None and answer.answer == "no"
        return row | {"verdict": NOT_IN_LOG if is_absent else CANNOT_TELL, "why": why or why_not}
    return row | {"verdict": HOLDS if holds else BROKEN}


def _value(
    incident: Incident, name: str, one: Replay, mask: NDArray[np.bool_]
) -> tuple[float | None, str, float | None]:
    """Return a metric's value over some requests, or why there is none; and the share of outcomes that were seen."""
    answer = incident.answers.get(_question(name))
    if answer is not None and answer.answer == "no":
        return None, answer.why, None
    frame = one.outcomes.filter(pl.Series(mask))
    if frame.is_empty():
        return None, "no request to judge", None
    unknown, seen = (int((frame["evidence"] == one).sum()) / frame.height for one in ("none", "observed"))
    if name == NO_MODEL:
        return frame["no_model"].count() / frame.height, "", None
    if unknown > WITHHELD and not metric(name).is_decided:
        return None, f"under {label(one.name)} these logs cannot tell for {number(unknown, '%')} of the requests", seen
    value = frame.select(metric(name).value).item()
    if value is None:
        return None, "nothing that the metric counts", seen
    return float(value), "", seen


def _question(name: str) -> str:
    """Return what a log must answer for a metric; nothing for what follows from the decisions."""
    return (metric(name).question or "") if name not in {SWITCHES, NO_MODEL} else ""


def _switches(incident: Incident, one: Replay, phase: str) -> float:
    """Return how often a primary was left in a phase."""
    left = one.transitions.filter(pl.col("from") == "on primary", pl.col("to") == "on backup")
    return float(_within(incident, phase, left["at"].cast(pl.Int64).to_numpy()).sum())


def what(row: dict[str, Any]) -> str:
    """Return what a row is about: ``"error_rate of refund-policy, impact"``."""
    of = f" of {label(row['intent'])}" if row["intent"] else ""
    return f"{row['metric']}{of}, {label(row['phase'])}"


def shown(row: dict[str, Any], column: str) -> str:
    """Return a value of a row with its unit."""
    unit = Bar(metric=row["metric"], max=0).unit
    return "not known" if row[column] is None else number(row[column], unit)


def values(row: dict[str, Any]) -> str:
    """Return both values of a row: ``"3,210 ms, in force 4,020 ms"``."""
    return f"{shown(row, 'policy')}, in force {shown(row, 'in_force')}"
