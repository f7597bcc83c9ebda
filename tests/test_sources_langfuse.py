"""Langfuse: generations of a trace as requests, tools by time, seconds against milliseconds, versions, and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loaded import SAMPLES, Loaded, of_records, of_sample, picked, records, shuffled

from incident_kit.sources import load


@pytest.fixture(scope="module")
def sample() -> Loaded:
    return of_sample("langfuse")


def generation(**changes: Any) -> dict[str, Any]:
    """Return a call of one second whose first token is stated as a duration only."""
    row = {
        "id": "g1", "trace_id": "t1", "type": "GENERATION", "parent_observation_id": "", "level": "DEFAULT", "status_message": "",
        "start_time": "2026-05-04 09:00:00.000000", "end_time": "2026-05-04 09:00:01.000000", "completion_start_time": None,
        "provided_model_name": "aurora", "latency": 1.0, "time_to_first_token": 0.25, "updated_at": "2026-05-04 09:00:02.000000",
    }  # fmt: skip
    return row | changes


def first_token_s(loaded: Loaded, name: str = "g1") -> float | None:
    row = loaded.attempts[name]
    return (row["first_token_at"] - row["sent_at"]).total_seconds() if row["first_token_at"] else None


def test_a_failed_generation_and_the_next_are_one_request(sample: Loaded) -> None:
    row = sample.requests["req-601"]
    assert picked(row, "requested", "served", "is_fallback", "wait_ms", "attempts_logged") == (
        "primary_chat_model", "fast_backup_model", True, 2200, 2,
    )  # fmt: skip
    assert picked(row, "intent", "ticket_id", "conversation_id", "cost_usd") == (
        "refund-policy",
        "HD-401",
        "conv-1",
        0.000126,
    )
    assert picked(sample.attempts["obs-01"], "status", "error_class", "latency_ms", "prompt_tokens", "cost_usd") == (
        "error", "503", 1600, None, None,
    )  # fmt: skip


def test_of_several_requests_in_a_trace_the_last_has_the_traces_name(sample: Loaded) -> None:
    assert picked(sample.attempts["obs-04"], "request_id") == ("req-602/obs-04",)
    assert picked(sample.attempts["obs-06"], "request_id") == ("req-602",)
    assert {sample.requests[name]["intent"] for name in ("req-602", "req-602/obs-04")} == {"order-status"}, "from a tag"
    assert sample.requests["req-602"]["ticket_id"] == "HD-402"


def test_tools_belong_to_the_generation_before_them(sample: Loaded) -> None:
    row = sample.attempts["obs-04"]
    assert picked(row, "tools_offered", "tool_calls", "tool_errors") == (2, 2, 2), (
        "one answered by an error, one malformed"
    )
    assert row["tool_result_at"].isoformat() == "2026-05-04T09:01:03.200000+00:00"
    assert picked(sample.attempts["obs-06"], "tools_offered", "tool_calls", "tool_errors") == (1, 0, 0)


def test_a_call_of_a_tool_without_its_result_is_not_taken_for_a_good_one(tmp_path: Path) -> None:
    call = '{"id":"c","name":"lookup","arguments":"{}"}'
    loaded = of_records(tmp_path, [generation(tool_calls=[call], tool_definitions={"lookup": "{}"})])
    assert picked(loaded.attempts["g1"], "tool_calls", "tool_errors") == (1, None)
    unknown = of_records(tmp_path, [generation(tool_calls=[call], tool_definitions={"search": "{}"})])
    assert picked(unknown.attempts["g1"], "tool_calls", "tool_errors") == (1, 1), "there is no such tool"


def test_what_is_no_call_says_so_and_what_still_runs(sample: Loaded) -> None:
    assert sample.rejects == {
        3: "not for us: AGENT is no call of a model",
        5: "not for us: TOOL is no call of a model",
        7: "no end_time: still running when it was exported",
        9: "not for us: an older version of an observation that is here in a newer one",
    }
    assert sample.attempts["obs-08"]["prompt_tokens"] == 50, "the newer version, with numbers as text"


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 0.25),
        ({"latency": 1000, "time_to_first_token": 250}, 0.25),  # the row's own clock says milliseconds
        ({"latency": None, "time_to_first_token": 0.25}, 0.25),  # nothing to compare with: after the change, seconds
        ({"latency": None, "time_to_first_token": 250, "start_time": "2026-03-04 09:00:00.000000",
          "end_time": "2026-03-04 09:00:01.000000"}, 0.25),  # before it, milliseconds
        ({"latency": None, "time_to_first_token": 250}, None),  # 250 s in a call of one second cannot be
        ({"completion_start_time": "2026-05-04 09:00:00.400000"}, 0.4),  # an instant needs no unit
        ({"time_to_first_token": None}, None),
    ],
)  # fmt: skip
def test_seconds_and_milliseconds(tmp_path: Path, changes: dict[str, Any], seconds: float | None) -> None:
    assert first_token_s(of_records(tmp_path, [generation(**changes)])) == pytest.approx(seconds)


def test_a_row_that_cannot_tell_its_unit_has_the_files(tmp_path: Path) -> None:
    rows = [
        generation(id="g1", trace_id="t1", latency=None, time_to_first_token=250),
        generation(id="g2", trace_id="t2", latency=1000, time_to_first_token=100),
        generation(id="g3", trace_id="t3", latency=1001, time_to_first_token=100),
        generation(id="g4", trace_id="t4", latency=1.0, time_to_first_token=0.1),
    ]
    loaded = of_records(tmp_path, rows)
    assert [first_token_s(loaded, name) for name in ("g1", "g2", "g4")] == pytest.approx([0.25, 0.1, 0.1])
    assert {row["latency_ms"] for row in loaded.attempts.values()} == {1000}, (
        "a latency is never read, it is worked out"
    )


def test_the_objects_of_the_api(tmp_path: Path) -> None:
    row = {
        "id": "g1", "traceId": "t1", "type": "GENERATION", "parentObservationId": None, "level": "DEFAULT", "statusMessage": None,
        "startTime": "2026-05-04T09:00:00.000Z", "endTime": "2026-05-04T09:00:01.000Z",
        "completionStartTime": "2026-05-04T09:00:00.300Z",
        "model": "aurora", "usageDetails": {"input": 5, "output": 6}, "costDetails": {"total": 0.002}, "latency": 1.0,
        "sessionId": "c1", "updatedAt": "2026-05-04T09:00:02.000Z", "metadata": '{"intent": "refund-policy"}',
        "tags": ["ticket:HD-1"],
        "modelParameters": {"stream": True},
    }  # fmt: skip
    loaded = of_records(tmp_path, [row])
    assert picked(loaded.attempts["g1"], "prompt_tokens", "completion_tokens", "cost_usd", "model") == (
        5,
        6,
        0.002,
        "aurora",
    )
    assert picked(loaded.requests["t1"], "intent", "ticket_id", "conversation_id", "stream") == (
        "refund-policy", "HD-1", "c1", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Request timed out.", ("timeout", "timeout")),
        ("Error code: 429 - slow down", ("error", "429")),
        ("ContextWindowExceededError: too long", ("error", "context_window")),
        ("the content filter refused", ("error", "content_policy")),
        ("Connection reset by peer", ("error", "connection")),
        ("", ("error", "unknown")),
    ],
)
def test_errors_have_a_class(tmp_path: Path, message: str, said: tuple[str, str]) -> None:
    loaded = of_records(tmp_path, [generation(level="ERROR", status_message=message)])
    assert picked(loaded.attempts["g1"], "status", "error_class") == said


def test_the_order_of_lines_and_repeated_lines_change_nothing(sample: Loaded, tmp_path: Path) -> None:
    loaded = of_records(tmp_path, shuffled(records("langfuse") * 2, seed=5))
    assert loaded.report.rows_duplicate == 5
    names = ("request_id", "attempt_id", "seq", "status", "latency_ms", "tool_calls", "tool_errors")
    assert [picked(row, *names) for row in loaded.attempts.values()] == [
        picked(row, *names) for row in sample.attempts.values()
    ]


# ---- scores


def test_scores_that_are_decisions() -> None:
    scores = of_sample("langfuse_scores")
    assert {
        key: picked(row, "request_id", "decision", "overridden", "edit_ratio") for key, row in scores.feedback.items()
    } == {
        "sc-01": ("req-601", "rejected", True, None),
        "sc-02": ("req-602", "edited", True, None),
        "sc-04": ("req-604", "edited", True, 0.25),
    }
    assert scores.feedback["sc-02"]["suggestion_id"] == "obs-06"
    assert scores.feedback["sc-01"]["at"].isoformat() == "2026-05-04T09:05:00+00:00"
    assert {line: reason.partition(" '")[0] for line, reason in scores.rejects.items()} == {
        3: "not for us: a score by an evaluator is no decision of a person",
        5: "not for us: an older version of a score that is here in a newer one",
        6: "not for us: the score is of a session or an experiment, not of an answer",
        7: "not for us: the score",
        8: "value:",
    }


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        ({"name": "thumbs_up", "value": 1}, "accepted"),
        ({"name": "thumbs down", "value": 1}, "rejected"),
        ({"name": "user-feedback", "value": -1}, "rejected"),
        ({"name": "overridden", "value": 0}, "accepted"),
        ({"name": "was_edited", "value": 0}, "unknown"),
        ({"name": "edit_distance", "value": 0}, "accepted"),
        ({"name": "anything", "data_type": "CATEGORICAL", "string_value": "Dismissed"}, "rejected"),
        ({"name": "anything", "data_type": "CATEGORICAL", "string_value": "Ignored"}, "ignored"),
    ],
)
def test_what_a_score_says(tmp_path: Path, changes: dict[str, Any], decision: str) -> None:
    row = records("langfuse_scores")[0] | {"data_type": "NUMERIC", "string_value": None} | changes
    assert of_records(tmp_path, [row]).feedback["sc-01"]["decision"] == decision


def test_scores_join_the_answers_of_their_traces(sample: Loaded) -> None:
    load(sample.store, SAMPLES / "langfuse_scores.ndjson")
    sql = "select f.feedback_id from feedback as f join requests as r on r.request_id = f.request_id order by all"
    assert [name for (name,) in sample.store.rows(sql)] == ["sc-01", "sc-02", "sc-04"]
