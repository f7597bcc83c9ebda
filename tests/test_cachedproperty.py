from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from incident_kit.cachedproperty import cached_property
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
