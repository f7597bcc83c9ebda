"""Choices and bills on paper: which setting is best, which are within its noise, which of these is the simplest."""

from __future__ import annotations

import numpy as np
import pytest

from incident_kit.errors import InvalidObjective
from incident_kit.optimization.bills import EVERYTHING, LOGGED, NOTHING, PARTS, Bill
from incident_kit.optimization.choices import between, choose, summed
from incident_kit.optimization.objective import Objective

MONEY = Objective.of(dict.fromkeys(PARTS, 0) | {"usd": 1, "breaches": 5, "false_trips": 2})
NAMES = ("setting 0", "setting 1", "setting 2")


def bill(
    name: str, costs: dict[str, list[float]], *, draws: int = 2, untold: float = 0.0, **whole: list[float]
) -> Bill:
    """Return a bill of dollars alone, by policy and intent; ``breaches`` and ``false_trips`` of the whole by policy."""
    policies = (*costs,)
    intents = tuple(f"intent {i}" for i in range(len(next(iter(costs.values())))))
    values = np.zeros((len(policies), len(intents) + 1, len(PARTS), draws))
    for p, own in enumerate(costs.values()):
        values[p, :-1, PARTS.index("usd")] = np.array(own)[:, None]
        for part, counts in whole.items():
            values[p, -1, PARTS.index(part)] = counts[p]
    beside = {part: np.zeros((*values.shape[:2], draws)) for part in ("requests", "untold", "seen", "needless_min")}
    beside["requests"][:, :-1] = 100
    beside["untold"][-1, :-1] = untold
    return Bill(
        name, policies, intents, values, beside, {"healthy_h": 1, "impacts": 1, "slow_ms": 3500, "simulated": 0}
    )


def test_an_oracle_takes_the_cheapest_of_each_intent() -> None:
    """On paper: 10 + 20 for the two intents; two targets missed are the fewest, at 5 each; no switch was for nothing."""
    one = bill(
        "a",
        {"setting 0": [10, 40], "setting 1": [30, 20], NOTHING: [50, 50]},
        breaches=[3, 2, 4],
        false_trips=[1, 1, 0],
    )
    assert one.oracle(MONEY).tolist() == [40, 40]
    assert one.costs(MONEY)[:, 0].tolist() == [50 + 15 + 2, 50 + 10 + 2, 100 + 20]
    assert (one.oracle(MONEY) <= one.costs(MONEY)).all()


def test_an_oracle_does_not_take_what_logs_cannot_tell() -> None:
    costs = {"setting 0": [10.0], NOTHING: [50.0], EVERYTHING: [1.0]}
    assert bill("a", costs).oracle(MONEY)[0] == 1
    assert bill("a", costs, untold=0.1).oracle(MONEY)[0] == 10
    assert bill("a", costs, untold=0.1).untold(["setting 0", NOTHING]) == 0
    assert bill("a", costs, untold=0.1).untold([EVERYTHING]) == pytest.approx(0.1)


def test_noise_is_that_of_incidents_and_of_draws() -> None:
    """On paper: means 1 and 3, variance between them 2, two of them: 4; within: 1 and 0; the root of 5."""
    total, error = summed([np.array([0.0, 2.0]), np.array([3.0, 3.0])])
    assert (total, error) == (4, pytest.approx(5**0.5))
    assert summed([np.array([0.0, 2.0])]) == (1, 1)
    assert between([np.array([5.0, 5.0])] * 3) == (15, 15, 15)
    _, low, high = between([np.array([0.0, 2.0]), np.array([3.0, 3.0])])
    assert high - low == pytest.approx(2 * 6.3138 * 5**0.5, rel=1e-4)  # Student's t of one degree of freedom, at 0.95


def chosen(costs: list[list[float]], *, changes: tuple[int, ...] = (0, 1, 1)) -> tuple[int, int, list[bool]]:
    """Return the best, the chosen and the flat of three settings in a row; never switching costs 1,000 in each incident."""
    bills = [
        bill(str(i), {**{name: [own] for name, own in zip(NAMES, row, strict=True)}, NOTHING: [1000], LOGGED: [1000]})
        for i, row in enumerate(costs)
    ]
    found = choose(bills, NAMES, changes, [[1], [0, 2], [1]], MONEY)
    return found.best, found.chosen, found.flat.tolist()


def test_the_policy_as_it_stands_is_kept_within_noise() -> None:
    """Setting 1 is best by 3 of 1,800: 5 better in one incident, 2 worse in the other, so the noise is 7."""
    assert chosen([[105, 100, 200], [98, 100, 200]]) == (1, 0, [True, True, False])


def test_a_better_one_is_taken_beyond_noise() -> None:
    assert chosen([[105, 100, 200], [105, 100, 200]]) == (1, 1, [False, True, False])


def test_within_noise_is_not_enough_where_much_is_lost() -> None:
    """The best gains 1,800; 300 lost are more than 2 % of it, however noisy."""
    assert chosen([[600, 100, 200], [0, 200, 900]]) == (1, 1, [False, True, False])


def test_of_equals_the_middle() -> None:
    """Settings 1 and 2 cost the same; beside 2 there is only 1, beside 1 there is the dear one."""
    assert chosen([[300, 100, 100], [300, 100, 100]], changes=(1, 1, 1)) == (1, 2, [False, True, True])


def test_what_an_objective_says() -> None:
    assert Objective.of(None).weights["overrides"] == 1
    assert Objective.of({"overrides": 2}).scaled("overrides", 0.5).weights["overrides"] == 1
    assert "an SLA target missed 5" in str(Objective.of(None))
    assert "SLA" not in str(Objective.of({"breaches": 0}))
    for wrong, said in [
        ({"override": 1}, "did you mean 'overrides'"),
        ({"usd": -1}, "not -1"),
        ({"usd": float("nan")}, "nan"),
    ]:
        with pytest.raises(InvalidObjective, match=said):
            Objective.of(wrong)
