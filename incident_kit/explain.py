"""Explain: why one request went where, in sentences that a person who was not there understands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from incident_kit.durations import show_duration
from incident_kit.errors import NoSuchItem, did_you_mean
from incident_kit.signalwords import cause, counted
from incident_kit.words import clock, label, number

if TYPE_CHECKING:
    from incident_kit.replays import Replay
    from incident_kit.routes import Breaker


def explain(replay: Replay, request_id: str) -> str:
    """Return what the policy decides for a request, on what signal, and what came of it; and what the log says."""
    ids = replay.log.request_id
    position = ids.index_of(request_id)
    if position is None:
        alike = ids.filter(ids.str.starts_with(request_id[:4])).head(1000)  # comparing with every id would take minutes
        hint = did_you_mean(request_id, (alike if len(alike) else ids.head(1000)).to_list())
        there = f"it has {len(ids):,}, the first is {ids[0]!r}" if len(ids) else "it has none at all"
        raise NoSuchItem(f"the log has no request {request_id!r}{hint}; {there}")
    one = replay.decisions.row(position, named=True)
    zone = ZoneInfo(replay.incident.zone) if replay.incident else None
    about = f"Request {label(request_id)} ({label(_intent(replay, position))}) came at {clock(one['at'], zone=zone, date=True)}."
    return " ".join([about, _decision(replay, one, zone), _result(one), _log(one)])


def _intent(replay: Replay, position: int) -> str:
    code = int(replay.log.intent[position])
    return replay.log.intents[code] if code >= 0 else "no intent"


def _decision(replay: Replay, one: dict[str, Any], zone: ZoneInfo | None) -> str:
    policy, target = label(one["policy"]), label(one["target"])
    if one["action"] == "as logged":
        return f"No route of {policy} matches it, so it stays as logged: {target}."
    tools = ", without tools" if one["tools"] == "disabled" and one["action"] == "fallback" else ""
    said = f"Under {policy}, route {label(one['route'])}, it goes to {target}{tools}"
    state = one["breaker_state"]
    if state is None:
        return f"{said}: nothing on this route watches the primary."
    if state == "on primary":
        if not one["n"]:
            return f"{said}: nothing was known of the primary yet, so it stays in service."
        share = f"{round(one['value'] * one['n'])} of {one['n']} calls ({number(one['value'], '%')})"
        limit = number(one["threshold"], "%")
        seen = f"in the window before it, {share} were {counted(one['metric'])}; the limit is {limit}"
        return f"{said}: {seen}{_not_yet(replay, one)}."
    since = _since(replay, one)
    why = cause(one["metric"], one["value"], one["n"], one["threshold"])
    when = f" at {clock(since, zone=zone)}" if since else ""
    if one["action"] == "test":
        return f"{said} as one of the requests that test the primary; it had been taken out of service{when} ({why})."
    if state == "testing primary":
        return f"{said}: enough other requests were testing the primary, taken out of service{when} ({why})."
    last = " Nothing else is left in this route." if one["action"] == "primary" else ""
    return f"{said}: the primary was taken out of service{when}: {why}.{last}"


def _route(replay: Replay, one: dict[str, Any]) -> Any:
    return next(route for route in replay.policy.routes if route.name == one["route"])


def _not_yet(replay: Replay, one: dict[str, Any]) -> str:
    """Return what else it takes to take the primary out of service: enough calls, long enough over the limit."""
    breaker: Breaker = _route(replay, one).breaker
    few = min(breaker.min_requests, breaker.window.length) if breaker.window.kind == "count" else breaker.min_requests
    if one["n"] < few:
        return f", but it takes {few} calls to act"
    return f", and it must stay over it for {show_duration(breaker.for_ms)}" if breaker.for_ms else ""


def _since(replay: Replay, one: dict[str, Any]) -> Any:
    """Return when the primary was last taken out of service before this request."""
    changes = replay.transitions.rows(named=True)
    primary = _route(replay, one).primary
    mine = [c for c in changes if c["route"] == one["route"] and c["breaker"] == primary and c["to"] == "on backup"]
    return max((change["at"] for change in mine if change["at"] <= one["at"]), default=None)


def _result(one: dict[str, Any]) -> str:
    if one["evidence"] == "none":
        return "These logs cannot tell what would have come of it: no such call to that model was seen for this intent."
    wait = number(one["wait_ms"], "s") if one["wait_ms"] is not None else "an unknown time"
    error = one["error_class"]
    ends = {None: "an end that the log does not tell", "ok": f"an answer from {label(one['served'])}"}
    came = f"{ends.get(error, f'no answer ({label(error)})')} after {wait}"
    came += f", {label(one['target'])} having failed" if one["served"] != one["target"] else ""
    if one["evidence"] == "observed":
        return f"What came of it was seen: {came}."
    if one["donor_request_id"] == one["request_id"]:
        return f"Worked out from its own calls in the log: {came}."
    donor = f" (nearest in time: request {label(one['donor_request_id'])})" if one["donor_request_id"] else ""
    return f"Worked out from a similar request{donor}: {came}."


def _log(one: dict[str, Any]) -> str:
    logged = label(one["logged_target"]) if one["logged_target"] else "no model"
    exact = "" if one["state_exact"] else " The state rests partly on worked-out outcomes."
    return ("The log has the same." if one["same_as_log"] else f"In the log it went to {logged} first.") + exact
