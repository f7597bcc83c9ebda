"""Cells: calls counted by target, intent and time, and on what grounds each cell's outcome could be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.estimation.observations import Observations
from incident_kit.estimation.timebins import MOST, bin_edges

LABELS = ("observed", "same_cell", "same_time", "same_intent", "none")
SAME_CELL, SAME_TIME, SAME_INTENT, NONE = range(1, 5)
FEWEST = 5  # calls of other intents, or of other times, that make a label
GROUPS = 24  # intents that the model tells apart; the rarest share one group
_CELLS = 800  # observed ones, about: the cost of a fit is cubic in them
GUESS, ELSEWHERE = 0.6, 0.15  # how surely a suspect that its calls do not show is one; where another target's calls do
SURE = 5.0  # standard errors by which a target that an incident harms for sure is worse
_CALLS = 8  # in a cell on average, at least, or bins are made coarser
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """What the calls of each cell say of one outcome, over ``[target, group, bin]``.

    ``n`` calls with a known value (for delayed feedback: expected to be in), ``k`` the sum of their values, ``squares`` of
    their squares, ``deff`` the factor by which calls of one ticket blow up the variance of k.
    """

    n: Floats
    k: Floats
    squares: Floats
    deff: Floats


@dataclass(frozen=True, eq=False)
class Cells:
    """Calls in cells (target, intent, bin).

    Parameters
    ----------
    observations
        The calls.
    edges_us
        Edges of the bins, microseconds since the epoch; the first and last bin reach beyond them.
    spans
        ``[span, bin]``: how much of a bin lies in each declared incident, 0 to 1.
    suspects
        ``[target, span]``: whether an incident degraded a target, or may have.
    shown
        ``[target, span]``: how surely it did, 0 to 1: 1 where the target's own calls show it.
    group
        For each intent (the last: none) its place on the model's intent axis.
    """

    observations: Observations
    edges_us: NDArray[np.int64]
    spans: Floats
    suspects: NDArray[np.bool_]
    shown: Floats
    group: NDArray[np.int64]
    _counted: dict[Any, NDArray[np.int64]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        observations: Observations,
        *,
        incident: Sequence[tuple[int, int]] = (),
        switches: Any = (),
        suspects: Sequence[int] | None = None,
        window: tuple[int, int] | None = None,
    ) -> Cells:
        """Return the cells of calls.

        Parameters
        ----------
        incident
            Declared spans ``[begin, end)``, microseconds since the epoch.
        switches
            Instants that bins must not mix, such as :func:`timebins.switches_us`.
        suspects
            Codes of the targets that the incident degraded; by default found in the data: those whose calls differ inside
            it, and those that were the usual choice and were not seen inside it.
        window
            First and last instant to cover, where it is more than the calls do.
        """
        sent = observations.sent_us
        known = [*((int(sent.min()), int(sent.max())) if len(sent) else ()), *(window or ())]
        first, last = (min(known), max(known)) if known else (0, 1)
        group = _groups(observations)
        pairs = np.unique(observations.target.astype(np.int64) * (group.max() + 2) + group[observations.intent])
        most = int(min(MOST, _CELLS / max(len(pairs), 1), len(sent) / _CALLS / max(int(group.max()) + 1, 1)))
        edges = bin_edges(first, last, incident=incident, switches=np.asarray(switches, np.int64), most=max(most, 6))
        spans = _membership(edges, incident)
        which, shown = _suspects(observations, incident)
        if suspects is not None:
            which = np.zeros_like(which)
            which[list(suspects)] = True
            shown = which.astype(np.float64)
        return cls(observations, edges, spans, which, shown, group)

    def told_of(self, observations: Observations, *, incident: Sequence[tuple[int, int]]) -> Cells:
        """Return cells of the same bins and groups whose calls are told apart otherwise, such as by deployment."""
        which, shown = _suspects(observations, incident)
        return replace(self, observations=observations, suspects=which, shown=shown)

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many targets, intents (with one for none) and bins there are."""
        return self.observations.targets, self.observations.intents + 1, len(self.edges_us) - 1

    @property
    def groups(self) -> int:
        """How many intents the model tells apart."""
        return int(self.group.max()) + 1

    @cached_property
    def middle_us(self) -> Floats:
        """The middle of each bin, in microseconds since the epoch."""
        return self.edges_us[:-1] + np.diff(self.edges_us) / 2

    @cached_property
    def is_incident(self) -> NDArray[np.bool_]:
        """Which bins lie (by more than half) in a declared incident."""
        return np.asarray((self.spans > 0.5).any(axis=0))

    @cached_property
    def is_degraded(self) -> NDArray[np.bool_]:
        """``[target, bin]``: where a suspect is in its incident."""
        degraded: NDArray[np.bool_] = (self.suspects.astype(np.float64) @ (self.spans > 0.5)) > 0
        return degraded

    def bin_of(self, us: Any) -> NDArray[np.int64]:
        """Return the bin of each instant; before the first edge and after the last one the nearest bin."""
        found: NDArray[np.int64] = np.searchsorted(self.edges_us[1:-1], np.asarray(us), side="right")
        return found

    @cached_property
    def bins(self) -> NDArray[np.int32]:
        """The bin of each call."""
        return self.bin_of(self.observations.sent_us).astype(np.int32)

    @cached_property
    def _cell(self) -> NDArray[np.int32]:
        """The place of each call in a flat ``[target, group, bin]``."""
        if self.groups == self.shape[1]:
            return self._place
        it = self.observations
        place = it.target.astype(np.int32) * self.groups + self.group[it.intent].astype(np.int32)
        return place * self.shape[2] + self.bins

    @property
    def _flat(self) -> tuple[int, int, int]:
        return self.observations.targets, self.groups, self.shape[2]

    def counts(self, outcome: str) -> Counts:
        """Return what the calls say of an outcome."""
        it = self.observations
        value = it.value(outcome)
        known = np.isfinite(value)
        kept = slice(None) if known.all() else known
        cell, y = self._cell[kept], value[kept]
        weight = it.weights[outcome][kept] if outcome in it.weights else None
        size = int(np.prod(self._flat))
        n = np.asarray(np.bincount(cell, weight, minlength=size), np.float64)
        k = np.minimum(np.bincount(cell, y, minlength=size), n)
        squares = np.bincount(cell, y * y, minlength=size)
        deff = _design_effect(cell, y, it.ticket[kept], n, k)
        shaped = [np.asarray(values, np.float64).reshape(self._flat) for values in (n, k, squares, deff)]
        return Counts(*shaped)

    def n(self, outcome: str | None = None, *, without_tools: bool | None = None) -> NDArray[np.int64]:
        """Return how many calls (with a known outcome) each ``[target, intent, bin]`` has; the last intent is none."""
        if (outcome, without_tools) not in self._counted:
            it = self.observations
            kept = np.ones(len(it), np.bool_) if outcome is None else np.isfinite(it.value(outcome))
            if without_tools is not None:
                kept &= it.without_tools == without_tools
            found = np.bincount(self._place[kept], minlength=int(np.prod(self.shape))).reshape(self.shape)
            found.setflags(write=False)
            self._counted[outcome, without_tools] = found
        return self._counted[outcome, without_tools]

    @cached_property
    def _place(self) -> NDArray[np.int32]:
        """The place of each call in a flat ``[target, intent, bin]``; the last intent is none."""
        it, (_, intents, bins) = self.observations, self.shape
        place = it.target.astype(np.int32) * intents + np.where(it.intent < 0, it.intents, it.intent)
        return place * bins + self.bins

    def labels(self, *, without_tools: bool = False, outcome: str | None = None) -> NDArray[np.int8]:
        """Return the evidence label of every ``[target, intent, bin]``, a position in LABELS.

        Calls of the other variant (with tools, or with the tools taken away) count too, and make a label one weaker.
        """
        own = _labels(self.n(outcome, without_tools=without_tools))
        other = _labels(self.n(outcome, without_tools=not without_tools))
        return np.minimum(own, np.minimum(other + 1, NONE)).astype(np.int8)

    def tools_differ(self, *, without_tools: bool = False, outcome: str | None = None) -> NDArray[np.bool_]:
        """Return where a label rests on calls of the other variant: its tools differ."""
        own = _labels(self.n(outcome, without_tools=without_tools))
        return np.asarray(self.labels(without_tools=without_tools, outcome=outcome) < own)

    def label(self, target: Any, intent: Any, bin_: Any, *, without_tools: Any = False) -> NDArray[np.int8]:
        """Return the evidence label of each call that would be made, a position in LABELS."""
        bare = np.broadcast_to(np.asarray(without_tools, np.bool_), np.shape(target))
        given, taken = (self.labels(without_tools=one)[target, intent, bin_] for one in (False, True))
        return np.asarray(np.where(bare, taken, given), np.int8)

    @cached_property
    def mixing(self) -> Floats:
        """``[target, bin]``: how unlike in time, inside the bin, a target's calls and all others are (Kolmogorov's distance).

        0: at the same times, or no other calls; 1: all before or all after them, as probes are.
        """
        targets, _, bins = self.shape
        found = np.zeros((targets, bins))
        order = np.argsort(self.observations.sent_us, kind="stable")
        sent, edges = self.observations.sent_us[order], self.edges_us[1:-1]
        starts = np.concatenate([[0], np.searchsorted(sent, edges, side="left"), [len(sent)]])
        by_target = self.observations.target[order]
        for b in range(bins):
            in_bin = by_target[starts[b] : starts[b + 1]]
            for a in np.unique(in_bin):
                own = in_bin == a
                if not own.all():
                    gap = np.cumsum(own) / own.sum() - np.cumsum(~own) / (~own).sum()
                    found[a, b] = np.abs(gap).max()
        return found

    @cached_property
    def is_extrapolated(self) -> NDArray[np.bool_]:
        """``[target, intent, bin]``: a degraded target in its incident, known by other times only: show its bounds too."""
        return np.asarray((self.labels() == SAME_INTENT) & self.is_degraded[:, None, :])


def _labels(n: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return labels by counts of calls ``[target, intent, bin]``."""
    labels = np.full(n.shape, NONE, np.int8)
    labels[np.broadcast_to((n.sum(axis=2, keepdims=True) - n) >= FEWEST, n.shape)] = SAME_INTENT
    labels[(n.sum(axis=1, keepdims=True) - n) >= FEWEST] = SAME_TIME
    labels[n > 0] = SAME_CELL
    return labels


def _groups(it: Observations) -> NDArray[np.int64]:
    """Return the group of each intent, the last element being that of no intent: the commonest have their own."""
    calls = np.bincount(np.where(it.intent < 0, it.intents, it.intent), minlength=it.intents + 1)
    if len(calls) <= GROUPS:
        return np.arange(len(calls))
    order = np.argsort(-calls, kind="stable")
    group = np.full(len(calls), GROUPS - 1, np.int64)
    group[order[: GROUPS - 1]] = np.arange(GROUPS - 1)
    return group


def _membership(edges: NDArray[np.int64], incident: Sequence[tuple[int, int]]) -> Floats:
    """Return ``[span, bin]``: the share of each bin that lies in each span."""
    found = np.zeros((len(incident), len(edges) - 1))
    for i, (begin, end) in enumerate(incident):
        shared = np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin)
        found[i] = np.clip(shared, 0, None) / np.diff(edges)
    return found


def _suspects(it: Observations, incident: Sequence[tuple[int, int]]) -> tuple[NDArray[np.bool_], Floats]:
    """Return ``[target, span]``: whose calls differ in a third of a span from outside all, or a usual choice, unseen there.

    And how surely: 1 where its calls differ in what no other span covers, else a guess, a low one where another target's do.
    """
    found, shown = np.zeros((it.targets, len(incident)), np.bool_), np.zeros((it.targets, len(incident)), np.bool_)
    within = [(it.sent_us >= begin) & (it.sent_us < end) for begin, end in incident]
    outside = ~np.any(within, axis=0) if within else np.ones(len(it), np.bool_)
    values = [it.value(name) for name in it.values]
    usual = np.bincount(it.target[outside], minlength=it.targets) >= 0.2 * max(int(outside.sum()), 1)
    for s, (begin, end) in enumerate(incident):
        third = np.where(within[s], (it.sent_us - begin) * 3 // max(end - begin, 1), -1)
        alone = within[s] & ~np.any([one for i, one in enumerate(within) if i != s] or [~within[s]], axis=0)
        for target in range(it.targets):
            of = it.target == target
            parts = [of & (third == i) for i in range(3)] + [of & (third >= 0)]
            unseen = min(int(part.sum()) for part in parts) < 10
            differs = [any(_differs(value, part, of & outside) for value in values) for part in parts]
            found[target, s] = any(differs) or bool(unseen and usual[target])
            mine = [part & alone for part in parts]
            shown[target, s] = any(_differs(value, part, of & outside, sure=SURE) for value in values for part in mine)
    guess = np.where(shown.any(axis=0), ELSEWHERE, GUESS)
    return found, np.where(shown, 1.0, np.where(found, guess, 0.0))


def _differs(value: Floats, inside: NDArray[np.bool_], outside: NDArray[np.bool_], *, sure: float = 3.0) -> bool:
    """Return whether values are clearly worse inside: by ``sure`` standard errors, and by half as much again (or 5 points)."""
    a, b = (value[rows & np.isfinite(value)] for rows in (inside, outside))
    if min(len(a), len(b)) < 10:
        return False
    error = float(np.sqrt(a.var() / len(a) + b.var() / len(b)))
    return float(a.mean() - b.mean()) > max(sure * error, min(0.5 * float(b.mean()), 0.05))


def _design_effect(cell: NDArray[np.int32], y: Floats, ticket: NDArray[Any], n: Floats, k: Floats) -> Floats:
    """Return 1 + (m - 1) ICC a cell: m is how many of its calls share a ticket, as seen by a call of it."""
    deff = np.ones(len(n))
    has = ticket >= 0
    if not has.any():
        return deff
    mean = k / np.maximum(n, 1e-12)
    both = np.stack([cell[has], ticket[has]])
    (of, _), where = np.unique(both, axis=1, return_inverse=True)
    where = where.ravel()
    size = np.bincount(where)
    rest = (y - mean[cell])[has]
    total, squares = np.bincount(where, rest), np.bincount(where, rest**2)
    pairs, spread = float((size * (size - 1)).sum()), float(squares.sum() / max(has.sum(), 1))
    if pairs < 20 or spread <= 0:
        return deff
    icc = float(np.clip((total**2 - squares).sum() / (pairs * spread), 0, 1))
    alike = np.bincount(of, size * size.astype(np.float64), minlength=len(n))
    alike += np.bincount(cell[~has], minlength=len(n))
    calls = np.bincount(cell, minlength=len(n))
    np.maximum(deff, 1 + (alike / np.maximum(calls, 1) - 1) * icc, out=deff)
    return deff
