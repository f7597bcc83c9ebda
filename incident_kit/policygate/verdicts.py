"""Verdicts: whether a limit passes, fails, or cannot be told, by what these logs allow of both policies on the same draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from incident_kit.errors import InvalidLimits, NoSuchItem
from incident_kit.healthy import healthy_hours, healthy_spans, impacts_us
from incident_kit.policygate.bars import SWITCHES, Bar
from incident_kit.policygate.gatewords import both_sides
from incident_kit.scoring.metrics import metric
from incident_kit.scoring.scorecard import Board, spread
from incident_kit.scoring.scores import LEAST, MOST, VALUE
from incident_kit.scoring.windows import ALL, Window, window_of
from incident_kit.stats.intervals import interval
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident

PASSES, FAILS, CANNOT_TELL, NOT_IN_LOG = "passes", "fails", "cannot tell", "not in this log"
BOTH_SIDES = "these logs allow both sides of the limit"
POLICY, IN_FORCE = "the policy", "in force"


def phase_window(incident: Incident, phase: str) -> Window:
    """Return a phase; ``impact`` is every impact, ``healthy`` all other time."""
    if phase == "healthy":
        return Window(incident.log, healthy_spans(incident))
    if phase == "impact" and (spans := impacts_us(incident)):
        return Window(incident.log, spans, spans[-1])
    try:
        return window_of(incident, phase)
    except NoSuchItem as error:
        raise InvalidLimits(f"phase: {error}, or use healthy or all") from None


class Judge:
    """The bars of one phase."""

    def __init__(self, board: Board, *, has_in_force: bool) -> None:
        self.board, self.has_in_force = board, has_in_force
        tables = pl.concat([board.table(), board.table(by="intent")])
        self.said = {(row["policy"], row["intent"], row["metric"]): row for row in tables.iter_rows(named=True)}

    def row(self, bar: Bar, intent: str | None) -> dict[str, Any]:
        """Return one row: the values of both policies, and what they say."""
        key = intent or ALL
        row: dict[str, Any] = {"metric": bar.metric, "phase": bar.phase, "intent": intent, "limit": str(bar), "why": ""}
        why = self._why_not(bar, key)
        if why:
            return row | {"verdict": self._unjudged(bar), "why": why}
        values, said = self.board.values, self.said[POLICY, key, bar.metric]
        own, force = values[POLICY][key, bar.metric], values[IN_FORCE].get((key, bar.metric))
        row |= {"seen_share": None if metric(bar.metric).is_decided else said["share_observed"]}
        if force is None or not np.isfinite(force[VALUE]).any():
            force = None
        told = [
            force is not None and self.board.is_told(IN_FORCE, key, bar.metric),
            self.board.is_told(POLICY, key, bar.metric),
        ]
        if told[1]:
            row["policy"], row["low"], row["high"] = spread(own)
        if told[0] and force is not None:
            row["in_force"] = interval(force[VALUE])[0]
        if all(told):
            row["difference"], row["difference_low"], row["difference_high"] = spread(own, force)
        if bar.is_of_force and force is None:
            return row | {
                "verdict": self._unjudged(bar),
                "why": "nothing that the metric counts under what is in force",
            }
        if not bar.is_of_force or told[0]:
            row["bound"] = bar.bound(row.get("in_force"))
        if told[1] and (told[0] or not bar.is_of_force):
            low, high = _excess(bar, own, force)
            why = BOTH_SIDES
        else:
            low, high, why = self._by_bounds(bar, key)
        if low is None or high is None:
            return row | {
                "verdict": self._unjudged(bar),
                "why": why if why != BOTH_SIDES else "nothing that the metric counts",
            }
        verdict = PASSES if high <= 0 else FAILS if low > 0 else CANNOT_TELL
        why = both_sides(row, bar) if why == BOTH_SIDES else why
        return row | {"verdict": verdict, "why": why if verdict == CANNOT_TELL else ""}

    def _why_not(self, bar: Bar, key: str) -> str:
        """Return why a bar cannot be judged at all; nothing where it can."""
        if bar.metric == SWITCHES and bar.phase == "healthy" and not healthy_hours(self.board.incident):
            return "the log has no time outside the impact"
        if bar.metric == SWITCHES and bar.is_of_force and not self.has_in_force:
            return "the log does not say when a primary was left"
        answer = self.board.answers[bar.metric]
        if answer is not None and answer.answer == "no":
            return answer.why
        said = self.said.get((POLICY, key, bar.metric))
        if said is None or not said["n"]:
            return "no request to judge"
        return ""

    def _unjudged(self, bar: Bar) -> str:
        answer = self.board.answers[bar.metric]
        return NOT_IN_LOG if bar.is_default and answer is not None and answer.answer == "no" else CANNOT_TELL

    def _by_bounds(self, bar: Bar, key: str) -> tuple[float | None, float | None, str]:
        """Return between what the excess lies where the logs cannot tell of too many requests for an estimate, and that."""
        own, force = (self.said[name, key, bar.metric] for name in (POLICY, IN_FORCE))
        one = own if not self.board.is_told(POLICY, key, bar.metric) else force
        who = self.board.replays[POLICY if one is own else IN_FORCE].name
        why = f"under {label(who)} these logs cannot tell for {number(self._unknown(one), '%')} of {self._things(bar)}"
        limits = [own["bound_low"], own["bound_high"]]
        if bar.is_of_force:
            limits += [force["bound_low"], force["bound_high"]]
        if None in limits:
            return None, None, why
        ends = [_ends(limits[:2]), _ends(limits[2:] or [0.0, 0.0])]
        return (*_excess(bar, *ends), why)

    def _unknown(self, row: dict[str, Any]) -> float:
        one = metric(row["metric"])
        if one.source in {"desk", "signals"}:
            return self.board.carried[row["policy"], row["intent"], one.name].unknown
        return float(row["share_none"])

    def _things(self, bar: Bar) -> str:
        return {"desk": "the tickets", "signals": "the signal"}.get(metric(bar.metric).source, "the requests")


def _ends(limits: Sequence[float]) -> Any:
    """Return two bounds in the shape of values."""
    found = np.zeros((3, 1))
    found[LEAST], found[MOST] = limits
    return found


def _excess(bar: Bar, own: Any, force: Any) -> tuple[float | None, float | None]:
    """Return between what nine draws in ten are beyond the bar (positive: broken)."""
    force = np.zeros_like(own) if force is None else force
    worst, best = (LEAST, MOST) if bar.wants_more else (MOST, LEAST)
    low = interval(bar.excess(own[best], in_force=force[worst]))[1]
    return low, interval(bar.excess(own[worst], in_force=force[best]))[2]
