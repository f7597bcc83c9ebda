"""Guesses: which of a sample's values may be which of the kit's columns, by their names and by what they look like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from incident_kit.sources import leaves

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _read(text: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    found = {}
    for line in text.strip().splitlines():
        column, _, names = line.partition(": ")
        name, kind = column.split()
        found[name] = (kind, tuple(names.split()))
    return found


# a column's kind, and the names that it goes by elsewhere, the likeliest first; the end of a path is what is named
NAMES = _read("""
request_id id: request_?id req_?id call_?id correlation_?id trace_?id request call uuid id
attempt_id id: attempt_?id span_?id call_?id call uuid id
sent_at time: sent_?at start(ed)?_?(at|time)? began_?at request_?time created?_?(at|time)? timestamp time ts at date
arrived_at time: arrived_?at received_?at start(ed)?_?(at|time)? created?_?(at|time)? timestamp time ts at
done_at time: done_?at end(ed)?_?(at|time)? finish(ed)?_?(at|time)? completed?_?(at|time)? response_?time
latency_ms duration: latency.* duration.* elapsed.* took.* response_?time.* total_?time.*
wait_ms duration: wait.* latency.* duration.* elapsed.* took.*
status status: status outcome result success ok status_?code http_?status code state
error_class text: error_?(class|type|code) status_?code http_?status error exception
target text: target model_?group route upstream deployment backend (requested_?)?model(_?name)?
deployment text: deployment(_?id)? model_?id upstream backend
provider text: provider(_?name)? .*_provider vendor
model text: (response_?)?model(_?name)? engine
requested text: requested(_?model)? request_?model requested alias
served text: served(_?model)? response_?model model
prompt_tokens count: prompt_?tokens? input_?tokens? tokens?_?(in|input|prompt) in
completion_tokens count: completion_?tokens? output_?tokens? tokens?_?(out|output|completion) out
cost_usd number: cost(_?usd)? spend price .*_cost
stream truth: stream(ed|ing)? is_?stream
cache_hit truth: cache_?hit cached from_?cache
tool_calls count: tool_?calls?(_?count)?
intent text: intent(_?name)? topic category use_?case skill
ticket_id id: ticket_?(id|number)? case_?(id|number)? issue_?(id|key)?
conversation_id id: conversation_?id session_?id thread_?id chat_?id conversation session
channel text: channel via source
feedback_id id: feedback_?id suggestion_?id id uuid
suggestion_id id: suggestion_?id draft_?id id
shown_at time: shown_?at suggested_?at offered_?at
at time: at decided_?at time timestamp created?_?(at|time)? date ts
decision text: decision action verdict outcome rating feedback thumbs?
edit_ratio number: edit_?ratio edit_?distance similarity
created_at time: created?_?(at|time|on|date)? opened_?(at|on)? timestamp
solved_at time: solved_?(at|time)? resolved_?(at|time)? closed_?(at|time)?
first_reply_at time: first_?(reply|response)_?(at|time)? responded_?at
priority text: priority urgency
csat number: csat satisfaction.* rating
reopens count: reopens?(_?count)? reopened
known_at time: known_?at at time timestamp ts date
name text: name metric signal key
value number: value score amount
numerator number: numerator hits? bad
denominator number: denominator total count
metric text: metric sla(_?name)? milestone(_?type)?
instance_no count: instance(_?(no|id))?
policy text: policy(_?name)? sla
target_s count: target(_?s(econds)?)? goal
started_at time: start(ed)?_?(at|time|date)?
due_at time: due(_?(at|date|by))? target_?date planned_?end.*
stopped_at time: stop(ped)?_?(at|time)? end(ed)?_?(at|time)? completion_?date
breached truth: breached is_?violated has_?breached violated
type text: type event action
seq count: seq(uence)? order id
""")
_STEP = re.compile(r"\.(?:\"([^\"]*)\"|(\w+))")  # of a path
_INSIDE = 0.05  # what a step inwards costs a guess
_UNITS = {
    "s": 1000.0,
    "sec": 1000.0,
    "secs": 1000.0,
    "seconds": 1000.0,
    "us": 1e-3,
    "micros": 1e-3,
    "ns": 1e-6,
    "ms": 1.0,
    "millis": 1.0,
}


@dataclass(frozen=True)
class Guess:
    """A path that may be a column; ``scale`` makes milliseconds of a duration, ``note`` says what it rests on."""

    column: str
    path: str
    kind: str
    scale: float = 1.0
    note: str = ""


def guesses(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, Guess]:
    """Return the likeliest path for each of the columns that any value of the records may be."""
    values: dict[str, list[Any]] = {}
    for record in records:
        for path, value in leaves.leaves(record):
            if value is not None and value != "":
                values.setdefault(path, []).append(value)
    found = {}
    for column in columns:
        kind, names = NAMES.get(column, ("text", (re.escape(column),)))
        ranked = [
            (score, path) for path, seen in values.items() if (score := _score(path, seen, kind, names)) is not None
        ]
        if ranked:
            _, path = min(ranked)
            found[column] = _guess(column, path, kind, values[path])
    return found


def _score(path: str, values: Sequence[Any], kind: str, names: Sequence[str]) -> float | None:
    if not _may_be(kind, values):
        return None
    steps = [_plain(quoted or bare) for quoted, bare in _STEP.findall(path)]
    last = next((quoted or bare for quoted, bare in reversed(_STEP.findall(path))), "")
    ends = {"_".join(steps[-2:]), *steps[-1:], *map(_plain, re.split(r"[:.]", last)[-1:])}
    for rank, name in enumerate(names):
        if any(re.fullmatch(name, end) for end in ends):
            return rank + _INSIDE * path.count(".") + (0.5 if "[" in path else 0)
    return None


def _plain(key: str) -> str:
    """Return a key as names are compared: words in small letters, with one line between."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()
    return re.sub(r"[\W_]+", "_", words).strip("_")


def _may_be(kind: str, values: Sequence[Any]) -> bool:
    tests = {
        "time": lambda value: leaves.instant(value) is not None,
        "duration": lambda value: (said := leaves.number(value)) is not None and said >= 0 and leaves.instant(value) is None,
        "number": lambda value: leaves.number(value) is not None,
        "count": lambda value: (said := leaves.number(value)) is not None and said >= 0 and said == int(said),
        "truth": lambda value: str(value).lower() in {"true", "false", "0", "1", "yes", "no"},
        "id": lambda value: isinstance(value, str | int) and not isinstance(value, bool) and len(str(value)) <= 200,
        "text": lambda value: isinstance(value, str | int) and not isinstance(value, bool) and len(str(value)) <= 200,
        "status": lambda value: isinstance(value, str | int | bool) and len(str(value)) <= 40,
    }  # fmt: skip
    return sum(tests[kind](value) for value in values) >= 0.8 * len(values)


def _guess(column: str, path: str, kind: str, values: Sequence[Any]) -> Guess:
    if kind == "duration":
        last = _plain(path).rsplit("_", 1)[-1]
        if last in _UNITS:
            return Guess(column, path, kind, _UNITS[last], f"its name says {last}")
        numbers = [said for value in values if (said := leaves.number(value)) is not None]
        if any(said != int(said) for said in numbers) and max(numbers) < 600:
            return Guess(column, path, kind, 1000.0, "seconds, as it has fractions and is small")
        return Guess(column, path, kind, 1.0, "milliseconds, as it is whole or large")
    return Guess(column, path, kind, note=_note(kind, values))


def _note(kind: str, values: Sequence[Any]) -> str:
    if kind != "time":
        return f"such as {str(values[0])[:40]!r}"
    if leaves.number(values[0]) is not None:
        sizes = {
            9: "seconds",
            10: "seconds",
            12: "milliseconds",
            13: "milliseconds",
            15: "microseconds",
            16: "microseconds",
        }
        digits = len(str(int(leaves.number(values[0]) or 0)))
        return f"a number of {sizes.get(digits, 'nanoseconds')} since 1970, by its size"
    zoned = re.search(r"(Z|[+-]\d\d:?\d\d)\s*$", str(values[0]))
    return (
        "a time with its zone" if zoned else "a time WITHOUT a zone: say which with --zone, or zone: in the description"
    )
