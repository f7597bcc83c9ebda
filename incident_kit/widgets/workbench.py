"""Workbench: one incident made ready, so that a policy whose numbers are turned is replayed and scored while a hand moves.

What a target would have done to a request does not depend on the numbers that are turned: it is asked once, and kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from hashlib import blake2b
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import NoSuchItem
from incident_kit.estimation.evidence import LABELS
from incident_kit.policies.policy import Policy
from incident_kit.scoring.metrics import IS_TOLD, Metric, metric
from incident_kit.scoring.outcomes import Part, outcomes_of
from incident_kit.scoring.replays import Replay, replay
from incident_kit.scoring.scorecard import WITHHELD
from incident_kit.scoring.scores import AS_LOGGED, LEAST, MOST, VALUE
from incident_kit.scoring.windows import window_of
from incident_kit.stats.intervals import interval
from incident_kit.widgets.turns import Turns

if TYPE_CHECKING:
    from incident_kit.estimation.evidence import Estimator, Outcomes
    from incident_kit.incident import Incident
    from incident_kit.log import Log

METRICS = ("p95_ms", "error_rate", "tool_success_rate", "override_rate", "fallback_rate", "cost_per_request")
DRAWS = 20
HIGHER = ("tool_success_rate",)  # is better
SCORED: dict[str, Any] = {
    "metric": pl.String, "observed": pl.Float64, "estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "verdict": pl.String,
}  # fmt: skip
BETTER, WORSE, SAME, UNTOLD, NOT_YET = "better", "worse", "no different", "cannot be told", ""
LESS, MORE = "less", "more"  # of what is neither good nor bad in itself


class Remembered:
    """An estimator that asks another one, once for each route, and keeps what it said; so do its draws."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._said: dict[tuple[Any, ...], Outcomes] = {}
        self._draws: dict[tuple[int, int, int], Remembered] = {}

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
        """Return the outcomes of requests on targets, as the estimator said them first."""
        which = blake2b(requests.tobytes(), digest_size=16).digest()
        key = (which, tuple(targets), attempts, tuple(without_tools), timeout_ms)
        found = self._said.get(key)
        if found is None:
            found = self._estimator(
                log, requests, targets, attempts=attempts, without_tools=without_tools, timeout_ms=timeout_ms
            )
            self._said[key] = found
        return found

    def __getattr__(self, name: str) -> Any:
        wrapped = getattr(self._estimator, name)
        return self._at if name == "at" else wrapped

    def _at(self, draw: int, *, draws: int = 1, seed: int = 0) -> Remembered:
        key = draw, draws, seed
        if key not in self._draws:
            self._draws[key] = Remembered(self._estimator.at(draw, draws=draws, seed=seed))
        return self._draws[key]


class Workbench:
    """Replays and scores of settings of one policy over one incident.

    Parameters
    ----------
    incident, loaded
        The incident, and the policy that is tuned, as it was loaded.
    during
        What is scored: a phase, two instants, or the whole log (None). All is replayed, whatever is scored.
    metrics
        Of outcomes, as in :func:`compare`; rates of the help desk and counts of switches are not among them.
    draws, seed, estimator
        As in :func:`compare`.

    Raises
    ------
    NoSuchItem
        A phase or metric is not there, or a metric is not one of outcomes.
    UnansweredQuestion
        The policy asks what the loaded logs do not hold.
    """

    def __init__(
        self,
        incident: Incident,
        loaded: Policy,
        *,
        during: str | tuple[datetime, datetime] | None = None,
        metrics: Sequence[str] = METRICS,
        draws: int = DRAWS,
        seed: int = 0,
        estimator: Estimator | None = None,
    ) -> None:
        self.incident, self.loaded, self.draws, self.seed = incident, loaded, draws, seed
        self.metrics = tuple(_of_outcomes(name) for name in dict.fromkeys(metrics))
        self.window = window_of(incident, during)
        self.estimator = Remembered(incident.model if estimator is None else estimator)
        self._rows = None if self.window.spans is None else np.flatnonzero(self.window.rows)
        self._turns, self._beside = Turns(incident, self.estimator), Turns(incident, self.estimator)
        self._drawn, self._lock = list[Turns](), RLock()
        self.loaded_drawn: list[NDArray[np.float64]] = []
        self._valued: tuple[Replay | None, NDArray[np.float64]] = None, np.empty(0)  # the last one
        # it also says what these logs cannot answer
        self.as_loaded: Replay = replay(incident, loaded, estimator=self.estimator)
        self._turns.turn(loaded)  # so that the first turn of a hand is as quick as any
        self.as_logged: Replay = replay(incident, Policy(name=AS_LOGGED, routes=()))
        self.observed = self.values(self.as_logged)[VALUE]

    def replay(self, policy: Policy) -> Replay:
        """Return a setting of the policy, replayed on the most likely outcomes: its own parts that changed, anew."""
        return self._turns.replay(policy)

    def values(self, one: Replay) -> NDArray[np.float64]:
        """Return every metric of a replay over what is scored ``[(value, least, most), metric]``."""
        valued, found = self._valued
        if valued is not one:
            found = self._measured(self._part(one), 1)[0]
            self._valued = one, found
        return found

    def other(self, policy: Policy) -> Replay:
        """Return another setting, beside the one in hand: also in a thread of its own."""
        with self._lock:
            return self._beside.replay(policy)

    def shares(self, one: Replay) -> dict[str, float]:
        """Return the share of each evidence label in what is scored."""
        labels = one.outcome.evidence if self._rows is None else one.outcome.evidence[self._rows]
        counts = np.bincount(labels, minlength=len(LABELS)) / max(len(labels), 1)
        return dict(zip(LABELS, counts.tolist(), strict=True))

    def is_told(self, one: Replay) -> bool:
        """Return whether the logs can tell of enough requests that an estimate is of the log's own."""
        return self.shares(one)["none"] <= WITHHELD

    def named(self, values: Sequence[float | None] | NDArray[np.float64]) -> dict[str, float | None]:
        """Return one value a metric by its name; None where there is no number."""
        known = [None if value is None else _number(value) for value in values]
        return {of.name: value for of, value in zip(self.metrics, known, strict=True)}

    def is_drawn(self, central: Replay) -> bool:
        """Return whether there is anything to draw: whether the setting used what is not in the log."""
        return not central.is_certain and hasattr(self.estimator, "at")

    def is_warm(self, until: int) -> bool:
        """Return whether so many draws have run before: then they run only what a setting changes."""
        several = self._drawn[:until]
        return len(several) >= min(until, self.draws) and all(one.is_warm for one in several)

    def drawn(
        self,
        central: Replay,
        *,
        first: int = 0,
        until: int | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> list[NDArray[np.float64]]:
        """Return the metrics on each draw of the outcomes, or on some of them; one where nothing was estimated.

        A draw that has run before runs only what the setting changes in it, beside others on all cores. Nothing is returned
        where it is no longer wanted.
        """
        if not self.is_drawn(central):
            return [self.values(central)]

        def turn(one: Turns) -> None:
            if is_wanted():
                one.turn(central.policy)

        until = self.draws if until is None else min(until, self.draws)
        with self._lock:  # a setting that was overtaken may still be at its last draw
            while len(self._drawn) < until:
                at = self.estimator.at(len(self._drawn), draws=self.draws, seed=self.seed)
                self._drawn.append(Turns(self.incident, at, rows=self._rows))
            several = self._drawn[first:until]
            if all(one.is_warm for one in several):
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    list(pool.map(turn, several))
            else:  # what a draw borrows from is worked out once for all its routes: one draw after the other
                for one in several:
                    turn(one)
            return list(self._measured(Turns.stacked(several, central), len(several))) if is_wanted() else []

    def _part(self, one: Replay) -> Part:
        return Part.whole(one) if self._rows is None else Part.of_rows(one, self._rows)

    def _measured(self, part: Part, draws: int) -> NDArray[np.float64]:
        """Return ``[draw, (value, least, most), metric]`` of requests that are there once a draw."""
        frame = outcomes_of(part)
        size, count = len(self.metrics), frame.height // draws
        sides = [
            (of.value if end is None or of.is_decided else end).cast(pl.Float64).alias(f"{side}/{of.name}")
            for side in ("value", "least", "most")
            for of in self.metrics
            for end in (getattr(of, side),)
        ]
        is_open = not frame.select(IS_TOLD.all()).item()
        numbered = frame.with_columns(pl.Series("draw", np.repeat(np.arange(draws), count)))
        told = IS_TOLD.all().alias("told")
        rows = numbered.group_by("draw", maintain_order=True).agg(told, *(sides if is_open else sides[:size]))
        flat = rows.drop("draw", "told").fill_null(np.nan).to_numpy().astype(np.float64)
        shaped = flat.reshape(draws, -1, size)
        if not is_open:
            return np.repeat(shaped, 3, axis=1)
        # where nothing is open, the three are one number, to the last bit
        return np.where(rows["told"].to_numpy()[:, None, None], shaped[:, :1], shaped)

    def scored(self, central: Replay, drawn: Sequence[NDArray[np.float64]] = ()) -> pl.DataFrame:
        """Return one row a metric: observed, estimate, low, high, and what that means beside what was logged.

        Without draws, low and high are NULL and there is no verdict yet: a number alone settles nothing.
        """
        told = self.is_told(central)
        here = self.values(central)[VALUE] if not drawn else None
        rows = []
        for i, of in enumerate(self.metrics):
            observed = _number(self.observed[i])
            estimate: float | None
            low: float | None = None
            high: float | None = None
            verdict = NOT_YET
            if not (told or of.is_decided):
                estimate, verdict = None, UNTOLD
            elif here is not None:
                estimate = _number(here[i])
            else:
                estimate = interval([one[VALUE, i] for one in drawn])[0]
                low = interval([one[LEAST, i] for one in drawn])[1]
                high = interval([one[MOST, i] for one in drawn])[2]
                verdict = _verdict(of, observed, low, high)
            rows.append((of.name, observed, estimate, low, high, verdict))
        return pl.DataFrame(rows, schema=SCORED, orient="row")

    def shown(self, one: Replay) -> list[float | None]:
        """Return every metric of a replay on the most likely outcomes; None where the logs cannot tell."""
        is_told = self.is_told(one)
        values = self.values(one)[VALUE].tolist()
        return [
            _number(value) if is_told or of.is_decided else None for of, value in zip(self.metrics, values, strict=True)
        ]

    @cached_property
    def loaded_told(self) -> list[float | None]:
        """Every metric of the policy as it was loaded, on the most likely outcomes."""
        return self.shown(self.as_loaded)

    def loaded_beside(self, draws: int) -> list[float | None]:
        """Return every metric of the policy as it was loaded, as one of so many draws is to be held against it."""
        if not draws or len(self.loaded_drawn) < min(draws, self._all_of(self.as_loaded)):
            return self.loaded_told
        drawn = self.loaded_drawn[:draws]
        told = self.loaded_told
        return [
            None if told[i] is None else interval([one[VALUE, i] for one in drawn])[0] for i in range(len(self.metrics))
        ]

    def draw_loaded(self, *, at_once: int) -> None:
        """Draw the next few of the policy as it was loaded: what is drawn of a setting stands beside the same draws of it."""
        with self._lock:
            first = len(self.loaded_drawn)
            self.loaded_drawn += self.drawn(self.as_loaded, first=first, until=first + at_once)

    @property
    def is_loaded_drawn(self) -> bool:
        """Whether all draws of the policy as it was loaded are there."""
        return len(self.loaded_drawn) >= self._all_of(self.as_loaded)

    def _all_of(self, central: Replay) -> int:
        return self.draws if self.is_drawn(central) else 1


def _of_outcomes(name: str) -> Metric:
    found = metric(name)
    if found.source != "outcomes":
        raise NoSuchItem(f"{name} is not worked out while a hand moves: compare(metrics=[{name!r}]) has it")
    return found


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _verdict(of: Metric, observed: float | None, low: float | None, high: float | None) -> str:
    """Return whether an interval lies on one side of what was logged, and on which."""
    if observed is None or low is None or high is None:
        return UNTOLD
    if low == high == observed:
        return SAME
    if low <= observed <= high:
        return UNTOLD
    if of.is_decided:
        return MORE if low > observed else LESS
    return BETTER if (low > observed) == (of.name in HIGHER) else WORSE
