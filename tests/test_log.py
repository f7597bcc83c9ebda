"""The log as arrays: the order of replay, what counts as a call, unknown as -1."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal
from written import Call, Request, fill, frames

from incident_kit import log as logs
from incident_kit import placing
from incident_kit.engine import kernel, settlement
from incident_kit.estimation import donors
from incident_kit.log import Log, read
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import replay_log
from incident_kit.store import Store

RETRIED = (Call("big", 300, "500"), Call("big", 200, after_ms=50), Call("small", 90))
# three arrive at one instant; the letters are not in the order of time
REQUESTS = (
    Request("d", 0, [Call("big", 100)]),
    Request("c", 500, [Call("small", 40)], intent="mail", tools_offered=2, complete=False),
    Request("b", 500, RETRIED, tools_offered=0, complete=True),
    Request("a", 500, [Call("big", 70)], intent=None),
    Request("e", 900, [Call("big", 60, "timeout")]),
)


def calls(log: Log) -> list[tuple[object, ...]]:
    of = log.calls
    return [
        (log.request_id[int(of.request[i])], log.targets[of.target[i]], int(of.number[i]), int(of.latency_ms[i]),
         log.errors[of.error[i]], bool(of.is_call[i]))
        for i in range(len(of.request))
    ]  # fmt: skip


def assert_same(a: Log, b: Log) -> None:
    assert a.request_id.to_list() == b.request_id.to_list()
    for name in ("arrived_us", "intent", "first_target", "served", "wait_ms", "error", "tools_offered", "is_complete"):
        assert getattr(a, name).tolist() == getattr(b, name).tolist(), name
        assert getattr(a, name).dtype == getattr(b, name).dtype, name
    for name in vars(a.calls):
        assert getattr(a.calls, name).tolist() == getattr(b.calls, name).tolist(), name
    assert (a.intents, a.targets, a.errors) == (b.intents, b.targets, b.errors)


def without_attempts(*requests: Request) -> dict[str, pl.DataFrame]:
    tables = frames(requests)
    return tables | {"attempts": tables["attempts"].clear()}


def test_requests_are_in_order_of_arrival_then_id(store: Store) -> None:
    log = read(fill(store, REQUESTS))
    assert log.request_id.to_list() == ["d", "a", "b", "c", "e"]
    start = log.arrived_us[0]
    assert (log.arrived_us - start).tolist() == [0, 500_000, 500_000, 500_000, 900_000]
    assert len(log) == 5


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_rows_changes_nothing(store: Store, seed: int) -> None:
    expected = read(fill(store, REQUESTS))
    shuffled = {name: frame.sample(fraction=1, shuffle=True, seed=seed) for name, frame in frames(REQUESTS).items()}
    with Store() as other:
        assert_same(read(fill(other, shuffled)), expected)


def test_rows_in_order_stay_as_they_are(store: Store) -> None:
    """Without equal arrivals and without attempts nothing has to be moved."""
    requests = [Request(f"r{i}", 10 * i, [Call("big", 5 + i)]) for i in range(50)]
    log = read(fill(store, without_attempts(*requests)))
    assert log.request_id.to_list() == [f"r{i}" for i in range(50)]
    assert log.wait_ms.tolist() == log.calls.latency_ms.tolist() == list(range(5, 55))
    backwards = {name: frame.reverse() for name, frame in without_attempts(*requests).items()}
    with Store() as other:
        assert_same(read(fill(other, backwards)), log)


def test_loading_in_halves_changes_nothing(store: Store) -> None:
    expected = read(fill(store, REQUESTS))
    with Store() as other:
        fill(other, REQUESTS[2:])
        for table, frame in frames(REQUESTS[:2]).items():
            other.connection.register("more", frame.to_arrow())
            other.run(f"insert into {table} by name select * from more")  # noqa: S608 - the kit's own tables
        assert_same(read(other), expected)


def test_calls_by_request_target_and_number(store: Store) -> None:
    log = read(fill(store, REQUESTS))
    assert calls(log) == [
        ("d", "big", 0, 100, "ok", True),
        ("a", "big", 0, 70, "ok", True),
        ("b", "big", 0, 300, "500", True),
        ("b", "big", 1, 200, "ok", True),
        ("b", "small", 0, 90, "ok", True),
        ("c", "small", 0, 40, "ok", True),
        ("e", "big", 0, 60, "timeout", True),
    ]
    assert log.calls.starts.tolist() == [0, 1, 2, 5, 6, 7]
    b = log.calls.sent_us[2:5] - log.arrived_us[2]
    assert b.tolist() == [0, 350_000, 550_000]


def test_a_request_without_attempts_is_one_call(store: Store) -> None:
    """S1: on the target that served it, or, where none did, on the one that was asked for."""
    tables = without_attempts(*REQUESTS)
    log = read(fill(store, tables))
    assert calls(log) == [
        ("d", "big", 0, 100, "ok", True),
        ("a", "big", 0, 70, "ok", True),
        ("b", "small", 0, 300 + 50 + 200 + 90, "ok", True),
        ("c", "small", 0, 40, "ok", True),
        ("e", "big", 0, 60, "timeout", True),
    ]
    assert log.calls.sent_us.tolist() == log.arrived_us.tolist()
    assert log.calls.starts.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_call_without_a_duration_keeps_how_it_ended(store: Store) -> None:
    """LiteLLM does not say how long a fallback took, but that it worked."""
    log = read(
        fill(
            store, [Request("a", 0, [Call("big", 300, "500"), Call("small", None)]), Request("b", 1, [Call("big", 9)])]
        )
    )
    assert [one[0] for one in calls(log)] == ["a", "b"]
    (request, target, number, error), *rest = log.untimed.T.tolist()
    assert rest == []
    assert (log.request_id[request], log.targets[target], number, log.errors[error]) == ("a", "small", 0, "ok")


def test_without_attempts_only_what_is_known_is_a_call(store: Store) -> None:
    requests = (
        Request("wait", 0, [Call("big", 100)], changes={"wait_ms": None}),
        Request("status", 1, [Call("big", 100)], changes={"status": None}),
        Request("target", 2, [Call("big", 100)], changes={"served": None, "requested": None}),
        Request("all", 3, [Call("big", 100)]),
    )
    log = read(fill(store, without_attempts(*requests)))
    assert calls(log) == [("all", "big", 0, 100, "ok", True)]
    assert log.calls.starts.tolist() == [0, 0, 0, 0, 1]


def test_some_requests_with_attempts_and_some_without(store: Store) -> None:
    tables = frames(REQUESTS)
    tables["attempts"] = tables["attempts"].filter(pl.col("request_id").is_in(["b", "d"]))
    log = read(fill(store, tables))
    assert calls(log) == calls(read(fill(store, REQUESTS)))


def test_a_refusal_is_no_call_and_decides_nothing(store: Store) -> None:
    """The gateway would not send the first one: it decided for what it sent after that."""
    refused = [Call("big", 2, "429", kind="refusal"), Call("small", 80), Call("big", 5, kind="guardrail")]
    log = read(fill(store, [Request("r", 0, refused)]))
    assert calls(log) == [("r", "small", 0, 80, "ok", True)]
    assert log.targets[log.first_target[0]] == "small"


def test_a_request_of_refusals_alone_has_no_call(store: Store) -> None:
    """It has attempts, so it is not one call either."""
    log = read(fill(store, [Request("r", 0, [Call("big", 2, "429", kind="refusal")])]))
    assert calls(log) == []
    assert log.targets[log.first_target[0]] == "big"


def test_a_cache_hit_is_in_its_cell_but_no_call(store: Store) -> None:
    hit = Call("big", 3, kind="cache_hit")
    tables = frames([Request("hit", 0, [hit]), Request("call", 5, [Call("big", 90)])])
    tables["attempts"] = tables["attempts"].with_columns(
        latency_ms=pl.when(kind="cache_hit").then(None).otherwise("latency_ms")  # as the loaders leave it
    )
    log = read(fill(store, tables))
    assert calls(log) == [("hit", "big", 0, 3, "ok", False), ("call", "big", 0, 90, "ok", True)]


@pytest.mark.parametrize("column", ["latency_ms", "sent_at", "status", "target"])
def test_an_attempt_that_is_not_fully_known_is_no_call(store: Store, column: str) -> None:
    tables = frames([Request("r", 0, [Call("big", 90), Call("big", 10)])])
    first = pl.col("seq") == 1
    tables["attempts"] = tables["attempts"].with_columns(pl.when(~first).then(column).alias(column))
    log = read(fill(store, tables))
    assert log.calls.latency_ms.tolist() == [10]
    # a target's calls are numbered as they were made: the unknown one was the first
    assert log.calls.number.tolist() == ([0] if column == "target" else [1])


def test_unknown_is_minus_one(store: Store) -> None:
    nothing = dict.fromkeys(
        ("intent", "wait_ms", "requested", "served", "status", "tools_offered", "attempts_complete")
    )
    log = read(fill(store, without_attempts(Request("r", 0, [Call("big", 1)], changes=nothing))))
    for name in ("intent", "first_target", "served", "wait_ms", "error", "tools_offered"):
        assert getattr(log, name).tolist() == [-1], name
    assert log.is_complete.tolist() == [True]
    assert log.intents == log.targets == ()
    assert log.errors == ("ok", "rejected", "timeout")


def test_known_values_by_hand(store: Store) -> None:
    log = read(fill(store, REQUESTS))
    assert log.intents == ("chat", "mail")
    assert log.targets == ("big", "small")
    assert log.errors == ("ok", "500", "rejected", "timeout")
    assert log.intent.tolist() == [0, -1, 0, 1, 0]
    assert log.first_target.tolist() == [0, 0, 0, 1, 0]
    assert log.served.tolist() == [0, 0, 1, 1, -1]
    assert log.wait_ms.tolist() == [100, 70, 640, 40, 60]
    assert log.error.tolist() == [0, 0, 0, 0, 3]
    assert log.tools_offered.tolist() == [-1, -1, 0, 2, -1]
    assert log.is_complete.tolist() == [True, True, True, False, True]


def test_an_error_without_a_class_is_unknown_not_ok(store: Store) -> None:
    tables = frames([Request("r", 0, [Call("big", 5, "500")])])
    for name in ("requests", "attempts"):
        tables[name] = tables[name].with_columns(error_class=pl.lit(None, pl.String))
    log = read(fill(store, tables))
    assert log.errors == ("ok", "rejected", "timeout", "unknown")
    assert log.error.tolist() == log.calls.error.tolist() == [3]


def test_by_intent(store: Store) -> None:
    log = read(fill(store, REQUESTS))
    rows, starts = log.by_intent
    assert [log.request_id[int(row)] for row in rows] == ["a", "d", "b", "e", "c"]
    assert starts.tolist() == [0, 1, 4, 5]


def test_an_empty_store(store: Store) -> None:
    log = read(store)
    assert len(log) == 0
    assert calls(log) == []
    assert log.calls.starts.tolist() == [0]
    assert log.call_facts.is_empty()


def test_arrays_cannot_be_written_to(store: Store) -> None:
    """One kind of array, or compiled code is compiled twice: sorted rows come straight from polars, others do not."""
    for requests in (REQUESTS, REQUESTS[:1], [replace(one, calls=[]) for one in REQUESTS]):
        log = read(fill(store, requests))
        arrays = [*vars(log).values(), *vars(log.calls).values(), *log.by_intent]
        assert not any(array.flags.writeable for array in arrays if isinstance(array, np.ndarray))


def test_nothing_is_compiled_anew_for_another_log_or_policy(store: Store) -> None:
    """Compiling takes seconds: whatever the log holds and the policy says, it is the same types."""
    modules = (kernel, donors, settlement)
    compiled = [one for module in modules for one in vars(module).values() if hasattr(one, "nopython_signatures")]
    founding = {"primary": "big", "fallback": "small", "max_p95_ms": 100}
    probing = {"when": ["error_rate > 0.1", "p90_ms > 50"], "half_open": {"requests": 2, "share": 0.5}}
    routes = (
        [{"intent": "chat", **founding}],
        [
            {"intent": "*", "primary": "small", "retry": {"attempts": 2, "retry_on": ["5xx"]}},
            {"intent": "mail", **founding},
        ],
        [{"intent": ["chat", "mail"], "primary": "big", "fallback": ["third", "small"], "breaker": probing}],
    )
    counts = []
    for requests in (REQUESTS, REQUESTS[:1], without_attempts(*REQUESTS), without_attempts(*reversed(REQUESTS))):
        log = read(fill(store, requests))
        for chosen in routes:
            replay_log(log, Policy.parse(json.dumps({"routes": chosen})))
        counts.append([len(one.signatures) for one in compiled])
    assert counts == counts[:1] * 4
    assert sum(counts[0]) > 0


def test_call_facts_are_beside_their_calls(store: Store) -> None:
    calls = [
        Call("big", 300, "500", tool_calls=1),
        Call("big", 200, tool_calls=7, cost_usd=0.5),
        Call("small", 9, tool_calls=4),
    ]
    log = read(
        fill(store, [Request("z", 0, [Call("small", 8, tool_calls=2)]), Request("b", 1, calls, overridden=True)])
    )
    assert log.call_facts["tool_calls"].to_list() == [2, 1, 7, 4]
    assert log.call_facts["cost_usd"].to_list() == [None, None, 0.5, None]
    # an agent judges the answer, which `small` gave
    assert log.call_facts["overridden"].to_list() == [None, None, None, True]


@pytest.mark.parametrize("is_moved", [False, True])
def test_facts_are_beside_their_requests_whatever_became_of_the_rows(store: Store, *, is_moved: bool) -> None:
    """What was loaded later is not of this log, and may have moved its rows."""
    requests = [
        Request(f"r{i}", 1000 * (9 - i), [Call("big", 5, tool_calls=i)], overridden=i == 3, tools_offered=1)
        for i in range(9)
    ]
    log = read(fill(store, requests))
    if is_moved:
        store.run("create temp table kept as from requests")
        store.run("delete from requests")
        store.run(
            "insert into requests by name select * replace ('new' as request_id) from kept where request_id = 'r1'"
        )
        store.run("insert into requests from kept order by request_id desc")
    assert log.request_id.to_list() == [f"r{i}" for i in range(8, -1, -1)]
    assert log.request_facts["tool_calls"].to_list() == log.call_facts["tool_calls"].to_list() == [*range(8, -1, -1)]
    assert log.request_facts["overridden"].to_list() == [i == 3 for i in range(8, -1, -1)]


@pytest.mark.parametrize("served", [None, "big"])
def test_without_attempts_what_is_known_of_calls_is_what_is_known_of_requests(store: Store, served: str | None) -> None:
    requests = [
        Request(
            f"r{i}",
            9 - i,
            [Call("big", 5, tool_calls=i)],
            overridden=i == 3 if i % 2 else None,
            tools_offered=i or None,
        )
        for i in range(9)
    ]
    fill(store, without_attempts(*requests))
    store.run("update requests set served = $served, requested = 'big'", {"served": served})
    store.run("update requests set wait_ms = null where request_id = 'r8'")
    log = read(store)
    assert len(log.calls.request) < len(log)
    assert_frame_equal(log.call_facts, placing.beside_calls(log, "replay_call_facts", targets=list(log.targets)))
    assert log.call_facts["overridden"].count() == (0 if served is None else 4)


def test_ids_keep_nothing_else_of_the_query_in_memory() -> None:
    """Columns that come through Arrow keep all of their batch alive: half a gigabyte of ten million requests."""

    class Memory(bytearray):
        pass

    held = Memory(b"".join(b"request-%09d" % i for i in range(9)))
    alive = weakref.ref(held)
    buffers = [None, pa.py_buffer(np.arange(0, 9 * 17 + 1, 17, np.int64)), pa.py_buffer(held)]
    column = pl.Series(pa.Array.from_buffers(pa.large_string(), 9, buffers))
    del held, buffers
    for order in (None, np.arange(9)[::-1]):
        taken = logs._taken(column, order)
        assert taken.to_list() == [f"request-{i:09}" for i in (range(9) if order is None else range(8, -1, -1))]
        assert alive() is not None
    del column
    assert alive() is None


def test_a_log_that_is_not_streamed_has_no_first_tokens(store: Store) -> None:
    log = read(fill(store, REQUESTS))
    assert log.first_token_ms.null_count() == len(log)
    assert log.first_token_ms.dtype == pl.Int64
    assert "call_facts" not in vars(log)


def test_facts_that_come_in_many_batches_are_beside_their_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole columns, columns that only some batches know, and one that none does, in an order that is not the store's."""
    monkeypatch.setattr("incident_kit.placing._BATCH", 1_000)
    size = 5_000
    requests = [
        Request(
            f"r{i:04}", 1000 * (i * 7919 % size),
            [Call("big", 5, "500" if i % 11 == 0 else None, tool_calls=i), Call("small", 6, cost_usd=i / 4)][: 1 + i % 2],
            overridden=None if i % 5 else i % 3 == 0,
        )
        for i in range(size)
    ]  # fmt: skip
    log = read(fill(store, requests))
    of = [int(name[1:]) for name in log.request_id]
    assert of == sorted(range(size), key=lambda i: i * 7919 % size)
    assert log.request_facts["overridden"].to_list() == [None if i % 5 else i % 3 == 0 for i in of]
    called = [of[request] for request in log.calls.request]
    target = [log.targets[code] for code in log.calls.target]
    assert log.call_facts["tool_calls"].to_list() == [
        i if name == "big" else None for i, name in zip(called, target, strict=True)
    ]
    assert log.call_facts["cost_usd"].to_list() == [
        i / 4 if name == "small" else None for i, name in zip(called, target, strict=True)
    ]
    assert log.call_facts["ttft_ms"].null_count() == len(called) == size + size // 2
    assert (
        log.call_facts.schema
        == store.query("replay_call_facts", targets=list(log.targets)).drop("row", "id_hash", "target", "number").schema
    )
