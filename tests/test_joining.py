"""Requests to tickets: by id, suggestion, conversation and time, on logs written by hand; guesses are counted as such."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import START, Call, Request, fill, frames

from incident_kit.helpdesk.joining import WAYS, TicketJoin, _open_at, join_tickets
from incident_kit.incident import Incident

_INSTANT = pl.Datetime("us", "UTC")


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def ticket(name: str, begin: float, end: float | None, **more: Any) -> dict[str, Any]:
    solved = None if end is None else at(end)
    return {"ticket_id": name, "created_at": at(begin), "solved_at": solved, "intent": None, "channel": None} | more


def request(name: str, minute: float, *, intent: str | None = "chat", **changes: Any) -> Request:
    return Request(name, 60_000 * minute, [Call("big", 500)], intent=intent, changes=changes)


def desk(
    requests: Sequence[Request], tickets: Sequence[dict[str, Any]], reviews: Sequence[tuple[str, str | None]] = ()
) -> Incident:
    """Return an incident; ``reviews`` are (request, ticket) of agents' decisions."""
    incident = Incident.create()
    tables = frames(requests)
    own = [{"request_id": one.name} | {key: one.changes.get(key) for key in _OWN} for one in requests]
    tables["requests"] = (
        tables["requests"].drop("ticket_id").join(pl.DataFrame(own, schema=_OWN_SCHEMA), on="request_id")
    )
    schema = {"ticket_id": pl.String, "created_at": _INSTANT, "solved_at": _INSTANT, "intent": pl.String}
    tables["tickets"] = pl.DataFrame(tickets, schema=schema | {"channel": pl.String})
    rows = [
        {"feedback_id": f"f{i}", "request_id": name, "ticket_id": of, "decision": "accepted"}
        for i, (name, of) in enumerate(reviews)
    ]
    names = ("feedback_id", "request_id", "ticket_id", "decision")
    tables["feedback"] = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))
    fill(incident.store, tables)
    return incident


_OWN = ("ticket_id", "conversation_id", "channel")
_OWN_SCHEMA = dict.fromkeys(("request_id", *_OWN), pl.String)


def joined(join: TicketJoin) -> dict[str, tuple[str | None, str, int]]:
    """Return each request's ticket, how it is known and how many were possible."""
    return {row["request_id"]: (row["ticket_id"], row["how"], row["candidates"]) for row in join.rows.to_dicts()}


def test_what_the_logs_name() -> None:
    """a names T1; b is reviewed on T2; c talks with a; d names another ticket than its review; e's conversation has two."""
    requests = [
        request("a", 0, ticket_id="T1", conversation_id="k"),
        request("b", 1),
        request("c", 2, conversation_id="k"),
        request("d", 3, ticket_id="T1", conversation_id="m"),
        request("e", 4, conversation_id="m"),
        request("f", 5, ticket_id="T2", conversation_id="m"),
        request("g", 6),
    ]
    tickets = [ticket("T1", 0, 60), ticket("T2", 0, 60)]
    join = join_tickets(desk(requests, tickets, [("b", "T2"), ("d", "T2"), ("g", "T1"), ("g", "T2"), ("g", "T2")]))
    assert joined(join) == {
        "a": ("T1", "id", 1),
        "b": ("T2", "suggestion", 1),
        "c": ("T1", "conversation", 1),
        "d": ("T1", "id", 1),
        "e": (None, "ambiguous", 2),
        "f": ("T2", "id", 1),
        "g": (None, "ambiguous", 2),
    }
    assert join.rows["request_id"].to_list() == list("abcdefg"), "in order of arrival"
    assert (join.match_rate, join.ambiguity, join.reached, join.desk) == (5 / 7, 2 / 7, 2, 2)


def test_a_conversation_known_by_its_review() -> None:
    requests = [request("a", 0, conversation_id="k"), request("b", 1, conversation_id="k")]
    join = join_tickets(desk(requests, [ticket("T1", 0, 60)], [("a", "T1")]))
    assert joined(join) == {"a": ("T1", "suggestion", 1), "b": ("T1", "conversation", 1)}


def test_spelling() -> None:
    """The help desk's own spelling is kept; what is alike but for case, # and .0 is the same, unless two would be."""
    names = {"a": "#541", "b": "541", "c": "541.0", "d": " inc7", "e": "ABC", "f": "999"}
    requests = [request(name, i, ticket_id=own) for i, (name, own) in enumerate(names.items())]
    tickets = [ticket(name, 0, 60) for name in ("541", "INC7", "abc", "Abc")]
    join = join_tickets(desk(requests, tickets))
    assert {name: row[0] for name, row in joined(join).items()} == {
        "a": "541", "b": "541", "c": "541", "d": "INC7", "e": "ABC", "f": "999",
    }  # fmt: skip
    assert dict(join.rows.select("request_id", "in_desk").iter_rows()) == {
        "a": True, "b": True, "c": True, "d": True, "e": False, "f": False,
    }  # fmt: skip
    assert "2 tickets that requests name are in none of the help desk's exports." in str(join)


def test_by_time_only_where_one_fits_one() -> None:
    """T1 is open from 0 to 10, T2 from 20 to 40 and T3 from 30 to 50, all of chat; T4 from 60 on, of refunds, by email."""
    tickets = [
        ticket("T1", 0, 10, intent="chat"),
        ticket("T2", 20, 40, intent="chat"),
        ticket("T3", 30, 50, intent="chat"),
        ticket("T4", 60, None, intent="refund", channel="email"),
    ]
    requests = [
        request("a", 5),
        request("late", 15),
        request("b", 25),
        request("both", 35),
        request("wrong", 61),
        request("c", 62, intent="refund"),
        request("phone", 63, intent="refund", channel="phone"),
    ]
    join = join_tickets(desk(requests, tickets))
    assert joined(join) == {
        "a": ("T1", "time", 1),
        "late": (None, "none", 0),
        "b": ("T2", "time", 1),
        "both": (None, "ambiguous", 2),
        "wrong": (None, "none", 0),
        "c": ("T4", "time", 1),
        "phone": (None, "none", 0),
    }
    assert "a guess" in str(join)


def test_two_conversations_for_one_ticket_are_ambiguous() -> None:
    tickets = [ticket("T1", 0, 10, intent="chat")]
    requests = [request("a", 5), request("b", 6)]
    assert joined(join_tickets(desk(requests, tickets))) == {"a": (None, "ambiguous", 1), "b": (None, "ambiguous", 1)}
    same = [request("a", 5, conversation_id="k"), request("b", 6, conversation_id="k")]
    assert joined(join_tickets(desk(same, tickets))) == {"a": ("T1", "time", 1), "b": ("T1", "time", 1)}


def test_a_conversation_that_outlives_the_ticket_is_not_its() -> None:
    requests = [request("a", 5, conversation_id="k"), request("b", 11, conversation_id="k")]
    join = join_tickets(desk(requests, [ticket("T1", 0, 10, intent="chat")]))
    assert joined(join) == {"a": (None, "none", 0), "b": (None, "none", 0)}


def test_a_ticket_that_something_names_is_not_guessed() -> None:
    requests = [request("a", 5, ticket_id="T1"), request("b", 6)]
    join = join_tickets(desk(requests, [ticket("T1", 0, 10, intent="chat")]))
    assert joined(join)["b"] == (None, "none", 0)


def test_time_alone_is_not_enough() -> None:
    """Neither side knows an intent or a channel: any ticket would do, so none does."""
    join = join_tickets(desk([request("a", 5, intent=None)], [ticket("T1", 0, 10)]))
    assert joined(join) == {"a": (None, "none", 0)}


def test_a_model_before_the_ticket() -> None:
    incident = desk([request("a", 5)], [ticket("T1", 8, 20, intent="chat")])
    assert joined(join_tickets(incident))["a"] == (None, "none", 0)
    assert joined(join_tickets(incident, before=timedelta(minutes=3)))["a"] == ("T1", "time", 1)


def test_nothing_loaded() -> None:
    join = join_tickets(Incident.create())
    assert (join.rows.height, join.match_rate, join.ambiguity) == (0, 0, 0)
    assert str(join) == "No requests to join with tickets."
    assert join.summary["requests"].to_list() == [0] * len(WAYS)
    alone = join_tickets(desk([request("a", 5)], []))
    assert str(alone) == "No request names a ticket, and no ticket of a help desk is loaded."


def test_the_summary_counts_every_request_once(sample: Incident) -> None:
    join = join_tickets(sample)
    assert join.summary["requests"].sum() == join.rows.height == len(sample.log)
    assert join.summary["share"].sum() == pytest.approx(1)
    assert join.rows["request_id"].n_unique() == join.rows.height


@settings(max_examples=60, deadline=None)
@given(
    spans=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([None, "x", "y"])), max_size=12),
    instants=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    intent=st.sampled_from(["x", None]),
)
def test_counting_open_tickets(spans: list[Any], instants: list[int], intent: str | None) -> None:
    """Against looking at every ticket at every instant; a ticket is open at its creation and at its end."""
    free = pl.DataFrame(
        {
            "created_us": [begin for begin, _, _ in spans],
            "closed_us": [begin + size for begin, size, _ in spans],
            "intent": [of for *_, of in spans],
            "channel": ["chat"] * len(spans),
        },
        schema={"created_us": pl.Int64, "closed_us": pl.Int64, "intent": pl.String, "channel": pl.String},
    )
    count, position = _open_at(free, intent, "chat", np.array(instants), timedelta(0))
    for now, n, where in zip(instants, count.tolist(), position.tolist(), strict=True):
        fitting = [
            i
            for i, (begin, size, of) in enumerate(spans)
            if begin <= now <= begin + size and (intent is None or of in {None, intent})
        ]
        assert n == len(fitting)
        assert where == (fitting[0] if n == 1 else -1)
