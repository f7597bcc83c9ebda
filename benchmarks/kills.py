"""Kills: ``kill -9`` at random moments of a load, a replay, a sweep, a brief and a pack; what is left, and does it go on."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl

from incident_kit import Incident, Policy, brief, compare, pack, replay, sweep
from incident_kit.errors import IncidentKitError
from incident_kit.incidents import open_any
from incident_kit.outfiles.framefiles import write_frame
from incident_kit.samples import sample

CAPTURE = sample("litellm_capture")
POLICY = CAPTURE / "policies" / "per-intent.yaml"
LIMITS = {"refund-policy.max_p95_ms": [1000, 2000, 3000, 4000, 5000, 6000]}
LATE_S = 120.0  # what has not ended by then hangs


@contextmanager
def _kept(incident: Incident) -> Iterator[Incident]:
    """Give an incident, and close its file."""
    with incident.store:
        yield incident


def load(folder: Path) -> None:
    file = folder / "incident.duckdb"
    with _kept(Incident.open(file) if file.exists() else Incident.create(file)) as incident:
        incident.load(str(CAPTURE / "logs" / "*.ndjson.gz"))


def _loaded(folder: Path) -> str:
    file = folder / "incident.duckdb"
    if not file.exists():
        return ""
    with _kept(Incident.open(file)) as incident:
        ((told,),) = incident.store.rows("select coalesce(sum(rows_loaded), 0)::bigint from loads")
        ((held,),) = incident.store.rows("select count(*) from attempts")
        ((requests,),) = incident.store.rows("select count(*) from requests")
    return f"{told} rows loaded: {held} attempts, {requests} requests" if told or held or requests else ""


def decide(folder: Path) -> None:
    with _kept(Incident.open(folder / "incident.duckdb")) as incident:
        write_frame(replay(incident, Policy.load(POLICY)).decisions, folder / "decisions.parquet")


def _decided(folder: Path) -> str:
    return _table(folder / "decisions.parquet")


def turn(folder: Path) -> None:
    with _kept(Incident.open(folder / "incident.duckdb")) as incident:
        sweep(incident, _swept(), LIMITS, draws=2, resume=folder / "grid.parquet")


def _swept() -> Policy:
    return Policy.parse(
        "routes:\n- {intent: refund-policy, primary: primary_chat_model, fallback: fast_backup_model, max_p95_ms: 2000}\n"
    )


def _turned(folder: Path) -> str:
    """Any number of whole settings may be there: which depends on the moment."""
    file = folder / "grid.parquet"
    return _table(file) if file.exists() and pl.read_parquet(file)["setting"].n_unique() == _SETTINGS else ""


_SETTINGS = len(LIMITS["refund-policy.max_p95_ms"])  # the policy as it stands is one of them


def page(folder: Path) -> None:
    with _kept(Incident.open(folder / "incident.duckdb")) as incident:
        brief(incident, compare(incident, [Policy.load(POLICY)], draws=2), folder / "brief.html")


def _paged(folder: Path) -> str:
    file = folder / "brief.html"
    if not file.exists():
        return ""
    return "a whole page" if file.read_text(encoding="utf-8").rstrip().endswith("</html>") else "half a page"


def wrap(folder: Path) -> None:
    with _kept(Incident.open(folder / "incident.duckdb")) as incident:
        pack(incident, folder / "pack")


def _wrapped(folder: Path) -> str:
    if not (folder / "pack").exists():
        return ""
    with _kept(open_any(folder / "pack")) as incident:
        return f"{len(incident.log)} requests"


def _table(file: Path) -> str:
    if not file.exists():
        return ""
    frame = pl.read_parquet(file)
    return f"{frame.height} rows {hashlib.sha256(frame.write_json().encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Work:
    """Something that is killed, and how to say what it left: ``""`` for nothing, one sentence when it is whole."""

    act: Callable[[Path], None]
    left: Callable[[Path], str]
    share: float
    needs_load: bool = True


WORKS = {
    "load": Work(load, _loaded, 0.46, needs_load=False),
    "replay": Work(decide, _decided, 0.2),
    "sweep": Work(turn, _turned, 0.15),
    "brief": Work(page, _paged, 0.04),
    "pack": Work(wrap, _wrapped, 0.15),
}


def _child(name: str, folder: Path, pipe: Connection, near: bool) -> None:  # noqa: FBT001 - an argument of a process
    """Do a work; say when it begins and, where asked to, when the first file is about to take its place."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lives as long as the process
    if near:
        os.replace, before = _announced(os.replace, pipe), os.rename
        os.rename = _announced(before, pipe)
        Path.write_bytes = _announced(Path.write_bytes, pipe)  # type: ignore[method-assign]
    pipe.send("begun")
    WORKS[name].act(folder)
    pipe.send("done")


def _announced(function: Callable[..., object], pipe: Connection) -> Callable[..., object]:
    def call(*args: object, **more: object) -> object:
        pipe.send("near")
        return function(*args, **more)

    return call


@contextmanager
def _running(name: str, folder: Path, *, near: bool = False) -> Iterator[tuple[multiprocessing.Process, Connection]]:
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_child, args=(name, folder, there, near))
    process.start()
    there.close()
    try:
        yield process, here  # type: ignore[misc]
    finally:
        process.kill()
        process.join()
        here.close()


def _hear(pipe: Connection, word: str, until: float) -> bool:
    """Return whether a word came before an instant; False too where the process ended without it."""
    while pipe.poll(max(0.0, until - time.monotonic())):
        try:
            if pipe.recv() == word:
                return True
        except EOFError:
            return False
    return False


def _whole(name: str, folder: Path) -> tuple[bool, float]:
    """Return whether a work ends well, and the seconds that it takes."""
    with _running(name, folder) as (process, pipe):
        begun = _hear(pipe, "begun", time.monotonic() + LATE_S)
        at = time.monotonic()
        done = begun and _hear(pipe, "done", at + LATE_S)
        took = time.monotonic() - at
        process.join(LATE_S)  # what comes after the last word (a file that is closed) is not cut off
        return done and process.exitcode == 0, took


_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Prepared:
    """A work, what it leaves when nothing stops it, how long that takes, and the folder that it begins with."""

    name: str
    expected: str
    seconds: float
    start: Path


def prepare(root: Path, name: str) -> Prepared:
    """Return a work that was done twice in peace: the second time is the one that counts."""
    start = root / f"{name}-start"
    start.mkdir()
    if WORKS[name].needs_load:
        load(start)
    seconds, expected = 0.0, ""
    for turn_no in range(2):
        folder = root / f"{name}-peace-{turn_no}"
        shutil.copytree(start, folder)
        ended, seconds = _whole(name, folder)
        expected = WORKS[name].left(folder)
        if not ended or not expected:
            raise SystemExit(f"{name} does not end well by itself")
    return Prepared(name, expected, seconds, start)


def trial(root: Path, work: Prepared, number: int, rng: random.Random) -> str:
    """Return what a kill came to: nothing left, whole, or what is wrong; the work is then done to its end."""
    folder = root / f"{work.name}-{number}"
    shutil.copytree(work.start, folder)
    near = rng.random() < 0.5
    with _running(work.name, folder, near=near) as (process, pipe):
        _hear(pipe, "begun", time.monotonic() + LATE_S)
        if work.name == "load":  # the database writes at the end, in one piece
            time.sleep((rng.random() if near else 0.6 + 0.5 * rng.random()) * work.seconds)
        elif near:
            _hear(pipe, "near", time.monotonic() + LATE_S)
            time.sleep(rng.random() * 0.004)
        else:
            time.sleep(rng.random() * 1.1 * work.seconds)
        process.kill()
        process.join()
    try:
        left = WORKS[work.name].left(folder)
        if left not in {"", work.expected}:
            return f"half: {left}"
        again, _ = _whole(work.name, folder)
        after = WORKS[work.name].left(folder)
        if not again or after != work.expected:
            return f"does not go on: {after or 'nothing'}"
    except (IncidentKitError, OSError, pl.exceptions.PolarsError) as error:
        return f"cannot be read: {error}"
    shutil.rmtree(folder)
    return "whole" if left else "nothing"


def main(*, trials: int, seed: int = 0, names: tuple[str, ...] = tuple(WORKS), jobs: int = 2) -> int:
    """Print what became of that many kills; return 1 where something was lost or half done."""
    _CONTEXT.set_forkserver_preload(["benchmarks.kills"])
    began = time.monotonic()
    lost = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        root, rng = Path(folder), random.Random(seed)  # noqa: S311 - moments, not secrets
        shares = sum(WORKS[name].share for name in names)
        print(f"{'work':<8} {'kills':>6} {'nothing':>8} {'whole':>6} {'half or lost':>13}   seconds in peace")
        for name in names:
            work = prepare(root, name)
            count = max(1, round(trials * WORKS[name].share / shares))
            turns = [(number, random.Random(rng.random())) for number in range(count)]  # noqa: S311
            found = Counter(pool.map(lambda one, work=work: trial(root, work, *one), turns))
            bad = {what: times for what, times in found.items() if what not in {"nothing", "whole"}}
            lost += sum(bad.values())
            print(
                f"{name:<8} {count:>6} {found['nothing']:>8} {found['whole']:>6} {sum(bad.values()):>13}"
                f"   {work.seconds:.2f}"
            )
            for what, times in bad.items():
                print(f"  {times} x {what}")
    print(f"{lost} lost or half done; {time.monotonic() - began:.0f} s")
    return int(lost > 0)
