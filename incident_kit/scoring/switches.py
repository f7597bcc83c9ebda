"""Switches: why a route left its primary or came back, what that did, and whether the state behind it is exact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit.durations import show_duration
from incident_kit.errors import NoSuchItem, did_you_mean
from incident_kit.moments import NEAR, moment
from incident_kit.policies.policywords import rule_words
from incident_kit.policies.signalwords import alert_named, cause
from incident_kit.words import clock, label, lasting, number

if TYPE_CHECKING:
    from incident_kit.policies.routes import Breaker, Entry, Route
    from incident_kit.scoring.replays import Replay

AWAY, TESTING, BACK = "on backup", "testing primary", "on primary"


def explain_switch(replay: Replay, which: int | str | datetime, *, route: str | None = None) -> str:
    """Return why a breaker changed its state, on what signal, what came of it for how many requests, and how exact that is.

    Parameters
    ----------
    which
        The number of the change, from 1 in order of time (as in ``replay.transitions``), or an instant with a zone, also
        as text, or by the clock in UTC (``14:03``): the nearest change within a minute of it, one that leaves the primary before
        any other.
    route
        Look only among the changes of the route of this name; numbers then count these.

    Raises
    ------
    NoSuchItem
        There is no such route or change; the message names the nearest ones.
    """
    changes = _changes(replay, route)
    number_, change = _chosen(replay, changes, which, route=route)
    zone = ZoneInfo(replay.incident.zone) if replay.incident else None
    owner = next(one for one in replay.policy.routes if one.name == change["route"])
    entry = next(one for one in owner.chain if one.model == change["breaker"])
    of = f" of route {label(route)}" if route else ""
    about = f"Change {number_} of {len(changes)}{of} under {label(replay.name)}, {clock(change['at'], zone=zone, date=True)}"
    later = [one for one in changes if one["at"] >= change["at"] and _is_same(one, change) and one is not change]
    told = {AWAY: _left, TESTING: _tested, BACK: _returned}[change["to"]]
    exact = (
        "Everything that led to it was seen in the log."
        if change["state_exact"]
        else "What led to it rests partly on worked-out outcomes."
    )
    return " ".join([f"{about}:", *told(replay, change, later, owner, entry, zone), exact])


def _changes(replay: Replay, route: str | None) -> list[dict[str, Any]]:
    frame = replay.transitions
    if route is not None:
        names = [one.name for one in replay.policy.routes]
        if route not in names:
            raise NoSuchItem(
                f"{replay.name} has no route {route!r}{did_you_mean(route, names)}; it has {', '.join(names)}"
            )
        frame = frame.filter(pl.col("route") == route)
    return frame.rows(named=True)


def _chosen(
    replay: Replay, changes: list[dict[str, Any]], which: int | str | datetime, *, route: str | None
) -> tuple[int, dict[str, Any]]:
    of = f"route {route!r}" if route else repr(replay.name)
    if not changes:
        raise NoSuchItem(f"under {replay.name!r} nothing ever left its primary" + (f" on {of}" if route else ""))
    if isinstance(which, int) or (isinstance(which, str) and which.strip().isdigit()):
        place = int(which)
        if not 1 <= place <= len(changes):
            raise NoSuchItem(f"there is no change {place} of {of}: they are numbered 1 to {len(changes)}")
        return place, changes[place - 1]
    ends = replay.decisions["at"]
    at = moment(which, first=ends[0], last=ends[-1], also="3 (a change's number), ")
    nearest = min(range(len(changes)), key=lambda i: (abs(changes[i]["at"] - at), changes[i]["to"] != AWAY))
    near = [i for i, one in enumerate(changes) if abs(one["at"] - at) <= NEAR]
    if not near:
        one = changes[nearest]
        raise NoSuchItem(
            f"nothing changed within a minute of {clock(at)} on {of}; the nearest is change {nearest + 1}, "
            f"{label(one['route'])} {one['to']} at {clock(one['at'], date=True)}"
        )
    best = min(near, key=lambda i: (changes[i]["to"] != AWAY or changes[i]["from"] != BACK, abs(changes[i]["at"] - at)))
    return best + 1, changes[best]


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("route", "breaker", "intent"))


def _left(
    replay: Replay,
    change: dict[str, Any],
    later: list[dict[str, Any]],
    route: Route,
    entry: Entry,
    zone: ZoneInfo | None,
) -> list[str]:
    breaker = _breaker(entry)
    who, primary = _who(change), label(change["breaker"])
    why = _cause(change, entry)
    if change["from"] == TESTING:
        said = [f"{who} stayed away from {primary}, whose tests failed: {why}."]
    else:
        said = [f"{who} left {primary}{_onward(route, entry)}: {_looked(change, breaker, zone)}{why}.", _rule(breaker)]
    back = next((one for one in later if one["to"] == BACK), None)
    end: datetime = back["at"] if back else replay.decisions["at"][-1]
    failed = sum(one["from"] == TESTING and one["to"] == AWAY and one["at"] <= end for one in later)
    tries = f" after {number(failed, 'round' + 's' * (failed != 1))} of failed tests" if failed else ""
    if back is None:
        said.append(f"It did not come back before the log ends{tries}.")
    else:
        said.append(
            f"It came back {lasting(back['at'] - change['at'])} later, at {clock(back['at'], zone=zone)}{tries}."
        )
    return [*filter(None, said), _moved(replay, change, end, is_open=back is None)]


def _tested(
    _replay: Replay,
    change: dict[str, Any],
    later: list[dict[str, Any]],
    _route: Route,
    entry: Entry,
    zone: ZoneInfo | None,
) -> list[str]:
    breaker = _breaker(entry)
    tests = number(breaker.half_open.requests, "request" + "s" * (breaker.half_open.requests != 1))
    rest = show_duration(breaker.cooldown_ms)
    grows = " or more (it grows with every failed round)" if breaker.cooldown_factor > 1 else ""
    said = (
        f"{_who(change)} tried {label(change['breaker'])} again with {tests}, its cooldown of {rest}{grows} being over."
    )
    ended = next(iter(later), None)
    if ended is None:
        return [said, "The log ends before these tests do."]
    passed = "passed" if ended["to"] == BACK else "failed"
    why = _cause(ended, entry) if ended["metric"] else ""
    return [said, f"They {passed} at {clock(ended['at'], zone=zone)}{f' ({why})' if why else ''}."]


def _returned(
    _replay: Replay,
    change: dict[str, Any],
    later: list[dict[str, Any]],
    _route: Route,
    entry: Entry,
    zone: ZoneInfo | None,
) -> list[str]:
    who, primary = _who(change), label(change["breaker"])
    if change["from"] == AWAY:
        rest = show_duration(_breaker(entry).cooldown_ms)
        said = f"{who} came back to {primary}: its cooldown of {rest} was over, and nothing tests it first."
    else:
        tests = f": {_cause(change, entry)}" if change["metric"] else ""
        said = f"{who} came back to {primary}, whose tests passed{tests}."
    again = next((one for one in later if one["to"] == AWAY), None)
    if again is None:
        return [said, "It stayed there to the end of the log."]
    return [said, f"It stayed {lasting(again['at'] - change['at'])}, until {clock(again['at'], zone=zone)}."]


def _cause(change: dict[str, Any], entry: Entry) -> str:
    return cause(alert_named(change["metric"], _breaker(entry)), change["value"], change["n"], change["threshold"])


def _breaker(entry: Entry) -> Breaker:
    if entry.breaker is None:
        raise NoSuchItem(f"nothing watches {entry.model}, so it cannot have switched")
    return entry.breaker


def _who(change: dict[str, Any]) -> str:
    of = f" ({label(change['intent'])})" if change.get("intent") else ""
    return f"route {label(change['route'])}{of}"


def _onward(route: Route, entry: Entry) -> str:
    """Return where requests go on to from an entry, and how."""
    after = route.chain[route.chain.index(entry) + 1 :]
    if not after:
        return ", and had nowhere else to go"
    tools = " without tools" if route.on_fallback.tools == "disabled" else ""
    return f" for {label(after[0].label)}{tools}"


def _looked(change: dict[str, Any], breaker: Breaker, zone: ZoneInfo | None) -> str:
    """Return what the breaker looked at, and since when."""
    window = breaker.window
    if change["metric"] is None or change["metric"].startswith("alert"):
        return ""
    if window.kind == "count":
        return f"in the last {number(window.length, 'calls')}, "
    width = timedelta(milliseconds=window.length)
    if window.kind == "tumbling":
        begun = datetime.fromtimestamp(change["at"].timestamp() // width.total_seconds() * width.total_seconds(), UTC)
    else:
        begun = change["at"] - width
    return f"in the {show_duration(window.length)} since {clock(begun, zone=zone)}, "


def _rule(breaker: Breaker) -> str:
    """Return what else it took: samples, time over the limit, the rule of several signals, several windows."""
    few = min(breaker.min_requests, breaker.window.length) if breaker.window.kind == "count" else breaker.min_requests
    needs = [f"at least {number(few)} samples"]
    if breaker.for_ms:
        needs.append(f"{show_duration(breaker.for_ms)} over the limit without a break")
    if len(breaker.windows) > 1:
        needs.append(f"the same in each of {', '.join(map(str, breaker.windows))}")
    if len(breaker.when.leaves) > 1:
        needs.append(f"this rule: {rule_words(breaker.when)}")
    return f"To act it takes {' and '.join(needs)}."


def _moved(replay: Replay, change: dict[str, Any], end: datetime, *, is_open: bool) -> str:
    """Return what became of the requests that came while the breaker was away from its target."""
    until = pl.col("at") <= end if is_open else pl.col("at") < end
    mine = replay.decisions.filter(pl.col("route") == change["route"], pl.col("at") >= change["at"], until)
    if change.get("intent"):
        ids = replay.log.request_id.filter(_of_intent(replay, change["intent"]))
        mine = mine.filter(pl.col("request_id").is_in(ids.implode()))
    if mine.is_empty():
        return "No request of the route came in that time."
    counts = mine.group_by(pl.col("target").cast(pl.String)).len().sort("len", "target", descending=[True, False])
    went = ", ".join(f"{number(n)} went to {label(target)}" for target, n in counts.iter_rows())
    tests = mine.filter(pl.col("action").cast(pl.String) == "test").height
    other = mine.filter(~pl.col("same_as_log")).height
    tested = f" ({number(tests)} as tests)" if tests else ""
    came = f"In that time {number(mine.height, 'request' + 's' * (mine.height != 1))} of the route came: {went}{tested}"
    return f"{came}; for {number(other)} of them the log has something else."


def _of_intent(replay: Replay, intent: str) -> pl.Series:
    intents = replay.log.intents
    return pl.Series(replay.log.intent == (intents.index(intent) if intent in intents else -1))
