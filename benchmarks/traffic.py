"""Traffic: made-up requests of an ordinary product with one bad hour a day, in an incident's ``requests`` table."""

from __future__ import annotations

import numpy as np
import polars as pl

from incident_kit import Incident, Policy

INTENTS = (
    "refund-policy", "internal-agent-draft", "order-status", "billing-question", "password-reset", "shipping-delay",
    "cancel-subscription", "product-advice", "bug-report", "address-change", "invoice-copy", "small-talk",
)  # fmt: skip
PRIMARY, BACKUP = "primary_chat_model", "fast_backup_model"
LIMIT_MS = 3500
TWO_OF_THREE = "{at_least: 2, of: [p95_ms > 3500, slow_rate(2500ms) > 0.3, error_rate > 0.05]}"
THREE_CONDITIONS = f"breaker: {{when: {TWO_OF_THREE}, half_open: {{requests: 5}}}}"
START_US = 1_790_000_000_000_000  # an instant in September 2026
PER_SECOND = 11.6  # a million a day, so that a window holds the same number of calls however many requests are made
_DAY_S = 86_400
_CHUNK = 2_000_000


def fill(incident: Incident, requests: int, *, seed: int = 0, per_second: float = PER_SECOND) -> None:
    """Put requests without attempts into an empty incident, in the order in which they ended, as gateways log them.

    Arrivals are Poisson, latencies lognormal (median 0.9 s, p95 2.4 s), 1 % fail. For an hour a day the primary is three
    times slower; the gateway then sent one in twenty to the backup, and one in 500 at any other time.
    """
    random = np.random.default_rng(seed)
    began_s = 0.0
    for first in range(0, requests, _CHUNK):
        size = min(_CHUNK, requests - first)
        arrived_s = began_s + np.cumsum(random.exponential(1 / per_second, size))
        began_s = arrived_s[-1]
        is_slow = np.abs(arrived_s % _DAY_S - 10 * 3600) < 1800  # around the tenth hour
        on_backup = random.random(size) < np.where(is_slow, 0.05, 0.002)
        median_ms = np.where(on_backup, 500.0, np.where(is_slow, 2700.0, 900.0))
        latency_ms = np.maximum(median_ms * np.exp(0.6 * random.standard_normal(size)), 20).astype(np.int64)
        frame = pl.DataFrame(
            {
                "i": np.arange(first, first + size),
                "intent": pl.Series(random.integers(0, len(INTENTS), size, dtype=np.uint8)).cat.to(pl.Enum(INTENTS)),
                "arrived_us": START_US + (arrived_s * 1e6).astype(np.int64),
                "latency_ms": latency_ms,
                "on_backup": on_backup,
                "failed": random.random(size) < 0.01,
            }
        )
        incident.store.connection.register("made", frame)
        incident.store.run(_INSERT, {"primary": PRIMARY, "backup": BACKUP})
        incident.store.connection.unregister("made")
    incident.store.run("checkpoint")


def policy(watches: str = f"max_p95_ms: {LIMIT_MS}") -> Policy:
    """Return one rule for every intent, with one fallback; by default the founding file's: one condition."""
    route = "- intent: {}\n  primary: {}\n  fallback: {}\n  {}\n"
    routes = "".join(route.format(intent, PRIMARY, BACKUP, watches) for intent in INTENTS)
    return Policy.parse(f"name: per-intent\nroutes:\n{routes}")


_INSERT = """
insert into requests (
  request_id, conversation_id, intent, channel, arrived_at, wait_ms, wait_is_lower_bound, requested, served, is_fallback,
  status, error_class, stream, tools_offered, tool_calls, tool_errors, prompt_tokens, completion_tokens, cost_usd
)
select
  format('chatcmpl-{:016x}', hash(i)), format('conv-{:08d}', i // 4), intent, 'chat', make_timestamptz(arrived_us),
  latency_ms, false,
  $primary, case when not failed then case when on_backup then $backup else $primary end end, on_backup,
  case when failed then 'error' else 'ok' end, case when failed then '503' end, true, 3, 1, 0, 800, 200, 0.004
from made
order by arrived_us + latency_ms * 1000
"""
