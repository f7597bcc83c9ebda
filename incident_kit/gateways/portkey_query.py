"""Queries of Portkey's conditional strategies as intent and match; what cannot be said is dropped aloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from incident_kit.gateways.foreign import Node

KNOWN = frozenset({"channel", "conversation_id", "ticket_id"})
UNSAID = (
    "the policy language matches names and lists of names: requests that only this condition takes go on to the next"
)


@dataclass(slots=True)
class Match:
    """What one condition says: keys of the route (`intent`) and of its `match`."""

    keys: dict[str, Any] = field(default_factory=dict)
    match: dict[str, Any] = field(default_factory=dict)


def matches(query: Node) -> Iterator[Match]:
    """Yield the matches of a query; more than one means any of them; none: it cannot be said."""
    ways = list(_ways(query))
    if any(way is None for way in ways):
        for steps in query.leaves():
            query.ledger.booked.pop(steps, None)
        query.dropped(UNSAID)
        return
    yield from (way for way in ways if way is not None)


def _ways(query: Node) -> Iterator[Match | None]:
    """Yield the ways in which a query is met, None where it cannot be said."""
    found: list[Match] = [Match()]
    for key, node in query.pairs():
        if key == "$and":
            parts = [list(_ways(part)) for part in node.each()]
        elif key == "$or":
            parts = [[way for part in node.each() for way in _ways(part)]]
        else:
            parts = [[_field(key, node)]]
        for part in parts:
            joined = [_joined(one, other) for one in found for other in part]
            if len(joined) > 64 or any(way is None for way in joined):
                yield None
                return
            found = [way for way in joined if way is not None]
    yield from found


def _joined(one: Match, other: Match | None) -> Match | None:
    """Return both together, or None where they speak of the same key: an equality twice is beyond us."""
    if other is None or set(one.keys) & set(other.keys) or set(one.match) & set(other.match):
        return None
    return Match(one.keys | other.keys, one.match | other.match)


def _field(key: str, node: Node) -> Match | None:
    """Return one comparison: ``metadata.KEY`` or ``params.model``, equal to a word or one of a list."""
    value = node
    if isinstance(node.value, dict):
        operators = [name for name, _ in node.pairs()]
        if operators not in (["$eq"], ["$in"]):
            return None
        value = node.get(operators[0])  # type: ignore[assignment]
    if isinstance(value.value, dict) or value.value in ([], ""):
        return None
    words = value.words() if isinstance(value.value, list) else value.value
    if isinstance(words, float):
        return None
    if key == "metadata.intent":
        names = words if isinstance(words, list) else str(words)
        if any(set(name) & set("*?") for name in ([names] if isinstance(names, str) else names)):
            return None
        node.exact("intent")
        return Match({"intent": names})
    name = _match_key(key)
    if name is None:
        return None
    node.exact(f"match.{name}")
    return Match(match={name: words})


def _match_key(key: str) -> str | None:
    if key == "params.model":
        return "requested"
    if key == "params.stream":
        return "stream"
    place, _, name = key.partition(".")
    if place != "metadata" or not name:
        return None
    return name if name in KNOWN else f"labels.{name}"
