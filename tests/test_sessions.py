"""Why a cluster cannot be had is said in one sentence, before anything long begins."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from incident_kit.clusters import sessions
from incident_kit.errors import UnavailableCluster


def refused(master: str = "local[1]") -> str:
    with pytest.raises(UnavailableCluster) as told, sessions.session(master, name="none", wait_s=1):
        pytest.fail("there is no such cluster")
    assert "\n" not in str(told.value)
    return str(told.value)


def java(folder: Path, version: str) -> Path:
    file = folder / "bin" / "java"
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-01' >&2\n", encoding="utf-8")
    file.chmod(0o755)
    return folder


@pytest.fixture
def with_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_refuse_without_pyspark", lambda: None)


def test_without_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    assert "not installed" in refused()
    assert "--extra spark" in refused()


@pytest.mark.usefixtures("with_pyspark")
def test_without_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused().startswith("no Java: there is none on the PATH; Spark needs Java 17")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    assert "JAVA_HOME is" in refused()


@pytest.mark.usefixtures("with_pyspark")
@pytest.mark.skipif(sys.platform == "win32", reason="the pretended Java is a shell script")
@pytest.mark.parametrize(
    ("version", "major"), [("11.0.2", "Java 11"), ("1.8.0_392", "Java 8"), ("odd", "does not say")]
)
def test_with_an_old_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, major: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path, version)))
    assert major in refused()


@pytest.mark.usefixtures("with_pyspark")
@pytest.mark.skipif(sys.platform == "win32", reason="the pretended Java is a shell script")
@pytest.mark.parametrize("form", ["spark://127.0.0.1:{}", "spark://127.0.0.1:{},127.0.0.1:{}", "spark://[::1]:{}"])
def test_a_master_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path, "17.0.9")))
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert "nobody answers at spark://" in refused(form.format(port, port))


def test_what_is_shipped_is_the_kit_and_no_data(tmp_path: Path) -> None:
    import zipfile

    settings = sessions._shipped(tmp_path)
    assert settings["spark.archives"].endswith("kit.zip#kit")
    names = zipfile.ZipFile(tmp_path / "kit.zip").namelist()
    assert {"incident_kit/engine/kernel.py", "incident_kit/schema.sql", "incident_kit/sql/about.sql"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or "samples" in name.split("/")]
    assert all(name.startswith("incident_kit/") for name in names)
