"""Routes that do not see each other run by themselves, and come to what the machine makes of them all at once."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policies import policies
from test_properties import ALL_ERRORS, given_matrix, log_of, logs, routes
from test_properties import policy as policy_of
from written import Call, Request, fill

from incident_kit.case import open_case
from incident_kit.engine import runs
from incident_kit.estimation.evidence import nearest
from incident_kit.log import Log, read
from incident_kit.policies.policy import Policy
from incident_kit.samples import sample
from incident_kit.scoring.replays import Replay, replay_log
from incident_kit.store import Store


def at_once(log: Log, policy: Policy, **options: Any) -> Replay:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "is_plain", lambda _: False)
        patch.setattr(runs, "is_apart", lambda _: False)
        return replay_log(log, policy, **options)


def assert_same(one: Replay, other: Replay) -> None:
    for name in ("decisions", "transitions", "outcomes"):
        both = [
            getattr(each, name).with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String)) for each in (one, other)
        ]
        assert both[0].to_dicts() == both[1].to_dicts()


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(logs(), policies(signals=("churn",)), st.integers(0, 9))
def test_apart_is_at_once(requests: list[Request], policy: Policy, seed: int) -> None:
    log, estimator = log_of([*ALL_ERRORS, *requests]), given_matrix(seed)
    assert_same(replay_log(log, policy, estimator=estimator), at_once(log, policy, estimator=estimator))


@pytest.mark.slow
@pytest.mark.parametrize("complete", [None, True, False])
def test_what_was_held_is_no_longer_as_logged(store: Store, *, complete: bool | None) -> None:
    """The last to come waits while another tests the primary: its own call was sent at another time than it would be now."""
    breaker = {
        "window": "10s", "min_requests": 1, "when": "p50_ms > 100", "cooldown": "500ms",
        "half_open": {"requests": 1, "max_wait": "300ms"},
    }  # fmt: skip
    came = {"a": (0, 200), "q1": (300, 50), "q2": (400, 60), "n": (700, 70)}
    log = read(
        fill(store, [Request(name, at, [Call("big", ms)], complete=complete) for name, (at, ms) in came.items()])
    )
    policy = policy_of([{"intent": "chat", "primary": "big", "fallback": [{"queue": "1s"}], "breaker": breaker}])
    found = replay_log(log, policy, estimator=nearest)
    assert found.decisions["action"].to_list() == ["primary", "queued", "queued", "queued"]
    assert found.same_as_log.tolist() == [True, False, False, False]
    assert found.outcome.wait_ms.tolist() == [200, 400 + 60, 360 + 70, 60 + 70]  # q1 meets what q2 did, sent at 700
    assert found.decisions["evidence"].to_list()[3] != "observed"


DEADLINES = (  # policy beside intent and primary; calls of the request at 300 ms; what comes of it
    (
        {"fallback": [{"queue": "5s"}, "small"], "deadline_ms": 300},
        [Call("small", 50, "500")],
        ("queue:5s", "queue:5s", 300, "timeout", 0, False, "observed"),  # nothing went to small
    ),
    (
        {"retry": {"attempts": 1, "retry_on": ["5xx"], "backoff_ms": 2000}, "deadline_ms": 1000},
        [Call("big", 100, "500")],
        ("big", "big", 1000, "timeout", 1, False, "same_cell"),  # a retry would come too late: the deadline ends it
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize(("more", "calls", "told"), DEADLINES)
def test_a_deadline_that_passes_between_attempts_is_no_end_as_logged(
    store: Store, more: dict[str, Any], calls: list[Call], told: tuple[object, ...]
) -> None:
    breaker = {"window": "10s", "min_requests": 1, "when": "p50_ms > 150", "cooldown": "2s"}
    log = read(fill(store, [Request("a", 0, [Call("big", 200)]), Request("q", 300, calls), Request("z", 9700, [])]))
    tree = {"intent": "chat", "primary": "big"} | more
    policy = policy_of([tree | ({"breaker": breaker} if "fallback" in more else {})])
    found = replay_log(log, policy, estimator=nearest)
    names = ("target", "served", "wait_ms", "error_class", "attempts", "same_as_log", "evidence")
    assert found.decisions.select(names).row(1) == told
    said = found.explain("q")
    assert ("held until its deadline passes" in said and "No model answers it" in said) == ("fallback" in more)


ENDS = ("human", "reject", {"template": "busy"})
GROWTHS = ({"base": "100ms", "factor": 2, "max": "1s"}, {"base": "300ms", "factor": 1.5, "max": "500ms"})


@st.composite
def quick_policies(draw: Any) -> Policy:
    """Policies of one route that the kernel knows beyond plain ones: an end without a model, cooldowns that grow."""
    tree = draw(routes(intent="*"))
    tree["fallback"] = [*tree.get("fallback", []), draw(st.sampled_from(ENDS))]
    tree["breaker"]["cooldown"] = draw(st.sampled_from(GROWTHS))
    tree["breaker"]["half_open"] = {"requests": draw(st.integers(0, 2))}
    return policy_of([tree])


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(logs(), quick_policies(), st.integers(0, 9))
def test_the_kernel_ends_and_rests_as_the_machine_does(requests: list[Request], policy: Policy, seed: int) -> None:
    assert not runs.is_plain(policy)
    log, estimator = log_of([*ALL_ERRORS, *requests]), given_matrix(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "by_machine", None)  # it is not asked
        quick = replay_log(log, policy, estimator=estimator)
    assert_same(quick, at_once(log, policy, estimator=estimator))


def test_random_policies_are_of_both_kinds() -> None:
    seen = set()

    @settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(policies())
    def collect(policy: Policy) -> None:
        seen.add((runs.is_plain(policy), runs.is_apart(policy)))

    collect()
    assert {(False, True), (False, False)} <= seen


@pytest.mark.slow
@pytest.mark.parametrize("name", ["extended", "founding"])
def test_on_the_outage_with_its_own_model(name: str) -> None:
    incident = open_case(sample("outage"), in_memory=True)
    policy = Policy.load(sample("outage") / "policies" / f"{name}.yaml")
    assert runs.is_apart(policy)
    for estimator in (incident.model, incident.model.at(0, draws=2, seed=1)):
        both = [of(incident.log, policy, estimator=estimator, incident=incident) for of in (replay_log, at_once)]
        assert_same(*both)
