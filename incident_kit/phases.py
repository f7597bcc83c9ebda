"""Phases of an incident: declared by a person, or detected from the data and marked so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

KINDS = ("impact", "detected", "mitigated", "recovered", "felt", "deploy", "provider", "note")


@dataclass(frozen=True)
class Phase:
    """One annotation on the timeline: a span when it has an ``until``, else an instant."""

    kind: str
    at: datetime
    until: datetime | None = None
    text: str = ""
    link: str = ""
    detected: bool = False
