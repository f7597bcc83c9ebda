"""A policy's routes as LiteLLM's ``config.yaml``: a group for every route and target, with fallbacks, retries, cooldown."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from incident_kit.gateways.litellm_chains import SPECIAL, Group, chain, walked
from incident_kit.gateways.litellm_rest import Cooldowns
from incident_kit.policies.policywriter import yaml_text
from incident_kit.words import label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from incident_kit.gateways.export import Books
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.routes import Route

RETRIED = {"timeout", "409", "429", "5xx"}
ERRORS = {
    "timeout": ("TimeoutError",), "429": ("RateLimitError",), "5xx": ("InternalServerError", "ServiceUnavailableError"),
    "500": ("InternalServerError",), "503": ("ServiceUnavailableError",), "401": ("AuthenticationError",),
    "404": ("NotFoundError",), "400": ("BadRequestError",), "4xx": ("BadRequestError", "AuthenticationError"),
    "content_policy": ("ContentPolicyViolationError",),
}  # fmt: skip
KINDS = ("BadRequestError", "AuthenticationError", "TimeoutError", "RateLimitError", "ContentPolicyViolationError",
         "InternalServerError", "ServiceUnavailableError", "NotFoundError")  # fmt: skip
NO_KEY = {
    "deadline_ms": "LiteLLM limits an attempt, not a whole request",
    "switch": "LiteLLM has no switch by the clock: change the file and reload it",
    "on_fallback.max_tokens": "LiteLLM sends the fallback the request as it came",
}
NOTES = ("version", "name", "owner", "reason", "decided", "review_by", "rehearsed", "note")
HEAD = (
    "# {name}: written by incident-kit export. Put each group's provider, address and key in place of the placeholders;\n"
    "# what LiteLLM cannot do stands in the report.\n"
)


def text(policy: Policy, books: Books) -> str:
    """Return the file as YAML; every key of the policy is booked."""
    groups, aliases = _groups(policy, books)
    for group in groups.values():
        chain(group, books)
    groups = {
        name: group
        for name, group in groups.items()
        if group.route or any(other.reaches(name) for other in groups.values())
    }
    walked(groups, books)
    cooldowns = Cooldowns(books)
    for group in groups.values():
        if group.route is not None:
            cooldowns.route(group.name, group.route, group.path)
            _retry_keys(group, books)
            _other_keys(group.route, group.path, books)
    for i in range(len(policy.alerts)):
        books.book(f"alerts[{i}]", "dropped", "", "alerts are no part of LiteLLM's routing: export to prometheus")
    comment = [HEAD.format(name=label(policy.name))]
    for key in NOTES:
        books.book(key, "exact", "a comment")
        if key in books.tree and key not in {"version", "name"}:
            comment.append(f"# {key}: {label(str(books.tree[key]), longest=400)}\n")
    return "".join(comment) + yaml_text(_tree(groups, aliases, cooldowns, books))


def _groups(policy: Policy, books: Books) -> tuple[dict[str, Group], dict[str, str]]:
    """Return the groups by name, those of routes first, and the other names of groups."""
    groups: dict[str, Group] = {}
    aliases: dict[str, str] = {}
    for i, route in enumerate(policy.routes):
        path = f"routes[{i}]"
        requested = [str(value) for key, values in route.match if key == "requested" for value in values]
        base = requested[0] if requested else "+".join(route.primaries)[:150]
        name, count = base, 1
        while name in groups:
            count += 1
            name = f"{base}--{re.sub(r'[^A-Za-z0-9_.-]+', '-', route.name)[:80]}" + (f"-{count}" if count > 2 else "")
        targets = route.weights or ((route.primary, 1.0),)
        groups[name] = Group(name, targets, route, path)
        aliases |= {other: name for other in requested[1:] if other not in aliases}
        _who(route, path, name, books, told=name == base)
    known = {name for name, group in groups.items() if [one for one, _ in group.targets] == [name]}
    for route in policy.routes:
        for entry in route.fallback:
            if entry.kind == "model" and entry.model not in known | set(groups):
                groups[entry.model] = Group(entry.model, ((entry.model, 1.0),))
    return groups, aliases


def _who(route: Route, path: str, name: str, books: Books, *, told: bool) -> None:
    """Book intent, match and primary: LiteLLM looks at the name of the group and at nothing else."""
    ask = f"LiteLLM goes by the group that a client asks for: these requests must ask for {name!r}"
    anybody = route.intent == ("*",)
    matched = any(key == "requested" for key, _ in route.match)
    if anybody and (matched or told):
        books.book(f"{path}.intent", "exact", "model_list[].model_name")
    else:
        books.book(f"{path}.intent", "approximated", "model_list[].model_name", ask)
    for key, _ in route.match:
        if key == "requested":
            books.book(
                f"{path}.match.{key}",
                "exact" if told else "approximated",
                "model_list[].model_name",
                "" if told else ask,
            )
        else:
            books.book(f"{path}.match.{key}", "dropped", "", ask)
    if route.weights:
        how = "drawn by chance there, by a hash of the request's id here; a group of several has a cooldown of its own"
        books.book(f"{path}.primary", "approximated", "litellm_params.weight", how)
    else:
        books.book(f"{path}.primary", "exact", "model_list[].model_name")


def _retry_keys(group: Group, books: Books) -> None:
    """Book the retries and time limits of one route."""
    route, path = group.route, f"{group.path}.retry"
    if route is None:
        return
    retry = route.retry
    books.book(f"{path}.attempts", "exact", "num_retries")
    if not retry.attempts or set(retry.retry_on) == RETRIED | ({"401", "403"} if len(group.targets) > 1 else set()):
        books.book(f"{path}.retry_on", "exact", "num_retries", "what LiteLLM tries again by itself")
    elif set(retry.retry_on) - {"401", "403"} == RETRIED:
        books.book(f"{path}.retry_on", "approximated", "num_retries", "401 and 403 only with several deployments there")
    else:
        how = "by kind of exception there, by class of failure here"
        books.book(f"{path}.retry_on", "approximated", "router_settings.model_group_retry_policy", how)
    books.book(f"{path}.timeout_ms", "exact", "litellm_params.timeout")
    books.book(f"{path}.ttft_timeout_ms", "dropped", "", "LiteLLM has no limit for the first token")
    how = "at least this before a retry there, growing from 0.5 s to 8 s; none while another deployment is healthy"
    books.book(f"{path}.backoff_ms", "approximated", "router_settings.retry_after", how)


def _other_keys(route: Route, path: str, books: Books) -> None:
    for key, why in NO_KEY.items():
        books.book(f"{path}.{key}", "dropped", "", why)
    if route.on_fallback.tools == "disabled":
        books.book(f"{path}.on_fallback.tools", "dropped", "", "LiteLLM sends the fallback the tools as they came")
    else:
        books.book(f"{path}.on_fallback.tools", "exact")
    if route.sticky == "none":
        books.book(f"{path}.sticky", "exact")
    else:
        books.book(f"{path}.sticky", "dropped", "", "LiteLLM's affinity is to a deployment, not to a group")
    for key in NOTES:
        books.book(f"{path}.{key}", "dropped", "", "says why, without effect on routing")


def _tree(groups: dict[str, Group], aliases: dict[str, str], cooldowns: Cooldowns, books: Books) -> dict[str, Any]:
    """Return the whole file as plain values."""
    routes = [group.route for group in groups.values() if group.route is not None]
    retries = _commonest(route.retry.attempts for route in routes)
    pause_ms = max((route.retry.backoff_ms for route in routes), default=0)
    router: dict[str, Any] = {"num_retries": retries, "retry_after": pause_ms // 1000} | cooldowns.router()
    models: list[dict[str, Any]] = []
    for group in groups.values():
        params: dict[str, Any] = {}
        timeout_ms = _timeout(group, groups, books)
        if timeout_ms is not None:
            seconds = timeout_ms / 1000 if timeout_ms % 1000 else timeout_ms // 1000
            params |= {"timeout": seconds, "stream_timeout": seconds}
        if group.route is not None and group.route.retry.attempts != retries:
            params["num_retries"] = group.route.retry.attempts
        own, info = cooldowns.group(group.name)
        models += [_deployment(group, target, weight, params | own, info) for target, weight in group.targets]
    policies = {group.name: _policy(group.route) for group in groups.values() if group.route and _needs_policy(group)}
    for key, kind in (("fallbacks", ""), *((f"{kind}_fallbacks", kind) for kind in SPECIAL)):
        table = [{name: group.fallbacks[kind]} for name, group in groups.items() if group.fallbacks.get(kind)]
        router |= {key: table} if table else {}
    router |= {"model_group_alias": aliases} if aliases else {}
    router |= {"model_group_retry_policy": policies} if policies else {}
    return {"model_list": models, "router_settings": router}


def _deployment(
    group: Group, target: str, weight: float, params: dict[str, Any], info: dict[str, Any]
) -> dict[str, Any]:
    place = re.sub(r"[^A-Z0-9]+", "_", target.upper()).strip("_") or "TARGET"
    whole = {
        "model": f"openai/{target}",
        "api_base": f"os.environ/{place}_API_BASE",
        "api_key": f"os.environ/{place}_API_KEY",
    } | params
    if len(group.targets) > 1:
        whole["weight"] = int(weight) if weight == int(weight) else weight
    return {"model_name": group.name, "litellm_params": whole} | ({"model_info": info} if info else {})


def _timeout(group: Group, groups: dict[str, Group], books: Books) -> int | None:
    """Return the time limit of a group: of its own route, else of the first that falls back to it."""
    users = [other for other in groups.values() if other.route and other.reaches(group.name)]
    own = group.route or next((other.route for other in users), None)
    limit = own.retry.timeout_ms if own is not None else None
    for other in users:
        if other.route is not None and other.route.retry.timeout_ms != limit:
            how = f"its fallback {group.name} has its own limit there" + f", {limit} ms" * bool(limit)
            books.book(f"{other.path}.retry.timeout_ms", "approximated", "litellm_params.timeout", how)
    return limit


def _needs_policy(group: Group) -> bool:
    retry = group.route.retry if group.route else None
    return bool(retry and retry.attempts and set(retry.retry_on) - {"401", "403"} != RETRIED)


def _policy(route: Route) -> dict[str, int]:
    kinds = {kind for one in route.retry.retry_on for kind in ERRORS.get(one, ())}
    return {f"{kind}Retries": route.retry.attempts if kind in kinds else 0 for kind in KINDS}


def _commonest(values: Iterable[int]) -> int:
    counted = Counter(values)
    return min(counted, key=lambda value: (-counted[value], value)) if counted else 0
