"""A case is its folder: opening it again gives the same, changing it gives what it now says."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from written import START, TINY, Call, Request, write

from incident_kit.asked import Decision, Owner
from incident_kit.case import FILE, HOW_TO_GET_THE_DATA, STORE, new_case, open_case, read_case
from incident_kit.errors import IncidentKitError, InvalidCase, InvalidStore, UnreadableFile
from incident_kit.incident import Incident
from incident_kit.samples import notebooks, sample

POLICY = "routes: [{intent: chat, primary: big, fallback: small, max_p95_ms: 1000}]"


def case_of(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def tiny_case(tmp_path: Path) -> Path:
    folder = case_of(tmp_path / "case", "sources: [{path: requests.ndjson}, {path: attempts.ndjson}]")
    write(folder, TINY)
    return folder


def test_the_bundled_case(sample: Incident) -> None:
    assert sample.requests().height == 3065
    assert sample.slow_ms == 2000
    assert [policy.name for policy in sample.policies] == ["per-intent", "blind"]
    assert sample.in_force is not None
    assert sample.prices["reasoning_model"] == (5, 25)
    assert [phase.kind for phase in sample.phases] == ["impact", "provider", "recovered"]


def test_in_memory_nothing_is_written(tiny_case: Path) -> None:
    open_case(tiny_case, in_memory=True)
    assert not (tiny_case / STORE).exists()


def test_several_processes_may_read_a_case_at_once(tiny_case: Path) -> None:
    """Where nothing is to be loaded the file is not written; phases and verdicts of clocks are worked out beside it."""
    open_case(tiny_case).store.close()
    (tiny_case / FILE).write_text(
        "sources: [{path: requests.ndjson}, {path: attempts.ndjson}]\n"
        "phases: [{kind: impact, at: 2026-01-05T12:00:02Z, until: 2026-01-05T12:00:09Z}]\n"
    )
    before = (tiny_case / STORE).read_bytes()
    mine = open_case(tiny_case, read_only=True)
    assert mine.store.read_only
    assert [phase.kind for phase in mine.phases] == ["impact"]
    program = (
        "import sys; from incident_kit.case import open_case; "
        "print(len(open_case(sys.argv[1], read_only=True).log)); open_case(sys.argv[1])"
    )
    other = subprocess.run([sys.executable, "-c", program, tiny_case], capture_output=True, text=True, check=False)
    assert other.stdout.strip() == "8"
    assert "InvalidStore" in other.stderr
    assert len(mine.log) == 8
    mine.annotate("note", START, text="mine")
    with pytest.raises(InvalidStore, match="open to be read only: open it without"):
        mine.load(tiny_case / "requests.ndjson")
    mine.store.close()
    assert (tiny_case / STORE).read_bytes() == before


def test_a_case_that_has_something_to_load_is_written_however_it_is_opened(tiny_case: Path) -> None:
    with (first := open_case(tiny_case, read_only=True)).store:
        assert (first.store.read_only, len(first.log)) == (False, 8)
    write(tiny_case, TINY[:3])
    with (again := open_case(tiny_case, read_only=True)).store:
        assert (again.store.read_only, len(again.log)) == (False, 3)
    with (third := open_case(tiny_case, read_only=True)).store:
        assert (third.store.read_only, len(third.log)) == (True, 3)


def test_opening_again_loads_nothing_again(tiny_case: Path) -> None:
    first = open_case(tiny_case)
    rows = first.requests().rows()
    first.store.close()
    again = open_case(tiny_case)
    assert sum(report.rows_loaded for report in again.reports) == 0
    assert sum(report.rows_duplicate for report in again.reports) == 16
    assert again.requests().rows() == rows
    assert again.loads()["rows_loaded"].to_list() == [8, 8]


def test_a_phase_taken_out_is_gone(tiny_case: Path) -> None:
    text = (tiny_case / FILE).read_text()
    case_of(tiny_case, f"{text}\nphases: [{{kind: impact, at: 2026-01-05T12:00:02Z, until: 2026-01-05T12:00:07Z}}]")
    with open_case(tiny_case).store as store:
        assert store.rows("select kind from annotations") == [("impact",)]
    case_of(tiny_case, text)
    assert all(phase.detected for phase in open_case(tiny_case).phases)


def test_other_labels_are_read_anew(tmp_path: Path) -> None:
    log = sample() / "logs" / "standard_logging.ndjson.gz"
    folder = case_of(tmp_path / "case", f"sources: [{{path: {log}}}]")
    with open_case(folder).store as store:
        assert ("refund-policy",) in store.rows("select distinct intent from requests")
    case_of(folder, f"sources: [{{path: {log}, labels: {{intent: [$.model_group]}}, tags: {{intent: '^none:(.+)$'}}}}]")
    with open_case(folder).store as store:
        intents = {intent for (intent,) in store.rows("select distinct intent from requests")}
    assert intents == {"primary_chat_model", "reasoning_model", "small_classifier_model", "fast_backup_model"}


def test_a_source_taken_out_is_gone(tiny_case: Path) -> None:
    open_case(tiny_case).store.close()
    case_of(tiny_case, "sources: [{path: attempts.ndjson}]")
    opened = open_case(tiny_case)
    assert opened.loads()["path"].str.ends_with("attempts.ndjson").all()
    # the wait is now taken from the attempts alone
    assert opened.requests()["wait_is_lower_bound"].all()


def test_a_file_with_another_content_replaces_what_it_brought(tiny_case: Path) -> None:
    open_case(tiny_case).store.close()
    write(tiny_case, [Request("r1", 0, [Call("big", 999)])])
    opened = open_case(tiny_case)
    assert opened.requests().select("request_id", "wait_ms").rows() == [("r1", 999)]


def test_a_log_that_grew_is_the_grown_log(tiny_case: Path) -> None:
    open_case(tiny_case).store.close()
    write(tiny_case, [*TINY, Request("r9", 20_000, [Call("big", 5)])])
    assert open_case(tiny_case).requests().height == 9


def test_what_was_loaded_by_hand_is_not_thrown_away(tiny_case: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    extra = write(tmp_path / "more", [Request("extra", 30_000, [Call("big", 5)])])
    opened = open_case(tiny_case)
    opened.load(extra)
    opened.store.close()
    with open_case(tiny_case).store as store:
        assert store.rows("select count(*) from requests") == [(9,)]
    case_of(tiny_case, "sources: [{path: attempts.ndjson}]")
    with pytest.raises(InvalidCase, match=r"also holds .*more/attempts.ndjson.*list these under sources"):
        open_case(tiny_case)


def test_a_folder_with_a_name_like_a_glob(tmp_path: Path) -> None:
    folder = case_of(tmp_path / "case [2026]", "sources: [{path: '*.ndjson'}]")
    write(folder, TINY)
    assert open_case(folder, in_memory=True).requests().height == 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("titel: x", r"titel: there is no key 'titel' \(did you mean 'title'\?\); there are title, simulated"),
        ("sources: [{path: a, fromat: b}]", r"sources\.0\.fromat: .*did you mean 'format'"),
        ("sources: [{format: canonical}]", r"sources\.0\.path: Field required"),
        ("phases: [{kind: imapct, at: 2026-11-22T12:25:00Z}]", r"phases\.0: .*did you mean 'impact'"),
        ("phases: [{kind: impact, at: 2026-11-22T12:25:00}]", r"phases\.0: .*has no zone"),
        ("phases: [{kind: impact, at: 5}]", r"phases\.0\.at: 5 is not a time"),
        ("phases: [{kind: impact, at: 2026-11-22T12:25:00Z, until: 2026-11-22T12:24:00Z}]", "before it begins"),
        ("zone: Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("slow_ms: 0", "slow_ms: Input should be greater than 0"),
        ("prices: {a: {inptu: 1, output: 2}}", "did you mean 'input'"),
        ("- a", "should be a valid dictionary"),
        ("title: [", "is not YAML"),
        ("a: 1\na: 2", "is not YAML.*duplicate key"),
        ("x: !!python/object/apply:os.system [ls]", "is not YAML"),
        ("\x00", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidCase, match=f"(?s)incident.yaml.*{says}"):
        open_case(case_of(tmp_path / "case", text), in_memory=True)


def test_times_of_phases_keep_their_zone(tmp_path: Path) -> None:
    text = "phases: [{kind: note, at: 2026-11-22 12:25:00 -08:00}, {kind: impact, at: '2026-11-22T12:25:00+02:00'}]"
    at = [phase.at for phase in open_case(case_of(tmp_path / "case", text), in_memory=True).phases]
    assert at == [datetime(2026, 11, 22, 10, 25, tzinfo=UTC), datetime(2026, 11, 22, 20, 25, tzinfo=UTC)]


def test_a_bad_policy_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    folder = case_of(tmp_path / "case", "sources: [{path: nowhere.ndjson}]\npolicies: [p.yaml]")
    (folder / "p.yaml").write_text("routes:\n- intent: a\n  primary: b\n  max_p59_ms: 3\n")
    with pytest.raises(IncidentKitError, match=r"p.yaml.*line 4.*max_p95_ms"):
        open_case(folder)
    assert not (folder / STORE).exists()


def test_a_folder_without_a_case(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InvalidCase, match=r"incident.yaml cannot be read.*incident-kit new"):
            read_case(folder)


def test_the_yaml_file_itself_will_do(tiny_case: Path) -> None:
    assert open_case(tiny_case / FILE, in_memory=True).requests().height == 8


def test_a_missing_source_leaves_the_tables_empty(tmp_path: Path) -> None:
    folder = case_of(tmp_path / "case", "sources: [{path: nowhere.ndjson}]")
    with pytest.raises(UnreadableFile, match=r"nowhere.ndjson does not exist"):
        open_case(folder)


def test_a_new_case_opens(tmp_path: Path) -> None:
    folder = new_case(tmp_path / "mine")
    opened = open_case(folder)
    assert opened.requests().is_empty()
    assert len(opened.policies) == 1
    assert {file.name for file in folder.glob("*.ipynb")} == {file.name for file in notebooks()}
    for notebook in folder.glob("*.ipynb"):
        text = notebook.read_text(encoding="utf-8")
        assert 'CASE = \\"' in text
        assert 'CASE = \\".\\"' in text
    assert str(folder) in HOW_TO_GET_THE_DATA.format(case=folder)


def test_a_new_case_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for taken in (tmp_path, tmp_path / "file"):
        with pytest.raises(InvalidCase, match="is there already and not empty"):
            new_case(taken)
    (tmp_path / "empty").mkdir()
    assert new_case(tmp_path / "empty").name == "empty"


def test_instants_of_the_tiny_case(tiny_case: Path) -> None:
    assert open_case(tiny_case, in_memory=True).about()["first"] == START


def test_a_decision_and_owners_are_read_for_the_brief(tiny_case: Path) -> None:
    text = (tiny_case / FILE).read_text()
    asked = "decision: {text: 'Adopt, now?', of: head of support, by: 2026-10-12}\nowners: [{name: Ana, task: merges}]"
    case_of(tiny_case, f"{text}\n{asked}")
    incident = open_case(tiny_case, in_memory=True)
    assert incident.decision == Decision("Adopt, now?", "head of support", date(2026, 10, 12))
    assert incident.owners == (Owner("Ana", "merges"),)
    case_of(tiny_case, f"{text}\ndecision: {{text: a, whom: b}}")
    with pytest.raises(InvalidCase, match=r"there is no key 'whom'.*there are text, of, by"):
        open_case(tiny_case, in_memory=True)
    case_of(tiny_case, f"{text}\ndecision: {{text: ''}}")
    with pytest.raises(InvalidCase, match=r"decision\.text"):
        open_case(tiny_case, in_memory=True)
