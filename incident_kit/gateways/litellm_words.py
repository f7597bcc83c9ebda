"""LiteLLM's cooldowns, and what became of a request, in the words of people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from incident_kit.estimation.evidence import LABELS
from incident_kit.gateways.litellm_router import (
    ALL_FAILED,
    FROM_HEADER,
    MOST_FAILED,
    NOT_RETRYABLE,
    RATE_LIMITED,
    SECOND,
    Cooldown,
)
from incident_kit.gateways.litellm_settings import Settings
from incident_kit.gateways.litellm_walk import OBSERVED, Walk

# by position: how a request's way leaves the logged one (litellm_walk.SAME and those after it)
DIFFERENCES = (
    None,
    "LiteLLM refused the group; here it had a deployment in service",
    "LiteLLM called the group; here all its deployments were in cooldown",
    "LiteLLM called a deployment that was in cooldown here: another one's outcome is borrowed",
    "LiteLLM called the group more often than here",
    "the log does not show what came after its last call",
)
UNSEEN_REFUSAL = "here the group had no deployment in service; the log shows no refusal, and the same answer"
OTHER_END = "the log went on to a group that this configuration does not fall back to, or ended where it goes on"


def clock(instant_us: int) -> str:
    """Return an instant's time of day in UTC, to the second."""
    return f"{datetime.fromtimestamp(instant_us / SECOND, UTC):%H:%M:%S}"


def cooldown_words(cooldown: Cooldown, settings: Settings, request: str) -> str:
    """Return why LiteLLM took a deployment out of service, on what counters, and for how long."""
    one = cooldown.deployment
    others = len(settings.members(one.group)) - 1
    has = (
        f"{one.group} has {others} other deployment{'s' * (others != 1)}"
        if others
        else f"{one.group} has no other deployment"
    )
    seconds = (cooldown.until_us - cooldown.start_us) / SECOND
    total = cooldown.fails + cooldown.successes
    share = f"{cooldown.fails} of the {total} calls counted by then had failed"
    why = {
        RATE_LIMITED: f"a call was answered with 429 (rate limited), and {has}",
        MOST_FAILED: f"{share}, more than half, and {has}",
        ALL_FAILED: f"all of the {total} calls counted by then had failed",
        NOT_RETRYABLE: f"a call failed with {cooldown.error}, which LiteLLM does not repeat",
    }.get(cooldown.why, f"it had failed more often than the {cooldown.allowed} times that are allowed")
    asked = (
        "as the failed call's Retry-After asked"
        if cooldown.length_from == FROM_HEADER
        else f"by {cooldown.length_from}"
    )
    text = (
        f"LiteLLM took {one.id} out of service from {clock(cooldown.start_us)} to {clock(cooldown.until_us)} UTC"
        f" ({seconds:g} s, {asked}): {why}. The failure was request {request}'s ({cooldown.error})."
    )
    if cooldown.why in {MOST_FAILED, ALL_FAILED} and cooldown.successes_since_us is not None:
        text += (
            f" Failures are counted since {clock(cooldown.fails_since_us)}, successes since"
            f" {clock(cooldown.successes_since_us)}: LiteLLM counts each for a minute from its own first one."
        )
    return text


def request_words(walk: Walk, cooldowns: Sequence[Cooldown], settings: Settings) -> str:
    """Return where a request went, and what was out of service when it arrived."""
    logged = walk.logged
    said = [f"Request {logged.id} asked for {logged.group} at {clock(logged.arrived_us)} UTC."]
    if walk.refused_group:
        said.append(f"LiteLLM had no deployment of {walk.refused_group} left and refused it without a call.")
    resting = [one for one in cooldowns if one.deployment.group == (walk.refused_group or logged.group)]
    said += [
        f"{one.deployment.id} was out of service until {clock(one.until_us)} ({one.why}: {one.fails} failures and"
        f" {one.successes} successes counted)."
        for one in resting
    ]
    calls = f"{walk.calls} call{'s' * (walk.calls != 1)}"
    if walk.served is None:
        said.append(f"Nobody answered ({walk.error}), after {calls}.")
    elif walk.served == logged.group:
        said.append(f"It was answered by {walk.served}, after {calls}.")
    else:
        chain = settings.chain("", (logged.group,))
        said.append(f"It was answered by its fallback {walk.served}, after {calls} (fallbacks: {', '.join(chain)}).")
    if walk.served != logged.served:
        said.append(f"In the log {logged.served or 'nobody'} answered it.")
    if (difference := DIFFERENCES[walk.parted]) is not None:
        said.append(f"{difference[0].upper()}{difference[1:]}.")
    if walk.evidence != OBSERVED:
        said.append(f"What it met here is not in the log (evidence: {LABELS[walk.evidence]}).")
    return " ".join(said)
