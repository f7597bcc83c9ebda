"""TensorZero: times inside ids, requests and calls in two files, native tool defects, and four kinds of feedback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loaded import SAMPLES, Loaded, of_records, of_sample, picked, records

from incident_kit.sources import load
from incident_kit.store import Store

INFERENCES = [row["id"] for row in records("tensorzero_inference")]


def uuid7(at: datetime, number: int) -> str:
    """Return an id of version 7 made at an instant."""
    text = f"{round(at.timestamp() * 1000):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-{number:012x}"


@pytest.fixture(scope="module")
def inferences() -> Loaded:
    return of_sample("tensorzero_inference")


@pytest.fixture(scope="module")
def calls() -> Loaded:
    return of_sample("tensorzero_model_inference")


def test_the_time_is_in_the_id_to_the_millisecond(inferences: Loaded) -> None:
    row = inferences.requests[INFERENCES[0]]
    assert row["arrived_at"] == datetime(2026, 3, 2, 9, 0, 1, 250_000, tzinfo=UTC), "the timestamp says 09:00:01"
    assert inferences.requests["not-a-uuid"]["arrived_at"] == datetime(2026, 3, 2, 9, 0, 21, tzinfo=UTC)
    assert inferences.rejects == {5: "id holds no time (it is no UUIDv7), and timestamp is not a time"}


def test_a_request_has_the_gateways_own_wait_and_the_variant_that_answered(inferences: Loaded) -> None:
    row = inferences.requests[INFERENCES[0]]
    assert picked(row, "wait_ms", "wait_is_lower_bound", "served", "requested", "is_fallback", "status") == (
        2140, False, "primary", None, None, "ok",
    )  # fmt: skip
    assert picked(row, "prompt_tokens", "cost_usd", "attempts_complete") == (None, None, False)


def test_labels_come_from_tags_and_the_function_stands_in_for_an_intent(inferences: Loaded) -> None:
    assert picked(inferences.requests[INFERENCES[0]], "intent", "ticket_id") == ("refund-policy", "HD-501")
    assert inferences.requests[INFERENCES[1]]["intent"] == "refund_policy"
    assert "tensorzero::" not in inferences.requests[INFERENCES[0]]["labels"], "the gateway's own tags are no labels"


def test_tags_as_clickhouse_writes_them_in_csv(tmp_path: Path) -> None:
    row = records("tensorzero_inference")[0] | {"tags": "{'intent':'parcels','desk':'north'}"}
    request = of_records(tmp_path, [row]).requests[INFERENCES[0]]
    assert picked(request, "intent", "labels") == ("parcels", '{"desk":"north","function_name":"refund_policy"}')


def test_a_tool_call_that_could_not_be_read_is_a_tool_error(inferences: Loaded) -> None:
    found = [picked(inferences.requests[name], "tools_offered", "tool_calls", "tool_errors") for name in INFERENCES[:4]]
    assert found == [(1, 1, 1), (0, 1, None), (0, None, None), (0, 0, 0)]


def test_an_outage_is_missing_rows_and_the_verdict_says_so(inferences: Loaded, calls: Loaded) -> None:
    for loaded in (inferences, calls):
        assert picked(vars(loaded.report.answers["errors"]), "answer") == ("no",)
        assert "missing" in loaded.report.answers["errors"].why


def test_calls_whose_ids_were_made_when_they_were_answered(calls: Loaded) -> None:
    row, other, cached = calls.attempts.values()
    assert row["done_at"] == datetime(2026, 3, 2, 9, 0, 3, 380_000, tzinfo=UTC)
    assert row["sent_at"] == row["done_at"] - timedelta(milliseconds=2100)
    assert picked(row, "target", "deployment", "latency_ms", "cost_usd") == ("aurora_chat", "alpha", 2100, 0.0021)
    assert picked(other, "prompt_tokens", "cost_usd") == (None, None), "null is unknown, not 0"
    assert (other["first_token_at"] - other["sent_at"]).total_seconds() == pytest.approx(0.09)
    assert picked(cached, "kind", "target", "latency_ms") == ("cache_hit", "small", None), "Postgres says the variant"


def test_calls_whose_ids_were_made_before_them(tmp_path: Path) -> None:
    asked = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    rows = [
        {
            "id": uuid7(asked + timedelta(milliseconds=after), number), "inference_id": uuid7(asked, 9), "model_name": "m",
            "model_provider_name": "p", "response_time_ms": 1000, "ttft_ms": None, "cached": False,
        }
        for number, after in enumerate((3, 5000))
    ]  # fmt: skip
    first, second = of_records(tmp_path, rows).attempts.values()
    assert first["sent_at"] == asked + timedelta(milliseconds=3), "it cannot have begun a second before its request"
    assert second["sent_at"] == asked + timedelta(seconds=5), "as its neighbour in the file"
    assert {row["latency_ms"] for row in (first, second)} == {1000}


def test_both_files_in_either_order_give_the_same_requests() -> None:
    files = [SAMPLES / f"tensorzero_{name}.ndjson" for name in ("inference", "model_inference")]
    tables, select = [], "select * exclude (load_id) from"
    for order in (files, files[::-1]):
        store = Store()
        for file in order:
            assert load(store, file).rows_duplicate == 0
        tables.append((store.frame(f"{select} requests order by all"), store.frame(f"{select} attempts order by all")))
    assert all(one.equals(other) for one, other in zip(*tables, strict=True))
    assert tables[0][0].height == 4


# ---- feedback


def test_metrics_that_say_what_a_person_did() -> None:
    loaded = of_sample("tensorzero_feedback")
    names = ("request_id", "decision", "overridden", "edit_ratio", "decision_rule")
    assert [picked(row, *names) for row in loaded.feedback.values()] == [
        (INFERENCES[0], "rejected", True, None, "draft_accepted=false"),
        (INFERENCES[1], "edited", True, 0.42, "edit_ratio=0.42"),
        (INFERENCES[2], "accepted", False, None, "overridden=0"),
        (INFERENCES[2], "unknown", None, None, "edited=false"),
    ]
    first = next(iter(loaded.feedback.values()))
    assert picked(first, "at", "ticket_id") == (datetime(2026, 3, 2, 9, 5, 0, 500_000, tzinfo=UTC), "HD-501")
    assert {line: reason.split("'")[0] for line, reason in loaded.rejects.items()} == {
        3: "not for us: the metric ", 6: "value: 0.7 of ", 7: "value: ",
    }  # fmt: skip


def test_a_demonstration_is_an_edit_and_its_text_is_not_kept() -> None:
    loaded = of_sample("tensorzero_demonstration")
    (row,) = loaded.feedback.values()
    assert picked(row, "request_id", "decision", "overridden", "edit_ratio") == (INFERENCES[0], "edited", True, None)
    assert row["at"] == datetime(2026, 3, 2, 9, 6, tzinfo=UTC)
    assert "what the agent sent" not in str(row)
    assert loaded.rejects == {2: "no inference_id"}


def test_a_comment_decides_nothing_and_its_text_is_not_kept() -> None:
    loaded = of_sample("tensorzero_comment")
    found = [picked(row, "request_id", "decision", "overridden") for row in loaded.feedback.values()]
    assert found == [(INFERENCES[0], "unknown", None), (None, "unknown", None)], "an episode is no request"
    assert "remark" not in str(loaded.feedback)
    assert loaded.report.answers["overrides"].answer == "no"


@pytest.mark.parametrize(
    ("metric", "value", "decision"),
    [
        ("thumbs_up", True, "accepted"),
        ("overrode_draft", 1, "rejected"),
        ("rejected", True, "rejected"),
        ("edited", 1, "edited"),
    ],
)
def test_the_words_of_metrics(tmp_path: Path, metric: str, value: Any, decision: str) -> None:
    row = records("tensorzero_feedback")[0] | {"metric_name": metric, "value": value}
    found = [row["decision"] for row in of_records(tmp_path, [row]).feedback.values()]
    assert found == [decision]
