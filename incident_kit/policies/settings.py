"""Settings: one policy at many values of its own keys, every one checked, and which of them lie next to one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.errors import InvalidPolicy, NoSuchItem
from incident_kit.policies.conditions import Rule
from incident_kit.policies.policyedit import steps_of
from incident_kit.policies.policywriter import inline, long_form
from incident_kit.stats.draws import uniforms

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy

MOST = 2_000  # settings of one sweep


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a sweep: its number (0 is the policy as it stands), its value at each path, and the policy."""

    number: int
    values: tuple[Any, ...]
    policy: Policy


def settings_of(
    policy: Policy, grid: Mapping[str, Iterable[Any]], *, random: int | None = None, seed: int = 0
) -> tuple[list[Setting], dict[str, list[Any]]]:
    """Return the policy as it stands and its copies, each checked, and the grid's values by path, each once.

    With ``random``, at most so many of the combinations, drawn by ``seed``.

    Raises
    ------
    NoSuchItem
        A path leads nowhere, or has no values.
    InvalidPolicy
        A value cannot stand at its path, or there are over 2,000 settings.
    """
    listed = {path: list(dict.fromkeys(values)) for path, values in grid.items()}
    if not listed or not all(listed.values()):
        raise NoSuchItem("a sweep needs a path and its values: {'refund-policy.max_p95_ms': range(1500, 6001, 250)}")
    size = prod(map(len, listed.values()))
    wanted = size if random is None else min(random, size)
    if wanted > MOST:
        raise InvalidPolicy(f"{wanted:,} settings are too many to replay (at most {MOST:,}): random=200 draws some")
    here = tuple(value_at(policy, path) for path in listed)
    combinations: Iterable[tuple[Any, ...]] = product(*listed.values())
    if wanted < size:
        combinations = (_combination(listed, i) for i in _drawn(size, wanted, seed))
    found = [Setting(0, here, policy)]
    for values in combinations:
        if values == here:
            continue
        changed = policy
        for path, value in zip(listed, values, strict=True):
            changed = changed.with_value(path, value)
        found.append(Setting(len(found), values, changed))
    return found, listed


def value_at(policy: Policy, path: str) -> Any:
    """Return the value that a policy has at a path, as a file would write it; None where it says nothing.

    Raises
    ------
    NoSuchItem
        The path leads nowhere.

    Examples
    --------
    >>> from incident_kit.policies.policy import Policy
    >>> policy = Policy.parse("routes: [{intent: refund, primary: big, fallback: small, max_p95_ms: 3500}]")
    >>> value_at(policy, "refund.max_p95_ms"), value_at(policy, "refund.breaker.cooldown")
    (3500, '60s')
    """
    node: Any = long_form(policy)
    steps = steps_of(policy, path)
    for i, step in enumerate(steps):
        if isinstance(step, str) and i and steps[i - 1] == "when":
            return _threshold(node, step)
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def named(paths: Sequence[str], values: Sequence[Any]) -> str:
    """Return a setting in words: ``"refund.max_p95_ms 2500, refund.breaker.cooldown 60s"``."""
    return ", ".join(f"{path} {inline(value)}" for path, value in zip(paths, values, strict=True))


def column(values: Sequence[Any], all_values: Sequence[Any]) -> pl.Series:
    """Return values at one path as a column of one type whichever of them are there: numbers where all are, else text."""
    numbers = [value for value in all_values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(all_values) and all(isinstance(one, int | float | None) for one in values):
        whole = all(isinstance(one, int) for one in numbers)
        return pl.Series(values, dtype=pl.Int64 if whole else pl.Float64, strict=False)
    return pl.Series(
        [None if one is None else one if isinstance(one, str) else inline(one) for one in values], dtype=pl.String
    )


def neighbours(settings: Sequence[Setting], grid: Mapping[str, Sequence[Any]]) -> list[list[int]]:
    """Return for each setting the positions of those one step away: one value is the next one, all others are the same.

    Of settings that have no such neighbour, as of random draws, the nearest two a path are taken, in steps.
    """
    places = [
        tuple(_place(values, value) for values, value in zip(grid.values(), one.values, strict=True))
        for one in settings
    ]
    found = []
    for mine in places:
        apart = [
            sum(abs(a - b) for a, b in zip(mine, other, strict=True)) if other != mine else float("inf")
            for other in places
        ]
        near = [i for i, steps in enumerate(apart) if steps <= 1]
        found.append(near or sorted(range(len(apart)), key=apart.__getitem__)[: min(2 * len(grid), len(apart) - 1)])
    return found


def is_at_edge(setting: Setting, grid: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the paths at which a setting has the lowest or the highest of at least three numbers that were tried."""
    found = []
    for (path, values), value in zip(grid.items(), setting.values, strict=True):
        numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
        if len(numbers) == len(values) > 2 and value in {min(numbers), max(numbers)}:
            found.append(path)
    return found


def _place(values: Sequence[Any], value: Any) -> float:
    """Return where a value stands among those of its path, in steps; between two where it is not one of them."""
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if value in values and len(numbers) < len(values):
        return float(values.index(value))
    if len(numbers) < len(values) or not isinstance(value, int | float):
        return -2.0
    below = sum(one < value for one in numbers)
    return float(below) if value in numbers else below - 0.5


def _threshold(when: Any, metric: str) -> Any:
    """Return the number in a rule's one condition on a metric; None where there is not one."""
    fit = [leaf for leaf in Rule.parse(when).leaves if metric in {leaf.metric, leaf.text.rsplit(" ", 2)[0]}]
    if len(fit) != 1:
        return None
    text = fit[0].text.rsplit(" ", 1)[-1]
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text


def _drawn(size: int, wanted: int, seed: int) -> list[int]:
    """Return positions drawn without repetition, in order; fewer only where there are no more."""
    drawn: dict[int, None] = {}
    for one in uniforms(seed, "sweep", size=8 * wanted + 64).tolist():
        drawn.setdefault(int(one * size))
        if len(drawn) == wanted:
            break
    return sorted(drawn)


def _combination(grid: Mapping[str, Sequence[Any]], position: int) -> tuple[Any, ...]:
    values: list[Any] = []
    for options in reversed(list(grid.values())):
        position, i = divmod(position, len(options))
        values.append(options[i])
    return tuple(reversed(values))
