"""Systems: the package calls nothing that Windows and macOS lack, names files as they do, and reads lines as they end there."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from systems import reserved

import incident_kit as ik
from incident_kit.case import read_case
from incident_kit.errors import InvalidRows
from incident_kit.gamedays.rehearsal import read_degradations
from incident_kit.gateways.litellm_config import read_settings
from incident_kit.policies.policy import Policy
from incident_kit.policygate.bars import read_bars
from incident_kit.samples import sample as bundled
from incident_kit.sources import load
from incident_kit.sources.files import BOM
from incident_kit.sources.formats import parse_format
from incident_kit.store import Store

ROOT = Path(__file__).parents[1]
PACKAGE = Path(ik.__file__).parent
SAMPLES = sorted(one for one in (ROOT / "tests/data/formats").iterdir() if one.suffix in {".ndjson", ".json", ".csv"})
NOT_ON_WINDOWS = {"curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
NOT_CALLED = {  # not there on Windows, or other than here
    "os": {"fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "killpg", "mkfifo", "nice", "setsid", "sysconf",
        "uname", "wait4"},
    "signal": {"SIGKILL", "SIGALRM", "SIGUSR1", "SIGHUP", "alarm", "setitimer", "pause"},
    "time": {"tzset", "clock_gettime"},
}  # fmt: skip


@functools.cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [(file, ast.parse(file.read_text(encoding="utf-8"))) for file in sorted(PACKAGE.rglob("*.py"))]


def foreign(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield what of a module is not everywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, one.name) for one in node.names if one.name in NOT_ON_WINDOWS)
        elif isinstance(node, ast.ImportFrom) and node.module in NOT_ON_WINDOWS:
            yield node.lineno, str(node.module)
        elif isinstance(node, ast.ImportFrom) and node.module in NOT_CALLED:
            yield from ((node.lineno, one.name) for one in node.names if one.name in NOT_CALLED[node.module])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NOT_CALLED.get(node.value.id, ()):
                yield node.lineno, f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and str(node.value).startswith(("/proc/", "/dev/", "/tmp/")):  # noqa: S108 - looked for
            yield node.lineno, str(node.value)


def careless(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield where text is read in the system's encoding, or written with its line ends."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        said = {one.arg for one in node.keywords}
        words = [str(one.value) for one in node.args if isinstance(one, ast.Constant)]
        if name == "read_text" and isinstance(node.func, ast.Attribute) and not node.args and "encoding" not in said:
            yield node.lineno, name
        if name == "write_text" and isinstance(node.func, ast.Attribute) and not {"encoding", "newline"} <= said:
            yield node.lineno, name
        mode = next((word for word in words if set(word) <= set("rwaxbt+")), "")
        if name == "open" and mode and "b" not in mode and "encoding" not in said:
            yield node.lineno, f"open {mode}"
        if name == "open" and set(mode) & set("wax") and "b" not in mode and "newline" not in said:
            yield node.lineno, f"open {mode}"


@pytest.mark.parametrize("rule", [foreign, careless])
def test_the_package_is_at_home_on_every_system(rule: object) -> None:
    assert callable(rule)
    assert [f"{file.name}:{line} {what}" for file, tree in trees() for line, what in rule(tree)] == []


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("import resource", True), ("from fcntl import flock", True), ("os.fork()", True), ("from os import killpg", True),
        ("x = '/proc/self'", True), ("os._exit(1)", False), ("p.read_text()", True), ("p.read_text(encoding='utf-8')", False),
        ("p.write_text(s, encoding='utf-8')", True), ("p.write_text(s, encoding='utf-8', newline='')", False),
        ("open(p, 'w', encoding='utf-8')", True), ("p.open('r')", True), ("p.open('rb')", False), ("signal.SIGINT", False),
    ],
)  # fmt: skip
def test_the_search_finds_what_is_not(line: str, is_found: bool) -> None:  # noqa: FBT001 - a case's answer
    tree = ast.parse(line)
    assert bool([*foreign(tree), *careless(tree)]) == is_found


def test_processes_are_always_started_anew() -> None:
    """Windows and macOS do not fork: what works by spawn here works there."""
    ways = []
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition(".")[2]
                if called == "get_context":
                    ways.append(ast.unparse(node.args[0]))
                if called in {"Process", "Pool", "set_start_method"}:
                    ways.append(f"{file.name}:{node.lineno}")
                if called == "ProcessPoolExecutor":
                    assert "mp_context" in {one.arg for one in node.keywords}
    assert ways == ["'spawn'"]


def test_what_is_kept_is_worked_out_by_one_thread() -> None:
    """The standard library's cached properties are by each that asks, from Python 3.12 on."""
    own = PACKAGE / "cachedproperty.py"
    assert [file.name for file, tree in trees() if file != own and "functools.cached_property" in named(tree)] == []
    assert "functools.cached_property" in named(ast.parse("from functools import cached_property"))


def named(tree: ast.Module) -> set[str]:
    """Return what a module imports from others by name, and what it asks of them."""
    found = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return found | {f"{node.module}.{one.name}" for node in froms for one in node.names}


def test_a_clone_can_be_made_on_every_system() -> None:
    """No name that Windows refuses, no two that differ in capitals, and line ends that no checkout changes."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--eol"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no clone, or git is not installed")
    rows = [line.partition("\t") for line in done.stdout.splitlines()]
    names = [name for _, _, name in rows]
    assert [name for name in names if any(reserved(part) for part in name.split("/"))] == []
    assert len({name.casefold() for name in names}) == len(names) > 500
    assert max(map(len, names)) < 120, "Windows stops at 260 with the folder"
    assert {about.split()[0] for about, _, _ in rows} <= {"i/lf", "i/-text", "i/none"}
    assert all("eol=lf" in about for about, _, name in rows if name.endswith(".py"))


def rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    with Store() as store:
        load(store, file, zone="UTC")
        tables = [name for (name,) in store.rows("select table_name from duckdb_tables() where not temporary")]
        return {name: store.frame(f"select * from {name} order by all").rows() for name in tables if name != "loads"}  # noqa: S608 - the kit's own


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.name)
def test_a_log_whose_lines_end_as_on_windows_is_the_same_log(file: Path, tmp_path: Path) -> None:
    twin = tmp_path / file.name
    twin.write_bytes(file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert twin.read_bytes() != file.read_bytes()
    try:
        here = rows(file)
    except InvalidRows:
        with pytest.raises(InvalidRows):
            rows(twin)
        return
    assert rows(twin) == here
    assert any(here.values())


@pytest.mark.parametrize("mark", [b"", BOM], ids=["", "with a byte order mark"])
def test_what_people_write_may_be_written_on_windows(tmp_path: Path, mark: bytes) -> None:
    case = bundled()
    names = (
        "incident.yaml",
        "policies/per-intent.yaml",
        "policies/in-force.yaml",
        "policies/blind.yaml",
        "config.yaml",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(mark + (case / name).read_bytes().replace(b"\n", b"\r\n"))
    assert read_case(tmp_path) == read_case(case)
    for name in names[1:4]:
        assert Policy.load(tmp_path / name) == Policy.load(case / name)
    assert repr(read_settings(tmp_path / "config.yaml")) == repr(read_settings(case / "config.yaml"))
    script = tmp_path / "degradations.yaml"
    script.write_bytes(mark + b"degradations:\r\n- target: big\r\n  from: 10m\r\n  until: 30m\r\n  slow: 5\r\n")
    assert [one.target for one in read_degradations(script)] == ["big"]
    limits = tmp_path / "limits.yaml"
    limits.write_bytes(mark + b"limits:\r\n- {metric: error_rate, max: 0.5}\r\n")
    assert [one.metric for one in read_bars(limits)] == ["error_rate"]
    own = tmp_path / "own.sql"
    own.write_bytes(mark + (PACKAGE / "sources/feedback/overrides.sql").read_bytes().replace(b"\n", b"\r\n"))
    assert parse_format(own.read_text(encoding="utf-8"), where="own.sql").name


def test_a_name_with_brackets_loads_where_no_link_may_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows lets only some people make one."""

    def refused(self: Path, target: Path) -> None:
        raise OSError(22, "a required privilege is not held", str(self), 1314, str(target))

    monkeypatch.setattr(Path, "symlink_to", refused)
    file = tmp_path / "log [1].csv"
    file.write_bytes((ROOT / "tests/data/requests.csv").read_bytes())
    assert rows(file) == rows(ROOT / "tests/data/requests.csv")
    assert file.exists(), "it was copied, not moved"


def test_every_python_that_is_named_is_one_that_is_meant() -> None:
    """From the lowest on without a gap, and this one is among them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first = "Programming Language :: Python :: 3."
    named = sorted(int(one.removeprefix(first)) for one in project["classifiers"] if one.startswith(first))
    assert project["requires-python"] == f">=3.{named[0]}"
    assert named == list(range(named[0], named[-1] + 1))
    assert sys.version_info.minor in named, "run the suite on it, then name it"


def test_zones_are_known_without_those_of_the_system() -> None:
    """Windows has none: they come with a package there."""
    pytest.importorskip("tzdata")
    code = "from incident_kit.servicelevels.zones import zone; print(zone('London').key)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "Europe/London"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert [one for one in declared if one.startswith("tzdata") and "win32" in one]
