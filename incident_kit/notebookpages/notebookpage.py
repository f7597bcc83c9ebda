"""A notebook as one HTML page that opens anywhere: charts and their sliders work, and nothing is asked of anybody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from incident_kit import pageparts
from incident_kit.charts import offline, theme
from incident_kit.errors import UnfitNotebook, UnwritableFile
from incident_kit.notebookpages.fingerprints import Fingerprints
from incident_kit.notebookpages.notebookcells import Leavings, Shown, shown, texts
from incident_kit.notebookpages.notebookruns import parameters_of, ran
from incident_kit.outfiles.outputs import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from incident_kit.incident import Incident

_RESULTS = ("text", "columns", "html", "picture", "chart")


@dataclass(frozen=True)
class NotebookPage:
    """A page that was written: where, and in sentences what of the notebook is not in it."""

    path: Path
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        size = f"{self.path} ({self.path.stat().st_size / 1e6:.1f} MB)"
        return "\n".join([size, *(f"- {sentence}" for sentence in self.left_out)])


def notebook_page(
    notebook: str | Path,
    path: str | Path,
    *,
    incident: Incident | None = None,
    with_ids: bool = False,
    run: bool = False,
    parameters: Mapping[str, Any] | None = None,
) -> NotebookPage:
    """Write a notebook that was run as a self-contained HTML page, and return where and what is not in it.

    Code is folded away. Charts are pictures that show without scripts, and Vega draws over them where scripts run; a security
    policy in the page allows its two scripts by their hash and nothing else, so no request can leave it. Paths of this
    machine, its name and ids of the incident become stand-ins; warnings are left out.

    Parameters
    ----------
    incident
        Whose ids are looked for; without one, ids stay, and the result says so.
    with_ids
        Keep ids.
    run
        Run a copy of the notebook first, in its folder, with ``parameters`` in place of those of its cell tagged so.

    Raises
    ------
    UnfitNotebook
        The file is no notebook, holds no result, has a cell that ended in an error, or shows a secret of the environment.
    UnwritableFile
        The page's name does not end in ``.html``.
    """
    source, target = Path(notebook), Path(path)
    if target.suffix.lower() not in {".html", ".htm"}:
        raise UnwritableFile(f"{target.name!r} cannot be written: a page's name ends in .html")
    tree = read_notebook(source)
    if run or parameters:
        tree = ran(tree, folder=source.parent, parameters=parameters or {})
    left = Leavings()
    prints = Fingerprints(folders=[source.parent], ids=None if with_ids or incident is None else _ids_of(incident))
    prints.learn(texts(tree))
    parts = shown(tree, prints=prints, left=left)
    if not any(part.kind in _RESULTS for part in parts):
        raise UnfitNotebook(
            f"{source.name} holds no result: run all its cells and save it, or export it with run (--run)"
        )
    if prints.paths:
        left.note(f"paths of this machine were shortened ({len(prints.paths)})")
    if prints.lookalikes:
        left.note(f"{len(prints.lookalikes)} numbers are also ids of the incident, and stay: look at them")
    if incident is None and not with_ids:
        left.note("no case is known to this notebook: ids in it were not looked for")
    write_whole(target, _page(parts, title=_title(tree, source)))
    return NotebookPage(target, tuple(left.said))


def read_notebook(path: Path) -> Any:
    """Return a notebook, in the form of its format's fourth version.

    Raises
    ------
    UnfitNotebook
        The file is missing or is no notebook.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise UnfitNotebook(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, nbformat.ValidationError):
        raise UnfitNotebook(f"{path} is no notebook; a notebook's name ends in .ipynb") from None


def case_of(notebook: Path) -> Path | None:
    """Return the case folder that a notebook's cell of parameters names, where it is there."""
    said = dict(parameters_of(read_notebook(notebook))).get("CASE")
    folder = notebook.parent / said if isinstance(said, str) else None
    return folder if folder is not None and (folder / "incident.yaml").is_file() else None


def _ids_of(incident: Incident) -> Any:
    def found(words: list[str]) -> dict[str, str]:
        return dict(incident.store.query("known_ids", words=words).iter_rows()) if words else {}

    return found


def _title(tree: Any, source: Path) -> str:
    first = next((cell.source for cell in tree.cells if cell.cell_type == "markdown"), "")
    return first.strip().splitlines()[0].lstrip("# ").strip() if first.strip().startswith("#") else source.stem


def _page(parts: list[Shown], *, title: str) -> str:
    script, code = pageparts.text("notebook.js"), offline.bundle().replace("</script", "<\\/script")
    specs = [_bare(part.spec) for part in parts if part.spec is not None]
    return pageparts.rendered(
        "notebook.html.j2",
        title=title,
        parts=parts,
        style=Markup(pageparts.text("notebook.css")),  # noqa: S704 - the kit's own file
        light=pageparts.colours(dark=False),
        dark=pageparts.colours(dark=True),
        charts=pageparts.json_in_page({"specs": specs, "dark": theme.DARK}),
        bundle=Markup(code),  # noqa: S704 - Vega's own code, with every end of a script in it escaped
        script=Markup(script),  # noqa: S704 - the kit's own file
        hashes=" ".join(f"'sha256-{pageparts.digest(one)}'" for one in (code, script)),
    )


def _bare(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a specification without the name of the version that JupyterLab carries, and without settings of a host."""
    return {key: value for key, value in spec.items() if key not in {"$schema", "usermeta"}}
