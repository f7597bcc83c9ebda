"""Traffic: the requests of a scenario, whatever answers them: arrivals, conversations, tickets, what each offers and asks."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.scenarios.scenario import Intent, Scenario
from incident_kit.stats.draws import log_normals, poissons, uniforms

_SECOND = 1_000_000
_FIRST_TICKET = 400_001
_SHORTEST_GAP_S = 3.0  # between the requests of one conversation


def traffic(scenario: Scenario) -> pl.DataFrame:
    """Return one row a request in order of arrival.

    Columns: request_id, conversation_id, ticket_id, at_us (since the start), intent, number and conversation (within the
    intent), turn (from 0), is_last (of its conversation), stream, tools_offered, channel, requested, prompt_tokens.
    """
    frames = [_of_intent(scenario, name, intent) for name, intent in scenario.intents.items()]
    every = pl.concat(frames).sort("at_us", "intent", "number").with_row_index("row")
    width = max(6, len(str(every.height)))
    ids = every.select(
        (pl.lit("sim-") + pl.col("row").cast(pl.String).str.zfill(width)).alias("request_id"),
        _numbered(every.select("intent", "conversation"), "conv-", 0).alias("conversation_id"),
        _numbered(every.select("intent", pl.when("ticketed").then("conversation")), "", _FIRST_TICKET).alias(
            "ticket_id"
        ),
    )
    return pl.concat([ids, every.drop("row", "ticketed")], how="horizontal")


def _numbered(keys: pl.DataFrame, prefix: str, first: int) -> pl.Series:
    """Return a name for each distinct key, numbered in order of appearance; NULL where a part of the key is."""
    distinct = keys.unique(maintain_order=True).drop_nulls().with_row_index("no")
    number = keys.join(distinct, on=keys.columns, how="left", maintain_order="left")["no"].cast(pl.Int64) + first
    return prefix + number.cast(pl.String).str.zfill(5)


def _of_intent(scenario: Scenario, name: str, intent: Intent) -> pl.DataFrame:
    def draw(what: str, size: int) -> NDArray[np.float64]:
        return uniforms(scenario.seed, "intent", name, what, size=size)

    starts = _starts(scenario, name, intent)
    u = draw("turns", len(starts))
    stay = 1 - 1 / intent.turns
    turns = 1 + (np.log(u) / np.log(stay)).astype(np.int64).clip(0, 99) if stay else np.ones(len(starts), np.int64)
    conversation = np.repeat(np.arange(len(starts)), turns)
    size = len(conversation)
    turn = np.arange(size) - np.repeat(np.cumsum(turns) - turns, turns)
    gap_s = _SHORTEST_GAP_S + log_normals(draw("gap", size), intent.gap_s.median, intent.gap_s.width)
    gap_us = np.where(turn > 0, np.rint(gap_s * 1e3).astype(np.int64) * 1000, 0)
    passed = np.cumsum(gap_us)
    first = np.cumsum(turns) - turns
    at_us = starts[conversation] + passed - passed[first][conversation]
    inside = at_us < scenario.duration * 1000
    is_ticketed = draw("ticketed", len(starts)) < intent.ticketed
    tokens = log_normals(draw("prompt", size), intent.prompt_tokens.median, intent.prompt_tokens.width)
    frame = pl.DataFrame(
        {
            "at_us": at_us,
            "number": np.arange(size),
            "conversation": conversation,
            "turn": turn,
            "stream": draw("stream", size) < intent.stream,
            "prompt_tokens": np.rint(tokens * (1 + 0.35 * turn)).astype(np.int64).clip(1, None),
            "ticketed": is_ticketed[conversation],
        }
    ).filter(pl.Series(inside))
    return frame.select(
        "at_us",
        pl.lit(name).alias("intent"),
        "number",
        "conversation",
        "ticketed",
        "turn",
        (pl.col("turn") == pl.col("turn").max().over("conversation")).alias("is_last"),
        "stream",
        pl.lit(len(intent.tools), pl.Int64).alias("tools_offered"),
        pl.lit(intent.channel).alias("channel"),
        pl.lit(intent.requested).alias("requested"),
        "prompt_tokens",
    )


def _starts(scenario: Scenario, name: str, intent: Intent) -> NDArray[np.int64]:
    """Return when conversations begin: Poisson in every second, at a rate of its hour and of its minute's burst."""
    seconds = -(-scenario.duration // 1000)
    per_minute = intent.per_minute if isinstance(intent.per_minute, tuple) else (intent.per_minute,)
    hour = (np.arange(seconds) // 3600).clip(None, len(per_minute) - 1)
    rate = np.asarray(per_minute, np.float64)[hour] / 60 / intent.turns
    if intent.burstiness:
        u = uniforms(scenario.seed, "intent", name, "burst", size=-(-seconds // 60))
        rate *= log_normals(u, np.exp(-(intent.burstiness**2) / 2), intent.burstiness)[np.arange(seconds) // 60]
    counts = poissons(uniforms(scenario.seed, "intent", name, "count", size=seconds), rate)
    within = uniforms(scenario.seed, "intent", name, "within", size=int(counts.sum()))
    return np.sort(np.repeat(np.arange(seconds), counts) * _SECOND + (within * _SECOND).astype(np.int64))
