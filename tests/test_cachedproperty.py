from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

import incident_kit as ik
from incident_kit.cachedproperty import cached_property
from incident_kit.case import open_case
from incident_kit.estimation import model
from incident_kit.estimation.observations import Observations
from incident_kit.log import Log
from incident_kit.policies.policy import Policy
from incident_kit.samples import sample
from incident_kit.store import Store


class Slow:
    """What takes a while, and counts how often."""

    count = 0

    @cached_property
    def value(self) -> int:
        """How often it was worked out."""
        time.sleep(0.05)
        self.count += 1
        return self.count


def test_two_threads_that_ask_at_once_get_one_value() -> None:
    slow, both = Slow(), Barrier(2)

    def asked(_: int) -> int:
        both.wait()
        return slow.value

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(asked, range(2))) == [1, 1]
    assert Slow.value.__doc__ == "How often it was worked out."


def test_a_store_answers_threads_one_after_the_other() -> None:
    store, both = Store(), Barrier(2)

    def asked(number: int) -> int:
        both.wait()
        told = store.rows("select sum(a.range + b.range) from range(3000) a, range(3000) b")[0][0]
        return int(told) + int(store.frame(f"select {number} as n").item())

    with store, ThreadPoolExecutor(2) as pool:
        first, second = pool.map(asked, range(2))
    assert second - first == 1


def test_routes_that_are_replayed_side_by_side_fit_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to need it: on Python 3.12 and later two threads came here at once."""
    asked, observe = [], model.observe

    def slowly(log: Log) -> Observations:
        asked.append(log)
        time.sleep(0.05)
        return observe(log)

    monkeypatch.setattr(model, "observe", slowly)
    with_routes = Policy.load(sample() / "policies" / "per-intent.yaml")
    assert len(with_routes.routes) > 1
    assert ik.replay(open_case(sample(), in_memory=True), with_routes).decisions.height > 3000
    assert len(asked) == 1
