"""Filenames: names drawn from what people call things, which every file system takes and keeps apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

# what Windows keeps for its devices, whatever follows after a dot
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


def filename(text: str, *, otherwise: str) -> str:
    """Return a text as a file or folder may be called: small letters, digits and ``-``; ``otherwise`` where it has none.

    Examples
    --------
    >>> filename("EU: slow, 9:30", otherwise="x"), filename("NUL", otherwise="x"), filename("慢", otherwise="x")
    ('eu-slow-9-30', 'nul-', 'x')
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or otherwise
    return f"{name}-" if name in _DEVICES else name


def distinct(names: Iterable[str]) -> list[str]:
    """Return the names in their order, numbered before their suffix where one was there already, whatever its capitals.

    Examples
    --------
    >>> distinct(["Refund.yaml", "refund.yaml", "a", "a"])
    ['Refund.yaml', 'refund-2.yaml', 'a', 'a-2']
    """
    taken: set[str] = set()
    found = []
    for name in names:
        path, number = PurePosixPath(name), 1
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"  # noqa: PLW2901 - tried until it is free
        taken.add(name.casefold())
        found.append(name)
    return found
