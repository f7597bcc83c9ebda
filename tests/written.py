"""Logs written by hand: requests with their calls, put into a store's tables or into files of the kit's own format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from incident_kit.store import Store

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
_INSTANT = pl.Datetime("us", "UTC")
_ATTEMPTS = {
    "attempt_id": pl.String, "request_id": pl.String, "seq": pl.Int64, "kind": pl.String, "target": pl.String,
    "sent_at": _INSTANT, "done_at": _INSTANT, "latency_ms": pl.Int64, "status": pl.String, "error_class": pl.String,
    "tools_offered": pl.Int64, "tool_calls": pl.Int64, "tool_errors": pl.Int64, "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64, "cost_usd": pl.Float64,
}  # fmt: skip
_REQUESTS = {
    "request_id": pl.String, "ticket_id": pl.String, "intent": pl.String, "arrived_at": _INSTANT, "wait_ms": pl.Int64,
    "requested": pl.String, "served": pl.String, "is_fallback": pl.Boolean, "status": pl.String, "error_class": pl.String,
    "tools_offered": pl.Int64, "tool_calls": pl.Int64, "tool_errors": pl.Int64, "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64, "cost_usd": pl.Float64, "attempts_complete": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One attempt; ``error`` None is ok, ``after_ms`` the pause before it."""

    target: str
    latency_ms: int | None
    error: str | None = None
    kind: str = "call"
    after_ms: int = 0
    tool_calls: int | None = None
    tool_errors: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True)
class Request:
    """One request, ``at_ms`` after START, and its calls one after the other; the last one is its answer."""

    name: str
    at_ms: float
    calls: Sequence[Call]
    intent: str | None = "chat"
    overridden: bool | None = None
    tools_offered: int | None = None
    complete: bool | None = None
    requested: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def arrived_at(self) -> datetime:
        return START + timedelta(microseconds=round(1000 * self.at_ms))


def attempt_rows(request: Request) -> list[dict[str, Any]]:
    rows, at = [], request.arrived_at
    for seq, call in enumerate(request.calls, 1):
        at += timedelta(milliseconds=call.after_ms)
        done = at + timedelta(milliseconds=call.latency_ms or 0)
        rows.append(
            {
                "attempt_id": f"{request.name}/{seq}", "request_id": request.name, "seq": seq, "kind": call.kind,
                "target": call.target, "sent_at": at, "done_at": done, "latency_ms": call.latency_ms,
                "status": _status(call.error), "error_class": call.error, "tools_offered": request.tools_offered,
                "tool_calls": call.tool_calls, "tool_errors": call.tool_errors,
                "prompt_tokens": None, "completion_tokens": call.completion_tokens, "cost_usd": call.cost_usd,
            }
        )  # fmt: skip
        at = done
    return rows


def request_row(request: Request) -> dict[str, Any]:
    last = request.calls[-1] if request.calls else Call("", None)
    requested = request.requested or (request.calls[0].target if request.calls else None)
    served = last.target if request.calls and last.error is None else None
    costs = [call.cost_usd for call in request.calls if call.cost_usd is not None]
    return {
        "request_id": request.name, "ticket_id": None, "intent": request.intent, "arrived_at": request.arrived_at,
        "wait_ms": sum((call.latency_ms or 0) + call.after_ms for call in request.calls) if request.calls else None,
        "requested": requested, "served": served, "is_fallback": served != requested if served else None,
        "status": _status(last.error), "error_class": last.error, "tools_offered": request.tools_offered,
        "tool_calls": last.tool_calls if served else None, "tool_errors": last.tool_errors if served else None,
        "prompt_tokens": None, "completion_tokens": last.completion_tokens if served else None,
        "cost_usd": sum(costs) if costs else None, "attempts_complete": request.complete,
    } | request.changes  # fmt: skip


def _status(error: str | None) -> str:
    return "ok" if error is None else error if error in {"timeout", "cut"} else "error"


def frames(requests: Iterable[Request]) -> dict[str, pl.DataFrame]:
    """Return the rows of the tables attempts, requests and feedback."""
    requests = list(requests)
    attempts = [row for request in requests for row in attempt_rows(request)]
    feedback = [
        {
            "feedback_id": f"f-{request.name}", "suggestion_id": f"s-{request.name}", "request_id": request.name,
            "at": request.arrived_at + timedelta(minutes=1), "decision": "edited" if request.overridden else "accepted",
            "overridden": request.overridden,
        }
        for request in requests
        if request.overridden is not None
    ]  # fmt: skip
    schema = {
        "feedback_id": pl.String, "suggestion_id": pl.String, "request_id": pl.String, "at": _INSTANT,
        "decision": pl.String, "overridden": pl.Boolean,
    }  # fmt: skip
    return {
        "attempts": pl.DataFrame(attempts, schema=_ATTEMPTS),
        "requests": pl.DataFrame([request_row(request) for request in requests], schema=_REQUESTS),
        "feedback": pl.DataFrame(feedback, schema=schema),
    }


def fill(store: Store, requests: Iterable[Request] | dict[str, pl.DataFrame]) -> Store:
    """Put requests in place of whatever is in the store."""
    tables = requests if isinstance(requests, dict) else frames(requests)
    for table, frame in tables.items():
        store.run(f"delete from {table}")  # noqa: S608 - the kit's own tables
        store.connection.register("written", frame.to_arrow())
        store.run(f"insert into {table} by name select * from written")  # noqa: S608 - the same
        store.connection.unregister("written")
    return store


def write(folder: Path, requests: Iterable[Request] | dict[str, pl.DataFrame]) -> list[Path]:
    """Write requests as files of the kit's own format, one a table that has rows."""
    tables = requests if isinstance(requests, dict) else frames(requests)
    files = []
    for table, frame in tables.items():
        if frame.height:
            files.append(folder / f"{table}.ndjson")
            files[-1].write_text("".join(_line(row) for row in frame.iter_rows(named=True)), encoding="utf-8")
    return files


def _line(row: dict[str, Any]) -> str:
    return (
        json.dumps({name: value for name, value in row.items() if value is not None}, default=lambda at: at.isoformat())
        + "\n"
    )


# Every call of r3 done late: the policy of tests/test_replays.py trips at 5 s, tests at 10 s, returns at 10.45 s.
TINY = (
    Request("r1", 0, [Call("big", 400, tool_calls=2, tool_errors=0, cost_usd=0.01)], overridden=False),
    Request("r2", 1_000, [Call("big", 600, cost_usd=0.01)], intent=None),
    Request("r3", 2_000, [Call("big", 3000, tool_calls=1, tool_errors=1, cost_usd=0.01)], overridden=True),
    Request("r4", 4_000, [Call("big", 500, cost_usd=0.01)]),
    Request("r5", 6_000, [Call("big", 700, tool_calls=1, tool_errors=0, cost_usd=0.01)], overridden=False),
    Request(
        "r6", 8_000, [Call("small", 200, tool_calls=2, tool_errors=1, cost_usd=0.002)], requested="big", overridden=True
    ),
    Request("r7", 10_000, [Call("big", 450, cost_usd=0.01)]),
    Request("r8", 11_000, [Call("big", 350, "500")]),
)
