"""Check: one policy against one incident and its own healthy hours, for a pull request or a CI job.

A limit is judged by what the logs allow: where nine draws in ten of the outcomes, the same ones for both policies, keep to it, it
passes; where nine in ten do not, it fails; else that cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.errors import InvalidLimits, NoSuchItem, did_you_mean
from incident_kit.policygate.bars import EACH, Bar, default_bars, read_bars
from incident_kit.policygate.gatewords import HELP, about, reason
from incident_kit.policygate.verdicts import CANNOT_TELL, FAILS, IN_FORCE, PASSES, POLICY, Judge, phase_window
from incident_kit.scoring.metrics import metric
from incident_kit.scoring.replays import Replay, replay
from incident_kit.scoring.scorecard import Board, refuse_unknown, together
from incident_kit.scoring.scores import AS_LOGGED
from incident_kit.signals import signal_names
from incident_kit.words import label

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy

THE_LOG = "the log"
DRAWS = 50
ROWS: dict[str, Any] = {
    "metric": pl.String, "phase": pl.String, "intent": pl.String, "limit": pl.String, "policy": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "in_force": pl.Float64, "difference": pl.Float64, "difference_low": pl.Float64,
    "difference_high": pl.Float64, "bound": pl.Float64, "verdict": pl.String, "seen_share": pl.Float64, "why": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """A policy held against its bars: ``rows``, one a bar, and what it rests on.

    Columns of ``rows``: metric, phase, intent, limit (in words), policy with low and high (its value, and between what nine
    draws in ten lie), in_force, difference with its low and high (policy less in force, on the same draws), bound (the value
    that the policy may just have), verdict (passes, fails, cannot tell, not in this log), seen_share (the share of the outcomes
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
        return self.in_force.name if self.in_force else THE_LOG

    @property
    def exit_code(self) -> int:
        """0: every limit passes; 1: one fails; 2: for one that cannot be told, or nothing could be judged."""
        verdicts = set(self.rows["verdict"])
        if FAILS in verdicts:
            return 1
        return 0 if PASSES in verdicts and CANNOT_TELL not in verdicts else 2

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        who = f"{label(self.policy.name)} against {label(self.name)}"
        count = {one: int((self.rows["verdict"] == one).sum()) for one in (PASSES, FAILS, CANNOT_TELL)}
        judged = sum(count.values())
        if self.exit_code == 1:
            return f"FAIL: {who}: {count[FAILS]} of {judged} limits broken."
        if self.exit_code == 2:
            untold = (
                f"for {count[CANNOT_TELL]} of {judged} limits these logs cannot tell" if judged else "nothing to judge"
            )
            return f"CANNOT TELL: {who}: {untold}."
        return f"PASS: {who}: all {judged} limits hold."

    def markdown(self) -> str:
        """Return the check as Markdown for a pull request: verdict, table, what differs, examples of changed decisions."""
        from incident_kit.policygate.checkpage import markdown

        return markdown(self)

    def __str__(self) -> str:
        lines = [self.verdict]
        lines += [f"  {row['verdict']}: {about(row)}; {reason(row)}" for row in self.rows.iter_rows(named=True)]
        if CANNOT_TELL in set(self.rows["verdict"]):
            lines.append(HELP)
        return "\n".join(lines)


def check(
    incident: Incident,
    policy: Policy,
    *,
    limits: str | Path | Sequence[Bar] | None = None,
    in_force: Policy | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Check:
    """Return whether a policy keeps to its limits on an incident and on the healthy time around it.

    Parameters
    ----------
    limits
        A YAML file (see :mod:`gate.bars`), or bars. Default: in the impact hardly worse than the policy in force (p95 by
        5 %; errors, tool success, overrides by a point; what the log does not hold is left out, and said so), and no more
        switches than it in the healthy time.
    in_force
        What to compare with. Default: the case's own; without one, the log itself.
    draws, seed
        As in :func:`incident_kit.compare`. A limit passes, or fails, where nine draws in ten do.

    Raises
    ------
    InvalidLimits
        The file of limits cannot be used, or names an intent or a signal that the log has not.
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
    chosen = [(bar, list(intents_of(incident, bar))) for bar in bars]
    boards = {}
    replays = {AS_LOGGED: incident.as_logged, IN_FORCE: beside}
    phases = {phase: phase_window(incident, phase) for phase in dict.fromkeys(bar.phase for bar in bars)}
    candidate = replays[POLICY] = replay(incident, policy)
    for phase, window in phases.items():
        names = dict.fromkeys(bar.metric for bar in bars if bar.phase == phase)
        boards[phase] = Board(incident, replays, tuple(map(metric, names)), window, draws, seed)
    for board in boards.values():
        # flags change no verdict, and cost as much as a few draws
        board.__dict__["_flagged"] = {name: [] for name in replays}
    together(list(boards.values()))
    judge = {phase: Judge(board, has_in_force=in_force is not None) for phase, board in boards.items()}
    rows = [judge[bar.phase].row(bar, intent) for bar, intents in chosen for intent in intents]
    return Check(incident, policy, in_force, candidate, beside, pl.DataFrame(rows, schema=ROWS))


def intents_of(incident: Incident, bar: Bar) -> Iterator[str | None]:
    """Yield the intents that a limit is judged for; None: all requests together.

    Raises
    ------
    InvalidLimits
        The log has no such intent, or no such signal.
    """
    try:
        refuse_unknown([metric(bar.metric)], signal_names(incident.store))
    except NoSuchItem as error:
        raise InvalidLimits(f"metric: {error}") from None
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
