"""The compiled machine says what POLICY.md says, on the examples worked out on paper."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from examples import Example, check
from on_machine import Ended, run
from reference import Interpreter
from test_reference import EXAMPLES
from worlds import World

from incident_kit.policy import Policy


def machine(policy: Policy, world: World) -> SimpleNamespace:
    """Return what the machine makes of it; what no route takes is not the machine's."""
    own, plain = run(policy, world), Interpreter(policy, world).run()
    requests = [
        one if one.route is None else _as_interpreted(one.route, own.requests[i])
        for i, one in enumerate(plain.requests)
    ]
    changes = sorted(own.changes, key=lambda change: change.at)
    return SimpleNamespace(requests=requests, changes=changes, alert_changes=own.alert_changes)


def _as_interpreted(route: int, one: Ended) -> SimpleNamespace:
    has_outcome = one.wait_us is not None
    return SimpleNamespace(
        route=route, first=one.first, entry=one.entry, attempts=one.attempts, wait=one.wait_us, error=one.error,
        has_outcome=has_outcome, exact=one.is_exact, probe=one.is_probe,
    )  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_examples(example: Example) -> None:
    check(machine, example)
