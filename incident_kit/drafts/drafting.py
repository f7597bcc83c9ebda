"""Draft: a first policy from the log, for someone who has none; each line says what it rests on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from incident_kit.drafts.chains import Seen
from incident_kit.drafts.groups import Group, grouping, is_name
from incident_kit.drafts.healthywindows import A_WEEK_H, Windows
from incident_kit.drafts.limits import FEW, MARGIN, conditions, healthy_calls, lasting_hours, window_of
from incident_kit.durations import show_duration
from incident_kit.errors import UnansweredQuestion
from incident_kit.healthy import healthy_hours, is_healthy
from incident_kit.policies.policy import Policy
from incident_kit.words import clock, label, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident

NAME = "draft"
FEWEST_CALLS = 200  # healthy calls that a limit is taken from
NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})  # to one YAML reader or another


@dataclass
class _Lines:
    """Lines of YAML with what each rests on, and what could not be drafted."""

    yaml: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def say(self, line: str, why: str = "") -> None:
        self.yaml.append(f"{line}  # {why}" if why else line)


def draft(incident: Incident) -> str:
    """Return a policy as YAML, drafted from an incident's log; each line is commented with its evidence.

    A route for each intent with a hundred requests or more (where requests carry none: for each value of what they asked for,
    or of a label), ``"*"`` for the rest. Its primary is what healthy requests went to first, its fallback what answered when
    the primary did not. Limits are the lowest round numbers over which the measured windows of the healthy time (outside
    every impact) would go once a week at most; with less than a week of it, a fifth above its worst window. The window is the
    shortest that holds 20 (or 10) samples for 80 % of the time. The text ends with what could not be drafted.

    Raises
    ------
    UnansweredQuestion
        The log holds no call at all.
    """
    log = incident.log
    if not len(log) or not len(log.calls.request):
        raise UnansweredQuestion(
            "there is nothing to draft a policy from: the log holds no call; load a gateway's log first"
        )
    found = grouping(incident)
    hours = healthy_hours(incident)
    lines = _Lines()
    lines.missing += found.notes
    for group in found.groups:
        _route(incident, group, lines, hours=hours)
    if not lines.yaml:
        raise UnansweredQuestion("there is nothing to draft a policy from: no request of the log says where it went")
    body = "\n".join(["version: 1", f"name: {NAME}", "routes:", *lines.yaml, ""])
    policy = Policy.parse(body)
    head = [*_origin(incident, by=found.by, hours=hours), *_tried(incident, policy)]
    lines.missing.append("retries, time limits, cooldown and tests of the primary are the language's own defaults")
    if found.groups[-1].key != "*":
        lines.missing.append('there is no route for other requests ("*"): they stay as logged')
    tail = ["Not drafted:", *(f"- {one}" for one in dict.fromkeys(lines.missing))]
    return "".join(f"# {line}\n" for line in head) + body + "".join(f"# {line}\n" for line in tail)


def _origin(incident: Incident, *, by: str, hours: float) -> Iterator[str]:
    log = incident.log
    first, last = (incident.about()[name] for name in ("first", "last"))
    yield "A draft from the log: read it, change it, replay it, check it."
    yield f"{len(log):,} requests from {clock(first, date=True)} to {clock(last, date=True)}, told apart by " + (
        "nothing" if by == "*" else label(by)
    )
    spans = [phase for phase in incident.phases if phase.kind == "impact"]
    if spans:
        how = "detected in the data" if any(phase.detected for phase in spans) else "declared"
        yield f"Limits are from the {lasting_hours(hours)} outside the impact ({how})."
    else:
        yield f"Limits are from all {lasting_hours(hours)}: no impact is declared, and the data show none."
    if hours < A_WEEK_H:
        yield f"Less than a week of healthy time was measured: limits lie {MARGIN - 1:.0%} above its worst window, or more."


def _tried(incident: Incident, policy: Policy) -> Iterator[str]:
    """Yield what the draft would have done on the log that it was made from."""
    from incident_kit.scoring.replays import replay

    try:
        changes = replay(incident, policy).transitions
    except UnansweredQuestion as error:
        yield f"It cannot be replayed on this log: {label(str(error), longest=200)}"
        return
    left = changes.filter(pl.col("from") == "on primary", pl.col("to") == "on backup")
    calm = int(is_healthy(incident, left["at"].cast(pl.Int64).to_numpy()).sum())
    yield f"Replayed on this log it leaves a primary {left.height - calm:,} times in the impact, {calm:,} times outside it."


def quoted(text: str) -> str:
    """Return a name as YAML reads it back: in double quotes where it could be taken for something else."""
    is_plain = re.fullmatch(r"[A-Za-z][\w./-]*", text, re.ASCII) and text.lower() not in NOT_TEXT
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _route(incident: Incident, group: Group, lines: _Lines, *, hours: float) -> None:
    """Write the lines of one route; nothing where no request of the group says where it went."""
    names = incident.log.targets
    who = "The rest" if group.is_rest else label(group.name)
    seen = Seen(incident, group)
    if seen.primary is None:
        lines.missing.append(f"{who}: no request says where it went")
        return
    chain = [names[code] for code in (seen.primary, seen.fallback) if code is not None]
    if odd := next((name for name in chain if not is_name(name)), None):
        lines.missing.append(f"{who}: the target {label(odd)} cannot stand in a policy as a name")
        return
    lines.say(f"- intent: {quoted(group.name if group.key == 'intent' else '*')}", f"{len(group.requests):,} requests")
    if group.key not in {"intent", "*"}:
        lines.say(f"  match: {{{quoted(group.key)}: {quoted(group.name)}}}")
    lines.say(f"  primary: {quoted(chain[0])}", seen.primary_why)
    if seen.others:
        part = f"part of its healthy requests went to {', '.join(seen.others)}"
        lines.missing.append(f"{who}: {part}; weights are yours to set")
    if len(chain) == 1:
        lines.missing.append(f"{who}: no fallback, for nothing else ever answered in place of its primary")
        return
    lines.say(f"  fallback: {quoted(chain[1])}", seen.fallback_why)
    if seen.led_on:
        lines.say(
            f"  fallback_on: [timeout, 5xx, 429, {', '.join(seen.led_on)}]", "failures that the log went on after"
        )
    if seen.tools_lost:
        lines.say("  disable_tools_on_fallback: true", seen.tools_lost)
    missing = _breaker(incident, group, seen.primary, lines, hours=hours)
    if missing:
        lines.missing.append(f"{who}: no breaker: {missing}; a failed request still goes on to the fallback")


def _breaker(incident: Incident, group: Group, primary: int, lines: _Lines, *, hours: float) -> str:
    """Write the breaker of a group's primary, or return why there is none."""
    calls = healthy_calls(incident, group, primary)
    if len(calls) < FEWEST_CALLS:
        return f"{len(calls):,} healthy calls of its primary are too few for a limit (it takes {FEWEST_CALLS})"
    window = window_of(incident, group)
    if window is None:
        return f"no window up to 1h holds {FEW[-1]} requests for 80 % of the time"
    window_ms, few, share = window
    windows = Windows(calls, window_ms, few)
    found = conditions(incident, windows, hours=hours)
    if not found:
        return "no limit on waits or errors would have kept quiet in healthy time"
    lines.say("  breaker:")
    lines.say(f"    window: {show_duration(window_ms)}", f"holds {few} requests {number(share, '%')} of the time")
    lines.say(f"    min_requests: {few}", f"{windows.judged():,} windows of healthy time had as many")
    lines.say("    when:")
    lines.say("      any:")
    for condition, why in found:
        lines.say(f"      - {condition}", why)
    return ""
