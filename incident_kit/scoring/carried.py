"""Carried: help-desk rates and signals, which nobody estimates: as logged where a policy serves as logged, else between bounds.

What a customer does after another answer than the logged one is in no log. A ticket all of whose requests are served as
logged goes on as logged; any other may end well or badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from incident_kit.scoring.metrics import Metric
    from incident_kit.scoring.replays import Replay

ESCALATION, SIGNAL = "escalation", "signal:"
_WHAT = {"escalation_rate": ESCALATION, "reopen_rate": "reopen", "sla_breach_rate": "sla"}
_HUMAN = 3  # machine.HUMAN, which compiles when it is imported
Spans = Sequence[tuple[int, int]]


class Carried(NamedTuple):
    """A value over what stays as logged, the same with the rest at its least and at its most, and the share of that rest.

    ``exogenous`` is the share that names no target, ticket or request, so that no policy is taken to move it.
    """

    value: float | None = None
    least: float | None = None
    most: float | None = None
    unknown: float = 0.0
    exogenous: float = 0.0


def carried(replay: Replay, of: Metric, rows: NDArray[np.bool_], *, intent: str | None, spans: Spans) -> Carried:
    """Return a help-desk rate or a signal over the requests ``rows`` of one intent (None: of all), in spans of microseconds."""
    if of.name.startswith(SIGNAL):
        return _signal(replay, of.name.removeprefix(SIGNAL), intent, spans)
    return _desk(replay, _WHAT[of.name], rows)


def _open_tickets(replay: Replay) -> NDArray[np.bool_]:
    """Return which tickets have a request that is not served as logged."""
    ticket = replay.log.ticket
    found = np.zeros(int(ticket.max(initial=-1)) + 1, np.bool_)
    found[ticket[(replay.outcome.evidence > 0) & (ticket >= 0)]] = True
    return found


def _desk(replay: Replay, what: str, rows: NDArray[np.bool_]) -> Carried:
    """Return the share of touched tickets to which something happened after the first of their requests among ``rows``."""
    log, details = replay.log, replay.log.details
    events = details.desk.filter(what=what)
    touching = np.flatnonzero(rows & (details.ticket >= 0))
    if not len(touching) or (events.is_empty() and not (replay.outcome.no_model == _HUMAN).any()):
        return Carried()
    first = np.full(int(details.ticket.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, details.ticket[touching], log.arrived_us[touching])
    happened = np.zeros(len(first), np.bool_)
    ticket, at = events["ticket"].to_numpy().astype(np.int64), events["at_us"].to_numpy()
    happened[ticket[first[ticket] < at]] = True
    is_open = _open_tickets(replay)
    if what == ESCALATION:  # S7: an end with a person is one, whatever else becomes of the ticket
        handed = details.ticket[touching[replay.outcome.no_model[touching] == _HUMAN]]
        happened[handed], is_open[handed] = True, False
    touched = first < np.iinfo(np.int64).max
    total, left = int(touched.sum()), int((touched & is_open).sum())
    known = int((touched & happened & ~is_open).sum())
    value = known / (total - left) if total > left else None
    return Carried(value, known / total, (known + left) / total, left / total)


def _signal(replay: Replay, name: str, intent: str | None, spans: Spans) -> Carried:
    """Return sum of numerators over sum of denominators of a signal's rows; bounds where every row is a share."""
    rows = replay.log.details.signals.filter(name=name)
    inside = pl.any_horizontal(
        pl.lit(value=False), *(pl.col("known_us").is_between(*span, closed="left") for span in spans)
    )
    rows = rows.filter(inside)
    if intent is not None:
        rows = rows.filter(pl.col("intent").is_null() | (pl.col("intent") == intent))
    total = float(rows["denominator"].sum())
    if total <= 0:
        return Carried()
    is_open, is_free = _moved(replay, rows)
    numerator, denominator = rows["numerator"].to_numpy(), rows["denominator"].to_numpy()
    known, rest = float(numerator[~is_open].sum()), float(denominator[is_open].sum())
    value = known / (total - rest) if total - rest > 0 else None
    unknown, free = rest / total, float(denominator[is_free].sum()) / total
    is_share = bool(((numerator >= 0) & (numerator <= denominator)).all())
    if not rest:
        return Carried(value, value, value, unknown, free)
    if not is_share:
        return Carried(value, None, None, unknown, free)
    return Carried(value, known / total, (known + rest) / total, unknown, free)


def _moved(replay: Replay, rows: pl.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows of a signal a policy may have moved, and which it is taken not to: they name nothing that it changes.

    A row belongs to its request, else to its ticket, else to all requests of its target (and intent).
    """
    log, outcome = replay.log, replay.outcome
    moved = outcome.evidence > 0
    names = pl.DataFrame({"request_id": log.request_id, "by_request": moved})
    tickets = pl.DataFrame({"ticket_id": log.details.attributes["ticket_id"], "moved": moved}).drop_nulls("ticket_id")
    by_ticket = tickets.group_by("ticket_id").agg(pl.col("moved").any().alias("by_ticket"))
    joined = rows.join(names, on="request_id", how="left", maintain_order="left").join(
        by_ticket, on="ticket_id", how="left", maintain_order="left"
    )
    codes = {target: code for code, target in enumerate(replay.targets)}
    by_target: list[bool | None] = []
    for target, intent in joined.select("target", "intent").iter_rows():
        code = codes.get(target, -2) if target is not None else None
        if code is None:
            by_target.append(None)
            continue
        touched = moved & ((log.served == code) | (outcome.target == code))
        if intent is not None and intent in log.intents:
            touched &= log.intent == log.intents.index(intent)
        by_target.append(bool(touched.any()))
    said = joined.with_columns(pl.Series("by_target", by_target, dtype=pl.Boolean)).select(
        pl.coalesce("by_request", "by_ticket", "by_target").alias("moved")
    )["moved"]
    return said.fill_null(value=False).to_numpy(), said.is_null().to_numpy()
