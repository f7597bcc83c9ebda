"""Frames of an incident that never was, as charts and briefs get them: one row of each kind is easy to say by heart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl

from incident_kit import charts
from incident_kit.asked import Owner
from incident_kit.backups.likenesswords import Measure, Pair
from incident_kit.briefs.briefcontent import BriefContent, caveats, lapses, lede
from incident_kit.briefs.brieffront import Count
from incident_kit.briefs.briefpictures import Picture
from incident_kit.briefs.proposal import Change, Gain, Proposal
from incident_kit.phases import Phase
from incident_kit.words import label

START = datetime(2026, 10, 5, 13, 0, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=alert(1)>"
NASTY = (
    HOSTILE,
    "\"quoted\" & 'single' `tick`",
    "\u202eright to left \u05e9\u05dc\u05d5\u05dd",
    "line\nbreak {{ 7*7 }}",
)


@dataclass(frozen=True)
class Answer:
    question: str
    answer: str
    why: str


ANSWERS = {
    one.question: one
    for one in (
        Answer("waits", "lower bound", "the rows miss the gateway's own queue"),
        Answer("errors", "yes", ""),
        Answer("tools", "yes", ""),
        Answer("overrides", "no", "Load the help desk's suggestion decisions with source='overrides'."),
    )
}


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


PHASES = (
    Phase("impact", at(20), at(40), "provider brown-out"),
    Phase("felt", at(22), text="first complaint"),
    Phase("detected", at(24), text="latency alert", detected=True),
    Phase("mitigated", at(31), detected=True),
    Phase("recovered", at(41)),
    Phase("deploy", at(5), text="prompt v12", link="https://deploys.example/12"),
)


def series(bins: int = 60, *, policy: str | None = None, evidence: str = "observed") -> pl.DataFrame:
    """Return one row a minute: 640 ms at p95, and 2,180 ms in the worst minute of the impact (13:26)."""
    rows = []
    for i in range(bins):
        bad = 20 <= i < 40
        rows.append(
            {
                "at": at(i),
                "until": at(i + 1),
                "n": 100 + i % 7,
                "p50_wait_ms": 900.0 if bad else 310.0,
                "p95_wait_ms": 2180.0 if i == 26 else 1900.0 if bad else 640.0,
                "error_rate": 0.12 if bad else 0.004,
                "tool_success_rate": 0.81 if bad else 0.98,
                "override_rate": 0.31 if bad else 0.08,
                "fallback_share": 0.64 if bad else 0.0,
            }
        )
    instants = {name: pl.Datetime("us", "UTC") for name in ("at", "until")}
    numbers = ("p50_wait_ms", "p95_wait_ms", "error_rate", "tool_success_rate", "override_rate", "fallback_share")
    schema = {**instants, "n": pl.Int64, **dict.fromkeys(numbers, pl.Float64)}
    frame = pl.DataFrame(rows, schema=schema)
    return frame if policy is None else frame.with_columns(policy=pl.lit(policy), evidence=pl.lit(evidence))


def states(*, policy: str = "per-intent", route: str = "refund-policy") -> pl.DataFrame:
    spans: list[tuple[float, float, str, str, str | None, float | None, int | None, float | None]] = [
        (0, 24, "on primary", "start", None, None, None, None),
        (24, 30, "on backup", "slow: one in twenty over 1.5 s", "p95_ms", 2180.0, 40, 1500.0),
        (30, 30.1, "testing primary", "the cooldown is over", None, None, None, None),
        (30.1, 38, "on backup", "the test failed", "p95_ms", 1900.0, 5, 1500.0),
        (38, 60, "on primary", "the test passed", "error_rate", 0.01, 5, 0.2),
    ]
    return pl.DataFrame(
        [
            {
                "policy": policy,
                "route": route,
                "target": "primary_chat_model",
                "state": state,
                "start": at(start),
                "end": at(end),
                "why": why,
                "metric": metric,
                "value": value,
                "n": n,
                "threshold": threshold,
            }
            for start, end, state, why, metric, value, n, threshold in spans
        ],
        schema_overrides={"start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC")},
    )


def quality(intents: tuple[str, ...] = ("refund-policy", "order-status")) -> pl.DataFrame:
    values: dict[str, tuple[float | None, float | None]] = {
        "p50_wait_ms": (555.0, 507.0),
        "p95_wait_ms": (1833.0, 4394.0),
        "error_rate": (0.009, 0.048),
        "tool_success_rate": (0.94, 0.76),
        "override_rate": (None, None),
        "completion_tokens": (294.0, 226.0),
    }
    rows: list[dict[str, Any]] = []
    for intent in intents:
        for metric, pair in values.items():
            for role, value in zip(("primary", "backup"), pair, strict=True):
                bound = "lower bound" if (metric, role) == ("error_rate", "backup") else None
                note = "not in this log" if value is None else bound
                target = f"{role}_model"
                rows.append(
                    {"intent": intent, "target": target, "role": role, "metric": metric}
                    | {"value": value, "n": 120, "note": note}
                )
    return pl.DataFrame(rows, schema_overrides={"value": pl.Float64, "note": pl.String})


def table(intents: tuple[str, ...] = ("all", "refund-policy")) -> pl.DataFrame:
    observed = {"p95_wait_ms": 2180.0, "slow_rate(3500ms)": 0.031, "tool_success_rate": 0.93, "override_rate": None}
    seen = {"as_logged": 1.0, "per-intent": 0.88, "blind": 0.61}
    rows: list[dict[str, Any]] = []
    for intent in intents:
        for policy, share in seen.items():
            for metric, value in observed.items():
                rows.append(
                    {
                        "policy": policy,
                        "intent": intent,
                        "metric": metric,
                        "observed": value,
                        "estimate": None if value is None else value * share,
                        "share_observed": share,
                        "share_same_time": round(0.98 - share, 2) if share < 1 else 0.0,
                        "share_none": 0.02 if share < 1 else 0.0,
                        "share_no_model": 0.0,
                        "flags": ["rests on 14 requests"] if policy == "blind" else [],
                    }
                )
    return pl.DataFrame(rows, schema_overrides={"observed": pl.Float64, "estimate": pl.Float64})


LOADS = pl.DataFrame(
    {
        "load_id": [1],
        "source": ["litellm_standard"],
        "path": ["/home/someone/logs/standard_logging.ndjson.gz"],
        "sha256": ["a3" * 32],
        "rows_read": [3512],
        "rows_loaded": [3500],
        "rows_duplicate": [12],
        "rows_rejected": [0],
    }
)


def proposal(name: str = "refund-policy") -> Proposal:
    gains = (
        Gain("waits over 3.5 s", -70.0, -41.0, 1409, "better"),
        Gain("requests without an answer", -3.0, 12.0, 1409, "cannot tell"),
        Gain("failed look-ups", 0.0, 0.0, 400, "same"),
        Gain("rewritten drafts", None, None, None, "cannot tell"),
    )
    backup = "answered by the backup model"
    changes = (
        Change("order-status", "keeps answering", "keeps answering", "same"),
        Change(
            name,
            "mostly answered by the backup model",
            "answered by the backup model without tools",
            "better",
            ("waits over 3.5 s",),
        ),
        Change("chat", backup, "goes to a person", "cannot tell"),
    )
    return Proposal(name, gains, changes, (12.2, 13.9), 0.88, 1409, f"only what suffers moves: {name}")


def content(*, name: str = "refund-policy", bins: int = 60, zone: str = "UTC", **changes: Any) -> BriefContent:
    """Return a whole brief; ``name`` stands wherever a log could have put a text of its own."""
    phases = (Phase("impact", at(20), at(40), name), *PHASES[1:])
    over_time = partial(charts.timeline, series(bins), phases=phases, answers=ANSWERS)
    spans = pl.concat([states(policy=name, route=name), states(policy="blind", route="*")])
    filled = {
        "title": f"Brown-out: {name}",
        "start": START,
        "end": at(bins),
        "zone": zone,
        "is_simulated": True,
        "owners": [Owner(name, f"reads {name}", date(2026, 10, 14))],
        "phases": phases,
        "proposal": proposal(name),
        "lede": lede(series(bins), phases, zone=zone),
        "impact": [Count("slow answers (over 3.5 s)", 96, 1409, 11.2), Count(name, 9, 1409)],
        "lapses": lapses(phases),
        "pictures": [
            Picture("over-time", "How it went", "The shaded part is the incident.", partial(over_time, plain=True)),
            Picture(
                "models", "The models", "", partial(charts.quality, quality((name, "order-status"))), for_engineers=True
            ),
            Picture("signals", "The signals", "", over_time, for_engineers=True),
            Picture(
                "states", "Where requests went", "", partial(charts.states, spans, phases=phases), for_engineers=True
            ),
        ],
        "table": table(("all", name)),
        "policies": [("as_logged", "What was done at the time."), (name, f"Questions about {name} go elsewhere.")],
        "caveats": caveats(ANSWERS),
        "notes": [f"First difference: {name}"],
        "answers": ANSWERS,
        "loads": LOADS,
        "versions": {"incident-kit": "0.1.0"},
        "record": {"kind": "incident-kit brief", "policies": {name: {"text": name}}},
        "policy_texts": {name: f"routes:\n- intent: {name!r}\n"},
        "backups": [
            Pair(
                label(name),
                "big",
                label(name),
                "only with tools disabled",
                "Tool success not shown to be as good.",
                "Alike in intent.",
                (Measure("tools ok", "94 %", "73 %", "-20.8 (-27.6 to -10.6)", "91 / 204", "worse"),),
            )
        ],
    }
    return BriefContent(**(filled | changes))
