"""What other systems say of names: asked of the standard library's own rules for them."""

from __future__ import annotations

import ntpath
from pathlib import PureWindowsPath


def reserved(name: str) -> bool:
    """Return whether Windows refuses a name or reads it as another."""
    said = getattr(ntpath, "isreserved", None)  # Python 3.13 and later, where the other way is deprecated
    return bool(said(name)) if said else PureWindowsPath(name).is_reserved() or name.endswith((" ", ".")) or ":" in name
