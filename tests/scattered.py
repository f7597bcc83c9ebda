"""Scattered incidents: logs of every odd shape with a help desk and signals, from a seed, for tests of packs and gates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from written import START, Call, Request, fill, frames

from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy

INSTANT = pl.Datetime("us", "UTC")
TARGETS = ("big", "other big", "small")
MORE: dict[str, Any] = {"conversation_id": pl.String, "channel": pl.String, "stream": pl.Boolean, "labels": pl.String}
NAMES = ("req-{}", "{}", "\N{SNOWMAN}{}", "user{}@example.com", "b{:x}")

POLICIES = {
    name: Policy.parse(f"name: {name}\nroutes:\n" + text, name=name)
    for name, text in {
        "plain": """
- {intent: refund, primary: big, fallback: small, max_p95_ms: 900,
   breaker: {window: 3m, min_requests: 5, cooldown: 20s}, retry: {attempts: 1, retry_on: [500]}}
- {intent: "*", primary: big, fallback: [small, other big], breaker: {when: error_rate > 0.2, window: 2m, min_requests: 4}}
""",
        "probing": """
- {intent: "*", primary: big, fallback: small, disable_tools_on_fallback: true,
   breaker: {when: p95_ms > 700, window: 2m, min_requests: 5, cooldown: 15s, half_open: {requests: 3, share: 0.3}}}
""",
        "weighted": """
- {intent: refund, primary: {big: 7, other big: 3}, fallback: small,
   breaker: {when: p95_ms > 800, window: 2m, min_requests: 5, half_open: {requests: 2, share: 0.5}}}
- {intent: "*", primary: {big: 1, small: 1}, fallback: [other big, human]}
""",
        "of its own kind": """
- {intent: refund, match: {labels.tier: gold, channel: [chat, email]}, primary: big, fallback: {queue: 2m}, max_p95_ms: 900,
   sticky: conversation, breaker: {window: 3m, min_requests: 5}}
- {intent: "*", primary: big, fallback: [small, {template: busy}],
   breaker: {when: {any: [override_rate > 0.5, tool_success_rate < 0.4]}, window: 10m, min_requests: 3, no_data: ok}}
alerts:
- {name: felt, when: {any: [escalation_rate > 0.3, "signal:csat < 0.4", sla_breach_rate > 0.5]}, window: 10m,
   min_requests: 2, no_data: ok}
""",
    }.items()
}


def scattered(seed: int, *, requests: int = 240) -> Incident:
    """Return an incident whose primary is slow for a while; the same for the same seed."""
    rng = np.random.default_rng(seed)
    made = [_request(rng, i, at) for i, at in enumerate(np.sort(rng.integers(0, 40 * 60, requests)))]
    tables = frames(made)
    more = pl.DataFrame([{name: one.changes[name] for name in MORE} for one in made], schema=MORE)
    tables["requests"] = pl.concat([tables["requests"], more], how="horizontal")
    incident = Incident.create()
    fill(incident.store, tables | _desk(rng, made))
    incident.store.run(
        "insert into loads values (1, 'scattered', '/home/someone/log.ndjson', 'abc', 9, 9, 0, 0, now())"
    )
    for question in ("waits", "errors", "tools", "overrides", "tickets", "sla", "fidelity", "intents"):
        said = {"question": question, "why": f"the rows say {question}"}
        incident.store.run("insert into answers values (1, $question, 'yes', $why, 'yes', $why)", said)
    for table in ("requests", "feedback", "sla", "sla_events"):
        incident.store.run(f"update {table} set load_id = 1")  # noqa: S608 - the kit's own tables
    text, link = "a text of ours about Jane", "https://wiki.example/jane"
    incident.annotate("impact", START + timedelta(minutes=12), START + timedelta(minutes=25), text=text, link=link)
    incident.in_force = POLICIES["plain"]
    incident.title, incident.zone, incident.prices = "Scattered", "Europe/Berlin", {"small": (0.5, 1.5)}
    return incident


def _request(rng: Any, i: int, second: int) -> Request:
    slow = 12 * 60 <= second < 25 * 60
    calls = []
    for _ in range(rng.integers(0, 4)):
        target = TARGETS[rng.integers(0, 3)]
        ms = int(rng.integers(50, 600)) * (4 if slow and target == "big" else 1)
        error = rng.choice([None, None, None, "500", "429", "timeout"])
        kind = rng.choice(["call", "call", "call", "call", "cache_hit", "refusal"])
        made = int(rng.integers(0, 3))
        latency = None if kind == "refusal" or rng.random() < 0.05 else ms
        cost = float(rng.choice([0.001, 0.1 + 0.2, 1 / 3, 7.25e-05]))
        calls.append(
            Call(
                target, latency, error, kind, int(rng.integers(0, 40)), tool_calls=made,
                tool_errors=int(rng.integers(0, made + 1)),
                completion_tokens=int(rng.integers(1, 900)), cost_usd=cost if rng.random() < 0.8 else None,
            )
        )  # fmt: skip
    name = NAMES[rng.integers(0, len(NAMES))].format(int(rng.permutation(10_000)[0]) * 1000 + i)
    ticket, talk = int(rng.integers(0, 60)), int(rng.integers(0, 80))
    changes = {
        "ticket_id": f"HD-{ticket}" if rng.random() < 0.7 else None,
        "prompt_tokens": int(rng.integers(1, 4000)) if rng.random() < 0.9 else None,
    }
    if not calls:
        changes |= {"wait_ms": int(rng.integers(50, 900)), "served": "big", "requested": "big", "status": "ok"}
    overridden = None if rng.random() < 0.6 else bool(rng.random() < 0.3)
    more = {
        "conversation_id": f"talk {talk}" if rng.random() < 0.8 else None,
        "channel": str(rng.choice(["chat", "email"])),
        "stream": bool(rng.random() < 0.5),
        "labels": f'{{"tier": "{rng.choice(["gold", "tin"])}", "customer": "Jane {i} Doe"}}'
        if rng.random() < 0.8
        else None,
    }
    intent = rng.choice(["refund", "chat", "<b>odd</b>", None])
    # whole seconds: many arrive at the same instant
    return Request(
        name, 1000.0 * int(second), calls, intent=intent, overridden=overridden, tools_offered=int(rng.integers(0, 3)),
        complete=bool(rng.random() < 0.8), requested="big", changes=changes | more,
    )  # fmt: skip


def _desk(rng: Any, made: list[Request]) -> dict[str, pl.DataFrame]:
    names = sorted({str(one.changes["ticket_id"]) for one in made if one.changes["ticket_id"]})
    tickets, events, sla, steps, signals = [], [], [], [], []
    for i, name in enumerate(names):
        at = START + timedelta(seconds=int(rng.integers(0, 1200)), microseconds=int(rng.integers(0, 2)) * 7)
        target, took = 600, int(rng.integers(60, 1500))
        tickets.append(
            {"ticket_id": name, "created_at": at, "solved_at": at + timedelta(hours=1), "group_name": "Jane's team"}
        )
        events.append(
            {"ticket_id": name, "at": at, "type": "comment", "value": "Dear Jane", "actor": f"jane{i}", "seq": 900 + i}
        )
        later = {"ticket_id": name, "at": at + timedelta(seconds=took), "value": None, "seq": 5}
        events += [later | {"type": kind} for kind in ("escalation", "reopen") if rng.random() < 0.3]
        sla.append(
            {"ticket_id": name, "metric": "first_reply", "instance_no": 1, "policy": "Jane's promise", "target_s": target,
             "clock": "calendar", "started_at": at, "due_at": at + timedelta(seconds=target),
             "stopped_at": at + timedelta(seconds=took), "breached": took > target, "source": "zendesk"}
        )  # fmt: skip
        for seq, (kind, after) in enumerate((("start", 0), ("apply", 1), ("stop", took))):
            steps.append(
                {"ticket_id": name, "metric": "first_reply", "instance_no": 1, "at": at + timedelta(seconds=after),
                 "type": kind, "target_s": target if kind == "apply" else None, "clock": "calendar", "seq": seq}
            )  # fmt: skip
        signals.append({"name": "csat", "known_at": at, "value": float(rng.random()), "ticket_id": name})
    return {
        "tickets": _frame(tickets), "ticket_events": _frame(events), "sla": _frame(sla), "sla_events": _frame(steps),
        "signals": _frame(signals),
    }  # fmt: skip


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return frame.with_columns(
        pl.col(name).cast(INSTANT) for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)
    )
