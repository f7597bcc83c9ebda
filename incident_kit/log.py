"""Log: an incident's requests and calls as arrays in replay order, the input of estimators and of the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.store import Store, statement

UNKNOWN = -1  # NULL in a coded or counted array; also "no outcome"


@dataclass(frozen=True)
class Calls:
    """Every logged call and cache hit whose duration is known, sorted by request, target and number.

    ``request`` is a position in :class:`Log`; ``number`` counts the calls of one request on one target from 0;
    ``is_call`` is false for cache hits, which are no observation of the target.
    """

    request: NDArray[np.int32]
    target: NDArray[np.int16]
    number: NDArray[np.int16]
    sent_us: NDArray[np.int64]
    latency_ms: NDArray[np.int32]
    error: NDArray[np.int16]
    is_call: NDArray[np.bool_]


@dataclass(frozen=True)
class Log:
    """Requests sorted by (arrival, request id); strings are positions in their vocabularies, NULL is -1.

    ``first_target`` is the target of the first call, refusals left out: what the gateway decided. ``served`` answered.
    ``is_complete``
    is false where attempts may be missing from the log. Times are microseconds since the epoch (UTC), waits milliseconds;
    error 0 is "ok".
    """

    request_id: pl.Series
    arrived_us: NDArray[np.int64]
    intent: NDArray[np.int16]
    first_target: NDArray[np.int16]
    served: NDArray[np.int16]
    wait_ms: NDArray[np.int32]
    error: NDArray[np.int16]
    tools_offered: NDArray[np.int32]
    is_complete: NDArray[np.bool_]
    calls: Calls
    intents: tuple[str, ...]
    targets: tuple[str, ...]
    errors: tuple[str, ...]
    store: Store

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.arrived_us)

    @cached_property
    def call_facts(self) -> pl.DataFrame:
        """One row per element of ``calls``: tools, tokens and cost of the answer, and whether an agent overrode it."""
        facts = self.store.query("replay_call_facts")
        codes = pl.DataFrame({"target": self.targets}, schema={"target": pl.String}).with_row_index("code")
        rows = pl.DataFrame({"request_id": self.request_id}).with_row_index("request")
        coded = (
            facts.join(rows, on="request_id")
            .join(codes, on="target")
            .select(
                pl.col("request").cast(pl.Int32),
                pl.col("code").cast(pl.Int16).alias("target"),
                pl.col("number").cast(pl.Int16),
                pl.exclude("request", "request_id", "code", "target", "number"),
            )
        )
        keys = pl.DataFrame(
            {"request": self.calls.request, "target": self.calls.target, "number": self.calls.number},
        )
        return keys.join(coded, on=["request", "target", "number"], how="left", maintain_order="left")


def read(store: Store) -> Log:
    """Return the log of an incident's store; a request without attempts in the log is one attempt (POLICY.md S1)."""
    with store.transaction():
        store.run(f"create or replace temp table vocabulary as {statement('replay_vocabulary')}")
        words = store.frame("select kind, word from vocabulary order by kind, code")
        requests = store.query("replay_requests")
        calls = store.query("replay_calls")
        store.run("drop table vocabulary")
    vocabulary = {kind: tuple(words.filter(pl.col("kind") == kind)["word"]) for kind in ("intent", "target", "error")}
    order = _replay_order(requests)
    if order is not None:
        requests = requests[order]
    return Log(
        request_id=requests["request_id"],
        arrived_us=_codes(requests["arrived_us"], np.int64),
        intent=_codes(requests["intent"], np.int16),
        first_target=_codes(requests["first_target"], np.int16),
        served=_codes(requests["served"], np.int16),
        wait_ms=_codes(requests["wait_ms"], np.int32),
        error=_codes(requests["error"], np.int16),
        tools_offered=_codes(requests["tools_offered"], np.int32),
        is_complete=requests["is_complete"].to_numpy(),
        calls=_calls(requests, calls),
        intents=vocabulary["intent"],
        targets=vocabulary["target"],
        errors=vocabulary["error"],
        store=store,
    )


def _codes(column: pl.Series, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    return column.fill_null(UNKNOWN).to_numpy().astype(dtype, copy=False)


def _replay_order(requests: pl.DataFrame) -> NDArray[np.uint32] | None:
    """Return the rows sorted by (arrival, request id), or None where they already are."""
    steps = np.diff(requests["arrived_us"].to_numpy())
    if (steps > 0).all():
        return None
    keyed = requests.select("arrived_us", "request_id").with_row_index("position")
    return keyed.sort("arrived_us", "request_id")["position"].to_numpy()


def _calls(requests: pl.DataFrame, calls: pl.DataFrame) -> Calls:
    """Return the calls of the log: its attempts, and each request without attempts as one call."""
    alone = requests.with_row_index("request").filter(
        ~pl.col("has_attempts"),
        pl.col("first_target").is_not_null(),
        pl.col("wait_ms").is_not_null(),
        pl.col("error").is_not_null(),
    )
    frame = alone.select(
        pl.col("request").cast(pl.Int32),
        pl.col("first_target").alias("target"),
        pl.lit(0, pl.Int16).alias("number"),
        pl.col("arrived_us").alias("sent_us"),
        pl.col("wait_ms").alias("latency_ms"),
        "error",
        pl.lit(value=True).alias("is_call"),
    )
    if calls.height:
        rows = requests.select("row").with_row_index("request")
        logged = calls.join(rows, on="row").select(
            pl.col("request").cast(pl.Int32),
            "target",
            pl.col("number").cast(pl.Int16),
            "sent_us",
            "latency_ms",
            "error",
            "is_call",
        )
        frame = pl.concat([frame, logged]).sort("request", "target", "number")
    return Calls(
        request=frame["request"].to_numpy(),
        target=frame["target"].to_numpy(),
        number=frame["number"].to_numpy(),
        sent_us=frame["sent_us"].to_numpy(),
        latency_ms=_codes(frame["latency_ms"], np.int32),
        error=_codes(frame["error"], np.int16),
        is_call=frame["is_call"].to_numpy(),
    )
