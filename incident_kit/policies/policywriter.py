"""From routes back to YAML: the long form in which nothing is implied, and its leaves by path."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from incident_kit.policies.grammar import KEYS, NOTES
from incident_kit.policies.policytree import BOOLEAN_WORDS, Item
from incident_kit.policies.policyvalues import ENDS

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.routes import Alert, Entry, Route

WHOLE = ("match", "primary", "cooldown", "switch")  # mappings and lists of them that people read as one value
PLAIN = re.compile(r"(?:signal:)?\w(?:[\w ./%<>=()+-]*[\w./%<>=()+-])?", re.ASCII)


def long_form(policy: Policy) -> dict[str, Any]:
    """Return a policy as plain values, every key written out, in the order of the language."""
    alerts = {"alerts": [alert_form(alert) for alert in policy.alerts]} if policy.alerts else {}
    return _section(policy, "policy") | {"routes": [route_form(route) for route in policy.routes]} | alerts


def route_form(route: Route) -> dict[str, Any]:
    """Return one route as plain values, every key written out."""
    tree = _section(route, "route")
    first = {key: tree.pop(key) for key in (*NOTES, "match", "primary") if key in tree}
    chain: dict[str, Any] = {"fallback": [entry_form(entry) for entry in route.fallback]}
    if route.switches:
        chain["switch"] = [_section(switch, "switch") for switch in route.switches]
    return {"intent": _intents(route.intent), **first, **chain, **tree}


def entry_form(entry: Entry) -> Any:
    """Return one fallback entry as plain values."""
    if entry.kind in ENDS:
        return entry.kind
    return _section(entry, "entry" if entry.kind == "model" else entry.kind)


def alert_form(alert: Alert) -> dict[str, Any]:
    """Return one alert as plain values, every key written out."""
    return {"name": alert.name, "intent": _intents(alert.intent), **_section(alert, "alert")}


def _intents(intent: tuple[str, ...]) -> str | list[str]:
    return intent[0] if len(intent) == 1 else list(intent)


def _section(owner: Any, section: str) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, key in KEYS[section].items():
        if not key.section:
            shown = key.shown(owner)
        else:
            held = key.held(owner)
            shown = None if held is None else _section(held, key.section)
        if shown is not None:
            tree[name] = shown
    return tree


def leaves(tree: Any, path: str = "", *, whole: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the path and value of every key that opens no further section; a condition is one value.

    What stands under a key in `whole` is one value too.
    """
    if isinstance(tree, dict) and path.rsplit(".", 1)[-1] != "when":
        for key, value in tree.items():
            inner = f"{path}.{key}" if path else key
            if key in whole:
                yield inner, value
            else:
                yield from leaves(value, inner, whole=whole)
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        for i, value in enumerate(tree):
            yield from leaves(value, f"{path}[{i}]", whole=whole)
    else:
        yield path, tree


def same(one: Any, other: Any) -> bool:
    """Return whether two plain values are written alike, the order of keys included."""
    return bool(one == other) and inline(one) == inline(other)


def held(item: Item, path: str = "") -> Iterator[str]:
    """Yield the path of every key in a file's tree."""
    if isinstance(item.value, dict):
        for key, value in item.value.items():
            inner = f"{path}.{key}" if path else key
            yield inner
            yield from held(value, inner)
    elif isinstance(item.value, list):
        for i, value in enumerate(item.value):
            yield f"{path}[{i}]"
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

        def represent_float(self, data: float) -> ScalarNode:
            return self.represent_scalar("tag:yaml.org,2002:float", plain_number(data))

    Representer.add_representer(str, Representer.represent_str)
    Representer.add_representer(float, Representer.represent_float)
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Representer = Representer
    yaml.default_flow_style = None  # neither: groups of words and numbers on one line
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 4096
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def plain_number(value: float) -> str:
    """Return a number without an exponent, which some readers take for text."""
    return f"{Decimal(repr(value)):f}"


def inline(value: Any) -> str:
    """Return one value as a file writes it on one line."""
    if isinstance(value, list):
        return f"[{', '.join(inline(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {inline(item)}' for key, item in value.items())}}}"
    return plain_number(value) if isinstance(value, float) else str(value)
