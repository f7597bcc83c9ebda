"""Bills: what each of many policies would have cost in one incident, part by part, intent by intent, draw by draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.healthy import healthy_hours, healthy_spans
from incident_kit.helpdesk.consequences import missed_by
from incident_kit.optimization.objective import PARTS, WHOLE, Objective, sums
from incident_kit.policies.baselines import always_fallback, always_primary
from incident_kit.scoring.replays import Replay, on_draw, replay
from incident_kit.scoring.scorecard import WITHHELD
from incident_kit.scoring.tallies import minutes_on_fallback, of_primaries, switches

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy

Floats = NDArray[np.float64]
NOTHING, EVERYTHING, LOGGED = "never switching", "always on backup", "as logged"
BESIDE = (
    "requests",
    "untold",
    "seen",
    "needless_min",
)  # of an intent: how many, and what is known of them; of all: minutes
ROWS: dict[str, Any] = {
    "policy": pl.String, "intent": pl.String, "part": pl.String, "values": pl.List(pl.Float64),
}  # fmt: skip
FACTS = ("healthy_h", "impacts", "slow_ms", "simulated")


@dataclass(frozen=True)
class Bill:
    """One incident: ``values`` ``[policy, intent, part, draw]``; the last intent stands for the incident as a whole.

    ``beside`` has what is known of the requests (:data:`BESIDE`), over the same, ``facts`` the hours of the log outside every
    impact, the number of its impacts, what counts as slow.
    """

    name: str
    policies: tuple[str, ...]
    intents: tuple[str, ...]
    values: Floats
    beside: Mapping[str, Floats]
    facts: Mapping[str, float]

    def of(self, policy: str) -> int:
        """Return a policy's position."""
        return self.policies.index(policy)

    def costs(self, objective: Objective) -> Floats:
        """Return what each policy costs, ``[policy, draw]``."""
        return np.asarray(np.einsum("pixd,x->pd", self.values, objective.array))

    def oracle(self, objective: Objective) -> Floats:
        """Return what hindsight would have cost, ``[draw]``: for each intent the cheapest of all policies that were tried.

        It is at most what the cheapest single policy costs, and no policy can be told to reach it: it knows the incident before
        it comes. Its targets missed are the fewest of any policy, and it never leaves a primary without need. A policy that
        these logs cannot tell of for an intent is not among those it chooses from.
        """
        costs = np.einsum("pixd,x->pid", self.values[:, :-1], objective.array)
        untold = self.beside["untold"][:, :-1, 0] > WITHHELD
        mean = np.where(untold, np.inf, costs.mean(axis=2))
        best = mean.argmin(axis=0)
        found = costs[best, np.arange(costs.shape[1])].sum(axis=0)
        missed = self.values[:, -1, PARTS.index("breaches")].mean(axis=1).min()
        return np.asarray(found + missed * objective.weights["breaches"])

    def untold(self, policies: Sequence[str]) -> float:
        """Return the largest share of requests, of any of some policies, that these logs cannot tell of."""
        rows = [self.of(name) for name in policies]
        n = self.beside["requests"][rows][:, :-1, 0]
        share = (self.beside["untold"][rows][:, :-1, 0] * n).sum(axis=1) / np.maximum(n.sum(axis=1), 1)
        return float(share.max(initial=0.0))

    def seen(self, policy: str) -> float:
        """Return the share of a policy's outcomes that the log shows."""
        n = self.beside["requests"][self.of(policy), :-1, 0]
        return float((self.beside["seen"][self.of(policy), :-1, 0] * n).sum() / max(n.sum(), 1.0))

    @classmethod
    def read(cls, name: str, rows: pl.DataFrame) -> Bill:
        """Return the bill that rows hold, as :func:`billed` wrote them."""
        facts = {part: values[0] for part, values in rows.filter(policy="").select("part", "values").iter_rows()}
        rest = rows.filter(pl.col("policy") != "")
        policies = tuple(rest["policy"].unique(maintain_order=True))
        intents = tuple(rest["intent"].drop_nulls().unique(maintain_order=True))
        size = int(rest["values"].list.len().max() or 1)  # type: ignore[arg-type]
        place = {intent: i for i, intent in enumerate(intents)} | {None: len(intents)}
        values = np.zeros((len(policies), len(place), len(PARTS), size))
        beside = {part: np.zeros((len(policies), len(place), size)) for part in BESIDE}
        row_of = {policy: i for i, policy in enumerate(policies)}
        for policy, intent, part, said in rest.iter_rows():
            if part in beside:
                beside[part][row_of[policy], place[intent]] = said
            else:
                values[row_of[policy], place[intent], PARTS.index(part)] = said
        return cls(name, policies, intents, values, beside, facts)


def billed(incident: Incident, policies: Mapping[str, Policy], *, ends: Policy, draws: int, seed: int) -> pl.DataFrame:
    """Return what policies would have cost in an incident, one row a policy, intent (NULL: the whole) and part, one value a draw.

    Beside them stand what was logged, and the ends of the scale: the policy ``ends`` when it never switches, and when it always
    has. All are replayed on the same draws, which breaches are counted on too: waits move, and so does what agents do by hand.
    """
    from incident_kit.policies.policy import Policy as PolicyOf

    every = {**policies, NOTHING: always_primary(ends), EVERYTHING: always_fallback(ends)}
    replays = {LOGGED: replay(incident, PolicyOf(name=LOGGED, routes=()))}
    replays |= {name: replay(incident, policy) for name, policy in every.items()}
    spans = healthy_spans(incident)
    found: list[tuple[str, str | None, str, list[float]]] = []
    size = max(draws, 1)
    missed = missed_by(incident, draws=draws, seed=seed) if incident.clock.instances.height else None
    for name, central in replays.items():
        kept: dict[tuple[str | None, str], list[float]] = {}
        for draw in range(1 if central.is_certain or not draws else size):
            one = on_draw(central, draw, draws=draws, seed=seed) if draws else central
            for intent, part, value in _parts(one, incident, spans):
                kept.setdefault((intent, part), []).append(value)
            kept.setdefault((None, "breaches"), []).append(missed(one, draw) if missed is not None else 0.0)
        found += [(name, *key, values if len(values) == size else values * size) for key, values in kept.items()]
    facts = (healthy_hours(incident), sum(one.kind == "impact" for one in incident.phases), incident.slow_ms)
    found += [
        ("", None, part, [float(value)]) for part, value in zip(FACTS, (*facts, incident.is_simulated), strict=True)
    ]
    return pl.DataFrame(found, schema=ROWS, orient="row")


def _parts(
    one: Replay, incident: Incident, spans: Sequence[tuple[int, int]]
) -> Iterator[tuple[str | None, str, float]]:
    frame = one.outcomes.with_columns(pl.Series("offered", one.log.tools_offered))
    key = pl.col("intent").cast(pl.String).fill_null("(no intent)").alias("key")
    shares = [
        pl.len().cast(pl.Float64).alias("requests"),
        (pl.col("evidence") == "none").mean().alias("untold"),
        (pl.col("evidence") == "observed").mean().alias("seen"),
    ]
    groups = frame.group_by(key, maintain_order=True).agg(*sums(incident.slow_ms), *shares)
    for group in groups.iter_rows(named=True):
        intent = group.pop("key")
        yield from ((intent, part, float(value)) for part, value in group.items())
    changes = of_primaries(one)
    yield None, "false_trips", float(sum(switches(changes, span, None) for span in spans))
    yield None, "needless_min", float(sum(minutes_on_fallback(changes, span, None) for span in spans))


__all__ = ["EVERYTHING", "LOGGED", "NOTHING", "PARTS", "WHOLE", "Bill", "billed"]
