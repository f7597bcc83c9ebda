"""The bundled capture read a second time, in plain Python: what the kit's numbers are held to."""

from __future__ import annotations

import functools
import gzip
import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from incident_kit.samples import sample


@dataclass
class Wait:
    """One request as its rows have it, and as its client saw it."""

    at: float
    wait_ms: int
    answered: bool
    served: str | None
    requested: str
    is_fallback: bool | None
    intent: str | None
    tool_calls: int
    tool_errors: int | None  # None: the conversation went on without a word of them
    rows: list[dict[str, Any]] = field(repr=False)


def _lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(sample() / name, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@functools.cache
def requests() -> dict[str, Wait]:
    """Return the requests by LiteLLM's call id. The client's own record tells intents, fallbacks and tool results."""
    clients = {one["headers"]["x-litellm-call-id"]: one for one in _lines("other/client_observed.ndjson.gz")}
    rows = defaultdict(list)
    for row in _lines("logs/standard_logging.ndjson.gz"):
        rows[row["litellm_call_id"]].append(row)
    answered_tools = {
        (clients[name]["conversation_id"], message["tool_call_id"])
        for name, several in rows.items()
        for row in several
        for message in row["messages"]
        if message["role"] == "tool"
    }
    found = {}
    for name, several in rows.items():
        client = clients[name]
        ok = next((row for row in several if row["status"] == "success"), None)
        begin, end = min(row["startTime"] for row in several), max(row["endTime"] for row in several)
        calls = _calls(ok) if ok else []
        conversation = client["conversation_id"]
        unknown = [call for call in calls if (conversation, call["id"]) not in answered_tools]
        errors = sum(not result.get("ok") for result in client["tool_results"] or ())
        found[name] = Wait(
            at=begin,
            wait_ms=round((round(end * 1e6) - round(begin * 1e6)) / 1000),
            answered=ok is not None,
            served=ok["model_group"] if ok else None,
            requested=client["requested_model"],
            is_fallback=int(client["headers"].get("x-litellm-attempted-fallbacks", 0)) > 0 if ok else None,
            intent=client["intent"] if client["label_site"] != "none" else None,
            tool_calls=len(calls),
            tool_errors=None if unknown else errors,
            rows=several,
        )
    return found


def _calls(row: dict[str, Any]) -> list[dict[str, Any]]:
    return (row["response"].get("choices") or [{}])[0].get("message", {}).get("tool_calls") or []


def nearest_rank(values: list[int], percent: str) -> int:
    """Return the ceil(percent n / 100)-th smallest."""
    return sorted(values)[math.ceil(Fraction(percent) * len(values) / 100) - 1]


def is_refusal(row: dict[str, Any]) -> bool:
    return row["status"] == "failure" and row["error_information"]["error_class"] == "RouterRateLimitError"
