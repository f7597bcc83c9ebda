"""A policy in versions: what goes on over a change and what begins anew, against the plain interpreter."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import on_machine
import polars as pl
import pytest
from actors import MS, Guard, Request, Sent, Watch, microseconds
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from on_machine import run
from policies import policies
from test_machine import Witness
from truths import Seen
from worlds import SECOND, Arrival, World, worlds
from written import Call, fill
from written import Request as Written

from incident_kit.alerting.firings import alerts
from incident_kit.commandline import terminal
from incident_kit.errors import InvalidPolicy
from incident_kit.incident import Incident
from incident_kit.policies.policy import Policy
from incident_kit.policies.policyversions import Version, Versions, latest, load_version, versions
from incident_kit.policies.versionspans import is_version, span, spans_of
from incident_kit.scoring.fidelity import by_version
from incident_kit.scoring.replays import replay
from incident_kit.words import number

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def policy(**changes: Any) -> Policy:
    """Two routes, an alert that one of them asks, and one that nobody does."""
    said = {"refund_ms": 3500, "draft_ms": 4500, "asked": 0.2, "bystander": 0.3} | changes
    return Policy.parse(
        f"""
routes:
- {{intent: refund, primary: big, fallback: small, max_p95_ms: {said["refund_ms"]}}}
- intent: draft
  primary: big
  fallback: small
  breaker: {{when: ["p95_ms > {said["draft_ms"]}", "alert: asked"]}}
alerts:
- {{name: bystander, when: error_rate > {said["bystander"]}}}
- {{name: asked, when: error_rate > {said["asked"]}}}
""",
        name=said.get("name", "policy"),
    )


def names(made: Policy) -> list[str]:
    return [*(one.name for one in made.routes), *(one.name for one in made.alerts)]


def test_one_version_is_the_policy_itself() -> None:
    one = policy()
    assert versions([(one, None, None)]) is one
    assert versions([Version(one)]) == one


def test_the_same_policy_twice_is_the_policy() -> None:
    one = policy()
    noted = replace(one, routes=tuple(replace(route, note="as before") for route in one.routes))
    assert versions([(one, None, NOON), (policy(), NOON, None)]) == one
    again = versions([(one, None, NOON), (noted, NOON, None)])
    assert not isinstance(again, Versions)
    assert [route.since for route in again.routes] == [None, None]


def test_what_a_change_leaves_as_it_is_goes_on() -> None:
    made = versions([(policy(), None, NOON), (policy(refund_ms=3000), NOON, None)])
    assert names(made) == [
        "refund@2026-10-05T12:00Z..", "refund@..2026-10-05T12:00Z", "draft", "bystander", "asked"
    ]  # fmt: skip
    assert [(route.since, route.until) for route in made.routes] == [(NOON, None), (None, NOON), (None, None)]


def test_a_breaker_begins_anew_with_the_alert_that_it_asks() -> None:
    made = versions([(policy(), None, NOON), (policy(asked=0.4), NOON, None)])
    assert [one.split("@")[0] for one in names(made)] == [
        "refund", "draft", "draft", "bystander", "asked", "asked"
    ]  # fmt: skip
    for route in made.routes[1:]:
        leaf = route.breaker.when.leaves[1]  # type: ignore[union-attr]
        alert = made.alert(leaf.name)
        assert (alert.since, alert.until) == (route.since, route.until)
    other = versions([(policy(), None, NOON), (policy(bystander=0.4), NOON, None)])
    assert [route.name for route in other.routes] == ["refund", "draft"]


def test_what_comes_back_begins_anew() -> None:
    hour = timedelta(hours=1)
    made = versions([(policy(), None, NOON), (policy(refund_ms=9), NOON, NOON + hour), (policy(), NOON + hour, None)])
    assert len([one for one in made.routes if one.name.startswith("refund")]) == 3
    assert isinstance(made, Versions)
    assert made.at(NOON).routes[0].breaker.when.leaves[0].limit_ms == 9  # type: ignore[union-attr]
    assert made.at(NOON + hour) == policy()
    assert latest(made) == policy()
    assert latest(policy()) == policy()


def test_routes_that_change_places_keep_the_order_of_each_version() -> None:
    a = Policy.parse("routes: [{intent: 'r*', primary: a}, {intent: '*', primary: b}, {intent: x, primary: c}]")
    b = replace(a, routes=(a.routes[1], a.routes[0], a.routes[2]))
    made = versions([(a, None, NOON), (b, NOON, None)])
    for moment, one in ((NOON - timedelta(hours=1), a), (NOON, b)):
        live = [
            route.primary
            for route in made.routes
            if (route.since is None or route.since <= moment) and (route.until is None or moment < route.until)
        ]
        assert live == [route.primary for route in one.routes]


def test_ends_that_the_neighbour_says_need_not_be_said() -> None:
    one, two = policy(), policy(refund_ms=9)
    whole = versions([(one, None, NOON), (two, NOON, None)])
    assert versions([(one, None, None), (two, NOON, None)]) == whole
    assert versions([(one, None, NOON), (two, None, None)]) == whole
    assert versions([(two, NOON, None), (one, None, NOON)]) == whole


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ([], "no version is given"),
        ([(None, NOON), (None, None), (NOON, None)], "ends before it begins"),
        ([(None, NOON + timedelta(hours=1)), (NOON, None)], "overlap: end the first where the second begins"),
        ([(None, NOON), (NOON + timedelta(hours=1), None)], "nothing is in force between"),
        ([(None, None), (None, None)], "do not say when one took over"),
        ([(NOON, NOON)], "ends before it begins"),
        ([(NOON.replace(tzinfo=None), None)], "has no zone; write 2026-10-05T12:00Z"),
    ],
)
def test_gaps_and_overlaps_say_what_to_do(given_: list[Any], told: str) -> None:
    with pytest.raises(InvalidPolicy, match=told):
        versions([(policy(refund_ms=1000 + i), *times) for i, times in enumerate(given_)])


def test_versions_as_people_write_them(tmp_path: Any) -> None:
    assert spans_of("old.yaml@..2026-10-05T14:00Z") == ("old.yaml", None, NOON + timedelta(hours=2))
    assert spans_of("a@b/p.yaml@2026-10-05T14:00+02:00..") == ("a@b/p.yaml", NOON, None)
    assert spans_of("p.yaml@..") == ("p.yaml", None, None)
    assert spans_of("p.yaml") == ("p.yaml", None, None)
    assert not is_version("me@example.yaml")
    assert span(NOON, NOON + timedelta(seconds=90)) == "2026-10-05T12:00Z..2026-10-05T12:01:30Z"
    with pytest.raises(InvalidPolicy, match="'noon' is not a time"):
        spans_of("p.yaml@noon..")
    with pytest.raises(InvalidPolicy, match="has no zone"):
        spans_of("p.yaml@2026-10-05T14:00..")
    odd = tmp_path / "p@1..2.yaml"
    odd.write_text("routes: [{intent: '*', primary: big}]")
    assert load_version(odd) == Version(Policy.load(odd))
    assert load_version(f"{odd}@..2026-10-05T12:00Z").until == NOON


# --- against the plain interpreter ---


class InVersions(Witness):
    """The interpreter with rules that come into force: until then they see nothing, and what was sent before is not theirs."""

    def born(self, one: Guard | Watch) -> int:
        since = one.rules.since if isinstance(one, Watch) else self.routes[one.route].since
        return -(2**62) if since is None else microseconds(since)

    def ended(self, one: Guard | Watch) -> int:
        until = one.rules.until if isinstance(one, Watch) else self.routes[one.route].until
        return 2**62 if until is None else microseconds(until)

    def set_out(self, request: Request) -> None:
        whole = self.routes
        self.routes = tuple(
            route if _is_in_force(route, request.arrived) else replace(route, intent=("no such",)) for route in whole
        )
        super().set_out(request)
        self.routes = whole

    def observe(self, one: Guard | Watch, seen: Seen) -> None:
        if seen.at >= self.born(one):
            super().observe(one, seen)

    def observes(self, guard: Guard, sent: Sent) -> bool:
        return sent.at >= self.born(guard) and super().observes(guard, sent)

    def sweep(self, guard: Guard, at: int) -> None:
        if at < self.born(guard):
            self.put(at + (guard.rules.every_ms or 0) * MS, on_order("SWEEP"), guard.position, "sweep", guard)
        elif at < self.ended(guard):
            super().sweep(guard, at)

    def alert_sweep(self, watch: Watch, at: int) -> None:
        if at < self.born(watch):
            self.put(at + watch.rules.every_ms * MS, on_order("ALERT_SWEEP"), watch.position, "alert_sweep", watch)
        elif at < self.ended(watch):
            super().alert_sweep(watch, at)

    def lose_exactness(self, sent: Sent) -> None:
        kept = [(one, one.exact) for one in self.in_order if one.rules.scope == "target" and sent.at < self.born(one)]
        super().lose_exactness(sent)
        for one, exact in kept:
            asked = {leaf.name for leaf in one.rules.when.leaves if leaf.kind == "alert"}
            if not asked & {watch.rules.name for watch in self.watches_of(sent.request)}:
                one.exact = exact


def on_order(name: str) -> int:
    import actors

    return int(getattr(actors, name))


def _is_in_force(route: Any, at: int) -> bool:
    return (route.since is None or microseconds(route.since) <= at) and (
        route.until is None or at < microseconds(route.until)
    )


def _route_of(one_policy: Policy, one: Arrival) -> int | None:
    known = {**one.facts, "conversation_id": one.conversation, "ticket_id": one.ticket}
    return next(
        (
            i
            for i, route in enumerate(one_policy.routes)
            if route.matches(one.intent) and route.fits(known) and _is_in_force(route, one.arrived_us)
        ),
        None,
    )


def changed(one: Policy, which: int) -> Policy:
    """Return a policy with some of its routes and alerts changed, by the bits of a number: others, though they say the same."""
    routes = tuple(
        replace(route, deadline_ms=(route.deadline_ms or 50_000) + 1) if which >> i & 1 else route
        for i, route in enumerate(one.routes)
    )
    watched = tuple(
        replace(alert, keep_firing_ms=alert.keep_firing_ms + 1) if which >> (4 + i) & 1 else alert
        for i, alert in enumerate(one.alerts)
    )
    return replace(one, routes=routes, alerts=watched)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(one=policies(), world=worlds(), which=st.integers(1, 63), part=st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]))
def test_the_machine_equals_the_interpreter_over_a_change(one: Policy, world: World, which: int, part: float) -> None:
    first, last = world.requests[0].arrived_us, world.requests[-1].arrived_us
    moment = EPOCH + timedelta(microseconds=round((first + part * (last - first)) / SECOND) * SECOND)
    made = versions([(one, None, moment), (changed(one, which), moment, None)])
    assume(isinstance(made, Versions))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_machine, "_route_of", _route_of)
        found = run(made, world)
    judge = InVersions(made, world).run()
    told = [(one.at, one.alert, one.firing) for one in judge.alert_changes]
    assert [(one.at, one.alert, one.firing) for one in found.alert_changes] == told
    moved = [(c.at, c.route, c.entry, c.intent, c.was, c.now, c.exact) for c in judge.changes]
    assert [(c.at, c.route, c.entry, c.intent, c.was, c.now, c.exact) for c in found.changes] == moved
    for mine, theirs in zip(found.requests, judge.requests, strict=True):
        assert (mine.route, mine.first, mine.entry) == (theirs.route, theirs.first, theirs.entry)
        assert mine.wait == (theirs.wait if theirs.has_outcome else None)


# --- over a log ---


def log(minutes: int = 20, *, slow_from: int = 5) -> Incident:
    """Six requests a minute of each intent; the big model is slow from a minute on."""
    requests = []
    for i in range(minutes * 12):
        latency = 5000 if i >= slow_from * 12 else 300
        calls = [Call("big", latency)] if i % 4 else [Call("small", 200)]
        requests.append(Written(f"r{i:04}", 5000 * i, calls, "refund" if i % 2 else "draft", complete=True))
    incident = Incident.create()
    fill(incident.store, requests)
    incident.answers = {}  # written by hand: nothing was loaded that could be asked
    return incident


RULES = """
name: {name}
routes:
- {{intent: refund, primary: big, fallback: small, max_p95_ms: {limit}, breaker: {{min_requests: 5, cooldown: 2m}}}}
- {{intent: draft, primary: big, fallback: small, max_p95_ms: 3500, breaker: {{min_requests: 5, cooldown: 2m}}}}
alerts:
- {{name: slow, when: p95_ms > {limit}, min_requests: 5, window: 2m}}
"""


def rules(limit: int, name: str = "rules") -> Policy:
    return Policy.parse(RULES.format(limit=limit, name=name))


def moment_of(incident: Incident, minute: float) -> datetime:
    first: datetime = incident.about()["first"]
    return first + timedelta(minutes=minute)


def test_each_request_is_decided_by_the_version_of_its_arrival() -> None:
    incident = log()
    change = moment_of(incident, 12)
    made = versions([(rules(90_000, "lax"), None, change), (rules(3500, "strict"), change, None)])
    assert made.name == "lax, then strict"
    both, lax, strict = (replay(incident, one).decisions for one in (made, rules(90_000), rules(3500)))
    refunds = pl.col("request_id").str.tail(1).is_in(list("13579"))
    before = pl.col("at") < change
    assert both.filter(before)["target"].equals(lax.filter(before)["target"])
    # the draft's route is in both: its breaker goes on as if nothing had happened
    assert both.filter(~refunds)["target"].equals(strict.filter(~refunds)["target"])
    # the refund's begins anew: the first requests are on the primary again, though all was slow before
    after = both.filter(refunds & ~before)["target"].to_list()
    assert after[:5] == ["big"] * 5
    assert "small" in after
    seen = replay(incident, made)
    assert set(seen.transitions["route"]) == {"draft", f"refund@{span(change, None)}"}
    frame = by_version(seen)
    assert frame["version"].to_list() == ["lax", "strict"]
    assert frame["requests"].sum() == len(incident.log)
    said = terminal.fidelity(seen).splitlines()
    assert said[1].startswith(f"  lax, ..2026-01-05T12:12Z: {number(frame['fidelity'][0], '%')} of 144 requests")
    assert said[2].startswith("  strict, 2026-01-05T12:12Z..: ")
    known = frame["requests"].to_numpy() * frame["fidelity"].to_numpy()
    assert known.sum() / len(incident.log) == pytest.approx(seen.fidelity)


def test_alerts_as_they_stood() -> None:
    incident = log()
    change = moment_of(incident, 12)
    made = versions([(rules(3500), None, change), (rules(90_000), change, None)])
    fired = alerts(incident, made).firings
    assert fired["alert"].to_list() == [f"slow@{span(None, change)}"]
    assert fired["fired_at"][0] == alerts(incident, rules(3500)).firings["fired_at"][0]
    assert fired["cleared_at"][0] == change  # nobody is called by a rule that is gone
    later = versions([(rules(90_000), None, change), (rules(3500), change, None)])
    assert alerts(incident, later).firings["fired_at"][0] > change


def test_who_is_primary_hangs_on_the_time() -> None:
    """What a candidate leaves as logged is a fallback by the version of its moment."""
    incident = log()
    change = moment_of(incident, 12)
    turned = Policy.parse("routes: [{intent: '*', primary: small, fallback: big}]", name="turned")
    incident.in_force = versions([(rules(3500), None, change), (turned, change, None)])
    frame = replay(incident, Policy(name="as logged", routes=())).outcomes
    expected = (pl.col("served") == "small") == (pl.col("at") < change)
    assert frame.select((pl.col("is_fallback") == expected).all()).item()


def test_versions_travel_between_processes() -> None:
    made = versions([(policy(), None, NOON), (policy(refund_ms=9), NOON, None)])
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own
    assert made.expand().count("p95_ms > 9") == 1


def test_before_the_first_version_all_is_as_logged() -> None:
    incident = log()
    change = moment_of(incident, 12)
    seen = replay(incident, versions([(rules(3500), change, None)]))
    early = (incident.log.arrived_us < microseconds(change)).nonzero()[0]
    assert set(seen.route[early]) == {-1}
    assert seen.same_as_log[early].all()
    assert (seen.route[len(early) :] >= 0).all()


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(minutes=st.lists(st.integers(-5, 25), min_size=1, max_size=4, unique=True))
def test_splitting_with_the_same_policy_changes_nothing(minutes: list[int]) -> None:
    incident = log(10)
    cuts = [None, *sorted(moment_of(incident, minute) for minute in minutes), None]
    one = rules(3500)
    made = versions([(one, begin, end) for begin, end in pairwise(cuts)])
    split, whole = (replay(incident, each) for each in (made, one))
    assert split.decisions.equals(whole.decisions)
    assert np.array_equal(split.changes, whole.changes, equal_nan=True)
    assert split.alert_changes.equals(whole.alert_changes)
