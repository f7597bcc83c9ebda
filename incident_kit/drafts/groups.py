"""Groups: the kinds of requests that a log lets a policy tell apart: by intent, else by what was asked for or by a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.words import label

if TYPE_CHECKING:
    from incident_kit.incident import Incident

FEWEST = 100  # requests that a group of its own has
MOST = 20  # groups; the rest is one
COVERED = 0.9  # of the requests have the key that groups them


@dataclass(frozen=True)
class Group:
    """Requests (positions in the log) that one route would take: those of an ``intent``, or with a ``value`` of a ``key``."""

    name: str
    key: str
    requests: NDArray[np.intp]

    @property
    def is_rest(self) -> bool:
        """Whether these are the requests of no group of their own."""
        return self.key == "*"


@dataclass(frozen=True)
class Grouping:
    """Groups by size, the rest last, what they are told apart by, and what had to join the rest, in words."""

    by: str
    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def grouping(incident: Incident) -> Grouping:
    """Return the groups of an incident's requests.

    By intent where half of the requests have one; else by the key (what was asked for, or a label) that most requests have and
    that has two to forty values; else all are one group. A group has a hundred requests; smaller ones are the rest (``*``).
    """
    log = incident.log
    if (log.intent >= 0).mean() >= 0.5 if len(log) else False:
        values = np.array(log.intents, dtype=object)[log.intent]
        values[log.intent < 0] = None
        return _grouped("intent", values)
    keys = incident.store.query("draft_keys")
    sizes = keys.group_by("key").agg(pl.len(), pl.col("value").n_unique().alias("values")).sort("key")
    usable = sizes.filter(pl.col("len") >= COVERED * len(log), pl.col("values").is_between(2, 2 * MOST))
    usable = usable.sort(pl.col("key") != "requested", "values", "key")
    if usable.is_empty():
        return _grouped("*", np.full(len(log), None, dtype=object))
    key = usable["key"][0]
    ids = pl.DataFrame({"request_id": log.request_id})
    found = ids.join(keys.filter(key=key), on="request_id", how="left", maintain_order="left")["value"]
    return _grouped(key, found.to_numpy())


def _grouped(key: str, values: NDArray[np.object_]) -> Grouping:
    counts = pl.Series("value", values.tolist(), dtype=pl.String).drop_nulls().value_counts()
    ranked = counts.sort("count", "value", descending=[True, False]).rows()
    notes: list[str] = []
    groups: list[Group] = []
    for value, count in ranked:
        if count < FEWEST:
            notes.append(f"{label(value)} has only {count:,} requests: it joins the rest")
        elif not is_name(value) or set(value) & set("*?"):  # as a pattern it would take others too
            notes.append(f"{label(value)} cannot stand in a policy as a name: it joins the rest")
        elif len(groups) >= MOST:
            notes.append(f"{label(value)} is not among the {MOST} largest: it joins the rest")
        else:
            groups.append(Group(value, key, np.flatnonzero(values == value)))
    own = {group.name for group in groups}
    rest = np.flatnonzero(np.array([value not in own for value in values], np.bool_))
    if len(rest):
        groups.append(Group("*", "*", rest))
    return Grouping(key, tuple(groups), tuple(notes))


def is_name(text: str) -> bool:
    """Return whether a policy can hold this as a name: printable, no blanks around it."""
    return text.isprintable() and text == text.strip() and 0 < len(text) <= 200
