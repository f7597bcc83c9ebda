"""Machinery: the records that the machine runs on, and what its numbers stand for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

BY_TIME = np.int64(3)  # the test took too long
BY_CHAIN, BY_HAND, BY_CONVERSATION = range(3)  # why the first entry was taken
MODEL, TEMPLATE, QUEUE, HUMAN, REJECT = range(5)  # kinds of a chain's entries

# kinds of events, in the order of one instant (S3)
(OUTSIDE, FEEDBACK, HEARD, OVERDUE, CROSSING, TOKEN, DONE, ENDED, COOLED, TESTED, SWEEP, RELEASE, RETRY, HOP, HELD, LATE,
 UNROUTED, AT_ONCE, BEGUN, ARRIVAL) = range(20)  # fmt: skip
NEVER = np.iinfo(np.int64).max

ROUTE = np.dtype(
    [
        ("cell", "i8"),  # of its first outcome
        ("columns", "i8"),  # requests
        ("numbers", "i8"),  # attempts on one entry
        ("entries", "i8"),
        ("primaries", "i8"),
        ("retries", "i8"),
        ("timeout_ms", "i8"),
        ("ttft_timeout_ms", "i8"),
        ("backoff_us", "i8"),
        ("deadline_us", "i8"),
        ("sticky", "i8"),
        ("toolless", "i8"),  # fallbacks answer without tools
        ("queues", "i8"),  # some entry holds requests
        ("first_switch", "i8"),
        ("switches", "i8"),
        # from here on, what changes while the machine runs
        ("waiting_first", "i8"),
        ("waiting_last", "i8"),
    ],
    align=True,
)
ENTRY = np.dtype([("kind", "i8"), ("target", "i8"), ("hold_us", "i8"), ("conditional", "i8")], align=True)
SWITCH = np.dtype([("start", "i8"), ("end", "i8"), ("entry", "i8")], align=True)
ROW = np.dtype(  # rows of one item are one event
    [
        ("at", "i8"),
        ("what", "i8"),  # the kind of event: OUTSIDE, HEARD, ENDED, AT_ONCE (sent and ended at one instant), BEGUN
        ("leaf", "i8"),
        ("k", "i8"),
        ("n", "i8"),
        ("key", "i8"),
        ("value", "i8"),  # milliseconds, of which a quantile is shown
        ("item", "i8"),
    ],
    align=True,
)
FACT = np.dtype(  # of a logged call, beside its latency and error
    [
        ("sent_us", "i8"),
        ("ttft_ms", "i8"),  # -1: not streamed, or not known
        ("tool_calls", "i8"),  # 0: none, or not known how they ended
        ("tools_ok", "i8"),
        ("tools_after_us", "i8"),  # after the end; -1: known at the end
        ("overridden", "i8"),  # -1: never reviewed
        ("review_after_us", "i8"),
        ("cost_nano", "i8"),  # -1: not known
    ],
    align=True,
)
REQUEST = np.dtype(
    [
        ("arrived", "i8"),
        ("route", "i8"),
        ("intent", "i8"),
        ("column", "i8"),  # among its route's requests
        ("conversation", "i8"),  # its number on its route; -1: none
        ("offers_tools", "i8"),
        ("logged_calls", "i8"),
        ("fact", "i8"),  # 1: a logged call of an unrouted request, which only breakers of scope target see
        ("draw", "f8"),
        # what comes of it
        ("wait_us", "i8"),  # until it ended; -1 without an outcome
        ("error", "i8"),  # -1: no outcome
        ("first", "i8"),
        ("called", "i8"),  # the first entry that called a model or ended it; -1: it waited, and its deadline passed
        ("entry", "i8"),
        ("number", "i8"),
        ("attempts", "i8"),
        ("cell", "i8"),  # of the outcome of the last attempt; -1: it ended without one
        ("k", "i8"),
        ("n", "i8"),
        ("state", "i8"),
        ("exact", "i8"),
        ("probe", "i8"),
        ("estimated", "i8"),
        ("cut", "i8"),  # bits: kernel.CUT, LAPSED
        ("reason", "i8"),  # of the first entry: BY_CHAIN, BY_HAND, BY_CONVERSATION
        ("no_model", "i8"),  # it ended without one
        # while it is under way
        ("place", "i8"),  # of the entry in this request's own order
        ("tick", "i8"),  # the number of the event that sent its attempt
        ("judge", "i8"),
        ("probing", "i8"),  # 1: holds a permit, 2: it is overdue
        ("permitted", "i8"),  # the number of the event that gave the permit
        ("sent", "i8"),
        ("done", "i8"),
        ("latency_ms", "i8"),
        ("failure", "i8"),
        ("ttft_ms", "i8"),
        ("begun", "i8"),  # its first token has been seen
        ("ended_early", "i8"),  # this policy cut the attempt in flight
        ("final", "i8"),  # the deadline cut it
        ("held", "i8"),  # bits: 1 waits in a queue, 2 has waited there, 4 waits for its deadline
        ("decided", "i8"),  # the number of the event of its arrival
        ("crossed", "i8"),  # the longest limit that the attempt in flight has passed, in milliseconds
        ("cost", "i8"),  # -1: some attempt's is not known
        ("before", "i8"),
        ("after", "i8"),  # neighbours in the queue
    ],
    align=True,
)
EVENT = np.dtype(
    [
        ("at", "i8"),
        ("order", "i8"),
        ("what", "i4"),
        ("request", "i4"),
        ("tick", "i8"),
        ("judge", "i4"),
        ("leaf", "i4"),
        ("target", "i4"),
        ("probing", "i4"),
        ("k", "i8"),
        ("n", "i8"),
    ],
    align=True,
)
ALERT_CHANGE = np.dtype(
    [("at", "i8"), ("alert", "i8"), ("firing", "i8"), ("leaf", "i8"), ("value", "f8"), ("n", "f8"), ("exact", "i8")],
    align=True,
)
CHANGE = np.dtype(
    [
        ("route", "i8"), ("entry", "i8"), ("intent", "i8"), ("at", "i8"), ("was", "i8"), ("now", "i8"), ("why", "i8"),
        ("condition", "i8"), ("value", "f8"), ("n", "f8"), ("exact", "i8"),
    ],
    align=True,
)  # fmt: skip


class World(NamedTuple):
    """Everything that the machine reads and writes; :func:`incident_kit.engine.wiring.build` makes it.

    Positions are of the arrays named here. ``outcomes`` and ``donors`` are flat: the cell of an outcome is
    ``route.cell + (entry * route.numbers + number) * route.columns + column``.
    """

    judges: NDArray[Any]  # breakers first, by (route, entry, intent); then alerts
    leaves: NDArray[Any]
    judge_of_leaf: NDArray[np.int64]
    slots_of_leaf: NDArray[np.int64]
    steps: NDArray[Any]
    slots: NDArray[Any]
    rests: NDArray[np.int64]  # cooldowns in microseconds
    touched: NDArray[np.int32]  # [slot that counts distinct keys, key]
    failures: NDArray[np.int8]  # [judge, error class]: counts as failed
    breakers: int
    routes: NDArray[Any]
    entries: NDArray[Any]  # [route, entry]
    judge_of: NDArray[np.int32]  # [route, entry, intent + 1], -1: not guarded
    listeners: NDArray[np.int32]  # [target, i]: breakers of scope target, -1 ends
    only_for: NDArray[np.int8]  # [route, entry, error class]
    flags: NDArray[np.int8]  # [route, error class]: bit 1 retried, bit 2 falls back
    switches: NDArray[Any]
    alerts_of: NDArray[np.int32]  # [intent + 1, i]: judges, -1 ends
    requests: NDArray[Any]
    orders: NDArray[np.int8]  # [request, place of a primary]: its entry
    outcomes: NDArray[Any]
    donors: NDArray[np.int32]
    facts: NDArray[Any]  # [call]
    rows: NDArray[Any]  # exogenous, in order
    arriving: NDArray[
        Any
    ]  # what comes with arrivals, in order; `item` is twice the routed requests before, 1 more: its own
    span: NDArray[np.int64]  # what no policy changes: first event, last event, 1: the last is an arrival
    permits: NDArray[np.int64]  # [request, entry]: the number of the event that gave a permit, where ends are judged
    routed: int  # requests; those after them are calls of unrouted ones
    stuck: NDArray[np.int8]  # [conversation of a route, (entry or -1, 1 if exact)]
    latest: NDArray[np.int64]  # [route, intent + 1]: the request that arrived last
    timeout_class: int
    too_many_class: int
    rejected_class: int
    hears: int  # bits: the kinds of leaves that listen to feedback
    feedback_lag_us: int  # -1: reviews are logged; else only overrides are
    by_time: int  # 1: the outcomes of other requests are facts too (a scenario's own world)
    # room, given anew and larger when it runs out
    pool: NDArray[Any]
    free: NDArray[np.int64]  # the first free node, and how many
    heap: NDArray[Any]
    size: NDArray[
        np.int64
    ]  # events in the heap, changes, alert changes, todo, waiting requests, rows of `arriving` done
    todo: NDArray[np.int64]  # breakers to be evaluated
    changes: NDArray[Any]
    alert_changes: NDArray[Any]


@structref.register
class _BundleType(types.StructRef):
    def preprocess_fields(self, fields: Any) -> Any:
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class Bundle(structref.StructRefProxy):
    """A :class:`World` as compiled functions hand it on: one pointer, not every array's shape and strides (15 times faster)."""


structref.define_proxy(Bundle, _BundleType, list(World._fields))
