"""Changing a policy: one value by its path, and writing the change back into the file it came from."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from incident_kit.conditions import Rule
from incident_kit.errors import InvalidPolicy, NoSuchItem
from incident_kit.grammar import KEYS, SHORT_KEY
from incident_kit.policywriter import leaves, long_form, must_quote

if TYPE_CHECKING:
    from incident_kit.policy import Policy

_STEP = re.compile(r"(max_p[\d.]+_ms|p[\d.]+_ms|slow_rate\(\d+ms\)|\w+)|\[(\d+)\]")
_QUANTILE = re.compile(r"(p[\d.]+_ms) > (\d+)")


def steps_of(policy: Policy, path: str) -> list[str | int]:
    """Return the steps of a path such as ``refund-policy.max_p95_ms`` or ``routes[0].breaker.window``.

    Raises
    ------
    NoSuchItem
        No route has that name.
    """
    names = {route.name: i for i, route in enumerate(policy.routes)}
    route = max((name for name in names if path.startswith(f"{name}.")), key=len, default=None)
    rest = path if route is None else path[len(route) + 1 :]
    steps: list[str | int] = [] if route is None else ["routes", names[route]]
    at = 0
    while at < len(rest):
        step = _STEP.match(rest, at)
        if step is None:
            break
        steps.append(int(step[2]) if step[2] else step[1])
        at = step.end() + rest.startswith(".", step.end())
    known = route is not None or steps[:1] == ["routes"] or steps[:1] in [[key] for key in KEYS["policy"]]
    if at < len(rest) or not known:
        raise NoSuchItem(
            f"{path!r} leads nowhere: begin with a route ({', '.join(names)}), then the key, as in ROUTE.max_p95_ms"
        )
    return _long(steps)


def _long(steps: list[str | int]) -> list[str | int]:
    last = steps[-1]
    if isinstance(last, str) and (short := SHORT_KEY.fullmatch(last)):
        return [*steps[:-1], "breaker", "when", short[1]]
    return [*steps[:-1], "on_fallback", "tools"] if last == "disable_tools_on_fallback" else steps


def changed_tree(policy: Policy, path: str, value: Any) -> tuple[dict[str, Any], str]:
    """Return the long form with one value changed (None: removed), and the long path of the change."""
    tree, steps = long_form(policy), steps_of(policy, path)
    value = value.item() if hasattr(value, "item") else value
    if steps[-2:] == ["on_fallback", "tools"] and isinstance(value, bool):
        value = "disabled" if value else "enabled"
    metric = steps.pop() if "when" in steps and steps[-1] != "when" else None
    node: Any = tree
    for i, step in enumerate(steps[:-1]):
        if isinstance(node, dict) and isinstance(step, str):
            node = node.setdefault(step, {})
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            raise NoSuchItem(f"{path!r} leads nowhere: there is no {_joined(steps[: i + 1])}")
    last: Any = steps[-1]
    if not isinstance(node, dict) or not isinstance(last, str):
        raise NoSuchItem(f"{path!r} leads to no key that holds one value")
    if metric is not None:
        value = _threshold(node.get(last), str(metric), value)
    if value is None:
        node.pop(last, None)
    else:
        node[last] = list(value) if isinstance(value, tuple) else value
    return tree, _joined(steps)


def _joined(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _threshold(when: Any, metric: str, value: Any) -> Any:
    """Return a rule with the number of its one condition on `metric` replaced."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidPolicy(f"the threshold of {metric} is a number, not {value!r}")
    number = str(int(value)) if isinstance(value, float) and value.is_integer() and metric.startswith("p") else value
    number = f"{number:.8f}" if isinstance(number, float) else str(number)
    if when is None:
        return f"{metric} > {number}"
    rule = Rule.parse(when)
    heads = [condition.text.rsplit(" ", 1)[0] for condition in rule.of]
    fit = [head for head, one in zip(heads, rule.of, strict=True) if metric in {one.metric, head.rsplit(" ", 1)[0]}]
    if len(fit) != 1:
        raise NoSuchItem(
            f"{len(fit) or 'no'} conditions on {metric} in {rule}: name one of its own metrics, or set breaker.when"
        )
    texts = [f"{head} {number}" if head == fit[0] else one.text for head, one in zip(heads, rule.of, strict=True)]
    return texts[0] if len(texts) == 1 else {"at_least": rule.at_least, "of": texts}


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

    for same, a, b, c, d in difflib.SequenceMatcher(None, plain, new, autojunk=False).get_opcodes():
        if same == "equal":
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
        models = [[entry["model"] for entry in form["fallback"]] for form in (one, other)]
        if models[0] != models[1] or any(
            a.keys() != b.keys() for a, b in zip(one["fallback"], other["fallback"], strict=True)
        ):
            entries = [_said(entry, f"routes[{i}].fallback[{j}]", unsaid) for j, entry in enumerate(other["fallback"])]
            _set(route, "fallback", [entry if len(entry) > 1 else entry["model"] for entry in entries])
            one["fallback"] = other["fallback"]
        was, now = dict(leaves(one)), dict(leaves(other))
        changed = [key for key in dict.fromkeys([*was, *now]) if was.get(key) != now.get(key)]
        for key in changed:
            if key in was or f"routes[{i}].{key}" not in unsaid:
                _change(route, key, now.get(key), other)


def _change(route: Any, key: str, value: Any, form: dict[str, Any]) -> None:
    """Write one changed leaf of a route where the file says it, in the short form if the file uses that."""
    sections: list[str | int]
    *sections, last = (int(step[1:-1]) if step[0] == "[" else step for step in re.findall(r"\[\d+\]|\w+", key))
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
    _set(node, str(last), value)
    if isinstance(node, dict) and not node and sections == ["breaker"]:
        del route["breaker"]


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


def _said(tree: dict[str, Any], path: str, unsaid: set[str]) -> dict[str, Any]:
    """Return a section without its implied values."""
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
