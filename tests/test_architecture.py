"""The house: imports run downhill, the package imports fast, and its public names are there."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import incident_kit as ik

PACKAGE = Path(ik.__file__).parent
# from the ground up; a line is one floor: its rooms may see each other's, as long as no two see one another
FLOORS = [
    ["cachedproperty", "errors"],
    [
        "zones",
        "outputs",
        "outcomerecords",
        "schedules",
        "durations",
        "draws",
        "words",
        "samples",
        "store",
        "delays",
        "survival",
        "laplace",
        "propensity",
        "rises",
        "filenames",
        "moments",
        "framefiles",
        "spreadsheets",
        "intervals",
        "versionspans",
        "fingerprints",
        "notebookcells",
        "notebookruns",
    ],
    ["shares"],
    ["trials"],
    ["signalwords", "clocks", "slarules"],
    ["sladocket", "slarecords", "slasettings", "slareport"],
    ["slainputs"],
    ["slaclock"],
    ["sources", "signals"],
    ["lakefiles", "lakerows", "sessions"],
    ["lake"],
    ["vocabulary"],
    ["conditions", "rulewords"],
    ["routes"],
    ["policyvalues", "policytree"],
    ["grammar"],
    ["policywriter", "policywords", "policychecks"],
    ["policyreader"],
    ["policydiff", "policyedit", "policyfile"],
    ["policy"],
    ["asked", "baselines", "phases", "dials", "policyversions"],
    ["clusterreport", "cohorts"],
    ["milestones"],
    ["scenario"],
    ["traffic", "potential", "reviews"],
    ["kernel", "log", "lots", "placing"],
    ["truth", "fates", "timebins", "blasthreads", "routing"],
    ["observations"],
    ["cells"],
    ["covariance"],
    ["placebo"],
    ["posterior"],
    ["deployments"],
    ["plan", "donors", "settlement", "borrowing", "pools", "tallies"],
    ["books"],
    ["thresholds"],
    ["machinery", "judges"],
    ["agenda", "bench", "details"],
    ["queues", "factual"],
    ["breakers", "exogenous"],
    ["sightings", "sweeps", "ways"],
    ["attempts"],
    ["machine"],
    ["evidence"],
    ["wiring", "model"],
    ["runs"],
    ["trail"],
    ["replays", "metrics"],
    ["decisions", "outcomes", "series", "fidelity", "flags", "carried"],
    ["resulttables"],
    ["partitions"],
    ["turns"],
    ["windows"],
    ["scores"],
    ["played"],
    ["desk", "litellmlog"],
    ["scorecard", "explain", "switches", "budget", "caveats"],
    ["gateways"],
    ["incident"],
    ["lakeanswers"],
    ["cluster"],
    ["packlayout", "pseudonyms"],
    ["packed"],
    ["incidents", "packing"],
    ["settings", "handover", "crew", "fleet", "ledger", "objective"],
    ["joining"],
    ["suggestions"],
    ["healthy", "healthywindows", "groups", "likeness", "tuning", "frontiers"],
    ["quality", "facets"],
    ["contrasts", "checks"],
    ["compatibilities", "sensitivities", "workbench", "battery"],
    ["chains", "likenesswords", "limits", "panels"],
    ["drafting", "bars", "signs"],
    ["gatewords"],
    ["verdicts"],
    ["checking", "firings"],
    ["leads", "agentwaits", "ticketlist", "reconciliation"],
    ["handling", "exploration", "listing"],
    ["consequences"],
    ["bills", "library"],
    ["choices"],
    ["tunings"],
    ["recommendations"],
    ["recommendationwords"],
    ["moves"],
    ["checkpage", "gates"],
    ["gatefiles", "gatepage"],
    ["coverage", "costs", "promises"],
    ["charts"],
    ["brieftable", "live", "pageparts"],
    ["knobs", "tunersnapshot", "brush", "briefrecord", "proposal", "notebookpage", "notebookviews"],
    ["brieffront", "whatif", "briefpictures"],
    ["verification"],
    ["briefcontent", "explorer", "tuner"],
    ["briefpage"],
    ["briefmail", "briefpdf"],
    ["excerpts"],
    ["gatewayversions", "inforce", "policyhistory"],
    ["case"],
    ["simulation"],
    ["evaluations"],
    ["drills", "pages", "sheets"],
    ["rehearsal"],
    ["exercise"],
    ["rehearsals", "timetables"],
    ["rehearsed", "runbook"],
    ["options", "streams", "terminal"],
    ["terminal_evidence", "terminal_desk", "terminal_gameday", "verbs"],
    [
        "cli_brief",
        "cli_cluster",
        "cli_desk",
        "cli_evidence",
        "cli_findings",
        "cli_gate",
        "cli_notebooks",
        "cli_policies",
        "cli_scenarios",
        "cli_sources",
        "cli_tuning",
        "cli_versions",
    ],
    ["cli"],
    ["__main__"],
]
PACKAGES = [
    "alerting",
    "backups",
    "briefs",
    "clusters",
    "commandline",
    "drafts",
    "engine",
    "estimation",
    "gamedays",
    "policygate",
    "helpdesk",
    "inspection",
    "notebookpages",
    "optimization",
    "outfiles",
    "packs",
    "policies",
    "scenarios",
    "scoring",
    "servicelevels",
    "stats",
    "widgets",
]  # their modules are rooms of their own
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
LINES = 400
LONG = {"kernel": "one loop, read from top to bottom"}  # the only rooms that may be larger, and why
HEAVY = {
    "altair",
    "numba",
    "scipy",
    "ipywidgets",
    "anywidget",
    "jupyter",
    "jupyter_core",
    "jupyterlab",
    "matplotlib",
    "pandas",
    "vl_convert",
}


def modules() -> list[Path]:
    return sorted(file for file in PACKAGE.rglob("*.py") if "__pycache__" not in file.parts)


def room(file: Path) -> str:
    """Return a module's room: a package such as charts, which is not of PACKAGES, is one."""
    parts = file.relative_to(PACKAGE).parts
    return file.stem if parts[0] in PACKAGES else parts[0].removesuffix(".py")


def package(room: str) -> str:
    """Return the package that a room is in; it alone where it is in none."""
    return next((name for name in PACKAGES if (PACKAGE / name / f"{room}.py").exists()), room)


def imported(file: Path) -> Iterator[str]:
    """Yield the rooms that a module needs to be imported at all: not what it imports for types only, or when called."""
    for node in _at_import(ast.parse(file.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "incident_kit":
            parts = node.module.split(".")
            inner = [part for part in parts[1:] if part not in PACKAGES]
            yield from inner[:1] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[-1] for alias in node.names if alias.name.startswith("incident_kit."))


def _at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                yield from _at_import(node.body)
            yield from _at_import(node.orelse)
        elif isinstance(node, ast.Try | ast.With | ast.ClassDef):
            yield from _at_import(node.body)
        elif not isinstance(node, ast.FunctionDef):
            yield node


def test_every_room_has_its_floor() -> None:
    rooms = {room(file) for file in modules()} - {"__init__"}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_downhill(file: Path) -> None:
    here = room(file)
    if here == "__init__":
        return
    uphill = {other for other in imported(file) if other != here and FLOOR[other] > FLOOR[here]}
    assert not uphill, f"{here} is below {', '.join(sorted(uphill))}"


def test_no_two_modules_need_one_another() -> None:
    """On one floor too: each module's needs, followed to the end, never lead back to it."""
    _never_round(str)


def test_no_two_packages_need_one_another() -> None:
    _never_round(package)


def _never_round(whole: Callable[[str], str]) -> None:
    needs: dict[str, set[str]] = {}
    for file in modules():
        if room(file) != "__init__":
            here = whole(room(file))
            needs.setdefault(here, set()).update({whole(other) for other in imported(file)} - {here})
    for start, first in needs.items():
        seen, left = set(), set(first)
        while left:
            one = left.pop()
            seen.add(one)
            left |= needs[one] - seen
        assert start not in seen


def test_the_reader_of_imports_sees_what_matters(tmp_path: Path) -> None:
    """A test of the test: what counts, and what does not."""
    file = tmp_path / "x.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nimport incident_kit.store\nfrom incident_kit import charts\n"
        "if TYPE_CHECKING:\n    from incident_kit.commandline.cli import app\n"
        "def f():\n    from incident_kit.case import open_case\n"
        "class C:\n    from incident_kit.log import read\n"
    )
    assert sorted(imported(file)) == ["charts", "log", "store"]


@pytest.mark.parametrize(
    "name", ["store", "log", "kernel", "plan", "donors", "evidence", "replays", "decisions", "scorecard"]
)
def test_what_computes_never_draws(name: str) -> None:
    """Not even inside a function."""
    tree = ast.parse(
        (PACKAGE / package(name) / f"{name}.py").read_text(encoding="utf-8")
        if package(name) != name
        else (PACKAGE / f"{name}.py").read_text(encoding="utf-8")
    )
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {one.split(".")[0] for one in names} & {"altair", "ipywidgets", "anywidget"}
        assert "incident_kit.charts" not in names


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_kit_is_fast_and_light() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import incident_kit; print(time.perf_counter() - t, *sys.modules)"
    )
    best, loaded = min((float(said.split()[0]), set(said.split()[1:])) for said in (python(code) for _ in range(3)))
    assert best <= 0.5
    assert not {name.split(".")[0] for name in loaded} & HEAVY


def test_replaying_draws_nothing() -> None:
    code = (
        "import sys, incident_kit as ik; i = ik.Incident.create(); i.answers = {}; "
        "ik.compare(i, [ik.blind('a', 'b', max_p95_ms=9)]).table(); print(*sys.modules)"
    )
    assert not {name.split(".")[0] for name in python(code).split()} & (HEAVY - {"numba", "scipy"})


def test_public_names_resolve() -> None:
    assert ik.__all__ == sorted(ik.__all__)
    assert set(ik.__all__) <= set(dir(ik))
    for name in ik.__all__:
        assert getattr(ik, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ik.nothing  # noqa: B018 - looking it up is the test


def test_functions_stay_functions_whatever_is_imported() -> None:
    """A module named like a public function would hide it once imported."""
    code = (
        "import importlib, pkgutil, incident_kit as ik\n"
        "for found in pkgutil.walk_packages(ik.__path__, 'incident_kit.'): importlib.import_module(found.name)\n"
        "names = 'replay', 'brief', 'compare', 'diff', 'findings', 'contrast', 'gate', 'pack', 'tune'\n"
        "print(*(name for name in names if not callable(getattr(ik, name))))"
    )
    assert python(code) == ""


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_module_is_one_noun(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES or file.stem in LONG, f"{file.name} has {lines} lines: it holds two nouns"


def test_no_room_for_odds_and_ends() -> None:
    assert not {file.stem for file in modules()} & {"utils", "helpers", "base", "common", "misc"}
