"""A policy file as a tree whose every value knows its line; what YAML readers let pass in silence is refused here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from incident_kit.errors import InvalidPolicy

LONGEST_TEXT = 400_000
MOST_MARKS = 16_000  # what a reader of YAML stops at: its time goes with them, not with the length of the text
DEEPEST = 24
DEEPEST_BRACKETS = 64
SCALARS = frozenset({"str", "int", "float", "bool", "null", "timestamp"})
BOOLEAN_WORDS = frozenset({"y", "n", "yes", "no", "on", "off"})
ROUTE_KEY = re.compile(
    r"(primary|fallback|fallback_on|on_fallback|retry|breaker|max_p[\d.]+_ms|disable_tools_on_fallback|match|switch"
    r"|sticky|deadline_ms|intent|when|window|min_requests|for|keep_firing_for|every|errors|no_data|severity)\s*:"
)
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Item:
    """A value of the file and the line it stands on (0: it came from no file)."""

    value: Any
    line: int = 0

    def plain(self) -> Any:
        """Return the value without lines."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


@dataclass(slots=True)
class Problems:
    """What is wrong with a file; all of it is said at once."""

    source: str
    found: list[tuple[int, str]] = field(default_factory=list)
    seen: set[tuple[int, str]] = field(default_factory=set)

    def add(self, item: Item, message: object) -> None:
        """Note one problem at the line of an item, once."""
        if (problem := (item.line, str(message))) not in self.seen:
            self.seen.add(problem)
            self.found.append(problem)

    def check(self) -> None:
        """Raise everything noted so far.

        Raises
        ------
        InvalidPolicy
            There was something.
        """
        found = sorted(self.found, key=lambda one: one[0])
        lines = [_printable(f"line {line}: {text}" if line else text) for line, text in found[:20]]
        if len(found) == 1:
            raise InvalidPolicy(f"{self.source}, {lines[0]}" if self.found[0][0] else f"{self.source}: {lines[0]}")
        if found:
            more = [f"... and {len(found) - 20} more"] * (len(found) > 20)
            raise InvalidPolicy("\n  ".join([f"{self.source} has {len(found)} problems:", *lines, *more]))


def item_of(value: Any) -> Item:
    """Return plain Python values as a tree without lines."""
    if isinstance(value, dict):
        return Item({key: item_of(inner) for key, inner in value.items()})
    if isinstance(value, list | tuple):
        return Item([item_of(inner) for inner in value])
    return Item(value)


def read_tree(text: str, *, source: str = "the policy") -> Item:
    """Return the tree of one YAML document.

    Raises
    ------
    InvalidPolicy
        Not YAML, or YAML that readers disagree on: a key twice, a boolean as a key, anchors, tags, lost indentation.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    problems = Problems(source)
    if len(text) > LONGEST_TEXT:
        raise InvalidPolicy(
            f"{source} is not a policy: it has {len(text):,} characters, and the limit is {LONGEST_TEXT:,}"
        )
    if sum(map(text.count, ",:-[]{}&*!?|>\"'\t")) > MOST_MARKS:
        raise InvalidPolicy(
            f"{source} is not a policy: it has more values than the {MOST_MARKS:,} that a file may have"
        )
    if first := next((i for i, line in enumerate(text.splitlines(), 1) if line.startswith("%")), None):
        raise InvalidPolicy(
            f"{source}, line {first}: a YAML directive (%...) has no place in a policy: remove the line"
        )
    if line := _too_deep(text):  # ruamel.yaml takes seconds to give up on these
        raise InvalidPolicy(f"{source}, line {line}: nested too deeply to be a policy")
    try:
        root = YAML(typ="rt").compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        message = ", ".join(part for part in (error.context, error.problem) if part).replace("\0", "the end")
        hint = ' (put quotes around it: "*")' if "an alias" in message else " (indent with spaces)" * ("\\t" in message)
        lost = _lost_indentation(text)
        problems.found.append(lost or (line, f"not YAML: {message}{hint}"))
    except RecursionError:
        openings = [len(line) - len(line.lstrip(" -?:")) for line in text.splitlines()]
        line = openings.index(max(openings)) + 1
        raise InvalidPolicy(f"{source}, line {line}: nested too deeply to be a policy") from None
    except (YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        at = getattr(error, "position", len(text))
        line = text.count("\n", 0, at if isinstance(at, int) else None) + 1
        raise InvalidPolicy(f"{source}, line {line}: not YAML: {_printable(reason)}") from None
    problems.check()
    if root is None:
        raise InvalidPolicy(f"{source}, line 1: is empty: a policy has at least `routes:` with one route")
    keys = [key.value for key, _ in root.value] if type(root).__name__ == "MappingNode" else []
    if any(isinstance(key, str) and ROUTE_KEY.match(f"{key}:") for key in keys) and (lost := _lost_indentation(text)):
        problems.found.append(lost)
        problems.check()
    tree = _Walk(problems).item(root, root.start_mark.line + 1, 0)
    problems.check()
    if not isinstance(tree.value, dict):
        raise InvalidPolicy(f"{source}, line {tree.line}: not a policy: it holds no `routes:`")
    return tree


def _too_deep(text: str) -> int:
    """Return the line on which brackets stand too deep in one another (0: none); quotes are not told apart."""
    depth = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        depth = depth + 1 if bracket[0] in "[{" else max(depth - 1, 0)
        if depth > DEEPEST_BRACKETS:
            return text.count("\n", 0, bracket.start()) + 1
    return 0


def _lost_indentation(text: str) -> tuple[int, str] | None:
    """Say so, with its line, if a key of a route or an alert stands no deeper than the dash above it."""
    dash, where, first = -1, 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.lstrip(" ")
        indent = len(line) - len(bare)
        if item := re.match(r"-\s+(intent|name)\s*:", bare):
            dash, where, first = indent, number, item[1]
        elif re.match(r"(routes|alerts|defaults)\s*:", line):
            dash = -1
        elif dash < 0 and re.match(r"intent\s*:", line):
            return number, "`intent:` stands at the margin, without its dash: write `- intent: ...` under `routes:`"
        elif dash >= 0 and indent <= dash and (key := ROUTE_KEY.match(bare)):
            owner = "route" if first == "intent" else "alert"
            return number, (
                f"`{key[1]}:` stands at the margin, outside its {owner}: the indentation was lost. "
                f"Put {dash + 2} spaces before it, so that it stands under `{first}:` (line {where})"
            )
    return None


class _Walk:
    """Nodes to items, noting what is refused."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def item(self, node: Any, line: int, depth: int) -> Item:
        """Return one node and all below it; `line` is that of its key."""
        here = Item(None, line)
        tag = str(node.tag or "")
        if depth > DEEPEST:
            self.problems.add(here, "nested too deeply to be a policy")
            return here
        if node.anchor:
            self.problems.add(
                here, f"the anchor &{node.anchor}: anchors and aliases are not used; put it in `defaults:`"
            )
            return here
        kind = type(node).__name__
        if kind == "MappingNode" and tag == f"{_TAG}map":
            return self.mapping(node, line, depth)
        if kind == "SequenceNode" and tag == f"{_TAG}seq":
            return Item([self.item(inner, inner.start_mark.line + 1, depth + 1) for inner in node.value], line)
        if kind == "ScalarNode" and tag.removeprefix(_TAG) in SCALARS:
            return self.scalar(node, tag.removeprefix(_TAG), here)
        self.problems.add(here, f"the tag {tag.replace(_TAG, '!!')!r}: tags are not used in a policy")
        return here

    def mapping(self, node: Any, line: int, depth: int) -> Item:
        found: dict[str, Item] = {}
        for key_node, value_node in node.value:
            here = Item(None, key_node.start_mark.line + 1)
            key = key_node.value
            if str(key_node.tag) == f"{_TAG}merge":
                self.problems.add(here, "the merge key <<: merging is not used; put the shared keys in `defaults:`")
            elif str(key_node.tag) == f"{_TAG}bool" or _plain_boolean(key_node):
                self.problems.add(here, f"the key {key!r} is read as true or false by some YAML readers: no key is one")
            elif str(key_node.tag) != f"{_TAG}str" or key_node.anchor:
                self.problems.add(here, f"a key is a plain word, not {_short(key)}")
            elif key in found:
                message = f"the key {key!r} stands twice (first on line {found[key].line}): readers keep only the last"
                self.problems.add(here, message)
            elif str(value_node.tag) == f"{_TAG}null" and not value_node.anchor:
                self.problems.add(here, f"{key!r} has no value: give it one, or remove the key")
            else:
                found[key] = self.item(value_node, here.line, depth + 1)
        return Item(found, line)

    def scalar(self, node: Any, kind: str, here: Item) -> Item:
        """Return one word, number or date; what readers of YAML 1.1 and 1.2 take for different things is noted."""
        text, value = node.value, None
        if kind == "str":
            value = text
            if _plain_boolean(node):
                message = (
                    f"{text!r} is text to some YAML readers, true or false to others: write true or false, or quote it"
                )
                self.problems.add(here, message)
        elif kind == "bool":
            value = text.lower() == "true"
        elif kind == "timestamp":
            value = _date(text) or text
        elif kind == "int" and re.fullmatch(r"-?(0|[1-9]\d{0,17})", text, re.ASCII):
            value = int(text)
        elif kind == "float" and re.fullmatch(r"-?\d{1,15}\.\d{0,15}", text, re.ASCII):
            value = float(text)
        elif kind == "null":
            self.problems.add(here, "an entry without a value: give it one, or remove it")
        else:
            self.problems.add(
                here, f"{_short(text)} is no number that every YAML reader reads alike: write plain digits, or quote it"
            )
        return Item(value, here.line)


def _plain_boolean(node: Any) -> bool:
    """Return whether a word without quotes is true or false to readers of YAML 1.1."""
    return isinstance(node.value, str) and not node.style and node.value.lower() in BOOLEAN_WORDS


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _short(value: Any) -> str:
    return repr(value) if isinstance(value, str) and len(value) <= 40 else "this"
