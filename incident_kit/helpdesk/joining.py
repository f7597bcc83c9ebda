"""Joining: which ticket of the help desk each request of the gateway belongs to, and how that is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.words import number

if TYPE_CHECKING:
    from incident_kit.incident import Incident

WAYS = ("id", "suggestion", "conversation", "time", "ambiguous", "none")
SURE = ("id", "suggestion", "conversation")
_ROWS: dict[str, Any] = {
    "request_id": pl.String, "ticket_id": pl.String, "how": pl.Enum(WAYS), "candidates": pl.Int64, "in_desk": pl.Boolean,
}  # fmt: skip
_TOLD = {
    "id": "the request names its ticket",
    "suggestion": "the agent's decision on its answer names the ticket",
    "conversation": "another request of its conversation does",
    "time": "the only ticket open at that time with the same intent or channel that nothing else names: a guess",
    "ambiguous": "several tickets, or several conversations for one ticket: not joined",
    "none": "no ticket",
}


@dataclass(frozen=True)
class TicketJoin:
    """Requests with their tickets: ``rows``, one a request in order of arrival.

    Columns: request_id, ticket_id (as the help desk spells it; NULL where none or several are possible), how (one of
    :data:`WAYS`), candidates (how many tickets were possible), in_desk (whether the help desk's exports have that ticket;
    NULL without one). ``desk`` is how many tickets the exports have.
    """

    rows: pl.DataFrame
    desk: int

    @cached_property
    def summary(self) -> pl.DataFrame:
        """One row a way of joining: how, requests, share, tickets, in_desk (tickets that the exports have), candidates (mean)."""
        found = self.rows.group_by("how").agg(
            pl.len().cast(pl.Int64).alias("requests"),
            pl.col("ticket_id").drop_nulls().n_unique().cast(pl.Int64).alias("tickets"),
            pl.col("ticket_id").filter("in_desk").n_unique().cast(pl.Int64).alias("in_desk"),
            pl.col("candidates").mean(),
        )
        every = pl.DataFrame({"how": WAYS}, schema={"how": pl.Enum(WAYS)})
        size = max(self.rows.height, 1)
        return (
            every.join(found, on="how", how="left", maintain_order="left")
            .with_columns(pl.col("requests", "tickets", "in_desk").fill_null(0))
            .select("how", "requests", (pl.col("requests") / size).alias("share"), "tickets", "in_desk", "candidates")
        )

    @property
    def match_rate(self) -> float:
        """The share of requests with a ticket, guesses by time included."""
        return float(self.rows["ticket_id"].is_not_null().to_numpy().mean()) if self.rows.height else 0.0

    @property
    def ambiguity(self) -> float:
        """The share of requests that could belong to several tickets, or share one with another conversation."""
        return float((self.rows["how"] == "ambiguous").to_numpy().mean()) if self.rows.height else 0.0

    @cached_property
    def reached(self) -> int:
        """How many of the help desk's tickets some request is joined to."""
        return self.rows.filter("in_desk")["ticket_id"].n_unique()

    def __str__(self) -> str:
        size = self.rows.height
        if not size:
            return "No requests to join with tickets."
        counts = {row["how"]: row["requests"] for row in self.summary.iter_rows(named=True)}
        if not self.desk and not any(counts[how] for how in SURE):
            return "No request names a ticket, and no ticket of a help desk is loaded."
        ways = ", ".join(f"{number(counts[how])} by {how}" for how in WAYS[:4] if counts[how])
        matched, reached = number(self.match_rate, "%"), f"{number(self.reached)} of {number(self.desk)}"
        said = f"Requests with a ticket: {matched} ({ways or 'none'}); {number(counts['ambiguous'])} ambiguous, "
        said += f"{number(counts['none'])} without. Tickets with a request: {reached} in the help desk's exports."
        lines = [said]
        strange = self.rows.filter(~pl.col("in_desk"))["ticket_id"].n_unique()
        if strange and self.desk:
            lines.append(f"{number(strange)} tickets that requests name are in none of the help desk's exports.")
        if counts["time"]:
            lines.append(f"By time: {_TOLD['time']}.")
        return "\n".join(lines)


def join_tickets(incident: Incident, *, before: timedelta = timedelta(0)) -> TicketJoin:
    """Return every request of an incident with its ticket, and how that is known.

    A request is joined to the ticket that it names; else to the one that an agent's decision on its answer names; else to the
    only one that other requests of its conversation name; else by time: to the one ticket that was open when its
    conversation (or it, without one) began, that agrees with it in intent or channel and contradicts it in neither, and that
    nothing else names. Two possible tickets, or two conversations for one ticket, are ambiguous and stay without.

    Parameters
    ----------
    before
        How long before its creation a ticket may take a request by time: where customers talk to a model first.
    """
    requests = incident.store.query("join_requests")
    tickets = incident.store.query("join_tickets")
    known = _by_name(requests, tickets)
    rows = _by_time(known, tickets, before)
    return TicketJoin(rows.select(pl.col(name).cast(kind) for name, kind in _ROWS.items()), tickets.height)


def _by_name(requests: pl.DataFrame, tickets: pl.DataFrame) -> pl.DataFrame:
    """Return the requests joined by what the logs themselves name."""
    pairs = requests.select("request_id", pl.col("ticket_id").alias("name")).drop_nulls()
    suggested = requests.select("request_id", pl.col("suggested").alias("name")).explode("name").drop_nulls()
    names = pl.concat([pairs["name"], suggested["name"]]).unique()
    spelt = _spelling(names, tickets["ticket_id"])
    by_id = pairs.join(spelt, on="name").select("request_id", pl.col("desk_id").alias("own"))
    by_review = (
        suggested.join(spelt, on="name")
        .unique(["request_id", "desk_id"])
        .group_by("request_id")
        .agg(pl.col("desk_id").min().alias("reviewed"), pl.len().cast(pl.Int64).alias("reviews"))
    )
    rows = requests.join(by_id, on="request_id", how="left", maintain_order="left").join(
        by_review, on="request_id", how="left", maintain_order="left"
    )
    sure = pl.coalesce("own", pl.when(pl.col("reviews") == 1).then("reviewed"))
    rows = rows.with_columns(sure.alias("sure"))
    talks = (
        rows.filter(pl.col("conversation_id").is_not_null(), pl.col("sure").is_not_null())
        .group_by("conversation_id")
        .agg(pl.col("sure").min().alias("talk"), pl.col("sure").n_unique().cast(pl.Int64).alias("talks"))
    )
    rows = rows.join(talks, on="conversation_id", how="left", maintain_order="left")
    by_talk = pl.col("talks") == 1
    several = pl.max_horizontal(
        pl.col("reviews").fill_null(0), pl.when(pl.col("reviews").is_null()).then("talks").fill_null(0)
    )
    how = (
        pl.when(pl.col("own").is_not_null()).then(pl.lit("id"))
        .when(pl.col("reviews") == 1).then(pl.lit("suggestion"))
        .when(pl.col("reviews") > 1).then(pl.lit("ambiguous"))
        .when(by_talk).then(pl.lit("conversation"))
        .when(pl.col("talks") > 1).then(pl.lit("ambiguous"))
        .otherwise(pl.lit("none"))
    )  # fmt: skip
    ticket = pl.when(pl.col("sure").is_not_null()).then("sure").when(by_talk & pl.col("reviews").is_null()).then("talk")
    in_desk = tickets.select(pl.col("ticket_id").alias("named")).with_columns(in_desk=True)
    return (
        rows.with_columns(how.alias("how"), ticket.alias("named"))
        .with_columns(
            pl.when(pl.col("how") == "ambiguous")
            .then(several)
            .otherwise(pl.col("named").is_not_null().cast(pl.Int64))
            .alias("candidates")
        )
        .join(in_desk, on="named", how="left", maintain_order="left")
        .with_columns(pl.when(pl.col("named").is_not_null()).then(pl.col("in_desk").fill_null(value=False)))
        .select(
            "request_id", "conversation_id", "intent", "channel", "arrived_us", pl.col("named").alias("ticket_id"),
            "how", "candidates", "in_desk",
        )
    )  # fmt: skip


def _spelling(names: pl.Series, desk: pl.Series) -> pl.DataFrame:
    """Return how the help desk spells ticket names: its own first, else the only one alike but for case, # and .0."""
    given, own = pl.DataFrame({"name": names}), pl.DataFrame({"desk": desk})
    plain = {
        column: pl.col(column).str.strip_chars().str.to_lowercase().str.replace(r"^#\s*", "").str.replace(r"\.0$", "")
        for column in ("name", "desk")
    }
    alike = own.group_by(plain["desk"].alias("plain")).agg(pl.col("desk").min(), pl.len().alias("n")).filter(n=1)
    exact = own.select(pl.col("desk").alias("name"), pl.col("desk").alias("same"))
    return (
        given.join(exact, on="name", how="left", maintain_order="left")
        .with_columns(plain["name"].alias("plain"))
        .join(alike, on="plain", how="left", maintain_order="left")
        .select("name", pl.coalesce("same", "desk", "name").alias("desk_id"))
    )


def _by_time(rows: pl.DataFrame, tickets: pl.DataFrame, before: timedelta) -> pl.DataFrame:
    """Return the rows, those that nothing named joined by time where exactly one ticket fits exactly one conversation."""
    free = tickets.filter(
        pl.col("created_us").is_not_null(),
        ~pl.col("ticket_id").is_in(rows["ticket_id"].drop_nulls().unique().to_list()),
    )
    left = rows.filter(how="none")
    if free.is_empty() or left.is_empty():
        return rows
    unit = pl.coalesce(pl.lit("c") + pl.col("conversation_id"), pl.lit("r") + pl.col("request_id"))
    units = (
        left.group_by(unit.alias("unit"), maintain_order=True)
        .agg(
            pl.col("intent", "channel").drop_nulls().first(),
            pl.col("arrived_us").min().alias("first"),
            pl.col("arrived_us").max().alias("last"),
        )
        .with_columns(candidates=pl.lit(0, pl.Int64), position=pl.lit(-1, pl.Int64))
    )
    parts = []
    for (intent, channel), group in units.group_by("intent", "channel", maintain_order=True):
        count, position = _open_at(free, intent, channel, group["first"].to_numpy(), before)
        parts.append(group.with_columns(pl.Series("candidates", count), pl.Series("position", position)))
    found = pl.concat(parts)
    closed = free["closed_us"].fill_null(np.iinfo(np.int64).max)
    chosen = found.with_columns(
        pl.when(pl.col("position") >= 0).then(free["ticket_id"].gather(found["position"].clip(0))).alias("guess"),
        (pl.col("last") > closed.gather(found["position"].clip(0))).alias("outlived"),
    ).with_columns(pl.len().over("guess").alias("claims"))
    is_one = (pl.col("candidates") == 1) & ~pl.col("outlived") & (pl.col("claims") == 1)
    is_many = (pl.col("candidates") > 1) | ((pl.col("candidates") == 1) & (pl.col("claims") > 1))
    guesses = chosen.select(
        "unit",
        pl.when(is_one).then("guess").alias("guess"),
        pl.when(is_one).then(pl.lit("time")).when(is_many).then(pl.lit("ambiguous")).alias("by"),
        pl.when(is_one | is_many).then("candidates").otherwise(0).alias("n"),
    )
    is_left = pl.col("how") == "none"
    return (
        rows.with_columns(pl.when(is_left).then(unit).alias("unit"))
        .join(guesses, on="unit", how="left", maintain_order="left")
        .with_columns(
            pl.coalesce("ticket_id", "guess").alias("ticket_id"),
            pl.when(is_left).then(pl.coalesce("by", "how")).otherwise("how").alias("how"),
            pl.when(is_left).then(pl.col("n").fill_null(0)).otherwise("candidates").alias("candidates"),
            pl.when(pl.col("guess").is_not_null()).then(pl.lit(value=True)).otherwise("in_desk").alias("in_desk"),
        )
    )


def _open_at(
    tickets: pl.DataFrame, intent: Any, channel: Any, at_us: NDArray[Any], before: timedelta
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many tickets that fit were open at each instant, and the position of the one where there is one (else -1).

    Of sorted beginnings and ends both the count and, where it is one, the position are differences of running sums.
    """
    agrees, fits = np.zeros(tickets.height, np.bool_), np.ones(tickets.height, np.bool_)
    for name, wanted in (("intent", intent), ("channel", channel)):
        if wanted is not None:
            same = tickets[name] == wanted
            agrees |= same.fill_null(value=False).to_numpy()
            fits &= same.fill_null(value=True).to_numpy()  # a ticket that says none contradicts nothing
    mine = np.flatnonzero(agrees & fits)
    begins = tickets["created_us"].to_numpy()[mine] - before // timedelta(microseconds=1)
    ends = tickets["closed_us"].fill_null(np.iinfo(np.int64).max).to_numpy()[mine]
    count, total = np.zeros(len(at_us), np.int64), np.zeros(len(at_us), np.int64)
    for sign, edges, side in ((1, begins, "right"), (-1, np.maximum(ends, begins - 1), "left")):
        order = np.argsort(edges, kind="stable")
        passed = np.searchsorted(edges[order], at_us, side=side)  # type: ignore[call-overload]
        count += sign * passed
        total += sign * np.concatenate([[0], np.cumsum(mine[order])])[passed]
    return count, np.where(count == 1, total, -1)
