"""The verb ``findings``: what it prints, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from incident_kit.commandline.cli import app
from incident_kit.errors import InvalidCase, NoSuchItem, UnwritableFile
from incident_kit.samples import sample


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["findings", str(sample()), *words], env={"COLUMNS": "200"})


def test_it_says_what_stands_out_and_writes_it(tmp_path: Path) -> None:
    table = tmp_path / "findings.csv"
    done = run("--contrast", "--with-ids", "2", "--table", str(table))
    assert done.exit_code == 0, done.output
    assert "Time to recover:" in done.output
    assert "1. " in done.output
    assert "Nothing unusual, or too little to tell:" in done.output
    assert "These logs cannot tell:" in done.output
    assert "requests beside" in done.output
    assert " more" in done.output
    rows = pl.read_csv(table)
    assert rows["interesting"][0]
    assert rows.height == 11


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--during", "imapct"], NoSuchItem),
        (["--during", "then..now"], InvalidCase),
        (["--during", "2026-11-22T12:25..2026-11-22T12:26"], InvalidCase),
        (["--table", "findings.txt"], UnwritableFile),
    ],
)
def test_what_cannot_be_done_is_refused(words: list[str], error: type[Exception]) -> None:
    assert isinstance(run(*words).exception, error)


def test_a_span_of_ones_own() -> None:
    done = run("--during", "2026-11-22T12:25Z..2026-11-22T12:26Z")
    assert done.exit_code == 0, done.output
    assert "12:25 to 12:26 UTC" in done.output
