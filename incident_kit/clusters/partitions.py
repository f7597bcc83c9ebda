# ruff: noqa: S608 - identifiers are the kit's own
"""Partitions: what one task of a cluster does with its part of a lake. Arrow in, Arrow out; nothing here knows of Spark.

A lake goes through three: :func:`lakerows.loaded` reads records as :func:`incident_kit.sources.load` does, `rolled`
puts together what belongs to a request, `decided` replays what must be replayed together. Each has an incident's tables in
memory for as long as it works.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pyarrow as pa  # type: ignore[import-untyped]

from incident_kit.clusters.lakerows import (
    ATTEMPTS,
    FEEDBACK,
    NOT_READ,
    REQUESTS,
    Tally,
    arrow,
    columns_of,
    listed,
    workplace,
)
from incident_kit.clusters.resulttables import results
from incident_kit.engine.details import REVIEWED
from incident_kit.estimation.evidence import nearest
from incident_kit.log import read
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import replay_log
from incident_kit.sources.rollup import roll_up
from incident_kit.sources.verdict import coverage
from incident_kit.store import Store

AT_ONCE = 250_000  # rows that are taken from Spark before DuckDB has them
_GIVEN = ((ATTEMPTS, "attempt", "attempt_id"), (REQUESTS, "request", "request_id"), (FEEDBACK, "review", "feedback_id"))
_LOADS = {ATTEMPTS: 1, REQUESTS: 2, FEEDBACK: 3}
_ELSEWHERE = 4  # the load of what another part of the lake says of an answer's tool calls
_DERIVED = ("latency_ms", "tool_errors", "tool_result_at")


def rolled(batches: Iterable[pa.RecordBatch], *, schema: pa.Schema, counts_reviews: bool = False) -> pa.Table:
    """Return one row a request, with its calls and its review, and one with a tally, out of rows of `loaded`.

    All rows of a request, and all that other requests say of its tool calls (``answer``), must be among them.
    ``counts_reviews``: the tally says too how many reviews of calls found nothing to change.
    """
    with workplace() as store:
        _take(store, batches, schema)
        twice, other = _put(store)
        roll_up(store, ATTEMPTS, _LOADS[ATTEMPTS])
        seen = coverage(store, list(_LOADS.values()))
        (witness,) = store.rows("select count(first_token_at), count(cost_usd) from attempts")
        seen |= {"first_tokens": witness[0], "costs": witness[1], "accepted": 0}
        if counts_reviews and seen["decided"]:
            facts = read(store).details.facts
            seen["accepted"] = int((facts["overridden"] == 0).sum())
        tally = Tally(
            duplicate=twice, rejected=other, seen=seen, reasons={"another row has the same id and other content": other}
        )
        return arrow(store, _request_rows(store), {"tally": str(tally)})


def _take(store: Store, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
    """Put rows into the temporary table ``given``, some at a time: not all of them need be in memory twice."""
    held = [schema.empty_table()]
    for batch in batches:
        held.append(pa.Table.from_batches([batch]).select(schema.names).cast(schema))
        if sum(one.num_rows for one in held) >= AT_ONCE:
            _add(store, held)
            held = []
    _add(store, held)


def _add(store: Store, tables: list[pa.Table]) -> None:
    if tables:
        store.connection.register("batches", pa.concat_tables(tables))
        store.run("create temp table if not exists given as select * from batches limit 0")
        store.run("insert into given select * from batches")
        store.connection.unregister("batches")


def _put(store: Store) -> tuple[int, int]:
    """Fill the tables with what was given; return how many rows were there twice, and how many contradicted another."""
    twice = other = 0
    for table, column, key in _GIVEN:
        store.run(f"create temp table part as select {column}.* from given where {column} is not null")
        content = ", ".join(f'"{name}"' for name in columns_of(store, "part") if name not in _DERIVED)
        keys = f"request_id, {key}"
        # which of several contents is kept must not depend on how a lake is cut into files
        store.run(
            f"create temp table kept as select *, hash({content}) as content from part"
            f" qualify row_number() over (partition by {keys} order by hash({content})) = 1"
        )
        ((rows, kept, contents),) = store.rows(
            f"select (select count(*) from part), (select count(*) from kept), (select count(distinct ({keys}, h)) from"
            f" (select {keys}, hash({content}) as h from part))"
        )
        twice, other = twice + rows - contents, other + contents - kept
        load_id = _LOADS[table]
        if table == ATTEMPTS:
            named = [name for name in columns_of(store, "kept") if name in columns_of(store, ATTEMPTS)]
            store.run(
                f"insert into attempts by name select {listed(named)}, began_at as sent_at, {load_id} as load_id from kept"
            )
            facts = [name for name in columns_of(store, "kept") if name in columns_of(store, "request_facts")]
            store.run(f"insert into request_facts by name select {listed(facts)}, {load_id} as load_id from kept")
        else:
            store.run(f"insert into {table} by name select * exclude (content), {load_id} as load_id from kept")
        store.run("drop table kept")
        store.run("drop table part")
    store.run(
        "insert into request_facts by name select answer.asked_by as request_id, '' as attempt_id, answer.known_at as began_at,"
        " nullif(answer.conversation_id, '') as conversation_id, [{'id': answer.call_id, 'ok': answer.ok}] as tool_results,"
        f" '' as source, {_ELSEWHERE} as load_id from given where answer is not null"
    )
    return twice, other


def _request_rows(store: Store) -> str:
    """Return SQL for one row a request, and a row for ``$tally``."""
    calls = [name for name in columns_of(store, ATTEMPTS) if name not in {*NOT_READ, "request_id"}]
    own = [name for name in columns_of(store, REQUESTS) if name not in {*NOT_READ, "labels", "attempts_logged"}]
    return f"""
        with calls as (
          select request_id, list(a order by a.seq) as calls
          from (select request_id, {listed(calls)} from attempts) as a
          group by request_id
        ),
        reviews as (
          select request_id, bool_or(overridden) as overridden, min("at") filter (where overridden is not null) as reviewed_at
          from feedback
          where request_id is not null
          group by request_id
        )
        select
          {listed(own, of="r.")}, r.labels::varchar as labels, calls.calls, v.overridden, v.reviewed_at, null::varchar as tally
        from requests as r
        left join calls on calls.request_id = r.request_id
        left join reviews as v on v.request_id = r.request_id
        union all by name
        select tally from given where tally is not null
        union all by name
        select $tally::varchar as tally where $tally is not null
    """


def decided(
    batches: Iterable[pa.RecordBatch], *, schema: pa.Schema, policy: Policy, desk: Mapping[str, bytes], reviewed: bool
) -> pa.Table:
    """Return the decisions of a policy for requests out of rows of `rolled`, and its transitions, and totals, one a row.

    ``desk`` are tables that all requests share, as Arrow files: what a help desk and signals say. ``reviewed``: somewhere in
    the lake reviews that found nothing to change are logged too.
    """
    with workplace() as store:
        _take(store, batches, schema)
        given = set(schema.names)
        own = [name for name in columns_of(store, REQUESTS) if name in given]
        store.run(f"insert into requests by name select {listed(own)} from given")
        store.run("insert into attempts by name select call.* from (select unnest(calls) as call from given)")
        store.run(
            "insert into feedback by name select request_id as feedback_id, request_id, overridden, reviewed_at as at,"
            " 'unknown' as decision from given where overridden is not null"
        )
        store.run("drop table given")
        for table, content in desk.items():
            store.connection.register("shared", pa.ipc.open_file(content).read_all())
            store.run(f"insert into {table} by name select * from shared")
            store.connection.unregister("shared")
        log = read(store)
        if reviewed:
            log.__dict__["details"] = replace(log.details, feedback_lag_us=REVIEWED)
        return results(replay_log(log, policy, estimator=nearest))
