"""Model: complete outcomes of every request on every target, borrowed from real calls, as many times over as one likes.

Every draw is one world that the log allows (EVIDENCE.md section 4): what was logged stands in its own place, anything else is a
real call of the same target, tilted towards that draw's expectation for its cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import UnansweredQuestion
from incident_kit.estimation.cells import Cells
from incident_kit.estimation.deployments import Mixed, Parts
from incident_kit.estimation.evidence import NONE, Outcomes, standing
from incident_kit.estimation.fates import settle_fates
from incident_kit.estimation.observations import OUTCOMES, Observations, observe
from incident_kit.estimation.outcomerecords import NO_OUTCOME, OUTCOME
from incident_kit.estimation.pools import Pools
from incident_kit.estimation.posterior import Posterior, fit
from incident_kit.estimation.timebins import shortest_us, switches_us
from incident_kit.log import Log
from incident_kit.stats.survival import Curve

CENTRAL = -1  # the draw at the mean of every cell
TAILED = 50  # calls of a target and state that were not cut, for a survival curve of their own
TILTED = OUTCOMES[:3]  # error, tool failure, override; the last outcome is the latency
Floats = NDArray[np.float64]
Tail = tuple[Floats, Floats, Floats, Floats, NDArray[np.bool_]]


@dataclass(eq=False)
class Model:
    """The model of a log's outcomes: the estimator of :func:`incident_kit.replay`, in itself the central draw.

    Parameters
    ----------
    log
        The log that it is fitted on, and that it answers for.
    spans
        Declared incidents as (begin, end), microseconds since the epoch.
    is_fitted
        Without it nothing is fitted: donors are taken as they are, from the first evidence label that has enough.
    """

    log: Log
    spans: Sequence[tuple[int, int]] = ()
    is_fitted: bool = True
    lock: Any = field(default_factory=RLock, repr=False)  # routes are replayed side by side
    _tables: dict[Any, Any] = field(default_factory=dict, repr=False)
    _pools: dict[Any, Any] = field(default_factory=dict, repr=False)
    _wanted: dict[Any, Any] = field(default_factory=dict, repr=False)
    _tails: dict[int, Any] = field(default_factory=dict, repr=False)

    def __call__(
        self,
        log: Log,
        requests: NDArray[Any],
        targets: Sequence[str],
        *,
        attempts: int,
        without_tools: Sequence[bool] = (),
        timeout_ms: int | None = None,
    ) -> Outcomes:
        """Return the outcomes of the central draw: every cell at its mean."""
        central = self.at(CENTRAL)
        return central(log, requests, targets, attempts=attempts, without_tools=without_tools, timeout_ms=timeout_ms)

    def sent(self, sent_us: NDArray[np.int64]) -> Draw:
        """Return the central draw for requests that are first sent at other instants than they come."""
        return self.at(CENTRAL).sent(sent_us)

    def at(self, draw: int, *, draws: int = 1, seed: int = 0) -> Draw:
        """Return the estimator of one of ``draws`` draws; CENTRAL is the one at the mean of every cell."""
        return Draw(self, draw, draws, seed)

    @cached_property
    def observations(self) -> Observations:
        """What every logged call says of its target."""
        return observe(self.log)

    @cached_property
    def cells(self) -> Cells:
        """The calls by target, intent and time."""
        arrived = self.log.arrived_us
        window = (int(arrived[0]), int(arrived[-1])) if len(arrived) else None
        switches = switches_us(self.log, shortest_us=shortest_us(self.spans))
        return Cells.of(self.observations, incident=self.spans, switches=switches, window=window)

    @cached_property
    def posteriors(self) -> dict[str, Posterior | Mixed]:
        """The model of each outcome that the log holds anything of."""
        found: dict[str, Posterior | Mixed] = {}
        parts = Parts.of(self.cells, incident=self.spans) if self.is_fitted and len(self.observations) else None
        for name in OUTCOMES if self.is_fitted and len(self.observations) else ():
            try:
                found[name] = fit(self.cells, name) if parts is None else parts.fit(name)
            except UnansweredQuestion:
                continue
        return found

    def expected(self, draw: int, *, draws: int, seed: int) -> Floats:
        """Return a draw's expectations, ``[outcome, target, intent, bin]``; NaN where an outcome is nowhere known."""
        if draw == CENTRAL:
            return self._stacked({name: one.mean for name, one in self.posteriors.items()})
        wanted = self._wanted.get((draws, seed))
        if wanted is None:
            wanted = {name: one.draws(draws, seed=seed) for name, one in self.posteriors.items()}
            self._wanted.clear()
            self._wanted[draws, seed] = wanted
        return self._stacked({name: one[draw] for name, one in wanted.items()})

    def _stacked(self, found: dict[str, Floats]) -> Floats:
        unknown = np.full(self.cells.shape, np.nan)
        return np.stack([found.get(name, unknown) for name in OUTCOMES])

    @cached_property
    def cell(self) -> NDArray[np.int32]:
        """The cell of each request, ``intent * bins + bin``, by its arrival; the last intent is none."""
        intents, bins = self.cells.shape[1:]
        intent = np.where(self.log.intent < 0, intents - 1, self.log.intent).astype(np.int32)
        return intent * np.int32(bins) + self.cells.bin_of(self.log.arrived_us).astype(np.int32)

    @cached_property
    def request_keys(self) -> NDArray[np.uint64]:
        """A hash of each request's id."""
        return self.log.lots.borrow

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """``[without tools, target, cell]``: the evidence label of what is not in the log."""
        both = [self.cells.labels(without_tools=one) for one in (False, True)]
        return np.stack(both).reshape(2, self.cells.shape[0], int(np.prod(self.cells.shape[1:])))

    def is_extrapolated(self, target: NDArray[Any]) -> NDArray[np.bool_]:
        """Return for each request whether its outcome on a target (a code) is that of a degraded one, unseen at that time."""
        table = self.cells.is_extrapolated.reshape(self.cells.shape[0], int(np.prod(self.cells.shape[1:])))
        known = target < len(table)  # an end without a model has a code beyond them
        found = np.zeros(len(target), np.bool_)
        found[known] = table[target[known], self.cell[known]]
        return found

    @cached_property
    def bare(self) -> NDArray[np.bool_]:
        """Of each call, whether it was made without the tools that its request offered."""
        found = np.zeros(len(self.log.calls.request), np.bool_)
        found[self.observations.call] = self.observations.without_tools
        return found

    @cached_property
    def _told(self) -> NDArray[np.int32]:
        """Of each call, its place among the observations; -1: nowhere. A call's own, where it also tells of a hidden one."""
        found = np.full(len(self.log.calls.request), -1, np.int32)
        found[self.observations.call] = np.arange(len(self.observations), dtype=np.int32)
        return found

    def _values(self, calls: NDArray[np.int32]) -> tuple[Floats, Floats]:
        """Error, tool failure and override of calls; their latency over their own cell's, or / T where a timeout cut it.

        Calls of other intents and times are brought to a cell's level before they stand for it: else what they differ by among
        themselves would be taken for the spread of one cell, and p95 be too high.
        """
        it, at = self.observations, self._told[calls]
        is_cut, level = it.is_censored[at], np.ones(len(at))
        if "latency" in self.posteriors:
            level = self.posteriors["latency"].mean[it.target[at], it.intent[at], self.cells.bins[at]]
        own = np.where(is_cut, 0, it.latency_ms[at] / it.cap_ms / level)
        cut = np.where(is_cut, it.values["latency"][at], 0)
        return np.stack([it.values[name][at] for name in TILTED]), np.stack([own, cut])

    @cached_property
    def calls(self) -> tuple[Any, ...]:
        """Latency, error and whether a timeout cut it, of every call; and T."""
        of = self.log.calls
        is_cut = of.error == self.log.errors.index("timeout")
        return of.latency_ms, of.error, is_cut, self.observations.cap_ms

    def table(self, draw: int, target: int, *, without_tools: bool, draws: int, seed: int) -> tuple[Any, ...]:
        """Return how a draw borrows on one target.

        The donors' calls and relative latencies, where each cell's start, cumulative weights, chances of flips, levels.
        """
        from incident_kit.estimation import borrowing

        if (target, without_tools) not in self._pools:
            asked = np.zeros(int(np.prod(self.cells.shape[1:])), np.bool_)
            asked[self.cell] = True
            by_intent = asked.reshape(self.cells.shape[1:])
            by_intent |= by_intent.any(
                axis=1, keepdims=True
            )  # a retry, or one that was held, is sent later than it came
            asked &= self.labels[int(without_tools), target] < NONE
            pool = Pools.of(self.cells, target, without_tools=without_tools, wanted=asked)
            self._pools[target, without_tools] = pool, self._values(pool.members)
        name = draw, draws, seed
        if name not in self._tables:
            for other in [one for one in self._tables if one[0] != CENTRAL]:
                del self._tables[other]
            self._tables[name] = {}
        tables = self._tables[name]
        if (target, without_tools) not in tables:
            pool, (values, latency) = self._pools[target, without_tools]
            wanted = self.expected(draw, draws=draws, seed=seed)[:, target].reshape(len(OUTCOMES), -1)
            chances = np.zeros((len(TILTED), 2, wanted.shape[1]))
            tilted = borrowing.tilt(pool.starts, values, latency, wanted, chances)
            tables[target, without_tools] = (pool.members, latency[0], pool.starts, *tilted)
        found: tuple[Any, ...] = tables[target, without_tools]
        return found

    def tail(self, target: int) -> Tail:
        """Return a target's survival curves, as what a longer timeout would have seen is drawn from them.

        Those of healthy times, those of degraded ones (where there are too few calls of a kind, of all), and which bins are.
        """
        if target not in self._tails:
            it, of = self.observations, self.observations.target == target
            degraded = self.cells.is_degraded[target]
            parts: list[Floats] = []
            for state in (False, True):
                mine = of & (degraded[self.cells.bins] == state)
                mine = mine if (mine & ~it.is_censored).sum() >= TAILED else of
                curve = Curve.of(it.latency_ms[mine], it.is_censored[mine])
                parts += [curve.at_ms, curve.above]
            self._tails[target] = (*parts, degraded)
        found: Tail = self._tails[target]
        return found

    def failed(self, target: int) -> int:
        """Return the class of an error that is made up: the target's commonest but timeouts, else the log's."""
        calls, errors = self.log.calls, self.log.errors
        known = [code for code, name in enumerate(errors) if name not in {"ok", "timeout", "rejected", "cut"}]
        for error in (calls.error[calls.target == target], calls.error):
            counts = np.bincount(error[error > 0], minlength=len(errors))
            best = max(known, key=lambda code: (counts[code], -code), default=0)
            if counts[best]:
                return best
        return known[0] if known else errors.index("timeout")


def nothing(entries: int, attempts: int) -> Outcomes:
    """Return the outcomes of no requests."""
    shape = (entries, attempts, 0)
    return Outcomes(
        np.zeros(shape, OUTCOME),
        np.zeros(shape, np.int32),
        np.zeros((entries, 0), np.int8),
        np.zeros(shape, np.int8),
    )


@dataclass(frozen=True, eq=False)
class Draw:
    """One draw of a model: an estimator that gives complete outcomes; ``sent_us`` is when each request is first sent."""

    model: Model
    number: int
    draws: int
    seed: int
    sent_us: NDArray[np.int64] | None = None

    def sent(self, sent_us: NDArray[np.int64]) -> Draw:
        """Return the same draw for requests that are first sent at other instants than they come."""
        return replace(self, sent_us=sent_us)

    def __call__(
        self,
        log: Log,
        requests: NDArray[Any],
        targets: Sequence[str],
        *,
        attempts: int,
        without_tools: Sequence[bool] = (),
        timeout_ms: int | None = None,
    ) -> Outcomes:
        """Return the outcomes of requests on targets; ``log`` is the model's own."""
        from incident_kit.estimation import borrowing

        model = self.model
        if not len(requests):
            return nothing(len(targets), attempts)
        with model.lock:
            of_cells = (model.observations, model.cells, model.cell, model.labels, model.bare, model.request_keys)
            del of_cells  # found once, for all threads
        _, codes, records, donor = standing(log, requests, targets, attempts=attempts)
        settle_fates(log, requests, targets, codes, records, donor)
        changed = np.zeros(records.shape, np.int8)
        label = np.full(records.shape[::2], NONE, np.int8)
        offered, keys = log.tools_offered[requests], model.request_keys[requests]
        sent_us, cell = log.arrived_us[requests], model.cell[requests]
        if self.sent_us is not None:
            bins = model.cells.shape[2]
            sent_us = self.sent_us[requests]
            cell = cell - cell % bins + model.cells.bin_of(sent_us).astype(np.int32)
        ended = _ended(log, requests, targets, codes, attempts)
        timeout = np.array([timeout_ms or 0, log.errors.index("timeout"), 0], np.int64)
        for entry, target in enumerate(targets):
            if target not in codes:
                continue
            code = codes[target]
            timeout[2] = model.failed(code)
            bare = (offered > 0) & (len(without_tools) > 0 and bool(without_tools[entry]))
            borrowing.differ(bare, offered, model.bare, records[entry], donor[entry])
            draw_key = borrowing.key(self.seed, self.number, target)
            with model.lock:
                tail = model.tail(code)
            borrowing.outlast((draw_key, keys, cell), tail, timeout, records[entry], changed[entry])
            label[entry] = model.labels[bare.astype(np.int64), code, cell]
            for variant in (False, True):
                chosen = bare == variant
                if not chosen.any() or (records["kind"][entry][:, chosen] != NO_OUTCOME).all():
                    continue
                with model.lock:
                    table = model.table(self.number, code, without_tools=variant, draws=self.draws, seed=self.seed)
                who = draw_key, keys, cell, chosen, sent_us, model.cells.edges_us, ended[entry]
                into = records[entry], donor[entry], changed[entry]
                borrowing.borrow(who, table, model.calls, tail, timeout, into)
        return Outcomes(records, donor, label, changed)


def _ended(
    log: Log, requests: NDArray[Any], targets: Sequence[str], codes: Mapping[str, int], attempts: int
) -> NDArray[np.int16]:
    """Return over ``[entry, attempt number, request]`` how calls ended whose duration is not logged, -1 elsewhere.

    Without any such call it is empty for every entry.
    """
    request, target, number, error = log.untimed
    if not len(request):
        return np.zeros((len(targets), 0, 0), np.int16)
    column = np.full(len(log), -1, np.int64)
    column[requests] = np.arange(len(requests))
    found = np.full((len(targets), attempts, len(requests)), -1, np.int16)
    for entry, name in enumerate(targets):
        of = (target == codes.get(name, -2)) & (number < attempts) & (column[request] >= 0)
        found[entry, number[of], column[request[of]]] = error[of]
    return found
