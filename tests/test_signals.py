"""The table of signals: every row is loaded, a duplicate or rejected; a policy that reads what is not there is refused."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from incident_kit.errors import InvalidRows, UnansweredQuestion
from incident_kit.incident import Incident
from incident_kit.policies.conditions import Condition, Rule
from incident_kit.policies.routes import Alert, Breaker, Entry, Route
from incident_kit.signals import refuse_unloaded, signal_names
from incident_kit.sources import load
from incident_kit.store import Store

HEAD = "name,known_at,value,numerator,denominator,request_id,ticket_id,intent,target"
GOOD = [
    "csat,2026-01-05T12:00:00Z,4.5,,,,T1,refund,",
    "csat,2026-01-05T12:00:00Z,4.5,,,,T2,refund,",
    "csat,2026-01-05T13:00:00+02:00,1,,,r9,,,",
    "grounded,2026-01-05T12:00:00Z,,31,40,,,refund,big",
    "grounded,2026-01-05T12:01:00Z,,0,0,,,refund,big",
    "delta,2026-01-05T12:01:00Z,-0.25,,,,,,",
]
BAD = {
    "csat,2026-01-05T12:00:00Z,,,,,T1,refund,": "neither a value nor numerator and denominator",
    "csat,2026-01-05T12:00:00Z,,3,,,T3,refund,": "neither a value nor numerator and denominator",
    "csat,2026-01-05T12:00:00Z,4,3,5,,T3,refund,": "a value and also a share: give one",
    "csat,2026-01-05T12:00:00Z,,3,-5,,T3,refund,": "denominator is negative",
    "csat,2026-01-05T12:00:00Z,nan,,,,T3,refund,": "value is no number up to 1,000,000,000,000",
    "csat,2026-01-05T12:00:00Z,1e300,,,,T3,refund,": "value is no number up to 1,000,000,000,000",
    "csat,2026-01-05T12:00:00Z,good,,,,T3,refund,": "value: 'good' is not a number",
    ",2026-01-05T12:00:00Z,1,,,,T3,refund,": "no name",
    "csat,yesterday,1,,,,T3,refund,": "known_at: 'yesterday' is not a time",
}


def csv(folder: Path, rows: list[str], *, name: str = "signals.csv") -> Path:
    file = folder / name
    file.write_text("\n".join([HEAD, *rows]) + "\n")
    return file


def content(store: Store) -> list[Any]:
    return store.frame("select * exclude (load_id) from signals order by all").rows()


@pytest.mark.parametrize("row", BAD)
def test_a_row_that_says_nothing_is_rejected_with_the_reason(tmp_path: Path, row: str) -> None:
    report = load(store := Store(), csv(tmp_path, [*GOOD, row]))
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (7, 6, 1)
    assert store.rows("select line, reason from rejects") == [(8, BAD[row])]


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    report = load(Store(), csv(tmp_path, [*GOOD, *BAD, *GOOD[:2]]))
    assert (report.rows_loaded, report.rows_duplicate, report.rows_rejected) == (len(GOOD), 2, len(BAD))
    assert report.rows_read == len(GOOD) + 2 + len(BAD)


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidRows, match="neither a value"):
        load(Store(), csv(tmp_path, [next(iter(BAD))]))


@pytest.mark.parametrize("seed", range(5))
def test_order_halves_and_repeats_change_nothing(tmp_path: Path, seed: int) -> None:
    load(whole := Store(), csv(tmp_path, GOOD))
    rows = GOOD * 2
    random.Random(seed).shuffle(rows)  # noqa: S311 - a shuffle
    parts = Store()
    for number, some in enumerate((rows[:5], rows[5:], rows)):
        load(parts, csv(tmp_path, some, name=f"{number}.csv"))
    assert content(parts) == content(whole)


@pytest.mark.parametrize("suffix", ["ndjson", "parquet", "csv"])
def test_the_same_rows_in_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame(
        {
            "name": ["csat", "grounded"],
            "known_at": ["2026-01-05T12:00:00Z", "2026-01-05T12:01:00Z"],
            "value": [4.5, None],
            "numerator": [None, 31.0],
            "denominator": [None, 40.0],
            "intent": ["refund", None],
        }
    )
    file = tmp_path / f"signals.{suffix}"
    {"ndjson": frame.write_ndjson, "parquet": frame.write_parquet, "csv": frame.write_csv}[suffix](file)
    incident = Incident.create()
    assert incident.load(file).rows_loaded == 2
    assert incident.signals().select("name", "value", "numerator", "denominator", "intent").rows() == [
        ("csat", 4.5, None, None, "refund"),
        ("grounded", None, 31.0, 40.0, None),
    ]
    assert signal_names(incident.store) == ("csat", "grounded")


def test_rows_are_shares_and_a_value_is_one_over_one(tmp_path: Path) -> None:
    load(store := Store(), csv(tmp_path, GOOD))
    found = store.query("replay_signals").filter(pl.col("name") != "csat")
    assert found.select("name", "numerator", "denominator", "intent", "target").rows() == [
        ("grounded", 31, 40, "refund", "big"),
        ("delta", -0.25, 1, None, None),
        ("grounded", 0, 0, "refund", "big"),
    ]


def reads(name: str) -> Rule:
    return Rule(1, (Condition(f"signal:{name} < 4", f"signal:{name}", "signal", None, 4, 1, True, True, False, name),))  # noqa: FBT003


def test_a_policy_that_reads_what_is_not_loaded_is_refused() -> None:
    breaker = Breaker(reads("cast"))
    route = Route(name="refund", intent=("refund",), primary="big", fallback=(Entry("small"),), breaker=breaker)
    policy: Any = SimpleNamespace(name="p", routes=(route,), alerts=())
    with pytest.raises(
        UnansweredQuestion, match=r"route refund, big.*'cast'.*not loaded .did you mean 'csat'.*csat, wait"
    ):
        refuse_unloaded(policy, ["wait", "csat"])
    with pytest.raises(UnansweredQuestion, match="no signal is loaded"):
        refuse_unloaded(policy, [])
    refuse_unloaded(policy, ["cast"])
    alert: Any = SimpleNamespace(name="p", routes=(), alerts=(Alert("quality", reads("cast")),))
    with pytest.raises(UnansweredQuestion, match="alert quality"):
        refuse_unloaded(alert, ["csat"])


def test_unless_the_policy_says_what_its_absence_means() -> None:
    breaker = Breaker(reads("cast"), no_data="ok")
    route = Route(name="refund", intent=("refund",), primary="big", fallback=(Entry("small"),), breaker=breaker)
    policy: Any = SimpleNamespace(name="p", routes=(route,), alerts=(Alert("a", reads("cast"), no_data="breach"),))
    refuse_unloaded(policy, [])
