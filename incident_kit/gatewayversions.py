"""Gateway versions: the gateway's own configurations as they were in force one after the other, each emulated on its own time.

A gateway that is given another configuration is started anew, as a rule: its counters and cooldowns begin empty, and so they do
here. What a shared store keeps over a restart is not carried over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from incident_kit.errors import InvalidCase
from incident_kit.excerpts import excerpt
from incident_kit.gateways.emulation import READ, Emulation, emulate
from incident_kit.policies.versionspans import span

if TYPE_CHECKING:
    from incident_kit.incident import Incident


@dataclass(frozen=True, slots=True)
class GatewayVersion:
    """A configuration, the gateway's version, and when they were in force: [since, until); None: open."""

    config: Path
    version: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __str__(self) -> str:
        return f"{self.config.name}@{span(self.since, self.until)}"


def in_order(given: Sequence[GatewayVersion]) -> tuple[GatewayVersion, ...]:
    """Return versions in order of time, a missing end taken from the neighbour.

    Raises
    ------
    InvalidCase
        Two overlap, or leave a gap.
    """
    found = list(given)
    for i, (one, after) in enumerate(pairwise(found)):
        at = one.until or after.since
        if at is None or (after.since or at) != at or (one.since is not None and one.since >= at):
            raise InvalidCase(
                f"gateway: {one} and {after} leave a gap, overlap, or do not say when one took over: list them in order, each "
                "ending where the next begins"
            )
        found[i], found[i + 1] = replace(one, until=at), replace(after, since=at)
    return tuple(found)


def emulations(incident: Incident) -> Iterator[tuple[GatewayVersion, Emulation]]:
    """Yield each configuration that a case names with its router run over the requests that arrived while it was in force.

    Raises
    ------
    InvalidConfiguration, UnreadableFile, UnansweredQuestion
        As :func:`incident_kit.emulate`. A configuration in whose time no request arrived is left out.
    """
    listed = incident.gateways
    about = incident.about()
    for one in listed:
        begin, end = one.since or about["first"], one.until or about["last"] + timedelta(microseconds=1)
        if about["first"] is None or begin > about["last"] or end <= about["first"]:
            continue
        part = incident if len(listed) == 1 and one.since is one.until is None else excerpt(incident, begin, end)
        yield one, emulate(part, one.config, version=one.version or READ[0])
