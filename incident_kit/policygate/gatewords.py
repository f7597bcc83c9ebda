"""Gate words: one limit's row in words: what it is about, both values, why that cannot be told, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from incident_kit.policygate.bars import EACH, Bar, points
from incident_kit.words import label, number

HELP = (
    "What helps where these logs cannot tell: more incidents, more --draws, a rehearsal on the backup; or say with "
    "--unsure pass or --unsure fail what it is to count as."
)
UNJUDGED = "not in this log"
NO_PHASE = "phase: "
_ENDS_OF = {"policy": ("low", "high"), "difference": ("difference_low", "difference_high")}


def what(row: dict[str, Any]) -> str:
    """Return what a row is about: ``"error_rate of refund-policy, impact"``."""
    return f"{row['metric']}{of(row)}, {label(row['phase'])}"


def of(row: dict[str, Any]) -> str:
    """Return of which intent a row is, as what follows the metric."""
    if not row["intent"]:
        return ""
    return " of each intent" if row["intent"] == EACH else f" of {label(row['intent'])}"


def about(row: dict[str, Any]) -> str:
    """Return what a row is about, and its limit."""
    return f"{what(row)}: {row['limit']}"


def reason(row: dict[str, Any]) -> str:
    """Return both values of a row and why it is not judged; of what is not in the log, why alone."""
    if row["verdict"] == UNJUDGED:
        return str(row["why"])
    return values(row) + (f" ({row['why']})" if row["why"] else "")


def shown(row: dict[str, Any], column: str) -> str:
    """Return a value of a row with its unit, and where it is drawn, between what it probably lies."""
    unit = Bar(metric=row["metric"], max=0).unit
    if row[column] is None:
        return "not known"
    ends = [row[one] for one in _ENDS_OF.get(column, ()) if row.get(one) is not None]
    if column == "difference" and unit == "%":
        return points(row[column], *ends)
    said = [number(one, unit) for one in (row[column], *ends)]
    return f"{said[0]} ({said[1]} to {said[2]})" if len(said) == 3 and said[1] != said[2] else said[0]


def values(row: dict[str, Any]) -> str:
    """Return both values of a row: ``"3,210 ms (2,900 ms to 3,500 ms), in force 4,020 ms"``."""
    return f"{shown(row, 'policy')}, in force {shown(row, 'in_force')}"


def both_sides(row: dict[str, Any], bar: Bar) -> str:
    """Return why a row's limit cannot be told: which range holds it, and why that is as wide as it is."""
    seen = row.get("seen_share")
    wide = (
        f"; it is that wide because {number(1 - seen, '%')} of the requests are worked out from others"
        if seen is not None and seen < 1
        else ""
    )
    name = f"{row['metric']}{of(row)}"
    share = bar.unit == "%"
    low, high, bound = row.get("low"), row.get("high"), row["bound"]
    what_of = "range"
    if bar.is_of_force:
        low, high, bound = row["difference_low"], row["difference_high"], bound - row["in_force"]
        what_of = "difference from in force"
    if low is None or high is None:
        return f"these logs allow both sides of the limit{wide}"
    if bar.is_of_force and share:
        ends, limit = f"{100 * low:.3g} to {points(high)}", points(bound)
    else:
        ends, limit = f"{number(low, bar.unit)} to {number(high, bar.unit)}", number(bound, bar.unit)
    holds = "holds" if low <= bound <= high else "is not clear of"  # a limit in percent differs from draw to draw
    return f"the {what_of} of {name}, {ends}, {holds} the limit of {limit}{wide}"


def without_phase(rows: pl.DataFrame) -> tuple[pl.DataFrame, Sequence[str]]:
    """Return the rows but those about a phase that the incident does not have, and of these one sentence a phase."""
    gone = (pl.col("verdict") == UNJUDGED) & pl.col("why").str.starts_with(NO_PHASE)
    said = []
    for (phase,), group in rows.filter(gone).group_by("phase", maintain_order=True):
        n = group.height
        said.append(f"no {label(str(phase))} there: {n} limit{'s are' if n != 1 else ' is'} not judged")
    return rows.filter(~gone), said
