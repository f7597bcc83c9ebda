"""How right an estimator is, where the truth is known."""

from __future__ import annotations

import polars as pl
import pytest
from test_scenario_simulation import BLIND, script

from incident_kit.evaluations import ROWS, Evaluation, backoff, closest, evaluate
from incident_kit.policies.policy import Policy


def test_bars_by_hand() -> None:
    rows = [
        (1, "p", "chat", "mean_ms", 10.0, 20.0, 11.0, 9.0, 13.0, 40.0, 0.5),
        (1, "q", "chat", "mean_ms", 10.0, 20.0, 7.0, 6.0, 8.0, 40.0, 0.5),
    ]
    found = Evaluation(pl.DataFrame(rows, schema=ROWS, orient="row"))
    one = found.bars.row(0, named=True)
    assert (one["n"], one["coverage"], one["rmse"], one["rmse_as_logged"]) == (2, 0.5, 5**0.5, 10)
    assert (one["width_by_bounds"], one["sign_right"]) == (pytest.approx(0.075), 1)
    assert "mean_ms" in str(found)


@pytest.mark.slow
def test_any_estimator_can_be_judged() -> None:
    found = evaluate(closest, scenario=script(), policy=Policy.parse(BLIND), seeds=(1,), draws=0, metrics=["mean_ms"])
    assert found.rows.schema == pl.Schema(ROWS)
    assert found.rows.height
    assert found.rows["low"].null_count() == found.rows.height
    drawn = evaluate(backoff, scenario=script(), policy=Policy.parse(BLIND), seeds=(1,), draws=10, metrics=["mean_ms"])
    assert (drawn.rows["low"] <= drawn.rows["high"]).all()
