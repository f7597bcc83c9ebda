"""Changing a policy: one value by its path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from incident_kit.errors import InvalidPolicy, NoSuchItem, did_you_mean
from incident_kit.policies.conditions import Rule
from incident_kit.policies.grammar import KEYS, SHORT_KEY
from incident_kit.policies.policywriter import long_form
from incident_kit.policies.vocabulary import metric_of

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy

NAMES_FOLLOW = ("match", "primary", "when")  # behind these stands a name of the user's, dots and all
DECIMALS = {"number": 6, "dollars": 9}

_STEP = re.compile(r"(max_p[\d.]+_ms|\w+)|\[(\d+)\]")


def steps_of(policy: Policy, path: str) -> list[str | int]:
    """Return the steps of a path such as ``refund-policy.max_p95_ms``, ``routes[0].breaker.window`` or ``my-alert.for``.

    Raises
    ------
    NoSuchItem
        No route and no alert has that name.
    """
    places: dict[str, list[str | int]] = {alert.name: ["alerts", i] for i, alert in enumerate(policy.alerts)}
    places |= {f"alert {alert.name}": ["alerts", i] for i, alert in enumerate(policy.alerts)}
    places |= {route.name: ["routes", i] for i, route in enumerate(policy.routes)}
    name = max((name for name in places if path.startswith(f"{name}.")), key=len, default=None)
    rest = path if name is None else path[len(name) + 1 :]
    steps = split_path(rest)
    known = name is not None or steps[:1] in [["routes"], ["alerts"], *([key] for key in KEYS["policy"])]
    if not known or (rest and not steps):
        routes = ", ".join(route.name for route in policy.routes)
        alerts = f" or an alert ({', '.join(alert.name for alert in policy.alerts)})" if policy.alerts else ""
        hint = did_you_mean(path.split(".", maxsplit=1)[0], places)
        raise NoSuchItem(
            f"{path!r} leads nowhere{hint}: begin with a route ({routes}){alerts}, then the key, as in ROUTE.max_p95_ms"
        )
    return _long([*places.get(name or "", []), *steps])


def split_path(path: str) -> list[str | int]:
    """Return the steps of a path inside a policy's long form; none where it cannot be read."""
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        if steps[-1:] and steps[-1] in NAMES_FOLLOW and path[at - 1] == ".":
            return [*steps, path[at:]]
        step = _STEP.match(path, at)
        if step is None:
            return []
        steps.append(int(step[2]) if step[2] else step[1])
        at = step.end() + path.startswith(".", step.end())
    return steps


def _long(steps: list[str | int]) -> list[str | int]:
    last = steps[-1]
    if isinstance(last, str) and (short := SHORT_KEY.fullmatch(last)):
        where = ["when"] if steps[0] == "alerts" else ["breaker", "when"]
        return [*steps[:-1], *where, short[1]]
    return [*steps[:-1], "on_fallback", "tools"] if last == "disable_tools_on_fallback" else steps


def changed_tree(policy: Policy, path: str, value: Any) -> tuple[dict[str, Any], str]:
    """Return the long form with one value changed (None: removed), and the long path of the change."""
    tree, steps = long_form(policy), steps_of(policy, path)
    value = value.item() if hasattr(value, "item") else value
    if steps[-2:] == ["on_fallback", "tools"] and isinstance(value, bool):
        value = "disabled" if value else "enabled"
    metric = steps.pop() if "when" in steps and steps[-1] != "when" else None
    node: Any = tree
    for i, step in enumerate(steps[:-1]):
        if isinstance(node, dict) and isinstance(step, str):
            if step == "cooldown" and isinstance(node.get(step), str):
                node[step] = {"base": node[step]}
            node = node.setdefault(step, {})
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            raise NoSuchItem(f"{path!r} leads nowhere: there is no {_joined(steps[: i + 1])}")
    last: Any = steps[-1]
    if isinstance(node, list) and isinstance(last, int) and last < len(node) and len(steps) > 2:
        node[last : last + 1] = [] if value is None else [value]
        return tree, _joined(steps)
    if not isinstance(node, dict) or not isinstance(last, str):
        raise NoSuchItem(f"{path!r} leads to no key that holds one value")
    if metric is not None:
        value = _threshold(node.get(last), str(metric), value)
    if value is None:
        node.pop(last, None)
    else:
        node[last] = list(value) if isinstance(value, tuple) else value
    return tree, _joined(steps)


def _joined(steps: list[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _threshold(when: Any, metric: str, value: Any) -> Any:
    """Return a rule with the number of its one condition on `metric` replaced."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidPolicy(f"the threshold of {metric} is a number, not {value!r}")
    if when is None:
        return f"{metric} > {_number(value, metric)}"
    rule = Rule.parse(when)
    fit = [leaf for leaf in rule.leaves if metric in {leaf.metric, leaf.text.rsplit(" ", 2)[0]}]
    if len(fit) != 1 or fit[0].kind == "alert":
        raise NoSuchItem(
            f"{len(fit) or 'no'} conditions on {metric} in {rule}: name one of its own metrics, or set breaker.when"
        )
    head, sign, _ = fit[0].text.rsplit(" ", 2)
    return _swapped(rule.tree(), fit[0].text, f"{head} {sign} {_number(value, head)}")


def _number(value: float | str, metric: str) -> str:
    """Return a number as the condition on a metric writes it; a float is rounded to the decimals that may stand there."""
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.{DECIMALS.get(metric_of(metric)[1], 8)}f}"
    return text.rstrip("0").rstrip(".")


def _swapped(tree: Any, old: str, new: str) -> Any:
    if isinstance(tree, dict):
        return {
            key: inner if key in {"at_least", "alert"} else _swapped(inner, old, new) for key, inner in tree.items()
        }
    if isinstance(tree, list):
        return [_swapped(inner, old, new) for inner in tree]
    return new if tree == old else tree
