"""What differs between two policies, route by route."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from incident_kit.policies.policywriter import WHOLE, alert_form, inline, leaves, route_form, same

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.routes import Route


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: where, and the value before and after (None: not there).

    `route` is a route's name, ``alert NAME`` for an alert, or "" for the file itself.
    """

    route: str
    key: str
    before: str | None
    after: str | None

    @property
    def path(self) -> str:
        """Where it is, as `Policy.with_value` takes it."""
        return ".".join(part for part in (self.route, self.key) if part)

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} -> {_shown(self.after)}"


@dataclass(frozen=True, slots=True)
class Diff:
    """The differences between two policies; false when there are none."""

    changes: tuple[Change, ...]

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __str__(self) -> str:
        lines = []
        for route, changes in groupby(self.changes, key=lambda change: change.route):
            lines.append(route or "the file")
            what = "alert" if route.startswith("alert ") else "route"
            lines.extend(f"  {one.key or what}: {_shown(one.before)} -> {_shown(one.after)}" for one in changes)
        return "\n".join(lines) or "no difference"


def diff(a: Policy, b: Policy) -> Diff:
    """Return what changes from one policy to the other; routes are paired by name.

    Examples
    --------
    >>> from incident_kit.policies.policy import Policy
    >>> a = Policy.parse("routes: [{intent: refund, primary: big, fallback: small, max_p95_ms: 3500}]")
    >>> print(diff(a, a.with_value("refund.max_p95_ms", 3000)))
    refund
      breaker.when: p95_ms > 3500 -> p95_ms > 3000
    """
    changes = [
        Change("", key, _text(getattr(a, key)), _text(getattr(b, key)))
        for key in ("name", "owner", "reason", "decided", "review_by", "rehearsed", "note")
        if getattr(a, key) != getattr(b, key)
    ]
    before, after = ({route.name: route for route in policy.routes} for policy in (a, b))
    common = [[name for name in one if name in other] for one, other in ((before, after), (after, before))]
    if common[0] != common[1]:
        changes.append(Change("", "order of routes", ", ".join(common[0]), ", ".join(common[1])))
    for name in dict.fromkeys([*before, *after]):
        changes.extend(_route_changes(name, before.get(name), after.get(name)))
    alerts = [{alert.name: alert_form(alert) for alert in policy.alerts} for policy in (a, b)]
    common = [[name for name in one if name in other] for one, other in (alerts, alerts[::-1])]
    if common[0] != common[1]:
        changes.append(Change("", "order of alerts", ", ".join(common[0]), ", ".join(common[1])))
    for name in dict.fromkeys([*alerts[0], *alerts[1]]):
        changes.extend(_alert_changes(name, alerts[0].get(name), alerts[1].get(name)))
    return Diff(tuple(changes))


def _alert_changes(name: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> Iterator[Change]:
    at = f"alert {name}"
    if before is None or after is None:
        yield Change(at, "", *(None if form is None else f"when {inline(form['when'])}" for form in (before, after)))
        return
    yield from _changed(at, dict(leaves(before, whole=WHOLE)), dict(leaves(after, whole=WHOLE)))


def _changed(at: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    for key in dict.fromkeys([*old, *new]):
        if not same(old.get(key), new.get(key)):
            yield Change(at, key, _text(old.get(key)), _text(new.get(key)))


def _route_changes(name: str, before: Route | None, after: Route | None) -> Iterator[Change]:
    if before is None or after is None:
        yield Change(name, "", _chain(before), _chain(after))
        return
    yield from _changed(name, _summary(before), _summary(after))
    if before.degraded_start != after.degraded_start:
        yield Change(name, "starts on the fallback", _text(before.degraded_start), _text(after.degraded_start))


def _summary(route: Route) -> dict[str, Any]:
    """Return a route's leaves; its chain is one value."""
    form = route_form(route)
    entries = form.pop("fallback")
    form["fallback"] = [entry.label for entry in route.fallback]
    return dict(leaves(form, whole=WHOLE)) | {
        f"fallback[{i}].{key}": value
        for i, entry in enumerate(entries)
        if isinstance(entry, dict)
        for key, value in leaves(entry)
        if key == "only_for" or key.startswith("breaker.")
    }


def _chain(route: Route | None) -> str | None:
    if route is None:
        return None
    switch = f", switching when {route.breaker.when}" if route.breaker else ""
    return " then ".join(entry.label for entry in route.chain) + switch


def _text(value: Any) -> str | None:
    return None if value is None else inline(value)


def _shown(value: str | None) -> str:
    return "(none)" if value is None else value
