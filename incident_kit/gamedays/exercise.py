"""Game day: a degradation rehearsed on a healthy day of one's own log: who is called when, what switches, what nobody sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit.alerting.firings import alerts
from incident_kit.cachedproperty import cached_property
from incident_kit.gamedays.pages import Pager, by_intent, gaps, moved
from incident_kit.incident import Incident
from incident_kit.scenarios.scenario import Degradation, since
from incident_kit.scoring.replays import Replay
from incident_kit.scoring.scorecard import Board, compare

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy

LEAD = timedelta(minutes=30)  # of calm before a standard degradation, so that windows are full
DRAWS = 20
METRICS = ("p95_ms", "error_rate", "tool_success_rate", "override_rate", "fallback_rate")
NEAR = timedelta(minutes=5)  # what comes so near on the healthy log, comes without the degradation, too
PAGES: dict[str, Any] = {
    "policy": pl.String, "alert": pl.String, "severity": pl.String, "who": pl.String, "fired_at": pl.Datetime("us", "UTC"),
    "cleared_at": pl.Datetime("us", "UTC"), "after": pl.Duration("us"), "needless": pl.Boolean, "metric": pl.String,
    "value": pl.Float64, "n": pl.Int64, "threshold": pl.Float64, "state_exact": pl.Boolean,
}  # fmt: skip
DETECTION: dict[str, Any] = {
    "policy": pl.String, "page_at": pl.Datetime("us", "UTC"), "page_after": pl.Duration("us"), "alert": pl.String,
    "who": pl.String, "page_exact": pl.Boolean,
    "switch_at": pl.Datetime("us", "UTC"), "switch_after": pl.Duration("us"), "route": pl.String,
    "switches": pl.Int64, "pages": pl.Int64, "needless_pages": pl.Int64, "needless_switches": pl.Int64, "gaps": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True)
class GameDay:
    """A degradation over a healthy log, and what policies and their alerts make of it.

    ``healthy`` is the log as it was, ``rehearsed`` the same with the degradation imposed and nobody switching; ``parts`` are
    the degradations with instants; ``board`` has every policy on the rehearsed log, scored from the first part's beginning to
    the last one's end; ``calm`` each policy on the healthy log: what it does there is needless.
    """

    name: str
    healthy: Incident
    rehearsed: Incident
    parts: tuple[Degradation, ...]
    policies: tuple[Policy, ...]
    board: Board
    calm: Mapping[str, Replay]
    pager: Pager
    whats: tuple[str, ...] = field(default=())

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From the beginning of the first part to the end of the last, recovery included."""
        first = self.healthy.about()["first"]
        return span_of(self.parts, first)

    @property
    def zone(self) -> ZoneInfo:
        """The reader's zone."""
        return ZoneInfo(self.healthy.zone)

    @cached_property
    def pages(self) -> pl.DataFrame:
        """One row a firing of an alert under a policy, in order of time.

        Columns: policy, alert, severity, who (is called; NULL: nobody is named), fired_at, cleared_at, after (the beginning of
        the degradation; negative before it), needless (it fires before anything is wrong, or about then on the healthy log,
        too), metric, value, n, threshold (of what fired it), state_exact (it rests on nothing that was estimated).
        """
        begin, _ = self.span
        rows = []
        for one in self.policies:
            if not one.alerts:
                continue
            usual = alerts(self.calm[one.name]).firings.select("alert", "fired_at")
            for row in alerts(self.board.replays[one.name]).firings.iter_rows(named=True):
                kept = {name: row[name] for name in PAGES if name in row}
                near = (usual.filter(alert=row["alert"])["fired_at"] - row["fired_at"]).abs() <= NEAR
                needless = row["fired_at"] < begin or bool(near.any())
                kept |= {"policy": one.name, "who": self.pager.who(one, row["alert"]), "needless": needless}
                rows.append(kept | {"after": row["fired_at"] - begin})
        return pl.DataFrame(rows, schema=PAGES).sort("fired_at", maintain_order=True)

    @cached_property
    def switches(self) -> pl.DataFrame:
        """The changes of breakers under every policy, as :attr:`Replay.transitions`, with ``after`` and ``needless``."""
        begin, _ = self.span
        frames = []
        for one in self.policies:
            found = self.board.replays[one.name].transitions
            usual = self.calm[one.name].transitions.select("route", "to", usual_at="at").sort("usual_at")
            near = found.sort("at").join_asof(
                usual, left_on="at", right_on="usual_at", by=["route", "to"], strategy="nearest", tolerance=NEAR,
                check_sortedness=False,
            )  # fmt: skip
            needless = pl.col("usual_at").is_not_null() | (pl.col("at") < begin)
            frames.append(
                near.with_columns(needless.alias("needless"), (pl.col("at") - begin).alias("after")).drop("usual_at")
            )
        return pl.concat(frames).sort("at", maintain_order=True)

    @cached_property
    def detection(self) -> pl.DataFrame:
        """One row a policy: its first page and first switch because of the degradation, and how many there are.

        Columns: policy, page_at, page_after, alert, who, page_exact (it rests on nothing that was estimated), switch_at,
        switch_after, route (all NULL: none), switches (away from a primary) and pages because of it, needless_pages and
        needless_switches, gaps (see :attr:`gaps`).
        """
        rows = []
        away = self.switches.filter((pl.col("to") == "on backup") & (pl.col("from") == "on primary"))
        for one in self.policies:
            mine = pl.col("policy") == one.name
            pages, moves = self.pages.filter(mine), away.filter(mine)
            page = next(pages.filter(~pl.col("needless")).iter_rows(named=True), None)
            move = next(moves.filter(~pl.col("needless")).iter_rows(named=True), None)
            rows.append(
                {
                    "policy": one.name,
                    **({"page_at": page["fired_at"], "page_after": page["after"], "alert": page["alert"], "who": page["who"],
                        "page_exact": page["state_exact"]}
                       if page else {}),
                    **({"switch_at": move["at"], "switch_after": move["after"], "route": move["route"]} if move else {}),
                    "switches": moves.height - int(moves["needless"].sum()),
                    "pages": pages.height - int(pages["needless"].sum()),
                    "needless_pages": int(pages["needless"].sum()),
                    "needless_switches": int(moves["needless"].sum()),
                    "gaps": self.gaps.filter(mine).height,
                }
            )  # fmt: skip
        return pl.DataFrame(rows, schema=DETECTION)

    @cached_property
    def moved(self) -> pl.DataFrame:
        """What the degradation changes if nobody acts, by intent: intent, metric, n, usual, during, changed (visibly)."""
        return moved(self.healthy, self.rehearsed, self.parts, self.span)

    @cached_property
    def whole(self) -> pl.DataFrame:
        """What is usual over the whole healthy log: intent, n, and a column a signal, the intent with the most requests first."""
        return by_intent(self.healthy)

    @cached_property
    def gaps(self) -> pl.DataFrame:
        """One row a policy, intent and signal that visibly changes without anybody being called for that intent.

        Columns: policy, intent, metric, usual, during, watched_by (alerts that look at it and stay silent), switched (whether
        the intent's traffic leaves its primary, unannounced), sentence.
        """
        return gaps(self)

    @cached_property
    def felt(self) -> pl.DataFrame:
        """What customers and agents get during the degradation: the board's table, the healthy log's value as ``usual``."""
        table = self.board.table()
        usual = (
            self.usual.table()
            .filter(pl.col("policy") == "as logged")
            .select("metric", pl.col("estimate").alias("usual"))
        )
        return table.join(usual, on="metric", how="left", maintain_order="left")

    @cached_property
    def usual(self) -> Board:
        """The healthy log over the same time."""
        return compare(self.healthy, (), during=self.span, metrics=[one.name for one in self.board.metrics], draws=0)

    def save(self, folder: str | Path) -> list[Path]:
        """Write the game master's and the team's sheet as Markdown and as HTML to print; return the four files.

        Raises
        ------
        UnwritableFile
            The folder cannot be made, or is a file.
        """
        from incident_kit.gamedays.runbook import save

        return save(self, folder)

    def __str__(self) -> str:
        from incident_kit.gamedays.runbook import summary

        return summary(self)


def span_of(parts: Sequence[Degradation], first: datetime) -> tuple[datetime, datetime]:
    """Return from the first beginning of some degradations to their last end, recovery included; `first` is their zero."""
    begins = [first + timedelta(microseconds=since(one.start, first)) for one in parts]
    ends = [first + timedelta(microseconds=since(one.until, first), milliseconds=one.recovery) for one in parts]
    return min(begins), max(ends)
