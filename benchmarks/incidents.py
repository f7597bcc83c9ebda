"""Incidents: made-up ones with every target's outcome for every request, and the log that a breaker would have left."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.estimation.cells import Cells
from incident_kit.estimation.observations import Observations

VARIANTS = ("additive", "heterogeneous", "overlapping")
RATES = {"error": (-4.6, 0.5), "tool_failure": (-3.0, 0.6), "override": (-2.0, 0.4)}  # level, sd between targets
HARM = {"error": (0.0, 2.5), "tool_failure": (0.3, 2.5), "override": (0.3, 1.8), "latency": (0.6, 2.0)}
MINUTE = 60_000_000
PRIMARY, BACKUP, OTHER = 0, 1, 2
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """One incident: potential outcomes ``[target, request]`` (NaN where a request has none), and what was logged.

    ``spans`` are the declared incidents, ``first`` the target that each request went to, ``hopped`` whether it failed there
    and went on to the backup, ``split`` the chance that it had of the target it went to (1: no chance), ``candidates`` the
    decisions of other policies. ``medians`` and ``widths`` (of latencies, logs of seconds) and ``rates`` are what the outcomes
    were drawn from.
    """

    variant: str
    at_us: NDArray[np.int64]
    intent: NDArray[np.int64]
    ticket: NDArray[np.int64]
    outcomes: dict[str, Floats]
    latency_ms: Floats
    timeout_ms: float
    spans: list[tuple[int, int]]
    usual: NDArray[np.int64]
    first: NDArray[np.int64]
    hopped: NDArray[np.bool_]
    chance: Floats
    switches: NDArray[np.int64]
    candidates: dict[str, NDArray[np.int64]]
    medians: Floats
    widths: Floats
    rates: dict[str, Floats]

    @property
    def observations(self) -> Observations:
        """What the log holds: the call on the first target, and that on the backup after a failure."""
        size = len(self.at_us)
        order = np.concatenate([np.arange(size), np.flatnonzero(self.hopped)])
        target = np.concatenate([self.first, np.full(self.hopped.sum(), BACKUP)])
        latency = self.latency_ms[target, order]
        is_censored = latency >= self.timeout_ms
        return Observations(
            call=np.arange(len(order)),
            request=order.astype(np.int32),
            target=target.astype(np.int16),
            intent=self.intent[order].astype(np.int16),
            ticket=self.ticket[order].astype(np.int32),
            sent_us=self.at_us[order],
            latency_ms=np.rint(latency).astype(np.int32),
            is_censored=is_censored,
            without_tools=np.zeros(len(order), np.bool_),
            values={name: values[target, order] for name, values in self.outcomes.items()},
            weights={},
            cap_ms=self.timeout_ms,
            targets=len(self.latency_ms),
            intents=int(self.intent.max()) + 1,
        )

    @property
    def cells(self) -> Cells:
        """The cells of the log."""
        window = (int(self.at_us[0]), int(self.at_us[-1]))
        return Cells.of(self.observations, incident=self.spans, switches=self.switches, window=window)

    def truth(self, outcome: str) -> Floats:
        """Return an outcome over ``[target, request]``."""
        if outcome.startswith("slow_"):
            return (self.latency_ms > float(outcome.removeprefix("slow_"))).astype(np.float64)
        return self.outcomes[outcome]

    def expected(self, outcome: str) -> Floats:
        """Return what an outcome was drawn from, over ``[target, request]``: its mean before the dice fell."""
        from scipy.special import ndtr

        if outcome in self.rates:
            return self.rates[outcome]
        limit_s = (self.timeout_ms if outcome == "latency" else float(outcome.removeprefix("slow_"))) / 1000
        apart = (np.log(limit_s) - self.medians) / self.widths
        if outcome != "latency":
            return np.asarray(1 - ndtr(apart))
        below = np.exp(self.medians + self.widths**2 / 2) * ndtr(apart - self.widths)
        return np.asarray(below / limit_s + 1 - ndtr(apart))


def make(seed: int, *, variant: str = "additive") -> Made:
    """Return an incident."""
    rng = np.random.default_rng([seed, VARIANTS.index(variant)])
    hours, size, intents = (
        rng.uniform(3, 8),
        int(np.exp(rng.uniform(np.log(5000), np.log(30000)))),
        int(rng.integers(3, 9)),
    )
    span = hours * 60
    at = np.sort(rng.uniform(0, span, size))  # minutes
    intent = rng.choice(intents, size, p=rng.dirichlet(np.full(intents, 2.5)))
    ticket = np.where(rng.random(size) < 0.7, rng.integers(0, max(size // 2, 1), size), -1)
    begin = rng.uniform(0.35, 0.6) * span
    end = min(begin + rng.uniform(25, 90), span - 15)
    harmed, spans = [(PRIMARY, begin, end)], [(begin, end)]
    if variant == "overlapping":
        begin2 = begin + rng.uniform(0.3, 0.7) * (end - begin)
        end2 = min(begin2 + rng.uniform(20, 60), span - 5)
        harmed.append((int(rng.choice([PRIMARY, BACKUP])), begin2, end2))
        spans.append((begin2, end2))
    usual = np.where(rng.random(intents) < 0.15, OTHER, PRIMARY)
    usual[0] = PRIMARY
    logits = _logits(rng, at, intent, harmed, variant)
    feel = {name: 0.25 * rng.standard_normal(size // 2 + 1) for name in logits}
    alike = {name: np.where(ticket >= 0, feel[name][ticket], 0.0) for name in logits}
    timeout = float(rng.choice([30_000, 60_000]))
    width = rng.uniform(0.5, 0.8, 3)[:, None]
    medians = logits["latency"] + 0.3 * alike["latency"]
    latency = np.exp(logits["latency"] + width * rng.standard_normal((3, size)) + 0.3 * alike["latency"]) * 1000
    latency = np.minimum(latency, timeout)
    outcomes = {name: _flips(rng, logits[name] + alike[name]) for name in RATES}
    outcomes["error"][latency >= timeout] = 1.0
    asks, seen = rng.random(size) < 0.6, rng.random(size) < 0.6
    outcomes["tool_failure"][:, ~asks] = np.nan
    outcomes["override"][:, ~seen] = np.nan
    outcomes["latency"] = latency / timeout
    kind = str(rng.choice(["intent", "intent", "global", "hand"]))
    limit = float(rng.uniform(2, 4) * np.median(latency[PRIMARY]))
    first = _route(rng, at, intent, usual, latency, outcomes["error"], kind=kind, limit_ms=limit, spans=spans)
    chance = np.ones(size)
    if rng.random() < 0.35:  # a few requests go to the other one by chance
        share = 0.02
        probe = rng.random(size) < share
        first = np.where(probe, np.where(first == BACKUP, usual[intent], BACKUP), first)
        chance = np.where(probe, share, 1 - share)
    hops = rng.random() < 0.5
    hopped = hops & (outcomes["error"][first, np.arange(size)] == 1) & (first != BACKUP)
    base = usual[intent]
    switched = np.where((at > begin + 5) & (at < end), BACKUP, base)
    candidates = {
        "always_primary": base,
        "always_backup": np.full(size, BACKUP),
        "quick": _route(
            rng, at, intent, usual, latency, outcomes["error"], kind="intent", limit_ms=limit * 0.7, spans=spans
        ),
        "by_hand": switched,
    }
    at_us = np.rint(at * MINUTE).astype(np.int64)
    spans_us = [(int(a * MINUTE), int(b * MINUTE)) for a, b in spans]
    return Made(
        variant, at_us, intent, ticket, outcomes, latency, timeout, spans_us, usual, first, hopped, chance,
        _switches(at_us, intent, np.where(chance < 0.5, -1, first), spans_us), candidates,
        medians, width, {name: 1 / (1 + np.exp(-logits[name] - alike[name])) for name in RATES},
    )  # fmt: skip


def _ou(rng: np.random.Generator, at: Floats, sd: float, minutes: float, shape: tuple[int, ...]) -> Floats:
    """Return paths of an Ornstein-Uhlenbeck process at some instants, over ``shape + [instant]``."""
    grid = np.arange(0, at[-1] + 2, 1.0)
    keep = np.exp(-1 / minutes)
    path = np.empty((*shape, len(grid)))
    path[..., 0] = rng.standard_normal(shape)
    step = rng.standard_normal((*shape, len(grid))) * np.sqrt(1 - keep**2)
    for i in range(1, len(grid)):
        path[..., i] = keep * path[..., i - 1] + step[..., i]
    return np.asarray(sd * path[..., np.searchsorted(grid, at, side="right") - 1])


def _logits(
    rng: np.random.Generator, at: Floats, intent: NDArray[Any], harmed: list[Any], variant: str
) -> dict[str, Floats]:
    """Return every outcome's logit (latency: the log of its median in seconds) over ``[target, request]``."""
    intents = int(intent.max()) + 1
    found = {}
    for name in (*RATES, "latency"):
        level, spread = RATES.get(name, (0.2, 0.4))
        logit = level + spread * rng.standard_normal((3, 1)) + 0.5 * rng.standard_normal(intents)[intent]
        logit = logit + 0.3 * rng.standard_normal((3, intents))[:, intent]
        logit = logit + _ou(rng, at, 0.2, 60, (3,)) + _ou(rng, at, 0.12, 60, (1,))
        deviation = _ou(rng, at, rng.uniform(0.05, 0.2), 40, (3, intents))
        logit = logit + deviation[:, intent, np.arange(len(at))]
        for target, begin, end in harmed:
            size = rng.uniform(*HARM[name])
            rise = rng.uniform(1, 8)
            shape = np.clip((at - begin) / rise, 0, 1) * np.clip((end - at) / rng.uniform(1, 8), 0, 1)
            wiggle = 1 + _ou(rng, at, 0.25, 15, ())
            sense = (
                rng.uniform(0.0, 2.0, intents)
                if variant == "heterogeneous"
                else np.exp(0.15 * rng.standard_normal(intents))
            )
            logit[target] += size * shape * wiggle * sense[intent]
        found[name] = logit
    return found


def _flips(rng: np.random.Generator, logit: Floats) -> Floats:
    return (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(np.float64)


def _route(
    rng: np.random.Generator,
    at: Floats,
    intent: NDArray[Any],
    usual: NDArray[Any],
    latency: Floats,
    error: Floats,
    *,
    kind: str,
    limit_ms: float,
    spans: list[tuple[float, float]],
) -> NDArray[np.int64]:
    """Return where a breaker (by intent or one for all), or a person, sends each request."""
    base = usual[intent]
    if kind == "hand":
        begin, end = spans[0][0] + rng.uniform(5, 25), spans[-1][1] + rng.uniform(0, 15)
        return np.where((at > begin) & (at < end), BACKUP, base)
    cooldown, window = rng.uniform(3, 12), 5.0
    key = intent if kind == "intent" else np.zeros_like(intent)
    seen: list[deque[tuple[float, bool]]] = [deque() for _ in range(int(key.max()) + 1)]
    opened = np.full(len(seen), -1.0)
    probes: list[list[bool]] = [[] for _ in seen]
    first = base.copy()
    for i in range(len(at)):
        k, t = key[i], at[i]
        if opened[k] >= 0:
            if t < opened[k] + cooldown:
                first[i] = BACKUP
                continue
            bad = bool(latency[base[i], i] > limit_ms or error[base[i], i])
            probes[k].append(bad)
            if len(probes[k]) == 5:
                opened[k] = t if sum(probes[k]) >= 2 else -1.0
                probes[k] = []
                seen[k].clear()
            continue
        bad = bool(latency[base[i], i] > limit_ms or error[base[i], i])
        seen[k].append((t, bad))
        while seen[k] and seen[k][0][0] < t - window:
            seen[k].popleft()
        if len(seen[k]) >= 10 and sum(one for _, one in seen[k]) > 0.35 * len(seen[k]):
            opened[k], probes[k] = t, []
    return first


def _switches(
    at_us: NDArray[np.int64], intent: NDArray[Any], first: NDArray[Any], spans: list[tuple[int, int]]
) -> NDArray[np.int64]:
    from incident_kit.estimation.timebins import _changes, shortest_us

    found = [np.empty(0, np.int64)]
    for one in np.unique(intent):
        rows = np.flatnonzero((intent == one) & (first >= 0))
        if len(rows) > 1:
            found.append(_changes(at_us[rows], first[rows], shortest_us(spans)))
    return np.unique(np.concatenate(found))
