"""Metrics over outcomes: exact on small groups, honest about what was not seen."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incident_kit import words
from incident_kit.errors import NoSuchItem
from incident_kit.estimation.evidence import LABELS
from incident_kit.scoring.metrics import PLAIN, metric, shares
from incident_kit.scoring.outcomes import WORST_MS
from incident_kit.scoring.tallies import TALLIES

SCHEMA = {
    "wait_ms": pl.Int64, "failed": pl.Boolean, "overridden": pl.Boolean, "tool_calls": pl.Int32, "tool_errors": pl.Int32,
    "is_fallback": pl.Boolean, "cost_usd": pl.Float64, "evidence": pl.String,
    "error_class": pl.String, "no_model": pl.String, "served": pl.String, "worst_ms": pl.Int32,
    "ttft_ms": pl.Int64, "stream": pl.Boolean,
}  # fmt: skip


def outcomes(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(
        [dict.fromkeys(SCHEMA) | {"evidence": "observed", "worst_ms": WORST_MS} | row for row in rows], schema=SCHEMA
    )


def value(name: str, frame: pl.DataFrame) -> Any:
    return frame.select(metric(name).value).item()


@pytest.mark.parametrize("percent", ["0.1", "1", "7", "28", "50", "55", "90", "95", "99", "99.9", "99.99"])
@pytest.mark.parametrize("n", [1, 2, 19, 20, 21, 25, 99, 100, 101, 1000, 10_000])
def test_quantiles_are_nearest_rank_in_integers(percent: str, n: int) -> None:
    expected = math.ceil(Fraction(percent) * n / 100)
    frame = pl.DataFrame({"wait_ms": range(n, 0, -1), "evidence": ["observed"] * n, "worst_ms": [WORST_MS] * n})
    assert value(f"p{percent}_ms", frame) == expected


def test_a_quantile_leaves_out_waits_that_are_unknown() -> None:
    frame = outcomes({"wait_ms": None}, {"wait_ms": 300}, {"wait_ms": 100}, {"wait_ms": None}, {"wait_ms": 200})
    assert value("p50_ms", frame) == 200
    assert value("p95_ms", frame) == 300
    assert value("mean_ms", frame) == 200


def test_slow_is_over_the_limit() -> None:
    frame = outcomes({"wait_ms": 8000}, {"wait_ms": 8001}, {"wait_ms": None}, {"wait_ms": 1})
    assert value("slow_rate(8000ms)", frame) == 1 / 3


def test_rates_are_of_those_that_are_known() -> None:
    frame = outcomes(
        {"failed": True, "overridden": True}, {"failed": False, "overridden": None}, {"failed": None}, {"failed": False}
    )
    assert value("error_rate", frame) == 1 / 3
    assert value("override_rate", frame) == 1


def test_tool_success_counts_calls_not_requests() -> None:
    frame = outcomes(
        {"tool_calls": 3, "tool_errors": 1}, {"tool_calls": 1, "tool_errors": 0}, {"tool_calls": 0, "tool_errors": 0}
    )
    assert value("tool_success_rate", frame) == 3 / 4


def test_a_tool_call_whose_result_is_unknown_is_no_success() -> None:
    frame = outcomes({"tool_calls": 2, "tool_errors": 1}, {"tool_calls": 6, "tool_errors": None})
    assert value("tool_success_rate", frame) == 1 / 2
    assert value("tool_success_rate", outcomes({"tool_calls": 6, "tool_errors": None})) is None


COUNTS = ("consecutive_errors", "requests", "share_no_model", *TALLIES)


@pytest.mark.parametrize("name", [*(name for name in PLAIN if name not in COUNTS), "slow_rate(8000ms)", "p99.9_ms"])
def test_of_nothing_there_is_no_value(name: str) -> None:
    for frame in (outcomes(), outcomes({})):
        one = metric(name)
        assert frame.select(one.value).item() is None
        for end in (one.low, one.high):
            assert end is None or frame.select(end).item() is None


def test_bounds_put_the_unseen_at_its_best_and_worst() -> None:
    frame = outcomes(
        {"wait_ms": 100, "failed": True}, {"wait_ms": 200, "failed": False},
        {"wait_ms": 300, "failed": False, "evidence": "same_intent"}, {"evidence": "none"},
    )  # fmt: skip
    waits, errors = metric("mean_ms"), metric("error_rate")
    assert frame.select(waits.low).item() == (100 + 200 + 0 + 0) / 4
    assert frame.select(waits.value).item() == (100 + 200 + 300) / 3
    assert frame.select(waits.high).item() == (100 + 200 + 2 * WORST_MS) / 4
    assert frame.select(errors.low, high=errors.high).row(0) == (1 / 4, 3 / 4)


def test_runs_classes_and_shares() -> None:
    errors = ["ok", "timeout", "429", "ok", "500"]
    frame = outcomes(*({"failed": one != "ok", "error_class": one, "served": one[0]} for one in errors), {})
    assert value("consecutive_errors", frame) == 2
    assert value("consecutive_errors", outcomes()) == 0
    assert (value("timeout_rate", frame), value("rate_429", frame)) == (1 / 5, 1 / 5)
    assert value("requests", frame) == 6
    assert value("served_share(o)", frame) == 2 / 5
    assert value("share_no_model", outcomes({"no_model": "human"}, {})) == 1 / 2


def test_tools_and_overrides_have_bounds_too() -> None:
    """An estimated answer's calls may all have failed or worked; what cannot be told counts as one."""
    frame = outcomes(
        {"tool_calls": 2, "tool_errors": 1, "overridden": True},
        {"tool_calls": 3, "tool_errors": 1, "overridden": False, "evidence": "same_time"}, {"evidence": "none"},
    )  # fmt: skip
    tools, overrides = metric("tool_success_rate"), metric("override_rate")
    assert frame.select(tools.low, high=tools.high).row(0) == (1 - 5 / 6, 1 - 1 / 6)
    assert frame.select(overrides.low, high=overrides.high).row(0) == (1 / 3, 1)


rows = st.fixed_dictionaries(
    {
        "wait_ms": st.none() | st.integers(0, 10 * WORST_MS),
        "failed": st.none() | st.booleans(),
        "evidence": st.sampled_from(LABELS),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, max_size=25), st.sampled_from(["p50_ms", "p95_ms", "mean_ms", "slow_rate(3500ms)", "error_rate"]))
def test_an_estimate_lies_between_its_bounds(drawn: list[dict[str, Any]], name: str) -> None:
    # where the log cannot tell there is no outcome to read
    told = [row | {"wait_ms": None, "failed": None} if row["evidence"] == "none" else row for row in drawn]
    one = metric(name)
    assert one.low is not None
    assert one.high is not None
    low, estimate, high = outcomes(*told).select(low=one.low, value=one.value, high=one.high).row(0)
    if estimate is not None:
        assert low <= estimate + 1e-9
        assert estimate <= high + 1e-9
    if all(row["evidence"] == "observed" for row in told):
        assert low == estimate == high
    assert one.least is not None
    assert one.most is not None
    least, most = outcomes(*told).select(least=one.least, most=one.most).row(0)
    if estimate is not None:
        assert low - 1e-9 <= least <= estimate + 1e-9
        assert estimate - 1e-9 <= most <= high + 1e-9
    if all(row["evidence"] != "none" for row in told):
        assert least == estimate == most


def test_shares_of_evidence_sum_to_one() -> None:
    frame = outcomes({}, {"evidence": "none"}, {"evidence": "same_intent"}, {})
    assert frame.select(shares(LABELS)).row(0) == (1 / 2, 0, 0, 1 / 4, 1 / 4)


@pytest.mark.parametrize("name", ["p95", "p100_ms", "p0_ms", "slow_rate(8)", "tool_succes_rate", "signal:", ""])
def test_an_unknown_metric_is_named_with_those_there_are(name: str) -> None:
    with pytest.raises(NoSuchItem, match="there are p50_ms, p95_ms"):
        metric(name)


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(NoSuchItem, match="did you mean 'tool_success_rate'"):
        metric("tool_succes_rate")


def test_a_limit_is_written_as_in_a_condition() -> None:
    assert metric("slow_rate( 8s )").name == "slow_rate(8000ms)"


def test_first_tokens_are_of_streamed_answers() -> None:
    frame = outcomes({"ttft_ms": 100, "stream": True}, {"stream": False}, {"stream": True, "evidence": "none"})
    one = metric("p95_ttft_ms")
    assert frame.select(one.least, value=one.value, most=one.most).row(0) == (100, 100, WORST_MS)
    assert frame.select(one.low).item() == 100
    frame = outcomes({"ttft_ms": 100, "stream": True}, {"stream": False, "evidence": "none"})
    assert frame.select(one.least, most=one.most).row(0) == (100, 100), "an answer that is not streamed has none"


def test_only_what_cannot_be_told_is_at_its_ends() -> None:
    """An estimate of an outcome stands; one without any evidence is neither left out nor made up."""
    frame = outcomes(
        {"wait_ms": 100, "failed": False, "tool_calls": 1, "tool_errors": 0, "overridden": True},
        {"wait_ms": 300, "failed": True, "tool_calls": 1, "tool_errors": 1, "overridden": False, "evidence": "same_cell"},
        {"evidence": "none"},
    )  # fmt: skip
    ends = {
        "mean_ms": (400 / 3, (400 + WORST_MS) / 3), "error_rate": (1 / 3, 2 / 3), "tool_success_rate": (1 / 3, 2 / 3),
        "override_rate": (1 / 3, 2 / 3), "slow_rate(200ms)": (1 / 3, 2 / 3), "p50_ms": (100, 300),
    }  # fmt: skip
    for name, expected in ends.items():
        one = metric(name)
        assert one.least is not None
        assert one.most is not None
        assert frame.select(one.least, most=one.most).row(0) == pytest.approx(expected), name


def test_waits_longer_than_the_worst_that_is_assumed_stay_within_bounds() -> None:
    """A reasoning model may take minutes: what was not seen is then not better than what was."""
    frame = outcomes({"wait_ms": 90_000}, {"wait_ms": 90_000, "evidence": "same_intent"}, {"evidence": "none"})
    assert frame.select(metric("mean_ms").high).item() == 90_000
    assert frame.select(metric("p50_ms").high).item() == 90_000


def test_every_metric_has_words_for_people() -> None:
    for name in (*PLAIN, "slow_rate(8000ms)", "signal:csat_score"):
        assert words.metric(name).plain
    assert words.metric("p95_ttft_ms").plain == "the slowest one in twenty waited over for the first word"
    assert words.metric("signal:csat_score").unit == ""
