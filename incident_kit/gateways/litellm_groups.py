"""The model groups of a LiteLLM configuration: what their deployments agree on, their time limits and retries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from incident_kit.gateways.foreign import Node
from incident_kit.gateways.litellm_facts import BACKOFF_MS, CLASSES, NUM_RETRIES, PARAMS, TIMEOUT_S
from incident_kit.gateways.loss import Ledger

MOST_GROUPS, LONGEST_MS = 500, 86_400_000


@dataclass(frozen=True, slots=True)
class Group:
    """One model group: its name, its deployments, and what they agree on."""

    name: str
    deployments: tuple[Node, ...]
    timeout_ms: int
    limits: tuple[Node, ...]
    attempts: int


@dataclass(frozen=True, slots=True)
class Settings:
    """The file and its two places for settings: the router's and the library's."""

    root: Node
    router: Node | None
    library: Node | None

    @classmethod
    def of(cls, root: Node) -> Settings:
        """Return the settings of a file."""
        return cls(root, root.get("router_settings"), root.get("litellm_settings"))

    def per_attempt(self) -> Node | None:
        """Return the time limit of an attempt that all deployments share: the library's, else the router's."""
        library = self.library.get("request_timeout") if self.library else None
        router = self.router.get("timeout") if self.router else None
        if library is not None and router is not None:
            router.dropped("litellm_settings.request_timeout wins over it for every attempt")
        return library or router

    @property
    def ledger(self) -> Ledger:
        """Where keys are booked."""
        return self.root.ledger

    def get(self, key: str) -> Node | None:
        """Return a setting of the router, which wins, or of the library; the one that loses is booked."""
        found = self.router.get(key) if self.router else None
        other = self.library.get(key) if self.library else None
        if found is not None and found.value not in ([], {}):
            if other is not None:
                other.dropped(f"router_settings.{key} wins over it")
            return found
        return other


def groups_of(settings: Settings) -> dict[str, Group]:
    """Return the model groups in the order of the file."""
    listed = settings.root.get("model_list")
    found: dict[str, list[Node]] = {}
    for deployment in listed.each() if listed else ():
        name = deployment.mapping().get("model_name")
        if name is None:
            raise deployment.wrong("a deployment with `model_name`")
        if "*" in name.text():
            how = "a wildcard: names are compared whole here, so that requests for what it stands for stay as logged"
            name.approximated("match.requested, primary", how)
        else:
            name.exact("match.requested, primary")
        found.setdefault(name.text(), []).append(deployment)
    if (not found and listed is not None) or len(found) > MOST_GROUPS:
        raise (listed or settings.root).wrong(f"a list of deployments, of at most {MOST_GROUPS} groups")
    if not found:
        raise settings.root.wrong("a LiteLLM configuration with `model_list`")
    return {name: _group(settings, name, tuple(nodes)) for name, nodes in found.items()}


def _group(settings: Settings, name: str, nodes: tuple[Node, ...]) -> Group:
    for node in nodes:
        for key, param in (node.get("litellm_params") or node).pairs():
            if reason := PARAMS.get(key):
                param.dropped(reason)
    timeout_ms, limits = _timeout(settings, name, nodes)
    return Group(name, nodes, timeout_ms, limits, _attempts(settings, name, nodes))


def _timeout(settings: Settings, name: str, nodes: tuple[Node, ...]) -> tuple[int, tuple[Node, ...]]:
    """Return the time an attempt may take, and what says so: the deployment, else the library, else the router."""
    own = [found for node in nodes if (found := node.dig("litellm_params", "timeout"))]
    values = [round(1000 * seconds) for node in own if (seconds := node.number())]
    shared = None
    if len(values) < len(nodes):
        shared = settings.per_attempt()
        seconds = shared.number() if shared is not None else None
        if shared is not None and seconds is not None:
            shared.exact("retry.timeout_ms")
        elif shared is None:
            settings.ledger.default("request_timeout", f"{TIMEOUT_S} s", "retry.timeout_ms")
        values.append(round(1000 * (seconds or TIMEOUT_S)))
    longest = min(max(1, *values), LONGEST_MS)
    for node in own:
        same = len(set(values)) == 1
        how = f"the deployments of {name} differ: the longest, {longest} ms, stands for all"
        (node.exact("retry.timeout_ms") if same else node.approximated("retry.timeout_ms", how))
    for node in nodes:
        _stream_timeout(node.dig("litellm_params", "stream_timeout"), longest)
    return longest, (*own, shared) if shared is not None else tuple(own)


def _stream_timeout(node: Node | None, timeout_ms: int) -> None:
    if node is None or (seconds := node.number()) is None:
        return
    if round(1000 * seconds) == timeout_ms:
        node.exact("retry.timeout_ms")
    else:
        node.approximated("retry.timeout_ms", f"streamed calls get {timeout_ms} ms here, as all others do")


def _attempts(settings: Settings, name: str, nodes: tuple[Node, ...]) -> int:
    """Return how often a call is tried again."""
    own = [found for node in nodes if (found := node.dig("litellm_params", "num_retries"))]
    counts = {count for node in own if (count := node.count()) is not None}
    shared = settings.get("num_retries")
    several = f"a retry may land on another of the {len(nodes)} deployments of {name}; here it is the same target"
    if counts:
        most = min(100, max(counts))
        how = several if len(nodes) > 1 else ""
        how += f"; the deployments differ: {most} stands for all" * (len(counts) > 1 or len(own) < len(nodes))
        for node in own:
            (node.approximated("retry.attempts", how.strip("; ")) if how else node.exact("retry.attempts"))
        return most
    count = shared.count() if shared is not None else None
    if shared is not None and count is not None:
        (shared.approximated("retry.attempts", several) if len(nodes) > 1 else shared.exact("retry.attempts"))
        return min(100, count)
    settings.ledger.default("router_settings.num_retries", NUM_RETRIES, "retry.attempts")
    return NUM_RETRIES


def retry(settings: Settings, group: Group) -> dict[str, Any]:
    """Return the retries of one group: its policy by kind of failure, else the count."""
    alone = len(group.deployments) == 1
    retry_on: list[Any] = ["timeout", 409, 429, "5xx", *([] if alone else [401, 403])]
    policies = settings.router.get("model_group_retry_policy") if settings.router else None
    policy = policies.get(group.name) if policies else None
    policy = policy or (settings.router.get("retry_policy") if settings.router else None)
    attempts = group.attempts
    if policy is not None:
        attempts, retry_on = _by_class(policy, attempts, retry_on)
    return {
        "attempts": attempts,
        "retry_on": retry_on,
        "timeout_ms": group.timeout_ms,
        "backoff_ms": _backoff(settings, alone=alone),
    }


def _by_class(policy: Node, attempts: int, retry_on: list[Any]) -> tuple[int, list[Any]]:
    counts = {key: count for key, node in policy.pairs() if (count := node.count()) is not None}
    named = {key.removesuffix("Retries"): count for key, count in counts.items()}
    unsaid = named.pop("Default", attempts)
    most = min(100, max([unsaid, *named.values()]))
    listed = [kind for kind in retry_on if named.get(_error_of(kind), unsaid) > 0]
    same = all(named.get(_error_of(kind), unsaid) in (0, most) for kind in retry_on)
    listed += [kind for name, count in named.items() if count for kind in CLASSES.get(name, [])]
    for key, node in policy.pairs():
        if key.removesuffix("Retries") not in {*CLASSES, "Default"}:
            continue
        if same:
            node.exact("retry.attempts, retry.retry_on")
        else:
            node.approximated("retry.attempts, retry.retry_on", f"one count for all kinds here: the largest, {most}")
    return most, list(dict.fromkeys(listed))


def _backoff(settings: Settings, *, alone: bool) -> int:
    """Return the pause before a retry: none while another deployment is healthy."""
    node = settings.router.get("retry_after") if settings.router else None
    seconds = node.number() if node is not None else None
    least = round(1000 * (seconds or 0))
    pause = max(least, BACKOFF_MS) if alone else 0
    if node is not None and seconds is not None:
        how = f"the pause grows from {BACKOFF_MS} ms to 8 s and obeys Retry-After; here it is always {BACKOFF_MS} ms"
        many = "no pause while another deployment of the group is healthy"
        longer = least > BACKOFF_MS
        node.approximated("retry.backoff_ms", (how if not longer else "at least so long") if alone else many)
    else:
        how = "0.5 s, doubled to 8 s, for a lone deployment; none while another is healthy"
        settings.ledger.default("router_settings.retry_after", 0, "retry.backoff_ms", how=how, fidelity="approximated")
    return min(86_400_000, pause)


def _error_of(kind: str | int) -> str:
    return next((name for name, kinds in CLASSES.items() if kind in kinds), "")
