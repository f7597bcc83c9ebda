"""Incidents: whatever a path holds one in, opened: a case, a pack, or an incident file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from incident_kit.errors import InvalidCase
from incident_kit.packs.packed import MANIFEST, is_pack, open_pack

if TYPE_CHECKING:
    from incident_kit.incident import Incident

CASE = "incident.yaml"
SUFFIX = ".duckdb"
WHAT = f"a case (a folder with {CASE}), a pack (a folder with {MANIFEST}) or an incident file (*{SUFFIX})"


def is_incident(path: str | Path) -> bool:
    """Return whether a path looks like an incident: a case, a pack or an incident file."""
    path = Path(path)
    if path.is_dir():
        return (path / CASE).is_file() or is_pack(path)
    return path.is_file() and (path.suffix == SUFFIX or path.name in {CASE, MANIFEST})


def incident_paths(folder: str | Path) -> tuple[Path, ...]:
    """Return the incidents that lie in a folder, sorted by name; the folder itself where it is one.

    Raises
    ------
    InvalidCase
        There is no such folder, or no incident in it.
    """
    root = Path(folder)
    if is_incident(root):
        return (root,)
    if not root.is_dir():
        raise InvalidCase(f"{root} is no incident: it is not {WHAT}")
    found = tuple(sorted(one for one in root.iterdir() if not one.name.startswith(".") and is_incident(one)))
    if not found:
        raise InvalidCase(f"{root} holds no incident: there is not one {WHAT} in it")
    return found


def open_any(path: str | Path, *, progress: Callable[[str], None] | None = None) -> Incident:
    """Return the incident at a path, to be read only; a case's tables are made in memory, unless ``incident.duckdb`` is there.

    Raises
    ------
    InvalidCase
        There is no incident at the path, or its case cannot be used.
    InvalidPack, InvalidStore, UnreadableFile
        It cannot be read.
    """
    path = Path(path)
    if not is_incident(path):
        raise InvalidCase(f"{path} is no incident: it is not {WHAT}")
    if path.name == CASE:
        path = path.parent
    if path.is_dir() and (path / CASE).is_file():
        from incident_kit.case import STORE, open_case

        return open_case(path, in_memory=not (path / STORE).is_file(), read_only=True, progress=progress)
    if is_pack(path):
        return open_pack(path)
    from incident_kit.incident import Incident

    return Incident.open(path, read_only=True)


def name_of(path: str | Path) -> str:
    """Return how an incident is called: by its folder or file.

    Examples
    --------
    >>> name_of("incidents/2026-10-05/pack.json"), name_of("incidents/outage.duckdb")
    ('2026-10-05', 'outage')
    """
    path = Path(path)
    if path.name in {CASE, MANIFEST}:
        path = path.resolve().parent if path.parent == Path() else path.parent
    return path.stem if path.suffix == SUFFIX else path.name or path.resolve().name
