"""Envoy AI Gateway: one line a request, the last attempt's; a dash for nothing; tokens only of answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from loaded import Loaded, of_records, of_sample, picked, records, shuffled

from incident_kit.errors import InvalidRows


@pytest.fixture(scope="module")
def sample() -> Loaded:
    return of_sample("envoy")


def test_a_plain_answer(sample: Loaded) -> None:
    names = ("kind", "status", "target", "deployment", "provider", "model", "latency_ms", "prompt_tokens")
    assert picked(sample.attempts["e-1"], *names) == (
        "call", "ok", "alpha", "10.0.0.4:443", "support", "aurora-4", 640, 90,
    )  # fmt: skip
    row = sample.requests["e-1"]
    assert picked(row, "intent", "ticket_id", "conversation_id") == ("refund-policy", "HD-1", "conv-1")
    assert picked(row, "wait_ms", "wait_is_lower_bound", "attempts_complete", "is_fallback") == (
        640,
        False,
        True,
        False,
    )


def test_after_another_attempt_the_line_times_both_and_the_last_one_is_the_upstreams_own(sample: Loaded) -> None:
    row = sample.requests["e-2"]
    assert picked(row, "wait_ms", "attempts_logged", "attempts_complete") == (2140, 1, False)
    # what the first attempt called is not in the line
    assert picked(row, "requested", "served", "is_fallback") == (None, "gamma", True)
    assert sample.attempts["e-2"]["latency_ms"] == 498
    assert (sample.attempts["e-2"]["sent_at"] - row["arrived_at"]).total_seconds() == pytest.approx(1.642)


def test_a_later_backend_says_nothing_where_attempts_are_not_counted(sample: Loaded) -> None:
    # it may be a weighted one
    assert picked(sample.requests["e-7"], "requested", "served", "is_fallback", "attempts_complete") == (
        None, "gamma", None, False,
    )  # fmt: skip


def test_a_retry_on_the_first_backend_is_no_fallback(tmp_path: Path) -> None:
    loaded = of_records(tmp_path, [records("envoy")[0] | {"upstream_request_attempt_count": 2}])
    assert picked(loaded.requests["e-1"], "requested", "is_fallback", "attempts_complete") == ("alpha", False, False)


def test_a_client_that_left_cut_its_stream_and_its_tokens_are_unknown(sample: Loaded) -> None:
    row = sample.attempts["e-3"]
    assert picked(row, "status", "error_class", "prompt_tokens", "completion_tokens") == ("cut", "cut", None, None)
    assert (row["first_token_at"] - row["sent_at"]).total_seconds() == 0.21
    assert sample.requests["e-3"]["stream"] is True


def test_failures(sample: Loaded) -> None:
    names = ("kind", "status", "error_class", "deployment", "prompt_tokens")
    assert picked(sample.attempts["e-4"], *names) == ("call", "timeout", "timeout", "10.0.0.4:443", None)
    assert picked(sample.attempts["e-5"], *names) == ("refusal", "error", "503", None, None)
    assert picked(sample.attempts["e-6"], *names) == ("call", "error", "connection", "10.0.0.7:443", None)


def test_a_dash_is_nothing(sample: Loaded) -> None:
    assert sample.requests["e-5"]["intent"] is None
    assert sample.attempts["e-4"]["model"] == "desk-chat"


@pytest.mark.parametrize("name", ["x_request_id", "request_id"])
def test_an_operator_names_the_fields(tmp_path: Path, name: str) -> None:
    row = records("envoy")[0]
    row[name] = row.pop("x-request-id")
    assert list(of_records(tmp_path, [row]).requests) == ["e-1"]


def test_labels_may_lie_elsewhere(tmp_path: Path) -> None:
    loaded = of_records(
        tmp_path, [records("envoy")[0] | {"x-topic": "lost-parcel"}], labels={"intent": ['$."x-topic"']}
    )
    assert loaded.requests["e-1"]["intent"] == "lost-parcel"


def test_lines_that_cannot_be_used_say_why(sample: Loaded, tmp_path: Path) -> None:
    assert sample.rejects == {8: "start_time is not a time", 9: "duration is not a number of milliseconds"}
    good, bad = records("envoy")[0], records("envoy")[1] | {"start_time": "2026-11-22 12:00:01"}
    with pytest.raises(InvalidRows, match="has no time zone; say which with zone="):
        of_records(tmp_path, [good, bad])
    assert len(of_records(tmp_path, [good, bad], zone="UTC").requests) == 2


def test_the_order_of_lines_and_repeated_lines_change_nothing(sample: Loaded, tmp_path: Path) -> None:
    loaded = of_records(tmp_path, shuffled(records("envoy") * 2, seed=5))
    assert loaded.report.rows_duplicate == 7
    assert loaded.attempts == sample.attempts


def test_what_it_can_answer(sample: Loaded) -> None:
    said = {question: answer.answer for question, answer in sample.report.answers.items()}
    assert picked(said, "waits", "errors", "tools", "fidelity") == ("yes", "no", "no", "lower bound")
    assert "UPSTREAM_REQUEST_ATTEMPT_COUNT" in sample.report.answers["errors"].why
