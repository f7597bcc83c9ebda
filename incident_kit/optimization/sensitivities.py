"""Sensitivities: what the verdict on a policy would be if what it leaves unsaid were something else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.durations import UNITS, parse_duration, show_duration
from incident_kit.errors import IncidentKitError, InvalidPolicy
from incident_kit.optimization.tuning import DRAWS, TOGETHER
from incident_kit.policies.policywriter import inline
from incident_kit.policies.settings import value_at
from incident_kit.scoring.scorecard import DEFAULT_METRICS, compare
from incident_kit.scoring.scores import AS_LOGGED

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy
    from incident_kit.scoring.scorecard import Board

TABLE: dict[str, Any] = {
    "path": pl.String, "value": pl.String, "other": pl.String, "metric": pl.String, "observed": pl.Float64,
    "difference": pl.Float64, "other_difference": pl.Float64, "change": pl.Float64, "verdict": pl.String,
    "other_verdict": pl.String, "would_change": pl.Boolean, "note": pl.String,
}  # fmt: skip
BETTER, WORSE, SAME, UNTOLD = "better", "worse", "no different", "cannot be told"
HIGHER = ("tool_success_rate",)
WORDS = {  # the words that may stand in place of one, next first
    "scope": ("route", "intent", "target"),
    "no_data": ("hold", "ok", "breach"),
    "observe": ("completed", "elapsed"),
    "tools": ("enabled", "disabled"),
    "sticky": ("none", "conversation"),
}
INSTEAD: dict[str, tuple[Any, ...]] = {"every": ("30s",), "for": ("30s",), "attempts": (1,), "backoff_ms": (200,)}
IDLE = ("version", "name", "owner", "reason", "decided", "review_by", "rehearsed", "note", "severity")
OF_RETRY = ("retry_on", "backoff_ms")  # without effect while there are no retries
_ROUTE = re.compile(r"routes\[(\d+)\]\.")
_WINDOW = re.compile(r"(\S+)( requests| tumbling)?")


def sensitivity(
    incident: Incident,
    policy: Policy,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    during: str | tuple[datetime, datetime] | None = None,
    least: float = 0.01,
    draws: int = DRAWS,
    seed: int = 0,
) -> pl.DataFrame:
    """Return what each implied value does to the verdict on a policy, one row a changed value and metric.

    Every value of ``policy.implied`` that a replay heeds is halved and doubled, or swapped for the other words that may stand
    there (a list: each item left out), one at a time, and the policy is compared with the log again. Columns: path, value,
    other, metric, observed (as logged), difference (policy less log), other_difference, change (of the difference), verdict
    and other_verdict (better, worse, no different, cannot be told), would_change, note (why a value could not be tried).
    Rows are sorted: those that would change the verdict first, then by the size of the change.

    Parameters
    ----------
    metrics, during
        As in :func:`compare`.
    least
        A difference of less than this share of what was logged is none; where there is an interval, one that holds 0 is
        none too.
    draws, seed
        As in :func:`compare`, with fewer draws. 0: no intervals, and any difference over ``least`` counts.

    Raises
    ------
    NoSuchItem
        A metric or phase is not there.
    UnansweredQuestion
        The policy itself asks what the logs do not hold.
    """
    options: dict[str, Any] = {"during": during, "metrics": metrics, "draws": draws, "seed": seed}
    tried: list[tuple[str, str, str, Policy]] = []
    refused: list[tuple[str, str, str, str]] = []
    for path, value in _heeded(policy):
        for other in _others(path.rsplit(".", 1)[-1], value):
            try:
                tried.append((_named(policy, path), inline(value), inline(other), policy.with_value(path, other)))
            except InvalidPolicy as error:
                refused.append((_named(policy, path), inline(value), inline(other), str(error)))
    base = _differences(compare(incident, {"as it stands": policy}, **options), least)["as it stands"]
    rows: list[tuple[Any, ...]] = []
    for first in range(0, len(tried), TOGETHER):
        lot = {str(first + i): one[3] for i, one in enumerate(tried[first : first + TOGETHER])}
        for name, found in _scored(incident, lot, options, least).items():
            path, value_said, other_said, _ = tried[int(name)]
            if isinstance(found, str):
                refused.append((path, value_said, other_said, found))
                continue
            for metric, (observed, was, verdict) in base.items():
                _, now, other_verdict = found[metric]
                change = None if was is None or now is None else now - was
                rows.append(
                    (
                        path, value_said, other_said, metric, observed, was, now, change, verdict, other_verdict,
                        verdict != other_verdict, "",
                    )
                )  # fmt: skip
    rows += [(*one[:3], *[None] * 8, one[3]) for one in refused]
    table = pl.DataFrame(rows, schema=TABLE, orient="row")
    size = (pl.col("change") / pl.col("observed").abs().clip(1e-9)).abs()
    keys = [pl.col("would_change"), size, "path", "other", "metric"]
    return table.sort(keys, descending=[True, True, False, False, False], nulls_last=True)


def verdicts(table: pl.DataFrame) -> tuple[str, ...]:
    """Return in words whether the verdict rests on what the policy left unsaid, worst first."""
    tried = table.filter(pl.col("would_change").is_not_null())
    if tried.is_empty():
        return ("The policy leaves nothing unsaid that a replay heeds.",)
    values = tried.select("path", "other").n_unique()
    moved = tried.filter("would_change")
    if moved.is_empty():
        return (f"The verdict stands: none of {values} other values of what the policy leaves unsaid would change it.",)
    said = [
        f"{row['path']} {row['other']} in place of {row['value']}: {row['metric']} would be {row['other_verdict']}, not "
        f"{row['verdict']}."
        for row in moved.iter_rows(named=True)
    ]
    paths = moved["path"].n_unique()
    first = (
        f"The verdict rests on {paths} value{'s' if paths > 1 else ''} that the policy leaves unsaid: write them out."
    )
    return (first, *said)


def _heeded(policy: Policy) -> Iterator[tuple[str, Any]]:
    """Yield the implied values that a replay heeds."""
    for implied in policy.implied:
        key = implied.path.rsplit(".", 1)[-1].split("[")[0]
        if key in IDLE or implied.path.startswith("alerts"):
            continue
        if key in OF_RETRY and not value_at(policy, f"{implied.path.rsplit('.', 1)[0]}.attempts"):
            continue
        value = value_at(policy, implied.path)
        if value is not None:
            yield implied.path, value


def _named(policy: Policy, path: str) -> str:
    """Return a path with its route's name in place of the number, where no other route has that name."""
    match = _ROUTE.match(path)
    names = [route.name for route in policy.routes]
    if match is None or names.count(name := names[int(match[1])]) > 1:
        return path
    return f"{name}.{path[match.end() :]}"


def _others(key: str, value: Any) -> Iterator[Any]:
    """Yield what may stand in place of a value: half and double, or other words."""
    if key in WORDS:
        yield from (word for word in WORDS[key] if word != value)
    elif isinstance(value, list) and key in {"fallback_on", "errors", "retry_on"}:
        yield from ([one for one in value if one != left_out] for left_out in value if len(value) > 1)
    elif value in {0, "0s", "completion"} if not isinstance(value, list | dict) else False:
        yield from INSTEAD.get(key, ())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if key == "share":
            yield value / 2
        else:
            yield from (one for one in (max(value // 2, 1), value * 2) if one != value)
    elif isinstance(value, str) and (match := _WINDOW.fullmatch(value)):
        yield from (half + (match[2] or "") for half in _scaled(match[1]))


def _scaled(text: str) -> Iterator[str]:
    """Yield half and double of a duration, or of a count."""
    if text.isdigit():
        yield from (str(max(int(text) // 2, 1)), str(2 * int(text)))
        return
    if not any(text.endswith(unit) for unit in UNITS):
        return
    milliseconds = parse_duration(text)
    yield from (show_duration(one) for one in (max(milliseconds // 2, 1), 2 * milliseconds))


Found = dict[str, tuple[float | None, float | None, str]]


def _scored(
    incident: Incident, lot: dict[str, Policy], options: dict[str, Any], least: float
) -> dict[str, Found | str]:
    """Return the differences of each policy of a lot, or why these logs cannot replay it."""
    found: dict[str, Found | str] = {}
    try:
        found |= _differences(compare(incident, lot, **options), least)
    except IncidentKitError as error:
        if len(lot) == 1:
            return {name: str(error) for name in lot}
        for name, policy in lot.items():
            found |= _scored(incident, {name: policy}, options, least)
    return found


def _differences(board: Board, least: float) -> dict[str, Found]:
    """Return for each policy and metric what was logged, the policy's difference to it, and the verdict."""
    table = board.table()
    found: dict[str, Found] = {}
    for row in table.iter_rows(named=True):
        if row["policy"] == AS_LOGGED:
            continue
        of_policy = found.setdefault(row["policy"], {})
        known = row["estimate"] is not None and row["observed"] is not None
        difference = row["estimate"] - row["observed"] if known else None
        of_policy[row["metric"]] = (row["observed"], difference, _verdict(row, difference, least))
    return found


def _verdict(row: dict[str, Any], difference: float | None, least: float) -> str:
    if difference is None:
        return UNTOLD
    if abs(difference) <= least * abs(row["observed"]):
        return SAME
    low, high = row.get("diff_low"), row.get("diff_high")
    if low is not None and high is not None and low <= 0 <= high:
        return SAME
    return BETTER if (difference < 0) != (row["metric"] in HIGHER) else WORSE
