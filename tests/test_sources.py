from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from incident_kit.errors import IncidentKitError, InvalidRows, UnknownFormat, UnreadableFile
from incident_kit.incident import Incident
from incident_kit.sources import formats, load
from incident_kit.sources.formats import LABELS, QUESTIONS, parse_format
from incident_kit.store import Store

DATA = Path(__file__).parent / "data"
TABLES = ("loads", "rejects", "answers", "attempts", "request_facts", "requests", "feedback", "tickets", "sla")


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": f"r{number}",
        "arrived_at": f"2026-03-02T14:20:{number % 60:02}Z",
        "wait_ms": number,
    } | changes


def ndjson(*rows: Any) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in rows).encode()


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


@pytest.fixture
def store() -> Store:
    return Store()


def counts(store: Store) -> list[int]:
    return [store.rows(f"select count(*) from {table}")[0][0] for table in TABLES]  # noqa: S608 - our tables


# ---- what can be read, whatever its name


ROWS = [row(1), row(2, intent='a,"b"\nc\''), row(3)]


def in_form(form: str) -> bytes:
    packed = {
        "gzip": gzip.compress,
        "zstd": zstd,
        "two gzip members": lambda text: gzip.compress(text[:90]) + gzip.compress(text[90:]),
    }
    if form in packed:
        return packed[form](ndjson(*ROWS))
    if form.startswith("csv"):
        mark = {"csv ,": ",", "csv ;": ";", "csv tab": "\t"}[form]
        text = mark.join(("request_id", "arrived_at", "wait_ms", "intent")) + "\n"
        text += f"r1{mark}2026-03-02T14:20:01Z{mark}1{mark}\nr2{mark}2026-03-02T14:20:02Z{mark}2"
        return (text + f'{mark}"a,""b""\nc\'"\nr3{mark}2026-03-02T14:20:03Z{mark}3{mark}\n').encode()
    return {
        "ndjson": ndjson(*ROWS),
        "ndjson without a last newline": ndjson(*ROWS).rstrip(),
        "ndjson with blank lines and CRLF": b"\r\n" + ndjson(*ROWS).replace(b"\n", b"\r\n\r\n"),
        "ndjson with a BOM": b"\xef\xbb\xbf" + ndjson(*ROWS),
        "array": json.dumps(ROWS).encode(),
        "indented array": json.dumps(ROWS, indent=2).encode(),
        "page": json.dumps({"count": 3, "next": None, "rows": ROWS}).encode(),
        "indented page": json.dumps({"count": 3, "rows": ROWS}, indent=1).encode(),
        "pages as lines": ndjson({"rows": ROWS[:2]}, {"rows": ROWS[2:]}),
        "lists as lines": ndjson(ROWS[:2], ROWS[2:]),
    }[form]  # fmt: skip


@pytest.mark.parametrize(
    "form",
    [
        "ndjson", "ndjson without a last newline", "ndjson with blank lines and CRLF", "ndjson with a BOM", "array",
        "indented array", "page", "indented page", "pages as lines", "lists as lines", "csv ,", "csv ;", "csv tab", "gzip",
        "zstd", "two gzip members",
    ],
)  # fmt: skip
def test_every_form_gives_the_same_rows(store: Store, tmp_path: Path, form: str) -> None:
    file = tmp_path / "misleading.txt"
    file.write_bytes(in_form(form))
    report = load(store, file)
    assert (report.rows_read, report.rows_loaded) == (3, 3)
    found = store.rows("select request_id, wait_ms, intent from requests order by request_id")
    assert found == [("r1", 1, None), ("r2", 2, 'a,"b"\nc\''), ("r3", 3, None)]


@pytest.mark.parametrize("name", ["a b.json", "what's [1].json", "every*.json", "ünï.json"])
def test_odd_file_names(store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / "every-other.json").write_bytes(ndjson(row(9)))
    file = tmp_path / name
    file.write_bytes(ndjson(row(1)))
    report = load(store, file)
    assert report.loads[0].path == str(file)
    assert store.rows("select request_id from requests") == [("r1",)]


def test_globs_and_lists_of_files(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"log-{number}.ndjson").write_bytes(ndjson(row(number)))
    said: list[str] = []
    report = load(store, str(tmp_path / "log-*.ndjson"), progress=said.append)
    assert [item.rows_loaded for item in report.loads] == [1, 1, 1]
    assert "3 files, 3 rows: 3 loaded, 0 duplicate, 0 rejected" in str(report)
    assert any("2 of 3" in text for text in said)
    again = load(store, [tmp_path / "log-0.ndjson", str(tmp_path / "log-[12].ndjson")])
    assert (again.rows_read, again.rows_duplicate) == (3, 3)
    assert "already loaded" in str(again)


def test_a_long_line_is_read(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "long.ndjson"
    file.write_bytes(ndjson(row(1), row(2, intent="x" * 40_000_000)))
    assert load(store, file).rows_loaded == 2


# ---- bad lines are counted, with their numbers


def test_bad_lines_are_rejects_with_their_numbers(store: Store, tmp_path: Path) -> None:
    good = [ndjson(row(number)) for number in range(4)]
    bad = [
        b"[INFO] started\n",
        b'{"request_id": "\xff"}\n',
        b'{"request_id": "\\ud800"}\n',
        b'{"request_id": "r9", "arr',
    ]
    file = tmp_path / "log.ndjson"
    file.write_bytes(bad[0] + good[0] + b"\n" + good[1] + bad[1] + good[2] + bad[2] + good[3] + bad[3])
    report = load(store, file)
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (8, 4, 4)
    reasons = dict(report.rejects.select("line", "reason").iter_rows())
    assert sorted(reasons) == [1, 5, 7, 9]
    assert all(text.startswith("not JSON") for line, text in reasons.items() if line != 5)
    assert reasons[5] == "not UTF-8 text (byte 17)"
    assert report.rejects["record"].to_list() == [None] * 4, "a broken line may hold anything"


def test_bad_values_are_on_their_own_lines(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    file.write_bytes(b"\n" + ndjson(row(1)) + b"\n\n" + ndjson(row(2, wait_ms="soon")) + ndjson({"request_id": None}))
    report = load(store, file)
    assert report.rejects.select("line", "reason").rows() == [
        (5, "wait_ms: 'soon' is not a number"),
        (6, "no request_id"),
    ]


def test_bad_csv_rows_are_rejects_with_their_numbers(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_bytes(
        b"request_id,arrived_at,wait_ms\r\nr1,2026-03-02T14:20:05Z,1\nr2,2026-03-02T14:20:05Z\nr3,2026-03-02T14:20:05Z,3,4\n"
        b"\xff,2026-03-02T14:20:05Z,5\nr6,2026-03-02T14:20:05Z,6\nr7,2026-03-02T14:20:05Z,x\n"
    )
    report = load(store, file)
    assert report.rejects.select("line", "reason").rows() == [
        (3, "2 fields where the header has 3"),
        (4, "4 fields where the header has 3"),
        (5, "not UTF-8 text"),
        (7, "wait_ms: 'x' is not a number"),
    ]
    assert store.rows("select request_id from requests order by 1") == [("r1",), ("r6",)]


def test_a_quote_that_never_ends_rejects_the_rest(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text('request_id,arrived_at\nr1,2026-03-02T14:20:05Z\n"r2,2026-03-02T14:20:05Z\nr3,x\n')
    report = load(store, file)
    assert (report.rows_loaded, report.rows_rejected) == (1, 1)
    assert "not CSV" in report.rejects["reason"][0]


# ---- what cannot be read is a clear error, and nothing is loaded


def test_nothing_is_loaded_from_what_cannot_be_read(store: Store, tmp_path: Path) -> None:
    good = tmp_path / "good.ndjson"
    good.write_bytes(ndjson(row(1)))
    # long enough that the damage lies far behind the first lines
    content = ndjson(*(row(number, intent=os.urandom(300).hex()) for number in range(2000)))
    table = b"request_id,arrived_at,intent\n"
    table += b"".join(b"r%d,2026-03-02T14:20:05Z,%s\n" % (n, os.urandom(9000).hex().encode()) for n in range(100))
    cases: dict[str, tuple[bytes, type[IncidentKitError], str]] = {
        "empty": (b"", UnreadableFile, "is empty"),
        "blank": (b" \n\n", UnreadableFile, "is empty"),
        "empty gzip": (gzip.compress(b""), UnreadableFile, "is empty once unpacked"),
        "truncated gzip": (gzip.compress(content)[:-2000], UnreadableFile, "cut short or damaged"),
        "gzip without its end": (gzip.compress(content)[:-8], UnreadableFile, "cut short or damaged"),
        "truncated zstd": (zstd(content)[:-2000], UnreadableFile, "cut short or damaged"),
        # the last row is cut inside its last column: nothing but the stream's end tells
        "truncated zstd of CSV": (zstd(table)[:-2000], UnreadableFile, "cut short or damaged"),
        "binary": (os.urandom(64) + b"\0" * 64, UnreadableFile, "binary file"),
        "utf-16": ('{"request_id": "r1"}'.encode("utf-16"), UnreadableFile, "UTF-16"),
        "zip": (b"PK\x03\x04" + b"x" * 100, UnreadableFile, "zip archive"),
        "cut parquet": (b"PAR1" + b"x" * 100, UnreadableFile, "cannot be read as Parquet"),
        "cut array": (json.dumps([row(1), row(2)]).encode()[:-30], UnreadableFile, "JSON"),
        "empty array": (b"[]", UnreadableFile, "holds no records"),
        "prose": (b"dear all,\nthe provider is down\n", UnknownFormat, "in no known format"),
        "a word": (b"hello\n", UnreadableFile, "neither NDJSON, JSON, CSV nor Parquet"),
        "other keys": (ndjson({"ts": 1, "request_idd": "x"}), UnknownFormat, "did you mean 'request_id'"),
        "only bad rows": (ndjson(row(1, arrived_at="noon"), row(2, wait_ms=-1)), InvalidRows, "no row of"),
    }
    before = counts(store)
    for name, (bad, error, said) in cases.items():
        file = tmp_path / f"{name}.log"
        file.write_bytes(bad)
        with pytest.raises(error, match=said) as caught:
            load(store, [good, file])
        assert str(file) in str(caught.value), name
        assert counts(store) == before, name


def test_paths_that_are_no_files(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="is a directory"):
        load(store, tmp_path)
    with pytest.raises(UnreadableFile, match="does not exist"):
        load(store, tmp_path / "none.ndjson")
    with pytest.raises(UnreadableFile, match="no file matches"):
        load(store, str(tmp_path / "*.ndjson"))


def test_an_interrupt_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.ndjson").write_bytes(ndjson(row(number)))

    def interrupt(text: str) -> None:
        if text.startswith("loading") and "1.ndjson" in text:
            raise KeyboardInterrupt

    before = counts(store)
    with pytest.raises(KeyboardInterrupt):
        load(store, str(tmp_path / "*.ndjson"), progress=interrupt)
    assert counts(store) == before
    assert store.rows("select table_name from duckdb_tables() where temporary") == []
    assert load(store, str(tmp_path / "*.ndjson")).rows_loaded == 2


# ---- formats


def test_formats_describe_themselves() -> None:
    known = formats()
    assert {"canonical", "litellm_standard", "litellm_spend", "overrides", "zendesk_events"} <= {
        item.name for item in known
    }
    companions = {name for item in known for name in item.companions}
    for item in known:
        assert item.title
        assert item.name in companions or item.detect
        assert set(item.labels) | set(item.tags) <= set(LABELS)
        assert set(item.answers) <= set(QUESTIONS)


def test_an_unknown_source_suggests_one(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    file.write_bytes(ndjson(row(1)))
    with pytest.raises(UnknownFormat, match=r"no source 'litelm_spend' \(did you mean 'litellm_spend'\?\)"):
        load(store, file, source="litelm_spend")


def test_a_named_source_that_does_not_fit_rejects_every_row(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    file.write_bytes(ndjson(row(1), row(2)))
    with pytest.raises(InvalidRows, match="2 x no litellm_call_id"):
        load(store, file, source="litellm_standard")


def test_the_most_specific_format_wins_and_a_tie_is_asked_back(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    both = {"ticket_id": "1", "metric": "m", "instance_no": 1, "at": "2026-03-02T14:20:05Z", "type": "start", "seq": 1}
    file.write_bytes(ndjson(both))
    load(store, file)
    assert store.rows("select count(*) from sla_events") == [(1,)]
    file.write_bytes(
        ndjson(
            {"ticket_id": "1", "created_at": "2026-03-02T14:20:05Z", "name": "x", "known_at": "2026-03-02T14:20:05Z"}
        )
    )
    with pytest.raises(UnknownFormat, match=r"could be canonical \(tickets\) or canonical \(signals\)"):
        load(store, file)


MINE = """-- one row per call of our own proxy
-- parameters: $intent_paths VARCHAR[], $zone VARCHAR
-- columns: attempt_id VARCHAR, request_id VARCHAR, kind VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, intent VARCHAR
-- ---
-- name: our_proxy
-- table: attempts
-- labels:
--   intent: [$.topic]
-- answers:
--   errors: "yes: it says"
-- ---
select
  record ->> '$.call' as attempt_id, record ->> '$.call' as request_id, 'call' as kind, 'ok' as status, 'a' as target,
  instant(record ->> '$.at', $zone) as sent_at,
  json_extract_string(record, $intent_paths)[1] as intent
from raw
"""


def test_a_format_file_of_the_users(store: Store, tmp_path: Path) -> None:
    mine, file = tmp_path / "mine.sql", tmp_path / "log.ndjson"
    mine.write_text(MINE)
    file.write_bytes(ndjson({"call": "c1", "at": "2026-03-02 14:20:05", "topic": "refund"}))
    report = load(store, file, source=str(mine), zone="UTC")
    assert report.loads[0].source == "our_proxy"
    assert store.rows("select request_id, intent, requested, status from requests") == [("c1", "refund", "a", "ok")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("-- ---", "", "has no description"),
        ("-- table: attempts", "-- tabel: attempts", "at least 'name' and 'table'"),
        ('"yes: it says"', "certainly", "an answer reads"),
        ("errors:", "erors:", r"no question 'erors' \(did you mean 'errors'"),
        ("as kind", "as kin", r"gives a column 'kin' \(did you mean 'kind'"),
        ("from raw", "from row", "cannot be run"),
        ("from raw", "from raw where", "cannot be run"),
        ("[$.topic]", "[$.topic", "is not YAML"),
    ],
)
def test_what_is_wrong_with_a_format_file_is_said(store: Store, tmp_path: Path, old: str, new: str, said: str) -> None:
    mine, file = tmp_path / "mine.sql", tmp_path / "log.ndjson"
    mine.write_text(MINE.replace(old, new))
    file.write_bytes(ndjson({"call": "c1", "at": "2026-03-02 14:20:05", "topic": "refund"}))
    with pytest.raises(UnknownFormat, match=said):
        load(store, file, source=str(mine), zone="UTC")
    assert counts(store) == [0] * len(TABLES)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": {"topic": ["$.a"]}}, "no label 'topic'"),
        ({"labels": {"intent": "$.a"}}, "must be a list of JSON paths"),
        ({"labels": {"intent": ["a"]}}, "must be a list of JSON paths"),
        ({"tags": {"intent": "^intent:"}}, "pattern with one group"),
        ({"tags": {"intent": "("}}, "pattern with one group"),
    ],
)
def test_wrong_labels_are_said(options: dict[str, Any], said: str) -> None:
    mine = parse_format(MINE, where="mine.sql")
    with pytest.raises(UnknownFormat, match=said):
        mine.relabelled(**{"labels": None, "tags": None} | options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": {"intent": ["$.a["]}}, r"labels\['intent'\].*JSON path error"),
        ({"labels": {"intent": ["$.a[*]", "$.b"]}}, r"labels\['intent'\].*wildcards"),
        ({"tags": {"intent": "^(?!x)(.+)$"}}, r"tags\['intent'\].*invalid perl operator"),
    ],
)
def test_labels_that_the_database_cannot_run_are_said(store: Store, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UnknownFormat, match=said):
        load(store, DATA / "litellm.ndjson", **options)


def test_a_wide_field_and_a_long_list(store: Store, tmp_path: Path) -> None:
    table = tmp_path / "wide.csv"
    table.write_text("request_id,arrived_at,intent\nr1,2026-03-02T14:20:05Z," + "x" * 200_000 + "\n")
    load(store, table)
    page = tmp_path / "long.json"
    page.write_text(json.dumps([row(number, intent="y" * 1000) for number in range(2, 3000)]))
    load(store, page)
    assert store.rows("select count(*), max(length(intent)) from requests") == [(2999, 200_000)]


def test_a_killed_load_leaves_a_file_that_opens_without_any_of_it(tmp_path: Path) -> None:
    path = tmp_path / "case.duckdb"
    (tmp_path / "a.ndjson").write_bytes(ndjson(row(1)))
    (tmp_path / "b.ndjson").write_bytes(ndjson(row(2)))
    program = f"""
import os, signal
from incident_kit.sources import load
from incident_kit.store import Store
def killed(text):
    if text.startswith("loading") and "b.ndjson" in text:
        os.kill(os.getpid(), signal.SIGKILL)
load(Store({str(path)!r}), {str(tmp_path / "*.ndjson")!r}, progress=killed)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    with Store(path) as store:
        assert counts(store) == [0] * len(TABLES)


def test_json_that_postgres_copied_as_text_is_read(tmp_path: Path) -> None:
    plain = (tmp_path / "plain.ndjson", tmp_path / "copied.ndjson")
    rows = [
        {"request_id": f"r{number}", "arrived_at": "2026-03-02T10:00:00Z", "intent": 'a "b" \\ c'} for number in (1, 2)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    plain[0].write_text(text)
    plain[1].write_text(text.replace("\\", "\\\\"))
    loaded = [Incident.create() for _ in plain]
    for incident, file in zip(loaded, plain, strict=True):
        assert incident.load(file).loads[0].rows_loaded == 2
    assert loaded[0].requests().equals(loaded[1].requests())
