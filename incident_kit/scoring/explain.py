"""Explain: why one request went where, in sentences that a person who was not there understands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from incident_kit.durations import show_duration
from incident_kit.errors import NoSuchItem, did_you_mean
from incident_kit.policies.signalwords import alert_named, cause, counted
from incident_kit.words import clock, label, number

if TYPE_CHECKING:
    from incident_kit.policies.routes import Breaker, Route
    from incident_kit.scoring.replays import Replay

ENDS = {"template": "is answered with the template {}", "to a person": "is handed to a person", "refused": "is refused"}
THINGS = {  # what a metric's own denominator counts, where it is not calls
    "tool_success_rate": "tool calls", "override_rate": "reviewed drafts", "escalation_rate": "tickets",
    "reopen_rate": "tickets", "sla_breach_rate": "tickets", "fallback_rate": "requests",
}  # fmt: skip


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
    return " ".join([about, _decision(replay, one, zone), _result(one), _log(replay, one, position)])


def _intent(replay: Replay, position: int) -> str:
    code = int(replay.log.intent[position])
    return replay.log.intents[code] if code >= 0 else "no intent"


def _decision(replay: Replay, one: dict[str, Any], zone: ZoneInfo | None) -> str:
    policy, target = label(one["policy"]), label(one["target"])
    if one["action"] == "as logged":
        return f"No route of {policy} matches it, so it stays as logged: {target}."
    return f"Under {policy}, route {label(one['route'])}, it {_way(one)}{_why(replay, one, zone)}"


def _way(one: dict[str, Any]) -> str:
    """Return where the request goes, as what follows "it"."""
    target = label(one["target"])
    tools = ", without tools" if one["tools"] == "disabled" and one["action"] == "fallback" else ""
    if one["action"] == "queued":
        if not one["attempts"]:
            return "is held until its deadline passes"
        return (
            f"is held until its primary is tried again, or for as long as the queue holds, and goes to {target}{tools}"
        )
    if one["action"] not in ENDS:
        return f"goes to {target}{tools}"
    template = str(one["target"] if str(one["target"]).startswith("template:") else one["served"])
    end = ENDS[one["action"]].format(label(template.removeprefix("template:")))
    is_first = one["target"] in {"human", "reject"} or one["target"].startswith("template:")
    return end if is_first else f"goes to {target} and, that having failed, {end}"


def _why(replay: Replay, one: dict[str, Any], zone: ZoneInfo | None) -> str:
    """Return the reason, as what follows where it goes."""
    from incident_kit.scoring.decisions import BY_CONVERSATION, BY_HAND, REASONS

    state, route = one["breaker_state"], _route(replay, one)
    if one["reason"] == REASONS[BY_HAND]:
        return f": somebody switched the route there by hand{_by_hand(route, one, zone)}."
    if one["reason"] == REASONS[BY_CONVERSATION]:
        return ": its conversation was being answered there."
    if state is None:
        return ": nothing on this route watches the primary."
    if state == "on primary":
        return _in_service(route.breaker, one)
    since = _since(replay, one)
    why = cause(alert_named(one["metric"], route.breaker), one["value"], one["n"], one["threshold"])
    when = f" at {clock(since, zone=zone)}" if since else ""
    if one["action"] == "test":
        return f" as one of the requests that test the primary; it had been taken out of service{when} ({why})."
    if state == "testing primary":
        return f": enough other requests were testing the primary, taken out of service{when} ({why})."
    last = " Nothing else is left in this route." if one["action"] == "primary" else ""
    return f": the primary was taken out of service{when}: {why}.{last}"


def _in_service(breaker: Breaker, one: dict[str, Any]) -> str:
    """Return what was known of a primary that is in service."""
    name = one["metric"]
    if name == "alert":
        return f": {alert_named(name, breaker)} was not firing, so the primary stays in service."
    if not one["n"]:
        return ": nothing was known of the primary yet, so it stays in service."
    if name == "error_rate" or name.startswith("slow_"):
        share = f"{round(one['value'] * one['n'])} of {one['n']} calls ({number(one['value'], '%')})"
        seen = f"{share} were {counted(name)}; the limit is {number(one['threshold'], '%')}"
    else:
        seen = cause(name, one["value"], one["n"], one["threshold"])
    signals = len(breaker.when.leaves)
    others = f" (the first of its {signals} signals)" if signals > 1 else ""
    return f": in the window before it, {seen}{_not_yet(breaker, one)}{others}."


def _by_hand(route: Route, one: dict[str, Any], zone: ZoneInfo | None) -> str:
    mine = next((s for s in route.switches if s.start <= one["at"] and (s.end is None or one["at"] < s.end)), None)
    if mine is None:
        return ""
    until = f" until {clock(mine.end, zone=zone)}" if mine.end else " on, for good"
    return f", from {clock(mine.start, zone=zone)}{until}"


def _route(replay: Replay, one: dict[str, Any]) -> Any:
    return next(route for route in replay.policy.routes if route.name == one["route"])


def _not_yet(breaker: Breaker, one: dict[str, Any]) -> str:
    """Return what else it takes to take the primary out of service: enough calls, long enough over the limit."""
    few = min(breaker.min_requests, breaker.window.length) if breaker.window.kind == "count" else breaker.min_requests
    if one["n"] < few and one["metric"] not in {"requests", "consecutive_errors"}:
        return f", but it takes {few} {THINGS.get(one['metric'], 'calls')} to act"
    return f", and it must stay over it for {show_duration(breaker.for_ms)}" if breaker.for_ms else ""


def _since(replay: Replay, one: dict[str, Any]) -> Any:
    """Return when the primary was last taken out of service before this request."""
    position = replay.log.request_id.index_of(one["request_id"])
    intent = _intent(replay, position) if position is not None else None
    primaries = _route(replay, one).primaries
    mine = [
        change["at"]
        for change in replay.transitions.rows(named=True)
        if change["route"] == one["route"] and change["breaker"] in primaries and change["to"] == "on backup"
        and change["intent"] in {None, intent}
    ]  # fmt: skip
    return max((at for at in mine if at <= one["at"]), default=None)


def _result(one: dict[str, Any]) -> str:
    if one["action"] in ENDS:
        waited = number(one["wait_ms"], "s") if one["wait_ms"] else ""
        return "No model answers it" + (f"; it has waited {waited} by then." if waited else ".")
    if one["evidence"] == "none":
        return "These logs cannot tell what would have come of it: no such call to that model was seen for this intent."
    wait = number(one["wait_ms"], "s") if one["wait_ms"] is not None else "an unknown time"
    error = one["error_class"]
    ends = {None: "an end that the log does not tell", "ok": f"an answer from {label(one['served'])}"}
    if one["action"] == "queued" and not one["attempts"]:
        return f"No model answers it: its deadline passes after {wait}."
    came = f"{ends.get(error, f'no answer ({label(error)})')} after {wait}"
    came += f", {label(one['target'])} having failed" if one["served"] != one["target"] else ""
    if one["evidence"] == "observed":
        return f"What came of it was seen: {came}."
    if one["donor_request_id"] == one["request_id"]:
        return f"Worked out from its own calls in the log: {came}."
    donor = f" (request {label(one['donor_request_id'])}, {_LIKE[one['evidence']]})" if one["donor_request_id"] else ""
    return f"Worked out from a similar request{donor}: {came}."


_LIKE = {
    "same_cell": "where that model answered the same intent at that time",
    "same_time": "where that model answered other intents at that time",
    "same_intent": "where that model answered the same intent at other times",
}


def _log(replay: Replay, one: dict[str, Any], position: int) -> str:
    logged = label(one["logged_target"]) if one["logged_target"] else "no model"
    exact = "" if one["state_exact"] else " The state rests partly on worked-out outcomes."
    if one["same_as_log"]:
        return f"The log has the same.{exact}"
    code = int(replay.log.served[position])
    served = label(replay.log.targets[code]) if code >= 0 else logged
    if one["logged_target"] and served != logged:
        return f"In the log {logged} failed and {served} answered.{exact}"
    return f"In the log it went to {logged} first.{exact}"
