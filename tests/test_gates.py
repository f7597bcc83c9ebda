"""A policy held against limits on a folder of incidents, whatever lies in it; what a CI and a reviewer get of it."""

from __future__ import annotations

import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from test_checking import AWAY, LEAVES, STAYS, requests
from written import START, Request, write

import incident_kit as ik
from incident_kit.errors import InvalidCase, InvalidLimits
from incident_kit.incident import Incident
from incident_kit.incidents import incident_paths, name_of, open_any
from incident_kit.packs.packing import pack
from incident_kit.policies.policy import Policy
from incident_kit.policygate.bars import Bar
from incident_kit.policygate.checking import ROWS
from incident_kit.policygate.gates import DRAWS, ERROR, NOTHING, Gate, Held, gate
from incident_kit.policygate.verdicts import CANNOT_TELL, FAILS, NOT_IN_LOG, PASSES

WAITS = Bar(metric="mean_ms", max=2000)
TOOLS = Bar(metric="tool_success_rate", min=0.9)


def incident(folder: Path, rows: list[Request], *, store: Path | None = None, impact: bool = True) -> Incident:
    folder.mkdir()
    found = Incident.create(store)
    found.load(write(folder, rows))
    if impact:
        found.annotate("impact", START + timedelta(minutes=60), START + timedelta(minutes=80))
    found.in_force = STAYS
    return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack, a case folder, an incident file; a file and a folder that are none of these."""
    root, logs = tmp_path_factory.mktemp("library"), tmp_path_factory.mktemp("logs")
    pack(incident(logs / "a", requests()), root / "a-pack")
    case = root / "b-case"
    case.mkdir()
    write(case, requests())
    impact = "{kind: impact, at: 2026-01-05T13:00:00Z, until: 2026-01-05T13:20:00Z}"
    (case / "incident.yaml").write_text(f"sources:\n- path: '*.ndjson'\nphases: [{impact}]\nin_force: stays.yaml\n")
    (case / "stays.yaml").write_text(STAYS.text or "")
    kept = incident(logs / "c", requests(), store=root / "c-file.duckdb")
    kept.store.close()
    (root / "notes.md").write_text("not an incident")
    (root / "pictures").mkdir()
    return root


@pytest.fixture
def copy(library: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(library, tmp_path / "library"))


@pytest.fixture(scope="module")
def found(library: Path) -> Gate:
    return gate(LEAVES, library, limits=[WAITS, TOOLS], in_force=STAYS, draws=5, jobs=1)


def parsed(junit: str) -> ET.Element:
    return ET.fromstring(junit)  # noqa: S314 - our own


def outcomes(found: Gate) -> dict[str, str]:
    return {one.name: one.outcome for one in found.held}


def test_incidents_of_a_folder_are_found_by_name_whatever_they_are(library: Path) -> None:
    paths = incident_paths(library)
    assert [path.name for path in paths] == ["a-pack", "b-case", "c-file.duckdb"]
    assert [name_of(path) for path in paths] == ["a-pack", "b-case", "c-file"]
    assert [len(open_any(path).log) for path in paths] == [720, 720, 720]
    assert incident_paths(paths[0]) == (paths[0],)
    assert not (paths[1] / "incident.duckdb").exists(), "a check leaves nothing behind"


def test_an_incident_that_somebody_reads_can_be_checked_and_its_file_stays_as_it_is(copy: Path) -> None:
    file = copy / "c-file.duckdb"
    before = file.read_bytes()
    with Incident.open(file, read_only=True).store:
        assert outcomes(gate(LEAVES, file, limits=[WAITS, TOOLS], in_force=STAYS, draws=2, jobs=1)) == {"c-file": FAILS}
    assert file.read_bytes() == before


def test_a_folder_without_an_incident_is_an_error_not_a_pass(tmp_path: Path) -> None:
    with pytest.raises(InvalidCase, match="holds no incident"):
        gate(LEAVES, tmp_path)
    with pytest.raises(InvalidCase, match="is no incident"):
        gate(LEAVES, tmp_path / "none")


def test_one_row_an_incident_and_limit(found: Gate) -> None:
    """In the impact the backup answers in 200 ms, but half of its tool calls fail."""
    assert outcomes(found) == {"a-pack": FAILS, "b-case": FAILS, "c-file": FAILS}
    rows = found.rows
    assert rows.select("incident", "metric", "verdict").rows() == [
        (name, metric, verdict)
        for name in ("a-pack", "b-case", "c-file")
        for metric, verdict in (("mean_ms", PASSES), ("tool_success_rate", FAILS))
    ]
    alike = rows.drop("incident").unique()
    assert alike.height == 2, "the same log gives the same numbers from a pack, a case and a file"
    assert found.exit_code == 1
    assert found.verdict == "FAIL: leaves: 3 limits broken on 3 of 3 incidents: a-pack, b-case, c-file."
    own = ik.check(
        open_any(incident_paths(found.held[0].path)[0]), LEAVES, limits=[WAITS, TOOLS], in_force=STAYS, draws=5
    )
    assert own.rows.equals(found.held[0].rows)


@pytest.mark.slow
def test_processes_find_the_same_and_tell_how_far_they_are(library: Path, found: Gate) -> None:
    said: list[str] = []
    apart = gate(LEAVES, library, limits=[WAITS, TOOLS], in_force=STAYS, draws=5, jobs=2, progress=said.append)
    assert apart.rows.equals(found.rows)
    assert [one.moves for one in apart.held] == [one.moves for one in found.held]
    assert len(said) == 3
    assert said[-1].startswith("checked 3 of 3: ")


def test_better_everywhere_passes(library: Path) -> None:
    found = gate(LEAVES, library / "a-pack", limits=[WAITS], draws=5)
    assert (found.exit_code, found.verdict) == (0, "PASS: leaves: all 1 limits hold on 1 of 1 incident.")
    assert found.held[0].in_force == STAYS, "the pack says what was in force"
    assert DRAWS >= 20, "fewer have no 95 % quantile"


def test_an_incident_that_cannot_be_read_is_an_error_whatever_the_others_say(copy: Path) -> None:
    file = copy / "a-pack" / "requests.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    (copy / "b-case" / "stays.yaml").write_text("routes: [")
    (copy / "d-broken.duckdb").write_bytes(b"no database at all")
    found = gate(LEAVES, copy, limits=[WAITS], draws=5, jobs=1)
    assert outcomes(found) == {"a-pack": ERROR, "b-case": ERROR, "c-file": PASSES, "d-broken": ERROR}
    assert found.exit_code == 2
    assert found.verdict == "ERROR: leaves: 3 of 4 incidents could not be checked: a-pack, b-case, d-broken."
    assert "were written" in found.held[0].error
    assert "not YAML" in found.held[1].error
    (copy / "a-pack" / "pack.json").unlink()
    assert gate(LEAVES, copy, limits=[WAITS], draws=5, jobs=1).held[0].outcome == ERROR, "half a pack is no missing one"


def test_a_policy_that_cannot_be_replayed_is_an_error(library: Path) -> None:
    asks = Policy.parse(
        "{name: asks, routes: [{intent: chat, primary: big, fallback: small, breaker: {when: override_rate > 0.2}}]}"
    )
    found = gate(asks, library / "a-pack")
    assert (found.exit_code, found.held[0].outcome) == (2, ERROR)
    assert "cannot be judged on this log" in found.held[0].error


def test_what_logs_cannot_tell_is_neither_pass_nor_failure(library: Path) -> None:
    found = gate(AWAY, library / "a-pack", limits=[TOOLS], draws=5)
    assert (found.exit_code, found.held[0].outcome) == (2, CANNOT_TELL)
    assert found.verdict.startswith("CANNOT TELL: away: on 1 of 1 incident")


@pytest.mark.slow
def test_a_limit_on_what_one_incident_has_not_is_not_judged_there(copy: Path, tmp_path: Path) -> None:
    pack(incident(tmp_path / "quiet", requests("mail"), impact=False), copy / "e-quiet")
    limits = [
        WAITS.model_copy(update={"intent": "mail", "phase": "all"}),
        WAITS.model_copy(update={"phase": "mitigated"}),
    ]
    stays = Policy.parse("{name: stays, routes: [{intent: '*', primary: big, fallback: small, max_p95_ms: 60000}]}")
    with pytest.raises(InvalidLimits, match=r"no incident has what a limit is about: phase: .*mitigated"):
        gate(stays, copy, limits=limits, draws=2, jobs=1)
    found = gate(stays, copy, limits=limits[:1], draws=2, jobs=1)
    assert outcomes(found) == {"a-pack": NOTHING, "b-case": NOTHING, "c-file": NOTHING, "e-quiet": PASSES}
    assert found.held[0].rows.select("verdict", "why").row(0)[0] == NOT_IN_LOG
    with pytest.raises(InvalidLimits, match="intent: 'mial' is not in the log"):
        gate(stays, copy, limits=[WAITS.model_copy(update={"intent": "mial"})], draws=2, jobs=1)
    assert found.exit_code == 0


def test_limits_on_a_phase_that_is_not_there_are_one_line_and_an_error_hides_no_failure(found: Gate) -> None:
    gone = {
        "phase": "impact",
        "limit": "at most 1",
        "verdict": NOT_IN_LOG,
        "why": "phase: the incident has no such phase",
    }
    rows = [{"metric": "error_rate", "intent": one} | gone for one in ("each", "chat", None)]
    quiet = Held("quiet", "q", rows=pl.DataFrame(rows, schema=ROWS))
    both = Gate(found.policy, (quiet, Held("bad", "b", error="broken"), found.held[0]))
    assert both.verdict == "ERROR: leaves: 1 of 3 incidents could not be checked: bad; and fails on a-pack."
    assert str(both).count("not judged") == 1
    assert "  no impact there: 3 limits are not judged" in str(both).splitlines()
    assert both.markdown().count("no impact there: 3 limits are not judged") == 1
    assert "error_rate of each intent, impact" in both.junit()


def test_limits_are_looked_at_before_any_work(library: Path, tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("limits:\n- {metric: p95_ms, max: 1}\n- metric: p95_mss\n  max: 1\n")
    with pytest.raises(InvalidLimits, match=r"limits\.yaml: line 3: .*there is no metric 'p95_mss'"):
        gate(LEAVES, library, limits=file)
    with pytest.raises(InvalidLimits, match="no limit to check"):
        gate(LEAVES, library, limits=[])


def test_json_has_all_of_it(found: Gate) -> None:
    said = json.loads(found.json())
    assert (said["exit_code"], said["verdict"], said["policy"]) == (1, found.verdict, "leaves")
    first = said["incidents"][0]
    assert {name: first[name] for name in ("incident", "outcome", "error", "in_force", "requests")} == {
        "incident": "a-pack", "outcome": FAILS, "error": None, "in_force": "stays", "requests": 720,
    }  # fmt: skip
    assert [row["metric"] for row in first["limits"]] == ["mean_ms", "tool_success_rate"]
    assert first["moved_requests"] == found.held[0].moves.moved > 0
    assert first["moves"][0]["now"] == "small"
    assert found.json().isascii()


def test_junit_is_what_a_ci_reads(found: Gate) -> None:
    root = parsed(found.junit())
    assert root.attrib == {"name": "incident-kit check leaves", "tests": "6", "failures": "3", "errors": "0"}
    suites = root.findall("testsuite")
    assert [one.get("name") for one in suites] == ["a-pack", "b-case", "c-file"]
    cases = suites[0].findall("testcase")
    assert [len(case) for case in cases] == [0, 1]
    assert cases[1][0].tag == "failure"
    assert cases[1].get("name") == "tool_success_rate, impact: at least 90 %"


def test_the_page_says_what_changes_and_shows_an_example(found: Gate) -> None:
    page = found.markdown()
    assert page.startswith(f"## {found.verdict}\n")
    for part in (
        "### Limits that do not hold",
        "### What changes",
        "### Decisions that change",
        "<summary>All limits</summary>",
    ):
        assert page.count(part) == 1
    assert re.search(
        r"- Route chat: \d+ from big to small\. One of them: Request r\d+ .* \((a-pack|b-case|c-file)\)", page
    )
    widths = {line.count("|") for line in page.splitlines() if line.startswith("| ")}
    assert widths <= {7, 8}, "every row has as many cells as its head"


def test_a_page_never_is_longer_than_a_comment_may_be(found: Gate) -> None:
    many = Gate(found.policy, found.held * 200)
    assert len(many.markdown()) <= 61_000
    assert "This is shortened" in many.markdown()


def test_text_tells_what_does_not_hold(found: Gate) -> None:
    lines = str(found).splitlines()
    assert lines[0] == found.verdict
    assert lines[1] == "a-pack: fails (1 limit holds)"
    assert lines[2].startswith("  fails: tool_success_rate, impact: at least 90 %; 5")


HOSTILE = "<script>|`](x)\x1b[2J\u202e\x00"


def test_hostile_names_stay_text_everywhere(tmp_path: Path) -> None:
    rows = requests(HOSTILE.replace("\x00", "\x01"))
    one = incident(tmp_path / "log", rows)
    one.title = HOSTILE
    one.in_force = None
    name = "a|b <img src=x> @all"
    (tmp_path / "lib").mkdir()
    pack(one, tmp_path / "lib" / name)
    policy = Policy.parse(
        "{name: '<b>|x', routes: [{intent: '*', primary: big, fallback: small, "
        "breaker: {when: p95_ms > 1000, window: 5m, min_requests: 5, cooldown: 10m}}]}"
    )
    found = gate(policy, tmp_path / "lib", limits=[TOOLS.model_copy(update={"intent": "each"})], draws=2)
    assert found.exit_code == 1
    page, junit = found.markdown(), found.junit()
    assert "<img" not in page
    assert "<script" not in page
    assert "\x1b" not in page + junit + found.json()
    assert "@all" not in page
    assert parsed(junit).find("testsuite").get("name") == name  # type: ignore[union-attr]
    broken = Gate(policy, (found.held[0], *gate(LEAVES, _broken(tmp_path)).held))
    parsed(broken.junit())
    assert "\x1b" not in str(broken)


def _broken(folder: Path) -> Path:
    made = folder / "broken" / "x\x1b[2Jy"
    made.mkdir(parents=True)
    (made / "pack.json").write_text("{")
    return made


def test_gates_compare_with_another_policy_when_told(library: Path) -> None:
    found = gate(STAYS, library / "a-pack", in_force=LEAVES, draws=3)
    assert found.held[0].beside == "leaves"
    assert isinstance(found.rows, pl.DataFrame)
