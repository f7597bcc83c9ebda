"""Milestones: which annotation belongs to which impact, what stands in for one that is missing, and how it is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from incident_kit.incident import Incident
from incident_kit.inspection.milestones import WORDS, times
from incident_kit.phases import KINDS, Phase

START = datetime(2026, 10, 5, 13, 0, tzinfo=UTC)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


PHASES = (
    Phase("impact", at(20), at(60), "slow"), Phase("detected", at(32), text="latency alert"),
    Phase("mitigated", at(50), detected=True), Phase("recovered", at(61)), Phase("felt", at(27)),
)  # fmt: skip


def test_each_has_its_two_instants_in_the_readers_zone() -> None:
    found = times(PHASES, zone="Europe/Berlin")
    assert [(m.kind, m.took) for m in found] == [
        ("detected", timedelta(minutes=12)), ("mitigated", timedelta(minutes=30)), ("recovered", timedelta(minutes=41)),
    ]  # fmt: skip
    assert str(found).splitlines() == [
        "Time to detect: 12 min, from 15:20 (13:20 UTC) to 15:32 (13:32 UTC) (latency alert).",
        "Time to mitigate: 30 min, from 15:20 (13:20 UTC) to 15:50 (13:50 UTC) (from the data).",
        "Time to recover: 41 min, from 15:20 (13:20 UTC) to 16:01 (14:01 UTC).",
    ]
    assert found.rows.select("milestone", "basis").rows() == [
        ("detected", "annotated"), ("mitigated", "from the data"), ("recovered", "annotated"),
    ]  # fmt: skip


def test_what_nobody_annotated_is_not_known_and_says_what_to_do() -> None:
    found = times([Phase("impact", at(20), at(60), detected=True), Phase("felt", at(27))])
    detected, mitigated, recovered = found
    assert (detected.took, mitigated.took, recovered.took) == (None, None, timedelta(minutes=40))
    assert "annotate('detected', at) says when (the first complaint came after 7 min)" in detected.said()
    assert recovered.basis == "from the data"
    assert times([Phase("impact", at(20))]).milestones[2].end is None


def test_a_warning_before_the_impact_is_said_so() -> None:
    (first, *_) = times([Phase("detected", at(15)), Phase("impact", at(20), at(30))])
    assert first.took == timedelta(minutes=-5)
    assert "5 min before it began" in first.said()


def test_several_impacts_have_their_own() -> None:
    phases = [
        Phase("impact", at(0), at(10)), Phase("detected", at(2)), Phase("impact", at(100), at(120)), Phase("detected", at(107)),
        Phase("recovered", at(12)),
    ]  # fmt: skip
    rows = times(phases).rows.filter(milestone="detected")
    assert rows["took"].to_list() == [timedelta(minutes=2), timedelta(minutes=7)]
    assert times(phases).rows.filter(milestone="recovered")["end"].to_list() == [at(12), at(120)]
    assert "Impact 2. Time to detect: 7 min" in str(times(phases))


def test_another_day_is_said() -> None:
    (_, _, recovered) = times([Phase("impact", at(0), at(60 * 30))])
    assert "6 October 2026" in recovered.said()


def test_no_impact() -> None:
    assert len(times([Phase("detected", at(1))])) == 0
    assert "no impact" in str(Incident.create().times)


def test_an_incident_has_them(sample: Incident) -> None:
    begin, _ = sample.span("impact")
    assert {m.start for m in sample.times} == {begin}
    assert sample.times.rows.height == len(WORDS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 500), st.integers(0, 50)), max_size=10))
def test_every_impact_has_three_and_none_is_anothers(parts: list[tuple[str, int, int]]) -> None:
    phases = [Phase(kind, at(begin), at(begin + length) if length else None) for kind, begin, length in parts]
    found = times(phases)
    impacts = sorted(phase.at for phase in phases if phase.kind == "impact")
    assert [m.start for m in found] == [one for one in impacts for _ in WORDS]
    assert str(found)
    own = [m.end for m in found if m.kind != "recovered" and m.end]
    assert set(own) <= {phase.at for phase in phases}
