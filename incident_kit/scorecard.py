"""Scorecard: policies side by side over the same requests, every number with its interval and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.errors import InvalidPolicy, NoSuchItem
from incident_kit.evidence import LABELS, Estimator
from incident_kit.intervals import interval
from incident_kit.metrics import Metric, metric, shares
from incident_kit.phases import Phase
from incident_kit.policy import Policy
from incident_kit.replays import Replay, on_draw, replay
from incident_kit.tallies import TALLIES, of_primaries

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.sources import Answer

AS_LOGGED = "as logged"
ALL = "all"
NO_INTENT = "(no intent)"
DEFAULT_METRICS = (
    "p50_ms", "p95_ms", "error_rate", "tool_success_rate", "override_rate", "fallback_rate", "cost_per_request",
)  # fmt: skip
WITHHELD = 0.02  # more requests without any evidence than this, and there is no estimate
DECIDED = ("fallback_rate",)  # known from the decision, whatever came of it
TABLE: dict[str, Any] = {
    "policy": pl.String, "intent": pl.String, "metric": pl.String, "observed": pl.Float64, "estimate": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "bound_low": pl.Float64, "bound_high": pl.Float64,
    **{f"share_{label}": pl.Float64 for label in LABELS}, "share_no_model": pl.Float64, "flags": pl.List(pl.String),
    "n": pl.Int64, "diff": pl.Float64, "diff_low": pl.Float64, "diff_high": pl.Float64,
}  # fmt: skip
DIFFERENCE: dict[str, Any] = {
    "intent": pl.String, "metric": pl.String, "estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64,
}  # fmt: skip
Values = dict[tuple[str, str], NDArray[np.float64]]  # (intent or ALL, metric) to one value a draw


@dataclass(frozen=True)
class Board:
    """Policies replayed over one incident, ``as logged`` first; ``during`` is the span that is scored.

    Intervals are over ``draws`` draws of the outcomes that the log does not hold, the same ones for every policy.
    """

    incident: Incident
    replays: Mapping[str, Replay]
    metrics: tuple[Metric, ...]
    during: tuple[datetime, datetime] | None = None
    draws: int = 0
    seed: int = 0

    def table(self, *, by: str | None = None) -> pl.DataFrame:
        """Return one row a policy and metric (``by="intent"``: and intent).

        Columns: policy, intent ("all" without ``by``), metric, observed (as logged), estimate (under the policy: the mean
        over draws; NULL where the logs cannot tell for over 2 % of the requests, for what is left would be other requests
        than the log's), low and high (between which nine draws in ten lie), bound_low and bound_high (every outcome that was
        not observed at its best, and at its worst; NULL where the metric has no such bounds), the shares of evidence labels,
        share_no_model, flags, n (requests), and diff, diff_low, diff_high: estimate minus observed.
        """
        if by not in {None, "intent"}:
            raise NoSuchItem(f"a scorecard is by intent, or by nothing, not by {by!r}")
        rows = []
        for name, one in self.replays.items():
            frame = self._cut(one.outcomes, one)
            keys = pl.lit(ALL) if by is None else pl.col("key")
            groups = frame.group_by(keys.alias("intent"), maintain_order=True).agg(self._aggregations())
            said = self._flagged[name]
            for group in groups.iter_rows(named=True):
                rows += [self._row(name, group, of, said) for of in self.metrics]
        return pl.DataFrame(rows, schema=TABLE).sort("intent", maintain_order=True)

    def difference(self, a: str, b: str, *, by: str | None = None) -> pl.DataFrame:
        """Return how much more one policy has of each metric than another, on common draws: estimate, low, high.

        Raises
        ------
        NoSuchItem
            There is no such policy on the board.
        """
        for name in (a, b):
            if name not in self.replays:
                raise NoSuchItem(f"there is no policy {name!r} on this board; there are {', '.join(self.replays)}")
        rows = []
        for intent, of in self._values[a]:
            other = self._values[b].get((intent, of))
            if (intent == ALL) == (by is None) and other is not None:
                told = self._is_told(a, intent, of) and self._is_told(b, intent, of)
                ends = interval(self._values[a][intent, of] - other) if told else (None, None, None)
                rows.append((intent, of, *ends))
        return pl.DataFrame(rows, schema=DIFFERENCE, orient="row").sort("intent", maintain_order=True)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What a reader must know before believing the table, each once."""
        return tuple(dict.fromkeys(f"{name}: {said}" for name, one in self.replays.items() for said in one.caveats))

    def _cut(self, frame: pl.DataFrame, one: Replay) -> pl.DataFrame:
        """Return the outcomes to be scored, with the intent that they count for, and whether they are extrapolated."""
        model = getattr(one.estimator, "is_extrapolated", None)
        far = model(one.outcome.target) & (one.outcome.evidence > 0) if model else np.zeros(len(one.log), np.bool_)
        keyed = frame.with_columns(
            pl.col("intent").cast(pl.String).fill_null(NO_INTENT).alias("key"), pl.Series("extrapolated", far)
        )
        if self.during is None:
            return keyed
        start, end = self.during
        return keyed.filter(pl.col("at") >= start, pl.col("at") < end)

    def _aggregations(self) -> list[pl.Expr]:
        found = [pl.len().alias("n"), *shares(LABELS)]
        found += [pl.col("no_model").is_not_null().mean().alias("share_no_model"), pl.col("extrapolated").mean()]
        estimated = pl.col("evidence") != "observed"
        found.append((pl.col("tools_disabled") & estimated).mean().alias("without_tools"))
        for one in self.metrics:
            for side, end in (("/low", one.low), ("/high", one.high)):
                found += [end.alias(one.name + side)] if end is not None else []
        return found

    def _row(self, policy: str, group: dict[str, Any], one: Metric, said: Sequence[str]) -> dict[str, Any]:
        intent = group["intent"]
        row: dict[str, Any] = dict.fromkeys(TABLE)
        row |= {name: group[name] for name in group if name in TABLE}
        row |= {"policy": policy, "metric": one.name, "flags": []}
        if not group["n"]:
            return row
        answer = self.incident.answers.get(one.question or "")
        is_answered = answer is None or answer.answer != "no"
        row["flags"] = [*_flags(one, group, answer), *said]
        if not is_answered:
            return row
        own = self._values[policy][intent, one.name]
        logged = self._values[AS_LOGGED].get((intent, one.name))
        row["observed"] = interval(logged)[0] if logged is not None else None
        if self._is_told(policy, intent, one.name):
            row["estimate"], low, high = interval(own)
            _, row["diff_low"], row["diff_high"] = interval(own - logged) if logged is not None else (None,) * 3
            row["diff"] = None if row["observed"] is None else _minus(row["estimate"], row["observed"])
            if self._is_drawn(policy):
                row["low"], row["high"] = low, high
            else:
                row["diff_low"] = row["diff_high"] = None
        for bound, end, better in (("bound_low", "low", min), ("bound_high", "high", max)):
            if (value := group.get(f"{one.name}/{end}")) is not None:
                # decisions of other draws than the central one may lie outside
                row[bound] = value if row[end] is None else better(value, row[end])
        return row

    def _is_drawn(self, policy: str) -> bool:
        one = self.replays[policy]
        return one.is_certain or (self.draws > 0 and hasattr(one.estimator, "at"))

    def _is_told(self, policy: str, intent: str, of: str) -> bool:
        """Return whether an estimate is of the log's own requests: without those that cannot be told it would not be."""
        return metric(of).is_decided or self._unknown[policy].get(intent, 0.0) <= WITHHELD

    @cached_property
    def _unknown(self) -> dict[str, dict[str, float]]:
        """The share of requests without any evidence, by policy and intent."""
        found = {}
        for name, one in self.replays.items():
            frame = self._cut(one.outcomes, one).select("key", (pl.col("evidence") == "none").alias("none"))
            by_intent = frame.group_by("key").agg(pl.col("none").mean())
            found[name] = dict(by_intent.iter_rows()) | {ALL: float(frame["none"].mean() or 0)}  # type: ignore[arg-type]
        return found

    @cached_property
    def _flagged(self) -> dict[str, list[str]]:
        """What no interval can say of itself, by policy: load and selection beyond the log's."""
        from incident_kit.flags import load, selection

        found: dict[str, list[str]] = {}
        for name, one in self.replays.items():
            found[name] = []
            if one.is_certain:
                continue
            busy = load(one).filter("flagged")["target"].to_list()
            found[name] += [f"beyond observed load: {target}" for target in busy]
            if hasattr(one.estimator, "cells"):
                apart = selection(one, one.estimator.cells).filter("flagged")
                found[name] += [f"selection: {row['target']}, {row['trait']}" for row in apart.iter_rows(named=True)]
        return found

    @cached_property
    def _values(self) -> dict[str, Values]:
        """Every metric of every policy by intent and over all, one value a draw, streamed: no draw is kept."""
        draws = max(self.draws, 1)
        found: dict[str, Values] = {name: {} for name in self.replays}
        for draw in range(draws):
            for name, central in self.replays.items():
                if self.draws and not central.is_certain:
                    one = on_draw(central, draw, draws=self.draws, seed=self.seed)
                elif draw:
                    continue
                else:
                    one = central
                for key, value in self._scored(one, is_log=name == AS_LOGGED):
                    kept = found[name].setdefault(key, np.full(draws, np.nan))
                    kept[slice(None) if one is central else draw] = np.nan if value is None else value
        return found

    def _scored(self, one: Replay, *, is_log: bool) -> Iterator[tuple[tuple[str, str], float | None]]:
        frame = self._cut(one.outcomes, one)
        valued = [of.value.alias(of.name) for of in self.metrics if not of.tally]
        names = [of.name for of in self.metrics if not of.tally]
        whole = frame.group_by(pl.lit(ALL).alias("key")).agg(valued)
        rows = pl.concat([whole, frame.group_by("key", maintain_order=True).agg(valued)])
        for key, *values in rows.select("key", *names).iter_rows():
            yield from (((key, name), value) for name, value in zip(names, values, strict=True))
        counted = [of.name for of in self.metrics if of.tally]
        if not counted:
            return
        span = self._span_us
        impact = self._impact_us
        for key in rows["key"]:
            changes = of_primaries(one, None if key == ALL else key)
            yield from (((key, name), None if is_log else TALLIES[name](changes, span, impact)) for name in counted)

    @cached_property
    def _span_us(self) -> tuple[int, int]:
        if self.during is not None:
            return _us(self.during[0]), _us(self.during[1])
        arrived = self.incident.log.arrived_us
        return (int(arrived[0]), int(arrived[-1]) + 1) if len(arrived) else (0, 1)

    @cached_property
    def _impact_us(self) -> tuple[int, int] | None:
        try:
            begin, end = self.incident.span("impact")
        except NoSuchItem:
            return None
        return _us(begin), _us(end)


def _flags(one: Metric, group: dict[str, Any], answer: Answer | None) -> list[str]:
    """Return what a reader of one number must know, in short."""
    flags = []
    if answer is not None and answer.answer == "no":
        flags.append(f"not in this log: {answer.why}")
    elif answer is not None and answer.answer == "lower bound":
        flags.append(f"lower bound: {answer.why}")
    if group["share_none"]:
        flags.append(f"these logs cannot tell for {group['share_none']:.0%} of the requests")
    if group["extrapolated"]:
        flags.append(f"extrapolated: {group['extrapolated']:.0%} on a degraded target that was not seen then")
    if group["without_tools"]:
        share = f"{group['without_tools']:.0%}"
        flags.append(f"tools differ: {share} answered without tools, judged by answers of other requests")
    if one.name == "cost_per_request" and group["share_observed"] + group["share_none"] < 1:
        flags.append("last call only: a borrowed outcome brings the cost of its own call, not of those before it")
    return flags


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def compare(
    incident: Incident,
    policies: Mapping[str, Policy] | Sequence[Policy],
    *,
    during: str | tuple[datetime, datetime] | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    draws: int = 50,
    seed: int = 0,
    estimator: Estimator | None = None,
) -> Board:
    """Return policies side by side with what was logged.

    Parameters
    ----------
    during
        A phase of the incident or two instants; the replay always covers the whole log, only the scoring is cut.
    metrics
        Names such as ``p95_ms``, ``slow_rate(8000ms)``, ``served_share(small)`` or ``switches``.
    draws, seed
        How often the outcomes that the log does not hold are drawn, for the intervals; 0: no intervals. They are drawn when
        the table is first asked.
    estimator
        In place of the incident's model.

    Raises
    ------
    NoSuchItem
        A metric or phase is not there.
    InvalidPolicy
        Two policies have the same name, or one has that of the log.
    InvalidCase
        An instant of ``during`` has no zone, or the span ends before it begins.
    """
    named = policies if isinstance(policies, Mapping) else _by_name(policies)
    if AS_LOGGED in named:
        raise InvalidPolicy(f"a policy cannot be named {AS_LOGGED!r}: that is what happened; give it another name:")
    chosen = tuple(metric(name) for name in dict.fromkeys(metrics))
    if isinstance(during, str):
        during = incident.span(during)
    elif during is not None:
        Phase("note", *during)  # its instants have a zone, and are in order
    replays = {AS_LOGGED: replay(incident, Policy(name=AS_LOGGED, routes=()))}
    replays |= {name: replay(incident, policy, estimator=estimator) for name, policy in named.items()}
    return Board(incident, replays, chosen, during, draws, seed)


def _by_name(policies: Sequence[Policy]) -> dict[str, Policy]:
    """Return policies by name; the same one twice is there once."""
    named: dict[str, Policy] = {}
    for policy in policies:
        if named.setdefault(policy.name, policy) != policy:
            raise InvalidPolicy(
                f"two different policies are named {policy.name!r}: give one another name: in its file, "
                "or pass a mapping of names to policies"
            )
    return named
