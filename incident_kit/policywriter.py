"""From routes back to YAML: the long form in which nothing is implied, and its leaves by path."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from incident_kit.grammar import KEYS
from incident_kit.policytree import BOOLEAN_WORDS, Item

if TYPE_CHECKING:
    from incident_kit.policy import Policy
    from incident_kit.routes import Route

PLAIN = re.compile(r"\w(?:[\w ./%<>=()+-]*[\w./%<>=()+-])?", re.ASCII)


def long_form(policy: Policy) -> dict[str, Any]:
    """Return a policy as plain values, every key written out, in the order of the language."""
    return _section(policy, "policy") | {"routes": [route_form(route) for route in policy.routes]}


def route_form(route: Route) -> dict[str, Any]:
    """Return one route as plain values, every key written out."""
    tree = _section(route, "route")
    primary = {"primary": tree.pop("primary"), "fallback": [_section(entry, "entry") for entry in route.fallback]}
    notes = {key: tree.pop(key) for key in list(tree) if key in KEYS["policy"]}
    intent = route.intent[0] if len(route.intent) == 1 else list(route.intent)
    return {"intent": intent, **notes, **primary, **tree}


def _section(value: Any, section: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, key in KEYS[section].items():
        held = getattr(value, key.attribute)
        if held is not None:
            tree[name] = _section(held, key.section) if key.section else key.show(held)
    return tree


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of every key that opens no further section; a condition is one value."""
    if isinstance(tree, dict) and not path.endswith(".when"):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(tree, list) and tree and all(isinstance(item, dict) for item in tree):
        for i, value in enumerate(tree):
            yield from leaves(value, f"{path}[{i}]")
    else:
        yield path, tree


def held(item: Item, path: str = "") -> Iterator[str]:
    """Yield the path of every key in a file's tree."""
    if isinstance(item.value, dict):
        for key, value in item.value.items():
            inner = f"{path}.{key}" if path else key
            yield inner
            yield from held(value, inner)
    elif isinstance(item.value, list):
        for i, value in enumerate(item.value):
            yield from held(value, f"{path}[{i}]")


def must_quote(text: str) -> bool:
    """Return whether a text is quoted when written: all but plain words, and words that some readers take for true."""
    return text.lower() in BOOLEAN_WORDS or not PLAIN.fullmatch(text)


def yaml_text(tree: Any) -> str:
    """Return plain values as YAML: blocks outside, one line for what holds only words and numbers."""
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        """Quotes the words that other readers of YAML take for true and false."""

        def represent_str(self, data: str) -> ScalarNode:
            style = '"' if must_quote(data) else None
            return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Representer.add_representer(str, Representer.represent_str)
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Representer = Representer
    yaml.default_flow_style = None  # neither: groups of words and numbers on one line
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 4096
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def inline(value: Any) -> str:
    """Return one value as a file writes it on one line."""
    if isinstance(value, list):
        return f"[{', '.join(inline(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {inline(item)}' for key, item in value.items())}}}"
    return str(value)
