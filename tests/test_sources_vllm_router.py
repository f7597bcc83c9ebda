"""vLLM semantic router: what is left out is false or unknown, what is in progress is censored, outcomes come late."""

from __future__ import annotations

from pathlib import Path

import pytest
from loaded import Loaded, of_records, of_sample, picked, records, shuffled


@pytest.fixture(scope="module")
def sample() -> Loaded:
    return of_sample("vllm_router")


def test_a_decision_is_a_request_and_its_rule_the_intent(sample: Loaded) -> None:
    row = sample.requests["r-1"]
    assert picked(row, "intent", "conversation_id", "ticket_id") == ("refund_policy", "conv-1", None)
    assert picked(row, "requested", "served", "is_fallback") == ("aurora-4", "aurora-4", False), "'auto' is no target"
    assert picked(row, "wait_ms", "wait_is_lower_bound", "attempts_complete") == (498, False, False)
    assert picked(row, "prompt_tokens", "completion_tokens", "cost_usd", "stream") == (100, 80, 0.000126, True)
    assert '"original_model":"auto"' in row["labels"]
    assert sample.requests["r-4"]["intent"] == "order_status", "of the category where no rule matched"


def test_a_request_in_progress_is_neither_slow_nor_failed(sample: Loaded) -> None:
    assert picked(sample.attempts["v-3"], "status", "done_at", "latency_ms", "error_class") == (None, None, None, None)
    assert picked(sample.requests["r-3"], "status", "wait_ms", "served") == (None, None, None)


def test_what_is_left_out_is_false_or_unknown(sample: Loaded) -> None:
    assert picked(sample.attempts["v-1"], "kind", "cache_hit") == ("call", False)
    assert picked(sample.attempts["v-5"], "kind", "cache_hit", "latency_ms") == ("cache_hit", True, None)
    assert sample.requests["r-4"]["stream"] is False


def test_failures(sample: Loaded) -> None:
    names = ("status", "error_class", "prompt_tokens")
    assert picked(sample.attempts["v-4"], *names) == ("error", "503", None)
    assert picked(sample.attempts["v-6"], *names) == ("cut", "cut", None)
    assert picked(sample.attempts["v-7"], *names) == ("timeout", "timeout", None)


def test_a_cost_in_another_currency_is_no_dollars(sample: Loaded) -> None:
    assert sample.attempts["v-2"]["cost_usd"] is None


def test_a_call_whose_result_is_in_the_record_was_made_before(sample: Loaded) -> None:
    assert picked(sample.requests["r-1"], "tools_offered", "tool_calls", "tool_errors") == (1, 1, 1)
    assert sample.requests["r-2"]["tool_calls"] == 0
    assert sample.attempts["v-6"]["tool_calls"] is None, "steps were dropped"


def test_outcomes_are_feedback_with_an_unknown_word_kept_unknown(sample: Loaded) -> None:
    rows = sorted(sample.feedback.values(), key=lambda row: row["at"])
    assert [picked(row, "request_id", "decision", "overridden", "source") for row in rows] == [
        ("r-1", "rejected", True, "vllm_router:agent"),
        ("r-1", "unknown", None, "vllm_router:judge"),
    ]
    assert rows[0]["at"] > rows[0]["shown_at"]


def test_an_outcome_that_comes_with_a_later_export_is_added(sample: Loaded, tmp_path: Path) -> None:
    first = records("vllm_router")[0]
    early = of_records(tmp_path, [first | {"outcomes": first["outcomes"][:1]}])
    assert len(early.feedback) == 1
    assert early.feedback.keys() < sample.feedback.keys()


def test_a_state_that_is_not_known_is_a_reason(sample: Loaded) -> None:
    assert sample.rejects == {8: "lifecycle_state: 'paused' is not known"}


def test_the_order_of_records_and_repeated_records_change_nothing(sample: Loaded, tmp_path: Path) -> None:
    loaded = of_records(tmp_path, shuffled(records("vllm_router") * 2, seed=5))
    assert [item.rows_duplicate for item in loaded.report.loads] == [7, 2]
    assert loaded.attempts == sample.attempts
    assert loaded.feedback == sample.feedback
