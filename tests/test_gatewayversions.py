"""A gateway's configurations as they were in force one after the other: each is emulated on its own time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from incident_kit.case import open_case, read_case
from incident_kit.errors import InvalidCase
from incident_kit.gateways.emulation import emulate
from incident_kit.gatewayversions import GatewayVersion, emulations, in_order
from incident_kit.incident import Incident
from incident_kit.samples import sample as folder_of

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
A, B = GatewayVersion(Path("a.yaml")), GatewayVersion(Path("b.yaml"))


def test_a_missing_end_is_the_neighbours() -> None:
    whole = (replace(A, until=NOON), replace(B, since=NOON))
    assert in_order([replace(A, until=NOON), B]) == whole
    assert in_order([A, replace(B, since=NOON)]) == whole
    assert in_order(whole) == whole
    assert in_order([A]) == (A,)
    assert in_order([]) == ()


@pytest.mark.parametrize(
    "given",
    [
        [A, B],
        [replace(A, until=NOON), replace(B, since=NOON + timedelta(hours=1))],
        [replace(A, until=NOON + timedelta(hours=1)), replace(B, since=NOON)],
        [replace(A, since=NOON), replace(B, since=NOON - timedelta(hours=1))],
    ],
)
def test_gaps_and_overlaps(given: list[GatewayVersion]) -> None:
    with pytest.raises(InvalidCase, match=r"gateway: a.yaml@.* and b.yaml@.* each ending where the next begins"):
        in_order(given)


@pytest.fixture(scope="module")
def capture() -> Incident:
    return open_case(folder_of(), in_memory=True)


def test_one_configuration_is_the_emulation(capture: Incident) -> None:
    ((version, found),) = emulations(capture)
    config, product = capture.gateway or (Path(), None)
    assert (version.config, version.version) == (config, product)
    assert found.decisions.equals(emulate(capture, config, version=product or "").decisions)


def test_each_on_its_own_time(capture: Incident) -> None:
    about = capture.about()
    half = about["first"] + (about["last"] - about["first"]) / 2
    (whole,) = capture.gateways
    other = Incident(capture.store)
    far = about["last"] + timedelta(days=1)
    other.gateways = in_order(
        [replace(whole, until=half), replace(whole, since=half, until=far), replace(whole, since=far)]
    )
    parts = [found for _, found in emulations(other)]
    assert len(parts) == 2  # nothing arrived in the last one's time
    assert sum(part.decisions.height for part in parts) == emulate(capture, whole.config).decisions.height
    assert [part.decisions["at"].max() < half for part in parts] == [True, False]
    assert all(part.fidelity > 0.9 for part in parts)


def test_a_case_may_list_them(tmp_path: Path) -> None:
    for name in ("old.yaml", "new.yaml"):
        (tmp_path / name).write_text("model_list: []\n")

    def said(text: str) -> Path:
        (tmp_path / "incident.yaml").write_text(f"gateway: {text}\n")
        return tmp_path

    found = open_case(
        said("[{config: old.yaml, version: 1.106.2, until: 2026-10-05T12:00Z}, {config: new.yaml}]"), in_memory=True
    )
    assert [(one.config.name, one.since, one.until) for one in found.gateways] == [
        ("old.yaml", None, NOON), ("new.yaml", NOON, None)
    ]  # fmt: skip
    assert found.gateway == (tmp_path / "new.yaml", None)
    assert read_case(said("{config: old.yaml, from: 2026-10-05T12:00:00Z}")).gateway[0].since == NOON
    assert open_case(said(""), in_memory=True).gateway is None
    for text, told in (
        ("{config: old.yaml, form: 1}", "gateway.0.form: there is no key 'form'"),
        ("{config: old.yaml, until: 2026-10-05}", "has no zone"),
        ("{version: 1.106.2}", "gateway.0.config"),
        ("{config: older.yaml}", "there is no file"),
    ):
        with pytest.raises(InvalidCase, match=told):
            open_case(said(text), in_memory=True)
