"""Signs: when the help desk felt an incident: more contacts, escalations, overrides or breaches than usual, a complaint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.healthy import impacts_us
from incident_kit.scoring.series import missed_at
from incident_kit.stats.rises import CHANCE, FEWEST, WIDTHS, Rise, rate_rise, share_rise
from incident_kit.words import clock, label, lasting, number

if TYPE_CHECKING:
    from incident_kit.incident import Incident

SIGNS = ("felt", "contacts", "escalations", "overrides", "breaches", "first breach")
ONE_BY_CHANCE = 0.05  # a first breach that healthy time would show as soon with this probability is no sign
LONGEST = timedelta(days=31)  # without an impact, to look for one in
INTENTS = 12  # looked at each by itself, the largest
_INSTANT = pl.Datetime("us", "UTC")
_ROWS: dict[str, Any] = {
    "sign": pl.String, "intent": pl.String, "at": _INSTANT, "since": _INSTANT, "count": pl.Int64, "of": pl.Int64,
    "usual": pl.Float64, "window": pl.Duration("us"), "counts": pl.Boolean, "why": pl.String,
}  # fmt: skip
_THINGS = {
    "contacts": "new tickets",
    "escalations": "escalations",
    "breaches": "targets missed",
    "overrides": "overrides",
}
Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class Signs:
    """When the help desk felt it, sign by sign: ``rows``, one a sign, in the order of :data:`SIGNS`.

    Columns: sign, intent (the one that it rose in first; NULL: over all), at (when it could be seen; NULL: never), since
    (where the counts change the most, in the hour before), count, of (for a share: reviews), usual (the healthy share; for a
    rate how many such a window of healthy time holds), window, counts (whether the headline may rest on it), why (what it is,
    or why there is none).

    A rise is what healthy time would show anywhere in a span as long with a probability of about 5 % at most, each sign by
    itself (:mod:`incident_kit.stats.rises`). Breaches stand at their computed due times.
    """

    incident: Incident
    rows: pl.DataFrame

    @cached_property
    def earliest(self) -> dict[str, Any] | None:
        """The row of the earliest sign that counts; None where the help desk shows none."""
        seen = self.rows.filter(pl.col("at").is_not_null(), "counts").sort("at", maintain_order=True)
        return seen.row(0, named=True) if seen.height else None

    def said(self, row: dict[str, Any]) -> str:
        """Return what happened at one row's time, in words: ``overrides of chat rose (34 of 80 in 10 min, usual 11 %)``."""
        sign, where = row["sign"], f" of {label(row['intent'])}" if row["intent"] else ""
        if sign == "felt":
            return "the first complaint came"
        if sign == "first breach":
            return f"the first target{where} was missed, at its due time"
        span = lasting(row["window"])
        if row["of"] is not None:
            told = f"{number(row['count'])} of {number(row['of'])} in {span}, usual {number(row['usual'], '%')}"
        else:
            told = f"{number(row['count'])} in {span}, usual {number(row['usual'])}"
        began = f"; since about {row['since']:%H:%M} UTC" if row["since"] < row["at"] else ""
        return f"{_THINGS[sign]}{where} rose ({told}{began})"

    def called(self, row: dict[str, Any]) -> str:
        """Return one row's sign in a few words: ``overrides of chat rose``."""
        return self.said(row).split(" (")[0] if row["sign"] != "first breach" else "a first target was missed"

    def __str__(self) -> str:
        zone = ZoneInfo(self.incident.zone)
        lines = ["Signs that the help desk felt it:"]
        for row in self.rows.iter_rows(named=True):
            if row["at"] is None:
                lines.append(f"  {row['sign']}: none ({row['why']})")
                continue
            aside = row["why"] and (f": {label(row['why'])}" if row["counts"] else f"; not counted: {row['why']}")
            lines.append(f"  {row['sign']}: {clock(row['at'], zone=zone)}: {self.said(row)}{aside}")
        return "\n".join(lines)


def signs(incident: Incident) -> Signs:
    """Return when the help desk felt an incident, each sign against its own healthy time.

    Looked at from the first impact on, until half an hour after the last; without an impact, over the whole log against
    itself. Escalations, overrides and breaches are looked for over all and in each of the larger intents.
    """
    moments, reviews = incident.store.query("sign_moments"), incident.store.query("sign_reviews")
    due = _due(incident, moments)
    times = [_ends(frame["at_us"]) for frame in (moments, reviews, due) if frame.height]
    impacts = impacts_us(incident)
    if not times:
        return _nothing(incident, "nothing of a help desk is loaded")
    first, last = min(begin for begin, _ in times), max(end for _, end in times)
    if not impacts and last - first > _us(LONGEST):
        return _nothing(incident, "no impact is known: incident.annotate('impact', at, until)")
    begin = impacts[0][0] if impacts else first
    look = (begin, min(impacts[-1][1] + _us(max(WIDTHS)), last) if impacts else last)
    desk = _Desk(look, list(impacts), moments.filter(what="contacts")["at_us"].to_numpy())
    found = [
        _felt(incident, begin),
        desk.rate("contacts", moments.filter(what="contacts")),
        desk.rate("escalations", moments.filter(what="escalations")),
        desk.share(reviews),
        desk.rate("breaches", due),
        desk.first("first breach", due),
    ]
    return Signs(incident, pl.DataFrame(found, schema=_ROWS))


@dataclass(frozen=True)
class _Desk:
    """What every sign is looked for with: the span to look at, the impacts, when tickets were created."""

    look: tuple[int, int]
    impacts: Spans
    created_us: NDArray[np.int64]

    def healthy(self, late_us: int = 0) -> Spans:
        """Return healthy time in which tickets' events are all known: not those that follow tickets from before the export."""
        if not len(self.created_us):
            return []
        begin, end = int(self.created_us[0]) + late_us, int(self.created_us[-1])
        return _without(begin, end, self.impacts)

    def rate(self, sign: str, rows: pl.DataFrame) -> dict[str, Any]:
        """Return the first rise of a rate, over all or in an intent."""
        if rows.is_empty():
            return _none(sign, "no targets are known to be missed" if sign == "breaches" else f"no {sign} are loaded")
        late = rows["after_us"].drop_nulls().quantile(0.9) if sign != "contacts" else 0
        healthy = self.healthy(int(late or 0))
        # an intent's contacts come in bursts of their own, on any day; a whole desk's hardly do
        groups = _groups(rows) if sign != "contacts" else {None: rows}
        chance = CHANCE / len(groups)
        rises = {
            intent: rate_rise(group["at_us"].to_numpy(), look=self.look, healthy=healthy, chance=chance)
            for intent, group in groups.items()
        }
        return _row(sign, rises)

    def share(self, rows: pl.DataFrame) -> dict[str, Any]:
        """Return the first rise of the share of overrides among reviews; where only overrides are logged, among requests."""
        reviews = rows.filter("decided")
        if not reviews["overridden"].any():
            return _none("overrides", "no override is logged")
        alone = bool(reviews["overridden"].all())
        every = rows["at_us"].to_numpy() if alone else reviews["at_us"].to_numpy()
        healthy = _without(int(every[0]), int(every[-1]) + 1, self.impacts)
        groups = _groups(reviews)
        rises = {}
        for intent, group in groups.items():
            asked = rows.filter(~pl.col("decided"))
            asked = asked if intent is None else asked.filter(intent=intent)
            rises[intent] = share_rise(
                group["at_us"].to_numpy(), group["overridden"].to_numpy(), look=self.look, healthy=healthy,
                of_us=asked["at_us"].to_numpy() if alone else None, chance=CHANCE / len(groups),
            )  # fmt: skip
        return _row("overrides", rises)

    def first(self, sign: str, rows: pl.DataFrame) -> dict[str, Any]:
        """Return the first event in the impact; it counts where healthy time would hardly show one as soon."""
        inside = rows.filter(pl.col("at_us") >= self.look[0], pl.col("at_us") <= self.look[1])
        if inside.is_empty():
            return _none(sign, "no target was missed from the impact on")
        one = inside.row(0, named=True)
        healthy = self.healthy(int(rows["after_us"].drop_nulls().quantile(0.9) or 0))
        length = sum(b - a for a, b in healthy)
        usual = sum(int(rows["at_us"].is_between(a, b, closed="left").sum()) for a, b in healthy)
        if not length:
            return _none(sign, "too little healthy time for a baseline") | {
                "at": _instant(one["at_us"]),
                "counts": False,
            }
        expected = (usual + 0.5) / length * (one["at_us"] - self.look[0])
        chance = 1 - math.exp(-expected)
        why = f"healthy time misses {number(usual / length * 3.6e9)} an hour" if chance >= ONE_BY_CHANCE else ""
        return {
            "sign": sign, "intent": one["intent"], "at": _instant(one["at_us"]), "since": None, "count": 1, "of": None,
            "usual": expected, "window": timedelta(microseconds=one["at_us"] - self.look[0]), "counts": not why, "why": why,
        }  # fmt: skip


def _nothing(incident: Incident, why: str) -> Signs:
    rows = [_none(sign, why) for sign in SIGNS[1:]]
    return Signs(incident, pl.DataFrame([_felt(incident, None), *rows], schema=_ROWS))


def _ends(at_us: pl.Series) -> tuple[int, int]:
    values = at_us.to_numpy()
    return int(values.min()), int(values.max())


def _felt(incident: Incident, begin: int | None) -> dict[str, Any]:
    """Return the first annotated complaint from the impact on."""
    said = [phase for phase in incident.phases if phase.kind == "felt"]
    after = [phase for phase in said if begin is None or round(phase.at.timestamp() * 1e6) >= begin]
    if not after:
        return _none("felt", "nobody annotated a first complaint: incident.annotate('felt', at)")
    return _none("felt", after[0].text) | {"at": after[0].at, "counts": True}


def _due(incident: Incident, moments: pl.DataFrame) -> pl.DataFrame:
    """Return missed targets at their computed due times: at_us, intent of the ticket, after_us (since the clock's start)."""
    intents = moments.filter(what="contacts").select("ticket_id", "intent").unique("ticket_id")
    missed = incident.clock.instances.with_columns(missed_at().alias("at"))
    return (
        missed.filter(pl.col("at").is_not_null())
        .join(intents, on="ticket_id", how="left")
        .select(
            "intent",
            pl.col("at").dt.epoch("us").alias("at_us"),
            (pl.col("at") - pl.col("started_at")).dt.total_microseconds().alias("after_us"),
        )
        .sort("at_us", "intent")
    )


def _groups(rows: pl.DataFrame) -> dict[str | None, pl.DataFrame]:
    """Return all rows under None, and each larger intent's."""
    sizes = rows.drop_nulls("intent")["intent"].value_counts(sort=True).filter(pl.col("count") >= FEWEST)
    names = sorted(sizes["intent"].head(INTENTS).to_list())
    return {None: rows} | ({name: rows.filter(intent=name) for name in names} if len(names) > 1 else {})


def _row(sign: str, rises: dict[str | None, Rise]) -> dict[str, Any]:
    seen = [(intent, rise) for intent, rise in rises.items() if rise.at_us is not None]
    if not seen:
        return _none(sign, rises[None].why)
    intent, rise = min(seen, key=lambda one: (one[1].at_us or 0, one[0] is not None, one[0] or ""))
    return {
        "sign": sign, "intent": intent, "at": _instant(rise.at_us), "since": _instant(rise.since_us), "count": rise.count,
        "of": rise.of, "usual": rise.usual, "window": timedelta(microseconds=rise.width_us), "counts": True, "why": "",
    }  # fmt: skip


def _none(sign: str, why: str) -> dict[str, Any]:
    return dict.fromkeys(_ROWS) | {"sign": sign, "counts": False, "why": why}


def _without(begin: int, end: int, impacts: Spans) -> Spans:
    """Return what is left of a span without the impacts."""
    left: Spans = []
    for a, b in impacts:
        if begin < min(a, end):
            left.append((begin, min(a, end)))
        begin = max(begin, b)
    return [*left, (begin, end)] if begin < end else left


def _instant(at_us: int | None) -> datetime | None:
    return (
        None
        if at_us is None
        else datetime.fromtimestamp(at_us // 1_000_000, UTC) + timedelta(microseconds=at_us % 1_000_000)
    )


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
