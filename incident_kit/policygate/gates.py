"""Gates: one policy held against the limits on every incident of a folder, in parallel, for a CI job.

An incident that cannot be read, or on which the policy cannot be replayed, is an error: it never counts as a pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from incident_kit.crew import shared_out
from incident_kit.errors import IncidentKitError, InvalidLimits
from incident_kit.healthy import healthy_hours
from incident_kit.incidents import incident_paths, name_of, open_any
from incident_kit.policygate.bars import Bar, read_bars
from incident_kit.policygate.checking import ROWS, THE_LOG, check, intents_of
from incident_kit.policygate.moves import Moves, moves
from incident_kit.policygate.verdicts import CANNOT_TELL, FAILS, NOT_IN_LOG, PASSES, phase_window
from incident_kit.words import label

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy

DRAWS = 20  # nine draws in ten are then 19 of 20 and more: fewer draws make a verdict less sure, never surer
ERROR, NOTHING = "error", "nothing to judge"


@dataclass(frozen=True)
class Held:
    """What one incident says of the policy: ``rows`` as of :class:`incident_kit.Check`, or why it says nothing (``error``)."""

    name: str
    path: str
    error: str = ""
    title: str = ""
    requests: int = 0
    healthy_hours: float = 0.0
    is_simulated: bool = False
    in_force: Policy | None = None
    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ROWS))
    moves: Moves | None = None
    caveats: tuple[str, ...] = ()

    @property
    def beside(self) -> str:
        """What the policy is compared with: the name of the policy in force, or the log itself."""
        return self.in_force.name if self.in_force else THE_LOG

    @property
    def outcome(self) -> str:
        """The worst of its verdicts: error, fails, cannot tell, passes; or nothing to judge."""
        verdicts = {ERROR} if self.error else set(self.rows["verdict"])
        return next((one for one in (ERROR, FAILS, CANNOT_TELL, PASSES) if one in verdicts), NOTHING)


@dataclass(frozen=True)
class Gate:
    """A policy held against its limits on several incidents, in the order of their names."""

    policy: Policy
    held: tuple[Held, ...]

    @property
    def rows(self) -> pl.DataFrame:
        """One row an incident and limit: ``incident``, and the columns of :class:`incident_kit.Check`."""
        parts = [one.rows.select(pl.lit(one.name).alias("incident"), pl.all()) for one in self.held]
        return pl.concat(parts) if parts else pl.DataFrame(schema={"incident": pl.String} | ROWS)

    def of(self, outcome: str) -> tuple[Held, ...]:
        """Return the incidents that came to an outcome."""
        return tuple(one for one in self.held if one.outcome == outcome)

    @property
    def exit_code(self) -> int:
        """2: an incident is an error; else 1: a limit fails; else 2 for one that cannot be told, or nothing judged; else 0."""
        if self.of(ERROR):
            return 2
        if self.of(FAILS):
            return 1
        return 2 if self.of(CANNOT_TELL) or not self.of(PASSES) else 0

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        n = len(self.held)
        who, of = label(self.policy.name), f"of {n} incident{'s' * (n != 1)}"
        if errors := self.of(ERROR):
            found = f"; and fails on {_names(fails)}" if (fails := self.of(FAILS)) else ""
            return f"ERROR: {who}: {len(errors)} {of} could not be checked: {_names(errors)}{found}."
        if fails := self.of(FAILS):
            broken = int((self.rows["verdict"] == FAILS).sum())
            return f"FAIL: {who}: {broken} limit{'s' * (broken != 1)} broken on {len(fails)} {of}: {_names(fails)}."
        if unsure := self.of(CANNOT_TELL):
            return f"CANNOT TELL: {who}: on {len(unsure)} {of} the logs do not say: {_names(unsure)}."
        if not self.of(PASSES):
            return f"CANNOT TELL: {who}: nothing to judge on {n} incident{'s' * (n != 1)}."
        judged = int((self.rows["verdict"] == PASSES).sum())
        return f"PASS: {who}: all {judged} limits hold on {len(self.of(PASSES))} {of}."

    def markdown(self) -> str:
        """Return the summary for a pull request: verdict, table, what the policy changes, which decisions that moves."""
        from incident_kit.policygate.gatepage import markdown

        return markdown(self)

    def json(self) -> str:
        """Return all of it as JSON, in ASCII."""
        from incident_kit.policygate.gatefiles import as_json

        return as_json(self)

    def junit(self) -> str:
        """Return JUnit's XML: a suite an incident, a case a limit; what cannot be told is an error."""
        from incident_kit.policygate.gatefiles import as_junit

        return as_junit(self)

    def __str__(self) -> str:
        from incident_kit.policygate.gatefiles import as_text

        return as_text(self)


def gate(
    policy: Policy,
    against: str | Path | Sequence[str | Path],
    *,
    limits: str | Path | Sequence[Bar] | None = None,
    in_force: Policy | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Gate:
    """Return a policy held against its limits on every incident of a folder, or of several.

    Parameters
    ----------
    against
        A folder of cases, packs and incident files, or one of these.
    limits
        As of :func:`incident_kit.check`. A limit on an intent, a phase or a signal that one incident does not have is not judged
        on it; one that none has is an error.
    in_force
        What to compare with, instead of each incident's own policy in force.
    jobs
        How many incidents at a time, each in a process of its own; by default as many as there are cores.

    Raises
    ------
    InvalidLimits
        The limits cannot be used, or are about something that no incident has.
    InvalidCase
        There is no incident.
    """
    folders = [against] if isinstance(against, str | Path) else list(against)
    paths = tuple(dict.fromkeys(path for folder in folders for path in incident_paths(folder)))
    bars = read_bars(limits) if isinstance(limits, str | Path) else None if limits is None else tuple(limits)
    if bars is not None and not bars:
        raise InvalidLimits("there is no limit to check; leave limits out for the default ones")
    count = max(1, min(jobs or os.cpu_count() or 1, len(paths)))
    works = [
        (0, (str(path), name, policy, bars, in_force, draws, seed))
        for path, name in zip(paths, _apart(paths), strict=True)
    ]
    found: dict[str, Held] = {}
    for (_, work), held in shared_out((_Nothing(),), works, _hold, jobs=count):
        found[work[0]] = held
        if progress is not None:
            progress(f"checked {len(found)} of {len(paths)}: {label(held.name)} {held.outcome}")
    gate = Gate(policy, tuple(found[str(path)] for path in paths))
    _refuse_strangers(gate, bars or ())
    return gate


def _names(held: Sequence[Held]) -> str:
    more = f" and {len(held) - 5} more" if len(held) > 5 else ""
    return ", ".join(label(one.name) for one in held[:5]) + more


def _apart(paths: Sequence[Path]) -> list[str]:
    """Return a name for each incident; where two would be the same, their paths."""
    names = [name_of(path) for path in paths]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]


class _Nothing:
    """What a worker starts with: each opens its own incidents, so that one that cannot be read stops nothing else."""

    def incident(self) -> Incident:
        """Return an empty incident."""
        from incident_kit.incident import Incident

        return Incident.create()


def _hold(_: Incident, work: Any) -> Held:
    """Return what one incident says; what is wrong with it is said, not raised."""
    path, name, policy, bars, in_force, draws, seed = work
    try:
        incident = open_any(path)
        try:
            return _held(incident, policy, bars, in_force, draws=draws, seed=seed, name=name, path=path)
        finally:
            incident.store.close()
    except (IncidentKitError, OSError, duckdb.Error) as error:
        return Held(name, path, error=str(error) or type(error).__name__)


def _held(
    incident: Incident,
    policy: Policy,
    bars: tuple[Bar, ...] | None,
    in_force: Policy | None,
    *,
    draws: int,
    seed: int,
    name: str,
    path: str,
) -> Held:
    fitting, rows = _fitting(incident, bars)
    held = Held(
        name,
        path,
        title=incident.title,
        requests=len(incident.log),
        healthy_hours=healthy_hours(incident),
        is_simulated=incident.is_simulated,
        in_force=in_force or incident.in_force,
        rows=pl.DataFrame(rows, schema=ROWS),
    )
    if fitting is not None and not fitting:
        return held
    found = check(incident, policy, limits=fitting, in_force=in_force, draws=draws, seed=seed)
    return replace(held, rows=pl.concat([found.rows, held.rows]), moves=moves(found), caveats=found.replay.caveats)


def _fitting(incident: Incident, bars: tuple[Bar, ...] | None) -> tuple[list[Bar] | None, list[dict[str, Any]]]:
    """Return the bars that are about something that the incident has, and a row for each of the others."""
    if bars is None:
        return None, []
    fitting, rows = [], []
    for bar in bars:
        try:
            list(intents_of(incident, bar))
            phase_window(incident, bar.phase)
        except InvalidLimits as error:
            said = {"metric": bar.metric, "phase": bar.phase, "intent": bar.intent, "limit": str(bar)}
            rows.append(said | {"verdict": NOT_IN_LOG, "why": str(error)})
        else:
            fitting.append(bar)
    return fitting, rows


def _refuse_strangers(gate: Gate, bars: Sequence[Bar]) -> None:
    """Refuse a limit that is about nothing that any incident has: it is misspelt, and would always pass."""
    readable = [one for one in gate.held if not one.error]
    for bar in bars if readable else ():
        mine = [one.rows.filter(metric=bar.metric, phase=bar.phase, limit=str(bar)) for one in readable]
        own = [
            part.filter(pl.lit(bar.intent == "each") | pl.col("intent").eq_missing(pl.lit(bar.intent, pl.String)))
            for part in mine
        ]
        if all(part.height and (part["verdict"] == NOT_IN_LOG).all() for part in own):
            raise InvalidLimits(f"no incident has what a limit is about: {own[0]['why'][0]}")
