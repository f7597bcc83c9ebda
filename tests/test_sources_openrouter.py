"""OpenRouter: every provider that was tried is an attempt; the activity download has none of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loaded import Loaded, of_records, of_sample, picked, records


@pytest.fixture(scope="module")
def sample() -> Loaded:
    return of_sample("openrouter")


def test_each_provider_that_was_tried_is_an_attempt(sample: Loaded) -> None:
    first, second = (sample.attempts[f"gen-1772442001-AbC:0{n}"] for n in (1, 2))
    assert picked(first, "seq", "provider", "deployment", "status", "error_class", "latency_ms", "cost_usd") == (
        1, "Alpha", "ep_a", "error", "503", 1630, None,
    )  # fmt: skip
    assert picked(second, "seq", "provider", "deployment", "status", "latency_ms") == (2, "Gamma", "ep_g", "ok", 510)
    created = datetime(2026, 3, 2, 9, 0, 1, 564_586, tzinfo=UTC)
    assert (first["sent_at"], second["sent_at"]) == (created, created + timedelta(milliseconds=1630))
    assert picked(second, "prompt_tokens", "completion_tokens", "cost_usd") == (100, 80, 0.000126), "what was billed"


def test_the_attempts_of_a_request_are_complete(sample: Loaded) -> None:
    assert all(row["attempts_complete"] for row in sample.requests.values())
    row = sample.requests["req-1772442000-x1"]
    assert picked(row, "wait_ms", "attempts_logged", "conversation_id", "ticket_id") == (2140, 2, "conv-1", None)
    assert picked(row, "requested", "served", "is_fallback") == ("vendor/gale-mini-1", "vendor/gale-mini-1", False), (
        "another provider of the same model is another deployment, not another target"
    )


def test_a_user_is_a_ticket_only_where_one_says_so() -> None:
    loaded = of_sample("openrouter", labels={"ticket_id": ["$.external_user"]})
    assert loaded.requests["req-1772442000-x1"]["ticket_id"] == "HD-601"


def test_another_model_in_between_is_a_fallback(sample: Loaded) -> None:
    row = sample.requests["gen-1772442010-DeF"]
    assert picked(row, "requested", "served", "is_fallback") == (
        "vendor/aurora-chat-4-2026",
        "vendor/gale-mini-1",
        True,
    )


def test_of_a_stream_latency_is_the_time_to_the_first_token(sample: Loaded) -> None:
    row = sample.attempts["gen-1772442010-DeF:02"]
    created = datetime(2026, 3, 2, 9, 0, 10, tzinfo=UTC)
    assert row["first_token_at"] == created + timedelta(milliseconds=300)
    assert row["done_at"] == created + timedelta(milliseconds=40 + 1900)
    assert sample.attempts["gen-1772442001-AbC:02"]["first_token_at"] is None


def test_a_cancelled_stream_was_cut_and_was_paid_for(sample: Loaded) -> None:
    row = sample.attempts["gen-1772442020-GhI"]
    assert picked(row, "status", "error_class", "completion_tokens", "cost_usd") == ("cut", "cut", 20, 0.0001)
    assert sample.requests["req-1772442020-x3"]["labels"] == '{"router":"openrouter/auto"}'


def test_a_generation_that_failed_everywhere(sample: Loaded) -> None:
    row = sample.requests["req-1772442030-x4"]
    assert picked(row, "status", "served", "attempts_logged", "wait_ms", "cost_usd") == ("error", None, 2, 900, None)
    assert sample.attempts["gen-1772442030-JkL:02"]["error_class"] == "unknown", "a provider without a status"


def test_a_cached_answer_called_nobody(sample: Loaded) -> None:
    row = sample.attempts["gen-1772442040-MnO"]
    assert picked(row, "kind", "cache_hit", "latency_ms", "status") == ("cache_hit", True, None, "ok")


def test_a_generation_without_a_time_is_refused(sample: Loaded) -> None:
    assert sample.rejects == {6: "created_at is not a time"}


def test_records_without_their_wrapper(sample: Loaded, tmp_path: Path) -> None:
    plain = of_records(tmp_path, [row["data"] for row in records("openrouter")])
    assert plain.attempts == sample.attempts
    assert plain.requests == sample.requests


@pytest.mark.parametrize(
    ("changes", "call_ms"),
    [
        ({"latency": 100}, 498),
        ({"latency": None}, 498),
        ({"latency": None, "generation_time": 700}, 700),
        ({"latency": 5000}, 3370),
    ],
)
def test_how_long_the_last_call_took(tmp_path: Path, changes: dict[str, Any], call_ms: int) -> None:
    record = records("openrouter")[0]["data"] | changes
    assert of_records(tmp_path, [record]).attempts["gen-1772442001-AbC:02"]["latency_ms"] == call_ms


def test_the_download_has_one_attempt_a_generation() -> None:
    loaded = of_sample("openrouter_csv")
    found = {
        name: picked(row, "status", "error_class", "latency_ms", "cost_usd") for name, row in loaded.attempts.items()
    }
    assert found == {
        "gen-01": ("ok", None, 498, 0.000126),
        "gen-02": ("error", "unknown", 900, None),
        "gen-03": ("cut", "cut", 800, 0.0001),
    }
    assert loaded.rejects == {5: "generation_time_ms is not a number of milliseconds"}
    assert not any(row["attempts_complete"] for row in loaded.requests.values())
    assert {row["requested"] for row in loaded.requests.values()} == {None}
    assert loaded.attempts["gen-01"]["first_token_at"].isoformat() == "2026-03-02T09:00:01.620000+00:00", "UTC unsaid"
    assert loaded.report.answers["errors"].answer == "no"


def test_an_app_may_stand_for_an_intent() -> None:
    loaded = of_sample("openrouter_csv", labels={"intent": ["$.app_name"], "ticket_id": ["$.user"]})
    assert picked(loaded.requests["gen-01"], "intent", "ticket_id") == ("Refunds", "HD-601")
