"""Asked: which decision a brief asks for, of whom and by when, and who owns what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from incident_kit.words import label

LONGEST = 300


@dataclass(frozen=True)
class Decision:
    """The decision that is asked: its text, of whom, and by when (a date, or words)."""

    text: str
    of: str = ""
    by: date | str = ""

    @property
    def said(self) -> str:
        """The decision as one line."""
        return label(self.text, longest=LONGEST)

    @property
    def whom(self) -> str:
        """Of whom it is asked and by when; what nobody said, is said so."""
        of = label(self.of, longest=LONGEST) if self.of else "nobody named yet"
        return f"Asked of {of}, {_day(self.by) if self.by else 'no date set'}."


@dataclass(frozen=True)
class Owner:
    """Who does what, by when (a date, or words)."""

    name: str
    task: str = ""
    by: date | str = ""

    @property
    def said(self) -> str:
        """The owner, the task and the day as one line."""
        parts = [label(self.name, longest=LONGEST)]
        if self.task:
            parts.append(f": {label(self.task, longest=LONGEST)}")
        if self.by:
            parts.append(f", {_day(self.by)}")
        return "".join(parts)


def decision_of(given: Decision | str | None) -> Decision | None:
    """Return a decision from a decision or from its text; None from nothing."""
    if isinstance(given, str):
        return Decision(given) if given.strip() else None
    return given


def owners_of(given: Sequence[Owner | str]) -> tuple[Owner, ...]:
    """Return owners from owners or from their names."""
    return tuple(Owner(one) if isinstance(one, str) else one for one in given)


def _day(by: date | str) -> str:
    day = by.date() if isinstance(by, datetime) else by
    return f"by {day.day} {day:%B %Y}" if isinstance(day, date) else f"by {label(day, longest=60)}"
