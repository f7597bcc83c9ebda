"""What others wrote: logs, cases, packs and policies made to harm; each is refused in a sentence, or is words and numbers."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written import TINY, Call, Request, write

import incident_kit as ik
from incident_kit.case import FILE, open_case
from incident_kit.commandline import cli, verbs
from incident_kit.errors import IncidentKitError, InvalidCase, InvalidPack, UnreadableFile
from incident_kit.outfiles.framefiles import write_frame
from incident_kit.packs import packed
from incident_kit.policies.policyhistory import history
from incident_kit.policygate import bars
from incident_kit.sources import files, load, records, staging
from incident_kit.store import Store

GOOD = '{{"request_id":"a{}","arrived_at":"2026-03-02T10:00:00Z","wait_ms":1}}\n'


# --- bombs


def _packed(path: Path, content: bytes) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content))
    else:
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(content)
    return path


@pytest.mark.parametrize("name", ["log.ndjson.gz", "log.ndjson.zst"])
def test_what_unpacks_to_more_than_any_log_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _packed(tmp_path / name, GOOD.format(1).encode() * 50_000)
    monkeypatch.setattr(files, "UNPACKED", 1 << 20)
    with pytest.raises(UnreadableFile, match=r"unpacks to more than 200 times its [\d,]+ bytes"):
        load(Store(), path)
    monkeypatch.undo()
    assert load(Store(), path).rows_read == 50_000  # three megabytes fill nothing


@pytest.mark.parametrize("name", ["log.ndjson.gz", "log.ndjson.zst"])
def test_a_log_that_packs_well_is_loaded(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UNPACKED", 1 << 16)
    path = _packed(tmp_path / name, "".join(map(GOOD.format, range(5_000))).encode())
    assert load(Store(), path).rows_loaded == 5_000


@pytest.mark.parametrize("name", ["log.ndjson", "log.csv"])
def test_a_line_longer_than_any_record_is_one_reject(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LONGEST_RECORD", 100_000)
    monkeypatch.setattr(staging, "SMALL", 10_000_000)  # read line by line at once
    path, long = tmp_path / name, "x" * 3_000_000
    if path.suffix == ".csv":
        path.write_text(
            f"request_id,arrived_at,wait_ms\na,2026-03-02T10:00:00Z,1\n{long},2026-03-02T10:00:00Z,1\nb,2026-03-02T10:00:01Z,1\n"
        )
    else:
        path.write_text(GOOD.format(1) + GOOD.format(long) + GOOD.format(2))
    with Store() as store:
        report = load(store, path)
        assert report.rows_loaded == 2
        assert report.rows_rejected == report.rows_read - 2 > 0
        assert store.rows("select max(length(request_id)) from requests") == [(2 if path.suffix != ".csv" else 1,)]


ROW = {"request_id": ["a", "b"], "arrived_at": ["2026-01-01T00:00:00Z"] * 2, "wait_ms": [1, 2]}
DEEP: Any = 1
for _ in range(60):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    "change",
    [
        {"wait_ms": [{"a": 1}, {"a": 2}]},
        {"wait_ms": [1e300, float("nan")]},
        {"request_id": [[["x"]], [["y"]]]},
        {"request_id": [b"\xff\xfe", b"\0"]},
        {"request_id": ["x" * 5_000_000, "y\0z\x1b[2J"]},
        {"arrived_at": [1e300, float("-inf")]},
        {"arrived_at": [2**62, -(2**62)]},
        {"labels": [DEEP, DEEP]},
        {'x"; drop table requests; --': [1, 2], "\x1b]0;owned\x07": [1, 2]},
        {"load_id": [7, 7], "row_no": [0, 0], "reject": ["no", "no"], "line": [1, 1]},
    ],
    ids=str,
)  # fmt: skip
def test_parquet_of_any_types_is_counted_or_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({**ROW, **change}), path)
    with Store() as store:
        try:
            report = load(store, path)
        except IncidentKitError:
            assert store.rows("select count(*) from loads") == [(0,)]
        else:
            assert report.rows_read == report.rows_loaded + report.rows_duplicate + report.rows_rejected == 2
            assert store.rows("select count(*) from requests") == [(report.rows_loaded,)]


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
YAMLS = {
    "laughs": LAUGHS,
    "laughs in a key that is known": LAUGHS + "title: *j\nroutes: *j\nlimits: *j\nsources: *j\n",
    "itself": "a: &a [*a]\ntitle: *a\nroutes: *a\nlimits: *a\n",
    "tag": "title: !!python/object/apply:os.system ['touch owned']\nroutes: []\nlimits: []\n",
    "tag of a name": "!!python/name:os.system x\n",
    "deep brackets": "title: " + "[" * 20_000,
    "deep lines": "".join(f"{' ' * i}a:\n" for i in range(1_500)),
    "merge": "a: &a {b: 1}\nroutes:\n- <<: *a\nlimits:\n- <<: *a\n",
    "nul": "title: a\0b\n",
    "directive": "%TAG ! tag:python/\n---\ntitle: !x y\n",
}
READERS: dict[str, Callable[[Path], object]] = {
    "case": lambda path: open_case(path.parent, in_memory=True),
    "policy": ik.Policy.load,
    "limits": bars.read_bars,
}


@pytest.mark.parametrize("name", YAMLS)
@pytest.mark.parametrize("reader", READERS)
def test_yaml_made_to_harm_is_refused_soon(
    tmp_path: Path, name: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / FILE
    path.write_text(YAMLS[name])
    began = time.process_time()
    with pytest.raises(IncidentKitError) as error:
        READERS[reader](path)
    assert time.process_time() - began < 10
    assert len(str(error.value)) < 5_000
    assert sorted(one.name for one in tmp_path.iterdir()) == [FILE]


# --- packs and cases of others


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory, tiny: ik.Incident) -> Path:
    return ik.pack(tiny, tmp_path_factory.mktemp("untrusted") / "pack")


def forged(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a manifest, and seal it as the kit does: a seal is no signature."""
    path = folder / packed.MANIFEST
    said = json.loads(path.read_text())
    change(said)
    said["sha256"] = packed._seal({name: value for name, value in said.items() if name != "sha256"})
    path.write_text(json.dumps(said))


def _with(**more: Any) -> Callable[[dict[str, Any]], None]:
    return lambda said: said.update(more)


FORGED: dict[str, Callable[[dict[str, Any]], None]] = {
    "a name above": lambda said: said["files"].update({"../../secret": said["files"]["requests"]}),
    "a name of the system": lambda said: said["files"].update({"/etc/passwd": said["files"]["requests"]}),
    "no hash": lambda said: said["files"]["requests"].pop("sha256"),
    "no size": lambda said: said["files"]["requests"].pop("bytes"),
    "a size that is none": lambda said: said["files"]["requests"].update(bytes="all"),
    "a size below": lambda said: said["files"]["requests"].update(bytes=-2),
    "files in a list": _with(files=[1, 2]),
    "no files": lambda said: said.pop("files"),
    "no requests": lambda said: said["files"].pop("requests"),
    "more names than there are": _with(pseudonyms={"counts": {"request": 10**12}}),
    "a policy that is none": _with(in_force={"name": "x", "versions": [{"text": "!!python/name:os.system x"}]}),
    "a zone that is none": _with(zone="../../etc/passwd"),
    "a title that is none": _with(title=["x"]),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_pack_is_refused_in_a_sentence(pack: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(pack, folder)
    forged(folder, FORGED[name])
    with pytest.raises(InvalidPack) as error:
        packed.open_pack(folder)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of Linux and macOS")
@pytest.mark.parametrize("kind", ["pipe", "endless", "directory", "elsewhere"])
def test_a_pack_whose_file_is_something_else(pack: Path, tmp_path: Path, kind: str) -> None:
    folder, secret = tmp_path / "pack", tmp_path / "secret.txt"
    secret.write_text("not for you")
    shutil.copytree(pack, folder)
    path = folder / "requests.parquet"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "endless" else secret)
    with pytest.raises(InvalidPack) as error:
        packed.open_pack(folder)
    assert "not for you" not in str(error.value)


def test_a_case_may_name_files_above_it_and_only_reads_them(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret.txt", tmp_path / "case"
    secret.write_text("user:password-of-somebody\n")
    folder.mkdir()
    (folder / "link.ndjson").symlink_to(secret)
    for named in ("../secret.txt", str(secret), "link.ndjson"):
        (folder / FILE).write_text(f"sources: [{{path: {named}}}]\n")
        with pytest.raises(IncidentKitError):
            open_case(folder, in_memory=True)
    assert secret.read_text() == "user:password-of-somebody\n"
    (folder / FILE).write_text("policies: [../secret.txt]\n")
    with pytest.raises(IncidentKitError):
        open_case(folder, in_memory=True)


def test_a_case_has_no_key_that_runs_something(tmp_path: Path) -> None:
    for key in ("run", "command", "hooks", "env", "python"):
        (tmp_path / FILE).write_text(f"{key}: touch owned\n")
        with pytest.raises(InvalidCase, match=f"there is no key '{key}'"):
            open_case(tmp_path, in_memory=True)


@pytest.mark.skipif(not shutil.which("git") or sys.platform == "win32", reason="git, and a program in its shell")
@pytest.mark.parametrize("vector", ["signature", "missing blob"])
def test_a_repository_of_somebody_else_runs_nothing(tmp_path: Path, vector: str) -> None:
    repository, owned, evil = tmp_path / "theirs", tmp_path / "owned", tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {owned}\n")
    evil.chmod(0o755)

    def git(*words: str, text: str = "") -> str:
        command = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@example.com", *words]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stdout

    repository.mkdir()
    git("init", "-q")
    (repository / "p.yaml").write_text("name: p\nroutes:\n- {intent: '*', primary: a, fallback: b}\n")
    git("add", "p.yaml")
    git("commit", "-q", "-m", "one")
    if vector == "signature":
        head = git("cat-file", "commit", "HEAD").partition("\n\n")[0]
        signed = f"{head}\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\nsigned\n"
        git("update-ref", "HEAD", git("hash-object", "-t", "commit", "-w", "--stdin", text=signed).strip())
        git("config", "log.showSignature", "true")
        git("config", "gpg.program", str(evil))
        careless = ("log", "-1")
    else:
        blob = git("rev-parse", "HEAD:p.yaml").strip()
        (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
        git("config", "core.repositoryformatversion", "1")
        git("config", "extensions.partialClone", "origin")
        git("config", "remote.origin.promisor", "true")
        git("config", "remote.origin.url", f"ext::{evil}")
        git("config", "protocol.ext.allow", "always")
        careless = ("cat-file", "blob", blob)
    with suppress(IncidentKitError):
        history(repository / "p.yaml")
    assert not owned.exists()
    git(*careless)
    assert owned.exists(), "the trap works"


# --- tables for sheets


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x")']
)
def test_no_text_of_a_log_is_a_formula_in_a_csv(tmp_path: Path, text: str) -> None:
    path = write_frame(
        pl.DataFrame({"intent": [text, "plain"], "listed": [[text], ["b"]], "n": [-1, 2]}), tmp_path / "t.csv"
    )
    back = pl.read_csv(path)
    assert back["intent"][0][0] == back["listed"][0][0] == "'"
    assert back["intent"][1] == "plain"
    assert back["n"].to_list() == [-1, 2], "numbers stay numbers"


# --- terminals

EVIL = "\x1b]8;;http://evil.example\x1b\\[bold red]x[/]\x1b[2J\u202e\x07\x9b31m\u2066"
HARM = {"\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\x00", "\x08", "\x7f"}
POLICY = """
name: p
routes:
- {intent: chat, primary: big, fallback: small,
   breaker: {when: p95_ms > 1000, window: 10s, min_requests: 2, cooldown: 5s, half_open: {requests: 1}}}
- {intent: "*", primary: big, fallback: small}
"""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evil") / "case"
    folder.mkdir()
    evil = [
        Request(
            f"{EVIL}{one.name}", one.at_ms + 100,
            [Call(f"{call.target}{EVIL}", call.latency_ms, call.error) for call in one.calls],
            intent=EVIL, overridden=one.overridden, changes={"ticket_id": f"t{EVIL}{one.name}"},
        )
        for one in TINY
    ]  # fmt: skip
    write(folder, [*TINY, *evil])
    (folder / "p.yaml").write_text(POLICY)
    (folder / FILE).write_text(
        json.dumps({
            "title": EVIL, "sources": [{"path": "*.ndjson"}], "policies": ["p.yaml"],
            "phases": [{"kind": "impact", "at": "2026-01-05T12:00:02Z", "until": "2026-01-05T12:00:09Z", "text": EVIL}],
        })
    )  # fmt: skip
    return folder


VERBS = {
    "load": ["load", "CASE"],
    "load --dry-run": ["load", "CASE/requests.ndjson", "--dry-run"],
    "timeline": ["timeline", "CASE"],
    "replay": ["replay", "CASE", "--by", "intent"],
    "explain": ["explain", EVIL + "r1", "CASE"],
    "explain --switch": ["explain", "--switch", "1", "CASE"],
    "explain what is not there": ["explain", EVIL, "CASE"],
    "draft": ["draft", "CASE"],
    "describe": ["describe", "CASE/p.yaml"],
    "budget": ["budget", "CASE"],
    "alerts": ["alerts", "CASE"],
    "compatibility": ["compatibility", "CASE"],
    "sla": ["sla", "CASE"],
    "reconcile": ["reconcile", "CASE", "--breaches", "CASE/requests.ndjson"],
    "findings": ["findings", "CASE"],
    "findings --with-ids": ["findings", "CASE", "--with-ids"],
    "check": ["check", "CASE/p.yaml", "--against", "CASE", "--draws", "1", "--jobs", "1"],
    "sweep": ["sweep", "CASE", "CASE/p.yaml", "chat.max_p95_ms=1000,2000", "--draws", "1"],
    "sweep of what is not there": ["sweep", "CASE", "CASE/p.yaml", EVIL + "=1"],
    "sensitivity": ["sensitivity", "CASE", "CASE/p.yaml", "--draws", "1"],
    "tune": ["tune", "CASE", "CASE/p.yaml", "chat.max_p95_ms=1000,2000", "--draws", "1"],
    "rehearse": ["rehearse", "CASE"],
    "pack": ["pack", "CASE", "--out", "OUT/pack"],
    "brief": ["brief", "CASE", "--out", "OUT/brief.md"],
    "verify": ["verify", "OUT/brief.md", "--case", "CASE"],
    "export": ["export", "CASE/p.yaml", "--to", "prometheus"],
    "export to nobody": ["export", "CASE/p.yaml", "--to", EVIL],
    "convert": ["convert", "CASE/incident.yaml"],
    "frontier": ["frontier", "CASE/requests.ndjson"],
    "evaluate": ["evaluate", "CASE/incident.yaml"],
    "simulate": ["simulate", "CASE/incident.yaml", "OUT/simulated"],
    "policies": ["policies", "--from-git", "CASE/p.yaml"],
    "source new": ["source", "new", "mine", "--from", "CASE/requests.ndjson", "--in", "OUT"],
    "source test": ["source", "test", "CASE/requests.ndjson", "CASE/requests.ndjson"],
    "sources": ["sources"],
    "new": ["new", "OUT/[red]new"],
}
UNREAD = {
    "demo": "tells the bundled story",
    "cluster": "needs a Spark cluster; what it prints goes through `terminal.said`",
}


def test_every_verb_is_among_them() -> None:
    import typer

    known = set(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]
    assert known == {words[0] for words in VERBS.values()} | UNREAD.keys()


@pytest.mark.slow
def test_nothing_of_a_log_reaches_a_terminal_but_words(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for console in (verbs.out, verbs.err):
        monkeypatch.setattr(console, "_width", 200)
    named = 0
    for name, words in VERBS.items():
        said = [word.replace("CASE", str(case)).replace("OUT", str(tmp_path)) for word in words]
        monkeypatch.setattr(sys, "argv", ["incident-kit", *said])
        capsys.readouterr()
        with suppress(SystemExit):
            cli.main()
        out, err = capsys.readouterr()
        assert out or err, name
        assert "Traceback" not in err, name
        found = HARM & set(out + err)
        assert not found, (name, found, [line for line in (out + err).splitlines() if set(line) & found][:3])
        named += "[bold red]x[/]" in out + err
    assert named > 8, "what was named is shown as it was written, and is no markup"
