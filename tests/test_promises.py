"""Promised times: how many were missed beside a normal time, and between what other rules would have changed that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from incident_kit.helpdesk.consequences import Consequences
from incident_kit.helpdesk.promises import kept, missed, moved
from incident_kit.incident import Incident
from incident_kit.phases import Phase
from incident_kit.scoring.scorecard import compare

import made_up  # isort: skip


def found(**row: Any) -> Consequences:
    given = {
        "policy": "p", "assuming": "waits and redone work", "clocks": 90, "avoided": 6.0, "avoided_low": 2.0, "avoided_high": 9.0,
        "caused": 1.0, "caused_low": 0.0, "caused_high": 1.5, "undetermined": 0.0,
    } | row  # fmt: skip
    return cast("Consequences", SimpleNamespace(table=pl.DataFrame([given])))


@pytest.mark.parametrize(
    ("row", "between"),
    [
        ({}, (-9.0, -0.5, 90)),
        ({"caused_low": 1.0}, (-8.0, -0.5, 90)),
        ({"undetermined": 3.0}, (-12.0, 2.5, 90)),
        ({"clocks": 0}, None),
        ({"policy": "other"}, None),
        ({"assuming": "waits"}, (-9.0, -0.5, 90)),
    ],
)
def test_all_that_may_be_gained_stands_against_what_is_surely_lost(row: dict[str, Any], between: Any) -> None:
    assert moved(found(**row), "p") == between
    assert moved(None, "p") is None


def clocks(late: list[int], due: range) -> pl.DataFrame:
    """Return a clock due each minute, of which some were missed."""
    return pl.DataFrame(
        {
            "ticket_id": [str(minute) for minute in due], "metric": "first_reply", "target_s": 3600,
            "due_at": [made_up.at(minute) for minute in due],
            "breached_at": [made_up.at(minute) if minute in late else None for minute in due],
            "recorded_breached": None, "recorded_due_at": None, "verdict": "as recorded",
        },
        schema_overrides={
            "breached_at": pl.Datetime("us", "UTC"), "recorded_breached": pl.Boolean, "recorded_due_at": pl.Datetime("us", "UTC"),
        },
    )  # fmt: skip


def incident(instances: pl.DataFrame, *phases: Phase) -> Incident:
    impact = next((one for one in phases if one.kind == "impact"), None)
    span = (impact.at, impact.until) if impact else None
    arrivals = SimpleNamespace(arrived_us=np.array([int(made_up.at(minute).timestamp() * 1e6) for minute in range(60)]))
    about = {"first": made_up.at(0), "last": made_up.at(59)}
    return cast(
        "Incident",
        SimpleNamespace(
            clock=SimpleNamespace(instances=instances),
            phases=phases,
            log=arrivals,
            span=lambda _kind: span,
            about=lambda: about,
        ),
    )


def test_missed_targets_stand_beside_a_normal_time_of_as_many() -> None:
    impact = Phase("impact", made_up.at(20), made_up.at(40))
    late = [3, 21, 22, 23, 39, 40]
    assert missed(incident(clocks(late, range(60)), impact)) == (
        "Promised times missed",
        4,
        20,
        pytest.approx(1.0),
        False,
    )
    other = Phase("impact", made_up.at(0), made_up.at(10))
    assert missed(incident(clocks(late, range(60)), impact, other))[3] == pytest.approx(20 / 30)  # type: ignore[index]
    assert missed(incident(clocks(late, range(20, 40)), impact))[3] is None  # type: ignore[index]


def test_usual_are_as_many_of_the_same_length() -> None:
    """Short targets are missed more often, and the impact has more of them: nothing is worse."""
    impact = Phase("impact", made_up.at(20), made_up.at(40))
    late = [20, 22, 24, 26, 28]
    outside = [*range(20), *range(40, 60)]
    short = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]  # of which half are missed, as in the impact
    made = clocks([*late, *short[::2]], range(60))
    due = pl.concat([made, *(made.filter(pl.col("due_at").is_in([made_up.at(m) for m in outside])) for _ in range(5))])
    shorter = pl.col("due_at").is_in([made_up.at(m) for m in (*short, *range(20, 30))])
    due = due.with_columns(target_s=pl.when(shorter).then(900).otherwise(3600))
    _, count, of, usual, is_worse = missed(incident(due, impact))  # type: ignore[misc]
    assert (count, of, is_worse) == (5, 20, False)
    assert usual == pytest.approx(5, rel=0.05), "without lengths it were 2.5"


def test_nothing_is_said_where_nothing_is_known() -> None:
    impact = Phase("impact", made_up.at(20), made_up.at(40))
    assert missed(incident(clocks([], range(60)))) is None
    assert missed(incident(clocks([], range(0)), impact)) is None
    assert missed(incident(clocks([], range(5)), impact)) is None


def test_without_clocks_no_policy_is_judged(tiny: Incident) -> None:
    assert kept(compare(tiny, {}, draws=0), []) is None
