"""Dials: the numbers of a policy that can be turned by hand, each with a range, and the rules that can be switched off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidPolicy, NoSuchItem, did_you_mean
from incident_kit.policies.conditions import Condition, Rule
from incident_kit.policies.vocabulary import metric_of

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy

STEPS = 80  # of a dial, from end to end, about
WIDEST = 2.5  # times the number in the policy


@dataclass(frozen=True, slots=True)
class Dial:
    """One threshold: where it stands (as `Policy.with_value` takes it), whose it is, and how far it may be turned."""

    path: str
    owner: str
    metric: str
    sign: str
    value: float
    low: float
    high: float
    step: float
    rule: str
    is_test: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are whole ones."""
        return metric_of(self.metric)[1] in {"milliseconds", "count"}

    @property
    def label(self) -> str:
        """What a reader sees: the owner, what is measured, and the sign before the number."""
        tested = ", while tested" if self.is_test else ""
        return f"{self.owner}: {self.metric} {self.sign}{tested}"


@dataclass(frozen=True)
class Settings:
    """A policy with some of its numbers turned and some of its rules off; a change gives a new one, which knows the last.

    ``values`` are numbers by a dial's path, ``off`` the paths of rules that are left out.
    """

    loaded: Policy
    values: Mapping[str, float] = field(default_factory=dict)
    off: frozenset[str] = frozenset()
    before: Settings | None = field(default=None, repr=False, compare=False)

    def turned(self, path: str, value: float) -> Settings:
        """Return the settings with one number changed."""
        return replace(self, values={**self.values, path: value}, before=self)

    def switched(self, rule: str, *, on: bool) -> Settings:
        """Return the settings with a rule on or off."""
        return replace(self, off=self.off - {rule} if on else self.off | {rule}, before=self)

    @cached_property
    def policy(self) -> Policy:
        """The policy as it is now; its numbers are checked as a file's would be.

        Raises
        ------
        InvalidPolicy
            The numbers contradict one another.
        """
        last = self.before
        if last is not None and not self.off and not last.off and last.loaded == self.loaded:
            turned = {path: value for path, value in self.values.items() if last.values.get(path) != value}
            if len(turned) == 1 and last.values.keys() <= self.values.keys():
                ((path, value),) = turned.items()
                with suppress(InvalidPolicy):  # the one before may be wrong where this one is not
                    return last.policy.with_value(path, value)
        policy = self.loaded
        for path, value in self.values.items():
            policy = policy.with_value(path, value)
        for rule in sorted(self.off, reverse=True):  # of a list the last first: what is left keeps its place
            policy = policy.with_value(rule, None)
        return policy


def rules(policy: Policy) -> dict[str, str]:
    """Return the rules that can be switched off: where each stands, and whose it is."""
    return {path: owner for path, owner, _ in _guards(policy)}


def dials(policy: Policy) -> tuple[Dial, ...]:
    """Return a dial for every threshold of every route, in order; a metric that a rule names twice has none."""
    return tuple(dial for path, owner, rule in _guards(policy) for dial in _of_rule(path, owner, rule))


def dial(policy: Policy, path: str) -> Dial:
    """Return the dial at a path, or of a route's short form such as ``refund-policy.max_p95_ms``.

    Raises
    ------
    NoSuchItem
        There is none; those that there are are listed.
    """
    from incident_kit.policies.policyedit import steps_of

    known = {tuple(steps_of(policy, one.path)): one for one in dials(policy)}
    found = known.get(tuple(steps_of(policy, path)))
    if found is None:
        paths = [one.path for one in known.values()]
        raise NoSuchItem(f"there is no dial {path!r}{did_you_mean(path, paths)}; there are {', '.join(paths)}")
    return found


def _guards(policy: Policy) -> Iterator[tuple[str, str, tuple[tuple[str, Rule], ...]]]:
    """Yield the path of each breaker, its owner, and its rules by key."""
    for i, route in enumerate(policy.routes):
        primaries = len(route.primaries)
        for place, entry in enumerate(route.chain):
            if entry.breaker is None or 0 < place < primaries:
                continue
            path = f"routes[{i}].breaker" if place == 0 else f"routes[{i}].fallback[{place - primaries}].breaker"
            owner = route.name if place == 0 else f"{route.name}, {entry.label}"
            parts = [("when", entry.breaker.when)]
            if entry.breaker.half_open.when is not None:
                parts.append(("half_open.when", entry.breaker.half_open.when))
            yield path, owner, tuple(parts)


def _of_rule(path: str, owner: str, parts: tuple[tuple[str, Rule], ...]) -> Iterator[Dial]:
    for key, rule in parts:
        named = [_head(leaf)[0] for leaf in rule.leaves]
        for leaf in rule.leaves:
            metric, sign = _head(leaf)
            if leaf.kind != "alert" and named.count(metric) == 1:
                low, high, step = _range(leaf, metric)
                yield Dial(
                    f"{path}.{key}.{metric}", owner, metric, sign, leaf.threshold, low, high, step, path, key != "when"
                )


def _head(leaf: Condition) -> tuple[str, str]:
    if leaf.kind == "alert":
        return "", ""
    metric, sign, _ = leaf.text.rsplit(" ", 2)
    return metric, sign


def _range(leaf: Condition, metric: str) -> tuple[float, float, float]:
    """Return from where to where a threshold may be turned, and by what: round numbers, the present one among them."""
    unit, value = metric_of(metric)[1], leaf.threshold
    if unit == "share":
        step = 0.01 if value >= 0.05 else 0.005
        high = 1.0 if value > 0.4 else 0.5 if value > 0.2 else 0.25
        return (0.5 if value > 0.6 else 0.0) or step, high, step
    step = _round(max(value, 1e-9) * (WIDEST - 0.2) / STEPS)
    if unit in {"milliseconds", "count"}:
        step = max(step, 1.0)
    low = max(step, math.floor(0.2 * value / step) * step)
    return low, max(math.ceil(WIDEST * value / step) * step, low + 10 * step), step


def _round(size: float) -> float:
    """Return the largest of 1, 2, 5, 10 ... that is not over a size."""
    power = 10.0 ** math.floor(math.log10(size))
    return power * next(one for one in (5, 2, 1) if one * power <= size * (1 + 1e-9))
