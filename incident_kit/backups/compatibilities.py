"""Compatibilities: for each intent, whether its backup may stand in for its primary, judged on like traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.backups.likeness import Likeness, Measured, Share
from incident_kit.estimation.cells import Cells
from incident_kit.estimation.observations import Observations, observe
from incident_kit.estimation.timebins import shortest_us, switches_us
from incident_kit.healthy import impacts_us, is_healthy
from incident_kit.phases import Phase
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.log import Log
    from incident_kit.policies.policy import Policy

SAFE, WITHOUT_TOOLS, NOT_ENOUGH, NOT_SAFE = (
    "safe to fall back", "only with tools disabled", "not enough evidence", "not safe to fall back",
)  # fmt: skip
WITHIN, WORSE, OPEN = "within its margin", "worse", "open"
TABLE: dict[str, Any] = {
    "intent": pl.String, "primary": pl.String, "backup": pl.String, "metric": pl.String,
    **{f"{side}{end}": pl.Float64 for side in ("primary", "backup") for end in ("_value", "_low", "_high")},
    "difference": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n_primary": pl.Int64, "n_backup": pl.Int64,
    "matched": pl.String, "interval": pl.String, "judged": pl.String,
}  # fmt: skip
VERDICTS: dict[str, Any] = {
    "intent": pl.String, "primary": pl.String, "backup": pl.String, "verdict": pl.String, "why": pl.String,
    "n_primary": pl.Int64, "n_backup": pl.Int64, "matched": pl.String, "share_impact": pl.Float64,
}  # fmt: skip
NO_INTENT = "(no intent)"
LIKE = ("intent, time and tools offered", "intent and tools offered, at other times")
PLAIN = {
    "error_rate": "failed calls", "p95_ms": "the slowest answers", "override_rate": "overrides",
    "tool_success_rate": "tool success", "tools_called": "how often tools are used",
    "override_without_tools": "overrides of answers that used no tool",
}  # fmt: skip
OF_TOOLS, OF_THE_REST = ("tool_success_rate", "tools_called"), ("error_rate", "p95_ms", "override_rate")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """How much worse a backup may be, in shares (0.05 is five points); latency as a multiple; ``least`` samples a side."""

    tool_success_rate: float = 0.05
    tools_called: float = 0.10
    override_rate: float = 0.05
    error_rate: float = 0.02
    p95_times: float = 1.5
    least: int = 30


@dataclass(frozen=True)
class Compatibility:
    """The backup beside the primary: ``table`` has a row an intent and metric, ``verdicts`` one an intent.

    ``share_impact`` of a verdict is the share of like traffic in an impact, when the primary was degraded too: a backup that
    keeps up with that one may still be worse than what people usually get; ``during`` looks at other times. ``unheld`` says
    what these logs do not hold at all, so that no verdict rests on it.
    """

    table: pl.DataFrame
    verdicts: pl.DataFrame
    unheld: tuple[str, ...]
    margins: Margins


def compatibility(
    incident: Incident,
    *,
    policy: Policy | None = None,
    during: str | tuple[datetime, datetime] | None = None,
    margins: Margins | None = None,
    resamples: int = 400,
    seed: int = 0,
) -> Compatibility:
    """Return the backup against the primary on like traffic, for each intent, with a verdict in words.

    Like traffic: calls of the same intent, in the same bin of time (cut at the log's own switches and at declared impacts) and
    alike in whether tools were offered; the primary's calls are weighted to the backup's mix. Where too few have such a match,
    times are not matched, and ``matched`` says so: then what the incident did to either stays in the difference. A primary behind
    several deployments is taken as its gateway ran it, which leaves a failing one. A quantile that a timeout hides is at least
    what is shown: that end of an interval is NULL.

    The verdict. A measure is *within its margin* if its whole 90 % interval is, *worse* if all of it is beyond, else *open*.
    "safe to fall back": all that is measured is within, tools or overrides among it. "only with tools disabled": tools are
    not within, all else is, and so are overrides of answers that used no tool. "not safe to fall back": something is worse that
    disabled tools do not mend. "not enough evidence": all other cases, fewer than ``margins.least`` calls of either, or neither
    tools nor overrides logged.

    Parameters
    ----------
    policy
        Says which is the primary and which the backup of an intent; by default the policy in force, or what the log shows.
    during
        A phase or two instants: only calls sent in it; by default all.
    resamples
        Of tickets, for intervals.

    Raises
    ------
    NoSuchItem
        There is no such phase.
    """
    margins = margins or Margins()
    if not len(incident.log):
        return Compatibility(pl.DataFrame(schema=TABLE), pl.DataFrame(schema=VERDICTS), (), margins)
    it = observe(incident.log)
    shares, unheld = _shares(incident, it)
    rows, verdicts = [], []
    options: dict[str, Any] = {"policy": policy, "during": during, "least": margins.least}
    for pair in like_traffic(incident, it, **options, seed=seed, resamples=resamples):
        alike, names = pair.alike, (pair.intent, pair.primary, pair.backup)
        taken = {name: Share(one.part[pair.rows], one.whole[pair.rows], one.is_rate) for name, one in shares.items()}
        latency = it.latency_ms[pair.rows].astype(np.float64)
        of_time = {"p50_ms": (latency, 0.5), "p95_ms": (latency, 0.95)}
        enough = min(alike.n) >= margins.least
        found = alike.measured(taken, of_time, is_cut=it.is_censored[pair.rows]) if min(alike.n) else {}
        judged = {name: judge(name, one, margins) for name, one in found.items() if name in PLAIN}
        rows += [
            (*names, name, *one.primary, *one.backup, *one.difference, one.n_primary, one.n_backup, pair.matched, one.interval,
             judged.get(name, ""))
            for name, one in found.items()
        ]  # fmt: skip
        verdict, why = _verdict(judged if enough else {}, alike.n, margins)
        verdicts.append((*names, verdict, why, *alike.n, pair.matched, pair.share_impact))
    table = pl.DataFrame(rows, schema=TABLE, orient="row")
    numbers = [name for name, kind in TABLE.items() if kind == pl.Float64]
    return Compatibility(
        table.with_columns(pl.col(numbers).fill_nan(None)),
        pl.DataFrame(verdicts, schema=VERDICTS, orient="row"),
        unheld,
        margins,
    )


@dataclass(frozen=True, eq=False)
class LikeTraffic:
    """Calls of an intent's primary and backup: ``rows`` of the observations, how they are ``alike``, and in what (``matched``).

    ``share_impact`` is the share of the backup's matched calls that were sent in an impact: the primary beside them was degraded
    too.
    """

    intent: str
    primary: str
    backup: str
    rows: NDArray[np.int64]
    alike: Likeness
    matched: str
    share_impact: float | None


def like_traffic(
    incident: Incident,
    it: Observations,
    *,
    policy: Policy | None = None,
    during: str | tuple[datetime, datetime] | None = None,
    least: int = 30,
    seed: int = 0,
    resamples: int = 400,
) -> Iterator[LikeTraffic]:
    """Yield the like traffic of every intent that a primary and a backup answered; arguments as of :func:`compatibility`."""
    log, spans = incident.log, impacts_us(incident)
    bins = Cells.of(it, incident=spans, switches=switches_us(log, shortest_us=shortest_us(spans))).bins
    troubled = ~is_healthy(incident, it.sent_us)
    inside = np.ones(len(it), np.bool_)
    if during is not None:
        at, until = incident.span(during) if isinstance(during, str) else during
        begin, end = _us(Phase("note", at, until).at, until)
        inside = (it.sent_us >= begin) & (it.sent_us < end)
    for code, primary, backup in _pairs(log, policy or incident.in_force):
        intent = log.intents[code] if code >= 0 else NO_INTENT
        ours = inside & (it.intent == code)
        chosen = np.flatnonzero(ours & ((it.target == primary) | (it.target == backup)))
        alike, matched = _alike(it, log, bins, chosen, backup, least=least, name=intent, options=(seed, resamples))
        names = intent, log.targets[primary], log.targets[backup]
        yield LikeTraffic(*names, chosen, alike, matched, _share(alike, troubled[chosen]))


def judge(name: str, one: Measured, margins: Margins) -> str:
    """Return whether a measure is within its margin, worse, or open: too few samples, or an interval that holds the margin."""
    if min(one.n_primary, one.n_backup) < margins.least:
        return OPEN
    _, low, high = one.difference
    if name in {"tool_success_rate", "tools_called"}:
        low, high = -high, -low
    of = {"p95_ms": (margins.p95_times - 1) * one.primary[0], "override_without_tools": margins.override_rate}
    margin: float = of[name] if name in of else getattr(margins, name)
    return WITHIN if high <= margin else WORSE if low > margin else OPEN


def _verdict(judged: Mapping[str, str], n: tuple[int, int], margins: Margins) -> tuple[str, str]:
    """Return the verdict and why."""
    if min(n) < margins.least:
        return NOT_ENOUGH, (
            f"{number(n[0])} calls of the primary and {number(n[1])} of the backup are alike, {margins.least} of each are wanted"
        )
    if not {"tool_success_rate", "override_rate"} & judged.keys():
        return NOT_ENOUGH, "these logs hold neither results of tools nor overrides: that calls went through says little"
    tools = {name: judged[name] for name in OF_TOOLS if name in judged}
    rest = {name: judged[name] for name in OF_THE_REST if name in judged}
    if all(one == WITHIN for one in (*tools.values(), *rest.values())):
        return SAFE, f"{_listed(tools | rest, WITHIN)} within their margins"
    bare = dict(rest)
    if "override_rate" in bare:
        bare["override_rate"] = judged.get("override_without_tools", OPEN)
    if any(one != WITHIN for one in tools.values()) and bare and all(one == WITHIN for one in bare.values()):
        untold = "" if "override_rate" in bare else " (overrides are not logged)"
        return (
            WITHOUT_TOOLS,
            f"{_listed(tools, WORSE, OPEN)} not shown to be as good; without tools the rest is{untold}",
        )
    beyond = {name: one for name, one in rest.items() if one == WORSE and bare[name] == WORSE}
    if beyond:
        return NOT_SAFE, f"worse beyond the margin, with tools or without: {_listed(beyond, WORSE)}"
    if WORSE in (*tools.values(), *rest.values()):
        which = _listed(tools | rest, WORSE)
        return (
            NOT_ENOUGH,
            f"with tools it is worse ({which}); these logs do not settle whether disabled tools would mend that",
        )
    return NOT_ENOUGH, f"not settled by these logs: {_listed(tools | rest, OPEN)}"


def _listed(judged: Mapping[str, str], *which: str) -> str:
    return ", ".join(PLAIN[name] for name, one in judged.items() if one in which)


def _share(alike: Likeness, troubled: NDArray[np.bool_]) -> float | None:
    """Return the share of the backup's matched calls that were sent in an impact: the primary beside them was degraded too."""
    ours = alike.weights * alike.is_backup
    return float(ours[troubled].sum() / ours.sum()) if ours.any() else None


def _us(at: datetime, until: datetime) -> tuple[int, int]:
    return round(at.timestamp() * 1e6), round(until.timestamp() * 1e6)


def _pairs(log: Log, policy: Policy | None) -> Iterator[tuple[int, int, int]]:
    """Yield (intent, primary, backup) as codes: the policy's, where the log knows both, else the two that answered most."""
    code = {target: i for i, target in enumerate(log.targets)}
    for intent in [*range(len(log.intents)), -1]:
        rows = log.intent == intent
        if not rows.any():
            continue
        route = policy.route_of(log.intents[intent] if intent >= 0 else None) if policy else None
        models = [entry.model for entry in route.chain if entry.kind == "model"] if route else []
        asked = np.bincount(log.first_target[rows & (log.first_target >= 0)], minlength=len(log.targets))
        served = np.bincount(log.served[rows & (log.served >= 0)], minlength=len(log.targets))
        primary = next((code[model] for model in models if model in code and asked[code[model]]), None)
        primary = int((asked + served).argmax()) if primary is None else primary
        others = [code[model] for model in models if model in code and code[model] != primary]
        left = np.where(np.arange(len(served)) == primary, -1, served)
        backup = others[0] if others else int(left.argmax())
        if backup != primary and (others or left[backup] > 0):
            yield intent, primary, backup


def _alike(
    it: Observations, log: Log, bins: NDArray[np.int32], chosen: NDArray[np.int64], backup: int, *, least: int, name: str,
    options: tuple[int, int],
) -> tuple[Likeness, str]:  # fmt: skip
    """Return the calls of a pair in strata of time and tools, or of tools alone where too few of the former match."""
    offered = (log.tools_offered[it.request[chosen]] > 0).astype(np.int64)
    ticket = it.ticket[chosen].astype(np.int64)
    cluster = np.where(ticket >= 0, ticket, ticket.max(initial=0) + 1 + it.request[chosen])
    seed, resamples = options
    is_backup = it.target[chosen] == backup
    in_time = Likeness(is_backup, 2 * bins[chosen] + offered, cluster, seed, name, resamples)
    if min(in_time.n) >= least:
        return in_time, LIKE[0]
    return Likeness(is_backup, offered, cluster, seed, name, resamples), LIKE[1]


def _shares(incident: Incident, it: Observations) -> tuple[dict[str, Share], tuple[str, ...]]:
    """Return the metrics that are ratios, over all calls, and what the logs do not hold."""
    log = incident.log
    facts = log.call_facts[pl.Series(it.call).cast(pl.UInt32)]

    def column(name: str) -> Floats:
        return facts[name].cast(pl.Float64).fill_null(np.nan).to_numpy()

    failed = it.value("error") > 0
    given, calls = np.nan_to_num(column("tools_offered")) > 0, column("tool_calls")
    wrong = it.value("tool_failure")
    made = np.where(np.isfinite(wrong), np.nan_to_num(calls), 0.0)
    over = it.value("override")
    due = it.weights.get("override", np.ones(len(it)))
    reviewed = np.where(np.isfinite(over), due, 0.0)
    tokens, cost = column("completion_tokens"), column("cost_usd")
    for name, (price_in, price_out) in incident.prices.items():
        priced = (column("prompt_tokens") * price_in + tokens * price_out) / 1e6
        ours = np.isnan(cost) & (it.target == (log.targets.index(name) if name in log.targets else -2))
        cost = np.where(ours, priced, cost)
    idle = ~failed & ~(np.nan_to_num(calls) > 0)
    answered = (~failed & given & np.isfinite(calls)).astype(np.float64)
    every = np.ones(len(it))
    offers = (log.tools_offered[it.request] > 0).astype(np.float64)
    length = ~failed & np.isfinite(tokens)
    shares = {
        "error_rate": Share(failed.astype(np.float64), every),
        "tools_offered": Share(offers * given, offers),
        "tools_called": Share(answered * (np.nan_to_num(calls) > 0), answered),
        "tool_success_rate": Share(made * (1 - np.nan_to_num(wrong)), made),
        "override_rate": Share(np.nan_to_num(over) * (reviewed > 0), reviewed),
        "override_without_tools": Share(np.nan_to_num(over) * idle * (reviewed > 0), reviewed * idle),
        "completion_tokens": Share(np.where(length, tokens, 0.0), length.astype(np.float64), is_rate=False),
        "cost_per_call": Share(np.nan_to_num(cost), np.isfinite(cost).astype(np.float64), is_rate=False),
    }
    invalid = [code for code, name in enumerate(log.errors) if name == "invalid_output"]
    if invalid:
        shares["invalid_output_rate"] = Share(np.isin(log.calls.error[it.call], invalid).astype(np.float64), every)
    unheld = [f"{PLAIN.get(name, name)}: {answer.why}" for name, answer in _unanswered(incident)]
    gone = {PLAIN.get(name, name) for name, _ in _unanswered(incident)}
    held = {name: one for name, one in shares.items() if PLAIN.get(name, name) not in gone}
    unheld.append("whether a tool call was well formed apart from whether it worked: one count holds both")
    unheld.append(
        "finish reasons: the format of answers is judged by their length" + (" and by invalid ones" if invalid else "")
    )
    return held, tuple(label(one, longest=200) for one in unheld)


def _unanswered(incident: Incident) -> Iterator[tuple[str, Any]]:
    of = {"errors": ("error_rate",), "tools": OF_TOOLS, "overrides": ("override_rate", "override_without_tools")}
    for question, names in of.items():
        answer = incident.answers.get(question)
        if answer is not None and answer.answer == "no":
            yield from ((name, answer) for name in names)
