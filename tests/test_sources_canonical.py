from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from incident_kit.errors import InvalidRows, UnknownFormat, UnreadableFile
from incident_kit.sources import load
from incident_kit.store import Store

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 3, 2, 14, 20, 5, tzinfo=UTC)


@pytest.fixture
def store() -> Store:
    return Store()


def one(store: Store, sql: str) -> dict[str, Any]:
    (row,) = store.frame(sql).to_dicts()
    return row


def test_parquet_keeps_its_types(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "requests.parquet"
    frame = pl.DataFrame(
        {
            "request_id": ["r1", "r2"],
            "arrived_at": [AT, AT + timedelta(seconds=1)],
            "wait_ms": [100, None],
            "requested": ["primary", "primary"],
            "served": ["backup", "primary"],
            "status": ["ok", "error"],
            "stream": [True, None],
            "cost_usd": [0.5, None],
            "labels": ['{"team": "emea"}', None],
            "unknown_column": [1, 2],
        }
    )
    frame.write_parquet(file)
    assert load(store, file).rows_loaded == 2
    row = one(store, "select * from requests where request_id = 'r1'")
    assert (row["arrived_at"], row["wait_ms"], row["cost_usd"], row["stream"]) == (AT, 100, 0.5, True)
    assert row["is_fallback"] is True, "where the file does not say, it follows from requested and served"
    assert json.loads(row["labels"]) == {"team": "emea"}
    assert row["load_id"] == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-02T14:20:05Z", AT),
        ("2026-03-02 15:20:05+01:00", AT),
        ("2026-03-02T14:20:05.123456+0000", AT + timedelta(microseconds=123456)),
        ("1772461205", AT),
        (1772461205, AT),
        (1772461205.5, AT + timedelta(seconds=0.5)),
        (1772461205123, AT + timedelta(seconds=0.123)),
        (1772461205123456, AT + timedelta(microseconds=123456)),
        ("1772461205123456789", AT + timedelta(microseconds=123456)),
    ],
)
def test_instants_by_zone_or_magnitude(store: Store, tmp_path: Path, value: Any, expected: datetime) -> None:
    file = tmp_path / "requests.ndjson"
    file.write_text(json.dumps({"request_id": "r1", "arrived_at": value}))
    load(store, file)
    assert one(store, "select arrived_at from requests")["arrived_at"] == expected


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_times_without_a_zone_demand_one(store: Store, tmp_path: Path, form: str) -> None:
    file = tmp_path / f"requests.{form}"
    if form == "csv":
        file.write_text("request_id,arrived_at\nr1,2026-03-02 14:20:05\n")
    else:
        pl.DataFrame({"request_id": ["r1"], "arrived_at": [AT.replace(tzinfo=None)]}).write_parquet(file)
    with pytest.raises(
        InvalidRows, match=r"arrived_at: '2026-03-02 14:20:05' has no time zone; say which with zone='UTC'"
    ):
        load(store, file)
    load(store, file, zone="Europe/Berlin")
    assert one(store, "select arrived_at from requests")["arrived_at"] == AT - timedelta(hours=1)


def test_another_zone_in_parquet_is_the_same_instant(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "requests.parquet"
    local = AT.astimezone(timezone(timedelta(hours=-5)))
    pl.DataFrame({"request_id": ["r1"], "arrived_at": [local]}).write_parquet(file)
    load(store, file)
    assert one(store, "select arrived_at from requests")["arrived_at"] == AT


def test_mixed_epoch_units_are_refused(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "attempts.csv"
    file.write_text("attempt_id,request_id,sent_at,done_at\na1,r1,1772461205,1772461206000\n")
    with pytest.raises(InvalidRows, match="mixes epoch times in ms and s"):
        load(store, file)
    assert store.rows("select count(*) from loads") == [(0,)]


def test_columns_are_mapped_by_the_user(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("id,ts,duration,wait_ms\nr1,2026-03-02T14:20:05Z,250,9\n")
    columns = {"request_id": "id", "arrived_at": "ts", "wait_ms": "duration"}
    load(store, file, columns=columns)
    assert one(store, "select * from requests")["wait_ms"] == 250
    rows = tmp_path / "log.ndjson"
    rows.write_text(json.dumps({"id": "r2", "ts": 1772461205, "duration": 7}))
    load(store, rows, columns=columns)
    parquet = tmp_path / "log.parquet"
    pl.DataFrame({"id": ["r3"], "ts": [AT], 'dur"ation': [8]}).write_parquet(parquet)
    load(store, parquet, columns=columns | {"wait_ms": 'dur"ation'})
    assert store.rows("select request_id, wait_ms from requests order by 1") == [("r1", 250), ("r2", 7), ("r3", 8)]


def test_a_column_that_is_not_there_is_suggested(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("request_id,arrived_at,duration\nr1,2026-03-02T14:20:05Z,250\n")
    with pytest.raises(UnreadableFile, match=r"no column 'duratoin' \(did you mean 'duration'\?\)"):
        load(store, file, columns={"wait_ms": "duratoin"})
    with pytest.raises(UnknownFormat, match="map them with columns="):
        load(store, file, labels={"intent": ["$.topic"]})


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("wait_ms", "abc", "wait_ms: 'abc' is not a number"),
        ("wait_ms", "-5", "wait_ms: -5 is negative"),
        ("arrived_at", "noon", "arrived_at: 'noon' is not a time"),
        ("status", "fine", "status: 'fine' is not one of ok, error, timeout, cut"),
        ("stream", "perhaps", "stream: 'perhaps' is not true or false"),
        ("labels", "{oops", "labels: '{oops' is not JSON"),
        ("request_id", "", "no request_id"),
        ("arrived_at", "", "no arrived_at"),
    ],
)
def test_a_value_that_does_not_fit_names_column_and_value(
    store: Store, tmp_path: Path, column: str, value: str, reason: str
) -> None:
    good = {"request_id": "r1", "arrived_at": "2026-03-02T14:20:05Z"}
    bad = {"request_id": "r2", "arrived_at": "2026-03-02T14:20:05Z"} | {column: value}
    names = list(dict.fromkeys([*bad, *good]))
    file = tmp_path / "log.csv"
    file.write_text(
        "\n".join([",".join(names), *(",".join(row.get(name, "") for name in names) for row in (good, bad))])
    )
    assert load(store, file).rejects.select("line", "reason").rows() == [(3, reason)]
    other = Store()
    rows = tmp_path / "log.ndjson"
    rows.write_text(json.dumps(good) + "\n" + json.dumps(bad))
    assert load(other, rows).rejects.select("line", "reason").rows() == [(2, reason)]


def test_a_table_without_rows_is_read_as_such(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    file.write_text("request_id,arrived_at\n")
    report = load(store, file)
    assert (report.rows_read, report.rows_loaded, report.answers) == (0, 0, {})


def write(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    file = folder / f"{name}.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_attempts_alone_are_rolled_up(store: Store, tmp_path: Path) -> None:
    file = write(
        tmp_path, "attempts",
        {"attempt_id": "a2", "request_id": "r1", "sent_at": "2026-03-02T14:20:07Z", "latency_ms": 300,
         "target": "backup", "status": "ok"},
        {"attempt_id": "a1", "request_id": "r1", "sent_at": "2026-03-02T14:20:05Z", "done_at": "2026-03-02T14:20:06Z",
         "target": "primary", "status": "error", "error_class": "500", "intent": "refund"},
    )  # fmt: skip
    load(store, file)
    row = one(store, "select * from requests")
    assert (row["requested"], row["served"], row["is_fallback"], row["intent"]) == ("primary", "backup", True, "refund")
    assert (row["wait_ms"], row["attempts_logged"], row["attempts_complete"]) == (2300, 2, None)
    assert store.rows("select seq, kind, latency_ms from attempts order by seq") == [
        (1, "call", 1000),
        (2, "call", 300),
    ]


def test_the_files_own_order_of_attempts_wins(store: Store, tmp_path: Path) -> None:
    base = {"request_id": "r1", "sent_at": "2026-03-02T14:20:05Z", "latency_ms": 300, "status": "ok"}
    load(
        store,
        write(
            tmp_path,
            "a",
            base | {"attempt_id": "x", "seq": 2, "target": "b"},
            base | {"attempt_id": "y", "seq": 1, "target": "a"},
        ),
    )
    assert store.rows("select attempt_id, seq from attempts order by seq") == [("y", 1), ("x", 2)]
    assert store.rows("select requested, served from requests") == [("a", "b")]


@pytest.mark.parametrize("first", ["requests", "attempts"])
def test_a_requests_file_wins_in_any_order(store: Store, tmp_path: Path, first: str) -> None:
    files = {
        "requests": write(tmp_path, "requests", {"request_id": "r1", "arrived_at": AT.isoformat(), "wait_ms": 9000}),
        "attempts": write(
            tmp_path, "attempts",
            {"attempt_id": "a1", "request_id": "r1", "sent_at": AT.isoformat(), "latency_ms": 10, "status": "ok"},
            {"attempt_id": "a2", "request_id": "r2", "sent_at": AT.isoformat(), "latency_ms": 20, "status": "ok"},
        ),
    }  # fmt: skip
    load(store, files[first])
    load(store, files["attempts" if first == "requests" else "requests"])
    assert store.rows("select request_id, wait_ms, load_id is null from requests order by 1") == [
        ("r1", 9000, False),
        ("r2", 20, True),
    ]


def test_repeats_and_contradictions(store: Store, tmp_path: Path) -> None:
    row = {"request_id": "r1", "arrived_at": AT.isoformat(), "wait_ms": 1}
    load(store, write(tmp_path, "a", row, row))
    report = load(store, write(tmp_path, "b", row, row | {"wait_ms": 2}, row | {"request_id": "r2"}))
    assert (report.rows_loaded, report.rows_duplicate, report.rows_rejected) == (1, 1, 1)
    reason = "another row has the same id and other content: wait_ms"
    assert report.rejects.row(0)[2:] == (reason, '{"request_id":"r1"}')
    assert report.loads[0].notes == ("such as r1: wait_ms is kept as 1, not 2",)
    assert store.rows("select request_id, wait_ms from requests order by 1") == [("r1", 1), ("r2", 1)]


def test_what_a_later_row_says_otherwise_is_told_with_both_values(store: Store, tmp_path: Path) -> None:
    """What was loaded first stays, also where a later export knows more; within a file whichever the hash of contents picks."""
    row = {"request_id": "r1", "arrived_at": AT.isoformat(), "intent": "chat"}
    load(store, write(tmp_path, "a", row))
    later = row | {"wait_ms": 2, "intent": "mail", "ticket_id": "t", "conversation_id": "c", "channel": "x" * 99}
    report = load(store, write(tmp_path, "b", later, row | {"request_id": "r2"}))
    (reason,) = report.loads[0].reasons
    assert reason.startswith("another row has the same id and other content: ")
    assert reason.endswith(", ...")
    (note,) = report.loads[0].notes
    assert "intent is kept as chat, not mail" in note
    assert "is kept as nothing, not " in note
    assert len(note) < 250
    with pytest.raises(InvalidRows, match=r"other content: .*intent.*; such as r1: "):
        load(store, write(tmp_path, "c", later | {"wait_ms": 3}))
    calls = [
        {
            "attempt_id": "a",
            "request_id": "r3",
            "sent_at": AT.isoformat(),
            "latency_ms": 10,
            "status": status,
            "target": "big",
        }
        for status in ("ok", "error")
    ]
    load(store, write(tmp_path, "d", calls[0]))
    report = load(store, write(tmp_path, "e", calls[1], calls[0] | {"attempt_id": "b"}))
    assert report.loads[0].notes == ("such as r3 a: status is kept as ok, not error",)


def test_the_other_tables(store: Store, tmp_path: Path) -> None:
    at = AT.isoformat()
    tables: dict[str, dict[str, Any]] = {
        "feedback": {"feedback_id": "f1", "decision": "edited", "at": at, "edit_ratio": 0.4},
        "tickets": {"ticket_id": "T1", "created_at": at, "reopens": 2, "csat": -1.0},
        "sla": {"ticket_id": "T1", "metric": "first_reply", "instance_no": 1, "target_s": 3600, "breached": True},
        "sla_events": {"ticket_id": "T2", "metric": "m", "instance_no": 1, "at": at, "type": "start", "seq": 1},
        "ticket_events": {
            "ticket_id": "T1",
            "at": at,
            "type": "comment",
            "value": None,
            "actor": "9",
            "public": True,
            "seq": 4,
        },
        "actors": {"actor_id": "9", "role": "agent"},
        "schedules": {"schedule_id": "7", "zone": "America/New_York", "is_default": True},
        "schedule_windows": {"schedule_id": "7", "starts_minute": 1980, "ends_minute": 2460},
        "signals": {"name": "csat", "known_at": at, "value": -0.5},
    }
    for table, row in tables.items():
        load(store, write(tmp_path, table, row))
        found = one(store, f"select * from {table}")  # noqa: S608 - nine names
        assert {name: found[name] for name in row if name not in {"at", "created_at", "known_at"}} == {
            name: value for name, value in row.items() if name not in {"at", "created_at", "known_at"}
        }
    assert one(store, "select overridden from feedback") == {"overridden": True}
    load(store, write(tmp_path, "holidays", {"schedule_id": "7", "starts_on": "2026-03-17", "name": "Company day"}))
    assert store.rows("select starts_on = ends_on, starts_on = date '2026-03-17' from schedule_holidays") == [
        (True, True)
    ]
    assert one(store, "select evidence_level from sla where ticket_id = 'T1'") == {"evidence_level": "instance"}


def test_a_week_has_its_bounds(store: Store, tmp_path: Path) -> None:
    good = {"schedule_id": "7", "starts_minute": 9900, "ends_minute": 10200}
    wrong = [
        {"ends_minute": 9900},
        {"starts_minute": 10080, "ends_minute": 10090},
        {"starts_minute": 0, "ends_minute": 10081},
    ]
    report = load(store, write(tmp_path, "windows", good, *(good | one for one in wrong)))
    assert report.rows_loaded == 1
    assert [reason.split(":")[0] for reason in report.rejects["reason"]] == [
        "ends_minute is not after starts_minute",
        "starts_minute is not within the week",
        "the window is longer than a week",
    ]
