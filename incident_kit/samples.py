"""Samples: the bundled cases, where a clone or an installed package keeps them."""

from __future__ import annotations

from pathlib import Path

from incident_kit.errors import NoSuchItem, did_you_mean

CAPTURE, OUTAGE = "litellm_capture", "outage"  # a real gateway's log; a simulated support incident


def _root(name: str, fallback: str) -> Path:
    """Return a folder of data: in an installed package inside it, in a clone beside it."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / fallback


def sample(name: str = CAPTURE) -> Path:
    """Return the folder of a bundled case.

    Raises
    ------
    NoSuchItem
        There is no such sample.

    Examples
    --------
    >>> sample().name
    'litellm_capture'
    """
    root = _root("samples", "data/samples")
    if not (root / name / "incident.yaml").is_file():
        known = sorted(case.parent.name for case in root.glob("*/incident.yaml"))
        raise NoSuchItem(
            f"there is no sample {name!r}{did_you_mean(name, known)}; there are {', '.join(known) or 'none'}"
        )
    return root / name


def notebooks() -> tuple[Path, ...]:
    """Return the bundled notebooks in their order."""
    return tuple(sorted(_root("notebooks", "notebooks").glob("*.ipynb")))
