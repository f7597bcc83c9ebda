"""Healthy days as findings and contrasts see them: every share drifts, tickets have fates of their own, nothing is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from incident_kit.inspection.battery import Findings, looked
from incident_kit.inspection.facets import Facets

MINUTE = 60_000_000
LENGTH = 360  # minutes
INTENTS = ("order", "refund", "address", "draft", "billing")


@dataclass(frozen=True)
class Day:
    """A day's requests, calls and clocks."""

    facets: Facets
    calls: pl.DataFrame
    clocks: pl.DataFrame

    def look(self, begin: int, end: int) -> Findings:
        """Return the findings of a span of minutes, held against the rest of the day."""
        queries = {"facet_calls": self.calls}
        incident: Any = SimpleNamespace(
            slow_ms=3500, answers={}, zone="UTC", store=SimpleNamespace(query=queries.__getitem__),
            clock=SimpleNamespace(instances=self.clocks),
        )  # fmt: skip
        usual = ((0, begin * MINUTE), (end * MINUTE, LENGTH * MINUTE))
        return looked(incident, self.facets, look=((begin * MINUTE, end * MINUTE),), usual=usual)


def day(
    rng: np.random.Generator, *, rate: float = 20, drift: float = 0.2, trouble: dict[str, Any] | None = None
) -> Day:
    """Return a day of tickets with requests.

    Parameters
    ----------
    rate
        Requests a minute, on average.
    drift
        How far each share swings over the day, as a part of itself.
    trouble
        Shares in place of the usual ones, from the minute ``from`` to the minute ``until``.
    """
    tickets = rng.poisson(rate * LENGTH / 3)
    began = np.sort(rng.uniform(0, LENGTH, tickets))
    size = rng.geometric(1 / 3, tickets)
    ticket = np.repeat(np.arange(tickets), size)
    minute = began[ticket] + rng.exponential(3, len(ticket)) * (
        np.arange(len(ticket)) - (np.cumsum(size) - size)[ticket]
    )
    kept = minute < LENGTH
    ticket, minute = ticket[kept], minute[kept]
    order = np.argsort(minute, kind="stable")
    ticket, minute = ticket[order], minute[order]
    bad = np.zeros(len(minute), np.bool_)
    if trouble:
        bad = (minute >= trouble["from"]) & (minute < trouble["until"])

    def wave(at: Any) -> Any:
        return 1 + drift * np.sin(2 * np.pi * (np.asarray(at) / LENGTH * rng.uniform(0.5, 1.5) + rng.uniform()))

    def flags(name: str, share: float, *, fate: float = 0.0) -> Any:
        own = rng.gamma(1 / fate, fate, tickets)[ticket] if fate else 1.0
        chance = np.where(bad & (name in (trouble or {})), (trouble or {}).get(name, 0), share * wave(minute) * own)
        return rng.random(len(minute)) < chance

    mix = np.array([0.35, 0.15, 0.2, 0.2, 0.1])[:, None] * np.stack([wave(began) for _ in INTENTS])
    cut = (mix / mix.sum(axis=0)).cumsum(axis=0)
    intent = (rng.random(tickets) > cut[:-1]).sum(axis=0)[ticket]
    n = len(minute)
    wait = np.exp(rng.normal(6.7, 0.5, n)) * wave(minute)
    wait = np.where(flags("slow", 0.002), 4000, np.minimum(wait, 3400)).astype(np.int64)
    chat = flags("chat", 0.85)
    tools = flags("tools", 0.5)
    failed, refused = flags("failed", 0.003), flags("refused", 0.002, fate=1)
    fallback = flags("fallback", 0.003)
    at_us = (minute * MINUTE).astype(np.int64)
    ids = pl.Series("request_id", [f"r{i}" for i in range(n)])
    served = np.where(fallback, "backup", np.where(chat, "chat", "reason"))
    reviewed = flags("reviewed", 0.45)
    tool_calls = (tools & flags("called", 0.7)).astype(np.int64)
    rows = pl.DataFrame(
        {
            "request_id": ids, "at_us": at_us, "ticket_id": ticket.astype(str),
            "intent": np.array(INTENTS)[intent], "channel": np.where(flags("channel", 0.7), "web", "mail"),
            "requested": np.where(chat, "chat", "reason"), "served": served, "deployment": served,
            "provider": np.where(fallback, "b", "a"), "model": served, "stream": np.where(flags("stream", 0.4), "yes", "no"),
            "tools": np.where(tools, "yes", "no"), "wait_ms": wait, "slow": wait > 3500, "failed": failed,
            "is_fallback": fallback, "refused": refused, "resent": flags("resent", 0.004, fate=1), "tool_calls": tool_calls,
            "tool_errors": (tool_calls > 0) & flags("tool", 0.036, fate=0.5), "overridden": flags("overridden", 0.1, fate=0.5),
            "completion_tokens": rng.poisson(150, n),
        }
    )  # fmt: skip
    absent = [pl.lit(None, pl.String).alias(name) for name in ("worker", "error_class", "prompt")]
    rows = rows.with_columns(
        *absent, pl.col("tool_errors").cast(pl.Int64), tool_failed=pl.when(pl.col("tool_calls") > 0).then("tool_errors"),
        overridden=pl.when(pl.Series(reviewed)).then("overridden"),
    )  # fmt: skip
    calls = rows.select(
        "request_id", "at_us", pl.col("served").alias("target"), "deployment", "provider",
        pl.col("wait_ms").alias("latency_ms"), "failed",
    )  # fmt: skip
    due = np.sort(rng.uniform(0, LENGTH, tickets))
    late = rng.random(tickets) < np.where(
        (due >= (trouble or {}).get("from", 1)) & (due < (trouble or {}).get("until", 0)) & ("late" in (trouble or {})),
        (trouble or {}).get("late", 0), 0.03 * wave(due),
    )  # fmt: skip
    clocks = pl.DataFrame(
        {"ticket_id": rng.permutation(tickets).astype(str), "metric": "reply", "breached": late,
         "due_at": (due * MINUTE).astype(np.int64)}
    ).with_columns(pl.col("due_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))  # fmt: skip
    return Day(Facets(rows), calls, clocks)
