"""Keys: whether a record has one, wherever it may lie: what files are recognised and refused by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def has(record: Any, key: str) -> bool:
    """Say whether a record has a key: ``a.b`` lies in an object or is one name, ``a|b`` is either."""
    return any(_lies_in(record, one) for one in key.split("|"))


def _lies_in(record: Any, dotted: str) -> bool:
    if not isinstance(record, Mapping):
        return False
    if dotted in record:
        return True
    # some logs write dots into their names: any dot may be part of a name or lead inwards
    starts = [place for place, character in enumerate(dotted) if character == "."]
    return any(dotted[:end] in record and _lies_in(record[dotted[:end]], dotted[end + 1 :]) for end in starts)


class Seen(dict[str, Any]):
    """A record, with its text made at most once."""

    @property
    def text(self) -> str:
        """The record as JSON text; empty where it is nested too deep to be written."""
        if not hasattr(self, "_text"):
            try:
                self._text = json.dumps(self, ensure_ascii=False, default=str)
            except RecursionError:
                self._text = ""
        return self._text
