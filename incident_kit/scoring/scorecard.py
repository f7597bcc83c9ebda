"""Scorecard: policies side by side over the same requests, every number with its interval and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidPolicy, NoSuchItem, did_you_mean
from incident_kit.estimation.evidence import LABELS, Estimator
from incident_kit.policies.policy import Policy
from incident_kit.scoring.metrics import Metric, metric, shares
from incident_kit.scoring.replays import NEEDED, Replay, replay
from incident_kit.scoring.scores import AS_LOGGED, LEAST, MOST, VALUE, Values, scores
from incident_kit.scoring.windows import ALL, Window, window_of
from incident_kit.signals import signal_names
from incident_kit.sources import Answer
from incident_kit.stats.intervals import interval
from incident_kit.words import label

if TYPE_CHECKING:
    from incident_kit.helpdesk.consequences import Consequences
    from incident_kit.incident import Incident
    from incident_kit.scoring.carried import Carried

DEFAULT_METRICS = (
    "p50_ms", "p95_ms", "error_rate", "tool_success_rate", "override_rate", "fallback_rate", "cost_per_request",
)  # fmt: skip
WITHHELD = 0.02  # more requests without any evidence than this, and there is no estimate
TABLE: dict[str, Any] = {
    "policy": pl.String, "intent": pl.String, "metric": pl.String, "observed": pl.Float64, "estimate": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "bound_low": pl.Float64, "bound_high": pl.Float64,
    **{f"share_{label}": pl.Float64 for label in LABELS}, "share_no_model": pl.Float64, "flags": pl.List(pl.String),
    "n": pl.Int64, "diff": pl.Float64, "diff_low": pl.Float64, "diff_high": pl.Float64,
}  # fmt: skip
DIFFERENCE: dict[str, Any] = {
    "intent": pl.String, "metric": pl.String, "estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class Board:
    """Policies replayed over one incident, ``as logged`` first; ``during`` is the span that is scored.

    Intervals are over ``draws`` draws of the outcomes that the log does not hold, the same ones for every policy.
    """

    incident: Incident
    replays: Mapping[str, Replay]
    metrics: tuple[Metric, ...]
    window: Window
    draws: int = 0
    seed: int = 0

    @property
    def during(self) -> tuple[datetime, datetime] | None:
        """The span that is scored, from the first to the last of its instants; None: the whole log."""
        return self.window.ends

    def table(self, *, by: str | None = None) -> pl.DataFrame:
        """Return one row a policy and metric (``by="intent"``: and intent).

        Columns: policy, intent ("all" without ``by``), metric, observed (as logged), estimate (under the policy: the mean
        over draws, of the requests that the logs can tell of; NULL where they are not 98 %), low and high (between which nine
        draws in ten lie, with every request that the logs cannot tell of at its best, and at its worst), bound_low and
        bound_high (every outcome that was not observed at its best, and at its worst; NULL where the metric has no such
        bounds), the shares of evidence labels, share_no_model, flags, n (requests), and diff, diff_low, diff_high: estimate
        minus observed. Rates of the help desk are of tickets, from the first request that is scored on.
        """
        if by not in {None, "intent"}:
            raise NoSuchItem(f"a scorecard is by intent, or by nothing, not by {by!r}")
        rows = []
        for name, one in self.replays.items():
            frame = self._cut(one)
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
        for intent, of in self.values[a]:
            other = self.values[b].get((intent, of))
            if (intent == ALL) == (by is None) and other is not None:
                told = self.is_told(a, intent, of) and self.is_told(b, intent, of)
                rows.append((intent, of, *(spread(self.values[a][intent, of], other) if told else (None,) * 3)))
        return pl.DataFrame(rows, schema=DIFFERENCE, orient="row").sort("intent", maintain_order=True)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What a reader must know before believing the table, each once."""
        return tuple(dict.fromkeys(f"{name}: {said}" for name, one in self.replays.items() for said in one.caveats))

    @cached_property
    def breaches(self) -> Consequences:
        """Which SLA targets each policy would have kept or missed, against what was logged, between bounds."""
        from incident_kit.helpdesk.consequences import consequences

        return consequences(self)

    def _cut(self, one: Replay) -> pl.DataFrame:
        """Return the outcomes to be scored, with the intent that they count for, and whether they are extrapolated."""
        model = getattr(one.estimator, "is_extrapolated", None)
        far = model(one.outcome.target) & (one.outcome.evidence > 0) if model else np.zeros(len(one.log), np.bool_)
        frame = self.window.cut(one)
        return frame.with_columns(pl.Series("extrapolated", far[self.window.rows]))

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
        answer = self.answers[one.name]
        is_answered = answer is None or answer.answer != "no"
        row["flags"] = [*self._noted(policy, intent, one), *_flags(one, group, answer), *said]
        if not is_answered:
            return row
        own = self.values[policy][intent, one.name]
        logged = self.values[AS_LOGGED].get((intent, one.name))
        row["observed"] = interval(logged[VALUE])[0] if logged is not None else None
        if self.is_told(policy, intent, one.name):
            row["estimate"], low, high = spread(own)
            _, row["diff_low"], row["diff_high"] = spread(own, logged) if logged is not None else (None,) * 3
            row["diff"] = None if row["observed"] is None else _minus(row["estimate"], row["observed"])
            if self.is_drawn(policy):
                row["low"], row["high"] = low, high
            else:
                row["diff_low"] = row["diff_high"] = None
        if one.source in {"desk", "signals"}:
            kept = self.carried[policy, intent, one.name]
            group |= {f"{one.name}/low": kept.least, f"{one.name}/high": kept.most}
        for bound, end, better in (("bound_low", "low", min), ("bound_high", "high", max)):
            if (value := group.get(f"{one.name}/{end}")) is not None:
                # decisions of other draws than the central one may lie outside
                row[bound] = value if row[end] is None else better(value, row[end])
        return row

    def is_drawn(self, policy: str) -> bool:
        """Return whether a policy's values are known for sure, or drawn: whether they have intervals."""
        one = self.replays[policy]
        return one.is_certain or (self.draws > 0 and hasattr(one.estimator, "at"))

    def is_told(self, policy: str, intent: str, of: str) -> bool:
        """Return whether an estimate is of the log's own requests: without those that cannot be told it would not be."""
        one = metric(of)
        if one.is_decided:
            return True
        apart = one.source in {"desk", "signals"}
        unknown = self.carried[policy, intent, of].unknown if apart else self._unknown[policy].get(intent, 0.0)
        return unknown <= WITHHELD

    @cached_property
    def _unknown(self) -> dict[str, dict[str, float]]:
        """The share of requests without any evidence, by policy and intent."""
        found = {}
        for name, one in self.replays.items():
            frame = self.window.cut(one).select("key", (pl.col("evidence") == "none").alias("none"))
            by_intent = frame.group_by("key").agg(pl.col("none").mean())
            found[name] = dict(by_intent.iter_rows()) | {ALL: float(frame["none"].mean() or 0)}  # type: ignore[arg-type]
        return found

    @cached_property
    def answers(self) -> dict[str, Answer | None]:
        """What the logs answer of each metric: no where they hold nothing of it, whatever they answer in general."""
        found: dict[str, Answer | None] = {}
        for one in self.metrics:
            found[one.name] = self.incident.answers.get(one.question or "")
            kind = "ttft" if one.name.endswith("_ttft_ms") else one.name.removesuffix("_rate")
            if kind in NEEDED and not self.incident.store.rows(NEEDED[kind][0])[0][0]:
                found[one.name] = Answer(one.question or kind, "no", f"it holds no {NEEDED[kind][1]}")
        return found

    @cached_property
    def carried(self) -> dict[tuple[str, str, str], Carried]:
        """Help-desk rates and signals of the central replays."""
        apart = [of for of in self.metrics if of.source in {"desk", "signals"}]
        return {
            (name, key, of.name): self.window.carried(one, of, key)
            for name, one in self.replays.items()
            for key in (*self._unknown[name], ALL)
            for of in apart
        }

    def _noted(self, policy: str, intent: str, one: Metric) -> list[str]:
        """Return what a reader must know of a help-desk rate or a signal."""
        if one.source not in {"desk", "signals"}:
            return []
        kept = self.carried[policy, intent, one.name]
        of = "tickets" if one.source == "desk" else "signal"
        said = []
        if kept.unknown:
            said.append(
                f"as logged or between bounds: for {kept.unknown:.0%} of the {of} a request is answered otherwise"
            )
        if kept.exogenous and policy != AS_LOGGED:
            said.append(f"carried over: {kept.exogenous:.0%} of the signal names nothing that a policy changes")
        return said

    @cached_property
    def _flagged(self) -> dict[str, list[str]]:
        """What no interval can say of itself, by policy: load and selection beyond the log's."""
        from incident_kit.scoring.flags import load, selection

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
    def values(self) -> dict[str, Values]:
        """Every metric of every policy, by (intent or "all", metric): ``[(value, least, most), draw]``."""
        return scores(self.replays, [(self.window, self.metrics)], draws=self.draws, seed=self.seed)[0]


def together(boards: Sequence[Board]) -> None:
    """Score boards of the same replays, draws and seed on each draw at once: a draw is replayed once for all of them."""
    first = boards[0]
    wanted = [(board.window, board.metrics) for board in boards]
    for board, found in zip(boards, scores(first.replays, wanted, draws=first.draws, seed=first.seed), strict=True):
        board.__dict__["values"] = found


def spread(own: Any, other: Any | None = None) -> tuple[float | None, float | None, float | None]:
    """Return mean, low and high of values ``[(value, least, most), draw]``, or of their differences to others."""
    value, least, most = (
        own if other is None else (own[VALUE] - other[VALUE], own[LEAST] - other[MOST], own[MOST] - other[LEAST])
    )
    estimate = interval(value)[0]
    return (None, None, None) if estimate is None else (estimate, interval(least)[1], interval(most)[2])


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
        A phase of the incident, ``healthy`` (all time outside impacts) or two instants; the replay always covers the whole log,
        only the scoring is cut.
    metrics
        Every word that a condition knows, such as ``p95_ms``, ``slow_rate(8000ms)`` or ``signal:csat``, and
        ``served_share(small)``, ``switches``, ``flapping``, ``minutes_on_fallback``, ``detection_s``, ``failback_s``.
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
    chosen = tuple({one.name: one for one in map(metric, metrics)}.values())
    refuse_unknown(chosen, signal_names(incident.store))
    window = window_of(incident, during)
    replays = {AS_LOGGED: replay(incident, Policy(name=AS_LOGGED, routes=()))}
    replays |= {name: replay(incident, policy, estimator=estimator) for name, policy in named.items()}
    return Board(incident, replays, chosen, window, draws, seed)


def refuse_unknown(metrics: Sequence[Metric], known: Sequence[str]) -> None:
    """Refuse a signal that is not loaded."""
    for one in metrics:
        name = one.name.removeprefix("signal:")
        if one.source == "signals" and name not in known:
            there = f"loaded are {', '.join(map(label, known))}" if known else "no signal is loaded"
            raise NoSuchItem(f"there is no signal {name!r}{did_you_mean(name, known)}; {there}")


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
