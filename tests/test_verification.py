"""A brief can be made again from its case, and what differs is said."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import made_up
import pytest

from incident_kit.briefs import verification
from incident_kit.briefs.briefcontent import BriefContent
from incident_kit.briefs.briefpage import write
from incident_kit.briefs.briefrecord import record
from incident_kit.briefs.proposal import proposals
from incident_kit.briefs.verification import read_record, verify
from incident_kit.briefs.whatif import likely, numbers_of
from incident_kit.commandline import cli, cli_brief
from incident_kit.errors import UnreadableFile
from incident_kit.incident import Incident
from incident_kit.optimization.tuning import sweep
from incident_kit.policies.baselines import always_fallback, always_primary
from incident_kit.policies.policy import Policy
from incident_kit.policies.policyversions import versions
from incident_kit.scoring.scorecard import Board, compare


@pytest.fixture(scope="module")
def board(sample: Incident) -> Board:
    first = sample.policies[0]
    return compare(
        sample, [first, always_fallback(first)], during="impact", draws=2, metrics=["p95_ms", "fallback_rate"]
    )


@pytest.fixture(scope="module")
def said(sample: Incident, board: Board) -> dict[str, Any]:
    return record(sample, board)


def page(folder: Path, said: dict[str, Any]) -> Path:
    content = BriefContent(title="t", start=made_up.START, end=made_up.at(1), record=said)
    return write(content, folder / "brief.html")


def test_the_same_case_makes_the_same_brief(tmp_path: Path, sample: Incident, said: dict[str, Any]) -> None:
    found = verify(page(tmp_path, said), sample)
    assert found.differences == ()
    assert (found.is_same, found.exit_code, found.notes) == (True, 0, ())
    assert found.switches > 0
    assert "can be made again" in str(found)


def test_versions_of_a_policy_keep_their_times(tmp_path: Path, sample: Incident) -> None:
    """What a policy file cannot say, from when until when a route and an alert were in force, the record does."""
    change = next(one.at for one in sample.phases if one.kind == "impact") + timedelta(minutes=30)
    first, second = sample.policies[:2]
    alert = (
        "routes: [{intent: x, primary: big}]\nalerts: [{name: slow, when: p95_ms > 900, window: 1m, min_requests: 1}]"
    )
    second = replace(second, alerts=Policy.parse(alert).alerts)
    both = versions([(first, None, change), (second, change, None)])
    assert any(one.since for one in both.routes)
    assert any(one.since for one in both.alerts)
    options = {"during": "impact", "draws": 1, "metrics": ["p95_ms"]}
    kept = record(sample, compare(sample, [both, always_primary(both)], **options))
    found = verify(page(tmp_path, kept), sample)
    assert found.differences == ()
    assert found.switches > 0
    for times in ([], {"routes": [], "alerts": []}, {"routes": 1, "alerts": []}):
        kept["policies"][both.name]["times"] = times
        with pytest.raises(UnreadableFile, match=r"the times of policy .* are none"):
            verify(page(tmp_path, kept), sample)


def test_the_record_holds_what_it_takes(said: dict[str, Any], sample: Incident) -> None:
    assert set(said["policies"]) == {sample.policies[0].name, "always_fallback"}
    assert said["policies"][sample.policies[0].name]["implied"]
    assert {len(one["sha256"]) for one in said["loads"]} == {64}
    assert not [one for one in said["loads"] if "/" in one["file"]]
    assert (said["draws"], said["seed"]) == (2, 0)
    assert json.loads(json.dumps(said)) == said


def test_what_differs_is_said(tmp_path: Path, sample: Incident, said: dict[str, Any]) -> None:
    other = copy.deepcopy(said)
    other["loads"][0]["sha256"] = "0" * 64
    other["settings"]["slow_ms"] = 1
    other["versions"]["duckdb"] = "0.1"
    row = next(row for row in other["scorecard"]["rows"] if row[5] is not None)
    row[5] *= 1.001
    other["transitions"]["rows"].pop()
    found = verify(page(tmp_path, other), sample)
    shown = str(found)
    for part in (
        "(000000000000) is not among what the case loads now",
        "settings: slow_ms was 1, is",
        f"score {row[0]}, {row[1]}, {row[2]}: estimate was",
        "is new",
        "(not as it was: duckdb was 0.1, is",
    ):
        assert part in shown, part
    assert found.exit_code == 1


def test_a_page_that_carries_no_record_or_a_damaged_one(tmp_path: Path, sample: Incident, said: dict[str, Any]) -> None:
    (tmp_path / "a.html").write_text("<p>nothing</p>", encoding="utf-8")
    with pytest.raises(UnreadableFile, match=r"a\.html carries no record"):
        read_record(tmp_path / "a.html")
    with pytest.raises(UnreadableFile, match=r"cannot be read"):
        read_record(tmp_path / "missing.html")
    with pytest.raises(UnreadableFile, match=r"damaged: draws missing"):
        read_record(page(tmp_path, said | {"draws": "many"}))
    for damage in ({"during": [["x", 1]]}, {"policies": {"p": 1}}, {"scorecard": {"rows": 1}}):
        with pytest.raises(UnreadableFile, match="the record is damaged"):
            verify(page(tmp_path, said | damage), sample)


def test_a_record_of_hostile_text_comes_back_as_it_was(tmp_path: Path, said: dict[str, Any]) -> None:
    nasty = said | {"settings": {"title": made_up.HOSTILE + "&\u202e'\""}}
    assert read_record(page(tmp_path, nasty))["settings"] == nasty["settings"]


def test_the_verb_says_it_by_exit_code(
    tmp_path: Path,
    sample: Incident,
    said: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli_brief.verbs, "opened", lambda _case, _step: sample)

    def code(file: Path) -> object:
        monkeypatch.setattr(sys, "argv", ["incident-kit", "verify", str(file), "--case", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    assert code(page(tmp_path, said)) == 0
    assert "can be made again" in capsys.readouterr().out
    assert code(page(tmp_path, said | {"loads": []})) == 1
    (tmp_path / "other.html").write_text("no brief", encoding="utf-8")
    assert code(tmp_path / "other.html") == 2
    assert "carries no record" in capsys.readouterr().err


def test_a_proposal_counts_against_what_was_logged(sample: Incident, board: Board) -> None:
    (found,) = proposals(sample, board)
    assert found.policy == sample.policies[0].name
    assert [gain.measure for gain in found.gains] == [
        f"waits over {sample.slow_ms / 1000:g} s", "requests without an answer", "failed look-ups", "rewritten drafts",
    ]  # fmt: skip
    assert found.gains[3].verdict == "cannot tell", "the capture holds no reviews"
    assert found.requests == board.table()["n"].max()
    assert {one.intent for one in found.changes} == set(board.table(by="intent")["intent"])


def test_the_settings_of_a_slider_are_made_again_too(
    tmp_path: Path, sample: Incident, board: Board, said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = sample.policies[0]
    (path,) = likely(policy, {})
    paths = {path: [1500]}
    swept_to = sweep(sample, policy, paths, metrics=["fallback_rate"], during=board.during, draws=1)
    recipe = {"policy": policy.name, "grid": paths, "by": None, "draws": 1, "metrics": ["fallback_rate"], "seed": 0}
    recipe["scores"] = numbers_of(swept_to, [path])
    assert len(recipe["scores"]) == 2
    monkeypatch.setattr(verification, "_board", lambda *_: board)  # the scorecard is another test's
    with_sweep = {**said, "sweep": recipe}
    assert verify(page(tmp_path, with_sweep), sample).differences == ()
    tampered = copy.deepcopy(with_sweep)
    tampered["sweep"]["scores"][1][4] = 0.123
    (difference,) = verify(page(tmp_path, tampered), sample).differences
    assert difference.startswith("setting 1, all, fallback_rate: estimate was 0.123, is ")
    for damage in ({"policy": "another"}, {"grid": None}, {"grid": {path: 3}}):
        with pytest.raises(UnreadableFile, match="damaged"):
            verify(page(tmp_path, {**said, "sweep": {**recipe, **damage}}), sample)


@pytest.mark.parametrize("form", ["pdf", "eml", "md"])
def test_only_the_page_carries_a_record(tmp_path: Path, form: str) -> None:
    file = tmp_path / f"brief.{form}"
    file.write_bytes(b"%PDF-1.7")
    with pytest.raises(UnreadableFile, match=r"only the page does; incident-kit brief CASE --out brief\.html"):
        read_record(file)
