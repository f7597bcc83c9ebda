"""The verb about notebooks: one as an offline HTML page."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

from incident_kit.commandline import verbs
from incident_kit.errors import NoSuchItem, UnfitNotebook

if TYPE_CHECKING:
    from collections.abc import Sequence


def export_notebook(notebook: Path, path: Path | None, *, run: bool, values: Sequence[str], with_ids: bool) -> None:
    """Write a notebook as one HTML page, beside it where no other place is given, and say what is not in it."""
    from incident_kit.commandline import terminal
    from incident_kit.notebookpages.notebookpage import case_of, notebook_page

    if notebook.suffix != ".ipynb":
        raise UnfitNotebook(
            f"{notebook} is no notebook: say which, as in `incident-kit export notebook 01.ipynb --out page.html`"
        )
    target = path or notebook.with_suffix(".html")
    verbs.writable(target, ".html")
    parameters = dict(map(_parameter, values))
    said = parameters.get("CASE")
    folder = None if with_ids else case_of(notebook) if said is None else notebook.parent / str(said)
    with verbs.working() as step:
        if folder is not None:
            from incident_kit.case import open_case

            step(f"reading the ids of {folder}")
            incident = open_case(folder, in_memory=True)
        else:
            incident = None
        step(f"running {notebook.name}" if run or values else f"writing {target}")
        page = notebook_page(notebook, target, incident=incident, with_ids=with_ids, run=run, parameters=parameters)
    terminal.said(verbs.out, f"wrote {page}")


def _parameter(text: str) -> tuple[str, Any]:
    """Return a parameter that was typed: Python's plain values, and words as they stand."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise NoSuchItem(f"{text!r} sets nothing: write NAME=VALUE, as in --set DRAWS=8")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
