"""Worked examples of windows, conditions, breakers and alerts (S9 to S20), and of the whole vocabulary."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from examples import SLOW, TRIPPED, Example, answer, ask, breaker, desk, guarded, policy, route, signal, world

HALF_OPEN = "1400 big HALF_OPEN 0/0"
TWO_FAILED = (ask("e1", 0, big=(100, "500")), ask("e2", 10, big=(100, "500")))


def tools_known(no_data: str) -> str:
    return guarded(when=["slow_rate(200ms) >= 0.5", "tool_success_rate < 0.5"], no_data=no_data)


WINDOWS = [
    Example(
        "S9: a sliding window is open at its old end",
        guarded(window="1s"),
        world(ask("a", 0, big=300), ask("b", 1000, big=300)),
    ),
    Example(
        "S9: a sliding window goes by `done`",
        guarded(window="1s"),
        world(ask("a", 0, big=300), ask("b", 999, big=300)),
        changes=["1299 big OPEN 2/2"],
    ),
    Example(
        "S9, S12: a count window holds the last N, and min_requests is capped at N",
        guarded(when="slow_rate(200ms) >= 1", window="2 requests", min_requests=20),
        world(ask("a", 0, big=300), ask("b", 100, big=100), ask("c", 400, big=300)),
        changes=["700 big OPEN 2/2"],
    ),
    Example(
        "S9: a tumbling window begins at a whole multiple of its length",
        guarded(window="1s tumbling"),
        world(ask("a", 600, big=300), ask("b", 800, big=300), ask("c", 900, big=300)),
        changes=["1200 big OPEN 2/2"],
    ),
    Example(
        "S9: several windows, in each of which the condition must hold",
        guarded(window=["10s", "1s"]),
        world(
            *(ask(f"f{i}", 10 * i, big=50) for i in range(4)),
            *(ask(f"s{i}", 3000 + 100 * i, big=300) for i in range(4)),
        ),
        changes=["3600 big OPEN 4/8"],
    ),
    Example(
        "S10: cache hits are no observations",
        guarded(),
        world(ask("a", 0, big=answer(300, kind="hit")), ask("b", 100, big=answer(300, kind="hit"))),
        {"a": "big 300"},
    ),
    Example(
        "S10: a timed-out attempt failed and was slow, at the moment of the timeout",
        policy(
            route(
                retry={"timeout_ms": 500},
                breaker=breaker(when={"all": ["error_rate >= 0.5", "p50_ms >= 400"]}, min_requests=1),
            )
        ),
        world(ask("a", 0, big=900, small=50), ask("b", 500, small=50)),
        {"a": "big>small x2 550", "b": "small 50"},
        ["500 big OPEN 1/1"],
    ),
    Example(
        "S10: an attempt cut by the deadline is a timeout at the deadline",
        policy(route(deadline_ms=500, breaker=breaker(when="timeout_rate >= 0.5", min_requests=1))),
        world(ask("a", 0, big=900, small=50), ask("b", 500, small=50)),
        {"a": "big 500 timeout", "b": "small 50"},
        ["500 big OPEN 1/1"],
    ),
    Example(
        "S11: of 20 answers one may be slow, of 21 not two",
        guarded(when="p95_ms > 200", min_requests=20),
        world(*(ask(f"f{i:02}", 10 * i, big=300 if i == 0 else 50) for i in range(20)), ask("s", 1000, big=300)),
        changes=["1300 big OPEN 2/21"],
    ),
]

LOGIC = [
    Example(
        "S12: all, of which one is unknown, is unknown",
        guarded(when={"all": ["slow_rate(200ms) >= 0.5", "tool_success_rate < 0.5"]}),
        world(*SLOW, ask("c", 500, big=100)),
        {"c": "big 100"},
    ),
    Example("S12: any, of which one is true, is true", tools_known("hold"), world(*SLOW), changes=[TRIPPED]),
    Example(
        "S12: at_least 2 of 3, one of them unknown",
        guarded(when={"at_least": 2, "of": ["tool_success_rate < 0.5", "slow_rate(200ms) >= 0.5", "mean_ms > 250"]}),
        world(*SLOW),
        changes=["400 big OPEN 0/0"],
    ),
    Example(
        "S12: groups in groups",
        guarded(when={"all": ["slow_rate(200ms) >= 0.5", {"any": ["error_rate >= 0.5", "mean_ms > 250"]}]}),
        world(*SLOW),
        changes=[TRIPPED],
    ),
    Example(
        "S12: groups in groups, of which one does not hold",
        guarded(when={"all": ["slow_rate(200ms) >= 0.5", {"any": ["error_rate >= 0.5", "mean_ms > 350"]}]}),
        world(*SLOW),
    ),
    Example(
        "S12: min_requests counts in the metric's own denominator",
        guarded(when="tool_success_rate < 0.5", min_requests=3),
        world(
            ask("a", 0, big=answer(100, tool_calls=2, tool_ok=0)),
            ask("b", 10, big=100),
            ask("c", 20, big=100),
            ask("d", 300, big=answer(100, tool_calls=2, tool_ok=1)),
        ),
        changes=["400 big OPEN 1/4"],
    ),
    Example(
        "S12, S16: unknown is not passed",
        tools_known("hold"),
        world(*SLOW, ask("p", 1400, big=100)),
        {"p": "big 100 probe"},
        [TRIPPED, HALF_OPEN, "1500 big OPEN 0/1"],
    ),
    Example(
        "S12: no_data ok reads unknown as false",
        tools_known("ok"),
        world(*SLOW, ask("p", 1400, big=100)),
        {"p": "big 100 probe"},
        [TRIPPED, HALF_OPEN, "1500 big CLOSED 0/1"],
    ),
    Example(
        "S12: no_data breach reads unknown as true, at a sweep",
        guarded(no_data="breach", every="1s"),
        world(ask("a", 100, big=100), ask("b", 1500, small=50)),
        {"b": "small 50"},
        ["1000 big OPEN 0/1"],
    ),
    Example(
        "S13: expiry alone neither trips nor resets",
        guarded(when="slow_rate(200ms) > 0.5", window="1s"),
        world(
            ask("f1", 0, big=50),
            ask("f2", 10, big=50),
            ask("s1", 100, big=300),
            ask("s2", 110, big=300),
            ask("c", 1200, big=100),
        ),
        {"c": "big 100"},
        ["1300 big OPEN 2/3"],
    ),
    Example(
        "S13: every 1s sweeps at whole seconds, before arrivals",
        guarded(every="1s"),
        world(*SLOW, ask("c", 500, big=100), ask("d", 1000, small=50)),
        {"c": "big 100", "d": "small 50"},
        ["1000 big OPEN 2/3"],
    ),
    # rows done at 1000 ms are in the window [1000, 2000) that the sweep sees; that of 900 ms is not
    Example(
        "S9, S13: a sweep sees the tumbling window that its instant is in",
        guarded(window="1s tumbling", every="1s"),
        world(ask("a", 600, big=300), ask("b", 700, big=300), ask("c", 1500, big=100), ask("d", 2500, big=100)),
        {"c": "big 100", "d": "big 100"},
    ),
    Example(
        "S13: a sweep comes after completions and before retries",
        policy(
            route(
                retry={"attempts": 1, "retry_on": ["5xx"], "backoff_ms": 100},
                breaker=breaker(every="1s", when="error_rate >= 0.5", min_requests=1),
            )
        ),
        world(
            ask("a", 800, big=[(100, "500"), (100, "500")], small=50), ask("b", 900, big=100), ask("c", 1000, small=50)
        ),
        {"a": "big>small x3 350", "b": "big 100", "c": "small 50"},
        ["1000 big OPEN 1/2"],
    ),
    Example(
        "S13: for 500ms",
        guarded(**{"for": "500ms"}),
        world(*SLOW, ask("c", 500, big=300), ask("d", 600, big=300)),
        changes=["900 big OPEN 4/4"],
    ),
    Example(
        "S13: false restarts the run",
        guarded(**{"for": "500ms"}),
        world(
            *SLOW,
            *(ask(f"f{i}", 450 + 10 * i, big=50) for i in range(3)),
            ask("s1", 600, big=300),
            ask("s2", 1100, big=300),
        ),
        changes=["1400 big OPEN 4/7"],
    ),
]

STATES = [
    Example(
        "S14: what was sent in an earlier epoch is not observed",
        guarded(min_requests=1),
        world(
            ask("a", 0, big=300),
            ask("s", 100, big=3000),
            ask("p", 1300, big=100),
            ask("c", 3200, big=100),
        ),
        {"s": "big 3000", "p": "big 100 probe", "c": "big 100"},
        ["300 big OPEN 1/1", "1300 big HALF_OPEN 0/0", "1400 big CLOSED 0/1"],
    ),
    Example(
        "S14: nor what is heard of it later",
        guarded(
            when=["slow_rate(200ms) >= 0.5", "override_rate > 0.15"],
            min_requests=1,
            half_open={"requests": 1, "when": "slow_rate(200ms) < 0.5"},
        ),
        world(
            ask("a", 0, big=answer(300, overridden=True, review_after_us=1_700_000)),
            ask("p", 1300, big=100),
            ask("c", 2100, big=100),
        ),
        {"c": "big 100"},
        ["300 big OPEN 1/1", "1300 big HALF_OPEN 0/0", "1400 big CLOSED 0/1"],
    ),
    Example(
        "S15: the cooldown grows with each re-opening, up to its maximum, until CLOSED",
        guarded(min_requests=1, cooldown={"base": "1s", "factor": 2, "max": "3s"}),
        world(
            ask("x0", 0, big=300),
            ask("p1", 1300, big=300),
            ask("c1", 3599, small=50),
            ask("p2", 3600, big=300),
            ask("c2", 6899, small=50),
            ask("p3", 6900, big=100),
            ask("x1", 7100, big=300),
            ask("c3", 8399, small=50),
            ask("p4", 8400, big=100),
        ),
        {"p1": "big 300 probe", "c1": "small 50", "c2": "small 50", "c3": "small 50", "p4": "big 100 probe"},
        [
            "300 big OPEN 1/1",
            "1300 big HALF_OPEN 0/0",
            "1600 big OPEN 1/1",
            "3600 big HALF_OPEN 0/0",
            "3900 big OPEN 1/1",
            "6900 big HALF_OPEN 0/0",
            "7000 big CLOSED 0/1",
            "7400 big OPEN 1/1",
            "8400 big HALF_OPEN 0/0",
            "8500 big CLOSED 0/1",
        ],
    ),
    # blake2b-64("p1") / 2^64 is 0.907, of "p" 0.053
    Example(
        "S16: a share of arrivals may probe",
        guarded(half_open={"requests": 1, "share": 0.5}),
        world(*SLOW, ask("p1", 1400, small=50), ask("p", 1450, big=100)),
        {"p1": "small 50", "p": "big 100 probe"},
        [TRIPPED, HALF_OPEN, "1550 big CLOSED 0/1"],
    ),
    Example(
        "S16: all attempts of a probe are judged",
        policy(
            route(
                retry={"attempts": 1, "retry_on": ["5xx"]},
                breaker=breaker(when="error_rate >= 0.5"),
            )
        ),
        world(ask("e", 0, big=[(100, "500"), (100, "500")], small=50), ask("p", 1200, big=[(100, "500"), 100])),
        {"e": "big>small x3 250", "p": "big x2 200 probe"},
        ["200 big OPEN 2/2", "1200 big HALF_OPEN 0/0", "1400 big OPEN 1/2"],
    ),
    Example(
        "S16: its hops to other targets are not",
        guarded(),
        world(*SLOW, ask("p", 1400, big=(100, "500"), small=300), ask("c", 1500, big=100)),
        {"p": "big>small x2 400 probe", "c": "big 100"},
        [TRIPPED, HALF_OPEN, "1500 big CLOSED 0/1"],
    ),
    Example(
        "S16: several permits, judged when all are in",
        guarded(half_open={"requests": 2}),
        world(
            *SLOW,
            ask("p1", 1400, big=300),
            ask("p2", 1400, big=100),
            ask("c", 1450, small=50),
        ),
        {"p1": "big 300 probe", "p2": "big 100 probe", "c": "small 50"},
        [TRIPPED, HALF_OPEN, "1700 big OPEN 1/2"],
    ),
    Example(
        "S16: its own condition",
        guarded(half_open={"requests": 1, "when": "p50_ms < 100"}),
        world(*SLOW, ask("p", 1400, big=150)),
        {"p": "big 150 probe"},
        [TRIPPED, HALF_OPEN, "1550 big OPEN 1/1"],
    ),
    Example(
        "S16: a probe not done in time failed",
        guarded(half_open={"requests": 1, "max_wait": "500ms"}),
        world(*SLOW, ask("p", 1400, big=900)),
        {"p": "big 900 probe"},
        [TRIPPED, HALF_OPEN, "1900 big OPEN 1/1"],
    ),
    Example(
        "S16: what an overdue probe says later does not count",
        guarded(half_open={"requests": 2, "max_wait": "500ms"}),
        world(
            *SLOW, ask("p", 1400, big=700), ask("q", 2100, big=100), ask("r", 2200, big=100), ask("c", 2200, big=100)
        ),
        {"p": "big 700 probe", "q": "big 100 probe", "c": "small ?", "r": "small ?"},
        [TRIPPED, HALF_OPEN, "2200 big OPEN 1/2"],
    ),
    Example(
        "S16: max_duration judges what is in",
        guarded(half_open={"requests": 2, "max_duration": "1s"}),
        world(*SLOW, ask("p", 1400, big=100), ask("c", 2400, big=100)),
        {"p": "big 100 probe", "c": "big 100"},
        [TRIPPED, HALF_OPEN, "2400 big CLOSED 0/1"],
    ),
    Example(
        "S16: max_duration with nothing in opens",
        guarded(half_open={"requests": 1, "max_duration": "1s"}),
        world(*SLOW, ask("p", 1400, big=3000), ask("c", 2400, small=50)),
        {"p": "big 3000 probe", "c": "small 50"},
        [TRIPPED, HALF_OPEN, "2400 big OPEN 0/0"],
    ),
    Example(
        "S17: without probes it closes when the cooldown ends",
        guarded(half_open={"requests": 0}),
        world(*SLOW, ask("c", 1399, small=50), ask("d", 1400, big=100)),
        {"c": "small 50", "d": "big 100"},
        [TRIPPED, "1400 big CLOSED 0/0"],
    ),
    Example(
        "S18: observe elapsed, slow as soon as its age passes the threshold",
        guarded(observe="elapsed"),
        world(ask("a", 0, big=3000), ask("b", 100, big=3000), ask("c", 301, small=50)),
        {"b": "big 3000", "c": "small 50"},
        ["301 big OPEN 2/2"],
    ),
    Example(
        "S18: and not again when it is done",
        guarded(observe="elapsed", min_requests=3),
        world(ask("a", 0, big=3000), ask("b", 100, big=3000), ask("c", 3200, big=100)),
        {"c": "big 100"},
        ["3300 big OPEN 2/3"],
    ),
]


def metric(name: str, when: str, *asks: Any, changes: Any = (), more: Any = None, **keys: Any) -> Example:
    return Example(f"vocabulary: {name}", guarded(when=when, **keys), world(*asks, **(more or {})), changes=changes)


def overridden(*, after_us: int = 400_000) -> Any:
    return ask("a", 0, big=answer(100, overridden=True, review_after_us=after_us))


VOCABULARY = [
    metric("mean_ms", "mean_ms > 250", *SLOW, changes=["400 big OPEN 600/2"]),
    metric(
        "pNN_ttft_ms, at the first token",
        "p50_ttft_ms > 100",
        ask("a", 0, big=answer(300, ttft_ms=150)),
        ask("b", 50, big=answer(300, ttft_ms=150)),
        ask("c", 60, big=100),
        changes=["200 big OPEN 2/2"],
    ),
    metric(
        "timeout_rate",
        "timeout_rate >= 0.5",
        ask("a", 0, big=(100, "timeout")),
        ask("b", 10, big=(100, "500")),
        changes=["110 big OPEN 1/2"],
    ),
    metric(
        "rate_429",
        "rate_429 >= 0.5",
        ask("a", 0, big=(100, "429")),
        ask("b", 10, big=(100, "500")),
        changes=["110 big OPEN 1/2"],
    ),
    metric(
        "errors say what counts as failed",
        "error_rate >= 0.5",
        *TWO_FAILED,
        ask("c", 20, big=(100, "timeout")),
        ask("d", 30, big=(100, "timeout")),
        errors=["timeout"],
        changes=["130 big OPEN 2/4"],
    ),
    metric(
        "consecutive_errors, whatever min_requests says",
        "consecutive_errors >= 2",
        *TWO_FAILED,
        min_requests=20,
        changes=["110 big OPEN 2/2"],
    ),
    metric(
        "consecutive_errors, a success in between",
        "consecutive_errors >= 2",
        TWO_FAILED[0],
        ask("b", 5, big=100),
        TWO_FAILED[1],
    ),
    metric(
        "tool results, when they are known",
        "tool_success_rate < 0.9",
        ask("a", 0, big=answer(100, tool_calls=1, tool_ok=0, tool_after_us=400_000)),
        min_requests=1,
        changes=["500 big OPEN 0/1"],
    ),
    metric(
        "malformed tool calls of a failed attempt",
        "tool_success_rate < 0.9",
        ask("a", 0, big=answer(100, "500", tool_calls=2, tool_ok=0), small=50),
        min_requests=2,
        changes=["100 big OPEN 0/2"],
    ),
    Example(
        "vocabulary: tools of a call that was cut are none",
        policy(route(retry={"timeout_ms": 500}, breaker=breaker(when="tool_success_rate < 0.9", min_requests=1))),
        world(ask("a", 0, big=answer(900, tool_calls=2, tool_ok=0), small=50), ask("b", 600, big=100)),
        {"a": "big>small x2 550", "b": "big 100"},
    ),
    Example(
        "vocabulary: override_rate by review time, before arrivals",
        guarded(when="override_rate > 0.15", min_requests=1),
        world(overridden(), ask("b", 499, big=100), ask("c", 500, small=50)),
        {"b": "big 100", "c": "small 50"},
        ["500 big OPEN 1/1"],
    ),
    metric(
        "override_rate where only overrides are logged",
        "override_rate > 0.15",
        overridden(),
        more={"feedback": "overrides", "feedback_lag_us": 1_000_000},
        min_requests=1,
        changes=["1100 big OPEN 1/1"],
    ),
    *(
        metric(
            f"{name}, of tickets that the route touched",
            f"{name} > 0.4",
            ask("a", 100, ticket="t1", big=100),
            ask("b", 100, "mail", ticket="t2"),
            more={"desk": [desk(50, "t1", what), desk(300, "t2", what), desk(500, "t1", what)]},
            min_requests=1,
            changes=["500 big OPEN 1/1"],
        )
        for name, what in (("escalation_rate", "escalation"), ("reopen_rate", "reopen"), ("sla_breach_rate", "sla"))
    ),
    metric(
        "fallback_rate, at the request's end",
        "fallback_rate > 0.4",
        ask("a", 0, big=(100, "500"), small=50),
        ask("b", 10, big=(100, "500"), small=50),
        changes=["160 big OPEN 2/2"],
    ),
    Example(
        "vocabulary: requests, after the decision",
        guarded(when="requests > 2", min_requests=20),
        world(*(ask(f"a{i}", 10 * i, big=100, small=50) for i in range(4))),
        {"a2": "big 100", "a3": "small 50"},
        ["20 big OPEN 3/3"],
    ),
    metric(
        "cost_per_request, unknown ones left out",
        "cost_per_request > 0.002",
        ask("a", 0, big=answer(100, cost_nano=1_000_000)),
        ask("b", 10, big=100),
        ask("c", 20, big=answer(100, cost_nano=5_000_000)),
        changes=["120 big OPEN 6000000/2"],
    ),
    metric(
        "signal, of the route's intents and the target",
        "signal:churn > 0.5",
        ask("a", 0, big=100),
        ask("b", 1200, small=100),
        more={
            "signals": [
                signal(100, "other", 9),
                signal(200, "churn", 9, intent="mail"),
                signal(300, "churn", 9, target="small"),
                signal(400, "churn", 1, 4, intent="chat"),
                signal(500, "churn", Fraction(7, 2), 4, target="big"),
            ]
        },
        min_requests=1,
        changes=["500 big OPEN 9/2/8"],
    ),
]

VOCABULARY += [
    Example(
        "S6, vocabulary: with scope intent a signal of one intent is not the unlabelled requests'",
        policy(
            route(
                intent="*", breaker=breaker(when="signal:churn > 0.5", scope="intent", min_requests=1, cooldown="60s")
            )
        ),
        world(
            ask("a", 0, None, big=100),
            ask("m", 0, "mail", big=100),
            ask("b", 500, None, big=100),
            ask("n", 500, "mail", small=50),
            signals=[signal(300, "churn", 1, intent="mail")],
        ),
        {"b": "big 100", "n": "small 50"},
        ["300 big mail OPEN 1/1"],
    ),
]


def alert(**keys: Any) -> dict[str, Any]:
    found = {"name": "q", "when": "error_rate >= 0.5", "window": "10s", "min_requests": 2, "every": "1s"}
    return found | keys


ALERTS = [
    # true at 60, 120 and 180 s, false from 240 s on: the last true one is 180 s
    Example(
        "S19: for, keep_firing_for",
        policy(
            route(fallback=None),
            alerts=[alert(window="10m", every="1m", keep_firing_for="3m", **{"for": "2m"})],
        ),
        world(
            ask("e1", 10_000, big=(100, "500")),
            ask("e2", 20_000, big=(100, "500")),
            *(ask(f"f{i}", 200_000, big=100) for i in range(3)),
            ask("z", 400_000, big=100),
        ),
        alerts=["180000 q firing", "360000 q cleared"],
    ),
    Example(
        "S19: one observation a request: its wait, and its final status",
        policy(
            route(retry={"attempts": 1, "retry_on": [429], "backoff_ms": 200}),
            alerts=[alert(name="slow", when={"all": ["p50_ms >= 400", "error_rate < 0.1"]})],
        ),
        world(
            ask("a", 0, big=[(100, "429"), 100]),
            ask("b", 0, big=[(100, "429"), 100]),
            ask("z", 1500, big=100),
        ),
        alerts=["1000 slow firing"],
    ),
    Example(
        "S7, S19: a rejected request failed, and has no latency",
        policy(
            route(fallback=["reject"], breaker=breaker(cooldown="60s")),
            alerts=[alert(), alert(name="fast", when="slow_rate(200ms) < 1")],
        ),
        world(*SLOW, ask("c", 500), ask("d", 600), ask("z", 1500)),
        {"c": "reject x0 0 rejected"},
        [TRIPPED],
        ["1000 q firing"],
    ),
    Example(
        "S7, S19: one handed to a person did not fail, and is a fallback",
        policy(
            route(fallback=["human"], breaker=breaker(cooldown="60s")),
            alerts=[alert(), alert(name="away", when="fallback_rate >= 0.5")],
        ),
        world(*SLOW, ask("c", 500), ask("d", 600), ask("z", 1500)),
        {"c": "human x0 0"},
        [TRIPPED],
        ["1000 away firing"],
    ),
    Example(
        "S19: requests that no route takes count too",
        policy(route(), alerts=[alert(intent="mail")]),
        world(
            ask("m1", 0, "mail", logged=[("big", 0, (100, "500"))]),
            ask("m2", 0, "mail", logged=[("big", 0, (100, "500")), ("big", 300, (100, "500"))]),
            ask("z", 1500, big=100),
        ),
        {"m2": "as logged 400"},
        alerts=["1000 q firing"],
    ),
    Example(
        "S19: several windows",
        policy(route(fallback=None), alerts=[alert(window=["10s", "1s"])]),
        world(
            ask("e1", 0, big=(100, "500")),
            ask("e2", 0, big=(100, "500")),
            ask("f1", 1000, big=100),
            ask("f2", 1100, big=100),
            ask("z", 2500, big=100),
        ),
        alerts=["1000 q firing", "2000 q cleared"],
    ),
    Example(
        "S19, S20: alerts are swept before breakers",
        policy(
            route(breaker=breaker(when={"alert": "q"}, every="1s", half_open={"requests": 0})),
            route(intent="mail", fallback=None),
            alerts=[alert(intent="mail")],
        ),
        world(
            ask("m1", 0, "mail", big=(100, "500")),
            ask("m2", 100, "mail", big=(100, "500")),
            ask("c", 1000, small=50),
            ask("d", 2000, small=50),
            ask("e", 2001, small=50),
        ),
        {"c": "small 50", "d": "small 50", "e": "small 50"},
        ["1000 big OPEN 0/0", "2000 big CLOSED 0/0", "2000 big OPEN 0/0", "3000 big CLOSED 0/0"],
        ["1000 q firing"],
    ),
    # the alert goes on; nothing evaluates the breaker again, because the alert does not change
    Example(
        "S20: an alert switches another route",
        policy(
            route(breaker=breaker(when={"alert": "q"}, half_open={"requests": 0})),
            route(intent="mail", fallback=None),
            alerts=[alert(intent="mail")],
        ),
        world(
            ask("m1", 0, "mail", big=(100, "500")),
            ask("m2", 100, "mail", big=(100, "500")),
            ask("b", 999, big=100),
            ask("c", 1000, small=50),
            ask("d", 2500, big=100),
        ),
        {"b": "big 100", "c": "small 50", "d": "big 100"},
        ["1000 big OPEN 0/0", "2000 big CLOSED 0/0"],
        ["1000 q firing"],
    ),
    Example(
        "S20: an alert is not judged in HALF_OPEN",
        policy(
            route(breaker=breaker(when=[{"alert": "q"}, "slow_rate(200ms) >= 0.5"])),
            route(intent="mail", fallback=None),
            alerts=[alert(intent="mail")],
        ),
        world(
            ask("m1", 0, "mail", big=(100, "500")),
            ask("m2", 100, "mail", big=(100, "500")),
            ask("p", 2000, big=100),
            ask("d", 2500, big=100),
        ),
        {"p": "big 100 probe", "d": "big 100"},
        ["1000 big OPEN 0/0", "2000 big HALF_OPEN 0/0", "2100 big CLOSED 0/1", "2600 big OPEN 0/0"],
        ["1000 q firing"],
    ),
]

BREAKERS = [*WINDOWS, *LOGIC, *STATES, *VOCABULARY, *ALERTS]
