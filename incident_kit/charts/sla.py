"""SLA targets that were missed, where they fell due, and which of them each policy would have kept or added."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import phasing, theme
from incident_kit.charts.phasing import TimeAxis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from incident_kit.phases import Phase

LOOKS = {  # change -> colour, where its bars go, opacity: told by direction and by outline, too
    "avoided": (theme.BLUE, -1), "caused": (theme.VERMILLION, 1), "cannot tell": (theme.MUTED, 1),
}  # fmt: skip
HANDLING = "waits and redone work"
_GUTTER = 46
_BARS = 60
_STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sla(
    frame: Any,
    *,
    changes: pl.DataFrame | None = None,
    totals: pl.DataFrame | None = None,
    phases: Sequence[Phase] | None = None,
    assuming: str = HANDLING,
    width: int = theme.WIDTH,
) -> alt.VConcatChart:
    """Return missed SLA targets at their computed due times, as logged, and per policy what would have changed.

    Parameters
    ----------
    frame
        One row a clock: ``breached_at`` (NULL: none) and ``breached``. Or an incident, or a board: then the next three are
        taken from it.
    changes, totals
        :attr:`Consequences.changes` and :attr:`Consequences.table` of the policies.
    phases
        Annotations.
    assuming
        Which of the consequences' assumptions is drawn.
    width
        Of the whole chart, in pixels.
    """
    if hasattr(frame, "breaches"):
        found = frame.breaches
        changes = found.changes if changes is None else changes
        totals = found.table if totals is None else totals
        frame = frame.incident
    if hasattr(frame, "clock"):
        phases = frame.phases if phases is None else phases
        frame = frame.clock.instances
    missed = frame.filter(pl.col("breached").fill_null(value=False), pl.col("breached_at").is_not_null())
    if frame.is_empty():
        return theme.nothing("Nothing to show: no SLA clock is in these records.", width=width)
    of = pl.DataFrame(schema=_CHANGES) if changes is None else changes.filter(pl.col("assuming") == assuming)
    instants = [*missed["breached_at"], *of["due_at"], *(at for p in phases or () for at in (p.at, p.until) if at)]
    if missed.is_empty() and of.is_empty():
        return theme.nothing(f"None of {words.number(frame.height)} SLA targets was missed.", width=width)
    start, end, step = _span(instants)
    axis = TimeAxis(start, end, width=width - _GUTTER)
    marks = phasing.frame(phasing.within(phases or (), axis), axis)
    logged = _binned(missed.select(at="breached_at", weight=pl.lit(1.0)), start, step).with_columns(
        change=pl.lit("missed")
    )  # fmt: skip
    policies = list(dict.fromkeys(totals["policy"] if totals is not None else of["policy"]))
    parts: list[Any] = [phasing.strip(marks, axis)] if marks.height else []
    title = f"SLA targets missed, at their due times, in {words.lasting(step)} (observed)"
    parts.append(_panel(logged, marks, axis, title=title, labels=not policies, look=None))
    for policy in policies:
        rows = of.filter(pl.col("policy") == policy)
        told = _total(policy, totals, assuming)
        if rows.is_empty():
            parts.append(theme.sentence(f"{words.label(policy)} (estimated): {told}", width=axis.width))
            continue
        labelled = rows.with_columns(pl.col("change").replace("undetermined", "cannot tell"))
        bins = pl.concat(
            [
                _binned(group.select(at="due_at", weight="share"), start, step).with_columns(
                    change=pl.lit(str(change)), count=pl.col("count") * LOOKS[str(change)][1]
                )
                for (change,), group in labelled.group_by("change", maintain_order=True)
            ]
        )
        last = policy == next((p for p in reversed(policies) if (of["policy"] == p).any()), None)
        heading = f"{words.label(policy)} (estimated): {told}"
        parts.append(_panel(bins, marks, axis, title=heading, labels=last, look=LOOKS))
    if not any((of["policy"] == p).any() for p in policies) and policies:
        # nobody below writes the axis
        place = 1 if marks.height else 0
        parts[place] = _panel(logged, marks, axis, title=title, labels=True, look=None)
    return theme.finished(alt.vconcat(*parts), describe(missed, frame.height, policies, totals, assuming))


_CHANGES: dict[str, Any] = {
    "policy": pl.String, "assuming": pl.String, "due_at": pl.Datetime("us", "UTC"), "change": pl.String,
    "share": pl.Float64,
}  # fmt: skip


def _span(instants: list[datetime]) -> tuple[datetime, datetime, timedelta]:
    """Return a span that holds the instants, and a round step that cuts it into about sixty."""
    first, last = min(instants), max(instants)
    seconds = max((last - first).total_seconds(), 60.0)
    step = timedelta(seconds=next((s for s in _STEPS_S if seconds / s <= _BARS), _STEPS_S[-1]))
    begin = _EPOCH + (first - _EPOCH) // step * step
    return begin, _EPOCH + ((last - _EPOCH) // step + 1) * step, step


def _binned(rows: pl.DataFrame, start: datetime, step: timedelta) -> pl.DataFrame:
    """Return the sum of weights in each step: at, until, count."""
    place = (pl.col("at") - start).dt.total_microseconds() // (step // timedelta(microseconds=1))
    begin = pl.lit(start).dt.cast_time_unit("us") + pl.duration(
        microseconds=place * (step // timedelta(microseconds=1))
    )
    return (
        rows.group_by(begin.alias("begin")).agg(count=pl.col("weight").cast(pl.Float64).sum()).sort("begin")
        .select(at="begin", until=pl.col("begin") + step, count="count")
    )  # fmt: skip


def _panel(bins: pl.DataFrame, marks: pl.DataFrame, axis: TimeAxis, *, title: str, labels: bool, look: Any) -> Any:
    when = [words.period(at, until) for at, until in bins.select("at", "until").iter_rows()]
    said = [words.number(round(abs(count), 1)) for count in bins["count"]]
    # what stands on the same side of zero in one step is stacked
    stacked = bins.with_columns(high=pl.col("count").cum_sum().over("at", pl.col("count") < 0))
    data = stacked.with_columns(low=pl.col("high") - pl.col("count")).with_columns(
        pl.Series("when", when, dtype=pl.String), pl.Series("said", said, dtype=pl.String)
    )
    tooltip = [
        alt.Tooltip("when:N", title="Due"),
        alt.Tooltip("change:N", title="Targets"),
        alt.Tooltip("said:N", title="How many"),
    ]
    layers = phasing.backdrop(marks, axis, labels=labels)
    look_y: dict[str, Any] = {"title": None, "domain": False, "ticks": False, "tickCount": 3, "format": ",~r"}
    if look:
        look_y["labelExpr"] = (
            "replace(datum.label, /[-\\u2212]/, '')"  # what is avoided hangs down: no negative targets
        )
    y_axis = alt.Axis(minExtent=_GUTTER - 4, maxExtent=_GUTTER - 4, **look_y)
    y = alt.Y("low:Q", axis=y_axis, scale=alt.Scale(nice=True, zero=True))
    base = alt.Chart(data).encode(x=axis.x("at"), x2="until:T", y=y, y2="high:Q", tooltip=tooltip)
    if look is None:
        layers.append(base.mark_rect(color=theme.INK, fillOpacity=0.75, stroke=theme.PAPER))
    else:
        names = [name for name in LOOKS if (bins["change"] == name).any()]
        scale = alt.Scale(domain=names, range=[LOOKS[name][0] for name in names])
        key = alt.Legend(symbolType="square", symbolSize=110, offset=6, columns=3)
        edge = alt.Stroke("change:N", scale=scale, legend=key)
        bars = base.mark_rect(fillOpacity=0.45, strokeWidth=1)
        layers.append(bars.encode(color=alt.Color("change:N", scale=scale, legend=key), stroke=edge))
        zero = alt.Chart(pl.DataFrame({"at": [0.0]})).mark_rule(color=theme.INK, aria=False)
        layers.append(zero.encode(y="at:Q"))
    shown = alt.layer(*layers).properties(width=axis.width, height=96, title=theme.heading(title, width=axis.width))
    return shown.resolve_scale(color="independent", stroke="independent")


def _total(policy: str, totals: pl.DataFrame | None, assuming: str) -> str:
    """Return what a policy would have kept and added, with their bounds."""
    row = None
    if totals is not None:
        found = totals.filter(pl.col("policy") == policy, pl.col("assuming") == assuming)
        row = found.row(0, named=True) if found.height else None
    if row is None:
        return "no clock waited for a request that is scored."
    said = [f"{_count(row, kind)} {kind}" for kind in ("avoided", "caused")]
    open_ = (
        f"; of {words.number(round(row['undetermined']))} these logs cannot tell" if row["undetermined"] >= 0.5 else ""
    )
    whole = f"of {words.number(row['logged'])} missed where a scored request was waited for"
    return f"{', '.join(said)}, {whole}{open_}; this counts {assuming}"


def _count(row: dict[str, Any], kind: str) -> str:
    value, low, high = (round(row[f"{kind}{end}"] or 0) for end in ("", "_low", "_high"))
    return words.number(value) if low == high == value else f"{words.number(value)} (between {low} and {high})"


def describe(missed: pl.DataFrame, clocks: int, policies: list[str], totals: pl.DataFrame | None, assuming: str) -> str:
    """Return the chart in words, from its data."""
    head = f"{words.number(missed.height)} of {words.number(clocks)} SLA targets were missed"
    if missed.height:
        first, last = missed["breached_at"].min(), missed["breached_at"].max()
        head += f", due {words.period(first, last, date=True)}"  # type: ignore[arg-type]
    told = [f"{words.label(policy)} (estimated): {_total(policy, totals, assuming)}".rstrip(".") for policy in policies]
    return ". ".join([head, *told]) + "."
