"""Consequences: which SLA targets a replayed policy would have kept or missed, between bounds (EVIDENCE.md section 6).

An answer of a model seldom stops a clock: an agent's reply does. A policy moves that reply only as far as the agent waited
for the model. At most every second of waiting held the reply up, at least none that fell outside the time in which the
ticket had an agent. All later events stay as logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.estimation.evidence import NONE
from incident_kit.helpdesk.agentwaits import AgentWaits, agent_waits
from incident_kit.helpdesk.handling import ACCEPTED, REDONE, UNKNOWN, Handling, fates, handling
from incident_kit.helpdesk.joining import TicketJoin, join_tickets
from incident_kit.scoring.outcomes import WORST_MS
from incident_kit.scoring.replays import Replay, on_draw
from incident_kit.stats.draws import normals, uniforms
from incident_kit.stats.intervals import interval
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.scoring.scorecard import Board

WAITS, HANDLING = "waits", "waits and redone work"
Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
_TABLE: dict[str, Any] = {
    "policy": pl.String, "assuming": pl.String, "clocks": pl.Int64, "logged": pl.Int64, "avoided": pl.Float64,
    "avoided_low": pl.Float64, "avoided_high": pl.Float64, "caused": pl.Float64, "caused_low": pl.Float64,
    "caused_high": pl.Float64, "undetermined": pl.Float64,
}  # fmt: skip
_CHANGES: dict[str, Any] = {
    "policy": pl.String, "assuming": pl.String, "ticket_id": pl.String, "metric": pl.String, "instance_no": pl.Int32,
    "due_at": pl.Datetime("us", "UTC"), "change": pl.String, "share": pl.Float64, "is_sure": pl.Boolean,
}  # fmt: skip
COUNTS = ("avoided", "avoided_low", "avoided_high", "caused", "caused_low", "caused_high", "undetermined")


@dataclass(frozen=True)
class Effect:
    """What one replay does to each clock, arrays ``[clock]``.

    ``avoided`` and ``caused`` are the chances, were every wait critical; ``_low`` what holds of the least that can be
    claimed, ``_high`` of the most; ``undetermined`` what the logs do not settle: a join by time, an outcome without
    evidence, a margin within the clock's precision.
    """

    avoided: Numbers
    avoided_low: Numbers
    avoided_high: Numbers
    caused: Numbers
    caused_low: Numbers
    caused_high: Numbers
    undetermined: Numbers


@dataclass(frozen=True)
class Consequences:
    """Avoided and caused breaches of every policy on a board.

    ``effects`` has, by policy and assumption, the means over draws of :class:`Effect`'s arrays, and ``counts`` each of their
    sums, one a draw.
    """

    waits: AgentWaits
    handling: Handling
    join: TicketJoin
    scored: Flags
    effects: Mapping[tuple[str, str], Effect]
    counts: Mapping[tuple[str, str], Mapping[str, Numbers]]

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row a policy and assumption, of the clocks that waited for a scored request.

        Columns: policy, assuming (``waits``: the answers' waits move; ``waits and redone work``: so does what agents do by
        hand, :attr:`handling`), clocks, logged (breaches), avoided and caused (means over draws, every wait critical), each
        with _low and _high (where nine draws in ten lie, from the least that can be claimed to the most), undetermined
        (clocks whose verdict hangs on what the logs do not settle).
        """
        logged = int((self._late & self.scored).sum())
        rows = []
        for (policy, assuming), counts in self.counts.items():
            row: dict[str, Any] = {"policy": policy, "assuming": assuming, "clocks": int(self.scored.sum())}
            ends = {name: interval(values) for name, values in counts.items()}
            for kind in ("avoided", "caused"):
                row |= {
                    kind: ends[kind][0],
                    f"{kind}_low": ends[f"{kind}_low"][1],
                    f"{kind}_high": ends[f"{kind}_high"][2],
                }
            rows.append(row | {"logged": logged, "undetermined": ends["undetermined"][0]})
        return pl.DataFrame(rows, schema=_TABLE)

    @cached_property
    def changes(self) -> pl.DataFrame:
        """One row a policy, assumption and clock that it may change, at the computed due time.

        Columns: policy, assuming, ticket_id, metric, instance_no, due_at, change (avoided, caused, or undetermined: only what
        the logs do not settle would change it), share (of draws, every wait critical), is_sure (it also holds of the least
        that can be claimed, in most draws).
        """
        parts = []
        keys = self.waits.clocks.select("ticket_id", "metric", "instance_no").with_columns(
            pl.Series("due_at", self.waits.critical_us).cast(pl.Datetime("us", "UTC"))
        )
        for (policy, assuming), effect in self.effects.items():
            for change in ("avoided", "caused", "undetermined"):
                share = getattr(effect, change)
                sure = getattr(effect, f"{change}_low", np.zeros(len(share))) >= 0.5
                one = keys.with_columns(
                    pl.lit(change).alias("change"), pl.Series("share", share), pl.Series("is_sure", sure)
                )
                of = [pl.lit(policy).alias("policy"), pl.lit(assuming).alias("assuming")]
                parts.append(one.filter(pl.Series((share > 0) & self.scored)).with_columns(of))
        empty = pl.DataFrame(schema=_CHANGES)
        every = [part.select(pl.col(name).cast(kind) for name, kind in _CHANGES.items()) for part in parts]
        return pl.concat([empty, *every]).sort("policy", "assuming", "due_at", "ticket_id", "metric", "instance_no")

    def series(self, bins: pl.DataFrame, *, assuming: str = HANDLING) -> pl.DataFrame:
        """Return for each interval of ``bins`` (at, until) the targets missed at their due times, one row a policy.

        Columns: at, until, policy, evidence (``observed`` as logged, else ``estimated``), missed_targets (of a policy: the
        mean, every wait critical).
        """
        due = pl.Series("due", self.waits.critical_us).cast(pl.Datetime("us", "UTC"))
        parts = []
        lines: list[tuple[str, str, Numbers]] = [("as logged", "observed", self._late.astype(np.float64))]
        for (policy, of), effect in self.effects.items():
            if of == (assuming if (policy, assuming) in self.effects else WAITS):
                lines.append((policy, "estimated", self._late - effect.avoided + effect.caused))
        spans = bins.select("at", "until").unique().sort("at")
        for policy, evidence, chance in lines:
            missed = pl.DataFrame({"due": due, "chance": chance * self.scored}).sort("due")
            total = np.concatenate([[0.0], np.cumsum(missed["chance"].to_numpy())])
            begin, end = (missed["due"].search_sorted(spans[name]).to_numpy() for name in ("at", "until"))
            named = (pl.lit(policy).alias("policy"), pl.lit(evidence).alias("evidence"))
            parts.append(spans.with_columns(*named, pl.Series("missed_targets", total[end] - total[begin])))
        return pl.concat(parts)

    @property
    def _late(self) -> Flags:
        critical = self.waits.critical_us
        return (self.waits.stopped_us > critical) & (critical > 0)

    def __str__(self) -> str:
        if not len(self.waits):
            return "SLA: no clock that ended is loaded."
        if self.table.is_empty():
            return "SLA: no policy to judge."
        first = self.table.row(0, named=True)
        lines = [f"SLA targets missed as logged: {number(first['logged'])} of {number(first['clocks'])} clocks."]
        for row in self.table.iter_rows(named=True):
            said = [f"{_count(row, kind)} {kind}" for kind in ("avoided", "caused")]
            open_ = f"; undetermined {number(round(row['undetermined']))}" if row["undetermined"] >= 0.5 else ""
            lines.append(f"  {label(row['policy'])}, if {row['assuming']} move: {', '.join(said)}{open_}")
        lines += self.handling.sentences
        lines.append(
            "From the least that can be claimed to the most; seconds of waiting seldom cross a target of an hour."
        )
        return "\n".join(lines)


def _count(row: dict[str, Any], kind: str) -> str:
    value, low, high = (row[f"{kind}{end}"] for end in ("", "_low", "_high"))
    said = number(round(value))
    return said if low == high == value else f"{said} ({number(round(low))} to {number(round(high))})"


def consequences(board: Board, *, draws: int | None = None) -> Consequences:
    """Return which breaches each policy of a board would have avoided or caused, on the board's draws or fewer."""
    found = _Judge.of(board.incident)
    scored = np.bincount(found.waits.clock[board.window.rows[found.waits.request]], minlength=len(found.waits)) > 0
    size = board.draws if draws is None else min(draws, board.draws)
    noise = normals(uniforms(board.seed, "handling", size=size)) if size else np.zeros(1)
    sums: dict[tuple[str, str], dict[str, Numbers]] = {}
    counts: dict[tuple[str, str], dict[str, list[float]]] = {}
    for name, central in board.replays.items():
        if not central.policy.routes:
            continue
        for one, z in zip(_drawn(central, size, board), noise.tolist(), strict=True):
            for assuming, effect in found.effects(one, z=z):
                key = name, assuming
                totals = sums.setdefault(key, {kind: np.zeros(len(scored)) for kind in COUNTS})
                kept = counts.setdefault(key, {kind: [] for kind in COUNTS})
                for kind in COUNTS:
                    values = getattr(effect, kind)
                    totals[kind] += values
                    kept[kind].append(float(values[scored].sum()))
    effects = {
        key: Effect(**{kind: total / len(noise) for kind, total in totals.items()}) for key, totals in sums.items()
    }
    told = {key: {kind: np.array(values) for kind, values in kept.items()} for key, kept in counts.items()}
    return Consequences(found.waits, found.handling, found.join, scored, effects, told)


def missed_by(incident: Incident, *, draws: int, seed: int) -> Callable[[Replay, int], float]:
    """Return what counts the targets that a replay misses over the whole log: of a replay, on the draw of that number.

    It is ``logged - avoided + caused`` of :attr:`Consequences.table`, were every wait critical; with no draws, of the means.
    """
    found = _Judge.of(incident)
    scored = np.bincount(found.waits.clock, minlength=len(found.waits)) > 0
    noise = normals(uniforms(seed, "handling", size=draws)) if draws else np.zeros(1)
    return lambda one, draw: float(found.missed(one, z=float(noise[draw]))[scored].sum())


def _moves(shift: Numbers, by: Sequence[Numbers], chance: Numbers) -> list[tuple[Numbers, Numbers]]:
    """Return by how much the stops move where nothing is redone and where it is, each with its chance."""
    return [(shift + move, np.abs(1 - then - chance)) for then, move in enumerate(by)]


def _drawn(central: Replay, size: int, board: Board) -> Iterator[Replay]:
    """Yield so many of the board's draws of a replay, the central one where there are none."""
    for draw in range(max(size, 1)):
        yield on_draw(central, draw, draws=board.draws, seed=board.seed) if size else central


@dataclass(frozen=True)
class _Judge:
    """What every replay is judged against: the clocks, the log's own waits, what redone work costs."""

    incident: Incident
    join: TicketJoin
    waits: AgentWaits
    handling: Handling
    held: Numbers
    held_assigned: Numbers

    @classmethod
    def of(cls, incident: Incident) -> _Judge:
        join = join_tickets(incident)
        waits = agent_waits(incident, join)
        log = incident.log
        return cls(
            incident, join, waits, handling(log, waits),
            waits.held_s(log.wait_ms), waits.held_s(log.wait_ms, assigned=True),
        )  # fmt: skip

    def effects(self, one: Replay, *, z: float) -> Iterator[tuple[str, Effect]]:
        """Yield what a replay does to each clock, under both assumptions where the second can be made."""
        waits, log = self.waits, self.incident.log
        told = one.outcome.evidence != NONE
        wait = np.where(told & (one.outcome.wait_ms >= 0), one.outcome.wait_ms, log.wait_ms)
        least, most = np.where(told, wait, 0), np.where(told, wait, WORST_MS)
        shift = waits.held_s(wait) - self.held
        ends = [waits.held_s(end) - self.held for end in (least, most)]
        inner = [waits.held_s(end, assigned=True) - self.held_assigned for end in (least, most)]
        sure = ~waits.any_of(~waits.is_sure)
        # of an unsure join nothing can be claimed at the least
        inner = [np.where(sure, end, 0.0) for end in inner]
        open_ = ends if not told.all() else [shift, shift]
        yield WAITS, self._judged([(shift, 1.0)], ends, inner, open_)
        if self.handling.rows.is_empty():
            return
        was, chance, untold = self._redone(one)
        by = self._by_hand(was, z)
        outcomes = _moves(shift, by, chance)
        possible = np.stack([np.where((p > 0) | untold, x, outcomes[1 - i][0]) for i, (x, p) in enumerate(outcomes)])
        least_most = possible.min(axis=0), possible.max(axis=0)
        # at the most, all of a redone clock's time was the redoing
        whole = np.where((was == REDONE) & ((chance < 1) | untold), -np.maximum(self.handling.took_s, 0), 0.0)
        far = [np.minimum(ends[0] + whole, least_most[0]), np.maximum(ends[1], least_most[1])]
        open_ = [
            end + np.where(untold, limit, 0.0)
            for end, limit in zip(open_, (np.minimum(*by), np.maximum(*by)), strict=True)
        ]
        yield HANDLING, self._judged(outcomes, far, inner, open_)

    def missed(self, one: Replay, *, z: float) -> Numbers:
        """Return each clock's chance of being missed, waits and redone work moving, as :meth:`effects` has it."""
        log, told = self.incident.log, one.outcome.evidence != NONE
        wait = np.where(told & (one.outcome.wait_ms >= 0), one.outcome.wait_ms, log.wait_ms)
        moves = [(self.waits.held_s(wait) - self.held, np.ones(()))]
        if not self.handling.rows.is_empty():
            was, chance, _ = self._redone(one)
            moves = _moves(moves[0][0], self._by_hand(was, z), chance)
        known = self.waits.critical_us > 0
        margin = (self.waits.critical_us - self.waits.stopped_us) / 1e6
        return np.where(known, sum(p * (by > margin) for by, p in moves), 0.0)

    def _by_hand(self, was: NDArray[np.int8], z: float) -> list[Numbers]:
        """Return by how many seconds a clock moves where nothing is redone, and where it is."""
        added, taken = self.handling.seconds(self.waits.clocks["metric"], z=z)
        return [np.where(was == REDONE, -taken, 0.0), np.where(was == ACCEPTED, added, 0.0)]

    def _judged(
        self, outcomes: list[tuple[Numbers, Any]], ends: list[Numbers], inner: list[Numbers], open_: list[Numbers]
    ) -> Effect:
        """Return the verdicts where each stop moves by so many seconds.

        ``outcomes`` have chances, ``ends`` are the most that it may move, ``inner`` the least that can be claimed, between
        two values each; between those of ``open_`` the logs settle nothing.
        """
        waits = self.waits
        known = waits.critical_us > 0
        margin = (waits.critical_us - waits.stopped_us) / 1e6
        late = margin < 0

        def is_late(by: Numbers) -> Flags:
            return np.asarray(by > margin)

        chance = sum(p * is_late(by) for by, p in outcomes)
        surely, possibly = is_late(inner[0]) & is_late(inner[1]), is_late(inner[0]) | is_late(inner[1])
        avoided, caused = late & known, ~late & known
        moved = np.any([by != 0 for by, _ in outcomes], axis=0) | (open_[0] != open_[1])
        precision = waits.clocks["precision_s"].fill_null(0.0).to_numpy()
        close = np.any([(by != 0) & (np.abs(by - margin) < precision) for by, _ in outcomes], axis=0)
        guessed = waits.any_of(~waits.is_sure) & np.any([is_late(by) != late for by, _ in outcomes], axis=0)
        return Effect(
            avoided=avoided * (1 - chance),
            avoided_low=(avoided & ~possibly).astype(np.float64),
            avoided_high=(avoided & ~is_late(ends[0])).astype(np.float64),
            caused=caused * chance,
            caused_low=(caused & surely).astype(np.float64),
            caused_high=(caused & is_late(ends[1])).astype(np.float64),
            undetermined=(
                (((is_late(open_[0]) != is_late(open_[1])) | close | guessed) & known) | (~known & moved)
            ).astype(np.float64),
        )

    def _redone(self, one: Replay) -> tuple[NDArray[np.int8], Numbers, Flags]:
        """Return each clock's fate in the log, the chance of redone work in a replay, and whether the logs cannot tell.

        A borrowed answer that nobody reviewed says nothing: then the share among those of the same intent and target that
        somebody did stands for it.
        """
        frame = one.outcomes
        failed = (frame["failed"].fill_null(value=False) | frame["no_model"].is_not_null()).to_numpy()
        fate = fates(frame["overridden"], failed)
        usual = (
            frame.select("intent", "served")
            .with_columns(pl.Series("redone", np.where(fate == UNKNOWN, np.nan, fate)).fill_nan(None))
            .with_columns(
                pl.col("redone")
                .fill_null(pl.col("redone").mean().over("intent", "served"))
                .fill_null(pl.col("redone").mean())
            )["redone"]
            .fill_null(0.0)
            .to_numpy()
        )
        pair, was = self.handling.pair, self.handling.redone
        chance, untold = np.zeros(len(was)), np.zeros(len(was), np.bool_)
        known = pair >= 0
        first = self.waits.request[pair[known]]
        chance[known], untold[known] = usual[first], one.outcome.evidence[first] == NONE
        return was, chance, untold
