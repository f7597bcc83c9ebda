"""Fixtures of the whole suite: an empty store, the bundled incident, and eight requests that can be replayed on paper."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from written import Call, Request, write

from incident_kit.case import open_case
from incident_kit.incident import Incident
from incident_kit.samples import sample as bundled
from incident_kit.store import Store

# Every call of r3 done late: the policy of tests/test_replays.py trips at 5 s, tests at 10 s, returns at 10.45 s.
TINY = (
    Request("r1", 0, [Call("big", 400, tool_calls=2, tool_errors=0, cost_usd=0.01)], overridden=False),
    Request("r2", 1_000, [Call("big", 600, cost_usd=0.01)], intent=None),
    Request("r3", 2_000, [Call("big", 3000, tool_calls=1, tool_errors=1, cost_usd=0.01)], overridden=True),
    Request("r4", 4_000, [Call("big", 500, cost_usd=0.01)]),
    Request("r5", 6_000, [Call("big", 700, tool_calls=1, tool_errors=0, cost_usd=0.01)], overridden=False),
    Request(
        "r6", 8_000, [Call("small", 200, tool_calls=2, tool_errors=1, cost_usd=0.002)], requested="big", overridden=True
    ),
    Request("r7", 10_000, [Call("big", 450, cost_usd=0.01)]),
    Request("r8", 11_000, [Call("big", 350, "500")]),
)


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as empty:
        yield empty


@pytest.fixture(scope="session")
def sample() -> Incident:
    return open_case(bundled(), in_memory=True)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Incident:
    incident = Incident.create()
    incident.load(write(tmp_path_factory.mktemp("tiny"), TINY))
    return incident
