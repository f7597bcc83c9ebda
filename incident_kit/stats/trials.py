"""Trials: rows of one kind in a span of time, beside the same in usual time; what every check of the findings is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.stats.shares import Share, Usual
from incident_kit.words import label, number

Flags = NDArray[np.bool_]
Spans = Sequence[tuple[int, int]]
Side = Literal["more", "both"]
LIFT = 1.25  # times the usual, less of which is not interesting however sure
LEAST = 5  # more than usual, fewer of which are not
FEWEST = 30  # usual rows of a group that is looked at by itself
GROUPS = 12  # looked at by themselves, the largest


@dataclass(frozen=True)
class Trial:
    """One share beside its usual: of everything (``group`` is empty), or of one group."""

    group: str
    share: Share
    side: Side = "more"
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    @property
    def by_chance(self) -> float:
        """How probable usual time alone makes it."""
        return self.share.by_chance(side=self.side)

    @property
    def is_large(self) -> bool:
        """Whether it would matter, were it sure."""
        share = self.share
        lift = share.lift
        if self.side == "both" and share.excess < 0:
            rest = Share(share.of - share.count, share.of, share.usual_of - share.usual_count, share.usual_of)
            lift = max(1 / lift, rest.lift)
        enough = abs(share.excess) if self.side == "both" else share.excess
        return lift >= LIFT and enough >= LEAST

    @property
    def strength(self) -> float:
        """How many standard errors apart the two shares are."""
        share = self.share
        if not share.of or not share.usual_of:
            return 0.0
        both = (share.count + share.usual_count + 1) / (share.of + share.usual_of + 2)
        error = both * (1 - both) * (share.spread / share.of + share.usual_spread / share.usual_of)
        return float((share.difference or 0.0) / error**0.5)

    def told(self) -> str:
        """Return the count, its whole and the usual share: ``300 of 1,000, usual 9 %``."""
        share = self.share
        return f"{number(share.count)} of {number(share.of)}, usual {number(share.usual, '%')}"


@dataclass(frozen=True)
class Rows:
    """Rows of one kind, in order of time: which are looked at, which are usual, and whose requests they are."""

    ids: pl.Series
    chosen: Flags
    usual: Flags
    windows: Usual

    @classmethod
    def of(cls, at_us: NDArray[np.int64], ids: pl.Series, *, look: Spans, usual: Spans) -> Rows:
        """Return rows at these instants, in microseconds, split by spans [begin, end)."""
        mine, others = (_within(at_us, spans) for spans in (look, usual))
        others &= ~mine
        return cls(ids, mine, others, Usual.of(at_us[others], usual))

    def trial(
        self, hit: pl.Series | Flags, known: Flags | None = None, *, group: str = "", side: Side = "more"
    ) -> Trial:
        """Return one share beside its usual; a NULL hit is not known, and counts nowhere."""
        counted = known
        if isinstance(hit, pl.Series):
            there = hit.is_not_null().to_numpy()
            counted = there if known is None else there & known
            hit = hit.fill_null(value=False).to_numpy()
        if counted is None:
            counted = np.ones(len(hit), np.bool_)
        mine = self.chosen & counted
        share = self.windows.beside(int((hit & mine).sum()), int(mine.sum()), hit[self.usual], counted[self.usual])
        return Trial(group, share, side, np.flatnonzero(hit & mine))

    def trials(
        self, hit: pl.Series, groups: pl.Series, known: Flags | None = None, *, side: Side = "more"
    ) -> list[Trial]:
        """Return the share of everything, and of each larger group by itself where there are two at least."""
        there = hit.is_not_null().to_numpy() if known is None else hit.is_not_null().to_numpy() & known
        found = [self.trial(hit, known, side=side)]
        names = self.groups(groups, there)
        if len(names) > 1:
            found += [self.trial(hit, there & mask, group=name, side=side) for name, mask in names.items()]
        return found

    def groups(self, groups: pl.Series, known: Flags | None = None) -> dict[str, Flags]:
        """Return the larger groups: those with enough usual rows to be held against, the largest first."""
        counted = groups.is_not_null().to_numpy() if known is None else groups.is_not_null().to_numpy() & known
        sizes = groups.filter(pl.Series(counted & self.usual)).value_counts(sort=True, name="rows")
        sizes = sizes.filter(pl.col("rows") >= FEWEST).sort(["rows", groups.name], descending=[True, False])
        return {
            name: (groups == name).fill_null(value=False).to_numpy() & counted
            for name in sizes[groups.name].head(GROUPS)
        }

    def matched(self, hit: pl.Series, strata: pl.Series, mine: Flags, others: Flags, *, side: Side = "both") -> Trial:
        """Return a share of some rows beside that of usual others, weighted as if they had the same strata.

        The usual count is that of so many rows as would make the weighted share as uncertain as it is.
        """
        frame = pl.DataFrame({"hit": hit, "of": strata, "mine": self.chosen & mine, "usual": self.usual & others})
        table = frame.filter(pl.col("hit").is_not_null() & pl.col("of").is_not_null()).group_by("of").agg(
            n=pl.col("mine").sum().cast(pl.Int64), k=(pl.col("mine") & pl.col("hit")).sum().cast(pl.Int64),
            usual_n=pl.col("usual").sum().cast(pl.Int64), usual_k=(pl.col("usual") & pl.col("hit")).sum().cast(pl.Int64),
        ).filter(pl.col("usual_n") >= FEWEST, pl.col("n") > 0)  # fmt: skip
        n = int(table["n"].sum())
        if not n:
            return Trial("", Share(0, 0, 0, 0), side)
        weight = table["n"].to_numpy() / n
        usual = float((weight * table["usual_k"].to_numpy() / table["usual_n"].to_numpy()).sum())
        like = round(1 / float((weight**2 / table["usual_n"].to_numpy()).sum()))
        kept = (hit.is_not_null() & strata.is_in(table["of"].implode()).fill_null(value=False)).to_numpy()
        flags = hit.fill_null(value=False).to_numpy()
        plain = self.windows.beside(
            int(table["k"].sum()), n, flags[self.usual], (kept & others)[self.usual]
        )  # how much it varies is that of the same rows, unweighted
        share = Share(plain.count, n, round(usual * like), like, plain.spread, plain.usual_spread)
        return Trial("", share, side, np.flatnonzero(flags & kept & mine & self.chosen))


def apart(one: Trial, rest: Trial) -> float:
    """Return how many standard errors a group's difference from its usual is above that of the rest."""
    error = 0.0
    for trial in (one, rest):
        share = trial.share
        if not share.of or not share.usual_of:
            return 0.0
        for count, of, spread in (
            (share.count, share.of, share.spread),
            (share.usual_count, share.usual_of, share.usual_spread),
        ):
            p = (count + 0.5) / (of + 1)
            error += p * (1 - p) * spread / of
    return float(((one.share.difference or 0.0) - (rest.share.difference or 0.0)) / error**0.5)


def together(trials: Sequence[Trial]) -> Trial:
    """Return groups that share no row as one; it varies as the one of them that varies most."""
    if len(trials) == 1:
        return trials[0]
    shares = [one.share for one in trials]
    share = Share(
        sum(one.count for one in shares), sum(one.of for one in shares), sum(one.usual_count for one in shares),
        sum(one.usual_of for one in shares), max(one.spread for one in shares), max(one.usual_spread for one in shares),
    )  # fmt: skip
    group = named([one.group for one in trials], most=len(trials))
    return Trial(group, share, trials[0].side, np.sort(np.concatenate([one.rows for one in trials])))


def named(groups: Sequence[Any], *, most: int = 3) -> str:
    """Return names in a list, cut after a few."""
    shown = [label(str(one)) for one in groups[:most]]
    more = f" and {len(groups) - most} more" if len(groups) > most else ""
    return (", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 and not more else ", ".join(shown)) + more


def _within(at_us: NDArray[np.int64], spans: Spans) -> Flags:
    found = np.zeros(len(at_us), np.bool_)
    for begin, end in spans:
        found |= (at_us >= begin) & (at_us < end)
    return found
