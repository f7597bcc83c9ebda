from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt
import nbformat
import polars as pl
import pytest

from incident_kit.case import new_case
from incident_kit.notebookpages.notebookruns import parameters_of, ran, with_parameters
from incident_kit.samples import notebooks, sample
from incident_kit.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
NOTEBOOKS = notebooks()
CHECKED = "nbval-check-output"
LARGEST = 1_500_000  # bytes of a notebook: a code host shows larger ones late or not at all
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "code") -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def test_all_are_there() -> None:
    names = ["01-what-happened", "02-what-if", "03-tune-thresholds", "04-leadership-brief"]
    assert [path.stem for path in NOTEBOOKS] == names


@each_notebook
def test_is_a_valid_notebook_without_a_trace_of_the_machine_that_wrote_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    nbformat.validate(json.loads(text))
    assert set(nbformat.read(path, as_version=4).metadata) == {"kernelspec", "language_info", "keep_output"}
    # addresses: those that name a schema or a namespace are fetched by nobody
    named = (
        "https://vega.github.io/schema/vega-lite/v5.json",
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    )
    for address in named:
        text = text.replace(address, "")
    assert re.findall(r"(?:/home|/root|/Users|/tmp|/work|/opt|/usr|/var)/|\b[A-Z]:\\\\|https?://|\.venv", text) == []


@each_notebook
def test_has_one_cell_of_parameters_the_first(path: Path) -> None:
    (parameters,) = [cell for cell in cells(path) if "parameters" in tags(cell)]
    assert parameters is cells(path)[0] or parameters.source == cells(path)[0].source
    values = dict(parameters_of(nbformat.read(path, as_version=4)))
    assert (path.parent / values["CASE"] / "incident.yaml").is_file()
    assert set(values) <= {"CASE", "POLICY", "POLICIES", "DURING", "DRAWS", "OUT", "LIBRARY"}
    assert all("#" in line for line in parameters.source.splitlines() if not line.startswith("DRAWS")), (
        "each says what it is"
    )


@each_notebook
def test_checks_numbers_that_a_change_would_move(path: Path) -> None:
    checked = [cell for cell in cells(path) if CHECKED in tags(cell)]
    assert checked
    assert {output.output_type for cell in checked for output in cell.outputs} == {"stream"}
    assert all(re.search(r"\d", cell.outputs[0].text) for cell in checked), "a checked output is numbers"


@each_notebook
def test_a_code_host_shows_it_without_running_anything(path: Path) -> None:
    assert path.stat().st_size < LARGEST
    assert [cell.execution_count for cell in cells(path)] == list(range(1, 1 + len(cells(path)))), "run top to bottom"
    outputs = [output for cell in cells(path) for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    results = [output.data for output in outputs if "data" in output]
    assert [data for data in results if "application/vnd.jupyter.widget-view+json" in data] == []
    charts = [data for data in results if any("vega" in kind for kind in data)]
    assert all(data["image/svg+xml"].startswith("<svg ") for data in charts)
    assert len(charts) >= {"01": 3, "02": 3, "03": 3, "04": 1}[path.name[:2]]
    tables = [data for data in results if "<table" in data.get("text/html", "")]
    assert all("  " in data["text/plain"] or data["text/plain"] == "Nothing." for data in tables), "also as text"


@each_notebook
def test_is_what_the_commit_hook_leaves_of_it(path: Path) -> None:
    hook = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    found = re.search(r"entry: uv run nbstripout ([^,}]+)", hook)
    assert found
    options = found[1].replace('"', "").split()
    strip = Path(sys.executable).with_name("nbstripout")
    run = subprocess.run([strip, *options, "--verify", path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@each_notebook
def test_tells_a_story(path: Path) -> None:
    prose = cells(path, "markdown")
    assert prose[0].source.startswith("# ")
    assert len(prose) >= 0.5 * len(cells(path))
    numbers = [number for cell in prose for number in re.findall(r"\d[\d.,]*\s?(?:%|ms|s\b|requests)", cell.source)]
    assert numbers == [], "a number stands in a cell's output, never in prose: the notebook is copied into other cases"


LOG = "logs/standard_logging.ndjson.gz"
SPEND = "other/spend_logs.ndjson.gz"


def case(folder: Path, log: str | None, *, policies: Sequence[str] | None = None) -> Path:
    """Return a fresh case folder with one of the capture's files in its logs/, listed under sources.

    Its policy is the template's own, or those of the capture that are named.
    """
    new_case(folder)
    yaml = folder / "incident.yaml"
    text = yaml.read_text(encoding="utf-8")
    if log:
        shutil.copy(sample() / log, folder / "logs")
        text = text.replace("sources: []", f"sources: [{{path: logs/{Path(log).name}}}]", 1)
    if policies is not None:
        listed = [f"policies/{name}" for name in policies]
        for name in listed:
            shutil.copy(sample() / name, folder / name)
        text, found = re.subn(r"(?m)^policies: .*$", f"policies: [{', '.join(listed)}]", text)
        assert found == 1
    yaml.write_text(text, encoding="utf-8")
    return folder


OWN = """
title: A morning of our own
start: 2026-03-02T08:00:00Z
duration: 80m
seed: 7
in_force: {in_force}
policies: [{tried}]
targets:
  large: {{latency_ms: {{median: 900, p95: 1800}}, failing: 0.02, override: 0.08, price: [2, 8]}}
  small: {{latency_ms: {{median: 500, p95: 900}}, failing: 0.2, override: 0.3, price: [0.2, 0.8]}}
intents:
  returns: {{requested: large, per_minute: 14, tools: [look_up], reviewed: 0.8, ticketed: 0.9}}
degradations:
- {{target: large, from: 30m, until: 55m, slow: 4, text: slow}}
phases:
- {{kind: impact, at: 30m, until: 55m, text: slow}}
"""
RULES = "routes: [{{intent: returns, primary: large, fallback: small, max_p95_ms: {limit}}}]\nname: {name}\n"


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a case of a user's own: the folder of `incident-kit new`, with a simulated incident of other names in it."""
    root = tmp_path_factory.mktemp("own")
    for name, limit in (("calm", 6000), ("eager", 2500)):
        (root / f"{name}.yaml").write_text(RULES.format(name=name, limit=limit))
    (root / "scenario.yaml").write_text(OWN.format(in_force="calm.yaml", tried="eager.yaml"))
    made = simulate(root / "scenario.yaml", root / "made", truth=False)
    folder = new_case(root / "case")
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


def test_a_case_gets_the_notebooks_without_the_samples_results(tmp_path: Path) -> None:
    folder = new_case(tmp_path / "case")
    for path in NOTEBOOKS:
        mine = folder / path.name
        assert [cell.outputs for cell in cells(mine) if cell.outputs] == []
        assert "keep_output" not in nbformat.read(mine, as_version=4).metadata, (
            "results of a case are for its owner to keep"
        )
        values = dict(parameters_of(nbformat.read(mine, as_version=4)))
        assert values["CASE"] == "."
        assert values.get("OUT", ".") == "."


@pytest.mark.slow
def test_a_kernel_runs_the_last_one_in_a_case_of_its_own_with_other_parameters(own: Path) -> None:
    """As papermill does: a cell after the parameters sets some of them anew."""
    path = own / "04-leadership-brief.ipynb"
    notebook = nbformat.read(path, as_version=4)
    done = ran(notebook, folder=own, parameters={"DRAWS": 4, "POLICIES": ["policies/per-intent.yaml"]})
    assert [one for cell in done.cells for one in cell.get("outputs", ()) if one.get("name") == "stderr"] == []
    assert (own / "brief.html").is_file()
    said = "".join(one.text for cell in done.cells for one in cell.get("outputs", ()) if one.output_type == "stream")
    assert "brief.html can be made again" in said


@pytest.fixture
def own_settings() -> Iterator[None]:
    """Keep what the notebooks set for their own process from the tests that come after."""
    with pl.Config(), alt.renderers.enable("default"):
        yield


def shown(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> str:
    """Run a case's notebook in this process, where warnings are errors, and return what its cells show."""
    monkeypatch.chdir(folder)
    notebook = nbformat.read(folder / path.name, as_version=4)
    known = set(dict(parameters_of(notebook)))
    notebook = with_parameters(notebook, {name: value for name, value in parameters.items() if name in known})
    names: dict[str, Any] = {}
    said = io.StringIO()
    for cell in notebook.cells:
        if cell.cell_type != "code" or not cell.source:
            continue
        tree = ast.parse(cell.source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(said):
            exec(compile(tree, path.name, "exec"), names)  # noqa: S102 - the notebooks are ours
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), names) if last else None  # noqa: S307
        if isinstance(value, alt.TopLevelMixin):
            value = value._repr_mimebundle_(None, None)[0]["text/plain"]
        said.write("" if value is None else f"{getattr(value, 'data', value)}\n")
    return said.getvalue()


@pytest.mark.slow
@pytest.mark.usefixtures("own_settings")
@pytest.mark.parametrize("path", NOTEBOOKS[:3], ids=lambda path: path.stem)  # the last one: in a kernel, above
def test_runs_on_a_case_of_a_users_own(path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown(path, own, monkeypatch, DRAWS=4)
    wanted = {
        "01": ("A morning of our own", "1,1", "returns"),
        "02": ("eager", "same answer from", "p95_ms", "on backup"),
        "03": ("p95_ms", "eager"),
    }
    for one in wanted[path.name[:2]]:
        assert one in said


@pytest.mark.slow
@pytest.mark.usefixtures("own_settings")
@pytest.mark.parametrize(
    ("log", "policies", "expected"),
    [
        (LOG, [], ("3,065 requests", "No policy to replay", "Nothing to tune", "Nothing is asked yet")),
        (
            SPEND,
            ["per-intent.yaml", "blind.yaml"],
            (
                "not in this log",
                "not replayed: policy per-intent, route order-status",
                "not tuned: policy per-intent, route order-status",
                "left out: policy per-intent, route order-status",
            ),
        ),
        (None, None, ("Nothing is loaded", "0 requests", "not tuned: there are no requests", "There are no requests")),
    ],
    ids=["no policy", "spend logs", "nothing loaded"],
)
def test_a_case_that_lacks_something_is_told_so(
    log: str | None,
    policies: list[str] | None,
    expected: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = case(tmp_path / "case", log, policies=policies)
    said = [shown(path, folder, monkeypatch, DRAWS=4) for path in NOTEBOOKS]
    for wanted, told in zip(expected, said, strict=True):
        assert wanted in told
