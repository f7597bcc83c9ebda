"""Reconciliation: which way of counting breaches gives a support lead's own figure, or by how much each misses it.

Two honest people count differently: tickets or targets, what the help desk flagged or what its times say, by the day of
creation or of the due time, in one zone or another, with clocks that still run or without.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.errors import NoSuchItem, did_you_mean
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident

# in the order in which a step from the kit's own figure to the lead's is taken; the first of each is the kit's own
CHOICES: dict[str, tuple[str, ...]] = {
    "count": ("targets", "tickets"),
    "verdicts": ("recomputed", "recorded"),
    "running": ("with running clocks", "ended clocks only"),
    "by": ("due", "created", "ended", "solved"),
    "period": ("impact", "day", "week", "month", "all"),
}
EVERY = "all metrics"
ALIASES = {"instances": "targets"}
_ROWS: dict[str, Any] = {
    **dict.fromkeys(("count", "verdicts", "running", "metric", "by", "period", "zone", "only"), pl.String),
    "figure": pl.Int64, "difference": pl.Int64, "steps": pl.Int64, "alike": pl.Int64,
}  # fmt: skip
_TOLD = {
    "targets": "each missed target by itself", "tickets": "each ticket once", "recomputed": "counted anew from the times",
    "recorded": "as the help desk flagged them", "with running clocks": "clocks that still run too",
    "ended clocks only": "only clocks that ended", "due": "by the due time", "created": "by the ticket's creation",
    "ended": "by when the clock ended", "solved": "by when the ticket was solved", "impact": "in the impact",
    "day": "on the day of the impact", "week": "in the week of the impact", "month": "in the month of the impact",
    "all": "in the whole export",
}  # fmt: skip
SHOWN = 5
KINDS = ("priority", "group", "intent", "channel", "policy")  # a lead may count one of each alone
MOST = 12  # values of a kind that are tried


@dataclass(frozen=True)
class Reconciliation:
    """A figure against every sensible way of counting: ``rows``, one a rule, the nearest first.

    Columns: count, verdicts, running, metric, by, period and zone (of days, weeks and months; empty where it does not
    matter), only (tickets of one priority, group, intent, channel or policy; tried where nothing else gives the figure),
    figure, difference (to the given one), steps (how many choices differ from the kit's own), alike (a number that rules
    which count the very same clocks have in common).
    """

    given: int
    rows: pl.DataFrame
    zone: str

    @property
    def matches(self) -> pl.DataFrame:
        """The rules that give the figure, the fewest steps from the kit's own first, one of those that count the same."""
        return self.rows.filter(difference=0).unique("alike", keep="first", maintain_order=True)

    @cached_property
    def own(self) -> dict[str, Any]:
        """The kit's own way, or what of it was not ruled out: the rule with the fewest steps."""
        return self.rows.sort("steps", maintain_order=True).row(0, named=True)

    @cached_property
    def path(self) -> tuple[tuple[str, int], ...]:
        """The steps from the kit's own figure to the nearest rule's: what changes, and the figure then."""
        if self.rows.is_empty():
            return ()
        rule, goal = dict(self.own), self.rows.row(0, named=True)
        found = [("the kit's own way", int(rule["figure"]))]
        known = {tuple(row[name] for name in _NAMES): int(row["figure"]) for row in self.rows.iter_rows(named=True)}
        for name in (*CHOICES, "metric", "zone", "only"):
            if rule[name] == goal[name]:
                continue
            rule[name] = goal[name]
            rule["zone"] = goal["zone"] if rule["period"] in _DAYS else ""
            figure = known.get(tuple(rule[one] for one in _NAMES))
            if figure is not None:
                found.append((_choice(name, goal), figure))
        return tuple(found)

    def _unlike(self, rule: Mapping[str, Any]) -> str:
        """Return in what a way of counting differs from the kit's own."""
        own = self.own
        apart = [_choice(name, rule) for name in (*CHOICES, "metric", "only") if rule[name] != own[name]]
        return (", ".join(apart) or "the kit's own way") + (f" ({rule['zone']})" if rule["zone"] else "")

    def __str__(self) -> str:
        if self.rows.is_empty():
            return "No SLA target is loaded: there is nothing to count."
        own, best = self.own, self.rows.row(0, named=True)
        lines = [
            f"The kit counts {number(own['figure'])} missed targets: {said(own)}. The figure given is {number(self.given)}."
        ]
        found = self.matches
        if found.height:
            ways = "1 way" if found.height == 1 else f"{number(found.height)} ways"
            same = self.rows.filter(difference=0).height - found.height
            also = f" ({number(same)} more come to the very same clocks)" if same else ""
            lines.append(f"{ways} of counting {'gives' if found.height == 1 else 'give'} it{also}:")
            lines += [f"  {self._unlike(row)}" for row in found.head(SHOWN).iter_rows(named=True)]
            if found.height > 1:
                lines.append("Ask which is meant: equal figures may be so by chance.")
        else:
            near = f"{number(best['figure'])} ({best['difference']:+,})"
            lines.append(f"No way of counting gives it; the nearest is {near}: {self._unlike(best)}.")
        if len(self.path) > 1:
            lines.append("From the kit's figure to it:")
            before = None
            for what, figure in self.path:
                change = "" if before is None else f" ({figure - before:+,})"
                lines.append(f"  {what}: {number(figure)}{change}")
                before = figure
        return "\n".join(lines)


_NAMES = ("count", "verdicts", "running", "metric", "by", "period", "zone", "only")
_DAYS = ("day", "week", "month")


def said(rule: Mapping[str, Any]) -> str:
    """Return a way of counting in words."""
    parts = [_TOLD[rule["count"]], _choice("metric", rule), *(_TOLD[rule[name]] for name in ("verdicts", "running"))]
    when = _TOLD[rule["by"]] + " " + _TOLD[rule["period"]] if rule["period"] != "all" else _TOLD["all"]
    return ", ".join([*parts, when + (f" ({rule['zone']})" if rule["zone"] else "")])


def _choice(name: str, rule: Mapping[str, Any]) -> str:
    if name == "metric":
        return EVERY if rule["metric"] == EVERY else f"{rule['metric'].replace('_', ' ')} only"
    if name == "only":
        return f"only {label(rule['only'])}"
    if name == "zone":
        return f"days of {rule['zone']}"
    return _TOLD[rule[name]]


def reconcile(
    incident: Incident,
    breaches: int,
    *,
    zone: str | None = None,
    by: str | None = None,
    count: str | None = None,
    metric: str | None = None,
    verdicts: str | None = None,
    period: str | None = None,
) -> Reconciliation:
    """Return which ways of counting missed targets give a figure, and by how much the others miss it.

    Parameters
    ----------
    breaches
        The figure to be explained.
    zone
        Whose days it is of (an IANA name); default: the case's zone and UTC are tried.
    by
        ``due``, ``created``, ``ended`` or ``solved``: which date decides; default: all are tried, as of what follows.
    count
        ``targets`` (or ``instances``) or ``tickets``.
    metric
        One metric, or ``all metrics``.
    verdicts
        ``recomputed`` or ``recorded``.
    period
        ``impact``, ``day``, ``week``, ``month`` (of the impact) or ``all``.

    Raises
    ------
    NoSuchItem
        There is no such choice, metric or zone.
    """
    rows = _breaches(incident)
    metrics = rows["metric"].unique().sort().to_list()
    every = (EVERY, *metrics) if len(metrics) > 1 else (EVERY,)
    given = {"by": by, "count": ALIASES.get(count or "", count), "verdicts": verdicts, "period": period}
    choices = {name: _chosen(name, given.get(name), options) for name, options in CHOICES.items()}
    choices["metric"] = _chosen("metric", metric, (EVERY, *metrics))[: None if metric else len(every)]
    if zone is not None and zone not in available_timezones():
        raise NoSuchItem(f"there is no time zone {zone!r}{did_you_mean(zone, available_timezones())}")
    zones = (zone,) if zone else tuple(dict.fromkeys((incident.zone, "UTC")))
    spans = dict(_spans(incident, zones, choices["period"]))
    found = _counted(rows, choices, spans, breaches, {"": np.ones(rows.height, np.bool_)}) if rows.height else []
    if found and not any(rule["difference"] == 0 for rule in found):
        found = _counted(rows, choices, spans, breaches, _parts(rows))
    frame = pl.DataFrame(found, schema=_ROWS)
    return Reconciliation(breaches, frame.sort(pl.col("difference").abs(), "steps", maintain_order=True), zones[0])


def _chosen(name: str, value: str | None, options: tuple[str, ...]) -> tuple[str, ...]:
    if value is None:
        return options
    if value not in options:
        raise NoSuchItem(f"there is no {name} {value!r}{did_you_mean(value, options)}; there are {', '.join(options)}")
    return (value,)


def _breaches(incident: Incident) -> pl.DataFrame:
    """Return the clocks that are late by the help desk's word or by the kit's, with every date that may decide."""
    tickets = incident.tickets().unique("ticket_id", keep="first", maintain_order=True).drop("load_id")
    clocks = incident.clock.instances.join(tickets, on="ticket_id", how="left", maintain_order="left")
    kinds = (pl.col("group_name").alias("group"), "priority", "intent", "channel", "policy")
    us = {
        "due": pl.coalesce("breached_at", "due_at", "recorded_due_at"),
        "created": pl.coalesce("created_at", "started_at"), "ended": pl.col("stopped_at"), "solved": pl.col("solved_at"),
    }  # fmt: skip
    return clocks.select(
        "ticket_id", "metric",
        (pl.col("verdict") == "breached").alias("recomputed"),
        pl.col("recorded_breached").fill_null(value=False).alias("recorded"),
        pl.col("stopped_at").is_not_null().alias("is_ended"),
        *kinds, *(at.dt.epoch("us").alias(name) for name, at in us.items()),
    ).filter(pl.col("recomputed") | pl.col("recorded"))  # fmt: skip


def _spans(
    incident: Incident, zones: tuple[str, ...], periods: tuple[str, ...]
) -> Iterator[tuple[tuple[str, str], tuple[int, int] | None]]:
    """Yield the span of each period in each zone; None: all time. Without an impact, its periods are those of the log."""
    about = incident.about()
    has_impact = any(phase.kind == "impact" for phase in incident.phases)
    begin, end = incident.span("impact") if has_impact else (about["first"], about["last"])
    for period in periods:
        if period == "all" or begin is None:
            yield ("all", ""), None
        elif period == "impact":
            yield (period, ""), (_us(begin), _us(end))
        else:
            for zone in zones:
                first, last = _whole(period, begin, end, ZoneInfo(zone))
                yield (period, zone), (_us(first), _us(last))


def _whole(period: str, begin: datetime, end: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the days, weeks (from Monday on) or months of a zone that hold a span."""
    first = begin.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    last = (end - timedelta(microseconds=1)).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        first, last = first - timedelta(days=first.weekday()), last + timedelta(days=6 - last.weekday())
    elif period == "month":
        first = first.replace(day=1)
        last = (last.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return first, last + timedelta(days=1)


def _us(at: datetime) -> int:
    return (at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _parts(rows: pl.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Return the clocks of each larger priority, group, intent, channel and policy, and all."""
    found = {"": np.ones(rows.height, np.bool_)}
    for kind in KINDS:
        values = rows[kind].drop_nulls().value_counts(sort=True).sort("count", kind, descending=[True, False])
        if values.height > 1:
            found |= {
                f"{kind} {name}": (rows[kind] == name).fill_null(value=False).to_numpy()
                for name in values[kind].head(MOST)
            }
    return found


def _counted(
    rows: pl.DataFrame,
    choices: dict[str, tuple[str, ...]],
    spans: dict[tuple[str, str], tuple[int, int] | None],
    given: int,
    parts: dict[str, NDArray[np.bool_]],
) -> list[dict[str, Any]]:
    """Return the figure of every rule."""
    ticket = rows["ticket_id"].rank("dense").to_numpy()
    every = np.ones(rows.height, np.bool_)
    flags = {
        ("metric", name): every if name == EVERY else (rows["metric"] == name).to_numpy() for name in choices["metric"]
    }
    flags |= {("verdicts", name): rows[name].to_numpy() for name in choices["verdicts"]}
    flags |= {
        ("running", CHOICES["running"][0]): every,
        ("running", CHOICES["running"][1]): rows["is_ended"].to_numpy(),
    }
    flags |= {("only", name): of for name, of in parts.items()}
    when: dict[tuple[str, str, str], NDArray[np.bool_]] = {}
    for by, (key, span) in itertools.product(choices["by"], spans.items()):
        if span is None:
            when.setdefault((choices["by"][0], *key), every)  # no date decides
        else:
            when[by, *key] = rows[by].is_between(*span, closed="left").fill_null(value=False).to_numpy()
    first_zone = next((zone for _, zone in spans if zone), "")
    found, seen = [], dict[bytes, int]()
    names = ("verdicts", "running", "metric", "only")
    for picked in itertools.product(*(choices[name] for name in names[:3]), parts):
        flagged = np.logical_and.reduce([flags[one] for one in zip(names, picked, strict=True)])
        for (by, period, zone), within in when.items():
            kept = flagged & within
            alike = seen.setdefault(np.packbits(kept).tobytes(), len(seen))
            for count in choices["count"]:
                figure = int(len(np.unique(ticket[kept])) if count == "tickets" else kept.sum())
                rule = dict(zip(names, picked, strict=True)) | {
                    "count": count,
                    "by": by,
                    "period": period,
                    "zone": zone,
                }
                steps = sum(rule[name] != options[0] for name, options in CHOICES.items())
                steps += (rule["metric"] != EVERY) + (rule["only"] != "") + (zone not in {"", first_zone})
                found.append(rule | {"figure": figure, "difference": figure - given, "steps": steps, "alike": alike})
    return found
