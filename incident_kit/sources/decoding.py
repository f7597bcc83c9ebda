"""Decoders: what is done to a record before its format's SQL, where SQL does not fit. A decoder is record in, record out."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from incident_kit.errors import UnknownFormat, did_you_mean

LONGEST = 200_000  # characters of a text that is taken for a Python value
DEEPEST = 40
_WORDS = ("'", "None", "True", "False")


def decoder(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the decoder of that name.

    Raises
    ------
    UnknownFormat
        There is none.
    """
    if name not in DECODERS:
        raise UnknownFormat(
            f"there is no decoder {name!r}{did_you_mean(name, DECODERS)}; there are {', '.join(DECODERS)}"
        )
    return DECODERS[name]


def decoded(text: str | None, decode: Callable[[dict[str, Any]], dict[str, Any]]) -> str | None:
    """Return a record's JSON text after a decoder; as it was where it is no object, or one nested too deep."""
    if text is None:
        return None
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            return text
        # one half of a surrogate pair may come out of a text that only said it
        return json.dumps(decode(value), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode("utf-8")
    except (ValueError, RecursionError):
        return text


def python_repr(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with the texts that are Python dictionaries or lists, as ``repr`` writes them, made objects."""
    with warnings.catch_warnings():
        # a text such as '\d' makes Python's reader warn about its own source
        warnings.simplefilter("ignore")
        return {key: _opened(value) for key, value in record.items()}


def _opened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _opened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_opened(item) for item in value]
    return _literal(value) if isinstance(value, str) else value


def _literal(text: str) -> Any:
    trimmed = text.strip()
    if trimmed[:1] + trimmed[-1:] not in {"{}", "[]"} or len(trimmed) > LONGEST:
        return text
    if not any(word in trimmed for word in _WORDS) or _depth(trimmed) > DEEPEST:
        return text
    try:
        return _plain(ast.literal_eval(trimmed))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, float) and value not in {float("inf"), float("-inf")} and value == value:  # noqa: PLR0124 - NaN
        return value
    return value if value is None or isinstance(value, str | bool | int) else str(value)


DECODERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"python_repr": python_repr}
