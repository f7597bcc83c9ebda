"""Capture: intervals on a real gateway's log against what every deployment would have done with each of its requests."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.case import open_case
from incident_kit.estimation.evidence import Outcomes, standing
from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME
from incident_kit.incident import Incident
from incident_kit.policies.baselines import always_fallback, always_primary
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import Replay, replay_log
from incident_kit.scoring.scorecard import compare

ROOT = Path(__file__).parents[1]
CASE = ROOT / "data/samples/litellm_capture"
TRUTH = ROOT.parent / "shared/data/litellm_capture/counterfactual_truth.ndjson.gz"
METRICS = {"success": "error_rate", "tool success": "tool_success_rate", "mean wait": "mean_ms"}
WEIGHTS = {"alpha-east": 0.6, "alpha-west": 0.4}  # of the one target that has two deployments
ERRORS = {"e429": "429", "content_filter": "content_policy", "reset": "connection", "hang": "timeout"}
FEWEST = 30  # requests of a cell that is judged
BAR = 0.85
WORLDS = 40  # choices of a deployment for every attempt, over which the truth is a mean
_NUMBERS = 2  # attempts on a deployment of which the truth is known


@dataclass(frozen=True, eq=False)
class Known:
    """What each deployment would have done: arrays ``[deployment, attempt number, request]`` in the order of the log.

    ``tool`` is 1 where a tool call was well formed, 0 where it was not, -1 where none was made.
    """

    incident: Incident
    deployments: tuple[str, ...]
    latency_ms: NDArray[np.float64]
    error: NDArray[np.int16]
    tool: NDArray[np.int8]

    @classmethod
    def of(cls, incident: Incident, file: Path) -> Known:
        """Return the truth in a file; every request of the log is in it."""
        log = incident.log
        with gzip.open(file) as lines:
            truth = pl.read_ndjson(lines.read())
        names = tuple(truth["deployment"].unique().sort())
        labels = incident.requests().select(
            "request_id", pl.col("labels").str.json_path_match("$['x-desk-request-ref']")
        )
        rows = pl.DataFrame({"request_id": log.request_id}).with_row_index("row").join(labels, on="request_id")
        told = truth.join(rows, left_on="request_ref", right_on="labels").with_columns(
            pl.col("deployment").cast(pl.Enum(names)).to_physical().alias("d")
        )
        if told.height != len(log) * len(names) * _NUMBERS:
            raise SystemExit(f"{file} tells of other requests than the log of {CASE.name}")
        kind = pl.col("kind")
        name = pl.when(kind == "e5").then(pl.col("status").cast(pl.String)).otherwise(kind.replace(ERRORS))
        code = {one: i for i, one in enumerate(log.errors)}
        told = told.with_columns(
            name.replace_strict(code).alias("error"),
            pl.when(pl.col("tool").is_null() | (pl.col("tool") == "skipped")).then(-1)
            .otherwise((pl.col("tool") == "ok").cast(pl.Int8)).alias("tool"),
        )  # fmt: skip
        at = tuple(told[one].to_numpy() for one in ("d", "attempt", "row"))
        shape = len(names), _NUMBERS, len(log)
        found = [np.zeros(shape, of) for of in (np.float64, np.int16, np.int8)]
        for values, column in zip(found, ("latency_ms", "error", "tool"), strict=True):
            values[at] = told[column].to_numpy()
        return cls(incident, names, *found)

    @cached_property
    def _logged(self) -> pl.DataFrame:
        """Logged calls that were the only ones of their request, with their truth."""
        log = self.incident.log
        rows = pl.DataFrame({"request_id": log.request_id, "intent": log.intent}).with_row_index("row")
        alone = self.incident.attempts().filter(
            pl.len().over("request_id") == 1, pl.col("kind") == "call", pl.col("status") == "ok"
        )
        told = alone.join(rows, on="request_id").filter(pl.col("deployment").is_in(self.deployments))
        d = told["deployment"].cast(pl.Enum(self.deployments)).to_physical().to_numpy()
        row = told["row"].to_numpy()
        return told.with_columns(
            pl.Series("beyond_ms", told["latency_ms"].to_numpy() - self.latency_ms[d, 0, row]),
            pl.Series("told", self.tool[d, 0, row]),
        )

    def _of_intents(self, value: pl.Expr) -> NDArray[np.float64]:
        """Return a value by intent, the last one that of no intent."""
        found = self._logged.group_by("intent").agg(value.alias("value"))
        by_code = dict(found.iter_rows())
        return np.array([by_code.get(i, 0.0) or 0.0 for i in (*range(len(self.incident.log.intents)), -1)])

    @cached_property
    def overhead_ms(self) -> NDArray[np.float64]:
        """What the gateway adds to a deployment's latency, the median of each intent."""
        return self._of_intents(pl.col("beyond_ms").median())

    @cached_property
    def tool_error(self) -> NDArray[np.float64]:
        """How often a well-formed tool call fails all the same, by intent: that is the tool's doing, not the model's."""
        made = (pl.col("told") == 1) & (pl.col("tool_calls") > 0)
        return self._of_intents((pl.col("tool_errors") / pl.col("tool_calls")).filter(made).mean())

    @cached_property
    def serves(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """The deployments of each target, and the share of its calls that each gets."""
        pairs = self.incident.attempts().select("target", "deployment").drop_nulls().unique()
        found = {}
        for target in pairs["target"].unique():
            names = pairs.filter(target=target)["deployment"].sort().to_list()
            weight = np.array([WEIGHTS.get(name, 1.0) for name in names])
            found[target] = np.array([self.deployments.index(name) for name in names]), weight / weight.sum()
        return found


@dataclass(frozen=True)
class Deployed:
    """One choice of a deployment for every attempt: an estimator whose outcomes are true.

    The donor of an outcome that the log does not hold is its place in the truth, counted from the end of the log's calls.
    """

    known: Known
    world: int

    def __call__(
        self,
        log: Any,
        requests: NDArray[Any],
        targets: Sequence[str],
        *,
        attempts: int,
        without_tools: Sequence[bool] = (),
        timeout_ms: int | None = None,
    ) -> Outcomes:
        """Return the outcomes of requests; what is logged stands."""
        del without_tools, timeout_ms

        known = self.known
        _, codes, records, donor = standing(log, requests, targets, attempts=attempts)
        beyond = known.overhead_ms[log.intent[requests]]
        for entry, target in enumerate(targets):
            rng = np.random.default_rng([self.world, codes[target]])
            which, share = known.serves[target]
            for number in range(attempts):
                d = rng.choice(which, len(log), p=share)[requests]
                k = min(number, _NUMBERS - 1)
                empty = records["kind"][entry, number] == NO_OUTCOME
                at = d[empty], k, requests[empty]
                one = records[entry, number]
                one["latency_ms"][empty] = np.maximum(np.rint(known.latency_ms[at] + beyond[empty]), 1)
                one["error"][empty], one["kind"][empty] = known.error[at], CALL
                place = np.ravel_multi_index(at, known.tool.shape)
                donor[entry, number, empty] = len(log.calls.request) + place
        return Outcomes(records, donor)


def truths(known: Known, policy: Policy, *, within: tuple[int, int] | None = None) -> Iterator[pl.DataFrame]:
    """Yield in each world one row an intent: n, success, tool success and mean wait, as a policy would have got them."""
    log = known.incident.log
    intent = np.where(log.intent < 0, len(log.intents), log.intent)
    inside = np.ones(len(log), np.bool_)
    if within:
        inside = (log.arrived_us >= within[0]) & (log.arrived_us < within[1])
    for world in range(WORLDS):
        done = replay_log(log, policy, estimator=Deployed(known, world), incident=known.incident)
        made, failed = _tools(known, done)
        wait = np.where(done.outcome.wait_ms >= 0, done.outcome.wait_ms, np.nan)
        frame = pl.DataFrame(
            {"intent": intent, "wait": wait, "error": done.outcome.error, "made": made, "failed": failed}
        ).filter(pl.Series(inside))
        yield frame.group_by("intent", maintain_order=True).agg(
            pl.len().alias("n"),
            (pl.col("error") == 0).mean().alias("success"),
            (1 - pl.col("failed").sum() / pl.col("made").sum()).alias("tool success"),
            pl.col("wait").fill_nan(None).mean().alias("mean wait"),
        )


def _tools(known: Known, done: Replay) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many tool calls with known results each request made, and how many of them failed."""
    log = known.incident.log
    facts = log.request_facts
    made, failed = (
        facts[name].cast(pl.Float64).fill_null(np.nan).to_numpy().copy() for name in ("tool_calls", "tool_errors")
    )
    is_known = (made > 0) & np.isfinite(failed)
    made[~is_known] = failed[~is_known] = 0.0
    calls = len(log.calls.request)
    rows = np.flatnonzero(~done.same_as_log)
    call, answered = done.outcome.call[rows], done.outcome.error[rows] == 0
    logged = (call >= 0) & (call < calls)
    own = log.call_facts[np.where(logged, call, 0)]
    own_made, own_failed = (
        own[name].cast(pl.Float64).fill_null(0).to_numpy() for name in ("tool_calls", "tool_errors")
    )
    tool = known.tool.reshape(-1)[np.where(call >= calls, call - calls, 0)]
    usual = known.tool_error[log.intent[rows]]
    usable = answered & ~done.outcome.tools_disabled[rows]
    made[rows] = np.where(usable, np.where(logged, own_made, tool >= 0), 0.0)
    failed[rows] = np.where(usable, np.where(logged, own_failed, np.where(tool == 1, usual, tool == 0)), 0.0)
    return made, failed


def cells(incident: Incident, known: Known, *, during: str | None, draws: int = 50, seed: int = 0) -> pl.DataFrame:
    """Return one row a policy, intent and outcome: n, truth, estimate, low, high, share_observed, and whether it is covered."""
    in_force = incident.in_force
    if in_force is None:
        raise SystemExit(f"{CASE} names no policy in force")
    named = {one.name: one for one in (always_fallback(in_force), always_primary(in_force))}
    for one in ("blind", "per-intent"):
        named[one] = Policy.load(CASE / f"policies/{one}.yaml")
    board = compare(incident, named, during=during, metrics=list(METRICS.values()), draws=draws, seed=seed)
    table = board.table(by="intent")
    within = None
    if during is not None:
        begin, end = incident.span(during)
        within = round(begin.timestamp() * 1e6), round(end.timestamp() * 1e6)
    intents = dict(enumerate((*incident.log.intents, "(no intent)")))
    rows = []
    for name, policy in named.items():
        worlds = pl.concat([frame.cast({"n": pl.Int64}) for frame in truths(known, policy, within=within)])
        true = worlds.group_by("intent").agg(pl.col(METRICS).mean(), pl.col("n").first())
        for code, *values, n in true.select("intent", *METRICS, "n").iter_rows():
            for outcome, value in zip(METRICS, values, strict=True):
                said = table.filter(policy=name, intent=intents[code], metric=METRICS[outcome]).row(0, named=True)
                if n < FEWEST or value is None:
                    continue
                ends = [said[end] for end in ("estimate", "low", "high")]
                if outcome == "success" and ends[0] is not None:
                    ends = [1 - ends[0], 1 - ends[2], 1 - ends[1]]
                rows.append((during or "all", name, intents[code], outcome, n, value, *ends, said["share_observed"]))
    columns = ("span", "policy", "intent", "outcome", "n", "truth", "estimate", "low", "high", "share_observed")
    slack = (
        pl.when(pl.col("outcome") == "mean wait").then(0.5).otherwise(1e-9)
    )  # a wait is logged in whole milliseconds
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        ((pl.col("low") - slack <= pl.col("truth")) & (pl.col("truth") <= pl.col("high") + slack)).alias("covered")
    )


def main(*, truth: Path = TRUTH) -> int:
    """Print every cell that something is estimated in, and the share that is covered; the exit code says whether it is enough."""
    if not truth.exists():
        print(f"skipped: {truth} is not here, and without it nobody knows what the other deployments would have done")
        return 0
    incident = open_case(CASE, in_memory=True)
    known = Known.of(incident, truth)
    found = pl.concat([cells(incident, known, during=during) for during in ("impact", None)])
    told = found.filter(pl.col("estimate").is_not_null(), pl.col("share_observed") < 1)
    with pl.Config(tbl_rows=200, tbl_cols=12, float_precision=3, tbl_width_chars=160, tbl_hide_dataframe_shape=True):
        print(told.sort("span", "policy", "intent", "outcome"))
    withheld = found.filter(pl.col("estimate").is_null()).height
    as_logged = found.height - told.height - withheld
    print(f"{as_logged} cells are as logged, {withheld} are withheld: these logs cannot tell of them")
    failed = 0
    for span in ("impact", "all"):
        of = told.filter(span=span)
        share = float(of["covered"].mean() or 0)  # type: ignore[arg-type]
        failed += share < BAR
        hits = f"{of['covered'].sum()} of {of.height} cells covered, {share:.0%} (bar {BAR:.0%})"
        print(f"{'met   ' if share >= BAR else 'MISSED'} {span}: {hits}")
    return int(failed > 0)
