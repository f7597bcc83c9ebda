"""What contradicts itself in a route or an alert, and what in it has no effect."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from incident_kit.durations import show_duration
from incident_kit.errors import did_you_mean
from incident_kit.policies.conditions import Rule
from incident_kit.policies.policytree import Item, Problems
from incident_kit.policies.policyvalues import share_a_failure
from incident_kit.policies.routes import Alert, Breaker, Entry, Route, takes
from incident_kit.policies.vocabulary import FEEDBACK

WILD = re.compile(r"[*?]")
LONGEST_CHAIN = 32
MOST_SWITCHES = 100
OF_CLASSES = frozenset({"error", "consecutive"})


class Checks:
    """Checks what has been read; `problems` collects what is wrong, `warnings` what is odd."""

    def __init__(self, problems: Problems, warnings: list[str]) -> None:
        self.problems = problems
        self.warnings = warnings

    def route(self, route: Route, item: Item, path: str) -> None:
        """Note what contradicts itself in a route, and warn of what has no effect."""
        chain, first = route.chain, len(route.primaries)
        labels = [entry.label for entry in chain]
        if len(labels) > LONGEST_CHAIN:
            self.problems.add(item, f"{path}: a chain of {len(labels)} entries; {LONGEST_CHAIN} are the most")
            return
        if twice := next((label for i, label in enumerate(labels) if label in labels[:i]), None):
            where = item.value.get("fallback", item.value["primary"])
            self.problems.add(where, f"{path}.fallback: {twice!r} stands twice in the chain")
        for i, entry in enumerate(chain):
            at = path if i < first else f"{path}.fallback[{i - first}]"
            where = item if i < first else item.value["fallback"].value[i - first]
            last = i == len(chain) - 1
            if entry.breaker is not None and (i == 0 or i >= first):
                self.breaker(entry.breaker, route, where.value["breaker"], f"{at}.breaker")
            if entry.breaker is not None and last:
                self.warnings.append(f"{at}.breaker has no effect: the last entry of a chain is never skipped")
            self.entry(entry, route, where, at, last=last)
        self.reached(route, path)
        self.switches(route, labels, item, path)
        if route.retry.attempts and not route.retry.retry_on:
            self.warnings.append(f"{path}.retry: nothing is retried: attempts is set, but retry_on names no failure")

    def entry(self, entry: Entry, route: Route, item: Item, path: str, *, last: bool) -> None:
        """Check one entry's place in its chain."""
        if entry.only_for and last:
            message = f"{path}: `only_for` may not stand on the last entry of a chain: it is taken whatever failed"
            self.problems.add(item, message)
        elif entry.only_for and not share_a_failure(entry.only_for, route.fallback_on):
            classes = ", ".join(entry.only_for)
            self.warnings.append(f"{path} is never taken: fallback_on names none of its classes ({classes})")
        if entry.queue_ms and route.deadline_ms and entry.queue_ms >= route.deadline_ms:
            self.warnings.append(
                f"{path}: a hold of {show_duration(entry.queue_ms)} outlasts deadline_ms ({route.deadline_ms}): "
                "who waits that long ends there"
            )

    def reached(self, route: Route, path: str) -> None:
        """Warn of entries behind one that ends every request."""
        for i, entry in enumerate(route.fallback[:-1]):
            if entry.kind in {"template", "human", "reject"} and not entry.only_for:
                behind = [one.label for one in route.fallback[i + 1 :]]
                if not any(switch.to in behind for switch in route.switches):
                    self.warnings.append(
                        f"{path}.fallback: {', '.join(behind)} is never reached: {entry.label} ends every request"
                    )
                return

    def switches(self, route: Route, labels: Sequence[str], item: Item, path: str) -> None:
        """Check that a switch by hand leads somewhere, ends after it begins, and overlaps no other."""
        items = item.value["switch"].value if route.switches else []
        if len(items) > MOST_SWITCHES:
            self.problems.add(item, f"{path}.switch: {len(items)} switches by hand; {MOST_SWITCHES} are the most")
            return
        for i, (switch, where) in enumerate(zip(route.switches, items, strict=True)):
            at = f"{path}.switch[{i}]"
            if switch.to not in labels:
                hint = did_you_mean(switch.to, labels)
                message = f"{at}.to: {switch.to!r} is not in the chain{hint}; its entries are {', '.join(labels)}"
                self.problems.add(where.value["to"], message)
            if switch.end is not None and switch.end <= switch.start:
                self.problems.add(where.value["until"], f"{at}.until is not after `from`")
            for j, other in enumerate(route.switches[:i]):
                begins = other.end is None or switch.start < other.end
                if begins and (switch.end is None or other.start < switch.end):
                    self.problems.add(where, f"{at} overlaps switch[{j}]: an arrival has one start")
                    break

    def breaker(self, breaker: Breaker, route: Route, section: Item, path: str) -> None:
        """Note conditions that can never be told from a timeout, that count nothing, or that nothing would end."""
        item = section.value["when"]
        self.errors_counted(breaker, item, path)
        retry, half_open = route.retry, breaker.half_open
        for condition in breaker.conditions:
            limit_ms = int(condition.threshold) if condition.kind == "mean" else condition.limit_ms
            bounds = [("retry.timeout_ms", retry.timeout_ms)]
            bounds += [("retry.ttft_timeout_ms", retry.ttft_timeout_ms)] if condition.kind == "ttft" else []
            for name, bound in bounds:
                if bound and limit_ms is not None and limit_ms >= bound:
                    message = (
                        f"{path}: {condition.text!r} is not below {name} ({bound}): a call cut off there is "
                        "known only to be at least that slow. Lower the threshold or raise the timeout"
                    )
                    self.problems.add(item, message)
            if limit_ms is not None and route.deadline_ms and limit_ms >= route.deadline_ms:
                self.warnings.append(
                    f"{path}: {condition.text!r} is rarely seen: deadline_ms ({route.deadline_ms}) cuts calls before"
                )
        if breaker.no_data == "breach" and breaker.every_ms is None:
            message = f"{path}.no_data: `breach` needs `every: D`, a sweep: without observations nothing would ask"
            self.problems.add(section.value["no_data"], message)
        if half_open.when and not half_open.requests:
            self.warnings.append(f"{path}.half_open.when is never asked: requests is 0, so the cooldown alone decides")
        if half_open.requests and not half_open.when:
            self.recovery(breaker.when, item, path)

    def recovery(self, when: Rule, item: Item, path: str) -> None:
        """Check that probes can tell whether the condition of a breaker has passed."""
        if all(leaf.kind == "alert" for leaf in when.leaves):
            message = (
                f"{path}: an alert is not judged when the primary is tried again: add `half_open: {{when: ...}}`, "
                "or `half_open: {requests: 0}` to return when the cooldown ends"
            )
            self.problems.add(item, message)
        late = [leaf.metric for leaf in when.leaves if leaf.kind in FEEDBACK]
        if late:
            self.warnings.append(
                f"{path}: {late[0]} is rarely known when the probes are in, and what is not known is not passed: "
                "say in half_open.when what they must show"
            )

    def errors_counted(self, owner: Breaker | Alert, item: Item, path: str) -> None:
        """Note a condition on failures where no class is one."""
        leaves = owner.conditions if isinstance(owner, Breaker) else owner.when.leaves
        for condition in leaves:
            if condition.kind in OF_CLASSES and not owner.errors:
                self.problems.add(item, f"{path}.errors is empty, and {condition.text!r} counts the classes in it")

    def named(self, routes: Sequence[Route]) -> tuple[Route, ...]:
        """Return the routes with unique names, and warn of intents that an earlier route takes."""
        named: dict[str, Route] = {}
        plain: dict[str, str] = {}
        globs: list[tuple[str, str]] = []
        counts: dict[str, int] = {}
        for i, route in enumerate(routes):
            base = "+".join(route.intent)
            name = base
            while name in named:
                counts[base] = counts.get(base, 1) + 1
                name = f"{base}#{counts[base]}"
            for intent in route.intent:
                first = plain.get(intent) or next((taker for glob, taker in globs if _covers(glob, intent)), None)
                if first is not None:
                    self.warnings.append(f"routes[{i}]: intent {intent!r} never matches here: route {first!r} takes it")
            for intent in () if route.match else route.intent:
                if WILD.search(intent):
                    globs.append((intent, name))
                else:
                    plain.setdefault(intent, name)
            named[name] = replace(route, name=name)
        return tuple(named.values())


def _covers(glob: str, intent: str) -> bool:
    """Return whether `glob` takes whatever `intent` would: an intent, or a glob within it."""
    if glob == intent or not WILD.search(intent):
        return glob == intent or takes(glob, intent)
    return intent != "*" and "?" not in glob and takes(glob, intent)
