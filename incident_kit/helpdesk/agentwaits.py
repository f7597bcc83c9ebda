"""Agent waits: the seconds in which an SLA clock's ticket waited for the gateway, as logged and as replayed.

Of each clock that ended, the requests of its ticket that came before its end. An answer that came only after the end held
nobody up, so that no wait of its request counts beyond it; a wait that a policy makes longer may, and then moves the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.helpdesk.joining import SURE, TicketJoin

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.log import Log

_FAR = 2**62
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class AgentWaits:
    """Clocks that ended, and the requests of their tickets before the end, sorted by clock and arrival.

    ``clocks`` has a row each: those of ``Incident.clock.instances`` that ended, with ``assigned_at``. ``clock`` and
    ``request`` are positions in ``clocks`` and in the log; ``reach_us`` is how far a request's wait may count; ``is_sure``:
    what the logs name joins the request, not time. ``critical_us`` is the last instant at which a clock may end without a
    breach (of one that is due at closing time the closing, though no second more is counted until the next opening). Times
    are microseconds since the epoch, 0 where they are not known.
    """

    clocks: pl.DataFrame
    clock: Whole
    request: Whole
    arrived_us: Whole
    reach_us: Whole
    is_sure: NDArray[np.bool_]
    started_us: Whole
    assigned_us: Whole
    stopped_us: Whole
    critical_us: Whole

    def __len__(self) -> int:
        """Return the number of clocks."""
        return self.clocks.height

    def held_s(self, wait_ms: NDArray[Any], *, assigned: bool = False) -> NDArray[np.float64]:
        """Return for how many seconds each clock's ticket waited, were these the log's waits; overlapping ones count once.

        Parameters
        ----------
        wait_ms
            One a request of the log; a negative one is not known, and counts as none.
        assigned
            Only waits while the ticket had an agent; without a known time, none.
        """
        floor = self.started_us[self.clock]
        if assigned:
            floor = np.maximum(floor, self.assigned_us[self.clock])
        begin = np.maximum(self.arrived_us, floor)
        wait = np.maximum(wait_ms[self.request], 0).astype(np.int64) * 1000
        end = np.maximum(np.minimum(self.arrived_us + wait, self.reach_us), begin)
        return _union(self.clock, begin, end, len(self))

    def any_of(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return of which clocks some request has a flag; ``flags`` is one a pair."""
        return np.asarray(np.bincount(self.clock[flags], minlength=len(self)) > 0)


def agent_waits(incident: Incident, join: TicketJoin) -> AgentWaits:
    """Return the clocks of an incident that ended, with the requests of their tickets."""
    log = incident.log
    names = incident.tickets().select("ticket_id", "assigned_at")
    assigned = names.unique("ticket_id", keep="first", maintain_order=True)
    ended = incident.clock.instances.filter(
        pl.col("stopped_at").is_not_null(), pl.col("started_at").is_not_null(), ~pl.col("is_cancelled")
    )
    clocks = ended.join(assigned, on="ticket_id", how="left", maintain_order="left")
    started, stopped = _us(clocks["started_at"]), _us(clocks["stopped_at"])
    clock, request, is_sure = _pairs(log, join, clocks)
    arrived = log.arrived_us[request]
    inside = arrived < stopped[clock]
    clock, request, is_sure, arrived = clock[inside], request[inside], is_sure[inside], arrived[inside]
    done = arrived + np.maximum(log.wait_ms[request], 0).astype(np.int64) * 1000
    # a clock whose target a change had made late before it ended was late from then on
    late = pl.when("breached").then(pl.coalesce("breached_at", "due_at")).otherwise("due_at")
    return AgentWaits(
        clocks=clocks,
        clock=clock,
        request=request,
        arrived_us=arrived,
        reach_us=np.where(done >= stopped[clock], stopped[clock], _FAR),
        is_sure=is_sure,
        started_us=started,
        assigned_us=_us(clocks["assigned_at"], unknown=_FAR),
        stopped_us=stopped,
        critical_us=_us(clocks.select(late.alias("at"))["at"]),
    )


def _pairs(log: Log, join: TicketJoin, clocks: pl.DataFrame) -> tuple[Whole, Whole, NDArray[np.bool_]]:
    """Return clocks with the requests of their tickets, as positions, sorted by clock and arrival."""
    of = clocks.select("ticket_id").with_row_index("clock")
    position = pl.DataFrame({"request_id": log.request_id}).with_row_index("request")
    joined = join.rows.filter(pl.col("ticket_id").is_not_null()).join(position, on="request_id")
    rows = (
        joined.select("ticket_id", "request", pl.col("how").is_in(SURE).alias("is_sure"))
        .join(of, on="ticket_id")
        .sort("clock", "request")
    )
    clock, request = (rows[name].to_numpy().astype(np.int64) for name in ("clock", "request"))
    return clock, request, rows["is_sure"].to_numpy()


def _us(at: pl.Series, *, unknown: int = 0) -> Whole:
    return np.asarray(at.dt.epoch("us").fill_null(unknown).to_numpy())


def _union(group: Whole, begin: Whole, end: Whole, groups: int) -> NDArray[np.float64]:
    """Return the seconds that the intervals of each group cover; they are sorted by group and beginning."""
    used = begin < _FAR
    group, begin, end = group[used], begin[used], end[used]
    if not len(group):
        return np.zeros(groups)
    first = np.full(groups, _FAR, np.int64)
    np.minimum.at(first, group, begin)
    left, right = begin - first[group], end - first[group]
    offset = group * (int(right.max()) + 1)  # one group's intervals end before the next one's begin
    reached = np.maximum.accumulate(right + offset)
    before = np.concatenate([[-1], reached[:-1]])
    covered = np.maximum(right + offset - np.maximum(left + offset, before), 0)
    return np.asarray(np.bincount(group, weights=covered, minlength=groups) / 1e6)
