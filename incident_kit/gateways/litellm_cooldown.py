"""LiteLLM's cooldown of a deployment as a breaker of its group: the translation; `emulation` runs the rule itself."""

from __future__ import annotations

from typing import Any

from incident_kit.gateways.foreign import Node
from incident_kit.gateways.litellm_facts import (
    ALLOWED_FAILS,
    ALONE,
    CLASSES,
    COOLDOWN_S,
    COOLED,
    FAILED_SHARE,
    LEAST,
    WINDOW_S,
    duration,
)
from incident_kit.gateways.litellm_groups import Group, Settings

LATER = "cooldown is per deployment and worker there; here one breaker watches the group (emulate runs the rule itself)"
DAY_S = 86_400


def breaker(settings: Settings, group: Group) -> dict[str, Any] | None:
    """Return the breaker of a group, or None where nothing cools down."""
    disabled = settings.router.get("disable_cooldowns") if settings.router else None
    if disabled is not None:
        disabled.exact("breaker")
        if disabled.flag():
            return None
    rest_s = _cooldown(settings, group)
    if rest_s == 0:
        return None
    counted = _counted(settings, group)
    rule = _by_count(group, counted, rest_s) if counted else _by_share(settings, group)
    return {
        "scope": "target",
        **rule,
        "cooldown": duration(min(rest_s, 366 * DAY_S)),
        "half_open": {"requests": 0},
        "no_data": "hold",
        "observe": "completed",
        "every": "completion",
        "for": "0s",
    }


def _cooldown(settings: Settings, group: Group) -> float:
    """Return the seconds of rest: the deployment's own (0: never), else the router's, where 0 means the default."""
    own = [
        found
        for node in group.deployments
        if (found := node.dig("model_info", "cooldown_time") or node.dig("litellm_params", "cooldown_time"))
    ]
    values = [value for node in own if (value := node.number()) is not None]
    if values and len(values) == len(group.deployments):
        longest = max(values)
        for node in own:
            if len(set(values)) == 1 and len(values) == 1:
                node.exact("breaker.cooldown")
            else:
                node.approximated("breaker.cooldown", f"one breaker for {len(values)} deployments: {longest:g} s")
        return longest
    for node in own:
        node.approximated("breaker.cooldown", "not all deployments of the group have one: the router's is taken")
    shared = settings.get("cooldown_time")
    seconds = shared.number() if shared is not None else None
    if shared is not None and seconds:
        shared.exact("breaker.cooldown", "a Retry-After header of the provider wins over it there")
        return seconds
    if shared is not None and seconds == 0:
        shared.approximated("breaker.cooldown", f"0 means the default there, {COOLDOWN_S} s")
    else:
        settings.ledger.default("router_settings.cooldown_time", f"{COOLDOWN_S} s", "breaker.cooldown")
    return COOLDOWN_S


def _counted(settings: Settings, group: Group) -> dict[str, int]:
    """Return the failures that are allowed, by kind (empty name: any), or nothing where the default rule is at work."""
    for node in group.deployments:
        policy, allowed = node.dig("model_info", "allowed_fails_policy"), node.dig("model_info", "allowed_fails")
        if policy is not None:
            return _policy(policy)
        if allowed is not None and (count := allowed.count()) is not None:
            if len(group.deployments) == 1:
                allowed.dropped("a lone deployment is never cooled down by its own allowed_fails")
                return {}
            allowed.approximated("breaker.when", LATER)
            return {"": count}
    policy = settings.router.get("allowed_fails_policy") if settings.router else None
    if policy is not None:
        return _policy(policy)
    own = settings.router.get("allowed_fails") if settings.router else None
    library = settings.library.get("allowed_fails") if settings.library else None
    usual = library.count() if library is not None else None
    if library is not None:
        library.dropped("the value that LiteLLM compares router_settings.allowed_fails with: alone it changes nothing")
    count = own.count() if own is not None else None
    if own is not None and count is not None and count != (ALLOWED_FAILS if usual is None else usual):
        how = f"{LATER}; failures within the cooldown time of the first are counted there, failures in a row here"
        own.approximated("breaker.when", how)
        return {"": count}
    if own is not None and count is not None:
        own.dropped(f"{count} is LiteLLM's default, and the default counts as not set: the share of failures decides")
    return {}


def _policy(node: Node) -> dict[str, int]:
    found = {}
    for key, value in node.pairs():
        name = key.removesuffix("AllowedFails")
        if name in CLASSES and (count := value.count()) is not None:
            found[name] = count
    how = f"{LATER}; counted by kind there, failures of these kinds in a row here, the smallest number of them"
    node.approximated("breaker.when, breaker.errors", how)
    return found


def _by_count(group: Group, counted: dict[str, int], rest_s: float) -> dict[str, Any]:
    """Return the rule of allowed_fails: a deployment rests after more failures than that; the group, after all did."""
    limit = min(1_000_000, len(group.deployments) * (min(counted.values()) + 1))
    kinds = [kind for name in counted for kind in CLASSES.get(name, COOLED)]
    return {
        "when": f"consecutive_errors >= {limit}",
        "window": duration(max(rest_s, 1)),
        "min_requests": 1,
        "errors": list(dict.fromkeys(kinds)),
    }


def _by_share(settings: Settings, group: Group) -> dict[str, Any]:
    """Return the default rule: over half of at least five; a lone deployment only when all of a thousand failed."""
    alone = len(group.deployments) == 1
    when = "error_rate >= 1" if alone else f"error_rate > {FAILED_SHARE}"
    least = ALONE if alone else LEAST
    title = "default cooldown rule, lone deployment" if alone else "default cooldown rule"
    how = "counters begin at their own first failure and success there; 401, 402 and 404 cool down at once there"
    how += "" if alone else f"; so does a 429. {LATER}"
    what = f"{when}, at least {least} requests in {WINDOW_S} s"
    settings.ledger.default(title, what, "breaker.when", how=how, fidelity="approximated")
    return {"when": when, "window": f"{WINDOW_S}s", "min_requests": least, "errors": list(COOLED)}
