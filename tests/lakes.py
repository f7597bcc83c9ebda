"""Lakes for tests: made-up requests as files, and a cluster that is only pretended: its tasks, one after the other, shuffled."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
import pyarrow as pa
from written import START, Call, Request, write

import incident_kit as ik
from incident_kit.clusters import lakerows, partitions
from incident_kit.clusters.lakerows import Reading
from incident_kit.clusters.resulttables import plain
from incident_kit.engine.cohorts import cohorts, reason_together
from incident_kit.scoring.replays import Replay

INTENTS = ("refund", "refund", "refund", "refund", "order", "chat", "mail", None)  # skewed
KERNEL = """
name: kernel
routes:
- {intent: refund, primary: big, fallback: small, max_p95_ms: 900}
- {intent: [order, chat], primary: big, fallback: small, retry: {attempts: 1, retry_on: [5xx], timeout_ms: 1500},
   breaker: {when: error_rate > 0.2, min_requests: 5, window: 30s, cooldown: 10s, half_open: {requests: 2, share: 0.5}}}
"""
MACHINE = """
name: machine
defaults: {breaker: {min_requests: 5, window: 30s, cooldown: {base: 10s, factor: 2, max: 40s}}}
routes:
- {intent: refund, primary: big, fallback: [small, human], sticky: conversation,
   breaker: {when: {any: [p95_ms > 900, override_rate > 0.5]}}}
- {intent: order, match: {channel: chat}, primary: big, fallback: [small, {template: later}],
   breaker: {when: tool_success_rate < 0.7}}
- {intent: "*", primary: {big: 2, mid: 1}, fallback: small,
   breaker: {scope: intent, when: p95_ms > 900}}
"""
TARGET = """
name: target
routes:
- {intent: refund, primary: big, fallback: small,
   breaker: {scope: target, when: p95_ms > 900, min_requests: 5, window: 30s, cooldown: 10s}}
- {intent: order, primary: big, fallback: small, max_p95_ms: 900}
- {intent: mail, primary: mid, fallback: small, max_p95_ms: 900}
"""
SWEPT = """
name: swept
routes:
- {intent: refund, primary: big, fallback: small,
   breaker: {every: 10s, when: p95_ms > 900, min_requests: 5, window: 30s, cooldown: 10s}}
- {intent: order, primary: big, fallback: small, max_p95_ms: 900}
"""
ALERTED = """
name: alerted
routes:
- {intent: refund, primary: big, fallback: small, breaker: {when: "alert:slow", cooldown: 10s, half_open: {requests: 0}}}
- {intent: order, primary: big, fallback: small, max_p95_ms: 900}
alerts:
- {name: slow, intent: [refund, chat], when: p95_ms > 900, window: 30s, min_requests: 5, every: 10s}
"""

DESK = """
name: desk
defaults: {breaker: {window: 60s, min_requests: 3, cooldown: 10s, half_open: {requests: 1}}}
routes:
- {intent: refund, primary: big, fallback: small, breaker: {when: {any: [escalation_rate > 0.2, reopen_rate > 0.2]}}}
- {intent: order, primary: big, fallback: small, breaker: {when: sla_breach_rate > 0.1}}
- {intent: "*", primary: big, fallback: small, breaker: {when: "signal:churn > 0.5", min_requests: 1}}
"""


def made_up(size: int, *, seed: int, has_tickets: bool = False) -> list[Request]:
    """Return requests with retries, tool calls, reviews and a slow spell; some without an intent, some without calls."""
    dice = random.Random(seed)  # noqa: S311 - it only makes things up
    found, at = [], 0.0
    for number in range(size):
        at += dice.expovariate(1 / 400)
        slow = 3 if size * 400 * 0.3 < at < size * 400 * 0.6 else 1

        def call(target: str, slow: int = slow) -> Call:
            error = dice.choice([None] * 8 + ["500", "429"])
            tools = dice.choice([None, 0, 2])
            bad = dice.choice([0, 0, 0, 1]) if tools else None
            return Call(
                target,
                int(dice.expovariate(1 / 300) * slow) + 50,
                error,
                tool_calls=tools,
                tool_errors=bad,
                cost_usd=0.01,
            )

        calls = [call(dice.choice(["big", "big", "big", "mid", "small"]))]
        if calls[0].error and dice.random() < 0.7:
            calls.append(call("small", 1))
        if dice.random() < 0.05:
            calls = []
        changes: dict[str, Any] = {"channel": dice.choice(["chat", "email"]), "conversation_id": f"c{number // 3}"}
        changes |= {"ticket_id": f"t{number // 4}"} if has_tickets else {}
        if not calls:
            changes |= {"wait_ms": 500, "status": "ok", "served": "big"}
        overridden = dice.choice([None, None, True, False]) if calls and calls[-1].error is None else None
        found.append(
            Request(
                f"r{number:06}", round(at, 3), calls, dice.choice(INTENTS), overridden, changes=changes, requested="big"
            )
        )
    return found


def lake(folder: Path, requests: Sequence[Request], *, files: int = 1, seed: int = 0) -> list[Path]:
    """Write requests as files of the kit's own format, their rows shuffled and dealt out, some of them twice."""
    dice = random.Random(seed)  # noqa: S311 - it only makes things up
    whole = folder / "whole"
    whole.mkdir(parents=True)
    found = []
    for file in write(whole, requests):
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        lines += dice.sample(lines, len(lines) // 50)
        dice.shuffle(lines)
        file.unlink()
        (folder / file.stem).mkdir()
        for number in range(files):
            found.append(folder / file.stem / f"part-{number}.ndjson")
            found[-1].write_text("".join(lines[number::files]), encoding="utf-8")
    whole.rmdir()
    return found


@dataclass(frozen=True)
class Played:
    decisions: pl.DataFrame
    transitions: pl.DataFrame
    totals: pl.DataFrame
    groups: int


def rolled(files: Iterable[Path], *, parts: int = 2, seed: int = 0) -> pa.Table:
    """Return what the tasks that put requests together make of files, each task's rows shuffled."""
    dice = random.Random(seed)  # noqa: S311 - it only makes things up
    rows = pa.concat_tables([lakerows.loaded(None, reading=Reading("", "")), *map(_loaded, files)])
    of = [zlib.crc32((name or "").encode()) % parts for name in rows["request_id"].to_pylist()]
    found = []
    for part in range(parts):
        mine = [i for i, one in enumerate(of) if one == part]
        dice.shuffle(mine)
        table = rows.take(pa.array(mine, pa.int64()))
        found.append(partitions.rolled(table.to_batches(max_chunksize=97), schema=table.schema, counts_reviews=True))
    return pa.concat_tables(found)


def tallies(whole: pa.Table) -> list[dict[str, Any]]:
    """Return what the tasks say of their rows."""
    return [json.loads(text) for text in whole["tally"].to_pylist() if text]


def pretended(
    whole: pa.Table, policy: ik.Policy, *, seed: int = 0, desk: Mapping[str, bytes] = MappingProxyType({})
) -> Played:
    """Return what the tasks that replay make of requests, each task's rows shuffled."""
    dice = random.Random(seed)  # noqa: S311 - it only makes things up
    kept = whole.filter(pa.compute.is_valid(whole["request_id"]))
    intents = kept["intent"].to_pylist()
    group = cohorts(policy, set(intents), together=bool(reason_together(policy)))
    results = []
    for number in sorted(set(group.values())):
        mine = [i for i, intent in enumerate(intents) if group[intent] == number]
        dice.shuffle(mine)
        table = kept.take(pa.array(mine, pa.int64())).drop_columns("tally")
        batches: Iterator[Any] = iter(table.to_batches(max_chunksize=97))
        results.append(partitions.decided(batches, schema=table.schema, policy=policy, desk=desk, reviewed=True))
    made = pa.concat_tables(results)
    of = {
        name: _frame(made.filter(pa.compute.is_valid(made[name])), name) for name in ("decision", "transition", "total")
    }
    return Played(
        of["decision"].sort("at", "request_id"),
        of["transition"].sort("at", "route", "breaker"),
        of["total"],
        len(set(group.values())),
    )


def _loaded(file: Path) -> pa.Table:
    return lakerows.loaded(file, reading=Reading("canonical", file.parent.name))


def _frame(table: pa.Table, name: str) -> pl.DataFrame:
    struct = table[name].combine_chunks()
    return pl.from_arrow(pa.Table.from_struct_array(struct))


def here(files: Sequence[Path]) -> ik.Incident:
    """Return the same files loaded on one machine."""
    incident = ik.Incident.create()
    incident.load(list(files))
    return incident


def told(replay: Replay) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return a replay's decisions and transitions as a cluster writes them, in order."""
    decisions, transitions = plain(replay.decisions.drop("agreement")), plain(replay.transitions)
    return pl.from_arrow(decisions).sort("at", "request_id"), pl.from_arrow(transitions).sort("at", "route", "breaker")


def desk(folder: Path, *, tickets: int, seed: int) -> list[Path]:
    """Write what a help desk and a product say of tickets t0, t1, ...: escalations, re-openings, SLA targets missed, churn."""
    dice = random.Random(seed)  # noqa: S311 - it only makes things up
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("tickets", "ticket_events", "sla", "signals")}

    def later(seconds: float) -> str:
        return (START + timedelta(seconds=round(seconds, 3))).isoformat()

    for number in range(tickets):
        ticket, at = f"t{number}", 1.6 * number
        rows["tickets"].append({"ticket_id": ticket, "created_at": later(at - 5)})
        for kind in ("escalation", "reopen"):
            if dice.random() < 0.3:
                rows["ticket_events"].append({"ticket_id": ticket, "at": later(at + dice.uniform(1, 20)), "type": kind})
        took = dice.choice([4, 9, 14, 30])
        rows["sla"].append(
            {
                "ticket_id": ticket, "metric": "first_reply", "instance_no": 1, "target_s": 10, "clock": "calendar",
                "started_at": later(at), "due_at": later(at + 10), "stopped_at": later(at + took), "breached": took > 10,
            }
        )  # fmt: skip
        rows["signals"].append(
            {"name": "churn", "known_at": later(at), "value": float(dice.random() < 0.5), "ticket_id": ticket}
        )
    folder.mkdir(parents=True)
    found = []
    for name, of_table in rows.items():
        found.append(folder / f"{name}.ndjson")
        found[-1].write_text("".join(json.dumps(row) + "\n" for row in of_table), encoding="utf-8")
    return found
