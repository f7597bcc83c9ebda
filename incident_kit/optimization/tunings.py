"""Tunings: one policy at many settings over a library of incidents, every consequence costed, between two ends of a scale.

The ends are *never switching*, and *hindsight*: for each incident and intent the cheapest of all that was tried. What a setting
gains is said as a share of what lies between: (never switching - setting) / (never switching - hindsight).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from incident_kit.cachedproperty import cached_property
from incident_kit.crew import shared_out
from incident_kit.drafts.healthywindows import A_WEEK_H
from incident_kit.errors import InvalidSweep, NoSuchItem, UnansweredQuestion, did_you_mean
from incident_kit.optimization.bills import LOGGED, NOTHING, ROWS, Bill, billed
from incident_kit.optimization.choices import Choice, between, choose
from incident_kit.optimization.objective import PARTS, Objective
from incident_kit.outfiles.ledger import Ledger
from incident_kit.policies.settings import Setting, column, neighbours, settings_of
from incident_kit.scoring.scorecard import WITHHELD

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.optimization.library import Library
    from incident_kit.optimization.recommendations import Recommendation
    from incident_kit.policies.policy import Policy

DRAWS = 10
UNANSWERED = "unanswered"  # in place of a bill: why there is none
_KEPT = {"incident": pl.String, "mark": pl.String, **ROWS}


@dataclass(frozen=True)
class Tuning:
    """What each setting of a policy costs in each incident of a library.

    ``settings`` begin with the policy as it stands; ``bills`` are one an incident that could be judged, ``untold`` says of the
    others why not; ``is_whole`` is False where it was stopped before its end.
    """

    policy: Policy
    settings: tuple[Setting, ...]
    grid: Mapping[str, Sequence[Any]]
    bills: tuple[Bill, ...]
    untold: Mapping[str, str]
    objective: Objective
    is_whole: bool = True

    @property
    def incidents(self) -> tuple[str, ...]:
        """The names of the incidents that could be judged."""
        return tuple(bill.name for bill in self.bills)

    @cached_property
    def near(self) -> list[list[int]]:
        """The positions of each setting's neighbours."""
        return neighbours(self.settings, self.grid)

    @cached_property
    def changes(self) -> list[int]:
        """How many values each setting changes of the policy as it stands."""
        here = self.settings[0].values
        return [sum(a != b for a, b in zip(one.values, here, strict=True)) for one in self.settings]

    def on(self, incidents: Iterable[str] | None) -> tuple[Bill, ...]:
        """Return the bills of some incidents; of all where none are named.

        Raises
        ------
        NoSuchItem
            One is not there, or could not be judged.
        """
        if incidents is None:
            return self.bills
        by_name = {bill.name: bill for bill in self.bills}
        for name in (wanted := list(incidents)):
            if name not in by_name:
                why = self.untold.get(name) or f"there are {', '.join(by_name)}"
                raise NoSuchItem(f"the tuning has no incident {name!r}{did_you_mean(name, by_name)}: {why}")
        return tuple(by_name[name] for name in wanted)

    def choice(self, bills: Sequence[Bill], objective: Objective | None = None) -> Choice:
        """Return which setting is best on some incidents, and which is the simplest within noise of it."""
        names = [policy_name(one.number) for one in self.settings]
        return choose(bills, names, self.changes, self.near, objective or self.objective)

    def table(self, on: Iterable[str] | None = None) -> pl.DataFrame:
        """Return one row a setting, over all incidents or those named.

        Columns: setting, is_current, the grid's paths, cost (in the objective's money), gain (on never switching) with gain_low
        and gain_high (nine in ten), gain_share (of hindsight's gain), loss (to the best) and its noise (one standard error),
        is_flat (within noise of the best), is_chosen, each part's sum, false_trips_a_week and needless_min_a_week (of hours
        outside every impact; NULL without any), seen (the share of the outcomes that the logs show).
        """
        bills = self.on(on)
        choice = self.choice(bills)
        return pl.DataFrame([self._row(i, bills, choice) for i in range(len(self.settings))]).with_columns(
            column([one.values[i] for one in self.settings], values).alias(path)
            for i, (path, values) in enumerate(self.grid.items())
        )

    def _row(self, i: int, bills: Sequence[Bill], choice: Choice) -> dict[str, Any]:
        name = policy_name(self.settings[i].number)
        total, low, high = between([gained(bill, name, self.objective) for bill in bills])
        row: dict[str, Any] = {"setting": self.settings[i].number, "is_current": i == 0, **dict.fromkeys(self.grid)}
        row |= {"cost": float(choice.cost[i]), "gain": total, "gain_low": low, "gain_high": high}
        row |= {"gain_share": share_gained(bills, name, self.objective), "loss": float(choice.loss[i])}
        row |= {"noise": float(choice.noise[i]), "is_flat": bool(choice.flat[i]), "is_chosen": i == choice.chosen}
        for k, part in enumerate(PARTS):
            row[part] = float(sum(bill.values[bill.of(name), :, k].mean(axis=-1).sum() for bill in bills))
        hours = sum(bill.facts["healthy_h"] for bill in bills)
        minutes = sum(bill.beside["needless_min"][bill.of(name), -1].mean() for bill in bills)
        row["false_trips_a_week"] = row["false_trips"] * A_WEEK_H / hours if hours else None
        row["needless_min_a_week"] = float(minutes) * A_WEEK_H / hours if hours else None
        row["seen"] = float(np.mean([bill.seen(name) for bill in bills]))
        return row

    @cached_property
    def scores(self) -> pl.DataFrame:
        """The settings' parts as :func:`sweep` writes its metrics, summed over the incidents, for :func:`frontier`."""
        rows = []
        for one in self.settings:
            for k, part in enumerate(PARTS):
                name = policy_name(one.number)
                estimate, low, high = between([bill.values[bill.of(name), :, k].sum(axis=0) for bill in self.bills])
                row = {"setting": one.number, "is_current": one.number == 0, "intent": "all", "metric": part}
                row["n"] = int(sum(bill.beside["requests"][0, :-1, 0].sum() for bill in self.bills))
                rows.append(row | {"estimate": estimate, "low": max(low, 0.0), "high": high})
        frame = pl.DataFrame(rows)
        values = [one.values for one in self.settings for _ in PARTS]
        paths = [
            column([value[i] for value in values], listed).alias(path)
            for i, (path, listed) in enumerate(self.grid.items())
        ]
        return frame.select("setting", "is_current", *paths, "intent", "metric", "n", "estimate", "low", "high")

    def recommend(self, on: Iterable[str] | None = None) -> Recommendation:
        """Return the simplest setting within noise of the best, on all incidents or those named, in words."""
        from incident_kit.optimization.recommendations import recommended

        return recommended(self, self.on(on))

    def costing(self, objective: Objective | Mapping[str, float]) -> Tuning:
        """Return the same replays under another objective; nothing is replayed again."""
        return Tuning(
            self.policy, self.settings, self.grid, self.bills, self.untold, Objective.of(objective), self.is_whole
        )


def policy_name(number: int) -> str:
    """Return the name that a setting's policy has in a bill."""
    return f"setting {number}"


def gained(bill: Bill, name: str, objective: Objective) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return what a policy costs less than never switching, ``[draw]``."""
    costs = bill.costs(objective)
    return np.asarray(costs[bill.of(NOTHING)] - costs[bill.of(name)])


def share_gained(bills: Sequence[Bill], name: str, objective: Objective) -> float | None:
    """Return the share of hindsight's gain that a policy has over some incidents; None where there is nothing to gain."""
    mine = sum(float(gained(bill, name, objective).mean()) for bill in bills)
    most = sum(float((bill.costs(objective)[bill.of(NOTHING)] - bill.oracle(objective)).mean()) for bill in bills)
    return mine / most if most > 0 else None


def tune(
    library: Library,
    policy: Policy,
    grid: Mapping[str, Iterable[Any]],
    *,
    objective: Objective | Mapping[str, float] | None = None,
    random: int | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    jobs: int = 1,
    resume: str | Path | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Tuning:
    """Return what a policy costs at every setting of a grid, in every incident of a library.

    Every setting is replayed over every incident, on the incident's own draws, beside what was logged, never switching, and
    always being on the backup. An incident of which these logs cannot tell what some setting would have done (more than 2 %
    of its requests) is left out, and named. Interrupted from the keyboard, the incidents done so far are returned.

    Parameters
    ----------
    grid, random, seed, draws, resume, progress
        As in :func:`sweep`, counted in incidents.
    objective
        What one of each part costs, in place of the default: ``{"overrides": 2}``; see :class:`Objective`.
    jobs
        Processes to share the incidents out to. In a script, call from under ``if __name__ == "__main__":`` then.

    Raises
    ------
    NoSuchItem
        A path leads nowhere.
    InvalidPolicy
        A value cannot stand at its path, or there are over 2,000 settings.
    InvalidSweep
        The file of ``resume`` holds another tuning, or no incident could be judged.
    """
    weights = Objective.of(objective)
    settings, listed = settings_of(policy, grid, random=random, seed=seed)
    ledger, found = None, {}
    marks = {name: member.mark() for name, member in library.members.items()} if resume is not None else {}
    if resume is not None:
        said = [(one.number, one.values) for one in settings]
        ledger = Ledger.of(resume, policy=policy.expand(), grid=said, options=(draws, seed))
        rows = ledger.read()
        for (name,), part in rows.group_by(["incident"], maintain_order=True) if rows is not None else ():
            if marks.get(str(name)) == part["mark"][0]:
                found[str(name)] = part
    left = [name for name in library.names if name not in found]
    sources = [library.members[name].source(jobs=jobs) for name in left]
    policies = {policy_name(one.number): one.policy for one in settings}
    task = partial(_billed, policies=policies, ends=policy, draws=draws, seed=seed)
    work = shared_out(sources, [(i, None) for i in range(len(left))], task, jobs=min(jobs, len(left)))
    try:
        for (i, _), rows in work:
            name = left[i]
            found[name] = rows.select(
                pl.lit(name).alias("incident"), pl.lit(marks.get(name, "")).alias("mark"), *ROWS
            ).cast(_KEPT)
            if ledger is not None:
                ledger.write(list(found.values()))
            if progress is not None and progress(len(found), len(library)) is False:
                break
    except KeyboardInterrupt:
        if not found:
            raise
    finally:
        work.close()
    return _tuning(
        policy, settings, listed, {name: found[name] for name in library.names if name in found}, weights, library
    )


def _billed(
    incident: Incident, _work: None, *, policies: Mapping[str, Policy], ends: Policy, draws: int, seed: int
) -> pl.DataFrame:
    try:
        return billed(incident, policies, ends=ends, draws=draws, seed=seed)
    except UnansweredQuestion as error:
        return pl.DataFrame([("", str(error), UNANSWERED, [])], schema=ROWS, orient="row")


def _tuning(
    policy: Policy, settings: Sequence[Setting], grid: Mapping[str, Sequence[Any]], found: Mapping[str, pl.DataFrame],
    objective: Objective, library: Library,
) -> Tuning:  # fmt: skip
    bills, untold = [], {}
    names = [policy_name(one.number) for one in settings]
    for name, rows in found.items():
        if rows["part"][0] == UNANSWERED:
            untold[name] = rows["intent"][0]
            continue
        bill = Bill.read(name, rows.select(*ROWS))
        share = bill.untold([*names, NOTHING])
        if not bill.beside["requests"][bill.of(LOGGED)].any():
            untold[name] = "it holds no requests"
        elif share > WITHHELD:
            untold[name] = f"its logs cannot tell what {share:.0%} of the requests would have got at some setting"
        else:
            bills.append(bill)
    if not bills:
        why = "; ".join(f"{name}: {said}" for name, said in untold.items())
        raise InvalidSweep(f"no incident of the library could be judged. {why}")
    return Tuning(policy, tuple(settings), grid, tuple(bills), untold, objective, len(found) == len(library))
