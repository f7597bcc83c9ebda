"""A foreign configuration as nodes that know their line and book what becomes of them; untrusted text is read safely."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from incident_kit.errors import InvalidConfiguration, UnreadableFile
from incident_kit.gateways.loss import Ledger, Steps, text_of
from incident_kit.gateways.reading import LONGEST_TEXT
from incident_kit.policies.policytree import Item
from incident_kit.words import label

TRUE, FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*(ms|milli|s|m|h|d)[a-z]*", re.IGNORECASE)
_ISO = re.compile(r"PT(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?", re.IGNORECASE)
_UNITS = {"ms": 1, "milli": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the input: its path, its line, and the ledger that it is booked in."""

    item: Item
    steps: Steps
    ledger: Ledger
    source: str

    @property
    def value(self) -> Any:
        """The value without lines."""
        return self.item.plain()

    @property
    def path(self) -> str:
        """Where it stands, as people write it."""
        return text_of(self.steps)

    def get(self, *keys: str) -> Node | None:
        """Return the value under the first of the keys that is there and not null."""
        if isinstance(self.item.value, dict):
            for key in keys:
                if key in self.item.value and self.item.value[key].value is not None:
                    return self._at(key, self.item.value[key])
        return None

    def dig(self, *keys: str) -> Node | None:
        """Return what stands under one key after another."""
        node: Node | None = self
        for key in keys:
            node = node.get(key) if node is not None else None
        return node

    def pairs(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys of a mapping and their values, null ones left out."""
        for key, item in self.mapping().item.value.items():
            if item.value is not None:
                yield key, self._at(key, item)

    def each(self) -> Iterator[Node]:
        """Yield the elements of a list."""
        if not isinstance(self.item.value, list):
            raise self.wrong("a list")
        for i, item in enumerate(self.item.value):
            yield Node(item, (*self.steps, i), self.ledger, self.source)

    def _at(self, key: str, item: Item) -> Node:
        return Node(item, (*self.steps, key), self.ledger, self.source)

    def wrong(self, what: str) -> InvalidConfiguration:
        """Return the error for a value of another kind than it has to be."""
        found = self.item.value
        kind = "a mapping" if isinstance(found, dict) else "a list" if isinstance(found, list) else repr(found)[:60]
        line = f", line {self.item.line}" if self.item.line else ""
        message = f"{self.source}{line}: {self.path or 'the file'} must be {what}, not {kind}"
        return InvalidConfiguration(label(message, longest=1000))

    def mapping(self) -> Node:
        """Return the node itself if it is a mapping."""
        if not isinstance(self.item.value, dict):
            raise self.wrong("a mapping")
        return self

    def text(self) -> str:
        """Return a word; a number is taken as one."""
        if isinstance(self.item.value, dict | list | bool) or self.item.value is None:
            raise self.wrong("text")
        return str(self.item.value)

    def flag(self) -> bool:
        """Return true or false, as YAML 1.1 and 1.2 write them."""
        word = str(self.item.value).lower()
        if isinstance(self.item.value, dict | list) or word not in TRUE | FALSE:
            raise self.wrong("true or false")
        return word in TRUE

    def number(self) -> float | None:
        """Return a number, or None, booked, where it is to be found in the environment of the gateway only."""
        value = self.item.value
        if isinstance(value, str) and value.startswith(("os.environ/", "${", "{{")):
            self.dropped(
                "the value stands in the gateway's environment, not in the file: the product default was taken"
            )
            return None
        try:
            found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        except ValueError:
            found = math.nan
        if not math.isfinite(found) or not 0 <= found <= 1e12:
            raise self.wrong("a number from 0")
        return found

    def count(self) -> int | None:
        """Return a whole number; None as `number`."""
        found = self.number()
        if found is not None and found != int(found):
            raise self.wrong("a whole number")
        return None if found is None else int(found)

    def milliseconds(self, *, bare: int = 1) -> int | None:
        """Return a duration (``10s``, ``0.5s``, ``PT1M``, ``{seconds: 5}``); a bare number counts `bare` milliseconds."""
        if isinstance(self.item.value, dict):
            seconds, nanos = self.get("seconds"), self.get("nanos")
            whole = (seconds.number() or 0) if seconds else 0
            return round(1000 * whole + ((nanos.number() or 0) if nanos else 0) / 1e6)
        value = str(self.item.value).strip()
        if parts := _DURATION.fullmatch(value):
            return round(float(parts[1]) * _UNITS[parts[2].lower()])
        if (iso := _ISO.fullmatch(value)) and len(value) > 2:
            hours, minutes, rest = (float(part or 0) for part in iso.groups())
            return round(1000 * (3600 * hours + 60 * minutes + rest))
        found = self.number()
        return None if found is None else round(found * bare)

    def words(self) -> list[str]:
        """Return a list of words, or the one that stands there."""
        if isinstance(self.item.value, list):
            return [node.text() for node in self.each()]
        return [self.text()]

    def leaves(self) -> Iterator[Steps]:
        """Yield the paths of all leaves here and below."""
        yield from (steps for steps, _ in leaves_of(self.item, self.steps))

    def exact(self, becomes: str, how: str = "") -> None:
        """Book everything here as carried over exactly."""
        for steps in self.leaves():
            self.ledger.book(steps, "exact", becomes, how)

    def approximated(self, becomes: str, how: str) -> None:
        """Book everything here as carried over with a difference."""
        for steps in self.leaves():
            self.ledger.book(steps, "approximated", becomes, how)

    def dropped(self, why: str, *, but: Sequence[Steps] = ()) -> None:
        """Book what is here and not booked yet as lost, but for what stands at and under some paths."""
        for steps in self.leaves():
            if steps not in self.ledger.booked and not any(steps[: len(part)] == part for part in but):
                self.ledger.book(steps, "dropped", "", why)


def leaves_of(item: Item, steps: Steps = ()) -> Iterator[tuple[Steps, tuple[int, Any]]]:
    """Yield path, line and value of every leaf: a scalar, a list of scalars, an empty mapping or list."""
    value = item.value
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves_of(inner, (*steps, key))
    elif isinstance(value, list) and any(isinstance(inner.value, dict | list) for inner in value):
        for i, inner in enumerate(value):
            yield from leaves_of(inner, (*steps, i))
    else:
        yield steps, (item.line, item.plain())


def read_source(path_or_text: str | Path) -> tuple[str, str]:
    """Return the text and its name: of a file, or of a text, which has a line break, a brace or a colon and a blank.

    Raises
    ------
    UnreadableFile
        The file is missing, a directory, too large, or not text.
    """
    if isinstance(path_or_text, str) and re.search(r"[\n{]|:\s", path_or_text):
        return path_or_text, "the configuration"
    path = Path(path_or_text)
    try:
        if path.is_file() and path.stat().st_size > 4 * LONGEST_TEXT:
            raise UnreadableFile(f"{path} is no configuration: it has {path.stat().st_size:,} bytes")
        return path.read_bytes().decode("utf-8-sig"), path.name
    except UnicodeDecodeError:
        raise UnreadableFile(f"{path} is no configuration: it is not text (UTF-8)") from None
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile(f"{str(path)[:80]!r} is no file name: {error}") from None
