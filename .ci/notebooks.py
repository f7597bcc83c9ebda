# ruff: noqa: INP001, S603 - a script beside .ci/run, which starts a tool of this environment
"""Run the bundled notebooks from top to bottom and leave each as it is committed: `uv run python .ci/notebooks.py [NAME...]`.

Results stay in the files, so that a code host shows them: pictures, tables, numbers. What does not: views of widgets, which need
a running kernel, and whatever differs from run to run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat

from incident_kit.notebookpages.notebookruns import ran

FOLDER = Path(__file__).parents[1] / "notebooks"
STRIP = ("--keep-count", "--extra-keys", "metadata.language_info.version")  # as the commit hook does
WIDGET = "application/vnd.jupyter.widget-view+json"


def main(names: list[str]) -> None:
    """Run the notebooks whose names begin so; all where none is given."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and not path.name.startswith(tuple(names)):
            continue
        notebook = ran(nbformat.read(path, as_version=4), folder=FOLDER, parameters={})
        for cell in notebook.cells:
            kept = [one for one in cell.get("outputs", ()) if WIDGET not in one.get("data", {})]
            if any(one.get("name") == "stderr" for one in kept):
                sys.exit(f"{path.name}: a cell warns: {kept}")
            if "outputs" in cell:
                cell.outputs = kept
        nbformat.write(notebook, path)
        subprocess.run([Path(sys.executable).with_name("nbstripout"), *STRIP, path], check=True)
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
