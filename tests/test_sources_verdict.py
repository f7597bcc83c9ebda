from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from incident_kit.sources import Answer, LoadReport, answers, load
from incident_kit.sources.formats import QUESTIONS
from incident_kit.store import Store

CAPTURE = Path(__file__).parents[2] / "shared" / "data" / "litellm_capture"
DATA = Path(__file__).parent / "data"


@pytest.fixture
def store() -> Store:
    return Store()


def loaded(store: Store, folder: Path, *rows: dict[str, Any]) -> LoadReport:
    file = folder / f"log{len(list(folder.iterdir()))}.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load(store, file)


def said(report: LoadReport) -> dict[str, str]:
    return {question: answer.answer for question, answer in report.answers.items()}


def requests(count: int, **columns: Any) -> list[dict[str, Any]]:
    return [
        {"request_id": f"r{number}", "arrived_at": 1772461205 + number}
        | {name: value(number) if callable(value) else value for name, value in columns.items()}
        for number in range(count)
    ]


def test_an_empty_incident_answers_nothing_and_says_what_to_load(store: Store) -> None:
    found = answers(store)
    assert list(found) == list(QUESTIONS)
    assert {answer.answer for answer in found.values()} == {"no"}
    assert all("load" in answer.why or "send" in answer.why for answer in found.values())


def test_a_missing_column_is_a_no(store: Store, tmp_path: Path) -> None:
    report = loaded(store, tmp_path, *requests(4))
    assert said(report) == {
        "waits": "no", "errors": "no", "tools": "no", "fidelity": "no", "tickets": "no", "intents": "no",
    }  # fmt: skip
    assert report.answers["waits"] == Answer("waits", "no", "no request has a wait; load the gateway's request log")


@pytest.mark.parametrize(("share", "answer"), [(10, "yes"), (9, "yes"), (6, "lower bound"), (4, "no"), (0, "no")])
def test_labels_answer_by_their_share(store: Store, tmp_path: Path, share: int, answer: str) -> None:
    report = loaded(store, tmp_path, *requests(10, ticket_id=lambda number: "T" if number < share else None))
    found = report.answers["tickets"]
    assert found.answer == answer
    assert found.why.startswith(f"{share * 10:.1f}% of the requests carry a ticket")
    assert report.unlabelled["ticket_id"] == pytest.approx(1 - share / 10)


def test_tool_calls_without_results_are_a_lower_bound(store: Store, tmp_path: Path) -> None:
    rows = requests(4, tool_calls=1, tool_errors=lambda number: 0 if number == 0 else None)
    found = loaded(store, tmp_path, *rows).answers["tools"]
    assert found.answer == "lower bound"
    assert "known for 25.0% of the requests that made any" in found.why


def test_overrides_need_a_link_and_edits(store: Store, tmp_path: Path) -> None:
    assert load(store, DATA / "overrides.csv").answers["overrides"].answer == "yes"
    decision = {"decided_at": 1772461205, "decision": "accepted"}
    unlinked = loaded(Store(), tmp_path, {"suggestion_id": "s1"} | decision)
    assert unlinked.answers["overrides"].why.startswith("no decision names its request")
    accepted = loaded(Store(), tmp_path, {"suggestion_id": "s1", "request_id": "r1"} | decision)
    assert accepted.answers["overrides"].answer == "lower bound"
    assert "count edited answers as accepted" in accepted.answers["overrides"].why


def test_clocks_without_targets_are_a_lower_bound(store: Store) -> None:
    load(store, DATA / "zendesk_events.json")
    assert answers(store)["sla"].answer == "yes"
    store.run("update sla set target_s = null where ticket_id = '541'")
    assert answers(store)["sla"] == Answer("sla", "lower bound", "66.7% of the clocks carry their target")


def test_what_one_load_lacks_limits_the_incident(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine.sql"
    mine.write_text(
        "-- ---\n-- name: mine\n-- table: requests\n-- answers:\n--   errors: 'no: switch them on'\n-- ---\n"
        "select record ->> '$.id' as request_id, now() as arrived_at, 'ok' as status from raw"
    )
    loaded(store, tmp_path, *requests(2, status="ok"))
    assert answers(store)["errors"].answer == "lower bound"
    file = tmp_path / "mine.ndjson"
    file.write_text('{"id": "x1"}\n')
    load(store, file, source=str(mine))
    found = answers(store)["errors"]
    assert found.answer == "lower bound"
    assert found.why.endswith("but mine: no, switch them on")


def test_a_duplicate_load_changes_no_answer(store: Store, tmp_path: Path) -> None:
    loaded(store, tmp_path, *requests(3, wait_ms=5))
    before = answers(store)
    report = loaded(store, tmp_path, *reversed(requests(3, wait_ms=5)))
    assert report.rows_duplicate == 3
    assert report.answers == {}
    assert answers(store) == before


def test_the_report_is_a_value_in_plain_words(store: Store) -> None:
    report = load(store, DATA / "overrides.csv")
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.loads = ()  # type: ignore[misc]
    text = str(report)
    assert "overrides.csv (overrides): 6 rows read, 4 loaded, 0 duplicate, 2 rejected" in text
    assert "1 x decided_at is before shown_at" in text
    assert "overrides: yes" in text.replace(":  ", ": ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "standard_logging.ndjson.gz",
            {"waits": "lower bound", "errors": "lower bound", "tools": "yes",
             "tickets": "yes", "fidelity": "yes", "intents": "yes"},
        ),
        (
            "spend_logs.ndjson.gz",
            {"waits": "lower bound", "errors": "no", "tools": "no",
             "tickets": "no", "fidelity": "no", "intents": "lower bound"},
        ),
    ],
)  # fmt: skip
def test_the_capture(store: Store, name: str, expected: dict[str, str]) -> None:
    if not CAPTURE.is_dir():
        pytest.skip("the shared LiteLLM capture is not on this machine")
    report = load(store, CAPTURE / name)
    assert said(report) == expected
    whole = {question: answer.answer for question, answer in answers(store).items()}
    assert whole == expected | {"overrides": "no", "sla": "no"}
    if "spend" in name:
        assert report.answers["tickets"].why.startswith("11.3% of the requests carry a ticket")
        assert report.unlabelled["intent"] == pytest.approx(0.2254, abs=0.0001)
