"""From a file's tree to routes: defaults merged, short keys made long, every problem noted with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from incident_kit.conditions import Condition, Rule, later
from incident_kit.durations import LONGEST_MS
from incident_kit.errors import InvalidPolicy, did_you_mean
from incident_kit.grammar import KEYS, LATER_KEYS, SHORT_KEY, known_keys, text, unknown_key, whole
from incident_kit.policytree import Item, Problems
from incident_kit.routes import Breaker, Entry, Route, takes

_WILD = re.compile(r"[*?]")
MERGED = ("breaker", "retry", "half_open")
REQUIRED = {"entry": ("model",), "breaker": ("when",), "route": ("primary",)}


class Reader:
    """Reads one tree; `problems` says what is wrong, `warnings` what is odd, `tree` is the file in its long form."""

    def __init__(self, source: str) -> None:
        self.problems = Problems(source)
        self.warnings: list[str] = []
        self.tree: dict[str, Any] = {}

    def policy(self, root: Item) -> tuple[dict[str, Any], tuple[Route, ...]]:
        """Return the file's own attributes and its routes.

        Raises
        ------
        InvalidPolicy
            With everything that is wrong in it.
        """
        top = {key: item for key, item in root.value.items() if key not in {"routes", "defaults"}}
        attributes = self.section(Item(top, root.line), "policy", "")
        defaults = self.defaults(root.value.get("defaults", Item({})))
        routes = root.value.get("routes")
        if routes is None:
            self.problems.add(Item(None), "has no `routes:`: a policy is a list of them")
        elif not isinstance(routes.value, list):
            self.problems.add(routes, "routes: must be a list, each route beginning with `- intent: ...`")
        elif not routes.value:
            self.problems.add(routes, "routes: is empty: a policy has at least one route")
        items = routes.value if routes and isinstance(routes.value, list) else []
        long = [self.lengthened(item, defaults, f"routes[{i}]") for i, item in enumerate(items)]
        found = [self.route(item, f"routes[{i}]") for i, item in enumerate(long) if item.value]
        self.problems.check()
        self.tree = top | {"routes": Item(long)}
        return attributes, self.named([route for route in found if route])

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
        return merged

    def entry_item(self, item: Item, path: str) -> Item:
        """Return one fallback entry as a mapping."""
        return self.short_keys(item, path) if isinstance(item.value, dict) else Item({"model": item}, item.line)

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
        special = {"intent", "fallback"} if section == "route" else set()
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
                    found[key.attribute] = key.read(**inner)
            elif (result := self.value(value, key.read, dot + name)) is not None:
                found[key.attribute] = result
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
        """Yield the conditions in a rule that cannot be read, each at its own line."""
        is_group = isinstance(item.value, dict)
        groups = [item.value[key] for key in ("any", "all", "of") if key in item.value] if is_group else [item]
        for group in groups:
            for leaf in group.value if isinstance(group.value, list) else [group]:
                if isinstance(leaf.value, str):
                    try:
                        Condition.parse(leaf.value)
                    except InvalidPolicy as error:
                        yield leaf, f"{path}: {error}"

    def route(self, item: Item, path: str) -> Route | None:
        """Return one route; its name is given later."""
        count = len(self.problems.found)
        found = self.section(item, "route", path)
        found["intent"] = self.intents(item, path)
        entries = item.value.get("fallback", Item([]))
        found["fallback"] = tuple(self.entry(entry, f"{path}.fallback[{i}]") for i, entry in enumerate(entries.value))
        if len(self.problems.found) > count or "primary" not in found:
            return None
        route = Route(name="", **found)
        self.check(route, item, path)
        return route

    def intents(self, item: Item, path: str) -> tuple[str, ...]:
        """Return the intents of a route."""
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
        words = LATER_KEYS["entry"]
        model = item.value.get("model")
        word = model.value if model and model.value in ("human", "reject") else None
        word = word or next((key for key in item.value if key in words), None)
        if word:
            self.problems.add(item, f"{path}: {later(f'`{word}` in a fallback')}")
            return Entry("")
        return Entry(**({"model": ""} | self.section(item, "entry", path)))

    def check(self, route: Route, item: Item, path: str) -> None:
        """Note what contradicts itself in a route, and warn of what has no effect."""
        models = [entry.model for entry in route.chain]
        if twice := next((model for i, model in enumerate(models) if model in models[:i]), None):
            self.problems.add(item.value["fallback"], f"{path}.fallback: {twice!r} stands twice in the chain")
        timeout_ms = route.retry.timeout_ms
        for i, entry in enumerate(route.chain):
            if entry.breaker is None:
                continue
            where = item if i == 0 else item.value["fallback"].value[i - 1]
            line, at = where.value["breaker"], path if i == 0 else f"{path}.fallback[{i - 1}]"
            self.breaker(entry.breaker, timeout_ms, line.value["when"], f"{at}.breaker")
            if i == len(models) - 1:
                self.warnings.append(f"{at}.breaker has no effect: the last entry of a chain is never skipped")
        if route.retry.attempts and not route.retry.retry_on:
            self.warnings.append(f"{path}.retry: nothing is retried: attempts is set, but retry_on names no failure")

    def breaker(self, breaker: Breaker, timeout_ms: int | None, item: Item, path: str) -> None:
        """Note conditions that can never be told from a timeout, or that count nothing."""
        for condition in breaker.conditions:
            if condition.kind == "error" and not breaker.errors:
                self.problems.add(item, f"{path}.errors is empty, and {condition.text!r} counts the classes in it")
            if timeout_ms and condition.limit_ms is not None and condition.limit_ms >= timeout_ms:
                message = (
                    f"{path}: {condition.text!r} is not below retry.timeout_ms ({timeout_ms}): a call cut off there is "
                    "known only to be at least that slow. Lower the threshold or raise the timeout"
                )
                self.problems.add(item, message)
        if breaker.half_open.when and not breaker.half_open.requests:
            self.warnings.append(f"{path}.half_open.when is never asked: requests is 0, so the cooldown alone decides")

    def named(self, routes: list[Route]) -> tuple[Route, ...]:
        """Return the routes with unique names, and warn of intents that an earlier route takes."""
        named: dict[str, Route] = {}
        plain: dict[str, str] = {}
        globs: list[tuple[str, str]] = []
        for i, route in enumerate(routes):
            base, count = "+".join(route.intent), 1
            name = base
            while name in named:
                count += 1
                name = f"{base}#{count}"
            for intent in route.intent:
                first = plain.get(intent) or next((taker for glob, taker in globs if _covers(glob, intent)), None)
                if first is not None:
                    self.warnings.append(f"routes[{i}]: intent {intent!r} never matches here: route {first!r} takes it")
            for intent in route.intent:
                if _WILD.search(intent):
                    globs.append((intent, name))
                else:
                    plain.setdefault(intent, name)
            named[name] = replace(route, name=name)
        return tuple(named.values())


def _merge(defaults: Item, own: Item) -> Item:
    merged = defaults.value | own.value
    for key in MERGED:
        if key in defaults.value and key in own.value:
            one, other = defaults.value[key], own.value[key]
            if isinstance(one.value, dict) and isinstance(other.value, dict):
                merged[key] = _merge(one, other)
    return Item(merged, own.line)


def _covers(glob: str, intent: str) -> bool:
    """Return whether `glob` takes whatever `intent` would: an intent, or a glob within it."""
    if glob == intent or not _WILD.search(intent):
        return glob == intent or takes(glob, intent)
    return intent != "*" and "?" not in glob and takes(glob, intent)
