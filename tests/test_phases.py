"""Phases: what a person may declare, and what the data show by themselves."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import made_up
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_kit.errors import InvalidCase
from incident_kit.incident import Incident
from incident_kit.phases import KINDS, Phase, detect

AT = datetime(2026, 11, 22, 12, 25, tzinfo=UTC)


def changed(frame: pl.DataFrame, bad: set[int], **values: float | None) -> pl.DataFrame:
    """Return a series with other values in some of its intervals."""
    inside = pl.int_range(pl.len()).is_in(list(bad))
    return frame.with_columns(pl.when(inside).then(pl.lit(v)).otherwise(name).alias(name) for name, v in values.items())


def calm(bins: int = 60) -> pl.DataFrame:
    healthy = {"p50_wait_ms": 300.0, "p95_wait_ms": 640.0, "error_rate": 0.004, "fallback_share": 0.0}
    return changed(made_up.series(bins), set(range(bins)), **healthy)


def test_the_made_up_incident() -> None:
    (phase,) = detect(made_up.series())
    assert (phase.kind, phase.at, phase.until, phase.detected) == ("impact", made_up.at(20), made_up.at(40), True)


@pytest.mark.parametrize(
    "sign",
    [{"p95_wait_ms": 1100.0}, {"error_rate": 0.2}, {"fallback_share": 0.5}, {"error_rate": 0.2, "p95_wait_ms": None}],
)
def test_each_sign_alone_is_enough(sign: dict[str, Any]) -> None:
    (phase,) = detect(changed(calm(), {30, 31, 32}, **sign))
    assert (phase.at, phase.until) == (made_up.at(30), made_up.at(33))


def test_little_is_nothing() -> None:
    assert detect(calm()) == ()
    assert detect(changed(calm(), {30, 31, 32}, p95_wait_ms=1000.0, error_rate=0.1, fallback_share=0.09)) == ()
    assert detect(changed(calm(), {30, 31}, p95_wait_ms=9000.0)) == ()


def test_a_short_calm_does_not_end_it_and_a_long_one_does() -> None:
    (phase,) = detect(changed(calm(), {20, 21, 24, 25, 30, 31}, error_rate=0.5))
    assert (phase.at, phase.until) == (made_up.at(20), made_up.at(26))


def test_intervals_with_too_few_requests_do_not_count() -> None:
    frame = changed(calm(), {10, 11, 12, 13}, error_rate=1.0)
    sparse = frame.with_columns(pl.when(pl.int_range(pl.len()).is_between(10, 13)).then(2).otherwise("n").alias("n"))
    assert detect(sparse) == ()


@pytest.mark.parametrize("bins", [0, 1, 5])
def test_of_too_little_nothing_is_said(bins: int) -> None:
    assert detect(made_up.series(bins)) == ()


numbers = st.none() | st.floats(0, 5000)
shares = st.none() | st.floats(0, 1)
rows = st.lists(st.tuples(st.integers(0, 50), numbers, shares, shares), max_size=40)


@settings(max_examples=100, deadline=None)
@given(rows)
def test_whatever_the_series_a_phase_lies_within_it(drawn: list[tuple[Any, ...]]) -> None:
    n, p95, errors, fallback = zip(*drawn, strict=True) if drawn else ((), (), (), ())
    frame = made_up.series(len(drawn)).with_columns(
        n=pl.Series(n, dtype=pl.Int64),
        p95_wait_ms=pl.Series(p95, dtype=pl.Float64),
        error_rate=pl.Series(errors, dtype=pl.Float64),
        fallback_share=pl.Series(fallback, dtype=pl.Float64),
    )
    for phase in detect(frame):
        assert phase.until is not None
        assert frame["at"].min() <= phase.at < phase.until <= frame["until"].max()  # type: ignore[operator]


def test_on_the_capture_without_its_phases(sample: Incident) -> None:
    """It began at 12:25:00 and ended at 12:29:10. The half-recovered last minute looks like any other: 70 s short."""
    (phase,) = detect(sample.series())
    assert phase.until is not None
    assert abs(phase.at - sample.phases[0].at) <= timedelta(seconds=10)
    assert timedelta(0) <= sample.span("impact")[1] - phase.until <= timedelta(seconds=70)


def test_in_any_resolution_it_begins_when_it_began(sample: Incident) -> None:
    for seconds in (5, 10, 15, 30):
        (phase,) = detect(sample.series(every=timedelta(seconds=seconds)))
        assert abs((phase.at - AT).total_seconds()) <= seconds
        assert not math.isnan(phase.at.timestamp())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (("imapct", AT), r"no phase 'imapct' \(did you mean 'impact'\?\); there are impact, detected"),
        (("impact", AT.replace(tzinfo=None)), "at 2026-11-22 12:25:00 has no zone"),
        (("impact", AT, AT.replace(tzinfo=None)), "until 2026-11-22 12:25:00 has no zone"),
        (("impact", AT, AT - timedelta(1)), "before it begins"),
    ],
)
def test_what_is_no_phase(fields: tuple[Any, ...], says: str) -> None:
    with pytest.raises(InvalidCase, match=says):
        Phase(*fields)


def test_a_phase_may_be_an_instant() -> None:
    assert Phase("note", AT, AT).until == AT
    assert all(Phase(kind, AT).until is None for kind in KINDS)
