"""Leaves: the single values of a record with their JSON paths; and what kind of value a text may be."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 4_000  # leaves of one record
DEEPEST = 12
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d+)?([eE][+-]?\d+)?\s*")


def leaves(record: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    """Yield the JSON path and value of each single value; keys that no path of DuckDB's can say are passed over."""
    left = [(path, record, 0)]
    found = 0
    while left and found < MOST:
        here, value, depth = left.pop()
        if isinstance(value, dict) and depth < DEEPEST:
            inner = [(f"{here}.{said(key)}", item, depth + 1) for key, item in value.items() if _is_sayable(key)]
            left += reversed(inner)
        elif isinstance(value, list) and depth < DEEPEST:
            left += [(f"{here}[{number}]", item, depth + 1) for number, item in reversed(list(enumerate(value[:20])))]
        elif not isinstance(value, dict | list):
            found += 1
            yield here, value


def _is_sayable(key: str) -> bool:
    return key not in {"", "*"} and key.isprintable() and not {'"', "\\"} & set(key)


def said(key: str) -> str:
    """Return a key as a step of a JSON path."""
    return key if _PLAIN.fullmatch(key) else f'"{key}"'


def opened(value: Any) -> Any:
    """Return the object in a text that is one, or None."""
    if isinstance(value, str) and value[:1] == "{":
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            return None
        return inner if isinstance(inner, dict) else None
    return None


def number(value: Any) -> float | None:
    """Return the number that a value is, or that its text says."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def instant(value: Any) -> datetime | None:
    """Return the instant that a value may say: ISO 8601, without a zone in UTC, or an epoch number by its size."""
    if (seconds := number(value)) is not None:
        for scale in (1, 1e3, 1e6, 1e9):
            if 9e8 <= seconds / scale < 1e10 and len(str(int(seconds))) >= 9:
                return datetime.fromtimestamp(seconds / scale, UTC)
        return None
    if not isinstance(value, str) or not re.match(r"\s*\d{4}-\d\d-\d\d", value):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
