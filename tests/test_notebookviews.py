from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from written import TINY, fill

import incident_kit as ik
from incident_kit.notebookpages.notebookviews import say, scorecard, table

NASTY = "</td><img src=x onerror=alert(1)>\x1b[31m\u202e"


def test_a_table_is_for_people() -> None:
    at = datetime(2026, 10, 5, 13, 40, tzinfo=UTC)
    shown = table(
        pl.DataFrame({"kind": ["refund", None], "at": [at, None], "count": [12233, None], "is": [True, False]})
    )
    assert repr(shown).splitlines() == [
        "kind    at                    count  is",
        "refund  2026-10-05 13:40:00  12,233  yes",
        "–       –                         –  no",  # noqa: RUF001 - the dash is what is shown
    ]
    html = shown._repr_html_()
    assert '<th scope="col" style="text-align: left">kind</th>' in html
    assert '<th scope="col" style="text-align: right">count</th>' in html, "a long head may break"
    assert '<td style="text-align: right; white-space: nowrap">12,233</td>' in html
    assert '<td style="text-align: left; white-space: nowrap">2026-10-05 13:40:00</td>' in html


def test_an_empty_table_says_so() -> None:
    for empty in (pl.DataFrame(), pl.DataFrame({"a": []})):
        assert repr(table(empty)) == "Nothing."
        assert table(empty)._repr_html_() == "<p>Nothing.</p>"


def test_what_a_log_brought_stays_text() -> None:
    html = table(pl.DataFrame({NASTY: [NASTY]}))._repr_html_()
    assert "<img" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_sentences_are_printed_in_lines_that_fit(capsys: pytest.CaptureFixture[str]) -> None:
    say("- " + "word " * 40, 7, "")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("- word")
    assert lines[1].startswith("  word")
    assert lines[-2:] == ["7", ""]


def test_a_scorecard_has_a_row_a_measure_and_says_what_it_rests_on() -> None:
    incident = ik.Incident.create()
    fill(incident.store, TINY)
    incident.answers = {}
    board = ik.compare(incident, [ik.blind("big", "small", max_p95_ms=2000)], draws=2)
    text = repr(scorecard(board))
    assert text.splitlines()[0].split() == ["What", "happened", "Switch", "everything", "at", "once"]
    assert "Drafts that agents rewrote" in text
    assert "rests on" in text
    assert "we saw this" in text
    assert repr(scorecard(board, intent="chat")) != text
    assert repr(scorecard(board, intent="none")) == "Nothing."
