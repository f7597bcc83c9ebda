"""What a reader must know before believing a replay."""

from __future__ import annotations

from functools import partial

import pytest
from test_replays import TRIPS, route
from written import Call, Request, fill

from incident_kit.estimation.evidence import nearest
from incident_kit.incident import Incident
from incident_kit.log import read
from incident_kit.policies.baselines import always_fallback, always_primary
from incident_kit.policies.policy import Policy
from incident_kit.scoring import replays
from incident_kit.scoring.caveats import caveats
from incident_kit.scoring.replays import replay_log
from incident_kit.store import Store

replay = partial(replays.replay, estimator=nearest)  # what it borrows can be told by hand


def test_by_hand(tiny: Incident) -> None:
    """r5 borrows from r6, two seconds later, r8 from r6, three seconds before: the median is 2.5 s."""
    borrowed, quiet, unrouted = caveats(replay(tiny, Policy.parse(TRIPS)))
    assert borrowed.startswith(
        "25 % of the outcomes are worked out from the nearest similar request (half of them over 2.5 s away)"
    )
    assert quiet.startswith(
        "Route chat: while its primary is in service, its window of 10s holds the 2 calls that it takes to act "
        "under 1 % of the time"
    )
    assert quiet.endswith("(half the time under 0.5).")
    assert unrouted == "13 % of the requests match no route and stay as logged."


def test_the_log_itself_needs_none(tiny: Incident) -> None:
    assert caveats(tiny.as_logged) == ()


def test_what_weighs_most_comes_first(tiny: Incident) -> None:
    said = caveats(replay(tiny, always_primary(Policy.parse("routes: [{intent: '*', primary: nowhere}]"))))
    unknown, untold = said
    assert unknown == "nowhere answers nothing in this log: what it would have done cannot be told."
    assert untold.startswith("For 100 % of the requests these logs cannot tell what would have happened")


def test_answers_without_tools(tiny: Incident) -> None:
    policy = Policy.parse("routes: [{intent: chat, primary: big, fallback: small, disable_tools_on_fallback: true}]")
    assert any(
        said.startswith("88 % of the answers would come without tools")
        for said in caveats(replay(tiny, always_fallback(policy)))
    )


def test_states_that_estimates_touched(store: Store) -> None:
    requests = [
        Request("a", 0, [Call("big", 100)]),
        Request("b", 1000, [Call("small", 5)]),
        Request("c", 2000, [Call("big", 90)]),
    ]
    found = replay_log(read(fill(store, requests)), route(fallback="small", max_p95_ms=1000))
    assert "33 % of the decisions rest on a state that worked-out outcomes have touched." in caveats(found)


@pytest.mark.parametrize("name", ["per-intent", "blind"])
def test_on_the_capture_the_shares_are_those_of_the_replay(sample: Incident, name: str) -> None:
    found = replay(sample, next(policy for policy in sample.policies if policy.name == name))
    said = " ".join(caveats(found))
    assert ("cannot tell" in said) == (found.evidence["none"] > 0)
    told = found.evidence["same_cell"] + found.evidence["same_intent"]
    assert f"{100 * told:.0f} % of the outcomes are worked out" in said
