"""What a signal said, in words, for the whole vocabulary."""

from __future__ import annotations

import pytest

from incident_kit.policies.signalwords import cause, counted


@pytest.mark.parametrize(
    ("name", "value", "n", "threshold", "said"),
    [
        ("p50_ms", 900.0, 12, 500.0, "of 12 calls, half took at least 900 ms, the limit is 500 ms"),
        (
            "p99_ttft_ms", 900.0, 1200, 500.0,
            "of 1,200 calls, the slowest one in 100 took at least 900 ms to the first word, the limit is 500 ms",
        ),
        ("slow_rate(3500ms)", 0.25, 8, 0.05, "25 % of 8 calls were slower than 3.5 s, the limit is 5 %"),
        ("error_rate", 0.5, 4, 0.2, "50 % of 4 calls failed, the limit is 20 %"),
        ("timeout_rate", 0.5, 4, 0.2, "50 % of 4 calls timed out, the limit is 20 %"),
        ("rate_429", 0.5, 4, 0.2, "50 % of 4 calls were turned away for their rate, the limit is 20 %"),
        ("mean_ms", 1234.0, 9, 1000.0, "9 calls took 1,234 ms on average, the limit is 1,000 ms"),
        ("consecutive_errors", 5.0, 40, 5.0, "5 calls in a row failed, the limit is 5"),
        ("override_rate", 0.3, 40, 0.15, "30 % of 40 reviewed drafts were overridden, the limit is 15 %"),
        ("sla_breach_rate", 0.3, 40, 0.15, "30 % of 40 tickets broke their SLA, the limit is 15 %"),
        ("fallback_rate", 0.3, 40, 0.15, "30 % of 40 requests ended on a backup, the limit is 15 %"),
        ("requests", 120.0, 120, 100.0, "120 requests came, the limit is 100"),
        ("cost_per_request", 0.02, 7, 0.01, "7 answers cost 0.02 USD each, the limit is 0.01 USD"),
        ("signal:csat", 3.25, 7, 4.0, "the signal csat was 3.25, the limit is 4"),
        ("alert: refund-quality", 1.0, None, None, "the alert refund-quality was firing"),
        ("new_thing", 2.0, 3, 1.0, "new_thing was 2, the limit is 1"),
        (None, None, None, None, "no signal was named"),
    ],
)  # fmt: skip
def test_cause(name: str | None, value: float | None, n: int | None, threshold: float | None, said: str) -> None:
    assert cause(name, value, n, threshold) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.1513, "15.1 % of"), (0.15003, "15.003 % of"), (0.15, "15 % of"), (0.2, "20 %")]
)
def test_a_share_is_told_from_its_limit(value: float, said: str) -> None:
    assert cause("override_rate", value, 476, 0.15).startswith(said)
    assert cause("slow_rate(900ms)", value, 476, 0.15).startswith(said)


def test_an_alert_judges_requests() -> None:
    assert cause("p95_ms", 900, 12, 500, things="requests").startswith("of 12 requests, the slowest one in twenty")
    assert cause("error_rate", 0.5, 4, 0.2, things="requests").startswith("50 % of 4 requests failed")
    assert cause("tool_success_rate", 0.5, 4, 0.9, things="requests").startswith("50 % of 4 tool calls worked")


def test_a_hostile_name_is_one_line() -> None:
    assert cause("signal:\x1b[2J\nx", 1, 1, 1).isprintable()


def test_what_a_share_counts() -> None:
    assert counted("slow_rate(500ms)") == "slower than 0.5 s"
    assert counted("tool_success_rate") == "tool success rate"
