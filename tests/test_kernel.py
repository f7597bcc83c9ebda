"""The compiled kernel equals the plain interpreter on random policies and logs (POLICY.md section 5, property 9)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import Attempt, Interpreter, share_draw
from worlds import Arrival, World

from incident_kit.engine import kernel
from incident_kit.engine.plan import is_in, plan
from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME, NOT_A_CALL, OUTCOME
from incident_kit.policies.conditions import Rule
from incident_kit.policies.policy import Policy
from incident_kit.policies.routes import Breaker, Entry, HalfOpen, Retry, Route, Window

ERRORS = ("ok", "429", "500", "400", "timeout", "cut", "connection")
TARGETS = ("primary", "second", "third")
STATES = {"CLOSED": 0, "OPEN": 1, "HALF_OPEN": 2}

limits = st.sampled_from([100, 200, 300, 400])
signs = st.sampled_from([">", ">=", "<", "<="])
condition_texts = st.one_of(
    st.builds("p{}_ms {} {}".format, st.sampled_from([50, 90, 95, "99.9"]), signs, limits),
    st.builds("slow_rate({}ms) {} {}".format, limits, signs, st.sampled_from(["0.05", "0.2", "0.5"])),
    st.builds("error_rate {} {}".format, signs, st.sampled_from(["0.01", "0.1", "0.34", "0.5"])),
)


@st.composite
def rules(draw: Any) -> Rule:
    texts = draw(st.lists(condition_texts, min_size=1, max_size=3, unique=True))
    return Rule.parse({"at_least": draw(st.integers(1, len(texts))), "of": texts})


classes = st.lists(st.sampled_from(["5xx", "4xx", "429", "timeout"]), unique=True, max_size=4).map(tuple)
breakers = st.builds(
    Breaker,
    when=rules(),
    windows=st.one_of(
        st.builds(Window, st.just("sliding"), st.sampled_from([200, 1000, 5000])),
        st.builds(Window, st.just("count"), st.integers(1, 6)),
    ).map(lambda window: (window,)),
    min_requests=st.integers(1, 4),
    for_ms=st.sampled_from([0, 0, 150, 600]),
    errors=classes,
    cooldown_ms=st.sampled_from([0, 100, 500, 3000]),
    half_open=st.builds(
        HalfOpen,
        requests=st.integers(0, 3),
        share=st.sampled_from([1.0, 0.5]),
        max_wait_ms=st.sampled_from([100, 250, 60_000]),
        when=st.one_of(st.none(), rules()),
    ),
)
chains = st.lists(st.one_of(st.none(), breakers), min_size=1, max_size=3)
retries = st.builds(
    Retry,
    attempts=st.integers(0, 2),
    retry_on=classes,
    timeout_ms=st.sampled_from([None, None, 250, 500]),
    backoff_ms=st.sampled_from([0, 0, 50]),
)


@st.composite
def routes(draw: Any) -> Route:
    guards = draw(chains)
    entries = tuple(Entry(TARGETS[i], guard) for i, guard in enumerate(guards))
    return Route(
        name="r",
        intent=("*",),
        primary=TARGETS[0],
        fallback=entries[1:],
        fallback_on=draw(classes),
        retry=draw(retries),
        breaker=guards[0],
    )


@st.composite
def logs(draw: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals in steps that often collide, and a full matrix of outcomes."""
    n = draw(st.integers(1, 60))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    step = random.choice([0, 50, 100, 400], n, p=[0.3, 0.4, 0.2, 0.1])
    arrived = np.cumsum(step).astype(np.int64) * 1000 + draw(st.sampled_from([0, 10**9]))
    records = np.zeros((len(TARGETS), 3, n), OUTCOME)
    records["latency_ms"] = random.choice([0, 50, 100, 150, 200, 300, 350, 400, 900], records.shape)
    failing = random.random(records.shape) < draw(st.sampled_from([0.0, 0.2, 0.6]))
    records["error"] = np.where(failing, random.integers(1, len(ERRORS), records.shape), 0)
    kinds = [CALL, NOT_A_CALL, NO_OUTCOME]
    records["kind"] = random.choice(kinds, records.shape, p=[0.9, 0.05, 0.05])
    records["estimated"] = random.random(records.shape) < 0.1
    records["estimated"][records["kind"] == NO_OUTCOME] = 1
    return arrived, records, np.array([share_draw(name_of(i)) for i in range(n)])


def name_of(request: int) -> str:
    return f"r{request:02}"


def run_kernel(route: Route, arrived: np.ndarray, records: np.ndarray, draw: np.ndarray) -> tuple[Any, Any]:
    p = plan(route, ERRORS)
    outcomes = np.ascontiguousarray(records[: len(p.targets), : p.attempts])
    done_us, done_request = kernel.ends(arrived, outcomes[0, 0], int(p.retry["timeout_ms"][0]))
    return kernel.run(
        arrived,
        draw,
        done_us,
        done_request,
        outcomes,
        p.breakers,
        p.rules,
        p.trip,
        p.recover,
        p.retry,
        p.failures,
        p.flags,
    )


def run_reference(route: Route, arrived: np.ndarray, records: np.ndarray, _draw: np.ndarray) -> Interpreter:
    kinds = {CALL: "call", NOT_A_CALL: "hit", NO_OUTCOME: None}

    def outcome(request: int, target: str, number: int) -> Attempt:
        one = records[TARGETS.index(target), number, request]
        error = ERRORS[one["error"]] if one["error"] else None
        return Attempt(int(one["latency_ms"]), error, kinds[int(one["kind"])], not one["estimated"])

    requests = [Arrival(name_of(i), at) for i, at in enumerate(arrived.tolist())]
    return Interpreter(Policy(routes=(route,)), World(requests, outcome)).run()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(routes(), logs())
def test_kernel_equals_interpreter(route: Route, log: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    own, table = run_kernel(route, *log)
    judge = run_reference(route, *log)
    for i, request in enumerate(judge.requests):
        one = own[i]
        assert one["first"] == request.first
        assert one["entry"] == request.entry
        assert one["number"] == request.number
        assert one["attempts"] == request.attempts
        assert one["state"] == STATES[request.state]
        assert bool(one["exact"]) == request.exact
        assert bool(one["probe"]) == request.probe
        assert (one["k"], one["n"]) == (request.k, request.n)
        if request.has_outcome:
            assert one["wait_us"] == request.wait
            assert ERRORS[one["error"]] == (request.error or "ok")
        else:
            assert one["error"] == -1
            assert one["wait_us"] == -1
    changes = sorted((row.at, row.entry, STATES[row.was], STATES[row.now], row.n, row.exact) for row in judge.changes)
    assert sorted((int(r[1]), int(r[0]), int(r[2]), int(r[3]), int(r[7]), r[8] == 1) for r in table) == changes


def test_random_routes_do_trip() -> None:
    """The property above means nothing if breakers never move."""
    moved = set()

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(routes(), logs())
    def collect(route: Route, log: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        for change in run_reference(route, *log).changes:
            moved.add((change.was, change.now))

    collect()
    probing = {("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED"), ("HALF_OPEN", "OPEN")}
    assert moved == probing | {("CLOSED", "OPEN"), ("OPEN", "CLOSED")}


@pytest.mark.parametrize(
    ("error", "patterns", "expected"),
    [
        ("503", ("5xx",), True),
        ("429", ("4xx",), True),
        ("429", ("429",), True),
        ("400", ("429",), False),
        ("timeout", ("5xx",), False),
        ("connection", ("5xx",), True),
        ("content_policy", ("4xx",), True),
        ("content_policy", ("content_policy",), True),
        ("400", ("400",), True),
    ],
)
def test_error_classes(error: str, patterns: tuple[str, ...], *, expected: bool) -> None:
    assert is_in(error, patterns) is expected
