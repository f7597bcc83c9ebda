"""Policy: which target answers which intent, and what makes that change. Frozen; a change is a validated copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from incident_kit.errors import NoSuchItem, UnreadableFile, did_you_mean
from incident_kit.outfiles.outputs import write_whole
from incident_kit.policies.conditions import Condition, Rule
from incident_kit.policies.policydiff import Change, Diff, diff
from incident_kit.policies.policyedit import changed_tree
from incident_kit.policies.policyfile import file_text
from incident_kit.policies.policyreader import Reader
from incident_kit.policies.policytree import LONGEST_TEXT, Item, item_of, read_tree
from incident_kit.policies.policywords import describe, describe_table
from incident_kit.policies.policywriter import held, inline, leaves, long_form, yaml_text
from incident_kit.policies.routes import (
    Alert,
    Breaker,
    Entry,
    HalfOpen,
    Notes,
    OnFallback,
    Retry,
    Route,
    Switch,
    Window,
)

__all__ = [
    "Alert",
    "Breaker",
    "Change",
    "Condition",
    "Diff",
    "Entry",
    "HalfOpen",
    "Implied",
    "OnFallback",
    "Policy",
    "Retry",
    "Route",
    "Rule",
    "Switch",
    "Window",
    "describe",
    "describe_table",
    "diff",
]


@dataclass(frozen=True, slots=True)
class Implied:
    """One value that the file left unsaid: where it would stand, and what it is."""

    path: str
    value: str

    def __str__(self) -> str:
        return f"{self.path}: {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Notes):
    """An ordered list of routes; the first that matches takes the request.

    Two policies are equal when they say the same: `name`, `implied`, `warnings` and the text of the file do not count.
    """

    routes: tuple[Route, ...]
    alerts: tuple[Alert, ...] = ()
    name: str = field(default="policy", compare=False)
    version: int = 1
    implied: tuple[Implied, ...] = field(default=(), compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    text: str | None = field(default=None, compare=False, repr=False)

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Return the policy in a YAML file; without a ``name:`` in it, the file's name is its name.

        Raises
        ------
        UnreadableFile
            The file is missing, a directory, or not text.
        InvalidPolicy
            With every problem and its line.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                content = file.read(4 * LONGEST_TEXT + 1)
            text = "" if len(content) > 4 * LONGEST_TEXT else content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UnreadableFile(f"{path} is not a policy: it is not text (UTF-8)") from None
        except OSError as error:
            raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}") from None
        if len(content) > 4 * LONGEST_TEXT:
            raise UnreadableFile(f"{path} is not a policy: it has more than {4 * LONGEST_TEXT:,} bytes")
        return cls.parse(text, name=path.stem, source=str(path))

    @classmethod
    def parse(cls, text: str, *, name: str | None = None, source: str = "the policy") -> Policy:
        """Return the policy that a YAML text holds; `name` is its name if the text gives none.

        Examples
        --------
        >>> policy = Policy.parse("routes: [{intent: refund, primary: big, fallback: small, max_p95_ms: 3500}]")
        >>> policy.routes[0].breaker.when.of[0].text, policy.targets
        ('p95_ms > 3500', ('big', 'small'))
        """
        return replace(cls.of_tree(read_tree(text, source=source), source=source, name=name or "policy"), text=text)

    @classmethod
    def of_tree(cls, tree: Item, *, source: str = "the policy", name: str = "policy") -> Policy:
        """Return the policy that a tree holds; `source` is how errors name it."""
        reader = Reader(source)
        attributes, routes = reader.policy(tree)
        policy = cls(**({"name": name} | attributes), routes=routes, warnings=tuple(reader.warnings))
        said = set(held(Item(reader.tree)))
        unsaid = (Implied(path, inline(value)) for path, value in leaves(long_form(policy)) if path not in said)
        return replace(policy, implied=tuple(unsaid))

    @property
    def targets(self) -> tuple[str, ...]:
        """Every target that the policy names, in order of appearance."""
        models = (entry.model for route in self.routes for entry in route.chain if entry.kind == "model")
        return tuple(dict.fromkeys(models))

    def route_of(self, intent: str | None, known: Mapping[str, object] | None = None) -> Route | None:
        """Return the first route that takes a request of this intent, or None: the request stays as logged.

        `known` holds what a route's `match` asks for at arrival: ``channel``, ``stream``, ``labels.team``.
        """
        return next((route for route in self.routes if route.matches(intent) and route.fits(known or {})), None)

    def alert(self, name: str) -> Alert:
        """Return the alert of this name.

        Raises
        ------
        NoSuchItem
            There is none; the names that there are are listed.
        """
        found = next((alert for alert in self.alerts if alert.name == name), None)
        if found is None:
            names = [alert.name for alert in self.alerts]
            have = f"there are {', '.join(names)}" if names else "the policy has none"
            raise NoSuchItem(f"there is no alert {name!r}{did_you_mean(name, names)}: {have}")
        return found

    def expand(self) -> str:
        """Return the long form as YAML: every key written out, nothing implied.

        ``degraded_start`` (the baseline `always_fallback`) has no key in this release: a comment says it.
        """
        degraded = [route.name for route in self.routes if route.degraded_start]
        note = f"# as a fallback from the start: {', '.join(degraded)}\n" if degraded else ""
        return note + yaml_text(long_form(self))

    def save(self, path: str | Path) -> None:
        """Write the policy as a file that `load` reads back equal.

        A policy that came from a file keeps its comments and order, and only what changed changes; one that did not
        (a baseline), or whose routes are others now, is written in the long form.
        """
        write_whole(path, file_text(self))

    def with_value(self, path: str, value: Any) -> Policy:
        """Return a validated copy with one value changed, as a file would write it; None removes it.

        A path begins with a route's name or, as in `implied`, with ``routes[0]``: ``refund-policy.max_p95_ms``,
        ``refund-policy.breaker.cooldown``, ``routes[0].breaker.half_open.requests``. ``breaker.when.error_rate`` is
        the number in the rule's condition on that metric; ``max_p95_ms`` is short for ``breaker.when.p95_ms``.

        Raises
        ------
        NoSuchItem
            The path leads nowhere.
        InvalidPolicy
            The value cannot stand there.

        Examples
        --------
        >>> policy = Policy.parse("routes: [{intent: refund, primary: big, fallback: small, max_p95_ms: 3500}]")
        >>> policy.with_value("refund.breaker.cooldown", "5m").routes[0].breaker.cooldown_ms
        300000
        """
        tree, at = changed_tree(self, path, value)
        changed = Policy.of_tree(item_of(tree), source=f"{path} = {value}", name=self.name)
        was = {implied.path for implied in self.implied}
        said = {leaf for leaf, _ in leaves(long_form(self))} - was
        implied = (
            Implied(leaf, inline(shown))
            for leaf, shown in leaves(long_form(changed))
            if leaf not in said and not f"{leaf}.".startswith((f"{at}.", f"{at}["))
        )
        degraded = {route.name for route in self.routes if route.degraded_start}
        routes = tuple(replace(route, degraded_start=route.name in degraded) for route in changed.routes)
        return replace(changed, routes=routes, implied=tuple(implied), text=self.text)
