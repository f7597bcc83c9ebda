"""The keys of resilience4j: how they are spelled, what they are without a word, and which settings an instance has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from incident_kit.errors import InvalidConfiguration
from incident_kit.gateways.foreign import Node
from incident_kit.policies.policytree import Item

DEFAULTS: dict[str, Any] = {
    "slidingwindowtype": "COUNT_BASED", "slidingwindowsize": 100, "minimumnumberofcalls": 100,
    "failureratethreshold": 50, "slowcallratethreshold": 100, "slowcalldurationthreshold": "60s",
    "waitdurationinopenstate": "60s", "permittednumberofcallsinhalfopenstate": 10, "maxwaitdurationinhalfopenstate": "0s",
    "exponentialbackoffmultiplier": 1.5, "recordexceptions": "all",
}  # fmt: skip
NO_PART = "health pages, events and stack traces: no part in routing"
CODE = "a class of the application: what it does is not in the file"
DROPPED = {
    **dict.fromkeys(
        ("registerhealthindicator", "eventconsumerbuffersize", "allowhealthindicatortofail", "writablestacktraceenabled",
         "ignoreclassbindingexceptions"),
        NO_PART,
    ),
    **dict.fromkeys(("recordfailurepredicate", "recordresultpredicate", "ignoreexceptionpredicate"), CODE),
    "enablerandomizedwait": "chance in the wait: here it is always the same",
    "randomizedwaitfactor": "chance in the wait: here it is always the same",
    "automatictransitionfromopentohalfopenenabled": "either way the next call after the wait is the first probe",
    "initialstate": "a breaker begins on the primary here",
    "transitiontostateafterwaitduration": "after the wait the primary is tried with probes here",
}  # fmt: skip
KNOWN = frozenset(
    (
        *DEFAULTS,
        *DROPPED,
        "baseconfig",
        "enableexponentialbackoff",
        "exponentialmaxwaitdurationinopenstate",
        "ignoreexceptions",
    )
)


def squeezed(key: str) -> str:
    """Return a key without the marks in which its spellings differ: ``sliding-window-size``, ``slidingWindowSize``."""
    return key.replace("-", "").replace("_", "").lower()


def find(node: Node, key: str) -> Node | None:
    """Return the mapping under a key, however it is spelled."""
    found = next((inner for name, inner in node.pairs() if squeezed(name) == key), None)
    return found if found is not None and isinstance(found.item.value, dict) else None


@dataclass(frozen=True, slots=True)
class Layers:
    """The settings of one instance and the shared ones below it; the first that has a key wins."""

    nodes: tuple[Node, ...]

    def get(self, key: str) -> Node | None:
        """Return the value of a squeezed key."""
        for node in self.nodes:
            if (found := next((inner for name, inner in node.pairs() if squeezed(name) == key), None)) is not None:
                return found
        return None


def expanded(tree: Item, *, source: str) -> Item:
    """Return the tree with dotted keys opened (``resilience4j.circuitbreaker.instances: ...``), down to the instances.

    Raises
    ------
    InvalidConfiguration
        A key stands twice, once with dots.
    """
    opened: dict[str, Item] = {}
    for key, item in tree.value.items():
        head, dot, rest = key.partition(".")
        inner = expanded(Item({rest: item}, item.line), source=source) if dot else item
        if not dot and isinstance(item.value, dict) and squeezed(key) not in {"instances", "configs"}:
            inner = expanded(item, source=source)
        if head in opened:
            old = opened[head]
            if (
                not isinstance(old.value, dict)
                or not isinstance(inner.value, dict)
                or set(old.value) & set(inner.value)
            ):
                raise InvalidConfiguration(
                    f"{source}, line {item.line}: {key!r} stands twice, once with dots: keep one"
                )
            inner = Item(old.value | inner.value, old.line)
        opened[head] = inner
    return Item(opened, tree.line)


def is_like(tree: Item) -> bool:
    """Return whether circuit breakers of resilience4j stand in it."""
    keys = {squeezed(part) for key in tree.value for part in key.split(".")}
    if keys & {"resilience4j", "circuitbreaker"}:
        return True
    plain = keys & KNOWN
    named = [item for key, item in tree.value.items() if squeezed(key) in {"instances", "configs"}]
    inner = [squeezed(key) for part in named if isinstance(part.value, dict)
             for one in part.value.values() if isinstance(one.value, dict) for key in one.value]  # fmt: skip
    return bool(plain & set(DEFAULTS)) or bool(set(inner) & KNOWN)


def instances(breakers: Node, root: Node) -> dict[str, Node]:
    """Return the instances by name; without any, the settings that stand there are one."""
    found = find(breakers, "instances") or find(breakers, "backends")
    if found is not None:
        return {name: node.mapping() for name, node in found.pairs()}
    if any(squeezed(key) in DEFAULTS for key, _ in breakers.pairs()):
        root.ledger.default("instance", "primary", "primary", how="the settings have no name", fidelity="approximated")
        return {"primary": breakers}
    configs = find(breakers, "configs")
    if configs is None:
        raise root.wrong("resilience4j settings with `circuitbreaker.instances`")
    return {name: node.mapping() for name, node in configs.pairs()}


def layers(name: str, node: Node, breakers: Node) -> Layers:
    """Return the settings of one instance: its own, those of its base, and so on; without a base, those of `default`."""
    configs = find(breakers, "configs")
    nodes, wanted = [node], node
    while configs is not None and len(nodes) < 20:
        base = next((inner for key, inner in wanted.pairs() if squeezed(key) == "baseconfig"), None)
        if base is not None:
            base.exact("breaker")
        title = base.text() if base is not None else "default"
        below = configs.get(title)
        if below is None and base is not None:
            raise base.wrong(
                f"one of the configs ({', '.join(key for key, _ in configs.pairs())}), for instance {name!r}"
            )
        if below is None or any(below.steps == one.steps for one in nodes):
            break
        nodes.append(below.mapping())
        wanted = below
    return Layers(tuple(nodes))
