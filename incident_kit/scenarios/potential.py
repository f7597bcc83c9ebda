"""Potential: what one target would do to the requests of one intent, drawn by the script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.scenarios.scenario import Agents, Degradation, Nuance, Scenario, Target, since
from incident_kit.stats.draws import log_normals, uniforms

CALL = np.dtype(
    [
        ("latency_ms", "i4"),
        ("first_token_ms", "i4"),  # after the call was sent; 0: not streamed, or failed
        ("error", "i2"),  # position in Truth.errors; 0: ok
        ("tool_calls", "i1"),
        ("malformed", "i1"),  # of them; the others' results are errors for `failing`
        ("failing", "i1"),
        ("completion_tokens", "i4"),
        ("overridden", "?"),  # if an agent reviews it
        ("overridden_without_tools", "?"),  # the same where the gateway took the tools away
    ]
)
_AT_ONCE = 0.4  # a rate limit is told in this part of the time of other errors


def intensity(degradation: Degradation, at_us: NDArray[np.int64], start: Any) -> NDArray[np.float64]:
    """Return how much of a degradation is felt at each instant, from 0 to 1; ``start`` is where ``at_us`` counts from."""
    begin, end = since(degradation.start, start), since(degradation.until, start)
    rise, fall = degradation.ramp * 1000, degradation.recovery * 1000
    xs = [begin - 1, begin, begin + rise, max(end, begin + rise), max(end, begin + rise) + fall + 1]
    within = np.interp(at_us, xs, [0.0, 0.0 if rise else 1.0, 1.0, 1.0, 0.0])
    return np.asarray(np.where((at_us < begin) | ((at_us >= end) & (fall == 0)), 0.0, within))


def outcomes_of(
    scenario: Scenario, own: pl.DataFrame, intent: str, target: str, attempt: int, errors: Sequence[str]
) -> NDArray[Any]:
    """Return the CALL records of one intent's requests on one target, for one attempt."""
    size = own.height
    spec = scenario.targets[target]
    nuance = spec.intents.get(intent, Nuance())
    numbers = own["number"].to_numpy()
    room = int(numbers.max()) + 1 if size else 0

    def draw(what: str) -> NDArray[np.float64]:
        name = ("intent", intent, "target", target, "attempt", attempt, what)
        drawn: NDArray[np.float64] = uniforms(scenario.seed, *name, size=room)[numbers]
        return drawn

    felt = [
        (one, intensity(one, own["at_us"].to_numpy(), scenario.start) * one.share_of(intent))
        for one in scenario.degradations
        if one.target == target
    ]
    slow = np.full(size, float(nuance.slow))
    for one, x in felt:
        slow *= 1 + (one.slow - 1) * x
    records = np.zeros(size, CALL)
    error = _errors(spec, felt, draw("error"), errors)
    failed = error > 0
    answer_ms = log_normals(draw("latency"), spec.latency_ms.median, spec.latency_ms.width) * slow
    error_ms = log_normals(draw("error latency"), spec.error_ms.median, spec.error_ms.width)
    error_ms = np.where(error == errors.index("429"), error_ms * _AT_ONCE, error_ms)
    error_ms = np.where(error == errors.index("timeout"), scenario.hangs_ms, error_ms)
    records["latency_ms"] = np.rint(np.where(failed, error_ms, answer_ms)).clip(1, 2**31 - 1)
    records["error"] = error
    streamed = own["stream"].to_numpy() & ~failed
    records["first_token_ms"] = np.where(streamed, np.rint(answer_ms * spec.ttft).clip(1, None), 0)
    tokens = log_normals(draw("tokens"), spec.completion_tokens.median, spec.completion_tokens.width)
    records["completion_tokens"] = np.where(failed, 0, np.rint(tokens).clip(1, None))
    _tools(records, own, spec, nuance, felt, draw)
    usual = (spec.override if nuance.override is None else nuance.override) + scenario.intents[intent].override
    _override(records, scenario.agents, usual, felt, draw("override"))
    return records


def _errors(spec: Target, felt: Any, u: NDArray[np.float64], errors: Sequence[str]) -> NDArray[np.int16]:
    """Return each call's error class: one number in (0, 1) against the classes' rates, one upon the other."""
    error = np.zeros(len(u), np.int16)
    below = np.zeros(len(u))
    for code, name in enumerate(errors[1:], 1):
        rate = np.full(len(u), spec.errors.get(name, 0.0))
        for one, x in felt:
            more = one.errors.get(name, 0.0) + one.rate_limit * (name == "429") + one.hang * (name == "timeout")
            rate += more * x
        error[(u >= below) & (u < below + rate)] = code
        below = below + rate
    return error


def _tools(records: NDArray[Any], own: pl.DataFrame, spec: Target, nuance: Nuance, felt: Any, draw: Any) -> None:
    """Enter tool calls: none in the last answer of a conversation, whose results no later request would bring."""
    may = (own["tools_offered"].to_numpy() > 0) & ~own["is_last"].to_numpy() & (records["error"] == 0)
    share = spec.calls if nuance.calls is None else nuance.calls
    count = (may & (draw("calls") < share)) * (1 + (draw("more calls") < spec.more_calls))
    malformed = np.zeros(len(records)) + (spec.malformed if nuance.malformed is None else nuance.malformed)
    failing = np.zeros(len(records)) + (spec.failing if nuance.failing is None else nuance.failing)
    for one, x in felt:
        malformed += one.malformed * x
        failing += one.failing * x
    records["tool_calls"] = count
    for number in range(2):
        u = draw(f"tool {number}")
        is_made = count > number
        records["malformed"] += is_made & (u < malformed)
        records["failing"] += is_made & (u >= malformed) & (u < malformed + failing)


def _override(records: NDArray[Any], agents: Agents, usual: float, felt: Any, u: NDArray[np.float64]) -> None:
    rate = np.zeros(len(records)) + usual
    for one, x in felt:
        rate += one.override * x
    rate += agents.slow * (records["latency_ms"] > agents.slow_ms)
    is_answer = records["error"] == 0
    has_failed = (records["malformed"] > 0) | (records["failing"] > 0)
    records["overridden"] = is_answer & (u < rate + agents.tool_failed * has_failed)
    records["overridden_without_tools"] = is_answer & (u < rate + agents.without_tools * (records["tool_calls"] > 0))
