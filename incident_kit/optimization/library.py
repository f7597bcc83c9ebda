"""Library: a folder of incidents, to tune on some and report on the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidCase, NoSuchItem, did_you_mean
from incident_kit.handover import Handover, fingerprint
from incident_kit.healthy import healthy_hours
from incident_kit.incident import Incident
from incident_kit.stats.draws import uniforms
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.crew import Source
    from incident_kit.scenarios.scenario import Scenario

_TABLE: dict[str, Any] = {
    "incident": pl.String, "title": pl.String, "first": pl.Datetime("us", "UTC"), "hours": pl.Float64, "requests": pl.Int64,
    "impacts": pl.Int64, "healthy_hours": pl.Float64, "in_force": pl.String, "simulated": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One incident of a library: its name, and where it lies, or the incident itself."""

    name: str
    path: Path | None = None
    held: Incident | None = None

    def incident(self) -> Incident:
        """Return the incident, opened anew from where it lies."""
        if self.held is not None:
            return self.held
        from incident_kit.incidents import open_any

        assert self.path is not None  # noqa: S101 - a member has one of them
        return open_any(self.path)

    def source(self, *, jobs: int) -> Source:
        """Return what gives the incident, also in another process where there are several."""
        return Handover.of(self.held) if self.held is not None and jobs > 1 else self

    def mark(self) -> str:
        """Return a hash of what the incident holds."""
        if self.held is not None:
            return fingerprint(self.held)
        assert self.path is not None  # noqa: S101 - a member has one of them
        digest = blake2b(digest_size=16)
        files = [one for one in self.path.rglob("*") if one.is_file()] if self.path.is_dir() else [self.path]
        for file in sorted(files, key=Path.as_posix):  # the same on every system
            if file.suffix not in {".duckdb", ".wal"} or file == self.path:  # a case's tables follow from its files
                digest.update(file.relative_to(self.path).as_posix().encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()


class Library:
    """Incidents by name: a folder of case folders, packs and incident files, some paths, or incidents that are open.

    An incident without an impact is a healthy time, which says what a policy costs when nothing is wrong.

    Examples
    --------
    >>> Library({"a": Incident.create(), "b": Incident.create()}).names
    ('a', 'b')

    Raises
    ------
    InvalidCase
        There is nothing of the kind.
    """

    def __init__(self, source: str | Path | Iterable[str | Path] | Mapping[str, Incident]) -> None:
        self.members: Mapping[str, Member] = {one.name: one for one in _members(source)}
        if not self.members:
            raise InvalidCase("a library needs an incident: a folder that holds case folders, packs or incident files")

    @classmethod
    def simulated(
        cls,
        scenario: Scenario | str | Path,
        folder: str | Path,
        *,
        seeds: Iterable[int] = range(1, 9),
        busy: float = 1.0,
    ) -> Library:
        """Return a library of variants of a scenario, one case a seed in a folder, to try tuning before one has many incidents.

        In each, requests and outcomes are drawn anew, and what goes wrong is half to twice as slow; in every fourth nothing
        goes wrong. ``busy`` is the share of the scenario's requests that come.

        Raises
        ------
        InvalidScenario
            The scenario or the policy in force cannot be used.
        UnwritableFile
            The folder holds something else of a case's name.
        """
        from incident_kit.scenarios.scenario import Scenario as ScenarioOf
        from incident_kit.simulation import simulate

        script = scenario if isinstance(scenario, ScenarioOf) else ScenarioOf.load(scenario)
        paths = []
        for place, seed in enumerate(seeds):
            variant = _variant(script, seed, busy, is_healthy=place % 4 == 3)
            path = Path(folder) / f"{'healthy' if place % 4 == 3 else 'incident'}-{seed}"
            paths.append(simulate(variant, path, formats=["canonical_parquet"], truth=False, replace=True))
        return cls(paths)

    @property
    def names(self) -> tuple[str, ...]:
        """The incidents' names, in order."""
        return tuple(self.members)

    def __len__(self) -> int:
        """Return the number of incidents."""
        return len(self.members)

    def __getitem__(self, name: str) -> Incident:
        """Return an incident, opened.

        Raises
        ------
        NoSuchItem
            There is none of that name.
        """
        if name not in self.members:
            raise NoSuchItem(
                f"the library has no incident {name!r}{did_you_mean(name, self.names)}; it has {', '.join(self.names)}"
            )
        return self.members[name].incident()

    def __str__(self) -> str:
        """Return a line an incident: name, requests, impacts, hours outside them; opens each incident."""
        rows = self.table.iter_rows(named=True)
        lines = [f"{len(self)} incident{'s' * (len(self) != 1)}:"]
        for row in rows:
            n = row["impacts"]
            impacts = f"{n} impact{'s' * (n != 1)}" if n else "no impact"
            made = ", simulated" if row["simulated"] else ""
            lines.append(
                f"  {label(row['incident'])}: {number(row['requests'])} requests, {impacts}, "
                f"{number(row['healthy_hours'])} healthy hours{made}"
            )
        return "\n".join(lines)

    def split(self, share: float = 0.5, *, seed: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names to tune on, so large a share of all, and those to report on; drawn by ``seed``, both in order.

        Raises
        ------
        InvalidCase
            One side would be empty.
        """
        size = round(share * len(self))
        if not 0 < size < len(self):
            raise InvalidCase(f"{share:g} of {len(self)} incidents leaves one side without any")
        ranks = uniforms(seed, "library", size=len(self)).argsort()
        chosen = {self.names[i] for i in ranks[:size].tolist()}
        return tuple(one for one in self.names if one in chosen), tuple(one for one in self.names if one not in chosen)

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row an incident: title, first (request), hours, requests, impacts, healthy_hours, in_force, simulated."""
        return pl.DataFrame(list(self._rows()), schema=_TABLE, orient="row")

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for member in self.members.values():
            incident = member.incident()
            about = incident.about()
            hours = (about["last"] - about["first"]).total_seconds() / 3600 if about["first"] else 0.0
            impacts = sum(phase.kind == "impact" for phase in incident.phases)
            in_force = incident.in_force.name if incident.in_force else None
            size, healthy = about["requests"], healthy_hours(incident)
            yield (
                member.name,
                incident.title,
                about["first"],
                hours,
                size,
                impacts,
                healthy,
                in_force,
                incident.is_simulated,
            )


def _variant(script: Scenario, seed: int, busy: float, *, is_healthy: bool) -> Scenario:
    def quieter(rate: float | tuple[float, ...]) -> float | tuple[float, ...]:
        return tuple(busy * one for one in rate) if isinstance(rate, tuple) else busy * rate

    intents = {
        name: one.model_copy(update={"per_minute": quieter(one.per_minute)}) for name, one in script.intents.items()
    }
    much = 0.5 * 4 ** float(uniforms(seed, "variant", size=1)[0])
    broken = [one.model_copy(update={"slow": 1 + (one.slow - 1) * much}) for one in script.degradations]
    gone = {"degradations": (), "phases": (), "title": f"{script.title}: nothing goes wrong"}
    changed = gone if is_healthy else {"degradations": tuple(broken)}
    return script.model_copy(update={"seed": seed, "intents": intents, **changed})


def _members(source: str | Path | Iterable[str | Path] | Mapping[str, Incident]) -> Iterator[Member]:
    if isinstance(source, Mapping):
        yield from (Member(name, held=incident) for name, incident in source.items())
        return
    from incident_kit.incidents import incident_paths, name_of

    paths = incident_paths(source) if isinstance(source, str | Path) else tuple(Path(one) for one in source)
    names = [name_of(path) for path in paths]
    for path, name in zip(paths, names, strict=True):  # two of one name are told apart by their paths
        yield Member(name if names.count(name) == 1 else str(path), path)
