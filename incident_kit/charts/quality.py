"""The backup beside the primary, for each kind of question and each measure of quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from incident_kit import words
from incident_kit.charts import theme

if TYPE_CHECKING:
    from incident_kit.words import Metric

ROLES = {"primary": theme.BLUE, "backup": theme.VERMILLION}
_BAR, _GAP = 16, 9  # pixels: a bar with its space, and between intents
_BETWEEN = 16
NOT_USED = "not used"
FEW = 20  # samples: fewer are drawn pale, and never told as a gap


def quality(frame: Any, *, plain: bool = False, width: int = theme.WIDTH) -> alt.VConcatChart:
    """Return small multiples, one a metric: the backup's bar under the primary's for each intent.

    Parameters
    ----------
    frame
        One row an intent, target, role and metric: ``intent``, ``target``, ``role`` (``primary`` or ``backup``),
        ``metric``, ``value`` (None when unknown), ``n``, ``note``. Or anything with such a ``.quality()``: an incident.
    plain
        Words for people who are no engineers.
    width
        Of the whole chart, in pixels; from 500 there are two panels a line.
    """
    if hasattr(frame, "quality"):
        frame = frame.quality()
    if frame.is_empty():
        return theme.nothing("Nothing to show: no answers in this period.", width=width)
    told = _told(_completed(frame), plain=plain)
    metrics = list(dict.fromkeys(told["metric"]))
    known = [name for name in metrics if told.filter(metric=name)["value"].count()]
    unknown = [name for name in metrics if name not in known]
    columns, gutter = (2, 124) if width >= 500 else (1, 110)
    plot = (width - gutter - (columns - 1) * _BETWEEN) // columns
    rows: list[Any] = []
    for i in range(0, len(known), columns):
        panels = [
            _panel(told.filter(metric=name), width=plot, gutter=0 if j else gutter, plain=plain)
            for j, name in enumerate(known[i : i + columns])
        ]
        joined = alt.hconcat(*panels, spacing=_BETWEEN)
        rows.append(joined if len(panels) > 1 else panels[0])
    rows += [theme.sentence(_missing(told.filter(metric=name), plain=plain), width=width - gutter) for name in unknown]
    chart = alt.vconcat(*rows)
    return theme.finished(chart, describe(told, known, unknown, plain=plain))


def _completed(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in the order they are drawn, with one that says "not used" where a role answered nothing."""
    seen = frame.select("intent", "metric").unique().join(frame.select("role").unique(), how="cross")
    absent = seen.join(frame, on=["intent", "metric", "role"], how="anti", nulls_equal=True).with_columns(
        note=pl.lit(NOT_USED)
    )
    place = {name: i for i, name in enumerate(words.METRICS)}
    order = pl.col("metric").replace_strict(place, default=len(place), return_dtype=pl.Int64)
    both = pl.concat([frame.with_columns(pl.col("note").cast(pl.String)), absent], how="diagonal")
    rows = both.sort(order, "metric", "intent", pl.col("role") != "primary", "target", nulls_last=True)
    return rows.with_columns(rivals=pl.len().over("metric", "intent", "role"))


def _title(metric: Metric, *, plain: bool) -> str:
    title = words.sentence(metric.plain) if plain else metric.title
    return f"{title},\u00a0{'s' if plain and metric.unit == 'ms' else metric.unit}" if metric.unit else title


def _missing(rows: pl.DataFrame, *, plain: bool) -> str:
    """Return that a metric is not known, and for engineers why."""
    known = words.metric(rows["metric"][0])
    notes = dict.fromkeys(note.removeprefix(words.NOT_IN_LOG).lstrip(": ") for note in rows["note"].drop_nulls())
    why = [words.sentence(words.label(note, longest=160)) for note in notes if note not in {"", NOT_USED} and not plain]
    name = words.sentence(known.plain) if plain else known.title
    return " ".join(text if text.endswith(".") else f"{text}." for text in (f"{name}: {words.NOT_IN_LOG}", *why))


def _told(frame: pl.DataFrame, *, plain: bool) -> pl.DataFrame:
    """Return the rows with their words: the value at the bar's end, or what is not known in its place."""

    def said(row: dict[str, Any]) -> str:
        if row["value"] is None:
            unknown = "no sample" if row["n"] == 0 else words.UNKNOWN
            return f"{row['role']}: {words.label(row['note'].split(':')[0]) if row['note'] else unknown}"
        text = words.metric(row["metric"]).shown(row["value"], plain=plain)
        text = f"{text} or more" if row["note"] == "lower bound" else text
        text = f"{text}, n {words.number(row['n'])}" if row["n"] is not None else text
        return f"{text}, {row['target']}" if row["rivals"] > 1 else text

    def few(row: dict[str, Any]) -> str:
        return "unknown" if row["n"] is None else words.number(row["n"])

    cleaned = frame.with_columns(
        pl.col("value").cast(pl.Float64).fill_nan(None),
        pl.col("intent").map_elements(words.label, return_dtype=pl.String, skip_nulls=False),
        pl.col("target").map_elements(words.label, return_dtype=pl.String, skip_nulls=False),
        pl.col("note").cast(pl.String),
        few=(pl.col("n") < FEW).fill_null(value=False),
    )
    rows = list(cleaned.iter_rows(named=True))
    return cleaned.with_columns(
        said=pl.Series([said(row) for row in rows], dtype=pl.String),
        samples=pl.Series([few(row) for row in rows], dtype=pl.String),
        remark=pl.Series(
            [words.label(row["note"], longest=120) if row["note"] else "none" for row in rows], dtype=pl.String
        ),
    )


def _panel(rows: pl.DataFrame, *, width: int, gutter: int, plain: bool) -> Any:
    """Return one metric's bars; the rows are laid out here, as intents have different numbers of models."""
    known = words.metric(rows["metric"][0])
    laid = _laid(rows)
    top = float(rows["value"].max() or 0)  # type: ignore[arg-type]
    longest = rows["said"].str.len_chars().filter(rows["value"].is_not_null()).max()
    room = width / max(width - 6 * int(longest) - 10, 40)  # type: ignore[arg-type] # the words stand at the bar's end
    none = alt.Axis(labels=False, ticks=False, domain=False, grid=False, title=None)
    x = alt.X("value:Q", scale=alt.Scale(domain=[0, top * room or 1], nice=False), axis=none)
    middle = alt.Y("middle:Q", scale=None, axis=None)
    key = alt.Legend(symbolType="square", symbolSize=110, symbolStrokeWidth=0, offset=10)
    colour = alt.Color("role:N", scale=alt.Scale(domain=list(ROLES), range=list(ROLES.values())), legend=key)
    names = {"intent": "Questions about", "role": "Role", "target": "Model", "said": "Value", "samples": "Samples"}
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in (names | {"remark": "Note"}).items()]
    some, blank = laid.filter(pl.col("value").is_not_null()), laid.filter(pl.col("value").is_null())
    beside: dict[str, Any] = {"align": "left", "baseline": "middle", "dx": 4}
    base = alt.Chart(some).encode(x=x, y=middle, tooltip=tooltip)
    layers: list[Any] = [
        base.mark_bar(orient="horizontal", size=_BAR - 2).encode(
            color=colour, fillOpacity=alt.condition(alt.datum.few, alt.value(0.3), alt.value(1))
        ),
        base.mark_text(**beside).encode(
            text="said:N", color=alt.condition(alt.datum.few, alt.value(theme.MUTED), alt.value(theme.INK))
        ),
    ]
    if blank.height:
        said = alt.Chart(blank).mark_text(**beside, fontStyle="italic", color=theme.MUTED)
        layers.append(said.encode(x=alt.value(0), y=middle, text="said:N", tooltip=tooltip))
    if gutter:
        groups = laid.group_by("intent", maintain_order=True).agg(pl.col("middle").mean())
        label = alt.Chart(groups).mark_text(align="right", baseline="middle", dx=-6, limit=gutter - 10)
        layers.append(label.encode(x=alt.value(0), y=middle, text="intent:N"))
        edge = alt.Chart(groups[:1]).mark_point(
            size=0, opacity=0, color=theme.PAPER, aria=False
        )  # keeps the place of short names
        layers.append(edge.encode(x=alt.value(6 - gutter), y=middle))
    bound = " (lower bound)" if "lower bound" in set(rows["note"].drop_nulls()) else ""
    title = theme.heading(_title(known, plain=plain) + bound, width=width)
    height = float(laid["middle"].max()) + _BAR / 2  # type: ignore[arg-type]
    return alt.layer(*layers).properties(width=width, height=height, title=title)


def _laid(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the middle of each bar in pixels from the top: bars of an intent together, a gap between."""
    group = pl.col("intent").rle_id()
    return rows.with_columns(middle=pl.int_range(pl.len()) * _BAR + group * _GAP + _BAR / 2)


def describe(told: pl.DataFrame, known: list[str], unknown: list[str], *, plain: bool) -> str:
    """Return the chart in words, from its data: for each metric the widest gap of enough samples, and what is not known."""
    parts = []
    for name in known:
        metric = words.metric(name)
        title = words.sentence(metric.plain) if plain else metric.title
        sides = (
            told.filter(pl.col("metric") == name, ~pl.col("few"))
            .group_by("intent", maintain_order=True)
            .agg(*(pl.col("value").filter(pl.col("role") == role).first().alias(role) for role in ROLES))
        )
        both = sides.drop_nulls()
        if both.is_empty():
            parts.append(f"{title}: no question that both answered often enough.")
            continue
        gap = both.sort((pl.col("backup") - pl.col("primary")).abs(), "intent", descending=[True, False]).row(
            0, named=True
        )
        backup, primary = metric.shown(gap["backup"], plain=plain), metric.shown(gap["primary"], plain=plain)
        parts.append(f"{title}: backup {backup}, primary {primary} on {gap['intent']}, the widest gap.")
    parts += [_missing(told.filter(metric=name), plain=plain) for name in unknown]
    return " ".join(parts)
