"""Everything that can go wrong on purpose: one base class, and a noun for each kind."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class IncidentKitError(ValueError):
    """Base of every error the kit raises for its user: says what, where, what is available, what to do."""


class UnreadableFile(IncidentKitError):
    """A file is missing, a directory, empty, cut short, or not text."""


class UnknownFormat(IncidentKitError):
    """No source recognises the file, or the named source does not exist."""


class InvalidRows(IncidentKitError):
    """A file was recognised, but no row of it can be used."""


class InvalidStore(IncidentKitError):
    """The incident file is not one, is in use, or was written by another version."""


class InvalidCase(IncidentKitError):
    """``incident.yaml`` cannot be used."""


class InvalidPack(IncidentKitError):
    """A pack cannot be written or read: a file of it is missing, cut short or changed."""


class InvalidScenario(IncidentKitError):
    """A scenario or rehearsal cannot be used."""


class InvalidPolicy(IncidentKitError):
    """A policy file cannot be used."""


class InvalidConfiguration(IncidentKitError):
    """A gateway's own configuration cannot be read or converted."""


class InvalidLimits(IncidentKitError):
    """A file of limits for a check cannot be used."""


class InvalidSweep(IncidentKitError):
    """A file does not hold what a sweep writes."""


class InvalidObjective(IncidentKitError):
    """What consequences cost cannot be used."""


class InvalidClock(IncidentKitError):
    """A schedule, zone or rule of an SLA clock cannot be used."""


class UnansweredQuestion(IncidentKitError):
    """The loaded logs cannot answer what was asked of them."""


class NoSuchItem(IncidentKitError):
    """A request, route, phase, target or source that is not there."""


class UnavailableCluster(IncidentKitError):
    """A Spark cluster cannot be had, or cannot do what is asked of it."""


class UnwritableFile(IncidentKitError):
    """A file that was asked for cannot be written."""


class UnfitNotebook(IncidentKitError):
    """A notebook is none, did not run to its end, or shows what must not leave the machine."""


class UndrawnChart(IncidentKitError):
    """A chart could not be turned into a picture."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
