"""The tuning verbs on simulated cases: what they say, what they write, what they keep when stopped, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from test_cli import Run, fails, run
from test_scenario_simulation import BLIND, script

from incident_kit.commandline.cli_tuning import setting
from incident_kit.errors import InvalidPolicy
from incident_kit.policies.policy import Policy
from incident_kit.simulation import simulate

__all__ = ["fails", "run"]  # fixtures
METRICS = ("-m", "p95_ms", "-m", "error_rate")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    for seed in (1, 2, 3):
        simulate(script(seed=seed), folder / f"case-{seed}", policy=Policy.parse(BLIND), truth=False)
    return folder


@pytest.fixture(scope="module")
def case(library: Path) -> Path:
    return library / "case-1"


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
        ("refund.max_p95_ms=1500:1503", [1500, 1501, 1502, 1503]),
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


def test_a_sweep_that_is_stopped_goes_on(
    run: Run, case: Path, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from incident_kit.optimization import tuning

    words = ("sweep", case, policy, "refund.max_p95_ms=1500:2400:100", *METRICS, "--draws", "0")
    assert run(*words, "--table", tmp_path / "whole.parquet")[0] == 0
    scored, lots = tuning._scored, []

    def interrupted(*args: object, **options: object) -> pl.DataFrame:
        lots.append(args)
        if len(lots) > 1:
            raise KeyboardInterrupt
        return scored(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tuning, "_scored", interrupted)
    file = tmp_path / "grid.parquet"
    code, _, said = run(*words, "--resume", file)
    assert code == 130
    assert f"interrupted after 4 of 11 settings; the same command goes on from {file}" in " ".join(said.split())
    monkeypatch.setattr(tuning, "_scored", scored)
    code, said, _ = run(*words, "--resume", file)
    assert (code, f"{file} holds 11 settings" in said) == (0, True)
    whole = pl.read_parquet(tmp_path / "whole.parquet").drop("flags")
    assert pl.read_parquet(file).drop("flags").equals(whole)


@pytest.mark.slow
def test_tune(run: Run, library: Path, policy: Path, tmp_path: Path) -> None:
    words = (
        "tune",
        library,
        policy,
        "refund.max_p95_ms=1500:3500:1000",
        "--draws",
        "2",
        "--hold-out",
        "0.3",
        "-w",
        "overrides=3",
    )
    tables = ("--table", tmp_path / "t.csv", "--incidents", tmp_path / "i.json", "--save", tmp_path / "tuned.yaml")
    code, said, _ = run(*words, *tables, "--anyway", "--resume", tmp_path / "r.parquet")
    assert code == 0
    assert said.startswith("Nothing that was tried is worth it: no setting costs less than never switching")
    assert "Over 2 incidents it costs" in said
    assert "On the one incident it was not chosen on it costs" in said
    assert "a suggestion edited or rejected 3;" in said
    assert "It rests on 2 incidents: a threshold tuned on so few is an anecdote." in said
    table = pl.read_csv(tmp_path / "t.csv")
    assert table["refund.max_p95_ms"].to_list() == [2500, 1500, 3500]
    chosen = table.filter("is_chosen")["refund.max_p95_ms"].item()
    assert Policy.load(tmp_path / "tuned.yaml").routes[0].breaker.when.of[0].text == f"p95_ms > {chosen}"  # type: ignore[union-attr]
    rows = json.loads((tmp_path / "i.json").read_text())
    assert [row["incident"] for row in rows] == ["case-1", "case-2", "case-3"]
    assert sum(row["tuned_on"] for row in rows) == 2
    again = run(*words, "--resume", tmp_path / "r.parquet")[1]
    assert again == said.partition("wrote")[0]
    unworthy = tmp_path / "unworthy.yaml"
    code, said, _ = run(*words, "--save", unworthy, "--table", tmp_path / "u.csv", "--resume", tmp_path / "r.parquet")
    assert (code, unworthy.exists(), (tmp_path / "u.csv").is_file()) == (1, False, True)
    assert said.endswith(
        f"{unworthy} is not written: nothing that was tried is worth it. --anyway writes the cheapest\n"
    )


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
        (("tune", "{case}/logs", "{policy}", "refund.max_p95_ms=1500"), "holds no incident"),
        (("tune", "{case}", "{policy}", "refund.max_p95_ms=1500", "-w", "overides=2"), "did you mean 'overrides'"),
        (("tune", "{case}", "{policy}", "refund.max_p95_ms=1500", "-w", "overrides"), "weighs nothing"),
        (("tune", "{case}", "{policy}", "refund.max_p95_ms=1500", "--hold-out", "0.5"), "leaves one side without any"),
        (("sweep", "{case}", "{policy}", "refund.max_p95_ms=1:9000"), "too many to replay"),
        (("sweep", "{case}", "{policy}", "refund.max_p95_ms=1500", "--resume", "x.csv"), "ends in .parquet"),
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
