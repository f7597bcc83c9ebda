"""Tuning: one policy at many settings, each replayed over the whole incident and scored like any other policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.crew import shared_out
from incident_kit.handover import Handover, fingerprint
from incident_kit.outfiles.ledger import Ledger
from incident_kit.policies.settings import Setting, column, settings_of
from incident_kit.scoring.scorecard import DEFAULT_METRICS, compare

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy

DRAWS = 20
TOGETHER = 4  # settings scored at once: between two lots a sweep can be stopped
SCORED = (
    "intent", "metric", "n", "observed", "estimate", "low", "high", "diff", "diff_low", "diff_high", "bound_low", "bound_high",
    "share_observed", "share_none", "flags",
)  # fmt: skip


def sweep(  # noqa: PLR0913 - each is a question of its own
    incident: Incident,
    policy: Policy,
    grid: Mapping[str, Iterable[Any]],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    during: str | tuple[datetime, datetime] | None = None,
    by: str | None = None,
    random: int | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    jobs: int = 1,
    resume: str | Path | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> pl.DataFrame:
    """Return the scores of a policy at every setting of a grid, one row a setting and metric (``by="intent"``: and intent).

    Columns: setting (0 is the policy as it stands), is_current, one column a path of the grid, intent, metric, n, observed (as
    logged), estimate with low and high, diff (to the log) with diff_low and diff_high, bounds, share_observed, share_none,
    flags. All settings are replayed over the whole log, on the same draws of what was not observed, so that two of them
    differ by their decisions only: neither the order nor the number of processes changes a number. Every setting is checked
    before the first is replayed. Interrupted from the keyboard, the settings done so far are returned.

    Parameters
    ----------
    grid
        Values by path, as :meth:`Policy.with_value` takes them: ``{"refund-policy.max_p95_ms": range(1500, 6001, 250)}``. Of
        several paths every combination is a setting.
    metrics, during
        As in :func:`compare`.
    random
        At most so many settings, drawn at random (by ``seed``) from the combinations; by default all of them.
    seed, draws
        As in :func:`compare`, with fewer draws: a sweep has many settings. 0: no intervals.
    jobs
        Processes to share the settings out to; each makes its own copy of the incident and fits its own model, which is worth
        it from about a minute of work on. In a script, call from under ``if __name__ == "__main__":`` then.
    resume
        A Parquet file to which all that is done is written after each lot of settings. Where it is there, only what is missing
        is replayed: a sweep that was stopped, or killed, ends in the same table.
    progress
        Called with the number of settings done, and of all, after each lot; where it returns False, the sweep stops and
        the settings done so far are returned.

    Raises
    ------
    NoSuchItem
        A path leads nowhere, or a metric or phase is not there.
    InvalidPolicy
        A value cannot stand at its path, or there are over 2,000 settings.
    InvalidSweep
        The file of ``resume`` holds another sweep.
    """
    settings, listed = settings_of(policy, grid, random=random, seed=seed)
    options: dict[str, Any] = {"metrics": tuple(metrics), "during": during, "draws": draws, "seed": seed}
    ledger, found = None, []
    if resume is not None:
        asked = {"policy": policy.expand(), "grid": [(one.number, one.values) for one in settings]}
        ledger = Ledger.of(resume, incident=fingerprint(incident), **asked, options=(options, by))
        found += [rows] if (rows := ledger.read()) is not None else []
    done = {number for frame in found for number in frame["setting"]}
    left = [one for one in settings if one.number not in done]
    lots = [left[first : first + TOGETHER] for first in range(0, len(left), TOGETHER)]
    source = _Here(incident) if jobs < 2 or len(lots) < 2 else Handover.of(incident)
    task = partial(_scored, grid=listed, options=options, by=by)
    work = shared_out([source], [(0, lot) for lot in lots], task, jobs=min(jobs, len(lots)))
    try:
        for (_, lot), scores in work:
            found.append(scores)
            done |= {one.number for one in lot}
            if ledger is not None:
                ledger.write([_in_order(found)])
            if progress is not None and progress(len(done), len(settings)) is False:
                break
    except KeyboardInterrupt:
        if not found:
            raise
    finally:
        work.close()
    return _in_order(found)


class _Here:
    """An incident that stays in its own process."""

    def __init__(self, incident: Incident) -> None:
        self._incident = incident

    def incident(self) -> Incident:
        return self._incident


def _in_order(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames).sort("setting", maintain_order=True)


def _scored(
    incident: Incident,
    lot: Sequence[Setting],
    *,
    grid: Mapping[str, list[Any]],
    options: Mapping[str, Any],
    by: str | None,
) -> pl.DataFrame:
    """Return the scores of a lot with the settings' numbers and values."""
    policies = {f"setting {one.number}": one.policy for one in lot}
    table = compare(incident, policies, **options).table(by=by)
    keys = pl.DataFrame(
        {
            "policy": list(policies),
            "setting": pl.Series([one.number for one in lot], dtype=pl.Int64),
            "is_current": [one.number == 0 for one in lot],
            **{path: column([one.values[i] for one in lot], values) for i, (path, values) in enumerate(grid.items())},
        }
    )
    return table.join(keys, on="policy", how="inner", maintain_order="right_left").select(
        "setting", "is_current", *grid, *SCORED
    )
