"""Portkey: fallback chains under one trace, conversations under one trace, and costs of unknown unit."""

from __future__ import annotations

from pathlib import Path

import pytest
from loaded import Loaded, of_records, of_sample, picked, records, shuffled


@pytest.fixture(scope="module")
def sample() -> Loaded:
    return of_sample("portkey")


def test_a_fallback_chain_is_one_request(sample: Loaded) -> None:
    row = sample.requests["req-501"]
    assert picked(row, "requested", "served", "is_fallback", "status", "wait_ms", "attempts_logged") == (
        "aurora-chat-4", "gale-mini-1", True, "ok", 2060, 2,
    )  # fmt: skip
    assert picked(sample.attempts["pk-01"], "seq", "status", "error_class", "latency_ms", "prompt_tokens") == (
        1, "error", "503", 1600, None,
    )  # fmt: skip
    assert picked(row, "intent", "ticket_id", "attempts_complete") == ("refund-policy", "HD-301", False)


def test_a_conversation_under_one_trace_is_several_requests(sample: Loaded) -> None:
    chains = {name: sample.attempts[name]["request_id"] for name in ("pk-03", "pk-04", "pk-05", "pk-06", "pk-07")}
    assert chains == {
        "pk-03": "conv-9/pk-03", "pk-04": "conv-9/pk-04", "pk-05": "conv-9/pk-04", "pk-06": "conv-9/pk-06",
        "pk-07": "conv-9/pk-07",
    }, "an answer ends a request; a client's own retry, in mode single, is a new one"  # fmt: skip
    assert {sample.requests[name]["conversation_id"] for name in chains.values()} == {"conv-9"}


def test_a_failure_long_before_is_another_request(tmp_path: Path) -> None:
    first, second = records("portkey")[:2]
    loaded = of_records(tmp_path, [first, second | {"created_at": "2026-03-02T09:00:08.000Z"}])
    assert sorted(loaded.requests) == ["req-501/pk-01", "req-501/pk-02"]


def test_another_configuration_is_another_request(tmp_path: Path) -> None:
    first, second = records("portkey")[:2]
    loaded = of_records(tmp_path, [first, second | {"config": "pc-other"}])
    assert len(loaded.requests) == 2


def test_the_order_of_lines_and_repeated_lines_change_nothing(sample: Loaded, tmp_path: Path) -> None:
    loaded = of_records(tmp_path, shuffled(records("portkey")[:9] * 2, seed=3))
    assert loaded.report.rows_duplicate == 9
    names = ("request_id", "attempt_id", "seq", "status", "latency_ms")
    assert [picked(row, *names) for row in loaded.attempts.values()] == [
        picked(row, *names) for row in sample.attempts.values()
    ]


def test_a_cost_is_kept_as_said_and_never_taken_for_dollars(sample: Loaded) -> None:
    assert {row["cost_usd"] for row in sample.attempts.values()} == {None}
    assert '"cost":"0.01","cost_currency":"EUR"' in sample.requests["conv-9/pk-03"]["labels"]


def test_texts_where_numbers_were_and_times_without_zone(sample: Loaded) -> None:
    row = sample.attempts["pk-08"]
    assert picked(row, "status", "error_class", "latency_ms") == ("timeout", "timeout", 30_000)
    assert row["sent_at"].isoformat() == "2026-03-02T09:04:00+00:00"
    assert sample.requests["req-502"]["intent"] == "refund-policy", "metadata may be JSON in a string"


def test_a_guardrail_is_no_call(sample: Loaded) -> None:
    assert picked(sample.attempts["pk-09"], "kind", "error_class", "latency_ms") == (
        "guardrail",
        "content_policy",
        None,
    )


def test_what_is_neither_success_nor_failure_is_refused(sample: Loaded) -> None:
    assert sample.rejects == {10: "is_success is neither true nor false"}
