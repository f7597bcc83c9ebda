"""The backup less the primary, for each measure and intent, with its interval and whether it is within its margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme

if TYPE_CHECKING:
    from incident_kit.backups.compatibilities import Compatibility

LOOKS = {  # colour and shape, so that colour is never alone
    "within its margin": (theme.BLUE, "circle"),
    "open": (theme.MUTED, "diamond"),
    "worse": (theme.VERMILLION, "square"),
}
TITLES = {
    "error_rate": "Failed calls, points",
    "p95_ms": "p95 latency, ms",
    "tool_success_rate": "Tool success, points",
    "tools_called": "Answers that use a tool, points",
    "override_rate": "Overrides, points",
}
_NAMES, _ROW = 170, 26  # pixels: of the intents' names, of a row


def compatibility(found: Compatibility, *, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return a panel a measure: for each intent the backup less the primary on like traffic, with its 90 % interval.

    Parameters
    ----------
    found
        What :func:`incident_kit.compatibility` gives.
    width
        Of the whole chart, in pixels.
    """
    rows = found.table.filter(
        pl.col("metric").is_in(list(TITLES)), pl.col("judged") != "", pl.col("difference").is_not_null()
    )
    if rows.is_empty():
        return theme.nothing(
            "Nothing to compare: no intent was answered by both its primary and its backup.", width=width
        )
    told, gutter = _told(rows), _NAMES if width >= 500 else 124
    panels = [
        _panel(
            told.filter(pl.col("metric") == name),
            name,
            width=width - gutter,
            gutter=gutter,
            last=name == list(TITLES)[-1],
        )
        for name in TITLES
        if (told["metric"] == name).any()
    ]
    return theme.finished(alt.vconcat(*panels), describe(found))


def _told(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with points in place of shares, labels in place of names, and the difference in words."""
    scale = pl.when(pl.col("metric") == "p95_ms").then(1.0).otherwise(100.0)
    numbers = ("difference", "low", "high")
    told = rows.with_columns(
        *((pl.col(name).fill_nan(None) * scale).alias(name) for name in numbers),
        pl.col("intent").map_elements(words.label, return_dtype=pl.String),
    ).with_columns(pl.col("low").fill_null(pl.col("difference")), pl.col("high").fill_null(pl.col("difference")))
    said = [
        f"{row['difference']:+z,.0f} ({row['low']:+z,.0f} to {row['high']:+z,.0f})" if row["metric"] == "p95_ms"
        else f"{row['difference']:+z.1f} ({row['low']:+z.1f} to {row['high']:+z.1f})"
        for row in told.iter_rows(named=True)
    ]  # fmt: skip
    return told.with_columns(said=pl.Series(said, dtype=pl.String)).select(
        "intent", "metric", *numbers, "judged", "said", "n_primary", "n_backup"
    )


def _panel(rows: pl.DataFrame, name: str, *, width: int, gutter: int, last: bool) -> Any:
    kinds = list(LOOKS)
    colour = alt.Color("judged:N", scale=alt.Scale(domain=kinds, range=[LOOKS[one][0] for one in kinds]), title=None)
    shape = alt.Shape("judged:N", scale=alt.Scale(domain=kinds, range=[LOOKS[one][1] for one in kinds]), title=None)
    tooltip = [
        alt.Tooltip("intent:N", title="Questions about"), alt.Tooltip("said:N", title="Backup less primary"),
        alt.Tooltip("judged:N", title="Judged"), alt.Tooltip("n_backup:Q", title="Calls of the backup"),
        alt.Tooltip("n_primary:Q", title="Calls of the primary"),
    ]  # fmt: skip
    y = alt.Y("intent:N", sort=None, axis=theme.names(gutter))
    title = "less than the primary   |   more" if last else None
    x = alt.X("low:Q", axis=alt.Axis(title=title, tickCount=6 if width > 300 else 4), scale=alt.Scale(zero=True))
    base = alt.Chart(rows).encode(y=y, color=colour, tooltip=tooltip)
    zero = alt.Chart(pl.DataFrame({"at": [0.0]})).mark_rule(color=theme.INK).encode(x="at:Q")
    span = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q")
    point = base.mark_point(filled=True, size=70, opacity=1).encode(x="difference:Q", shape=shape)
    height = _ROW * rows["intent"].n_unique()
    return alt.layer(zero, span, point).properties(
        width=width, height=height, title=theme.heading(f"{TITLES[name]}: backup less primary", width=width)
    )


def describe(found: Compatibility) -> str:
    """Return the chart in words, from its data: the verdict of each intent."""
    return " ".join(
        f"{words.sentence(words.label(row['intent']))}: {row['verdict']} ({row['why']})."
        for row in found.verdicts.iter_rows(named=True)
    )
