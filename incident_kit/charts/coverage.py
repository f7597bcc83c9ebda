"""What a policy's outcomes rest on over time: seen, borrowed from requests like them, or these logs cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import phasing, theme
from incident_kit.charts.phasing import TimeAxis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from incident_kit.phases import Phase

LOOKS = {  # evidence -> words, colour; from the best to none, lighter to stronger
    "observed": ("seen in the log", theme.GRID), "same_cell": ("from the same intent then", theme.SKY),
    "same_time": ("from other intents then", theme.BLUE), "same_intent": ("from the same intent at other times", theme.ORANGE),
    "none": ("these logs cannot tell", theme.VERMILLION),
}  # fmt: skip
_GUTTER = 46


def coverage(frame: Any, *, phases: Sequence[Phase] | None = None, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return a stack of shares over time for each policy: what its outcomes rest on.

    Parameters
    ----------
    frame
        What :func:`incident_kit.scoring.coverage.coverage` gives; or a board, or a replay.
    phases
        Annotations; taken from the incident where not given.
    width
        Of the whole chart, in pixels.
    """
    if not isinstance(frame, pl.DataFrame):
        from incident_kit.scoring.coverage import coverage as counted

        incident = getattr(frame, "incident", None)
        phases = (incident.phases if incident else ()) if phases is None else phases
        frame = counted(frame)
    if frame.is_empty():
        return theme.nothing("Nothing to show: no policy was replayed over a request.", width=width)
    axis = TimeAxis(frame["at"].min(), frame["until"].max(), width=width - _GUTTER)
    marks = phasing.frame(phasing.within(phases or (), axis), axis)
    policies = list(dict.fromkeys(frame["policy"]))
    parts: list[Any] = [phasing.strip(marks, axis)] if marks.height else []
    used = [name for name in LOOKS if (frame.filter(pl.col("evidence") == name)["n"] > 0).any()]
    for policy in policies:
        rows = frame.filter(pl.col("policy") == policy, pl.col("evidence").is_in(used))
        parts.append(_panel(policy, rows, marks, axis, used, first=policy == policies[0], last=policy == policies[-1]))
    # each panel has the same colours, but only the first their legend
    return theme.finished(alt.vconcat(*parts).resolve_scale(color="independent"), describe(frame))


def _panel(
    policy: str, rows: pl.DataFrame, marks: pl.DataFrame, axis: TimeAxis, used: list[str], *, first: bool, last: bool
) -> Any:
    said = [
        f"{words.number(n)} of {words.number(of)} ({words.number(share, '%')})"
        for n, of, share in rows.select("n", "of", "share").iter_rows()
    ]
    when = [words.period(at, until) for at, until in rows.select("at", "until").iter_rows()]
    place = {name: i for i, name in enumerate(LOOKS)}
    data = rows.select(
        "at", "until", "share", basis=pl.col("evidence").replace_strict({name: LOOKS[name][0] for name in LOOKS}),
        place=pl.col("evidence").replace_strict(place, return_dtype=pl.Int64), when=pl.Series(when, dtype=pl.String),
        said=pl.Series(said, dtype=pl.String),
    )  # fmt: skip
    ends = data.with_columns(high=pl.col("share").cum_sum().over("at", order_by="place")).with_columns(
        low=pl.col("high") - pl.col("share")
    )
    names = [LOOKS[name][0] for name in used]
    columns = 1 if axis.width < 450 else 3
    key = (
        alt.Legend(symbolType="square", symbolSize=110, symbolStrokeWidth=1, columns=columns, offset=8)
        if first
        else None
    )
    scale = alt.Scale(domain=names, range=[LOOKS[name][1] for name in used])
    tooltip = [
        alt.Tooltip("when:N", title="Time"), alt.Tooltip("basis:N", title="Rests on"), alt.Tooltip("said:N", title="Outcomes"),
    ]  # fmt: skip
    look: dict[str, Any] = {"title": None, "domain": False, "ticks": False, "values": [0, 0.5, 1], "format": "~%"}
    y_axis = alt.Axis(minExtent=_GUTTER - 4, maxExtent=_GUTTER - 4, labelExpr="replace(datum.label, '%', ' %')", **look)
    bars = alt.Chart(ends.filter(pl.col("share") > 0)).mark_rect(stroke=theme.PAPER, strokeWidth=0.5)
    stack = bars.encode(
        x=axis.x("at"), x2="until:T", y=alt.Y("low:Q", axis=y_axis, scale=alt.Scale(domain=[0, 1])), y2="high:Q",
        color=alt.Color("basis:N", scale=scale, legend=key), tooltip=tooltip,
    )  # fmt: skip
    shares = rows.group_by("evidence").agg(pl.col("n").sum())
    seen = dict(shares.iter_rows()).get("observed", 0) / max(int(shares["n"].sum()), 1)
    title = theme.heading(
        f"{words.label(policy)}: {words.number(seen, '%')} of its outcomes were seen", width=axis.width
    )
    return alt.layer(*phasing.backdrop(marks, axis, labels=last), stack).properties(
        width=axis.width, height=84, title=title
    )


def describe(frame: pl.DataFrame) -> str:
    """Return the chart in words, from its data: each policy's shares, and when most of its outcomes were borrowed."""
    parts = []
    for (policy,), rows in frame.group_by("policy", maintain_order=True):
        whole = int(rows["n"].sum())
        sums = dict(rows.group_by("evidence").agg(pl.col("n").sum()).iter_rows())
        told = [f"{words.number(sums[name] / whole, '%')} {LOOKS[name][0]}" for name in LOOKS if sums.get(name)]
        seen = rows.filter(pl.col("evidence") == "observed").sort("share", "at").row(0, named=True)
        least = f"; fewest were seen at {words.clock(seen['at'])} ({words.number(seen['share'], '%')})"
        parts.append(f"{words.label(str(policy))}: outcomes {', '.join(told)}{least if seen['share'] < 1 else ''}.")
    return " ".join(parts)
