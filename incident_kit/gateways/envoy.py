"""Envoy's outlier detection as breakers: a route for every cluster that has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from incident_kit.durations import show_duration
from incident_kit.gateways.foreign import Node
from incident_kit.policies.policytree import Item

KEYS = {
    "consecutive_5xx": 5, "interval": "10s", "base_ejection_time": "30s", "max_ejection_percent": 10,
    "enforcing_consecutive_5xx": 100, "enforcing_success_rate": 100, "success_rate_minimum_hosts": 5,
    "success_rate_request_volume": 100, "success_rate_stdev_factor": 1900, "consecutive_gateway_failure": 5,
    "enforcing_consecutive_gateway_failure": 0, "split_external_local_origin_errors": False,
    "consecutive_local_origin_failure": 5, "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_local_origin_success_rate": 100, "failure_percentage_threshold": 85, "enforcing_failure_percentage": 0,
    "enforcing_failure_percentage_local_origin": 0, "failure_percentage_minimum_hosts": 5,
    "failure_percentage_request_volume": 50, "max_ejection_time": "300s", "max_ejection_time_jitter": "0s",
    "successful_active_health_check_uneject_host": True, "monitors": [], "always_eject_one_host": False,
    "detect_degraded_hosts": False,
}  # fmt: skip
NAMES = ("outlier_detection", "outlierDetection")
PEERS = "compares hosts with one another: peer-outlier rules are not in version 1 of the policy language"
LOCAL = "errors of the connection are not told from errors of the answer in a log of requests"
REASONS = {
    "max_ejection_percent": "how much of a cluster may be out at once: here a target is one endpoint",
    "always_eject_one_host": "how much of a cluster may be out at once: here a target is one endpoint",
    "max_ejection_time_jitter": "chance, to keep hosts from coming back together: here a target is one endpoint",
    "successful_active_health_check_uneject_host": "health probes are not in the request log",
    "split_external_local_origin_errors": LOCAL,
    "consecutive_local_origin_failure": LOCAL,
    "enforcing_consecutive_local_origin_failure": LOCAL,
    "enforcing_failure_percentage_local_origin": LOCAL,
    "failure_percentage_minimum_hosts": "Envoy judges only clusters of so many hosts: here a target is one endpoint",
    "monitors": "extensions of Envoy: what they do is not in the file",
    "detect_degraded_hosts": "a host that says it is degraded is not in the request log",
}
OTHER = "no part of outlier detection"


def is_like(tree: Item) -> bool:
    """Return whether outlier detection stands somewhere in it, or it is such a block."""
    return any(True for _ in _blocks(tree, ()))


def _blocks(item: Item, steps: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(item.value, dict):
        if not steps and item.value and {_snake(key) for key in item.value} <= set(KEYS):
            yield ()
            return
        for key, inner in item.value.items():
            if key in NAMES and isinstance(inner.value, dict):
                yield (*steps, key)
            else:
                yield from _blocks(inner, (*steps, key))
    elif isinstance(item.value, list):
        for i, inner in enumerate(item.value):
            yield from _blocks(inner, (*steps, i))


def _snake(key: str) -> str:
    """Return a key of Envoy's JSON as its YAML writes it: ``consecutive5xx``, ``baseEjectionTime``."""
    word = "".join(f"_{char.lower()}" if char.isupper() else char for char in key)
    return word.replace("consecutive5xx", "consecutive_5xx").replace("consecutive5_xx", "consecutive_5xx")


def tree(root: Node, fallback: Sequence[str]) -> dict[str, Any]:
    """Return the policy that clusters with outlier detection amount to; every key is booked."""
    places = list(_blocks(root.item, ()))
    if not places:
        raise root.wrong("an Envoy cluster with `outlier_detection`")
    routes: list[dict[str, Any]] = []
    for steps in places:
        block = _walk(root, steps)
        cluster = _walk(root, steps[:-1]) if steps else None
        name = cluster.get("name") if cluster is not None else None
        if name is not None:
            name.exact("primary")
        target = name.text() if name is not None else "primary" if len(places) == 1 else f"cluster {len(routes) + 1}"
        if name is None:
            root.ledger.default("cluster name", target, "primary", how="the block has none", fidelity="approximated")
        routes.append(_route(block, target, fallback, alone=len(places) == 1))
    root.dropped(OTHER, but=places)
    return {"routes": routes}


def _walk(root: Node, steps: Sequence[str | int]) -> Node:
    node = root
    for step in steps:
        node = Node(node.item.value[step], (*node.steps, step), node.ledger, node.source)
    return node


def _route(block: Node, target: str, fallback: Sequence[str], *, alone: bool) -> dict[str, Any]:
    entries = [name for name in fallback if name != target]
    rule = _Detection(block).breaker()
    route: dict[str, Any] = {"intent": "*"} | ({} if alone else {"match": {"requested": target}})
    route |= {"note": f"Envoy's cluster {target}"[:500], "primary": target, "fallback": entries}
    if not entries:
        route.pop("fallback")
        how = (
            "no backup was named (fallback=): with all hosts out Envoy sends there all the same, and so does the policy"
        )
        block.ledger.default("fallback", "none", "fallback", how=how, fidelity="approximated")
    return route | {"fallback_on": []} | ({"breaker": rule} if rule else {})


class _Detection:
    """One block of outlier detection."""

    def __init__(self, block: Node) -> None:
        self.nodes = {_snake(key): node for key, node in block.pairs()}
        self.block = block

    def number(self, key: str) -> float:
        node = self.nodes.get(key)
        found = node.number() if node is not None else None
        return float(str(KEYS[key])) if found is None else found

    def milliseconds(self, key: str) -> int:
        node = self.nodes.get(key)
        found = node.milliseconds(bare=1000) if node is not None else None
        return int(str(KEYS[key]).removesuffix("s")) * 1000 if found is None else found

    def exact(self, key: str, becomes: str, how: str = "") -> None:
        """Book a key as exact, written or not."""
        if (node := self.nodes.get(key)) is not None:
            node.exact(becomes, how)
        else:
            self.block.ledger.default(f"outlier_detection.{key}", KEYS[key], becomes, how=how)

    def enforced(self, key: str, *detections: str) -> bool:
        """Return whether a detection ejects; if it only counts, its keys are dropped."""
        percent = self.number(key)
        node = self.nodes.get(key)
        if percent == 0:
            for one in (key, *detections):
                if one in self.nodes:
                    why = f"{key} is 0{'' if node else ' (product default)'}: Envoy counts this and ejects nobody"
                    self.nodes[one].dropped(why)
            return False
        if percent < 100 and node is not None:
            node.approximated("breaker.when", f"Envoy ejects in {percent:g} % of the cases, by chance; here always")
        else:
            self.exact(key, "breaker.when")
        return True

    def breaker(self) -> dict[str, Any] | None:
        """Return the breaker, or None if nothing that the language can say ejects."""
        limits: list[int] = []
        for key in ("consecutive_5xx", "consecutive_gateway_failure"):
            limit = int(self.number(key))
            if limit and self.enforced(f"enforcing_{key}", key):
                limits.append(limit)
                how = "502, 503 and 504 count there, every 5xx here" if "gateway" in key else "exact for one endpoint"
                if "gateway" in key and key in self.nodes:
                    self.nodes[key].approximated("breaker.when", how)
                else:
                    self.exact(key, "breaker.when", how)
            elif not limit and key in self.nodes:
                self.nodes[key].dropped("0 switches it off")
        when = [f"consecutive_errors >= {min(limits)}"] if limits else []
        shares = self.shares()
        self.left_out()
        if not when + shares:
            for key in ("base_ejection_time", "max_ejection_time", "interval"):
                if key in self.nodes:
                    self.nodes[key].dropped("nothing that the policy language can say ejects")
            return None
        rule = {
            "scope": "target",
            "when": (when + shares)[0] if len(when + shares) == 1 else {"any": when + shares},
            **self.window(sweeps=bool(shares), streaks=bool(when)),
            "min_requests": max(1, int(self.number("failure_percentage_request_volume"))) if shares else 1,
            "errors": ["5xx", "timeout"],
            "cooldown": self.cooldown(),
            "half_open": {"requests": 0},
        }
        return rule | {"no_data": "hold", "observe": "completed", "for": "0s"}

    def shares(self) -> list[str]:
        keys = ("failure_percentage_threshold", "failure_percentage_request_volume")
        if not self.enforced("enforcing_failure_percentage", *keys):
            return []
        threshold = self.number(keys[0])
        if not 0 < threshold <= 100:
            raise self.nodes[keys[0]].wrong("a percentage above 0, up to 100")
        self.exact(keys[0], "breaker.when", "up to the phase of the interval: sweep it")
        self.exact(keys[1], "breaker.min_requests")
        return [f"error_rate >= {threshold:g}%"]

    def window(self, *, sweeps: bool, streaks: bool) -> dict[str, str]:
        """Return the window: Envoy's rates are of intervals, judged at their ends; streaks are judged at every answer."""
        node = self.nodes.get("interval")
        length = show_duration(max(1, self.milliseconds("interval")))
        if sweeps and not streaks:
            # a sweep at the end of a tumbling window sees the next one, which is empty (S9, S13)
            how = "the last interval, judged at its end, up to its phase: sweep it"
            self.exact("interval", "breaker.window, breaker.every", how)
            return {"window": length, "every": length}
        if sweeps:
            how = "the share is judged at the end of an interval there, at every answer here, because streaks are"
            if node is not None:
                node.approximated("breaker.window", how)
            else:
                title = "outlier_detection.interval"
                self.block.ledger.default(title, KEYS["interval"], "breaker.window", how=how, fidelity="approximated")
            return {"window": f"{length} tumbling", "every": "completion"}
        if node is not None:
            node.approximated("breaker.cooldown", "hosts come back at the end of an interval there, at once here")
        return {"window": "1h", "every": "completion"}

    def cooldown(self) -> Any:
        base, most = self.milliseconds("base_ejection_time"), self.milliseconds("max_ejection_time")
        most = max(base, most)  # as Envoy has it
        how = "times the number of ejections in a row there, doubled each time here"
        for key in ("base_ejection_time", "max_ejection_time"):
            if (node := self.nodes.get(key)) is not None:
                node.approximated("breaker.cooldown", how)
            else:
                title = f"outlier_detection.{key}"
                self.block.ledger.default(title, KEYS[key], "breaker.cooldown", how=how, fidelity="approximated")
        return {"base": show_duration(base), "factor": 2, "max": show_duration(most)}

    def left_out(self) -> None:
        for key, node in self.nodes.items():
            if key in REASONS:
                node.dropped(REASONS[key])
            elif "success_rate" in key:
                node.dropped(PEERS)
        for key in ("enforcing_success_rate", "max_ejection_percent", "failure_percentage_minimum_hosts"):
            if key not in self.nodes:
                reason = REASONS.get(key, PEERS)
                self.block.ledger.default(f"outlier_detection.{key}", KEYS[key], "", how=reason, fidelity="dropped")
