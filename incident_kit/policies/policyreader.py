"""From a file's tree to routes: defaults merged, short keys made long, every problem noted with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from incident_kit.durations import LONGEST_MS, show_duration
from incident_kit.errors import InvalidPolicy, did_you_mean
from incident_kit.policies.conditions import Condition, Rule
from incident_kit.policies.grammar import KEYS, SHORT_KEY, known_keys, unknown_key
from incident_kit.policies.policychecks import Checks
from incident_kit.policies.policytree import Item, Problems
from incident_kit.policies.policyvalues import ENDS, duration, text, whole
from incident_kit.policies.routes import Alert, Entry, Route, Switch

MERGED = ("breaker", "retry", "half_open")
REQUIRED = {
    "entry": ("model",),
    "breaker": ("when",),
    "route": ("primary",),
    "switch": ("from", "to"),
    "alert": ("name", "when"),
}
LISTS = {"route": ("intent", "fallback", "switch"), "alert": ("intent",)}


class Reader:
    """Reads one tree; `problems` says what is wrong, `warnings` what is odd, `tree` is the file in its long form."""

    def __init__(self, source: str) -> None:
        self.problems = Problems(source)
        self.warnings: list[str] = []
        self.checks = Checks(self.problems, self.warnings)
        self.tree: dict[str, Any] = {}
        self.alert_names: list[str] = []

    def policy(self, root: Item) -> tuple[dict[str, Any], tuple[Route, ...]]:
        """Return the file's own attributes, its alerts among them, and its routes.

        Raises
        ------
        InvalidPolicy
            With everything that is wrong in it.
        """
        top = {key: item for key, item in root.value.items() if key not in {"routes", "defaults", "alerts"}}
        attributes = self.section(Item(top, root.line), "policy", "")
        attributes["alerts"] = self.alerts(root.value.get("alerts", Item([])))
        defaults = self.defaults(root.value.get("defaults", Item({})))
        routes = root.value.get("routes")
        if routes is None:
            self.problems.add(root, "has no `routes:`: a policy is a list of them")
        elif not isinstance(routes.value, list):
            self.problems.add(routes, "routes: must be a list, each route beginning with `- intent: ...`")
        elif not routes.value:
            self.problems.add(routes, "routes: is empty: a policy has at least one route")
        items = routes.value if routes and isinstance(routes.value, list) else []
        long = [self.lengthened(item, defaults, f"routes[{i}]") for i, item in enumerate(items)]
        found = [self.route(item, f"routes[{i}]") for i, item in enumerate(long) if item.value]
        self.problems.check()
        alerts = {"alerts": root.value["alerts"]} if "alerts" in root.value else {}
        self.tree = top | {"routes": Item(long)} | alerts
        return attributes, self.checks.named([route for route in found if route])

    def alerts(self, item: Item) -> tuple[Alert, ...]:
        """Return the file's alerts; their names are what `alert:` in a breaker may say."""
        if not isinstance(item.value, list):
            self.problems.add(item, "alerts: must be a list, each alert beginning with `- name: ...`")
            return ()
        found = []
        for i, one in enumerate(item.value):
            path, count = f"alerts[{i}]", len(self.problems.found)
            attributes = self.section(one, "alert", path)
            if not isinstance(one.value, dict):
                continue
            name = attributes.get("name")
            if name in self.alert_names:
                self.problems.add(one.value["name"], f"{path}.name: {name!r} is the name of another alert")
            self.alert_names += [name] if name else []
            if "intent" in one.value:
                attributes["intent"] = self.intents(one, path)
            if len(self.problems.found) == count:
                alert = Alert(**attributes)
                self.checks.errors_counted(alert, one.value["when"], path)
                found.append(alert)
        return tuple(found)

    def defaults(self, item: Item) -> Item:
        """Return the defaults in their long form."""
        if not isinstance(item.value, dict):
            self.problems.add(item, "defaults: must be a mapping of route keys")
            return Item({})
        if "intent" in item.value:
            self.problems.add(item.value["intent"], "defaults: 'intent' belongs to each route")
        return self.short_keys(item, "defaults")

    def lengthened(self, item: Item, defaults: Item, path: str) -> Item:
        """Return one route with its short keys made long and the defaults merged in; its own keys win."""
        if not isinstance(item.value, dict):
            self.problems.add(item, f"{path}: must be a mapping that begins with `- intent: ...`")
            return Item({}, item.line)
        if not item.value:
            self.problems.add(item, f"{path}: is empty: a route begins with `- intent: ...`")
        own = self.short_keys(item, path)
        merged = _merge(defaults, own)
        breaker = merged.value.get("breaker")
        if breaker and isinstance(breaker.value, dict) and "when" not in breaker.value and "breaker" not in own.value:
            del merged.value["breaker"]
        fallback = merged.value.get("fallback")
        if fallback is not None:
            entries = fallback.value if isinstance(fallback.value, list) else [fallback]
            merged.value["fallback"] = Item(
                [self.entry_item(entry, f"{path}.fallback[{i}]") for i, entry in enumerate(entries)], fallback.line
            )
        switch = merged.value.get("switch")
        if switch is not None and isinstance(switch.value, dict):
            merged.value["switch"] = Item([switch], switch.line)
        return merged

    def entry_item(self, item: Item, path: str) -> Item:
        """Return one fallback entry as a mapping, or the word that ends a chain."""
        if isinstance(item.value, dict):
            return self.short_keys(item, path)
        return item if item.value in ENDS else Item({"model": item}, item.line)

    def short_keys(self, item: Item, path: str) -> Item:
        """Return a mapping with ``max_pNN_ms`` and ``disable_tools_on_fallback`` in their long form."""
        result: dict[str, Item] = {}
        limits: list[Item] = []
        for key, value in item.value.items():
            if short := SHORT_KEY.fullmatch(key):
                limit = self.value(value, whole(1, LONGEST_MS), f"{path}.{key}")
                limits.append(Item(f"{short[1]} > {limit}" if limit else "p95_ms > 1", value.line))
            elif key == "disable_tools_on_fallback" and "fallback" not in path:
                if not isinstance(value.value, bool):
                    self.problems.add(value, f"{path}.{key}: must be true or false")
                elif "on_fallback" in item.value:
                    self.problems.add(value, f"{path}.{key}: on_fallback is there too: write `tools:` in it instead")
                tools = Item("disabled" if value.value else "enabled", value.line)
                result["on_fallback"] = Item({"tools": tools}, value.line)
            else:
                result[key] = value
        if limits:
            when = limits[0] if len(limits) == 1 else Item(limits, limits[0].line)
            breaker = result.get("breaker", Item({}, when.line))
            if isinstance(breaker.value, dict) and "when" in breaker.value:
                self.problems.add(when, f"{path}: max_pNN_ms is short for breaker.when, which is there too: keep one")
            elif isinstance(breaker.value, dict):
                result["breaker"] = Item({**breaker.value, "when": when}, breaker.line)
        return Item(result, item.line)

    def section(self, item: Item, section: str, path: str) -> dict[str, Any]:
        """Return the attributes that one mapping fills."""
        dot = f"{path}." if path else ""
        if not isinstance(item.value, dict):
            self.problems.add(item, f"{path}: must be a mapping with {', '.join(known_keys(section))}")
            return {}
        found: dict[str, Any] = {}
        special = LISTS.get(section, ())
        for name, value in item.value.items():
            key = KEYS[section].get(name)
            if name in special:
                continue
            if key is None:
                error = unknown_key(section, name)
                self.problems.add(value, f"{path}: {error}" if path else error)
            elif key.section:
                inner = self.section(value, key.section, dot + name)
                if all(required in inner for required in REQUIRED.get(key.section, ())):
                    found |= key.filled(key.read(**inner))
            elif (result := self.value(value, key.read, dot + name)) is not None:
                found |= key.filled(result)
        for name in REQUIRED.get(section, ()):
            if name not in item.value and not any(did_you_mean(other, [name]) for other in item.value):
                hint = ", such as `when: p95_ms > 3500`" if name == "when" else ""
                self.problems.add(item, f"{path}: has no `{name}`{hint}")
        return found

    def value(self, item: Item, read: Callable[..., Any], path: str) -> Any:
        """Return what a reader makes of a value, or None with a problem noted."""
        if read == Rule.parse and (bad := list(self.conditions(item, path))):
            for where, error in bad:
                self.problems.add(where, error)
            return None
        try:
            return read(item.plain())
        except InvalidPolicy as error:
            message = str(error)
            joiner = " " if message.startswith(("must", "needs")) else ": "
            self.problems.add(item, f"{path}{joiner}{message}")
            return None

    def conditions(self, item: Item, path: str) -> Iterator[tuple[Item, str]]:
        """Yield the conditions in a rule that cannot be read or stand in the wrong place, each at its own line."""
        tree, alert = item.value, None
        if isinstance(tree, list):
            for inner in tree:
                yield from self.conditions(inner, path)
        elif isinstance(tree, dict) and set(tree) == {"alert"}:
            alert = tree["alert"].value
        elif isinstance(tree, dict):
            for key in ("any", "all", "of"):
                if key in tree and isinstance(tree[key].value, list):
                    yield from self.conditions(tree[key], path)
        else:
            try:
                condition = Condition.parse(tree)
            except InvalidPolicy as error:
                yield item, f"{path}: {error}"
            else:
                alert = condition.name if condition.kind == "alert" else None
        if isinstance(alert, str) and (reason := self.misplaced(alert, path)):
            yield item, f"{path}: {reason}"

    def misplaced(self, alert: str, path: str) -> str | None:
        """Return why an alert cannot be a condition there, if it cannot."""
        if path.startswith("alerts["):
            return "an alert does not wait for another alert: write its conditions out"
        if path.endswith("half_open.when"):
            return "an alert is not judged when the primary is tried again: name a metric"
        if alert in self.alert_names:
            return None
        known = f"; there are {', '.join(self.alert_names)}" if self.alert_names else ": the file has no `alerts:`"
        return f"there is no alert {alert!r}{did_you_mean(alert, self.alert_names)}{known}"

    def route(self, item: Item, path: str) -> Route | None:
        """Return one route; its name is given later."""
        count = len(self.problems.found)
        found = self.section(item, "route", path)
        found["intent"] = self.intents(item, path)
        entries = item.value.get("fallback", Item([]))
        found["fallback"] = tuple(self.entry(entry, f"{path}.fallback[{i}]") for i, entry in enumerate(entries.value))
        found["switches"] = self.switches(item.value.get("switch", Item([])), f"{path}.switch")
        if len(self.problems.found) > count or "primary" not in found:
            return None
        route = Route(name="", **found)
        self.checks.route(route, item, path)
        return route

    def intents(self, item: Item, path: str) -> tuple[str, ...]:
        """Return the intents of a route or an alert."""
        intent = item.value.get("intent")
        if intent is None:
            self.problems.add(item, f'{path}: has no `intent`: a name, a list of names, or a glob ("refund-*", "*")')
            return ()
        names = intent.value if isinstance(intent.value, list) else [intent]
        if not names:
            self.problems.add(intent, f"{path}.intent must be a name, a list of names, or a glob")
        return tuple(self.value(name, text, f"{path}.intent") for name in names)

    def entry(self, item: Item, path: str) -> Entry:
        """Return one fallback entry."""
        if not isinstance(item.value, dict):
            return Entry("", kind=item.value)
        if word := next((word for word in ENDS if word in item.value), None):
            self.problems.add(item, f"{path}: write just `{word}`: it ends the chain")
            return Entry("")
        kind = next((kind for kind in ("template", "queue") if kind in item.value), None)
        if kind is None:
            return Entry(**({"model": ""} | self.section(item, "entry", path)))
        return Entry("", kind=kind, **self.section(item, kind, path))  # type: ignore[arg-type]

    def switches(self, item: Item, path: str) -> tuple[Switch, ...]:
        """Return the switches by hand."""
        if not isinstance(item.value, list):
            self.problems.add(item, f"{path} must be a list such as [{{from: 2026-10-05T14:03:00Z, to: MODEL}}]")
            return ()
        found = [self.section(self.pointed(one), "switch", f"{path}[{i}]") for i, one in enumerate(item.value)]
        return tuple(Switch(**({"end": None} | one)) for one in found if "start" in one and "to" in one)

    @staticmethod
    def pointed(item: Item) -> Item:
        """Return a switch whose ``to`` is the name of an entry, also where it was written as the entry is."""
        to = item.value.get("to") if isinstance(item.value, dict) else None
        if to is None or not isinstance(to.value, dict) or len(to.value) != 1:
            return item
        ((kind, inner),) = to.value.items()
        label = inner.value
        if kind == "queue":
            try:
                label = show_duration(duration(label))
            except InvalidPolicy:
                return item
        name = label if kind == "model" else f"{kind}:{label}"
        return Item(item.value | {"to": Item(name, to.line)}, item.line) if isinstance(label, str) else item


def _merge(defaults: Item, own: Item) -> Item:
    merged = defaults.value | own.value
    for key in MERGED:
        if key in defaults.value and key in own.value:
            one, other = defaults.value[key], own.value[key]
            if isinstance(one.value, dict) and isinstance(other.value, dict):
                merged[key] = _merge(one, other)
    return Item(merged, own.line)
