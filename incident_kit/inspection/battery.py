"""Battery: the findings, small checks over an incident, each interesting or not, ranked, each beside a usual time.

All tests of all checks are one family: of incidents that are none, at most one in twenty shows any finding (Holm's procedure
at 5 %, on tests that allow for how much shares vary in usual time; tests/test_battery.py simulates healthy days). Where
the impact was detected from the data, the time was chosen for its waits, errors and fallbacks, and their checks promise less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from incident_kit.errors import NoSuchItem, did_you_mean
from incident_kit.inspection.checks import CHECKS, Looked, Material
from incident_kit.inspection.facets import Facets, Spans, against, instant
from incident_kit.stats.shares import holm
from incident_kit.stats.trials import Trial, apart, named, together
from incident_kit.words import number, period, sentence

if TYPE_CHECKING:
    from incident_kit.incident import Incident

CHANCE = 0.05  # that an incident that is none shows any finding
FINER = 0.8  # of the calls of a coarser level, at most, before a finer one is named instead
APART = 3.0  # standard errors that one group stands out from the rest by
_ROWS: dict[str, Any] = {
    "check": pl.String, "interesting": pl.Boolean, "group": pl.String, "count": pl.Int64, "of": pl.Int64, "share": pl.Float64,
    "usual_count": pl.Int64, "usual_of": pl.Int64, "usual": pl.Float64, "difference": pl.Float64, "low": pl.Float64,
    "high": pl.Float64, "by_chance": pl.Float64, "sentence": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What one check found: whether it is interesting, one sentence, and the counts behind it.

    ``trial`` is the share that it rests on, None where nothing could be tested; ``by_chance`` how probable usual time makes
    one like it among all tests; ``request_ids`` the requests behind the count.
    """

    check: str
    title: str
    interesting: bool
    sentence: str
    trial: Trial | None = None
    by_chance: float = 1.0
    request_ids: pl.Series = field(default_factory=lambda: pl.Series("request_id", [], dtype=pl.String), repr=False)

    def __str__(self) -> str:
        return f"{self.title}: {self.sentence}"


@dataclass(frozen=True)
class Findings:
    """The checks of an incident, the interesting ones first, the strongest of them first."""

    incident: Incident = field(repr=False)
    ranked: tuple[Finding, ...]
    look: Spans
    usual: Spans

    def __iter__(self) -> Iterator[Finding]:
        """Yield the findings as they are ranked."""
        return iter(self.ranked)

    def __len__(self) -> int:
        """Return the number of checks."""
        return len(self.ranked)

    @property
    def interesting(self) -> tuple[Finding, ...]:
        """The findings that usual time would hardly show."""
        return tuple(one for one in self.ranked if one.interesting)

    @property
    def rows(self) -> pl.DataFrame:
        """One row a check, as ranked.

        Columns: check, interesting, group (the part that it rests on; empty: everything), count, of, share, usual_count,
        usual_of, usual, difference with low and high (90 % confidence), by_chance (among all tests), sentence.
        """
        return pl.DataFrame([_row(one) for one in self.ranked], schema=_ROWS)

    def __getitem__(self, check: str) -> Finding:
        """Return the finding of a check.

        Raises
        ------
        NoSuchItem
            There is no such check.
        """
        for one in self.ranked:
            if one.check == check:
                return one
        raise NoSuchItem(f"there is no check {check!r}{did_you_mean(check, CHECKS)}; there are {', '.join(CHECKS)}")

    def evidence(self, check: str) -> pl.DataFrame:
        """Return the requests behind a finding's count: rows of ``incident.requests()``, in order of arrival."""
        ids = self[check].request_ids.drop_nulls().unique()
        found = self.incident.requests().filter(pl.col("request_id").is_in(ids.implode()))
        return found.sort("arrived_at", "request_id")

    def __str__(self) -> str:
        zone = ZoneInfo(self.incident.zone)
        if not self.ranked:
            way = "annotate('impact', at, until), or findings(incident, (at, until))"
            return f"No findings: there is no impact to look at. {way}."
        begin, end = instant(self.look[0][0]), instant(self.look[-1][1])
        lines = [f"{period(begin, end, zone=zone, date=True)}, beside the time outside impacts:"]
        lines += [f"  {place}. {one}" for place, one in enumerate(self.interesting, 1)] or [
            "  nothing out of the usual."
        ]
        rest = [one for one in self.ranked if not one.interesting]
        parts = {
            "Nothing unusual, or too little to tell:": [one for one in rest if one.trial is not None],
            "These logs cannot tell:": [one for one in rest if one.trial is None],  # which is no healthy sign
        }
        for head, found in parts.items():
            lines += [head, *(f"  {one}" for one in found)] if found else []
        return "\n".join(lines)


def findings(incident: Incident, during: str | tuple[datetime, datetime] | None = None) -> Findings:
    """Return what small checks find in a phase or between two instants (None: the first impact), ranked.

    Raises
    ------
    NoSuchItem
        There is no such phase; without any impact and with ``during=None`` there are no findings instead.
    InvalidCase
        There are no requests in that time, or outside of it and of all impacts.

    Examples
    --------
    >>> from incident_kit.incident import Incident
    >>> print(findings(Incident.create()))
    No findings: there is no impact to look at. annotate('impact', at, until), or findings(incident, (at, until)).
    """
    if during is None and not any(phase.kind == "impact" for phase in incident.phases):
        return Findings(incident, (), (), ())
    both = against(incident, during)
    return looked(incident, both.facets, look=both.spans, usual=both.usual_spans)


def looked(incident: Incident, of: Facets, *, look: Spans, usual: Spans) -> Findings:
    """Return what the checks find in some spans beside others; spans are [begin, end), in microseconds since the epoch."""
    material = Material(incident, of, look, usual)
    seen = {check: look_at(material) for check, (_, look_at) in CHECKS.items()}
    places = [(check, i) for check, one in seen.items() if not one.why for i in range(len(one.trials))]
    chances = dict(zip(places, holm([seen[check].trials[i].by_chance for check, i in places]), strict=True))
    found = [
        _finding(check, one, [chances.get((check, i), 1.0) for i in range(len(one.trials))])
        for check, one in seen.items()
    ]
    order = {check: place for place, check in enumerate(CHECKS)}
    found.sort(key=lambda one: (not one.interesting, one.trial is None, -_strength(one), order[one.check]))
    return Findings(incident, tuple(found), look, usual)


def _strength(one: Finding) -> float:
    return abs(one.trial.strength) if one.trial else 0.0


def _finding(check: str, seen: Looked, chances: list[float]) -> Finding:
    title = CHECKS[check][0]
    if seen.why:
        return Finding(check, title, interesting=False, sentence=f"cannot be looked at: {seen.why}.")
    risen = [trial for trial, chance in zip(seen.trials, chances, strict=True) if chance < CHANCE and trial.is_large]
    chance_of = {id(trial): chance for trial, chance in zip(seen.trials, chances, strict=True)}
    if seen.one_of:
        main, said, is_one = _one(seen, risen)
        interesting = is_one
    else:
        main, said = _most(seen, risen)
        interesting = bool(risen)
    if seen.facts:
        names = named(seen.facts, most=len(seen.facts))
        facts = f"these logs cannot tell {names}; what the load says they answer names what to load."
        said, interesting = f"{facts} {sentence(said)}" if risen else facts, True
    ids = seen.ids.gather(main.rows).rename("request_id") if main else pl.Series("request_id", [], dtype=pl.String)
    chance = chance_of.get(id(main), min((chance_of[id(one)] for one in risen), default=1.0))
    return Finding(check, title, interesting, said, main, chance, ids)


def _most(seen: Looked, risen: list[Trial]) -> tuple[Trial | None, str]:
    """Return the trial to speak of and its sentence: everything where it rose, else the strongest group."""
    pool = risen or list(seen.trials)
    if not pool:
        return None, "nothing to look at."
    if seen.by_part:
        told = "; ".join(_told(seen, one) for one in risen or pool[:1])
        return pool[0], f"{told}."
    main = next((one for one in pool if not one.group), None) or max(pool, key=lambda one: abs(one.strength))
    if not main.share.of:
        return main, f"no {seen.noun} in this time."
    others = sorted((one for one in risen if one.group and one is not main), key=lambda one: -abs(one.strength))
    aside = (
        "; most of all " + " and ".join(f"{named([one.group])} ({one.told()})" for one in others[:2]) if others else ""
    )
    return main, f"{_told(seen, main)}{aside}."


def _told(seen: Looked, main: Trial) -> str:
    share = main.share
    where = f" of {named([main.group])}" if main.group and not seen.by_part and not seen.one_of else ""
    did = f"{seen.did} {main.group}".strip() if seen.by_part else seen.did
    text = f"{number(share.count)} of {number(share.of)} {seen.noun}{where} {did}"
    if share.usual is None:
        return f"{text}; nothing usual to hold them against"
    return f"{text}, usually {_about(share.usual * share.of)} of as many{_points(main)}"


def _about(count: float) -> str:
    return "none" if count == 0 else "under one" if count < 0.5 else number(round(count))


def _points(main: Trial) -> str:
    low, high = main.share.interval()
    if low is None or high is None:
        return ""
    if low <= 0 <= high:
        return ""
    ends = (low, high) if low > 0 else (-high, -low)
    return f" ({number(ends[0], '%')[:-2]} to {number(ends[1], '%')[:-2]} points {'more' if low > 0 else 'less'})"


def _one(seen: Looked, risen: list[Trial]) -> tuple[Trial | None, str, bool]:
    """Return the trial to speak of, its sentence, and whether it is some groups rather than all of them.

    Groups have levels (a call has a provider, a target and a deployment): the coarsest that tells some from others, or a
    finer one that blames clearly fewer.
    """
    if not risen:
        main = max(seen.trials, key=lambda one: one.strength, default=None)
        return main, f"none stands out of {len(seen.trials)} looked at.", False
    blamed: tuple[list[Trial], list[Trial]] | None = None
    for level in dict.fromkeys(_level(one) for one in seen.trials):
        every = [one for one in seen.trials if _level(one) == level]
        up = sorted((one for one in every if any(one is other for other in risen)), key=lambda one: -one.strength)
        calm = [one for one in every if not any(one is other for other in risen)]
        stands_out = up and len(up) <= len(calm) and min(apart(up[0], other) for other in calm) >= APART
        if stands_out and (blamed is None or _size(up) < FINER * _size(blamed[0])):
            blamed = up, calm
    if blamed is None:
        strongest = max(risen, key=lambda one: one.strength)
        groups = sorted((one for one in risen if _level(one) == _level(strongest)), key=lambda one: -one.strength)
        told = f"{named([one.group for one in groups])} {'has' if len(groups) == 1 else 'have'} more than usual"
        return strongest, f"not one {seen.one_of} alone: {told}.", False
    up, calm = blamed
    main = together(up)
    as_usual = f"{named([one.group for one in calm])} {'is' if len(calm) == 1 else 'are'} as usual"
    return main, f"only {named([one.group for one in up])}: {_told(seen, main)}; {as_usual}.", True


def _level(one: Trial) -> str:
    return one.group.split(" ", 1)[0]


def _size(trials: list[Trial]) -> int:
    return sum(one.share.of for one in trials)


def _row(one: Finding) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_ROWS)
    row |= {"check": one.check, "interesting": one.interesting, "sentence": one.sentence}
    if one.trial is None:
        return row
    share = one.trial.share
    low, high = share.interval()
    return row | {
        "group": one.trial.group, "count": share.count, "of": share.of, "share": share.share,
        "usual_count": share.usual_count, "usual_of": share.usual_of, "usual": share.usual, "difference": share.difference,
        "low": low, "high": high, "by_chance": one.by_chance,
    }  # fmt: skip
