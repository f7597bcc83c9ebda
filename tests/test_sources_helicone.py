"""Helicone: billionths of a dollar, codes below zero, rows that were not merged yet, and thumbs in the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loaded import Loaded, of_records, of_sample, picked, records

IDS = "4f0c0000-0000-4000-8000-00000000000"


@pytest.fixture(scope="module")
def sample() -> Loaded:
    return of_sample("helicone")


def test_values_and_times_that_are_utc_without_saying_so(sample: Loaded) -> None:
    row = sample.attempts[IDS + "1"]
    assert row["sent_at"].isoformat() == "2026-03-02T09:00:01.250000+00:00"
    assert picked(row, "target", "provider", "latency_ms", "status", "prompt_tokens", "first_token_at") == (
        "aurora-chat-4", "openai", 820, "ok", 120, None,
    )  # fmt: skip
    request = sample.requests[IDS + "1"]
    assert picked(request, "intent", "ticket_id", "conversation_id", "labels") == (
        "refund-policy", "HD-201", "c-1", '{"Desk":"north"}',
    )  # fmt: skip


def test_whole_costs_are_billionths_and_others_dollars(sample: Loaded) -> None:
    assert sample.attempts[IDS + "1"]["cost_usd"] == pytest.approx(0.0021)
    assert sample.attempts[IDS + "7"]["cost_usd"] == pytest.approx(0.000126)
    assert sample.attempts[IDS + "3"]["cost_usd"] is None, "a failure says 0"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (3, ("call", "error", "503")),
        (4, ("call", "cut", "cut")),
        (6, ("cache_hit", "ok", None)),
        (8, ("call", "timeout", "timeout")),
    ],
)
def test_codes_of_helicones_own(sample: Loaded, number: int, said: tuple[Any, ...]) -> None:
    assert picked(sample.attempts[f"{IDS}{number}"], "kind", "status", "error_class") == said


def test_an_unknown_code_is_an_error_of_unknown_class(tmp_path: Path) -> None:
    row = records("helicone")[3] | {"status": -9}
    assert picked(of_records(tmp_path, [row]).attempts[IDS + "3"], "status", "error_class") == ("error", "unknown")


def test_of_versions_not_merged_yet_the_newest_counts(sample: Loaded) -> None:
    assert sample.attempts[IDS + "1"]["model"] == "aurora-chat-4", "the older one has another model"
    assert sample.rejects == {
        2: "not for us: an older version of a request that is here in a newer one",
        6: "not for us: the request was still pending when it was exported",
    }


def test_the_same_version_twice_is_a_duplicate(tmp_path: Path) -> None:
    row = records("helicone")[2]
    report = of_records(tmp_path, [row, row]).report
    assert [(item.source, item.rows_loaded, item.rows_duplicate) for item in report.loads] == [
        ("helicone", 1, 1), ("helicone_feedback", 1, 1),
    ]  # fmt: skip


def test_a_first_token_makes_a_stream(sample: Loaded) -> None:
    row = sample.attempts[IDS + "2"]
    assert (row["first_token_at"] - row["sent_at"]).total_seconds() == pytest.approx(0.35)
    assert sample.requests[IDS + "2"]["stream"] is True
    assert row["deployment"] == "eu-1"


def test_thumbs_are_feedback_and_other_scores_are_not(sample: Loaded) -> None:
    assert {key: picked(row, "request_id", "decision", "overridden") for key, row in sample.feedback.items()} == {
        IDS + "1": (IDS + "1", "accepted", False),
        IDS + "2": (IDS + "2", "rejected", True),
    }


def test_a_map_as_clickhouse_writes_it_in_csv(tmp_path: Path) -> None:
    row = records("helicone")[0] | {"properties": "{'Intent':'refund-policy','Ticket-Id':'HD-9'}"}
    loaded = of_records(tmp_path, [row])
    assert picked(loaded.requests[IDS + "1"], "intent", "ticket_id") == ("refund-policy", "HD-9")


def test_properties_in_a_string(tmp_path: Path) -> None:
    loaded = of_records(tmp_path, records("helicone"))
    assert loaded.requests[IDS + "8"]["intent"] == "refund-policy"
