"""The verdict: what the loaded logs can answer, so that a missing signal never reads as a healthy one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incident_kit.sources.formats import LABELS, QUESTIONS, Format
from incident_kit.sources.report import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from incident_kit.store import Store

ENOUGH = 0.9
SOME = 0.5
MISSING = {
    "waits": "load the gateway's request log",
    "errors": "load a log with one row per call (LiteLLM: StandardLoggingPayload; better, OTel spans)",
    "tools": "load a log with messages and responses (LiteLLM: StandardLoggingPayload, message logging on)",
    "overrides": "load what agents did with each suggestion (suggestion_id, request_id, decided_at, decision)",
    "tickets": "send a ticket_id with every request, and load a log that keeps it",
    "sla": "load the help desk's SLA events (Zendesk: ticket metric events)",
    "fidelity": "load a gateway log that says what was asked for and what answered",
    "intents": "send an intent with every request, in its metadata or as a tag intent:NAME",
}
_RANK = {"yes": 2, "lower bound": 1, "no": 0}
# the label's own column decides these, whatever the format
_ALWAYS = {"tickets": ("yes", "requests carry a ticket"), "intents": ("yes", "requests carry an intent")}


def record(store: Store, chosen: Format, load_id: int) -> dict[str, int]:
    """Write what one load can answer, and what its format could at best; return its `coverage`."""
    seen = coverage(store, [load_id])
    limits: dict[str, tuple[str, str]] = dict(chosen.answers)
    if seen["requests"]:
        limits |= {question: limits.get(question, at_best) for question, at_best in _ALWAYS.items()}
    for question, (limit, why) in limits.items():
        hint = chosen.hints.get(question, MISSING.get(question, ""))
        answer = measured(question, Answer(question, limit, why), seen, hint=hint)
        store.run(
            "insert into answers values ($load_id, $question, $answer, $why, $at_best, $at_best_why)",
            {
                "load_id": load_id, "question": question, "answer": answer.answer, "why": answer.why,
                "at_best": limit, "at_best_why": hint if question in _ALWAYS else why,
            },
        )  # fmt: skip
    return seen


def coverage(store: Store, load_ids: Sequence[int]) -> dict[str, int]:
    """Return how much of what the questions need is in the rows of those loads."""
    counts: dict[str, int] = store.query("load_coverage", load_ids=list(load_ids)).to_dicts()[0]
    return counts


def answers(store: Store) -> dict[str, Answer]:
    """Return what the incident can answer, per question, over all its loads.

    Where loads differ the answer is the best one made a lower bound; a question that no load answers is a ``no``
    that says what to load or switch on.
    """
    ids = [load_id for (load_id,) in store.rows("select distinct load_id from answers")]
    found = of_loads(store, ids, coverage(store, ids))
    return {question: found.get(question, Answer(question, "no", MISSING[question])) for question in QUESTIONS}


def of_loads(store: Store, load_ids: Sequence[int], seen: Mapping[str, int]) -> dict[str, Answer]:
    """Return what some loads can answer together, given their `coverage`."""
    rows = store.rows(
        "select a.question, l.source, a.at_best, a.at_best_why from answers as a join loads as l on l.load_id = a.load_id"
        " where list_contains($1, a.load_id) order by a.load_id",
        [list(load_ids)],
    )
    found = {}
    for question in QUESTIONS:
        # the tables of one source complete each other; sources do not
        ranked = sorted((row[1:] for row in rows if row[0] == question), key=lambda row: _RANK[row[1]])
        limits = {source: (limit, why) for source, limit, why in ranked}
        if limits:
            found[question] = measured(question, _merged(question, limits), seen, hint=_hint(question, limits))
    return found


def unlabelled(seen: Mapping[str, int]) -> dict[str, float]:
    """Return the share of requests without each label, given a `coverage`; nothing where there are no requests."""
    if not seen["requests"]:
        return {}
    columns = {"ticket_id": "with_ticket", "conversation_id": "with_conversation"}
    return {name: 1 - seen[columns.get(name, f"with_{name}")] / seen["requests"] for name in LABELS}


def _hint(question: str, limits: Mapping[str, tuple[str, str]]) -> str:
    return next(iter(limits.values()))[1] if question in _ALWAYS else MISSING[question]


def _merged(question: str, limits: Mapping[str, tuple[str, str]]) -> Answer:
    best, why = max(limits.values(), key=lambda limit: _RANK[limit[0]])
    less = {source: limit for source, limit in limits.items() if _RANK[limit[0]] < _RANK[best]}
    if not less:
        return Answer(question, best, why)
    parts = "; ".join(f"{source}: {answer}, {reason}" for source, (answer, reason) in less.items())
    return Answer(question, "lower bound", f"{why}; but {parts}")


def measured(question: str, limit: Answer, seen: Mapping[str, int], *, hint: str) -> Answer:
    """Return the answer that the data leaves of a format's limit."""
    if limit.answer == "no":
        return limit
    if question in _ALWAYS:
        return _labelled(question, seen, hint=hint)
    answer, why = _LEFT[question](seen)
    if answer == "no":
        return Answer(question, "no", f"{why}; {hint}" if hint else why)
    return Answer(question, answer, why) if answer == "lower bound" and limit.answer == "yes" else limit


def _labelled(question: str, seen: Mapping[str, int], *, hint: str) -> Answer:
    count, what = (seen["with_ticket"], "a ticket") if question == "tickets" else (seen["with_intent"], "an intent")
    share = count / seen["requests"] if seen["requests"] else 0.0
    why = f"{_share(count, seen['requests'])} of the requests carry {what}"
    if share >= ENOUGH:
        return Answer(question, "yes", why)
    return Answer(question, "lower bound" if share >= SOME else "no", f"{why}; {hint}")


def _waits(seen: Mapping[str, int]) -> tuple[str, str]:
    if not seen["with_wait"]:
        return "no", "no request has a wait"
    if seen["with_exact_wait"] < seen["with_wait"]:
        return "lower bound", "a wait is taken from the first to the last logged call"
    return "yes", ""


def _errors(seen: Mapping[str, int]) -> tuple[str, str]:
    return ("yes", "") if seen["with_status"] else ("no", "no request says how it ended")


def _fidelity(seen: Mapping[str, int]) -> tuple[str, str]:
    known = seen["with_served"] and seen["with_requested"]
    return ("yes", "") if known else ("no", "the rows do not say both what was asked for and what answered")


def _tools(seen: Mapping[str, int]) -> tuple[str, str]:
    if not seen["tool_calls"]:
        return "no", "there is no tool call in these rows"
    known, made = seen["requests_with_results"], seen["requests_with_calls"]
    if known < ENOUGH * made:
        return (
            "lower bound",
            f"what became of its tool calls is known for {_share(known, made)} of the requests that made any",
        )
    return "yes", ""


def _overrides(seen: Mapping[str, int]) -> tuple[str, str]:
    if not seen["decided"]:
        return "no", "no suggestion was decided on"
    if not seen["linked"]:
        return "no", "no decision names its request"
    if seen["linked"] < ENOUGH * seen["decided"]:
        return "lower bound", f"{_share(seen['linked'], seen['decided'])} of the decisions name their request"
    if not seen["edited"]:
        return "lower bound", "no answer is marked as edited: many tools count edited answers as accepted"
    return "yes", ""


def _sla(seen: Mapping[str, int]) -> tuple[str, str]:
    if not seen["clocks"]:
        return "no", "no SLA policy was applied to any ticket in these rows"
    if seen["with_target"] < seen["clocks"]:
        return "lower bound", f"{_share(seen['with_target'], seen['clocks'])} of the clocks carry their target"
    return "yes", ""


_LEFT = {
    "waits": _waits, "errors": _errors, "tools": _tools, "overrides": _overrides, "sla": _sla, "fidelity": _fidelity,
}  # fmt: skip


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"
