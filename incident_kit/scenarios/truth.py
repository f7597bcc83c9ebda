"""Truth: what every target would have done to every request of a scenario, whatever the policy: its potential outcomes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.log import Calls, Log, read
from incident_kit.scenarios.potential import CALL, outcomes_of
from incident_kit.scenarios.reviews import Reviews, reviews
from incident_kit.scenarios.scenario import Scenario, since
from incident_kit.scenarios.traffic import traffic
from incident_kit.store import Store

_EPOCH = datetime.fromtimestamp(0, tz=UTC)
_INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Truth:
    """The potential outcomes of a scenario.

    ``requests`` is :func:`traffic.traffic`'s frame, ``calls`` holds CALL records ``[target, attempt, request]``, and
    ``targets`` and ``errors`` are the names of its codes.
    """

    scenario: Scenario
    requests: pl.DataFrame
    targets: tuple[str, ...]
    errors: tuple[str, ...]
    calls: NDArray[Any]

    def __len__(self) -> int:
        """Return the number of requests."""
        return self.requests.height

    @property
    def arrived_us(self) -> NDArray[np.int64]:
        """The arrivals, in microseconds since the epoch."""
        start = since(self.scenario.start, _EPOCH)
        return np.asarray(self.requests["at_us"].to_numpy() + start)

    def cost_usd(self, target: NDArray[Any], request: NDArray[Any], completion_tokens: NDArray[Any]) -> NDArray[Any]:
        """Return what answers cost, in US dollars."""
        prices = np.array([self.scenario.targets[name].price for name in self.targets], np.float64)
        prompt = self.requests["prompt_tokens"].to_numpy()[request]
        cost: NDArray[Any] = (prompt * prices[target, 0] + completion_tokens * prices[target, 1]) / 1e6
        return np.round(cost, 8)

    @cached_property
    def reviews(self) -> Reviews:
        """Which answers agents decide on, and when."""
        return reviews(self.scenario, self.requests)

    @cached_property
    def log(self) -> Log:
        """A log in which every potential call is an observed one: a policy replayed over it is the exact closed loop.

        As logged, nobody routes: each request went to the target that it asked for, and stayed there.
        """
        return self.log_where(np.zeros(self.calls.shape[::2], np.bool_), np.ones(len(self), np.bool_))

    def log_where(self, without_tools: NDArray[np.bool_], is_routed: NDArray[np.bool_]) -> Log:
        """Return such a log for a policy that takes tools away from some calls, ``[target, request]``.

        Of a request that is not routed the log holds the one call that it makes.
        """
        log = self._log
        facts = _facts(self, without_tools)
        if not is_routed.all():
            asked = pl.Series([log.targets.index(name) for name in self.requests["requested"]]).to_numpy()
            kept = is_routed[log.calls.request]
            kept |= (log.calls.target == asked[log.calls.request]) & (log.calls.number == 0)
            arrays = {
                field.name: getattr(log.calls, field.name)[kept] for field in fields(Calls) if field.name != "starts"
            }
            log, facts = replace(log, calls=Calls.of(requests=len(log), **arrays)), facts.filter(pl.Series(kept))
        else:
            log = replace(log)
        vars(log)["call_facts"] = facts
        return log

    @cached_property
    def _log(self) -> Log:
        return read(self.store())

    def store(self) -> Store:
        """Return the potential calls as an incident's tables, in memory: every one is an attempt of its request."""
        store = Store()
        put(store, "requests", _request_rows(self))
        put(store, "attempts", _attempt_rows(self))
        return store


def draw_truth(scenario: Scenario) -> Truth:
    """Return the potential outcomes of a scenario."""
    requests = traffic(scenario)
    targets = tuple(sorted(scenario.targets))
    errors = ("ok", *sorted(_classes(scenario)))
    calls = np.zeros((len(targets), scenario.attempts, requests.height), CALL)
    for name in scenario.intents:
        rows = np.flatnonzero((requests["intent"] == name).to_numpy())
        own = requests[rows]
        for t, target in enumerate(targets):
            for attempt in range(scenario.attempts):
                calls[t, attempt, rows] = outcomes_of(scenario, own, name, target, attempt, errors)
    return Truth(scenario, requests, targets, errors, calls)


def put(store: Store, table: str, rows: pl.DataFrame) -> None:
    """Add rows to one of the kit's own tables."""
    store.connection.register("rows_to_put", rows.to_arrow())
    store.run(f"insert into {table} by name select * from rows_to_put")  # noqa: S608 - a table of the kit's own
    store.connection.unregister("rows_to_put")


def _classes(scenario: Scenario) -> set[str]:
    classes = {"timeout", "429"}
    classes |= {name for target in scenario.targets.values() for name in target.errors}
    classes |= {name for degradation in scenario.degradations for name in degradation.errors}
    return classes


def _facts(it: Truth, without_tools: NDArray[np.bool_]) -> pl.DataFrame:
    """Return what :attr:`log.Log.call_facts` says of every potential call, sorted by request, target and number."""
    targets, attempts, size = it.calls.shape
    calls = it.calls.transpose(2, 0, 1).ravel()
    request = np.repeat(np.arange(size), targets * attempts)
    target = np.tile(np.repeat(np.arange(targets), attempts), size)
    bare = without_tools[target, request]
    is_ok = calls["error"] == 0
    done_us = it.arrived_us[request] + calls["latency_ms"].astype(np.int64) * 1000
    asked = it.requests.select("conversation_id", "prompt_tokens", "tools_offered")[request]
    overridden = np.where(bare, calls["overridden_without_tools"], calls["overridden"])
    is_reviewed = is_ok & (it.reviews.shown & ~it.reviews.ignored)[request]
    tool_calls = np.where(bare, 0, calls["tool_calls"]).astype(np.int64)
    frame = pl.DataFrame(
        {
            "request": request.astype(np.int32),
            "target": target.astype(np.int16),
            "number": np.tile(np.arange(attempts), size * targets).astype(np.int16),
            "conversation_id": asked["conversation_id"],
            "done_us": done_us,
            "tools_offered": np.where(bare, 0, asked["tools_offered"].to_numpy()),
            "tool_calls": tool_calls,
            "malformed": np.where(bare, 0, calls["malformed"]).astype(np.int64),
            "failing": np.where(bare, 0, calls["failing"]).astype(np.int64),
            "prompt_tokens": asked["prompt_tokens"],
            "completion_tokens": calls["completion_tokens"].astype(np.int64),
            "cost_usd": it.cost_usd(target, request, calls["completion_tokens"]),
            "ttft_ms": calls["first_token_ms"].astype(np.int64),
            "is_ok": is_ok,
        }
    )
    found = results(frame.with_row_index("call").filter(pl.col("tool_calls") > 0), it)
    with_results = frame.with_row_index("call").join(found, on="call", how="left", maintain_order="left")
    answers = ("tool_calls", "tool_errors", "prompt_tokens", "completion_tokens", "cost_usd")
    return with_results.with_columns(tool_errors().alias("tool_errors")).select(
        "request", "target", "number", "tools_offered",
        *(pl.when("is_ok").then(name).alias(name) for name in answers),
        pl.when(pl.col("ttft_ms") > 0).then("ttft_ms").alias("ttft_ms"),
        pl.col("tools_known_us"),
        pl.when(pl.Series(is_reviewed)).then(pl.Series(overridden)).alias("overridden"),
        pl.when(pl.Series(is_reviewed)).then(pl.Series(done_us + it.reviews.after_us[request])).alias("reviewed_us"),
    )  # fmt: skip


def results(answers: pl.DataFrame, it: Truth) -> pl.DataFrame:
    """Return when the results of tool calls come, and with which request: the conversation's next arrival after the answer.

    ``answers`` has call, conversation_id and done_us; the frame call, tools_known_us and results_in (a request's position).
    """
    arrivals = pl.DataFrame(
        {
            "conversation_id": it.requests["conversation_id"],
            "tools_known_us": it.arrived_us,
            "results_in": np.arange(len(it)),
        }
    )
    return (
        answers.select("call", "conversation_id", "done_us")
        .sort("done_us", "call")
        .join_asof(
            arrivals, left_on="done_us", right_on="tools_known_us", by="conversation_id", strategy="forward",
            check_sortedness=False,
        )
        .select("call", "tools_known_us", "results_in")
    )  # fmt: skip


def tool_errors() -> pl.Expr:
    """Return how many tool calls are known to have gone wrong: without their results, the malformed ones only."""
    whole = pl.when(pl.col("tools_known_us").is_not_null()).then(pl.col("malformed") + pl.col("failing"))
    return whole.when(pl.col("malformed") > 0).then("malformed").when(pl.col("tool_calls") == 0).then(0)


def _request_rows(it: Truth) -> pl.DataFrame:
    """Return the requests as they would be without any policy: what the target that each asked for did at once."""
    codes = {name: code for code, name in enumerate(it.targets)}
    asked = np.array([codes[name] for name in it.requests["requested"]], np.int64)
    calls = it.calls[asked, 0, np.arange(len(it))]
    is_ok = pl.Series(calls["error"] == 0)
    error = pl.Series(it.errors, dtype=pl.String).gather(calls["error"].astype(np.int64))
    return it.requests.with_columns(is_ok.alias("ok"), error.alias("error")).select(
        "request_id",
        "conversation_id",
        "ticket_id",
        "intent",
        "channel",
        pl.Series("arrived_at", it.arrived_us).cast(_INSTANT),
        pl.Series("wait_ms", calls["latency_ms"]),
        "requested",
        pl.when("ok").then("requested").alias("served"),
        pl.lit(value=False).alias("is_fallback"),
        _status().alias("status"),
        pl.when(~pl.col("ok")).then("error").alias("error_class"),
        "stream",
        "tools_offered",
        "prompt_tokens",
        pl.when("ok")
        .then(pl.Series(it.cost_usd(asked, np.arange(len(it)), calls["completion_tokens"])))
        .alias("cost_usd"),
        pl.lit(value=True).alias("attempts_complete"),
    )


def _attempt_rows(it: Truth) -> pl.DataFrame:
    """Return every potential call as an attempt: those of the requested target first, so that it is the first decision."""
    targets, attempts, size = it.calls.shape
    calls = it.calls.ravel()
    target = np.repeat(np.arange(targets), attempts * size)
    number = np.tile(np.repeat(np.arange(attempts), size), targets)
    request = np.tile(np.arange(size), targets * attempts)
    names = pl.Series(it.targets)
    requested = it.requests["requested"].gather(request)
    named = names.gather(target)
    ids = it.requests["request_id"].gather(request)
    error = pl.Series(it.errors).gather(calls["error"].astype(np.int64))
    is_ok = pl.Series(calls["error"] == 0)
    sent = pl.Series(it.arrived_us[request])
    return pl.DataFrame(
        {"request_id": ids, "target": named, "number": number, "error": error, "ok": is_ok, "sent": sent}
        | {name: calls[name] for name in ("latency_ms", "completion_tokens", "tool_calls", "malformed", "failing")}
        | {"other": named != requested, "rank": target}
    ).select(
        (pl.col("request_id") + "/" + pl.col("target") + "/" + pl.col("number").cast(pl.String)).alias("attempt_id"),
        "request_id",
        (1 + pl.col("other") * targets * attempts + pl.col("rank") * attempts + pl.col("number"))
        .cast(pl.Int32)
        .alias("seq"),
        pl.lit("call").alias("kind"),
        "target",
        pl.col("sent").cast(_INSTANT).alias("sent_at"),
        (pl.col("sent") + 1000 * pl.col("latency_ms").cast(pl.Int64)).cast(_INSTANT).alias("done_at"),
        "latency_ms",
        _status().alias("status"),
        pl.when(~pl.col("ok")).then("error").alias("error_class"),
        "completion_tokens",
        "tool_calls",
        (pl.col("malformed") + pl.col("failing")).alias("tool_errors"),
    )


def _status() -> pl.Expr:
    failed = pl.when(pl.col("error") == "timeout").then(pl.lit("timeout")).otherwise(pl.lit("error"))
    return pl.when("ok").then(pl.lit("ok")).otherwise(failed)
