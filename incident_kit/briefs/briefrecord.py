"""Record: what a machine needs to make a brief again, and to say whether it could."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy
    from incident_kit.policies.routes import Alert, Route
    from incident_kit.scoring.scorecard import Board

KIND = "incident-kit brief"
DIGITS = 7  # of a number, that mean something: what another processor adds up differently is none of them
SCORES = (
    "policy", "intent", "metric", "n", "observed", "estimate", "low", "high", "bound_low", "bound_high", "share_observed",
    "share_none",
)  # fmt: skip
SWITCHES = ("at", "policy", "route", "breaker", "from", "to", "value", "n")
COUNTED = ("source", "sha256", "rows_read", "rows_loaded", "rows_duplicate", "rows_rejected")


def record(incident: Incident, board: Board, *, sweep: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the record of a brief: values that JSON can hold.

    Keys: kind, versions, loads (name, format, SHA-256 and counts of each file), phases, settings (slow_ms, zone, prices, the
    gateway's version), policies (name: text with every implied value written out, the implied paths, the routes that a baseline
    starts on their backup, and of one with versions when each route and alert was in force), in_force, draws, seed, during (spans
    that are scored), metrics, scorecard and transitions (columns, rows), sweep (the policy, grid, draws, metrics and scores of
    one limit at several settings, where the brief has one). Times are UTC, ISO 8601.
    """
    return {
        "kind": KIND,
        "versions": versions(),
        "loads": loads(incident),
        "phases": phases(incident),
        "settings": settings(incident),
        "in_force": incident.in_force.name if incident.in_force is not None else None,
        "policies": {name: _policy(one.policy) for name, one in board.replays.items() if one.policy.routes},
        "draws": board.draws,
        "seed": board.seed,
        "during": None if board.window.spans is None else [list(span) for span in board.window.spans],
        "metrics": [one.name for one in board.metrics],
        "scorecard": scorecard(board),
        "transitions": transitions(board),
        "sweep": dict(sweep) if sweep else None,
    }


def versions() -> dict[str, str]:
    """Return the versions of the kit and of what its numbers hang on."""
    return {
        name: version(name)
        for name in ("incident-kit", "duckdb", "polars", "numpy", "numba", "altair", "vl-convert-python")
    }


def loads(incident: Incident) -> list[dict[str, Any]]:
    """Return what was loaded, by file: its name without its folder, its hash and its counts."""
    frame = incident.loads()
    names = [str(path).replace("\\", "/").split("/")[-1] for path in frame["path"]]
    rows = frame.select(COUNTED).with_columns(pl.Series("file", names, dtype=pl.String)).sort("file", "sha256")
    return rows.to_dicts()


def phases(incident: Incident) -> list[dict[str, Any]]:
    """Return the phases and events, with what of them the data showed."""
    return [
        {
            "kind": one.kind,
            "at": one.at.isoformat(),
            "until": one.until and one.until.isoformat(),
            "detected": one.detected,
        }
        for one in incident.phases
    ]


def settings(incident: Incident) -> dict[str, Any]:
    """Return what the case says of how to read the logs."""
    return {
        "title": incident.title,
        "zone": incident.zone,
        "slow_ms": incident.slow_ms,
        "prices": {target: list(price) for target, price in sorted(incident.prices.items())},
        "gateway": incident.gateway[1] if incident.gateway is not None else None,
    }


def _policy(policy: Policy) -> dict[str, Any]:
    started = [number for number, route in enumerate(policy.routes) if route.degraded_start]
    found = {"text": policy.expand(), "implied": [one.path for one in policy.implied], "degraded_start": started}
    times = {"routes": _times(policy.routes), "alerts": _times(policy.alerts)}
    is_timed = any(end for parts in times.values() for part in parts for end in part[1:])
    return found | ({"times": times} if is_timed else {})


def _times(parts: Iterable[Route | Alert]) -> list[list[str | None]]:
    """Return name, from when and until when each was in force, which no file can say."""
    return [[one.name, *(end.isoformat() if end else None for end in (one.since, one.until))] for one in parts]


def scorecard(board: Board) -> dict[str, Any]:
    """Return every score, over all requests and by intent."""
    return _table(pl.concat([board.table(), board.table(by="intent")]).select(SCORES))


def transitions(board: Board) -> dict[str, Any]:
    """Return every switch of every policy."""
    frames = [one.transitions.select(pl.col(SWITCHES)) for one in board.replays.values()]
    return _table(pl.concat(frames))


def _table(frame: pl.DataFrame) -> dict[str, Any]:
    """Return a frame's columns and rows: no text twice in a row's keys, no number with digits that mean nothing."""
    plain = frame.with_columns(
        pl.col(pl.Float64).round_sig_figs(DIGITS).fill_nan(None),
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
    )
    return {"columns": plain.columns, "rows": [list(row) for row in plain.iter_rows()]}
