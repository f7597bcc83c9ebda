"""What a cluster's tasks make of a lake, put together, is what one machine makes of it: row for row."""

from __future__ import annotations

import json
from pathlib import Path

import lakes
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal
from written import Call, Request

import incident_kit as ik
from incident_kit.clusters import lakeanswers, lakerows, partitions
from incident_kit.clusters.lakerows import Reading
from incident_kit.estimation.evidence import nearest

POLICIES = {name.lower(): getattr(lakes, name) for name in ("KERNEL", "MACHINE", "TARGET", "SWEPT", "ALERTED")}
GROUPS = {"kernel": 3, "machine": 2, "target": 2, "swept": 1, "alerted": 1}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[ik.Incident, pa.Table]:
    """The same files loaded by one machine, and put together by the tasks of a cluster."""
    files = lakes.lake(tmp_path_factory.mktemp("lake"), lakes.made_up(600, seed=1))
    return lakes.here(files), lakes.rolled(files)


@pytest.mark.parametrize("name", POLICIES)
def test_tasks_decide_as_one_machine_does(both: tuple[ik.Incident, pa.Table], name: str) -> None:
    policy = ik.Policy.parse(POLICIES[name])
    alone, apart = ik.replay(both[0], policy, estimator=nearest), lakes.pretended(both[1], policy)
    decisions, transitions = lakes.told(alone)
    assert_frame_equal(apart.decisions, decisions)
    assert_frame_equal(apart.transitions, transitions)
    assert transitions.height > 0, "nothing switched: nothing was tested"
    assert apart.groups == GROUPS[name]


def test_what_a_help_desk_and_signals_say_decides_as_on_one_machine(tmp_path: Path) -> None:
    """Breakers on escalations, re-openings and targets missed may be cut; a signal moves a breaker in every task, so is not."""
    files = lakes.lake(tmp_path / "lake", lakes.made_up(500, seed=7, has_tickets=True), files=2)
    of_the_desk = lakes.desk(tmp_path / "desk", tickets=125, seed=3)
    here, home = lakes.here([*files, *of_the_desk]), lakes.here(of_the_desk)
    assert home.log is not None  # puts the clock's verdicts into the tables
    rolled, shared = lakes.rolled(files), lakeanswers.shared(home)
    for text, groups in ((lakes.DESK, 1), (lakes.DESK.replace('"signal:churn > 0.5"', "reopen_rate > 0.1"), 3)):
        policy = ik.Policy.parse(text)
        apart = lakes.pretended(rolled, policy, desk=shared)
        decisions, transitions = lakes.told(ik.replay(here, policy, estimator=nearest))
        assert_frame_equal(apart.decisions, decisions)
        assert_frame_equal(apart.transitions, transitions)
        assert set(transitions["route"]) == {"refund", "order", "*"}
        assert apart.groups == groups


def test_totals_add_up(both: tuple[ik.Incident, pa.Table]) -> None:
    policy = ik.Policy.parse(lakes.KERNEL)
    alone, totals = ik.replay(both[0], policy, estimator=nearest), lakes.pretended(both[1], policy).totals
    assert totals["requests"].sum() == len(alone.log)
    assert totals["as_logged"].sum() / totals["requests"].sum() == alone.overlap
    assert totals["answered_alike"].sum() / totals["answered_in_log"].sum() == alone.fidelity
    assert totals["observed"].sum() == round(alone.evidence["observed"] * len(alone.log))
    refund = alone.decisions.filter(alone.outcomes["intent"].cast(pl.String) == "refund")
    (row,) = totals.filter(intent="refund").rows(named=True)
    assert row["on_backup"] == (refund["action"].cast(pl.String) == "fallback").sum() > 0
    assert row["p95_ms"] == refund["wait_ms"].quantile(0.95, interpolation="equiprobable")


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    requests = lakes.made_up(100, seed=4)
    files = lakes.lake(tmp_path, requests)
    broken = tmp_path / "attempts" / "part-0.ndjson"
    lines = '{"attempt_id": "x", "request_id": "y"}\nnot json\n'
    broken.write_text(broken.read_text(encoding="utf-8") + lines, encoding="utf-8")
    told = lakes.tallies(lakes.rolled(files))
    calls, reviews = sum(len(one.calls) for one in requests), sum(one.overridden is not None for one in requests)
    rows = 100 + calls + reviews
    assert sum(one["read"] for one in told) == rows + 100 // 50 + calls // 50 + reviews // 50 + 2
    assert sum(one["rejected"] for one in told) == 2
    assert sum(one["read"] - one["duplicate"] - one["rejected"] for one in told) == rows
    assert sum(one["seen"].get("requests", 0) for one in told) == 100


def test_the_same_id_with_other_content_is_rejected_wherever_it_lies(tmp_path: Path) -> None:
    one = Request("r1", 0, [Call("big", 100)])
    other = Request("r1", 0, [Call("big", 900)])
    for order in ([one, other], [other, one]):
        folder = tmp_path / str(order.index(one))
        tables = []
        for number, request in enumerate(order):
            (folder / str(number)).mkdir(parents=True)
            files = lakes.lake(folder / str(number), [request], files=1)
            tables += [lakerows.loaded(file, reading=Reading("canonical", file.parent.name)) for file in files]
        rows = pa.concat_tables(tables)
        done = partitions.rolled(rows.to_batches(), schema=rows.schema)
        assert sum(one["rejected"] for one in lakes.tallies(done)) >= 1
        kept = [row for row in done.to_pylist() if row["request_id"]]
        assert [len(row["calls"]) for row in kept] == [1]
        waits = {row["calls"][0]["latency_ms"] for row in kept}
        assert waits == waits & {100, 900}


def test_no_rows_are_no_rows() -> None:
    empty = lakerows.loaded(None, reading=Reading("", ""))
    assert empty.num_rows == 0
    done = partitions.rolled([], schema=empty.schema)
    assert done.num_rows == 1
    requests = done.filter(pa.compute.is_valid(done["request_id"])).drop_columns("tally")
    policy = ik.Policy.parse(lakes.KERNEL)
    nothing = partitions.decided([], schema=requests.schema, policy=policy, desk={}, reviewed=True)
    assert nothing.num_rows == 0
    assert nothing.schema.names == ["decision", "transition", "total"]


def test_a_part_without_a_usable_row_is_rejected_not_refused(tmp_path: Path) -> None:
    file = tmp_path / "part.ndjson"
    file.write_text('{"request_id": "", "arrived_at": "yesterday"}\n' * 3, encoding="utf-8")
    table = lakerows.loaded(file, reading=Reading("canonical", "requests"))
    (tally,) = [json.loads(text) for text in table["tally"].to_pylist()]
    assert (tally["read"], tally["rejected"]) == (3, 3)


def test_chunks_hold_every_record_once(tmp_path: Path) -> None:
    lines = pa.table({"value": [f'{{"n": {n}}}' for n in range(1000)]})
    files = list(lakerows.chunks(iter(lines.to_batches(max_chunksize=30)), folder=tmp_path, rows=100, size=2**30))
    assert [json.loads(line)["n"] for file in files for line in file.read_text(encoding="utf-8").splitlines()] == list(
        range(1000)
    )
    assert len(files) == 9
    rows = pa.table({"n": range(1000)})
    files = list(lakerows.chunks(iter(rows.to_batches(max_chunksize=30)), folder=tmp_path, rows=2000, size=1))
    assert len(files) == 34
