"""Tuning: one policy at many settings, each replayed over the whole incident and scored like any other policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.conditions import Rule
from incident_kit.draws import uniforms
from incident_kit.errors import InvalidPolicy, NoSuchItem
from incident_kit.policyedit import steps_of
from incident_kit.policywriter import inline, long_form
from incident_kit.scorecard import DEFAULT_METRICS, compare

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policy import Policy

MOST = 2_000  # settings of one sweep
DRAWS = 20
TOGETHER = 4  # settings scored at once: between two lots a sweep can be stopped
SCORED = (
    "intent", "metric", "n", "observed", "estimate", "low", "high", "diff", "diff_low", "diff_high", "bound_low", "bound_high",
    "share_observed", "share_none", "flags",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a sweep: its number (0 is the policy as it stands), its value at each path, and the policy."""

    number: int
    values: tuple[Any, ...]
    policy: Policy


def sweep(
    incident: Incident,
    policy: Policy,
    grid: Mapping[str, Iterable[Any]],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    during: str | tuple[datetime, datetime] | None = None,
    by: str | None = None,
    most: int | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    progress: Callable[[int, int], object] | None = None,
) -> pl.DataFrame:
    """Return the scores of a policy at every setting of a grid, one row a setting and metric (``by="intent"``: and intent).

    Columns: setting (0 is the policy as it stands), is_current, one column a path of the grid, intent, metric, n, observed (as
    logged), estimate with low and high, diff (to the log) with diff_low and diff_high, bounds, share_observed, share_none,
    flags. All settings are replayed over the whole log, on the same draws of what was not observed, so that two of them
    differ by their decisions only. Every setting is checked before the first is replayed.

    Parameters
    ----------
    grid
        Values by path, as :meth:`Policy.with_value` takes them: ``{"refund-policy.max_p95_ms": range(1500, 6001, 250)}``. Of
        several paths every combination is a setting.
    metrics, during
        As in :func:`compare`.
    most
        At most so many settings, drawn at random (by ``seed``) from the combinations; by default all of them.
    seed, draws
        As in :func:`compare`, with fewer draws: a sweep has many settings. 0: no intervals.
    progress
        Called with the number of settings done, and of all, after each lot; where it returns False, the sweep stops and
        the settings done so far are returned.

    Raises
    ------
    NoSuchItem
        A path leads nowhere, or a metric or phase is not there.
    InvalidPolicy
        A value cannot stand at its path, or there are over 2,000 settings.
    """
    listed = {path: list(dict.fromkeys(values)) for path, values in grid.items()}
    settings = _settings(policy, listed, most=most, seed=seed)
    found = []
    for first in range(0, len(settings), TOGETHER):
        lot = settings[first : first + TOGETHER]
        named = {f"setting {one.number}": one.policy for one in lot}
        table = compare(incident, named, during=during, metrics=metrics, draws=draws, seed=seed).table(by=by)
        found.append(_scored(table, lot, listed))
        if progress is not None and progress(min(first + TOGETHER, len(settings)), len(settings)) is False:
            break
    return pl.concat(found)


def value_at(policy: Policy, path: str) -> Any:
    """Return the value that a policy has at a path, as a file would write it; None where it says nothing.

    Raises
    ------
    NoSuchItem
        The path leads nowhere.

    Examples
    --------
    >>> from incident_kit.policy import Policy
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


def _settings(policy: Policy, grid: Mapping[str, list[Any]], *, most: int | None, seed: int) -> list[Setting]:
    """Return the policy as it stands and its copies, each checked."""
    if not grid or not all(grid.values()):
        raise NoSuchItem("a sweep needs a path and its values: {'refund-policy.max_p95_ms': range(1500, 6001, 250)}")
    size = prod(map(len, grid.values()))
    if most is None and size > MOST:
        raise InvalidPolicy(
            f"{size:,} settings are too many to replay (at most {MOST:,}): say most=200 to draw some of them"
        )
    here = tuple(value_at(policy, path) for path in grid)
    chosen = range(size) if most is None or most >= size else _drawn(size, most, seed)
    combinations = list(product(*grid.values())) if size <= MOST else [_combination(grid, i) for i in chosen]
    wanted = [combinations[i] for i in chosen] if size <= MOST else combinations
    found = [Setting(0, here, policy)]
    for values in wanted:
        if values == here:
            continue
        changed = policy
        for path, value in zip(grid, values, strict=True):
            changed = changed.with_value(path, value)
        found.append(Setting(len(found), values, changed))
    return found


def _drawn(size: int, most: int, seed: int) -> list[int]:
    """Return positions drawn without repetition, in order; fewer only where there are no more."""
    drawn: dict[int, None] = {}
    u = uniforms(seed, "sweep", size=8 * most + 64)
    for one in u.tolist():
        drawn.setdefault(int(one * size))
        if len(drawn) == most:
            break
    return sorted(drawn)


def _combination(grid: Mapping[str, list[Any]], position: int) -> tuple[Any, ...]:
    values: list[Any] = []
    for options in reversed(list(grid.values())):
        position, i = divmod(position, len(options))
        values.append(options[i])
    return tuple(reversed(values))


def _scored(table: pl.DataFrame, lot: Sequence[Setting], grid: Mapping[str, list[Any]]) -> pl.DataFrame:
    """Return the scores of a lot with the settings' numbers and values."""
    keys = pl.DataFrame(
        {
            "policy": [f"setting {one.number}" for one in lot],
            "setting": pl.Series([one.number for one in lot], dtype=pl.Int64),
            "is_current": [one.number == 0 for one in lot],
            **{path: _column([one.values[i] for one in lot], values) for i, (path, values) in enumerate(grid.items())},
        }
    )
    return table.join(keys, on="policy", how="inner", maintain_order="right_left").select(
        "setting", "is_current", *grid, *SCORED
    )


def _column(values: list[Any], all_values: list[Any]) -> pl.Series:
    """Return a column of values at one path, of one type in every lot: numbers where all are, else as a file writes them."""
    numbers = [value for value in all_values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(all_values) and all(isinstance(one, int | float | None) for one in values):
        whole = all(isinstance(one, int) for one in numbers)
        return pl.Series(values, dtype=pl.Int64 if whole else pl.Float64, strict=False)
    return pl.Series(
        [None if one is None else one if isinstance(one, str) else inline(one) for one in values], dtype=pl.String
    )
