"""What a format may say of itself: companions, alternatives, refusals, decoders, zones, what it skips, completeness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from incident_kit.errors import InvalidRows, UnknownFormat, UnreadableFile
from incident_kit.sources import culprits, load, loading
from incident_kit.sources.decoding import decoded, python_repr
from incident_kit.sources.formats import _DESCRIBED, Format, parse_format
from incident_kit.sources.keys import has
from incident_kit.store import Store

AT = "2026-03-02 14:20:05"
CALLS = """-- one row per call
-- parameters: $intent_paths VARCHAR[], $zone VARCHAR
-- columns: attempt_id VARCHAR, request_id VARCHAR, kind VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, intent VARCHAR
-- ---
-- name: test_calls
-- table: attempts
-- detect: [call|Call, "a.b"]
-- {more}
-- labels:
--   intent: [$.topic, $.meta.topic]
-- answers:
--   errors: "yes: it says"
-- ---
select
  line,
  case
    when json_type(record) <> 'OBJECT' then 'no object'
    when record ->> '$.kind' = 'span' then 'not for us: a span'
    when record ->> '$.call' is null then 'no call'
  end as reject,
  record ->> '$.call' as attempt_id, record ->> '$.call' as request_id, 'call' as kind, 'ok' as status, 'a' as target,
  instant(record ->> '$.at', $zone) as sent_at,
  list_filter(json_extract_string(record, $intent_paths), lambda x: x <> '')[1] as intent
from raw
"""
THUMBS = """-- one row per thumb
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, request_id VARCHAR, decision VARCHAR
-- ---
-- name: test_thumbs
-- table: feedback
-- answers:
--   overrides: "yes: thumbs"
-- ---
select
  line, case when record ->> '$.thumb' not in ('up', 'down') then 'thumb is neither up nor down' end as reject,
  record ->> '$.call' as feedback_id, record ->> '$.call' as request_id,
  case record ->> '$.thumb' when 'up' then 'accepted' else 'rejected' end as decision,
  record ->> '$.thumb' = 'down' as overridden
from raw
where record ->> '$.thumb' is not null
"""


def call(number: int, **more: Any) -> dict[str, Any]:
    return {"call": f"c{number}", "a": {"b": 1}, "at": AT, "topic": "refund"} | more


def written(file: Path, *rows: Any) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Format]:
    """Formats beside the kit's own, as if they came with it; a test may change them."""
    made: dict[str, Format] = {}
    ours = loading.formats()
    monkeypatch.setattr(loading, "formats", lambda: (*ours, *made.values()))
    return made


def described(more: str = "one_to_one: false") -> Format:
    return parse_format(CALLS.replace("{more}", more), where="calls.sql", family="gateway")


def thumbs() -> Format:
    return parse_format(THUMBS, where="thumbs.sql", family="feedback")


@pytest.mark.parametrize(
    ("key", "there"),
    [
        ("a", True), ("a.b", True), ("a.c", False), ("x.y", True), ("x.y.z", True), ("x.y.q", False), ("q|a", True),
        ("q|r", False), ("n.0", False), ("s.t", False),
    ],
)  # fmt: skip
def test_a_key_may_hold_dots_or_lead_inwards(key: str, *, there: bool) -> None:
    assert has({"a": {"b": None}, "x.y": {"z": 1}, "n": [1], "s": "t"}, key) is there


def test_texts_tell_formats_with_the_same_keys_apart(tmp_path: Path, known: dict[str, Format]) -> None:
    known["one"] = described("contains: [green]")
    known["two"] = parse_format(
        CALLS.replace("{more}", "lacks: [green]").replace("test_calls", "others"), where="x", family="gateway"
    )
    for text, name in (("green", "test_calls"), ("blue", "others")):
        store = Store()
        file = written(tmp_path / "log.ndjson", call(1, deep=[{"colour": text}]))
        assert load(store, file, zone="UTC").loads[0].source == name


@pytest.mark.parametrize("alternative", ["call", "Call"])
def test_alternatives_are_as_good_as_one_another(tmp_path: Path, known: dict[str, Format], alternative: str) -> None:
    known["one"] = described()
    row = {alternative: "c1", "a": {"b": 1}, "at": AT}
    file = written(tmp_path / "log.ndjson", row, call(2))
    assert load(Store(), file, zone="UTC").loads[0].source == "test_calls"


def test_a_companion_reads_the_same_file_into_another_table(tmp_path: Path, known: dict[str, Format]) -> None:
    known["one"], known["two"] = described("companions: [test_thumbs]"), thumbs()
    file = written(
        tmp_path / "log.ndjson", call(1, thumb="up"), call(2), call(3, thumb="sideways"), call(4, thumb="down")
    )
    with file.open("a") as more:
        more.write("no JSON\n")
    store = Store()
    report = load(store, file, zone="UTC")
    counted = [(one.source, one.rows_read, one.rows_loaded, one.rows_rejected) for one in report.loads]
    assert counted == [("test_calls", 5, 4, 1), ("test_thumbs", 3, 2, 1)]
    assert store.rows("select request_id, overridden from feedback order by 1") == [("c1", False), ("c4", True)]
    assert report.answers["overrides"].answer == "lower bound"
    assert min(report.rejects.select("line", "reason").iter_rows()) == (3, "thumb is neither up nor down")
    again = load(store, file, zone="UTC")
    assert [(one.source, one.rows_read, one.rows_duplicate) for one in again.loads] == [
        ("test_calls", 5, 5), ("test_thumbs", 3, 3),
    ]  # fmt: skip


def test_a_companion_with_nothing_to_say_says_nothing(tmp_path: Path, known: dict[str, Format]) -> None:
    known["one"], known["two"] = described("companions: [test_thumbs]"), thumbs()
    report = load(Store(), written(tmp_path / "log.ndjson", call(1)), zone="UTC")
    assert [one.source for one in report.loads] == ["test_calls"]


def test_a_file_that_only_the_companion_can_use_is_loaded(tmp_path: Path, known: dict[str, Format]) -> None:
    known["one"], known["two"] = described("companions: [test_thumbs]"), thumbs()
    store = Store()
    report = load(store, written(tmp_path / "log.ndjson", call(1, kind="span", thumb="up")), zone="UTC")
    assert [(one.source, one.rows_loaded) for one in report.loads] == [("test_calls", 0), ("test_thumbs", 1)]
    again = load(store, tmp_path / "log.ndjson", zone="UTC")
    assert [(one.source, one.rows_duplicate) for one in again.loads] == [("test_calls", 1), ("test_thumbs", 1)]
    useless = written(tmp_path / "none.ndjson", call(1, kind="span", thumb="sideways"))
    with pytest.raises(InvalidRows, match="as test_calls or test_thumbs: 1 x not for us: a span; 1 x thumb is neither"):
        load(Store(), useless, zone="UTC")


def test_a_file_with_a_key_that_is_refused_is_refused_in_one_sentence(tmp_path: Path, known: dict[str, Format]) -> None:
    known["one"] = described('refuse: {"secret.box": "its fields are encrypted"}')
    file = written(tmp_path / "log.ndjson", call(1), call(2, secret={"box": "x"}))
    store = Store()
    with pytest.raises(InvalidRows, match="cannot be used as test_calls: its fields are encrypted"):
        load(store, file, zone="UTC")
    assert store.rows("select count(*) from loads") == [(0,)]


def test_a_decoder_opens_what_python_wrote(tmp_path: Path, known: dict[str, Format]) -> None:
    known["one"] = described("decode: python_repr")
    rows = [call(1, topic=None, meta="{'topic': 'tax', 'n': None, 'ok': True}"), call(2, meta="{'topic': "), "text", 3]
    file = written(tmp_path / "log.ndjson", *rows)
    store = Store()
    report = load(store, file, zone="UTC")
    assert store.rows("select request_id, intent from requests order by 1") == [("c1", "tax"), ("c2", "refund")]
    assert [(row["line"], row["reason"]) for row in report.rejects.iter_rows(named=True)] == [
        (3, "no object"), (4, "no object"),
    ]  # fmt: skip


def test_a_decoder_that_is_not_there(tmp_path: Path, known: dict[str, Format]) -> None:
    known["one"] = described("decode: python_reprs")
    with pytest.raises(UnknownFormat, match=r"no decoder 'python_reprs' \(did you mean 'python_repr'\?\)"):
        load(Store(), written(tmp_path / "log.ndjson", call(1)), zone="UTC")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': 1}", {"a": 1}),
        ("['x', None, (1, 2)]", ["x", None, [1, 2]]),
        ("{'a': {3, 1}, 2: b'x'}", {"a": [1, 3], "2": "b'x'"}),
        ('{"a": 1}', '{"a": 1}'),  # JSON in a text stays one
        ("{'a': '\\d'}", {"a": "\\d"}),
        ("{'a': 1e999}", {"a": "inf"}),
        ("{'a': __import__('os')}", "{'a': __import__('os')}"),
        ("{'a': 1", "{'a': 1"),
        ("['" + "x" * 300_000 + "']", "['" + "x" * 300_000 + "']"),
        ("[" * 5000 + "'x'" + "]" * 5000, "[" * 5000 + "'x'" + "]" * 5000),
        ("plain", "plain"),
    ],
)
def test_python_values_are_read_and_nothing_is_run(text: str, value: Any) -> None:
    assert python_repr({"deep": [{"stringValue": text}]}) == {"deep": [{"stringValue": value}]}


def test_half_a_surrogate_pair_out_of_a_decoder_does_no_harm() -> None:
    assert decoded(json.dumps({"a": "['\\ud800']"}), python_repr) == '{"a": ["?"]}'
    assert decoded("[" * 100_000, python_repr) == "[" * 100_000


def test_a_zone_that_the_source_is_known_to_write_is_not_asked_for(tmp_path: Path, known: dict[str, Format]) -> None:
    file = written(tmp_path / "log.ndjson", call(1))
    known["one"] = described("zone: Europe/Berlin")
    store = Store()
    load(store, file)
    assert store.frame("select arrived_at from requests").item().isoformat() == "2026-03-02T13:20:05+00:00"
    store = Store()
    load(store, file, zone="UTC")  # the user knows better
    assert store.frame("select arrived_at from requests").item().isoformat() == "2026-03-02T14:20:05+00:00"


def test_rows_for_another_are_counted_and_bad_lines_among_them_found(tmp_path: Path, known: dict[str, Format]) -> None:
    known["one"] = described('skips: "spans"')
    file = written(tmp_path / "log.ndjson", call(1, kind="span"), call(2))
    with file.open("a") as more:
        more.write("{\n")
    report = load(Store(), file, zone="UTC")
    (done,) = report.loads
    assert (done.rows_read, done.rows_loaded, done.rows_rejected) == (3, 1, 2)
    assert any(reason.startswith("not JSON") for reason in done.reasons)


@pytest.mark.parametrize(("more", "complete"), [("complete: true", True), ("complete: false", False)])
def test_a_format_may_know_that_every_attempt_is_there(
    tmp_path: Path, known: dict[str, Format], more: str, *, complete: bool
) -> None:
    known["one"] = described(more)
    store = Store()
    load(store, written(tmp_path / "log.ndjson", call(1)), zone="UTC")
    assert store.rows("select attempts_complete from requests") == [(complete,)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("companion: [x]", r"no word 'companion' \(did you mean 'companions'\?\)"),
        ("hints: {tool: x}", r"no question 'tool' \(did you mean 'tools'\?\)"),
        ("tags: {topic: x}", "no label 'topic'"),
    ],
)
def test_a_word_that_is_none_is_said(more: str, said: str) -> None:
    with pytest.raises(UnknownFormat, match=said):
        described(more)


# ---- one record never costs its file


FALLIBLE = CALLS.replace("'a' as target", "'a' as target, (record ->> '$.tokens')::bigint as prompt_tokens").replace(
    "{more}", "one_to_one: true"
)


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("form", ["lines", "array"])
def test_a_record_on_which_the_statement_fails_is_rejected_alone(
    tmp_path: Path, known: dict[str, Format], form: str, *, trusted: bool
) -> None:
    rows = [call(number, tokens=str(number)) for number in range(1, 60)]
    rows[6] |= {"tokens": "SECRET many"}
    rows[40] |= {"tokens": "9" * 30}
    file = tmp_path / "log.json"
    file.write_text(json.dumps(rows) if form == "array" else "".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.sql").write_text(FALLIBLE)
    known["one"] = parse_format(FALLIBLE, where="x", family="gateway")
    store = Store()
    report = load(store, file, source="test_calls" if trusted else str(tmp_path / "mine.sql"), zone="UTC")
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (59, 57, 2)
    assert [row["line"] for row in report.rejects.iter_rows(named=True)] == [7, 41]
    assert "SECRET" not in str(report)
    assert store.rows("select sum(prompt_tokens) from attempts") == [(sum(range(1, 60)) - 7 - 41,)]
    assert store.rows("select table_name from duckdb_tables() where temporary") == []


def test_a_statement_that_fails_on_too_many_records_is_refused(
    tmp_path: Path, known: dict[str, Format], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(culprits, "MOST", 3)
    known["one"] = parse_format(FALLIBLE, where="x", family="gateway")
    file = written(tmp_path / "log.ndjson", *(call(number, tokens="many") for number in range(9)))
    store = Store()
    with pytest.raises(UnreadableFile, match="more than 3 records"):
        load(store, file, zone="UTC")
    assert store.rows("select table_name from duckdb_tables() where temporary") == []


def test_every_word_of_a_description_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    assert {word for word in _DESCRIBED if f"`{word}`" not in page} == set()
