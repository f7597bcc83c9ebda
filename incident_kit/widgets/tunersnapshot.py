"""Tuner's snapshot: its four panels with a slider over settings that are worked out beforehand, for a page without a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.charts import tuner as chart
from incident_kit.errors import InvalidPolicy
from incident_kit.widgets import panels
from incident_kit.widgets.live import plain
from incident_kit.widgets.panels import HERE, LOADED, LOGGED, TUNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from incident_kit.policies.dials import Dial, Settings
    from incident_kit.widgets.workbench import Workbench

DATASETS = ("lines", "states", "scores", "points")
SETTING = "setting"  # a column of every dataset: NULL is there whatever is set


def snapshot(
    bench: Workbench,
    settings: Settings,
    one: Dial,
    *,
    values: Sequence[float],
    still: Mapping[str, pl.DataFrame],
    quality: panels.Quality,
    options: Mapping[str, Any],
) -> alt.VConcatChart:
    """Return the panels of one dial's settings, in even steps; the page opens on the present one.

    ``still`` are the lines and states that stay where they are, ``options`` those of the live chart.
    """
    here = settings.values.get(one.path, one.value)
    found: dict[str, list[pl.DataFrame]] = {name: [] for name in DATASETS}
    others: list[dict[str, Any]] = []
    moved = {row for row in options["rows"] if row.endswith(f", {TUNED}")}
    apart: dict[str, pl.DataFrame] = {}
    for value in values if one.rule not in settings.off else [here]:
        try:
            policy = settings.policy if value == here else settings.turned(one.path, value).policy
        except InvalidPolicy:
            continue
        replay = bench.other(policy)
        drawn = bench.drawn(replay)
        named = bench.named(bench.shown(replay))
        found["lines"].append(_at(panels.over_time({TUNED: replay}, quality), value))
        apart[str(value)] = _at(panels.states({TUNED: replay}), value)
        card = panels.scorecard(bench, bench.scored(replay, drawn), draws=len(drawn), wanted=len(drawn))
        found["scores"].append(_at(card, value))
        others.append(panels.point("other settings", named, quality, value=value, said=f"{one.label} {value:g}"))
        found["points"].append(_at(panels.points([panels.point(HERE, named, quality)]), value))
    found["states"] += _shared(list(apart.values()), moved)
    named_points = ((LOGGED, bench.observed), (LOADED, bench.loaded_told))
    others += [panels.point(kind, bench.named(row), quality) for kind, row in named_points]
    found["points"].insert(0, _at(panels.points(others), None))
    rows = {name: plain(frame) for name, frame in still.items()}
    rows |= {name: plain(pl.concat(frames)) for name, frames in found.items()}
    bound: dict[str, Any] = {"input": "range", "min": min(values), "max": max(values), "name": f"{one.label} "}
    bound["step"] = values[1] - values[0] if len(values) > 1 else one.step
    made: Any = _filtered(chart.tuner(**options).to_dict(), bound["step"])
    made["params"] = [{"name": SETTING, "value": here, "bind": bound}, *made.get("params", [])]
    from altair import VConcatChart

    shown: alt.VConcatChart = VConcatChart.from_dict({**made, "datasets": {**made.get("datasets", {}), **rows}})
    return shown


def _filtered(node: Any, step: float) -> Any:
    """Return a chart's form whose named data are only those of the setting that the slider stands at."""
    if isinstance(node, list):
        return [_filtered(each, step) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: value if key == "datasets" else _filtered(value, step) for key, value in node.items()}
    if isinstance(node.get("data"), dict) and node["data"].get("name") in DATASETS:
        own = f"datum.{SETTING} == null || abs(datum.{SETTING} - {SETTING}) < {step / 2:g}"
        found["transform"] = [{"filter": own}, *found.get("transform", [])]
    return found


def _at(frame: pl.DataFrame, setting: float | None) -> pl.DataFrame:
    return frame.with_columns(pl.lit(setting, dtype=pl.Float64).alias(SETTING))


def _shared(frames: Sequence[pl.DataFrame], rows: set[str]) -> list[pl.DataFrame]:
    """Return the spans of every setting; those of a row that is alike in all of them once, for all."""
    found = []
    for row in sorted(rows):
        own = [frame.filter(row=row) for frame in frames]
        is_alike = all(one.drop(SETTING).equals(own[0].drop(SETTING)) for one in own)
        found += [_at(own[0], None)] if own and is_alike else own
    return found
