"""A game day on a terminal: what comes of it, its timetable, and several degradations beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Group
from rich.table import Table
from rich.text import Text

from incident_kit.commandline.terminal import name
from incident_kit.commandline.terminal import shown as safe
from incident_kit.gamedays.runbook import summary
from incident_kit.gamedays.timetables import timetable
from incident_kit.words import label, lasting

SENTENCE = 40  # characters of a word in a sentence, which the table breaks between words itself

if TYPE_CHECKING:
    from incident_kit.gamedays.exercise import GameDay


def shown(day: GameDay) -> Group:
    """Return what each policy makes of it, the first one's timetable, and what nobody is called for."""
    policy = day.policies[0]
    table = Table("T+", "on the log", "what", "who is called", title=Text(f"Timetable: {label(policy.name)}"), box=None)
    table.title_justify = "left"
    for row in timetable(day, policy):
        table.add_row(*(name(cell, width=SENTENCE) for cell in row))
    silent = day.gaps.filter(pl.col("policy") == policy.name)["sentence"]
    told = [Text(safe(f"- {one}")) for one in silent] or [Text("- none")]
    head = Text(f"Where nobody is called: {label(policy.name)}", style="bold")
    return Group(Text(safe(summary(day))), Text(""), table, Text(""), head, *told, Text(""))


def overview(days: Sequence[GameDay]) -> Table:
    """Return a row a degradation and policy: first page, first switch, and how many gaps."""
    table = Table("degradation", "policy", "first page", "first switch", "gaps", title=Text("All of them"), box=None)
    table.title_justify = "left"
    for day in days:
        for i, row in enumerate(day.detection.iter_rows(named=True)):
            page, move = (
                Text(
                    lasting(row[name]) if row[name] is not None else "never",
                    style="" if row[name] is not None else "bold",
                )
                for name in ("page_after", "switch_after")
            )
            table.add_row(name("" if i else day.name), name(label(row["policy"])), page, move, str(row["gaps"]))
    return table
