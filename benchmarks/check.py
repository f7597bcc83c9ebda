"""Check: a policy against 20 packed incidents of 50,000 requests: the bundled scenario with other seeds and more traffic."""

from __future__ import annotations

import os
import re
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import environment
from incident_kit import Incident, Policy, gate, open_case, pack, simulate
from incident_kit.crew import shared_out
from incident_kit.samples import OUTAGE, sample

INCIDENTS, REQUESTS = 20, 50_000
SECONDS, MEGABYTES = 60.0, 2.0  # the bars: all incidents on two cores; a pack of so many requests
_BUNDLED = 25_477  # requests of the bundled scenario, about, whatever its seed
_FIRST_SEED = 7_000


def main(
    *, incidents: int = INCIDENTS, requests: int = REQUESTS, jobs: int | None = None, folder: Path | None = None
) -> int:
    """Print sizes and times; 1 where a bar is missed, else 0. Packs that lie in ``folder`` already are taken as they are."""
    jobs = jobs or os.cpu_count() or 1
    print(f"{incidents} incidents of about {requests:,} requests, {jobs} at a time; {environment()}")
    with tempfile.TemporaryDirectory() as scratch:
        root = folder or Path(scratch) / "incidents"
        root.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        wanted = [seed for seed in range(_FIRST_SEED, _FIRST_SEED + incidents) if not (root / str(seed)).exists()]
        works = [(0, (seed, requests, str(root), scratch)) for seed in wanted]
        for _ in shared_out((_Nothing(),), works, _made, jobs=min(jobs, max(len(works), 1))):
            pass
        print(f"{'made, loaded and packed':<44}{time.perf_counter() - began:>8.1f} s")
        return _checked(root, jobs=jobs, requests=requests, is_full=incidents >= INCIDENTS and requests >= REQUESTS)


def _checked(root: Path, *, jobs: int, requests: int, is_full: bool) -> int:
    policy = Policy.load(sample(OUTAGE) / "policies" / "extended.yaml")
    gate(policy, next(iter(sorted(root.iterdir()))), draws=1, jobs=1)  # compiles, or reads what was compiled
    used, began = _cpu_s(), time.perf_counter()
    found = gate(policy, root, jobs=jobs)
    seconds, cpu = time.perf_counter() - began, _cpu_s() - used
    counts = [one.requests for one in found.held]
    sizes = [sum(file.stat().st_size for file in Path(one.path).iterdir()) for one in found.held]
    largest = max(size / count for size, count in zip(sizes, counts, strict=True))
    megabytes = largest * requests / 1e6
    outcomes = {one.outcome: len(found.of(one.outcome)) for one in found.held}
    print(f"{'requests an incident':<44}{min(counts):>8,} to {max(counts):,}")
    is_small, is_fast = megabytes < MEGABYTES * requests / REQUESTS, seconds < SECONDS
    print(
        f"{f'the largest pack, of {requests:,} requests':<44}{megabytes:>8.2f} MB, {largest:.1f} bytes each: {_said(is_small)}"
    )
    print(f"{'all checked':<44}{seconds:>8.1f} s  bar {SECONDS:g} s: {_said(is_fast) if is_full else 'not judged'}")
    print(f"{'processor time':<44}{cpu:>8.1f} s  {cpu / len(counts):.1f} s an incident")
    print(f"outcomes: {', '.join(f'{name} {count}' for name, count in outcomes.items())}; exit code {found.exit_code}")
    return int(not is_small or (is_full and not is_fast))


def _said(met: bool) -> str:  # noqa: FBT001 - a word for it
    return "met" if met else "MISSED"


def _cpu_s() -> float:
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


class _Nothing:
    """What a worker starts with: it makes its own incidents."""

    def incident(self) -> Incident:
        """Return an empty incident."""
        return Incident.create()


def _made(_: Incident, work: Any) -> None:
    """Make one incident and pack it."""
    seed, requests, root, scratch = work
    bundled = sample(OUTAGE)
    more = requests / _BUNDLED
    text = (bundled / "scenario.yaml").read_text(encoding="utf-8")
    text = re.sub(r"per_minute: \[([^\]]*)\]", lambda found: f"per_minute: [{_times(found[1], more)}]", text)
    text = re.sub(r"per_minute: ([\d.]+)", lambda found: f"per_minute: {_times(found[1], more)}", text)
    script = Path(scratch) / f"script-{seed}"
    shutil.copytree(bundled / "policies", script / "policies")
    (script / "scenario.yaml").write_text(re.sub(r"(?m)^seed: \d+", f"seed: {seed}", text), encoding="utf-8")
    case = simulate(
        script / "scenario.yaml", Path(scratch) / f"case-{seed}", formats=("canonical_parquet",), truth=False
    )
    incident = open_case(case, in_memory=True)
    pack(incident, Path(root) / str(seed))
    incident.store.close()
    shutil.rmtree(case)


def _times(numbers: str, by: float) -> str:
    return ", ".join(f"{float(one) * by:.3f}" for one in numbers.split(","))
