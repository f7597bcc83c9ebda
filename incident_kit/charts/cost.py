"""What each policy's answers cost, by the model that gave them."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme

_NAMES, _ROW, _END = 170, 34, 150
AS_LOGGED = "as logged"


def cost(frame: Any, *, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return a bar a policy, cut by the answering model, in US dollars for a thousand requests; intervals as lines.

    Parameters
    ----------
    frame
        What :func:`incident_kit.scoring.costs.costs` gives; or a board.
    width
        Of the whole chart, in pixels.
    """
    if not isinstance(frame, pl.DataFrame):
        from incident_kit.scoring.costs import costs

        frame = costs(frame)
    known = frame.filter(pl.col("cost_usd") > 0)
    if frame.is_empty() or known.is_empty():
        why = "no request is scored" if frame.is_empty() else "no answer has a price: list prices: in incident.yaml"
        return theme.nothing(f"Cost: {words.NOT_IN_LOG}, {why}.", width=width)
    narrow = width < 500
    gutter, end = (110, 96) if narrow else (_NAMES, _END)
    told = _told(known, short=narrow)
    targets = sorted(told["target"].unique())  # by name: a model keeps its colour and place in each form and width
    # not blue and vermillion, which elsewhere are an intent's primary and its backup: a model may be both
    inks = [theme.GREEN, theme.PURPLE, theme.ORANGE, theme.SKY, theme.INK, theme.MUTED]
    scale = alt.Scale(domain=targets, range=[inks[min(i, 5)] for i in range(len(targets))])
    key = alt.Legend(symbolType="square", symbolSize=110, symbolStrokeWidth=0, offset=8, columns=1 if narrow else 3)
    order = list(dict.fromkeys(told["policy"]))
    y = alt.Y("policy:N", sort=order, axis=theme.names(gutter))
    top = float(told.select(pl.max_horizontal("high", "total_high", "total")).max().item())
    room = (width - gutter) / max(width - gutter - end, 60)
    x = alt.X(
        "low:Q",
        scale=alt.Scale(domain=[0, top * room], nice=False),
        axis=alt.Axis(title="US dollars for 1,000 requests", tickCount=5),
    )
    tooltip = [
        alt.Tooltip("policy:N", title="Policy"), alt.Tooltip("target:N", title="Answered by"),
        alt.Tooltip("said:N", title="Cost of 1,000"),
        alt.Tooltip("share:N", title="Answers"), alt.Tooltip("all:N", title="Altogether"),
    ]  # fmt: skip
    bars = alt.Chart(told).mark_bar(height=_ROW - 16, stroke=theme.PAPER, strokeWidth=1).encode(
        x=x, x2="high:Q", y=y, color=alt.Color("target:N", scale=scale, legend=key), tooltip=tooltip
    )  # fmt: skip
    totals = told.unique("policy", keep="first", maintain_order=True)
    text = alt.Chart(totals).mark_text(align="left", baseline="middle", dx=6, color=theme.INK).encode(
        x=alt.X("edge:Q"), y=y, text="all:N"
    )  # fmt: skip
    layers: list[Any] = [bars, text]
    spans = totals.filter(pl.col("total_low") < pl.col("total_high"))
    if spans.height:
        rule = (
            alt.Chart(spans).mark_rule(color=theme.INK, strokeWidth=2).encode(x="total_low:Q", x2="total_high:Q", y=y)
        )
        layers.insert(1, rule)
    missing = int((frame["requests"] - frame["priced"]).sum())
    note = f"without {words.number(missing)} answers of all policies that have no known cost" if missing else ""
    title = theme.heading("Cost of 1,000 requests, by the model that answered", subtitle=note, width=width - gutter)
    chart = alt.layer(*layers).properties(width=width - gutter, height=_ROW * len(order), title=title)
    return theme.finished(alt.vconcat(chart), describe(told))


def _told(known: pl.DataFrame, *, short: bool) -> pl.DataFrame:
    """Return the pieces of each bar, in dollars for a thousand requests, with what is told of them."""
    priced = pl.col("priced").sum().over("policy")
    per = 1000 / priced
    scaled = known.filter(priced > 0).with_columns(
        *(pl.col(name).map_elements(words.label, return_dtype=pl.String) for name in ("policy", "target")),
        value=pl.col("cost_usd") * per, total_low=pl.col("total_low") * per, total_high=pl.col("total_high") * per,
        total=pl.coalesce("total_usd", pl.col("cost_usd").sum().over("policy")) * per,
    ).with_columns(high=pl.col("value").cum_sum().over("policy")).with_columns(
        low=pl.col("high") - pl.col("value"),
        edge=pl.max_horizontal(pl.col("high").max().over("policy"), "total", "total_high"),
    )  # fmt: skip
    rows = list(scaled.iter_rows(named=True))
    answers = [f"{words.number(row['requests'])} of {words.number(row['all_requests'])}" for row in rows]
    return scaled.with_columns(
        said=pl.Series([words.number(row["value"], "USD") for row in rows], dtype=pl.String),
        share=pl.Series(answers, dtype=pl.String),
        all=pl.Series([_all(row, short=short) for row in rows], dtype=pl.String),
    )  # fmt: skip


def _all(row: dict[str, Any], *, short: bool) -> str:
    said = words.number(row["total"], "USD")
    low, high = row["total_low"], row["total_high"]
    if low is not None and high is not None and low < high and not short:
        said = f"{words.number(low, 'USD').removesuffix(' USD')} to {words.number(high, 'USD')}"
    return said if row["policy"] == AS_LOGGED or short else f"{said} (estimated)"


def describe(told: pl.DataFrame) -> str:
    """Return the chart in words, from its data."""
    totals = told.unique("policy", keep="first", maintain_order=True)
    parts = [f"{policy}: {whole}" for policy, whole in totals.select("policy", "all").iter_rows()]
    return f"Cost of 1,000 requests. {'; '.join(parts)}."
