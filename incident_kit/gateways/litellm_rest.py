"""Breakers as LiteLLM's cooldown: what it can be told, group by group, and what it cannot."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from incident_kit.gateways.litellm_facts import ALONE, COOLDOWN_S, LEAST, WINDOW_S
from incident_kit.policies.conditions import Condition, Rule

if TYPE_CHECKING:
    from incident_kit.gateways.export import Books
    from incident_kit.policies.routes import Breaker, Route

NEVER = "LiteLLM cools down for failures only, never for waits, tools or feedback"
SHARE = "LiteLLM's share of failures is 50 % for every group (DEFAULT_FAILURE_THRESHOLD_PERCENT in its environment)"
PER_DEPLOYMENT = "per deployment and worker there"
KINDS = {
    "timeout": ("TimeoutError",), "429": ("RateLimitError",), "401": ("AuthenticationError",), "404": ("NotFoundError",),
    "5xx": ("InternalServerError", "ServiceUnavailableError", "BadGatewayError"), "500": ("InternalServerError",),
    "502": ("BadGatewayError",), "503": ("ServiceUnavailableError",), "400": ("BadRequestError",),
    "content_policy": ("ContentPolicyViolationError",), "4xx": ("AuthenticationError", "NotFoundError", "BadRequestError"),
}  # fmt: skip
# keys that say the same there as long as they hold these values
SAME: dict[str, tuple[Any, str]] = {
    "for": ("0s", "LiteLLM cools down at once"),
    "every": ("completion", "LiteLLM judges at every failure"),
    "no_data": ("hold", "without requests LiteLLM changes nothing"),
    "observe": ("completed", "LiteLLM sees an answer when it is there"),
    "scope": ("target", "a deployment's cooldown counts for all who ask for it"),
}


class Cooldowns:
    """What to write for each group; the breaker that is met first stands for a group that has several."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.rests: dict[str, float] = {}
        self.allowed: dict[str, dict[str, int]] = {}
        self.met: dict[str, Breaker | None] = {}

    def route(self, group: str, route: Route, path: str) -> None:
        """Take the breakers of a route: the primary's and those of its fallbacks."""
        self._take(group, route.breaker, f"{path}.breaker")
        for i, entry in enumerate(route.fallback):
            if entry.kind == "model":
                self._take(entry.model, entry.breaker, f"{path}.fallback[{i}].breaker", primary=False)

    def _take(self, group: str, breaker: Breaker | None, path: str, *, primary: bool = True) -> None:
        """Take one breaker; a route's own says more of its group than another route's chain does."""
        if breaker is None:
            if primary or group not in self.met:
                self.met[group] = None
                self.rests[group] = 0
            return
        known = self.met.get(group, breaker)
        if not primary and known != breaker:
            self.books.book(
                path, "approximated", "cooldown_time", f"{group} has one cooldown there: that of its own route"
            )
            return
        self.met[group] = breaker
        counted = self._condition(breaker, path)
        if counted is None:
            self.rests[group] = 0
            self.books.rest(path, "the breaker was left out: LiteLLM cannot be told its condition")
            return
        self.allowed.pop(group, None)
        if counted:
            self.allowed[group] = counted
        self._rest(group, breaker, path)

    def _condition(self, breaker: Breaker, path: str) -> dict[str, int] | None:
        """Book the condition; return failures allowed by kind, nothing for the default rule, None if it cannot be said."""
        said = [
            leaf for leaf in breaker.when.of if isinstance(leaf, Condition) and leaf.kind in {"error", "consecutive"}
        ]
        said = [leaf for leaf in said if not leaf.negated]
        lost = [part for part in breaker.when.of if part not in said]
        if len(said) < max(1, breaker.when.at_least):
            why = (
                NEVER
                if not any(isinstance(part, Rule) for part in lost)
                else "LiteLLM has one rule, no groups of rules"
            )
            self.books.book(f"{path}.when", "dropped", "", why)
            return None
        left_out = f"; left out: {', '.join(_text(part) for part in lost)} ({NEVER})" if lost else ""
        first = said[0]
        if first.kind == "error" and self._is_default(first, breaker):
            alone = first.share == 1
            how = f"LiteLLM's default rule, {PER_DEPLOYMENT}; " + (
                "for a group of one deployment" if alone else "it needs a second deployment in the group"
            )
            self.books.book(f"{path}.when", "approximated", "(default rule)", how + left_out)
            for key in ("window", "min_requests"):
                self.books.book(f"{path}.{key}", "exact", "(default rule)")
            how = "LiteLLM counts timeouts, 401, 402, 404, 408, 429 and 5xx"
            self.books.book(f"{path}.errors", "approximated", "(default rule)", how)
            return {}
        if first.kind == "consecutive":
            allowed = int(first.threshold) - (0 if first.sign == ">" else 1)
            how = f"failures within the cooldown time of the first there, {PER_DEPLOYMENT}; failures in a row here"
        else:
            least = first.share * breaker.min_requests
            allowed = max(0, int(least) if first.strict else -int(-least // 1) - 1)
            how = (
                f"{SHARE}; written as the number of failures that {first.text} means at {breaker.min_requests} requests"
            )
        self.books.book(f"{path}.when", "approximated", "model_info.allowed_fails_policy", how + left_out)
        becomes = "model_info.allowed_fails_policy"
        self.books.book(f"{path}.window", "approximated", becomes, "the cooldown time there")
        self.books.book(
            f"{path}.min_requests", "approximated", becomes, "a count of failures there, without a least number"
        )
        kinds = {kind for one in breaker.errors for kind in KINDS.get(one, ())}
        unknown = [one for one in breaker.errors if one not in KINDS]
        lack = f"; no such exception: {', '.join(unknown)}" if unknown else ""
        self.books.book(
            f"{path}.errors", "approximated", becomes, f"each kind of exception is counted apart there{lack}"
        )
        return {f"{kind}AllowedFails": max(0, allowed) for kind in sorted(kinds)} or None

    def _is_default(self, leaf: Condition, breaker: Breaker) -> bool:
        window = breaker.windows
        minute = len(window) == 1 and window[0].kind == "sliding" and window[0].length == 1000 * WINDOW_S
        some = leaf.sign == ">" and leaf.threshold == 0.5 and breaker.min_requests == LEAST
        every = leaf.sign == ">=" and leaf.threshold == 1 and breaker.min_requests == ALONE
        return minute and (some or every)

    def _rest(self, group: str, breaker: Breaker, path: str) -> None:
        """Book the cooldown and what comes after it."""
        self.rests[group] = max(0.001, breaker.cooldown_ms / 1000)
        grows = breaker.cooldown_factor > 1
        how = "always the same there" if grows else "a Retry-After header of the provider wins over the router's there"
        key = f"{path}.cooldown"
        for leaf in self.books.under(key):
            if leaf == key or leaf.endswith(".base"):
                self.books.book(leaf, "approximated" if grows else "exact", "cooldown_time", how)
            else:
                self.books.book(leaf, "dropped", "", "LiteLLM's cooldown does not grow")
        timer = breaker.half_open.requests == 0
        self.books.book(
            f"{path}.half_open",
            "exact" if timer else "dropped",
            "",
            "" if timer else "LiteLLM does not probe: all return",
        )
        for name, (value, why) in SAME.items():
            leaf = f"{path}.{name}"
            same = self._value(leaf) == value
            self.books.book(leaf, "exact" if same else "dropped", "", why if same else f"no such choice: {why}")

    def _value(self, path: str) -> Any:
        return self.books.ledger.leaves.get((path,), (0, None))[1]

    def router(self) -> dict[str, Any]:
        """Return the router's settings: the commonest cooldown time; none at all if nothing rests."""
        rests = [rest for rest in self.rests.values() if rest]
        if not rests:
            why = "no breaker could be written, and by itself LiteLLM would let deployments rest"
            self.books.ledger.default("LiteLLM's own cooldown", "off", "router_settings.disable_cooldowns", how=why)
            return {"disable_cooldowns": True}
        return {"cooldown_time": _plain(self._usual(rests))}

    @staticmethod
    def _usual(rests: list[float]) -> float:
        counted = Counter(rests)
        return min(counted, key=lambda rest: (-counted[rest], rest))

    def group(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a group's deployments are told: parameters, and model information."""
        rests = [rest for rest in self.rests.values() if rest]
        usual = self._usual(rests) if rests else COOLDOWN_S
        rest = self.rests.get(name)
        params = {"cooldown_time": _plain(rest)} if rests and rest is not None and rest != usual else {}
        allowed = self.allowed.get(name)
        return params, ({"allowed_fails_policy": allowed} if allowed else {})


def _plain(seconds: float) -> int | float:
    return int(seconds) if seconds == int(seconds) else seconds


def _text(part: Condition | Rule) -> str:
    return part.text if isinstance(part, Condition) else str(part)
