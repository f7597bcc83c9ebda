"""The evidence verbs on a simulated case: what they say, what they write, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from test_cli import Run, fails, run
from test_scenario_simulation import BLIND, script, tree

from incident_kit.policies.policy import Policy
from incident_kit.simulation import simulate

__all__ = ["fails", "run"]  # fixtures


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(script(), tmp_path_factory.mktemp("evidence") / "case", policy=Policy.parse(BLIND), truth=False)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("policies") / "guarded.yaml"
    file.write_text("routes: [{intent: refund, primary: big, fallback: small, max_p95_ms: 2500}]\n")
    return file


def test_compatibility(run: Run, case: Path, tmp_path: Path) -> None:
    code, said, _ = run("compatibility", case, "--table", tmp_path / "t.csv", "--chart", tmp_path / "c.svg")
    assert code == 0
    assert "refund: small in place of big: " in said
    assert "Not in these logs:" in said
    table = pl.read_csv(tmp_path / "t.csv")
    assert {"intent", "metric", "difference", "verdict"} <= set(table.columns)
    assert (tmp_path / "c.svg").read_text().startswith("<svg")


def test_evaluate(run: Run, tmp_path: Path) -> None:
    """Of a script by itself, and of a case that was made of one."""
    (tmp_path / "scenario.yaml").write_text(json.dumps(tree(duration="10m")))
    (tmp_path / "blind.yaml").write_text(BLIND)
    options = ("-p", tmp_path / "blind.yaml", "--estimator", "closest", "--draws", "0", "-m", "mean_ms", "--seed", "1")
    code, said, _ = run("evaluate", tmp_path / "scenario.yaml", *options, "--table", tmp_path / "e.csv")
    assert code == 0
    assert said.splitlines()[1].startswith("mean_ms")
    assert pl.read_csv(tmp_path / "e.csv")["seed"].unique().to_list() == [1]
    assert run("evaluate", tmp_path, *options)[1] == said.rpartition("wrote")[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evaluate", "{policy}/.."), "holds no scenario"),
        (("compatibility", "{case}", "--during", "mitigated"), "no phase 'mitigated'"),
    ],
)
def test_what_cannot_be_done_is_said(
    fails: Callable[..., str], case: Path, policy: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in fails(*(word.format(case=case, policy=policy) for word in words))


@pytest.mark.parametrize(("unsure", "code"), [(None, 2), ("pass", 0), ("fail", 1)])
def test_what_cannot_be_told_counts_as_one_says(
    run: Run, case: Path, tmp_path: Path, unsure: str | None, code: int
) -> None:
    away, limits = tmp_path / "away.yaml", tmp_path / "limits.yaml"
    away.write_text("routes: [{intent: refund, primary: never_seen}]\n")
    limits.write_text("limits: [{metric: error_rate, max: 0.5}]\n")
    words = ("check", away, "--against", case, "--limits", limits)
    assert run(*words, *(("--unsure", unsure) if unsure else ()))[0] == code
