"""The README is true: its code runs, and everything public is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import incident_kit as ik
from incident_kit.commandline.cli import app
from incident_kit.policies.policy import Policy
from incident_kit.sources import formats

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_every_verb_is_documented() -> None:
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert verbs
    assert {verb for verb in verbs if f"`incident-kit {verb}" not in README} == set()


def test_every_format_is_documented() -> None:
    said = README + "".join((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("gateways", "helpdesks"))
    assert {one.name for one in formats() if f"`{one.name}`" not in said} == set()


def test_every_public_name_is_documented() -> None:
    said = README + "".join(
        (ROOT / "notebooks" / f"{name}.ipynb").read_text()
        for name in ("01-what-happened", "02-what-if", "03-tune-thresholds")
    )
    unsaid = {name for name in ik.__all__ if not re.search(rf"\b{name}\b", said)}
    assert unsaid == set()


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "as logged" in run.stdout
    assert (tmp_path / "brief.html").stat().st_size < 2_000_000


def test_yaml_blocks_load(tmp_path: Path) -> None:
    case, policy = blocks("yaml")
    assert Policy.parse(policy).targets == ("primary_chat_model", "fast_backup_model", "reasoning_model")
    (tmp_path / "incident.yaml").write_text(case)
    from incident_kit.case import read_case

    assert len(read_case(tmp_path).sources) == 2
