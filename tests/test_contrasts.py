"""Contrasts: what a part of an incident has more of, against a plain count, and on days with nothing wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from healthy_days import LENGTH, MINUTE, day

from incident_kit.errors import InvalidCase, NoSuchItem
from incident_kit.incident import Incident
from incident_kit.inspection.contrasts import contrast, contrasted
from incident_kit.inspection.facets import NOT_KNOWN, Against, facets

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def split(of: Any, begin: int, end: int) -> Against:
    look = ((begin * MINUTE, end * MINUTE),)
    mine = of.within(look)
    return Against(of, mine, ~mine, look, ((0, begin * MINUTE), (end * MINUTE, LENGTH * MINUTE)))


def test_counts_are_those_of_a_plain_filter(sample: Incident) -> None:
    found = contrast(sample)
    begin, end = sample.span("impact")
    rows = sample.requests()
    inside = (pl.col("arrived_at") >= begin) & (pl.col("arrived_at") < end)
    for intent, count in rows.filter(inside)["intent"].value_counts().iter_rows():
        row = found.rows.filter(dimension="intent", value=intent or NOT_KNOWN).row(0, named=True)
        assert (row["count"], row["of"]) == (count, rows.filter(inside).height)
        assert (row["usual_count"], row["usual_of"]) == (
            rows.filter(~inside, pl.col("intent").eq_missing(pl.lit(intent))).height, rows.filter(~inside).height,
        )  # fmt: skip
    assert found.chosen + found.others == rows.height


def test_the_trouble_of_a_capture_stands_out_first(sample: Incident) -> None:
    found = contrast(sample)
    marked = found.rows.filter("stands_out")
    assert 0 < marked.height < found.rows.height
    assert found.rows["stands_out"].to_list() == sorted(found.rows["stands_out"], reverse=True)
    assert {"slow", "refused somewhere"} <= set(marked["dimension"])
    assert "usual" in str(found)


def test_what_is_chosen_by_ids_is_what_those_ids_are(sample: Incident) -> None:
    slow = sample.requests().filter(pl.col("wait_ms") > sample.slow_ms)["request_id"]
    row = contrast(sample, slow).rows.filter(dimension="slow").row(0, named=True)
    assert (row["count"], row["of"]) == (len(slow), len(slow))
    assert row["stands_out"]


@pytest.mark.parametrize(
    ("selection", "error", "says"),
    [
        ("imapct", NoSuchItem, "did you mean 'impact'"),
        (["no such id"], InvalidCase, "no request is in what is chosen"),
        ((START - timedelta(days=9), START - timedelta(days=8)), InvalidCase, "choose other times"),
        ((datetime(2026, 1, 1), datetime(2026, 1, 2)), InvalidCase, "has no zone"),  # noqa: DTZ001 - that is the test
        ("all", InvalidCase, "what it is compared with"),
    ],
)
def test_what_cannot_be_compared(sample: Incident, selection: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        contrast(sample, selection)


def test_labels_are_dimensions_and_hostile_ones_are_text(tmp_path: Path) -> None:
    nasty = "</script>\u202e\x1b[2J"
    lines = [
        json.dumps({"request_id": f"r{i}", "arrived_at": (START + timedelta(seconds=i)).isoformat(), "wait_ms": 100,
                    "status": "ok", "intent": nasty, "served": "m",
                    "labels": {nasty: "x" if 400 <= i < 800 else "y", "deep": {"a": 1}, "n": 7}})
        for i in range(2400)
    ]  # fmt: skip
    file = tmp_path / "requests.ndjson"
    file.write_text("\n".join(lines), encoding="utf-8")
    incident = Incident.create()
    incident.load(file, source="canonical")
    chosen = (START + timedelta(seconds=400), START + timedelta(seconds=800))
    found = contrast(incident, chosen, "all")
    assert set(facets(incident).labels) == {f":{nasty}", ":n"}
    first = found.rows.row(0, named=True)
    assert (first["value"], first["count"], first["usual_count"], first["stands_out"]) == ("x", 400, 0, True)
    assert "\x1b" not in str(found)
    assert "\u202e" not in str(found)


def test_usual_time_against_usual_time_shows_nothing() -> None:
    """Days of which every share swings by a tenth: at most one in twenty may have a marked row; more than 3 of 25 are not."""
    marked = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        one = day(rng, rate=12, drift=0.1)
        begin = int(rng.integers(40, 200))
        marked += bool(
            contrasted(split(one.facets, begin, begin + int(rng.integers(40, 160)))).rows["stands_out"].any()
        )
    assert marked <= 3


def test_what_is_wrong_for_an_hour_is_found() -> None:
    one = day(np.random.default_rng(1), rate=12, trouble={"from": 120, "until": 180, "overridden": 0.4, "slow": 0.2})
    found = contrasted(split(one.facets, 120, 180)).rows
    assert set(found.filter("stands_out")["dimension"]) == {"slow", "draft overridden"}
    slow = found.filter(dimension="slow").row(0, named=True)
    assert slow["low"] < 0.2 - slow["usual"] < slow["high"]
