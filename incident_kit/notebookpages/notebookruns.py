"""A notebook run from top to bottom on a case of the reader's own, with parameters in place of its own."""

from __future__ import annotations

import ast
import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from incident_kit.errors import NoSuchItem, UnfitNotebook, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MINUTES = 10  # for one cell
_FOLDER = re.compile(r"^(CASE|OUT) = (?:\"[^\"]*\"|None)")
TAG, INJECTED = "parameters", "injected-parameters"


def ran(notebook: Any, *, folder: Path, parameters: Mapping[str, Any]) -> Any:
    """Return a copy of the notebook, run in ``folder``; where it ended early, the cell's error is its last output.

    Raises
    ------
    NoSuchItem
        The notebook has no parameter of a name.
    UnfitNotebook
        A cell ended in an error, or took more than ten minutes.
    """
    from nbconvert.preprocessors import CellExecutionError, ExecutePreprocessor

    tree = with_parameters(notebook, parameters) if parameters else copy.deepcopy(notebook)
    tree.metadata.pop("widgets", None)
    runner = ExecutePreprocessor(
        timeout=60 * MINUTES,
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=40"],
    )  # type: ignore[no-untyped-call]
    try:
        runner.preprocess(tree, {"metadata": {"path": str(folder)}})
    except CellExecutionError as error:
        place = next((i for i, cell in enumerate(tree.cells, 1) if _failed(cell)), 0)
        raise UnfitNotebook(f"cell {place} ended in {error.ename}: {error.evalue}") from None
    except TimeoutError:
        raise UnfitNotebook(
            f"a cell took more than {MINUTES} minutes; run the notebook by hand, then export it"
        ) from None
    return tree


def _failed(cell: Any) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


def with_parameters(notebook: Any, parameters: Mapping[str, Any]) -> Any:
    """Return a copy of the notebook with a cell after its parameters that sets some of them anew, as papermill does.

    Raises
    ------
    NoSuchItem
        The notebook has no parameter of a name; the message lists those it has.
    """
    import nbformat

    tree = copy.deepcopy(notebook)
    known = dict(parameters_of(tree))
    for name in parameters:
        if name not in known:
            raise NoSuchItem(
                f"the notebook has no parameter {name!r}{did_you_mean(name, known)}; it has {', '.join(known) or 'none'}"
            )
    place = next(i for i, cell in enumerate(tree.cells) if _is_tagged(cell))
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": [INJECTED]})  # type: ignore[no-untyped-call]
    tree.cells.insert(place + 1, cell)
    return tree


def parameters_of(notebook: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters of a notebook, name and value: what its cell tagged ``parameters`` sets to plain values."""
    for cell in notebook.cells:
        if not _is_tagged(cell):
            continue
        try:
            body = ast.parse(cell.source).body
        except SyntaxError:
            return
        for line in body:
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                try:
                    yield line.targets[0].id, ast.literal_eval(line.value)
                except ValueError:
                    continue


def of_a_case(text: str) -> str:
    """Return a bundled notebook's text as a case folder gets it: it reads and writes its own folder, and holds no results."""
    tree = json.loads(text)
    tree["metadata"].pop("keep_output", None)  # a case's own results are for its owner to keep
    for cell in tree["cells"]:
        if cell["cell_type"] != "code":
            continue
        cell["outputs"], cell["execution_count"] = [], None
        if TAG in cell["metadata"].get("tags", ()):
            lines = "".join(cell["source"]).splitlines(keepends=True)
            cell["source"] = [_FOLDER.sub(r'\1 = "."', line) for line in lines]
        else:
            cell["metadata"].pop("tags", None)
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def _is_tagged(cell: Any) -> bool:
    return bool(cell.cell_type == "code" and TAG in cell.metadata.get("tags", ()))
