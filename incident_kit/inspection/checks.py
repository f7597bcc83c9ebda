"""Checks: the small questions that the findings ask of an incident, each a few shares beside their usual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from incident_kit.cachedproperty import cached_property
from incident_kit.inspection.facets import OUTCOMES, Facets, Spans
from incident_kit.stats.trials import Rows, Trial
from incident_kit.words import number

if TYPE_CHECKING:
    from incident_kit.incident import Incident


ENOUGH = 200  # usual calls of a target, before its slowest twentieth says what is slow


@dataclass(frozen=True)
class Looked:
    """What a check found to test: trials, all of everything or by group; ``why`` there is nothing to test.

    ``noun`` and ``did`` make the sentence: "300 of 1,000 *drafts* *were overridden*"; ``by_part``: each trial is of
    something else, which its group says. ``one_of``: the check asks whether it
    is one group, not how much there is; ``facts`` are true without a test, and interesting.
    """

    noun: str
    did: str
    trials: tuple[Trial, ...] = ()
    ids: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String), repr=False)
    why: str = ""
    one_of: str = ""
    facts: tuple[str, ...] = ()
    by_part: bool = False


@dataclass(frozen=True)
class Material:
    """What the checks read: the requests, their calls and the help desk's clocks, split by the same spans."""

    incident: Incident
    facets: Facets
    look: Spans
    usual: Spans

    @cached_property
    def requests(self) -> Rows:
        """The requests, by arrival."""
        return Rows.of(self.facets.at_us, self.facets.rows["request_id"], look=self.look, usual=self.usual)

    @cached_property
    def calls(self) -> pl.DataFrame:
        """The calls, with ``troubled``: failed, or slower than nineteen in twenty of the target's usual ones."""
        calls = self.incident.store.query("facet_calls")
        usual = _within(calls, self.usual)
        limits = (
            calls.filter(usual).group_by("target").agg(pl.col("latency_ms").quantile(0.95, "higher").alias("limit"), pl.len())
            .filter(pl.col("len") >= ENOUGH).drop("len")
        )  # fmt: skip
        joined = calls.join(limits, on="target", how="left", maintain_order="left")
        slow = (pl.col("latency_ms") > pl.col("limit")).fill_null(value=False)
        return joined.with_columns(troubled=pl.col("failed").fill_null(value=False) | slow)

    @cached_property
    def clocks(self) -> pl.DataFrame:
        """The SLA clocks whose verdict is known, at their computed due times, with a request of their ticket."""
        told = self.incident.clock.instances.filter(pl.col("due_at").is_not_null(), pl.col("breached").is_not_null())
        first = self.facets.rows.filter(pl.col("ticket_id").is_not_null()).unique("ticket_id", keep="first")
        return (
            told.select("ticket_id", "metric", "breached", pl.col("due_at").dt.epoch("us").alias("at_us"))
            .join(first.select("ticket_id", "request_id", "intent"), on="ticket_id", how="left")
            .sort("at_us", "ticket_id", "metric")
        )


def slow(of: Material) -> Looked:
    """Look at waits over the case's limit."""
    over = number(of.incident.slow_ms, "s")
    return _outcome(of, "slow", "requests", f"took over {over}")


def failed(of: Material) -> Looked:
    """Look at requests without an answer."""
    return _outcome(of, "failed", "requests", "got no answer")


def overrides(of: Material) -> Looked:
    """Look at drafts that agents edited or rejected."""
    return _outcome(of, "overridden", "reviewed drafts", "were overridden")


def refusals(of: Material) -> Looked:
    """Look at requests that a gateway or a provider refused for lack of room: cooled down, 429, 503, 529."""
    return _outcome(of, "refused", "requests", "were refused somewhere for lack of room (429, 503, 529, cooling down)")


def retries(of: Material) -> Looked:
    """Look at requests that were sent to the same target again."""
    return _outcome(of, "resent", "requests", "were sent again to the same target")


def silent_tools(of: Material) -> Looked:
    """Look at answers that arrived without an error, yet whose tool calls failed."""
    rows = of.facets.rows
    quiet = (rows["failed"] == False).fill_null(value=False).to_numpy()  # noqa: E712 - NULL is not false
    trials = of.requests.trials(rows["tool_failed"], rows["served"], quiet)
    noun, did = "answers with tool calls", "had a failed one and no error"
    why = "the logs hold no results of tool calls" if rows["tool_failed"].null_count() == rows.height else ""
    return Looked(noun, did, tuple(trials), rows["request_id"], why)


def one_place(of: Material) -> Looked:
    """Look whether failing or slow calls are those of one provider, target or deployment."""
    calls = of.calls
    rows = Rows.of(calls["at_us"].to_numpy(), calls["request_id"], look=of.look, usual=of.usual)
    trials: list[Trial] = []
    for column in ("provider", "target", "deployment"):
        names = rows.groups(calls[column])
        if len(names) < 2:
            continue
        trials += [rows.trial(calls["troubled"], mask, group=f"{column} {name}") for name, mask in names.items()]
    why = "" if trials else "usual time knows fewer than two providers, targets or deployments"
    return Looked(
        "calls",
        "failed or were slower than nineteen in twenty usually are",
        tuple(trials),
        calls["request_id"],
        why,
        "place",
    )


def one_intent(of: Material) -> Looked:
    """Look whether what went wrong is of one intent: slow, no answer, a failed tool call, an overridden draft."""
    rows = of.facets.rows
    wrong = rows.select(pl.any_horizontal(pl.col(name).fill_null(value=False) for name in _WRONG)).to_series()
    names = of.requests.groups(rows["intent"])
    trials = [of.requests.trial(wrong, mask, group=f"intent {name}") for name, mask in names.items()]
    why = "" if len(trials) > 1 else "usual time knows fewer than two intents"
    did = "were slow, failed, had a failed tool call or an overridden draft"
    return Looked("requests", did, tuple(trials if len(trials) > 1 else ()), rows["request_id"], why, "intent")


def breaches(of: Material) -> Looked:
    """Look at SLA targets that were missed, at their computed due times."""
    clocks = of.clocks
    noun, did = "SLA targets that fell due", "were missed"
    if clocks.is_empty():
        return Looked(noun, did, why="no SLA clock with a verdict is loaded")
    rows = Rows.of(clocks["at_us"].to_numpy(), clocks["request_id"], look=of.look, usual=of.usual)
    return Looked(noun, did, tuple(rows.trials(clocks["breached"], clocks["intent"])), clocks["request_id"])


def backup(of: Material) -> Looked:
    """Look whether the backup calls tools and writes as the primary usually does, on the same intents."""
    rows = of.facets.rows
    backup_, ok = (rows[name].fill_null(value=False).to_numpy() for name in ("is_fallback", "failed"))
    mine, others = backup_ & ~ok, ~backup_ & ~ok
    noun, did = "answers of the backup", ""
    if not (mine & of.requests.chosen).any():
        return Looked(noun, did, why="the backup answered nothing")
    called = rows.select(pl.when(pl.col("tools") == "yes").then(pl.col("tool_calls") > 0)).to_series()
    usual = rows.filter(pl.Series(of.requests.usual & others)).group_by("intent").agg(
        pl.col("completion_tokens").quantile(0.9, "higher").alias("limit")
    )  # fmt: skip
    limit = rows.select("intent").join(usual, on="intent", how="left", maintain_order="left", nulls_equal=True)["limit"]
    parts = {  # the worst first
        "were overridden": rows["overridden"],
        "had a failed tool call": rows["tool_failed"],
        "called a tool where they could": called,
        "were longer than nine in ten usually are": rows["completion_tokens"] > limit,
    }
    trials = []
    for name, hit in parts.items():
        one = of.requests.matched(hit, rows["intent"], mine, others)
        if one.share.of:
            trials.append(Trial(name, one.share, one.side, one.rows))
    why = "" if trials else "the primary's usual answers to the same intents are not known"
    return Looked(noun, did, tuple(trials), rows["request_id"], why, by_part=True)


def missing(of: Material) -> Looked:
    """Look at what the logs cannot tell, and at signals that fell silent."""
    rows = of.facets.rows
    usually = rows.filter(pl.Series(of.requests.usual & rows["overridden"].is_not_null().to_numpy()))["intent"].unique()
    tools = pl.col("tool_calls") > 0
    absent = {
        "their wait": rows["wait_ms"].is_null(),
        "how they ended": rows["failed"].is_null(),
        "their ticket": rows["ticket_id"].is_null(),
        "the results of their tool calls": rows.select(
            pl.when(tools).then(pl.col("tool_errors").is_null())
        ).to_series(),
        "what the agent did with the draft": rows.select(
            pl.when(pl.col("intent").is_in(usually.implode())).then(pl.col("overridden").is_null())
        ).to_series(),
    }
    trials = [of.requests.trial(hit, group=name) for name, hit in absent.items() if not hit.drop_nulls().all()]
    facts = tuple(name for name, one in of.incident.answers.items() if one.answer == "no")
    return Looked("requests", "lack", tuple(trials), rows["request_id"], facts=facts, by_part=True)


_WRONG = ("slow", "failed", "tool_failed", "overridden")


def _outcome(of: Material, column: str, noun: str, did: str) -> Looked:
    """Return the trials of one outcome, over all and by intent."""
    rows = of.facets.rows
    asked = OUTCOMES[column][1]
    answer = of.incident.answers.get(asked or "")
    why = ""
    if answer is not None and answer.answer == "no":
        why = answer.why
    elif rows[column].null_count() == rows.height:
        why = "the logs hold nothing of it"
    return Looked(noun, did, tuple(of.requests.trials(rows[column], rows["intent"])), rows["request_id"], why)


def _within(calls: pl.DataFrame, spans: Spans) -> pl.Series:
    at = calls["at_us"].to_numpy()
    found = np.zeros(len(at), np.bool_)
    for begin, end in spans:
        found |= (at >= begin) & (at < end)
    return pl.Series(found)


CHECKS: dict[str, tuple[str, Callable[[Material], Looked]]] = {
    "slow answers": ("Slow answers", slow),
    "no answer": ("Requests without an answer", failed),
    "override spike": ("Overrides", overrides),
    "one place": ("One provider, target or deployment", one_place),
    "one intent": ("One kind of question", one_intent),
    "retry storm": ("Requests sent again", retries),
    "breach cluster": ("SLA targets missed", breaches),
    "silent tools": ("Tool calls that failed silently", silent_tools),
    "backup": ("The backup's behaviour", backup),
    "refusals": ("Refused for lack of room", refusals),
    "missing signals": ("What the logs do not tell", missing),
}
