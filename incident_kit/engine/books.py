"""Books: what became of a log's requests under a policy, in arrays that the runs of its routes are entered into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.log import UNKNOWN, Log

if TYPE_CHECKING:
    from incident_kit.engine.runs import Run
    from incident_kit.policies.routes import Route

KEPT = ("k", "n", "first", "entry", "attempts", "state", "exact", "probe", "estimated")


@dataclass(frozen=True)
class Outcome:
    """What the policy's decisions led to, arrays ``[request]``; as logged where the request was served as logged.

    ``target`` answered (or was tried last), ``call`` is the position in ``log.calls`` of the call behind the outcome,
    ``error`` 0 is ok and -1 unknown, ``evidence`` a position in ``evidence.LABELS``, ``no_model`` the kind of an end without
    a model (machine.TEMPLATE, HUMAN, REJECT), 0 of any other, ``changed`` what the outcome no longer has of that call (flags
    of :mod:`incident_kit.estimation.borrowing`).
    """

    target: NDArray[np.int16]
    wait_ms: NDArray[np.int32]
    error: NDArray[np.int16]
    call: NDArray[np.int32]
    evidence: NDArray[np.int8]
    tools_disabled: NDArray[np.bool_]
    no_model: NDArray[np.int8]
    changed: NDArray[np.int8]


@dataclass(frozen=True)
class Book:
    """The requests of a log (or those at ``rows``, in order), at first all as logged.

    ``records`` are the fields of the kernel's DECISION records that outlive them.
    """

    log: Log
    rows: NDArray[np.intp] | None
    records: dict[str, NDArray[Any]]
    first_target: NDArray[np.int16]
    outcome: Outcome
    same_as_log: NDArray[np.bool_]
    reason: NDArray[np.int8]

    @classmethod
    def as_logged(cls, log: Log, rows: NDArray[np.intp] | None = None) -> Book:
        """Return the book of a log before any policy."""
        from incident_kit.engine import kernel

        def own(values: NDArray[Any]) -> NDArray[Any]:
            return values.copy() if rows is None else values[rows]

        size = len(log) if rows is None else len(rows)
        records = {name: np.zeros(size, kernel.DECISION[name]) for name in KEPT}
        records["exact"][:] = 1
        first, served = own(log.first_target), own(log.served)
        outcome = Outcome(
            target=np.where(served >= 0, served, first).astype(np.int16),
            wait_ms=own(log.wait_ms),
            error=own(log.error),
            call=np.full(size, UNKNOWN, np.int32),
            evidence=np.zeros(size, np.int8),
            tools_disabled=np.zeros(size, np.bool_),
            no_model=np.zeros(size, np.int8),
            changed=np.zeros(size, np.int8),
        )
        return cls(log, rows, records, first, outcome, np.ones(size, np.bool_), np.zeros(size, np.int8))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return its arrays by name; the same ones, not copies."""
        of_outcome = {one.name: getattr(self.outcome, one.name) for one in fields(Outcome)}
        own = {"first_target": self.first_target, "same_as_log": self.same_as_log, "reason": self.reason}
        return {f"record {name}": column for name, column in self.records.items()} | of_outcome | own

    def copy(self) -> Book:
        """Return a book that later runs do not change."""
        of_outcome = {one.name: getattr(self.outcome, one.name).copy() for one in fields(Outcome)}
        return replace(
            self,
            records={name: column.copy() for name, column in self.records.items()},
            first_target=self.first_target.copy(),
            outcome=Outcome(**of_outcome),
            same_as_log=self.same_as_log.copy(),
            reason=self.reason.copy(),
        )

    def restore(self, logged: Book, run: Run) -> None:
        """Put the requests of a run back to what a book of the same requests, as logged, has of them."""
        where, _ = self._places(run)
        for column, of in zip(self.columns().values(), logged.columns().values(), strict=True):
            column[where] = of[where]

    def enter(self, run: Run, route: Route, code: Mapping[str, int]) -> None:
        """Enter one route's run; ``code`` are the targets' and the labels of ends without a model."""
        from incident_kit.engine.settlement import settle

        where, mine = self._places(run)
        kept, result = slice(None) if mine is None else mine, self.outcome
        chain = np.array([code[entry.label] for entry in route.chain], np.int16)
        without_tools = route.on_fallback.tools == "disabled"
        no_model = np.zeros(len(where), np.int8) if run.no_model is None else run.no_model[kept]
        settle(
            where, run.own[kept], run.call[kept], run.label[kept], no_model, chain, route.degraded_start,
            len(route.primaries), without_tools, self._logged, tuple(self.records.values()),
            (self.first_target, self.same_as_log, result.tools_disabled, result.call, result.target, result.wait_ms,
             result.error, result.evidence),
        )  # fmt: skip
        result.no_model[where] = no_model
        result.changed[where] = run.changed[kept]
        if run.reason is not None:
            self.reason[where] = run.reason[kept]

    @cached_property
    def _logged(self) -> tuple[NDArray[Any], ...]:
        """What settlement compares with, of its own requests."""
        log, rows = self.log, self.rows
        columns = (log.first_target, log.served, log.error, log.tools_offered, log.without_tools, log.is_complete)
        if rows is None:
            return *columns, log.calls.starts
        starts = np.concatenate([[0], np.cumsum(np.diff(log.calls.starts)[rows])]).astype(np.int32)
        found = [*(column[rows] for column in columns), starts]
        for column in found:
            column.setflags(write=False)  # compiled code takes arrays that can be written to as others
        return tuple(found)

    @cached_property
    def _place(self) -> NDArray[np.int64]:
        """Where each request of the log stands here; -1: nowhere."""
        found = np.full(len(self.log), UNKNOWN, np.int64)
        found[self.rows] = np.arange(len(self.log) if self.rows is None else len(self.rows))
        return found

    def _places(self, run: Run) -> tuple[NDArray[np.int64], NDArray[np.intp] | None]:
        """Return where a run's requests stand here, and which of them do (None: all)."""
        if self.rows is None:
            return run.requests, None
        where = self._place[run.requests]
        mine = np.flatnonzero(where >= 0)
        return where[mine], mine
