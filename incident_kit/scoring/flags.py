"""Flags: where a policy leaves what the log can vouch for: more load than it ever saw, and other requests than it saw.

Neither changes an estimate. Both say that intervals may be too narrow, which no interval can say of itself. What leaves no
trace in the log (a difficulty that shows in no logged trait) cannot be flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.words import label, number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from incident_kit.estimation.cells import Cells
    from incident_kit.log import Log
    from incident_kit.scoring.replays import Replay

LOAD: dict[str, Any] = {
    "target": pl.String, "busiest": pl.Float64, "seen": pl.Float64, "ratio": pl.Float64, "share": pl.Float64,
    "slower": pl.Float64, "slower_low": pl.Float64, "slower_high": pl.Float64, "flagged": pl.Boolean,
}  # fmt: skip
SELECTION: dict[str, Any] = {
    "target": pl.String, "trait": pl.String, "n_seen": pl.Int64, "n_would": pl.Int64, "seen": pl.Float64,
    "would": pl.Float64, "difference": pl.Float64, "z": pl.Float64, "matched": pl.String, "flagged": pl.Boolean,
}  # fmt: skip
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
WINDOWS = 120  # a log is cut into at most so many to look at load
TYPICAL = 30  # requests in a window, on average
FEWEST = 5  # requests of an intent that make it seen; calls that make a window's latency
ENOUGH = 20  # tickets on both sides, below which nothing is compared
LEAST_SHARE = 0.01  # of a target's requests beyond observed load that are worth a word
LEAST_UNSEEN = 0.05  # of a target's new requests, of intents that it hardly saw, that are worth a word
_SIGMAS = 3
_Z90 = NormalDist().inv_cdf(0.95)
Floats = NDArray[np.float64]


def load(replay: Replay, *, ratio: float = 1.25, every: timedelta | None = None) -> pl.DataFrame:
    """Return the load that a policy puts on each target beside the most that the log ever put there, one row a target.

    Columns: target; busiest and seen (requests a minute in the busiest window, under the policy and in the log), ratio of
    the two, share (of the policy's requests to the target that lie in windows beyond the log's busiest), slower (by how much
    the target's latency grew in the log when its load doubled, 0.2 for 20 %; NULL where its load hardly varied) with a 90 %
    interval, flagged.

    Parameters
    ----------
    ratio
        How much more than the log's busiest window is beyond; three standard deviations of a count on top of it.
    every
        Length of a window; by default the log is cut into at most 120, of 30 requests on average.
    """
    log = replay.log
    if not len(log):
        return pl.DataFrame(schema=LOAD)
    first = int(log.arrived_us[0])
    width = int(every.total_seconds() * 1e6) if every else _step_us(log)
    window = (log.arrived_us - first) // width
    windows = int(window[-1]) + 1
    rows = []
    for code, target in enumerate(replay.targets[: len(log.targets)]):
        would = _taken(replay.first_target, replay.outcome.target, code)
        would &= (replay.outcome.no_model == 0) | (replay.first_target == code)
        now = np.bincount(window[would], minlength=windows)
        was = np.bincount(window[_taken(log.first_target, log.served, code)], minlength=windows)
        most = int(was.max())
        beyond = (now > ratio * most) & (now - most > _SIGMAS * np.sqrt(most + 1))
        if not now.any():
            continue
        share = float(now[beyond].sum() / now.sum())
        per_minute = 60e6 / width
        rows.append(
            (
                target, float(now.max()) * per_minute, most * per_minute, float(now.max() / most) if most else None, share,
                *_slower(replay, code, first, width, windows), share >= LEAST_SHARE,
            )
        )  # fmt: skip
    return pl.DataFrame(rows, schema=LOAD, orient="row")


def selection(replay: Replay, cells: Cells, *, least: float = 0.2, level: float = 0.01) -> pl.DataFrame:
    """Return how the requests that a target would newly get differ from those it answered, one row a target and trait.

    Columns: target, trait (prompt tokens, tools offered, intent), n_seen, n_would, seen and would (means over the same mix;
    of tokens geometric), difference, z, matched (within what the two were compared), flagged. The difference is in standard
    deviations, of logarithms for tokens; its error counts a ticket as one. Of the trait "intent" it is the share of new
    requests whose intent the target hardly answered. Token counts are the answering model's own: where tokenizers differ, so
    do they.

    Parameters
    ----------
    cells
        Their bins of time, and the tickets of their observations.
    least
        The smallest difference, in standard deviations, that is flagged.
    level
        The chance of one false flag in the whole table.
    """
    log, outcome = replay.log, replay.outcome
    would_all = (outcome.evidence > 0) & (outcome.no_model == 0)
    if not would_all.any():
        return pl.DataFrame(schema=SELECTION)
    tokens, ticket = _prompt_tokens(replay), _tickets(replay, cells)
    traits = {"prompt tokens": tokens, "tools offered": np.where(log.tools_offered < 0, np.nan, log.tools_offered > 0)}
    bins = cells.bin_of(log.arrived_us)
    rows: list[tuple[Any, ...]] = []
    for code, target in enumerate(log.targets):
        would, seen = would_all & (outcome.target == code), log.served == code
        if not would.any():
            continue
        for trait, values in traits.items():
            known = np.isfinite(values)
            rows.append((target, trait, *_compared(values, would & known, seen & known, log.intent, bins, ticket)))
        answered = np.bincount(log.intent[seen] + 1, minlength=len(log.intents) + 1)
        unseen = float((answered[log.intent[would] + 1] < FEWEST).mean())
        rows.append((target, "intent", int(seen.sum()), int(would.sum()), None, None, unseen, None, "nothing"))
    tests = sum(row[7] is not None for row in rows)
    sure = NormalDist().inv_cdf(1 - level / max(tests, 1) / 2)
    table = pl.DataFrame([(*row, False) for row in rows], schema=SELECTION, orient="row")
    apart = (pl.col("difference").abs() >= least) & (pl.col("z").abs() >= sure)
    is_flagged = pl.when(pl.col("trait") == "intent").then(pl.col("difference") >= LEAST_UNSEEN).otherwise(apart)
    return table.with_columns(is_flagged.fill_null(value=False).alias("flagged"))


def flags(replay: Replay, cells: Cells | None = None) -> tuple[str, ...]:
    """Return in plain words what is flagged, worst first; without ``cells`` load only."""
    found = [(float(row["ratio"] or 99), _of_load(row)) for row in load(replay).filter("flagged").iter_rows(named=True)]
    if cells is not None:
        chosen = selection(replay, cells).filter("flagged")
        found += [(abs(row["difference"]), _of_selection(row)) for row in chosen.iter_rows(named=True)]
    return tuple(said for _, said in sorted(found, key=lambda one: -one[0]))


def _of_load(row: dict[str, Any]) -> str:
    target = label(row["target"])
    times = f"{row['ratio']:.1f} times" if row["ratio"] else "more than"
    said = (
        f"Beyond observed load: {target} would get up to {number(row['busiest'])} requests a minute, {times} the most that "
        f"these logs ever show it ({number(row['seen'])}), for {number(row['share'], '%')} of what it gets."
    )
    if row["slower"] is None:
        return f"{said} Whether it slows under load these logs cannot tell; if it does, its estimates are too good."
    return (
        f"{said} In these logs its latency changed by {row['slower']:+z.0%} for each doubling of load (90 % interval "
        f"{row['slower_low']:+z.0%} to {row['slower_high']:+z.0%})."
    )


def _of_selection(row: dict[str, Any]) -> str:
    target = label(row["target"])
    if row["trait"] == "intent":
        share = number(row["difference"], "%")
        return f"{share} of what {target} would get are of intents that it hardly answered in these logs."
    how = "more" if row["difference"] > 0 else "fewer"
    if row["trait"] == "tools offered":
        would, seen = number(row["would"], "%"), number(row["seen"], "%")
        return f"Selection: {would} of the requests that {target} would get offer tools, of those it answered {seen}."
    return (
        f"Selection: the requests that {target} would get have {how} prompt tokens (typically {number(row['would'])}) than "
        f"those it answered ({number(row['seen'])}): harder or easier ones, which its estimates do not allow for."
    )


def _step_us(log: Log) -> int:
    """Return a round length that cuts a log into at most WINDOWS, each of TYPICAL requests on average."""
    span = int(log.arrived_us[-1] - log.arrived_us[0]) / 1e6
    least = span / min(WINDOWS, max(len(log) / TYPICAL, 1))
    return 1_000_000 * next((s for s in STEPS_S if s >= least), STEPS_S[-1])


def _taken(first: NDArray[Any], last: NDArray[Any], code: int) -> NDArray[np.bool_]:
    """Return which requests a target is asked: first, or as the one that answers."""
    return np.asarray((first == code) | (last == code))


def _slower(replay: Replay, code: int, first_us: int, width: int, windows: int) -> tuple[float | None, ...]:
    """Return by how much a target's latency grew when its load doubled, with a 90 % interval; Nones where that is not seen.

    Weighted least squares of a window's mean log latency, intents' own means taken off, on the log of its calls. A window
    counts for as much as its calls, and its error is what the windows scatter.
    """
    calls = replay.log.calls
    rows = calls.is_call & (calls.target == code) & (calls.latency_ms > 0) & (calls.error == 0)
    intent = replay.log.intent[calls.request[rows]] + 1
    y = np.log(calls.latency_ms[rows].astype(np.float64))
    of_intent = np.bincount(intent, y) / np.maximum(np.bincount(intent), 1)
    window = np.clip((calls.sent_us[rows] - first_us) // width, 0, windows - 1)
    n = np.bincount(window, minlength=windows)
    kept = n >= FEWEST
    if kept.sum() < 2 * FEWEST:
        return (None, None, None)
    means = np.bincount(window, y - of_intent[intent], minlength=windows)[kept] / n[kept]
    x, w = np.log2(n[kept]), n[kept].astype(np.float64)
    x = x - np.average(x, weights=w)
    spread = float((w * x * x).sum())
    if spread / w.sum() < 0.04:  # within a fifth of a doubling: nothing to see
        return (None, None, None)
    slope = float((w * x * means).sum()) / spread
    rest = means - np.average(means, weights=w) - slope * x
    error = float(np.sqrt((w * w * x * x * rest * rest).sum())) / spread
    low, value, high = (float(np.expm1(one)) for one in (slope - _Z90 * error, slope, slope + _Z90 * error))
    return value, low, high


def _prompt_tokens(replay: Replay) -> Floats:
    """Return the logarithm of each request's prompt tokens; NaN where they are not logged."""
    values = replay.log.request_facts["prompt_tokens"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.log(np.where(values > 0, values, np.nan))


def _tickets(replay: Replay, cells: Cells) -> NDArray[np.int64]:
    """Return a number for each request, one a ticket."""
    found = -1 - np.arange(len(replay.log))
    it = cells.observations
    has = it.ticket >= 0
    found[it.request[has]] = it.ticket[has]
    return np.asarray(np.unique(found, return_inverse=True)[1], np.int64)


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: each stratum's count and mean, and the rows."""

    rows: NDArray[np.int64]
    stratum: NDArray[np.int64]
    n: Floats
    mean: Floats

    @classmethod
    def of(cls, values: Floats, chosen: NDArray[np.bool_], stratum: NDArray[np.int64], strata: int) -> _Side:
        rows = np.flatnonzero(chosen)
        n = np.bincount(stratum[rows], minlength=strata).astype(np.float64)
        total = np.bincount(stratum[rows], values[rows], minlength=strata)
        return cls(rows, stratum[rows], n, total / np.maximum(n, 1))


def _compared(
    values: Floats, would: NDArray[np.bool_], seen: NDArray[np.bool_], intent: NDArray[Any], bins: NDArray[np.int64],
    ticket: NDArray[np.int64],
) -> tuple[Any, ...]:  # fmt: skip
    """Return n_seen, n_would, the means, the difference within strata in standard deviations, z, and the strata's name."""
    n_seen, n_would = int(seen.sum()), int(would.sum())
    nothing = (n_seen, n_would, None, None, None, None, "nothing")
    if min(len(np.unique(ticket[one])) for one in (seen, would)) < ENOUGH:
        return nothing
    is_logarithm = bool(values[seen].max() > 1)
    for name, stratum in _strata(intent, bins):
        strata = int(stratum.max()) + 1
        new, old = (_Side.of(values, one, stratum, strata) for one in (would, seen))
        both = (new.n >= 2) & (old.n >= 2)
        if new.n[both].sum() < max(ENOUGH, 0.2 * n_would):
            continue
        weight = np.where(both, new.n * old.n / np.maximum(new.n + old.n, 1), 0.0)
        weight /= weight.sum()
        at = [float((weight * side.mean).sum()) for side in (old, new)]
        raw = at[1] - at[0]
        means = [float(np.exp(one)) for one in at] if is_logarithm else at
        parts = np.zeros(int(ticket.max()) + 1)
        spread = 0.0
        for side, sign in ((new, 1), (old, -1)):
            rest = values[side.rows] - side.mean[side.stratum]
            factor = weight / np.maximum(side.n, 1) * np.sqrt(side.n / np.maximum(side.n - 1, 1))
            parts += np.bincount(ticket[side.rows], sign * factor[side.stratum] * rest, minlength=len(parts))
            inside = both[side.stratum]
            spread += float((rest[inside] ** 2).sum() / max(inside.sum(), 1)) / 2
        if spread <= 0:
            return (n_seen, n_would, *means, 0.0 if raw == 0 else None, 0.0 if raw == 0 else None, name)
        error = float(np.sqrt((parts**2).sum()))
        return (n_seen, n_would, *means, raw / float(np.sqrt(spread)), raw / error if error else None, name)
    return nothing


def _strata(intent: NDArray[Any], bins: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield what to compare within, the closest first."""
    code = intent.astype(np.int64) + 1
    yield "intent and time", np.asarray(code * (int(bins.max()) + 1) + bins, np.int64)
    yield "intent", code
