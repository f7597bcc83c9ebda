"""Compare: what a scorecard with intervals costs, on incidents of a thousand, 25,000 and a million requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import traffic
from benchmarks.measure import environment, forget_peak, peak_gib
from incident_kit import Incident, Policy, compare, sensitivity, sweep
from incident_kit.case import open_case
from incident_kit.samples import OUTAGE, sample

SMALL, LARGE = 1_000, 1_000_000
DRAWS = 50
SECONDS_SMALL, SECONDS_LARGE = 10.0, 60.0  # the bars: "seconds", and under a minute
LIMITS_MS = range(2000, 6000, 500)
_START = datetime.fromtimestamp(traffic.START_US / 1e6, UTC)
_MIDDLE = timedelta(hours=10)  # of the hour in which the primary is slow


def main(*, requests: int = LARGE) -> int:
    """Print the table; 1 where a bar is missed, else 0 (the bar of the large one is for a million requests)."""
    print(f"{DRAWS} draws; {environment()}")
    _once(_traffic(SMALL))  # compiles, or reads what was compiled
    outage = open_case(sample(OUTAGE), in_memory=True)
    first = outage.policies[0]
    path = f"{first.routes[0].name}.max_p95_ms"
    missed = _line(f"{SMALL:,} requests", lambda: _once(_traffic(SMALL)), bar=SECONDS_SMALL)
    _line(
        f"outage, {len(outage.log):,} requests, {len(outage.policies)} policies",
        lambda: _board(outage, outage.policies),
    )
    _line(
        f"the same, sweep of {len(LIMITS_MS)} limits", lambda: sweep(outage, first, {path: LIMITS_MS}, during="impact")
    )
    _line("the same, sensitivity of one policy", lambda: sensitivity(outage, first, during="impact"))
    large = _traffic(requests)
    bar = SECONDS_LARGE if requests >= LARGE else None
    missed |= _line(f"{requests:,} requests, 1 policy", lambda: _once(large), bar=bar)
    return int(missed)


def _traffic(requests: int) -> Incident:
    incident = Incident.create()
    traffic.fill(incident, requests, per_second=requests * traffic.PER_SECOND / LARGE)
    half = timedelta(minutes=30)
    incident.annotate(
        "impact", _START + _MIDDLE - half, _START + _MIDDLE + half, text="the primary is three times slower"
    )
    incident.answers = {}  # nothing is refused: the tables were filled without a loader
    return incident


def _once(incident: Incident) -> Any:
    return _board(incident, [traffic.policy()])


def _board(incident: Incident, policies: list[Policy] | tuple[Policy, ...]) -> Any:
    board = compare(incident, policies, during="impact", draws=DRAWS)
    return board.table(by="intent")


def _line(what: str, run: Callable[[], Any], *, bar: float | None = None) -> bool:
    """Print the time and the memory that something takes; return whether it misses its bar."""
    before = forget_peak()
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    own = f"{peak_gib() - before:.1f} GiB more" if before is not None else ""
    said = "" if bar is None else f"bar {bar:g} s: {'met' if seconds < bar else 'MISSED'}"
    print(f"{what:<44}{seconds:>8.1f} s  {own:<16}{said}".rstrip(), flush=True)
    return bar is not None and seconds >= bar
