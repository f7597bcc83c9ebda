"""YAML and JSON of other products as a tree of items: safe, bounded, and strict about keys that stand twice."""

from __future__ import annotations

import json
import re
from typing import Any

from incident_kit.errors import InvalidConfiguration
from incident_kit.policies.policytree import Item

LONGEST_TEXT = 1_000_000
DEEPEST = 40
MOST_VALUES = 100_000  # aliases expanded: a small file can stand for billions
_TAG = "tag:yaml.org,2002:"
_NESTED = re.compile(r"(?:[\[{]\s*(?:\"[^\"\n]{0,80}\"\s*:\s*)?){64}")


def read_text(text: str, *, source: str) -> Item:
    """Return the tree of a YAML or JSON document; anchors and merge keys are resolved.

    Raises
    ------
    InvalidConfiguration
        It is neither, no mapping, too large or deep, has a key twice, or tags that would build objects.
    """
    if len(text) > LONGEST_TEXT:
        raise InvalidConfiguration(f"{source} has {len(text):,} characters, and the limit is {LONGEST_TEXT:,}")
    if not text.strip():
        raise InvalidConfiguration(f"{source} is empty: give a gateway's configuration")
    if _NESTED.search(text):  # both readers take seconds to give up on these
        raise InvalidConfiguration(f"{source} is nested too deeply to be a configuration")
    tree = _json(text, source) if text.lstrip()[0] in "{[" else None
    tree = tree or _yaml(text, source)
    if not isinstance(tree.value, dict) or not tree.value:
        kind = "a list" if isinstance(tree.value, list) else "one word" if tree.value else "empty"
        raise InvalidConfiguration(f"{source} is no configuration: it must be a mapping of keys, and it is {kind}")
    return tree


def _json(text: str, source: str) -> Item | None:
    """Return the tree of a JSON text, or None: it may be YAML that begins with a brace."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in found]
        if twice := next((key for i, key in enumerate(keys) if key in keys[:i]), None):
            raise InvalidConfiguration(f"{source}: the key {twice[:60]!r} stands twice: readers keep only the last")
        return dict(found)

    try:
        return _Budget(source).plain(json.loads(text, object_pairs_hook=pairs), 0)
    except RecursionError:
        raise InvalidConfiguration(f"{source} is nested too deeply to be a configuration") from None
    except InvalidConfiguration:
        raise
    except ValueError:
        return None


def _yaml(text: str, source: str) -> Item:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        root = YAML(typ="rt").compose(text)
        return _Budget(source).node(root, root.start_mark.line + 1, 0) if root is not None else Item(None)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        message = ", ".join(part for part in (error.context, error.problem) if part).replace("\0", "the end")
        several = " (several documents: convert one at a time)" * ("single document" in message)
        raise InvalidConfiguration(f"{source}{line}: not YAML or JSON: {_printable(message)}{several}") from None
    except RecursionError:
        raise InvalidConfiguration(f"{source} is nested too deeply to be a configuration") from None
    except InvalidConfiguration:
        raise
    except (YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InvalidConfiguration(f"{source} is not YAML or JSON: {_printable(reason)}") from None


class _Budget:
    """Turns nodes into items and stops at the first sign of a text that grows without end."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.left = MOST_VALUES

    def spend(self, depth: int) -> None:
        self.left -= 1
        if self.left < 0 or depth > DEEPEST:
            what = "is nested too deeply" if depth > DEEPEST else f"stands for more than {MOST_VALUES:,} values"
            raise InvalidConfiguration(f"{self.source} {what} to be a configuration")

    def plain(self, value: Any, depth: int) -> Item:
        """Return JSON's values as items; they have no lines."""
        self.spend(depth)
        if isinstance(value, dict):
            return Item({key: self.plain(inner, depth + 1) for key, inner in value.items()})
        if isinstance(value, list):
            return Item([self.plain(inner, depth + 1) for inner in value])
        return Item(value)

    def node(self, node: Any, line: int, depth: int) -> Item:
        """Return a YAML node as an item."""
        self.spend(depth)
        tag = str(node.tag or "").removeprefix(_TAG)
        kind = type(node).__name__
        if kind == "MappingNode" and tag == "map":
            return self.mapping(node, line, depth)
        if kind == "SequenceNode" and tag == "seq":
            return Item([self.node(inner, inner.start_mark.line + 1, depth + 1) for inner in node.value], line)
        if kind == "ScalarNode" and tag in {"str", "int", "float", "bool", "null", "timestamp"}:
            return Item(_scalar(node.value, tag), line)
        raise InvalidConfiguration(
            f"{self.source}, line {line}: the tag {_printable(str(node.tag))[:60]!r}: tags are not read; write the value"
        )

    def mapping(self, node: Any, line: int, depth: int) -> Item:
        own: dict[str, Item] = {}
        merged: dict[str, Item] = {}
        for key_node, value_node in node.value:
            here = key_node.start_mark.line + 1
            if str(key_node.tag) == f"{_TAG}merge":
                parts = value_node.value if type(value_node).__name__ == "SequenceNode" else [value_node]
                for part in parts:
                    item = self.node(part, here, depth + 1)
                    if not isinstance(item.value, dict):
                        raise InvalidConfiguration(f"{self.source}, line {here}: <<: merges mappings only")
                    merged = item.value | merged
                continue
            if type(key_node).__name__ != "ScalarNode":
                raise InvalidConfiguration(f"{self.source}, line {here}: a key is a word, not a list or a mapping")
            key = str(key_node.value)
            if key in own:
                message = (
                    f"the key {key[:60]!r} stands twice (first on line {own[key].line}): readers keep only the last"
                )
                raise InvalidConfiguration(f"{self.source}, line {here}: {_printable(message)}")
            own[key] = self.node(value_node, here, depth + 1)
        return Item(merged | own, line)


def _scalar(text: str, tag: str) -> Any:
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    try:
        if tag == "int" and len(text) <= 30:
            return int(text.replace("_", ""), 0 if text.lower().startswith(("0x", "0o")) else 10)
        if tag == "float":
            return float(text.replace("_", ""))
    except ValueError:
        pass
    return text


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
