"""Terminal tables of what evidence is asked for: compatibility, frontiers, sensitivities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from incident_kit.sensitivities import verdicts
from incident_kit.terminal import shown
from incident_kit.words import label, metric, number, sentence

if TYPE_CHECKING:
    from incident_kit.compatibilities import Compatibility

MEASURES = {
    "error_rate": "failed",
    "p95_ms": "p95",
    "tool_success_rate": "tools ok",
    "tools_called": "uses tools",
    "override_rate": "overrides",
    "override_without_tools": "of them, no tool used",
    "completion_tokens": "length",
    "cost_per_call": "USD/1,000",
}


def compatibility(found: Compatibility) -> Group:
    """Return each intent's verdict, and below it the backup beside the primary with the interval of their difference."""
    if found.verdicts.is_empty():
        return Group(Text("No intent was answered by two targets: there is nothing to compare."))
    parts: list[RenderableType] = []
    for row in found.verdicts.iter_rows(named=True):
        head = f"{label(row['intent'])}: {label(row['backup'])} in place of {label(row['primary'])}"
        parts.append(Text(f"{head}: {row['verdict']}", style="bold"))
        troubled = (
            f" {sentence(number(row['share_impact'], '%'))} of it during an impact." if row["share_impact"] else ""
        )
        parts.append(Text(f"  {sentence(row['why'])}. Alike in {row['matched']}.{troubled}"))
        rows = found.table.filter(pl.col("intent") == row["intent"], pl.col("metric").is_in(list(MEASURES)))
        if rows.height:
            table = Table("", "primary", "backup", "difference, 90 %", "calls", "", box=None)
            for one in rows.iter_rows(named=True):
                calls = f"{number(one['n_primary'])} / {number(one['n_backup'])}"
                values = (_value(one["metric"], one[f"{side}_value"]) for side in ("primary", "backup"))
                table.add_row(MEASURES[one["metric"]], *values, _difference(one), calls, one["judged"])
            parts.append(table)
        parts.append(Text(""))
    parts.append(Text("Not in these logs:", style="dim"))
    parts += [Text(shown(f"  {said}"), style="dim") for said in found.unheld]
    return Group(*parts)


def _value(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "cost_per_call":
        return f"{1000 * value:.2f}"
    return (
        number(value, "tokens") if name == "completion_tokens" else number(value, "s" if name.endswith("_ms") else "%")
    )


def _difference(row: dict[str, Any]) -> str:
    name = row["metric"]
    scale, places = (1000, 2) if name == "cost_per_call" else (0.001, 1) if name.endswith("_ms") else (100, 1)
    scale = 1 if name == "completion_tokens" else scale
    values = [row["difference"], row["low"], row["high"]]
    said = ["?" if one is None else f"{one * scale:+.{places}f}" for one in values]
    return f"{said[0]} ({said[1]} to {said[2]})"


def frontier(frame: pl.DataFrame) -> Group:
    """Return the settings that no other beats, the policy as it stands among them or not."""
    names = [name.removesuffix("/low") for name in frame.columns if name.endswith("/low")]
    paths = frame.columns[2 : frame.columns.index(names[0])]
    table = Table(*paths, *(metric(name).title for name in names), "", box=None)
    for row in frame.filter(pl.col("on_frontier") | pl.col("is_current")).iter_rows(named=True):
        values = (_span(name, row) for name in names)
        here = "you are here" if row["is_current"] else ""
        beaten = "" if row["on_frontier"] else f", but {row['reason']}"
        table.add_row(*(shown(str(row[path])) for path in paths), *values, shown(f"{here}{beaten}"))
    left = frame.height - int(frame["on_frontier"].sum())
    return Group(table, Text(f"{number(left)} of {number(frame.height)} settings are beaten by another.", style="dim"))


def _span(name: str, row: dict[str, Any]) -> str:
    of = metric(name)
    value = of.shown(row[name])
    low, high = row[f"{name}/low"], row[f"{name}/high"]
    return value if low is None or high is None or low == high else f"{value} ({of.shown(low)} to {of.shown(high)})"


def sensitivity(table: pl.DataFrame) -> Group:
    """Return whether the verdict rests on what the policy leaves unsaid, in sentences."""
    refused = table.filter(pl.col("note").is_not_null() & (pl.col("note") != ""))
    parts: list[RenderableType] = [Text(shown(said)) for said in verdicts(table)]
    parts += [
        Text(shown(f"  not tried: {row['path']} {row['other']}: {row['note']}"), style="dim")
        for row in refused.iter_rows(named=True)
    ]
    return Group(*parts)
