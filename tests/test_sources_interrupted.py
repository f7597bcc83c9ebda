"""Ctrl-C in the middle of a load: a real signal while the database works; the incident is as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from incident_kit.sources import load
from incident_kit.store import Store

ROWS = 150_000
PROGRAM = """
import os, signal, sys, threading
from incident_kit.sources import load
from incident_kit.store import Store

def soon(text):
    print(text, flush=True)
    if text.startswith(sys.argv[3]) and "more" in text:
        threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT)).start()

store = Store(sys.argv[1])
try:
    load(store, sys.argv[2], progress=soon)
except KeyboardInterrupt:
    left = store.rows("select count(*) from duckdb_tables() where temporary")[0][0]
    print("interrupted", left, store.rows("select count(*) from requests")[0][0])
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    for name, rows in (("first", 10), ("more", ROWS)):
        with (folder / f"{name}.ndjson").open("w") as out:
            for number in range(rows):
                at = f"2026-03-02T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
                row = {"request_id": f"{name}-{number}", "arrived_at": at, "wait_ms": number, "intent": "refund"}
                out.write(json.dumps(row) + "\n")
    return folder


@pytest.mark.parametrize("word", ["reading", "loading"])
def test_a_signal_while_the_database_works(tmp_path: Path, logs: Path, word: str) -> None:
    path = tmp_path / "case.duckdb"
    with Store(path) as store:
        load(store, logs / "first.ndjson")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(logs / "*.ndjson"), word],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[-1] == "interrupted 0 10", done.stdout + done.stderr
    assert any(line.startswith("reading") and "(2 of 2)" in line for line in lines)
    with Store(path) as store:
        assert store.rows("select count(*), min(load_id) from loads") == [(1, 1)]
        assert load(store, logs / "more.ndjson").rows_loaded == ROWS
