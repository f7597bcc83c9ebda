"""Whether a backup may stand in: verdicts on simulated incidents whose truth is known."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from written import START, Call, Request, fill

import incident_kit as ik
from incident_kit import charts
from incident_kit.backups.compatibilities import (
    NOT_ENOUGH,
    NOT_SAFE,
    OPEN,
    SAFE,
    TABLE,
    VERDICTS,
    WITHIN,
    WITHOUT_TOOLS,
    WORSE,
    Compatibility,
    Margins,
    judge,
)
from incident_kit.backups.likeness import Measured
from incident_kit.commandline import terminal_evidence
from incident_kit.incident import Incident
from incident_kit.store import Store

POLICY = ik.Policy.parse("routes: [{intent: '*', primary: big, fallback: small, max_p95_ms: 3500}]")


def incident_of(
    store: Store, *, tools: float = 0.95, override: float = 0.1, bare: float | None = None, n: int = 2400, seed: int = 1,
    offered: int | None = 2, judged: bool = True, reviewed: bool = True, slow: float = 1.0,
) -> Incident:  # fmt: skip
    """Return split traffic: big works in 95 % of tool calls and is overridden in 10 %, small as the arguments say."""
    rng = np.random.default_rng(seed)
    requests = []
    for i in range(n):
        is_small = rng.random() < 0.5
        uses = offered is not None and rng.random() < 0.5
        rate = 0.1 if not is_small else override if uses or bare is None else bare
        worked = rng.random() < (tools if is_small else 0.95)
        call = Call(
            "small" if is_small else "big", int(rng.lognormal(6, 0.4) * (slow if is_small else 1)),
            tool_calls=(1 if uses else 0) if offered else None,
            tool_errors=(0 if worked else 1) if uses and judged else None, completion_tokens=100, cost_usd=0.01,
        )  # fmt: skip
        over = bool(rng.random() < rate) if reviewed else None
        requests.append(Request(f"r{i}", 1000 * i, [call], overridden=over, tools_offered=offered, requested="big"))
    found = Incident(fill(store, requests))
    found.answers = {}
    return found


def verdict(incident: Incident, **options: float) -> tuple[str, str]:
    found = ik.compatibility(incident, policy=POLICY, resamples=100, margins=Margins(**options))  # type: ignore[arg-type]
    row = found.verdicts.row(0, named=True)
    assert (row["primary"], row["backup"]) == ("big", "small")
    return row["verdict"], row["why"]


def test_as_good_is_safe(store: Store) -> None:
    said, why = verdict(incident_of(store))
    assert said == SAFE
    assert "tool success" in why
    assert why.endswith("within their margins")


def test_bad_with_tools_only(store: Store) -> None:
    """The founding story's backup: tools fail, and what was done with them is overridden; plain answers are fine."""
    said, why = verdict(incident_of(store, tools=0.6, override=0.5, bare=0.1))
    assert said == WITHOUT_TOOLS
    assert why.startswith("tool success")


def test_bad_without_tools_too(store: Store) -> None:
    said, why = verdict(incident_of(store, tools=0.6, override=0.4))
    assert (said, why) == (NOT_SAFE, "worse beyond the margin, with tools or without: overrides")


def test_slow_beyond_its_margin(store: Store) -> None:
    said, why = verdict(incident_of(store, slow=3))
    assert said == NOT_SAFE
    assert "the slowest answers" in why


def test_few_calls_are_not_enough(store: Store) -> None:
    said, why = verdict(incident_of(store, n=40))
    assert said == NOT_ENOUGH
    assert "30 of each are wanted" in why


def test_an_unsettled_difference_is_not_enough(store: Store) -> None:
    said, why = verdict(incident_of(store, n=300))
    assert said == NOT_ENOUGH
    assert why.startswith("not settled by these logs: ")


def test_worse_with_tools_and_unsettled_without(store: Store) -> None:
    said, why = verdict(incident_of(store, tools=0.5, override=0.5, bare=0.1, n=500))
    assert said == NOT_ENOUGH
    assert why.startswith("with tools it is worse (tool success, overrides); ")


def test_calls_that_went_through_say_little(store: Store) -> None:
    """Uptime is the wrong metric: without tools and reviews nothing is called safe."""
    said, why = verdict(incident_of(store, offered=None, reviewed=False))
    assert said == NOT_ENOUGH
    assert "says little" in why


def test_time_is_matched(store: Store) -> None:
    """The backup answers mostly in a bad hour, when both fail: naively it is worse, on like traffic it is not."""
    rng = np.random.default_rng(3)
    requests = []
    for i in range(4000):
        bad = 1500 <= i < 2500
        small = rng.random() < (0.8 if bad else 0.1)
        failed = rng.random() < (0.4 if bad else 0.02)
        call = Call("small" if small else "big", 400, "500" if failed else None)
        requests.append(Request(f"r{i}", 1000 * i, [call], requested="big", overridden=None if failed else False))
    incident = Incident(fill(store, requests))
    incident.annotate("impact", START + timedelta(seconds=1500), START + timedelta(seconds=2500))
    incident.answers = {}
    table = ik.compatibility(incident, policy=POLICY, resamples=100).table
    row = table.row(by_predicate=pl.col("metric") == "error_rate", named=True)
    calls = pl.DataFrame(
        [(r.calls[0].target, r.calls[0].error is not None) for r in requests], schema=["t", "f"], orient="row"
    )
    naive = calls.group_by("t").agg(pl.col("f").mean()).sort("t")["f"].diff()[1]
    assert naive > 0.15
    assert abs(row["difference"]) < 0.05
    assert row["low"] < 0 < row["high"]
    assert row["matched"] == "intent, time and tools offered"
    share = ik.compatibility(incident, policy=POLICY, resamples=20).verdicts["share_impact"].item()
    of_small = [r for r in requests if r.calls[0].target == "small"]
    assert share == pytest.approx(sum(1_500_000 <= r.at_ms < 2_500_000 for r in of_small) / len(of_small))
    calm = ik.compatibility(incident, policy=POLICY, resamples=50, during=(START, START + timedelta(seconds=1500)))
    assert calm.table.row(by_predicate=pl.col("metric") == "error_rate", named=True)["backup_value"] < 0.06


def test_another_time_is_said(store: Store) -> None:
    requests = [
        Request(f"r{i}", 1000 * i, [Call("big" if i < 500 else "small", 400)], requested="big") for i in range(1000)
    ]
    incident = Incident(fill(store, requests))
    incident.answers = {}
    found = ik.compatibility(incident, policy=POLICY, resamples=50)
    assert found.verdicts["matched"].to_list() == ["intent and tools offered, at other times"]


def test_the_bundled_outage_and_its_words(sample: Incident) -> None:
    """The capture holds no overrides: they are not judged, and that is said."""
    found = ik.compatibility(sample, resamples=60)
    assert found.table.schema == pl.Schema(TABLE)
    assert found.verdicts.schema == pl.Schema(VERDICTS)
    assert not found.table["metric"].str.contains("override").any()
    assert any(said.startswith("overrides: ") for said in found.unheld)
    assert set(found.verdicts["verdict"]) <= {SAFE, WITHOUT_TOOLS, NOT_ENOUGH, NOT_SAFE}
    both = found.table.drop_nulls(["low", "high"])
    assert both.height
    assert (both["low"] <= both["high"]).all()


@pytest.mark.parametrize(
    ("name", "difference", "judged"),
    [
        ("error_rate", (0.0, -0.01, 0.01), WITHIN),
        ("error_rate", (0.1, 0.05, 0.15), WORSE),
        ("error_rate", (0.02, -0.01, 0.05), OPEN),
        ("tool_success_rate", (-0.2, -0.25, -0.15), WORSE),
        ("tool_success_rate", (0.2, 0.15, 0.25), WITHIN),
        ("p95_ms", (400, 300, 499), WITHIN),
        ("p95_ms", (600, 501, 700), WORSE),
        ("override_without_tools", (0.04, 0.03, 0.049), WITHIN),
    ],
)
def test_judged(name: str, difference: tuple[float, float, float], judged: str) -> None:
    one = Measured((1000.0, 900.0, 1100.0), (0.0, 0.0, 0.0), difference, 30, 30, "")
    assert judge(name, one, Margins()) == judged
    assert judge(name, replace(one, n_backup=29), Margins()) == OPEN


def test_nothing_loaded() -> None:
    found = ik.compatibility(Incident.create())
    assert isinstance(found, Compatibility)
    assert found.table.is_empty()
    assert found.verdicts.schema == pl.Schema(VERDICTS)


def test_drawn_and_told(store: Store) -> None:
    found = ik.compatibility(incident_of(store, tools=0.6, override=0.5, bare=0.1), policy=POLICY, resamples=60)
    chart = charts.compatibility(found).to_dict()
    assert chart["description"].startswith("Chat: only with tools disabled (tool success")
    assert [panel["title"]["text"] for panel in chart["vconcat"]] == [
        ["Failed calls, points: backup less primary"],
        ["p95 latency, ms: backup less primary"],
        ["Tool success, points: backup less primary"],
        ["Answers that use a tool, points: backup less primary"],
        ["Overrides, points: backup less primary"],
    ]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(terminal_evidence.compatibility(found))
    said = console.export_text()
    assert "chat: small in place of big: only with tools disabled" in said
    assert "tools ok" in said
    assert "finish reasons" in said


def test_nothing_to_draw_or_tell() -> None:
    found = ik.compatibility(Incident.create())
    assert "Nothing to compare" in charts.compatibility(found).to_dict()["description"]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(terminal_evidence.compatibility(found))
    assert "nothing to compare" in console.export_text()
