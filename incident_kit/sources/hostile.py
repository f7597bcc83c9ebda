"""Hostile: records as nobody would write them, made from good ones: what a log may hold all the same."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

DEPTH = 10_000
_MARK = "@@ in place of this @@"
_TIME = re.compile(r"\s*(\d{4}-\d\d-\d\d[T ].*|\d{9,19}(\.\d+)?)\s*")

# put in place of any value
VALUES: dict[str, Any] = {
    "HTML": "<img src=x onerror=alert(1)></script><script>alert(1)</script>",
    "SQL": "'; drop table attempts; --",
    "a terminal's escape": "\x1b[2J\x1b]0;x\x07\u202e",
    "a formula": '=HYPERLINK("http://example.org")',
    "a path": "../../etc/passwd",
    "half a surrogate pair": "\ud800",
    "a NUL": "a\0b",
    "a long text": "x" * 100_000,
    "an empty text": "",
    "null": None,
    "a boolean": True,
    "a number": 12,
    "a negative number": -1,
    "a huge number": 10**400,
    "a tiny number": 1e-308,
    "a text for a number": "twelve",
    "a list": [],
    "a list of lists": [[1], ["a"]],
    "an object": {},
    "an object for a value": {"": {"a'b\"c": 1}},
}
# put in place of any value as they are: no writer of JSON makes these
TEXTS = {
    "NaN": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "a number out of range": "1e999",
    "nested lists": "[" * DEPTH + "]" * DEPTH,
    "nested objects": '{"a":' * DEPTH + "1" + "}" * DEPTH,
    "bytes that are no UTF-8": '"\udcff\udcfe"',
    "half an escape": '"\\u12"',
    "a bare word": "undefined",
}
# put in place of what looks like a time
TIMES: dict[str, Any] = {
    "1970": "1970-01-01T00:00:00Z",
    "the epoch": 0,
    "1970 as a number": 1,
    "9999": "9999-12-31T23:59:59Z",
    "9999 as a number": 253402300799,
    "beyond every calendar": 10**30,
    "infinity as a time": "infinity",
    "another zone": "2026-03-29T02:30:00+14:00",
    "an hour that is not there": "2026-03-29 02:30:00",
    "a day that is not there": "2026-02-30T10:00:00Z",
    "a leap second": "2026-12-31T23:59:60Z",
    "the day first": "31/12/2026 10:00",
    "milliseconds for seconds": 1767225600000,
    "nanoseconds": "1767225600000000000",
    "before 1970": "1066-10-14T09:00:00Z",
}


def hostile(records: Sequence[str], *, seed: int, rounds: int = 1) -> Iterator[tuple[str, bytes]]:
    """Yield what was done to a record and the line that came of it; each kind ``rounds`` times.

    The records are JSON texts; those that are no objects are passed over.
    """
    chance = random.Random(seed)  # noqa: S311 - the same lines again for the same seed
    objects = [value for value in map(json.loads, records) if isinstance(value, dict) and value]
    if not objects:
        return
    for _ in range(rounds):
        for name, change in _CHANGES.items():
            yield name, change(chance.choice(objects), chance)


def _line(record: Any, text: str | None = None) -> bytes:
    said = json.dumps(record)
    if text is not None:
        said = said.replace(json.dumps(_MARK), text, 1)
    return said.encode("utf-8", "surrogateescape")


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict | list) and value and len(path) < 30:
        if path:
            yield path, value
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*path, key))
    elif path:
        yield path, value


def _put(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(record) if isinstance(record, dict) else list(record)
    copy[path[0]] = _put(copy[path[0]], path[1:], value)
    return copy


def _replaced(value: Any, *, text: str | None = None, times: bool = False) -> Callable[[Any, random.Random], bytes]:
    def change(record: Any, chance: random.Random) -> bytes:
        places = list(_places(record))
        if times:
            places = [place for place in places if _TIME.fullmatch(str(place[1]))] or places
        path, _ = chance.choice(places)
        return _line(_put(record, path, value), text)

    return change


def _without(record: Any, chance: random.Random) -> bytes:
    gone = chance.choice(list(record))
    return _line({key: value for key, value in record.items() if key != gone})


def _doubled(record: Any, chance: random.Random) -> bytes:
    key = chance.choice(list(record))
    return b"{" + json.dumps(key).encode() + b': "first", ' + _line(record)[1:]


def _cut(record: Any, chance: random.Random) -> bytes:
    line = _line(record)
    return line[: chance.randrange(1, len(line))]


def _of_texts(record: Any, _chance: random.Random) -> bytes:
    return _line(
        {key: json.dumps(value) if isinstance(value, dict | list) else str(value) for key, value in record.items()}
    )


_CHANGES: dict[str, Callable[[Any, random.Random], bytes]] = {
    **{name: _replaced(value) for name, value in VALUES.items()},
    **{name: _replaced(_MARK, text=text) for name, text in TEXTS.items()},
    **{name: _replaced(value, times=True) for name, value in TIMES.items()},
    "a key less": _without,
    "a key twice": _doubled,
    "a line cut short": _cut,
    "every value a text": _of_texts,
    "no object": lambda _record, _chance: b'"text"',
    "a list of records": lambda record, _chance: _line([record, record]),
    "null alone": lambda _record, _chance: b"null",
    "an empty object": lambda _record, _chance: b"{}",
}
