"""Handover: an incident on its way to another process: its tables and what its case says, without a connection."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from incident_kit.incident import Incident

if TYPE_CHECKING:
    from collections.abc import Mapping

STAY = ("store", "reports")  # what is not handed over: the connection, and what became of the rows
_TABLES = "select table_name from duckdb_tables() where not temporary and table_name <> 'meta' order by 1"


@dataclass(frozen=True)
class Handover:
    """An incident's tables by name, and the attributes of :class:`Incident` that a replay may heed."""

    tables: Mapping[str, pl.DataFrame]
    said: Mapping[str, Any]

    @classmethod
    def of(cls, incident: Incident) -> Handover:
        """Return what another process needs of an incident."""
        store = incident.store
        names = [name for (name,) in store.rows(_TABLES)]
        frames = {name: store.frame(f"select * from {name}") for name in names}  # noqa: S608 - the kit's own tables
        own = {
            name: value for name, value in vars(incident).items() if not hasattr(Incident, name)
        }  # nothing worked out
        said = {name: value for name, value in own.items() if name not in STAY}
        if (answers := vars(incident).get("answers")) is not None:
            said["answers"] = answers
        return cls({name: frame for name, frame in frames.items() if frame.height}, said)

    def incident(self) -> Incident:
        """Return the incident again, in memory."""
        from incident_kit.scenarios.truth import put

        found = Incident.create()
        for name, rows in self.tables.items():
            put(found.store, name, rows)
        for name, value in self.said.items():
            setattr(found, name, value)
        return found


def fingerprint(incident: Incident) -> str:
    """Return a hash of all that scores rest on: the log, what came of it at the help desk, signals, phases, prices."""
    log, digest = incident.log, blake2b(digest_size=16)
    calls = log.calls
    for array in (log.arrived_us, log.intent, log.wait_ms, log.error, log.served, calls.sent_us, calls.latency_ms):
        digest.update(np.ascontiguousarray(array).tobytes())
    for array in (calls.request, calls.target, calls.error):
        digest.update(np.ascontiguousarray(array).tobytes())
    sums = [
        incident.store.rows(f"select count(*), coalesce(sum(hash(t)), 0)::varchar from {table} t")[0]  # noqa: S608
        for table in ("requests", "attempts", "feedback", "sla", "signals", "ticket_events")
    ]
    said = (log.intents, log.targets, sums, incident.phases, dict(incident.prices), incident.slow_ms, incident.in_force)
    digest.update(repr(said).encode())
    return digest.hexdigest()
