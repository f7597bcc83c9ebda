"""Observations made by hand, for tests of the evidence model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from incident_kit.estimation.observations import Observations

MINUTE = 60_000_000


def observed(  # noqa: PLR0913 - a call has that many sides
    target: Sequence[int] | NDArray[Any],
    minute: Sequence[float] | NDArray[Any],
    *,
    intent: Any = 0,
    ticket: Any = -1,
    without_tools: Any = False,
    latency_ms: Any = 1000,
    is_censored: Any = False,
    cap_ms: float = 60_000,
    targets: int | None = None,
    intents: int | None = None,
    weights: dict[str, Any] | None = None,
    **values: Any,
) -> Observations:
    """Return observations; scalars stand for all calls."""
    target = np.asarray(target, np.int16)
    size = len(target)

    def all_of(value: Any, kind: Any) -> NDArray[Any]:
        return np.broadcast_to(np.asarray(value, kind), size).copy()

    intent = all_of(intent, np.int16)
    latency = all_of(latency_ms, np.int32)
    known = {"latency": np.minimum(latency, cap_ms) / cap_ms}
    return Observations(
        call=np.arange(size),
        request=np.arange(size, dtype=np.int32),
        target=target,
        intent=intent,
        ticket=all_of(ticket, np.int32),
        sent_us=np.rint(np.asarray(minute, np.float64) * MINUTE).astype(np.int64),
        latency_ms=latency,
        is_censored=all_of(is_censored, np.bool_),
        without_tools=all_of(without_tools, np.bool_),
        values=known | {name: all_of(value, np.float64) for name, value in values.items()},
        weights={name: all_of(value, np.float64) for name, value in (weights or {}).items()},
        cap_ms=cap_ms,
        targets=targets or int(target.max(initial=0)) + 1,
        intents=intents or int(intent.max(initial=0)) + 1,
    )
