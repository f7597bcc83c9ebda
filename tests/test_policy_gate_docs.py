"""docs/policy-gate.md: its files parse, its commands run on a pack, its words are those of the kit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from incident_kit import open_case
from incident_kit.packs.packing import pack
from incident_kit.policygate.bars import parse_bars
from incident_kit.samples import CAPTURE, sample
from incident_kit.scoring.metrics import metric

TEXT = (Path(__file__).parents[1] / "docs" / "policy-gate.md").read_text(encoding="utf-8")
CHECK = "incident-kit check"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def workflow() -> Any:
    return YAML(typ="safe", pure=True).load(next(one for one in blocks("yaml") if "runs-on" in one))


def steps() -> list[str]:
    return [step["run"] for step in workflow()["jobs"]["check"]["steps"] if "run" in step]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as the docs want it, with one small pack."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "policies").mkdir()
    (root / "incidents").mkdir()
    shutil.copy(next((sample(CAPTURE) / "policies").glob("per-intent*.yaml")), root / "policies" / "per-intent.yaml")
    pack(open_case(sample(CAPTURE), in_memory=True), root / "incidents" / "capture")
    (root / "limits.yaml").write_text("limits: [{metric: switches, phase: healthy, max: 5}]\n", encoding="utf-8")
    return root


def bash(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a step as the CI does: every command must end well."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(folder), "GITHUB_STEP_SUMMARY": str(folder / "page.md"), "LANG": "C.UTF-8"}
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_workflow_is_one(checkout: Path) -> None:
    said = workflow()
    assert said["permissions"] == {"contents": "read"}
    uses = [step["uses"] for step in said["jobs"]["check"]["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", one) for one in uses)
    assert "${{" not in "".join(steps()), "nothing that others can name is put into a command"
    assert [one for one in steps() if "pip install" in one] == ["python -m pip install incident-kit"]
    assert (checkout / "incidents" / "capture" / "pack.json").is_file()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the steps are for a POSIX shell")
def test_the_steps_of_the_workflow_run(checkout: Path) -> None:
    for step in steps():
        if "pip install" not in step:
            done = bash(step, checkout)
            assert done.returncode == 0, done.stderr
    assert (checkout / "page.md").read_text(encoding="utf-8").startswith("## PASS: per-intent")
    for name in ("check.json", "check.xml"):
        assert (checkout / name).stat().st_size > 100


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the script is for a POSIX shell")
def test_the_script_for_other_ci_ends_with_the_verdict(checkout: Path) -> None:
    script = next(one for one in blocks("bash") if one.startswith("set -eu"))
    (checkout / "limits.yaml").write_text("limits: [{metric: p50_ms, phase: all, max: 1}]\n", encoding="utf-8")
    assert bash(script, checkout).returncode == 1


def test_the_limits_are_limits() -> None:
    bars = parse_bars(next(one for one in blocks("yaml") if one.startswith("# limits.yaml")))
    assert len(bars) == 5
    row = next(line for line in TEXT.splitlines() if line.startswith("| `metric` |"))
    names = [one for one in re.findall(r"`([^`]+)`", row)[1:] if one != "signal:NAME"]
    assert [metric(name).name for name in names] == names


def test_every_option_of_the_docs_is_one() -> None:
    told = {"check": "", "pack": ""}
    for verb in told:
        command = [sys.executable, "-m", "incident_kit", verb, "--help"]
        told[verb] = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)):
        assert option in told["check"] + told["pack"], option


def test_the_example_in_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, "policy-gate.md", "exec"), names)  # noqa: S102 - the docs' own
    assert names["found"].rows.height
