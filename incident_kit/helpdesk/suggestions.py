"""Suggestions: which answer each one was, what agents did with it, and the override rate over both denominators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.errors import NoSuchItem, did_you_mean
from incident_kit.helpdesk.joining import SURE, join_tickets
from incident_kit.words import number

if TYPE_CHECKING:
    from datetime import datetime

    from incident_kit.incident import Incident

DECISIONS = ("accepted", "edited", "rejected", "ignored", "unknown")
BY = ("source", "intent", "target")
NONE = "(none)"
WAYS = ("id", "ticket", "ambiguous", "none")
_SKEW = timedelta(seconds=5)  # between the clocks of a gateway and a help desk
_ROWS: dict[str, Any] = {
    "source": pl.String, "suggestion_id": pl.String, "ticket_id": pl.String, "at": pl.Datetime("us", "UTC"),
    "decision": pl.String, "request_id": pl.String, "intent": pl.String, "target": pl.String, "how": pl.Enum(WAYS),
    "candidates": pl.Int64,
}  # fmt: skip
TABLE: dict[str, Any] = {
    "suggestions": pl.Int64, **dict.fromkeys(DECISIONS, pl.Int64), "override_rate": pl.Float64,
    "override_rate_ignored_rejected": pl.Float64, "is_lower_bound": pl.Boolean, "linked": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class SuggestionJoin:
    """Suggestions with the requests that made them: ``rows``, one a suggestion in the order they were shown.

    Columns: source (the product that recorded it), suggestion_id, ticket_id, at (when it was shown; else its request's
    arrival, else the decision), decision, request_id, intent and target (what answered) of the request, how (one of
    :data:`WAYS`: the record names the request; the only answer for its ticket shortly before; several; none) and candidates
    (how many answers were possible).
    """

    rows: pl.DataFrame

    @property
    def match_rate(self) -> float:
        """The share of suggestions whose request is known."""
        return float(self.rows["request_id"].is_not_null().to_numpy().mean()) if self.rows.height else 0.0

    @property
    def ambiguity(self) -> float:
        """The share of suggestions that several answers for their ticket could have made."""
        return float((self.rows["how"] == "ambiguous").to_numpy().mean()) if self.rows.height else 0.0

    def __str__(self) -> str:
        if not self.rows.height:
            return "No suggestion is logged."
        count = {how: int((self.rows["how"] == how).sum()) for how in WAYS}
        ways = f"{number(count['id'])} by id, {number(count['ticket'])} by ticket and time"
        return (
            f"Suggestions with their request: {number(self.match_rate, '%')} ({ways}); {number(count['ambiguous'])} "
            f"ambiguous, {number(count['none'])} without."
        )


def join_suggestions(incident: Incident, *, within: timedelta = timedelta(minutes=2)) -> SuggestionJoin:
    """Return every suggestion with the request that made it, and how that is known.

    No help desk records which request to a model made a suggestion. A suggestion is joined to the request that its record
    names; else to the only answered request for its ticket that arrived up to ``within`` before it was shown. Several are
    ambiguous and stay without; so does a record that names a request which the log does not have.
    """
    suggestions = incident.store.query("suggestion_decisions")
    answers = incident.store.query("suggestion_answers")
    tickets = join_tickets(incident).rows.filter(pl.col("how").cast(pl.String).is_in(SURE))
    answers = answers.join(
        tickets.select("request_id", "ticket_id"), on="request_id", how="left", maintain_order="left"
    )
    fits = (
        suggestions.filter(~pl.col("names_request"), pl.col("ticket_id").is_not_null(), pl.col("at").is_not_null())
        .with_columns(_plain("ticket_id"))
        .join(answers.drop_nulls(["ticket_id", "target"]).with_columns(_plain("ticket_id")), on="plain")
        .filter(pl.col("arrived_at") >= pl.col("at") - within, pl.col("answered_at") <= pl.col("at") + _SKEW)
    )
    found = fits.group_by("source", "suggestion_id").agg(
        pl.col("request_id_right").min().alias("guess"), pl.len().cast(pl.Int64).alias("fitting")
    )
    rows = suggestions.join(
        found, on=["source", "suggestion_id"], how="left", nulls_equal=True, maintain_order="left"
    ).with_columns(
        pl.coalesce("request_id", pl.when(pl.col("fitting") == 1).then("guess")).alias("request_id"),
        pl.when(pl.col("request_id").is_not_null()).then(pl.lit("id"))
        .when(pl.col("fitting") == 1).then(pl.lit("ticket"))
        .when(pl.col("fitting") > 1).then(pl.lit("ambiguous"))
        .otherwise(pl.lit("none")).alias("how"),
        pl.coalesce("fitting", pl.col("request_id").is_not_null().cast(pl.Int64)).alias("candidates"),
    )  # fmt: skip
    rows = rows.join(
        answers.select("request_id", "intent", "target"), on="request_id", how="left", maintain_order="left"
    )
    return SuggestionJoin(rows.select(pl.col(name).cast(kind) for name, kind in _ROWS.items()))


def _plain(name: str) -> pl.Expr:
    """Return a ticket's name without what spreadsheets and people add to it."""
    plain = pl.col(name).str.strip_chars().str.to_lowercase().str.replace(r"^#\s*", "").str.replace(r"\.0$", "")
    return plain.alias("plain")


def override_rates(
    incident: Incident, *, by: str | None = None, during: tuple[datetime, datetime] | None = None
) -> pl.DataFrame:
    """Return how often agents overrode what the model suggested: one row, or one a group, in the group's order.

    Columns: the group's name with ``by``; suggestions, of which accepted, edited, rejected, ignored (shown, never decided)
    and unknown (somebody said something, not what was done); ``override_rate``, (edited + rejected) / (accepted + edited +
    rejected); ``override_rate_ignored_rejected``, the same with every ignored suggestion counted as rejected; both NULL
    where nothing was decided; ``is_lower_bound``, whether no suggestion of a product in the group is marked as edited (many
    products count edited answers as accepted); and ``linked``, the share whose request is known (:func:`join_suggestions`).
    A suggestion with several records counts once, by the one that says most: edited, then rejected, accepted, ignored.

    Parameters
    ----------
    incident
        The incident.
    by
        ``source`` (the product that recorded the decision), ``intent`` or ``target`` (what answered) of the request;
        ``(none)`` stands for those without.
    during
        Count only what was shown in ``[start, end)``; where nobody wrote when it was shown, by the request's arrival, else by
        the decision.

    Raises
    ------
    NoSuchItem
        There is no such grouping.

    Examples
    --------
    >>> import incident_kit as ik
    >>> override_rates(ik.Incident.create()).row(0)
    (0, 0, 0, 0, 0, 0, None, None, False, None)
    """
    if by not in {None, *BY}:
        raise NoSuchItem(
            f"override rates are by {', '.join(BY)}, or by nothing, not by {by!r}{did_you_mean(str(by), BY)}"
        )
    found = join_suggestions(incident).rows
    unedited = found.group_by("source").agg((pl.col("decision") != "edited").all().alias("unedited"))
    found = found.join(unedited, on="source", how="left", nulls_equal=True)
    if during is not None:
        found = found.filter(pl.col("at") >= during[0], pl.col("at") < during[1])
    if by is None:
        return found.select(_counts()).pipe(_rates).select(pl.col(name).cast(kind) for name, kind in TABLE.items())
    groups = found.with_columns(pl.col(by).fill_null(NONE)).group_by(by).agg(_counts()).sort(by)
    return groups.pipe(_rates).select(by, *(pl.col(name).cast(kind) for name, kind in TABLE.items()))


def _counts() -> list[pl.Expr]:
    decided = pl.col("decision").is_in(["accepted", "edited", "rejected"])
    return [
        pl.len().alias("suggestions"),
        *((pl.col("decision") == name).sum().alias(name) for name in DECISIONS),
        (pl.col("unedited") & decided).any().alias("is_lower_bound"),
        pl.col("request_id").is_not_null().mean().alias("linked"),
    ]


def _rates(groups: pl.DataFrame) -> pl.DataFrame:
    overridden = pl.col("edited") + pl.col("rejected")
    decided = pl.col("accepted") + overridden
    shown = decided + pl.col("ignored")
    return groups.with_columns(
        pl.when(decided > 0).then(overridden / decided).alias("override_rate"),
        pl.when(shown > 0).then((overridden + pl.col("ignored")) / shown).alias("override_rate_ignored_rejected"),
    )
