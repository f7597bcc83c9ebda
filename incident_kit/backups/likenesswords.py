"""Likeness in words: a backup beside its primary as people read it: each measure, its difference, and on how many calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.words import label, number, sentence

if TYPE_CHECKING:
    from incident_kit.backups.compatibilities import Compatibility

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


@dataclass(frozen=True)
class Measure:
    """One measure of a pair: primary, backup and their difference with its interval, the calls of either side, the judgement."""

    name: str
    primary: str
    backup: str
    difference: str
    calls: str
    judged: str


@dataclass(frozen=True)
class Pair:
    """The backup of an intent in place of its primary: the verdict, why, what is alike in what was compared, and the measures."""

    intent: str
    primary: str
    backup: str
    verdict: str
    why: str
    alike: str
    measures: tuple[Measure, ...]


def pairs(found: Compatibility) -> tuple[Pair, ...]:
    """Return every intent's backup beside its primary, in words."""
    made = []
    for row in found.verdicts.iter_rows(named=True):
        of_impact = (
            f" {sentence(number(row['share_impact'], '%'))} of it during an impact." if row["share_impact"] else ""
        )
        rows = found.table.filter(pl.col("intent") == row["intent"], pl.col("metric").is_in(list(MEASURES)))
        measures = tuple(
            Measure(
                MEASURES[one["metric"]],
                value(one["metric"], one["primary_value"]),
                value(one["metric"], one["backup_value"]),
                difference(one),
                f"{number(one['n_primary'])} / {number(one['n_backup'])}",
                one["judged"],
            )
            for one in rows.iter_rows(named=True)
        )
        names = (label(row["intent"]), label(row["primary"]), label(row["backup"]), row["verdict"])
        made.append(Pair(*names, f"{sentence(row['why'])}.", f"Alike in {row['matched']}.{of_impact}", measures))
    return tuple(made)


def value(name: str, one: float | None) -> str:
    """Return a measure's value with its unit; a cost is that of 1,000 calls."""
    if one is None:
        return ""
    if name == "cost_per_call":
        return f"{1000 * one:.2f}"
    return number(one, "tokens") if name == "completion_tokens" else number(one, "s" if name.endswith("_ms") else "%")


def difference(row: dict[str, Any]) -> str:
    """Return a difference with its interval, in points, seconds or tokens; ``?`` for an end that is not known.

    Examples
    --------
    >>> difference({"metric": "error_rate", "difference": 0.021, "low": -0.0004, "high": 0.05})
    '+2.1 (+0.0 to +5.0)'
    """
    name = row["metric"]
    scale, places = (1000, 2) if name == "cost_per_call" else (0.001, 1) if name.endswith("_ms") else (100, 1)
    scale = 1 if name == "completion_tokens" else scale
    values = [row["difference"], row["low"], row["high"]]
    said = ["?" if one is None else f"{one * scale:+z.{places}f}" for one in values]
    return f"{said[0]} ({said[1]} to {said[2]})"
