"""Log: an incident's requests and calls as arrays in replay order, the input of estimators and of the kernel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit import placing
from incident_kit.cachedproperty import cached_property
from incident_kit.store import Store

if TYPE_CHECKING:
    from incident_kit.engine.details import Details
    from incident_kit.estimation.fates import Fates
    from incident_kit.lots import Lots

UNKNOWN = -1  # NULL in a coded or counted array; also "no outcome"


@dataclass(frozen=True)
class Calls:
    """Every logged call and cache hit whose duration is known, sorted by request, target and number.

    ``request`` is a position in :class:`Log`, whose calls are ``[starts[request], starts[request + 1])``; ``number`` counts
    the calls of one request on one target from 0; ``is_call`` is false for cache hits, which are no observation of the
    target.
    """

    request: NDArray[np.int32]
    target: NDArray[np.int16]
    number: NDArray[np.int16]
    sent_us: NDArray[np.int64]
    latency_ms: NDArray[np.int32]
    error: NDArray[np.int16]
    is_call: NDArray[np.bool_]
    starts: NDArray[np.int32]

    @classmethod
    def of(cls, *, requests: int, **arrays: NDArray[Any]) -> Calls:
        """Return sorted calls of so many requests, in arrays that cannot be written to."""
        starts = np.zeros(requests + 1, np.int32)
        np.cumsum(np.bincount(arrays["request"], minlength=requests), out=starts[1:])
        return cls(**{name: _fixed(values) for name, values in (arrays | {"starts": starts}).items()})


@dataclass(frozen=True)
class Log:
    """Requests sorted by (arrival, request id); strings are positions in their vocabularies, NULL is -1.

    ``row`` is the request's in the store, and ``id_hash`` DuckDB's hash of its id, by which what else the store knows is found.
    ``first_target`` is the target of the first call, refusals left out: what the gateway decided. ``served`` answered.
    ``without_tools``: the answer was given without the tools that the request offered. ``is_complete`` is false where
    attempts may be missing from the log. ``untimed``, ``[(request, target, number, error), call]``, are calls that ``calls``
    leaves out: how they ended is known, how long they took is not. Times are microseconds since the epoch (UTC), waits
    milliseconds; error 0 is "ok".
    """

    row: NDArray[np.int64]
    id_hash: NDArray[np.uint64]
    request_id: pl.Series
    arrived_us: NDArray[np.int64]
    intent: NDArray[np.int16]
    first_target: NDArray[np.int16]
    served: NDArray[np.int16]
    wait_ms: NDArray[np.int32]
    error: NDArray[np.int16]
    tools_offered: NDArray[np.int32]
    without_tools: NDArray[np.bool_]
    is_complete: NDArray[np.bool_]
    calls: Calls
    intents: tuple[str, ...]
    targets: tuple[str, ...]
    errors: tuple[str, ...]
    store: Store
    untimed: NDArray[np.int64] = field(default_factory=lambda: np.zeros((4, 0), np.int64))

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.arrived_us)

    @cached_property
    def by_intent(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Positions sorted by (intent, arrival), and where each run begins: NULL's at ``starts[0]``, x's at ``starts[x + 1]``."""
        from incident_kit.estimation import donors

        rows, starts = donors.by_code(self.intent, len(self.intents))
        return _fixed(rows), _fixed(starts)

    @cached_property
    def details(self) -> Details:
        """What only parts of the policy language ask of a log: attributes at arrival, tool results, reviews, the help desk."""
        from incident_kit.engine.details import read as read_details

        return read_details(self)

    @cached_property
    def ticket(self) -> NDArray[np.int32]:
        """The number of the ticket that each request touches, in the order of their ids; -1: none."""
        rows = self.store.query("replay_tickets")
        found = np.full(len(self), UNKNOWN, np.int32)
        if rows.height:
            place = placing.placer(self)(rows)
            is_here = place != placing.NOWHERE
            found[place[is_here]] = coded(rows["ticket_id"].filter(pl.Series(is_here)))
        return _fixed(found)

    @cached_property
    def attributes(self) -> pl.DataFrame:
        """One row a request: what was known of it at its arrival."""
        rows = self.store.query("replay_attributes")
        rows = rows.with_columns(place=pl.Series(placing.placer(self)(rows))).drop("row", "id_hash")
        here = pl.DataFrame({"place": np.arange(len(self))})
        return here.join(rows, on="place", how="left", maintain_order="left").drop("place")

    @cached_property
    def request_facts(self) -> pl.DataFrame:
        """One row a request: tools, tokens and cost of its answer, and whether an agent overrode it, as logged."""
        return placing.beside_requests(self, "replay_request_facts")

    @cached_property
    def call_facts(self) -> pl.DataFrame:
        """One row per element of ``calls``: tools, tokens and cost of the answer, and whether an agent overrode it."""
        if self.store.rows("select exists (from attempts)")[0][0]:
            return placing.beside_calls(self, "replay_call_facts", targets=list(self.targets))
        return placing.of_requests(self, self.request_facts)

    @cached_property
    def fates(self) -> Fates:
        """What is sure of attempts that the log does not hold."""
        from incident_kit.estimation.fates import Fates

        return Fates.of(self)

    @cached_property
    def lots(self) -> Lots:
        """What hashes of the requests' ids decide."""
        from incident_kit.lots import Lots

        return Lots.of(self)

    @cached_property
    def first_token_ms(self) -> pl.Series:
        """From arrival to the first token of the answer, of each request; NULL where it was not streamed, or is not logged."""
        found = pl.Series("first_token_ms", [None], dtype=pl.Int64).new_from_index(0, len(self))
        if "call_facts" not in vars(self) and not self.store.query("streamed").item():
            return found
        calls, ttft = self.calls, self.call_facts["ttft_ms"]
        answered = (calls.target == self.served[calls.request]) & (calls.error == 0)
        since = pl.Series((calls.sent_us - self.arrived_us[calls.request]) // 1000)
        told = pl.DataFrame({"request": calls.request, "ms": since + ttft}).filter(pl.Series(answered)).drop_nulls()
        last = told.group_by("request").agg(pl.col("ms").max())
        return found.scatter(last["request"], last["ms"]) if last.height else found


def read(store: Store) -> Log:
    """Return the log of an incident's store; a request without attempts in the log is one attempt (POLICY.md S1)."""
    with store.transaction():
        words = store.query("replay_vocabulary")
        intents, targets, errors = (words.filter(kind=kind)["word"].to_list() for kind in ("intent", "target", "error"))
        requests = store.query("replay_requests", intents=intents, targets=targets, errors=errors)
        logged = store.query("replay_calls", targets=targets, errors=errors)
    order = _replay_order(requests)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy and polars let go of the lock
        taken = pool.map(lambda name: _taken(requests[name], order), requests.columns)
        columns = dict(zip(requests.columns, taken, strict=True))
    has_attempts = columns.pop("has_attempts")
    alone = ~has_attempts & (columns["first_target"] >= 0) & (columns["wait_ms"] >= 0) & (columns["error"] >= 0)
    calls, untimed = _alone(columns, alone), np.zeros((4, 0), np.int64)
    if logged.height:
        calls, untimed = _merged(calls, logged, columns["row"])
    return Log(
        **columns,
        calls=calls,
        untimed=_fixed(untimed),
        intents=tuple(intents),
        targets=tuple(targets),
        errors=tuple(errors),
        store=store,
    )


def coded(names: pl.Series) -> NDArray[np.int32]:
    """Return a number for each name, in the order of the names; -1 for NULL."""
    codes: NDArray[np.int32] = names.rank("dense").cast(pl.Int32).fill_null(0).to_numpy() - 1
    return codes


def _fixed(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array that cannot be written to, as polars' own: compiled code takes the two kinds as different types."""
    values.setflags(write=False)
    return values


def _taken(column: pl.Series, order: NDArray[Any] | None) -> Any:
    """Return a column in order, strings as they are; in memory of its own: a part of DuckDB's result keeps all of it."""
    if column.dtype == pl.String:
        return (column if order is None else column.rechunk().gather(order)) + ""
    values = column.to_numpy()
    return _fixed(values if order is None else np.take(values, order))


def _replay_order(requests: pl.DataFrame) -> NDArray[Any] | None:
    """Return the rows sorted by (arrival, request id), or None where they already are."""
    arrived = requests["arrived_us"].to_numpy()
    if (arrived[:-1] < arrived[1:]).all():
        return None
    order = np.argsort(arrived, kind="stable")  # logs are nearly in order, which this makes use of
    ordered = arrived[order]
    tied = np.zeros(len(order), np.bool_)
    tied[1:] = ordered[1:] == ordered[:-1]
    tied[:-1] |= tied[1:]
    if tied.any():
        # ids are compared only where arrivals are equal
        alike = requests.select("arrived_us", "request_id")[order[tied]].with_columns(position=order[tied])
        order[tied] = alike.sort("arrived_us", "request_id")["position"].to_numpy()
    return order


def _alone(columns: Mapping[str, NDArray[Any]], alone: NDArray[np.bool_]) -> Calls:
    """Return each request without attempts as one call."""
    size = int(alone.sum())
    chosen = slice(None) if size == len(alone) else alone
    return Calls.of(
        requests=len(alone),
        request=np.flatnonzero(alone).astype(np.int32),
        target=columns["first_target"][chosen],
        number=np.zeros(size, np.int16),
        sent_us=columns["arrived_us"][chosen],
        latency_ms=columns["wait_ms"][chosen],
        error=columns["error"][chosen],
        is_call=np.ones(size, np.bool_),
    )


def _merged(alone: Calls, logged: pl.DataFrame, row: NDArray[np.int64]) -> tuple[Calls, NDArray[np.int64]]:
    """Return the calls of requests without attempts and the logged ones, numbered and sorted; and those without a duration."""
    position = np.zeros(row.max() + 1, np.int32)
    position[row] = np.arange(len(row), dtype=np.int32)
    request = position[logged["row"].to_numpy()]
    cell = request.astype(np.int64) << 16 | logged["target"].to_numpy()
    order = np.lexsort((logged["seq"].to_numpy(), cell))
    cell = cell[order]
    first = np.flatnonzero(np.concatenate([[True], cell[1:] != cell[:-1]]))
    number = np.arange(len(cell)) - np.repeat(first, np.diff(first, append=len(cell)))
    is_known = logged["is_known"].to_numpy()[order]  # a call that is not has its number all the same
    error, is_call = (logged[name].to_numpy()[order] for name in ("error", "is_call"))
    left = ~is_known & is_call & (error >= 0)
    target = logged["target"].to_numpy()[order]
    untimed = np.stack([one[left].astype(np.int64) for one in (request[order], target, number, error)])
    order, number = order[is_known], number[is_known].astype(np.int16)
    calls = {"request": request[order], "number": number}
    calls |= {name: logged[name].to_numpy()[order] for name in ("target", "sent_us", "latency_ms", "error", "is_call")}
    if len(alone.request):
        calls = {name: np.concatenate([getattr(alone, name), values]) for name, values in calls.items()}
        order = np.argsort(calls["request"], kind="stable")
        calls = {name: values[order] for name, values in calls.items()}
    return Calls.of(requests=len(row), **calls), untimed
