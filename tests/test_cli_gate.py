"""The verbs pack and check, as a CI calls them: exit codes, files, and a sentence for whatever is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_checking import AWAY, JUMPY, LEAVES, STAYS, requests
from test_gates import incident

from incident_kit.packs.packed import open_pack, read_manifest
from incident_kit.packs.packing import pack
from incident_kit.policygate.gatewords import HELP


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a CI checks it out: policies, limits, packs."""
    root = tmp_path_factory.mktemp("desk")
    for policy in (STAYS, LEAVES, JUMPY):
        (root / f"{policy.name}.yaml").write_text(policy.text or "", encoding="utf-8")
    (root / "limits.yaml").write_text("limits:\n- {metric: mean_ms, max: 2000}\n", encoding="utf-8")
    (root / "incidents").mkdir()
    for name in ("one", "two"):
        pack(incident(root / f"log-{name}", requests()), root / "incidents" / name)
    return root


def run(desk: Path, *arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": str(columns)}
    command = [sys.executable, "-m", "incident_kit", *arguments]
    return subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_check_of_a_folder_writes_what_a_ci_wants(desk: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / f"out.{name}" for name in ("md", "json", "xml")}
    asked = ["check", "leaves.yaml", "--against", "incidents", "--limits", "limits.yaml", "--draws", "3", "--jobs", "1"]
    written = ["--markdown", str(files["md"]), "--json", str(files["json"]), "--junit", str(files["xml"])]
    done = run(desk, *asked, *written)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "PASS: leaves: all 2 limits hold on 2 of 2 incidents."
    assert json.loads(files["json"].read_text())["exit_code"] == 0
    assert files["md"].read_text().startswith("## PASS: leaves")
    assert "<testsuites" in files["xml"].read_text()
    wide = run(desk, *asked, columns=120)
    assert wide.stdout.splitlines()[0].split() == ["incident", "limit", "policy", "in", "force", "verdict"]
    assert max(map(len, wide.stdout.splitlines())) <= 120


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 140])
def test_what_helps_where_limits_cannot_be_told(desk: Path, tmp_path: Path, columns: int) -> None:
    (tmp_path / "away.yaml").write_text(AWAY.text or "", encoding="utf-8")  # to a model that no log shows
    asked = ("--limits", "limits.yaml", "--draws", "3", "--jobs", "1")
    done = run(desk, "check", str(tmp_path / "away.yaml"), "--against", "incidents", *asked, columns=columns)
    assert done.returncode == 2
    assert HELP in done.stdout.splitlines()


@pytest.mark.slow
def test_check_ends_with_what_it_found(desk: Path, tmp_path: Path) -> None:
    asked = ["--limits", "limits.yaml", "--draws", "3", "--jobs", "1"]
    assert run(desk, "check", "stays.yaml", "--against", "incidents", *asked).returncode == 1
    (tmp_path / "empty").mkdir()
    empty = run(desk, "check", "stays.yaml", "--against", str(tmp_path / "empty"), *asked)
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "holds no incident" in empty.stderr
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "pack.json").write_text("{")
    broken = run(desk, "check", "stays.yaml", "--against", str(tmp_path), "--json", "-", "--unsure", "pass", *asked)
    assert broken.returncode == 2, "nobody looked at it: that is no matter of being unsure"
    assert json.loads(broken.stdout)["incidents"][0]["outcome"] == "error"
    assert "Traceback" not in broken.stderr


@pytest.mark.slow
def test_check_of_one_pack_is_that_of_a_case(desk: Path) -> None:
    done = run(desk, "check", "leaves.yaml", "--against", "incidents/one", "--in-force", "stays.yaml", "--draws", "3")
    assert done.stdout.splitlines()[0].startswith("FAIL: leaves against stays: ")
    assert done.returncode == 1


@pytest.mark.slow
def test_pack_says_what_it_wrote(desk: Path, tmp_path: Path) -> None:
    (desk / "key").write_bytes(b"a key of mine, long enough\n")
    done = run(
        desk, "pack", "incidents/one", "--out", str(tmp_path / "p"), "--key-file", "key", "--policy", "leaves.yaml"
    )
    assert done.returncode == 0, done.stderr
    assert "720 requests" in done.stdout
    assert "ids are numbers, with marks made with your key" in done.stdout
    assert read_manifest(tmp_path / "p")["pseudonyms"]["key"] is not None
    assert len(open_pack(tmp_path / "p").log) == 720
    for arguments, why in (
        (["pack", "incidents/one", "--out", str(tmp_path / "p" / "q" / "r")], "there is no folder"),
        (["pack", "nowhere", "--out", str(tmp_path / "q")], "is no incident"),
        (["pack", "incidents/one", "--out", str(tmp_path / "q"), "--key-file", "nothing"], "is no key"),
    ):
        failed = run(desk, *arguments)
        assert failed.returncode == 2
        assert why in " ".join(failed.stderr.split())
