"""Scores: metrics of policies over windows of an incident, one value a draw, with what no evidence tells at its ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.scoring.metrics import IS_TOLD, Metric
from incident_kit.scoring.replays import Replay, on_draw
from incident_kit.scoring.tallies import TALLIES, of_primaries
from incident_kit.scoring.windows import ALL, Window

AS_LOGGED = "as logged"
VALUE, LEAST, MOST = range(3)
Key = tuple[str, str]  # intent or ALL, and metric
Values = dict[Key, NDArray[np.float64]]  # [(value, least, most), draw]


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
                for key, values in _scored(one, window, metrics, is_log=not central.policy.routes):
                    kept = into[name].setdefault(key, np.full((3, size), np.nan))
                    kept[:, where] = np.array(values, np.float64).reshape(3, -1)
    return found


def _scored(
    one: Replay, window: Window, metrics: Sequence[Metric], *, is_log: bool
) -> Iterator[tuple[Key, Sequence[float | None]]]:
    of_outcomes = [of for of in metrics if of.source == "outcomes"]
    apart = [of for of in metrics if of.source != "outcomes"]
    for key in window.keys:
        yield from (((key, of.name), _apart(one, window, of, key, is_log=is_log)) for of in apart)
    frame = window.cut(one) if of_outcomes else pl.DataFrame()
    if frame.is_empty():
        return
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
