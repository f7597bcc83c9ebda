"""The scorecard as people read it: policies side by side, and for each number how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from incident_kit import words

SAW, WORKED_OUT, CANNOT_TELL = "we saw this", "worked out from similar requests", "these logs cannot tell"
# flags that the table says by other words: an unknown as these logs cannot tell, a bound before the number
_NO, _BOUND, _PARTLY = "not in this log", "lower bound", "these logs cannot tell"
AS_LOGGED = frozenset({"as logged", "as_logged"})
BASELINES = frozenset({"always_primary", "always_fallback"})  # the ends of the scale, not proposals
_PEOPLE = {
    "always_primary": "Never switch",
    "always_fallback": "Always the backup",
    "blind": "Switch everything at once",
}
_NOTED = {  # flags of the scorecard, in words
    "tools differ": "some answered without look-ups, judged by other answers",
    "last call only": "cost of the last try only",
    "extrapolated": "beyond what was seen of a slow model",
    "beyond observed load": "more traffic than the backup ever had",
    "selection": "the requests compared are not alike",
    "carried over": "taken over as logged",
}
WHAT_HAPPENED = "What happened"
_DASH = "–"  # noqa: RUF001 - where a number would be


TICKETS = "Tickets that missed a target, got no answer or had a draft rewritten, the worst first"
TICKET_COLUMNS = ("Ticket", "About", "Targets missed", "Drafts rewritten", "Longest wait", "By the backup")


@dataclass(frozen=True)
class Cell:
    """One number of the table, the words for how sure it is, what was noticed, and how far the truth may lie away."""

    value: str
    evidence: tuple[str, ...]
    bound: str = ""
    flags: tuple[str, ...] = ()
    limits: str = ""


@dataclass(frozen=True)
class Table:
    """One table: its columns, and a row a metric with a cell a column; ``rests`` says once what a whole column rests on."""

    intent: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    rests: tuple[Cell, ...] = ()


def column(policy: str) -> str:
    """Return a policy's name as the head of a column."""
    return WHAT_HAPPENED if policy in AS_LOGGED else _PEOPLE.get(policy, words.label(policy))


def worked_out(row: dict[str, Any]) -> float | None:
    """Return the share of outcomes that are worked out from similar requests, of whatever label; None without any shares."""
    shares = [row.get(f"share_{label}") for label in ("same_cell", "same_time", "same_intent")]
    return sum(share or 0.0 for share in shares) if any(share is not None for share in shares) else None


def evidence(row: dict[str, Any]) -> tuple[str, ...]:
    """Return how sure a number is, in the kit's three fixed phrases, with shares where it is a mixture."""
    if row.get("estimate") is None:
        return (CANNOT_TELL,)
    shares = {
        SAW: row.get("share_observed"),
        WORKED_OUT: worked_out(row),
        CANNOT_TELL: row.get("share_none"),
        "sent to no model": row.get("share_no_model"),
    }
    told = {phrase: share for phrase, share in shares.items() if share is not None and share >= 0.0005}
    if len(told) < 2:
        return tuple(told) or (CANNOT_TELL,)
    return tuple(f"{phrase}: {words.number(share, '%')}" for phrase, share in told.items())


def tables(frame: pl.DataFrame) -> list[Table]:
    """Return a table for all requests, first, and one for each intent."""
    if frame.is_empty():
        return []
    intents = sorted(set(frame["intent"]), key=lambda intent: (intent != "all", intent or ""))
    return [_table(frame.filter(pl.col("intent").eq_missing(intent)), intent) for intent in intents]


def _table(frame: pl.DataFrame, intent: str) -> Table:
    policies = sorted(dict.fromkeys(frame["policy"]), key=lambda policy: policy not in AS_LOGGED)
    logged = [] if AS_LOGGED & set(policies) else [WHAT_HAPPENED]
    cells = {(row["policy"], row["metric"]): row for row in frame.iter_rows(named=True)}
    rows = []
    for name in dict.fromkeys(frame["metric"]):
        known = words.metric(name)
        found = [cells.get((policy, name)) for policy in policies]
        line = [_cell(known, row, observed=policy in AS_LOGGED) for policy, row in zip(policies, found, strict=True)]
        if logged:
            line.insert(0, _cell(known, next((row for row in found if row), None), observed=True))
        rows.append((words.sentence(known.plain), tuple(line)))
    rests = tuple(_rests([line[i] for _, line in rows]) for i in range(len(logged) + len(policies)))
    once = [(name, tuple(_bare(cell, rests[i]) for i, cell in enumerate(line))) for name, line in rows]
    return Table(words.label(intent), (*logged, *map(column, policies)), tuple(once), rests)


def _rests(cells: Sequence[Cell]) -> Cell:
    """Return what most numbers of a column rest on: the same requests, so nearly always all of them."""
    known = [(cell.evidence, cell.flags) for cell in cells if cell.value != _DASH]
    evidence, flags = max(known, key=known.count, default=((CANNOT_TELL,), ()))
    return Cell("", evidence, "", flags)


def _bare(cell: Cell, rests: Cell) -> Cell:
    """Return a cell without what its column says once for all."""
    if cell.value == _DASH:
        return cell
    flags = tuple(flag for flag in cell.flags if flag not in rests.flags)
    return replace(cell, evidence=() if cell.evidence == rests.evidence else cell.evidence, flags=flags)


def _bounds(known: words.Metric, row: dict[str, Any] | None) -> str:
    """Return between what a number lies whatever happened; nothing where that is anything at all."""
    ends = [(row or {}).get(end) for end in ("bound_low", "bound_high")]
    if None in ends or (known.unit == "%" and ends == [0.0, 1.0]):
        return ""
    low, high = (known.shown(end, plain=True) for end in ends)
    return f"between {low} and {high} whatever happened"


def _cell(known: words.Metric, row: dict[str, Any] | None, *, observed: bool) -> Cell:
    value = row["observed" if observed else "estimate"] if row else None
    if row is None or value is None:
        return Cell(_DASH, (CANNOT_TELL,), limits="" if observed else _bounds(known, row))
    flags = [words.label(flag, longest=160) for flag in row.get("flags") or ()]
    bound = "at least" if observed and any(flag.startswith(_BOUND) for flag in flags) else ""
    of_draws = row.get("low") is not None
    low, high = (row.get(f"{'' if of_draws else 'bound_'}{end}") for end in ("low", "high"))
    limits = ""
    if not observed and low is not None and high is not None:
        ends = [known.shown(end, plain=True) for end in (low, high)]
        if ends[0] != ends[1]:
            limits = f"{'probably' if of_draws else 'at the extremes'} {' to '.join(ends)}"
    noted = (
        ()
        if observed
        else tuple(
            dict.fromkeys(
                _NOTED.get(head := flag.split(":")[0], head)
                for flag in flags
                if not flag.startswith((_NO, _BOUND, _PARTLY))
            )
        )
    )
    return Cell(known.shown(value, plain=True), (SAW,) if observed else evidence(row), bound, noted, limits)


def ticket_rows(tickets: pl.DataFrame) -> list[tuple[str, ...]]:
    """Return tickets by their ids, as text in the order of `TICKET_COLUMNS`."""
    return [
        (
            words.label(row["ticket_id"]), words.label(row["intent"]), words.number(row["targets_missed"]),
            words.number(row["overridden"]),
            words.number(None if row["longest_wait_s"] is None else 1000 * row["longest_wait_s"], "s"),
            words.number(row["by_backup"]),
        )
        for row in tickets.iter_rows(named=True)
    ]  # fmt: skip
