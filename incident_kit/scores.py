"""Scores: metrics of policies over windows of an incident, one value a draw, with what no evidence tells at its ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.carried import Carried, carried
from incident_kit.metrics import IS_TOLD, Metric
from incident_kit.replays import Replay, on_draw
from incident_kit.tallies import TALLIES, of_primaries

if TYPE_CHECKING:
    from incident_kit.log import Log

AS_LOGGED = "as logged"
ALL = "all"
NO_INTENT = "(no intent)"
VALUE, LEAST, MOST = range(3)
Key = tuple[str, str]  # intent or ALL, and metric
Values = dict[Key, NDArray[np.float64]]  # [(value, least, most), draw]
Span = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """What is scored: ``spans`` of microseconds since the epoch, from (included) and until; None: the whole log.

    ``impact`` is the span that delays are counted from.
    """

    log: Log
    spans: tuple[Span, ...] | None = None
    impact: Span | None = None

    @cached_property
    def rows(self) -> NDArray[np.bool_]:
        """Which requests arrived in it."""
        at = self.log.arrived_us
        if self.spans is None:
            return np.ones(len(at), np.bool_)
        found = np.zeros(len(at), np.bool_)
        for begin, end in self.spans:
            found |= (at >= begin) & (at < end)
        return found

    @cached_property
    def times(self) -> tuple[Span, ...]:
        """Its spans; of the whole log, that from the first to the last arrival."""
        if self.spans is not None:
            return self.spans
        arrived = self.log.arrived_us
        return ((int(arrived[0]), int(arrived[-1]) + 1),) if len(arrived) else ((0, 1),)

    @property
    def everything(self) -> tuple[Span, ...]:
        """Its spans; of the whole log, all time: signals and tickets go on after the last request."""
        return self.spans if self.spans is not None else ((-(2**62), 2**62),)

    def cut(self, one: Replay) -> pl.DataFrame:
        """Return the outcomes that are scored, with the intent that they count for as ``key``."""
        frame = one.outcomes.with_columns(pl.col("intent").cast(pl.String).fill_null(NO_INTENT).alias("key"))
        return frame if self.spans is None else frame.filter(pl.Series(self.rows))

    def of_intent(self, key: str) -> NDArray[np.bool_]:
        """Return which requests count for an intent, or for ALL."""
        if key == ALL:
            return self.rows
        intents = self.log.intents
        return np.asarray(self.rows & (self.log.intent == (intents.index(key) if key in intents else -1)))

    def carried(self, one: Replay, of: Metric, key: str) -> Carried:
        """Return a help-desk rate or a signal of an intent."""
        return carried(one, of, self.of_intent(key), intent=None if key == ALL else key, spans=self.everything)


def scores(
    replays: Mapping[str, Replay], wanted: Sequence[tuple[Window, Sequence[Metric]]], *, draws: int, seed: int
) -> list[dict[str, Values]]:
    """Return every metric of every policy by intent and over all, for each window; one value a draw, and no draw is kept.

    Every draw is replayed once for all windows, policy by policy, so that all differ by their decisions only.
    """
    size = max(draws, 1)
    found: list[dict[str, Values]] = [{name: {} for name in replays} for _ in wanted]
    for draw in range(size):
        for name, central in replays.items():
            is_drawn = draws > 0 and not central.is_certain and hasattr(central.estimator, "at")
            if draw and not is_drawn:
                continue
            one = on_draw(central, draw, draws=draws, seed=seed) if is_drawn else central
            where = slice(draw, draw + 1) if is_drawn else slice(None)
            for (window, metrics), into in zip(wanted, found, strict=True):
                for key, values in _scored(one, window, metrics, is_log=name == AS_LOGGED):
                    kept = into[name].setdefault(key, np.full((3, size), np.nan))
                    kept[:, where] = np.array(values, np.float64).reshape(3, -1)
    return found


def _scored(
    one: Replay, window: Window, metrics: Sequence[Metric], *, is_log: bool
) -> Iterator[tuple[Key, Sequence[float | None]]]:
    frame = window.cut(one)
    if frame.is_empty():
        return
    of_outcomes = [of for of in metrics if of.source == "outcomes"]
    is_open = not frame.select(IS_TOLD.all()).item()
    expressions = []
    for of in of_outcomes:
        ends = (of.value, of.least, of.most) if is_open else (of.value,)
        expressions += [
            (of.value if end is None or of.is_decided else end).alias(f"{of.name}/{i}") for i, end in enumerate(ends)
        ]
    whole = frame.group_by(pl.lit(ALL).alias("key")).agg(expressions)
    rows = pl.concat([whole, frame.group_by("key", maintain_order=True).agg(expressions)])
    width = 3 if is_open else 1
    for key, *flat in rows.iter_rows():
        for i, of in enumerate(of_outcomes):
            values = flat[width * i : width * (i + 1)]
            yield (key, of.name), (values if is_open else values * 3)
    for of in metrics:
        for key in rows["key"] if of.source != "outcomes" else ():
            yield (key, of.name), _apart(one, window, of, key, is_log=is_log)


def _apart(one: Replay, window: Window, of: Metric, key: str, *, is_log: bool) -> Sequence[float | None]:
    """Return a metric that is not one of outcomes."""
    if of.source != "changes":
        return window.carried(one, of, key)[:3]
    if is_log:
        return (None,) * 3
    changes = of_primaries(one, None if key == ALL else key)
    parts = [TALLIES[of.name](changes, span, window.impact) for span in window.times]
    known = [part for part in parts if part is not None]
    # counts and times add up over spans; a delay is one of the impact, the same in each
    value = None if not known else known[0] if of.name.endswith("_s") else sum(known)
    return (value,) * 3
