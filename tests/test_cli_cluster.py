"""The verbs on a cluster, without one: what they pass on, what they print, and how they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from incident_kit.clusters import cluster, fleet
from incident_kit.clusters.clusterreport import ClusterReplay, added, loads_of
from incident_kit.commandline.cli import app
from incident_kit.errors import UnavailableCluster
from incident_kit.policies.policy import Policy
from incident_kit.samples import sample

POLICY = sample("outage") / "policies" / "founding.yaml"
TOTAL = {
    "route": "refund", "intent": "refund", "requests": 10, "on_backup": 4, "as_logged": 7, "answered_in_log": 8,
    "answered_alike": 6, "observed": 7, "untold": 0, "failed": 1, "wait_ms": 9000, "waits": 9, "p95_ms": 2000,
    "logged_p95_ms": 4000,
}  # fmt: skip


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["cluster", *arguments])


def test_a_replay_says_what_came_home(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def replay(lake: str, policy: Policy, **options: Any) -> ClusterReplay:
        asked.update(options, lake=lake)
        totals = added(
            pl.DataFrame([TOTAL, TOTAL | {"route": None, "intent": "x"}, TOTAL | {"route": None, "intent": "x"}])
        )
        loads = loads_of([
            {"source": "canonical", "read": 33, "duplicate": 2, "rejected": 0, "reasons": {"the same row again": 2}},
            {"source": "", "read": 0, "duplicate": 0, "rejected": 1, "reasons": {"another row": 1}},
        ])  # fmt: skip
        return ClusterReplay(policy, options["out"], pl.DataFrame({"at": [1, 2]}), totals, loads, {}, 2, 10, "", 61.4)

    monkeypatch.setattr(cluster, "replay", replay)
    done = invoke("replay", "s3a://lake/x", "-p", str(POLICY), "--out", "s3a://lake/out", "--master", "spark://m:7077")
    assert done.exit_code == 0, done.output
    assert asked["lake"] == "s3a://lake/x"
    assert asked["master"] == "spark://m:7077"
    said = " ".join(done.output.split())
    assert "founding: 30 requests decided in 61 s (2 groups of routes, the largest of 10 requests)" in said
    assert "2 switches; 70.0% of decisions as logged; fidelity 75.0%" in said
    assert "canonical: 33 rows read = 30 loaded + 2 duplicate + 1 rejected" in said
    assert "refund, refund: 10 requests, 40.0% on backup, p95 4,000 ms as logged, 2,000 ms replayed" in said
    assert "no route, x: 20 requests, 40.0% on backup" in said
    assert "no route, x: 20 requests, 40.0% on backup, p95" not in said, "quantiles of two tasks do not add up"


def test_a_shared_verb_is_the_verb_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def enlisted(master: str, *, ship: bool) -> Iterator[int]:
        assert (master, ship) == ("spark://m:7077", True)
        yield 3

    monkeypatch.setattr(fleet, "enlisted", enlisted)
    done = invoke("check", "--master", "spark://m:7077", "--ship", "--help")
    assert done.exit_code == 0
    done = invoke("check", str(POLICY), "--against", "nowhere", "--master", "spark://m:7077", "--ship")
    assert done.exit_code != 0
    assert "nowhere" in f"{done.output}{done.exception}"


@pytest.mark.parametrize(
    "verb", [("replay", "lake", "-p", str(POLICY), "--out", "out"), ("check", str(POLICY)), ("tune", "x")]
)
def test_no_cluster_is_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: tuple[str, ...]) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    done = invoke(*verb, "--master", "spark://127.0.0.1:1")
    assert isinstance(done.exception, UnavailableCluster)
    assert "\n" not in str(done.exception)
