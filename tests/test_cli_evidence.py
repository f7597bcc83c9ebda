"""The evidence verbs on a simulated case: what they say, what they write, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from test_cli import Run, fails, run
from test_scenario_simulation import BLIND, script, tree

from incident_kit.cli_evidence import setting
from incident_kit.errors import InvalidPolicy
from incident_kit.policy import Policy
from incident_kit.simulation import simulate

__all__ = ["fails", "run"]  # fixtures
METRICS = ("-m", "p95_ms", "-m", "error_rate")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(script(), tmp_path_factory.mktemp("evidence") / "case", policy=Policy.parse(BLIND), truth=False)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("policies") / "guarded.yaml"
    file.write_text("routes: [{intent: refund, primary: big, fallback: small, max_p95_ms: 2500}]\n")
    return file


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("refund.max_p95_ms=1500:2500:500", [1500, 2000, 2500]),
        ("refund.max_p95_ms = 1500:2400:500", [1500, 2000]),
        ("refund.breaker.half_open.share=0.1:0.3:0.1", [0.1, 0.2, 0.3]),
        ("refund.breaker.cooldown=30s:90s:30s", ["30s", "60s", "90s"]),
        ("refund.breaker.window=5m,100 requests", ["5m", "100 requests"]),
        ("refund.on_fallback.tools=disabled", ["disabled"]),
        ("refund.max_p95_ms=1500", [1500]),
    ],
)
def test_what_a_sweep_varies(text: str, values: list[object]) -> None:
    path, found = setting(text)
    assert path == text.partition("=")[0].strip()
    assert found == values


@pytest.mark.parametrize("text", ["refund", "=1", "x=", "x=5:1:1", "x=1:5:0", "x=1:1e9:1", "x=1:nan:1", "x=a:b:c"])
def test_what_varies_nothing(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        setting(text)


def test_compatibility(run: Run, case: Path, tmp_path: Path) -> None:
    code, said, _ = run("compatibility", case, "--table", tmp_path / "t.csv", "--chart", tmp_path / "c.svg")
    assert code == 0
    assert "refund: small in place of big: " in said
    assert "Not in these logs:" in said
    table = pl.read_csv(tmp_path / "t.csv")
    assert {"intent", "metric", "difference", "verdict"} <= set(table.columns)
    assert (tmp_path / "c.svg").read_text().startswith("<svg")


def test_sweep_and_frontier(run: Run, case: Path, policy: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.csv"
    words = ("sweep", case, policy, "refund.max_p95_ms=1500:3500:1000", *METRICS, "--draws", "4", "--during", "impact")
    code, said, _ = run(*words, "--table", grid, "--chart", tmp_path / "f.svg")
    assert code == 0
    assert "you are here" in said
    assert "of 3 settings are beaten by another" in said  # 2,500 is the policy as it stands
    written = pl.read_csv(grid)
    assert written["refund.max_p95_ms"].unique().sort().to_list() == [1500, 2500, 3500]
    assert written["flags"].dtype == pl.String
    code, again, _ = run("frontier", grid, *METRICS, "--table", tmp_path / "f.json")
    assert code == 0
    assert again.splitlines()[0] in said
    rows = json.loads((tmp_path / "f.json").read_text())
    assert [row["setting"] for row in rows] == [0, 1, 2]
    assert any(row["on_frontier"] for row in rows)


def test_a_sweep_of_one_metric_or_by_intent_names_no_frontier(
    run: Run, case: Path, policy: Path, tmp_path: Path
) -> None:
    words = ("sweep", case, policy, "refund.max_p95_ms=1500", "--draws", "0")
    code, said, _ = run(*words, "-m", "p95_ms")
    assert (code, "takes two metrics" in said) == (0, True)
    code, said, _ = run(*words, "--by", "intent", "--table", tmp_path / "g.parquet")
    assert (code, "frontier FILE --intent" in said) == (0, True)
    code, said, _ = run("frontier", tmp_path / "g.parquet", "--intent", "refund")
    assert (code, "you are here" in said) == (0, True)


def test_sensitivity(run: Run, case: Path, tmp_path: Path) -> None:
    file = tmp_path / "short.yaml"
    file.write_text(
        "routes: [{intent: refund, primary: big, fallback: small, breaker: {when: p95_ms > 2500, window: 2m, min_requests: 9,\n"
        "  cooldown: 30s, half_open: {requests: 3, share: 1, max_wait: 30s}}}]\n"
    )
    code, said, _ = run(
        "sensitivity", case, file, "-m", "p95_ms", "--draws", "2", "--table", tmp_path / "s.json", "--chart", tmp_path / "s.svg"
    )  # fmt: skip
    assert code == 0
    assert said.startswith(("The verdict stands", "The verdict rests on"))
    assert {row["metric"] for row in json.loads((tmp_path / "s.json").read_text()) if row["metric"]} == {"p95_ms"}
    assert (tmp_path / "s.svg").stat().st_size


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
        (("sweep", "{case}", "{policy}", "refund.max_p95_ms"), "varies nothing"),
        (("sweep", "{case}", "{policy}", "refund.max_p59_ms=1,2"), "max_p59_ms"),
        (
            ("sweep", "{case}", "{policy}", "refund.max_p95_ms=1500", "--table", "x.xlsx"),
            "ends in .csv or .json or .parquet",
        ),
        (("sweep", "{case}", "{policy}", "refund.max_p95_ms=1500", "-m", "p95"), "there is no metric 'p95'"),
        (("sensitivity", "{case}", "{case}/none.yaml"), "none.yaml"),
        (("frontier", "{case}/none.csv"), "cannot be read"),
        (("frontier", "{policy}"), "is no table"),
        (("evaluate", "{policy}/.."), "holds no scenario"),
        (("compatibility", "{case}", "--during", "mitigated"), "no phase 'mitigated'"),
    ],
)
def test_what_cannot_be_done_is_said(
    fails: Callable[..., str], case: Path, policy: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in fails(*(word.format(case=case, policy=policy) for word in words))


def test_a_file_that_is_no_sweep(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.json").write_text("{")
    assert "has no column" in fails("frontier", tmp_path / "a.csv")
    assert "cannot be read" in fails("frontier", tmp_path / "b.json")


@pytest.mark.parametrize(("unsure", "code"), [(None, 2), ("pass", 0), ("fail", 1)])
def test_what_cannot_be_told_counts_as_one_says(
    run: Run, case: Path, tmp_path: Path, unsure: str | None, code: int
) -> None:
    away, limits = tmp_path / "away.yaml", tmp_path / "limits.yaml"
    away.write_text("routes: [{intent: refund, primary: never_seen}]\n")
    limits.write_text("limits: [{metric: error_rate, max: 0.5}]\n")
    words = ("check", away, "--against", case, "--limits", limits)
    assert run(*words, *(("--unsure", unsure) if unsure else ()))[0] == code
