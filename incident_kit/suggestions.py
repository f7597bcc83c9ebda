"""Suggestions: what agents did with them, and the override rate over both denominators, with and without the ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.errors import NoSuchItem, did_you_mean

if TYPE_CHECKING:
    from datetime import datetime

    from incident_kit.incident import Incident

DECISIONS = ("accepted", "edited", "rejected", "ignored", "unknown")
BY = ("source", "intent", "target")
NONE = "(none)"
TABLE: dict[str, Any] = {
    "suggestions": pl.Int64, **dict.fromkeys(DECISIONS, pl.Int64), "override_rate": pl.Float64,
    "override_rate_ignored_rejected": pl.Float64, "is_lower_bound": pl.Boolean, "linked": pl.Float64,
}  # fmt: skip


def override_rates(
    incident: Incident, *, by: str | None = None, during: tuple[datetime, datetime] | None = None
) -> pl.DataFrame:
    """Return how often agents overrode what the model suggested: one row, or one a group, in the group's order.

    Columns: the group's name with ``by``; suggestions, of which accepted, edited, rejected, ignored (shown, never decided)
    and unknown (somebody said something, not what was done); ``override_rate``, (edited + rejected) / (accepted + edited +
    rejected); ``override_rate_ignored_rejected``, the same with every ignored suggestion counted as rejected; both NULL
    where nothing was decided; ``is_lower_bound``, whether no suggestion of a product in the group is marked as edited (many
    products count edited answers as accepted); and ``linked``, the share whose request is in the log. A suggestion with
    several records counts once, by the one that says most: edited, then rejected, accepted, ignored.

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
    found = incident.store.query("suggestion_decisions")
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
        pl.col("is_linked").mean().alias("linked"),
    ]


def _rates(groups: pl.DataFrame) -> pl.DataFrame:
    overridden = pl.col("edited") + pl.col("rejected")
    decided = pl.col("accepted") + overridden
    shown = decided + pl.col("ignored")
    return groups.with_columns(
        pl.when(decided > 0).then(overridden / decided).alias("override_rate"),
        pl.when(shown > 0).then((overridden + pl.col("ignored")) / shown).alias("override_rate_ignored_rejected"),
    )
