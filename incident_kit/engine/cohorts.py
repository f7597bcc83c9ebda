"""Cohorts: the intents of a log that must be replayed together, because their routes share a breaker or what it looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from incident_kit.policies.policy import Policy
from incident_kit.policies.routes import Breaker, Route

UNROUTED = -1  # the cohort of what no route takes: each of its requests stands for itself


def cohorts(policy: Policy, intents: Iterable[str | None], *, together: bool = False) -> dict[str | None, int]:
    """Return the cohort of each intent, from 0; UNROUTED where no route takes it and no breaker hears of it.

    Requests of two cohorts make no difference to one another's decisions: no breaker sees both, and an outcome is borrowed
    from requests of the same intent only (:func:`incident_kit.estimation.evidence.nearest`).

    Parameters
    ----------
    intents
        The log's, None among them where requests have none.
    together
        One cohort of all, as where :func:`reason_together` gives a reason.

    Examples
    --------
    >>> policy = Policy.parse("routes: [{intent: [refund, order], primary: a, fallback: b}, {intent: chat, primary: a}]")
    >>> cohorts(policy, ["chat", "order", "refund", "spam", None])
    {None: -1, 'chat': 0, 'order': 1, 'refund': 1, 'spam': -1}
    """
    known = sorted(set(intents), key=lambda intent: (intent is not None, intent or ""))
    if together or reason_together(policy):
        return dict.fromkeys(known, 0)
    leader = {intent: intent for intent in known}

    def first(intent: str | None) -> str | None:
        while leader[intent] != intent:
            intent = leader[intent]
        return intent

    def join(members: list[str | None]) -> None:
        for one in members[1:]:
            leader[first(one)] = first(members[0])

    taken = _taken(policy, known)
    free = [intent for intent in known if not any(intent in members for _, members in taken)]
    for _, members in taken:
        join(members)
    for target in _listened(policy):
        join([one for route, members in taken if target in _models(route) for one in members] + free)
    numbers: dict[str | None, int] = {}
    routed = {first(one) for _, members in taken for one in members}
    return {one: numbers.setdefault(first(one), len(numbers)) if first(one) in routed else UNROUTED for one in known}


def _taken(policy: Policy, known: list[str | None]) -> list[tuple[Route, list[str | None]]]:
    """Return for each route the intents whose requests may come to it: those that no route before it takes whole."""
    found, left = [], known
    for route in policy.routes:
        found.append((route, [intent for intent in left if route.matches(intent)]))
        if not (route.match or route.since or route.until):
            left = [intent for intent in left if not route.matches(intent)]
    return found


def reason_together(policy: Policy) -> str:
    """Return why a policy's routes cannot be replayed apart, as the end of a sentence; empty where they can."""
    if any(breaker.every_ms for _, breaker in _breakers(policy)):
        return "a breaker is judged at fixed instants (every:), which end with the last event of the whole log"
    if any(leaf.kind == "alert" for _, breaker in _breakers(policy) for leaf in breaker.conditions):
        return "a breaker asks an alert, which counts the requests of many routes"
    if any(leaf.kind == "signal" for _, breaker in _breakers(policy) for leaf in breaker.conditions):
        return "a breaker looks at a signal, which moves it where none of its requests is too"
    if any(True for _ in _listened(policy)) and any(route.match for route in policy.routes):
        return "a breaker counts all calls of its target, and some intents are routed in part only"
    return ""


def _breakers(policy: Policy) -> Iterator[tuple[str, Breaker]]:
    for route in policy.routes:
        for entry in route.chain:
            if entry.breaker is not None:
                yield entry.model, entry.breaker


def _listened(policy: Policy) -> list[str]:
    """Return the targets of which some breaker counts every call, whoever made it."""
    return list(dict.fromkeys(model for model, breaker in _breakers(policy) if breaker.scope == "target"))


def _models(route: Route) -> set[str]:
    return {entry.model for entry in route.chain if entry.kind == "model"}
