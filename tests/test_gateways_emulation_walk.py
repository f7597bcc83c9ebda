"""Small logs through LiteLLM's router: retries, fallbacks, refusals, what the log leaves out, and where ways part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written import Call, Request, fill, frames, write

from incident_kit.errors import InvalidConfiguration, UnansweredQuestion
from incident_kit.gateways.emulation import _run, emulate
from incident_kit.gateways.litellm_config import read_settings
from incident_kit.gateways.litellm_emulated import Emulation
from incident_kit.gateways.litellm_log import read_logged
from incident_kit.gateways.litellm_router import SECOND, Router, Thresholds
from incident_kit.gateways.litellm_settings import Deployment
from incident_kit.gateways.litellm_walk import NEAREST, OBSERVED, Logged, Row, Walk
from incident_kit.gateways.litellm_words import DIFFERENCES
from incident_kit.incident import Incident


@dataclass(frozen=True)
class At(Call):
    """An attempt that names its deployment, worker, and what it was asked to wait."""

    deployment: str | None = None
    worker: str | None = None
    asked_s: int | None = None


def incident_of(*requests: Request) -> Incident:
    tables = frames(requests)
    calls = [call for request in requests for call in request.calls]
    own = {
        "deployment": pl.Series([getattr(call, "deployment", None) for call in calls], dtype=pl.String),
        "worker": pl.Series([getattr(call, "worker", None) for call in calls], dtype=pl.String),
        "retry_after_ms": pl.Series(
            [1000 * asked if (asked := getattr(call, "asked_s", None)) is not None else None for call in calls],
            dtype=pl.Int64,
        ),
    }
    incident = Incident.create()
    fill(incident.store, tables | {"attempts": tables["attempts"].with_columns(**own)})
    return incident


def config(groups: dict[str, Sequence[str]], *fallbacks: dict[str, list[str]], **router: Any) -> dict[str, Any]:
    models = [
        {"model_name": group, "litellm_params": {"model": "openai/x"}, "model_info": {"id": name} if name else {}}
        for group, names in groups.items()
        for name in names
    ]
    return {"model_list": models, "router_settings": {"fallbacks": list(fallbacks), "num_retries": 1} | router}


PAIR = config({"big": ["a", "b"], "small": ["c"]}, {"big": ["small"]})


def ways(found: Emulation) -> list[tuple[str | None, int, str | None, bool]]:
    return [(walk.served, walk.calls, DIFFERENCES[walk.parted], walk.evidence == OBSERVED) for walk in found.walks]


def ok(deployment: str, *, target: str = "big", ms: int = 100) -> At:
    return At(target, ms, deployment=deployment)


def bad(deployment: str, error: str = "500", *, target: str = "big", ms: int = 100, asked_s: int | None = None) -> At:
    return At(target, ms, error, deployment=deployment, asked_s=asked_s)


REFUSAL = Call("big", 5, "429", kind="refusal")


def test_a_refusal_goes_to_the_fallback_without_a_call() -> None:
    found = emulate(
        incident_of(
            Request("r1", 0, [bad("a", "429", asked_s=60), ok("b")]),
            Request("r2", 1000, [bad("b", "429", asked_s=9), ok("c", target="small")]),
            Request("r3", 2000, [REFUSAL, ok("c", target="small")]),
            Request("r4", 11_000, [ok("b")]),
        ),
        PAIR,
    )
    assert ways(found) == [
        ("big", 2, None, True),
        ("small", 2, None, True),
        ("small", 1, None, True),
        ("big", 1, None, True),
    ]
    assert (found.fidelity, found.refusals.observed, found.refusals.both) == (1.0, 1, 1)
    assert found.cooldowns.select("deployment", "length_from").rows() == [("a", "Retry-After"), ("b", "Retry-After")]


def test_an_unlogged_retry_follows_from_the_fallback() -> None:
    """LiteLLM logs the first failure only: the retry in the group must have failed, and counts for nothing."""
    found = emulate(incident_of(Request("r1", 0, [bad("a"), ok("c", target="small")])), PAIR)
    walk = found.walks[0]
    assert (walk.served, walk.calls, walk.unlogged, walk.guessed, walk.evidence) == ("small", 3, 1, 0, OBSERVED)
    assert found.caveats[0].startswith("1 failed attempts are not in the log")


def test_a_failed_fallback_counts_against_the_likeliest_deployment() -> None:
    """As request 475 of the capture: nobody answered, one failure is logged, and a fallback's failure was counted."""
    chain = config({"tiny": ["t"], "big": ["a", "b"]}, {"tiny": ["big"]}, num_retries=0, allowed_fails=0)
    failed = Request("r1", 0, [At("tiny", 100, "500", deployment="t")], requested="tiny")
    found = emulate(incident_of(failed, Request("r2", 500, [ok("b")])), chain)
    assert [(one.deployment.id, one.why) for one in found.found] == [
        ("t", "more than allowed"),
        ("a", "more than allowed"),
    ]
    assert found.walks[0].guessed == 1
    heavier = {**chain, "model_list": [*chain["model_list"]]}
    heavier["model_list"][2] = {**heavier["model_list"][2], "litellm_params": {"weight": 5}}
    found = emulate(incident_of(failed, Request("r2", 500, [ok("a")])), heavier)
    assert found.found[1].deployment.id == "b"


def test_what_litellm_still_called_and_this_refuses() -> None:
    off = incident_of(
        Request("r0", 0, [ok("c", target="small")], intent="chat"),
        Request("r1", 0, [bad("a", "429", asked_s=60), ok("b")]),
        Request("r2", 1000, [bad("b", "429", asked_s=60), ok("c", target="small")]),
        Request("r3", 2000, [ok("a")]),
    )
    found = emulate(off, PAIR)
    assert ways(found)[-1] == ("small", 1, DIFFERENCES[2], False)
    assert found.differences.select("request_id", "served", "logged_served", "refused", "logged_refused").rows() == [
        ("r3", "small", "big", True, False)
    ]
    assert (found.fidelity, found.refusals.false_share) == (0.75, 1.0)
    assert "LiteLLM called the group; here all its deployments were in cooldown" in found.explain("r3")
    assert "In the log big answered it" in found.explain("r3")


def test_what_litellm_refused_and_this_serves() -> None:
    found = emulate(
        incident_of(Request("r1", 0, [ok("a")]), Request("r2", 1000, [REFUSAL, ok("c", target="small")])), PAIR
    )
    assert ways(found)[1] == ("big", 1, DIFFERENCES[1], False)
    assert found.decisions["evidence"].to_list() == ["observed", "same_intent"]
    assert (found.refusals.observed, found.refusals.met_share, found.refusals.false_share) == (1, 0.0, None)


def test_without_a_call_to_borrow_the_label_says_so() -> None:
    found = emulate(incident_of(Request("r1", 0, [REFUSAL, ok("c", target="small")])), PAIR)
    assert (found.walks[0].served, found.evidence["none"]) == ("big", 1.0)


def test_a_deployment_in_cooldown_is_replaced_by_another() -> None:
    off = incident_of(Request("r1", 0, [bad("a", "429", asked_s=60), ok("b")]), Request("r2", 1000, [ok("a")]))
    assert ways(emulate(off, PAIR))[1] == ("big", 1, DIFFERENCES[3], False)


def test_more_tries_in_the_log_than_here() -> None:
    off = incident_of(Request("r1", 0, [bad("a"), ok("b")]), Request("r2", 1000, [ok("c", target="small")]))
    found = emulate(off, PAIR | {"router_settings": {**PAIR["router_settings"], "num_retries": 0}})
    assert ways(found)[0] == ("small", 2, DIFFERENCES[4], False)
    # the deployment's own number wins, and a policy wins over that
    own = {**PAIR, "model_list": [{**one, "litellm_params": {"num_retries": 0}} for one in PAIR["model_list"]]}
    assert ways(emulate(off, own))[0][0] == "small"
    by_kind = {**own, "router_settings": {**own["router_settings"], "retry_policy": {"InternalServerErrorRetries": 1}}}
    assert ways(emulate(off, by_kind))[0] == ("big", 2, None, True)


@pytest.mark.parametrize("error", ["400", "content_policy", "404", "context_window"])
def test_what_is_never_repeated_goes_on_to_the_fallback(error: str) -> None:
    found = emulate(incident_of(Request("r1", 0, [bad("a", error), ok("c", target="small")])), PAIR)
    assert ways(found) == [("small", 2, None, True)]
    assert found.walks[0].unlogged == 0


def test_failures_with_a_chain_of_their_own_take_it() -> None:
    chains = config(
        {"big": ["a"], "long": ["l"], "small": ["c"]}, {"big": ["small"]}, context_window_fallbacks=[{"big": ["long"]}]
    )
    long = Request("r1", 0, [bad("a", "context_window"), ok("l", target="long")])
    usual = Request("r2", 1000, [bad("a", "content_policy"), ok("c", target="small")])
    assert [way[0] for way in ways(emulate(incident_of(long, usual), chains))] == ["long", "small"]
    assert read_settings(chains).chain("context_window", ("small",)) == ()
    # a fallback without a chain of its own goes on along its request's
    assert read_settings(chains).chain("", ("small", "big")) == ("small",)


def test_fallbacks_of_fallbacks_and_of_everybody() -> None:
    groups = {name: [f"{name}1"] for name in ("a", "b", "c", "d")}
    chains = config(groups, {"a": ["b"]}, {"b": ["c"]}, default_fallbacks=["d"], num_retries=0)
    through = Request("r1", 0, [At("a", 10, "500", deployment="a1"), At("c", 10, deployment="c1")])
    everybody = Request("r2", 1000, [At("c", 10, "500", deployment="c1"), At("d", 10, deployment="d1")])
    found = emulate(incident_of(through, everybody), chains)
    assert [(walk.served, walk.calls, walk.unlogged) for walk in found.walks] == [("c", 3, 1), ("d", 2, 0)]
    short = emulate(
        incident_of(through), {**chains, "router_settings": {**chains["router_settings"], "max_fallbacks": 1}}
    )
    assert (short.walks[0].served, short.fidelity) == (None, 0.0)
    assert short.differences["difference"][0].startswith("the log went on to a group")


def test_a_cut_answer_is_an_answer() -> None:
    cut = Request("r1", 0, [At("big", 100, "cut", deployment="a")], changes={"served": "big"})
    walk = emulate(incident_of(cut), PAIR).walks[0]
    assert (walk.served, walk.calls) == ("big", 1)


def test_a_guardrails_refusal_ends_it() -> None:
    found = emulate(incident_of(Request("r1", 0, [At("big", 10, "400", kind="guardrail", deployment="a")])), PAIR)
    assert (found.walks[0].served, found.walks[0].calls, found.cooldowns.height) == (None, 1, 0)


def test_cache_hits_count_as_answers() -> None:
    hits = [Request(f"h{x}", x * 10, [At("big", 1, kind="cache_hit", deployment="a")]) for x in range(5)]
    found = emulate(incident_of(*hits, *(Request(f"f{x}", 1000 + x, [bad("a"), ok("b")]) for x in range(5))), PAIR)
    assert found.cooldowns.is_empty()  # five of ten
    assert (
        emulate(incident_of(*(Request(f"f{x}", x, [bad("a"), ok("b")]) for x in range(5))), PAIR).cooldowns.height == 1
    )


def test_workers_are_told_apart() -> None:
    def told(*workers: str) -> Emulation:
        requests = [
            Request(
                f"r{x}",
                1000 * x,
                [At("big", 10, "429", deployment=name, worker=worker), At("small", 10, deployment="c")],
            )
            for x, (worker, name) in enumerate(zip(workers, "ab", strict=False))
        ]
        return emulate(
            incident_of(*requests, Request("last", 3000, [At("big", 10, deployment="a", worker="w2")])), PAIR
        )

    assert told("w1", "w1").fidelity == 1.0
    assert told("w1", "w2").fidelity == 1.0
    assert told("w2", "w2").fidelity < 1.0
    assert told("w1", "w2").cooldowns["worker"].to_list() == ["w1", "w2"]


def test_deployments_without_an_id_get_those_of_the_log() -> None:
    nameless = config({"big": ["", ""], "small": ["c", ""]}, {"big": ["small"]})
    found = emulate(incident_of(Request("r1", 0, [bad("x9", "429"), ok("b7")])), nameless)
    assert {one.id for one in found.settings.deployments} == {"x9", "b7", "c", "small 4"}
    assert found.cooldowns["deployment"].to_list() == ["x9"]


def test_requests_for_other_groups_are_left_as_logged() -> None:
    found = emulate(incident_of(Request("r1", 0, [ok("a")]), Request("r2", 1, [At("other", 10, deployment="o")])), PAIR)
    assert (found.judged, found.fidelity) == (1, 1.0)
    assert found.decisions["served"].to_list() == ["big", "other"]
    assert found.caveats == ("1 requests are for groups that the configuration does not have: left as logged.",)
    with pytest.raises(UnansweredQuestion, match="has the groups big, small; the log's requests are for other"):
        emulate(incident_of(Request("r2", 1, [At("other", 10, deployment="o")])), PAIR)


def test_aliases_are_their_groups() -> None:
    aliased = PAIR | {"router_settings": {**PAIR["router_settings"], "model_group_alias": {"chat": "big"}}}
    found = emulate(
        incident_of(Request("r1", 0, [At("chat", 10, "500", deployment="a"), ok("b")], requested="chat")), aliased
    )
    assert (found.walks[0].served, found.fidelity, found.judged) == ("big", 1.0, 1)


def test_a_log_of_requests_alone_is_one_attempt_each(tmp_path: Path) -> None:
    incident = Incident.create()
    tables = frames([Request("r1", 0, [Call("big", 100)]), Request("r2", 1000, [Call("big", 100)])])
    incident.load(write(tmp_path, {"requests": tables["requests"]}))
    found = emulate(incident, PAIR)
    assert [(walk.served, walk.calls, walk.parted) for walk in found.walks] == [("big", 1, 0)] * 2


def test_nothing_in_the_log_is_no_difference() -> None:
    found = emulate(Incident.create(), PAIR)
    assert (found.fidelity, found.judged, found.refusals.met_share, found.caveats) == (1.0, 0, None, ())
    assert found.decisions.is_empty()
    assert found.differences.is_empty()
    assert found.cooldowns.is_empty()


OUTCOMES = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([None, None, "500", "429", "timeout", "401"])),
    min_size=12,
    max_size=60,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OUTCOMES, st.randoms(use_true_random=False), st.integers(0, 2), st.sampled_from([3, 1]))
def test_a_log_that_the_router_itself_made_is_explained_whole(
    arrivals: list[tuple[int, str | None]], random: Any, retries: int, allowed: int
) -> None:
    """The router makes a log as LiteLLM logs (first failure, answer, refusal); emulated, it gives the same again."""
    setup = config({"big": ["a", "b"], "small": ["c"]}, {"big": ["small"]}, num_retries=retries, allowed_fails=allowed)
    found = read_settings(setup)
    machine = Router(found, version="1.106.2", thresholds=Thresholds())
    made: dict[int, list[tuple[int, Deployment, Row]]] = {}
    walks: list[Walk] = []

    def lend(position: int, deployment: Deployment, number: int) -> tuple[Row, int]:
        error = arrivals[(position + number) % len(arrivals)][1] if deployment.group == "big" else None
        took = random.randrange(1, 3) * SECOND // 4
        row = Row("call", deployment.group, deployment.id, 0, took, error)
        made.setdefault(position, []).append((walks[position].now_us, deployment, row))
        return row, OBSERVED

    at = 0
    for position, (pause, _) in enumerate(arrivals):
        at += pause * SECOND // 8
        logged = Logged(position, f"r{position:03}", at, at, "big", "big", None, None, ())
        walks.append(Walk(machine, logged, lend))
    _run(walks)
    incident = incident_of(*(as_logged(walk, made.get(walk.logged.position, [])) for walk in walks))
    again = emulate(incident, setup)
    assert [walk.served for walk in again.walks] == [walk.served for walk in walks]
    assert [walk.refused_group for walk in again.walks] == [walk.refused_group for walk in walks]
    assert [(one.deployment.id, one.why) for one in again.found] == [
        (one.deployment.id, one.why) for one in machine.cooldowns
    ]


def as_logged(walk: Walk, made: list[tuple[int, Deployment, Row]]) -> Request:
    """Return what LiteLLM logs of a request: a refusal or the first failure, and the answer."""
    calls: list[Call] = [Call("big", 0, "429", kind="refusal")] if walk.refused_group else []
    at_us = walk.logged.arrived_us
    shown = [(sent, one, row) for i, (sent, one, row) in enumerate(made) if row.error is None or (i == 0 and not calls)]
    for sent, one, row in shown:
        took = row.done_us - row.sent_us
        calls.append(At(one.group, took // 1000, row.error, after_ms=(sent - at_us) // 1000, deployment=one.id))
        at_us = sent + took
    return Request(walk.logged.id, walk.logged.arrived_us / 1000, calls, requested="big")


def test_a_refusal_is_booked_on_the_deployment_that_is_called_next() -> None:
    """As in the capture, whose refusals carry the backup's name: there it is alone; of several it could cool one down."""
    chains = config({"big": ["a"], "small": ["c", "d"]}, {"big": ["small"]}, num_retries=0)
    first = Request("r0", 0, [At("big", 10, "401", deployment="a"), ok("d", target="small")])
    refused = [Request(f"r{x}", 100 * x, [REFUSAL, ok("c", target="small")]) for x in range(1, 5)]
    last = Request("r9", 900, [bad("c", target="small"), ok("d", target="small")])
    before = incident_of(first, *refused, last)
    assert emulate(before, chains).cooldowns.select("deployment", "why").rows() == [
        ("a", "not retryable"),
        ("c", "most failed"),
    ]
    assert emulate(incident_of(*refused, last), chains).cooldowns.is_empty()


def test_a_retry_goes_elsewhere_after_what_repeating_cannot_mend() -> None:
    """Where nothing is logged: the deployment that answered 401 is left out of the request's own retries."""
    found = read_settings(PAIR | {"router_settings": {"num_retries": 3, "disable_cooldowns": True}})
    asked: list[str] = []

    def lend(_position: int, deployment: Deployment, _number: int) -> tuple[Row, int]:
        asked.append(deployment.id)
        return Row("call", "big", deployment.id, 0, 10, "401" if deployment.id == "a" else "500"), NEAREST

    machine = Router(found, version="1.106.2", thresholds=Thresholds())
    _run([Walk(machine, Logged(0, "r", 0, 0, "big", "big", None, None, ()), lend)])
    assert asked == ["a", "b", "b", "b"]


def test_a_retry_between_two_logged_calls_may_be_unlogged() -> None:
    """401, then another deployment's failure that LiteLLM does not log, then the first again: as logged, a call short."""
    twice = PAIR | {"router_settings": {**PAIR["router_settings"], "num_retries": 2, "disable_cooldowns": True}}
    found = emulate(incident_of(Request("r1", 0, [bad("a", "401"), ok("a")])), twice)
    assert ways(found) == [("big", 2, None, True)]


@pytest.mark.parametrize(("asked_us", "at_s"), [(None, [0.0, 0.5, 1.5, 3.5]), (2 * SECOND, [0.0, 2.0, 4.0, 6.0])])
def test_a_lone_deployment_is_tried_again_after_a_pause(asked_us: int | None, at_s: list[float]) -> None:
    sent: list[float] = []

    def lend(_position: int, deployment: Deployment, _number: int) -> tuple[Row, int]:
        sent.append(walk.now_us / SECOND)
        return Row("call", "small", deployment.id, 0, 0, "429", asked_us), NEAREST

    found = read_settings(PAIR | {"router_settings": {"num_retries": 3}})
    machine = Router(found, version="1.106.2", thresholds=Thresholds())
    walk = Walk(machine, Logged(0, "r", 0, 0, "small", "small", None, None, ()), lend)
    _run([walk])
    assert sent == at_s


def test_a_retry_is_judged_when_it_is_sent() -> None:
    """The log says when: by then a deployment that rested at the failure may be back."""
    trio = config({"big": ["a", "b", "c"]})
    off = incident_of(
        Request("r1", 0, [bad("b", "429", asked_s=1), ok("a")]),
        Request("r2", 900, [bad("a"), At("big", 50, deployment="b", after_ms=400)]),
    )
    assert ways(emulate(off, trio))[1] == ("big", 2, None, True)


def test_at_the_same_instant_what_is_done_comes_first() -> None:
    off = incident_of(Request("r1", 0, [bad("a", "429", ms=1000), ok("b")]), Request("r2", 1000, [ok("a")]))
    assert ways(emulate(off, PAIR))[1] == ("big", 1, DIFFERENCES[3], False)
    off = incident_of(Request("r1", 0, [bad("a", "429", ms=1001), ok("b")]), Request("r2", 1000, [ok("a")]))
    assert ways(emulate(off, PAIR))[1] == ("big", 1, None, True)


def test_without_a_deployment_left_there_is_no_retry_and_the_failure_is_told() -> None:
    alone = config({"big": ["a", "b"]})
    off = incident_of(Request("r1", 0, [bad("b", "429", asked_s=60), ok("a")]), Request("r2", 1000, [bad("a", "429")]))
    found = emulate(off, alone)
    assert found.decisions.select("calls", "error_class", "same_as_log").rows()[1] == (1, "429", True)


def test_log_rows_keep_the_requests_order() -> None:
    off = incident_of(Request("b", 0, [ok("a")]), Request("a", 0, [bad("a"), ok("b")]), Request("c", -5, [ok("a")]))
    logged = read_logged(off, read_settings(PAIR))
    assert [(one.id, [row.deployment for row in one.rows]) for one in logged] == [
        ("c", ["a"]),
        ("a", ["a", "b"]),
        ("b", ["a"]),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("routes: []\nname: x", "is no LiteLLM configuration: no model_list, only routes, name"),
        ("model_list: 3", r"line 1: model_list must be a list, not 3"),
        (
            "model_list:\n- litellm_params: {}",
            "line 2: an entry of model_list must be a mapping with model_name, not a mapping",
        ),
        (
            "model_list: []\nrouter_settings:\n  num_retries: many",
            "line 3: num_retries must be a number from 0 .*, not 'many'",
        ),
        ("model_list: []\nrouter_settings:\n  num_retries: 1.5", "line 3: num_retries must be a whole number, not 1.5"),
        (
            "model_list: []\nrouter_settings:\n  cooldown_time: os.environ/X",
            "line 3: cooldown_time must be the number itself",
        ),
        (
            "model_list: []\nrouter_settings:\n  disable_cooldowns: 7",
            "line 3: disable_cooldowns must be true or false, not 7",
        ),
        ("model_list: []\nrouter_settings:\n  fallbacks: {a: [b]}", "line 3: fallbacks must be a list, not a mapping"),
        (
            "model_list: []\nrouter_settings:\n  fallbacks: [{a: [3]}]",
            "line 3: fallbacks of a must be a list of model names",
        ),
        ("model_list: []\nrouter_settings: [x]", "line 2: router_settings must be a mapping, not a list"),
        (
            "model_list: []\nrouter_settings: {model_group_alias: {a: 3}}",
            "line 2: model_group_alias.a must be a model name",
        ),
    ],
)
def test_a_wrong_configuration_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        read_settings(text)


def test_settings_of_the_library_stand_in_for_the_routers() -> None:
    library = {
        "num_retries": "4",
        "fallbacks": [{"a": ["b", {"model": "c", "messages": []}]}],
        "default_fallbacks": ["d"],
        "context_window_fallbacks": [{"a": ["e"]}],
        "content_policy_fallbacks": [{"a": "f"}],
        "max_fallbacks": 2,
    }
    found = read_settings({"model_list": [], "litellm_settings": library})
    assert (found.num_retries, found.max_fallbacks, found.chain("", ("a",))) == (4, 2, ("b", "c"))
    assert (found.chain("", ("x",)), found.chain("context_window", ("a",))) == (("d",), ("e",))
    assert found.chain("content_policy", ("a",)) == ("f",)
    own = read_settings(
        {"model_list": [], "litellm_settings": library, "router_settings": {"num_retries": 0, "max_fallbacks": 7}}
    )
    assert (own.num_retries, own.max_fallbacks) == (0, 7)


def test_what_the_emulation_leaves_out_is_said() -> None:
    found = emulate(
        incident_of(Request("r1", 0, [ok("a")])), PAIR | {"router_settings": {"enable_pre_call_checks": True}}
    )
    assert found.caveats == (
        "The emulation does not follow enable_pre_call_checks: requests too long for a deployment are not held back from it.",
    )


@settings(max_examples=80, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from(
        ["router_settings", "litellm_settings", "model_list", "fallbacks", "num_retries", "retry_policy", "id"]
    ),
)
def test_any_value_anywhere_is_read_or_refused(value: Any, where: str) -> None:
    entry = {"model_name": "m", "model_info": {"id": value}} if where == "id" else {"model_name": "m"}
    tree: dict[str, Any] = {"model_list": [entry], "router_settings": {}}
    inside = where in {"fallbacks", "num_retries", "retry_policy"}
    (tree["router_settings"] if inside else tree).update({} if where == "id" else {where: value})
    try:
        found = read_settings(tree)
    except InvalidConfiguration as error:
        assert str(error).startswith("the configuration")  # noqa: PT017 - any value may also be right
    else:
        assert found.deployments == () or found.deployments[0].group
