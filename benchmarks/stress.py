"""Stress: whether flags are raised where an interval cannot know better, and what is refused or left as it was."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.estimation.evidence import nearest
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.scenarios.truth import put
from incident_kit.scoring.flags import load, selection
from incident_kit.scoring.replays import replay
from incident_kit.scoring.scorecard import compare
from incident_kit.stats.propensity import ips, snips

RUNS = 40
SIZE = 1200
MINUTES = 20
SMALL = "{version: 1, name: small, routes: [{intent: '*', primary: small}]}"
OWN = (
    "{version: 1, name: own, routes: [{intent: chat, primary: big, fallback: small}, {intent: refund, primary: small, "
    "fallback: big}]}"
)
CORRELATION = 0.5  # of difficulty with the logarithm of prompt tokens
FLAGGED, QUIET = 0.90, 0.10
_FIRST_US = int(datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp() * 1e6)
Rule = tuple[str, float, str, bool]


def world(seed: int, *, kind: str) -> dict[str, pl.DataFrame]:
    """Return the tables of 20 minutes on two targets; ``kind`` is how requests were sent to them.

    ``split``: three in ten to small, by chance. ``difficulty``: the easy ones to small. ``switch``: all of them for five
    minutes. ``rise``: ever more of them, never more than half. ``intent``: by intent.
    """
    rng = np.random.default_rng([seed, len(kind)])
    at = np.sort(rng.integers(0, MINUTES * 60_000_000, SIZE))
    hard = rng.standard_normal(SIZE)
    noise = np.sqrt(1 - CORRELATION**2) * rng.standard_normal(SIZE)
    tokens = np.exp(6 + 0.6 * (CORRELATION * hard + noise)).astype(np.int64)
    intent = rng.integers(0, 2, SIZE)
    minute = at / 60e6
    is_small = {
        "split": rng.random(SIZE) < 0.3,
        "difficulty": rng.random(SIZE) < 1 / (1 + np.exp(2.5 * hard)),
        "switch": (minute > 8) & (minute < 13) | (rng.random(SIZE) < 0.02),
        "rise": rng.random(SIZE) < 0.5 * minute / MINUTES,
        "intent": intent == 1,
    }[kind]
    latency = np.exp(6 + 0.3 * rng.standard_normal(SIZE)).astype(np.int64) + 1
    return _tables(at + _FIRST_US, np.where(is_small, "small", "big"), intent, latency, tokens)


def _tables(
    at_us: NDArray[np.int64], target: Any, intent: Any, latency: NDArray[np.int64], tokens: Any
) -> dict[str, pl.DataFrame]:
    names = [f"r{i}" for i in range(len(at_us))]
    sent = pl.Series(at_us).cast(pl.Datetime("us", "UTC"))
    done = pl.Series(at_us + latency * 1000).cast(pl.Datetime("us", "UTC"))
    requests = {
        "request_id": names, "ticket_id": [f"t{i // 2}" for i in range(len(at_us))],
        "intent": np.array(["chat", "refund"])[intent], "arrived_at": sent, "wait_ms": latency, "requested": target,
        "served": target, "is_fallback": [False] * len(at_us), "status": ["ok"] * len(at_us), "tools_offered": [2] * len(at_us),
        "prompt_tokens": tokens, "attempts_complete": [True] * len(at_us),
    }  # fmt: skip
    attempts = {
        "attempt_id": names, "request_id": names, "seq": [1] * len(at_us), "kind": ["call"] * len(at_us), "target": target,
        "sent_at": sent, "done_at": done, "latency_ms": latency, "status": ["ok"] * len(at_us), "prompt_tokens": tokens,
        "tools_offered": [2] * len(at_us),
    }  # fmt: skip
    return {"requests": pl.DataFrame(requests), "attempts": pl.DataFrame(attempts)}


def _loaded(tables: dict[str, pl.DataFrame]) -> Incident:
    """Return an incident that has loaded them from files: only then does it know what it can answer."""
    incident = Incident.create()
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in tables.items():
            frame.write_parquet(Path(folder) / f"{name}.parquet")
            incident.load(Path(folder) / f"{name}.parquet")
    return incident


def rates(*, runs: int = RUNS) -> dict[str, float]:
    """Return in which share of runs each flag is raised, under stress and without."""
    small = Policy.parse(SMALL)
    found: dict[str, list[bool]] = {}
    for seed in range(runs):
        for kind, of in (("rise", "load"), ("switch", "load"), ("difficulty", "selection"), ("split", "selection")):
            incident = Incident.create()
            for name, frame in world(seed, kind=kind).items():
                put(incident.store, name, frame)
            done = replay(incident, small, estimator=nearest)
            table = load(done) if of == "load" else selection(done, incident.model.cells)
            found.setdefault(f"{of}, {kind}", []).append(bool(table["flagged"].any()))
    return {name: float(np.mean(each)) for name, each in found.items()}


def identity() -> float:
    """Return how far the log's own decisions, replayed, are from what was logged, widths included."""
    incident = _loaded(world(1, kind="intent"))
    metrics = ["mean_ms", "p95_ms", "error_rate"]
    table = compare(incident, {"own": Policy.parse(OWN)}, metrics=metrics).table(by="intent").filter(policy="own")
    off = pl.max_horizontal(
        (pl.col(one) - pl.col("observed")).abs() for one in ("estimate", "low", "high", "bound_low", "bound_high")
    )
    return float(table.select(off.max()).item())


def refused() -> bool:
    """Return whether two requests' worth of 10,000 are refused, and requests without evidence have bounds and no estimate."""
    rng = np.random.default_rng(1)
    agrees = np.zeros(10_000, np.bool_)
    agrees[:2] = True
    value, chance = rng.random(10_000), np.where(agrees, 0.5, 0.9)
    no_weights = snips(value, agrees, chance) is None and ips(value, agrees, chance) is None
    incident = _loaded(world(1, kind="intent"))
    unseen = Policy.parse(SMALL.replace("small", "medium"))
    table = compare(incident, {"medium": unseen}, metrics=["error_rate", "mean_ms"], draws=20).table()
    row = table.filter(policy="medium")
    only_bounds = (
        row["estimate"].is_null().all() and row["low"].is_null().all() and row["bound_high"].is_not_null().all()
    )
    return no_weights and bool(only_bounds)


def rules(*, runs: int = RUNS) -> list[Rule]:
    """Return the bars that need no made-up incident: name, value, bar, met."""
    said = rates(runs=runs)
    off = identity()
    found: list[Rule] = [("4 identity: off by", off, "at most 1e-12", off <= 1e-12)]
    fine = refused()
    found.append(("5 refusals", float(fine), "all of them", fine))
    found += [
        (f"6 flagged under stress: {name}", said[name], f"at least {FLAGGED:g}", said[name] >= FLAGGED)
        for name in ("load, rise", "selection, difficulty")
    ]
    found += [
        (f"6 flagged without: {name}", said[name], f"at most {QUIET:g}", said[name] <= QUIET)
        for name in ("load, switch", "selection, split")
    ]
    return found
