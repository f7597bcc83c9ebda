"""Scorecard: policies side by side over the same requests, every number with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.errors import InvalidPolicy, NoSuchItem
from incident_kit.evidence import LABELS
from incident_kit.metrics import Metric, metric, shares
from incident_kit.phases import Phase
from incident_kit.policy import Policy
from incident_kit.replays import Replay, replay

if TYPE_CHECKING:
    from incident_kit.incident import Incident

AS_LOGGED = "as logged"
DEFAULT_METRICS = (
    "p50_ms", "p95_ms", "error_rate", "tool_success_rate", "override_rate", "fallback_rate", "cost_per_request",
)  # fmt: skip
WITHHELD = 0.02  # more requests without any evidence than this, and there is no estimate
DECIDED = ("fallback_rate",)  # known from the decision, whatever came of it
TABLE: dict[str, Any] = {
    "policy": pl.String, "intent": pl.String, "metric": pl.String, "n": pl.Int64, "observed": pl.Float64,
    "estimate": pl.Float64, "bound_low": pl.Float64, "bound_high": pl.Float64,
    **{f"share_{label}": pl.Float64 for label in LABELS}, "share_no_model": pl.Float64, "flags": pl.List(pl.String),
}  # fmt: skip


@dataclass(frozen=True)
class Board:
    """Policies replayed over one incident, ``as logged`` first; ``during`` is the span that is scored."""

    incident: Incident
    replays: Mapping[str, Replay]
    metrics: tuple[Metric, ...]
    during: tuple[datetime, datetime] | None = None

    @cached_property
    def _outcomes(self) -> dict[str, pl.DataFrame]:
        frames = {name: one.outcomes for name, one in self.replays.items()}
        if self.during is None:
            return frames
        start, end = self.during
        return {name: frame.filter(pl.col("at") >= start, pl.col("at") < end) for name, frame in frames.items()}

    def table(self, *, by: str | None = None) -> pl.DataFrame:
        """Return one row a policy and metric (``by="intent"``: and intent).

        Columns: policy, intent ("all" without ``by``), metric, n (requests), observed (as logged), estimate (under the
        policy; NULL where the logs cannot tell for over 2 % of the requests: what is left would be other requests than the
        log's), bound_low and bound_high (every outcome that was not observed at its best, and at its worst; NULL where
        the metric has no such bounds), the shares of evidence labels, share_no_model, flags. There is no interval yet: an
        estimate rests on the nearest observed outcomes, and its uncertainty is what the bounds and shares say.
        """
        if by not in {None, "intent"}:
            raise NoSuchItem(f"a scorecard is by intent, or by nothing, not by {by!r}")
        keys = pl.lit("all") if by is None else pl.col("intent").cast(pl.String).fill_null("(no intent)")
        rows = []
        for name, frame in self._outcomes.items():
            groups = frame.group_by(keys.alias("intent"), maintain_order=True).agg(self._aggregations())
            rows += [self._row(name, group, one) for group in groups.iter_rows(named=True) for one in self.metrics]
        table = pl.DataFrame(rows, schema=TABLE)
        of_the_log = table.filter(pl.col("policy") == AS_LOGGED)
        logged = of_the_log.select("intent", "metric", pl.col("estimate").alias("logged"))
        return (
            table.join(logged, on=["intent", "metric"], how="left", maintain_order="left")
            .with_columns(pl.col("logged").alias("observed"))
            .drop("logged")
            .sort("intent", maintain_order=True)
        )

    def _aggregations(self) -> list[pl.Expr]:
        found = [pl.len().alias("n"), *shares(LABELS), pl.col("tools_disabled").mean().alias("without_tools")]
        found.append(pl.col("no_model").is_not_null().mean().alias("share_no_model"))
        for one in self.metrics:
            ends = (("", one.value), ("/low", one.low), ("/high", one.high))
            found += [end.alias(one.name + side) for side, end in ends if end is not None]
        return found

    def _row(self, policy: str, group: dict[str, object], one: Metric) -> dict[str, object]:
        answer = self.incident.answers.get(one.question or "")
        flags = []
        is_answered = answer is None or answer.answer != "no"
        if answer is not None and not is_answered:
            flags.append(f"not in this log: {answer.why}")
        elif answer is not None and answer.answer == "lower bound":
            flags.append(f"lower bound: {answer.why}")
        if group["share_none"]:
            flags.append(f"these logs cannot tell for {group['share_none']:.0%} of the requests")
        if group["without_tools"]:
            share = f"{group['without_tools']:.0%}"
            flags.append(f"tools differ: {share} answered without tools, judged by answers with them")
        if one.name == "cost_per_request" and group["share_nearest"]:
            flags.append("last call only: a borrowed outcome brings the cost of its own call, not of those before it")
        # without those that the logs cannot tell it would be another population than the log's: bounds only
        is_told = is_answered and (one.name in DECIDED or (group["share_none"] or 0) <= WITHHELD)  # type: ignore[operator]
        return {
            "policy": policy, "intent": group["intent"], "metric": one.name, "n": group["n"], "observed": None,
            "estimate": group[one.name] if is_told else None,
            "bound_low": group.get(f"{one.name}/low") if is_answered else None,
            "bound_high": group.get(f"{one.name}/high") if is_answered else None,
            **{f"share_{label}": group[f"share_{label}"] for label in LABELS}, "share_no_model": group["share_no_model"],
            "flags": flags,
        }  # fmt: skip

    @property
    def caveats(self) -> tuple[str, ...]:
        """What a reader must know before believing the table, each once."""
        return tuple(dict.fromkeys(f"{name}: {said}" for name, one in self.replays.items() for said in one.caveats))


def compare(
    incident: Incident,
    policies: Mapping[str, Policy] | Sequence[Policy],
    *,
    during: str | tuple[datetime, datetime] | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> Board:
    """Return policies side by side with what was logged.

    ``during`` is a phase of the incident or two instants; the replay always covers the whole log, only the scoring is cut.

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
    replays |= {name: replay(incident, policy) for name, policy in named.items()}
    return Board(incident, replays, chosen, during)


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
