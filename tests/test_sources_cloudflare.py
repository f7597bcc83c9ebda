"""Cloudflare AI Gateway: steps of one event, metadata in a string, its own ratings, and Logpush refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from loaded import SAMPLES, Loaded, of_records, of_sample, picked, records

from incident_kit.errors import InvalidRows
from incident_kit.sources import load
from incident_kit.store import Store


@pytest.fixture(scope="module")
def sample() -> Loaded:
    return of_sample("cloudflare")


def test_every_call_keeps_its_values(sample: Loaded) -> None:
    row = sample.attempts["01KB00000001"]
    assert row["sent_at"] == datetime(2026, 3, 2, 9, 0, 1, tzinfo=UTC)
    assert row["done_at"] == datetime(2026, 3, 2, 9, 0, 1, 820_000, tzinfo=UTC)
    assert picked(row, "kind", "target", "provider", "latency_ms", "status", "prompt_tokens", "cost_usd") == (
        "call", "aurora-chat-4", "openai", 820, "ok", 120, 0.0021,
    )  # fmt: skip


def test_steps_of_one_event_are_one_request(sample: Loaded) -> None:
    assert picked(sample.requests["ev-2"], "requested", "served", "is_fallback", "wait_ms", "attempts_logged") == (
        "aurora-chat-4", "gale-mini-1", True, 2400, 2,
    )  # fmt: skip
    assert [sample.attempts[f"01KB0000000{n}"]["seq"] for n in (2, 3)] == [1, 2]
    assert not any(row["attempts_complete"] for row in sample.requests.values()), "the gateway's own retries are hidden"


def test_a_later_step_alone_is_a_fallback_from_something_unknown(sample: Loaded) -> None:
    assert picked(sample.requests["01KB00000006"], "requested", "served", "is_fallback") == (None, "gale-mini-1", True)


def test_labels_are_read_from_metadata_in_a_string(sample: Loaded) -> None:
    row = sample.requests["01KB00000001"]
    assert picked(row, "intent", "ticket_id", "conversation_id", "labels") == (
        "refund-policy", "HD-101", "c-1", '{"desk":"north"}',
    )  # fmt: skip
    assert sample.requests["01KB00000006"]["intent"] is None, "metadata that is no JSON labels nothing"


def test_metadata_as_an_object_and_paths_of_ones_own(tmp_path: Path) -> None:
    row = records("cloudflare")[0] | {"metadata": {"topic": "parcels"}}
    loaded = of_records(tmp_path, [row], labels={"intent": ["$.metadata.topic"]})
    assert loaded.requests["01KB00000001"]["intent"] == "parcels"


def test_cache_hits_and_blocked_requests_are_no_calls(sample: Loaded) -> None:
    assert picked(sample.attempts["01KB00000004"], "kind", "cache_hit", "latency_ms") == ("cache_hit", True, None)
    blocked = sample.attempts["01KB00000007"]
    assert picked(blocked, "kind", "status", "error_class", "latency_ms") == (
        "guardrail",
        "error",
        "content_policy",
        None,
    )


def test_failures_have_a_class_and_no_zeros(sample: Loaded) -> None:
    found = {name[-1]: picked(row, "status", "error_class") for name, row in sample.attempts.items()}
    assert {key: found[key] for key in "258"} == {
        "2": ("error", "503"),
        "5": ("error", "429"),
        "8": ("timeout", "timeout"),
    }
    assert picked(sample.attempts["01KB00000005"], "prompt_tokens", "completion_tokens", "cost_usd") == (
        None,
        None,
        None,
    )


def test_a_row_without_a_time_says_so(sample: Loaded) -> None:
    assert sample.rejects == {9: "created_at is not a time"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"created_at": "1970-01-01T00:00:00Z"}, "created_at is not in our time"),
        ({"created_at": 9e20}, "created_at is not a time"),
        ({"duration": -1}, "duration is not a number of milliseconds"),
        ({"duration": "NaN"}, "duration is not a number of milliseconds"),
        ({"duration": 86_400_001}, "it took longer than a day"),
        ({"id": ""}, "no id"),
        ({"success": None, "status_code": None}, "neither success nor status_code says how it ended"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    rows = records("cloudflare")
    loaded = of_records(tmp_path, [rows[4], rows[1] | changes])
    assert loaded.rejects == {2: said}


def test_numbers_that_cannot_be_are_unknown(tmp_path: Path) -> None:
    row = records("cloudflare")[0] | {"tokens_in": -5, "tokens_out": "many", "cost": "Infinity", "step": None}
    loaded = of_records(tmp_path, [row])
    names = ("prompt_tokens", "completion_tokens", "cost_usd", "status")
    assert picked(loaded.attempts["01KB00000001"], *names) == (None, None, None, "ok")


def test_ratings_on_the_log_are_feedback_and_zero_is_none(sample: Loaded) -> None:
    assert {key: picked(row, "request_id", "decision", "overridden") for key, row in sample.feedback.items()} == {
        "01KB00000001": ("01KB00000001", "accepted", False),
        "01KB00000003": ("ev-2", "rejected", True),
    }
    row = sample.feedback["01KB00000003"]
    assert row["at"] is None, "when it was rated is not in the log"
    assert picked(row, "shown_at", "ticket_id", "decision_rule") == (
        datetime(2026, 3, 2, 9, 0, 12, 400_000, tzinfo=UTC), "HD-102", "feedback=-1",
    )  # fmt: skip
    counts = [(item.source, item.rows_read, item.rows_loaded, item.rows_rejected) for item in sample.report.loads]
    assert counts == [("cloudflare", 9, 8, 1), ("cloudflare_feedback", 2, 2, 0)]


def test_another_rating_is_refused_not_guessed(tmp_path: Path) -> None:
    rows = [records("cloudflare")[n] | {"feedback": value} for n, value in enumerate((1, 5))]
    loaded = of_records(tmp_path, rows)
    assert loaded.rejects == {2: "feedback: '5' is neither 1 nor -1"}


def test_logpush_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(InvalidRows, match=r"encrypted.*no id, time, duration.*REST API"):
        load(Store(), SAMPLES / "cloudflare_logpush.ndjson")


def test_logpush_in_clear_is_refused_too(tmp_path: Path) -> None:
    row = records("cloudflare_logpush")[0] | {"Metadata": {"intent": "refund-policy"}}
    with pytest.raises(InvalidRows, match="no id, time, duration, tokens or cost of their own"):
        of_records(tmp_path, [row])
