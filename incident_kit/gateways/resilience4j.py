"""resilience4j's ``application.yaml`` as breakers: a route for every instance of a circuit breaker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from incident_kit.durations import show_duration
from incident_kit.errors import InvalidConfiguration
from incident_kit.gateways.foreign import Node
from incident_kit.gateways.resilience4j_calls import EVERY, kinds_of, retry
from incident_kit.gateways.resilience4j_settings import (
    DEFAULTS,
    DROPPED,
    KNOWN,
    Layers,
    find,
    instances,
    layers,
    squeezed,
)

OTHER = "neither circuit breaker, retry nor time limiter: no part in routing"
NEVER = "1h"


def tree(root: Node, fallback: Sequence[str]) -> dict[str, Any]:
    """Return the policy that the circuit breakers amount to; every key is booked."""
    base = find(root, "resilience4j") or root
    breakers = find(base, "circuitbreaker") or base
    names = instances(breakers, root)
    routes = [
        _Instance(name, layers(name, node, breakers), base).route(fallback, alone=len(names) == 1)
        for name, node in names.items()
    ]
    root.dropped(OTHER, but=[breakers.steps])
    return {"routes": routes}


class _Instance:
    """One circuit breaker."""

    def __init__(self, name: str, settings: Layers, base: Node) -> None:
        self.name = name
        self.settings = settings
        self.base = base
        self.ledger = base.ledger

    def said(self, key: str, becomes: str, *, how: str = "") -> Node | None:
        """Return the node of a key, booked as exact; a product default is booked where it is not there."""
        node = self.settings.get(key)
        if node is not None:
            node.exact(becomes, how)
        elif key in DEFAULTS:
            self.ledger.default(f"{self.name}.{key}", DEFAULTS[key], becomes, how=how)
        return node

    def number(self, key: str, becomes: str, *, how: str = "") -> float:
        node = self.said(key, becomes, how=how)
        found = node.number() if node is not None else None
        return float(DEFAULTS[key]) if found is None else found

    def milliseconds(self, key: str, becomes: str, *, how: str = "") -> int:
        node = self.said(key, becomes, how=how)
        found = node.milliseconds() if node is not None else None
        return 1000 * int(str(DEFAULTS[key]).removesuffix("s")) if found is None else found

    def route(self, fallback: Sequence[str], *, alone: bool) -> dict[str, Any]:
        """Return the route of the instance."""
        entries = [name for name in fallback if name != self.name] or ["reject"]
        if not fallback:
            how = "an open breaker refuses the call; fallback= names where the application goes instead"
            self.ledger.default("fallback", "CallNotPermittedException", "fallback", how=how)
        else:
            how = "the application's fallback method decides for which exceptions; here for every failure"
            self.ledger.default("fallback method", ", ".join(fallback), "fallback_on", how=how, fidelity="approximated")
        calls = retry(self.base, self.name)
        rule = self.breaker(calls.get("timeout_ms"))
        self.left_out()
        route: dict[str, Any] = {"intent": "*"} | ({} if alone else {"match": {"requested": self.name}})
        return route | {
            "note": f"resilience4j's circuit breaker {self.name}"[:500],
            "primary": self.name,
            "fallback": entries,
            "fallback_on": list(EVERY) if fallback else [],
            "retry": calls,
            "breaker": rule,
        }

    def breaker(self, timeout_ms: int | None) -> dict[str, Any]:
        """Return the breaker."""
        window, least = self.window()
        rate = self.number("failureratethreshold", "breaker.when")
        if not 0 < rate <= 100:
            raise self.wrong("failureratethreshold", "a percentage above 0, up to 100")
        when = [f"error_rate >= {rate:g}%"]
        slow_ms = self.milliseconds("slowcalldurationthreshold", "breaker.when")
        slow = self.number("slowcallratethreshold", "breaker.when")
        if not 0 < slow <= 100:
            raise self.wrong("slowcallratethreshold", "a percentage above 0, up to 100")
        if timeout_ms is not None and slow_ms >= timeout_ms:
            how = f"no call lasts so long: the time limiter ends it after {timeout_ms} ms"
            self.approximate(("slowcalldurationthreshold", "slowcallratethreshold"), how)
        else:
            when.append(f"slow_rate({slow_ms}ms) >= {slow:g}%")
        probes = int(self.number("permittednumberofcallsinhalfopenstate", "breaker.half_open.requests"))
        longest = self.milliseconds("maxwaitdurationinhalfopenstate", "breaker.half_open.max_duration")
        half_open = {"requests": max(1, probes), "max_wait": NEVER}
        half_open |= {"max_duration": show_duration(longest)} if longest else {}
        how = f"a probe that hangs is waited for without end there, {NEVER} here; a call sent before counts as a probe there"
        self.ledger.default(f"{self.name}.probes", "waited for", "breaker.half_open.max_wait", how=how,
                            fidelity="approximated")  # fmt: skip
        return {
            "scope": "route",
            "window": window,
            "min_requests": least,
            "when": when[0] if len(when) == 1 else {"any": when},
            "errors": self.errors(),
            "cooldown": self.cooldown(),
            "half_open": half_open,
            "every": "completion",
            "no_data": "hold",
            "observe": "completed",
            "for": "0s",
        }

    def wrong(self, key: str, what: str) -> InvalidConfiguration:
        node = self.settings.get(key) or self.base
        return node.wrong(what)

    def approximate(self, keys: Sequence[str], how: str) -> None:
        for key in keys:
            if (node := self.settings.get(key)) is not None:
                node.approximated("", how)

    def window(self) -> tuple[str, int]:
        """Return the window and the least number of calls in it."""
        size = max(1, int(self.number("slidingwindowsize", "breaker.window")))
        node = self.settings.get("slidingwindowtype")
        kind = node.text().upper().replace("-", "_") if node is not None else DEFAULTS["slidingwindowtype"]
        least = max(1, int(self.number("minimumnumberofcalls", "breaker.min_requests")))
        if kind == "TIME_BASED":
            if node is not None:
                node.approximated("breaker.window", "whole seconds there (buckets of 1 s), to the millisecond here")
            return f"{size}s", least
        if kind != "COUNT_BASED":
            raise self.wrong("slidingwindowtype", "COUNT_BASED or TIME_BASED")
        self.said("slidingwindowtype", "breaker.window")
        return f"{size} requests", min(size, least)

    def errors(self) -> list[str | int]:
        """Return what counts as a failure: every exception, or those that are recorded, without the ignored ones."""
        recorded, ignored = self.settings.get("recordexceptions"), self.settings.get("ignoreexceptions")
        found = list(EVERY)
        how = "exceptions are classes of the application; matched by name to kinds of failure"
        if recorded is not None:
            found = [kind for name in recorded.words() for kind in kinds_of(name)] or ["5xx", "timeout"]
            recorded.approximated("breaker.errors", how)
        else:
            self.ledger.default(f"{self.name}.recordexceptions", "all", "breaker.errors")
        if ignored is not None:
            out = {kind for name in ignored.words() for kind in kinds_of(name)}
            found = [kind for kind in found if kind not in out] or ["5xx", "timeout"]
            ignored.approximated("breaker.errors", how)
        return list(dict.fromkeys(found))

    def cooldown(self) -> Any:
        wait = self.milliseconds("waitdurationinopenstate", "breaker.cooldown")
        switch = self.settings.get("enableexponentialbackoff")
        keys = ("exponentialbackoffmultiplier", "exponentialmaxwaitdurationinopenstate")
        if switch is not None:
            switch.exact("breaker.cooldown")
        if switch is None or not switch.flag():
            for key in keys:
                if (node := self.settings.get(key)) is not None:
                    node.dropped("enableExponentialBackoff is not on")
            return show_duration(wait)
        found: dict[str, Any] = {
            "base": show_duration(wait),
            "factor": _plain(self.number(keys[0], "breaker.cooldown")),
        }
        most = self.said(keys[1], "breaker.cooldown")
        longest = most.milliseconds() if most is not None else None
        return found | ({"max": show_duration(max(wait, longest))} if longest else {})

    def left_out(self) -> None:
        for layer in self.settings.nodes:
            for key, node in layer.pairs():
                if squeezed(key) in DROPPED:
                    node.dropped(DROPPED[squeezed(key)])
                elif squeezed(key) in KNOWN:
                    node.dropped(f"instance {self.name} has its own")


def _plain(number: float) -> int | float:
    return int(number) if number == int(number) else round(number, 6)
