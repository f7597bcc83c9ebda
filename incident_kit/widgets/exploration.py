"""Exploration: an incident made ready to be asked, at once, what stands out in any part of its time, and who was in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidCase
from incident_kit.helpdesk.joining import join_tickets
from incident_kit.helpdesk.ticketlist import ticket_list
from incident_kit.inspection.contrasts import Contrast, contrasted
from incident_kit.inspection.facets import DIMENSIONS, OUTCOMES, Against, against, facets
from incident_kit.phases import Phase
from incident_kit.scoring.series import STEPS_S, missed_at
from incident_kit.words import label, number, sentence

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.inspection.facets import Facets

Span = tuple[datetime, datetime]
STEPS = 600  # that a window can be moved by, at most, from end to end of a log
WERE = 10  # rows that are shown of what requests were
OF_ONE = 3  # rows of one dimension
COLUMNS = (
    "request_id", "arrived_at", "ticket_id", "conversation_id", "intent", "channel", "requested", "served", "deployment",
    "provider", "wait_ms", "slow", "failed", "error_class", "is_fallback", "refused", "resent", "tool_calls", "tool_errors",
    "tool_failed", "overridden", "prompt_tokens", "completion_tokens", "cost_usd",
)  # fmt: skip
_ROWS: dict[str, Any] = {
    "what": pl.String, "place": pl.Int64, "count": pl.String, "share": pl.String, "usual": pl.String, "range": pl.String,
    "difference": pl.Float64, "low": pl.Float64, "high": pl.Float64, "verdict": pl.String, "said": pl.String, "also": pl.String,
}  # fmt: skip
MORE, LESS, CHANCE = "more", "less", "chance"


@dataclass(frozen=True)
class Look:
    """One window beside its baseline: ``found`` is their contrast, None where there is nothing to compare, which ``why`` says."""

    exploration: Exploration = field(repr=False)
    selection: Span
    baseline: str | Span
    found: Contrast | None
    why: str = ""

    @cached_property
    def requests(self) -> pl.DataFrame:
        """The requests that arrived in the window, in order of arrival: COLUMNS of :class:`Exploration`."""
        return self.exploration.requests(self.selection)

    @cached_property
    def tickets(self) -> pl.DataFrame:
        """The tickets with a request or a due target in the window, as :func:`ticket_list` gives them."""
        return self.exploration.tickets(self.selection)


class Exploration:
    """An incident with all that its requests can be told apart by, read once."""

    def __init__(self, incident: Incident) -> None:
        self.incident = incident
        self.series = incident.series()

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.incident.log)

    @cached_property
    def facets(self) -> Facets:
        """What requests can be told apart by."""
        return facets(self.incident)

    @cached_property
    def limits(self) -> Span:
        """The first and the last instant of the time axis.

        Raises
        ------
        InvalidCase
            There are no requests.
        """
        if self.series.is_empty():
            raise InvalidCase("there are no requests to explore: load a gateway's log first")
        return self.series["at"].min(), self.series["until"].max()  # type: ignore[return-value]

    @cached_property
    def step(self) -> timedelta:
        """The round time that a window is moved by."""
        span = (self.limits[1] - self.limits[0]).total_seconds()
        return timedelta(seconds=next((step for step in STEPS_S if span / step <= STEPS), STEPS_S[-1]))

    @cached_property
    def bin(self) -> timedelta:
        """The length of an interval of the series."""
        return self.series["until"][0] - self.series["at"][0]  # type: ignore[no-any-return]

    @cached_property
    def first(self) -> Span:
        """What is looked at first: the first impact within the log, else the interval with the longest waits."""
        begin, end = self.limits
        for phase in self.incident.phases:
            if phase.kind == "impact" and phase.at < end and (phase.until or end) > begin:
                return self.within(*self.lasting(phase))
        return self.series.sort("p95_wait_ms", "at", descending=[True, False], nulls_last=True).row(0)[:2]

    def lasting(self, phase: Phase) -> Span:
        """Return when a phase began and ended: one without an end lasts to the recovery after it, or to the log's end."""
        after = (one.at for one in self.incident.phases if one.kind == "recovered" and one.at > phase.at)
        return phase.at, phase.until or next(after, max(self.limits[1], phase.at))

    @cached_property
    def outcomes(self) -> int:
        """How many kinds of outcomes there were at all, at least one."""
        return sum(bool(self.facets.rows[name].any()) for name in OUTCOMES) or 1

    @cached_property
    def kinds(self) -> int:
        """How many lines tell what requests were, at most."""
        rows = self.facets.rows
        known = [rows[name].n_unique() for name in (*DIMENSIONS, *self.facets.labels) if rows[name].count()]
        return min(WERE, sum(min(values, OF_ONE) for values in known if values > 1)) or 1

    def within(self, begin: datetime, end: datetime) -> Span:
        """Return a span cut to the time axis and at least a step long.

        Raises
        ------
        InvalidCase
            An instant has no zone, or the span ends before it begins.
        """
        for at in (begin, end):
            Phase("note", at)  # says so where it has no zone
        if end < begin:
            raise InvalidCase(f"the window ends ({end:%Y-%m-%d %H:%M:%S}) before it begins ({begin:%Y-%m-%d %H:%M:%S})")
        first, last = self.limits
        begin = min(max(begin, first), last - self.step)
        return max(begin, first), min(max(end, begin + self.step), last)

    def look(self, selection: Span, baseline: str | Span = "healthy") -> Look:
        """Return a window beside a baseline: ``healthy``, ``all`` (the rest of the log), a phase, or two instants."""
        try:
            both = self.against(selection, baseline)
        except InvalidCase as error:
            return Look(self, selection, baseline, None, str(error))
        return Look(self, selection, baseline, contrasted(both))

    def against(self, selection: Span, baseline: str | Span) -> Against:
        """Return the requests of a window and those that they are held against; errors as of :func:`contrast`."""
        return against(self.incident, selection, baseline, of=self.facets)

    def requests(self, selection: Span) -> pl.DataFrame:
        """Return the requests that arrived in a span [from, until), in order of arrival."""
        return self._requests.filter(_inside("arrived_at", selection))

    def tickets(self, selection: Span) -> pl.DataFrame:
        """Return the tickets with a request or a due target in a span, those that missed a target first."""
        ids = self._seen.filter(_inside("at", selection))["ticket_id"].unique()
        return self._tickets.filter(pl.col("ticket_id").is_in(ids.implode()))

    @cached_property
    def _requests(self) -> pl.DataFrame:
        at = pl.from_epoch("at_us", time_unit="us").dt.replace_time_zone("UTC").alias("arrived_at")
        return self.facets.rows.with_columns(at).select(COLUMNS).sort("arrived_at", "request_id")

    @cached_property
    def _tickets(self) -> pl.DataFrame:
        return ticket_list(self.incident)

    @cached_property
    def _seen(self) -> pl.DataFrame:
        """When something of a ticket happened: a request of its own, or a target that fell due."""
        own = pl.DataFrame({"request_id": self.incident.log.request_id, "at": self._arrived})
        asked = join_tickets(self.incident).rows.join(own, on="request_id").select("ticket_id", "at")
        clocks = self.incident.clock.instances.filter(pl.col("verdict") != "cancelled")
        at = pl.coalesce(missed_at(), "due_at", "recorded_due_at").alias("at")
        due = clocks.select("ticket_id", at) if clocks.height else asked.clear()
        return pl.concat([asked, due]).drop_nulls()

    @property
    def _arrived(self) -> pl.Series:
        return pl.Series("at", self.incident.log.arrived_us).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _inside(column: str, span: Span) -> pl.Expr:
    return pl.col(column).is_between(*span, closed="left")


def panels(found: Contrast | None, *, slow_ms: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return a contrast as it is shown: what became of the requests, and what they were, one row a line of text."""
    rows = pl.DataFrame() if found is None else found.rows
    if found is None or rows.is_empty():
        return pl.DataFrame(schema=_ROWS), pl.DataFrame(schema=_ROWS)
    outcome = pl.col("dimension").is_in([name for name, _ in OUTCOMES.values()]) & (pl.col("value") == "yes")
    # a provider, its only deployment and its only model are the same requests, told once
    same = pl.struct("count", "of", "usual_count", "usual_of")
    named = pl.format("{} {}", "dimension", pl.col("value").map_elements(label, return_dtype=pl.String))
    were = rows.filter(~outcome).with_columns(also=named.str.join(", ").over(same))
    were = were.unique(["count", "of", "usual_count", "usual_of"], keep="first", maintain_order=True)
    were = were.filter(pl.int_range(pl.len()).over("dimension") < OF_ONE).head(WERE)
    became = rows.filter(outcome).with_columns(also=pl.lit(""))
    return _shown(became, found, slow_ms=slow_ms), _shown(were, found, slow_ms=slow_ms)


def _shown(rows: pl.DataFrame, found: Contrast, *, slow_ms: int) -> pl.DataFrame:
    lines = []
    for place, row in enumerate(rows.iter_rows(named=True)):
        what = f"{row['dimension']}: {label(row['value'], longest=26)}" if row["also"] else row["dimension"]
        what += f" (over {number(slow_ms, 's')})" if what == "slow" else ""
        lines.append(
            {name: row[name] for name in ("difference", "low", "high", "also")}
            | {
                "what": label(sentence(what), longest=38),
                "place": place,
                "verdict": _verdict(row),
                "range": _range(row),
            }
            | {"count": f"{number(row['count'])} of {number(row['of'])}", "said": found.said(row)}
            | {name: number(row[name], "%") for name in ("share", "usual")}
        )
    return pl.DataFrame(lines, schema=_ROWS)


def _verdict(row: dict[str, Any]) -> str:
    return CHANCE if not row["stands_out"] else MORE if row["difference"] > 0 else LESS


def _range(row: dict[str, Any]) -> str:
    """Return by how many points a share differs; in usual time, too, shares differ by some."""
    if not row["stands_out"]:
        return "as usual, or by chance"
    low, high = (row["low"], row["high"]) if row["difference"] > 0 else (-row["high"], -row["low"])
    ends = [number(max(end, 0.0), "%").removesuffix(" %") for end in (low, high)]
    return f"{ends[0]} to {ends[1]} points {_verdict(row)}"
