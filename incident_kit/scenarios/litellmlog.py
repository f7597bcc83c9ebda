"""LiteLLM's log of a played scenario: one StandardLoggingPayload an attempt, with the fields that such logs are read by.

What is known of the real thing is kept: failures have tokens and cost 0, the record of a streamed answer begins with the
request, ``response_time`` is not the latency, labels sit in the caller's metadata, and what a tool answered arrives with
the next request of the conversation. Texts are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from incident_kit.scenarios.played import Played

_NAMES = {
    "timeout": ("Timeout", "408"),
    "429": ("RateLimitError", "429"),
    "content_policy": ("ContentPolicyViolationError", "400"),
    "context_window": ("ContextWindowExceededError", "400"),
    "connection": ("APIConnectionError", ""),
    "unknown": ("APIError", ""),
    "401": ("AuthenticationError", "401"),
    "404": ("NotFoundError", "404"),
    "503": ("ServiceUnavailableError", "503"),
}
_NO_ERROR = {"error_class": "", "error_code": "", "normalized_error": None}


def litellm_records(played: Played) -> Iterator[dict[str, Any]]:
    """Yield the records in the order of their ends, as a gateway writes them."""
    truth = played.truth
    asked = truth.requests.with_columns(pl.Series("arrived_us", truth.arrived_us)).to_dicts()
    attempts = played.attempts.with_columns(
        *(pl.col(name).dt.epoch("us") for name in ("sent_at", "done_at", "first_token_at"))
    ).sort("done_at", "row", "seq")
    brought: dict[int, list[tuple[str, str]]] = {}
    for row in attempts.filter(pl.col("results_in").is_not_null()).iter_rows(named=True):
        brought.setdefault(row["results_in"], []).extend(_results(row))
    tools = {name: [_tool(tool) for tool in intent.tools] for name, intent in truth.scenario.intents.items()}
    first_only = truth.scenario.failure_rows == "first"
    hops: dict[int, list[str]] = {}
    for row in attempts.iter_rows(named=True):
        before = hops.setdefault(row["row"], [])
        if row["status"] == "ok" or not (first_only and before):
            yield _record(played, row, asked[row["row"]], tools, brought.get(row["row"], ()), before)
        before.append(row["target"])


def _record(
    played: Played,
    row: Mapping[str, Any],
    asked: Mapping[str, Any],
    tools: Mapping[str, Any],
    results: Any,
    before: list[str],
) -> dict[str, Any]:
    target = played.truth.scenario.targets[row["target"]]
    is_ok = row["status"] == "ok"
    deployments = target.deployments or (f"{row['target']}-1",)
    deployment = deployments[asked["number"] % len(deployments)]
    begins = asked["arrived_us"] if is_ok and asked["stream"] else row["sent_at"]
    token = row["first_token_at"] or row["done_at"]
    labels = {"intent": asked["intent"], "channel": asked["channel"], "session_id": asked["conversation_id"]}
    labels |= {"ticket_id": asked["ticket_id"]} if asked["ticket_id"] else {}
    record = {
        "id": f"cmpl-{row['request_id'][4:]}-{row['seq']}" if is_ok else row["request_id"],
        "litellm_call_id": row["request_id"],
        "trace_id": asked["conversation_id"],
        "session_id": "",
        "call_type": "acompletion",
        "status": "success" if is_ok else "failure",
        "stream": True if asked["stream"] and is_ok else None,
        "cache_hit": False,
        "startTime": begins / 1e6,
        "endTime": row["done_at"] / 1e6,
        "completionStartTime": token / 1e6,
        "response_time": round((token - begins) / 1e6, 6),
        "model_group": row["target"],
        "model_id": deployment,
        "model": f"{target.provider}/{row['target']}",
        "custom_llm_provider": target.provider,
        "prompt_tokens": row["prompt_tokens"] or 0,
        "completion_tokens": row["completion_tokens"] or 0,
        "total_tokens": (row["prompt_tokens"] or 0) + (row["completion_tokens"] or 0),
        "response_cost": row["cost_usd"] or 0.0,
        "request_tags": [],
        "metadata": {"requester_metadata": labels},
        "model_parameters": {"stream": asked["stream"]},
        "messages": [{"role": "tool", "tool_call_id": id_, "content": text} for id_, text in results],
        "error_str": None,
        "error_information": _NO_ERROR,
    }
    if row["tools_offered"]:
        record["model_parameters"]["tools"] = tools[asked["intent"]]
    if is_ok:
        calls = _calls(row, played.truth.scenario.intents[asked["intent"]].tools)
        message = {"role": "assistant", "tool_calls": calls or None}
        record["response"] = {"choices": [{"finish_reason": "tool_calls" if calls else "stop", "message": message}]}
        hops = len({*before, row["target"]}) - 1
        counted = {"x-litellm-attempted-fallbacks": hops, "x-litellm-attempted-retries": len(before) - hops}
        record["hidden_params"] = {"additional_headers": counted}
    else:
        name, code = _NAMES.get(row["error_class"], ("InternalServerError", row["error_class"]))
        record["response"] = {}
        record["error_str"] = f"litellm.{name}: simulated"
        record["error_information"] = {"error_class": name, "error_code": code, "normalized_error": None}
    return record


def _tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def _calls(row: Mapping[str, Any], tools: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the tool calls of an answer; a malformed one lacks the argument that it must have."""
    return [
        {
            "id": _call_id(row, number),
            "type": "function",
            "function": {
                "name": tools[number % len(tools)],
                "arguments": json.dumps({} if number < row["malformed"] else {"id": f"A-{row['row']}"}),
            },
        }
        for number in range(row["tool_calls"] or 0)
    ]


def _results(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the tools answered: to malformed calls and failing ones an error."""
    bad = row["malformed"] + row["failing"]
    texts = ['{"error":"failed"}' if number < bad else '{"ok":true}' for number in range(row["tool_calls"])]
    return [(_call_id(row, number), text) for number, text in enumerate(texts)]


def _call_id(row: Mapping[str, Any], number: int) -> str:
    return f"call-{row['request_id'][4:]}-{row['seq']}-{number}"
