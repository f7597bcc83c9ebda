"""Worked examples of routes, chains, queues, retries, deadlines, switches and conversations (S1 to S8, S21, S22)."""

from __future__ import annotations

from examples import SLOW, TRIPPED, Example, answer, ask, at, breaker, guarded, instant, policy, route, world

QUEUED = ["400 big OPEN 2/2", "1400 big HALF_OPEN 0/0", "1500 big CLOSED 0/1"]


def queue(held: str, *rest: str) -> str:
    return policy(route(fallback=[{"queue": held}, *rest], breaker=breaker()))


TIME = [
    Example("S1: a request's wait is its attempt's", policy(route()), world(ask("a", 0, big=100)), {"a": "big 100"}),
    Example(
        "S2: not its own latency, nor what is still in flight",
        guarded(min_requests=1),
        world(ask("a", 0, big=900), ask("b", 500, big=100), ask("c", 900, small=50)),
        {"a": "big 900", "b": "big 100", "c": "small 50"},
        ["900 big OPEN 1/2"],
    ),
    Example(
        "S3: completions, then a cooldown's end, then arrivals by id",
        guarded(),
        world(*SLOW, ask("c", 400, small=50), ask("y", 1400, big=100), ask("z", 1400, small=50)),
        {"c": "small 50", "y": "big 100 probe", "z": "small 50"},
        [TRIPPED, "1400 big HALF_OPEN 0/0", "1500 big CLOSED 0/1"],
    ),
]

CHAIN = [
    Example(
        "S4: the first matching route; the rest as logged",
        policy(route(), route(intent="c*", primary="third")),
        world(
            ask("a", 0, big=100),
            ask("b", 0, "cat", third=80),
            ask("c", 0, "mail", logged=[("small", 300, 70)]),
            ask("d", 0, None),
        ),
        {"a": "big 100", "b": "third 80", "c": "as logged 370", "d": "as logged ?"},
    ),
    Example(
        "S4: match, every key of it",
        policy(route(match={"channel": ["chat", "web"], "stream": True}), route(primary="third")),
        world(
            ask("a", 0, facts={"channel": "web", "stream": True}, big=100),
            ask("b", 0, facts={"channel": "web", "stream": False}, third=80),
            ask("c", 0, facts={"stream": True}, third=80),
        ),
        {"a": "big 100", "b": "third 80", "c": "third 80"},
    ),
    Example(
        "S4, S5: each entry its own breaker; the last is always available and not observed past it",
        policy(route(fallback=[{"model": "small", "breaker": breaker()}], breaker=breaker(cooldown="60s"))),
        world(*SLOW, ask("f1", 500, small=300), ask("f2", 600, small=300), ask("g", 1000, small=300)),
        {"f1": "small 300", "g": "small 300"},
        [TRIPPED, "900 small OPEN 2/2"],
    ),
    Example(
        "S4: only_for on a matching failure",
        policy(
            route(fallback=[{"model": "third", "only_for": ["context_window"]}, "small"], fallback_on=["4xx", "5xx"])
        ),
        world(ask("a", 0, big=(100, "context_window"), third=70), ask("b", 0, big=(100, "500"), small=50)),
        {"a": "big>third x2 170", "b": "big>small x2 150"},
    ),
    Example(
        "S4: only_for is passed over at arrival",
        policy(
            route(
                fallback=[{"model": "third", "only_for": ["context_window"]}, "small"],
                fallback_on=["4xx"],
                breaker=breaker(),
            )
        ),
        world(*SLOW, ask("c", 500, third=70, small=50)),
        {"c": "small 50"},
        [TRIPPED],
    ),
    Example(
        "S5, S22: each weighted primary its own breaker; the next primary comes before the fallback",
        policy(route(primary={"big": 1_000_000, "third": 1}, breaker=breaker())),
        world(*SLOW, ask("c", 500, third=80)),
        {"t1": "big 300", "c": "third 80"},
        [TRIPPED],
    ),
    Example(
        "S6: scope target is fed by every route and by what is unrouted; the state is the route's own",
        policy(route(breaker=breaker(scope="target")), route(intent="mail", fallback=None)),
        world(
            ask("m1", 0, "mail", big=300),
            ask("u", 0, "other", logged=[("big", 100, 300)]),
            ask("c", 400, small=50),
            ask("m2", 400, "mail", big=100),
        ),
        {"c": "small 50", "m2": "big 100"},
        [TRIPPED],
    ),
    Example(
        "S6: scope target counts another route's hop",
        policy(route(breaker=breaker(scope="target")), route(intent="mail", primary="third", fallback=["big"])),
        world(ask("m", 0, "mail", third=(100, "500"), big=300), ask("t", 100, big=300), ask("c", 400, small=50)),
        {"m": "third>big x2 400", "c": "small 50"},
        [TRIPPED],
    ),
    Example(
        "S6: scope route is fed by its own attempts only",
        policy(route(breaker=breaker()), route(intent="mail", fallback=None)),
        world(ask("m1", 0, "mail", big=300), ask("m2", 100, "mail", big=300), ask("c", 400, big=100)),
        {"c": "big 100"},
    ),
    Example(
        "S6: scope intent, one breaker per intent",
        policy(route(intent=["chat", "mail"], breaker=breaker(scope="intent"))),
        world(*SLOW, ask("c", 500, small=50), ask("m", 500, "mail", big=100)),
        {"c": "small 50", "m": "big 100"},
        ["400 big chat OPEN 2/2"],
    ),
]

DEGRADED = [
    Example(
        "S7: tools taken away are no tool calls",
        policy(
            route(
                fallback=[
                    {"model": "small", "breaker": breaker(when="tool_success_rate < 0.5", min_requests=1)},
                    "third",
                ],
                on_fallback={"tools": "disabled"},
                breaker=breaker(),
            )
        ),
        world(*SLOW, ask("c", 500, small=answer(50, tool_calls=1, tool_ok=0)), ask("d", 600, small=50)),
        {"d": "small 50"},
        [TRIPPED],
    ),
    Example(
        "S7: tools that stay on the fallback are observed there",
        policy(
            route(
                fallback=[
                    {"model": "small", "breaker": breaker(when="tool_success_rate < 0.5", min_requests=1)},
                    "third",
                ],
                breaker=breaker(),
            )
        ),
        world(*SLOW, ask("c", 500, small=answer(50, tool_calls=1, tool_ok=0)), ask("d", 600, third=50)),
        {"d": "third 50"},
        [TRIPPED, "550 small OPEN 0/1"],
    ),
    *(
        Example(
            f"S7: {label} makes no attempt and takes no more time",
            policy(route(fallback=[entry], breaker=breaker())),
            world(*SLOW, ask("c", 500), ask("e", 0, big=(100, "500"))),
            {"c": f"{label} x0 0{error}", "e": f"big>{label} 100{error}"},
            ["300 big OPEN 1/2"],
        )
        for label, entry, error in (
            ("human", "human", ""),
            ("template:busy", {"template": "busy"}, ""),
            ("reject", "reject", " rejected"),
        )
    ),
    # at 1400 ms the cooldown ends: q1 takes the permit and meets what q2, the last to have arrived, meets; n comes after
    Example(
        "S7: a queue is released first in, first out, before new arrivals",
        queue("5s"),
        world(*SLOW, ask("q1", 500, big=700), ask("q2", 600, big=100), ask("n", 1400, big=100), by_time=True),
        {"q1": "queue:5s>big 1000", "q2": "queue:5s>big 1000", "n": "queue:5s>big 200"},
        QUEUED,
    ),
    Example(
        "S7: a queue that is over goes down the chain",
        queue("500ms", "small"),
        world(*SLOW, ask("q", 500, small=50), by_time=True),
        {"q": "queue:500ms>small 550"},
        [TRIPPED],
    ),
    Example(
        "S7: a queue that is over, with nothing left, goes to the primary, past its breaker",
        queue("500ms"),
        world(*SLOW, ask("q", 500, big=100), by_time=True),
        {"q": "queue:500ms>big 600"},
        [TRIPPED],
    ),
    Example(
        "S7, S17: without probes all are released when the cooldown ends",
        policy(route(fallback=[{"queue": "5s"}], breaker=breaker(half_open={"requests": 0}))),
        world(*SLOW, ask("q1", 500, big=100), ask("q2", 600, big=100), by_time=True),
        {"q1": "queue:5s>big 1000", "q2": "queue:5s>big 900"},
        [TRIPPED, "1400 big CLOSED 0/0"],
    ),
    Example(
        "S7: a failure may lead into a queue, from which the primary is tried anew",
        policy(route(fallback=[{"queue": "300ms"}])),
        world(ask("a", 0, big=(100, "500")), ask("b", 200, big=40), by_time=True),
        {"a": "big x2 440", "b": "big 40"},
    ),
    # q1 meets its own call, logged when it is released: slow; q2 waits to the end, and meets what stands for it
    Example(
        "S7: the outcome after a queue is the request's own where the log sent it then",
        queue("2s"),
        world(*SLOW, ask("q1", 500, big=answer(700, sent_us=at(1400))), ask("q2", 600, big=100)),
        {"q1": "queue:2s>big 1600", "q2": "queue:2s>big 2100"},
        [TRIPPED, "1400 big HALF_OPEN 0/0", "2100 big OPEN 1/1"],
    ),
    Example(
        "S7: else that of the last arrival, which is an estimate",
        queue("5s"),
        world(*SLOW, ask("q1", 500, big=700), ask("q2", 600, big=100), ask("r", 1550, big=100)),
        {"q1": "queue:5s>big 1000", "q2": "queue:5s>big 1000", "r": "big 100 inexact"},
        QUEUED,
    ),
    Example(
        "S8: the deadline ends what waits in a queue",
        policy(route(fallback=[{"queue": "5s"}], deadline_ms=700, breaker=breaker())),
        world(*SLOW, ask("q", 500, big=100), ask("z", 1300, big=100)),
        {"q": "queue:5s x0 700 timeout"},
        [TRIPPED, "1400 big HALF_OPEN 0/0", "1500 big CLOSED 0/1"],
    ),
]

RETRIES = [
    Example(
        "S8: retry on the same target, then the next entry, if the class allows",
        policy(route(retry={"attempts": 1, "retry_on": [429], "backoff_ms": 200}, fallback_on=["5xx"])),
        world(
            ask("a", 0, big=[(100, "429"), 100]),
            ask("b", 0, big=(100, "500"), small=50),
            ask("c", 0, big=(100, "400")),
            ask("d", 0, big=[(100, "429"), (100, "429")]),
            ask("e", 0, big=(100, "cut")),
            ask("f", 0, big=(100, "500"), small=(50, "500")),
        ),
        {
            "a": "big x2 400",
            "b": "big>small x2 150",
            "c": "big 100 400",
            "d": "big x2 400 429",
            "e": "big 100 cut",
            "f": "big>small x2 150 500",
        },
    ),
    Example(
        "S8: a trip in between does not stop the retries",
        policy(
            route(
                retry={"attempts": 2, "retry_on": ["5xx"], "backoff_ms": 100},
                breaker=breaker(when="error_rate >= 0.5", min_requests=1),
            )
        ),
        world(ask("a", 0, big=[(100, "500"), (100, "500"), 100]), ask("b", 150, small=50)),
        {"a": "big x3 500", "b": "small 50"},
        ["100 big OPEN 1/1"],
    ),
    Example(
        "S8: timeouts are per attempt, the one for the first token too",
        policy(route(retry={"timeout_ms": 500, "ttft_timeout_ms": 200})),
        world(
            ask("a", 0, big=900, small=50),
            ask("b", 0, big=answer(400, ttft_ms=250), small=50),
            ask("c", 0, big=answer(500, ttft_ms=200)),
        ),
        {"a": "big>small x2 550", "b": "big>small x2 250", "c": "big 500"},
    ),
    Example(
        "S8, S10: the deadline ends everything",
        policy(route(retry={"attempts": 2, "retry_on": ["5xx"], "backoff_ms": 400}, deadline_ms=1000)),
        world(
            ask("a", 0, big=[(300, "500"), (200, "500"), 100]),
            ask("b", 0, big=1500, small=50),
            ask("c", 0, big=1000),
            ask("d", 0, big=(1000, "500"), small=50),
        ),
        {"a": "big x2 1000 timeout", "b": "big 1000 timeout", "c": "big 1000", "d": "big 1000 500"},
    ),
]

BY_HAND = [
    Example(
        "S21: a switch by hand holds for arrivals from its start until its end",
        policy(route(switch=[{"from": instant(1000), "until": instant(2000), "to": "small"}])),
        world(ask("a", 999, big=100), ask("b", 1000, small=50), ask("c", 1999, small=50), ask("d", 2000, big=100)),
        {"a": "big 100", "b": "small 50", "c": "small 50", "d": "big 100"},
    ),
    Example(
        "S21: whatever the breaker says, past which nothing is observed",
        policy(route(switch=[{"from": instant(500), "to": "big"}], breaker=breaker())),
        world(*SLOW, ask("c", 500, big=300), ask("d", 1500, big=300), ask("e", 1600, big=300)),
        {"c": "big 300", "d": "big 300", "e": "big 300"},
        [TRIPPED],
    ),
    Example(
        "S21: the chain goes on from there",
        policy(route(fallback=["third", "small"], switch=[{"from": instant(0), "to": "third"}])),
        world(ask("a", 0, third=(70, "500"), small=50)),
        {"a": "third>small x2 120"},
    ),
    Example(
        "S22, sticky: a conversation keeps its target until that fails",
        policy(route(sticky="conversation", breaker=breaker())),
        world(
            *SLOW,
            ask("c1", 500, conversation="k", small=50),
            ask("p", 1400, big=100),
            ask("c2", 1600, conversation="k", small=50),
            ask("n", 1600, conversation="l", big=100),
            ask("c3", 1700, conversation="k", small=(50, "500")),
            ask("c4", 1800, conversation="k", big=100),
        ),
        {"c1": "small 50", "c2": "small 50", "n": "big 100", "c3": "small 50 500", "c4": "big 100"},
        [TRIPPED, "1400 big HALF_OPEN 0/0", "1500 big CLOSED 0/1"],
    ),
    Example(
        "S22: sticky yields to an open breaker, a switch beats it",
        policy(
            route(
                fallback=["small", "third"],
                sticky="conversation",
                switch=[{"from": instant(600), "to": "third"}],
                breaker=breaker(),
            )
        ),
        world(
            ask("t1", 0, conversation="k", big=300),
            ask("t2", 100, conversation="k", big=300),
            ask("c", 500, conversation="k", small=50),
            ask("d", 600, conversation="k", third=70),
        ),
        {"c": "small 50", "d": "third 70"},
        [TRIPPED],
    ),
]

REQUESTS = [*TIME, *CHAIN, *DEGRADED, *RETRIES, *BY_HAND]
