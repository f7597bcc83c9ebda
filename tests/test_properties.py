"""The properties of POLICY.md section 5, on whole replays: random policies over random logs in a store's tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written import Call, Request, fill, frames, write

from incident_kit.estimation.evidence import Estimator, Outcomes
from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME, OUTCOME
from incident_kit.incident import Incident
from incident_kit.log import Log, read
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import Replay, replay, replay_log
from incident_kit.store import Store

TARGETS = ("big", "small", "third")
INTENTS = ("chat", "mail")
ERRORS = ("429", "500", "400", "timeout", "cut")
TIMEOUT_MS = 350
LATENCIES = (
    0,
    40,
    40,
    90,
    90,
    90,
    150,
    150,
    200,
    250,
    320,
    400,
    900,
)  # mostly under the limits, so that tests are passed
few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
shared = Store()  # filled anew by every example


@st.composite
def logs(draw: Any, *, intents: Sequence[str | None] = (*INTENTS, None)) -> list[Request]:
    """Requests at instants that often collide, with many in flight, each tried one to three times."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    at = np.cumsum(
        random.choice([0, 10, 40, 50, 100, 350], draw(st.integers(5, 40)), p=[0.2, 0.2, 0.2, 0.2, 0.15, 0.05])
    )
    troubled = random.choice([0.05, 0.4])
    return [
        Request(
            f"r{name:02}",
            int(at_ms),
            [_call(random, troubled) for _ in range(random.integers(1, 4))],
            intent=intents[random.integers(len(intents))],
            complete=[None, True, False][random.integers(3)],
        )
        for name, at_ms in zip(random.permutation(len(at)), at, strict=True)
    ]


def _call(random: np.random.Generator, troubled: float) -> Call:
    error = str(random.choice(ERRORS)) if random.random() < troubled else None
    target, latency_ms = str(random.choice(TARGETS, p=[0.5, 0.3, 0.2])), int(random.choice(LATENCIES))
    return Call(target, latency_ms, error, after_ms=int(random.choice([0, 0, 30])))


limits = st.sampled_from([100, 200, 300])
slow = st.builds("p{}_ms > {}".format, st.sampled_from([50, 90, 95, "99.9"]), limits) | st.builds(
    "slow_rate({}ms) > {}".format, limits, st.sampled_from(["0.05", "0.3", "0.6"])
)
conditions = slow | st.builds("error_rate {} {}".format, st.sampled_from([">", ">="]), st.sampled_from(["0.1", "0.5"]))
any_or_all = st.sampled_from(["any", "all"])


def rules(condition: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    groups = st.builds(lambda how, of: {how: of}, any_or_all, st.lists(condition, min_size=2, max_size=3, unique=True))
    return condition | groups


classes = st.lists(st.sampled_from(["5xx", "4xx", "429", "timeout"]), unique=True, min_size=1, max_size=3)
windows = st.sampled_from(["300ms", "1s", "5s", "3 requests", "6 requests"])


def breakers(when: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "when": when,
            "window": windows,
            "min_requests": st.integers(1, 3),
            "cooldown": st.sampled_from(["100ms", "500ms", "2s"]),
        },
        optional={
            "for": st.sampled_from(["100ms", "400ms"]),
            "errors": classes,
            "half_open": st.fixed_dictionaries(
                {"requests": st.integers(0, 3)},
                optional={
                    "max_wait": st.sampled_from(["100ms", "1s"]),
                    "share": st.just(0.5),
                    "when": rules(conditions),
                },
            ),
        },
    )


retries = st.fixed_dictionaries(
    {"attempts": st.integers(0, 2), "retry_on": classes},
    optional={"timeout_ms": st.just(TIMEOUT_MS), "backoff_ms": st.just(20)},
)


@st.composite
def routes(draw: Any, *, intent: str, when: st.SearchStrategy[Any] = rules(conditions)) -> dict[str, Any]:  # noqa: B008
    order = draw(st.sampled_from([TARGETS, TARGETS, TARGETS[::-1]]))
    size = draw(st.integers(1, 3))
    chain: list[Any] = list(order[1:size])
    if len(chain) > 1 and draw(st.booleans()):
        chain[0] = {"model": chain[0], "breaker": draw(breakers(rules(conditions)))}
    found = {"intent": intent, "primary": order[0], "breaker": draw(breakers(when)), "retry": draw(retries)}
    if chain:
        found |= {"fallback": chain, "fallback_on": draw(classes)}
        if draw(st.booleans()):
            found["disable_tools_on_fallback"] = True
    return found


@st.composite
def policies(draw: Any) -> Policy:
    """One to three routes; some traffic may match none."""
    chosen = draw(st.lists(st.sampled_from(["chat", "mail", "*"]), unique=True, min_size=1, max_size=3))
    return policy([draw(routes(intent=intent)) for intent in sorted(chosen, key="*".__eq__)])


def policy(found: Sequence[dict[str, Any]]) -> Policy:
    return Policy.parse(json.dumps({"routes": list(found)}))


def log_of(requests: Sequence[Request] | dict[str, pl.DataFrame]) -> Log:
    return read(fill(shared, requests))


def run(requests: Sequence[Request] | dict[str, pl.DataFrame], rules: Policy, **options: Any) -> Replay:
    return replay_log(log_of(requests), rules, **options)


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose words compare whatever their vocabularies."""
    return frame.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))


def assert_same(one: pl.DataFrame, other: pl.DataFrame) -> None:
    assert plain(one).to_dicts() == plain(other).to_dicts()


# --- 1: nothing of the future ---

CHOICE = [
    "request_id",
    "at",
    "route",
    "target",
    "action",
    "breaker_state",
    "reason",
    "metric",
    "value",
    "n",
    "threshold",
]
CHOICE += ["window_start", "logged_target", "state_exact"]
ALL_ERRORS = [Request(f"known-{error}", -10_000, [Call("third", 10, error)], intent="seed") for error in ERRORS]


def given_matrix(seed: int, *, known_until_us: int | None = None) -> Estimator:
    """Return an estimator whose outcomes depend on nothing but (seed, request, target, attempt): a matrix that is given.

    With ``known_until_us`` every attempt that may still be in flight then ends otherwise, and later than then.
    """

    def outcomes(log: Log, requests: Any, targets: Sequence[str], *, attempts: int, **_: Any) -> Outcomes:
        records = np.zeros((len(targets), attempts, len(requests)), OUTCOME)
        for column, (name, at) in enumerate(
            zip(log.request_id.gather(requests), log.arrived_us[requests], strict=True)
        ):
            for entry, target in enumerate(targets):
                for number in range(attempts):
                    random = np.random.default_rng(list(f"{seed} {name} {target} {number}".encode()))
                    latency, error = random.choice(LATENCIES), random.choice(["ok", "ok", "ok", *ERRORS])
                    kind = CALL if random.random() < 0.95 else NO_OUTCOME
                    estimated = random.random() < 0.1
                    if known_until_us is not None and _ends_after(at, latency, known_until_us):
                        later = [other for other in LATENCIES if _ends_after(at, other, known_until_us)]
                        latency, error = random.choice(later), random.choice(["ok", *ERRORS])
                    records[entry, number, column] = (latency, log.errors.index(error), kind, estimated)
        return Outcomes(records, np.full(records.shape, -1, np.int32))

    return outcomes


def _ends_after(arrived_us: int, latency_ms: int, until_us: int) -> bool:
    """Return whether an attempt sent at arrival, or later, ends after that instant even if the policy's timeout cuts it."""
    return bool(arrived_us + 1000 * min(latency_ms, TIMEOUT_MS) > until_us)


@pytest.mark.slow
@few
@given(logs(), policies(), st.integers(0, 9), st.data())
def test_1_what_comes_after_changes_no_decision_before(
    requests: list[Request], rules: Policy, seed: int, data: st.DataObject
) -> None:
    whole = run([*ALL_ERRORS, *requests], rules, estimator=given_matrix(seed))
    for until in data.draw(st.lists(st.sampled_from(requests), min_size=2, max_size=2)):
        before = [one for one in requests if one.at_ms <= until.at_ms]
        after = [one for one in requests if one.at_ms > until.at_ms]
        kept = data.draw(st.permutations(after))[: data.draw(st.integers(0, len(after)))]
        later = [
            replace(
                one, at_ms=when.at_ms + data.draw(st.sampled_from([0, 70])), intent=data.draw(st.sampled_from(INTENTS))
            )
            for one, when in zip(kept, after, strict=False)
        ]
        estimator = given_matrix(seed, known_until_us=round(until.arrived_at.timestamp() * 1e6))
        changed = run([*ALL_ERRORS, *before, *later], rules, estimator=estimator)
        count = len(ALL_ERRORS) + len(before)
        assert_same(whole.decisions.head(count).select(CHOICE), changed.decisions.head(count).select(CHOICE))
        instant = whole.decisions["at"][count - 1]
        assert_same(
            whole.transitions.filter(pl.col("at") <= instant), changed.transitions.filter(pl.col("at") <= instant)
        )


# --- 2: slower is never later ---


@pytest.mark.slow
@few
@given(logs(intents=["chat"]), routes(intent="chat", when=rules(slow)), st.data())
def test_2_slow_completions_never_delay_the_first_trip(
    requests: list[Request], route: dict[str, Any], data: st.DataObject
) -> None:
    route["breaker"].pop("for", None)
    route["retry"].pop("timeout_ms", None)
    # what a call of the log took is what the policy meets: nothing is borrowed, so that more calls change no others
    own = [
        replace(one, calls=[replace(call, target=target) for call in one.calls[:1] * 3 for target in TARGETS])
        for one in requests
    ]
    rules_ = policy([route])
    first = run(own, rules_).transitions.filter(pl.col("breaker") == route["primary"])
    added = [
        Request(f"slow{i}", data.draw(st.sampled_from(own)).at_ms, [Call(route["primary"], 1000)])
        for i in range(data.draw(st.integers(1, 12)))
    ]
    slower = run([*own, *added], rules_).transitions.filter(pl.col("breaker") == route["primary"])
    if first.height:
        assert slower["at"][0] <= first["at"][0]


# --- 4: a quantile is a count ---


@few
@given(
    logs(),
    policies(),
    st.sampled_from([("50", "0.5"), ("75", "0.25"), ("95", "0.05"), ("99.9", "0.001")]),
    limits,
    windows,
)
def test_4_a_quantile_breaker_is_a_slow_rate_breaker(
    requests: list[Request], rules: Policy, level: tuple[str, str], limit: int, window: str
) -> None:
    tree, log = json.loads(rules.text or ""), log_of(requests)
    both = []
    for when in (f"p{level[0]}_ms > {limit}", f"slow_rate({limit}ms) > {level[1]}"):
        for route in tree["routes"]:
            route["breaker"] |= {"when": when, "window": window}
        both.append(replay_log(log, policy(tree["routes"])))
    quantile, rate = both
    named = ["metric", "value", "threshold"]
    assert_same(quantile.transitions.drop(named), rate.transitions.drop(named))
    assert_same(quantile.decisions.drop(named), rate.decisions.drop(named))


# --- 5: a name and "*" ---


@few
@given(logs(intents=["chat"]), routes(intent="chat"))
def test_5_a_file_of_one_intent_is_the_file_of_all_where_there_is_no_other(
    requests: list[Request], route: dict[str, Any]
) -> None:
    log = log_of(requests)
    named, everything = replay_log(log, policy([route])), replay_log(log, policy([route | {"intent": "*"}]))
    assert_same(named.decisions.drop("route"), everything.decisions.drop("route"))
    assert_same(named.transitions.drop("route"), everything.transitions.drop("route"))
    assert_same(named.outcomes, everything.outcomes)


# --- 6: short and long form ---

FOUNDING = """
routes:
- intent: chat
  primary: big
  fallback: small
  max_p95_ms: 200
  disable_tools_on_fallback: true
- intent: mail
  primary: third
  fallback: small
  max_p95_ms: 300
"""


@few
@given(logs(), policies())
def test_6_a_policy_is_its_long_form(requests: list[Request], rules: Policy) -> None:
    log = log_of(requests)
    for one in (rules, Policy.parse(FOUNDING)):
        short, long = replay_log(log, one), replay_log(log, Policy.parse(one.expand()))
        assert_same(short.decisions, long.decisions)
        assert_same(short.transitions, long.transitions)


def test_6_the_founding_file_trips_when_there_are_enough_calls() -> None:
    """The property above would hold of a file that never switches."""
    requests = [Request(f"r{i:02}", 100 * i, [Call("big", 250 if i > 20 else 90)]) for i in range(60)]
    found = [
        run(requests, one).transitions["to"].to_list()
        for one in (Policy.parse(FOUNDING), Policy.parse(Policy.parse(FOUNDING).expand()))
    ]
    assert found[0] == found[1] == ["on backup"]


# --- 7: time is relative ---


@pytest.mark.slow
@few
@given(logs(), policies(), st.sampled_from([1, 86_400_000, -3_600_000, 123_457]))
def test_7_a_shift_in_time_shifts_decisions_and_changes_none(
    requests: list[Request], rules: Policy, by_ms: int
) -> None:
    here = run(requests, rules)
    there = run([replace(one, at_ms=one.at_ms + by_ms) for one in requests], rules)
    by = pl.duration(milliseconds=by_ms)
    assert_same(here.decisions.with_columns(pl.col("at", "window_start") + by), there.decisions)
    assert_same(here.transitions.with_columns(pl.col("at") + by), there.transitions)
    assert_same(here.outcomes.with_columns(pl.col("at") + by), there.outcomes)


# --- 8: order and repetition are nothing ---


@few
@given(logs(), policies(), st.randoms(use_true_random=False))
def test_8_the_order_of_rows_changes_nothing(requests: list[Request], rules: Policy, random: Any) -> None:
    tables = frames(requests)
    mixed = {name: frame[random.sample(range(frame.height), frame.height)] for name, frame in tables.items()}
    one, other = run(tables, rules), run(mixed, rules)
    assert_same(one.decisions, other.decisions)
    assert_same(one.transitions, other.transitions)
    assert_same(one.outcomes, other.outcomes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.mark.slow
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(requests=logs(), rules=policies(), half=st.integers(1, 4))
def test_8_loading_twice_or_in_two_changes_nothing(
    folder: Path, requests: list[Request], rules: Policy, half: int
) -> None:
    def loaded(*parts: Sequence[Request]) -> Replay:
        incident = Incident.create()
        for part in parts:
            incident.load(write(folder, part))
        return replay(incident, rules)

    once = loaded(requests)
    for other in (
        loaded(requests, requests),
        loaded(requests[half:], requests[:half]),
        loaded(requests[:half], requests),
    ):
        assert_same(once.decisions, other.decisions)
        assert_same(once.transitions, other.transitions)
        assert_same(once.outcomes, other.outcomes)


# --- the properties mean something ---


def test_random_replays_switch_test_return_and_borrow() -> None:
    seen: set[Any] = set()

    @settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(logs(), policies())
    def collect(requests: list[Request], rules: Policy) -> None:
        found = run(requests, rules)
        seen.update(found.transitions["why"].to_list())
        seen.update(plain(found.decisions)["evidence"].to_list())
        seen.update(plain(found.decisions)["action"].to_list())
        seen.update(found.decisions["state_exact"].to_list())

    collect()
    assert seen == {
        "over the limit", "cooldown over", "tests passed", "tests failed", "observed", "same_cell",
        "same_intent", "none", "as logged",
        "primary", "fallback", "test", True, False,
    }  # fmt: skip
