"""Durations as a policy writes them (``5m``, ``1h30m``, ``500ms``), held as whole milliseconds."""

from __future__ import annotations

import re
from typing import Any

from incident_kit.errors import InvalidPolicy

UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
LONGEST_MS = 366 * UNITS["d"]

_TEXT = re.compile(r"(?:(\d{1,12})d)?(?:(\d{1,12})h)?(?:(\d{1,12})m)?(?:(\d{1,12})s)?(?:(\d{1,12})ms)?", re.ASCII)


def parse_duration(value: Any) -> int:
    """Return whole milliseconds for ``"5m"``, ``"1h30m"``, ``"500ms"``; a bare number is refused.

    Examples
    --------
    >>> parse_duration("1h30m")
    5400000
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise InvalidPolicy(f"a duration needs a unit: write {value}s or {value}ms, not {value}")
    parts = _TEXT.fullmatch(value) if isinstance(value, str) and value else None
    if parts is None:
        raise InvalidPolicy(f"{value!r} is not a duration: write it like 500ms, 30s, 5m or 1h30m")
    milliseconds = sum(int(part or 0) * unit for part, unit in zip(parts.groups(), UNITS.values(), strict=True))
    if milliseconds > LONGEST_MS:
        raise InvalidPolicy(f"{value} is longer than 366 days")
    return milliseconds


def show_duration(milliseconds: int) -> str:
    """Return the text that `parse_duration` reads back: whole seconds below two minutes, mixed units above.

    Examples
    --------
    >>> [show_duration(ms) for ms in (0, 3500, 60_000, 300_000, 5_400_000)]
    ['0s', '3500ms', '60s', '5m', '1h30m']
    """
    if milliseconds % 1_000:
        return f"{milliseconds}ms"
    if milliseconds < 2 * UNITS["m"]:
        return f"{milliseconds // 1_000}s"
    text = ""
    for unit in ("d", "h", "m", "s"):
        count, milliseconds = divmod(milliseconds, UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text
