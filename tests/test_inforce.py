"""What a case says of the policy in force: one file, versions of it, or by mistake a gateway's own configuration."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from incident_kit.case import open_case, read_case
from incident_kit.commandline.cli import app
from incident_kit.errors import IncidentKitError, InvalidCase, InvalidPolicy, UnreadableFile
from incident_kit.inforce import InForce, in_force_of, read_in_force
from incident_kit.policies.policy import Policy
from incident_kit.policies.policyhistory import history, keep_history
from incident_kit.policies.policyversions import Versions, versions

OLD = "routes: [{intent: '*', primary: big, fallback: small, max_p95_ms: 3000}]\n"
NEW = OLD.replace("3000", "4000")
NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/old.yaml").write_text(OLD)
    (tmp_path / "policies/new.yaml").write_text(NEW)
    (tmp_path / "config.yaml").write_text("model_list:\n- {model_name: big, litellm_params: {model: a/b}}\n")
    return tmp_path


def case(folder: Path, in_force: str) -> Path:
    (folder / "incident.yaml").write_text(f"in_force: {in_force}\n")
    return folder


LISTS = [
    "[{policy: policies/old.yaml, until: 2026-10-05T12:00Z}, {policy: policies/new.yaml, from: 2026-10-05T12:00:00Z}]",
    "[policies/old.yaml@..2026-10-05T14:00+02:00, policies/new.yaml@2026-10-05T12:00Z..]",
    "[{policy: policies/old.yaml}, {policy: policies/new.yaml, from: 2026-10-05T12:00Z}]",
]


@pytest.mark.parametrize("said", LISTS)
def test_a_list_of_versions(folder: Path, said: str) -> None:
    found = open_case(case(folder, said), in_memory=True).in_force
    assert isinstance(found, Versions)
    assert found == versions([(Policy.parse(OLD), None, NOON), (Policy.parse(NEW), NOON, None)])
    assert found.name == "old, then new"


def test_one_file_is_a_file(folder: Path) -> None:
    assert read_case(case(folder, "policies/old.yaml")).in_force == "policies/old.yaml"
    assert open_case(folder, in_memory=True).in_force == Policy.parse(OLD)
    assert read_case(case(folder, "[policies/old.yaml]")).in_force == (InForce("policies/old.yaml"),)
    assert open_case(folder, in_memory=True).in_force == Policy.parse(OLD)
    assert open_case(case(folder, "''"), in_memory=True).in_force is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("{policy: a.yaml}", "in_force: a policy file, or a list of versions"),
        ("[{from: 2026-10-05T12:00Z}]", r"in_force: \[0\]: write \{policy: FILE"),
        ("[{policy: a.yaml, form: 2026-10-05T12:00Z}]", r"\[0\]: there is no key 'form' .did you mean 'from'"),
        ("[{policy: a.yaml, until: 2026-10-05T12:00}]", r"\[0\].until: 2026-10-05T12:00 has no zone"),
        ("[{policy: a.yaml, until: 2026-10-05 12:00:00}]", "has no zone"),
        ("[{policy: a.yaml, until: 2026-10-05}]", "has no zone"),
        ("[{policy: a.yaml, until: 5}]", "'5' is not a time"),
        ("[a.yaml@noon..]", "'noon' is not a time"),
        ("[7]", r"\[0\]: write"),
        (
            "[{policy: policies/old.yaml, until: 2026-10-05T12:00Z}, {policy: policies/new.yaml, from: 2026-10-05T13:00Z}]",
            "in_force: nothing is in force between",
        ),
        (
            "[{policy: policies/old.yaml, until: 2026-10-05T14:00Z}, {policy: policies/new.yaml, from: 2026-10-05T13:00Z}]",
            "in_force: .* overlap: end the first where the second begins",
        ),
        ("config.yaml", r"LiteLLM's own configuration, not a policy: write `gateway: \{config: config.yaml"),
        ("[config.yaml@..2026-10-05T12:00Z]", "incident-kit convert config.yaml"),
    ],
)
def test_what_cannot_be_in_force_says_what_to_do(folder: Path, said: str, told: str) -> None:
    with pytest.raises(InvalidCase, match=told):
        open_case(case(folder, said), in_memory=True)


def test_other_faults_are_the_policys_own(folder: Path) -> None:
    (folder / "portkey.json").write_text('{"strategy": {"mode": "fallback"}, "targets": []}')
    with pytest.raises(InvalidCase, match=r"portkey.json is a gateway's own configuration"):
        in_force_of("portkey.json", folder, where="incident.yaml")
    with pytest.raises(UnreadableFile, match="No such file"):
        in_force_of("missing.yaml", folder, where="incident.yaml")
    (folder / "wrong.yaml").write_text(OLD.replace("max_p95_ms", "max_p59_ms"))
    with pytest.raises(InvalidPolicy, match="max_p95_ms"):
        in_force_of("wrong.yaml", folder, where="incident.yaml")
    assert read_in_force(None) is None


# --- from git ---

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *words: str, at: datetime = NOON) -> None:
    when = f"{int(at.timestamp())} +0000"
    known = {
        "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_DATE": when,
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin:/usr/local/bin",
    }
    who = ["-c", "user.name=ops", "-c", "user.email=ops@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, env=known)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Five commits: a policy, a comment only, a broken one, another policy, and a new name for the file."""
    top = tmp_path / "ops"
    (top / "gate ways").mkdir(parents=True)
    git(top, "init", "-q")
    file = top / "gate ways" / "pölicy.yaml"
    for i, (text, said) in enumerate(
        [(OLD, "first"), (f"# why\n{OLD}", "comment"), ("routes: [", "oops"), (NEW, "raise the limit\x1b[31m é")]
    ):
        file.write_text(text)
        git(top, "add", "-A")
        git(top, "commit", "-qm", said, at=NOON + timedelta(hours=i))
    git(top, "mv", str(file), str(file.with_name("-current.yaml")))
    git(top, "commit", "-qm", "rename", at=NOON + timedelta(hours=9))
    return top


@needs_git
def test_the_history_of_a_file(repository: Path, tmp_path: Path) -> None:
    file = repository / "gate ways" / "-current.yaml"
    found = history(file)
    assert [one.subject.split()[0] for one in found] == ["first", "comment", "oops", "raise", "rename"]
    assert [one.at for one in found] == [NOON + timedelta(hours=i) for i in (0, 1, 2, 3, 9)]
    kept = keep_history(file, tmp_path / "case")
    change = NOON + timedelta(hours=3)
    assert [(since, until) for _, since, until, _ in kept.entries] == [(None, change), (change, None)]
    assert len(kept.skipped) == 1
    assert "no policy that can be used" in kept.skipped[0]
    assert "\x1b" not in kept.yaml
    assert "commits', not deployments'" in kept.yaml
    (tmp_path / "case/incident.yaml").write_text(kept.yaml)
    assert open_case(tmp_path / "case", in_memory=True).in_force == versions(
        [(Policy.parse(OLD), None, change), (Policy.parse(NEW), change, None)]
    )


@needs_git
def test_what_has_no_history(tmp_path: Path, repository: Path) -> None:
    lone = tmp_path / "alone" / "p.yaml"
    lone.parent.mkdir()
    lone.write_text(OLD)
    with pytest.raises(UnreadableFile, match="has no history that can be read"):
        history(lone)
    (repository / "new.yaml").write_text(OLD)
    with pytest.raises(UnreadableFile, match="has no commit"):
        history(repository / "new.yaml")
    broken = repository / "broken.yaml"
    broken.write_text("routes: [")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "broken")
    with pytest.raises(InvalidPolicy, match="no commit of"):
        keep_history(broken, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@needs_git
def test_the_verb(repository: Path, tmp_path: Path) -> None:
    file = repository / "gate ways" / "-current.yaml"
    done = CliRunner().invoke(app, ["policies", "--from-git", str(file), "--into", str(tmp_path / "case")])
    assert done.exit_code == 0, done.output
    assert "in_force:" in done.stdout
    assert "not when it was deployed" in " ".join(done.stdout.split())
    assert len(list((tmp_path / "case/policies").iterdir())) == 2


def test_versions_on_the_command_line(folder: Path) -> None:
    from incident_kit.commandline.verbs import chosen

    incident = open_case(case(folder, "policies/old.yaml"), in_memory=True)
    old, new = folder / "policies/old.yaml", folder / "policies/new.yaml"
    made = chosen(incident, [Path(f"{old}@..2026-10-05T12:00Z"), new, Path(f"{new}@2026-10-05T12:00Z..")])
    assert [one.name for one in made] == ["old, then new", "new"]
    assert isinstance(made[0], Versions)
    with pytest.raises(IncidentKitError, match="nothing is in force between"):
        chosen(incident, [Path(f"{old}@..2026-10-05T12:00Z"), Path(f"{new}@2026-10-05T13:00Z..")])
