"""A real standalone Spark cluster on this machine: a master and two workers on loopback. ``pytest -m spark``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lakes
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import incident_kit as ik
from incident_kit.clusters import cluster
from incident_kit.clusters.fleet import enlisted
from incident_kit.clusters.sessions import session
from incident_kit.errors import (
    InvalidRows,
    UnansweredQuestion,
    UnknownFormat,
    UnreadableFile,
    UnwritableFile,
)
from incident_kit.estimation.evidence import nearest
from incident_kit.samples import sample

pytestmark = [pytest.mark.spark, pytest.mark.filterwarnings("default")]  # PySpark's own warnings are not ours
pytest.importorskip("pyspark", reason="needs the extra `spark`")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("Spark needs Java 17, and there is none", allow_module_level=True)

SMALL = {"spark.executor.memory": "1g", "spark.sql.shuffle.partitions": "4"}


@pytest.fixture(scope="module")
def master() -> Iterator[str]:
    from benchmarks.standalone import standalone

    with standalone(workers=2, memory="1g") as address:
        yield address


SHIPPED = """
import json, sys
from incident_kit import Policy
from incident_kit.clusters import cluster
from incident_kit.clusters.sessions import session

lake, policy, out, master, settings = sys.argv[1:]
with session(master, name="shipped", ship=True, settings=json.loads(settings), wait_s=300) as spark:
    found = spark.sparkContext.parallelize([0], 1).map(lambda _: __import__("incident_kit").__file__).collect()
    cluster.replay(lake, Policy.parse(policy), out=out, master=spark)
print("worker:", found[0])
"""


def test_the_kit_is_shipped_to_workers(master: str, tmp_path: Path) -> None:
    """A session of its own, before that of the other tests takes every core: workers run the files that came with the job."""
    incident = lakes.here(lakes.lake(tmp_path / "lake", lakes.made_up(200, seed=6)))
    words = (str(tmp_path / "lake"), lakes.KERNEL, str(tmp_path / "out"), master, json.dumps(SMALL))
    done = subprocess.run(
        [sys.executable, "-c", SHIPPED, *words], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    worker = Path(done.stdout.split("worker:")[1].strip())
    assert worker.parts[-3:] == ("kit", "incident_kit", "__init__.py")
    assert worker != Path(ik.__file__)
    assert same(tmp_path / "out", incident, ik.Policy.parse(lakes.KERNEL)) > 0


@pytest.fixture(scope="module")
def spark(master: str) -> Iterator[Any]:
    with session(master, name="tests", settings=SMALL | {"spark.cores.max": "2"}, wait_s=300) as found:
        assert found.sparkContext.defaultParallelism == 2
        yield found


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ik.Incident]:
    folder = tmp_path_factory.mktemp("lake")
    files = lakes.lake(folder, lakes.made_up(500, seed=7), files=2)
    (folder / "attempts" / "part-9.ndjson").touch()  # an empty file is no trouble
    return folder, lakes.here(files)


def same(out: Path, incident: ik.Incident, policy: ik.Policy) -> int:
    decisions, transitions = lakes.told(ik.replay(incident, policy, estimator=nearest))
    assert_frame_equal(pl.read_parquet(out / "decisions" / "*.parquet").sort("at", "request_id"), decisions)
    found = pl.read_parquet(out / "transitions" / "*.parquet").sort("at", "route", "breaker")
    assert_frame_equal(found, transitions)
    assert not list(out.parent.glob(".*partial*"))
    return transitions.height


@pytest.mark.parametrize("name", ["KERNEL", "MACHINE", "TARGET"])
def test_two_workers_decide_as_duckdb_does(
    spark: Any, made_up: tuple[Path, ik.Incident], tmp_path: Path, name: str
) -> None:
    policy = ik.Policy.parse(getattr(lakes, name))
    found = cluster.replay(str(made_up[0]), policy, out=str(tmp_path / "out"), master=spark)
    assert same(tmp_path / "out", made_up[1], policy) == found.transitions.height > 0
    assert found.requests == 500
    alone = ik.replay(made_up[1], policy, estimator=nearest)
    assert (found.overlap, found.fidelity) == pytest.approx((alone.overlap, alone.fidelity))
    assert "rows read" in str(found)
    said = json.loads((tmp_path / "out" / "replay.json").read_text(encoding="utf-8"))
    assert said["requests"] == 500
    assert str(Path.home()) not in said["policy"]


@pytest.mark.parametrize(("case", "name"), [("outage", "extended"), ("litellm_capture", "per-intent")])
def test_samples_of_litellm_are_decided_as_duckdb_does(spark: Any, tmp_path: Path, case: str, name: str) -> None:
    """Tool results come in with later requests of a conversation, wherever in the lake those lie."""
    lake, folder = tmp_path / "lake", sample(case)
    lake.mkdir()
    for file in [*folder.glob("logs/*"), *folder.glob("helpdesk/overrides*")]:
        shutil.copy(file, lake)
    incident = ik.Incident.create()
    incident.load(sorted(lake.iterdir()))
    policy = ik.Policy.load(folder / "policies" / f"{name}.yaml")
    cluster.replay(str(lake), policy, out=str(tmp_path / "out"), master=spark)
    assert same(tmp_path / "out", incident, policy) > 0


def test_what_a_help_desk_says_decides_as_on_one_machine(spark: Any, tmp_path: Path) -> None:
    """Breakers on escalations, re-openings, SLA targets missed and a signal of the product's own, beside the calls."""
    lake = tmp_path / "lake"
    files = lakes.lake(lake, lakes.made_up(500, seed=7, has_tickets=True), files=2)
    incident = lakes.here([*files, *lakes.desk(lake / "desk", tickets=125, seed=3)])
    policy = ik.Policy.parse(lakes.DESK)
    cluster.replay(str(lake), policy, out=str(tmp_path / "out"), master=spark)
    assert same(tmp_path / "out", incident, policy) > 0
    moved = pl.read_parquet(tmp_path / "out" / "transitions" / "*.parquet")
    assert set(moved["route"]) == {"refund", "order", "*"}
    assert set(moved["metric"].drop_nulls()) == {"escalation_rate", "sla_breach_rate", "signal:churn"}


def test_parquet_in(spark: Any, tmp_path: Path) -> None:
    requests = lakes.made_up(300, seed=8)
    files = lakes.lake(tmp_path / "lines", requests)
    incident = lakes.here(files)
    (tmp_path / "lake").mkdir()
    for table in ("requests", "attempts", "feedback"):
        frame = incident.store.frame(f"select * exclude (load_id) from {table} order by hash(request_id)")  # noqa: S608
        if table != "requests":
            frame.write_parquet(tmp_path / "lake" / f"{table}.parquet")
        else:
            for number in range(2):
                frame[number::2].write_parquet(tmp_path / "lake" / f"{table}-{number}.parquet")
    policy = ik.Policy.parse(lakes.KERNEL)
    cluster.replay(str(tmp_path / "lake"), policy, out=str(tmp_path / "out"), master=spark)
    here = ik.Incident.create()
    here.load(str(tmp_path / "lake" / "*.parquet"))
    assert same(tmp_path / "out", here, policy) > 0


def test_incidents_of_a_folder_are_checked_by_the_workers(spark: Any, tmp_path: Path) -> None:
    policy = ik.Policy.parse(lakes.KERNEL)
    for number in range(3):
        (tmp_path / "files" / str(number)).mkdir(parents=True)
        (tmp_path / "incidents").mkdir(exist_ok=True)
        incident = ik.Incident.create(tmp_path / "incidents" / f"{number}.duckdb")
        incident.load(lakes.lake(tmp_path / "files" / str(number), lakes.made_up(150, seed=number)))
        incident.store.close()
    with enlisted(spark) as jobs:
        there = ik.gate(policy, tmp_path / "incidents", draws=2, jobs=jobs)
    assert there.rows.equals(ik.gate(policy, tmp_path / "incidents", draws=2, jobs=1).rows)
    assert len(there.held) == 3


def test_a_sweep_is_the_same_on_workers(spark: Any, made_up: tuple[Path, ik.Incident]) -> None:
    policy, grid = ik.Policy.parse(lakes.KERNEL), {"refund.max_p95_ms": range(300, 1200, 100)}
    with enlisted(spark) as jobs:
        there = ik.sweep(made_up[1], policy, grid, draws=2, jobs=jobs)
    assert_frame_equal(there, ik.sweep(made_up[1], policy, grid, draws=2))


def test_what_cannot_be_done_is_said_and_leaves_nothing(
    spark: Any, made_up: tuple[Path, ik.Incident], tmp_path: Path
) -> None:
    folder, policy = str(made_up[0]), ik.Policy.parse(lakes.KERNEL)
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(UnwritableFile, match="is there already"):
        cluster.replay(folder, policy, out=str(there), master=spark)
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableFile, match="cannot be made"):
        cluster.replay(folder, policy, out=str(tmp_path / "file" / "out"), master=spark)
    out = str(tmp_path / "out")
    with pytest.raises(UnreadableFile, match=r"cannot be read|no file"):
        cluster.replay(str(tmp_path / "nowhere"), policy, out=out, master=spark)
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "a.ndjson").write_text('{"what": 1}\n', encoding="utf-8")
    with pytest.raises(UnknownFormat):
        cluster.replay(str(odd), policy, out=out, master=spark)
    (odd / "a.ndjson").write_text('{"request_id": "", "arrived_at": "yesterday"}\n' * 3, encoding="utf-8")
    with pytest.raises(InvalidRows):
        cluster.replay(str(odd), policy, out=out, master=spark)
    costly = ik.Policy.parse(lakes.KERNEL.replace("error_rate > 0.2", "escalation_rate > 0.2"))
    with pytest.raises(UnansweredQuestion):
        cluster.replay(folder, costly, out=out, master=spark)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "odd", "there"]


def test_a_killed_job_leaves_no_half_result(spark: Any, made_up: tuple[Path, ik.Incident], tmp_path: Path) -> None:
    code = (
        "import sys, incident_kit as ik; from incident_kit import cluster; "
        "cluster.replay(sys.argv[1], ik.Policy.load(sys.argv[2]), out=sys.argv[3], master='local[1]', "
        "progress=lambda text: print(text, flush=True))"
    )
    (tmp_path / "policy.yaml").write_text(lakes.KERNEL, encoding="utf-8")
    out = tmp_path / "out"
    arguments = [str(made_up[0]), str(tmp_path / "policy.yaml"), str(out)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("replaying"):
                break
        time.sleep(0.5)
        os.killpg(running.pid, signal.SIGKILL)
    assert not out.exists()
    cluster.replay(
        str(made_up[0]), ik.Policy.parse(lakes.KERNEL), out=str(out), master=spark
    )  # what is left is in nobody's way
    decisions, _ = lakes.told(ik.replay(made_up[1], ik.Policy.parse(lakes.KERNEL), estimator=nearest))
    assert_frame_equal(pl.read_parquet(out / "decisions" / "*.parquet").sort("at", "request_id"), decisions)


@pytest.mark.usefixtures("spark")
def test_a_master_without_free_workers_is_not_waited_for_for_ever(master: str) -> None:
    """The session of these tests has both workers' cores."""
    code = (
        "import sys; from incident_kit.clusters.sessions import session\n"
        "try:\n    with session(sys.argv[1], name='late', wait_s=3): pass\n"
        "except ValueError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code, master], capture_output=True, text=True, check=True).stdout
    assert "gave no worker within 3 s" in said
