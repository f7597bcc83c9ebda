"""Chains as the log shows them: what healthy requests went to first, what answered in its place, and how well."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.engine.plan import is_in
from incident_kit.healthy import is_healthy
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.drafts.groups import Group
    from incident_kit.incident import Incident

DIFFERS = 2.33  # standard errors: one chance in a hundred
MIXED = 0.1  # of the healthy requests went to another target first
FEWEST_TOOL_CALLS = 30
FEWEST_FAILURES = 3


@dataclass(frozen=True)
class Seen:
    """What a log shows of one group's chain; targets are positions in ``log.targets``, ``why`` is the evidence in words."""

    incident: Incident
    group: Group

    @cached_property
    def _first(self) -> NDArray[np.int16]:
        """Where the group's healthy requests (or, without any, all) went first, those that do not say it left out."""
        log, mine = self.incident.log, self.group.requests
        healthy = mine[is_healthy(self.incident, log.arrived_us[mine])]
        sent = log.first_target[healthy if len(healthy) else mine]
        return sent[sent >= 0]

    @cached_property
    def primary(self) -> int | None:
        """What most of them went to first; None where no request says it."""
        return int(np.bincount(self._first).argmax()) if len(self._first) else None

    @property
    def primary_why(self) -> str:
        """How many that were."""
        share = number(float((self._first == self.primary).mean()), "%")
        return f"{share} of {len(self._first):,} healthy requests went there first"

    @property
    def others(self) -> tuple[str, ...]:
        """Other targets that at least a tenth of them went to first, with their share."""
        counts = np.bincount(self._first)
        shares = counts / max(counts.sum(), 1)
        order = np.argsort(-counts, kind="stable")
        return tuple(
            f"{label(self.incident.log.targets[code])} ({number(float(shares[code]), '%')})"
            for code in order
            if code != self.primary and shares[code] >= MIXED
        )

    @cached_property
    def _in_its_place(self) -> tuple[Counter[int], bool]:
        """How often each other target answered what was meant for the primary, and whether in this group."""
        log, mine = self.incident.log, self.group.requests
        moved = (log.served >= 0) & (log.served != self.primary)
        if not self.others and not self.group.is_rest:  # all are the primary's, wherever a failover in force sent them
            own = Counter(log.served[mine[moved[mine]]].tolist())
            if own:
                return own, True
        meant = moved & self._meant_for_it()
        own = Counter(log.served[mine[meant[mine]]].tolist())
        return (own, True) if own else (Counter(log.served[meant].tolist()), False)

    def _meant_for_it(self) -> NDArray[np.bool_]:
        """Return which requests of the log asked for the primary, or went there first."""
        log = self.incident.log
        asked = pl.DataFrame({"request_id": log.request_id}).join(
            self.incident.store.query("draft_keys").filter(key="requested"), on="request_id", how="left",
            maintain_order="left",
        )["value"]  # fmt: skip
        named = (asked == log.targets[self.primary or 0]).fill_null(value=False).to_numpy()
        meant: NDArray[np.bool_] = (log.first_target == self.primary) | named
        return meant

    @cached_property
    def fallback(self) -> int | None:
        """What answered most requests in place of the primary, in this group, else in any; None: nothing ever did."""
        counts, _ = self._in_its_place
        names = self.incident.log.targets
        return min(counts, key=lambda code: (-counts[code], names[code])) if counts else None

    @property
    def fallback_why(self) -> str:
        """How many that were."""
        counts, is_own = self._in_its_place
        name = label(self.incident.log.targets[self.primary or 0])
        count = counts[self.fallback or 0]
        if is_own:
            return f"answered {count:,} of the {counts.total():,} requests that {name} did not"
        return f"never seen for these requests; it answered {count:,} others in place of {name}"

    @property
    def led_on(self) -> list[str]:
        """The failures of the primary after which another target answered, those of the language's default left out."""
        log, calls = self.incident.log, self.incident.log.calls
        is_mine = np.zeros(len(log), np.bool_)
        is_mine[self.group.requests] = True
        served = log.served[calls.request]
        moved = is_mine[calls.request] & (calls.target == self.primary) & (calls.error > 0)
        moved &= (served >= 0) & (served != self.primary)
        counts = Counter(log.errors[code] for code in calls.error[moved].tolist())
        return sorted(
            name
            for name, count in counts.items()
            if count >= FEWEST_FAILURES
            and not is_in(name, ("timeout", "5xx", "429"))
            and (
                name in {"context_window", "content_policy"}
                or (len(name) == 3 and name.isdecimal() and name[0] in "45")
            )
        )

    @property
    def tools_lost(self) -> str:
        """Why tools should be off on the fallback: they worked clearly less often there; empty where they did not."""
        facts = self.incident.as_logged.outcomes[self.group.requests].select(
            pl.col("tool_calls", "tool_errors").cast(pl.Int64)
        )
        served = self.incident.log.served[self.group.requests]
        mine = [facts.filter(pl.Series(served == code)).drop_nulls() for code in (self.primary, self.fallback)]
        n = [int(one["tool_calls"].sum()) for one in mine]
        bad = [int(one["tool_errors"].sum()) for one in mine]
        if min(n) < FEWEST_TOOL_CALLS:
            return ""
        pooled = sum(bad) / sum(n)
        spread = (pooled * (1 - pooled) * (1 / n[0] + 1 / n[1])) ** 0.5
        if not spread or (bad[1] / n[1] - bad[0] / n[0]) / spread <= DIFFERS:
            return ""
        worked = [number(1 - part / whole, "%") for part, whole in zip(bad, n, strict=True)]
        return f"there {worked[1]} of {n[1]:,} tool calls worked, on the primary {worked[0]} of {n[0]:,}"
