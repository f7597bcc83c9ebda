"""Bench: the breakers and alerts of a policy as the records that judge, rule by rule, leaf by leaf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from incident_kit.engine import judges
from incident_kit.engine.judges import ALERT, ESCALATION, KINDS, LATENCY, REOPEN, SIGNAL, SLA
from incident_kit.engine.routing import microseconds
from incident_kit.log import UNKNOWN
from incident_kit.policies.conditions import Condition, Rule
from incident_kit.policies.routes import Alert, Breaker, Window

ANY_INTENT = -2
LONGEST = 2**62
Span = tuple[datetime | None, datetime | None]
_WINDOWS = {"sliding": judges.SLIDING, "count": judges.COUNT, "tumbling": judges.TUMBLING}
_NO_DATA = {"hold": judges.UNKNOWN, "ok": judges.FALSE, "breach": judges.TRUE}


@dataclass
class Bench:
    """What conditions become: lists that grow while breakers and alerts are laid out."""

    judges: list[dict[str, Any]] = field(default_factory=list)
    leaves: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, int]] = field(default_factory=list)
    slots: list[dict[str, Any]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    rests: list[int] = field(default_factory=list)
    counting: int = 0
    alerts: dict[str, int] = field(default_factory=dict)

    def add(self, rule: Rule, windows: Sequence[Window], needed: int, no_data: str, *, elapsed: bool) -> dict[str, int]:
        """Lay out a rule, and return where its leaves and its program are."""
        first, program = len(self.leaves), len(self.steps)
        self._walk(rule, windows, needed, no_data, elapsed=elapsed)
        return {"leaf": first, "leaves": len(self.leaves) - first, "step": program, "steps": len(self.steps) - program}

    def _walk(self, rule: Rule, windows: Sequence[Window], needed: int, no_data: str, *, elapsed: bool) -> None:
        for part in rule.of:
            if isinstance(part, Rule):
                self._walk(part, windows, needed, no_data, elapsed=elapsed)
            else:
                self.steps.append({"leaf": len(self.leaves)})
                self._leaf(part, windows, needed, no_data, elapsed=elapsed)
        self.steps.append({"leaf": UNKNOWN, "count": len(rule.of), "at_least": rule.at_least})

    def _leaf(self, c: Condition, windows: Sequence[Window], needed: int, no_data: str, *, elapsed: bool) -> None:
        kind = KINDS.index(c.kind)
        limit_ms = c.limit_ms or 0
        self.leaves.append(
            {
                "kind": kind,
                "limit": limit_ms if c.count_at_limit else limit_ms + 1,
                "num": c.numerator,
                "den": c.denominator,
                "strict": c.strict,
                "negated": c.negated,
                "quantile": c.kind in {"latency", "ttft"} and c.metric.startswith("p"),
                "elapsed": elapsed and kind == LATENCY,
                "alert": self.alerts[c.name] if kind == ALERT else UNKNOWN,
                "no_data": _NO_DATA[no_data],
                "slot": len(self.slots),
            }
        )
        self.owners.append(len(self.judges))
        self.widths.append(max(len(windows), 1))
        touched = UNKNOWN
        for window in windows or (None,):
            if kind in {ESCALATION, REOPEN, SLA}:
                touched = self.counting
                self.counting += 1
            kind_of = _WINDOWS[window.kind] if window else judges.ENDLESS
            length = window.length if window else 0
            at_least = min(needed, length) if kind_of == judges.COUNT else needed
            self.slots.append(
                {
                    "kind": kind_of,
                    "length": length if kind_of == judges.COUNT else length * 1000,
                    "needed": at_least * 1_000_000 if kind == SIGNAL and window else at_least,
                    "touched": touched,
                    "first": UNKNOWN,
                    "last": UNKNOWN,
                }
            )

    def breaker(self, b: Breaker, route: int, entry: int, intent: int, *, span: Span = (None, None)) -> None:
        """Lay out one breaker; ``span`` is when it is in force, where that is a part of the time."""
        elapsed = b.observe == "elapsed"
        trip = self.add(b.when, b.windows, b.min_requests, b.no_data, elapsed=elapsed)
        own = b.half_open.when
        tested = own or b.when.without_alerts()
        test = (
            self.add(tested, (), 1, b.no_data, elapsed=elapsed)
            if tested
            else {"leaf": 0, "leaves": 0, "step": 0, "steps": 0}
        )
        rests: list[int] = []
        while len(rests) < 64 and (not rests or b.rest_ms(len(rests)) > rests[-1]):
            rests.append(min(b.rest_ms(len(rests)), LONGEST // 1000))
        self.judges.append(
            {
                "route": route, "entry": entry, "intent": intent, "own": own is not None, **_places(trip, test),
                "windows": len(b.windows), "for_us": b.for_ms * 1000, "every_us": (b.every_ms or 0) * 1000,
                "rest": len(self.rests), "rests": len(rests), "probes": b.half_open.requests, "share": b.half_open.share,
                "max_wait_us": b.half_open.max_wait_ms * 1000,
                "max_duration_us": (b.half_open.max_duration_ms or 0) * 1000,
                "uses": sum({1 << KINDS.index(c.kind) for c in b.conditions}), **_in_force(*span),
            }
        )  # fmt: skip
        self.rests += [rest * 1000 for rest in rests]

    def alert(self, a: Alert) -> None:
        """Lay out one alert."""
        trip = self.add(a.when, a.windows, a.min_requests, a.no_data, elapsed=False)
        self.judges.append(
            {
                "is_alert": 1, "route": UNKNOWN, "intent": ANY_INTENT, **_places(trip, trip), "windows": len(a.windows),
                "for_us": a.for_ms * 1000, "every_us": a.every_ms * 1000, "keep_us": a.keep_firing_ms * 1000,
                "uses": sum({1 << KINDS.index(c.kind) for c in a.when.leaves}), **_in_force(a.since, a.until),
            }
        )  # fmt: skip


def _in_force(since: datetime | None, until: datetime | None) -> dict[str, int]:
    """Return when a rule is in force: before, it sees nothing; after, nobody sweeps it."""
    end = LONGEST if until is None else microseconds(until)
    return (
        {"until": end} if since is None else {"until": end, "unborn": 1, "since": microseconds(since), "epoch": LONGEST}
    )


def _places(trip: dict[str, int], test: dict[str, int]) -> dict[str, int]:
    return {
        "trip": trip["leaf"], "trips": trip["leaves"], "program": trip["step"], "steps": trip["steps"],
        "recover": test["leaf"], "recovers": test["leaves"], "again": test["step"], "agains": test["steps"],
    }  # fmt: skip
