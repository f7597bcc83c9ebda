"""Charts of what policies rest on, cost and miss: what is drawn, said and left out."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import altair as alt
import made_up
import polars as pl
import pytest
import vl_convert

import incident_kit as ik
from incident_kit import charts
from incident_kit.charts import offline, theme
from incident_kit.estimation.evidence import LABELS
from incident_kit.incident import Incident
from incident_kit.optimization.sensitivities import TABLE as UNSAID
from incident_kit.scoring.costs import COSTS, costs
from incident_kit.scoring.coverage import COVERAGE, coverage
from incident_kit.scoring.scorecard import Board

POLICY = "per-intent"
_UTC = pl.Datetime("us", "UTC")


def clocks() -> pl.DataFrame:
    """Return 40 clocks, one a minute; those due from 13:20 to 13:30 are missed."""
    rows = [{"breached": 20 <= i < 30, "breached_at": made_up.at(i) if 20 <= i < 30 else None} for i in range(40)]
    return pl.DataFrame(rows, schema={"breached": pl.Boolean, "breached_at": _UTC})


def changes(policy: str = POLICY) -> pl.DataFrame:
    kinds = ["avoided"] * 4 + ["caused"] * 2 + ["undetermined"]
    schema = {"policy": pl.String, "assuming": pl.String, "due_at": _UTC, "change": pl.String, "share": pl.Float64}
    rows = [(policy, "waits and redone work", made_up.at(22), kind, 0.5 if kind == "caused" else 1.0) for kind in kinds]
    return pl.DataFrame(rows, schema=schema, orient="row")


def totals(policy: str = POLICY) -> pl.DataFrame:
    row = {"policy": policy, "assuming": "waits and redone work", "clocks": 40, "logged": 10, "avoided": 4.0, "avoided_low": 1.0,
           "avoided_high": 6.0, "caused": 1.0, "caused_low": 0.0, "caused_high": 2.0, "undetermined": 1.0}  # fmt: skip
    return pl.DataFrame(
        [row, row | {"policy": "does nothing", "avoided": 0.0, "avoided_low": 0.0, "avoided_high": 0.0}]
    )


def covered(policy: str = POLICY) -> pl.DataFrame:
    rows = []
    for i in range(6):
        counts = (100, 0, 0, 0, 0) if i != 3 else (20, 50, 20, 5, 5)
        for label, n in zip(LABELS, counts, strict=True):
            rows.append((policy, made_up.at(10 * i), made_up.at(10 * i + 10), label, n, 100, n / 100))
    return pl.DataFrame(rows, schema=COVERAGE, orient="row")


def cost(policy: str = POLICY) -> pl.DataFrame:
    rows = [
        ("as logged", "chat", 600, 600, 3.0, 4.0, 4.0, 4.0, 1000), ("as logged", "backup", 400, 400, 1.0, 4.0, 4.0, 4.0, 1000),
        (policy, "chat", 1000, 900, 9.0, 9.0, 7.2, 10.8, 1000),
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=COSTS, orient="row")


def budget(policy: str = "order-status", **more: Any) -> pl.DataFrame:
    row = {"route": policy, "intent": None, "target": "chat", "window": "5m", "counts": "calls", "needed": 20,
           "seen": 900, "enough_share": 0.4, "window_enough": "10m", "min_requests_enough": 9,
           "sentence": "Route r: 40 % of the time."}  # fmt: skip
    schema = {"intent": pl.String}
    return pl.DataFrame(
        [row | more, row | more | {"route": "*", "enough_share": 1.0, "window_enough": "5m"}], schema_overrides=schema
    )


def sla(policy: str = POLICY, **options: Any) -> alt.VConcatChart:
    return charts.sla(clocks(), changes=changes(policy), totals=totals(policy), phases=made_up.PHASES, **options)


def settings(policy: str = POLICY, **options: Any) -> alt.VConcatChart:
    rows = [
        {"setting": i, "is_current": i == 1, f"{policy}.max_p95_ms": 1000 * (i + 2),
         "override_rate": share, "override_rate/low": share, "override_rate/high": share,
         "p95_ms": wait, "p95_ms/low": wait, "p95_ms/high": wait, "on_frontier": i < 2, "dominated_by": None, "reason": ""}
        for i, (share, wait) in enumerate([(0.1, 900.0), (0.2, 700.0), (0.3, 950.0), (None, None)])
    ]  # fmt: skip
    return charts.frontier(pl.DataFrame(rows, schema_overrides={"dominated_by": pl.Int64}), **options)


def unsaid(policy: str = POLICY, **options: Any) -> alt.VConcatChart:
    rows = [
        (f"{policy}.breaker.{name}", "60s", "2m", "override_rate", 0.2, -0.05, change - 0.05, change, "better", "better",
         False, "")
        for name, change in (("cooldown", 0.02), ("for", -0.01), ("every", 0.0001), ("share", 0.0))
    ]  # fmt: skip
    table = pl.DataFrame(rows, schema=UNSAID, orient="row")
    return charts.sensitivity(table, metric="override_rate", **options)


DRAWN: dict[str, Callable[..., alt.VConcatChart]] = {
    "sla": sla,
    "coverage": lambda policy=POLICY, **options: charts.coverage(covered(policy), phases=made_up.PHASES, **options),
    "cost": lambda policy=POLICY, **options: charts.cost(cost(policy), **options),
    "budget": lambda policy="order-status", **options: charts.budget(budget(policy), **options),
    "frontier": settings,
    "unsaid": unsaid,
    "hours": lambda policy="order-status", **options: charts.budget(budget(policy, hour=14), **options),
}


@functools.cache
def drawn(name: str, **options: Any) -> alt.VConcatChart:
    return DRAWN[name](**options)


def nodes(spec: object) -> list[dict]:
    if isinstance(spec, list):
        return [found for item in spec for found in nodes(item)]
    if not isinstance(spec, dict):
        return []
    return [spec, *(found for key, item in spec.items() if key != "datasets" for found in nodes(item))]


def said(chart: alt.VConcatChart) -> str:
    texts = re.findall(r"<text[^>]*>(.*?)</text>", charts.svg(chart))
    return " | ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).replace("  ", " ").strip() for text in texts)


def data(chart: alt.VConcatChart, *columns: str) -> list[dict[str, Any]]:
    """Return the rows of the datasets that have all these columns."""
    sets = chart.to_dict()["datasets"].values()
    return [row for rows in sets for row in rows if set(columns) <= set(row)]


@pytest.mark.parametrize("name", DRAWN)
def test_each_is_described_and_in_utc(name: str) -> None:
    spec = drawn(name).to_dict()
    assert len(spec["description"]) > 20
    times = [node for node in nodes(spec) if node.get("type") == "temporal" and "scale" in node]
    assert bool(times) == (name in {"sla", "coverage"})
    assert all(node["scale"]["type"] == "utc" for node in times)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("width", [theme.WIDTH, theme.NARROW])
def test_each_keeps_to_its_width(name: str, width: int) -> None:
    size = re.search(r'width="(\d+)', charts.svg(drawn(name, width=width)))
    assert size
    assert abs(int(size[1]) - width) <= 0.06 * width


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_in_it_contradicts_itself(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    vl_convert.vegalite_to_vega(drawn(name).to_dict(), vl_version=offline.VEGA_LITE, show_warnings=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", DRAWN)
def test_the_dark_colours_replace_every_light_one(name: str) -> None:
    dark = charts.svg(drawn(name), dark=True)
    painted = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', dark))
    assert painted
    assert painted <= set(theme.DARK.values())


@pytest.mark.parametrize("name", DRAWN)
def test_hostile_names_stay_text(name: str) -> None:
    for nasty in made_up.NASTY:
        picture = charts.svg(DRAWN[name](nasty))
        assert "<img" not in picture
        assert "<script" not in picture
        assert "\u202e" not in picture


@pytest.mark.parametrize(
    ("chart", "says"),
    [
        (lambda: charts.sla(clocks().clear()), "no SLA clock"),
        (lambda: charts.sla(clocks()[:5]), "None of 5 SLA targets was missed"),
        (lambda: charts.coverage(covered().clear()), "Nothing to show"),
        (lambda: charts.cost(cost().clear()), "no request is scored"),
        (lambda: charts.cost(cost().with_columns(cost_usd=pl.lit(None, pl.Float64))), "not in this log, no answer has a price"),
        (lambda: charts.budget(budget().clear()), "Nothing to count"),
    ],
)  # fmt: skip
def test_nothing_is_said_in_words(chart: Callable[[], alt.VConcatChart], says: str) -> None:
    assert says in chart().to_dict()["description"]
    assert charts.svg(chart())


def test_one_row_of_each_can_be_drawn() -> None:
    for chart in (
        charts.sla(clocks()[20:21]),
        charts.coverage(covered()[:1]),
        charts.cost(cost()[:1]),
        charts.budget(budget()[:1]),
    ):
        assert charts.svg(chart)


def test_settings_have_their_values_beside_them_and_those_untold_are_named() -> None:
    told = said(settings())
    assert all(value in told for value in ("2 s", "3 s", "4 s", "you are here"))
    assert "not drawn: 5 s, of which these logs cannot tell" in told


def test_what_moves_next_to_nothing_is_counted_and_not_drawn() -> None:
    chart = unsaid()
    assert {row["name"] for row in data(chart, "name", "now")} == {
        f"{POLICY}.breaker.{name}: 2m, not 60s" for name in ("cooldown", "for")
    }
    assert "2 more move it less, or not at all" in said(chart)
    table = pl.DataFrame(
        [("a.for", "0s", "30s", "override_rate", 0.2, -0.05, -0.05, 0.0, "better", "better", False, "")],
        schema=UNSAID,
        orient="row",
    )
    still = charts.sensitivity(table, metric="override_rate").to_dict()["description"]
    assert still == "Override rate stays as it is, whatever stood in place of what the policy leaves unsaid."


def test_missed_targets_stand_where_they_fell_due() -> None:
    bars = [row for row in data(drawn("sla"), "change", "high") if row["change"] == "missed"]
    assert [row["high"] for row in bars] == [1.0] * 10
    assert bars[0]["at"].startswith("2026-10-05T13:20")
    assert "SLA targets missed, at their due times, in 1 min (observed)" in said(drawn("sla"))


def test_avoided_hangs_down_and_what_stands_on_one_side_is_stacked() -> None:
    bars = {row["change"]: row for row in data(drawn("sla"), "change", "high") if row["change"] != "missed"}
    assert set(bars) == {"avoided", "caused", "cannot tell"}
    assert (bars["avoided"]["low"], bars["avoided"]["high"]) == (0, -4)
    assert sorted((bars[name]["low"], bars[name]["high"]) for name in ("caused", "cannot tell")) in (
        [(0, 1), (1, 2)], [(0, 1.0), (1.0, 2.0)],
    )  # fmt: skip
    assert bars["avoided"]["said"] == "4", "a number of targets is never negative in words"
    text = drawn("sla").to_dict()["description"]
    assert "10 of 40 SLA targets were missed" in text
    assert "4 (between 1 and 6) avoided, 1 (between 0 and 2) caused, of 10 missed" in text
    assert "of 1 these logs cannot tell" in text


def test_a_policy_that_changes_nothing_is_a_sentence() -> None:
    assert "does nothing (estimated): 0 avoided" in said(drawn("sla"))
    alone = charts.sla(clocks(), changes=changes().clear(), totals=totals())
    assert "time in UTC" in said(alone), "the only panel writes the axis"


def test_coverage_says_what_was_seen_and_draws_no_label_that_is_not_there() -> None:
    text = said(drawn("coverage"))
    assert "per-intent: 87 % of its outcomes were seen" in text
    assert "these logs cannot tell" in text
    assert "fewest were seen at 13:30 UTC (20 %)" in drawn("coverage").to_dict()["description"]
    seen = charts.coverage(covered().filter(pl.col("at") < made_up.at(30)))
    assert "these logs cannot tell" not in said(seen)


def test_coverage_is_a_plain_count(sample: Incident) -> None:
    policy = ik.blind("primary_chat_model", "fast_backup_model", max_p95_ms=1500)
    one = ik.replay(sample, policy)
    found = coverage(one, every=timedelta(seconds=20))
    whole = one.outcomes["evidence"].cast(pl.String).value_counts()
    assert dict(found.filter(pl.col("n") > 0).group_by("evidence").agg(pl.col("n").sum()).iter_rows()) == dict(
        whole.iter_rows()
    )
    sums = found.group_by("at").agg(pl.col("share").sum(), pl.len())
    assert sums["share"].to_list() == pytest.approx([1.0] * sums.height)
    assert set(sums["len"]) == {len(LABELS)}
    assert charts.coverage(one).to_dict()["description"]


def test_costs_add_up_to_the_scorecard(sample: Incident) -> None:
    board: Board = ik.compare(sample, [], during="impact")
    found = costs(board)
    logged = board.table().filter(metric="cost_per_request").row(0, named=True)
    assert found["requests"].sum() == logged["n"] == found["all_requests"][0]
    assert found["cost_usd"].sum() == pytest.approx(logged["observed"] * found["priced"].sum())
    assert found["total_usd"][0] == pytest.approx(found["cost_usd"].sum())
    assert "as logged" in charts.cost(board).to_dict()["description"]


def test_cost_is_per_thousand_with_its_interval_and_what_is_missing() -> None:
    text = said(drawn("cost"))
    assert "4.00 USD" in text
    assert "8.00 to 12.00 USD (estimated)" in text
    assert "without 100 answers of all policies that have no known cost" in text
    pieces = [(row["policy"], row["low"], row["high"]) for row in data(drawn("cost"), "policy", "edge", "low")]
    assert ("as logged", 0, 3) in pieces
    assert ("as logged", 3, 4) in pieces


def test_budget_says_what_would_reach_enough() -> None:
    text = said(drawn("budget"))
    assert "40 % of the time; try window 10m or min_requests 9" in text
    assert "all others, calls in 5m" in text
    kinds = {row["name"]: row["kind"] for row in data(drawn("budget"), "kind", "name")}
    assert set(kinds.values()) == {"often holds too few", "acts most of the time"}
    assert "40" in said(drawn("hours"))
    assert "hour of the day, in the reader's zone" in said(drawn("hours"))
