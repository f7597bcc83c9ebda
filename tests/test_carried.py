"""What nobody estimates: as logged where a policy serves as logged, else between its ends; eight tickets, counted by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from written import START, Call, Request, write

from incident_kit.estimation.evidence import nearest
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.scoring.scorecard import Board, compare
from incident_kit.scoring.scores import AS_LOGGED

STAYS = Policy.parse("{name: stays, routes: [{intent: chat, primary: big}, {intent: mail, primary: small}]}")
LEAVES = Policy.parse("{name: leaves, routes: [{intent: chat, primary: big}, {intent: mail, primary: big}]}")
HANDS_OVER = Policy.parse(
    "{name: hands_over, routes: [{intent: mail, primary: small, fallback: human, "
    "switch: [{to: human, from: 2026-01-01T00:00:00Z}]}]}"
)
METRICS = ["escalation_rate", "reopen_rate", "sla_breach_rate", "signal:csat", "signal:load"]


def at(second: int) -> str:
    return (START + timedelta(seconds=second)).isoformat()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    """Tickets t0 to t5 of chats, answered by big, t6 and t7 of mails, by small; t0 and t6 are escalated, t1 before it asked."""
    requests = [
        Request(
            f"r{i}", 1000 * i + 500, [Call("small" if i > 5 else "big", 100)], intent="mail" if i > 5 else "chat",
            changes={"ticket_id": f"t{i}"},
        )
        for i in range(8)
    ]  # fmt: skip
    incident = Incident.create()
    incident.load(write(tmp_path_factory.mktemp("desk"), requests))
    for ticket, second, kind in (
        ("t0", 5, "escalation"),
        ("t1", 1, "escalation"),
        ("t6", 9, "escalation"),
        ("t2", 9, "reopen"),
    ):
        incident.store.run(
            'insert into ticket_events (ticket_id, "at", type) values (?, ?, ?)', [ticket, at(second), kind]
        )
    for values in (
        ("csat", at(6), 1, 1, "r0", None, None, None), ("csat", at(7), 0, 1, None, "t6", None, None),
        ("csat", at(8), 1, 1, None, None, "small", None), ("csat", at(8), 0, 1, None, None, None, None),
        ("load", at(8), 40, 1, "r7", None, None, "mail"),
    ):  # fmt: skip
        incident.store.run(
            "insert into signals (name, known_at, numerator, denominator, request_id, ticket_id, target, intent) "
            "values (?, ?, ?, ?, ?, ?, ?, ?)", list(values),
        )  # fmt: skip
    incident.answers = {}
    return incident


@pytest.fixture(scope="module")
def board(desk: Incident) -> Board:
    return compare(desk, [STAYS, LEAVES], metrics=METRICS, draws=0, estimator=nearest)


def row(board: Board, policy: str, metric: str, intent: str = "all") -> dict[str, Any]:
    by = None if intent == "all" else "intent"
    return board.table(by=by).filter(policy=policy, metric=metric, intent=intent).row(0, named=True)


def numbers(found: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(found[name] for name in ("observed", "estimate", "bound_low", "bound_high"))


@pytest.mark.parametrize("policy", [AS_LOGGED, "stays"])
def test_as_logged_all_is_known(board: Board, policy: str) -> None:
    assert numbers(row(board, policy, "escalation_rate")) == (2 / 8,) * 4
    assert numbers(row(board, policy, "escalation_rate", "chat")) == (1 / 6,) * 4
    assert numbers(row(board, policy, "reopen_rate")) == (1 / 8,) * 4
    assert numbers(row(board, policy, "signal:csat")) == (2 / 4,) * 4
    assert numbers(row(board, policy, "signal:load", "mail")) == (40,) * 4


def test_no_breach_was_ever_logged(board: Board) -> None:
    assert numbers(row(board, "stays", "sla_breach_rate")) == (None,) * 4


def test_tickets_answered_otherwise_may_end_well_or_badly(board: Board) -> None:
    """t6 and t7 would be answered by big: of the eight, t0 is escalated for sure, and those two may be."""
    found = row(board, "leaves", "escalation_rate")
    assert numbers(found) == (2 / 8, None, 1 / 8, 3 / 8)
    assert "as logged or between bounds: for 25% of the tickets a request is answered otherwise" in found["flags"]
    assert numbers(row(board, "leaves", "escalation_rate", "chat")) == (1 / 6,) * 4
    assert numbers(row(board, "leaves", "escalation_rate", "mail")) == (1 / 2, None, 0, 1)


def test_a_signal_moves_with_its_request_ticket_or_target(board: Board) -> None:
    """r0 stays; t6 and what small did do not; the row that names nothing is carried over."""
    found = row(board, "leaves", "signal:csat")
    assert numbers(found) == (2 / 4, None, 1 / 4, 3 / 4)
    assert "carried over: 25% of the signal names nothing that a policy changes" in found["flags"]
    assert numbers(row(board, "leaves", "signal:csat", "chat"))[1:] == (None, 1 / 4, 3 / 4), (
        "rows of no intent count for all"
    )
    assert numbers(row(board, "leaves", "signal:load")) == (40, None, None, None), "which has no largest value"


def test_an_end_with_a_person_is_an_escalation(desk: Incident) -> None:
    board = compare(desk, [HANDS_OVER], metrics=["escalation_rate"], draws=0, estimator=nearest)
    assert numbers(row(board, "hands_over", "escalation_rate", "mail")) == (1 / 2, 1, 1, 1)


def test_only_what_happens_after_the_first_scored_request_counts(desk: Incident) -> None:
    """t0 was escalated at 5 s; scored from 6 s on there is t6 only, of two tickets; csat of that time has three rows."""
    span = (START + timedelta(seconds=6), START + timedelta(seconds=20))
    board = compare(desk, [STAYS], during=span, metrics=METRICS, draws=0, estimator=nearest)
    assert numbers(row(board, "stays", "escalation_rate")) == (1 / 2,) * 4
    after = (START + timedelta(seconds=7), START + timedelta(seconds=20))
    board = compare(desk, [STAYS], during=after, metrics=METRICS, draws=0, estimator=nearest)
    assert numbers(row(board, "stays", "signal:csat")) == (1 / 3,) * 4
