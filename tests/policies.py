"""Random policies over the whole language, valid by construction: what the reader, the interpreter and the kernel must take.

``from policies import policies``: a strategy of `Policy`; `policy_trees` the same as a file's plain values. Limits, windows
and times are coarse, so that the small worlds of worlds.py meet them, at instants that collide.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from incident_kit.policies.conditions import Rule
from incident_kit.policies.policy import Policy
from incident_kit.policies.policytree import item_of

TARGETS = ("big", "small", "third")
INTENTS = ("chat", "mail")
SIGNALS = ("churn",)
STARTS_MS = (0, 10**6, 1_767_614_400_000)  # where the worlds of worlds.py begin
MATCHES: tuple[dict[str, Any], ...] = ({"channel": "chat"}, {"channel": ["chat", "email"]}, {"stream": True})
TIMEOUTS_MS, TTFT_TIMEOUT_MS = (350, 1000), 250

signs = st.sampled_from([">", ">=", "<", "<="])
limits = st.sampled_from([50, 100, 200, 300])
first_limits = st.sampled_from([50, 100, 200])
shares = st.sampled_from(["0.05", "0.1", "0.3", "0.5", "60%"])
rates = (
    "error_rate",
    "timeout_rate",
    "rate_429",
    "tool_success_rate",
    "override_rate",
    "escalation_rate",
    "reopen_rate",
    "sla_breach_rate",
    "fallback_rate",
)
numbers: dict[str, st.SearchStrategy[Any]] = {
    "mean_ms": limits,
    "consecutive_errors": st.integers(1, 3),
    "requests": st.integers(1, 8),
    "cost_per_request": st.sampled_from(["0.001", "0.0025", "0.005"]),
}
percents = st.sampled_from(["50", "90", "95", "99.9"])
durations = st.sampled_from(["100ms", "500ms", "1s", "2s"])
classes = st.lists(
    st.sampled_from(
        ["5xx", "4xx", 429, 500, "timeout", "context_window", "content_policy", "tool_error", "invalid_output"]
    ),
    min_size=1,
    max_size=3,
    unique=True,
)
one_window = st.sampled_from(["300ms", "1s", "5s", "3 requests", "6 requests", "500ms tumbling", "2s tumbling"])
windows = one_window | st.lists(one_window, min_size=2, max_size=2, unique=True)


@st.composite
def conditions(draw: Any, *, signals: Sequence[str] = SIGNALS) -> str:
    """Return one condition, of the whole vocabulary; those on latency are the most frequent."""
    named = [f"signal:{name}" for name in signals]
    metric = draw(st.sampled_from(["wait", "first", "slow", "wait", "slow", *rates, *numbers, *named]))
    sign = draw(signs)
    if metric in {"wait", "first"}:
        percent = draw(percents)
        return (
            f"p{percent}_ms {sign} {draw(limits)}"
            if metric == "wait"
            else f"p{percent}_ttft_ms {sign} {draw(first_limits)}"
        )
    if metric == "slow":
        return f"slow_rate({draw(limits)}ms) {sign} {draw(shares)}"
    number = draw(st.sampled_from(["0.5", "-1", "1.25"]) if metric in named else numbers.get(metric, shares))
    return f"{metric} {sign} {number}"


def rules(leaf: st.SearchStrategy[Any], *, deep: bool = True) -> st.SearchStrategy[Any]:
    """Return a strategy of rules: one condition, a list, or a group, which may hold another group."""
    parts = leaf | _groups(leaf) if deep else leaf
    return leaf | leaf | _groups(parts) | st.lists(leaf, min_size=1, max_size=3, unique_by=_said)


def _said(part: Any) -> str:
    return str(Rule.parse(part))


@st.composite
def _groups(draw: Any, part: st.SearchStrategy[Any]) -> dict[str, Any]:
    of = draw(st.lists(part, min_size=2, max_size=3, unique_by=_said))
    how = draw(st.sampled_from(["any", "all", "at_least"]))
    return {"at_least": draw(st.integers(1, len(of))), "of": of} if how == "at_least" else {how: of}


cooldowns = durations | st.fixed_dictionaries(
    {"base": st.sampled_from(["100ms", "500ms"])},
    optional={"factor": st.sampled_from([1, 1.5, 2]), "max": st.sampled_from(["500ms", "1s", "3s"])},
)


@st.composite
def breakers(draw: Any, *, alerts: Sequence[str] = (), signals: Sequence[str] = SIGNALS) -> dict[str, Any]:
    """Return a breaker as a file holds it; some of its conditions may be alerts of these names."""
    plain = conditions(signals=signals)
    leaf = plain
    if alerts:
        leaf = plain | plain | st.sampled_from(list(alerts)).map(lambda name: {"alert": name})
    when = draw(rules(leaf))
    found = draw(
        st.fixed_dictionaries(
            {"window": windows, "min_requests": st.integers(1, 4), "cooldown": cooldowns},
            optional={
                "scope": st.sampled_from(["route", "intent", "target"]),
                "for": st.sampled_from(["100ms", "400ms"]),
                "every": st.sampled_from(["completion", "100ms", "500ms"]),
                "errors": classes,
                "no_data": st.sampled_from(["hold", "ok", "breach"]),
                "observe": st.sampled_from(["completed", "elapsed"]),
            },
        )
    )
    if found.get("no_data") == "breach" and found.get("every", "completion") == "completion":
        found["every"] = "500ms"
    half_open = draw(
        st.fixed_dictionaries(
            {"requests": st.sampled_from([0, 1, 1, 2, 3])},
            optional={
                "share": st.sampled_from([0.5, 1]),
                "max_wait": st.sampled_from(["100ms", "1s"]),
                "max_duration": st.sampled_from(["500ms", "2s"]),
                "when": rules(plain, deep=False),
            },
        )
    )
    if all(condition.kind == "alert" for condition in Rule.parse(when).leaves) and "when" not in half_open:
        half_open["requests"] = 0
    return found | {"when": when, "half_open": half_open}


@st.composite
def _chains(draw: Any, targets: Sequence[str], guard: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Return the primary or primaries of a route and its fallback."""
    models = list(draw(st.permutations(list(targets))))
    several = len(models) > 1 and draw(st.integers(0, 3)) == 0
    primaries = [models.pop() for _ in range(2 if several else 1)]
    weights = st.sampled_from([1, 3, 90, 0.5])
    primary: Any = {name: draw(weights) for name in primaries} if several else primaries[0]
    chain: list[Any] = []
    for model in models[: draw(st.integers(0, len(models)))]:
        more = (
            draw(st.fixed_dictionaries({}, optional={"only_for": classes, "breaker": guard}))
            if draw(st.booleans())
            else {}
        )
        chain.append({"model": model} | more if more else model)
    end = draw(st.sampled_from([None, None, None, "human", "reject", "template", "queue", "queue first"]))
    if end == "queue first":
        chain.insert(0, {"queue": draw(durations)})
    elif end:
        whole = {"template": {"template": "busy"}, "queue": {"queue": draw(durations)}}
        chain.append(whole.get(end, end))
    if chain and isinstance(chain[-1], dict):
        chain[-1].pop("only_for", None)
    return {"primary": primary} | ({"fallback": chain} if chain else {})


def _labels(route: dict[str, Any]) -> list[str]:
    primary = route["primary"]
    found = list(primary) if isinstance(primary, dict) else [primary]
    for entry in route.get("fallback", []):
        if isinstance(entry, str):
            found.append(entry)
        elif "model" in entry:
            found.append(entry["model"])
        else:
            kind = next(iter(entry))
            found.append(f"{kind}:{entry[kind]}")
    return found


@st.composite
def _switches(draw: Any, labels: Sequence[str], starts_ms: Sequence[int]) -> list[dict[str, Any]]:
    """Return one or two spans in which a person chose, one after the other."""
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=draw(st.sampled_from(list(starts_ms))))
    tenths = sorted(draw(st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True)))
    times = [(start + timedelta(milliseconds=100 * tenth)).isoformat().replace("+00:00", "Z") for tenth in tenths]
    found = []
    for at in range(0, len(times), 2):
        until = {"until": times[at + 1]} if at + 1 < len(times) else {}
        found.append({"from": times[at]} | until | {"to": draw(st.sampled_from(list(labels)))})
    return found


@st.composite
def routes(
    draw: Any,
    *,
    intent: Any,
    targets: Sequence[str] = TARGETS,
    alerts: Sequence[str] = (),
    signals: Sequence[str] = SIGNALS,
    starts_ms: Sequence[int] = STARTS_MS,
) -> dict[str, Any]:
    """Return one route as a file holds it."""
    guard = breakers(alerts=alerts, signals=signals)
    found = {"intent": intent} | draw(_chains(targets, guard))
    retry = st.fixed_dictionaries(
        {},
        optional={
            "attempts": st.integers(0, 2),
            "retry_on": classes,
            "timeout_ms": st.sampled_from(TIMEOUTS_MS),
            "ttft_timeout_ms": st.just(TTFT_TIMEOUT_MS),
            "backoff_ms": st.sampled_from([0, 50, 100]),
        },
    )
    on_fallback = st.fixed_dictionaries(
        {}, optional={"tools": st.sampled_from(["enabled", "disabled"]), "max_tokens": st.just(512)}
    )
    found |= draw(
        st.fixed_dictionaries(
            {"retry": retry},
            optional={
                "fallback_on": classes,
                "deadline_ms": st.sampled_from([150, 400, 1200]),
                "sticky": st.sampled_from(["none", "conversation", "conversation"]),
                "on_fallback": on_fallback,
            },
        )
    )
    if draw(st.integers(0, 3)):
        found["breaker"] = draw(guard)
    if draw(st.integers(0, 3)) == 0:
        found["switch"] = draw(_switches(_labels(found), starts_ms))
    if draw(st.integers(0, 3)) == 0:
        found["match"] = draw(st.sampled_from(MATCHES))
    return found


def alert_trees(
    name: str, *, intents: Sequence[str] = INTENTS, signals: Sequence[str] = SIGNALS
) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of alerts of this name, as a file holds them."""
    some = [*intents, "*", list(intents)]
    return st.fixed_dictionaries(
        {
            "name": st.just(name),
            "when": rules(conditions(signals=signals)),
            "every": st.sampled_from(["100ms", "500ms"]),
            "min_requests": st.integers(1, 4),
            "window": windows,
        },
        optional={
            "intent": st.sampled_from(some),
            "for": st.sampled_from(["100ms", "500ms"]),
            "keep_firing_for": st.sampled_from(["100ms", "1s"]),
            "errors": classes,
            "no_data": st.sampled_from(["hold", "ok", "breach"]),
            "severity": st.sampled_from(["page", "ticket"]),
        },
    )


@st.composite
def policy_trees(
    draw: Any,
    *,
    targets: Sequence[str] = TARGETS,
    intents: Sequence[str] = INTENTS,
    signals: Sequence[str] = SIGNALS,
    alerts: Sequence[str] = ("first", "second"),
    starts_ms: Sequence[int] = STARTS_MS,
) -> dict[str, Any]:
    """Return a policy as a file's plain values: one to three routes, up to two alerts."""
    names = list(alerts)[: draw(st.integers(0, len(alerts)))]
    some = [*intents, "*", list(intents)]
    chosen = draw(st.lists(st.sampled_from(some), min_size=1, max_size=3, unique_by=str))
    make = {"targets": targets, "alerts": names, "signals": signals, "starts_ms": starts_ms}
    found: dict[str, Any] = {
        "routes": [draw(routes(intent=intent, **make)) for intent in sorted(chosen, key=lambda one: one == "*")]
    }
    if names:
        found["alerts"] = [draw(alert_trees(name, intents=intents, signals=signals)) for name in names]
    return found


def policies(**options: Any) -> st.SearchStrategy[Policy]:
    """Return a strategy of policies; `options` are those of `policy_trees`: targets, intents, signals, alerts, starts_ms."""
    return policy_trees(**options).map(lambda tree: Policy.of_tree(item_of(tree)))
