"""What if: one limit of a policy at several settings, in words a slider can say one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit import words
from incident_kit.briefs.proposal import COST, measures
from incident_kit.errors import InvalidPolicy, NoSuchItem
from incident_kit.optimization.frontiers import frontier
from incident_kit.optimization.tuning import SCORED, sweep
from incident_kit.policies.dials import dials
from incident_kit.policies.policyedit import steps_of
from incident_kit.policies.vocabulary import metric_of

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy
    from incident_kit.scoring.scorecard import Board

FACTORS = (0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0)  # times the limit as it stands
MOST = 4  # metrics shown
STEPS = 40  # settings shown
_CHART: dict[str, Any] = {
    "value": pl.Float64, "name": pl.String, "metric": pl.String, "estimate": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "observed": pl.Float64, "is_current": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One setting: the limit as a number and in words, all of it in lines, and each metric in words."""

    value: float
    name: str
    said: str
    cells: tuple[str, ...]
    is_current: bool


@dataclass(frozen=True)
class WhatIf:
    """A limit at every setting of a sweep; ``frame`` has what the chart draws, ``record`` what it takes to make it again.

    ``settings`` holds the settings' frontier of its two measures that people feel first; empty where there are no two.
    """

    path: str
    policy: str
    intent: str
    metrics: tuple[str, ...]
    observed: tuple[str, ...]
    steps: tuple[Step, ...]
    frame: pl.DataFrame
    record: Mapping[str, Any]
    settings: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def title(self) -> str:
        """The limit in words, with its unit."""
        from incident_kit.charts.whatif import limit

        return limit(self.path, self.intent)

    @property
    def current(self) -> int:
        """The place of the setting as it stands; of the middle one where the policy has none."""
        return next((i for i, step in enumerate(self.steps) if step.is_current), len(self.steps) // 2)


def likely(policy: Policy, answered: Mapping[str, int]) -> dict[str, list[float]]:
    """Return the limit on waits that matters most in a policy, with values around it; empty where it has no such limit.

    ``answered`` counts by route what its backup answered: the limit is of the route whose requests were moved the most.
    """
    known = [
        dial
        for dial in dials(policy)
        if not dial.is_test and metric_of(dial.metric)[1] == "milliseconds" and dial.value
    ]
    if not known:
        return {}
    one = max(known, key=lambda dial: answered.get(dial.owner, 0))
    values = {min(max(round(one.value * by / one.step) * one.step, one.low), one.high) for by in FACTORS}
    whole = [int(value) if one.is_whole else value for value in sorted(values | {one.value})]
    return {one.path: [value for value in whole if _can_stand(policy, one.path, value)]}


def _can_stand(policy: Policy, path: str, value: float) -> bool:
    """Return whether a policy takes a value: a limit over its own timeout would never be reached."""
    try:
        policy.with_value(path, value)
    except InvalidPolicy:
        return False
    return True


def swept(
    incident: Incident, board: Board, name: str, grid: Mapping[str, Iterable[Any]] | None = None
) -> WhatIf | None:
    """Return a policy of a board at every setting of a grid, scored as the board is; None where there is nothing to turn.

    Without a grid its most important limit on waits is turned.
    """
    policy = board.replays[name].policy
    if grid is None:
        moved = board.window.cut(board.replays[name]).filter(pl.col("is_fallback"))
        intents = moved.group_by("key").len().iter_rows()
        answered: dict[str, int] = {}
        for intent, size in intents:
            route = next((one.name for one in policy.routes if one.matches(intent)), intent)
            answered[route] = answered.get(route, 0) + size
        grid = likely(policy, answered)
    listed = {path: list(values) for path, values in grid.items()}
    if not listed:
        return None
    metrics = [*(one.metric for one in measures(incident.slow_ms)), COST]
    # the board's own draws: the setting as it stands has the scorecard's numbers, and every other is held against the same
    options: dict[str, Any] = {"metrics": metrics, "draws": board.draws, "seed": board.seed}
    whose = _intent(policy, next(iter(listed)), incident.log.intents)
    by = None if whose is None else "intent"
    found = sweep(incident, policy, listed, during=board.during, by=by, **options)
    recipe = {"policy": name, "grid": listed, "by": by, **options, "scores": numbers_of(found, list(listed))}
    return whatif(found, policy=name, intent=whose or "all", recipe=recipe)


def _intent(policy: Policy, path: str, known: Iterable[str]) -> str | None:
    """Return the one kind of question whose limit it is; None where it is of several."""
    first = steps_of(policy, path)
    route = policy.routes[first[1]] if len(first) > 1 and first[0] == "routes" and isinstance(first[1], int) else None
    matched = [intent for intent in known if route is not None and route.matches(intent)]
    return matched[0] if len(matched) == 1 else None


def whatif(
    grid: pl.DataFrame, *, policy: str = "", intent: str = "all", recipe: Mapping[str, Any] | None = None
) -> WhatIf | None:
    """Return what a sweep says of one limit: of several, of the first, where the others stand as they are.

    Parameters
    ----------
    grid
        What :func:`incident_kit.sweep` gives.
    policy
        Whose limit it is.
    intent
        The kind of question that is scored.
    recipe
        What it takes to make the sweep again.

    Raises
    ------
    NoSuchItem
        The frame is no sweep.
    """
    paths = [name for name in grid.columns if name not in {"setting", "is_current", *SCORED}]
    if not paths or not {"is_current", "setting", "metric", "estimate"} <= set(grid.columns):
        raise NoSuchItem(
            "this frame is no sweep: give what ik.sweep(...) returns, or a mapping of a path to its values"
        )
    path, others = paths[0], paths[1:]
    rows = grid.filter(pl.col("intent") == intent)
    here = rows.filter("is_current")
    for other in others if here.height else ():
        rows = rows.filter(pl.col(other).eq_missing(here[other][0]))
    rows = rows.filter(pl.col(path).is_not_null()).sort(path, maintain_order=True)
    # what nobody met, as logged or under any setting, says nothing
    met = (pl.max_horizontal("estimate", "observed").max() > 0).alias("met")
    counted = rows.group_by("metric", maintain_order=True).agg(
        met.fill_null(value=False), pl.col("estimate").count().alias("n")
    )
    told = counted.filter("met", pl.col("n") > 0)["metric"].to_list()
    metrics = tuple(told[:MOST])
    if not metrics or not rows[path].dtype.is_numeric():
        return None
    steps = [_step(key[0], part, path, metrics) for key, part in rows.group_by(path, maintain_order=True)][:STEPS]
    if len(steps) < 2:
        return None
    known = [words.metric(name) for name in metrics]
    first = {row["metric"]: row["observed"] for row in rows.iter_rows(named=True)}
    names = {step.value: step.name for step in steps}
    frame = rows.filter(pl.col("metric").is_in(metrics)).select(
        pl.col(path).cast(pl.Float64).alias("value"),
        pl.col(path).cast(pl.Float64).replace_strict(names, default="").alias("name"),
        *(pl.col(name) for name in _CHART if name not in {"value", "name"}),
    ).filter(pl.col("name") != "")  # fmt: skip
    return WhatIf(
        path, policy, intent, tuple(one.plain for one in known),
        tuple(one.shown(first[one.name], plain=True) for one in known), tuple(steps),
        pl.DataFrame(frame, schema_overrides=_CHART), dict(recipe or {}),
        _frontier(grid, paths, metrics, intent),
    )  # fmt: skip


def _frontier(grid: pl.DataFrame, paths: list[str], metrics: Iterable[str], intent: str) -> pl.DataFrame:
    """Return the settings by wait and by what agents rewrote, or else by the first two measures of which the logs tell."""
    known = sorted(metrics, key=lambda name: not name.startswith("slow_rate") and name != "override_rate")
    if len(known) < 2:
        return pl.DataFrame()
    named = {path: re.sub(r"^routes\[\d+\]", lambda _: intent, path) for path in paths if intent != "all"}
    return frontier(grid.rename(named), metrics=known[:2], intent=intent)


def numbers_of(grid: pl.DataFrame, paths: list[str]) -> list[list[Any]]:
    """Return every number of a sweep, to be compared when it is made again."""
    kept = grid.select(
        "setting", *paths, "intent", "metric", pl.col("estimate", "low", "high").round_sig_figs(7).fill_nan(None)
    )
    return [list(row) for row in kept.sort("setting", "intent", "metric").iter_rows()]


def named(path: str, value: float) -> str:
    """Return a value of a limit in words: waits in seconds, shares in percent, else the number."""
    metric = path.rsplit(".", 1)[-1].removeprefix("max_").removeprefix("min_")
    return words.metric(metric).shown(value, plain=True)


def _step(value: Any, rows: pl.DataFrame, path: str, metrics: tuple[str, ...]) -> Step:
    found = {row["metric"]: row for row in rows.iter_rows(named=True)}
    is_current = bool(rows["is_current"][0])
    name = named(path, float(value))
    known = [words.metric(metric) for metric in metrics]
    cells = [_cell(of, found[of.name]) for of in known]
    said = [
        f"{of.plain} {cell}; as it was {of.shown(found[of.name]['observed'], plain=True)}"
        for of, cell in zip(known, cells, strict=True)
    ]
    lines = [f"{name}{', as it stands' if is_current else ''}", *map(words.sentence, said)]
    return Step(float(value), name, "\n".join(f"{line}." for line in lines), tuple(cells), is_current)


def _cell(of: words.Metric, row: Mapping[str, Any]) -> str:
    if row["estimate"] is None:
        return "these logs cannot tell"
    ends = [of.shown(row[end], plain=True) for end in ("low", "high") if row[end] is not None]
    between = ""
    if len(ends) == 2 and ends[0] != ends[1]:
        unit = ends[1].rpartition(" ")[2]
        between = f" ({ends[0].removesuffix(unit).rstrip()} to {ends[1]})"
    return f"{of.shown(row['estimate'], plain=True)}{between}"
