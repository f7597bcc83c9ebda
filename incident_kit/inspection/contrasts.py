"""Contrasts: what some requests have more of than others, over everything that requests can be told apart by, ranked.

All rows of a table are one family (Holm's procedure at 5 %). On simulated days of which every share swings by a tenth, one in
twenty shows a row that is none; where they swing by a fifth, one in eleven (tests/test_contrasts.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.inspection.facets import DIMENSIONS, NOT_KNOWN, OUTCOMES, Against, Chosen, against
from incident_kit.stats.shares import Share, holm
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident

CHANCE = 0.05  # that a contrast of usual time with usual time has any row that is marked, at most
MOST = 50  # values of one dimension, the most frequent
_ROWS: dict[str, Any] = {
    "dimension": pl.String, "value": pl.String, "count": pl.Int64, "of": pl.Int64, "share": pl.Float64,
    "usual_count": pl.Int64, "usual_of": pl.Int64, "usual": pl.Float64, "difference": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "by_chance": pl.Float64, "stands_out": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True)
class Contrast:
    """Some requests beside others: ``rows``, one a dimension and value, those that stand out the most first.

    Columns: dimension, value, count and of (of the chosen requests those whose value is known), share, usual_count, usual_of,
    usual (the same of the others), difference of the shares with low and high (90 % confidence), by_chance (how probable
    usual time makes such a row anywhere in the table), stands_out (under 5 %). Ranked by what the difference is at least.
    """

    rows: pl.DataFrame
    chosen: int
    others: int

    def said(self, row: dict[str, Any]) -> str:
        """Return one row as a sentence: ``intent refund-policy: 610 of 2,000, 31 %; usual 12 % (14 to 22 points more)``."""
        low, high = (100 * row[name] for name in ("low", "high"))
        more = row["difference"] >= 0
        ends = (low, high) if more else (-high, -low)
        points = " to ".join(f"{max(end, 0):.1f}".removesuffix(".0") for end in ends)
        return (
            f"{row['dimension']} {label(row['value'])}: {number(row['count'])} of {number(row['of'])}, "
            f"{number(row['share'], '%')}; usual {number(row['usual'], '%')} ({points} points {'more' if more else 'less'})"
        )

    def __str__(self) -> str:
        told = self.rows.filter("stands_out")
        head = f"{number(self.chosen)} requests beside {number(self.others)} others:"
        if told.is_empty():
            return f"{head} nothing stands out from what usual time shows by chance."
        return "\n".join([head, *(f"  {self.said(row)}" for row in told.iter_rows(named=True))])


def contrast(incident: Incident, selection: Chosen = None, baseline: Chosen = "healthy") -> Contrast:
    """Return what a part of an incident has more or less of than another, over every dimension, ranked.

    Parameters
    ----------
    selection
        A phase, two instants, or request ids (such as those of a brush); None: the first impact.
    baseline
        What it is held against, in the same forms; ``healthy`` is all time outside impacts.

    Raises
    ------
    NoSuchItem
        There is no such phase.
    InvalidCase
        There are no requests on one of the sides.
    """
    return contrasted(against(incident, selection, baseline))


def contrasted(both: Against) -> Contrast:
    """Return the contrast of requests with those that they are held against."""
    found: list[tuple[str, str, Share]] = []
    for column, name in (*DIMENSIONS.items(), *((key, label(key[1:])) for key in both.facets.labels)):
        found += [(name, value, share) for value, share in _values(both, column)]
    for column, (name, _) in OUTCOMES.items():
        known = both.facets.rows[column].is_not_null().to_numpy()
        flags = both.facets.rows[column].fill_null(value=False).to_numpy()
        share = _beside(both, flags, known)
        if share.of and share.usual_of and share.count + share.usual_count:
            found.append((name, "yes", share))
    chances = holm([share.by_chance(side="both") for *_, share in found])
    rows = [_row(*one, chance) for one, chance in zip(found, chances, strict=True)]
    table = pl.DataFrame(rows, schema=_ROWS)
    least = pl.max_horizontal("low", -pl.col("high"))
    order = [~pl.col("stands_out"), -least, "dimension", "value"]
    return Contrast(table.sort(order), int(both.chosen.sum()), int(both.usual.sum()))


def _values(both: Against, column: str) -> list[tuple[str, Share]]:
    """Return the shares of a dimension's values, where it has two at least; unknown is a value, too."""
    values = both.facets.rows[column]
    if values.n_unique() < 2 or values.null_count() == len(values):
        return []
    counted = values.fill_null(NOT_KNOWN).value_counts(sort=True, name="rows").sort(
        ["rows", column], descending=[True, False]
    )  # fmt: skip
    everybody = np.ones(len(values), np.bool_)
    filled = values.fill_null(NOT_KNOWN)
    names = counted[column].head(MOST).to_list()
    return [(name, _beside(both, (filled == name).to_numpy(), everybody)) for name in names]


def _beside(both: Against, hit: NDArray[np.bool_], known: NDArray[np.bool_]) -> Share:
    mine = both.chosen & known
    return both.windows.beside(int((hit & mine).sum()), int(mine.sum()), hit[both.usual], known[both.usual])


def _row(name: str, value: str, share: Share, chance: float) -> dict[str, Any]:
    low, high = share.interval()
    return {
        "dimension": name, "value": value, "count": share.count, "of": share.of, "share": share.share,
        "usual_count": share.usual_count, "usual_of": share.usual_of, "usual": share.usual, "difference": share.difference,
        "low": low, "high": high, "by_chance": chance, "stands_out": chance < CHANCE,
    }  # fmt: skip
