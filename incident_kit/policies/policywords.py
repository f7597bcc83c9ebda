"""A policy in plain sentences, one a route and one an alert, and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incident_kit.policies.rulewords import condition_words, number, period, rule_words, signal_words, time_words

if TYPE_CHECKING:
    import polars as pl

    from incident_kit.policies.policy import Policy
    from incident_kit.policies.routes import Alert, Breaker, Entry, Route, Switch, Window

__all__ = ["alert_sentence", "condition_words", "describe", "describe_table", "period", "rule_words", "sentence"]


def describe(policy: Policy) -> str:
    """Return one sentence a route, then one an alert, a line each.

    Examples
    --------
    >>> from incident_kit.policies.policy import Policy
    >>> policy = Policy.parse("routes: [{intent: refund, primary: big, fallback: small, max_p95_ms: 3500}]")
    >>> print(describe(policy))  # doctest: +NORMALIZE_WHITESPACE
    refund requests go to big; if more than one answer in twenty takes over 3.5 s in five minutes, they go to small,
    and the primary is tried again after a minute with five requests.
    """
    alone = len(policy.routes) == 1
    routes = [sentence(route, alone=alone) for route in policy.routes]
    return "\n".join([*routes, *(alert_sentence(alert) for alert in policy.alerts)])


def describe_table(policy: Policy) -> pl.DataFrame:
    """Return a row a route: intent, may_degrade, switched_off, signal, owner, last_rehearsed (a date or null).

    `may_degrade` says whether anything but the primary may answer; `switched_off` what is taken away then; `signal` what
    moves requests to the backup. A route without an owner has the file's.

    Examples
    --------
    >>> from incident_kit.policies.policy import Policy
    >>> policy = Policy.parse("routes: [{intent: refund, primary: big, fallback: small, max_p95_ms: 3500}]")
    >>> describe_table(policy).row(0)
    ('refund', 'yes: small', 'nothing', 'slow: one in twenty over 3.5 s', None, None)
    """
    import polars as pl

    rows = [
        {
            "intent": ", ".join(route.intent),
            "may_degrade": _may_degrade(route),
            "switched_off": _switched_off(route),
            "signal": "; ".join(_signals(route)) or "none",
            "owner": route.owner or policy.owner,
            "last_rehearsed": route.rehearsed or policy.rehearsed,
        }
        for route in policy.routes
    ]
    schema = {"intent": pl.String, "may_degrade": pl.String, "switched_off": pl.String, "signal": pl.String}
    return pl.DataFrame(rows, schema=schema | {"owner": pl.String, "last_rehearsed": pl.Date})


def sentence(route: Route, *, alone: bool = False) -> str:
    """Return what a route does, in words; `alone`: there is no other route."""
    who, primary, breaker = _requests(route, alone=alone), _primaries(route), route.breaker
    hand = "".join(_by_hand(switch) for switch in route.switches)
    if route.degraded_start:
        return f"{who} go to {primary}{_mode(route)} from the start{hand}."
    if not route.fallback:
        return f"{who} go to {primary}, and nowhere else{hand}{_limits(route)}."
    chain = _chain(route)
    failures = ", ".join(route.fallback_on)
    if breaker is None:
        if not route.fallback_on:
            return f"{who} go to {primary}, and nowhere else: no failure and no breaker sends them on{hand}{_limits(route)}."
        return (
            f"{who} go to {primary}; one that fails ({failures}) is sent on to {chain}; "
            f"the others stay{hand}{_limits(route)}."
        )
    lasting = f", for {period(breaker.for_ms)} without a break" if breaker.for_ms else ""
    lasting += f", looked at every {_each(breaker.every_ms)}" if breaker.every_ms else ""
    lasting += ", or if there are too few to tell" if breaker.no_data == "breach" else ""
    they = "its requests" if breaker.scope == "intent" and ("*" in route.intent or len(route.intent) > 1) else "they"
    one = " of one intent" if they == "its requests" else ""
    return (
        f"{who} go to {primary}; if {rule_words(breaker.when)} in {_windows(breaker.windows)}{one}{lasting}, "
        f"{they} go to {chain}, and {_return(breaker)}{hand}{_limits(route)}."
    )


def alert_sentence(alert: Alert) -> str:
    """Return when an alert calls people, in words."""
    about = "" if "*" in alert.intent else f" for {' and '.join(alert.intent)} requests"
    lasting = f", for {period(alert.for_ms)} without a break" if alert.for_ms else ""
    kept = f"; it ends when that has not been so for {period(alert.keep_firing_ms)}" if alert.keep_firing_ms else ""
    lasting += ", or if there are too few to tell" if alert.no_data == "breach" else ""
    return (
        f"The alert {alert.name} ({alert.severity}) fires if {rule_words(alert.when, call='request')} in "
        f"{_windows(alert.windows)}{about}{lasting}{kept}."
    )


def _requests(route: Route, *, alone: bool) -> str:
    everyone = "All requests" if alone else "All other requests"
    who = everyone if "*" in route.intent else f"{' and '.join(route.intent)} requests"
    said = [f"{key.replace('_', ' ')} {' or '.join(map(_value, values))}" for key, values in route.match]
    return f"{who} with {' and '.join(said)}" if said else who


def _value(value: str | int | bool) -> str:  # noqa: FBT001 - one of several kinds of value
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _primaries(route: Route) -> str:
    total = sum(weight for _, weight in route.weights)
    shares = [f"{100 * weight / total:.3g} % to {model}" for model, weight in route.weights]
    return f"their primaries ({', '.join(shares)})" if shares else route.primary


def _chain(route: Route) -> str:
    """Return the fallbacks in words, what changes on them behind the last that is a model."""
    parts = [_entry(entry) for entry in route.fallback]
    last = max((i for i, entry in enumerate(route.fallback) if entry.kind == "model"), default=None)
    if last is not None:
        parts[last] += _mode(route)
    return ", then ".join(parts)


def _entry(entry: Entry) -> str:
    if entry.kind == "human":
        return "a person"
    if entry.kind == "reject":
        return "a refusal"
    if entry.kind == "template":
        text = f"the prepared answer {entry.template}"
    elif entry.kind == "queue":
        text = f"a queue of up to {period(entry.queue_ms or 0)}"
    else:
        text = entry.model
    notes = [f"for {', '.join(entry.only_for)} alone"] if entry.only_for else []
    notes += [f"passed over while {rule_words(entry.breaker.when)} there"] if entry.breaker else []
    return f"{text} ({'; '.join(notes)})" if notes else text


def _mode(route: Route) -> str:
    tools = " without tools" if route.on_fallback.tools == "disabled" else ""
    tokens = route.on_fallback.max_tokens
    return tools + (f" with answers of at most {tokens} tokens" if tokens else "")


def _each(milliseconds: int) -> str:
    return period(milliseconds).removeprefix("a ").removeprefix("an ")


def _windows(windows: tuple[Window, ...]) -> str:
    return " and also in ".join(_window(window) for window in windows)


def _window(window: Window) -> str:
    if window.kind == "count":
        return f"the last {number(window.length)} calls"
    return f"{period(window.length)} by the clock" if window.kind == "tumbling" else period(window.length)


def _return(breaker: Breaker) -> str:
    after, half_open = f"after {period(breaker.cooldown_ms)}", breaker.half_open
    if breaker.cooldown_factor > 1:
        longest = f", up to {period(breaker.cooldown_max_ms)}" if breaker.cooldown_max_ms else ""
        after += f" ({float(breaker.cooldown_factor):g} times as long after each failed test{longest})"
    if not half_open.requests:
        return f"everything returns to the primary {after}"
    probes = f"{number(half_open.requests)} request{'s' * (half_open.requests != 1)}"
    share = f" drawn from {100 * half_open.share:.4g} % of the traffic" if half_open.share < 1 else ""
    kept = f", and kept if {rule_words(half_open.when)}" if half_open.when else ""
    return f"the primary is tried again {after} with {probes}{share}{kept}"


def _by_hand(switch: Switch) -> str:
    until = f" until {switch.end:%Y-%m-%d %H:%M:%S}" if switch.end else ""
    return f"; by hand from {switch.start:%Y-%m-%d %H:%M:%S}{until} UTC all start at {switch.to}"


def _limits(route: Route) -> str:
    sticky = "; a conversation stays where it is unless it fails" if route.sticky == "conversation" else ""
    return sticky + (f"; all ends after {time_words(route.deadline_ms)}" if route.deadline_ms else "")


def _may_degrade(route: Route) -> str:
    if route.degraded_start:
        return f"always: {route.primary}"
    may = route.breaker or route.fallback_on or route.switches
    return f"yes: {', then '.join(_entry_name(entry) for entry in route.fallback)}" if route.fallback and may else "no"


def _entry_name(entry: Entry) -> str:
    if entry.kind == "queue":
        return f"wait up to {period(entry.queue_ms or 0)}"
    names = {"human": "a person", "reject": "refused", "template": f"prepared answer {entry.template}"}
    return names.get(entry.kind, entry.model)


def _switched_off(route: Route) -> str:
    off = ["tools"] if route.on_fallback.tools == "disabled" else []
    off += [f"answers over {route.on_fallback.max_tokens} tokens"] if route.on_fallback.max_tokens else []
    return ", ".join(off) or "nothing"


def _signals(route: Route) -> list[str]:
    found = []
    if route.breaker and route.fallback:
        rule = route.breaker.when
        joined = " and " if rule.at_least == len(rule.of) else " or "
        many = len(rule.of) > 1 and 1 < rule.at_least < len(rule.of)
        parts = [signal_words(part) for part in rule.leaves]
        flat = len(rule.leaves) == len(rule.of)
        text = joined.join(parts) if flat and not many else rule_words(rule)
        found.append(f"{number(rule.at_least)} of: {', '.join(parts)}" if many and flat else text)
    if route.switches:
        found.append("by hand")
    if not found and route.fallback and route.fallback_on:
        found.append(f"a request's own failure ({', '.join(route.fallback_on)})")
    return found
