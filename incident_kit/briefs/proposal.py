"""Proposal: which of the rules on a board the numbers speak for, whom they would help or harm, and at what cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.briefs.brieftable import AS_LOGGED, BASELINES
from incident_kit.helpdesk.promises import moved
from incident_kit.scoring.scorecard import Board, together
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.helpdesk.consequences import Consequences
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy
    from incident_kit.scoring.replays import Replay

COST = "cost_per_request"
PROMISES = "promised times missed"
LOOK_UPS = "failed look-ups"
SOME, NEARLY_ALL = (
    0.05,
    0.95,
)  # shares of a kind of question: from here on a fate is told, from here on it is the only one
KEPT = "keeps answering"
BACKUP, BARE = "answered by the backup model", "answered by the backup model without tools"
_NO_MODEL = {"human": "goes to a person", "reject": "turned away", "queue": "waits in a queue"}


@dataclass(frozen=True)
class Gain:
    """What one measure would change under a policy, against what was logged, as a count out of ``out_of``.

    ``low`` and ``high`` are counts more (fewer, below zero), between which nine draws in ten lie; None where these logs cannot
    tell. ``verdict`` is ``better``, ``worse``, ``same``, or ``cannot tell`` where zero lies between them.
    """

    measure: str
    low: float | None
    high: float | None
    out_of: int | None
    verdict: str

    @property
    def between(self) -> str:
        """The size of the change, rounded outwards: ``between 40 and 70``."""
        if self.low is None or self.high is None:
            return ""
        ends = sorted((abs(self.low), abs(self.high)))
        low, high = _outward(ends[0], down=True), _outward(ends[1], down=False)
        return f"{number(low)}" if low == high else f"between {number(low)} and {number(high)}"


@dataclass(frozen=True)
class Change:
    """What becomes of one kind of question: as it was, and under the policy; ``verdict`` of all its measures together.

    ``fewer`` and ``more`` name the measures that surely change.
    """

    intent: str
    was: str
    would: str
    verdict: str
    fewer: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """One policy against what was logged: gains over all requests, what changes per kind of question, cost in US dollars."""

    policy: str
    gains: tuple[Gain, ...]
    changes: tuple[Change, ...]
    cost: tuple[float, float] | None
    seen: float
    requests: int
    reason: str = ""

    @property
    def verdict(self) -> str:
        """``better`` (surely in something, surely worse in nothing), ``mixed``, ``worse``, ``same`` or ``cannot tell``."""
        return _together([gain.verdict for gain in self.gains])

    @property
    def helped(self) -> float:
        """How many are surely helped, of all measures, less those surely harmed."""
        ends = [(gain.low, gain.high) for gain in self.gains if gain.verdict in {"better", "worse"}]
        return -sum(max(low or 0, high or 0, key=lambda end: -abs(end)) for low, high in ends)

    @property
    def question(self) -> str:
        """The decision that the numbers suggest, as a question; empty where they suggest none."""
        if self.verdict != "better":
            return ""
        moved = [one for one in self.changes if one.was != one.would or one.fewer or one.more]
        harmed = [said(one.intent) for one in moved if one.more]
        kinds = [said(one.intent) for one in moved] if 0 < len(moved) < len(self.changes) else []
        which = f" for {listed(kinds)} questions" if 0 < len(kinds) <= 3 else ""
        again = f", and look again at {listed(harmed[:3])} questions" if harmed else ""
        return f"Adopt the rules “{label(self.policy)}”{which}{again}?"


@dataclass(frozen=True)
class Measure:
    """A measure of people's trouble: its name on a board, what it counts, and whether less of it is better."""

    metric: str
    name: str
    question: str
    is_success: bool = False


def measures(slow_ms: int) -> tuple[Measure, ...]:
    """Return what people feel of an incident, in the order in which it is told."""
    return (
        Measure(f"slow_rate({slow_ms}ms)", f"waits over {number(slow_ms, 's')}", "waits"),
        Measure("error_rate", "requests without an answer", "errors"),
        Measure("tool_success_rate", LOOK_UPS, "tools", is_success=True),
        Measure("override_rate", "rewritten drafts", "overrides"),
    )


def candidates(incident: Incident, board: Board) -> list[str]:
    """Return the names of the policies on a board that one could adopt.

    Not among them: what was logged, the policy in force, and the two ends of the scale (never switch, always the backup).
    """
    check = incident.in_force.name if incident.in_force is not None else None
    return [name for name in board.replays if name not in AS_LOGGED | BASELINES and name != check]


def proposals(incident: Incident, board: Board, *, desk: Consequences | None = None) -> list[Proposal]:
    """Return every policy of a board that one could adopt, the one that surely helps most first.

    ``desk`` has what they would have done to promised times, where that is known.
    """
    found = candidates(incident, board)
    if not found:
        return []
    scored = _scored(board, incident.slow_ms, found)
    whole = scored.table()
    kinds = scored.table(by="intent")
    of = {one.metric: one for one in measures(incident.slow_ms)}
    out_of = _totals(scored)
    made = [
        _proposal(scored, name, whole=whole, kinds=kinds, of=of, out_of=out_of, promise=_promise(moved(desk, name)))
        for name in found
    ]
    order = {"better": 0, "mixed": 1, "cannot tell": 2, "same": 3, "worse": 4}
    return sorted(made, key=lambda one: (order[one.verdict], -one.helped))


def _scored(board: Board, slow_ms: int, found: Sequence[str]) -> Board:
    """Return the board of what people feel; its draws are shared with the given board where that is still to be scored."""
    names = [*(one.metric for one in measures(slow_ms)), COST]
    from incident_kit.scoring.metrics import metric

    front = replace(board, metrics=tuple(metric(name) for name in names))
    if "values" in board.__dict__:
        kept = {name: one for name, one in board.replays.items() if name in AS_LOGGED or name in found}
        return replace(front, replays=kept)
    together([board, front])
    return front


def _proposal(
    board: Board,
    name: str,
    *,
    whole: pl.DataFrame,
    kinds: pl.DataFrame,
    of: Mapping[str, Measure],
    out_of: Mapping[str, int],
    promise: tuple[Gain, ...],
) -> Proposal:
    rows = {row["metric"]: row for row in whole.filter(pl.col("policy") == name).iter_rows(named=True)}
    gains = (*(_gain(one, rows[key], out_of.get(key)) for key, one in of.items()), *promise)
    n = max((row["n"] or 0 for row in rows.values()), default=0)
    cost = rows[COST]
    ends = (cost["diff_low"], cost["diff_high"])
    seen = next((row["share_observed"] for row in rows.values() if row["share_observed"] is not None), 0.0)
    mine = kinds.filter(pl.col("policy") == name)
    kind: dict[str, list[Gain]] = {}
    for row in mine.iter_rows(named=True):
        if row["metric"] in of:
            kind.setdefault(row["intent"], []).append(_gain(of[row["metric"]], row, row["n"]))
    logged = next(one for key, one in board.replays.items() if key in AS_LOGGED)
    was, would = fates(board, logged), fates(board, board.replays[name])
    size = dict(mine.group_by("intent").agg(pl.col("n").max()).iter_rows())
    changes = [
        Change(
            intent, was.get(intent, KEPT), would.get(intent, KEPT), _together([one.verdict for one in found]),
            tuple(one.measure for one in found if one.verdict == "better"),
            tuple(one.measure for one in found if one.verdict == "worse"),
        )
        for intent, found in sorted(kind.items(), key=lambda one: (-(size.get(one[0]) or 0), one[0]))
    ]  # fmt: skip
    told = None if ends[0] is None or ends[1] is None else (ends[0] * n, ends[1] * n)
    return Proposal(name, gains, tuple(changes), told, seen, n, _reason(board.replays[name].policy))


def _reason(policy: Policy) -> str:
    """Return what the rules are for: as their author says, else in a few words."""
    if policy.reason:
        return policy.reason
    whole = len(policy.routes) == 1 and policy.routes[0].matches("")
    return "one limit for everything" if whole else "each kind of question has its own limit"


def _gain(of: Measure, row: Mapping[str, Any], out_of: int | None) -> Gain:
    """Return a measure's change as a count; a share of successes is turned over first."""
    low, high = row["diff_low"], row["diff_high"]
    if low is None or high is None or out_of is None:
        return Gain(of.name, None, None, out_of, "cannot tell")
    low, high = sorted((low * out_of, high * out_of))
    return _judged(of.name, *((-high, -low) if of.is_success else (low, high)), out_of)


def _promise(found: tuple[float, float, int] | None) -> tuple[Gain, ...]:
    """Return what would change of promised times; nothing where no clock waited for a request that is scored."""
    return () if found is None else (_judged(PROMISES, *found),)


def _judged(measure: str, low: float, high: float, out_of: int) -> Gain:
    # less than half a person is nobody
    if max(abs(low), abs(high)) < 0.5:
        return Gain(measure, low, high, out_of, "same")
    return Gain(measure, low, high, out_of, "worse" if low >= 1 else "better" if high <= -1 else "cannot tell")


def _together(verdicts: Sequence[str]) -> str:
    found = set(verdicts)
    if {"better", "worse"} <= found:
        return "mixed"
    return next((one for one in ("better", "worse", "cannot tell") if one in found), "same")


def _totals(board: Board) -> dict[str, int]:
    """Return what each measure is out of, as logged: requests, look-ups, drafts that somebody judged."""
    logged = next(one for key, one in board.replays.items() if key in AS_LOGGED)
    from incident_kit.scoring.metrics import JUDGED

    counted = board.window.cut(logged).select(
        pl.col("wait_ms").count().alias("slow"),
        pl.col("failed").count().alias("error_rate"),
        pl.col("tool_calls").filter(JUDGED).sum().alias("tool_success_rate"),
        pl.col("overridden").count().alias("override_rate"),
    )
    found = counted.row(0, named=True)
    slow = next(one.name for one in board.metrics if one.name.startswith("slow_rate"))
    return {slow: found.pop("slow"), **found}


def fates(board: Board, one: Replay) -> dict[str, str]:
    """Return what becomes of each kind of question under a replay, in words: the fates of one in twenty or more."""
    fate = (
        pl.when(pl.col("no_model").is_not_null())
        .then(pl.col("no_model").cast(pl.String).replace_strict(_NO_MODEL, default="gets a standard reply"))
        .when(pl.col("is_fallback").fill_null(value=False) & pl.col("tools_disabled").fill_null(value=False))
        .then(pl.lit(BARE))
        .when(pl.col("is_fallback").fill_null(value=False))
        .then(pl.lit(BACKUP))
        .when(pl.col("failed").fill_null(value=False))
        .then(pl.lit("gets no answer"))
        .otherwise(pl.lit(KEPT))
    )
    counted = board.window.cut(one).select("key", fate.alias("fate")).group_by("key", "fate").len()
    shares = counted.with_columns((pl.col("len") / pl.col("len").sum().over("key")).alias("share"))
    told: dict[str, list[tuple[float, str]]] = {}
    for key, name, _, share in shares.sort("key", "share", "fate", descending=[False, True, False]).iter_rows():
        told.setdefault(key, []).append((share, name))
    return {key: _fate({name: share for share, name in found}) for key, found in told.items()}


def _fate(shares: Mapping[str, float]) -> str:
    if shares.get(KEPT, 0.0) >= NEARLY_ALL:
        return KEPT
    others = [name for name, share in shares.items() if name != KEPT and share >= SOME]
    if not others:
        return KEPT
    said = " or ".join(others[:2])
    kept = shares.get(KEPT, 0.0)
    return said if kept < SOME else f"partly {said}" if kept >= 0.5 else f"mostly {said}"


def said(intent: str) -> str:
    """Return the name of a kind of question as people say it."""
    return label(intent.replace("-", " ").replace("_", " "))


def listed(items: Sequence[str]) -> str:
    """Return items as a list in a sentence: ``a, b and c``."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _outward(value: float, *, down: bool) -> int:
    """Return a count rounded to two digits that mean something, away from the claim."""
    if value < 1:
        return 0 if down else 1
    step = 10 ** max(math.floor(math.log10(value)) - 1, 0)
    return int((math.floor if down else math.ceil)(value / step - (0 if down else 1e-9)) * step)
