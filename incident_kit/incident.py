"""Incident: one case, one DuckDB file. Load into it, annotate it, ask it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit import sources
from incident_kit.asked import Decision, Owner
from incident_kit.cachedproperty import cached_property
from incident_kit.errors import InvalidStore, NoSuchItem, did_you_mean
from incident_kit.inspection.milestones import Times, times
from incident_kit.log import Log, read
from incident_kit.phases import Phase, detect
from incident_kit.servicelevels.slaclock import SlaClock, clocked, keep
from incident_kit.servicelevels.slasettings import SlaSettings
from incident_kit.sources import Answer, LoadReport
from incident_kit.store import Store

if TYPE_CHECKING:
    from incident_kit.estimation.model import Model
    from incident_kit.gatewayversions import GatewayVersion
    from incident_kit.policies.policy import Policy
    from incident_kit.scoring.replays import Replay

SLOW_MS = 3500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Incident:
    """An incident: its logs and exports in a store, its phases, and what they can answer.

    ``zone`` is the reader's (an IANA name); ``slow_ms`` is the wait that counts as slow in sentences; ``in_force`` is the
    policy that made the log, where it is known, ``policies`` are what to compare it with, and ``prices`` US dollars for a
    million tokens in and out, by target; ``gateways`` the gateway's own configurations that were in force;
    ``ticket_link`` where a ticket opens, with ``{ticket_id}`` in it; ``decision`` and ``owners`` what a brief asks, and of
    whom: what a case's ``incident.yaml`` says.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.title = ""
        self.zone = "UTC"
        self.slow_ms = SLOW_MS
        self.is_simulated = False
        self.in_force: Policy | None = None
        self.gateways: tuple[GatewayVersion, ...] = ()
        self.policies: tuple[Policy, ...] = ()
        self.prices: Mapping[str, tuple[float, float]] = {}
        self.sla_settings = SlaSettings()
        self.ticket_link = ""
        self.decision: Decision | None = None
        self.owners: tuple[Owner, ...] = ()
        self.contacts: Mapping[str, str] = {}  # whom a page reaches, by alert, owner or severity
        self.reports: tuple[LoadReport, ...] = ()

    @property
    def gateway(self) -> tuple[Path, str | None] | None:
        """The gateway's own configuration that was in force last, and the gateway's version; None where none is named."""
        return (self.gateways[-1].config, self.gateways[-1].version) if self.gateways else None

    @classmethod
    def create(cls, path: str | Path | None = None) -> Incident:
        """Return a new incident, in a file that must not exist yet, or in memory.

        Examples
        --------
        >>> Incident.create().requests().height
        0
        """
        if path is not None and Path(path).exists():
            raise InvalidStore(f"{path} is there already; use Incident.open({str(path)!r}) or another name")
        return cls(Store(path))

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False) -> Incident:
        """Return the incident in a file that is there, or in a pack's folder.

        One process at a time has a file, or several ``read_only``: then nothing can be loaded, and notes are not kept.
        """
        from incident_kit.packs.packed import is_pack, open_pack

        if is_pack(path):
            return open_pack(path)
        if not Path(path).is_file():
            raise InvalidStore(f"there is no incident file {path}; use Incident.create({str(path)!r}) for a new one")
        return cls(Store(path, read_only=read_only))

    def load(
        self,
        path: str | Path | Sequence[str | Path],
        *,
        source: str | None = None,
        labels: Mapping[str, Sequence[str]] | None = None,
        tags: Mapping[str, str] | None = None,
        columns: Mapping[str, str] | None = None,
        zone: str | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> LoadReport:
        """Load files (a path, a glob, or several) and return what became of every row. All of it happens, or none.

        Parameters
        ----------
        source
            The format's name; detected from the content where it is not given.
        labels, tags
            Where intent, ticket, conversation and channel stand, in place of the format's own list: JSON paths in order of
            preference, and patterns on tags.
        columns
            The kit's column name to the file's, for ``canonical``.
        zone
            The zone of times without one.
        """
        if self.store.read_only:
            raise InvalidStore(
                f"{self.store.path} is open to be read only: open it without read_only=True to load into it"
            )
        report = sources.load(
            self.store, path, source=source, labels=labels, tags=tags, columns=columns, zone=zone, progress=progress
        )
        self._forget()
        return report

    def _forget(self) -> None:
        for name in ("log", "answers", "as_logged", "phases", "model", "clock"):
            self.__dict__.pop(name, None)

    @cached_property
    def log(self) -> Log:
        """The requests and calls as arrays, in replay order."""
        # breaches are where the clock puts them, not where a desk's flag was written
        keep(self.store, self.clock)
        return read(self.store)

    @cached_property
    def clock(self) -> SlaClock:
        """The SLA clocks, counted anew by the case's rules; :func:`incident_kit.sla` takes others."""
        said = self.sla_settings
        return clocked(self.store, rules=said.rules, schedules=said.schedules, asof=said.asof)

    @cached_property
    def answers(self) -> dict[str, Answer]:
        """What the loaded logs can answer, per question: yes, lower bound, or no, and why."""
        return sources.answers(self.store)

    @cached_property
    def as_logged(self) -> Replay:
        """What happened, in the form of a replay: every request as logged."""
        from incident_kit.policies.policy import Policy
        from incident_kit.scoring.replays import replay

        return replay(self, Policy(name="as logged", routes=()))

    @cached_property
    def model(self) -> Model:
        """The model of outcomes that the log does not hold, fitted when it is first asked."""
        from incident_kit.estimation.model import Model

        ends = [phase.at for phase in self.phases if phase.kind == "recovered"]
        last = self.about()["last"]
        spans = []
        for phase in self.phases:
            if phase.kind == "impact":
                until = phase.until or min((at for at in ends if at > phase.at), default=last)
                spans.append((_us(phase.at), _us(until) + (until == last)))
        return Model(self.log, tuple(one for one in spans if one[0] < one[1]))

    def annotate(
        self, kind: str, at: datetime, until: datetime | None = None, *, text: str = "", link: str = ""
    ) -> Phase:
        """Return the phase or event that was put on the timeline; the same one twice changes nothing."""
        phase = Phase(kind, at, until, text, link)
        fields = {"at": at, "until": until, "kind": kind, "text": text, "link": link}
        same = {name: fields[name] for name in ("at", "kind", "text")}
        self.store.run('delete from annotations where "at" = $at and kind = $kind and text = $text', same)
        self.store.run("insert into annotations values ($at, $until, $kind, $text, $link)", fields)
        self._forget()
        return phase

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """The declared phases and events in order of time; without a declared impact, the data's own, marked so."""
        rows = self.store.frame('select "at", "until", kind, text, link from annotations order by "at", kind, text')
        declared = tuple(
            Phase(kind, at, until, text or "", link or "") for at, until, kind, text, link in rows.iter_rows()
        )
        if any(phase.kind == "impact" for phase in declared):
            return declared
        return tuple(sorted((*declared, *detect(self.series())), key=lambda phase: phase.at))

    @property
    def times(self) -> Times:
        """The time to detect, to mitigate and to recover from each impact, each with its two instants."""
        return times(self.phases, zone=self.zone)

    def span(self, kind: str) -> tuple[datetime, datetime]:
        """Return the span of a phase: to its end, or to the recovery, or to the log's end.

        Raises
        ------
        NoSuchItem
            The incident has no such phase.
        """
        found = [phase for phase in self.phases if phase.kind == kind]
        if not found:
            known = sorted({phase.kind for phase in self.phases})
            there = f"there are {', '.join(known)}" if known else "it has none"
            raise NoSuchItem(
                f"the incident has no phase {kind!r}{did_you_mean(kind, known)}; {there}. annotate() adds one"
            )
        after = next((phase.at for phase in self.phases if phase.kind == "recovered" and phase.at > found[0].at), None)
        last: datetime = self.about()["last"] or found[0].at
        return found[0].at, found[0].until or after or last + timedelta(microseconds=1)

    def _table(self, name: str) -> pl.DataFrame:
        return self.store.frame(f"select * from {name} order by all")  # noqa: S608 - the kit's own table names

    def requests(self) -> pl.DataFrame:
        """Return the requests: one row each, DESIGN.md's columns."""
        return self._table("requests")

    def attempts(self) -> pl.DataFrame:
        """Return the attempts: calls, refusals, cache hits."""
        return self._table("attempts")

    def feedback(self) -> pl.DataFrame:
        """Return what agents did with suggestions."""
        return self._table("feedback")

    def tickets(self) -> pl.DataFrame:
        """Return the tickets."""
        return self._table("tickets")

    def sla(self) -> pl.DataFrame:
        """Return the SLA instances: one row a ticket, metric and instance."""
        return self._table("sla")

    def signals(self) -> pl.DataFrame:
        """Return the rows of other signals that a user has, by name: what ``signal:NAME`` in a policy reads."""
        return self._table("signals")

    def loads(self) -> pl.DataFrame:
        """Return what was loaded: one row a file."""
        return self._table("loads")

    def rejects(self) -> pl.DataFrame:
        """Return the rows that could not be loaded, with their line and the reason."""
        return self._table("rejects")

    def series(self, *, every: timedelta | None = None) -> pl.DataFrame:
        """Return what happened over time, one row an interval (about sixty where ``every`` is not given).

        With SLA clocks, ``missed_targets`` counts those that fell due and were missed.
        """
        from incident_kit.scoring.series import missed_at, series_of, with_missed

        found, clocks = series_of(self.as_logged, every=every), self.clock.instances
        return found if clocks.is_empty() else with_missed(found, clocks.select(missed_at().alias("at"))["at"])

    def quality(self) -> pl.DataFrame:
        """Return the backup's answers beside the primary's, per intent: one row an intent, target, role and metric."""
        from incident_kit.scoring.quality import quality

        return quality(self)

    def impact(self) -> list[tuple[str, int | None, int | None, float | None]]:
        """Return what the impact did, as counts: (label, count, out of, the same in a normal time)."""
        from incident_kit.scoring.quality import impact

        return impact(self)

    def about(self) -> dict[str, Any]:
        """Return the span and size of the log: first, last, requests, share without an intent."""
        return self.store.query("about").row(0, named=True)


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
