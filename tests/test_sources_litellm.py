from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from incident_kit.sources import load
from incident_kit.store import Store

CAPTURE = Path(__file__).parents[2] / "shared" / "data" / "litellm_capture"
T0 = 1795350150.0
TOOLS = [{"type": "function", "function": {"name": "lookup", "parameters": {"required": ["order_id"]}}}]
NO_DEPLOYMENT = (
    "No deployments available for selected model, Try again in 2 seconds. All deployments for selected model are in"
    " cooldown. Passed model=primary.v1. pre-call-checks=False, cooldown_list=[('a', {})]"
)
# tables that hold the incident: loads, rejects and answers say how it was loaded
TABLES = ("attempts", "request_facts", "requests", "feedback", "sla", "sla_events")


def payload(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": "chatcmpl-1", "litellm_call_id": "call-1", "trace_id": "t-1", "session_id": "", "status": "success",
        "startTime": T0, "endTime": T0 + 1, "completionStartTime": T0 + 1, "response_time": 1.0, "stream": None,
        "cache_hit": None, "model_group": "primary", "model_id": "east", "custom_llm_provider": "openai",
        "model": "openai/aurora", "prompt_tokens": 10, "completion_tokens": 5, "response_cost": 0.5,
        "request_tags": ["User-Agent: Python"], "messages": [{"role": "user", "content": "SECRET TEXT"}],
        "metadata": {"requester_metadata": {}, "requester_custom_headers": {}, "spend_logs_metadata": None},
        "model_parameters": {"stream": False, "tools": TOOLS},
        "response": {"choices": [{"finish_reason": "stop", "message": {"content": "SECRET ANSWER"}}]},
        "error_str": None, "error_information": {"error_code": "", "error_class": ""},
        "hidden_params": {"additional_headers": {"x-litellm-attempted-retries": 0, "x-litellm-attempted-fallbacks": 0}},
    }  # fmt: skip
    return row | changes


def failure(error_class: str, code: str, **changes: Any) -> dict[str, Any]:
    row = payload(
        id="call-1", status="failure", cache_hit=False, prompt_tokens=0, completion_tokens=0, response_cost=0.0,
        error_str=f"litellm.{error_class}: it failed", response={}, hidden_params={},
        error_information={"error_code": code, "error_class": error_class},
    )  # fmt: skip
    return row | changes


def calling(*calls: tuple[str, str, str], **changes: Any) -> dict[str, Any]:
    made = [{"id": key, "function": {"name": name, "arguments": text}} for key, name, text in calls]
    response = {"choices": [{"finish_reason": "tool_calls", "message": {"tool_calls": made}}]}
    return payload(response=response, **changes)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def loaded(store: Store, tmp_path: Path) -> Any:
    def write(*rows: dict[str, Any], **options: Any) -> Store:
        file = tmp_path / "log.ndjson"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        load(store, file, **options)
        return store

    return write


def attempt(store: Store, number: int = 0) -> dict[str, Any]:
    return store.frame("select * from attempts order by request_id, seq").to_dicts()[number]


def request(store: Store, name: str = "call-1") -> dict[str, Any]:
    (row,) = store.frame("select * from requests where request_id = $name", {"name": name}).to_dicts()
    return row


# ---- one record


def test_a_plain_answer(loaded: Any) -> None:
    store = loaded(payload())
    row = attempt(store)
    assert (row["attempt_id"], row["kind"], row["status"], row["target"]) == ("chatcmpl-1", "call", "ok", "primary")
    assert (row["deployment"], row["provider"], row["model"]) == ("east", "openai", "openai/aurora")
    assert row["sent_at"] == datetime.fromtimestamp(T0, UTC)
    assert (row["latency_ms"], row["first_token_at"], row["error_class"]) == (1000, None, None)
    assert (row["prompt_tokens"], row["completion_tokens"], row["cost_usd"]) == (10, 5, 0.5)
    whole = request(store)
    assert (whole["wait_ms"], whole["wait_is_lower_bound"]) == (1000, True)
    assert (whole["requested"], whole["served"], whole["is_fallback"]) == ("primary", "primary", False)
    assert (whole["attempts_logged"], whole["attempts_complete"]) == (1, True)


def test_no_message_text_is_stored(loaded: Any) -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": '{"ok": true, "text": "SECRET RESULT"}'}
    store = loaded(calling(("c1", "lookup", '{"order_id": "SECRET ORDER"}'), messages=[result]))
    for (table,) in store.rows("select table_name from information_schema.tables"):
        assert "SECRET" not in str(store.frame(f"select * from {table}").rows()), table  # noqa: S608 - our tables


def test_latency_is_not_response_time(loaded: Any) -> None:
    # of a stream `response_time` is the time to the first token
    row = attempt(loaded(payload(stream=True, response_time=0.2, completionStartTime=T0 + 0.2)))
    assert row["latency_ms"] == 1000
    assert row["first_token_at"] == datetime.fromtimestamp(T0 + 0.2, UTC)


def test_zeros_of_a_failure_are_unknown(loaded: Any) -> None:
    row = attempt(loaded(failure("InternalServerError", "500")))
    assert [row[name] for name in ("prompt_tokens", "completion_tokens", "cost_usd", "first_token_at")] == [None] * 4
    assert (row["status"], row["error_class"], row["latency_ms"]) == ("error", "500", 1000)


@pytest.mark.parametrize(
    ("error_class", "code", "status", "expected"),
    [
        ("RateLimitError", "429", "error", "429"),
        ("ServiceUnavailableError", "503", "error", "503"),
        ("Timeout", "408", "timeout", "timeout"),
        ("Timeout", "", "timeout", "timeout"),
        ("BadRequestError", "content_filter", "error", "content_policy"),
        ("ContentPolicyViolationError", "400", "error", "content_policy"),
        ("ContextWindowExceededError", "400", "error", "context_window"),
        ("APIConnectionError", "500", "error", "connection"),
        ("SomethingNew", "", "error", "unknown"),
    ],
)
def test_error_classes(loaded: Any, error_class: str, code: str, status: str, expected: str) -> None:
    row = attempt(loaded(failure(error_class, code)))
    assert (row["status"], row["error_class"]) == (status, expected)


def test_a_reset_connection_is_not_a_500_of_the_provider(loaded: Any) -> None:
    information = {
        "error_code": "500", "error_class": "InternalServerError", "normalized_error": "500_PROVIDER_CONNECTION_ERROR",
    }  # fmt: skip
    row = attempt(loaded(failure("InternalServerError", "500", error_information=information)))
    assert row["error_class"] == "connection"


def test_a_stream_cut_after_its_first_token_costs_money(loaded: Any) -> None:
    row = attempt(
        loaded(failure("ReadError", "", completionStartTime=T0 + 0.3, completion_tokens=3, response_cost=0.1))
    )
    assert (row["status"], row["error_class"]) == ("cut", "cut")
    assert (row["completion_tokens"], row["cost_usd"]) == (3, 0.1)
    assert row["first_token_at"] == datetime.fromtimestamp(T0 + 0.3, UTC)


def test_a_refusal_is_blamed_on_the_group_in_its_text(loaded: Any) -> None:
    refusal = failure(
        "RouterRateLimitError", "", error_str=NO_DEPLOYMENT, endTime=T0 + 0.008, model_group="backup", model_id="gamma",
    )  # fmt: skip
    answer = payload(
        startTime=T0 + 0.004, endTime=T0 + 0.3, model_group="backup", model_id="gamma",
        hidden_params={"additional_headers": {"x-litellm-attempted-retries": 0, "x-litellm-attempted-fallbacks": 1}},
    )  # fmt: skip
    store = loaded(answer, refusal)
    first, second = attempt(store, 0), attempt(store, 1)
    assert (first["kind"], first["target"], first["deployment"], first["model"]) == (
        "refusal",
        "primary.v1",
        None,
        None,
    )
    assert first["latency_ms"] is None
    assert (second["kind"], second["target"], second["latency_ms"]) == ("call", "backup", 296)
    whole = request(store)
    assert (whole["requested"], whole["served"], whole["is_fallback"]) == ("primary.v1", "backup", True)
    assert whole["wait_ms"] == 300
    assert whole["attempts_complete"] is True


def test_a_refusal_with_a_cache_flag_is_still_a_refusal(loaded: Any) -> None:
    row = attempt(loaded(failure("RouterRateLimitError", "", error_str=NO_DEPLOYMENT, cache_hit=True)))
    assert (row["kind"], row["cache_hit"]) == ("refusal", False)


def test_a_cache_hit_is_no_observation_of_the_provider(loaded: Any) -> None:
    row = attempt(loaded(payload(id="chatcmpl-1_cache_hit17953", cache_hit=True, endTime=T0 + 0.0004)))
    assert (row["kind"], row["cache_hit"], row["status"], row["latency_ms"]) == ("cache_hit", True, "ok", None)


def test_a_guardrail_block_is_not_a_call(loaded: Any) -> None:
    row = attempt(loaded(failure("HTTPException", "400", status_fields={"guardrail_status": "guardrail_intervened"})))
    assert row["kind"] == "guardrail"


# ---- several records of a request


def test_the_wait_spans_all_rows_and_an_answer_comes_last(loaded: Any) -> None:
    store = loaded(
        payload(startTime=T0 + 3, endTime=T0 + 3.2, model_group="backup"), failure("Timeout", "408", endTime=T0 + 2)
    )
    assert [row[0] for row in store.rows("select status from attempts order by seq")] == ["timeout", "ok"]
    whole = request(store)
    assert whole["wait_ms"] == 3200
    assert whole["arrived_at"] == datetime.fromtimestamp(T0, UTC)
    assert (whole["status"], whole["error_class"]) == ("ok", None)
    assert whole["attempts_complete"] is False, "retries of the primary before the fallback leave no row"


def test_a_stream_after_a_fallback_is_dated_from_the_request(loaded: Any) -> None:
    # its row starts before the failure's: neither its order nor its own latency can be read from it
    stream = payload(
        stream=True, startTime=T0 - 0.002, endTime=T0 + 3, completionStartTime=T0 + 2.5, model_group="backup", hidden_params={},
    )  # fmt: skip
    store = loaded(failure("InternalServerError", "500", endTime=T0 + 2), stream)
    whole = request(store)
    assert (whole["requested"], whole["served"], whole["is_fallback"]) == ("primary", "backup", True)
    assert whole["wait_ms"] == 3002
    assert attempt(store, 1)["latency_ms"] is None


def test_a_stream_after_a_refusal_has_its_own_latency(loaded: Any) -> None:
    stream = payload(stream=True, startTime=T0, endTime=T0 + 1, completionStartTime=T0 + 0.5, model_group="backup")
    store = loaded(failure("RouterRateLimitError", "", error_str=NO_DEPLOYMENT, endTime=T0 + 0.01), stream)
    assert attempt(store, 1)["latency_ms"] == 990
    assert attempt(store, 1)["sent_at"] == datetime.fromtimestamp(T0 + 0.01, UTC)


def test_one_failure_row_per_retry_is_kept(loaded: Any) -> None:
    store = loaded(
        failure("InternalServerError", "500", endTime=T0 + 0.5),
        failure("ServiceUnavailableError", "503", startTime=T0 + 0.6, endTime=T0 + 0.9),
    )
    assert store.rows("select seq, error_class from attempts order by seq") == [(1, "500"), (2, "503")]
    assert (request(store)["status"], request(store)["error_class"]) == ("error", "503")
    assert request(store)["served"] is None


@pytest.mark.parametrize(("retries", "logged", "complete"), [(0, 1, True), (1, 1, False), (1, 2, True), (2, 2, False)])
def test_attempts_are_complete_where_the_rows_are_as_many_as_stated(
    loaded: Any, *, retries: int, logged: int, complete: bool
) -> None:
    headers = {"x-litellm-attempted-retries": retries, "x-litellm-attempted-fallbacks": 0}
    answer = payload(startTime=T0 + 1, endTime=T0 + 2, hidden_params={"additional_headers": headers})
    rows = [answer, failure("InternalServerError", "500")][:logged]
    assert request(loaded(*rows))["attempts_complete"] is complete


# ---- labels


def test_labels_come_from_paths_and_tags_and_hold_for_the_request(loaded: Any) -> None:
    metadata = {"requester_metadata": {"ticket_id": "HD-1", "team": "emea", "headers": {"x": "y"}},
                "requester_custom_headers": {"x-desk-ref": "r-1", "x-api-key": "k", "x-litellm-tags": "a"}}  # fmt: skip
    store = loaded(
        failure("InternalServerError", "500", endTime=T0 + 0.5, request_tags=["team:support", "intent:order-status"]),
        payload(startTime=T0 + 0.6, metadata=metadata),
    )
    whole = request(store)
    assert (whole["intent"], whole["ticket_id"]) == ("order-status", "HD-1")
    assert json.loads(whole["labels"]) == {"team": "emea", "x-desk-ref": "r-1"}, "no headers, no secrets"


def test_label_paths_and_tags_are_the_users(loaded: Any) -> None:
    metadata = {"requester_metadata": {"intent": "default", "topic": "refunds"}}
    row = payload(metadata=metadata, request_tags=["case:77"])
    store = loaded(
        row,
        labels={"intent": ["$.metadata.requester_metadata.topic", "$.metadata.requester_metadata.intent"]},
        tags={"ticket_id": "^case:(.+)$"},
    )
    assert (request(store)["intent"], request(store)["ticket_id"]) == ("refunds", "77")


def test_a_conversation_is_a_session_the_client_sent(loaded: Any) -> None:
    sent = {"requester_metadata": {"session_id": "conv-1"}}
    store = loaded(
        payload(trace_id="conv-1", metadata=sent),
        payload(litellm_call_id="call-2", id="chatcmpl-2", trace_id="0af7651916cd43dd8448eb211c80319c"),
    )
    assert request(store, "call-1")["conversation_id"] == "conv-1"
    assert request(store, "call-2")["conversation_id"] is None


# ---- tools


@pytest.mark.parametrize(
    ("name", "arguments", "errors"),
    [
        ("lookup", '{"order_id": "1"}', None),
        ("lookup", '{"order_id": ', 1),
        ("lookup", "{}", 1),
        ("lookup", "[1]", 1),
        ("LookUp", '{"order_id": "1"}', 1),
    ],
)
def test_a_malformed_call_is_an_error_and_a_well_formed_one_unknown(
    loaded: Any, name: str, arguments: str, errors: int | None
) -> None:
    store = loaded(calling(("c1", name, arguments)))
    whole = request(store)
    assert (whole["tools_offered"], whole["tool_calls"], whole["tool_errors"]) == (1, 1, errors)


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        ('{"ok": true}', 0),
        ('{"ok": false}', 1),
        ('{"error": "tool_timeout"}', 1),
        ('{"error": null, "rows": []}', 0),
        ("Refund created", 0),
        ("Error: no such order", 1),
        ([{"type": "text", "text": "fine"}], 0),
    ],
)
def test_what_became_of_a_call_is_in_the_next_request(loaded: Any, content: Any, errors: int) -> None:
    result = [{"role": "tool", "tool_call_id": "c1", "content": content}]
    later = {"litellm_call_id": "call-2", "id": "chatcmpl-2", "startTime": T0 + 5, "endTime": T0 + 6}
    store = loaded(payload(messages=result, **later), calling(("c1", "lookup", '{"order_id": "1"}')))
    row = attempt(store)
    assert row["tool_errors"] == errors
    assert row["tool_result_at"] == datetime.fromtimestamp(T0 + 5, UTC)


def test_a_result_belongs_to_its_conversation(loaded: Any) -> None:
    # some providers number their calls anew in each answer
    def of(conversation: str, **changes: Any) -> dict[str, Any]:
        return {"metadata": {"requester_metadata": {"session_id": conversation}}} | changes

    ok = [{"role": "tool", "tool_call_id": "call_0", "content": '{"ok": true}'}]
    bad = [{"role": "tool", "tool_call_id": "call_0", "content": '{"ok": false}'}]
    made = ("call_0", "lookup", '{"order_id": "1"}')
    store = loaded(
        calling(made, **of("A", litellm_call_id="a1", id="1")),
        calling(made, **of("B", litellm_call_id="b1", id="2")),
        payload(**of("A", litellm_call_id="a2", id="3", startTime=T0 + 5, endTime=T0 + 6, messages=bad)),
        payload(**of("B", litellm_call_id="b2", id="4", startTime=T0 + 5, endTime=T0 + 6, messages=ok)),
    )
    assert (request(store, "a1")["tool_errors"], request(store, "b1")["tool_errors"]) == (1, 0)


# ---- what is refused


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"litellm_call_id": None, "id": ""}, "no litellm_call_id"),
        ({"status": "maybe"}, "status is neither success nor failure"),
        ({"startTime": "yesterday"}, "startTime is not a time in epoch seconds"),
        ({"startTime": T0 * 1000, "endTime": T0 * 1000}, "startTime is not a time in epoch seconds"),
        ({"startTime": T0 / 1000, "endTime": T0 / 1000}, "startTime or endTime is not in epoch seconds"),
        ({"endTime": T0 - 1}, "endTime is before startTime"),
    ],
)
def test_unusable_records_are_rejected_with_a_reason(
    store: Store, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    file = tmp_path / "log.ndjson"
    file.write_text(json.dumps(payload()) + "\n\n" + json.dumps(payload(litellm_call_id="call-2") | changes) + "\n")
    report = load(store, file)
    assert report.rejects.select("line", "reason").rows() == [(3, reason)]
    assert "SECRET" not in str(report.rejects.rows())
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (2, 1, 1)


def test_another_content_under_the_same_id_is_rejected_whatever_the_order(tmp_path: Path) -> None:
    rows = [payload(endTime=T0 + 1), payload(endTime=T0 + 2), payload(endTime=T0 + 1)]
    kept = set()
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
        file = tmp_path / "log.ndjson"
        file.write_text("".join(json.dumps(rows[number]) + "\n" for number in order))
        store = Store()
        report = load(store, file)
        assert report.rows_read == report.rows_loaded + report.rows_duplicate + report.rows_rejected == 3
        assert report.rows_loaded == 1
        assert "another row has the same id and other content: done_at" in report.loads[0].reasons
        kept.add(attempt(store)["latency_ms"])
    assert len(kept) == 1


# ---- spend logs


def spend(**changes: Any) -> dict[str, Any]:
    metadata = changes.pop("metadata", {})
    row: dict[str, Any] = {
        "request_id": "chatcmpl-1", "litellm_call_id": "call-1", "status": "success", "spend": 0.5, "cache_hit": "None",
        "startTime": "2026-11-22 12:17:49.564", "endTime": "2026-11-22 12:17:49.777",
        "completionStartTime": "2026-11-22 12:17:49.777", "model": "openai/aurora", "model_id": "east",
        "model_group": "primary", "custom_llm_provider": "openai", "prompt_tokens": 10, "completion_tokens": 5,
        "session_id": "conv-1", "request_tags": '["intent:refund"]',
        "metadata": json.dumps(
            {"attempted_retries": 0, "attempted_fallbacks": 0, "original_model_group": "primary"} | metadata
        ),
    }  # fmt: skip
    return row | changes


def test_a_spend_row(loaded: Any) -> None:
    store = loaded(spend())
    row, whole = attempt(store), request(store)
    assert row["sent_at"] == datetime(2026, 11, 22, 12, 17, 49, 564000, UTC), "a time without a zone is UTC"
    assert (row["latency_ms"], row["cost_usd"], row["tool_calls"]) == (213, 0.5, None)
    assert (whole["intent"], whole["conversation_id"], whole["attempts_complete"]) == ("refund", "conv-1", True)


def test_a_spend_row_tells_of_a_fallback_only_in_its_metadata(loaded: Any) -> None:
    store = loaded(spend(model_group="backup", metadata={"attempted_fallbacks": 1}))
    whole = request(store)
    assert (whole["requested"], whole["served"], whole["is_fallback"]) == ("primary", "backup", True)
    assert whole["attempts_complete"] is False


def test_an_old_spend_row_does_not_know_what_was_asked_for(loaded: Any) -> None:
    whole = request(loaded(spend(metadata={}) | {"metadata": {}}))
    assert (whole["requested"], whole["served"], whole["is_fallback"]) == (None, "primary", None)


def test_spend_labels_metadata_as_object_and_billed_attempts(loaded: Any) -> None:
    labels = {"spend_logs_metadata": {"intent": "triage", "ticket_id": "HD-9", "desk": "emea"}}
    cut = {"error_information": {"error_class": "ReadError", "error_code": ""}}
    store = loaded(
        spend(request_tags=["User-Agent: x"]) | {"metadata": labels, "cache_hit": "True"},
        spend(
            request_id="call-2-attempt-1", litellm_call_id=None, status="failure",
            completionStartTime="2026-11-22 12:17:49.6", metadata=cut,
        ),
    )  # fmt: skip
    whole = request(store)
    assert (whole["intent"], whole["ticket_id"], json.loads(whole["labels"])) == ("triage", "HD-9", {"desk": "emea"})
    assert attempt(store, 0)["kind"] == "cache_hit"
    assert (attempt(store, 1)["request_id"], attempt(store, 1)["status"]) == ("call-2", "cut")


def test_a_request_another_source_described_is_a_duplicate_in_words(loaded: Any, tmp_path: Path) -> None:
    store = loaded(payload())
    other = tmp_path / "spend.ndjson"
    other.write_text(json.dumps(spend()) + "\n" + json.dumps(spend(litellm_call_id="call-9", request_id="9")) + "\n")
    report = load(store, other)
    assert (report.rows_loaded, report.rows_duplicate) == (1, 1)
    assert "1 x the request was already loaded from litellm_standard" in str(report)


# ---- the real capture


def lines(name: str) -> list[bytes]:
    with gzip.open(CAPTURE / name) as stream:
        return stream.read().splitlines(keepends=True)


@pytest.fixture(scope="module")
def capture() -> Store:
    if not CAPTURE.is_dir():
        pytest.skip("the shared LiteLLM capture is not on this machine")
    store = Store()
    report = load(store, CAPTURE / "standard_logging.ndjson.gz")
    assert (report.rows_read, report.rows_loaded) == (3489, 3489)
    return store


@pytest.fixture(scope="module")
def observed(capture: Store) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    rows = {row["request_id"]: row for row in capture.frame("select * from requests").to_dicts()}
    clients = [json.loads(line) for line in lines("client_observed.ndjson.gz")]
    return [(rows[client["headers"]["x-litellm-call-id"]], client) for client in clients]


def dump(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    queries = {table: f"select columns(c -> c <> 'load_id') from {table} order by all" for table in TABLES}  # noqa: S608
    queries = {table: sql.replace("c -> c <> 'load_id'", "lambda c: c <> 'load_id'") for table, sql in queries.items()}
    return {table: store.frame(sql).rows() for table, sql in queries.items()}


def test_capture_every_request_is_there(capture: Store) -> None:
    assert capture.rows("select count(*), count(distinct request_id) from requests") == [(3065, 3065)]
    assert capture.rows("select count(*) from rejects") == [(0,)]


def test_capture_labels(observed: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for name in ("intent", "ticket_id"):
        right = sum(row[name] == client[name] for row, client in observed)
        wrong = sum(row[name] not in {None, client[name]} for row, client in observed)
        assert right / len(observed) >= 0.97
        assert wrong == 0


def test_capture_requested_and_served(observed: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    served = [
        row["served"] == client["headers"]["x-litellm-model-group"]
        for row, client in observed
        if "x-litellm-model-group" in client["headers"]
    ]
    assert len(served) == 3057
    assert sum(served) / len(served) >= 0.995
    assert all(row["requested"] == client["requested_model"] for row, client in observed)
    fallbacks = [int(client["headers"].get("x-litellm-attempted-fallbacks") or 0) > 0 for _, client in observed]
    assert sum(fallbacks) == 336
    assert [bool(row["is_fallback"]) for row, _ in observed] == fallbacks


def test_capture_waits(observed: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    error = {id(client): abs(row["wait_ms"] / client["duration_ms"] - 1) for row, client in observed}
    moved = [error[id(client)] for row, client in observed if row["is_fallback"]]
    assert median(error.values()) <= 0.05
    assert median(moved) <= 0.05
    assert all(row["wait_is_lower_bound"] for row, _ in observed)


def test_capture_refusals_are_not_failures_of_the_backup(capture: Store) -> None:
    sql = (
        "select count(*), count(*) filter (where status <> 'ok') from attempts where target = 'fast_backup_model' and "
    )
    ((calls, failed),) = capture.rows(sql + "kind = 'call'")
    naive = [json.loads(line) for line in lines("standard_logging.ndjson.gz")]
    naive = [
        row["status"] for row in naive if row["model_group"] == "fast_backup_model" and row["cache_hit"] is not True
    ]
    assert naive.count("failure") / len(naive) > 0.29
    assert failed / calls <= 0.048, "a lower bound of the true 4.8 %"
    assert capture.rows(sql + "kind = 'refusal'") == [(0, 0)]
    assert capture.rows("select count(*) from attempts where kind = 'refusal'") == [(229,)]
    assert capture.rows("select count(*) from attempts where kind = 'cache_hit'") == [(22,)]


def test_capture_claims_of_completeness_are_true(
    capture: Store, observed: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    truth: dict[str, int] = {}
    for line in lines("upstream_truth.ndjson.gz"):
        name = json.loads(line)["request_ref"]
        truth[name] = truth.get(name, 0) + 1
    calls = dict(capture.rows("select request_id, count(*) from attempts where kind = 'call' group by 1"))
    claims = [
        calls.get(row["request_id"], 0) == truth.get(client["request_ref"], 0)
        for row, client in observed
        if row["attempts_complete"]
    ]
    assert len(claims) > 2800
    assert all(claims)


def test_capture_tool_outcomes(observed: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    known = 0
    for row, client in observed:
        made = client["tool_calls"] or []
        if row["status"] == "ok":
            assert row["tool_calls"] == len(made)
        if made and row["tool_errors"] is not None:
            known += 1
            assert row["tool_errors"] == sum(not result.get("ok") for result in client["tool_results"])
    assert known >= 1200


@pytest.mark.parametrize("way", ["twice", "halves", "shuffled"])
def test_capture_order_and_repetition_do_not_matter(capture: Store, tmp_path: Path, way: str) -> None:
    rows = lines("standard_logging.ndjson.gz")
    if way == "twice":
        parts = [rows, [*rows, b"\n"]]  # other bytes, the same rows
    elif way == "halves":
        parts = [rows[1::2], rows[::2]]
    else:
        parts = [random.Random(7).sample(rows, len(rows))]  # noqa: S311 - a fixed order
    store = Store()
    for number, part in enumerate(parts):
        file = tmp_path / f"part{number}.ndjson"
        file.write_bytes(b"".join(part))
        report = load(store, file)
        assert (
            report.rows_read
            == report.rows_loaded + report.rows_duplicate + report.rows_rejected
            == len(part) - (part[-1] == b"\n")
        )
    assert dump(store) == dump(capture)


def test_capture_as_spend_logs() -> None:
    if not CAPTURE.is_dir():
        pytest.skip("the shared LiteLLM capture is not on this machine")
    store = Store()
    report = load(store, CAPTURE / "spend_logs.ndjson.gz")
    assert (report.rows_read, report.rows_loaded) == (3065, 3065)
    rows = {row["request_id"]: row for row in store.frame("select * from requests").to_dicts()}
    for line in lines("client_observed.ndjson.gz"):
        client = json.loads(line)
        row = rows[client["headers"]["x-litellm-call-id"]]
        assert row["requested"] == client["requested_model"]
        assert row["served"] == client["headers"].get("x-litellm-model-group")
