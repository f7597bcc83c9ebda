"""Portkey configs as a policy: strategies flattened into routes and chains, with retries and circuit breakers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from incident_kit.gateways.portkey_query import Match, matches
from incident_kit.gateways.portkey_rules import FAILURES, Target, breaker, codes, plain, retry

if TYPE_CHECKING:
    from incident_kit.gateways.foreign import Node
    from incident_kit.policies.policytree import Item

MOST_ROUTES = 500
INHERITED = ("retry", "request_timeout")
REACHED = "how the provider is reached: no part in routing"
UNDER = {
    "cache": "answers from a cache are no calls; those in the log stay as logged",
    **dict.fromkeys(
        ("before_request_hooks", "after_request_hooks", "input_guardrails", "output_guardrails", "input_mutators",
         "output_mutators", "default_input_guardrails", "default_output_guardrails"),
        "guardrails are no part in routing; the log shows whom they blocked",
    ),
    **dict.fromkeys(
        ("provider", "virtual_key", "api_key", "override_params", "custom_host", "forward_headers", "default_params", "id",
         "weight", "name", "passthrough", "strict_open_ai_compliance", "drop_params", "metadata", "config_version"),
        REACHED,
    ),
}  # fmt: skip


@dataclass(slots=True)
class Plan:
    """Where the requests of one strategy go: the primaries, with weights, then the rest of the chain."""

    primaries: list[Target] = field(default_factory=list)
    rest: list[Target] = field(default_factory=list)
    on: list[str | int] | None = None

    @property
    def targets(self) -> list[Target]:
        """All targets, in the order in which they are tried."""
        return [*self.primaries, *self.rest]


def is_like(tree: Item) -> bool:
    """Return whether the keys are those of a Portkey config."""
    keys = set(tree.value)
    return "model_list" not in keys and bool(
        keys & {"strategy", "targets", "virtual_key"} or ({"provider", "retry"} <= keys and "routes" not in keys)
    )


def tree(root: Node) -> dict[str, Any]:
    """Return the policy that a Portkey config holds, as plain values; every key is booked."""
    reader = Reader(root)
    routes = reader.routes(root, [], {}, None)
    reader.rest(root)
    return {"routes": routes}


class Reader:
    """Reads one config; names are given to targets once, so that two of one model stay apart."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.names: dict[tuple[str | int, ...], str] = {}

    def routes(
        self, node: Node, match: list[Match], held: dict[str, Node | None], rule: Node | None
    ) -> list[dict[str, Any]]:
        """Return the routes of a strategy: one, or one for every condition, the default last."""
        strategy = node.get("strategy")
        mode = strategy.get("mode") if strategy else None
        held = held | {key: found for key in INHERITED if (found := node.get(key))}
        own = strategy.get("cb_config") if strategy else None
        rule = own or rule
        if mode is None or strategy is None or mode.text() != "conditional":
            return [self.route(self.plan(node, held, rule), match)]
        mode.exact("routes")
        if own is not None:
            own.approximated(
                "breaker", "Portkey does not evaluate it for conditional strategies; their targets inherit it"
            )
        named = {name.text(): child for child in self._children(node) if (name := child.get("name"))}
        made: list[dict[str, Any]] = []
        conditions = strategy.get("conditions")
        for condition in conditions.each() if conditions else ():
            then, query = condition.get("then"), condition.get("query")
            if then is None or query is None or then.text() not in named:
                raise condition.wrong(f"a condition with `query` and `then`, one of {', '.join(named) or 'no targets'}")
            then.exact("routes")
            for way in matches(query.mapping()):
                made += self.routes(named[then.text()], [*match, way], held, rule)
                if len(made) > MOST_ROUTES:
                    raise strategy.wrong(f"a strategy of at most {MOST_ROUTES} routes")
        default = strategy.get("default")
        if default is None or default.text() not in named:
            raise strategy.wrong("a conditional strategy with `default`, the name of a target")
        default.exact("routes")
        for child in named.values():
            child.dig("name").exact("routes")  # type: ignore[union-attr]
        return made + self.routes(named[default.text()], match, held, rule)

    def _children(self, node: Node) -> list[Node]:
        targets = node.get("targets")
        found = [child.mapping() for child in targets.each()] if targets else []
        if targets is not None and not found:
            raise targets.wrong("a list with at least one target")
        return found

    def plan(self, node: Node, held: dict[str, Node | None], rule: Node | None) -> Plan:
        """Return one strategy, flattened."""
        strategy = node.get("strategy")
        held = held | {key: found for key in INHERITED if (found := node.get(key))}
        rule = (strategy.get("cb_config") if strategy else None) or node.get("cb_config") or rule
        children = self._children(node)
        if not children:
            return Plan([self._target(node, held, rule)])
        mode = strategy.get("mode") if strategy else None
        word = mode.text() if mode else "single"
        if word not in {"single", "fallback", "loadbalance", "conditional"}:
            raise mode.wrong("fallback, loadbalance, conditional or single") if mode else node.wrong("a strategy")
        plans = [self.plan(child, held, rule) for child in children]
        if word == "loadbalance":
            return self.balanced(mode, children, plans)
        if word == "fallback":
            return self.chained(mode, strategy, plans)
        if mode is not None and word == "conditional":
            mode.approximated("routes", "a conditional strategy inside another: its first target stands for it")
        elif mode is not None:
            mode.exact("primary")
        for child in children[1:]:
            child.dropped("a single strategy uses its first target only" if word == "single" else "see strategy.mode")
        return plans[0]

    def chained(self, mode: Node | None, strategy: Node | None, plans: list[Plan]) -> Plan:
        """Return a fallback strategy as one chain."""
        on = strategy.get("on_status_codes") if strategy else None
        outer = codes(on) if on is not None else None
        if on is not None:
            on.exact("fallback_on")
        else:
            title = "strategy.on_status_codes"
            self.root.ledger.default(title, "any status but 2xx", "fallback_on")
        split = [plan for plan in plans[1:] if len(plan.primaries) > 1]
        if mode is not None and split:
            mode.approximated("fallback", "a split inside a chain: its targets are tried by weight, the greatest first")
        elif mode is not None:
            mode.exact("fallback")
        rest = plans[0].rest[:]
        for plan in plans[1:]:
            rest += sorted(plan.primaries, key=lambda one: -one.weight) + plan.rest
        inner = [plan.on for plan in plans if plan.on is not None]
        if on is not None and any(one != outer for one in inner):
            on.approximated(
                "fallback_on", "an inner strategy has other codes: the outer ones count for the whole chain"
            )
        return Plan(plans[0].primaries, rest, outer if outer is not None else next(iter(inner), None))

    def balanced(self, mode: Node | None, children: list[Node], plans: list[Plan]) -> Plan:
        """Return a load-balanced strategy as primaries with weights."""
        primaries: list[Target] = []
        for child, plan in zip(children, plans, strict=True):
            given = child.get("weight")
            weight = given.number() if given is not None else None
            if given is not None and weight is not None:
                given.approximated("primary", "equal in distribution: here a hash of the request's id draws the target")
            else:
                self.root.ledger.default(f"{child.path}.weight", 1, "primary")
            total = sum(one.weight for one in plan.primaries) or 1
            for one in plan.primaries:
                one.weight = (1 if weight is None else weight) * one.weight / total
            primaries += plan.primaries
        rest = [target for plan in plans for target in plan.rest]
        if mode is not None and rest:
            mode.approximated("primary", "each target has a chain of its own there; here one chain follows them all")
        elif mode is not None:
            mode.exact("primary")
        return Plan([one for one in primaries if one.weight > 0] or primaries[:1], rest)

    def _target(self, node: Node, held: dict[str, Node | None], rule: Node | None) -> Target:
        return Target(self.name(node), node, held.get("retry"), held.get("request_timeout"), rule)

    def name(self, node: Node) -> str:
        """Return what the log calls the target: its model, else its name, key or provider."""
        if node.steps in self.names:
            return self.names[node.steps]
        model = node.dig("override_params", "model")
        provider = node.get("provider", "virtual_key", "name")
        chosen = model or node.get("name", "virtual_key", "provider")
        if chosen is None:
            place = node.path or "the config"
            chosen_name = f"the requested model ({place})" if node.steps else "requested"
            self.root.ledger.default(
                f"{place}.override_params.model", "as requested", "primary", fidelity="approximated"
            )
        else:
            chosen_name = chosen.text()
            chosen.exact("primary, fallback")
        if chosen_name in self.names.values() and provider is not None:
            chosen_name = f"{chosen_name} ({provider.text()})"
        taken, base, count = set(self.names.values()), chosen_name, 1
        while chosen_name in taken:
            count += 1
            chosen_name = f"{base} #{count}"
        self.names[node.steps] = chosen_name
        return chosen_name

    def route(self, plan: Plan, match: list[Match]) -> dict[str, Any]:
        """Return one route."""
        first = plan.primaries[0]
        names = [one.name for one in plan.primaries]
        weights = {one.name: plain(one.weight) for one in plan.primaries}
        chain: list[Any] = []
        for one in plan.rest:
            rule = breaker(one.breaker)
            if one.name not in {*names, *(entry if isinstance(entry, str) else entry["model"] for entry in chain)}:
                chain.append({"model": one.name, "breaker": rule} if rule else one.name)
        route: dict[str, Any] = {"intent": "*"}
        for way in match:
            route |= way.keys
            route["match"] = route.get("match", {}) | way.match
        if not route.get("match"):
            route.pop("match", None)
        route |= {
            "note": f"Portkey: {' then '.join(one.name for one in plan.targets)}"[:500],
            "primary": weights if len(names) > 1 else names[0],
            "fallback": chain,
            "fallback_on": plan.on if plan.on is not None else list(FAILURES) if plan.rest else [],
            "retry": retry(plan.targets),
        }
        rule = breaker(first.breaker)
        if rule and chain:
            how = "the circuits are bypassed there and the first target is used; here the last entry is"
            self.root.ledger.default("all circuits open", "bypassed", "fallback", how=how, fidelity="approximated")
        return {key: value for key, value in route.items() if value != [] or key == "fallback_on"} | (
            {"breaker": rule} if rule else {}
        )

    def rest(self, node: Node) -> None:
        """Book what has no part in routing."""
        for key, child in node.pairs():
            if key == "targets":
                for target in child.each():
                    self.rest(target)
            elif key in UNDER:
                child.dropped(UNDER[key])
