"""Recommendations: the simplest setting within noise of the best, what it rests on, and what would change the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidSweep
from incident_kit.optimization.bills import EVERYTHING, LOGGED, NOTHING, Bill
from incident_kit.optimization.choices import Choice, between
from incident_kit.optimization.objective import PARTS, WEIGHTS
from incident_kit.optimization.tunings import Tuning, gained, policy_name, share_gained, tune
from incident_kit.policies.settings import Setting, is_at_edge, named

if TYPE_CHECKING:
    from incident_kit.optimization.library import Library
    from incident_kit.optimization.objective import Objective
    from incident_kit.policies.policy import Policy

FEW = 5  # incidents, below which noise between them is hardly known
ONE_CARRIES = 0.5  # of all that is won on the incidents where it is better, by one of them
_INCIDENTS: dict[str, Any] = {
    "incident": pl.String, "tuned_on": pl.Boolean, "never_switching": pl.Float64, "as_logged": pl.Float64,
    "always_backup": pl.Float64, "as_it_stands": pl.Float64, "recommended": pl.Float64, "best_setting": pl.Int64,
    "best": pl.Float64, "hindsight": pl.Float64, "gain_share": pl.Float64, "impacts": pl.Int64, "healthy_hours": pl.Float64,
}  # fmt: skip
_LEFT_OUT: dict[str, Any] = {
    "incident": pl.String, "setting": pl.Int64, "values": pl.String, "agrees": pl.Boolean, "gain": pl.Float64,
    "gain_recommended": pl.Float64, "gain_best": pl.Float64, "gain_hindsight": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class Recommendation:
    """A setting, of a tuning, chosen on some of its incidents; print it for the sentences.

    ``policy`` is the tuned policy, ready to be saved.
    """

    tuning: Tuning
    bills: tuple[Bill, ...]
    choice: Choice

    @property
    def setting(self) -> Setting:
        """The recommended setting."""
        return self.tuning.settings[self.choice.chosen]

    @property
    def policy(self) -> Policy:
        """The policy at that setting."""
        return self.setting.policy

    @property
    def name(self) -> str:
        """The setting in words."""
        return named(tuple(self.tuning.grid), self.setting.values)

    @property
    def is_worth_it(self) -> bool:
        """Whether it costs less than never switching, beyond noise."""
        return self.gain[1] > 0

    @property
    def gain(self) -> tuple[float, float, float]:
        """What it costs less than never switching over the incidents it was chosen on, and where nine in ten lie."""
        return self._gain(self.bills)

    def _gain(self, bills: Sequence[Bill]) -> tuple[float, float, float]:
        name, objective = policy_name(self.setting.number), self.tuning.objective
        return between([gained(bill, name, objective) for bill in bills])

    @property
    def others(self) -> tuple[str, ...]:
        """The incidents that it was not chosen on."""
        mine = {bill.name for bill in self.bills}
        return tuple(name for name in self.tuning.incidents if name not in mine)

    def report(self, on: Iterable[str] | None = None) -> dict[str, float | None]:
        """Return what the setting gains on some incidents, by default those it was not chosen on (on all, where there are none).

        That is gain with low and high, and the same as shares: of hindsight's gain (gain_share), of that of the best single
        setting on these incidents (share_of_best), which share the policy as it stands has (as_it_stands), and the log itself.
        """
        bills = self.tuning.on(on if on is not None else self.others or None)
        objective = self.tuning.objective
        best = self.tuning.choice(bills).best
        total, low, high = self._gain(bills)
        most = sum(float(gained(bill, policy_name(best), objective).mean()) for bill in bills)
        return {
            "incidents": float(len(bills)),
            "gain": total,
            "gain_low": low,
            "gain_high": high,
            "gain_share": share_gained(bills, policy_name(self.setting.number), objective),
            "share_of_best": total / most if most > 0 else None,
            "as_it_stands": share_gained(bills, policy_name(0), objective),
            "as_logged": share_gained(bills, LOGGED, objective),
        }

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row a setting, over the incidents it was chosen on: :meth:`Tuning.table`."""
        return self.tuning.table(on=[bill.name for bill in self.bills])

    @cached_property
    def incidents(self) -> pl.DataFrame:
        """One row an incident: what each end of the scale costs there, the log, the policy as it stands, the recommended setting.

        Columns: incident, tuned_on, never_switching, as_logged, always_backup, as_it_stands, recommended, best_setting (the
        cheapest there) and its cost best, hindsight, gain_share, impacts, healthy_hours.
        """
        mine, objective = {bill.name for bill in self.bills}, self.tuning.objective
        names = [policy_name(one.number) for one in self.tuning.settings]
        rows = []
        for bill in self.tuning.bills:
            costs = dict(zip(bill.policies, bill.costs(objective).mean(axis=1).tolist(), strict=True))
            best = min(range(len(names)), key=lambda i, costs=costs: costs[names[i]])  # type: ignore[misc]
            rows.append(
                (bill.name, bill.name in mine, costs[NOTHING], costs[LOGGED], costs[EVERYTHING], costs[names[0]],
                 costs[names[self.choice.chosen]], self.tuning.settings[best].number, costs[names[best]],
                 float(bill.oracle(objective).mean()), share_gained([bill], names[self.choice.chosen], objective),
                 int(bill.facts["impacts"]), bill.facts["healthy_h"])
            )  # fmt: skip
        return pl.DataFrame(rows, schema=_INCIDENTS, orient="row")

    @cached_property
    def left_out(self) -> pl.DataFrame:
        """One row an incident it was chosen on: what would be recommended without it, and how that does on it.

        Columns: incident, setting and its values, agrees (the recommended setting is within noise of the best without it
        too), gain (of that setting, there), gain_recommended, gain_best (of the best single setting there), gain_hindsight.
        """
        objective, rows = self.tuning.objective, []
        for bill in self.bills if len(self.bills) > 1 else ():
            without = self.tuning.choice([one for one in self.bills if one is not bill])
            costs = bill.costs(objective).mean(axis=1)
            nothing = costs[bill.of(NOTHING)]
            own = [nothing - costs[bill.of(policy_name(one.number))] for one in self.tuning.settings]
            one = self.tuning.settings[without.chosen]
            rows.append(
                (bill.name, one.number, named(tuple(self.tuning.grid), one.values), bool(without.flat[self.choice.chosen]),
                 own[without.chosen], own[self.choice.chosen], max(own), nothing - float(bill.oracle(objective).mean()))
            )  # fmt: skip
        return pl.DataFrame(rows, schema=_LEFT_OUT, orient="row")

    @cached_property
    def other_weights(self) -> pl.DataFrame:
        """One row a part and factor (half, double): what would be recommended if it cost so much, and whether it agrees."""
        rows = []
        for part in PARTS:
            for factor in (0.5, 2.0):
                other = self.tuning.choice(self.bills, self.tuning.objective.scaled(part, factor))
                one = self.tuning.settings[other.chosen]
                said = named(tuple(self.tuning.grid), one.values)
                rows.append((part, factor, one.number, said, bool(other.flat[self.choice.chosen])))
        schema = ["part", "factor", "setting", "values", "agrees"]
        return pl.DataFrame(rows, schema=schema, orient="row")

    @property
    def no_different(self) -> tuple[int, ...]:
        """The positions of neighbouring settings that these incidents do not tell from the recommended one."""
        chosen = policy_name(self.setting.number)
        found = []
        for i in self.tuning.near[self.choice.chosen]:
            other = policy_name(self.tuning.settings[i].number)
            costs = [bill.costs(self.tuning.objective) for bill in self.bills]
            both = zip(costs, self.bills, strict=True)
            _, low, high = between([cost[bill.of(chosen)] - cost[bill.of(other)] for cost, bill in both])
            found += [i] if low <= 0 <= high else []
        return tuple(found)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What should keep somebody from trusting the recommendation too much, each in a sentence."""
        return tuple(self._warned())

    def _warned(self) -> Iterator[str]:
        if not self.tuning.is_whole:
            yield "The tuning was stopped before its end: some incidents are not in it."
        if len(self.bills) < FEW:
            size = "one incident" if len(self.bills) == 1 else f"{len(self.bills)} incidents"
            yield f"It rests on {size}: a threshold tuned on so few is an anecdote. Collect more before it is trusted."
        if not self.is_worth_it:
            yield "Beyond noise it costs no less than never switching at all."
        if (carrier := self._carrier()) is not None:
            yield carrier
        if self.no_different:
            said = "; ".join(
                named(tuple(self.tuning.grid), self.tuning.settings[i].values) for i in self.no_different[:4]
            )
            yield f"These incidents do not tell it from its neighbours: {said}."
        for path in is_at_edge(self.setting, self.tuning.grid):
            yield f"{path} is at the edge of what was tried: try values beyond it."
        if not any(bill.facts["healthy_h"] > 0 for bill in self.bills):
            yield "No incident has time outside its impact: what it costs when nothing is wrong is not known."

    def _carrier(self) -> str | None:
        """Return that one incident alone makes it better than the policy as it stands (or never switching), where one does."""
        is_current = self.setting.number == 0
        other = NOTHING if is_current else policy_name(0)
        won = {}
        for bill in self.bills:
            costs = bill.costs(self.tuning.objective).mean(axis=1)
            won[bill.name] = float(costs[bill.of(other)] - costs[bill.of(policy_name(self.setting.number))])
        better = {name: value for name, value in won.items() if value > 0}
        if len(self.bills) < 2 or not better:
            return None
        most = max(better, key=lambda name: better[name])
        share = better[most] / sum(better.values())
        than = "never switching" if is_current else "the policy as it stands"
        if len(better) == 1:
            return f"It is better than {than} on one incident only, {most}."
        return (
            f"{share:.0%} of what it is better by than {than} comes from one incident, {most}."
            if share > ONE_CARRIES
            else None
        )

    def __str__(self) -> str:
        from incident_kit.optimization.recommendationwords import sentences

        return "\n".join(sentences(self))


def recommended(tuning: Tuning, bills: Sequence[Bill]) -> Recommendation:
    """Return the simplest setting within noise of the best on some incidents of a tuning."""
    return Recommendation(tuning, tuple(bills), tuning.choice(bills))


def recommend(
    library: Library | Tuning,
    policy: Policy | None = None,
    grid: Mapping[str, Iterable[Any]] | None = None,
    *,
    on: Iterable[str] | None = None,
    objective: Objective | Mapping[str, float] | None = None,
    **options: Any,
) -> Recommendation:
    """Return the simplest setting of a policy within noise of the best over a library's incidents: :func:`tune`, then choose.

    Within noise: it loses to the best no more than one standard error of that loss (between incidents, and between draws of
    what was not observed), and less than 2 % of what the best gains on never switching. Simplest: it changes the fewest values
    of the policy as it stands; of equals the one whose neighbours cost least, which is the middle of the flat part.

    Parameters
    ----------
    library
        Or a :class:`Tuning`, which is then not tuned again.
    on
        The names of the incidents to choose on; :meth:`Recommendation.report` then reports on the others. By default all.
    objective, options
        As in :func:`tune`.
    """
    if isinstance(library, Tuning):
        tuned = library if objective is None else library.costing(objective)
    else:
        if policy is None or grid is None:
            raise InvalidSweep(
                "to recommend takes a policy and a grid: recommend(library, policy, {'refund-policy.max_p95_ms': [2000, 3000]})"
            )
        tuned = tune(library, policy, grid, objective=objective, **options)
    return tuned.recommend(on=on)


def parts_of(bills: Sequence[Bill], name: str) -> dict[str, float]:
    """Return the sums of a policy's parts over some incidents."""
    total = np.sum([bill.values[bill.of(name)].mean(axis=-1).sum(axis=0) for bill in bills], axis=0)
    return dict(zip(WEIGHTS, total.tolist(), strict=True))
