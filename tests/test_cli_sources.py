"""The verbs about files: the list of formats, the dry run, and a format of one's own from a sample."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from incident_kit.commandline import cli, verbs
from incident_kit.errors import IncidentKitError, UnknownFormat, UnreadableFile
from incident_kit.sources import formats, load
from incident_kit.sources.guesses import NAMES, guesses
from incident_kit.sources.laws import trial
from incident_kit.sources.leaves import instant, leaves, number
from incident_kit.sources.preview import previews
from incident_kit.sources.scaffold import scaffold
from incident_kit.store import Store

DATA = Path(__file__).parent / "data"
Run = Callable[..., tuple[int, str, str]]
CALLS: list[dict[str, Any]] = [
    {
        "ts": f"2026-03-02T10:00:0{number}Z", "callId": f"c-{number}", "meta": {"topic": topic, "ticket": {"id": 80 + number}},
        "llm": {"model_name": "big-1", "vendor": "acme", "tokens_in": 100 + number, "tokens_out": 20}, "took_s": took,
        "http_status": code, "cost": 0.002,
    }
    for number, (topic, took, code) in enumerate([("refund", 1.25, 200), ("tax", 30.0, 504), ("tax", 0.4, 200)])
]  # fmt: skip


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.setenv("COLUMNS", "200")
    for console in (verbs.out, verbs.err):  # one made under COLUMNS=80, as pytest-xdist sets it, keeps to that
        monkeypatch.setattr(console, "_width", 200)
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["incident-kit", *map(str, words)])
        capsys.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return int(code or 0) if not isinstance(code, str) else 1, said.out, said.err

    return run


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    file = tmp_path / "sample.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in CALLS))
    return file


# ---- the list


def test_every_format_is_listed_with_what_it_answers(run: Run) -> None:
    code, out, _ = run("sources")
    assert code == 0
    for one in formats():
        assert one.name in out
    (line,) = (line for line in out.splitlines() if line.startswith("litellm_standard"))
    assert "~waits, ~errors, tools, fidelity" in line
    assert out.index("Gateways") < out.index("litellm_standard") < out.index("Help desks") < out.index("zendesk_events")


# ---- the dry run


def test_a_dry_run_says_where_each_column_comes_from_and_keeps_nothing(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("load", "--dry-run", DATA / "litellm.ndjson")
    assert code == 0
    said = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "$.litellm_call_id" in said["request_id"]
    assert "call-1 | call-2 | call-3" in said["request_id"]
    assert "$.startTime" in said["sent_at"]
    assert "(worked out)" in said["kind"]
    assert "2026-" in said["sent_at"]
    assert re.search(r"\d\d:\d\d:\d\d\.\d{6}Z", out), "a time is shown whole"
    assert "8 rows read, 8 loaded" in out
    assert "what this log can answer" in out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_counts_rejects_by_reason_with_their_first_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "o.csv"
    file.write_text((DATA / "overrides.csv").read_text() + "cut,off\n")
    code, out, _ = run("load", "--dry-run", file)
    assert code == 0
    assert "1 rejected: decided_at is before shown_at (first in line 7)" in out
    assert "fields where the header has" in out


def test_a_dry_run_of_what_cannot_be_loaded_shows_why_and_fails(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "o.csv"
    file.write_text("suggestion_id,decision,decided_at\ns,maybe,2026-03-02T10:00:00Z\n")
    code, out, err = run("load", "--dry-run", file)
    assert code == 2
    assert "1 rejected: decision: 'maybe'" in out
    assert "no row of" in err
    code, _, err = run("load", "--dry-run", tmp_path / "none.csv")
    assert (code, "does not exist" in err) == (2, True)


def test_what_a_dry_run_shows_of_hostile_text_does_nothing_to_a_terminal(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "o.ndjson"
    row = {"suggestion_id": "\x1b]0;x\x07[red]a[/red]", "decision": "\x1b[2J", "decided_at": "2026-03-02T10:00:00Z"}
    file.write_text(json.dumps(row) + "\n" + json.dumps(row | {"decision": "accepted"}) + "\n")
    code, out, _ = run("load", "--dry-run", file)
    assert code == 0
    assert "\x1b[2J" not in out
    assert "\x07" not in out
    assert "[red]a[/red]" in out


def test_a_file_that_feeds_two_tables_is_one_file(run: Run) -> None:
    code, out, _ = run("load", "--dry-run", DATA / "formats" / "cloudflare.ndjson")
    assert (code, "1 file, 11 rows: 10 loaded" in out, "2 files" in out) == (0, True, False)


def test_a_preview_of_each_format_that_reads_a_file() -> None:
    found = previews(DATA / "formats" / "cloudflare.ndjson")
    assert [(one.source, one.table, one.rows > 0) for one in found] == [
        ("cloudflare", "attempts", True), ("cloudflare_feedback", "feedback", True),
    ]  # fmt: skip
    paths = {column.column: column.path for column in found[0].columns}
    assert paths["attempt_id"] == "$.id"
    assert paths["latency_ms"] == "$.duration"
    assert paths["intent"] == "$.metadata (a text), $.intent"
    assert paths["kind"] == ""


# ---- a format of one's own


def test_a_format_is_drafted_from_a_sample_and_keeps_the_laws(run: Run, sample: Path) -> None:
    code, out, _ = run("source", "new", "our_proxy", "--from", sample)
    assert code == 0
    assert "latency_ms <- $.took_s (its name says s)" in out
    code, out, _ = run("source", "test", "our_proxy.sql", sample)
    assert code == 0
    assert out.count("held") == 5
    assert "intents:   yes" in out
    store = Store()
    load(store, sample, source="our_proxy.sql")
    rows = store.rows(
        "select request_id, intent, ticket_id, served, status, error_class, wait_ms, prompt_tokens from requests order by 1"
    )
    assert rows == [
        ("c-0", "refund", "80", "big-1", "ok", None, 1250, 100),
        ("c-1", "tax", "81", None, "timeout", "504", 30000, 101),
        ("c-2", "tax", "82", "big-1", "ok", None, 400, 102),
    ]
    code, _, err = run("source", "new", "our_proxy", "--from", sample)
    assert (code, "exists" in err) == (2, True)


def test_a_broken_law_is_exit_code_one(run: Run, sample: Path, tmp_path: Path) -> None:
    run("source", "new", "our_proxy", "--from", sample)
    file = tmp_path / "our_proxy.sql"
    file.write_text(file.read_text() + "where v is not null or true\n")
    assert run("source", "test", file, sample)[0] == 2  # wrong SQL is an error
    file.write_text(file.read_text().replace("where v is not null or true", 'where "sent_at" is not null'))
    code, out, _ = run("source", "test", file, sample)
    assert code == 1
    assert "BROKEN" in out


def test_what_the_sample_does_not_show_is_said_and_every_row_rejected(run: Run, tmp_path: Path) -> None:
    sample = tmp_path / "s.ndjson"
    sample.write_text('{"call": "a", "model": "m"}\n')
    code, out, _ = run("source", "new", "mine", "--from", sample)
    assert code == 0
    assert "sent_at: NOT FOUND" in out
    assert "$.SAY_WHERE" in (tmp_path / "mine.sql").read_text()
    code, _, err = run("source", "test", "mine.sql", sample)
    assert code == 2
    assert "1 x no sent_at" in err


@pytest.mark.parametrize(
    ("name", "table", "said"),
    [
        ("Our Proxy", "attempts", "cannot be a format's name"),
        ("../x", "attempts", "cannot be a format's name"),
        ("litellm_spend", "attempts", "already"),
        ("mine", "attempt", r"did you mean 'attempts'"),
    ],
)
def test_names_that_cannot_be(sample: Path, name: str, table: str, said: str) -> None:
    with pytest.raises(UnknownFormat, match=said):
        scaffold(name, sample, table=table)


def test_a_sample_without_records(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text("[]")
    with pytest.raises(UnreadableFile, match="holds no records"):
        scaffold("mine", file)


def test_a_hostile_samples_keys_stay_out_of_the_draft(tmp_path: Path) -> None:
    sample = tmp_path / "s.ndjson"
    bad = {
        "id'; drop table x; --": "a", 'a"b': "b", "line\nbreak": "c", "\x1b[2J": "d", "]]": 1, "id": "x\n-- name: evil",
        "time": "2026-03-02T10:00:00Z", "x y'": {"model": "m"}, "status": "ok",
    }  # fmt: skip
    sample.write_text(json.dumps(bad) + "\n")
    text = scaffold("mine", sample).text
    assert "drop" not in text
    assert "\x1b" not in text
    assert "\n-- name: evil" not in text
    (tmp_path / "mine.sql").write_text(text)
    assert trial(sample, source=str(tmp_path / "mine.sql")).held


@pytest.mark.parametrize("table", ["requests", "feedback", "tickets", "signals", "ticket_events"])
def test_a_draft_for_another_table(tmp_path: Path, table: str) -> None:
    sample = tmp_path / "s.csv"
    at = "2026-03-02T10:00:00Z"
    rows = [
        {
            "request_id": f"r{number}", "suggestion_id": f"s{number}", "ticket_id": f"t{number}", "arrived_at": at,
            "created_at": at, "decided_at": at, "decision": "Accepted", "at": at, "known_at": at, "type": "reopen",
            "name": "quality", "value": "0.5", "duration": "1200",
        }
        for number in range(3)
    ]  # fmt: skip
    with sample.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    made = scaffold("mine", sample, table=table)
    assert made.missing == ()
    (tmp_path / "mine.sql").write_text(made.text)
    tried = trial(sample, source=str(tmp_path / "mine.sql"))
    assert tried.held, tried.laws
    store = Store()
    assert load(store, sample, source=str(tmp_path / "mine.sql")).rows_rejected == 0


def test_a_drafts_columns_are_columns_of_tables() -> None:
    with Store() as store:
        known = {name for (name,) in store.rows("select column_name from duckdb_columns()")}
    assert set(NAMES) <= known


# ---- guesses and leaves


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ({"latencyMs": 12}, 1),
        ({"latency": 0.25}, 1000),
        ({"latency": 250}, 1),
        ({"duration_us": 5}, 1e-3),
        ({"tookSeconds": 3}, 1000),
    ],
)
def test_the_unit_of_a_duration(values: dict[str, float], scale: float) -> None:
    (guess,) = guesses([values], ["latency_ms"]).values()
    assert guess.scale == scale


def test_the_likeliest_name_wins_and_the_values_must_fit() -> None:
    records = [{"id": "x", "request_id": "y", "created": "soon", "timestamp": 1772445600123, "model": {"a": 1}}]
    found = guesses(records, ["request_id", "sent_at", "model", "cost_usd"])
    assert {column: guess.path for column, guess in found.items()} == {
        "request_id": "$.request_id",
        "sent_at": "$.timestamp",
    }


TEN = datetime(2026, 3, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2026-03-02T10:00:00Z", TEN), ("2026-03-02 11:00:00+01:00", TEN), ("2026-03-02 10:00", TEN), (1772445600, TEN),
        ("1772445600000", TEN), (12, None), ("yesterday", None), (True, None), ("2026-02-30", None), (float("nan"), None),
        (10**400, None),
    ],
)  # fmt: skip
def test_instants(value: Any, at: datetime | None) -> None:
    assert instant(value) == at


def test_leaves_of_odd_records() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    record = {"a b": [1, {"c": None}], 'q"': 2, "deep": deep, "many": list(range(100))}
    found = dict(leaves(record))
    assert found['$."a b"[1].c'] is None
    assert '$."q""' not in found
    assert "$.many[19]" in found
    assert "$.many[20]" not in found
    assert number("1e3") == 1000
    assert number("0x10") is None


def test_a_dry_run_is_of_the_kits_errors_only(tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    file.write_text("{}\n")
    with pytest.raises(IncidentKitError, match="no known format"):
        previews(file)


def test_odd_keys_are_read(tmp_path: Path) -> None:
    """Keys with blanks, dots, brackets, signs and apostrophes are paths too; the drafted format reads them and keeps the laws."""
    sample = tmp_path / "odd.ndjson"
    row = {
        "Request ID": "q", "sent at": "2026-01-05T12:00:00Z", "latency (ms)": 120, "@status": 200, "usage": {"prompt.tokens": 7},
        "it's meta": {"ticket-id": "T1", "Intent Name": "refund"},
        "": 1, "*": 2, 'a "quoted"': 3, "back\\slash": 4, "two\nlines": 5,
    }  # fmt: skip
    sample.write_text("".join(json.dumps(row | {"Request ID": f"q{i}"}) + "\n" for i in range(3)))
    made = scaffold("odd", sample)
    assert made.missing == ()
    (tmp_path / "odd.sql").write_text(made.text, encoding="utf-8")
    with Store() as store:
        load(store, sample, source=str(tmp_path / "odd.sql"))
        found = store.rows(
            "select a.latency_ms, a.status, a.prompt_tokens, r.ticket_id, r.intent from attempts as a join requests as r "
            "on r.request_id = a.request_id where a.request_id = 'q1'"
        )
    assert found == [(120, "ok", 7, "T1", "refund")]
    assert trial(sample, source=str(tmp_path / "odd.sql")).held
