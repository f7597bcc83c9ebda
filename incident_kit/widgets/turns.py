"""Turns: a policy replayed again and again with some of its numbers changed, of which only what changed runs again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.engine import runs
from incident_kit.engine.books import Book, Outcome
from incident_kit.engine.routing import routes_of
from incident_kit.scoring.outcomes import Part
from incident_kit.scoring.replays import Replay, changes_of, merged, vocabulary

if TYPE_CHECKING:
    from incident_kit.estimation.evidence import Estimator
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy


class Turns:
    """The last setting of a policy on one estimator: what became of the requests, and how each route's breakers moved.

    Where routes do not see each other, the next setting runs those again that it changes, and no others. A setting that was
    broken off leaves nothing half done: the next one runs every route.

    Parameters
    ----------
    incident, estimator
        As in :func:`replays.replay_log`.
    rows
        Whose outcomes are kept, positions in the log; None: all. All requests are replayed.
    """

    def __init__(self, incident: Incident, estimator: Estimator, *, rows: NDArray[np.intp] | None = None) -> None:
        self.incident, self.log, self.estimator, self.rows = incident, incident.log, estimator, rows
        self.is_warm = False
        self._logged = Book.as_logged(self.log, rows)
        self._held: Policy | None = None
        self._shape: Any = None

    def turn(self, policy: Policy) -> None:
        """Make it hold a setting."""
        held, self._held = self._held, None
        shape = [
            (one.intent, one.match, one.since, one.until, [entry.label for entry in one.chain]) for one in policy.routes
        ]
        if held is None or shape != self._shape or not runs.is_apart(policy):
            self._shape, held = shape, None
            self._book = Book.as_logged(self.log, self.rows)
            self.targets, self._code = vocabulary(policy, self.log)
            self.route, sizes = routes_of(policy, self.log)
            self._largest_first = np.argsort(-sizes, kind="stable").tolist()
            self._changes: dict[int, NDArray[np.float64]] = {}
        for run in self._runs(policy, held):
            if held is not None:
                self._book.restore(self._logged, run)
            self._book.enter(run, policy.routes[run.route], self._code)
            self._changes[run.route] = changes_of(run, policy)
        self._held, self.is_warm = policy, True

    def replay(self, policy: Policy) -> Replay:
        """Return a setting as :func:`replays.replay_log` does; of an instance that keeps every request."""
        self.turn(policy)
        book = self._book.copy()
        return Replay(
            policy, self.log, self.incident, self.targets, self.route, book.records, merged(list(self._changes.values())),
            book.first_target, book.outcome, book.same_as_log, book.reason, estimator=self.estimator,
        )  # fmt: skip

    def _runs(self, policy: Policy, held: Policy | None) -> Iterable[runs.Run]:
        if not runs.is_apart(policy):
            return runs.by_machine(self.log, policy, self.route, self.estimator)[0]
        changed = [i for i in self._largest_first if held is None or policy.routes[i] != held.routes[i]]
        return runs.apart(self.log, policy, self.route, changed, self.estimator)

    @staticmethod
    def stacked(several: Sequence[Turns], central: Replay) -> Part:
        """Return the kept requests of one setting on several estimators, one after the other."""
        books = [one._book for one in several]  # noqa: SLF001 - its own
        rows = several[0].rows
        rows = np.arange(len(central.log)) if rows is None else rows
        outcome = {
            one.name: np.concatenate([getattr(book.outcome, one.name) for book in books]) for one in fields(Outcome)
        }
        return Part(
            central,
            np.tile(rows, len(books)),
            np.tile(central.route[rows], len(books)),
            Outcome(**outcome),
            np.concatenate([book.same_as_log for book in books]),
            np.concatenate([book.records["attempts"] for book in books]),
        )
