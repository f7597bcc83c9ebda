"""Terminal tables of what evidence is asked for: compatibility, frontiers, sensitivities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from incident_kit.backups.likenesswords import pairs
from incident_kit.commandline.terminal import name, shown
from incident_kit.optimization.sensitivities import verdicts
from incident_kit.words import metric, number

if TYPE_CHECKING:
    from incident_kit.backups.compatibilities import Compatibility


def compatibility(found: Compatibility) -> Group:
    """Return each intent's verdict, and below it the backup beside the primary with the interval of their difference."""
    if found.verdicts.is_empty():
        return Group(Text("No intent was answered by two targets: there is nothing to compare."))
    parts: list[RenderableType] = []
    for pair in pairs(found):
        parts.append(Text(f"{pair.intent}: {pair.backup} in place of {pair.primary}: {pair.verdict}", style="bold"))
        parts.append(Text(shown(f"  {pair.why} {pair.alike}")))
        if pair.measures:
            table = Table("", "primary", "backup", "difference, 90 %", "calls", "", box=None)
            for one in pair.measures:
                table.add_row(one.name, one.primary, one.backup, one.difference, one.calls, one.judged)
            parts.append(table)
        parts.append(Text(""))
    parts.append(Text("Not in these logs:", style="dim"))
    parts += [Text(shown(f"  {said}"), style="dim") for said in found.unheld]
    return Group(*parts)


def frontier(frame: pl.DataFrame) -> Group:
    """Return the settings that no other beats, the policy as it stands among them or not."""
    names = [one.removesuffix("/low") for one in frame.columns if one.endswith("/low")]
    paths = frame.columns[2 : frame.columns.index(names[0])]
    table = Table(*(Column(name(path)) for path in paths), *(metric(one).title for one in names), "", box=None)
    for row in frame.filter(pl.col("on_frontier") | pl.col("is_current")).iter_rows(named=True):
        values = (_span(one, row) for one in names)
        here = "you are here" if row["is_current"] else ""
        beaten = "" if row["on_frontier"] else f", but {row['reason']}"
        table.add_row(*(shown(str(row[path])) for path in paths), *values, shown(f"{here}{beaten}"))
    left = frame.height - int(frame["on_frontier"].sum())
    return Group(table, Text(f"{number(left)} of {number(frame.height)} settings are beaten by another.", style="dim"))


def _span(of_metric: str, row: dict[str, Any]) -> str:
    of = metric(of_metric)
    value = of.shown(row[of_metric])
    low, high = row[f"{of_metric}/low"], row[f"{of_metric}/high"]
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
