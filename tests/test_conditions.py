from fractions import Fraction
from itertools import product
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_kit.durations import LONGEST_MS, parse_duration, show_duration
from incident_kit.errors import InvalidPolicy
from incident_kit.policies.conditions import Condition, Rule

SIGNS = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}
latencies = st.lists(st.integers(0, 12), min_size=1, max_size=60)


@given(
    latencies,
    st.integers(0, 12),
    st.sampled_from(list(SIGNS)),
    st.sampled_from(["1", "50", "90", "95", "99", "99.9", "37.5"]),
)
def test_s11_a_quantile_is_the_nearest_rank(waits: list[int], limit: int, sign: str, percent: str) -> None:
    condition = Condition.parse(f"p{percent}_ms {sign} {limit}")
    nearest_rank = sorted(waits)[ceil(Fraction(percent) * len(waits) / 100) - 1]
    assert condition.test(sum(map(condition.counts, waits)), len(waits)) == SIGNS[sign](nearest_rank, limit)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 99), st.sampled_from(list(SIGNS)))
def test_a_rate_is_compared_as_an_exact_share(failed: list[bool], percent: int, sign: str) -> None:
    k, n = sum(failed), len(failed)
    for text in (f"error_rate {sign} {percent}%", f"error_rate {sign} 0.{percent:02}"):
        assert Condition.parse(text).test(k, n) == SIGNS[sign](Fraction(k, n), Fraction(percent, 100))


@pytest.mark.parametrize("rate", ["slow_rate(3500ms) > 0.05", "slow_rate(3500ms) > 5%", "slow_rate( 3s500ms )>.05"])
def test_property_4_a_p95_breaker_is_a_slow_rate_breaker(rate: str) -> None:
    def exact(condition: Condition) -> tuple[object, ...]:
        return (
            condition.kind,
            condition.limit_ms,
            condition.numerator,
            condition.denominator,
            condition.strict,
            condition.negated,
            condition.count_at_limit,
        )

    assert exact(Condition.parse(rate)) == exact(Condition.parse("p95_ms > 3500"))


@pytest.mark.parametrize(
    ("text", "canonical", "numerator", "denominator"),
    [
        ("p95_ms>3500", "p95_ms > 3500", 1, 20),
        (" p99.90_ms  <= 10 ", "p99.9_ms <= 10", 1, 1000),
        ("p05_ms > 007", "p5_ms > 7", 19, 20),
        ("error_rate > .2", "error_rate > 0.2", 1, 5),
        ("error_rate > 0", "error_rate > 0", 0, 1),
        ("error_rate >= 100%", "error_rate >= 1", 1, 1),
        ("slow_rate(1m) < 1.25%", "slow_rate(60000ms) < 0.0125", 1, 80),
        ("error_rate < 0.000001%", "error_rate < 0.00000001", 1, 100_000_000),
    ],
)
def test_a_condition_has_one_text_and_an_exact_share(
    text: str, canonical: str, numerator: int, denominator: int
) -> None:
    condition = Condition.parse(text)
    assert (condition.text, condition.numerator, condition.denominator) == (canonical, numerator, denominator)
    assert Condition.parse(canonical) == condition


@pytest.mark.parametrize(
    ("text", "canonical", "kind", "against", "decides"),
    [
        ("p95_ttft_ms > 800", "p95_ttft_ms > 800", "ttft", (1, 20), [(5, 100, False), (6, 100, True)]),
        ("mean_ms >= 02000", "mean_ms >= 2000", "mean", (2000, 1), [(3999, 2, False), (4000, 2, True)]),
        ("timeout_rate > 1%", "timeout_rate > 0.01", "timeout", (1, 100), [(1, 100, False), (2, 100, True)]),
        ("rate_429 >= .5", "rate_429 >= 0.5", "429", (1, 2), [(1, 2, True), (1, 3, False)]),
        ("consecutive_errors >= 5", "consecutive_errors >= 5", "consecutive", (5, 1), [(4, 1, False), (5, 1, True)]),
        ("tool_success_rate < 0.9", "tool_success_rate < 0.9", "tools", (9, 10), [(9, 10, False), (8, 10, True)]),
        ("override_rate > 15 %", "override_rate > 0.15", "override", (3, 20), [(3, 20, False), (4, 20, True)]),
        ("escalation_rate <= 0.5", "escalation_rate <= 0.5", "escalation", (1, 2), [(1, 2, True), (2, 3, False)]),
        ("reopen_rate > 0", "reopen_rate > 0", "reopen", (0, 1), [(0, 9, False), (1, 9, True)]),
        ("sla_breach_rate > 0.1", "sla_breach_rate > 0.1", "sla", (1, 10), [(1, 10, False), (2, 10, True)]),
        ("fallback_rate > 30%", "fallback_rate > 0.3", "fallback", (3, 10), [(3, 10, False), (4, 10, True)]),
        ("requests > 100", "requests > 100", "requests", (100, 1), [(100, 1, False), (101, 1, True)]),
        (
            "cost_per_request > $0.020",
            "cost_per_request > 0.02",
            "cost",
            (20_000_000, 1),
            [(40_000_000, 2, False), (40_000_001, 2, True)],
        ),
        (
            "signal : csat < 3.5",
            "signal:csat < 3.5",
            "signal",
            (7, 2),
            [(3_500_000, 10**6, False), (3_499_999, 10**6, True)],
        ),
        (
            "signal:a.b/c-d > -0.25",
            "signal:a.b/c-d > -0.25",
            "signal",
            (-1, 4),
            [(-250_000, 10**6, False), (0, 10**6, True)],
        ),
        ("signal:budget > 5%", "signal:budget > 0.05", "signal", (1, 20), [(1, 20, False), (2, 20, True)]),
        (" alert:  refund quality ", "alert: refund quality", "alert", (1, 1), [(0, 1, False), (1, 1, True)]),
    ],
)
def test_the_whole_vocabulary_is_two_counters(
    text: str, canonical: str, kind: str, against: tuple[int, int], decides: list[tuple[int, int, bool]]
) -> None:
    condition = Condition.parse(text)
    assert (condition.text, condition.kind) == (canonical, kind)
    assert (condition.numerator, condition.denominator) == against
    assert [condition.test(k, n) for k, n, _ in decides] == [outcome for _, _, outcome in decides]
    assert Condition.parse(condition.text) == condition


def test_names_and_thresholds_of_conditions_that_are_no_shares() -> None:
    cost, signal, alert = map(Condition.parse, ("cost_per_request > 0.02", "signal:csat < 3.5", "alert: refunds"))
    assert (cost.threshold, cost.share, cost.metric) == (0.02, 2e7, "cost_per_request")
    assert (signal.name, signal.metric, signal.sign, signal.threshold) == ("csat", "signal:csat", "<", 3.5)
    assert (alert.name, alert.metric, alert.sign, alert.threshold) == ("refunds", "alert", ">=", 1.0)


def test_the_number_in_the_text_and_the_share_that_decides() -> None:
    slow, failing = Condition.parse("p95_ms >= 3500"), Condition.parse("error_rate > 20%")
    assert (slow.threshold, slow.share, slow.sign, slow.metric) == (3500.0, 0.05, ">=", "p95_ms")
    assert (failing.threshold, failing.share, failing.sign, failing.metric) == (0.2, 0.2, ">", "error_rate")
    assert slow.counts(3500)
    assert not Condition.parse("p95_ms > 3500").counts(3500)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p95_ms > 2x baseline(7d)", "relative thresholds .* not in version 1"),
        ("budget_usd > 5 budget", "rate and budget limits .* not in version 1"),
        ("header(x-slow) > 1", "header triggers .* not in version 1"),
        ("outlier > 3 stdev", "peer-outlier rules .* not in version 1"),
        ("eror_rate > 0.1", "did you mean 'error_rate'"),
        ("p95 > 3500", "did you mean 'p95_ms'"),
        ("p0_ms > 3", "between 0 and 100"),
        ("p100_ms > 3", "is not a metric"),
        ("p95_ms > 3.5s", "whole milliseconds"),
        ("p95_ms > 3500.5", "whole milliseconds"),
        ("p95_ms > -1", "whole milliseconds"),
        ("p95_ms > 999999999999", "whole milliseconds"),
        ("error_rate > 5", "for percent write 5%"),
        ("error_rate > 0.123456789", "a share such as"),
        ("error_rate > .", "a share such as"),
        ("error_rate > 1", "can never be true"),
        ("error_rate < 0", "can never be true"),
        ("error_rate >= 0", "always true"),
        ("slow_rate(3500) > 0.1", "write 3500s or 3500ms"),
        ("slow_rate(soon) > 0.1", "is not a duration"),
        ("slow_rate > 0.1", "is not a metric"),
        ("p95_ms = 3", "compare with"),
        ("p0_ttft_ms > 3", "between 0 and 100"),
        ("p95_ttft > 3", "did you mean 'p95_ttft_ms'"),
        ("tool_sucess_rate < 0.9", "did you mean 'tool_success_rate'"),
        ("mean_ms > 3.5s", "whole milliseconds"),
        ("mean_ms < 0", "can never be true"),
        ("mean_ms > 99999999999", "at most 366 days"),
        ("requests > 1.5", "a whole number"),
        ("requests >= 0", "always true"),
        ("consecutive_errors > 50%", "a whole number"),
        ("cost_per_request > 0.0000000001", "US dollars a request"),
        ("cost_per_request > 1001", "at most 1000 US dollars"),
        ("signal:csat > 0.1234567", "a number with up to 6 decimals"),
        ("signal: > 1", "names no signal"),
        ("signal:csat > 2x baseline", "relative thresholds .* not in version 1"),
        ("alert:", "the name of an alert"),
        ("p95_ms > " + "9" * 300, "not 309 characters"),
        ("p95_ms != 3", "compare with"),
        ("p95_ms > 3 and error_rate > 0.1", "one comparison a condition"),
        ("p95_ms", "is not a condition"),
        ("", "is not a condition"),
        (3500, "a condition is a text"),
        (True, "a condition is a text"),
    ],
)
def test_a_condition_that_cannot_be_read_says_what_to_write(text: object, message: str) -> None:
    with pytest.raises(InvalidPolicy, match=message):
        Condition.parse(text)


@given(st.integers(1, 4), st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=4))
def test_s12_unknown_decides_only_what_it_must(at_least: int, values: list[bool | None]) -> None:
    at_least = min(at_least, len(values))
    rule = Rule(at_least, (Condition.parse("p95_ms > 1"),) * len(values))
    choices = product(*([value] if value is not None else [True, False] for value in values))
    outcomes = {sum(choice) >= at_least for choice in choices}
    assert rule.evaluate(values) is (outcomes.pop() if len(outcomes) == 1 else None)


ONE, OTHER = "p95_ms > 3500", "error_rate > 0.2"


@pytest.mark.parametrize(
    ("written", "at_least", "count", "tree", "text"),
    [
        (ONE, 1, 1, ONE, ONE),
        ([ONE], 1, 1, ONE, ONE),
        ([ONE, OTHER], 1, 2, {"any": [ONE, OTHER]}, f"any of [{ONE}, {OTHER}]"),
        ({"any": [ONE, OTHER]}, 1, 2, {"any": [ONE, OTHER]}, f"any of [{ONE}, {OTHER}]"),
        ({"all": [ONE, OTHER]}, 2, 2, {"all": [ONE, OTHER]}, f"all of [{ONE}, {OTHER}]"),
        ({"at_least": 2, "of": [ONE, OTHER]}, 2, 2, {"all": [ONE, OTHER]}, f"all of [{ONE}, {OTHER}]"),
        (
            {"at_least": 2, "of": [ONE, OTHER, "p50_ms > 9"]},
            2,
            3,
            {"at_least": 2, "of": [ONE, OTHER, "p50_ms > 9"]},
            f"at least 2 of [{ONE}, {OTHER}, p50_ms > 9]",
        ),
        ({"alert": "x"}, 1, 1, {"alert": "x"}, "alert: x"),
        ("alert: x", 1, 1, {"alert": "x"}, "alert: x"),
        (
            {"all": [ONE, {"any": [OTHER, {"alert": "x"}]}]},
            2,
            2,
            {"all": [ONE, {"any": [OTHER, {"alert": "x"}]}]},
            f"all of [{ONE}, any of [{OTHER}, alert: x]]",
        ),
        ([ONE, [OTHER, "requests > 9"]], 1, 2, {"any": [ONE, {"any": [OTHER, "requests > 9"]}]}, None),
        ({"any": [{"all": [ONE, OTHER]}]}, 2, 2, {"all": [ONE, OTHER]}, f"all of [{ONE}, {OTHER}]"),
        ({"all": [[ONE], {"any": [OTHER]}]}, 2, 2, {"all": [ONE, OTHER]}, f"all of [{ONE}, {OTHER}]"),
    ],
)
def test_a_rule_has_many_shapes(written: object, at_least: int, count: int, tree: object, text: str | None) -> None:
    rule = Rule.parse(written)
    assert (rule.at_least, len(rule.of), rule.tree()) == (at_least, count, tree)
    assert text is None or str(rule) == text
    assert Rule.parse(rule.tree()) == rule


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"at_least": 3, "of": [ONE, OTHER]}, "from 1 to 2"),
        ({"at_least": 0, "of": [ONE]}, "from 1 to 1"),
        ({"at_least": True, "of": [ONE]}, "whole number"),
        ({"some": [ONE]}, "this one has 'some'"),
        ({}, "nothing"),
        ([], "at least one condition"),
        ({"any": ONE}, "is a list"),
        ([ONE, "p95_ms>3500"], "stands twice"),
        ([{"all": [ONE, OTHER]}, {"all": [ONE, OTHER]}], "stands twice"),
        ({"alert": 5}, "the name of an alert"),
        ({"signal": "csat > 3"}, "without a blank: 'signal:csat > 3'"),
        ([f"p95_ms > {i}" for i in range(65)], "64 are the most"),
    ],
)
def test_a_rule_that_cannot_be_read_says_why(written: object, message: str) -> None:
    with pytest.raises(InvalidPolicy, match=message):
        Rule.parse(written)


def test_the_leaves_of_a_rule_come_in_the_order_of_its_text() -> None:
    rule = Rule.parse({"at_least": 2, "of": [ONE, {"all": [OTHER, ["requests > 9", {"alert": "x"}]]}, "mean_ms > 5"]})
    assert [leaf.text for leaf in rule.leaves] == [ONE, OTHER, "requests > 9", "alert: x", "mean_ms > 5"]
    assert rule.evaluate([True, None, False]) is None
    assert rule.evaluate([True, True, False]) is True


@given(st.integers(0, LONGEST_MS))
def test_a_duration_is_read_back(milliseconds: int) -> None:
    assert parse_duration(show_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("5m", 300_000), ("30s", 30_000), ("1h30m", 5_400_000), ("500ms", 500), ("1d", 86_400_000), ("0s", 0)],
)
def test_durations_are_whole_milliseconds(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (60, "write 60s or 60ms"),
        (1.5, "needs a unit"),
        ("", "is not a duration"),
        ("5 m", "is not a duration"),
        ("1.5h", "1h30m"),
        ("-5m", "is not a duration"),
        ("30m1h", "is not a duration"),
        ("٣s", "is not a duration"),
        (True, "is not a duration"),
        (None, "is not a duration"),
        ("9999d", "longer than 366 days"),
    ],
)
def test_a_duration_that_cannot_be_read_says_why(value: object, message: str) -> None:
    with pytest.raises(InvalidPolicy, match=message):
        parse_duration(value)
