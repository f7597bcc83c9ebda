"""Rehearsals: game days made from a healthy log, or one day of it, and degradations, standard ones or one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit.durations import parse_duration
from incident_kit.errors import InvalidPolicy, InvalidScenario
from incident_kit.excerpts import day_of, excerpt
from incident_kit.gamedays.drills import DRILLS, LENGTH, drill
from incident_kit.gamedays.exercise import GameDay, span_of
from incident_kit.gamedays.pages import Pager
from incident_kit.gamedays.rehearsal import degradation_of, rehearse
from incident_kit.incident import Incident
from incident_kit.policies.policyversions import latest
from incident_kit.scenarios.scenario import Degradation, since
from incident_kit.scoring.replays import Replay, replay
from incident_kit.scoring.scorecard import compare
from incident_kit.words import lasting as in_words

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy

LEAD = "30m"  # of calm before a standard degradation, so that windows are full
DRAWS = 20
METRICS = ("p95_ms", "error_rate", "tool_success_rate", "override_rate", "fallback_rate")


def gameday(
    incident: Incident,
    degradations: str | Sequence[Degradation | Mapping[str, Any]],
    *,
    policies: Sequence[Policy] = (),
    day: str | date | None = None,
    at: str | datetime | None = None,
    lasting: str | None = None,
    target: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    hangs: str = "60s",
) -> GameDay:
    """Return a degradation rehearsed on a healthy log, or on one day of it, under policies.

    Parameters
    ----------
    degradations
        The name of a standard one (:data:`incident_kit.gamedays.drills.DRILLS`), or what a scenario lists under ``degradations``.
    policies
        The first one is what the runbook is for. Default: the policy in force, then those of the case.
    day
        A day in the reader's zone, or a weekday: the last one in the log. Default: the whole log.
    at
        When it begins: ``14:00`` of that day in the reader's zone, or an instant. Default: of a standard one, the busiest
        hour; of others, what they say counts from the first request.
    lasting
        Of a standard one: ``30m``.
    target
        Of a standard one. Default: the target with the most calls among the primaries of the first policy.
    draws
        For the intervals of what would be felt.

    Raises
    ------
    InvalidScenario
        The log has no request on that day, a degradation hits no call, or there is no such standard one.
    InvalidPolicy
        There is no policy to rehearse.
    """
    ground = _ground(incident, policies, day, at)
    return _played(ground, degradations, lasting=lasting, target=target, draws=draws, seed=seed, hangs=hangs)


def gamedays(
    incident: Incident,
    names: Sequence[str] = tuple(DRILLS),
    *,
    policies: Sequence[Policy] = (),
    day: str | date | None = None,
    at: str | datetime | None = None,
    lasting: str | None = None,
    target: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    hangs: str = "60s",
) -> Iterator[GameDay]:
    """Yield a game day for each of some standard degradations, each by itself; all of them where none are named.

    As :func:`gameday`, with the healthy log prepared once.
    """
    ground = _ground(incident, policies, day, at)
    for name in names:
        yield _played(ground, name, lasting=lasting, target=target, draws=draws, seed=seed, hangs=hangs)


@dataclass(frozen=True)
class _Ground:
    """What is the same whatever is rehearsed."""

    healthy: Incident
    policies: tuple[Policy, ...]
    calm: Mapping[str, Replay]
    begin: datetime | None


def _ground(
    incident: Incident, policies: Sequence[Policy], day: str | date | None, at: str | datetime | None
) -> _Ground:
    current = [latest(incident.in_force)] if incident.in_force else []
    chosen = _distinct([*policies] or [*current, *incident.policies])
    if not chosen:
        raise InvalidPolicy("no policy to rehearse: name some, or list them under policies: in incident.yaml")
    first = None
    healthy = incident
    if day is not None:
        first, end = day_of(incident, day)
        healthy = excerpt(incident, first, end)
    about = healthy.about()
    if about["first"] is None:
        raise InvalidScenario("there is nothing to rehearse on: the incident has no requests; load a log first")
    begin = None if at is None else _moment(at, healthy, first or about["first"])
    return _Ground(healthy, tuple(chosen), {one.name: replay(healthy, one) for one in chosen}, begin)


def _played(
    ground: _Ground,
    degradations: str | Sequence[Degradation | Mapping[str, Any]],
    *,
    lasting: str | None,
    target: str | None,
    draws: int,
    seed: int,
    hangs: str,
) -> GameDay:
    healthy, chosen = ground.healthy, ground.policies
    first = healthy.about()["first"]
    whats: tuple[str, ...] = ()
    if isinstance(degradations, str):
        one = drill(degradations)
        length = LENGTH if lasting is None else timedelta(milliseconds=parse_duration(lasting))
        begin = ground.begin or _busiest_hour(healthy, length)
        parts = one.on(target or _busiest_target(healthy, chosen[0]), begin, length)
        name, whats = one.name, (one.what, one.teaches)
    else:
        parts = tuple(_anchored(degradation_of(one, i), ground.begin or first) for i, one in enumerate(degradations))
        name = "; ".join(dict.fromkeys(one.text for one in parts if one.text)) or "a scripted degradation"
    other = rehearse(healthy, parts, seed=seed, hangs=hangs)
    metrics = [*METRICS, f"slow_rate({healthy.slow_ms}ms)"]
    board = compare(other, chosen, during=span_of(parts, first), metrics=metrics, draws=draws, seed=seed)
    return GameDay(name, healthy, other, parts, chosen, board, ground.calm, Pager(healthy.contacts), whats)


def _distinct(policies: Sequence[Policy]) -> list[Policy]:
    return list({one.name: one for one in reversed(policies)}.values())[::-1]


def _moment(at: str | datetime, incident: Incident, day: datetime) -> datetime:
    """Return an instant from itself, from a text with its zone, or from a time of day in the reader's zone."""
    zone = ZoneInfo(incident.zone)
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise InvalidScenario(f"{at} has no zone; write 14:00 for the reader's time of day, or 2026-11-17T14:00Z")
        return at.astimezone(UTC)
    try:
        if "T" in at:
            return _moment(datetime.fromisoformat(at), incident, day)
        found = datetime.combine(day.astimezone(zone).date(), time.fromisoformat(at), tzinfo=zone)
    except InvalidScenario:
        raise
    except ValueError:
        raise InvalidScenario(f"{at!r} is no time; write 14:00, or 2026-11-17T14:00Z") from None
    return found.astimezone(UTC)


def _anchored(part: Degradation, begin: datetime) -> Degradation:
    """Return a degradation with instants."""
    start, until = (begin + timedelta(microseconds=since(one, begin)) for one in (part.start, part.until))
    return part.model_copy(update={"start": start, "until": until})


def _busiest_hour(incident: Incident, length: timedelta) -> datetime:
    """Return the full hour with the most requests that has others before it, and the length before the log's end."""
    about = incident.about()
    halves = incident.requests().group_by(pl.col("arrived_at").dt.truncate(LEAD).alias("half")).agg(pl.len().alias("n"))
    hours = halves.group_by(pl.col("half").dt.truncate("1h").alias("hour")).agg(pl.col("n").sum())
    fits = hours.filter(pl.col("hour") <= about["last"] - length).join(
        halves.select(pl.col("half").dt.offset_by(LEAD).alias("hour")), on="hour", how="semi"
    )
    if fits.is_empty():
        begin: datetime = about["first"] + (about["last"] - about["first"]) / 4
        if begin + length > about["last"]:
            raise InvalidScenario(
                f"the log has {in_words(about['last'] - about['first'])} of requests, too little for {in_words(length)} of a "
                "degradation after some calm: load more, or ask for less with lasting"
            )
        return begin
    best: datetime = fits.sort(["n", "hour"], descending=[True, False])["hour"][0]
    return best


def _busiest_target(incident: Incident, policy: Policy) -> str:
    """Return the target with the most calls, among the primaries of a policy where it has any."""
    primaries = {model for route in policy.routes for model in route.primaries}
    served = incident.requests()["served"].drop_nulls().value_counts(sort=True)
    ordered = served.sort(["count", "served"], descending=[True, False])["served"].to_list()
    found = next((one for one in ordered if one in primaries), next(iter(ordered), None))
    if found is None:
        raise InvalidScenario("no request of the log was answered: there is nothing that could get worse")
    return str(found)
