"""The compiled machine equals the plain interpreter on random policies and worlds (POLICY.md section 5, property 9)."""

from __future__ import annotations

from typing import Any

import pytest
from actors import Guard
from examples import Example, check
from examples_breakers import BREAKERS
from examples_requests import REQUESTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from on_machine import STATES, Ended, Moved, Result, Told, run
from policies import policies
from reference import Interpreter
from test_kernel import ERRORS, TARGETS, logs, name_of, routes, run_kernel
from truths import size, truth, within
from worlds import Arrival, Attempt, World, worlds

from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME, NOT_A_CALL
from incident_kit.policies.policy import Policy
from incident_kit.policies.policytree import item_of
from incident_kit.policies.routes import Route


class Witness(Interpreter):
    """The interpreter, noting with each change which condition decided, and of how many it was said."""

    def __init__(self, policy: Policy, world: World) -> None:
        super().__init__(policy, world)
        self.shown: list[tuple[int, Any]] = []

    def change(self, guard: Guard, at: int, state: str) -> None:
        rule, tested = guard.judged, guard.state == "HALF_OPEN"
        self.shown.append((0, 0))
        if guard.state != "OPEN" and rule is not None:
            deciding = not (tested and guard.rules.half_open.when)
            found = (i for i, leaf in enumerate(rule.leaves) if self._held(leaf, guard, at, tested=tested) is deciding)
            first = next(found, 0) if state == "OPEN" else 0
            self.shown[-1] = (first, self._of(rule.leaves[first], guard, at, tested=tested))
        super().change(guard, at, state)

    def _held(self, leaf: Any, guard: Guard, at: int, *, tested: bool) -> bool | None:
        if not tested:
            return self.condition(leaf, guard, window=guard.rules.windows[0], at=at)
        return truth(leaf, guard.seen[leaf], min_requests=1, no_data=guard.rules.no_data)

    def _of(self, leaf: Any, guard: Guard, at: int, *, tested: bool) -> Any:
        if leaf.kind == "alert":
            return 0
        return size(leaf, within(guard.seen[leaf], None if tested else guard.rules.windows[0], at))


def interpreted(policy: Policy, world: World, *, judge: type[Witness] = Witness) -> Result:
    """Return what the interpreter says, in the machine's shape; what only the machine says is left to it."""
    judged = judge(policy, world)
    judged.run()
    ended = [
        Ended(
            route=one.route,
            first=one.first,
            called=one.first,
            entry=one.entry,
            number=one.number,
            attempts=one.attempts,
            wait=one.wait if one.has_outcome else None,
            error=one.error if one.has_outcome else "unknown",
            state=one.state,
            k=one.k,  # type: ignore[arg-type] - a number
            n=one.n,  # type: ignore[arg-type]
            exact=one.exact,
            probe=one.probe,
            is_no_model=one.is_no_model,
        )
        for one in judged.requests
    ]
    moved = [
        Moved(one.at, one.route, one.entry, one.intent, one.was, one.now, *shown, one.exact)
        for one, shown in zip(judged.changes, judged.shown, strict=True)
    ]
    return Result(ended, moved, [Told(*one) for one in judged.alert_changes])


def difference(policy: Policy, own: Result, judge: Result) -> Any:
    """Return the first thing that they do not say alike, else None."""
    for i, (mine, theirs) in enumerate(zip(own.requests, judge.requests, strict=True)):
        if theirs.route is None:
            if (mine.route, mine.wait) != (None, theirs.wait):
                return i, mine, theirs
        elif mine._replace(called=theirs.called) != theirs:
            return i, mine, theirs
        elif policy.routes[theirs.route].chain[mine.first].kind != "queue" and mine.called != mine.first:
            return i, "called", mine
    if sorted(own.changes, key=repr) != sorted(judge.changes, key=repr):
        return own.changes, judge.changes
    return None if own.alert_changes == judge.alert_changes else (own.alert_changes, judge.alert_changes)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies(), worlds(most=40))
def test_machine_equals_interpreter(policy: Policy, world: World) -> None:
    assert difference(policy, run(policy, world), interpreted(policy, world)) is None


class Hurried(Witness):
    """The interpreter, which is stopped where it does not end by itself."""

    def evaluate_touched(self, at: int) -> None:
        self.steps = getattr(self, "steps", 0) + 1
        assert self.steps < 50_000, "it goes on for ever"
        super().evaluate_touched(at)


@st.composite
def swept_policies(draw: Any) -> Policy:
    """Return policies of which two breakers and more are swept, recover by timer, and trip on an empty window."""
    when = st.sampled_from(
        ["requests < 3", "requests < 50", "p95_ms > 100", {"any": ["requests < 2", "error_rate > 0.1"]}]
    )
    breaker = st.fixed_dictionaries(
        {
            "when": when,
            "window": st.sampled_from(["300ms", "1s", "3 requests"]),
            "min_requests": st.just(1),
            "every": st.sampled_from(["100ms", "500ms"]),
            "no_data": st.sampled_from(["ok", "breach"]),
            "cooldown": st.sampled_from(["100ms", "700ms", "1s", "3s"]),
            "half_open": st.sampled_from([{"requests": 0}, {"requests": 0}, {"requests": 1, "max_duration": "500ms"}]),
        },
        optional={"for": st.just("400ms")},
    )
    found = [
        {
            "intent": intent,
            "primary": "big",
            "breaker": draw(breaker),
            "fallback": [{"model": "small", "breaker": draw(breaker)}, "third"],
        }
        for intent in ("chat", "mail")
    ]
    alerts = [
        {
            "name": "quiet",
            "when": "requests < 9",
            "window": "1s",
            "min_requests": 1,
            "every": "500ms",
            "no_data": "breach",
        }
    ]
    return Policy.of_tree(item_of({"name": "swept", "routes": found, "alerts": alerts if draw(st.booleans()) else []}))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(swept_policies(), worlds(most=12))
def test_sweeps_end_with_the_log(policy: Policy, world: World) -> None:
    """Breakers that trip on empty windows and return by timer would keep each other going after the log's end."""
    judge = interpreted(policy, world, judge=Hurried)
    assert difference(policy, run(policy, world), judge) is None


def test_sweeping_breakers_do_move() -> None:
    """The fuzz above is about something: in a world of one request, breakers of both routes trip and return."""
    breaker = "{when: requests < 3, window: 1s, min_requests: 1, every: 100ms, half_open: {requests: 0}, cooldown: "
    text = (
        f"routes: [{{intent: chat, primary: big, fallback: small, breaker: {breaker}700ms}}}}, "
        f"{{intent: mail, primary: third, fallback: small, breaker: {breaker}300ms}}}}]"
    )
    world = World([Arrival("r", 0)], lambda *_: Attempt(1500))
    found = interpreted(Policy.parse(text), world, judge=Hurried)
    assert {one.route for one in found.changes} == {0, 1}
    assert max(one.at for one in found.changes) < 3_000_000
    assert difference(Policy.parse(text), run(Policy.parse(text), world), found) is None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(routes(), logs())
def test_machine_equals_the_fast_kernel_on_plain_routes(route: Route, log: tuple[Any, Any, Any]) -> None:
    arrived, records, _ = log
    kinds = {CALL: "call", NOT_A_CALL: "hit", NO_OUTCOME: None}

    def outcome(request: int, target: str, number: int) -> Attempt:
        one = records[TARGETS.index(target), number, request]
        error = ERRORS[one["error"]] if one["error"] else None
        return Attempt(int(one["latency_ms"]), error, kinds[int(one["kind"])], not one["estimated"])

    requests = [Arrival(name_of(i), at) for i, at in enumerate(arrived.tolist())]
    found = run(Policy(routes=(route,)), World(requests, outcome))
    own, table = run_kernel(route, *log)
    for mine, theirs in zip(found.requests, own, strict=True):
        assert [mine.first, mine.entry, mine.number, mine.attempts, STATES.index(mine.state), mine.k, mine.n] == [
            int(theirs[name]) for name in ("first", "entry", "number", "attempts", "state", "k", "n")
        ]
        assert (mine.exact, mine.probe) == (bool(theirs["exact"]), bool(theirs["probe"]))
        assert mine.wait == (int(theirs["wait_us"]) if theirs["error"] >= 0 else None)
        assert mine.error == (
            "unknown" if theirs["error"] < 0 else ERRORS[theirs["error"]] if theirs["error"] else None
        )
    moved = [(c.at, c.entry, STATES.index(c.was), STATES.index(c.now), c.n, c.exact) for c in found.changes]
    assert sorted(moved) == sorted((int(r[1]), int(r[0]), int(r[2]), int(r[3]), int(r[7]), r[8] == 1) for r in table)


@pytest.mark.parametrize("example", [*REQUESTS, *BREAKERS], ids=str)
def test_examples(example: Example) -> None:
    check(run, example)
    policy = Policy.parse(example.policy)
    assert difference(policy, run(policy, example.world), interpreted(policy, example.world)) is None
