"""What a machine does to a load: no room, no permission, Ctrl-C, another clock, a file that changes, what is no file."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from written import TINY, write

import incident_kit
from incident_kit.errors import UnreadableFile
from incident_kit.sources import load, loading
from incident_kit.store import Store

ROWS = 30_000
NO_WINDOWS = pytest.mark.skipif(sys.platform == "win32", reason="signals, pipes and limits of Linux and macOS")
CLI = "from incident_kit.commandline.cli import main\nmain()"


def rows(count: int, *, first: int = 0) -> str:
    """Return requests whose ids cannot be packed."""
    return "".join(
        json.dumps(
            {"request_id": hashlib.sha256(b"%d" % number).hexdigest(), "arrived_at": "2026-03-02T10:00:00Z", "wait_ms": number}
        ) + "\n"
        for number in range(first, first + count)
    )  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "log.ndjson"
    path.write_text(rows(ROWS))
    return path


def program(code: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )


def count(path: Path) -> int:
    with Store(path) as store:
        ((found, said),) = store.rows("select (select count(*) from requests), (select sum(rows_loaded) from loads)")
        assert found == (said or 0), "what the loads say they brought is there"
        return int(found)


# --- no room


LIMITED = "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)\n" + CLI


@pytest.mark.slow
@NO_WINDOWS
@pytest.mark.parametrize("room", [300_000, 1_500_000, 2_500_000])
def test_no_room_is_one_sentence_and_a_whole_load_or_none(tmp_path: Path, log: Path, room: int) -> None:
    path, few = tmp_path / "case.duckdb", tmp_path / "few.ndjson"
    few.write_text(rows(9, first=ROWS))
    with Store(path) as store:
        load(store, few)
    done = program(LIMITED, room, "load", log, "--into", path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [one for one in done.stderr.splitlines() if one.strip()]
    assert line.startswith("incident-kit: ")
    assert "cannot be written" in line or "cannot be read" in line or "cannot be opened" in line
    assert count(path) == 9
    with Store(path) as store:
        assert load(store, log).rows_loaded == ROWS


# --- no permission


UNPRIVILEGED = """
import os, sys
from incident_kit.sources import load
from incident_kit.store import Store

load(Store(), sys.argv[1])  # what is imported late is imported before there are no rights
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
for attempt in (lambda: Store(sys.argv[2]), lambda: load(Store(), sys.argv[3])):
    try:
        attempt()
    except ValueError as error:
        print(error)
"""


@NO_WINDOWS
def test_a_folder_and_a_file_without_rights(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    log, secret = tmp_path / "log.ndjson", tmp_path / "secret.ndjson"
    log.write_text(rows(2))
    secret.write_text(rows(2))
    secret.chmod(0o000)
    folder.chmod(0o555)
    above = [
        one for one in (tmp_path, *tmp_path.parents) if one.stat().st_uid == os.getuid() and not one.stat().st_mode & 1
    ]
    before = [(one, one.stat().st_mode) for one in above]
    for one, mode in before:
        one.chmod(mode | 0o011)  # the user without rights may come near
    try:
        done = program(UNPRIVILEGED, log, folder / "case.duckdb", secret)
    finally:
        for one, mode in before:
            one.chmod(mode)
    assert done.returncode == 0, done.stderr
    made, read = done.stdout.splitlines()
    assert f"{folder / 'case.duckdb'} cannot be opened as an incident file: " in made
    assert read == f"{secret} cannot be read: Permission denied"
    assert list(folder.iterdir()) == []


# --- Ctrl-C


INTERRUPTED = """
import os, signal, sys, threading
from incident_kit.commandline import verbs

word, after = sys.argv.pop(1), float(sys.argv.pop(1))

class Told(verbs.Progress):
    def update(self, task, *, description):
        if description.startswith(word):
            threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
        super().update(task, description=description)

verbs.Progress = Told
from incident_kit.commandline.cli import main
main()
"""


@NO_WINDOWS
@pytest.mark.parametrize("after", [0, 0.1])
def test_ctrl_c_in_a_load_is_one_line(tmp_path: Path, log: Path, after: float) -> None:
    path = tmp_path / "case.duckdb"
    done = program(INTERRUPTED, "reading", str(after), "load", log, "--into", path)
    assert (done.returncode, done.stderr.strip()) == (130, "incident-kit: interrupted; nothing half-done was kept")
    kept = count(path)
    assert kept in {0, ROWS}, "whole or nothing: a machine may be faster than the signal"
    with Store(path) as store:
        assert load(store, log).rows_loaded == ROWS - kept


@pytest.mark.slow
@NO_WINDOWS
def test_ctrl_c_in_a_replay_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    write(tmp_path, TINY)
    (tmp_path / "incident.yaml").write_text("sources: [{path: '*.ndjson'}]\npolicies: [p.yaml]\n")
    (tmp_path / "p.yaml").write_text("name: p\nroutes:\n- {intent: chat, primary: big, fallback: small}\n")
    table = tmp_path / "decisions.parquet"
    done = program(INTERRUPTED, "replaying", "0.2", "replay", tmp_path, "--decisions", table)
    assert (done.returncode, done.stderr.strip()) == (130, "incident-kit: interrupted; nothing half-done was kept")
    assert sorted(one.name for one in tmp_path.iterdir() if "decisions" in one.name) == []
    with Store(tmp_path / "incident.duckdb") as store:
        assert store.rows("select count(*) from requests") == [(len(TINY),)]


# --- another clock


def test_a_clock_that_goes_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a.ndjson", tmp_path / "b.ndjson"
    first.write_text(rows(2))
    second.write_text(rows(3, first=1))

    class Clock(datetime):
        year_now = 2040

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(cls.year_now, 1, 1, tzinfo=tz)

    monkeypatch.setattr(loading, "datetime", Clock)
    with Store() as store:
        load(store, first)
        Clock.year_now = 1999
        report = load(store, second)
        assert (report.rows_loaded, report.rows_duplicate) == (2, 1)
        assert load(store, first).rows_duplicate == 2
        assert [year for (year,) in store.rows("select year(loaded_at) from loads order by load_id")] == [
            2040,
            1999,
            1999,
        ]
        assert store.frame("select min(loaded_at) as at from loads")["at"][0] == datetime(1999, 1, 1, tzinfo=UTC)


def test_no_length_of_time_is_read_from_a_clock_that_can_be_set() -> None:
    found = [
        f"{file.name}:{node.lineno}"
        for file in Path(incident_kit.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"time.time", "time.time_ns"}
    ]
    assert found == []


# --- a file that changes


def _grown(path: Path) -> None:
    with path.open("a") as stream:
        stream.write(rows(1, first=10**6))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_text(path.read_text().replace("10:00", "11:00"))
    other.replace(path)


def _gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [_grown, _cut, _replaced, _gone])
def test_a_file_that_changes_while_it_is_read_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "log.ndjson"
    path.write_text(rows(20))
    stage_all = loading.stage_all

    def staged(*words: Any, **more: Any) -> Any:
        done = stage_all(*words, **more)
        change(path)
        return done

    monkeypatch.setattr(loading, "stage_all", staged)
    with Store() as store:
        with pytest.raises(
            UnreadableFile, match=r"log\.ndjson (changed while it was read|cannot be read: No such file)"
        ):
            load(store, path)
        assert store.rows("select count(*) from loads") == store.rows("select count(*) from requests") == [(0,)]


def test_a_file_that_was_only_touched_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.ndjson"
    path.write_text(rows(20))
    stage_all = loading.stage_all

    def staged(*words: Any, **more: Any) -> Any:
        os.utime(path, (0, 0))
        return stage_all(*words, **more)

    monkeypatch.setattr(loading, "stage_all", staged)
    assert load(Store(), path).rows_loaded == 20


# --- what is no file


@NO_WINDOWS
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "loop", "endless"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path has a hundred characters at most
    path = Path("log.ndjson")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.symlink_to("/dev/null" if kind == "device" else "/dev/zero")
    with pytest.raises(UnreadableFile, match="does not exist" if kind == "loop" else "a pipe, a socket or a device"):
        load(Store(), path)
