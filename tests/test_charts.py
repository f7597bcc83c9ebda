"""Charts as specifications: what is drawn, said and left out; pictures where only a renderer can tell."""

from __future__ import annotations

import functools
import html
import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import altair as alt
import made_up
import polars as pl
import pytest
import vl_convert
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_kit import charts, words
from incident_kit.charts import offline, theme
from incident_kit.charts import series as told
from incident_kit.errors import NoSuchItem, UndrawnChart
from incident_kit.phases import Phase

NAMES = ("timeline", "states", "quality")


@functools.cache
def drawn(name: str, **options: Any) -> alt.VConcatChart:
    """Return a chart of the made-up incident; they do not change, so each is made once."""
    if name == "timeline":
        return charts.timeline(made_up.series(), phases=made_up.PHASES, **options)
    if name == "states":
        return charts.states(made_up.states(), phases=made_up.PHASES, **options)
    return charts.quality(made_up.quality(), **options)


@functools.cache
def picture(name: str) -> str:
    return charts.svg(drawn(name))


FRAMES = {"timeline": made_up.series, "states": made_up.states, "quality": made_up.quality}


def nodes(spec: object) -> list[dict]:
    """Return every mapping in a specification but those of its data."""
    if isinstance(spec, list):
        return [found for item in spec for found in nodes(item)]
    if not isinstance(spec, dict):
        return []
    return [spec, *(found for key, item in spec.items() if key != "datasets" for found in nodes(item))]


def titles(chart: alt.VConcatChart) -> list[str]:
    found = [node["title"] for node in nodes(chart.to_dict()) if "text" in (node.get("title") or ())]
    return [" ".join(title["text"]) if isinstance(title["text"], list) else title["text"] for title in found]


def said(chart: alt.VConcatChart) -> str:
    """Return all words of a chart's picture; a line of a text after the other, a text from the next by a bar."""
    texts = re.findall(r"<text[^>]*>(.*?)</text>", charts.svg(chart))
    return " | ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).replace("  ", " ").strip() for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_every_chart_is_valid_titled_described_and_in_utc(name: str) -> None:
    spec = drawn(name).to_dict()
    assert len(spec["description"]) > 40
    times = [node for node in nodes(spec) if node.get("type") == "temporal" and "scale" in node]
    assert bool(times) == (name != "quality")
    assert all(node["scale"]["type"] == "utc" for node in times)
    assert not any("format" in node for node in nodes(spec) if node.get("type") == "temporal")
    assert titles(drawn(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [theme.WIDTH, theme.NARROW])
def test_charts_keep_to_the_width_they_are_given(name: str, width: int) -> None:
    size = re.search(r'width="(\d+)', charts.svg(drawn(name, width=width)))
    assert size
    assert abs(int(size[1]) - width) <= 0.04 * width


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_frame_gives_a_chart_that_says_there_is_nothing(name: str) -> None:
    chart = getattr(charts, name)(FRAMES[name]().clear())
    assert "Nothing to show" in chart.to_dict()["description"]
    assert "Nothing to show" in said(chart)


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_of_one_row_gives_a_chart(name: str) -> None:
    frame = FRAMES[name]()[:1]
    assert charts.svg(getattr(charts, name)(frame))


def test_one_interval_is_a_point_and_says_so() -> None:
    chart = charts.timeline(made_up.series(1))
    marks = [node["mark"]["type"] for node in nodes(chart.to_dict()) if isinstance(node.get("mark"), dict)]
    assert "point" in marks
    assert "only one interval" in said(chart)
    assert "only one interval" in chart.to_dict()["description"]


def test_the_description_is_computed_from_the_data() -> None:
    text = drawn("timeline").to_dict()["description"]
    assert "5 October 2026, 13:00 to 14:00 UTC." in text
    assert "p95 wait rose from a median of 640 ms to 2,180 ms at 13:26 UTC" in text
    assert "Tool success fell from a median of 98 % to 81 % at 13:20 UTC" in text
    assert "Share on fallback rose from a median of 0 % to 64 %" in text


def test_plain_words_have_seconds_and_no_jargon() -> None:
    text = drawn("timeline", plain=True).to_dict()["description"] + " ".join(titles(drawn("timeline", plain=True)))
    assert "The slowest one in twenty waited over 2.2 s at 13:26 UTC (before, mostly about 0.6 s)" in text
    assert "How long people waited, seconds" in text
    assert not re.search(r"p95|p50|breaker|fallback|replay", text)


def axes(chart: alt.VConcatChart) -> dict[str, list[float]]:
    """Return where each panel's values begin and end, by its title."""
    found = {}
    for panel in chart.to_dict()["vconcat"]:
        lines = [
            layer["encoding"]["y"] for layer in panel.get("layer", ()) if "strokeDash" in layer.get("encoding", {})
        ]
        if lines:
            found[panel["title"]["text"][0]] = lines[0]["scale"]["domain"]
    return found


def test_every_axis_begins_at_nothing_or_says_where() -> None:
    plain, full = axes(drawn("timeline", plain=True)), axes(drawn("timeline"))
    assert all(begin == 0 for begin, _ in plain.values())
    assert plain["Look-ups and actions that failed, %"][1] == pytest.approx(1.04 * (1 - 0.81), abs=0.01)
    assert [title for title, (begin, _) in full.items() if begin] == ["Tool success, % of tool calls (axis from 80 %)"]
    assert full["Tool success, % of tool calls (axis from 80 %)"] == [0.8, 1.0]
    low = made_up.series().with_columns(tool_success_rate=pl.lit(0.31))
    assert axes(charts.timeline(low))["Tool success, % of tool calls (axis from 30 %)"] == [0.3, 1.0]


def test_panels_obey_what_the_log_can_answer() -> None:
    chart = charts.timeline(made_up.series(), answers=made_up.ANSWERS)
    found = titles(chart)
    assert any(title == "Wait, ms (lower bound)" for title in found)
    assert not any("Override" in title for title in found)
    assert "Override rate: not in this log. Load the help desk" in said(chart)
    assert "override_rate" not in " ".join(node.get("name", "") for node in nodes(chart.to_dict()) if "select" in node)
    without = charts.timeline(made_up.series())
    assert any("Override rate" in title for title in titles(without))


def test_a_measure_without_values_is_said_not_drawn_as_healthy() -> None:
    chart = charts.timeline(made_up.series().with_columns(error_rate=pl.lit(None, pl.Float64)))
    assert not any("Error rate" in title for title in titles(chart))
    assert "Error rate: no value in this period." in said(chart)


def test_missed_targets_have_a_panel_where_there_are_any() -> None:
    assert not any("SLA" in title for title in titles(drawn("timeline")))
    counted = made_up.series().with_columns(missed_targets=pl.when(pl.col("n") > 102).then(3).otherwise(0))
    assert titles(charts.timeline(counted))[-1] == "SLA targets missed, at their due time"
    assert titles(charts.timeline(counted, plain=True))[-1] == "Promised times missed, when due"
    assert "SLA targets missed" in charts.timeline(counted).to_dict()["description"]


def test_observed_is_solid_and_every_estimate_has_a_dash_of_its_own() -> None:
    frame = pl.concat(
        [
            made_up.series(policy="per-intent", evidence="estimated"),
            made_up.series(policy="as logged"),
            made_up.series(policy="blind", evidence="estimated"),
        ]
    )
    chart = charts.timeline(frame)
    scale = next(
        node["strokeDash"]["scale"]
        for node in nodes(chart.to_dict())
        if "strokeDash" in node.get("encoding", node) and "scale" in node.get("strokeDash", {})
    )
    look = dict(zip(scale["domain"], map(tuple, scale["range"]), strict=True))
    assert next(iter(look)) == "as logged (observed)"
    assert look["as logged (observed)"] == (1, 0)
    assert len(set(look.values())) == 3
    assert {"blind (estimated)", "per-intent (estimated)"} <= set(look)
    assert charts.svg(chart).count(">blind (estimated)<") == 1, "the key stands once"


def test_a_lone_estimate_is_named_so() -> None:
    assert "(estimated)" in said(charts.timeline(made_up.series(policy="blind", evidence="estimated")))


def test_a_line_never_crosses_a_hole() -> None:
    frame = made_up.series()
    cut = frame.filter(~pl.col("at").is_between(made_up.at(10), made_up.at(14)))
    rows = told.drawn(told.tidy(cut), plain=False)
    assert rows.filter(pl.col("error_rate").is_null())["middle"].to_list() == [made_up.at(10)]
    assert told.alone(rows, "error_rate").is_empty()
    lonely = frame.filter(pl.col("at").is_in([made_up.at(minute) for minute in (0, 1, 5, 9, 10)]))
    rows = told.drawn(told.tidy(lonely), plain=False)
    assert told.alone(rows, "error_rate")["middle"].to_list() == [made_up.at(5.5)]
    assert told.alone(rows, "override_rate").height == 1


def test_detected_phases_are_marked_and_spans_are_bands() -> None:
    chart = drawn("timeline")
    text = said(chart)
    assert "Mitigated *" in text
    assert "* detected from the data" in text
    assert "Recovered *" not in text
    assert "Impact" in text
    assert "provider brown-out" not in text
    assert "Impact: provider brown-out" in json.dumps(chart.to_dict())  # on hover
    undetected = charts.timeline(made_up.series(), phases=[made_up.PHASES[0]])
    assert "detected from the data" not in said(undetected)


def test_phases_outside_the_series_are_left_out() -> None:
    far = Phase("deploy", made_up.at(-600), text="long before")
    assert "long before" not in json.dumps(charts.timeline(made_up.series(), phases=[far]).to_dict())


@settings(max_examples=40, deadline=None)
@given(
    minutes=st.lists(st.floats(0, 60), max_size=12),
    width=st.sampled_from([theme.WIDTH, theme.NARROW]),
    text=st.sampled_from(["", "x", "a rather long text of a phase that goes on and on"]),
)
def test_labels_of_phases_stay_inside_and_never_overlap(minutes: list[float], width: int, text: str) -> None:
    from incident_kit.charts import phasing

    axis = phasing.TimeAxis(made_up.START, made_up.at(60), width=width)
    phases = [
        Phase("note", made_up.at(m), made_up.at(m + 3) if i % 4 == 0 else None, text) for i, m in enumerate(minutes)
    ]
    rows = phasing.frame(phasing.within(phases, axis), axis).to_dicts()
    assert len(rows) == len(phases)
    boxes = [(row["row"], row["label"], row["label"] + 5.5 * len(row["text"])) for row in rows]
    assert all(left >= 0 and right <= width for _, left, right in boxes)
    for i, (row, left, right) in enumerate(boxes):
        for other, start, end in boxes[i + 1 :]:
            assert row != other or right <= start or end <= left


def test_states_speak_of_primary_and_backup_with_value_samples_and_limit() -> None:
    chart = drawn("states")
    rows = [row for rows in chart.to_dict()["datasets"].values() for row in rows if row.get("state") == "on backup"]
    assert rows[0]["said_value"] == "2.2 s"
    assert rows[0]["said_n"] == "40"
    assert rows[0]["limit"] == "1.5 s"
    assert rows[0]["lasted"] == "6 min"
    assert rows[0]["signal"] == "the slowest one in twenty waited over the value"
    fields = {tip["field"] for node in nodes(chart.to_dict()) for tip in node.get("tooltip", []) if "field" in tip}
    assert {"said_value", "said_n", "limit", "reason", "lasted"} <= fields
    words_shown = said(chart) + chart.to_dict()["description"]
    assert not re.search(r"\b(open|closed|half.open|breaker)\b", words_shown, re.IGNORECASE)
    assert "on backup for 13 min 54 s between 13:24 UTC and 13:38 UTC, testing the primary once" in words_shown


def test_a_catch_all_route_is_named_by_what_is_left() -> None:
    alone = said(charts.states(made_up.states(route="*")))
    both = said(charts.states(pl.concat([made_up.states(), made_up.states(route="*")])))
    assert "all requests" in alone
    assert "all others" in both


def test_of_many_spans_the_narrow_ones_are_drawn_as_one_and_all_are_counted() -> None:
    """Ten days of a route that goes to and fro every minute for two hours a day; another one stays."""
    one, day = made_up.states().row(0, named=True), timedelta(days=1)
    states = ("on backup", "testing primary")
    spans = []
    for begin in (one["start"] + d * day for d in range(10)):
        edges = [begin + timedelta(minutes=m) for m in range(121)]
        spans += [one | {"start": a, "end": b, "state": states[i % 2]} for i, (a, b) in enumerate(pairwise(edges))]
        spans.append(one | {"start": edges[-1], "end": begin + day})
    frame = pl.DataFrame(
        [*spans, one | {"route": "chat", "end": one["start"] + 10 * day}], schema=made_up.states().schema
    )
    chart = charts.states(frame)
    drawn_spans = [
        row for rows in chart.to_dict()["datasets"].values() for row in rows if row.get("route") == "refund-policy"
    ]
    assert [row["state"] for row in sorted(drawn_spans, key=itemgetter("start"))] == ["on backup", "on primary"] * 10
    assert {row["reason"] for row in drawn_spans if row["state"] == "on backup"} == {
        "changed 119 times, too often to be drawn"
    }
    assert "on backup for 10 h between" in chart.to_dict()["description"]
    assert "testing the primary 600 times" in chart.to_dict()["description"]
    assert charts.svg(chart)


def test_a_state_that_is_none_is_refused() -> None:
    with pytest.raises(NoSuchItem, match=r"half-open.*on primary"):
        charts.states(made_up.states().with_columns(state=pl.lit("half-open")))


def test_quality_puts_the_backup_beside_the_primary_and_says_what_is_unknown() -> None:
    text = said(drawn("quality"))
    assert "4,394 ms" in text
    assert "1,833 ms" in text
    assert "4.8 % or more" in text
    assert "Override rate: not in this log." in text
    one_sided = made_up.quality().filter((pl.col("intent") != "order-status") | (pl.col("role") == "primary"))
    assert "backup: not used" in said(charts.quality(one_sided))
    unknown = made_up.quality().with_columns(
        value=pl.when((pl.col("intent") == "order-status") & (pl.col("metric") == "tool_success_rate"))
        .then(None)
        .otherwise("value"),
        note=pl.lit("too few"),
    )
    assert "backup: too few" in said(charts.quality(unknown))


def test_two_backups_of_one_intent_stand_apart_with_their_names() -> None:
    second = made_up.quality(("refund-policy",)).filter(pl.col("role") == "backup")
    both = pl.concat([made_up.quality(("refund-policy",)), second.with_columns(target=pl.lit("other_model"))])
    chart = charts.quality(both)
    assert "4,394 ms, n 120, backup_model" in said(chart)
    assert "4,394 ms, n 120, other_model" in said(chart)
    rows = next(rows for rows in chart.to_dict()["datasets"].values() if "middle" in rows[0] and "role" in rows[0])
    middles = [row["middle"] for row in rows]
    assert len(middles) == 3
    assert middles == sorted(set(middles))


def test_quality_of_few_samples_is_pale_and_no_gap() -> None:
    few = made_up.quality().with_columns(n=pl.when(pl.col("role") == "backup").then(5).otherwise(120))
    chart = charts.quality(few)
    assert "4,394 ms, n 5" in said(chart)
    assert "no question that both answered often enough" in chart.to_dict()["description"]
    rows = [row for rows in chart.to_dict()["datasets"].values() for row in rows if "few" in row]
    assert {(row["role"], row["few"]) for row in rows if row["value"]} == {("primary", False), ("backup", True)}


def test_quality_tells_the_widest_gap() -> None:
    text = drawn("quality").to_dict()["description"]
    assert "p95 wait: backup 4,394 ms, primary 1,833 ms on order-status, the widest gap." in text


def test_charts_take_an_incident_or_a_replay() -> None:
    class Incident:
        phases = made_up.PHASES
        answers = made_up.ANSWERS

        def series(self) -> pl.DataFrame:
            return made_up.series()

        def quality(self) -> pl.DataFrame:
            return made_up.quality()

        def states(self) -> pl.DataFrame:
            return made_up.states()

    assert "not in this log" in said(charts.timeline(Incident()))
    assert "Recovered" in said(charts.states(Incident()))
    assert "4,394 ms" in said(charts.quality(Incident()))
    assert "Recovered" not in said(charts.timeline(Incident(), phases=()))


@pytest.mark.parametrize("name", NAMES)
def test_the_dark_colours_replace_every_light_one(name: str) -> None:
    light, dark = picture(name), charts.svg(drawn(name), dark=True)
    assert f'fill="{theme.PAPER}"' in light
    assert f'fill="{theme.DARK[theme.PAPER]}"' in dark
    painted = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', dark))
    assert painted
    assert painted <= set(theme.DARK.values())
    written = json.dumps({k: v for k, v in theme.spec(drawn(name), dark=True).items() if k != "datasets"})
    assert not set(re.findall(r"#[0-9a-f]{6}", written)) & (set(theme.DARK) - set(theme.DARK.values()))


def test_every_colour_of_data_is_told_from_paper_in_both_themes() -> None:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    def contrast(a: str, b: str) -> float:
        bright, dim = sorted((light(a), light(b)), reverse=True)
        return (bright + 0.05) / (dim + 0.05)

    for ink in (theme.INK, theme.MUTED):
        assert contrast(ink, theme.PAPER) >= 4.5
        assert contrast(theme.DARK[ink], theme.DARK[theme.PAPER]) >= 4.5
    for line in theme.SERIES[:4]:
        assert contrast(line, theme.PAPER) >= 3
        assert contrast(theme.DARK[line], theme.DARK[theme.PAPER]) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_the_oldest_vega_lite_at_hand_draws_the_same_marks(name: str) -> None:
    spec = theme.spec(drawn(name))
    new, old = (vl_convert.vegalite_to_svg(spec, vl_version=version) for version in (offline.VEGA_LITE, "5.8"))
    assert new.count("<path") == old.count("<path") > 10
    assert re.findall(r"<text[^>]*>([^<]*)", new) == re.findall(r"<text[^>]*>([^<]*)", old)


def test_a_picture_says_what_it_shows() -> None:
    root = re.match(r"<svg [^>]*>", picture("timeline"))
    assert root
    assert 'role="img"' in root[0]
    assert "p95 wait rose from a median of 640 ms to 2,180 ms" in root[0]


def test_png_is_a_picture() -> None:
    assert charts.png(drawn("states")).startswith(b"\x89PNG")


@pytest.mark.parametrize("wrap", [lambda chart: chart, alt.vconcat], ids=["raised", "silent"])
def test_a_chart_that_cannot_be_drawn_is_an_error(wrap: Any) -> None:
    axis = alt.Axis(tickCount={"interval": "minute", "step": 1})  # Vega knows only "minutes"
    x = alt.X("at:T", scale=alt.Scale(type="utc"), axis=axis)
    with pytest.raises(UndrawnChart, match="cannot be drawn"):
        charts.svg(wrap(alt.Chart(made_up.series()).mark_point().encode(x=x)))


def test_the_notebook_renderer_needs_no_network() -> None:
    before = alt.renderers.active
    try:
        charts.enable_offline()
        data, meta = drawn("states")._repr_mimebundle_()
    finally:
        alt.renderers.enable(before)
    assert set(data) == {"application/vnd.vegalite.v5+json", "image/svg+xml", "text/plain"}
    assert data["application/vnd.vegalite.v5+json"]["$schema"].endswith("/v5.json")
    assert data["text/plain"].startswith("per-intent")
    assert meta["application/vnd.vegalite.v5+json"]["embed_options"]["actions"] is False


def test_hostile_labels_stay_text() -> None:
    for name in made_up.NASTY:
        frame = made_up.states(policy=name, route=name)
        picture = charts.svg(charts.states(frame, phases=[Phase("note", made_up.at(5), text=name)]))
        assert "<img" not in picture
        assert "\u202e" not in picture
        assert "<script" not in picture


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4180, "s", "4.2 s"),
        (4000, "s", "4 s"),
        (49, "s", "under 0.1 s"),
        (125_000, "s", "125 s"),
        (0.3109, "%", "31 %"),
        (0.0481, "%", "4.8 %"),
        (0.9985, "%", "99.9 %"),
        (0.9999, "%", "over 99.9 %"),
        (1.0, "%", "100 %"),
        (0.0, "%", "0 %"),
        (0.0002, "%", "under 0.1 %"),
        (1024, "", "1,024"),
        (11.25, "", "11.3"),
        (2180.4, "ms", "2,180 ms"),
        (226.4, "tokens", "226 tokens"),
        (0.00185, "USD", "0.00185 USD"),
        (12.5, "USD", "12.50 USD"),
        (None, "%", "unknown"),
        (float("nan"), "s", "unknown"),
    ],
)
def test_numbers_as_people_write_them(value: float | None, unit: str, text: str) -> None:
    assert words.number(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0.4 s"),
        (50, "50 s"),
        (200, "3 min 20 s"),
        (240, "4 min"),
        (3900, "1 h 5 min"),
        (90_000, "1 d 1 h"),
        (-60, "minus 1 min"),
    ],
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert words.lasting(timedelta(seconds=seconds)) == text


def test_instants_are_in_the_readers_zone_with_utc_in_brackets() -> None:
    berlin, when = ZoneInfo("Europe/Berlin"), datetime(2026, 11, 22, 23, 30, 5, tzinfo=UTC)
    assert words.clock(when) == "23:30:05 UTC"
    assert words.clock(when, zone=ZoneInfo("UTC")) == "23:30:05 UTC"
    assert words.clock(when, zone=berlin, date=True) == "23 November 2026, 00:30:05 (23:30:05 UTC)"
    later = when + timedelta(seconds=55)
    assert words.period(when, later, zone=berlin) == "00:30:05 to 00:31 (23:30:05 to 23:31 UTC)"
    assert words.clock(None) == "unknown"


def test_metrics_are_read_from_their_names() -> None:
    assert words.metric("p95_ms").plain == "the slowest one in twenty waited over"
    assert words.metric("slow_rate(8000ms)").plain == "slow answers (over 8 s)"
    assert words.metric("signal_csat_rate").unit == "%"
    assert words.metric("p99.9_ms").plain == "the slowest 0.1 in 100 waited over"


@given(st.text())
def test_a_label_is_one_short_safe_line(text: str) -> None:
    label = words.label(text)
    assert 0 < len(label) <= 48
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", label)
