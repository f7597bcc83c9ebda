"""Emulation: LiteLLM's own router run over an incident's log, from its own ``config.yaml``, in closed loop.

The policy language has one breaker a group; LiteLLM remembers each deployment, in its own odd way. So the fidelity of
what was in force is judged here: the router feeds itself with the attempts that it would have made, and what it then
refuses, retries and falls back to is held against the log.

Exact where the log has it: deployments, times, error classes, ``Retry-After``, workers. Approximated: LiteLLM logs the
first failure of a request only, so a later one is known by its consequence (the request went on, or failed), not by its
class and deployment: the likeliest deployment (the greatest weight) is taken. Which deployment a healthy group chose is
drawn at random there and taken from the log here. The clock of the router is the log's: a few milliseconds off. A
connection error counts as a 500: logs do not say which of them LiteLLM called APIConnectionError, which it ignores. A
refusal counts as a failure of the deployment that is called next: LiteLLM mostly, not always, books it there.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from incident_kit.errors import UnansweredQuestion
from incident_kit.gateways.litellm_config import read_settings
from incident_kit.gateways.litellm_emulated import Emulation
from incident_kit.gateways.litellm_log import lender, read_logged
from incident_kit.gateways.litellm_router import READ, Router, Thresholds
from incident_kit.gateways.litellm_settings import Settings
from incident_kit.gateways.litellm_walk import SEND, Logged, Walk

if TYPE_CHECKING:
    from incident_kit.incident import Incident

__all__ = ["READ", "Emulation", "Thresholds", "emulate"]


def emulate(
    incident: Incident,
    config: str | Path | Mapping[str, Any],
    *,
    version: str = READ[0],
    thresholds: Thresholds | None = None,
    retry_after_s: float | None = None,
) -> Emulation:
    """Return LiteLLM's router, set up by ``config``, run over the incident's log.

    Parameters
    ----------
    config
        A ``config.yaml``: its path, its text, or its content.
    version
        LiteLLM's. Since 1.109 a group's only deployment is spared by ``allowed_fails`` unless it has fallbacks.
    thresholds
        What LiteLLM takes from its environment; its defaults where not given.
    retry_after_s
        What a 429 is taken to have asked for where the log does not say: seconds; not given, nothing.

    Raises
    ------
    InvalidConfiguration
        ``config`` is none of LiteLLM's, or the version is no version.
    UnreadableFile
        The file cannot be read.
    UnansweredQuestion
        The log holds no request for any group of the configuration.
    """
    settings = read_settings(config)
    logged = read_logged(incident, settings, retry_after_s=retry_after_s)
    settings = _named(settings, logged)
    router = Router(settings, version=version, thresholds=thresholds or Thresholds())
    lend = lender(incident, logged, router.groups)
    walks = tuple(Walk(router, one, lend) for one in logged)
    routed = [walk for walk in walks if walk.logged.group in router.groups]
    if walks and not routed:
        asked = ", ".join(sorted({walk.logged.group for walk in walks})[:5])
        raise UnansweredQuestion(
            f"the configuration has the groups {', '.join(router.groups)}; the log's requests are for {asked}: give the"
            " configuration that was in force"
        )
    _run(routed)
    for walk in walks:
        if walk.logged.group not in router.groups:
            walk.served, walk.error, walk.first = walk.logged.served, walk.logged.error, walk.logged.group
    return Emulation(f"LiteLLM {version}", version, settings, walks, tuple(router.cooldowns))


def _run(walks: list[Walk]) -> None:
    """Let every request walk, in the order of what happens; at the same instant by arrival."""
    ways = [walk.steps() for walk in walks]
    queue = [(walk.logged.arrived_us, SEND, i) for i, walk in enumerate(walks)]
    heapq.heapify(queue)
    while queue:
        _, _, i = heapq.heappop(queue)
        step = next(ways[i], None)
        if step is not None:
            heapq.heappush(queue, (*step, i))


def _named(settings: Settings, logged: tuple[Logged, ...]) -> Settings:
    """Return the settings with ids for deployments that have none: those of the log that nobody else has."""
    if all(one.id for one in settings.deployments):
        return settings
    taken = {one.id for one in settings.deployments}
    seen = {(row.group, row.deployment) for one in logged for row in one.rows if row.deployment}
    free = sorted(pair for pair in seen if pair[1] not in taken)
    named = []
    for number, one in enumerate(settings.deployments):
        own = next((pair for pair in free if pair[0] == one.group), None) if not one.id else None
        if own:
            free.remove(own)
        named.append(one if one.id else replace(one, id=own[1] if own else f"{one.group} {number + 1}"))
    return replace(settings, deployments=tuple(named))
