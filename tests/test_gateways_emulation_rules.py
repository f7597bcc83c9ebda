"""LiteLLM's cooldown rule by hand: what counts, what takes a deployment out of service, for how long, for whom."""

from __future__ import annotations

from typing import Any

import pytest

from incident_kit.errors import InvalidConfiguration
from incident_kit.gateways.litellm_config import read_settings
from incident_kit.gateways.litellm_router import (
    ALL_FAILED,
    FROM_DEPLOYMENT,
    FROM_HEADER,
    FROM_ROUTER,
    MOST_FAILED,
    NOT_RETRYABLE,
    RATE_LIMITED,
    TOO_MANY,
    Failure,
    Router,
    Thresholds,
)
from incident_kit.gateways.litellm_settings import Deployment

S = 1_000_000


def router(
    *, version: str = "1.106.2", thresholds: Thresholds | None = None, own: Any = None, **settings: Any
) -> Router:
    """Return a router with a pair (a, b), a lone deployment (c) with a fallback and one (d) without; ``own`` is put on each."""
    info, params = (own or {}).get("model_info", {}), (own or {}).get("litellm_params", {})
    names = {"a": "pair", "b": "pair", "c": "lone", "d": "alone"}
    config = {
        "model_list": [
            {"model_name": group, "litellm_params": {"model": "openai/x"} | params, "model_info": {"id": name} | info}
            for name, group in names.items()
        ],
        "router_settings": {"fallbacks": [{"lone": ["alone"]}]} | settings,
    }
    return Router(read_settings(config), version=version, thresholds=thresholds or Thresholds())


class Desk:
    """Tells a router what happened, at seconds."""

    def __init__(self, found: Router) -> None:
        self.router = found
        self.by_id = {one.id: one for one in found.settings.deployments}

    def ok(self, name: str, *at_s: float, worker: str | None = None) -> None:
        for at in at_s:
            self.router.succeeded(self.by_id[name], worker=worker, at_us=round(at * S))

    def fail(
        self, name: str, *at_s: float, error: str = "500", asked_s: float | None = None, worker: str | None = None
    ) -> None:
        asked_us = None if asked_s is None else round(asked_s * S)
        for at in at_s:
            failure = Failure(error, self.by_id[name], asked_us)
            group = self.by_id[name].group
            self.router.failed(failure, worker=worker, at_us=round(at * S), request=0, requested=group)

    def up(self, at_s: float, *, group: str = "pair", worker: str | None = None) -> str:
        return "".join(one.id for one in self.router.available(group, worker=worker, at_us=round(at_s * S)))

    @property
    def told(self) -> list[tuple[str, float, float, str]]:
        return [(x.deployment.id, x.start_us / S, x.until_us / S, x.why) for x in self.router.cooldowns]


def test_a_429_takes_one_of_several_out_at_once_and_a_lone_one_never() -> None:
    desk = Desk(router())
    desk.fail("a", 1, error="429")
    desk.fail("c", *range(1, 500), error="429")
    assert desk.told == [("a", 1.0, 6.0, RATE_LIMITED)]
    assert desk.up(6.0) == "b"
    assert desk.up(6.000001) == "ab"


@pytest.mark.parametrize(
    ("successes", "failures", "is_out"),
    [(2, 2, False), (2, 3, True), (3, 3, False), (0, 4, False), (0, 5, True), (4, 5, True)],
)
def test_more_than_half_of_at_least_five(successes: int, failures: int, *, is_out: bool) -> None:
    desk = Desk(router())
    desk.ok("a", *range(successes))
    desk.fail("a", *range(10, 10 + failures))
    assert bool(desk.told) is is_out
    if is_out:
        # a lone deployment with the same counts is spared
        desk.ok("c", *range(20, 20 + successes))
        desk.fail("c", *range(30, 30 + failures))
        assert {name for name, *_ in desk.told} == {"a"}


def test_failures_and_successes_are_counted_over_different_minutes() -> None:
    desk = Desk(router())
    desk.fail("a", 0)
    desk.ok("a", 10, 11, 12, 13, 14, 15)
    desk.fail("a", 59, 60)
    desk.fail("a", 60.1, 61, 62, 63)  # the first failure's minute is over; the successes' lasts until 70
    assert not desk.told
    desk.fail("a", 70.1)  # five failures since 60.1, and no success is remembered
    assert desk.told == [("a", 70.1, 75.1, MOST_FAILED)]
    one = desk.router.cooldowns[0]
    assert (one.fails, one.fails_since_us, one.successes, one.successes_since_us) == (5, 60_100_000, 0, None)


def test_a_lone_deployment_rests_when_all_of_a_thousand_failed() -> None:
    desk = Desk(router())
    desk.fail("c", *(x / 100 for x in range(999)))
    assert not desk.told
    desk.fail("c", 9.99)
    assert desk.told == [("c", 9.99, 14.99, ALL_FAILED)]
    desk = Desk(router(thresholds=Thresholds(lone_requests=3, failed_share=0.9)))
    desk.ok("c", 0)
    desk.fail("c", 1, 2, 3, 4)
    assert not desk.told
    desk.fail("d", 1, 2, 3)
    assert [name for name, *_ in desk.told] == ["d"]


@pytest.mark.parametrize(
    ("error", "pair", "lone"),
    [
        ("401", NOT_RETRYABLE, NOT_RETRYABLE),
        ("404", NOT_RETRYABLE, NOT_RETRYABLE),
        ("402", NOT_RETRYABLE, None),
        ("400", None, None),
        ("403", None, None),
        ("content_policy", None, None),
        ("context_window", None, None),
        ("timeout", None, None),
        ("408", None, None),
        ("503", None, None),
        ("unknown", None, None),
        ("cut", None, None),
    ],
)
def test_what_one_failure_of_a_kind_does(error: str, pair: str | None, lone: str | None) -> None:
    desk = Desk(router())
    desk.fail("a", 1, error=error)
    desk.fail("c", 1, error=error)
    found = {name: why for name, _, _, why in desk.told}
    assert (found.get("a"), found.get("c")) == (pair, lone)


@pytest.mark.parametrize("error", ["400", "content_policy", "cut"])
def test_what_never_takes_a_deployment_out_counts_all_the_same(error: str) -> None:
    desk = Desk(router())
    desk.fail("a", 1, 2, 3, 4, 5, 6, error=error)
    assert not desk.told
    desk.fail("a", 7)
    assert desk.told[0][3] == MOST_FAILED
    assert desk.router.cooldowns[0].fails == 7


def test_how_long_the_deployment_then_the_header_then_the_router() -> None:
    desk = Desk(router(cooldown_time=30))
    desk.fail("a", 1, error="429")
    desk.fail("b", 1, error="429", asked_s=2)
    assert [(x.until_us / S, x.length_from) for x in desk.router.cooldowns] == [(31.0, FROM_ROUTER), (3.0, FROM_HEADER)]
    desk = Desk(router(own={"litellm_params": {"cooldown_time": 9}}))
    desk.fail("a", 1, error="429", asked_s=2)
    assert [(x.until_us / S, x.length_from) for x in desk.router.cooldowns] == [(10.0, FROM_DEPLOYMENT)]
    desk = Desk(router(own={"litellm_params": {"cooldown_time": 9}, "model_info": {"cooldown_time": 7}}))
    desk.fail("a", 1, error="429")
    assert desk.told[0][2] == 8.0


def test_no_cooldown_where_it_would_last_no_time_or_is_switched_off() -> None:
    for found in (router(own={"model_info": {"cooldown_time": 0}}), router(disable_cooldowns=True)):
        desk = Desk(found)
        desk.fail("a", 1, 2, 3, 4, 5, 6, error="429")
        assert not desk.told
    desk = Desk(router())
    desk.fail("a", 1, error="429", asked_s=0)
    assert not desk.told
    desk.fail("a", 1, error="429", asked_s=-1)  # a date that has passed says nothing
    assert desk.told[0][2] == 6.0
    assert Desk(router(cooldown_time=0)).router.settings.cooldown_s == 5.0  # 0 means the default


def test_a_second_cooldown_ends_the_first_earlier_never_later() -> None:
    desk = Desk(router(cooldown_time=20))
    desk.fail("a", 1, error="429")
    desk.fail("a", 2, error="429", asked_s=3)  # sent before: its answer shortens the stay
    assert desk.told == [("a", 1.0, 5.0, RATE_LIMITED)]
    desk = Desk(router(cooldown_time=20))
    desk.fail("a", 1, error="429", asked_s=3)
    desk.fail("a", 2, error="429")
    assert desk.told == [("a", 1.0, 4.0, RATE_LIMITED)]


def test_allowed_fails_counts_only_when_it_is_not_the_usual_number() -> None:
    usual = Desk(router(allowed_fails=3))
    usual.ok("a", *range(10))
    usual.fail("a", 10, 11, 12, 13, 14)
    assert not usual.told  # a third failed: the default rule
    desk = Desk(router(allowed_fails=2, cooldown_time=10))
    desk.ok("a", *range(10))
    desk.fail("a", 10, 11)
    desk.fail("a", 20.5, 21)  # the counter lived for the cooldown time since its first failure
    assert not desk.told
    desk.fail("a", 22)
    assert desk.told == [("a", 22.0, 32.0, TOO_MANY)]
    assert desk.router.cooldowns[0].allowed == 2


def test_the_librarys_own_allowed_fails_alone_changes_nothing() -> None:
    config = {"model_list": [{"model_name": "x", "litellm_params": {}}], "litellm_settings": {"allowed_fails": 9}}
    assert not read_settings(config).counts_fails
    assert read_settings(config | {"router_settings": {"allowed_fails": 3}}).counts_fails


def test_a_policy_of_the_router_counts_by_kind_in_one_counter() -> None:
    desk = Desk(
        router(allowed_fails_policy={"TimeoutErrorAllowedFails": 1, "RateLimitErrorAllowedFails": 4}, cooldown_time=60)
    )
    desk.fail("a", 1, error="timeout")
    desk.fail("a", 2, 3, 4, error="429")
    assert not desk.told
    desk.fail("a", 5, error="500")  # the fifth, and the usual three are allowed
    assert desk.told[0][3] == TOO_MANY
    assert desk.router.cooldowns[0].allowed == 3


def test_a_policy_of_the_deployment_counts_each_kind_for_itself() -> None:
    own = {"model_info": {"allowed_fails_policy": {"BadRequestErrorAllowedFails": 1, "TimeoutErrorAllowedFails": 2}}}
    desk = Desk(router(own=own))
    desk.fail("a", 1, error="400")
    desk.fail("a", 2, 3, error="timeout")
    assert not desk.told
    desk.fail("a", 4, error="content_policy")  # a kind of bad request: its number, and a counter of its own
    assert not desk.told
    desk.fail("a", 5, error="content_policy")
    assert desk.told == [("a", 5.0, 10.0, TOO_MANY)]


def test_a_number_of_the_deployment_spares_the_lone_one() -> None:
    desk = Desk(router(own={"model_info": {"allowed_fails": 1}}))
    desk.fail("a", 1, 2)
    desk.fail("c", 1, 2, 3, 4)
    assert [name for name, *_ in desk.told] == ["a"]


@pytest.mark.parametrize(
    ("version", "out"), [("1.106.2", {"a", "c", "d"}), ("1.109.1", {"a", "c"}), ("1.110.0", {"a", "c"})]
)
def test_the_newer_version_spares_a_lone_deployment_without_fallbacks(version: str, out: set[str]) -> None:
    desk = Desk(router(version=version, allowed_fails=1))
    for name in "acd":
        desk.fail(name, 1, 2)
    assert {name for name, *_ in desk.told} == out
    # a policy that names the failure spares nobody
    desk = Desk(router(version=version, allowed_fails_policy={"InternalServerErrorAllowedFails": 1}))
    desk.fail("d", 1, 2)
    assert desk.told


@pytest.mark.parametrize(("version", "out"), [("1.106.2", {"a"}), ("1.109.1", {"a", "c"})])
def test_in_the_newer_version_fallbacks_are_an_alternative_for_a_deployments_own_number_too(
    version: str, out: set[str]
) -> None:
    desk = Desk(router(version=version, own={"model_info": {"allowed_fails": 1}}))
    for name in "acd":
        desk.fail(name, 1, 2)
    assert {name for name, *_ in desk.told} == out


def test_workers_know_nothing_of_each_other_unless_they_share() -> None:
    desk = Desk(router())
    desk.fail("a", 1, error="429", worker="w1")
    assert (desk.up(2, worker="w1"), desk.up(2, worker="w2")) == ("b", "ab")
    desk.fail("b", 3, 3, 3, worker="w1")
    desk.fail("b", 3, 3, worker="w2")
    assert len(desk.told) == 1  # five failures, but three and two
    shared = Desk(router(redis_host="cache", allowed_fails=1))
    shared.fail("a", 1, worker="w1")
    shared.fail("a", 2, worker="w2")
    assert [(name, why) for name, _, _, why in shared.told] == [("a", TOO_MANY)]
    assert (shared.up(3, worker="w1"), shared.up(3, worker="w2")) == ("b", "b")
    assert shared.router.cooldowns[0].worker == "w2"


def test_of_deployments_with_an_order_the_lowest_in_service_are_used() -> None:
    found = router()
    one, two = (Deployment(name, "pair", order=order) for name, order in (("a", 1), ("b", 2)))
    found.groups["pair"] = (one, two)
    desk = Desk(found)
    desk.by_id |= {"a": one, "b": two}
    assert desk.up(0) == "a"
    desk.fail("a", 1, error="429")
    assert desk.up(2) == "b"


@pytest.mark.parametrize("version", ["", "latest", "1", "1.x", "v1.106.2"])
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(InvalidConfiguration, match=r"is no LiteLLM version; give one such as '1\.106\.2'"):
        router(version=version)
