"""The front of a brief: what a director reads in two minutes, in plain words and at most seven numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from incident_kit import words
from incident_kit.asked import Decision, Owner
from incident_kit.briefs.brieftable import CANNOT_TELL, SAW, WORKED_OUT
from incident_kit.briefs.proposal import BARE, LOOK_UPS, Change, Gain, Proposal, listed, said
from incident_kit.phases import Phase

WORDS = 280  # of the front itself; headings, title and span are fewer than seventy
NUMBERS = 7  # up front, of counts and gains together
ENOUGH = 3  # counts of harm, beside which that of the backup says nothing more
COUNTED = 4  # counts of what people felt; what is left of the numbers are gains
KINDS, FATES = 3, 3  # kinds of question named for a fate, and fates
CAUSE, REASON = 160, 120  # characters of what the team noted, and of what rules are for
TOPICS = 2  # of what the logs cannot tell; all of them stand under "For engineers"
BACKUP = "Answers from the backup model"
HARM = re.compile(r"\((worse|.* but more .*)\)$")  # in what becomes of a kind of question
UNMADE = ", some because they are no longer made"  # where tools are switched off
USUALLY = "“Usually” is in as many outside of that time."
NAMES = 24  # characters of a policy's or an intent's name up front
QUESTIONS = {
    "waits": "how long people waited",
    "errors": "which requests got no answer",
    "tools": "whether look-ups worked",
    "overrides": "which drafts agents rewrote",
    "tickets": "which tickets were touched",
    "sla": "which promised times were missed",
    "fidelity": "whether the rules in force explain what was done",
    "intents": "what each request was about",
}


@dataclass(frozen=True)
class Count:
    """A count out of a total; ``normal`` is that count in as many outside of the incident, None where unknown.

    ``is_worse`` says whether it is more than chance gives, where that was tested; else the count is held against its root.
    ``at_least`` is set where the log may miss some.
    """

    label: str
    value: int | None
    out_of: int | None = None
    normal: float | None = None
    is_worse: bool | None = None
    at_least: bool = False

    @property
    def stands_out(self) -> bool:
        """Whether it is worse than usual, beyond chance."""
        if not self.value:
            return False
        return self.value > _by_chance(self.normal or 0) if self.is_worse is None else self.is_worse

    @property
    def shown(self) -> str:
        """The count as text: ``at least 96``."""
        return f"at least {words.number(self.value)}" if self.at_least and self.value else words.number(self.value)

    @property
    def usual(self) -> str:
        """What that count is in as many outside of the incident."""
        if self.value is None:
            return CANNOT_TELL
        if self.normal is None:
            return "nothing usual to compare with"
        usual = round(self.normal)
        return f"usually about {words.number(usual)}" if usual else "usually none"


@dataclass(frozen=True)
class Sign:
    """When the help desk first felt it, and what it felt, as a clause: ``agents rewrote more drafts``."""

    at: datetime
    said: str


@dataclass(frozen=True)
class Front:
    """The front part as text: a list of lines a section; no line holds markup."""

    decision: str
    whom: str
    felt: tuple[str, ...]
    counts: tuple[Count, ...]
    rules: str
    changes: tuple[tuple[str, str], ...]
    gains: tuple[str, ...]
    sure: tuple[tuple[str, str], ...]
    owners: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many words it has."""
        lines = [self.decision, self.whom, self.rules, *self.felt, *self.gains, *self.owners]
        lines += [f"{one} {other}" for one, other in (*self.changes, *self.sure)]
        lines += [f"{one.shown} of {one.out_of} {one.label}, {one.usual}" for one in self.counts]
        return len(" ".join(lines).split())


def front(
    *,
    decision: Decision | None,
    owners: Sequence[Owner],
    phases: Sequence[Phase],
    impact: Sequence[Count],
    proposal: Proposal | None,
    answers: Mapping[str, Any],
    end: datetime,
    zone: str = "UTC",
    sign: Sign | None = None,
    in_force: str = "",
) -> Front:
    """Return the front part of a brief; what nobody said is said to be missing."""
    asked, whom = _asked(decision, proposal)
    counted = counts(impact, most=COUNTED)
    gains = () if proposal is None else _gains(proposal, most=NUMBERS - len(counted))
    usually = (USUALLY,) if any(one.normal is not None for one in counted) else ()
    made = Front(
        asked,
        whom,
        (*felt(phases, end=end, zone=zone, sign=sign), *usually),
        counted,
        "" if proposal is None else _rules(proposal, in_force),
        () if proposal is None else _changes(proposal.changes),
        gains,
        tuple(_sure(proposal, answers)),
        tuple(owner.said for owner in owners) or ("Nobody is named yet.",),
    )
    # the least needed first: what harms nobody, then what the rules are for
    while made.size > WORDS and (calm := [one for one in made.changes if not HARM.search(one[0])]):
        made = replace(made, changes=tuple(one for one in made.changes if one != calm[-1]))
    if proposal is not None and made.size > WORDS:
        made = replace(made, rules=_rules(replace(proposal, reason="")))
    while made.size > WORDS and made.changes:
        made = replace(made, changes=made.changes[:-1])
    return made


def _rules(proposal: Proposal, in_force: str = "") -> str:
    """Return what was in force, what the rules are for, and that numbers follow."""
    was = f"In force was {_clause(in_force)}. " if in_force else ""
    reason = f" ({_clause(proposal.reason)})" if proposal.reason else ""
    name = words.label(proposal.policy, longest=NAMES)
    return f"{was}Had the rules “{name}” been in force{' instead' if was else ''}{reason}:"


def _clause(text: str) -> str:
    return words.label(text, longest=REASON).rstrip(".")


def _asked(decision: Decision | None, proposal: Proposal | None) -> tuple[str, str]:
    if decision is not None:
        return decision.said, decision.whom
    if proposal is None:
        return "No decision: no other rules were compared.", ""
    if proposal.question:
        return proposal.question, "The numbers suggest this; nobody is named to decide, no day is set."
    name = f"“{words.label(proposal.policy, longest=NAMES)}”"
    why = {
        "mixed": f"{name} would make some things better and others worse",
        "worse": f"{name} would have made things worse",
        "same": f"{name} would have changed nothing",
    }.get(proposal.verdict, f"we cannot tell whether {name} would have been better")
    return f"No decision: {why}.", ""


def felt(phases: Sequence[Phase], *, end: datetime, zone: str = "UTC", sign: Sign | None = None) -> tuple[str, ...]:
    """Return when it was, what the team noted of it, and who noticed when, in sentences."""
    impact = next((phase for phase in phases if phase.kind == "impact"), None)
    if impact is None:
        return ("No trouble was declared, and none stands out in the logs.",)
    first = {phase.kind: phase.at for phase in reversed(phases)}
    after = first.get("recovered")
    until = min(impact.until or (after if after and after > impact.at else end), end)
    until = max(until, impact.at)
    span = words.period(impact.at, until, zone=ZoneInfo(zone))
    lines = [f"For {words.lasting(until - impact.at)}, answers were slow or went wrong: {span}."]
    if impact.detected:
        lines.append("Nobody declared these times: the logs show them.")
    elif impact.text:
        lines.append(f"{words.sentence(words.label(impact.text, longest=CAUSE)).rstrip('.')}.")
    known = {what: first[kind] for kind, what in _NOTICED.items() if kind in first}
    if sign is not None:
        known[f"the help desk felt it ({sign.said})"] = sign.at
    told = "; ".join(_after(at, impact.at, what) for what, at in sorted(known.items(), key=lambda one: one[1]))
    if told:
        lines.append(f"{words.sentence(told)}.")
    return tuple(lines)


_NOTICED = {"detected": "the team noticed", "felt": "the first complaint came"}


def _after(at: datetime, start: datetime, what: str) -> str:
    if at - start < timedelta(seconds=1):
        return f"{what} at once" if at >= start else f"{what} {words.lasting(start - at)} before"
    return f"{what} after {words.lasting(at - start)}"


def counts(impact: Sequence[Count], *, most: int) -> tuple[Count, ...]:
    """Return the counts that were worse than usual, beyond chance; the first ones where none was."""
    known = [count for count in impact if count.value is not None]
    worse = [count for count in known if count.stands_out]
    felt = [count for count in worse if count.label != BACKUP]  # nobody suffers from that by itself
    return tuple(
        (felt if len(felt) >= ENOUGH else [*felt, *(one for one in worse if one not in felt)] or known[:2])[:most]
    )


def _by_chance(normal: float) -> float:
    """Return a count that usual time seldom exceeds: two standard deviations of a Poisson count."""
    return normal + 2 * math.sqrt(normal)


def _changes(changes: Sequence[Change]) -> tuple[tuple[str, str], ...]:
    """Return what becomes of which kinds of question: one line a fate and a verdict, the largest kind's first."""
    found: dict[str, list[str]] = {}
    for one in changes:
        found.setdefault(f"{words.sentence(one.would)} ({_verdict(one)})", []).append(
            words.label(said(one.intent), longest=NAMES)
        )
    lines = [(fate, _some(kinds)) for fate, kinds in found.items()]
    return tuple(lines[:FATES])


def _some(kinds: Sequence[str]) -> str:
    return listed(kinds) if len(kinds) <= KINDS else f"{', '.join(kinds[:KINDS])} and others"


def _verdict(change: Change) -> str:
    if change.verdict == "mixed":
        return f"with fewer {listed(change.fewer)} but more {listed(change.more)}"
    return {"better": "better", "worse": "worse", "same": "no different"}.get(
        change.verdict, "we cannot tell if better"
    )


def _gains(proposal: Proposal, *, most: int) -> tuple[str, ...]:
    """Return what would change for how many, surest harm and gain first, then the cost, then what cannot be told.

    At most so many lines hold numbers; what else gets surely worse is said without, what gets better stands in the table.
    """
    sure = [gain for gain in proposal.gains if gain.verdict in {"worse", "better"}]
    sure.sort(key=lambda gain: (gain.verdict != "worse", -abs(gain.low or 0)))
    cost = _cost(proposal.cost)
    room = max(most - any(letter.isdigit() for letter in cost), 0)
    bare = any(BARE in change.would for change in proposal.changes)
    lines = [_gain(gain) + (UNMADE if bare and gain.measure == LOOK_UPS else "") for gain in sure[:room]]
    rest = [gain.measure for gain in sure[room:] if gain.verdict == "worse"]
    lines += [f"{'Also ' if room else ''}more {listed(rest)}".capitalize()] if rest else []
    lines.append(cost)
    untold = [gain.measure for gain in proposal.gains if gain.verdict == "cannot tell"]
    if untold:
        lines.append(f"We cannot tell about {listed(untold)}.")
    return tuple(lines)


def _gain(gain: Gain) -> str:
    return f"{words.sentence(gain.between)} {'fewer' if gain.verdict == 'better' else 'more'} {gain.measure}"


def _cost(cost: tuple[float, float] | None) -> str:
    if cost is None:
        return "These logs cannot tell the cost."
    low, high = cost
    if low == high == 0:
        return "No extra cost."
    if low <= 0 <= high:
        return "We cannot tell if it costs more."
    ends = [words.number(end, "USD").removesuffix(" USD") for end in sorted((abs(low), abs(high)))]
    if min(abs(low), abs(high)) >= 10:
        ends = [words.number(round(end)) for end in sorted((abs(low), abs(high)))]
    between = ends[0] if ends[0] == ends[1] else f"between {ends[0]} and {ends[1]}"
    return f"{words.sentence(between)} USD {'more' if low > 0 else 'less'} to pay"


def _sure(proposal: Proposal | None, answers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each of the fixed phrases with what it holds of."""
    untold = [QUESTIONS.get(name, words.label(name)) for name, one in answers.items() if one.answer == "no"]
    lines = [(SAW, "what people felt.")]
    if proposal is not None:
        lines.append((WORKED_OUT, f"what would change, for {_about(1 - proposal.seen)} of the answers."))
    if untold:
        lines.append((CANNOT_TELL, f"{listed(untold[:TOPICS])}."))
    return lines


def _about(share: float) -> str:
    """Return a share in words."""
    steps = ((0.005, "almost none"), (0.07, "a few"), (0.17, "about one in ten"), (0.3, "about a quarter"),
             (0.42, "about a third"), (0.58, "about half"), (0.7, "about two thirds"), (0.93, "most"))  # fmt: skip
    return next((said for end, said in steps if share < end), "nearly all")
