"""OpenTelemetry spans as OTLP/JSON: the GenAI conventions, LiteLLM's two layouts, executed tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from incident_kit.sources import load
from incident_kit.store import Store

DATA = Path(__file__).parent / "data"
BUNDLED = Path(__file__).parents[1] / "data" / "samples" / "litellm_capture"
CAPTURE = Path(__file__).parents[2] / "shared" / "data" / "litellm_capture"
T0 = 1795350150
# what a request is, apart from how long it was waited for and how sure its rows are
SAME = (
    "requested", "served", "is_fallback", "status", "error_class", "intent", "ticket_id", "conversation_id", "channel",
    "tools_offered", "tool_calls", "prompt_tokens", "completion_tokens", "attempts_logged", "labels",
)  # fmt: skip


def sample(name: str) -> Store:
    store = Store()
    load(store, DATA / "formats" / f"{name}.ndjson")
    return store


def requests(store: Store) -> dict[str, dict[str, Any]]:
    return {row["request_id"]: row for row in store.frame("select * from requests order by request_id").to_dicts()}


def attempts(store: Store, request: str, *columns: str) -> list[tuple[Any, ...]]:
    rows = store.frame(
        "select * from attempts where request_id like '%' || $name order by request_id, seq", {"name": request}
    ).to_dicts()
    return [tuple(row[column] for column in columns) for row in rows]


def reasons(store: Store) -> dict[int, str]:
    return dict(store.rows("select line, reason from rejects"))


def span(name: str, start_ms: float, end_ms: float, *, ids: str, over: str = "", **attributes: Any) -> dict[str, Any]:
    failed = attributes.pop("failed", False)
    return {
        "traceId": "t", "spanId": ids, "parentSpanId": over, "name": name, "kind": 3, "status": {"code": 2} if failed else {},
        "startTimeUnixNano": str(T0 * 10**9 + int(start_ms * 10**6)), "endTimeUnixNano": str(T0 * 10**9 + int(end_ms * 10**6)),
        "attributes": [
            {"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in attributes.items()
        ],
    }  # fmt: skip


def loaded(folder: Path, *spans: dict[str, Any]) -> Store:
    file = folder / "spans.ndjson"
    file.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}) + "\n")
    store = Store()
    load(store, file)
    return store


def chat(start_ms: float, end_ms: float, *, ids: str, over: str = "", **attributes: Any) -> dict[str, Any]:
    named = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "aurora"} | attributes
    return span("chat aurora", start_ms, end_ms, ids=ids, over=over, **named)


# ---- LiteLLM's first layout


@pytest.fixture(scope="module")
def v1() -> Store:
    return sample("otel_litellm_v1")


def test_labels_lie_in_python_dictionaries(v1: Store) -> None:
    rows = requests(v1)
    assert [rows["call-1"][name] for name in ("intent", "ticket_id", "conversation_id", "labels")] == [
        "refund-policy", "HD-1", "conv-1", '{"team":"emea"}',
    ]  # fmt: skip
    assert rows["call-2"]["intent"] == "refund-policy", "a tag in a Python list, an apostrophe beside it"
    assert (rows["call-3"]["intent"], rows["call-3"]["ticket_id"]) == ("order-status", "HD-3"), "the spend-logs header"
    assert rows["call-4"]["intent"] == "order-status", "a tag in the header x-litellm-tags"


def test_what_only_looks_like_a_python_dictionary_stays_a_text(v1: Store) -> None:
    assert requests(v1)["call-10"]["intent"] is None


def test_the_wait_is_that_of_the_gateways_span_also_when_it_comes_later(v1: Store) -> None:
    rows = requests(v1)
    assert (rows["call-1"]["wait_ms"], rows["call-1"]["wait_is_lower_bound"]) == (505, False)
    assert rows["call-3"]["wait_ms"] == 1310, "its root came with the next batch"


def test_a_tool_result_is_found_by_the_name_and_arguments_of_its_call(v1: Store) -> None:
    # the span of an answer does not say the ids of the calls it made
    row = requests(v1)["call-1"]
    assert (row["tools_offered"], row["tool_calls"], row["tool_errors"]) == (1, 1, 1)
    assert requests(v1)["call-2"]["tool_calls"] == 0


def test_a_span_of_a_refusal_is_blamed_on_the_group_in_its_text(v1: Store) -> None:
    assert attempts(v1, "call-4", "kind", "target", "latency_ms", "model") == [
        ("refusal", "desk-main", None, None),
        ("call", "desk-backup", 882, "openai/gale-1"),
    ]
    row = requests(v1)["call-4"]
    assert (row["requested"], row["served"], row["is_fallback"], row["stream"]) == (
        "desk-main",
        "desk-backup",
        True,
        True,
    )


def test_a_cache_hit_is_told_by_its_speed_and_costs_nothing(v1: Store) -> None:
    # the span names the price of the answer that was cached
    assert attempts(v1, "call-5", "kind", "latency_ms", "cost_usd") == [("cache_hit", None, 0.0)]


def test_an_answer_sent_again_in_no_time_is_a_hit_and_the_same_span_delivered_twice_is_none(tmp_path: Path) -> None:
    call = {"litellm__model_group": "main", "litellm__call_id": "a", "gen_ai__response__id": "r1"}
    first = span("litellm_request", 0, 30, ids="s1", **call)
    again = span("litellm_request", 100, 120, ids="s2", **call | {"litellm__call_id": "b"})
    slow = span("litellm_request", 200, 260, ids="s3", **call | {"litellm__call_id": "c"})
    store = loaded(tmp_path, first, first, again, slow)
    assert store.rows("select attempt_id, kind from attempts order by 1") == [
        ("s1", "call"), ("s2", "cache_hit"), ("s3", "call"),
    ]  # fmt: skip
    assert store.rows("select rows_read, rows_duplicate from loads") == [(4, 1)]


def test_failures_of_the_first_layout(v1: Store) -> None:
    columns = ("status", "error_class", "prompt_tokens", "completion_tokens")
    assert attempts(v1, "call-6", *columns) == [("timeout", "timeout", None, None)]
    assert attempts(v1, "call-7", *columns) == [("cut", "cut", None, 3)]
    assert attempts(v1, "call-3", *columns)[0] == ("error", "500", None, None)


def test_attempts_are_complete_where_hidden_params_count_them(v1: Store) -> None:
    rows = requests(v1)
    assert [rows[name]["attempts_complete"] for name in ("call-1", "call-3", "call-4", "call-5")] == [
        True, False, True, False,
    ]  # fmt: skip
    assert attempts(v1, "call-1", "deployment") == [("east-1",)]


def test_lines_without_a_call_and_spans_without_times_say_so(v1: Store) -> None:
    assert reasons(v1) == {8: "not for us: no span of an LLM call", 9: "endTimeUnixNano is not a time"}


def test_a_span_that_a_client_renamed_is_known_by_its_attributes(tmp_path: Path) -> None:
    newer = {"litellm__model_group": "main", "litellm__call_id": "a", "gen_ai__request__stream": "true"}
    store = loaded(
        tmp_path, span("my generation", 0, 90, ids="s", **newer, gen_ai__response__finish_reasons='["tool_calls"]')
    )
    (row,) = requests(store).values()
    # the newer words say neither how many tools were offered nor what was called
    assert [row[name] for name in ("served", "stream", "tools_offered", "tool_calls")] == ["main", True, None, None]


# ---- LiteLLM's second layout


@pytest.fixture(scope="module")
def v2() -> Store:
    return sample("otel_litellm_v2")


def test_every_route_span_is_an_attempt_also_one_that_left_no_call(v2: Store) -> None:
    assert attempts(v2, "call-2", "seq", "target", "status", "error_class", "latency_ms", "model") == [
        (1, "desk-main", "error", "500", 492, "openai/aurora-4"),
        (2, "desk-main", "error", "unknown", None, None),
        (3, "desk-backup", "ok", None, 394, "openai/gale-1"),
    ]
    row = requests(v2)["call-2"]
    assert (row["attempts_logged"], row["attempts_complete"]) == (3, True)
    assert (row["requested"], row["served"], row["is_fallback"]) == ("desk-main", "desk-backup", True)
    assert (row["wait_ms"], row["wait_is_lower_bound"]) == (1910, False)


def test_a_route_and_no_call_is_a_cache_hit_if_the_client_was_answered(v2: Store) -> None:
    assert [row for row in attempts(v2, "", "kind", "status") if row[0] == "cache_hit"] == [("cache_hit", "ok")]


def test_a_route_that_failed_is_a_refusal(v2: Store) -> None:
    assert attempts(v2, "call-4", "kind", "target", "error_class") == [
        ("refusal", "desk-main", "429"),
        ("call", "desk-backup", None),
    ]
    ((stream, first),) = v2.rows(
        "select stream, first_token_at - a.sent_at from requests join attempts as a using (request_id)"
        " where request_id = 'call-4' and kind = 'call'"
    )
    assert (stream, first.total_seconds()) == (True, 0.25)


def test_the_last_failure_of_a_request_that_failed_is_an_error_too(v2: Store) -> None:
    assert attempts(v2, "call-5", "target", "status") == [("desk-main", "timeout"), ("desk-backup", "error")]
    assert requests(v2)["call-5"]["status"] == "error"


def test_requests_that_share_a_trace_are_two(v2: Store) -> None:
    assert [requests(v2)[name]["attempts_logged"] for name in ("call-6", "call-7")] == [1, 1]


def test_labels_come_with_the_baggage_that_litellm_was_told_to_write(v2: Store) -> None:
    row = requests(v2)["call-1"]
    assert (row["intent"], row["ticket_id"], row["conversation_id"]) == ("refund-policy", "HD-1", "conv-1")


def test_a_tool_of_the_same_trace_belongs_to_the_answer_before_it(v2: Store) -> None:
    row = requests(v2)["call-1"]
    assert (row["tools_offered"], row["tool_calls"], row["tool_errors"]) == (2, 1, 1)


def test_an_answer_that_no_span_tells_of_was_cut(tmp_path: Path) -> None:
    root = span("POST /v1/chat/completions", 0, 500, ids="root", http__response__status_code="200")
    routes = [span("route main", at, at + 1, ids=f"r{at}", over="root") for at in (1, 200)]
    failed = span(
        "chat main", 5, 190, ids="c", over="root", failed=True, gen_ai__operation__name="chat", gen_ai__request__model="main",
        litellm__call_id="call", litellm__provider__model="openai/x", error__type="InternalServerError",
    )  # fmt: skip
    store = loaded(tmp_path, root, *routes, failed)
    assert attempts(store, "call", "status", "error_class") == [("error", "500"), ("cut", "cut")]


def test_calls_without_a_route_span_do_not_say_that_they_are_all(tmp_path: Path) -> None:
    call = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "main", "litellm__provider__model": "openai/x"}
    store = loaded(tmp_path, span("chat main", 10, 90, ids="b", litellm__call_id="2", **call))
    assert requests(store)["2"]["attempts_complete"] is False


def test_calls_of_the_gateways_own_are_not_the_clients(tmp_path: Path) -> None:
    call = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "main", "litellm__provider__model": "openai/x"}
    own = span(
        "chat main", 0, 9, ids="a", litellm__call_id="1", litellm__request__purpose="autorouter_classifier", **call
    )
    store = loaded(tmp_path, own, span("chat main", 10, 90, ids="b", litellm__call_id="2", **call))
    assert list(requests(store)) == ["2"]


# ---- the GenAI conventions


@pytest.fixture(scope="module")
def genai() -> Store:
    return sample("otel_genai")


def test_a_call_after_a_success_is_a_request_of_its_own(genai: Store) -> None:
    whole = requests(genai)
    turn = [row for name, row in whole.items() if name.endswith(("1:c1", "1:c2"))]
    assert [row["attempts_logged"] for row in turn] == [1, 1]
    assert [(row["tool_calls"], row["tool_errors"]) for row in turn] == [(1, 1), (0, 0)], "run once, in two spans"


def test_a_call_beside_a_failed_one_goes_on_with_its_request(genai: Store) -> None:
    assert attempts(genai, ":c3", "target", "status", "error_class") == [
        ("aurora-4", "timeout", "timeout"), ("aurora-4", "error", "429"), ("gale-mini-1", "ok", None),
    ]  # fmt: skip
    (row,) = [row for name, row in requests(genai).items() if name.endswith(":c3")]
    assert (row["requested"], row["served"], row["wait_ms"], row["wait_is_lower_bound"]) == (
        "aurora-4", "gale-mini-1", 2000, True,
    )  # fmt: skip
    assert row["attempts_complete"] is False, "a span may hold retries"


def test_calls_made_at_once_are_no_retries(genai: Store) -> None:
    assert [len(attempts(genai, name, "seq")) for name in (":c6", ":c7")] == [1, 1]


def test_a_span_around_calls_is_their_request_and_no_call(genai: Store) -> None:
    assert attempts(genai, ":c8", "attempt_id", "target") == [("c9", "aurora-4"), ("ca", "gale-mini-1")]
    (row,) = [row for name, row in requests(genai).items() if name.endswith(":c8")]
    assert (row["requested"], row["wait_ms"], row["wait_is_lower_bound"]) == ("desk-main", 2000, False)
    assert (row["intent"], row["ticket_id"]) == ("refund-policy", "HD-1"), "its labels hold for them"


def test_spans_that_are_one_anothers_parents_are_two_calls(genai: Store) -> None:
    assert [len(attempts(genai, name, "seq")) for name in (":ce", ":cf")] == [1, 1]


def test_messages_tell_of_malformed_calls_and_of_results(genai: Store) -> None:
    (row,) = [row for name, row in requests(genai).items() if name.endswith(":cb")]
    assert (row["tool_calls"], row["tool_errors"]) == (2, 2)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (9, 7), "the older names of the attributes"


def test_labels_may_lie_on_the_resource(genai: Store) -> None:
    (row,) = [row for name, row in requests(genai).items() if name.endswith(":cd")]
    assert row["intent"] == "indexing"


def test_zeros_of_a_failed_span_are_unknown_and_a_first_token_is_of_streams(genai: Store) -> None:
    assert attempts(genai, ":c3", "prompt_tokens", "completion_tokens")[0] == (None, None)
    ((first,),) = genai.rows("select first_token_at - sent_at from attempts where attempt_id = 'c7'")
    assert first.total_seconds() == 0.3
    assert attempts(genai, ":c1", "first_token_at") == [(None,)]


def test_no_message_text_is_stored(genai: Store, v1: Store, v2: Store) -> None:
    for store in (genai, v1, v2):
        for (table,) in store.rows("select table_name from information_schema.tables"):
            assert "made up" not in str(store.frame(f"select * from {table}").rows()), table  # noqa: S608 - our tables


def test_records_without_calls_say_so(genai: Store) -> None:
    assert reasons(genai) == {8: "not for us: no span of an LLM call of its own", 10: "not for us: no spans"}


ERRORS = {
    "timeout": "timeout", "openai.APITimeoutError": "timeout", "429": "429", "RateLimitError": "429",
    "ServiceUnavailableError": "503", "InternalServerError": "500", "BadRequestError": "400", "_OTHER": "unknown",
    "APIConnectionError": "connection", "java.net.UnknownHostException": "connection",
    "context_length_exceeded": "context_window", "ContentPolicyViolationError": "content_policy",
}  # fmt: skip


def test_error_types_in_the_kits_words(tmp_path: Path) -> None:
    store = loaded(tmp_path, *(chat(0, 10, ids=error, error__type=error) for error in ERRORS))
    assert dict(store.rows("select attempt_id, error_class from attempts")) == ERRORS


def test_a_span_delivered_twice_is_one_call(tmp_path: Path) -> None:
    one = chat(0, 10, ids="a")
    assert loaded(tmp_path, one, one).rows("select count(*) from attempts") == [(1,)]


def test_spans_of_agents_are_no_calls(tmp_path: Path) -> None:
    agent = {"gen_ai__operation__name": "invoke_agent", "gen_ai__request__model": "aurora"}
    store = loaded(tmp_path, span("invoke_agent x", 0, 20, ids="a", **agent), chat(5, 9, ids="b", over="a"))
    assert store.rows("select attempt_id from attempts") == [("b",)]


def test_numbers_that_are_none_are_unknown(tmp_path: Path) -> None:
    names = ("gen_ai__usage__input_tokens", "gen_ai__response__time_to_first_chunk", "gen_ai__usage__output_tokens")
    values = ("99999999999999999999999", "1e300", "-5", "NaN", "soon")
    store = loaded(tmp_path, *(chat(0, 10, ids=value, **dict.fromkeys(names, value)) for value in values))
    assert set(store.rows("select prompt_tokens, first_token_at, completion_tokens from attempts")) == {
        (None, None, None)
    }


# ---- executed tools


def test_tools_become_signals_with_their_labels() -> None:
    store = sample("otel_tools")
    rows = store.rows(
        "select name, numerator, denominator, value, request_id, ticket_id, intent from signals order by all"
    )
    assert rows == [
        ("tool_error_rate", 0.0, 1.0, None, "call-1", "HD-1", "refund-policy"),
        ("tool_error_rate", 1.0, 1.0, None, None, None, "order-status"),
        ("tool_error_rate", 1.0, 2.0, None, None, None, "order-status"),
        ("tool_ms", None, None, 120.0, "call-1", "HD-1", "refund-policy"),
        ("tool_ms", None, None, 120.0, None, None, "order-status"),
        ("tool_ms", None, None, 450.0, None, None, "order-status"),
    ]
    assert reasons(store) == {3: "startTimeUnixNano is not a time", 4: "not for us: no executed tool"}


def test_a_tool_is_labelled_by_its_trace_and_run_once_though_mcp_writes_a_span_below(genai: Store) -> None:
    assert genai.rows("select name, value, denominator, ticket_id, intent from signals order by name") == [
        ("tool_error_rate", None, 1.0, "HD-1", "refund-policy"),
        ("tool_ms", 2000.0, None, "HD-1", "refund-policy"),
    ]


# ---- the same traffic in LiteLLM's three forms


def agreeing(ours: Store, theirs: Store) -> list[str]:
    """Return what differs between the requests of two stores, over those that the second has."""
    mine, other = requests(ours), requests(theirs)
    assert other.keys() <= mine.keys()
    return [
        f"{name}.{column}: {mine[name][column]!r} is {other[name][column]!r}"
        for name in other
        for column in SAME
        if mine[name][column] != other[name][column]
    ]


def test_spans_of_the_capture_say_what_the_payloads_say() -> None:
    payloads, spans = Store(), Store()
    load(payloads, BUNDLED / "logs" / "standard_logging.ndjson.gz")
    load(spans, DATA / "litellm_otel_spans.jsonl.gz")
    rows, said = requests(spans), requests(payloads)
    assert len(rows) == 160
    assert {kind for (kind,) in spans.rows("select kind from attempts")} == {"call", "refusal", "cache_hit"}
    assert agreeing(payloads, spans) == []
    kinds = (
        "select request_id, kind, target, status, error_class from attempts"
        " where request_id in (select unnest($1)) order by all"
    )
    assert spans.rows(kinds, [list(rows)]) == payloads.rows(kinds, [list(rows)])
    known = {name: row["tool_errors"] for name, row in rows.items() if row["tool_errors"] is not None}
    assert sum(known.values()) > 0
    assert {name: said[name]["tool_errors"] for name in known} == known
    assert min(row["wait_ms"] - said[name]["wait_ms"] for name, row in rows.items()) >= -1
    assert not any(row["wait_is_lower_bound"] for row in rows.values())
    assert not any(row["attempts_complete"] for row in rows.values() if row["is_fallback"])


@pytest.fixture(scope="module")
def forms() -> dict[str, Store]:
    if not CAPTURE.is_dir():
        pytest.skip("the shared LiteLLM capture is not on this machine")
    files = {"payloads": "standard_logging.ndjson.gz", "spend": "spend_logs.ndjson.gz", "spans": "otel_spans.jsonl.gz"}
    stores = {}
    for name, file in files.items():
        stores[name] = Store()
        load(stores[name], CAPTURE / file)
    return stores


def test_the_whole_capture_as_spans(forms: dict[str, Store]) -> None:
    assert len(requests(forms["spans"])) == 3065
    assert agreeing(forms["payloads"], forms["spans"]) == []
    costs = {name: row["cost_usd"] for name, row in requests(forms["payloads"]).items()}
    assert {name: row["cost_usd"] for name, row in requests(forms["spans"]).items()} == pytest.approx(costs)
    errors = "select request_id, tool_errors from requests order by all"
    assert forms["spans"].rows(errors) == forms["payloads"].rows(errors)
    # stricter than the payloads: without the headers, which the capture left out, no span counts its attempts
    assert forms["spans"].rows("select count(*) from request_facts where rows_stated is not null") == [(0,)]


def test_the_whole_capture_as_spend_logs_keeps_requests_and_targets_and_loses_labels(forms: dict[str, Store]) -> None:
    payloads, spend = requests(forms["payloads"]), requests(forms["spend"])
    kept = (
        "requested",
        "served",
        "is_fallback",
        "status",
        "conversation_id",
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
    )
    assert payloads.keys() == spend.keys()
    assert [name for name in spend for column in kept if spend[name][column] != payloads[name][column]] == []
    # what is there is right
    labels = [(payloads[name][column], spend[name][column]) for name in spend for column in ("intent", "ticket_id")]
    assert all(found in {None, said} for said, found in labels)
    assert sum(row["intent"] is None for row in spend.values()) == 691
    assert sum(row["ticket_id"] is not None for row in spend.values()) == 347


# ---- recognised


def test_a_file_is_recognised_by_what_some_of_its_lines_hold(tmp_path: Path) -> None:
    def line(*spans: dict[str, Any]) -> str:
        return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}) + "\n"

    other = [line(span("GET /kb", at, at + 1, ids=f"h{at}")) for at in range(5)]
    tools = [
        line(
            span(
                "execute_tool x",
                at,
                at + 1,
                ids=f"t{at}",
                gen_ai__operation__name="execute_tool",
                gen_ai__tool__name="x",
            )
        )
        for at in range(5)
    ]
    for kind, last in {
        "otel_tools": None,
        "otel_genai": chat(50, 90, ids="c"),
        "otel_litellm_v1": span("litellm_request", 50, 90, ids="c", litellm__call_id="1", litellm__model_group="x"),
    }.items():
        file = tmp_path / f"{kind}.ndjson"
        file.write_text("".join([*other, *tools, *([line(last)] if last else [])]))
        assert load(Store(), file).loads[0].source == kind
