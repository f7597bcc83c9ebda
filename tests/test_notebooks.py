from __future__ import annotations

import ast
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
from nbclient import NotebookClient

from incident_kit.case import new_case
from incident_kit.samples import notebooks, sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
NOTEBOOKS = notebooks()
KEPT = {"keep_output", "nbval-check-output"}
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "code") -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def test_all_are_there() -> None:
    names = ["01-what-happened.ipynb", "02-what-if.ipynb", "03-tune-thresholds.ipynb"]
    assert [path.name for path in NOTEBOOKS] == names


@each_notebook
def test_is_a_valid_notebook_without_a_trace_of_the_machine_that_wrote_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    nbformat.validate(json.loads(text))
    assert set(nbformat.read(path, as_version=4).metadata) <= {"kernelspec", "language_info"}
    assert re.findall(r"(?:/home|/root|/Users|/tmp|/work|/opt|/usr|/var)/|\b[A-Z]:\\\\|https?://|\.venv", text) == []


@each_notebook
def test_has_one_parameter_the_case(path: Path) -> None:
    parameters = [cell for cell in cells(path) if "parameters" in tags(cell)]
    (source,) = [cell.source for cell in parameters]
    folder = re.fullmatch(r'CASE = "(\.\./data/samples/\w+)"', source)
    assert folder
    assert parameters[0] is cells(path)[0] or cells(path).index(parameters[0]) == 0
    assert (path.parent / folder[1] / "incident.yaml").is_file()


@each_notebook
def test_keeps_the_outputs_that_nbval_checks_and_no_others(path: Path) -> None:
    kept = [cell for cell in cells(path) if tags(cell) & KEPT]
    assert kept
    assert all(tags(cell) == KEPT and cell.outputs for cell in kept)
    assert {output.output_type for cell in kept for output in cell.outputs} == {"stream"}
    assert all(re.search(r"\d", cell.outputs[0].text) for cell in kept), "a checked output is numbers"
    assert [cell.outputs for cell in cells(path) if not tags(cell) & KEPT and cell.outputs] == []
    assert [cell.execution_count for cell in cells(path)] == list(range(1, 1 + len(cells(path)))), "run top to bottom"


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


@pytest.mark.slow
@each_notebook
def test_runs_in_a_fresh_case_folder(path: Path, tmp_path: Path) -> None:
    folder = case(tmp_path / "case", LOG)
    notebook = nbformat.read(folder / path.name, as_version=4)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    drawn = [output for output in outputs if "application/vnd.vegalite.v5+json" in output.get("data", {})]
    assert len(drawn) == 2
    assert all(output.data["image/svg+xml"].startswith("<svg ") for output in drawn)
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "3,065 requests" in said


@pytest.fixture
def own_settings() -> Iterator[None]:
    """Keep what the notebooks set for their own process from the tests that come after."""
    with pl.Config(), alt.renderers.enable("default"):
        yield


def shown(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a case's notebook in this process, where warnings are errors, and return what its cells show."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    said: list[str] = []
    names["print"] = lambda *words, sep=" ", end="\n": said.append(sep.join(map(str, words)) + end)
    for cell in cells(folder / path.name):
        tree = ast.parse(cell.source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)  # noqa: S102 - the notebooks are ours
        if last is not None:
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)  # noqa: S307
            if isinstance(value, alt.TopLevelMixin):
                value = value._repr_mimebundle_(None, None)[0]["text/plain"]
            said += [] if value is None else [str(getattr(value, "data", value))]
    return "\n".join(said)


@pytest.mark.slow
@pytest.mark.usefixtures("own_settings")
@pytest.mark.parametrize(
    ("log", "policies", "expected"),
    [
        (LOG, [], ("3,065 requests", "No policy to replay", "Nothing to tune")),
        (
            SPEND,
            ["per-intent.yaml", "blind.yaml"],
            (
                "not in this log",
                "not replayed: policy per-intent, route order-status",
                "not tuned: policy per-intent, route order-status",
            ),
        ),
        (None, None, ("Nothing is loaded", "0 requests", "not tuned: there are no requests")),
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
    said = [shown(path, folder, monkeypatch) for path in NOTEBOOKS]
    for wanted, told in zip(expected, said, strict=True):
        assert wanted in told
