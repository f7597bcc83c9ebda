"""The command line: every command on the bundled case and on a new folder; errors are one sentence and exit code 2."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from written import START, TINY, write

from incident_kit.briefs import briefpage
from incident_kit.case import FILE, STORE
from incident_kit.commandline import cli, verbs
from incident_kit.incident import Incident
from incident_kit.samples import sample as bundled
from incident_kit.scoring.scorecard import Board

Run = Callable[..., tuple[int, str, str]]
POLICY = """
name: trips
routes:
- intent: chat
  primary: big
  fallback: small
  breaker: {when: p95_ms > 1000, window: 10s, min_requests: 2, cooldown: 5s, half_open: {requests: 1}}
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, as `incident-kit` would: exit code, output, errors."""
    monkeypatch.setenv("COLUMNS", "200")
    for console in (verbs.out, verbs.err):  # one made under COLUMNS=80, as pytest-xdist sets it, keeps to that
        monkeypatch.setattr(console, "_width", 200)

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["incident-kit", *map(str, words)])
        capsys.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        said, errors = capsys.readouterr()
        assert isinstance(code, int)
        return code, said, errors

    return run


@pytest.fixture
def fails(run: Run) -> Callable[..., str]:
    """Run what cannot work: exit code 2, one sentence on the error stream, no trace of a stack."""

    def fails(*words: str | Path) -> str:
        code, said, errors = run(*words)
        assert code == 2, said + errors
        assert "Traceback" not in said + errors
        (line,) = [line for line in errors.splitlines() if line.strip()]
        assert line.startswith("incident-kit: ")
        return line

    return fails


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The eight hand-written requests as a case."""
    folder = tmp_path_factory.mktemp("cli") / "case"
    folder.mkdir()
    write(folder, TINY)
    (folder / "trips.yaml").write_text(POLICY)
    (folder / FILE).write_text(
        "title: Tiny\nsources: [{path: '*.ndjson'}]\npolicies: [trips.yaml]\n"
        "phases: [{kind: impact, at: 2026-01-05T12:00:02Z, until: 2026-01-05T12:00:09Z, text: '[red]slow'}]\n"
    )
    return folder


# --- what works ---


@pytest.mark.slow
def test_the_demo(run: Run, tmp_path: Path) -> None:
    code, said, _ = run("demo", "--out", tmp_path / "brief.html")
    assert code == 0
    assert "Partial slowdown of the chat model, blind failover in force (simulated)" in said
    assert all(name in said for name in ("as logged", "blind", "founding", "extended"))
    assert "One request, explained:" in said
    assert str(tmp_path / "brief.html") in said
    assert (tmp_path / "brief.html").stat().st_size < 2_000_000


def test_load_a_case(run: Run, case: Path) -> None:
    code, said, _ = run("load", case)
    assert code == 0
    assert "attempts.ndjson (canonical): 8 rows read" in said
    assert "8 requests, 5 January 2026" in said
    assert "impact: 12:00:02 UTC to 12:00:09 UTC (7 s)  [red]slow" in said
    assert "What these logs can answer" in said
    assert (case / STORE).is_file()


def test_load_files_keeps_nothing_or_keeps_it_in_a_file(run: Run, case: Path, tmp_path: Path) -> None:
    code, said, _ = run("load", case / "requests.ndjson", case / "attempts.ndjson")
    assert (code, "2 files, 16 rows: 16 loaded" in said) == (0, True)
    kept = tmp_path / "kept.duckdb"
    assert run("load", case / "requests.ndjson", "--into", kept)[0] == 0
    assert run("load", case / "attempts.ndjson", "--into", kept, "--source", "canonical")[0] == 0
    opened = Incident.open(kept)
    assert (opened.requests().height, opened.attempts().height) == (8, 8)


def test_what_can_be_loaded_is_and_the_rest_is_named(
    run: Run, fails: Callable[..., str], case: Path, tmp_path: Path
) -> None:
    (tmp_path / "unknown.ndjson").write_text('{"what": 1, "is": "this"}\n' * 3)
    (tmp_path / "cut.csv").write_text("request_id,arrived_at\na,2026-01-05 12:00:00\n")
    bad = (tmp_path / "unknown.ndjson", tmp_path / "*.csv", tmp_path / "gone.json")
    kept = tmp_path / "kept.duckdb"
    code, said, errors = run("load", case / "requests.ndjson", *bad, case / "attempts.ndjson", "--into", kept)
    assert code == 1
    assert said.count("8 rows read, 8 loaded") == 2
    told = [line for line in errors.splitlines() if "NOT LOADED" in line]
    assert len(told) == 3
    assert "gone.json does not exist" in told[0]
    assert "unknown.ndjson is in no known format" in told[1]
    assert (
        "say one with --source ..., map your columns with `columns: {latency_ms: duration}` in incident.yaml" in told[1]
    )
    assert "say which with --zone UTC or --zone Europe/Berlin" in told[2]
    opened = Incident.open(kept)
    assert (opened.requests().height, opened.attempts().height) == (8, 8)
    opened.store.close()
    assert "none of these files can be loaded: " in fails("load", *bad)
    assert "is a case: list the other files under sources:" in fails("load", case, case / "requests.ndjson")


def test_load_with_a_zone(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    file.write_text("request_id,arrived_at\na,2026-01-05 12:00:00\n")
    assert "5 January 2026, 20:00" in run("load", file, "--zone", "America/Los_Angeles")[1]


def test_sources(run: Run) -> None:
    code, said, _ = run("sources")
    assert code == 0
    for name in ("canonical", "litellm_standard", "litellm_spend", "overrides", "zendesk_events"):
        assert name in said


def test_timeline(run: Run, case: Path, tmp_path: Path) -> None:
    code, said, _ = run("timeline", case, "--out", tmp_path / "x.svg")
    assert code == 0
    assert "12:00:02  1 " in said
    assert (tmp_path / "x.svg").read_text().startswith("<svg")
    assert run("timeline", case, "--out", tmp_path / "x.png")[0] == 0
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_eighty_columns_cut_no_word(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(bundled("outage"), tmp_path / "case")
    monkeypatch.setenv("COLUMNS", "80")
    for console in (verbs.out, verbs.err):
        monkeypatch.setattr(console, "_width", 80)
    code, said, _ = run("timeline", tmp_path / "case")
    assert code == 0
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= 80
    assert "UTC      requests p50      p95      errors tools ok overrides backup SLA missed" in said
    assert re.search(r"^12:00:00 \d+ +\d+ ms +[\d,]+ ms +\d+ % +\d+ % +[\d.]+ % +[\d.]+ % +\d+ *$", said, re.MULTILINE)


def test_replay(run: Run, case: Path) -> None:
    code, said, _ = run("replay", case, "--policy", case / "trips.yaml", "--during", "impact", "--by", "intent")
    assert code == 0
    for part in ("as logged", "trips", "always_primary", "always_fallback", "Switches under trips", "tests passed"):
        assert part in said
    assert (
        "12:00:05  chat   big      on backup        over the limit: p95_ms 3,000 ms over 3 calls, limit 1,000 ms"
        in said
    )
    assert "No policy in force is named" in said
    assert "75 % of the decisions are the log's own" in said


@pytest.mark.parametrize(("suffix", "read"), [(".parquet", pl.read_parquet), (".csv", pl.read_csv)])
def test_replay_writes_decisions(
    run: Run, case: Path, tmp_path: Path, suffix: str, read: Callable[[Path], pl.DataFrame]
) -> None:
    path = tmp_path / f"decisions{suffix}"
    code, said, _ = run("replay", case, "--decisions", path)
    assert (code, f"wrote 8 decisions to {path}" in said) == (0, True)
    frame = read(path)
    assert frame["target"].to_list() == ["big", "big", "big", "big", "small", "small", "big", "big"]
    observed = frame.filter(pl.col("evidence").cast(pl.String) == "observed")
    assert observed["wait_ms"].to_list() == [400, 600, 3000, 500, 200, 450]


def test_explain(run: Run, case: Path) -> None:
    code, said, _ = run("explain", "r5", case)
    assert code == 0
    assert "Request r5 (chat) came at 5 January 2026, 12:00:06 UTC. Under trips, route chat, it goes to small" in said


def test_brief(run: Run, case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page itself is test_brief.py's, and the demo's."""
    drawn: dict[str, object] = {}
    asked: list[dict[str, object]] = []

    def draw(incident: Incident, board: Board, page: Path, *, pictures: Path | None, **options: object) -> Path:
        assert pictures is None
        asked.append(options)
        drawn.update(title=incident.title, policies=list(board.replays), during=board.during)
        page.write_text("page")
        return page

    monkeypatch.setattr(briefpage, "brief", draw)
    code, said, _ = run("brief", case, "--out", tmp_path / "b.html", "--during", "impact")
    assert (code, f"wrote {(tmp_path / 'b.html').resolve()}" in said) == (0, True)
    during = drawn.pop("during")
    assert isinstance(during, tuple)
    assert [(at - START).total_seconds() for at in during] == [2, 9]
    run("brief", case, "--out", tmp_path / "b.html", "--no-sweep", "--with-ids", "--during", "impact")
    run("brief", case, "--out", tmp_path / "b.pdf", "--during", "impact")
    assert asked == [
        {"sweep": "likely", "with_ids": False}, {"sweep": None, "with_ids": True}, {"sweep": None, "with_ids": False},
    ]  # fmt: skip
    del drawn["during"]
    assert drawn == {"title": "Tiny", "policies": ["as logged", "trips", "always_primary", "always_fallback"]}


def test_a_new_case_says_what_to_do_and_is_one(run: Run, fails: Callable[..., str], tmp_path: Path) -> None:
    code, said, _ = run("new", tmp_path / "mine")
    assert code == 0
    assert f"incident-kit load {tmp_path / 'mine'}" in said
    assert "No requests are loaded" in run("load", tmp_path / "mine")[1]
    assert run("timeline", tmp_path / "mine")[0] == 0
    assert "is there already and not empty" in fails("new", tmp_path / "mine")
    assert "Waits: load the gateway's request log" in fails("replay", tmp_path / "mine")
    assert run("new", tmp_path / "no" / "folder" / "yet")[0] == 0


@pytest.mark.parametrize("command", ["", "new", "load", "sources", "timeline", "replay", "explain", "brief", "demo"])
def test_help(run: Run, command: str) -> None:
    code, said, _ = run(*command.split(), "--help")
    assert (code, said.startswith("Usage:")) == (0, True)


# --- what does not ---


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are no logs."""
    folder = tmp_path_factory.mktemp("bad")
    whole = (bundled() / "logs" / "standard_logging.ndjson.gz").read_bytes()
    (folder / "cut.ndjson.gz").write_bytes(whole[:50_000])
    (folder / "binary.ndjson").write_bytes(bytes(range(256)) * 20)
    (folder / "empty.ndjson").touch()
    (folder / "emptier.ndjson.gz").write_bytes(gzip.compress(b""))
    (folder / "notes.txt").write_text("hello there\n")
    (folder / "other.json").write_text('[{"a": 1}, {"a": 2}]')
    (folder / "policy.yaml").write_text("routes:\n- intent: a\n  primary: b\n  max_p59_ms: 3\n")
    (folder / "[red]x[").mkdir()
    (folder / "[red]x[" / "blue].ndjson").write_text("{")
    return folder


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.ndjson", "does not exist"),
        ("", "is a directory; name its files"),
        ("cut.ndjson.gz", "is cut short or damaged"),
        ("binary.ndjson", "is a binary file"),
        ("empty.ndjson", "is empty"),
        ("emptier.ndjson.gz", "is empty"),
        ("notes.txt", "is neither NDJSON, JSON, CSV nor Parquet"),
        ("other.json", "is in no known format: its first records have the keys 'a'"),
        ("[red]x[/blue].ndjson", "blue"),
    ],
)
def test_files_that_are_no_logs(fails: Callable[..., str], bad: Path, name: str, says: str) -> None:
    said = fails("load", bad / name)
    assert says in said
    assert str(bad) in said


def test_a_bad_policy(fails: Callable[..., str], case: Path, bad: Path) -> None:
    said = fails("replay", case, "--policy", bad / "policy.yaml")
    assert "policy.yaml, line 4: " in said
    assert "did you mean 'max_p95_ms'" in said
    assert "cannot be read" in fails("replay", case, "-p", bad / "nowhere.yaml")
    assert "it is not text" in fails("replay", case, "-p", bad / "binary.ndjson")


def test_two_policies_of_one_name(fails: Callable[..., str], case: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(POLICY.replace("1000", "2000"))
    said = fails("replay", case, "-p", case / "trips.yaml", "-p", tmp_path / "other.yaml")
    assert "two different policies are named 'trips'" in said


def test_unknown_names(fails: Callable[..., str], case: Path) -> None:
    assert "the log has no request 'r99'" in fails("explain", "r99", case)
    assert r"no request '\x1b[2J'" in fails("explain", "\x1b[2J", case)
    assert "no phase 'impct' (did you mean 'impact'?)" in fails("replay", case, "--during", "impct")
    assert "there is no source 'litelm_spend' (did you mean 'litellm_spend'?)" in fails(
        "load", case / "attempts.ndjson", "--source", "litelm_spend"
    )


def test_a_folder_that_is_no_case(fails: Callable[..., str], tmp_path: Path) -> None:
    for command in ("timeline", "replay", "brief"):
        assert "incident.yaml cannot be read" in fails(command, tmp_path)
    assert "incident.yaml cannot be read" in fails("explain", "r1", tmp_path)
    assert "incident-kit new" in fails("timeline", tmp_path / "nowhere")


def test_a_case_with_a_wrong_key(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("polices: []\n")
    assert "there is no key 'polices' (did you mean 'policies'?)" in fails("timeline", tmp_path)
    (tmp_path / FILE).write_text("title: \x07bell\n")
    assert "\x07" not in fails("timeline", tmp_path)


def test_files_that_cannot_be_written(fails: Callable[..., str], case: Path, tmp_path: Path) -> None:
    assert "its name ends in .svg or .png" in fails("timeline", case, "--out", tmp_path / "x.txt")
    assert "its name ends in .parquet or .csv" in fails("replay", case, "--decisions", tmp_path / "x.json")
    nowhere = tmp_path / "nowhere"
    assert "there is no folder" in fails("timeline", case, "--out", nowhere / "x.svg")
    assert "there is no folder" in fails("replay", case, "--decisions", nowhere / "x.csv")
    assert "there is no folder" in fails("brief", case, "--out", nowhere / "x.html")
    assert "there is no folder" in fails("demo", "--out", nowhere / "x.html")
    assert "is a directory" in fails("brief", case, "--out", tmp_path)
    assert "there is no folder" in fails("load", case / "attempts.ndjson", "--into", nowhere / "x.duckdb")


def test_a_store_that_is_none(fails: Callable[..., str], case: Path, bad: Path) -> None:
    assert "is not an incident file" in fails("load", case / "attempts.ndjson", "--into", bad / "notes.txt")


def test_what_the_machine_refuses_is_a_sentence_too(
    fails: Callable[..., str], case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.LazyFrame, "sink_csv", full)
    assert "No space left on device" in fails("replay", case, "--decisions", tmp_path / "x.csv")


def test_without_a_policy(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("title: x\n")
    assert "no policy to replay: name one with --policy FILE" in fails("replay", tmp_path)


def test_a_wrong_command_is_the_shell_s_business(run: Run) -> None:
    code, _, errors = run("replya")
    assert code == 2
    assert "No such command 'replya'" in errors


def test_interrupted(run: Run, case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Incident, "series", stop)
    code, _, errors = run("timeline", case)
    assert (code, "interrupted; nothing half-done was kept" in errors) == (130, True)


def test_a_path_that_looks_like_markup(run: Run, case: Path, tmp_path: Path) -> None:
    folder = tmp_path / "[red]case[/blue]"
    shutil.copytree(case, folder, ignore=shutil.ignore_patterns(STORE))
    code, said, _ = run("load", folder)
    assert code == 0
    assert "[red]case[/blue]/attempts.ndjson" in said


def test_as_a_program_of_its_own(case: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from incident_kit.commandline.cli import main; main()", "explain", "nope", str(case)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip() == "incident-kit: the log has no request 'nope'; it has 8, the first is 'r1'"
