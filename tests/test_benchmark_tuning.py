"""The benchmark of tuning: its incidents, and that what was logged costs the same as what is known to have happened."""

from __future__ import annotations

import pytest

from benchmarks.tuning import KINDS, OBJECTIVE, _Made, _true, main, script
from incident_kit.optimization.bills import LOGGED, ROWS, Bill, billed
from incident_kit.optimization.objective import PARTS
from incident_kit.scenarios.truth import draw_truth


def test_forty_incidents_of_every_kind() -> None:
    titles = [script(number)[0].title for number in range(1, 41)]
    assert {title.rpartition(" ")[2] for title in titles} == set(KINDS)
    assert script(7) == script(7)


def test_the_log_costs_what_happened() -> None:
    """The policy in force made the log: its bill as logged, and the bill of that policy in truth, are one."""
    import polars as pl

    incident, (scenario, in_force) = _Made(2).incident(), script(2)
    said = Bill.read("log", billed(incident, {}, ends=in_force, draws=0, seed=0))
    rows = _true(draw_truth(scenario), LOGGED, in_force, incident)
    true = Bill.read("truth", pl.DataFrame(rows, schema=ROWS, orient="row"))
    mine = dict(zip(PARTS, said.values[said.of(LOGGED)].sum(axis=0)[:, 0].tolist(), strict=True))
    known = dict(zip(PARTS, true.values[true.of(LOGGED)].sum(axis=0)[:, 0].tolist(), strict=True))
    assert mine["false_trips"] == 0  # of a log it is not known why it switched
    for part in set(PARTS) - {"false_trips", "breaches"}:
        assert mine[part] == pytest.approx(known[part], rel=1e-6), part
    assert known["slow_s"] > 0
    assert OBJECTIVE.weights["breaches"] == 0


@pytest.mark.slow
def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    main(incidents=2, splits=2, jobs=1, limits=(1500, 8000))
    said = capsys.readouterr().out
    assert "recommended within 5 % in" in said
    assert "recommended worse than blind in" in said
