"""SLA settings: what a case says of its clocks: opening hours, rules that differ from a desk's own, when the export was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from incident_kit.errors import InvalidClock
from incident_kit.servicelevels.schedules import MINUTES_A_WEEK, Schedule, day_windows
from incident_kit.servicelevels.slarules import DESKS, SlaRules


@dataclass(frozen=True)
class SlaSettings:
    """Rules by desk, schedules beside the loaded ones, and when the export was made (None: its last instant)."""

    rules: Mapping[str, SlaRules] = field(default_factory=dict)
    schedules: tuple[Schedule, ...] = ()
    asof: datetime | None = None


class _Hours(BaseModel):
    """One entry of ``schedules``; without ``hours`` it is always open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    zone: str = "UTC"
    hours: dict[str, str | list[str]] = {}
    holidays: list[date | list[date]] = []


class SlaEntry(BaseModel):
    """What ``incident.yaml`` says under ``sla``: ``asof``, ``schedules``, and rules by the name of the desk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asof: datetime | None = None
    schedules: list[_Hours] = []
    rules: dict[str, dict[str, Any]] = {}

    @field_validator("asof")
    @classmethod
    def _has_a_zone(cls, asof: datetime | None) -> datetime | None:
        if asof is not None and asof.tzinfo is None:
            raise ValueError("it has no time zone; write 2026-04-01T00:00:00Z")
        return asof

    def settings(self) -> SlaSettings:
        """Return the settings that the entry says.

        Raises
        ------
        InvalidClock
            A zone, opening hours, a desk or a rule is not known.
        """
        unknown = [name for name in self.rules if name not in DESKS]
        if unknown:
            raise InvalidClock(f"sla.rules: there is no help desk {unknown[0][:40]!r}; there are {', '.join(DESKS)}")
        rules = {name: DESKS[name].but(**changes) for name, changes in self.rules.items()}
        return SlaSettings(rules, tuple(_schedule(one) for one in self.schedules), self.asof)


def _schedule(said: _Hours) -> Schedule:
    windows: Sequence[tuple[int, int]] = day_windows(said.hours) if said.hours else [(0, MINUTES_A_WEEK)]
    days = [(one[0], one[-1]) if isinstance(one, list) and one else one for one in said.holidays]
    if any(isinstance(one, list) for one in days):
        raise InvalidClock(f"schedule {said.id!r}: a holiday is a date, or a list of its first and last date")
    spans = [one if isinstance(one, tuple) else (one, one) for one in days]
    return Schedule.of(said.zone, windows, holidays=spans, id=said.id)  # type: ignore[arg-type]
