"""Versions: a policy and its alerts as they stood at a time, one after the other.

What was in force when a log was made is rarely one file: somebody changed it in between. Versions become one policy whose
routes and alerts have a time of their own. A route that a change leaves as it is goes on, its breakers with what they have
seen; one that is changed, added or put before another begins anew: closed, its windows empty, in an epoch of its own
(POLICY.md S14), and what it replaces ends with the requests that are under way. So do alerts; a breaker that asks an alert
begins anew with it. What arrives at the moment of a change belongs to the new version (as S21 has it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from incident_kit.errors import InvalidPolicy
from incident_kit.policies.conditions import Condition, Rule
from incident_kit.policies.policy import Policy
from incident_kit.policies.routes import Alert, Breaker, Notes, Route
from incident_kit.policies.versionspans import instant, span, spans_of

MOST_ROUTES = 120  # a route's number is one byte where decisions are kept
_NO_NOTES: dict[str, Any] = dict.fromkeys(Notes.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Version:
    """A policy, and when it was in force: [since, until); None: from the beginning, or to the end."""

    policy: Policy
    since: datetime | None = None
    until: datetime | None = None

    def __str__(self) -> str:
        return f"{self.policy.name}@{span(self.since, self.until)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions(Policy):
    """Policies that were in force one after the other, as one; :func:`versions` makes it."""

    versions: tuple[Version, ...]

    def at(self, moment: datetime) -> Policy | None:
        """Return the policy in force at a moment; None before the first and after the last."""
        return next(
            (
                one.policy
                for one in self.versions
                if (one.since is None or one.since <= moment) and (one.until is None or moment < one.until)
            ),
            None,
        )


def versions(
    given: Sequence[Version | tuple[Policy, datetime | None, datetime | None]], *, name: str | None = None
) -> Policy:
    """Return policies that were in force one after the other, as one policy; the same one all the time is returned as it is.

    Each is given with since and until; a missing one is what the neighbour says, or no end at all. Routes and alerts that
    were in force for a part of the time only carry it in their name: ``refund@..2026-10-05T14:00Z``.

    Raises
    ------
    InvalidPolicy
        Two versions overlap, or leave a gap; a time has no zone; nothing is given.
    """
    ordered = _ordered([one if isinstance(one, Version) else Version(*one) for one in given])
    last = ordered[-1].policy
    routes, _ = _carried([_shape(one.policy) for one in ordered], ordered, _common)
    alerts, of_version = _carried([[(one, ()) for one in each.policy.alerts] for each in ordered], ordered, _equals)
    if len(routes) > MOST_ROUTES:
        raise InvalidPolicy(f"these versions have {len(routes)} routes that differ; {MOST_ROUTES} are the most")
    if all(part.since is part.until is None for part in (*routes, *alerts)):
        return last if name is None else replace(last, name=name)
    names = [{alerts[i].said.name: alerts[i].name for i in each} for each in of_version]
    return Versions(
        name=name or _name(ordered),
        routes=tuple(_route(part, names[part.version]) for part in routes),
        alerts=tuple(replace(part.said, name=part.name, since=part.since, until=part.until) for part in alerts),
        versions=tuple(ordered),
        owner=last.owner,
        rehearsed=last.rehearsed,
    )


def latest(policy: Policy) -> Policy:
    """Return the last of a policy's versions; a plain policy itself."""
    return policy.versions[-1].policy if isinstance(policy, Versions) else policy


def load_version(text: str | Path) -> Version:
    """Return a version from ``FILE@FROM..UNTIL``; either end, or both, may be missing, and so may all from the ``@`` on.

    Raises
    ------
    InvalidPolicy
        A time is none, or has no zone; or the policy cannot be used.
    UnreadableFile
        There is no such file.
    """
    file, since, until = spans_of(str(text))
    return Version(Policy.load(file), since, until)


def _name(ordered: Sequence[Version]) -> str:
    if len(ordered) == 1:
        return str(ordered[0])
    names = list(dict.fromkeys(one.policy.name for one in ordered))
    return f"{names[0]} ({len(ordered)} versions)" if len(names) == 1 else ", then ".join(names)


def _ordered(given: Sequence[Version]) -> list[Version]:
    """Return versions in order of time, their ends filled in."""
    if not given:
        raise InvalidPolicy("no version is given: name a policy, since and until")
    for one in given:
        for at in (one.since, one.until):
            if at is not None:
                instant(at, str(one.policy.name))
    # one that says no beginning stands where it is: behind the one before it in the list
    found: list[Version] = []
    for one in given:
        since = one.since or (found[-1].until if found else None)
        if found and since is one.until is None:
            raise InvalidPolicy(
                f"{found[-1]} and {one} do not say when one took over from the other: give `until` of the first, or `from` "
                "of the second"
            )
        found.append(replace(one, since=since))
    found.sort(key=lambda one: one.since or datetime.min.replace(tzinfo=UTC))
    for i, (one, after) in enumerate(pairwise(found)):
        until = one.until or after.since
        if after.since is None or until is None or until > after.since:
            raise InvalidPolicy(f"{one} and {after} overlap: end the first where the second begins")
        if until < after.since:
            raise InvalidPolicy(
                f"nothing is in force between {one} and {after}: end the first where the second begins, or name what was in "
                "force in between"
            )
        found[i] = replace(one, until=until)
    for one in found:
        if one.since is not None and one.until is not None and one.until <= one.since:
            raise InvalidPolicy(f"{one} ends before it begins")
    return found


Shape = tuple[Any, tuple[Alert, ...]]  # a route or an alert, and what else must stay the same for it to go on


@dataclass(frozen=True, slots=True)
class _Part:
    """A route or an alert, when it was in force, and the version that it began with."""

    said: Any
    version: int
    since: datetime | None
    until: datetime | None

    @property
    def name(self) -> str:
        whole = self.since is None and self.until is None
        return str(self.said.name) if whole else f"{self.said.name}@{span(self.since, self.until)}"


def _shape(policy: Policy) -> list[Shape]:
    """Return each route with the alerts that its breakers ask."""
    found: list[Shape] = []
    for route in policy.routes:
        breakers = [entry.breaker for entry in route.chain if entry.breaker]
        asked = {leaf.name for one in breakers for leaf in one.when.leaves if leaf.kind == "alert"}
        found.append((route, tuple(alert for alert in policy.alerts if alert.name in asked)))
    return found


def _carried(
    lists: Sequence[Sequence[Shape]],
    ordered: Sequence[Version],
    common: Callable[[list[Shape], list[Shape]], dict[int, int]],
) -> tuple[list[_Part], list[list[int]]]:
    """Return what the versions list, what goes on from one to the next once, in an order that is every version's own.

    Beside it, for each version, where what it lists stands there.
    """
    parts: list[_Part] = []
    order: list[int] = []
    numbers: list[list[int]] = []
    before: list[Shape] = []
    for v, (given, version) in enumerate(zip(lists, ordered, strict=True)):
        shapes = [_bare(shape) for shape in given]
        kept = common(before, shapes)
        now: list[int] = []
        place = 0
        for i, (said, _) in enumerate(given):
            if i in kept:
                number = numbers[-1][kept[i]]
                parts[number] = replace(parts[number], said=said, until=version.until)
                place = order.index(number)
            else:
                number = len(parts)
                parts.append(_Part(said, v, version.since, version.until))
                order.insert(place, number)
            now.append(number)
            place += 1
        numbers.append(now)
        before = shapes
    return [parts[number] for number in order], [[order.index(number) for number in each] for each in numbers]


def _bare(shape: Shape) -> Shape:
    """Return what is compared: notes have no effect."""
    said, asked = shape
    return (replace(said, **_NO_NOTES) if isinstance(said, Route) else said), asked


def _equals(a: list[Shape], b: list[Shape]) -> dict[int, int]:
    """Return the positions in ``b`` of what both have, and where in ``a`` each stands; the order means nothing."""
    return {j: a.index(one) for j, one in enumerate(b) if one in a}


def _common(a: list[Shape], b: list[Shape]) -> dict[int, int]:
    """Return the same of the longest part that both have in one order: the first route that matches takes a request."""
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            best[i][j] = best[i + 1][j + 1] + 1 if a[i] == b[j] else max(best[i + 1][j], best[i][j + 1])
    found: dict[int, int] = {}
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            found[j] = i
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _route(part: _Part, names: dict[str, str]) -> Route:
    """Return a route with its time, its breakers asking the alerts of its version."""
    route: Route = part.said
    fallback = tuple(replace(entry, breaker=_breaker(entry.breaker, names)) for entry in route.fallback)
    breaker = _breaker(route.breaker, names)
    return replace(route, name=part.name, fallback=fallback, breaker=breaker, since=part.since, until=part.until)


def _breaker(breaker: Breaker | None, names: dict[str, str]) -> Breaker | None:
    return None if breaker is None else replace(breaker, when=_rule(breaker.when, names))


def _rule(rule: Rule, names: dict[str, str]) -> Rule:
    return replace(rule, of=tuple(_rule(one, names) if isinstance(one, Rule) else _asks(one, names) for one in rule.of))


def _asks(condition: Condition, names: dict[str, str]) -> Condition:
    return Condition.of_alert(names[condition.name]) if condition.kind == "alert" else condition
