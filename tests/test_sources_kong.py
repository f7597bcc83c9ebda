"""Kong AI Gateway: every tried target is an attempt, whichever of its shapes the ai block has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from loaded import Loaded, of_records, of_sample, picked, records, shuffled


@pytest.fixture(scope="module")
def sample() -> Loaded:
    return of_sample("kong")


def test_every_tried_target_is_an_attempt(sample: Loaded) -> None:
    names = ("seq", "target", "deployment", "provider", "model", "status", "error_class", "latency_ms")
    assert picked(sample.attempts["k-1#1"], *names) == (
        1, "aurora-4", "a.internal:443", "openai", "aurora-4", "error", "503", 1631,
    )  # fmt: skip
    assert picked(sample.attempts["k-1#2"], *names) == (
        2, "gale-mini-1", "g.internal:443", "mistral", "gale-mini-1-0601", "ok", None, 498,
    )  # fmt: skip
    row = sample.requests["k-1"]
    assert picked(row, "requested", "served", "is_fallback", "attempts_complete") == (
        "aurora-4", "gale-mini-1", True, True,
    )  # fmt: skip
    assert picked(row, "wait_ms", "wait_is_lower_bound") == (2140, False)
    assert picked(row, "intent", "ticket_id", "conversation_id") == ("refund-policy", "HD-1", "conv-1")


@pytest.mark.parametrize(
    ("request_id", "prompt_tokens", "completion_tokens", "provider"),
    [("k-1", 100, 80, "mistral"), ("k-2", 20, 10, "openai"), ("k-3", 11, 12, "azure"), ("k-4", 7, 8, "openai")],
    ids=["ai.proxy", "ai.ai-proxy, misspelt", "ai itself", "two plugins"],
)
def test_the_block_has_four_shapes(
    sample: Loaded, request_id: str, prompt_tokens: int, completion_tokens: int, provider: str
) -> None:
    row = sample.requests[request_id]
    assert picked(row, "prompt_tokens", "completion_tokens", "status") == (prompt_tokens, completion_tokens, "ok")
    last = [a for a in sample.attempts.values() if a["request_id"] == request_id][-1]
    assert last["provider"] == provider


def test_headers_may_be_a_text(sample: Loaded) -> None:
    assert picked(sample.requests["k-2"], "intent", "ticket_id") == ("order-status", "HD-2")


def test_a_cost_of_nothing_is_an_unknown_price(sample: Loaded) -> None:
    assert picked(sample.attempts["k-1#2"], "cost_usd", "kind") == (None, "call")
    assert sample.attempts["k-2#1"]["cost_usd"] == 0.00015


def test_a_first_token_is_of_streams(sample: Loaded) -> None:
    row = sample.attempts["k-3#1"]
    assert (row["first_token_at"] - row["sent_at"]).total_seconds() == 0.24
    assert row["deployment"] == "desk-eu"
    assert sample.attempts["k-1#2"]["first_token_at"] is None, "an answer in one piece has the field too"
    assert [sample.requests[name]["stream"] for name in ("k-1", "k-2", "k-3")] == [False, None, True]


def test_what_was_no_call(sample: Loaded) -> None:
    names = ("kind", "status", "error_class", "latency_ms", "cost_usd")
    assert picked(sample.attempts["k-5#1"], *names) == ("cache_hit", "ok", None, None, 0.0)
    assert picked(sample.attempts["k-7#1"], *names) == ("refusal", "error", "429", None, None)
    assert picked(sample.attempts["k-8#1"], *names) == ("guardrail", "error", "400", None, None)


def test_without_a_try_for_each_target_only_the_last_error_is_known(sample: Loaded) -> None:
    names = ("status", "error_class", "latency_ms", "prompt_tokens")
    assert picked(sample.attempts["k-6#1"], *names) == ("error", "unknown", None, None)
    assert picked(sample.attempts["k-6#2"], *names) == ("timeout", "timeout", None, None)


def test_entries_that_cannot_be_used_say_why(sample: Loaded) -> None:
    assert sample.rejects == {
        9: "not for us: no AI plugin saw this request",
        10: "started_at is not a time in epoch milliseconds",
    }


HOSTILE: list[Any] = [None, "", "x", [], {}, -1, 1e300, "99999999999999999999", True, [None], [[]], {"a": {"a": None}}]


@pytest.mark.parametrize(
    "path", ["ai", "ai.proxy", "ai.proxy.tried_targets", "ai.proxy.usage.cost", "tries", "request.headers"]
)
def test_nothing_vanishes_whatever_a_field_holds(tmp_path: Path, path: str) -> None:
    rows = [records("kong")[1]]
    for number, value in enumerate(HOSTILE):
        row = json.loads(json.dumps(records("kong")[0])) | {"started_at": 1795349861000 + number}
        *parents, last = path.split(".")
        inner = row
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
        row["request"]["id"] = f"h-{number}"
        rows.append(row)
    loaded = of_records(tmp_path, rows)
    known = {row["request_id"] for row in loaded.attempts.values()}
    assert len(known) + len(loaded.rejects) == len(rows)
    assert "k-2" in known


def test_the_order_of_entries_and_repeated_entries_change_nothing(sample: Loaded, tmp_path: Path) -> None:
    loaded = of_records(tmp_path, shuffled(records("kong") * 2, seed=5))
    assert loaded.report.rows_duplicate == 10
    assert loaded.attempts == sample.attempts
