"""The SLA clock on records that make no sense: it never raises, and never says more than it can know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from incident_kit.servicelevels.slaclock import clocked
from incident_kit.servicelevels.slarules import DESKS, VERDICTS, WAREHOUSE, SlaRules
from incident_kit.store import Store

TIMES = st.sampled_from(
    ["1970-01-01", "1990-01-01", "2026-03-02 10:00", "2026-03-02 10:00:01", "2026-03-08 07:30", "2026-11-01 05:30", "2099-12-31",
     "9999-12-31 23:59:59"]
)  # fmt: skip
TARGET = '{"metric": "%s", "target_s": %s, "clock": %s}'
VALUES = st.one_of(
    st.sampled_from(["new", "open", "pending", "hold", "solved", "closed", "?", None]),
    st.builds(
        lambda *parts: TARGET % parts,
        st.sampled_from(["first_reply", "next_reply", "requester_wait", "agent_work", "resolution", "no metric"]),
        st.sampled_from(["0", "60", "-5", "null", '"x"', "9e99", "99999999999"]),
        st.sampled_from(["null", '"business"', '"calendar"', "7"]),
    ),
    st.sampled_from(["{", "[]", "null", "s1", "s2", "gone"]),
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["t1", "t2"]),
        TIMES,
        st.sampled_from(
            ["created", "status", "target", "comment", "schedule", "policy", "policy_id", "priority", "merged", "x"]
        ),
        VALUES,
        st.sampled_from(["agent", "customer", "bot", "nobody", None]),
        st.sampled_from([True, False, None]),
        st.sampled_from([None, 1, 2]),
    ),
    max_size=12,
)
CLOCKED = st.lists(
    st.tuples(
        st.sampled_from(["t1", "t3"]),
        st.sampled_from(["first_reply", "agent_work"]),
        st.integers(1, 2),
        TIMES,
        st.sampled_from(
            ["start", "resume", "pause", "stop", "apply", "target_change", "breach", "cancel", "reset", "measure"]
        ),
        st.sampled_from([None, 0, 3600, -1, 2**62]),
        st.sampled_from([None, "business", "calendar"]),
    ),
    max_size=12,
)
RECORDED = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 3600, -1, 2**62]), st.sampled_from([None, "business", "calendar"]), st.none() | TIMES,
        st.none() | TIMES, st.none() | TIMES, st.sampled_from([None, 0, -7, 600, 2**62]), st.sampled_from([None, 5, -1, 2**62]),
        st.sampled_from([None, True, False]), st.sampled_from([None, "met", "breached", "active", "cancelled"]),
        st.sampled_from([None, *DESKS, "elsewhere"]), st.sampled_from([None, "s1", "s2", "s3", "gone"]),
    ),
    max_size=4,
)  # fmt: skip
RULES = st.sampled_from(
    [None, WAREHOUSE, SlaRules(work_target_change="restart", reply_target_change="parallel", reopen="new instance"),
     SlaRules(schedule_change="last", breach_on_equal=True, precision_s=60)]
)  # fmt: skip


def at(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


STORE = Store()  # making one takes longer than everything else here


def filled(events: list[Any], clocks: list[Any], recorded: list[Any]) -> Store:
    store = STORE
    for table in ("ticket_events", "sla_events", "sla", "actors", "schedules", "schedule_windows", "sla_targets"):
        store.run(f"delete from {table}")  # noqa: S608 - tables of ours
    store.run("insert into actors values ('agent', 'agent', 1), ('customer', 'end_user', 1), ('bot', 'bot', 1)")
    store.run(
        "insert into schedules by name select unnest(['s1', 's2', 's3']) as schedule_id,"
        " unnest(['America/New_York', 'Mars', 'UTC']) as zone"
    )
    store.run("insert into schedule_windows values ('s1', 1980, 2460, 1), ('s2', 0, 10, 1)")
    store.run("insert into sla_targets values ('s1', 'first_reply', null, 60, 'business', null, 1)")
    for ticket, when, *more in events:
        store.connection.execute("insert into ticket_events values (?, ?, ?, ?, ?, ?, ?, 1)", [ticket, at(when), *more])
    for number, (ticket, metric, instance, when, kind, target, clock) in enumerate(clocks):
        row = [ticket, metric, instance, at(when), kind, target, clock, None, number, None, None]
        store.connection.execute("insert into sla_events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)", row)
    for number, (
        target,
        clock,
        started,
        stopped,
        due,
        paused,
        elapsed,
        breached,
        outcome,
        source,
        schedule,
    ) in enumerate(recorded):
        row = {
            "ticket_id": "t4", "metric": "resolution", "instance_no": number, "target_s": target, "clock": clock,
            "elapsed_s": elapsed,
            "started_at": at(started), "stopped_at": at(stopped), "due_at": at(due), "paused_s": paused, "breached": breached,
            "outcome": outcome, "evidence_level": "instance", "source": source, "schedule_id": schedule,
        }  # fmt: skip
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        store.connection.execute(f"insert into sla ({names}) values ({marks})", list(row.values()))  # noqa: S608 - names of ours
    for ticket, metric, instance in {tuple(one[:3]) for one in clocks}:
        store.connection.execute(
            "insert into sla (ticket_id, metric, instance_no, target_s, clock, evidence_level)"
            " values (?, ?, ?, 60, 'calendar', 'event')",
            [ticket, metric, instance],
        )
    return store


@pytest.mark.slow
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, CLOCKED, RECORDED, RULES, TIMES)
def test_nothing_is_too_odd(
    events: list[Any], clocks: list[Any], recorded: list[Any], rules: SlaRules | None, asof: str
) -> None:
    store = filled(events, clocks, recorded)
    found = clocked(store, rules=rules, asof=at(asof) if "1990" < asof < "21" else None)
    frame = found.instances
    assert set(frame["verdict"]) <= set(VERDICTS)
    assert frame.filter(pl.col("ticket_id") == "t4").height >= len(recorded)
    unknown = frame.filter(pl.col("verdict") == "cannot be recomputed")
    assert unknown["reason"].is_not_null().all()
    assert (unknown["breached"].is_null() & unknown["margin_s"].is_null()).all()
    own = frame.filter(pl.col("basis").is_in(["events", "history", "times"]))
    assert own["reason"].is_null().all()
    # what is breached says when, and not after it stopped
    late = own.filter(pl.col("breached"))
    assert late["breached_at"].is_not_null().all()
    assert found.moved([0.0] * frame.height).equals(frame)
    assert found.report()["instances"].sum() == frame.height


def test_a_loaded_schedule_that_cannot_be_used_is_said() -> None:
    store = filled(
        [], [], [(60, "business", "2026-03-02 10:00", "2026-03-02 11:00", None, 0, None, None, None, None, "s2")]
    )
    (row,) = clocked(store).instances.to_dicts()
    assert row["verdict"] == "cannot be recomputed"
    assert "no time zone 'Mars'" in row["reason"]
    store = filled(
        [], [], [(60, "business", "2026-03-02 10:00", "2026-03-02 11:00", None, 0, None, None, None, None, "s3")]
    )
    assert "has no opening window" in clocked(store).instances["reason"][0]


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_rows_changes_nothing(order: int) -> None:
    events = [
        ("t1", "2026-03-02 10:00", "target", TARGET % ("first_reply", "60", '"calendar"'), None, None, None),
        ("t1", "2026-03-02 10:00", "created", None, None, None, None),
        ("t1", "2026-03-02 10:00", "comment", None, "customer", True, 1),
        ("t1", "2026-03-02 10:00:01", "comment", None, "agent", True, 2),
        ("t1", "2026-03-02 10:00:01", "status", "solved", None, None, None),
    ]
    (row,) = clocked(filled(events[::order], [], []), rules=SlaRules()).instances.to_dicts()
    assert (row["elapsed_s"], row["verdict"]) == (1, "met")
