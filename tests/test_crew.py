"""A crew: work shared out to processes of one thread each, which leaves this process as it was."""

from __future__ import annotations

import os
from typing import Any

import polars as pl
import pytest

from incident_kit.crew import shared_out
from incident_kit.incident import Incident


class Empty:
    def incident(self) -> Incident:
        return Incident.create()


def told(incident: Incident, work: Any) -> tuple[int, Any, int]:
    return os.getpid(), (work, incident.about()["requests"]), pl.thread_pool_size()


def test_processes_that_share_the_cores_work_on_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLARS_MAX_THREADS", raising=False)
    done = [result for _, result in shared_out((Empty(),), [(0, "a"), (0, "b"), (0, "c")], told, jobs=2)]
    assert sorted(work for _, work, _ in done) == [("a", 0), ("b", 0), ("c", 0)]
    assert os.getpid() not in {process for process, _, _ in done}
    assert {threads for _, _, threads in done} == {1}
    assert "POLARS_MAX_THREADS" not in os.environ


def test_what_the_user_asked_for_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", "3")
    ((_, (_, _, threads)),) = shared_out((Empty(),), [(0, "a")], told, jobs=2)
    assert threads == 3
    assert os.environ["POLARS_MAX_THREADS"] == "3"


def test_one_job_is_done_here() -> None:
    ((_, (process, work, _)),) = shared_out((Empty(),), [(0, "a")], told)
    assert (process, work) == (os.getpid(), ("a", 0))
