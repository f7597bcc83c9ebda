"""A policy in plain sentences, one a route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incident_kit.durations import UNITS

if TYPE_CHECKING:
    from incident_kit.conditions import Condition, Rule
    from incident_kit.policy import Policy
    from incident_kit.routes import Breaker, Route, Window

NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
PARTS = {
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    10: "ten",
    20: "twenty",
    50: "fifty",
    100: "a hundred",
    1000: "a thousand",
}
PERIODS = {"hour": UNITS["h"], "minute": UNITS["m"], "second": UNITS["s"], "millisecond": 1}


def describe(policy: Policy) -> str:
    """Return one sentence a route, a line each.

    Examples
    --------
    >>> from incident_kit.policy import Policy
    >>> policy = Policy.parse("routes: [{intent: refund, primary: big, fallback: small, max_p95_ms: 3500}]")
    >>> print(describe(policy))  # doctest: +NORMALIZE_WHITESPACE
    refund requests go to big; if more than one answer in twenty takes over 3.5 s in five minutes, they go to small,
    and the primary is tried again after a minute with five requests.
    """
    return "\n".join(sentence(route, alone=len(policy.routes) == 1) for route in policy.routes)


def sentence(route: Route, *, alone: bool = False) -> str:
    """Return what a route does, in words; `alone`: there is no other route."""
    who, primary, breaker = _requests(route, alone=alone), route.primary, route.breaker
    if route.degraded_start:
        return f"{who} go to {primary}{_mode(route)} from the start."
    if not route.fallback:
        return f"{who} go to {primary}, and nowhere else."
    chain = ", then ".join(_entry(entry.model, entry.breaker) for entry in route.fallback)
    if breaker is None:
        if not route.fallback_on:
            return f"{who} go to {primary}, and nowhere else: no failure and no breaker sends them on."
        failures = ", ".join(route.fallback_on)
        return (
            f"{who} go to {primary}; one that fails ({failures}) is sent on to {chain}{_mode(route)}; the others stay."
        )
    lasting = f", for {period(breaker.for_ms)} without a break" if breaker.for_ms else ""
    return (
        f"{who} go to {primary}; if {rule_words(breaker.when)} in {_window(breaker.window)}{lasting}, "
        f"they go to {chain}{_mode(route)}, and {_return(breaker)}."
    )


def rule_words(rule: Rule) -> str:
    """Return a rule in words: ``"more than one answer in twenty takes over 3.5 s"``."""
    parts = [condition_words(condition) for condition in rule.of]
    if rule.at_least == len(parts):
        return " and ".join(parts)
    if rule.at_least == 1:
        return " or ".join(parts)
    return f"at least {_number(rule.at_least)} of these hold ({'; '.join(parts)})"


def condition_words(condition: Condition) -> str:
    """Return one condition in words."""
    noun = "call" if condition.kind == "error" else "answer"
    over = {
        (True, False): "more than",
        (False, False): "at least",
        (True, True): "at most",
        (False, True): "fewer than",
    }
    how = over[condition.strict, condition.negated]
    single = condition.numerator == 1 and condition.denominator in PARTS
    share = (
        f"one {noun} in {PARTS[condition.denominator]}" if single else f"{100 * condition.share:.4g} % of the {noun}s"
    )
    if condition.limit_ms is None:
        return f"{how} {share} {'fails' if single else 'fail'}"
    limit = f"{condition.limit_ms / 1000:g} s" if condition.limit_ms >= 1000 else f"{condition.limit_ms} ms"
    takes = "takes" if single else "take"
    return f"{how} {share} {takes} {f'{limit} or more' if condition.count_at_limit else f'over {limit}'}"


def period(milliseconds: int) -> str:
    """Return a duration in words: ``"a minute"``, ``"90 seconds"``, ``"five minutes"``."""
    name, unit = next((name, unit) for name, unit in PERIODS.items() if not milliseconds % unit)
    count = milliseconds // unit if milliseconds else 0
    if count == 1:
        return f"an {name}" if name == "hour" else f"a {name}"
    return f"{_number(count)} {name}s"


def _requests(route: Route, *, alone: bool) -> str:
    if "*" in route.intent:
        return "All requests" if alone else "All other requests"
    return f"{' and '.join(route.intent)} requests"


def _entry(model: str, breaker: Breaker | None) -> str:
    return f"{model} (passed over while {rule_words(breaker.when)} there)" if breaker else model


def _mode(route: Route) -> str:
    tools = " without tools" if route.on_fallback.tools == "disabled" else ""
    tokens = route.on_fallback.max_tokens
    return tools + (f" with answers of at most {tokens} tokens" if tokens else "")


def _window(window: Window) -> str:
    return f"the last {_number(window.length)} calls" if window.kind == "count" else period(window.length)


def _return(breaker: Breaker) -> str:
    after, half_open = f"after {period(breaker.cooldown_ms)}", breaker.half_open
    if not half_open.requests:
        return f"everything returns to the primary {after}"
    probes = f"{_number(half_open.requests)} request{'s' * (half_open.requests != 1)}"
    share = f" drawn from {100 * half_open.share:.4g} % of the traffic" if half_open.share < 1 else ""
    kept = f", and kept if {rule_words(half_open.when)}" if half_open.when else ""
    return f"the primary is tried again {after} with {probes}{share}{kept}"


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else f"{count:,}"
