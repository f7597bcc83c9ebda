"""LiteLLM's ``config.yaml`` as a policy: a route for every model group, with its retries, fallbacks and cooldown.

Facts were read in the package, versions 1.106.2 and 1.109.1; POLICY.md section 6 says what is exact.
"""

from __future__ import annotations

from typing import Any

from incident_kit.gateways.foreign import Node
from incident_kit.gateways.litellm_cooldown import breaker
from incident_kit.gateways.litellm_facts import FALLBACK_ON, IN_GROUP, LIBRARY, RANKING, ROUTER, SECTIONS
from incident_kit.gateways.litellm_fallbacks import Fallbacks
from incident_kit.gateways.litellm_groups import Group, Settings, groups_of, retry
from incident_kit.policies.policytree import Item


def is_like(tree: Item) -> bool:
    """Return whether the keys are those of a LiteLLM configuration."""
    return bool(set(tree.value) & {"model_list", "litellm_settings", "router_settings"})


def tree(root: Node) -> dict[str, Any]:
    """Return the policy that a LiteLLM configuration holds, as plain values; every key is booked."""
    settings = Settings.of(root)
    groups = groups_of(settings)
    fallbacks = Fallbacks(settings)
    routes = [_route(settings, group, groups, fallbacks) for group in groups.values()]
    _rest(settings)
    return {"routes": routes}


def _route(settings: Settings, group: Group, groups: dict[str, Group], fallbacks: Fallbacks) -> dict[str, Any]:
    """Return the route of one group."""
    regular = fallbacks.chain(group.name, fallbacks.regular)
    fallback_on = list(FALLBACK_ON)
    special: list[dict[str, Any]] = []
    for failure, table in fallbacks.special.items():
        if table is None:
            continue  # without a table of its own the failure takes the regular way
        own = fallbacks.chain(group.name, table)
        special += [{"model": name, "only_for": [failure]} for name in own if name not in regular]
        if not own:
            fallback_on.remove(failure)
    entries: list[Any] = []
    for name in regular:
        rule = breaker(settings, groups[name]) if name in groups else None
        entries.append({"model": name, "breaker": rule} if rule else name)
    _timeouts_differ(group, [groups[name] for name in regular if name in groups])
    names = [group.name, *fallbacks.aliases.get(group.name, [])]
    route = {
        "intent": "*",
        "match": {"requested": names[0] if len(names) == 1 else names},
        "note": f"LiteLLM's model group {group.name}, deployments: {len(group.deployments)}",
        "primary": group.name,
        "fallback": [*_merged(special), *entries, "reject"],
        "fallback_on": fallback_on,
        "retry": retry(settings, group),
    }
    rule = breaker(settings, group)
    return route | ({"breaker": rule} if rule else {})


def _timeouts_differ(group: Group, others: list[Group]) -> None:
    """Book that a fallback has the time limit of the route here, and its own in LiteLLM."""
    for other in others:
        if other.timeout_ms != group.timeout_ms:
            how = f"{other.name} as a fallback of {group.name} gets that group's {group.timeout_ms} ms here"
            for node in other.limits:
                node.approximated("retry.timeout_ms", how)


def _rest(settings: Settings) -> None:
    """Book what has no part in routing, with the reason."""
    for key, node in settings.router.pairs() if settings.router else ():
        if key == "routing_strategy":
            ranked = not str(node.value).startswith("simple-shuffle")
            node.dropped(f"{node.text()} {IN_GROUP}" + f"; {RANKING}" * ranked)
        elif key in ROUTER:
            node.dropped(ROUTER[key])
        elif key.startswith(("redis_", "cache_")) or key in {"set_verbose", "debug_level"}:
            node.dropped("where the router keeps its state: no part in routing")
    for node in settings.root.get("model_list").each():  # type: ignore[union-attr]
        for key in ("litellm_params", "model_info"):
            if part := node.get(key):
                part.dropped("how the deployment is called and priced: no part in routing")
    for key, node in settings.library.pairs() if settings.library else ():
        if key in LIBRARY:
            node.dropped("logging, caching, budgets and parameters: no part in routing")
    for key, reason in SECTIONS.items():
        if section := settings.root.get(key):
            section.dropped(reason)


def _merged(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry a model, for all its failures: a model stands once in a chain."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        known = found.setdefault(entry["model"], {"model": entry["model"], "only_for": []})
        known["only_for"] += entry["only_for"]
    return list(found.values())
