"""Writing a policy back into the file it came from: its comments and order stay, and only what changed changes."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from incident_kit.errors import InvalidPolicy
from incident_kit.policies.grammar import KEYS, SHORT_KEY
from incident_kit.policies.policyedit import split_path
from incident_kit.policies.policywriter import WHOLE, leaves, long_form, must_quote, same

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy

_QUANTILE = re.compile(r"(p[\d.]+_ms) > (\d+)")


def file_text(policy: Policy) -> str:
    """Return the text to save: the file's own with only what changed in it, or the long form if there was no file."""
    if policy.text is None:
        return policy.expand()
    before = type(policy).parse(policy.text, name=policy.name)
    if before == policy and before.name == policy.name:
        return policy.text
    if [route.intent for route in before.routes] != [route.intent for route in policy.routes]:
        return policy.expand()
    for text in _edited(before, policy):
        try:
            after = type(policy).parse(text, name=policy.name)
        except InvalidPolicy:
            continue
        if after == policy and after.name == policy.name:
            return text
    return policy.expand()


def _edited(before: Policy, policy: Policy) -> Iterator[str]:
    """Yield candidates for the new text, the least changed first."""
    from ruamel.yaml import YAML

    source = before.text or ""
    text = source.replace("\r\n", "\n")
    yaml = YAML(typ="rt")
    yaml.preserve_quotes, yaml.width = True, 4096
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    dash = re.search(r"^routes:.*\n(?:\s*#.*\n|\s*\n)*( *)-( +)", text, re.MULTILINE)
    offset, gap = (len(dash[1]), len(dash[2])) if dash else (0, 1)
    yaml.indent(mapping=2, sequence=offset + 1 + gap, offset=offset)

    def dumped(document: Any) -> str:
        stream = io.StringIO()
        yaml.dump(document, stream)
        return stream.getvalue()

    document = yaml.load(text)
    plain = dumped(yaml.load(text)).splitlines(keepends=True)
    _edit(document, before, policy)
    edited = dumped(document)
    own, new = text.splitlines(keepends=True), edited.splitlines(keepends=True)
    newline = "\r\n" if "\r\n" in source else "\n"
    if len(own) == len(plain):
        yield "".join(_spliced(own, plain, new)).replace("\n", newline)
    yield edited.replace("\n", newline)


def _spliced(own: list[str], plain: list[str], new: list[str]) -> Iterator[str]:
    """Yield the file's own lines, with what the edit changed between two dumps, indented as the file is."""

    def indent(line: str) -> int:
        return len(line) - len(line.lstrip(" "))

    def placed(line: str, at: int) -> str:
        above = (
            i for i in range(min(at, len(plain) - 1), -1, -1) if plain[i].strip() and indent(plain[i]) == indent(line)
        )
        i = next(above, None)
        return line if i is None else " " * indent(own[i]) + line.lstrip(" ")

    for how, a, b, c, d in difflib.SequenceMatcher(None, plain, new, autojunk=False).get_opcodes():
        if how == "equal":
            yield from own[a:b]
            continue
        yield from (placed(line, a) for line in new[c:d])
        put = {line.strip() for line in new[c:d]}
        yield from (line for line in own[a:b] if line.lstrip()[:1] in {"", "#"} and line.strip() not in put)


def _edit(document: Any, before: Policy, policy: Policy) -> None:
    old, new = long_form(before), long_form(policy)
    unsaid = {implied.path for implied in policy.implied}
    for key in KEYS["policy"]:
        if old.get(key) != new.get(key):
            _set(document, key, new.get(key))
    for i, (one, other) in enumerate(zip(old["routes"], new["routes"], strict=True)):
        route = document["routes"][i]
        shapes = [[_shape(entry) for entry in form["fallback"]] for form in (one, other)]
        from_defaults = "fallback" not in route and one["fallback"] != other["fallback"]
        if shapes[0] != shapes[1] or from_defaults:
            entries = [_said(entry, f"routes[{i}].fallback[{j}]", unsaid) for j, entry in enumerate(other["fallback"])]
            _set(route, "fallback", [entry["model"] if list(entry) == ["model"] else entry for entry in entries])
            one["fallback"] = other["fallback"]
        _edit_leaves(route, one, other, f"routes[{i}]", unsaid)
    was, now = old.get("alerts", []), new.get("alerts", [])
    if [alert["name"] for alert in was] != [alert["name"] for alert in now]:
        _set(document, "alerts", [_said(alert, f"alerts[{i}]", unsaid) for i, alert in enumerate(now)] or None)
        return
    for i, (one, other) in enumerate(zip(was, now, strict=True)):
        _edit_leaves(document["alerts"][i], one, other, f"alerts[{i}]", unsaid)


def _edit_leaves(node: Any, old: dict[str, Any], new: dict[str, Any], path: str, unsaid: set[str]) -> None:
    if "breaker" in old and "breaker" not in new:
        for key in [key for key in node if key == "breaker" or SHORT_KEY.fullmatch(str(key))]:
            del node[key]
        old = {key: value for key, value in old.items() if key != "breaker"}
    was, now = (dict(leaves(form, whole=WHOLE)) for form in (old, new))
    for key in dict.fromkeys([*was, *now]):
        if not same(was.get(key), now.get(key)) and (key in was or f"{path}.{key}" not in unsaid):
            _change(node, key, was.get(key), now.get(key), new)


def _shape(entry: Any) -> Any:
    """Return what an entry is, leaving out the values that can be changed inside it."""
    return entry if isinstance(entry, str) else (*entry, entry.get("model"))


def _change(route: Any, key: str, was: Any, value: Any, form: dict[str, Any]) -> None:
    """Write one changed leaf of a route where the file says it, in the short form if the file uses that."""
    *sections, last = split_path(key)
    if sections == ["on_fallback"]:
        if last == "tools" and "disable_tools_on_fallback" in route:
            route["disable_tools_on_fallback"] = value == "disabled"
        elif "disable_tools_on_fallback" in route:
            _rename(route, "disable_tools_on_fallback", "on_fallback", form["on_fallback"])
        else:
            _set(route, "on_fallback", form["on_fallback"])
        return
    node = route
    for step in sections:
        if step == "breaker" and last == "when" and sections[-1] == "breaker" and _short(node, value):
            return
        if step == "fallback" and not isinstance(node["fallback"], list):
            node["fallback"] = [node["fallback"]]
        if isinstance(step, str) and step not in node:
            if value is None:
                return
            _set(node, step, {})
        node = node[step]
    _update(node, last, was, value)


def _short(node: Any, value: Any) -> bool:
    """Write a breaker's condition as ``max_pNN_ms`` if the file does, or has none; return whether that was possible."""
    short = [key for key in node if SHORT_KEY.fullmatch(str(key))]
    if not short and "when" in (node.get("breaker") or {}):
        return False
    simple = _QUANTILE.fullmatch(value) if isinstance(value, str) else None
    if simple and short == [f"max_{simple[1]}"]:
        node[short[0]] = int(simple[2])
        return True
    if simple and SHORT_KEY.fullmatch(f"max_{simple[1]}"):
        for key in short[1:]:
            del node[key]
        _rename(node, short[0] if short else "", f"max_{simple[1]}", int(simple[2]))
        return True
    for key in short:
        del node[key]
    return False


def _update(node: Any, key: str | int, was: Any, value: Any) -> None:
    """Put one value in the place of another; of a mapping that stays one, only what changed in it."""
    there = node[key] if isinstance(key, int) else node.get(key)
    if isinstance(there, dict) and isinstance(was, dict) and isinstance(value, dict) and list(was) == list(value):
        for inner in value:
            if not same(was[inner], value[inner]):
                _update(there, inner, was[inner], value[inner])
    elif isinstance(there, list) and isinstance(was, list) and isinstance(value, list) and len(there) == len(value):
        for i, (one, other) in enumerate(zip(was, value, strict=True)):
            if one != other:
                _update(there, i, one, other)
    elif isinstance(key, int):
        node[key] = _node(value)
    else:
        _set(node, key, value)


def _said(tree: Any, path: str, unsaid: set[str]) -> Any:
    """Return a section without its implied values."""
    if not isinstance(tree, dict):
        return tree
    kept = {key: value for key, value in tree.items() if f"{path}.{key}" not in unsaid}
    nested = {
        key: _said(value, f"{path}.{key}", unsaid) if isinstance(value, dict) and key != "when" else value
        for key, value in kept.items()
    }
    return {key: value for key, value in nested.items() if value != {}}


def _rename(node: Any, old: str, new: str, value: Any) -> None:
    """Put one key in the place of another, with the comments that stand there; without an old one, add it."""
    if old not in node:
        _set(node, new, value)
        return
    node.insert(list(node).index(old), new, _node(value))
    if comments := node.ca.items.pop(old, None):
        node.ca.items[new] = comments
    del node[old]


def _set(node: Any, key: str, value: Any) -> None:
    if value is None:
        node.pop(key, None)
    else:
        node[key] = _node(value)


def _node(value: Any) -> Any:
    """Return plain values as ruamel holds them: groups on one line, words that readers take for true quoted."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, dict):
        mapping = CommentedMap({key: _node(inner) for key, inner in value.items()})
        mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list):
        sequence = CommentedSeq([_node(inner) for inner in value])
        sequence.fa.set_flow_style()
        return sequence
    return DoubleQuotedScalarString(value) if isinstance(value, str) and must_quote(value) else value
