"""A setting of which only what changed runs again is the replay of that setting; what is broken off leaves no trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policies import policies
from test_properties import ALL_ERRORS, given_matrix, logs
from written import Request, fill

from incident_kit.errors import IncidentKitError
from incident_kit.incident import Incident
from incident_kit.policies.dials import Settings, dials, rules
from incident_kit.policies.policy import Policy
from incident_kit.scoring.outcomes import outcomes_of
from incident_kit.scoring.replays import Replay, replay_log
from incident_kit.widgets.turns import Turns


def assert_same(one: Replay, other: Replay) -> None:
    for name in ("decisions", "transitions", "outcomes"):
        both = [
            getattr(each, name).with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String)) for each in (one, other)
        ]
        assert both[0].to_dicts() == both[1].to_dicts()


def settings_of(policy: Policy, data: st.DataObject) -> list[Policy]:
    """Return the policy, and some that a hand makes of it one after the other."""
    found, now = [policy], Settings(policy)
    for _ in range(4 if dials(policy) else 0):
        if data.draw(st.booleans()):
            one = data.draw(st.sampled_from(dials(policy)))
            then = now.turned(one.path, data.draw(st.sampled_from([one.low, one.value, one.high])))
        else:
            then = now.switched(data.draw(st.sampled_from(sorted(rules(policy)))), on=data.draw(st.booleans()))
        try:
            found.append(then.policy)
        except IncidentKitError:  # contradicts the rest
            continue
        now = then
    return found


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(logs(), policies(), st.integers(0, 9), st.data())
def test_a_turn_is_a_replay(requests: list[Request], policy: Policy, seed: int, data: Any) -> None:
    incident = Incident.create()
    fill(incident.store, [*ALL_ERRORS, *requests])
    estimator, size = given_matrix(seed), len(incident.log)
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1))), np.intp)
    whole, part = Turns(incident, estimator), Turns(incident, estimator, rows=rows)
    for one in settings_of(policy, data):
        wanted = replay_log(incident.log, one, estimator=estimator, incident=incident)
        if data.draw(st.booleans()):  # some setting is never seen by one of them
            part.turn(one)
            twice = outcomes_of(Turns.stacked([part, part], wanted))
            assert twice.equals(pl.concat([wanted.outcomes[rows]] * 2))
        assert_same(whole.replay(one), wanted)
