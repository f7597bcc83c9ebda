"""Fixtures of the whole suite: an empty store, the bundled incident, and eight requests that can be replayed on paper."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from written import TINY, write

from incident_kit.case import open_case
from incident_kit.incident import Incident
from incident_kit.samples import sample as bundled
from incident_kit.store import Store


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
