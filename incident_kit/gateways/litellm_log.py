"""The log as LiteLLM's router needs it: each request's attempts by deployment, and outcomes to borrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from incident_kit.cachedproperty import cached_property
from incident_kit.gateways.litellm_router import SECOND
from incident_kit.gateways.litellm_walk import NEAREST, NONE, OBSERVED, Lender, Logged, Row
from incident_kit.log import Calls, Log

if TYPE_CHECKING:
    from incident_kit.estimation.evidence import Outcomes
    from incident_kit.gateways.litellm_settings import Deployment, Settings
    from incident_kit.incident import Incident

MOST_NUMBERS = 4  # calls of one request on one deployment that borrow different outcomes


def read_logged(incident: Incident, settings: Settings, *, retry_after_s: float | None = None) -> tuple[Logged, ...]:
    """Return what the log says of each request, in order of arrival; attempts in the order in which they were made.

    ``retry_after_s`` stands in for what a 429 asked where the log does not say.
    """
    log = incident.log
    asked_us = None if retry_after_s is None else round(retry_after_s * SECOND)
    rows: dict[str, list[Row]] = {}
    workers: dict[str, str] = {}
    for request, kind, target, deployment, worker, sent, done, error, retry_after in incident.store.query(
        "emulation_attempts"
    ).iter_rows():
        wait = asked_us if retry_after is None and error == "429" and kind == "call" else retry_after
        group = None if target is None else settings.group_of(target)
        rows.setdefault(request, []).append(Row(kind, group, deployment, sent, done, error, wait))
        if worker is not None:
            workers.setdefault(request, worker)
    requests = pl.DataFrame({"request_id": log.request_id, "arrived_us": log.arrived_us}).join(
        incident.store.query("emulation_requests"), on="request_id", how="left", maintain_order="left"
    )
    found = []
    for position, (request, arrived, requested, served, error, done) in enumerate(requests.iter_rows()):
        own = tuple(rows.get(request, ()))
        group = settings.group_of(requested or next((row.group for row in own if row.group), None) or served or "")
        if not own and (served is not None or error is not None):  # a request without attempts is one attempt (S1)
            own = (Row("call", settings.group_of(served or group), None, arrived, done, error),)
        answer = None if served is None else settings.group_of(served)
        found.append(Logged(position, request, arrived, done, group, answer, error, workers.get(request), own))
    return tuple(found)


def lender(incident: Incident, logged: tuple[Logged, ...], groups: Mapping[str, tuple[Deployment, ...]]) -> Lender:
    """Return the estimator of outcomes that the log does not hold: the nearest real call of the same deployment and intent."""
    return _Nearest(incident.log, logged, tuple(one.id for members in groups.values() for one in members))


class _Nearest:
    """:func:`evidence.nearest` with deployments in the place of groups; nothing is computed before it is asked."""

    def __init__(self, log: Log, logged: tuple[Logged, ...], deployments: tuple[str, ...]) -> None:
        self.log = log
        self.logged = logged
        self.code = {deployment: code for code, deployment in enumerate(deployments)}

    def __call__(self, position: int, deployment: Deployment, number: int) -> tuple[Row, int]:
        """Return the outcome of a request's ``number``-th call on a deployment, and its label's position."""
        outcomes, rows = self._filled
        cell = (self.code[deployment.id], min(number, MOST_NUMBERS - 1), position)
        donor = int(outcomes.donor[cell])
        if donor < 0:
            return Row("call", deployment.group, deployment.id, 0, 0), NONE
        return rows[donor], NEAREST if outcomes.records["estimated"][cell] else OBSERVED

    @cached_property
    def _filled(self) -> tuple[Outcomes, list[Row]]:
        from incident_kit.estimation.evidence import nearest

        numbers: dict[tuple[int, int], int] = {}
        keyed: list[tuple[int, int, int, Row]] = []
        for one in self.logged:
            for row in one.rows:
                code = self.code.get(row.deployment or "")
                if code is not None and row.kind in {"call", "cache_hit"}:
                    number = numbers[one.position, code] = numbers.get((one.position, code), -1) + 1
                    keyed.append((one.position, code, number, row))
        keyed.sort(key=lambda entry: entry[:3])
        rows = [row for *_, row in keyed]
        words = tuple(dict.fromkeys(("ok", *(row.error or "ok" for row in rows))))
        calls = Calls.of(
            requests=len(self.log),
            request=np.array([entry[0] for entry in keyed], np.int32),
            target=np.array([entry[1] for entry in keyed], np.int16),
            number=np.array([entry[2] for entry in keyed], np.int16),
            sent_us=np.array([row.sent_us for row in rows], np.int64),
            latency_ms=np.array([(row.done_us - row.sent_us) // 1000 for row in rows], np.int32),
            error=np.array([words.index(row.error or "ok") for row in rows], np.int16),
            is_call=np.array([row.kind == "call" for row in rows], np.bool_),
        )
        log = replace(self.log, calls=calls, targets=tuple(self.code), errors=words)
        positions = np.arange(len(self.log), dtype=np.int64)
        return nearest(log, positions, tuple(self.code), attempts=MOST_NUMBERS), rows
