"""History: the versions of a policy file that the repository it lies in knows; a commit's time is not a deployment's."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from incident_kit.errors import IncidentKitError, InvalidPolicy, UnreadableFile
from incident_kit.outfiles.outputs import write_whole
from incident_kit.policies.policy import Policy
from incident_kit.policies.versionspans import span

_COMMIT = re.compile(r"[0-9a-f]{40,64} \d+ ", re.ASCII)
MOST_COMMITS = 500


@dataclass(frozen=True, slots=True)
class Commit:
    """A policy file as one commit left it; ``at`` is the committer's time, which is not when it was deployed."""

    sha: str
    at: datetime
    subject: str
    text: str


def history(file: str | Path) -> list[Commit]:
    """Return a file's commits, the oldest first, as the repository that it lies in has them; renames are followed.

    Raises
    ------
    UnreadableFile
        The file is in no repository, has no commit, or git is not there.
    """
    path = Path(file)
    folder = path.parent
    log = _git(
        folder, "log", "--follow", "--name-only", f"--max-count={MOST_COMMITS}", "--format=%H %ct %s", "--", path.name
    )
    top = _git(folder, "rev-parse", "--show-toplevel").strip()
    found: list[Commit] = []
    head: list[str] | None = None
    for line in log.splitlines():
        if _COMMIT.match(line):
            head = line.split(" ", 2)
        elif line.strip() and head is not None:
            sha, at, subject = head
            head = None
            try:
                text = _git(Path(top), "cat-file", "blob", f"{sha}:{line.strip()}")
            except UnreadableFile:  # the commit that removed it
                continue
            found.append(Commit(sha, datetime.fromtimestamp(int(at), tz=UTC), subject, text))
    if not found:
        raise UnreadableFile(
            f"{path} has no commit in the repository that it lies in; commit it, or name versions by hand"
        )
    return found[::-1]


def _git(folder: Path, *words: str) -> str:
    # the repository may be somebody else's: its configuration runs nothing to check signatures or fetch what is missing
    settings = ("core.quotepath=false", "core.fsmonitor=false", "log.showSignature=false")
    command = [
        "git",
        "-C",
        str(folder),
        *(word for one in settings for word in ("-c", one)),
        "--literal-pathspecs",
        *words,
    ]
    environment = os.environ | {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=60, env=environment)  # noqa: S603 - no shell, words of ours
    except FileNotFoundError:
        raise UnreadableFile("git is not installed, so no history can be read: list the versions by hand") from None
    except subprocess.TimeoutExpired:
        raise UnreadableFile(f"git did not answer within a minute in {folder}") from None
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.decode("utf-8", "replace").split())[:200]
        raise UnreadableFile(f"{folder} has no history that can be read: git says {said!r}") from None
    return done.stdout.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a file's history: its versions with the file that each was written to, and what was left out and why."""

    entries: tuple[tuple[str, datetime | None, datetime | None, Commit], ...]
    skipped: tuple[str, ...]

    @property
    def yaml(self) -> str:
        """The list for ``in_force:`` of ``incident.yaml``."""
        lines = ["in_force:   # times are commits', not deployments': put in when each was really rolled out"]
        for name, since, until, commit in self.entries:
            times = f", from: {_zulu(since)}" if since else ""
            times += f", until: {_zulu(until)}" if until else ""
            subject = re.sub(r"[^\x20-\x7e]+", " ", commit.subject)[:60].strip()
            lines.append(f"- {{policy: {_quoted(name)}{times}}}   # {commit.sha[:10]} {subject}".rstrip())
        return "\n".join(lines) + "\n"


def keep_history(file: str | Path, folder: str | Path, *, below: str = "policies") -> Kept:
    """Return the versions of a policy file that its repository knows, each written below ``folder``; equal neighbours are one.

    The first is taken to have been in force from the beginning. A commit that holds no usable policy is left out, and said.

    Raises
    ------
    UnreadableFile
        There is no history.
    InvalidPolicy
        No commit holds a policy that can be used.
    """
    kept: list[tuple[Commit, Policy]] = []
    skipped = []
    for commit in history(file):
        try:
            policy = Policy.parse(commit.text, name=Path(file).stem)
        except IncidentKitError as error:
            skipped.append(f"{commit.sha[:10]} ({_zulu(commit.at)}) holds no policy that can be used: {error}")
            continue
        if kept and commit.at <= kept[-1][0].at:
            skipped.append(f"{commit.sha[:10]} ({_zulu(commit.at)}) is not later than the commit before it")
            continue
        if not kept or policy != kept[-1][1]:
            kept.append((commit, policy))
    if not kept:
        raise InvalidPolicy(f"no commit of {file} holds a policy that can be used: {'; '.join(skipped)}")
    target = Path(folder) / below
    target.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "-", Path(file).stem, flags=re.ASCII).strip(".-") or "policy"
    entries = []
    for i, (commit, _) in enumerate(kept):
        name = f"{below}/{stem}-{commit.at:%Y%m%dT%H%M%SZ}-{commit.sha[:7]}.yaml"
        write_whole(Path(folder) / name, commit.text)
        until = kept[i + 1][0].at if i + 1 < len(kept) else None
        entries.append((name, commit.at if i else None, until, commit))
    return Kept(tuple(entries), tuple(skipped))


def _zulu(at: datetime) -> str:
    return span(at, None).removesuffix("..")


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w./-]+", text, re.ASCII) else "'" + text.replace("'", "''") + "'"
