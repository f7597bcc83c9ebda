"""Zendesk's exports: the warehouse's tables, the API's tickets and metrics, Explore reports, and the traps of each."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from loaded import SAMPLES, Loaded, of_records, of_sample

from incident_kit.errors import InvalidRows
from incident_kit.sources import load
from incident_kit.store import Store

AT = "2026-03-02 14:00:00"


def events(loaded: Loaded) -> list[tuple[Any, ...]]:
    return loaded.store.rows("select ticket_id, type, value, actor, public, seq from ticket_events order by all")


def test_fields_become_what_happened_to_a_ticket() -> None:
    loaded = of_sample("zendesk_field_history")
    first = loaded.store.rows(
        "select type, value from ticket_events where ticket_id = '11' and \"at\" = timestamptz '2026-02-24 17:20Z' order by all"
    )
    assert first == [
        ("priority", "urgent"),
        ("target", '{"metric":"agent_work","target_s":28800,"clock":"calendar"}'),
        ("target", '{"metric":"first_reply","target_s":3600,"clock":"calendar"}'),
        ("target", '{"metric":"requester_wait","target_s":28800,"clock":"calendar"}'),
    ]
    assert loaded.report.answers["sla"].answer == "yes"


def test_spellings_seconds_and_fields_that_are_nobodys(tmp_path: Path) -> None:
    change = {"ticket_id": "1", "updated": AT, "user_id": "9"}
    loaded = of_records(
        tmp_path,
        [
            change | {"field_name": "status", "value": "on-hold"},
            change | {"field_name": "priority", "value": "High"},
            change
            | {
                "field_name": "first_reply_time",
                "value": '{"minutes": null, "seconds": 90, "in_business_hours": true}',
            },
            change | {"field_name": "total_resolution_time", "value": '{"minutes": 2, "in_business_hours": false}'},
            change | {"field_name": "first_reply_time", "value": None},
            change | {"field_name": "next_reply_time", "value": "soon"},
            change | {"field_name": "agent_work_time", "value": '{"minutes": -5}'},
            change | {"field_name": "custom_360042", "value": "secret of a customer"},
            change | {"field_name": "status", "value": "open", "updated": "noon"},
        ],
    )
    assert [row[1:3] for row in events(loaded)] == [
        ("priority", "high"),
        ("status", "hold"),
        ("target", '{"metric":"first_reply","target_s":90,"clock":"business"}'),
        ("target", '{"metric":"first_reply","target_s":null,"clock":null}'),
        ("target", '{"metric":"resolution","target_s":120,"clock":"calendar"}'),
    ]
    assert sorted(loaded.rejects.items()) == [
        (6, "next_reply_time: 'soon' says no minutes"),
        (7, "agent_work_time is negative"),
        (8, "not for us: the field custom_360042"),
        (9, "updated: 'noon' is not a time"),
    ]
    assert "secret" not in str(loaded.report.rejects.rows())


def test_a_change_that_is_there_twice_is_one(tmp_path: Path) -> None:
    row = {"ticket_id": "1", "field_name": "status", "value": "open", "updated": AT, "user_id": "9"}
    loaded = of_records(tmp_path, [row, row, row | {"value": "pending"}])
    assert (loaded.report.rows_loaded, loaded.report.rows_duplicate) == (2, 1)


def test_comments_are_who_and_when_and_never_what() -> None:
    loaded = of_sample("zendesk_comment")
    found = loaded.store.rows("select type, actor, public from ticket_events where ticket_id = '16' order by seq")
    assert found == [("comment", "217", True), ("comment", "102", False), ("comment", "102", True)]
    found = loaded.store.rows('select * exclude ("at") from ticket_events')
    assert "text" not in str(found)


def test_a_comment_that_is_neither_public_nor_private_is_not_guessed_at(tmp_path: Path) -> None:
    comment = {"id": 1, "ticket_id": 1, "user_id": 9, "created": AT, "public": True}
    loaded = of_records(tmp_path, [comment, comment | {"id": 2, "public": None}, comment | {"id": None}])
    assert sorted(loaded.rejects.values()) == ["no id", "public: '' is not true or false"]


def test_who_is_an_agent(tmp_path: Path) -> None:
    user = {
        "locale_id": 1,
        "suspended": False,
        "moderator": False,
        "role": "agent",
        "name": "Someone",
        "email": "a@b.c",
    }
    loaded = of_records(
        tmp_path,
        [
            user | {"id": 1},
            user | {"id": 2, "role": "admin"},
            user | {"id": 3, "role": "end-user"},
            user | {"id": 4, "shared_agent": True},
            user | {"id": -1},
            user | {"id": 6, "role": "owner"},
        ],
    )
    roles = {name: row["role"] for name, row in loaded.rows("actors", "actor_id").items()}
    assert roles == {"1": "agent", "2": "agent", "3": "end_user", "4": "bot", "-1": "bot"}
    assert loaded.rejects == {6: "role: 'owner' is not agent, admin or end-user"}


def test_schedules_their_zones_and_the_oldest_one() -> None:
    loaded = of_sample("zendesk_schedule")
    assert loaded.store.rows("select schedule_id, zone, is_default from schedules order by 1") == [
        ("7001", "Eastern Time (US & Canada)", True), ("7002", "London", False), ("7003", "UTC", False),
    ]  # fmt: skip
    assert loaded.store.rows("select * exclude (load_id) from schedule_windows where schedule_id = '7003'") == [
        ("7003", 0, 10080)
    ]
    assert [load.source for load in loaded.report.loads] == ["zendesk_schedule", "zendesk_schedule_name"]


def test_a_window_that_was_deleted_is_not_open(tmp_path: Path) -> None:
    window = {"id": 1, "name": "s", "time_zone": "UTC", "start_time": 60, "end_time": 120}
    loaded = of_records(
        tmp_path,
        [
            window,
            window | {"start_time": 180, "end_time": 240, "_fivetran_deleted": True},
            window | {"start_time": 300, "end_time": 300},
            window | {"start_time": 9900, "end_time": 10200},
        ],
    )
    windows = loaded.store.rows("select starts_minute, ends_minute from schedule_windows order by 1")
    assert windows == [(60, 120), (9900, 10200)]
    assert set(loaded.rejects.values()) == {
        "not for us: a window that was deleted", "from minute 300 to 300 is no window of a week",
    }  # fmt: skip


def test_holidays_are_local_dates() -> None:
    loaded = of_sample("zendesk_schedule_holiday")
    days = loaded.store.rows("select schedule_id, name, starts_on, ends_on from schedule_holidays")
    assert days == [("7001", "Company day", date(2026, 3, 17), date(2026, 3, 17))]


def test_policies_and_who_has_them() -> None:
    loaded = of_sample("zendesk_sla_policy")
    urgent = loaded.store.frame(
        "select target_s, clock, from_at from sla_targets"
        " where policy_id = '1002' and metric = 'first_reply' and priority = 'urgent'"
    )
    assert urgent.rows() == [(3600, "calendar", datetime(2020, 1, 1, tzinfo=UTC))]
    loaded = of_sample("zendesk_ticket_policy")
    assert loaded.store.rows("select value from ticket_events where ticket_id = '13' order by \"at\"") == [
        ("1002",),
        ("1001",),
    ]


def test_offsets_of_zones_are_read_past_without_a_word_of_failure() -> None:
    for name in ("zendesk_time_zone", "zendesk_daylight_time"):
        loaded = of_sample(name)
        assert loaded.report.rows_loaded == 0
        assert set(loaded.rejects.values()) == {"not for us: a zone's name says its offsets"}


def test_tickets_that_are_gone(tmp_path: Path) -> None:
    ticket = {
        "created_at": AT, "updated_at": "2026-03-02 15:00:00", "status": "open", "priority": "High", "requester_id": 1,
        "submitter_id": 1, "assignee_id": 2, "subject": "private", "description": "private", "via": {"channel": "email"},
    }  # fmt: skip
    loaded = of_records(
        tmp_path,
        [
            ticket | {"id": 1, "merged_ticket_ids": "[3, 4]"},
            ticket | {"id": 2, "status": "deleted"},
            ticket | {"id": 5, "status": "hold"},
        ],
    )
    assert [row[:3] for row in events(loaded)] == [("2", "deleted", None), ("3", "merged", "1"), ("4", "merged", "1")]
    tickets = loaded.rows("tickets", "ticket_id")
    assert (tickets["5"]["status"], tickets["5"]["channel"], tickets["5"]["priority"]) == ("hold", "email", "high")
    assert "private" not in str(loaded.store.frame("select * from ticket_facts").rows())


def test_metrics_of_tickets_are_minutes_and_may_be_seconds() -> None:
    tickets = of_sample("zendesk_ticket_metrics").rows("tickets", "ticket_id")
    assert tickets["541"]["first_reply_at"] == datetime(2026, 3, 2, 15, 31, 10, tzinfo=UTC)
    assert tickets["543"]["first_reply_at"] == datetime(2026, 3, 2, 14, 32, tzinfo=UTC)
    assert (tickets["541"]["reopens"], tickets["541"]["assigned_at"]) == (1, datetime(2026, 3, 2, 14, 3, tzinfo=UTC))
    assert [tickets["542"][name] for name in ("first_reply_at", "solved_at", "assigned_at")] == [None, None, None]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_ticket_is_what_its_files_say_together(tmp_path: Path, *, reverse: bool) -> None:
    files = [tmp_path / "ticket.json", tmp_path / "metrics.json"]
    files[0].write_text(
        '[{"id": 541, "created_at": "2026-03-02T14:00:00Z", "updated_at": "2026-03-02T14:00:00Z", "status": "solved",'
        ' "priority": "high", "requester_id": 1, "submitter_id": 1, "assignee_id": 2, "url": "https://x.example/541"}]'
    )
    files[1].write_bytes((Path(__file__).parent / "data" / "formats" / "zendesk_ticket_metrics.json").read_bytes())
    store = Store()
    for file in reversed(files) if reverse else files:
        load(store, file)
    (row,) = store.frame("select * from tickets where ticket_id = '541'").to_dicts()
    assert (row["priority"], row["status"], row["reopens"], row["url"]) == (
        "high",
        "solved",
        1,
        "https://x.example/541",
    )
    assert store.rows("select count(*) from tickets") == [(3,)]
    assert load(store, files[0]).rows_duplicate == 1


def test_an_explore_report_with_its_own_words(tmp_path: Path) -> None:
    loaded = of_sample("zendesk_explore_sla")
    rows = loaded.store.rows(
        "select metric, instance_no, target_s, elapsed_s, outcome, evidence_level from sla where ticket_id = '541' order by all"
    )
    assert rows == [
        ("first_reply", 1, 3600, 5460, "breached", "instance"),
        ("next_reply", 1, 3600, 720, "met", "instance"),
        ("next_reply", 2, 3600, 4500, "breached", "instance"),
        ("requester_wait", 1, 28800, 11400, "met", "instance"),
    ]
    found = loaded.store.rows(
        "select ticket_id, metric, elapsed_s, target_s, outcome from sla where ticket_id in ('542', '544')"
    )
    assert sorted(found) == [("542", "first_reply", None, 3600, "active"), ("544", "resolution", 86400, 172800, "met")]
    file = tmp_path / "bericht.csv"
    file.write_text("Ticket-Nr.;Metrik;Dauer;Ziel;Beginn\n7;First reply time;61;60;2026-03-02 15:00\n")
    columns = {
        "ticket_id": "Ticket-Nr.", "sla_metric": "Metrik", "completion_min": "Dauer", "target_min": "Ziel",
        "started_at": "Beginn",
    }  # fmt: skip
    with pytest.raises(InvalidRows, match=r"started_at: '2026-03-02 15:00' has no time zone.*zone="):
        load(Store(), file, columns=columns)
    store = Store()
    load(store, file, columns=columns, zone="Europe/Berlin")
    (row,) = store.frame("select * from sla").to_dicts()
    assert (row["started_at"], row["elapsed_s"], row["breached"]) == (datetime(2026, 3, 2, 14, tzinfo=UTC), 3660, None)


def test_an_explore_report_in_another_language_is_not_misread(tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    file.write_text(
        "ticket_id;sla_metric;completion_min;target_min;sla_status\n1;First reply time;1.234,5;60;Breached\n"
        "2;First reply time;12;60;Verletzt\n3;First reply time;1,012.5;60;Achieved\n4;First reply time;1.234;60;Achieved\n"
    )
    report = load(Store(), file)
    assert report.rows_loaded == 1
    assert report.rejects["reason"].to_list() == [
        "completion_min: '1.234,5' is no number of minutes",
        "sla_status: 'verletzt' is not one of achieved, breached, active, paused, cancelled",
        "completion_min: '1.234' is no number of minutes",
    ]


def test_metric_events_of_a_pipeline_that_dropped_the_targets(tmp_path: Path) -> None:
    """A schema without sla, status and deleted: the clocks run, and nobody knows against what."""
    base = {"ticket_id": 1, "metric": "reply_time", "instance_id": 1}
    loaded = of_records(
        tmp_path,
        [
            base | {"id": 1, "type": "activate", "time": "2026-03-02T10:00:00Z"},
            base | {"id": 2, "type": "apply_sla", "time": "2026-03-02T10:00:00Z"},
            base | {"id": 3, "type": "fulfill", "time": "2026-03-02T10:20:00Z"},
        ],
    )
    assert loaded.store.rows("select target_s, clock, outcome from sla") == [(None, None, "met")]
    assert loaded.report.answers["sla"].answer != "yes"


ORDERS = [
    ("ticket", "field_history", "comment", "user"),
    ("user", "comment", "field_history", "ticket"),
    ("comment", "ticket", "user", "field_history"),
]


@pytest.mark.parametrize("order", ORDERS)
def test_a_tickets_life_follows_from_what_happened_in_any_order_of_files(order: tuple[str, ...]) -> None:
    store = Store()
    for name in order:
        load(store, SAMPLES / f"zendesk_{name}.csv")
    rows = {row["ticket_id"]: row for row in store.frame("select * from tickets").to_dicts()}
    ten = rows["10"]  # solved, opened again by the customer a day later, solved
    assert ten["first_reply_at"] == datetime(2026, 2, 24, 14, 20, tzinfo=UTC)
    assert ten["solved_at"] == datetime(2026, 2, 25, 18, tzinfo=UTC)
    assert (ten["reopens"], ten["assigned_at"]) == (1, datetime(2026, 2, 24, 14, 10, tzinfo=UTC))
    reopened = store.frame("select ticket_id, \"at\" from ticket_events where type = 'reopen'")
    assert reopened.rows() == [("10", datetime(2026, 2, 25, 15, tzinfo=UTC))]
    assert (rows["18"]["first_reply_at"], rows["18"]["solved_at"], rows["18"]["reopens"]) == (None, None, 0)
    # by an agent, and not the agent's own words at the creation
    assert rows["21"]["first_reply_at"] == rows["21"]["created_at"].replace(minute=30)
    assert sum(row["solved_at"] is None for row in rows.values()) == 1
