"""Where each route was sent, by policy: on its primary, on its backup, or testing the primary."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import phasing, theme
from incident_kit.charts.phasing import TimeAxis
from incident_kit.errors import NoSuchItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from incident_kit.phases import Phase

PRIMARY, BACKUP, TESTING = "on primary", "on backup", "testing primary"
_ROW = 26
_MOST = 1_000  # spans that are drawn one by one
_NARROW = 4  # pixels; of more spans than that, those that are narrower are drawn as one
# colour, and how much of its row a bar fills: the state is told twice
_LOOK = {PRIMARY: (theme.SKY, 0.28), BACKUP: (theme.VERMILLION, 0.84), TESTING: (theme.INK, 0.56)}


def states(frame: Any, *, phases: Sequence[Phase] | None = None, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return one bar a route and policy over time, coloured and sized by where its requests went.

    Parameters
    ----------
    frame
        One row a span: ``policy``, ``route``, ``target``, ``state`` (``on primary``, ``on backup`` or
        ``testing primary``), ``start``, ``end``, ``why``, ``metric``, ``value``, ``n``, ``threshold``. Or anything that
        has such a ``.states()``: a replay.
    phases
        Annotations; taken from the replay where not given and it has them.
    width
        Of the whole chart, in pixels.
    """
    if hasattr(frame, "states"):
        phases = getattr(frame, "phases", ()) if phases is None else phases
        frame = frame.states()
    if frame.is_empty():
        return theme.nothing("Nothing to show: no route was replayed in this period.", width=width)
    spans = _named(frame)
    gutter = 124 if width >= 500 else 110
    axis = TimeAxis(spans["start"].min(), spans["end"].max(), width=width - gutter)  # type: ignore[arg-type]
    marks = phasing.frame(phasing.within(phases or (), axis), axis)
    policies = list(dict.fromkeys(spans["policy"]))
    drawn = _told(spans if spans.height <= _MOST else _wide(spans, axis))
    parts: list[Any] = [phasing.strip(marks, axis)] if marks.height else []
    for policy in policies:
        labels = policy == policies[-1]
        bars = _bars(drawn.filter(pl.col("policy") == policy), axis, gutter=gutter)
        panel = alt.layer(*phasing.backdrop(marks, axis, labels=labels), *bars)
        parts.append(panel.properties(width=axis.width, title=theme.heading(f"Policy: {policy}", width=axis.width)))
    return theme.finished(alt.vconcat(*parts), describe(spans))


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the spans in order of time, each with an end, under names that can be shown."""
    known_states = pl.col("state").is_in(list(_LOOK))
    if not frame.select(known_states.all()).item():
        odd = frame.filter(~known_states)["state"][0]
        raise NoSuchItem(f"states has a span in the state {odd!r}; known are {', '.join(map(repr, _LOOK))}")
    closed = frame.with_columns(end=pl.col("end").fill_null(pl.col("end").max()).fill_null(pl.col("start")))
    clean = [pl.col(name).map_elements(words.label, return_dtype=pl.String) for name in ("policy", "route", "target")]
    others = (
        pl.when(pl.col("route").n_unique().over("policy") > 1)
        .then(pl.lit("all others"))
        .otherwise(pl.lit("all requests"))
    )
    named = closed.with_columns(clean).with_columns(
        route=pl.when(pl.col("route") == "*").then(others).otherwise("route")
    )
    return named.sort("start", maintain_order=True)


def _wide(spans: pl.DataFrame, axis: TimeAxis) -> pl.DataFrame:
    """Return spans that can be seen: those of a route that follow one another, each too narrow, as one on the backup."""
    whose = ["policy", "route", "target"]
    narrow = pl.col("end") - pl.col("start") < (axis.end - axis.start) / axis.width * _NARROW
    rows = spans.sort(*whose, "start", maintain_order=True).with_columns(narrow=narrow)
    begins = ~pl.col("narrow") | ~pl.col("narrow").shift(fill_value=False)
    begins |= pl.any_horizontal(pl.col(name) != pl.col(name).shift(fill_value="") for name in whose)
    one = pl.col("narrow").len() == 1
    facts = ["metric", "value", "n", "threshold"]
    merged = rows.with_columns(group=begins.cum_sum()).group_by("group", *whose, maintain_order=True).agg(
        pl.col("start").first(),
        pl.col("end").last(),
        pl.when(one).then(pl.col("state").first()).otherwise(pl.lit(BACKUP)).alias("state"),
        pl.when(one).then(pl.col("why").first()).otherwise(
            pl.format("changed {} times, too often to be drawn", pl.len() - 1)
        ).alias("why"),
        *(pl.when(one).then(pl.col(name).first()).alias(name) for name in facts),
    )  # fmt: skip
    return merged.sort("start", maintain_order=True)


def _told(spans: pl.DataFrame) -> pl.DataFrame:
    """Return the spans with what a person reads on hover: times, length, signal, value, samples and limit in words."""

    def signal(row: dict[str, Any]) -> dict[str, str]:
        known = words.metric(row["metric"]) if row["metric"] else None
        over = f"{known.plain} the value" if known and known.plain.endswith("over") else known.plain if known else ""
        return {
            "from": words.clock(row["start"]),
            "to": words.clock(row["end"]),
            "lasted": words.lasting(row["end"] - row["start"]),
            "signal": over or "none",
            "said_value": known.shown(row["value"], plain=True) if known else "none",
            "said_n": words.number(row["n"]) if row["n"] is not None else "none",
            "limit": known.shown(row["threshold"], plain=True) if known else "none",
            "reason": words.label(row["why"], longest=160) if row["why"] else "none given",
        }

    return pl.concat([spans, pl.DataFrame([signal(row) for row in spans.iter_rows(named=True)])], how="horizontal")


def _bars(spans: pl.DataFrame, axis: TimeAxis, *, gutter: int) -> list[Any]:
    """Return a layer for each state of one policy's routes."""
    routes = list(dict.fromkeys(spans["route"]))
    names = {"policy": "Policy", "route": "Questions about", "state": "State", "target": "Primary"}
    names |= {"from": "From", "to": "Until", "lasted": "Lasted", "reason": "Why"}
    names |= {"signal": "What was measured", "said_value": "Value", "said_n": "Samples", "limit": "Limit"}
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in names.items()]
    y = alt.Y("route:N", sort=routes, title=None, axis=theme.names(gutter))
    columns = 3 if axis.width > 400 else 2
    key = alt.Legend(symbolType="square", symbolSize=110, symbolStrokeWidth=0, columns=columns, offset=10)
    scale = alt.Scale(domain=list(_LOOK), range=[ink for ink, _ in _LOOK.values()])
    layers = []
    for state, (ink, share) in _LOOK.items():
        rows = spans.filter(pl.col("state") == state)
        if rows.height:
            mark: Any = alt.Chart(rows).mark_bar(height={"band": share}, stroke=ink, strokeWidth=1)
            x = axis.x("start")
            colour = alt.Color("state:N", scale=scale, legend=key)
            bars = mark.encode(x=x, x2="end:T", y=y, color=colour, tooltip=tooltip)
            layers.append(bars.properties(height=_ROW * len(routes)))
    return layers


def describe(spans: pl.DataFrame) -> str:
    """Return the chart in words, from its data: how long and how often each route was on its backup."""
    parts = []
    for (policy, route), rows in spans.group_by("policy", "route", maintain_order=True):
        away = rows.filter(pl.col("state") == BACKUP).sort("start")
        if away.is_empty():
            parts.append(f"{policy}, {route}: on primary throughout.")
            continue
        total = words.lasting(timedelta(milliseconds=int((away["end"] - away["start"]).dt.total_milliseconds().sum())))
        first, last = away["start"].min(), away["end"].max()
        date = first.date() != last.date()  # type: ignore[union-attr]
        first, last = (words.clock(at, date=date) for at in (first, last))  # type: ignore[arg-type]
        tests = rows.filter(pl.col("state") == TESTING).height
        tried = f", testing the primary {tests} times" if tests > 1 else ", testing the primary once" if tests else ""
        parts.append(f"{policy}, {route}: on backup for {total} between {first} and {last}{tried}.")
    return " ".join(parts)
